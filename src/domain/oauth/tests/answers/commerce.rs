//! Answers of trade, media and messaging, as their documentation, their source or their clients show them.
//!
//! **Invariant:** every body is shaped as the service sends it; only its token is `t0k3n`.

use super::*;

const BAD_CLIENT: (Reason, Class, Next) = (Reason::InvalidClient, Class::Credentials, HOURLY);
const FORBIDDEN: (Reason, Class, Next) = (Reason::AccessDenied, Class::Permission, MINUTE);
const BAD_GRANT: (Reason, Class, Next) = (Reason::InvalidGrant, Class::Permission, MINUTE);
const BAD_REQUEST: (Reason, Class, Next) = (Reason::InvalidRequest, Class::Configuration, MINUTE);

pub(super) const CASES: &[Case] = &[
    granted(
        "Apigee: everything a string",
        r#"{"refresh_token_expires_in":"0","api_product_list":"[p]","organization_name":"o","developer.email":"d@e","token_type":"BearerToken","issued_at":"1772366400000","client_id":"c","access_token":"t0k3n","application_name":"a","scope":"READ WRITE","expires_in":"1799","refresh_count":"0","status":"approved"}"#,
        Ends::In(1799),
    )
    .scopes(&["READ", "WRITE"]),
    refused(
        "Apigee: unknown client",
        401,
        r#"{"ErrorCode":"invalid_client","Error":"ClientId is Invalid"}"#,
        BAD_CLIENT,
    ),
    refused(
        "Apigee: spike arrest",
        429,
        r#"{"fault":{"faultstring":"Spike arrest violation.","detail":{"errorcode":"policies.ratelimit.SpikeArrestViolation"}}}"#,
        (Reason::RateLimited, Class::Throttled, PATIENCE),
    ),
    refused(
        "Apigee: fault",
        500,
        r#"{"fault":{"faultstring":"Internal","detail":{"errorcode":"steps.oauth.v2.FailedToResolveClientId"}}}"#,
        (Reason::ServerError, Class::Transient, SOON),
    ),
    granted(
        "UPS",
        r#"{"token_type":"Bearer","issued_at":"1772366400000","client_id":"c","access_token":"t0k3n","scope":"","expires_in":"14399","refresh_count":"0","status":"approved"}"#,
        Ends::In(14_399),
    )
    .scopes(&[]),
    refused(
        "UPS: wrong secret",
        401,
        r#"{"response":{"errors":[{"code":"10401","message":"ClientId is Invalid"}]}}"#,
        BAD_CLIENT,
    ),
    refused(
        "UPS: blocked merchant",
        403,
        r#"{"response":{"errors":[{"code":"250004","message":"Blocked Merchant"}]}}"#,
        FORBIDDEN,
    ),
    refused(
        "UPS: quota",
        429,
        r#"{"response":{"errors":[{"code":"10429","message":"Too Many Requests"}]}}"#,
        (Reason::RateLimited, Class::Throttled, PATIENCE),
    ),
    granted(
        "Fiserv: milliseconds",
        r#"{"access_token":"t0k3n","token_type":"BearerToken","expires_in":"899999","status":"approved"}"#,
        Ends::In(899),
    )
    .at("/access_token", "/expires_in", ExpiresInUnit::Milliseconds),
    granted(
        "Adobe IMS, the older way: milliseconds",
        r#"{"token_type":"bearer","access_token":"t0k3n","expires_in":86399998}"#,
        Ends::In(86_399),
    )
    .at("/access_token", "/expires_in", ExpiresInUnit::Milliseconds),
    granted(
        "Twilio: null is absent",
        r#"{"access_token":"t0k3n","refresh_token":null,"id_token":null,"expires_in":3600,"token_type":"Bearer"}"#,
        Ends::In(3600),
    ),
    granted(
        "Twilio as one page shows it: an epoch in milliseconds as lifetime",
        r#"{"access_token":"t0k3n","expires_in":1438315200000}"#,
        Ends::In(31_536_000),
    ),
    granted(
        "Shopify: no token_type, scopes by commas",
        r#"{"access_token":"t0k3n","scope":"write_products,read_orders","expires_in":86399}"#,
        Ends::In(86_399),
    )
    .scopes(&["write_products", "read_orders"]),
    refused(
        "Shopify: no such shop",
        404,
        "<!DOCTYPE html><html><head><title>Create an Ecommerce Website</title></head></html>",
        (Reason::EndpointNotFound, Class::Configuration, MINUTE),
    )
    .headers(&[("content-type", "text/html; charset=utf-8")]),
    granted(
        "PayPal",
        r#"{"scope":"https://uri.paypal.com/services/invoicing","access_token":"t0k3n","token_type":"Bearer","app_id":"APP-1","expires_in":31668,"nonce":"2026-03-01T12:00:00Zn"}"#,
        Ends::In(31_668),
    )
    .scopes(&["https://uri.paypal.com/services/invoicing"]),
    granted(
        "PayPal: the lifetime a string",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":"28800"}"#,
        Ends::In(28_800),
    ),
    granted(
        "Spotify",
        r#"{"access_token":"t0k3n","token_type":"Bearer","expires_in":3600}"#,
        Ends::In(3600),
    ),
    granted(
        "Twitch: 60 days, scopes as an array",
        r#"{"access_token":"t0k3n","expires_in":5184000,"scope":["channel:read:x","bits:read"],"token_type":"bearer"}"#,
        Ends::In(5_184_000),
    )
    .scopes(&["channel:read:x", "bits:read"]),
    granted(
        "Twitch: old client, never expires",
        r#"{"access_token":"t0k3n","expires_in":null,"scope":[],"token_type":"bearer"}"#,
        Ends::Unknown,
    )
    .scopes(&[]),
    refused(
        "Twitch: unknown client",
        400,
        r#"{"status":400,"message":"invalid client"}"#,
        BAD_REQUEST,
    ),
    refused(
        "Twitch: wrong secret",
        403,
        r#"{"status":403,"message":"invalid client secret"}"#,
        FORBIDDEN,
    ),
    granted(
        "X: no lifetime",
        r#"{"token_type":"bearer","access_token":"t0k3n"}"#,
        Ends::Unknown,
    ),
    refused(
        "X: wrong secret",
        403,
        r#"{"errors":[{"code":99,"message":"Unable to verify your credentials","label":"authenticity_token_error"}]}"#,
        FORBIDDEN,
    ),
    granted(
        "Box",
        r#"{"access_token":"t0k3n","expires_in":3986,"restricted_to":[],"token_type":"bearer"}"#,
        Ends::In(3986),
    ),
    refused(
        "Box: wrong subject",
        400,
        r#"{"error":"invalid_grant","error_description":"Grant credentials are invalid"}"#,
        BAD_GRANT,
    )
    .code("invalid_grant"),
    granted(
        "Marketo: the same token with what remains",
        r#"{"access_token":"t0k3n","token_type":"bearer","expires_in":42,"scope":"api@example.com"}"#,
        Ends::In(42),
    )
    .scopes(&["api@example.com"]),
    refused(
        "Marketo: wrong secret",
        401,
        r#"{"error":"unauthorized","error_description":"No client with requested id: x"}"#,
        BAD_CLIENT,
    ),
    granted(
        "FedEx",
        r#"{"access_token":"t0k3n","token_type":"bearer","expires_in":3599,"scope":"CXS-TP"}"#,
        Ends::In(3599),
    )
    .scopes(&["CXS-TP"]),
    refused(
        "FedEx: wrong secret",
        401,
        r#"{"transactionId":"x","errors":[{"code":"NOT.AUTHORIZED.ERROR","message":"The given client credentials were not valid."}]}"#,
        BAD_CLIENT,
    ),
    refused(
        "FedEx: 422",
        422,
        r#"{"errors":[{"code":"BAD.REQUEST.ERROR","message":"Missing or duplicate parameters."}]}"#,
        BAD_REQUEST,
    ),
    granted(
        "Amadeus",
        r#"{"type":"amadeusOAuth2Token","username":"u","application_name":"a","client_id":"c","token_type":"Bearer","access_token":"t0k3n","expires_in":1799,"state":"approved","scope":""}"#,
        Ends::In(1799),
    )
    .scopes(&[]),
    refused(
        "Amadeus: wrong secret",
        401,
        r#"{"error":"invalid_client","error_description":"Client credentials are invalid","code":38187,"title":"Invalid parameters"}"#,
        BAD_CLIENT,
    )
    .code("invalid_client"),
    granted(
        "Sabre: a week",
        r#"{"access_token":"t0k3n","token_type":"bearer","expires_in":604800}"#,
        Ends::In(604_800),
    ),
    refused(
        "Mastercard: DPoP",
        200,
        r#"{"access_token":"t0k3n","token_type":"DPoP","expires_in":900}"#,
        (Reason::UnsupportedTokenType, Class::Contract, GAP),
    ),
    granted(
        "NetSuite: the lifetime a string",
        r#"{"access_token":"t0k3n","expires_in":"3600","token_type":"bearer"}"#,
        Ends::In(3600),
    ),
    granted(
        "eBay: a type of its own for Bearer",
        r#"{"access_token":"t0k3n","expires_in":7200,"token_type":"Application Access Token"}"#,
        Ends::In(7200),
    ),
];
