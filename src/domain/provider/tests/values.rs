//! Named values: which are wanted, and what they can't do.

use proptest::prelude::*;
use url::Url;

use super::*;
use crate::domain::plan::{self, Location};
use crate::domain::provider::expand::{Piece, pieces, split};

/// What people try to leave the host, the path or the line with.
const ATTEMPTS: [&str; 30] = [
    "evil.example/",
    "evil.example/x",
    "evil.example#",
    "evil.example?",
    "evil.example\\",
    "user@evil.example",
    "evil.example:8443",
    ":8443",
    "@",
    "#",
    "?",
    ":",
    "/",
    "\\",
    "..",
    "../..",
    "a..b/",
    "%2f",
    "%2e%2e",
    "a%2fb",
    " ",
    "a b",
    "a\tb",
    "a\nb",
    "a\r\nX-Evil: 1",
    "a\u{0}b",
    "evil\u{3002}example",
    "evil\u{ff0e}example",
    "ｅvil.example",
    "",
];
/// What is wrong in a host and harmless in a path.
const NO_HOST: [&str; 9] = [
    ".evil.example",
    "evil.example.",
    "-evil",
    "evil-",
    "a..b",
    "a_b",
    "~",
    "a.-b",
    "evil.example..",
];

fn with(row: &Row, name: &str, value: &str) -> OAuthClientCredentialSpec {
    let mut spec = row.example_spec();
    if let Some(provider) = &mut spec.provider {
        provider.parameters.insert(name.to_owned(), value.to_owned());
    }
    spec
}

/// The token endpoint that a spec leads to.
fn endpoint(spec: &OAuthClientCredentialSpec) -> Option<String> {
    defaults(spec).unwrap().token_url
}

/// Whether a host is one that the template of the row fixes.
fn is_of(row: &Row, host: &str, given: &BTreeMap<String, String>) -> bool {
    let template = split(row.token_url.as_deref().unwrap()).0;
    match pieces(template).as_slice() {
        [Piece::Text(fixed)] => host == *fixed,
        [Piece::Value(name)] => {
            let default = row.parameter(name).unwrap().default.as_ref();
            let value = given.get(*name).or(default);
            value.is_some_and(|value| value.eq_ignore_ascii_case(host))
        }
        [.., Piece::Text(end)] => host.ends_with(end) && end.starts_with('.'),
        [.., Piece::Value(name)] => {
            let values = &row.parameter(name).unwrap().values;
            values.iter().any(|value| host.ends_with(&format!(".{value}")))
        }
        [] => false,
    }
}

#[test]
fn the_url_holds_the_values() {
    let tenant = ("tenant", "contoso.onmicrosoft.com");
    let url = "https://login.microsoftonline.com/contoso.onmicrosoft.com/oauth2/v2.0/token";
    assert_eq!(endpoint(&spec("EntraID", &[tenant])).as_deref(), Some(url));
    let spec_of_another_cloud =
        spec("EntraID", &[tenant, ("authorityHost", "login.microsoftonline.us")]);
    let url = "https://login.microsoftonline.us/contoso.onmicrosoft.com/oauth2/v2.0/token";
    assert_eq!(endpoint(&spec_of_another_cloud).as_deref(), Some(url));
    let sandbox = spec("Salesforce", &[("myDomain", "acme--uat.sandbox")]);
    let url = "https://acme--uat.sandbox.my.salesforce.com/services/oauth2/token";
    assert_eq!(endpoint(&sandbox).as_deref(), Some(url));
    assert_eq!(endpoint(&spec("Fiserv", &[])), None);
}

#[test]
fn a_value_that_is_missing_is_described() {
    let message = refused(&spec("Zoom", &[]));
    assert_eq!(
        message,
        "spec.provider.parameters lacks accountID (Account ID of the app; App Marketplace > Manage > \
         your app > App Credentials): Zoom needs it"
    );
    let message = refused(&spec("SailPoint", &[]));
    assert!(message.contains("lacks tenant"), "{message}");
    assert!(message.ends_with("; this entry was written from memory and is not verified"));
}

#[test]
fn a_value_that_nobody_asks_for_leads_to_those_that_there_are() {
    let message = refused(&spec("Zoom", &[("accountId", "x")]));
    let expected = "spec.provider.parameters has the entry accountId, which means nothing: Zoom has \
                    accountID";
    assert_eq!(message, expected);
    let message = refused(&spec("Spotify", &[("a\nb", "x")]));
    assert!(
        message.ends_with("the entry a?b, which means nothing: Spotify needs none"),
        "{message}"
    );
}

#[test]
fn a_value_outside_its_form_is_shown_short_and_plain() {
    let message = refused(&spec("Zendesk", &[("subdomain", &"/\u{7}".repeat(500))]));
    let shown = "/?".repeat(32);
    let expected = format!(
        "the entry subdomain of spec.provider.parameters can't be {shown}: it may hold letters, \
         digits, hyphens and dots, for example example, or set spec.tokenURL"
    );
    assert_eq!(message, expected);
    let message = refused(&spec("Box", &[("subjectID", "1"), ("subjectType", "admin")]));
    assert!(message.contains("it is one of enterprise, user"), "{message}");
}

#[test]
fn an_optional_value_brings_its_parameter_and_a_default_stands_in() {
    let box_spec = spec("Box", &[("subjectID", "42")]);
    let sent = |spec: &OAuthClientCredentialSpec| -> Vec<(String, String)> {
        let parameters = defaults(spec).unwrap().parameters.into_iter();
        parameters.map(|parameter| (parameter.name, parameter.value.unwrap())).collect()
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [pair("box_subject_type", "enterprise"), pair("box_subject_id", "42")];
    assert_eq!(sent(&box_spec), expected);
    assert_eq!(sent(&spec("CrowdStrike", &[])), []);
    let managed = spec("CrowdStrike", &[("memberCID", "abc")]);
    assert_eq!(sent(&managed), [pair("member_cid", "abc")]);
    let merchant = defaults(&spec("UPS", &[("merchantID", "A1")])).unwrap().headers;
    assert_eq!(merchant[0].value.as_deref(), Some("A1"));
    assert_eq!(defaults(&spec("UPS", &[])).unwrap().headers, []);
}

#[test]
fn what_the_spec_says_itself_wins_and_needs_no_value() {
    let mut own = spec("Keycloak", &[]);
    assert!(refused(&own).contains("lacks host"));
    own.token_url = Some("https://keycloak.example.com:8443/auth/realms/shop/token".to_owned());
    let plan = plan::plan(&own).unwrap();
    assert_eq!(plan.location, Location::TokenUrl(own.token_url.clone().unwrap()));
    let mut own = spec("Dynamics365", &[("tenant", "t")]);
    assert!(refused(&own).contains("lacks environment"));
    own.scopes = vec!["https://erp.example.com/.default".to_owned()];
    assert_eq!(plan::plan(&own).unwrap().scopes, own.scopes);
    let mut own = spec("Zoom", &[]);
    own.request = Some(
        serde_json::from_value(serde_json::json!({
            "grantType": "client_credentials",
            "parameters": [{"name": "account_id", "value": "mine"}],
        }))
        .unwrap(),
    );
    let plan = plan::plan(&own).unwrap();
    assert_eq!(plan.grant_type.as_deref(), Some("client_credentials"));
    assert_eq!(plan.parameters.len(), 1);
    assert_eq!(plan.parameters[0].value.as_deref(), Some("mine"));
}

#[test]
fn no_attempt_leaves_the_host_or_the_path() {
    let mut tried = 0;
    for row in all() {
        for named in &row.parameters {
            let place = expand::place(row, &named.name);
            let hosts = NO_HOST.iter().filter(|_| place.host);
            let in_url = ATTEMPTS.iter().filter(|_| place.host || place.path);
            for attempt in in_url.chain(hosts) {
                let message = refused(&with(row, &named.name, attempt));
                assert!(message.contains(&named.name), "{}: {attempt:?}: {message}", row.name);
                tried += 1;
            }
        }
    }
    assert!(tried > 1000, "{tried} attempts");
}

#[test]
fn a_number_that_a_parser_takes_for_an_address_is_refused() {
    for attempt in ["2130706433", "0x7f000001", "127.1"] {
        let message = refused(&spec("OryHydra", &[("host", attempt)]));
        assert!(message.contains("make no host of https://{host}/oauth2/token"), "{message}");
    }
}

proptest! {
    #[test]
    fn whatever_is_accepted_leads_to_a_host_of_the_row(
        row in 0..all().len(),
        nth in 0_usize..4,
        value in prop_oneof!["[a-zA-Z0-9.-]{1,20}", "\\PC{0,12}", "[/@:?#%.\\\\a]{1,6}"],
    ) {
        let row = &all()[row];
        let Some(named) = row.parameters.get(nth) else { return Ok(()) };
        let spec = with(row, &named.name, &value);
        let Ok(defaults) = defaults(&spec) else { return Ok(()) };
        let Some(text) = defaults.token_url else { return Ok(()) };
        let url = Url::parse(&text).unwrap();
        let given = &spec.provider.as_ref().unwrap().parameters;
        let host = url.host_str().unwrap();
        prop_assert!(is_of(row, host, given), "{} {value:?} leads to {text}", row.name);
        prop_assert_eq!(url.scheme(), "https");
        prop_assert!(url.port().is_none() && url.username().is_empty() && url.fragment().is_none());
        let segments = |text: &str| text.split('?').next().unwrap().matches('/').count();
        prop_assert_eq!(segments(url.path()), segments(split(row.token_url.as_deref().unwrap()).1));
    }
}
