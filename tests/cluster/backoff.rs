//! Between two attempts: what shortens the wait and what does not, and that the attempt comes when it
//! was announced.
//!
//! **Invariant:** an attempt is held against the `nextAttemptTime` that was written before it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use kube::ResourceExt;
use libtest_mimic::Trial;
use oauthcc_harness::authorization_server::Failure;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::{OAuthClientCredentialStatus, RENEW_REQUESTED_AT};
use oauthcc_operator::domain::schedule::span;
use serde_json::json;

use crate::figures::Figures;
use crate::tenant::{ALL_GOOD, CLIENT_SECRET, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// For how long nothing may follow.
const A_WHILE: Duration = Duration::from_secs(2);
/// How late an attempt may come on a busy machine.
const LATE: Duration = Duration::from_secs(5);

const REFUSED_CLIENT: &str = "Ready=False/InvalidClient ResolvedRefs=True/ResolvedRefs \
    RequestSucceeded=False/InvalidClient SecretSynced=Unknown/Issuing Reconciling=True/Retrying";
const REFUSED_SCOPE: &str = "Ready=False/InvalidScope ResolvedRefs=True/ResolvedRefs \
    RequestSucceeded=False/InvalidScope SecretSynced=Unknown/Issuing Stalled=True/InvalidScope";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.own_world("an_endpoint_that_is_down_is_asked_when_it_was_announced", endpoint_down),
        suite.shared("metadata_of_a_refused_client_secret_asks_for_nothing", refused_metadata),
        suite.own_world("a_kill_shortens_no_back_off_and_a_correction_made_meanwhile_does", killed),
        suite.shared("a_renew_request_lifts_a_terminal_error", renew_terminal),
        suite.shared("a_renew_request_does_not_lift_a_pause_of_the_endpoint", renew_throttled),
    ]
}

fn next_attempt(status: &OAuthClientCredentialStatus) -> anyhow::Result<Timestamp> {
    status.next_attempt_time.as_ref().map(|time| time.0).context("a next attempt")
}

fn failed_at(status: &OAuthClientCredentialStatus) -> anyhow::Result<Timestamp> {
    status.last_failure_time.as_ref().map(|time| time.0).context("a failure")
}

async fn wait_failed(
    tenant: &Tenant,
    name: &str,
    attempts: i32,
) -> anyhow::Result<OAuthClientCredentialStatus> {
    let what = format!("{attempts} failed attempts of {}/{name}", tenant.namespace);
    wait_for(&what, MINUTE * 2, async || {
        let status = tenant.status(name).await?;
        ensure!(status.failed_attempts == Some(attempts), "{:?} failed", status.failed_attempts);
        Ok(status)
    })
    .await
}

async fn endpoint_down(world: Arc<World>) -> Outcome {
    let names = ["crm", "erp", "mail"];
    let tenant = Tenant::with_client_secret(&world, HALF_MINUTE).await?;
    for name in names {
        tenant.apply(name, json!({})).await?;
    }
    let secrets = try_join_all(names.map(async |name| {
        tenant.wait_conditions(name, ALL_GOOD).await?;
        anyhow::Ok(tenant.secrets().get(name).await?)
    }))
    .await?;
    world.server.stop().await?;
    let failing = ALL_GOOD.replace("True/RequestSucceeded", "False/EndpointUnreachable");
    for name in names {
        let status = tenant.wait_conditions(name, &failing).await?;
        let (failed, next) = (failed_at(&status)?, next_attempt(&status)?);
        // 5 s doubled, at most the minimum gap of 10 s so near to expiry.
        let wait = next.duration_since(failed).as_secs();
        ensure!((2..=11).contains(&wait), "{name}: the next attempt after {wait} s");
    }
    let expired = failing.replace("True/TokenValid", "False/TokenExpired");
    for (name, secret) in names.iter().zip(&secrets) {
        let expired = format!("{expired} Reconciling=True/Retrying");
        let status = tenant.wait_conditions(name, &expired).await?;
        let expiry = status.token.context("a token")?.expiration_time.0;
        let told = status.conditions.first().context("Ready")?.last_transition_time.0;
        ensure!(told >= expiry && span(expiry, told) <= LATE, "{name}: {expiry}, told at {told}");
        ensure!(
            tenant.secrets().get(name).await? == *secret,
            "{name}: the old token is left there"
        );
        let events = ["ShortLivedToken", "TokenExpired", "TokenIssued", "TokenRequestFailed"];
        tenant.expect_events(name, &events).await?;
    }
    ensure!(tenant.token_requests().await? == names.len(), "nothing has reached the endpoint");
    back_as_announced(&tenant, &names).await
}

/// The endpoint is back, and nobody is told: each comes when it said it would.
async fn back_as_announced(tenant: &Tenant, names: &[&str]) -> Outcome {
    // Not in the middle of an attempt, which may reach the endpoint or not.
    let what = "all next attempts to be a few seconds away";
    let announced = wait_for(what, MINUTE * 2, async || {
        let mut announced = Vec::new();
        for name in names {
            announced.push(next_attempt(&tenant.status(name).await?)?);
        }
        let wait = announced.iter().map(|next| span(Timestamp::now(), *next)).min();
        ensure!(wait >= Some(Duration::from_secs(3)), "{wait:?}");
        Ok(announced)
    })
    .await?;
    tenant.world.server.restart().await?;
    let each = names.iter().zip(&announced).map(|(name, at)| back_at(tenant, name, *at));
    let mut figures = Figures::of("Ready again after the announced attempt");
    for took in try_join_all(each).await? {
        figures.add(took);
    }
    figures.print();
    Ok(())
}

/// Waits until one is Ready again; how long after the announced attempt it was.
async fn back_at(tenant: &Tenant, name: &str, announced: Timestamp) -> anyhow::Result<Duration> {
    let what = format!("{name} to be Ready at {announced}");
    let bound = span(Timestamp::now(), announced) + SOON;
    let status = wait_for(&what, bound, async || {
        let status = tenant.status(name).await?;
        let ready = status.conditions.first().context("Ready")?;
        ensure!(ready.status == "True", "{ready:?}");
        Ok(status)
    })
    .await?;
    let took = span(announced, Timestamp::now());
    let issued_at = status.token.context("a token")?.issue_time.0;
    // Both are whole seconds.
    let in_time = issued_at >= announced && span(announced, issued_at) <= LATE;
    ensure!(in_time, "{name}: asked at {issued_at}, announced {announced}");
    let told = status.conditions.iter().find(|told| told.type_ == "RequestSucceeded");
    ensure!(told.is_some_and(|told| told.status == "True"), "{name}: {told:?}");
    Ok(took)
}

async fn refused_metadata(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    tenant.apply_client_secret("not-the-secret").await?;
    tenant.apply("crm", json!({})).await?;
    let mut before = tenant.wait_conditions("crm", REFUSED_CLIENT).await?;
    tenant.expect_events("crm", &["TokenRequestFailed"]).await?;
    for change in [
        json!({"metadata": {"labels": {"team": "sales"}}}),
        json!({"metadata": {"annotations": {"example.com/owner": "sales"}}}),
        json!({"stringData": {"unrelated": "value"}}),
    ] {
        let mark = tenant.mark().await?;
        tenant.merge_secret(CLIENT_SECRET, change).await?;
        let after = wait_for("lastFailureInputs to follow the client Secret", SOON, async || {
            let after = tenant.status("crm").await?;
            ensure!(after.last_failure_inputs != before.last_failure_inputs, "it is as before");
            anyhow::Ok(after)
        })
        .await?;
        let with_new_inputs = OAuthClientCredentialStatus {
            last_failure_inputs: after.last_failure_inputs.clone(),
            ..before
        };
        ensure!(after == with_new_inputs, "nothing else changes: {after:?}");
        // One comparison, of the values that were tried.
        let calls = [("get secrets", 1), ("patch oauthclientcredentials/status", 1)];
        tenant.expect_calls(mark, &calls).await?;
        before = after;
    }
    ensure!(tenant.token_requests().await? == 1, "no token request for metadata");
    let announced = next_attempt(&before)?;
    let second = wait_failed(&tenant, "crm", 2).await?;
    let at = failed_at(&second)?;
    ensure!(at >= announced && span(announced, at) <= LATE, "at {at}, announced {announced}");
    ensure!(tenant.token_requests().await? == 2, "the announced token request");

    // Another value, also a wrong one, is worth one attempt at once, and counts anew.
    tenant.apply_client_secret("not-the-secret-either").await?;
    tenant.wait_token_requests(3).await?;
    let third = wait_failed(&tenant, "crm", 1).await?;
    ensure!(failed_at(&third)? < next_attempt(&second)?, "it did not wait");
    ensure!(tenant.token_requests().await? == 3, "one token request for the new value");
    Ok(())
}

/// One whose client Secret is corrected, one that has nothing new, and one that lost its client
/// Secret before the kill.
async fn killed(world: Arc<World>) -> Outcome {
    let corrected = Tenant::new(&world, HOUR).await?;
    let refused = Tenant::with_client_secret(&world, HOUR).await?;
    let blocked = Tenant::new(&world, HOUR).await?;
    for tenant in [&corrected, &blocked] {
        tenant.apply_client_secret("not-the-secret").await?;
        tenant.apply("crm", json!({})).await?;
    }
    let impatient = wait_failed(&corrected, "crm", 2).await?;
    refused.apply("crm", json!({"scopes": ["payments.write"]})).await?;
    let patient = refused.wait_conditions("crm", REFUSED_SCOPE).await?;
    blocked.delete_secret(CLIENT_SECRET).await?;
    let without = REFUSED_CLIENT
        .replace("False/InvalidClient Resolved", "False/CredentialsNotFound Resolved")
        .replace("True/ResolvedRefs", "False/CredentialsNotFound");
    blocked.wait_conditions("crm", &without).await?;
    blocked.expect_events("crm", &["CredentialsNotFound", "TokenRequestFailed"]).await?;
    refused.expect_events("crm", &["TokenRequestFailed"]).await?;

    world.take_operator()?.kill();
    ensure!(corrected.token_requests().await? == 2, "two token requests before the kill");
    let asked_before = blocked.token_requests().await?;
    corrected.apply_client_secret(&corrected.client_secret).await?;
    let before = (refused.get("crm").await?, blocked.get("crm").await?);
    let mark = refused.mark().await?;
    world.start_operator().await?;
    let status = corrected.wait_conditions("crm", ALL_GOOD).await?;
    ensure!(corrected.token_requests().await? == 3, "one token request for the correction");
    let issued_at = status.token.context("a token")?.issue_time.0;
    let would_be = next_attempt(&impatient)?;
    ensure!(issued_at < would_be, "asked at {issued_at}, the back-off ended at {would_be}");

    let what = "a look at each credential";
    wait_for(what, SOON, async || {
        [&refused, &blocked].iter().all(|tenant| world.looks(&tenant.namespace, "crm") > 0)
    })
    .await?;
    holds_for("the others are left as they were", LATE, async || {
        for tenant in [&refused, &blocked] {
            let calls = world.calls(mark, &tenant.namespace).await?;
            ensure!(calls.is_empty(), "{}: {calls:?}", tenant.namespace);
        }
        ensure!(refused.token_requests().await? == 1, "the refused one asked");
        ensure!(blocked.token_requests().await? == asked_before, "the blocked one asked");
        let now = (refused.get("crm").await?, blocked.get("crm").await?);
        ensure!(now.0.resource_version() == before.0.resource_version(), "{:?}", now.0.status);
        ensure!(now.1.resource_version() == before.1.resource_version(), "{:?}", now.1.status);
        Ok(())
    })
    .await?;
    // The back-off goes on where it was: at its time, and doubled after it.
    let announced = next_attempt(&patient)?;
    let second = wait_failed(&refused, "crm", 2).await?;
    let at = failed_at(&second)?;
    ensure!(at >= announced && span(announced, at) <= LATE, "at {at}, announced {announced}");
    let wait = next_attempt(&second)?.duration_since(at).as_secs();
    ensure!((120..=121).contains(&wait), "the third one after {wait} s");
    ensure!(refused.token_requests().await? == 2, "one token request more");
    Ok(())
}

async fn renew_terminal(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({"scopes": ["payments.write"]})).await?;
    let first = tenant.wait_conditions("crm", REFUSED_SCOPE).await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "once").await?;
    let second = wait_failed(&tenant, "crm", 2).await?;
    ensure!(failed_at(&second)? < next_attempt(&first)?, "it did not wait");
    let handled = second.last_handled_renew_request.as_deref();
    ensure!(handled == Some("once"), "{handled:?} was handled, though it failed");
    // The reset lets the back-off begin anew, and the value is used up.
    let wait = next_attempt(&second)?.duration_since(failed_at(&second)?).as_secs();
    ensure!((60..=61).contains(&wait), "the next one after {wait} s");
    let same = json!({"metadata": {"labels": {"team": "sales"}, "annotations": {
        RENEW_REQUESTED_AT: "once"
    }}});
    tenant.until_looked_at("crm", tenant.merge("crm", same)).await?;
    holds_for("the same value asks for nothing", A_WHILE, async || {
        let made = tenant.token_requests().await?;
        ensure!(made == 2, "{made} token requests");
        Ok(())
    })
    .await
}

async fn renew_throttled(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let pause = Failure::new(503, "{}").with_header("retry-after", "12");
    world.server.fail_with(&tenant.client_id, &pause).await?;
    tenant.apply("crm", json!({})).await?;
    let throttled = REFUSED_CLIENT.replace("InvalidClient", "RateLimited");
    let status = tenant.wait_conditions("crm", &throttled).await?;
    tenant.expect_events("crm", &["TokenRequestFailed"]).await?;
    world.server.clear_failure(&tenant.client_id).await?;
    let mark = tenant.mark().await?;
    let renew = tenant.annotate("crm", RENEW_REQUESTED_AT, "now");
    tenant.until_looked_at("crm", renew).await?;
    let announced = next_attempt(&status)?;
    // Until 2 s before the pause ends, as the clock of the machine says.
    let quiet = span(Timestamp::now(), announced).saturating_sub(A_WHILE);
    holds_for("the pause is kept", quiet, async || {
        let made = tenant.token_requests().await?;
        ensure!(made == 1, "{made} token requests");
        let calls = world.calls(mark, &tenant.namespace).await?;
        ensure!(calls.is_empty(), "{calls:?}");
        Ok(())
    })
    .await?;
    let status = tenant.wait_conditions("crm", ALL_GOOD).await?;
    let issued_at = status.token.context("a token")?.issue_time.0;
    let in_time = issued_at >= announced && span(announced, issued_at) <= LATE;
    ensure!(in_time, "asked at {issued_at}, the pause ended at {announced}");
    let handled = status.last_handled_renew_request.as_deref();
    ensure!(handled == Some("now"), "{handled:?} was handled");
    ensure!(tenant.token_requests().await? == 2, "one token request after the pause");
    Ok(())
}
