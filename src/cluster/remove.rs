//! Deletes Secrets that are our own: what a renamed target leaves, and one whose type has changed. In: a
//! Secret as it is known. Out: it is gone.
//!
//! **Invariant:** a Secret is deleted only in the very version that was seen to be ours, by preconditions in
//! the call itself.

use kube::api::{DeleteParams, Preconditions};

use super::call::code;
use super::read::look_at_secret;
use super::refused::{RefusedSecret, unremoved};
use super::{Cluster, namespace};
use crate::domain::observation::{LeftBehind, Observation};
use crate::domain::reference::{Object, ObjectKind};
use crate::domain::secret::TargetMetadata;

/// What the target was named after before. One that has changed since it was seen is looked at once more.
///
/// # Errors
/// Why it could not be deleted.
pub(super) async fn remove_left(
    cluster: &Cluster,
    o: &Observation,
    left: &LeftBehind,
) -> Result<(), RefusedSecret> {
    let name = &left.name;
    match delete(cluster, o, name, &left.metadata).await {
        Ok(()) => return Ok(()),
        Err(error) if code(&error) == 409 => {}
        Err(error) => return Err(unremoved(o, name, &error)),
    }
    let found = look_at_secret(cluster, o, name).await;
    let Some(seen) = found.map_err(|error| unremoved(o, name, &error))? else { return Ok(()) };
    if !seen.is_owned_by(o.uid()) {
        return Ok(());
    }
    delete(cluster, o, name, &seen).await.map_err(|error| unremoved(o, name, &error))
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
