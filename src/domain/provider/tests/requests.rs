//! What a row makes of a request, and what is read from its documented answer.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::Value;
use url::Url;

use super::*;
use crate::domain::crd::ClientAuthenticationMethod as Method;
use crate::domain::oauth::{
    Answer, AnswerHeaders, ClientCertificate, Entropy, HttpMethod, Lifetime, RequestValues,
    TokenRequest, read_answer, token_request,
};
use crate::domain::plan::{self, Location, RequestPlan, ResponseShape};
use crate::domain::redacted::Redacted;

const ID: &str = "the-client-id";
const SECRET: &str = "the-client-secret";
const FURTHER: &str = "the-further-value";

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// The example of a row as its page shows it, and once more with every named value.
fn specs(row: &Row) -> [OAuthClientCredentialSpec; 2] {
    let short = row.example_spec();
    let mut long = short.clone();
    if let Some(provider) = &mut long.provider {
        let every = row.parameters.iter().map(|named| (named.name.clone(), named.example.clone()));
        provider.parameters = every.collect();
    }
    [short, long]
}

/// Something for everything that a request could read.
fn values(plan: &RequestPlan) -> RequestValues {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["client.example.com".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let pem = |text: String| Redacted::new(text.into_bytes());
    let further = |from: bool| from.then(|| Redacted::new(FURTHER.to_owned()));
    let parameters = plan.parameters.iter().enumerate();
    let headers = plan.headers.iter().enumerate();
    RequestValues {
        client_id: Some(Redacted::new(ID.to_owned())),
        client_secret: Some(Redacted::new(SECRET.to_owned())),
        signing_key: Some(pem(key.serialize_pem())),
        signing_certificate: Some(pem(certificate.pem())),
        parameters: parameters
            .filter_map(|(n, parameter)| Some((n, further(parameter.value_from.is_some())?)))
            .collect(),
        headers: headers
            .filter_map(|(n, header)| Some((n, further(header.value_from.is_some())?)))
            .collect(),
        client_certificate: Some(ClientCertificate {
            chain: pem(certificate.pem()),
            key: pem(key.serialize_pem()),
        }),
        service_account_token: Some(Redacted::new("service.account.token".to_owned())),
        ..RequestValues::default()
    }
}

fn request(spec: &OAuthClientCredentialSpec) -> Result<(RequestPlan, TokenRequest), String> {
    let plan = plan::plan(spec).map_err(|fault| fault.message)?;
    let Location::TokenUrl(url) = &plan.location else { return Err("no URL".to_owned()) };
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let request = token_request(&plan, url, &values(&plan), now(), Entropy([7; 16]))
        .map_err(|fault| fault.message)?;
    Ok((plan, request))
}

/// What is sent by name, wherever it stands.
fn sent(request: &TokenRequest) -> Vec<(String, String)> {
    let body = request.body.as_ref().map(|body| body.expose().clone()).unwrap_or_default();
    let mut pairs: Vec<_> = request.url.query_pairs().into_owned().collect();
    if request.header("content-type") == Some("application/json") {
        let object: BTreeMap<String, Value> = serde_json::from_str(&body).unwrap_or_default();
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        pairs.extend(object.into_iter().map(|(name, value)| (name, text(value))));
    } else {
        pairs.extend(url::form_urlencoded::parse(body.as_bytes()).into_owned());
    }
    pairs
}

/// What is wrong with how the client proves who it is.
fn proof_fault(plan: &RequestPlan, request: &TokenRequest) -> Option<String> {
    let pairs = sent(request);
    let get = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let habits = &plan.habits;
    let id = plan.client_id.as_deref().unwrap_or(ID);
    let authorization = request.header("authorization");
    let base64 = |text: &str| STANDARD.encode(text);
    let pair = if habits.double_base64 {
        format!("{}:{}", base64(id), base64(SECRET))
    } else {
        // Neither has a character that an encoding changes.
        format!("{id}:{SECRET}")
    };
    let basic = format!("{} {}", habits.basic_scheme, base64(&pair));
    let named = get(&habits.client_id_name) == Some(id);
    let secret = get(&habits.client_secret_name) == Some(SECRET);
    let proves = match plan.method {
        Method::ClientSecretBasic => authorization == Some(&*basic) && !named && !secret,
        Method::ClientSecretPost => authorization.is_none() && named && secret,
        Method::ClientSecretJwt | Method::PrivateKeyJwt | Method::ServiceAccountToken => {
            authorization.is_none() && !secret && get("client_assertion").is_some()
        }
        Method::TlsClientAuth | Method::None => authorization.is_none() && named && !secret,
    };
    (!proves).then(|| format!("{} does not stand in it", plan.method.as_str()))
}

/// What is wrong with the parameters and the headers.
fn habit_faults(plan: &RequestPlan, request: &TokenRequest) -> Vec<String> {
    let mut faults = Vec::new();
    let pairs = sent(request);
    let count = |name: &str| pairs.iter().filter(|(n, _)| n == name).count();
    let mut wants = |name: &str, value: Option<&str>| {
        let found: Vec<_> = pairs.iter().filter(|(n, _)| n == name).map(|(_, v)| &**v).collect();
        if found != value.into_iter().collect::<Vec<_>>() {
            faults.push(format!("{name} is {found:?} and not {value:?}"));
        }
    };
    // A grant type in the URL of the row takes the place of the parameter.
    let in_url = request.url.query().is_some_and(|query| query.contains("grant_type=client_cr"));
    let in_url = in_url && plan.grant_type.is_none();
    let in_url = in_url.then_some("client_credentials");
    wants("grant_type", plan.grant_type.as_deref().or(in_url));
    let scope = plan.scopes.join(&plan.scope_separator);
    wants("scope", Some(scope.as_str()).filter(|scope| !scope.is_empty()));
    wants("audience", plan.audience.as_deref());
    for parameter in &plan.parameters {
        wants(&parameter.name, Some(parameter.value.as_deref().unwrap_or(FURTHER)));
    }
    for header in &plan.headers {
        let value = header.value.as_deref().unwrap_or(FURTHER);
        if request.header(&header.name.to_ascii_lowercase()) != Some(value) {
            faults.push(format!("the header {} is not {value}", header.name));
        }
    }
    if count("resource") != plan.resource_indicators.len() {
        faults.push("the resource indicators are not all sent".to_owned());
    }
    let get = request.http_method == HttpMethod::Get;
    if get != plan.habits.get || get && request.body.is_some() {
        faults.push(format!("it goes by {:?}", request.http_method));
    }
    faults
}

#[test]
fn every_row_makes_a_plan() {
    let mut faults = Vec::new();
    for row in all() {
        for spec in specs(row) {
            match plan::plan(&spec) {
                Err(fault) => faults.push(format!("{}: {}", row.name, fault.message)),
                Ok(plan) => {
                    let asked = spec.client_authentication.and_then(|asked| asked.method);
                    assert_eq!(plan.method, asked.unwrap_or(row.method), "{}", row.name);
                    assert_eq!(plan.habits, row.habits, "{}", row.name);
                }
            }
        }
    }
    none(&faults);
}

#[test]
fn every_row_with_a_secret_in_basic_or_the_form_makes_a_request() {
    let mut built = 0;
    for row in all().iter().filter(|row| row.request.body_format.is_none()) {
        for spec in specs(row) {
            let (plan, request) = request(&spec).unwrap_or_else(|fault| panic!("{fault}"));
            let basic =
                plan.habits == Habits::default() && plan.method == Method::ClientSecretBasic;
            if basic || plan.method == Method::ClientSecretPost {
                assert_eq!(proof_fault(&plan, &request), None, "{}", row.name);
                built += 1;
            }
        }
    }
    assert!(built > 80, "{built}");
}

#[test]
fn every_row_makes_the_request_that_it_describes() {
    let mut faults = Vec::new();
    for row in all() {
        for spec in specs(row) {
            match request(&spec) {
                Err(fault) => faults.push(format!("{}: {fault}", row.name)),
                Ok((plan, request)) => {
                    let found = habit_faults(&plan, &request);
                    let found = found.into_iter().chain(proof_fault(&plan, &request));
                    faults.extend(found.map(|fault| format!("{}: {fault}", row.name)));
                }
            }
        }
    }
    none(&faults);
}

#[test]
fn every_row_reads_its_own_answer() {
    let mut faults = Vec::new();
    for row in all() {
        let example = &row.example;
        let mut headers = example.headers.clone();
        headers.entry("content-type".to_owned()).or_insert_with(|| "application/json".to_owned());
        let standard = ResponseShape::default();
        let told = row.response.clone();
        let shape = plan::plan(&row.example_spec()).map_or(standard, |plan| plan.response);
        let answer = Answer {
            status: example.status,
            headers: AnswerHeaders::read(|name| headers.get(name).cloned().into_iter().collect()),
            body: Redacted::new(example.body.clone().into_bytes()),
            sent: vec![Redacted::new(SECRET.to_owned())],
            shape: shape.clone(),
        };
        assert_eq!(shape.expires_in_unit, told.expires_in_unit.unwrap_or_default());
        let lifetime = example.lifetime_seconds.map_or(Lifetime::Unknown, |seconds| {
            Lifetime::Known(std::time::Duration::from_secs(seconds))
        });
        match read_answer(&answer, now()) {
            Err(error) => faults.push(format!("{}: {error:?}", row.name)),
            Ok(grant) => {
                let token = grant.token.expose() == &example.token;
                let kind = grant.token_type == example.token_type;
                if !token || !kind || grant.lifetime != lifetime {
                    let read = (token, kind, grant.lifetime);
                    faults.push(format!("{}: {read:?} and not {lifetime:?}", row.name));
                }
            }
        }
    }
    none(&faults);
}
