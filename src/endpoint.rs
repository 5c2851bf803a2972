//! Sends token requests and revocations and fetches metadata, and brings back what was answered (design
//! D7). In: a finished `TokenRequest`, or an issuer. Out: `Asked`. The parts lie in `endpoint/`:
//! `transport` builds clients by trust and identity, `resolver` guards addresses, `metadata` finds token
//! endpoints, `fault` names what went wrong below HTTP, `recent` bounds what is kept.
//!
//! **Invariant:** one call of `ask` or `revoke` is at most one request that a server sees: no redirect,
//! no retry, no cookie, no proxy but the one of `--proxy`. No text of reqwest's or of the endpoint's
//! leaves this room, since both may hold the URL or a secret.

use std::{fmt, net::Ipv4Addr, sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::{
    Client, Response,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tokio::time::Instant;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::domain::{
    address::AddressPolicy,
    oauth::{
        Answer, AnswerHeaders, Asked, Grant, HttpMethod, MAX_BODY_BYTES, RequestError,
        TokenRequest, Transport, needs_body, read_answer, read_revocation,
    },
    plan::{Fault, RequestPlan},
    proxy::Proxy,
    reason::Reason,
    redacted::Redacted,
};
use metadata::Metadata;
use resolver::Lookup;
use transport::{TransportKey, Transports};

mod fault;
mod metadata;
mod recent;
mod resolver;
mod transport;

/// How long name look-up, connection and handshake may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept. Servers close theirs after 0, 2, 5, 20 or 60 s, and a
/// request on a connection that is just being closed is lost, perhaps with a token.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answered request still holds its place. The pool takes the connection back in a task of
/// its own: who asks at the very moment of the answer would miss it, and open another.
const POOL_SETTLE_TIME: Duration = Duration::from_millis(1);
const USER_AGENT: &str = concat!("oauthcc-operator/", env!("CARGO_PKG_VERSION"));

/// What `oauthcc run` was told about token endpoints.
#[derive(Clone, Debug, Default)]
pub struct EndpointSettings {
    /// PEM certificates that are trusted beside the system's (`--trust-bundle`).
    pub trust_bundle: Option<Vec<u8>>,
    /// Which addresses are dialled (`--allow-endpoint-addresses`).
    pub addresses: AddressPolicy,
    /// Whether `http://` is sent at all (`--allow-insecure-endpoints`).
    pub allow_insecure: bool,
    /// What every request goes through (`--proxy`, `--no-proxy`). It is trusted: it resolves the names
    /// of endpoints itself, so the address policy judges only what is written as an address.
    pub proxy: Option<Proxy>,
}

/// Why no endpoint can be asked; found at start.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The trust bundle is no PEM.
    #[error("failed to read the PEM certificates of the trust bundle")]
    TrustBundle {
        /// What the parser says.
        source: reqwest::Error,
    },
    /// The trust bundle is PEM and holds no certificate.
    #[error("the trust bundle holds no certificate")]
    TrustBundleEmpty,
    /// The HTTP client does not take the proxy.
    #[error("failed to use the URL of the proxy")]
    Proxy {
        /// What the client says.
        source: reqwest::Error,
    },
    /// User name and password of the proxy can't be written into a header.
    #[error("failed to write the user name and the password of the proxy into a header")]
    ProxyAuthorization,
    /// No TLS, most often because the system has no certificates at all.
    #[error("failed to set up TLS with the system's certificates and the trust bundle")]
    Client {
        /// What the builder says.
        source: reqwest::Error,
    },
}

/// The way to every token endpoint.
#[derive(Clone)]
pub struct Endpoint {
    settings: Arc<EndpointSettings>,
    transports: Arc<Transports>,
    metadata: Arc<Metadata>,
}

/// A pool of connections of one trust and one identity.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    key: TransportKey,
    /// Whether a client certificate is shown to whoever asks for one.
    presents: bool,
    settings: Arc<EndpointSettings>,
    metadata: Arc<Metadata>,
}

impl Endpoint {
    /// Builds the client; the process's rustls provider must be installed by then.
    ///
    /// # Errors
    /// A trust bundle that can't be read, or a system without any certificate.
    pub fn new(settings: EndpointSettings) -> Result<Self, EndpointError> {
        Self::with_lookup(settings, resolver::system())
    }

    fn with_lookup(settings: EndpointSettings, lookup: Lookup) -> Result<Self, EndpointError> {
        let settings = Arc::new(settings);
        let transports = Arc::new(Transports::new(Arc::clone(&settings), lookup)?);
        Ok(Self { settings, transports, metadata: Arc::new(Metadata::new()) })
    }

    /// Lets go of the connections and keys that nobody has asked for in the last minute; to be called
    /// now and then.
    pub fn drop_idle(&self) {
        self.transports.drop_idle();
    }

    /// The connections with the trust and the identity that a request asks for.
    ///
    /// # Errors
    /// A bundle, a certificate or a key that can't be used.
    pub fn connection(&self, transport: &Transport) -> Result<Connection, Fault> {
        let key = TransportKey::of(transport);
        Ok(Connection {
            client: self.transports.client(transport, key)?,
            key,
            presents: transport.client_certificate.is_some(),
            settings: Arc::clone(&self.settings),
            metadata: Arc::clone(&self.metadata),
        })
    }
}

impl Connection {
    /// The token endpoint that the metadata of an issuer names (OpenID Connect Discovery 1.0 §4, RFC
    /// 8414 §3), as it is written there: its host needs consent like any other. Takes as long as
    /// the plan's timeout at most, which is that of the whole attempt; metadata is kept for 24 h.
    ///
    /// # Errors
    /// An attempt that failed: `DiscoveryFailed`, `DiscoveryInvalid`, or what a connection is refused
    /// for.
    pub async fn discover(&self, issuer: &str, plan: &RequestPlan) -> Result<String, Asked> {
        let sent_at = Timestamp::now();
        let started = Instant::now();
        let known = self.metadata.of(self, issuer, started + plan.timeout).await;
        let endpoint = known.and_then(|known| {
            let endpoint = known.token_endpoint_for(plan.method, self.settings.allow_insecure);
            endpoint.map(str::to_owned).map_err(|fault| metadata::told(fault, None))
        });
        endpoint.map_err(|error| Asked { sent_at, result: Err(error), took: started.elapsed() })
    }

    /// The revocation endpoint that the metadata of an issuer names (RFC 8414 §2), as it is written there.
    ///
    /// # Errors
    /// As [`Self::discover`].
    pub async fn discover_revocation(
        &self,
        issuer: &str,
        plan: &RequestPlan,
    ) -> Result<String, RequestError> {
        let known = self.metadata.of(self, issuer, Instant::now() + plan.timeout).await?;
        let endpoint = known.revocation_endpoint_for(plan.method);
        endpoint.map(str::to_owned).map_err(|fault| metadata::told(fault, None))
    }

    /// Revokes a token (RFC 7009). The status of the answer says whether it is done; its body is not read.
    ///
    /// # Errors
    /// The endpoint did not say that it is.
    pub async fn revoke(&self, request: &TokenRequest) -> Result<(), RequestError> {
        let response = self.send(request).await?;
        read_revocation(response.status().as_u16(), answer_headers(&response), Timestamp::now())
    }

    /// Lets go of the metadata that name this token endpoint.
    pub fn forget(&self, token_endpoint: &str) {
        if let Ok(url) = Url::parse(token_endpoint) {
            self.metadata.forget(&url);
        }
    }

    /// Asks once. Takes as long as `request.timeout` at most, the body included.
    pub async fn ask(&self, request: &TokenRequest) -> Asked {
        let sent_at = Timestamp::now();
        let started = Instant::now();
        let result = self.grant(request).await.map_err(|error| error.about(request));
        let moved = |error: &RequestError| {
            matches!(error.reason, Reason::EndpointNotFound | Reason::InvalidClient)
        };
        if result.as_ref().is_err_and(moved) {
            self.metadata.forget(&request.url);
        }
        let took = started.elapsed();
        tokio::time::sleep(POOL_SETTLE_TIME).await;
        Asked { sent_at, result, took }
    }

    async fn grant(&self, request: &TokenRequest) -> Result<Grant, RequestError> {
        let response = self.send(request).await?;
        let answer = read(self, response, request).await?;
        read_answer(&answer, Timestamp::now())
    }

    async fn send(&self, request: &TokenRequest) -> Result<Response, RequestError> {
        self.permitted(&request.url)?;
        let builder = match request.http_method {
            HttpMethod::Post => self.client.post(request.url.clone()),
            HttpMethod::Get => self.client.get(request.url.clone()),
        };
        let builder = match &request.body {
            Some(body) => builder.body(body.expose().clone()),
            None => builder,
        };
        let sent = builder.headers(headers(request)?).timeout(request.timeout).send().await;
        sent.map_err(|error| self.fault(&error))
    }

    /// Whether anything may be sent to a URL as it is written; the resolver judges the addresses of a
    /// name.
    fn permitted(&self, url: &Url) -> Result<(), RequestError> {
        let sendable = match url.scheme() {
            "https" => true,
            "http" => self.settings.allow_insecure,
            _ => false,
        };
        if !sendable {
            let hint = "http:// would send the client secret unencrypted";
            return Err(RequestError::without_answer(Reason::EndpointNotAllowed, hint));
        }
        let permitted = self.settings.addresses.permits_as_written(url) && self.permits_name(url);
        if permitted {
            Ok(())
        } else {
            Err(RequestError::without_answer(Reason::EndpointAddressRefused, fault::LITERAL))
        }
    }

    /// With a proxy, whose resolver can't be asked: not its own name, which the resolver lets through,
    /// and not its own loopback (RFC 6761 §6.3).
    fn permits_name(&self, url: &Url) -> bool {
        let Some(proxy) = &self.settings.proxy else { return true };
        let Some(Host::Domain(name)) = url.host() else { return true };
        let name = name.trim_end_matches('.');
        let loopback = name == "localhost" || name.ends_with(".localhost");
        let reached = self.settings.addresses.permits(Ipv4Addr::LOCALHOST.into());
        proxy.host_name() != Some(name) && (!loopback || reached)
    }

    fn fault(&self, error: &reqwest::Error) -> RequestError {
        fault::of(error, self.presents, self.settings.proxy.is_some())
    }
}

// The clients print what they were built with.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("presents", &self.presents).finish_non_exhaustive()
    }
}

fn headers(request: &TokenRequest) -> Result<HeaderMap, RequestError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let unwritable = || {
            let hint = "a header can't be written: check the client ID and spec.request.headers";
            RequestError::without_answer(Reason::CredentialsInvalid, hint)
        };
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unwritable())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| unwritable())?;
        // Keeps it out of `Debug` and of HTTP/2's header table.
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn answer_headers(response: &Response) -> AnswerHeaders {
    AnswerHeaders::read(|name| {
        let lines = response.headers().get_all(name).iter();
        lines.filter_map(|line| line.to_str().ok()).map(str::to_owned).collect()
    })
}

/// Reads status, headers and body; the timeout of the request still runs.
async fn read(
    connection: &Connection,
    mut response: Response,
    request: &TokenRequest,
) -> Result<Answer, RequestError> {
    let status = response.status().as_u16();
    let headers = answer_headers(&response);
    let body = match body(connection, &mut response).await {
        Ok(body) => body,
        Err(error) if needs_body(status) => return Err(error),
        Err(_) => Redacted::default(),
    };
    Ok(Answer { status, headers, body, sent: request.sent.clone(), shape: request.shape.clone() })
}

/// Stops one byte after the limit, by which `read_answer` sees that there was more.
async fn body(
    connection: &Connection,
    response: &mut Response,
) -> Result<Redacted<Vec<u8>>, RequestError> {
    // One allocation, so that growing leaves no copies of a token behind.
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_BODY_BYTES + 1));
    while let Some(chunk) = response.chunk().await.map_err(|error| connection.fault(&error))? {
        let room = MAX_BODY_BYTES + 1 - body.len();
        body.extend_from_slice(chunk.get(..chunk.len().min(room)).unwrap_or_default());
        if body.len() > MAX_BODY_BYTES {
            break;
        }
    }
    Ok(Redacted::new(std::mem::take(&mut *body)))
}

#[cfg(test)]
mod tests;
