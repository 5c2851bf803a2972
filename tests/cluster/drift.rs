//! What others do to a managed Secret, and how it is put right: by a grant where the token is lost,
//! from what the Secret still holds otherwise.
//!
//! **Invariant:** each damage is done as an administrator would with kubectl, and grants are counted
//! where they are made, at the authorization server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use libtest_mimic::Trial;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::{
    EXPIRES_AT, EXPIRES_AT_KEY, INPUTS_VERSION, ISSUED_AT, MANAGED_BY_LABEL, MANAGED_LABEL,
    OWNER_UID, REQUEST_FINGERPRINT, REVISION, TOKEN_KEY, TOKEN_TYPE_KEY,
};
use serde_json::{Value, json};

use crate::figures::Figures;
use crate::tenant::Tenant;
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// How long a repair takes by promise; a busy machine is given [`SOON`], four times as long.
const PROMISED: Duration = Duration::from_secs(5);
const ANNOTATIONS: [&str; 7] =
    [OWNER_UID, ISSUED_AT, EXPIRES_AT, REVISION, REQUEST_FINGERPRINT, INPUTS_VERSION, TOKEN_KEY];

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("a_lost_token_is_replaced_by_one_grant", lost_token),
        suite.shared("everything_but_the_token_is_repaired_without_a_grant", repairs),
        suite.shared("whoever_goes_on_altering_the_token_is_not_answered_each_time", fight),
        suite.shared("all_annotations_lost_at_once_come_back_from_memory", lost_annotations),
        suite.own_world("annotations_lost_before_a_start_come_back_from_data", lost_while_down),
    ]
}

/// Credentials with tokens of an hour, all of whose first writes are done.
async fn settled(world: &Arc<World>, names: &[&str]) -> anyhow::Result<Tenant> {
    let tenant = Tenant::with_client_secret(world, HOUR).await?;
    for name in names {
        tenant.apply(name, json!({})).await?;
    }
    for name in names {
        tenant.wait_ready(name).await?;
        tenant.expect_events(name, &["TokenIssued"]).await?;
    }
    ensure!(tenant.token_requests().await? == names.len(), "one token request each");
    Ok(tenant)
}

/// What may happen to a token.
#[derive(Clone, Copy)]
enum Loss {
    Deleted,
    Edited,
    Removed,
    TakenOver,
}

impl Loss {
    async fn happens(self, tenant: &Tenant, name: &str) -> Outcome {
        let kubectl = async |arguments: &[&str], stdin: &str| {
            let arguments = [&["-n", &tenant.namespace], arguments].concat();
            tenant.world.plane.kubectl_with_stdin(&arguments, stdin).await.map(drop)
        };
        match self {
            Self::Deleted => kubectl(&["delete", "secret", name], "").await,
            Self::Edited => {
                let patch = json!({"stringData": {"token": "edited by hand"}}).to_string();
                kubectl(&["patch", "secret", name, "--type=merge", "-p", &patch], "").await
            }
            Self::Removed => {
                let patch = json!([{"op": "remove", "path": "/data/token"}]).to_string();
                kubectl(&["patch", "secret", name, "--type=json", "-p", &patch], "").await
            }
            Self::TakenOver => {
                let secret = json!({"apiVersion": "v1", "kind": "Secret",
                    "metadata": {"name": name}, "data": {"token": "YXBwbGllZCBieSBoYW5k"}});
                let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
                kubectl(&apply, &secret.to_string()).await
            }
        }
    }
}

async fn lost_token(world: Arc<World>) -> Outcome {
    let names = ["crm", "erp", "mail"];
    let mut figures = Figures::of("a lost token is replaced");
    for loss in [Loss::Deleted, Loss::Edited, Loss::Removed, Loss::TakenOver] {
        let tenant = settled(&world, &names).await?;
        for (index, name) in names.iter().enumerate() {
            let before = tenant.token(name).await?;
            loss.happens(&tenant, name).await?;
            let lost_at = Instant::now();
            tenant.wait_revision(name, 2).await?;
            figures.add(lost_at.elapsed());
            let token = tenant.token(name).await?;
            ensure!(token != before, "another token");
            ensure!(world.server.introspect(&token).await?.active, "which is alive");
            tenant.expect_events(name, &["SecretDriftRepaired", "TokenIssued"]).await?;
            tenant.wait_ready(name).await?;
            let made = tenant.token_requests().await?;
            ensure!(made == names.len() + index + 1, "{made} token requests");
        }
        let all = names.len() * 2;
        holds_for("no further token is asked for", Duration::from_secs(1), async || {
            let made = tenant.token_requests().await?;
            ensure!(made == all, "{made} token requests");
            Ok(())
        })
        .await?;
    }
    figures.print();
    ensure!(figures.max() < PROMISED * 4, "it took {:?}", figures.max());
    Ok(())
}

/// Fault row 53: the token is altered as soon as a new one is there.
async fn fight(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, &["crm"]).await?;
    for revision in 2..=6 {
        Loss::Edited.happens(&tenant, "crm").await?;
        tenant.wait_revision("crm", revision).await?;
    }
    Loss::Edited.happens(&tenant, "crm").await?;
    tenant.wait_condition("crm", "SecretSynced", "False", "Contended").await?;
    let ready = tenant.wait_condition("crm", "Ready", "False", "Contended").await?;
    ensure!(ready.message.contains(".metadata.managedFields[*].manager"), "{}", ready.message);
    tenant.wait_condition("crm", "Reconciling", "True", "Retrying").await?;
    // The bucket of three, and one every ten seconds, would have let a seventh pass.
    holds_for("no token is asked for", Duration::from_secs(15), async || {
        Loss::Edited.happens(&tenant, "crm").await?;
        let made = tenant.token_requests().await?;
        ensure!(made == 6, "{made} token requests");
        Ok(())
    })
    .await?;
    // Who asks for a token gets one.
    tenant.annotate("crm", "oauthcc.dev/renew-requested-at", "now").await?;
    tenant.wait_revision("crm", 7).await?;
    tenant.wait_ready("crm").await?;
    ensure!(tenant.token_requests().await? == 7, "one token request");
    Ok(())
}

/// All of a Secret that is ours to repair, and what others have added to it.
#[derive(PartialEq)]
struct Content {
    annotations: Value,
    labels: Value,
    owners: Value,
    data: Value,
}

impl Content {
    fn of(secret: &Secret) -> anyhow::Result<Self> {
        Ok(Self {
            annotations: json!(secret.annotations()),
            labels: json!(secret.labels()),
            owners: json!(secret.owner_references()),
            data: serde_json::to_value(&secret.data)?,
        })
    }

    /// What differs, without a value.
    fn difference(&self, other: &Self) -> String {
        let parts = [
            ("annotations", &self.annotations, &other.annotations),
            ("labels", &self.labels, &other.labels),
            ("ownerReferences", &self.owners, &other.owners),
            ("data", &self.data, &other.data),
        ];
        let differ = parts.into_iter().filter(|(_, one, two)| one != two);
        format!("differ: {:?}", differ.map(|(name, ..)| name).collect::<Vec<_>>())
    }
}

async fn content(tenant: &Tenant, name: &str) -> anyhow::Result<Content> {
    Content::of(&tenant.secrets().get(name).await?)
}

async fn wait_repaired(tenant: &Tenant, name: &str, expected: &Content, what: &str) -> Outcome {
    wait_for(&format!("the repair of {what}"), SOON, async || {
        let found = content(tenant, name).await?;
        ensure!(found == *expected, "{}", found.difference(expected));
        Ok(())
    })
    .await
}

/// Each way to damage one thing of Secret `crm` but its token.
fn damages() -> Vec<(String, Value)> {
    let metadata =
        |kind: &str, name: &str, value: Value| json!({"metadata": {kind: {name: value}}});
    let mut damages = Vec::new();
    for (kind, name) in [("labels", MANAGED_LABEL), ("labels", MANAGED_BY_LABEL)]
        .into_iter()
        .chain(ANNOTATIONS.map(|name| ("annotations", name)))
    {
        damages.push((format!("{name} removed"), metadata(kind, name, Value::Null)));
        damages.push((format!("{name} altered"), metadata(kind, name, json!("altered"))));
    }
    for key in [EXPIRES_AT_KEY, TOKEN_TYPE_KEY] {
        damages.push((format!("key {key} removed"), json!({"data": {key: null}})));
        damages.push((format!("key {key} altered"), json!({"stringData": {key: "altered"}})));
    }
    let no_owner = json!({"metadata": {"ownerReferences": []}});
    damages.push(("the owner reference removed".to_owned(), no_owner));
    damages
}

async fn repairs(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, &["crm"]).await?;
    let mark = tenant.mark().await?;
    let additions = json!({
        "metadata": {
            "annotations": {"example.com/note": "theirs", "oauthcc.dev/note": "theirs"},
            "labels": {"team": "sales"},
        },
        "stringData": {"theirs": "value"},
    });
    tenant.merge_secret("crm", additions).await?;
    let expected = content(&tenant, "crm").await?;
    let mut figures = Figures::of("everything but the token is repaired");
    let damages = damages();
    for (what, damage) in &damages {
        tenant.merge_secret("crm", damage.clone()).await?;
        let damaged_at = Instant::now();
        wait_repaired(&tenant, "crm", &expected, what).await?;
        figures.add(damaged_at.elapsed());
    }
    figures.print();
    ensure!(figures.max() < PROMISED * 4, "it took {:?}", figures.max());
    // Each repair reads the Secret and writes it; what was added asked for nothing.
    let count = damages.len();
    let calls = [
        ("get secrets", count),
        ("patch secrets", count),
        ("create events", 1),
        ("patch events", count - 1),
    ];
    tenant.expect_calls(mark, &calls).await?;
    ensure!(tenant.token_requests().await? == 1, "no token request");
    tenant.expect_events("crm", &["SecretDriftRepaired", "TokenIssued"]).await?;
    tenant.wait_ready("crm").await?;

    // What others have added outlives a grant too.
    Loss::Edited.happens(&tenant, "crm").await?;
    let secret = tenant.wait_revision("crm", 2).await?;
    let found = Content::of(&secret)?;
    for (what, values, name) in [
        ("annotation", &found.annotations, "example.com/note"),
        ("annotation", &found.annotations, "oauthcc.dev/note"),
        ("label", &found.labels, "team"),
        ("key", &found.data, "theirs"),
    ] {
        ensure!(values.get(name).is_some(), "the {what} {name} of others is gone");
    }
    ensure!(tenant.token_requests().await? == 2, "one token request for the token");
    Ok(())
}

fn without_annotations() -> Value {
    let all: serde_json::Map<_, _> =
        ANNOTATIONS.map(|name| (name.to_owned(), Value::Null)).into_iter().collect();
    json!({"metadata": {"annotations": all}})
}

async fn lost_annotations(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, &["crm"]).await?;
    let expected = content(&tenant, "crm").await?;
    let mark = tenant.mark().await?;
    tenant.merge_secret("crm", without_annotations()).await?;
    wait_repaired(&tenant, "crm", &expected, "all annotations").await?;
    let calls = [("get secrets", 1), ("patch secrets", 1), ("create events", 1)];
    tenant.expect_calls(mark, &calls).await?;
    ensure!(tenant.token_requests().await? == 1, "no token request");
    Ok(())
}

async fn lost_while_down(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, &["crm", "erp"]).await?;
    let before = tenant.secrets().get("crm").await?;
    let token = tenant.token("crm").await?;
    world.take_operator()?.kill();
    tenant.merge_secret("crm", without_annotations()).await?;
    // Here nothing says any more when the token expires.
    let mut nothing_left = without_annotations();
    nothing_left["data"] = json!({EXPIRES_AT_KEY: null});
    tenant.merge_secret("erp", nothing_left).await?;
    let mark = tenant.mark().await?;
    // Issue times are whole seconds: what counts as issued now is to differ from what was issued.
    let stopped_at = Timestamp::now().as_second() + 1;
    let what = "the clock to show another second";
    wait_for(what, SOON, async || Timestamp::now().as_second() >= stopped_at).await?;
    world.start_operator().await?;

    let what = "annotations made of what the Secret holds";
    let secret = wait_for(what, SOON, async || {
        let secret = tenant.secrets().get("crm").await?;
        ensure!(secret.annotations().contains_key(EXPIRES_AT), "there are none");
        anyhow::Ok(secret)
    })
    .await?;
    let annotation = |name| secret.annotations().get(name).map(String::as_str);
    ensure!(annotation(EXPIRES_AT) == before.annotations().get(EXPIRES_AT).map(String::as_str));
    ensure!(annotation(REVISION) == Some("1"), "revision {:?}", annotation(REVISION));
    ensure!(annotation(REQUEST_FINGERPRINT) == Some(""), "the fingerprint is not known");
    ensure!(annotation(INPUTS_VERSION) == Some(""), "the inputs are not known");
    let issued_at: Timestamp = annotation(ISSUED_AT).context("issued-at")?.parse()?;
    ensure!(issued_at.as_second() >= stopped_at, "it counts as issued now");
    ensure!(issued_at.subsec_nanosecond() == 0, "in whole seconds");
    ensure!(tenant.token("crm").await? == token, "the token is the same");
    tenant.wait_ready("crm").await?;
    tenant.expect_events("crm", &["SecretDriftRepaired", "TokenIssued"]).await?;

    tenant.wait_revision("erp", 2).await?;
    tenant.wait_ready("erp").await?;
    tenant.expect_events("erp", &["SecretDriftRepaired", "TokenIssued"]).await?;
    let calls = [
        // crm: the repair, then one comparison of both Secrets, since its inputs are not known.
        // erp: a repair that finds no expiry, the live look and the client Secret.
        ("get secrets", 6),
        ("patch secrets", 2),
        ("patch oauthclientcredentials/status", 2),
        ("create events", 2),
    ];
    tenant.expect_calls(mark, &calls).await?;
    ensure!(tenant.token_requests().await? == 3, "one token request, of erp alone");
    Ok(())
}
