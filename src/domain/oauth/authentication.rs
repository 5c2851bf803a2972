//! How the client proves who it is (RFC 6749 §2.3). In: a plan and what was read for it. Out: the
//! `Authorization` header or parameters of exactly one method.
//!
//! **Invariant:** one method writes, no other is tried, and none falls back to another; with Basic
//! the body names no client.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::domain::{
    crd::{BasicEncoding, ClientAuthenticationMethod as Method, HmacAlgorithm},
    oauth::{
        Entropy, RequestValues,
        assertion::{self, Claims},
        form::{Parameters, form_encoded, spellings},
    },
    plan::{Fault, Location, RequestPlan},
    reason::Reason,
    redacted::Redacted,
};

/// What `client_assertion` holds (RFC 7523 §2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// When an assertion is made, and what makes it the only one.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    pub(super) entropy: Entropy,
}

/// Who asks.
pub(super) struct Client<'a> {
    plan: &'a RequestPlan,
    values: &'a RequestValues,
    /// The client ID (RFC 6749 §2.2), of the spec or of a Secret.
    id: Option<&'a str>,
}

/// What a method writes beside parameters.
#[derive(Default)]
pub(super) struct Proof {
    /// The `Authorization` header.
    pub(super) authorization: Option<Redacted<String>>,
    /// What is secret in it, as it is and as it is written.
    pub(super) sent: Vec<Redacted<String>>,
}

impl<'a> Client<'a> {
    pub(super) fn new(plan: &'a RequestPlan, values: &'a RequestValues) -> Self {
        let read = values.client_id.as_ref().map(|id| id.expose().as_str());
        Self { plan, values, id: plan.client_id.as_deref().or(read) }
    }

    /// Adds what the method writes among the parameters, and gives the rest.
    ///
    /// # Errors
    /// A value that is missing or can't be used with the method.
    pub(super) fn prove(
        &self,
        moment: Moment,
        parameters: &mut Parameters,
    ) -> Result<Proof, Fault> {
        let habits = &self.plan.habits;
        let id_name = &habits.client_id_name;
        let mut proof = Proof::default();
        match self.plan.method {
            Method::ClientSecretBasic => return self.basic(),
            Method::ClientSecretPost => {
                parameters.add(id_name, self.id()?);
                parameters.add_secret(&habits.client_secret_name, self.secret()?);
            }
            Method::ClientSecretJwt => {
                let secret = self.secret()?;
                let claims = Claims::new(self.id()?, assertion::audience(self.plan), moment);
                let signed = assertion::with_secret(self.plan.hmac_algorithm, secret, &claims);
                parameters.add(id_name, self.id()?);
                add_assertion(parameters, &signed);
                // Never sent, but the server knows it.
                proof.sent = spellings(secret);
            }
            Method::PrivateKeyJwt => {
                parameters.add(id_name, self.id()?);
                add_assertion(parameters, &self.signed_with_key(moment)?);
            }
            Method::ServiceAccountToken => {
                if let Some(id) = self.id {
                    parameters.add(id_name, id);
                }
                add_assertion(parameters, self.service_account_token()?);
            }
            Method::TlsClientAuth | Method::None => parameters.add(id_name, self.id()?),
        }
        Ok(proof)
    }

    /// Whether form encoding changes what stands in the Basic header.
    pub(super) fn encoding_matters(&self) -> bool {
        let is_basic = self.plan.method == Method::ClientSecretBasic;
        is_basic && !self.plan.habits.double_base64 && self.any(|text| *form_encoded(text) != text)
    }

    /// Whether the ID or the secret begins or ends with white space.
    pub(super) fn white_space(&self) -> bool {
        self.any(|text| text.trim() != text)
    }

    /// Whether the ID or the secret holds a character outside of VSCHAR (RFC 6749 Appendix A).
    pub(super) fn beyond_ascii(&self) -> bool {
        self.any(|text| !text.chars().all(|c| (' '..='~').contains(&c)))
    }

    /// Whether the secret is shorter than the hash that it signs with (RFC 7518 §3.2).
    pub(super) fn short_secret(&self) -> bool {
        let least = match self.plan.hmac_algorithm {
            HmacAlgorithm::HS256 => 32,
            HmacAlgorithm::HS384 => 48,
            HmacAlgorithm::HS512 => 64,
        };
        let secret = self.values.client_secret.as_ref();
        self.plan.method == Method::ClientSecretJwt
            && secret.is_some_and(|secret| secret.expose().len() < least)
    }

    /// Whether the audience of an assertion that we sign is the issuer.
    pub(super) fn audience_is_issuer(&self) -> bool {
        let signs = matches!(self.plan.method, Method::ClientSecretJwt | Method::PrivateKeyJwt);
        let issuer = matches!(self.plan.location, Location::Issuer(_));
        signs && issuer && !self.audience_is_given()
    }

    /// Whether the spec gives the audience of the assertion.
    pub(super) fn audience_is_given(&self) -> bool {
        match self.plan.method {
            Method::PrivateKeyJwt => assertion::given_audience(self.plan).is_some(),
            Method::ServiceAccountToken => true,
            Method::ClientSecretBasic
            | Method::ClientSecretPost
            | Method::ClientSecretJwt
            | Method::TlsClientAuth
            | Method::None => false,
        }
    }

    fn any(&self, holds: impl Fn(&str) -> bool) -> bool {
        let secret = self.values.client_secret.as_ref().map(|secret| secret.expose().as_str());
        let secret = secret.filter(|_| self.plan.method.needs_client_secret());
        self.id.into_iter().chain(secret).any(holds)
    }

    fn id(&self) -> Result<&'a str, Fault> {
        self.id.ok_or_else(|| missing("spec.clientID or spec.credentialsSecretRef"))
    }

    fn secret(&self) -> Result<&'a Redacted<String>, Fault> {
        self.values.client_secret.as_ref().ok_or_else(|| missing("spec.credentialsSecretRef"))
    }

    /// HTTP Basic (RFC 7617); ID and secret are encoded one by one (RFC 6749 §2.3.1), by which a
    /// colon in the ID is no fault.
    fn basic(&self) -> Result<Proof, Fault> {
        let (id, secret, habits) = (self.id()?, self.secret()?, &self.plan.habits);
        let encoded = |text: &str| match self.plan.encoding {
            _ if habits.double_base64 => Zeroizing::new(STANDARD.encode(text)),
            BasicEncoding::FormUrlEncoded => form_encoded(text),
            BasicEncoding::Raw => Zeroizing::new(text.to_owned()),
        };
        let (id, written) = (encoded(id), encoded(secret.expose()));
        if id.contains(':') {
            let message = "the client ID has a colon, at which encoding: Raw would end it: set \
                           spec.clientAuthentication.clientSecretBasic.encoding: FormURLEncoded, or \
                           method: ClientSecretPost";
            return Err(Fault { reason: Reason::CredentialsInvalid, message: message.to_owned() });
        }
        let pair = Zeroizing::new([id.as_str(), ":", written.as_str()].concat());
        let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        let mut sent = spellings(secret);
        if habits.double_base64 {
            sent.push(Redacted::new(written.to_string()));
        }
        sent.push(Redacted::new(pair.to_string()));
        let header = [habits.basic_scheme.as_str(), " ", pair.as_str()].concat();
        Ok(Proof { authorization: Some(Redacted::new(header)), sent })
    }

    fn signed_with_key(&self, moment: Moment) -> Result<Redacted<String>, Fault> {
        let field = "spec.clientAuthentication.privateKeyJWT.keySecretRef";
        let settings = self.plan.private_key_jwt.as_ref().ok_or_else(|| missing(field))?;
        let key = self.values.signing_key.as_ref().ok_or_else(|| missing(field))?;
        let certificate = self.values.signing_certificate.as_ref();
        let certificate = certificate.map(|pem| pem.expose().as_slice());
        let claims = Claims::new(self.id()?, assertion::audience(self.plan), moment);
        assertion::with_key(settings, key.expose(), certificate, &claims)
    }

    fn service_account_token(&self) -> Result<&'a Redacted<String>, Fault> {
        let token = self.values.service_account_token.as_ref();
        token.filter(|token| !token.expose().is_empty()).ok_or_else(|| Fault {
            reason: Reason::ServiceAccountTokenRefused,
            message: "the API server gave no token of the ServiceAccount of \
                      spec.clientAuthentication.serviceAccountToken: check that it exists"
                .to_owned(),
        })
    }
}

fn add_assertion(parameters: &mut Parameters, assertion: &Redacted<String>) {
    parameters.add("client_assertion_type", JWT_BEARER);
    parameters.add_secret("client_assertion", assertion);
}

/// A plan says what is read, so this happens only where one was made for other values.
fn missing(field: &str) -> Fault {
    let message = format!("the client authentication lacks a value: set {field}");
    Fault { reason: Reason::CredentialsNotFound, message }
}
