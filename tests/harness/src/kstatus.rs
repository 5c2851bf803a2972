//! kstatus, the library by which Flux and Helm 4 tell whether an object is ready.
//!
//! In: objects as the API server gives them. Out: what the library says of each.
//! **Invariant:** the verdict is the library's own, by the program that `tests/kstatus` builds.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::script::printed_path;

/// 20 s on two idle cores, once.
const BUILD_BOUND: Duration = Duration::from_secs(10 * 60);
const RUN_BOUND: Duration = Duration::from_secs(30);

/// What kstatus says of an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Verdict {
    /// `InProgress`, `Current`, `Failed` or `Terminating`.
    pub status: String,
    /// Why.
    pub message: String,
}

/// The program that asks the library.
#[derive(Debug, Clone)]
pub struct Kstatus {
    program: PathBuf,
}

impl Kstatus {
    /// Builds the program where it is missing (20 s, once).
    pub async fn build() -> anyhow::Result<Self> {
        let program = printed_path("kstatus/build.sh", BUILD_BOUND).await?;
        Ok(Self { program })
    }

    /// What kstatus says of each object, in their order.
    pub async fn judge(&self, objects: &[Value]) -> anyhow::Result<Vec<Verdict>> {
        let mut child = tokio::process::Command::new(&self.program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start kstatus")?;
        let mut input = child.stdin.take().context("kstatus has no standard input")?;
        let text: Vec<_> = objects.iter().map(Value::to_string).collect();
        let text = text.join("\n");
        // A program that fails early does not read on; its error tells more than ours.
        let write = async { input.write_all(text.as_bytes()).await.ok().map(|()| drop(input)) };
        let run = async { tokio::join!(write, child.wait_with_output()).1 };
        let output = tokio::time::timeout(RUN_BOUND, run)
            .await
            .context("kstatus did not end")?
            .context("failed to run kstatus")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kstatus failed: {}", said.trim());
        let verdicts = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        let verdicts: Vec<Verdict> =
            verdicts.collect::<Result<_, _>>().context("kstatus printed no verdict")?;
        let (given, asked) = (verdicts.len(), objects.len());
        ensure!(given == asked, "kstatus gave {given} verdicts on {asked} objects");
        Ok(verdicts)
    }
}
