//! The proxy of `--proxy`, and that no other is ever used.

use std::process::Command;

use super::*;
use crate::domain::proxy::Bypass;

/// A proxy that knows the names of one server, and writes down what it is told.
struct Tunnel {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// `target` is where every CONNECT leads; without one it answers 407.
    fn start(target: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&heads);
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&told);
                thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).unwrap() == 1 {
                        head.extend_from_slice(&byte);
                    }
                    let head = String::from_utf8(head).unwrap();
                    let connects = head.starts_with("CONNECT ");
                    told.lock().unwrap().push(head);
                    match target {
                        Some(target) if connects => {
                            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                            join(client, TcpStream::connect(target).unwrap());
                        }
                        Some(_) => client.write_all(TOKEN.as_bytes()).unwrap(),
                        None => client.write_all(b"HTTP/1.1 407 No\r\n\r\n").unwrap(),
                    }
                });
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn settings(&self, written: &str, bypass: &[&str]) -> EndpointSettings {
        let proxy = Proxy::parse(&written.replace("PORT", &self.address.port().to_string()));
        let bypass = bypass.iter().map(|entry| Bypass::parse(entry).unwrap()).collect();
        EndpointSettings { proxy: Some(Proxy { bypass, ..proxy.unwrap() }), ..settings(&[]) }
    }
}

fn join(client: TcpStream, server: TcpStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        std::io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
    let (mut from, mut to) = (server, client);
    std::io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}

fn nobody(name: &str) -> Vec<SocketAddr> {
    panic!("{name} must not be resolved here");
}

#[tokio::test]
async fn https_goes_through_the_proxy_which_sees_no_secret() {
    let authority = Authority::new();
    let config = authority.server(&["idp.example.com"]);
    let server = Server::start(Habit::Say(TOKEN.into()), Some(config));
    let tunnel = Tunnel::start(Some(server.address));
    let settings = EndpointSettings {
        trust_bundle: Some(authority.pem().into_bytes()),
        ..tunnel.settings("http://me:pr0xy-p%40ss@127.0.0.1:PORT", &[])
    };
    scan_for_password(&format!("{settings:?}"));
    let connection = connect_with(settings, nobody);
    let url = server.url("https", "idp.example.com");
    assert_eq!(token(&connection, url).await, "t0k3n");
    scan_for_password(&format!("{connection:?}"));
    let [head] = tunnel.heads().try_into().unwrap();
    scan(&head);
    let lower = head.to_lowercase();
    let port = server.address.port();
    assert!(head.starts_with(&format!("CONNECT idp.example.com:{port} HTTP/1.1\r\n")), "{head}");
    assert!(lower.contains("proxy-authorization: basic "), "{head}");
    assert!(head.contains("bWU6cHIweHktcEBzcw=="), "{head}");
    // The server is told nothing of the proxy.
    assert!(!server.heard()[0].to_lowercase().contains("proxy"));
}

fn scan_for_password(text: &str) {
    for secret in ["pr0xy", "cHIweHkt", "p@ss", "p%40ss"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn a_certificate_is_judged_behind_the_proxy_too() {
    let authority = Authority::new();
    let config = authority.server(&["idp.example.com"]);
    let server = Server::start(Habit::Say(TOKEN.into()), Some(config));
    let tunnel = Tunnel::start(Some(server.address));
    let connection = connect_with(tunnel.settings("http://127.0.0.1:PORT", &[]), nobody);
    let (reason, _) = refused(&connection, server.url("https", "idp.example.com")).await;
    assert_eq!((reason, server.heard().len()), (Reason::TLSFailed, 0));
}

#[tokio::test]
async fn plain_http_goes_through_the_proxy_too() {
    let tunnel = Tunnel::start(Some(SocketAddr::from(([127, 0, 0, 1], 1))));
    let connection = connect_with(tunnel.settings("http://127.0.0.1:PORT", &[]), nobody);
    let url = Url::parse("http://idp.example.com/token").unwrap();
    assert_eq!(token(&connection, url).await, "t0k3n");
    assert!(tunnel.heads()[0].starts_with("POST http://idp.example.com/token HTTP/1.1"));
}

#[tokio::test]
async fn the_proxy_may_lie_where_no_endpoint_may() {
    let tunnel = Tunnel::start(Some(SocketAddr::from(([127, 0, 0, 1], 1))));
    let settings = tunnel.settings("http://proxy.test:PORT", &["direct.test", "10.0.0.0/8"]);
    let address = tunnel.address;
    let names = move |name: &str| {
        assert!(["proxy.test", "direct.test", "below.direct.test"].contains(&name), "{name}");
        vec![address]
    };
    let connection = connect_with(settings, names);
    let url = |host: &str| Url::parse(&format!("http://{host}:{}/token", address.port())).unwrap();
    assert_eq!(token(&connection, url("idp.example.com")).await, "t0k3n");
    // Its own name is no endpoint, neither are refused addresses and the loopback behind it, and who
    // is reached without it is judged like everybody else.
    for host in ["proxy.test", "127.0.0.1", "[::1]", "169.254.169.254", "localhost", "a.localhost"]
    {
        let (reason, _) = refused(&connection, url(host)).await;
        assert_eq!(reason, Reason::EndpointAddressRefused, "{host}");
    }
    for host in ["direct.test", "below.direct.test"] {
        let (reason, _) = refused(&connection, url(host)).await;
        assert_eq!(reason, Reason::EndpointAddressRefused, "{host}");
    }
    assert_eq!(tunnel.heads().len(), 1);
}

#[tokio::test]
async fn who_needs_no_proxy_is_reached_without_it() {
    let tunnel = Tunnel::start(None);
    let server = Server::start(Habit::Keep(TOKEN.into()), None);
    for bypass in ["direct.test", ".direct.test", "127.0.0.0/8", "127.0.0.1"] {
        let settings = EndpointSettings {
            addresses: settings(&LOOPBACK).addresses,
            ..tunnel.settings("http://127.0.0.1:PORT", &[bypass])
        };
        let address = server.address;
        let connection = connect_with(settings, move |_| vec![address]);
        let host = if bypass.contains("direct") { "idp.direct.test" } else { "127.0.0.1" };
        assert_eq!(token(&connection, server.url("http", host)).await, "t0k3n", "{bypass}");
        // Not a name that merely ends alike.
        let url = server.url("https", "notdirect.test");
        assert_eq!(refused(&connection, url).await.0, Reason::EndpointUnreachable, "{bypass}");
    }
    assert_eq!(tunnel.heads().len(), 4);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_a_connection_that_was_not_made() {
    let tunnel = Tunnel::start(None);
    let connection = connect_with(tunnel.settings("http://me:pr0xy@127.0.0.1:PORT", &[]), nobody);
    let url = Url::parse("https://idp.example.com/token").unwrap();
    let (reason, message) = refused(&connection, url).await;
    assert_eq!(reason, Reason::EndpointUnreachable);
    assert!(message.contains("the proxy of --proxy"), "{message}");
    scan_for_password(&message);
}

/// Runs itself once more with every variable that names a proxy.
#[tokio::test]
async fn the_proxies_of_the_environment_are_ignored() {
    const CHILD: &str = "OAUTHCC_TEST_TARGET";
    if let Ok(url) = std::env::var(CHILD) {
        let connection = connect(settings(&LOOPBACK));
        assert_eq!(token(&connection, Url::parse(&url).unwrap()).await, "t0k3n");
        return;
    }
    let trap = Server::start(Habit::Say(TOKEN.into()), None);
    let server = Server::start(Habit::Say(TOKEN.into()), None);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "endpoint::tests::proxies::the_proxies_of_the_environment_are_ignored"]);
    child.env(CHILD, server.plain().as_str());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        for name in [name.to_owned(), name.to_lowercase()] {
            child.env(name, format!("http://{}", trap.address));
        }
    }
    assert!(child.output().unwrap().status.success());
    assert_eq!((server.connections(), trap.connections()), (1, 0));
}
