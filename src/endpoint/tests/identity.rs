//! Client certificates (RFC 8705), and which requests share a connection.

use rustls::{RootCertStore, SupportedProtocolVersion, server::WebPkiClientVerifier, version};

use super::*;

fn own(chain: &str, key: &str) -> Transport {
    let [chain, key] = [chain, key].map(|pem| Redacted::new(pem.as_bytes().to_vec()));
    Transport { ca_bundle: None, client_certificate: Some(ClientCertificate { chain, key }) }
}

/// A server that asks for a certificate of this authority.
fn asking(
    authority: &Authority,
    clients: &Authority,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ders(&clients.pem()).remove(0)).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let [chain, key] = authority.issue(&["localhost"], |_| ());
    ServerConfig::builder_with_protocol_versions(versions)
        .with_client_cert_verifier(verifier)
        .with_single_cert(ders(&chain), key_der(&key))
        .unwrap()
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_who_asks_for_it() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let [chain, key] = clients.issue(&["app"], |_| ());
    let endpoint = Endpoint::new(trusting(&authority.pem())).unwrap();
    let connection = endpoint.connection(&own(&chain, &key)).unwrap();
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let config = asking(&authority, &clients, versions);
        let (url, connections) = burst::http_2(&config).await;
        assert_eq!(token(&connection, url).await, "t0k3n");
        assert_eq!(connections.load(Ordering::SeqCst), 1);
        let server = Server::start(Habit::Say(TOKEN.into()), Some(Arc::new(config)));
        assert_eq!(token(&connection, server.url("https", "localhost")).await, "t0k3n");
    }
    // Who does not ask sees none.
    let server = Server::start(Habit::Say(TOKEN.into()), Some(authority.server(&["localhost"])));
    assert_eq!(token(&connection, server.url("https", "localhost")).await, "t0k3n");
}

#[tokio::test]
async fn a_certificate_that_is_missed_or_refused_is_a_matter_of_trust() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let [chain, key] = strangers.issue(&["app"], |_| ());
    let [old_chain, old_key] = clients.issue(&["app"], |params| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    let none = Transport::default();
    let (stranger, expired) = (own(&chain, &key), own(&old_chain, &old_key));
    let endpoint = Endpoint::new(trusting(&authority.pem())).unwrap();
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let config = asking(&authority, &clients, versions);
        for (transport, words) in [
            (&none, "set spec.tls.clientCertificateSecretRef"),
            (&stranger, "check the Secret of spec.tls.clientCertificateSecretRef"),
            (&expired, "says that the client certificate has expired"),
        ] {
            let connection = endpoint.connection(transport).unwrap();
            let server = Server::start(Habit::Say(TOKEN.into()), Some(Arc::new(config.clone())));
            let (reason, message) = refused(&connection, server.url("https", "localhost")).await;
            assert_eq!(reason, Reason::TLSFailed, "{versions:?} {words}");
            assert!(message.contains(words), "{message} lacks {words}");
            assert_eq!((server.heard().len(), server.connections()), (0, 1));
            // HTTP/2 tells less of the cause, and trust all the same.
            let (url, _) = burst::http_2(&config).await;
            let (reason, message) = refused(&connection, url).await;
            assert_eq!(reason, Reason::TLSFailed, "{versions:?} {words}: {message}");
            assert!(message.contains("spec.tls.clientCertificateSecretRef"), "{message}");
        }
    }
}

#[test]
fn a_certificate_or_a_key_that_can_not_be_used_says_so() {
    let endpoint = Endpoint::new(settings(&[])).unwrap();
    let authority = Authority::new();
    let [chain, key] = authority.issue(&["app"], |_| ());
    let [_, other_key] = authority.issue(&["app"], |_| ());
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
               DEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let with_broken = format!("{chain}{broken}");
    let (certificate, invalid) = (Reason::CertificateNotFound, Reason::ClientKeyInvalid);
    for (chain, key, reason, words) in [
        ("", key.as_str(), certificate, "holds no certificate"),
        (&key, &key, certificate, "holds no certificate"),
        (broken, &key, certificate, "has a certificate that can't be read"),
        (&with_broken, &key, certificate, "has a certificate that can't be read"),
        ("-----BEGIN CERTIFICATE-----\n!\n", &key, certificate, "a PEM block that can't be read"),
        (&chain, "", invalid, "holds no private key that can be read"),
        (&chain, &chain, invalid, "holds no private key that can be read"),
        (&chain, no_key, invalid, "is of a kind that TLS can't use"),
        (&chain, encrypted, invalid, "is encrypted"),
        (&chain, old, invalid, "is encrypted"),
        (&chain, &other_key, invalid, "is not the key of the certificate in tls.crt"),
    ] {
        let fault = endpoint.connection(&own(chain, key)).unwrap_err();
        assert_eq!(fault.reason, reason, "{words}");
        for part in [words, "spec.tls.clientCertificateSecretRef"] {
            assert!(fault.message.contains(part), "{} lacks {part}", fault.message);
        }
        for line in key.lines().filter(|line| line.len() > 20 && !line.starts_with('-')) {
            assert!(!format!("{fault:?}").contains(line));
        }
    }
}

#[test]
fn what_else_stands_in_the_files_is_passed_over() {
    let endpoint = Endpoint::new(settings(&[])).unwrap();
    let authority = Authority::new();
    let [chain, key] = authority.issue(&["app"], |_| ());
    let public = KeyPair::generate().unwrap().public_key_pem();
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let chain = format!("Bag Attributes\n{public}{chain}{}", authority.pem());
    endpoint.connection(&own(&chain, &format!("{parameters}{key}{chain}"))).unwrap();
}

#[tokio::test]
async fn a_connection_is_shared_by_equal_trust_and_identity_only() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let [chain, key] = clients.issue(&["app"], |_| ());
    let [other_chain, other_key] = clients.issue(&["app"], |_| ());
    let endpoint = Endpoint::new(trusting(&authority.pem())).unwrap();
    let config = asking(&authority, &clients, &[&version::TLS13]);
    let server = Server::start(Habit::Keep(TOKEN.into()), Some(Arc::new(config)));
    let with_bundle = Transport { ..ca_bundle(&clients.pem()) };
    let mut opened = Vec::new();
    for transport in [
        own(&chain, &key),
        own(&chain, &key),
        own(&other_chain, &other_key),
        Transport { client_certificate: own(&chain, &key).client_certificate, ..with_bundle },
        own(&chain, &key),
    ] {
        let connection = endpoint.connection(&transport).unwrap();
        assert_eq!(token(&connection, server.url("https", "localhost")).await, "t0k3n");
        opened.push(server.connections());
    }
    assert_eq!(opened, [1, 1, 2, 3, 3]);
    let plain = endpoint.connection(&Transport::default()).unwrap();
    assert_eq!(refused(&plain, server.url("https", "localhost")).await.0, Reason::TLSFailed);
    scan(&format!("{endpoint:?} {plain:?}"));
}

#[test]
fn clients_are_kept_up_to_a_limit() {
    let endpoint = Endpoint::new(settings(&[])).unwrap();
    let bundle = Authority::new().pem();
    for n in 0..70 {
        // A comment makes another bundle.
        endpoint.connection(&ca_bundle(&format!("# {n}\n{bundle}"))).unwrap();
    }
    assert_eq!(endpoint.transports.kept(), 64);
}

#[test]
fn an_absent_part_is_unlike_an_empty_one() {
    let parts = [
        Transport::default(),
        ca_bundle(""),
        ca_bundle("a"),
        own("", ""),
        own("a", ""),
        own("", "a"),
        own("a", "b"),
        own("ab", ""),
    ];
    let keys = parts.each_ref().map(TransportKey::of);
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(keys.iter().filter(|other| *other == key).count(), 1, "{n}");
    }
}
