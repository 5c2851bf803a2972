//! Which Secret matters to which credential, and what is known of it. In: credentials, metadata of
//! Secrets from watches, live reads and replies to writes. Out: names to wake, what is known.
//!
//! **Invariant:** a Secret that no credential names is not stored, and no data of any Secret is. Of
//! two things told about one object the newer version wins.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use crate::domain::crd::{ALLOWED_TOKEN_HOSTS, OAuthClientCredential};
use crate::domain::observation::{Known, ReferenceMetadata, Rival};
use crate::domain::secret::{TargetMetadata, resource_version};

/// Namespace and name.
pub type Name = (String, String);

/// What the watches told, under one lock; every operation is short.
#[derive(Debug, Default)]
pub struct Index {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What each credential names.
    credentials: HashMap<Name, Entry>,
    /// Which credentials name a Secret.
    named_by: HashMap<Name, BTreeSet<String>>,
    /// What is known of the Secrets that are named.
    secrets: HashMap<Name, Told>,
    /// Counts every change of `secrets`: a live read that found nothing is only believed if nothing
    /// was told while it was under way.
    changes: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    uid: String,
    created_at: Option<Timestamp>,
    client_secret: Option<String>,
    target: String,
}

#[derive(Clone, Debug)]
struct Told {
    version: u64,
    changed: u64,
    /// `None`: it does not exist.
    object: Option<(ReferenceMetadata, TargetMetadata)>,
}

/// A point in time of what was told of one Secret, taken before a live read.
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
            client_secret: credential.spec.credentials_secret_ref.as_ref().map(|r| r.name.clone()),
            target: credential.target_name().to_owned(),
        };
        let mut state = self.lock();
        let before = state.forget(&name);
        let mut wake =
            before.as_ref().map(|gone| state.rivals(&name, &gone.target)).unwrap_or_default();
        wake.extend(state.rivals(&name, &entry.target));
        state.learn(&name, entry);
        if let Some(before) = before {
            state.drop_unnamed(&name.0, &before);
        }
        wake.into_iter().map(|rival| (name.0.clone(), rival)).collect()
    }

    /// Forgets a credential that is gone; returns its UID and those that it shared its target with.
    pub fn credential_gone(&self, metadata: &ObjectMeta) -> (Option<String>, Vec<Name>) {
        let name = name_of(metadata);
        let mut state = self.lock();
        let Some(gone) = state.forget(&name) else { return (None, Vec::new()) };
        let rivals = state.rivals(&name, &gone.target);
        state.drop_unnamed(&name.0, &gone);
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

    /// Takes in the metadata of a Secret; returns the credentials to wake.
    pub fn secret_told(&self, metadata: &ObjectMeta) -> Vec<Name> {
        let name = name_of(metadata);
        let mut state = self.lock();
        let Some(credentials) = state.named_by.get(&name).cloned() else { return Vec::new() };
        let object = (reference_metadata(metadata), TargetMetadata::read(metadata));
        state.tell(&name, resource_version(metadata), Some(object));
        credentials.into_iter().map(|credential| (name.0.clone(), credential)).collect()
    }

    /// Takes in that a Secret was deleted; returns the credentials to wake.
    pub fn secret_gone(&self, metadata: &ObjectMeta) -> Vec<Name> {
        let name = name_of(metadata);
        let mut state = self.lock();
        state.tell(&name, resource_version(metadata), None);
        let credentials = state.named_by.get(&name).cloned().unwrap_or_default();
        credentials.into_iter().map(|credential| (name.0.clone(), credential)).collect()
    }

    /// Takes in a complete list: what it lacks does not exist. Returns the credentials to wake.
    pub fn secrets_listed(&self, listed: &BTreeSet<Name>, since: Mark) -> Vec<Name> {
        let mut state = self.lock();
        let gone: Vec<(Name, u64)> = state
            .named_by
            .keys()
            .filter(|name| !listed.contains(*name))
            .map(|name| (name, state.secrets.get(name)))
            .filter(|(_, told)| told.is_none_or(|told| told.changed <= since.0))
            .map(|(name, told)| (name.clone(), told.map_or(0, |told| told.version)))
            .collect();
        let mut wake = Vec::new();
        for (name, version) in gone {
            state.tell(&name, version, None);
            let credentials = state.named_by.get(&name).cloned().unwrap_or_default();
            wake.extend(credentials.into_iter().map(|credential| (name.0.clone(), credential)));
        }
        wake
    }

    /// The present point in time, to be taken before a live read or a list.
    pub fn mark(&self) -> Mark {
        Mark(self.lock().changes)
    }

    /// Takes in that a live read, begun at `mark`, did not find the Secret.
    pub fn secret_not_found(&self, name: &Name, mark: Mark) {
        let mut state = self.lock();
        let told = state.secrets.get(name);
        if told.is_none_or(|told| told.changed <= mark.0) {
            let version = told.map_or(0, |told| told.version);
            state.tell(name, version, None);
        }
    }

    /// What is known of a Secret that a spec refers to.
    pub fn reference(&self, name: &Name) -> Known<ReferenceMetadata> {
        self.known(name, |object| object.0.clone())
    }

    /// What is known of the Secret at a target's name.
    pub fn target(&self, name: &Name) -> Known<TargetMetadata> {
        self.known(name, |object| object.1.clone())
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
        name: &Name,
        part: impl Fn(&(ReferenceMetadata, TargetMetadata)) -> T,
    ) -> Known<T> {
        match self.lock().secrets.get(name) {
            None => Known::Untold,
            Some(Told { object: None, .. }) => Known::Absent,
            Some(Told { object: Some(object), .. }) => Known::Present(part(object)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn learn(&mut self, name: &Name, entry: Entry) {
        for secret in entry.secrets() {
            let secret = (name.0.clone(), secret.to_owned());
            self.named_by.entry(secret).or_default().insert(name.1.clone());
        }
        self.credentials.insert(name.clone(), entry);
    }

    fn forget(&mut self, name: &Name) -> Option<Entry> {
        let entry = self.credentials.remove(name)?;
        for secret in entry.secrets() {
            let secret = (name.0.clone(), secret.to_owned());
            if let Some(credentials) = self.named_by.get_mut(&secret) {
                credentials.remove(&name.1);
                if credentials.is_empty() {
                    self.named_by.remove(&secret);
                }
            }
        }
        Some(entry)
    }

    /// What nobody names any more is not kept up to date, so it must not be believed later.
    fn drop_unnamed(&mut self, namespace: &str, entry: &Entry) {
        for secret in entry.secrets() {
            let secret = (namespace.to_owned(), secret.to_owned());
            if !self.named_by.contains_key(&secret) {
                self.secrets.remove(&secret);
            }
        }
    }

    fn rivals(&self, credential: &Name, target: &str) -> Vec<String> {
        let target = (credential.0.clone(), target.to_owned());
        let names = self.named_by.get(&target).into_iter().flatten();
        names
            .filter(|name| **name != credential.1)
            .filter(|name| {
                let entry = self.credentials.get(&(credential.0.clone(), (*name).clone()));
                entry.is_some_and(|entry| entry.target == target.1)
            })
            .cloned()
            .collect()
    }

    fn tell(
        &mut self,
        name: &Name,
        version: u64,
        object: Option<(ReferenceMetadata, TargetMetadata)>,
    ) {
        if !self.named_by.contains_key(name) {
            self.secrets.remove(name);
            return;
        }
        if self.secrets.get(name).is_some_and(|told| told.version > version) {
            return;
        }
        self.changes += 1;
        let changed = self.changes;
        self.secrets.insert(name.clone(), Told { version, changed, object });
    }
}

impl Entry {
    fn secrets(&self) -> impl Iterator<Item = &str> {
        self.client_secret.as_deref().into_iter().chain([self.target.as_str()])
    }
}

fn name_of(metadata: &ObjectMeta) -> Name {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

pub(super) fn reference_metadata(metadata: &ObjectMeta) -> ReferenceMetadata {
    let annotations = metadata.annotations.as_ref();
    let writes_of_data = metadata.managed_fields.iter().flatten().filter(|entry| {
        entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:data").is_some())
    });
    ReferenceMetadata {
        uid: metadata.uid.clone().unwrap_or_default(),
        resource_version: resource_version(metadata),
        allowed_token_hosts: annotations.and_then(|all| all.get(ALLOWED_TOKEN_HOSTS)).cloned(),
        data_changed_at: writes_of_data
            .filter_map(|entry| entry.time.as_ref().map(|time| time.0))
            .max()
            .or_else(|| metadata.creation_timestamp.as_ref().map(|time| time.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn credential(name: &str, target: &str) -> OAuthClientCredential {
        serde_json::from_value(json!({
            "apiVersion": "oauthcc.dev/v1alpha1", "kind": "OAuthClientCredential",
            "metadata": {"namespace": "n", "name": name, "uid": format!("uid-{name}")},
            "spec": {"credentialsSecretRef": {"name": "client"}, "target": {"name": target}},
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
        assert!(index.secret_told(&secret("foreign", 1)).is_empty());
        assert_eq!(index.lock().secrets.len(), 0);
        assert_eq!(index.secret_told(&secret("client", 1)), [key("a")]);
        assert_eq!(index.secret_told(&secret("t", 2)), [key("a")]);
        index.credential_gone(&credential("a", "t").metadata);
        index.secret_told(&secret("t", 3));
        index.secret_gone(&secret("client", 4));
        assert!(index.lock().named_by.is_empty() && index.lock().secrets.is_empty());
        // Changed while nobody named it: unknown to whoever names it next.
        index.credential_told(&credential("a", "t"));
        assert_eq!(index.reference(&key("client")), Known::Untold);
    }

    #[test]
    fn the_newer_version_wins_whoever_tells_it() {
        let index = Index::default();
        index.credential_told(&credential("a", "t"));
        assert_eq!(index.target(&key("t")), Known::Untold);
        index.secret_told(&secret("t", 10));
        index.secret_told(&secret("t", 9));
        assert_eq!(index.target(&key("t")).present().map(|t| t.resource_version), Some(10));
        index.secret_gone(&secret("t", 11));
        index.secret_told(&secret("t", 10));
        assert_eq!(index.target(&key("t")), Known::Absent);
    }

    #[test]
    fn a_read_that_found_nothing_is_not_believed_when_an_event_came_meanwhile() {
        let index = Index::default();
        index.credential_told(&credential("a", "t"));
        let mark = index.mark();
        index.secret_told(&secret("client", 5));
        index.secret_not_found(&key("client"), mark);
        assert!(index.reference(&key("client")).present().is_some());
        index.secret_not_found(&key("client"), index.mark());
        assert_eq!(index.reference(&key("client")), Known::Absent);
    }

    #[test]
    fn a_list_that_lacks_a_secret_says_that_it_is_gone() {
        let index = Index::default();
        index.credential_told(&credential("a", "t"));
        index.secret_told(&secret("t", 5));
        let woken = index.secrets_listed(&BTreeSet::from([key("client")]), index.mark());
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
