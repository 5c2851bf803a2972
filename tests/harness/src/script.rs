//! Scripts under `tests/` that get or build a program and print where it is.
//!
//! **Invariant:** the script alone decides what is got and where it is kept; none is waited for
//! without a bound.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};

/// Runs a script, which does nothing the second time, and gives the path that it prints.
pub(crate) async fn printed_path(script: &str, bound: Duration) -> anyhow::Result<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(script);
    let run = tokio::process::Command::new("sh")
        .arg(&file)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(bound, run)
        .await
        .with_context(|| format!("tests/{script} did not end"))?
        .with_context(|| format!("failed to run tests/{script}"))?;
    ensure!(output.status.success(), "tests/{script} failed: {}", output.status);
    let path = String::from_utf8(output.stdout)
        .with_context(|| format!("tests/{script} printed no UTF-8"))?;
    Ok(PathBuf::from(path.trim()))
}
