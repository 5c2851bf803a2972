//! What to do about each reason, in a few words that complete "… answered HTTP 401: ".
//!
//! **Invariant:** every reason that an answer or a connection can have names the field to change, or
//! says that nothing need be done.

use std::borrow::Cow;

use crate::domain::{crd::ClientAuthenticationMethod as Method, plan::LocatedBy, reason::Reason};

/// Keycloak, Doorkeeper and UAA answer 401 for these too; follows the advice.
pub(super) const OR_DISABLED: &str = ", or the client is disabled or may not use this grant";

/// What to do; `method` is how the client had proved who it is, `located_by` the field that says where
/// the endpoint is.
pub(super) fn advice(
    reason: Reason,
    method: Option<Method>,
    located_by: LocatedBy,
) -> Cow<'static, str> {
    let text = with_token_url(reason, method);
    let field = match located_by {
        LocatedBy::TokenUrl => return Cow::Borrowed(text),
        // An explicit URL wins over the provider's, and stands in place of an issuer.
        _ if matches!(reason, Reason::EndpointRedirects | Reason::DiscoveryInvalid) => {
            return Cow::Borrowed(text);
        }
        LocatedBy::Provider => "spec.provider (a spec.tokenURL beside it wins)",
        LocatedBy::Issuer => "spec.issuer (or set spec.tokenURL in its place)",
    };
    Cow::Owned(text.replacen("spec.tokenURL", field, 1))
}

/// The words for a spec that names the token endpoint itself.
#[expect(clippy::too_many_lines, reason = "one table")]
const fn with_token_url(reason: Reason, method: Option<Method>) -> &'static str {
    match reason {
        Reason::InvalidClient => refused_client(method),
        Reason::InvalidScope => "check spec.scopes against what the client may ask for",
        Reason::InvalidTarget => {
            "check spec.audience and spec.resourceIndicators against what the client may ask for"
        }
        Reason::InvalidGrant => {
            "the provider refuses the grant: check the client's registration there, \
             spec.request.grantType and spec.request.parameters"
        }
        Reason::UnauthorizedClient => {
            "the provider does not let this client use the grant: allow it there, or name another \
             client in spec.credentialsSecretRef"
        }
        Reason::AccessDenied => {
            "the provider does not let this client have the token: allow it there, or check \
             spec.scopes and spec.audience"
        }
        Reason::InvalidRequest => {
            "the provider does not accept the request: check spec.scopes, spec.audience, \
             spec.clientAuthentication and spec.request against its documentation"
        }
        Reason::UnsupportedGrantType => {
            "the provider has no such grant at this URL: check spec.tokenURL and \
             spec.request.grantType"
        }
        Reason::MalformedResponse => {
            "the answer is no token response (RFC 6749 section 5.1): check spec.tokenURL and \
             spec.response"
        }
        Reason::UnsupportedTokenType => {
            "the token is of a type that is not supported: configure the client for Bearer tokens \
             at the provider"
        }
        Reason::EndpointNotFound => "there is no token endpoint: check the path of spec.tokenURL",
        Reason::EndpointRedirects => {
            "redirects are not followed, as they would carry the client secret elsewhere: set \
             spec.tokenURL to the final URL"
        }
        Reason::EndpointNotAllowed => "the token endpoint may not be used: check spec.tokenURL",
        Reason::EndpointAddressRefused => {
            "its address is refused by default: use another host, or let the operator's \
             administrator allow it with --allow-endpoint-addresses"
        }
        Reason::EndpointUnreachable => {
            "check the host of spec.tokenURL, and that it answers in the operator's network; it is \
             asked again"
        }
        Reason::TLSFailed => {
            "the connection is not trusted: check the endpoint's certificate and spec.tls"
        }
        Reason::DiscoveryFailed => "the metadata of spec.issuer can't be had; it is asked again",
        Reason::DiscoveryInvalid => {
            "check spec.issuer, or set spec.tokenURL to the token endpoint instead"
        }
        Reason::RateLimited => "the provider asks for patience; it is asked again",
        Reason::ServerError => "the provider has a problem; it is asked again",
        // Not told by an answer; listed so that a new reason must be thought about.
        Reason::TokenValid
        | Reason::ResolvedRefs
        | Reason::RequestSucceeded
        | Reason::SecretSynced
        | Reason::Issuing
        | Reason::Retrying
        | Reason::Suspended
        | Reason::CredentialsNotFound
        | Reason::CredentialsKeyMissing
        | Reason::CredentialsInvalid
        | Reason::ClientKeyInvalid
        | Reason::CABundleNotFound
        | Reason::CertificateNotFound
        | Reason::ServiceAccountTokenRefused
        | Reason::ProviderUnknown
        | Reason::Forbidden
        | Reason::SecretNotOwned
        | Reason::TargetConflict
        | Reason::SecretWriteFailed
        | Reason::Contended
        | Reason::RevocationPending
        | Reason::TokenExpired
        | Reason::TemplateInvalid
        | Reason::TokenOutdated => "it was not asked",
    }
}

/// Every method has another thing that the provider may not know.
const fn refused_client(method: Option<Method>) -> &'static str {
    match method {
        None | Some(Method::ClientSecretBasic | Method::ClientSecretPost) => {
            "check the client ID and the client secret in the Secret of spec.credentialsSecretRef, \
             and spec.clientAuthentication.method"
        }
        Some(Method::ClientSecretJwt) => {
            "check the client ID and the client secret in the Secret of spec.credentialsSecretRef, \
             and spec.clientAuthentication.clientSecretJWT.algorithm"
        }
        Some(Method::PrivateKeyJwt) => {
            "check the client ID, and that the provider knows the public key that belongs to \
             spec.clientAuthentication.privateKeyJWT.keySecretRef"
        }
        Some(Method::TlsClientAuth) => {
            "check the client ID, and that the provider knows the certificate of \
             spec.tls.clientCertificateSecretRef"
        }
        Some(Method::ServiceAccountToken) => {
            "check that the provider trusts this cluster's issuer, and the ServiceAccount of \
             spec.clientAuthentication.serviceAccountToken"
        }
        Some(Method::None) => {
            "check the client ID, or set spec.clientAuthentication.method: the provider may want \
             the client to prove who it is"
        }
    }
}
