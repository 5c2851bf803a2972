//! Values of the response beside the token: what an endpoint says is what the Secret holds, and only a
//! value that is missing is asked for.
//!
//! **Invariant:** token requests are counted at the authorization server, calls in the audit log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use libtest_mimic::Trial;
use oauthcc_harness::authorization_server::Failure;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{RESPONSE_VALUES, REVISION};
use serde_json::{Value, json};

use crate::formats::{REPAIR, read, settled};
use crate::tenant::Tenant;
use crate::world::World;
use crate::{Outcome, Suite};

/// More than the wait after a first answer that lacks a value.
const RETRIED: Duration = Duration::from_secs(45);
/// A grant that is not due by time: the live look, the client Secret, the write, and what is told of it.
const GRANT: [(&str, usize); 3] =
    [("get secrets", 2), ("patch secrets", 1), ("patch oauthclientcredentials/status", 1)];

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("values_of_the_response_are_asked_for_where_they_are_missing", missing),
        suite.shared("values_that_an_endpoint_does_not_give_are_told_and_cost_no_token", refused),
        suite.shared("values_come_with_the_token_that_is_held_too", same_token),
    ]
}

fn entry(key: &str, pointer: &str) -> Value {
    json!({"key": key, "type": "Response", "response": {"pointer": pointer}})
}

async fn edit(tenant: &Tenant, entries: Value) -> anyhow::Result<()> {
    tenant.merge("crm", json!({"spec": {"target": {"additionalOutputFormats": entries}}})).await
}

/// The value under a key, and the annotation.
async fn held(tenant: &Tenant, key: &str) -> anyhow::Result<(Option<String>, Option<String>)> {
    let (secret, mut texts) = read(tenant).await?;
    Ok((texts.remove(key), secret.annotations().get(RESPONSE_VALUES).cloned()))
}

async fn wait_held(tenant: &Tenant, key: &str, value: &str, pointers: &str) -> Outcome {
    wait_for(&format!("{value} under the key {key}"), RETRIED, async || {
        let found = held(tenant, key).await?;
        let expected = (Some(value.to_owned()), Some(pointers.to_owned()));
        ensure!(found == expected, "it holds {found:?}");
        Ok(())
    })
    .await
}

/// What the real server says beside its token.
async fn missing(world: Arc<World>) -> Outcome {
    let both = json!([entry("lifetime", "/expires_in"), {"key": "raw", "type": "Raw"}]);
    let tenant = settled(&world, json!({ "additionalOutputFormats": both })).await?;
    let pointers = r#"{"lifetime":"/expires_in"}"#;
    wait_held(&tenant, "lifetime", "3600", pointers).await?;
    let (before, first) = read(&tenant).await?;
    // Everything else is put right from what is there.
    for damage in [
        json!({"data": {"raw": null}}),
        json!({"metadata": {"labels": {"oauthcc.dev/managed": null}}}),
        json!({"metadata": {"annotations": {"oauthcc.dev/output-version": "v1:altered"}}}),
    ] {
        tenant.merge_secret("crm", damage.clone()).await?;
        wait_for(&format!("the repair of {damage}"), RETRIED, async || {
            let (secret, texts) = read(&tenant).await?;
            ensure!(texts == first, "the keys are {:?}", texts.keys());
            ensure!(secret.annotations() == before.annotations(), "annotations");
            ensure!(secret.labels() == before.labels(), "labels");
            Ok(())
        })
        .await?;
    }
    ensure!(tenant.token_requests().await? == 1, "no token request");
    tenant.expect_events("crm", &["SecretDriftRepaired", "TokenIssued"]).await?;
    // One grant each: the value altered, one more asked for, and the annotation that says what they are
    // altered.
    let again = [GRANT.as_slice(), &[("patch events", 1)]].concat();
    let mark = tenant.mark().await?;
    tenant.merge_secret("crm", json!({"stringData": {"lifetime": "altered"}})).await?;
    tenant.wait_revision("crm", 2).await?;
    wait_held(&tenant, "lifetime", "3600", pointers).await?;
    tenant.expect_calls(mark, &again).await?;
    let events = tenant.events("crm").await?;
    let mark = tenant.mark().await?;
    edit(&tenant, json!([entry("lifetime", "/expires_in"), entry("kind", "/token_type")])).await?;
    tenant.wait_revision("crm", 3).await?;
    let two = r#"{"kind":"/token_type","lifetime":"/expires_in"}"#;
    wait_held(&tenant, "kind", "Bearer", two).await?;
    // It is no drift, and no event tells of it.
    tenant.expect_calls(mark, &GRANT).await?;
    let mark = tenant.mark().await?;
    let altered = json!({RESPONSE_VALUES: r#"{"kind":"/x","lifetime":"/expires_in"}"#});
    tenant.merge_secret("crm", json!({"metadata": {"annotations": altered}})).await?;
    tenant.wait_revision("crm", 4).await?;
    wait_held(&tenant, "kind", "Bearer", two).await?;
    tenant.expect_calls(mark, &again).await?;
    ensure!(tenant.token_requests().await? == 4, "one token request each");
    // One less is a repair without an event.
    let mark = tenant.mark().await?;
    edit(&tenant, json!([entry("lifetime", "/expires_in")])).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_calls(mark, &REPAIR).await?;
    ensure!(held(&tenant, "kind").await? == (None, Some(pointers.to_owned())), "one is left");
    let mark = tenant.mark().await?;
    edit(&tenant, json!([])).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_calls(mark, &REPAIR).await?;
    ensure!(held(&tenant, "lifetime").await? == (None, None), "none is left");
    ensure!(tenant.token_requests().await? == 4, "no token request");
    ensure!(tenant.events("crm").await? == events, "no event of an edit");
    Ok(())
}

async fn refused(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, json!({})).await?;
    let token = tenant.token("crm").await?;
    edit(&tenant, json!([entry("url", "/instance_url")])).await?;
    let told =
        tenant.wait_condition("crm", "RequestSucceeded", "False", "MalformedResponse").await?;
    for words in ["response.pointer", "spec.target.additionalOutputFormats"] {
        ensure!(told.message.contains(words), "{}", told.message);
    }
    tenant.wait_ready("crm").await?;
    ensure!(tenant.token("crm").await? == token, "the token stays");
    ensure!(held(&tenant, "url").await? == (None, None), "nothing is written");
    tenant.expect_events("crm", &["TokenIssued", "TokenRequestFailed"]).await?;
    // A pointer that is corrected is asked for at once, whatever the back-off.
    let pointer = r#"{"url":"/token_type"}"#;
    let before = tenant.token_requests().await?;
    edit(&tenant, json!([entry("url", "/token_type")])).await?;
    tenant.wait_condition("crm", "RequestSucceeded", "True", "RequestSucceeded").await?;
    let (value, annotation) = held(&tenant, "url").await?;
    ensure!(value.as_deref() == Some("Bearer"), "{value:?}");
    ensure!(annotation.as_deref() == Some(pointer), "{annotation:?}");
    let made = tenant.token_requests().await? - before;
    ensure!(made == 1, "{made} token requests");
    ensure!(tenant.token("crm").await? != token, "with a token of its own");
    Ok(())
}

/// An endpoint that gives one token until it expires, such as Marketo or X.
async fn same_token(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, Duration::from_secs(3600)).await?;
    let body = json!({
        "access_token": "one-token-for-all", "expires_in": 3600,
        "instance_url": "https://shop.example.com", "limits": {"daily": [15000, 1.50]},
        "sandbox": false, "refresh_token": "never",
    });
    // As it is written: a float in between would make 1.5 of it.
    let body = body.to_string().replace("1.5]", "1.50]");
    ensure!(body.contains("1.50]"), "{body}");
    world.server.fail_with(&tenant.client_id, &Failure::new(200, &body)).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    let entries = json!([
        entry("url", "/instance_url"),
        entry("daily", "/limits/daily/1"),
        entry("sandbox", "/sandbox")
    ]);
    edit(&tenant, entries).await?;
    let pointers = r#"{"daily":"/limits/daily/1","sandbox":"/sandbox","url":"/instance_url"}"#;
    for (key, value) in
        [("url", "https://shop.example.com"), ("daily", "1.50"), ("sandbox", "false")]
    {
        wait_held(&tenant, key, value, pointers).await?;
    }
    let (secret, texts) = read(&tenant).await?;
    ensure!(texts["token"] == "one-token-for-all", "the token");
    ensure!(texts.len() == 6, "the keys are {:?}", texts.keys());
    ensure!(!texts.values().any(|text| text == "never"), "a refresh token is written");
    let revision = secret.annotations().get(REVISION).map(String::as_str);
    ensure!(revision == Some("1"), "it is the same token, not revision {revision:?}");
    tenant.wait_ready("crm").await?;
    ensure!(tenant.token_requests().await? == 2, "two token requests");
    tenant.expect_events("crm", &["TokenIssued"]).await
}
