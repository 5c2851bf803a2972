//! Gets the programs and the image of a node.
//!
//! **Invariant:** the script alone decides what is got and where it is kept.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, ensure};

use super::script;

/// A minute of two cores after the control plane, 6 minutes without it.
const INSTALL_BOUND: Duration = Duration::from_secs(30 * 60);

/// Runs `tests/node/fetch.sh`, which does nothing the second time, and gives the directory.
pub(super) async fn install() -> anyhow::Result<PathBuf> {
    let script = script("fetch.sh");
    let fetch = tokio::process::Command::new("sh")
        .arg(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(INSTALL_BOUND, fetch)
        .await
        .context("getting a node did not end")?
        .with_context(|| format!("failed to run {}", script.display()))?;
    ensure!(output.status.success(), "{} failed: {}", script.display(), output.status);
    let directory = String::from_utf8(output.stdout).context("fetch.sh printed no UTF-8")?;
    Ok(PathBuf::from(directory.trim()))
}
