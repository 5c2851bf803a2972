//! One token request (RFC 6749 §4.4.2), or one that revokes a token (RFC 7009 §2.1). In: a plan, the URL,
//! what was read, now and entropy. Out: method, URL, headers and body, ready to send.
//!
//! **Invariant:** nothing that a person sets adds a second parameter or header, takes the place of
//! what authenticates the client, or changes a byte of the query that the URL already has.

use jiff::Timestamp;
use url::Url;

use crate::domain::{
    crd::{BodyFormat, Header, ParameterLocation, RESERVED_PARAMETERS},
    oauth::{
        Entropy, HttpMethod, RequestTraits, RequestValues, TokenRequest,
        authentication::{Client, Moment},
        form::Parameters,
    },
    plan::{self, Fault, RequestPlan},
    reason::Reason,
    redacted::Redacted,
};

/// A name in lower case and its value.
type HeaderLine = (String, Redacted<String>);

/// Builds the request of a plan (RFC 6749 §4.4.2) with exactly one client authentication (§2.3).
/// `url` is the token endpoint with its own query, `now` and `entropy` are for assertions.
///
/// # Errors
/// A value, a key or a URL that can't be used; nothing has been sent.
pub fn token_request(
    plan: &RequestPlan,
    mut url: Url,
    values: &RequestValues,
    now: Timestamp,
    entropy: Entropy,
) -> Result<TokenRequest, Fault> {
    plan::check_own_query(plan, url.query().unwrap_or_default())?;
    let client = Client::new(plan, values);
    let (mut parameters, mut query) = (asked(plan), Parameters::default());
    add_further(plan, values, &mut parameters, &mut query)?;
    let proof = client.prove(Moment { now, entropy }, &mut parameters)?;
    let mut sent = proof.sent;
    sent.extend(parameters.secrets().chain(query.secrets()));
    let mut http_method = HttpMethod::Post;
    let (content_type, body) = match plan.body_format {
        BodyFormat::Form => (Some("application/x-www-form-urlencoded"), Some(parameters.form())),
        BodyFormat::Json => (Some("application/json"), Some(parameters.json())),
        BodyFormat::Query if plan.habits.get => {
            http_method = HttpMethod::Get;
            (None, None)
        }
        BodyFormat::Query => (None, Some(Redacted::default())),
    };
    append(&mut url, if plan.body_format == BodyFormat::Query { &parameters } else { &query });
    let headers = headers(plan, values, content_type, proof.authorization)?;
    let read = plan.headers.iter().enumerate().filter(|(_, header)| header.value.is_none());
    sent.extend(read.filter_map(|(n, _)| values.headers.get(&n).cloned()));
    let traits = RequestTraits {
        method: plan.method,
        encoding: plan.encoding,
        encoding_matters: client.encoding_matters(),
        white_space: client.white_space(),
        beyond_ascii: client.beyond_ascii(),
        audience_is_issuer: client.audience_is_issuer(),
        audience_is_given: client.audience_is_given(),
        scopes: !plan.scopes.is_empty(),
        located_by: plan.located_by,
        short_secret: client.short_secret(),
        without_audience: plan.audience.is_none() && plan.resource_indicators.is_empty(),
    };
    let (shape, timeout) = (plan.response.clone(), plan.timeout);
    Ok(TokenRequest { http_method, url, headers, body, sent, shape, traits, timeout })
}

/// Builds the request that revokes a token (RFC 7009 §2.1): the client proves itself as it does at the token
/// endpoint, an assertion with the same audience included, and the headers of the spec go along; its
/// parameters belong to the grant. `url` is the revocation endpoint with its own query.
///
/// # Errors
/// As [`token_request`].
pub fn revocation_request(
    plan: &RequestPlan,
    url: Url,
    (values, token): (&RequestValues, &Redacted<String>),
    now: Timestamp,
    entropy: Entropy,
) -> Result<TokenRequest, Fault> {
    check_query_to_revoke(&url)?;
    let mut parameters = Parameters::default();
    parameters.add_secret("token", token);
    parameters.add("token_type_hint", "access_token");
    let proof = Client::new(plan, values).prove(Moment { now, entropy }, &mut parameters)?;
    let content_type = Some("application/x-www-form-urlencoded");
    Ok(TokenRequest {
        http_method: HttpMethod::Post,
        url,
        headers: headers(plan, values, content_type, proof.authorization)?,
        body: Some(parameters.form()),
        sent: proof.sent,
        shape: plan.response.clone(),
        traits: RequestTraits { method: plan.method, ..RequestTraits::default() },
        timeout: plan.timeout,
    })
}

/// A parameter comes once, so the query of the endpoint may name none that is sent.
fn check_query_to_revoke(url: &Url) -> Result<(), Fault> {
    let sent = |name: &str| {
        let mut ours = RESERVED_PARAMETERS.iter().chain(&["token", "token_type_hint"]);
        ours.any(|reserved| name.eq_ignore_ascii_case(reserved))
    };
    if !url.query_pairs().any(|(name, _)| sent(&name)) {
        return Ok(());
    }
    let message = "the query of the revocation endpoint has a parameter that the operator sends: set \
                   spec.revocation.url without it";
    Err(Fault { reason: Reason::EndpointNotAllowed, message: message.to_owned() })
}

/// What is asked for.
fn asked(plan: &RequestPlan) -> Parameters {
    let mut parameters = Parameters::default();
    if let Some(grant_type) = &plan.grant_type {
        parameters.add("grant_type", grant_type);
    }
    if !plan.scopes.is_empty() {
        // Three servers refuse an empty parameter, so there is none without scopes.
        parameters.add("scope", &plan.scopes.join(&plan.scope_separator));
    }
    if let Some(audience) = &plan.audience {
        parameters.add("audience", audience);
    }
    for resource in &plan.resource_indicators {
        parameters.add("resource", resource);
    }
    parameters
}

fn add_further(
    plan: &RequestPlan,
    values: &RequestValues,
    parameters: &mut Parameters,
    query: &mut Parameters,
) -> Result<(), Fault> {
    for (n, parameter) in plan.parameters.iter().enumerate() {
        // Where all go to the query, they keep their order.
        let in_query = parameter.location == Some(ParameterLocation::Query);
        let apart = in_query && plan.body_format != BodyFormat::Query;
        let place = if apart { &mut *query } else { &mut *parameters };
        if let Some(value) = &parameter.value {
            place.add(&parameter.name, value);
        } else {
            let value = values.parameters.get(&n);
            let value = value.ok_or_else(|| unread("spec.request.parameters", &parameter.name))?;
            place.add_secret(&parameter.name, value);
        }
    }
    Ok(())
}

/// Adds to the query that the URL already has.
fn append(url: &mut Url, parameters: &Parameters) {
    let added = parameters.form();
    if added.expose().is_empty() {
        return;
    }
    let query = match url.query() {
        None | Some("") => added,
        Some(own) if own.ends_with('&') => Redacted::new([own, added.expose()].concat()),
        Some(own) => Redacted::new([own, "&", added.expose()].concat()),
    };
    url.set_query(Some(query.expose()));
}

/// `Accept`, `Content-Type`, `Authorization`, then those of the spec.
fn headers(
    plan: &RequestPlan,
    values: &RequestValues,
    content_type: Option<&str>,
    authorization: Option<Redacted<String>>,
) -> Result<Vec<HeaderLine>, Fault> {
    let line = |name: &str, value: &str| (name.to_owned(), Redacted::new(value.to_owned()));
    let mut headers = vec![line("accept", "application/json")];
    headers.extend(content_type.map(|content_type| line("content-type", content_type)));
    headers.extend(authorization.map(|authorization| ("authorization".to_owned(), authorization)));
    for (n, header) in plan.headers.iter().enumerate() {
        let name = header.name.to_ascii_lowercase();
        let value = header_value(header, values.headers.get(&n))?;
        let is_empty = value.expose().is_empty();
        if name == "accept" {
            headers.retain(|(known, _)| known != "accept");
            if !is_empty {
                headers.insert(0, (name, value));
            }
        } else if !is_empty || name == "user-agent" {
            // `User-Agent` is the connection's default, so only an empty one can take its place.
            headers.push((name, value));
        }
    }
    Ok(headers)
}

fn header_value(
    header: &Header,
    read: Option<&Redacted<String>>,
) -> Result<Redacted<String>, Fault> {
    let written = header.value.as_ref().map(|value| Redacted::new(value.clone()));
    let value = written.or_else(|| read.cloned());
    let value = value.ok_or_else(|| unread("spec.request.headers", &header.name))?;
    if value.expose().bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(value);
    }
    let message = format!(
        "the value of the entry {} of spec.request.headers has a character that a header can't hold: \
         use ASCII letters, digits, signs and spaces",
        header.name
    );
    Err(Fault { reason: Reason::CredentialsInvalid, message })
}

/// A plan says what is read, so this happens only where one was made for other values.
fn unread(field: &str, name: &str) -> Fault {
    let message = format!("the value of the entry {name} of {field} was not read: check valueFrom");
    Fault { reason: Reason::CredentialsKeyMissing, message }
}
