//! Life steps of a credential that has its target to itself: creation in any order, suspension, edits.
//!
//! **Invariant:** no edit that leaves the token as it was asked for costs a token request.

use std::sync::Arc;

use oauthcc_harness::authorization_server::Failure;
use serde_json::json;

use super::stage::{
    AGAIN, DELETION, EVENT, Held, ISSUED, NOTHING, SECRET, STATUS, Stage, Steps, expect, target,
};
use crate::tenant::{ALL_GOOD, CLIENT_SECRET};
use crate::world::World;

const NO_TOKEN: [(&str, Held); 1] = [("crm", Held::Absent)];
const SAME: [(&str, Held); 1] = [("crm", Held::Same)];
const NEW: [(&str, Held); 1] = [("crm", Held::New)];
const SUSPENDED: &str = "Ready=False/Suspended ResolvedRefs=Unknown/Issuing \
    RequestSucceeded=Unknown/Issuing SecretSynced=Unknown/Issuing";
/// A repair that undoes what somebody did.
const REPAIRED: [(&str, usize); 2] = [SECRET, EVENT];

/// Nothing is there, then everything, in every order.
pub async fn creation(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::bare(&world, "creation", &steps).await?;
    let host = world.server.host();
    let missing = "Ready=False/CredentialsNotFound ResolvedRefs=False/CredentialsNotFound \
        RequestSucceeded=Unknown/Issuing SecretSynced=Unknown/Issuing Reconciling=True/Retrying";
    let wanted = expect(missing, &NO_TOKEN, &["CredentialsNotFound"], 0, &[STATUS, EVENT]);
    stage.apply("the credential before its client Secret", "crm", json!({}), wanted).await?;
    let unconsented = missing.replace("CredentialsNotFound", "EndpointNotAllowed");
    let (id, secret) = (stage.tenant.client_id.clone(), stage.tenant.client_secret.clone());
    let client = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
            "stringData": {"client-id": id, "client-secret": secret}})
    };
    let wanted = expect(&unconsented, &NO_TOKEN, &[], 0, &[STATUS]);
    stage.create("the client Secret without consent", "crm", client(CLIENT_SECRET), wanted).await?;
    let consent = format!("oauthcc.dev/allowed-token-hosts={host}");
    let annotate = ["annotate", "secret", CLIENT_SECRET, &consent];
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.kubectl("consent is given", "crm", &annotate, wanted).await?;
    let withdrawn = ALL_GOOD.replace("True/ResolvedRefs", "False/EndpointNotAllowed");
    let remove = ["annotate", "secret", CLIENT_SECRET, "oauthcc.dev/allowed-token-hosts-"];
    let wanted = expect(&withdrawn, &SAME, &[], 0, &[STATUS]);
    stage.kubectl("consent is withdrawn", "crm", &remove, wanted).await?;
    let wanted = expect(ALL_GOOD, &SAME, &[], 0, &[STATUS]);
    stage.kubectl("consent is given again", "crm", &annotate, wanted).await?;
    let lost = ALL_GOOD.replace("True/ResolvedRefs", "False/CredentialsNotFound");
    let wanted = expect(&lost, &SAME, &[], 0, &[STATUS, AGAIN]);
    stage
        .kubectl(
            "the client Secret is deleted",
            "crm",
            &["delete", "secret", CLIENT_SECRET],
            wanted,
        )
        .await?;
    let tenant = Arc::clone(&stage.tenant);
    let again = async { tenant.apply_client_secret(&tenant.client_secret).await };
    let wanted = expect(ALL_GOOD, &SAME, &[], 0, &[STATUS]);
    stage.step("it is created again with the same values", "crm", again, wanted).await?;
    Ok(stage)
}

/// Suspended from the start, resumed, suspended with a token.
pub async fn suspension(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "suspension", &steps).await?;
    let suspended = json!({"suspend": true});
    let wanted = expect(SUSPENDED, &NO_TOKEN, &[], 0, &[STATUS]);
    stage.apply("created suspended", "crm", suspended.clone(), wanted).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("resumed", "crm", json!({}), wanted).await?;
    let wanted = expect(ALL_GOOD, &SAME, &[], 0, &[STATUS]);
    stage.apply("suspended with a token", "crm", suspended.clone(), wanted).await?;
    let unlabel = ["label", "secret", "crm", "oauthcc.dev/managed-"];
    let wanted = expect(ALL_GOOD, &SAME, &[], 0, NOTHING);
    stage.kubectl("a label is removed while suspended", "crm", &unlabel, wanted).await?;
    let renamed = json!({"suspend": true, "target": {"name": "elsewhere"}});
    let none = "Ready=False/Suspended ResolvedRefs=True/ResolvedRefs \
        RequestSucceeded=True/RequestSucceeded SecretSynced=Unknown/Issuing";
    let both = [("crm", Held::Same), ("elsewhere", Held::Absent)];
    let wanted = expect(none, &both, &[], 0, &[STATUS]);
    stage.apply("renamed while suspended", "crm", renamed, wanted).await?;
    let wanted = expect(ALL_GOOD, &SAME, &[], 0, &[STATUS]);
    stage.apply("renamed back while suspended", "crm", suspended, wanted).await?;
    let wanted = expect(ALL_GOOD, &SAME, &["SecretDriftRepaired"], 0, &[SECRET, STATUS, EVENT]);
    stage.apply("resumed, and the label comes back", "crm", json!({}), wanted).await?;
    Ok(stage)
}

/// What is asked for.
pub async fn requests(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "spec", &steps).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created", "crm", json!({}), wanted).await?;
    let changed = expect(ALL_GOOD, &NEW, &[], 1, &[SECRET, STATUS]);
    stage.apply("other scopes", "crm", json!({"scopes": ["orders.read"]}), changed).await?;
    stage.apply("no scopes", "crm", json!({}), changed).await?;
    let untouched = expect(ALL_GOOD, &SAME, &[], 0, &[STATUS]);
    let earlier = json!({"rotation": {"renewBeforePercentage": 50}});
    stage.apply("an earlier renewal", "crm", earlier, untouched).await?;
    stage.apply("the usual renewal", "crm", json!({}), untouched).await?;
    let timeout = json!({"request": {"timeout": "20s"}});
    stage.apply("another timeout", "crm", timeout, untouched).await?;
    let ignored = expect(ALL_GOOD, &SAME, &[], 0, NOTHING);
    let label = ["label", "occ", "crm", "team=sales"];
    stage.kubectl("a label of the credential", "crm", &label, ignored).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["RenewRequested"], 1, ISSUED);
    stage.renew("a new token is asked for", "crm", "one", wanted).await?;
    let unasked = ["annotate", "occ", "crm", "oauthcc.dev/renew-requested-at-"];
    stage.kubectl("that is taken back", "crm", &unasked, ignored).await?;
    Ok(stage)
}

/// The managed Secret under other names.
pub async fn renames(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "rename", &steps).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created", "crm", json!({}), wanted).await?;
    let moved = [SECRET, STATUS, DELETION];
    let at = |name: &str| target(&json!({"name": name}));
    let there = [("elsewhere", Held::Same), ("crm", Held::Absent)];
    stage
        .apply("renamed", "crm", at("elsewhere"), expect(ALL_GOOD, &there, &[], 0, &moved))
        .await?;
    let back = [("crm", Held::Same), ("elsewhere", Held::Absent)];
    stage.apply("renamed back", "crm", json!({}), expect(ALL_GOOD, &back, &[], 0, &moved)).await?;
    let other = target(&json!({"name": "third", "tokenKey": "bearer",
        "additionalOutputFormats": [{"key": "header", "type": "AuthorizationHeader"}]}));
    let gone = [("crm", Held::Absent)];
    let wanted = expect(ALL_GOOD, &gone, &[], 0, &moved);
    stage.apply("renamed with another key and a form", "crm", other, wanted).await?;
    stage
        .apply("and back", "crm", at("elsewhere"), expect(ALL_GOOD, &there, &[], 0, &moved))
        .await?;
    let foreign = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "taken"}});
    let wanted = expect(ALL_GOOD, &there, &[], 0, NOTHING);
    stage.create("somebody else has a Secret", "crm", foreign, wanted).await?;
    let taken = ALL_GOOD
        .replace("True/TokenValid", "False/SecretNotOwned")
        .replace("True/SecretSynced", "False/SecretNotOwned")
        + " Reconciling=True/Retrying";
    let kept = [("elsewhere", Held::Same), ("taken", Held::Foreign)];
    let wanted = expect(&taken, &kept, &["SecretNotOwned"], 0, &[STATUS, EVENT]);
    stage.apply("renamed to that", "crm", at("taken"), wanted).await?;
    let wanted = expect(ALL_GOOD, &[("elsewhere", Held::Same)], &[], 0, &[STATUS]);
    stage.apply("renamed back from that", "crm", at("elsewhere"), wanted).await?;
    let wanted = expect(&taken, &kept, &[], 0, &[STATUS, AGAIN]);
    stage.apply("renamed to that once more", "crm", at("taken"), wanted).await?;
    let free = [("taken", Held::Same), ("elsewhere", Held::Absent)];
    let wanted = expect(ALL_GOOD, &free, &[], 0, &moved);
    stage
        .kubectl("that is deleted by its owner", "crm", &["delete", "secret", "taken"], wanted)
        .await?;
    let scopes = json!({"scopes": ["orders.read"], "target": {"name": "crm"}});
    let both = [("crm", Held::New), ("taken", Held::Absent)];
    let wanted = expect(
        ALL_GOOD,
        &both,
        &[],
        1,
        &[("patch secrets", 2), ("patch oauthclientcredentials/status", 2), DELETION],
    );
    stage.apply("renamed with other scopes", "crm", scopes, wanted).await?;
    Ok(stage)
}

/// The type of the managed Secret, which Kubernetes never changes.
pub async fn types(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "type", &steps).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created", "crm", json!({}), wanted).await?;
    // Refused as it is, deleted, created.
    let anew = expect(ALL_GOOD, &SAME, &[], 0, &[("patch secrets", 2), STATUS, DELETION]);
    let basic = target(&json!({"type": "kubernetes.io/basic-auth",
        "additionalOutputFormats": [{"key": "password", "type": "BasicAuth"}]}));
    stage.apply("basic-auth", "crm", basic, anew).await?;
    let docker = target(&json!({"type": "kubernetes.io/dockerconfigjson",
        "additionalOutputFormats": [{"key": ".dockerconfigjson", "type": "DockerConfigJSON",
            "dockerConfigJSON": {"registries": ["registry.example.com"]}}]}));
    stage.apply("dockerconfigjson", "crm", docker, anew).await?;
    stage.apply("Opaque again", "crm", json!({}), anew).await?;
    let both = json!({"scopes": ["orders.read"], "target": {"type": "kubernetes.io/basic-auth",
        "additionalOutputFormats": [{"key": "password", "type": "BasicAuth"}]}});
    let wanted = expect(
        ALL_GOOD,
        &NEW,
        &[],
        1,
        &[("patch secrets", 3), ("patch oauthclientcredentials/status", 2), DELETION],
    );
    stage.apply("basic-auth with other scopes", "crm", both, wanted).await?;
    Ok(stage)
}

/// The content of the managed Secret.
pub async fn contents(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "content", &steps).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created", "crm", json!({}), wanted).await?;
    let rewritten = expect(ALL_GOOD, &SAME, &[], 0, &[SECRET, STATUS]);
    let format =
        |kind: &str| target(&json!({"additionalOutputFormats": [{"key": "copy", "type": kind}]}));
    stage.apply("a form", "crm", format("Raw"), rewritten).await?;
    stage.apply("another form under its key", "crm", format("JSON"), rewritten).await?;
    stage.apply("no form", "crm", json!({}), rewritten).await?;
    let template = target(&json!({"template": {"metadata": {"labels": {"team": "sales"}},
        "data": {"header": "Bearer {{ token }}"}}}));
    stage.apply("a template", "crm", template, rewritten).await?;
    let broken = target(&json!({"template": {"data": {"header": "{{ nothing }}"}}}));
    let invalid = ALL_GOOD.replace("True/SecretSynced", "False/TemplateInvalid");
    let wanted = expect(&invalid, &SAME, &[], 0, &[STATUS]);
    stage.apply("a template that can't be rendered", "crm", broken, wanted).await?;
    stage.apply("no template", "crm", json!({}), rewritten).await?;
    let elsewhere = expect(ALL_GOOD, &[], &[], 0, &[SECRET, STATUS]);
    stage
        .apply("another key of the token", "crm", target(&json!({"tokenKey": "bearer"})), elsewhere)
        .await?;
    stage.apply("the usual key of the token", "crm", json!({}), rewritten).await?;
    Ok(stage)
}

/// What others do to the managed Secret.
pub async fn drift(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "drift", &steps).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created", "crm", json!({}), wanted).await?;
    let first = expect(ALL_GOOD, &SAME, &["SecretDriftRepaired"], 0, &REPAIRED);
    let unlabel = ["label", "secret", "crm", "oauthcc.dev/managed-"];
    stage.kubectl("a label is removed", "crm", &unlabel, first).await?;
    let again = expect(ALL_GOOD, &SAME, &[], 0, &[SECRET, AGAIN]);
    let edit = ["annotate", "--overwrite", "secret", "crm", "oauthcc.dev/expires-at=never"];
    stage.kubectl("an annotation is altered", "crm", &edit, again).await?;
    let ignored = expect(ALL_GOOD, &SAME, &[], 0, NOTHING);
    let label = ["label", "secret", "crm", "team=sales"];
    stage.kubectl("a label of somebody else is added", "crm", &label, ignored).await?;
    let add = |key: &str, value: &str| json!({"stringData": {key: value}}).to_string();
    let foreign = add("extra", "theirs");
    stage.kubectl("a key of somebody else is added", "crm", &patch(&foreign), ignored).await?;
    let granted = expect(ALL_GOOD, &NEW, &[], 1, &[SECRET, STATUS, AGAIN]);
    let altered = add("token", "altered");
    stage.kubectl("the token is altered", "crm", &patch(&altered), granted).await?;
    stage.kubectl("the Secret is deleted", "crm", &["delete", "secret", "crm"], granted).await?;
    Ok(stage)
}

fn patch(patch: &str) -> [&str; 6] {
    ["patch", "secret", "crm", "--type=merge", "-p", patch]
}

/// Errors that a person puts right.
pub async fn errors(world: Arc<World>, steps: Arc<Steps>) -> anyhow::Result<Stage> {
    let mut stage = Stage::new(&world, "errors", &steps).await?;
    let wanted = expect(ALL_GOOD, &NEW, &["TokenIssued"], 1, ISSUED);
    stage.apply("created", "crm", json!({}), wanted).await?;
    let outdated = "Ready=False/TokenOutdated ResolvedRefs=True/ResolvedRefs \
        RequestSucceeded=False/InvalidScope SecretSynced=True/SecretSynced Stalled=True/InvalidScope";
    let wanted = expect(outdated, &SAME, &["TokenRequestFailed"], 1, &[STATUS, EVENT]);
    let tenant = Arc::clone(&stage.tenant);
    let refusal = Failure::new(400, r#"{"error":"invalid_scope"}"#);
    let edit = async {
        world.server.fail_with(&tenant.client_id, &refusal).await?;
        tenant.apply("crm", json!({"scopes": ["orders.write"]})).await
    };
    stage.step("a scope that is refused", "crm", edit, wanted).await?;
    world.server.clear_failure(&stage.tenant.client_id).await?;
    let wanted = expect(ALL_GOOD, &SAME, &[], 0, &[STATUS]);
    stage.apply("back", "crm", json!({}), wanted).await?;
    Ok(stage)
}
