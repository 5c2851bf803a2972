//! Fetches the metadata of issuers and keeps it (OpenID Connect Discovery 1.0 §4, RFC 8414 §3). In: an
//! issuer and a connection. Out: the token endpoint that it names.
//!
//! **Invariant:** what was fetched over one trust is never used over another; one issuer is asked by
//! one at a time, and what that one is told is told to all who waited for it; and nothing that a
//! document says leaves this room but its token endpoint.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::header::{ACCEPT, CONNECTION, HeaderValue};
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use crate::{
    domain::{
        oauth::{
            MAX_BODY_BYTES, RequestError,
            discovery::{self, MetadataFault, ServerMetadata, Told},
        },
        reason::Reason,
        redacted::Redacted,
    },
    endpoint::{Connection, body, recent::Recent, transport::TransportKey},
};

/// How long metadata is used.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Who would wait this much longer than somebody who gave up asks again.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many issuers are kept.
const MAX_ISSUERS: usize = 1024;

/// The metadata that is kept.
pub(super) struct Metadata(Mutex<Recent<(String, TransportKey), Arc<Slot>>>);

/// One issuer over one trust.
#[derive(Default)]
struct Slot {
    /// Whose turn it is to ask.
    turn: tokio::sync::Mutex<()>,
    latest: Mutex<Option<Fetched>>,
}

/// What came of a fetch.
struct Fetched {
    at: Instant,
    /// Until when it was waited for.
    until: Instant,
    result: Result<ServerMetadata, RequestError>,
}

impl Metadata {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Recent::new(MAX_ISSUERS)))
    }

    /// The metadata of an issuer, fetched where it is not known. Takes until `until` at most, for the
    /// wait and both URLs together.
    ///
    /// # Errors
    /// No metadata, or none in time.
    pub(super) async fn of(
        &self,
        connection: &Connection,
        issuer: &str,
        until: Instant,
    ) -> Result<ServerMetadata, RequestError> {
        let started = Instant::now();
        let slot = self.slot(issuer, connection.key);
        if let Some(known) = slot.known(started) {
            return Ok(known);
        }
        let Ok(_turn) = timeout_at(until, slot.turn.lock()).await else {
            return Err(late());
        };
        if let Some(told) = slot.told_since(started, until) {
            return told;
        }
        let fetched = fetch(connection, issuer, until).await;
        let latest = Fetched { at: Instant::now(), until, result: fetched.clone() };
        *lock(&slot.latest) = Some(latest);
        fetched
    }

    /// Lets go of what named this token endpoint: it has moved, or the client is not known there.
    pub(super) fn forget(&self, token_endpoint: &Url) {
        let asked = &token_endpoint[..Position::AfterPath];
        for slot in lock(&self.0).values() {
            lock(&slot.latest).take_if(|latest| {
                latest.result.as_ref().is_ok_and(|metadata| names(metadata, asked))
            });
        }
    }

    fn slot(&self, issuer: &str, transport: TransportKey) -> Arc<Slot> {
        let mut slots = lock(&self.0);
        let key = (issuer.to_owned(), transport);
        slots.get(&key).unwrap_or_else(|| {
            let slot = Arc::new(Slot::default());
            slots.keep(key, Arc::clone(&slot));
            slot
        })
    }
}

impl Slot {
    fn known(&self, now: Instant) -> Option<ServerMetadata> {
        let latest = lock(&self.latest);
        let Fetched { at, result, .. } = latest.as_ref()?;
        let fresh = now.saturating_duration_since(*at) < LIFETIME;
        result.as_ref().ok().filter(|_| fresh).cloned()
    }

    /// What somebody else was told after `started`: who waited for the answer takes it, a failure too,
    /// so that a server in trouble is asked once and not once by each who waits. That another had less
    /// patience is no answer to who has more.
    fn told_since(
        &self,
        started: Instant,
        until: Instant,
    ) -> Option<Result<ServerMetadata, RequestError>> {
        let latest = lock(&self.latest);
        let told = latest.as_ref().filter(|latest| latest.at >= started)?;
        let given_up = told.at >= told.until;
        let more_patient = until > told.until + PATIENCE;
        (!given_up || !more_patient).then(|| told.result.clone())
    }
}

fn names(metadata: &ServerMetadata, asked: &str) -> bool {
    let alias = metadata.mtls_token_endpoint.as_ref();
    let mut named = alias.into_iter().chain([&metadata.token_endpoint]);
    named.any(|url| Url::parse(url).is_ok_and(|url| &url[..Position::AfterPath] == asked))
}

async fn fetch(
    connection: &Connection,
    issuer: &str,
    until: Instant,
) -> Result<ServerMetadata, RequestError> {
    let insecure = connection.settings.allow_insecure;
    let urls = discovery::urls(issuer, insecure).map_err(|fault| told(fault, None))?;
    for url in [urls.openid, urls.oauth] {
        let (status, document) = get(connection, &url, until).await?;
        return match discovery::told(status) {
            Told::Elsewhere => continue,
            Told::Fault(fault) => Err(told(fault, Some(status))),
            Told::Here if document.expose().len() > MAX_BODY_BYTES => {
                Err(told(MetadataFault::TooLarge, Some(status)))
            }
            Told::Here => discovery::read(document.expose(), issuer, insecure)
                .map_err(|fault| told(fault, Some(status))),
        };
    }
    Err(told(MetadataFault::Missing, None))
}

/// One document, without any credentials; the body only where it may be metadata.
async fn get(
    connection: &Connection,
    url: &Url,
    until: Instant,
) -> Result<(u16, Redacted<Vec<u8>>), RequestError> {
    connection.permitted(url)?;
    let exchange = async {
        let request = connection.client.get(url.clone());
        let request = request
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            // The next URL must not meet a connection that is closing under it.
            .header(CONNECTION, HeaderValue::from_static("close"));
        let mut response = request.send().await.map_err(|error| connection.fault(&error))?;
        let status = response.status().as_u16();
        let body = match discovery::told(status) {
            Told::Here => body(connection, &mut response).await?,
            Told::Elsewhere | Told::Fault(_) => Redacted::default(),
        };
        Ok((status, body))
    };
    timeout_at(until, exchange).await.unwrap_or_else(|_| Err(late())).map_err(failed)
}

/// What keeps metadata away is a failed discovery, but for what the connection is refused for.
fn failed(error: RequestError) -> RequestError {
    if error.reason == Reason::EndpointUnreachable {
        RequestError { reason: Reason::DiscoveryFailed, ..error }
    } else {
        error
    }
}

/// The error of a fault. Of a 401 the words tell: the status would be read as a wrong client secret.
pub(super) fn told(fault: MetadataFault, status: Option<u16>) -> RequestError {
    let mut error = RequestError::without_answer(fault.reason(), fault.hint());
    error.status = status.filter(|_| fault != MetadataFault::Guarded);
    error
}

fn late() -> RequestError {
    RequestError::without_answer(
        Reason::DiscoveryFailed,
        "its metadata was not complete in time (spec.request.timeout)",
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
