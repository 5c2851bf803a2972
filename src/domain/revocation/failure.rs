//! Why a token was not revoked. In: a fault, a refusal, an answer of the revocation endpoint. Out: a reason,
//! words of our own, and whether another attempt may go better.
//!
//! **Invariant:** no word of the endpoint's is repeated.

use std::time::Duration;

use crate::domain::oauth::RequestError;
use crate::domain::observation::Refusal;
use crate::domain::plan::Fault;
use crate::domain::reason::{Class, Reason};

/// Why a token was not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// What the event says.
    pub message: String,
    /// Whether another attempt may go better.
    pub may_pass: bool,
    /// How long the endpoint asks to wait.
    pub wait: Option<Duration>,
}

impl Failure {
    /// The revocation did not end `within` what `spec.request.timeout` and the 30 s leave.
    pub fn late(within: Duration) -> Self {
        Self {
            reason: Reason::EndpointUnreachable,
            message: format!("there was no complete answer within {} s", within.as_secs()),
            may_pass: true,
            wait: None,
        }
    }

    /// The Kubernetes API server did not answer what had to be read first.
    pub fn unread() -> Self {
        Self::untried("the Kubernetes API server did not answer what had to be read first")
    }

    /// The process ends: the next one goes on.
    pub fn stopping() -> Self {
        Self::untried("the operator was stopped")
    }

    /// No assertion can be made.
    pub fn without_randomness() -> Self {
        Self::untried("the machine of the operator gives no random numbers")
    }

    fn untried(message: &str) -> Self {
        let (reason, message) = (Reason::RevocationPending, message.to_owned());
        Self { reason, message, may_pass: true, wait: None }
    }

    /// The endpoint did not revoke, in words of our own.
    pub fn answered(host: &str, error: &RequestError) -> Self {
        let class = error.reason.class();
        let what = match error.status {
            Some(status) => format!("{host} answered HTTP {status}"),
            None => format!("no answer from {host}"),
        };
        let detail =
            error.detail.filter(|detail| !detail.is_empty()).or_else(|| advice(error.reason));
        let message = detail.map_or_else(|| what.clone(), |detail| format!("{what}; {detail}"));
        Self {
            reason: error.reason,
            message,
            may_pass: matches!(class, Class::Throttled | Class::Transient),
            wait: error.wait,
        }
    }
}

impl From<Fault> for Failure {
    fn from(Fault { reason, message }: Fault) -> Self {
        Self { reason, message, may_pass: false, wait: None }
    }
}

impl From<Refusal> for Failure {
    fn from(Refusal { reason, message, .. }: Refusal) -> Self {
        Self { reason, message, may_pass: false, wait: None }
    }
}

/// What a status alone may mean at a revocation endpoint.
fn advice(reason: Reason) -> Option<&'static str> {
    match reason.class() {
        Class::Credentials | Class::Permission => {
            Some("the client was refused, or may not revoke this token")
        }
        Class::Configuration => Some(
            "check spec.revocation.url; or the server can't revoke tokens of this kind (RFC 7009 section 2.2.1)",
        ),
        Class::Contract | Class::Throttled | Class::Transient | Class::Trust | Class::Local => None,
    }
}
