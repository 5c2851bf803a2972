//! A real Keycloak beside a real control plane: what it takes as proof of a client, and what it refuses.
//!
//! In: the clients that the harness registers. Out: for each of them a token, or the refusal that a
//! wrong proof must get.
//! **Invariant:** one server for all tests, so no test changes it; every wait is bounded.

#![allow(
    unreachable_pub,
    reason = "a test binary has no users; `pub` marks what other modules of it use"
)]

mod direct;
mod proof;
mod refusals;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use world::World;

/// What a test is handed.
type Outcome = anyhow::Result<()>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Runtime::new().expect("a runtime starts");
    let wanted = !arguments.list;
    let world = match wanted.then(|| runtime.block_on(World::start())).transpose() {
        Ok(world) => world.map(Arc::new),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the reason why no test can run")]
            {
                eprintln!("error: failed to start Keycloak and the control plane: {error:#}");
            }
            return ExitCode::FAILURE;
        }
    };
    let suite = Suite { handle: runtime.handle().clone(), world };
    let trials = [direct::tests(&suite), refusals::tests(&suite)].into_iter().flatten().collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if conclusion.has_failed()
        && let Some(world) = &suite.world
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
    world: Option<Arc<World>>,
}

impl Suite {
    fn test<F, T>(&self, name: &str, test: F) -> Trial
    where
        F: FnOnce(Arc<World>) -> T + Send + 'static,
        T: Future<Output = Outcome>,
    {
        let (handle, world) = (self.handle.clone(), self.world.clone());
        Trial::test(name, move || {
            let world = world.ok_or("the world was not started")?;
            handle.block_on(test(world)).map_err(failed)
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn failed(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}
