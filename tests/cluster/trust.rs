//! Who is trusted and who consents: certificate authorities that a credential names, and the owners of
//! everything that would be sent or signed with.
//!
//! **Invariant:** the hosts count connections, so "nothing was sent" is counted and not believed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams};
use libtest_mimic::Trial;
use oauthcc_harness::certificates::{Certificate, Flaw};
use oauthcc_harness::faults::CountingHost;
use oauthcc_harness::keys::{Key, KeyKind};
use oauthcc_harness::wait::{holds_for, wait_for};
use oauthcc_operator::domain::crd::ALLOWED_TOKEN_HOSTS;
use serde_json::{Value, json};

use crate::tenant::{CLIENT_SECRET, Tenant};
use crate::world::{SOON, World};
use crate::{Outcome, Suite};

const HOUR: Duration = Duration::from_secs(3600);
const TOKEN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 66\r\n\
    Connection: close\r\n\r\n{\"access_token\":\"a-token\",\"token_type\":\"Bearer\",\"expires_in\":3600}";

pub fn tests(suite: &Suite) -> Vec<Trial> {
    vec![
        suite.shared("an_authority_in_a_config_map_is_trusted_as_soon_as_it_is_there", config_map),
        suite.shared("an_authority_in_a_secret_is_trusted_as_soon_as_it_is_right", ca_secret),
        suite.shared("nothing_connects_before_every_owner_consents", consent),
        suite.shared("a_host_that_is_not_listed_is_not_connected_to", spelling),
    ]
}

/// A host whose authority only the credential can make trusted.
async fn stranger(world: &World) -> anyhow::Result<(CountingHost, Certificate)> {
    let certificate = world.server.server_certificate(Flaw::UnknownAuthority)?;
    Ok((CountingHost::start_tls(TOKEN, &certificate).await?, certificate))
}

async fn apply_config_map(tenant: &Tenant, name: &str, bundle: &str) -> Outcome {
    let api: Api<ConfigMap> = Api::namespaced(tenant.world.plane.admin_client(), &tenant.namespace);
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name}, "data": {"ca.crt": bundle},
    });
    api.patch(name, &PatchParams::apply("kubectl").force(), &Patch::Apply(&map)).await?;
    Ok(())
}

async fn client_secret_for(tenant: &Tenant, host: &str) -> Outcome {
    tenant
        .apply_secret(json!({
            "metadata": {"name": CLIENT_SECRET, "annotations": {ALLOWED_TOKEN_HOSTS: host}},
            "stringData": {"client-id": "app", "client-secret": tenant.client_secret},
        }))
        .await
}

async fn config_map(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let (host, certificate) = stranger(&world).await?;
    client_secret_for(&tenant, &host.host()).await?;
    let url = format!("https://{}/token", host.host());
    tenant.apply("crm", json!({"tokenURL": url})).await?;
    let told = tenant.wait_condition("crm", "RequestSucceeded", "False", "TLSFailed").await?;
    ensure!(told.message.contains("spec.tls.caBundleRef"), "{}", told.message);
    ensure!(host.requests().is_empty(), "a request was read by a stranger");
    let reference = json!({"tokenURL": url, "tls": {"caBundleRef": {"name": "corp-ca"}}});
    tenant.apply("crm", reference).await?;
    let absent = tenant.wait_condition("crm", "ResolvedRefs", "False", "CABundleNotFound").await?;
    let connections = host.connections();
    apply_config_map(&tenant, "corp-ca", "no certificate").await?;
    wait_for("another message for a bundle without a certificate", SOON, async || {
        let told = tenant.condition("crm", "ResolvedRefs").await?.context("a condition")?;
        ensure!(told.reason == "CABundleNotFound", "{}", told.reason);
        ensure!(told.message != absent.message, "still: {}", told.message);
        ensure!(told.message.contains("spec.tls.caBundleRef"), "{}", told.message);
        Ok(())
    })
    .await?;
    ensure!(host.connections() == connections, "it was connected to");
    apply_config_map(&tenant, "corp-ca", certificate.authority_pem()).await?;
    tenant.wait_ready("crm").await?;
    ensure!(tenant.token("crm").await? == "a-token", "another token");
    Ok(())
}

async fn ca_secret(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let (host, certificate) = stranger(&world).await?;
    client_secret_for(&tenant, &host.host()).await?;
    // Who is trusted is sent nowhere, so this Secret needs no consent.
    let other = world.server.server_certificate(Flaw::UnknownAuthority)?;
    let bundle = |pem: &str| json!({"metadata": {"name": "ca"}, "stringData": {"bundle": pem}});
    tenant.apply_secret(bundle(other.authority_pem())).await?;
    tenant
        .apply(
            "crm",
            json!({
                "tokenURL": format!("https://{}/token", host.host()),
                "tls": {"caBundleRef": {"kind": "Secret", "name": "ca", "key": "bundle"}},
            }),
        )
        .await?;
    tenant.wait_condition("crm", "RequestSucceeded", "False", "TLSFailed").await?;
    ensure!(host.requests().is_empty(), "a request was read by a stranger");
    tenant.apply_secret(bundle(certificate.authority_pem())).await?;
    tenant.wait_ready("crm").await
}

/// One spec for each kind of reference.
fn unconsented() -> [(&'static str, Value); 6] {
    let none = json!({"method": "None"});
    let from = json!({"secretKeyRef": {"name": "value", "key": "k"}});
    [
        ("secret", json!({"credentialsSecretRef": {"name": "secret"}})),
        (
            "header",
            json!({"clientID": "app", "clientAuthentication": none,
            "request": {"headers": [{"name": "x-key", "valueFrom": from}]}}),
        ),
        (
            "parameter",
            json!({"clientID": "app", "clientAuthentication": none,
            "request": {"parameters": [{"name": "p", "valueFrom": from}]}}),
        ),
        (
            "key",
            json!({"clientID": "app", "clientAuthentication": {"method": "PrivateKeyJWT",
            "privateKeyJWT": {"keySecretRef": {"name": "key"}}}}),
        ),
        (
            "certificate",
            json!({"clientID": "app", "clientAuthentication": none,
            "tls": {"clientCertificateSecretRef": {"name": "mtls"}}}),
        ),
        (
            "account",
            json!({"clientAuthentication": {"method": "ServiceAccountToken",
            "serviceAccountToken": {"name": "sa", "audience": "https://idp.example.com"}}}),
        ),
    ]
}

/// Every kind of reference, each without the consent of its owner.
async fn consent(world: Arc<World>) -> Outcome {
    let tenant = Tenant::new(&world, HOUR).await?;
    let host = CountingHost::start(TOKEN).await?;
    let key = Key::generate(KeyKind::P256)?;
    let certificate = Certificate::self_signed_client("app", &key, HOUR)?;
    for (name, values) in [
        ("secret", json!({"client-id": "app", "client-secret": tenant.client_secret})),
        ("key", json!({"tls.key": key.pem()})),
        ("value", json!({"k": tenant.client_secret})),
        ("mtls", json!({"tls.crt": certificate.chain_pem(), "tls.key": certificate.key_pem()})),
    ] {
        tenant.apply_secret(json!({"metadata": {"name": name}, "stringData": values})).await?;
    }
    let accounts: Api<ServiceAccount> =
        Api::namespaced(world.plane.admin_client(), &tenant.namespace);
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}});
    accounts.patch("sa", &PatchParams::apply("kubectl"), &Patch::Apply(&account)).await?;
    let cases = unconsented();
    for (name, changes) in &cases {
        let mut spec = json!({
            "tokenURL": format!("https://{}/token", host.host()), "credentialsSecretRef": null,
        });
        for (key, value) in changes.as_object().context("an object")? {
            spec[key] = value.clone();
        }
        tenant.apply(&format!("no-{name}"), spec).await?;
    }
    for (name, _) in &cases {
        let name = &format!("no-{name}");
        let told =
            tenant.wait_condition(name, "ResolvedRefs", "False", "EndpointNotAllowed").await?;
        let line = format!("{ALLOWED_TOKEN_HOSTS}: \"{}\"", host.host());
        ensure!(told.message.contains(&line), "{name}: {}", told.message);
    }
    holds_for("nothing connects", Duration::from_secs(2), async || {
        ensure!(host.connections() == 0, "{} connections", host.connections());
        Ok(())
    })
    .await
}

/// What a person could take for a listed host, and what is one in another spelling.
async fn spelling(world: Arc<World>) -> Outcome {
    let tenant = Tenant::with_client_secret(&world, HOUR).await?;
    let host = CountingHost::start(TOKEN).await?;
    let listed = world.server.host();
    let (name, port) = listed.split_once(':').context("a port")?;
    for (case, url) in [
        ("other-port", format!("https://{}/token", host.host())),
        ("user-info", format!("https://{listed}@{}/token", host.host())),
        ("trailing-dot", format!("https://{name}.:{port}/token")),
        ("other-name", format!("https://127.0.0.1:{port}/token")),
    ] {
        tenant.apply(case, json!({"tokenURL": url})).await?;
        tenant.wait_condition(case, "ResolvedRefs", "False", "EndpointNotAllowed").await?;
    }
    ensure!(host.connections() == 0, "{} connections", host.connections());
    ensure!(tenant.token_requests().await? == 0, "the endpoint was asked");
    let upper = format!("https://{}:{port}/token", name.to_uppercase());
    tenant.apply("upper-case", json!({"tokenURL": upper})).await?;
    tenant.wait_ready("upper-case").await
}
