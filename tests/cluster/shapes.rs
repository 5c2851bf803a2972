//! Secrets that are not ours at the names of targets, in every shape that people, replicators and other
//! controllers leave behind: each is told of, left as it is, costs no token request, and outlives the
//! credential unless it carried its UID as an owner reference before.
//!
//! **Invariant:** the whole object is compared, `resourceVersion` and `managedFields` included; what is
//! there before the credential may act is there in etcd, so no watch can be late.

mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use libtest_mimic::Trial;
use oauthcc_harness::audit::Mark;
use oauthcc_harness::authorization_server::Client;
use oauthcc_harness::wait::{holds_for, wait_for};
use serde_json::{Value, json};

use self::table::{After, Made, Shape, Then, shapes};
use crate::tenant::{Tenant, conditions_of, merge};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// For how long nothing may follow.
const A_WHILE: Duration = Duration::from_secs(2);
/// The garbage collector of a fresh cluster learns of a new kind after half a minute.
const COLLECTED: Duration = Duration::from_secs(90);
/// The Secret of the credentials that are not tried.
const OTHERS: &str = "client-of-others";
/// How many the specification asks for.
const AT_LEAST: usize = 50;

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![suite.shared("a_secret_that_is_not_ours_is_left_alone_in_every_shape", left_alone)]
}

type Secrets = BTreeMap<String, Secret>;

async fn left_alone(world: Arc<World>) -> Outcome {
    let stage = Stage::new(&world).await?;
    stage.make_objects().await?;
    let before = stage.secrets().await?;
    let mark = stage.tenant.mark().await?;
    stage.let_go().await?;
    stage.wait_told().await?;
    holds_for("no Secret is touched", A_WHILE, async || {
        let now = stage.secrets().await?;
        for Shape { name, .. } in &stage.shapes {
            unchanged(name, &before, &now)?;
        }
        Ok(())
    })
    .await?;
    stage.cost_nothing(mark).await?;

    stage.delete_credentials().await?;
    stage.wait_after(&before).await?;
    holds_for("nothing else goes", A_WHILE, async || {
        let now = stage.secrets().await?;
        stage.shapes.iter().try_for_each(|shape| as_expected(shape, &before, &now))
    })
    .await?;
    stage.cost_nothing(mark).await
}

/// The Secret is the same object with the same content; neither is printed, since one may hold a token.
fn unchanged(name: &str, before: &Secrets, now: &Secrets) -> Outcome {
    let before = before.get(name).with_context(|| format!("{name} was not there"))?;
    let now = now.get(name).with_context(|| format!("{name} is gone"))?;
    let version = now.resource_version();
    ensure!(now == before, "{name}: version {version:?} is written by {:?}", now.managed_fields());
    Ok(())
}

/// What became of a Secret whose credential is gone.
fn as_expected(shape: &Shape, before: &Secrets, now: &Secrets) -> Outcome {
    let name = shape.name;
    let found = now.get(name);
    if shape.after == After::Stays {
        return unchanged(name, before, now);
    }
    if shape.after == After::Collected {
        ensure!(found.is_none(), "{name} is not collected");
        return Ok(());
    }
    let (now, before) = (found.with_context(|| format!("{name} is gone"))?, &before[name]);
    ensure!(now.data == before.data && now.labels() == before.labels(), "{name} was written");
    if shape.after == After::Terminating {
        ensure!(now.metadata.deletion_timestamp.is_some(), "{name} is not deleted");
        return Ok(());
    }
    let kinds: Vec<_> = now.owner_references().iter().map(|owner| &owner.kind).collect();
    ensure!(kinds == ["ConfigMap"], "{name} is owned by {kinds:?}");
    Ok(())
}

/// One namespace with everything that the shapes need: a request would succeed but for them.
struct Stage {
    tenant: Tenant,
    shapes: Vec<Shape>,
    /// What the words of the table stand for, but for `$UID`.
    words: Vec<(&'static str, String)>,
    /// UIDs of the credentials, by name.
    uids: BTreeMap<String, String>,
}

impl Stage {
    async fn new(world: &Arc<World>) -> anyhow::Result<Self> {
        let tenant = Tenant::with_client_secret(world, HOUR).await?;
        let shapes = shapes();
        ensure!(shapes.len() >= AT_LEAST, "{} shapes", shapes.len());
        client_of_others(&tenant).await?;
        // The rivals are first, or they would wait for the older credentials.
        let rivals = shapes.iter().filter(|shape| shape.made == Made::ByRival);
        let rivals: Vec<_> = rivals.map(|s| (format!("rival-{}", s.name), s.name)).collect();
        let others = rivals.iter().map(|(name, target)| (name.as_str(), *target));
        for (name, target) in others.chain([("other", "other")]) {
            let client = json!({"name": OTHERS});
            let spec = json!({"credentialsSecretRef": client, "target": {"name": target}});
            tenant.apply(name, spec).await?;
            tenant.wait_ready(name).await?;
        }
        // Suspended, so that each has a UID that a Secret can claim before it is decided on.
        for Shape { name, .. } in &shapes {
            tenant.apply(name, json!({"suspend": true})).await?;
        }
        let all = tenant.credentials().list(&ListParams::default()).await?;
        let uids = all.iter().map(|c| (c.name_any(), c.uid().unwrap_or_default())).collect();
        let mut stage = Self { tenant, shapes, words: Vec::new(), uids };
        stage.words = stage.words().await?;
        Ok(stage)
    }

    async fn words(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let (client, namespace) = (&self.tenant.client, &self.tenant.namespace);
        let map = json!({"metadata": {"name": "map"}});
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let map = maps.create(&PostParams::default(), &serde_json::from_value(map)?).await?;
        let found = Api::<Namespace>::all(client.clone()).get(namespace).await?;
        // The longer of two words that begin alike is first.
        Ok(vec![
            ("$OTHER_UID", self.uids["other"].clone()),
            ("$MAP_UID", map.uid().context("a UID")?),
            ("$NAMESPACE_UID", found.uid().context("a UID")?),
            ("$NAMESPACE", namespace.clone()),
        ])
    }

    /// What the table says, with its words filled in.
    fn object(&self, shape: &Shape) -> anyhow::Result<Value> {
        let mut text = shape.object.to_string();
        for (word, value) in &self.words {
            text = text.replace(word, value);
        }
        Ok(serde_json::from_str(&text.replace("$UID", &self.uids[shape.name]))?)
    }

    async fn make_objects(&self) -> Outcome {
        let accounts: Api<ServiceAccount> =
            Api::namespaced(self.tenant.client.clone(), &self.tenant.namespace);
        wait_for("the ServiceAccount default", SOON, async || accounts.get("default").await)
            .await?;
        try_join_all(self.shapes.iter().map(async |shape| {
            let made = self.make(shape).await;
            made.with_context(|| format!("failed to make {}", shape.name))
        }))
        .await?;
        Ok(())
    }

    async fn make(&self, shape: &Shape) -> Outcome {
        let change = self.object(shape)?;
        let mut secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": shape.name},
            "data": {"token": "dGhlaXJz", "unrelated": "dmFsdWU="},
        });
        match shape.made {
            Made::Posted(manager) => {
                merge(&mut secret, change);
                self.post(manager, secret).await?;
            }
            Made::Applied(manager) => {
                merge(&mut secret, change);
                self.apply(shape.name, manager, &secret).await?;
            }
            Made::PostedAndApplied(manager) => {
                self.post("kubectl", secret.clone()).await?;
                merge(&mut secret, json!({"data": null}));
                merge(&mut secret, change);
                self.apply(shape.name, manager, &secret).await?;
            }
            Made::Copied(manager) | Made::CopiedWithManagers(manager) => {
                let mut copy = self.tenant.secrets().get("other").await?;
                let kept = copy.metadata.managed_fields.take();
                copy.metadata.owner_references = None;
                copy.metadata.resource_version = None;
                copy.metadata.uid = None;
                copy.metadata.name = Some(shape.name.to_owned());
                if matches!(shape.made, Made::CopiedWithManagers(_)) {
                    copy.metadata.managed_fields = kept;
                }
                let mut copy = serde_json::to_value(copy)?;
                merge(&mut copy, change);
                self.post(manager, copy).await?;
            }
            Made::ByRival => self.tenant.merge_secret(shape.name, change).await?,
        }
        self.then(shape).await
    }

    async fn post(&self, manager: &str, secret: Value) -> Outcome {
        let params =
            PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        self.tenant.secrets().create(&params, &serde_json::from_value(secret)?).await?;
        Ok(())
    }

    async fn apply(&self, name: &str, manager: &str, secret: &Value) -> Outcome {
        let params = PatchParams::apply(manager);
        self.tenant.secrets().patch(name, &params, &Patch::Apply(secret)).await?;
        Ok(())
    }

    async fn then(&self, shape: &Shape) -> Outcome {
        let (tenant, name) = (&self.tenant, shape.name);
        match shape.then {
            Then::Rests => {}
            Then::Deleted => tenant.delete_secret(name).await?,
            Then::Collected => {
                wait_for(&format!("Secret {name} to be collected"), COLLECTED, async || {
                    let found = tenant.secrets().get(name).await.ok()?;
                    found.metadata.deletion_timestamp
                })
                .await?;
            }
            Then::FilledIn => {
                wait_for(&format!("Secret {name} to be filled in"), SOON, async || {
                    let found = tenant.secrets().get(name).await.ok()?;
                    found.data.filter(|data| data.contains_key("token"))
                })
                .await?;
            }
            Then::Unrecorded => {
                tenant.merge_secret(name, json!({"metadata": {"managedFields": [{}]}})).await?;
                let found = tenant.secrets().get(name).await?;
                ensure!(found.managed_fields().is_empty(), "{name} is recorded as somebody's");
            }
        }
        Ok(())
    }

    /// The Secrets of the namespace, by name.
    async fn secrets(&self) -> anyhow::Result<Secrets> {
        let all = self.tenant.secrets().list(&ListParams::default()).await?;
        Ok(all.into_iter().map(|secret| (secret.name_any(), secret)).collect())
    }

    async fn let_go(&self) -> Outcome {
        let all = self.shapes.iter();
        try_join_all(all.map(|s| self.tenant.merge(s.name, json!({"spec": {"suspend": false}}))))
            .await?;
        Ok(())
    }

    /// Each credential says in its conditions and in an event what is in its way.
    async fn wait_told(&self) -> Outcome {
        let events = Api::<Event>::namespaced(self.tenant.client.clone(), &self.tenant.namespace);
        wait_for("every credential to tell of the Secret", SOON * 2, async || {
            let all = self.tenant.credentials().list(&ListParams::default()).await?;
            let all: BTreeMap<_, _> = all.into_iter().map(|c| (c.name_any(), c)).collect();
            let mut warned: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for event in events.list(&ListParams::default()).await? {
                let name = event.regarding.and_then(|object| object.name).unwrap_or_default();
                warned.entry(name).or_default().push(event.reason.unwrap_or_default());
            }
            for Shape { name, made, .. } in &self.shapes {
                let reason =
                    if *made == Made::ByRival { "TargetConflict" } else { "SecretNotOwned" };
                let expected = format!(
                    "Ready=False/{reason} ResolvedRefs=Unknown/Issuing \
                     RequestSucceeded=Unknown/Issuing SecretSynced=False/{reason} \
                     Reconciling=True/Retrying"
                );
                let told = conditions_of(&all[*name])?;
                ensure!(told == expected, "{name}: {told}");
                let warned = warned.get(*name).cloned().unwrap_or_default();
                ensure!(warned == ["SecretNotOwned"], "{name}: the events {warned:?}");
            }
            Ok(())
        })
        .await
    }

    /// No token was asked for, and no Secret or token of a ServiceAccount written.
    async fn cost_nothing(&self, mark: Mark) -> Outcome {
        let made = self.tenant.token_requests().await?;
        ensure!(made == 0, "{made} token requests");
        let calls = self.tenant.world.calls(mark, &self.tenant.namespace).await?;
        let is_write = |call: &str| !call.starts_with("get ") && !call.starts_with("create events");
        let allowed = ["patch oauthclientcredentials/status", "patch events"];
        let writes: Vec<_> = calls
            .iter()
            .filter(|(call, _)| is_write(call) && !allowed.contains(&call.as_str()))
            .collect();
        ensure!(writes.is_empty(), "the operator made the calls {writes:?}");
        let told = calls.iter().find(|(call, _)| call == allowed[0]).map_or(0, |(_, n)| *n);
        ensure!(
            told >= self.shapes.len(),
            "the audit log shows {told} writes of status: {calls:?}"
        );
        Ok(())
    }

    async fn delete_credentials(&self) -> Outcome {
        let api = self.tenant.credentials();
        let params = DeleteParams::default();
        try_join_all(self.shapes.iter().map(|shape| api.delete(shape.name, &params))).await?;
        wait_for("the credentials to be gone", SOON, async || {
            let left = api.list(&ListParams::default()).await?;
            let left: Vec<_> = left.iter().map(ResourceExt::name_any).collect();
            ensure!(left.iter().all(|name| !self.is_shape(name)), "{left:?} are there");
            Ok(())
        })
        .await
    }

    fn is_shape(&self, name: &str) -> bool {
        self.shapes.iter().any(|shape| shape.name == name)
    }

    /// The garbage collector has done what it has to do.
    async fn wait_after(&self, before: &Secrets) -> Outcome {
        wait_for("the garbage collector to have done its work", COLLECTED, async || {
            let now = self.secrets().await?;
            let collected = self.shapes.iter().filter(|shape| shape.after != After::Stays);
            for shape in collected {
                as_expected(shape, before, &now)?;
            }
            Ok::<_, anyhow::Error>(())
        })
        .await
    }
}

/// Another client, so that the client of those that are tried has made no request.
async fn client_of_others(tenant: &Tenant) -> Outcome {
    let id = format!("others-of-{}", tenant.namespace);
    let secret = "a secret of others, Zx9Qw7Er5Ty3Ui1Op";
    let Ok(()) = tenant.world.server.add_client(&Client::new(&id, secret)).await else {
        bail!("the client of others is refused");
    };
    let values = json!({"client-id": id, "client-secret": secret});
    tenant.apply_consenting_secret(OTHERS, &tenant.world.server.host(), values).await
}
