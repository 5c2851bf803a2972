//! The rules of the schema, once more, and those that need a parsed URL. In: a plan. Out: nothing,
//! or the field to change.
//!
//! **Invariant:** what passes has one value for every parameter and header and what its method
//! needs, and puts no value of a Secret into a URL unless its row of the catalogue says so.

use url::form_urlencoded;

use crate::domain::crd::{
    BodyFormat, ClientAuthenticationMethod as Method, Header, Parameter, ParameterLocation,
    RESERVED_HEADER_PREFIXES, RESERVED_HEADERS, RESERVED_PARAMETERS,
};
use crate::domain::plan::{Fault, Location, RequestPlan};
use crate::domain::provider::Habits;
use crate::domain::reason::Reason;

/// Every rule, the first that is broken wins.
pub(super) fn check(plan: &RequestPlan) -> Result<(), Fault> {
    check_client(plan)?;
    check_method(plan)?;
    check_query(plan)?;
    check_parameters(&plan.parameters, &plan.habits)?;
    check_headers(&plan.headers)?;
    match &plan.location {
        Location::TokenUrl(url) => check_own_query(plan, written_query(url)),
        Location::Issuer(_) => Ok(()),
    }
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { reason: Reason::CredentialsInvalid, message: message.into() })
}

/// Where ID and secret come from.
fn check_client(plan: &RequestPlan) -> Result<(), Fault> {
    let needs_id = plan.method != Method::ServiceAccountToken;
    let needs_secret = plan.method.needs_client_secret();
    if plan.credentials.is_none() && (needs_secret || needs_id && plan.client_id.is_none()) {
        let what = if needs_secret { "and the client secret" } else { "or set spec.clientID" };
        let message = format!(
            "set spec.credentialsSecretRef.name to the Secret that holds the client ID {what}"
        );
        return Err(Fault { reason: Reason::CredentialsNotFound, message });
    }
    let key = plan.credentials.as_ref().and_then(|named| named.client_id_key.as_ref());
    if plan.client_id.is_some() && key.is_some() {
        return invalid(
            "the client ID has two sources: remove spec.clientID or \
             spec.credentialsSecretRef.clientIDKey",
        );
    }
    Ok(())
}

/// What each method needs, and what only it may have: a key or an account that is named is also read.
fn check_method(plan: &RequestPlan) -> Result<(), Fault> {
    let signing = "spec.clientAuthentication.privateKeyJWT.keySecretRef";
    let account = "spec.clientAuthentication.serviceAccountToken";
    let certificate = "spec.tls.clientCertificateSecretRef";
    for (method, field, is_set, exclusive) in [
        (Method::PrivateKeyJwt, signing, plan.private_key_jwt.is_some(), true),
        (Method::ServiceAccountToken, account, plan.service_account_token.is_some(), true),
        (
            Method::TlsClientAuth,
            certificate,
            plan.tls.client_certificate_secret_ref.is_some(),
            false,
        ),
    ] {
        let word = method.as_str();
        if plan.method == method && !is_set {
            let message = format!("method {word} needs {field}: set it");
            return Err(Fault { reason: Reason::CredentialsNotFound, message });
        }
        if plan.method != method && is_set && exclusive {
            let message = format!("{field} is only for method {word}: remove it or set the method");
            return invalid(message);
        }
    }
    Ok(())
}

/// No secret in a URL, where proxies log it; only a row of the catalogue may ask for that, and only
/// for the client secret.
fn check_query(plan: &RequestPlan) -> Result<(), Fault> {
    if plan.body_format != BodyFormat::Query {
        return Ok(());
    }
    let allowed = plan.habits.secret_in_query && plan.method == Method::ClientSecretPost;
    if plan.method.puts_a_secret_among_the_parameters() && !allowed {
        return invalid(
            "spec.request.bodyFormat: Query would put a secret or an assertion into the URL, where \
             proxies log it: use method ClientSecretBasic, TLSClientAuth or None, or bodyFormat Form or JSON",
        );
    }
    let id_in_query = plan.method != Method::ClientSecretBasic;
    if id_in_query && plan.reads_client_id() && !allowed {
        return invalid(
            "spec.request.bodyFormat: Query would put a value of the Secret of spec.credentialsSecretRef \
             into the URL, where proxies log it: write the client ID into spec.clientID",
        );
    }
    if plan.parameters.iter().any(|parameter| parameter.value_from.is_some()) {
        return invalid(
            "spec.request.bodyFormat: Query would put a value of a Secret into the URL, where proxies \
             log it: remove valueFrom from spec.request.parameters, or use bodyFormat Form or JSON",
        );
    }
    Ok(())
}

fn check_parameters(parameters: &[Parameter], habits: &Habits) -> Result<(), Fault> {
    for (n, parameter) in parameters.iter().enumerate() {
        let name = &parameter.name;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return invalid(format!(
                "spec.request.parameters has the entry {name:?}: use ASCII letters, digits and signs"
            ));
        }
        if is_reserved(name, habits) {
            return invalid(format!(
                "spec.request.parameters has the entry {name}, which has a field of its own: use that"
            ));
        }
        if parameters.iter().take(n).any(|before| before.name == *name) {
            return invalid(format!(
                "spec.request.parameters has two entries {name}: remove one, a parameter is sent once"
            ));
        }
        if parameter.value.is_some() == parameter.value_from.is_some() {
            return invalid(format!(
                "the entry {name} of spec.request.parameters needs either value or valueFrom"
            ));
        }
        let in_query = parameter.location == Some(ParameterLocation::Query);
        if in_query && parameter.value_from.is_some() {
            return invalid(format!(
                "the entry {name} of spec.request.parameters would put a value of a Secret into the \
                 query, where proxies log it: remove in: Query"
            ));
        }
    }
    Ok(())
}

/// Whether the operator writes a parameter of this name itself.
fn is_reserved(name: &str, habits: &Habits) -> bool {
    let habits = [habits.client_id_name.as_str(), habits.client_secret_name.as_str()];
    RESERVED_PARAMETERS.iter().chain(&habits).any(|reserved| name.eq_ignore_ascii_case(reserved))
}

fn check_headers(headers: &[Header]) -> Result<(), Fault> {
    for (n, header) in headers.iter().enumerate() {
        let name = header.name.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+.^_`|~-".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            return invalid(format!(
                "spec.request.headers has the entry {:?}, which is no name of a header: correct it",
                header.name
            ));
        }
        let reserved = RESERVED_HEADERS.contains(&name.as_str())
            || RESERVED_HEADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if reserved {
            return invalid(format!(
                "spec.request.headers has the entry {}, which the operator or the connection writes: \
                 remove it",
                header.name
            ));
        }
        if headers.iter().take(n).any(|before| before.name.eq_ignore_ascii_case(&name)) {
            return invalid(format!("spec.request.headers has two entries {name}: remove one"));
        }
        if header.value.is_some() == header.value_from.is_some() {
            return invalid(format!(
                "the entry {name} of spec.request.headers needs either value or valueFrom"
            ));
        }
    }
    Ok(())
}

fn written_query(url: &str) -> &str {
    let written = url.split('#').next().unwrap_or_default();
    written.split_once('?').map_or("", |(_, query)| query)
}

/// Whether the query that a token endpoint already has names nothing that the operator sends, since a
/// parameter comes once (RFC 6749 §3.2). Without a grant type of ours it may name that (Zoom).
///
/// # Errors
/// The parameter, and the field that it belongs to.
pub fn check_own_query(plan: &RequestPlan, query: &str) -> Result<(), Fault> {
    let sent: Vec<_> = plan.parameters.iter().map(|sent| &sent.name).collect();
    for (name, _) in form_urlencoded::parse(query.as_bytes()) {
        let lower = name.to_ascii_lowercase();
        let doubled = sent.iter().any(|sent| **sent == name);
        if lower == "grant_type" && plan.grant_type.is_none() && !doubled {
            continue;
        }
        if !doubled && !is_reserved(&name, &plan.habits) {
            continue;
        }
        let message = match &plan.location {
            Location::TokenUrl(_) => {
                format!("the query of spec.tokenURL has {lower}: {}", instead(&lower, &plan.habits))
            }
            Location::Issuer(_) => format!(
                "the token endpoint in the metadata of spec.issuer has {lower} in its query: set \
                 spec.tokenURL without it instead of spec.issuer"
            ),
        };
        return Err(Fault { reason: Reason::EndpointNotAllowed, message });
    }
    Ok(())
}

/// What to do instead of writing a parameter into the URL.
fn instead(name: &str, habits: &Habits) -> &'static str {
    let name = match name {
        _ if name.eq_ignore_ascii_case(&habits.client_id_name) => "client_id",
        _ if name.eq_ignore_ascii_case(&habits.client_secret_name) => "client_secret",
        _ => name,
    };
    match name {
        "grant_type" => {
            "remove it and set spec.request.grantType, which may be \"\" to send it in the URL alone"
        }
        "client_id" => "remove it and set spec.clientID or spec.credentialsSecretRef",
        "client_secret" => "remove it and set spec.credentialsSecretRef",
        "client_assertion" | "client_assertion_type" => {
            "remove it and set spec.clientAuthentication"
        }
        "scope" => "remove it and set spec.scopes",
        "audience" => "remove it and set spec.audience",
        "resource" => "remove it and set spec.resourceIndicators",
        _ => "remove it there or from spec.request.parameters, a parameter is sent once",
    }
}
