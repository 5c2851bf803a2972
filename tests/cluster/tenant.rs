//! A namespace with a client of its own: what a platform team would apply, and what it would see.
//!
//! **Invariant:** the tenant acts as an administrator of the cluster would with kubectl; it never
//! writes status or managed Secrets on the operator's behalf.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use oauthcc_harness::audit::Mark;
use oauthcc_harness::authorization_server::Client;
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{OAuthClientCredential, OAuthClientCredentialStatus};
use serde_json::{Value, json};

use crate::objects::Objects;
use crate::world::{SOON, World};

pub use crate::objects::token_of;

/// The name of the client Secret of each tenant.
pub const CLIENT_SECRET: &str = "client";

/// The conditions of a credential with a valid token and nothing to complain of, as
/// [`Tenant::wait_conditions`] writes them.
pub const ALL_GOOD: &str = "Ready=True/TokenValid ResolvedRefs=True/ResolvedRefs \
    RequestSucceeded=True/RequestSucceeded SecretSynced=True/SecretSynced";

/// A namespace and its client.
pub struct Tenant {
    /// Where it lives.
    pub world: Arc<World>,
    /// Its namespace, and what is in it.
    pub objects: Objects,
    /// Its client ID, unlike any other.
    pub client_id: String,
    /// Its client secret, unlike any other string.
    pub client_secret: String,
}

impl Deref for Tenant {
    type Target = Objects;

    fn deref(&self) -> &Objects {
        &self.objects
    }
}

impl Tenant {
    /// A namespace, a registered client whose tokens live for `lifetime`, and no client Secret yet.
    pub async fn new(world: &Arc<World>, lifetime: Duration) -> anyhow::Result<Self> {
        let namespace = world.plane.namespace("tenant").await?;
        let client_id = format!("client-of-{namespace}");
        let client_secret = format!("canary-{namespace}-Zx9Qw7Er5Ty3Ui1Op");
        let mut client = Client::new(&client_id, &client_secret);
        client.lifetime = lifetime;
        world.server.add_client(&client).await?;
        let objects = Objects { client: world.plane.admin_client(), namespace };
        Ok(Self { world: Arc::clone(world), objects, client_id, client_secret })
    }

    /// The same with a client Secret that consents to the authorization server.
    pub async fn with_client_secret(
        world: &Arc<World>,
        lifetime: Duration,
    ) -> anyhow::Result<Self> {
        let tenant = Self::new(world, lifetime).await?;
        tenant.apply_client_secret(&tenant.client_secret).await?;
        Ok(tenant)
    }

    /// Writes the client Secret with its consent.
    pub async fn apply_client_secret(&self, value: &str) -> anyhow::Result<()> {
        let values = json!({"client-id": self.client_id, "client-secret": value});
        self.apply_consenting_secret(CLIENT_SECRET, &self.world.server.host(), values).await
    }

    /// Applies a credential: the usual spec, with `changes` merged into it (RFC 7386).
    pub async fn apply(&self, name: &str, changes: Value) -> anyhow::Result<()> {
        let mut spec = json!({
            "tokenURL": self.world.server.token_url(),
            "credentialsSecretRef": {"name": CLIENT_SECRET},
        });
        merge(&mut spec, changes);
        self.apply_spec(name, &spec).await
    }

    /// Merges into a credential's metadata.
    pub async fn annotate(&self, name: &str, annotation: &str, value: &str) -> anyhow::Result<()> {
        let patch = json!({"metadata": {"annotations": {annotation: value}}});
        self.credentials().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// Merges into a credential.
    pub async fn merge(&self, name: &str, patch: Value) -> anyhow::Result<()> {
        self.credentials().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// Merges into a Secret.
    pub async fn merge_secret(&self, name: &str, patch: Value) -> anyhow::Result<()> {
        self.secrets().patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// Deletes a credential.
    pub async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.credentials().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Deletes a Secret.
    pub async fn delete_secret(&self, name: &str) -> anyhow::Result<()> {
        self.secrets().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// A condition of the credential.
    pub async fn condition(&self, name: &str, kind: &str) -> anyhow::Result<Option<Condition>> {
        let credential = self.get(name).await?;
        let conditions = credential.status.map(|status| status.conditions).unwrap_or_default();
        Ok(conditions.into_iter().find(|condition| condition.type_ == kind))
    }

    /// Waits until the conditions are exactly these, for the present generation and in this order,
    /// each written `Type=Status/Reason`; returns the status that has them.
    pub async fn wait_conditions(
        &self,
        name: &str,
        expected: &str,
    ) -> anyhow::Result<OAuthClientCredentialStatus> {
        let what = format!("{}/{name} to be {expected}", self.namespace);
        wait_for(&what, Duration::from_secs(60), async || {
            let credential = self.get(name).await?;
            let found = conditions_of(&credential)?;
            let status = credential.status.unwrap_or_default();
            ensure!(found == expected, "{}", serde_json::to_string(&status)?);
            Ok(status)
        })
        .await
    }

    /// Does something of which the operator is told, and waits until it has looked at a credential
    /// since.
    pub async fn until_looked_at(
        &self,
        name: &str,
        edit: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        let before = self.world.looks(&self.namespace, name);
        edit.await?;
        let what = format!("the operator to look at {}/{name}", self.namespace);
        wait_for(&what, SOON, async || self.world.looks(&self.namespace, name) > before).await
    }

    /// The token in a managed Secret.
    pub async fn token(&self, secret: &str) -> anyhow::Result<String> {
        let secret = self.secrets().get(secret).await?;
        token_of(&secret)
    }

    /// How many token requests this tenant's client has made.
    pub async fn token_requests(&self) -> anyhow::Result<usize> {
        self.world.server.token_requests(&self.client_id).await
    }

    /// Waits until this tenant's client has made exactly so many token requests.
    pub async fn wait_token_requests(&self, expected: usize) -> anyhow::Result<()> {
        let what = format!("{expected} token requests of {}", self.client_id);
        wait_for(&what, SOON, async || {
            let made = self.token_requests().await.map_err(|error| error.to_string())?;
            if made == expected { Ok(()) } else { Err(format!("{made} were made")) }
        })
        .await
    }

    /// Waits until the authorization server holds an answer back.
    pub async fn wait_held(&self) -> anyhow::Result<()> {
        let what = format!("an answer to {} to be held back", self.client_id);
        wait_for(&what, SOON, async || {
            let held = self.world.server.held(&self.client_id).await?;
            ensure!(held == 1, "{held} are");
            Ok(())
        })
        .await
    }

    /// The events on a credential: reason and note, sorted.
    pub async fn events(&self, name: &str) -> anyhow::Result<Vec<(String, String)>> {
        let api = Api::<Event>::namespaced(self.world.plane.admin_client(), &self.namespace);
        let all = api.list(&ListParams::default()).await?;
        let mut events: Vec<_> = all
            .into_iter()
            .filter(|event| {
                let regarding = event.regarding.as_ref().and_then(|object| object.name.as_deref());
                regarding == Some(name)
            })
            .map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default()))
            .collect();
        events.sort();
        Ok(events)
    }

    /// The reasons of the events on a credential, sorted.
    pub async fn event_reasons(&self, name: &str) -> anyhow::Result<Vec<String>> {
        Ok(self.events(name).await?.into_iter().map(|(reason, _)| reason).collect())
    }

    /// Waits until the reasons of the events on a credential are exactly these (they follow the status).
    pub async fn expect_events(&self, name: &str, expected: &[&str]) -> anyhow::Result<()> {
        let what = format!("the events {expected:?} on {}/{name}", self.namespace);
        wait_for(&what, SOON, async || {
            let reasons = self.event_reasons(name).await.map_err(|error| error.to_string())?;
            if reasons == expected { Ok(()) } else { Err(format!("{reasons:?}")) }
        })
        .await
    }

    /// The present point of the audit log.
    pub async fn mark(&self) -> anyhow::Result<Mark> {
        self.world.plane.audit().mark().await
    }

    /// Waits until the operator's calls in this namespace since `mark` are exactly these.
    pub async fn expect_calls(&self, mark: Mark, expected: &[(&str, usize)]) -> anyhow::Result<()> {
        self.world.expect_calls(mark, &self.namespace, expected).await
    }
}

/// The conditions of a credential in their order, each written `Type=Status/Reason`; an error where they
/// speak of an older generation.
pub fn conditions_of(credential: &OAuthClientCredential) -> anyhow::Result<String> {
    let generation = credential.metadata.generation;
    let status = credential.status.as_ref().context("no status")?;
    let stale = status.conditions.iter().any(|told| told.observed_generation != generation);
    ensure!(!stale && status.observed_generation == generation, "not of this generation");
    let written = |told: &Condition| format!("{}={}/{}", told.type_, told.status, told.reason);
    Ok(status.conditions.iter().map(written).collect::<Vec<_>>().join(" "))
}

/// Merges a change into a value (RFC 7386).
pub fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (key, change) in changes {
                if change.is_null() {
                    into.remove(&key);
                } else {
                    merge(into.entry(key).or_insert(Value::Null), change);
                }
            }
        }
        (into, changes) => *into = changes,
    }
}
