//! Two credentials with one target: one writes, the other waits without a token request.
//!
//! **Invariant:** at no moment do both hold the Secret.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use kube::ResourceExt;
use kube::api::PostParams;
use libtest_mimic::Trial;
use oauthcc_harness::wait::{holds_for, wait_for};
use serde_json::json;

use crate::tenant::{ALL_GOOD, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("the_older_of_two_credentials_keeps_the_target_until_it_goes", older_keeps_it),
        suite
            .shared("the_older_of_two_credentials_gets_the_target_that_neither_has", older_gets_it),
        suite.shared("a_secret_that_is_handed_over_outlives_a_rename", handed_over),
    ]
}

fn target() -> serde_json::Value {
    json!({"target": {"name": "shared"}})
}

/// The UID that a Secret says it belongs to.
async fn owner(tenant: &Tenant) -> anyhow::Result<Option<String>> {
    let secret = tenant.secrets().get_opt("shared").await?;
    Ok(secret.and_then(|secret| secret.annotations().get("oauthcc.dev/owner-uid").cloned()))
}

/// A garbage collector learns of a new kind within half a minute, and is quick from then on.
async fn garbage_collector_knows_credentials(tenant: &Tenant) -> Outcome {
    tenant.apply("probe", json!({})).await?;
    tenant.wait_ready("probe").await?;
    tenant.delete("probe").await?;
    wait_for("the Secret of a deleted credential to be collected", MINUTE, async || {
        let left = tenant.secrets().get_opt("probe").await?;
        ensure!(left.is_none(), "it is still there");
        Ok(())
    })
    .await
}

async fn older_keeps_it(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    garbage_collector_knows_credentials(&tenant).await?;
    tenant.apply("older", target()).await?;
    tenant.wait_ready("older").await?;
    tenant.expect_events("older", &["TokenIssued"]).await?;
    let older = tenant.get("older").await?.uid();
    let before = tenant.secrets().get("shared").await?;

    tenant.apply("younger", target()).await?;
    let ready = tenant.wait_condition("younger", "Ready", "False", "TargetConflict").await?;
    ensure!(ready.message.contains("older"), "it names its rival: {:?}", ready.message);
    tenant.wait_condition("younger", "SecretSynced", "False", "TargetConflict").await?;
    tenant.wait_condition("younger", "Reconciling", "True", "Retrying").await?;
    tenant.expect_events("younger", &["SecretNotOwned"]).await?;
    holds_for("the older one keeps the Secret", Duration::from_secs(2), async || {
        ensure!(tenant.token_requests().await? == 2, "the younger one asked");
        ensure!(owner(&tenant).await? == older, "the Secret has another owner");
        Ok(())
    })
    .await?;
    let after = tenant.secrets().get("shared").await?;
    ensure!(after.resource_version() == before.resource_version(), "the Secret was written");
    tenant.wait_ready("older").await?;

    tenant.delete("older").await?;
    tenant.wait_ready("younger").await?;
    let younger = tenant.get("younger").await?.uid();
    ensure!(owner(&tenant).await? == younger, "the younger one has taken over");
    let taken = tenant.secrets().get("shared").await?;
    ensure!(taken.uid() != before.uid(), "the first Secret was collected and another one created");
    let revision = taken.annotations().get("oauthcc.dev/revision").cloned();
    ensure!(revision.as_deref() == Some("1"), "revision {revision:?}");
    ensure!(tenant.token_requests().await? == 3, "one request of each, and of the probe");
    // The Secret of the deleted credential was foreign for a moment, which is not worth an event.
    tenant.expect_events("younger", &["SecretNotOwned", "TokenIssued"]).await
}

/// Both are there before the client Secret is, so that neither has a Secret to keep.
async fn older_gets_it(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    tenant.apply("older", target()).await?;
    tenant.wait_condition("older", "Ready", "False", "CredentialsNotFound").await?;
    let created = tenant.get("older").await?.metadata.creation_timestamp.context("created")?;
    // Times of creation are whole seconds: within one, the UID would decide.
    wait_for("the next second of the API server", SOON, async || {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let mut probe = tenant.get("older").await?;
        probe.metadata = kube::core::ObjectMeta {
            name: Some("probe".to_owned()),
            ..kube::core::ObjectMeta::default()
        };
        let probe = tenant.credentials().create(&dry_run, &probe).await?;
        let now = probe.metadata.creation_timestamp.context("created")?;
        ensure!(now > created, "it is still {}", now.0);
        Ok(())
    })
    .await?;
    tenant.apply("younger", target()).await?;
    tenant.wait_condition("younger", "Ready", "False", "TargetConflict").await?;
    tenant.apply_client_secret(&tenant.client_secret).await?;
    tenant.wait_ready("older").await?;
    let older = tenant.get("older").await?.uid();
    ensure!(owner(&tenant).await? == older, "the older one has the Secret");
    tenant.wait_condition("younger", "Ready", "False", "TargetConflict").await?;
    ensure!(tenant.token_requests().await? == 1, "one request, of the older one");
    Ok(())
}

/// The heir can't take it over yet, and the former owner does what its message says.
async fn handed_over(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("former", target()).await?;
    tenant.wait_ready("former").await?;
    tenant.expect_events("former", &["TokenIssued"]).await?;
    let token = tenant.token("shared").await?;
    let mut heir = target();
    heir["suspend"] = json!(true);
    tenant.apply("heir", heir).await?;
    tenant.wait_condition("heir", "SecretSynced", "False", "TargetConflict").await?;
    let mark = json!({"metadata": {"annotations": {"oauthcc.dev/adopt-by": "heir"}}});
    tenant.merge_secret("shared", mark).await?;
    let told = tenant.wait_condition("former", "SecretSynced", "False", "TargetConflict").await?;
    ensure!(told.message.contains("another spec.target.name"), "{}", told.message);
    let before = tenant.secrets().get("shared").await?;
    tenant.merge("former", json!({"spec": {"target": {"name": "own"}}})).await?;
    tenant.wait_conditions("former", ALL_GOOD).await?;
    ensure!(tenant.token("own").await? != token, "the token went with its Secret");
    ensure!(tenant.token_requests().await? == 2, "one token request more");
    holds_for("what was handed over stays as it is", Duration::from_secs(2), async || {
        ensure!(tenant.secrets().get("shared").await? == before, "it was touched");
        Ok(())
    })
    .await?;
    tenant.merge("heir", json!({"spec": {"suspend": false}})).await?;
    tenant.wait_conditions("heir", ALL_GOOD).await?;
    let heir = tenant.get("heir").await?.uid();
    ensure!(owner(&tenant).await? == heir, "the heir has it");
    Ok(())
}
