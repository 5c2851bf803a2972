//! The managed Secret in the forms that its consumers read: what the real API server stores, and what
//! an edit or drift of it costs; `consumers.rs` shows what they make of it.
//!
//! **Invariant:** no form costs a token request; calls are counted in the audit log, and grants at the
//! authorization server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use libtest_mimic::Trial;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::OUTPUT_VERSION;
use serde_json::{Value, json};

use crate::tenant::{Tenant, token_of};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// A write from the token that is there, and what is told of it.
pub const REPAIR: [(&str, usize); 3] =
    [("get secrets", 1), ("patch secrets", 1), ("patch oauthclientcredentials/status", 1)];

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("formats_are_written_with_the_token_and_renewed_with_it", every_form),
        suite.shared("formats_make_the_types_of_secrets_that_kubernetes_checks", secret_types),
        suite.shared("formats_that_drift_are_repaired_without_a_grant", drift),
        suite.shared("formats_are_edited_by_one_write_and_no_grant", edits),
        suite.shared("formats_that_can_t_be_written_ask_for_nothing", invalid),
        suite.shared("formats_that_this_token_can_t_have_keep_the_grant", refused_at_the_write),
    ]
}

/// A credential `crm` with this target, whose first writes are done.
pub async fn settled(world: &Arc<World>, target: Value) -> anyhow::Result<Tenant> {
    let tenant = Tenant::with_client_secret(world, HOUR).await?;
    tenant.apply("crm", json!({ "target": target })).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_events("crm", &["TokenIssued"]).await?;
    Ok(tenant)
}

fn texts(secret: &Secret) -> anyhow::Result<BTreeMap<String, String>> {
    let data = secret.data.clone().unwrap_or_default().into_iter();
    data.map(|(key, value)| Ok((key, String::from_utf8(value.0)?))).collect()
}

pub async fn read(tenant: &Tenant) -> anyhow::Result<(Secret, BTreeMap<String, String>)> {
    let secret = tenant.secrets().get("crm").await?;
    let texts = texts(&secret)?;
    Ok((secret, texts))
}

fn all_forms() -> Value {
    json!({
        "additionalOutputFormats": [
            {"key": "raw", "type": "Raw"},
            {"key": "header", "type": "AuthorizationHeader"},
            {"key": "password", "type": "BasicAuth", "basicAuth": {"username": "bot"}},
            {"key": ".netrc", "type": "Netrc", "netrc": {"machine": "git.example.com", "login": "bot"}},
            {"key": "config.json", "type": "DockerConfigJSON",
                "dockerConfigJSON": {"registries": ["registry.example.com"], "username": "bot"}},
            {"key": "token.json", "type": "JSON"},
            {"key": ".env", "type": "Env", "env": {"name": "API_TOKEN"}},
        ],
        "template": {
            "metadata": {"labels": {"team": "sales"}, "annotations": {"example.com/note": "for crm"}},
            "data": {"pip.conf": "[global]\nindex-url = https://bot:{{ token }}@pypi.example.com/\n"},
        },
    })
}

/// What every key must hold, given the token and its expiry.
fn expected(secret: &Secret) -> anyhow::Result<BTreeMap<String, String>> {
    let token = token_of(secret)?;
    let annotation = |name: &str| secret.annotations().get(name).cloned().context("an annotation");
    let (issued, expires) =
        (annotation("oauthcc.dev/issued-at")?, annotation("oauthcc.dev/expires-at")?);
    let revision: i64 = annotation("oauthcc.dev/revision")?.parse()?;
    let epoch = expires.parse::<jiff::Timestamp>()?.as_second();
    let auth = STANDARD.encode(format!("bot:{token}"));
    let docker = format!(
        r#"{{"auths":{{"registry.example.com":{{"username":"bot","password":"{token}","auth":"{auth}"}}}}}}"#
    );
    let object = format!(
        r#"{{"token":"{token}","tokenType":"Bearer","issuedAt":"{issued}","expiresAt":"{expires}","expiresAtEpoch":{epoch},"revision":{revision}}}"#
    );
    let pip = format!("[global]\nindex-url = https://bot:{token}@pypi.example.com/\n");
    Ok([
        ("token", token.clone()),
        ("expires-at", expires),
        ("token-type", "Bearer".to_owned()),
        ("raw", token.clone()),
        ("header", format!("Authorization: Bearer {token}")),
        ("username", "bot".to_owned()),
        ("password", token.clone()),
        (".netrc", format!("machine git.example.com login bot password {token}")),
        ("config.json", docker),
        ("token.json", object),
        (".env", format!("API_TOKEN={token}\n")),
        ("pip.conf", pip),
    ]
    .map(|(key, text)| (key.to_owned(), text))
    .into())
}

async fn every_form(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, all_forms()).await?;
    let (secret, texts) = read(&tenant).await?;
    ensure!(texts == expected(&secret)?, "the keys are {:?}", texts.keys());
    ensure!(secret.type_.as_deref() == Some("Opaque"), "{:?}", secret.type_);
    ensure!(secret.labels().get("team").map(String::as_str) == Some("sales"), "the label");
    let note = secret.annotations().get("example.com/note").map(String::as_str);
    ensure!(note == Some("for crm"), "the annotation");
    // A renewal changes token and forms in one write.
    let mark = tenant.mark().await?;
    tenant.annotate("crm", "oauthcc.dev/renew-requested-at", "now").await?;
    let renewed = tenant.wait_revision("crm", 2).await?;
    ensure!(token_of(&renewed)? != token_of(&secret)?, "another token");
    ensure!(self::texts(&renewed)? == expected(&renewed)?, "and every form of it");
    let calls = [REPAIR.as_slice(), &[("create events", 1)]].concat();
    tenant.expect_calls(mark, &calls).await?;
    ensure!(tenant.token_requests().await? == 2, "two token requests");
    Ok(())
}

async fn secret_types(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let docker = json!({
        "type": "kubernetes.io/dockerconfigjson",
        "additionalOutputFormats": [{"key": ".dockerconfigjson", "type": "DockerConfigJSON",
            "dockerConfigJSON": {"registries": ["a.example.com", "b.example.com:5000"]}}],
    });
    let basic = json!({
        "type": "kubernetes.io/basic-auth",
        "additionalOutputFormats": [{"key": "password", "type": "BasicAuth"}],
    });
    for (name, target, kind) in [
        ("docker", docker, "kubernetes.io/dockerconfigjson"),
        ("basic", basic, "kubernetes.io/basic-auth"),
    ] {
        tenant.apply(name, json!({ "target": target })).await?;
        tenant.wait_ready(name).await?;
        let secret = tenant.secrets().get(name).await?;
        ensure!(secret.type_.as_deref() == Some(kind), "{:?}", secret.type_);
        let texts = texts(&secret)?;
        let token = token_of(&secret)?;
        if name == "basic" {
            ensure!(texts["username"] == "oauth2" && texts["password"] == token, "{name}");
            continue;
        }
        let config: Value = serde_json::from_str(&texts[".dockerconfigjson"])?;
        for registry in ["a.example.com", "b.example.com:5000"] {
            let auth = config["auths"][registry]["auth"].as_str().context("auth")?;
            let pair = String::from_utf8(STANDARD.decode(auth)?)?;
            ensure!(pair == format!("oauth2:{token}"), "the pair for {registry}");
        }
    }
    // A renewal writes a Secret of its type again.
    tenant.annotate("docker", "oauthcc.dev/renew-requested-at", "now").await?;
    tenant.wait_revision("docker", 2).await?;
    tenant.wait_ready("docker").await
}

async fn drift(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, all_forms()).await?;
    let (before, texts) = read(&tenant).await?;
    let metadata =
        |kind: &str, name: &str, value: Value| json!({"metadata": {kind: {name: value}}});
    let mut damages = vec![
        metadata("labels", "team", Value::Null),
        metadata("labels", "team", json!("altered")),
        metadata("annotations", "example.com/note", Value::Null),
        metadata("annotations", "example.com/note", json!("altered")),
    ];
    for key in texts.keys().filter(|key| *key != "token") {
        damages.push(json!({"data": {key: null}}));
        damages.push(json!({"stringData": {key: "altered"}}));
    }
    let mark = tenant.mark().await?;
    for damage in &damages {
        tenant.merge_secret("crm", damage.clone()).await?;
        wait_for(&format!("the repair of {damage}"), SOON, async || {
            let (secret, found) = read(&tenant).await?;
            ensure!(found == texts, "the keys are {:?}", found.keys());
            ensure!(secret.labels() == before.labels(), "labels");
            ensure!(secret.annotations() == before.annotations(), "annotations");
            Ok(())
        })
        .await?;
    }
    let count = damages.len();
    let calls = [
        ("get secrets", count),
        ("patch secrets", count),
        ("create events", 1),
        ("patch events", count - 1),
    ];
    tenant.expect_calls(mark, &calls).await?;
    ensure!(tenant.token_requests().await? == 1, "no token request");
    Ok(())
}

async fn edits(world: Arc<World>) -> Outcome {
    let tenant = settled(&world, json!({})).await?;
    let (_, plain) = read(&tenant).await?;
    let token = plain["token"].clone();
    let env = |name: &str| json!([{"key": "env", "type": "Env", "env": {"name": name}}]);
    let template =
        |text: &str| json!({"metadata": {"labels": {"team": text}}, "data": {"t": text}});
    for (what, target, key, text, calls) in [
        ("added", json!({"additionalOutputFormats": env("A")}), "env", Some("A={}\n"), &REPAIR[..]),
        ("edited", json!({"additionalOutputFormats": env("B")}), "env", Some("B={}\n"), &REPAIR),
        ("a template", json!({"template": template("one")}), "t", Some("one"), &REPAIR),
        ("its text", json!({"template": template("two")}), "t", Some("two"), &REPAIR),
        // Another edit of a credential with forms writes nothing but the status.
        ("the rest", json!({"tokenKey": "token"}), "t", Some("two"), &REPAIR[2..]),
        ("no form", json!({"additionalOutputFormats": null}), "env", None, &REPAIR),
        ("no template", json!({"template": null}), "t", None, &REPAIR),
    ] {
        let mark = tenant.mark().await?;
        tenant.merge("crm", json!({"spec": {"target": target}})).await?;
        tenant.wait_ready("crm").await?;
        tenant.expect_calls(mark, calls).await.with_context(|| what.to_owned())?;
        let (secret, texts) = read(&tenant).await?;
        let expected = text.map(|text| text.replace("{}", &token));
        ensure!(texts.get(key) == expected.as_ref(), "{what}: the key {key}");
        ensure!(texts["token"] == token, "{what}: the same token");
        let asked = texts.len() > plain.len();
        ensure!(secret.annotations().contains_key(OUTPUT_VERSION) == asked, "{what}: its version");
        ensure!(
            secret.labels().contains_key("team") == texts.contains_key("t"),
            "{what}: its label"
        );
    }
    let (_, texts) = read(&tenant).await?;
    ensure!(texts == plain, "as at first: {:?}", texts.keys());
    let calls = tenant.mark().await?;
    holds_for("nothing else is written", Duration::from_secs(2), async || {
        let made = tenant.world.calls(calls, &tenant.namespace).await?;
        ensure!(made.is_empty(), "{made:?}");
        Ok(())
    })
    .await?;
    ensure!(tenant.token_requests().await? == 1, "no token request");
    tenant.expect_events("crm", &["TokenIssued"]).await
}

async fn invalid(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let label = |name: &str| json!({"template": {"metadata": {"labels": {name: "true"}}}});
    let targets = [
        json!({"template": {"data": {"a": "{{ nothing }}"}}}),
        json!({"template": {"data": {"a b": "x"}}}),
        // What the schema can't look at: any subdomain, and how a name is spelled.
        label("new.emberstack.com/reflects"),
        label("a/b/c"),
    ];
    for (number, target) in targets.into_iter().enumerate() {
        let name = format!("bad-{number}");
        tenant.apply(&name, json!({ "target": target })).await?;
        let told = tenant.wait_condition(&name, "SecretSynced", "False", "TemplateInvalid").await?;
        ensure!(told.message.contains("spec.target.template"), "{}", told.message);
        tenant.wait_condition(&name, "Ready", "False", "TemplateInvalid").await?;
        ensure!(tenant.secrets().get_opt(&name).await?.is_none(), "{name} has no Secret");
    }
    ensure!(tenant.token_requests().await? == 0, "no token request");
    // Corrected, it asks; broken again, the token stays.
    let good = json!({"spec": {"target": {"template": {"data": {"a": "{{ revision }}"}}}}});
    tenant.merge("bad-0", good).await?;
    tenant.wait_ready("bad-0").await?;
    let token = tenant.token("bad-0").await?;
    // It follows the status, and is no call of what comes.
    tenant.expect_events("bad-0", &["TokenIssued"]).await?;
    let mark = tenant.mark().await?;
    let broken = json!({"spec": {"target": {"template": {"data": {"a": "{{ debug() }}"}}}}});
    tenant.merge("bad-0", broken).await?;
    tenant.wait_condition("bad-0", "SecretSynced", "False", "TemplateInvalid").await?;
    tenant.wait_ready("bad-0").await?;
    tenant.expect_calls(mark, &REPAIR[2..]).await?;
    ensure!(tenant.token("bad-0").await? == token, "the old token stays");
    ensure!(tenant.token_requests().await? == 1, "one token request");
    Ok(())
}

/// A text that is short enough with the token that a template is tried with, and too long with this one.
async fn refused_at_the_write(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let text =
        format!("{{% for a in '{}' %}}{}{{% endfor %}}", "a".repeat(400), "{{ token }}".repeat(5));
    let mark = tenant.mark().await?;
    tenant.apply("crm", json!({"target": {"template": {"data": {"a": text}}}})).await?;
    let told = tenant.wait_condition("crm", "SecretSynced", "False", "TemplateInvalid").await?;
    ensure!(told.message.contains("more than 65536 bytes"), "{}", told.message);
    // The live look, the client Secret, and what is told: nothing is sent to be written.
    let calls = [("get secrets", 2), ("patch oauthclientcredentials/status", 1)];
    tenant.expect_calls(mark, &calls).await?;
    let good = json!({"spec": {"target": {"template": {"data": {"a": "{{ token }}"}}}}});
    tenant.merge("crm", good).await?;
    tenant.wait_ready("crm").await?;
    ensure!(tenant.token_requests().await? == 1, "the token that was granted is written");
    tenant.expect_events("crm", &["TokenIssued"]).await
}
