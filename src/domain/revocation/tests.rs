//! The end of a credential in controlled time, decision by decision.
//!
//! **Invariant:** no clock and no I/O; each row of a table changes one thing of a credential that is being
//! deleted and holds a live token.

#![allow(clippy::too_many_lines, reason = "tables of cases")]

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::*;
use crate::domain::address::AddressPolicy;
use crate::domain::consent::ConsentPolicy;
use crate::domain::crd::OAuthClientCredential;
use crate::domain::oauth::RequestError;
use crate::domain::observation::Policy;
use crate::domain::schedule::SchedulePolicy;
use crate::domain::secret::{AppliedFields, TargetMetadata, annotations, labels};

const DELETED_AT: &str = "2026-01-01T00:00:00Z";

fn at(seconds: i64) -> Timestamp {
    let deleted_at: Timestamp = DELETED_AT.parse().unwrap();
    Timestamp::from_second(deleted_at.as_second() + seconds).unwrap()
}

fn record(expires_at: Timestamp) -> Record {
    Record {
        issued_at: at(-60),
        expires_at,
        revision: 1,
        fingerprint: String::new(),
        inputs_version: String::new(),
        token_key: "token".to_owned(),
        refresh_at: None,
    }
}

fn managed(token: &str, expires_at: Timestamp) -> ManagedSecret {
    ManagedSecret {
        token: Redacted::new(token.to_owned()),
        token_type: "Bearer".to_owned(),
        record: record(expires_at),
        response_values: BTreeMap::new(),
        previous: None,
    }
}

fn target(uid: &str, expires_at: Timestamp) -> TargetMetadata {
    let marks: BTreeMap<String, String> = annotations(uid, &record(expires_at))
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(labels().map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    TargetMetadata {
        adopt_by: None,
        uid: "target".to_owned(),
        resource_version: 1,
        controller_uid: Some(uid.to_owned()),
        applied: Some(AppliedFields {
            data: ["token", "expires-at", "token-type"].map(str::to_owned).into(),
            marks: marks.keys().cloned().collect(),
            ..AppliedFields::default()
        }),
        marks,
    }
}

/// A credential with these members of its metadata and spec, and a token that lives for an hour.
fn observed(metadata: &Value, revocation: &Value) -> Observation {
    let mut object = json!({
        "apiVersion": "oauthcc.dev/v1alpha1", "kind": "OAuthClientCredential",
        "metadata": {"namespace": "n", "name": "crm", "uid": "uid", "generation": 1},
        "spec": {"tokenURL": "https://idp.example.com/token",
            "credentialsSecretRef": {"name": "client"}, "revocation": revocation},
    });
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    let credential: OAuthClientCredential = serde_json::from_value(object).unwrap();
    Observation {
        left_behind: Vec::new(),
        credential: Arc::new(credential),
        policy: Arc::new(Policy {
            schedule: SchedulePolicy::default(),
            consent: ConsentPolicy { required: true, cluster_wide: None },
            addresses: AddressPolicy { allowed: Vec::new() },
            allow_insecure: false,
            api_audiences: Vec::new(),
        }),
        references: BTreeMap::new(),
        target: Known::Present(target("uid", at(3600))),
        rivals: Vec::new(),
        memory: Remembered::default(),
    }
}

fn on() -> Value {
    json!({"onDelete": true, "url": "https://idp.example.com/revoke"})
}

/// Held by us, and deleted at second 0.
fn leaving() -> Observation {
    let metadata =
        json!({"deletionTimestamp": DELETED_AT, "finalizers": ["a/b", REVOKE_FINALIZER]});
    observed(&metadata, &on())
}

fn edit(o: &mut Observation, change: impl FnOnce(&mut OAuthClientCredential)) {
    change(Arc::make_mut(&mut o.credential));
}

fn transient() -> Failure {
    Failure { reason: Reason::ServerError, message: "m".into(), may_pass: true, wait: None }
}

fn reasons(outcome: &Outcome) -> Vec<(&'static str, &'static str)> {
    outcome.notices.iter().map(|notice| (notice.reason, notice.action)).collect()
}

#[test]
fn a_living_credential_is_held_as_its_spec_asks() {
    let (ours, foreign) = (json!([REVOKE_FINALIZER]), json!(["a/b"]));
    let both = json!(["a/b", REVOKE_FINALIZER]);
    let off = json!({"onDelete": false, "url": "https://idp.example.com/revoke"});
    for (finalizers, revocation, expected) in [
        (Value::Null, Value::Null, Farewell::Lives),
        (foreign.clone(), Value::Null, Farewell::Lives),
        (foreign.clone(), off.clone(), Farewell::Lives),
        (Value::Null, on(), Farewell::Hold),
        (foreign, on(), Farewell::Hold),
        (ours.clone(), on(), Farewell::Lives),
        (both.clone(), on(), Farewell::Lives),
        (ours, Value::Null, Farewell::LetGo),
        (both, off, Farewell::LetGo),
    ] {
        let o = observed(&json!({ "finalizers": finalizers }), &revocation);
        assert_eq!(farewell(&o, at(0)), expected, "{finalizers} {revocation}");
    }
}

#[test]
fn one_that_is_deleted_is_let_go_at_once_where_nothing_can_be_revoked() {
    type Change = fn(&mut Observation);
    let revoke = Farewell::Revoke { within: Duration::from_secs(10) };
    let cases: [(&str, Change, Farewell); 14] = [
        ("as it is", |_| (), revoke),
        ("suspended", |o| edit(o, |c| c.spec.suspend = true), revoke),
        ("nothing told of the Secret", |o| o.target = Known::Untold, revoke),
        ("no Secret", |o| o.target = Known::Absent, Farewell::Release),
        (
            "a Secret of somebody else",
            |o| o.target = Known::Present(target("other", at(3600))),
            Farewell::Release,
        ),
        ("expired", |o| o.target = Known::Present(target("uid", at(0))), Farewell::Release),
        (
            "annotations lost",
            |o| {
                let mut lost = target("uid", at(3600));
                lost.marks.remove("oauthcc.dev/expires-at");
                o.target = Known::Present(lost);
            },
            revoke,
        ),
        (
            "a token waits to be written",
            |o| {
                o.target = Known::Absent;
                o.memory.granted = Some(managed("t", at(60)));
            },
            revoke,
        ),
        (
            "it waits and has expired",
            |o| {
                o.target = Known::Absent;
                o.memory.granted = Some(managed("t", at(0)));
            },
            Farewell::Release,
        ),
        ("not asked for any more", |o| edit(o, |c| c.spec.revocation = None), Farewell::Release),
        ("not held by us", |o| edit(o, |c| c.metadata.finalizers = None), Farewell::Gone),
        (
            "held by somebody else alone",
            |o| edit(o, |c| c.metadata.finalizers = Some(vec!["a/b".into()])),
            Farewell::Gone,
        ),
        (
            "told already",
            |o| o.memory.revoking = Some(Revoking { ended: true, ..revoking(o, at(0)) }),
            Farewell::Release,
        ),
        (
            "tried a moment ago",
            |o| {
                let next_attempt_at = Some(at(2));
                o.memory.revoking = Some(Revoking { next_attempt_at, ..revoking(o, at(0)) });
            },
            Farewell::Wait(at(2)),
        ),
    ];
    for (what, change, expected) in cases {
        let mut o = leaving();
        change(&mut o);
        assert_eq!(farewell(&o, at(0)), expected, "{what}");
    }
}

#[test]
fn it_is_held_for_30_s_after_the_deletion_and_for_10_s_where_that_is_seen_late() {
    for (seen, now, within) in [
        (0, 0, Some(10)),
        (0, 25, Some(5)),
        (0, 29, Some(1)),
        (0, 30, None),
        (15, 15, Some(10)),
        (25, 25, Some(10)),
        (25, 34, Some(1)),
        (25, 35, None),
        // After a start.
        (3600, 3600, Some(10)),
        (3600, 3609, Some(1)),
        (3600, 3610, None),
        // The clock of the API server is an hour ahead of ours.
        (-3600, -3600, Some(10)),
        (-3600, -3571, Some(1)),
        (-3600, -3570, None),
    ] {
        let mut o = leaving();
        o.target = Known::Present(target("uid", at(9999)));
        o.memory.revoking = Some(revoking(&o, at(seen)));
        let expected = within.map_or(Farewell::Release, |seconds| Farewell::Revoke {
            within: Duration::from_secs(seconds),
        });
        assert_eq!(farewell(&o, at(now)), expected, "seen at {seen}, now {now}");
    }
}

/// Lives until it is let go; gives the instants of the attempts, when it was let go, and what was told.
fn live(mut o: Observation, failure: &Failure) -> (Vec<i64>, i64, Vec<Outcome>) {
    let (mut now, mut attempts, mut told) = (at(0), Vec::new(), Vec::new());
    for _ in 0..100 {
        let parting = match farewell(&o, now) {
            Farewell::Wait(until) => {
                assert!(until > now);
                now = until;
                continue;
            }
            Farewell::Revoke { .. } => {
                attempts.push(now.as_second() - at(0).as_second());
                o.memory = begun(&o, now);
                after_attempt(&o, Attempted::Failed(failure.clone()), now)
            }
            Farewell::Release => after_release(&o, now),
            other @ (Farewell::Lives | Farewell::Hold | Farewell::LetGo | Farewell::Gone) => {
                panic!("{other:?}")
            }
        };
        o.memory = parting.outcome.memory.clone();
        if let Some(status) = parting.outcome.status.clone() {
            edit(&mut o, |credential| credential.status = Some(status));
        }
        told.push(parting.outcome);
        if parting.release {
            return (attempts, now.as_second() - at(0).as_second(), told);
        }
    }
    panic!("never let go")
}

#[test]
fn an_endpoint_in_trouble_is_tried_again_as_long_as_there_is_time() {
    let (attempts, let_go, told) = live(leaving(), &transient());
    assert!((4..=8).contains(&attempts.len()), "{attempts:?}");
    assert!(let_go <= 29 && attempts.last() == Some(&let_go), "{attempts:?}, {let_go}");
    let waits: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((1..=2).contains(&waits[0]), "{waits:?}");
    assert!(waits.iter().all(|wait| (1..=8).contains(wait)), "{waits:?}");
    let statuses: Vec<_> = told.iter().filter_map(|outcome| outcome.status.as_ref()).collect();
    assert_eq!(statuses.len(), 1, "told once that it is under way");
    let synced = statuses[0].conditions.iter().find(|c| c.type_ == "SecretSynced").unwrap();
    assert_eq!((synced.status.as_str(), synced.reason.as_str()), ("False", "RevocationPending"));
    assert_eq!(statuses[0].next_attempt_time, None, "no token is asked for");
    let notices: Vec<_> = told.iter().flat_map(reasons).collect();
    assert_eq!(notices, [("RevocationFailed", "ServerError")]);
    let note = &told.last().unwrap().notices[0].note;
    assert!(note.contains("until 2026-01-01T01:00:00Z"), "{note}");
}

#[test]
fn what_waiting_can_not_help_ends_at_once() {
    let last = Failure { may_pass: false, reason: Reason::InvalidClient, ..transient() };
    let patient = Failure { wait: Some(Duration::from_secs(60)), ..transient() };
    for (failure, action) in [(last, "InvalidClient"), (patient, "ServerError")] {
        let (attempts, let_go, told) = live(leaving(), &failure);
        assert_eq!((attempts, let_go, told.len()), (vec![0], 0, 1), "{failure:?}");
        assert_eq!(reasons(&told[0]), [("RevocationFailed", action)]);
        assert!(told[0].status.is_none(), "there is nothing under way to tell of");
    }
    let asked = Failure { wait: Some(Duration::from_secs(20)), ..transient() };
    assert_eq!(live(leaving(), &asked).0, [0, 20], "the endpoint's wait is kept");
}

#[test]
fn an_end_is_told_once_and_nothing_is_told_where_there_was_nothing_to_do() {
    let o = leaving();
    let revoked = after_attempt(&o, Attempted::Revoked("idp.example.com".into()), at(0));
    assert!(revoked.release);
    assert_eq!(reasons(&revoked.outcome), [("TokenRevoked", "TokenRevoked")]);
    assert!(!revoked.outcome.notices[0].warning);
    let nothing = after_attempt(&o, Attempted::NothingHeld, at(0));
    assert!(nothing.release && nothing.outcome.notices.is_empty());
    // The finalizer could not be removed: the next look tells nothing again.
    let again = Observation { memory: revoked.outcome.memory, ..o.clone() };
    assert_eq!(farewell(&again, at(1)), Farewell::Release);
    assert!(reasons(&after_release(&again, at(1)).outcome).is_empty());
    assert!(reasons(&after_release(&o, at(0)).outcome).is_empty(), "nothing was begun");
}

#[test]
fn a_turn_that_does_not_come_is_told_at_the_end() {
    let mut o = leaving();
    o.memory = begun(&o, at(0));
    let queued = while_queued(&o, at(0));
    assert_eq!((queued.release, queued.outcome.next), (false, Some(at(30))));
    o.memory = queued.outcome.memory;
    assert_eq!(farewell(&o, at(30)), Farewell::Release);
    let end = after_release(&o, at(30));
    assert_eq!(reasons(&end.outcome), [("RevocationFailed", "RevocationPending")]);
    // A token that expires meanwhile needs no revocation.
    o.target = Known::Present(target("uid", at(5)));
    assert_eq!(farewell(&o, at(6)), Farewell::Release);
    assert!(reasons(&after_release(&o, at(6)).outcome).is_empty());
    // Nobody asks for it any more.
    let mut o = leaving();
    o.memory = begun(&o, at(0));
    edit(&mut o, |credential| credential.spec.revocation = None);
    assert!(reasons(&after_release(&o, at(6)).outcome).is_empty());
}

#[test]
fn every_live_token_is_revoked() {
    let texts = |tokens: Vec<Redacted<String>>| -> Vec<String> {
        tokens.iter().map(|token| token.expose().clone()).collect()
    };
    let mut o = leaving();
    edit(&mut o, |credential| {
        let target = json!({"previousTokenKey": "before", "additionalOutputFormats": []});
        credential.spec.target = Some(serde_json::from_value(target).unwrap());
    });
    let held = |token: &str, expires_at, before_until: Timestamp| {
        let mut target = target("uid", expires_at);
        let applied = target.applied.as_mut().unwrap();
        applied.data.extend(["before", "before-expires-at"].map(str::to_owned));
        let texts =
            [("token", token), ("before", "before")].map(|(key, text)| (key, text.to_owned()));
        let texts = texts.into_iter().chain([("before-expires-at", before_until.to_string())]);
        let texts = texts.map(|(key, text)| (key.to_owned(), Redacted::new(text))).collect();
        Held { target, texts }
    };
    let alone = [held("held", at(60), at(5))];
    let live = |o: &Observation, held: &[Held], now| texts(live_tokens(o, held, now));
    assert_eq!(live(&o, &alone, at(0)), ["held", "before"]);
    assert_eq!(live(&o, &alone, at(5)), ["held"]);
    // A rename that was not carried out to its end: the same token in two Secrets, or another in each.
    let moved = [held("held", at(60), at(5)), held("held", at(60), at(5))];
    assert_eq!(live(&o, &moved, at(5)), ["held"]);
    let renewed = [held("new", at(90), at(5)), held("held", at(60), at(5))];
    assert_eq!(live(&o, &renewed, at(5)), ["new", "held"]);
    o.memory.granted = Some(managed("waits", at(90)));
    assert_eq!(live(&o, &alone, at(5)), ["held", "waits"]);
    assert_eq!(live(&o, &alone, at(60)), ["waits"]);
    assert_eq!(live(&o, &[], at(90)), Vec::<String>::new());
    o.memory.granted = None;
    // Somebody removed our annotations: the data tell, but no form is taken for the token.
    let mut bare = held("held", at(60), at(5));
    bare.target.marks.clear();
    bare.texts.insert("expires-at".to_owned(), Redacted::new(at(60).to_string()));
    assert_eq!(live(&o, std::slice::from_ref(&bare), at(5)), ["held"]);
    bare.target.applied.as_mut().unwrap().data.insert("of-another-spec".to_owned());
    assert_eq!(live(&o, std::slice::from_ref(&bare), at(5)), Vec::<String>::new());
}

#[test]
fn the_url_of_the_spec_goes_before_the_issuer() {
    let url = "https://idp.example.com/revoke";
    assert_eq!(location(&leaving()), Ok(Location::TokenUrl(url.to_owned())));
    let mut o = leaving();
    edit(&mut o, |credential| credential.spec.issuer = Some("https://i.example.com".into()));
    assert_eq!(location(&o), Ok(Location::TokenUrl(url.to_owned())));
    edit(&mut o, |credential| credential.spec.revocation.as_mut().unwrap().url = None);
    assert_eq!(location(&o), Ok(Location::Issuer("https://i.example.com".to_owned())));
    edit(&mut o, |credential| credential.spec.issuer = None);
    assert_eq!(location(&o).unwrap_err().reason, Reason::EndpointNotAllowed);
}

#[test]
fn an_error_of_the_endpoint_is_told_in_our_words_and_tried_again_where_it_may_pass() {
    for (reason, status, may_pass) in [
        (Reason::ServerError, Some(500), true),
        (Reason::RateLimited, Some(503), true),
        (Reason::EndpointUnreachable, None, true),
        (Reason::DiscoveryFailed, None, true),
        (Reason::DiscoveryInvalid, None, false),
        (Reason::InvalidClient, Some(401), false),
        (Reason::AccessDenied, Some(403), false),
        (Reason::EndpointNotFound, Some(404), false),
        (Reason::InvalidRequest, Some(400), false),
        (Reason::EndpointRedirects, Some(307), false),
        (Reason::TLSFailed, None, false),
        (Reason::EndpointAddressRefused, None, false),
        (Reason::EndpointNotAllowed, None, false),
    ] {
        let error = RequestError {
            status,
            detail: status.is_none().then_some("as told"),
            ..RequestError::without_answer(reason, "")
        };
        let failure = Failure::answered("idp.example.com", &error);
        assert_eq!((failure.reason, failure.may_pass), (reason, may_pass));
        assert!(failure.message.contains("idp.example.com"), "{}", failure.message);
        let number = status.map_or_else(|| "as told".to_owned(), |status| status.to_string());
        assert!(failure.message.contains(&number), "{}", failure.message);
    }
}

#[test]
fn the_status_tells_of_it_while_it_is_under_way() {
    let o = leaving();
    let o = Observation { memory: begun(&o, at(0)), ..o };
    let status = while_pending(&o, at(3)).status.unwrap();
    let mut told = o.clone();
    edit(&mut told, |credential| credential.status = Some(status));
    assert!(while_pending(&told, at(9)).status.is_none(), "told once");
    edit(&mut told, |credential| {
        let condition = &mut credential.status.as_mut().unwrap().conditions[3];
        assert_eq!(condition.type_, status::SECRET_SYNCED);
        condition.reason = "SecretSynced".to_owned();
        condition.last_transition_time = Time(at(0));
    });
    assert!(while_pending(&told, at(9)).status.is_some());
}
