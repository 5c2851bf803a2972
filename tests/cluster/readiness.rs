//! The status as tools read it, row by row of one table: what is published, whether `kubectl wait`
//! returns, and what kstatus (Flux, Helm 4) says.
//!
//! **Invariant:** a real cause brings each credential into its row, both tools see the conditions that
//! the row names, and kstatus judges every version that was stored on the way there.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use libtest_mimic::Trial;
use oauthcc_harness::authorization_server::Failure;
use oauthcc_harness::kstatus::Kstatus;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{OAuthClientCredential, RENEW_REQUESTED_AT};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::tenant::{ALL_GOOD, CLIENT_SECRET, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
/// The longest watch that a server gives without ending it by itself.
const LONGEST_WATCH_SECONDS: u32 = 290;
/// The one credential of each namespace.
const NAME: &str = "crm";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![suite.alone("kubectl_wait_and_kstatus_read_every_row_of_the_status_table", every_row)]
}

/// What `kubectl wait --for=condition=Ready` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// It returns at once.
    Met,
    /// It waits on.
    Pending,
}

use Wait::{Met, Pending};

const IN_PROGRESS: &str = "InProgress";
const CURRENT: &str = "Current";
const FAILED: &str = "Failed";

/// What is published about one that never had a token: the reason, what stands in `ResolvedRefs` and
/// `RequestSucceeded`, and the end.
fn without_token(ready: &str, resolved: &str, request: &str, end: &str) -> String {
    let conditions = format!(
        "Ready={ready} ResolvedRefs={resolved} RequestSucceeded={request} \
         SecretSynced=Unknown/Issuing {end}"
    );
    conditions.trim_end().to_owned()
}

async fn every_row() -> Outcome {
    let world = Arc::new(World::without_operator(&[]).await?);
    // On the heap: so many rows at once are too much for a stack.
    Box::pin(all_rows(&world)).await.inspect_err(|_| world.keep_logs())
}

async fn all_rows(world: &Arc<World>) -> Outcome {
    let kstatus = Kstatus::build().await?;
    let start = async |lifetime| Scene::start(world, &kstatus, lifetime).await;
    let untouched = start(HOUR).await?;
    nobody_has_looked(&untouched).await?;
    world.start_operator().await?;
    tokio::try_join!(
        async { first_grant(&untouched).await.context("the first grant at once") },
        async { slow_first_grant(&start(HOUR).await?).await.context("a slow first grant") },
        async { renewal_in_flight(&start(HALF_MINUTE).await?).await.context("a renewal") },
        async { failing_to_the_end(&start(HALF_MINUTE).await?).await.context("failing renewals") },
        async { edited(&start(HOUR).await?).await.context("an edit that is refused") },
        async { transient(&start(HOUR).await?).await.context("an endpoint that is ill") },
        async { no_client_secret(&start(HOUR).await?).await.context("no client Secret") },
        async { lost_client_secret(&start(HOUR).await?).await.context("a lost client Secret") },
        async { terminal(&start(HOUR).await?).await.context("a terminal error") },
        async { suspended(&start(HALF_MINUTE).await?).await.context("suspended with a token") },
        async { never_resumed(&start(HOUR).await?).await.context("suspended without a token") },
    )?;
    Ok(())
}

/// Created, the operator absent.
async fn nobody_has_looked(scene: &Scene) -> Outcome {
    scene.tenant.apply(NAME, json!({})).await?;
    let object = scene.object().await?;
    let status = object.get("status");
    ensure!(status == Some(&json!({"observedGeneration": -1})), "published: {status:?}");
    scene.read_as(Pending, IN_PROGRESS).await
}

/// The first grant within 2 s, after which the token is valid.
async fn first_grant(scene: &Scene) -> Outcome {
    scene.row(ALL_GOOD, Met, CURRENT).await?;
    scene.told(&[IN_PROGRESS, CURRENT]).await
}

/// The first issue runs longer.
async fn slow_first_grant(scene: &Scene) -> Outcome {
    let tenant = &scene.tenant;
    tenant.world.server.hold(&tenant.client_id).await?;
    tenant.apply(NAME, json!({"request": {"timeout": "30s"}})).await?;
    let unknown = "Unknown/Issuing";
    let issuing = without_token(unknown, unknown, unknown, "Reconciling=True/Issuing");
    scene.row(&issuing, Pending, IN_PROGRESS).await?;
    scene.returns_when(tenant.world.server.release(&tenant.client_id)).await?;
    scene.row(ALL_GOOD, Met, CURRENT).await?;
    scene.told(&[IN_PROGRESS, CURRENT]).await
}

/// Token valid, while a routine renewal is in flight.
async fn renewal_in_flight(scene: &Scene) -> Outcome {
    let (tenant, server) = (&scene.tenant, &scene.tenant.world.server);
    tenant.apply(NAME, json!({"request": {"timeout": "30s"}})).await?;
    tenant.wait_conditions(NAME, ALL_GOOD).await?;
    server.hold(&tenant.client_id).await?;
    tenant.wait_held().await?;
    scene.row(ALL_GOOD, Met, CURRENT).await?;
    ensure!(server.held(&tenant.client_id).await? == 1, "the renewal is no longer in flight");
    server.release(&tenant.client_id).await?;
    tenant.wait_revision(NAME, 2).await?;
    scene.row(ALL_GOOD, Met, CURRENT).await?;
    scene.told(&[IN_PROGRESS, CURRENT]).await
}

/// The renewal fails while the token is valid, and goes on failing after it has expired.
async fn failing_to_the_end(scene: &Scene) -> Outcome {
    let tenant = &scene.tenant;
    tenant.apply(NAME, json!({})).await?;
    tenant.wait_conditions(NAME, ALL_GOOD).await?;
    tenant.world.server.fail_with(&tenant.client_id, &Failure::new(500, "{}")).await?;
    let failing = ALL_GOOD.replace("True/RequestSucceeded", "False/ServerError");
    scene.row(&failing, Met, CURRENT).await?;
    let expired = failing.replace("True/TokenValid", "False/TokenExpired");
    let expired = format!("{expired} Reconciling=True/Retrying");
    scene.row(&expired, Pending, IN_PROGRESS).await?;
    scene.told(&[IN_PROGRESS, CURRENT, IN_PROGRESS]).await
}

/// The spec is edited while the token of the older one is valid: first nobody knows better, then the
/// endpoint refuses for good.
async fn edited(scene: &Scene) -> Outcome {
    let tenant = &scene.tenant;
    tenant.apply(NAME, json!({"request": {"timeout": "30s"}})).await?;
    scene.row(ALL_GOOD, Met, CURRENT).await?;
    tenant.world.server.hold(&tenant.client_id).await?;
    tenant.merge(NAME, json!({"spec": {"scopes": ["payments.write"]}})).await?;
    let outdated = ALL_GOOD.replace("True/TokenValid", "False/TokenOutdated");
    let issuing = format!("{outdated} Reconciling=True/Issuing");
    scene.row(&issuing, Pending, IN_PROGRESS).await?;
    tenant.world.server.release(&tenant.client_id).await?;
    let refused = outdated.replace("True/RequestSucceeded", "False/InvalidScope");
    scene.row(&format!("{refused} Stalled=True/InvalidScope"), Pending, FAILED).await?;
    scene.told(&[IN_PROGRESS, CURRENT, IN_PROGRESS, FAILED]).await
}

/// Never had a token, and the error is a transient one.
async fn transient(scene: &Scene) -> Outcome {
    let (tenant, server) = (&scene.tenant, &scene.tenant.world.server);
    server.fail_with(&tenant.client_id, &Failure::new(500, "{}")).await?;
    tenant.apply(NAME, json!({})).await?;
    let (refs, failed) = ("True/ResolvedRefs", "False/ServerError");
    let retrying = without_token(failed, refs, failed, "Reconciling=True/Retrying");
    scene.row(&retrying, Pending, IN_PROGRESS).await?;
    server.clear_failure(&tenant.client_id).await?;
    scene.returns_when(tenant.annotate(NAME, RENEW_REQUESTED_AT, "now")).await?;
    scene.row(ALL_GOOD, Met, CURRENT).await?;
    scene.told(&[IN_PROGRESS, CURRENT]).await
}

/// The client Secret is missing, and there is no valid token.
async fn no_client_secret(scene: &Scene) -> Outcome {
    let tenant = &scene.tenant;
    tenant.delete_secret(CLIENT_SECRET).await?;
    tenant.apply(NAME, json!({})).await?;
    let missing = "False/CredentialsNotFound";
    let blocked = without_token(missing, missing, "Unknown/Issuing", "Reconciling=True/Retrying");
    scene.row(&blocked, Pending, IN_PROGRESS).await?;
    scene.returns_when(tenant.apply_client_secret(&tenant.client_secret)).await?;
    scene.row(ALL_GOOD, Met, CURRENT).await?;
    scene.told(&[IN_PROGRESS, CURRENT]).await
}

/// The client Secret is missing, and the token is valid.
async fn lost_client_secret(scene: &Scene) -> Outcome {
    let tenant = &scene.tenant;
    tenant.apply(NAME, json!({})).await?;
    tenant.wait_conditions(NAME, ALL_GOOD).await?;
    tenant.delete_secret(CLIENT_SECRET).await?;
    let lost = ALL_GOOD.replace("True/ResolvedRefs", "False/CredentialsNotFound");
    scene.row(&lost, Met, CURRENT).await?;
    scene.told(&[IN_PROGRESS, CURRENT]).await
}

/// A terminal error, and no valid token: a wait for `Ready` times out, and one for `Stalled` tells.
async fn terminal(scene: &Scene) -> Outcome {
    let tenant = &scene.tenant;
    tenant.apply(NAME, json!({"scopes": ["payments.write"]})).await?;
    let (refs, refused) = ("True/ResolvedRefs", "False/InvalidScope");
    let stalled = without_token(refused, refs, refused, "Stalled=True/InvalidScope");
    scene.row(&stalled, Pending, FAILED).await?;
    let waited = scene.kubectl_wait("condition=Stalled", "1s").await?;
    ensure!(waited == Met, "kubectl wait --for=condition=Stalled waits on");
    scene.told(&[IN_PROGRESS, FAILED]).await?;
    let corrected = json!({"spec": {"scopes": ["orders.read"]}});
    scene.returns_when(tenant.merge(NAME, corrected)).await?;
    scene.row(ALL_GOOD, Met, CURRENT).await?;
    scene.told(&[IN_PROGRESS, FAILED, IN_PROGRESS, CURRENT]).await
}

/// Suspended with a token: it is told by that token, until it expires.
async fn suspended(scene: &Scene) -> Outcome {
    let tenant = &scene.tenant;
    tenant.apply(NAME, json!({})).await?;
    tenant.wait_conditions(NAME, ALL_GOOD).await?;
    tenant.merge(NAME, json!({"spec": {"suspend": true}})).await?;
    scene.row(ALL_GOOD, Met, CURRENT).await?;
    scene.ready_says("Suspended").await?;
    let expired = ALL_GOOD.replace("True/TokenValid", "False/TokenExpired");
    scene.row(&expired, Pending, IN_PROGRESS).await?;
    scene.ready_says("Suspended").await?;
    scene.told(&[IN_PROGRESS, CURRENT, IN_PROGRESS, CURRENT, IN_PROGRESS]).await
}

/// Suspended from the start, without a token, and then resumed.
async fn never_resumed(scene: &Scene) -> Outcome {
    let tenant = &scene.tenant;
    tenant.apply(NAME, json!({"suspend": true})).await?;
    let unknown = "Unknown/Issuing";
    let suspended = without_token("False/Suspended", unknown, unknown, "");
    scene.row(&suspended, Pending, IN_PROGRESS).await?;
    scene.ready_says("Suspended").await?;
    ensure!(tenant.token_requests().await? == 0, "it was asked for while suspended");
    let resumed = json!({"spec": {"suspend": false}});
    scene.returns_when(tenant.merge(NAME, resumed)).await?;
    scene.told(&[IN_PROGRESS, CURRENT]).await
}

/// One credential in a namespace of its own, both tools, and every version that was stored.
struct Scene {
    tenant: Tenant,
    kstatus: Kstatus,
    versions: Arc<Mutex<Vec<Value>>>,
    watching: JoinHandle<anyhow::Result<()>>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// The credentials of a namespace as the server gives them, fields that this crate does not know included.
fn untyped(tenant: &Tenant) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<OAuthClientCredential>(&());
    Api::namespaced_with(tenant.world.plane.admin_client(), &tenant.namespace, &resource)
}

impl Scene {
    /// A namespace with a client Secret, and a watch on its credentials.
    async fn start(
        world: &Arc<World>,
        kstatus: &Kstatus,
        lifetime: Duration,
    ) -> anyhow::Result<Self> {
        let tenant = Tenant::with_client_secret(world, lifetime).await?;
        let listed = untyped(&tenant).list(&ListParams::default()).await?;
        let version = listed.metadata.resource_version.context("a list has a version")?;
        let params = WatchParams::default().timeout(LONGEST_WATCH_SECONDS);
        let mut events = untyped(&tenant).watch(&params, &version).await?.boxed();
        let versions = Arc::<Mutex<Vec<Value>>>::default();
        let stored = Arc::clone(&versions);
        let watching = tokio::spawn(async move {
            while let Some(event) = events.try_next().await? {
                let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else {
                    bail!("the watch told of {event:?}");
                };
                let object = serde_json::to_value(object)?;
                stored.lock().unwrap_or_else(PoisonError::into_inner).push(object);
            }
            bail!("the watch ended")
        });
        Ok(Self { tenant, kstatus: kstatus.clone(), versions, watching })
    }

    /// The credential as it is stored.
    async fn object(&self) -> anyhow::Result<Value> {
        Ok(serde_json::to_value(untyped(&self.tenant).get(NAME).await?)?)
    }

    /// Waits until exactly these conditions are published, and holds both tools against the row.
    async fn row(&self, published: &str, wait: Wait, kstatus: &str) -> Outcome {
        self.tenant.wait_conditions(NAME, published).await?;
        self.read_as(wait, kstatus).await.with_context(|| format!("published: {published}"))?;
        // What the tools have read was this row to the end.
        self.tenant.wait_conditions(NAME, published).await.map(drop)
    }

    /// What the tools make of the credential as it is.
    async fn read_as(&self, wait: Wait, kstatus: &str) -> Outcome {
        let told = self.kstatus.judge(&[self.object().await?]).await?;
        let verdict = told.first().context("a verdict")?;
        ensure!(verdict.status == kstatus, "kstatus says {verdict:?}, not {kstatus}");
        let waited = self.kubectl_wait("condition=Ready", "1s").await?;
        ensure!(waited == wait, "kubectl wait is {waited:?}, not {wait:?}");
        Ok(())
    }

    async fn kubectl_wait(&self, condition: &str, timeout: &str) -> anyhow::Result<Wait> {
        let (condition, timeout) = (format!("--for={condition}"), format!("--timeout={timeout}"));
        let object = format!("occ/{NAME}");
        let namespace = &self.tenant.namespace;
        let arguments = ["wait", &condition, &timeout, &object, "-n", namespace];
        let output = self.tenant.world.plane.kubectl_output(&arguments, "").await?;
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => Ok(Met),
            Some(1) if said.contains("timed out waiting for the condition") => Ok(Pending),
            _ => bail!("kubectl wait ended with {}: {said}", output.status),
        }
    }

    /// A `kubectl wait` beside `correction` returns.
    async fn returns_when(&self, correction: impl Future<Output = Outcome>) -> Outcome {
        let wait = self.kubectl_wait("condition=Ready", "60s");
        let (waited, corrected) = tokio::join!(wait, correction);
        corrected?;
        ensure!(waited? == Met, "kubectl wait waits on after the correction");
        Ok(())
    }

    /// What the condition Ready says.
    async fn ready_says(&self, word: &str) -> Outcome {
        let ready = self.tenant.condition(NAME, "Ready").await?.context("Ready")?;
        ensure!(ready.message.contains(word), "Ready says {:?}", ready.message);
        Ok(())
    }

    /// What kstatus says of every version so far, from the first one to the present one, repetitions
    /// left out.
    async fn told(&self, expected: &[&str]) -> Outcome {
        let now = self.object().await?;
        let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
        let versions = wait_for("the watch to tell of the present version", SOON, async || {
            ensure!(!self.watching.is_finished(), "the watch has ended");
            let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let there = versions.iter().any(|known| version(known) == version(&now));
            ensure!(there, "{} versions", versions.len());
            Ok(versions)
        })
        .await?;
        let verdicts = self.kstatus.judge(&versions).await?;
        let mut told: Vec<_> = verdicts.iter().map(|verdict| verdict.status.as_str()).collect();
        told.dedup();
        ensure!(told == expected, "kstatus says {told:?} in turn, not {expected:?}");
        Ok(())
    }
}
