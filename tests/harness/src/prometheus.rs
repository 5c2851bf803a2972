//! A Prometheus that scrapes what a test tells it to.
//!
//! In: its configuration, and `tests/consumers/prometheus.sh`, which finds or gets the program. Out: a
//! process on loopback, and what it answers to queries.
//! **Invariant:** where there is no Prometheus to be had, the caller is told so and why, and may skip;
//! one that is there and does not start is an error.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};
use reqwest::Url;
use serde_json::Value;

use crate::{
    ports::Port,
    process::{Process, command},
    wait::wait_for,
    work_directory::WorkDirectory,
};

/// A download on a slow line, and lists of packages before it.
const FETCH_BOUND: Duration = Duration::from_secs(300);
const READY_BOUND: Duration = Duration::from_secs(30);
/// What the script says by its exit code where there is none to be had.
const NOT_TO_BE_HAD: i32 = 3;

/// A running Prometheus; dropping it ends it.
#[derive(Debug)]
pub struct Prometheus {
    port: Port,
    client: reqwest::Client,
    process: Process,
    directory: WorkDirectory,
}

/// The program, or why there is none.
pub async fn program() -> anyhow::Result<Result<PathBuf, String>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../consumers/prometheus.sh");
    let fetch = tokio::process::Command::new("sh")
        .arg(&script)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(FETCH_BOUND, fetch)
        .await
        .context("getting Prometheus did not end")?
        .with_context(|| format!("failed to run {}", script.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.code() == Some(NOT_TO_BE_HAD) {
        return Ok(Err(said));
    }
    ensure!(output.status.success(), "{} failed: {said}", script.display());
    let path = String::from_utf8(output.stdout).context("prometheus.sh printed no UTF-8")?;
    Ok(Ok(PathBuf::from(path.trim())))
}

impl Prometheus {
    /// Starts `program` with this configuration (1 s).
    pub async fn start(program: &Path, configuration: &str) -> anyhow::Result<Self> {
        let directory = WorkDirectory::create("prometheus")?;
        let port = Port::reserve()?;
        let file = directory.write("prometheus.yml", configuration)?;
        let mut prometheus = command(program);
        prometheus
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.file("data").display()))
            .arg(format!("--web.listen-address={}", port.address()));
        let process = Process::spawn("prometheus", prometheus, &directory.file("prometheus.log"))?;
        let prometheus = Self { port, client: crate::http::plain_client()?, process, directory };
        let look = || async {
            match prometheus.process.ensure_running() {
                Err(ended) => Ok(Err(ended)),
                Ok(()) => prometheus.get("/-/ready", &[]).await.map(|_| Ok(())),
            }
        };
        wait_for("Prometheus to be ready", READY_BOUND, look)
            .await
            .inspect_err(|_| prometheus.directory.keep())??;
        Ok(prometheus)
    }

    /// The value of a query that has exactly one; `None` where it has none yet.
    pub async fn value(&self, query: &str) -> anyhow::Result<Option<String>> {
        let text = self.get("/api/v1/query", &[("query", query)]).await?;
        let answer: Value = serde_json::from_str(&text).context("failed to parse the answer")?;
        let found = answer.pointer("/data/result").and_then(Value::as_array);
        let found = found.with_context(|| format!("no result of {query}: {text}"))?;
        ensure!(found.len() < 2, "{query} has more than one value: {text}");
        let value = found.first().and_then(|one| one.pointer("/value/1")).and_then(Value::as_str);
        Ok(value.map(str::to_owned))
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut url = Url::parse(&format!("http://{}{path}", self.port.address()))?;
        url.query_pairs_mut().extend_pairs(parameters);
        let response = self.client.get(url).send().await.context("failed to ask Prometheus")?;
        let status = response.status();
        let text = response.text().await.context("failed to read the answer of Prometheus")?;
        ensure!(status.is_success(), "Prometheus answered {status}: {text}");
        Ok(text)
    }
}
