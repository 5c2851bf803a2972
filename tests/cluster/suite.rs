//! Async tests in one world that they share.
//!
//! In: how the world starts. Out: an exit code. Included by `tests/keycloak` too.
//! **Invariant:** the world starts once and only where a test is to run, ends before the process does,
//! and keeps its logs where a test has failed.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};

/// What a test is handed back.
pub type Outcome = anyhow::Result<()>;

/// Makes trials of async functions.
pub struct Suite<W> {
    /// Runs them.
    pub handle: Handle,
    world: Option<Arc<W>>,
}

impl<W: Send + Sync + 'static> Suite<W> {
    /// A test in the shared world.
    pub fn shared<F, T>(&self, name: &str, test: F) -> Trial
    where
        F: FnOnce(Arc<W>) -> T + Send + 'static,
        T: Future<Output = Outcome>,
    {
        let (handle, world) = (self.handle.clone(), self.world.clone());
        Trial::test(name, move || {
            let world = world.ok_or("the world was not started")?;
            handle.block_on(test(world)).map_err(failed)
        })
    }
}

/// Starts the world and runs the tests in it, so many at once unless the command line says otherwise:
/// each test mostly waits.
pub fn run<W: Send + Sync + 'static>(
    threads: usize,
    start: impl Future<Output = anyhow::Result<W>>,
    keep_logs: impl FnOnce(&W),
    trials: impl FnOnce(&Suite<W>) -> Vec<Trial>,
) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    let runtime = Runtime::new().expect("a runtime starts");
    let wanted = !arguments.list;
    let world = match wanted.then(|| runtime.block_on(start)).transpose() {
        Ok(world) => world.map(Arc::new),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the reason why no test can run")]
            {
                eprintln!("error: failed to start what the tests need: {error:#}");
            }
            return ExitCode::FAILURE;
        }
    };
    let suite = Suite { handle: runtime.handle().clone(), world };
    let conclusion = libtest_mimic::run(&arguments, trials(&suite));
    if conclusion.has_failed()
        && let Some(world) = &suite.world
    {
        keep_logs(world);
    }
    drop(suite);
    drop(runtime);
    conclusion.exit_code()
}

/// What a failed test shows.
#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
pub fn failed(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}
