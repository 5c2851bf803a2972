//! What an older operator left behind is taken over as it is: the fixture in `tests/fixtures/upgrade`
//! was written by a build without most fields of the spec.
//!
//! **Invariant:** nothing listens at the fixture's endpoint, so a token request would fail and show.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use libtest_mimic::Trial;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::{EXPIRES_AT, EXPIRES_AT_KEY, FIELD_MANAGER};
use serde_json::{Value, json};

use crate::metrics::scrape;
use crate::tenant::Tenant;
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// When the fixture's tokens were issued.
const ISSUED_AT: &str = "2026-11-25T03:29:06Z";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![suite.alone("tokens_of_an_older_operator_are_kept_without_a_request", taken_over)]
}

async fn taken_over() -> Outcome {
    let world = Arc::new(World::without_operator(&[]).await?);
    let tenant = Tenant::new(&world, HOUR).await?;
    let names = restore(&tenant).await?;
    let before = versions(&tenant).await?;
    let mark = tenant.mark().await?;
    world.start_operator().await?;
    wait_for("a look at each credential", SOON, async || {
        names.iter().all(|name| world.looks(&tenant.namespace, name) > 0)
    })
    .await?;
    for name in &names {
        tenant.wait_ready(name).await?;
    }
    holds_for("nothing is asked for and no token is written", Duration::from_secs(3), async || {
        ensure!(versions(&tenant).await? == before, "a managed Secret was written");
        let (_, metrics) = scrape(&world, "text/plain").await?;
        ensure!(!metrics.contains("oauthcc_token_requests_total{"), "a token was asked for");
        let calls = world.calls(mark, &tenant.namespace).await?;
        // Objects have other versions in this cluster: the values are compared, two reads each.
        let reads = calls.iter().find(|(call, _)| call == "get secrets").map(|(_, count)| *count);
        ensure!(reads == Some(2 * names.len()), "{calls:?}");
        ensure!(calls.iter().all(|(call, _)| call != "patch secrets"), "{calls:?}");
        Ok(())
    })
    .await
    .inspect_err(|_| world.keep_logs())
}

/// Applies the fixture as if its tokens had been issued just now; returns the names of the credentials.
async fn restore(tenant: &Tenant) -> anyhow::Result<Vec<String>> {
    let issued_at: Timestamp = ISSUED_AT.parse()?;
    let moved_by = Timestamp::now().duration_since(issued_at);
    for secret in documents("client-secrets", moved_by, &BTreeMap::new())? {
        tenant.apply_secret(secret).await?;
    }
    let mut uids = BTreeMap::new();
    for credential in documents("credentials", moved_by, &BTreeMap::new())? {
        let name = credential["metadata"]["name"].as_str().context("a name")?.to_owned();
        let mut without_status = credential.clone();
        without_status.as_object_mut().context("an object")?.remove("status");
        let params = PatchParams::apply("kubectl").force();
        let applied =
            tenant.credentials().patch(&name, &params, &Patch::Apply(&without_status)).await?;
        uids.insert(name.clone(), applied.uid().context("a UID")?);
        let status = json!({
            "apiVersion": credential["apiVersion"],
            "kind": credential["kind"],
            "status": credential["status"],
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        tenant.credentials().patch_status(&name, &params, &Patch::Apply(&status)).await?;
    }
    for mut secret in documents("managed-secrets", moved_by, &uids)? {
        let name = secret["metadata"]["name"].as_str().context("a name")?.to_owned();
        let expires_at = secret["metadata"]["annotations"][EXPIRES_AT].as_str().context("it")?;
        secret["data"][EXPIRES_AT_KEY] = json!(STANDARD.encode(expires_at));
        let params = PatchParams::apply(FIELD_MANAGER).force();
        tenant.secrets().patch(&name, &params, &Patch::Apply(&secret)).await?;
    }
    Ok(uids.into_keys().collect())
}

/// The documents of a file, every time moved, every UID filled in.
fn documents(
    file: &str,
    moved_by: jiff::SignedDuration,
    uids: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<Value>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/upgrade");
    let text = std::fs::read_to_string(directory.join(format!("{file}.yaml")))?;
    let mut moved = String::new();
    let stamp = ISSUED_AT.len();
    let mut rest = text.as_str();
    while let Some(next) = rest.chars().next() {
        if let Some(at) = rest.get(..stamp).and_then(|word| word.parse::<Timestamp>().ok()) {
            moved.push_str(&(at + moved_by).round(jiff::Unit::Second)?.to_string());
            rest = &rest[stamp..];
        } else {
            moved.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    for (name, uid) in uids {
        moved = moved.replace(&format!("${{UID of {name}}}"), uid);
    }
    ensure!(uids.is_empty() || !moved.contains("${"), "{file}.yaml has an unknown placeholder");
    moved.split("\n---\n").map(|document| Ok(serde_saphyr::from_str(document)?)).collect()
}

async fn versions(tenant: &Tenant) -> anyhow::Result<Vec<(String, Option<String>)>> {
    let all = tenant.secrets().list(&ListParams::default()).await?;
    Ok(all
        .into_iter()
        .map(|secret: Secret| (secret.name_any(), secret.resource_version()))
        .collect())
}
