//! The realm's clients, one for each way in which a client proves itself.
//!
//! Out: what a client has to know, and what the realm has to know about it.
//! **Invariant:** each client is registered for one way only: a server that took another would hide
//! a client that uses the wrong one.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::Options;
use crate::{
    certificates::{Authority, Certificate, Subject, random_secret},
    keys::{Key, KeyKind},
};

/// The common name of the clients' authority, which is all of its subject.
pub(super) const AUTHORITY_NAME: &str = "oauthcc clients of a test run";
/// The first part of the subject of their certificates.
const ORGANIZATION: &str = "oauthcc";
/// How long their certificates are valid: longer than a run.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The alias of the cluster among the realm's identity providers.
pub(super) const CLUSTER_ALIAS: &str = "cluster";

/// A client with a secret.
#[derive(Debug, Clone)]
pub struct SecretClient {
    /// The client identifier.
    pub id: String,
    /// The client secret.
    pub secret: String,
}

/// A client that signs assertions with a private key (RFC 7523).
#[derive(Debug, Clone)]
pub struct KeyClient {
    /// The client identifier.
    pub id: String,
    /// The `kid` under which the public key is registered.
    pub key_id: String,
    /// `RS256` or `ES256`; the server takes no other for this client.
    pub algorithm: String,
    /// The key pair.
    pub key: Key,
}

/// A client with a certificate (RFC 8705 §2.1), found by the certificate's subject.
#[derive(Debug, Clone)]
pub struct CertificateClient {
    /// The client identifier.
    pub id: String,
    /// The certificate, whose subject has two parts.
    pub certificate: Certificate,
}

/// A client that shows the token of a Kubernetes ServiceAccount.
#[derive(Debug, Clone)]
pub struct ServiceAccountClient {
    /// The client identifier, which is not the token's subject.
    pub id: String,
    /// The ServiceAccount's namespace.
    pub namespace: String,
    /// The ServiceAccount's name.
    pub name: String,
}

/// The clients of the realm.
#[derive(Debug, Clone)]
pub struct Clients {
    /// `client_secret_basic`; its id and its secret need every escape of RFC 6749 §2.3.1.
    pub basic: SecretClient,
    /// `client_secret_post`; its secret needs them too.
    pub post: SecretClient,
    /// `client_secret_jwt` with HS256.
    pub secret_jwt: SecretClient,
    /// `private_key_jwt` with RS256.
    pub rs256: KeyClient,
    /// `private_key_jwt` with ES256.
    pub es256: KeyClient,
    /// `tls_client_auth`.
    pub certificate: CertificateClient,
    /// A certificate of the same authority for another subject: it is refused.
    pub wrong_certificate: Certificate,
    /// A ServiceAccount of [`Options::cluster`].
    pub service_account: Option<ServiceAccountClient>,
}

impl SecretClient {
    /// A client with a secret of this run.
    pub(super) fn random(id: &str) -> anyhow::Result<Self> {
        Ok(Self { id: id.to_owned(), secret: random_secret()? })
    }

    fn with_awkward_secret(id: &str) -> anyhow::Result<Self> {
        let random = random_secret()?;
        Ok(Self { id: id.to_owned(), secret: format!("a:b+c%d/e&f=g~h i%20{random}") })
    }
}

impl Clients {
    pub(super) fn make(options: &Options, authority: &Authority) -> anyhow::Result<Self> {
        let certificate_for = |name: &str| {
            let subject = Subject::of(ORGANIZATION, name);
            authority.client(subject, &Key::generate(KeyKind::P256)?, DAY)
        };
        let certificate = CertificateClient {
            id: "certificate-client".to_owned(),
            certificate: certificate_for("certificate-client")?,
        };
        Ok(Self {
            basic: SecretClient::with_awkward_secret("urn:basic a+b/c%2F&d=e~f")?,
            post: SecretClient::with_awkward_secret("post-client")?,
            secret_jwt: SecretClient::random("secret-jwt-client")?,
            rs256: KeyClient::new("rs256-client", "RS256", KeyKind::Rsa)?,
            es256: KeyClient::new("es256-client", "ES256", KeyKind::P256)?,
            certificate,
            wrong_certificate: certificate_for("another-client")?,
            service_account: options.cluster.as_ref().map(|cluster| ServiceAccountClient {
                id: "service-account-client".to_owned(),
                namespace: cluster.namespace.clone(),
                name: cluster.name.clone(),
            }),
        })
    }

    /// What the realm knows: each client's id, authenticator, secret and attributes.
    pub(super) fn registrations(&self) -> anyhow::Result<Vec<Value>> {
        let mut registrations = vec![
            secret_registration(&self.basic, "client_secret_basic"),
            secret_registration(&self.post, "client_secret_post"),
            json!({
                "clientId": self.secret_jwt.id,
                "clientAuthenticatorType": "client-secret-jwt",
                "secret": self.secret_jwt.secret,
                "attributes": {"token.endpoint.auth.signing.alg": "HS256"},
            }),
            self.rs256.registration()?,
            self.es256.registration()?,
            json!({
                "clientId": self.certificate.id,
                "clientAuthenticatorType": "client-x509",
                "attributes": {
                    "x509.subjectdn": self.certificate.certificate.subject(),
                    "x509.casubjectdn": format!("CN={}", AUTHORITY_NAME),
                    "x509.allow.regex.pattern.comparison": "false",
                },
            }),
        ];
        registrations.extend(self.service_account.as_ref().map(|account| {
            let ServiceAccountClient { id, namespace, name } = account;
            json!({
                "clientId": id,
                "clientAuthenticatorType": "federated-jwt",
                "attributes": {
                    "jwt.credential.issuer": CLUSTER_ALIAS,
                    "jwt.credential.sub": format!("system:serviceaccount:{namespace}:{name}"),
                },
            })
        }));
        Ok(registrations)
    }
}

/// A client with a secret that is taken one way and no other.
pub(super) fn secret_registration(client: &SecretClient, method: &str) -> Value {
    json!({
        "clientId": client.id,
        "clientAuthenticatorType": "client-secret",
        "secret": client.secret,
        "attributes": {"client.secret.authentication.allowed.method": method},
    })
}

impl KeyClient {
    fn new(id: &str, algorithm: &str, kind: KeyKind) -> anyhow::Result<Self> {
        Ok(Self {
            id: id.to_owned(),
            key_id: format!("{id}-key"),
            algorithm: algorithm.to_owned(),
            key: Key::generate(kind)?,
        })
    }

    fn registration(&self) -> anyhow::Result<Value> {
        let jwk = self.key.jwk_with([
            ("kid", json!(self.key_id)),
            ("alg", json!(self.algorithm)),
            ("use", json!("sig")),
        ]);
        let keys = serde_json::to_string(&json!({ "keys": [jwk] }))
            .context("failed to write the public keys")?;
        Ok(json!({
            "clientId": self.id,
            "clientAuthenticatorType": "client-jwt",
            "attributes": {
                "use.jwks.string": "true",
                "jwks.string": keys,
                "token.endpoint.auth.signing.alg": self.algorithm,
            },
        }))
    }
}
