//! The objects of one namespace: what a person applies there, and what they see.
//!
//! In: an administrator's client. Out: Secrets and credentials applied, conditions and tokens waited for.
//! Included by `tests/keycloak` too, so it knows no authorization server.
//!
//! **Invariant:** it acts as an administrator of the cluster would with kubectl; it never writes status
//! or managed Secrets on the operator's behalf.

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use oauthcc_harness::certificates::Certificate;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{
    ALLOWED_TOKEN_HOSTS, OAuthClientCredential, OAuthClientCredentialStatus, REVISION,
};
use serde_json::{Value, json};

/// A namespace.
pub struct Objects {
    /// Acts as an administrator.
    pub client: Client,
    /// Its name.
    pub namespace: String,
}

impl Objects {
    /// Applies a Secret.
    pub async fn apply_secret(&self, mut secret: Value) -> anyhow::Result<()> {
        let name = secret["metadata"]["name"].as_str().context("a name")?.to_owned();
        secret["apiVersion"] = json!("v1");
        secret["kind"] = json!("Secret");
        let params = PatchParams::apply("kubectl").force();
        self.secrets().patch(&name, &params, &Patch::Apply(&secret)).await?;
        Ok(())
    }

    /// Applies a Secret whose owner consents to a host.
    pub async fn apply_consenting_secret(
        &self,
        name: &str,
        host: &str,
        values: Value,
    ) -> anyhow::Result<()> {
        self.apply_secret(json!({
            "metadata": {"name": name, "annotations": {ALLOWED_TOKEN_HOSTS: host}},
            "stringData": values,
        }))
        .await
    }

    /// Applies a Secret of type `kubernetes.io/tls` whose owner consents to a host.
    pub async fn apply_tls_secret(
        &self,
        name: &str,
        host: &str,
        certificate: &Certificate,
    ) -> anyhow::Result<()> {
        self.apply_secret(json!({
            "metadata": {"name": name, "annotations": {ALLOWED_TOKEN_HOSTS: host}},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": certificate.chain_pem(), "tls.key": certificate.key_pem()},
        }))
        .await
    }

    /// Applies a credential.
    pub async fn apply_spec(&self, name: &str, spec: &Value) -> anyhow::Result<()> {
        let credential = json!({
            "apiVersion": "oauthcc.dev/v1alpha1",
            "kind": "OAuthClientCredential",
            "metadata": {"name": name},
            "spec": spec,
        });
        let params = PatchParams::apply("kubectl").force();
        self.credentials().patch(name, &params, &Patch::Apply(&credential)).await?;
        Ok(())
    }

    /// The credential as it is.
    pub async fn get(&self, name: &str) -> anyhow::Result<OAuthClientCredential> {
        Ok(self.credentials().get(name).await?)
    }

    /// Waits until a condition has this status and reason for the present generation.
    pub async fn wait_condition(
        &self,
        name: &str,
        kind: &str,
        status: &str,
        reason: &str,
    ) -> anyhow::Result<Condition> {
        let what = format!("{}/{name} to be {kind}={status}/{reason}", self.namespace);
        let bound = Duration::from_secs(60);
        wait_for(&what, bound, async || {
            let credential = self.get(name).await.map_err(|error| error.to_string())?;
            let generation = credential.metadata.generation;
            let status_now = credential.status.unwrap_or_default();
            let found = status_now.conditions.iter().find(|condition| condition.type_ == kind);
            match found {
                Some(condition)
                    if condition.status == status
                        && condition.reason == reason
                        && condition.observed_generation == generation =>
                {
                    Ok(condition.clone())
                }
                _ => Err(serde_json::to_string(&status_now).unwrap_or_default()),
            }
        })
        .await
    }

    /// Waits until the credential is Ready.
    pub async fn wait_ready(&self, name: &str) -> anyhow::Result<()> {
        self.wait_condition(name, "Ready", "True", "TokenValid").await.map(drop)
    }

    /// The status as it is.
    pub async fn status(&self, name: &str) -> anyhow::Result<OAuthClientCredentialStatus> {
        Ok(self.get(name).await?.status.unwrap_or_default())
    }

    /// Waits until the managed Secret has this revision or a later one.
    pub async fn wait_revision(&self, secret: &str, revision: i64) -> anyhow::Result<Secret> {
        let what = format!("revision {revision} of Secret {}/{secret}", self.namespace);
        wait_for(&what, Duration::from_secs(90), async || {
            let found = self.secrets().get_opt(secret).await.map_err(|error| error.to_string())?;
            let found = found.ok_or("there is no Secret")?;
            let text = found.annotations().get(REVISION).cloned().unwrap_or_default();
            let now: i64 = text.parse().unwrap_or(0);
            if now >= revision {
                return Ok(found);
            }
            let status = self.status(secret).await.unwrap_or_default();
            let told = serde_json::to_string(&status).unwrap_or_default();
            Err(format!("revision {now}, {told}"))
        })
        .await
    }

    /// Secrets of the namespace, as an administrator.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Credentials of the namespace, as an administrator.
    pub fn credentials(&self) -> Api<OAuthClientCredential> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// The token in a managed Secret with the default key.
pub fn token_of(secret: &Secret) -> anyhow::Result<String> {
    let data = secret.data.as_ref().and_then(|data| data.get("token"));
    let Some(token) = data else { bail!("Secret {} holds no token", secret.name_any()) };
    Ok(String::from_utf8(token.0.clone())?)
}
