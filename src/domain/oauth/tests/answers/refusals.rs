//! What each code of the closed list means where the status leaves it to the code, and what is not
//! believed.
//!
//! **Invariant:** only a word of the list at its place decides; no description ever does.

use super::*;

type Row = (Reason, Class, Next);

const BAD_REQUEST: Row = (Reason::InvalidRequest, Class::Configuration, MINUTE);
const BUSY: Row = (Reason::RateLimited, Class::Throttled, PATIENCE);
const BROKEN: Row = (Reason::ServerError, Class::Transient, SOON);

pub(super) const CASES: &[Case] = &[
    refused("invalid_request", 400, r#"{"error":"invalid_request"}"#, BAD_REQUEST)
        .code("invalid_request"),
    refused(
        "invalid_client",
        400,
        r#"{"error":"invalid_client"}"#,
        (Reason::InvalidClient, Class::Credentials, HOURLY),
    )
    .code("invalid_client"),
    refused(
        "invalid_grant",
        400,
        r#"{"error":"invalid_grant"}"#,
        (Reason::InvalidGrant, Class::Permission, MINUTE),
    )
    .code("invalid_grant"),
    refused(
        "unauthorized_client",
        400,
        r#"{"error":"unauthorized_client"}"#,
        (Reason::UnauthorizedClient, Class::Permission, MINUTE),
    )
    .code("unauthorized_client"),
    refused(
        "access_denied",
        400,
        r#"{"error":"access_denied"}"#,
        (Reason::AccessDenied, Class::Permission, MINUTE),
    )
    .code("access_denied"),
    refused(
        "unsupported_grant_type",
        400,
        r#"{"error":"unsupported_grant_type"}"#,
        (Reason::UnsupportedGrantType, Class::Configuration, MINUTE),
    )
    .code("unsupported_grant_type"),
    refused(
        "invalid_scope",
        400,
        r#"{"error":"invalid_scope"}"#,
        (Reason::InvalidScope, Class::Configuration, MINUTE),
    )
    .code("invalid_scope"),
    refused(
        "invalid_target",
        400,
        r#"{"error":"invalid_target"}"#,
        (Reason::InvalidTarget, Class::Configuration, MINUTE),
    )
    .code("invalid_target"),
    refused("server_error", 400, r#"{"error":"server_error"}"#, BROKEN).code("server_error"),
    refused("temporarily_unavailable", 400, r#"{"error":"temporarily_unavailable"}"#, BUSY)
        .code("temporarily_unavailable"),
    refused("slow_down", 400, r#"{"error":"slow_down"}"#, BUSY).code("slow_down"),
    refused(
        "slow_down with a wait",
        400,
        r#"{"error":"slow_down"}"#,
        (Reason::RateLimited, Class::Throttled, asked(20)),
    )
    .headers(&[("retry-after", "20")])
    .code("slow_down"),
    refused("slow_down in a 200", 200, r#"{"error":"slow_down"}"#, BUSY).code("slow_down"),
    refused(
        "invalid_client in a 200",
        200,
        r#"{"error":"invalid_client"}"#,
        (Reason::InvalidClient, Class::Credentials, HOURLY),
    )
    .code("invalid_client"),
    refused("server_error in a 200", 200, r#"{"error":"server_error"}"#, BROKEN)
        .code("server_error"),
    refused(
        "an unknown code in a 200",
        200,
        r#"{"error":"oops"}"#,
        (Reason::MalformedResponse, Class::Contract, GAP),
    ),
    refused(
        "invalid_scope in a 422",
        422,
        r#"{"error":"invalid_scope"}"#,
        (Reason::InvalidScope, Class::Configuration, MINUTE),
    )
    .code("invalid_scope"),
    refused(
        "invalid_client in a 402",
        402,
        r#"{"error":"invalid_client"}"#,
        (Reason::InvalidClient, Class::Credentials, HOURLY),
    )
    .code("invalid_client"),
    refused(
        "a code in a form",
        400,
        "error=invalid_client&error_description=no",
        (Reason::InvalidClient, Class::Credentials, HOURLY),
    )
    .headers(&[("content-type", "application/x-www-form-urlencoded")])
    .code("invalid_client"),
    refused("a code of OpenID Connect", 400, r#"{"error":"interaction_required"}"#, BAD_REQUEST),
    refused("a code in capitals", 400, r#"{"error":"INVALID_CLIENT"}"#, BAD_REQUEST),
    refused("a code with a space", 400, r#"{"error":"invalid_client "}"#, BAD_REQUEST),
    refused("a code in an object", 400, r#"{"error":{"code":"invalid_client"}}"#, BAD_REQUEST),
    refused("a code in an array", 400, r#"{"error":["invalid_client"]}"#, BAD_REQUEST),
    refused("a code below the top", 400, r#"{"data":{"error":"invalid_client"}}"#, BAD_REQUEST),
    refused(
        "a code in the description",
        400,
        r#"{"error":"x","error_description":"invalid_client"}"#,
        BAD_REQUEST,
    ),
    refused(
        "a vendor's code in the description",
        400,
        r#"{"error":"invalid_request","error_description":"AADSTS7000215"}"#,
        BAD_REQUEST,
    )
    .code("invalid_request"),
    refused(
        "a code, then an empty one",
        400,
        r#"{"error":"invalid_scope","error":""}"#,
        (Reason::InvalidScope, Class::Configuration, MINUTE),
    )
    .code("invalid_scope"),
    refused("a code in half an object", 400, r#"{"error":"invalid_client""#, BAD_REQUEST),
    refused(
        "a code while the token's pointer goes through it",
        400,
        r#"{"error":"invalid_scope"}"#,
        (Reason::InvalidScope, Class::Configuration, MINUTE),
    )
    .at("/error/token", "/expires_in", ExpiresInUnit::Seconds)
    .code("invalid_scope"),
];
