//! How long a token lives, by span and by instant.
//!
//! **Invariant:** one row, one spelling; the clock stands at 2026-03-01T12:00:00Z, which is 1772366400.

use super::*;

const HOUR: Ends = Ends::In(3600);
const MILLISECONDS: ExpiresInUnit = ExpiresInUnit::Milliseconds;
const INSTANT: ExpiresInUnit = ExpiresInUnit::Timestamp;

pub(super) const CASES: &[Case] = &[
    granted(
        "lifetime: a float is floored",
        r#"{"access_token":"t0k3n","expires_in":3600.9}"#,
        HOUR,
    ),
    granted(
        "lifetime: a trimmed string",
        r#"{"access_token":"t0k3n","expires_in":" 3600 "}"#,
        HOUR,
    ),
    granted(
        "lifetime: with letters it is unknown",
        r#"{"access_token":"t0k3n","expires_in":"3600abc"}"#,
        Ends::Unknown,
    ),
    granted("lifetime: below zero", r#"{"access_token":"t0k3n","expires_in":-1}"#, Ends::Spent),
    granted(
        "lifetime: under a second",
        r#"{"access_token":"t0k3n","expires_in":0.4}"#,
        Ends::In(1),
    ),
    granted(
        "lifetime: as long as a float holds",
        r#"{"access_token":"t0k3n","expires_in":1e308}"#,
        Ends::In(31_536_000),
    ),
    granted(
        "lifetime: 2^63",
        r#"{"access_token":"t0k3n","expires_in":9223372036854775808}"#,
        Ends::In(31_536_000),
    ),
    granted(
        "lifetime: true is none",
        r#"{"access_token":"t0k3n","expires_in":true}"#,
        Ends::Unknown,
    ),
    granted(
        "milliseconds: less than a second",
        r#"{"access_token":"t0k3n","expires_in":400}"#,
        Ends::In(1),
    )
    .at("/access_token", "/expires_in", MILLISECONDS),
    granted("milliseconds: zero", r#"{"access_token":"t0k3n","expires_in":"0"}"#, Ends::Spent).at(
        "/access_token",
        "/expires_in",
        MILLISECONDS,
    ),
    granted(
        "milliseconds: the instants beside keep their own units",
        r#"{"access_token":"t0k3n","expires_in":3600000,"expires_at":1772368200}"#,
        Ends::In(1800),
    )
    .at("/access_token", "/expires_in", MILLISECONDS),
    granted("instant: epoch in seconds", r#"{"access_token":"t0k3n","valid":1772370000}"#, HOUR)
        .at("/access_token", "/valid", INSTANT),
    granted(
        "instant: epoch in milliseconds",
        r#"{"access_token":"t0k3n","valid":1772370000999}"#,
        HOUR,
    )
    .at("/access_token", "/valid", INSTANT),
    granted(
        "instant: a string of milliseconds",
        r#"{"access_token":"t0k3n","valid":" 1772370000000 "}"#,
        HOUR,
    )
    .at("/access_token", "/valid", INSTANT),
    granted(
        "instant: RFC 3339 with an offset",
        r#"{"access_token":"t0k3n","valid":"2026-03-01T14:00:00+01:00"}"#,
        HOUR,
    )
    .at("/access_token", "/valid", INSTANT),
    granted(
        "instant: without an offset it is unknown",
        r#"{"access_token":"t0k3n","valid":"2026-03-01T13:00:00"}"#,
        Ends::Unknown,
    )
    .at("/access_token", "/valid", INSTANT),
    granted("instant: over", r#"{"access_token":"t0k3n","valid":1772366399}"#, Ends::Spent).at(
        "/access_token",
        "/valid",
        INSTANT,
    ),
    granted("instant: a span by mistake", r#"{"access_token":"t0k3n","valid":3600}"#, Ends::Spent)
        .at("/access_token", "/valid", INSTANT),
    granted(
        "instant: beyond all years",
        r#"{"access_token":"t0k3n","valid":1e300}"#,
        Ends::Unknown,
    )
    .at("/access_token", "/valid", INSTANT),
    granted(
        "instant: in ten years",
        r#"{"access_token":"t0k3n","valid":2087726400}"#,
        Ends::In(31_536_000),
    )
    .at("/access_token", "/valid", INSTANT),
    granted(
        "instant: expires_in is not read where the pointer leads elsewhere",
        r#"{"access_token":"t0k3n","expires_in":60,"valid":1772370000}"#,
        HOUR,
    )
    .at("/access_token", "/valid", INSTANT),
    granted(
        "instant beside a span: later",
        r#"{"access_token":"t0k3n","expires_in":3600,"expires_at":1772380000}"#,
        HOUR,
    ),
    granted(
        "instant beside a span: earlier",
        r#"{"access_token":"t0k3n","expires_in":3600,"expires_at":"2026-03-01T12:30:00Z"}"#,
        Ends::In(1800),
    ),
    granted(
        "instant beside a span: over, so a clock is wrong",
        r#"{"access_token":"t0k3n","expires_in":3600,"expires_at":"2026-03-01T11:50:00Z"}"#,
        HOUR,
    ),
    granted(
        "instant beside a span of zero",
        r#"{"access_token":"t0k3n","expires_in":0,"expires_at":1772370000}"#,
        HOUR,
    ),
    granted(
        "two instants: the earlier",
        r#"{"access_token":"t0k3n","expires_on":"1772370000","expires_at":1772368200000}"#,
        Ends::In(1800),
    ),
    granted(
        "instant: below the top it is not looked for",
        r#"{"access_token":"t0k3n","d":{"expires_at":1772370000}}"#,
        Ends::Unknown,
    ),
    granted(
        "refresh_in as a string",
        r#"{"access_token":"t0k3n","expires_in":3600,"refresh_in":"1800"}"#,
        HOUR,
    )
    .refresh_in(1800),
    granted(
        "refresh_in of zero",
        r#"{"access_token":"t0k3n","expires_in":3600,"refresh_in":0}"#,
        HOUR,
    ),
];
