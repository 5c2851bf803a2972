//! SIGTERM: what is in flight ends and is written, or is given up in time; nothing new is asked.
//!
//! **Invariant:** the operator is a process of its own, and what it left behind is read from the
//! cluster after its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use oauthcc_harness::operator::{Operator, Termination};
use oauthcc_harness::wait::wait_for;
use serde_json::json;

use crate::figures::Figures;
use crate::tenant::Tenant;
use crate::world::{SOON, World, tail};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// How long the end may take.
const PROMISED: Duration = Duration::from_secs(10);
/// A test that waits longer can say how long it took.
const BOUND: Duration = Duration::from_secs(40);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.own_world(
            "a_grant_in_flight_at_sigterm_is_written_and_no_other_is_asked_for",
            written,
        ),
        suite.own_world(
            "sigterm_gives_up_what_does_not_end_and_a_second_one_ends_at_once",
            given_up,
        ),
    ]
}

/// A first token of `crm` that the authorization server holds back.
async fn held(world: &Arc<World>) -> anyhow::Result<Tenant> {
    let tenant = Tenant::with_client_secret(world, HOUR).await?;
    world.server.hold(&tenant.client_id).await?;
    tenant.apply("crm", json!({"request": {"timeout": "30s"}})).await?;
    tenant.wait_held().await?;
    Ok(tenant)
}

fn in_order(
    what: &'static str,
    operator: &Operator,
    ended: Termination,
    within: Duration,
) -> Outcome {
    let mut figures = Figures::of(what);
    figures.add(ended.took);
    figures.print();
    let last_words = tail(&operator.output());
    ensure!(ended.took < within, "{what} after {:?}; it said:\n{last_words}", ended.took);
    Ok(())
}

async fn written(world: Arc<World>) -> Outcome {
    let tenant = held(&world).await?;
    let operator = world.take_operator()?;
    let meanwhile = async {
        wait_for("the operator to hear the signal", SOON, async || {
            operator.output().contains("stopping: requests in flight end first")
        })
        .await?;
        let running = operator.is_running();
        ensure!(running, "it ended without the token in flight");
        tenant.apply("late", json!({})).await?;
        world.server.release(&tenant.client_id).await
    };
    let (ended, meanwhile) = tokio::join!(operator.terminate(BOUND), meanwhile);
    meanwhile?;
    let ended = ended?;
    ensure!(ended.status.code() == Some(0), "it ended with {}", ended.status);
    in_order("SIGTERM ends the process with a grant in flight", &operator, ended, PROMISED)?;
    let token = tenant.token("crm").await?;
    ensure!(world.server.introspect(&token).await?.active, "the token is alive");
    tenant.wait_ready("crm").await?;
    tenant.expect_events("crm", &["TokenIssued"]).await?;
    ensure!(tenant.token_requests().await? == 1, "a token was asked for after the signal");

    world.start_operator().await?;
    tenant.wait_ready("late").await?;
    ensure!(tenant.token("crm").await? == token, "the next process keeps the token");
    ensure!(tenant.token_requests().await? == 2, "and asks for the late one alone");
    Ok(())
}

async fn given_up(world: Arc<World>) -> Outcome {
    let tenant = held(&world).await?;
    let operator = world.take_operator()?;
    let ended = operator.terminate(BOUND).await?;
    ensure!(ended.status.code() == Some(0), "it ended with {}", ended.status);
    in_order("SIGTERM gives up a grant in flight", &operator, ended, PROMISED)?;
    let left = tenant.secrets().get_opt("crm").await?;
    ensure!(left.is_none(), "a Secret without a token was written");

    // The next process finds the same credential and waits for the same answer.
    world.start_operator().await?;
    tenant.wait_held().await?;
    let operator = world.take_operator()?;
    let second = async {
        wait_for("the operator to hear the first signal", SOON, async || {
            operator.output().contains("stopping: requests in flight end first")
        })
        .await?;
        operator.terminate(BOUND).await
    };
    let (first, second) = tokio::join!(operator.terminate(BOUND), second);
    let (first, second) = (first?, second?);
    ensure!(first.status.code() == Some(130), "it ended with {}", first.status);
    in_order("a second SIGTERM ends the process", &operator, second, Duration::from_secs(2))
}
