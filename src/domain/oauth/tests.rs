//! Requests byte for byte, and what answers mean.
#![allow(clippy::too_many_lines, reason = "tables of cases")]

use proptest::prelude::*;

use super::*;
use crate::domain::{
    crd::{ClientAuthentication, RequestOptions},
    reason::Class,
};

const NOW: &str = "2026-03-01T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn client(id: &str, secret: &str) -> ClientCredentials {
    ClientCredentials { id: id.to_owned(), secret: Redacted::new(secret.to_owned()) }
}

fn request(spec: &OAuthClientCredentialSpec, id: &str, secret: &str) -> TokenRequest {
    let url = Url::parse("https://idp.example.com/token?api-version=1").unwrap();
    token_request(spec, url, &client(id, secret))
}

fn spec(method: Option<ClientAuthenticationMethod>) -> OAuthClientCredentialSpec {
    OAuthClientCredentialSpec {
        client_authentication: Some(ClientAuthentication { method }),
        ..OAuthClientCredentialSpec::default()
    }
}

#[test]
fn basic_encodes_id_and_secret_one_by_one() {
    fn check(id: &str, secret: &str, pair: &str) {
        use base64::{Engine, engine::general_purpose::STANDARD};
        for method in [None, Some(ClientAuthenticationMethod::ClientSecretBasic)] {
            let request = request(&spec(method), id, secret);
            let header = request.authorization.as_ref().unwrap().expose();
            assert_eq!(header, &format!("Basic {}", STANDARD.encode(pair)), "{id} {secret}");
            assert_eq!(request.body.expose(), "grant_type=client_credentials");
            assert_eq!(form::encoding_changed(&Redacted::new(header.clone())), pair.contains('%'));
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
    let header =
        request(&spec(None), "s6BhdRkqt3", "7Fjfp0ZBr1KtDRbnfVdmIw").authorization.unwrap();
    assert_eq!(header.expose(), "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");
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
        assert_eq!(request.body.expose(), body);
        // Exactly one method (RFC 6749 §2.3).
        assert!(request.authorization.is_none());
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
    spec.request = Some(RequestOptions { timeout: Some("2500ms".parse().unwrap()) });
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

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let lines = |name: &'static str| {
        let of_name = headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| (*value).to_owned()).collect()
    };
    let body = Redacted::new(body.to_vec());
    Answer { status, headers: AnswerHeaders::read(lines), body }
}

fn granted(content_type: &str, body: &str) -> Grant {
    let headers = [("content-type", content_type)];
    read_answer(&answer(200, &headers, body.as_bytes()), now())
        .unwrap_or_else(|error| panic!("{body}: {error:?}"))
}

fn refused(status: u16, headers: &[(&str, &str)], body: &str) -> RequestError {
    match read_answer(&answer(status, headers, body.as_bytes()), now()) {
        Ok(_) => panic!("{status} {body}"),
        Err(error) => error,
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const HTML: &str = "text/html; charset=utf-8";

#[test]
fn a_token_is_found_whatever_the_wrapping() {
    fn check(content_type: &str, body: &str) {
        let grant = granted(content_type, body);
        assert_eq!(grant.token.expose(), "t0k3n", "{body}");
        assert_eq!(grant.token_type, "Bearer", "{body}");
    }
    for content_type in [JSON, "", "text/plain", "text/javascript", HTML, FORM, "application/jwt"] {
        check(content_type, r#"{"access_token":"t0k3n"}"#);
    }
    for body in [
        r#"{"access_token":"t0k3n","token_type":"Bearer"}"#,
        r#"{"access_token":"t0k3n","token_type":"bearer"}"#,
        r#"{"access_token":"t0k3n","token_type":"BEARER"}"#,
        r#"{"access_token":"t0k3n","token_type":"BearerToken"}"#,
        r#"{"access_token":"t0k3n","token_type":" Bearer "}"#,
        r#"{"access_token":"t0k3n","token_type":""}"#,
        r#"{"access_token":"t0k3n","token_type":null}"#,
        r#"{"access_token":"t0k3n","error":null}"#,
        r#"{"access_token":"t0k3n","error":""}"#,
        r#"{"access_token":"t0k3n","error":false}"#,
        r#"{"access_token":"t0k3n","error":0}"#,
        r#"{"access_token":"t0k3n","refresh_token":"r","id_token":{"a":[1]},"x":"\ud83d\ude00"}"#,
        r#"{"token_type":"a","token_type":"Bearer","access_token":"t0k3n"}"#,
        r#"{"\u0061ccess_token":"t0k\u0033n"}"#,
        "\u{feff}{\"access_token\":\"t0k3n\"}",
        " \r\n\t{ \"access_token\" : \"t0k3n\" }\n",
    ] {
        check(JSON, body);
    }
    for content_type in [FORM, "application/X-WWW-form-urlencoded; charset=utf-8", "text/plain", ""]
    {
        check(content_type, "access_token=t0k3n&token_type=bearer&expires_in=3600&scope=a+b");
    }
    check(FORM, "access_token=t0k3n&error=&refresh_token=r&access_tokens=x");
    check(FORM, "access%5Ftoken=t0k%33n");
    for status in [200, 201, 203, 299] {
        let answer = answer(status, &[], br#"{"access_token":"t0k3n"}"#);
        assert_eq!(read_answer(&answer, now()).unwrap().token.expose(), "t0k3n");
    }
    // A description in Latin-1 does not cost the token.
    let latin = b"{\"access_token\":\"t0k3n\",\"note\":\"caf\xe9\"}";
    assert!(read_answer(&answer(200, &[], latin), now()).is_ok());
}

#[test]
fn a_success_that_can_not_be_used_is_refused() {
    fn check(content_type: &str, body: &str, reason: Reason) {
        let error = refused(200, &[("content-type", content_type)], body);
        assert_eq!((error.reason, error.status), (reason, Some(200)), "{body}");
        assert!(error.hint.is_some() || error.code.is_some(), "{body}");
    }
    let long = format!(r#"{{"access_token":"{}"}}"#, "a".repeat(MAX_TOKEN_BYTES + 1));
    let large = format!(r#"{{"access_token":"t"}}{}"#, " ".repeat(MAX_BODY_BYTES));
    let large_form = format!("access_token={}", "a".repeat(MAX_BODY_BYTES));
    let deep = format!(r#"{{"access_token":{}"#, "[".repeat(10_000));
    for body in [
        "",
        " ",
        "null",
        "[]",
        "\"t0k3n\"",
        "t0k3n",
        "{",
        "{}",
        "{]",
        "{\"access_token\":\"t\"}}",
        r#"{"access_token":"t"} {"a":1}"#,
        r#"{"access_token":"t""#,
        r#"{"access_token":null}"#,
        r#"{"access_token":""}"#,
        r#"{"access_token":7}"#,
        r#"{"access_token":["t"]}"#,
        r#"{"access_token":{"token":"t"}}"#,
        r#"{"Access_Token":"t"}"#,
        r#"{"data":{"access_token":"t"}}"#,
        r#"{"access_token":"a b"}"#,
        r#"{"access_token":"a\n"}"#,
        r#"{"access_token":"a\r\nX: y"}"#,
        r#"{"access_token":"a\u0000"}"#,
        r#"{"access_token":"tök"}"#,
        r#"{"access_token":" t"}"#,
        r#"{"access_token":"t","access_token":"t"}"#,
        r#"{"access_token":"t","access_token":null}"#,
        r#"{"access_token":null,"access_token":"t"}"#,
        r#"{"access_token":"t","\u0061ccess_token":"u"}"#,
        r#"{"access_token":"t","error":"quota_exceeded"}"#,
        r#"{"access_token":"t","error":{"code":1}}"#,
        r#"{"access_token":"t","error":true}"#,
        r#"{"access_token":"t","error":"x","error":""}"#,
        r#"{"error":"custom","error_description":"d"}"#,
        "<?xml version=\"1.0\"?><token>t</token>",
        &long,
        &large,
        &deep,
    ] {
        check(JSON, body, Reason::MalformedResponse);
    }
    for body in [
        "",
        "a=b",
        "access_token=",
        "access_token=a&access_token=b",
        "access_token=a+b",
        &large_form,
    ] {
        check(FORM, body, Reason::MalformedResponse);
    }
    check(JSON, "access_token=t0k3n", Reason::MalformedResponse);
    check("application/xml", "<token>t</token>", Reason::MalformedResponse);
    for token_type in [r#""DPoP""#, r#""mac""#, r#""N_A""#, r#""Bearer x""#, "7", "{}", "true"] {
        let body = format!(r#"{{"access_token":"t","token_type":{token_type}}}"#);
        check(JSON, &body, Reason::UnsupportedTokenType);
    }
    let large_page = format!("<html>{}", " ".repeat(MAX_BODY_BYTES));
    for (content_type, body) in [
        (HTML, "<html><body>Sign in</body></html>"),
        (HTML, "Bad gateway"),
        (JSON, "<!DOCTYPE html><p>"),
        ("", "\n <!doctype HTML>"),
        ("text/plain", "<HTML>"),
        ("application/xhtml+xml", "<x/>"),
        (HTML, "access_token=t"),
        (HTML, &large_page),
    ] {
        check(content_type, body, Reason::ServerError);
    }
    // The code of an error in a 2xx is believed where it is in the closed list.
    check(JSON, r#"{"error":"invalid_client"}"#, Reason::InvalidClient);
    check(JSON, r#"{"access_token":"t","error":"slow_down"}"#, Reason::RateLimited);
    check(JSON, r#"{"error":"server_error"}"#, Reason::ServerError);
    check(FORM, "error=invalid_scope", Reason::InvalidScope);
    let answer = answer(204, &[], b"");
    assert_eq!(read_answer(&answer, now()).unwrap_err().reason, Reason::MalformedResponse);
}

#[test]
fn the_lifetime_is_read_in_every_spelling() {
    fn check(expires_in: &str, lifetime: Lifetime) {
        let grant = granted(JSON, &format!(r#"{{"access_token":"t","expires_in":{expires_in}}}"#));
        assert_eq!(grant.lifetime, lifetime, "{expires_in}");
        let grant = granted(JSON, &format!(r#"{{"access_token":"t","refresh_in":{expires_in}}}"#));
        let known = if let Lifetime::Known(span) = lifetime { Some(span) } else { None };
        assert_eq!((grant.refresh_in, grant.lifetime), (known, Lifetime::Unknown), "{expires_in}");
    }
    for (expires_in, seconds) in [
        ("3600", 3600),
        ("3599.9", 3599),
        ("\"3600\"", 3600),
        ("\" 3600 \"", 3600),
        ("\"3599.5\"", 3599),
        ("1", 1),
        ("0.5", 1),
        ("\"0.01\"", 1),
        ("3.6e3", 3600),
        ("31536000", 31_536_000),
        ("31536001", 31_536_000),
        ("1438315200000", 31_536_000),
        ("18446744073709551616", 31_536_000),
        ("\"99999999999999999999999\"", 31_536_000),
    ] {
        check(expires_in, Lifetime::Known(Duration::from_secs(seconds)));
    }
    for expires_in in ["0", "-1", "0.0", "-0.0", "\"0\"", "\"-5\"", "-1e300"] {
        check(expires_in, Lifetime::Spent);
    }
    for expires_in in [
        "null",
        "\"\"",
        "\"3600abc\"",
        "\"abc\"",
        "\"inf\"",
        "\"NaN\"",
        "\"1e3\"",
        "\"+5\"",
        "\"-\"",
        "\".5\"",
        "\"1.2.3\"",
        "\"1h\"",
        "\"0x10\"",
        "true",
        "[3600]",
        "{}",
        "\"2026-03-01T13:00:00Z\"",
    ] {
        check(expires_in, Lifetime::Unknown);
    }
    assert_eq!(granted(JSON, r#"{"access_token":"t"}"#).lifetime, Lifetime::Unknown);
    let form = granted(FORM, "access_token=t&expires_in=60");
    assert_eq!(form.lifetime, Lifetime::Known(Duration::from_secs(60)));
}

#[test]
fn the_scopes_are_those_that_were_granted() {
    fn check(member: &str, scopes: Option<&[&str]>) {
        let grant = granted(JSON, &format!(r#"{{"access_token":"0123456789abcdef"{member}}}"#));
        let expected = scopes.map(|scopes| scopes.iter().map(ToString::to_string).collect());
        assert_eq!(grant.scopes, expected, "{member}");
    }
    for member in
        ["", r#","scope":null"#, r#","scope":7"#, r#","scope":{"a":1}"#, r#","scope":true"#]
    {
        check(member, None);
    }
    for (member, scopes) in [
        (r#","scope":"a b""#, &["a", "b"][..]),
        (r#","scope":"a,b""#, &["a", "b"]),
        (r#","scope":"a, b,c""#, &["a", "b,c"]),
        (r#","scope":"  a\n b ""#, &["a", "b"]),
        (r#","scope":["a","b"]"#, &["a", "b"]),
        (r#","scopes":["a"]"#, &["a"]),
        (r#","scopes":"a b""#, &["a", "b"]),
        (r#","scope":"x","scopes":["a"]"#, &["x"]),
        (r#","scope":"""#, &[]),
        (r#","scope":" ""#, &[]),
        (r#","scope":[]"#, &[]),
        (r#","scope":["a",1,null,["b"]]"#, &["a"]),
        (r#","scope":"b a b""#, &["b", "a"]),
        (r#","scope":"https://graph.example/.default""#, &["https://graph.example/.default"]),
        (r#","scope":["a b","c\u0000","d\"","e\\","ü","ok"]"#, &["ok"]),
        // An endpoint that echoes the token must not put it into status.
        (r#","scope":"0123456789abcdef x0123456789abcdefy a""#, &["a"]),
    ] {
        check(member, Some(scopes));
    }
    let many: Vec<String> = (0..1000).map(|n| format!("s{n}")).collect();
    let grant = granted(
        JSON,
        &format!(r#"{{"access_token":"t","scope":"{} {}"}}"#, "x".repeat(513), many.join(" ")),
    );
    assert_eq!(grant.scopes.unwrap(), many[..256]);
}

#[test]
fn the_exp_claim_of_a_jwt_is_a_hint() {
    fn check(token: &str, expiry: Option<&str>) {
        let grant = granted(JSON, &format!(r#"{{"access_token":"{token}"}}"#));
        assert_eq!(grant.jwt_expiry, expiry.map(|at| at.parse().unwrap()), "{token}");
    }
    fn jwt(claims: &str) -> String {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }
    check(&jwt(r#"{"exp":1772370000,"sub":"a"}"#), Some("2026-03-01T13:00:00Z"));
    check(&jwt(r#"{"exp":1772370000.9}"#), Some("2026-03-01T13:00:00Z"));
    // Some issuers pad.
    check("eyJhbGciOiJub25lIn0.eyJleHAiOiAxNzcyMzcwMDAwfQ==.c2ln", Some("2026-03-01T13:00:00Z"));
    for claims in [
        "{}",
        r#"{"exp":null}"#,
        r#"{"exp":"1772370000"}"#,
        r#"{"exp":-1}"#,
        r#"{"exp":1e300}"#,
        r#"{"exp":1e13}"#,
        "[]",
        "x",
    ] {
        check(&jwt(claims), None);
    }
    for token in ["opaque", "a.b", "a.b.c", "..", "a.b.c.d.e", "eyJhbGciOiJub25lIn0.eyJleHAiOjF9"] {
        check(token, None);
    }
    check(&format!("{}.x.y", jwt(r#"{"exp":1772370000}"#)), None);
}

#[test]
fn a_refusal_is_classified_by_its_status_or_its_code() {
    fn check(status: u16, body: &str, reason: Reason, class: Class, code: Option<&str>) {
        let error = refused(status, &[("content-type", JSON)], body);
        assert_eq!(
            (error.reason, error.reason.class(), error.code),
            (reason, class, code),
            "{status} {body}"
        );
        assert_eq!((error.status, error.wait), (Some(status), None));
    }
    // By code: a 400, and a 4xx in no row.
    for status in [400, 402, 409, 410, 418, 422, 451, 499] {
        for (code, reason, class) in [
            ("invalid_client", Reason::InvalidClient, Class::Credentials),
            ("unauthorized_client", Reason::UnauthorizedClient, Class::Permission),
            ("invalid_grant", Reason::InvalidGrant, Class::Permission),
            ("access_denied", Reason::AccessDenied, Class::Permission),
            ("invalid_scope", Reason::InvalidScope, Class::Configuration),
            ("invalid_target", Reason::InvalidTarget, Class::Configuration),
            ("invalid_request", Reason::InvalidRequest, Class::Configuration),
            ("unsupported_grant_type", Reason::UnsupportedGrantType, Class::Configuration),
            ("server_error", Reason::ServerError, Class::Transient),
            ("slow_down", Reason::RateLimited, Class::Throttled),
            ("temporarily_unavailable", Reason::RateLimited, Class::Throttled),
        ] {
            let body = format!(
                r#"{{"error":"{code}","error_description":"AADSTS7000215 invalid_scope"}}"#
            );
            check(status, &body, reason, class, Some(code));
        }
        for body in [
            "",
            "{}",
            "not json",
            r#"{"error":"consent_required"}"#,
            r#"{"error":"INVALID_CLIENT"}"#,
            r#"{"error":{"code":"invalid_client"}}"#,
            r#"{"error":["invalid_client"]}"#,
            "<html>",
            r#"{"error":"invalid_client","#,
            r#"{"error_description":"invalid_client"}"#,
        ] {
            check(status, body, Reason::InvalidRequest, Class::Configuration, None);
        }
    }
    // By status alone; the code is told, and decides nothing.
    for (status, reason, class) in [
        (300, Reason::EndpointRedirects, Class::Configuration),
        (302, Reason::EndpointRedirects, Class::Configuration),
        (304, Reason::EndpointRedirects, Class::Configuration),
        (307, Reason::EndpointRedirects, Class::Configuration),
        (308, Reason::EndpointRedirects, Class::Configuration),
        (401, Reason::InvalidClient, Class::Credentials),
        (403, Reason::AccessDenied, Class::Permission),
        (404, Reason::EndpointNotFound, Class::Configuration),
        (405, Reason::EndpointNotFound, Class::Configuration),
        (406, Reason::InvalidRequest, Class::Configuration),
        (413, Reason::InvalidRequest, Class::Configuration),
        (415, Reason::InvalidRequest, Class::Configuration),
        (408, Reason::ServerError, Class::Transient),
        (421, Reason::ServerError, Class::Transient),
        (425, Reason::ServerError, Class::Transient),
        (429, Reason::RateLimited, Class::Throttled),
        (500, Reason::ServerError, Class::Transient),
        (502, Reason::ServerError, Class::Transient),
        (503, Reason::ServerError, Class::Transient),
        (504, Reason::ServerError, Class::Transient),
        (599, Reason::ServerError, Class::Transient),
        (600, Reason::MalformedResponse, Class::Contract),
        (101, Reason::MalformedResponse, Class::Contract),
    ] {
        check(
            status,
            r#"{"error":"unauthorized_client"}"#,
            reason,
            class,
            Some("unauthorized_client"),
        );
        check(status, r#"{"error":"invalid_scope"}"#, reason, class, Some("invalid_scope"));
        check(status, r#"{"access_token":"t"}"#, reason, class, None);
        check(status, "", reason, class, None);
        check(status, "<html>", reason, class, None);
        assert!(!needs_body(status));
    }
    assert!([200, 204, 400, 409, 422].into_iter().all(needs_body));
    // A form, as old servers answer, and a description in Latin-1.
    let error = refused(400, &[("content-type", FORM)], "error=invalid_client&error_description=x");
    assert_eq!(error.reason, Reason::InvalidClient);
    let latin = b"{\"error\":\"invalid_scope\",\"error_description\":\"caf\xe9\"}";
    assert_eq!(
        read_answer(&answer(400, &[], latin), now()).unwrap_err().reason,
        Reason::InvalidScope
    );
}

#[test]
fn the_first_readable_header_says_how_long_to_wait() {
    fn check(headers: &[(&str, &str)], seconds: Option<u64>) {
        let wait = seconds.map(Duration::from_secs);
        let error = refused(429, headers, "");
        assert_eq!((error.reason, error.wait), (Reason::RateLimited, wait), "{headers:?}");
        let error = refused(400, headers, r#"{"error":"slow_down"}"#);
        assert_eq!((error.reason, error.wait), (Reason::RateLimited, wait), "{headers:?}");
        let error = refused(500, headers, "");
        assert_eq!((error.reason, error.wait), (Reason::ServerError, None), "{headers:?}");
    }
    for (value, seconds) in [
        ("30", Some(30)),
        (" 30 ", Some(30)),
        ("0", Some(1)),
        ("-5", Some(1)),
        ("1.5", Some(2)),
        ("3600", Some(3600)),
        ("3601", Some(3600)),
        ("99999999999999999999", Some(3600)),
        ("Sun, 01 Mar 2026 12:02:00 GMT", Some(120)),
        ("Sunday, 01-Mar-26 12:02:00 GMT", Some(120)),
        ("Sun Mar  1 12:02:00 2026", Some(120)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", Some(1)),
        ("Thu, 01 Jan 2099 00:00:00 GMT", Some(3600)),
        ("soon", None),
        ("", None),
        ("10s", None),
        ("1e3", None),
        ("Sun, 99 Mar 2026", None),
    ] {
        check(&[("Retry-After", value)], seconds);
    }
    for (value, seconds) in [
        ("b=per_hour;q=10;r=0;t=120", Some(120)),
        ("b=per_hour;q=10;r=3;t=120", None),
        ("b=per_hour;q=10;r=3;t=9,b=per_day;q=100;r=0;t=40000", Some(40000)),
        ("b=per_hour;q=10;r=0;t=40000", Some(3600)),
        ("b=per_day;q=1;r=0;t=999999", Some(86400)),
        ("b=per_hour;q=10;r=0;t=60 , b=per_day;q=100;r=0;t=30", Some(60)),
        ("b=per_hour;r=0;t=0", Some(1)),
        ("b=per_hour;r=0", None),
        ("r=0;t=x", None),
        ("garbage", None),
        (";;,=,r=", None),
    ] {
        check(&[("Auth0-Client-Quota-Limit", value)], seconds);
    }
    for name in
        ["RateLimit-Reset", "X-RateLimit-RetryAfter", "X-Rate-Limit-Reset", "X-RateLimit-Reset"]
    {
        for (value, seconds) in [
            ("45", Some(45)),
            ("0", Some(1)),
            ("1000000000", Some(3600)),
            ("1772366460", Some(60)),
            ("1772366000", Some(1)),
            ("9999999999", Some(3600)),
            ("soon", None),
            ("", None),
        ] {
            check(&[(name, value)], seconds);
        }
    }
    let all = [
        ("x-ratelimit-reset", "6"),
        ("x-rate-limit-reset", "5"),
        ("x-ratelimit-retryafter", "4"),
        ("ratelimit-reset", "3"),
        ("auth0-client-quota-limit", "b=per_hour;r=0;t=2"),
        ("retry-after", "1"),
    ];
    for (last, seconds) in [(6, 1), (5, 2), (4, 3), (3, 4), (2, 5), (1, 6)] {
        check(&all[..last], Some(seconds));
    }
    check(&[("retry-after", "later"), ("ratelimit-reset", "3")], Some(3));
    check(
        &[("auth0-client-quota-limit", "b=a;r=1;t=1"), ("auth0-client-quota-limit", "b=b;r=0;t=7")],
        Some(7),
    );
    check(&[], None);
    // 503 is throttling with Retry-After only.
    let error = refused(503, &[("retry-after", "7")], "<html>");
    assert_eq!((error.reason, error.wait), (Reason::RateLimited, Some(Duration::from_secs(7))));
    let error = refused(503, &[("retry-after", "later")], "");
    assert_eq!((error.reason, error.wait), (Reason::RateLimited, None));
    assert_eq!(refused(503, &[("ratelimit-reset", "7")], "").reason, Reason::ServerError);
}

#[test]
fn the_message_names_host_status_code_and_cure() {
    fn check(error: &RequestError, words: &[&str], absent: &[&str]) {
        let message = error.message("idp.example.com:8443");
        for word in words.iter().chain(&["idp.example.com:8443"]) {
            assert!(message.contains(word), "{message} lacks {word}");
        }
        for word in absent {
            assert!(!message.contains(word), "{message} has {word}");
        }
    }
    let plain = request(&spec(None), "app", "s3cr3t");
    let special = request(&spec(None), "app", "s+cr/t");
    let post = request(&spec(Some(ClientAuthenticationMethod::ClientSecretPost)), "app", "s+cr/t");
    let disabled = "or the client is disabled or may not use this grant";
    let encoding = "ClientSecretPost";
    let unauthorized =
        refused(401, &[], r#"{"error":"invalid_client","error_description":"s+cr/t"}"#);
    let words = ["HTTP 401 with invalid_client: check the client ID", disabled];
    check(&unauthorized.clone().about(&plain), &words, &[encoding, "s+cr/t"]);
    check(&unauthorized.clone().about(&special), &[words[0], disabled, encoding], &["s+cr/t"]);
    check(&unauthorized.about(&post), &words, &[encoding]);
    check(&refused(400, &[], "").about(&special), &["HTTP 400: ", encoding], &[disabled]);
    check(&refused(403, &[], "").about(&special), &["HTTP 403: ", encoding], &[disabled]);
    check(&refused(500, &[], "").about(&special), &["HTTP 500: "], &[encoding, disabled]);
    check(&refused(200, &[], "{}").about(&special), &["HTTP 200", "no access_token"], &[encoding]);
    check(&refused(307, &[], ""), &["HTTP 307", "redirects are not followed"], &[]);
    let unreachable =
        RequestError::without_answer(Reason::EndpointUnreachable, "no answer in time");
    check(&unreachable.about(&special), &["no answer in time"], &["HTTP", encoding]);
    for reason in Reason::ALL {
        let error = RequestError { reason, status: Some(418), code: None, wait: None, hint: None };
        assert!(error.message("h").len() > "h answered HTTP 418: ".len(), "{reason:?}");
    }
}

#[test]
fn debug_output_holds_nothing_that_was_sent_or_received() {
    let canary = "c4n4ry";
    let url = Url::parse("https://idp.example.com/c4n4ry?key=c4n4ry").unwrap();
    let headers = [("retry-after", canary), ("content-type", canary)];
    let body = format!(r#"{{"access_token":"{canary}","refresh_token":"{canary}"}}"#);
    let answer = answer(200, &headers, body.as_bytes());
    let asked = Asked { sent_at: now(), result: read_answer(&answer, now()), took: Duration::ZERO };
    let text = format!(
        "{:?} {:?} {answer:?} {asked:?}",
        client(canary, canary),
        token_request(&spec(None), url, &client(canary, canary)),
    );
    assert!(!text.contains(canary), "{text}");
}

/// Text that stresses the readers: members, fragments of JSON and headers, and anything at all.
fn text() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("\"access_token\":".to_owned()),
        Just("\"error\":".to_owned()),
        Just("\"expires_in\":".to_owned()),
        Just("\"scope\":".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just(",".to_owned()),
        Just("access_token=".to_owned()),
        Just("&".to_owned()),
        Just("<html>".to_owned()),
        Just("r=0;t=".to_owned()),
        Just("\"c4n4ry\"".to_owned()),
        Just("c4n4ry".to_owned()),
        "-?[0-9.e]{1,30}",
        "\\PC{0,8}",
        Just("eyJhbGciOiJub25lIn0.eyJleHAiOjF9.x".to_owned()),
    ];
    proptest::collection::vec(fragment, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn reading_an_answer_never_panics_and_never_leaks(
        status in prop_oneof![100_u16..=999, Just(200), Just(400), Just(429), Just(503)],
        body in prop_oneof![
            text().prop_map(String::into_bytes),
            text().prop_map(|text| format!("{{{text}}}").into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..200),
        ],
        header in text(),
        content_type in prop_oneof![Just(JSON.to_owned()), Just(FORM.to_owned()), Just(HTML.to_owned()), text()],
        seconds in -62_000_000_000_i64..253_000_000_000,
    ) {
        let headers: Vec<(&str, &str)> = [
            "retry-after", "auth0-client-quota-limit", "ratelimit-reset", "x-ratelimit-retryafter",
            "x-rate-limit-reset", "x-ratelimit-reset",
        ].into_iter().map(|name| (name, header.as_str())).chain([("content-type", content_type.as_str())]).collect();
        let answer = answer(status, &headers, &body);
        let now = Timestamp::from_second(seconds).unwrap();
        match read_answer(&answer, now) {
            Ok(grant) => {
                prop_assert!((200..300).contains(&status));
                let token = grant.token.expose();
                prop_assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
                let shown = format!("{:?}", Grant { scopes: None, ..grant });
                prop_assert!(!shown.contains("c4n4ry"));
            }
            Err(error) => {
                let shown = format!("{error:?} {}", error.message("idp.example.com"));
                prop_assert!(!shown.contains("c4n4ry"), "{}", shown);
                let allowed = Duration::from_secs(1)..=Duration::from_secs(86_400);
                prop_assert!(error.wait.is_none_or(|wait| allowed.contains(&wait)));
            }
        }
    }

    #[test]
    fn a_form_reads_back_as_it_was_meant(id in "\\PC{1,20}", secret in "\\PC{1,20}") {
        let request = request(&spec(Some(ClientAuthenticationMethod::ClientSecretPost)), &id, &secret);
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(request.body.expose().as_bytes()).into_owned().collect();
        prop_assert_eq!(&pairs[1].1, &id);
        prop_assert_eq!(&pairs[2].1, &secret);
    }
}
