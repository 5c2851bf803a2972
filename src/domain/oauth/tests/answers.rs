//! Answers of real token endpoints by name, each with what it must lead to; the rows lie in
//! `answers/`, by who gives them.
//!
//! **Invariant:** every row is read with the same clock and stands alone; a row that fails is told by
//! its name, and all that fail are told at once.

use std::collections::BTreeSet;

use super::*;
use crate::domain::{
    crd::ExpiresInUnit,
    schedule::{self, FailedAttempt, SchedulePolicy},
};

mod commerce;
mod identity;
mod lifetimes;
mod refusals;
mod rules;
mod services;
mod statuses;
mod waits;

/// When the token ends, counted from when the request was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// After so many seconds.
    In(u64),
    /// Nobody knows.
    Unknown,
    /// It may have ended already.
    Spent,
}

/// Between how many seconds the next attempt comes.
type Next = (u64, u64);

/// After an hour, give or take a fifth.
const HOURLY: Next = (2880, 4320);
/// After a minute.
const MINUTE: Next = (60, 60);
/// After the minimum gap.
const GAP: Next = (10, 10);
/// After 5 s, or down to half of that.
const SOON: Next = (3, 5);
/// After a minute, and up to a tenth more.
const PATIENCE: Next = (60, 66);

/// After as long as was asked for, and up to a tenth more.
const fn asked(seconds: u64) -> Next {
    (seconds, seconds + seconds / 10 + 1)
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Granted { ends: Ends, scopes: Option<&'static [&'static str]>, refresh_in: Option<u64> },
    Refused { reason: Reason, class: Class, code: Option<&'static str>, next: Next },
}

/// One answer.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    shape: (&'static str, &'static str, ExpiresInUnit),
    expected: Expected,
}

const PLAIN: (&str, &str, ExpiresInUnit) = ("/access_token", "/expires_in", ExpiresInUnit::Seconds);

/// A 200 of JSON with the token `t0k3n`.
const fn granted(name: &'static str, body: &'static str, ends: Ends) -> Case {
    let expected = Expected::Granted { ends, scopes: None, refresh_in: None };
    let headers = &[("content-type", "application/json;charset=UTF-8")];
    Case { name, status: 200, headers, body, shape: PLAIN, expected }
}

/// An answer of JSON without a token.
const fn refused(
    name: &'static str,
    status: u16,
    body: &'static str,
    (reason, class, next): (Reason, Class, Next),
) -> Case {
    let expected = Expected::Refused { reason, class, code: None, next };
    let headers = &[("content-type", "application/json")];
    Case { name, status, headers, body, shape: PLAIN, expected }
}

impl Case {
    const fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    const fn headers(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    const fn at(self, token: &'static str, expiry: &'static str, unit: ExpiresInUnit) -> Self {
        Self { shape: (token, expiry, unit), ..self }
    }

    const fn scopes(mut self, granted: &'static [&'static str]) -> Self {
        if let Expected::Granted { scopes, .. } = &mut self.expected {
            *scopes = Some(granted);
        }
        self
    }

    const fn refresh_in(mut self, seconds: u64) -> Self {
        if let Expected::Granted { refresh_in, .. } = &mut self.expected {
            *refresh_in = Some(seconds);
        }
        self
    }

    const fn code(mut self, word: &'static str) -> Self {
        if let Expected::Refused { code, .. } = &mut self.expected {
            *code = Some(word);
        }
        self
    }

    fn found(&self) -> Expected {
        let (token_pointer, expires_in_pointer, expires_in_unit) = self.shape;
        let shape = ResponseShape {
            token_pointer: token_pointer.to_owned(),
            expires_in_pointer: expires_in_pointer.to_owned(),
            expires_in_unit,
            ..ResponseShape::default()
        };
        let answer = Answer { shape, ..answer(self.status, self.headers, self.body.as_bytes()) };
        match read_answer(&answer, now()) {
            Ok(grant) => of_grant(&grant),
            Err(error) => of_error(&error),
        }
    }
}

fn of_grant(grant: &Grant) -> Expected {
    assert_eq!((grant.token.expose().as_str(), grant.token_type.as_str()), ("t0k3n", "Bearer"));
    let ends = match (grant.expiry(now()), grant.lifetime) {
        (Some(at), _) => Ends::In(schedule::span(now(), at).as_secs()),
        (None, Lifetime::Spent) => Ends::Spent,
        (None, Lifetime::Unknown | Lifetime::Known(_)) => Ends::Unknown,
    };
    // Leaked, as a test may: the rows are constants.
    let scopes = grant.scopes.clone().map(|scopes| {
        let words = scopes.into_iter().map(|scope| &*String::leak(scope));
        &*Vec::leak(words.collect())
    });
    let refresh_in = grant.refresh_in.map(|span| span.as_secs());
    Expected::Granted { ends, scopes, refresh_in }
}

fn of_error(error: &RequestError) -> Expected {
    let failed = FailedAttempt {
        reason: error.reason,
        consecutive: 1,
        asked_wait: error.wait,
        inputs_changed_at: None,
        expires_at: None,
        uid: "uid",
    };
    let policy = SchedulePolicy { jitter_percentage: 0, ..SchedulePolicy::default() };
    let next = schedule::next_attempt_at(&policy, &failed, now());
    let next = schedule::span(now(), next).as_secs();
    let class = error.reason.class();
    Expected::Refused { reason: error.reason, class, code: error.code, next: (next, next) }
}

/// Equal, and where a range is expected, within it.
fn fits(found: &Expected, expected: &Expected) -> bool {
    match (*found, *expected) {
        (
            Expected::Granted { ends, scopes, refresh_in },
            Expected::Granted { ends: e, scopes: s, refresh_in: r },
        ) => (ends, scopes, refresh_in) == (e, s, r),
        (
            Expected::Refused { reason, class, code, next: (next, _) },
            Expected::Refused { reason: r, class: c, code: w, next: (from, to) },
        ) => (reason, class, code) == (r, c, w) && (from..=to).contains(&next),
        (Expected::Granted { .. }, Expected::Refused { .. })
        | (Expected::Refused { .. }, Expected::Granted { .. }) => false,
    }
}

#[test]
fn every_answer_leads_where_it_must() {
    let tables = [
        identity::CASES,
        commerce::CASES,
        services::CASES,
        rules::CASES,
        lifetimes::CASES,
        statuses::CASES,
        refusals::CASES,
        waits::CASES,
    ];
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for case in tables.into_iter().flatten() {
        assert!(names.insert(case.name), "two answers are called {}", case.name);
        let found = case.found();
        if !fits(&found, &case.expected) {
            wrong.push(format!(
                "{}:\n  found    {found:?}\n  expected {:?}",
                case.name, case.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{} answers\n{}", wrong.len(), wrong.join("\n"));
    assert!(names.len() >= 250, "{}", names.len());
}
