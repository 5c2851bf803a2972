//! The command line. In: arguments and environment. Out: one verb with its settings; each verb has
//! a file under `cli/`.
//!
//! **Invariant:** a verb has no logic of its own: it joins rooms and prints. What goes to standard
//! output goes through a writer that the caller hands in.

pub mod crd;
pub mod run;
pub mod version;

use std::io;

use clap::{Parser, Subcommand};

use crate::settings::RunArguments;

/// Keeps live OAuth 2.0 client-credentials tokens in Kubernetes Secrets.
#[derive(Debug, Parser)]
#[command(name = "oauthcc", disable_version_flag = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator until SIGTERM
    Run(Box<RunArguments>),
    /// Print the custom resource definition as YAML
    Crd,
    /// Print the version
    Version,
}

/// A reader that went away, such as `head`, is the end of the output and no error.
pub fn until_the_pipe_breaks(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_broken_pipe_is_the_end_and_another_error_stays_one() {
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(until_the_pipe_breaks(Err(broken)).is_ok());
        assert!(until_the_pipe_breaks(Err(full)).is_err());
    }

    #[test]
    fn every_flag_of_run_has_its_environment_variable() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        for argument in run.get_arguments().filter(|argument| argument.get_id() != "help") {
            let flag = argument.get_long().unwrap();
            let variable = format!("OAUTHCC_{}", flag.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().unwrap().to_str(), Some(variable.as_str()));
        }
    }
}
