//! The realm's clients, one for each way in which a client proves itself.
//!
//! Out: what a client has to know, and what the realm has to know about it.
//! **Invariant:** each client is registered for one way only: a server that took another would hide
//! a client that uses the wrong one.

use anyhow::Context;
use rcgen::{CertifiedIssuer, KeyPair};
use serde_json::{Value, json};

use super::{Options, keys};
use crate::certificates::random_secret;

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
    /// The private key, PKCS#8.
    pub private_key_pem: String,
    jwk: Value,
}

/// A client with a certificate (RFC 8705 §2.1), found by the certificate's subject.
#[derive(Debug, Clone)]
pub struct CertificateClient {
    /// The client identifier.
    pub id: String,
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS#8.
    pub private_key_pem: String,
    /// Its subject as RFC 4514 writes it.
    pub subject: String,
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
    /// `client_secret_basic`; its secret needs every escape of RFC 6749 §2.3.1.
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
    /// The same client with a certificate of the same authority and another subject: it is refused.
    pub wrong_certificate: CertificateClient,
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
    pub(super) fn make(
        options: &Options,
        client_authority: &CertifiedIssuer<'static, KeyPair>,
    ) -> anyhow::Result<Self> {
        let rs256 = keys::AssertionKey::rs256("rs256-key")?;
        let es256 = keys::AssertionKey::es256("es256-key")?;
        let certificate = CertificateClient::new("certificate-client", client_authority)?;
        let wrong_certificate = CertificateClient {
            id: certificate.id.clone(),
            ..CertificateClient::new("another-client", client_authority)?
        };
        Ok(Self {
            basic: SecretClient::with_awkward_secret("basic-client")?,
            post: SecretClient::with_awkward_secret("post-client")?,
            secret_jwt: SecretClient::random("secret-jwt-client")?,
            rs256: KeyClient::new("rs256-client", "RS256", "rs256-key", rs256),
            es256: KeyClient::new("es256-client", "ES256", "es256-key", es256),
            certificate,
            wrong_certificate,
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
                    "x509.subjectdn": self.certificate.subject,
                    "x509.casubjectdn": format!("CN={}", keys::AUTHORITY_NAME),
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

impl CertificateClient {
    fn new(id: &str, authority: &CertifiedIssuer<'static, KeyPair>) -> anyhow::Result<Self> {
        let (certificate_pem, private_key_pem) = keys::client_certificate(authority, id)?;
        let subject = format!("CN={id},O=oauthcc");
        Ok(Self { id: id.to_owned(), certificate_pem, private_key_pem, subject })
    }
}

impl KeyClient {
    fn new(id: &str, algorithm: &str, key_id: &str, key: keys::AssertionKey) -> Self {
        Self {
            id: id.to_owned(),
            key_id: key_id.to_owned(),
            algorithm: algorithm.to_owned(),
            private_key_pem: key.private_pem,
            jwk: key.jwk,
        }
    }

    fn registration(&self) -> anyhow::Result<Value> {
        let keys = serde_json::to_string(&json!({"keys": [self.jwk]}))
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
