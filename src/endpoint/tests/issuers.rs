//! Token endpoints by metadata (OpenID Connect Discovery 1.0 §4, RFC 8414).

use super::*;

const OPENID: &str = "/.well-known/openid-configuration";
const OAUTH: &str = "/.well-known/oauth-authorization-server";

fn json(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn nothing(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
}

/// A server that answers for its paths; `{issuer}` in a body is its own.
fn issuer(route: impl Fn(&str) -> String + Send + Sync + 'static) -> (Server, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let own = issuer.clone();
    let route = move |path: &str| {
        let answer = route(path);
        match answer.split_once("\r\n\r\n") {
            Some((head, body)) if body.contains("{issuer}") => {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                json(status, &body.replace("{issuer}", &own))
            }
            _ => answer,
        }
    };
    (Server::at(listener, Habit::Route(Arc::new(route)), None), issuer)
}

fn document() -> String {
    json(200, r#"{"issuer":"{issuer}","token_endpoint":"{issuer}/token","x":[{"y":"c4n4ry"}]}"#)
}

async fn discover(connection: &Connection, issuer: &str) -> Result<String, (Reason, String)> {
    let found = connection.discover(issuer, &request_plan(issuer, true, LONG)).await;
    scan(&format!("{found:?} {connection:?}"));
    found.map_err(|asked| told(&asked))
}

fn paths(server: &Server) -> Vec<String> {
    server.heard().iter().map(|heard| heard.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_token_endpoint_is_found_and_kept() {
    let (server, issuer) = issuer(|_| document());
    let connection = connect(settings(&LOOPBACK));
    for _ in 0..3 {
        assert_eq!(discover(&connection, &issuer).await, Ok(format!("{issuer}/token")));
    }
    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    let mut lines: Vec<_> = heard[0].trim_end().lines().collect();
    lines.sort_unstable();
    let agent = format!("user-agent: oauthcc-operator/{}", env!("CARGO_PKG_VERSION"));
    let host = format!("host: {}", server.address);
    let first = format!("GET {OPENID} HTTP/1.1");
    let rest = ["accept: application/json", "connection: close", &host, &agent];
    assert_eq!((lines[0], &lines[1..]), (first.as_str(), &rest[..]));
    // Metadata is for one spelling.
    let other = discover(&connection, &format!("{issuer}/")).await.unwrap_err();
    assert_eq!(other.0, Reason::DiscoveryInvalid);
    assert!(other.1.contains("a final / included"), "{}", other.1);
}

#[tokio::test]
async fn where_openid_has_nothing_rfc_8414_is_asked() {
    for status in [404, 405, 301, 302, 307, 308] {
        let (server, issuer) = issuer(move |path| match path {
            OAUTH => document(),
            _ => nothing(status),
        });
        let connection = connect(settings(&LOOPBACK));
        assert_eq!(discover(&connection, &issuer).await, Ok(format!("{issuer}/token")));
        assert_eq!(paths(&server), [OPENID, OAUTH], "{status}");
    }
    // With a path, one is below it and the other before it.
    let (server, base) = issuer(|_| nothing(404));
    let (reason, message) =
        discover(&connect(settings(&LOOPBACK)), &format!("{base}/a/b/")).await.unwrap_err();
    assert_eq!(reason, Reason::DiscoveryInvalid);
    assert!(message.contains("neither that of OpenID Connect nor that of RFC 8414"), "{message}");
    assert_eq!(paths(&server), [format!("/a/b{OPENID}"), format!("{OAUTH}/a/b")]);
}

#[tokio::test]
async fn what_keeps_metadata_away_is_told_in_our_own_words() {
    let (invalid, failed) = (Reason::DiscoveryInvalid, Reason::DiscoveryFailed);
    let large = format!(r#"{{"issuer":"{{issuer}}","x":"{}"}}"#, "c4n4ry".repeat(20_000));
    for (answer, reason, words) in [
        (nothing(400), invalid, "answered HTTP 400"),
        (nothing(401), invalid, "where metadata is public"),
        (nothing(403), invalid, "where metadata is public"),
        (nothing(410), invalid, "answered HTTP 410"),
        (nothing(408), failed, "asks for patience"),
        (nothing(429), failed, "answered HTTP 429"),
        (nothing(500), failed, "answered HTTP 500"),
        (nothing(503), failed, "has a problem"),
        (json(200, "c4n4ry"), invalid, "is no metadata"),
        (json(200, "<html>c4n4ry"), invalid, "is no metadata"),
        (json(200, r#"{"issuer":"https://c4n4ry.example.com"}"#), invalid, "another issuer"),
        (json(200, r#"{"issuer":"{issuer}/","token_endpoint":"c"}"#), invalid, "final / included"),
        (json(200, r#"{"issuer":"{issuer}"}"#), invalid, "names no token endpoint"),
        (
            json(200, r#"{"issuer":"{issuer}","token_endpoint":"ftp://c4n4ry"}"#),
            invalid,
            "names no token endpoint",
        ),
        (json(200, &large), invalid, "larger than 64 KiB"),
        (String::new(), failed, "was lost"),
        ("garbage\r\n\r\n".to_owned(), failed, "was lost"),
    ] {
        let (server, issuer) = issuer(move |_| answer.clone());
        let connection = connect(settings(&LOOPBACK));
        let (found, message) = discover(&connection, &issuer).await.unwrap_err();
        assert_eq!(found, reason, "{words}");
        assert!(message.contains(words), "{message} lacks {words}");
        assert!(!message.contains("c4n4ry"), "{message}");
        assert!(!message.contains("may not use this grant"), "{message}");
        // A failure is not kept.
        discover(&connection, &issuer).await.unwrap_err();
        assert_eq!(paths(&server).len(), 2, "{words}");
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_keeps_its_reason() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let gone = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let authority = Authority::new();
    let server = Server::start(Habit::Say(TOKEN.into()), Some(authority.server(&["localhost"])));
    let untrusted = format!("https://localhost:{}", server.address.port());
    for (issuer, reason) in [
        (gone.as_str(), Reason::DiscoveryFailed),
        ("https://does-not-exist.invalid", Reason::DiscoveryFailed),
        (&untrusted, Reason::TLSFailed),
        ("http://169.254.169.254", Reason::EndpointAddressRefused),
        ("https://user@idp.example.com", Reason::DiscoveryInvalid),
    ] {
        let found = discover(&connect(settings(&LOOPBACK)), issuer).await.unwrap_err();
        assert_eq!(found.0, reason, "{issuer}");
    }
    let found = discover(&connect(settings(&[])), &untrusted).await.unwrap_err();
    assert_eq!(found.0, Reason::EndpointAddressRefused);
    assert_eq!(server.heard().len(), 0);
}

#[tokio::test]
async fn metadata_that_does_not_come_is_waited_for_once() {
    let server = Server::start(Habit::Stall(b"HTTP/1.1 200 OK\r\n".to_vec()), None);
    let issuer = format!("http://{}", server.address);
    let connection = connect(settings(&LOOPBACK));
    let started = Instant::now();
    let all = (0..8).map(|_| {
        let (connection, issuer) = (connection.clone(), issuer.clone());
        tokio::spawn(async move {
            let plan = request_plan(&issuer, true, Duration::from_millis(400));
            connection.discover(&issuer, &plan).await
        })
    });
    for asked in all.collect::<Vec<_>>() {
        let (reason, message) = told(&asked.await.unwrap().unwrap_err());
        assert_eq!(reason, Reason::DiscoveryFailed);
        assert!(message.contains("spec.request.timeout"), "{message}");
    }
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    assert!(server.connections() <= 2, "{}", server.connections());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_fetches_once() {
    let (server, issuer) = issuer(|_| {
        thread::sleep(Duration::from_millis(50));
        document()
    });
    let connection = connect(settings(&LOOPBACK));
    let all = (0..100).map(|_| {
        let (connection, issuer) = (connection.clone(), issuer.clone());
        tokio::spawn(async move { discover(&connection, &issuer).await })
    });
    for found in all.collect::<Vec<_>>() {
        assert_eq!(found.await.unwrap(), Ok(format!("{issuer}/token")));
    }
    assert_eq!(paths(&server), [OPENID]);
    // And so does a burst that fails.
    let (server, issuer) = self::issuer(|_| {
        thread::sleep(Duration::from_millis(300));
        nothing(503)
    });
    let all = (0..50).map(|_| {
        let (connection, issuer) = (connection.clone(), issuer.clone());
        tokio::spawn(async move { discover(&connection, &issuer).await })
    });
    for found in all.collect::<Vec<_>>() {
        assert_eq!(found.await.unwrap().unwrap_err().0, Reason::DiscoveryFailed);
    }
    assert_eq!(paths(&server), [OPENID]);
}

#[tokio::test]
async fn metadata_is_fetched_anew_where_the_token_endpoint_is_gone_or_does_not_know_the_client() {
    for (answer, fetches) in [
        (nothing(404), 2),
        (nothing(405), 2),
        (json(401, r#"{"error":"invalid_client"}"#), 2),
        (json(400, r#"{"error":"invalid_client"}"#), 2),
        (json(400, r#"{"error":"invalid_scope"}"#), 1),
        (nothing(500), 1),
        (TOKEN.to_owned(), 1),
    ] {
        let (server, issuer) = issuer(move |path| match path {
            OPENID => document(),
            _ => answer.clone(),
        });
        let connection = connect(settings(&LOOPBACK));
        let found = discover(&connection, &issuer).await.unwrap();
        // Parameters in the query make no other endpoint.
        let asked = Url::parse(&format!("{found}?version=1")).unwrap();
        ask(&connection, asked).await;
        discover(&connection, &issuer).await.unwrap();
        let fetched = paths(&server).iter().filter(|path| *path == OPENID).count();
        assert_eq!(fetched, fetches);
    }
}

#[tokio::test]
async fn metadata_is_kept_for_a_day() {
    let (server, issuer) = issuer(|_| document());
    let connection = connect(settings(&LOOPBACK));
    discover(&connection, &issuer).await.unwrap();
    assert_eq!(paths(&server).len(), 1);
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    for (passed, fetches) in [(hours(23), 0), (hours(1), 1), (hours(23), 0)] {
        tokio::time::pause();
        tokio::time::advance(passed).await;
        tokio::time::resume();
        discover(&connection, &issuer).await.unwrap();
        assert_eq!(paths(&server).len(), fetches, "{passed:?}");
    }
}

#[tokio::test]
async fn what_one_trust_was_told_is_not_believed_by_another() {
    let authority = Authority::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let issuer = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let own = issuer.clone();
    let route = move |_: &str| document_of(&own);
    let config = Some(authority.server(&["localhost"]));
    let server = Server::at(listener, Habit::Route(Arc::new(route)), config);
    let endpoint = Endpoint::new(settings(&LOOPBACK)).unwrap();
    let trusting = endpoint.connection(&ca_bundle(&authority.pem())).unwrap();
    assert_eq!(discover(&trusting, &issuer).await, Ok(format!("{issuer}/token")));
    let plain = endpoint.connection(&Transport::default()).unwrap();
    assert_eq!(discover(&plain, &issuer).await.unwrap_err().0, Reason::TLSFailed);
    assert_eq!(server.heard().len(), 1);
}

fn document_of(issuer: &str) -> String {
    json(200, &format!(r#"{{"issuer":"{issuer}","token_endpoint":"{issuer}/token"}}"#))
}

#[tokio::test]
async fn tls_client_auth_asks_at_the_alias() {
    let body = r#"{"issuer":"{issuer}","token_endpoint":"{issuer}/token",
        "mtls_endpoint_aliases":{"token_endpoint":"{issuer}/mtls"}}"#;
    let (server, issuer) = issuer(move |_| json(200, body));
    let connection = connect(settings(&LOOPBACK));
    for (method, path) in [
        (ClientAuthenticationMethod::ClientSecretBasic, "token"),
        (ClientAuthenticationMethod::TlsClientAuth, "mtls"),
    ] {
        let plan = RequestPlan { method, ..request_plan(&issuer, true, LONG) };
        let found = connection.discover(&issuer, &plan).await.unwrap();
        assert_eq!(found, format!("{issuer}/{path}"));
    }
    assert_eq!(server.heard().len(), 1);
}
