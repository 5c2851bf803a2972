//! One control plane, one authorization server, one operator.
//!
//! **Invariant:** what is applied is `charts/install.yaml` and nothing else; the operator has the
//! rights of its ServiceAccount.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use oauthcc_harness::audit::{CallFilter, Mark};
use oauthcc_harness::authorization_server::AuthorizationServer;
use oauthcc_harness::control_plane::{ControlPlane, Options};
use oauthcc_harness::operator::{Operator, OperatorOptions};
use oauthcc_harness::wait::wait_for;

/// Namespace and ServiceAccount of the operator in `charts/install.yaml`.
pub const OPERATOR: (&str, &str) = ("oauthcc-system", "oauthcc-operator");
/// A bound for what takes well under a second.
pub const SOON: Duration = Duration::from_secs(20);

/// Everything that a test needs.
pub struct World {
    /// The Kubernetes API.
    pub plane: ControlPlane,
    /// The token endpoint.
    pub server: AuthorizationServer,
    kubeconfig: PathBuf,
    arguments: Vec<String>,
    operator: Mutex<Option<Operator>>,
}

impl World {
    /// Starts everything; `arguments` are added to those that loopback endpoints need.
    pub async fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let world = Self::without_operator(arguments).await?;
        world.start_operator().await?;
        Ok(world)
    }

    /// Starts everything but the operator.
    pub async fn without_operator(arguments: &[&str]) -> anyhow::Result<Self> {
        let plane = ControlPlane::start(Options::default()).await?;
        let server = AuthorizationServer::start().await?;
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/install.yaml");
        let manifest = manifest.display().to_string();
        plane.kubectl(&["apply", "-f", &manifest]).await?;
        let crd = "crd/oauthclientcredentials.oauthcc.dev";
        plane.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", crd]).await?;
        let kubeconfig = plane.kubeconfig_for_service_account(OPERATOR.0, OPERATOR.1).await?;
        let fixed = [
            "--trust-bundle".to_owned(),
            server.ca_file().display().to_string(),
            "--allow-endpoint-addresses".to_owned(),
            "127.0.0.0/8,::1/128".to_owned(),
            "--log-format=json".to_owned(),
        ];
        let arguments = fixed.into_iter().chain(arguments.iter().map(ToString::to_string));
        let arguments = arguments.collect();
        Ok(Self { plane, server, kubeconfig, arguments, operator: Mutex::default() })
    }

    /// Starts the operator, at trace level, and waits until it is ready.
    pub async fn start_operator(&self) -> anyhow::Result<()> {
        let mut arguments = self.arguments.clone();
        if !arguments.iter().any(|argument| argument.starts_with("--log-level")) {
            arguments.push("--log-level=trace".to_owned());
        }
        let operator = Operator::start(&OperatorOptions {
            program: PathBuf::from(env!("CARGO_BIN_EXE_oauthcc")),
            kubeconfig: self.kubeconfig.clone(),
            arguments,
            environment: Vec::new(),
            log: None,
        })?;
        let ready = operator.wait_ready(Duration::from_secs(30)).await;
        ready
            .with_context(|| format!("the operator is not ready: {}", tail(&operator.output())))?;
        *self.operator.lock().unwrap_or_else(PoisonError::into_inner) = Some(operator);
        Ok(())
    }

    /// Takes the operator out of the world, to stop or kill it.
    pub fn take_operator(&self) -> anyhow::Result<Operator> {
        let mut operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        operator.take().context("no operator runs")
    }

    /// All that the operator has printed.
    pub fn operator_output(&self) -> String {
        let operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        operator.as_ref().map(Operator::output).unwrap_or_default()
    }

    /// How often the operator has looked at a credential, as its log tells.
    pub fn looks(&self, namespace: &str, name: &str) -> usize {
        let line = format!(r#""decided","namespace":"{namespace}","name":"{name}""#);
        self.operator_output().lines().filter(|told| told.contains(&line)).count()
    }

    /// The operator's process id, while one runs.
    pub fn operator_pid(&self) -> Option<u32> {
        let operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        operator.as_ref().map(Operator::pid)
    }

    /// The base URL of probes and metrics.
    pub fn operator_address(&self) -> String {
        let operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        operator.as_ref().map(Operator::address).unwrap_or_default()
    }

    /// Keeps the logs of everything, and prints where they are.
    pub fn keep_logs(&self) {
        self.plane.keep_logs();
        self.server.keep_logs();
        let operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(operator) = operator.as_ref() {
            operator.keep_logs();
        }
    }

    /// What the operator has asked of the API server since `mark` in one namespace, watches and lists
    /// left out: "verb resource" and how often, for exact comparison.
    pub async fn calls(&self, mark: Mark, namespace: &str) -> anyhow::Result<Vec<(String, usize)>> {
        let filter = CallFilter::default()
            .by_service_account(OPERATOR.0, OPERATOR.1)
            .in_namespace(namespace);
        let counts = self.plane.audit().count_since(mark, &filter).await?;
        let quiet = |call: &str| !call.starts_with("watch ") && !call.starts_with("list ");
        Ok(counts.into_iter().filter(|(call, _)| quiet(call)).collect())
    }

    /// What the operator has asked of the API server since `mark`, anywhere, watches left out.
    pub async fn all_calls(&self, mark: Mark) -> anyhow::Result<Vec<(String, usize)>> {
        let filter = CallFilter::default().by_service_account(OPERATOR.0, OPERATOR.1);
        let counts = self.plane.audit().count_since(mark, &filter).await?;
        Ok(counts.into_iter().filter(|(call, _)| !call.starts_with("watch ")).collect())
    }

    /// The watches that the operator has begun since `mark`, by resource.
    pub async fn watches(&self, mark: Mark) -> anyhow::Result<Vec<(String, usize)>> {
        let filter = CallFilter::default().by_service_account(OPERATOR.0, OPERATOR.1);
        let counts = self.plane.audit().count_since(mark, &filter).await?;
        Ok(counts.into_iter().filter(|(call, _)| call.starts_with("watch ")).collect())
    }

    /// Waits until the calls in a namespace are exactly these, and stay so for what is measured after.
    pub async fn expect_calls(
        &self,
        mark: Mark,
        namespace: &str,
        expected: &[(&str, usize)],
    ) -> anyhow::Result<()> {
        let mut expected: Vec<_> =
            expected.iter().map(|(call, count)| ((*call).to_owned(), *count)).collect();
        expected.sort();
        let what = format!("the calls {expected:?}");
        wait_for(&what, SOON, async || {
            let calls = self.calls(mark, namespace).await.map_err(|error| error.to_string())?;
            if calls == expected { Ok(()) } else { Err(format!("{calls:?}")) }
        })
        .await
    }
}

/// The end of a log.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().rev().take(15).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
