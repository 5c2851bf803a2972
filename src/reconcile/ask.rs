//! One request: finds the endpoint, asks it, and has it told where that takes long. In: what was prepared.
//! Out: the answer and the endpoint that gave it.
//!
//! **Invariant:** no host is asked that was not held against every rule right before; and an answer waits for
//! no write.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::{Context, Error, METADATA, from_now, now, write};
use crate::cluster::observe::observe;
use crate::cluster::prepare::Prepared;
use crate::domain::conclude::conclude;
use crate::domain::consent::TokenEndpoint;
use crate::domain::decide::{Decision, Trigger};
use crate::domain::oauth::{self, Asked, Entropy};
use crate::domain::observation::Observation;
use crate::domain::plan::{Fault, Location};
use crate::domain::refusal;
use crate::domain::remember::Step;
use crate::domain::schedule::{self, PENDING_AFTER};

/// What is left for a request at least, where its endpoint took long to look up.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the write that tells of the waiting may go on once the answer is there.
const TELLING_MAY_TAKE: Duration = Duration::from_secs(1);

/// The answer and the endpoint that gave it; that it is waited for is told once, when it has taken 2 s.
pub(super) async fn ask(
    ctx: &Context,
    (prepared, entropy): (&Prepared, Entropy),
    trigger: Trigger,
    since: Timestamp,
) -> Result<(Asked, Option<TokenEndpoint>), Fault> {
    let answer = locate_and_ask(ctx, prepared, entropy);
    tokio::pin!(answer);
    tokio::select! {
        answered = &mut answer => return answered,
        () = sleep(from_now(schedule::after(since, PENDING_AFTER))) => {}
    }
    let o = observe(&ctx.cluster, &prepared.observation.credential);
    let outcome = conclude(&o, &Decision::Request(trigger), &Step::Waiting(since), now());
    beside(answer, write(ctx, &o, outcome)).await
}

/// The answer, while it is told that it is waited for. Neither may keep the other: an answer that nobody
/// polls would be lost to its own timeout, and a token must not wait for a slow API server. A status that
/// was not written follows with the answer; one that comes late wakes the credential by its own event.
pub(super) async fn beside<T>(answer: impl Future<Output = T>, telling: impl Future) -> T {
    tokio::pin!(answer, telling);
    tokio::select! {
        answered = &mut answer => {
            drop(timeout(TELLING_MAY_TAKE, telling).await);
            return answered;
        }
        _ = &mut telling => {}
    }
    answer.await
}

/// Finds the token endpoint where the spec names an issuer, and asks it; an endpoint that did not
/// answer and metadata that can't be had are answers too.
async fn locate_and_ask(
    ctx: &Context,
    prepared: &Prepared,
    entropy: Entropy,
) -> Result<(Asked, Option<TokenEndpoint>), Fault> {
    let Prepared { plan, values, named, observation } = prepared;
    let started = Instant::now();
    let connection = ctx.endpoint.connection(&values.transport())?;
    let endpoint = match &plan.location {
        Location::TokenUrl(_) => named.clone(),
        Location::Issuer(issuer) => match connection.discover(issuer, plan).await {
            // Kept, the metadata that named it would be believed for a day.
            Ok(found) => allowed_endpoint(observation, &found, METADATA)
                .inspect_err(|_| connection.forget(&found))?,
            Err(asked) => return Ok((asked, None)),
        },
    };
    let mut request = oauth::token_request(plan, endpoint.url.clone(), values, now(), entropy)?;
    // Looking the endpoint up is part of the attempt.
    request.timeout = request.timeout.saturating_sub(started.elapsed()).max(SHORTEST_TIMEOUT);
    let asked = connection.ask(&request).await;
    Ok((asked, Some(endpoint)))
}

/// The endpoint that stands in `place`, where everything may be sent there too.
pub(super) fn allowed_endpoint(
    o: &Observation,
    found: &str,
    place: &str,
) -> Result<TokenEndpoint, Fault> {
    let endpoint = refusal::permitted_endpoint(o, found, place)?;
    match refusal::not_consented(o, &endpoint.host) {
        Some(fault) => Err(fault),
        None => Ok(endpoint),
    }
}

/// For the `jti` of an assertion.
pub(super) fn random() -> Result<Entropy, Error> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map(|()| Entropy(bytes)).map_err(|_| Error::NoRandomness)
}
