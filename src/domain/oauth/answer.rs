//! What came back from a token endpoint and what it is worth, as types. In: status, headers, body.
//! Out: a [`Grant`] or a [`RequestError`].
//!
//! **Invariant:** an error holds no text of the endpoint's: numbers, and words from closed lists.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;

use crate::domain::{
    crd::ClientAuthenticationMethod,
    oauth::{TokenRequest, advice, hint, hint::Hint},
    plan::{LocatedBy, ResponseShape},
    reason::Reason,
    redacted::Redacted,
    schedule,
};

/// The largest answer that is read, in bytes (design D7). Whoever reads one byte more passes it on
/// as it is: [`read_answer`](super::read_answer) refuses it.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// The largest token that is published, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The longest value of an answer that is published beside the token, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024;
/// The longest message, in bytes: with its reason before it, it still fits an event's note.
pub const MAX_MESSAGE_BYTES: usize = 1000;

/// What came back, before it is judged.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers that matter.
    pub headers: AnswerHeaders,
    /// The body, at most [`MAX_BODY_BYTES`] and one byte.
    pub body: Redacted<Vec<u8>>,
    /// [`TokenRequest::sent`]: what the answer must not be believed to say.
    pub sent: Vec<Redacted<String>>,
    /// [`TokenRequest::shape`].
    pub shape: ResponseShape,
}

/// The headers of an answer that matter: the content type and those of behaviour §4.
#[derive(Clone, Default)]
pub struct AnswerHeaders {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Retry-After` (RFC 9110 §10.2.3): seconds or an HTTP date.
    pub retry_after: Option<String>,
    /// `Auth0-Client-Quota-Limit`: buckets like `b=per_hour;q=10;r=0;t=120`, separated by commas.
    pub auth0_client_quota_limit: Option<String>,
    /// `RateLimit-Reset`: seconds.
    pub ratelimit_reset: Option<String>,
    /// `X-RateLimit-RetryAfter`: seconds.
    pub x_ratelimit_retryafter: Option<String>,
    /// `X-Rate-Limit-Reset`: seconds, or an epoch.
    pub x_rate_limit_reset: Option<String>,
    /// `X-RateLimit-Reset`: seconds, or an epoch.
    pub x_ratelimit_reset: Option<String>,
}

/// How long a token lives, as the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// From 1 s to 1 year, counted from before the request was sent.
    Known(Duration),
    /// Zero or less, or over already: perhaps a token in its last moments.
    Spent,
    /// Absent or unreadable (RFC 6749 §5.1: only RECOMMENDED).
    Unknown,
}

/// A token and what the answer says about it (RFC 6749 §5.1).
#[derive(Clone, Debug)]
pub struct Grant {
    /// The access token: visible ASCII, at most [`MAX_TOKEN_BYTES`].
    pub token: Redacted<String>,
    /// Its type as an `Authorization` header wants it: `Bearer`.
    pub token_type: String,
    /// How long it lives, where the answer gives a span (`expires_in`).
    pub lifetime: Lifetime,
    /// When it expires, where the answer gives an instant that was still to come (`expires_on`,
    /// `expires_at`); the earliest of several. [`Grant::expiry`] weighs both.
    pub expires_at: Option<Timestamp>,
    /// The `exp` claim where the token looks like a JWT: unverified, a hint (RFC 9068 §6).
    pub jwt_expiry: Option<Timestamp>,
    /// Whether the span is over ten years when read as seconds, and so most likely milliseconds.
    pub probably_milliseconds: bool,
    /// The scopes as granted; `None` means as asked, empty means none (RFC 6749 §5.1).
    pub scopes: Option<Vec<String>>,
    /// After which time the server would like to be asked again (Entra's `refresh_in`).
    pub refresh_in: Option<Duration>,
    /// What else was asked for, by the pointers of [`ResponseShape::values`]: all of them.
    pub values: BTreeMap<String, Redacted<String>>,
}

/// Why there is no token. Holds no text of the endpoint's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// The reason; the class follows from it alone.
    pub reason: Reason,
    /// The HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The error code of the answer, where it is in the closed list (RFC 6749 §5.2 and §4.1.2.1,
    /// RFC 8628 §3.5, RFC 8707 §2).
    pub code: Option<&'static str>,
    /// How long the answer asks to wait (behaviour §4), before jitter; `None`: our own schedule.
    pub wait: Option<Duration>,
    /// What exactly was wrong, where reason, status and code do not say it.
    pub detail: Option<&'static str>,
    /// How the client had proved who it is; [`RequestError::about`] fills it.
    pub method: Option<ClientAuthenticationMethod>,
    /// The field that says where to ask; [`RequestError::about`] fills it.
    pub located_by: LocatedBy,
    /// What else may help, the likeliest first; [`RequestError::about`] fills it.
    pub hints: Vec<Hint>,
}

/// One attempt and what came of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The wall clock just before the request was sent: the token's lifetime counts from here.
    pub sent_at: Timestamp,
    /// What came of it.
    pub result: Result<Grant, RequestError>,
    /// How long it took, on the monotonic clock.
    pub took: Duration,
}

impl AnswerHeaders {
    /// Collects the headers; `lines` gives the values of all lines of that name, in order.
    pub fn read(lines: impl Fn(&'static str) -> Vec<String>) -> Self {
        let first = |name| lines(name).into_iter().next();
        let quota = lines("auth0-client-quota-limit");
        Self {
            content_type: first("content-type"),
            retry_after: first("retry-after"),
            auth0_client_quota_limit: (!quota.is_empty()).then(|| quota.join(",")),
            ratelimit_reset: first("ratelimit-reset"),
            x_ratelimit_retryafter: first("x-ratelimit-retryafter"),
            x_rate_limit_reset: first("x-rate-limit-reset"),
            x_ratelimit_reset: first("x-ratelimit-reset"),
        }
    }

    /// The media type, without parameters and in lower case; empty where there is none.
    pub(super) fn media_type(&self) -> String {
        let written = self.content_type.as_deref().unwrap_or_default();
        written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

impl Grant {
    /// When the token expires, where the answer says so: by a span from `sent_at`, by an instant, by
    /// the earlier of both. An instant that lies before the request is a clock that is wrong, and
    /// says nothing.
    pub fn expiry(&self, sent_at: Timestamp) -> Option<Timestamp> {
        let longest = schedule::after(sent_at, schedule::LONGEST_LIFETIME);
        let by_span = match self.lifetime {
            Lifetime::Known(lifetime) => {
                Some(schedule::after(sent_at, schedule::clamp_lifetime(lifetime)))
            }
            Lifetime::Spent | Lifetime::Unknown => None,
        };
        let by_instant = self.expires_at.filter(|at| *at > sent_at).map(|at| at.min(longest));
        by_span.into_iter().chain(by_instant).min()
    }
}

impl RequestError {
    /// An error without an answer: the connection, the certificate or the address.
    pub const fn without_answer(reason: Reason, detail: &'static str) -> Self {
        let detail = Some(detail);
        Self {
            reason,
            status: None,
            code: None,
            wait: None,
            detail,
            method: None,
            located_by: LocatedBy::TokenUrl,
            hints: Vec::new(),
        }
    }

    /// Adds what the request itself tells about its refusal.
    #[must_use]
    pub fn about(mut self, request: &TokenRequest) -> Self {
        self.method = Some(request.traits.method);
        self.located_by = request.traits.located_by;
        self.hints = hint::hints(&self, request);
        self
    }

    /// The condition message: host, HTTP status, code and what to do, in our own words; the same
    /// error gives the same bytes.
    pub fn message(&self, host: &str) -> String {
        let mut text = match (self.status, self.code) {
            (Some(status), Some(code)) => format!("{host} answered HTTP {status} with {code}: "),
            (Some(status), None) => format!("{host} answered HTTP {status}: "),
            (None, _) => format!("no token from {host}: "),
        };
        text.push_str(&advice::advice(self.reason, self.method, self.located_by));
        if self.status == Some(401) {
            text.push_str(advice::OR_DISABLED);
        }
        let hints = self.hints.iter().map(|hint| hint.text());
        for part in self.detail.into_iter().chain(hints) {
            if text.len() + part.len() + 2 <= MAX_MESSAGE_BYTES {
                text.push_str("; ");
                text.push_str(part);
            }
        }
        text
    }
}

impl fmt::Debug for AnswerHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values are the endpoint's own text, and may echo what it was sent.
        f.debug_struct("AnswerHeaders").finish_non_exhaustive()
    }
}
