//! The main line: a token arrives, is renewed in time, and costs what it should.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::json;

use crate::tenant::Tenant;
use crate::world::World;
use crate::{Outcome, Suite};

const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("first_token_costs_one_request_and_the_fewest_calls", first_token),
        suite.shared("one_rotation_costs_one_request_one_get_two_patches", one_rotation),
    ]
}

async fn first_token(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let mark = tenant.mark().await?;
    tenant.apply("crm", json!({"scopes": ["orders.read"]})).await?;
    tenant.wait_ready("crm").await?;
    let token = tenant.token("crm").await?;
    ensure!(world.server.introspect(&token).await?.active, "the token is alive");
    tenant
        .expect_calls(
            mark,
            &[
                ("get secrets", 2), // The live look at the target's name, and the client Secret.
                ("patch secrets", 1),
                ("patch oauthclientcredentials/status", 1),
                ("create events", 1),
            ],
        )
        .await?;
    ensure!(tenant.token_requests().await? == 1, "one token request");
    tenant.expect_events("crm", &["TokenIssued"]).await
}

async fn one_rotation(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HALF_MINUTE).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_events("crm", &["ShortLivedToken", "TokenIssued"]).await?;
    let mark = tenant.mark().await?;
    tenant.wait_revision("crm", 2).await?;
    tenant
        .expect_calls(
            mark,
            &[("get secrets", 1), ("patch secrets", 1), ("patch oauthclientcredentials/status", 1)],
        )
        .await?;
    ensure!(tenant.token_requests().await? == 2, "one token request more");
    Ok(())
}
