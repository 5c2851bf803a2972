//! Which events wake which credential. In: watches of one scope, of credentials and of the metadata of
//! what they name. Out: a trigger stream and a store for the Controller, the index kept up to date, wake-ups.
//!
//! **Invariant:** the other watches start once the first list of credentials has filled the index, and
//! the Controller starts once their first lists are in: no credential is decided on half
//! of what is known.

use std::collections::BTreeSet;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::utils::{Backoff, WatchStreamExt};
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::{Semaphore, mpsc::UnboundedSender};

use super::index::{Index, Name};
use super::memory::Memory;
use crate::domain::crd::{OAuthClientCredential, OAuthClientCredentialSpec};
use crate::domain::reference::ObjectKind;

/// Secrets, ConfigMaps and ServiceAccounts.
const REFERENCED_KINDS: u32 = 3;

/// Tells somebody outside this room what a watch could not take in.
pub type Complain = Arc<dyn Fn(&str, &dyn std::error::Error) + Send + Sync>;

/// Is handed namespace and name of a credential that is gone.
pub type Gone = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// The watches of one scope.
pub struct Watches<Credentials, References> {
    /// Drives the Controller.
    pub credentials: Credentials,
    /// The credentials as they are known.
    pub store: Store<OAuthClientCredential>,
    /// To be run beside the Controller, for ever.
    pub references: References,
}

impl<Credentials, References> std::fmt::Debug for Watches<Credentials, References> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watches").finish_non_exhaustive()
    }
}

/// What the watches feed.
#[derive(Clone)]
pub struct Sinks {
    /// What is known.
    pub index: Arc<Index>,
    /// Forgets credentials that are gone.
    pub memory: Arc<Memory>,
    /// Credentials to look at.
    pub wake: UnboundedSender<Name>,
    /// Told of errors.
    pub complain: Complain,
    /// Told when every watch has finished its first list, and after each later list of credentials.
    pub synced: Arc<dyn Fn() + Send + Sync>,
    /// Told of each credential that is gone.
    pub gone: Gone,
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sinks").finish_non_exhaustive()
    }
}

/// The watches of all namespaces.
pub fn watches(
    client: &Client,
    sinks: &Sinks,
) -> Watches<
    impl Stream<Item = Result<OAuthClientCredential, watcher::Error>> + Send + use<>,
    impl Future<Output = ()> + Send + use<>,
> {
    let known = Arc::new(Semaphore::new(0));
    let listed = Arc::new(Semaphore::new(0));
    let (reader, writer) = store();
    let credentials = credential_events(client, sinks, &known)
        .then({
            let (listed, sinks) = (Arc::clone(&listed), sinks.clone());
            move |event| hold_until_listed(Arc::clone(&listed), sinks.clone(), event)
        })
        .reflect(writer)
        .applied_objects();
    Watches {
        credentials,
        store: reader,
        references: watch_references(client.clone(), sinks.clone(), known, listed),
    }
}

/// The reflector may only be complete when what the credentials name is known too.
async fn hold_until_listed<E>(
    listed: Arc<Semaphore>,
    sinks: Sinks,
    event: Result<Event<OAuthClientCredential>, E>,
) -> Result<Event<OAuthClientCredential>, E> {
    if matches!(event, Ok(Event::InitDone)) {
        // The permit goes back at once; the semaphore is never closed.
        drop(listed.acquire_many(REFERENCED_KINDS).await);
        (sinks.synced)();
    }
    event
}

fn credential_events(
    client: &Client,
    sinks: &Sinks,
    known: &Arc<Semaphore>,
) -> impl Stream<Item = Result<Event<OAuthClientCredential>, watcher::Error>> + Send + use<> {
    let api = Api::<DeserializeGuard<OAuthClientCredential>>::all(client.clone());
    let (sinks, known) = (sinks.clone(), Arc::clone(known));
    let mut listed = BTreeSet::new();
    watcher(api, watch_config())
        .backoff(Steady::default())
        .filter_map({
            let complain = Arc::clone(&sinks.complain);
            move |event| ready(readable(&complain, event))
        })
        .modify(|credential| credential.managed_fields_mut().clear())
        .inspect(move |event| match event {
            Ok(event) => index_credential(&sinks, &known, &mut listed, event),
            Err(error) => (sinks.complain)("failed to watch OAuthClientCredentials", error),
        })
        .filter(|event| ready(event.is_ok()))
}

/// One object that can't be read (stored under another schema) must not keep the others from being
/// seen.
fn readable(
    complain: &Complain,
    event: Result<Event<DeserializeGuard<OAuthClientCredential>>, watcher::Error>,
) -> Option<Result<Event<OAuthClientCredential>, watcher::Error>> {
    let read = |guard: DeserializeGuard<OAuthClientCredential>| match guard.0 {
        Ok(credential) => Some(credential),
        Err(invalid) => {
            complain("failed to read an OAuthClientCredential", &invalid);
            None
        }
    };
    Some(match event {
        Ok(Event::Apply(guard)) => Ok(Event::Apply(read(guard)?)),
        Ok(Event::InitApply(guard)) => Ok(Event::InitApply(read(guard)?)),
        // Whatever it held, it is gone: only its name matters.
        Ok(Event::Delete(DeserializeGuard(gone))) => {
            Ok(Event::Delete(gone.unwrap_or_else(|invalid| {
                let mut unread =
                    OAuthClientCredential::new("", OAuthClientCredentialSpec::default());
                unread.metadata = invalid.metadata;
                unread
            })))
        }
        Ok(Event::Init) => Ok(Event::Init),
        Ok(Event::InitDone) => Ok(Event::InitDone),
        Err(error) => Err(error),
    })
}

fn index_credential(
    sinks: &Sinks,
    known: &Semaphore,
    listed: &mut BTreeSet<Name>,
    event: &Event<OAuthClientCredential>,
) {
    let told = |credential: &OAuthClientCredential| {
        if let Some(replaced) = sinks.index.replaced(credential) {
            sinks.memory.forget(&replaced);
        }
        sinks.memory.welcome(credential.metadata.uid.as_deref().unwrap_or_default());
        sinks.wake(sinks.index.credential_told(credential));
    };
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(credential) => {
            let namespace = credential.namespace().unwrap_or_default();
            listed.insert((namespace, credential.name_any()));
            told(credential);
        }
        Event::Apply(credential) => told(credential),
        Event::Delete(credential) => sinks.forget(&credential.metadata),
        Event::InitDone => {
            for (namespace, name) in sinks.index.credentials() {
                if !listed.contains(&(namespace.clone(), name.clone())) {
                    let metadata = kube::core::ObjectMeta {
                        namespace: Some(namespace),
                        name: Some(name),
                        ..Default::default()
                    };
                    sinks.forget(&metadata);
                }
            }
            listed.clear();
            known.add_permits(1);
        }
    }
}

impl Sinks {
    fn wake(&self, credentials: Vec<Name>) {
        for credential in credentials {
            // The receiver lives as long as the Controller; after it nobody needs to be woken.
            drop(self.wake.send(credential));
        }
    }

    fn forget(&self, metadata: &kube::core::ObjectMeta) {
        let (uid, rivals) = self.index.credential_gone(metadata);
        if let Some(uid) = uid {
            self.memory.forget(&uid);
        }
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        (self.gone)(&text(&metadata.namespace), &text(&metadata.name));
        self.wake(rivals);
    }
}

/// The watches of everything that credentials name.
async fn watch_references(
    client: Client,
    sinks: Sinks,
    known: Arc<Semaphore>,
    listed: Arc<Semaphore>,
) {
    let shared = || (client.clone(), sinks.clone(), Arc::clone(&known), Arc::clone(&listed));
    tokio::join!(
        watch_referenced::<Secret>(ObjectKind::Secret, shared()),
        watch_referenced::<ConfigMap>(ObjectKind::ConfigMap, shared()),
        watch_referenced::<ServiceAccount>(ObjectKind::ServiceAccount, shared()),
    );
}

/// One metadata-only watch of a kind; objects that no credential names are not stored. Every cluster
/// has Secrets to watch; the other kinds are watched from the first credential on that names one.
async fn watch_referenced<K>(
    kind: ObjectKind,
    (client, sinks, known, listed): (Client, Sinks, Arc<Semaphore>, Arc<Semaphore>),
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static,
{
    drop(known.acquire().await);
    let mut first_list = true;
    if kind != ObjectKind::Secret && !sinks.index.has_a(kind) {
        listed.add_permits(1);
        first_list = false;
        sinks.index.names_a(kind).await;
    }
    let api = Api::<PartialObjectMeta<K>>::all(client);
    let mut events = watcher(api, watch_config()).backoff(Steady::default()).boxed();
    let mut names = BTreeSet::new();
    let mut mark = sinks.index.mark();
    while let Some(event) = events.next().await {
        let name = |object: &PartialObjectMeta<K>| {
            (object.namespace().unwrap_or_default(), object.name_any())
        };
        match event {
            Ok(Event::Init) => {
                names.clear();
                mark = sinks.index.mark();
            }
            Ok(Event::InitApply(object)) => {
                // Only names that somebody waits for: a list must not cost memory for each object.
                let woken = sinks.index.told(kind, &object.metadata);
                if !woken.is_empty() {
                    names.insert(name(&object));
                }
                sinks.wake(woken);
            }
            Ok(Event::InitDone) => {
                sinks.wake(sinks.index.listed(kind, &names, mark));
                names.clear();
                sinks.index.watch_listed(kind);
                if std::mem::take(&mut first_list) {
                    listed.add_permits(1);
                }
            }
            Ok(Event::Apply(object)) => sinks.wake(sinks.index.told(kind, &object.metadata)),
            Ok(Event::Delete(object)) => sinks.wake(sinks.index.gone(kind, &object.metadata)),
            Err(error) => {
                sinks.index.watch_failed(kind, Instant::now());
                // Without the right to list them nothing of this kind is known in advance, and each
                // read says so; that must not keep all other credentials waiting.
                let optional = kind != ObjectKind::Secret && is_forbidden(&error);
                if optional && std::mem::take(&mut first_list) {
                    listed.add_permits(1);
                }
                (sinks.complain)(&format!("failed to watch {}s", kind.as_str()), &error);
            }
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403)
}

/// The object that a wake-up means.
pub fn object_ref((namespace, name): Name) -> ObjectRef<OAuthClientCredential> {
    ObjectRef::new(&name).within(&namespace)
}

/// A dead watch is noticed within 65 s: the server ends each after 60, and 5 more are waited.
fn watch_config() -> watcher::Config {
    watcher::Config::default().timeout(60)
}

/// A back-off that grows while lists fail: the default one is reset by the `Init` before each try.
#[derive(Default)]
struct Steady(DefaultBackoff);

impl Iterator for Steady {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next()
    }
}

impl Backoff for Steady {
    fn reset(&mut self) {}
}
