//! What is asked and how the answer is read: `spec.provider`, `spec.request` and `spec.response`.
//!
//! **Invariant:** nothing here can name a parameter or a header that the operator writes itself; the
//! lists of reserved names are those of [`RESERVED_PARAMETERS`] and [`RESERVED_HEADERS`].
#![allow(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function to derive its schema"
)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DURATION_PATTERN, NAME_PATTERN, SECRET_KEY_PATTERN};

/// Parameters that have a field of their own, compared without case.
pub const RESERVED_PARAMETERS: [&str; 8] = [
    "grant_type",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "scope",
    "audience",
    "resource",
];
/// Headers that the operator or the connection writes, compared without case.
pub const RESERVED_HEADERS: [&str; 7] =
    ["authorization", "host", "cookie", "connection", "transfer-encoding", "te", "upgrade"];
/// How the names of further reserved headers begin, compared without case.
pub const RESERVED_HEADER_PREFIXES: [&str; 2] = ["proxy-", "content-"];

/// An entry of the catalogue of providers.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provider {
    /// Name of the entry, for example `Zoom`.
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9]+$"))]
    pub name: String,
    /// The values that the entry needs, such as an account, a region or a tenant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 16,
        "additionalProperties" = {
            "type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[\\x20-\\x7E]+$"
        }
    ))]
    #[x_kube(validation = Rule::new("self.all(name, size(name) >= 1 && size(name) <= 64)").message("each name in spec.provider.parameters must have 1 to 64 characters"))]
    pub parameters: BTreeMap<String, String>,
}

/// For endpoints with habits of their own.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestOptions {
    /// How long one token request may take, from 1s to 30s; `10s` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = DURATION_PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('30s')").message("spec.request.timeout must be from 1s to 30s"))]
    pub timeout: Option<kube::core::Duration>,
    /// The `grant_type` parameter; `client_credentials` where it is absent, and an empty one is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = "^[\\x21-\\x7E]*$"))]
    pub grant_type: Option<String>,
    /// Where the parameters go; `Form` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_format: Option<BodyFormat>,
    /// What stands between scopes; a space where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4), regex(pattern = "^[\\x20-\\x7E]+$"))]
    pub scope_separator: Option<String>,
    /// Further parameters, sent in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[x_kube(validation = Rule::new("self.all(p, self.exists_one(q, q.name == p.name))").message("two entries of spec.request.parameters have the same name: a parameter is sent once (RFC 6749 section 3.2)"))]
    pub parameters: Vec<Parameter>,
    /// Further headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[x_kube(validation = Rule::new("self.all(h, self.exists_one(g, g.name.lowerAscii() == h.name.lowerAscii()))").message("two entries of spec.request.headers have the same name: names of headers are compared without case (RFC 9110 section 5.1)"))]
    pub headers: Vec<Header>,
}

/// Where the parameters go; `Form` where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BodyFormat {
    /// `application/x-www-form-urlencoded` in the body (RFC 6749 §4.4.2).
    #[default]
    Form,
    /// A JSON object in the body.
    #[serde(rename = "JSON")]
    Json,
    /// The query of the URL, without a body.
    Query,
}

/// A further parameter of the request.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.value) != has(self.valueFrom)").message("set either value or valueFrom in each entry of spec.request.parameters"),
    validation = Rule::new("!(has(self.valueFrom) && has(self.__in__) && self.__in__ == 'Query')").message("a value of a Secret may not stand in the query, where proxies log it: remove in: Query from this entry of spec.request.parameters"),
    validation = Rule::new("!(self.name.lowerAscii() in ['grant_type', 'client_id', 'client_secret', 'client_assertion', 'client_assertion_type', 'scope', 'audience', 'resource'])").message("this name of spec.request.parameters has a field of its own: spec.request.grantType, spec.clientID, spec.clientAuthentication, spec.scopes, spec.audience or spec.resourceIndicators"),
)]
pub struct Parameter {
    /// Name of the parameter.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[\\x21-\\x7E]+$"))]
    pub name: String,
    /// The value, where it is no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub value: Option<String>,
    /// Where the value lies, where it is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
    /// Where the parameter goes; `Body`, in the format of `bodyFormat`, where it is absent.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub location: Option<ParameterLocation>,
}

/// Where the parameter goes; `Body`, in the format of `bodyFormat`, where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ParameterLocation {
    /// With the other parameters.
    #[default]
    Body,
    /// The query of the URL.
    Query,
}

/// A further header of the request.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.value) != has(self.valueFrom)").message("set either value or valueFrom in each entry of spec.request.headers"),
    validation = Rule::new("!(self.name.lowerAscii() in ['authorization', 'host', 'cookie', 'connection', 'transfer-encoding', 'te', 'upgrade']) && !self.name.lowerAscii().startsWith('proxy-') && !self.name.lowerAscii().startsWith('content-')").message("this header of spec.request.headers is written by the operator or belongs to the connection: remove it; spec.clientAuthentication writes Authorization"),
)]
pub struct Header {
    /// Name of the header (RFC 9110 §5.6.2).
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub name: String,
    /// The value, where it is no secret; an empty one of `Accept` accepts any answer (`*/*`).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 4096),
        regex(pattern = "^([\\x21-\\x7E]([\\x20-\\x7E]*[\\x21-\\x7E])?)?$")
    )]
    pub value: Option<String>,
    /// Where the value lies, where it is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFrom>,
}

/// Where a value lies.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// A key of a Secret.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret in the same namespace.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret. Its annotation `oauthcc.dev/allowed-token-hosts` must list the host of the
    /// token endpoint.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY_PATTERN))]
    pub key: String,
}

/// Where the answer holds what (RFC 6749 §5.1 unless said otherwise).
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseOptions {
    /// JSON pointer (RFC 6901) to the token; `/access_token` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 256), regex(pattern = "^(/([^~/]|~[01])+)+$"))]
    pub token_pointer: Option<String>,
    /// JSON pointer to the lifetime, or to the expiry with the units of an instant; `/expires_in` where
    /// it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 256), regex(pattern = "^(/([^~/]|~[01])+)+$"))]
    pub expires_in_pointer: Option<String>,
    /// What stands there; `Seconds` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_unit: Option<ExpiresInUnit>,
}

/// What stands at `expiresInPointer`; `Seconds` where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExpiresInUnit {
    /// Seconds from now.
    #[default]
    Seconds,
    /// Milliseconds from now (Fiserv).
    Milliseconds,
    /// The instant of expiry: RFC 3339, or seconds or milliseconds since 1970 (GitHub-like).
    Timestamp,
}
