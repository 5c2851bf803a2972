//! The headers that are sent: Basic in every spelling, and those of the spec.
//!
//! **Invariant:** every case is compared whole; no case depends on another.

use super::*;

#[test]
fn basic_is_written_as_the_plan_says() {
    let form = json!({});
    let raw = json!({"clientAuthentication": {"clientSecretBasic": {"encoding": "Raw"}}});
    for (name, over, id, secret, pair) in [
        ("plain", &form, "app", "s3cr3t", "app:s3cr3t"),
        ("unreserved characters stay", &form, "a-b.c_d~e", "A-Z.0_9~z", "a-b.c_d~e:A-Z.0_9~z"),
        ("a UUID stays", &form, "0e2f-4a", "x~y", "0e2f-4a:x~y"),
        ("a colon on both sides", &form, "a:b", "c:d", "a%3Ab:c%3Ad"),
        ("a space is %20", &form, "a b", " c", "a%20b:%20c"),
        ("a plus", &form, "a+b", "c+d", "a%2Bb:c%2Bd"),
        ("a percent sign is not taken for encoded", &form, "a%b", "%20", "a%25b:%2520"),
        ("slash and equals, as in base64", &form, "a/b", "c/d==", "a%2Fb:c%2Fd%3D%3D"),
        ("what separates parameters", &form, "a&b=c", "~&=~", "a%26b%3Dc:~%26%3D~"),
        ("two bytes and three", &form, "ü", "日€", "%C3%BC:%E6%97%A5%E2%82%AC"),
        ("four bytes", &form, "app", "🔑", "app:%F0%9F%94%91"),
        ("the other signs", &form, "\"'(*)!", "<>#?", "%22%27%28%2A%29%21:%3C%3E%23%3F"),
        ("a long secret", &form, "a", &"=".repeat(300), &format!("a:{}", "%3D".repeat(300))),
        ("raw: signs", &raw, "a+b/c", "d%20=&", "a+b/c:d%20=&"),
        ("raw: a colon in the secret", &raw, "app", "a:b:c", "app:a:b:c"),
        ("raw: spaces", &raw, " a b ", " c ", " a b : c "),
        ("raw: UTF-8 as it is", &raw, "ü", "日本€", "ü:日本€"),
    ] {
        let expected = authorized(&format!("Basic {}", STANDARD.encode(pair)));
        check(name, &plan_with(over), &[("id", id), ("secret", secret)], &expected);
    }
}

#[test]
fn the_examples_of_the_specifications_are_met() {
    let plan = plan_with(&json!({}));
    // RFC 6749 §2.3.1 and §4.4.2.
    let given = [("id", "s6BhdRkqt3"), ("secret", "7Fjfp0ZBr1KtDRbnfVdmIw")];
    let pair = "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3";
    check("RFC 6749, Basic", &plan, &given, &authorized(pair));
    // Its other client of §4.4.2; RFC 6749 leaves the secret `gX1fBat3bV`.
    let given = [("id", "s6BhdRkqt3"), ("secret", "gX1fBat3bV")];
    let pair = "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW";
    check("RFC 6749 §4.4.2", &plan, &given, &authorized(pair));
    // RFC 7617 §2 and, with `Raw`, §2.1.
    let raw = json!({"clientAuthentication": {"clientSecretBasic": {"encoding": "Raw"}}});
    let given = [("id", "Aladdin"), ("secret", "open sesame")];
    let pair = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    check("RFC 7617 §2", &plan_with(&raw), &given, &authorized(pair));
    let given = [("id", "test"), ("secret", "123£")];
    check("RFC 7617 §2.1", &plan_with(&raw), &given, &authorized("Basic dGVzdDoxMjPCow=="));
}

#[test]
fn a_provider_may_have_another_basic() {
    let mut plan = plan_with(&json!({}));
    plan.habits.basic_scheme = "ID".to_owned();
    check("the word ID", &plan, &[], &authorized("ID YXBwOnMzY3IzdA=="));
    let mut plan = plan_with(&json!({}));
    plan.habits.double_base64 = true;
    let given = [("id", "V1:u:g:AA"), ("secret", "p+w")];
    let pair = format!("{}:{}", STANDARD.encode("V1:u:g:AA"), STANDARD.encode("p+w"));
    let expected = authorized(&format!("Basic {}", STANDARD.encode(pair)));
    check("base64 twice", &plan, &given, &expected);
    plan.encoding = BasicEncoding::Raw;
    check("base64 twice, whatever the encoding", &plan, &given, &expected);
    assert!(!ask(&plan, &read(&given)).unwrap().traits.encoding_matters);
}

#[test]
fn the_headers_of_the_spec_follow_ours() {
    let start = format!("POST {TOKEN_URL}\n");
    let form = format!("content-type: {FORM}\n");
    let end = "authorization: Basic YXBwOnMzY3IzdA==\n";
    let body = "\ngrant_type=client_credentials";
    let accept = "accept: application/json\n";
    let from = |name: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    let literal = |name: &str, value: &str| json!({"name": name, "value": value});
    for (name, headers, given, first, last) in [
        ("none", json!([]), "", accept, ""),
        ("a name in lower case", json!([literal("X-Tenant", "42")]), "", accept, "x-tenant: 42\n"),
        (
            "in their order",
            json!([literal("b", "2"), literal("a", "1")]),
            "",
            accept,
            "b: 2\na: 1\n",
        ),
        ("accept replaced", json!([literal("ACCEPT", "*/*")]), "", "accept: */*\n", ""),
        ("accept removed", json!([literal("Accept", "")]), "", "", ""),
        ("an empty one is not sent", json!([literal("x", "")]), "", accept, ""),
        ("no default user agent", json!([literal("User-Agent", "")]), "", accept, "user-agent: \n"),
        (
            "another user agent",
            json!([literal("User-Agent", "curl/8")]),
            "",
            accept,
            "user-agent: curl/8\n",
        ),
        ("of a Secret", json!([from("X-Api-Key")]), "k e y~!", accept, "x-api-key: k e y~!\n"),
        ("accept of a Secret", json!([from("accept")]), "a/b", "accept: a/b\n", ""),
    ] {
        let plan = plan_with(&json!({"request": {"headers": headers}}));
        let expected = format!("{start}{first}{form}{end}{last}{body}");
        check(name, &plan, &[("header 0", given)], &expected);
    }
}
