//! A Kubernetes control plane of real components: etcd, kube-apiserver, kube-controller-manager.
//!
//! In: the programs that `tests/control-plane/build.sh` builds. Out: a cluster without nodes on
//! loopback, clients and kubeconfig files for it, its audit log, and ways to make it fail.
//! **Invariant:** every wait is bounded and watches the processes, and nothing is shared between
//! two control planes.

mod setup;

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Namespace, ServiceAccount},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, Client, api::PostParams};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt;

use crate::{
    audit::{Audit, Barrier},
    process::Process,
    wait::wait_for,
    work_directory::WorkDirectory,
};

const READY_BOUND: Duration = Duration::from_secs(60);
const KUBECTL_BOUND: Duration = Duration::from_secs(120);
const TOKEN_LIFETIME_SECONDS: i64 = 10 * 60 * 60;
const STARTS: usize = 3;

/// How to start a control plane; the default suits most tests.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More flags for kube-apiserver, such as `--feature-gates=…`.
    pub api_server_arguments: Vec<String>,
    /// The name of a node that is to join, see [`Node`](crate::node::Node): it may then do what a node
    /// may do, and no more.
    pub node: Option<String>,
}

/// A running control plane; dropping it ends it and removes its files.
///
/// Hold it in a variable that is dropped before the process ends: `std::process::exit` and statics
/// leave the files (the processes die in any case, on Linux).
#[derive(Debug)]
pub struct ControlPlane {
    setup: setup::Setup,
    client: DebugClient,
    http: reqwest::Client,
    audit: Audit,
    answering: Arc<AtomicBool>,
    namespaces: AtomicUsize,
    started_in: Duration,
    // The order of the last fields is the order of their ends.
    _controller_manager: Process,
    api_server: Mutex<Process>,
    _etcd: Process,
    directory: WorkDirectory,
}

impl ControlPlane {
    /// Builds the programs where they are missing (5 minutes, once) and starts them (3 s).
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        crate::init();
        let programs = setup::build_programs().await?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&programs, &options).await {
                Err(error) if attempt < STARTS && is_port_taken(&error) => attempt += 1,
                result => return result,
            }
        }
    }

    async fn start_once(programs: &Path, options: &Options) -> anyhow::Result<Self> {
        let started_at = Instant::now();
        let directory = WorkDirectory::create("control-plane")?;
        let setup = setup::Setup::prepare(&directory, programs, options)?;
        let etcd = setup.start_etcd(&directory)?;
        let api_server = setup.start_api_server(&directory)?;
        let http = crate::http::client_trusting(&setup.tls.authority_pem)?;
        wait_ready(&http, &setup, || {
            etcd.ensure_running()?;
            api_server.ensure_running()
        })
        .await
        .inspect_err(|_| directory.keep())?;
        let controller_manager = setup.start_controller_manager(&directory)?;
        let client = setup.admin_client().await?;
        wait_for_service_accounts(&client, &controller_manager)
            .await
            .inspect_err(|_| directory.keep())?;

        let answering = Arc::new(AtomicBool::new(true));
        let barrier = Barrier {
            client: http.clone(),
            url: setup.url.clone(),
            token: setup.admin_token.clone(),
            answering: Arc::clone(&answering),
            passed: AtomicUsize::default(),
        };
        Ok(Self {
            audit: Audit::new(setup.audit_log.clone(), barrier),
            setup,
            client: DebugClient(client),
            http,
            answering,
            namespaces: AtomicUsize::default(),
            started_in: started_at.elapsed(),
            _controller_manager: controller_manager,
            api_server: Mutex::new(api_server),
            _etcd: etcd,
            directory,
        })
    }

    /// A client that may do everything (user `admin`).
    pub fn admin_client(&self) -> Client {
        self.client.0.clone()
    }

    /// A kubeconfig file that may do everything.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.setup.admin_kubeconfig
    }

    /// The name and the kubeconfig of the node that may join.
    pub(crate) fn node(&self) -> Option<(&str, &Path)> {
        let node = self.setup.node.as_ref()?;
        Some((&node.name, &node.kubeconfig))
    }

    /// The API server's URL.
    pub fn url(&self) -> &str {
        &self.setup.url
    }

    /// The certificate authority that signed the API server's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.setup.tls.authority_pem
    }

    /// The directory with etcd, kube-apiserver, kube-controller-manager and kubectl.
    pub fn bin_dir(&self) -> &Path {
        &self.setup.programs
    }

    /// The temporary directory, where tests may put files of their own.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// How long the start took, without building.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The audit log.
    pub fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// Keeps the logs when this ends, and prints where they are.
    pub fn keep_logs(&self) {
        self.directory.keep();
    }

    /// What the API server answers the admin at a path that is no object's.
    pub async fn get(&self, path: &str) -> anyhow::Result<String> {
        let request = self.http.get(format!("{}{path}", self.url()));
        let response = request
            .bearer_auth(&self.setup.admin_token)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("failed to get {path}"))?;
        response.text().await.with_context(|| format!("failed to read {path}"))
    }

    /// A token of an existing ServiceAccount for these audiences, as a pod would have it.
    pub async fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audiences: &[&str],
    ) -> anyhow::Result<String> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audiences.iter().map(|&audience| audience.to_owned()).collect(),
                expiration_seconds: Some(TOKEN_LIFETIME_SECONDS),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let made = Api::<ServiceAccount>::namespaced(self.admin_client(), namespace)
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("failed to get a token for {namespace}/{name}"))?;
        Ok(made.status.context("the answer to a TokenRequest held no token")?.token)
    }

    /// A kubeconfig file for an existing ServiceAccount, with a token bound for 10 hours.
    pub async fn kubeconfig_for_service_account(
        &self,
        namespace: &str,
        name: &str,
    ) -> anyhow::Result<PathBuf> {
        let token = self.service_account_token(namespace, name, &[]).await?;
        let path = self.directory.file(&format!("{namespace}.{name}.kubeconfig"));
        self.setup.cluster().write_kubeconfig(&path, &token)?;
        Ok(path)
    }

    /// Lets everybody read the discovery document and the keys of ServiceAccount tokens, as a server
    /// that is to believe these tokens needs.
    pub async fn publish_service_account_keys(&self) -> anyhow::Result<()> {
        let role = "--clusterrole=system:service-account-issuer-discovery";
        let group = "--group=system:unauthenticated";
        let binding = ["create", "clusterrolebinding", "published-service-account-keys"];
        self.kubectl(&[&binding[..], &[role, group]].concat()).await.map(drop)
    }

    /// Makes a namespace whose name starts with `prefix` and is not used before.
    pub async fn namespace(&self, prefix: &str) -> anyhow::Result<String> {
        let number = self.namespaces.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("{prefix}-{number}");
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        Api::all(self.admin_client())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("failed to create namespace {name}"))?;
        Ok(name)
    }

    /// Runs kubectl as the admin, whatever its exit status.
    pub async fn kubectl_output(&self, arguments: &[&str], stdin: &str) -> anyhow::Result<Output> {
        let mut child = tokio::process::Command::new(self.bin_dir().join("kubectl"))
            .args(arguments)
            .env("KUBECONFIG", self.admin_kubeconfig())
            .env("HOME", self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("failed to start kubectl")?;
        let mut input = child.stdin.take().context("kubectl has no standard input")?;
        // A kubectl that fails early does not read its input; its error tells more than ours.
        let write = async { input.write_all(stdin.as_bytes()).await.ok().map(|()| drop(input)) };
        let run = async { tokio::join!(write, child.wait_with_output()).1 };
        tokio::time::timeout(KUBECTL_BOUND, run)
            .await
            .with_context(|| format!("kubectl {} did not end", arguments.join(" ")))?
            .context("failed to run kubectl")
    }

    /// Runs kubectl as the admin and gives its standard output; a failure holds its error output.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.kubectl_with_stdin(arguments, "").await
    }

    /// As [`Self::kubectl`], with a text for standard input (`-f -`).
    pub async fn kubectl_with_stdin(
        &self,
        arguments: &[&str],
        stdin: &str,
    ) -> anyhow::Result<String> {
        let output = self.kubectl_output(arguments, stdin).await?;
        ensure!(
            output.status.success(),
            "kubectl {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        String::from_utf8(output.stdout).context("kubectl wrote no UTF-8")
    }

    /// Halts the API server (SIGSTOP): connections stay and nothing is answered.
    pub fn stop_api_server(&self) -> anyhow::Result<()> {
        self.answering.store(false, Ordering::Relaxed);
        self.api_server().signal(Signal::STOP)
    }

    /// Lets a halted API server go on.
    pub async fn continue_api_server(&self) -> anyhow::Result<()> {
        self.api_server().signal(Signal::CONT)?;
        self.wait_api_server().await
    }

    /// Kills the API server: connections are refused.
    pub fn kill_api_server(&self) {
        self.answering.store(false, Ordering::Relaxed);
        self.api_server().kill();
    }

    /// Starts a killed API server again, with the same port, certificates and data.
    pub async fn restart_api_server(&self) -> anyhow::Result<()> {
        let started = self.setup.start_api_server(&self.directory)?;
        *self.api_server() = started;
        self.wait_api_server().await
    }

    async fn wait_api_server(&self) -> anyhow::Result<()> {
        wait_ready(&self.http, &self.setup, || self.api_server().ensure_running()).await?;
        self.answering.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn api_server(&self) -> MutexGuard<'_, Process> {
        self.api_server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `kube::Client` has no `Debug`.
struct DebugClient(Client);

impl std::fmt::Debug for DebugClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

fn is_port_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("address already in use")
}

/// Waits for `/readyz`, and gives up at once when a process has ended.
async fn wait_ready(
    http: &reqwest::Client,
    setup: &setup::Setup,
    ensure_running: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let look = || async {
        if let Err(ended) = ensure_running() {
            return Ok(Err(ended));
        }
        let request = http
            .get(format!("{}/readyz", setup.url))
            .bearer_auth(&setup.admin_token)
            .timeout(Duration::from_secs(2));
        match request.send().await {
            Ok(response) if response.status().is_success() => Ok(Ok(())),
            Ok(response) => Err(response.text().await.unwrap_or_default()),
            Err(error) => Err(format!("{:#}", anyhow::Error::new(error))),
        }
    };
    wait_for("kube-apiserver to be ready", READY_BOUND, look).await?
}

/// The last controller to matter makes the default ServiceAccount of each namespace.
async fn wait_for_service_accounts(client: &Client, manager: &Process) -> anyhow::Result<()> {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), "default");
    let accounts = &accounts;
    let look = || async move {
        if let Err(ended) = manager.ensure_running() {
            return Some(Err(ended));
        }
        accounts.get_opt("default").await.ok().flatten().map(|_| Ok(()))
    };
    wait_for("the default ServiceAccount", READY_BOUND, look).await?
}
