//! Secrets that a credential owns under other names than its target's: what is left when the target is
//! renamed, also while the operator was down. In: metadata of Secrets. Out: what is left, by credential.
//!
//! **Invariant:** a Secret is taken in only with both proofs of ownership, and forgotten once it lacks
//! one, is deleted, or is its credential's target again. That it was the target is a third proof, which
//! status or this process must give: marks alone may be a copy's.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Entry, Key, Mark, Name, State, Told, secret};
use crate::domain::crd::OWNER_UID;
use crate::domain::observation::{LeftBehind, ReferenceMetadata};
use crate::domain::secret::{TargetMetadata, resource_version};

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
    fn insert(&mut self, key: Key, uid: String, told: Told, was_target: bool) {
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

    /// What the credential with this UID has left, by name: what was its target before, by what is
    /// remembered or by the names that its status has `told`.
    fn of(&self, uid: &str, told: &[String]) -> Vec<LeftBehind> {
        let own = self.by_key.iter().filter(|((_, secret), left)| {
            left.uid == uid && (left.was_target || told.contains(&secret.name))
        });
        let mut all: Vec<_> = own
            .filter_map(|((_, secret), left)| {
                let metadata = left.told.object.as_ref()?.1.clone()?;
                Some(LeftBehind { name: secret.name.clone(), metadata })
            })
            .collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

impl State {
    /// What the credential with this UID has left and that is still to go, as [`LeftSecrets::of`] tells.
    pub(super) fn left_by_credential(&self, uid: &str, told: &[String]) -> Vec<LeftBehind> {
        let mut left = self.left_behind.of(uid, told);
        left.retain(|left| !self.is_handed_over(uid, left));
        left
    }

    /// Whether the owner of a Secret that a target was named after before has handed it over to a credential
    /// with this target: it is neither moved nor deleted then.
    fn is_handed_over(&self, uid: &str, left: &LeftBehind) -> bool {
        let heir = left.metadata.adopt_by.as_deref();
        let namespace = self.by_uid.get(uid).map(|name| &name.0);
        heir.zip(namespace).is_some_and(|(heir, namespace)| {
            let heir = self.credentials.get(&(namespace.clone(), heir.to_owned()));
            heir.is_some_and(|heir| heir.target == left.name)
        })
    }

    /// A target of another name leaves its Secret behind, and finds one that it left before.
    pub(super) fn take_along(&mut self, name: &Name, before: &Entry, now: &Entry) {
        if before.uid != now.uid {
            self.left_behind.forget(&before.uid);
            return;
        }
        if before.target == now.target {
            return;
        }
        let key = |target: &str| (name.0.clone(), secret(target));
        let (old, new) = (key(&before.target), key(&now.target));
        let told = self.objects.get(&old);
        let is_ours = told.is_some_and(|told| {
            let target = told.object.as_ref().and_then(|object| object.1.as_ref());
            target.is_some_and(|target| target.is_owned_by(&now.uid))
        });
        if let Some(told) = told.filter(|_| is_ours).cloned() {
            self.left_behind.insert(old, now.uid.clone(), told, true);
        }
        if let Some(told) = self.left_behind.remove(&new) {
            self.objects.entry(new).or_insert(told);
        }
    }

    /// The credential to wake because it owns this Secret under another name than its target's.
    pub(super) fn left_by(&mut self, key: &Key, metadata: &ObjectMeta) -> Option<Name> {
        let claims = claimed_by(metadata);
        let target = (!claims.is_empty()).then(|| TargetMetadata::read(metadata));
        let owner = target.as_ref().and_then(|target| owner_by_both_proofs(&claims, target));
        let name = owner.and_then(|uid| self.by_uid.get(uid)).filter(|name| name.0 == key.0);
        let elsewhere = name.cloned().filter(|name| {
            self.credentials.get(name).is_some_and(|entry| entry.target != key.1.name)
        });
        let (Some(name), Some(uid)) = (elsewhere, owner) else {
            self.left_behind.remove(key);
            return None;
        };
        self.changes += 1;
        let object = Some((ReferenceMetadata::read(metadata), target.clone()));
        let told = Told { version: resource_version(metadata), changed: self.changes, object };
        self.left_behind.insert(key.clone(), uid.to_owned(), told, false);
        Some(name)
    }
}

/// The UIDs of the credentials that a Secret may belong to; none for nearly every Secret of a cluster.
fn claimed_by(metadata: &ObjectMeta) -> BTreeSet<&str> {
    let annotation = metadata.annotations.as_ref().and_then(|all| all.get(OWNER_UID));
    let owners = metadata.owner_references.iter().flatten();
    let controllers = owners.filter(|owner| owner.controller == Some(true));
    let controllers = controllers.filter(|owner| owner.kind == "OAuthClientCredential");
    annotation.map(String::as_str).into_iter().chain(controllers.map(|o| o.uid.as_str())).collect()
}

/// The credential that owns the Secret, by both proofs.
fn owner_by_both_proofs<'a>(
    claims: &BTreeSet<&'a str>,
    target: &TargetMetadata,
) -> Option<&'a str> {
    claims.iter().copied().find(|uid| target.is_owned_by(uid))
}
