//! Which objects a plan uses, in which order, and whose owner must consent.
//!
//! **Invariant:** the order of the first test may never change, since digests are made of it.

use serde_json::{Value, json};

use super::*;
use crate::domain::plan;

fn of(over: &Value) -> Vec<Reference> {
    let mut spec = json!({"tokenURL": "https://idp.example.com/token"});
    for (name, value) in over.as_object().unwrap() {
        spec[name] = value.clone();
    }
    references(&plan::plan(&serde_json::from_value(spec).unwrap()).unwrap())
}

fn shown(references: &[Reference]) -> Vec<String> {
    let line = |reference: &Reference| {
        let Reference { object, key, used_as } = reference;
        let key = key.as_deref().unwrap_or("-");
        format!("{} {} {key} {used_as:?}", object.kind.as_str(), object.name)
    };
    references.iter().map(line).collect()
}

fn from(name: &str, key: &str) -> Value {
    json!({"secretKeyRef": {"name": name, "key": key}})
}

#[test]
fn every_value_is_named_in_an_order_that_stays() {
    let all = of(&json!({
        "credentialsSecretRef": {"name": "client"},
        "request": {
            "parameters": [{"name": "a", "value": "1"}, {"name": "b", "valueFrom": from("p", "b")}],
            "headers": [{"name": "c", "valueFrom": from("h", "c")}, {"name": "d", "value": ""}],
        },
        "tls": {
            "clientCertificateSecretRef": {"name": "mtls"},
            "caBundleRef": {"name": "corp"},
        },
    }));
    let expected = [
        "Secret client client-secret ClientSecret",
        "Secret client client-id ClientId",
        "Secret p b Parameter(1)",
        "Secret h c Header(0)",
        "Secret mtls tls.crt ClientCertificate",
        "Secret mtls tls.key ClientCertificateKey",
        "ConfigMap corp ca.crt CaBundle",
    ];
    assert_eq!(shown(&all), expected);
}

#[test]
fn each_method_uses_what_it_needs() {
    fn check(over: &Value, expected: &[&str]) {
        assert_eq!(shown(&of(over)), expected, "{over}");
    }
    let named = json!({"name": "c", "clientIDKey": "i", "clientSecretKey": "s"});
    let secret = "Secret c s ClientSecret";
    let id = "Secret c i ClientId";
    for method in ["ClientSecretBasic", "ClientSecretPost", "ClientSecretJWT"] {
        let authentication = json!({"method": method});
        let over = json!({"credentialsSecretRef": named, "clientAuthentication": authentication});
        check(&over, &[secret, id]);
        let named = json!({"name": "c", "clientSecretKey": "s"});
        let over = json!({
            "credentialsSecretRef": named, "clientAuthentication": authentication, "clientID": "a",
        });
        check(&over, &[secret]);
    }
    let none = json!({"method": "None"});
    check(&json!({"credentialsSecretRef": named, "clientAuthentication": none}), &[id]);
    check(&json!({"clientID": "a", "clientAuthentication": none}), &[]);
    let key = |more: Value| {
        let mut settings = json!({"keySecretRef": {"name": "k"}});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"clientID": "a", "clientAuthentication": {"method": "PrivateKeyJWT", "privateKeyJWT": settings}})
    };
    check(&key(json!({})), &["Secret k tls.key SigningKey"]);
    check(
        &key(json!({"keySecretRef": {"name": "k", "key": "pem"}, "certificateKey": "crt"})),
        &["Secret k pem SigningKey", "Secret k crt SigningCertificate"],
    );
    let account = json!({
        "method": "ServiceAccountToken", "serviceAccountToken": {"name": "sa", "audience": "x"},
    });
    check(&json!({"clientAuthentication": account}), &["ServiceAccount sa - ServiceAccount"]);
    check(
        &json!({"clientAuthentication": account, "credentialsSecretRef": named}),
        &[id, "ServiceAccount sa - ServiceAccount"],
    );
    let tls = json!({"clientCertificateSecretRef": {"name": "m"}});
    check(
        &json!({"clientAuthentication": {"method": "TLSClientAuth"}, "clientID": "a", "tls": tls}),
        &["Secret m tls.crt ClientCertificate", "Secret m tls.key ClientCertificateKey"],
    );
}

#[test]
fn an_object_stands_once_with_all_its_keys() {
    let used = used_objects(&of(&json!({
        "credentialsSecretRef": {"name": "one", "clientIDKey": "k", "clientSecretKey": "k"},
        "request": {
            "parameters": [{"name": "b", "valueFrom": from("two", "b")}],
            "headers": [{"name": "c", "valueFrom": from("one", "c")}],
        },
        "tls": {"caBundleRef": {"kind": "Secret", "name": "two", "key": "ca"}},
    })));
    let shown: Vec<_> = used
        .iter()
        .map(|used| (used.object.name.as_str(), used.keys.join(","), used.used_as))
        .collect();
    let expected = [
        ("one", "k,c".to_owned(), Use::ClientSecret),
        ("two", "b,ca".to_owned(), Use::Parameter(0)),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn whoever_owns_what_is_sent_or_signed_with_must_consent() {
    fn check(over: &Value, expected: &[(&str, bool)]) {
        let used = used_objects(&of(over));
        let needs: Vec<_> =
            used.iter().map(|used| (used.object.name.as_str(), used.needs_consent)).collect();
        assert_eq!(needs, expected, "{over}");
    }
    let client = json!({"name": "client"});
    for kind in ["Secret", "ConfigMap"] {
        let tls = json!({"caBundleRef": {"kind": kind, "name": "ca"}});
        check(
            &json!({"credentialsSecretRef": client, "tls": tls}),
            &[("client", true), ("ca", false)],
        );
    }
    // Read for its authorities and, apart from that, sent.
    let tls = json!({"caBundleRef": {"kind": "Secret", "name": "client"}});
    check(&json!({"credentialsSecretRef": client, "tls": tls}), &[("client", true)]);
    // A ConfigMap is another object than the Secret of its name.
    let tls = json!({"caBundleRef": {"name": "client"}});
    check(
        &json!({"credentialsSecretRef": client, "tls": tls}),
        &[("client", true), ("client", false)],
    );
    let account = json!({
        "method": "ServiceAccountToken", "serviceAccountToken": {"name": "sa", "audience": "x"},
    });
    let tls = json!({"clientCertificateSecretRef": {"name": "mtls"}});
    check(&json!({"clientAuthentication": account, "tls": tls}), &[("mtls", true), ("sa", true)]);
}

#[test]
fn every_use_names_a_field_and_reasons() {
    for (used_as, field, absent, key_missing) in [
        (
            Use::ClientSecret,
            "spec.credentialsSecretRef",
            Reason::CredentialsNotFound,
            Reason::CredentialsKeyMissing,
        ),
        (Use::CaBundle, "spec.tls.caBundleRef", Reason::CABundleNotFound, Reason::CABundleNotFound),
        (
            Use::ClientCertificate,
            "spec.tls.clientCertificateSecretRef",
            Reason::CertificateNotFound,
            Reason::CertificateNotFound,
        ),
        (
            Use::SigningCertificate,
            "spec.clientAuthentication.privateKeyJWT.certificateKey",
            Reason::CredentialsNotFound,
            Reason::CredentialsKeyMissing,
        ),
        (
            Use::ServiceAccount,
            "spec.clientAuthentication.serviceAccountToken",
            Reason::ServiceAccountTokenRefused,
            Reason::ServiceAccountTokenRefused,
        ),
    ] {
        assert_eq!((used_as.field(), used_as.absent()), (field, absent));
        assert_eq!(used_as.key_missing(), key_missing);
    }
}
