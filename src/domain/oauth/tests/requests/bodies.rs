//! Parameters, where they go and in which order.
//!
//! **Invariant:** every case is compared whole; no case depends on another.

use super::*;

const GRANT: &str = "grant_type=client_credentials";
const POST: &str = "&client_id=app&client_secret=s3cr3t";

fn post(mut over: Value) -> RequestPlan {
    over["clientAuthentication"] = json!({"method": "ClientSecretPost"});
    plan_with(&over)
}

fn parameters(parameters: &Value) -> Value {
    json!({"request": {"parameters": parameters}})
}

fn secret_named(name: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})
}

#[test]
fn a_form_is_written_byte_for_byte() {
    for (name, over, parameters) in [
        ("nothing but the grant", json!({}), GRANT.to_owned()),
        ("one scope", json!({"scopes": ["a"]}), format!("{GRANT}&scope=a")),
        (
            "scopes with a space between",
            json!({"scopes": ["a", "b:c"]}),
            format!("{GRANT}&scope=a%20b%3Ac"),
        ),
        (
            "scopes with a comma between",
            json!({"scopes": ["a", "b"], "request": {"scopeSeparator": ","}}),
            format!("{GRANT}&scope=a%2Cb"),
        ),
        (
            "scopes with several characters between",
            json!({"scopes": ["a", "b"], "request": {"scopeSeparator": ", +"}}),
            format!("{GRANT}&scope=a%2C%20%2Bb"),
        ),
        (
            "a scope that is a URL",
            json!({"scopes": ["https://graph.example/.default"]}),
            format!("{GRANT}&scope=https%3A%2F%2Fgraph.example%2F.default"),
        ),
        (
            "an audience",
            json!({"audience": "https://api.example.com/?a=1&b"}),
            format!("{GRANT}&audience=https%3A%2F%2Fapi.example.com%2F%3Fa%3D1%26b"),
        ),
        (
            "a resource",
            json!({"resourceIndicators": ["urn:a"]}),
            format!("{GRANT}&resource=urn%3Aa"),
        ),
        (
            "resources, repeated (RFC 8707 §2)",
            json!({"resourceIndicators": ["urn:b", "urn:a"]}),
            format!("{GRANT}&resource=urn%3Ab&resource=urn%3Aa"),
        ),
        (
            "another grant type",
            json!({"request": {"grantType": "account_credentials"}}),
            "grant_type=account_credentials".to_owned(),
        ),
        (
            "a grant type that is a URN",
            json!({"request": {"grantType": "urn:x:y"}}),
            "grant_type=urn%3Ax%3Ay".to_owned(),
        ),
        (
            "everything, in order",
            json!({
                "request": {"parameters": [{"name": "z", "value": "1"}, {"name": "y", "value": "2"}]},
                "resourceIndicators": ["urn:a"], "audience": "x", "scopes": ["s"],
            }),
            format!("{GRANT}&scope=s&audience=x&resource=urn%3Aa&z=1&y=2"),
        ),
    ] {
        check(name, &post(over), &[], &form_post(TOKEN_URL, &format!("{parameters}{POST}")));
    }
    let none = post(json!({"request": {"grantType": ""}}));
    check("no grant type", &none, &[], &form_post(TOKEN_URL, POST.trim_start_matches('&')));
}

#[test]
fn further_parameters_are_values_and_secrets() {
    for (name, entry, given, written) in [
        ("a value", json!({"name": "account_id", "value": "42"}), "", "account_id=42"),
        ("signs in the name", json!({"name": "a[b]&c=", "value": "1"}), "", "a%5Bb%5D%26c%3D=1"),
        (
            "a value that looks like more",
            json!({"name": "a", "value": "1&client_id=evil&b=%32+3"}),
            "",
            "a=1%26client_id%3Devil%26b%3D%2532%2B3",
        ),
        ("a line end", json!({"name": "a", "value": "x\r\ny"}), "", "a=x%0D%0Ay"),
        ("umlauts", json!({"name": "a", "value": "ü"}), "", "a=%C3%BC"),
        ("a secret", secret_named("password"), "p&w d", "password=p%26w%20d"),
        ("in the body, as it is said", json!({"name": "a", "value": "1", "in": "Body"}), "", "a=1"),
    ] {
        let plan = post(parameters(&json!([entry])));
        let expected = form_post(TOKEN_URL, &format!("{GRANT}&{written}{POST}"));
        check(name, &plan, &[("parameter 0", given)], &expected);
    }
}

#[test]
fn id_and_secret_go_to_the_body_by_these_names() {
    let plan = post(json!({}));
    let given = [("id", "a:b"), ("secret", "c +%/&=~ü")];
    let body = format!("{GRANT}&client_id=a%3Ab&client_secret=c%20%2B%25%2F%26%3D~%C3%BC");
    check("encoded", &plan, &given, &form_post(TOKEN_URL, &body));
    let mut plan = post(json!({}));
    plan.habits.client_id_name = "accessKeyId".to_owned();
    plan.habits.client_secret_name = "accessKeySecret".to_owned();
    let body = format!("{GRANT}&accessKeyId=app&accessKeySecret=s3cr3t");
    check("other names", &plan, &[], &form_post(TOKEN_URL, &body));
    // RFC 6749 §2.3.1, the second form, with the grant of §4.4.2.
    let plan = post(json!({}));
    let given = [("id", "s6BhdRkqt3"), ("secret", "7Fjfp0ZBr1KtDRbnfVdmIw")];
    let body = format!("{GRANT}&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw");
    check("RFC 6749 §2.3.1", &plan, &given, &form_post(TOKEN_URL, &body));
    let plan = post(json!({"clientID": "literal"}));
    let body = format!("{GRANT}&client_id=literal&client_secret=s3cr3t");
    check("the ID of the spec goes first", &plan, &[], &form_post(TOKEN_URL, &body));
}

#[test]
fn methods_without_a_client_secret_name_the_client() {
    let tls = json!({"clientCertificateSecretRef": {"name": "mtls"}});
    let account = json!({
        "method": "ServiceAccountToken", "serviceAccountToken": {"name": "sa", "audience": "idp"},
    });
    let kind =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    for (name, over, body) in [
        (
            "TLS (RFC 8705 §2)",
            json!({"clientAuthentication": {"method": "TLSClientAuth"}, "tls": tls}),
            format!("{GRANT}&client_id=app"),
        ),
        (
            "none",
            json!({"clientAuthentication": {"method": "None"}}),
            format!("{GRANT}&client_id=app"),
        ),
        (
            "none, with the ID of the spec",
            json!({"clientAuthentication": {"method": "None"}, "clientID": "a b", "credentialsSecretRef": null}),
            format!("{GRANT}&client_id=a%20b"),
        ),
        (
            "a ServiceAccount (RFC 7523 §2.2)",
            json!({"clientAuthentication": account, "credentialsSecretRef": null}),
            format!("{GRANT}&{kind}&client_assertion=e30.e30.c2ln"),
        ),
        (
            "a ServiceAccount with the ID of the spec",
            json!({"clientAuthentication": account, "credentialsSecretRef": null, "clientID": "lit"}),
            format!("{GRANT}&client_id=lit&{kind}&client_assertion=e30.e30.c2ln"),
        ),
        (
            "a ServiceAccount with the ID of a Secret",
            json!({"clientAuthentication": account}),
            format!("{GRANT}&client_id=app&{kind}&client_assertion=e30.e30.c2ln"),
        ),
    ] {
        let plan = plan_with(&over);
        let mut values = read(&[("account", "e30.e30.c2ln")]);
        if plan.credentials.is_none() {
            values.client_id = None;
        }
        let request = ask(&plan, &values).unwrap();
        assert_eq!(as_text(&request), form_post(TOKEN_URL, &body), "{name}");
    }
}

#[test]
fn json_is_an_object_of_strings() {
    for (name, mut over, given, body) in [
        ("plain", json!({}), "", r#""client_id":"app","client_secret":"s3cr3t""#),
        (
            "scopes",
            json!({"scopes": ["a", "b"]}),
            "",
            r#""scope":"a b","client_id":"app","client_secret":"s3cr3t""#,
        ),
        (
            "one resource",
            json!({"resourceIndicators": ["urn:a"]}),
            "",
            r#""resource":"urn:a","client_id":"app","client_secret":"s3cr3t""#,
        ),
        (
            "several resources",
            json!({"resourceIndicators": ["urn:b", "urn:a"], "audience": "x"}),
            "",
            r#""audience":"x","resource":["urn:b","urn:a"],"client_id":"app","client_secret":"s3cr3t""#,
        ),
        (
            "a secret with quotes",
            parameters(&json!([secret_named("p")])),
            "a\"\\ü\u{1}",
            "\"p\":\"a\\\"\\\\ü\\u0001\",\"client_id\":\"app\",\"client_secret\":\"s3cr3t\"",
        ),
        (
            "a name with quotes",
            parameters(&json!([{"name": "\"},{", "value": "1"}])),
            "",
            r#""\"},{":"1","client_id":"app","client_secret":"s3cr3t""#,
        ),
    ] {
        over["request"]["bodyFormat"] = json!("JSON");
        let expected = format!(
            "POST {TOKEN_URL}\naccept: application/json\ncontent-type: application/json\n\n\
             {{\"grant_type\":\"client_credentials\",{body}}}"
        );
        check(name, &post(over), &[("parameter 0", given)], &expected);
    }
    let plan = plan_with(&json!({"request": {"bodyFormat": "JSON", "grantType": ""}}));
    let expected = authorized("Basic YXBwOnMzY3IzdA==").replace(FORM, JSON).replace(GRANT, "{}");
    check("nothing at all", &plan, &[], &expected);
}

#[test]
fn the_query_of_the_url_is_kept_and_added_to() {
    let one = json!([{"name": "account_id", "value": "4 2", "in": "Query"}]);
    for (name, own, entries, url) in [
        ("added", "", &one, "?account_id=4%202"),
        ("added to an empty one", "?", &one, "?account_id=4%202"),
        ("added to its own", "?api-version=1", &one, "?api-version=1&account_id=4%202"),
        ("after a separator", "?a=1&", &one, "?a=1&account_id=4%202"),
        (
            "kept byte for byte",
            "?a=%7e+~&b;c==&%41=%zz",
            &one,
            "?a=%7e+~&b;c==&%41=%zz&account_id=4%202",
        ),
        ("nothing added", "?a=%7e+~&", &json!([]), "?a=%7e+~&"),
        ("an empty one stays", "?", &json!([]), "?"),
        (
            "signs are no separators",
            "",
            &json!([{"name": "a&b#", "value": "?&=#/", "in": "Query"}]),
            "?a%26b%23=%3F%26%3D%23%2F",
        ),
        (
            "two in order, one in the body",
            "",
            &json!([
                {"name": "b", "value": "1", "in": "Query"}, {"name": "c", "value": "2"},
                {"name": "a", "value": "3", "in": "Query"},
            ]),
            "?b=1&a=3",
        ),
    ] {
        let mut over = parameters(entries);
        over["tokenURL"] = json!(format!("{TOKEN_URL}{own}"));
        let body = if name.starts_with("two") { "&c=2" } else { "" };
        let expected = form_post(&format!("{TOKEN_URL}{url}"), &format!("{GRANT}{body}{POST}"));
        check(name, &post(over), &[], &expected);
    }
    // Zoom: the grant type stands in the URL.
    let plan = plan_with(&json!({
        "tokenURL": format!("{TOKEN_URL}?grant_type=account_credentials&account_id=42"),
        "request": {"grantType": ""},
    }));
    let expected = authorized("Basic YXBwOnMzY3IzdA==")
        .replace(GRANT, "")
        .replace(TOKEN_URL, &format!("{TOKEN_URL}?grant_type=account_credentials&account_id=42"));
    check("the grant type in the URL", &plan, &[], &expected);
}

#[test]
fn with_the_format_query_nothing_is_left_for_a_body() {
    let over = json!({
        "tokenURL": format!("{TOKEN_URL}?v=1"), "scopes": ["a"],
        "request": {"bodyFormat": "Query", "parameters": [
            {"name": "b", "value": "1", "in": "Query"}, {"name": "c", "value": "2"},
        ]},
    });
    let authorization = "authorization: Basic YXBwOnMzY3IzdA==";
    let url = format!("{TOKEN_URL}?v=1&{GRANT}&scope=a&b=1&c=2");
    let plan = plan_with(&over);
    let expected = format!("POST {url}\naccept: application/json\n{authorization}\n\n");
    check("an empty body", &plan, &[], &expected);
    let mut plan = plan;
    plan.habits.get = true;
    let expected = format!("GET {url}\naccept: application/json\n{authorization}\n");
    check("no body with GET", &plan, &[], &expected);
    // Marketo: ID and secret in the query.
    let mut plan = plan_with(&json!({"request": {"bodyFormat": "Query"}}));
    plan.habits.get = true;
    plan.method = ClientAuthenticationMethod::ClientSecretPost;
    let expected = format!(
        "GET {TOKEN_URL}?{GRANT}&client_id=app&client_secret=s3cr3t\naccept: application/json\n"
    );
    check("a client secret in the query", &plan, &[], &expected);
    let sent = ask(&plan, &read(&[])).unwrap().sent;
    assert!(sent.iter().any(|sent| sent.expose() == "s3cr3t"));
}
