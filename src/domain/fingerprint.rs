//! What a token was granted for: a digest of the request as the spec asks for it, and a keyed one of
//! the secret values that it used. In: spec, references, values. Out: two annotations.
//!
//! **Invariant:** nothing here lets somebody who reads an annotation test a guess of the client
//! secret: part b is keyed by the token itself, and the rest is made of nothing secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use aws_lc_rs::{constant_time, digest, hmac};
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::crd::{
    BasicEncoding, BodyFormat, ClientAuthentication, ClientAuthenticationMethod,
    DEFAULT_SERVICE_ACCOUNT_TOKEN_SECONDS, Header, HmacAlgorithm, OAuthClientCredentialSpec,
    Parameter, RequestOptions, ResponseOptions,
};
use crate::domain::output;
use crate::domain::plan::ResponseShape;
use crate::domain::redacted::Redacted;
use crate::domain::reference::{Object, UsedObject};

const VERSION: &str = "v1";

/// The secret values of one request in canonical form: each with its length, so that no two sets
/// of values have the same bytes.
#[derive(Clone, Debug, Default)]
pub struct SecretValues(Redacted<Vec<u8>>);

impl SecretValues {
    /// The values in the order in which the request uses them.
    pub fn new<T: AsRef<[u8]>>(values: &[T]) -> Self {
        let mut bytes = Vec::new();
        for value in values {
            let value = value.as_ref();
            bytes.extend_from_slice(&(value.len() as u64).to_be_bytes());
            bytes.extend_from_slice(value);
        }
        Self(Redacted::new(bytes))
    }

    /// HMAC-SHA-256 of the values under `key`.
    pub fn keyed(&self, key: &[u8]) -> [u8; 32] {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), self.0.expose());
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        bytes
    }
}

/// Part a: what the spec asks for, defaults left out, timeouts, schedules and the names of Secrets not
/// counted. What the catalogue makes of it is not counted either, so that a new one asks for nothing.
pub fn request_digest(spec: &OAuthClientCredentialSpec) -> String {
    let authentication = spec.client_authentication.clone().unwrap_or_default();
    let method = authentication.method.filter(|method| {
        // With a provider an absent method is the provider's, so a written one says something.
        spec.provider.is_some() || *method != ClientAuthenticationMethod::default()
    });
    // A BTreeMap, whose order no feature of serde_json changes: the digest must outlive upgrades.
    let mut asked = BTreeMap::from([
        ("audience", json!(spec.audience)),
        ("clientID", json!(spec.client_id)),
        ("issuer", json!(spec.issuer)),
        ("method", json!(method)),
        ("provider", json!(spec.provider)),
        ("resourceIndicators", json!(spec.resource_indicators)),
        ("scopes", json!(spec.scopes)),
        ("tokenURL", json!(spec.token_url)),
    ]);
    asked.extend(authentication_asked(authentication, spec.provider.is_some()));
    asked.extend(request_asked(spec.request.clone().unwrap_or_default(), spec.provider.is_some()));
    asked
        .extend(response_asked(spec.response.clone().unwrap_or_default(), spec.provider.is_some()));
    asked.retain(|_, value| !value.is_null() && *value != json!([]));
    let canonical = asked.iter().fold(String::new(), |mut text, (name, value)| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{name}={value}");
        text
    });
    short_digest(&canonical)
}

/// What decides whether a request succeeds: what is asked for, and what the answer must hold beside the
/// token, which no token is granted for.
pub fn asked_digest(spec: &OAuthClientCredentialSpec) -> String {
    let pointers = output::response_pointers(spec).into_values().collect::<BTreeSet<_>>();
    let asked = request_digest(spec);
    if pointers.is_empty() {
        return asked;
    }
    short_digest(&format!("{asked} {}", json!(pointers)))
}

/// A value that is not the default; with a provider, whose defaults are others, any value.
fn unless_default<T: PartialEq + Serialize>(
    value: Option<T>,
    default: &T,
    provider: bool,
) -> Value {
    json!(value.filter(|value| provider || value != default))
}

fn authentication_asked(
    authentication: ClientAuthentication,
    provider: bool,
) -> [(&'static str, Value); 7] {
    let basic = authentication.client_secret_basic.and_then(|basic| basic.encoding);
    let hmac = authentication.client_secret_jwt.and_then(|settings| settings.algorithm);
    let key = authentication.private_key_jwt.unwrap_or_default();
    let account = authentication.service_account_token;
    let seconds = account.as_ref().and_then(|account| account.expiration_seconds);
    [
        ("encoding", unless_default(basic, &BasicEncoding::default(), provider)),
        ("hmacAlgorithm", unless_default(hmac, &HmacAlgorithm::default(), false)),
        ("keyAlgorithm", json!(key.algorithm)),
        ("keyAudience", json!(key.audience)),
        ("keyID", json!(key.key_id)),
        ("serviceAccount", json!(account.map(|account| (account.name, account.audience)))),
        (
            "serviceAccountSeconds",
            unless_default(seconds, &DEFAULT_SERVICE_ACCOUNT_TOKEN_SECONDS, false),
        ),
    ]
}

fn request_asked(request: RequestOptions, provider: bool) -> [(&'static str, Value); 5] {
    let parameter = |parameter: &Parameter| {
        let place = parameter.location.unwrap_or_default();
        json!([parameter.name, parameter.value, place])
    };
    let header = |header: &Header| json!([header.name, header.value]);
    [
        ("bodyFormat", unless_default(request.body_format, &BodyFormat::default(), provider)),
        (
            "grantType",
            unless_default(request.grant_type, &"client_credentials".to_owned(), provider),
        ),
        ("headers", request.headers.iter().map(header).collect()),
        ("parameters", request.parameters.iter().map(parameter).collect()),
        ("scopeSeparator", unless_default(request.scope_separator, &" ".to_owned(), provider)),
    ]
}

fn response_asked(response: ResponseOptions, provider: bool) -> [(&'static str, Value); 3] {
    let standard = ResponseShape::default();
    let ResponseOptions { token_pointer, expires_in_pointer, expires_in_unit } = response;
    [
        (
            "expiresInPointer",
            unless_default(expires_in_pointer, &standard.expires_in_pointer, provider),
        ),
        ("expiresInUnit", unless_default(expires_in_unit, &standard.expires_in_unit, provider)),
        ("tokenPointer", unless_default(token_pointer, &standard.token_pointer, provider)),
    ]
}

/// The annotation `request-fingerprint`: `v1:<a>:<b>`.
pub fn fingerprint(
    request_digest: &str,
    values: &SecretValues,
    token: &Redacted<String>,
) -> String {
    let b = hex(&values.keyed(token.expose().as_bytes()));
    format!("{VERSION}:{request_digest}:{b}")
}

/// Whether a token with this fingerprint was granted for the spec that `request_digest` stands for.
/// A fingerprint of another version, or an empty one, is trusted.
pub fn fits_spec(fingerprint: &str, request_digest: &str) -> bool {
    parts(fingerprint).is_none_or(|(a, _)| a == request_digest)
}

/// Whether a token with this fingerprint was granted for these secret values; one of another
/// version is trusted.
pub fn fits_values(fingerprint: &str, values: &SecretValues, token: &Redacted<String>) -> bool {
    let now = hex(&values.keyed(token.expose().as_bytes()));
    parts(fingerprint).is_none_or(|(_, b)| {
        constant_time::verify_slices_are_equal(b.as_bytes(), now.as_bytes()).is_ok()
    })
}

fn parts(fingerprint: &str) -> Option<(&str, &str)> {
    let (version, rest) = fingerprint.split_once(':')?;
    (version == VERSION).then(|| rest.split_once(':')).flatten()
}

/// One object that a request reads, as its version is known from metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceVersion<'a> {
    /// Kind of the object.
    pub kind: &'static str,
    /// Name of the object.
    pub name: &'a str,
    /// The keys that are read from it.
    pub keys: Vec<&'a str>,
    /// UID of the object.
    pub uid: &'a str,
    /// Version of the object.
    pub resource_version: u64,
}

impl<'a> ReferenceVersion<'a> {
    /// An object with its UID and version.
    pub fn of(used: &'a UsedObject, uid: &'a str, resource_version: u64) -> Self {
        let keys = used.keys.iter().map(String::as_str).collect();
        let Object { kind, name } = &used.object;
        Self { kind: kind.as_str(), name, keys, uid, resource_version }
    }
}

/// The annotation `inputs-version`: a digest of part a and the versions of all references.
pub fn inputs_version(request_digest: &str, references: &[ReferenceVersion<'_>]) -> String {
    let mut text = String::from(request_digest);
    for reference in references {
        let ReferenceVersion { kind, name, keys, uid, resource_version } = reference;
        let keys = keys.join(",");
        // Writing to a String can't fail.
        let _ = write!(text, "\n{kind}/{name}/{keys}/{uid}/{resource_version}");
    }
    short_digest(&text)
}

/// The first 32 hex digits of SHA-256, for annotations.
pub fn short_digest(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// The first 32 hex digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::crd::{ClientAuthentication, RequestOptions};

    fn spec() -> OAuthClientCredentialSpec {
        OAuthClientCredentialSpec {
            token_url: Some("https://idp.example.com/token".into()),
            scopes: vec!["a".into(), "b".into()],
            ..OAuthClientCredentialSpec::default()
        }
    }

    #[test]
    fn what_is_asked_changes_the_digest_and_how_it_is_asked_does_not() {
        let base = request_digest(&spec());
        assert_eq!(base.len(), 32);
        let mut same = spec();
        same.suspend = true;
        same.request = Some(RequestOptions {
            timeout: Some(std::time::Duration::from_secs(3).into()),
            ..RequestOptions::default()
        });
        same.client_authentication = Some(ClientAuthentication {
            method: Some(ClientAuthenticationMethod::ClientSecretBasic),
            ..ClientAuthentication::default()
        });
        assert_eq!(request_digest(&same), base, "defaults and timeouts ask for nothing else");
        let mut other = spec();
        other.scopes.reverse();
        assert_ne!(request_digest(&other), base);
        let mut other = spec();
        other.audience = Some("x".into());
        assert_ne!(request_digest(&other), base);
        let mut other = spec();
        other.client_authentication = Some(ClientAuthentication {
            method: Some(ClientAuthenticationMethod::ClientSecretPost),
            ..ClientAuthentication::default()
        });
        assert_ne!(request_digest(&other), base);
    }

    /// Upgrades must not ask for new tokens: this digest may never change for this spec.
    #[test]
    fn the_digest_of_a_known_spec_stays_what_it_was() {
        assert_eq!(request_digest(&spec()), "632310ed77ddf9a093e78ac4e9d860a8");
    }

    #[test]
    fn fingerprint_fits_the_same_spec_and_values_only() {
        let token = Redacted::new(String::from("token"));
        let values = SecretValues::new(&["id", "secret"]);
        let print = fingerprint("aa", &values, &token);
        assert!(fits_spec(&print, "aa") && !fits_spec(&print, "ab"));
        assert!(fits_values(&print, &values, &token));
        assert!(!fits_values(&print, &SecretValues::new(&["ids", "ecret"]), &token));
        for unknown in ["", "v2:x:y", "garbage"] {
            assert!(fits_spec(unknown, "aa") && fits_values(unknown, &values, &token));
        }
    }
}
