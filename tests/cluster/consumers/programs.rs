//! The consumers themselves: real programs, started with nothing of this machine's own settings for them.
//!
//! In: a name, arguments, variables. Out: what the program printed, or a line that says why it was not run.
//! **Invariant:** a program that is not there is skipped with a line on standard error, never silently;
//! one that is there and fails is an error with its words.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;

/// The slowest is `npm` on a busy machine.
const BOUND: Duration = Duration::from_secs(60);
/// Building crane on a machine that has built no Go program before.
const BUILD_BOUND: Duration = Duration::from_secs(600);
/// By these names a machine's own settings for a consumer begin.
const FOREIGN: [&str; 7] = ["GIT_", "NPM_", "PIP_", "DOCKER_", "REGISTRY_", "CURL_", "NETRC"];

/// Says that something is not tried here, and why.
pub fn skipped(what: &str, why: &str) {
    #[expect(
        clippy::print_stderr,
        reason = "what was not run must be seen by whoever ran the tests"
    )]
    {
        eprintln!("skipped: {what}: {why}");
    }
}

/// Whether these are on PATH; a line says so where one is not.
pub fn are_there(what: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let missing = programs
        .iter()
        .find(|program| !folders.iter().any(|folder| folder.join(program).is_file()));
    if let Some(missing) = missing {
        skipped(what, &format!("{missing} is not on PATH"));
    }
    missing.is_none()
}

/// A program in a directory of its own.
pub struct Consumer<'a> {
    pub directory: &'a Path,
    pub variables: &'a [(&'a str, &'a str)],
}

impl Consumer<'_> {
    /// Runs it to its end, and gives what it printed.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let upper = name.to_string_lossy().to_uppercase();
            if upper.ends_with("_PROXY") || FOREIGN.iter().any(|start| upper.starts_with(start)) {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.directory)
            .envs(self.variables.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(BOUND, command.output())
            .await
            .with_context(|| format!("{program} {arguments:?} did not end"))?
            .with_context(|| format!("failed to run {program}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {arguments:?}: {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// The registry client, built where it is missing.
pub async fn crane() -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consumers/crane.sh");
    let build = Command::new("sh")
        .arg(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(BUILD_BOUND, build)
        .await
        .context("building crane did not end")?
        .with_context(|| format!("failed to run {}", script.display()))?;
    ensure!(output.status.success(), "{} failed: {}", script.display(), output.status);
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
