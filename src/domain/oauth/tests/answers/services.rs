//! Answers of services and APIs, as their documentation, their source or their clients show them.
//!
//! **Invariant:** every body is shaped as the service sends it; only its token is `t0k3n`.

use super::*;

const BAD_CLIENT: (Reason, Class, Next) = (Reason::InvalidClient, Class::Credentials, HOURLY);
const FORBIDDEN: (Reason, Class, Next) = (Reason::AccessDenied, Class::Permission, MINUTE);
const BAD_GRANT: (Reason, Class, Next) = (Reason::InvalidGrant, Class::Permission, MINUTE);
const BAD_REQUEST: (Reason, Class, Next) = (Reason::InvalidRequest, Class::Configuration, MINUTE);
const NO_TOKEN: (Reason, Class, Next) = (Reason::MalformedResponse, Class::Contract, GAP);

pub(super) const CASES: &[Case] = &[
    granted(
        "Google service account",
        r#"{"access_token":"t0k3n","expires_in":3599,"token_type":"Bearer"}"#,
        Ends::In(3599),
    ),
    refused(
        "Google: clock of the assertion",
        400,
        r#"{"error":"invalid_grant","error_description":"Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."}"#,
        BAD_GRANT,
    )
    .code("invalid_grant"),
    granted(
        "Salesforce: no lifetime",
        r#"{"access_token":"t0k3n","signature":"s=","scope":"api","instance_url":"https://x.my.salesforce.com","id":"https://login.salesforce.com/id/0/0","token_type":"Bearer","issued_at":"1772366400000"}"#,
        Ends::Unknown,
    )
    .scopes(&["api"]),
    refused(
        "Salesforce: no user to run as",
        400,
        r#"{"error":"invalid_grant","error_description":"no client credentials user enabled"}"#,
        BAD_GRANT,
    )
    .code("invalid_grant"),
    refused(
        "Salesforce: unknown client",
        400,
        r#"{"error":"invalid_client_id","error_description":"client identifier invalid"}"#,
        BAD_REQUEST,
    ),
    granted(
        "Salesforce Marketing Cloud",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":1079,"scope":"email_read","soap_instance_url":"https://x.soap","rest_instance_url":"https://x.rest"}"#,
        Ends::In(1079),
    )
    .scopes(&["email_read"]),
    granted(
        "ServiceNow",
        r#"{"access_token":"t0k3n","scope":"useraccount","token_type":"Bearer","expires_in":1799}"#,
        Ends::In(1799),
    )
    .scopes(&["useraccount"]),
    refused(
        "ServiceNow: wrong secret, called a server error",
        401,
        r#"{"error_description":"access_denied","error":"server_error"}"#,
        BAD_CLIENT,
    )
    .code("server_error"),
    granted(
        "Zendesk: null stands for ever",
        r#"{"access_token":"t0k3n","token_type":"bearer","scope":"read write","expires_in":null}"#,
        Ends::Unknown,
    )
    .scopes(&["read", "write"]),
    granted(
        "Genesys Cloud",
        r#"{"access_token":"t0k3n","token_type":"bearer","expires_in":86399}"#,
        Ends::In(86_399),
    ),
    refused(
        "Genesys Cloud: wrong secret",
        400,
        r#"{"error":"invalid_client","description":"client not found: x","error_description":"client not found: x"}"#,
        BAD_CLIENT,
    )
    .code("invalid_client"),
    granted(
        "NICE CXone",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":3600,"refresh_token":"r","refresh_token_expires_in":7200,"id_token":"i","issued_token_type":"urn:ietf:params:oauth:token-type:access_token"}"#,
        Ends::In(3600),
    ),
    granted(
        "Talkdesk",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":600,"scope":"recordings:read"}"#,
        Ends::In(600),
    )
    .scopes(&["recordings:read"]),
    granted(
        "Zoom",
        r#"{"access_token":"t0k3n","token_type":"bearer","expires_in":3599,"scope":"user:read:admin","api_url":"https://api.zoom.us"}"#,
        Ends::In(3599),
    )
    .scopes(&["user:read:admin"]),
    refused(
        "Zoom: client credentials instead of account credentials",
        400,
        r#"{"reason":"unsupported grant type","error":"unsupported_grant_type"}"#,
        (Reason::UnsupportedGrantType, Class::Configuration, MINUTE),
    )
    .code("unsupported_grant_type"),
    refused(
        "Zoom: wrong secret",
        400,
        r#"{"reason":"Invalid client_id or client_secret","error":"invalid_client"}"#,
        BAD_CLIENT,
    )
    .code("invalid_client"),
    granted(
        "HubSpot: scopes as a list",
        r#"{"access_token":"t0k3n","expires_in":1800,"scopes":["developer.webhooks_journal.read"],"token_type":"bearer"}"#,
        Ends::In(1800),
    )
    .scopes(&["developer.webhooks_journal.read"]),
    refused(
        "HubSpot as one page shows it: camelCase",
        200,
        r#"{"accessToken":"t0k3n","expiresIn":1800}"#,
        NO_TOKEN,
    ),
    granted("camelCase, by pointer", r#"{"accessToken":"t0k3n","expiresIn":1800}"#, Ends::In(1800))
        .at("/accessToken", "/expiresIn", ExpiresInUnit::Seconds),
    refused(
        "HubSpot: error",
        400,
        r#"{"status":"BAD_CLIENT_ID","message":"missing or unknown client id","correlationId":"c"}"#,
        BAD_REQUEST,
    ),
    granted(
        "Atlassian service account",
        r#"{"access_token":"t0k3n","expires_in":3600,"token_type":"Bearer","scope":"read:jira-work"}"#,
        Ends::In(3600),
    )
    .scopes(&["read:jira-work"]),
    granted(
        "GitLab",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":7200,"created_at":1772366400}"#,
        Ends::In(7200),
    ),
    granted(
        "GitHub App",
        r#"{"token":"t0k3n","expires_at":"2026-03-01T13:00:00Z","permissions":{"issues":"write"},"repository_selection":"all"}"#,
        Ends::In(3600),
    )
    .status(201)
    .at("/token", "/expires_at", ExpiresInUnit::Timestamp),
    refused(
        "GitHub App: wrong key",
        401,
        r#"{"message":"A JSON web token could not be decoded","documentation_url":"https://docs.github.com/rest","status":"401"}"#,
        BAD_CLIENT,
    ),
    granted(
        "Databricks",
        r#"{"access_token":"t0k3n","scope":"all-apis","token_type":"Bearer","expires_in":3600}"#,
        Ends::In(3600),
    )
    .scopes(&["all-apis"]),
    refused(
        "Confluent: reset in relative seconds",
        429,
        r#"{"errors":[{"status":"429"}]}"#,
        (Reason::RateLimited, Class::Throttled, asked(17)),
    )
    .headers(&[("x-ratelimit-limit", "60"), ("x-ratelimit-reset", "17")]),
    granted(
        "MongoDB Atlas",
        r#"{"access_token":"t0k3n","expires_in":3600,"token_type":"Bearer"}"#,
        Ends::In(3600),
    ),
    refused(
        "MongoDB Atlas: error is a number",
        403,
        r#"{"detail":"IP address not on access list","error":403,"errorCode":"IP_ADDRESS_NOT_ON_ACCESS_LIST"}"#,
        FORBIDDEN,
    ),
    granted(
        "CrowdStrike: 201",
        r#"{"access_token":"t0k3n","expires_in":1799,"token_type":"bearer"}"#,
        Ends::In(1799),
    )
    .status(201),
    refused(
        "CrowdStrike: wrong secret",
        403,
        r#"{"meta":{"query_time":1e-7,"powered_by":"crowdstrike-api-gateway"},"errors":[{"code":403,"message":"access denied, invalid client"}]}"#,
        FORBIDDEN,
    ),
    refused(
        "CrowdStrike: rate limit as an epoch",
        429,
        r#"{"errors":[{"code":429,"message":"API rate limit exceeded."}]}"#,
        (Reason::RateLimited, Class::Throttled, asked(9)),
    )
    .headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-retryafter", "1772366409")]),
    granted(
        "SailPoint",
        r#"{"access_token":"t0k3n","token_type":"bearer","expires_in":749,"scope":"sp:scopes:all","tenant_id":"t","internal":true,"pod":"p","jti":"j"}"#,
        Ends::In(749),
    )
    .scopes(&["sp:scopes:all"]),
    granted(
        "Greenhouse: an instant",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_at":"2026-03-01T14:00:00.000Z"}"#,
        Ends::In(7200),
    ),
    granted(
        "Looker",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":3600,"refresh_token":null}"#,
        Ends::In(3600),
    ),
    granted(
        "Personio: below the top",
        r#"{"success":true,"data":{"token":"t0k3n","expires_in":86400,"scope":"employees:read"}}"#,
        Ends::In(86_400),
    )
    .at("/data/token", "/data/expires_in", ExpiresInUnit::Seconds)
    .scopes(&["employees:read"]),
    refused(
        "Personio: 200 without the token",
        200,
        r#"{"success":false,"error":{"code":0,"message":"Wrong credentials"}}"#,
        NO_TOKEN,
    )
    .at("/data/token", "/data/expires_in", ExpiresInUnit::Seconds),
    refused(
        "Camunda: address blocked by a firewall",
        403,
        "<html><body>Access denied</body></html>",
        FORBIDDEN,
    )
    .headers(&[("content-type", "text/html")]),
];
