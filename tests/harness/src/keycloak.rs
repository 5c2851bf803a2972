//! A real Keycloak: HTTP/2, and client authentication by Kubernetes ServiceAccount tokens.
//!
//! In: the directory that `tests/keycloak/fetch.sh` prepares, and possibly a cluster of which one
//! ServiceAccount may prove itself. Out: an HTTPS server on loopback with one realm, a client of each
//! kind in it, and what these clients prove themselves with.
//! **Invariant:** two servers share nothing but the program: database, keys and realm are of one run.

mod clients;
mod install;
mod launch;
mod realm;

use std::{
    path::Path,
    time::{Duration, Instant},
};

pub use crate::introspection::Introspection;

pub use self::{
    clients::{CertificateClient, Clients, KeyClient, SecretClient, ServiceAccountClient},
    realm::SCOPES,
};
use crate::{
    certificates::{Authority, ServerFiles, write_server_files},
    control_plane::ControlPlane,
    introspection::Introspector,
    ports::Port,
    process::Process,
    wait::wait_for,
    work_directory::WorkDirectory,
};

/// 14 s on two idle cores; a busy machine has needed 70 s and more.
const READY_BOUND: Duration = Duration::from_secs(240);
const STARTS: usize = 3;

/// What the realm is made of; the default suits tests without a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long the tokens of every client live, in whole seconds.
    pub token_lifetime: Duration,
    /// The cluster of [`Clients::service_account`].
    pub cluster: Option<TrustedCluster>,
}

impl Default for Options {
    fn default() -> Self {
        Self { token_lifetime: Duration::from_secs(3600), cluster: None }
    }
}

/// A cluster that the realm believes, and the one ServiceAccount that has a client.
#[derive(Debug, Clone)]
pub struct TrustedCluster {
    /// The `iss` of its tokens; discovery and keys are read from below it, without a token.
    pub issuer: String,
    /// The authority of that URL's certificate.
    pub ca_pem: String,
    /// The ServiceAccount's namespace.
    pub namespace: String,
    /// The ServiceAccount's name.
    pub name: String,
}

impl TrustedCluster {
    /// A harness' cluster; it must [`ControlPlane::publish_service_account_keys`] as well.
    pub fn new(plane: &ControlPlane, namespace: &str, name: &str) -> Self {
        Self {
            issuer: plane.url().to_owned(),
            ca_pem: plane.ca_pem().to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// One line of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// The version of HTTP that was spoken: `HTTP/1.1` or `HTTP/2`.
    pub protocol: String,
    /// The status of the answer.
    pub status: u16,
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The header `User-Agent`, `-` where it was absent.
    pub user_agent: String,
}

/// A running Keycloak; dropping it ends it.
#[derive(Debug)]
pub struct Keycloak {
    port: Port,
    tls: ServerFiles,
    clients: Clients,
    introspector: SecretClient,
    http: reqwest::Client,
    started_in: Duration,
    process: Process,
    directory: WorkDirectory,
}

impl Keycloak {
    /// Gets Keycloak where it is missing (30 s, once) and starts it (14 s on two idle cores).
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        crate::init();
        let installed = install::install().await?;
        let mut attempt = 1;
        loop {
            match Self::start_once(&installed, &options).await {
                Err(error) if attempt < STARTS && is_port_taken(&error) => attempt += 1,
                result => return result,
            }
        }
    }

    async fn start_once(installed: &Path, options: &Options) -> anyhow::Result<Self> {
        let started_at = Instant::now();
        let directory = WorkDirectory::create("keycloak")?;
        let tls = write_server_files(&directory)?;
        let port = Port::reserve()?;
        let client_authority = Authority::new(clients::AUTHORITY_NAME)?;
        let clients = Clients::make(options, &client_authority)?;
        let introspector = SecretClient::random("introspector")?;
        let launch = launch::Launch {
            installed,
            port: port.number(),
            tls: &tls,
            client_authority: directory.write("client-ca.crt", &client_authority.pem())?,
            cluster_authority: match &options.cluster {
                Some(cluster) => Some(directory.write("cluster-ca.crt", &cluster.ca_pem)?),
                None => None,
            },
            realm: realm::realm(options, &clients, &introspector)?,
        };
        let process = launch.start(&directory)?;
        let http = crate::http::client_trusting(&tls.authority_pem)?;
        let server = Self {
            port,
            tls,
            clients,
            introspector,
            http,
            started_in: Duration::ZERO,
            process,
            directory,
        };
        server.wait_ready().await.inspect_err(|_| server.directory.keep())?;
        Ok(Self { started_in: started_at.elapsed(), ..server })
    }

    /// `localhost:PORT`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port.number())
    }

    /// The realm's issuer: the `iss` of its tokens and the `aud` that assertions must have.
    pub fn issuer(&self) -> String {
        format!("{}/realms/{}", launch::url(self.port.number()), realm::NAME)
    }

    /// The token endpoint.
    pub fn token_url(&self) -> String {
        format!("{}/protocol/openid-connect/token", self.issuer())
    }

    /// The certificate authority that signed the server's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.tls.authority_pem
    }

    /// The same as a file.
    pub fn ca_file(&self) -> &Path {
        &self.tls.authority
    }

    /// The registered clients.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// How long the start took, without getting the program.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Keeps the logs when this ends, and prints where they are.
    pub fn keep_logs(&self) {
        self.directory.keep();
    }

    /// What the server wrote to its log; refused clients are in it, by name and reason.
    pub fn log(&self) -> String {
        self.process.log_text()
    }

    /// The requests that the server has answered, the oldest first; the latest may not be written yet.
    pub fn requests(&self) -> anyhow::Result<Vec<LoggedRequest>> {
        launch::requests(&self.directory)
    }

    /// Asks the server about a token, as a resource server would (RFC 7662).
    pub async fn introspect(&self, token: &str) -> anyhow::Result<Introspection> {
        let introspector = Introspector {
            http: &self.http,
            url: &format!("{}/introspect", self.token_url()),
            id: &self.introspector.id,
            secret: &self.introspector.secret,
        };
        introspector.ask(token).await
    }

    async fn wait_ready(&self) -> anyhow::Result<()> {
        let url = format!("{}/.well-known/openid-configuration", self.issuer());
        let look = || async {
            if let Err(ended) = self.process.ensure_running() {
                return Ok(Err(ended));
            }
            match self.http.get(&url).send().await {
                Ok(response) if response.status().is_success() => Ok(Ok(())),
                Ok(response) => Err(response.status().to_string()),
                Err(error) => Err(format!("{:#}", anyhow::Error::new(error))),
            }
        };
        wait_for("Keycloak to be ready", READY_BOUND, look).await?
    }
}

fn is_port_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").to_lowercase().contains("address already in use")
}
