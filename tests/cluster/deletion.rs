//! What is left when a credential or its namespace goes: nothing, and nobody is held up.
//!
//! **Invariant:** nothing is cleaned up by the operator: the garbage collector and the namespace
//! controller of the real control plane do it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use libtest_mimic::Trial;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::RENEW_REQUESTED_AT;
use serde_json::json;

use crate::figures::Figures;
use crate::tenant::{CLIENT_SECRET, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// The garbage collector of a fresh cluster learns of a new kind after half a minute.
const COLLECTED: Duration = Duration::from_secs(90);
/// Keeps an object from going until it is removed.
const FINALIZER: &str = "example.com/held";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("a_deleted_credential_takes_its_secret_along", deleted),
        suite.shared("nothing_is_left_of_a_grant_that_outlived_its_credential", deleted_in_flight),
        suite.shared("a_recreated_credential_gets_a_secret_of_its_own", recreated),
        suite.shared("what_a_namesake_left_is_warned_about_after_half_a_minute", namesake),
        suite.shared("a_namespace_that_goes_is_written_to_twice_at_most", namespace_deleted),
    ]
}

async fn wait_secret_gone(tenant: &Tenant, name: &str) -> Outcome {
    wait_for(&format!("Secret {name} to be collected"), COLLECTED, async || {
        let found = tenant.secrets().get_metadata_opt(name).await?;
        ensure!(found.is_none(), "it is there");
        Ok(())
    })
    .await
}

async fn wait_credential_gone(tenant: &Tenant, name: &str) -> Outcome {
    wait_for(&format!("credential {name} to be gone"), SOON, async || {
        let found = tenant.credentials().get_opt(name).await?;
        ensure!(found.is_none(), "it is there");
        Ok(())
    })
    .await
}

async fn set_finalizers(tenant: &Tenant, secret: &str, finalizers: &[&str]) -> Outcome {
    tenant.merge_secret(secret, json!({"metadata": {"finalizers": finalizers}})).await
}

async fn deleted(world: Arc<World>) -> Outcome {
    let names = ["crm", "erp", "mail"];
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let mut figures = Figures::of("the Secret of a deleted credential is collected");
    for name in names {
        tenant.apply(name, json!({})).await?;
        tenant.wait_ready(name).await?;
        tenant.expect_events(name, &["TokenIssued"]).await?;
        let finalizers = tenant.get(name).await?.metadata.finalizers;
        ensure!(finalizers.is_none(), "finalizers {finalizers:?} of the credential");
        let finalizers = tenant.secrets().get(name).await?.metadata.finalizers;
        ensure!(finalizers.is_none(), "finalizers {finalizers:?} of the Secret");
    }
    let mark = tenant.mark().await?;
    for name in names {
        tenant.delete(name).await?;
        let deleted_at = Instant::now();
        wait_credential_gone(&tenant, name).await?;
        wait_secret_gone(&tenant, name).await?;
        figures.add(deleted_at.elapsed());
    }
    figures.print();
    tenant.expect_calls(mark, &[]).await?;
    ensure!(tenant.token_requests().await? == names.len(), "no token request more");
    Ok(())
}

/// The first token of `crm` and the second one of `erp` arrive when the credential is gone.
async fn deleted_in_flight(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("erp", json!({})).await?;
    tenant.wait_ready("erp").await?;
    for (made, name) in [(2, "crm"), (3, "erp")] {
        world.server.hold(&tenant.client_id).await?;
        if name == "erp" {
            tenant.annotate(name, RENEW_REQUESTED_AT, "now").await?;
        } else {
            tenant.apply(name, json!({})).await?;
        }
        tenant.wait_held().await?;
        tenant.delete(name).await?;
        wait_credential_gone(&tenant, name).await?;
        let mark = tenant.mark().await?;
        let looks = world.looks(&tenant.namespace, name);
        world.server.release(&tenant.client_id).await?;
        let what = "the operator to take the answer in";
        wait_for(what, SOON, async || world.looks(&tenant.namespace, name) > looks).await?;
        wait_secret_gone(&tenant, name).await?;
        tenant.expect_calls(mark, &[]).await?;
        holds_for("nothing comes back", Duration::from_secs(2), async || {
            let secret = tenant.secrets().get_metadata_opt(name).await?;
            ensure!(secret.is_none(), "there is a Secret");
            let requests = tenant.token_requests().await?;
            ensure!(requests == made, "{requests} token requests");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn recreated(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    // The collector of a fresh cluster is slow at first: what it is like later is meant here.
    tenant.apply("first", json!({})).await?;
    tenant.wait_ready("first").await?;
    tenant.delete("first").await?;
    wait_secret_gone(&tenant, "first").await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    let old = tenant.get("crm").await?.uid();
    tenant.delete("crm").await?;
    wait_credential_gone(&tenant, "crm").await?;
    tenant.apply("crm", json!({})).await?;
    let new = tenant.get("crm").await?.uid();
    ensure!(new.is_some() && new != old, "another credential of the same name");
    tenant.wait_ready("crm").await?;
    let secret = tenant.secrets().get("crm").await?;
    let owners: Vec<_> = secret.owner_references().iter().map(|owner| owner.uid.clone()).collect();
    ensure!(Some(owners) == new.map(|uid| vec![uid]), "the Secret has the new owner alone");
    ensure!(world.server.introspect(&tenant.token("crm").await?).await?.active, "a live token");
    ensure!(tenant.token_requests().await? == 3, "one token request each");
    // Each of the two was told of its first token, and the Secret between them of nothing.
    tenant.expect_events("crm", &["TokenIssued", "TokenIssued"]).await
}

/// A finalizer keeps what the deleted namesake left: then the warning comes, but not before 30 s.
async fn namesake(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    let left = tenant.token("crm").await?;
    set_finalizers(&tenant, "crm", &[FINALIZER]).await?;
    tenant.delete("crm").await?;
    wait_credential_gone(&tenant, "crm").await?;
    tenant.apply("crm", json!({})).await?;
    let told = tenant.wait_condition("crm", "SecretSynced", "False", "SecretNotOwned").await?;
    tenant.wait_condition("crm", "Ready", "False", "SecretNotOwned").await?;

    let events = Api::<Event>::namespaced(world.plane.admin_client(), &tenant.namespace);
    let what = "the warning about the Secret of a namesake";
    let warned = wait_for(what, Duration::from_secs(60), async || {
        let all = events.list(&ListParams::default()).await?;
        let warned =
            all.into_iter().find(|event| event.reason.as_deref() == Some("SecretNotOwned"));
        warned.context("there is none")
    })
    .await?;
    let warned_at = warned.event_time.context("an event has a time")?.0;
    let after = warned_at.duration_since(told.last_transition_time.0).as_secs();
    ensure!((29..=40).contains(&after), "it came after {after} s");
    ensure!(warned.type_.as_deref() == Some("Warning"), "it is a {:?}", warned.type_);
    ensure!(tenant.token("crm").await? == left, "the Secret of somebody else is as it was");
    ensure!(tenant.token_requests().await? == 1, "no token request meanwhile");

    set_finalizers(&tenant, "crm", &[]).await?;
    tenant.wait_ready("crm").await?;
    ensure!(tenant.token("crm").await? != left, "a token of its own");
    ensure!(tenant.token_requests().await? == 2, "one token request more");
    let expected = ["SecretNotOwned", "TokenIssued", "TokenIssued"];
    tenant.expect_events("crm", &expected).await
}

/// The client Secret stays to the end, so nothing but the namespace keeps a token from being asked
/// for and written again and again.
async fn namespace_deleted(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    set_finalizers(&tenant, CLIENT_SECRET, &[FINALIZER]).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    world.server.hold(&tenant.client_id).await?;
    tenant.apply("erp", json!({})).await?;
    tenant.wait_held().await?;
    let mark = tenant.mark().await?;
    let namespaces = Api::<Namespace>::all(world.plane.admin_client());
    let namespace = tenant.namespace.as_str();
    namespaces.delete(namespace, &DeleteParams::default()).await?;
    wait_for("the namespace to terminate", SOON, async || {
        let found = namespaces.get(namespace).await.ok()?;
        found.metadata.deletion_timestamp
    })
    .await?;
    world.server.release(&tenant.client_id).await?;
    wait_secret_gone(&tenant, "crm").await?;
    for name in ["crm", "erp"] {
        wait_credential_gone(&tenant, name).await?;
    }
    set_finalizers(&tenant, CLIENT_SECRET, &[]).await?;
    wait_for("the namespace to be gone", COLLECTED, async || {
        let found = namespaces.get_opt(namespace).await?;
        ensure!(found.is_none(), "it is there");
        Ok(())
    })
    .await?;
    let calls = world.calls(mark, namespace).await?;
    let writes = calls.iter().find(|(call, _)| call == "patch secrets").map_or(0, |(_, n)| *n);
    ensure!(writes <= 2, "{calls:?}");
    let made = tenant.token_requests().await?;
    ensure!(made <= 3, "{made} token requests");
    Ok(())
}
