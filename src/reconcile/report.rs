//! What is seen from outside of a look: the counters, and one line. In: what was looked at, decided and
//! written. Out: nothing.
//!
//! **Invariant:** words of closed lists and names of objects, nothing of what was sent or answered.

use jiff::Timestamp;

use super::{Context, Look, now};
use crate::cluster::apply::Applied;
use crate::domain::conclude::Outcome;
use crate::domain::decide::{self, Decision, Trigger};
use crate::domain::observation::Observation;
use crate::domain::reason::Reason;
use crate::domain::remember::Step;
use crate::domain::{schedule, status};
use crate::telemetry::{self, DecisionLine};

/// The counters, and one line.
pub(super) fn report(ctx: &Context, look: &Look, outcome: &Outcome, applied: &Applied) {
    let Look { observation, decision, step } = look;
    let written = matches!(applied, Applied::Done { secret_written: true, .. });
    if let Applied::SecretRefused(reason) = applied {
        ctx.metrics.secret_written(reason.as_str());
    } else if written {
        ctx.metrics.secret_written(Reason::SecretSynced.as_str());
    }
    if let Step::Attempted(attempt) = step {
        let answer = attempt.asked.result.as_ref();
        let word = answer.map_or_else(|error| error.reason, |_| Reason::RequestSucceeded);
        ctx.metrics.request_answered(&attempt.host, word.as_str(), attempt.asked.took);
        if attempt.trigger == Trigger::Renewing
            && written
            && let Some(due) = decide::renewal_at(observation)
        {
            ctx.metrics.rotation_lateness(schedule::span(due, now()));
        }
    }
    let metadata = &observation.credential.metadata;
    let told = outcome.status.as_ref().map(|status| &status.conditions);
    let ready = told.and_then(|all| all.iter().find(|condition| condition.type_ == status::READY));
    telemetry::decision(&DecisionLine {
        namespace: metadata.namespace.as_deref().unwrap_or_default(),
        name: metadata.name.as_deref().unwrap_or_default(),
        decision: decision.as_str(),
        trigger: decision.trigger().map(Trigger::as_str),
        reason: ready.and_then(|condition| Reason::parse(&condition.reason)),
        next: outcome.next,
        happened: *decision != Decision::Keep,
    });
}

/// The line of a look that ends in the farewell.
pub(super) fn tell(
    o: &Observation,
    decision: &'static str,
    reason: Option<Reason>,
    next: Option<Timestamp>,
) {
    let metadata = &o.credential.metadata;
    telemetry::decision(&DecisionLine {
        namespace: metadata.namespace.as_deref().unwrap_or_default(),
        name: metadata.name.as_deref().unwrap_or_default(),
        decision,
        trigger: None,
        reason,
        next,
        happened: true,
    });
}
