//! What each status of behaviour §2 means by itself, whatever stands in the body.
//!
//! **Invariant:** the reason follows from the status alone; a code is told and decides nothing.

use super::*;

type Row = (Reason, Class, Next);

const REDIRECT: Row = (Reason::EndpointRedirects, Class::Configuration, MINUTE);
const NOT_FOUND: Row = (Reason::EndpointNotFound, Class::Configuration, MINUTE);
const BAD_REQUEST: Row = (Reason::InvalidRequest, Class::Configuration, MINUTE);
const BAD_CLIENT: Row = (Reason::InvalidClient, Class::Credentials, HOURLY);
const FORBIDDEN: Row = (Reason::AccessDenied, Class::Permission, MINUTE);
const BROKEN: Row = (Reason::ServerError, Class::Transient, SOON);
const BUSY: Row = (Reason::RateLimited, Class::Throttled, PATIENCE);
const NO_HTTP: Row = (Reason::MalformedResponse, Class::Contract, GAP);

/// Without a body.
const fn bare(name: &'static str, status: u16, row: Row) -> Case {
    refused(name, status, "", row).headers(&[])
}

pub(super) const CASES: &[Case] = &[
    bare("101", 101, NO_HTTP),
    bare("300", 300, REDIRECT),
    bare("301", 301, REDIRECT).headers(&[("location", "https://evil.example/")]),
    bare("302", 302, REDIRECT),
    bare("303", 303, REDIRECT),
    bare("304", 304, REDIRECT),
    bare("307", 307, REDIRECT),
    bare("308", 308, REDIRECT),
    refused("302 with a token", 302, r#"{"access_token":"t0k3n"}"#, REDIRECT),
    bare("400", 400, BAD_REQUEST),
    bare("401", 401, BAD_CLIENT),
    bare("402", 402, BAD_REQUEST),
    bare("403, as one server answers a wrong secret", 403, FORBIDDEN),
    bare("404", 404, NOT_FOUND),
    bare("405", 405, NOT_FOUND),
    bare("406", 406, BAD_REQUEST),
    bare("408", 408, BROKEN),
    bare("409", 409, BAD_REQUEST),
    bare("410", 410, BAD_REQUEST),
    bare("413", 413, BAD_REQUEST),
    bare("415", 415, BAD_REQUEST),
    bare("418", 418, BAD_REQUEST),
    bare("421", 421, BROKEN),
    bare("422", 422, BAD_REQUEST),
    bare("425", 425, BROKEN),
    bare("429", 429, BUSY),
    bare("451", 451, BAD_REQUEST),
    bare("499", 499, BAD_REQUEST),
    bare("500", 500, BROKEN),
    bare("501", 501, BROKEN),
    bare("502", 502, BROKEN),
    bare("503", 503, BROKEN),
    bare("504", 504, BROKEN),
    bare("529", 529, BROKEN),
    bare("599", 599, BROKEN),
    bare("600", 600, NO_HTTP),
    refused("401 with invalid_scope", 401, r#"{"error":"invalid_scope"}"#, BAD_CLIENT)
        .code("invalid_scope"),
    refused("403 with invalid_client", 403, r#"{"error":"invalid_client"}"#, FORBIDDEN)
        .code("invalid_client"),
    refused("404 with invalid_client", 404, r#"{"error":"invalid_client"}"#, NOT_FOUND)
        .code("invalid_client"),
    refused("415 with invalid_request", 415, r#"{"error":"invalid_request"}"#, BAD_REQUEST)
        .code("invalid_request"),
    refused("429 with invalid_client", 429, r#"{"error":"invalid_client"}"#, BUSY)
        .code("invalid_client"),
    refused(
        "500 with invalid_client, as for an expired assertion",
        500,
        r#"{"error":"invalid_client"}"#,
        BROKEN,
    )
    .code("invalid_client"),
    refused("503 with slow_down", 503, r#"{"error":"slow_down"}"#, BROKEN).code("slow_down"),
    refused("403 with a token", 403, r#"{"access_token":"t0k3n"}"#, FORBIDDEN),
    refused("502: a gateway's page", 502, "<html><h1>502 Bad Gateway</h1></html>", BROKEN)
        .headers(&[("content-type", "text/html")]),
    refused("400: a firewall's page", 400, "<html><h1>Bad Request</h1></html>", BAD_REQUEST)
        .headers(&[("content-type", "text/html")]),
];
