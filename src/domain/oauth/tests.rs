//! Requests byte for byte, and what answers mean.
#![allow(clippy::too_many_lines, reason = "tables of cases")]

mod answers;
mod grants;
mod hints;
mod refusals;
mod requests;
mod values;

use proptest::prelude::*;

use super::*;
use crate::domain::{
    crd::{
        ClientAuthentication, CredentialsSecretRef, ExpiresInUnit, OAuthClientCredentialSpec,
        RequestOptions,
    },
    plan,
    reason::{Class, Reason},
};

const NOW: &str = "2026-03-01T12:00:00Z";
const CLIENT_SECRET: &str = "s3cr3t /of+me";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn values(id: &str, secret: &str) -> RequestValues {
    RequestValues {
        client_id: Some(Redacted::new(id.to_owned())),
        client_secret: Some(Redacted::new(secret.to_owned())),
        ..RequestValues::default()
    }
}

fn request(spec: &OAuthClientCredentialSpec, id: &str, secret: &str) -> TokenRequest {
    let url = Url::parse("https://idp.example.com/token?api-version=1").unwrap();
    let plan = plan::plan(spec).unwrap();
    token_request(&plan, url, &values(id, secret), now(), Entropy([7; 16])).unwrap()
}

fn spec(method: Option<ClientAuthenticationMethod>) -> OAuthClientCredentialSpec {
    OAuthClientCredentialSpec {
        token_url: Some("https://idp.example.com/token?api-version=1".to_owned()),
        credentials_secret_ref: Some(CredentialsSecretRef::default()),
        client_authentication: Some(ClientAuthentication {
            method,
            ..ClientAuthentication::default()
        }),
        ..OAuthClientCredentialSpec::default()
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let lines = |name: &'static str| {
        let of_name = headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| (*value).to_owned()).collect()
    };
    let body = Redacted::new(body.to_vec());
    let sent = request(&spec(None), "me", CLIENT_SECRET).sent;
    let headers = AnswerHeaders::read(lines);
    Answer { status, headers, body, sent, shape: ResponseShape::default() }
}

fn granted(content_type: &str, body: &str) -> Grant {
    let headers = [("content-type", content_type)];
    read_answer(&answer(200, &headers, body.as_bytes()), now())
        .unwrap_or_else(|error| panic!("{body}: {error:?}"))
}

fn refused(status: u16, headers: &[(&str, &str)], body: &str) -> RequestError {
    match read_answer(&answer(status, headers, body.as_bytes()), now()) {
        Ok(_) => panic!("{status} {body}"),
        Err(error) => error,
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const HTML: &str = "text/html; charset=utf-8";

#[test]
fn debug_output_holds_nothing_that_was_sent_or_received() {
    let canary = "c4n4ry";
    let url = Url::parse("https://idp.example.com/c4n4ry?key=c4n4ry").unwrap();
    let headers = [("retry-after", canary), ("content-type", canary)];
    let body = format!(r#"{{"access_token":"{canary}","refresh_token":"{canary}"}}"#);
    let answer = answer(200, &headers, body.as_bytes());
    let asked = Asked { sent_at: now(), result: read_answer(&answer, now()), took: Duration::ZERO };
    let values = values(canary, canary);
    let plan = plan::plan(&spec(None)).unwrap();
    let request = token_request(&plan, url, &values, now(), Entropy([7; 16])).unwrap();
    let text = format!("{values:?} {request:?} {answer:?} {asked:?}");
    assert!(!text.contains(canary), "{text}");
}

/// Text that stresses the readers: members, fragments of JSON and headers, and anything at all.
fn text() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("\"access_token\":".to_owned()),
        Just("\"error\":".to_owned()),
        Just("\"expires_in\":".to_owned()),
        Just("\"scope\":".to_owned()),
        Just("{".to_owned()),
        Just("}".to_owned()),
        Just(",".to_owned()),
        Just("access_token=".to_owned()),
        Just("&".to_owned()),
        Just("<html>".to_owned()),
        Just("r=0;t=".to_owned()),
        Just("\"c4n4ry\"".to_owned()),
        Just("c4n4ry".to_owned()),
        "-?[0-9.e]{1,30}",
        "\\PC{0,8}",
        Just("eyJhbGciOiJub25lIn0.eyJleHAiOjF9.x".to_owned()),
        Just("\"data\":{\"token\":".to_owned()),
        Just("\"data\":[\"c4n4ry\",".to_owned()),
        Just("]".to_owned()),
        Just("\"expires_at\":".to_owned()),
        Just("\"2026-03-01T13:00:00Z\"".to_owned()),
    ];
    proptest::collection::vec(fragment, 0..12).prop_map(|parts| parts.concat())
}

/// Where token and lifetime lie: at the usual places, deeper, or anywhere at all.
fn shape() -> impl Strategy<Value = ResponseShape> {
    let pointer = || {
        prop_oneof![
            Just("/access_token".to_owned()),
            Just("/expires_in".to_owned()),
            Just("/data/token".to_owned()),
            Just("/data/0".to_owned()),
            "(/[a-z~01]{0,4}){0,4}",
            "\\PC{0,8}",
        ]
    };
    let unit = prop_oneof![
        Just(ExpiresInUnit::Seconds),
        Just(ExpiresInUnit::Milliseconds),
        Just(ExpiresInUnit::Timestamp),
    ];
    let values = proptest::collection::btree_set(pointer(), 0..3);
    let all = (pointer(), pointer(), unit, values);
    all.prop_map(|(token_pointer, expires_in_pointer, expires_in_unit, values)| ResponseShape {
        token_pointer,
        expires_in_pointer,
        expires_in_unit,
        values,
    })
}

proptest! {
    #[test]
    fn reading_an_answer_never_panics_and_never_leaks(
        status in prop_oneof![100_u16..=999, Just(200), Just(400), Just(429), Just(503)],
        body in prop_oneof![
            text().prop_map(String::into_bytes),
            text().prop_map(|text| format!("{{{text}}}").into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..200),
        ],
        header in text(),
        content_type in prop_oneof![Just(JSON.to_owned()), Just(FORM.to_owned()), Just(HTML.to_owned()), text()],
        shape in shape(),
        seconds in -62_000_000_000_i64..253_000_000_000,
    ) {
        let headers: Vec<(&str, &str)> = [
            "retry-after", "auth0-client-quota-limit", "ratelimit-reset", "x-ratelimit-retryafter",
            "x-rate-limit-reset", "x-ratelimit-reset",
        ].into_iter().map(|name| (name, header.as_str())).chain([("content-type", content_type.as_str())]).collect();
        let answer = Answer { shape, ..answer(status, &headers, &body) };
        let now = Timestamp::from_second(seconds).unwrap();
        match read_answer(&answer, now) {
            Ok(grant) => {
                prop_assert!((200..300).contains(&status));
                let token = grant.token.expose();
                prop_assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(token.len() <= MAX_TOKEN_BYTES);
                prop_assert!(grant.values.keys().eq(&answer.shape.values));
                for value in grant.values.values().map(Redacted::expose) {
                    prop_assert!(value.len() <= MAX_VALUE_BYTES && !value.contains(char::is_control));
                }
                let year = now.saturating_add(jiff::SignedDuration::from_hours(24 * 365)).unwrap();
                prop_assert!(grant.expiry(now).is_none_or(|at| at > now && at <= year));
                let shown = format!("{:?}", Grant { scopes: None, ..grant });
                prop_assert!(!shown.contains("c4n4ry"));
            }
            Err(error) => {
                let shown = format!("{error:?} {}", error.message("idp.example.com"));
                prop_assert!(!shown.contains("c4n4ry"), "{}", shown);
                let allowed = Duration::from_secs(1)..=Duration::from_secs(86_400);
                prop_assert!(error.wait.is_none_or(|wait| allowed.contains(&wait)));
            }
        }
    }

    #[test]
    fn a_form_reads_back_as_it_was_meant(id in "\\PC{1,20}", secret in "\\PC{1,20}") {
        let request = request(&spec(Some(ClientAuthenticationMethod::ClientSecretPost)), &id, &secret);
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(request.body.unwrap().expose().as_bytes()).into_owned().collect();
        prop_assert_eq!(&pairs[1].1, &id);
        prop_assert_eq!(&pairs[2].1, &secret);
    }
}
