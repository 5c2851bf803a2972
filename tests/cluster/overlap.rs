//! The token before, kept beside the new one for consumers that need an overlap.
//!
//! **Invariant:** what it costs is counted in the audit log: one read of the managed Secret more for each
//! rotation, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, ensure};
use kube::ResourceExt;
use libtest_mimic::Trial;
use oauthcc_harness::authorization_server::Failure;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{EXPIRES_AT, RENEW_REQUESTED_AT};
use serde_json::{Value, json};

use crate::formats::{REPAIR, read, settled};
use crate::obstacles::Rights;
use crate::tenant::{Tenant, token_of};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

/// A rotation of a token of which none before is kept: the client Secret is read. With the one before,
/// the managed Secret too.
const ROTATION: [(&str, usize); 3] =
    [("get secrets", 1), ("patch secrets", 1), ("patch oauthclientcredentials/status", 1)];

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("overlap_costs_one_read_for_each_rotation", rotations),
        suite.shared("overlap_outlives_repairs_and_ends_with_its_field", kept),
        suite.shared("overlap_holds_no_token_that_somebody_altered", altered),
        suite.shared("overlap_is_not_lost_to_the_same_token_again", same_token),
        suite.own_world("overlap_that_can_t_be_read_delays_the_write_alone", unreadable),
    ]
}

fn old() -> Value {
    json!({"previousTokenKey": "old"})
}

/// The token before and its expiry.
fn before(texts: &BTreeMap<String, String>) -> Option<(&str, &str)> {
    texts.get("old").map(String::as_str).zip(texts.get("old-expires-at").map(String::as_str))
}

async fn renew(tenant: &Tenant, revision: i64) -> anyhow::Result<()> {
    tenant.annotate("crm", RENEW_REQUESTED_AT, &revision.to_string()).await?;
    tenant.wait_revision("crm", revision).await?;
    tenant.wait_condition("crm", "RequestSucceeded", "True", "RequestSucceeded").await?;
    let what = format!("revision {revision} in the status");
    wait_for(&what, SOON, async || {
        let told = tenant.status("crm").await?.token.map(|token| token.revision);
        ensure!(told == Some(revision), "{told:?}");
        Ok(())
    })
    .await
}

async fn rotations(world: Arc<World>) -> Outcome {
    let plain = settled(&world, json!({})).await?;
    let kept = settled(&world, old()).await?;
    let (secret, texts) = read(&kept).await?;
    ensure!(texts.len() == 3, "before the first rotation there is none: {:?}", texts.keys());
    let mut last = (token_of(&secret)?, secret.annotations()[EXPIRES_AT].clone());
    for revision in 2..=4 {
        let event = if revision == 2 { "create events" } else { "patch events" };
        for (tenant, reads) in [(&plain, 1), (&kept, 2)] {
            let mark = tenant.mark().await?;
            renew(tenant, revision).await?;
            let mut calls = ROTATION.to_vec();
            calls[0].1 = reads;
            calls.push((event, 1));
            tenant.expect_calls(mark, &calls).await.with_context(|| format!("{reads} reads"))?;
        }
        let (secret, texts) = read(&kept).await?;
        ensure!(before(&texts) == Some((last.0.as_str(), last.1.as_str())), "the one before");
        ensure!(world.server.introspect(&last.0).await?.active, "which is alive");
        ensure!(texts.len() == 5, "the keys are {:?}", texts.keys());
        last = (token_of(&secret)?, secret.annotations()[EXPIRES_AT].clone());
    }
    ensure!(kept.token_requests().await? == 4, "four token requests");
    Ok(())
}

async fn kept(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, old()).await?;
    renew(&tenant, 2).await?;
    tenant.expect_events("crm", &["RenewRequested", "TokenIssued"]).await?;
    let (_, first) = read(&tenant).await?;
    let pair = before(&first).context("a token before")?;
    // An edit of the forms, and drift.
    let mark = tenant.mark().await?;
    let raw = json!([{"key": "raw", "type": "Raw"}]);
    tenant.merge("crm", json!({"spec": {"target": {"additionalOutputFormats": raw}}})).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_calls(mark, &REPAIR).await?;
    let (_, texts) = read(&tenant).await?;
    ensure!(before(&texts) == Some(pair) && texts.contains_key("raw"), "after an edit");
    tenant.merge_secret("crm", json!({"data": {"raw": null}})).await?;
    wait_for("the repair of the form", SOON, async || {
        let (_, found) = read(&tenant).await?;
        ensure!(found == texts, "the keys are {:?}", found.keys());
        Ok(())
    })
    .await?;
    tenant.expect_events("crm", &["RenewRequested", "SecretDriftRepaired", "TokenIssued"]).await?;
    // Under another name it begins anew, and without the field it ends: one write each, and no event.
    let events = tenant.events("crm").await?;
    for (name, keys) in [(json!("other"), 4), (json!("old"), 4)] {
        let mark = tenant.mark().await?;
        tenant.merge("crm", json!({"spec": {"target": {"previousTokenKey": name}}})).await?;
        tenant.wait_ready("crm").await?;
        let written = if name == "other" { &REPAIR[..] } else { &REPAIR[2..] };
        tenant.expect_calls(mark, written).await.with_context(|| name.to_string())?;
        let (_, texts) = read(&tenant).await?;
        ensure!(texts.len() == keys, "{name}: the keys are {:?}", texts.keys());
    }
    renew(&tenant, 3).await?;
    let (_, texts) = read(&tenant).await?;
    ensure!(texts["old"] == first["token"], "the one before, again");
    let told = tenant.events("crm").await?;
    ensure!(told == events, "no event of its own: {told:?}");
    let mark = tenant.mark().await?;
    tenant.merge("crm", json!({"spec": {"target": {"previousTokenKey": null}}})).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_calls(mark, &REPAIR).await?;
    let (_, texts) = read(&tenant).await?;
    ensure!(texts.len() == 4, "the keys are {:?}", texts.keys());
    ensure!(tenant.token_requests().await? == 3, "three token requests");
    Ok(())
}

async fn altered(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, old()).await?;
    renew(&tenant, 2).await?;
    // The one before: its expiry goes, and what was written in its place is not ours.
    tenant.merge_secret("crm", json!({"stringData": {"old": "altered"}})).await?;
    wait_for("the expiry of the altered token to go", SOON, async || {
        let (_, texts) = read(&tenant).await?;
        ensure!(!texts.contains_key("old-expires-at"), "the keys are {:?}", texts.keys());
        Ok(())
    })
    .await?;
    ensure!(tenant.token_requests().await? == 2, "no token request");
    let (_, texts) = read(&tenant).await?;
    ensure!(texts["old"] == "altered", "it is theirs");
    renew(&tenant, 3).await?;
    let (secret, now) = read(&tenant).await?;
    ensure!(now["old"] == texts["token"], "the next rotation writes both anew");
    ensure!(before(&now).is_some(), "the keys are {:?}", now.keys());
    // The token itself: what replaces it has none before it.
    tenant.merge_secret("crm", json!({"stringData": {"token": "altered"}})).await?;
    let replaced = tenant.wait_revision("crm", 4).await?;
    ensure!(token_of(&replaced)? != token_of(&secret)?, "another token");
    let (_, texts) = read(&tenant).await?;
    ensure!(texts.len() == 3, "the keys are {:?}", texts.keys());
    ensure!(tenant.token_requests().await? == 4, "one token request for it");
    Ok(())
}

async fn same_token(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, old()).await?;
    let first = tenant.token("crm").await?;
    let answer = |seconds: u32| {
        let body = json!({"access_token": "one-token-for-all", "expires_in": seconds});
        Failure::new(200, &body.to_string())
    };
    world.server.fail_with(&tenant.client_id, &answer(3600)).await?;
    renew(&tenant, 2).await?;
    let (_, texts) = read(&tenant).await?;
    ensure!(texts["token"] == "one-token-for-all" && texts["old"] == first, "the one before");
    let pair = before(&texts).context("a token before")?;
    // The same token with another expiry is written, and is not its own predecessor.
    world.server.fail_with(&tenant.client_id, &answer(7200)).await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "again").await?;
    wait_for("the new expiry", SOON, async || {
        let (_, now) = read(&tenant).await?;
        ensure!(now["expires-at"] != texts["expires-at"], "it is the old one");
        ensure!(before(&now) == Some(pair), "another token before");
        ensure!(now["token"] == texts["token"], "another token");
        Ok(())
    })
    .await?;
    ensure!(tenant.token_requests().await? == 3, "three token requests");
    Ok(())
}

async fn unreadable(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, old()).await?;
    let first = tenant.token("crm").await?;
    world.server.hold(&tenant.client_id).await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "now").await?;
    tenant.wait_held().await?;
    let rights = Rights::to_read_secrets_taken(&world, &tenant.namespace).await?;
    world.server.release(&tenant.client_id).await?;
    let told = tenant.wait_condition("crm", "SecretSynced", "False", "Forbidden").await?;
    ensure!(told.message.contains("spec.target.previousTokenKey"), "{}", told.message);
    ensure!(tenant.token("crm").await? == first, "nothing is written");
    tenant.wait_ready("crm").await?;
    rights.give_back().await?;
    tenant.wait_revision("crm", 2).await?;
    tenant.wait_condition("crm", "SecretSynced", "True", "SecretSynced").await?;
    let (_, texts) = read(&tenant).await?;
    ensure!(texts["old"] == first, "the token before");
    ensure!(tenant.token_requests().await? == 2, "the grant was kept");
    Ok(())
}
