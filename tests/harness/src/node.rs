//! A Kubernetes node: a real kubelet with containerd and runc, whose pods are processes of this machine.
//!
//! In: a control plane that was started for a node, and what `tests/node/fetch.sh` gets. Out: a node
//! that is Ready, an image for its pods, and what their containers print. Linux and root only;
//! `tests/node/obstacle.sh` says what else is missing.
//! **Invariant:** all of it lives in mount and process namespaces of its own, which end with this
//! process however that ends; control groups, which no namespace holds, are removed at the end or by
//! the next start; nothing is set for the whole machine.

mod cgroups;
mod configuration;
mod install;
mod printed;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1;
use kube::Api;
use rustix::process::Signal;

use crate::{
    control_plane::ControlPlane,
    process::{Process, command},
    wait::wait_for,
    work_directory::WorkDirectory,
};
use cgroups::ControlGroups;

pub use printed::Line;

/// The image of pods, already on the node: a static busybox, whose default command sleeps.
pub const IMAGE: &str = "localhost/busybox:1";

/// It takes 3 to 6 s.
const READY_BOUND: Duration = Duration::from_secs(90);
/// Killing a dozen containers and what holds them.
const STOP_BOUND: Duration = Duration::from_secs(20);

/// How to start a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// How often the kubelet looks at each pod anew, mounted Secrets included; a minute where it is absent.
    pub sync_frequency: Option<Duration>,
}

/// A running node; dropping it ends it with all its pods.
#[derive(Debug)]
pub struct Node {
    name: String,
    started_in: Duration,
    // The order of the last fields is the order of their ends.
    process: Process,
    _groups: ControlGroups,
    directory: WorkDirectory,
}

impl Node {
    /// Gets the programs where they are missing (a minute, once), starts the node and waits until it is
    /// Ready.
    pub async fn start(plane: &ControlPlane, options: Options) -> anyhow::Result<Self> {
        let programs = install::install().await?;
        let started_at = Instant::now();
        let (name, kubeconfig) =
            plane.node().context("the control plane was not started for a node")?;
        let directory = WorkDirectory::create("node")?;
        let groups = ControlGroups::create()?;
        configuration::write(&directory, groups.name(), options)?;
        let process = spawn(&programs, &directory, name, kubeconfig)?;
        let mut node = Self {
            name: name.to_owned(),
            started_in: Duration::ZERO,
            process,
            _groups: groups,
            directory,
        };
        node.wait_ready(plane).await.inspect_err(|_| node.keep_logs())?;
        node.started_in = started_at.elapsed();
        Ok(node)
    }

    /// The name that pods give as `spec.nodeName`: there is no scheduler.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long the start took, without building.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Keeps the logs when this ends, and prints where they are.
    pub fn keep_logs(&self) {
        self.directory.keep();
    }

    /// The lines that a container has printed so far; none where it has not started.
    pub fn printed(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> anyhow::Result<Vec<Line>> {
        self.process.ensure_running()?;
        printed::read(&self.directory.file(configuration::POD_LOGS), namespace, pod, container)
    }

    async fn wait_ready(&self, plane: &ControlPlane) -> anyhow::Result<()> {
        let nodes = Api::<v1::Node>::all(plane.admin_client());
        let what = format!("node {} to be Ready", self.name);
        let look = || async {
            if let Err(ended) = self.process.ensure_running() {
                return Ok(Err(ended));
            }
            let node = nodes.get_opt(&self.name).await.map_err(|error| error.to_string())?;
            let node = node.ok_or("it has not joined")?;
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
            match ready {
                Some(ready) if ready.status == "True" => Ok(Ok(())),
                Some(ready) => Err(ready.message.clone().unwrap_or_default()),
                None => Err("it has no condition Ready".to_owned()),
            }
        };
        wait_for(&what, READY_BOUND, look).await?
    }

    /// Ends the first process of the namespaces, with which the kernel ends all the others, and waits
    /// for that.
    fn stop(&self) -> anyhow::Result<()> {
        self.process.signal_group(Signal::TERM)?;
        let started = Instant::now();
        while self.process.exit_status().is_none() {
            ensure!(started.elapsed() < STOP_BOUND, "it did not end within {STOP_BOUND:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Node {
    #[expect(clippy::print_stderr, reason = "a node that does not end is worth a line")]
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("node {} had to be killed: {error:#}", self.name);
        }
    }
}

fn spawn(
    programs: &Path,
    directory: &WorkDirectory,
    name: &str,
    kubeconfig: &Path,
) -> anyhow::Result<Process> {
    let address = configuration::machine_address()?;
    let mut node = command(Path::new("unshare"));
    node.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    node.arg(script("start.sh")).arg(programs).arg(directory.path());
    node.arg(format!("--kubeconfig={}", kubeconfig.display()));
    node.arg(format!("--hostname-override={name}")).arg(format!("--node-ip={address}"));
    Process::spawn("node", node, &directory.file("node.log"))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../node").join(name)
}
