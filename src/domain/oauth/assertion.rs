//! Assertions that we sign (RFC 7523 §2.2). In: who asks, whom, when, and a key. Out: a JWT in the
//! compact form of RFC 7515 §7.1.
//!
//! **Invariant:** an assertion says nothing but RFC 7523 §3 asks for, has one `aud` string, its own
//! `jti` and 60 s to live. Members stand in a fixed order, so equal inputs give equal bytes.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use crate::domain::{
    crd::{HmacAlgorithm, PrivateKeyJwt, SigningAlgorithm},
    oauth::{authentication::Moment, key::SigningKey},
    plan::{Fault, Location, RequestPlan},
    redacted::Redacted,
};

/// How long an assertion may be used, in seconds.
const LIFETIME_SECONDS: i64 = 60;

/// The JOSE header (RFC 7515 §4.1).
#[derive(Serialize)]
pub(super) struct JoseHeader<'a> {
    pub(super) alg: &'static str,
    pub(super) typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<&'a str>,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub(super) thumbprint: Option<String>,
}

/// The claims (RFC 7523 §3).
#[derive(Serialize)]
pub(super) struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl<'a> Claims<'a> {
    /// Of a client about itself.
    pub(super) fn new(client_id: &'a str, audience: &'a str, moment: Moment) -> Self {
        let now = moment.now.as_second();
        Self {
            iss: client_id,
            sub: client_id,
            aud: audience,
            jti: URL_SAFE_NO_PAD.encode(moment.entropy.0),
            iat: now,
            nbf: now,
            exp: now + LIFETIME_SECONDS,
        }
    }
}

/// The audience of an assertion: what the spec says, else the issuer, else the token URL, each as it
/// is written, since servers compare exactly (RFC 7523 §3).
pub(super) fn audience(plan: &RequestPlan) -> &str {
    given_audience(plan).unwrap_or(match &plan.location {
        Location::Issuer(written) | Location::TokenUrl(written) => written,
    })
}

/// The audience that the spec gives.
pub(super) fn given_audience(plan: &RequestPlan) -> Option<&str> {
    plan.private_key_jwt.as_ref()?.audience.as_deref()
}

/// Signed with the client secret (RFC 7518 §3.2).
pub(super) fn with_secret(
    algorithm: HmacAlgorithm,
    secret: &Redacted<String>,
    claims: &Claims<'_>,
) -> Redacted<String> {
    let alg = match algorithm {
        HmacAlgorithm::HS256 => "HS256",
        HmacAlgorithm::HS384 => "HS384",
        HmacAlgorithm::HS512 => "HS512",
    };
    let input = signing_input(&JoseHeader { alg, typ: "JWT", kid: None, thumbprint: None }, claims);
    let tag = mac(algorithm, secret.expose().as_bytes(), input.as_bytes());
    joined(input, tag.as_ref())
}

/// Signed with the private key.
///
/// # Errors
/// A key, an algorithm or a certificate that can't be used together.
pub(super) fn with_key(
    settings: &PrivateKeyJwt,
    key: &[u8],
    certificate: Option<&[u8]>,
    claims: &Claims<'_>,
) -> Result<Redacted<String>, Fault> {
    let key = SigningKey::from_pem(key)?;
    let algorithm = key.algorithm(settings.algorithm)?;
    let header = JoseHeader {
        alg: match algorithm {
            SigningAlgorithm::RS256 => "RS256",
            SigningAlgorithm::PS256 => "PS256",
            SigningAlgorithm::ES256 => "ES256",
            SigningAlgorithm::ES384 => "ES384",
            SigningAlgorithm::EdDsa => "EdDSA",
        },
        typ: "JWT",
        kid: settings.key_id.as_deref(),
        thumbprint: certificate.map(|pem| key.thumbprint(pem)).transpose()?,
    };
    let input = signing_input(&header, claims);
    let signature = key.sign(algorithm, input.as_bytes())?;
    Ok(joined(input, &signature))
}

/// HMAC as JWS has it.
pub(super) fn mac(algorithm: HmacAlgorithm, secret: &[u8], message: &[u8]) -> hmac::Tag {
    let algorithm = match algorithm {
        HmacAlgorithm::HS256 => hmac::HMAC_SHA256,
        HmacAlgorithm::HS384 => hmac::HMAC_SHA384,
        HmacAlgorithm::HS512 => hmac::HMAC_SHA512,
    };
    hmac::sign(&hmac::Key::new(algorithm, secret), message)
}

fn signing_input(header: &JoseHeader<'_>, claims: &Claims<'_>) -> String {
    format!("{}.{}", encoded(header), encoded(claims))
}

fn encoded(part: &impl Serialize) -> String {
    let json = serde_json::to_vec(part).expect("strings and numbers are JSON");
    URL_SAFE_NO_PAD.encode(json)
}

/// What is good for a token from here on.
fn joined(mut input: String, signature: &[u8]) -> Redacted<String> {
    // One allocation, so that growing leaves no copy behind.
    input.reserve_exact(1 + signature.len().div_ceil(3) * 4);
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut input);
    Redacted::new(input)
}
