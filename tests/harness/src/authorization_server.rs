//! A real OAuth 2.0 authorization server (oidc-provider, certified) under control.
//!
//! In: `tests/authorization-server`, installed by npm where needed. Out: an HTTPS token endpoint on
//! loopback with a CA of its own, clients made at run time, counts, and failures on demand.
//! **Invariant:** the harness never sees a token that it was not given: issued tokens are known by
//! their SHA-256.

mod client;
mod install;

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use serde::Deserialize;
use serde_json::json;

use crate::{
    certificates::{Authority, Certificate, Flaw, ServerFiles, random_secret, write_server_files},
    control::Control,
    introspection::Introspector,
    keys::Key,
    ports::Port,
    process::{Process, command},
    wait::wait_for,
    work_directory::WorkDirectory,
};

pub use crate::introspection::Introspection;
pub use client::{AuthMethod, Client, DEFAULT_SCOPE, RESOURCES, SCOPES};

const INTROSPECTOR: &str = "harness-introspection";
const READY_BOUND: Duration = Duration::from_secs(30);
const STARTS: usize = 3;

/// A token as the server remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The hexadecimal SHA-256 of the token.
    pub sha256: String,
    /// When it was issued, in whole seconds.
    pub issued_at: SystemTime,
    /// When it expires, in whole seconds.
    pub expires_at: SystemTime,
    /// The granted scopes, separated by spaces.
    pub scope: String,
    /// Whether it was revoked (RFC 7009).
    pub revoked: bool,
}

/// An answer given instead of the server's own.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// Headers by name.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Failure {
    /// An answer with a JSON content type.
    pub fn new(status: u16, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_owned() }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

#[derive(Debug, Deserialize)]
struct Observed {
    requests: usize,
    held: usize,
    issued: Vec<ObservedToken>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObservedToken {
    sha256: String,
    issued_at_seconds: u64,
    expires_at_seconds: u64,
    scope: String,
    revoked: bool,
}

/// A running authorization server; dropping it ends it.
#[derive(Debug)]
pub struct AuthorizationServer {
    port: Port,
    tls: ServerFiles,
    client_authority: Authority,
    control: Control,
    client: reqwest::Client,
    introspector_secret: String,
    process: Process,
    _control_port: Port,
    directory: WorkDirectory,
}

impl AuthorizationServer {
    /// Installs the npm packages where needed (5 s, once) and starts the server (1 s).
    pub async fn start() -> anyhow::Result<Self> {
        crate::init();
        install::install().await?;
        let mut attempt = 1;
        loop {
            match Self::start_once().await {
                Err(error) if attempt < STARTS && format!("{error:#}").contains("EADDRINUSE") => {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn start_once() -> anyhow::Result<Self> {
        let directory = WorkDirectory::create("authorization-server")?;
        let tls = write_server_files(&directory)?;
        let client_authority = Authority::new("oauthcc test clients")?;
        let client_authority_file = directory.write("client-ca.crt", &client_authority.pem())?;
        let (port, control_port) = (Port::reserve()?, Port::reserve()?);
        let mut node = command(Path::new("node"));
        node.arg(install::source().join("server.mjs"))
            .env("PORT", port.number().to_string())
            .env("CONTROL_PORT", control_port.number().to_string())
            .env("CERTIFICATE_FILE", &tls.certificate)
            .env("KEY_FILE", &tls.key)
            .env("CLIENT_AUTHORITY_FILE", client_authority_file)
            .env("SCOPES", SCOPES.join(" "))
            .env("RESOURCES", RESOURCES.join(" "))
            .env("INTROSPECTOR_ID", INTROSPECTOR);
        let process = Process::spawn("node", node, &directory.file("authorization-server.log"))?;
        let control = Control {
            client: crate::http::plain_client()?,
            url: format!("http://{}", control_port.address()),
        };
        let look = || async {
            match process.ensure_running() {
                Err(ended) => Ok(Err(ended)),
                Ok(()) => control.send("ready", &json!({})).await.map(Ok),
            }
        };
        wait_for("the authorization server to be ready", READY_BOUND, look)
            .await
            .inspect_err(|_| directory.keep())??;
        let server = Self {
            client: crate::http::client_trusting(&tls.authority_pem)?,
            introspector_secret: random_secret()?,
            port,
            tls,
            client_authority,
            control,
            process,
            _control_port: control_port,
            directory,
        };
        let introspector = Client::new(INTROSPECTOR, &server.introspector_secret);
        server.add_client(&introspector).await?;
        Ok(server)
    }

    /// `localhost:PORT`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port.number())
    }

    /// The issuer identifier. Its discovery documents (OpenID Connect and RFC 8414) name the token
    /// endpoint, and 127.0.0.1 as the host for mutual TLS.
    pub fn issuer(&self) -> String {
        format!("https://{}", self.host())
    }

    /// The token endpoint.
    pub fn token_url(&self) -> String {
        format!("https://{}/token", self.host())
    }

    /// The token endpoint for mutual TLS that the discovery document names (RFC 8705 §5): the same
    /// server by another host name.
    pub fn mtls_token_url(&self) -> String {
        format!("https://127.0.0.1:{}/token", self.port.number())
    }

    /// The certificate authority that signed the server's certificate.
    pub fn ca_pem(&self) -> &str {
        &self.tls.authority_pem
    }

    /// The same as a file.
    pub fn ca_file(&self) -> &Path {
        &self.tls.authority
    }

    /// A client certificate whose authority this server trusts, good until `lifetime` from now.
    pub fn client_certificate(
        &self,
        common_name: &str,
        key: &Key,
        lifetime: Duration,
    ) -> anyhow::Result<Certificate> {
        self.client_authority.client(common_name, key, lifetime)
    }

    /// A certificate for another server on loopback, of the authority that signed this one's own
    /// unless that is the flaw.
    pub fn server_certificate(&self, flaw: Flaw) -> anyhow::Result<Certificate> {
        self.tls.signer.server(flaw)
    }

    /// Keeps the logs when this ends, and prints where they are.
    pub fn keep_logs(&self) {
        self.directory.keep();
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        self.process.log_text()
    }

    /// Registers a client, or replaces the one with the same id; fails where the server refuses its
    /// metadata.
    pub async fn add_client(&self, client: &Client) -> anyhow::Result<()> {
        let argument = json!({
            "id": client.id,
            "lifetimeSeconds": client.lifetime.as_secs(),
            "metadata": client.registration(),
        });
        self.control.send("set-client", &argument).await
    }

    /// Changes a client's secret: the old one is refused from now on.
    pub async fn set_secret(&self, client_id: &str, secret: &str) -> anyhow::Result<()> {
        self.control.send("set-secret", &json!({ "id": client_id, "secret": secret })).await
    }

    /// Removes a client: `invalid_client` from now on.
    pub async fn remove_client(&self, client_id: &str) -> anyhow::Result<()> {
        self.control.send("remove-client", &json!({ "id": client_id })).await
    }

    /// How many requests for a token came with this client id, whatever the answer.
    pub async fn token_requests(&self, client_id: &str) -> anyhow::Result<usize> {
        Ok(self.observed(client_id).await?.requests)
    }

    /// The tokens issued to this client, the oldest first.
    pub async fn issued(&self, client_id: &str) -> anyhow::Result<Vec<IssuedToken>> {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let tokens = self.observed(client_id).await?.issued.into_iter();
        Ok(tokens
            .map(|token| IssuedToken {
                sha256: token.sha256,
                issued_at: at(token.issued_at_seconds),
                expires_at: at(token.expires_at_seconds),
                scope: token.scope,
                revoked: token.revoked,
            })
            .collect())
    }

    /// Asks the server about a token, as a resource server would (RFC 7662).
    pub async fn introspect(&self, token: &str) -> anyhow::Result<Introspection> {
        let introspector = Introspector {
            http: &self.client,
            url: &format!("https://{}/token/introspection", self.host()),
            id: INTROSPECTOR,
            secret: &self.introspector_secret,
        };
        introspector.ask(token).await
    }

    /// Holds the answers to this client back: a token may be issued, but does not arrive.
    pub async fn hold(&self, client_id: &str) -> anyhow::Result<()> {
        self.control.send("hold", &json!({ "id": client_id })).await
    }

    /// Sends the answers held back, and holds no more.
    pub async fn release(&self, client_id: &str) -> anyhow::Result<()> {
        self.control.send("release", &json!({ "id": client_id })).await
    }

    /// How many answers are held back now; one whose client hung up is not counted.
    pub async fn held(&self, client_id: &str) -> anyhow::Result<usize> {
        Ok(self.observed(client_id).await?.held)
    }

    /// Answers every request of this client for a token with `failure`.
    pub async fn fail_with(&self, client_id: &str, failure: &Failure) -> anyhow::Result<()> {
        let Failure { status, headers, body } = failure;
        let failure = json!({ "status": status, "headers": headers, "body": body });
        self.control.send("fail", &json!({ "id": client_id, "failure": failure })).await
    }

    /// Answers this client as the server would.
    pub async fn clear_failure(&self, client_id: &str) -> anyhow::Result<()> {
        self.control.send("fail", &json!({ "id": client_id, "failure": null })).await
    }

    /// Goes out of reach: open connections are cut, new ones refused. Clients and tokens stay.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.control.send("stop", &json!({})).await
    }

    /// Comes back on the same port with the same certificate.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.control.send("start", &json!({})).await
    }

    async fn observed(&self, client_id: &str) -> anyhow::Result<Observed> {
        self.control.ask("observed", &json!({ "id": client_id })).await
    }
}
