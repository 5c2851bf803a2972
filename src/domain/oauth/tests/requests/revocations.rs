//! The request that revokes a token (RFC 7009 §2.1), and what its answer means (§2.2).

use super::*;

const URL: &str = "https://idp.example.com/revoke?v=1";

fn revoke(plan: &RequestPlan, values: &RequestValues, url: Url) -> Result<TokenRequest, Fault> {
    let token = Redacted::new("t0k3n/+".to_owned());
    revocation_request(plan, url, (values, &token), Timestamp::UNIX_EPOCH, Entropy([7; 16]))
}

fn body(request: &TokenRequest) -> &str {
    request.body.as_ref().unwrap().expose()
}

#[test]
fn the_client_proves_itself_as_at_the_token_endpoint() {
    let token = "token=t0k3n%2F%2B&token_type_hint=access_token";
    for (over, expected, authorization) in [
        (json!({}), token.to_owned(), Some("Basic YXBwOnMzY3IzdA==")),
        (
            json!({"clientAuthentication": {"method": "ClientSecretPost"}}),
            format!("{token}&client_id=app&client_secret=s3cr3t"),
            None,
        ),
        (
            json!({"clientID": "app", "credentialsSecretRef": null,
                "clientAuthentication": {"method": "None"}}),
            format!("{token}&client_id=app"),
            None,
        ),
    ] {
        let request = revoke(&plan_with(&over), &read(&[]), URL.parse().unwrap()).unwrap();
        assert_eq!(body(&request), expected, "{over}");
        assert_eq!(request.header("authorization"), authorization, "{over}");
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!((request.http_method, request.url.as_str()), (HttpMethod::Post, URL));
    }
}

#[test]
fn an_assertion_has_the_audience_that_it_has_at_the_token_endpoint() {
    for (over, audience) in [
        (json!({}), TOKEN_URL),
        (
            json!({"tokenURL": null, "issuer": "https://idp.example.com/"}),
            "https://idp.example.com/",
        ),
    ] {
        let mut over = over;
        over["clientAuthentication"] = json!({"method": "ClientSecretJWT"});
        let request = revoke(&plan_with(&over), &read(&[]), URL.parse().unwrap()).unwrap();
        let (_, assertion) = body(&request).split_once("client_assertion=").unwrap();
        let claims = URL_SAFE_NO_PAD.decode(assertion.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], audience);
    }
}

#[test]
fn headers_go_along_and_what_belongs_to_the_grant_does_not() {
    let over = json!({"scopes": ["a"], "audience": "b", "request": {
        "bodyFormat": "JSON", "timeout": "3s",
        "parameters": [{"name": "tenant", "value": "shop"}],
        "headers": [{"name": "X-Key", "value": "k"}]}});
    let request = revoke(&plan_with(&over), &read(&[]), URL.parse().unwrap()).unwrap();
    assert_eq!(body(&request), "token=t0k3n%2F%2B&token_type_hint=access_token");
    assert_eq!(request.header("x-key"), Some("k"));
    assert_eq!(request.timeout, Duration::from_secs(3));
    assert!(!format!("{request:?}").contains("t0k3n"));
}

#[test]
fn a_query_that_names_what_is_sent_is_refused() {
    for name in ["token", "TOKEN", "token_type_hint", "client_id", "client_secret"] {
        let url = format!("https://idp.example.com/revoke?a=b&{name}=x");
        let fault = revoke(&plan_with(&json!({})), &read(&[]), url.parse().unwrap()).unwrap_err();
        assert_eq!(fault.reason, Reason::EndpointNotAllowed, "{name}");
    }
}

#[test]
fn the_status_alone_says_whether_it_is_revoked() {
    let answered = |status, retry_after: Option<&str>| {
        let headers = AnswerHeaders {
            retry_after: retry_after.map(str::to_owned),
            ..AnswerHeaders::default()
        };
        read_revocation(status, headers, Timestamp::UNIX_EPOCH)
    };
    for status in [200, 204] {
        assert_eq!(answered(status, None), Ok(()));
    }
    for (status, reason) in [
        (307, Reason::EndpointRedirects),
        (400, Reason::InvalidRequest),
        (401, Reason::InvalidClient),
        (403, Reason::AccessDenied),
        (404, Reason::EndpointNotFound),
        (429, Reason::RateLimited),
        (500, Reason::ServerError),
        (503, Reason::ServerError),
    ] {
        let error = answered(status, None).unwrap_err();
        assert_eq!((error.reason, error.status), (reason, Some(status)));
    }
    let patient = answered(503, Some("7")).unwrap_err();
    assert_eq!((patient.reason, patient.wait), (Reason::RateLimited, Some(Duration::from_secs(7))));
}
