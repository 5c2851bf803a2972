//! Secrets that a credential owns under other names than its target's: what is left when the target is
//! renamed, also while the operator was down. In: metadata of Secrets. Out: what is left, by credential.
//!
//! **Invariant:** a Secret is taken in only with both proofs of ownership, and forgotten once it lacks
//! one, is deleted, or is its credential's target again. That it was the target is a third proof, which
//! status or this process must give: marks alone may be a copy's.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Key, Mark, Name, Told};
use crate::domain::crd::OWNER_UID;
use crate::domain::observation::LeftBehind;
use crate::domain::secret::TargetMetadata;

/// What is left of renamed targets; most of the time nothing.
#[derive(Debug, Default)]
pub(super) struct LeftSecrets {
    by_key: HashMap<Key, Left>,
}

#[derive(Debug)]
struct Left {
    uid: String,
    was_target: bool,
    told: Told,
}

impl LeftSecrets {
    /// Takes in a Secret that the credential with this UID owns beside its target, which it was before.
    pub(super) fn insert(&mut self, key: Key, uid: String, told: Told, was_target: bool) {
        let known = self.by_key.get(&key);
        let was_target = was_target || known.is_some_and(|left| left.was_target && left.uid == uid);
        if known.is_none_or(|left| left.told.version <= told.version) {
            self.by_key.insert(key, Left { uid, was_target, told });
        }
    }

    /// Takes out a Secret; returns what was known of it.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Told> {
        self.by_key.remove(key).map(|left| left.told)
    }

    /// Forgets what a credential that is gone has left.
    pub(super) fn forget(&mut self, uid: &str) {
        self.by_key.retain(|_, left| left.uid != uid);
    }

    /// Takes in a complete list of Secrets: what it lacks does not exist.
    pub(super) fn listed(&mut self, listed: &BTreeSet<Name>, since: Mark) {
        self.by_key.retain(|(namespace, secret), left| {
            left.told.changed > since.0
                || listed.contains(&(namespace.clone(), secret.name.clone()))
        });
    }

    /// What the credential with this UID has left, by name.
    pub(super) fn of(&self, uid: &str) -> Vec<LeftBehind> {
        let own = self.by_key.iter().filter(|(_, left)| left.uid == uid);
        let mut all: Vec<_> = own
            .filter_map(|((_, secret), left)| {
                let metadata = left.told.object.as_ref()?.1.clone()?;
                Some(LeftBehind {
                    name: secret.name.clone(),
                    metadata,
                    was_target: left.was_target,
                })
            })
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

/// The UIDs of the credentials that a Secret may belong to; none for nearly every Secret of a cluster.
pub(super) fn claimed_by(metadata: &ObjectMeta) -> BTreeSet<&str> {
    let annotation = metadata.annotations.as_ref().and_then(|all| all.get(OWNER_UID));
    let owners = metadata.owner_references.iter().flatten();
    let controllers = owners.filter(|owner| owner.controller == Some(true));
    let controllers = controllers.filter(|owner| owner.kind == "OAuthClientCredential");
    annotation.map(String::as_str).into_iter().chain(controllers.map(|o| o.uid.as_str())).collect()
}

/// The credential that owns the Secret, by both proofs.
pub(super) fn owner<'a>(claims: &BTreeSet<&'a str>, target: &TargetMetadata) -> Option<&'a str> {
    claims.iter().copied().find(|uid| target.is_owned_by(uid))
}
