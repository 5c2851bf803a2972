//! Thirty credentials on a host that accepts connections and never says a word: nobody else waits
//! for it, they themselves still hear of what happens to them, and the process still ends in time.
//!
//! **Invariant:** the host is reached by the name and port that each client Secret consents to, so
//! the thirty really wait for it, eight at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;
use libtest_mimic::Trial;
use oauthcc_harness::faults::SilentHost;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{ALLOWED_TOKEN_HOSTS, OAuthClientCredentialStatus};
use oauthcc_operator::domain::schedule::span;
use serde_json::{Value, json};

use crate::figures::Figures;
use crate::tenant::Tenant;
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// Short, so that each token expires while its credential waits for the silent host.
const LIFETIME: Duration = Duration::from_secs(15);
/// The goal is the limit of an attempt and 5 s; a busy machine is given twice that, still less than
/// waiting in turn would take (30 credentials, 8 slots, 10 s each).
const TOLD_WITHIN: Duration = Duration::from_secs(30);
const SLOTS: usize = 8;

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.own_world("thirty_credentials_on_a_silent_host_hold_nobody_up", nobody_waits),
        suite.own_world("sigterm_ends_the_process_while_thirty_wait", sigterm),
        suite.alone("who_is_suspended_in_the_queue_gives_up_its_place", place_given_up),
    ]
}

/// Thirty credentials with a client Secret each.
struct Thirty {
    tenant: Tenant,
    silent: SilentHost,
    names: Vec<String>,
}

impl Thirty {
    /// Each has a token of the real server.
    async fn start(world: &Arc<World>) -> anyhow::Result<Self> {
        let tenant = Tenant::new(world, LIFETIME).await?;
        let silent = SilentHost::start().await?;
        let names: Vec<String> = (0..30).map(|number| format!("c{number:02}")).collect();
        let hosts = format!("{},{}", world.server.host(), silent.host());
        for name in &names {
            let metadata = json!({"name": name, "annotations": {ALLOWED_TOKEN_HOSTS: hosts}});
            let data =
                json!({"client-id": tenant.client_id, "client-secret": tenant.client_secret});
            tenant.apply_secret(json!({"metadata": metadata, "stringData": data})).await?;
        }
        let thirty = Self { tenant, silent, names };
        try_join_all(thirty.names.iter().map(|name| thirty.tenant.apply(name, spec(name)))).await?;
        try_join_all(thirty.names.iter().map(|name| thirty.tenant.wait_ready(name))).await?;
        Ok(thirty)
    }

    /// From now on they ask the silent host.
    async fn turn_to_the_silent_host(&self) -> Outcome {
        let edit = json!({"spec": {"tokenURL": format!("https://{}/token", self.silent.host())}});
        try_join_all(self.names.iter().map(|name| self.tenant.merge(name, edit.clone()))).await?;
        wait_for("every slot of the silent host to be taken", SOON, async || {
            let open = self.silent.connections();
            ensure!(open >= SLOTS, "{open} connections were made");
            Ok(())
        })
        .await
    }

    /// Waits until the status of each of `names` tells something that has been so since the moment
    /// that `look` returns; prints how much later it was told, and holds that against the promise.
    async fn told(
        &self,
        what: &'static str,
        names: &[String],
        look: impl Fn(&OAuthClientCredentialStatus) -> Option<Timestamp>,
    ) -> Outcome {
        let seen = Mutex::new(BTreeMap::new());
        wait_for(what, LIFETIME + TOLD_WITHIN * 4, async || {
            let all = self.tenant.credentials().list(&ListParams::default()).await?;
            let now = Timestamp::now();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            for credential in all.into_iter().filter(|one| names.contains(&one.name_any())) {
                let name = credential.name_any();
                let status = credential.status.unwrap_or_default();
                let fresh = status.observed_generation == credential.metadata.generation;
                if let Some(since) = look(&status).filter(|_| fresh) {
                    seen.entry(name).or_insert_with(|| span(since, now));
                }
            }
            let missing: Vec<_> = names.iter().filter(|name| !seen.contains_key(*name)).collect();
            ensure!(missing.is_empty(), "not seen of {missing:?}");
            Ok(())
        })
        .await?;
        let mut figures = Figures::of(what);
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        for late in seen.into_values() {
            figures.add(late);
        }
        figures.print();
        ensure!(figures.max() < TOLD_WITHIN, "{what} after {:?}", figures.max());
        Ok(())
    }

    async fn expiries_are_told(&self) -> Outcome {
        self.told("an expired token is told", &self.names, |status| {
            let expired = has(status, "Ready", "False", "TokenExpired");
            status.token.as_ref().filter(|_| expired).map(|token| token.expiration_time.0)
        })
        .await
    }

    async fn outdated_tokens_are_told(&self) -> Outcome {
        let edited_at = Timestamp::now();
        self.told("an outdated token is told", &self.names, |status| {
            let told = |reason| has(status, "Ready", "False", reason);
            (told("TokenOutdated") || told("TokenExpired")).then_some(edited_at)
        })
        .await
    }

    async fn missing_client_secrets_are_told(&self, names: &[String]) -> Outcome {
        let deleted_at = Timestamp::now();
        try_join_all(names.iter().map(|name| self.tenant.delete_secret(name))).await?;
        self.told("a missing client Secret is told", names, |status| {
            has(status, "ResolvedRefs", "False", "CredentialsNotFound").then_some(deleted_at)
        })
        .await
    }

    async fn suspensions_are_told(&self, names: &[String]) -> Outcome {
        let suspended_at = Timestamp::now();
        let suspend = json!({"spec": {"suspend": true}});
        try_join_all(names.iter().map(|name| self.tenant.merge(name, suspend.clone()))).await?;
        self.told("a suspension is told", names, |status| {
            let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
            ready.filter(|ready| ready.message.contains("Suspended")).map(|_| suspended_at)
        })
        .await
    }

    /// Those that are neither suspended nor miss anything: two rounds of eight are enough for them.
    async fn timeouts_are_told(&self, names: &[String]) -> Outcome {
        let turned_at = Timestamp::now();
        self.told("the silence is told", names, |status| {
            let told = has(status, "RequestSucceeded", "False", "EndpointUnreachable");
            told.then_some(turned_at)
        })
        .await
    }
}

/// The usual spec with a client Secret of the credential's own.
fn spec(name: &str) -> Value {
    let target = format!("{name}-token");
    json!({"credentialsSecretRef": {"name": name}, "target": {"name": target}})
}

fn has(status: &OAuthClientCredentialStatus, kind: &str, value: &str, reason: &str) -> bool {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind);
    found.is_some_and(|found| found.status == value && found.reason == reason)
}

async fn nobody_waits(world: Arc<World>) -> Outcome {
    let other = Tenant::with_client_secret(&world, HOUR).await?;
    let without = first_tokens(&other, "before", "a first token without the silent host").await?;
    let thirty = Thirty::start(&world).await?;
    thirty.turn_to_the_silent_host().await?;
    // Each kind is among those in flight and among those in the queue.
    let every_third =
        |first| thirty.names.iter().skip(first).step_by(3).cloned().collect::<Vec<_>>();
    let (missing, suspended, rest) = (every_third(0), every_third(1), every_third(2));
    let (beside, ..) = tokio::try_join!(
        first_tokens(&other, "beside", "a first token beside the silent host"),
        thirty.outdated_tokens_are_told(),
        thirty.expiries_are_told(),
        thirty.missing_client_secrets_are_told(&missing),
        thirty.suspensions_are_told(&suspended),
        thirty.timeouts_are_told(&rest),
    )?;
    let bound = without.median() * 4 + Duration::from_secs(1);
    ensure!(beside.max() < bound, "{:?} beside it, {:?} without", beside.max(), without.max());
    let most = thirty.silent.most_at_once();
    ensure!(most == SLOTS, "{most} connections at once to the silent host");
    Ok(())
}

/// How long it takes from a credential to its token, one after the other.
async fn first_tokens(tenant: &Tenant, name: &str, what: &'static str) -> anyhow::Result<Figures> {
    let mut figures = Figures::of(what);
    for number in 0..7 {
        let name = format!("{name}-{number}");
        let applied_at = Instant::now();
        tenant.apply(&name, json!({})).await?;
        tenant.wait_ready(&name).await?;
        figures.add(applied_at.elapsed());
    }
    figures.print();
    Ok(figures)
}

async fn sigterm(world: Arc<World>) -> Outcome {
    let thirty = Thirty::start(&world).await?;
    thirty.turn_to_the_silent_host().await?;
    let operator = world.take_operator()?;
    let ended = operator.terminate(Duration::from_secs(40)).await?;
    let mut figures = Figures::of("SIGTERM ends the process while thirty wait");
    figures.add(ended.took);
    figures.print();
    ensure!(ended.status.code() == Some(0), "it ended with {}", ended.status);
    ensure!(ended.took < Duration::from_secs(10), "it took {:?}", ended.took);
    let made = thirty.silent.connections();
    ensure!(made == SLOTS, "{made} connections: some were made after the signal");
    let log = operator.output();
    log.lines().find(|line| line.contains("stopped")).context("it says that it stopped")?;
    Ok(())
}

/// One slot: `first` has it, `second` is next and suspended, `third` comes after it.
async fn place_given_up() -> Outcome {
    let world = Arc::new(World::start(&["--endpoint-concurrency=1"]).await?);
    let outcome = place_given_up_in(&world).await;
    outcome.inspect_err(|_| world.keep_logs())
}

async fn place_given_up_in(world: &Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(world, HOUR).await?;
    world.server.hold(&tenant.client_id).await?;
    tenant.apply("first", json!({"request": {"timeout": "30s"}})).await?;
    tenant.wait_held().await?;
    for name in ["second", "third"] {
        tenant.apply(name, json!({})).await?;
        tenant.wait_condition(name, "Ready", "Unknown", "Issuing").await?;
    }
    tenant.merge("second", json!({"spec": {"suspend": true}})).await?;
    tenant.wait_condition("second", "Ready", "False", "Suspended").await?;
    world.server.release(&tenant.client_id).await?;
    tenant.wait_ready("first").await?;
    let free_since = Instant::now();
    tenant.wait_ready("third").await?;
    let mut figures = Figures::of("the next one after a suspended one gets its token");
    figures.add(free_since.elapsed());
    figures.print();
    ensure!(figures.max() < Duration::from_secs(3), "it took {:?}", figures.max());
    ensure!(tenant.token_requests().await? == 2, "no request of the suspended one");
    Ok(())
}
