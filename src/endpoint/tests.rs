//! The endpoint against tiny servers of our own: what it sends, and what it survives. Here are the
//! servers; the tests lie in `tests/`.

mod addresses;
mod burst;
mod exchange;
mod identity;
mod issuers;
mod pauses;
mod proxies;
mod trust;

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
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

use super::*;
use crate::domain::{
    crd::{ClientAuthenticationMethod, CredentialsSecretRef, OAuthClientCredentialSpec},
    oauth::{ClientCertificate, Entropy, RequestValues, token_request},
    plan::plan,
};

const TOKEN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 45\r\n\r\n\
    {\"access_token\":\"t0k3n\",\"expires_in\":\"3600\"} ";
/// Must never be seen in an error, a message or `Debug` output; nor may its Basic form.
const SECRET: &str = "c4n4ry-0f-th3-cl13nt-s3cr3t";
const BASIC: &str = "YXBwOmM0bjRyeS0wZi10aDMtY2wxM250LXMzY3IzdA==";
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
const LONG: Duration = Duration::from_secs(10);

/// What a server does with a connection whose request it has read.
#[derive(Clone)]
enum Habit {
    /// Writes these bytes and closes.
    Say(Vec<u8>),
    /// Writes these bytes for each request.
    Keep(Vec<u8>),
    /// Writes these bytes and closes after this time without a second request.
    CloseAfter(Vec<u8>, Duration),
    /// Writes these bytes, reads a second request and closes without an answer.
    Once(Vec<u8>),
    /// Writes these bytes and then keeps the connection open without a word.
    Stall(Vec<u8>),
    /// Writes these bytes one by one, with a pause between.
    Drip(Vec<u8>),
    /// Writes these bytes, and then the others for as long as they are taken.
    Flood(Vec<u8>, Vec<u8>),
    /// Writes what this gives for the path, and closes.
    Route(Arc<dyn Fn(&str) -> String + Send + Sync>),
}

struct Server {
    address: SocketAddr,
    /// How many connections were accepted.
    connections: Arc<AtomicUsize>,
    /// How many bytes were written and taken.
    written: Arc<AtomicUsize>,
    requests: mpsc::Receiver<String>,
}

impl Server {
    fn start(habit: Habit, tls: Option<Arc<ServerConfig>>) -> Self {
        Self::at(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), habit, tls)
    }

    fn at(listener: TcpListener, habit: Habit, tls: Option<Arc<ServerConfig>>) -> Self {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let written = Arc::new(AtomicUsize::new(0));
        let (heard, requests) = mpsc::channel();
        let (count, bytes) = (Arc::clone(&connections), Arc::clone(&written));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let (habit, tls, heard) = (habit.clone(), tls.clone(), heard.clone());
                let bytes = Arc::clone(&bytes);
                thread::spawn(move || {
                    let socket = stream.try_clone().unwrap();
                    match tls {
                        None => serve(stream, &socket, &habit, &heard, &bytes),
                        Some(config) => {
                            let connection = ServerConnection::new(config).unwrap();
                            let mut stream = StreamOwned::new(connection, stream);
                            serve(&mut stream, &socket, &habit, &heard, &bytes);
                            // An alert that was made while reading is sent, and not overtaken by a reset.
                            while stream.conn.wants_write() {
                                if stream.conn.write_tls(&mut stream.sock).is_err() {
                                    return;
                                }
                            }
                            drain(&mut stream.sock);
                        }
                    }
                });
            }
        });
        Self { address, connections, written, requests }
    }

    fn url(&self, scheme: &str, host: &str) -> Url {
        Url::parse(&format!("{scheme}://{host}:{}/token?v=1", self.address.port())).unwrap()
    }

    fn plain(&self) -> Url {
        self.url("http", "127.0.0.1")
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn heard(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

fn serve(
    mut stream: impl Read + Write,
    socket: &TcpStream,
    habit: &Habit,
    heard: &mpsc::Sender<String>,
    written: &AtomicUsize,
) {
    let Some(request) = hear(&mut stream) else { return };
    let path = request.split(' ').nth(1).unwrap().to_owned();
    heard.send(request).ok();
    let say = |stream: &mut dyn Write, bytes: &[u8]| {
        let said = stream.write_all(bytes).and_then(|()| stream.flush()).is_ok();
        written.fetch_add(bytes.len(), Ordering::SeqCst);
        said
    };
    if let Habit::CloseAfter(_, wait) = habit {
        socket.set_read_timeout(Some(*wait)).unwrap();
    }
    match habit {
        Habit::Say(bytes) => drop(say(&mut stream, bytes)),
        Habit::Route(answer) => drop(say(&mut stream, answer(&path).as_bytes())),
        Habit::Keep(bytes) | Habit::CloseAfter(bytes, _) => {
            while say(&mut stream, bytes) {
                let Some(request) = hear(&mut stream) else { return };
                heard.send(request).ok();
            }
        }
        Habit::Once(bytes) => {
            say(&mut stream, bytes);
            if let Some(request) = hear(&mut stream) {
                heard.send(request).ok();
            }
        }
        Habit::Stall(bytes) => {
            say(&mut stream, bytes);
            // Ends when the client gives up.
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        }
        Habit::Drip(bytes) => {
            for byte in bytes {
                if !say(&mut stream, &[*byte]) {
                    return;
                }
                thread::sleep(Duration::from_millis(40));
            }
        }
        Habit::Flood(first, then) => {
            let mut goes_on = say(&mut stream, first);
            while goes_on {
                goes_on = say(&mut stream, then);
            }
        }
    }
}

/// Reads one request; none where the client left before.
fn hear(stream: &mut impl Read) -> Option<String> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(read) => request.extend_from_slice(&chunk[..read]),
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let length = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length: usize = length.map(|(_, value)| value.parse::<usize>().unwrap()).sum();
        if body.len() >= length {
            return Some(text);
        }
    }
}

/// Closes without a reset, which would overtake what was written last.
fn drain(stream: &mut TcpStream) {
    stream.shutdown(Shutdown::Write).ok();
    std::io::copy(stream, &mut std::io::sink()).ok();
}

/// An authority of our own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        install_provider();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names and its key, as PEM.
    fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        [params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem()]
    }

    fn server(&self, names: &[&str]) -> Arc<ServerConfig> {
        let [chain, key] = self.issue(names, |_| ());
        Arc::new(server(&chain, &key))
    }
}

fn server(chain: &str, key: &str) -> ServerConfig {
    let builder = ServerConfig::builder().with_no_client_auth();
    builder.with_single_cert(ders(chain), key_der(key)).unwrap()
}

fn ders(pem: &str) -> Vec<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

fn key_der(pem: &str) -> PrivateKeyDer<'static> {
    use rustls::pki_types::pem::PemObject;
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn install_provider() {
    // Another test of this process may have been first.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
}

fn settings(allowed: &[&str]) -> EndpointSettings {
    install_provider();
    let allowed = allowed.iter().map(|network| network.parse().unwrap()).collect();
    EndpointSettings {
        addresses: AddressPolicy { allowed },
        allow_insecure: true,
        ..EndpointSettings::default()
    }
}

fn trusting(pem: &str) -> EndpointSettings {
    EndpointSettings { trust_bundle: Some(pem.as_bytes().to_vec()), ..settings(&LOOPBACK) }
}

fn connect(settings: EndpointSettings) -> Connection {
    Endpoint::new(settings).unwrap().connection(&Transport::default()).unwrap()
}

/// A connection with names of our own.
fn connect_with(
    settings: EndpointSettings,
    names: impl Fn(&str) -> Vec<SocketAddr> + Send + Sync + 'static,
) -> Connection {
    let lookup: Lookup = Arc::new(move |name| {
        let found = names(&name);
        Box::pin(async move { Ok(found) })
    });
    let endpoint = Endpoint::with_lookup(settings, lookup).unwrap();
    endpoint.connection(&Transport::default()).unwrap()
}

fn ca_bundle(pem: &str) -> Transport {
    let ca_bundle = Some(Redacted::new(pem.as_bytes().to_vec()));
    Transport { ca_bundle, client_certificate: None }
}

fn request_plan(location: &str, is_issuer: bool, timeout: Duration) -> RequestPlan {
    let location = Some(location.to_owned());
    let spec = OAuthClientCredentialSpec {
        issuer: location.clone().filter(|_| is_issuer),
        token_url: location.filter(|_| !is_issuer),
        credentials_secret_ref: Some(CredentialsSecretRef::default()),
        ..OAuthClientCredentialSpec::default()
    };
    RequestPlan { timeout, ..plan(&spec).unwrap() }
}

fn request(url: Url, timeout: Duration) -> TokenRequest {
    let values = RequestValues {
        client_id: Some(Redacted::new("app".to_owned())),
        client_secret: Some(Redacted::new(SECRET.to_owned())),
        ..RequestValues::default()
    };
    let plan = request_plan(url.as_str(), false, timeout);
    token_request(&plan, url, &values, Timestamp::UNIX_EPOCH, Entropy([0; 16])).unwrap()
}

/// Asks, and looks for secrets in everything that can be printed of it.
async fn ask(connection: &Connection, url: Url) -> Asked {
    ask_for(connection, url, LONG).await
}

async fn ask_for(connection: &Connection, url: Url, timeout: Duration) -> Asked {
    let request = request(url, timeout);
    let asked = connection.ask(&request).await;
    scan(&format!("{asked:?} {request:?} {connection:?}"));
    asked
}

/// The reason, and the message of the condition.
async fn refused(connection: &Connection, url: Url) -> (Reason, String) {
    told(&ask(connection, url).await)
}

fn told(asked: &Asked) -> (Reason, String) {
    let error = asked.result.as_ref().unwrap_err();
    let message = error.message("idp.example.com");
    scan(&message);
    (error.reason, message)
}

fn scan(text: &str) {
    for secret in [SECRET, BASIC, "t0k3n", "PRIVATE KEY"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

async fn token(connection: &Connection, url: Url) -> String {
    ask(connection, url).await.result.unwrap().token.expose().clone()
}
