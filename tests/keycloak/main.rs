//! The operator on a real control plane and a real Keycloak: every way to prove a client ends in tokens
//! that rotate, every wrong proof in a condition that says what to change.
//!
//! In: the clients that the harness registers. Out: credentials Ready, tokens that Keycloak knows as
//! alive, refusals as a person reads them.
//! **Invariant:** the operator runs as the ServiceAccount of `charts/install.yaml`; one Keycloak for all
//! tests, so no test changes it; every wait is bounded.

#![allow(
    clippy::indexing_slicing,
    reason = "an index that is not there fails the test, as it should"
)]
#![allow(
    unreachable_pub,
    reason = "a test binary has no users; `pub` marks what other modules of it use"
)]

mod credential;
mod direct;
mod grants;
mod http_2;
#[path = "../cluster/objects.rs"]
mod objects;
mod refusals;
mod request;
#[path = "../cluster/suite.rs"]
mod suite;
mod world;

use std::process::ExitCode;

use libtest_mimic::Trial;
use suite::Outcome;
use world::World;

type Suite = suite::Suite<World>;

/// More than there are tests: each waits for a rotation, and none needs much of a core.
const THREADS: usize = 32;

fn main() -> ExitCode {
    suite::run(THREADS, World::start(), World::keep_logs, trials)
}

fn trials(suite: &Suite) -> Vec<Trial> {
    [grants::tests(suite), http_2::tests(suite), refusals::tests(suite), direct::tests(suite)]
        .into_iter()
        .flatten()
        .collect()
}
