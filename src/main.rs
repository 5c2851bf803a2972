//! The process: reads the command line and hands over to one verb.
//!
//! **Invariant:** no logic; an error ends here, with its chain and an exit code (1 error, 2 usage).

use std::io;
use std::process::ExitCode;

use clap::Parser;
use oauthcc_operator::cli::{self, Cli, Command};
use oauthcc_operator::settings::Settings;

fn main() -> ExitCode {
    match start(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the log may not be set up")]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(arguments) => {
            let settings =
                Settings::from_arguments(*arguments).unwrap_or_else(|usage| usage.exit());
            // One crypto library for the API server, token endpoints and digests.
            drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let ran = runtime.block_on(cli::run::run(settings));
            // What still hangs on a silent endpoint is not waited for.
            runtime.shutdown_background();
            ran
        }
        Command::Crd => Ok(cli::until_the_pipe_breaks(cli::crd::print(&mut io::stdout().lock()))?),
        Command::Version => {
            Ok(cli::until_the_pipe_breaks(cli::version::print(&mut io::stdout().lock()))?)
        }
    }
}
