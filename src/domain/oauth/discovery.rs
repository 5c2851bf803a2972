//! The metadata of an issuer (OpenID Connect Discovery 1.0 §4, RFC 8414): where it lies, and which
//! token endpoint it names. In: an issuer, a status and a body. Out: a token endpoint, or what is
//! wrong in words of our own.
//!
//! **Invariant:** a document counts for an issuer only if its `issuer` member is that issuer byte for
//! byte (RFC 8414 §3.3), so that one issuer can't speak for another; and no text of a document leaves
//! this file but the URL of a token endpoint.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::domain::{consent, crd::ClientAuthenticationMethod, reason::Reason};

/// The path below an issuer (OpenID Connect Discovery 1.0 §4).
const OPENID: &str = "/.well-known/openid-configuration";
/// What is put between the host and the path of an issuer (RFC 8414 §3).
const OAUTH: &str = "/.well-known/oauth-authorization-server";

/// The longest URL that is kept, as in the schema of `spec.tokenURL`.
const MAX_URL_BYTES: usize = 2048;

/// Where the metadata of an issuer may lie, in the order in which it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataUrls {
    /// That of OpenID Connect: most servers have it, also those that know no users.
    pub openid: Url,
    /// That of RFC 8414.
    pub oauth: Url,
}

/// What matters in the metadata of a server; everything else in it is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMetadata {
    /// The token endpoint as it is written; usable.
    pub token_endpoint: String,
    /// Where a client that shows a certificate asks (RFC 8705 §5), as it is written.
    pub mtls_token_endpoint: Option<String>,
    /// Where tokens are revoked (RFC 8414 §2), where that is usable.
    pub revocation_endpoint: Option<String>,
    /// Where a client that shows a certificate revokes, where that is usable.
    pub mtls_revocation_endpoint: Option<String>,
}

/// What the status of an answer says about the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is in the body.
    Here,
    /// It is not at this URL.
    Elsewhere,
    /// It can't be had.
    Fault(MetadataFault),
}

/// Why an issuer names no token endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataFault {
    /// The issuer is no URL that metadata can lie below.
    Issuer,
    /// Neither of the two URLs has metadata.
    Missing,
    /// 401 or 403: metadata is public, so this is no authorization server, or a wall before it.
    Guarded,
    /// Another 4xx, or a status that HTTP does not have.
    Status,
    /// 5xx, 429 and their like: it may be there a moment later.
    Unavailable,
    /// Longer than what is read.
    TooLarge,
    /// No JSON object, or one whose members have other types.
    Unreadable,
    /// It is about another issuer, or does not say which.
    OtherIssuer,
    /// It names no token endpoint, or none that can be used.
    NoTokenEndpoint,
    /// Its token endpoint for client certificates can't be used.
    NoMtlsTokenEndpoint,
    /// It names no revocation endpoint, or none that can be used.
    NoRevocationEndpoint,
}

impl MetadataFault {
    /// The reason; the class follows from it alone.
    pub const fn reason(self) -> Reason {
        match self {
            Self::Unavailable => Reason::DiscoveryFailed,
            Self::Issuer
            | Self::Missing
            | Self::Guarded
            | Self::Status
            | Self::TooLarge
            | Self::Unreadable
            | Self::OtherIssuer
            | Self::NoTokenEndpoint
            | Self::NoMtlsTokenEndpoint
            | Self::NoRevocationEndpoint => Reason::DiscoveryInvalid,
        }
    }

    /// What is wrong, and what helps.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Issuer => {
                "an issuer is an https URL without a query and a fragment (RFC 8414 section 2)"
            }
            Self::Missing => {
                "there is no metadata below spec.issuer, neither that of OpenID Connect nor that of \
                 RFC 8414"
            }
            Self::Guarded => {
                "its metadata is answered with HTTP 401 or 403, where metadata is public"
            }
            Self::Status => "its metadata is refused",
            Self::Unavailable => "the server of the metadata has a problem or asks for patience",
            Self::TooLarge => "its metadata is larger than 64 KiB",
            Self::Unreadable => {
                "what it answers is no metadata: it is not a JSON object of RFC 8414"
            }
            Self::OtherIssuer => {
                "its metadata names another issuer: write spec.issuer exactly as the metadata has \
                 it, a final / included"
            }
            Self::NoTokenEndpoint => "its metadata names no token endpoint that is an https URL",
            Self::NoMtlsTokenEndpoint => {
                "the token endpoint for client certificates in its metadata \
                 (mtls_endpoint_aliases) is no https URL"
            }
            Self::NoRevocationEndpoint => {
                "its metadata names no revocation endpoint that is an https URL: set \
                 spec.revocation.url"
            }
        }
    }
}

impl ServerMetadata {
    /// The token endpoint that a client asks with this method; only who proves by certificate who it
    /// is needs the alias (RFC 8705 §5).
    ///
    /// # Errors
    /// An alias that is needed and can't be used: the plain endpoint would ask for no certificate.
    pub fn token_endpoint_for(
        &self,
        method: ClientAuthenticationMethod,
        allow_insecure: bool,
    ) -> Result<&str, MetadataFault> {
        match &self.mtls_token_endpoint {
            Some(alias) if method == ClientAuthenticationMethod::TlsClientAuth => {
                usable(alias, allow_insecure)
                    .then_some(alias.as_str())
                    .ok_or(MetadataFault::NoMtlsTokenEndpoint)
            }
            Some(_) | None => Ok(&self.token_endpoint),
        }
    }

    /// Where a client revokes a token with this method (RFC 7009).
    ///
    /// # Errors
    /// There is no such endpoint.
    pub fn revocation_endpoint_for(
        &self,
        method: ClientAuthenticationMethod,
    ) -> Result<&str, MetadataFault> {
        let alias = self.mtls_revocation_endpoint.as_deref();
        let alias = alias.filter(|_| method == ClientAuthenticationMethod::TlsClientAuth);
        let named = alias.or(self.revocation_endpoint.as_deref());
        named.ok_or(MetadataFault::NoRevocationEndpoint)
    }
}

/// Where the metadata of an issuer may lie. One final `/` is dropped here, never in comparing.
///
/// # Errors
/// An issuer with a query or a fragment (RFC 8414 §2), or a URL that can't be used.
pub fn urls(issuer: &str, allow_insecure: bool) -> Result<MetadataUrls, MetadataFault> {
    if issuer.contains(['?', '#']) {
        return Err(MetadataFault::Issuer);
    }
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let after_scheme = base.find("://").map_or(0, |at| at + 3);
    let rest = base.get(after_scheme..).unwrap_or_default();
    let host_end = rest.find('/').map_or(base.len(), |at| after_scheme + at);
    let (host, path) = base.split_at(host_end);
    let url = |written: String| {
        let read = consent::token_endpoint(&written, allow_insecure);
        read.map(|endpoint| endpoint.url).map_err(|_| MetadataFault::Issuer)
    };
    Ok(MetadataUrls {
        openid: url(format!("{base}{OPENID}"))?,
        oauth: url(format!("{host}{OAUTH}{path}"))?,
    })
}

/// What a status says. A redirect is not followed: it would make another host speak for the issuer.
pub const fn told(status: u16) -> Told {
    match status {
        200..=299 => Told::Here,
        300..=399 | 404 | 405 => Told::Elsewhere,
        401 | 403 => Told::Fault(MetadataFault::Guarded),
        408 | 421 | 425 | 429 | 500..=599 => Told::Fault(MetadataFault::Unavailable),
        _ => Told::Fault(MetadataFault::Status),
    }
}

/// Reads metadata (RFC 8414 §2, §3.3).
///
/// # Errors
/// A document that is none, that is about another issuer, or that names no usable token endpoint.
pub fn read(
    body: &[u8],
    issuer: &str,
    allow_insecure: bool,
) -> Result<ServerMetadata, MetadataFault> {
    #[derive(Deserialize)]
    struct Document {
        issuer: Option<String>,
        token_endpoint: Option<String>,
        revocation_endpoint: Option<Value>,
        mtls_endpoint_aliases: Option<Value>,
    }
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    // serde quotes values in its errors, so they end here.
    let document: Document = serde_json::from_slice(body).map_err(|_| MetadataFault::Unreadable)?;
    if document.issuer.as_deref() != Some(issuer) {
        return Err(MetadataFault::OtherIssuer);
    }
    let token_endpoint = document
        .token_endpoint
        .filter(|written| usable(written, allow_insecure))
        .ok_or(MetadataFault::NoTokenEndpoint)?;
    let aliases = document.mtls_endpoint_aliases.unwrap_or_default();
    let alias = aliases.get("token_endpoint").and_then(Value::as_str);
    if alias.is_some_and(|alias| alias.len() > MAX_URL_BYTES) {
        return Err(MetadataFault::NoMtlsTokenEndpoint);
    }
    // Tokens are granted all the same where these can't be used.
    let to_revoke = |written: Option<&Value>| {
        let written = written.and_then(Value::as_str);
        written.filter(|written| usable(written, allow_insecure)).map(str::to_owned)
    };
    Ok(ServerMetadata {
        token_endpoint,
        mtls_token_endpoint: alias.map(str::to_owned),
        revocation_endpoint: to_revoke(document.revocation_endpoint.as_ref()),
        mtls_revocation_endpoint: to_revoke(aliases.get("revocation_endpoint")),
    })
}

fn usable(written: &str, allow_insecure: bool) -> bool {
    written.len() <= MAX_URL_BYTES && consent::token_endpoint(written, allow_insecure).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://idp.example.com/realms/a";

    #[test]
    fn metadata_lies_below_the_issuer_and_before_its_path() {
        fn check(issuer: &str, openid: &str, oauth: &str) {
            let found = urls(issuer, false).unwrap();
            assert_eq!((found.openid.as_str(), found.oauth.as_str()), (openid, oauth), "{issuer}");
        }
        let openid = "https://idp.example.com/.well-known/openid-configuration";
        let oauth = "https://idp.example.com/.well-known/oauth-authorization-server";
        check("https://idp.example.com", openid, oauth);
        check("https://idp.example.com/", openid, oauth);
        check(
            "https://idp.example.com:8443/realms/a",
            "https://idp.example.com:8443/realms/a/.well-known/openid-configuration",
            "https://idp.example.com:8443/.well-known/oauth-authorization-server/realms/a",
        );
        check(
            "https://idp.example.com/realms/a/",
            "https://idp.example.com/realms/a/.well-known/openid-configuration",
            "https://idp.example.com/.well-known/oauth-authorization-server/realms/a",
        );
        check(
            "https://idp.example.com/a//",
            "https://idp.example.com/a//.well-known/openid-configuration",
            "https://idp.example.com/.well-known/oauth-authorization-server/a/",
        );
    }

    #[test]
    fn an_issuer_that_metadata_can_not_lie_below_is_refused() {
        for issuer in [
            "",
            "/",
            "https://",
            "https:///",
            "idp.example.com",
            "http://idp.example.com",
            "https://idp.example.com?tenant=a",
            "https://idp.example.com/a#b",
            "https://user@idp.example.com",
            "https://idp.example.com./a",
            "https://idp.example.com\\a",
            "https://*.example.com",
        ] {
            assert_eq!(urls(issuer, false), Err(MetadataFault::Issuer), "{issuer}");
        }
        assert!(urls("http://idp.example.com", true).is_ok());
    }

    #[test]
    fn a_status_says_whether_there_is_metadata() {
        for (status, expected) in [
            (200, Told::Here),
            (204, Told::Here),
            (301, Told::Elsewhere),
            (308, Told::Elsewhere),
            (404, Told::Elsewhere),
            (405, Told::Elsewhere),
            (400, Told::Fault(MetadataFault::Status)),
            (401, Told::Fault(MetadataFault::Guarded)),
            (403, Told::Fault(MetadataFault::Guarded)),
            (408, Told::Fault(MetadataFault::Unavailable)),
            (410, Told::Fault(MetadataFault::Status)),
            (429, Told::Fault(MetadataFault::Unavailable)),
            (500, Told::Fault(MetadataFault::Unavailable)),
            (503, Told::Fault(MetadataFault::Unavailable)),
            (999, Told::Fault(MetadataFault::Status)),
        ] {
            assert_eq!(told(status), expected, "{status}");
        }
    }

    #[test]
    fn a_document_counts_for_its_own_issuer_only() {
        let same = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"https://t.example.com/t"}}"#);
        assert_eq!(
            read(same.as_bytes(), ISSUER, false).unwrap().token_endpoint,
            "https://t.example.com/t"
        );
        for other in [
            "https://idp.example.com/realms/a/",
            "https://idp.example.com/realms/b",
            "https://IDP.example.com/realms/a",
            "https://idp.example.com:443/realms/a",
            "http://idp.example.com/realms/a",
            "",
        ] {
            let read = read(same.as_bytes(), other, false);
            assert_eq!(read, Err(MetadataFault::OtherIssuer), "{other}");
        }
        for (body, fault) in [
            (r#"{"token_endpoint":"https://t.example.com/t"}"#, MetadataFault::OtherIssuer),
            (r#"{"issuer":null}"#, MetadataFault::OtherIssuer),
            (r#"{"issuer":1}"#, MetadataFault::Unreadable),
            ("", MetadataFault::Unreadable),
            ("[]", MetadataFault::Unreadable),
            ("<html>", MetadataFault::Unreadable),
            ("{}garbage", MetadataFault::Unreadable),
        ] {
            assert_eq!(read(body.as_bytes(), ISSUER, false), Err(fault), "{body}");
        }
        let twice = format!(r#"{{"issuer":"https://evil.example.com","issuer":"{ISSUER}"}}"#);
        assert_eq!(read(twice.as_bytes(), ISSUER, false), Err(MetadataFault::Unreadable));
    }

    #[test]
    fn a_token_endpoint_that_can_not_be_used_is_none() {
        for endpoint in [
            "null",
            r#""""#,
            r#""http://t.example.com/t""#,
            r#""/token""#,
            r#""https://u:p@t.example.com/t""#,
            r#""https://t.example.com./t""#,
            r#""ftp://t.example.com/t""#,
            &format!(r#""https://t.example.com/{}""#, "t".repeat(2048)),
        ] {
            let body = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":{endpoint}}}"#);
            let read = read(body.as_bytes(), ISSUER, false);
            assert_eq!(read, Err(MetadataFault::NoTokenEndpoint), "{endpoint}");
        }
        let body = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"http://t.example.com/t"}}"#);
        assert!(read(body.as_bytes(), ISSUER, true).is_ok());
        let none = format!(r#"{{"issuer":"{ISSUER}","grant_types_supported":["implicit"]}}"#);
        assert_eq!(read(none.as_bytes(), ISSUER, false), Err(MetadataFault::NoTokenEndpoint));
    }

    #[test]
    fn the_alias_for_client_certificates_is_for_tls_client_auth() {
        use ClientAuthenticationMethod::{ClientSecretBasic, PrivateKeyJwt, TlsClientAuth};
        let with = |aliases: &str| {
            let body = format!(
                r#"{{"issuer":"{ISSUER}","token_endpoint":"https://t.example.com/t",
                "mtls_endpoint_aliases":{aliases}}}"#
            );
            read(body.as_bytes(), ISSUER, false).unwrap()
        };
        let plain = Ok("https://t.example.com/t");
        let found = with(r#"{"token_endpoint":"https://mtls.example.com/t"}"#);
        assert_eq!(
            found.token_endpoint_for(TlsClientAuth, false),
            Ok("https://mtls.example.com/t")
        );
        assert_eq!(found.token_endpoint_for(ClientSecretBasic, false), plain);
        assert_eq!(found.token_endpoint_for(PrivateKeyJwt, false), plain);
        for none in ["null", "{}", "[]", r#""text""#, r#"{"token_endpoint":null}"#] {
            assert_eq!(with(none).token_endpoint_for(TlsClientAuth, false), plain, "{none}");
        }
        let unusable = with(r#"{"token_endpoint":"http://mtls.example.com/t"}"#);
        let fault = Err(MetadataFault::NoMtlsTokenEndpoint);
        assert_eq!(unusable.token_endpoint_for(TlsClientAuth, false), fault);
        assert_eq!(unusable.token_endpoint_for(ClientSecretBasic, false), plain);
    }

    #[test]
    fn a_revocation_endpoint_is_kept_where_it_is_usable_and_missed_by_nobody_else() {
        use ClientAuthenticationMethod::{ClientSecretBasic, TlsClientAuth};
        let with = |more: &str| {
            let body = format!(
                r#"{{"issuer":"{ISSUER}","token_endpoint":"https://t.example.com/t"{more}}}"#
            );
            read(body.as_bytes(), ISSUER, false).unwrap()
        };
        let plain = r#","revocation_endpoint":"https://t.example.com/r""#;
        let alias = r#","mtls_endpoint_aliases":{"revocation_endpoint":"https://m.example.com/r"}"#;
        let both = with(&format!("{plain}{alias}"));
        assert_eq!(both.revocation_endpoint_for(ClientSecretBasic), Ok("https://t.example.com/r"));
        assert_eq!(both.revocation_endpoint_for(TlsClientAuth), Ok("https://m.example.com/r"));
        assert_eq!(
            with(plain).revocation_endpoint_for(TlsClientAuth),
            Ok("https://t.example.com/r")
        );
        let none = Err(MetadataFault::NoRevocationEndpoint);
        assert_eq!(with(alias).revocation_endpoint_for(ClientSecretBasic), none);
        for unusable in ["null", "1", "{}", r#""/r""#, r#""http://t.example.com/r""#] {
            let found = with(&format!(r#","revocation_endpoint":{unusable}"#));
            assert_eq!(found.revocation_endpoint_for(ClientSecretBasic), none, "{unusable}");
            assert_eq!(found.token_endpoint, "https://t.example.com/t");
        }
    }
}
