//! The resource: `OAuthClientCredential`, its status, and the names that it puts on other objects.
//! The generated schema in `crds/` is made from this file by `oauthcc crd`.
//!
//! **Invariant:** no field holds a secret value, no field names another namespace, and no field is
//! without effect. A field that is one side of an exclusive rule has no schema default.
#![allow(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function to derive its schema"
)]

mod authentication;
mod request;
mod status;
mod target;

use std::time::Duration;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

pub use authentication::{
    BasicEncoding, CaBundleKind, CaBundleRef, ClientAuthentication, ClientAuthenticationMethod,
    ClientCertificateSecretRef, ClientSecretBasic, ClientSecretJwt, HmacAlgorithm, KeySecretRef,
    PrivateKeyJwt, ServiceAccountToken, SigningAlgorithm, Tls,
};
pub use request::{
    BodyFormat, ExpiresInUnit, Header, Parameter, ParameterLocation, Provider,
    RESERVED_HEADER_PREFIXES, RESERVED_HEADERS, RESERVED_PARAMETERS, RequestOptions,
    ResponseOptions, SecretKeyRef, ValueFrom,
};
pub use status::{Binding, OAuthClientCredentialStatus, TokenStatus};
pub use target::{
    BasicAuth, DEFAULT_USERNAME, DOCKER_CONFIG_KEY, DeletionPolicy, DockerConfigJson, Env,
    FormatType, Netrc, OutputFormat, PASSWORD_KEY, PREVIOUS_EXPIRES_AT_SUFFIX, RESERVED_DOMAINS,
    ResponseValue, SecretType, Target, Template, TemplateMetadata, USERNAME_KEY,
};

/// The field manager of every server-side apply, and the `app.kubernetes.io/managed-by` label.
pub const FIELD_MANAGER: &str = "oauthcc-operator";
/// Label on managed Secrets, value `"true"`.
pub const MANAGED_LABEL: &str = "oauthcc.dev/managed";
/// The recommended label of Kubernetes on managed Secrets.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Annotation on managed Secrets: the UID of the credential that owns it.
pub const OWNER_UID: &str = "oauthcc.dev/owner-uid";
/// Annotation on managed Secrets: when the token was issued (RFC 3339, whole seconds).
pub const ISSUED_AT: &str = "oauthcc.dev/issued-at";
/// Annotation on managed Secrets: when the token expires (RFC 3339, whole seconds).
pub const EXPIRES_AT: &str = "oauthcc.dev/expires-at";
/// Annotation on managed Secrets: how many tokens were written, this one included.
pub const REVISION: &str = "oauthcc.dev/revision";
/// Annotation on managed Secrets: what the token was granted for.
pub const REQUEST_FINGERPRINT: &str = "oauthcc.dev/request-fingerprint";
/// Annotation on managed Secrets: which versions of which objects the request used.
pub const INPUTS_VERSION: &str = "oauthcc.dev/inputs-version";
/// Annotation on managed Secrets: under which key the token lies.
pub const TOKEN_KEY: &str = "oauthcc.dev/token-key";
/// Annotation on managed Secrets: when the server hinted to renew (only where it did).
pub const REFRESH_AT: &str = "oauthcc.dev/refresh-at";
/// Annotation on managed Secrets: which formats and templates they were written with (only where the
/// spec asks for any).
pub const OUTPUT_VERSION: &str = "oauthcc.dev/output-version";
/// Annotation on a Secret, by its owner: the name of the credential that it is handed over to.
pub const ADOPT_BY: &str = "oauthcc.dev/adopt-by";
/// Annotation on managed Secrets: which pointer of the response lies under which key (only where the spec
/// asks for any).
pub const RESPONSE_VALUES: &str = "oauthcc.dev/response-values";
/// Finalizer on a credential whose token is to be revoked.
pub const REVOKE_FINALIZER: &str = "oauthcc.dev/revoke";
/// Annotation of consent on Secrets and ServiceAccounts: the hosts that their values may be sent to.
pub const ALLOWED_TOKEN_HOSTS: &str = "oauthcc.dev/allowed-token-hosts";
/// Annotation on the credential: any new value asks for a new token, once.
pub const RENEW_REQUESTED_AT: &str = "oauthcc.dev/renew-requested-at";

/// Key of the managed Secret: expiry of the token (RFC 3339).
pub const EXPIRES_AT_KEY: &str = "expires-at";
/// Key of the managed Secret: type of the token, as used in an `Authorization` header.
pub const TOKEN_TYPE_KEY: &str = "token-type";

/// Go-style durations of up to four parts, as the Gateway API has them (GEP-2257).
const DURATION_PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";
const SECRET_KEY_PATTERN: &str = "^[-._a-zA-Z0-9]+$";
const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Keeps a live OAuth 2.0 client-credentials token in a Secret.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize,
)]
#[kube(
    group = "oauthcc.dev",
    version = "v1alpha1",
    kind = "OAuthClientCredential",
    plural = "oauthclientcredentials",
    shortname = "occ",
    category = "oauthcc",
    namespaced,
    status = "OAuthClientCredentialStatus",
    derive = "PartialEq",
    doc = "Keeps a live OAuth 2.0 client-credentials token in a Secret.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.binding.name"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.token.expirationTime"),
    printcolumn(name = "Rotated", type_ = "date", json_path = ".status.token.issueTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint", priority = 1),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextAttemptTime", priority = 1),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".status.token.revision", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1),
    validation = Rule::new(
        "!has(self.spec.credentialsSecretRef) || (has(self.spec.target) && has(self.spec.target.name) ? self.spec.target.name : self.metadata.name) != self.spec.credentialsSecretRef.name"
    ).message("the managed Secret would replace the client Secret: give spec.target.name another name than spec.credentialsSecretRef.name")
     .field_path(".spec.target"),
    validation = Rule::new(
        "[(has(self.spec.target) && has(self.spec.target.name) ? self.spec.target.name : self.metadata.name)].all(t, (!has(self.spec.clientAuthentication) || !has(self.spec.clientAuthentication.privateKeyJWT) || self.spec.clientAuthentication.privateKeyJWT.keySecretRef.name != t) && (!has(self.spec.tls) || ((!has(self.spec.tls.clientCertificateSecretRef) || self.spec.tls.clientCertificateSecretRef.name != t) && (!has(self.spec.tls.caBundleRef) || !has(self.spec.tls.caBundleRef.kind) || self.spec.tls.caBundleRef.kind != 'Secret' || self.spec.tls.caBundleRef.name != t))) && (!has(self.spec.request) || ((!has(self.spec.request.parameters) || self.spec.request.parameters.all(p, !has(p.valueFrom) || p.valueFrom.secretKeyRef.name != t)) && (!has(self.spec.request.headers) || self.spec.request.headers.all(h, !has(h.valueFrom) || h.valueFrom.secretKeyRef.name != t)))))"
    ).message("the managed Secret would replace a Secret that the spec refers to: give spec.target.name a name of its own")
     .field_path(".spec.target"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.issuer) ? !has(self.tokenURL) && !has(self.provider) : has(self.tokenURL) || has(self.provider)").message("say where to ask: spec.tokenURL (the token endpoint, for example https://idp.example.com/oauth2/token), spec.provider, both of them, or spec.issuer alone").reason(Reason::FieldValueRequired),
    validation = Rule::new("has(self.credentialsSecretRef) || (has(self.clientAuthentication) && has(self.clientAuthentication.method) ? self.clientAuthentication.method in ['PrivateKeyJWT', 'TLSClientAuth', 'ServiceAccountToken', 'None'] : has(self.provider))").message("set spec.credentialsSecretRef.name to the Secret that holds the client ID and the client secret").reason(Reason::FieldValueRequired),
    validation = Rule::new("has(self.clientID) || has(self.credentialsSecretRef) || !has(self.clientAuthentication) || !has(self.clientAuthentication.method) || !(self.clientAuthentication.method in ['PrivateKeyJWT', 'TLSClientAuth', 'None'])").message("set spec.clientID, or spec.credentialsSecretRef.name to the Secret that holds the client ID").reason(Reason::FieldValueRequired),
    validation = Rule::new("!has(self.clientAuthentication) || !has(self.clientAuthentication.method) || self.clientAuthentication.method != 'TLSClientAuth' || (has(self.tls) && has(self.tls.clientCertificateSecretRef))").message("method TLSClientAuth needs spec.tls.clientCertificateSecretRef.name: the Secret of type kubernetes.io/tls with the client certificate").reason(Reason::FieldValueRequired),
    validation = Rule::new("!has(self.request) || !has(self.request.bodyFormat) || self.request.bodyFormat != 'Query' || !has(self.clientAuthentication) || !has(self.clientAuthentication.method) || self.clientAuthentication.method in ['ClientSecretBasic', 'TLSClientAuth', 'None']").message("spec.request.bodyFormat: Query would put a secret or an assertion into the URL, where proxies log it: use method ClientSecretBasic, TLSClientAuth or None, or bodyFormat Form or JSON"),
    validation = Rule::new("!has(self.request) || !has(self.request.bodyFormat) || self.request.bodyFormat != 'Query' || has(self.clientID) || !has(self.credentialsSecretRef) || !has(self.clientAuthentication) || !has(self.clientAuthentication.method) || !(self.clientAuthentication.method in ['TLSClientAuth', 'None'])").message("spec.request.bodyFormat: Query would put a value of the Secret of spec.credentialsSecretRef into the URL, where proxies log it: write the client ID into spec.clientID"),
    validation = Rule::new("!has(self.request) || !has(self.request.bodyFormat) || self.request.bodyFormat != 'Query' || !has(self.request.parameters) || self.request.parameters.all(p, !has(p.valueFrom))").message("spec.request.bodyFormat: Query would put a value of a Secret into the URL, where proxies log it: remove valueFrom from spec.request.parameters, or use bodyFormat Form or JSON"),
    validation = Rule::new("!has(self.revocation) || !self.revocation.onDelete || has(self.revocation.url) || has(self.issuer)").message("set spec.revocation.url to the revocation endpoint (RFC 7009): only the metadata of spec.issuer could name it otherwise").reason(Reason::FieldValueRequired),
    validation = Rule::new("!has(self.revocation) || !self.revocation.onDelete || !has(self.target) || !has(self.target.deletionPolicy) || self.target.deletionPolicy != 'Retain'").message("spec.target.deletionPolicy: Retain would keep a token that spec.revocation.onDelete revokes: remove one of them"),
    validation = Rule::new("!has(self.clientID) || !has(self.credentialsSecretRef) || !has(self.credentialsSecretRef.clientIDKey)").message("the client ID has two sources: remove spec.clientID or spec.credentialsSecretRef.clientIDKey"),
)]
pub struct OAuthClientCredentialSpec {
    /// Stops renewing and leaves the managed Secret as it is; its token will expire.
    #[serde(default)]
    pub suspend: bool,

    /// The token endpoint (RFC 6749 §3.2), an https URL without user-info.
    /// A query is sent as it is written. It wins over the one of `provider`.
    #[serde(rename = "tokenURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 2048), regex(pattern = "^https?://[^\\s]+$"))]
    pub token_url: Option<String>,

    /// The issuer, whose metadata names the token endpoint (OpenID Connect Discovery 1.0, RFC 8414),
    /// instead of `tokenURL`. What is sent must consent to its host too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 2048), regex(pattern = "^https?://[^\\s?#]+$"))]
    pub issuer: Option<String>,

    /// The service that is asked, from the catalogue: its URL and its habits, over which the fields of
    /// this spec win.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,

    /// The Secret in the same namespace that holds the client ID and the client secret, or the client ID
    /// alone where the method needs no client secret.
    /// Its annotation `oauthcc.dev/allowed-token-hosts` must list the host of the token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<CredentialsSecretRef>,

    /// The client ID itself, instead of a key of the Secret: it is no secret.
    #[serde(rename = "clientID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[\\x20-\\x7E]+$"))]
    pub client_id: Option<String>,

    /// How the client proves who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_authentication: Option<ClientAuthentication>,

    /// The scopes to ask for; without any, the parameter is not sent and the server decides (RFC 6749 §3.3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 512), regex(pattern = "^[\\x21\\x23-\\x5B\\x5D-\\x7E]+$"))
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,

    /// The `audience` parameter, as Auth0 and others want it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub audience: Option<String>,

    /// The resources that the token is for, each sent as `resource` (RFC 8707): absolute URIs without
    /// a fragment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(
            length(min = 1, max = 2048),
            regex(pattern = "^[A-Za-z][A-Za-z0-9+.-]*:[\\x21\\x22\\x24-\\x7E]+$")
        )
    )]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub resource_indicators: Vec<String>,

    /// For endpoints with habits of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestOptions>,

    /// Where the answer holds what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseOptions>,

    /// Trust and identity of the TLS connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// When the token is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,

    /// The managed Secret that the token is written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,

    /// Whether the token is revoked (RFC 7009) when the credential is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
}

/// Whether the token is revoked (RFC 7009) when the credential is deleted.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// Revokes the token of the managed Secret when the credential is deleted. A finalizer then holds
    /// the credential until the endpoint has answered, for 30 s at most.
    #[serde(default)]
    pub on_delete: bool,
    /// The revocation endpoint, an https URL without user-info; with `issuer`, the one of its metadata
    /// where it is absent. What is sent must consent to its host too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 10, max = 2048), regex(pattern = "^https?://[^\\s]+$"))]
    pub url: Option<String>,
}

/// Where the client ID and the client secret lie.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Key of the client ID; `client-id` where it is absent and `clientID` is not set.
    #[serde(rename = "clientIDKey", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY_PATTERN))]
    pub client_id_key: Option<String>,
    /// Key of the client secret; `client-secret` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY_PATTERN))]
    pub client_secret_key: Option<String>,
}

/// When the token is renewed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.renewBefore) && has(self.renewBeforePercentage))").message("set spec.rotation.renewBefore or spec.rotation.renewBeforePercentage, not both"))]
pub struct Rotation {
    /// How long before expiry the token is renewed; ignored where it is not shorter than the lifetime.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = DURATION_PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('8760h')").message("spec.rotation.renewBefore must be from 1s to 8760h"))]
    pub renew_before: Option<kube::core::Duration>,
    /// The share of the lifetime that is left when the token is renewed; 33 where neither is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 99))]
    pub renew_before_percentage: Option<i32>,
    /// The lifetime of a token whose answer carries none, from 1s to 8760h; `30m` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24), regex(pattern = DURATION_PATTERN))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('8760h')").message("spec.rotation.defaultLifetime must be from 1s to 8760h"))]
    pub default_lifetime: Option<kube::core::Duration>,
}

/// The key of the client ID where the spec names none.
pub const DEFAULT_CLIENT_ID_KEY: &str = "client-id";
/// The key of the client secret where the spec names none.
pub const DEFAULT_CLIENT_SECRET_KEY: &str = "client-secret";
/// The key of a private key where the spec names none.
pub const DEFAULT_PRIVATE_KEY: &str = "tls.key";
/// The key of a bundle of certificate authorities where the spec names none.
pub const DEFAULT_CA_BUNDLE_KEY: &str = "ca.crt";
/// The keys of a Secret of type `kubernetes.io/tls`: the chain and the private key.
pub const TLS_KEYS: (&str, &str) = ("tls.crt", "tls.key");
/// How long a `ServiceAccount`'s token lives where the spec says nothing, in seconds; the API server
/// refuses less.
pub const DEFAULT_SERVICE_ACCOUNT_TOKEN_SECONDS: i64 = 600;
/// The key of the token where the spec names none.
pub const DEFAULT_TOKEN_KEY: &str = "token";
/// The limit of one token request where the spec names none.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The lifetime of a token whose answer carries none, where the spec names none.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// The share of the lifetime left at renewal where the spec names none.
pub const DEFAULT_RENEW_BEFORE_PERCENTAGE: i32 = 33;

impl CredentialsSecretRef {
    /// The key of the client secret, default applied.
    pub fn client_secret_key(&self) -> &str {
        self.client_secret_key.as_deref().unwrap_or(DEFAULT_CLIENT_SECRET_KEY)
    }

    /// The key of the client ID, default applied.
    pub fn client_id_key(&self) -> &str {
        self.client_id_key.as_deref().unwrap_or(DEFAULT_CLIENT_ID_KEY)
    }
}

impl OAuthClientCredentialSpec {
    /// The limit of one token request, default applied, held to 1 s to 30 s.
    pub fn request_timeout(&self) -> Duration {
        let asked = self.request.as_ref().and_then(|request| request.timeout);
        asked
            .map_or(DEFAULT_REQUEST_TIMEOUT, Duration::from)
            .clamp(Duration::from_secs(1), Duration::from_secs(30))
    }

    /// The lifetime of a token whose answer carries none, default applied.
    pub fn default_lifetime(&self) -> Duration {
        let asked = self.rotation.as_ref().and_then(|rotation| rotation.default_lifetime);
        asked.map_or(DEFAULT_LIFETIME, Duration::from)
    }

    /// Whether the token is to be revoked when the credential is deleted.
    pub fn revokes_on_delete(&self) -> bool {
        self.revocation.as_ref().is_some_and(|revocation| revocation.on_delete)
    }

    /// What becomes of the managed Secret when the credential is deleted, default applied.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.target.as_ref().and_then(|target| target.deletion_policy).unwrap_or_default()
    }

    /// The key of the token in the managed Secret, default applied.
    pub fn token_key(&self) -> &str {
        let asked = self.target.as_ref().and_then(|target| target.token_key.as_deref());
        asked.unwrap_or(DEFAULT_TOKEN_KEY)
    }
}

impl OAuthClientCredential {
    /// The name of the managed Secret, default applied.
    pub fn target_name(&self) -> &str {
        let asked = self.spec.target.as_ref().and_then(|target| target.name.as_deref());
        asked.or(self.metadata.name.as_deref()).unwrap_or_default()
    }
}
