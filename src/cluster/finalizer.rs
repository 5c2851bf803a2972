//! Our finalizer on a credential: put there and taken away by one write each. In: an observation. Out: what
//! the API server said of it.
//!
//! **Invariant:** a write changes one entry of the list, of this very object, or nothing: it says so in
//! tests of its own (RFC 6902 §4.6), so no finalizer of somebody else and no namesake is ever touched.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::call::code;
use super::{Cluster, namespace};
use crate::domain::crd::{FIELD_MANAGER, OAuthClientCredential, REVOKE_FINALIZER};
use crate::domain::observation::Observation;
use crate::domain::plan::Fault;
use crate::domain::reason::Reason;
use crate::domain::secret::resource_version;

/// Why the finalizer is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum FinalizerError {
    /// RBAC or an admission policy refuses the write.
    #[error("the operator may not change the finalizers of {namespace}/{name}")]
    Forbidden {
        /// Namespace of the credential.
        namespace: String,
        /// Name of the credential.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// The API server did not take it.
    #[error("failed to change the finalizers of {namespace}/{name}")]
    Write {
        /// Namespace of the credential.
        namespace: String,
        /// Name of the credential.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
}

/// Puts the finalizer on the credential, or takes it away; `false` where the credential is gone, or
/// going before it could be put there. Where the list is another than was known, it is read and written
/// once more.
///
/// # Errors
/// The API server did not take it.
pub async fn set(cluster: &Cluster, o: &Observation, wanted: bool) -> Result<bool, FinalizerError> {
    let known = o.credential.metadata.finalizers.clone().unwrap_or_default();
    match write(cluster, o, &known, wanted).await {
        Ok(()) => return Ok(true),
        Err(error) if code(&error) == 404 => return Ok(false),
        // A test of the patch failed: the list or the object is another by now.
        Err(error) if matches!(code(&error), 409 | 422) => {}
        Err(error) => return Err(failed(o, error)),
    }
    let name = o.credential.metadata.name.clone().unwrap_or_default();
    let api = cluster.credentials(o);
    let found = cluster.calls.make(|| api.get_metadata_opt(&name)).await;
    let Some(now) = found.map_err(|error| failed(o, error))? else { return Ok(false) };
    // Nothing may be added to what is being deleted.
    let too_late = wanted && now.metadata.deletion_timestamp.is_some();
    if too_late || now.metadata.uid != o.credential.metadata.uid {
        return Ok(false);
    }
    let known = now.metadata.finalizers.unwrap_or_default();
    match write(cluster, o, &known, wanted).await {
        Ok(()) => Ok(true),
        Err(error) if code(&error) == 404 => Ok(false),
        // The list was just read, so it is no test of the patch: an admission policy answers so too.
        Err(error) if code(&error) == 422 => Err(denied(o, error)),
        Err(error) => Err(failed(o, error)),
    }
}

/// What is told where RBAC or a policy keeps the finalizer away: no token is requested without it.
pub fn forbidden() -> Fault {
    Fault {
        reason: Reason::Forbidden,
        message: "the operator may not put its finalizer on this credential, which \
                  spec.revocation.onDelete needs: its ServiceAccount needs the verb patch on \
                  oauthclientcredentials in this namespace, and no admission policy may forbid it"
            .to_owned(),
    }
}

async fn write(
    cluster: &Cluster,
    o: &Observation,
    known: &[String],
    wanted: bool,
) -> Result<(), kube::Error> {
    let Some(patch) = patch(o.uid(), known, wanted) else { return Ok(()) };
    let patch = serde_json::from_value(patch).map_err(kube::Error::SerdeError)?;
    let patch = Patch::<OAuthClientCredential>::Json(patch);
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let name = o.credential.metadata.name.clone().unwrap_or_default();
    let api = cluster.credentials(o);
    let reply = cluster.calls.make(|| api.patch_metadata(&name, &params, &patch)).await?;
    let version = resource_version(&reply.metadata);
    let finalizers = reply.metadata.finalizers.unwrap_or_default();
    cluster.memory.finalizers_written(o.uid(), version, finalizers);
    Ok(())
}

/// The change of the list as it is known; `None` where there is nothing to change.
fn patch(uid: &str, known: &[String], wanted: bool) -> Option<Value> {
    let place = known.iter().position(|finalizer| finalizer == REVOKE_FINALIZER);
    let same_object = json!({"op": "test", "path": "/metadata/uid", "value": uid});
    let (test, change) = match (wanted, place) {
        (true, Some(_)) | (false, None) => return None,
        // The member is not there at all, and `add` would replace one that is.
        (true, None) if known.is_empty() => (
            json!({"op": "test", "path": "/metadata/finalizers", "value": null}),
            json!({"op": "add", "path": "/metadata/finalizers", "value": [REVOKE_FINALIZER]}),
        ),
        (true, None) => (
            json!({"op": "test", "path": "/metadata/finalizers", "value": known}),
            json!({"op": "add", "path": "/metadata/finalizers/-", "value": REVOKE_FINALIZER}),
        ),
        (false, Some(place)) => {
            let path = format!("/metadata/finalizers/{place}");
            (
                json!({"op": "test", "path": path, "value": REVOKE_FINALIZER}),
                json!({"op": "remove", "path": path}),
            )
        }
    };
    Some(json!([same_object, test, change]))
}

fn failed(o: &Observation, error: kube::Error) -> FinalizerError {
    if code(&error) == 403 {
        return denied(o, error);
    }
    let name = o.credential.metadata.name.clone().unwrap_or_default();
    FinalizerError::Write { namespace: namespace(o).to_owned(), name, source: Box::new(error) }
}

fn denied(o: &Observation, error: kube::Error) -> FinalizerError {
    let name = o.credential.metadata.name.clone().unwrap_or_default();
    FinalizerError::Forbidden { namespace: namespace(o).to_owned(), name, source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_write_changes_our_entry_and_tests_what_it_relies_on() {
        let ours = REVOKE_FINALIZER;
        let uid = json!({"op": "test", "path": "/metadata/uid", "value": "u"});
        let list = "/metadata/finalizers";
        for (known, wanted, expected) in [
            (names(&[]), false, None),
            (names(&["a"]), false, None),
            (names(&[ours]), true, None),
            (names(&["a", ours]), true, None),
            (
                names(&[]),
                true,
                Some((
                    json!({"op": "test", "path": list, "value": null}),
                    json!({"op": "add", "path": list, "value": [ours]}),
                )),
            ),
            (
                names(&["a", "b"]),
                true,
                Some((
                    json!({"op": "test", "path": list, "value": ["a", "b"]}),
                    json!({"op": "add", "path": format!("{list}/-"), "value": ours}),
                )),
            ),
            (
                names(&["a", ours, "b"]),
                false,
                Some((
                    json!({"op": "test", "path": format!("{list}/1"), "value": ours}),
                    json!({"op": "remove", "path": format!("{list}/1")}),
                )),
            ),
        ] {
            let expected = expected.map(|(test, change)| json!([uid, test, change]));
            assert_eq!(patch("u", &known, wanted), expected, "{known:?}, wanted: {wanted}");
        }
    }
}
