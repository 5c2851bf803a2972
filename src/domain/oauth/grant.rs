//! Judges a 2xx: the token, its type and scopes (RFC 6749 §5.1), lenient where real servers are,
//! strict where a wrong value would reach a pod. In: an answer. Out: a grant, or why there is none.
//!
//! **Invariant:** a token that can't stand in a header is never published, and no grant lacks a value
//! that was asked for beside it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::domain::{
    oauth::{
        Answer, Grant, MAX_TOKEN_BYTES, MAX_VALUE_BYTES, RequestError,
        body::{self, Body, Leaf, Members},
        failure, lifetime,
    },
    plan::ResponseShape,
    reason::Reason,
    redacted::Redacted,
};

/// As many scopes as `status.token.scopes` takes.
const MAX_SCOPES: usize = 256;
/// As long a scope as `status.token.scopes` takes.
const MAX_SCOPE_BYTES: usize = 512;
/// A secret value of this length is an echo anywhere in the scopes; a shorter one only as a whole word,
/// since inside of another it may be chance.
const ECHO_BYTES: usize = 8;

/// What is wrong with a token, in words for one at its usual place and for one at a pointer.
struct Fault(&'static str, &'static str);

const REPEATED: Fault = Fault(
    "access_token stands in the answer more than once",
    "what spec.response.tokenPointer points at stands in the answer more than once",
);
pub(super) const MISSING: &str = "the answer has no access_token";
const ABSENT: Fault =
    Fault(MISSING, "the answer has nothing where spec.response.tokenPointer points");
const NO_STRING: Fault = Fault(
    "access_token is not a string",
    "what spec.response.tokenPointer points at is not a string",
);
const EMPTY: Fault =
    Fault("access_token is empty", "what spec.response.tokenPointer points at is empty");
const LONG: Fault = Fault(
    "access_token is longer than 16 KiB",
    "what spec.response.tokenPointer points at is longer than 16 KiB",
);
const UNPRINTABLE: Fault = Fault(
    "access_token has characters that can't stand in a header",
    "what spec.response.tokenPointer points at has characters that can't stand in a header",
);

const VALUE_ABSENT: &str = "the answer has nothing where response.pointer of an entry of \
     spec.target.additionalOutputFormats points";
const VALUE_NO_TEXT: &str = "what response.pointer of an entry of spec.target.additionalOutputFormats \
     points at is an object or a list";
const VALUE_LONG: &str = "what response.pointer of an entry of spec.target.additionalOutputFormats \
     points at is longer than 16 KiB";
const VALUE_UNPRINTABLE: &str = "what response.pointer of an entry of \
     spec.target.additionalOutputFormats points at has control characters or is not UTF-8";

/// Reads an answer with a 2xx status.
pub(super) fn read(answer: &Answer, now: Timestamp) -> Result<Grant, RequestError> {
    let contract = |detail| failure::in_success(answer, Reason::MalformedResponse, detail);
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
    let usual = answer.shape.token_pointer == ResponseShape::default().token_pointer;
    let fault = |Fault(at_usual, at_pointer)| contract(if usual { at_usual } else { at_pointer });
    if members.repeated {
        return Err(fault(REPEATED));
    }
    let token = match members.token.take() {
        Some(Leaf::Text(mut token)) => Redacted::new(std::mem::take(&mut *token)),
        Some(Leaf::Bool(_) | Leaf::Number(_) | Leaf::List(_) | Leaf::Nested { .. }) => {
            return Err(fault(NO_STRING));
        }
        Some(Leaf::Null) | None => return Err(fault(ABSENT)),
    };
    token_fault(token.expose()).map_or(Ok(()), |found| Err(fault(found)))?;
    if let Some(detail) = type_fault(members.token_type.as_ref()) {
        return Err(failure::in_success(answer, Reason::UnsupportedTokenType, detail));
    }
    let values = values(&answer.shape, &mut members).map_err(contract)?;
    Ok(Grant { values, ..granted(answer, token, &members, now) })
}

fn granted(answer: &Answer, token: Redacted<String>, members: &Members, now: Timestamp) -> Grant {
    let end = lifetime::end(members, answer.shape.expires_in_unit, now);
    Grant {
        values: BTreeMap::new(),
        token_type: String::from("Bearer"),
        lifetime: end.lifetime,
        expires_at: end.expires_at,
        jwt_expiry: lifetime::jwt_expiry(token.expose()),
        probably_milliseconds: end.probably_milliseconds,
        scopes: scopes(members.scope.as_ref(), answer.sent.iter().chain([&token])),
        refresh_in: lifetime::refresh_in(members),
        token,
    }
}

/// Every value that is asked for, by its pointer, or what is wrong with one.
fn values(
    shape: &ResponseShape,
    members: &mut Members,
) -> Result<BTreeMap<String, Redacted<String>>, &'static str> {
    let text = |pointer: &String| match members.values.remove(pointer) {
        Some(Leaf::Text(mut text)) => {
            let text = Redacted::new(std::mem::take(&mut *text));
            value_fault(text.expose()).map_or(Ok((pointer.clone(), text)), Err)
        }
        Some(Leaf::List(_) | Leaf::Nested { .. }) => Err(VALUE_NO_TEXT),
        // Numbers and truth values were kept as they are written.
        Some(Leaf::Null | Leaf::Bool(_) | Leaf::Number(_)) | None => Err(VALUE_ABSENT),
    };
    shape.values.iter().map(text).collect()
}

/// The replacement character stands for bytes that were none of UTF-8: it is not what was sent.
fn value_fault(value: &str) -> Option<&'static str> {
    if value.len() > MAX_VALUE_BYTES {
        Some(VALUE_LONG)
    } else if value.chars().any(|char| char.is_control() || char == char::REPLACEMENT_CHARACTER) {
        Some(VALUE_UNPRINTABLE)
    } else {
        None
    }
}

/// RFC 6750 §2.1 wants `b64token`; servers send more, and only what could split a header is refused.
fn token_fault(token: &str) -> Option<Fault> {
    if token.is_empty() {
        Some(EMPTY)
    } else if token.len() > MAX_TOKEN_BYTES {
        Some(LONG)
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(UNPRINTABLE)
    } else {
        None
    }
}

/// The value is case insensitive (RFC 6749 §5.1), required, and yet often missing; Apigee writes
/// `BearerToken`, and eBay what no header can hold. No other type may be used by whoever does not
/// know it (§7.1).
fn type_fault(token_type: Option<&Leaf>) -> Option<&'static str> {
    let written = match token_type {
        None => return None,
        Some(Leaf::Text(written)) => written.trim(),
        Some(
            Leaf::Null | Leaf::Bool(_) | Leaf::Number(_) | Leaf::List(_) | Leaf::Nested { .. },
        ) => return Some("its token_type is not a string"),
    };
    let is = |word: &str| written.eq_ignore_ascii_case(word);
    if ["", "bearer", "bearertoken", "application access token"].into_iter().any(is) {
        return None;
    }
    Some(if is("dpop") {
        "it is bound to a key by DPoP (RFC 9449), and whoever reads the Secret has no such key: \
         switch DPoP off for this client"
    } else if is("mac") {
        "it is a MAC token, and whoever reads the Secret can't sign requests with it"
    } else if is("n_a") {
        "it is no access token (token_type N_A of RFC 8693): check what spec.request.parameters ask for"
    } else {
        "only Bearer tokens can be used by whoever reads the Secret"
    })
}

/// Separated by spaces (RFC 6749 §3.3), by commas (GitHub), or an array. What is outside the
/// grammar of a scope is dropped, and scopes that repeat a secret value are as good as none, since
/// the scopes are shown in status.
fn scopes<'a>(
    value: Option<&Leaf>,
    secrets: impl Iterator<Item = &'a Redacted<String>>,
) -> Option<Vec<String>> {
    let words: Vec<&str> = match value? {
        Leaf::Text(text) if text.trim().contains(char::is_whitespace) => {
            text.split_whitespace().map(|word| word.trim_end_matches(',')).collect()
        }
        Leaf::Text(text) => text.trim().split(',').collect(),
        Leaf::List(items) => items.iter().flatten().map(|item| item.as_str()).collect(),
        Leaf::Null | Leaf::Bool(_) | Leaf::Number(_) | Leaf::Nested { .. } => return None,
    };
    let whole = Zeroizing::new(match value? {
        Leaf::Text(text) => text.to_string(),
        Leaf::Null | Leaf::Bool(_) | Leaf::Number(_) | Leaf::List(_) | Leaf::Nested { .. } => {
            words.join(" ")
        }
    });
    let decoded = Zeroizing::new(percent_decode_str(&whole).decode_utf8_lossy().into_owned());
    let echoes = |secret: &str| {
        if secret.len() < ECHO_BYTES {
            words.contains(&secret) || *decoded == *secret
        } else {
            whole.contains(secret) || decoded.contains(secret)
        }
    };
    if secrets.map(Redacted::expose).any(|secret| echoes(secret)) {
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
