//! What stands in the way before anything is sent: a client Secret that is missing or unusable, a
//! host without consent, a URL that must not be used, a Secret of somebody else at the target.
//!
//! **Invariant:** that nothing was sent is counted where it would arrive: token requests at the
//! authorization server, connections at a host that counts them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use oauthcc_harness::faults::CountingHost;
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::ALLOWED_TOKEN_HOSTS;
use serde_json::{Value, json};

use crate::figures::Figures;
use crate::tenant::{ALL_GOOD, CLIENT_SECRET, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HALF_MINUTE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
/// How long a corrected client Secret takes to a token by promise; four times that on a busy machine.
const PROMISED: Duration = Duration::from_secs(5);
/// For how long nothing may follow.
const A_WHILE: Duration = Duration::from_secs(2);
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("an_unusable_client_secret_is_named_and_its_correction_tried", unusable),
        suite.shared("what_a_spec_names_that_there_is_not_is_told_in_its_reason", named_in_vain),
        suite.shared("a_client_secret_lost_while_a_token_lives_leaves_it_ready", lost_meanwhile),
        suite.shared("a_client_secret_that_stays_away_lets_the_token_expire", stays_away),
        suite.shared(
            "without_consent_nothing_connects_and_the_message_says_what_to_add",
            no_consent,
        ),
        suite.shared("an_annotation_with_a_malformed_entry_consents_to_nothing", malformed),
        suite.shared("a_url_that_must_not_be_used_is_never_dialled", unusable_urls),
        suite.shared("an_address_refused_as_written_is_no_attempt", refused_addresses),
    ]
}

/// The conditions of one without a token that something it names keeps from asking.
fn blocked_by(reason: &str) -> String {
    format!(
        "Ready=False/{reason} ResolvedRefs=False/{reason} RequestSucceeded=Unknown/Issuing \
         SecretSynced=Unknown/Issuing Reconciling=True/Retrying"
    )
}

/// The conditions of one with a valid token of which only the references are not what they should be.
fn valid_but(reason: &str) -> String {
    ALL_GOOD.replace("True/ResolvedRefs", &format!("False/{reason}"))
}

/// The client Secret of a credential, what is wrong with it, and what is to be said about it.
struct Fault {
    name: &'static str,
    /// What it holds; `None`: there is none.
    data: Option<Value>,
    reason: &'static str,
    says: &'static [&'static str],
}

fn faults() -> Vec<Fault> {
    let fault = |name, data, reason, says| Fault { name, data, reason, says };
    // Values in base64: `id`, `secret`, nothing, a byte that is no UTF-8, two lines.
    let with = |secret: &str| Some(json!({"client-id": "aWQ=", "client-secret": secret}));
    let (id_only, secret_only) = (json!({"client-id": "aWQ="}), json!({"client-secret": "c2Vj"}));
    let (no_key, bad) = ("CredentialsKeyMissing", "CredentialsInvalid");
    vec![
        fault("absent", None, "CredentialsNotFound", &["Secret of-absent"]),
        fault("no-secret", Some(id_only), no_key, &["Secret of-no-secret", "key client-secret"]),
        fault("no-id", Some(secret_only), no_key, &["Secret of-no-id", "key client-id"]),
        fault("empty", with(""), bad, &["Secret of-empty", "client-secret", "is empty"]),
        fault("line-end", with("Cg=="), bad, &["Secret of-line-end", "client-secret", "is empty"]),
        fault("bytes", with("/w=="), bad, &["Secret of-bytes", "client-secret", "not UTF-8"]),
        fault(
            "lines",
            with("YQpi"),
            bad,
            &["Secret of-lines", "client-secret", "control character"],
        ),
    ]
}

/// The reasons that no other test reaches on a cluster.
async fn named_in_vain(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    // Port 9 is "discard": nobody listens there.
    let nobody = "localhost:9";
    let values = json!({"client-id": tenant.client_id, "client-secret": tenant.client_secret});
    tenant.apply_consenting_secret("consents", nobody, values).await?;
    let provider = json!({"tokenURL": null, "provider": {"name": "Nowhere"}});
    let certificate = json!({"tls": {"clientCertificateSecretRef": {"name": "nowhere"}}});
    let bundle = json!({"tls": {"caBundleRef": {"kind": "ConfigMap", "name": "nowhere"}}});
    let issuer = json!({"tokenURL": null, "issuer": format!("https://{nobody}"),
        "credentialsSecretRef": {"name": "consents"}});
    for (name, spec, condition, reason) in [
        ("provider", provider, "ResolvedRefs", "ProviderUnknown"),
        ("certificate", certificate, "ResolvedRefs", "CertificateNotFound"),
        ("bundle", bundle, "ResolvedRefs", "CABundleNotFound"),
        ("issuer", issuer, "RequestSucceeded", "DiscoveryFailed"),
    ] {
        tenant.apply(name, spec).await?;
        tenant.wait_condition(name, condition, "False", reason).await?;
        tenant.wait_condition(name, "Ready", "False", reason).await?;
    }
    ensure!(tenant.token_requests().await? == 0, "no token request");
    Ok(())
}

/// Each correction ends with the line end that `echo` and editors leave.
async fn unusable(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let metadata = |name: &str| json!({"name": format!("of-{name}"), "annotations": {ALLOWED_TOKEN_HOSTS: world.server.host()}});
    let faults = faults();
    for Fault { name, data, .. } in &faults {
        if let Some(data) = data {
            tenant.apply_secret(json!({"metadata": metadata(name), "data": data})).await?;
        }
        let reference = json!({"credentialsSecretRef": {"name": format!("of-{name}")}});
        tenant.apply(name, reference).await?;
    }
    for Fault { name, reason, says, .. } in &faults {
        let status = tenant.wait_conditions(name, &blocked_by(reason)).await?;
        for condition in status.conditions.iter().filter(|told| told.reason == *reason) {
            let (kind, message) = (&condition.type_, &condition.message);
            ensure!(says.iter().all(|part| message.contains(part)), "{name}: {kind} {message:?}");
        }
        ensure!(status.next_attempt_time.is_none(), "{name}: it waits for more than time");
        ensure!(status.failed_attempts == Some(0), "{name}: nothing was attempted");
        tenant.expect_events(name, &["CredentialsNotFound"]).await?;
    }
    ensure!(tenant.token_requests().await? == 0, "no token request");

    let mut figures = Figures::of("Ready after the client Secret appeared or was corrected");
    let corrected = json!({
        "client-id": tenant.client_id,
        "client-secret": format!("{}\n", tenant.client_secret),
    });
    for (number, Fault { name, .. }) in faults.iter().enumerate() {
        let secret = json!({"metadata": metadata(name), "stringData": corrected});
        tenant.apply_secret(secret).await?;
        let corrected_at = Instant::now();
        tenant.wait_conditions(name, ALL_GOOD).await?;
        figures.add(corrected_at.elapsed());
        ensure!(tenant.token_requests().await? == number + 1, "{name}: one token request");
        tenant.expect_events(name, &["CredentialsNotFound", "TokenIssued"]).await?;
    }
    figures.print();
    ensure!(figures.max() < PROMISED * 4, "it took {:?}", figures.max());
    Ok(())
}

async fn lost_meanwhile(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    tenant.apply("crm", json!({})).await?;
    let before = tenant.wait_conditions("crm", ALL_GOOD).await?;
    let since = before.conditions.first().map(|ready| ready.last_transition_time.clone());
    let renewal = before.token.context("it has a token")?.renewal_time;
    let secret = tenant.secrets().get("crm").await?;
    for (reason, change) in [
        ("CredentialsNotFound", None),
        ("CredentialsKeyMissing", Some(json!({"data": {"client-secret": null}}))),
        ("CredentialsKeyMissing", Some(json!({"data": {"client-id": null}}))),
        ("CredentialsInvalid", Some(json!({"stringData": {"client-secret": ""}}))),
    ] {
        match change {
            None => tenant.delete_secret(CLIENT_SECRET).await?,
            Some(change) => tenant.merge_secret(CLIENT_SECRET, change).await?,
        }
        let status = tenant.wait_conditions("crm", &valid_but(reason)).await?;
        let ready = status.conditions.first().context("Ready")?;
        ensure!(Some(&ready.last_transition_time) == since.as_ref(), "Ready stayed True");
        ensure!(status.next_attempt_time.as_ref() == Some(&renewal), "the renewal stands");
        tenant.apply_client_secret(&tenant.client_secret).await?;
        tenant.wait_conditions("crm", ALL_GOOD).await?;
    }
    ensure!(tenant.token_requests().await? == 1, "no token request for a value that came back");
    ensure!(tenant.secrets().get("crm").await? == secret, "the managed Secret is as it was");
    // Each reason is an event of its own; that of the second key is folded into that of the first.
    let told = ["CredentialsNotFound"; 3];
    tenant.expect_events("crm", &[told.as_slice(), &["TokenIssued"]].concat()).await
}

async fn stays_away(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HALF_MINUTE).await?;
    tenant.apply("crm", json!({})).await?;
    let status = tenant.wait_conditions("crm", ALL_GOOD).await?;
    let expiry = status.token.context("it has a token")?.expiration_time;
    let secret = tenant.secrets().get("crm").await?;
    tenant.delete_secret(CLIENT_SECRET).await?;
    let status = tenant.wait_conditions("crm", &valid_but("CredentialsNotFound")).await?;
    ensure!(status.next_attempt_time.is_some(), "the renewal is yet to come");
    wait_for("the renewal to be due, so that nothing is announced", HALF_MINUTE, async || {
        let status = tenant.status("crm").await?;
        ensure!(status.next_attempt_time.is_none(), "it is announced");
        let ready = status.conditions.first().context("Ready")?;
        ensure!(ready.status == "True", "{ready:?}");
        anyhow::Ok(())
    })
    .await?;
    let expired = "Ready=False/TokenExpired ResolvedRefs=False/CredentialsNotFound \
        RequestSucceeded=True/RequestSucceeded SecretSynced=True/SecretSynced \
        Reconciling=True/Retrying";
    let status = tenant.wait_conditions("crm", expired).await?;
    let told = status.conditions.first().context("Ready")?.last_transition_time.0;
    let late = told.duration_since(expiry.0).as_secs();
    ensure!((0..=PROMISED.as_secs().cast_signed()).contains(&late), "told {late} s after expiry");
    ensure!(tenant.secrets().get("crm").await? == secret, "the expired token is left there");
    let events = ["CredentialsNotFound", "ShortLivedToken", "TokenExpired", "TokenIssued"];
    tenant.expect_events("crm", &events).await?;
    ensure!(tenant.token_requests().await? == 1, "no token request without a client Secret");
    tenant.apply_client_secret(&tenant.client_secret).await?;
    tenant.wait_conditions("crm", ALL_GOOD).await?;
    ensure!(tenant.token_requests().await? == 2, "one token request more");
    Ok(())
}

/// A client Secret with this consent, or none.
async fn consent(tenant: &Tenant, name: &str, annotation: Option<&str>) -> Outcome {
    let values = json!({"client-id": tenant.client_id, "client-secret": tenant.client_secret});
    let mut secret = json!({"metadata": {"name": name}, "stringData": values});
    if let Some(annotation) = annotation {
        secret["metadata"]["annotations"] = json!({ALLOWED_TOKEN_HOSTS: annotation});
    }
    tenant.apply_secret(secret).await
}

/// Waits until a credential is refused for its endpoint; what Ready says about it.
async fn not_allowed(tenant: &Tenant, name: &str) -> anyhow::Result<String> {
    let status = tenant.wait_conditions(name, &blocked_by("EndpointNotAllowed")).await?;
    ensure!(status.failed_attempts == Some(0), "{name}: nothing was attempted");
    Ok(status.conditions.first().context("Ready")?.message.clone())
}

async fn never_connected(tenant: &Tenant, host: &CountingHost) -> Outcome {
    holds_for("nobody connects", A_WHILE, async || {
        ensure!(host.connections() == 0, "{} connections", host.connections());
        let asked = tenant.token_requests().await?;
        ensure!(asked == 0, "{asked} token requests");
        Ok(())
    })
    .await
}

async fn no_consent(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let counting = CountingHost::start(NOT_FOUND).await?;
    consent(&tenant, CLIENT_SECRET, None).await?;
    tenant.apply("real", json!({})).await?;
    tenant
        .apply("counted", json!({"tokenURL": format!("https://{}/token", counting.host())}))
        .await?;
    let line = |hosts: &str| format!("{ALLOWED_TOKEN_HOSTS}: \"{hosts}\"");
    for (name, host) in [("real", world.server.host()), ("counted", counting.host())] {
        let message = not_allowed(&tenant, name).await?;
        ensure!(message.contains(&line(&host)), "{name}: {message:?}");
        tenant.expect_events(name, &[]).await?;
    }
    never_connected(&tenant, &counting).await?;

    consent(&tenant, CLIENT_SECRET, Some(&world.server.host())).await?;
    let added_at = Instant::now();
    tenant.wait_conditions("real", ALL_GOOD).await?;
    let mut figures = Figures::of("Ready after the annotation was added");
    figures.add(added_at.elapsed());
    figures.print();
    ensure!(figures.max() < PROMISED * 4, "it took {:?}", figures.max());
    ensure!(tenant.token_requests().await? == 1, "one token request");
    // The other one's message adds to what is there by now.
    let both = format!("{},{}", world.server.host(), counting.host());
    wait_for("the line to add to hold both hosts", SOON, async || {
        let message = not_allowed(&tenant, "counted").await?;
        ensure!(message.contains(&line(&both)), "{message:?}");
        anyhow::Ok(())
    })
    .await?;
    ensure!(counting.connections() == 0, "it has no consent yet");
    consent(&tenant, CLIENT_SECRET, Some(&both)).await?;
    tenant.wait_condition("counted", "RequestSucceeded", "False", "TLSFailed").await?;
    ensure!(counting.connections() == 1, "one connection: the counter counts");
    ensure!(tenant.token_requests().await? == 1, "no token request more");
    Ok(())
}

async fn malformed(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let counting = CountingHost::start(NOT_FOUND).await?;
    let host = counting.host();
    let port = host.rsplit_once(':').context("a port")?.1;
    let entries = [
        format!("LOCALHOST:{port}"),
        format!("localhost.:{port}"),
        format!("user@localhost:{port}"),
        format!("*.localhost:{port}"),
        format!("https://localhost:{port}"),
        format!("localhost:{port}/token"),
    ];
    // Alone, and beside an entry that would do.
    let values = entries.iter().flat_map(|entry| {
        [
            (entry, entry.clone()),
            (entry, format!("{host},{entry}")),
            (entry, format!("{entry},{host}")),
        ]
    });
    let values: Vec<_> = values.enumerate().collect();
    for (number, (_, annotation)) in &values {
        let secret = format!("client-{number}");
        consent(&tenant, &secret, Some(annotation)).await?;
        let url = format!("https://{host}/token");
        let spec = json!({"tokenURL": url, "credentialsSecretRef": {"name": secret}});
        tenant.apply(&format!("crm-{number}"), spec).await?;
    }
    for (number, (entry, annotation)) in &values {
        let message = not_allowed(&tenant, &format!("crm-{number}")).await?;
        ensure!(message.contains(&format!("{entry:?}")), "{annotation}: {message:?}");
        let line = format!("write {ALLOWED_TOKEN_HOSTS}: \"{host}\"");
        ensure!(message.contains(&line), "{annotation}: {message:?}");
    }
    never_connected(&tenant, &counting).await
}

async fn unusable_urls(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let counting = CountingHost::start(NOT_FOUND).await?;
    let host = counting.host();
    let port = host.rsplit_once(':').context("a port")?.1;
    consent(&tenant, CLIENT_SECRET, Some(&format!("{host},{}", world.server.host()))).await?;
    let urls = [
        (
            "user-info",
            format!("https://somebody:hunter2@{host}/token"),
            "a user name or a password",
        ),
        ("user", format!("https://somebody@{host}/token"), "a user name or a password"),
        ("insecure", format!("http://{host}/token"), "unencrypted"),
        ("dot", format!("https://localhost.:{port}/token"), "ends with a dot"),
        ("backslash", format!("https://{host}\\token"), "not a usable URL"),
    ];
    for (name, url, _) in &urls {
        tenant.apply(name, json!({"tokenURL": url})).await?;
    }
    for (name, _, says) in &urls {
        let message = not_allowed(&tenant, name).await?;
        ensure!(message.contains(says), "{name}: {message:?}");
        let told = serde_json::to_string(&tenant.status(name).await?)?;
        ensure!(!told.contains("hunter2") && !told.contains("somebody"), "{name}: {told}");
        tenant.expect_events(name, &[]).await?;
    }
    never_connected(&tenant, &counting).await?;
    for (number, (name, ..)) in urls.iter().enumerate() {
        tenant.apply(name, json!({})).await?;
        tenant.wait_conditions(name, ALL_GOOD).await?;
        ensure!(tenant.token_requests().await? == number + 1, "{name}: one token request");
    }
    ensure!(counting.connections() == 0, "{} connections", counting.connections());
    Ok(())
}

/// The operator under test may dial loopback, and no other address that is refused by default.
async fn refused_addresses(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    // The same address in four spellings, and the one of Azure.
    let hosts =
        ["169.254.169.254", "2852039166", "[::ffff:a9fe:a9fe]", "0xa9.0xfe.43518", "168.63.129.16"];
    consent(&tenant, CLIENT_SECRET, Some(&hosts.join(","))).await?;
    let mark = tenant.mark().await?;
    for (number, host) in hosts.iter().enumerate() {
        let url = format!("https://{host}/latest/meta-data");
        tenant.apply(&format!("crm-{number}"), json!({"tokenURL": url})).await?;
    }
    let refused = "Ready=False/EndpointAddressRefused ResolvedRefs=Unknown/Issuing \
        RequestSucceeded=False/EndpointAddressRefused SecretSynced=Unknown/Issuing \
        Reconciling=True/Retrying";
    for (number, host) in hosts.iter().enumerate() {
        let name = format!("crm-{number}");
        let status = tenant.wait_conditions(&name, refused).await?;
        let message = &status.conditions.first().context("Ready")?.message;
        ensure!(message.contains("--allow-endpoint-addresses"), "{host}: {message:?}");
        let untried = (Some(0), None, None);
        let found = (status.failed_attempts, status.last_failure_time, status.next_attempt_time);
        ensure!(found == untried, "{host}: it is no attempt: {found:?}");
        tenant.expect_events(&name, &["TokenRequestFailed"]).await?;
    }
    // No Secret is read: the URL alone tells.
    let calls =
        [("patch oauthclientcredentials/status", hosts.len()), ("create events", hosts.len())];
    tenant.expect_calls(mark, &calls).await
}
