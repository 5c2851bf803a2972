//! What stands in the way before anything is read or sent: consent, absence, addresses, audiences.
//!
//! **Invariant:** every kind of reference is in the table, so that a new one without consent fails.

#![allow(clippy::too_many_lines, reason = "tables of cases")]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::domain::address::AddressPolicy;
use crate::domain::consent::ConsentPolicy;
use crate::domain::crd::OAuthClientCredential;
use crate::domain::decide::{Decision, Trigger, decide};
use crate::domain::observation::{Policy, ReferenceMetadata, Remembered};
use crate::domain::reference::{ObjectKind, references, used_objects};
use crate::domain::remember;
use crate::domain::schedule::SchedulePolicy;

const HOST: &str = "idp.example.com";

/// One spec for each kind of reference, with the object that the reference is to.
fn specs() -> Vec<(&'static str, Value, ObjectKind, &'static str)> {
    let base = json!({"tokenURL": "https://idp.example.com/t", "clientID": "app"});
    let with = |changes: Value| {
        let mut spec = base.clone();
        for (key, value) in changes.as_object().unwrap() {
            spec[key] = value.clone();
        }
        spec
    };
    let secret = ObjectKind::Secret;
    let from = json!({"secretKeyRef": {"name": "s", "key": "k"}});
    let none = json!({"method": "None"});
    vec![
        ("client secret", with(json!({"credentialsSecretRef": {"name": "s"}})), secret, "s"),
        (
            "client ID",
            json!({"tokenURL": "https://idp.example.com/t", "credentialsSecretRef": {"name": "s"},
                "clientAuthentication": none}),
            secret,
            "s",
        ),
        (
            "parameter",
            with(json!({"clientAuthentication": none,
                "request": {"parameters": [{"name": "p", "valueFrom": from}]}})),
            secret,
            "s",
        ),
        (
            "header",
            with(json!({"clientAuthentication": none,
                "request": {"headers": [{"name": "x-key", "valueFrom": from}]}})),
            secret,
            "s",
        ),
        (
            "signing key",
            with(json!({"clientAuthentication": {"method": "PrivateKeyJWT",
                "privateKeyJWT": {"keySecretRef": {"name": "s"}}}})),
            secret,
            "s",
        ),
        (
            "client certificate",
            with(json!({"clientAuthentication": {"method": "TLSClientAuth"},
                "tls": {"clientCertificateSecretRef": {"name": "s"}}})),
            secret,
            "s",
        ),
        (
            "client certificate beside another method",
            with(json!({"clientAuthentication": none,
                "tls": {"clientCertificateSecretRef": {"name": "s"}}})),
            secret,
            "s",
        ),
        (
            "ServiceAccount",
            json!({"tokenURL": "https://idp.example.com/t", "clientAuthentication": {
                "method": "ServiceAccountToken",
                "serviceAccountToken": {"name": "s", "audience": "https://idp.example.com"}}}),
            ObjectKind::ServiceAccount,
            "s",
        ),
    ]
}

fn observation(spec: &Value) -> Observation {
    let credential: OAuthClientCredential = serde_json::from_value(json!({
        "apiVersion": "oauthcc.dev/v1alpha1", "kind": "OAuthClientCredential",
        "metadata": {"namespace": "n", "name": "crm", "uid": "uid", "generation": 1},
        "spec": spec,
    }))
    .unwrap();
    Observation {
        left_behind: Vec::new(),
        credential: Arc::new(credential),
        policy: Arc::new(Policy {
            schedule: SchedulePolicy::default(),
            consent: ConsentPolicy { required: true, cluster_wide: None },
            addresses: AddressPolicy { allowed: Vec::new() },
            allow_insecure: false,
            api_audiences: vec!["https://cluster.example".to_owned()],
        }),
        references: BTreeMap::new(),
        target: Known::Absent,
        rivals: Vec::new(),
        memory: Remembered { seeded: true, ..Remembered::default() },
    }
}

fn seen(annotation: Option<&str>) -> Known<ReferenceMetadata> {
    Known::Present(ReferenceMetadata {
        uid: "u".to_owned(),
        resource_version: 1,
        allowed_token_hosts: annotation.map(str::to_owned),
        data_changed_at: None,
    })
}

fn with(
    spec: &Value,
    kind: ObjectKind,
    name: &str,
    known: Known<ReferenceMetadata>,
) -> Observation {
    let mut o = observation(spec);
    o.references.insert(Object { kind, name: name.to_owned() }, known);
    o
}

#[test]
fn nothing_is_asked_before_the_owner_of_every_kind_of_reference_consents() {
    for (what, spec, kind, name) in specs() {
        let decision = |annotation| {
            let o = with(&spec, kind, name, seen(annotation));
            decide(&o, Timestamp::UNIX_EPOCH)
        };
        let asks = Decision::Request(Trigger::SecretMissing);
        assert_eq!(decision(Some(HOST)), asks, "{what}");
        assert_eq!(decision(Some("other.example.com, idp.example.com")), asks, "{what}");
        for refused in [
            None,
            Some(""),
            Some("other.example.com"),
            Some("IDP.example.com"),
            Some("idp.example.com."),
            Some("idp.example.com:8443"),
            Some("user@idp.example.com"),
            Some("*.example.com"),
            Some("idp.example.com, bücher.example"),
            Some("https://idp.example.com"),
        ] {
            let Decision::Refuse(refusal) = decision(refused) else {
                panic!("{what} {refused:?}: {:?}", decision(refused));
            };
            assert_eq!(refusal.reason, Reason::EndpointNotAllowed, "{what} {refused:?}");
            let line = "oauthcc.dev/allowed-token-hosts: \"";
            assert!(refusal.message.contains(line), "{what}: {}", refusal.message);
            assert!(refusal.message.contains(&format!(" {name} ")), "{what}: {}", refusal.message);
        }
    }
}

#[test]
fn what_does_not_exist_is_named_with_its_reason_and_its_field() {
    for (what, spec, kind, name) in specs() {
        let o = with(&spec, kind, name, Known::Absent);
        let used = used_objects(&references(&o.plan().unwrap()));
        assert_eq!(used.len(), 1, "{what}");
        let Decision::Refuse(refusal) = decide(&o, Timestamp::UNIX_EPOCH) else {
            panic!("{what}");
        };
        assert_eq!(refusal.reason, used[0].used_as.absent(), "{what}");
        assert!(refusal.message.contains(used[0].used_as.field()), "{what}: {}", refusal.message);
        assert!(refusal.message.contains(kind.as_str()), "{what}: {}", refusal.message);
    }
}

#[test]
fn a_bundle_of_authorities_needs_no_consent_and_must_exist() {
    let spec = json!({"tokenURL": "https://idp.example.com/t", "clientID": "app",
        "clientAuthentication": {"method": "None"}, "tls": {"caBundleRef": {"name": "ca"}}});
    let map = ObjectKind::ConfigMap;
    let there = with(&spec, map, "ca", seen(None));
    assert_eq!(decide(&there, Timestamp::UNIX_EPOCH), Decision::Request(Trigger::SecretMissing));
    let Decision::Refuse(refusal) =
        decide(&with(&spec, map, "ca", Known::Absent), Timestamp::UNIX_EPOCH)
    else {
        panic!("a bundle that is not there is used");
    };
    assert_eq!(refusal.reason, Reason::CABundleNotFound);
}

#[test]
fn one_object_of_several_without_consent_is_enough_to_ask_nothing() {
    let spec = json!({"tokenURL": "https://idp.example.com/t",
        "credentialsSecretRef": {"name": "client"},
        "request": {"headers": [{"name": "x", "valueFrom": {"secretKeyRef": {"name": "header", "key": "k"}}}]},
        "tls": {"clientCertificateSecretRef": {"name": "certificate"}}});
    let names = ["client", "header", "certificate"];
    for withheld in names {
        let mut o = observation(&spec);
        for name in names {
            let annotation = (name != withheld).then_some(HOST);
            let object = Object { kind: ObjectKind::Secret, name: name.to_owned() };
            o.references.insert(object, seen(annotation));
        }
        let Decision::Refuse(refusal) = decide(&o, Timestamp::UNIX_EPOCH) else {
            panic!("{withheld}");
        };
        assert!(refusal.message.contains(withheld), "{}", refusal.message);
    }
}

#[test]
fn with_an_issuer_its_host_needs_consent_before_it_is_asked() {
    let spec = json!({"issuer": "https://login.example.com/realms/shop",
        "credentialsSecretRef": {"name": "s"}});
    let secret = ObjectKind::Secret;
    let refused = with(&spec, secret, "s", seen(Some(HOST)));
    assert!(matches!(decide(&refused, Timestamp::UNIX_EPOCH), Decision::Refuse(_)));
    let asked = with(&spec, secret, "s", seen(Some("login.example.com")));
    assert_eq!(decide(&asked, Timestamp::UNIX_EPOCH), Decision::Request(Trigger::SecretMissing));
    // The token endpoint that the metadata names is judged once it is known.
    let host = TokenHost::parse("token.example.com").unwrap();
    assert_eq!(not_consented(&asked, &host).unwrap().reason, Reason::EndpointNotAllowed);
}

#[test]
fn no_token_is_made_for_an_audience_of_the_api_server() {
    let known = ["https://cluster.example".to_owned()];
    for audience in [
        "https://cluster.example",
        "https://cluster.example/",
        "HTTPS://CLUSTER.EXAMPLE",
        "https://kubernetes.default.svc",
        "https://kubernetes.default.svc.cluster.local",
        "https://kubernetes.default",
        "https://kubernetes",
        "kubernetes.default.svc",
        "https://kubernetes.default.svc:443",
        "https://Kubernetes.Default.svc.",
        "https://kubernetes.default.svc/",
        " https://kubernetes.default.svc",
        "kubernetes",
    ] {
        assert!(is_api_audience(audience, &known), "{audience}");
    }
    for audience in [
        "https://idp.example.com",
        "https://cluster.example.com",
        "https://kubernetes.example.com",
        "api://AzureADTokenExchange",
        "urn:kubernetes",
        "sts.amazonaws.com",
    ] {
        assert!(!is_api_audience(audience, &known), "{audience}");
    }
    let mut spec = specs().pop().unwrap().1;
    spec["clientAuthentication"]["serviceAccountToken"]["audience"] =
        json!("https://cluster.example");
    let o = with(&spec, ObjectKind::ServiceAccount, "s", seen(Some(HOST)));
    let Decision::Refuse(refusal) = decide(&o, Timestamp::UNIX_EPOCH) else {
        panic!("a token for the API server is made");
    };
    assert_eq!(refusal.reason, Reason::ServiceAccountTokenRefused);
}

#[test]
fn the_list_of_the_cluster_holds_for_requests_that_hold_nothing_of_anybodys() {
    let public = json!({"tokenURL": "https://idp.example.com/t", "clientID": "app",
        "clientAuthentication": {"method": "None"}});
    let issuer = json!({"issuer": "https://idp.example.com", "clientID": "app",
        "clientAuthentication": {"method": "None"}});
    for spec in [public, issuer] {
        let mut o = observation(&spec);
        assert_eq!(decide(&o, Timestamp::UNIX_EPOCH), Decision::Request(Trigger::SecretMissing));
        let listed = vec![TokenHost::parse("other.example.com").unwrap()];
        let mut policy = Policy::clone(&o.policy);
        policy.consent.cluster_wide = Some(listed);
        o.policy = Arc::new(policy);
        let Decision::Refuse(refusal) = decide(&o, Timestamp::UNIX_EPOCH) else {
            panic!("a host that the cluster does not list is asked");
        };
        assert_eq!(refusal.reason, Reason::EndpointNotAllowed);
        assert!(refusal.message.contains("--allowed-token-hosts"), "{}", refusal.message);
        let found = TokenHost::parse("token.example.com").unwrap();
        assert!(not_consented(&o, &found).is_some(), "a host that metadata name");
    }
}

#[test]
fn a_secret_that_the_request_reads_is_never_the_one_that_is_written() {
    let spec = json!({"tokenURL": "https://idp.example.com/t",
        "credentialsSecretRef": {"name": "crm"}});
    let o = with(&spec, ObjectKind::Secret, "crm", seen(Some(HOST)));
    let Decision::Refuse(refusal) = decide(&o, Timestamp::UNIX_EPOCH) else {
        panic!("the client Secret is replaced");
    };
    assert_eq!(refusal.reason, Reason::CredentialsInvalid);
    assert!(refusal.message.contains("spec.target.name"), "{}", refusal.message);
}

#[test]
fn what_lies_outside_the_cluster_is_looked_at_again_and_what_lies_in_it_is_waited_for() {
    let spec = json!({"issuer": "https://idp.example.com",
        "credentialsSecretRef": {"name": "s"}});
    let mut o = with(&spec, ObjectKind::Secret, "s", seen(Some(HOST)));
    let fault = || Fault { reason: Reason::EndpointNotAllowed, message: "as told".to_owned() };
    let now = Timestamp::UNIX_EPOCH;
    let waited_for = remember::after_refusal(&o, o.refused(fault()), now);
    assert_eq!(waited_for.refusal.unwrap().next_attempt_at, None);
    for minutes in [1, 2, 4] {
        let refusal = Refusal { may_pass: true, ..o.refused(fault()) };
        o.memory = remember::after_refusal(&o, refusal, now);
        let next = o.memory.refusal.as_ref().unwrap().next_attempt_at;
        assert_eq!(next, Some(now + jiff::SignedDuration::from_mins(minutes)));
        assert!(matches!(decide(&o, now), Decision::Refuse(_)));
        assert_eq!(decide(&o, next.unwrap()), Decision::Request(Trigger::SecretMissing));
    }
}

/// The Secret that a corrected spec names may be older than that: no event tells of it.
#[test]
fn a_refusal_is_forgotten_with_the_name_that_it_was_about() {
    let spec = |name: &str| json!({"tokenURL": "https://idp.example.com/t", "credentialsSecretRef": {"name": name}});
    let wrong = with(&spec("wrong"), ObjectKind::Secret, "wrong", Known::Absent);
    let fault = Fault { reason: Reason::CredentialsNotFound, message: "as read".to_owned() };
    let now = Timestamp::UNIX_EPOCH;
    let memory = remember::after_refusal(&wrong, wrong.refused(fault), now);
    let untold = |name: &str| {
        let memory = memory.clone();
        Observation { memory, ..observation(&spec(name)) }
    };
    assert!(matches!(decide(&untold("wrong"), now), Decision::Refuse(_)));
    assert_eq!(decide(&untold("right"), now), Decision::Request(Trigger::SecretMissing));
}

#[test]
fn a_live_token_goes_to_another_host_only_where_somebody_beside_the_author_names_it() {
    let host = |written: &str| named(&format!("https://{written}/"));
    let (endpoint, other) = (host("idp.example.com"), host("other.example.com"));
    let base = json!({"tokenURL": "https://idp.example.com/t",
        "credentialsSecretRef": {"name": "s"}});
    let both = Some("idp.example.com, other.example.com");
    for (what, annotation, allowed) in [
        ("both are named", both, true),
        ("the token endpoint alone", Some("idp.example.com"), false),
        ("consent is optional, and not given", None, false),
        ("what can't be read names nothing", Some("other.example.com, *"), false),
    ] {
        let mut o = with(&base, ObjectKind::Secret, "s", seen(annotation));
        Arc::make_mut(&mut o.policy).consent.required = false;
        assert_eq!(not_for_revocation(&o, &other, &endpoint).is_none(), allowed, "{what}");
        assert_eq!(not_for_revocation(&o, &endpoint, &endpoint), None, "{what}");
    }
    // A public client uses no object that anybody owns.
    let public = json!({"tokenURL": "https://idp.example.com/t", "clientID": "c",
        "clientAuthentication": {"method": "None"}});
    let mut o = observation(&public);
    let fault = not_for_revocation(&o, &other, &endpoint).unwrap();
    assert_eq!(fault.reason, Reason::EndpointNotAllowed);
    assert!(fault.message.contains("oauthcc.dev/allowed-token-hosts: other.example.com"));
    Arc::make_mut(&mut o.policy).consent.cluster_wide = Some(vec![other.clone()]);
    assert_eq!(not_for_revocation(&o, &other, &endpoint), None, "the list was held against it");
}

fn named(url: &str) -> TokenHost {
    consent::token_endpoint(url, false).unwrap().host
}
