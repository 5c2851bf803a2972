//! One control plane, one authorization server, one operator.
//!
//! **Invariant:** what is applied is `charts/install.yaml` and nothing else; the operator has the
//! rights of its ServiceAccount.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use oauthcc_harness::audit::{CallFilter, Mark};
use oauthcc_harness::authorization_server::AuthorizationServer;
use oauthcc_harness::control_plane::{self, ControlPlane};
use oauthcc_harness::installation::{self, Installation};
use oauthcc_harness::wait::wait_for;

pub use oauthcc_harness::installation::{OPERATOR, tail};

/// A bound for what takes well under a second.
pub const SOON: Duration = Duration::from_secs(20);

/// Everything that a test needs.
pub struct World {
    /// The Kubernetes API and the operator.
    pub installation: Installation,
    /// The token endpoint.
    pub server: AuthorizationServer,
}

impl Deref for World {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.installation
    }
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
        let plane = ControlPlane::start(control_plane::Options::default()).await?;
        Self::on(plane, arguments).await
    }

    /// Starts everything but the operator on a control plane that is there.
    pub async fn on(plane: ControlPlane, arguments: &[&str]) -> anyhow::Result<Self> {
        let server = AuthorizationServer::start().await?;
        let options = installation::Options {
            manifests: &Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/install.yaml"),
            program: Path::new(env!("CARGO_BIN_EXE_oauthcc")),
            trust_bundle: server.ca_file(),
            arguments,
        };
        let installation = Installation::apply(plane, options).await?;
        Ok(Self { installation, server })
    }

    /// How often the operator has looked at a credential, as its log tells.
    pub fn looks(&self, namespace: &str, name: &str) -> usize {
        let line = format!(r#""decided","namespace":"{namespace}","name":"{name}""#);
        self.operator_output().lines().filter(|told| told.contains(&line)).count()
    }

    /// Keeps the logs of everything, and prints where they are.
    pub fn keep_logs(&self) {
        self.installation.keep_logs();
        self.server.keep_logs();
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
