//! Helm, which renders a chart as an administrator would install it.
//!
//! **Invariant:** nothing is installed and no cluster is asked.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::script::printed_path;

/// 2 minutes on two idle cores, once and only where the machine has no Helm.
const BUILD_BOUND: Duration = Duration::from_secs(15 * 60);
const RENDER_BOUND: Duration = Duration::from_secs(60);
/// The oldest Kubernetes that the chart wants, whatever this Helm takes for granted.
const KUBERNETES: &str = "1.33.0";

/// The manifests of one template of a chart, for a release of this name with these values.
pub async fn render(
    chart: &Path,
    template: &str,
    release: &str,
    values: &Value,
) -> anyhow::Result<String> {
    let helm = printed_path("helm/build.sh", BUILD_BOUND).await?;
    let set: Vec<_> = values.as_object().context("values are an object")?.iter().collect();
    let run = tokio::process::Command::new(helm)
        .args(["template", release, "--kube-version", KUBERNETES, "--show-only", template])
        .args(
            set.iter()
                .flat_map(|(name, value)| ["--set-json".to_owned(), format!("{name}={value}")]),
        )
        .arg(chart)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(RENDER_BOUND, run)
        .await
        .context("helm template did not end")?
        .context("failed to run helm")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "helm template failed: {}", said.trim());
    String::from_utf8(output.stdout).context("helm wrote no UTF-8")
}
