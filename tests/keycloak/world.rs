//! One control plane with the operator in it, and one Keycloak that believes its ServiceAccount tokens.
//!
//! **Invariant:** the keys of ServiceAccount tokens are public, as such a Keycloak needs; nothing else
//! of the cluster is.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use oauthcc_harness::control_plane::{self, ControlPlane};
use oauthcc_harness::installation::{self, Installation};
use oauthcc_harness::keycloak::{self, Keycloak, TrustedCluster};

/// How long tokens live: the operator renews one after half of this at the latest.
pub const LIFETIME: Duration = Duration::from_secs(20);
/// A bound for what takes well under a second.
pub const SOON: Duration = Duration::from_secs(20);

/// Namespace and name of the ServiceAccount that has a client.
pub const ACCOUNT: (&str, &str) = ("shop", "crm");

/// Everything that a test needs.
pub struct World {
    /// The Kubernetes API and the operator.
    pub installation: Installation,
    /// The token endpoint.
    pub keycloak: Keycloak,
}

impl Deref for World {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.installation
    }
}

impl World {
    /// Starts everything: 25 s on two idle cores.
    pub async fn start() -> anyhow::Result<Self> {
        let plane = ControlPlane::start(control_plane::Options::default()).await?;
        plane.publish_service_account_keys().await?;
        plane.kubectl(&["create", "namespace", ACCOUNT.0]).await?;
        let keycloak = Keycloak::start(keycloak::Options {
            token_lifetime: LIFETIME,
            cluster: Some(TrustedCluster::new(&plane, ACCOUNT.0, ACCOUNT.1)),
        })
        .await?;
        let options = installation::Options {
            manifests: &Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/install.yaml"),
            program: Path::new(env!("CARGO_BIN_EXE_oauthcc")),
            trust_bundle: keycloak.ca_file(),
            arguments: &[],
        };
        let installation = Installation::apply(plane, options).await?;
        installation.start_operator().await?;
        Ok(Self { installation, keycloak })
    }

    /// Keeps the logs of everything, and prints where they are.
    pub fn keep_logs(&self) {
        self.installation.keep_logs();
        self.keycloak.keep_logs();
    }
}
