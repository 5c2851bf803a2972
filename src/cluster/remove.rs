//! Deletes Secrets that are our own: what a renamed target leaves, and one whose type has changed. In: a
//! Secret as it is known. Out: it is gone.
//!
//! **Invariant:** a Secret is deleted only in the very version that was seen to be ours, by preconditions in
//! the call itself.

use kube::api::{DeleteParams, Preconditions};

use super::apply::ApplyError;
use super::call::code;
use super::{Cluster, namespace};
use crate::domain::observation::{LeftBehind, Observation};
use crate::domain::reference::{Object, ObjectKind};
use crate::domain::secret::TargetMetadata;

/// What the target was named after before. One that has changed since is looked at again first.
pub(super) async fn remove_left(
    cluster: &Cluster,
    o: &Observation,
    left: &LeftBehind,
) -> Result<(), ApplyError> {
    match delete(cluster, o, &left.name, &left.metadata).await {
        Ok(()) => Ok(()),
        // Its event wakes the credential once more.
        Err(error) if code(&error) == 409 => Ok(()),
        Err(error) => Err(ApplyError::Remove {
            namespace: namespace(o).to_owned(),
            name: left.name.clone(),
            source: Box::new(error),
        }),
    }
}

/// Deletes a Secret in the very version that is known; one that is gone is as good.
pub(super) async fn delete(
    cluster: &Cluster,
    o: &Observation,
    name: &str,
    known: &TargetMetadata,
) -> Result<(), kube::Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(known.uid.clone()),
            resource_version: Some(known.resource_version.to_string()),
        }),
        ..DeleteParams::default()
    };
    let api = cluster.secrets(o);
    let mark = cluster.index.mark();
    match cluster.calls.make(|| api.delete(name, &params)).await {
        Ok(_) => {}
        Err(error) if code(&error) == 404 => {}
        Err(error) => return Err(error),
    }
    let gone = Object { kind: ObjectKind::Secret, name: name.to_owned() };
    cluster.index.not_found(namespace(o), &gone, mark);
    Ok(())
}
