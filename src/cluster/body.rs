//! The managed Secret as server-side apply sends it: preconditions, marks, owner and data. In: an
//! observation, a token and what is made of it. Out: something that serializes.
//!
//! **Invariant:** it does not print, and what is written carries the precondition that keeps it from
//! touching a Secret of somebody else.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::namespace;
use crate::domain::crd::DeletionPolicy;
use crate::domain::observation::Observation;
use crate::domain::output::Content;
use crate::domain::secret::{self, ManagedSecret};

/// The managed Secret on its way to the API server: it serializes, and does not print.
pub(super) struct Body<'a> {
    pub(super) o: &'a Observation,
    pub(super) secret: &'a ManagedSecret,
    pub(super) content: &'a Content,
}

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { o, secret, content } = self;
        // Create-only: version "1" exists for no object. Own-only: UID and the version known last;
        // those of a Secret of somebody else would let it be overwritten.
        let (uid, version) = match o.writable_target() {
            Some(target) => (Some(&target.uid), target.resource_version.to_string()),
            None => (None, "1".to_owned()),
        };
        // Ours last: they win over a template, whatever the schema let pass.
        let mut labels = content.labels.clone();
        labels.extend(secret::labels().map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut annotations = content.annotations.clone();
        let ours = secret::annotations(o.uid(), &secret.record).into_iter();
        annotations.extend(ours.map(|(name, value)| (name.to_owned(), value)));
        let data: BTreeMap<_, _> = content
            .data
            .iter()
            .map(|(key, value)| {
                (key, base64::engine::general_purpose::STANDARD.encode(value.expose()))
            })
            .collect();
        let mut body = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": o.credential.target_name(),
                "namespace": namespace(o),
                "resourceVersion": version,
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": owners(o),
            },
            "type": content.secret_type,
            "data": data,
        });
        if let (Some(uid), Some(metadata)) = (uid, body.pointer_mut("/metadata")) {
            metadata["uid"] = json!(uid);
        }
        body.serialize(serializer)
    }
}

/// By its owner Kubernetes deletes the Secret with the credential; one that is retained has none.
fn owners(o: &Observation) -> Vec<OwnerReference> {
    match o.credential.spec.deletion_policy() {
        // blockOwnerDeletion would need rights on finalizers in some clusters.
        DeletionPolicy::Delete => o.credential.controller_owner_ref(&()).into_iter().collect(),
        DeletionPolicy::Retain => Vec::new(),
    }
}
