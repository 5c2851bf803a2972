//! One control plane, one Keycloak that believes its ServiceAccount tokens.
//!
//! **Invariant:** the keys of ServiceAccount tokens are public, as such a Keycloak needs; nothing else
//! of the cluster is.

use std::time::Duration;

use oauthcc_harness::control_plane::{ControlPlane, Options};
use oauthcc_harness::keycloak::{self, Keycloak, TrustedCluster};

/// How long tokens live: long enough for a test, and no default of Keycloak.
pub const LIFETIME: Duration = Duration::from_secs(77);

/// The ServiceAccount that has a client.
const ACCOUNT: (&str, &str) = ("shop", "crm");

/// Everything that a test needs.
pub struct World {
    /// The Kubernetes API.
    pub plane: ControlPlane,
    /// The token endpoint.
    pub keycloak: Keycloak,
}

impl World {
    /// Starts everything: 20 s on two idle cores.
    pub async fn start() -> anyhow::Result<Self> {
        let plane = ControlPlane::start(Options::default()).await?;
        plane.publish_service_account_keys().await?;
        let (namespace, name) = ACCOUNT;
        plane.kubectl(&["create", "namespace", namespace]).await?;
        for account in [name, "other"] {
            plane.kubectl(&["create", "serviceaccount", account, "-n", namespace]).await?;
        }
        let keycloak = Keycloak::start(keycloak::Options {
            token_lifetime: LIFETIME,
            cluster: Some(TrustedCluster::new(&plane, namespace, name)),
        })
        .await?;
        Ok(Self { plane, keycloak })
    }

    /// A token of the ServiceAccount that has a client.
    pub async fn account_token(&self, audience: &str) -> anyhow::Result<String> {
        self.token(ACCOUNT.1, audience).await
    }

    /// A token of any ServiceAccount in that namespace, for 10 minutes.
    pub async fn token(&self, name: &str, audience: &str) -> anyhow::Result<String> {
        let audience = format!("--audience={audience}");
        let arguments = ["create", "token", name, "-n", ACCOUNT.0, "--duration=10m", &audience];
        Ok(self.plane.kubectl(&arguments).await?.trim().to_owned())
    }

    /// Keeps the logs of everything, and prints where they are.
    pub fn keep_logs(&self) {
        self.plane.keep_logs();
        self.keycloak.keep_logs();
    }
}
