//! The endpoint against a tiny server of our own: what it sends, and what it survives.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use url::Url;

use super::*;
use crate::domain::{
    crd::{CredentialsSecretRef, OAuthClientCredentialSpec},
    oauth::{Entropy, RequestValues, token_request},
    plan::plan,
};

const TOKEN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 45\r\n\r\n\
    {\"access_token\":\"t0k3n\",\"expires_in\":\"3600\"} ";

/// What the server does with a connection whose request it has read.
#[derive(Clone)]
enum Habit {
    /// Writes these bytes and closes.
    Say(Vec<u8>),
    /// Writes these bytes, reads a second request and closes without an answer.
    Once(Vec<u8>),
    /// Writes these bytes and then keeps the connection open without a word.
    Stall(Vec<u8>),
    /// Writes bytes for as long as they are taken.
    Flood(Vec<u8>),
}

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: mpsc::Receiver<String>,
}

impl Server {
    fn start(habit: Habit, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (heard, requests) = mpsc::channel();
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let (habit, tls, heard) = (habit.clone(), tls.clone(), heard.clone());
                thread::spawn(move || match tls {
                    None => serve(stream, &habit, &heard),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        serve(StreamOwned::new(connection, stream), &habit, &heard);
                    }
                });
            }
        });
        Self { address, connections, requests }
    }

    fn url(&self, scheme: &str, host: &str) -> Url {
        Url::parse(&format!("{scheme}://{host}:{}/token?v=1", self.address.port())).unwrap()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: impl Read + Write, habit: &Habit, heard: &mpsc::Sender<String>) {
    if !hear(&mut stream, heard) {
        return;
    }
    match habit {
        Habit::Say(bytes) => drop(stream.write_all(bytes).and_then(|()| stream.flush())),
        Habit::Once(bytes) => {
            stream.write_all(bytes).and_then(|()| stream.flush()).ok();
            hear(&mut stream, heard);
        }
        Habit::Stall(bytes) => {
            stream.write_all(bytes).and_then(|()| stream.flush()).ok();
            // Ends when the client gives up.
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        }
        Habit::Flood(bytes) => {
            if stream.write_all(bytes).is_ok() {
                while stream.write_all(&[b'a'; 16 * 1024]).is_ok() {}
            }
        }
    }
}

/// Reads one request; false where the client left before.
fn hear(stream: &mut impl Read, heard: &mpsc::Sender<String>) -> bool {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    // Every body of these tests ends so.
    while !request.ends_with(b"credentials") {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return false,
            Ok(read) => request.extend_from_slice(&chunk[..read]),
        }
    }
    heard.send(String::from_utf8(request).unwrap()).is_ok()
}

/// A server configuration and the PEM of the authority behind it.
fn tls(names: &[&str]) -> (Arc<ServerConfig>, String) {
    install_provider();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    (Arc::new(config), ca.pem())
}

fn install_provider() {
    // Another test of this process may have been first.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

fn connection(allowed: &[&str], trust_bundle: Option<&str>) -> Connection {
    install_provider();
    let allowed = allowed.iter().map(|network| network.parse().unwrap()).collect();
    Endpoint::new(EndpointSettings {
        trust_bundle: trust_bundle.map(|pem| pem.as_bytes().to_vec()),
        addresses: AddressPolicy { allowed },
        allow_insecure: true,
    })
    .unwrap()
    .connection(&Transport::default())
    .unwrap()
}

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

fn request(url: Url, timeout: Duration) -> TokenRequest {
    let values = RequestValues {
        client_id: Some(Redacted::new("app".to_owned())),
        client_secret: Some(Redacted::new("s3cr3t".to_owned())),
        ..RequestValues::default()
    };
    let spec = OAuthClientCredentialSpec {
        token_url: Some(url.to_string()),
        credentials_secret_ref: Some(CredentialsSecretRef::default()),
        ..OAuthClientCredentialSpec::default()
    };
    let plan = plan(&spec).unwrap();
    let request =
        token_request(&plan, url, &values, Timestamp::UNIX_EPOCH, Entropy([0; 16])).unwrap();
    TokenRequest { timeout, ..request }
}

const LONG: Duration = Duration::from_secs(10);

async fn reason(endpoint: &Connection, url: Url) -> (Reason, Option<u16>) {
    let error = endpoint.ask(&request(url, LONG)).await.result.unwrap_err();
    (error.reason, error.status)
}

#[tokio::test]
async fn the_request_is_what_rfc_6749_asks_for() {
    let server = Server::start(Habit::Say(TOKEN.into()), None);
    let asked =
        connection(&LOOPBACK, None).ask(&request(server.url("http", "127.0.0.1"), LONG)).await;
    assert_eq!(asked.result.unwrap().token.expose(), "t0k3n");
    let heard = server.requests.recv().unwrap();
    let (header, body) = heard.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<String> = header.lines().map(str::to_lowercase).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "accept: application/json".to_owned(),
            "authorization: basic yxbwonmzy3izda==".to_owned(),
            "content-length: 29".to_owned(),
            "content-type: application/x-www-form-urlencoded".to_owned(),
            format!("host: {}", server.address),
            "post /token?v=1 http/1.1".to_owned(),
            format!("user-agent: oauthcc-operator/{}", env!("CARGO_PKG_VERSION")),
        ]
    );
    assert_eq!(body, "grant_type=client_credentials");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let trap = Server::start(Habit::Say(TOKEN.into()), None);
    for status in [301, 302, 303, 307, 308] {
        let location = trap.url("http", "127.0.0.1");
        let answer =
            format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let server = Server::start(Habit::Say(answer.into()), None);
        let found = reason(&connection(&LOOPBACK, None), server.url("http", "127.0.0.1")).await;
        assert_eq!(found, (Reason::EndpointRedirects, Some(status)));
    }
    assert_eq!(trap.connections(), 0);
}

#[tokio::test]
async fn an_oversize_answer_is_cut_off() {
    async fn check(head: &str, expected: Reason) {
        let server = Server::start(Habit::Flood(head.into()), None);
        let found = reason(&connection(&LOOPBACK, None), server.url("http", "127.0.0.1")).await;
        assert_eq!(found.0, expected, "{head}");
    }
    check("HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"", Reason::MalformedResponse).await;
    check("HTTP/1.1 200 OK\r\n\r\naccess_token=", Reason::MalformedResponse).await;
    check("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", Reason::ServerError).await;
    check("HTTP/1.1 401 No\r\n\r\n", Reason::InvalidClient).await;
    check("HTTP/1.1 400 No\r\n\r\n", Reason::InvalidRequest).await;
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_timeout() {
    async fn check(said: &str, expected: Reason) {
        let server = Server::start(Habit::Stall(said.into()), None);
        let timeout = Duration::from_millis(300);
        let request = request(server.url("http", "127.0.0.1"), timeout);
        let asked = connection(&LOOPBACK, None).ask(&request).await;
        assert_eq!(asked.result.unwrap_err().reason, expected, "{said}");
        assert!(asked.took >= timeout && asked.took < LONG, "{said} {:?}", asked.took);
        assert_eq!(server.connections(), 1, "{said}");
    }
    let body = "Content-Length: 99\r\n\r\n{\"access_token\":\"t\"";
    check("", Reason::EndpointUnreachable).await;
    check("HTTP/1.1 200 OK\r\n", Reason::EndpointUnreachable).await;
    check(&format!("HTTP/1.1 200 OK\r\n{body}"), Reason::EndpointUnreachable).await;
    check(&format!("HTTP/1.1 400 No\r\n{body}"), Reason::EndpointUnreachable).await;
    // Here the status says it all.
    check(&format!("HTTP/1.1 403 No\r\n{body}"), Reason::AccessDenied).await;
}

#[tokio::test]
async fn a_lost_connection_is_not_tried_again() {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "garbage\r\n\r\n"] {
        let server = Server::start(Habit::Say(said.into()), None);
        let found = reason(&connection(&LOOPBACK, None), server.url("http", "127.0.0.1")).await;
        assert_eq!(found.0, Reason::EndpointUnreachable, "{said}");
        assert_eq!(server.connections(), 1, "{said}");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    drop(listener);
    let found = reason(&connection(&LOOPBACK, None), Url::parse(&url).unwrap()).await;
    assert_eq!(found, (Reason::EndpointUnreachable, None));
}

#[tokio::test]
async fn a_pooled_connection_that_dies_does_not_cost_a_second_request() {
    let server = Server::start(Habit::Once(TOKEN.into()), None);
    let (endpoint, url) = (connection(&LOOPBACK, None), server.url("http", "127.0.0.1"));
    assert!(endpoint.ask(&request(url.clone(), LONG)).await.result.is_ok());
    let found = reason(&endpoint, url).await;
    assert_eq!(found, (Reason::EndpointUnreachable, None));
    assert_eq!((server.requests.try_iter().count(), server.connections()), (2, 1));
}

#[tokio::test]
async fn loopback_is_refused_unless_allowed() {
    let server = Server::start(Habit::Say(TOKEN.into()), None);
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0.0.0.0",
        "[::1]",
        "[::ffff:7f00:1]",
        "localhost",
    ] {
        let found = reason(&connection(&[], None), server.url("http", host)).await;
        assert_eq!(found, (Reason::EndpointAddressRefused, None), "{host}");
    }
    assert_eq!(server.connections(), 0);
    for host in ["127.0.0.1", "localhost"] {
        let asked = connection(&LOOPBACK, None).ask(&request(server.url("http", host), LONG)).await;
        assert!(asked.result.is_ok(), "{host}");
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_unreachable() {
    let url = Url::parse("https://does-not-exist.invalid/token").unwrap();
    let asked = connection(&[], None).ask(&request(url, LONG)).await;
    let error = asked.result.unwrap_err();
    assert_eq!(error.reason, Reason::EndpointUnreachable);
    assert_eq!(error.detail, Some("its name could not be resolved"));
}

#[tokio::test]
async fn plain_http_is_sent_only_where_allowed() {
    let server = Server::start(Habit::Say(TOKEN.into()), None);
    let settings = EndpointSettings {
        addresses: AddressPolicy { allowed: vec!["127.0.0.0/8".parse().unwrap()] },
        ..EndpointSettings::default()
    };
    let secure = Endpoint::new(settings).unwrap().connection(&Transport::default()).unwrap();
    let found = reason(&secure, server.url("http", "127.0.0.1")).await;
    assert_eq!(found, (Reason::EndpointNotAllowed, None));
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_certificate_is_trusted_by_its_authority_and_its_name() {
    let (config, ca) = tls(&["localhost"]);
    let (_, other_ca) = tls(&["localhost"]);
    let server = Server::start(Habit::Say(TOKEN.into()), Some(config));
    let asked = connection(&LOOPBACK, Some(&ca))
        .ask(&request(server.url("https", "localhost"), LONG))
        .await;
    assert_eq!(asked.result.unwrap().token.expose(), "t0k3n");
    for (trust, host, hint) in [
        (None, "localhost", "its certificate comes from an unknown authority"),
        (Some(&other_ca), "localhost", "its certificate comes from an unknown authority"),
        (Some(&ca), "127.0.0.1", "its certificate is for another host name"),
    ] {
        let endpoint = connection(&LOOPBACK, trust.map(String::as_str));
        let asked = endpoint.ask(&request(server.url("https", host), LONG)).await;
        let error = asked.result.unwrap_err();
        assert_eq!((error.reason, error.detail), (Reason::TLSFailed, Some(hint)), "{host}");
    }
    // Nothing was sent to whom is not trusted.
    assert_eq!(server.requests.try_iter().count(), 1);
}

#[tokio::test]
async fn a_client_certificate_that_is_missed_after_the_request_is_a_matter_of_trust() {
    install_provider();
    let ca =
        CertifiedIssuer::self_signed(CertificateParams::default(), KeyPair::generate().unwrap());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(ca.unwrap().der().to_vec())).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let mut issuer = CertificateParams::default();
    issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate().unwrap()).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        connection.complete_io(&mut stream).unwrap_err();
        connection.write_tls(&mut stream).ok();
        drain(&mut stream);
    });
    let url = Url::parse(&format!("https://localhost:{}/token", address.port())).unwrap();
    let asked = connection(&LOOPBACK, Some(&issuer.pem())).ask(&request(url, LONG)).await;
    let error = asked.result.unwrap_err();
    let hint = Some("it broke the connection off with a TLS alert");
    assert_eq!((error.reason, error.detail), (Reason::TLSFailed, hint));
}

/// Closes without a reset, which would overtake the alert.
fn drain(stream: &mut TcpStream) {
    stream.shutdown(Shutdown::Write).ok();
    std::io::copy(stream, &mut std::io::sink()).ok();
}

#[tokio::test]
async fn a_port_without_tls_is_a_matter_of_trust() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
        drain(&mut stream);
    });
    let url = Url::parse(&format!("https://localhost:{}/token", address.port())).unwrap();
    let found = reason(&connection(&LOOPBACK, None), url).await;
    assert_eq!(found, (Reason::TLSFailed, None));
}

#[test]
fn a_trust_bundle_that_holds_nothing_stops_the_start() {
    install_provider();
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let settings = EndpointSettings {
            trust_bundle: Some(pem.as_bytes().to_vec()),
            ..EndpointSettings::default()
        };
        assert!(Endpoint::new(settings).is_err(), "{pem}");
    }
}
