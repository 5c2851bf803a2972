//! Answers of identity platforms, as their documentation, their source or a running server gives them.
//!
//! **Invariant:** every body is shaped as the platform sends it; only its token is `t0k3n`.

use super::*;

const BAD_CLIENT: (Reason, Class, Next) = (Reason::InvalidClient, Class::Credentials, HOURLY);
const FORBIDDEN: (Reason, Class, Next) = (Reason::AccessDenied, Class::Permission, MINUTE);
const NO_GRANT: (Reason, Class, Next) = (Reason::UnauthorizedClient, Class::Permission, MINUTE);
const BAD_SCOPE: (Reason, Class, Next) = (Reason::InvalidScope, Class::Configuration, MINUTE);
const BAD_REQUEST: (Reason, Class, Next) = (Reason::InvalidRequest, Class::Configuration, MINUTE);

pub(super) const CASES: &[Case] = &[
    // Auth0
    granted(
        "Auth0",
        r#"{"access_token":"t0k3n","scope":"read:users update:users","expires_in":86400,"token_type":"Bearer"}"#,
        Ends::In(86_400),
    )
    .scopes(&["read:users", "update:users"]),
    granted(
        "Auth0 with a quota on a success",
        r#"{"access_token":"t0k3n","expires_in":86400,"token_type":"Bearer"}"#,
        Ends::In(86_400),
    )
    .headers(&[("auth0-client-quota-limit", "b=per_hour;q=10;r=0;t=3540")]),
    refused(
        "Auth0: wrong secret",
        401,
        r#"{"error":"access_denied","error_description":"Unauthorized"}"#,
        BAD_CLIENT,
    )
    .code("access_denied"),
    refused(
        "Auth0: no audience",
        403,
        r#"{"error":"access_denied","error_description":"No audience parameter was provided, and no default audience has been configured"}"#,
        FORBIDDEN,
    )
    .code("access_denied"),
    refused(
        "Auth0: grant not allowed",
        403,
        r#"{"error":"unauthorized_client","error_description":"Grant type 'client_credentials' not allowed for the client.","error_uri":"https://auth0.com/docs/clients/client-grant-types"}"#,
        FORBIDDEN,
    )
    .code("unauthorized_client"),
    refused(
        "Auth0: quota of the hour",
        429,
        r#"{"error":"too_many_requests","error_description":"Client quota exceeded"}"#,
        (Reason::RateLimited, Class::Throttled, asked(2160)),
    )
    .headers(&[("auth0-client-quota-limit", "b=per_hour;q=10;r=0;t=2160,b=per_day;q=100;r=5;t=40000")]),
    refused(
        "Auth0: quota of the day",
        429,
        r#"{"error":"too_many_requests"}"#,
        (Reason::RateLimited, Class::Throttled, asked(40_000)),
    )
    .headers(&[("auth0-client-quota-limit", "b=per_hour;q=10;r=2;t=2160,b=per_day;q=100;r=0;t=40000")]),
    refused(
        "Auth0: rate limit of the tenant",
        429,
        r#"{"statusCode":429,"error":"Too Many Requests","message":"Global limit has been reached","errorCode":"too_many_requests"}"#,
        (Reason::RateLimited, Class::Throttled, asked(5)),
    )
    .headers(&[("x-ratelimit-limit", "100"), ("x-ratelimit-reset", "1772366405")]),
    // Okta
    granted(
        "Okta org AS",
        r#"{"token_type":"Bearer","expires_in":3600,"access_token":"t0k3n","scope":"okta.users.read okta.groups.read"}"#,
        Ends::In(3600),
    )
    .scopes(&["okta.users.read", "okta.groups.read"]),
    granted(
        "Okta custom AS",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":300,"scope":"customScope"}"#,
        Ends::In(300),
    )
    .scopes(&["customScope"]),
    refused(
        "Okta: error body of its management API, 401",
        401,
        r#"{"errorCode":"invalid_client","errorSummary":"Invalid value for 'client_id' parameter.","errorLink":"invalid_client","errorId":"oaeX","errorCauses":[]}"#,
        BAD_CLIENT,
    ),
    refused(
        "Okta: error body of its management API, 400",
        400,
        r#"{"errorCode":"E0000021","errorSummary":"Bad request. Accept and/or Content-Type headers are likely not set.","errorLink":"E0000021","errorId":"oaeY","errorCauses":[]}"#,
        BAD_REQUEST,
    ),
    refused(
        "Okta: custom scope at the org AS",
        400,
        r#"{"error":"invalid_scope","error_description":"One or more scopes are not configured for the authorization server resource."}"#,
        BAD_SCOPE,
    )
    .code("invalid_scope"),
    refused(
        "Okta: a DPoP proof is demanded",
        400,
        r#"{"error":"invalid_dpop_proof","error_description":"The DPoP proof JWT header is missing."}"#,
        BAD_REQUEST,
    ),
    refused(
        "Okta: a token bound by DPoP",
        200,
        r#"{"token_type":"DPoP","expires_in":3600,"access_token":"t0k3n","scope":"okta.users.read"}"#,
        (Reason::UnsupportedTokenType, Class::Contract, GAP),
    ),
    refused(
        "Okta: rate limit",
        429,
        r#"{"errorCode":"E0000047","errorSummary":"API call exceeded rate limit due to too many requests."}"#,
        (Reason::RateLimited, Class::Throttled, asked(30)),
    )
    .headers(&[("x-rate-limit-limit", "600"), ("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "1772366430")]),
    // Entra ID
    granted(
        "Entra v2",
        r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"t0k3n"}"#,
        Ends::In(3599),
    ),
    granted(
        "Entra v2 with refresh_in",
        r#"{"token_type":"Bearer","expires_in":86399,"ext_expires_in":86399,"refresh_in":43199,"access_token":"t0k3n"}"#,
        Ends::In(86_399),
    )
    .refresh_in(43_199),
    granted(
        "Entra v2: the extended lifetime is no lifetime",
        r#"{"token_type":"Bearer","expires_in":3599,"ext_expires_in":262799,"access_token":"t0k3n"}"#,
        Ends::In(3599),
    ),
    granted(
        "Entra v1: every number a string",
        r#"{"token_type":"Bearer","expires_in":"3599","ext_expires_in":"3599","expires_on":"1772369999","not_before":"1772366099","resource":"https://graph.windows.net","access_token":"t0k3n"}"#,
        Ends::In(3599),
    ),
    granted(
        "Entra v1: expires_on is earlier than expires_in says",
        r#"{"token_type":"Bearer","expires_in":"3599","expires_on":"1772369000","access_token":"t0k3n"}"#,
        Ends::In(2600),
    ),
    granted(
        "Entra v1: expires_on alone",
        r#"{"token_type":"Bearer","expires_on":"1772370000","access_token":"t0k3n"}"#,
        Ends::In(3600),
    ),
    granted(
        "Entra: expires_on as App Service once wrote it",
        r#"{"token_type":"Bearer","expires_on":"3/1/2026 1:00:00 PM +00:00","access_token":"t0k3n"}"#,
        Ends::Unknown,
    ),
    refused(
        "Entra: wrong secret",
        401,
        r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215],"timestamp":"2026-03-01 12:00:00Z","trace_id":"a","correlation_id":"b"}"#,
        BAD_CLIENT,
    )
    .code("invalid_client"),
    refused(
        "Entra: application of another tenant",
        400,
        r#"{"error":"unauthorized_client","error_description":"AADSTS700016: Application not found in the directory.","error_codes":[700016]}"#,
        NO_GRANT,
    )
    .code("unauthorized_client"),
    refused(
        "Entra: scope without /.default",
        400,
        r#"{"error":"invalid_scope","error_description":"AADSTS1002012: The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier.","error_codes":[1002012]}"#,
        BAD_SCOPE,
    )
    .code("invalid_scope"),
    refused(
        "Entra: no scope",
        400,
        r#"{"error":"invalid_request","error_description":"AADSTS90014: The required field 'scope' is missing.","error_codes":[90014]}"#,
        BAD_REQUEST,
    )
    .code("invalid_request"),
    refused(
        "Entra: unknown resource",
        400,
        r#"{"error":"invalid_resource","error_description":"AADSTS500011: The resource principal was not found.","error_codes":[500011]}"#,
        BAD_REQUEST,
    ),
    refused(
        "Entra: unavailable",
        503,
        r#"{"error":"temporarily_unavailable","error_description":"AADSTS90033: A transient error has occurred."}"#,
        (Reason::ServerError, Class::Transient, SOON),
    )
    .code("temporarily_unavailable"),
    // Keycloak
    granted(
        "Keycloak",
        r#"{"access_token":"t0k3n","expires_in":300,"refresh_expires_in":0,"token_type":"Bearer","not-before-policy":0,"scope":"profile email"}"#,
        Ends::In(300),
    )
    .scopes(&["profile", "email"]),
    refused(
        "Keycloak: wrong secret",
        401,
        r#"{"error":"unauthorized_client","error_description":"Invalid client or Invalid client credentials"}"#,
        BAD_CLIENT,
    )
    .code("unauthorized_client"),
    refused(
        "Keycloak: disabled client",
        401,
        r#"{"error":"invalid_client","error_description":"Invalid client or Invalid client credentials"}"#,
        BAD_CLIENT,
    )
    .code("invalid_client"),
    refused(
        "Keycloak: no service account",
        401,
        r#"{"error":"unauthorized_client","error_description":"Client not enabled to retrieve service account"}"#,
        BAD_CLIENT,
    )
    .code("unauthorized_client"),
    refused("Keycloak: no such realm", 404, r#"{"error":"Realm does not exist"}"#, (
        Reason::EndpointNotFound,
        Class::Configuration,
        MINUTE,
    )),
    refused(
        "Keycloak: plain HTTP",
        403,
        r#"{"error":"invalid_request","error_description":"HTTPS required"}"#,
        FORBIDDEN,
    )
    .code("invalid_request"),
    refused(
        "Keycloak: an assertion with two audiences",
        400,
        r#"{"error":"invalid_client","error_description":"Invalid token audience"}"#,
        BAD_CLIENT,
    )
    .code("invalid_client"),
    // Hydra
    granted(
        "Hydra without scopes",
        r#"{"access_token":"t0k3n","expires_in":3599,"scope":"","token_type":"bearer"}"#,
        Ends::In(3599),
    )
    .scopes(&[]),
    refused(
        "Hydra: another authentication method is registered",
        401,
        r#"{"error":"invalid_client","error_description":"Client authentication failed. The OAuth 2.0 Client supports client authentication method 'client_secret_post'.","error_hint":"…","status_code":401}"#,
        BAD_CLIENT,
    )
    .code("invalid_client"),
    refused(
        "Hydra: grant not registered",
        400,
        r#"{"error":"unauthorized_client","error_description":"The client is not authorized to request a token using this method."}"#,
        NO_GRANT,
    )
    .code("unauthorized_client"),
    refused(
        "Hydra: audience not registered",
        400,
        r#"{"error":"invalid_request","error_description":"Requested audience has not been whitelisted by the OAuth 2.0 Client."}"#,
        BAD_REQUEST,
    )
    .code("invalid_request"),
    // Others
    granted(
        "Zitadel",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":43199}"#,
        Ends::In(43_199),
    ),
    granted(
        "Authentik",
        r#"{"access_token":"t0k3n","token_type":"Bearer","scope":"profile","expires_in":300,"id_token":"eyJ"}"#,
        Ends::In(300),
    )
    .scopes(&["profile"]),
    refused(
        "Authentik: wrong app password",
        400,
        r#"{"error":"invalid_grant","error_description":"The provided authorization grant or refresh token is invalid","request_id":"r"}"#,
        (Reason::InvalidGrant, Class::Permission, MINUTE),
    )
    .code("invalid_grant"),
    granted(
        "PingOne drops scopes without a word",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":3600,"scope":"a"}"#,
        Ends::In(3600),
    )
    .scopes(&["a"]),
    refused(
        "PingOne: another authentication method is configured",
        401,
        r#"{"error":"invalid_client","error_description":"Request denied: Unsupported authentication method (Correlation ID: c)"}"#,
        BAD_CLIENT,
    )
    .code("invalid_client"),
    granted(
        "PingFederate",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":7199}"#,
        Ends::In(7199),
    ),
    granted(
        "ForgeRock",
        r#"{"access_token":"t0k3n","scope":"write","token_type":"Bearer","expires_in":3599}"#,
        Ends::In(3599),
    )
    .scopes(&["write"]),
    granted(
        "Cognito",
        r#"{"access_token":"t0k3n","expires_in":3600,"token_type":"Bearer"}"#,
        Ends::In(3600),
    ),
    refused("Cognito: wrong secret", 400, r#"{"error":"invalid_client"}"#, BAD_CLIENT)
        .code("invalid_client"),
    refused("Cognito: grant not enabled", 400, r#"{"error":"unauthorized_client"}"#, NO_GRANT)
        .code("unauthorized_client"),
    granted(
        "Oracle IAM domains, a year by pseudo-scope",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":31536000}"#,
        Ends::In(31_536_000),
    ),
    granted(
        "SAP XSUAA",
        r#"{"access_token":"t0k3n","token_type":"bearer","expires_in":43199,"scope":"uaa.resource","jti":"j"}"#,
        Ends::In(43_199),
    )
    .scopes(&["uaa.resource"]),
    refused(
        "SAP XSUAA: wrong secret",
        401,
        r#"{"error":"unauthorized","error_description":"Bad credentials"}"#,
        BAD_CLIENT,
    ),
    granted(
        "SAP Ariba",
        r#"{"timeUpdated":1772366400000,"access_token":"t0k3n","refresh_token":"r","token_type":"bearer","scope":null,"expires_in":1440}"#,
        Ends::In(1440),
    ),
    granted(
        "SAP Concur",
        r#"{"expires_in":"3600","scope":"user.read","token_type":"Bearer","access_token":"t0k3n","refresh_token":"r","refresh_expires_in":"1772366400","geolocation":"https://us.api.concursolutions.com","id_token":"i"}"#,
        Ends::In(3600),
    )
    .scopes(&["user.read"]),
    refused(
        "SAP Concur: another data centre",
        400,
        r#"{"code":16,"error":"invalid_request","error_description":"user lives elsewhere","geolocation":"https://emea.api.concursolutions.com"}"#,
        BAD_REQUEST,
    )
    .code("invalid_request"),
    granted(
        "WSO2 gives the same token until nothing of it is left",
        r#"{"access_token":"t0k3n","scope":"default","token_type":"Bearer","expires_in":0}"#,
        Ends::Spent,
    )
    .scopes(&["default"]),
    granted(
        "Doorkeeper",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":7200,"created_at":1772366400}"#,
        Ends::In(7200),
    ),
    granted(
        "Doorkeeper in a token's last moments",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":0,"created_at":1772359200}"#,
        Ends::Spent,
    ),
    refused(
        "Doorkeeper: wrong secret",
        401,
        r#"{"error":"invalid_client","error_description":"Client authentication failed due to unknown client, no client authentication included, or unsupported authentication method."}"#,
        BAD_CLIENT,
    )
    .code("invalid_client"),
    refused("oidc-provider: two authentication methods", 400, r#"{"error":"invalid_request","error_description":"client authentication must only be provided using one mechanism"}"#, BAD_REQUEST)
        .code("invalid_request"),
];
