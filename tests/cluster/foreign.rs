//! A Secret of somebody else at the target's name: it is told of and left alone, whenever it
//! appears, and a token that was granted by then waits for the name to be free.
//!
//! **Invariant:** the whole object is compared, `resourceVersion` and `managedFields` included.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::PostParams;
use libtest_mimic::Trial;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::RENEW_REQUESTED_AT;
use serde_json::{Value, json};

use crate::tenant::{ALL_GOOD, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// For how long nothing may follow.
const A_WHILE: Duration = Duration::from_secs(2);
/// The conditions when the name is taken and nothing was asked for.
const TAKEN: &str = "Ready=False/SecretNotOwned ResolvedRefs=Unknown/Issuing \
    RequestSucceeded=Unknown/Issuing SecretSynced=False/SecretNotOwned Reconciling=True/Retrying";
/// The conditions when the name was taken while a token was being granted.
const TAKEN_MEANWHILE: &str = "Ready=False/SecretNotOwned ResolvedRefs=True/ResolvedRefs \
    RequestSucceeded=True/RequestSucceeded SecretSynced=False/SecretNotOwned \
    Reconciling=True/Retrying";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("a_secret_of_somebody_else_is_in_the_way_until_it_goes", there_before),
        suite.shared(
            "a_secret_that_appears_before_the_first_write_is_left_alone",
            before_first_write,
        ),
        suite
            .shared("a_secret_that_replaces_ours_during_a_grant_is_left_alone", replaced_in_flight),
    ]
}

/// Creates a Secret as somebody with kubectl would.
async fn create(tenant: &Tenant, name: &str, metadata: Value) -> anyhow::Result<Secret> {
    let mut secret = json!({
        "metadata": metadata,
        "data": {"token": "dGhlaXJz", "unrelated": "dmFsdWU="},
    });
    secret["metadata"]["name"] = json!(name);
    let secret: Secret = serde_json::from_value(secret)?;
    Ok(tenant.secrets().create(&PostParams::default(), &secret).await?)
}

/// Nothing of the Secret has changed, and no token request was made since there were `requests`.
async fn untouched(tenant: &Tenant, before: &Secret, requests: usize) -> Outcome {
    holds_for("the Secret of somebody else is left alone", A_WHILE, async || {
        let now = tenant.secrets().get(&before.name_any()).await?;
        // Neither side is printed: after an overwrite one of them holds a token.
        ensure!(now == *before, "version {:?} was written", now.resource_version());
        let made = tenant.token_requests().await?;
        ensure!(made == requests, "{made} token requests");
        Ok(())
    })
    .await
}

async fn wait_held(tenant: &Tenant) -> Outcome {
    wait_for("the answer to be held back", SOON, async || {
        let held = tenant.world.server.held(&tenant.client_id).await?;
        ensure!(held == 1, "{held} are");
        Ok(())
    })
    .await
}

/// What else such a Secret may look like is in `shapes`; here its name becomes free.
async fn there_before(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let secret = create(&tenant, "crm", json!({})).await?;
    tenant.apply("crm", json!({})).await?;
    let status = tenant.wait_conditions("crm", TAKEN).await?;
    let ready = status.conditions.first().context("Ready")?;
    let says = "Secret crm exists and is not managed by this credential";
    ensure!(ready.message.contains(says), "{:?}", ready.message);
    ensure!(status.next_attempt_time.is_none(), "it waits for more than time");
    tenant.expect_events("crm", &["SecretNotOwned"]).await?;
    untouched(&tenant, &secret, 0).await?;
    tenant.delete_secret("crm").await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    ensure!(tenant.token_requests().await? == 1, "one token request");
    tenant.expect_events("crm", &["SecretNotOwned", "TokenIssued"]).await
}

/// Whether the operator has been told of the Secret when the token arrives decides how it finds out:
/// by what it knows, or by the API server's refusal. Both are tried.
async fn before_first_write(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    for (number, (name, told)) in [("told", true), ("untold", false)].into_iter().enumerate() {
        world.server.hold(&tenant.client_id).await?;
        tenant.apply(name, json!({})).await?;
        wait_held(&tenant).await?;
        let secret = create(&tenant, name, json!({"labels": {"team": "sales"}})).await?;
        if told {
            untouched(&tenant, &secret, number + 1).await?;
        }
        world.server.release(&tenant.client_id).await?;
        tenant.wait_conditions(name, TAKEN_MEANWHILE).await?;
        tenant.expect_events(name, &["SecretNotOwned"]).await?;
        untouched(&tenant, &secret, number + 1).await?;
        held_token_is_written(&tenant, name, number + 1).await?;
        tenant.expect_events(name, &["SecretNotOwned", "TokenIssued"]).await?;
    }
    Ok(())
}

async fn replaced_in_flight(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    world.server.hold(&tenant.client_id).await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "now").await?;
    wait_held(&tenant).await?;
    tenant.delete_secret("crm").await?;
    let secret = create(&tenant, "crm", json!({})).await?;
    untouched(&tenant, &secret, 2).await?;
    world.server.release(&tenant.client_id).await?;
    tenant.wait_conditions("crm", TAKEN_MEANWHILE).await?;
    untouched(&tenant, &secret, 2).await?;
    held_token_is_written(&tenant, "crm", 2).await?;
    let handled = tenant.status("crm").await?.last_handled_renew_request;
    ensure!(handled.as_deref() == Some("now"), "{handled:?} was handled");
    Ok(())
}

/// The Secret of somebody else goes: the token that was granted last is written, and none asked for.
async fn held_token_is_written(tenant: &Tenant, name: &str, requests: usize) -> Outcome {
    tenant.delete_secret(name).await?;
    tenant.wait_conditions(name, ALL_GOOD).await?;
    let token = tenant.token(name).await?;
    ensure!(tenant.world.server.introspect(&token).await?.active, "{name}: a live token");
    let made = tenant.token_requests().await?;
    ensure!(made == requests, "{name}: {made} token requests");
    let issued = tenant.world.server.issued(&tenant.client_id).await?.len();
    ensure!(issued == requests, "{name}: {issued} tokens were issued");
    Ok(())
}
