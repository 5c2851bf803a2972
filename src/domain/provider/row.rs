//! One row of the catalogue, as `catalogue.yaml` writes it.
//!
//! **Invariant:** a member that is not a field here is an error of the whole file, so a typing mistake
//! can't silently drop a habit; and nothing here is code: a row is data.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::crd::{
    BasicEncoding, BodyFormat, ClientAuthenticationMethod, CredentialsSecretRef,
    OAuthClientCredentialSpec, ParameterLocation, Provider, ResponseOptions,
};
use crate::domain::provider::Habits;

/// A service with a token endpoint.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Row {
    /// The word in `spec.provider.name`.
    pub name: String,
    /// The service as its vendor calls it.
    pub title: String,
    /// Other words that people may try; each leads to `name` in a message.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What kind of service it is.
    pub category: String,
    /// The token endpoint, with named values in braces; absent where each customer has another.
    #[serde(default, rename = "tokenURL")]
    pub token_url: Option<String>,
    /// The named values.
    #[serde(default)]
    pub parameters: Vec<NamedValue>,
    /// How the client proves who it is.
    pub method: ClientAuthenticationMethod,
    /// How ID and secret are written into the Basic header.
    #[serde(default)]
    pub encoding: Option<BasicEncoding>,
    /// What is asked.
    #[serde(default)]
    pub request: RowRequest,
    /// Where the answer holds what.
    #[serde(default)]
    pub response: ResponseOptions,
    /// What no field of the resource can say.
    #[serde(default)]
    pub habits: Habits,
    /// What the vendor's console calls the two credentials.
    pub console: Console,
    /// What its tokens are like.
    pub lifetime: String,
    /// What else to know; one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Which parts of the row nobody has verified.
    #[serde(default)]
    pub from_memory: Vec<String>,
    /// The vendor's documentation.
    pub documentation: String,
    /// Where the row comes from.
    pub verified: Verified,
    /// A spec to copy and an answer to read.
    pub example: Example,
}

/// A value that each customer has to give.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedValue {
    /// The key in `spec.provider.parameters`.
    pub name: String,
    /// What it is.
    pub description: String,
    /// Where the vendor shows it.
    pub found_at: String,
    /// What it looks like.
    pub example: String,
    /// What is used where it is not given.
    #[serde(default)]
    pub default: Option<String>,
    /// The only values that there are; any of the right form where the list is empty.
    #[serde(default)]
    pub values: Vec<String>,
    /// Without it the parameter or header that it stands in is left out.
    #[serde(default)]
    pub optional: bool,
}

/// What is asked, with named values in braces.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RowRequest {
    /// The grant type; an empty one is not sent.
    pub grant_type: Option<String>,
    /// Where the parameters go.
    pub body_format: Option<BodyFormat>,
    /// What stands between scopes.
    pub scope_separator: Option<String>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The `audience` parameter.
    pub audience: Option<String>,
    /// The `resource` parameters.
    pub resource_indicators: Vec<String>,
    /// Further parameters.
    pub parameters: Vec<RowParameter>,
    /// Further headers.
    pub headers: Vec<RowHeader>,
}

/// A further parameter, never a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RowParameter {
    /// Its name.
    pub name: String,
    /// Its value, with named values in braces.
    pub value: String,
    /// Where it goes.
    #[serde(default, rename = "in")]
    pub location: Option<ParameterLocation>,
}

/// A further header, never a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RowHeader {
    /// Its name.
    pub name: String,
    /// Its value, with named values in braces.
    pub value: String,
}

/// What the vendor's console calls the two credentials.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Console {
    /// The client ID.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// The client secret, or what proves the client instead.
    pub client_secret: String,
}

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verified {
    /// The vendor's documentation.
    Documentation,
    /// Source code of the server or of a client.
    Source,
    /// A running server.
    Measured,
    /// A catalogue of integrations that runs in production.
    Integration,
    /// Nobody has looked it up.
    Memory,
}

/// A spec to copy and an answer to read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Example {
    /// What a user writes beside `provider` and `credentialsSecretRef`.
    #[serde(default)]
    pub spec: OAuthClientCredentialSpec,
    /// The HTTP status of the answer.
    #[serde(default = "ok")]
    pub status: u16,
    /// Its headers; `Content-Type: application/json` where there are none.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: String,
    /// The token in it.
    pub token: String,
    /// The lifetime that it tells, in seconds; absent where it tells none.
    #[serde(default)]
    pub lifetime_seconds: Option<u64>,
    /// The type of the token.
    #[serde(default = "bearer")]
    pub token_type: String,
}

/// A service that is not in the catalogue, and why.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NotCovered {
    /// The word that people try.
    pub name: String,
    /// Why it is not there; completes "it is not in the catalogue:".
    pub why: String,
    /// What to do instead.
    pub instead: String,
}

const fn ok() -> u16 {
    200
}

fn bearer() -> String {
    "Bearer".to_owned()
}

impl Row {
    /// The named value of that name.
    pub fn parameter(&self, name: &str) -> Option<&NamedValue> {
        self.parameters.iter().find(|named| named.name == name)
    }

    /// The spec to copy: the row's example with every named value that has to be given.
    pub fn example_spec(&self) -> OAuthClientCredentialSpec {
        let mut spec = self.example.spec.clone();
        let needed = self.parameters.iter().filter(|named| named.must_be_given());
        let parameters = needed.map(|named| (named.name.clone(), named.example.clone())).collect();
        spec.provider = Some(Provider { name: self.name.clone(), parameters });
        let method = spec.client_authentication.as_ref().and_then(|asked| asked.method);
        if method.unwrap_or(self.method).needs_client_secret() || spec.client_id.is_none() {
            let name = format!("{}-client", self.object_name());
            spec.credentials_secret_ref =
                Some(CredentialsSecretRef { name, ..CredentialsSecretRef::default() });
        }
        spec
    }

    /// The row's name as objects of Kubernetes may be called.
    pub fn object_name(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    /// What a message adds where nobody has verified the row.
    pub(super) fn caveat(&self) -> &'static str {
        match self.verified {
            Verified::Memory => "; this entry was written from memory and is not verified",
            Verified::Documentation
            | Verified::Source
            | Verified::Measured
            | Verified::Integration => "",
        }
    }
}

impl NamedValue {
    /// Whether nothing stands in for it.
    pub const fn must_be_given(&self) -> bool {
        self.default.is_none() && !self.optional
    }
}
