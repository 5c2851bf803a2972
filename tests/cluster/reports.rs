//! Status is a report: what becomes of it must not decide what becomes of a token, and what is
//! reported is what is there now.
//!
//! **Invariant:** rights are taken away in a world of its own, and given back before it ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::json;

use crate::obstacles::Rights;
use crate::tenant::{CLIENT_SECRET, Tenant};
use crate::world::World;
use crate::{Outcome, Suite};

const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.own_world("a_status_that_can_not_be_written_stops_no_renewal", unreported),
        suite.shared("a_credential_made_anew_looks_anew_at_its_client_secret", made_anew),
    ]
}

/// Two renewals of a 30 s token without a word of them, then the report of the latest.
async fn unreported(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HALF_MINUTE).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    let rights = Rights::to_write_status_taken(&world, &tenant.namespace).await?;
    for revision in [2, 3] {
        tenant.wait_revision("crm", revision).await?;
        let token = tenant.token("crm").await?;
        ensure!(world.server.introspect(&token).await?.active, "revision {revision} is alive");
    }
    let told = tenant.status("crm").await?.token.map(|token| token.revision);
    ensure!(told == Some(1), "nothing was reported meanwhile: {told:?}");
    ensure!(tenant.token_requests().await? == 3, "one request per token");
    rights.give_back().await?;
    tenant.wait_revision("crm", 4).await?;
    tenant.wait_ready("crm").await
}

/// What was known of a Secret that nobody named for a while must not be believed later.
async fn made_anew(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_condition("crm", "Ready", "False", "CredentialsNotFound").await?;
    tenant.delete("crm").await?;
    tenant.apply_client_secret(&tenant.client_secret).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    tenant.delete("crm").await?;
    tenant.delete_secret(CLIENT_SECRET).await?;
    tenant.apply("erp", json!({})).await?;
    tenant.wait_condition("erp", "Ready", "False", "CredentialsNotFound").await?;
    ensure!(tenant.token_requests().await? == 1, "one request in all");
    Ok(())
}
