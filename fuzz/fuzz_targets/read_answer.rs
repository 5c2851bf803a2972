//! Throws answers at the parser: whatever a hostile endpoint sends, nothing panics and no token that
//! can't stand in a header gets through. In: a status, JSON pointers, a unit, headers and a body, as the
//! files in `seeds/read_answer` have them. Out: a crash, or nothing.
//!
//! **Invariant:** any bytes at all are a valid input; what is missing is taken as empty.
#![no_main]

use std::time::Duration;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use oauthcc_operator::domain::{
    crd::ExpiresInUnit,
    oauth::{
        Answer, AnswerHeaders, Grant, MAX_MESSAGE_BYTES, MAX_TOKEN_BYTES, MAX_VALUE_BYTES,
        RequestError, read_answer,
    },
    plan::ResponseShape,
    redacted::Redacted,
};

/// 2026-03-01T12:00:00Z
const NOW: i64 = 1_772_366_400;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fuzz_target!(|input: &[u8]| {
    let now = Timestamp::from_second(NOW).expect("it is a time");
    let answer = answer(input);
    match read_answer(&answer, now) {
        Ok(grant) => {
            assert!(grant.values.keys().eq(&answer.shape.values));
            check_grant(&grant, now);
        }
        Err(error) => check_error(&error),
    }
});

/// Lines up to an empty one, then the body: status, pointer to the token, pointer to the lifetime,
/// unit, and headers like `retry-after: 30`; `value: /a` is a pointer to a value beside the token.
fn answer(input: &[u8]) -> Answer {
    let head_end = input.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = match head_end {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (input, &b""[..]),
    };
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.parse().ok()).unwrap_or(200);
    let mut shape = ResponseShape {
        token_pointer: lines.next().unwrap_or("/access_token").to_owned(),
        expires_in_pointer: lines.next().unwrap_or("/expires_in").to_owned(),
        expires_in_unit: match lines.next() {
            Some("Milliseconds") => ExpiresInUnit::Milliseconds,
            Some("Timestamp") => ExpiresInUnit::Timestamp,
            _ => ExpiresInUnit::Seconds,
        },
        ..ResponseShape::default()
    };
    let pairs: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let pointers = pairs.iter().filter(|(name, _)| *name == "value");
    shape.values = pointers.map(|(_, pointer)| (*pointer).to_owned()).collect();
    let headers = AnswerHeaders::read(|name| {
        let of_name = pairs.iter().filter(|(header, _)| *header == name);
        of_name.map(|(_, value)| (*value).to_owned()).collect()
    });
    let sent = vec![Redacted::new("s3cr3t-value".to_owned())];
    Answer { status, headers, body: Redacted::new(body.to_vec()), sent, shape }
}

fn check_grant(grant: &Grant, now: Timestamp) {
    let token = grant.token.expose();
    assert!((1..=MAX_TOKEN_BYTES).contains(&token.len()));
    assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(grant.token_type, "Bearer");
    let latest = now + jiff::SignedDuration::try_from(YEAR).expect("it is a span");
    assert!(grant.expiry(now).is_none_or(|at| at > now && at <= latest));
    for value in grant.values.values().map(Redacted::expose) {
        assert!(value.len() <= MAX_VALUE_BYTES && !value.contains(char::is_control));
    }
    for scope in grant.scopes.iter().flatten() {
        assert!(scope.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!scope.contains("s3cr3t-value"));
    }
}

fn check_error(error: &RequestError) {
    let allowed = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    assert!(error.wait.is_none_or(|wait| allowed.contains(&wait)));
    let message = error.message("idp.example.com");
    assert!(message.is_ascii() && message.len() <= MAX_MESSAGE_BYTES);
    assert!(!message.bytes().any(|byte| byte.is_ascii_control()));
}
