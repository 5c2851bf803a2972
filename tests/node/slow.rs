//! One rotation on a kubelet with its defaults: how late a pod is.
//!
//! **Invariant:** the delay counts from the write of the Secret to the pod's own first read.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use oauthcc_operator::domain::crd::RENEW_REQUESTED_AT;
use oauthcc_operator::domain::schedule::span;
use serde_json::json;

use crate::pod::{PROMPTLY, Pod, Reader, whole};
use crate::scene::Scene;
use crate::tenant::Tenant;
use crate::witness::Witness;
use crate::world::SOON;
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// A kubelet looks at a pod again after 60 s, and up to half of that later.
const LATEST: Duration = Duration::from_secs(90);
/// What the machine may take beside.
const LEEWAY: Duration = Duration::from_secs(10);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    let name = "a_pod_reads_a_new_token_within_90_s_by_the_kubelets_defaults";
    vec![suite.shared(name, one_rotation).with_ignored_flag(true)]
}

async fn one_rotation(scene: Arc<Scene>) -> Outcome {
    let tenant = Tenant::with_client_secret(&scene.world, HOUR).await?;
    let mut witness = Witness::start(&tenant).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    let pod =
        Pod::create(&scene, &tenant, "crm", Reader::new("resolve-once", whole("crm"))).await?;
    pod.wait_told(1, PROMPTLY).await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "now").await?;
    witness.wait_revision(&["crm"], 2, SOON).await?;
    let told = pod.wait_told(2, LATEST + LEEWAY).await?;
    let seen = witness.seen("crm").into_iter().nth(1).context("a second version")?;
    ensure!(told[1].words[0] == seen.token, "it reads another token");
    let delay = span(seen.told_at, told[1].at);
    ensure!(delay <= LATEST + LEEWAY, "the pod read it {delay:.1?} after it was written");
    #[expect(clippy::print_stdout, reason = "measured figures are what this test is read for")]
    {
        println!(
            "a pod read a new token {delay:.1?} after it was written, by the kubelet's defaults"
        );
    }
    Ok(())
}
