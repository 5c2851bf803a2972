//! Names what went wrong below HTTP, by walking the chain of causes.
//!
//! **Invariant:** only types are looked at; no text of an error is read or passed on.

use std::{error::Error, io};

use rustls::CertificateError;

use crate::{
    domain::{
        oauth::{REFUSED_BY_ALERT, RequestError, UNKNOWN_AUTHORITY},
        reason::Reason,
    },
    endpoint::resolver::ResolveError,
};

/// The host is an address that is refused as it is written.
pub(super) const LITERAL: &str = "nothing was sent";

/// What a failed exchange means. A certificate or an alert counts before the timeout or the reset
/// that followed from it, also after the request was written (TLS 1.3 tells of a refused client
/// certificate only then).
pub(super) fn of(error: &reqwest::Error) -> RequestError {
    if let Some(cause) = find::<ResolveError>(error) {
        return match cause {
            ResolveError::Refused => RequestError::without_answer(
                Reason::EndpointAddressRefused,
                "the name leads to refused addresses only, and nothing was sent",
            ),
            ResolveError::NoAnswer { .. } => unreachable("its name could not be resolved"),
        };
    }
    if let Some(cause) = find::<rustls::Error>(error) {
        return RequestError::without_answer(Reason::TLSFailed, tls_detail(cause));
    }
    unreachable(match (error.is_timeout(), error.is_connect()) {
        (true, true) => "no connection was made in time",
        (true, false) => "there was no complete answer in time (spec.request.timeout)",
        (false, true) => "the connection was refused or could not be made",
        (false, false) => "the connection was lost before the answer was complete",
    })
}

fn unreachable(detail: &'static str) -> RequestError {
    RequestError::without_answer(Reason::EndpointUnreachable, detail)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants as it likes")]
fn tls_detail(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(fault) => match fault {
            // A bad signature is an authority of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => UNKNOWN_AUTHORITY,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another host name"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            CertificateError::Revoked => "its certificate was revoked",
            _ => "its certificate is not acceptable",
        },
        rustls::Error::AlertReceived(_) => REFUSED_BY_ALERT,
        rustls::Error::PeerIncompatible(_) => {
            "it has no TLS 1.2 or 1.3 in common with the operator"
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS on this port",
        _ => "the TLS handshake failed",
    }
}

/// The first cause of type `T`.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        // The `source` of an `io::Error` skips the error that it holds.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}
