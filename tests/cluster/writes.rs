//! A write of the managed Secret that the API server refuses or never answers, after the grant: the
//! token is kept, not asked for again, and written when it can be.
//!
//! **Invariant:** what refuses is a real part of Kubernetes (RBAC, an admission policy, a quota, a
//! conflict, a process that hangs), and that a token is the one that was granted is told by its
//! SHA-256 at the authorization server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aws_lc_rs::digest;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use libtest_mimic::Trial;
use oauthcc_harness::audit::{Call, CallFilter, Mark};
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::RENEW_REQUESTED_AT;
use serde_json::json;
use tokio::task::JoinSet;

use crate::figures::Figures;
use crate::obstacles::{AdmissionPolicy, Rights};
use crate::tenant::{ALL_GOOD, Tenant};
use crate::world::{OPERATOR, SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// Enough refusals to see the waits of 1, 2 and 4 s between them.
const REFUSALS: usize = 4;
const WAITS: Duration = Duration::from_secs(7);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("an_edit_between_grant_and_write_costs_no_grant", conflict),
        suite.own_world("rights_taken_away_after_the_grant_cost_no_grant", forbidden),
        suite.shared("a_policy_that_forbids_the_write_costs_no_grant", forbidding_policy),
        suite.shared("a_policy_that_finds_the_write_invalid_costs_no_grant", invalidating_policy),
        suite.shared("a_type_that_can_t_be_created_costs_no_grant", other_type),
        suite.shared("a_quota_that_is_used_up_costs_no_grant", quota),
        suite.shared("a_token_that_expires_unwritten_is_replaced_after_a_dry_run", dry_run),
        suite.alone("a_write_that_is_never_answered_costs_no_grant", never_answered),
    ]
}

/// The Secret holds the latest token that was granted, and so many were.
async fn holds_the_latest(tenant: &Tenant, secret: &str, grants: usize) -> Outcome {
    let token = tenant.token(secret).await?;
    let issued = tenant.world.server.issued(&tenant.client_id).await?;
    ensure!(issued.len() == grants, "{} tokens were granted", issued.len());
    ensure!(tenant.token_requests().await? == grants, "and no request was refused");
    let latest = issued.last().context("a grant")?;
    ensure!(latest.sha256 == sha256(&token), "the Secret holds another token");
    Ok(())
}

fn sha256(text: &str) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The writes of Secrets by the operator since `mark` that were answered with this status.
async fn writes(tenant: &Tenant, mark: Mark, code: u16) -> anyhow::Result<Vec<Call>> {
    let filter = CallFilter::default()
        .by_service_account(OPERATOR.0, OPERATOR.1)
        .in_namespace(&tenant.namespace);
    let calls = tenant.world.plane.audit().calls_since(mark, &filter).await?;
    Ok(calls.into_iter().filter(|c| c.summary() == "patch secrets" && c.code == code).collect())
}

async fn wait_writes(tenant: &Tenant, mark: Mark, code: u16, count: usize) -> Outcome {
    wait_for(&format!("{count} writes answered with {code}"), SOON * 2, async || {
        let made = writes(tenant, mark, code).await?.len();
        ensure!(made >= count, "{made} were");
        Ok(())
    })
    .await
}

/// Waits for some refusals: they come as far apart as they should, and nothing is asked meanwhile.
async fn is_refused(tenant: &Tenant, mark: Mark, code: u16, requests: usize) -> Outcome {
    wait_writes(tenant, mark, code, 1).await?;
    let first = Instant::now();
    wait_writes(tenant, mark, code, REFUSALS).await?;
    let took = first.elapsed();
    ensure!(took + Duration::from_millis(500) > WAITS, "{REFUSALS} writes in {took:?}");
    let made = tenant.token_requests().await?;
    ensure!(made == requests, "{made} token requests");
    Ok(())
}

/// `crm` with no token yet says why, that it tries again, and names no next request.
async fn tells_of_the_refusal(tenant: &Tenant, reason: &str, words: &str) -> Outcome {
    let synced = tenant.wait_condition("crm", "SecretSynced", "False", reason).await?;
    ensure!(synced.message.contains(words), "it says {:?}", synced.message);
    tenant.wait_condition("crm", "Ready", "False", reason).await?;
    tenant.wait_condition("crm", "RequestSucceeded", "True", "RequestSucceeded").await?;
    tenant.wait_condition("crm", "Reconciling", "True", "Retrying").await?;
    let status = tenant.get("crm").await?.status.context("a status")?;
    ensure!(status.next_attempt_time.is_none(), "next {:?}", status.next_attempt_time);
    ensure!(status.token.is_none(), "it tells of a token that is in no Secret");
    Ok(())
}

/// Waits until the token is written, once nothing stands in the way any more.
async fn is_written(tenant: &Tenant, grants: usize, what: &'static str) -> Outcome {
    let mut figures = Figures::of(what);
    let lifted_at = Instant::now();
    tenant.wait_ready("crm").await?;
    tenant.wait_condition("crm", "SecretSynced", "True", "SecretSynced").await?;
    figures.add(lifted_at.elapsed());
    figures.print();
    holds_the_latest(tenant, "crm", grants).await
}

/// First one edit that the watch tells of in time, then so many that a write meets one of them.
async fn conflict(world: Arc<World>) -> Outcome {
    let tenant = Arc::new(Tenant::with_client_secret(&world, HOUR).await?);
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    for grants in 2..=6 {
        world.server.hold(&tenant.client_id).await?;
        tenant.annotate("crm", RENEW_REQUESTED_AT, &grants.to_string()).await?;
        tenant.wait_held().await?;
        let mark = tenant.mark().await?;
        let editing = if grants == 2 {
            tenant.merge_secret("crm", edit(0, 0)).await?;
            None
        } else {
            Some(Editing::start(&tenant))
        };
        world.server.release(&tenant.client_id).await?;
        tenant.wait_revision("crm", i64::try_from(grants)?).await?;
        drop(editing);
        tenant.wait_condition("crm", "SecretSynced", "True", "SecretSynced").await?;
        holds_the_latest(&tenant, "crm", grants).await?;
        ensure!(writes(&tenant, mark, 200).await?.len() == 1, "it was written once");
        let conflicts = writes(&tenant, mark, 409).await?.len();
        if grants == 2 {
            ensure!(conflicts == 0, "{conflicts} conflicts with what was known");
        } else if conflicts > 0 {
            tenant.wait_ready("crm").await?;
            return Ok(());
        }
    }
    anyhow::bail!("no write met an edit")
}

fn edit(editor: usize, number: usize) -> serde_json::Value {
    let name = format!("example.com/editor-{editor}");
    json!({"metadata": {"annotations": {name: number.to_string()}}})
}

/// Four editors of one Secret, until dropped.
struct Editing {
    over: Arc<AtomicBool>,
    _editors: JoinSet<Outcome>,
}

impl Editing {
    fn start(tenant: &Arc<Tenant>) -> Self {
        let over = Arc::<AtomicBool>::default();
        let mut editors = JoinSet::new();
        for editor in 0..4 {
            let (tenant, over) = (Arc::clone(tenant), Arc::clone(&over));
            editors.spawn(async move {
                let mut number = 0;
                while !over.load(Ordering::Relaxed) {
                    tenant.merge_secret("crm", edit(editor, number)).await?;
                    number += 1;
                }
                Ok(())
            });
        }
        Self { over, _editors: editors }
    }
}

impl Drop for Editing {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The first token, and then the second one, which leaves the first alone.
async fn forbidden(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    world.server.hold(&tenant.client_id).await?;
    tenant.apply("crm", json!({"request": {"timeout": "30s"}})).await?;
    tenant.wait_held().await?;
    let mark = tenant.mark().await?;
    let rights = Rights::to_write_secrets_taken(&world, &tenant.namespace).await?;
    world.server.release(&tenant.client_id).await?;
    tells_of_the_refusal(&tenant, "Forbidden", "create and patch").await?;
    is_refused(&tenant, mark, 403, 1).await?;
    rights.give_back().await?;
    is_written(&tenant, 1, "written after the rights were back").await?;

    world.server.hold(&tenant.client_id).await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "now").await?;
    tenant.wait_held().await?;
    let mark = tenant.mark().await?;
    let first = tenant.token("crm").await?;
    let rights = Rights::to_write_secrets_taken(&world, &tenant.namespace).await?;
    world.server.release(&tenant.client_id).await?;
    tenant.wait_condition("crm", "SecretSynced", "False", "Forbidden").await?;
    tenant.wait_condition("crm", "Ready", "True", "TokenValid").await?;
    is_refused(&tenant, mark, 403, 2).await?;
    ensure!(tenant.token("crm").await? == first, "the first token stays");
    rights.give_back().await?;
    is_written(&tenant, 2, "written after the rights were back, again").await
}

async fn forbidding_policy(world: Arc<World>) -> Outcome {
    policy(world, "Forbidden", 403).await
}

async fn invalidating_policy(world: Arc<World>) -> Outcome {
    policy(world, "Invalid", 422).await
}

async fn policy(world: Arc<World>, reason: &str, code: u16) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let policy = AdmissionPolicy::against_managed_secrets(&tenant, reason, code).await?;
    let mark = tenant.mark().await?;
    tenant.apply("crm", json!({})).await?;
    tells_of_the_refusal(&tenant, "SecretWriteFailed", "admission policy").await?;
    is_refused(&tenant, mark, code, 1).await?;
    let events = tenant.event_reasons("crm").await?;
    ensure!(events.is_empty(), "no event tells of it: {events:?}");
    policy.lift().await?;
    is_written(&tenant, 1, "written after the policy was lifted").await?;
    tenant.expect_events("crm", &["TokenIssued"]).await
}

/// The Secret is deleted for its new type, and can't be created: the token is written once it can.
async fn other_type(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_ready("crm").await?;
    tenant.expect_events("crm", &["TokenIssued"]).await?;
    let token = tenant.token("crm").await?;
    let policy = AdmissionPolicy::against_new_managed_secrets(&tenant).await?;
    let password = json!([{"type": "BasicAuth", "key": "password"}]);
    let target = json!({"type": "kubernetes.io/basic-auth", "additionalOutputFormats": password});
    tenant.merge("crm", json!({"spec": {"target": target}})).await?;
    tells_of_the_refusal(&tenant, "SecretWriteFailed", "admission policy").await?;
    ensure!(tenant.secrets().get_opt("crm").await?.is_none(), "it was deleted");
    // An edit does not lose it either.
    tenant.merge("crm", json!({"spec": {"target": null}})).await?;
    policy.lift().await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    ensure!(tenant.token("crm").await? == token, "another token");
    ensure!(tenant.token_requests().await? == 1, "no token request more");
    Ok(())
}

async fn quota(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let quotas = Api::<ResourceQuota>::namespaced(world.plane.admin_client(), &tenant.namespace);
    let quota = |most: &str| {
        json!({"apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "secrets", "namespace": tenant.namespace},
            "spec": {"hard": {"secrets": most}}})
        .to_string()
    };
    let apply = ["apply", "-f", "-"];
    world.plane.kubectl_with_stdin(&apply, &quota("1")).await?;
    wait_for("the quota to be used up", SOON, async || {
        let status = quotas.get("secrets").await?.status.unwrap_or_default();
        let used = status.used.unwrap_or_default().remove("secrets");
        ensure!(used.as_ref().is_some_and(|used| used.0 == "1"), "used {used:?}");
        Ok(())
    })
    .await?;
    let mark = tenant.mark().await?;
    tenant.apply("crm", json!({})).await?;
    tells_of_the_refusal(&tenant, "SecretWriteFailed", "ResourceQuota").await?;
    is_refused(&tenant, mark, 403, 1).await?;
    world.plane.kubectl_with_stdin(&apply, &quota("5")).await?;
    is_written(&tenant, 1, "written after the quota was raised").await
}

async fn dry_run(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, Duration::from_secs(10)).await?;
    let policy = AdmissionPolicy::against_managed_secrets(&tenant, "Forbidden", 403).await?;
    let mark = tenant.mark().await?;
    tenant.apply("crm", json!({})).await?;
    tells_of_the_refusal(&tenant, "SecretWriteFailed", "admission policy").await?;
    let dry_runs = async || {
        let refused = writes(&tenant, mark, 403).await?;
        let dry = refused.iter().filter(|call| call.uri.contains("dryRun=All")).count();
        anyhow::Ok((dry, refused.len() - dry))
    };
    wait_for("a dry run to be refused", SOON * 2, async || {
        let (dry, _) = dry_runs().await?;
        ensure!(dry > 0, "there was none");
        Ok(())
    })
    .await?;
    let issued = world.server.issued(&tenant.client_id).await?;
    let expired = issued.first().is_some_and(|token| token.expires_at.elapsed().is_ok());
    ensure!(expired, "while the token lives, it is written and not tried");
    let (_, tries) = dry_runs().await?;
    tells_of_the_refusal(&tenant, "SecretWriteFailed", "admission policy").await?;
    holds_for("nothing is asked and nothing written", Duration::from_secs(10), async || {
        ensure!(tenant.token_requests().await? == 1, "a token was asked for");
        ensure!(dry_runs().await?.1 == tries, "an expired token was written");
        Ok(())
    })
    .await?;
    policy.lift().await?;
    let secret = tenant.wait_revision("crm", 1).await?;
    let token = crate::tenant::token_of(&secret)?;
    let issued = world.server.issued(&tenant.client_id).await?;
    let place = issued.iter().position(|issued| issued.sha256 == sha256(&token));
    ensure!(place == Some(1), "the Secret holds grant {place:?} of {}", issued.len());
    tenant.wait_ready("crm").await
}

/// Three tries of 2 s each are given up while the API server hangs; a first one may have arrived.
async fn never_answered() -> Outcome {
    let world = Arc::new(World::start(&["--api-timeout=2s"]).await?);
    let outcome = never_answered_in(&world).await;
    outcome.inspect_err(|_| world.keep_logs())
}

async fn never_answered_in(world: &Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(world, HOUR).await?;
    world.server.hold(&tenant.client_id).await?;
    tenant.apply("crm", json!({"request": {"timeout": "30s"}})).await?;
    tenant.wait_held().await?;
    tenant.wait_condition("crm", "Ready", "Unknown", "Issuing").await?;
    let looks = || world.looks(&tenant.namespace, "crm");
    let before = looks();
    world.plane.stop_api_server()?;
    world.server.release(&tenant.client_id).await?;
    let given_up = wait_for("the write to be given up", SOON * 2, async || looks() > before).await;
    world.plane.continue_api_server().await?;
    given_up?;
    is_written(&tenant, 1, "written after the API server went on").await?;
    tenant.expect_events("crm", &["TokenIssued"]).await
}
