//! A pod that mounts a managed Secret at `/token`, and what the reader in it tells.
//!
//! In: a way to read, see `reader.sh`. Out: each change that the reader has seen, with its time.
//! **Invariant:** nothing is put into a pod but its manifest.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{self, Event, ServiceAccount};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use oauthcc_harness::node::{IMAGE, Line};
use oauthcc_harness::wait::wait_for;
use serde_json::{Value, json};

use crate::Outcome;
use crate::scene::Scene;
use crate::tenant::{Tenant, merge};

/// A bound for the start of a pod, and for what a kubelet does every second: 2 to 6 s on an idle machine.
pub const PROMPTLY: Duration = Duration::from_secs(60);

const READER: &str = include_str!("reader.sh");
const CONTAINER: &str = "reader";

/// The volume of a whole Secret.
pub fn whole(secret: &str) -> Value {
    json!({"secret": {"secretName": secret}})
}

/// The volume of two keys of a Secret.
pub fn two_keys(secret: &str) -> Value {
    json!({"secret": {"secretName": secret, "items": items()}})
}

/// The same by way of a projected volume.
pub fn projected(secret: &str) -> Value {
    json!({"projected": {"sources": [{"secret": {"name": secret, "items": items()}}]}})
}

fn items() -> Value {
    json!([{"key": "token", "path": "token"}, {"key": "expires-at", "path": "expires-at"}])
}

/// What the container of a pod does.
pub struct Reader {
    way: &'static str,
    volume: Value,
    container: Value,
}

impl Reader {
    /// Reads in this way of `reader.sh` what this volume holds.
    pub fn new(way: &'static str, volume: Value) -> Self {
        Self { way, volume, container: json!({}) }
    }

    /// With more said of the container.
    #[must_use]
    pub fn with(mut self, container: Value) -> Self {
        self.container = container;
        self
    }
}

/// A change that a reader has told of.
#[derive(Clone, Debug)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// How often the reader had read both files.
    pub reads: u64,
    /// How often it had begun again because a file was not there.
    pub again: u64,
    /// What it had read.
    pub words: Vec<String>,
}

impl Told {
    fn parse(line: &Line) -> anyhow::Result<Self> {
        let mut words = line.text.split(' ');
        let mut number = || words.next().context("too short")?.parse().context("no number");
        let (reads, again) = (number()?, number()?);
        Ok(Self { at: line.at, reads, again, words: words.map(str::to_owned).collect() })
    }
}

/// A pod of a tenant.
pub struct Pod {
    scene: Arc<Scene>,
    namespace: String,
    name: String,
}

impl Pod {
    /// Creates a pod with a reader.
    pub async fn create(
        scene: &Arc<Scene>,
        tenant: &Tenant,
        name: &str,
        reader: Reader,
    ) -> anyhow::Result<Self> {
        let Reader { way, volume, container: more } = reader;
        let namespace = tenant.namespace.clone();
        let pod = Self { scene: Arc::clone(scene), namespace, name: name.to_owned() };
        let mut container = json!({
            "name": CONTAINER,
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": ["sh", "-c", READER, CONTAINER, way],
            "volumeMounts": [{"name": "token", "mountPath": "/token", "readOnly": true}],
        });
        merge(&mut container, more);
        let mut mounted = json!({"name": "token"});
        merge(&mut mounted, volume);
        let manifest = json!({
            "metadata": {"name": name},
            "spec": {
                "nodeName": scene.node.name(),
                "hostNetwork": true,
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "containers": [container],
                "volumes": [mounted],
            },
        });
        pod.wait_for_account().await?;
        pod.api().create(&PostParams::default(), &serde_json::from_value(manifest)?).await?;
        Ok(pod)
    }

    /// Each change so far, the oldest first.
    pub fn told(&self) -> anyhow::Result<Vec<Told>> {
        let lines = self.scene.node.printed(&self.namespace, &self.name, CONTAINER)?;
        lines.iter().map(Told::parse).collect::<anyhow::Result<_>>().context(self.name.clone())
    }

    /// Waits until the reader has told of so many changes, and gives these, the oldest first.
    pub async fn wait_told(&self, count: usize, bound: Duration) -> anyhow::Result<Vec<Told>> {
        let what = format!("{count} changes in pod {}/{}", self.namespace, self.name);
        let look = async || match self.told() {
            Err(error) => Ok(Err(error)),
            Ok(mut told) if told.len() >= count => {
                told.truncate(count);
                Ok(Ok(told))
            }
            Ok(told) => Err(self.state(told.len()).await),
        };
        wait_for(&what, bound, look).await?
    }

    /// Waits until the kubelet has told in an event why it can't mount the volume.
    pub async fn wait_failed_mount(&self) -> anyhow::Result<String> {
        let events =
            Api::<Event>::namespaced(self.scene.world.plane.admin_client(), &self.namespace);
        let fields = format!("involvedObject.name={},reason=FailedMount", self.name);
        let params = ListParams::default().fields(&fields);
        let what = format!("an event FailedMount of pod {}", self.name);
        wait_for(&what, PROMPTLY, async || {
            let listed = events.list(&params).await.map_err(|error| error.to_string())?;
            let first = listed.items.into_iter().next().ok_or("no event")?;
            Ok::<_, String>(first.message.unwrap_or_default())
        })
        .await
    }

    /// Waits until the container runs, whether or not there is a token to read.
    pub async fn wait_running(&self) -> Outcome {
        let what = format!("pod {}/{} to run", self.namespace, self.name);
        wait_for(&what, PROMPTLY, async || {
            let phase = self.phase().await?;
            if phase != "Running" {
                bail!("it is {phase}");
            }
            Ok(())
        })
        .await
    }

    /// `Pending`, `Running` and the like.
    pub async fn phase(&self) -> anyhow::Result<String> {
        let status = self.api().get(&self.name).await?.status.unwrap_or_default();
        Ok(status.phase.unwrap_or_default())
    }

    /// What is to be seen of a pod that tells too little.
    async fn state(&self, told: usize) -> String {
        let status = match self.api().get(&self.name).await {
            Ok(pod) => serde_json::to_string(&pod.status).unwrap_or_default(),
            Err(error) => error.to_string(),
        };
        format!("{told} changes; {status}")
    }

    /// A pod without one is refused, and it is made a moment after its namespace.
    async fn wait_for_account(&self) -> Outcome {
        let client = self.scene.world.plane.admin_client();
        let accounts = Api::<ServiceAccount>::namespaced(client, &self.namespace);
        let what = format!("the default ServiceAccount of {}", self.namespace);
        wait_for(&what, PROMPTLY, async || accounts.get("default").await.map(|it| it.name_any()))
            .await
            .map(drop)
    }

    fn api(&self) -> Api<v1::Pod> {
        Api::namespaced(self.scene.world.plane.admin_client(), &self.namespace)
    }
}
