//! How one credential asks: its spec merged with the habits of its provider. In: a spec. Out: a
//! [`RequestPlan`] with every default applied, which everything after reads instead of the spec.
//!
//! **Invariant:** what a schema rule refuses is refused here again, since a cluster may hold objects
//! from before the rule; and nothing of a plan is secret.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::crd::{
    BasicEncoding, BodyFormat, ClientAuthentication, ClientAuthenticationMethod as Method,
    CredentialsSecretRef, ExpiresInUnit, Header, HmacAlgorithm, OAuthClientCredentialSpec,
    Parameter, PrivateKeyJwt, RequestOptions, ResponseOptions, ServiceAccountToken, Tls,
};
use crate::domain::output;
use crate::domain::provider::{self, Habits, ProviderDefaults};
use crate::domain::reason::Reason;

mod check;

pub use check::check_own_query;

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

/// The field that says where to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocatedBy {
    /// `spec.tokenURL`.
    #[default]
    TokenUrl,
    /// `spec.issuer`.
    Issuer,
    /// `spec.provider`.
    Provider,
}

impl LocatedBy {
    /// The field as it is written.
    pub const fn field(self) -> &'static str {
        match self {
            Self::TokenUrl => "spec.tokenURL",
            Self::Issuer => "spec.issuer",
            Self::Provider => "spec.provider",
        }
    }
}

/// How one credential asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPlan {
    /// Where.
    pub location: Location,
    /// Which field says so.
    pub located_by: LocatedBy,
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
    /// JSON pointers to what the managed Secret holds beside the token.
    pub values: BTreeSet<String>,
}

impl Default for ResponseShape {
    fn default() -> Self {
        Self {
            token_pointer: "/access_token".to_owned(),
            expires_in_pointer: "/expires_in".to_owned(),
            expires_in_unit: ExpiresInUnit::Seconds,
            values: BTreeSet::new(),
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
    let plan = RequestPlan {
        location: location(spec, &defaults)?,
        located_by: match (&spec.token_url, &spec.issuer) {
            (Some(_), _) => LocatedBy::TokenUrl,
            (None, Some(_)) => LocatedBy::Issuer,
            (None, None) => LocatedBy::Provider,
        },
        method: authentication.method.or(defaults.method).unwrap_or_default(),
        encoding: basic_encoding(&authentication).or(defaults.encoding).unwrap_or_default(),
        hmac_algorithm: authentication
            .client_secret_jwt
            .and_then(|settings| settings.algorithm)
            .unwrap_or_default(),
        private_key_jwt: authentication.private_key_jwt,
        service_account_token: authentication.service_account_token,
        client_id: spec.client_id.clone(),
        credentials: spec.credentials_secret_ref.clone(),
        grant_type: grant_type(&request, &defaults),
        body_format: body_format(&request, &defaults),
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
        response: ResponseShape {
            values: output::response_pointers(spec).into_values().collect(),
            ..response_shape(spec.response.as_ref(), &defaults.response)
        },
        tls: spec.tls.clone().unwrap_or_default(),
        habits: defaults.habits,
        timeout: spec.request_timeout(),
    };
    check::check(&plan)?;
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
    if let Some(issuer) = &spec.issuer {
        if spec.token_url.is_none() && spec.provider.is_none() {
            return Ok(Location::Issuer(issuer.clone()));
        }
        let message = "spec.issuer stands alone: remove it, or spec.tokenURL and spec.provider";
        return Err(Fault { reason: Reason::EndpointNotAllowed, message: message.to_owned() });
    }
    if let Some(url) = &spec.token_url {
        return Ok(Location::TokenUrl(url.clone()));
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

/// Where a provider is asked by GET, only the query is left.
fn body_format(request: &RequestOptions, defaults: &ProviderDefaults) -> BodyFormat {
    let usual = if defaults.habits.get { BodyFormat::Query } else { BodyFormat::default() };
    request.body_format.or(defaults.body_format).unwrap_or(usual)
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
        values: standard.values,
    }
}

#[cfg(test)]
mod tests;
