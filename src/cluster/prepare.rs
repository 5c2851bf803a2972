//! The reads that only a request, a comparison or a repair needs: one live look at the target, the
//! values of the client Secret, the token of the managed Secret, a dry run.
//!
//! **Invariant:** data of a Secret is read here only, it is handed on in [`Redacted`] values, and an
//! error of this room never holds any of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de};

use super::call::code;
use super::index::reference_metadata;
use super::{Cluster, namespace};
use crate::domain::consent::TokenEndpoint;
use crate::domain::crd::{CredentialsSecretRef, EXPIRES_AT_KEY, TOKEN_TYPE_KEY};
use crate::domain::decide;
use crate::domain::fingerprint::SecretValues;
use crate::domain::oauth::{self, ClientCredentials, TokenRequest};
use crate::domain::observation::{Known, Observation, Refusal};
use crate::domain::reason::Reason;
use crate::domain::redacted::Redacted;
use crate::domain::secret::{ManagedSecret, TargetMetadata};

/// A Secret whose values don't print (k8s-openapi's own type shows them in `Debug`).
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = "Secret")]
pub struct ClientSecret {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its values.
    #[serde(default)]
    data: BTreeMap<String, Value>,
}

#[derive(Clone, Debug)]
struct Value(Redacted<Vec<u8>>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine;
        let text = Redacted::new(String::deserialize(deserializer)?);
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.expose());
        // The error says nothing of the value: serde's own texts quote it.
        bytes.map(|bytes| Self(Redacted::new(bytes))).map_err(|_| de::Error::custom("no base64"))
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The API server did not answer, or not with what was asked for.
    #[error("failed to read Secret {namespace}/{name}")]
    ReadSecret {
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
}

/// What stands in the way of a read or of what it is for.
#[derive(Debug)]
pub enum Prevented {
    /// Something that the person can change.
    Refused(Refusal),
    /// The API server.
    Failed(PrepareError),
}

/// Everything that a request needs.
#[derive(Debug)]
pub struct Prepared {
    /// The request.
    pub request: TokenRequest,
    /// The secret values in it.
    pub values: SecretValues,
    /// The values under the key of this process.
    pub values_digest: [u8; 32],
    /// The version of everything that it was made from.
    pub inputs_version: String,
    /// Where it goes.
    pub endpoint: TokenEndpoint,
}

/// Looks at the target live, metadata only: a lagging watch must not cost a grant.
///
/// # Errors
/// [`Prevented::Refused`] with `Forbidden` where RBAC refuses the read.
pub async fn confirm(cluster: &Cluster, o: &Observation) -> Result<(), Prevented> {
    let name = o.credential.target_name();
    let mark = cluster.index.mark();
    let api = cluster.secrets(o);
    let found = cluster.calls.make(|| api.get_metadata_opt(name)).await;
    match found.map_err(|error| prevented(o, name, error))? {
        Some(secret) => drop(cluster.index.secret_told(&secret.metadata)),
        None => cluster.index.secret_not_found(&(namespace(o).to_owned(), name.to_owned()), mark),
    }
    Ok(())
}

/// Reads the client Secret and makes the request of it, once its owner's consent is seen.
///
/// # Errors
/// A refusal names the Secret and the key, and what to do.
pub async fn prepare(cluster: &Cluster, o: &Observation) -> Result<Prepared, Prevented> {
    let (o, secret) = read_client_secret(cluster, o).await?;
    let refused = |reason, message| Prevented::Refused(refusal(&o, reason, message));
    let endpoint = decide::endpoint(&o).map_err(|(reason, message)| refused(reason, message))?;
    let annotation = o.client_secret.present().and_then(|seen| seen.allowed_token_hosts.clone());
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    if let Some((reason, message)) =
        decide::consent_refusal(&o, &endpoint, name, annotation.as_deref())
    {
        return Err(refused(reason, message));
    }
    let client = client_credentials(&o, &secret)?;
    let values = secret_values(&o, &client);
    Ok(Prepared {
        request: oauth::token_request(&o.credential.spec, endpoint.url.clone(), &client),
        values_digest: values.keyed(cluster.values_key.expose()),
        values,
        inputs_version: o.inputs_version().unwrap_or_default(),
        endpoint,
    })
}

/// The secret values as they are now, and the token that they may have been used for.
///
/// # Errors
/// As [`prepare`].
pub async fn compare(
    cluster: &Cluster,
    o: &Observation,
) -> Result<(Observation, SecretValues, Option<Redacted<String>>), Prevented> {
    let (o, secret) = read_client_secret(cluster, o).await?;
    let client = client_credentials(&o, &secret)?;
    let values = secret_values(&o, &client);
    let token = match o.record() {
        Some(record) => {
            let secret = read_target(cluster, &o).await?;
            secret.and_then(|secret| text_of(&secret, &record.token_key))
        }
        None => None,
    };
    Ok((o, values, token))
}

/// The managed Secret as it should be, made of the token that it still holds; `None` where it does
/// not hold one, or its expiry is lost.
///
/// # Errors
/// As [`confirm`].
pub async fn read_back(
    cluster: &Cluster,
    o: &Observation,
    now: Timestamp,
) -> Result<Option<ManagedSecret>, Prevented> {
    let Some(secret) = read_target(cluster, o).await? else { return Ok(None) };
    // Judged by the metadata of this very read: an edit since the event must not become ours.
    cluster.index.secret_told(&secret.metadata);
    let target = TargetMetadata::read(&secret.metadata);
    let o = &Observation { target: Known::Present(target.clone()), ..o.clone() };
    let spec_key = o.credential.spec.token_key();
    let key = o.record().map_or_else(|| spec_key.to_owned(), |record| record.token_key);
    let text = |key: &str| text_of(&secret, key);
    let token = text(&key).filter(|_| target.is_owned_by(o.uid()) && target.holds_our(&key));
    let unaltered_expiry = text(EXPIRES_AT_KEY).filter(|_| target.holds_our(EXPIRES_AT_KEY));
    let expires_at = unaltered_expiry.and_then(|text| text.expose().parse().ok());
    let recovered = || target.recovered_record(expires_at, &key, now);
    let token_type = text(TOKEN_TYPE_KEY).filter(|_| target.holds_our(TOKEN_TYPE_KEY));
    let token_type = token_type.map_or_else(|| "Bearer".to_owned(), |text| text.expose().clone());
    let record = o.record().or_else(recovered);
    Ok(token.zip(record).map(|(token, record)| ManagedSecret { token, token_type, record }))
}

async fn read_client_secret(
    cluster: &Cluster,
    o: &Observation,
) -> Result<(Observation, ClientSecret), Prevented> {
    let reference = o.credential.spec.credentials_secret_ref.as_ref();
    let name = reference.map(|reference| reference.name.clone()).unwrap_or_default();
    let key = (namespace(o).to_owned(), name.clone());
    let mark = cluster.index.mark();
    let api = cluster.secrets(o);
    let found = cluster.calls.make(|| api.get_opt(&name)).await;
    let found = found.map_err(|error| prevented(o, &name, error))?;
    match &found {
        Some(secret) => drop(cluster.index.secret_told(&secret.metadata)),
        None => cluster.index.secret_not_found(&key, mark),
    }
    // The version that was read, not a newer one that an event has told of meanwhile.
    let read = found.as_ref().map(|secret| reference_metadata(&secret.metadata));
    let client_secret = read.map_or(Known::Absent, Known::Present);
    let seen = Observation { client_secret, ..o.clone() };
    let Some(secret) = found else {
        let message = format!("Secret {name} does not exist: create it in this namespace");
        return Err(Prevented::Refused(refusal(&seen, Reason::CredentialsNotFound, message)));
    };
    Ok((seen, secret))
}

fn client_credentials(
    o: &Observation,
    secret: &ClientSecret,
) -> Result<ClientCredentials, Prevented> {
    let default = CredentialsSecretRef::default();
    let reference = o.credential.spec.credentials_secret_ref.as_ref().unwrap_or(&default);
    let id = match &o.credential.spec.client_id {
        Some(literal) => literal.clone(),
        None => value(o, secret, reference.client_id_key())?.expose().clone(),
    };
    let secret = value(o, secret, reference.client_secret_key())?;
    Ok(ClientCredentials { id, secret })
}

fn value(o: &Observation, secret: &ClientSecret, key: &str) -> Result<Redacted<String>, Prevented> {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let Some(bytes) = secret.data.get(key) else {
        let message = format!(
            "Secret {name} has no key {key}: add it, or name the right key in spec.credentialsSecretRef"
        );
        return Err(Prevented::Refused(refusal(o, Reason::CredentialsKeyMissing, message)));
    };
    oauth::secret_text(bytes.0.expose()).map(Redacted::new).map_err(|fault| {
        let message = format!("the value of key {key} in Secret {name} {fault}: correct it");
        Prevented::Refused(refusal(o, Reason::CredentialsInvalid, message))
    })
}

/// Only values that were read from a Secret count here; a literal client ID is part of the spec.
fn secret_values(o: &Observation, client: &ClientCredentials) -> SecretValues {
    match o.credential.spec.client_id {
        Some(_) => SecretValues::new(&[client.secret.expose()]),
        None => SecretValues::new(&[&client.id, client.secret.expose()]),
    }
}

async fn read_target(
    cluster: &Cluster,
    o: &Observation,
) -> Result<Option<ClientSecret>, Prevented> {
    let name = o.credential.target_name();
    let api = cluster.secrets(o);
    let found = cluster.calls.make(|| api.get_opt(name)).await;
    found.map_err(|error| prevented(o, name, error))
}

fn text_of(secret: &ClientSecret, key: &str) -> Option<Redacted<String>> {
    let bytes = secret.data.get(key)?.0.expose();
    String::from_utf8(bytes.clone()).ok().filter(|text| !text.is_empty()).map(Redacted::new)
}

fn refusal(o: &Observation, reason: Reason, message: String) -> Refusal {
    Refusal {
        reason,
        message,
        inputs_version: o.inputs_version().unwrap_or_default(),
        next_attempt_at: None,
        failures: 0,
    }
}

fn prevented(o: &Observation, name: &str, error: kube::Error) -> Prevented {
    if code(&error) == 403 {
        let message = format!(
            "the operator may not read Secret {name}: its ServiceAccount needs the verb get on \
             secrets in this namespace"
        );
        return Prevented::Refused(refusal(o, Reason::Forbidden, message));
    }
    Prevented::Failed(PrepareError::ReadSecret {
        namespace: namespace(o).to_owned(),
        name: name.to_owned(),
        source: Box::new(without_values(error)),
    })
}

/// A deserializer's text quotes what it could not read, which may be a value of the Secret.
fn without_values(error: kube::Error) -> kube::Error {
    if matches!(error, kube::Error::SerdeError(_)) {
        return kube::Error::Service("the answer is not a Secret".into());
    }
    error
}
