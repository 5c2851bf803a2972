//! The main line: a token arrives, is renewed in time, and costs what it should.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::schedule::{span, whole_second};
use serde_json::json;

use crate::tenant::Tenant;
use crate::witness::{Seen, Witness};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
/// How many rotations of each credential are watched.
const ROTATIONS: i64 = 6;

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("first_token_costs_one_request_and_the_fewest_calls", first_token),
        suite.shared("one_rotation_costs_one_request_one_get_two_patches", one_rotation),
        suite.shared("every_version_of_a_rotating_secret_holds_a_live_token", rotations),
        suite.own_world("a_quiet_minute_costs_no_call_but_watches", quiet_minute),
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

async fn rotations(world: Arc<World>) -> Outcome {
    let names = ["crm", "erp", "mail"];
    let tenant = Tenant::with_client_secret(&world, HALF_MINUTE).await?;
    let mut witness = Witness::start(&tenant).await?;
    for name in names {
        tenant.apply(name, json!({})).await?;
    }
    let bound = HALF_MINUTE * u32::try_from(ROTATIONS)?;
    witness.wait_revision(&names, ROTATIONS + 1, bound).await?;
    for name in names {
        tenant.merge(name, json!({"spec": {"suspend": true}})).await?;
    }
    let seen: Vec<_> = names.iter().map(|name| witness.seen(name)).collect();
    for pair in seen.iter().flat_map(|seen| seen.windows(2)) {
        let [old, new] = pair else { continue };
        let early = new.issued_at < whole_second(old.renewal_at); // Issue times are whole seconds.
        ensure!(!early, "revision {} came before its time: {new:?}", new.revision);
        ensure!(new.issued_at < old.expires_at, "revision {} came late: {new:?}", new.revision);
    }
    // A request that was under way when they were suspended is answered and written.
    let what = "as many token requests as revisions";
    wait_for(what, SOON, async || {
        let made = tenant.token_requests().await?;
        let seen = names.iter().map(|name| witness.seen(name).len());
        let written = seen.sum::<usize>();
        ensure!(made == written, "{made} requests, {written} revisions");
        Ok(())
    })
    .await?;
    report(&seen);
    Ok(())
}

/// The measured figures, on one line.
fn report(seen: &[Vec<Seen>]) {
    let pairs: Vec<_> = seen.iter().flat_map(|seen| seen.windows(2)).collect();
    let measure = |what: fn(&Seen, &Seen) -> Duration| -> Vec<Duration> {
        let mut all: Vec<_> = pairs
            .iter()
            .filter_map(|pair| if let [old, new] = pair { Some(what(old, new)) } else { None })
            .collect();
        all.sort();
        all
    };
    let late = measure(|old, new| span(old.renewal_at, new.told_at));
    let age = measure(|old, new| span(old.issued_at, new.told_at));
    let left = measure(|old, new| span(new.told_at, old.expires_at));
    let leeway = seen.iter().flatten().map(|seen| seen.leeway).max();
    #[expect(clippy::print_stdout, reason = "measured figures are what this test is read for")]
    {
        println!(
            "{} rotations of {} credentials: in the Secret after the renewal point by median {:.3?}, \
             max {:.3?}; age when replaced {:.1?} to {:.1?}, median {:.1?}; at least {:.1?} left; \
             the server lets it live up to {} s longer than expires-at",
            pairs.len(),
            seen.len(),
            median(&late),
            late.last().copied().unwrap_or_default(),
            age.first().copied().unwrap_or_default(),
            age.last().copied().unwrap_or_default(),
            median(&age),
            left.first().copied().unwrap_or_default(),
            leeway.unwrap_or_default(),
        );
    }
}

fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

async fn quiet_minute(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let names = ["crm", "erp", "mail"];
    for name in names {
        tenant.apply(name, json!({})).await?;
    }
    for name in names {
        tenant.wait_ready(name).await?;
        tenant.expect_events(name, &["TokenIssued"]).await?;
    }
    let mark = tenant.mark().await?;
    holds_for("the operator makes no call but watches", Duration::from_secs(62), async || {
        let calls = world.all_calls(mark).await?;
        ensure!(calls.is_empty(), "{calls:?}");
        Ok(())
    })
    .await?;
    // Watches end after 60 s: each was begun again, from where it was.
    let what = "both watches to be begun again, without a list";
    wait_for(what, SOON, async || {
        let begun = world.watches(mark).await?;
        ensure!(begun.len() == 2, "{begun:?}");
        let calls = world.all_calls(mark).await?;
        ensure!(calls.is_empty(), "{calls:?}");
        Ok(())
    })
    .await
    .context("after the quiet minute")?;
    ensure!(tenant.token_requests().await? == names.len(), "one token request each");
    Ok(())
}
