//! What the endpoint may answer instead of a token, and what is told of it: the reason, whether
//! waiting helps, and when it is asked again.
//!
//! **Invariant:** a token that was granted before stays as it is, byte for byte, and nothing that an
//! endpoint wrote is repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use libtest_mimic::Trial;
use oauthcc_harness::authorization_server::Failure;
use oauthcc_harness::faults::CountingHost;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::{OAuthClientCredentialStatus, RENEW_REQUESTED_AT};
use serde_json::json;

use crate::figures::Figures;
use crate::tenant::{ALL_GOOD, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
/// How long a corrected client Secret takes to a token by promise; four times that on a busy machine.
const PROMISED: Duration = Duration::from_secs(5);
/// Nothing is told of a request that takes less.
const PENDING: Duration = Duration::from_secs(2);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("a_wrong_client_secret_stalls_at_the_third_answer", wrong_secret),
        suite.shared("a_spec_that_the_endpoint_refuses_leaves_the_older_token", refused_edit),
        suite.shared("each_answer_has_its_reason_and_its_schedule", answers),
        suite.shared("a_first_grant_is_told_of_while_it_takes_longer_than_two_seconds", slow_first),
        suite.shared("a_slow_edit_is_told_of_and_a_slow_renewal_is_not", slow_later),
    ]
}

/// The conditions after a failed request without any token before it.
fn failed(reason: &str, end: &str) -> String {
    format!(
        "Ready=False/{reason} ResolvedRefs=True/ResolvedRefs RequestSucceeded=False/{reason} \
         SecretSynced=Unknown/Issuing {end}"
    )
}

/// From the latest failure to the next attempt, in seconds: both are whole ones in the status.
fn wait(status: &OAuthClientCredentialStatus) -> anyhow::Result<i64> {
    let failed_at = status.last_failure_time.as_ref().context("when it failed")?;
    let next = status.next_attempt_time.as_ref().context("a next attempt")?;
    Ok(next.0.duration_since(failed_at.0).as_secs())
}

async fn wrong_secret(world: Arc<World>) -> Outcome {
    let all = try_join_all((0..3).map(|_| one_wrong_secret(&world))).await?;
    let mut told = Figures::of("InvalidClient after the credential was created");
    let mut stalled = Figures::of("Stalled after the credential was created");
    let mut ready = Figures::of("Ready after the client Secret was corrected");
    for [first, third, corrected] in all {
        told.add(first);
        stalled.add(third);
        ready.add(corrected);
    }
    for (figures, promised) in [(&told, PROMISED), (&stalled, MINUTE), (&ready, PROMISED)] {
        figures.print();
        ensure!(figures.max() < promised * 4, "it took {:?}", figures.max());
    }
    Ok(())
}

/// Times of the first answer's status, of Stalled, and from the correction to Ready.
async fn one_wrong_secret(world: &Arc<World>) -> anyhow::Result<[Duration; 3]> {
    let tenant = Tenant::new(world, HOUR).await?;
    tenant.apply_client_secret("not-the-secret").await?;
    let created_at = Instant::now();
    tenant.apply("crm", json!({})).await?;
    let retrying = failed("InvalidClient", "Reconciling=True/Retrying");
    let status = tenant.wait_conditions("crm", &retrying).await?;
    let told = created_at.elapsed();
    ensure!(tenant.token_requests().await? == 1, "one token request so far");
    ensure!((10..=11).contains(&wait(&status)?), "the second one after {} s", wait(&status)?);
    let since = status.conditions.first().context("Ready")?.last_transition_time.clone();

    wait_for("the second answer to be told", MINUTE, async || {
        let status = tenant.status("crm").await?;
        let stalled = status.conditions.iter().any(|told| told.type_ == "Stalled");
        ensure!(!stalled, "Stalled after {:?} answers", status.failed_attempts);
        ensure!(status.failed_attempts == Some(2), "{:?} failed", status.failed_attempts);
        Ok(())
    })
    .await?;
    let status = tenant.wait_conditions("crm", &retrying).await?;
    ensure!(tenant.token_requests().await? == 2, "two token requests so far");
    ensure!((20..=21).contains(&wait(&status)?), "the third one after {} s", wait(&status)?);

    let stalled = failed("InvalidClient", "Stalled=True/InvalidClient");
    let status = tenant.wait_conditions("crm", &stalled).await?;
    let stalled = created_at.elapsed();
    ensure!(tenant.token_requests().await? == 3, "Stalled at the third answer");
    ensure!(status.failed_attempts == Some(3), "{:?} failed", status.failed_attempts);
    ensure!((40..=41).contains(&wait(&status)?), "the fourth one after {} s", wait(&status)?);
    let ready = status.conditions.first().context("Ready")?;
    ensure!(ready.last_transition_time == since, "Ready stayed False");
    ensure!(ready.message.contains("check the client ID and the client secret"), "{ready:?}");
    tenant.expect_events("crm", &["TokenRequestFailed"]).await?;

    tenant.apply_client_secret(&tenant.client_secret).await?;
    let corrected_at = Instant::now();
    let status = tenant.wait_conditions("crm", ALL_GOOD).await?;
    let corrected = corrected_at.elapsed();
    ensure!(tenant.token_requests().await? == 4, "one token request for the correction");
    let forgotten = (Some(0), None, None);
    let left = (status.failed_attempts, status.last_failure_time, status.last_failure_inputs);
    ensure!(left == forgotten, "the failures are forgotten: {left:?}");
    tenant.expect_events("crm", &["TokenIssued", "TokenRequestFailed"]).await?;
    Ok([told, stalled, corrected])
}

async fn refused_edit(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({"scopes": ["orders.read"]})).await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    let secret = tenant.secrets().get("crm").await?;
    let edit = json!({"spec": {"scopes": ["orders.read", "payments.write"]}});
    tenant.merge("crm", edit).await?;
    let refused = "Ready=False/TokenOutdated ResolvedRefs=True/ResolvedRefs \
        RequestSucceeded=False/InvalidScope SecretSynced=True/SecretSynced \
        Stalled=True/InvalidScope";
    let status = tenant.wait_conditions("crm", refused).await?;
    ensure!(tenant.token_requests().await? == 2, "one token request for the edit");
    ensure!(status.failed_attempts == Some(1), "{:?} failed", status.failed_attempts);
    ensure!((60..=61).contains(&wait(&status)?), "the next one after {} s", wait(&status)?);
    for condition in status.conditions.iter().filter(|told| told.reason == "InvalidScope") {
        let message = &condition.message;
        ensure!(message.contains("HTTP 400 with invalid_scope"), "{message:?}");
        ensure!(message.contains(&world.server.host()), "{message:?}");
    }
    ensure!(tenant.secrets().get("crm").await? == secret, "the managed Secret is as it was");
    let token = tenant.token("crm").await?;
    ensure!(world.server.introspect(&token).await?.active, "and its token lives");
    tenant.expect_events("crm", &["TokenIssued", "TokenRequestFailed"]).await?;

    tenant.merge("crm", json!({"spec": {"scopes": ["orders.read"]}})).await?;
    let status = tenant.wait_conditions("crm", ALL_GOOD).await?;
    ensure!(status.failed_attempts == Some(0), "the failure of the other spec is forgotten");
    let renewal = status.token.context("it has a token")?.renewal_time;
    ensure!(status.next_attempt_time == Some(renewal), "the renewal is what comes next");
    holds_for("the token that fits again is kept", PENDING, async || {
        ensure!(tenant.token_requests().await? == 2, "another token was asked for");
        ensure!(tenant.secrets().get("crm").await? == secret, "the managed Secret was written");
        Ok(())
    })
    .await?;
    // What was refused is tried again: this is another edit.
    tenant.merge("crm", json!({"spec": {"scopes": ["payments.write"]}})).await?;
    tenant.wait_conditions("crm", refused).await?;
    ensure!(tenant.token_requests().await? == 3, "one token request for the new edit");
    Ok(())
}

/// An answer and what follows from it.
struct Case {
    name: &'static str,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    reason: &'static str,
    /// Whether waiting can't help, already at the first answer.
    terminal: bool,
    /// The fewest and most seconds to the second attempt.
    waits: (i64, i64),
}

/// Said by the endpoint, and by nobody else.
const OWN_TEXT: &str = "gobbledygook";
const PAGE: &str = "<!DOCTYPE html><html><body>gobbledygook</body></html>";

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let case = |name, status, body, reason, terminal, waits| Case {
        name, status, headers: &[], body, reason, terminal, waits,
    };
    // The times of the status are whole seconds: the failure's cut off, the next attempt's rounded up.
    let (quick, minute, gap, once, half_minute) = ((3, 6), (60, 61), (10, 11), (10, 11), (30, 34));
    let told = r#"{"error_description":"gobbledygook"}"#;
    vec![
        case("s500", 500, told, "ServerError", false, quick),
        case("s502-page", 502, PAGE, "ServerError", false, quick),
        case("s503", 503, told, "ServerError", false, quick),
        case("s408", 408, "", "ServerError", false, quick),
        Case { headers: &[("retry-after", "30")], ..case("s503-after", 503, told, "RateLimited", false, half_minute) },
        Case { headers: &[("retry-after", "30")], ..case("s429-after", 429, told, "RateLimited", false, half_minute) },
        case("s429", 429, told, "RateLimited", false, (60, 67)),
        case("s401", 401, r#"{"error":"unauthorized_client"}"#, "InvalidClient", false, once),
        case("s403", 403, "", "AccessDenied", true, minute),
        case("s404", 404, PAGE, "EndpointNotFound", true, minute),
        case("s405", 405, told, "EndpointNotFound", true, minute),
        case("s413", 413, told, "InvalidRequest", true, minute),
        case("s302", 302, "", "EndpointRedirects", true, minute),
        case("c-client", 400, r#"{"error":"invalid_client"}"#, "InvalidClient", false, once),
        case("c-unauthorized", 400, r#"{"error":"unauthorized_client"}"#, "UnauthorizedClient", true, minute),
        case("c-grant", 400, r#"{"error":"invalid_grant"}"#, "InvalidGrant", true, minute),
        case("c-denied", 400, r#"{"error":"access_denied"}"#, "AccessDenied", true, minute),
        case("c-scope", 400, r#"{"error":"invalid_scope"}"#, "InvalidScope", true, minute),
        case("c-target", 400, r#"{"error":"invalid_target"}"#, "InvalidTarget", true, minute),
        case("c-type", 400, r#"{"error":"unsupported_grant_type"}"#, "UnsupportedGrantType", true, minute),
        case("c-slow", 400, r#"{"error":"slow_down"}"#, "RateLimited", false, (60, 67)),
        case("c-server", 400, r#"{"error":"server_error"}"#, "ServerError", false, quick),
        case("c-unknown", 400, r#"{"error":"gobbledygook"}"#, "InvalidRequest", true, minute),
        case("ok-page", 200, PAGE, "ServerError", false, quick),
        case("ok-empty", 200, "{}", "MalformedResponse", false, gap),
        case("ok-error", 200, r#"{"access_token":"t","error":"gobbledygook"}"#, "MalformedResponse", false, gap),
        case("ok-dpop", 200, r#"{"access_token":"t","token_type":"DPoP"}"#, "UnsupportedTokenType", false, gap),
    ]
}

async fn answers(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let elsewhere = CountingHost::start("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    let location = format!("https://{}/token", elsewhere.host());
    try_join_all(cases().iter().map(|case| one_answer(&tenant, case, &location))).await?;
    ensure!(elsewhere.connections() == 0, "a redirect was followed");
    Ok(())
}

/// Each has a client ID of its own, which the server need not know: it answers as it is told.
async fn one_answer(tenant: &Tenant, case: &Case, location: &str) -> Outcome {
    let Case { name, status, headers, body, reason, terminal, waits } = case;
    let client_id = format!("{}-{name}", tenant.client_id);
    let mut failure = Failure::new(*status, body);
    if body.starts_with('<') {
        failure.headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    }
    for (name, value) in *headers {
        failure = failure.with_header(name, value);
    }
    if *status == 302 {
        failure = failure.with_header("location", location);
    }
    tenant.world.server.fail_with(&client_id, &failure).await?;
    tenant.apply(name, json!({"clientID": client_id})).await?;
    let stalled = failed(reason, &format!("Stalled=True/{reason}"));
    let retrying = failed(reason, "Reconciling=True/Retrying");
    let told = tenant.wait_conditions(name, if *terminal { &stalled } else { &retrying }).await;
    let told = told.with_context(|| format!("HTTP {status} {body}"))?;
    // A busy machine may look when the second attempt of a transient failure was made.
    let doubled = 1 << (told.failed_attempts.context("a count")? - 1);
    let expected = (waits.0 - 1) * doubled + 1..=waits.1 * doubled;
    let waited = wait(&told)?;
    ensure!(expected.contains(&waited), "{name}: the next one after {waited} s");
    tenant.expect_events(name, &["TokenRequestFailed"]).await?;
    let notes = serde_json::to_string(&tenant.events(name).await?)?;
    let all = format!("{} {notes}", serde_json::to_string(&tenant.status(name).await?)?);
    ensure!(!all.contains(OWN_TEXT), "{name}: the endpoint's own words in {all}");
    if reason.starts_with("Malformed") || reason.starts_with("UnsupportedToken") {
        let told = tenant.wait_conditions(name, &stalled).await?;
        let made = tenant.world.server.token_requests(&client_id).await?;
        ensure!(made == 2, "{name}: Stalled at answer {made}, not at the second one");
        ensure!((60..=61).contains(&wait(&told)?), "{name}: then after {} s", wait(&told)?);
    }
    Ok(())
}

async fn wait_held(tenant: &Tenant) -> Outcome {
    wait_for("the answer to be held back", SOON, async || {
        let held = tenant.world.server.held(&tenant.client_id).await?;
        ensure!(held == 1, "{held} are");
        Ok(())
    })
    .await
}

async fn slow_first(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    world.server.hold(&tenant.client_id).await?;
    let mark = tenant.mark().await?;
    let applied_at = Instant::now();
    tenant.apply("crm", json!({})).await?;
    wait_held(&tenant).await?;
    // The reads come before the request, so nothing is told for less than the whole 2 s.
    let quiet = PENDING.saturating_sub(applied_at.elapsed() + PENDING / 4);
    let reads = [("get secrets".to_owned(), 2)];
    holds_for("nothing is told yet", quiet, async || {
        let calls = world.calls(mark, &tenant.namespace).await?;
        let observed = tenant.status("crm").await?.observed_generation;
        // On a busy machine the look itself may have taken that long.
        let early = applied_at.elapsed() < PENDING;
        ensure!(!early || calls == reads, "{calls:?}");
        ensure!(!early || observed == Some(-1), "observed {observed:?}");
        Ok(())
    })
    .await?;
    let issuing = "Ready=Unknown/Issuing ResolvedRefs=Unknown/Issuing \
        RequestSucceeded=Unknown/Issuing SecretSynced=Unknown/Issuing Reconciling=True/Issuing";
    tenant.wait_conditions("crm", issuing).await?;
    let told = applied_at.elapsed();
    ensure!((PENDING..PENDING * 4).contains(&told), "told after {told:?}");
    let once =
        [reads.as_slice(), &[("patch oauthclientcredentials/status".to_owned(), 1)]].concat();
    holds_for("it is told once", PENDING, async || {
        let calls = world.calls(mark, &tenant.namespace).await?;
        ensure!(calls == once, "{calls:?}");
        Ok(())
    })
    .await?;
    world.server.release(&tenant.client_id).await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    let calls = [
        ("get secrets", 2),
        ("patch secrets", 1),
        ("patch oauthclientcredentials/status", 2),
        ("create events", 1),
    ];
    tenant.expect_calls(mark, &calls).await?;
    ensure!(tenant.token_requests().await? == 1, "one token request");
    Ok(())
}

async fn slow_later(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    tenant.expect_events("crm", &["TokenIssued"]).await?;
    world.server.hold(&tenant.client_id).await?;
    let mark = tenant.mark().await?;
    tenant.annotate("crm", RENEW_REQUESTED_AT, "now").await?;
    wait_held(&tenant).await?;
    let reads = [("get secrets".to_owned(), 1)];
    holds_for("nothing is told while the token is valid", PENDING * 2, async || {
        let calls = world.calls(mark, &tenant.namespace).await?;
        ensure!(calls == reads, "{calls:?}");
        Ok(())
    })
    .await?;
    world.server.release(&tenant.client_id).await?;
    tenant.wait_revision("crm", 2).await?;
    tenant.expect_events("crm", &["RenewRequested", "TokenIssued"]).await?;

    world.server.hold(&tenant.client_id).await?;
    let mark = tenant.mark().await?;
    tenant.merge("crm", json!({"spec": {"scopes": ["orders.read"]}})).await?;
    let outdated = ALL_GOOD.replace("True/TokenValid", "False/TokenOutdated");
    tenant.wait_conditions("crm", &format!("{outdated} Reconciling=True/Issuing")).await?;
    ensure!(tenant.token_requests().await? == 3, "the request is on its way");
    world.server.release(&tenant.client_id).await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    let calls =
        [("get secrets", 1), ("patch secrets", 1), ("patch oauthclientcredentials/status", 2)];
    tenant.expect_calls(mark, &calls).await?;
    ensure!(tenant.token_requests().await? == 3, "one token request for the edit");
    Ok(())
}
