//! The life of one credential in controlled time: the real decisions and conclusions over a cluster
//! and an endpoint that are two small structs.
//!
//! **Invariant:** no clock and no I/O; what the real API server does with a write is tested in
//! `tests/cluster`.

mod corrections;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::conclude::{Outcome, conclude};
use super::consent::ConsentPolicy;
use super::crd::{self, OAuthClientCredential, OAuthClientCredentialSpec};
use super::decide::{Decision, Trigger, decide};
use super::fingerprint::SecretValues;
use super::oauth::{Asked, Grant, Lifetime, RequestError};
use super::observation::{
    Known, LeftBehind, Observation, Policy, ReferenceMetadata, RefusedRemoval, Remembered, Rival,
    TokenState,
};
use super::output;
use super::reason::Reason;
use super::redacted::Redacted;
use super::reference::{Object, ObjectKind};
use super::remember::{self, Attempt, Step};
use super::schedule::{SchedulePolicy, after, span};
use super::secret::{AppliedFields, ManagedSecret, TargetMetadata, annotations, labels};
use super::status;

type Answer = Result<Lifetime, Reason>;

fn client_object() -> Object {
    Object { kind: ObjectKind::Secret, name: "client".to_owned() }
}

/// A credential, its two Secrets and an endpoint that answers as it is told.
struct Life {
    o: Observation,
    now: Timestamp,
    secret: &'static str,
    answer: Answer,
    /// The instants that the answer gives, and the token claims of itself.
    ends: (Option<Timestamp>, Option<Timestamp>),
    probably_milliseconds: bool,
    same_token: bool,
    refuses_writes: bool,
    requests: Vec<(Timestamp, Trigger)>,
    writes: usize,
    status_writes: usize,
    notices: Vec<&'static str>,
}

impl Life {
    fn new(spec: &Value) -> Self {
        let mut all = json!({
            "tokenURL": "https://idp.example.com/token",
            "credentialsSecretRef": {"name": "client"},
        });
        for (key, value) in spec.as_object().unwrap() {
            all[key] = value.clone();
        }
        let credential: OAuthClientCredential = serde_json::from_value(json!({
            "apiVersion": "oauthcc.dev/v1alpha1", "kind": "OAuthClientCredential",
            "metadata": {"namespace": "n", "name": "crm", "uid": "uid", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": all,
        }))
        .unwrap();
        let policy = Policy {
            schedule: SchedulePolicy { jitter_percentage: 0, ..SchedulePolicy::default() },
            consent: ConsentPolicy { required: true, cluster_wide: None },
            addresses: super::address::AddressPolicy { allowed: Vec::new() },
            allow_insecure: false,
            api_audiences: Vec::new(),
        };
        Self {
            o: Observation {
                left_behind: Vec::new(),
                credential: Arc::new(credential),
                policy: Arc::new(policy),
                references: BTreeMap::from([(client_object(), Known::Present(client(1)))]),
                target: Known::Absent,
                rivals: Vec::new(),
                memory: Remembered::default(),
            },
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            secret: "s1",
            answer: Ok(Lifetime::Known(Duration::from_secs(3600))),
            ends: (None, None),
            probably_milliseconds: false,
            same_token: false,
            refuses_writes: false,
            requests: Vec::new(),
            writes: 0,
            status_writes: 0,
            notices: Vec::new(),
        }
    }

    /// Lives until `end`, always woken in time; fails where it would turn without end.
    fn run_for(&mut self, span: Duration) {
        let end = after(self.now, span);
        for _ in 0..100_000 {
            let Some(next) = self.look().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = next.max(self.now);
        }
        panic!("looks without end at {}", self.now);
    }

    fn look(&mut self) -> Option<Timestamp> {
        if !self.o.memory.seeded {
            self.o.memory = remember::seed(&self.o);
        }
        let decision = decide(&self.o, self.now);
        let step = match &decision {
            Decision::Request(trigger) => self.ask(*trigger),
            Decision::Compare => {
                let values = SecretValues::new(&["id", self.secret]);
                let token = self.o.record().map(|record| token(record.revision));
                let digest = values.keyed(b"key");
                self.o.memory =
                    remember::after_comparison(&self.o, &values, digest, token.as_ref());
                return Some(self.now);
            }
            Decision::Repair | Decision::Rename => {
                let asked = self.o.shape().response.into_values();
                let secret = self.o.record().map(|record| ManagedSecret {
                    token: token(record.revision),
                    token_type: "Bearer".into(),
                    record,
                    response_values: asked.map(value).collect(),
                    previous: None,
                });
                Step::ReadBack(secret.map(Box::new))
            }
            Decision::Keep | Decision::Refuse(_) | Decision::Write => Step::Nothing,
        };
        let outcome = conclude(&self.o, &decision, &step, self.now);
        self.apply(outcome)
    }

    fn ask(&mut self, trigger: Trigger) -> Step {
        self.requests.push((self.now, trigger));
        let held = self.o.record().map_or(0, |record| record.revision);
        let result = match self.answer {
            Ok(lifetime) => Ok(Grant {
                token: token(if self.same_token && held > 0 { held } else { held + 1 }),
                token_type: "Bearer".into(),
                lifetime,
                expires_at: self.ends.0,
                jwt_expiry: self.ends.1,
                probably_milliseconds: self.probably_milliseconds,
                scopes: None,
                refresh_in: None,
                values: self.o.plan().unwrap().response.values.into_iter().map(value).collect(),
            }),
            Err(reason) => Err(RequestError::without_answer(reason, "as told")),
        };
        let values = SecretValues::new(&["id", self.secret]);
        Step::Attempted(Box::new(Attempt {
            trigger,
            asked: Asked { sent_at: self.now, result, took: Duration::ZERO },
            values_digest: values.keyed(b"key"),
            values,
            inputs_version: self.o.inputs_version().unwrap_or_default(),
            endpoint: Some("https://idp.example.com/token".into()),
            host: "idp.example.com".into(),
        }))
    }

    fn apply(&mut self, outcome: Outcome) -> Option<Timestamp> {
        self.o.memory = outcome.memory.clone();
        if self.refuses_writes && outcome.secret.is_some() {
            let reason = Reason::SecretWriteFailed;
            let message = "as told".to_owned();
            self.o.memory =
                remember::after_refused_write(&self.o, reason, message, false, self.now);
            return Some(self.now);
        }
        if let Some(secret) = outcome.secret {
            self.writes += 1;
            self.o.target =
                Known::Present(written(&self.o.credential.spec, &secret, self.writes as u64));
            self.o.memory = outcome.memory.written();
        }
        if let Some(status) =
            outcome.status.filter(|s| self.o.credential.status.as_ref() != Some(s))
        {
            self.status_writes += 1;
            self.edit(|credential| credential.status = Some(status));
        }
        self.notices.extend(outcome.notices.iter().map(|notice| notice.reason));
        outcome.next
    }

    fn edit(&mut self, change: impl FnOnce(&mut OAuthClientCredential)) {
        change(Arc::make_mut(&mut self.o.credential));
    }

    fn edit_spec(&mut self, change: impl FnOnce(&mut OAuthClientCredential)) {
        self.edit(|credential| {
            change(credential);
            credential.metadata.generation = credential.metadata.generation.map(|n| n + 1);
        });
    }

    /// The process ends and another starts.
    fn restart(&mut self) {
        self.o.memory = Remembered::default();
    }

    fn condition(&self, kind: &str) -> (String, String) {
        status::previous(&self.o, kind)
            .map(|condition| (condition.status.clone(), condition.reason.clone()))
            .unwrap_or_default()
    }

    fn is(&self, kind: &str, status: &str, reason: Reason) -> bool {
        self.condition(kind) == (status.to_owned(), reason.as_str().to_owned())
    }
}

fn token(revision: i64) -> Redacted<String> {
    Redacted::new(format!("token-{revision}"))
}

fn value(pointer: String) -> (String, Redacted<String>) {
    let value = Redacted::new(format!("value at {pointer}"));
    (pointer, value)
}

fn client(version: u64) -> ReferenceMetadata {
    ReferenceMetadata {
        uid: "client".into(),
        resource_version: version,
        allowed_token_hosts: Some("idp.example.com".into()),
        data_changed_at: Some("2025-01-01T00:00:00Z".parse().unwrap()),
    }
}

fn written(
    spec: &OAuthClientCredentialSpec,
    secret: &ManagedSecret,
    version: u64,
) -> TargetMetadata {
    let content = output::content(spec, secret).unwrap();
    let is_ours = |name: &str| name.starts_with("oauthcc.dev/");
    let ours = content.annotations.clone().into_iter().filter(|(name, _)| is_ours(name));
    let marks: BTreeMap<String, String> = annotations("uid", &secret.record)
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(labels().map(|(name, value)| (name.to_owned(), value.to_owned())))
        .chain(ours)
        .collect();
    TargetMetadata {
        adopt_by: None,
        uid: "target".into(),
        resource_version: version,
        controller_uid: Some("uid".into()),
        applied: Some(AppliedFields {
            data: content.data.into_keys().collect(),
            marks: marks.keys().cloned().collect(),
            labels: content.labels.into_keys().collect(),
            annotations: content.annotations.into_keys().filter(|name| !is_ours(name)).collect(),
        }),
        marks,
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_day_of_hourly_tokens_is_one_request_per_rotation_and_never_an_expired_token() {
    let mut life = Life::new(&json!({}));
    life.run_for(24 * HOUR);
    // Each token is renewed after 2412 s: 33 % of an hour are left.
    assert_eq!(life.requests.len(), 1 + (24 * 3600) / 2412);
    assert_eq!(life.writes, life.requests.len());
    assert_eq!(life.status_writes, life.requests.len());
    assert_eq!(life.notices, ["TokenIssued"]);
    assert!(life.requests.iter().skip(1).all(|(_, trigger)| *trigger == Trigger::Renewing));
    assert!(life.is(status::READY, "True", Reason::TokenValid));
}

#[test]
fn a_restart_asks_for_nothing_and_writes_nothing() {
    let mut life = Life::new(&json!({"scopes": ["a"]}));
    life.run_for(Duration::from_secs(60));
    let before = (life.requests.len(), life.writes, life.status_writes);
    life.restart();
    life.run_for(Duration::from_secs(60));
    assert_eq!((life.requests.len(), life.writes, life.status_writes), before);
}

#[test]
fn a_failing_renewal_keeps_the_token_and_its_expiry_is_told_in_time() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    life.answer = Err(Reason::EndpointUnreachable);
    life.run_for(Duration::from_secs(2460));
    assert!(life.is(status::READY, "True", Reason::TokenValid));
    assert!(life.is(status::REQUEST_SUCCEEDED, "False", Reason::EndpointUnreachable));
    assert_eq!(life.condition(status::RECONCILING), Default::default());
    let status = life.o.credential.status.clone().unwrap();
    assert!(status.next_attempt_time.unwrap().0 > life.now);
    life.run_for(Duration::from_secs(1080));
    assert!(life.is(status::READY, "False", Reason::TokenExpired));
    assert!(life.is(status::RECONCILING, "True", Reason::Retrying));
    life.answer = Ok(Lifetime::Known(HOUR));
    life.run_for(Duration::from_secs(310));
    assert!(life.is(status::READY, "True", Reason::TokenValid));
    assert_eq!(life.notices, ["TokenIssued", "TokenRequestFailed", "TokenExpired", "TokenIssued"]);
}

#[test]
fn an_outage_of_an_hour_costs_few_requests() {
    let mut life = Life::new(&json!({}));
    life.answer = Err(Reason::ServerError);
    life.run_for(HOUR);
    // 5 s doubled to 5 minutes, each step between half and all of it.
    assert!((13..=30).contains(&life.requests.len()), "{}", life.requests.len());
}

#[test]
fn a_refused_client_stalls_at_the_third_answer_and_is_tried_again_when_its_secret_changes() {
    let mut life = Life::new(&json!({}));
    let mut fresh = client(1);
    fresh.data_changed_at = Some(life.now);
    life.o.references.insert(client_object(), Known::Present(fresh.clone()));
    life.answer = Err(Reason::InvalidClient);
    life.run_for(Duration::from_secs(29));
    assert_eq!(life.requests.len(), 2);
    assert_eq!(life.condition(status::STALLED), Default::default());
    assert!(life.is(status::READY, "False", Reason::InvalidClient));
    life.run_for(Duration::from_secs(2));
    assert!(life.is(status::STALLED, "True", Reason::InvalidClient));
    assert_eq!(life.condition(status::RECONCILING), Default::default());
    let asked = life.requests.len();
    // Metadata of the Secret changes: compared, and nothing else.
    fresh.resource_version = 2;
    life.o.references.insert(client_object(), Known::Present(fresh.clone()));
    life.run_for(Duration::from_secs(5));
    assert_eq!(life.requests.len(), asked);
    assert_eq!(
        life.o.credential.status.as_ref().unwrap().last_failure_inputs,
        life.o.inputs_version()
    );
    // Its data changes: tried at once.
    fresh.resource_version = 3;
    life.o.references.insert(client_object(), Known::Present(fresh));
    (life.secret, life.answer) = ("s2", Ok(Lifetime::Known(HOUR)));
    life.run_for(Duration::from_secs(1));
    assert_eq!(life.requests.len(), asked + 1);
    assert!(life.is(status::READY, "True", Reason::TokenValid));
}

#[test]
fn a_restart_does_not_shorten_the_back_off_but_a_correction_made_meanwhile_does() {
    let mut life = Life::new(&json!({}));
    life.answer = Err(Reason::InvalidScope);
    life.run_for(Duration::from_secs(70));
    assert_eq!(life.requests.len(), 2);
    let writes = life.status_writes;
    life.restart();
    life.run_for(Duration::from_secs(100));
    assert_eq!((life.requests.len(), life.status_writes), (2, writes));
    life.restart();
    life.o.references.insert(client_object(), Known::Present(client(2)));
    life.run_for(Duration::from_secs(1));
    assert_eq!(life.requests.len(), 3);
}

#[test]
fn a_spec_edit_that_is_refused_leaves_the_old_token_outdated_and_editing_back_costs_nothing() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    life.answer = Err(Reason::InvalidScope);
    life.edit_spec(|credential| credential.spec.scopes = vec!["x".into()]);
    life.run_for(Duration::from_secs(10));
    assert!(life.is(status::READY, "False", Reason::TokenOutdated));
    assert!(life.is(status::STALLED, "True", Reason::InvalidScope));
    assert_eq!((life.requests.len(), life.writes), (2, 1));
    life.edit_spec(|credential| credential.spec.scopes.clear());
    life.run_for(Duration::from_secs(10));
    assert!(life.is(status::READY, "True", Reason::TokenValid));
    assert_eq!(life.requests.len(), 2);
}

#[test]
fn edits_that_ask_for_the_same_cost_nothing_and_those_of_the_secret_only_a_comparison() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    life.edit_spec(|credential| credential.spec.rotation = Some(crd::Rotation::default()));
    life.o.references.insert(client_object(), Known::Present(client(2)));
    life.run_for(Duration::from_secs(60));
    assert_eq!(life.requests.len(), 1);
    assert!(life.is(status::READY, "True", Reason::TokenValid));
    life.o.references.insert(client_object(), Known::Present(client(3)));
    life.secret = "s2";
    life.run_for(Duration::from_secs(60));
    assert_eq!(life.requests.last().unwrap().1, Trigger::CredentialsChanged);
    assert_eq!(life.requests.len(), 2);
}

#[test]
fn a_renew_request_counts_once_and_the_first_grant_handles_one_that_was_there() {
    let mut life = Life::new(&json!({}));
    let ask = |value: &str| {
        let annotation = [(crd::RENEW_REQUESTED_AT.to_owned(), value.to_owned())];
        Some(annotation.into())
    };
    life.edit(|credential| credential.metadata.annotations = ask("a"));
    life.run_for(Duration::from_secs(60));
    assert_eq!(life.requests.len(), 1);
    life.edit(|credential| credential.metadata.annotations = ask("b"));
    life.run_for(Duration::from_secs(60));
    life.restart();
    life.run_for(Duration::from_secs(60));
    assert_eq!(life.requests.len(), 2);
    let handled = life.o.credential.status.as_ref().unwrap().last_handled_renew_request.clone();
    assert_eq!(handled.as_deref(), Some("b"));
}

#[test]
fn a_renew_request_lifts_and_resets_the_back_off_of_a_terminal_error() {
    let mut life = Life::new(&json!({}));
    life.answer = Err(Reason::InvalidScope);
    life.run_for(Duration::from_secs(70));
    assert_eq!(life.requests.len(), 2);
    let annotation = [(crd::RENEW_REQUESTED_AT.to_owned(), "now".to_owned())];
    life.edit(|credential| credential.metadata.annotations = Some(annotation.into()));
    life.run_for(Duration::from_secs(59));
    assert_eq!(life.requests.len(), 3);
    life.run_for(Duration::from_secs(2));
    assert_eq!(life.requests.len(), 4);
    assert_eq!(life.o.credential.status.as_ref().unwrap().failed_attempts, Some(4));
}

#[test]
fn a_renewal_that_was_asked_for_and_failed_is_tried_again_also_after_a_restart() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    life.answer = Err(Reason::ServerError);
    let annotation = [(crd::RENEW_REQUESTED_AT.to_owned(), "now".to_owned())];
    life.edit(|credential| credential.metadata.annotations = Some(annotation.into()));
    life.run_for(Duration::from_secs(1));
    assert_eq!(life.requests.len(), 2);
    life.restart();
    life.answer = Ok(Lifetime::Known(HOUR));
    life.run_for(Duration::from_secs(20));
    assert_eq!(life.requests.len(), 3);
    assert!(life.is(status::REQUEST_SUCCEEDED, "True", Reason::RequestSucceeded));
}

#[test]
fn a_restart_while_suspended_does_not_shorten_the_back_off() {
    let mut life = Life::new(&json!({}));
    life.now = after(life.now, HOUR); // Its secret is not fresh any more: no quick retries.
    life.answer = Err(Reason::InvalidClient);
    life.run_for(Duration::from_secs(1));
    life.edit_spec(|credential| credential.spec.suspend = true);
    life.run_for(Duration::from_secs(60));
    assert_eq!(life.o.credential.status.as_ref().unwrap().next_attempt_time, None);
    life.restart();
    life.run_for(Duration::from_secs(1));
    life.edit_spec(|credential| credential.spec.suspend = false);
    life.run_for(Duration::from_secs(1800));
    assert_eq!(life.requests.len(), 1);
    life.run_for(HOUR);
    assert_eq!(life.requests.len(), 2);
}

#[test]
fn a_failure_still_stands_after_a_restart_without_the_client_secret() {
    let mut life = Life::new(&json!({}));
    life.answer = Err(Reason::InvalidClient);
    life.run_for(Duration::from_secs(1));
    life.o.references.insert(client_object(), Known::Absent);
    life.run_for(Duration::from_secs(1));
    assert!(life.is(status::READY, "False", Reason::CredentialsNotFound));
    let writes = life.status_writes;
    life.restart();
    life.run_for(HOUR);
    assert_eq!((life.requests.len(), life.status_writes), (1, writes));
    assert!(life.is(status::REQUEST_SUCCEEDED, "False", Reason::InvalidClient));
    life.o.references.insert(client_object(), Known::Present(client(2)));
    life.run_for(Duration::from_secs(1));
    assert_eq!(life.requests.len(), 2);
}

#[test]
fn nothing_asks_faster_than_the_bucket_allows() {
    let mut life = Life::new(&json!({}));
    for n in 0..100 {
        life.edit_spec(|credential| credential.spec.audience = Some(format!("a{n}")));
        life.run_for(Duration::from_secs(1));
    }
    // Three at once, then one per 10 s.
    assert!((10..=13).contains(&life.requests.len()), "{}", life.requests.len());
}

#[test]
fn a_server_that_returns_the_same_token_is_asked_at_half_of_what_remains() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    (life.same_token, life.answer) = (true, Ok(Lifetime::Spent));
    life.run_for(Duration::from_secs(3700));
    // 2412 s, then at half of the 1188 s that remain, and so on down to 15 s, and after expiry.
    assert!((8..=14).contains(&life.requests.len()), "{}", life.requests.len());
    assert_eq!(life.writes, 1);
    assert!(life.is(status::REQUEST_SUCCEEDED, "False", Reason::MalformedResponse));
    life.same_token = false;
    life.answer = Ok(Lifetime::Known(HOUR));
    life.run_for(Duration::from_secs(120));
    assert_eq!(life.o.token_state(life.now), TokenState::Valid);
}

/// In this order: the span or the instant, whichever is earlier; what the JWT claims; the default.
#[test]
fn a_token_expires_when_the_answer_says_or_the_token_or_the_spec() {
    let (hour, known) = (3600, Lifetime::Known(HOUR));
    let year = 365 * 24 * hour;
    for (lifetime, instant, claim, expected, told) in [
        (known, None, None, hour, false),
        (known, None, Some(60), hour, false),
        (known, Some(1800), None, 1800, false),
        (known, Some(7200), Some(60), hour, false),
        (known, Some(-60), None, hour, false), // A clock is wrong.
        (Lifetime::Unknown, Some(1800), Some(60), 1800, false),
        (Lifetime::Spent, Some(1800), None, 1800, false),
        (Lifetime::Unknown, Some(3 * year), None, year, false),
        (Lifetime::Unknown, None, Some(900), 900, true),
        (Lifetime::Unknown, None, Some(3 * year), year, true),
        (Lifetime::Unknown, None, Some(-60), 1200, true),
        (Lifetime::Unknown, Some(-60), None, 1200, true),
        (Lifetime::Unknown, None, None, 1200, true),
    ] {
        let mut life = Life::new(&json!({"rotation": {"defaultLifetime": "20m"}}));
        let start = life.now;
        let at = |seconds: i64| Timestamp::from_second(start.as_second() + seconds).unwrap();
        life.answer = Ok(lifetime);
        life.ends = (instant.map(at), claim.map(at));
        life.run_for(Duration::ZERO);
        let row = format!("{lifetime:?} {instant:?} {claim:?}");
        assert_eq!(life.o.record().unwrap().expires_at, at(expected), "{row}");
        assert_eq!(life.notices.contains(&"LifetimeUnknown"), told, "{row}");
    }
}

#[test]
fn a_lifetime_of_many_years_is_told_as_milliseconds_once() {
    let mut life = Life::new(&json!({}));
    life.answer = Ok(Lifetime::Known(HOUR));
    life.probably_milliseconds = true;
    life.run_for(2 * HOUR);
    assert_eq!(life.notices, ["LifetimeUnknown", "TokenIssued"]);
}

#[test]
fn a_token_that_is_returned_again_with_the_same_instant_is_not_written_again() {
    let mut life = Life::new(&json!({}));
    life.answer = Ok(Lifetime::Unknown);
    life.ends = (Some(after(life.now, HOUR)), None);
    life.run_for(Duration::from_secs(1));
    life.same_token = true;
    life.run_for(Duration::from_secs(3500));
    assert_eq!(life.writes, 1);
    assert!(life.requests.len() > 1);
    life.ends = (Some(after(life.now, HOUR)), None);
    life.run_for(Duration::from_secs(60));
    assert_eq!(life.writes, 2, "the same token lives longer");
}

#[test]
fn what_stands_in_the_way_is_told_and_asks_for_nothing() {
    let mut life = Life::new(&json!({}));
    life.o.references.insert(client_object(), Known::Absent);
    life.run_for(HOUR);
    assert!(life.is(status::READY, "False", Reason::CredentialsNotFound));
    assert!(life.is(status::RESOLVED_REFS, "False", Reason::CredentialsNotFound));
    assert!(life.is(status::RECONCILING, "True", Reason::Retrying));
    let mut silent = client(1);
    silent.allowed_token_hosts = None;
    life.o.references.insert(client_object(), Known::Present(silent));
    life.run_for(HOUR);
    assert!(life.is(status::READY, "False", Reason::EndpointNotAllowed));
    life.o.target = Known::Present(TargetMetadata { uid: "x".into(), ..TargetMetadata::default() });
    life.run_for(HOUR);
    assert!(life.is(status::READY, "False", Reason::SecretNotOwned));
    assert!(life.requests.is_empty());
    assert_eq!(life.notices, ["CredentialsNotFound", "SecretNotOwned"]);
}

#[test]
fn a_rival_is_warned_of_at_once_and_what_a_deleted_one_left_after_half_a_minute() {
    let mut life = Life::new(&json!({}));
    let rival = Rival { uid: "rival".into(), created_at: None, name: "older".into() };
    let left = TargetMetadata {
        controller_uid: Some("rival".into()),
        applied: Some(AppliedFields::default()),
        ..TargetMetadata::default()
    };
    (life.o.rivals, life.o.target) = (vec![rival], Known::Present(left));
    life.run_for(Duration::from_secs(1));
    assert!(life.is(status::READY, "False", Reason::TargetConflict));
    assert_eq!(life.notices, ["SecretNotOwned"]);
    life.o.rivals.clear();
    life.run_for(Duration::from_secs(29));
    assert!(life.is(status::READY, "False", Reason::SecretNotOwned));
    assert_eq!(life.notices.len(), 1);
    life.run_for(Duration::from_secs(2));
    assert_eq!(life.notices, ["SecretNotOwned"; 2]);
    assert!(life.requests.is_empty());
}

#[test]
fn a_secret_that_was_there_is_remembered_while_its_successor_waits_for_its_turn() {
    let mut life = Life::new(&json!({}));
    life.o.target = Known::Present(TargetMetadata::default());
    life.look();
    assert!(life.is(status::READY, "False", Reason::SecretNotOwned));
    // Collected, perhaps with its credential: nothing is asked for before that is looked up, whenever its
    // turn comes.
    life.o.target = Known::Absent;
    let decision = decide(&life.o, life.now);
    assert_eq!(decision, Decision::Request(Trigger::SecretMissing));
    let waiting = conclude(&life.o, &decision, &Step::Waiting(life.now), life.now);
    assert!(waiting.memory.foreign.is_none());
    assert!(waiting.memory.target_seen);
}

#[test]
fn a_deletion_that_is_refused_is_told_waits_and_proves_after_a_restart_what_was_left() {
    let mut life = Life::new(&json!({"target": {"name": "new"}}));
    life.run_for(Duration::from_secs(1));
    let left = life.o.target.present().unwrap().clone();
    life.o.left_behind = vec![LeftBehind { name: "old".into(), metadata: left }];
    let look = |life: &Life| conclude(&life.o, &Decision::Keep, &Step::Nothing, life.now);
    let done = look(&life);
    assert_eq!(done.remove.len(), 1);
    assert_eq!(done.status.unwrap().left_behind, Vec::<String>::new(), "told of as done");
    let waits_until = after(life.now, Duration::from_secs(1));
    life.o.memory.refused_removal = Some(RefusedRemoval {
        reason: Reason::Forbidden,
        message: "the verb delete".into(),
        failures: 1,
        next_attempt_at: waits_until,
    });
    let refused = look(&life);
    assert_eq!((refused.remove.len(), refused.next), (0, Some(waits_until)));
    let status = refused.status.clone().unwrap();
    assert_eq!(status.left_behind, ["old"]);
    assert_eq!(status.binding.unwrap().name, "new", "where the token is renewed");
    life.apply(refused);
    assert!(life.is(status::READY, "True", Reason::TokenValid));
    assert!(life.is(status::SECRET_SYNCED, "False", Reason::Forbidden));
    life.now = waits_until;
    let again = look(&life);
    assert_eq!((again.remove.len(), again.memory.refused_removal), (1, None));
    life.o.left_behind.clear();
    let gone = look(&life);
    life.apply(gone);
    assert!(life.is(status::SECRET_SYNCED, "True", Reason::SecretSynced));
}

#[test]
fn a_renew_request_of_any_length_is_acted_on_once() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    for text in ["now".repeat(342), "now".repeat(341) + "x", "again".repeat(2000)] {
        let before = life.requests.len();
        life.edit(|credential| {
            let annotations = credential.metadata.annotations.get_or_insert_default();
            annotations.insert(crd::RENEW_REQUESTED_AT.to_owned(), text);
        });
        life.run_for(Duration::from_secs(60));
        assert_eq!(life.requests.len(), before + 1);
        let told = life.o.credential.status.as_ref().unwrap().last_handled_renew_request.clone();
        assert!(told.unwrap().len() <= 1024);
        life.restart();
        life.run_for(Duration::from_secs(60));
        assert_eq!(life.requests.len(), before + 1, "also after a restart");
    }
}

#[test]
fn another_token_key_is_written_without_a_request_or_an_event() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    life.notices.clear();
    life.edit_spec(|credential| {
        let token_key = Some("access-token".to_owned());
        credential.spec.target = Some(crd::Target { token_key, ..crd::Target::default() });
    });
    life.run_for(Duration::from_secs(60));
    assert!(life.o.target.present().unwrap().holds_our("access-token"));
    assert_eq!((life.requests.len(), life.writes), (1, 2));
    assert!(life.notices.is_empty(), "{:?}", life.notices);
}

/// A target with these forms and templates.
fn target(change: Value) -> crd::Target {
    serde_json::from_value(change).unwrap()
}

#[test]
fn a_form_that_is_added_edited_or_removed_is_written_without_a_request_or_an_event() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    life.notices.clear();
    let raw = json!({"key": "a", "type": "Raw"});
    let env = |name: &str| json!({"key": "e", "type": "Env", "env": {"name": name}});
    let label = |value: &str| json!({"template": {"metadata": {"labels": {"team": value}}}});
    for (writes, change) in [
        (2, json!({"additionalOutputFormats": [raw]})),
        (3, json!({"additionalOutputFormats": [raw, env("A")]})),
        (3, json!({"additionalOutputFormats": [env("A"), raw]})), // Their order says nothing.
        (4, json!({"additionalOutputFormats": [raw, env("B")]})), // The same keys, another text.
        (5, json!({"additionalOutputFormats": [raw]})),
        (6, json!({"tokenKey": "t", "additionalOutputFormats": [{"key": "token", "type": "Raw"}]})),
        (7, json!({"additionalOutputFormats": [{"key": "t", "type": "Raw"}]})), // They change places.
        (8, json!({})),
        (9, label("sales")),
        (10, label("shop")),
        (11, json!({})),
    ] {
        life.edit_spec(|credential| credential.spec.target = Some(target(change.clone())));
        life.run_for(Duration::from_secs(60));
        assert_eq!((life.requests.len(), life.writes), (1, writes), "{change}");
        let shape = life.o.shape();
        let held = life.o.target.present().unwrap();
        assert!(!held.has_drifted("uid", &shape, &life.o.record().unwrap()), "{change}");
        let status = life.o.credential.status.as_ref().unwrap();
        assert_eq!(status.observed_generation, life.o.credential.metadata.generation);
    }
    assert!(life.notices.is_empty(), "{:?}", life.notices);
    life.restart();
    life.run_for(Duration::from_secs(60));
    assert_eq!(life.writes, 11, "a restart writes nothing");
}

#[test]
fn an_edit_that_leaves_the_forms_alone_writes_no_secret() {
    let forms = json!({"additionalOutputFormats": [{"key": "a", "type": "Raw"}]});
    let mut life = Life::new(&json!({ "target": forms }));
    life.run_for(Duration::from_secs(60));
    life.edit_spec(|credential| credential.spec.rotation = Some(crd::Rotation::default()));
    life.run_for(Duration::from_secs(60));
    assert_eq!((life.requests.len(), life.writes), (1, 1));
}

#[test]
fn drift_of_a_form_is_repaired_from_the_token() {
    let mut life = Life::new(&json!({"target": {
        "additionalOutputFormats": [{"key": "a", "type": "Raw"}],
        "template": {"metadata": {"labels": {"team": "x"}, "annotations": {"note": "y"}}},
    }}));
    life.run_for(Duration::from_secs(60));
    let damages: [fn(&mut AppliedFields); 4] = [
        |applied| assert!(applied.data.remove("a")),
        |applied| assert!(applied.labels.remove("team")),
        |applied| assert!(applied.annotations.remove("note")),
        |applied| assert!(applied.marks.remove(crd::OUTPUT_VERSION)),
    ];
    for (damage, writes) in damages.into_iter().zip(2..) {
        let mut changed = life.o.target.present().cloned().unwrap();
        damage(changed.applied.as_mut().unwrap());
        life.o.target = Known::Present(changed);
        life.run_for(Duration::from_secs(1));
        assert_eq!((life.requests.len(), life.writes), (1, writes));
    }
    assert_eq!(life.notices[0], "TokenIssued");
    assert_eq!(life.notices[1..], ["SecretDriftRepaired"; 4]);
}

#[test]
fn a_form_is_never_taken_for_the_token_once_nothing_says_where_it_lies() {
    let form = json!({"additionalOutputFormats": [{"key": "a", "type": "JSON"}]});
    let mut life = Life::new(&json!({ "target": form }));
    life.run_for(Duration::from_secs(60));
    let mut bare = life.o.target.present().cloned().unwrap();
    bare.marks.clear();
    life.o.target = Known::Present(bare);
    life.edit_spec(|credential| credential.spec.target = Some(target(json!({"tokenKey": "a"}))));
    life.restart();
    life.run_for(Duration::from_secs(60));
    assert_eq!(life.requests.last().unwrap().1, Trigger::SecretDrift);
    assert_eq!((life.requests.len(), life.writes), (2, 2));
}

#[test]
fn a_broken_template_asks_for_nothing_and_the_old_token_stays() {
    let broken = json!({"template": {"data": {"a": "{{ nothing }}"}}});
    let mut life = Life::new(&json!({ "target": broken }));
    life.run_for(HOUR);
    assert!(life.requests.is_empty());
    assert!(life.is(status::READY, "False", Reason::TemplateInvalid));
    assert!(life.is(status::SECRET_SYNCED, "False", Reason::TemplateInvalid));
    assert!(life.is(status::RECONCILING, "True", Reason::Retrying));
    life.edit_spec(|credential| credential.spec.target = None);
    life.run_for(Duration::from_secs(60));
    assert_eq!((life.requests.len(), life.writes), (1, 1));
    assert!(life.is(status::SECRET_SYNCED, "True", Reason::SecretSynced));
    // With a token that lives: it stays, and nothing is asked for until it is corrected.
    life.edit_spec(|credential| credential.spec.target = Some(target(broken)));
    life.run_for(Duration::from_secs(60));
    assert!(life.is(status::READY, "True", Reason::TokenValid));
    assert!(life.is(status::SECRET_SYNCED, "False", Reason::TemplateInvalid));
    assert_eq!(life.condition(status::RECONCILING), Default::default());
    life.run_for(HOUR);
    assert!(life.is(status::READY, "False", Reason::TokenExpired));
    assert_eq!((life.requests.len(), life.writes), (1, 1));
    life.edit_spec(|credential| credential.spec.target = None);
    life.run_for(Duration::from_secs(1));
    assert_eq!((life.requests.len(), life.writes), (2, 2));
    assert!(life.is(status::READY, "True", Reason::TokenValid));
}

#[test]
fn a_token_that_is_granted_waits_until_a_template_is_corrected() {
    let mut life = Life::new(&json!({}));
    life.refuses_writes = true;
    life.run_for(Duration::from_secs(10));
    let broken = json!({"template": {"data": {"a": "{{ nothing }}"}}});
    life.edit_spec(|credential| credential.spec.target = Some(target(broken)));
    life.refuses_writes = false;
    life.run_for(Duration::from_secs(600));
    assert_eq!((life.requests.len(), life.writes), (1, 0));
    life.edit_spec(|credential| credential.spec.target = None);
    life.run_for(Duration::from_secs(60));
    assert_eq!((life.requests.len(), life.writes), (1, 1));
}

#[test]
fn suspension_stops_everything_but_the_truth() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    life.edit_spec(|credential| credential.spec.suspend = true);
    life.run_for(Duration::from_secs(60));
    assert!(life.is(status::READY, "True", Reason::TokenValid));
    assert_eq!(life.o.credential.status.as_ref().unwrap().next_attempt_time, None);
    life.run_for(2 * HOUR);
    assert!(life.is(status::READY, "False", Reason::TokenExpired));
    assert_eq!(life.condition(status::RECONCILING), Default::default());
    assert_eq!(life.requests.len(), 1);
    life.edit_spec(|credential| credential.spec.suspend = false);
    life.run_for(Duration::from_secs(1));
    assert_eq!(life.requests.last().unwrap().1, Trigger::Expired);
}

#[test]
fn drift_is_repaired_from_the_token_and_a_lost_token_is_asked_for() {
    let mut life = Life::new(&json!({}));
    life.run_for(Duration::from_secs(60));
    let target = |life: &Life| life.o.target.present().cloned().unwrap();
    for name in [crd::MANAGED_LABEL, crd::EXPIRES_AT, crd::REQUEST_FINGERPRINT] {
        let mut changed = target(&life);
        changed.marks.remove(name);
        life.o.target = Known::Present(changed);
        life.run_for(Duration::from_secs(1));
        assert!(target(&life).marks.contains_key(name), "{name} is back");
    }
    assert_eq!((life.requests.len(), life.writes), (1, 4));
    let mut altered = target(&life);
    altered.applied.as_mut().unwrap().data.remove("token");
    life.o.target = Known::Present(altered);
    life.run_for(Duration::from_secs(1));
    assert_eq!(life.requests.last().unwrap().1, Trigger::SecretDrift);
    life.o.target = Known::Absent;
    life.run_for(Duration::from_secs(1));
    assert_eq!(life.requests.last().unwrap().1, Trigger::SecretMissing);
}

#[test]
fn a_token_whose_write_is_refused_is_kept_and_told_of_once_it_is_written() {
    let mut life = Life::new(&json!({}));
    life.answer = Ok(Lifetime::Known(Duration::from_secs(120)));
    life.refuses_writes = true;
    life.run_for(Duration::from_secs(60));
    assert!(life.is(status::READY, "False", Reason::SecretWriteFailed));
    assert_eq!((life.requests.len(), life.writes, life.notices.len()), (1, 0, 0));
    life.refuses_writes = false;
    life.run_for(Duration::from_secs(4));
    assert_eq!((life.requests.len(), life.writes), (1, 1));
    assert_eq!(life.notices, ["ShortLivedToken", "TokenIssued"]);
    life.run_for(HOUR);
    assert_eq!(life.notices.len(), 2, "a routine rotation tells nothing");
}

#[test]
fn a_token_that_is_lost_does_not_start_the_count_of_revisions_anew() {
    let mut life = Life::new(&json!({}));
    life.run_for(HOUR);
    let held = life.o.record().unwrap().revision;
    life.o.target = Known::Absent;
    life.answer = Err(Reason::EndpointUnreachable);
    life.run_for(Duration::from_secs(60));
    assert!(life.o.credential.status.as_ref().unwrap().token.is_none());
    life.answer = Ok(Lifetime::Known(HOUR));
    life.run_for(HOUR / 6);
    assert_eq!(life.o.record().unwrap().revision, held + 1);
}

#[test]
fn times_of_the_status_are_whole_seconds_and_the_renewal_is_exact() {
    let mut life = Life::new(&json!({"rotation": {"renewBeforePercentage": 50}}));
    life.now = Timestamp::from_millisecond(1_767_225_600_789).unwrap();
    life.answer = Ok(Lifetime::Known(Duration::from_secs(601)));
    life.run_for(Duration::from_secs(1));
    let token = life.o.credential.status.clone().unwrap().token.unwrap();
    let whole = |time: &Time| time.0.subsec_nanosecond() == 0;
    assert!(
        whole(&token.issue_time) && whole(&token.expiration_time) && whole(&token.renewal_time)
    );
    life.run_for(Duration::from_secs(600));
    let renewed = life.requests[1].0;
    assert_eq!(span(token.issue_time.0, renewed), Duration::from_millis(300_500));
}
