//! Gets Keycloak.
//!
//! **Invariant:** the script alone decides what is got and where it is kept.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};

/// 177 MB over a slow line, and half a minute of two idle cores.
const INSTALL_BOUND: Duration = Duration::from_secs(15 * 60);

/// Runs `tests/keycloak/fetch.sh`, which does nothing the second time, and gives the directory.
pub(super) async fn install() -> anyhow::Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../keycloak/fetch.sh");
    let fetch = tokio::process::Command::new("sh")
        .arg(&script)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(INSTALL_BOUND, fetch)
        .await
        .context("getting Keycloak did not end")?
        .with_context(|| format!("failed to run {}", script.display()))?;
    ensure!(output.status.success(), "{} failed: {}", script.display(), output.status);
    let directory = String::from_utf8(output.stdout).context("fetch.sh printed no UTF-8")?;
    Ok(PathBuf::from(directory.trim()))
}
