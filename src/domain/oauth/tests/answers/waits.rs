//! How long a throttled client waits (behaviour §4), to the next attempt.
//!
//! **Invariant:** the first header that can be read decides, and only for a throttled client.

use super::*;

/// A 429 without a body, and after how many seconds the next attempt comes.
const fn wait(
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    next: Next,
) -> Case {
    refused(name, 429, "", (Reason::RateLimited, Class::Throttled, next)).headers(headers)
}

pub(super) const CASES: &[Case] = &[
    wait("wait: no header", &[], PATIENCE),
    wait("Retry-After: seconds", &[("retry-after", "30")], asked(30)),
    wait("Retry-After: a date", &[("retry-after", "Sun, 01 Mar 2026 12:02:00 GMT")], asked(120)),
    wait(
        "Retry-After: a date that has passed",
        &[("retry-after", "Sun, 01 Mar 2026 11:00:00 GMT")],
        asked(1),
    ),
    wait("Retry-After: zero", &[("retry-after", "0")], asked(1)),
    wait("Retry-After: below zero", &[("retry-after", "-3")], asked(1)),
    wait("Retry-After: a day is an hour", &[("retry-after", "86400")], asked(3600)),
    wait(
        "Retry-After: far date is an hour",
        &[("retry-after", "Thu, 01 Jan 2099 00:00:00 GMT")],
        asked(3600),
    ),
    wait("Retry-After: garbage", &[("retry-after", "soon")], PATIENCE),
    wait(
        "Retry-After: garbage, then another header",
        &[("retry-after", "soon"), ("ratelimit-reset", "7")],
        asked(7),
    ),
    wait("Retry-After wins", &[("ratelimit-reset", "7"), ("retry-after", "3")], asked(3)),
    wait(
        "Auth0 bucket: spent",
        &[("auth0-client-quota-limit", "b=per_hour;q=10;r=0;t=120")],
        asked(120),
    ),
    wait(
        "Auth0 bucket: not spent",
        &[("auth0-client-quota-limit", "b=per_hour;q=10;r=1;t=120")],
        PATIENCE,
    ),
    wait(
        "Auth0 bucket: an hour's is held to an hour",
        &[("auth0-client-quota-limit", "b=per_hour;q=10;r=0;t=9999")],
        asked(3600),
    ),
    wait(
        "Auth0 bucket: a day's may be longer",
        &[("auth0-client-quota-limit", "b=per_day;q=10;r=0;t=9999")],
        asked(9999),
    ),
    wait(
        "Auth0 bucket: a day's is held to a day",
        &[("auth0-client-quota-limit", "b=per_day;q=10;r=0;t=999999")],
        asked(86_400),
    ),
    wait(
        "Auth0 bucket before RateLimit-Reset",
        &[("ratelimit-reset", "7"), ("auth0-client-quota-limit", "b=per_hour;r=0;t=9")],
        asked(9),
    ),
    wait("RateLimit-Reset", &[("ratelimit-reset", "45")], asked(45)),
    wait(
        "RateLimit-Reset wins over the older ones",
        &[("x-ratelimit-reset", "5"), ("ratelimit-reset", "45")],
        asked(45),
    ),
    wait("X-RateLimit-RetryAfter: seconds", &[("x-ratelimit-retryafter", "12")], asked(12)),
    wait("X-RateLimit-RetryAfter: epoch", &[("x-ratelimit-retryafter", "1772366412")], asked(12)),
    wait("X-Rate-Limit-Reset: seconds", &[("x-rate-limit-reset", "12")], asked(12)),
    wait("X-Rate-Limit-Reset: epoch", &[("x-rate-limit-reset", "1772366412")], asked(12)),
    wait("X-RateLimit-Reset: seconds", &[("x-ratelimit-reset", "12")], asked(12)),
    wait("X-RateLimit-Reset: epoch", &[("x-ratelimit-reset", "1772366412")], asked(12)),
    wait(
        "X-RateLimit-Reset: epoch that has passed",
        &[("x-ratelimit-reset", "1772366000")],
        asked(1),
    ),
    wait(
        "X-RateLimit-Reset: far epoch is an hour",
        &[("x-ratelimit-reset", "1772460000")],
        asked(3600),
    ),
    refused("503 with Retry-After", 503, "", (Reason::RateLimited, Class::Throttled, asked(9)))
        .headers(&[("retry-after", "9")]),
    refused(
        "503 with a Retry-After that can't be read",
        503,
        "",
        (Reason::RateLimited, Class::Throttled, PATIENCE),
    )
    .headers(&[("retry-after", "x")]),
    refused("503 with another header", 503, "", (Reason::ServerError, Class::Transient, SOON))
        .headers(&[("ratelimit-reset", "9")]),
    refused("500 with Retry-After", 500, "", (Reason::ServerError, Class::Transient, SOON))
        .headers(&[("retry-after", "900")]),
    refused("401 with Retry-After", 401, "", (Reason::InvalidClient, Class::Credentials, HOURLY))
        .headers(&[("retry-after", "9")]),
];
