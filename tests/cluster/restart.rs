//! A process that is killed and started again: nothing is asked for, read or written that the
//! cluster already tells.
//!
//! **Invariant:** the kill is SIGKILL: nothing is tidied up before it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use kube::api::ListParams;
use libtest_mimic::Trial;
use oauthcc_harness::authorization_server::Failure;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::RENEW_REQUESTED_AT;
use serde_json::json;

use crate::obstacles::Rights;
use crate::tenant::{ALL_GOOD, Tenant};
use crate::witness::Witness;
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

type Version = (&'static str, (String, String), Option<String>);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite
            .own_world("a_target_renamed_while_the_operator_was_down_is_moved", renamed_while_down),
        suite.own_world("a_rename_whose_deletion_is_refused_ends_after_a_restart", left_behind),
        suite.own_world("a_killed_operator_starts_again_without_a_request_or_a_write", fresh),
        suite.own_world("a_kill_before_the_answer_costs_one_grant_more", before_the_answer),
        suite.own_world("a_kill_during_the_write_costs_at_most_one_grant_more", during_the_write),
    ]
}

/// Five fresh tokens, one of them asked for by hand, one suspended, one whose client may not have
/// what it asks for, one throttled.
async fn fresh(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let throttled = Tenant::with_client_secret(&world, HOUR).await?;
    let wait = Failure::new(429, r#"{"error":"slow_down"}"#).with_header("retry-after", "1800");
    world.server.fail_with(&throttled.client_id, &wait).await?;
    throttled.apply("slow", json!({})).await?;
    for number in 1..=5 {
        tenant.apply(&format!("fresh-{number}"), json!({})).await?;
    }
    tenant.apply("idle", json!({})).await?;
    tenant.apply("refused", json!({"scopes": ["payments.write"]})).await?;
    for number in 1..=5 {
        tenant.wait_ready(&format!("fresh-{number}")).await?;
    }
    tenant.annotate("fresh-1", RENEW_REQUESTED_AT, "by hand").await?;
    tenant.wait_revision("fresh-1", 2).await?;
    tenant.expect_events("fresh-1", &["RenewRequested", "TokenIssued"]).await?;
    tenant.wait_ready("idle").await?;
    tenant.merge("idle", json!({"spec": {"suspend": true}})).await?;
    tenant.wait_ready("idle").await?;
    tenant.wait_condition("refused", "Stalled", "True", "InvalidScope").await?;
    throttled.wait_condition("slow", "Ready", "False", "RateLimited").await?;
    tenant.expect_events("refused", &["TokenRequestFailed"]).await?;
    tenant.expect_events("idle", &["TokenIssued"]).await?;
    throttled.expect_events("slow", &["TokenRequestFailed"]).await?;

    world.take_operator()?.kill();
    let before = versions(&[&tenant, &throttled]).await?;
    ensure!(before.len() == 8 + 6 + 2, "8 credentials, 6 managed and 2 client Secrets");
    let asked = (tenant.token_requests().await?, throttled.token_requests().await?);
    ensure!(asked == (8, 1), "token requests {asked:?}");
    let mark = tenant.mark().await?;
    world.start_operator().await?;
    wait_for("a look at each credential", SOON, async || {
        let missing: Vec<_> = before
            .iter()
            .filter_map(|(kind, name, _)| (*kind == "credential").then_some(name))
            .filter(|(namespace, name)| world.looks(namespace, name) == 0)
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("not yet at {missing:?}")) }
    })
    .await?;
    holds_for("a restart costs two lists and nothing more", Duration::from_secs(5), async || {
        let calls = world.all_calls(mark).await?;
        let lists = [("list oauthclientcredentials", 1), ("list secrets", 1)];
        let lists = lists.map(|(call, count)| (call.to_owned(), count));
        ensure!(calls == lists, "{calls:?}");
        Ok(())
    })
    .await?;
    let now = (tenant.token_requests().await?, throttled.token_requests().await?);
    ensure!(now == asked, "token requests {now:?}, before {asked:?}");
    let after = versions(&[&tenant, &throttled]).await?;
    ensure!(after == before, "versions {after:?}, before {before:?}");
    Ok(())
}

/// Kind, place and resourceVersion of every credential and Secret.
async fn versions(tenants: &[&Tenant]) -> anyhow::Result<Vec<Version>> {
    let mut versions = Vec::new();
    for tenant in tenants {
        let place = |name: String| (tenant.namespace.clone(), name);
        let credentials = tenant.credentials().list(&ListParams::default()).await?;
        let secrets = tenant.secrets().list(&ListParams::default()).await?;
        versions.extend(
            credentials.iter().map(|c| ("credential", place(c.name_any()), c.resource_version())),
        );
        versions
            .extend(secrets.iter().map(|s| ("secret", place(s.name_any()), s.resource_version())));
    }
    Ok(versions)
}

/// A token of half a minute, a watch on it, and its first renewal granted but not answered.
async fn held_renewal(world: &Arc<World>) -> anyhow::Result<(Tenant, Witness)> {
    let tenant = Tenant::with_client_secret(world, HALF_MINUTE).await?;
    let witness = Witness::start(&tenant).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    world.server.hold(&tenant.client_id).await?;
    wait_for("the answer of the renewal to be held back", HALF_MINUTE, async || {
        let held = world.server.held(&tenant.client_id).await?;
        ensure!(held == 1, "{held} are held back");
        Ok(())
    })
    .await?;
    ensure!(world.server.issued(&tenant.client_id).await?.len() == 2, "the grant was made");
    Ok((tenant, witness))
}

async fn before_the_answer(world: Arc<World>) -> Outcome {
    let (tenant, mut witness) = held_renewal(&world).await?;
    world.take_operator()?.kill();
    world.server.release(&tenant.client_id).await?;
    ensure!(tenant.token_requests().await? == 2, "two token requests before the kill");
    world.start_operator().await?;
    witness.wait_revision(&["crm"], 2, HALF_MINUTE).await?;
    ensure!(tenant.token_requests().await? == 3, "one request more than rotations");
    tenant.wait_ready("crm").await?;
    // The next rotation is as any other.
    witness.wait_revision(&["crm"], 3, HALF_MINUTE).await?;
    ensure!(tenant.token_requests().await? == 4, "one request for the next rotation");
    Ok(())
}

/// The API server is halted when the token arrives, so the write of the killed process may be lost
/// or may still be done when it goes on.
async fn during_the_write(world: Arc<World>) -> Outcome {
    let (tenant, mut witness) = held_renewal(&world).await?;
    world.plane.stop_api_server()?;
    world.server.release(&tenant.client_id).await?;
    holds_for("the write gets no answer", Duration::from_millis(500), async || {
        ensure!(tenant.token_requests().await? == 2, "another token was asked for");
        Ok(())
    })
    .await?;
    world.take_operator()?.kill();
    world.plane.continue_api_server().await?;
    world.start_operator().await?;
    witness.wait_revision(&["crm"], 2, HALF_MINUTE).await?;
    tenant.wait_ready("crm").await?;
    let requests = tenant.token_requests().await?;
    ensure!((2..=3).contains(&requests), "{requests} token requests for two tokens");
    witness.wait_revision(&["crm"], 3, HALF_MINUTE).await?;
    ensure!(tenant.token_requests().await? == requests + 1, "one request for the next rotation");
    Ok(())
}

/// The same token under the new name, and the old Secret gone.
async fn renamed_while_down(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_events("crm", &["TokenIssued"]).await?;
    let token = tenant.token("crm").await?;
    let operator = world.take_operator()?;
    operator.kill();
    operator.ended(SOON).await?;
    drop(operator);
    tenant.apply("crm", json!({"target": {"name": "elsewhere"}})).await?;
    let mark = tenant.mark().await?;
    world.start_operator().await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    ensure!(tenant.token("elsewhere").await? == token, "another token");
    wait_for("the old Secret to be gone", SOON, async || {
        ensure!(tenant.secrets().get_opt("crm").await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    ensure!(tenant.token_requests().await? == 1, "no token request more");
    let calls = world.calls(mark, &tenant.namespace).await?;
    let count = |call: &str| calls.iter().find(|(made, _)| made == call).map_or(0, |(_, n)| *n);
    ensure!((count("patch secrets"), count("delete secrets")) == (1, 1), "{calls:?}");
    Ok(())
}

/// The token is renewed under the new name, the old Secret is told of, and goes once it may be deleted.
async fn left_behind(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_events("crm", &["TokenIssued"]).await?;
    let token = tenant.token("crm").await?;
    let rights = Rights::to_delete_secrets_taken(&world, &tenant.namespace).await?;
    tenant.apply("crm", json!({"target": {"name": "elsewhere"}})).await?;
    let told = tenant.wait_condition("crm", "SecretSynced", "False", "Forbidden").await?;
    ensure!(told.message.contains("verb delete on secrets"), "{}", told.message);
    tenant.wait_ready("crm").await?;
    ensure!(tenant.token("elsewhere").await? == token, "another token");
    ensure!(tenant.token("crm").await? == token, "the old Secret was touched");
    let status = tenant.get("crm").await?.status.unwrap_or_default();
    let bound = status.binding.map(|binding| binding.name).unwrap_or_default();
    ensure!(bound == "elsewhere" && status.left_behind == ["crm"], "{bound}");
    let operator = world.take_operator()?;
    operator.kill();
    operator.ended(SOON).await?;
    drop(operator);
    rights.give_back().await?;
    world.start_operator().await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    wait_for("the old Secret to be gone", SOON, async || {
        ensure!(tenant.secrets().get_opt("crm").await?.is_none(), "it is there");
        Ok(())
    })
    .await?;
    let left = tenant.get("crm").await?.status.unwrap_or_default().left_behind;
    ensure!(left.is_empty(), "{left:?}");
    ensure!(tenant.token("elsewhere").await? == token, "another token");
    ensure!(tenant.token_requests().await? == 1, "no token request more");
    Ok(())
}
