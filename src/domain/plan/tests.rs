//! The defaults of a plan, and each rule of the schema that is checked once more.
//!
//! **Invariant:** a case breaks one rule of a spec that is otherwise good.
#![allow(clippy::too_many_lines, reason = "tables of cases")]

use serde_json::{Value, json};

use super::*;

/// A good spec, with the members of `over` in place of its own.
fn spec(over: &Value) -> OAuthClientCredentialSpec {
    let mut spec = json!({
        "tokenURL": "https://idp.example.com/token", "credentialsSecretRef": {"name": "client"},
    });
    for (name, value) in over.as_object().unwrap() {
        spec[name] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

fn good(over: &Value) -> RequestPlan {
    plan(&spec(over)).unwrap_or_else(|fault| panic!("{over}: {fault:?}"))
}

fn query(query: &str) -> Value {
    json!({"tokenURL": format!("https://idp.example.com/token?{query}")})
}

fn parameters(entries: &Value) -> Value {
    json!({"request": {"parameters": entries}})
}

fn headers(entries: &Value) -> Value {
    json!({"request": {"headers": entries}})
}

fn method(method: &str) -> Value {
    json!({"clientAuthentication": {"method": method}})
}

#[test]
fn every_default_is_applied() {
    let plan = good(&json!({}));
    assert_eq!(plan.location, Location::TokenUrl("https://idp.example.com/token".to_owned()));
    assert_eq!(plan.method, Method::ClientSecretBasic);
    assert_eq!(plan.encoding, BasicEncoding::FormUrlEncoded);
    assert_eq!(plan.hmac_algorithm, HmacAlgorithm::HS256);
    assert_eq!(plan.grant_type.as_deref(), Some("client_credentials"));
    assert_eq!(plan.body_format, BodyFormat::Form);
    assert_eq!(plan.scope_separator, " ");
    assert_eq!(plan.response, ResponseShape::default());
    assert_eq!(plan.timeout, Duration::from_secs(10));
    assert!(plan.reads_client_id());
    assert!(!good(&json!({"clientID": "a"})).reads_client_id());
    assert_eq!(good(&json!({"request": {"grantType": ""}})).grant_type, None);
    let issuer = good(&json!({"tokenURL": null, "issuer": "https://idp.example.com/"}));
    assert_eq!(issuer.location, Location::Issuer("https://idp.example.com/".to_owned()));
}

#[test]
fn a_provider_that_is_asked_by_get_leaves_only_the_query() {
    let habits = Habits { get: true, ..Habits::default() };
    let provider = ProviderDefaults { habits, ..ProviderDefaults::default() };
    let asked = RequestOptions { body_format: Some(BodyFormat::Json), ..RequestOptions::default() };
    let none = RequestOptions::default();
    assert_eq!(body_format(&none, &ProviderDefaults::default()), BodyFormat::Form);
    assert_eq!(body_format(&none, &provider), BodyFormat::Query);
    assert_eq!(body_format(&asked, &provider), BodyFormat::Json);
}

#[test]
fn an_entry_of_the_spec_takes_the_place_of_the_provider_of_its_name() {
    let parameter = |name: &str, value: &str| Parameter {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        ..Parameter::default()
    };
    let (defaults, asked) = (
        vec![parameter("a", "1"), parameter("b", "2")],
        vec![parameter("c", "3"), parameter("a", "4")],
    );
    let merged = merged(defaults, asked, |a, b| a.name == b.name);
    let names: Vec<_> =
        merged.iter().map(|entry| (&*entry.name, entry.value.as_deref().unwrap())).collect();
    assert_eq!(names, [("b", "2"), ("c", "3"), ("a", "4")]);
}

#[test]
fn each_rule_is_checked_and_names_the_field() {
    let from = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    let account = json!({"name": "sa", "audience": "a"});
    let key = json!({"keySecretRef": {"name": "k"}});
    let invalid = Reason::CredentialsInvalid;
    let missing = Reason::CredentialsNotFound;
    let endpoint = Reason::EndpointNotAllowed;
    for (name, over, reason, words) in [
        ("nowhere to ask", json!({"tokenURL": null}), endpoint, "set spec.tokenURL, spec.issuer"),
        (
            "two places to ask",
            json!({"issuer": "https://idp.example.com"}),
            endpoint,
            "spec.issuer stands alone",
        ),
        (
            "an issuer and a provider",
            json!({"tokenURL": null, "issuer": "https://idp.example.com", "provider": {"name": "X"}}),
            endpoint,
            "spec.issuer stands alone",
        ),
        (
            "no credentials",
            json!({"credentialsSecretRef": null}),
            missing,
            "spec.credentialsSecretRef.name",
        ),
        (
            "no client secret",
            json!({"credentialsSecretRef": null, "clientID": "a"}),
            missing,
            "spec.credentialsSecretRef.name",
        ),
        (
            "no client ID",
            json!({"credentialsSecretRef": null, "clientAuthentication": {"method": "None"}}),
            missing,
            "or set spec.clientID",
        ),
        (
            "two client IDs",
            json!({"clientID": "a", "credentialsSecretRef": {"name": "c", "clientIDKey": "id"}}),
            invalid,
            "spec.credentialsSecretRef.clientIDKey",
        ),
        ("no key", method("PrivateKeyJWT"), missing, "privateKeyJWT.keySecretRef"),
        (
            "no account",
            method("ServiceAccountToken"),
            missing,
            "clientAuthentication.serviceAccountToken",
        ),
        ("no certificate", method("TLSClientAuth"), missing, "spec.tls.clientCertificateSecretRef"),
        (
            "a key for another method",
            json!({"clientAuthentication": {"privateKeyJWT": key}}),
            invalid,
            "only for method PrivateKeyJWT",
        ),
        (
            "an account for another method",
            json!({"clientAuthentication": {"method": "None", "serviceAccountToken": account}}),
            invalid,
            "only for method ServiceAccountToken",
        ),
        (
            "a client secret in the query",
            json!({"request": {"bodyFormat": "Query"}, "clientAuthentication": {"method": "ClientSecretPost"}}),
            invalid,
            "spec.request.bodyFormat: Query",
        ),
        (
            "an assertion in the query",
            json!({"request": {"bodyFormat": "Query"}, "clientAuthentication": {"method": "ClientSecretJWT"}}),
            invalid,
            "spec.request.bodyFormat: Query",
        ),
        (
            "a secret parameter in the query",
            json!({"request": {"bodyFormat": "Query", "parameters": [{"name": "p", "valueFrom": from}]}}),
            invalid,
            "remove valueFrom",
        ),
        (
            "a secret parameter apart in the query",
            parameters(&json!([{"name": "p", "valueFrom": from, "in": "Query"}])),
            invalid,
            "remove in: Query",
        ),
        (
            "a parameter without a name",
            parameters(&json!([{"name": "", "value": "1"}])),
            invalid,
            "the entry \"\"",
        ),
        (
            "a parameter whose name hides",
            parameters(&json!([{"name": "scope ", "value": "1"}])),
            invalid,
            "the entry \"scope \"",
        ),
        (
            "a reserved parameter",
            parameters(&json!([{"name": "Scope", "value": "1"}])),
            invalid,
            "a field of its own",
        ),
        (
            "a parameter twice",
            parameters(&json!([{"name": "p", "value": "1"}, {"name": "p", "value": "2"}])),
            invalid,
            "two entries p",
        ),
        ("no value", parameters(&json!([{"name": "p"}])), invalid, "either value or valueFrom"),
        (
            "two values",
            parameters(&json!([{"name": "p", "value": "1", "valueFrom": from}])),
            invalid,
            "either value or valueFrom",
        ),
        (
            "no name of a header",
            headers(&json!([{"name": "a b", "value": "1"}])),
            invalid,
            "no name of a header",
        ),
        (
            "our header",
            headers(&json!([{"name": "AUTHORIZATION", "value": "1"}])),
            invalid,
            "remove it",
        ),
        (
            "a header of the body",
            headers(&json!([{"name": "Content-Foo", "value": "1"}])),
            invalid,
            "remove it",
        ),
        (
            "a header of a proxy",
            headers(&json!([{"name": "Proxy-Foo", "value": "1"}])),
            invalid,
            "remove it",
        ),
        (
            "a header twice",
            headers(&json!([{"name": "a", "value": "1"}, {"name": "A", "value": "2"}])),
            invalid,
            "two entries a",
        ),
        (
            "a header without a value",
            headers(&json!([{"name": "a"}])),
            invalid,
            "either value or valueFrom",
        ),
        (
            "a header with two values",
            headers(&json!([{"name": "a", "value": "1", "valueFrom": from}])),
            invalid,
            "either value or valueFrom",
        ),
        ("client_id in the URL", query("a=1&client_id=x"), endpoint, "set spec.clientID"),
        (
            "client_secret in the URL",
            query("client_secret=x"),
            endpoint,
            "set spec.credentialsSecretRef",
        ),
        (
            "an assertion in the URL",
            query("client_assertion=x"),
            endpoint,
            "set spec.clientAuthentication",
        ),
        (
            "its type in the URL",
            query("client_assertion_type=x"),
            endpoint,
            "set spec.clientAuthentication",
        ),
        ("scope in the URL", query("SCOPE=x"), endpoint, "set spec.scopes"),
        ("audience in the URL", query("audience"), endpoint, "set spec.audience"),
        (
            "resource, encoded, in the URL",
            query("re%73ource=x"),
            endpoint,
            "set spec.resourceIndicators",
        ),
        (
            "the grant type in the URL",
            query("grant_type=x"),
            endpoint,
            "spec.request.grantType, which may be \"\"",
        ),
        (
            "a parameter in the URL and in the body",
            json!({
                "tokenURL": "https://idp.example.com/token?p=1",
                "request": {"parameters": [{"name": "p", "value": "1"}]},
            }),
            endpoint,
            "or from spec.request.parameters",
        ),
        (
            "a parameter in the URL and in the query",
            json!({
                "tokenURL": "https://idp.example.com/token?p=1",
                "request": {"parameters": [{"name": "p", "value": "1", "in": "Query"}]},
            }),
            endpoint,
            "or from spec.request.parameters",
        ),
    ] {
        match plan(&spec(&over)) {
            Ok(_) => panic!("{name}"),
            Err(fault) => {
                assert_eq!(fault.reason, reason, "{name}: {}", fault.message);
                assert!(fault.message.contains(words), "{name}: {}", fault.message);
            }
        }
    }
}

#[test]
fn what_is_near_a_rule_passes() {
    let from = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    for over in [
        query("api-version=1&tenant=client_id#"),
        query("grants_type=1&scopes=2"),
        json!({"tokenURL": "https://idp.example.com/token?grant_type=x", "request": {"grantType": ""}}),
        json!({
            "tokenURL": "https://idp.example.com/token?p=1",
            "request": {"parameters": [{"name": "q", "value": "1"}, {"name": "P", "valueFrom": from}]},
        }),
        headers(&json!([{"name": "x-content", "valueFrom": from}, {"name": "y", "value": ""}])),
        json!({"request": {"bodyFormat": "Query", "parameters": [{"name": "p", "value": "1"}]}}),
        json!({"tls": {"clientCertificateSecretRef": {"name": "mtls"}}}),
        json!({"clientID": "a", "clientAuthentication": {"method": "None"}, "credentialsSecretRef": null}),
        json!({"credentialsSecretRef": null, "clientAuthentication": {
            "method": "ServiceAccountToken", "serviceAccountToken": {"name": "sa", "audience": "a"},
        }}),
    ] {
        good(&over);
    }
}

/// A row of the catalogue may let the client secret into the query, and nothing else.
#[test]
fn habits_of_a_provider_change_the_rules() {
    let mut plan = good(&method("ClientSecretPost"));
    plan.body_format = BodyFormat::Query;
    assert!(check::check(&plan).is_err());
    plan.habits.secret_in_query = true;
    assert_eq!(check::check(&plan), Ok(()));
    plan.method = Method::ClientSecretJwt;
    assert!(check::check(&plan).is_err());
    let mut plan = good(&parameters(&json!([{"name": "accessKeyId", "value": "1"}])));
    plan.habits.client_id_name = "accessKeyID".to_owned();
    assert!(check::check(&plan).is_err(), "it would be sent twice");
    let mut plan = good(&query("accessKeyId=1"));
    plan.habits.client_id_name = "accessKeyID".to_owned();
    let fault = check::check(&plan).unwrap_err();
    assert!(
        fault.message.contains("accesskeyid: remove it and set spec.clientID"),
        "{}",
        fault.message
    );
}
