//! What is sent, byte for byte.
//!
//! **Invariant:** every case is compared whole; no case depends on another.

mod assertions;
mod bodies;
mod headers;
mod keys;
mod laws;
mod refused;
mod revocations;
mod vectors;

use std::fmt::Write;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::*;
use crate::domain::plan::{Fault, RequestPlan};

const TOKEN_URL: &str = "https://idp.example.com/token";

/// The spec that every case has in common, with the members of `over` in place of its own.
fn spec_with(over: &Value) -> OAuthClientCredentialSpec {
    let mut spec = json!({"tokenURL": TOKEN_URL, "credentialsSecretRef": {"name": "client"}});
    for (name, value) in over.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn plan_with(over: &Value) -> RequestPlan {
    plan::plan(&spec_with(over)).unwrap_or_else(|fault| panic!("{over}: {fault:?}"))
}

/// What was read: `id`, `secret`, `account`, `key`, or the n-th entry as `parameter n`, `header n`.
fn read(given: &[(&str, &str)]) -> RequestValues {
    let mut values = values("app", "s3cr3t");
    for (what, value) in given {
        let text = Redacted::new((*value).to_owned());
        match what.split_once(' ') {
            None if *what == "id" => values.client_id = Some(text),
            None if *what == "secret" => values.client_secret = Some(text),
            None if *what == "account" => values.service_account_token = Some(text),
            None if *what == "key" => {
                values.signing_key = Some(Redacted::new(value.as_bytes().to_vec()));
            }
            Some(("parameter", n)) => drop(values.parameters.insert(n.parse().unwrap(), text)),
            Some(("header", n)) => drop(values.headers.insert(n.parse().unwrap(), text)),
            _ => panic!("{what}"),
        }
    }
    values
}

/// The request at a fixed time, with a fixed `jti`.
fn ask(plan: &RequestPlan, values: &RequestValues) -> Result<TokenRequest, Fault> {
    token_request(plan, url_of(plan), values, now(), Entropy([7; 16]))
}

/// The URL that the plan names; with an issuer, the one that every case has.
fn url_of(plan: &RequestPlan) -> Url {
    let written = match &plan.location {
        plan::Location::TokenUrl(url) => url,
        plan::Location::Issuer(_) => TOKEN_URL,
    };
    Url::parse(written).unwrap()
}

/// Method, URL, headers and body as they stand in HTTP.
fn as_text(request: &TokenRequest) -> String {
    let method = match request.http_method {
        HttpMethod::Post => "POST",
        HttpMethod::Get => "GET",
    };
    let mut text = format!("{method} {}\n", request.url);
    for (name, value) in &request.headers {
        writeln!(text, "{name}: {}", value.expose()).unwrap();
    }
    if let Some(body) = &request.body {
        write!(text, "\n{}", body.expose()).unwrap();
    }
    text
}

/// Compares the whole request.
fn check(name: &str, plan: &RequestPlan, given: &[(&str, &str)], expected: &str) {
    let request = ask(plan, &read(given)).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
    assert_eq!(as_text(&request), expected, "{name}");
}

/// A POST of a form without an `Authorization` header.
fn form_post(url: &str, body: &str) -> String {
    format!("POST {url}\naccept: application/json\ncontent-type: {FORM}\n\n{body}")
}

/// A POST of nothing but the grant type, with this `Authorization` header.
fn authorized(authorization: &str) -> String {
    format!(
        "POST {TOKEN_URL}\naccept: application/json\ncontent-type: {FORM}\n\
         authorization: {authorization}\n\ngrant_type=client_credentials"
    )
}

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
