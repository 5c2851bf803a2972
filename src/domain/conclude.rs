//! What follows from a decision and from what was done about it. In: an observation, a decision,
//! what happened since. Out: one [`Outcome`] that says everything there is to write and when to look
//! again.
//!
//! **Invariant:** total and pure; a failure is an outcome like any other.

use jiff::Timestamp;

use crate::domain::crd::OAuthClientCredentialStatus;
use crate::domain::decide::{self, Decision};
use crate::domain::fingerprint;
use crate::domain::notice::{self, Notice};
use crate::domain::observation::{
    Foreign, LeftBehind, Observation, Refusal, RefusedRemoval, Remembered,
};
use crate::domain::reason::Reason;
use crate::domain::refusal;
use crate::domain::remember::{self, Step};
use crate::domain::schedule::{self, NAMESAKE_GRACE, PENDING_AFTER};
use crate::domain::secret::ManagedSecret;
use crate::domain::status::{self, Facts};

/// Everything that is to be written, and when to look again.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is remembered from now on.
    pub memory: Remembered,
    /// The managed Secret, where it is to be written.
    pub secret: Option<ManagedSecret>,
    /// The status, or `None` while there is nothing to tell; it speaks of the time after the write.
    pub status: Option<OAuthClientCredentialStatus>,
    /// The Secrets to delete, which hold what the managed Secret holds now.
    pub remove: Vec<LeftBehind>,
    /// The events.
    pub notices: Vec<Notice>,
    /// When to look again; `None`: when something changes.
    pub next: Option<Timestamp>,
}

/// What follows.
pub fn conclude(o: &Observation, decision: &Decision, step: &Step, now: Timestamp) -> Outcome {
    let mut memory = learned(o, decision, step, now);
    let secret = to_write(o, decision, step, &memory);
    if let Some(secret) = &secret {
        let shape = o.shape();
        let whole = shape.response.values().all(|at| secret.response_values.contains_key(at));
        memory.written_version = shape.version.filter(|_| whole);
    }
    let remove = to_remove(o, secret.as_ref(), now);
    let mut after = Observation {
        memory: if secret.is_some() { memory.clone().written() } else { memory.clone() },
        ..o.clone()
    };
    if !remove.is_empty() {
        after.left_behind.clear();
    }
    let record = secret.as_ref().map(|secret| secret.record.clone()).or_else(|| o.record());
    let waiting = matches!(step, Step::Waiting(_));
    let facts = Facts { observation: &after, record: record.as_ref(), waiting, now };
    let status = status::status(&facts);
    let young =
        memory.waiting_since.is_some_and(|since| now < schedule::after(since, PENDING_AFTER));
    // What can't be read back is asked for at once, and told of then.
    let unread = matches!(step, Step::ReadBack(None));
    let untold = unread || young && status::tells_only_of_waiting(&facts);
    let mut notices = notice::notices(&facts, o, step, &status);
    if let Step::Attempted(attempt) = step {
        memory.grant_notices = notice::of_grant(&facts, o, attempt);
    } else if *decision == Decision::Write {
        notices.extend(memory.grant_notices.iter().cloned());
    }
    Outcome {
        next: next_look(&facts, step, &memory),
        status: (!untold).then_some(status),
        notices: if untold { Vec::new() } else { notices },
        remove,
        secret,
        memory,
    }
}

fn learned(o: &Observation, decision: &Decision, step: &Step, now: Timestamp) -> Remembered {
    let mut memory = match step {
        Step::Nothing => o.memory.clone(),
        Step::Waiting(since) => Remembered { waiting_since: Some(*since), ..o.memory.clone() },
        Step::Refused(refusal) => remember::after_refusal(o, refusal.clone(), now),
        Step::Attempted(attempt) => remember::after_attempt(o, attempt, now),
        Step::ReadBack(read) => {
            let renamed = o.renamed_from(now).map(|left| &left.metadata);
            let version = o.own_target().or(renamed).map(|target| target.resource_version);
            let mut unrepairable = o.memory.unrepairable.clone();
            unrepairable.extend(version.filter(|_| read.is_none()));
            let mut contention = o.memory.contention.clone();
            if read.is_some() && o.was_changed_by_somebody_else() {
                contention = contention.repaired(now);
            }
            Remembered { unrepairable, contention, refusal: None, ..o.memory.clone() }
        }
    };
    let waits_in_vain = |granted: &ManagedSecret| {
        granted.record.expires_at <= now || decide::is_superseded(o, granted, now)
    };
    // The one that this very look was granted is of the spec that it saw.
    if !matches!(step, Step::Attempted(_)) && memory.granted.as_ref().is_some_and(waits_in_vain) {
        memory.granted = None;
    }
    // A failure of another spec does not come back with it.
    let digest = fingerprint::asked_digest(&o.credential.spec);
    memory.retry = memory.retry.filter(|retry| retry.asked_digest == digest);
    // One that is refused does not wait for its turn.
    if decide::due(o, now).is_none() || matches!(decision, Decision::Refuse(_)) {
        memory.waiting_since = None;
    }
    memory.record = o.record().or(memory.record);
    // What is tried now is told of as done; where it fails it is told of at the next look.
    let stands =
        |refused: &RefusedRemoval| refused.next_attempt_at > now && !o.left_behind.is_empty();
    memory.refused_removal = memory.refused_removal.filter(stands);
    memory.target_seen |= o.target.present().is_some();
    memory.foreign = foreign(o, now);
    memory
}

/// Since when the target belongs to somebody else, and whether that has been told.
fn foreign(o: &Observation, now: Timestamp) -> Option<Foreign> {
    let Refusal { reason, .. } = refusal::foreign_target(o)?;
    let told = status::previous(o, status::SECRET_SYNCED)
        .is_some_and(|condition| condition.reason == reason.as_str());
    let known = o.memory.foreign.filter(|before| before.reason == reason);
    let before = known.unwrap_or(Foreign { reason, since: now, warned: told });
    // What a living rival owns is not about to be collected.
    let namesake = reason == Reason::SecretNotOwned
        && o.target.present().is_some_and(refusal::is_left_by_a_namesake);
    let waits = namesake && now < schedule::after(before.since, NAMESAKE_GRACE);
    Some(Foreign { warned: before.warned || !waits, ..before })
}

/// What the target was named after before goes once the token lies under its new name.
fn to_remove(o: &Observation, secret: Option<&ManagedSecret>, now: Timestamp) -> Vec<LeftBehind> {
    let lives = || o.record().is_some_and(|record| record.expires_at > now);
    let moved = secret.is_some() || (lives() && !o.credential.spec.suspend);
    let refused = o.memory.refused_removal.as_ref();
    let waits = refused.is_some_and(|refused| refused.next_attempt_at > now);
    if moved && !waits { o.left_behind.clone() } else { Vec::new() }
}

fn to_write(
    o: &Observation,
    decision: &Decision,
    step: &Step,
    memory: &Remembered,
) -> Option<ManagedSecret> {
    match (decision, step) {
        (Decision::Request(_), Step::Attempted(_)) | (Decision::Write, _) => memory.granted.clone(),
        (Decision::Repair | Decision::Rename, Step::ReadBack(Some(secret))) => {
            let mut secret = ManagedSecret::clone(secret);
            o.credential.spec.token_key().clone_into(&mut secret.record.token_key);
            Some(secret)
        }
        _ => None,
    }
}

fn next_look(facts: &Facts<'_>, step: &Step, memory: &Remembered) -> Option<Timestamp> {
    let o = facts.observation;
    let suspended = o.credential.spec.suspend;
    if matches!(step, Step::ReadBack(None)) {
        return Some(facts.now);
    }
    let expiry = facts.record.map(|record| record.expires_at);
    let told = memory.waiting_since.map(|since| schedule::after(since, PENDING_AFTER));
    let grace = memory
        .foreign
        .filter(|foreign| !foreign.warned)
        .map(|foreign| schedule::after(foreign.since, NAMESAKE_GRACE));
    let renewal = facts.record.map(|record| decide::renewal_of(o, record));
    let allowed = Some(decide::request_allowed_at(o));
    let write = o.standing_refused_write().and_then(|refused| refused.next_attempt_at);
    let refusal = o.memory.refusal.as_ref().and_then(|refusal| refusal.next_attempt_at);
    let removal = o.memory.refused_removal.as_ref().map(|refused| refused.next_attempt_at);
    let contention = &o.memory.contention;
    let repair = Some(contention.repair_allowed_at());
    let fight = contention.ends_at();
    let active = [told, grace, renewal, allowed, write, refusal, removal, repair, fight]
        .map(|at| at.filter(|_| !suspended));
    let all = active.into_iter().chain([expiry]).flatten();
    all.filter(|at| *at > facts.now && *at < Timestamp::MAX).min()
}
