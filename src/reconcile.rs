//! The story of one credential: look, decide, ask where a token is due, conclude, write, come back
//! in time. In: a credential that was woken. Out: when to look again.
//!
//! **Invariant:** it waits for answers, never for its turn; and every look ends in one outcome or in
//! an error of the API server, which is tried again.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use kube::runtime::controller::Action;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::cluster::apply::{self, Applied, ApplyError, apply};
use crate::cluster::finalizer::FinalizerError;
use crate::cluster::observe::observe;
use crate::cluster::prepare;
use crate::cluster::read::{Prevented, ReadError};
use crate::domain::conclude::{Outcome, conclude};
use crate::domain::crd::OAuthClientCredential;
use crate::domain::decide::{Decision, Trigger, decide};
use crate::domain::observation::{Known, Observation, Refusal, Remembered};
use crate::domain::plan::Location;
use crate::domain::refusal;
use crate::domain::remember::{self, Attempt, Step};
use crate::domain::schedule;
use crate::endpoint::Endpoint;
use crate::governor::{Admission, Applicant, Governor, Permit};
use crate::telemetry::{Metrics, ReconcileResult};
use ask::{allowed_endpoint, ask, beside, random};
use farewell::{Stage, farewell};
use report::report;

mod ask;
mod farewell;
mod report;

/// Where a token endpoint stands that the spec does not name itself.
const METADATA: &str = "the metadata of spec.issuer";

/// What all reconciles share.
#[derive(Debug)]
pub struct Context {
    /// The Kubernetes API.
    pub cluster: Cluster,
    /// The way to token endpoints.
    pub endpoint: Endpoint,
    /// Who may ask when.
    pub governor: Arc<Governor>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Cancelled once the process is to end: nothing new is asked of any endpoint then.
    pub stop: CancellationToken,
}

/// Why a look ended without an outcome.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A read failed.
    #[error("failed to read what the request needs")]
    Prepare {
        /// Which read.
        #[from]
        source: ReadError,
    },
    /// A write failed.
    #[error("failed to write the outcome")]
    Apply {
        /// Which write.
        source: ApplyError,
        /// When the credential must be looked at whatever becomes of that write.
        next: Option<Timestamp>,
    },
    /// The finalizer could not be put on the credential, or taken away.
    #[error("failed to hold or to let go a credential whose token is revoked on deletion")]
    Finalizer {
        /// Which write.
        source: FinalizerError,
    },
    /// Nothing of the credential's: the machine is at fault, and it is tried again.
    #[error("the machine gives no random numbers: check its kernel")]
    NoRandomness,
    /// A bug: the look ended in a panic, which must not stop the others.
    #[error("a bug ended the look at this credential: please report it")]
    Panicked,
}

/// What a look at a credential led to before it is concluded.
struct Look {
    observation: Observation,
    decision: Decision,
    step: Step,
}

/// How far a look has come.
enum Looked {
    /// To what is to be concluded.
    Through(Box<Look>),
    /// Something was learned that may change the decision: look again at once.
    Again,
    /// The credential is being deleted: its event is on its way.
    Deleted,
}

fn at(observation: Observation, decision: Decision, step: Step) -> Looked {
    Looked::Through(Box::new(Look { observation, decision, step }))
}

/// One look at a credential.
///
/// # Errors
/// The API server did not answer; [`error_policy`] says when to look again.
pub async fn reconcile(
    credential: Arc<OAuthClientCredential>,
    ctx: Arc<Context>,
) -> Result<Action, Error> {
    let started = Instant::now();
    let looked = AssertUnwindSafe(Box::pin(look(&ctx, &credential))).catch_unwind().await;
    let result = looked.unwrap_or(Err(Error::Panicked));
    let outcome = match &result {
        Ok(Some(_)) => ReconcileResult::RequeueAfter,
        Ok(None) => ReconcileResult::Success,
        Err(_) => ReconcileResult::Error,
    };
    ctx.metrics.reconciled(outcome, started.elapsed());
    Ok(result?.map_or_else(Action::await_change, |at| Action::requeue(from_now(at))))
}

/// The steps, in order.
async fn look(
    ctx: &Context,
    credential: &Arc<OAuthClientCredential>,
) -> Result<Option<Timestamp>, Error> {
    let observation = match Box::pin(farewell(ctx, observe(&ctx.cluster, credential))).await? {
        Stage::Lives(observation) => *observation,
        Stage::Over(next) => return Ok(next),
    };
    let decision = decide(&observation, now());
    if decision.trigger().is_none() {
        withdraw(ctx, &observation);
    }
    let look = match decision {
        Decision::Request(trigger) => Box::pin(request(ctx, observation, trigger)).await?,
        Decision::Compare => compare(ctx, observation).await?,
        Decision::Repair | Decision::Rename => read_back(ctx, observation, decision).await?,
        Decision::Keep | Decision::Refuse(_) | Decision::Write => {
            at(observation, decision, Step::Nothing)
        }
    };
    let look = match look {
        Looked::Through(look) => look,
        Looked::Again => return Ok(Some(now())),
        Looked::Deleted => return Ok(None),
    };
    let outcome = conclude(&look.observation, &look.decision, &look.step, now());
    let next = outcome.next;
    let applied = write(ctx, &look.observation, outcome.clone()).await;
    report(ctx, &look, &outcome, &applied);
    let applied = told(applied, next)?;
    ctx.cluster.memory.api_answered(look.observation.uid());
    Ok(if applied.is_untold() { Some(now()) } else { next })
}

/// Asks for a token: a permit, a live look where the trigger may be a lagging watch, the reads, the
/// endpoint.
async fn request(ctx: &Context, o: Observation, trigger: Trigger) -> Result<Looked, Error> {
    let since = o.memory.waiting_since.unwrap_or_else(now);
    let Some(_permit) = admit(ctx, &o) else {
        return Ok(at(o, Decision::Request(trigger), Step::Waiting(since)));
    };
    let o = match confirmed(ctx, o, trigger).await? {
        Ok(o) => o,
        Err(looked) => return Ok(looked),
    };
    if (o.memory.refused_write.is_some() || o.takes_over())
        && let Err(refused) = apply::dry_run(&ctx.cluster, &o).await
    {
        let memory = refused.remembered(&ctx.cluster, &o, now());
        ctx.cluster.memory.remember(o.uid(), memory);
        return Ok(Looked::Again);
    }
    let o = taken(ctx, o);
    let prepared = match prepare::prepare(&ctx.cluster, &o).await {
        Ok(prepared) => prepared,
        Err(prevented) => {
            // What the reads told belongs to what is concluded.
            let o = observe(&ctx.cluster, &o.credential);
            return stopped(o, Decision::Request(trigger), prevented);
        }
    };
    if ctx.stop.is_cancelled() {
        return Ok(Looked::Again);
    }
    if !ctx.cluster.index.knows(&o.credential.metadata) {
        return Ok(Looked::Deleted);
    }
    let entropy = random()?;
    let (asked, endpoint) = match Box::pin(ask(ctx, (&prepared, entropy), trigger, since)).await {
        Ok(answered) => answered,
        Err(fault) => {
            let may_pass = matches!(prepared.plan.location, Location::Issuer(_));
            let refusal = Refusal { may_pass, ..prepared.observation.refused(fault) };
            let o = observe(&ctx.cluster, &o.credential);
            return Ok(at(o, Decision::Request(trigger), Step::Refused(refusal)));
        }
    };
    let values_digest = prepared.values.all().keyed(ctx.cluster.values_key.expose());
    let attempt = Attempt {
        trigger,
        asked,
        values: prepared.values.for_the_token(),
        values_digest,
        inputs_version: prepared.observation.inputs_version().unwrap_or_default(),
        host: endpoint.as_ref().unwrap_or(&prepared.named).host.to_string(),
        endpoint: endpoint.map(|endpoint| without_query(&endpoint.url)),
    };
    let o = observe(&ctx.cluster, &o.credential);
    Ok(at(o, Decision::Request(trigger), Step::Attempted(Box::new(attempt))))
}

/// The observation after a live look, where the trigger may be a lagging watch; or what that look led to.
async fn confirmed(
    ctx: &Context,
    o: Observation,
    trigger: Trigger,
) -> Result<Result<Observation, Looked>, Error> {
    if !trigger.needs_confirmation() {
        return Ok(Ok(o));
    }
    if let Err(prevented) = prepare::confirm(&ctx.cluster, &o).await {
        return stopped(o, Decision::Request(trigger), prevented).map(Err);
    }
    let confirmed = observe(&ctx.cluster, &o.credential);
    if decide(&confirmed, now()) != Decision::Request(trigger) {
        return Ok(Err(Looked::Again));
    }
    if prepare::credential_is_gone(&ctx.cluster, &confirmed).await? {
        return Ok(Err(Looked::Deleted));
    }
    Ok(Ok(confirmed))
}

/// The observation once a write would be taken: what refused one before is over.
fn taken(ctx: &Context, o: Observation) -> Observation {
    if o.memory.refused_write.is_none() {
        return o;
    }
    let memory = Remembered { refused_write: None, ..o.memory.clone() };
    ctx.cluster.memory.remember(o.uid(), memory.clone());
    Observation { memory, ..o }
}

/// Whether the secret values are still the ones that were used.
async fn compare(ctx: &Context, o: Observation) -> Result<Looked, Error> {
    match prepare::compare(&ctx.cluster, &o).await {
        Ok((seen, values, token)) => {
            let digest = values.all().keyed(ctx.cluster.values_key.expose());
            let values = values.for_the_token();
            let memory = remember::after_comparison(&seen, &values, digest, token.as_ref());
            ctx.cluster.memory.remember(o.uid(), memory);
            Ok(Looked::Again)
        }
        // What the reads told belongs to what is concluded.
        Err(prevented) => {
            let o = observe(&ctx.cluster, &o.credential);
            stopped(o, Decision::Compare, prevented)
        }
    }
}

/// The token that the managed Secret still holds, to write it again as it should be.
async fn read_back(ctx: &Context, o: Observation, decision: Decision) -> Result<Looked, Error> {
    if decision == Decision::Rename && o.target == Known::Untold {
        // Nobody has told yet whether the new name is free.
        let confirmed = prepare::confirm(&ctx.cluster, &o).await;
        return confirmed.map_or_else(|why| stopped(o, decision, why), |()| Ok(Looked::Again));
    }
    let renamed = o.renamed_from(now()).filter(|_| decision == Decision::Rename);
    let from = renamed.map_or_else(|| o.credential.target_name(), |left| &left.name).to_owned();
    match prepare::read_back(&ctx.cluster, &o, &from, now()).await {
        Ok(secret) => Ok(at(o, decision, Step::ReadBack(secret.map(Box::new)))),
        Err(prevented) => stopped(o, decision, prevented),
    }
}

fn stopped(o: Observation, decision: Decision, prevented: Prevented) -> Result<Looked, Error> {
    match prevented {
        Prevented::Refused(refusal) => Ok(at(o, decision, Step::Refused(refusal))),
        Prevented::Failed(source) => Err(source.into()),
    }
}

fn admit(ctx: &Context, o: &Observation) -> Option<Permit> {
    let metadata = &o.credential.metadata;
    let applicant = Applicant {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        host: refusal::named_endpoint(o).ok()?.host.to_string(),
        expires_at: o.record().map(|record| record.expires_at),
    };
    match ctx.governor.admit(&applicant) {
        Admission::Admitted(permit) => Some(permit),
        Admission::Queued => None,
    }
}

/// One that has nothing to ask must not keep a place or a reserved slot.
fn withdraw(ctx: &Context, o: &Observation) {
    let metadata = &o.credential.metadata;
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    ctx.governor.withdraw(&text(&metadata.namespace), &text(&metadata.name));
}

async fn write(ctx: &Context, o: &Observation, outcome: Outcome) -> Applied {
    Box::pin(apply(&ctx.cluster, o, outcome, now())).await
}

/// What was applied, where its status could be written.
fn told(applied: Applied, next: Option<Timestamp>) -> Result<Applied, Error> {
    if let Applied::Done { status: Err(source), .. } = applied {
        return Err(Error::Apply { source, next });
    }
    Ok(applied)
}

/// When to look again after an error: 1 s doubled to 60 s, or once something changes where waiting
/// can't help.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the Controller asks for")]
pub fn error_policy(
    credential: Arc<OAuthClientCredential>,
    error: &Error,
    ctx: Arc<Context>,
) -> Action {
    let uid = credential.metadata.uid.as_deref().unwrap_or_default();
    let retry = || schedule::api_retry_in(ctx.cluster.memory.api_failed(uid));
    match error {
        // Tokens are renewed all the same: only the report waits for the newer CRD.
        Error::Apply { source: ApplyError::CrdOlder { .. }, next } => {
            next.map_or_else(Action::await_change, |at| Action::requeue(from_now(at)))
        }
        Error::Apply { source: ApplyError::WriteStatus { .. }, next } => {
            let due = next.map_or(Duration::MAX, from_now);
            Action::requeue(retry().min(due))
        }
        Error::Prepare { .. } | Error::Finalizer { .. } | Error::NoRandomness | Error::Panicked => {
            Action::requeue(retry())
        }
    }
}

/// The endpoint for status: no query, no fragment; user-info was refused before.
fn without_query(url: &url::Url) -> String {
    let mut plain = url.clone();
    plain.set_query(None);
    plain.to_string()
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn from_now(at: Timestamp) -> Duration {
    schedule::span(now(), at)
}
