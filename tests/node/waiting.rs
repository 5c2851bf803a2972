//! Pods that are there before their Secret.
//!
//! **Invariant:** the credential is created only when the kubelet has said that it waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::json;

use crate::pod::{Pod, Reader, whole};
use crate::scene::Scene;
use crate::tenant::{Tenant, merge};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// A kubelet tries a mount again after 0.5 s, and doubles that up to 2 min 2 s.
const LATEST_START: Duration = Duration::from_secs(150);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("a_pod_that_waits_for_its_secret_starts_after_it_appears", starts_after),
        suite.shared("a_pod_with_an_optional_secret_starts_before_it_and_sees_it", sees_later),
    ]
}

async fn starts_after(scene: Arc<Scene>) -> Outcome {
    let tenant = Tenant::with_client_secret(&scene.world, HOUR).await?;
    let pod =
        Pod::create(&scene, &tenant, "crm", Reader::new("resolve-once", whole("crm"))).await?;
    let event = pod.wait_failed_mount().await?;
    ensure!(event.contains(r#"secret "crm" not found"#), "the event says: {event}");
    ensure!(pod.phase().await? == "Pending", "it is {}", pod.phase().await?);
    ensure!(pod.told()?.is_empty(), "it runs");
    appears(&tenant, &pod).await
}

async fn sees_later(scene: Arc<Scene>) -> Outcome {
    let tenant = Tenant::with_client_secret(&scene.world, HOUR).await?;
    let mut volume = whole("crm");
    merge(&mut volume, json!({"secret": {"optional": true}}));
    let pod = Pod::create(&scene, &tenant, "crm", Reader::new("resolve-once", volume)).await?;
    pod.wait_running().await?;
    ensure!(pod.told()?.is_empty(), "it has read a token that there is not");
    appears(&tenant, &pod).await
}

/// Creates the credential, and waits until the pod reads its token.
async fn appears(tenant: &Tenant, pod: &Pod) -> Outcome {
    let applied = Instant::now();
    tenant.apply("crm", json!({})).await?;
    let told = pod.wait_told(1, LATEST_START).await?;
    let took = applied.elapsed();
    let token = tenant.token("crm").await?;
    ensure!(told[0].words[0] == token, "it reads another token");
    #[expect(clippy::print_stdout, reason = "measured figures are what this test is read for")]
    {
        println!("a pod older than its Secret read it {took:.1?} after the credential was applied");
    }
    Ok(())
}
