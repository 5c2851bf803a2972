//! How a credential and its managed Secret stand, without what the clock and each grant change.
//!
//! **Invariant:** every member of status and of the Secret's metadata is compared unless it is named here;
//! no token is in a [`State`], so it may be printed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use oauthcc_operator::domain::crd::{
    EXPIRES_AT, FIELD_MANAGER, INPUTS_VERSION, ISSUED_AT, OAuthClientCredential, OWNER_UID,
    REFRESH_AT, REQUEST_FINGERPRINT, REVISION, TOKEN_KEY,
};
use serde_json::{Value, json};

use crate::Outcome;

/// The managed Secret of a credential.
pub struct Held {
    /// The token.
    pub token: String,
    secret: Secret,
}

/// What must be as it was.
#[derive(PartialEq, Eq)]
pub struct State {
    spec: Value,
    /// The status.
    pub status: Value,
    metadata: Value,
    secret: Value,
}

impl Held {
    /// The one Secret that says it belongs to a credential.
    pub fn among(all: Vec<Secret>, uid: &str) -> anyhow::Result<Self> {
        let is_ours =
            |secret: &Secret| secret.annotations().get(OWNER_UID).is_some_and(|owner| owner == uid);
        let mut ours: Vec<_> = all.into_iter().filter(is_ours).collect();
        ensure!(ours.len() == 1, "{} Secrets say that they are the managed one", ours.len());
        let secret = ours.remove(0);
        let key = secret.annotations().get(TOKEN_KEY).context("no token-key")?;
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        let token = String::from_utf8(data.context("no token under its key")?.0.clone())?;
        ensure!(!token.is_empty(), "the token is empty");
        Ok(Self { token, secret })
    }

    /// For how long the token is said to live.
    pub fn lifetime(&self) -> anyhow::Result<Duration> {
        let time = |name| -> anyhow::Result<Timestamp> {
            Ok(self.secret.annotations().get(name).context("a time")?.parse()?)
        };
        Ok((time(EXPIRES_AT)? - time(ISSUED_AT)?).try_into()?)
    }
}

impl State {
    /// How things stand.
    pub fn of(credential: &OAuthClientCredential, held: &Held) -> anyhow::Result<Self> {
        let metadata = &credential.metadata;
        Ok(Self {
            spec: serde_json::to_value(&credential.spec)?,
            status: status_of(credential)?,
            metadata: json!({
                "finalizers": metadata.finalizers, "annotations": metadata.annotations,
                "labels": metadata.labels, "deleted": metadata.deletion_timestamp,
            }),
            secret: shape_of(&held.secret),
        })
    }

    /// Tells each part that differs.
    pub fn same_as(&self, before: &Self) -> Outcome {
        let parts = [
            ("spec", &self.spec, &before.spec),
            ("status", &self.status, &before.status),
            ("metadata", &self.metadata, &before.metadata),
            ("managed Secret", &self.secret, &before.secret),
        ];
        let differs = parts.iter().filter(|(_, now, before)| now != before);
        let told: Vec<_> =
            differs.map(|(part, now, before)| format!("{part}: {now}, before: {before}")).collect();
        ensure!(told.is_empty(), "{}", told.join("; "));
        Ok(())
    }
}

fn status_of(credential: &OAuthClientCredential) -> anyhow::Result<Value> {
    let mut status = serde_json::to_value(credential.status.as_ref().context("a status")?)?;
    let text = |status: &Value, pointer: &str| {
        status.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    };
    // Between two renewals nothing else is due.
    let next = text(&status, "/nextAttemptTime");
    let on_time = next == text(&status, "/token/renewalTime");
    let expires = text(&status, "/token/expirationTime").unwrap_or_default();
    if let Some(members) = status.as_object_mut() {
        members.remove("observedGeneration");
        if on_time {
            members.insert("nextAttemptTime".to_owned(), json!("the renewal"));
        }
    }
    for time in ["issueTime", "expirationTime", "renewalTime", "revision"] {
        if let Some(token) = status.get_mut("token").and_then(Value::as_object_mut) {
            token.remove(time);
        }
    }
    for told in status.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(told) = told.as_object_mut() else { continue };
        told.remove("lastTransitionTime");
        told.remove("observedGeneration");
        let message = told.get("message").and_then(Value::as_str).unwrap_or_default();
        let message = message.replace(&expires, "its expiry");
        told.insert("message".to_owned(), json!(message));
    }
    Ok(status)
}

fn shape_of(secret: &Secret) -> Value {
    // The times, the number and what is keyed by the token differ for each token.
    let of_the_token = [ISSUED_AT, EXPIRES_AT, REVISION, INPUTS_VERSION, REFRESH_AT];
    let annotations: BTreeMap<_, _> = secret
        .annotations()
        .iter()
        .map(|(name, value)| {
            let kept = if of_the_token.contains(&name.as_str()) {
                "of the token"
            } else if name == REQUEST_FINGERPRINT {
                value.rsplit_once(':').map_or(value.as_str(), |(asked, _)| asked)
            } else {
                value
            };
            (name, kept)
        })
        .collect();
    let keys: BTreeSet<_> = secret.data.iter().flatten().map(|(key, _)| key).collect();
    let applied = secret
        .managed_fields()
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    let applied: Vec<_> = applied.map(|entry| (&entry.operation, &entry.fields_v1)).collect();
    json!({
        "name": secret.name_any(), "type": secret.type_, "keys": keys, "labels": secret.labels(),
        "annotations": annotations, "owners": secret.owner_references(),
        "finalizers": secret.metadata.finalizers, "immutable": secret.immutable, "applied": applied,
    })
}
