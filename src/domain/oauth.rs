//! RFC 6749 §4.4 as bytes. In: a spec, a client and an answer. Out: a request, and a grant or a
//! classified error. The parts lie in `oauth/`: `request` joins what `form` and `authentication`
//! write, the latter with `assertion`, `key` and `der`; `body` reads, `grant` judges a success and
//! `lifetime` how long it holds, `failure` a refusal, `waiting` how long the endpoint asks to be left
//! alone; `advice` and `hint` are the words for a person, `answer` the types; `discovery` finds the
//! token endpoint of an issuer.
//!
//! **Invariant:** nothing that an endpoint wrote reaches an error, a message or `Debug` output: words
//! come from closed lists. The one exception are the scopes of a grant, which are held to the
//! grammar of RFC 6749 §3.3 and dropped where they repeat the token or the client secret.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;
use url::Url;

use crate::domain::{
    crd::{BasicEncoding, ClientAuthenticationMethod},
    fingerprint::SecretValues,
    plan::{LocatedBy, ResponseShape},
    redacted::Redacted,
};

mod advice;
mod answer;
mod assertion;
mod authentication;
mod body;
mod der;
pub mod discovery;
mod failure;
mod form;
mod grant;
mod hint;
mod key;
mod lifetime;
mod request;
#[cfg(test)]
mod tests;
mod waiting;

pub use answer::{
    Answer, AnswerHeaders, Asked, Grant, Lifetime, MAX_BODY_BYTES, MAX_MESSAGE_BYTES,
    MAX_TOKEN_BYTES, MAX_VALUE_BYTES, RequestError,
};
pub(in crate::domain) use form::form_encoded;
pub use hint::Hint;
pub use request::{revocation_request, token_request};

/// What was read for a request, by use; a parameter or header that the spec writes out is not here.
#[derive(Clone, Debug, Default)]
pub struct RequestValues {
    /// The client ID (RFC 6749 §2.2) where a Secret holds it.
    pub client_id: Option<Redacted<String>>,
    /// The client secret (RFC 6749 §2.3.1).
    pub client_secret: Option<Redacted<String>>,
    /// The private key that signs assertions, PEM.
    pub signing_key: Option<Redacted<Vec<u8>>>,
    /// The certificate of that key, PEM.
    pub signing_certificate: Option<Redacted<Vec<u8>>>,
    /// The values of parameters, by their place in the plan.
    pub parameters: BTreeMap<usize, Redacted<String>>,
    /// The values of headers, by their place in the plan.
    pub headers: BTreeMap<usize, Redacted<String>>,
    /// The client certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// Certificate authorities, PEM.
    pub ca_bundle: Option<Redacted<Vec<u8>>>,
    /// A token of a `ServiceAccount`; made anew for each request, so it is no value of the inputs.
    pub service_account_token: Option<Redacted<String>>,
}

/// A client certificate of a connection (RFC 8705), PEM.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and those that lead to its authority.
    pub chain: Redacted<Vec<u8>>,
    /// Its private key.
    pub key: Redacted<Vec<u8>>,
}

/// Randomness for one `jti` (RFC 7519 §4.1.7), drawn by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Entropy(pub [u8; 16]);

/// Trust and identity of a connection, beside what the operator was started with. PEM.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// Certificate authorities that are trusted too.
    pub ca_bundle: Option<Redacted<Vec<u8>>>,
    /// The client certificate.
    pub client_certificate: Option<ClientCertificate>,
}

/// How the parameters are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpMethod {
    /// With a body, perhaps an empty one.
    #[default]
    Post,
    /// Without a body.
    Get,
}

/// One token request, ready to send.
#[derive(Clone)]
pub struct TokenRequest {
    /// How.
    pub http_method: HttpMethod,
    /// The token endpoint with its whole query.
    pub url: Url,
    /// Every header that is not the connection's own: `Accept`, `Content-Type`, `Authorization` and
    /// those of the spec. Names in lower case.
    pub headers: Vec<(String, Redacted<String>)>,
    /// The body.
    pub body: Option<Redacted<String>>,
    /// The secrets as they are and as they are written, to know an echo by.
    pub sent: Vec<Redacted<String>>,
    /// Where the answer holds what.
    pub shape: ResponseShape,
    /// What a message about a refusal may point at.
    pub traits: RequestTraits,
    /// The limit of the whole exchange, from the look-up of the name to the last byte.
    pub timeout: Duration,
}

/// What is worth knowing about a request when it is refused; nothing of it is secret.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each behind one hint")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestTraits {
    /// The method of client authentication.
    pub method: ClientAuthenticationMethod,
    /// How ID and secret were written into the Basic header.
    pub encoding: BasicEncoding,
    /// With Basic: whether form encoding changes the ID or the secret.
    pub encoding_matters: bool,
    /// Whether the client ID or the client secret begins or ends with white space.
    pub white_space: bool,
    /// Whether one of them holds a character outside of VSCHAR (RFC 6749 Appendix A), such as `ü`,
    /// which strict servers refuse.
    pub beyond_ascii: bool,
    /// Whether the assertion's audience is the issuer; else it is the token URL or what the spec says.
    pub audience_is_issuer: bool,
    /// Whether the spec gives the audience of the assertion.
    pub audience_is_given: bool,
    /// Whether scopes were asked for.
    pub scopes: bool,
    /// The field that says where to ask.
    pub located_by: LocatedBy,
    /// Whether the client secret is shorter than the hash that it signs with (RFC 7518 §3.2).
    pub short_secret: bool,
    /// Whether neither an audience nor a resource (RFC 8707) was asked for.
    pub without_audience: bool,
}

/// Why a value of a client Secret can't be used; completes the sentence "key … of Secret …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    /// Nothing is left without the trailing line end.
    #[error("is empty")]
    Empty,
    /// The bytes are not UTF-8.
    #[error("is not UTF-8 text")]
    NotUtf8,
    /// A control character inside, most often a line end.
    #[error("contains a control character, such as a line end")]
    ControlCharacter,
}

/// Reads one value of a client Secret. One trailing CR, LF or CRLF is dropped, since `echo` and
/// editors leave it; white space inside is kept. The caller wraps what is secret in [`Redacted`].
///
/// # Errors
/// A value that is empty, not UTF-8 or has control characters can't be sent as it was meant.
pub fn secret_text(value: &[u8]) -> Result<String, ValueFault> {
    let text = std::str::from_utf8(value).map_err(|_| ValueFault::NotUtf8)?;
    let text =
        text.strip_suffix("\r\n").or_else(|| text.strip_suffix(['\r', '\n'])).unwrap_or(text);
    if text.is_empty() {
        return Err(ValueFault::Empty);
    }
    if text.chars().any(char::is_control) {
        return Err(ValueFault::ControlCharacter);
    }
    Ok(text.to_owned())
}

/// Judges an answer (behaviour §2 to §4). `now` is needed for HTTP dates and epochs only.
///
/// # Errors
/// Everything but a 2xx with a usable token and without an `error` member.
pub fn read_answer(answer: &Answer, now: Timestamp) -> Result<Grant, RequestError> {
    if (200..300).contains(&answer.status) {
        grant::read(answer, now)
    } else {
        Err(failure::read(answer, now))
    }
}

/// Judges the answer of a revocation endpoint by its status and headers alone (RFC 7009 §2.2): a token that
/// is not known there is revoked too.
///
/// # Errors
/// Everything but a 2xx.
pub fn read_revocation(
    status: u16,
    headers: AnswerHeaders,
    now: Timestamp,
) -> Result<(), RequestError> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let (body, sent, shape) = (Redacted::default(), Vec::new(), ResponseShape::default());
    Err(failure::read(&Answer { status, headers, body, sent, shape }, now))
}

/// Whether the body of an answer with this status matters. Where it does not, an answer whose body
/// got lost on the way is judged all the same.
pub fn needs_body(status: u16) -> bool {
    (200..300).contains(&status) || failure::by_status(status).is_none()
}

impl TokenRequest {
    /// The value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header == name);
        found.map(|(_, value)| value.expose().as_str())
    }
}

impl RequestValues {
    /// The values that a token is granted for: equal values mean the same token again (design D12). Who
    /// is trusted is not among them.
    pub fn for_the_token(&self) -> SecretValues {
        SecretValues::new(&self.parts(false))
    }

    /// All values, to tell whether anything of a failed attempt has changed.
    pub fn all(&self) -> SecretValues {
        SecretValues::new(&self.parts(true))
    }

    /// The connection that these values ask for.
    pub fn transport(&self) -> Transport {
        Transport {
            ca_bundle: self.ca_bundle.clone(),
            client_certificate: self.client_certificate.clone(),
        }
    }

    /// The order may never change: digests in the cluster are made of it.
    fn parts(&self, trust: bool) -> Vec<&[u8]> {
        let texts = [&self.client_id, &self.client_secret];
        let texts = texts.into_iter().flatten().map(|text| text.expose().as_bytes());
        let keys = [&self.signing_key, &self.signing_certificate].into_iter().flatten();
        let further = self.parameters.values().chain(self.headers.values());
        let certificate = self.client_certificate.iter().flat_map(|own| [&own.chain, &own.key]);
        let bundle = self.ca_bundle.iter().filter(|_| trust);
        texts
            .chain(keys.map(|key| key.expose().as_slice()))
            .chain(further.map(|value| value.expose().as_bytes()))
            .chain(certificate.chain(bundle).map(|pem| pem.expose().as_slice()))
            .collect()
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query is left out: people put keys there.
        f.debug_struct("TokenRequest")
            .field("host", &self.url.host_str())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
