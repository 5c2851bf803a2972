//! The operator as it is installed: its manifests applied to a control plane, the binary run as their
//! ServiceAccount.
//!
//! In: a control plane, the manifests, the binary, arguments. Out: an operator that can be stopped and
//! started again.
//! **Invariant:** the operator has the rights of its ServiceAccount and never those of an administrator,
//! and what is applied are the manifests and nothing else.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;

use crate::{
    control_plane::ControlPlane,
    operator::{Operator, OperatorOptions},
};

/// Namespace and ServiceAccount of the operator in `charts/install.yaml`.
pub const OPERATOR: (&str, &str) = ("oauthcc-system", "oauthcc-operator");
const CRD: &str = "crd/oauthclientcredentials.oauthcc.dev";
const READY_BOUND: Duration = Duration::from_secs(30);
/// How much of the log a failed start shows.
const TAIL_LINES: usize = 15;

/// What is installed, beside the control plane.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// `charts/install.yaml`.
    pub manifests: &'a Path,
    /// The `oauthcc` binary.
    pub program: &'a Path,
    /// What signed the certificate of the token endpoint.
    pub trust_bundle: &'a Path,
    /// Arguments beside those that an endpoint on loopback needs.
    pub arguments: &'a [&'a str],
}

/// A control plane with the operator in it; dropping it ends both.
#[derive(Debug)]
pub struct Installation {
    /// The Kubernetes API.
    pub plane: ControlPlane,
    kubeconfig: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    operator: Mutex<Option<Operator>>,
}

impl Installation {
    /// Applies the manifests; the operator does not run yet.
    pub async fn apply(plane: ControlPlane, options: Options<'_>) -> anyhow::Result<Self> {
        let manifests = options.manifests.display().to_string();
        plane.kubectl(&["apply", "-f", &manifests]).await?;
        plane.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", CRD]).await?;
        let kubeconfig = plane.kubeconfig_for_service_account(OPERATOR.0, OPERATOR.1).await?;
        let fixed = [
            "--trust-bundle".to_owned(),
            options.trust_bundle.display().to_string(),
            "--allow-endpoint-addresses".to_owned(),
            "127.0.0.0/8,::1/128".to_owned(),
            "--log-format=json".to_owned(),
        ];
        let arguments = fixed.into_iter().chain(options.arguments.iter().map(ToString::to_string));
        let mut arguments: Vec<_> = arguments.collect();
        if !arguments.iter().any(|argument| argument.starts_with("--log-level")) {
            arguments.push("--log-level=trace".to_owned());
        }
        let program = options.program.to_owned();
        Ok(Self { plane, kubeconfig, program, arguments, operator: Mutex::default() })
    }

    /// Starts the operator, at trace level unless told otherwise, and waits until it is ready.
    pub async fn start_operator(&self) -> anyhow::Result<()> {
        let operator = Operator::start(&OperatorOptions {
            program: self.program.clone(),
            kubeconfig: self.kubeconfig.clone(),
            arguments: self.arguments.clone(),
            environment: Vec::new(),
            log: None,
        })?;
        let ready = operator.wait_ready(READY_BOUND).await;
        ready
            .with_context(|| format!("the operator is not ready: {}", tail(&operator.output())))?;
        *self.operator() = Some(operator);
        Ok(())
    }

    /// Takes the operator out, to stop or kill it.
    pub fn take_operator(&self) -> anyhow::Result<Operator> {
        self.operator().take().context("no operator runs")
    }

    /// All that the operator has printed.
    pub fn operator_output(&self) -> String {
        self.operator().as_ref().map(Operator::output).unwrap_or_default()
    }

    /// The operator's process id, while one runs.
    pub fn operator_pid(&self) -> Option<u32> {
        self.operator().as_ref().map(Operator::pid)
    }

    /// The base URL of probes and metrics.
    pub fn operator_address(&self) -> String {
        self.operator().as_ref().map(Operator::address).unwrap_or_default()
    }

    /// Keeps the logs of both, and prints where they are.
    pub fn keep_logs(&self) {
        self.plane.keep_logs();
        if let Some(operator) = self.operator().as_ref() {
            operator.keep_logs();
        }
    }

    fn operator(&self) -> MutexGuard<'_, Option<Operator>> {
        self.operator.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a log.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(TAIL_LINES).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
