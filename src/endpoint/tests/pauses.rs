//! What a pause does to a connection that was kept: no request is lost to it, and none is sent twice.

use super::*;

#[tokio::test]
async fn a_pooled_connection_that_dies_does_not_cost_a_second_request() {
    let server = Server::start(Habit::Once(TOKEN.into()), None);
    let connection = connect(settings(&LOOPBACK));
    assert_eq!(token(&connection, server.plain()).await, "t0k3n");
    // The server has read the request, so it may have granted a token: only it could tell.
    let (reason, _) = refused(&connection, server.plain()).await;
    assert_eq!(reason, Reason::EndpointUnreachable);
    assert_eq!((server.heard().len(), server.connections()), (2, 1));
}

/// The request after a pause, where the server closes after `closes`: it is answered, and once.
async fn after_a_pause(tls: bool, closes: Duration, pause: Duration) -> usize {
    let authority = Authority::new();
    let config = tls.then(|| authority.server(&["localhost"]));
    let server = Server::start(Habit::CloseAfter(TOKEN.into(), closes), config);
    let connection = connect(trusting(&authority.pem()));
    let url = server.url(if tls { "https" } else { "http" }, "localhost");
    for _ in 0..2 {
        assert_eq!(token(&connection, url.clone()).await, "t0k3n", "{closes:?} {pause:?}");
        tokio::time::sleep(pause).await;
    }
    assert_eq!(server.heard().len(), 2, "{closes:?} {pause:?}");
    server.connections()
}

#[tokio::test]
async fn no_pause_loses_a_grant_or_asks_for_two() {
    let ms = Duration::from_millis;
    let long = ms(60_000);
    // A connection that is still open is used again for 2 s, and none that was closed is.
    let cases = [
        (long, ms(0), 1),
        (long, ms(1500), 1),
        (long, ms(2200), 2),
        (ms(1), ms(100), 2),
        (ms(800), ms(1300), 2),
        (ms(1400), ms(1900), 2),
        (ms(1900), ms(2100), 2),
        (ms(2100), ms(2200), 2),
        (ms(2500), ms(2100), 2),
    ];
    let all = cases.into_iter().flat_map(|case| [(true, case), (false, case)]);
    let all = all.map(|(tls, (closes, pause, expected))| {
        tokio::spawn(async move {
            let opened = after_a_pause(tls, closes, pause).await;
            assert_eq!(opened, expected, "tls {tls} {closes:?} {pause:?}");
        })
    });
    for case in all.collect::<Vec<_>>() {
        case.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_closes_while_it_is_asked_is_asked_once() {
    // Both at the same moment, over and over: each request is answered or lost, and none is repeated
    // after the server has seen it.
    let server = Server::start(Habit::CloseAfter(TOKEN.into(), Duration::from_millis(20)), None);
    let connection = connect(settings(&LOOPBACK));
    let (mut granted, mut lost) = (0, 0);
    for n in 0..60_u64 {
        match ask(&connection, server.plain()).await.result {
            Ok(_) => granted += 1,
            Err(error) => {
                assert_eq!(error.reason, Reason::EndpointUnreachable);
                lost += 1;
            }
        }
        tokio::time::sleep(Duration::from_micros(19_000 + n * 50)).await;
    }
    let seen = server.heard().len();
    assert!(seen >= granted && seen <= granted + lost, "{granted} {lost} {seen}");
}
