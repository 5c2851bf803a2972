//! Judges a refusal: which reason follows from the status and the error code (behaviour §2), and
//! the words that a person reads about it.
//!
//! **Invariant:** `error_description` is never read, nor a vendor's code inside it: only the closed
//! list of codes and the status decide.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::{
    oauth::{
        Answer, RequestError,
        body::{self, Body},
        waiting,
    },
    reason::Reason,
};

/// What a page for people in place of an answer means.
pub(super) const PAGE: &str = "the answer is a web page, as proxies and login pages send it";
/// A server that does not decode Basic credentials shows as any 4xx.
pub(super) const ENCODING_HINT: &str = "the client ID or the client secret has a character that \
    form encoding changes, so also try spec.clientAuthentication.method: ClientSecretPost";
/// Keycloak, Doorkeeper and UAA answer 401 for these too.
pub(super) const DISABLED_HINT: &str = "or the client is disabled or may not use this grant";

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
    let code = match body::read(answer) {
        Body::Members(members) => members.error.as_ref().and_then(known_code),
        Body::Page | Body::TooLarge | Body::Unreadable => None,
    };
    let throttled = answer.status == 503 && answer.headers.retry_after.is_some();
    let reason = if throttled { Some(Reason::RateLimited) } else { by_status(answer.status) };
    match reason {
        // The code is told all the same: Keycloak answers a wrong secret with 401 and
        // `unauthorized_client`, and whoever reads the message will search for that.
        Some(reason) => error(answer, reason, code, wait(answer, reason, now)),
        None => coded(answer, code, now),
    }
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
        error.hint = Some("the answer has an error member, and its code is not in the RFCs");
    }
    error
}

/// An answer with a 2xx status that can't be used.
pub(super) fn in_success(answer: &Answer, reason: Reason, hint: &'static str) -> RequestError {
    RequestError { hint: Some(hint), ..error(answer, reason, None, None) }
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
pub(super) fn known_code(error: &Value) -> Option<&'static str> {
    let written = error.as_str()?;
    CODES.iter().map(|(code, _)| *code).find(|code| *code == written)
}

fn error(
    answer: &Answer,
    reason: Reason,
    code: Option<&'static str>,
    wait: Option<Duration>,
) -> RequestError {
    RequestError { reason, status: Some(answer.status), code, wait, hint: None }
}

/// Only a throttled client is told to wait; every other class has its own schedule.
fn wait(answer: &Answer, reason: Reason, now: Timestamp) -> Option<Duration> {
    if reason == Reason::RateLimited { waiting::asked(&answer.headers, now) } else { None }
}

/// What to do about it, in a few words that complete "… answered HTTP 401: ".
#[expect(clippy::too_many_lines, reason = "one table")]
pub(super) const fn advice(reason: Reason) -> &'static str {
    match reason {
        Reason::InvalidClient => "check the client ID and the client secret",
        Reason::InvalidScope => "check spec.scopes against what the client may ask for",
        Reason::InvalidTarget => "check spec.audience",
        Reason::InvalidGrant => "the provider refuses the grant: check the client's registration",
        Reason::UnauthorizedClient => {
            "allow the client the client_credentials grant at the provider"
        }
        Reason::AccessDenied => "allow the client this request at the provider",
        Reason::InvalidRequest => {
            "the provider does not accept the request: check spec.scopes, spec.audience and \
             spec.clientAuthentication against its documentation"
        }
        Reason::UnsupportedGrantType => {
            "the provider has no client_credentials grant here: check spec.tokenURL"
        }
        Reason::EndpointNotFound => "there is no token endpoint: check the path of spec.tokenURL",
        Reason::EndpointRedirects => {
            "redirects are not followed, as they would carry the client secret elsewhere: set \
             spec.tokenURL to the final URL"
        }
        Reason::EndpointAddressRefused => {
            "its address is refused by default: use another host, or let the operator's \
             administrator allow it with --allow-endpoint-addresses"
        }
        Reason::EndpointUnreachable => {
            "check that the host answers from the operator's network; it is asked again"
        }
        Reason::TLSFailed => {
            "the connection is not trusted: check the endpoint's certificate, or let the operator's \
             administrator add its CA with --trust-bundle"
        }
        Reason::DiscoveryFailed => "the metadata of spec.issuer can't be had; it is asked again",
        Reason::DiscoveryInvalid => {
            "check spec.issuer, or set spec.tokenURL to the token endpoint instead"
        }
        Reason::RateLimited => "the provider asks for patience; it is asked again",
        Reason::ServerError => "the provider has a problem; it is asked again",
        Reason::MalformedResponse => {
            "the answer is no token response (RFC 6749 section 5.1): check spec.tokenURL"
        }
        Reason::UnsupportedTokenType => {
            "the token is of a type that is not supported: configure the client for Bearer tokens"
        }
        Reason::EndpointNotAllowed => "the token endpoint may not be used: check spec.tokenURL",
        // Not told by an answer; listed so that a new reason must be thought about.
        Reason::TokenValid
        | Reason::ResolvedRefs
        | Reason::RequestSucceeded
        | Reason::SecretSynced
        | Reason::Issuing
        | Reason::Retrying
        | Reason::Suspended
        | Reason::CredentialsNotFound
        | Reason::CredentialsKeyMissing
        | Reason::CredentialsInvalid
        | Reason::ClientKeyInvalid
        | Reason::CABundleNotFound
        | Reason::CertificateNotFound
        | Reason::ServiceAccountTokenRefused
        | Reason::ProviderUnknown
        | Reason::Forbidden
        | Reason::SecretNotOwned
        | Reason::TargetConflict
        | Reason::SecretWriteFailed
        | Reason::Contended
        | Reason::TokenExpired
        | Reason::TokenOutdated => "it was not asked",
    }
}
