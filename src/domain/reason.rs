//! Every condition reason, once: what it means, what to do, and to which class of failure it
//! belongs. Conditions, metrics and documentation take their words from here.
//!
//! **Invariant:** a reason is never built from text that an endpoint sent.

/// Why a condition has its status; also the metric label `outcome`. The closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Ready: the managed Secret holds a token that is valid and was granted for this spec.
    TokenValid,
    /// `ResolvedRefs`: every object that the spec names was found and could be used.
    ResolvedRefs,
    /// `RequestSucceeded`: the latest token request was answered with a token.
    RequestSucceeded,
    /// `SecretSynced`: the managed Secret is what it should be.
    SecretSynced,
    /// The first answer for this spec is still awaited.
    Issuing,
    /// An attempt failed and another will follow.
    Retrying,
    /// `spec.suspend` is true and there is no valid token.
    Suspended,
    /// The client Secret does not exist.
    CredentialsNotFound,
    /// The client Secret lacks a key.
    CredentialsKeyMissing,
    /// A value in the client Secret is empty, not UTF-8 or has control characters.
    CredentialsInvalid,
    /// A private key can't be used: unreadable, encrypted, of another kind, or not the certificate's.
    ClientKeyInvalid,
    /// The bundle of certificate authorities is missing or unreadable.
    CABundleNotFound,
    /// The client certificate is missing or unreadable.
    CertificateNotFound,
    /// No token of the `ServiceAccount` can be had, or its audience is one of the API server's.
    ServiceAccountTokenRefused,
    /// `spec.provider` is not in the catalogue, or lacks a value that its entry needs.
    ProviderUnknown,
    /// Kubernetes RBAC refused a read or a write.
    Forbidden,
    /// The owner of the client Secret has not consented to this host, or the URL is unusable.
    EndpointNotAllowed,
    /// The endpoint's address is loopback, link-local or another that is refused by default.
    EndpointAddressRefused,
    /// DNS, connect, reset or timeout.
    EndpointUnreachable,
    /// HTTP 404 or 405.
    EndpointNotFound,
    /// HTTP 3xx.
    EndpointRedirects,
    /// The endpoint's certificate or host name was refused.
    TLSFailed,
    /// The issuer's metadata can't be had at the moment.
    DiscoveryFailed,
    /// The issuer has no metadata, or metadata that can't be used.
    DiscoveryInvalid,
    /// HTTP 429, or 503 with `Retry-After`, or a code that says so.
    RateLimited,
    /// HTTP 5xx, 408, 421, 425, or a proxy's page.
    ServerError,
    /// `invalid_client`, or HTTP 401.
    InvalidClient,
    /// `invalid_scope`.
    InvalidScope,
    /// `invalid_target` (RFC 8707).
    InvalidTarget,
    /// `invalid_grant`.
    InvalidGrant,
    /// `unauthorized_client`.
    UnauthorizedClient,
    /// `access_denied`, or HTTP 403.
    AccessDenied,
    /// `invalid_request`, or a 4xx with no closer reason.
    InvalidRequest,
    /// `unsupported_grant_type`.
    UnsupportedGrantType,
    /// A 2xx without a usable token.
    MalformedResponse,
    /// A token type other than Bearer.
    UnsupportedTokenType,
    /// A Secret of somebody else has the target's name.
    SecretNotOwned,
    /// Another credential has the same target.
    TargetConflict,
    /// The API server refused the write of the managed Secret.
    SecretWriteFailed,
    /// A form, template, label or annotation of `spec.target` can't be written as it is asked for.
    TemplateInvalid,
    /// Somebody else keeps changing the managed Secret.
    Contended,
    /// The credential is being deleted, and its token is revoked first.
    RevocationPending,
    /// The token has expired.
    TokenExpired,
    /// The token was granted for an older spec.
    TokenOutdated,
}

/// How a failed attempt is treated (behaviour: when the request fails).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The client was refused; perhaps its secret has not propagated yet.
    Credentials,
    /// The client is known but may not do this.
    Permission,
    /// What is asked is wrong.
    Configuration,
    /// The answer breaks RFC 6749.
    Contract,
    /// The endpoint asked for patience.
    Throttled,
    /// Waiting helps.
    Transient,
    /// The endpoint's certificate is not trusted.
    Trust,
    /// Nothing was asked; a change of the cluster wakes the credential.
    Local,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 44] = [
        Self::TokenValid,
        Self::ResolvedRefs,
        Self::RequestSucceeded,
        Self::SecretSynced,
        Self::Issuing,
        Self::Retrying,
        Self::Suspended,
        Self::CredentialsNotFound,
        Self::CredentialsKeyMissing,
        Self::CredentialsInvalid,
        Self::ClientKeyInvalid,
        Self::CABundleNotFound,
        Self::CertificateNotFound,
        Self::ServiceAccountTokenRefused,
        Self::ProviderUnknown,
        Self::Forbidden,
        Self::EndpointNotAllowed,
        Self::EndpointAddressRefused,
        Self::EndpointUnreachable,
        Self::EndpointNotFound,
        Self::EndpointRedirects,
        Self::TLSFailed,
        Self::DiscoveryFailed,
        Self::DiscoveryInvalid,
        Self::RateLimited,
        Self::ServerError,
        Self::InvalidClient,
        Self::InvalidScope,
        Self::InvalidTarget,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::AccessDenied,
        Self::InvalidRequest,
        Self::UnsupportedGrantType,
        Self::MalformedResponse,
        Self::UnsupportedTokenType,
        Self::SecretNotOwned,
        Self::TargetConflict,
        Self::SecretWriteFailed,
        Self::TemplateInvalid,
        Self::Contended,
        Self::RevocationPending,
        Self::TokenExpired,
        Self::TokenOutdated,
    ];

    /// The word as it stands in conditions, metrics and documentation (`PascalCase`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokenValid => "TokenValid",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::RequestSucceeded => "RequestSucceeded",
            Self::SecretSynced => "SecretSynced",
            Self::Issuing => "Issuing",
            Self::Retrying => "Retrying",
            Self::Suspended => "Suspended",
            Self::CredentialsNotFound => "CredentialsNotFound",
            Self::CredentialsKeyMissing => "CredentialsKeyMissing",
            Self::CredentialsInvalid => "CredentialsInvalid",
            Self::ClientKeyInvalid => "ClientKeyInvalid",
            Self::CABundleNotFound => "CABundleNotFound",
            Self::CertificateNotFound => "CertificateNotFound",
            Self::ServiceAccountTokenRefused => "ServiceAccountTokenRefused",
            Self::ProviderUnknown => "ProviderUnknown",
            Self::Forbidden => "Forbidden",
            Self::EndpointNotAllowed => "EndpointNotAllowed",
            Self::EndpointAddressRefused => "EndpointAddressRefused",
            Self::EndpointUnreachable => "EndpointUnreachable",
            Self::EndpointNotFound => "EndpointNotFound",
            Self::EndpointRedirects => "EndpointRedirects",
            Self::TLSFailed => "TLSFailed",
            Self::DiscoveryFailed => "DiscoveryFailed",
            Self::DiscoveryInvalid => "DiscoveryInvalid",
            Self::RateLimited => "RateLimited",
            Self::ServerError => "ServerError",
            Self::InvalidClient => "InvalidClient",
            Self::InvalidScope => "InvalidScope",
            Self::InvalidTarget => "InvalidTarget",
            Self::InvalidGrant => "InvalidGrant",
            Self::UnauthorizedClient => "UnauthorizedClient",
            Self::AccessDenied => "AccessDenied",
            Self::InvalidRequest => "InvalidRequest",
            Self::UnsupportedGrantType => "UnsupportedGrantType",
            Self::MalformedResponse => "MalformedResponse",
            Self::UnsupportedTokenType => "UnsupportedTokenType",
            Self::SecretNotOwned => "SecretNotOwned",
            Self::TargetConflict => "TargetConflict",
            Self::SecretWriteFailed => "SecretWriteFailed",
            Self::TemplateInvalid => "TemplateInvalid",
            Self::Contended => "Contended",
            Self::RevocationPending => "RevocationPending",
            Self::TokenExpired => "TokenExpired",
            Self::TokenOutdated => "TokenOutdated",
        }
    }

    /// The reason that a stored condition names, or `None` for a word of another version.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The class follows from the reason alone, so that a restart finds the same class in status.
    pub const fn class(self) -> Class {
        match self {
            Self::InvalidClient => Class::Credentials,
            Self::UnauthorizedClient | Self::InvalidGrant | Self::AccessDenied => Class::Permission,
            Self::InvalidScope
            | Self::InvalidTarget
            | Self::InvalidRequest
            | Self::UnsupportedGrantType
            | Self::EndpointNotFound
            | Self::EndpointRedirects
            | Self::EndpointAddressRefused
            | Self::DiscoveryInvalid => Class::Configuration,
            Self::MalformedResponse | Self::UnsupportedTokenType => Class::Contract,
            Self::RateLimited => Class::Throttled,
            Self::ServerError | Self::EndpointUnreachable | Self::DiscoveryFailed => {
                Class::Transient
            }
            Self::TLSFailed => Class::Trust,
            Self::TokenValid
            | Self::ResolvedRefs
            | Self::RequestSucceeded
            | Self::SecretSynced
            | Self::Issuing
            | Self::Retrying
            | Self::Suspended
            | Self::CredentialsNotFound
            | Self::CredentialsKeyMissing
            | Self::CredentialsInvalid
            | Self::ClientKeyInvalid
            | Self::CABundleNotFound
            | Self::CertificateNotFound
            | Self::ServiceAccountTokenRefused
            | Self::ProviderUnknown
            | Self::Forbidden
            | Self::EndpointNotAllowed
            | Self::SecretNotOwned
            | Self::TargetConflict
            | Self::SecretWriteFailed
            | Self::TemplateInvalid
            | Self::Contended
            | Self::RevocationPending
            | Self::TokenExpired
            | Self::TokenOutdated => Class::Local,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_found_by_its_word() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
    }
}
