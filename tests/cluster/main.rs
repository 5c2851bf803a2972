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

mod backoff;
mod canary;
mod deletion;
mod drift;
mod failures;
mod figures;
mod foreign;
mod formats;
mod grants;
mod metrics;
mod obstacles;
mod outage;
mod overload;
mod refusals;
mod reports;
mod restart;
mod rivals;
mod rotation;
mod schema;
mod service_account;
mod shutdown;
mod takeover;
mod tenant;
mod tools;
mod triggers;
mod trust;
mod upgrade;
mod witness;
mod world;
mod writes;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use world::World;

/// What a test is handed.
type Outcome = anyhow::Result<()>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each test mostly waits; the machine is shared by a control plane all the same.
    arguments.test_threads.get_or_insert(4);
    let runtime = Runtime::new().expect("a runtime starts");
    let wanted = !arguments.list;
    let shared = wanted.then(|| runtime.block_on(World::start(&[])));
    let shared = match shared.transpose() {
        Ok(world) => world.map(Arc::new),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the reason why no test can run")]
            {
                eprintln!("error: failed to start the control plane: {error:#}");
            }
            return ExitCode::FAILURE;
        }
    };
    let suite = Suite { handle: runtime.handle().clone(), shared };
    let trials = [
        rotation::tests(&suite),
        schema::tests(&suite),
        tools::tests(&suite),
        metrics::tests(&suite),
        canary::tests(&suite),
        refusals::tests(&suite),
        foreign::tests(&suite),
        grants::tests(&suite),
        service_account::tests(&suite),
        trust::tests(&suite),
        failures::tests(&suite),
        backoff::tests(&suite),
        reports::tests(&suite),
        restart::tests(&suite),
        triggers::tests(&suite),
        takeover::tests(&suite),
        rivals::tests(&suite),
        drift::tests(&suite),
        formats::tests(&suite),
        deletion::tests(&suite),
        outage::tests(&suite),
        shutdown::tests(&suite),
        overload::tests(&suite),
        writes::tests(&suite),
        upgrade::tests(&suite),
    ]
    .into_iter()
    .flatten()
    .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.has_failed()
        && let Some(world) = &suite.shared
    {
        world.keep_logs();
    }
    drop(suite);
    drop(runtime);
    conclusion.exit_code()
}

/// Makes trials of async functions.
struct Suite {
    handle: Handle,
    shared: Option<Arc<World>>,
}

impl Suite {
    /// A test in the shared world.
    fn shared<F, T>(&self, name: &str, test: F) -> Trial
    where
        F: FnOnce(Arc<World>) -> T + Send + 'static,
        T: Future<Output = Outcome>,
    {
        let (handle, world) = (self.handle.clone(), self.shared.clone());
        Trial::test(name, move || {
            let world = world.ok_or("the world was not started")?;
            handle.block_on(test(world)).map_err(failed)
        })
    }

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

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn failed(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}
