//! What the status says: four conditions that are always there, two that are there while they are
//! True, and the times. In: an [`Observation`] with all that was learned. Out: a status.
//!
//! ```text
//!                      token valid for this spec?
//!            yes: Ready=True, whatever else fails      no: Ready=False with what stands in the way,
//!            neither Reconciling nor Stalled               and Stalled (waiting won't help) or Reconciling
//! ```
//!
//! **Invariant:** the same facts give the same status, byte for byte, so that nothing is written
//! when nothing changed; messages are made of our own words.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::domain::crd::{Binding, OAuthClientCredentialStatus, TokenStatus};
use crate::domain::decide;
use crate::domain::observation::{Observation, Refusal, TokenState};
use crate::domain::reason::{Class, Reason};
use crate::domain::refusal::{local_refusal, target_refusal};
use crate::domain::schedule::{next_whole_second, whole_second};
use crate::domain::secret::Record;

/// The condition that tools wait for.
pub const READY: &str = "Ready";
/// Everything that the spec names was found.
pub const RESOLVED_REFS: &str = "ResolvedRefs";
/// The latest token request was answered with a token.
pub const REQUEST_SUCCEEDED: &str = "RequestSucceeded";
/// The managed Secret is what it should be.
pub const SECRET_SYNCED: &str = "SecretSynced";
/// Work is under way (kstatus: `InProgress`).
pub const RECONCILING: &str = "Reconciling";
/// Waiting will not help (kstatus: Failed).
pub const STALLED: &str = "Stalled";

/// As many names as `status.leftBehind` takes.
const MOST_LEFT_BEHIND: usize = 16;
/// As long an endpoint as `status.endpoint` takes: one that grew by percent-encoding may be longer.
const LONGEST_ENDPOINT: usize = 2048;

/// What the status is made from beside the observation.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// What was observed, with the memory as it is after this step.
    pub observation: &'a Observation,
    /// The record of the managed Secret as it is after this step.
    pub record: Option<&'a Record>,
    /// Whether a request waits for its turn or its answer.
    pub waiting: bool,
    /// The moment that the status speaks of.
    pub now: Timestamp,
}

#[derive(Clone, Debug)]
struct Verdict {
    status: &'static str,
    reason: Reason,
    message: String,
}

fn verdict(status: &'static str, reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict { status, reason, message: message.into() }
}

/// The status of the credential.
pub fn status(facts: &Facts<'_>) -> OAuthClientCredentialStatus {
    let o = facts.observation;
    let retry = o.retry();
    OAuthClientCredentialStatus {
        observed_generation: Some(o.generation()),
        endpoint: o.memory.endpoint.clone().filter(|endpoint| endpoint.len() <= LONGEST_ENDPOINT),
        binding: binding(facts),
        left_behind: left_behind(facts),
        token: facts.record.map(|record| token_status(facts, record)),
        failed_attempts: Some(
            retry.map_or(0, |r| i32::try_from(r.failed_attempts).unwrap_or(i32::MAX)),
        ),
        last_failure_time: retry.map(|r| Time(whole_second(r.failed_at))),
        last_failure_inputs: retry.map(|r| r.inputs_version.clone()),
        next_attempt_time: next_attempt(facts).map(Time),
        last_handled_renew_request: o.memory.handled_renew_request.clone(),
        conditions: conditions(facts),
    }
}

/// The Secret that holds the token; while it is not there under a new name, the old one.
fn binding(facts: &Facts<'_>) -> Option<Binding> {
    let o = facts.observation;
    let is_there = facts.record.is_some() || o.own_target().is_some();
    let name = if is_there {
        Some(o.credential.target_name())
    } else {
        o.left_behind.first().map(|left| left.name.as_str())
    };
    name.map(|name| Binding { name: name.to_owned() })
}

/// What the binding does not tell any more and is still there: after a restart this alone proves that it
/// was the target.
fn left_behind(facts: &Facts<'_>) -> Vec<String> {
    let bound = binding(facts).map(|binding| binding.name);
    let left = facts.observation.left_behind.iter().map(|left| left.name.clone());
    left.filter(|left| Some(left) != bound.as_ref()).take(MOST_LEFT_BEHIND).collect()
}

/// What the token is worth once this step is done.
pub fn token_state(facts: &Facts<'_>) -> TokenState {
    facts.observation.state_of(facts.record, facts.now)
}

fn token_status(facts: &Facts<'_>, record: &Record) -> TokenStatus {
    let o = facts.observation;
    TokenStatus {
        issue_time: Time(record.issued_at),
        expiration_time: Time(record.expires_at),
        renewal_time: Time(whole_second(decide::scheduled_renewal(o, record))),
        scopes: o.memory.granted_scopes.clone().unwrap_or_default(),
        revision: record.revision,
    }
}

/// When the endpoint is asked next, where only time is waited for.
fn next_attempt(facts: &Facts<'_>) -> Option<Timestamp> {
    let o = facts.observation;
    let waits_for_a_write = o.memory.granted.is_some() || o.standing_refused_write().is_some();
    if o.credential.spec.suspend || waits_for_a_write || o.memory.revoking.is_some() {
        return None;
    }
    let renewal = facts.record.map(|record| decide::renewal_of(o, record));
    if target_refusal(o).or_else(|| local_refusal(o)).is_some() {
        // A restart would take it for the time of the next attempt after a failure.
        let renewal = renewal.filter(|at| *at > facts.now && o.retry().is_none());
        return renewal.map(whole_second);
    }
    match o.retry() {
        Some(_) => Some(next_whole_second(decide::request_allowed_at(o))),
        None => renewal.map(whole_second),
    }
}

fn conditions(facts: &Facts<'_>) -> Vec<Condition> {
    let mut verdicts = vec![
        (READY, ready(facts)),
        (RESOLVED_REFS, resolved_refs(facts)),
        (REQUEST_SUCCEEDED, request_succeeded(facts)),
        (SECRET_SYNCED, secret_synced(facts)),
    ];
    let settled =
        token_state(facts) == TokenState::Valid || facts.observation.credential.spec.suspend;
    if !settled {
        verdicts.push(under_way(facts));
    }
    verdicts.into_iter().map(|(kind, verdict)| condition(facts, kind, verdict)).collect()
}

fn condition(facts: &Facts<'_>, kind: &str, verdict: Verdict) -> Condition {
    let before = previous(facts.observation, kind).filter(|c| c.status == verdict.status);
    let since = before.map_or_else(|| whole_second(facts.now), |c| c.last_transition_time.0);
    Condition {
        type_: kind.to_owned(),
        status: verdict.status.to_owned(),
        reason: verdict.reason.as_str().to_owned(),
        message: verdict.message,
        last_transition_time: Time(since),
        observed_generation: Some(facts.observation.generation()),
    }
}

/// The generation that the stored status speaks of; the present one where it does not say.
pub fn observed_generation(o: &Observation) -> i64 {
    let told = o.credential.status.as_ref().and_then(|status| status.observed_generation);
    told.unwrap_or_else(|| o.generation())
}

/// A condition as it was written last.
pub fn previous<'a>(o: &'a Observation, kind: &str) -> Option<&'a Condition> {
    o.credential.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

fn ready(facts: &Facts<'_>) -> Verdict {
    let o = facts.observation;
    let name = o.credential.target_name();
    let suspended = if o.credential.spec.suspend { " Suspended: it is not renewed." } else { "" };
    let cause = o.retry().map(|retry| format!(" {}", retry.message)).unwrap_or_default();
    match (token_state(facts), facts.record) {
        (TokenState::Valid, Some(record)) => verdict(
            "True",
            Reason::TokenValid,
            format!("The token in Secret {name} expires at {}.{suspended}", record.expires_at),
        ),
        (TokenState::Expired, Some(record)) => verdict(
            "False",
            Reason::TokenExpired,
            format!(
                "The token in Secret {name} expired at {}.{suspended}{cause}",
                record.expires_at
            ),
        ),
        (TokenState::Outdated, Some(_)) => verdict(
            "False",
            Reason::TokenOutdated,
            format!("The token in Secret {name} was granted for an older spec.{suspended}{cause}"),
        ),
        (
            TokenState::Missing | TokenState::Valid | TokenState::Expired | TokenState::Outdated,
            _,
        ) => no_token(facts),
    }
}

fn no_token(facts: &Facts<'_>) -> Verdict {
    let o = facts.observation;
    if o.credential.spec.suspend {
        return verdict(
            "False",
            Reason::Suspended,
            "Suspended, and there is no token: set spec.suspend to false.",
        );
    }
    if let Some(Refusal { reason, message, .. }) = target_refusal(o).or_else(|| local_refusal(o)) {
        return verdict("False", reason, message);
    }
    if let Some(refused) = o.standing_refused_write() {
        return verdict("False", refused.reason, refused.message.clone());
    }
    match o.retry() {
        Some(retry) => verdict("False", retry.reason, retry.message.clone()),
        None => contended(facts)
            .unwrap_or_else(|| verdict("Unknown", Reason::Issuing, "The first token is awaited.")),
    }
}

fn resolved_refs(facts: &Facts<'_>) -> Verdict {
    let o = facts.observation;
    if let Some(refusal) = local_refusal(o).filter(|r| r.reason != Reason::EndpointAddressRefused) {
        return verdict("False", refusal.reason, refusal.message);
    }
    let inputs = o.inputs_version();
    let used = |version: Option<&str>| version.is_some() && version == inputs.as_deref();
    let resolved = used(o.memory.compared.as_deref())
        || used(o.memory.changed.as_deref())
        || used(o.retry().map(|retry| retry.inputs_version.as_str()))
        || used(facts.record.map(|record| record.inputs_version.as_str()))
        || used(o.memory.granted.as_ref().map(|granted| granted.record.inputs_version.as_str()));
    if resolved {
        return verdict(
            "True",
            Reason::ResolvedRefs,
            "Every object that the spec names was found.",
        );
    }
    as_it_stood(o, RESOLVED_REFS)
}

fn request_succeeded(facts: &Facts<'_>) -> Verdict {
    let o = facts.observation;
    if let Some(retry) = o.retry() {
        return verdict("False", retry.reason, retry.message.clone());
    }
    if let Some(refusal) = local_refusal(o).filter(|r| r.reason == Reason::EndpointAddressRefused) {
        return verdict("False", refusal.reason, refusal.message);
    }
    if facts.record.is_some() || o.memory.granted.is_some() {
        return verdict("True", Reason::RequestSucceeded, "The endpoint granted a token.");
    }
    as_it_stood(o, REQUEST_SUCCEEDED)
}

/// The condition as it was written last, where it was True; else Unknown.
fn as_it_stood(o: &Observation, kind: &str) -> Verdict {
    let before = previous(o, kind).filter(|condition| condition.status == "True");
    match before.and_then(|condition| Some((condition, Reason::parse(&condition.reason)?))) {
        Some((condition, reason)) => verdict("True", reason, condition.message.clone()),
        None => verdict("Unknown", Reason::Issuing, "Not known before the first request."),
    }
}

fn secret_synced(facts: &Facts<'_>) -> Verdict {
    let o = facts.observation;
    if o.memory.revoking.is_some() {
        return verdict(
            "False",
            Reason::RevocationPending,
            "The credential is deleted: its token is revoked first, which holds it for 30 s at most.",
        );
    }
    if let Some(refusal) = target_refusal(o) {
        return verdict("False", refusal.reason, refusal.message);
    }
    if let Some(refused) = o.standing_refused_write() {
        return verdict("False", refused.reason, refused.message.clone());
    }
    if let Some(refused) = &o.memory.refused_removal {
        return verdict("False", refused.reason, refused.message.clone());
    }
    if let Some(contended) = contended(facts) {
        return contended;
    }
    match facts.record {
        Some(_) => {
            let name = o.credential.target_name();
            verdict("True", Reason::SecretSynced, format!("Secret {name} holds the token."))
        }
        None => verdict("Unknown", Reason::Issuing, "No token has been written yet."),
    }
}

/// Somebody keeps changing the managed Secret, and is not answered each time.
fn contended(facts: &Facts<'_>) -> Option<Verdict> {
    let o = facts.observation;
    let contention = &o.memory.contention;
    let fight = contention.ends_at().is_some_and(|end| end > facts.now);
    let waits =
        facts.record.is_none() && o.token_was_lost() && contention.grant_allowed_at() > facts.now;
    (fight || waits).then(|| {
        let name = o.credential.target_name();
        let message = format!(
            "Somebody keeps changing or deleting Secret {name}: find who it is with \
             `kubectl get secret {name} --show-managed-fields \
             -o jsonpath='{{.metadata.managedFields[*].manager}}'`, and stop it."
        );
        verdict("False", Reason::Contended, message)
    })
}

fn under_way(facts: &Facts<'_>) -> (&'static str, Verdict) {
    let o = facts.observation;
    if let Some(Refusal { message, .. }) = target_refusal(o).or_else(|| local_refusal(o)) {
        return (RECONCILING, verdict("True", Reason::Retrying, message));
    }
    match o.retry() {
        Some(retry) if retry.terminal => {
            (STALLED, verdict("True", retry.reason, retry.message.clone()))
        }
        Some(retry) => (RECONCILING, verdict("True", Reason::Retrying, retry.message.clone())),
        None if o.standing_refused_write().is_some()
            || contended(facts).is_some()
            || token_state(facts) == TokenState::Expired =>
        {
            (RECONCILING, verdict("True", Reason::Retrying, "A new token is awaited."))
        }
        None => {
            (RECONCILING, verdict("True", Reason::Issuing, "A token for this spec is awaited."))
        }
    }
}

/// Whether the only news of the status would be that a request waits.
pub fn tells_only_of_waiting(facts: &Facts<'_>) -> bool {
    let o = facts.observation;
    let nothing_else = o.retry().is_none()
        && target_refusal(o).or_else(|| local_refusal(o)).is_none()
        && o.standing_refused_write().is_none();
    facts.waiting
        && nothing_else
        && match token_state(facts) {
            TokenState::Missing | TokenState::Outdated => true,
            TokenState::Valid | TokenState::Expired => false,
        }
}

/// Whether a class of failure says that waiting will not help; used where a restart finds a status.
pub fn was_terminal(o: &Observation, reason: Reason) -> bool {
    previous(o, STALLED).is_some()
        || matches!(reason.class(), Class::Permission | Class::Configuration)
}
