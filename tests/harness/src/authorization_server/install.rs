//! Installs the authorization server's npm packages.
//!
//! **Invariant:** nothing is installed when the packages are as new as the lock file, and two
//! processes never install at once.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::process::lock_file;

const INSTALL_BOUND: Duration = Duration::from_secs(300);

/// The directory of the server's source.
pub(super) fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../authorization-server")
}

/// Runs `npm ci` where the installed packages are missing or older than the lock file.
pub(super) async fn install() -> anyhow::Result<()> {
    let lock_path = source().join("package-lock.json");
    let path = lock_path.clone();
    let _lock = tokio::task::spawn_blocking(move || lock_file(&path))
        .await
        .context("failed to wait for the lock")??;
    let changed = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    let installed = changed(&source().join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= changed(&lock_path) {
        return Ok(());
    }
    let npm = tokio::process::Command::new("npm")
        .args(["ci", "--no-audit", "--no-fund"])
        .current_dir(source())
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .kill_on_drop(true)
        .status();
    let status = tokio::time::timeout(INSTALL_BOUND, npm)
        .await
        .context("npm ci did not end")?
        .context("failed to run npm: Node.js 20 or newer is needed")?;
    ensure!(status.success(), "npm ci in tests/authorization-server failed: {status}");
    Ok(())
}
