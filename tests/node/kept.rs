//! What a pod keeps across rotations: a file mounted by `subPath`, and an environment variable.
//!
//! **Invariant:** the same container reads all three, so that what does not change is not merely late.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use oauthcc_operator::domain::crd::RENEW_REQUESTED_AT;
use serde_json::json;

use crate::pod::{PROMPTLY, Pod, Reader, whole};
use crate::scene::Scene;
use crate::tenant::{Tenant, token_of};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![suite.shared("a_sub_path_and_a_variable_keep_the_first_token", kept)]
}

async fn kept(scene: Arc<Scene>) -> Outcome {
    let tenant = Tenant::with_client_secret(&scene.world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    let first = tenant.token("crm").await?;
    let container = json!({
        "volumeMounts": [
            {"name": "token", "mountPath": "/token", "readOnly": true},
            {"name": "token", "mountPath": "/kept-token", "subPath": "token", "readOnly": true},
        ],
        "env": [
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "crm", "key": "token"}}},
        ],
    });
    let pod =
        Pod::create(&scene, &tenant, "crm", Reader::new("kept", whole("crm")).with(container))
            .await?;
    let told = pod.wait_told(1, PROMPTLY).await?;
    ensure!(told[0].words == [&*first, &*first, &*first], "not the same at first");
    let mut last = first.clone();
    for (number, revision) in [(2, 2), (3, 3)] {
        tenant.annotate("crm", RENEW_REQUESTED_AT, &format!("{number}")).await?;
        let token = token_of(&tenant.wait_revision("crm", revision).await?)?;
        ensure!(token != last, "the token is the same as before");
        let told = pod.wait_told(number, PROMPTLY).await?;
        let words = &told[number - 1].words;
        ensure!(words[0] == token, "the directory does not hold revision {revision}");
        ensure!(words[1] == first, "the file mounted by subPath changed at revision {revision}");
        ensure!(words[2] == first, "the variable changed at revision {revision}");
        last = token;
    }
    Ok(())
}
