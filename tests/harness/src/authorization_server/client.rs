//! What a client registers.
//!
//! Out: the client's metadata (RFC 7591 §2) as oidc-provider takes it.
//! **Invariant:** a client has a secret only where its method uses one.

use std::time::Duration;

use serde_json::{Map, Value, json};

/// The scopes that exist; a client not registered for one gets `invalid_scope` when it asks.
pub const SCOPES: [&str; 3] = ["orders.read", "orders.write", "payments.write"];
/// The scopes of [`Client::new`]: all but `payments.write`.
pub const DEFAULT_SCOPE: &str = "orders.read orders.write";
/// The resources that exist (RFC 8707); any other gets `invalid_target`. A token for one is a JWT.
pub const RESOURCES: [&str; 2] =
    ["https://api.example.com/orders", "https://api.example.com/payments"];

/// How a client proves itself at the token endpoint; with no other method than its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthMethod {
    /// `client_secret_basic`; this server takes `client_secret_post` as well.
    Basic,
    /// `client_secret_post`; this server takes `client_secret_basic` as well.
    Post,
    /// `client_secret_jwt`: an assertion signed with the secret.
    SecretJwt {
        /// HS256, HS384 or HS512; no other is taken.
        algorithm: &'static str,
    },
    /// `private_key_jwt`: an assertion signed with one of these keys.
    PrivateKeyJwt {
        /// Public keys, see [`Key::jwk`](crate::keys::Key::jwk). An assertion that names a `kid`
        /// needs a key with it.
        jwks: Vec<Value>,
    },
    /// `tls_client_auth`: a certificate of [`AuthorizationServer::client_certificate`].
    ///
    /// [`AuthorizationServer::client_certificate`]: super::AuthorizationServer::client_certificate
    TlsClientAuth {
        /// The certificate's subject, such as `CN=orders`.
        subject: String,
    },
    /// `self_signed_tls_client_auth`: one of these certificates.
    SelfSignedTlsClientAuth {
        /// Public keys with `x5c`, see [`Certificate::jwk`](crate::certificates::Certificate::jwk).
        jwks: Vec<Value>,
    },
    /// `none`: a public client.
    None,
}

/// A registered OAuth client.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client identifier.
    pub id: String,
    /// The client secret; not registered where the method uses none.
    pub secret: String,
    /// How long its tokens live, in whole seconds.
    pub lifetime: Duration,
    /// How it is registered to prove itself.
    pub auth_method: AuthMethod,
    /// The scopes it may ask for, separated by spaces.
    pub scope: String,
    /// More metadata (RFC 7591 §2), which wins over what the other fields say.
    pub metadata: Map<String, Value>,
}

impl Client {
    /// A client with Basic, tokens of one hour and [`DEFAULT_SCOPE`].
    pub fn new(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: secret.to_owned(),
            lifetime: Duration::from_secs(3600),
            auth_method: AuthMethod::Basic,
            scope: DEFAULT_SCOPE.to_owned(),
            metadata: Map::new(),
        }
    }

    /// The same with another method.
    #[must_use]
    pub fn with_method(mut self, method: AuthMethod) -> Self {
        self.auth_method = method;
        self
    }

    /// What is registered.
    pub(super) fn registration(&self) -> Map<String, Value> {
        let mut metadata = Map::new();
        let mut set = |name: &str, value: Value| drop(metadata.insert(name.to_owned(), value));
        set("client_id", json!(self.id));
        set("scope", json!(self.scope));
        let method = match &self.auth_method {
            AuthMethod::Basic => "client_secret_basic",
            AuthMethod::Post => "client_secret_post",
            AuthMethod::SecretJwt { algorithm } => {
                set("token_endpoint_auth_signing_alg", json!(algorithm));
                "client_secret_jwt"
            }
            AuthMethod::PrivateKeyJwt { jwks } => {
                set("jwks", json!({ "keys": jwks }));
                "private_key_jwt"
            }
            AuthMethod::TlsClientAuth { subject } => {
                set("tls_client_auth_subject_dn", json!(subject));
                "tls_client_auth"
            }
            AuthMethod::SelfSignedTlsClientAuth { jwks } => {
                set("jwks", json!({ "keys": jwks }));
                "self_signed_tls_client_auth"
            }
            AuthMethod::None => "none",
        };
        set("token_endpoint_auth_method", json!(method));
        if method.starts_with("client_secret_") {
            set("client_secret", json!(self.secret));
        }
        metadata.extend(self.metadata.clone());
        metadata
    }
}
