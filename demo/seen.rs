//! What the cluster shows of each credential.
//!
//! In: credentials, managed Secrets and events of one namespace. Out: one [`Row`] per credential.
//! **Invariant:** a row holds a digest, never a token.

use std::fmt::Write;

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::{Api, Client, ResourceExt, api::ListParams};
use oauthcc_operator::domain::crd::{
    EXPIRES_AT, ISSUED_AT, MANAGED_LABEL, OAuthClientCredential, REVISION,
};

/// Bytes of the digest that are shown, each as two characters.
const DIGEST_BYTES: usize = 4;

/// One credential at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) ready: Option<Ready>,
    pub(crate) token: Option<Token>,
    pub(crate) last_event: Option<LastEvent>,
}

/// The condition `Ready`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ready {
    pub(crate) status: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// What the managed Secret holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) digest: String,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) revision: u32,
}

/// The latest event about the credential.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LastEvent {
    pub(crate) reason: String,
    pub(crate) at: Timestamp,
}

impl Row {
    /// How often the token was replaced.
    pub(crate) fn rotations(&self) -> u32 {
        let revision = self.token.as_ref().map_or(0, |token| token.revision);
        revision.saturating_sub(1)
    }

    /// Whether `Ready` is True.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
            .as_ref()
            .is_some_and(|ready| ready.status == "True")
    }
}

/// Looks at every credential of a namespace.
pub(crate) async fn look(client: &Client, namespace: &str) -> anyhow::Result<Vec<Row>> {
    let credentials = Api::<OAuthClientCredential>::namespaced(client.clone(), namespace);
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let events = Api::<Event>::namespaced(client.clone(), namespace);
    let everything = ListParams::default();
    let managed = ListParams::default().labels(&format!("{MANAGED_LABEL}=true"));
    let (credentials, secrets, events) = tokio::try_join!(
        credentials.list(&everything),
        secrets.list(&managed),
        events.list(&everything),
    )
    .with_context(|| format!("failed to look at namespace {namespace}"))?;
    Ok(credentials
        .iter()
        .map(|credential| row(credential, &secrets.items, &events.items))
        .collect())
}

fn row(credential: &OAuthClientCredential, secrets: &[Secret], events: &[Event]) -> Row {
    let name = credential.name_any();
    let target = secrets
        .iter()
        .find(|secret| secret.name_any() == credential.target_name());
    Row {
        ready: ready(credential),
        token: target.and_then(|secret| token(secret, credential.spec.token_key())),
        last_event: last_event(&name, events),
        name,
    }
}

fn ready(credential: &OAuthClientCredential) -> Option<Ready> {
    let conditions = &credential.status.as_ref()?.conditions;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")?;
    Some(Ready {
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    })
}

fn token(secret: &Secret, key: &str) -> Option<Token> {
    let annotations = secret.annotations();
    Some(Token {
        digest: short_digest(&secret.data.as_ref()?.get(key)?.0),
        issued_at: annotations.get(ISSUED_AT)?.parse().ok()?,
        expires_at: annotations.get(EXPIRES_AT)?.parse().ok()?,
        revision: annotations.get(REVISION)?.parse().ok()?,
    })
}

fn last_event(credential: &str, events: &[Event]) -> Option<LastEvent> {
    let about = |event: &&Event| {
        let regarding = event.regarding.as_ref();
        regarding.and_then(|object| object.name.as_deref()) == Some(credential)
    };
    let events = events.iter().filter(about).filter_map(|event| {
        let series = event.series.as_ref();
        let at = series.map(|series| &series.last_observed_time);
        Some(LastEvent {
            reason: event.reason.clone()?,
            at: at.or(event.event_time.as_ref())?.0,
        })
    });
    events.max_by(|one, other| one.at.cmp(&other.at))
}

fn short_digest(token: &[u8]) -> String {
    let digest = digest(&SHA256, token);
    let mut text = String::new();
    for byte in digest.as_ref().iter().take(DIGEST_BYTES) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
