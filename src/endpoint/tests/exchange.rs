//! One request and its answer, over HTTP without TLS.

use super::*;

#[tokio::test]
async fn the_request_is_what_rfc_6749_asks_for() {
    let server = Server::start(Habit::Say(TOKEN.into()), None);
    assert_eq!(token(&connect(settings(&LOOPBACK)), server.plain()).await, "t0k3n");
    let heard = server.requests.recv().unwrap();
    let (header, body) = heard.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<String> = header.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "POST /token?v=1 HTTP/1.1".to_owned(),
            "accept: application/json".to_owned(),
            format!("authorization: Basic {BASIC}"),
            "content-length: 29".to_owned(),
            "content-type: application/x-www-form-urlencoded".to_owned(),
            format!("host: {}", server.address),
            format!("user-agent: oauthcc-operator/{}", env!("CARGO_PKG_VERSION")),
        ]
    );
    assert_eq!(body, "grant_type=client_credentials");
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let trap = Server::start(Habit::Say(TOKEN.into()), None);
    for status in 300..=308 {
        for more in ["", "Refresh: 0;url=http://127.0.0.1/\r\n", "Set-Cookie: a=b\r\n"] {
            let location = trap.plain();
            let answer = format!(
                "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\n{more}Content-Length: 0\r\n\r\n"
            );
            let server = Server::start(Habit::Say(answer.into()), None);
            let (reason, message) = refused(&connect(settings(&LOOPBACK)), server.plain()).await;
            assert_eq!(reason, Reason::EndpointRedirects, "{status}");
            assert!(message.contains(&status.to_string()), "{message}");
        }
    }
    assert_eq!((trap.connections(), trap.heard().len()), (0, 0));
}

#[tokio::test]
async fn a_cookie_is_not_kept() {
    let answer = TOKEN.replace("\r\n\r\n", "\r\nSet-Cookie: session=1; Path=/\r\n\r\n");
    let server = Server::start(Habit::Keep(answer.into()), None);
    let connection = connect(settings(&LOOPBACK));
    for _ in 0..2 {
        assert_eq!(token(&connection, server.plain()).await, "t0k3n");
    }
    let heard = server.heard();
    assert_eq!((heard.len(), server.connections()), (2, 1));
    assert!(heard.iter().all(|request| !request.to_lowercase().contains("cookie")));
}

#[tokio::test]
async fn an_oversize_answer_is_cut_off() {
    async fn check(head: &str, expected: Reason) {
        let server = Server::start(Habit::Flood(head.into(), vec![b'a'; 16 * 1024]), None);
        let (reason, _) = refused(&connect(settings(&LOOPBACK)), server.plain()).await;
        assert_eq!(reason, expected, "{head}");
        // What the kernels of both sides hold, and no more: nothing is read after the limit.
        assert!(server.written.load(Ordering::SeqCst) < 16 << 20, "{head}");
    }
    let malformed = Reason::MalformedResponse;
    check("HTTP/1.1 200 OK\r\n\r\n{\"access_token\":\"", malformed).await;
    check("HTTP/1.1 200 OK\r\n\r\naccess_token=", malformed).await;
    check("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{\"access_token\":\"", malformed)
        .await;
    check("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", Reason::ServerError).await;
    check("HTTP/1.1 401 No\r\n\r\n", Reason::InvalidClient).await;
    check("HTTP/1.1 400 No\r\n\r\n", Reason::InvalidRequest).await;
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    async fn check(first: &str, then: &[u8], limit: usize) {
        let server = Server::start(Habit::Flood(first.into(), then.to_vec()), None);
        let (reason, message) = refused(&connect(settings(&LOOPBACK)), server.plain()).await;
        assert_eq!(reason, Reason::EndpointUnreachable);
        assert!(message.contains("the answer was no HTTP"), "{message}");
        let written = server.written.load(Ordering::SeqCst);
        assert!(written < limit, "{written}");
    }
    // The kernels of both sides hold some megabytes that nobody reads.
    check("HTTP/1.1 200 OK\r\n", &b"a: b\r\n".repeat(1000), 16 << 20).await;
    check("HTTP/1.1 200 OK\r\na: ", &[b'b'; 16 * 1024], 16 << 20).await;
    check("HTTP/1.1 200 ", &[b'b'; 16 * 1024], 16 << 20).await;
    check("", b"HTTP/1.1 100 Continue\r\na: b", 16 << 20).await;
}

#[tokio::test]
async fn what_was_compressed_unasked_is_not_unpacked() {
    // The first bytes of gzip, brotli and zstd hold no brace.
    for encoding in ["gzip", "br", "zstd", "deflate"] {
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\n\
             Content-Length: 10\r\n\r\n"
        )
        .into_bytes();
        answer.extend([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]);
        let server = Server::start(Habit::Say(answer), None);
        let (reason, _) = refused(&connect(settings(&LOOPBACK)), server.plain()).await;
        assert_eq!(reason, Reason::MalformedResponse, "{encoding}");
        assert!(!server.heard()[0].to_lowercase().contains("accept-encoding"));
    }
}

#[tokio::test]
async fn a_slow_server_costs_no_more_than_the_timeout() {
    async fn check(habit: Habit, expected: Reason) {
        let server = Server::start(habit, None);
        let timeout = Duration::from_millis(300);
        let asked = ask_for(&connect(settings(&LOOPBACK)), server.plain(), timeout).await;
        assert_eq!(told(&asked).0, expected);
        assert!(asked.took >= timeout && asked.took < LONG / 2, "{:?}", asked.took);
        assert_eq!(server.connections(), 1);
    }
    let stall = |said: &str| Habit::Stall(said.into());
    let body = "Content-Length: 99\r\n\r\n{\"access_token\":\"t\"";
    let unreachable = Reason::EndpointUnreachable;
    check(stall(""), unreachable).await;
    check(stall("HTTP/1.1 200 OK\r\n"), unreachable).await;
    check(stall(&format!("HTTP/1.1 200 OK\r\n{body}")), unreachable).await;
    check(stall(&format!("HTTP/1.1 400 No\r\n{body}")), unreachable).await;
    check(Habit::Drip(TOKEN.into()), unreachable).await;
    // Here the status says it all.
    check(stall(&format!("HTTP/1.1 403 No\r\n{body}")), Reason::AccessDenied).await;
}

#[tokio::test]
async fn a_lost_connection_is_not_tried_again() {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "garbage\r\n\r\n"] {
        let server = Server::start(Habit::Say(said.into()), None);
        let (reason, _) = refused(&connect(settings(&LOOPBACK)), server.plain()).await;
        assert_eq!(reason, Reason::EndpointUnreachable, "{said}");
        assert_eq!(server.connections(), 1, "{said}");
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    drop(listener);
    let (reason, message) = refused(&connect(settings(&LOOPBACK)), Url::parse(&url).unwrap()).await;
    assert_eq!(reason, Reason::EndpointUnreachable);
    assert!(message.contains("refused or could not be made"), "{message}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_unreachable() {
    let url = Url::parse("https://does-not-exist.invalid/token").unwrap();
    let (reason, message) = refused(&connect(settings(&[])), url).await;
    assert_eq!(reason, Reason::EndpointUnreachable);
    assert!(message.contains("its name could not be resolved"), "{message}");
}

#[tokio::test]
async fn plain_http_is_sent_only_where_allowed() {
    let server = Server::start(Habit::Say(TOKEN.into()), None);
    let secure = EndpointSettings { allow_insecure: false, ..settings(&LOOPBACK) };
    let (reason, _) = refused(&connect(secure), server.plain()).await;
    assert_eq!((reason, server.connections()), (Reason::EndpointNotAllowed, 0));
}

#[tokio::test]
async fn a_revocation_is_judged_by_its_status_alone() {
    let (request, token) = (|url| request(url, LONG), "t0k3n");
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(), None),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"error\"".to_owned(), None),
        (
            format!("HTTP/1.1 400 Bad\r\nContent-Length: 99\r\n\r\n{{\"error\":\"{token}\""),
            Some(Reason::InvalidRequest),
        ),
        ("HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n".to_owned(), Some(Reason::EndpointRedirects)),
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_owned(), Some(Reason::ServerError)),
    ] {
        let server = Server::start(Habit::Say(answer.clone().into()), None);
        let connection = connect(settings(&LOOPBACK));
        let revoked = connection.revoke(&request(server.plain())).await;
        scan(&format!("{revoked:?}"));
        assert_eq!(revoked.err().map(|error| error.reason), expected, "{answer}");
        assert_eq!(server.heard().len(), 1, "{answer}");
    }
    let connection = connect(settings(&[]));
    let refused = connection.revoke(&request("http://127.0.0.1:9/".parse().unwrap())).await;
    assert_eq!(refused.unwrap_err().reason, Reason::EndpointAddressRefused);
}
