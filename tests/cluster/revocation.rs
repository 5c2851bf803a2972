//! What becomes of the token when its credential is deleted and `spec.revocation.onDelete` is true: the
//! real authorization server says whether it lives, and a finalizer never holds a credential for long.
//!
//! **Invariant:** whatever the endpoint does, a deleted credential is gone 35 s later; and no finalizer of
//! somebody else is touched.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use libtest_mimic::Trial;
use oauthcc_harness::authorization_server::{AuthMethod, Client};
use oauthcc_harness::certificates::Flaw;
use oauthcc_harness::faults::{CountingHost, SilentHost, closed_port};
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::{RENEW_REQUESTED_AT, REVOKE_FINALIZER};
use serde_json::{Value, json};

use crate::obstacles::{AdmissionPolicy, Rights};
use crate::tenant::{CLIENT_SECRET, Tenant, merge};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
/// After the deletion, 30 s and what the API server takes.
const HELD_AT_MOST: Duration = Duration::from_secs(35);
/// The garbage collector of a fresh cluster learns of a new kind after half a minute.
const COLLECTED: Duration = Duration::from_secs(90);
/// Keeps an object from going until it is removed.
const FOREIGN: &str = "example.com/held";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("a_deleted_credential_has_its_token_revoked", revoked),
        suite.shared("an_issuer_names_where_a_signing_client_revokes", by_issuer),
        suite.shared("an_edit_of_on_delete_costs_one_write_of_the_finalizer", edited),
        suite.shared("a_token_that_was_never_written_is_revoked_too", unwritten),
        suite.shared("a_token_is_revoked_wherever_it_lies", elsewhere),
        suite.shared("a_revocation_that_is_refused_lets_go_at_once", refused),
        suite.shared("a_revocation_endpoint_that_is_down_lets_go_in_time", down),
        suite.shared("a_revocation_endpoint_that_hangs_lets_go_in_time", hangs),
        suite.shared("nothing_is_sent_where_nothing_can_be_revoked", nothing_to_revoke),
        suite.shared("a_namespace_with_held_credentials_goes", namespace_deleted),
        suite.own_world("an_operator_that_comes_late_revokes_and_lets_go", late),
        suite.own_world("no_token_is_requested_without_the_finalizer", forbidden),
    ]
}

fn revocation(url: &str) -> Value {
    json!({"revocation": {"onDelete": true, "url": url}})
}

fn revocation_url(world: &World) -> String {
    format!("https://{}/token/revocation", world.server.host())
}

/// A client Secret that consents to the authorization server and to another host.
async fn consenting_to(world: &Arc<World>, host: &str) -> anyhow::Result<Tenant> {
    let tenant = Tenant::new(world, HOUR).await?;
    let hosts = format!("{},{host}", world.server.host());
    let values = json!({"client-id": tenant.client_id, "client-secret": tenant.client_secret});
    tenant.apply_consenting_secret(CLIENT_SECRET, &hosts, values).await?;
    Ok(tenant)
}

/// A credential with this revocation endpoint, whose first token is told of.
async fn issued(tenant: &Tenant, name: &str, changes: Value) -> anyhow::Result<String> {
    tenant.apply(name, changes).await?;
    tenant.wait_ready(name).await?;
    tenant.expect_events(name, &["TokenIssued"]).await?;
    tenant.token(name).await
}

async fn wait_gone(tenant: &Tenant, name: &str) -> anyhow::Result<Duration> {
    let since = Instant::now();
    wait_for(&format!("credential {name} to be gone"), HELD_AT_MOST, async || {
        let found = tenant.credentials().get_opt(name).await?;
        ensure!(found.is_none(), "{:?}", found.map(|found| found.metadata.finalizers));
        Ok(())
    })
    .await?;
    Ok(since.elapsed())
}

async fn set_finalizers(tenant: &Tenant, name: &str, finalizers: &[&str]) -> Outcome {
    tenant.merge(name, json!({"metadata": {"finalizers": finalizers}})).await
}

async fn is_active(tenant: &Tenant, token: &str) -> anyhow::Result<bool> {
    Ok(tenant.world.server.introspect(token).await?.active)
}

/// The note of the one event of this reason.
async fn note(tenant: &Tenant, name: &str, reason: &str) -> anyhow::Result<String> {
    let events = tenant.events(name).await?;
    let note = events.iter().find(|(told, _)| told == reason).map(|(_, note)| note.clone());
    note.with_context(|| format!("no {reason} among {events:?}"))
}

/// A client that shows a secret, one of whose credentials is suspended; each call is counted.
async fn revoked(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let mark = tenant.mark().await?;
    let token = issued(&tenant, "crm", revocation(&revocation_url(&world))).await?;
    tenant
        .expect_calls(
            mark,
            &[
                ("patch oauthclientcredentials", 1),
                ("get secrets", 2),
                ("patch secrets", 1),
                ("patch oauthclientcredentials/status", 1),
                ("create events", 1),
            ],
        )
        .await?;
    let finalizers = tenant.get("crm").await?.metadata.finalizers;
    ensure!(finalizers == Some(vec![REVOKE_FINALIZER.to_owned()]), "{finalizers:?}");
    let idle = issued(&tenant, "idle", revocation(&revocation_url(&world))).await?;
    tenant.merge("idle", json!({"spec": {"suspend": true}})).await?;
    tenant.wait_ready("idle").await?;

    let mark = tenant.mark().await?;
    tenant.delete("crm").await?;
    let took = wait_gone(&tenant, "crm").await?;
    ensure!(took < Duration::from_secs(5), "it took {took:?}");
    ensure!(!is_active(&tenant, &token).await?, "the token lives");
    tenant.expect_events("crm", &["TokenIssued", "TokenRevoked"]).await?;
    let told = note(&tenant, "crm", "TokenRevoked").await?;
    ensure!(told.starts_with("TokenRevoked: ") && told.contains(&world.server.host()), "{told}");
    let calls = [("get secrets", 2), ("create events", 1), ("patch oauthclientcredentials", 1)];
    tenant.expect_calls(mark, &calls).await?;
    ensure!(is_active(&tenant, &idle).await?, "the token of another one is left alone");
    tenant.delete("idle").await?;
    wait_gone(&tenant, "idle").await?;
    ensure!(!is_active(&tenant, &idle).await?, "suspended, and the token lives");
    tenant.expect_events("idle", &["TokenIssued", "TokenRevoked"]).await?;
    ensure!(tenant.token_requests().await? == 2, "one token request each");
    wait_for("the Secrets to be collected", COLLECTED, async || {
        for name in ["crm", "idle"] {
            let found = tenant.secrets().get_metadata_opt(name).await?;
            ensure!(found.is_none(), "{name} is there");
        }
        Ok(())
    })
    .await
}

/// The metadata name the endpoint, and the assertion has the audience that it has for a token.
async fn by_issuer(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let client = Client::new(&tenant.client_id, &tenant.client_secret)
        .with_method(AuthMethod::SecretJwt { algorithm: "HS256" });
    world.server.add_client(&client).await?;
    let jwt = json!({"method": "ClientSecretJWT"});
    for (name, place) in [
        (
            "by-issuer",
            json!({"tokenURL": null, "issuer": world.server.issuer(),
            "revocation": {"onDelete": true}}),
        ),
        ("by-url", revocation(&revocation_url(&world))),
    ] {
        let mut changes = json!({ "clientAuthentication": jwt });
        merge(&mut changes, place.clone());
        // RFC 7386 drops the null that removes what the usual spec has.
        if let Some(none) = place.get("tokenURL") {
            changes["tokenURL"] = none.clone();
        }
        let token = issued(&tenant, name, changes).await?;
        tenant.delete(name).await?;
        wait_gone(&tenant, name).await?;
        tenant.expect_events(name, &["TokenIssued", "TokenRevoked"]).await?;
        ensure!(!is_active(&tenant, &token).await?, "{name}: the token lives");
    }
    Ok(())
}

/// On, off, on and off again beside a finalizer of somebody else, who then keeps what is deleted.
async fn edited(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let token = issued(&tenant, "crm", json!({})).await?;
    set_finalizers(&tenant, "crm", &[FOREIGN, "example.com/other"]).await?;
    let foreign = vec![FOREIGN.to_owned(), "example.com/other".to_owned()];
    let both = [foreign.clone(), vec![REVOKE_FINALIZER.to_owned()]].concat();
    let url = revocation_url(&world);
    for (on, finalizers) in [(true, &both), (false, &foreign), (true, &both), (false, &foreign)] {
        let mark = tenant.mark().await?;
        let edit = json!({"spec": {"revocation": {"onDelete": on, "url": url}}});
        tenant.merge("crm", edit).await?;
        tenant.wait_ready("crm").await?;
        let now = tenant.get("crm").await?.metadata.finalizers;
        ensure!(now.as_ref() == Some(finalizers), "{on}: {now:?}");
        let calls =
            [("patch oauthclientcredentials", 1), ("patch oauthclientcredentials/status", 1)];
        tenant.expect_calls(mark, &calls).await?;
    }
    // Somebody takes it away by hand: it is put back.
    tenant.merge("crm", json!({"spec": {"revocation": {"onDelete": true}}})).await?;
    tenant.wait_ready("crm").await?;
    set_finalizers(&tenant, "crm", &[FOREIGN]).await?;
    wait_for("the finalizer to be put back", SOON, async || {
        let now = tenant.get("crm").await?.metadata.finalizers.unwrap_or_default();
        ensure!(now == [FOREIGN, REVOKE_FINALIZER], "{now:?}");
        Ok(())
    })
    .await?;

    tenant.delete("crm").await?;
    wait_for("our finalizer alone to go", SOON, async || {
        let now = tenant.get("crm").await?.metadata.finalizers.unwrap_or_default();
        ensure!(now == [FOREIGN], "{now:?}");
        Ok(())
    })
    .await?;
    tenant.expect_events("crm", &["TokenIssued", "TokenRevoked"]).await?;
    ensure!(!is_active(&tenant, &token).await?, "the token lives");
    // What is being deleted asks for nothing and is not written to, whatever is done to it.
    let mark = tenant.mark().await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "now").await?;
    tenant.delete_secret("crm").await?;
    holds_for("nothing is done for it", Duration::from_secs(2), async || {
        let calls = world.calls(mark, &tenant.namespace).await?;
        ensure!(calls.is_empty(), "{calls:?}");
        Ok(())
    })
    .await?;
    ensure!(tenant.token_requests().await? == 1, "one token request in all");
    set_finalizers(&tenant, "crm", &[]).await?;
    wait_gone(&tenant, "crm").await.map(drop)
}

/// The API server refuses the managed Secret, so the token waits in memory.
async fn unwritten(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let policy = AdmissionPolicy::against_managed_secrets(&tenant, "Forbidden", 403).await?;
    tenant.apply("crm", revocation(&revocation_url(&world))).await?;
    tenant.wait_condition("crm", "SecretSynced", "False", "SecretWriteFailed").await?;
    tenant.delete("crm").await?;
    wait_gone(&tenant, "crm").await?;
    let issued = world.server.issued(&tenant.client_id).await?;
    ensure!(issued.len() == 1 && issued.iter().all(|token| token.revoked), "{issued:?}");
    tenant.expect_events("crm", &["TokenRevoked"]).await?;
    policy.lift().await
}

/// Refused by the endpoint, by the owner of the client Secret, and for want of the client Secret.
async fn refused(world: Arc<World>) -> Outcome {
    let certificate = world.server.server_certificate(Flaw::None)?;
    let answer = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\
        Connection: close\r\n\r\n{\"error\":\"words-of-the-endpoint\"}";
    let host = CountingHost::start_tls(answer, &certificate).await?;
    let url = format!("https://{}/revoke", host.host());
    let tenant = consenting_to(&world, &host.host()).await?;
    let token = issued(&tenant, "crm", revocation(&url)).await?;
    let mark = tenant.mark().await?;
    tenant.delete("crm").await?;
    let took = wait_gone(&tenant, "crm").await?;
    ensure!(took < Duration::from_secs(5), "it took {took:?}");
    tenant.expect_events("crm", &["RevocationFailed", "TokenIssued"]).await?;
    let told = note(&tenant, "crm", "RevocationFailed").await?;
    ensure!(told.starts_with("InvalidRequest: ") && told.contains("HTTP 400"), "{told}");
    ensure!(!told.contains("words-of-the-endpoint"), "{told}");
    ensure!(told.contains("it may be used until 20"), "{told}");
    let calls = [("get secrets", 2), ("create events", 1), ("patch oauthclientcredentials", 1)];
    tenant.expect_calls(mark, &calls).await?;
    let requests = host.requests();
    ensure!(requests.len() == 1, "{} requests", requests.len());
    let request = String::from_utf8_lossy(&requests[0]).into_owned();
    ensure!(request.starts_with("POST /revoke HTTP/1.1\r\n"), "{request}");
    ensure!(request.contains("authorization: Basic "), "{request}");
    ensure!(request.contains(&format!("token={token}&token_type_hint=access_token")), "{request}");

    let other = Tenant::with_client_secret(&world, HOUR).await?;
    let token = issued(&other, "crm", revocation(&url)).await?;
    other.delete("crm").await?;
    wait_gone(&other, "crm").await?;
    other.expect_events("crm", &["RevocationFailed", "TokenIssued"]).await?;
    let told = note(&other, "crm", "RevocationFailed").await?;
    ensure!(told.starts_with("EndpointNotAllowed: ") && told.contains(&host.host()), "{told}");
    ensure!(is_active(&other, &token).await?, "nothing revoked it");

    issued(&other, "erp", revocation(&revocation_url(&world))).await?;
    other.delete_secret(CLIENT_SECRET).await?;
    other.wait_condition("erp", "ResolvedRefs", "False", "CredentialsNotFound").await?;
    other.delete("erp").await?;
    wait_gone(&other, "erp").await?;
    let told = note(&other, "erp", "RevocationFailed").await?;
    ensure!(told.starts_with("CredentialsNotFound: "), "{told}");
    ensure!(host.connections() == 1, "{} connections", host.connections());
    Ok(())
}

/// Connections refused, 500, and a wait longer than there is time; side by side.
async fn down(world: Arc<World>) -> Outcome {
    let certificate = world.server.server_certificate(Flaw::None)?;
    let busy = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let busy = CountingHost::start_tls(busy, &certificate).await?;
    let patient = "HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\
        Connection: close\r\n\r\n";
    let patient = CountingHost::start_tls(patient, &certificate).await?;
    let closed = closed_port()?;
    let closed_host = format!("localhost:{}", closed.number());
    let hosts = format!("{closed_host},{},{}", busy.host(), patient.host());
    let tenant = consenting_to(&world, &hosts).await?;
    for (name, host) in
        [("closed", &closed_host), ("busy", &busy.host()), ("patient", &patient.host())]
    {
        issued(&tenant, name, revocation(&format!("https://{host}/revoke"))).await?;
    }
    let mark = tenant.mark().await?;
    tenant.delete("patient").await?;
    let took = wait_gone(&tenant, "patient").await?;
    ensure!(took < Duration::from_secs(5), "what can't help is not waited for: {took:?}");
    ensure!(patient.requests().len() == 1, "{} requests", patient.requests().len());
    tenant.expect_events("patient", &["RevocationFailed", "TokenIssued"]).await?;
    let calls = [("get secrets", 2), ("create events", 1), ("patch oauthclientcredentials", 1)];
    tenant.expect_calls(mark, &calls).await?;

    let mark = tenant.mark().await?;
    for name in ["closed", "busy"] {
        tenant.delete(name).await?;
    }
    for name in ["closed", "busy"] {
        let told =
            tenant.wait_condition(name, "SecretSynced", "False", "RevocationPending").await?;
        ensure!(told.message.contains("30 s"), "{}", told.message);
    }
    for (name, reason) in [("closed", "EndpointUnreachable: "), ("busy", "ServerError: ")] {
        wait_gone(&tenant, name).await?;
        tenant.expect_events(name, &["RevocationFailed", "TokenIssued"]).await?;
        let told = note(&tenant, name, "RevocationFailed").await?;
        ensure!(told.starts_with(reason), "{told}");
    }
    let attempts = busy.requests().len();
    ensure!((4..=8).contains(&attempts), "{attempts} attempts");
    let calls = world.calls(mark, &tenant.namespace).await?;
    let count = |call: &str| calls.iter().find(|(made, _)| made == call).map_or(0, |(_, n)| *n);
    ensure!(count("patch oauthclientcredentials/status") == 2, "told once each: {calls:?}");
    ensure!(count("patch oauthclientcredentials") == 2, "let go once each: {calls:?}");
    ensure!(count("create events") == 2 && calls.len() == 4, "{calls:?}");
    ensure!(tenant.token_requests().await? == 3, "one token request each");
    Ok(())
}

async fn hangs(world: Arc<World>) -> Outcome {
    let silent = SilentHost::start().await?;
    let tenant = consenting_to(&world, &silent.host()).await?;
    issued(&tenant, "crm", revocation(&format!("https://{}/revoke", silent.host()))).await?;
    let mark = tenant.mark().await?;
    tenant.delete("crm").await?;
    tenant.wait_condition("crm", "SecretSynced", "False", "RevocationPending").await?;
    let took = wait_gone(&tenant, "crm").await?;
    ensure!(took > Duration::from_secs(15), "more than one attempt: {took:?}");
    tenant.expect_events("crm", &["RevocationFailed", "TokenIssued"]).await?;
    let told = note(&tenant, "crm", "RevocationFailed").await?;
    ensure!(told.starts_with("EndpointUnreachable: "), "{told}");
    ensure!((2..=6).contains(&silent.connections()), "{} attempts", silent.connections());
    let calls = world.calls(mark, &tenant.namespace).await?;
    let status = calls.iter().find(|(call, _)| call == "patch oauthclientcredentials/status");
    ensure!(status.is_some_and(|(_, count)| *count == 1), "{calls:?}");
    Ok(())
}

/// The Secret is gone, is somebody else's, holds an expired token, or never was; or the wish is gone.
async fn nothing_to_revoke(world: Arc<World>) -> Outcome {
    let certificate = world.server.server_certificate(Flaw::None)?;
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let host = CountingHost::start_tls(answer, &certificate).await?;
    let tenant = consenting_to(&world, &host.host()).await?;
    let url = format!("https://{}/revoke", host.host());
    let mut names = Vec::new();
    for name in ["gone", "foreign", "off"] {
        issued(&tenant, name, revocation(&url)).await?;
        names.push(name);
    }
    for name in ["gone", "foreign"] {
        tenant.merge(name, json!({"spec": {"suspend": true}})).await?;
        tenant.wait_ready(name).await?;
        tenant.until_looked_at(name, tenant.delete_secret(name)).await?;
    }
    let somebodys = json!({"metadata": {"name": "foreign"}, "stringData": {"token": "theirs"}});
    tenant.until_looked_at("foreign", tenant.apply_secret(somebodys)).await?;
    tenant.merge("off", json!({"spec": {"revocation": {"onDelete": false}}})).await?;
    tenant.wait_ready("off").await?;
    let mut never = revocation(&url);
    never["suspend"] = json!(true);
    tenant.apply("never", never).await?;
    tenant.wait_condition("never", "Ready", "False", "Suspended").await?;
    tenant.wait_condition("foreign", "SecretSynced", "False", "SecretNotOwned").await?;
    for (name, events) in [
        ("gone", &["TokenIssued"][..]),
        ("foreign", &["SecretNotOwned", "TokenIssued"]),
        ("off", &["TokenIssued"]),
        ("never", &[]),
    ] {
        tenant.expect_events(name, events).await?;
        let mark = tenant.mark().await?;
        tenant.delete(name).await?;
        let took = wait_gone(&tenant, name).await?;
        ensure!(took < Duration::from_secs(5), "{name}: it took {took:?}");
        // No event has ever told of the Secret of `never`, so it is looked for.
        let release = [("patch oauthclientcredentials", 1), ("get secrets", 1)];
        let calls = match name {
            "off" => &[],
            "never" => &release[..],
            _ => &release[..1],
        };
        tenant.expect_calls(mark, calls).await?;
        tenant.expect_events(name, events).await?;
    }
    let foreign = tenant.token("foreign").await?;
    ensure!(foreign == "theirs", "the Secret of somebody else is as it was");
    ensure!(host.connections() == 0, "{} connections", host.connections());

    // 10 s are long enough to be Ready, and not renewed while suspended.
    let short = Tenant::with_client_secret(&world, Duration::from_secs(10)).await?;
    short.apply("crm", revocation(&url)).await?;
    short.wait_ready("crm").await?;
    short.merge("crm", json!({"spec": {"suspend": true}})).await?;
    short.wait_condition("crm", "Ready", "False", "TokenExpired").await?;
    short.delete("crm").await?;
    wait_gone(&short, "crm").await?;
    let reasons = short.event_reasons("crm").await?;
    let bad = |reason: &String| reason == "RevocationFailed" || reason == "TokenRevoked";
    ensure!(!reasons.iter().any(bad), "{reasons:?}");
    Ok(())
}

/// One whose endpoint answers and one whose endpoint does not; the Secrets stay to the end.
async fn namespace_deleted(world: Arc<World>) -> Outcome {
    let closed = closed_port()?;
    let host = format!("localhost:{}", closed.number());
    let tenant = consenting_to(&world, &host).await?;
    let token = issued(&tenant, "crm", revocation(&revocation_url(&world))).await?;
    issued(&tenant, "erp", revocation(&format!("https://{host}/revoke"))).await?;
    for secret in [CLIENT_SECRET, "crm", "erp"] {
        tenant.merge_secret(secret, json!({"metadata": {"finalizers": [FOREIGN]}})).await?;
    }
    let namespaces = Api::<Namespace>::all(world.plane.admin_client());
    namespaces.delete(&tenant.namespace, &DeleteParams::default()).await?;
    wait_for("the namespace to delete what is in it", SOON, async || {
        let found = tenant.credentials().get_opt("erp").await?;
        ensure!(found.is_none_or(|found| found.metadata.deletion_timestamp.is_some()));
        Ok(())
    })
    .await?;
    for name in ["crm", "erp"] {
        wait_gone(&tenant, name).await?;
    }
    ensure!(!is_active(&tenant, &token).await?, "the token lives");
    ensure!(tenant.token_requests().await? == 2, "no token request more");
    for secret in [CLIENT_SECRET, "crm", "erp"] {
        tenant.merge_secret(secret, json!({"metadata": {"finalizers": null}})).await?;
    }
    wait_for("the namespace to be gone", COLLECTED, async || {
        let found = namespaces.get_opt(&tenant.namespace).await?;
        ensure!(found.is_none(), "it is there");
        Ok(())
    })
    .await
}

/// Deleted while no operator runs: held until one comes, or until a person takes the finalizer away.
async fn late(world: Arc<World>) -> Outcome {
    let silent = SilentHost::start().await?;
    let tenant = consenting_to(&world, &silent.host()).await?;
    let real = revocation(&revocation_url(&world));
    let token = issued(&tenant, "real", real.clone()).await?;
    let by_hand = issued(&tenant, "by-hand", real).await?;
    issued(&tenant, "silent", revocation(&format!("https://{}/revoke", silent.host()))).await?;
    world.take_operator()?.kill();
    for name in ["real", "by-hand", "silent"] {
        tenant.delete(name).await?;
    }
    // As the page of the how-to says it.
    let page = include_str!("../../docs/how-to/revoke-on-delete.md");
    let patch = page.lines().find_map(|line| line.trim().strip_prefix("'[")).context("a patch")?;
    let patch = format!("[{}", patch.trim_end_matches('\''));
    let command = ["-n", &tenant.namespace, "patch", "occ", "by-hand", "--type=json", "-p", &patch];
    world.plane.kubectl(&command).await?;
    wait_gone(&tenant, "by-hand").await?;
    ensure!(is_active(&tenant, &by_hand).await?, "nobody revoked it");
    let deleted_at = tenant.get("silent").await?.metadata.deletion_timestamp.context("deleted")?;
    wait_for("30 s to pass since the deletion", Duration::from_secs(40), async || {
        let passed = Timestamp::now().duration_since(deleted_at.0).as_secs();
        if passed > 31 { Ok(()) } else { Err(format!("{passed} s")) }
    })
    .await?;
    ensure!(tenant.get("real").await?.finalizers() == [REVOKE_FINALIZER], "held all the time");
    let requests = tenant.token_requests().await?;
    world.start_operator().await?;
    let took = wait_gone(&tenant, "real").await?;
    ensure!(took < Duration::from_secs(5), "it took {took:?}");
    ensure!(!is_active(&tenant, &token).await?, "the token lives");
    tenant.expect_events("real", &["TokenIssued", "TokenRevoked"]).await?;
    let took = wait_gone(&tenant, "silent").await?;
    ensure!(took < Duration::from_secs(15), "it took {took:?}");
    tenant.expect_events("silent", &["RevocationFailed", "TokenIssued"]).await?;
    ensure!(tenant.token_requests().await? == requests, "no token request more");
    Ok(())
}

async fn forbidden(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let rights = Rights::to_hold_credentials_taken(&world, &tenant.namespace).await?;
    tenant.apply("plain", json!({})).await?;
    tenant.wait_ready("plain").await?;
    tenant.apply("crm", revocation(&revocation_url(&world))).await?;
    let told = tenant.wait_condition("crm", "ResolvedRefs", "False", "Forbidden").await?;
    ensure!(told.message.contains("verb patch on oauthclientcredentials"), "{}", told.message);
    ensure!(tenant.token_requests().await? == 1, "no token without the finalizer");
    rights.give_back().await?;
    tenant.wait_conditions("crm", crate::tenant::ALL_GOOD).await?;
    ensure!(tenant.get("crm").await?.finalizers() == [REVOKE_FINALIZER], "held");
    ensure!(tenant.token_requests().await? == 2, "one token request each");

    // One that is not wanted any more keeps the credential from nothing.
    let rights = Rights::to_hold_credentials_taken(&world, &tenant.namespace).await?;
    tenant.merge("crm", json!({"spec": {"revocation": null}})).await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "now").await?;
    tenant.wait_revision("crm", 2).await?;
    tenant.wait_conditions("crm", crate::tenant::ALL_GOOD).await?;
    ensure!(tenant.get("crm").await?.finalizers() == [REVOKE_FINALIZER], "it stays for now");
    rights.give_back().await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "again").await?;
    tenant.wait_revision("crm", 3).await?;
    ensure!(tenant.get("crm").await?.finalizers().is_empty(), "taken away at the next look");
    Ok(())
}

/// In the Secret of a rename that could not be carried out, and in one that lacks a value of the response.
async fn elsewhere(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let url = revocation_url(&world);
    let somebodys = json!({"metadata": {"name": "taken"}, "stringData": {"token": "theirs"}});
    tenant.apply_secret(somebodys).await?;
    for (name, target, (condition, reason), events) in [
        (
            "renamed",
            json!({"name": "taken"}),
            ("SecretSynced", "SecretNotOwned"),
            &["SecretNotOwned", "TokenIssued", "TokenRevoked"][..],
        ),
        (
            "incomplete",
            json!({"additionalOutputFormats": [
                {"type": "Response", "key": "nobody", "response": {"pointer": "/no/such/member"}}]}),
            ("RequestSucceeded", "MalformedResponse"),
            &["TokenIssued", "TokenRequestFailed", "TokenRevoked"],
        ),
    ] {
        let token = issued(&tenant, name, revocation(&url)).await?;
        tenant.merge(name, json!({"spec": {"target": target}})).await?;
        tenant.wait_condition(name, condition, "False", reason).await?;
        ensure!(is_active(&tenant, &token).await?, "{name}: the token is dead too early");
        tenant.delete(name).await?;
        wait_gone(&tenant, name).await?;
        ensure!(!is_active(&tenant, &token).await?, "{name}: the token lives");
        tenant.expect_events(name, events).await?;
    }
    let foreign = tenant.token("taken").await?;
    ensure!(foreign == "theirs", "the Secret of somebody else is as it was");
    Ok(())
}
