//! Judges a refusal: which reason follows from the status and the error code (behaviour §2). In: an
//! answer. Out: an error; what a person reads about it is made in `advice` and `hint`.
//!
//! **Invariant:** `error_description` is never read, nor a vendor's code inside it: only the closed
//! list of codes and the status decide.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{
    oauth::{
        Answer, RequestError,
        body::{self, Body, Leaf},
        waiting,
    },
    reason::Reason,
};

/// What a page for people in place of an answer means.
pub(super) const PAGE: &str = "the answer is a web page, as proxies and login pages send it";

/// The closed list of error codes and their reasons: RFC 6749 §5.2 and §4.1.2.1, RFC 8628 §3.5
/// (`slow_down`), RFC 8707 §2 (`invalid_target`).
const CODES: [(&str, Reason); 11] = [
    ("invalid_request", Reason::InvalidRequest),
    ("invalid_client", Reason::InvalidClient),
    ("invalid_grant", Reason::InvalidGrant),
    ("unauthorized_client", Reason::UnauthorizedClient),
    ("unsupported_grant_type", Reason::UnsupportedGrantType),
    ("invalid_scope", Reason::InvalidScope),
    ("invalid_target", Reason::InvalidTarget),
    ("access_denied", Reason::AccessDenied),
    ("server_error", Reason::ServerError),
    ("temporarily_unavailable", Reason::RateLimited),
    ("slow_down", Reason::RateLimited),
];

/// Reads an answer whose status is not 2xx.
pub(super) fn read(answer: &Answer, now: Timestamp) -> RequestError {
    let (code, is_page) = match body::read(answer) {
        Body::Members(members) => (members.error.as_ref().and_then(known_code), false),
        Body::Page => (None, true),
        Body::TooLarge | Body::Unreadable => (None, false),
    };
    let throttled = answer.status == 503 && answer.headers.retry_after.is_some();
    let reason = if throttled { Some(Reason::RateLimited) } else { by_status(answer.status) };
    let mut error = match reason {
        // The code is told all the same: Keycloak answers a wrong secret with 401 and
        // `unauthorized_client`, and whoever reads the message will search for that.
        Some(reason) => error(answer, reason, code, wait(answer, reason, now)),
        None => coded(answer, code, now),
    };
    // Every gateway answers a 5xx with a page, which tells nothing more.
    if is_page && (400..500).contains(&answer.status) {
        error.detail = Some(PAGE);
    }
    error
}

/// The error that a code stands for, where the status leaves that to it. An unknown code or none
/// makes a 2xx malformed and anything else an invalid request.
pub(super) fn coded(answer: &Answer, code: Option<&'static str>, now: Timestamp) -> RequestError {
    let without = if (200..300).contains(&answer.status) {
        Reason::MalformedResponse
    } else {
        Reason::InvalidRequest
    };
    let found = CODES.iter().find(|(known, _)| Some(*known) == code);
    let reason = found.map_or(without, |(_, reason)| *reason);
    let mut error = error(answer, reason, code, wait(answer, reason, now));
    if reason == Reason::MalformedResponse {
        error.detail = Some("the answer has an error member, and its code is not in the RFCs");
    }
    error
}

/// An answer with a 2xx status that can't be used.
pub(super) fn in_success(answer: &Answer, reason: Reason, detail: &'static str) -> RequestError {
    RequestError { detail: Some(detail), ..error(answer, reason, None, None) }
}

/// The reason that a status stands for by itself; `None` where the code decides: a 400, and a 4xx
/// that stands in no row of behaviour §2. A 503 with `Retry-After` is the caller's.
pub(super) fn by_status(status: u16) -> Option<Reason> {
    match status {
        300..=399 => Some(Reason::EndpointRedirects),
        401 => Some(Reason::InvalidClient),
        403 => Some(Reason::AccessDenied),
        404 | 405 => Some(Reason::EndpointNotFound),
        406 | 413 | 415 => Some(Reason::InvalidRequest),
        429 => Some(Reason::RateLimited),
        408 | 421 | 425 | 500..=599 => Some(Reason::ServerError),
        400..=499 => None,
        // HTTP has no such final answer (RFC 9110 §15).
        _ => Some(Reason::MalformedResponse),
    }
}

/// The word of the closed list that the `error` member holds.
pub(super) fn known_code(error: &Leaf) -> Option<&'static str> {
    let Leaf::Text(written) = error else { return None };
    CODES.iter().map(|(code, _)| *code).find(|code| **code == **written)
}

fn error(
    answer: &Answer,
    reason: Reason,
    code: Option<&'static str>,
    wait: Option<Duration>,
) -> RequestError {
    let status = Some(answer.status);
    RequestError { status, code, wait, detail: None, ..RequestError::without_answer(reason, "") }
}

/// Only a throttled client is told to wait; every other class has its own schedule.
fn wait(answer: &Answer, reason: Reason, now: Timestamp) -> Option<Duration> {
    if reason == Reason::RateLimited { waiting::asked(&answer.headers, now) } else { None }
}
