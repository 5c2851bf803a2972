//! What a refusal may look like, and how long it asks to wait.
//!
//! **Invariant:** every case is compared whole; no case depends on another.

use super::*;

#[test]
fn a_refusal_is_classified_by_its_status_or_its_code() {
    fn check(status: u16, body: &str, reason: Reason, class: Class, code: Option<&str>) {
        let error = refused(status, &[("content-type", JSON)], body);
        assert_eq!(
            (error.reason, error.reason.class(), error.code),
            (reason, class, code),
            "{status} {body}"
        );
        assert_eq!((error.status, error.wait), (Some(status), None));
    }
    // By code: a 400, and a 4xx in no row.
    for status in [400, 402, 409, 410, 418, 422, 451, 499] {
        for (code, reason, class) in [
            ("invalid_client", Reason::InvalidClient, Class::Credentials),
            ("unauthorized_client", Reason::UnauthorizedClient, Class::Permission),
            ("invalid_grant", Reason::InvalidGrant, Class::Permission),
            ("access_denied", Reason::AccessDenied, Class::Permission),
            ("invalid_scope", Reason::InvalidScope, Class::Configuration),
            ("invalid_target", Reason::InvalidTarget, Class::Configuration),
            ("invalid_request", Reason::InvalidRequest, Class::Configuration),
            ("unsupported_grant_type", Reason::UnsupportedGrantType, Class::Configuration),
            ("server_error", Reason::ServerError, Class::Transient),
            ("slow_down", Reason::RateLimited, Class::Throttled),
            ("temporarily_unavailable", Reason::RateLimited, Class::Throttled),
        ] {
            let body = format!(
                r#"{{"error":"{code}","error_description":"AADSTS7000215 invalid_scope"}}"#
            );
            check(status, &body, reason, class, Some(code));
        }
        for body in [
            "",
            "{}",
            "not json",
            r#"{"error":"consent_required"}"#,
            r#"{"error":"INVALID_CLIENT"}"#,
            r#"{"error":{"code":"invalid_client"}}"#,
            r#"{"error":["invalid_client"]}"#,
            "<html>",
            r#"{"error":"invalid_client","#,
            r#"{"error_description":"invalid_client"}"#,
        ] {
            check(status, body, Reason::InvalidRequest, Class::Configuration, None);
        }
    }
    // By status alone; the code is told, and decides nothing.
    for (status, reason, class) in [
        (300, Reason::EndpointRedirects, Class::Configuration),
        (302, Reason::EndpointRedirects, Class::Configuration),
        (304, Reason::EndpointRedirects, Class::Configuration),
        (307, Reason::EndpointRedirects, Class::Configuration),
        (308, Reason::EndpointRedirects, Class::Configuration),
        (401, Reason::InvalidClient, Class::Credentials),
        (403, Reason::AccessDenied, Class::Permission),
        (404, Reason::EndpointNotFound, Class::Configuration),
        (405, Reason::EndpointNotFound, Class::Configuration),
        (406, Reason::InvalidRequest, Class::Configuration),
        (413, Reason::InvalidRequest, Class::Configuration),
        (415, Reason::InvalidRequest, Class::Configuration),
        (408, Reason::ServerError, Class::Transient),
        (421, Reason::ServerError, Class::Transient),
        (425, Reason::ServerError, Class::Transient),
        (429, Reason::RateLimited, Class::Throttled),
        (500, Reason::ServerError, Class::Transient),
        (502, Reason::ServerError, Class::Transient),
        (503, Reason::ServerError, Class::Transient),
        (504, Reason::ServerError, Class::Transient),
        (599, Reason::ServerError, Class::Transient),
        (600, Reason::MalformedResponse, Class::Contract),
        (101, Reason::MalformedResponse, Class::Contract),
    ] {
        check(
            status,
            r#"{"error":"unauthorized_client"}"#,
            reason,
            class,
            Some("unauthorized_client"),
        );
        check(status, r#"{"error":"invalid_scope"}"#, reason, class, Some("invalid_scope"));
        check(status, r#"{"access_token":"t"}"#, reason, class, None);
        check(status, "", reason, class, None);
        check(status, "<html>", reason, class, None);
        assert!(!needs_body(status));
    }
    assert!([200, 204, 400, 409, 422].into_iter().all(needs_body));
    // A form, as old servers answer, and a description in Latin-1.
    let error = refused(400, &[("content-type", FORM)], "error=invalid_client&error_description=x");
    assert_eq!(error.reason, Reason::InvalidClient);
    let latin = b"{\"error\":\"invalid_scope\",\"error_description\":\"caf\xe9\"}";
    assert_eq!(
        read_answer(&answer(400, &[], latin), now()).unwrap_err().reason,
        Reason::InvalidScope
    );
}

#[test]
fn the_first_readable_header_says_how_long_to_wait() {
    fn check(headers: &[(&str, &str)], seconds: Option<u64>) {
        let wait = seconds.map(Duration::from_secs);
        let error = refused(429, headers, "");
        assert_eq!((error.reason, error.wait), (Reason::RateLimited, wait), "{headers:?}");
        let error = refused(400, headers, r#"{"error":"slow_down"}"#);
        assert_eq!((error.reason, error.wait), (Reason::RateLimited, wait), "{headers:?}");
        let error = refused(500, headers, "");
        assert_eq!((error.reason, error.wait), (Reason::ServerError, None), "{headers:?}");
    }
    for (value, seconds) in [
        ("30", Some(30)),
        (" 30 ", Some(30)),
        ("0", Some(1)),
        ("-5", Some(1)),
        ("1.5", Some(2)),
        ("3600", Some(3600)),
        ("3601", Some(3600)),
        ("99999999999999999999", Some(3600)),
        ("Sun, 01 Mar 2026 12:02:00 GMT", Some(120)),
        ("Sunday, 01-Mar-26 12:02:00 GMT", Some(120)),
        ("Sun Mar  1 12:02:00 2026", Some(120)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", Some(1)),
        ("Thu, 01 Jan 2099 00:00:00 GMT", Some(3600)),
        ("soon", None),
        ("", None),
        ("10s", None),
        ("1e3", None),
        ("Sun, 99 Mar 2026", None),
    ] {
        check(&[("Retry-After", value)], seconds);
    }
    for (value, seconds) in [
        ("b=per_hour;q=10;r=0;t=120", Some(120)),
        ("b=per_hour;q=10;r=3;t=120", None),
        ("b=per_hour;q=10;r=3;t=9,b=per_day;q=100;r=0;t=40000", Some(40000)),
        ("b=per_hour;q=10;r=0;t=40000", Some(3600)),
        ("b=per_day;q=1;r=0;t=999999", Some(86400)),
        ("b=per_hour;q=10;r=0;t=60 , b=per_day;q=100;r=0;t=30", Some(60)),
        ("b=per_hour;r=0;t=0", Some(1)),
        ("b=per_hour;r=0", None),
        ("r=0;t=x", None),
        ("garbage", None),
        (";;,=,r=", None),
    ] {
        check(&[("Auth0-Client-Quota-Limit", value)], seconds);
    }
    for name in
        ["RateLimit-Reset", "X-RateLimit-RetryAfter", "X-Rate-Limit-Reset", "X-RateLimit-Reset"]
    {
        for (value, seconds) in [
            ("45", Some(45)),
            ("0", Some(1)),
            ("1000000000", Some(3600)),
            ("1772366460", Some(60)),
            ("1772366000", Some(1)),
            ("9999999999", Some(3600)),
            ("soon", None),
            ("", None),
        ] {
            check(&[(name, value)], seconds);
        }
    }
    let all = [
        ("x-ratelimit-reset", "6"),
        ("x-rate-limit-reset", "5"),
        ("x-ratelimit-retryafter", "4"),
        ("ratelimit-reset", "3"),
        ("auth0-client-quota-limit", "b=per_hour;r=0;t=2"),
        ("retry-after", "1"),
    ];
    for (last, seconds) in [(6, 1), (5, 2), (4, 3), (3, 4), (2, 5), (1, 6)] {
        check(&all[..last], Some(seconds));
    }
    check(&[("retry-after", "later"), ("ratelimit-reset", "3")], Some(3));
    check(
        &[("auth0-client-quota-limit", "b=a;r=1;t=1"), ("auth0-client-quota-limit", "b=b;r=0;t=7")],
        Some(7),
    );
    check(&[], None);
    // 503 is throttling with Retry-After only.
    let error = refused(503, &[("retry-after", "7")], "<html>");
    assert_eq!((error.reason, error.wait), (Reason::RateLimited, Some(Duration::from_secs(7))));
    let error = refused(503, &[("retry-after", "later")], "");
    assert_eq!((error.reason, error.wait), (Reason::RateLimited, None));
    assert_eq!(refused(503, &[("ratelimit-reset", "7")], "").reason, Reason::ServerError);
}
