//! What is refused before anything is sent, what is remembered of what was sent, and what is told
//! about a request.
//!
//! **Invariant:** each refusal names the field to change, and none holds a value of a Secret.

use super::*;

fn refused(plan: &RequestPlan, given: &[(&str, &str)]) -> Fault {
    refused_with(plan, &read(given))
}

fn refused_with(plan: &RequestPlan, values: &RequestValues) -> Fault {
    match ask(plan, values) {
        Ok(request) => panic!("{}", as_text(&request)),
        Err(fault) => fault,
    }
}

#[test]
fn a_value_that_can_not_be_written_is_refused() {
    let raw = json!({"clientAuthentication": {"clientSecretBasic": {"encoding": "Raw"}}});
    let header = json!({"request": {"headers": [
        {"name": "X-Key", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]}});
    for (over, given, reason, words) in [
        (
            &raw,
            ("id", "a:b"),
            Reason::CredentialsInvalid,
            "clientSecretBasic.encoding: FormURLEncoded",
        ),
        (
            &header,
            ("header 0", "a\nb: c"),
            Reason::CredentialsInvalid,
            "X-Key of spec.request.headers",
        ),
        (&header, ("header 0", "a\r"), Reason::CredentialsInvalid, "X-Key of spec.request.headers"),
        (
            &header,
            ("header 0", "a\tb"),
            Reason::CredentialsInvalid,
            "X-Key of spec.request.headers",
        ),
        (&header, ("header 0", "ü"), Reason::CredentialsInvalid, "X-Key of spec.request.headers"),
    ] {
        let fault = refused(&plan_with(over), &[given]);
        assert_eq!(fault.reason, reason, "{given:?}");
        assert!(
            fault.message.contains(words) && !fault.message.contains(given.1),
            "{}",
            fault.message
        );
    }
    // Written before the schema had its pattern.
    let mut plan = plan_with(&json!({"request": {"headers": [{"name": "x", "value": "1"}]}}));
    plan.headers[0].value = Some("a\r\nauthorization: b".to_owned());
    assert_eq!(refused(&plan, &[]).reason, Reason::CredentialsInvalid);
}

#[test]
fn a_value_that_was_not_read_is_refused() {
    let from = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    let method = |method: &str| json!({"clientAuthentication": {"method": method}});
    let key = json!({"clientAuthentication": {
        "method": "PrivateKeyJWT", "privateKeyJWT": {"keySecretRef": {"name": "k"}},
    }});
    let account = json!({"clientAuthentication": {
        "method": "ServiceAccountToken", "serviceAccountToken": {"name": "sa", "audience": "a"},
    }});
    let not_found = Reason::CredentialsNotFound;
    for (over, reason, field) in [
        (json!({}), not_found, "spec.clientID"),
        (method("ClientSecretPost"), not_found, "spec.clientID"),
        (method("ClientSecretJWT"), not_found, "spec.credentialsSecretRef"),
        (method("None"), not_found, "spec.clientID"),
        (with_id(json!({})), not_found, "spec.credentialsSecretRef"),
        (with_id(key), not_found, "privateKeyJWT.keySecretRef"),
        (
            account,
            Reason::ServiceAccountTokenRefused,
            "spec.clientAuthentication.serviceAccountToken",
        ),
        (
            json!({"request": {"parameters": [{"name": "p", "valueFrom": from}]}}),
            Reason::CredentialsKeyMissing,
            "p of spec.request.parameters",
        ),
        (
            json!({
                "clientID": "app", "clientAuthentication": {"method": "None"},
                "request": {"headers": [{"name": "h", "valueFrom": from}]},
            }),
            Reason::CredentialsKeyMissing,
            "h of spec.request.headers",
        ),
    ] {
        let fault = refused_with(&plan_with(&over), &RequestValues::default());
        assert_eq!(fault.reason, reason, "{over}");
        assert!(fault.message.contains(field), "{}", fault.message);
    }
    let account = plan_with(&json!({"clientAuthentication": {
        "method": "ServiceAccountToken", "serviceAccountToken": {"name": "sa", "audience": "a"},
    }}));
    let fault = refused(&account, &[("account", "")]);
    assert_eq!(fault.reason, Reason::ServiceAccountTokenRefused);
}

fn with_id(mut over: Value) -> Value {
    over["clientID"] = json!("app");
    over
}

#[test]
fn a_key_that_does_not_fit_is_refused() {
    let key = vectors::pem("PRIVATE KEY", &vectors::ed25519_pkcs8());
    let plan = plan_with(&json!({"clientAuthentication": {
        "method": "PrivateKeyJWT",
        "privateKeyJWT": {"keySecretRef": {"name": "k"}, "algorithm": "RS256"},
    }}));
    let fault = refused(&plan, &[("key", &key)]);
    assert_eq!(fault.reason, Reason::ClientKeyInvalid);
    assert!(fault.message.contains("set that to EdDSA"), "{}", fault.message);
    assert_eq!(refused(&plan, &[("key", "x")]).reason, Reason::ClientKeyInvalid);
}

/// The metadata of an issuer may name a URL that would make a parameter come twice.
#[test]
fn a_discovered_url_is_held_to_the_same_rules() {
    let plan = plan_with(&json!({"tokenURL": null, "issuer": "https://idp.example.com"}));
    for (query, is_refused) in [("p=policy", false), ("scope=x", true), ("client%5fid=x", true)] {
        let url = Url::parse(&format!("{TOKEN_URL}?{query}")).unwrap();
        let result = token_request(&plan, url, &read(&[]), now(), Entropy([7; 16]));
        let fault = result.err();
        assert_eq!(fault.is_some(), is_refused, "{query}");
        if let Some(fault) = fault {
            assert_eq!(fault.reason, Reason::EndpointNotAllowed);
            assert!(fault.message.contains("metadata of spec.issuer"), "{}", fault.message);
        }
    }
}

#[test]
fn everything_secret_that_was_sent_is_remembered_as_it_is_and_as_it_is_written() {
    let from = |name: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    let request = json!({"parameters": [from("p"), {"name": "q", "value": "public"}], "headers": [from("h")]});
    let given = [
        ("secret", "a\"+b"),
        ("parameter 0", "p w"),
        ("header 0", "h-value"),
        ("account", "a.b.c"),
    ];
    let remembered = |over: &Value| {
        let request = ask(&plan_with(over), &read(&given)).unwrap();
        request.sent.iter().map(|sent| sent.expose().clone()).collect::<Vec<_>>()
    };
    let secret = ["a\"+b", "a%22%2Bb", "a\\\"+b"];
    let further = ["p w", "p%20w", "h-value"];
    let basic = remembered(&json!({"request": request}));
    let pair = STANDARD.encode("app:a%22%2Bb");
    assert_eq!(basic, [&secret[..], &[&pair], &further].concat());
    let method =
        |method: &str| json!({"clientAuthentication": {"method": method}, "request": request});
    let post = remembered(&method("ClientSecretPost"));
    assert_eq!(post, [&further[..2], &secret, &further[2..]].concat());
    let none = remembered(&method("None"));
    assert_eq!(none, further);
    let signed = remembered(&method("ClientSecretJWT"));
    assert_eq!(signed[..5], [&secret[..], &further[..2]].concat());
    assert!(signed[5].matches('.').count() == 2 && signed[6..] == further[2..]);
    let account = remembered(&json!({"clientAuthentication": {
        "method": "ServiceAccountToken", "serviceAccountToken": {"name": "sa", "audience": "a"},
    }}));
    assert_eq!(account, ["a.b.c"]);
    let mut plan = plan_with(&json!({}));
    plan.habits.double_base64 = true;
    let request = ask(&plan, &read(&given)).unwrap();
    let inner = STANDARD.encode("a\"+b");
    assert!(request.sent.iter().any(|sent| *sent.expose() == inner));
}

#[test]
fn the_traits_tell_what_a_refusal_may_be_about() {
    let traits =
        |over: &Value, given: &[(&str, &str)]| ask(&plan_with(over), &read(given)).unwrap().traits;
    let none = RequestTraits { without_audience: true, ..RequestTraits::default() };
    assert_eq!(traits(&json!({}), &[]), none);
    for target in [json!({"audience": "a"}), json!({"resourceIndicators": ["urn:a"]})] {
        assert_eq!(traits(&target, &[]), RequestTraits::default());
    }
    assert_eq!(traits(&json!({"scopes": ["a"]}), &[]), RequestTraits { scopes: true, ..none });
    let raw = json!({"clientAuthentication": {"clientSecretBasic": {"encoding": "Raw"}}});
    let expected = RequestTraits { encoding: BasicEncoding::Raw, encoding_matters: true, ..none };
    assert_eq!(traits(&raw, &[("secret", "a+b")]), expected);
    for (given, expected) in [
        (("secret", "a+b"), RequestTraits { encoding_matters: true, ..none }),
        (("secret", "a b"), RequestTraits { encoding_matters: true, ..none }),
        (("id", " a"), RequestTraits { encoding_matters: true, white_space: true, ..none }),
        (
            ("secret", "a\u{a0}"),
            RequestTraits { encoding_matters: true, white_space: true, beyond_ascii: true, ..none },
        ),
        (("secret", "ü"), RequestTraits { encoding_matters: true, beyond_ascii: true, ..none }),
    ] {
        assert_eq!(traits(&json!({}), &[given]), expected, "{given:?}");
    }
    let issuer = json!({"tokenURL": null, "issuer": "https://idp.example.com"});
    let with_issuer = |method: Value| {
        let mut over = issuer.clone();
        over["clientAuthentication"] = method;
        over
    };
    let method = ClientAuthenticationMethod::ClientSecretJwt;
    let jwt = with_issuer(json!({"method": "ClientSecretJWT"}));
    let located_by = LocatedBy::Issuer;
    let expected =
        RequestTraits { method, audience_is_issuer: true, short_secret: true, located_by, ..none };
    assert_eq!(traits(&jwt, &[]), expected);
    let jwt = json!({"clientAuthentication": {"method": "ClientSecretJWT"}});
    assert_eq!(traits(&jwt, &[]), RequestTraits { method, short_secret: true, ..none });
    let long = "x".repeat(32);
    assert_eq!(traits(&jwt, &[("secret", &long)]), RequestTraits { method, ..none });
    assert_eq!(traits(&issuer, &[]), RequestTraits { located_by, ..none });
    let account = with_issuer(json!({
        "method": "ServiceAccountToken", "serviceAccountToken": {"name": "sa", "audience": "a"},
    }));
    let method = ClientAuthenticationMethod::ServiceAccountToken;
    let expected = RequestTraits { method, audience_is_given: true, located_by, ..none };
    // The client secret is not used, so it does not count.
    assert_eq!(traits(&account, &[("account", "a.b.c"), ("secret", " ü ")]), expected);
}
