//! The grammar of hosts and URLs, both ways, and what an annotation consents to.
#![allow(clippy::too_many_lines, reason = "tables of cases")]

use super::*;

fn host(url: &str) -> TokenHost {
    token_endpoint(url, true).unwrap().host
}

fn required() -> ConsentPolicy {
    ConsentPolicy { required: true, cluster_wide: None }
}

#[test]
fn an_entry_is_read_only_in_its_one_spelling() {
    fn check(entry: &str, read: Option<&str>) {
        let found = TokenHost::parse(entry).map(|host| host.to_string());
        assert_eq!(found.as_deref(), read, "{entry:?}");
    }
    for entry in [
        "idp.example.com",
        "idp.example.com:8443",
        "localhost",
        "localhost:1",
        "a:65535",
        "my_idp.corp",
        "xn--bcher-kva.example",
        "10.0.0.5",
        "10.0.0.5:8443",
        "[2001:db8::1]",
        "[2001:db8::1]:8443",
        "idp-1.eu.example.com",
        "1password.example.com",
    ] {
        check(entry, Some(entry));
    }
    check("idp.example.com:443", Some("idp.example.com"));
    check("[::1]:443", Some("[::1]"));
    check("[2001:0db8:0:0::1]", Some("[2001:db8::1]"));
    for entry in [
        "",
        " ",
        "IDP.example.com",
        "idp.Example.com",
        "idp.example.com.",
        ".",
        "..",
        ".example.com",
        "idp..example.com",
        "user@idp.example.com",
        "user:pw@idp.example.com",
        "*",
        "*.example.com",
        "idp.*.com",
        "bücher.example",
        "BÜCHER.example",
        "xn--a",
        "xn--BCHER-kva.example",
        "https://idp.example.com",
        "idp.example.com/",
        "idp.example.com/token",
        "idp.example.com?x",
        "idp.example.com#x",
        "idp.example.com:",
        "idp.example.com:0",
        "idp.example.com:08443",
        "idp.example.com:65536",
        "idp.example.com:+1",
        "idp.example.com:https",
        "idp.example.com: 1",
        "idp example.com",
        "idp.example.com\n",
        "%69dp.example.com",
        "-idp.example.com",
        "idp-.example.com",
        "10.0.0.05",
        "10.1",
        "0x7f.1",
        "2130706433",
        "10.0.0.5.",
        "1.2.3.4.5",
        "256.1.1.1",
        "2001:db8::1",
        "[2001:DB8::1]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[fe80::1%eth0]",
        "[10.0.0.5]",
        "[]",
        "[::1]x",
        "[::1]:",
        "idp\"x",
        "\"idp.example.com\"",
        "a;b",
        "a{b",
        "idp.example.com\\x",
    ] {
        check(entry, None);
    }
    let label = "a".repeat(64);
    check(&format!("{label}.example.com"), None);
    check(&["abcdefgh"; 30].join("."), None);
}

#[test]
fn a_url_is_reduced_to_the_host_that_needs_consent() {
    fn check(url: &str, host: &str) {
        assert_eq!(token_endpoint(url, true).unwrap().host.to_string(), host, "{url}");
        // What is shown can be written into the annotation.
        assert_eq!(TokenHost::parse(host).unwrap().to_string(), host, "{url}");
    }
    for (url, host) in [
        ("https://idp.example.com/oauth2/token", "idp.example.com"),
        ("https://idp.example.com", "idp.example.com"),
        ("https://idp.example.com:443/t", "idp.example.com"),
        ("https://idp.example.com:0443/t", "idp.example.com"),
        ("https://idp.example.com:8443/t", "idp.example.com:8443"),
        ("https://IDP.Example.COM/t", "idp.example.com"),
        ("https://bücher.example/t", "xn--bcher-kva.example"),
        ("https://BÜCHER.example/t", "xn--bcher-kva.example"),
        ("https://b%C3%BCcher.example/t", "xn--bcher-kva.example"),
        ("https://xn--bcher-kva.example/t", "xn--bcher-kva.example"),
        ("https://ｉｄｐ.example/t", "idp.example"),
        ("https://idp。example/t", "idp.example"),
        ("https://%69dp.example.com/t", "idp.example.com"),
        ("http://idp.example.com/t", "idp.example.com:80"),
        ("http://idp.example.com:80/t", "idp.example.com:80"),
        ("http://idp.example.com:8080/t", "idp.example.com:8080"),
        ("http://idp.example.com:443/t", "idp.example.com"),
        ("https://10.0.0.5/t", "10.0.0.5"),
        ("https://0x0a.5/t", "10.0.0.5"),
        ("https://[2001:DB8:0::1]/t", "[2001:db8::1]"),
        ("https://[::1]:8443/t", "[::1]:8443"),
        ("http://[::1]/t", "[::1]:80"),
        ("https://idp.example.com/t?api-version=1@2", "idp.example.com"),
        ("https://idp.example.com/a@b/t", "idp.example.com"),
        ("https://my_idp.corp/t", "my_idp.corp"),
    ] {
        check(url, host);
    }
}

#[test]
fn a_url_that_would_mislead_is_refused_and_the_message_says_what_to_do() {
    fn check(url: &str, fault: UrlFault) {
        assert_eq!(token_endpoint(url, false), Err(fault), "{url}");
        let message = fault.message("spec.tokenURL");
        assert!(message.contains("spec.tokenURL"), "{message}");
    }
    for (url, fault) in [
        ("", UrlFault::Unparsable),
        ("idp.example.com/token", UrlFault::Unparsable),
        ("/token", UrlFault::Unparsable),
        ("ftp://idp.example.com/t", UrlFault::Unparsable),
        ("HTTPS://idp.example.com/t", UrlFault::Unparsable),
        ("https:idp.example.com/t", UrlFault::Unparsable),
        ("https:///idp.example.com/t", UrlFault::Unparsable),
        ("https://", UrlFault::Unparsable),
        ("https://idp.example.com:99999/t", UrlFault::Unparsable),
        ("https://idp.example.com/a b", UrlFault::Unparsable),
        ("https://idp.example.com/t\n", UrlFault::Unparsable),
        ("https://idp\t.example.com/t", UrlFault::Unparsable),
        ("https://idp.example.com\\@evil.example/t", UrlFault::Unparsable),
        ("https://[::1/t", UrlFault::Unparsable),
        ("https://1.2.3.4.5/t", UrlFault::Unparsable),
        ("http://idp.example.com/t", UrlFault::Insecure),
        ("https://user@idp.example.com/t", UrlFault::UserInfo),
        ("https://user:pw@idp.example.com/t", UrlFault::UserInfo),
        ("https://@idp.example.com/t", UrlFault::UserInfo),
        ("https://:@idp.example.com/t", UrlFault::UserInfo),
        ("https://idp.example.com./t", UrlFault::TrailingDot),
        ("https://idp.example.com.:8443/t", UrlFault::TrailingDot),
        ("https://idp.example.com。/t", UrlFault::TrailingDot),
        ("https://10.0.0.5./t", UrlFault::TrailingDot),
        ("https://idp.example.com/t#", UrlFault::Fragment),
        ("https://idp.example.com/t#a", UrlFault::Fragment),
        ("https://*.example.com/t", UrlFault::Host),
        ("https://a,b.example.com/t", UrlFault::Host),
        ("https://a\"b.example.com/t", UrlFault::Host),
        ("https://idp..example.com/t", UrlFault::Host),
        ("https://idp.example.com:0/t", UrlFault::Host),
    ] {
        check(url, fault);
    }
}

#[test]
fn consent_is_given_by_the_exact_host_and_port() {
    fn check(annotation: &str, url: &str, given: bool) {
        let consent = consent(&required(), Some(annotation), &host(url));
        assert_eq!(consent == Consent::Given, given, "{annotation:?} {url}: {consent:?}");
    }
    for (annotation, url) in [
        ("idp.example.com", "https://idp.example.com/t"),
        ("idp.example.com", "https://IDP.EXAMPLE.com:443/t"),
        (" a.example , idp.example.com ", "https://idp.example.com/t"),
        ("a.example,\n  idp.example.com,", "https://idp.example.com/t"),
        ("idp.example.com:8443", "https://idp.example.com:8443/t"),
        ("idp.example.com:80", "http://idp.example.com/t"),
        ("xn--bcher-kva.example", "https://bücher.example/t"),
        ("[2001:db8::1]", "https://[2001:db8:0::1]/t"),
        ("[::ffff:10.0.0.5]", "https://[::ffff:a00:5]/t"),
    ] {
        check(annotation, url, true);
    }
    for (annotation, url) in [
        ("", "https://idp.example.com/t"),
        (" , ", "https://idp.example.com/t"),
        ("example.com", "https://idp.example.com/t"),
        ("idp.example.com", "https://example.com/t"),
        ("idp.example.com", "https://idp.example.com.evil.example/t"),
        ("idp.example.com", "https://idp.example.com:8443/t"),
        ("idp.example.com", "http://idp.example.com/t"),
        ("idp.example.com:8443", "https://idp.example.com/t"),
        ("bücher.example", "https://bücher.example/t"),
        ("idp.example.com,*.example.com", "https://idp.example.com/t"),
        ("idp.example.com,IDP2.example.com", "https://idp.example.com/t"),
        ("idp.example.com a.example", "https://idp.example.com/t"),
        ("10.0.0.5", "https://[::ffff:10.0.0.5]/t"),
    ] {
        check(annotation, url, false);
    }
}

#[test]
fn the_line_to_add_keeps_what_is_there() {
    fn check(annotation: Option<&str>, line: &str) {
        let expected = format!("oauthcc.dev/allowed-token-hosts: \"{line}\"");
        match consent(&required(), annotation, &host("https://idp.example.com/t")) {
            Consent::Missing { line } | Consent::Malformed { line, .. } => {
                assert_eq!(line, expected);
            }
            other @ (Consent::Given | Consent::NotListedByCluster) => panic!("{other:?}"),
        }
    }
    check(None, "idp.example.com");
    check(Some(""), "idp.example.com");
    check(
        Some("b.example:8443, a.example,b.example:8443"),
        "b.example:8443,a.example,idp.example.com",
    );
    check(Some("a.example,IDP.example.com"), "a.example,idp.example.com");
    check(Some("idp.example.com,*"), "idp.example.com");
    check(Some(&"aaaaaaaa.example,".repeat(1000)), "aaaaaaaa.example,idp.example.com");
    let many: Vec<String> = (0..1000).map(|n| format!("a{n}.example")).collect();
    check(Some(&many.join(",")), "...,idp.example.com");
}

#[test]
fn a_malformed_entry_is_named_cut_and_clean() {
    fn check(annotation: &str, expected: &str) {
        match consent(&required(), Some(annotation), &host("https://idp.example.com/t")) {
            Consent::Malformed { entry, .. } => assert_eq!(entry, expected),
            other @ (Consent::Given | Consent::Missing { .. } | Consent::NotListedByCluster) => {
                panic!("{other:?}")
            }
        }
    }
    check("a.example,*.example.com,B.example", "*.example.com");
    check("a\u{1b}[31m\nb\u{202e}", "a?[31m?b?");
    check("bücher.example", "bücher.example");
    check(&"X".repeat(5000), &"X".repeat(100));
}

#[test]
fn settings_relax_and_narrow() {
    let idp = host("https://idp.example.com/t");
    let optional = ConsentPolicy { required: false, cluster_wide: None };
    assert_eq!(consent(&optional, None, &idp), Consent::Given);
    // An owner who wrote a list meant it, whatever the flag says.
    assert!(matches!(consent(&optional, Some("a.example"), &idp), Consent::Missing { .. }));
    assert!(matches!(consent(&optional, Some("*"), &idp), Consent::Malformed { .. }));
    for required in [true, false] {
        let listed = ConsentPolicy { required, cluster_wide: Some(vec![idp.clone()]) };
        assert_eq!(consent(&listed, Some("idp.example.com"), &idp), Consent::Given);
        let other = ConsentPolicy { required, cluster_wide: Some(Vec::new()) };
        assert_eq!(consent(&other, Some("idp.example.com"), &idp), Consent::NotListedByCluster);
    }
}
