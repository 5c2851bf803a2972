//! What is learned: from the stored status at the first look, from a comparison of secret values,
//! and from an attempt. In: an observation and what happened. Out: the new memory.
//!
//! **Invariant:** a granted token is in the memory that is returned here before anybody tries to
//! write it, so that a failed write never costs a second grant.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::crd::OAuthClientCredentialStatus;
use crate::domain::decide::Trigger;
use crate::domain::fingerprint::{self, SecretValues};
use crate::domain::oauth::{Asked, Grant, Lifetime, RequestError};
use crate::domain::observation::{Observation, Refusal, RefusedWrite, Remembered, Retry};
use crate::domain::reason::{Class, Reason};
use crate::domain::redacted::Redacted;
use crate::domain::schedule::{self, Bucket, FailedAttempt};
use crate::domain::secret::{ManagedSecret, Record};
use crate::domain::status::{self, REQUEST_SUCCEEDED, SECRET_SYNCED};

/// One request, from what it was made of to what was answered.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Why it was made.
    pub trigger: Trigger,
    /// The answer.
    pub asked: Asked,
    /// The secret values that it used.
    pub values: SecretValues,
    /// The values under the key of this process.
    pub values_digest: [u8; 32],
    /// The version of everything that it used.
    pub inputs_version: String,
    /// The endpoint, without query; `None` where its issuer did not tell it.
    pub endpoint: Option<String>,
    /// The host that was asked, for messages and metrics.
    pub host: String,
}

/// What happened after the decision.
#[derive(Clone, Debug)]
pub enum Step {
    /// Nothing was to be done.
    Nothing,
    /// The request waits for its turn or its answer, since then.
    Waiting(Timestamp),
    /// Something stood in the way before anything was sent.
    Refused(Refusal),
    /// The endpoint was asked.
    Attempted(Box<Attempt>),
    /// The token was read back for a repair; `None` where the Secret does not hold it.
    ReadBack(Option<Box<ManagedSecret>>),
}

/// What the stored status and the managed Secret tell a process that has just started.
pub fn seed(o: &Observation) -> Remembered {
    let status = o.credential.status.clone().unwrap_or_default();
    let left_behind = || o.renamed_from(Timestamp::MIN)?.metadata.record();
    let record = o.record().or_else(left_behind);
    let last_failure = status.last_failure_time.as_ref().map(|time| time.0);
    let issued = record.as_ref().map(|record| record.issued_at);
    let same_token = status.token.filter(|token| Some(token.issue_time.0) == issued);
    let scopes = same_token.map(|token| token.scopes).filter(|scopes| !scopes.is_empty());
    Remembered {
        bucket: Some(Bucket::resumed(&o.policy.schedule, issued.max(last_failure))),
        retry: seeded_retry(o),
        refused_write: seeded_refused_write(o),
        record,
        target_seen: status.binding.is_some(),
        handled_renew_request: status.last_handled_renew_request,
        granted_scopes: scopes,
        endpoint: status.endpoint,
        seeded: true,
        ..Remembered::default()
    }
}

fn seeded_retry(o: &Observation) -> Option<Retry> {
    let status = o.credential.status.as_ref()?;
    let condition = status::previous(o, REQUEST_SUCCEEDED).filter(|c| c.status == "False")?;
    let reason = Reason::parse(&condition.reason)?;
    let inputs_version = status.last_failure_inputs.clone()?;
    // Where a reference is gone, the generation tells whether it was for this spec: the failure still
    // stands, and what the reference holds when it is back is compared. It also tells whether the
    // answer was to hold the same values.
    let same_spec = status.observed_generation == Some(o.generation());
    let same = match o.inputs_version() {
        Some(now) => now == inputs_version && (same_spec || o.shape().response.is_empty()),
        None => same_spec,
    };
    if !same {
        return None;
    }
    let failed_attempts = u32::try_from(status.failed_attempts?).ok().filter(|n| *n > 0)?;
    Some(Retry {
        reason,
        message: condition.message.clone(),
        consecutive: failed_attempts,
        failed_attempts,
        failed_at: status.last_failure_time.as_ref()?.0,
        next_attempt_at: seeded_next_attempt(o, status, reason, failed_attempts),
        inputs_version,
        asked_digest: fingerprint::asked_digest(&o.credential.spec),
        terminal: status::was_terminal(o, reason),
    })
}

/// As announced; where nothing was announced, because something else was waited for, as it would
/// have been.
fn seeded_next_attempt(
    o: &Observation,
    status: &OAuthClientCredentialStatus,
    reason: Reason,
    consecutive: u32,
) -> Timestamp {
    if let Some(announced) = &status.next_attempt_time {
        return announced.0;
    }
    let failed = FailedAttempt {
        reason,
        consecutive,
        asked_wait: None,
        inputs_changed_at: inputs_changed_at(o),
        expires_at: o.record().map(|record| record.expires_at),
        uid: o.uid(),
    };
    let failed_at = status.last_failure_time.as_ref().map_or(Timestamp::MIN, |time| time.0);
    schedule::next_attempt_at(&o.policy.schedule, &failed, failed_at)
}

/// When the data of a Secret of the request changed last, or the credential was created.
fn inputs_changed_at(o: &Observation) -> Option<Timestamp> {
    o.data_changed_at().max(o.created_at())
}

fn seeded_refused_write(o: &Observation) -> Option<RefusedWrite> {
    let condition = status::previous(o, SECRET_SYNCED).filter(|c| c.status == "False")?;
    let reason = Reason::parse(&condition.reason)?;
    let refused = matches!(reason, Reason::SecretWriteFailed | Reason::Forbidden);
    // Where something is left behind it was its deletion.
    let of_a_write = o.credential.status.as_ref().is_some_and(|s| s.left_behind.is_empty());
    (refused && of_a_write).then(|| RefusedWrite {
        reason,
        message: condition.message.clone(),
        failures: 1,
        next_attempt_at: Some(Timestamp::MIN),
        target_version: o.target.present().map_or(0, |target| target.resource_version),
        generation: status::observed_generation(o),
    })
}

/// What a comparison tells: whether all values are those of the attempt that failed last, else whether
/// those that a token is granted for are those of the token that is held.
pub fn after_comparison(
    o: &Observation,
    values: &SecretValues,
    values_digest: [u8; 32],
    token: Option<&Redacted<String>>,
) -> Remembered {
    let inputs = o.inputs_version();
    let mut memory = Remembered { refusal: None, ..o.memory.clone() };
    if let Some(retry) = o.retry()
        && memory.attempted_values == Some(values_digest)
    {
        let inputs_version = inputs.clone().unwrap_or_default();
        memory.retry = Some(Retry { inputs_version, ..retry.clone() });
        memory.compared = inputs;
        return memory;
    }
    let record = o.record();
    let fits = token.zip(record).is_some_and(|(token, record)| {
        fingerprint::fits_values(&record.fingerprint, values, token)
    });
    memory.retry = None;
    memory.attempted_values = Some(values_digest);
    if fits {
        memory.compared = inputs;
    } else {
        memory.changed = inputs;
    }
    memory
}

/// What a refusal before anything was sent tells; RBAC is tried again on a schedule, for everything
/// else a change of the inputs is waited for.
pub fn after_refusal(o: &Observation, refusal: Refusal, now: Timestamp) -> Remembered {
    let same = o.memory.refusal.as_ref().filter(|before| before.reason == refusal.reason);
    let failures = same.map_or(0, |before| before.failures) + 1;
    let by_the_api_server =
        matches!(refusal.reason, Reason::Forbidden | Reason::ServiceAccountTokenRefused);
    let next_attempt_at = if by_the_api_server {
        Some(schedule::api_retry_at(now, failures))
    } else {
        refusal.may_pass.then(|| schedule::outside_retry_at(now, failures))
    };
    Remembered {
        refusal: Some(Refusal { next_attempt_at, failures, ..refusal }),
        waiting_since: None,
        ..o.memory.clone()
    }
}

/// What an attempt tells.
pub fn after_attempt(o: &Observation, attempt: &Attempt, now: Timestamp) -> Remembered {
    let policy = &o.policy.schedule;
    let asked_before = o.memory.bucket.unwrap_or(Bucket::FULL);
    let memory = Remembered {
        bucket: Some(asked_before.take(policy, attempt.asked.sent_at)),
        refusal: None,
        attempted_values: Some(attempt.values_digest),
        waiting_since: None,
        handled_renew_request: o.renew_request().or_else(|| o.memory.handled_renew_request.clone()),
        endpoint: attempt.endpoint.clone().or_else(|| o.memory.endpoint.clone()),
        ..o.memory.clone()
    };
    let dead =
        RequestError::without_answer(Reason::MalformedResponse, "it gave the expired token again");
    match &attempt.asked.result {
        Ok(grant) if gives_the_expired_token(o, attempt, grant, now) => {
            Remembered { retry: Some(after_failure(o, &memory, attempt, &dead, now)), ..memory }
        }
        Ok(grant) => after_grant(o, memory, attempt, grant, now),
        Err(error) => {
            Remembered { retry: Some(after_failure(o, &memory, attempt, error, now)), ..memory }
        }
    }
}

/// A server that goes on giving a token after it expired must not be asked for ever.
fn gives_the_expired_token(
    o: &Observation,
    attempt: &Attempt,
    grant: &Grant,
    now: Timestamp,
) -> bool {
    let lives_again = grant.expiry(attempt.asked.sent_at).is_some();
    let again = fingerprint::fingerprint(&o.request_digest(), &attempt.values, &grant.token);
    let held = o.record().filter(|record| record.fingerprint == again);
    !lives_again && held.is_some_and(|record| record.expires_at <= now)
}

fn after_failure(
    o: &Observation,
    memory: &Remembered,
    attempt: &Attempt,
    error: &RequestError,
    now: Timestamp,
) -> Retry {
    let before = o.retry();
    let class = error.reason.class();
    let same_class = before.filter(|retry| retry.reason.class() == class && !begins_anew(o, class));
    let failed = FailedAttempt {
        reason: error.reason,
        consecutive: same_class.map_or(0, |retry| retry.consecutive).saturating_add(1),
        asked_wait: error.wait,
        inputs_changed_at: inputs_changed_at(o),
        expires_at: o.record().map(|record| record.expires_at),
        uid: o.uid(),
    };
    let policy = &o.policy.schedule;
    let opens_at = memory.bucket.map_or(now, |bucket| bucket.opens_at(policy));
    let next = schedule::next_attempt_at(policy, &failed, now);
    Retry {
        reason: error.reason,
        message: error.message(&attempt.host),
        consecutive: failed.consecutive,
        failed_attempts: before.map_or(0, |retry| retry.failed_attempts).saturating_add(1),
        failed_at: now,
        next_attempt_at: next.max(schedule::next_whole_second(opens_at)),
        inputs_version: attempt.inputs_version.clone(),
        asked_digest: fingerprint::asked_digest(&o.credential.spec),
        terminal: schedule::is_terminal(&failed, now),
    }
}

/// Whether somebody has asked to try again, having put right what time does not.
fn begins_anew(o: &Observation, class: Class) -> bool {
    let helped = match class {
        Class::Credentials | Class::Permission | Class::Configuration | Class::Contract => true,
        Class::Throttled | Class::Transient | Class::Trust | Class::Local => false,
    };
    helped && o.has_open_renew_request()
}

fn after_grant(
    o: &Observation,
    memory: Remembered,
    attempt: &Attempt,
    grant: &Grant,
    now: Timestamp,
) -> Remembered {
    let policy = &o.policy.schedule;
    let digest = o.request_digest();
    let fingerprint = fingerprint::fingerprint(&digest, &attempt.values, &grant.token);
    let held = o.record().filter(|record| record.fingerprint == fingerprint);
    let mut contention = memory.contention.clone();
    if o.token_was_lost() {
        contention = contention.granted(attempt.asked.sent_at);
    }
    let memory = Remembered {
        retry: None,
        contention,
        compared: Some(attempt.inputs_version.clone()),
        changed: None,
        granted_scopes: grant.scopes.clone(),
        reuse_retry_at: None,
        dying_token_seen: false,
        ..memory
    };
    let record = new_record(o, attempt, grant, fingerprint);
    let Some(held) = held else {
        let spent = grant.lifetime == Lifetime::Spent && grant.expires_at.is_none();
        let dying = spent && !o.memory.dying_token_seen;
        return Remembered {
            reuse_retry_at: dying.then(|| schedule::after(now, policy.minimum_request_gap)),
            dying_token_seen: dying,
            ..granted(memory, grant, record)
        };
    };
    // The token that is held, again: only its expiry can be news, and a value beside it.
    let known = grant.expiry(record.issued_at).is_some();
    let expires_at = if known { record.expires_at } else { held.expires_at };
    let reuse_retry_at = Some(schedule::reuse_retry_at(policy, now, expires_at));
    let same = difference(expires_at, held.expires_at) <= schedule::SAME_EXPIRY;
    let memory = Remembered { reuse_retry_at, ..memory };
    let whole = !o.lacks_response_values();
    if same && whole {
        return memory;
    }
    granted(memory, grant, Record { expires_at, revision: held.revision, ..record })
}

fn granted(memory: Remembered, grant: &Grant, record: Record) -> Remembered {
    let token_type = grant.token_type.clone();
    Remembered {
        granted: Some(ManagedSecret {
            token: grant.token.clone(),
            token_type,
            record,
            response_values: grant.values.clone(),
            previous: None,
        }),
        ..memory
    }
}

fn new_record(o: &Observation, attempt: &Attempt, grant: &Grant, fingerprint: String) -> Record {
    let issued_at = schedule::whole_second(attempt.asked.sent_at);
    let status = o.credential.status.as_ref();
    let told = status.and_then(|status| status.token.as_ref()).map_or(0, |token| token.revision);
    // A Secret that is gone or lost its token does not start the count anew.
    let held = o.record().or_else(|| o.memory.record.clone()).map_or(0, |record| record.revision);
    Record {
        issued_at,
        expires_at: expiry(o, grant, issued_at),
        revision: told.max(held) + 1,
        fingerprint,
        inputs_version: attempt.inputs_version.clone(),
        token_key: o.credential.spec.token_key().to_owned(),
        refresh_at: grant
            .refresh_in
            .map(|wait| schedule::whole_second(schedule::after(issued_at, wait))),
    }
}

/// As the answer says, by span or by instant; else as a JWT claims of itself; else as the spec says.
fn expiry(o: &Observation, grant: &Grant, issued_at: Timestamp) -> Timestamp {
    let longest = schedule::after(issued_at, schedule::LONGEST_LIFETIME);
    let claimed = || grant.jwt_expiry.filter(|at| *at > issued_at).map(|at| at.min(longest));
    let default = || schedule::after(issued_at, o.credential.spec.default_lifetime());
    let at = grant.expiry(issued_at).or_else(claimed).unwrap_or_else(default);
    schedule::whole_second(at)
}

fn difference(a: Timestamp, b: Timestamp) -> Duration {
    schedule::span(a, b).max(schedule::span(b, a))
}

/// What a refused write tells: the same reason in a row waits longer.
pub fn after_refused_write(
    o: &Observation,
    reason: Reason,
    message: String,
    final_for_generation: bool,
    now: Timestamp,
) -> Remembered {
    let failures = o.memory.refused_write.as_ref().map_or(0, |before| before.failures) + 1;
    let refused = RefusedWrite {
        reason,
        message,
        failures,
        next_attempt_at: (!final_for_generation).then(|| schedule::api_retry_at(now, failures)),
        target_version: o.target.present().map_or(0, |target| target.resource_version),
        generation: o.generation(),
    };
    let granted = o.memory.granted.clone().filter(|_| !final_for_generation);
    Remembered { refused_write: Some(refused), granted, ..o.memory.clone() }
}
