//! The operator on a real control plane and a real authorization server.
//!
//! Tests that can share an operator do: each has a namespace and a client of its own, so counts stay
//! exact. Tests that stop, kill or starve something start a world of their own.
//!
//! **Invariant:** the operator under test runs as the ServiceAccount of `charts/install.yaml`, never
//! as an administrator; every wait is bounded and says what it waited for.

#![allow(
    clippy::indexing_slicing,
    reason = "an index that is not there fails the test, as it should"
)]
#![allow(
    unreachable_pub,
    reason = "a test binary has no users; `pub` marks what other modules of it use"
)]

mod admission;
mod backoff;
mod canary;
mod consumers;
mod deletion;
mod drift;
mod failures;
mod figures;
mod foreign;
mod formats;
mod grants;
mod life;
mod metrics;
mod misoperation;
mod objects;
mod obstacles;
mod outage;
mod overlap;
mod overload;
mod readiness;
mod refusals;
mod reports;
mod restart;
mod revocation;
mod rivals;
mod rotation;
mod schema;
mod service_account;
mod shapes;
mod shutdown;
mod suite;
mod takeover;
mod tenant;
mod tools;
mod triggers;
mod trust;
mod upgrade;
mod values;
mod witness;
mod world;
mod writes;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Trial;
use suite::{Outcome, failed};
use world::World;

type Suite = suite::Suite<World>;

/// Each test mostly waits; the machine is shared by a control plane all the same.
const THREADS: usize = 4;

fn main() -> ExitCode {
    suite::run(THREADS, World::start(&[]), World::keep_logs, trials)
}

fn trials(suite: &Suite) -> Vec<Trial> {
    [
        rotation::tests(suite),
        schema::tests(suite),
        misoperation::tests(suite),
        tools::tests(suite),
        readiness::tests(suite),
        admission::tests(suite),
        metrics::tests(suite),
        canary::tests(suite),
        refusals::tests(suite),
        foreign::tests(suite),
        shapes::tests(suite),
        grants::tests(suite),
        service_account::tests(suite),
        trust::tests(suite),
        failures::tests(suite),
        backoff::tests(suite),
        reports::tests(suite),
        restart::tests(suite),
        triggers::tests(suite),
        takeover::tests(suite),
        rivals::tests(suite),
        drift::tests(suite),
        formats::tests(suite),
        consumers::tests(suite),
        values::tests(suite),
        overlap::tests(suite),
        deletion::tests(suite),
        life::tests(suite),
        revocation::tests(suite),
        outage::tests(suite),
        shutdown::tests(suite),
        overload::tests(suite),
        writes::tests(suite),
        upgrade::tests(suite),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Suite {
    /// A test in a world of its own, whose operator it may stop and kill.
    fn own_world<F, T>(&self, name: &str, test: F) -> Trial
    where
        F: FnOnce(Arc<World>) -> T + Send + 'static,
        T: Future<Output = Outcome>,
    {
        self.alone(name, async move || {
            let world = Arc::new(World::start(&[]).await?);
            test(Arc::clone(&world)).await.inspect_err(|_| world.keep_logs())
        })
    }

    /// A test that starts what it needs by itself.
    fn alone<F, T>(&self, name: &str, test: F) -> Trial
    where
        F: FnOnce() -> T + Send + 'static,
        T: Future<Output = Outcome>,
    {
        let handle = self.handle.clone();
        Trial::test(name, move || handle.block_on(test()).map_err(failed))
    }
}
