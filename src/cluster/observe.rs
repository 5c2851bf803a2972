//! What is known about one credential, gathered from stores and memory.
//!
//! **Invariant:** no call to the API; the same stores and memory give the same observation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Cluster;
use crate::domain::crd::OAuthClientCredential;
use crate::domain::observation::Observation;
use crate::domain::remember;
use crate::domain::secret::resource_version;

/// The observation of a credential. At the first look of this process the memory is seeded from the
/// stored status.
pub fn observe(cluster: &Cluster, credential: &Arc<OAuthClientCredential>) -> Observation {
    let metadata = &credential.metadata;
    let uid = metadata.uid.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = (namespace.clone(), metadata.name.clone().unwrap_or_default());
    let target = (namespace.clone(), credential.target_name().to_owned());
    let mut observation = Observation {
        credential: as_last_written(cluster, uid, credential),
        policy: Arc::clone(&cluster.policy),
        references: BTreeMap::new(),
        target: cluster.index.target(&target),
        left_behind: Vec::new(),
        rivals: cluster.index.rivals(&name, &target.1),
        memory: cluster.memory.recall(uid),
    };
    let status = observation.credential.status.as_ref();
    let bound = status.and_then(|status| status.binding.as_ref()).map(|binding| &binding.name);
    let left = status.into_iter().flat_map(|status| &status.left_behind);
    let told: Vec<_> = left.chain(bound).cloned().collect();
    observation.left_behind = cluster.index.left_behind(uid, &told);
    for used in observation.used_objects() {
        let known = cluster.index.reference(&namespace, &used.object);
        observation.references.insert(used.object, known);
    }
    if !observation.memory.seeded {
        observation.memory = remember::seed(&observation);
    }
    observation
}

/// The credential with what was written of it and no watch has told yet.
fn as_last_written(
    cluster: &Cluster,
    uid: &str,
    credential: &Arc<OAuthClientCredential>,
) -> Arc<OAuthClientCredential> {
    let stored = resource_version(&credential.metadata);
    let status = cluster.memory.newer_status(uid, stored);
    let finalizers = cluster.memory.newer_finalizers(uid, stored);
    if status.is_none() && finalizers.is_none() {
        return Arc::clone(credential);
    }
    let mut latest = OAuthClientCredential::clone(credential);
    latest.status = status.or(latest.status);
    latest.metadata.finalizers = finalizers.or(latest.metadata.finalizers);
    Arc::new(latest)
}
