//! How long a throttled client is asked to wait (behaviour §4): the first header that can be read.
//!
//! **Invariant:** the result is from 1 s to 1 h (a day for a day's bucket), whatever is written
//! there; jitter is added elsewhere, as it needs the UID.

use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;

use crate::domain::oauth::{AnswerHeaders, lifetime::decimal};

const FLOOR: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A number above this is an instant, not a span: 10⁹ s are 31 years, and were reached in 2001.
const EPOCH_SECONDS: f64 = 1e9;

/// The wait that the headers ask for, before jitter; `None` where none can be read.
pub(super) fn asked(headers: &AnswerHeaders, now: Timestamp) -> Option<Duration> {
    let header = |value: &Option<String>| value.as_deref().map(str::trim).map(str::to_owned);
    header(&headers.retry_after)
        .and_then(|value| retry_after(&value, now))
        .map(|wait| wait.clamp(FLOOR, HOUR))
        .or_else(|| headers.auth0_client_quota_limit.as_deref().and_then(quota))
        .or_else(|| {
            [
                &headers.ratelimit_reset,
                &headers.x_ratelimit_retryafter,
                &headers.x_rate_limit_reset,
                &headers.x_ratelimit_reset,
            ]
            .into_iter()
            .filter_map(header)
            .find_map(|value| reset(&value, now))
            .map(|wait| wait.clamp(FLOOR, HOUR))
        })
}

/// Seconds or an HTTP date (RFC 9110 §10.2.3).
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Some(seconds) = decimal(value) {
        return Some(span(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let date = date.duration_since(UNIX_EPOCH).ok()?;
    Some(span(date.as_secs_f64() - epoch(now)))
}

/// Seconds, or an instant where the number is far too large for a span.
fn reset(value: &str, now: Timestamp) -> Option<Duration> {
    let number = decimal(value)?;
    Some(span(if number > EPOCH_SECONDS { number - epoch(now) } else { number }))
}

/// The longest `t` of the buckets with nothing left, as in `b=per_hour;q=10;r=0;t=120,b=per_day;…`.
fn quota(value: &str) -> Option<Duration> {
    value.split(',').filter_map(spent_bucket).max()
}

fn spent_bucket(bucket: &str) -> Option<Duration> {
    let member = |name: &str| {
        let members = bucket.split(';').filter_map(|member| member.trim().split_once('='));
        members.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    };
    if decimal(member("r")?)? > 0.0 {
        return None;
    }
    let cap = if member("b") == Some("per_day") { DAY } else { HOUR };
    Some(span(decimal(member("t")?)?).clamp(FLOOR, cap))
}

/// Seconds as a span, rounded up and held to what is sensible; a past instant is no wait.
fn span(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.ceil().clamp(0.0, DAY.as_secs_f64()))
}

fn epoch(now: Timestamp) -> f64 {
    now.as_duration().as_secs_f64()
}
