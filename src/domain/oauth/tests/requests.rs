//! What is sent, byte for byte.
//!
//! **Invariant:** every case is compared whole; no case depends on another.

use super::*;

#[test]
fn basic_encodes_id_and_secret_one_by_one() {
    fn check(id: &str, secret: &str, pair: &str) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        for method in [None, Some(ClientAuthenticationMethod::ClientSecretBasic)] {
            let request = request(&spec(method), id, secret);
            let header = request.header("authorization").unwrap();
            assert_eq!(header, format!("Basic {}", STANDARD.encode(pair)), "{id} {secret}");
            assert_eq!(request.body.as_ref().unwrap().expose(), "grant_type=client_credentials");
            assert_eq!(request.traits.encoding_matters, pair.contains('%'));
        }
    }
    check("app", "s3cr3t", "app:s3cr3t");
    check("a-b.c_d~e", "A-Z.0_9~z", "a-b.c_d~e:A-Z.0_9~z");
    check("a:b", "c:d", "a%3Ab:c%3Ad");
    check("a b", "c d", "a%20b:c%20d");
    check("a+b", "c+d", "a%2Bb:c%2Bd");
    check("a%b", "%20", "a%25b:%2520");
    check("a/b", "c/d==", "a%2Fb:c%2Fd%3D%3D");
    check("a&b=c", "~&=~", "a%26b%3Dc:~%26%3D~");
    check("ü", "日本€", "%C3%BC:%E6%97%A5%E6%9C%AC%E2%82%AC");
    check("\"'(*)!", "<>#?", "%22%27%28%2A%29%21:%3C%3E%23%3F");
    // RFC 6749 §2.3.1 example, byte for byte.
    let request = request(&spec(None), "s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw");
    let header = request.header("authorization");
    assert_eq!(header.unwrap(), "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
}

#[test]
fn the_body_is_written_byte_for_byte() {
    fn check(scopes: &[&str], audience: Option<&str>, id: &str, secret: &str, body: &str) {
        let spec = OAuthClientCredentialSpec {
            scopes: scopes.iter().map(ToString::to_string).collect(),
            audience: audience.map(str::to_owned),
            ..spec(Some(ClientAuthenticationMethod::ClientSecretPost))
        };
        let request = request(&spec, id, secret);
        assert_eq!(request.body.as_ref().unwrap().expose(), body);
        // Exactly one method (RFC 6749 §2.3).
        assert!(request.header("authorization").is_none());
    }
    let start = "grant_type=client_credentials";
    check(&[], None, "app", "s3cr3t", &format!("{start}&client_id=app&client_secret=s3cr3t"));
    check(
        &["orders.read", "https://graph.example/.default"],
        Some("https://api.example.com/?a=1&b"),
        "a:b",
        "c +%/&=~ü",
        &format!(
            "{start}&scope=orders.read%20https%3A%2F%2Fgraph.example%2F.default\
             &audience=https%3A%2F%2Fapi.example.com%2F%3Fa%3D1%26b\
             &client_id=a%3Ab&client_secret=c%20%2B%25%2F%26%3D~%C3%BC"
        ),
    );
    check(&["a"], None, "i", "s", &format!("{start}&scope=a&client_id=i&client_secret=s"));
    check(&[], Some(""), "i", "s", &format!("{start}&audience=&client_id=i&client_secret=s"));
}

#[test]
fn url_and_timeout_are_those_of_the_spec() {
    let mut spec = spec(None);
    assert_eq!(request(&spec, "a", "b").timeout, Duration::from_secs(10));
    assert_eq!(request(&spec, "a", "b").url.query(), Some("api-version=1"));
    spec.request = Some(RequestOptions {
        timeout: Some("2500ms".parse().unwrap()),
        ..RequestOptions::default()
    });
    assert_eq!(request(&spec, "a", "b").timeout, Duration::from_millis(2500));
}

#[test]
fn a_secret_value_loses_one_line_end_and_nothing_else() {
    fn check(value: &[u8], expected: Result<&str, ValueFault>) {
        assert_eq!(secret_text(value), expected.map(str::to_owned), "{value:?}");
    }
    for (value, text) in [
        ("a", "a"),
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("a\r", "a"),
        (" a b ", " a b "),
        ("ü", "ü"),
        (" \n", " "),
        ("a\u{a0}", "a\u{a0}"),
    ] {
        check(value.as_bytes(), Ok(text));
    }
    for value in ["", "\n", "\r\n", "\r"] {
        check(value.as_bytes(), Err(ValueFault::Empty));
    }
    for value in ["a\n\n", "\na", "a\nb", "a\n\r", "a\tb", "a\0", "\u{7f}", "a\u{85}", "\u{1b}[31m"]
    {
        check(value.as_bytes(), Err(ValueFault::ControlCharacter));
    }
    check(b"\xff\xfea", Err(ValueFault::NotUtf8));
    check(b"caf\xe9\n", Err(ValueFault::NotUtf8));
}
