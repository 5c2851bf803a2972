//! How the client proves who it is: `spec.clientAuthentication` and `spec.tls`.
//!
//! **Invariant:** keys and certificates are named, never written here; no field names a namespace or
//! a file.
#![allow(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function to derive its schema"
)]

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{NAME_PATTERN, SECRET_KEY_PATTERN};

/// How the client proves who it is (RFC 6749 §2.3): one method per request.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.clientSecretBasic) || !has(self.method) || self.method == 'ClientSecretBasic'").message("spec.clientAuthentication.clientSecretBasic has no effect with another method: remove it, or set method: ClientSecretBasic"),
    validation = Rule::new("!has(self.clientSecretJWT) || (has(self.method) && self.method == 'ClientSecretJWT')").message("spec.clientAuthentication.clientSecretJWT needs method: ClientSecretJWT"),
    validation = Rule::new("has(self.privateKeyJWT) == (has(self.method) && self.method == 'PrivateKeyJWT')").message("set spec.clientAuthentication.privateKeyJWT.keySecretRef with method: PrivateKeyJWT, and only with it"),
    validation = Rule::new("has(self.serviceAccountToken) == (has(self.method) && self.method == 'ServiceAccountToken')").message("set spec.clientAuthentication.serviceAccountToken with method: ServiceAccountToken, and only with it"),
)]
pub struct ClientAuthentication {
    /// The method; where it is absent the provider's, else `ClientSecretBasic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<ClientAuthenticationMethod>,
    /// Only with `ClientSecretBasic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_basic: Option<ClientSecretBasic>,
    /// Only with `ClientSecretJWT`.
    #[serde(rename = "clientSecretJWT", skip_serializing_if = "Option::is_none")]
    pub client_secret_jwt: Option<ClientSecretJwt>,
    /// Only with `PrivateKeyJWT`.
    #[serde(rename = "privateKeyJWT", skip_serializing_if = "Option::is_none")]
    pub private_key_jwt: Option<PrivateKeyJwt>,
    /// Only with `ServiceAccountToken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_token: Option<ServiceAccountToken>,
}

/// The method, named as OpenID Connect Core §9 names it; where it is absent the provider's, else
/// `ClientSecretBasic`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ClientAuthenticationMethod {
    /// HTTP Basic, ID and secret form-urlencoded one by one (RFC 6749 §2.3.1).
    #[default]
    ClientSecretBasic,
    /// `client_id` and `client_secret` in the body.
    ClientSecretPost,
    /// An assertion signed with the client secret (RFC 7523 §2.2).
    #[serde(rename = "ClientSecretJWT")]
    ClientSecretJwt,
    /// An assertion signed with a private key (RFC 7523 §2.2).
    #[serde(rename = "PrivateKeyJWT")]
    PrivateKeyJwt,
    /// The client certificate of the TLS connection (RFC 8705 §2).
    #[serde(rename = "TLSClientAuth")]
    TlsClientAuth,
    /// A token of a `ServiceAccount` of the cluster (RFC 7523 §2.2): no client secret exists.
    ServiceAccountToken,
    /// The client ID alone, for endpoints that know the client by other means.
    None,
}

impl ClientAuthenticationMethod {
    /// The word in the resource.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "ClientSecretBasic",
            Self::ClientSecretPost => "ClientSecretPost",
            Self::ClientSecretJwt => "ClientSecretJWT",
            Self::PrivateKeyJwt => "PrivateKeyJWT",
            Self::TlsClientAuth => "TLSClientAuth",
            Self::ServiceAccountToken => "ServiceAccountToken",
            Self::None => "None",
        }
    }

    /// Whether a client secret is used.
    pub const fn needs_client_secret(self) -> bool {
        match self {
            Self::ClientSecretBasic | Self::ClientSecretPost | Self::ClientSecretJwt => true,
            Self::PrivateKeyJwt | Self::TlsClientAuth | Self::ServiceAccountToken | Self::None => {
                false
            }
        }
    }

    /// Whether a secret or an assertion stands among the parameters, where a query would show it.
    pub const fn puts_a_secret_among_the_parameters(self) -> bool {
        match self {
            Self::ClientSecretPost
            | Self::ClientSecretJwt
            | Self::PrivateKeyJwt
            | Self::ServiceAccountToken => true,
            Self::ClientSecretBasic | Self::TlsClientAuth | Self::None => false,
        }
    }
}

/// Settings of `ClientSecretBasic`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecretBasic {
    /// How ID and secret are written into the header; `FormURLEncoded` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<BasicEncoding>,
}

/// How ID and secret are written into the Basic header; `FormURLEncoded` where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BasicEncoding {
    /// Form-urlencoded one by one, as RFC 6749 §2.3.1 has it.
    #[default]
    #[serde(rename = "FormURLEncoded")]
    FormUrlEncoded,
    /// As they are, for servers that do not decode them.
    Raw,
}

/// Settings of `ClientSecretJWT`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecretJwt {
    /// The algorithm of the signature; `HS256` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<HmacAlgorithm>,
}

/// The algorithm of the signature (RFC 7518 §3.2); `HS256` where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HmacAlgorithm {
    /// HMAC with SHA-256.
    #[default]
    HS256,
    /// HMAC with SHA-384.
    HS384,
    /// HMAC with SHA-512.
    HS512,
}

/// Settings of `PrivateKeyJWT`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateKeyJwt {
    /// The Secret that holds the private key, as PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key_secret_ref: KeySecretRef,
    /// The algorithm of the signature; where it is absent the one that fits the key: RS256, ES256,
    /// ES384 or EdDSA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<SigningAlgorithm>,
    /// The `kid` header of the assertion; absent: not sent, since most servers refuse an unknown one.
    #[serde(rename = "keyID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^[\\x20-\\x7E]+$"))]
    pub key_id: Option<String>,
    /// Key of the certificate in the same Secret, for the `x5t#S256` header of the assertion (Entra ID
    /// wants it); absent: not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY_PATTERN))]
    pub certificate_key: Option<String>,
    /// The `aud` claim of the assertion; where it is absent the issuer if `spec.issuer` is set, else the
    /// URL of the token endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^[\\x21-\\x7E]+$"))]
    pub audience: Option<String>,
}

/// The algorithm of the signature (RFC 7518 §3.3 to §3.5, RFC 8037 §3.1); where it is absent the one
/// that fits the key: RS256, ES256, ES384 or `EdDSA`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Where a private key lies.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeySecretRef {
    /// Name of the Secret. Its annotation `oauthcc.dev/allowed-token-hosts` must list the host of the
    /// token endpoint.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Key of the private key; `tls.key` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY_PATTERN))]
    pub key: Option<String>,
}

/// Settings of `ServiceAccountToken`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountToken {
    /// Name of the `ServiceAccount` in the same namespace. Its annotation
    /// `oauthcc.dev/allowed-token-hosts` must list the host of the token endpoint.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// The audience of its token, as the authorization server expects it; never one of the API server's.
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^[\\x21-\\x7E]+$"))]
    pub audience: String,
    /// How long its token lives, in seconds, from 600 to 86400; 600 where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 600, max = 86400))]
    pub expiration_seconds: Option<i64>,
}

/// Trust and identity of the TLS connection to the token endpoint.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// Certificate authorities that are trusted beside the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<CaBundleRef>,
    /// The client certificate, presented with any method; `TLSClientAuth` needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_secret_ref: Option<ClientCertificateSecretRef>,
}

/// Where a bundle of certificate authorities lies, as PEM.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaBundleRef {
    /// What holds it; `ConfigMap` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<CaBundleKind>,
    /// Name of the ConfigMap or Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Key of the bundle; `ca.crt` where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_KEY_PATTERN))]
    pub key: Option<String>,
}

/// What holds the bundle; `ConfigMap` where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CaBundleKind {
    /// A ConfigMap.
    #[default]
    ConfigMap,
    /// A Secret.
    Secret,
}

/// A Secret of type `kubernetes.io/tls`, with the keys `tls.crt` and `tls.key`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientCertificateSecretRef {
    /// Name of the Secret. Its annotation `oauthcc.dev/allowed-token-hosts` must list the host of the
    /// token endpoint.
    #[schemars(length(min = 1, max = 253), regex(pattern = NAME_PATTERN))]
    pub name: String,
}
