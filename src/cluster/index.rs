//! Which object matters to which credential, and what is known of it. In: credentials, metadata of
//! Secrets, ConfigMaps and ServiceAccounts from watches, live reads and replies to writes. Out: names
//! to wake, what is known.
//!
//! **Invariant:** an object that no credential names is not stored, and no data of any object is. Of
//! two things told about one object the newer version wins.

mod left_behind;
mod watched;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use tokio::sync::Notify;

use crate::domain::crd::{OAuthClientCredential, OAuthClientCredentialSpec};
use crate::domain::observation::{Known, LeftBehind, ReferenceMetadata, Rival};
use crate::domain::plan::plan;
use crate::domain::reference::{Object, ObjectKind, references, used_objects};
use crate::domain::secret::{TargetMetadata, resource_version};
use left_behind::LeftSecrets;
use watched::Watched;

/// Namespace and name.
pub type Name = (String, String);

/// An object of a namespace.
type Key = (String, Object);

/// What the watches told, under one lock; every operation is short.
#[derive(Debug, Default)]
pub struct Index {
    state: Mutex<State>,
    /// Told after each credential that is taken in.
    credential_taken_in: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What each credential names.
    credentials: HashMap<Name, Entry>,
    /// Which credentials name an object.
    named_by: HashMap<Key, Named>,
    /// How many objects of each kind are named.
    kinds: BTreeMap<ObjectKind, usize>,
    /// What is known of the objects that are named.
    objects: HashMap<Key, Told>,
    /// The name of each credential, by UID.
    by_uid: HashMap<String, Name>,
    /// What renamed targets leave behind.
    left_behind: LeftSecrets,
    /// Counts every change of `objects` and of what is named: a live read that found nothing is only
    /// believed if nothing was told while it was under way.
    changes: u64,
    /// How far the watches can be relied on.
    watched: Watched,
}

/// Who names an object.
#[derive(Debug, Default)]
struct Named {
    by: BTreeSet<String>,
    /// Since which change: a list that began before says nothing of it, as it may have passed by.
    since: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    uid: String,
    created_at: Option<Timestamp>,
    used: Vec<Object>,
    target: String,
}

#[derive(Clone, Debug)]
struct Told {
    version: u64,
    changed: u64,
    /// `None`: it does not exist. Only a Secret can be a target.
    object: Option<(ReferenceMetadata, Option<TargetMetadata>)>,
}

/// A point in time of what was told, taken before a live read or a list.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

impl Index {
    /// Takes in a credential as it is now; returns the other credentials whose target it shares now
    /// or has shared.
    pub fn credential_told(&self, credential: &OAuthClientCredential) -> Vec<Name> {
        let name = name_of(&credential.metadata);
        let entry = Entry {
            uid: credential.uid().unwrap_or_default(),
            created_at: credential.metadata.creation_timestamp.as_ref().map(|time| time.0),
            used: objects_of(&credential.spec),
            target: credential.target_name().to_owned(),
        };
        let mut state = self.lock();
        let mut wake = state.rivals(&name, &entry.target);
        if let Some(before) = state.learn(&name, entry) {
            wake.extend(state.rivals(&name, &before.target));
        }
        drop(state);
        self.credential_taken_in.notify_waiters();
        wake.into_iter().map(|rival| (name.0.clone(), rival)).collect()
    }

    /// Forgets a credential that is gone; returns its UID and those that it shared its target with.
    pub fn credential_gone(&self, metadata: &ObjectMeta) -> (Option<String>, Vec<Name>) {
        let name = name_of(metadata);
        let mut state = self.lock();
        let Some(gone) = state.credentials.remove(&name) else { return (None, Vec::new()) };
        let rivals = state.rivals(&name, &gone.target);
        state.by_uid.remove(&gone.uid);
        state.unname(&name, gone.keys(&name.0));
        state.left_behind.forget(&gone.uid);
        (Some(gone.uid), rivals.into_iter().map(|rival| (name.0.clone(), rival)).collect())
    }

    /// The UID of the credential that is known by this name, where it is another one.
    pub fn replaced(&self, credential: &OAuthClientCredential) -> Option<String> {
        let state = self.lock();
        let known = state.credentials.get(&name_of(&credential.metadata))?;
        (Some(&known.uid) != credential.metadata.uid.as_ref()).then(|| known.uid.clone())
    }

    /// Whether this very credential, not a namesake, is known to exist.
    pub fn knows(&self, metadata: &ObjectMeta) -> bool {
        let state = self.lock();
        let entry = state.credentials.get(&name_of(metadata));
        entry.is_some_and(|entry| Some(&entry.uid) == metadata.uid.as_ref())
    }

    /// The names of all credentials that are known.
    pub fn credentials(&self) -> Vec<Name> {
        self.lock().credentials.keys().cloned().collect()
    }

    /// Waits until a credential names an object of this kind.
    pub async fn names_a(&self, kind: ObjectKind) {
        let mut told = std::pin::pin!(self.credential_taken_in.notified());
        loop {
            told.as_mut().enable();
            if self.has_a(kind) {
                return;
            }
            told.as_mut().await;
            told.set(self.credential_taken_in.notified());
        }
    }

    /// Whether a credential names an object of this kind.
    pub fn has_a(&self, kind: ObjectKind) -> bool {
        self.lock().kinds.get(&kind).is_some_and(|count| *count > 0)
    }

    /// Takes in that the list of a kind is complete.
    pub fn watch_listed(&self, kind: ObjectKind) {
        self.lock().watched.listed(kind);
    }

    /// Takes in that the watch of a kind, or its list, failed.
    pub fn watch_failed(&self, kind: ObjectKind, now: Instant) {
        self.lock().watched.failed(kind, now);
    }

    /// Whether what is known of a kind can be relied on without a read.
    pub fn is_current(&self, kind: ObjectKind, now: Instant) -> bool {
        self.lock().watched.is_current(kind, now)
    }

    /// Takes in the metadata of an object; returns the credentials to wake.
    pub fn told(&self, kind: ObjectKind, metadata: &ObjectMeta) -> Vec<Name> {
        let key = key_of(kind, metadata);
        let mut state = self.lock();
        let owner = (kind == ObjectKind::Secret).then(|| state.left_by(&key, metadata)).flatten();
        let Some(credentials) = state.named_by.get(&key).map(|named| named.by.clone()) else {
            return owner.into_iter().collect();
        };
        let target = (kind == ObjectKind::Secret).then(|| TargetMetadata::read(metadata));
        let object = (ReferenceMetadata::read(metadata), target);
        state.tell(&key, resource_version(metadata), Some(object));
        let named = credentials.into_iter().map(|credential| (key.0.clone(), credential));
        named.chain(owner).collect()
    }

    /// Takes in that an object was deleted; returns the credentials to wake.
    pub fn gone(&self, kind: ObjectKind, metadata: &ObjectMeta) -> Vec<Name> {
        let key = key_of(kind, metadata);
        let mut state = self.lock();
        state.left_behind.remove(&key);
        state.tell(&key, resource_version(metadata), None);
        let credentials = state.named(&key);
        credentials.into_iter().map(|credential| (key.0.clone(), credential)).collect()
    }

    /// Takes in a complete list of a kind: what it lacks does not exist. Returns the credentials to wake.
    pub fn listed(&self, kind: ObjectKind, listed: &BTreeSet<Name>, since: Mark) -> Vec<Name> {
        let mut state = self.lock();
        if kind == ObjectKind::Secret {
            state.left_behind.listed(listed, since);
        }
        let gone: Vec<(Key, u64)> = state
            .named_by
            .iter()
            .filter(|((_, object), named)| object.kind == kind && named.since <= since.0)
            .map(|(key, _)| key)
            .filter(|(namespace, object)| {
                !listed.contains(&(namespace.clone(), object.name.clone()))
            })
            .map(|key| (key, state.objects.get(key)))
            .filter(|(_, told)| told.is_none_or(|told| told.changed <= since.0))
            .map(|(key, told)| (key.clone(), told.map_or(0, |told| told.version)))
            .collect();
        let mut wake = Vec::new();
        for (key, version) in gone {
            state.tell(&key, version, None);
            let credentials = state.named(&key);
            wake.extend(credentials.into_iter().map(|credential| (key.0.clone(), credential)));
        }
        wake
    }

    /// The present point in time, to be taken before a live read or a list.
    pub fn mark(&self) -> Mark {
        Mark(self.lock().changes)
    }

    /// Takes in that a live read, begun at `mark`, did not find the object.
    pub fn not_found(&self, namespace: &str, object: &Object, mark: Mark) {
        let key = (namespace.to_owned(), object.clone());
        let mut state = self.lock();
        state.left_behind.remove(&key);
        let told = state.objects.get(&key);
        if told.is_none_or(|told| told.changed <= mark.0) {
            let version = told.map_or(0, |told| told.version);
            state.tell(&key, version, None);
        }
    }

    /// What is known of an object that a spec refers to.
    pub fn reference(&self, namespace: &str, object: &Object) -> Known<ReferenceMetadata> {
        self.known(namespace, object, |object| Some(object.0.clone()))
    }

    /// What is known of the Secret at a target's name.
    pub fn target(&self, (namespace, name): &Name) -> Known<TargetMetadata> {
        let object = Object { kind: ObjectKind::Secret, name: name.clone() };
        self.known(namespace, &object, |object| object.1.clone())
    }

    /// The Secrets that were the target of the credential with this UID, as this process has seen, or as
    /// its status tells with the names `told`, and that it still owns.
    pub fn left_behind(&self, uid: &str, told: &[String]) -> Vec<LeftBehind> {
        self.lock().left_by_credential(uid, told)
    }

    /// The other credentials that name the same target.
    pub fn rivals(&self, credential: &Name, target: &str) -> Vec<Rival> {
        let state = self.lock();
        let names = state.rivals(credential, target).into_iter();
        let rival = |name: String| {
            let entry = state.credentials.get(&(credential.0.clone(), name.clone()))?;
            Some(Rival { uid: entry.uid.clone(), created_at: entry.created_at, name })
        };
        names.filter_map(rival).collect()
    }

    fn known<T>(
        &self,
        namespace: &str,
        object: &Object,
        part: impl Fn(&(ReferenceMetadata, Option<TargetMetadata>)) -> Option<T>,
    ) -> Known<T> {
        match self.lock().objects.get(&(namespace.to_owned(), object.clone())) {
            None => Known::Untold,
            Some(Told { object: None, .. }) => Known::Absent,
            Some(Told { object: Some(object), .. }) => {
                part(object).map_or(Known::Untold, Known::Present)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes in what a credential names now; returns what it named before. What it goes on naming counts
    /// as named all the while: a list that is under way tells of it.
    fn learn(&mut self, name: &Name, entry: Entry) -> Option<Entry> {
        for key in entry.keys(&name.0) {
            let kind = key.1.kind;
            if !self.named_by.contains_key(&key) {
                self.changes += 1;
                *self.kinds.entry(kind).or_default() += 1;
            }
            let since = self.changes;
            let named = self.named_by.entry(key);
            let named = named.or_insert_with(|| Named { since, ..Named::default() });
            named.by.insert(name.1.clone());
        }
        let before = self.credentials.insert(name.clone(), entry.clone());
        if let Some(before) = &before {
            self.by_uid.remove(&before.uid);
            self.take_along(name, before, &entry);
            let kept: BTreeSet<Key> = entry.keys(&name.0).collect();
            self.unname(name, before.keys(&name.0).filter(|key| !kept.contains(key)));
        }
        self.by_uid.insert(entry.uid, name.clone());
        before
    }

    /// Takes in that a credential does not name these any more. What nobody names is not kept up to date,
    /// so it must not be believed later.
    fn unname(&mut self, name: &Name, keys: impl Iterator<Item = Key>) {
        for key in keys {
            let Some(named) = self.named_by.get_mut(&key) else { continue };
            named.by.remove(&name.1);
            if named.by.is_empty() {
                self.named_by.remove(&key);
                self.objects.remove(&key);
                if let Some(count) = self.kinds.get_mut(&key.1.kind) {
                    *count -= 1;
                }
            }
        }
    }

    fn named(&self, key: &Key) -> BTreeSet<String> {
        self.named_by.get(key).map(|named| named.by.clone()).unwrap_or_default()
    }

    fn rivals(&self, credential: &Name, target: &str) -> Vec<String> {
        let named = self.named_by.get(&(credential.0.clone(), secret(target)));
        named
            .into_iter()
            .flat_map(|named| &named.by)
            .filter(|name| **name != credential.1)
            .filter(|name| {
                let entry = self.credentials.get(&(credential.0.clone(), (*name).clone()));
                entry.is_some_and(|entry| entry.target == target)
            })
            .cloned()
            .collect()
    }

    fn tell(
        &mut self,
        key: &Key,
        version: u64,
        object: Option<(ReferenceMetadata, Option<TargetMetadata>)>,
    ) {
        if !self.named_by.contains_key(key) {
            self.objects.remove(key);
            return;
        }
        if self.objects.get(key).is_some_and(|told| told.version > version) {
            return;
        }
        self.changes += 1;
        let changed = self.changes;
        self.objects.insert(key.clone(), Told { version, changed, object });
    }
}

impl Entry {
    fn keys(&self, namespace: &str) -> impl Iterator<Item = Key> {
        let all = self.used.iter().cloned().chain([secret(&self.target)]);
        all.map(|object| (namespace.to_owned(), object))
    }
}

fn secret(name: &str) -> Object {
    Object { kind: ObjectKind::Secret, name: name.to_owned() }
}

/// What a request of this spec would use; nothing where none can be made of it.
fn objects_of(spec: &OAuthClientCredentialSpec) -> Vec<Object> {
    let used = plan(spec).map(|plan| used_objects(&references(&plan))).unwrap_or_default();
    used.into_iter().map(|used| used.object).collect()
}

fn key_of(kind: ObjectKind, metadata: &ObjectMeta) -> Key {
    let (namespace, name) = name_of(metadata);
    (namespace, Object { kind, name })
}

fn name_of(metadata: &ObjectMeta) -> Name {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn credential(name: &str, target: &str) -> OAuthClientCredential {
        serde_json::from_value(json!({
            "apiVersion": "oauthcc.dev/v1alpha1", "kind": "OAuthClientCredential",
            "metadata": {"namespace": "n", "name": name, "uid": format!("uid-{name}")},
            "spec": {"tokenURL": "https://idp.example.com/t", "credentialsSecretRef": {"name": "client"}, "target": {"name": target}},
        }))
        .unwrap()
    }

    fn secret(name: &str, version: u64) -> ObjectMeta {
        ObjectMeta {
            namespace: Some("n".into()),
            name: Some(name.into()),
            uid: Some("u".into()),
            resource_version: Some(version.to_string()),
            ..ObjectMeta::default()
        }
    }

    fn key(name: &str) -> Name {
        ("n".into(), name.into())
    }

    #[test]
    fn secrets_that_nobody_names_are_not_stored() {
        let index = Index::default();
        index.credential_told(&credential("a", "t"));
        assert!(index.told(ObjectKind::Secret, &secret("foreign", 1)).is_empty());
        assert_eq!(index.lock().objects.len(), 0);
        assert_eq!(index.told(ObjectKind::Secret, &secret("client", 1)), [key("a")]);
        assert_eq!(index.told(ObjectKind::Secret, &secret("t", 2)), [key("a")]);
        index.credential_gone(&credential("a", "t").metadata);
        index.told(ObjectKind::Secret, &secret("t", 3));
        index.gone(ObjectKind::Secret, &secret("client", 4));
        assert!(index.lock().named_by.is_empty() && index.lock().objects.is_empty());
        // Changed while nobody named it: unknown to whoever names it next.
        index.credential_told(&credential("a", "t"));
        assert_eq!(index.reference("n", &super::secret("client")), Known::Untold);
    }

    #[test]
    fn the_newer_version_wins_whoever_tells_it() {
        let index = Index::default();
        index.credential_told(&credential("a", "t"));
        assert_eq!(index.target(&key("t")), Known::Untold);
        index.told(ObjectKind::Secret, &secret("t", 10));
        index.told(ObjectKind::Secret, &secret("t", 9));
        assert_eq!(index.target(&key("t")).present().map(|t| t.resource_version), Some(10));
        index.gone(ObjectKind::Secret, &secret("t", 11));
        index.told(ObjectKind::Secret, &secret("t", 10));
        assert_eq!(index.target(&key("t")), Known::Absent);
    }

    #[test]
    fn a_read_that_found_nothing_is_not_believed_when_an_event_came_meanwhile() {
        let index = Index::default();
        index.credential_told(&credential("a", "t"));
        let mark = index.mark();
        index.told(ObjectKind::Secret, &secret("client", 5));
        index.not_found("n", &super::secret("client"), mark);
        assert!(index.reference("n", &super::secret("client")).present().is_some());
        index.not_found("n", &super::secret("client"), index.mark());
        assert_eq!(index.reference("n", &super::secret("client")), Known::Absent);
    }

    #[test]
    fn a_list_says_nothing_of_what_is_named_while_it_is_under_way() {
        let index = Index::default();
        let mark = index.mark();
        index.credential_told(&credential("a", "t"));
        assert!(index.listed(ObjectKind::Secret, &BTreeSet::new(), mark).is_empty());
        assert_eq!(index.reference("n", &super::secret("client")), Known::Untold);
        let woken = index.listed(ObjectKind::Secret, &BTreeSet::new(), index.mark());
        assert_eq!((woken.len(), index.target(&key("t"))), (2, Known::Absent));
    }

    #[test]
    fn an_event_of_the_credential_keeps_no_list_from_telling_what_is_gone() {
        let index = Index::default();
        index.credential_told(&credential("a", "t"));
        index.told(ObjectKind::Secret, &secret("t", 5));
        let mark = index.mark();
        index.credential_told(&credential("a", "t"));
        assert!(index.target(&key("t")).present().is_some(), "what is known is kept");
        let listed = BTreeSet::from([key("client")]);
        assert_eq!(index.listed(ObjectKind::Secret, &listed, mark), [key("a")]);
        assert_eq!(index.target(&key("t")), Known::Absent);
    }

    #[test]
    fn a_kind_is_named_as_long_as_one_credential_names_it() {
        let index = Index::default();
        assert!(!index.has_a(ObjectKind::Secret));
        index.credential_told(&credential("a", "t"));
        index.credential_told(&credential("b", "t"));
        index.credential_told(&credential("b", "u"));
        index.credential_gone(&credential("a", "t").metadata);
        assert!(index.has_a(ObjectKind::Secret) && !index.has_a(ObjectKind::ConfigMap));
        index.credential_gone(&credential("b", "u").metadata);
        assert!(!index.has_a(ObjectKind::Secret));
    }

    #[test]
    fn a_list_that_lacks_a_secret_says_that_it_is_gone() {
        let index = Index::default();
        index.credential_told(&credential("a", "t"));
        index.told(ObjectKind::Secret, &secret("t", 5));
        let woken =
            index.listed(ObjectKind::Secret, &BTreeSet::from([key("client")]), index.mark());
        assert_eq!((index.target(&key("t")), woken), (Known::Absent, vec![key("a")]));
    }

    #[test]
    fn credentials_with_one_target_know_and_wake_each_other() {
        let index = Index::default();
        assert!(index.credential_told(&credential("a", "t")).is_empty());
        assert_eq!(index.credential_told(&credential("b", "t")), [key("a")]);
        assert_eq!(index.rivals(&key("a"), "t")[0].uid, "uid-b");
        assert!(index.knows(&credential("b", "t").metadata));
        let (uid, woken) = index.credential_gone(&credential("b", "t").metadata);
        assert_eq!((uid.as_deref(), woken), (Some("uid-b"), vec![key("a")]));
        assert!(index.rivals(&key("a"), "t").is_empty());
        let namesake = ObjectMeta { uid: Some("other".into()), ..credential("a", "t").metadata };
        assert!(!index.knows(&credential("b", "t").metadata) && !index.knows(&namesake));
    }
}
