//! A token endpoint that takes a Kubernetes ServiceAccount token as client authentication (RFC 7523).
//!
//! In: the discovery document and keys of a cluster, the audience it answers to, and the
//! accounts it knows. Out: HTTPS on loopback, with a certificate of the authorization server's
//! own authority.
//! **Invariant:** a token is given only for a signature of the cluster, its issuer, exactly this one
//! audience, a time before the expiry and a registered subject; a refusal says `invalid_client` and no
//! more; tokens are remembered as SHA-256 only.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, anyhow, bail, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    authorization_server::AuthorizationServer,
    certificates::{Flaw, hexadecimal, random_secret},
    control_plane::ControlPlane,
    ports::Port,
    tls::{TlsListener, acceptor},
};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A running token endpoint; dropping it ends it.
#[derive(Debug)]
pub struct TokenVerifier {
    port: Port,
    verifier: Arc<Verifier>,
    // Dropped with this: connections end when they are idle.
    _running: oneshot::Sender<()>,
}

impl TokenVerifier {
    /// Reads the cluster's issuer and keys, and starts on a free port; who trusts `server` trusts this.
    pub async fn start(
        server: &AuthorizationServer,
        cluster: &ControlPlane,
        audience: &str,
    ) -> anyhow::Result<Self> {
        let verifier = Arc::new(Verifier::of_cluster(cluster, audience).await?);
        let port = Port::reserve()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))
            .await
            .context("failed to listen")?;
        let listener =
            TlsListener::new(listener, acceptor(&server.server_certificate(Flaw::None)?)?);
        let routes = Router::new().route("/token", post(answer)).with_state(Arc::clone(&verifier));
        let (running, dropped) = oneshot::channel::<()>();
        let serve = axum::serve(listener, routes).with_graceful_shutdown(async {
            let _ = dropped.await;
        });
        tokio::spawn(serve.into_future());
        Ok(Self { port, verifier, _running: running })
    }

    /// `localhost:PORT`.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port.number())
    }

    /// The token endpoint.
    pub fn token_url(&self) -> String {
        format!("https://{}/token", self.host())
    }

    /// Gives tokens of this lifetime to a ServiceAccount from now on.
    pub fn register(&self, namespace: &str, name: &str, lifetime: Duration) {
        let subject = format!("system:serviceaccount:{namespace}:{name}");
        self.verifier.seen().accounts.insert(subject, lifetime);
    }

    /// How many requests for a token came, whatever the answer.
    pub fn requests(&self) -> usize {
        self.verifier.seen().parameters.len()
    }

    /// The names of the parameters of each request, in the order they came in.
    pub fn parameters(&self) -> Vec<Vec<String>> {
        self.verifier.seen().parameters.clone()
    }

    /// The hexadecimal SHA-256 of every token given, the oldest first.
    pub fn issued(&self) -> Vec<String> {
        self.verifier.seen().issued.clone()
    }

    /// Why requests were refused, the oldest first; the client is not told.
    pub fn refusals(&self) -> Vec<String> {
        self.verifier.seen().refusals.clone()
    }
}

/// What is known, and what was seen.
#[derive(Debug)]
struct Verifier {
    issuer: String,
    keys: JwkSet,
    audience: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    accounts: BTreeMap<String, Duration>,
    parameters: Vec<Vec<String>>,
    issued: Vec<String>,
    refusals: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    aud: Value,
}

impl Verifier {
    async fn of_cluster(cluster: &ControlPlane, audience: &str) -> anyhow::Result<Self> {
        let text = cluster.get("/.well-known/openid-configuration").await?;
        let discovery: Discovery = serde_json::from_str(&text).context("no discovery document")?;
        // The host in it is the one that the API server advertises, which need not be loopback.
        let keys = reqwest::Url::parse(&discovery.jwks_uri).context("no address of the keys")?;
        let text = cluster.get(keys.path()).await?;
        Ok(Self {
            issuer: discovery.issuer,
            keys: serde_json::from_str(&text).context("no keys")?,
            audience: audience.to_owned(),
            seen: Mutex::default(),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lifetime of the token that this request gets.
    fn check(&self, headers: &HeaderMap, form: &[(String, String)]) -> anyhow::Result<Duration> {
        let value = |name: &str| {
            let mut values = form.iter().filter(|(found, _)| found == name);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Ok(value.as_str()),
                _ => Err(anyhow!("not exactly one {name}")),
            }
        };
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        ensure!(content_type == Some("application/x-www-form-urlencoded"), "no form");
        ensure!(value("grant_type")? == "client_credentials", "another grant");
        let another = headers.contains_key(AUTHORIZATION) || value("client_secret").is_ok();
        ensure!(!another, "a second way of authentication");
        ensure!(value("client_assertion_type")? == ASSERTION_TYPE, "another type of assertion");
        let subject = self.subject(value("client_assertion")?)?;
        let lifetime = self.seen().accounts.get(&subject).copied();
        lifetime.with_context(|| format!("{subject} is not registered"))
    }

    /// Whose token it is, if it is one of the cluster's for this audience.
    fn subject(&self, token: &str) -> anyhow::Result<String> {
        let header = jsonwebtoken::decode_header(token).context("no JWT")?;
        let kid = header.kid.context("no key is named")?;
        let key = self.keys.find(&kid).with_context(|| format!("no key {kid}"))?;
        // What the key is for, whatever the token says.
        let algorithm = key.common.key_algorithm.context("a key for no algorithm")?.to_string();
        let mut validation = Validation::new(Algorithm::from_str(&algorithm)?);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.validate_nbf = true;
        validation.leeway = 0;
        let key = DecodingKey::from_jwk(key).context("no usable key")?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation)?.claims;
        if let Value::Array(audiences) = claims.aud
            && audiences.len() > 1
        {
            bail!("more than one audience");
        }
        Ok(claims.sub)
    }
}

async fn answer(
    State(verifier): State<Arc<Verifier>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
    let names = form.iter().map(|(name, _)| name.clone()).collect();
    verifier.seen().parameters.push(names);
    let made = verifier.check(&headers, &form).and_then(|lifetime| issue(&verifier, lifetime));
    let (status, body) = match made {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            verifier.seen().refusals.push(format!("{error:#}"));
            (StatusCode::UNAUTHORIZED, json!({"error": "invalid_client"}))
        }
    };
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}

fn issue(verifier: &Verifier, lifetime: Duration) -> anyhow::Result<Value> {
    let token = format!("verified.{}", random_secret()?);
    let remembered = hexadecimal(digest(&SHA256, token.as_bytes()).as_ref())?;
    verifier.seen().issued.push(remembered);
    let seconds = lifetime.as_secs();
    Ok(json!({"access_token": token, "token_type": "Bearer", "expires_in": seconds}))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use jsonwebtoken::{EncodingKey, Header};

    use super::*;
    use crate::keys::{Key, KeyKind};

    #[test]
    fn only_a_good_token_has_a_subject() {
        let key = Key::generate(KeyKind::P256).unwrap();
        let jwk = key.jwk_with([("kid", json!("one")), ("alg", json!("ES256"))]);
        let verifier = Verifier {
            issuer: "https://cluster".to_owned(),
            keys: serde_json::from_value(json!({"keys": [jwk]})).unwrap(),
            audience: "https://here".to_owned(),
            seen: Mutex::default(),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let good = json!({
            "iss": "https://cluster", "sub": "a", "aud": ["https://here"], "exp": now + 60,
        });
        let subject = |key: &Key, kid: Option<&str>, change: Value| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::ES256) };
            let key = EncodingKey::from_ec_pem(key.pem().as_bytes()).unwrap();
            verifier.subject(&jsonwebtoken::encode(&header, &claims, &key).unwrap())
        };
        let kid = Some("one");
        assert_eq!(subject(&key, kid, json!({})).unwrap(), "a");
        assert_eq!(subject(&key, kid, json!({"aud": "https://here"})).unwrap(), "a");
        for change in [
            json!({"iss": "https://other"}),
            json!({"aud": "https://other"}),
            json!({"aud": ["https://here", "https://other"]}),
            json!({"aud": []}),
            json!({"exp": now - 1}),
            json!({"exp": null}),
            json!({"nbf": now + 60}),
        ] {
            assert!(subject(&key, kid, change.clone()).is_err(), "{change}");
        }
        let other = Key::generate(KeyKind::P256).unwrap();
        assert!(subject(&other, kid, json!({})).is_err());
        assert!(subject(&key, Some("two"), json!({})).is_err());
        assert!(subject(&key, None, json!({})).is_err());
    }
}
