//! Sends one token request and brings back its answer (design D7). In: a finished `TokenRequest`.
//! Out: `Asked`. The parts lie in `endpoint/`: `resolver` guards addresses, `fault` names what went
//! wrong below HTTP.
//!
//! **Invariant:** one call is at most one request: no redirect, no retry, no proxy, no cookie. No
//! text of reqwest's or of the endpoint's leaves this room, since both may hold the URL or a secret.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use reqwest::{
    Certificate, Client, ClientBuilder, Response,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect, retry, tls,
};
use zeroize::Zeroizing;

use crate::domain::{
    address::AddressPolicy,
    oauth::{
        Answer, AnswerHeaders, Asked, Grant, HttpMethod, MAX_BODY_BYTES, RequestError,
        TokenRequest, Transport, needs_body, read_answer,
    },
    plan::{Fault, RequestPlan},
    reason::Reason,
    redacted::Redacted,
};

mod fault;
mod resolver;
#[cfg(test)]
mod tests;

/// How long name look-up, connection and handshake may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept. Servers close theirs after 0, 2, 5, 20 or 60 s, and a
/// request on a connection that is just being closed is lost, perhaps with a token.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
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
    /// No TLS, most often because the system has no certificates at all.
    #[error("failed to set up TLS with the system's certificates and the trust bundle")]
    Client {
        /// What the builder says.
        source: reqwest::Error,
    },
}

/// The way to every token endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    settings: Arc<EndpointSettings>,
    plain: Client,
}

/// A pool of connections of one trust and one identity.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    settings: Arc<EndpointSettings>,
}

impl Endpoint {
    /// Builds the client; the process's rustls provider must be installed by then.
    ///
    /// # Errors
    /// A trust bundle that can't be read, or a system without any certificate.
    pub fn new(settings: EndpointSettings) -> Result<Self, EndpointError> {
        let settings = Arc::new(settings);
        let plain = client(&settings)?
            .build()
            .map_err(|source| EndpointError::Client { source: source.without_url() })?;
        Ok(Self { settings, plain })
    }

    /// The connections with the trust and the identity that a request asks for.
    ///
    /// # Errors
    /// A bundle, a certificate or a key that can't be used.
    pub fn connection(&self, _transport: &Transport) -> Result<Connection, Fault> {
        Ok(Connection { client: self.plain.clone(), settings: Arc::clone(&self.settings) })
    }
}

fn client(settings: &EndpointSettings) -> Result<ClientBuilder, EndpointError> {
    let addresses = Arc::new(settings.addresses.clone());
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .https_only(!settings.allow_insecure)
        .tls_version_min(tls::Version::TLS_1_2)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .user_agent(USER_AGENT)
        .dns_resolver(resolver::GuardedResolver::new(addresses));
    if let Some(pem) = &settings.trust_bundle {
        let bundle = Certificate::from_pem_bundle(pem)
            .map_err(|source| EndpointError::TrustBundle { source: source.without_url() })?;
        if bundle.is_empty() {
            return Err(EndpointError::TrustBundleEmpty);
        }
        builder = builder.tls_certs_merge(bundle);
    }
    Ok(builder)
}

impl Connection {
    /// The token endpoint that the metadata of an issuer names (OpenID Connect Discovery 1.0 §4, RFC
    /// 8414 §3).
    ///
    /// # Errors
    /// An attempt that failed with `DiscoveryFailed` or `DiscoveryInvalid`.
    pub async fn discover(&self, _issuer: &str, _plan: &RequestPlan) -> Result<String, Asked> {
        let error = RequestError::without_answer(Reason::DiscoveryInvalid, "not looked up yet");
        Err(Asked { sent_at: Timestamp::now(), result: Err(error), took: Duration::ZERO })
    }

    /// Asks once. Takes as long as `request.timeout` at most, the body included.
    pub async fn ask(&self, request: &TokenRequest) -> Asked {
        let sent_at = Timestamp::now();
        let started = Instant::now();
        let result = self.grant(request).await.map_err(|error| error.about(request));
        Asked { sent_at, result, took: started.elapsed() }
    }

    async fn grant(&self, request: &TokenRequest) -> Result<Grant, RequestError> {
        let sendable = match request.url.scheme() {
            "https" => true,
            "http" => self.settings.allow_insecure,
            _ => false,
        };
        if !sendable {
            let hint = "http:// would send the client secret unencrypted";
            return Err(RequestError::without_answer(Reason::EndpointNotAllowed, hint));
        }
        if !self.settings.addresses.permits_as_written(&request.url) {
            return Err(RequestError::without_answer(
                Reason::EndpointAddressRefused,
                fault::LITERAL,
            ));
        }
        let builder = match request.http_method {
            HttpMethod::Post => self.client.post(request.url.clone()),
            HttpMethod::Get => self.client.get(request.url.clone()),
        };
        let builder = match &request.body {
            Some(body) => builder.body(body.expose().clone()),
            None => builder,
        };
        let response = builder
            .headers(headers(request)?)
            .timeout(request.timeout)
            .send()
            .await
            .map_err(|error| fault::of(&error))?;
        let answer = read(response, request).await?;
        read_answer(&answer, Timestamp::now())
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

/// Reads status, headers and body; the timeout of the request still runs.
async fn read(mut response: Response, request: &TokenRequest) -> Result<Answer, RequestError> {
    let status = response.status().as_u16();
    let headers = AnswerHeaders::read(|name| {
        let lines = response.headers().get_all(name).iter();
        lines.filter_map(|line| line.to_str().ok()).map(str::to_owned).collect()
    });
    let body = match body(&mut response).await {
        Ok(body) => body,
        Err(error) if needs_body(status) => return Err(error),
        Err(_) => Redacted::default(),
    };
    Ok(Answer { status, headers, body, sent: request.sent.clone(), shape: request.shape.clone() })
}

/// Stops one byte after the limit, by which `read_answer` sees that there was more.
async fn body(response: &mut Response) -> Result<Redacted<Vec<u8>>, RequestError> {
    // One allocation, so that growing leaves no copies of a token behind.
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_BODY_BYTES + 1));
    while let Some(chunk) = response.chunk().await.map_err(|error| fault::of(&error))? {
        let room = MAX_BODY_BYTES + 1 - body.len();
        body.extend_from_slice(chunk.get(..chunk.len().min(room)).unwrap_or_default());
        if body.len() > MAX_BODY_BYTES {
            break;
        }
    }
    Ok(Redacted::new(std::mem::take(&mut *body)))
}
