//! Everything that talks to the Kubernetes API. In: events and objects. Out: observations, and the
//! writes of an outcome.
//!
//! **Invariant:** this room decides nothing; what to do and what it means is `domain`.

pub mod apply;
mod body;
pub mod call;
pub mod finalizer;
pub mod index;
pub mod memory;
pub mod observe;
pub mod prepare;
pub mod read;
pub mod refused;
mod remove;
pub mod watch;

use std::sync::Arc;

use kube::runtime::events::Recorder;
use kube::{Api, Client};

use crate::domain::crd::OAuthClientCredential;
use crate::domain::observation::{Observation, Policy};
use crate::domain::redacted::Redacted;
use call::Calls;
use index::Index;
use memory::Memory;
use read::ClientSecret;

/// What the functions of this room work on; shared by all reconciles.
pub struct Cluster {
    /// The client, for short calls only.
    pub client: Client,
    /// Deadlines, tries and the bound of calls in flight.
    pub calls: Calls,
    /// What the watches told.
    pub index: Arc<Index>,
    /// What is remembered.
    pub memory: Arc<Memory>,
    /// The settings that decisions depend on.
    pub policy: Arc<Policy>,
    /// Writes events.
    pub recorder: Recorder,
    /// A key drawn at start, under which secret values are remembered.
    pub values_key: Redacted<Vec<u8>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

impl Cluster {
    /// Secrets of the credential's own namespace: no call of this room names another one.
    fn secrets(&self, o: &Observation) -> Api<ClientSecret> {
        Api::namespaced(self.client.clone(), namespace(o))
    }

    fn credentials(&self, o: &Observation) -> Api<OAuthClientCredential> {
        Api::namespaced(self.client.clone(), namespace(o))
    }
}

fn namespace(o: &Observation) -> &str {
    o.credential.metadata.namespace.as_deref().unwrap_or_default()
}
