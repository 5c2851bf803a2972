//! Which events are told, and in which words. In: the status before and after, what happened.
//! Out: at most one [`Notice`] of each kind.
//!
//! **Invariant:** a routine rotation tells nothing, a warning is told once until its reason changes,
//! and every note begins with its reason: a folded event keeps its first note for good.

use crate::domain::crd::OAuthClientCredentialStatus;
use crate::domain::decide::Trigger;
use crate::domain::oauth::Grant;
use crate::domain::observation::Observation;
use crate::domain::reason::Reason;
use crate::domain::remember::{Attempt, Step};
use crate::domain::schedule::{SHORT_LIFETIME, span};
use crate::domain::status::{
    Facts, READY, REQUEST_SUCCEEDED, RESOLVED_REFS, SECRET_SYNCED, previous,
};

/// What the events API takes.
const MOST_NOTE_BYTES: usize = 1024;

/// One event on the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether it is a warning.
    pub warning: bool,
    /// The event's reason.
    pub reason: &'static str,
    /// The event's action: the reason of the condition behind it, so that another cause is another
    /// event.
    pub action: &'static str,
    /// The note, at most 1024 bytes.
    pub note: String,
}

/// The events of this step.
pub fn notices(
    facts: &Facts<'_>,
    before: &Observation,
    step: &Step,
    status: &OAuthClientCredentialStatus,
) -> Vec<Notice> {
    let mut notices = warnings(facts, before, status);
    match step {
        Step::Attempted(attempt) => notices.extend(of_grant(facts, before, attempt)),
        Step::ReadBack(Some(_)) if before.was_changed_by_somebody_else() => {
            notices.push(normal(
                "SecretDriftRepaired",
                "the managed Secret was changed by somebody else and is restored from its token",
            ));
        }
        Step::Nothing | Step::Waiting(_) | Step::Refused(_) | Step::ReadBack(_) => {}
    }
    notices
}

/// The events of a grant, if it is one; they are told once the token is written.
pub fn of_grant(facts: &Facts<'_>, before: &Observation, attempt: &Attempt) -> Vec<Notice> {
    let Ok(grant) = &attempt.asked.result else { return Vec::new() };
    let mut notices = remarks(facts, attempt, grant);
    notices.extend(granted(before, attempt));
    notices
}

/// The token of a deleted credential was revoked.
pub fn token_revoked(host: &str) -> Notice {
    normal("TokenRevoked", &format!("the token was revoked at {host}, its credential is deleted"))
}

/// It was not, and for what reason.
pub fn revocation_failed(reason: Reason, text: &str) -> Notice {
    warning("RevocationFailed", reason.as_str(), text)
}

fn normal(reason: &'static str, text: &str) -> Notice {
    Notice { warning: false, reason, action: reason, note: format!("{reason}: {text}") }
}

fn warning(reason: &'static str, action: &'static str, text: &str) -> Notice {
    let mut note = format!("{action}: {text}");
    while note.len() > MOST_NOTE_BYTES {
        note.pop();
    }
    Notice { warning: true, reason, action, note }
}

fn granted(before: &Observation, attempt: &Attempt) -> Option<Notice> {
    let status = before.credential.status.as_ref();
    let had_token = status.is_some_and(|status| status.token.is_some());
    match attempt.trigger {
        Trigger::SecretMissing if !had_token => {
            Some(normal("TokenIssued", "the first token is in the managed Secret"))
        }
        Trigger::SecretDrift if before.record().is_some() && before.asks_for_a_new_value() => {
            after_failure(before)
        }
        // A rename of a token that has expired.
        Trigger::SecretMissing if !before.left_behind.is_empty() => after_failure(before),
        Trigger::SecretMissing | Trigger::SecretDrift => Some(normal(
            "SecretDriftRepaired",
            if before.lacks_response_values() {
                "a value of the response was missing or altered and came with a new token"
            } else {
                "the token was missing or altered and is replaced by a new one"
            },
        )),
        Trigger::RenewRequested => {
            Some(normal("RenewRequested", "a new token was asked for and is written"))
        }
        Trigger::SpecChanged
        | Trigger::CredentialsChanged
        | Trigger::Expired
        | Trigger::Renewing => after_failure(before),
    }
}

fn after_failure(before: &Observation) -> Option<Notice> {
    before.retry().map(|_| normal("TokenIssued", "a token was granted after a failure"))
}

/// What is worth a warning about a token that was not asked for as a matter of routine.
fn remarks(facts: &Facts<'_>, attempt: &Attempt, grant: &Grant) -> Vec<Notice> {
    let mut remarks = Vec::new();
    if matches!(attempt.trigger, Trigger::Renewing | Trigger::Expired) {
        return remarks;
    }
    let lifetime = facts.record.map(|record| span(record.issued_at, record.expires_at));
    if grant.expiry(attempt.asked.sent_at).is_none() {
        let text =
            "the answer carried no lifetime: set spec.rotation.defaultLifetime to the provider's";
        remarks.push(warning("LifetimeUnknown", "LifetimeUnknown", text));
    } else if grant.probably_milliseconds {
        let text = "the lifetime would be over ten years in seconds: it is probably in milliseconds, so \
                    set spec.response.expiresInUnit: Milliseconds";
        remarks.push(warning("LifetimeUnknown", "LifetimeUnknown", text));
    }
    if let Some(lifetime) = lifetime.filter(|lifetime| *lifetime < SHORT_LIFETIME) {
        let text = format!(
            "the token lives {} s; a pod needs up to 90 s to see a new one: ask the provider for at least {} s",
            lifetime.as_secs(),
            SHORT_LIFETIME.as_secs()
        );
        remarks.push(warning("ShortLivedToken", "ShortLivedToken", &text));
    }
    let asked = &facts.observation.credential.spec.scopes;
    let missing = |granted: &Vec<String>| asked.iter().any(|scope| !granted.contains(scope));
    if grant.scopes.as_ref().is_some_and(missing) {
        let text = "the provider granted fewer scopes than asked: status.token.scopes lists them";
        remarks.push(warning("ScopeReduced", "ScopeReduced", text));
    }
    remarks
}

fn warnings(
    facts: &Facts<'_>,
    before: &Observation,
    status: &OAuthClientCredentialStatus,
) -> Vec<Notice> {
    let told = [
        (REQUEST_SUCCEEDED, "TokenRequestFailed"),
        (RESOLVED_REFS, "CredentialsNotFound"),
        (SECRET_SYNCED, "SecretNotOwned"),
        (READY, "TokenExpired"),
    ];
    let mut warnings = Vec::new();
    for (kind, event) in told {
        let Some(condition) = status.conditions.iter().find(|c| c.type_ == kind) else { continue };
        let Some(reason) = Reason::parse(&condition.reason) else { continue };
        if condition.status != "False" || !warns(kind, reason) {
            continue;
        }
        let news = previous(before, kind).is_none_or(|old| old.reason != condition.reason);
        let wanted = match kind {
            SECRET_SYNCED => newly_warned(facts, before),
            _ => news,
        };
        if wanted {
            warnings.push(warning(event, reason.as_str(), &condition.message));
        }
    }
    warnings
}

/// Which reasons have an event; all others are conditions only.
fn warns(kind: &str, reason: Reason) -> bool {
    match kind {
        REQUEST_SUCCEEDED => true,
        RESOLVED_REFS => matches!(
            reason,
            Reason::CredentialsNotFound
                | Reason::CredentialsKeyMissing
                | Reason::CredentialsInvalid
        ),
        SECRET_SYNCED => matches!(reason, Reason::SecretNotOwned | Reason::TargetConflict),
        _ => reason == Reason::TokenExpired,
    }
}

/// A Secret of a deleted namesake is given time to be collected: its warning comes later.
fn newly_warned(facts: &Facts<'_>, before: &Observation) -> bool {
    let Some(now) = facts.observation.memory.foreign.filter(|foreign| foreign.warned) else {
        return false;
    };
    let known = before.memory.foreign.filter(|foreign| foreign.reason == now.reason);
    let already = known.map_or_else(
        || previous(before, SECRET_SYNCED).is_some_and(|told| told.reason == now.reason.as_str()),
        |foreign| foreign.warned,
    );
    !already
}
