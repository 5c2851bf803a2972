//! A client's proof as the bytes of a request, and the answer to it.
//!
//! In: what the harness registered. Out: the status, the version of HTTP and the body.
//! **Invariant:** written without the operator's code, so that both can't be wrong in the same way.

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oauthcc_harness::keycloak::{CertificateClient, KeyClient, SecretClient};
use reqwest::{Certificate, Client, Identity, Url, Version};
use serde_json::{Value, json};

use crate::world::{LIFETIME, World};

/// One answer of the token endpoint.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub version: Version,
    pub body: Value,
}

impl Answer {
    /// The error code of a refusal.
    pub fn error(&self) -> &str {
        self.body.get("error").and_then(Value::as_str).unwrap_or_default()
    }

    /// Fails unless the answer holds a token that the server knows as alive.
    pub async fn expect_token(&self, world: &World) -> anyhow::Result<()> {
        ensure!(self.status == 200, "the answer is {self:?}");
        let text = |name| self.body.get(name).and_then(Value::as_str);
        ensure!(text("token_type") == Some("Bearer"), "the answer is {self:?}");
        let lifetime = self.body.get("expires_in").and_then(Value::as_u64);
        // What is left when the answer is written: a second less where one has begun meanwhile.
        let left = lifetime
            .is_some_and(|left| (LIFETIME.as_secs() - 5..=LIFETIME.as_secs()).contains(&left));
        ensure!(left, "the token lives {lifetime:?} s");
        let token = text("access_token").context("a token is there")?;
        ensure!(world.keycloak.is_active(token).await?, "the token is not alive");
        Ok(())
    }
}

/// A request for a token that some proof is added to.
#[derive(Default)]
pub struct Request<'a> {
    basic: Option<&'a SecretClient>,
    certificate: Option<&'a CertificateClient>,
    fields: Vec<(&'a str, String)>,
}

impl<'a> Request<'a> {
    /// `client_secret_basic`.
    pub fn basic(client: &'a SecretClient) -> Self {
        Self { basic: Some(client), ..Self::default() }
    }

    /// `client_secret_post`.
    pub fn post(client: &'a SecretClient) -> Self {
        Self::default()
            .field("client_id", client.id.clone())
            .field("client_secret", client.secret.clone())
    }

    /// `tls_client_auth`.
    pub fn certificate(client: &'a CertificateClient) -> Self {
        let request = Self { certificate: Some(client), ..Self::default() };
        request.field("client_id", client.id.clone())
    }

    /// Any of the methods that send a JWT.
    pub fn assertion(assertion: String) -> Self {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        Self::default()
            .field("client_assertion_type", kind.to_owned())
            .field("client_assertion", assertion)
    }

    /// With one more field in the body.
    #[must_use]
    pub fn field(mut self, name: &'a str, value: String) -> Self {
        self.fields.push((name, value));
        self
    }

    /// Sends it on a connection of its own.
    pub async fn send(self, world: &World) -> anyhow::Result<Answer> {
        let authority = Certificate::from_pem(world.keycloak.ca_pem().as_bytes())?;
        let mut builder = Client::builder().no_proxy().tls_certs_only([authority]);
        if let Some(client) = self.certificate {
            let pem = format!("{}{}", client.certificate_pem, client.private_key_pem);
            builder = builder.identity(Identity::from_pem(pem.as_bytes())?);
        }
        let client = builder.timeout(Duration::from_secs(20)).build()?;
        let mut request = client
            .post(world.keycloak.token_url())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(self.fields.iter().map(|(name, value)| (*name, value.as_str())))?);
        if let Some(SecretClient { id, secret }) = self.basic {
            request = request.basic_auth(encoded(id)?, Some(encoded(secret)?));
        }
        let response = request.send().await.context("failed to ask for a token")?;
        let (status, version) = (response.status().as_u16(), response.version());
        let body = response.text().await.context("failed to read the answer")?;
        let body = serde_json::from_str(&body).with_context(|| format!("no JSON: {body}"))?;
        Ok(Answer { status, version, body })
    }
}

/// A JWT signed with the client's private key (RFC 7523 §3).
pub fn signed_by_key(client: &KeyClient, audience: &str) -> anyhow::Result<String> {
    let (algorithm, key) = match client.algorithm.as_str() {
        "RS256" => {
            (Algorithm::RS256, EncodingKey::from_rsa_pem(client.private_key_pem.as_bytes())?)
        }
        _ => (Algorithm::ES256, EncodingKey::from_ec_pem(client.private_key_pem.as_bytes())?),
    };
    let header = Header { kid: Some(client.key_id.clone()), ..Header::new(algorithm) };
    Ok(jsonwebtoken::encode(&header, &claims(&client.id, audience)?, &key)?)
}

/// A JWT signed with the client's secret.
pub fn signed_by_secret(client: &SecretClient, audience: &str) -> anyhow::Result<String> {
    let key = EncodingKey::from_secret(client.secret.as_bytes());
    let claims = claims(&client.id, audience)?;
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

fn claims(id: &str, audience: &str) -> anyhow::Result<Value> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(json!({
        "iss": id,
        "sub": id,
        "aud": audience,
        "iat": now.as_secs(),
        "exp": now.as_secs() + 60,
        "jti": format!("{id}-{}", now.as_nanos()),
    }))
}

/// The body of the grant.
fn form<'f>(fields: impl Iterator<Item = (&'f str, &'f str)>) -> anyhow::Result<String> {
    let mut url = Url::parse("form:?grant_type=client_credentials")?;
    url.query_pairs_mut().extend_pairs(fields);
    Ok(url.query().unwrap_or_default().to_owned())
}

/// One name or secret as RFC 6749 §2.3.1 wants it in a `Basic` header.
fn encoded(value: &str) -> anyhow::Result<String> {
    let pair = form([("", value)].into_iter())?;
    Ok(pair.rsplit_once('=').map(|(_, value)| value.to_owned()).unwrap_or_default())
}
