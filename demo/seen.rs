//! What the cluster shows of each credential.
//!
//! In: credentials, managed Secrets and events of one namespace. Out: one [`Row`] per credential.
//! **Invariant:** a row holds a digest, never a token.

use std::fmt::Write;

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Api, Client, ResourceExt, api::ListParams};
use oauthcc_operator::domain::crd::{
    EXPIRES_AT, ISSUED_AT, MANAGED_LABEL, OAuthClientCredential, REVISION,
};

/// Bytes of the digest that are shown, each as two characters.
const DIGEST_BYTES: usize = 4;
const READY: &str = "Ready";
const CAUSES: [&str; 3] = ["ResolvedRefs", "RequestSucceeded", "SecretSynced"];

/// One credential at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) ready: Option<Ready>,
    /// Why something is not as it should be: the reason and the message of a condition.
    pub(crate) complaint: Option<String>,
    pub(crate) token: Option<Token>,
    /// The events about it, the oldest first.
    pub(crate) events: Vec<SeenEvent>,
}

/// The condition `Ready`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ready {
    pub(crate) status: String,
    pub(crate) reason: String,
}

/// What the managed Secret holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) digest: String,
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) revision: u32,
}

/// An event about the credential, at its latest occurrence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SeenEvent {
    pub(crate) reason: String,
    pub(crate) at: Timestamp,
}

impl Row {
    /// How often the token was replaced.
    pub(crate) fn rotations(&self) -> u32 {
        let revision = self.token.as_ref().map_or(0, |token| token.revision);
        revision.saturating_sub(1)
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
    let target = secrets.iter().find(|secret| secret.name_any() == credential.target_name());
    let conditions = credential.status.as_ref().map(|status| status.conditions.as_slice());
    let conditions = conditions.unwrap_or_default();
    Row {
        ready: ready(conditions),
        complaint: complaint(conditions),
        token: target.and_then(|secret| token(secret, credential.spec.token_key())),
        events: about(&name, events),
        name,
    }
}

fn ready(conditions: &[Condition]) -> Option<Ready> {
    let condition = conditions.iter().find(|condition| condition.type_ == READY)?;
    Some(Ready { status: condition.status.clone(), reason: condition.reason.clone() })
}

/// A cause is told rather than what follows from it for `Ready`.
fn complaint(conditions: &[Condition]) -> Option<String> {
    let is_cause = |condition: &&Condition| CAUSES.contains(&condition.type_.as_str());
    let causes = conditions.iter().filter(is_cause);
    let ready = conditions.iter().filter(|condition| condition.type_ == READY);
    let told = causes.chain(ready).find(|condition| condition.status == "False")?;
    Some(format!("{}: {}", told.reason, told.message))
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

fn about(credential: &str, events: &[Event]) -> Vec<SeenEvent> {
    let about = |event: &&Event| {
        let regarding = event.regarding.as_ref();
        regarding.and_then(|object| object.name.as_deref()) == Some(credential)
    };
    let events = events.iter().filter(about).filter_map(|event| {
        let series = event.series.as_ref();
        let at = series.map(|series| &series.last_observed_time);
        Some(SeenEvent { reason: event.reason.clone()?, at: at.or(event.event_time.as_ref())?.0 })
    });
    let mut events: Vec<SeenEvent> = events.collect();
    events.sort_by_key(|event| event.at);
    events
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
