//! What makes an API server refuse a write: rights taken away, an admission policy.
//!
//! **Invariant:** each is in force when it is handed out, and out of force when it was given back.

use std::sync::Arc;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::PostParams;
use oauthcc_harness::wait::wait_for;
use serde_json::json;

use crate::Outcome;
use crate::tenant::Tenant;
use crate::world::{OPERATOR, SOON, World};

/// The operator's rights, as they were before some of them were taken away.
pub struct Rights {
    world: Arc<World>,
    namespace: String,
    resource: &'static str,
    /// One of the rights, which is asked about.
    verb: &'static str,
    before: ClusterRole,
}

impl Rights {
    /// Takes `create` and `patch` of Secrets away.
    pub async fn to_write_secrets_taken(
        world: &Arc<World>,
        namespace: &str,
    ) -> anyhow::Result<Self> {
        Self::taken(world, namespace, "secrets", &["patch", "create"]).await
    }

    /// Takes `get` of Secrets away.
    pub async fn to_read_secrets_taken(
        world: &Arc<World>,
        namespace: &str,
    ) -> anyhow::Result<Self> {
        Self::taken(world, namespace, "secrets", &["get"]).await
    }

    /// Takes `delete` of Secrets away.
    pub async fn to_delete_secrets_taken(
        world: &Arc<World>,
        namespace: &str,
    ) -> anyhow::Result<Self> {
        Self::taken(world, namespace, "secrets", &["delete"]).await
    }

    /// Takes the right to report away.
    pub async fn to_write_status_taken(
        world: &Arc<World>,
        namespace: &str,
    ) -> anyhow::Result<Self> {
        let resource = "oauthclientcredentials/status";
        Self::taken(world, namespace, resource, &["patch", "create"]).await
    }

    /// Takes the right to write finalizers away.
    pub async fn to_hold_credentials_taken(
        world: &Arc<World>,
        namespace: &str,
    ) -> anyhow::Result<Self> {
        Self::taken(world, namespace, "oauthclientcredentials", &["patch"]).await
    }

    async fn taken(
        world: &Arc<World>,
        namespace: &str,
        resource: &'static str,
        verbs: &[&'static str],
    ) -> anyhow::Result<Self> {
        let verb = verbs.first().copied().context("a verb")?;
        let before = roles(world).get(OPERATOR.1).await?;
        let mut less = before.clone();
        for rule in less.rules.iter_mut().flatten() {
            if rule.resources.iter().flatten().any(|named| named == resource) {
                rule.verbs.retain(|verb| !verbs.contains(&verb.as_str()));
            }
        }
        // A rule without verbs is refused.
        if let Some(rules) = &mut less.rules {
            rules.retain(|rule| !rule.verbs.is_empty());
        }
        let world = Arc::clone(world);
        let rights = Self { world, namespace: namespace.to_owned(), resource, verb, before };
        let world = &rights.world;
        roles(world).replace(OPERATOR.1, &PostParams::default(), &less).await?;
        rights.wait(false).await?;
        Ok(rights)
    }

    /// Gives everything back.
    pub async fn give_back(mut self) -> Outcome {
        let roles = roles(&self.world);
        self.before.metadata.resource_version = None;
        roles.replace(OPERATOR.1, &PostParams::default(), &self.before).await?;
        self.wait(true).await
    }

    async fn wait(&self, granted: bool) -> Outcome {
        let what = format!("the right to {} {} to be {granted}", self.verb, self.resource);
        let user = format!("--as=system:serviceaccount:{}:{}", OPERATOR.0, OPERATOR.1);
        let (resource, part) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let part = format!("--subresource={part}");
        let question = ["auth", "can-i", self.verb, resource, &part, "-n", &self.namespace, &user];
        wait_for(&what, SOON, async || {
            let output = self.world.plane.kubectl_output(&question, "").await?;
            let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            ensure!((answer == "yes") == granted, "the answer is {answer}");
            Ok(())
        })
        .await
    }
}

fn roles(world: &World) -> Api<ClusterRole> {
    Api::all(world.plane.admin_client())
}

/// A policy against Secrets with the operator's label in one namespace.
pub struct AdmissionPolicy<'t> {
    tenant: &'t Tenant,
    name: String,
}

impl<'t> AdmissionPolicy<'t> {
    /// Refuses them with this reason of `metav1.Status`, which means this HTTP status.
    pub async fn against_managed_secrets(
        tenant: &'t Tenant,
        reason: &str,
        code: u16,
    ) -> anyhow::Result<Self> {
        Self::against(tenant, &["CREATE", "UPDATE"], reason, code).await
    }

    /// Refuses new ones alone.
    pub async fn against_new_managed_secrets(tenant: &'t Tenant) -> anyhow::Result<Self> {
        Self::against(tenant, &["CREATE"], "Forbidden", 403).await
    }

    async fn against(
        tenant: &'t Tenant,
        operations: &[&str],
        reason: &str,
        code: u16,
    ) -> anyhow::Result<Self> {
        let name = format!("no-managed-secrets-in-{}", tenant.namespace);
        let kind = |kind: &str, spec: serde_json::Value| {
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": {"name": name}, "spec": spec})
        };
        let label = "'oauthcc.dev/managed' in object.metadata.labels";
        let policy = json!({
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                "operations": operations, "resources": ["secrets"]}]},
            "validations": [{"reason": reason, "message": "the words of the policy",
                "expression": format!("!has(object.metadata.labels) || !({label})")}],
        });
        let binding = json!({
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels":
                {"kubernetes.io/metadata.name": tenant.namespace}}},
        });
        let all = json!({"apiVersion": "v1", "kind": "List", "items": [
            kind("ValidatingAdmissionPolicy", policy),
            kind("ValidatingAdmissionPolicyBinding", binding),
        ]});
        let plane = &tenant.world.plane;
        plane.kubectl_with_stdin(&["apply", "-f", "-"], &all.to_string()).await?;
        let policy = Self { tenant, name };
        policy.wait(Some(code)).await?;
        Ok(policy)
    }

    /// Lets them pass again.
    pub async fn lift(self) -> Outcome {
        for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
            self.tenant.world.plane.kubectl(&["delete", kind, &self.name]).await?;
        }
        self.wait(None).await
    }

    /// Waits until a Secret like the operator's is refused with this status, or taken.
    async fn wait(&self, expected: Option<u16>) -> Outcome {
        let probe: Secret = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "probe", "labels": {"oauthcc.dev/managed": "true"}}}))
        .context("a Secret")?;
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let what = format!("a managed Secret to be answered {expected:?}");
        wait_for(&what, SOON, async || {
            let answer = match self.tenant.secrets().create(&params, &probe).await {
                Ok(_) => None,
                Err(kube::Error::Api(status)) => Some(status.code),
                Err(error) => return Err(error.into()),
            };
            ensure!(answer == expected, "it is answered {answer:?}");
            Ok(())
        })
        .await
    }
}
