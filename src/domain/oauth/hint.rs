//! What else may help: the commonest mistakes of those who configure a client, and who makes which.
//! In: a refusal and the request that was refused. Out: at most two hints, the likeliest first.
//!
//! **Invariant:** a hint is one fixed text that names a field or a thing to look at; which one is
//! given follows from the error and from what is not secret of the request.

use crate::domain::{
    crd::{BasicEncoding, ClientAuthenticationMethod as Method},
    oauth::{RequestError, RequestTraits, TokenRequest, failure, grant},
    plan::LocatedBy,
    reason::{Class, Reason},
};

/// How many hints a message has at most.
const MOST_HINTS: usize = 2;
/// Microsoft Entra ID, in its clouds.
const ENTRA_HOSTS: [&str; 3] =
    ["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"];

/// A mistake that a refusal may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// The server does not decode Basic credentials.
    EncodingRaw,
    /// The server decodes Basic credentials that were sent as they are.
    EncodingForm,
    /// A secret was copied with white space.
    WhiteSpace,
    /// A secret with an umlaut (RFC 6749 Appendix A allows printable ASCII).
    BeyondAscii,
    /// A signature that the server does not take, told as a client without the grant (Keycloak).
    SigningSecret,
    /// A secret that is short for its algorithm.
    ShortSecret,
    /// The assertion was for the token URL.
    AudienceIssuer,
    /// The assertion was for the token URL, and signed with the client secret.
    AudienceIssuerOnly,
    /// The assertion was for the issuer.
    AudienceTokenUrl,
    /// The assertion was for the issuer, and signed with the client secret.
    AudienceTokenUrlOnly,
    /// The assertion was for whom the spec says.
    AudienceGiven,
    /// The `ServiceAccount`'s token was for whom the spec says.
    AudienceServiceAccount,
    /// Entra ID and its one scope.
    EntraScope,
    /// Scopes that are not registered, or separated otherwise.
    Scopes,
    /// A server that wants a scope.
    ScopeMissing,
    /// A server that wants an audience or a resource.
    Audience,
    /// A client without this grant, or a provider with another.
    GrantType,
    /// A URL that is not the token endpoint.
    TokenUrl,
    /// Clocks that differ.
    Clock,
    /// A token that lies elsewhere in the answer.
    TokenPointer,
    /// A server that can't answer what `Accept` asks for.
    Accept,
    /// A server that wants JSON.
    Json,
    /// A secret that is new.
    Propagation,
}

impl Hint {
    /// The words.
    #[expect(clippy::too_many_lines, reason = "one table")]
    pub const fn text(self) -> &'static str {
        match self {
            Self::EncodingRaw => {
                "the client ID or the client secret has a character that form encoding changes: try \
                 spec.clientAuthentication.clientSecretBasic.encoding: Raw, or \
                 spec.clientAuthentication.method: ClientSecretPost"
            }
            Self::EncodingForm => {
                "the client ID or the client secret has a character that form encoding changes: try \
                 spec.clientAuthentication.clientSecretBasic.encoding: FormURLEncoded, or \
                 spec.clientAuthentication.method: ClientSecretPost"
            }
            Self::WhiteSpace => {
                "the client ID or the client secret begins or ends with white space, often from \
                 copying: remove it from the Secret"
            }
            Self::BeyondAscii => {
                "the client ID or the client secret has a character beyond ASCII, which many providers \
                 refuse: have a new secret made"
            }
            Self::SigningSecret => {
                "or the provider does not take the signature: check the client secret in the Secret of \
                 spec.credentialsSecretRef"
            }
            Self::ShortSecret => {
                "the client secret is shorter than the algorithm asks for (RFC 7518 section 3.2), which \
                 some providers refuse: have a longer one made"
            }
            Self::AudienceIssuer => {
                "the assertion's audience was the token URL, and the provider may expect its issuer: \
                 set spec.clientAuthentication.privateKeyJWT.audience, or spec.issuer in place of \
                 spec.tokenURL"
            }
            Self::AudienceIssuerOnly => {
                "the assertion's audience was the token URL, and the provider may expect its issuer: \
                 set spec.issuer in place of spec.tokenURL"
            }
            Self::AudienceTokenUrl => {
                "the assertion's audience was the issuer, and the provider may expect its token URL: \
                 set spec.clientAuthentication.privateKeyJWT.audience to that"
            }
            Self::AudienceTokenUrlOnly => {
                "the assertion's audience was the issuer, and the provider may expect its token URL: \
                 set spec.tokenURL in place of spec.issuer"
            }
            Self::AudienceGiven => {
                "check spec.clientAuthentication.privateKeyJWT.audience: most providers expect their \
                 issuer or their token URL, to the last slash"
            }
            Self::AudienceServiceAccount => {
                "check spec.clientAuthentication.serviceAccountToken.audience: the provider expects \
                 exactly the one that is registered there"
            }
            Self::EntraScope => {
                "Microsoft Entra ID takes exactly one scope, the resource and /.default, at \
                 /oauth2/v2.0/token: for example spec.scopes: [https://graph.microsoft.com/.default]"
            }
            Self::Scopes => {
                "each scope must be registered for the client, and some providers want commas \
                 between them: spec.request.scopeSeparator: \",\""
            }
            Self::ScopeMissing => {
                "no scope was asked for, and some providers want one: spec.scopes"
            }
            Self::Audience => {
                "no audience was asked for, and some providers want one: spec.audience (Auth0), or \
                 spec.resourceIndicators"
            }
            Self::GrantType => {
                "the client may not be registered for the client credentials grant, or the provider \
                 wants another spec.request.grantType, as Zoom wants account_credentials"
            }
            Self::TokenUrl => {
                "spec.tokenURL must be the token endpoint itself, often a path that ends in /token, \
                 and not the issuer or a login page"
            }
            Self::Clock => {
                "if this goes on, compare the clocks of the operator's node and of the provider: some \
                 providers answer an expired assertion with this status"
            }
            Self::TokenPointer => {
                "if the token has another name or lies deeper, set spec.response.tokenPointer, for \
                 example /data/token"
            }
            Self::Accept => {
                "some providers refuse the header Accept: an entry of spec.request.headers with the \
                 name Accept and the value \"\" accepts any"
            }
            Self::Json => {
                "the provider may want the parameters as JSON: spec.request.bodyFormat: JSON"
            }
            Self::Propagation => {
                "a new client secret may take minutes to be known everywhere at the provider"
            }
        }
    }
}

/// A refusal, as far as the table looks at it.
struct Refusal<'r> {
    error: &'r RequestError,
    traits: RequestTraits,
    /// Whether the request went to Entra ID.
    entra: bool,
    /// Whether the parameters were sent as a form.
    form: bool,
}

/// Whether a mistake may be behind a refusal.
type Fits = fn(&Refusal<'_>) -> bool;

/// Who makes which mistake. The first two that fit are told, so what is surest stands first: a server
/// that speaks of scopes has already let the client in.
const TABLE: [(Hint, Fits); 23] = [
    (Hint::Scopes, |r| r.is(Reason::InvalidScope) && !r.entra && r.traits.scopes),
    (Hint::ScopeMissing, |r| r.is(Reason::InvalidScope) && !r.entra && !r.traits.scopes),
    (Hint::EncodingRaw, |r| r.badly_encoded(BasicEncoding::FormUrlEncoded)),
    (Hint::EncodingForm, |r| r.badly_encoded(BasicEncoding::Raw)),
    (Hint::WhiteSpace, |r| r.refused() && r.traits.white_space),
    (Hint::BeyondAscii, |r| r.refused() && r.traits.beyond_ascii),
    (Hint::AudienceIssuer, |r| r.audience(Method::PrivateKeyJwt) && !r.traits.audience_is_issuer),
    (Hint::AudienceTokenUrl, |r| r.audience(Method::PrivateKeyJwt) && r.traits.audience_is_issuer),
    (Hint::AudienceIssuerOnly, |r| {
        r.audience(Method::ClientSecretJwt) && !r.traits.audience_is_issuer
    }),
    (Hint::AudienceTokenUrlOnly, |r| {
        r.audience(Method::ClientSecretJwt) && r.traits.audience_is_issuer
    }),
    (Hint::AudienceGiven, |r| r.refused_client() && r.signs() && r.traits.audience_is_given),
    (Hint::AudienceServiceAccount, |r| {
        r.refused_client() && r.traits.method == Method::ServiceAccountToken
    }),
    (Hint::EntraScope, |r| {
        r.entra && matches!(r.error.reason, Reason::InvalidScope | Reason::InvalidRequest)
    }),
    (Hint::Audience, |r| r.traits.without_audience && !r.entra && r.lacks_a_target()),
    (Hint::SigningSecret, |r| {
        r.is(Reason::UnauthorizedClient) && r.traits.method == Method::ClientSecretJwt
    }),
    (Hint::ShortSecret, |r| r.refused_client() && r.traits.short_secret),
    (Hint::GrantType, |r| r.is(Reason::UnsupportedGrantType) || r.is(Reason::UnauthorizedClient)),
    (Hint::TokenUrl, |r| {
        let elsewhere = r.is(Reason::EndpointNotFound)
            || r.is(Reason::EndpointRedirects)
            || r.detail(failure::PAGE);
        r.traits.located_by == LocatedBy::TokenUrl && elsewhere
    }),
    (Hint::Clock, |r| r.is(Reason::ServerError) && r.status(500..600) && r.asserts()),
    (Hint::TokenPointer, |r| r.detail(grant::MISSING)),
    (Hint::Accept, |r| r.error.status == Some(406)),
    (Hint::Json, |r| r.form && !r.entra && r.wants_another_format()),
    (Hint::Propagation, |r| r.is(Reason::InvalidClient) && r.traits.method.needs_client_secret()),
];

/// The hints for a refusal.
pub(super) fn hints(error: &RequestError, request: &TokenRequest) -> Vec<Hint> {
    let host = request.url.host_str().unwrap_or_default();
    let refusal = Refusal {
        error,
        traits: request.traits,
        entra: ENTRA_HOSTS.contains(&host),
        form: request
            .header("content-type")
            .is_some_and(|media_type| media_type.starts_with("application/x-www-form-urlencoded")),
    };
    let fitting = TABLE.iter().filter(|(_, fits)| fits(&refusal)).map(|(hint, _)| *hint);
    fitting.take(MOST_HINTS).collect()
}

impl Refusal<'_> {
    fn is(&self, reason: Reason) -> bool {
        self.error.reason == reason
    }

    fn status(&self, range: std::ops::Range<u16>) -> bool {
        self.error.status.is_some_and(|status| range.contains(&status))
    }

    fn detail(&self, detail: &str) -> bool {
        self.error.detail == Some(detail)
    }

    /// A 4xx that another request could avoid; waiting is no matter of the request.
    fn refused(&self) -> bool {
        let waits = matches!(self.error.reason.class(), Class::Throttled | Class::Transient);
        self.status(400..500) && !waits
    }

    /// A server that reads the Basic header otherwise shows as any 4xx (golang/oauth2#320,
    /// spring-security#9610).
    fn badly_encoded(&self, sent: BasicEncoding) -> bool {
        self.refused()
            && self.traits.method == Method::ClientSecretBasic
            && self.traits.encoding == sent
            && self.traits.encoding_matters
    }

    fn refused_client(&self) -> bool {
        self.is(Reason::InvalidClient) || self.error.code == Some("invalid_client")
    }

    /// Whether the assertion is ours.
    fn signs(&self) -> bool {
        matches!(self.traits.method, Method::PrivateKeyJwt | Method::ClientSecretJwt)
    }

    /// Whether there is an assertion, which has a beginning and an end.
    fn asserts(&self) -> bool {
        self.signs() || self.traits.method == Method::ServiceAccountToken
    }

    /// Whether the audience of an assertion by this method was ours to choose.
    fn audience(&self, method: Method) -> bool {
        self.refused_client() && self.traits.method == method && !self.traits.audience_is_given
    }

    fn lacks_a_target(&self) -> bool {
        self.is(Reason::InvalidTarget)
            || matches!(self.error.code, Some("access_denied" | "invalid_request"))
    }

    /// A server that does not understand the body finds it malformed or unsupported, or no grant in it.
    fn wants_another_format(&self) -> bool {
        match self.error.status {
            Some(400) => {
                matches!(self.error.reason, Reason::InvalidRequest | Reason::UnsupportedGrantType)
            }
            Some(406 | 415) => true,
            _ => false,
        }
    }
}
