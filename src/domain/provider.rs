//! The catalogue of providers: services with a token endpoint and habits of their own, as data.
//! In: a spec with the name and the values of `spec.provider`. Out: what takes the place of fields
//! that the spec leaves out. The parts lie in `provider/`: `catalogue` is the data, `row` its types,
//! `expand` fills in the named values, `nearest` answers a wrong name, `page` writes the documentation.
//!
//! **Invariant:** a row can only say what a field of the resource says, and what [`Habits`] lists. A
//! named value never changes which host its row's URL leads to, but where it is the whole host.

use serde::{Deserialize, Serialize};

use crate::domain::crd::{
    BasicEncoding, BodyFormat, ClientAuthenticationMethod, Header, OAuthClientCredentialSpec,
    Parameter, ResponseOptions,
};
use crate::domain::plan::Fault;

mod catalogue;
mod expand;
mod nearest;
pub mod page;
mod row;
#[cfg(test)]
mod tests;

pub use catalogue::{all, find, not_covered};
pub use row::{
    Console, Example, NamedValue, NotCovered, Row, RowHeader, RowParameter, RowRequest, Verified,
};

/// What stands in for fields that the spec leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderDefaults {
    /// The token endpoint; `None` where each customer has another, or the spec gives its own.
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

/// Habits of one or two vendors, which only the catalogue can ask for. `ARCHITECTURE.md` lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Habits {
    /// The word before the Basic credentials; `ID` at Workday.
    pub basic_scheme: String,
    /// ID and secret are base64 each before they are joined (Sabre).
    pub double_base64: bool,
    /// The name of the client ID among the parameters; `accessKeyId` at NICE CXone.
    #[serde(rename = "clientIDName")]
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

/// What the catalogue says of the provider of a spec, its named values filled in. A value that only
/// serves fields which the spec sets itself may be missing.
///
/// # Errors
/// `ProviderUnknown` for a name that is not in the catalogue, with the nearest ones; for a value that
/// is missing, unknown, or not of the form that its place in the request allows.
pub fn defaults(spec: &OAuthClientCredentialSpec) -> Result<ProviderDefaults, Fault> {
    let Some(provider) = &spec.provider else {
        return Ok(ProviderDefaults::default());
    };
    let row = find(&provider.name).ok_or_else(|| nearest::unknown(&provider.name))?;
    expand::defaults(row, &provider.parameters, spec)
}

/// At most 64 characters of what a person wrote, for a message; what is not plain becomes `?`.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    text.chars().take(64).map(plain).collect()
}
