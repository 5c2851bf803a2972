//! Addresses that are refused, in every spelling and on the whole way: the URL as it is written, its
//! host, the name that is resolved. Two listeners on the loopback count who comes through.

use super::*;
use crate::domain::consent;

/// Spellings of the loopback, and of what no listener of ours can see but is refused alike.
const SPELLINGS: [&str; 66] = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "0x7f.1",
    "0x7f000001",
    "0x7F.0x0.0x0.0x1",
    "0x7f.0.0.0x1",
    "2130706433",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "00000177.1",
    "127.0x1",
    "%31%32%37.0.0.1",
    "%6c%6f%63alhost",
    "①②⑦.0.0.1",
    "１２７.0.0.1",
    "127。0。0。1",
    "127.0.0.1.",
    "0x7f.1.",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "0.0.0.1",
    "localhost",
    "LOCALHOST",
    "LocalHost",
    "localhost.",
    "ｌocalhost",
    "app.localhost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::0001]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[::ffff:7f00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::ffff:0.0.0.0]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:7f00:1::1]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[::1%25lo]",
    "[::1%lo]",
    "user@127.0.0.1",
    "idp.example.com@127.0.0.1",
    "idp.example.com:443@127.0.0.1",
    "user:password@localhost",
    "idp.example.com\\@127.0.0.1",
    "127.0.0.1\\@idp.example.com",
    "@127.0.0.1",
    "\t127.0.0.1",
    "127.0\n.0.1",
    "/127.0.0.1",
    "169.254.169.254",
];

/// Names as a hostile name server answers them.
fn hostile(name: &str) -> Vec<SocketAddr> {
    let addresses: &[&str] = match name {
        "loopback.test" | "localhost" | "localhost." | "app.localhost" => &["127.0.0.1", "::1"],
        "mapped.test" => &["::ffff:127.0.0.1", "::127.0.0.1"],
        "translated.test" => &["64:ff9b::7f00:1", "2002:7f00:1::"],
        "unspecified.test" => &["0.0.0.0", "::"],
        "metadata.test" => &["169.254.169.254", "fd00:ec2::254", "100.100.100.200"],
        "local.test" => &["fe80::1", "224.0.0.1", "255.255.255.255"],
        _ => &[],
    };
    addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
}

/// Listeners on one port of both loopbacks.
fn trap() -> [Server; 2] {
    loop {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = v4.local_addr().unwrap().port();
        if let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)) {
            return [v4, v6].map(|listener| Server::at(listener, Habit::Say(TOKEN.into()), None));
        }
    }
}

/// At which step a URL is refused.
async fn step(connection: &Connection, written: &str) -> &'static str {
    let Ok(endpoint) = consent::token_endpoint(written, true) else { return "written" };
    if !connection.settings.addresses.permits_as_written(&endpoint.url) {
        // The connection must know by itself too.
        assert_eq!(refused(connection, endpoint.url).await.0, Reason::EndpointAddressRefused);
        return "literal";
    }
    let (reason, _) = refused(connection, endpoint.url).await;
    assert_eq!(reason, Reason::EndpointAddressRefused, "{written}");
    "resolved"
}

#[tokio::test]
async fn no_spelling_reaches_a_refused_address() {
    let servers = trap();
    let port = servers[0].address.port();
    let connection = connect_with(settings(&[]), hostile);
    let names = ["loopback", "mapped", "translated", "unspecified", "metadata", "local"];
    let names = names.map(|name| format!("{name}.test"));
    let hosts = SPELLINGS.into_iter().chain(names.iter().map(String::as_str));
    let mut steps = BTreeSet::new();
    let mut tried = 0;
    for host in hosts {
        for scheme in ["http", "https"] {
            steps.insert(step(&connection, &format!("{scheme}://{host}:{port}/token")).await);
            tried += 1;
        }
    }
    assert!(tried >= 120 && steps.len() == 3, "{tried} {steps:?}");
    let seen = servers.each_ref().map(Server::connections);
    assert_eq!(seen, [0, 0]);
    // The traps work.
    let open = connect_with(settings(&LOOPBACK), hostile);
    for host in ["127.0.0.1", "[::1]", "2130706433", "loopback.test"] {
        let url = Url::parse(&format!("http://{host}:{port}/token")).unwrap();
        assert_eq!(token(&open, url).await, "t0k3n", "{host}");
    }
    assert_eq!(servers[0].connections() + servers[1].connections(), 4);
}

#[tokio::test]
async fn the_names_of_this_machine_are_refused_by_its_own_resolver() {
    let servers = trap();
    let port = servers[0].address.port();
    for host in ["localhost", "LOCALHOST"] {
        let url = Url::parse(&format!("http://{host}:{port}/token")).unwrap();
        let (reason, _) = refused(&connect(settings(&[])), url).await;
        assert_eq!(reason, Reason::EndpointAddressRefused, "{host}");
    }
    assert_eq!(servers.each_ref().map(Server::connections), [0, 0]);
}

#[tokio::test]
async fn a_name_that_changes_its_answer_is_judged_by_the_answer_that_is_dialled() {
    // The first answer may be dialled, all that follow may not.
    let good = TcpListener::bind(("127.0.0.2", 0)).unwrap();
    let port = good.local_addr().unwrap().port();
    let bad = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let [good, bad] = [good, bad].map(|l| Server::at(l, Habit::Say(TOKEN.into()), None));
    let lookups = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lookups);
    let connection = connect_with(settings(&["127.0.0.2/32"]), move |name| {
        assert_eq!(name, "rebinding.test");
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        let address = if first { [127, 0, 0, 2] } else { [127, 0, 0, 1] };
        vec![SocketAddr::from((address, 0))]
    });
    let url = Url::parse(&format!("http://rebinding.test:{port}/token")).unwrap();
    assert_eq!(token(&connection, url.clone()).await, "t0k3n");
    assert_eq!(lookups.load(Ordering::SeqCst), 1, "what was judged is what was dialled");
    for n in 2..5 {
        // The server closed, so each request resolves anew.
        let (reason, _) = refused(&connection, url.clone()).await;
        assert_eq!(reason, Reason::EndpointAddressRefused);
        assert_eq!(lookups.load(Ordering::SeqCst), n);
    }
    assert_eq!((good.connections(), bad.connections()), (1, 0));
}

#[tokio::test]
async fn a_name_with_good_and_bad_addresses_is_reached_by_the_good_ones() {
    let good = TcpListener::bind(("127.0.0.2", 0)).unwrap();
    let port = good.local_addr().unwrap().port();
    let bad = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let [good, bad] = [good, bad].map(|l| Server::at(l, Habit::Say(TOKEN.into()), None));
    let connection = connect_with(settings(&["127.0.0.2/32"]), |_| {
        [[127, 0, 0, 1], [127, 0, 0, 2]].map(|address| SocketAddr::from((address, 0))).to_vec()
    });
    let url = Url::parse(&format!("http://both.test:{port}/token")).unwrap();
    assert_eq!(token(&connection, url).await, "t0k3n");
    assert_eq!((good.connections(), bad.connections()), (1, 0));
}
