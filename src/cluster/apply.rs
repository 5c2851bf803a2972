//! Writes an outcome: the managed Secret first, then status, then events; remembers what it wrote.
//!
//! **Invariant:** a Secret is created only where none exists, and changed only where it is ours or handed
//! over to us, by preconditions in the write itself, so no race can touch a Secret of somebody else. Nothing
//! that the API server says about a refused write is repeated: it may quote the object.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use serde_json::json;

use super::body::Body;
use super::call::code;
use super::read::look_at_secret;
use super::refused::{
    RefusedSecret, contended, is_refused_type, not_ours, refused, undeletable, unread, unwritable,
};
use super::remove::{delete, remove_left};
use super::{Cluster, namespace, prepare};
use crate::domain::conclude::Outcome;
use crate::domain::crd::{FIELD_MANAGER, OAuthClientCredential, OAuthClientCredentialStatus};
use crate::domain::notice::Notice;
use crate::domain::observation::{Known, Observation, Remembered};
use crate::domain::output::{self, Content};
use crate::domain::reason::Reason;
use crate::domain::reference::ObjectKind;
use crate::domain::secret::{ManagedSecret, TargetMetadata, resource_version};

/// What became of an outcome.
#[derive(Debug)]
pub enum Applied {
    /// It is written.
    Done {
        /// Whether the managed Secret was part of it.
        secret_written: bool,
        /// Whether a Secret could not be deleted, which is remembered: look again at once.
        secret_left: bool,
        /// Whether the status could be written.
        status: Result<(), ApplyError>,
    },
    /// The managed Secret was refused, which is remembered: look again at once.
    SecretRefused(Reason),
}

impl Applied {
    /// Whether something was refused that the next look tells of.
    pub const fn is_untold(&self) -> bool {
        matches!(self, Self::SecretRefused(_) | Self::Done { secret_left: true, .. })
    }
}

/// Why a status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server did not take the status.
    #[error("failed to write the status of {namespace}/{name}")]
    WriteStatus {
        /// Namespace of the credential.
        namespace: String,
        /// Name of the credential.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The schema in the cluster lacks a field or condition that this version writes.
    #[error(
        "the CustomResourceDefinition in the cluster is older than this operator: apply the one that \
         `oauthcc crd` prints ({namespace}/{name} is not reported on until then)"
    )]
    CrdOlder {
        /// Namespace of the credential.
        namespace: String,
        /// Name of the credential.
        name: String,
    },
}

/// Writes the outcome. A refused write of the managed Secret is an outcome too; its status follows
/// with the next look.
pub async fn apply(
    cluster: &Cluster,
    o: &Observation,
    outcome: Outcome,
    now: Timestamp,
) -> Applied {
    if !cluster.index.knows(&o.credential.metadata) {
        // Deleted while it was looked at: nobody is to be told, and nothing is to be left behind.
        return Applied::Done { secret_written: false, secret_left: false, status: Ok(()) };
    }
    let Outcome { memory, secret, status, remove, notices, .. } = outcome;
    // Of the Secret of somebody else nothing counts as told before the events are.
    let told = memory.foreign;
    let mut memory = Remembered { foreign: o.memory.foreign, ..memory };
    cluster.memory.remember(o.uid(), memory.clone());
    let secret_written = secret.is_some();
    if let Some(secret) = secret {
        let seen = Observation { memory: memory.clone(), ..o.clone() };
        match write_secret(cluster, &seen, &secret).await {
            Ok(()) => {
                memory = memory.written();
                cluster.memory.remember(o.uid(), memory.clone());
            }
            Err(refused) => {
                let mut memory = refused.remembered(cluster, &seen, now);
                let gone = cluster.index.target(&target_name(o)) == Known::Absent;
                if gone && o.own_target().is_some() && !refused.is_final {
                    // Deleted for its new type, or by somebody: the token is here alone.
                    memory.granted = memory.granted.or(Some(secret));
                }
                cluster.memory.remember(o.uid(), memory);
                return Applied::SecretRefused(refused.reason);
            }
        }
    }
    // Before status tells of another Secret: its name is what proves after a restart that this was ours.
    let mut secret_left = false;
    for left in remove {
        if let Err(refused) = remove_left(cluster, o, &left).await {
            secret_left = true;
            memory.refused_removal = Some(refused.of_removal(o, now));
        }
    }
    // It speaks of the time after the deletion.
    let status = status.filter(|_| !secret_left);
    // A status says nothing of whom it is meant for: it must not reach a namesake.
    let status = status.filter(|_| cluster.index.knows(&o.credential.metadata));
    let reported = match status.filter(|status| o.credential.status.as_ref() != Some(status)) {
        Some(status) => write_status(cluster, o, status).await,
        None => Ok(()),
    };
    // Told even where the status could not be written: the events of a grant are not made again.
    for notice in notices {
        publish(cluster, o, notice).await;
    }
    cluster.memory.remember(o.uid(), Remembered { foreign: told, ..memory });
    Applied::Done { secret_written, secret_left, status: reported }
}

/// Whether a write of the managed Secret would be taken, tried without effect.
///
/// # Errors
/// Why it would not, in the form that is remembered.
pub async fn dry_run(cluster: &Cluster, o: &Observation) -> Result<(), RefusedSecret> {
    let mut placeholder = output::stand_in(&o.credential.spec);
    placeholder.record = o.memory.record.clone().unwrap_or(placeholder.record);
    let params = PatchParams::apply(FIELD_MANAGER).force().dry_run();
    let content = output::content(&o.credential.spec, &placeholder).map_err(unwritable)?;
    match patch(cluster, o, (&placeholder, &content), &params).await {
        // Another type of ours is deleted and created again.
        Err(error) if o.own_target().is_some() && is_refused_type(&error) => Ok(()),
        written => written.map_err(|error| refused(o, &error)),
    }
}

/// The write with its preconditions, and the rule for a conflict: look once, and write once more
/// where the Secret is ours or gone.
async fn write_secret(
    cluster: &Cluster,
    o: &Observation,
    secret: &ManagedSecret,
) -> Result<(), RefusedSecret> {
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let with_previous = prepare::with_previous(cluster, o, secret).await;
    let (o, secret) = &with_previous.map_err(|error| unread(o, &error))?;
    let content = output::content(&o.credential.spec, secret).map_err(unwritable)?;
    let whole = (secret, &content);
    let error = match patch(cluster, o, whole, &params).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if let Some(target) = o.own_target().filter(|_| is_refused_type(&error)) {
        return write_anew(cluster, o, target, whole).await;
    }
    let first = refused(o, &error);
    if !first.conflict {
        return Err(first);
    }
    let seen = look_at_target(cluster, o).await.map_err(|error| refused(o, &error))?;
    let written_by_an_earlier_try = |target: &TargetMetadata| {
        let key = o.credential.spec.token_key();
        !target.has_drifted(o.uid(), &o.shape(), &secret.record) && target.holds_our(key)
    };
    match &seen.target {
        Known::Present(_) if seen.writable_target().is_none() => return Err(not_ours(o)),
        Known::Present(target) if written_by_an_earlier_try(target) => return Ok(()),
        // A newer token of ours is there: this one is dropped.
        Known::Present(_)
            if seen.record().is_some_and(|held| held.issued_at > secret.record.issued_at) =>
        {
            return Ok(());
        }
        // A repair writes back what it read: bytes that somebody changed since must not become ours.
        Known::Present(target) if o.memory.granted.is_none() && !holds_the_token(o, target) => {
            return Err(contended(o));
        }
        Known::Present(_) | Known::Absent | Known::Untold => {}
    }
    patch(cluster, &seen, whole, &params).await.map_err(|error| {
        let again = refused(o, &error);
        if again.conflict { contended(o) } else { again }
    })
}

/// Kubernetes changes no type of a Secret: ours is deleted, as far as it is the one that is known, and
/// created again at once.
async fn write_anew(
    cluster: &Cluster,
    o: &Observation,
    target: &TargetMetadata,
    whole: (&ManagedSecret, &Content),
) -> Result<(), RefusedSecret> {
    let name = o.credential.target_name();
    delete(cluster, o, name, target).await.map_err(|error| match refused(o, &error) {
        refused if refused.conflict => contended(o),
        _ if code(&error) == 403 => undeletable(o),
        refused => refused,
    })?;
    let seen = Observation { target: Known::Absent, ..o.clone() };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    patch(cluster, &seen, whole, &params).await.map_err(|error| refused(&seen, &error))
}

/// Whether the token is still the one that we wrote.
fn holds_the_token(o: &Observation, target: &TargetMetadata) -> bool {
    let record = o.record();
    let key = record.as_ref().map_or_else(|| o.credential.spec.token_key(), |r| &r.token_key);
    target.holds_our(key)
}

async fn look_at_target(cluster: &Cluster, o: &Observation) -> Result<Observation, kube::Error> {
    look_at_secret(cluster, o, o.credential.target_name()).await?;
    Ok(Observation { target: cluster.index.target(&target_name(o)), ..o.clone() })
}

/// Server-side apply; the answer is metadata only, so the token is not sent back.
async fn patch(
    cluster: &Cluster,
    o: &Observation,
    (secret, content): (&ManagedSecret, &Content),
    params: &PatchParams,
) -> Result<(), kube::Error> {
    let body = Patch::Apply(Body { o, secret, content });
    let name = o.credential.target_name();
    let api = cluster.secrets(o);
    let reply = cluster.calls.make(|| api.patch_metadata(name, params, &body)).await?;
    if !params.dry_run {
        cluster.index.told(ObjectKind::Secret, &reply.metadata);
    }
    Ok(())
}

async fn write_status(
    cluster: &Cluster,
    o: &Observation,
    status: OAuthClientCredentialStatus,
) -> Result<(), ApplyError> {
    let name = o.credential.metadata.name.clone().unwrap_or_default();
    let place = || (namespace(o).to_owned(), name.clone());
    let body = Patch::Apply(json!({
        "apiVersion": OAuthClientCredential::api_version(&()),
        "kind": OAuthClientCredential::kind(&()),
        "status": status,
    }));
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let api = cluster.credentials(o);
    match cluster.calls.make(|| api.patch_status(&name, &params, &body)).await {
        Ok(reply) => {
            let version = resource_version(&reply.metadata);
            cluster.memory.status_written(o.uid(), version, status);
            Ok(())
        }
        // The credential was deleted meanwhile: there is nobody to report to.
        Err(error) if code(&error) == 404 => Ok(()),
        Err(error) if is_typed_patch_failure(&error) => {
            let (namespace, name) = place();
            Err(ApplyError::CrdOlder { namespace, name })
        }
        Err(error) => {
            let (namespace, name) = place();
            Err(ApplyError::WriteStatus { namespace, name, source: Box::new(error) })
        }
    }
}

fn is_typed_patch_failure(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    status.code == 500 && status.message.contains("failed to create typed")
}

/// An event that can't be written is lost: conditions tell the same.
async fn publish(cluster: &Cluster, o: &Observation, notice: Notice) {
    let event = Event {
        type_: if notice.warning { EventType::Warning } else { EventType::Normal },
        reason: notice.reason.to_owned(),
        note: Some(notice.note),
        action: notice.action.to_owned(),
        secondary: None,
    };
    let reference: ObjectReference = o.credential.object_ref(&());
    let written = cluster.calls.make(|| cluster.recorder.publish(&event, &reference)).await;
    drop(written);
}

pub(super) fn target_name(o: &Observation) -> (String, String) {
    (namespace(o).to_owned(), o.credential.target_name().to_owned())
}
