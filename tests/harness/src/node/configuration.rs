//! What kubelet and containerd are told.
//!
//! Out: files in the directory of the node.
//! **Invariant:** nothing listens beyond loopback, nothing is written outside the directory but into
//! control groups, and whatever is not said here is the default of Kubernetes.

use std::{
    fs,
    net::{IpAddr, UdpSocket},
};

use anyhow::{Context, ensure};
use serde_json::json;

use super::{IMAGE, Options};
use crate::work_directory::WorkDirectory;

/// Where the runtime writes down what containers print, below the directory of the node.
pub(super) const POD_LOGS: &str = "pod-logs";
/// What the runtime knows of networks, below the same.
const NETWORKS: &str = "networks";

/// Inside the node's own `/run`.
const SOCKET: &str = "/run/containerd/containerd.sock";

/// Writes everything that `tests/node/start.sh` looks for.
pub(super) fn write(
    directory: &WorkDirectory,
    control_group: &str,
    options: Options,
) -> anyhow::Result<()> {
    directory.write("kubelet.yaml", &kubelet(directory, control_group, options))?;
    directory.write("containerd.toml", &containerd(directory))?;
    let networks = directory.file(NETWORKS);
    fs::create_dir(&networks).context("failed to create the directory of networks")?;
    // A node is Ready when it has a network for pods. These pods use the machine's, so that it is never
    // asked for, and nothing of the machine's network is changed.
    let network = json!({"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "none"}]});
    fs::write(networks.join("10-none.conflist"), network.to_string())
        .context("failed to write the network")
}

/// An address of this machine that is not loopback, which a node must have. Nothing is sent.
pub(super) fn machine_address() -> anyhow::Result<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("failed to make a socket")?;
    socket
        .connect("198.51.100.1:9")
        .context("this machine has no route, so no address of its own")?;
    let address = socket.local_addr().context("failed to read the address")?.ip();
    ensure!(!address.is_loopback(), "this machine has no address but loopback");
    Ok(address)
}

/// JSON is YAML.
fn kubelet(directory: &WorkDirectory, control_group: &str, options: Options) -> String {
    let mut configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "podLogsDir": directory.file(POD_LOGS),
        "volumePluginDir": directory.file("volume-plugins"),
        // No port: what containers print is read from its files, and health from the Node.
        "enableServer": false,
        "healthzPort": 0,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{control_group}"),
        "failCgroupV1": false,
        "failSwapOn": false,
        // What the whole machine has stays as it is.
        "protectKernelDefaults": true,
        "makeIPTablesUtilChains": false,
        "oomScoreAdj": 0,
        "resolvConf": "",
        // A full disk or little memory is no matter of this node's.
        "evictionHard": {
            "imagefs.available": "0%", "imagefs.inodesFree": "0%", "memory.available": "0%",
            "nodefs.available": "0%", "nodefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
    });
    if let (Some(frequency), Some(fields)) = (options.sync_frequency, configuration.as_object_mut())
    {
        let frequency = format!("{}ms", frequency.as_millis());
        fields.insert("syncFrequency".to_owned(), frequency.into());
    }
    configuration.to_string()
}

fn containerd(directory: &WorkDirectory) -> String {
    let (root, networks) = (directory.file("containerd"), directory.file(NETWORKS));
    let (root, networks) = (root.display(), networks.display());
    // In this order: `native` copies the one layer of 2 MB, where overlays do not work on every file
    // system; without CAP_SYS_RESOURCE no score can be lowered; profiles are loaded for the whole machine.
    format!(
        r#"version = 2
root = '{root}'
state = "/run/containerd"
[grpc]
address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = '{networks}'
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
disable_apparmor = true
sandbox_image = "{IMAGE}"
"#
    )
}
