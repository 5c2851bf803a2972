//! What a person reads about a refusal, word for word.
//!
//! **Invariant:** a message is made of our own words, and is the same for the same refusal.

use super::*;
use crate::domain::crd::BasicEncoding;

const HOST: &str = "idp.example.com";
const URL: &str = "https://idp.example.com/oauth2/token";
const ENTRA: &str = "https://login.microsoftonline.com/t/oauth2/v2.0/token";

/// A refusal and whom it was told to.
struct Told {
    url: &'static str,
    traits: RequestTraits,
    media_type: &'static str,
}

fn to(traits: RequestTraits) -> Told {
    Told { url: URL, traits, media_type: FORM }
}

fn method(method: ClientAuthenticationMethod) -> RequestTraits {
    RequestTraits { method, ..RequestTraits::default() }
}

fn special(encoding: BasicEncoding) -> RequestTraits {
    RequestTraits { encoding, encoding_matters: true, ..RequestTraits::default() }
}

impl Told {
    fn request(&self) -> TokenRequest {
        let headers = vec![("content-type".to_owned(), Redacted::new(self.media_type.to_owned()))];
        let url = Url::parse(self.url).unwrap();
        TokenRequest { url, traits: self.traits, headers, ..request(&spec(None), "app", "s3cr3t") }
    }

    fn error(&self, error: RequestError) -> RequestError {
        error.about(&self.request())
    }

    fn message(&self, error: RequestError) -> String {
        self.error(error).message(HOST)
    }

    fn answered(&self, status: u16, body: &str) -> String {
        self.message(refused(status, &[("content-type", JSON)], body))
    }
}

fn code(code: &str) -> String {
    format!(r#"{{"error":"{code}","error_description":"s3cr3t AADSTS7000215"}}"#)
}

const BASIC_401: &str = "idp.example.com answered HTTP 401 with invalid_client: check the client ID and \
    the client secret in the Secret of spec.credentialsSecretRef, and spec.clientAuthentication.method, \
    or the client is disabled or may not use this grant";
const PROPAGATION: &str =
    "; a new client secret may take minutes to be known everywhere at the provider";

#[test]
fn a_refused_secret_is_told_with_its_encoding_and_its_white_space() {
    let plain = to(RequestTraits::default());
    assert_eq!(plain.answered(401, &code("invalid_client")), format!("{BASIC_401}{PROPAGATION}"));
    let raw = "; the client ID or the client secret has a character that form encoding changes: try \
        spec.clientAuthentication.clientSecretBasic.encoding: Raw, or \
        spec.clientAuthentication.method: ClientSecretPost";
    let form = raw.replace("encoding: Raw", "encoding: FormURLEncoded");
    let told = to(special(BasicEncoding::FormUrlEncoded));
    assert_eq!(
        told.answered(401, &code("invalid_client")),
        format!("{BASIC_401}{raw}{PROPAGATION}")
    );
    let told = to(special(BasicEncoding::Raw));
    assert_eq!(
        told.answered(401, &code("invalid_client")),
        format!("{BASIC_401}{form}{PROPAGATION}")
    );
    let white_space = "; the client ID or the client secret begins or ends with white space, often \
        from copying: remove it from the Secret";
    let told = to(RequestTraits { white_space: true, ..special(BasicEncoding::FormUrlEncoded) });
    assert_eq!(
        told.answered(401, &code("invalid_client")),
        format!("{BASIC_401}{raw}{white_space}")
    );
    let told = to(RequestTraits {
        white_space: true,
        ..method(ClientAuthenticationMethod::ClientSecretPost)
    });
    assert_eq!(
        told.answered(401, &code("invalid_client")),
        format!("{BASIC_401}{white_space}{PROPAGATION}")
    );
}

/// Every 4xx that another request could avoid may come from the encoding; no other answer may.
#[test]
fn the_encoding_is_told_at_every_refusal_of_basic_credentials() {
    let told = to(special(BasicEncoding::FormUrlEncoded));
    let raw = "encoding: Raw";
    for status in [400, 401, 402, 403, 404, 405, 406, 409, 413, 415, 422] {
        assert!(told.answered(status, "").contains(raw), "{status}");
        assert!(told.answered(status, &code("invalid_request")).contains(raw), "{status}");
    }
    for status in [408, 421, 425, 429, 500, 503, 302] {
        assert!(!told.answered(status, "").contains("encoding"), "{status}");
    }
    assert!(!told.answered(200, "{}").contains("encoding"));
    for other in [
        ClientAuthenticationMethod::ClientSecretPost,
        ClientAuthenticationMethod::ClientSecretJwt,
        ClientAuthenticationMethod::PrivateKeyJwt,
    ] {
        let told = to(RequestTraits { method: other, ..special(BasicEncoding::FormUrlEncoded) });
        assert!(!told.answered(401, "").contains("encoding"), "{other:?}");
    }
}

#[test]
fn a_refused_assertion_is_told_with_its_audience() {
    use ClientAuthenticationMethod::{ClientSecretJwt, PrivateKeyJwt, ServiceAccountToken};
    let head = "idp.example.com answered HTTP 401 with invalid_client: check the client ID, and that \
        the provider knows the public key that belongs to \
        spec.clientAuthentication.privateKeyJWT.keySecretRef, or the client is disabled or may not use \
        this grant; ";
    let told = |traits| to(traits).answered(401, &code("invalid_client"));
    let key = method(PrivateKeyJwt);
    let to_url = "the assertion's audience was the token URL, and the provider may expect its issuer: \
        set spec.clientAuthentication.privateKeyJWT.audience, or spec.issuer in place of spec.tokenURL";
    assert_eq!(told(key), format!("{head}{to_url}"));
    let to_issuer = "the assertion's audience was the issuer, and the provider may expect its token \
        URL: set spec.clientAuthentication.privateKeyJWT.audience to that";
    let issuer = RequestTraits { audience_is_issuer: true, ..key };
    assert_eq!(told(issuer), format!("{head}{to_issuer}"));
    let as_given = "check spec.clientAuthentication.privateKeyJWT.audience: most providers expect \
        their issuer or their token URL, to the last slash";
    assert_eq!(told(RequestTraits { audience_is_given: true, ..key }), format!("{head}{as_given}"));
    let hmac = method(ClientSecretJwt);
    assert!(told(hmac).contains(
        "clientSecretJWT.algorithm, or the client is disabled or may not use this grant; the \
         assertion's audience was the token URL, and the provider may expect its issuer: set \
         spec.issuer in place of spec.tokenURL; a new client secret"
    ));
    assert!(told(RequestTraits { audience_is_issuer: true, ..hmac }).contains(
        "the assertion's audience was the issuer, and the provider may expect its token URL: set \
         spec.tokenURL in place of spec.issuer; a new client secret"
    ));
    assert!(told(method(ServiceAccountToken)).ends_with(
        "; check spec.clientAuthentication.serviceAccountToken.audience: the provider expects exactly \
         the one that is registered there"
    ));
    // Keycloak: 400 and `invalid_client`; 401 and another code.
    assert!(to(key).answered(400, &code("invalid_client")).ends_with(to_url));
    assert!(to(key).answered(401, &code("unauthorized_client")).ends_with(to_url));
    assert!(!to(key).answered(400, &code("invalid_scope")).contains("audience was"));
}

#[test]
fn scopes_are_told_as_entra_and_as_others_want_them() {
    let entra = "Microsoft Entra ID takes exactly one scope, the resource and /.default, at \
        /oauth2/v2.0/token: for example spec.scopes: [https://graph.microsoft.com/.default]";
    for url in [
        ENTRA,
        "https://login.microsoftonline.us/t/oauth2/v2.0/token",
        "https://login.partner.microsoftonline.cn/t/oauth2/v2.0/token",
    ] {
        let told = Told {
            url,
            ..to(RequestTraits { without_audience: true, ..RequestTraits::default() })
        };
        assert_eq!(
            told.answered(400, &code("invalid_scope")),
            format!(
                "idp.example.com answered HTTP 400 with invalid_scope: check spec.scopes against what \
                 the client may ask for; {entra}"
            )
        );
        assert!(told.answered(400, &code("invalid_request")).ends_with(entra));
        assert!(told.answered(400, &code("invalid_resource")).ends_with(entra));
        assert!(!told.answered(400, &code("unauthorized_client")).contains("Entra"));
        assert!(!told.answered(401, &code("invalid_client")).contains("Entra"));
    }
    let near = Told {
        url: "https://login.microsoftonline.com.example/t/token",
        ..to(RequestTraits::default())
    };
    assert!(!near.answered(400, &code("invalid_scope")).contains("Entra"));
    let asked = to(RequestTraits { scopes: true, ..RequestTraits::default() });
    assert_eq!(
        asked.answered(400, &code("invalid_scope")),
        "idp.example.com answered HTTP 400 with invalid_scope: check spec.scopes against what the \
         client may ask for; each scope must be registered for the client, and some providers want \
         commas between them: spec.request.scopeSeparator: \",\""
    );
    assert_eq!(
        to(RequestTraits::default()).answered(400, &code("invalid_scope")),
        "idp.example.com answered HTTP 400 with invalid_scope: check spec.scopes against what the \
         client may ask for; no scope was asked for, and some providers want one: spec.scopes"
    );
}

#[test]
fn what_was_not_asked_for_is_told() {
    let told = to(RequestTraits { without_audience: true, ..RequestTraits::default() });
    let audience = "; no audience was asked for, and some providers want one: spec.audience (Auth0), \
        or spec.resourceIndicators";
    assert_eq!(
        told.answered(403, &code("access_denied")),
        format!(
            "idp.example.com answered HTTP 403 with access_denied: the provider does not let this \
             client have the token: allow it there, or check spec.scopes and spec.audience{audience}"
        )
    );
    assert!(told.answered(400, &code("invalid_target")).ends_with(audience));
    assert!(told.answered(400, &code("invalid_request")).contains(audience));
    assert!(!told.answered(403, "").contains("no audience"));
    let asked = to(RequestTraits::default());
    assert!(!asked.answered(403, &code("access_denied")).contains("no audience"));
    let grant_type = "; the client may not be registered for the client credentials grant, or the \
        provider wants another spec.request.grantType, as Zoom wants account_credentials";
    assert_eq!(
        asked.answered(400, &code("unauthorized_client")),
        format!(
            "idp.example.com answered HTTP 400 with unauthorized_client: the provider does not let \
             this client use the grant: allow it there, or name another client in \
             spec.credentialsSecretRef{grant_type}"
        )
    );
    assert!(asked.answered(400, &code("unsupported_grant_type")).contains(grant_type));
    assert!(!asked.answered(401, &code("unauthorized_client")).contains("Zoom"));
}

#[test]
fn a_wrong_url_is_told() {
    let told = to(RequestTraits::default());
    let url = "; spec.tokenURL must be the token endpoint itself, often a path that ends in /token, \
        and not the issuer or a login page";
    let not_found = "there is no token endpoint: check the path of spec.tokenURL";
    for status in [404, 405] {
        assert_eq!(
            told.answered(status, ""),
            format!("idp.example.com answered HTTP {status}: {not_found}{url}")
        );
    }
    assert_eq!(
        told.answered(302, ""),
        format!(
            "idp.example.com answered HTTP 302: redirects are not followed, as they would carry the \
             client secret elsewhere: set spec.tokenURL to the final URL{url}"
        )
    );
    let page = "the answer is a web page, as proxies and login pages send it";
    assert_eq!(
        told.answered(200, "<html>"),
        format!(
            "idp.example.com answered HTTP 200: the provider has a problem; it is asked again; \
             {page}{url}"
        )
    );
    assert!(told.answered(403, "<html>").ends_with(&format!("; {page}{url}")));
    assert!(!told.answered(502, "<html>").contains("page"));
}

#[test]
fn clocks_formats_pointers_and_certificates_are_told() {
    let plain = to(RequestTraits::default());
    let clock = "idp.example.com answered HTTP 500: the provider has a problem; it is asked again; if \
        this goes on, compare the clocks of the operator's node and of the provider: some providers \
        answer an expired assertion with this status";
    for assertion in [
        ClientAuthenticationMethod::ClientSecretJwt,
        ClientAuthenticationMethod::PrivateKeyJwt,
        ClientAuthenticationMethod::ServiceAccountToken,
    ] {
        assert_eq!(to(method(assertion)).answered(500, ""), clock);
        assert!(!to(method(assertion)).answered(408, "").contains("clock"));
    }
    assert!(!plain.answered(500, "").contains("clock"));
    let json = "; the provider may want the parameters as JSON: spec.request.bodyFormat: JSON";
    assert!(plain.answered(415, "").ends_with(json));
    assert!(plain.answered(400, "").ends_with(json));
    assert!(plain.answered(406, "").ends_with(&format!(
        "; some providers refuse the header Accept: an entry of spec.request.headers with the name \
         Accept and the value \"\" accepts any{json}"
    )));
    assert!(!Told { media_type: JSON, ..to(plain.traits) }.answered(415, "").contains("as JSON"));
    assert!(plain.answered(200, "{}").ends_with(
        "check spec.tokenURL and spec.response; the answer has no access_token; if the token has \
         another name or lies deeper, set spec.response.tokenPointer, for example /data/token"
    ));
    let below = RequestError::without_answer(Reason::TLSFailed, "its certificate has expired");
    assert!(plain.message(below).ends_with("; its certificate has expired"));
    let located = |located_by| to(RequestTraits { located_by, ..plain.traits }).answered(404, "");
    assert!(located(LocatedBy::TokenUrl).contains("check the path of spec.tokenURL"));
    assert!(located(LocatedBy::Issuer).contains("check the path of spec.issuer (or set"));
    assert!(
        located(LocatedBy::Provider).contains("check the path of spec.provider (a spec.tokenURL")
    );
    let method = ClientAuthenticationMethod::ClientSecretJwt;
    let signing = to(RequestTraits { method, short_secret: true, ..plain.traits });
    // Keycloak, of a wrong client secret.
    let unauthorized = signing.answered(400, r#"{"error":"unauthorized_client"}"#);
    assert!(unauthorized.contains("does not take the signature: check the client secret"));
    assert!(signing.answered(401, "").contains("RFC 7518 section 3.2"));
    let beyond = to(RequestTraits { beyond_ascii: true, ..plain.traits });
    assert!(beyond.answered(401, "").contains("a character beyond ASCII"));
}

#[test]
fn every_reason_of_an_attempt_says_what_to_change_or_that_it_is_asked_again() {
    for reason in Reason::ALL {
        let error = RequestError { status: Some(418), ..RequestError::without_answer(reason, "d") };
        let message = error.message("h");
        let local = message.contains("it was not asked");
        let not_asked = reason.class() == Class::Local && reason != Reason::EndpointNotAllowed;
        assert_eq!(local, not_asked, "{reason:?}");
        let acts = ["spec.", "--", "it is asked again", "at the provider"];
        assert!(local || acts.iter().any(|word| message.contains(word)), "{message}");
    }
}

/// An event's note takes 1024 bytes, and begins with the reason.
#[test]
fn no_message_is_longer_than_an_event_takes() {
    use ClientAuthenticationMethod as Method;
    let host = format!("{}.example.com:65535", "a".repeat(241));
    let methods = [
        Method::ClientSecretBasic,
        Method::ClientSecretPost,
        Method::ClientSecretJwt,
        Method::PrivateKeyJwt,
        Method::TlsClientAuth,
        Method::ServiceAccountToken,
        Method::None,
    ];
    for (method, flags) in methods.into_iter().flat_map(|m| (0..64_u8).map(move |f| (m, f))) {
        let on = |bit: u8| flags & (1 << bit) != 0;
        let told = to(RequestTraits {
            method,
            encoding: if on(0) { BasicEncoding::Raw } else { BasicEncoding::FormUrlEncoded },
            encoding_matters: on(1),
            white_space: on(2),
            audience_is_issuer: on(3),
            audience_is_given: on(4),
            scopes: on(5),
            without_audience: on(0),
            beyond_ascii: on(1),
            short_secret: on(2),
            located_by: if on(3) { LocatedBy::Issuer } else { LocatedBy::Provider },
        });
        let request = told.request();
        for reason in Reason::ALL {
            for (status, detail) in [
                (Some(401), None),
                (Some(406), Some(failure::PAGE)),
                (None, Some("its certificate has expired")),
            ] {
                let code = status.map(|_| "temporarily_unavailable");
                let error = RequestError {
                    status,
                    code,
                    detail,
                    ..RequestError::without_answer(reason, "")
                };
                let error = error.about(&request);
                assert!(error.hints.len() <= 2);
                let message = error.message(&host);
                let note = format!("{}: {message}", reason.as_str());
                assert!(message.len() <= MAX_MESSAGE_BYTES && note.len() <= 1024, "{note}");
                assert_eq!(message, error.clone().about(&request).message(&host));
            }
        }
    }
}
