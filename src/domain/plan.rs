//! How one credential asks: its spec merged with the habits of its provider. In: a spec. Out: a
//! [`RequestPlan`] with every default applied, which everything after reads instead of the spec.
//!
//! **Invariant:** what a schema rule refuses is refused here again, since a cluster may hold objects
//! from before the rule; and nothing of a plan is secret.

use std::time::Duration;

use crate::domain::crd::{
    BasicEncoding, BodyFormat, ClientAuthentication, ClientAuthenticationMethod as Method,
    CredentialsSecretRef, ExpiresInUnit, Header, HmacAlgorithm, OAuthClientCredentialSpec,
    Parameter, ParameterLocation, PrivateKeyJwt, RESERVED_HEADER_PREFIXES, RESERVED_HEADERS,
    RESERVED_PARAMETERS, RequestOptions, ResponseOptions, ServiceAccountToken, Tls,
};
use crate::domain::provider::{self, Habits, ProviderDefaults};
use crate::domain::reason::Reason;

/// Why nothing can be asked, before anything is read or sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// The field to change and what to do.
    pub message: String,
}

/// Where to ask, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// The token endpoint.
    TokenUrl(String),
    /// The issuer, whose metadata names the token endpoint.
    Issuer(String),
}

/// How one credential asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPlan {
    /// Where.
    pub location: Location,
    /// How the client proves who it is.
    pub method: Method,
    /// How ID and secret are written into the Basic header.
    pub encoding: BasicEncoding,
    /// With `ClientSecretJWT`: the signature.
    pub hmac_algorithm: HmacAlgorithm,
    /// With `PrivateKeyJWT`: the key and the claims.
    pub private_key_jwt: Option<PrivateKeyJwt>,
    /// With `ServiceAccountToken`: whose token.
    pub service_account_token: Option<ServiceAccountToken>,
    /// The client ID, where the spec holds it.
    pub client_id: Option<String>,
    /// The Secret of the client ID, of the client secret, or of both.
    pub credentials: Option<CredentialsSecretRef>,
    /// The grant type; `None` is not sent.
    pub grant_type: Option<String>,
    /// Where the parameters go.
    pub body_format: BodyFormat,
    /// The scopes.
    pub scopes: Vec<String>,
    /// What stands between them.
    pub scope_separator: String,
    /// The `audience` parameter.
    pub audience: Option<String>,
    /// The `resource` parameters (RFC 8707).
    pub resource_indicators: Vec<String>,
    /// Further parameters, in order.
    pub parameters: Vec<Parameter>,
    /// Further headers.
    pub headers: Vec<Header>,
    /// Where the answer holds what.
    pub response: ResponseShape,
    /// Trust and identity of the connection.
    pub tls: Tls,
    /// What no field of the resource can say.
    pub habits: Habits,
    /// The limit of the whole exchange.
    pub timeout: Duration,
}

/// Where the answer holds what, every default applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseShape {
    /// JSON pointer to the token.
    pub token_pointer: String,
    /// JSON pointer to the lifetime.
    pub expires_in_pointer: String,
    /// What stands there.
    pub expires_in_unit: ExpiresInUnit,
}

impl Default for ResponseShape {
    fn default() -> Self {
        Self {
            token_pointer: "/access_token".to_owned(),
            expires_in_pointer: "/expires_in".to_owned(),
            expires_in_unit: ExpiresInUnit::Seconds,
        }
    }
}

/// The plan of a spec.
///
/// # Errors
/// A provider that is not in the catalogue or lacks a value, and whatever the schema would refuse.
pub fn plan(spec: &OAuthClientCredentialSpec) -> Result<RequestPlan, Fault> {
    let defaults = provider::defaults(spec)?;
    let authentication = spec.client_authentication.clone().unwrap_or_default();
    let request = spec.request.clone().unwrap_or_default();
    let method = authentication.method.or(defaults.method).unwrap_or_default();
    let plan = RequestPlan {
        location: location(spec, &defaults)?,
        method,
        encoding: basic_encoding(&authentication).or(defaults.encoding).unwrap_or_default(),
        hmac_algorithm: authentication
            .client_secret_jwt
            .and_then(|settings| settings.algorithm)
            .unwrap_or_default(),
        // A member of another method is read by nobody, so nobody has to consent to it.
        private_key_jwt: authentication.private_key_jwt.filter(|_| method == Method::PrivateKeyJwt),
        service_account_token: authentication
            .service_account_token
            .filter(|_| method == Method::ServiceAccountToken),
        client_id: spec.client_id.clone(),
        credentials: spec.credentials_secret_ref.clone(),
        grant_type: grant_type(&request, &defaults),
        body_format: request.body_format.or(defaults.body_format).unwrap_or_default(),
        scopes: if spec.scopes.is_empty() { defaults.scopes } else { spec.scopes.clone() },
        scope_separator: request
            .scope_separator
            .or(defaults.scope_separator)
            .unwrap_or_else(|| " ".to_owned()),
        audience: spec.audience.clone().or(defaults.audience),
        resource_indicators: if spec.resource_indicators.is_empty() {
            defaults.resource_indicators
        } else {
            spec.resource_indicators.clone()
        },
        parameters: merged(defaults.parameters, request.parameters, |a, b| a.name == b.name),
        headers: merged(defaults.headers, request.headers, |a, b| {
            a.name.eq_ignore_ascii_case(&b.name)
        }),
        response: response_shape(spec.response.as_ref(), &defaults.response),
        tls: spec.tls.clone().unwrap_or_default(),
        habits: defaults.habits,
        timeout: spec.request_timeout(),
    };
    check(&plan)?;
    Ok(plan)
}

impl RequestPlan {
    /// Whether the client ID is read from the Secret of the credentials. A ServiceAccount's token needs
    /// none, so a Secret named beside it can only be for the ID.
    pub const fn reads_client_id(&self) -> bool {
        self.client_id.is_none() && self.credentials.is_some()
    }
}

fn location(
    spec: &OAuthClientCredentialSpec,
    defaults: &ProviderDefaults,
) -> Result<Location, Fault> {
    if let Some(url) = &spec.token_url {
        return Ok(Location::TokenUrl(url.clone()));
    }
    if let Some(issuer) = &spec.issuer {
        return Ok(Location::Issuer(issuer.clone()));
    }
    if let Some(url) = &defaults.token_url {
        return Ok(Location::TokenUrl(url.clone()));
    }
    let message = match &spec.provider {
        Some(provider) => format!(
            "{} has a token endpoint of its own for each customer: set spec.tokenURL",
            provider.name
        ),
        None => "set spec.tokenURL, spec.issuer or spec.provider".to_owned(),
    };
    Err(Fault { reason: Reason::EndpointNotAllowed, message })
}

fn basic_encoding(authentication: &ClientAuthentication) -> Option<BasicEncoding> {
    authentication.client_secret_basic.as_ref()?.encoding
}

fn grant_type(request: &RequestOptions, defaults: &ProviderDefaults) -> Option<String> {
    let asked = request.grant_type.as_ref().or(defaults.grant_type.as_ref());
    let asked = asked.map_or("client_credentials", String::as_str);
    (!asked.is_empty()).then(|| asked.to_owned())
}

/// The provider's, each replaced by the spec's of the same name, then the spec's own.
fn merged<T>(defaults: Vec<T>, asked: Vec<T>, same: impl Fn(&T, &T) -> bool) -> Vec<T> {
    let kept = defaults.into_iter().filter(|default| !asked.iter().any(|own| same(own, default)));
    let mut all: Vec<T> = kept.collect();
    all.extend(asked);
    all
}

fn response_shape(asked: Option<&ResponseOptions>, defaults: &ResponseOptions) -> ResponseShape {
    let none = ResponseOptions::default();
    let asked = asked.unwrap_or(&none);
    let standard = ResponseShape::default();
    let pointer = |asked: &Option<String>, default: &Option<String>, standard: String| {
        asked.clone().or_else(|| default.clone()).unwrap_or(standard)
    };
    ResponseShape {
        token_pointer: pointer(
            &asked.token_pointer,
            &defaults.token_pointer,
            standard.token_pointer,
        ),
        expires_in_pointer: pointer(
            &asked.expires_in_pointer,
            &defaults.expires_in_pointer,
            standard.expires_in_pointer,
        ),
        expires_in_unit: asked.expires_in_unit.or(defaults.expires_in_unit).unwrap_or_default(),
    }
}

/// The rules of the schema, once more.
fn check(plan: &RequestPlan) -> Result<(), Fault> {
    let fault = |reason, message: String| Err(Fault { reason, message });
    let needs_id = plan.method != Method::ServiceAccountToken;
    let needs_secret = plan.method.needs_client_secret();
    if plan.credentials.is_none() && (needs_secret || needs_id && plan.client_id.is_none()) {
        let what = if needs_secret { "and the client secret" } else { "or set spec.clientID" };
        let message = format!(
            "set spec.credentialsSecretRef.name to the Secret that holds the client ID {what}"
        );
        return fault(Reason::CredentialsNotFound, message);
    }
    let missing = match plan.method {
        Method::PrivateKeyJwt if plan.private_key_jwt.is_none() => {
            Some("spec.clientAuthentication.privateKeyJWT.keySecretRef")
        }
        Method::ServiceAccountToken if plan.service_account_token.is_none() => {
            Some("spec.clientAuthentication.serviceAccountToken")
        }
        Method::TlsClientAuth if plan.tls.client_certificate_secret_ref.is_none() => {
            Some("spec.tls.clientCertificateSecretRef")
        }
        Method::ClientSecretBasic
        | Method::ClientSecretPost
        | Method::ClientSecretJwt
        | Method::PrivateKeyJwt
        | Method::TlsClientAuth
        | Method::ServiceAccountToken
        | Method::None => None,
    };
    if let Some(field) = missing {
        let message = format!("method {} needs {field}: set it", plan.method.as_str());
        return fault(Reason::CredentialsNotFound, message);
    }
    check_query(plan)?;
    check_parameters(&plan.parameters)?;
    check_headers(&plan.headers)
}

/// No secret in a URL, where proxies log it; only a row of the catalogue may ask for that.
fn check_query(plan: &RequestPlan) -> Result<(), Fault> {
    let fault = |message: &str| {
        Err(Fault { reason: Reason::CredentialsInvalid, message: message.to_owned() })
    };
    if plan.body_format != BodyFormat::Query || plan.habits.secret_in_query {
        return Ok(());
    }
    if plan.method.puts_a_secret_among_the_parameters() {
        return fault(
            "spec.request.bodyFormat: Query would put a secret or an assertion into the URL, where \
             proxies log it: use method ClientSecretBasic, TLSClientAuth or None, or bodyFormat Form or JSON",
        );
    }
    if plan.parameters.iter().any(|parameter| parameter.value_from.is_some()) {
        return fault(
            "spec.request.bodyFormat: Query would put a value of a Secret into the URL, where proxies \
             log it: remove valueFrom from spec.request.parameters, or use bodyFormat Form or JSON",
        );
    }
    Ok(())
}

fn check_parameters(parameters: &[Parameter]) -> Result<(), Fault> {
    let fault = |message: String| Err(Fault { reason: Reason::CredentialsInvalid, message });
    for (n, parameter) in parameters.iter().enumerate() {
        let name = &parameter.name;
        if RESERVED_PARAMETERS.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return fault(format!(
                "spec.request.parameters has the entry {name}, which has a field of its own: use that"
            ));
        }
        if parameters.iter().take(n).any(|before| before.name == *name) {
            return fault(format!(
                "spec.request.parameters has two entries {name}: remove one, a parameter is sent once"
            ));
        }
        if parameter.value.is_some() == parameter.value_from.is_some() {
            return fault(format!(
                "the entry {name} of spec.request.parameters needs either value or valueFrom"
            ));
        }
        let in_query = parameter.location == Some(ParameterLocation::Query);
        if in_query && parameter.value_from.is_some() {
            return fault(format!(
                "the entry {name} of spec.request.parameters would put a value of a Secret into the \
                 query, where proxies log it: remove in: Query"
            ));
        }
    }
    Ok(())
}

fn check_headers(headers: &[Header]) -> Result<(), Fault> {
    let fault = |message: String| Err(Fault { reason: Reason::CredentialsInvalid, message });
    for (n, header) in headers.iter().enumerate() {
        let name = header.name.to_ascii_lowercase();
        let reserved = RESERVED_HEADERS.contains(&name.as_str())
            || RESERVED_HEADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if reserved {
            return fault(format!(
                "spec.request.headers has the entry {}, which the operator or the connection writes: \
                 remove it",
                header.name
            ));
        }
        if headers.iter().take(n).any(|before| before.name.eq_ignore_ascii_case(&name)) {
            return fault(format!("spec.request.headers has two entries {name}: remove one"));
        }
        if header.value.is_some() == header.value_from.is_some() {
            return fault(format!(
                "the entry {name} of spec.request.headers needs either value or valueFrom"
            ));
        }
    }
    Ok(())
}
