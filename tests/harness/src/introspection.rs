//! Asks a server about a token, as a resource server would (RFC 7662).
//!
//! **Invariant:** the server's word is passed on as it is: no token is read here.

use anyhow::{Context, ensure};
use reqwest::Url;
use serde::Deserialize;

/// An introspection response (RFC 7662 §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Introspection {
    /// Whether the token can be used now.
    pub active: bool,
    /// The expiry in seconds since 1970, for an active token.
    pub exp: Option<u64>,
    /// The issue time in seconds since 1970, for an active token.
    pub iat: Option<u64>,
    /// Whose token it is, for an active token.
    pub client_id: Option<String>,
    /// The granted scopes, for an active token.
    pub scope: Option<String>,
    /// `Bearer`, for an active token.
    pub token_type: Option<String>,
}

/// Who asks, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Introspector<'a> {
    pub(crate) http: &'a reqwest::Client,
    pub(crate) url: &'a str,
    pub(crate) id: &'a str,
    pub(crate) secret: &'a str,
}

impl Introspector<'_> {
    pub(crate) async fn ask(self, token: &str) -> anyhow::Result<Introspection> {
        let mut form = Url::parse(self.url).context("failed to parse the URL")?;
        form.query_pairs_mut().append_pair("token", token);
        let response = self
            .http
            .post(self.url)
            .basic_auth(self.id, Some(self.secret))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.query().unwrap_or_default().to_owned())
            .send()
            .await
            .context("failed to introspect")?;
        let status = response.status();
        let body = response.text().await.context("failed to read the introspection")?;
        ensure!(status.is_success(), "introspection was answered {status}: {body}");
        serde_json::from_str(&body).context("failed to parse the introspection")
    }
}
