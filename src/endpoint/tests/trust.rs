//! Whom the connection believes. A server that is not believed reads no byte of a request.

use super::*;

/// A server that counts what it reads of a request, whatever becomes of the handshake.
struct Handshake {
    address: SocketAddr,
    read: Arc<AtomicUsize>,
}

impl Handshake {
    fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let read = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&read);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                while connection.complete_io(&mut stream).is_ok_and(|(read, _)| read > 0) {
                    let mut plain = Vec::new();
                    connection.reader().read_to_end(&mut plain).ok();
                    count.fetch_add(plain.len(), Ordering::SeqCst);
                }
            }
        });
        Self { address, read }
    }

    fn url(&self, host: &str) -> Url {
        Url::parse(&format!("https://{host}:{}/token", self.address.port())).unwrap()
    }
}

/// Answers the first record with these bytes, and says whether anything but a handshake came after.
fn raw(answer: Vec<u8>) -> (SocketAddr, mpsc::Receiver<bool>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 4096];
        assert!(stream.read(&mut hello).unwrap() > 0);
        stream.write_all(&answer).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).ok();
        // 23 is the type of a record with data (RFC 8446 §5.1).
        tell.send(rest.first() == Some(&23)).unwrap();
    });
    (address, told)
}

fn years(params: &mut CertificateParams, from: i32, to: i32) {
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
}

#[tokio::test]
async fn who_is_not_believed_reads_nothing() {
    let authority = Authority::new();
    let other = Authority::new();
    let expired = authority.issue(&["localhost"], |params| years(params, 2001, 2002));
    let future = authority.issue(&["localhost"], |params| years(params, 2090, 2091));
    let good = authority.issue(&["localhost"], |_| ());
    let elsewhere = authority.issue(&["idp.example.com"], |_| ());
    let wildcard = authority.issue(&["*.example.com"], |_| ());
    let stranger = other.issue(&["localhost"], |_| ());
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let self_signed = [own.self_signed(&key).unwrap().pem(), key.serialize_pem()];
    let mut own_ca = own;
    own_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let self_signed_ca = [own_ca.self_signed(&key).unwrap().pem(), key.serialize_pem()];
    let ca = authority.pem();
    for ([chain, key], trust, host, words) in [
        (&expired, Some(&ca), "localhost", "its certificate has expired"),
        (&future, Some(&ca), "localhost", "its certificate is not valid yet"),
        (&self_signed, Some(&ca), "localhost", "from an unknown authority"),
        (&self_signed_ca, Some(&ca), "localhost", "it is an authority's own"),
        (&elsewhere, Some(&ca), "localhost", "is for another host name"),
        (&wildcard, Some(&ca), "localhost", "is for another host name"),
        (&good, Some(&ca), "127.0.0.1", "is for another host name"),
        (&stranger, Some(&ca), "localhost", "from an unknown authority"),
        (&good, None, "localhost", "spec.tls.caBundleRef, or in --trust-bundle"),
    ] {
        let server = Handshake::start(Arc::new(server(chain, key)));
        let settings = trust.map_or_else(|| settings(&LOOPBACK), |pem| trusting(pem));
        let (reason, message) = refused(&connect(settings), server.url(host)).await;
        assert_eq!(reason, Reason::TLSFailed, "{words}");
        assert!(message.contains(words), "{message} lacks {words}");
        assert_eq!(server.read.load(Ordering::SeqCst), 0, "{words}");
    }
    // The counter works.
    let server = Handshake::start(Arc::new(server(&good[0], &good[1])));
    let request = request(server.url("localhost"), Duration::from_millis(500));
    connect(trusting(&ca)).ask(&request).await.result.unwrap_err();
    assert!(server.read.load(Ordering::SeqCst) > 100);
}

#[tokio::test]
async fn tls_1_1_is_not_spoken() {
    // A ServerHello of TLS 1.1 that chooses TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA.
    let mut hello = vec![22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x13, 0]);
    // The alert by which a server with TLS 1.1 alone refuses.
    let alert = vec![21, 3, 1, 0, 2, 2, 70];
    for answer in [hello, alert] {
        let (address, told) = raw(answer);
        let url = Url::parse(&format!("https://localhost:{}/token", address.port())).unwrap();
        let (reason, message) = refused(&connect(settings(&LOOPBACK)), url).await;
        assert_eq!(reason, Reason::TLSFailed);
        assert!(message.contains("has no TLS 1.2 or 1.3 in common"), "{message}");
        assert!(!told.recv().unwrap(), "data was sent");
    }
}

#[tokio::test]
async fn a_port_without_tls_is_a_matter_of_trust() {
    let (address, told) = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let url = Url::parse(&format!("https://localhost:{}/token", address.port())).unwrap();
    let (reason, message) = refused(&connect(settings(&LOOPBACK)), url).await;
    assert_eq!(reason, Reason::TLSFailed);
    assert!(message.contains("it does not speak TLS on this port"), "{message}");
    assert!(!told.recv().unwrap(), "data was sent");
}

#[tokio::test]
async fn a_bundle_is_trusted_beside_the_operators_own() {
    let (of_all, of_one, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let endpoint = Endpoint::new(trusting(&of_all.pem())).unwrap();
    let start = |authority: &Authority| {
        Server::start(Habit::Say(TOKEN.into()), Some(authority.server(&["localhost"])))
    };
    let servers = [start(&of_all), start(&of_one), start(&stranger)];
    let plain = endpoint.connection(&Transport::default()).unwrap();
    let one = endpoint.connection(&ca_bundle(&of_one.pem())).unwrap();
    let both = format!("# ours\n{}{}", of_one.pem(), stranger.pem());
    let both = endpoint.connection(&ca_bundle(&both)).unwrap();
    for (connection, believed) in
        [(plain, [true, false, false]), (one, [true, true, false]), (both, [true, true, true])]
    {
        for (server, believed) in servers.iter().zip(believed) {
            let url = server.url("https", "localhost");
            if believed {
                assert_eq!(token(&connection, url).await, "t0k3n");
            } else {
                assert_eq!(refused(&connection, url).await.0, Reason::TLSFailed);
            }
        }
    }
}

#[test]
fn a_bundle_that_can_not_be_read_says_so() {
    let endpoint = Endpoint::new(settings(&[])).unwrap();
    let good = Authority::new().pem();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (pem, words) in [
        (String::new(), "holds no certificate"),
        ("hello".to_owned(), "holds no certificate"),
        (KeyPair::generate().unwrap().serialize_pem(), "holds no certificate"),
        (broken.to_owned(), "has a certificate that can't be read"),
        (format!("{good}{broken}"), "has a certificate that can't be read"),
        ("-----BEGIN CERTIFICATE-----\n!\n".to_owned(), "has a PEM block that can't be read"),
    ] {
        let fault = endpoint.connection(&ca_bundle(&pem)).unwrap_err();
        assert_eq!(fault.reason, Reason::CABundleNotFound);
        for part in [words, "spec.tls.caBundleRef", "store the authority's certificates"] {
            assert!(fault.message.contains(part), "{} lacks {part}", fault.message);
        }
        scan(&format!("{fault:?}"));
    }
}

#[test]
fn a_trust_bundle_that_holds_nothing_stops_the_start() {
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Endpoint::new(trusting(pem)).is_err(), "{pem}");
    }
}
