//! One credential and what it refers to.
//!
//! In: what a test applies. Out: a second token that Keycloak knows, or the condition of a refusal.
//! **Invariant:** a token counts only if Keycloak calls it alive and the client's own, and only if the
//! operator spoke HTTP/2 to get it.

use std::sync::Arc;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use oauthcc_harness::certificates::Certificate;
use oauthcc_harness::keycloak::{Introspection, KeyClient};
use oauthcc_harness::keys::Key;
use oauthcc_operator::domain::crd::{ALLOWED_TOKEN_HOSTS, REVISION};
use serde_json::{Value, json};

use crate::Outcome;
use crate::http_2::operator_requests;
use crate::objects::{Objects, token_of};
use crate::world::World;

/// The name of the credential and of its managed Secret.
const NAME: &str = "orders";

/// A credential in a namespace of its own, or among the ServiceAccounts.
pub struct Credential {
    pub world: Arc<World>,
    pub objects: Objects,
    name: String,
}

impl Credential {
    /// In a namespace of its own; nothing is applied yet.
    pub async fn new(world: &Arc<World>) -> anyhow::Result<Self> {
        let namespace = world.plane.namespace("tenant").await?;
        Ok(Self::within(world, &namespace, NAME))
    }

    /// In a namespace that is there, under a name of its own.
    pub fn within(world: &Arc<World>, namespace: &str, name: &str) -> Self {
        let client = world.plane.admin_client();
        let objects = Objects { client, namespace: namespace.to_owned() };
        Self { world: Arc::clone(world), objects, name: name.to_owned() }
    }

    /// A Secret that consents to Keycloak.
    pub async fn secret(&self, name: &str, values: Value) -> Outcome {
        self.objects.apply_consenting_secret(name, &self.world.keycloak.host(), values).await
    }

    /// A Secret `mtls` that consents to Keycloak.
    pub async fn certificate(&self, certificate: &Certificate) -> Outcome {
        self.objects.apply_tls_secret("mtls", &self.world.keycloak.host(), certificate).await
    }

    /// A Secret `key` that consents to Keycloak.
    pub async fn key(&self, key: &Key) -> Outcome {
        self.secret("key", json!({"tls.key": key.pem()})).await
    }

    /// A ServiceAccount that consents to Keycloak.
    pub async fn service_account(&self, name: &str) -> Outcome {
        let api =
            Api::<ServiceAccount>::namespaced(self.objects.client.clone(), &self.objects.namespace);
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {
                "name": name,
                "annotations": {ALLOWED_TOKEN_HOSTS: self.world.keycloak.host()},
            },
        });
        api.patch(name, &PatchParams::apply("kubectl").force(), &Patch::Apply(&account)).await?;
        Ok(())
    }

    /// Applies the credential, with the token endpoint where the spec names no issuer.
    pub async fn apply(&self, mut spec: Value) -> Outcome {
        let members = spec.as_object_mut().context("a spec is an object")?;
        if !members.contains_key("issuer") {
            members.insert("tokenURL".to_owned(), json!(self.world.keycloak.token_url()));
        }
        self.objects.apply_spec(&self.name, &spec).await
    }

    /// The token endpoint that was asked.
    pub async fn endpoint(&self) -> anyhow::Result<Option<String>> {
        Ok(self.objects.status(&self.name).await?.endpoint)
    }

    /// Waits until it is Ready.
    pub async fn ready(&self) -> Outcome {
        self.objects.wait_ready(&self.name).await
    }

    /// Waits until its token is replaced, and proves that the new one is alive and the client's.
    pub async fn rotates(&self, client_id: &str) -> anyhow::Result<Introspection> {
        self.ready().await?;
        let first = self.objects.wait_revision(&self.name, 1).await?;
        let revision: i64 = first.annotations().get(REVISION).context("a revision")?.parse()?;
        let second = self.objects.wait_revision(&self.name, revision + 1).await?;
        let token = token_of(&second)?;
        ensure!(token != token_of(&first)?, "the token is the same as before");
        let found = self.world.keycloak.introspect(&token).await?;
        ensure!(found.active, "the token is not alive");
        ensure!(
            found.client_id.as_deref() == Some(client_id),
            "whose token: {:?}",
            found.client_id
        );
        for request in operator_requests(&self.world)? {
            ensure!(request.protocol == "HTTP/2", "the operator sent {request:?}");
        }
        self.ready().await?;
        Ok(found)
    }

    /// Waits until it says that it got no token for this reason, in a message with all of these parts.
    pub async fn refused(&self, reason: &str, parts: &[&str]) -> anyhow::Result<Condition> {
        let told = self.objects.wait_condition(&self.name, "Ready", "False", reason).await?;
        for part in parts {
            ensure!(told.message.contains(part), "{part:?} is not in: {}", told.message);
        }
        Ok(told)
    }
}

/// The spec of a client with a private key in the Secret `key`.
pub fn private_key_jwt(client: &KeyClient) -> Value {
    json!({
        "clientID": client.id,
        "clientAuthentication": {
            "method": "PrivateKeyJWT",
            "privateKeyJWT": {
                "keySecretRef": {"name": "key"},
                "algorithm": client.algorithm,
                "keyID": client.key_id,
            },
        },
    })
}

/// The spec of a client with a certificate in the Secret `mtls`.
pub fn tls_client_auth(client_id: &str) -> Value {
    json!({
        "clientID": client_id,
        "clientAuthentication": {"method": "TLSClientAuth"},
        "tls": {"clientCertificateSecretRef": {"name": "mtls"}},
    })
}

/// The spec of a client that shows the token of a ServiceAccount.
pub fn service_account_token(name: &str, audience: &str) -> Value {
    json!({"clientAuthentication": {
        "method": "ServiceAccountToken",
        "serviceAccountToken": {"name": name, "audience": audience},
    }})
}
