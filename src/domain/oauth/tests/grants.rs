//! What a success may look like.
//!
//! **Invariant:** every case is compared whole; no case depends on another.

use super::*;

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
        assert!(error.detail.is_some() || error.code.is_some(), "{body}");
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
    for (expires_in, told) in [("315360000", false), ("315360001", true), ("\"1e12\"", false)] {
        let grant = granted(JSON, &format!(r#"{{"access_token":"t","expires_in":{expires_in}}}"#));
        assert_eq!(grant.probably_milliseconds, told, "{expires_in}");
    }
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

/// They are shown in status, and an endpoint may echo what it was sent or what it gives.
#[test]
fn scopes_that_repeat_a_secret_value_are_not_believed() {
    let header = "bWU6czNjcjN0JTIwJTJGb2YlMkJtZQ=="; // me:s3cr3t%20%2Fof%2Bme
    for scope in [
        r#""0123456789abcdef x""#,
        r#""a x0123456789abcdefy""#,
        r#"["a", "0123456789abcdef"]"#,
        r#""a s3cr3t /of+me""#,
        r#"["s3cr3t", "/of+me"]"#,
        r#""s3cr3t%20%2Fof%2Bme,a""#,
        r#""%733cr3t%20/of%2bme""#,
        &format!(r#""Basic {header}""#),
    ] {
        let body = format!(r#"{{"access_token":"0123456789abcdef","scope":{scope}}}"#);
        assert_eq!(granted(JSON, &body).scopes, None, "{scope}");
    }
    let by_chance = granted(JSON, r#"{"access_token":"orders","scope":"orders.read"}"#);
    assert_eq!(by_chance.scopes.unwrap(), ["orders.read"]);
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
