//! An API server that is killed and comes back: the operator lives through it, and nothing is asked
//! or written because of it.
//!
//! **Invariant:** tokens are fresh, so whatever is asked or written here is due to the outage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use libtest_mimic::Trial;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::MANAGED_LABEL;
use serde_json::json;

use crate::figures::Figures;
use crate::tenant::Tenant;
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![suite.own_world("a_killed_api_server_costs_no_request_and_no_write", killed)]
}

async fn killed(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    for name in ["crm", "erp", "mail"] {
        tenant.apply(name, json!({})).await?;
    }
    for name in ["crm", "erp", "mail"] {
        tenant.wait_ready(name).await?;
        tenant.expect_events(name, &["TokenIssued"]).await?;
    }
    let mark = tenant.mark().await?;
    world.plane.kill_api_server();
    for watch in ["failed to watch OAuthClientCredentials", "failed to watch Secrets"] {
        wait_for(watch, SOON, async || world.operator_output().contains(watch)).await?;
    }
    world.plane.restart_api_server().await?;
    let back_at = Instant::now();
    wait_for("both watches to be back", Duration::from_secs(60), async || {
        let begun = world.watches(mark).await?;
        ensure!(begun.len() == 2, "{begun:?}");
        Ok(())
    })
    .await?;
    let mut figures = Figures::of("both watches are back after the API server");
    figures.add(back_at.elapsed());
    figures.print();
    holds_for("the outage costs nothing", Duration::from_secs(3), async || {
        let calls = world.calls(mark, &tenant.namespace).await?;
        ensure!(calls.is_empty(), "{calls:?}");
        ensure!(tenant.token_requests().await? == 3, "a token was asked for");
        Ok(())
    })
    .await?;

    // Both watches tell again.
    tenant.apply("late", json!({})).await?;
    tenant.wait_ready("late").await?;
    tenant.merge_secret("crm", json!({"metadata": {"labels": {MANAGED_LABEL: null}}})).await?;
    tenant.expect_events("crm", &["SecretDriftRepaired", "TokenIssued"]).await?;
    ensure!(tenant.token_requests().await? == 4, "one token request, of the late one");
    Ok(())
}
