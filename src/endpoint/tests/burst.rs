//! Many grants at once: how many handshakes they cost.
#![expect(clippy::print_stdout, reason = "figures, for who asks with --nocapture")]

use futures::{StreamExt, stream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Asks a thousand times, eight at once, and says how many handshakes that took.
async fn thousand(connection: &Connection, url: &Url) {
    let all = stream::iter(0..1000).map(|_| {
        let (connection, url) = (connection.clone(), url.clone());
        tokio::spawn(async move { token(&connection, url).await })
    });
    let tokens: Vec<_> = all.buffer_unordered(8).collect().await;
    assert_eq!(tokens.len(), 1000);
    assert!(tokens.into_iter().all(|token| token.unwrap() == "t0k3n"));
}

/// The fewest of three runs: where the machine stops a thread of the runtime for a while, the
/// connections that it was about to give back are missed, and others are opened in their place.
async fn fewest<F: Future<Output = usize>>(run: impl Fn() -> F) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..3 {
        fewest = fewest.min(run().await);
        if fewest <= 10 {
            break;
        }
    }
    fewest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_costs_a_few_handshakes() {
    let authority = Authority::new();
    let handshakes = fewest(async || {
        let config = authority.server(&["localhost"]);
        let server = Server::start(Habit::Keep(TOKEN.into()), Some(config));
        thousand(&connect(trusting(&authority.pem())), &server.url("https", "localhost")).await;
        assert_eq!(server.heard().len(), 1000);
        server.connections()
    });
    let handshakes = handshakes.await;
    println!("handshakes of 1,000 grants over HTTP/1.1: {handshakes}");
    assert!(handshakes <= 10, "{handshakes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_over_http_2_costs_a_few_handshakes() {
    let authority = Authority::new();
    let (url, connections) = http_2(&authority.server(&["localhost"])).await;
    let connection = connect(trusting(&authority.pem()));
    thousand(&connection, &url).await;
    let first = connections.load(Ordering::SeqCst);
    // The pool is one connection from then on.
    thousand(&connection, &url).await;
    let second = connections.load(Ordering::SeqCst) - first;
    println!("handshakes of 1,000 grants over HTTP/2: {first}, then {second}");
    assert!(first <= 10 && second <= 1, "{first} {second}");
}

/// A server that speaks HTTP/2 alone and grants whatever it is asked; counts connections.
pub(super) async fn http_2(config: &ServerConfig) -> (Url, Arc<AtomicUsize>) {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        while body.data().await.is_some_and(|data| data.is_ok()) {}
                        let answer = axum::http::Response::new(());
                        let mut stream = respond.send_response(answer, false).unwrap();
                        let body = TOKEN.split_once("\r\n\r\n").unwrap().1;
                        stream.send_data(body.into(), true).ok();
                    });
                }
            });
        }
    });
    (Url::parse(&format!("https://localhost:{port}/token")).unwrap(), connections)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_without_a_word_is_asked_once_by_each_request() {
    let authority = Authority::new();
    let server = Server::start(Habit::Say(TOKEN.into()), Some(authority.server(&["localhost"])));
    let (connection, url) = (connect(trusting(&authority.pem())), server.url("https", "localhost"));
    let all = stream::iter(0..300).map(|_| {
        let (connection, url) = (connection.clone(), url.clone());
        tokio::spawn(async move { ask(&connection, url).await.result.is_ok() })
    });
    let answered: Vec<_> = all.buffer_unordered(8).collect().await;
    let granted = answered.into_iter().filter(|answered| *answered.as_ref().unwrap()).count();
    // A few meet a connection that closes under them: they are lost, no grant is.
    println!("of 300 grants of a server that closes at once, {} were lost", 300 - granted);
    assert_eq!(server.heard().len(), granted);
}
