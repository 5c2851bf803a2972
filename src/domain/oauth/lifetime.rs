//! Reads how long a token lives, in every spelling that servers use. In: members of an answer and
//! the token. Out: a span, an instant, or that nothing is known.
//!
//! **Invariant:** a span is from 1 s to 1 year, and what is no number is unknown: `3600abc` is not
//! an hour.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::{
    crd::ExpiresInUnit,
    jwt,
    oauth::{
        Lifetime,
        body::{Leaf, Members},
    },
};

const YEAR_SECONDS: f64 = 365.0 * 24.0 * 3600.0;
/// No token lives as long as that; a month in milliseconds, read as seconds, does.
const UNBELIEVABLE_SECONDS: f64 = 10.0 * YEAR_SECONDS;
/// An epoch above this counts milliseconds: as seconds it would lie in the year 5138.
const EPOCH_MILLISECONDS: f64 = 1e11;

/// What an answer says of the token's end.
pub(super) struct End {
    /// The span.
    pub(super) lifetime: Lifetime,
    /// The instant, if it is still to come.
    pub(super) expires_at: Option<Timestamp>,
    /// Whether the span can't be seconds.
    pub(super) probably_milliseconds: bool,
}

/// Reads the member at the pointer by its unit, and the instants that some servers add to it. An
/// instant that has passed is told only where there is no span: beside one, a clock is wrong.
pub(super) fn end(members: &Members, unit: ExpiresInUnit, now: Timestamp) -> End {
    let written = members.expiry.as_ref();
    let (seconds, by_unit) = match unit {
        ExpiresInUnit::Seconds => (number(written), None),
        ExpiresInUnit::Milliseconds => (number(written).map(|span| span / 1000.0), None),
        ExpiresInUnit::Timestamp => (None, written),
    };
    let instants: Vec<Timestamp> =
        [by_unit, members.expires_on.as_ref(), members.expires_at.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(instant)
            .collect();
    let expires_at = instants.iter().copied().filter(|at| *at > now).min();
    let lifetime = match span(seconds) {
        Lifetime::Unknown if expires_at.is_none() && !instants.is_empty() => Lifetime::Spent,
        lifetime @ (Lifetime::Known(_) | Lifetime::Spent | Lifetime::Unknown) => lifetime,
    };
    let probably_milliseconds = unit == ExpiresInUnit::Seconds
        && seconds.is_some_and(|seconds| seconds > UNBELIEVABLE_SECONDS);
    End { lifetime, expires_at, probably_milliseconds }
}

/// `refresh_in` (Entra): seconds.
pub(super) fn refresh_in(members: &Members) -> Option<Duration> {
    match span(number(members.refresh_in.as_ref())) {
        Lifetime::Known(span) => Some(span),
        Lifetime::Spent | Lifetime::Unknown => None,
    }
}

/// An integer, a float or a decimal string.
fn number(value: Option<&Leaf>) -> Option<f64> {
    match value? {
        Leaf::Number(number) => Some(*number),
        Leaf::Text(text) => decimal(text.trim()),
        Leaf::Null | Leaf::Bool(_) | Leaf::List(_) | Leaf::Nested { .. } => None,
    }
}

/// Whole seconds; a fraction is dropped, but what lives at all lives a second.
fn span(seconds: Option<f64>) -> Lifetime {
    match seconds {
        Some(seconds) if seconds > 0.0 => {
            let whole = seconds.floor().clamp(1.0, YEAR_SECONDS);
            Lifetime::Known(Duration::from_secs_f64(whole))
        }
        Some(_) => Lifetime::Spent,
        None => Lifetime::Unknown,
    }
}

/// Seconds or milliseconds since 1970, or RFC 3339.
fn instant(value: &Leaf) -> Option<Timestamp> {
    if let Some(number) = number(Some(value)) {
        let seconds = if number > EPOCH_MILLISECONDS { number / 1000.0 } else { number };
        return since_epoch(seconds);
    }
    match value {
        Leaf::Text(text) => text.trim().parse().ok(),
        Leaf::Null | Leaf::Bool(_) | Leaf::Number(_) | Leaf::List(_) | Leaf::Nested { .. } => None,
    }
}

fn since_epoch(seconds: f64) -> Option<Timestamp> {
    // `Duration` refuses what is negative or beyond its range, `Timestamp` what is beyond year 9999.
    let since_epoch = Duration::try_from_secs_f64(seconds.floor()).ok()?;
    Timestamp::from_second(i64::try_from(since_epoch.as_secs()).ok()?).ok()
}

/// `3600`, `3599.5` or `-1`; `3600abc`, `1e3`, `inf` and a lone sign are not a number of seconds.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|first: char| first.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain.then(|| text.parse().ok()).flatten()
}

/// The `exp` claim of a token that looks like a JWT.
pub(super) fn jwt_expiry(token: &str) -> Option<Timestamp> {
    since_epoch(jwt::expiry(token)?)
}
