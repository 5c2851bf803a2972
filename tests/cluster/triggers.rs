//! What asks for a token and what does not: edits of the spec, of metadata and of the client Secret,
//! the annotation that asks for one, suspension.
//!
//! **Invariant:** what must not ask is waited for until the operator has seen it, so a count of
//! zero is a decision and not an event that is still under way.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use libtest_mimic::Trial;
use oauthcc_harness::audit::Mark;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::{OAuthClientCredentialStatus, RENEW_REQUESTED_AT};
use serde_json::json;

use crate::tenant::{CLIENT_SECRET, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
/// For how long nothing may follow what was seen.
const A_WHILE: Duration = Duration::from_secs(2);

/// One token request with all that belongs to it.
const RENEWAL: [(&str, usize); 3] =
    [("get secrets", 1), ("patch secrets", 1), ("patch oauthclientcredentials/status", 1)];

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("metadata_of_a_credential_asks_for_nothing", credential_metadata),
        suite.shared("metadata_and_other_keys_of_a_client_secret_ask_for_nothing", other_keys),
        suite.shared("a_new_client_secret_asks_once", rotated_client_secret),
        suite.shared("a_renew_request_is_acted_on_once_per_value", renew_request),
        suite.shared("a_renew_request_waits_while_suspended", renew_while_suspended),
        suite.shared("a_suspended_token_expires_and_a_resumed_one_is_replaced", suspension),
        suite.shared("other_scopes_ask_once", other_scopes),
        suite.shared("another_timeout_asks_for_nothing", other_timeout),
        suite.shared("another_token_key_moves_the_token", other_token_key),
        suite.shared("another_rotation_moves_the_renewal", other_rotation),
    ]
}

/// A tenant with a token of an hour in Secret `crm`, all of whose first writes are done.
async fn settled(world: &Arc<World>) -> anyhow::Result<Tenant> {
    let tenant = Tenant::with_client_secret(world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_events("crm", &["TokenIssued"]).await?;
    ensure!(tenant.token_requests().await? == 1, "one token request");
    Ok(tenant)
}

async fn status(tenant: &Tenant) -> anyhow::Result<OAuthClientCredentialStatus> {
    tenant.get("crm").await?.status.context("a status")
}

/// Since when Ready has been what it is.
async fn ready_since(tenant: &Tenant) -> anyhow::Result<Time> {
    let ready = tenant.condition("crm", "Ready").await?.context("Ready")?;
    ensure!(ready.status == "True", "Ready is {}: {}", ready.status, ready.reason);
    Ok(ready.last_transition_time)
}

/// Waits until the calls since `mark` are exactly these, and nothing follows for a while.
async fn only(tenant: &Tenant, mark: Mark, expected: &[(&str, usize)]) -> Outcome {
    tenant.expect_calls(mark, expected).await?;
    let counted = tenant.world.calls(mark, &tenant.namespace).await?;
    holds_for("nothing else is called", A_WHILE, async || {
        let calls = tenant.world.calls(mark, &tenant.namespace).await?;
        ensure!(calls == counted, "{calls:?}");
        Ok(())
    })
    .await
}

/// Does something of which the operator is told, and waits until it has looked at `crm` since.
async fn seen_by_the_operator(tenant: &Tenant, edit: impl Future<Output = Outcome>) -> Outcome {
    let looks = || tenant.world.looks(&tenant.namespace, "crm");
    let before = looks();
    edit.await?;
    wait_for("the operator to look at the edited credential", SOON, async || looks() > before).await
}

async fn credential_metadata(world: Arc<World>) -> Outcome {
    let tenant = settled(&world).await?;
    let since = ready_since(&tenant).await?;
    let mark = tenant.mark().await?;
    for metadata in [
        json!({"labels": {"team": "sales"}}),
        json!({"annotations": {"example.com/owner": "sales"}}),
        json!({"labels": {"team": null}}),
    ] {
        seen_by_the_operator(&tenant, tenant.merge("crm", json!({"metadata": metadata}))).await?;
        only(&tenant, mark, &[]).await?;
    }
    ensure!(tenant.token_requests().await? == 1, "no token request");
    ensure!(ready_since(&tenant).await? == since, "Ready stayed True");
    Ok(())
}

/// Each costs a comparison: one GET of the client Secret, one of the managed one.
async fn other_keys(world: Arc<World>) -> Outcome {
    let tenant = settled(&world).await?;
    let since = ready_since(&tenant).await?;
    for change in [
        json!({"metadata": {"annotations": {"example.com/owner": "sales"}}}),
        json!({"metadata": {"labels": {"team": "sales"}}}),
        json!({"stringData": {"unrelated": "value"}}),
        json!({"data": {"unrelated": null}}),
    ] {
        let mark = tenant.mark().await?;
        tenant.merge_secret(CLIENT_SECRET, change).await?;
        only(&tenant, mark, &[("get secrets", 2)]).await?;
    }
    ensure!(tenant.token_requests().await? == 1, "no token request");
    ensure!(ready_since(&tenant).await? == since, "Ready stayed True");
    Ok(())
}

async fn rotated_client_secret(world: Arc<World>) -> Outcome {
    let tenant = settled(&world).await?;
    let since = ready_since(&tenant).await?;
    let first = tenant.token("crm").await?;
    let new = format!("{}-rotated", tenant.client_secret);
    world.server.set_secret(&tenant.client_id, &new).await?;
    let mark = tenant.mark().await?;
    tenant.apply_client_secret(&new).await?;
    tenant.wait_revision("crm", 2).await?;
    // The comparison reads both Secrets; the request reads the client Secret again.
    let [_, writes @ ..] = RENEWAL;
    only(&tenant, mark, &[&[("get secrets", 3)], writes.as_slice()].concat()).await?;
    ensure!(tenant.token_requests().await? == 2, "one token request more");
    let second = tenant.token("crm").await?;
    ensure!(second != first, "another token");
    ensure!(world.server.introspect(&second).await?.active, "which is alive");
    ensure!(ready_since(&tenant).await? == since, "Ready stayed True");
    tenant.expect_events("crm", &["TokenIssued"]).await
}

async fn renew_request(world: Arc<World>) -> Outcome {
    let tenant = settled(&world).await?;
    let since = ready_since(&tenant).await?;
    let mark = tenant.mark().await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "2026-01-01T00:00:00Z").await?;
    tenant.wait_revision("crm", 2).await?;
    let renewal = [RENEWAL.as_slice(), &[("create events", 1)]].concat();
    only(&tenant, mark, &renewal).await?;
    ensure!(tenant.token_requests().await? == 2, "one token request more");
    let handled = status(&tenant).await?.last_handled_renew_request;
    ensure!(handled.as_deref() == Some("2026-01-01T00:00:00Z"), "{handled:?} was handled");
    tenant.expect_events("crm", &["RenewRequested", "TokenIssued"]).await?;

    // The same value, written again and beside other metadata.
    let mark = tenant.mark().await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "2026-01-01T00:00:00Z").await?;
    let other = json!({"metadata": {"labels": {"team": "sales"}, "annotations": {
        RENEW_REQUESTED_AT: "2026-01-01T00:00:00Z"
    }}});
    seen_by_the_operator(&tenant, tenant.merge("crm", other)).await?;
    only(&tenant, mark, &[]).await?;
    ensure!(tenant.token_requests().await? == 2, "no token request for the same value");

    // Any other value is new, whatever it says.
    tenant.annotate("crm", RENEW_REQUESTED_AT, "again").await?;
    tenant.wait_revision("crm", 3).await?;
    // The second event is folded into the first.
    only(&tenant, mark, &[RENEWAL.as_slice(), &[("patch events", 1)]].concat()).await?;
    ensure!(tenant.token_requests().await? == 3, "one token request for the new value");
    ensure!(ready_since(&tenant).await? == since, "Ready stayed True");
    Ok(())
}

async fn renew_while_suspended(world: Arc<World>) -> Outcome {
    let tenant = settled(&world).await?;
    tenant.merge("crm", json!({"spec": {"suspend": true}})).await?;
    tenant.wait_ready("crm").await?;
    let mark = tenant.mark().await?;
    let edit = tenant.annotate("crm", RENEW_REQUESTED_AT, "now");
    seen_by_the_operator(&tenant, edit).await?;
    only(&tenant, mark, &[]).await?;
    ensure!(status(&tenant).await?.last_handled_renew_request.is_none(), "it waits");

    tenant.merge("crm", json!({"spec": {"suspend": false}})).await?;
    tenant.wait_revision("crm", 2).await?;
    only(&tenant, mark, &[RENEWAL.as_slice(), &[("create events", 1)]].concat()).await?;
    ensure!(tenant.token_requests().await? == 2, "one token request more");
    tenant.wait_ready("crm").await?;
    let handled = status(&tenant).await?.last_handled_renew_request;
    ensure!(handled.as_deref() == Some("now"), "{handled:?} was handled");
    tenant.expect_events("crm", &["RenewRequested", "TokenIssued"]).await
}

async fn suspension(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HALF_MINUTE).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_events("crm", &["ShortLivedToken", "TokenIssued"]).await?;
    let since = ready_since(&tenant).await?;
    let mark = tenant.mark().await?;
    tenant.merge("crm", json!({"spec": {"suspend": true}})).await?;
    let ready = tenant.wait_condition("crm", "Ready", "True", "TokenValid").await?;
    ensure!(ready.message.contains("Suspended"), "Ready says {:?}", ready.message);
    ensure!(ready.last_transition_time == since, "Ready stayed True");
    let told = status(&tenant).await?;
    ensure!(told.next_attempt_time.is_none(), "no next attempt: {:?}", told.next_attempt_time);

    let ready = tenant.wait_condition("crm", "Ready", "False", "TokenExpired").await?;
    ensure!(ready.message.contains("Suspended"), "Ready says {:?}", ready.message);
    let told = status(&tenant).await?;
    let kinds: Vec<_> = told.conditions.iter().map(|told| told.type_.as_str()).collect();
    ensure!(kinds == ["Ready", "ResolvedRefs", "RequestSucceeded", "SecretSynced"], "{kinds:?}");
    let expired = told.token.context("the token is told of")?.expiration_time;
    ensure!(ready.last_transition_time >= expired, "it is not told before it is so");
    tenant.expect_events("crm", &["ShortLivedToken", "TokenExpired", "TokenIssued"]).await?;
    let writes = [("patch oauthclientcredentials/status", 2), ("create events", 1)];
    only(&tenant, mark, &writes).await?;
    ensure!(tenant.token_requests().await? == 1, "no token request while suspended");

    tenant.merge("crm", json!({"spec": {"suspend": false}})).await?;
    tenant.wait_ready("crm").await?;
    tenant.wait_token_requests(2).await?;
    let token = tenant.token("crm").await?;
    ensure!(world.server.introspect(&token).await?.active, "the new token is alive");
    Ok(())
}

async fn other_scopes(world: Arc<World>) -> Outcome {
    let tenant = settled(&world).await?;
    let first = tenant.token("crm").await?;
    let mark = tenant.mark().await?;
    tenant.merge("crm", json!({"spec": {"scopes": ["orders.write"]}})).await?;
    tenant.wait_ready("crm").await?;
    only(&tenant, mark, &RENEWAL).await?;
    ensure!(tenant.token_requests().await? == 2, "one token request more");
    let told = status(&tenant).await?;
    ensure!(told.observed_generation == Some(2), "observed {:?}", told.observed_generation);
    let token = tenant.token("crm").await?;
    ensure!(token != first, "another token");
    let scope = world.server.introspect(&token).await?.scope;
    ensure!(scope.as_deref() == Some("orders.write"), "granted {scope:?}");
    Ok(())
}

async fn other_timeout(world: Arc<World>) -> Outcome {
    let tenant = settled(&world).await?;
    let mark = tenant.mark().await?;
    tenant.merge("crm", json!({"spec": {"request": {"timeout": "7s"}}})).await?;
    tenant.wait_ready("crm").await?;
    only(&tenant, mark, &[("patch oauthclientcredentials/status", 1)]).await?;
    ensure!(tenant.token_requests().await? == 1, "no token request");
    tenant.expect_events("crm", &["TokenIssued"]).await
}

async fn other_token_key(world: Arc<World>) -> Outcome {
    let tenant = settled(&world).await?;
    let since = ready_since(&tenant).await?;
    let token = tenant.token("crm").await?;
    let mark = tenant.mark().await?;
    tenant.merge("crm", json!({"spec": {"target": {"tokenKey": "access-token"}}})).await?;
    tenant.wait_ready("crm").await?;
    only(&tenant, mark, &RENEWAL).await?;
    ensure!(tenant.token_requests().await? == 1, "no token request");
    let secret = tenant.secrets().get("crm").await?;
    let revision = secret.annotations().get("oauthcc.dev/revision").map(String::as_str);
    ensure!(revision == Some("1"), "revision {revision:?}");
    let data = secret.data.unwrap_or_default();
    let keys: Vec<_> = data.keys().map(String::as_str).collect();
    ensure!(keys == ["access-token", "expires-at", "token-type"], "{keys:?}");
    let moved = data.get("access-token").map(|value| value.0.as_slice());
    ensure!(moved == Some(token.as_bytes()), "the same token under the new key");
    ensure!(ready_since(&tenant).await? == since, "Ready stayed True");
    tenant.expect_events("crm", &["TokenIssued"]).await
}

async fn other_rotation(world: Arc<World>) -> Outcome {
    let tenant = settled(&world).await?;
    let renewal = async || {
        let token = status(&tenant).await?.token.context("the token is told of")?;
        anyhow::Ok((token.renewal_time.0, token.expiration_time.0))
    };
    let (before, expiry) = renewal().await?;
    let mark = tenant.mark().await?;
    tenant.merge("crm", json!({"spec": {"rotation": {"renewBefore": "40m"}}})).await?;
    tenant.wait_ready("crm").await?;
    let (now, same) = renewal().await?;
    ensure!(same == expiry, "the same token");
    let lead = expiry.duration_since(now).as_secs();
    // 5 % of an hour is the most jitter; the instant is cut to the second.
    ensure!((40 * 60..=43 * 60 + 1).contains(&lead), "renewed {lead} s before expiry");
    ensure!(now < before, "renewed at {now}, before {before}");
    let told = status(&tenant).await?.next_attempt_time.map(|time| time.0);
    ensure!(told == Some(now), "the next attempt is {told:?}");
    only(&tenant, mark, &[("patch oauthclientcredentials/status", 1)]).await?;
    ensure!(tenant.token_requests().await? == 1, "no token request");
    Ok(())
}
