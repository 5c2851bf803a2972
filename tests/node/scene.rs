//! The world of `tests/cluster` with a node in it.
//!
//! **Invariant:** the kubelet has the rights of a node and no others; the operator is the installed one.

use std::sync::Arc;
use std::time::Duration;

use oauthcc_harness::control_plane::{self, ControlPlane};
use oauthcc_harness::node::{self, Node};

use crate::world::World;

/// The node's name.
const NAME: &str = "node-1";

/// Everything that a test needs.
pub struct Scene {
    /// The kubelet; it ends before the API server does.
    pub node: Node,
    /// The Kubernetes API, the operator and the token endpoint.
    pub world: Arc<World>,
}

impl Scene {
    /// Starts everything; where no frequency is given the kubelet has its defaults.
    pub async fn start(sync_frequency: Option<Duration>) -> anyhow::Result<Self> {
        let options = control_plane::Options { node: Some(NAME.to_owned()), ..Default::default() };
        let plane = ControlPlane::start(options).await?;
        let node = Node::start(&plane, node::Options { sync_frequency }).await?;
        let world = World::on(plane, &[]).await?;
        world.start_operator().await?;
        Ok(Self { node, world: Arc::new(world) })
    }

    /// Keeps the logs of everything, and prints where they are.
    pub fn keep_logs(&self) {
        self.node.keep_logs();
        self.world.keep_logs();
    }
}
