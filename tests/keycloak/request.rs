//! A client's proof as the bytes of a request, and the answer to it.
//!
//! In: what the harness registered. Out: the status and the error of the answer.
//! **Invariant:** written without the operator's code, so that both can't be wrong in the same way.

use std::time::SystemTime;

use anyhow::{Context, ensure};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oauthcc_harness::keycloak::{KeyClient, SecretClient};
use oauthcc_harness::keys::KeyKind;
use reqwest::{Certificate, Client, Url};
use serde_json::{Value, json};

use crate::Outcome;
use crate::world::{SOON, World};

/// A request for a token that some proof is added to.
#[derive(Default)]
pub struct Request<'a> {
    basic: Option<&'a SecretClient>,
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

    /// Any of the methods that send a JWT.
    pub fn assertion(assertion: String) -> Self {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        Self::default()
            .field("client_assertion_type", kind.to_owned())
            .field("client_assertion", assertion)
    }

    fn field(mut self, name: &'a str, value: String) -> Self {
        self.fields.push((name, value));
        self
    }

    /// Sends it, and fails unless the answer has this status and this error.
    pub async fn answered(self, world: &World, status: u16, error: Option<&str>) -> Outcome {
        let authority = Certificate::from_pem(world.keycloak.ca_pem().as_bytes())?;
        let client = Client::builder().no_proxy().tls_certs_only([authority]).timeout(SOON);
        let grant = [("grant_type", "client_credentials".to_owned())];
        let mut request = client
            .build()?
            .post(world.keycloak.token_url())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(grant.iter().chain(&self.fields))?);
        if let Some(SecretClient { id, secret }) = self.basic {
            request = request.basic_auth(encoded(id)?, Some(encoded(secret)?));
        }
        let response = request.send().await.context("failed to ask for a token")?;
        let found = response.status().as_u16();
        let body = response.text().await.context("failed to read the answer")?;
        let body: Value =
            serde_json::from_str(&body).with_context(|| format!("no JSON: {body}"))?;
        let told = body.get("error").and_then(Value::as_str);
        ensure!((found, told) == (status, error), "expected {status} {error:?}: {found} {told:?}");
        Ok(())
    }
}

/// A JWT about a client, signed with its private key (RFC 7523 §3) by the algorithm given.
pub fn signed(client: &KeyClient, algorithm: Algorithm, audience: &str) -> anyhow::Result<String> {
    let pem = client.key.pem();
    let key = match client.key.kind() {
        KeyKind::Rsa => EncodingKey::from_rsa_pem(pem.as_bytes())?,
        KeyKind::P256 | KeyKind::P384 => EncodingKey::from_ec_pem(pem.as_bytes())?,
        KeyKind::Ed25519 => EncodingKey::from_ed_pem(pem.as_bytes())?,
    };
    let header = Header { kid: Some(client.key_id.clone()), ..Header::new(algorithm) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let claims = json!({
        "iss": client.id,
        "sub": client.id,
        "aud": audience,
        "iat": now.as_secs(),
        "exp": now.as_secs() + 60,
        "jti": format!("{}-{}", client.id, now.as_nanos()),
    });
    Ok(jsonwebtoken::encode(&header, &claims, &key)?)
}

fn form<'f>(fields: impl Iterator<Item = &'f (&'f str, String)>) -> anyhow::Result<String> {
    let mut url = Url::parse("form:")?;
    url.query_pairs_mut().extend_pairs(fields);
    Ok(url.query().unwrap_or_default().to_owned())
}

/// One name or secret as RFC 6749 §2.3.1 wants it in a `Basic` header.
fn encoded(value: &str) -> anyhow::Result<String> {
    let pair = form([("", value.to_owned())].iter())?;
    Ok(pair.trim_start_matches('=').to_owned())
}
