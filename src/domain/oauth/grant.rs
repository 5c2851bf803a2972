//! Judges a 2xx: the token, its type, lifetime and scopes (RFC 6749 §5.1), lenient where real
//! servers are, strict where a wrong value would reach a pod.
//!
//! **Invariant:** a token that can't stand in a header is never published.

use std::time::Duration;

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::domain::{
    oauth::{
        Answer, Grant, Lifetime, MAX_TOKEN_BYTES, RequestError,
        body::{self, Body, Members},
        failure,
    },
    reason::Reason,
    redacted::Redacted,
};

const YEAR_SECONDS: f64 = 365.0 * 24.0 * 3600.0;
/// As many scopes as `status.token.scopes` takes.
const MAX_SCOPES: usize = 256;
/// As long a scope as `status.token.scopes` takes.
const MAX_SCOPE_BYTES: usize = 512;
/// Scopes that hold a secret value of this length are an echo, those with a shorter one may be chance.
const ECHO_BYTES: usize = 8;

/// Base64url as JWTs have it (RFC 7515 §2), and as some issuers pad it.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads an answer with a 2xx status.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Grant, RequestError> {
    let contract = |hint| failure::in_success(answer, Reason::MalformedResponse, hint);
    let mut members = match body::read(answer) {
        Body::Members(members) => members,
        Body::Page => {
            return Err(failure::in_success(answer, Reason::ServerError, failure::PAGE));
        }
        Body::TooLarge => return Err(contract("the answer is larger than 64 KiB")),
        Body::Unreadable => return Err(contract("the answer is neither JSON nor a form")),
    };
    // "Unorthodox servers respond 200 in error case" (golang/oauth2).
    if let Some(error) = &members.error {
        return Err(failure::coded(answer, failure::known_code(error), now));
    }
    if members.repeated {
        return Err(contract("access_token stands in the answer more than once"));
    }
    let token = match members.access_token.take() {
        Some(Value::String(token)) => Redacted::new(token),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(contract("access_token is not a string"));
        }
        Some(Value::Null) | None => return Err(contract("the answer has no access_token")),
    };
    token_fault(token.expose()).map_or(Ok(()), |fault| Err(contract(fault)))?;
    if !is_bearer(members.token_type.as_ref()) {
        let hint = "only Bearer tokens can be used by whoever reads the Secret";
        return Err(failure::in_success(answer, Reason::UnsupportedTokenType, hint));
    }
    Ok(granted(token, &members, &answer.sent))
}

fn granted(token: Redacted<String>, members: &Members, sent: &[Redacted<String>]) -> Grant {
    let refresh_in = match lifetime(members.refresh_in.as_ref()) {
        Lifetime::Known(span) => Some(span),
        Lifetime::Spent | Lifetime::Unknown => None,
    };
    Grant {
        token_type: String::from("Bearer"),
        lifetime: lifetime(members.expires_in.as_ref()),
        jwt_expiry: jwt_expiry(token.expose()),
        scopes: scopes(members.scope.as_ref(), sent.iter().chain([&token])),
        refresh_in,
        token,
    }
}

/// RFC 6750 §2.1 wants `b64token`; servers send more, and only what could split a header is refused.
fn token_fault(token: &str) -> Option<&'static str> {
    if token.is_empty() {
        Some("access_token is empty")
    } else if token.len() > MAX_TOKEN_BYTES {
        Some("access_token is longer than 16 KiB")
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("access_token has characters that can't stand in a header")
    } else {
        None
    }
}

/// The value is case insensitive (RFC 6749 §5.1), required, and yet often missing.
fn is_bearer(token_type: Option<&Value>) -> bool {
    let Some(token_type) = token_type else {
        return true;
    };
    let Some(token_type) = token_type.as_str() else {
        return false;
    };
    let token_type = token_type.trim();
    ["", "bearer", "bearertoken"].iter().any(|word| token_type.eq_ignore_ascii_case(word))
}

/// Seconds as an integer, a float or a decimal string; a fraction is dropped.
fn lifetime(value: Option<&Value>) -> Lifetime {
    let seconds = match value {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => decimal(text.trim()),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    match seconds {
        Some(seconds) if seconds > 0.0 => {
            let whole = seconds.floor().clamp(1.0, YEAR_SECONDS);
            Lifetime::Known(Duration::from_secs_f64(whole))
        }
        Some(_) => Lifetime::Spent,
        None => Lifetime::Unknown,
    }
}

/// `3600`, `3599.5` or `-1`; `3600abc`, `1e3`, `inf` and a lone sign are not a number of seconds.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// Separated by spaces (RFC 6749 §3.3), by commas (GitHub), or an array. What is outside the
/// grammar of a scope is dropped, and scopes that repeat a secret value are as good as none, since
/// the scopes are shown in status.
fn scopes<'a>(
    value: Option<&Value>,
    secrets: impl Iterator<Item = &'a Redacted<String>>,
) -> Option<Vec<String>> {
    let words: Vec<&str> = match value {
        Some(Value::String(text)) if text.trim().contains(char::is_whitespace) => {
            text.split_whitespace().map(|word| word.trim_end_matches(',')).collect()
        }
        Some(Value::String(text)) => text.trim().split(',').collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
            return None;
        }
    };
    let whole = value.and_then(Value::as_str).map_or_else(|| words.join(" "), str::to_owned);
    let whole = Zeroizing::new(whole);
    let decoded = Zeroizing::new(percent_decode_str(&whole).decode_utf8_lossy().into_owned());
    let echoes = |secret: &str| whole.contains(secret) || decoded.contains(secret);
    if secrets.map(Redacted::expose).any(|secret| secret.len() >= ECHO_BYTES && echoes(secret)) {
        return None;
    }
    let mut scopes: Vec<String> = Vec::new();
    for word in words {
        if is_scope(word) && scopes.len() < MAX_SCOPES && !scopes.iter().any(|s| s == word) {
            scopes.push(word.to_owned());
        }
    }
    Some(scopes)
}

/// `scope-token` of RFC 6749 §3.3.
fn is_scope(word: &str) -> bool {
    (1..=MAX_SCOPE_BYTES).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
}

/// The `exp` claim of a signed JWT (RFC 7519 §4.1.4); an encrypted one has five parts and tells nothing.
fn jwt_expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let mut parts = token.split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let claims = Zeroizing::new(BASE64URL.decode(claims).ok()?);
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    // `Duration` refuses what is negative or beyond its range, `Timestamp` what is beyond year 9999.
    let since_epoch = Duration::try_from_secs_f64(claims.exp.floor()).ok()?;
    Timestamp::from_second(i64::try_from(since_epoch.as_secs()).ok()?).ok()
}
