//! The whole life of a credential as a table of steps, each with all that it costs and leads to; and in
//! the end nothing more is written.
//!
//! **Invariant:** every step is an edit as a person makes it, on the real control plane, and its counts
//! are exact; lines play side by side, each in a namespace of its own.

mod edits;
mod ownership;
mod stage;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures::future::join_all;
use libtest_mimic::Trial;
use oauthcc_harness::wait::holds_for;

use crate::world::World;
use crate::{Outcome, Suite};
use stage::{Stage, Steps};

/// No attempt, expiry or renewal is due in it.
const QUIET: Duration = Duration::from_secs(15);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![suite.shared("every_step_of_a_life_costs_what_it_must_and_then_it_is_quiet", steps)]
}

type Line = Pin<Box<dyn Future<Output = anyhow::Result<Stage>> + Send>>;

fn lines(world: &Arc<World>, steps: &Arc<Steps>) -> Vec<Line> {
    let handed = || (Arc::clone(world), Arc::clone(steps));
    macro_rules! lines {
        ($($line:path),* $(,)?) => {
            vec![$({ let (world, steps) = handed(); Box::pin($line(world, steps)) as Line }),*]
        };
    }
    lines![
        edits::creation,
        edits::suspension,
        edits::requests,
        edits::renames,
        edits::types,
        edits::contents,
        edits::drift,
        edits::errors,
        ownership::hand_over,
        ownership::adoption,
        ownership::rivals,
        ownership::retention,
        ownership::backup,
        ownership::deletion,
    ]
}

async fn steps(world: Arc<World>) -> Outcome {
    let steps = Arc::default();
    let mut stages = Vec::new();
    let mut failed = Vec::new();
    for played in join_all(lines(&world, &steps)).await {
        match played {
            Ok(stage) => stages.push(stage),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    let lines = steps.lines();
    #[expect(clippy::print_stdout, reason = "the table is what a reader of the test wants to see")]
    {
        println!("{}", lines.join("\n"));
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    ensure!(lines.len() >= 60, "{} steps", lines.len());
    let since = world.plane.audit().mark().await?;
    holds_for("nothing is written", QUIET, async || {
        for stage in &stages {
            let writes = stage.writes(since).await?;
            ensure!(writes.is_empty(), "{}: {writes:?}", stage.tenant.namespace);
        }
        Ok(())
    })
    .await
}
