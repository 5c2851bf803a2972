//! Names what went wrong below HTTP, by walking the chain of causes.
//!
//! **Invariant:** only types are looked at; no text of an error is read or passed on.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError};

use crate::{
    domain::{oauth::RequestError, reason::Reason},
    endpoint::resolver::ResolveError,
};

/// The host is an address that is refused as it is written.
pub(super) const LITERAL: &str = "nothing was sent";

/// What a failed exchange means, where a client certificate was there to be shown or not, and where
/// there is a proxy or not. A certificate or an alert counts before the timeout or the reset that
/// followed from it, also after the request was written (TLS 1.3 tells of a refused client certificate
/// only then, RFC 8446 §4.4.2.4).
pub(super) fn of(error: &reqwest::Error, presents: bool, proxied: bool) -> RequestError {
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
        return RequestError::without_answer(Reason::TLSFailed, tls_hint(cause, presents));
    }
    // HTTP/2 passes on the kind of an error and not the error; only TLS makes this one.
    if find::<io::Error>(error).is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData) {
        return RequestError::without_answer(Reason::TLSFailed, broken_off(presents));
    }
    unreachable(match (error.is_timeout(), error.is_connect()) {
        (true, true) => "no connection was made in time",
        (true, false) => "there was no complete answer in time (spec.request.timeout)",
        (false, true) if proxied => {
            "the connection was refused or could not be made, directly or through the proxy of --proxy"
        }
        (false, true) => "the connection was refused or could not be made",
        (false, false) => {
            "the connection was lost before the answer was complete, or the answer was no HTTP"
        }
    })
}

fn unreachable(detail: &'static str) -> RequestError {
    RequestError::without_answer(Reason::EndpointUnreachable, detail)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants as it likes")]
fn tls_hint(error: &rustls::Error, presents: bool) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(fault) => certificate_hint(fault),
        rustls::Error::AlertReceived(alert) => alert_hint(*alert, presents),
        rustls::Error::PeerIncompatible(_) => {
            "it has no TLS 1.2 or 1.3 in common with the operator"
        }
        rustls::Error::InvalidMessage(_) => "it does not speak TLS on this port",
        _ => "the TLS handshake failed",
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants as it likes")]
const fn certificate_hint(fault: &CertificateError) -> &'static str {
    match fault {
        // A bad signature is an authority of the same name with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate comes from an unknown authority: name the authority's certificate in \
             spec.tls.caBundleRef, or in --trust-bundle for all"
        }
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
        // Among them an authority's own certificate shown as a server's, as `openssl req -x509` makes
        // it: no trust makes that one usable.
        _ => {
            "its certificate can't be a server's: it is an authority's own, or for another purpose"
        }
    }
}

/// An alert says what the other side did not like (RFC 8446 §6.2).
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds variants as it likes")]
const fn alert_hint(alert: AlertDescription, presents: bool) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => {
            "it says that the client certificate has expired: renew the Secret of \
             spec.tls.clientCertificateSecretRef"
        }
        AlertDescription::CertificateRevoked => {
            "it says that the client certificate was revoked: replace the Secret of \
             spec.tls.clientCertificateSecretRef"
        }
        AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
            "it has no TLS 1.2 or 1.3 in common with the operator"
        }
        AlertDescription::UnrecognisedName => "it does not know this host name",
        AlertDescription::CertificateRequired => {
            "it wants a client certificate: set spec.tls.clientCertificateSecretRef"
        }
        _ => broken_off(presents),
    }
}

const fn broken_off(presents: bool) -> &'static str {
    if presents {
        "it broke the connection off with a TLS alert, most likely over the client certificate: check \
         the Secret of spec.tls.clientCertificateSecretRef"
    } else {
        "it broke the connection off with a TLS alert; if it wants a client certificate, set \
         spec.tls.clientCertificateSecretRef"
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
