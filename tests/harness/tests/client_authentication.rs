//! Proves with plain requests that the authorization server knows every way of a client to prove
//! itself, so that a failure of the server is not looked for in the operator.
//!
//! **Invariant:** the operator's crate is not needed; assertions are signed by `jsonwebtoken`.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, jwk::JwkSet};
use oauthcc_harness::{
    authorization_server::{AuthMethod, AuthorizationServer, Client, RESOURCES},
    certificates::Certificate,
    keys::{Key, KeyKind},
};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);
/// At least as long as the longest hash.
const SECRET: &str = "a secret of sixty-four characters: + % & = and then some more...";
const ODD: &str = "urn:team a+b/c%2F&d=e~f";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_authenticates_in_the_header_in_the_body_and_as_a_key() -> Result<()> {
    let server = AuthorizationServer::start().await?;
    let asker = Asker::new(&server, None)?;

    server.add_client(&Client::new(ODD, ODD)).await?;
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{0}:{0}", form(ODD))));
    let answer = asker.ask(&server.token_url(), Some(&basic), &[]).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(server.token_requests(ODD).await?, 1);
    assert_eq!(server.issued(ODD).await?.len(), 1);

    server.add_client(&Client::new("poster", ODD).with_method(AuthMethod::Post)).await?;
    let own = [("client_id", "poster"), ("client_secret", ODD)];
    assert_eq!(asker.ask(&server.token_url(), None, &own).await?.status, 200);

    for (algorithm, name) in
        [(Algorithm::HS256, "HS256"), (Algorithm::HS384, "HS384"), (Algorithm::HS512, "HS512")]
    {
        let id = format!("{ODD} {name}");
        let method = AuthMethod::SecretJwt { algorithm: name };
        server.add_client(&Client::new(&id, SECRET).with_method(method)).await?;
        let signing = EncodingKey::from_secret(SECRET.as_bytes());
        let good = assertion(&Header::new(algorithm), &signing, &id, &server.issuer())?;
        // Without `client_id`: the subject of the assertion says who asks.
        let answer = asker.ask_with(&server, &good, &[]).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(asker.ask_with(&server, &good, &[]).await?.error(), (401, "invalid_client"));
        let wrong = EncodingKey::from_secret(b"another secret");
        let wrong = assertion(&Header::new(algorithm), &wrong, &id, &server.issuer())?;
        let answer = asker.ask_with(&server, &wrong, &[("client_id", &id)]).await?;
        assert_eq!(answer.error(), (401, "invalid_client"));
        assert_eq!(server.token_requests(&id).await?, 3);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_of_every_kind_authenticates() -> Result<()> {
    let server = AuthorizationServer::start().await?;
    let asker = Asker::new(&server, None)?;
    for (kind, algorithm) in [
        (KeyKind::Rsa, Algorithm::RS256),
        (KeyKind::Rsa, Algorithm::PS256),
        (KeyKind::P256, Algorithm::ES256),
        (KeyKind::P384, Algorithm::ES384),
        (KeyKind::Ed25519, Algorithm::EdDSA),
    ] {
        let id = format!("signs-{algorithm:?}");
        let key = Key::generate(kind)?;
        let method = AuthMethod::PrivateKeyJwt { jwks: vec![key.jwk(Some("one"))] };
        server.add_client(&Client::new(&id, "").with_method(method)).await?;
        let signing = encoding_key(&key)?;
        let mut header = Header::new(algorithm);
        for (kid, audience, expected) in [
            (None, server.issuer(), 200),
            (Some("one"), server.token_url(), 200),
            (Some("two"), server.issuer(), 401),
            (None, "https://elsewhere.example.com".to_owned(), 401),
        ] {
            header.kid = kid.map(str::to_owned);
            let assertion = assertion(&header, &signing, &id, &audience)?;
            let answer = asker.ask_with(&server, &assertion, &[("client_id", &id)]).await?;
            assert_eq!(answer.status, expected, "{algorithm:?} {kid:?} {audience} {answer:?}");
        }
        assert_eq!(server.token_requests(&id).await?, 4);
        assert_eq!(server.issued(&id).await?.len(), 2);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_authenticates_by_its_authority_or_by_itself() -> Result<()> {
    let server = AuthorizationServer::start().await?;
    let key = Key::generate(KeyKind::Rsa)?;
    let signed = server.client_certificate("orders", &key, HOUR)?;
    let method = AuthMethod::TlsClientAuth { subject: signed.subject().to_owned() };
    server.add_client(&Client::new("by-authority", "").with_method(method)).await?;
    let key = Key::generate(KeyKind::P256)?;
    let own = Certificate::self_signed_client("orders", &key, HOUR)?;
    let method = AuthMethod::SelfSignedTlsClientAuth { jwks: vec![own.jwk()] };
    server.add_client(&Client::new("by-itself", "").with_method(method)).await?;

    let other = server.client_certificate("payments", &key, HOUR)?;
    let ended = server.client_certificate("orders", &key, Duration::ZERO)?;
    for (certificate, client, expected) in [
        (Some(&signed), "by-authority", 200),
        (Some(&own), "by-authority", 401),
        (Some(&other), "by-authority", 401),
        (Some(&ended), "by-authority", 401),
        (None, "by-authority", 401),
        (Some(&own), "by-itself", 200),
        (Some(&signed), "by-itself", 401),
        (None, "by-itself", 401),
    ] {
        let asker = Asker::new(&server, certificate)?;
        let answer = asker.ask(&server.token_url(), None, &[("client_id", client)]).await?;
        assert_eq!(answer.status, expected, "{client} {answer:?}");
    }

    let public = Client::new("public", "").with_method(AuthMethod::None);
    server.add_client(&public).await?;
    let asker = Asker::new(&server, None)?;
    let answer = asker.ask(&server.token_url(), None, &[("client_id", "public")]).await?;
    assert_eq!(answer.status, 200, "{answer:?}");

    let mut refused = Client::new("refused", "");
    refused.metadata.insert("token_endpoint_auth_method".to_owned(), json!("unheard-of"));
    assert!(server.add_client(&refused).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_names_the_endpoints_and_a_resource_gets_a_jwt() -> Result<()> {
    let server = AuthorizationServer::start().await?;
    let asker = Asker::new(&server, None)?;
    let issuer = server.issuer();
    let [openid, oauth] = ["openid-configuration", "oauth-authorization-server"];
    let document = asker.get(&format!("{issuer}/.well-known/{openid}")).await?;
    assert_eq!(asker.get(&format!("{issuer}/.well-known/{oauth}")).await?, document);
    assert_eq!(document["issuer"], json!(issuer));
    assert_eq!(document["token_endpoint"], json!(server.token_url()));
    let methods = document["token_endpoint_auth_methods_supported"].as_array();
    assert_eq!(methods.context("no methods")?.len(), 7);
    let alias = document["mtls_endpoint_aliases"]["token_endpoint"].as_str().context("no alias")?;
    assert_eq!(alias, server.mtls_token_url());

    let certificate = server.client_certificate("orders", &Key::generate(KeyKind::P384)?, HOUR)?;
    let method = AuthMethod::TlsClientAuth { subject: certificate.subject().to_owned() };
    let mut client = Client::new("orders", "").with_method(method);
    client.lifetime = Duration::from_secs(90);
    server.add_client(&client).await?;
    let asker = Asker::new(&server, Some(&certificate))?;
    let [resource, other] = RESOURCES;
    let mut form = vec![("client_id", "orders"), ("resource", resource), ("scope", "orders.read")];
    let answer = asker.ask(alias, None, &form).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["expires_in"], json!(90));
    let token = answer.body["access_token"].as_str().context("no token")?;
    let keys: JwkSet = serde_json::from_value(
        asker.get(document["jwks_uri"].as_str().context("no keys")?).await?,
    )?;
    let key = DecodingKey::from_jwk(keys.keys.first().context("no key")?)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[resource]);
    validation.set_issuer(&[&issuer]);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation)?.claims;
    assert_eq!(claims["scope"], json!("orders.read"));
    assert_eq!(claims["client_id"], json!("orders"));
    let tokens = server.issued("orders").await?;
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].expires_at.duration_since(tokens[0].issued_at)?, client.lifetime);

    form.push(("resource", other));
    assert_eq!(asker.ask(alias, None, &form).await?.error(), (400, "invalid_target"));
    let unknown = [("client_id", "orders"), ("resource", "https://api.example.com/none")];
    assert_eq!(asker.ask(alias, None, &unknown).await?.error(), (400, "invalid_target"));
    Ok(())
}

/// A fresh assertion (RFC 7523 §3), good for a minute.
fn assertion(header: &Header, key: &EncodingKey, id: &str, audience: &str) -> Result<String> {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let jti = format!("assertion-{}", MADE.fetch_add(1, Ordering::Relaxed));
    let claims = json!({
        "iss": id, "sub": id, "aud": audience, "jti": jti, "iat": now, "exp": now + 60,
    });
    Ok(jsonwebtoken::encode(header, &claims, key)?)
}

fn encoding_key(key: &Key) -> Result<EncodingKey> {
    let pem = key.pem();
    let pem = pem.as_bytes();
    Ok(match key.kind() {
        KeyKind::Rsa => EncodingKey::from_rsa_pem(pem)?,
        KeyKind::P256 | KeyKind::P384 => EncodingKey::from_ec_pem(pem)?,
        KeyKind::Ed25519 => EncodingKey::from_ed_pem(pem)?,
    })
}

fn form(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

struct Asker(reqwest::Client);

#[derive(Debug)]
struct Answer {
    status: u16,
    body: Value,
}

impl Answer {
    fn error(&self) -> (u16, &str) {
        let error = self.body.get("error").and_then(Value::as_str);
        (self.status, error.unwrap_or_default())
    }
}

impl Asker {
    fn new(server: &AuthorizationServer, certificate: Option<&Certificate>) -> Result<Self> {
        let authority = reqwest::Certificate::from_pem(server.ca_pem().as_bytes())?;
        let mut client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
        if let Some(certificate) = certificate {
            let pem = certificate.chain_pem() + &certificate.key_pem();
            client = client.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
        }
        Ok(Self(client.build()?))
    }

    async fn ask(
        &self,
        url: &str,
        authorization: Option<&str>,
        parameters: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials").extend_pairs(parameters);
        let mut request = self.0.post(url).body(form.finish());
        request = request.header("content-type", "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok(Answer { status, body: serde_json::from_str(&response.text().await?)? })
    }

    async fn ask_with(
        &self,
        server: &AuthorizationServer,
        assertion: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut form = vec![
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ];
        form.extend(parameters);
        self.ask(&server.token_url(), None, &form).await
    }

    async fn get(&self, url: &str) -> Result<Value> {
        let text = self.0.get(url).send().await?.error_for_status()?.text().await?;
        Ok(serde_json::from_str(&text)?)
    }
}
