//! What becomes of the token when its credential is deleted and `spec.revocation.onDelete` is true (RFC
//! 7009). In: an observation, `now`, and what an attempt led to. Out: a [`Farewell`], and after an attempt
//! a [`Parting`].
//!
//! ```text
//! lives: finalizer as the spec asks for it?          Hold | LetGo | Lives
//! is being deleted: our finalizer there?             no: Gone
//!     asked for, a live token, time left?            no: Release
//!     wait over?                                     no: Wait, else Revoke
//! ```
//!
//! **Invariant:** total and pure. A deleted credential is held for 30 s at most, whatever the endpoint
//! does; and no word of the endpoint's is told.

mod failure;

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::conclude::Outcome;
use crate::domain::crd::{EXPIRES_AT_KEY, REVOKE_FINALIZER};
use crate::domain::notice;
use crate::domain::observation::{Known, Observation, Remembered};
use crate::domain::output;
use crate::domain::plan::{Fault, Location};
use crate::domain::reason::Reason;
use crate::domain::redacted::Redacted;
use crate::domain::schedule;
use crate::domain::secret::{Held, ManagedSecret, Record};
use crate::domain::status::{self, Facts};

pub use failure::Failure;

/// The field that names the revocation endpoint.
pub const FIELD: &str = "spec.revocation.url";

/// An attempt that could not take so long is not begun.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(1);

/// What is to be done about the finalizer and the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The credential lives, and has the finalizer or not as its spec asks for.
    Lives,
    /// It lives and is to be held: before anything is requested.
    Hold,
    /// It lives and is not to be held any more.
    LetGo,
    /// It is being deleted and not held by us: the owner reference cleans up.
    Gone,
    /// Its token is to be revoked now.
    Revoke {
        /// How long the attempt may take.
        within: Duration,
    },
    /// Nothing before then.
    Wait(Timestamp),
    /// It is let go.
    Release,
}

/// How far the token of a deleted credential is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoking {
    /// When the deletion was first seen.
    pub seen_at: Timestamp,
    /// Failed attempts so far.
    pub failures: u32,
    /// When to try again.
    pub next_attempt_at: Option<Timestamp>,
    /// Why the latest attempt failed.
    pub failure: Option<(Reason, String)>,
    /// Whether the outcome is told, so that only the finalizer is left.
    pub ended: bool,
}

/// What an attempt led to.
#[derive(Clone, Debug)]
pub enum Attempted {
    /// There is no live token of ours.
    NothingHeld,
    /// The endpoint of this host says that it is revoked.
    Revoked(String),
    /// It is not.
    Failed(Failure),
}

/// What follows for a credential that is being deleted.
#[derive(Clone, Debug)]
pub struct Parting {
    /// What is to be remembered and told.
    pub outcome: Outcome,
    /// Whether the finalizer is removed after that.
    pub release: bool,
}

/// What to do about finalizer and token now.
pub fn farewell(o: &Observation, now: Timestamp) -> Farewell {
    let wanted = o.credential.spec.revokes_on_delete();
    match (deleted_at(o), is_held(o)) {
        (None, held) => match (wanted, held) {
            (true, false) => Farewell::Hold,
            (false, true) => Farewell::LetGo,
            (true, true) | (false, false) => Farewell::Lives,
        },
        (Some(_), false) => Farewell::Gone,
        (Some(_), true) if !wanted || !may_hold_a_token(o, now) => Farewell::Release,
        (Some(deleted_at), true) => {
            let revoking = o.memory.revoking.as_ref();
            let ends_at = schedule::revocation_ends_at(deleted_at, seen_at(o, now));
            let waits = revoking.and_then(|revoking| revoking.next_attempt_at);
            if revoking.is_some_and(|revoking| revoking.ended) || ends_at <= now {
                Farewell::Release
            } else if let Some(at) = waits.filter(|at| *at > now) {
                Farewell::Wait(at.min(ends_at))
            } else {
                let left = schedule::span(now, ends_at);
                Farewell::Revoke { within: o.credential.spec.request_timeout().min(left) }
            }
        }
    }
}

/// Whether our finalizer is on the credential.
pub fn is_held(o: &Observation) -> bool {
    let finalizers = o.credential.metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|finalizer| finalizer == REVOKE_FINALIZER)
}

fn deleted_at(o: &Observation) -> Option<Timestamp> {
    o.credential.metadata.deletion_timestamp.as_ref().map(|time| time.0)
}

fn seen_at(o: &Observation, now: Timestamp) -> Timestamp {
    o.memory.revoking.as_ref().map_or(now, |revoking| revoking.seen_at)
}

/// Whether a live token may be there, as far as metadata and memory tell.
fn may_hold_a_token(o: &Observation, now: Timestamp) -> bool {
    let may_live = |record: Option<Record>| record.is_none_or(|record| record.expires_at > now);
    let in_the_secret = match &o.target {
        Known::Untold => true,
        Known::Absent => false,
        Known::Present(target) => target.is_owned_by(o.uid()) && may_live(o.record()),
    };
    let left = || o.left_behind.iter().any(|left| may_live(left.metadata.record()));
    in_the_secret || left() || o.memory.granted.as_ref().is_some_and(|granted| lives(granted, now))
}

/// Whether the token that was held did nothing but expire.
fn has_expired(o: &Observation, now: Timestamp) -> bool {
    expires_at(o).is_some_and(|at| at <= now)
}

fn expires_at(o: &Observation) -> Option<Timestamp> {
    let left = o.left_behind.iter().filter_map(|left| left.metadata.record());
    let granted = o.memory.granted.as_ref().map(|granted| granted.record.clone());
    left.chain(granted).chain(o.record()).map(|record| record.expires_at).max()
}

fn lives(secret: &ManagedSecret, now: Timestamp) -> bool {
    secret.record.expires_at > now
}

/// Every live token, each once: of the Secrets that are ours as they were read, the one before it where
/// that is kept, and one that waits to be written.
pub fn live_tokens(o: &Observation, held: &[Held], now: Timestamp) -> Vec<Redacted<String>> {
    let previous = output::previous_keys(&o.credential.spec);
    let mut found = Vec::new();
    for held in held {
        let record = record_of(o, held, now).filter(|record| record.expires_at > now);
        found.extend(record.and_then(|record| held.ours(&record.token_key).cloned()));
        let before = previous.as_ref().and_then(|keys| held.previous(keys));
        found.extend(before.filter(|before| before.expires_at > now).map(|before| before.token));
    }
    if let Some(granted) = &o.memory.granted {
        found.extend(lives(granted, now).then(|| granted.token.clone()));
        let before = granted.previous.iter().filter(|before| before.expires_at > now);
        found.extend(before.map(|before| before.token.clone()));
    }
    let mut tokens: Vec<Redacted<String>> = Vec::new();
    for token in found.into_iter().filter(|token| !token.expose().is_empty()) {
        if tokens.iter().all(|known| known.expose() != token.expose()) {
            tokens.push(token);
        }
    }
    tokens
}

/// What is known of the token in a Secret; where somebody removed the annotations, by memory or data. A
/// form must not be taken for the token.
fn record_of(o: &Observation, held: &Held, now: Timestamp) -> Option<Record> {
    let recovered = || {
        let applied = held.target.applied.as_ref()?;
        let data = held.ours(EXPIRES_AT_KEY).and_then(|text| text.expose().parse().ok());
        let key = o.credential.spec.token_key();
        o.shape().knows(&applied.data).then(|| held.target.recovered_record(data, key, now))?
    };
    held.target.record().or_else(|| o.memory.record.clone()).or_else(recovered)
}

/// Where the token is revoked, as it is written: a URL, or the issuer whose metadata names one.
///
/// # Errors
/// Neither is there, which the schema refuses.
pub fn location(o: &Observation) -> Result<Location, Fault> {
    let spec = &o.credential.spec;
    let written = spec.revocation.as_ref().and_then(|revocation| revocation.url.clone());
    let issuer = || spec.issuer.clone().map(Location::Issuer);
    written.map(Location::TokenUrl).or_else(issuer).ok_or_else(|| Fault {
        reason: Reason::EndpointNotAllowed,
        message: format!("set {FIELD}: only the metadata of spec.issuer could name it otherwise"),
    })
}

/// The memory of an attempt that begins: from the first one on the time runs.
pub fn begun(o: &Observation, now: Timestamp) -> Remembered {
    Remembered { revoking: Some(revoking(o, now)), ..o.memory.clone() }
}

/// What follows from an attempt.
pub fn after_attempt(o: &Observation, attempted: Attempted, now: Timestamp) -> Parting {
    let before = revoking(o, now);
    match attempted {
        Attempted::NothingHeld => ended(o, before, Vec::new(), now),
        Attempted::Revoked(host) => ended(o, before, vec![notice::token_revoked(&host)], now),
        Attempted::Failed(failure) => after_failure(o, before, failure, now),
    }
}

/// What follows where nothing more is tried: what was begun and did not end well is told.
pub fn after_release(o: &Observation, now: Timestamp) -> Parting {
    let begun = o.memory.revoking.as_ref().filter(|revoking| !revoking.ended);
    let matters = o.credential.spec.revokes_on_delete() && !has_expired(o, now);
    let told = begun.filter(|_| matters).map(|revoking| {
        let (reason, message) = revoking.failure.clone().unwrap_or_else(|| {
            let waited = "its turn among the requests to this host did not come in time";
            (Reason::RevocationPending, waited.to_owned())
        });
        not_revoked(o, reason, &message)
    });
    ended(o, revoking(o, now), told.into_iter().collect(), now)
}

/// What follows while its turn is waited for.
pub fn while_queued(o: &Observation, now: Timestamp) -> Parting {
    let revoking = revoking(o, now);
    let next = deleted_at(o).map(|at| schedule::revocation_ends_at(at, revoking.seen_at));
    let outcome = Outcome { next, ..untold(o, revoking) };
    Parting { outcome, release: false }
}

/// The outcome that tells of a revocation which takes long.
pub fn while_pending(o: &Observation, now: Timestamp) -> Outcome {
    told(o, revoking(o, now), now)
}

fn after_failure(o: &Observation, before: Revoking, failure: Failure, now: Timestamp) -> Parting {
    let failures = before.failures.saturating_add(1);
    let wait = schedule::revocation_retry_in(o.uid(), failures, failure.wait);
    let next = schedule::after(now, wait);
    let ends_at = deleted_at(o).map(|at| schedule::revocation_ends_at(at, before.seen_at));
    let in_time = ends_at.is_some_and(|end| schedule::after(next, SHORTEST_ATTEMPT) <= end);
    if !failure.may_pass || !in_time {
        let notice = not_revoked(o, failure.reason, &failure.message);
        return ended(o, before, vec![notice], now);
    }
    let revoking = Revoking {
        failures,
        next_attempt_at: Some(next),
        failure: Some((failure.reason, failure.message)),
        ..before
    };
    let outcome = Outcome { next: Some(next), ..told(o, revoking, now) };
    Parting { outcome, release: false }
}

fn not_revoked(o: &Observation, reason: Reason, message: &str) -> notice::Notice {
    let ends = match expires_at(o) {
        Some(at) => format!("it may be used until {at}"),
        None => "it may be used until it expires".to_owned(),
    };
    notice::revocation_failed(reason, &format!("the token was not revoked, {ends}: {message}"))
}

fn revoking(o: &Observation, now: Timestamp) -> Revoking {
    o.memory.revoking.clone().unwrap_or(Revoking {
        seen_at: now,
        failures: 0,
        next_attempt_at: None,
        failure: None,
        ended: false,
    })
}

fn ended(
    o: &Observation,
    before: Revoking,
    notices: Vec<notice::Notice>,
    now: Timestamp,
) -> Parting {
    let revoking = Revoking { ended: true, next_attempt_at: Some(now), ..before };
    Parting { outcome: Outcome { notices, ..untold(o, revoking) }, release: true }
}

/// Nothing but the memory.
fn untold(o: &Observation, revoking: Revoking) -> Outcome {
    Outcome {
        remove: Vec::new(),
        memory: Remembered { revoking: Some(revoking), ..o.memory.clone() },
        secret: None,
        status: None,
        notices: Vec::new(),
        next: None,
    }
}

/// The memory, and the status that tells of it.
fn told(o: &Observation, revoking: Revoking, now: Timestamp) -> Outcome {
    let outcome = untold(o, revoking);
    let after = Observation { memory: outcome.memory.clone(), ..o.clone() };
    let record = o.record();
    let facts = Facts { observation: &after, record: record.as_ref(), waiting: false, now };
    let tells = status::previous(o, status::SECRET_SYNCED)
        .is_some_and(|told| told.reason == Reason::RevocationPending.as_str());
    Outcome { status: (!tells).then(|| status::status(&facts)), ..outcome }
}

#[cfg(test)]
mod tests;
