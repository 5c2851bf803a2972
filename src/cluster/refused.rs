//! What a refused write of the managed Secret means: a reason, words of our own, and whether trying
//! again can help. In: an answer of the API server. Out: what is remembered.
//!
//! **Invariant:** nothing that the API server says is repeated: it may quote the object.

use jiff::Timestamp;
use kube::core::response::StatusCause;

use super::Cluster;
use super::apply::target_name;
use super::call::code;
use crate::domain::observation::{Observation, RefusedRemoval, Remembered};
use crate::domain::output;
use crate::domain::plan::Fault;
use crate::domain::reason::Reason;
use crate::domain::remember;
use crate::domain::schedule;

/// Why a write of the managed Secret was refused.
#[derive(Debug)]
pub struct RefusedSecret {
    /// The condition's reason.
    pub reason: Reason,
    pub(super) message: String,
    /// Nothing more until the generation of the credential changes.
    pub(super) is_final: bool,
    /// The object was not the one that the write was meant for.
    pub(super) conflict: bool,
}

impl RefusedSecret {
    /// The memory with this refusal in it; the target as it is known by now counts.
    pub fn remembered(&self, cluster: &Cluster, o: &Observation, now: Timestamp) -> Remembered {
        let target = cluster.index.target(&target_name(o));
        let seen = Observation { target, ..o.clone() };
        let message = self.message.clone();
        remember::after_refused_write(&seen, self.reason, message, self.is_final, now)
    }

    /// The same of a deletion, after those before it.
    pub(super) fn of_removal(self, o: &Observation, now: Timestamp) -> RefusedRemoval {
        let before = o.memory.refused_removal.as_ref();
        let failures = before.map_or(0, |before| before.failures) + 1;
        let next_attempt_at = schedule::api_retry_at(now, failures);
        RefusedRemoval { reason: self.reason, message: self.message, failures, next_attempt_at }
    }
}

pub(super) fn not_ours(o: &Observation) -> RefusedSecret {
    let name = o.credential.target_name();
    let message = format!("Secret {name} was created by somebody else meanwhile");
    RefusedSecret { reason: Reason::SecretNotOwned, message, is_final: false, conflict: false }
}

fn conflict(o: &Observation) -> RefusedSecret {
    let message = format!("Secret {} changed while it was written", o.credential.target_name());
    let reason = Reason::SecretWriteFailed;
    RefusedSecret { reason, message, is_final: false, conflict: true }
}

pub(super) fn contended(o: &Observation) -> RefusedSecret {
    let name = o.credential.target_name();
    let message = format!("Secret {name} is being changed by somebody else: find who writes it");
    RefusedSecret { reason: Reason::Contended, message, is_final: false, conflict: true }
}

pub(super) fn undeletable(o: &Observation) -> RefusedSecret {
    let name = o.credential.target_name();
    let message = format!(
        "spec.target.type has changed, and the operator may not delete Secret {name} to create it anew: \
         its ServiceAccount needs the verb delete on secrets in this namespace"
    );
    RefusedSecret { reason: Reason::Forbidden, message, is_final: false, conflict: false }
}

/// What the target was named after before could not be deleted.
pub(super) fn unremoved(o: &Observation, old: &str, error: &kube::Error) -> RefusedSecret {
    let name = o.credential.target_name();
    let (reason, why) = match code(error) {
        403 => (
            Reason::Forbidden,
            "the operator may not: its ServiceAccount needs the verb delete on secrets in this namespace, \
             and no admission policy may forbid it"
                .to_owned(),
        ),
        0 => (Reason::SecretWriteFailed, "the API server did not answer".to_owned()),
        code => (Reason::SecretWriteFailed, format!("the API server answered HTTP {code}")),
    };
    let message = format!(
        "Secret {name} holds the token, but Secret {old}, which spec.target.name named before, could not be \
         deleted, and its token will expire: {why}"
    );
    RefusedSecret { reason, message, is_final: false, conflict: false }
}

/// Whether a write was refused because no type of a Secret can be changed.
pub(super) fn is_refused_type(error: &kube::Error) -> bool {
    causes(error).iter().any(|cause| cause.field == "type")
}

fn causes(error: &kube::Error) -> &[StatusCause] {
    let kube::Error::Api(status) = error else { return &[] };
    status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default()
}

/// A form or template that this very token can't be written in.
pub(super) fn unwritable(Fault { reason, message }: Fault) -> RefusedSecret {
    RefusedSecret { reason, message, is_final: false, conflict: false }
}

/// The read of the token before, which comes before the write, failed.
pub(super) fn unread(o: &Observation, error: &kube::Error) -> RefusedSecret {
    let name = o.credential.target_name();
    let (reason, message) = if code(error) == 403 {
        let message = format!(
            "the operator may not read Secret {name}, whose token spec.target.previousTokenKey asks to \
             keep: its ServiceAccount needs the verb get on secrets in this namespace"
        );
        (Reason::Forbidden, message)
    } else {
        let message = format!("the API server did not answer the read of Secret {name}");
        (Reason::SecretWriteFailed, message)
    };
    RefusedSecret { reason, message, is_final: false, conflict: false }
}

/// What a refused write means, in our own words.
pub(super) fn refused(o: &Observation, error: &kube::Error) -> RefusedSecret {
    let name = o.credential.target_name();
    let plain =
        |reason, message| RefusedSecret { reason, message, is_final: false, conflict: false };
    let kube::Error::Api(status) = error else {
        let message = format!("the API server did not answer the write of Secret {name}");
        return plain(Reason::SecretWriteFailed, message);
    };
    let cause = |reason: &str| causes(error).iter().any(|cause| cause.reason == reason);
    let of_field = |field: &str| causes(error).iter().any(|cause| cause.field == field);
    let uid_differs = of_field("metadata.uid");
    match status.code {
        409 => conflict(o),
        422 if uid_differs => conflict(o),
        403 if cause("NamespaceTerminating") => RefusedSecret {
            is_final: true,
            ..plain(Reason::SecretWriteFailed, "the namespace is being deleted".to_owned())
        },
        404 => RefusedSecret {
            is_final: true,
            ..plain(Reason::SecretWriteFailed, "the namespace is gone".to_owned())
        },
        403 if status.message.contains("cannot patch resource")
            || status.message.contains("cannot create resource") =>
        {
            let message = format!(
                "the operator may not write Secret {name}: its ServiceAccount needs the verbs create \
                 and patch on secrets in this namespace"
            );
            plain(Reason::Forbidden, message)
        }
        403 if status.message.contains("exceeded quota") => plain(
            Reason::SecretWriteFailed,
            format!(
                "Secret {name} would exceed a ResourceQuota of the namespace: raise it or delete Secrets"
            ),
        ),
        422 if let Some(message) = invalid(name, error) => {
            plain(Reason::SecretWriteFailed, message)
        }
        code => plain(
            Reason::SecretWriteFailed,
            format!(
                "the API server refused the write of Secret {name} (HTTP {code}): an admission policy, or a \
                 field that can't be changed"
            ),
        ),
    }
}

/// What the API server finds in a Secret that it does not take, in our own words.
fn invalid(name: &str, error: &kube::Error) -> Option<String> {
    let of_field = |field: &str| causes(error).iter().any(|cause| cause.field == field);
    let too_long = causes(error).iter().any(|cause| cause.reason == "FieldValueTooLong");
    if of_field("type") {
        Some(format!(
            "Secret {name} has another type than spec.target.type asks for, and Kubernetes changes no \
             type: delete the Secret, or ask for the type that it has"
        ))
    } else if of_field("data") && too_long {
        Some(output::too_large(&format!("Secret {name}")))
    } else if of_field("data") {
        Some(format!("Secret {name} is immutable: delete it"))
    } else if of_field("metadata.ownerReferences") {
        Some(format!("Secret {name} has another controller: remove its owner reference"))
    } else {
        None
    }
}
