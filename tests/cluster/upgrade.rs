//! A cluster that has the definition of an older version gets the present one.
//!
//! **Invariant:** what is stored is neither changed nor refused: not on the way in, not when it is
//! applied again, not when its status is written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use kube::Api;
use kube::api::{Patch, PatchParams};
use libtest_mimic::Trial;
use oauthcc_harness::control_plane::{ControlPlane, Options};
use oauthcc_harness::wait::wait_for;
use oauthcc_operator::domain::crd::{FIELD_MANAGER, OAuthClientCredential};
use serde_json::{Value, json};

use crate::world::SOON;
use crate::{Outcome, Suite};

const CRD: &str = "crd/oauthclientcredentials.oauthcc.dev";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![suite.alone("credentials_of_an_older_schema_stay_as_they_are", async || {
        let plane = ControlPlane::start(Options::default()).await?;
        upgrades(&plane).await.inspect_err(|_| plane.keep_logs())
    })]
}

fn top(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The least and the most that version 0.1.0 knew.
fn stored() -> [Value; 2] {
    let spec = json!({
        "tokenURL": "https://idp.example.com/oauth2/token",
        "credentialsSecretRef": {"name": "client"},
    });
    let full = json!({
        "suspend": true,
        "tokenURL": "http://idp.example.com:8080/oauth2/token?tenant=a",
        "clientID": "me",
        "credentialsSecretRef": {"name": "client", "clientSecretKey": "password"},
        "clientAuthentication": {"method": "ClientSecretPost"},
        "scopes": ["orders.read", "https://graph.example.com/.default"],
        "audience": "https://api.example.com",
        "request": {"timeout": "30s"},
        "rotation": {"renewBefore": "10m", "defaultLifetime": "8760h"},
        "target": {"name": "full-token", "tokenKey": "access-token"},
    });
    [("least", spec), ("most", full)].map(|(name, spec)| {
        json!({
            "apiVersion": "oauthcc.dev/v1alpha1",
            "kind": "OAuthClientCredential",
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        })
    })
}

/// A status as the operator of that version wrote it.
fn status() -> Value {
    let time = "2026-01-31T12:00:00Z";
    json!({
        "apiVersion": "oauthcc.dev/v1alpha1",
        "kind": "OAuthClientCredential",
        "status": {
            "observedGeneration": 1,
            "endpoint": "https://idp.example.com/oauth2/token",
            "binding": {"name": "full-token"},
            "token": {
                "issueTime": time, "expirationTime": time, "renewalTime": time,
                "scopes": ["orders.read"], "revision": 7,
            },
            "failedAttempts": 2,
            "lastFailureTime": time,
            "lastFailureInputs": "0123456789abcdef0123456789abcdef",
            "nextAttemptTime": time,
            "lastHandledRenewRequest": "once",
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "TokenValid", "message": "A message.",
                "lastTransitionTime": time, "observedGeneration": 1,
            }],
        },
    })
}

async fn upgrades(plane: &ControlPlane) -> Outcome {
    let apply = async |file: &str| {
        plane.kubectl(&["apply", "-f", &top(file).display().to_string()]).await?;
        plane.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", CRD]).await
    };
    apply("tests/fixtures/crd-v0.1.0.yaml").await?;
    let manifest = serde_json::to_string(&json!({
        "apiVersion": "v1", "kind": "List", "items": stored(),
    }))?;
    let kubectl = async |arguments: &[&str]| -> anyhow::Result<String> {
        let output = plane.kubectl_output(arguments, &manifest).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && said.is_empty(), "kubectl {arguments:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    };
    // kubectl reads the resources anew a moment after the definition is established.
    wait_for("credentials to be stored", SOON, async || kubectl(&["apply", "-f", "-"]).await)
        .await?;
    let api: Api<OAuthClientCredential> = Api::default_namespaced(plane.admin_client());
    let written = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status("most", &written, &Patch::Apply(status())).await?;
    let read = async || plane.kubectl(&["get", "occ", "-o", "json", "--show-managed-fields"]).await;
    let read_before = api.get("most").await?.spec;
    let before: Value = serde_json::from_str(&read().await?)?;
    ensure!(before.pointer("/items/1/status/token/revision") == Some(&json!(7)), "{before}");

    apply("crds/oauthclientcredentials.oauthcc.dev.yaml").await?;
    let newer = json!({"spec": {"resourceIndicators": ["https://api.example.com"]}});
    wait_for("the present schema to be served", Duration::from_secs(30), async || {
        let params = PatchParams { dry_run: true, ..PatchParams::default() };
        let patched = api.patch("least", &params, &Patch::Merge(&newer)).await?;
        ensure!(!patched.spec.resource_indicators.is_empty(), "a new field is dropped");
        Ok(())
    })
    .await?;
    ensure!(serde_json::from_str::<Value>(&read().await?)? == before, "{before} is changed");

    // Applied again, for trial and in earnest: nothing is refused and nothing changes.
    for arguments in [&["apply", "--dry-run=server", "-f", "-"][..], &["apply", "-f", "-"]] {
        let told = kubectl(arguments).await?;
        let unchanged = |line: &str| line.contains(" unchanged");
        ensure!(told.lines().count() == 2 && told.lines().all(unchanged), "{told}");
    }
    api.patch_status("most", &written, &Patch::Apply(status())).await?;
    ensure!(serde_json::from_str::<Value>(&read().await?)? == before, "{before} is changed");
    let mut next = status();
    *next.pointer_mut("/status/token/revision").context("a revision")? = json!(8);
    let now = api.patch_status("most", &written, &Patch::Apply(next)).await?;
    let revision = now.status.and_then(|status| status.token).map(|token| token.revision);
    ensure!(revision == Some(8), "the status holds revision {revision:?}");
    ensure!(now.spec == read_before, "it is read as {:?}", now.spec);
    // And the new fields can be written into what was stored before.
    let now = api.patch("least", &PatchParams::default(), &Patch::Merge(&newer)).await?;
    ensure!(now.metadata.generation == Some(2) && !now.spec.resource_indicators.is_empty());
    Ok(())
}
