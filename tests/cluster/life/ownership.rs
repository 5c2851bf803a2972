//! Life steps of a target that is wanted by several, handed over, kept or restored.
//!
//! **Invariant:** a Secret of somebody else changes only once its owner has handed it over.

use std::sync::Arc;

use anyhow::Context;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::stage::{
    AGAIN, EVENT, Held, ISSUED, NOTHING, SECRET, STATUS, Stage, Steps, expect, target,
};
use crate::Outcome;
use crate::tenant::{ALL_GOOD, Tenant};
use crate::world::World;

const SAME: [(&str, Held); 1] = [("crm", Held::Same)];
const NEW: [(&str, Held); 1] = [("crm", Held::New)];
const FOREIGN: [(&str, Held); 1] = [("crm", Held::Foreign)];
const ABSENT: [(&str, Held); 1] = [("crm", Held::Absent)];
/// The target is somebody else's, and nothing was ever asked.
const TAKEN: &str = "Ready=False/SecretNotOwned ResolvedRefs=Unknown/Issuing \
    RequestSucceeded=Unknown/Issuing SecretSynced=False/SecretNotOwned Reconciling=True/Retrying";
/// The target is another credential's, and nothing was ever asked.
const RIVAL: &str = "Ready=False/TargetConflict ResolvedRefs=Unknown/Issuing \
    RequestSucceeded=Unknown/Issuing SecretSynced=False/TargetConflict Reconciling=True/Retrying";

fn plain(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}})
}

fn adopt_by(name: &str) -> [String; 5] {
    let annotation = format!("oauthcc.dev/adopt-by={name}");
    ["annotate", "--overwrite", "secret", "crm", &annotation].map(str::to_owned)
}

fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// A Secret of somebody else is handed over, with what stands in the way of that.
pub async fn hand_over(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "hand-over", &steps).await?;
    let tenant = Arc::clone(&stage.tenant);
    let mut foreign = plain("crm");
    foreign["immutable"] = json!(true);
    let edit = async {
        tenant.secrets().create(&PostParams::default(), &serde_json::from_value(foreign)?).await?;
        tenant.apply("crm", json!({})).await
    };
    let wanted = expect(TAKEN, &FOREIGN, &["SecretNotOwned"], 0, &[STATUS, EVENT]);
    stage.step("created where somebody else has a Secret", "crm", edit, wanted).await?;
    let none = expect(TAKEN, &FOREIGN, &[], 0, NOTHING);
    stage
        .kubectl("handed to a credential that there is not", "crm", &words(&adopt_by("erp")), none)
        .await?;
    let refused = "Ready=False/SecretWriteFailed ResolvedRefs=Unknown/Issuing \
        RequestSucceeded=Unknown/Issuing SecretSynced=False/SecretWriteFailed Reconciling=True/Retrying";
    // The patch is a dry run, which is refused, and tried again after 1 s, 2 s, 4 s.
    stage.retries = true;
    let dry = [SECRET, STATUS];
    let wanted = expect(refused, &FOREIGN, &[], 0, &dry);
    stage.kubectl("handed over, but immutable", "crm", &words(&adopt_by("crm")), wanted).await?;
    // A refused write is tried without effect before the next request.
    let wanted =
        expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, &[("patch secrets", 2), STATUS, EVENT]);
    stage.kubectl("deleted instead", "crm", &["delete", "secret", "crm"], wanted).await?;
    stage.retries = false;
    Ok(stage)
}

/// A Secret that others use is handed over and stays what it was beside the token.
pub async fn adoption(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "adoption", &steps).await?;
    let tenant = Arc::clone(&stage.tenant);
    let mut foreign = plain("crm");
    foreign["stringData"] = json!({"token": "pasted by hand", "theirs": "stays"});
    let edit = async {
        tenant.secrets().create(&PostParams::default(), &serde_json::from_value(foreign)?).await?;
        tenant.apply("crm", json!({})).await
    };
    let wanted = expect(TAKEN, &FOREIGN, &["SecretNotOwned"], 0, &[STATUS, EVENT]);
    stage.step("created where somebody else has a Secret", "crm", edit, wanted).await?;
    // The dry run, and the write.
    let handed = [("patch secrets", 2), STATUS, EVENT];
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, &handed);
    stage.kubectl("handed over", "crm", &words(&adopt_by("crm")), wanted).await?;
    let secret = tenant.secrets().get("crm").await?;
    let theirs = secret.data.as_ref().and_then(|data| data.get("theirs")).context("their key")?;
    anyhow::ensure!(theirs.0 == b"stays", "their key is another");
    let wanted = expect(ALL_GOOD, &SAME, &[], 0, NOTHING);
    let take_back = ["annotate", "secret", "crm", "oauthcc.dev/adopt-by-"];
    stage.kubectl("the annotation is removed", "crm", &take_back, wanted).await?;
    Ok(stage)
}

/// Two credentials with one target.
pub async fn rivals(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "rivals", &steps).await?;
    let shared = || target(&json!({"name": "crm"}));
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("the older", "older", shared(), wanted).await?;
    let wanted = expect(RIVAL, &SAME, &["SecretNotOwned"], 0, &[STATUS, EVENT]);
    stage.apply("the younger", "younger", shared(), wanted).await?;
    // The dry run, the write and the event of the one, and the status of both with the other's event.
    let both =
        [("patch secrets", 2), ("patch oauthclientcredentials/status", 2), ("create events", 2)];
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, &both);
    stage.kubectl("handed to the younger", "younger", &words(&adopt_by("younger")), wanted).await?;
    let lost = ALL_GOOD
        .replace("True/TokenValid", "False/TargetConflict")
        .replace("True/SecretSynced", "False/TargetConflict")
        + " Reconciling=True/Retrying";
    let wanted = expect(&lost, &SAME, &["SecretNotOwned"], 0, NOTHING);
    let nothing = async { Ok(()) };
    stage.step("the older has lost it", "older", nothing, wanted).await?;
    let elsewhere = [("crm", Held::Same)];
    let wanted = expect(ALL_GOOD, &elsewhere, &[], 1, &[SECRET, STATUS, AGAIN]);
    stage
        .apply("the older goes elsewhere", "older", target(&json!({"name": "other"})), wanted)
        .await?;
    Ok(stage)
}

/// What is left after the credential.
pub async fn retention(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "retention", &steps).await?;
    let retain = || target(&json!({"deletionPolicy": "Retain"}));
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created to be retained", "crm", retain(), wanted).await?;
    owners(&stage.tenant, 0).await?;
    let rewritten = expect(ALL_GOOD, &SAME, &[], 0, &[SECRET, STATUS]);
    stage.apply("not to be retained", "crm", json!({}), rewritten).await?;
    owners(&stage.tenant, 1).await?;
    stage.apply("to be retained again", "crm", retain(), rewritten).await?;
    owners(&stage.tenant, 0).await?;
    let wanted = expect("", &SAME, &[], 0, NOTHING);
    stage.kubectl("deleted", "crm", &["delete", "occ", "crm"], wanted).await?;
    let wanted = expect(TAKEN, &SAME, &["SecretNotOwned"], 0, &[STATUS, EVENT]);
    stage.forget_events("crm").await?;
    stage.apply("created again", "crm", retain(), wanted).await?;
    let wanted =
        expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, &[("patch secrets", 2), STATUS, EVENT]);
    stage
        .kubectl("what was retained is handed over", "crm", &words(&adopt_by("crm")), wanted)
        .await?;
    owners(&stage.tenant, 0).await?;
    let wanted = expect("", &ABSENT, &[], 0, NOTHING);
    let tenant = Arc::clone(&stage.tenant);
    let edit = async {
        tenant.delete("crm").await?;
        tenant.delete_secret("crm").await
    };
    stage.step("deleted, and the Secret by hand", "crm", edit, wanted).await?;
    Ok(stage)
}

async fn owners(tenant: &Tenant, expected: usize) -> Outcome {
    let owners = tenant.secrets().get("crm").await?.owner_references().len();
    anyhow::ensure!(owners == expected, "{owners} owners");
    Ok(())
}

/// A backup is restored: new UIDs everywhere, no status, and managed Secrets that nobody owns.
pub async fn backup(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "backup", &steps).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created", "crm", json!({}), wanted).await?;
    let mut saved = stage.tenant.secrets().get("crm").await?;
    let wanted = expect("", &ABSENT, &[], 0, NOTHING);
    stage.kubectl("everything is lost", "crm", &["delete", "occ", "crm"], wanted).await?;
    saved.metadata.resource_version = None;
    saved.metadata.uid = None;
    saved.metadata.owner_references = None;
    saved.metadata.managed_fields = None;
    stage.forget_events("crm").await?;
    let tenant = Arc::clone(&stage.tenant);
    let edit = async {
        tenant.secrets().create(&PostParams::default(), &saved).await?;
        tenant.apply("crm", json!({})).await
    };
    let wanted = expect(TAKEN, &SAME, &["SecretNotOwned"], 0, &[STATUS, EVENT]);
    stage.step("restored", "crm", edit, wanted).await?;
    let handed =
        expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, &[("patch secrets", 2), STATUS, EVENT]);
    stage.kubectl("its Secret is handed over", "crm", &words(&adopt_by("crm")), handed).await?;
    Ok(stage)
}

/// Deleted and created again.
pub async fn deletion(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "deletion", &steps).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created", "crm", json!({}), wanted).await?;
    let wanted = expect("", &ABSENT, &[], 0, NOTHING);
    stage.kubectl("deleted", "crm", &["delete", "occ", "crm"], wanted).await?;
    stage.forget_events("crm").await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created again", "crm", json!({}), wanted).await?;
    let wanted = expect("", &SAME, &[], 0, NOTHING);
    let orphan = ["delete", "occ", "crm", "--cascade=orphan"];
    stage.kubectl("deleted without its Secret", "crm", &orphan, wanted).await?;
    stage.forget_events("crm").await?;
    let wanted = expect(TAKEN, &SAME, &["SecretNotOwned"], 0, &[STATUS, EVENT]);
    stage.apply("created once more", "crm", json!({}), wanted).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.kubectl("the orphan is deleted", "crm", &["delete", "secret", "crm"], wanted).await?;
    let tenant = Arc::clone(&stage.tenant);
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "secrets"},
        "spec": {"hard": {"count/secrets": "0"}}});
    let edit = async {
        let arguments = ["-n", &tenant.namespace, "create", "-f", "-"];
        tenant.world.plane.kubectl_with_stdin(&arguments, &quota.to_string()).await.map(drop)
    };
    let wanted = expect(ALL_GOOD, &SAME, &[], 0, NOTHING);
    stage.step("a quota that is full", "crm", edit, wanted).await?;
    Ok(stage)
}
