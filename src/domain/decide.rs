//! What to do about one credential: ordered, named checks over an [`Observation`].
//! In: an observation and `now`. Out: one [`Decision`], for every possible input.
//!
//! ```text
//! suspended? ── target refused? ── granted token to write? ── renamed? ── drift?
//!     ── refused locally? ── inputs to compare? ── nothing due? ── backing off? ── too soon? ── Request
//! ```
//!
//! **Invariant:** a check never looks further than the observation, and the first one that applies
//! decides; their order is the product's priorities.

use jiff::Timestamp;

use crate::domain::fingerprint;
use crate::domain::observation::{Observation, Refusal, TokenState};
use crate::domain::reason::Class;
use crate::domain::refusal::{local_refusal, target_refusal};
use crate::domain::schedule;
use crate::domain::secret::{ManagedSecret, Record};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing; status tells how things stand.
    Keep,
    /// Nothing can be done before the cluster changes.
    Refuse(Refusal),
    /// Read the secret values to find whether they are the ones that were used.
    Compare,
    /// Write the managed Secret again from the token that it holds.
    Repair,
    /// Write the token of the Secret that the target was named after before under its new name.
    Rename,
    /// Write the token that was granted.
    Write,
    /// Ask for a token.
    Request(Trigger),
}

/// Why a token is asked for; in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// There is no managed Secret.
    SecretMissing,
    /// Its token, or a value of the response, is missing or was altered.
    SecretDrift,
    /// The spec asks for something else.
    SpecChanged,
    /// The secret values changed.
    CredentialsChanged,
    /// The annotation asks for it.
    RenewRequested,
    /// The token has expired.
    Expired,
    /// It is time.
    Renewing,
}

impl Trigger {
    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecretMissing => "SecretMissing",
            Self::SecretDrift => "SecretDrift",
            Self::SpecChanged => "SpecChanged",
            Self::CredentialsChanged => "CredentialsChanged",
            Self::RenewRequested => "RenewRequested",
            Self::Expired => "Expired",
            Self::Renewing => "Renewing",
        }
    }

    /// Whether a live read of the target must confirm it first: a lagging watch must not cost a
    /// token request.
    pub const fn needs_confirmation(self) -> bool {
        match self {
            Self::SecretMissing | Self::SecretDrift | Self::Expired => true,
            Self::SpecChanged
            | Self::CredentialsChanged
            | Self::RenewRequested
            | Self::Renewing => false,
        }
    }
}

impl Decision {
    /// The word in logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Keep => "Keep",
            Self::Refuse(_) => "Refuse",
            Self::Compare => "Compare",
            Self::Repair => "Repair",
            Self::Rename => "Rename",
            Self::Write => "Write",
            Self::Request(_) => "Request",
        }
    }

    /// Why a token is asked for, where one is.
    pub const fn trigger(&self) -> Option<Trigger> {
        match self {
            Self::Request(trigger) => Some(*trigger),
            Self::Keep
            | Self::Refuse(_)
            | Self::Compare
            | Self::Repair
            | Self::Rename
            | Self::Write => None,
        }
    }
}

type Check = fn(&Observation, Timestamp) -> Option<Decision>;

/// The checks, in order.
const CHECKS: [Check; 8] = [
    suspended,
    target_refused,
    granted_token_waits,
    target_renamed,
    target_drifted,
    refused_locally,
    inputs_to_compare,
    request_due,
];

/// What to do about the credential now.
pub fn decide(observation: &Observation, now: Timestamp) -> Decision {
    CHECKS.iter().find_map(|check| check(observation, now)).unwrap_or(Decision::Keep)
}

fn suspended(o: &Observation, _now: Timestamp) -> Option<Decision> {
    o.credential.spec.suspend.then_some(Decision::Keep)
}

fn target_refused(o: &Observation, _now: Timestamp) -> Option<Decision> {
    target_refusal(o).map(Decision::Refuse)
}

/// While a granted token waits to be written, nothing is requested.
fn granted_token_waits(o: &Observation, now: Timestamp) -> Option<Decision> {
    let granted = o.memory.granted.as_ref()?;
    if granted.record.expires_at <= now || is_superseded(o, granted, now) {
        return None;
    }
    let waits = o
        .standing_refused_write()
        .is_some_and(|refused| refused.next_attempt_at.is_none_or(|next| next > now));
    Some(if waits { Decision::Keep } else { Decision::Write })
}

/// Whether a granted token is of a spec that was dropped while its write was refused, and the one that is
/// held is valid for the present spec.
pub fn is_superseded(o: &Observation, granted: &ManagedSecret, now: Timestamp) -> bool {
    let of_this_spec = fingerprint::fits_spec(&granted.record.fingerprint, &o.request_digest());
    !of_this_spec && o.token_state(now) == TokenState::Valid
}

/// The token is the same under another name.
fn target_renamed(o: &Observation, now: Timestamp) -> Option<Decision> {
    o.renamed_from(now)?;
    (!write_waits(o, now)).then_some(Decision::Rename)
}

/// A token that is whole and lives needs no grant, whatever happened around it; unless a value of the
/// response is missing, which a grant alone brings.
fn target_drifted(o: &Observation, now: Timestamp) -> Option<Decision> {
    let target = o.own_target().filter(|_| !o.lacks_response_values())?;
    let fought = o.was_changed_by_somebody_else() && o.memory.contention.repair_allowed_at() > now;
    if o.memory.unrepairable.contains(&target.resource_version) || write_waits(o, now) || fought {
        return None;
    }
    let Some(record) = o.record() else {
        let token_is_ours = target.record().is_none() && o.token_lies_as_asked();
        return token_is_ours.then_some(Decision::Repair);
    };
    let lives = record.expires_at > now;
    let drifted = target.has_drifted(o.uid(), &o.shape(), &record);
    (lives && drifted).then_some(Decision::Repair)
}

fn refused_locally(o: &Observation, now: Timestamp) -> Option<Decision> {
    let refusal = local_refusal(o)?;
    let again = refusal.next_attempt_at.is_some_and(|next| next <= now);
    (!again).then_some(Decision::Refuse(refusal))
}

/// Only a reference differs: are the values still the ones that were used?
fn inputs_to_compare(o: &Observation, now: Timestamp) -> Option<Decision> {
    let inputs = o.inputs_version();
    let differs = |known: Option<&str>| inputs.is_none() || inputs.as_deref() != known;
    // A failure with other values must not hold back those that were good before.
    if let Some(retry) = o.retry() {
        return differs(Some(&retry.inputs_version)).then_some(Decision::Compare);
    }
    let compared = !differs(o.memory.compared.as_deref()) || !differs(o.memory.changed.as_deref());
    if compared {
        return None;
    }
    let record = o.record()?;
    let idle = due(o, now).is_none() && o.token_state(now) == TokenState::Valid;
    (idle && differs(Some(&record.inputs_version))).then_some(Decision::Compare)
}

fn request_due(o: &Observation, now: Timestamp) -> Option<Decision> {
    let trigger = due(o, now)?;
    (request_allowed_at(o) <= now).then_some(Decision::Request(trigger))
}

/// Why a token is wanted now, if one is; whether it may be asked for is another question.
pub fn due(o: &Observation, now: Timestamp) -> Option<Trigger> {
    let Some(target) = o.own_target() else { return Some(Trigger::SecretMissing) };
    let Some(record) = o.record() else {
        let repairable = target.record().is_none()
            && !o.memory.unrepairable.contains(&target.resource_version)
            && o.token_lies_as_asked()
            && !o.lacks_response_values();
        return (!repairable).then_some(Trigger::SecretDrift);
    };
    if !fingerprint::fits_spec(&record.fingerprint, &o.request_digest()) {
        return Some(Trigger::SpecChanged);
    }
    if o.lacks_response_values() {
        return Some(Trigger::SecretDrift);
    }
    if o.memory.changed.is_some() && o.memory.changed == o.inputs_version() {
        return Some(Trigger::CredentialsChanged);
    }
    if o.has_open_renew_request() {
        return Some(Trigger::RenewRequested);
    }
    if record.expires_at <= now && o.memory.reuse_retry_at.is_none_or(|at| at <= now) {
        return Some(Trigger::Expired);
    }
    if renewal_at(o)? <= now {
        return Some(Trigger::Renewing);
    }
    // What was asked for and failed is still wanted: a renew request, or the token of other values.
    o.retry().map(|_| Trigger::CredentialsChanged)
}

/// When the token that is held is renewed or asked about again; `None` without one.
pub fn renewal_at(o: &Observation) -> Option<Timestamp> {
    o.record().map(|record| renewal_of(o, &record))
}

/// When a token with this record is asked for again: at its renewal, or later where the server has
/// just returned the same token.
pub fn renewal_of(o: &Observation, record: &Record) -> Timestamp {
    o.memory.reuse_retry_at.unwrap_or_else(|| scheduled_renewal(o, record))
}

/// When a token with this record is renewed, by the server's hint or by the schedule.
pub fn scheduled_renewal(o: &Observation, record: &Record) -> Timestamp {
    let Record { issued_at, expires_at, refresh_at, .. } = *record;
    let rotation = o.credential.spec.rotation.as_ref();
    refresh_at.filter(|at| *at < expires_at).unwrap_or_else(|| {
        schedule::renewal_at(&o.policy.schedule, rotation, o.uid(), issued_at, expires_at)
    })
}

/// The first instant at which a request may be made: after the back-off, unless a renew request
/// lifts it, after the minimum gap, after a refused write could be tried again, and not as fast as
/// somebody removes tokens.
pub fn request_allowed_at(o: &Observation) -> Timestamp {
    let lifted = o.has_open_renew_request();
    let backed_off = o
        .retry()
        .filter(|retry| retry.reason.class() == Class::Throttled || !lifted)
        .map_or(Timestamp::MIN, |retry| retry.next_attempt_at);
    let refused = o
        .standing_refused_write()
        .map_or(Timestamp::MIN, |refused| refused.next_attempt_at.unwrap_or(Timestamp::MAX));
    let bucket = o.memory.bucket.map_or(Timestamp::MIN, |b| b.opens_at(&o.policy.schedule));
    // Whoever asks for a token gets one, also in the middle of a fight.
    let fought = o.token_was_lost() && !lifted;
    let contended = if fought { o.memory.contention.grant_allowed_at() } else { Timestamp::MIN };
    backed_off.max(bucket).max(refused).max(contended)
}

fn write_waits(o: &Observation, now: Timestamp) -> bool {
    o.standing_refused_write()
        .is_some_and(|refused| refused.next_attempt_at.is_none_or(|at| at > now))
}
