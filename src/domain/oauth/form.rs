//! Writes what is sent: the form body and the Basic header, byte for byte as RFC 6749 Appendix B
//! and §2.3.1 have it.
//!
//! **Invariant:** `A–Z a–z 0–9 - . _ ~` stay raw and a space is `%20`, so that servers which never
//! decode still recognise plain IDs, and those which do read the same value as from `+`.

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::domain::{oauth::RequestValues, plan::RequestPlan, redacted::Redacted};

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Who asks.
pub(super) struct Client {
    /// The client ID (RFC 6749 §2.2).
    pub(super) id: String,
    /// The client secret (RFC 6749 §2.3.1).
    pub(super) secret: Redacted<String>,
}

impl Client {
    pub(super) fn of(plan: &RequestPlan, values: &RequestValues) -> Self {
        let read = values.client_id.as_ref().map(|id| id.expose().clone());
        Self {
            id: plan.client_id.clone().or(read).unwrap_or_default(),
            secret: values.client_secret.clone().unwrap_or_default(),
        }
    }
}

/// A form body in the making. No name is added twice (RFC 6749 §3.2).
#[derive(Default)]
pub(super) struct Form(Zeroizing<String>);

impl Form {
    /// Adds one parameter; `name` needs no escape.
    pub(super) fn add(&mut self, name: &str, value: &str) {
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
pub(super) fn basic(client: &Client) -> Redacted<String> {
    let mut pair = Zeroizing::new(String::new());
    pair.extend(utf8_percent_encode(&client.id, ESCAPED));
    pair.push(':');
    pair.extend(utf8_percent_encode(client.secret.expose(), ESCAPED));
    let mut header = String::from("Basic ");
    STANDARD.encode_string(pair.as_bytes(), &mut header);
    Redacted::new(header)
}

/// What stands inside of the Basic header.
pub(super) fn sent(authorization: &Redacted<String>) -> Option<Redacted<String>> {
    let pair = authorization.expose().strip_prefix("Basic ");
    pair.map(|pair| Redacted::new(pair.to_owned()))
}

/// Whether encoding changes the ID or the secret.
pub(super) fn encoding_changes(client: &Client) -> bool {
    let changes = |text: &str| utf8_percent_encode(text, ESCAPED).any(|part| part.starts_with('%'));
    changes(&client.id) || changes(client.secret.expose())
}
