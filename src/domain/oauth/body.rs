//! Reads the body of an answer into the members that matter: JSON whatever the content type says,
//! else a form, else a proxy's page.
//!
//! **Invariant:** a member that is not used (a refresh token, an ID token) is never kept, and an
//! unreadable body leaves no text behind: serde's errors quote values, so they are dropped here.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::domain::oauth::{Answer, MAX_BODY_BYTES};

/// What a body is.
pub(super) enum Body {
    /// A JSON object or a form.
    Members(Box<Members>),
    /// A page for people: a proxy or a login page answered.
    Page,
    /// Longer than [`MAX_BODY_BYTES`]; what is there may be half a token.
    TooLarge,
    /// Nothing that RFC 6749 knows, or nothing at all.
    Unreadable,
}

/// The members of an answer that matter; `null` is absent (Twilio).
#[derive(Default)]
pub(super) struct Members {
    /// `access_token`.
    pub(super) access_token: Option<Value>,
    /// Whether `access_token` stands there more than once.
    pub(super) repeated: bool,
    /// `token_type`.
    pub(super) token_type: Option<Value>,
    /// `expires_in`.
    pub(super) expires_in: Option<Value>,
    /// `refresh_in`.
    pub(super) refresh_in: Option<Value>,
    /// `scope`, or `scopes` where there is no `scope`.
    pub(super) scope: Option<Value>,
    /// `scopes`.
    scopes: Option<Value>,
    /// `error`, where it says that there is one.
    pub(super) error: Option<Value>,
    tokens_seen: usize,
}

/// Reads a body.
pub(super) fn read(answer: &Answer) -> Body {
    let bytes = answer.body.expose().as_slice();
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii();
    let media_type = answer.headers.media_type();
    if is_page(bytes, &media_type) {
        return Body::Page;
    }
    if answer.body.expose().len() > MAX_BODY_BYTES {
        return Body::TooLarge;
    }
    // A description in Latin-1 must not hide the code beside it. In a token the replacement
    // character is refused.
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let members = if text.starts_with('{') {
        from_json(&text)
    } else if matches!(media_type.as_str(), "" | "text/plain" | "application/x-www-form-urlencoded")
    {
        from_form(&text)
    } else {
        None
    };
    members.map_or(Body::Unreadable, |members| Body::Members(Box::new(members)))
}

/// A page of HTML; a token sent as `text/html` is none, since its body starts with a brace.
fn is_page(bytes: &[u8], media_type: &str) -> bool {
    if bytes.is_empty() || bytes.starts_with(b"{") {
        return false;
    }
    let head = bytes.get(..bytes.len().min(16)).unwrap_or_default().to_ascii_lowercase();
    matches!(media_type, "text/html" | "application/xhtml+xml")
        || head.starts_with(b"<!doctype html")
        || head.starts_with(b"<html")
}

fn from_json(text: &str) -> Option<Members> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(MembersVisitor).ok()?;
    deserializer.end().ok()?;
    Some(members.finish())
}

fn from_form(text: &str) -> Option<Members> {
    let mut members = Members::default();
    let mut known = false;
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if let Some(place) = members.place(&name) {
            known = true;
            *place = (!value.is_empty()).then(|| Value::String(value.into_owned()));
        }
    }
    known.then(|| members.finish())
}

impl Members {
    /// Where a member goes; `None` for one that does not matter.
    fn place(&mut self, name: &str) -> Option<&mut Option<Value>> {
        match name {
            "access_token" => {
                self.tokens_seen += 1;
                Some(&mut self.access_token)
            }
            "token_type" => Some(&mut self.token_type),
            "expires_in" => Some(&mut self.expires_in),
            "refresh_in" => Some(&mut self.refresh_in),
            "scope" => Some(&mut self.scope),
            "scopes" => Some(&mut self.scopes),
            // A second, empty `error` must not hide the first.
            "error" if self.error.as_ref().is_none_or(says_nothing) => Some(&mut self.error),
            _ => None,
        }
    }

    fn finish(mut self) -> Self {
        self.repeated = self.tokens_seen > 1;
        self.scope = self.scope.take().or_else(|| self.scopes.take());
        self.error = self.error.take().filter(|error| !says_nothing(error));
        self
    }
}

/// `"error": ""`, `false` and `0` stand for success at servers that always send the member.
fn says_nothing(error: &Value) -> bool {
    match error {
        Value::Null => true,
        Value::Bool(error) => !error,
        Value::Number(error) => error.as_f64() == Some(0.0),
        Value::String(error) => error.is_empty(),
        Value::Array(error) => error.is_empty(),
        Value::Object(error) => error.is_empty(),
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a token response")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match members.place(&name) {
                Some(place) => {
                    *place = Some(map.next_value::<Value>()?).filter(|value| !value.is_null());
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(members)
    }
}
