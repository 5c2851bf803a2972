//! Ports, certificates, files and flags of one control plane.
//!
//! Out: the three processes, started but not waited for.
//! **Invariant:** everything listens on 127.0.0.1 and everything written is in the directory given.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::Options;
use crate::{
    certificates::{ServerFiles, random_secret, signing_key, write_server_files},
    client_kubeconfig::Cluster,
    ports::Port,
    process::{Process, command},
    script::printed_path,
    work_directory::WorkDirectory,
};

/// A cold build on two busy cores takes 5 to 10 minutes.
const BUILD_BOUND: Duration = Duration::from_secs(30 * 60);

const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

const CONTROLLERS: &str = "serviceaccount-controller,serviceaccount-token-controller,\
garbage-collector-controller,namespace-controller,validatingadmissionpolicy-status-controller,\
clusterrole-aggregation-controller,resourcequota-controller";

/// What the processes of one control plane are started with.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) programs: PathBuf,
    pub(super) url: String,
    pub(super) tls: ServerFiles,
    pub(super) admin_token: String,
    pub(super) admin_kubeconfig: PathBuf,
    pub(super) audit_log: PathBuf,
    manager_kubeconfig: PathBuf,
    token_file: PathBuf,
    audit_policy: PathBuf,
    signing_key: PathBuf,
    verifying_key: PathBuf,
    api_server_arguments: Vec<String>,
    pub(super) node: Option<NodeAccount>,
    etcd_port: Port,
    etcd_peer_port: Port,
    api_server_port: Port,
}

/// Who the node is to the API server.
#[derive(Debug)]
pub(super) struct NodeAccount {
    pub(super) name: String,
    pub(super) kubeconfig: PathBuf,
}

/// Builds the programs where they are missing and gives their directory.
pub(super) async fn build_programs() -> anyhow::Result<PathBuf> {
    printed_path("control-plane/build.sh", BUILD_BOUND).await
}

impl Setup {
    pub(super) fn prepare(
        directory: &WorkDirectory,
        programs: &Path,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let api_server_port = Port::reserve()?;
        let url = format!("https://{}", api_server_port.address());
        let tls = write_server_files(directory)?;
        let (signing_key, verifying_key) = signing_key()?;
        let (admin_token, manager_token) = (random_secret()?, random_secret()?);
        let mut tokens = format!(
            "{admin_token},admin,admin,\"system:masters\"\n\
             {manager_token},system:kube-controller-manager,manager\n"
        );
        let admin_kubeconfig = directory.file("admin.kubeconfig");
        let manager_kubeconfig = directory.file("controller-manager.kubeconfig");
        let cluster = Cluster { url: &url, authority: &tls.authority };
        cluster.write_kubeconfig(&admin_kubeconfig, &admin_token)?;
        cluster.write_kubeconfig(&manager_kubeconfig, &manager_token)?;
        let mut node = None;
        if let Some(name) = options.node.clone() {
            let token = random_secret()?;
            writeln!(tokens, "{token},system:node:{name},{name},system:nodes")?;
            let kubeconfig = directory.file("node.kubeconfig");
            cluster.write_kubeconfig(&kubeconfig, &token)?;
            node = Some(NodeAccount { name, kubeconfig });
        }
        Ok(Self {
            programs: programs.to_owned(),
            url,
            tls,
            admin_token,
            admin_kubeconfig,
            audit_log: directory.write("audit.log", "")?,
            manager_kubeconfig,
            token_file: directory.write("tokens.csv", &tokens)?,
            audit_policy: directory.write("audit-policy.yaml", AUDIT_POLICY)?,
            signing_key: directory.write("service-accounts.key", &signing_key)?,
            verifying_key: directory.write("service-accounts.pub", &verifying_key)?,
            api_server_arguments: options.api_server_arguments.clone(),
            node,
            etcd_port: Port::reserve()?,
            etcd_peer_port: Port::reserve()?,
            api_server_port,
        })
    }

    pub(super) fn cluster(&self) -> Cluster<'_> {
        Cluster { url: &self.url, authority: &self.tls.authority }
    }

    pub(super) async fn admin_client(&self) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.admin_kubeconfig)
            .context("failed to read the admin's kubeconfig")?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .context("failed to use the admin's kubeconfig")?;
        Client::try_from(config).context("failed to build the admin's client")
    }

    pub(super) fn start_etcd(&self, directory: &WorkDirectory) -> anyhow::Result<Process> {
        let mut etcd = self.program("etcd");
        flag(&mut etcd, "data-dir", directory.file("etcd").display());
        flag(&mut etcd, "listen-client-urls", self.etcd_url());
        flag(&mut etcd, "advertise-client-urls", self.etcd_url());
        flag(&mut etcd, "listen-peer-urls", format!("http://{}", self.etcd_peer_port.address()));
        flag(&mut etcd, "log-level", "warn");
        etcd.arg("--unsafe-no-fsync");
        Process::spawn("etcd", etcd, &directory.file("etcd.log"))
    }

    pub(super) fn start_api_server(&self, directory: &WorkDirectory) -> anyhow::Result<Process> {
        let mut server = self.program("kube-apiserver");
        flag(&mut server, "etcd-servers", self.etcd_url());
        flag(&mut server, "bind-address", "127.0.0.1");
        flag(&mut server, "secure-port", self.api_server_port.number());
        flag(&mut server, "cert-dir", directory.file("certificates").display());
        flag(&mut server, "tls-cert-file", self.tls.certificate.display());
        flag(&mut server, "tls-private-key-file", self.tls.key.display());
        // Without it: "cannot use public IP 127.0.0.1 with endpoint reconciler".
        flag(&mut server, "endpoint-reconciler-type", "none");
        flag(&mut server, "service-cluster-ip-range", "10.0.0.0/24");
        flag(&mut server, "service-account-issuer", &self.url);
        // The default has the machine's address, where nothing listens.
        flag(&mut server, "service-account-jwks-uri", format!("{}/openid/v1/jwks", self.url));
        flag(&mut server, "service-account-key-file", self.verifying_key.display());
        flag(&mut server, "service-account-signing-key-file", self.signing_key.display());
        if self.node.is_some() {
            flag(&mut server, "authorization-mode", "Node,RBAC");
            flag(&mut server, "enable-admission-plugins", "NodeRestriction");
        } else {
            flag(&mut server, "authorization-mode", "RBAC");
        }
        flag(&mut server, "token-auth-file", self.token_file.display());
        flag(&mut server, "audit-log-path", self.audit_log.display());
        flag(&mut server, "audit-policy-file", self.audit_policy.display());
        // Megabytes: a rotated file would take calls away from those who count.
        flag(&mut server, "audit-log-maxsize", 4096);
        server.args(&self.api_server_arguments);
        Process::spawn("kube-apiserver", server, &directory.file("kube-apiserver.log"))
    }

    pub(super) fn start_controller_manager(
        &self,
        directory: &WorkDirectory,
    ) -> anyhow::Result<Process> {
        let mut manager = self.program("kube-controller-manager");
        flag(&mut manager, "kubeconfig", self.manager_kubeconfig.display());
        flag(&mut manager, "service-account-private-key-file", self.signing_key.display());
        flag(&mut manager, "use-service-account-credentials", true);
        flag(&mut manager, "leader-elect", false);
        flag(&mut manager, "secure-port", 0);
        flag(&mut manager, "controllers", CONTROLLERS);
        let log = directory.file("kube-controller-manager.log");
        Process::spawn("kube-controller-manager", manager, &log)
    }

    fn program(&self, name: &str) -> Command {
        command(&self.programs.join(name))
    }

    fn etcd_url(&self) -> String {
        format!("http://{}", self.etcd_port.address())
    }
}

fn flag(command: &mut Command, name: &str, value: impl std::fmt::Display) {
    command.arg(format!("--{name}={value}"));
}
