//! When: every number of renewal, back-off and rate in one place. In: instants, lifetimes, failures.
//! Out: the instant of the next step.
//!
//! **Invariant:** only arithmetic on `Duration` and `Timestamp`; every jitter is a function of a UID
//! and an instant or attempt number, so a restart moves nothing.

use std::time::Duration;

use aws_lc_rs::digest;
use jiff::{SignedDuration, Timestamp};

use crate::domain::crd::{DEFAULT_RENEW_BEFORE_PERCENTAGE, Rotation};
use crate::domain::reason::{Class, Reason};

/// The numbers of the schedule that an operator of the cluster may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulePolicy {
    /// How long before expiry a token is renewed at the latest, where its lifetime is over twice that.
    pub propagation_floor: Duration,
    /// One token request of one credential per this span, after a burst of three.
    pub minimum_request_gap: Duration,
    /// Share of the lifetime, 0 to 50, by which renewal may come earlier.
    pub jitter_percentage: u8,
}

impl Default for SchedulePolicy {
    fn default() -> Self {
        Self {
            propagation_floor: Duration::from_secs(120),
            minimum_request_gap: Duration::from_secs(10),
            jitter_percentage: 5,
        }
    }
}

/// Shorter lifetimes are warned about: a kubelet needs up to 90 s to show a new Secret to a pod.
pub const SHORT_LIFETIME: Duration = Duration::from_secs(180);
/// Nothing is told of a request that waits less than this.
pub const PENDING_AFTER: Duration = Duration::from_secs(2);
/// How long a Secret of a deleted namesake is given to be collected before a warning is emitted.
pub const NAMESAKE_GRACE: Duration = Duration::from_secs(30);
/// A difference of expiry up to this is none, where the server returns the same token again.
pub const SAME_EXPIRY: Duration = Duration::from_secs(2);

/// How long a deleted credential is held at most for its token to be revoked.
pub const REVOCATION_LIMIT: Duration = Duration::from_secs(30);
/// What is left for it at least where the deletion is seen late, as after a start.
pub const LATE_REVOCATION: Duration = Duration::from_secs(10);

/// No token is believed to live longer.
pub const LONGEST_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);

const BURST: u32 = 3;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);
const FRESH_SECRET: Duration = Duration::from_secs(600);
const QUICK_RETRIES: u32 = 4;
const REUSE_FLOOR: Duration = Duration::from_secs(15);

/// `at` plus `span`, held to the range of timestamps.
pub fn after(at: Timestamp, span: Duration) -> Timestamp {
    let signed = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.saturating_add(signed).unwrap_or(Timestamp::MAX)
}

/// `at` minus `span`, held to the range of timestamps.
pub fn before(at: Timestamp, span: Duration) -> Timestamp {
    let signed = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    at.saturating_sub(signed).unwrap_or(Timestamp::MIN)
}

/// From `earlier` to `later`; zero where they are the other way round.
pub fn span(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// The instant without its fraction of a second: annotations and status hold whole seconds.
pub fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// The first whole second that is not before `at`.
pub fn next_whole_second(at: Timestamp) -> Timestamp {
    let truncated = whole_second(at);
    if truncated == at { at } else { after(truncated, Duration::from_secs(1)) }
}

/// The lifetime as it is used: from 1 s to a year.
pub fn clamp_lifetime(lifetime: Duration) -> Duration {
    lifetime.clamp(Duration::from_secs(1), LONGEST_LIFETIME)
}

/// When a token is renewed: at the share or span before expiry that the spec names, but so early
/// that pods see the new one in time, and up to `jitter_percentage` of the lifetime earlier still; but
/// not in the first half of the time until then, or a large share would renew each token at once.
pub fn renewal_at(
    policy: &SchedulePolicy,
    rotation: Option<&Rotation>,
    uid: &str,
    issued_at: Timestamp,
    expires_at: Timestamp,
) -> Timestamp {
    let lifetime = span(issued_at, expires_at);
    let floor = if lifetime > policy.propagation_floor * 2 {
        policy.propagation_floor
    } else {
        lifetime / 2
    };
    let lead = asked_lead(rotation, lifetime).max(floor);
    let spread = lifetime.mul_f64(f64::from(policy.jitter_percentage) / 100.0);
    let spread = spread.min(lifetime.saturating_sub(lead) / 2);
    let jitter = spread.mul_f64(fraction(uid, issued_at.as_second()));
    before(expires_at, lead.saturating_add(jitter)).max(issued_at)
}

fn asked_lead(rotation: Option<&Rotation>, lifetime: Duration) -> Duration {
    let asked = rotation.and_then(|r| r.renew_before).map(Duration::from);
    if let Some(asked) = asked.filter(|asked| *asked < lifetime) {
        return asked;
    }
    let percentage = rotation
        .and_then(|r| r.renew_before_percentage)
        .unwrap_or(DEFAULT_RENEW_BEFORE_PERCENTAGE)
        .clamp(1, 99);
    lifetime.mul_f64(f64::from(percentage) / 100.0)
}

/// When to ask again after the server returned the same token: half of what remains, 15 s at least,
/// and once more 1 s after it expired; never faster than the minimum gap.
pub fn reuse_retry_at(policy: &SchedulePolicy, now: Timestamp, expires_at: Timestamp) -> Timestamp {
    let remaining = span(now, expires_at);
    let wait = (remaining / 2).max(REUSE_FLOOR).max(policy.minimum_request_gap);
    let last = after(expires_at, Duration::from_secs(1));
    after(now, wait).min(last).max(after(now, policy.minimum_request_gap))
}

/// A token bucket of three requests, refilled by one per minimum gap; kept as the instant at which
/// it is full again (the form of the generic cell rate algorithm).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    full_at: Timestamp,
}

impl Bucket {
    /// A bucket that nothing was taken from.
    pub const FULL: Self = Self { full_at: Timestamp::MIN };

    /// The bucket of a restarted process: full but for one request, taken at `latest`.
    pub fn resumed(policy: &SchedulePolicy, latest: Option<Timestamp>) -> Self {
        latest.map_or(Self::FULL, |at| Self::FULL.take(policy, at))
    }

    /// The first instant at which a request is allowed.
    pub fn opens_at(&self, policy: &SchedulePolicy) -> Timestamp {
        before(self.full_at, policy.minimum_request_gap * (BURST - 1))
    }

    /// The bucket after a request at `now`.
    #[must_use]
    pub fn take(&self, policy: &SchedulePolicy, now: Timestamp) -> Self {
        Self { full_at: after(self.full_at.max(now), policy.minimum_request_gap) }
    }
}

/// One failed attempt, as far as the next one depends on it.
#[derive(Clone, Debug)]
pub struct FailedAttempt<'a> {
    /// Why it failed; the class follows from it.
    pub reason: Reason,
    /// How many failures of this class there were in a row, this one included.
    pub consecutive: u32,
    /// What the answer asked for, if it did.
    pub asked_wait: Option<Duration>,
    /// When the client Secret's data was written last, or the credential created.
    pub inputs_changed_at: Option<Timestamp>,
    /// Expiry of the token that is held, if one is and it lives.
    pub expires_at: Option<Timestamp>,
    /// UID of the credential, for jitter.
    pub uid: &'a str,
}

/// When to ask again after a failure, rounded up to a whole second.
pub fn next_attempt_at(
    policy: &SchedulePolicy,
    failed: &FailedAttempt<'_>,
    now: Timestamp,
) -> Timestamp {
    next_whole_second(after(now, wait_after(policy, failed, now)))
}

fn wait_after(policy: &SchedulePolicy, failed: &FailedAttempt<'_>, now: Timestamp) -> Duration {
    let n = failed.consecutive.max(1);
    let spread = fraction(failed.uid, i64::from(n));
    match failed.reason.class() {
        Class::Credentials if quick_retry_due(failed, now) => {
            doubled(Duration::from_secs(10), n, HOUR)
        }
        Class::Credentials => HOUR.mul_f64(0.8 + 0.4 * spread),
        Class::Permission | Class::Configuration | Class::Local => doubled(MINUTE, n, HOUR),
        Class::Contract if n == 1 => policy.minimum_request_gap,
        Class::Contract => doubled(MINUTE, n - 1, HOUR),
        Class::Throttled => {
            // Only a day's bucket of a quota asks for more than an hour; `oauth` holds the rest to it.
            let wait = failed.asked_wait.unwrap_or_else(|| doubled(MINUTE, n, HOUR));
            wait.clamp(Duration::from_secs(1), DAY).mul_f64(1.0 + 0.1 * spread)
        }
        Class::Transient => transient_wait(policy, failed, now).mul_f64(0.5 + 0.5 * spread),
        Class::Trust => doubled(MINUTE, n, Duration::from_secs(15 * 60)),
    }
}

/// A refused client is tried again soon while its secret may still be propagating at the provider.
pub fn quick_retry_due(failed: &FailedAttempt<'_>, now: Timestamp) -> bool {
    let fresh = failed.inputs_changed_at.is_some_and(|at| span(at, now) < FRESH_SECRET);
    fresh && failed.consecutive <= QUICK_RETRIES
}

fn transient_wait(policy: &SchedulePolicy, failed: &FailedAttempt<'_>, now: Timestamp) -> Duration {
    let cap = match failed.expires_at.filter(|at| *at > now) {
        Some(at) => MINUTE.min((span(now, at) / 4).max(policy.minimum_request_gap)),
        None => Duration::from_secs(300),
    };
    doubled(Duration::from_secs(5), failed.consecutive, cap)
}

/// When the world outside the cluster is looked at again after its `failures`-th refusal in a row: 1 min
/// doubled to 1 h, as a wrong configuration.
pub fn outside_retry_at(now: Timestamp, failures: u32) -> Timestamp {
    after(now, doubled(MINUTE, failures.max(1), HOUR))
}

/// When the API server is tried again after its `failures`-th refusal in a row: 1 s doubled to 60 s.
pub fn api_retry_at(now: Timestamp, failures: u32) -> Timestamp {
    after(now, api_retry_in(failures))
}

/// The wait before the API server is tried again: 1 s doubled to 60 s.
pub fn api_retry_in(failures: u32) -> Duration {
    doubled(Duration::from_secs(1), failures.max(1), MINUTE)
}

/// When a deleted credential is let go whatever became of its token. The clock of the API server, which
/// tells when it was deleted, may be another than ours, by which it is seen.
pub fn revocation_ends_at(deleted_at: Timestamp, seen_at: Timestamp) -> Timestamp {
    let asked = after(deleted_at, REVOCATION_LIMIT);
    asked.clamp(after(seen_at, LATE_REVOCATION), after(seen_at, REVOCATION_LIMIT))
}

/// How long to wait after the `failures`-th failed revocation of a token in a row: 2 s doubled to 8 s, half
/// of it at least, or what the endpoint asks for where that is longer.
pub fn revocation_retry_in(uid: &str, failures: u32, asked: Option<Duration>) -> Duration {
    let own = doubled(Duration::from_secs(2), failures.max(1), Duration::from_secs(8));
    let spread = fraction(uid, i64::from(failures));
    own.mul_f64(0.5 + 0.5 * spread).max(asked.unwrap_or_default())
}

/// Whether waiting will not help any more (behaviour: `Stalled`); asked only without a valid token.
pub fn is_terminal(failed: &FailedAttempt<'_>, now: Timestamp) -> bool {
    match failed.reason.class() {
        Class::Permission | Class::Configuration => true,
        Class::Contract => failed.consecutive >= 2,
        Class::Credentials => failed.consecutive >= 3 || !quick_retry_due(failed, now),
        Class::Throttled | Class::Transient | Class::Trust | Class::Local => false,
    }
}

fn doubled(first: Duration, n: u32, cap: Duration) -> Duration {
    let doublings = n.saturating_sub(1).min(20);
    first.saturating_mul(1 << doublings).min(cap)
}

/// A number from 0 to 1 that depends on nothing but its arguments.
fn fraction(uid: &str, salt: i64) -> f64 {
    let hash = digest::digest(&digest::SHA256, format!("{uid}/{salt}").as_bytes());
    let head =
        hash.as_ref().iter().take(4).fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
    f64::from(head) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn still() -> SchedulePolicy {
        SchedulePolicy { jitter_percentage: 0, ..SchedulePolicy::default() }
    }

    fn rotation(before: Option<u64>, percentage: Option<i32>) -> Rotation {
        Rotation {
            renew_before: before.map(|s| Duration::from_secs(s).into()),
            renew_before_percentage: percentage,
            default_lifetime: None,
        }
    }

    #[test]
    fn renewal_leaves_the_asked_share_and_at_least_the_floor() {
        for (lifetime, before, percentage, renewed_after) in [
            (3600, None, None, 2412),      // 33 % of an hour left
            (30, None, None, 15),          // short: half
            (240, None, None, 120),        // twice the floor: half
            (241, None, None, 121),        // just over: the floor
            (300, None, None, 180),        // the floor is longer than 33 %
            (3600, Some(300), None, 3300), // as asked
            (3600, Some(60), None, 3480),  // asked later than the floor allows
            (600, Some(600), None, 402),   // not shorter than the lifetime: ignored
            (3600, None, Some(50), 1800),
            (3600, None, Some(1), 3480),
            (1, None, None, 0),
        ] {
            let asked = rotation(before, percentage);
            let renewal = renewal_at(&still(), Some(&asked), "u", at(0), at(lifetime));
            assert_eq!(renewal.as_second(), renewed_after, "{lifetime} {before:?} {percentage:?}");
        }
    }

    #[test]
    fn jitter_is_earlier_bounded_spread_and_the_same_after_a_restart() {
        let policy = SchedulePolicy::default();
        let renewals: Vec<f64> = (0..200)
            .map(|n| {
                let uid = format!("uid-{n}");
                let first = renewal_at(&policy, None, &uid, at(1000), at(1030));
                assert_eq!(first, renewal_at(&policy, None, &uid, at(1000), at(1030)));
                span(at(1000), first).as_secs_f64()
            })
            .collect();
        assert!(renewals.iter().all(|after| (13.5..=15.0).contains(after)));
        assert!(renewals.iter().any(|after| *after < 13.8));
        assert!(renewals.iter().any(|after| *after > 14.7));
    }

    #[test]
    fn jitter_renews_no_token_at_once_however_large_a_share_is_asked_for() {
        let policy = SchedulePolicy::default();
        for n in 0..200 {
            let asked = rotation(None, Some(99));
            let uid = format!("uid-{n}");
            let renewal = renewal_at(&policy, Some(&asked), &uid, at(1000), at(4600));
            let after = span(at(1000), renewal).as_secs_f64();
            assert!((18.0..=36.0).contains(&after), "{after}");
        }
    }

    #[test]
    fn bucket_allows_three_requests_and_then_one_per_gap() {
        let policy = still();
        let mut bucket = Bucket::FULL;
        for _ in 0..3 {
            assert!(bucket.opens_at(&policy) <= at(100));
            bucket = bucket.take(&policy, at(100));
        }
        assert_eq!(bucket.opens_at(&policy), at(110));
        bucket = bucket.take(&policy, at(110));
        assert_eq!(bucket.opens_at(&policy), at(120));
        assert!(bucket.opens_at(&policy) <= at(140));
    }

    #[test]
    fn a_restarted_bucket_lacks_one_request() {
        let policy = still();
        let bucket = Bucket::resumed(&policy, Some(at(100))).take(&policy, at(100));
        assert!(bucket.opens_at(&policy) <= at(100));
        assert_eq!(bucket.take(&policy, at(100)).opens_at(&policy), at(110));
        assert_eq!(Bucket::resumed(&policy, None), Bucket::FULL);
    }

    fn failed(reason: Reason, consecutive: u32) -> FailedAttempt<'static> {
        FailedAttempt {
            reason,
            consecutive,
            asked_wait: None,
            inputs_changed_at: None,
            expires_at: None,
            uid: "u",
        }
    }

    #[test]
    fn each_class_waits_as_long_as_it_should() {
        let now = at(10_000);
        for (reason, waits) in [
            (Reason::UnauthorizedClient, vec![60..=60, 120..=120, 240..=240]),
            (Reason::InvalidScope, vec![60..=60, 120..=120, 240..=240]),
            (Reason::MalformedResponse, vec![10..=10, 60..=60, 120..=120]),
            (Reason::RateLimited, vec![60..=66, 120..=132]),
            (Reason::ServerError, vec![3..=5, 5..=10, 10..=20]),
            (Reason::TLSFailed, vec![60..=60, 120..=120, 240..=240, 480..=480, 900..=900]),
            (Reason::InvalidClient, vec![2880..=4320, 2880..=4320]),
        ] {
            for (n, expected) in waits.into_iter().enumerate() {
                let n = u32::try_from(n).unwrap() + 1;
                let next = next_attempt_at(&still(), &failed(reason, n), now);
                let wait = span(now, next).as_secs();
                assert!(expected.contains(&wait), "{reason:?} {n}: {wait}");
            }
        }
        let last = next_attempt_at(&still(), &failed(Reason::InvalidScope, 40), now);
        assert_eq!(span(now, last), HOUR);
    }

    #[test]
    fn a_refused_client_is_tried_soon_while_its_secret_is_fresh() {
        let now = at(10_000);
        let mut attempt = failed(Reason::InvalidClient, 1);
        attempt.inputs_changed_at = Some(at(9_990));
        let waits: Vec<u64> = (1..=4)
            .map(|n| {
                attempt.consecutive = n;
                span(now, next_attempt_at(&still(), &attempt, now)).as_secs()
            })
            .collect();
        assert_eq!(waits, [10, 20, 40, 80]);
        assert!(!is_terminal(&FailedAttempt { consecutive: 2, ..attempt.clone() }, now));
        assert!(is_terminal(&FailedAttempt { consecutive: 3, ..attempt.clone() }, now));
        attempt.consecutive = 5;
        assert!(span(now, next_attempt_at(&still(), &attempt, now)) >= Duration::from_secs(2880));
        attempt.consecutive = 1;
        attempt.inputs_changed_at = Some(at(9_400));
        assert!(is_terminal(&attempt, now));
    }

    #[test]
    fn the_wait_that_an_answer_asks_for_is_held_to_a_day() {
        let now = at(10_000);
        for (asked, expected) in
            [(0, 1..=2), (30, 30..=33), (86_400, 86_400..=95_040), (999_999, 86_400..=95_040)]
        {
            let mut attempt = failed(Reason::RateLimited, 1);
            attempt.asked_wait = Some(Duration::from_secs(asked));
            let wait = span(now, next_attempt_at(&still(), &attempt, now)).as_secs();
            assert!(expected.contains(&wait), "{asked}: {wait}");
        }
    }

    #[test]
    fn a_transient_failure_waits_at_most_a_quarter_of_what_remains() {
        let now = at(10_000);
        let mut attempt = failed(Reason::ServerError, 10);
        for (expires_in, cap) in [(Some(100), 25), (Some(20), 10), (Some(4000), 60), (None, 300)] {
            attempt.expires_at = expires_in.map(|s| at(10_000 + s));
            let wait = span(now, next_attempt_at(&still(), &attempt, now)).as_secs_f64();
            let cap = f64::from(cap);
            assert!(wait >= cap / 2.0 && wait <= cap, "{expires_in:?}: {wait}");
        }
    }

    #[test]
    fn the_same_token_again_is_asked_for_at_half_of_what_remains() {
        let now = at(1000);
        for (expires, expected) in [(1400, 1200), (1020, 1015), (1004, 1010), (900, 1010)] {
            assert_eq!(reuse_retry_at(&still(), now, at(expires)), at(expected), "{expires}");
        }
    }

    #[test]
    fn the_api_server_is_tried_after_one_second_doubled_to_a_minute() {
        let waits: Vec<u64> = (1..=8).map(|n| api_retry_in(n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn seconds_are_truncated_and_rounded_up() {
        let half = Timestamp::from_millisecond(1500).unwrap();
        assert_eq!(whole_second(half), at(1));
        assert_eq!(next_whole_second(half), at(2));
        assert_eq!(next_whole_second(at(2)), at(2));
    }
}
