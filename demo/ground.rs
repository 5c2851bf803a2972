//! What the operator stands on: a control plane, an authorization server, and what is applied.
//!
//! In: `charts/install.yaml` and the manifests beside this file, placeholders filled in. Out: handles
//! that end everything when dropped, and words on how to look around.
//! **Invariant:** client secrets are random and made for one run.

use std::{fmt::Write as _, io::Write, path::Path, time::Duration};

use anyhow::{Context, ensure};
use oauthcc_harness::{
    authorization_server::{AuthorizationServer, Client},
    control_plane::{ControlPlane, Options},
};

/// Where `charts/install.yaml` puts the operator, and under which name.
pub(crate) const OPERATOR_NAMESPACE: &str = "oauthcc-system";
pub(crate) const OPERATOR_SERVICE_ACCOUNT: &str = "oauthcc-operator";
/// The namespace of the manifests.
pub(crate) const NAMESPACE: &str = "shop";

const CLIENT_ID: &str = "shop";
const TOKEN_LIFETIME: Duration = Duration::from_secs(30);
const SECRET_BYTES: usize = 24;
/// `deployment.yaml` is for clusters with nodes.
const MANIFESTS: [&str; 3] = ["namespace", "client-secret", "credentials"];

/// The surroundings; dropping them ends them.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) control_plane: ControlPlane,
    pub(crate) server: AuthorizationServer,
    client: Client,
}

impl Ground {
    /// Starts both at once; what has to be built first is built now.
    pub(crate) async fn start(out: &mut impl Write) -> anyhow::Result<Self> {
        let control_plane = async {
            let started = ControlPlane::start(Options::default()).await;
            started.context("failed to start the control plane")
        };
        let server = async {
            let started = AuthorizationServer::start().await;
            started.context("failed to start the authorization server")
        };
        let (control_plane, server) = tokio::try_join!(control_plane, server)?;
        let client =
            Client { lifetime: TOKEN_LIFETIME, ..Client::new(CLIENT_ID, &random_secret()?) };
        server.add_client(&client).await?;
        let took = control_plane.started_in().as_secs_f64();
        step(out, "control plane", &format!("ready in {took:.1} s"))?;
        step(out, "authorization server", &server.token_url())?;
        Ok(Self { control_plane, server, client })
    }

    /// Applies what a cluster needs before any credential.
    pub(crate) async fn install(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        self.apply(&read(&root.join("charts/install.yaml"))?).await?;
        let established = ["wait", "--for=condition=Established", "--timeout=30s"];
        let definition = "crd/oauthclientcredentials.oauthcc.dev";
        self.control_plane.kubectl(&[&established[..], &[definition]].concat()).await?;
        step(out, "charts/install.yaml", "applied")
    }

    /// Applies the manifests of this directory.
    pub(crate) async fn apply_manifests(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
        for name in MANIFESTS {
            let path = directory.join(format!("{name}.yaml"));
            let manifest = self.fill_in(&read(&path)?);
            ensure!(
                !manifest.contains("${"),
                "{} has a placeholder that the demo does not know",
                path.display()
            );
            self.apply(&manifest).await?;
        }
        step(out, "demo/*.yaml", &format!("applied {}", MANIFESTS.join(", ")))
    }

    /// The flags that the operator needs here.
    pub(crate) fn operator_flags(&self) -> Vec<String> {
        vec![
            "--trust-bundle".to_owned(),
            self.server.ca_file().display().to_string(),
            "--allow-endpoint-addresses".to_owned(),
            "127.0.0.0/8,::1/128".to_owned(),
        ]
    }

    /// A kubeconfig with the rights that `charts/install.yaml` gives to the operator, and no more.
    pub(crate) async fn operator_kubeconfig(&self) -> anyhow::Result<std::path::PathBuf> {
        self.control_plane
            .kubeconfig_for_service_account(OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT)
            .await
    }

    /// The lines that let a person look around.
    pub(crate) fn look_around(&self) -> [String; 2] {
        let kubectl = if is_on_path("kubectl") {
            "kubectl".to_owned()
        } else {
            let built = self.control_plane.bin_dir().join("kubectl");
            built.display().to_string()
        };
        let kubeconfig = self.control_plane.admin_kubeconfig().display();
        [format!("export KUBECONFIG={kubeconfig}"), format!("{kubectl} get occ -A")]
    }

    /// Says what to do with all this when no operator is started.
    pub(crate) async fn explain(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let [export, get] = self.look_around();
        let kubectl = get.trim_end_matches(" get occ -A");
        let kubeconfig = self.operator_kubeconfig().await?;
        let flags = self.operator_flags().join(" ");
        let (token_url, host) = (self.server.token_url(), self.server.host());
        let authority = self.server.ca_file().display();
        let Client { id, secret, .. } = &self.client;
        let lifetime = TOKEN_LIFETIME.as_secs();
        let files = MANIFESTS.join(" ");
        let kubeconfig = kubeconfig.display();
        write!(
            out,
            "
Everything is up. Ctrl-C ends it. In another terminal:

  {export}
  {get}

Run the operator, with its own rights:

  KUBECONFIG={kubeconfig} \\
    make run ARGS='{flags}'

A client is registered; its tokens live {lifetime} s:

  token URL      {token_url}
  CA file        {authority}
  client ID      {id}
  client secret  {secret}

Apply the manifests of demo/ with it:

  export TOKEN_URL={token_url} TOKEN_HOST={host} CLIENT_SECRET={secret}
  for file in {files}; do
    envsubst '$TOKEN_URL $TOKEN_HOST $CLIENT_SECRET' <demo/$file.yaml | {kubectl} apply --server-side -f -
  done
"
        )
        .context("failed to print")?;
        out.flush().context("failed to print")
    }

    /// Keeps the logs when this ends, and prints where they are.
    pub(crate) fn keep_logs(&self) {
        self.control_plane.keep_logs();
        self.server.keep_logs();
    }

    async fn apply(&self, manifest: &str) -> anyhow::Result<()> {
        self.control_plane
            .kubectl_with_stdin(&["apply", "--server-side", "-f", "-"], manifest)
            .await
            .map(drop)
    }

    fn fill_in(&self, manifest: &str) -> String {
        manifest
            .replace("${TOKEN_URL}", &self.server.token_url())
            .replace("${TOKEN_HOST}", &self.server.host())
            .replace("${CLIENT_SECRET}", &self.client.secret)
    }
}

/// One line of the start.
pub(crate) fn step(out: &mut impl Write, what: &str, state: &str) -> anyhow::Result<()> {
    writeln!(out, "  {what:<21} {state}").context("failed to print")
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))
}

fn random_secret() -> anyhow::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok().context("failed to get random bytes")?;
    let mut secret = String::new();
    for byte in bytes {
        write!(secret, "{byte:02x}").context("failed to write the secret")?;
    }
    Ok(secret)
}

fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    })
}
