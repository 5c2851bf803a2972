//! Writes what is sent: the form body and the Basic header, byte for byte as RFC 6749 Appendix B
//! and §2.3.1 have it.
//!
//! **Invariant:** `A–Z a–z 0–9 - . _ ~` stay raw and a space is `%20`, so that servers which never
//! decode still recognise plain IDs, and those which do read the same value as from `+`.

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::domain::{oauth::ClientCredentials, redacted::Redacted};

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A form body in the making. No name is added twice (RFC 6749 §3.2).
#[derive(Default)]
pub(super) struct Form(Zeroizing<String>);

impl Form {
    /// Adds one parameter; `name` needs no escape.
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, ESCAPED));
    }

    /// The body.
    pub(super) fn finish(mut self) -> Redacted<String> {
        Redacted::new(std::mem::take(&mut self.0))
    }
}

/// `Basic`, ID and secret encoded one by one (RFC 6749 §2.3.1), so a colon in the ID is no fault.
pub(super) fn basic(client: &ClientCredentials) -> Redacted<String> {
    let mut pair = Zeroizing::new(String::new());
    pair.extend(utf8_percent_encode(&client.id, ESCAPED));
    pair.push(':');
    pair.extend(utf8_percent_encode(client.secret.expose(), ESCAPED));
    let mut header = String::from("Basic ");
    STANDARD.encode_string(pair.as_bytes(), &mut header);
    Redacted::new(header)
}

/// The client secret as it is, and inside of the Basic header.
pub(super) fn sent(
    client: &ClientCredentials,
    authorization: Option<&Redacted<String>>,
) -> Vec<Redacted<String>> {
    let header = authorization.and_then(|header| header.expose().strip_prefix("Basic "));
    let header = header.map(|pair| Redacted::new(pair.to_owned()));
    [client.secret.clone()].into_iter().chain(header).collect()
}

/// Whether encoding changed the ID or the secret: exactly then the pair has a `%`.
pub(super) fn encoding_changed(authorization: &Redacted<String>) -> bool {
    let pair = authorization.expose().strip_prefix("Basic ").map(|pair| STANDARD.decode(pair));
    match pair {
        Some(Ok(pair)) => Zeroizing::new(pair).contains(&b'%'),
        Some(Err(_)) | None => false,
    }
}
