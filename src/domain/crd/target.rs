//! What comes out: `spec.target`, the managed Secret in the forms that its consumers read.
//!
//! **Invariant:** no two fields write the same key of the Secret, and no label or annotation can be
//! asked for that another controller would copy, move or delete the Secret by; `domain/output/check.rs`
//! holds a stored object to the same, and to what CEL can't afford to look at.
#![allow(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function to derive its schema"
)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NAME_PATTERN, SECRET_KEY_PATTERN};

/// The key that a Secret of type `kubernetes.io/dockerconfigjson` needs.
pub const DOCKER_CONFIG_KEY: &str = ".dockerconfigjson";
/// The key beside which `BasicAuth` writes [`USERNAME_KEY`].
pub const PASSWORD_KEY: &str = "password";
/// The second key of `BasicAuth`.
pub const USERNAME_KEY: &str = "username";
/// What is appended to `previousTokenKey` for the key of that token's expiry.
pub const PREVIOUS_EXPIRES_AT_SUFFIX: &str = "-expires-at";
/// The user name beside a token that stands for a password, where the spec names none.
pub const DEFAULT_USERNAME: &str = "oauth2";

/// The domains whose labels and annotations, and those of their subdomains, no template may set: they
/// are ours and Kubernetes' own, and those by which another controller copies, adopts or deletes a Secret.
pub const RESERVED_DOMAINS: [&str; 17] = [
    "kubernetes.io",
    "k8s.io",
    "x-k8s.io",
    "oauthcc.dev",
    "emberstack.com",
    "mittwald.de",
    "olli.com",
    "bitnami.com",
    "appscode.com",
    "argoproj.io",
    "fluxcd.io",
    "helm.sh",
    "kyverno.io",
    "cattle.io",
    "clustersecret.io",
    "external-secrets.io",
    "open-cluster-management.io",
];

/// The managed Secret.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.additionalOutputFormats) || self.additionalOutputFormats.all(f, f.key != (has(self.tokenKey) ? self.tokenKey : 'token'))").message("a key of spec.target.additionalOutputFormats is the key of the token: give it another key, or set spec.target.tokenKey"),
    validation = Rule::new("!has(self.additionalOutputFormats) || !self.additionalOutputFormats.exists(f, f.type == 'BasicAuth') || ((!has(self.tokenKey) || self.tokenKey != 'username') && self.additionalOutputFormats.all(f, f.key != 'username') && (!has(self.template) || !has(self.template.data) || !('username' in self.template.data)))").message("type BasicAuth writes the key username too: give what else is written there another key"),
    validation = Rule::new("!has(self.template) || !has(self.template.data) || self.template.data.all(k, k != (has(self.tokenKey) ? self.tokenKey : 'token') && (!has(self.additionalOutputFormats) || self.additionalOutputFormats.all(f, f.key != k)))").message("a key of spec.target.template.data is written already: give it another key than spec.target.tokenKey and those of spec.target.additionalOutputFormats"),
    validation = Rule::new("!has(self.previousTokenKey) || [self.previousTokenKey, self.previousTokenKey + '-expires-at'].all(p, p != (has(self.tokenKey) ? self.tokenKey : 'token') && (!has(self.additionalOutputFormats) || self.additionalOutputFormats.all(f, f.key != p && (f.type != 'BasicAuth' || p != 'username'))) && (!has(self.template) || !has(self.template.data) || !(p in self.template.data)))").message("spec.target.previousTokenKey, or that with -expires-at at its end, is a key that is written already: give it another name"),
    validation = Rule::new("!has(self.type) || self.type != 'kubernetes.io/basic-auth' || (has(self.additionalOutputFormats) && self.additionalOutputFormats.exists(f, f.type == 'BasicAuth'))").message("a Secret of type kubernetes.io/basic-auth needs an entry of spec.target.additionalOutputFormats with key: password and type: BasicAuth").reason(Reason::FieldValueRequired),
    validation = Rule::new("!has(self.type) || self.type != 'kubernetes.io/dockerconfigjson' || (has(self.additionalOutputFormats) && self.additionalOutputFormats.exists(f, f.key == '.dockerconfigjson' && f.type == 'DockerConfigJSON'))").message("a Secret of type kubernetes.io/dockerconfigjson needs an entry of spec.target.additionalOutputFormats with key: .dockerconfigjson and type: DockerConfigJSON").reason(Reason::FieldValueRequired),
)]
pub struct Target {
    /// Name of the managed Secret; the name of the credential where it is absent. When it changes, the
    /// Secret of the new name is written first, with the same token, and the old one is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: Option<String>,
    /// Type of the managed Secret; `Opaque` where it is absent. When it changes, the Secret is deleted and
    /// created again with the same token, since Kubernetes changes no type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub secret_type: Option<SecretType>,
    /// Key of the token; `token` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY_PATTERN))]
    #[x_kube(validation = Rule::new("!(self in ['expires-at', 'token-type'])").message("spec.target.tokenKey can't be expires-at or token-type: these keys hold the expiry and the type of the token"))]
    pub token_key: Option<String>,
    /// The token in other forms, each under a key of its own, written together with the token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["key".into()]))]
    pub additional_output_formats: Vec<OutputFormat>,
    /// Key of the token before the present one, for consumers that need an overlap; it is not kept where
    /// this is absent. Its expiry lies under the same key with `-expires-at` at its end. Neither key is
    /// there before the first rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 242), regex(pattern = SECRET_KEY_PATTERN))]
    #[x_kube(validation = Rule::new("!(self in ['expires-at', 'token-type'])").message("spec.target.previousTokenKey can't be expires-at or token-type: these keys hold the expiry and the type of the token"))]
    pub previous_token_key: Option<String>,
    /// What else the managed Secret holds: labels, annotations, and keys whose text is made of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// What becomes of the managed Secret when the credential is deleted; `Delete` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// What becomes of the managed Secret when the credential is deleted; `Delete` where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Kubernetes deletes it too: the credential is its owner.
    #[default]
    Delete,
    /// It stays as it is, without an owner, and its token expires.
    Retain,
}

/// Type of the managed Secret; `Opaque` where it is absent. When it changes, the Secret is deleted and
/// created again with the same token, since Kubernetes changes no type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SecretType {
    /// Any keys.
    #[default]
    Opaque,
    /// Needs the format `BasicAuth`.
    #[serde(rename = "kubernetes.io/basic-auth")]
    BasicAuth,
    /// Needs the format `DockerConfigJSON` with the key `.dockerconfigjson`.
    #[serde(rename = "kubernetes.io/dockerconfigjson")]
    DockerConfigJson,
}

impl SecretType {
    /// The word of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opaque => "Opaque",
            Self::BasicAuth => "kubernetes.io/basic-auth",
            Self::DockerConfigJson => "kubernetes.io/dockerconfigjson",
        }
    }
}

/// The token in one more form.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(self.key in ['expires-at', 'token-type'])").message("a key of spec.target.additionalOutputFormats can't be expires-at or token-type: these hold the expiry and the type of the token"),
    validation = Rule::new("self.type != 'BasicAuth' || self.key == 'password'").message("type BasicAuth writes the keys username and password: set key: password"),
    validation = Rule::new("has(self.netrc) == (self.type == 'Netrc')").message("set netrc.machine in the entry of spec.target.additionalOutputFormats with type: Netrc, and only with it"),
    validation = Rule::new("has(self.dockerConfigJSON) == (self.type == 'DockerConfigJSON')").message("set dockerConfigJSON.registries in the entry of spec.target.additionalOutputFormats with type: DockerConfigJSON, and only with it"),
    validation = Rule::new("!has(self.basicAuth) || self.type == 'BasicAuth'").message("basicAuth has no effect with another type: remove it from this entry of spec.target.additionalOutputFormats, or set type: BasicAuth"),
    validation = Rule::new("has(self.response) == (self.type == 'Response')").message("set response.pointer in the entry of spec.target.additionalOutputFormats with type: Response, and only with it"),
    validation = Rule::new("has(self.env) == (self.type == 'Env')").message("set env.name in the entry of spec.target.additionalOutputFormats with type: Env, and only with it"),
)]
pub struct OutputFormat {
    /// Key of the managed Secret that the form is written to; `password` for type `BasicAuth`, which
    /// writes `username` beside it.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY_PATTERN))]
    pub key: String,
    /// The form; it is required, so that nothing is written where it is absent.
    #[serde(rename = "type")]
    pub format: FormatType,
    /// For type `Netrc`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netrc: Option<Netrc>,
    /// For type `DockerConfigJSON`.
    #[serde(rename = "dockerConfigJSON", skip_serializing_if = "Option::is_none")]
    pub docker_config_json: Option<DockerConfigJson>,
    /// For type `BasicAuth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// For type `Env`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Env>,
    /// For type `Response`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseValue>,
}

/// The form; it is required, so that nothing is written where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FormatType {
    /// The token alone, under one more key.
    #[default]
    Raw,
    /// The line `Authorization: Bearer <token>`, for `curl -H @file`.
    AuthorizationHeader,
    /// A user name and the token as password, under two keys.
    BasicAuth,
    /// A line for a `.netrc` file.
    Netrc,
    /// What `docker login` writes.
    #[serde(rename = "DockerConfigJSON")]
    DockerConfigJson,
    /// An object with the token, its type and its times.
    #[serde(rename = "JSON")]
    Json,
    /// The line `NAME=<token>`, for a file of environment variables.
    Env,
    /// A value of the token response beside the token, such as `instance_url`.
    Response,
}

/// What stands in a line of `.netrc`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Netrc {
    /// The host that the token is for, without scheme and port.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9._:-]+$"))]
    pub machine: String,
    /// The user name; `oauth2` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9._@+-]+$"))]
    pub login: Option<String>,
}

/// What stands in a Docker configuration.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DockerConfigJson {
    /// The registries that the token is for, as they stand in names of images, such as `registry.example.com`.
    #[schemars(
        length(min = 1, max = 16),
        inner(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9._:/-]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub registries: Vec<String>,
    /// The user name; `oauth2` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[\\x21-\\x39\\x3B-\\x7E]+$"))]
    pub username: Option<String>,
}

/// The user name beside the token.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// The user name; `oauth2` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[\\x21-\\x39\\x3B-\\x7E]+$"))]
    pub username: Option<String>,
}

/// The environment variable.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Env {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
}

/// A value of the token response.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseValue {
    /// JSON pointer (RFC 6901) to a string, number or boolean of the token response, such as
    /// `/instance_url`. An answer without it is refused. A refresh token is never written.
    #[schemars(length(min = 2, max = 256), regex(pattern = "^(/([^~/]|~[01])+)+$"))]
    #[x_kube(validation = Rule::new("!self.endsWith('/refresh_token')").message("a refresh token is never written to a Secret: let response.pointer point at another value"))]
    pub pointer: String,
}

/// What else the managed Secret holds.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Labels and annotations; those of the credential are never copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Templates by key, such as `token={{ token }}`, with the values `token`, `tokenType`, `expiresAt`,
    /// `expiresAtEpoch`, `issuedAt` and `revision`, and the filters `b64encode`, `urlencode`, `tojson`,
    /// `upper`, `lower` and `trim`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 16,
        "additionalProperties" = {"type": "string", "maxLength": 8192}
    ))]
    #[x_kube(validation = Rule::new("self.all(k, size(k) >= 1 && size(k) <= 253 && !(k in ['expires-at', 'token-type']))").message("a key of spec.target.template.data must have 1 to 253 characters and can't be expires-at or token-type: these hold the expiry and the type of the token"))]
    pub data: BTreeMap<String, String>,
}

/// Labels and annotations of the managed Secret.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels. Those of Kubernetes, of this operator and of known replicators are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 32,
        "additionalProperties" = {
            "type": "string", "maxLength": 63,
            "pattern": "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
        }
    ))]
    #[x_kube(validation = Rule::new("self.all(k, !['kubernetes.io/', 'k8s.io/', 'x-k8s.io/', 'oauthcc.dev/', 'emberstack.com/', 'mittwald.de/', 'olli.com/', 'bitnami.com/', 'appscode.com/', 'argoproj.io/', 'fluxcd.io/', 'helm.sh/', 'kyverno.io/', 'cattle.io/', 'clustersecret.io/', 'external-secrets.io/', 'open-cluster-management.io/', 'app.kubernetes.io/', 'kubectl.kubernetes.io/', 'meta.helm.sh/', 'reflector.v1.k8s.emberstack.com/', 'replicator.v1.mittwald.de/', 'secret-generator.v1.mittwald.de/', 'v1.kubernetes-replicator.olli.com/', 'sealedsecrets.bitnami.com/', 'kubed.appscode.com/', 'config-syncer.appscode.com/', 'argocd.argoproj.io/', 'kustomize.toolkit.fluxcd.io/', 'helm.toolkit.fluxcd.io/', 'generate.kyverno.io/', 'management.cattle.io/', 'field.cattle.io/', 'clusterctl.cluster.x-k8s.io/', 'cluster.x-k8s.io/', 'apps.open-cluster-management.io/'].exists(p, k.startsWith(p)))").message("a label of spec.target.template.metadata is reserved: no label of kubernetes.io, k8s.io, oauthcc.dev, or of a controller that copies or deletes Secrets may be set"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations. Those of Kubernetes, of this operator and of known replicators are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 32,
        "additionalProperties" = {"type": "string", "maxLength": 4096}
    ))]
    #[x_kube(validation = Rule::new("self.all(k, !['kubernetes.io/', 'k8s.io/', 'x-k8s.io/', 'oauthcc.dev/', 'emberstack.com/', 'mittwald.de/', 'olli.com/', 'bitnami.com/', 'appscode.com/', 'argoproj.io/', 'fluxcd.io/', 'helm.sh/', 'kyverno.io/', 'cattle.io/', 'clustersecret.io/', 'external-secrets.io/', 'open-cluster-management.io/', 'app.kubernetes.io/', 'kubectl.kubernetes.io/', 'meta.helm.sh/', 'reflector.v1.k8s.emberstack.com/', 'replicator.v1.mittwald.de/', 'secret-generator.v1.mittwald.de/', 'v1.kubernetes-replicator.olli.com/', 'sealedsecrets.bitnami.com/', 'kubed.appscode.com/', 'config-syncer.appscode.com/', 'argocd.argoproj.io/', 'kustomize.toolkit.fluxcd.io/', 'helm.toolkit.fluxcd.io/', 'generate.kyverno.io/', 'management.cattle.io/', 'field.cattle.io/', 'clusterctl.cluster.x-k8s.io/', 'cluster.x-k8s.io/', 'apps.open-cluster-management.io/'].exists(p, k.startsWith(p)))").message("an annotation of spec.target.template.metadata is reserved: no annotation of kubernetes.io, k8s.io, oauthcc.dev, or of a controller that copies or deletes Secrets may be set"))]
    pub annotations: BTreeMap<String, String>,
}
