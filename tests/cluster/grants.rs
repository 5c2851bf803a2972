//! Every way to prove who asks, each by a credential that becomes Ready on a real authorization server
//! and whose token rotates; and what the person reads when it is the wrong key, certificate, scope or
//! resource.
//!
//! **Invariant:** each test registers a client of its own, so a token can only be its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libtest_mimic::Trial;
use oauthcc_harness::authorization_server::{AuthMethod, Client, RESOURCES};
use oauthcc_harness::certificates::Certificate;
use oauthcc_harness::keys::{Key, KeyKind};
use serde_json::{Value, json};

use crate::tenant::Tenant;
use crate::world::World;
use crate::{Outcome, Suite};

/// Tokens are renewed after half of this.
const SHORT: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

pub fn tests(suite: &Suite) -> Vec<Trial> {
    let key = |name: &str, kind, algorithm| {
        suite.shared(name, move |world| private_key_jwt(world, kind, algorithm))
    };
    vec![
        suite.shared("basic_with_odd_characters_gets_a_token_and_rotates", basic),
        suite.shared("post_gets_a_token_and_rotates", post),
        suite.shared("client_secret_jwt_gets_a_token_and_rotates", client_secret_jwt),
        key("private_key_jwt_with_rs256_gets_a_token_and_rotates", KeyKind::Rsa, "RS256"),
        key("private_key_jwt_with_ps256_gets_a_token_and_rotates", KeyKind::Rsa, "PS256"),
        key("private_key_jwt_with_es256_gets_a_token_and_rotates", KeyKind::P256, "ES256"),
        key("private_key_jwt_with_es384_gets_a_token_and_rotates", KeyKind::P384, "ES384"),
        key("private_key_jwt_with_eddsa_gets_a_token_and_rotates", KeyKind::Ed25519, "EdDSA"),
        suite.shared("tls_client_auth_gets_a_token_and_rotates", tls_client_auth),
        suite.shared("self_signed_tls_client_auth_gets_a_token_and_rotates", self_signed),
        suite.shared("a_public_client_gets_a_token_and_rotates", public_client),
        suite.shared("a_resource_indicator_gives_a_jwt_for_that_resource", resource),
        suite.shared("an_issuer_is_looked_up_and_its_endpoint_asked", issuer),
        suite.shared("a_wrong_key_says_so_and_a_right_one_is_tried_at_once", wrong_key),
        suite.shared(
            "a_wrong_certificate_says_so_and_a_right_one_is_tried_at_once",
            wrong_certificate,
        ),
        suite.shared("a_wrong_scope_and_a_wrong_resource_have_their_own_reasons", wrong_wishes),
    ]
}

/// A client of its own in a namespace of its own.
struct Registered {
    tenant: Tenant,
    id: String,
}

impl Registered {
    async fn new(
        world: &Arc<World>,
        method: AuthMethod,
        lifetime: Duration,
    ) -> anyhow::Result<Self> {
        let tenant = Tenant::new(world, lifetime).await?;
        let id = format!("app of {}", tenant.namespace);
        let registered = Self { tenant, id };
        registered
            .register(&registered.id, "s3cr3t-unlike-any-other-Zx9", method, lifetime)
            .await?;
        Ok(registered)
    }

    async fn register(
        &self,
        id: &str,
        secret: &str,
        method: AuthMethod,
        lifetime: Duration,
    ) -> anyhow::Result<()> {
        let client = Client { lifetime, ..Client::new(id, secret) }.with_method(method);
        self.tenant.world.server.add_client(&client).await
    }

    /// A Secret that consents to the authorization server.
    async fn secret(&self, name: &str, values: Value) -> anyhow::Result<()> {
        let host = self.tenant.world.server.host();
        self.tenant.apply_consenting_secret(name, &host, values).await
    }

    /// A Secret of type `kubernetes.io/tls` that consents to the authorization server.
    async fn tls_secret(&self, name: &str, certificate: &Certificate) -> anyhow::Result<()> {
        let host = self.tenant.world.server.host();
        self.tenant.apply_tls_secret(name, &host, certificate).await
    }

    /// Applies a credential without a client secret; `changes` are merged into it.
    async fn apply(&self, changes: Value) -> anyhow::Result<()> {
        // Null removes what the usual spec has (RFC 7386).
        let mut spec = json!({"credentialsSecretRef": null, "clientID": self.id});
        for (key, value) in changes.as_object().context("an object")? {
            spec[key] = value.clone();
        }
        self.tenant.apply("crm", spec).await
    }

    /// Waits until the second token is there, and checks that it is this client's and alive.
    async fn rotates(&self) -> Outcome {
        self.tenant.wait_ready("crm").await?;
        self.tenant.wait_revision("crm", 2).await?;
        let token = self.tenant.token("crm").await?;
        let found = self.tenant.world.server.introspect(&token).await?;
        ensure!(found.active, "the second token is not alive");
        ensure!(found.client_id.as_ref() == Some(&self.id), "whose token: {:?}", found.client_id);
        self.tenant.wait_ready("crm").await
    }
}

async fn basic(world: Arc<World>) -> Outcome {
    let mut client = Registered::new(&world, AuthMethod::Basic, SHORT).await?;
    client.id = format!("urn:{} a+b/c%2F&d=e~f", client.tenant.namespace);
    let secret = "p: +%/&=~ %2B s3cr3t";
    client.register(&client.id, secret, AuthMethod::Basic, SHORT).await?;
    client.secret("client", json!({"client-id": client.id, "client-secret": secret})).await?;
    client.tenant.apply("crm", json!({"credentialsSecretRef": {"name": "client"}})).await?;
    client.rotates().await
}

async fn post(world: Arc<World>) -> Outcome {
    let client = Registered::new(&world, AuthMethod::Post, SHORT).await?;
    client.secret("client", json!({"client-secret": "s3cr3t-unlike-any-other-Zx9"})).await?;
    client
        .apply(json!({
            "credentialsSecretRef": {"name": "client"},
            "clientAuthentication": {"method": "ClientSecretPost"},
        }))
        .await?;
    client.rotates().await
}

async fn client_secret_jwt(world: Arc<World>) -> Outcome {
    let secret = "s3cr3t-unlike-any-other-and-long-enough-for-HS512-0123456789-0123456789";
    for algorithm in ["HS256", "HS512"] {
        let method = AuthMethod::SecretJwt { algorithm };
        let client = Registered::new(&world, method.clone(), SHORT).await?;
        client.register(&client.id, secret, method, SHORT).await?;
        client.secret("client", json!({"client-secret": secret})).await?;
        client
            .apply(json!({
                "credentialsSecretRef": {"name": "client"},
                "clientAuthentication": {
                    "method": "ClientSecretJWT",
                    "clientSecretJWT": {"algorithm": algorithm},
                },
            }))
            .await?;
        client.rotates().await?;
    }
    Ok(())
}

async fn private_key_jwt(world: Arc<World>, kind: KeyKind, algorithm: &'static str) -> Outcome {
    let key = Key::generate(kind)?;
    let method = AuthMethod::PrivateKeyJwt { jwks: vec![key.jwk(Some("a1"))] };
    let client = Registered::new(&world, method, SHORT).await?;
    // The older form where there is one: PKCS#1 and SEC1.
    let pem = key.traditional_pem().unwrap_or_else(|| key.pem());
    client.secret("key", json!({"tls.key": pem})).await?;
    client
        .apply(json!({"clientAuthentication": {
            "method": "PrivateKeyJWT",
            "privateKeyJWT": {
                "keySecretRef": {"name": "key"},
                "algorithm": algorithm,
                "keyID": "a1",
            },
        }}))
        .await?;
    client.rotates().await
}

async fn tls_client_auth(world: Arc<World>) -> Outcome {
    let key = Key::generate(KeyKind::P256)?;
    let certificate = world.server.client_certificate("orders", &key, YEAR)?;
    let subject = certificate.subject().to_owned();
    let client = Registered::new(&world, AuthMethod::TlsClientAuth { subject }, SHORT).await?;
    client.tls_secret("mtls", &certificate).await?;
    client.apply(mutual_tls()).await?;
    client.rotates().await
}

async fn self_signed(world: Arc<World>) -> Outcome {
    let key = Key::generate(KeyKind::Rsa)?;
    let certificate = Certificate::self_signed_client("orders", &key, YEAR)?;
    let method = AuthMethod::SelfSignedTlsClientAuth { jwks: vec![certificate.jwk()] };
    let client = Registered::new(&world, method, SHORT).await?;
    client.tls_secret("mtls", &certificate).await?;
    client.apply(mutual_tls()).await?;
    client.rotates().await
}

fn mutual_tls() -> Value {
    json!({
        "clientAuthentication": {"method": "TLSClientAuth"},
        "tls": {"clientCertificateSecretRef": {"name": "mtls"}},
    })
}

async fn public_client(world: Arc<World>) -> Outcome {
    let client = Registered::new(&world, AuthMethod::None, SHORT).await?;
    client.apply(json!({"clientAuthentication": {"method": "None"}})).await?;
    client.rotates().await
}

async fn resource(world: Arc<World>) -> Outcome {
    let client = Registered::new(&world, AuthMethod::Basic, SHORT).await?;
    client.secret("client", json!({"client-secret": "s3cr3t-unlike-any-other-Zx9"})).await?;
    client
        .apply(json!({
            "credentialsSecretRef": {"name": "client"},
            "resourceIndicators": [RESOURCES[0]],
        }))
        .await?;
    client.tenant.wait_revision("crm", 2).await?;
    let token = client.tenant.token("crm").await?;
    let claims = token.split('.').nth(1).context("the token is no JWT")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    ensure!(claims["aud"] == json!(RESOURCES[0]), "aud is {}", claims["aud"]);
    ensure!(claims["client_id"] == json!(client.id), "client_id is {}", claims["client_id"]);
    client.tenant.wait_ready("crm").await
}

async fn issuer(world: Arc<World>) -> Outcome {
    let client = Registered::new(&world, AuthMethod::Basic, SHORT).await?;
    client.secret("client", json!({"client-secret": "s3cr3t-unlike-any-other-Zx9"})).await?;
    client
        .apply(json!({
            "tokenURL": null,
            "issuer": world.server.issuer(),
            "credentialsSecretRef": {"name": "client"},
        }))
        .await?;
    client.rotates().await?;
    let endpoint = client.tenant.status("crm").await?.endpoint;
    ensure!(endpoint.as_deref() == Some(world.server.token_url().as_str()), "{endpoint:?}");
    // Another spelling of the same issuer is another issuer.
    let spec = json!({"spec": {"issuer": format!("{}/", world.server.issuer())}});
    client.tenant.merge("crm", spec).await?;
    let told = client
        .tenant
        .wait_condition("crm", "RequestSucceeded", "False", "DiscoveryInvalid")
        .await?;
    ensure!(told.message.contains("spec.issuer"), "{}", told.message);
    Ok(())
}

async fn wrong_key(world: Arc<World>) -> Outcome {
    let (right, wrong) = (Key::generate(KeyKind::P256)?, Key::generate(KeyKind::P256)?);
    let method = AuthMethod::PrivateKeyJwt { jwks: vec![right.jwk(None)] };
    let client = Registered::new(&world, method, HOUR).await?;
    client.secret("key", json!({"tls.key": wrong.pem()})).await?;
    client
        .apply(json!({"clientAuthentication": {
            "method": "PrivateKeyJWT",
            "privateKeyJWT": {"keySecretRef": {"name": "key"}},
        }}))
        .await?;
    let told = client.tenant.wait_condition("crm", "Ready", "False", "InvalidClient").await?;
    for part in ["privateKeyJWT", "keySecretRef"] {
        ensure!(told.message.contains(part), "{part} is not in: {}", told.message);
    }
    client.secret("key", json!({"tls.key": right.pem()})).await?;
    client.tenant.wait_ready("crm").await?;
    // What can't be read is told without asking.
    let asked = world.server.token_requests(&client.id).await?;
    client.secret("key", json!({"tls.key": "-----BEGIN NOTHING-----\n"})).await?;
    client.tenant.wait_condition("crm", "ResolvedRefs", "False", "ClientKeyInvalid").await?;
    ensure!(world.server.token_requests(&client.id).await? == asked, "it was asked");
    client.tenant.wait_ready("crm").await
}

async fn wrong_certificate(world: Arc<World>) -> Outcome {
    let key = Key::generate(KeyKind::P256)?;
    let right = world.server.client_certificate("right", &key, YEAR)?;
    let wrong = world.server.client_certificate("wrong", &key, YEAR)?;
    let subject = right.subject().to_owned();
    let client = Registered::new(&world, AuthMethod::TlsClientAuth { subject }, HOUR).await?;
    client.tls_secret("mtls", &wrong).await?;
    client.apply(mutual_tls()).await?;
    let told = client.tenant.wait_condition("crm", "Ready", "False", "InvalidClient").await?;
    let field = "spec.tls.clientCertificateSecretRef";
    ensure!(told.message.contains(field), "{field} is not in: {}", told.message);
    client.tls_secret("mtls", &right).await?;
    client.tenant.wait_ready("crm").await
}

async fn wrong_wishes(world: Arc<World>) -> Outcome {
    let client = Registered::new(&world, AuthMethod::Basic, HOUR).await?;
    client.secret("client", json!({"client-secret": "s3cr3t-unlike-any-other-Zx9"})).await?;
    let reference = json!({"name": "client"});
    client.apply(json!({"credentialsSecretRef": reference, "scopes": ["payments.write"]})).await?;
    let told = client.tenant.wait_condition("crm", "Ready", "False", "InvalidScope").await?;
    ensure!(told.message.contains("spec.scopes"), "{}", told.message);
    let unknown = "https://api.example.com/nowhere";
    let spec = json!({"spec": {"scopes": null, "resourceIndicators": [unknown]}});
    client.tenant.merge("crm", spec).await?;
    let told = client.tenant.wait_condition("crm", "Ready", "False", "InvalidTarget").await?;
    ensure!(told.message.contains("spec.resourceIndicators"), "{}", told.message);
    Ok(())
}
