//! Pods on a real node that mount managed Secrets, and what the processes in them read across rotations.
//!
//! In: a node of the harness beside the control plane, the authorization server and the operator. Out: pairs
//! that belong together, tokens that are alive while they are read, what does not follow, and how late the rest is.
//! **Invariant:** a pod gets a token from its mount and from nowhere else, and what it read is what it
//! printed; every wait is bounded.

#![allow(
    clippy::indexing_slicing,
    reason = "an index that is not there fails the test, as it should"
)]
#![allow(
    unreachable_pub,
    reason = "a test binary has no users; `pub` marks what other modules of it use"
)]

mod kept;
#[path = "../cluster/objects.rs"]
#[allow(dead_code, reason = "tests/cluster uses all of it")]
mod objects;
mod pod;
mod readers;
mod scene;
mod slow;
#[path = "../cluster/suite.rs"]
mod suite;
#[path = "../cluster/tenant.rs"]
#[allow(dead_code, reason = "tests/cluster uses all of it")]
mod tenant;
mod waiting;
#[path = "../cluster/witness.rs"]
#[allow(dead_code, reason = "tests/cluster uses all of it")]
mod witness;
#[path = "../cluster/world.rs"]
#[allow(dead_code, unused_imports, reason = "tests/cluster uses all of it")]
mod world;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use scene::Scene;
use suite::Outcome;

type Suite = suite::Suite<Scene>;

/// More than there are tests: each waits for a rotation, and none needs much of a core.
const THREADS: usize = 16;
const SECOND: Duration = Duration::from_secs(1);

/// `--ignored` runs the slow test alone, on a kubelet with its defaults; the others want one that looks
/// every second.
fn main() -> ExitCode {
    let slow = Arguments::from_args().ignored;
    let sync_frequency = (!slow).then_some(SECOND);
    suite::run(THREADS, Scene::start(sync_frequency), Scene::keep_logs, |suite| trials(suite, slow))
}

fn trials(suite: &Suite, slow: bool) -> Vec<Trial> {
    if slow {
        return slow::tests(suite);
    }
    [readers::tests(suite), kept::tests(suite), waiting::tests(suite)]
        .into_iter()
        .flatten()
        .collect()
}
