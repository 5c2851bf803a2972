//! Credentials to start from: one for each way to be configured, all of them with a live token.
//!
//! In: a namespace. Out: the objects that a spec needs, the spec, and who knows its tokens.
//!
//! **Invariant:** each base asks the real authorization server, or the real cluster's verifier, with
//! a client of its own; what is optional is written down, so that its absence is a change.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::digest::{SHA256, digest};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams};
use oauthcc_harness::authorization_server::{AuthMethod, Client, RESOURCES};
use oauthcc_harness::keys::{Key, KeyKind};
use oauthcc_harness::token_verifier::TokenVerifier;
use oauthcc_operator::domain::crd::ALLOWED_TOKEN_HOSTS;
use serde_json::{Value, json};

use crate::Outcome;
use crate::canary::scanner::hex;
use crate::tenant::{CLIENT_SECRET, Tenant};
use crate::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// The name of every credential.
pub const NAME: &str = "crm";
const AUDIENCE: &str = "https://idp.example.com";

/// A way to be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// A token URL, a client secret in the Basic header, and every member of the request.
    Basic,
    /// An issuer, and a client secret in the body.
    Issuer,
    /// A provider of the catalogue.
    Provider,
    /// An assertion made with the client secret.
    SecretAssertion,
    /// An assertion made with a key.
    KeyAssertion,
    /// A client certificate.
    Certificate,
    /// A token of a ServiceAccount.
    Account,
    /// No secret at all.
    Public,
    /// The token in every form, with templates.
    Forms,
    /// A Secret of another type.
    DockerConfig,
}

impl Base {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Basic,
        Self::Issuer,
        Self::Provider,
        Self::SecretAssertion,
        Self::KeyAssertion,
        Self::Certificate,
        Self::Account,
        Self::Public,
        Self::Forms,
        Self::DockerConfig,
    ];
}

/// Who gives out the tokens of a credential.
enum Issuer {
    Server,
    Verifier(TokenVerifier),
}

/// A credential with a live token.
pub struct Credential {
    /// Where it lives.
    pub tenant: Tenant,
    /// How it is configured.
    pub base: Base,
    /// Its spec.
    pub spec: Value,
    issuer: Issuer,
}

impl Credential {
    /// Makes what the spec needs, applies it, and waits for the token.
    pub async fn start(world: &Arc<World>, base: Base, canary: &str) -> anyhow::Result<Self> {
        let mut tenant = Tenant::new(world, HOUR).await?;
        // HS512 needs 64 bytes.
        tenant.client_secret = format!("{canary}-0123456789-0123456789-{}", tenant.namespace);
        let issuer = if base == Base::Account {
            let verifier = TokenVerifier::start(&world.server, &world.plane, AUDIENCE).await?;
            verifier.register(&tenant.namespace, "crm", HOUR);
            Issuer::Verifier(verifier)
        } else {
            Issuer::Server
        };
        let mut credential = Self { tenant, base, spec: Value::Null, issuer };
        credential.spec = credential.prepare().await.with_context(|| format!("{base:?}"))?;
        credential.tenant.apply_spec(NAME, &credential.spec).await?;
        credential.tenant.wait_ready(NAME).await.with_context(|| format!("{base:?}"))?;
        Ok(credential)
    }

    /// How many token requests were made.
    pub async fn requests(&self) -> anyhow::Result<usize> {
        match &self.issuer {
            Issuer::Server => self.tenant.token_requests().await,
            Issuer::Verifier(verifier) => Ok(verifier.requests()),
        }
    }

    /// The hexadecimal SHA-256 of every token that was given out, the oldest first.
    pub async fn issued(&self) -> anyhow::Result<Vec<String>> {
        match &self.issuer {
            Issuer::Server => {
                let issued = self.tenant.world.server.issued(&self.tenant.client_id).await?;
                Ok(issued.into_iter().map(|token| token.sha256).collect())
            }
            Issuer::Verifier(verifier) => Ok(verifier.issued()),
        }
    }

    /// Whether the authorization server calls a token alive; `None` where it keeps no record of those
    /// that it gave out: a JWT, and what the verifier gives.
    pub async fn is_alive(&self, token: &str) -> anyhow::Result<Option<bool>> {
        if self.base == Base::Account || token.contains('.') {
            return Ok(None);
        }
        Ok(Some(self.tenant.world.server.introspect(token).await?.active))
    }

    async fn register(&self, method: AuthMethod) -> Outcome {
        let client = Client::new(&self.tenant.client_id, &self.tenant.client_secret);
        self.tenant.world.server.add_client(&client.with_method(method)).await
    }

    async fn with_secret(&self, method: AuthMethod) -> Outcome {
        self.register(method).await?;
        self.tenant.apply_client_secret(&self.tenant.client_secret).await
    }

    /// Makes the objects; returns the spec.
    async fn prepare(&self) -> anyhow::Result<Value> {
        let (tenant, server) = (&self.tenant, &self.tenant.world.server);
        let (url, id) = (server.token_url(), &tenant.client_id);
        match self.base {
            Base::Basic => {
                self.with_secret(AuthMethod::Basic).await?;
                apply_bundle(tenant).await?;
                Ok(basic(&url))
            }
            Base::Issuer => {
                self.with_secret(AuthMethod::Post).await?;
                Ok(issuer(&server.issuer(), id))
            }
            Base::Provider => {
                self.with_secret(AuthMethod::Basic).await?;
                Ok(provider(&url))
            }
            Base::SecretAssertion => {
                self.with_secret(AuthMethod::SecretJwt { algorithm: "HS256" }).await?;
                Ok(json!({
                    "tokenURL": url,
                    "credentialsSecretRef": {"name": CLIENT_SECRET},
                    "clientAuthentication": {
                        "method": "ClientSecretJWT", "clientSecretJWT": {"algorithm": "HS256"},
                    },
                }))
            }
            Base::KeyAssertion => self.key_assertion(&url).await,
            Base::Certificate => self.certificate(&url).await,
            Base::Account => self.account().await,
            Base::Public => {
                self.register(AuthMethod::None).await?;
                Ok(json!({
                    "tokenURL": url, "clientID": id, "clientAuthentication": {"method": "None"},
                }))
            }
            Base::Forms => {
                self.with_secret(AuthMethod::Basic).await?;
                Ok(forms(&url))
            }
            Base::DockerConfig => {
                self.with_secret(AuthMethod::Basic).await?;
                Ok(docker_config(&url))
            }
        }
    }

    async fn key_assertion(&self, url: &str) -> anyhow::Result<Value> {
        let (tenant, server) = (&self.tenant, &self.tenant.world.server);
        let key = Key::generate(KeyKind::P256)?;
        self.register(AuthMethod::PrivateKeyJwt { jwks: vec![key.jwk(Some("a1"))] }).await?;
        let values = json!({"signing.key": key.pem()});
        tenant.apply_consenting_secret("key", &server.host(), values).await?;
        Ok(key_assertion(url, &server.issuer(), &tenant.client_id))
    }

    async fn certificate(&self, url: &str) -> anyhow::Result<Value> {
        let (tenant, server) = (&self.tenant, &self.tenant.world.server);
        let key = Key::generate(KeyKind::P256)?;
        let certificate = server.client_certificate(&tenant.namespace, &key, YEAR)?;
        let subject = certificate.subject().to_owned();
        self.register(AuthMethod::TlsClientAuth { subject }).await?;
        tenant.apply_tls_secret("mtls", &server.host(), &certificate).await?;
        Ok(json!({
            "tokenURL": url,
            "clientID": tenant.client_id,
            "clientAuthentication": {"method": "TLSClientAuth"},
            "tls": {"clientCertificateSecretRef": {"name": "mtls"}},
        }))
    }

    async fn account(&self) -> anyhow::Result<Value> {
        let Issuer::Verifier(verifier) = &self.issuer else { return Ok(Value::Null) };
        let client = self.tenant.client.clone();
        let api: Api<ServiceAccount> = Api::namespaced(client, &self.tenant.namespace);
        let annotations = json!({ALLOWED_TOKEN_HOSTS: verifier.host()});
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "crm", "annotations": annotations},
        });
        api.patch("crm", &PatchParams::apply("kubectl"), &Patch::Apply(&account)).await?;
        let token = json!({"name": "crm", "audience": AUDIENCE, "expirationSeconds": 900});
        Ok(json!({
            "tokenURL": verifier.token_url(),
            "clientAuthentication": {
                "method": "ServiceAccountToken", "serviceAccountToken": token,
            },
        }))
    }
}

/// The hexadecimal SHA-256 of a token.
pub fn digest_of(token: &str) -> String {
    hex(digest(&SHA256, token.as_bytes()).as_ref())
}

async fn apply_bundle(tenant: &Tenant) -> Outcome {
    let maps: Api<ConfigMap> = Api::namespaced(tenant.client.clone(), &tenant.namespace);
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "ca"}, "data": {"bundle": tenant.world.server.ca_pem()},
    });
    maps.patch("ca", &PatchParams::apply("kubectl"), &Patch::Apply(&map)).await?;
    Ok(())
}

fn basic(url: &str) -> Value {
    let from = json!({"secretKeyRef": {"name": CLIENT_SECRET, "key": "client-id"}});
    json!({
        "suspend": false,
        "tokenURL": url,
        "credentialsSecretRef": {
            "name": CLIENT_SECRET, "clientIDKey": "client-id", "clientSecretKey": "client-secret",
        },
        "clientAuthentication": {
            "method": "ClientSecretBasic", "clientSecretBasic": {"encoding": "FormURLEncoded"},
        },
        "scopes": ["orders.read"],
        "audience": "https://api.example.com",
        "request": {
            "timeout": "10s",
            "grantType": "client_credentials",
            "bodyFormat": "Form",
            "scopeSeparator": " ",
            "parameters": [
                {"name": "first", "value": "v", "in": "Body"},
                {"name": "second", "valueFrom": from},
            ],
            "headers": [{"name": "X-First", "value": "v"}, {"name": "X-Second", "valueFrom": from}],
        },
        "response": {
            "tokenPointer": "/access_token",
            "expiresInPointer": "/expires_in",
            "expiresInUnit": "Seconds",
        },
        "tls": {"caBundleRef": {"kind": "ConfigMap", "name": "ca", "key": "bundle"}},
        "rotation": {"renewBefore": "5m", "defaultLifetime": "30m"},
    })
}

fn issuer(issuer: &str, id: &str) -> Value {
    json!({
        "issuer": issuer,
        "clientID": id,
        "credentialsSecretRef": {"name": CLIENT_SECRET},
        "clientAuthentication": {"method": "ClientSecretPost"},
        "resourceIndicators": [RESOURCES[0]],
        "rotation": {"renewBeforePercentage": 40},
    })
}

fn provider(url: &str) -> Value {
    let parameters = json!({"host": "keycloak.example.com", "realm": "shop"});
    json!({
        "tokenURL": url,
        "provider": {"name": "Keycloak", "parameters": parameters},
        "credentialsSecretRef": {"name": CLIENT_SECRET},
    })
}

fn key_assertion(url: &str, issuer: &str, id: &str) -> Value {
    json!({
        "tokenURL": url,
        "clientID": id,
        "clientAuthentication": {
            "method": "PrivateKeyJWT",
            "privateKeyJWT": {
                "keySecretRef": {"name": "key", "key": "signing.key"},
                "algorithm": "ES256",
                "keyID": "a1",
                "audience": issuer,
            },
        },
    })
}

fn forms(url: &str) -> Value {
    let docker = json!({"registries": ["registry.example.com"], "username": "robot"});
    json!({
        "tokenURL": url,
        "credentialsSecretRef": {"name": CLIENT_SECRET},
        "target": {
            "name": "crm-token",
            "type": "Opaque",
            "tokenKey": "access-token",
            "additionalOutputFormats": [
                {"key": "raw", "type": "Raw"},
                {"key": "password", "type": "BasicAuth", "basicAuth": {"username": "robot"}},
                {"key": "netrc", "type": "Netrc", "netrc": {"machine": "m", "login": "robot"}},
                {"key": "docker", "type": "DockerConfigJSON", "dockerConfigJSON": docker},
                {"key": "env", "type": "Env", "env": {"name": "TOKEN"}},
            ],
            "template": {
                "metadata": {"labels": {"team": "sales"}, "annotations": {"note": "of sales"}},
                "data": {"config": "token={{ token }}"},
            },
        },
    })
}

fn docker_config(url: &str) -> Value {
    let docker = json!({"registries": ["registry.example.com"]});
    let key = ".dockerconfigjson";
    json!({
        "tokenURL": url,
        "credentialsSecretRef": {"name": CLIENT_SECRET},
        "target": {
            "type": "kubernetes.io/dockerconfigjson",
            "additionalOutputFormats": [
                {"key": key, "type": "DockerConfigJSON", "dockerConfigJSON": docker},
            ],
        },
    })
}
