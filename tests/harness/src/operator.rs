//! The operator as a process of its own.
//!
//! In: the binary, a kubeconfig, arguments. Out: its output, its metrics, its end.
//! **Invariant:** it sees no environment but what is given here, and never outlives the handle.

use std::{
    path::PathBuf,
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::process::Signal;

use crate::{
    ports::Port,
    process::{Process, command},
    wait::wait_for,
    work_directory::WorkDirectory,
};

/// Variables passed on where set: programs are found by PATH, HOME is expected by many, and a
/// coverage build writes its profile to the last.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "LLVM_PROFILE_FILE"];

/// What to run.
#[derive(Debug, Clone)]
pub struct OperatorOptions {
    /// The `oauthcc` binary.
    pub program: PathBuf,
    /// Whose rights it has.
    pub kubeconfig: PathBuf,
    /// Arguments after `run --bind-address 127.0.0.1:PORT`.
    pub arguments: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Where its output goes; without one, to a temporary file.
    pub log: Option<PathBuf>,
}

/// A running operator; dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    port: Port,
    http: reqwest::Client,
    started_at: Instant,
    directory: WorkDirectory,
}

/// How an operator ended after SIGTERM.
#[derive(Debug, Clone, Copy)]
pub struct Termination {
    /// Its exit status.
    pub status: ExitStatus,
    /// How long it took from the signal.
    pub took: Duration,
}

impl Operator {
    /// Starts `oauthcc run` without waiting for it.
    pub fn start(options: &OperatorOptions) -> anyhow::Result<Self> {
        let directory = WorkDirectory::create("operator")?;
        let port = Port::reserve()?;
        let mut oauthcc = command(&options.program);
        oauthcc.env_clear();
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                oauthcc.env(name, value);
            }
        }
        oauthcc
            .args(["run", "--bind-address", &port.address()])
            .args(&options.arguments)
            .env("KUBECONFIG", &options.kubeconfig)
            .envs(options.environment.iter().map(|(name, value)| (name, value)));
        let log = options.log.clone().unwrap_or_else(|| directory.file("operator.log"));
        let started_at = Instant::now();
        let process = Process::spawn("oauthcc", oauthcc, &log)?;
        Ok(Self { process, port, http: crate::http::plain_client()?, started_at, directory })
    }

    /// Waits until `/readyz` says yes, and gives the time since the start.
    pub async fn wait_ready(&self, bound: Duration) -> anyhow::Result<Duration> {
        let look = || async {
            if let Err(ended) = self.process.ensure_running() {
                return Ok(Err(ended));
            }
            match self.get("/readyz").await {
                Ok((200, _)) => Ok(Ok(())),
                Ok((status, body)) => Err(format!("/readyz says {status}: {body}")),
                Err(error) => Err(format!("{error:#}")),
            }
        };
        let ready: anyhow::Result<()> = wait_for("the operator to be ready", bound, look)
            .await
            .with_context(|| format!("the operator's output:\n{}", self.output()))?;
        ready.map(|()| self.started_at.elapsed())
    }

    /// Status and body of a path on its HTTP port.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let url = format!("http://{}{path}", self.port.address());
        let response = self.http.get(url).send().await.context("failed to ask the operator")?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.context("failed to read the operator's answer")?))
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        let (status, body) = self.get("/metrics").await?;
        ensure!(status == 200, "/metrics says {status}: {body}");
        Ok(body)
    }

    /// `127.0.0.1:PORT` of its HTTP port.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Everything it wrote so far, both outputs.
    pub fn output(&self) -> String {
        self.process.log_text()
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.process.exit_status().is_none()
    }

    /// Its exit status, once it has ended.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// Waits until it ends by itself.
    pub async fn ended(&self, bound: Duration) -> anyhow::Result<ExitStatus> {
        self.process.ended(bound).await
    }

    /// Kills it (SIGKILL) and waits for its end.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Halts it (SIGSTOP), as a frozen or starved process is.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// Lets a halted one go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Asks it to end (SIGTERM) and waits at most `bound`.
    pub async fn terminate(&self, bound: Duration) -> anyhow::Result<Termination> {
        let sent_at = Instant::now();
        self.process.signal(Signal::TERM)?;
        let status = self.process.ended(bound).await?;
        Ok(Termination { status, took: sent_at.elapsed() })
    }

    /// Keeps its temporary log when this ends, and prints where it is.
    pub fn keep_logs(&self) {
        self.directory.keep();
    }
}
