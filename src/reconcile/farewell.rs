//! The end of the story: a credential whose token is to be revoked is held by a finalizer, and let go once
//! the revocation endpoint has answered or its time is over. In: an observation. Out: the credential lives,
//! or when to look again.
//!
//! **Invariant:** nothing is requested for a credential that is being deleted, or that should be held and is
//! not; and an API server or endpoint that fails delays the release, but never keeps it from being tried.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{sleep, timeout};

use super::report::tell;
use super::{Context, Error, admit, allowed_endpoint, beside, now, random, told, withdraw, write};
use crate::cluster::finalizer::{self, FinalizerError};
use crate::cluster::observe::observe;
use crate::cluster::prepare::{self, Prepared};
use crate::cluster::read::Prevented;
use crate::domain::conclude::{Outcome, conclude};
use crate::domain::consent::TokenEndpoint;
use crate::domain::crd::OAuthClientCredential;
use crate::domain::decide::Decision;
use crate::domain::oauth;
use crate::domain::observation::{Observation, Refusal, Remembered};
use crate::domain::plan::Location;
use crate::domain::reason::Reason;
use crate::domain::refusal;
use crate::domain::remember::Step;
use crate::domain::revocation::{self, Attempted, Failure, Farewell, Parting, live_tokens};
use crate::domain::schedule::PENDING_AFTER;
use crate::endpoint::Connection;
use crate::telemetry;

/// Whether the story of a credential goes on.
pub(super) enum Stage {
    /// It lives, and is held as it asks for.
    Lives(Box<Observation>),
    /// Nothing else may be done at this look.
    Over(Option<Timestamp>),
}

/// Holds a living credential as its spec asks for, and does what is due for one that is being deleted.
///
/// # Errors
/// The API server did not take the finalizer, or its removal.
pub(super) async fn farewell(ctx: &Context, o: Observation) -> Result<Stage, Error> {
    let what = revocation::farewell(&o, now());
    match what {
        Farewell::Lives => Ok(Stage::Lives(Box::new(o))),
        Farewell::Hold => hold(ctx, o).await,
        Farewell::LetGo => let_go(ctx, o).await,
        Farewell::Gone => {
            withdraw(ctx, &o);
            Ok(Stage::Over(None))
        }
        Farewell::Wait(until) => Ok(Stage::Over(Some(until))),
        Farewell::Release => {
            withdraw(ctx, &o);
            let parting = revocation::after_release(&o, now());
            part(ctx, &o, "Release", parting).await
        }
        Farewell::Revoke { within } => Box::pin(revoke(ctx, &o, within)).await,
    }
}

/// The finalizer comes first: no token is ever requested that could then not be revoked.
async fn hold(ctx: &Context, o: Observation) -> Result<Stage, Error> {
    match finalizer::set(&ctx.cluster, &o, true).await {
        Ok(true) => {
            // What kept the finalizer away is over.
            let forbidden = |refusal: &Refusal| refusal.reason == Reason::Forbidden;
            let refusal = o.memory.refusal.clone().filter(|refusal| !forbidden(refusal));
            ctx.cluster.memory.remember(o.uid(), Remembered { refusal, ..o.memory.clone() });
            Ok(Stage::Lives(Box::new(observe(&ctx.cluster, &o.credential))))
        }
        Ok(false) => Ok(Stage::Over(None)),
        Err(FinalizerError::Forbidden { .. }) => {
            let refusal = o.refused(finalizer::forbidden());
            let decision = Decision::Refuse(refusal.clone());
            let outcome = conclude(&o, &decision, &Step::Refused(refusal), now());
            // Also while it is suspended: nothing else tells when the right is given back.
            let refusal = outcome.memory.refusal.as_ref();
            let next = refusal.and_then(|refusal| refusal.next_attempt_at).or(outcome.next);
            tell(&o, "Refuse", Some(Reason::Forbidden), next);
            told(write(ctx, &o, outcome).await, next)?;
            Ok(Stage::Over(next))
        }
        Err(source) => Err(Error::Finalizer { source }),
    }
}

/// Nothing depends on a finalizer that is not wanted any more: where it can't be taken away, the credential
/// lives on with it, and it is tried again at each look.
async fn let_go(ctx: &Context, o: Observation) -> Result<Stage, Error> {
    match set_finalizer(ctx, &o, false).await {
        Err(Error::Finalizer { source }) => {
            telemetry::finalizer_kept(&source);
            Ok(Stage::Lives(Box::new(o)))
        }
        done => done,
    }
}

async fn set_finalizer(ctx: &Context, o: &Observation, wanted: bool) -> Result<Stage, Error> {
    let there = finalizer::set(&ctx.cluster, o, wanted).await;
    if there.map_err(|source| Error::Finalizer { source })? {
        return Ok(Stage::Lives(Box::new(observe(&ctx.cluster, &o.credential))));
    }
    Ok(Stage::Over(None))
}

/// One attempt, in its turn like any request to that host.
async fn revoke(ctx: &Context, o: &Observation, within: Duration) -> Result<Stage, Error> {
    ctx.cluster.memory.remember(o.uid(), revocation::begun(o, now()));
    let attempted = match refusal::named_endpoint(o) {
        Ok(_) => {
            let Some(_permit) = admit(ctx, o) else {
                let o = observe(&ctx.cluster, &o.credential);
                return part(ctx, &o, "Wait", revocation::while_queued(&o, now())).await;
            };
            Box::pin(attempt(ctx, &o.credential, within)).await
        }
        Err(fault) => Attempted::Failed(fault.into()),
    };
    let o = observe(&ctx.cluster, &o.credential);
    part(ctx, &o, "Revoke", revocation::after_attempt(&o, attempted, now())).await
}

/// That it is under way is told once, when it has taken 2 s.
async fn attempt(
    ctx: &Context,
    credential: &Arc<OAuthClientCredential>,
    within: Duration,
) -> Attempted {
    let o = &observe(&ctx.cluster, credential);
    let attempted = timeout(within, revoke_all(ctx, o));
    tokio::pin!(attempted);
    let in_time = tokio::select! {
        attempted = &mut attempted => attempted,
        () = sleep(PENDING_AFTER) => {
            // Of a status that could not be written the next one tells.
            let pending = revocation::while_pending(o, now());
            beside(attempted, write(ctx, o, pending)).await
        }
    };
    match in_time {
        Ok(Ok(attempted)) => attempted,
        Ok(Err(failure)) => Attempted::Failed(failure),
        Err(_late) => Attempted::Failed(Failure::late(within)),
    }
}

/// Reads what is held, finds the endpoint, and has every token revoked there.
async fn revoke_all(ctx: &Context, o: &Observation) -> Result<Attempted, Failure> {
    let held = prepare::held(&ctx.cluster, o).await.map_err(prevented)?;
    let tokens = live_tokens(o, &held, now());
    if tokens.is_empty() {
        return Ok(Attempted::NothingHeld);
    }
    if ctx.stop.is_cancelled() {
        return Err(Failure::stopping());
    }
    let location = revocation::location(o)?;
    let prepared = prepare::prepare(&ctx.cluster, o).await.map_err(prevented)?;
    let connection = ctx.endpoint.connection(&prepared.values.transport())?;
    let endpoint = locate(&connection, &prepared, &location).await?;
    let host = endpoint.host.to_string();
    for token in &tokens {
        let entropy = random().map_err(|_| Failure::without_randomness())?;
        let url = endpoint.url.clone();
        let of = (&prepared.values, token);
        let request = oauth::revocation_request(&prepared.plan, url, of, now(), entropy)?;
        let revoked = connection.revoke(&request).await;
        revoked.map_err(|error| Failure::answered(&host, &error))?;
    }
    Ok(Attempted::Revoked(host))
}

/// The revocation endpoint, where everything may be sent there too.
async fn locate(
    connection: &Connection,
    Prepared { plan, observation, named, .. }: &Prepared,
    location: &Location,
) -> Result<TokenEndpoint, Failure> {
    let (found, field) = match location {
        Location::TokenUrl(written) => (written.clone(), revocation::FIELD),
        Location::Issuer(issuer) => {
            let found = connection.discover_revocation(issuer, plan).await;
            let host = named.host.to_string();
            (found.map_err(|error| Failure::answered(&host, &error))?, super::METADATA)
        }
    };
    let endpoint = allowed_endpoint(observation, &found, field)?;
    // Metadata are the issuer's own word; whoever writes the spec must not choose alone where a live token goes.
    let written = matches!(location, Location::TokenUrl(_));
    let refused = refusal::not_for_revocation(observation, &endpoint.host, &named.host);
    refused.filter(|_| written).map_or(Ok(endpoint), |fault| Err(fault.into()))
}

fn prevented(prevented: Prevented) -> Failure {
    match prevented {
        Prevented::Refused(refusal) => refusal.into(),
        Prevented::Failed(_) => Failure::unread(),
    }
}

/// Remembers, tells, and lets go where that is what follows.
async fn part(
    ctx: &Context,
    o: &Observation,
    word: &'static str,
    Parting { outcome, release }: Parting,
) -> Result<Stage, Error> {
    let Outcome { next, ref memory, .. } = outcome;
    let failure = memory.revoking.as_ref().and_then(|revoking| revoking.failure.as_ref());
    tell(o, word, failure.map(|(reason, _)| *reason), next);
    // A status that can't be written must not keep the credential.
    drop(write(ctx, o, outcome).await);
    if release {
        set_finalizer(ctx, o, false).await?;
    }
    ctx.cluster.memory.api_answered(o.uid());
    Ok(Stage::Over(next))
}
