//! The reads of objects that a spec names: Secrets and ConfigMaps with their values, ServiceAccounts
//! with a token made for this one request.
//!
//! **Invariant:** data of a Secret is read here only and handed on in [`Redacted`] values, an error of
//! this room never holds any of it, and every read tells the index what it saw.

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Resource};
use serde::{Deserialize, Deserializer, de};

use super::call::code;
use super::{Cluster, namespace};
use crate::domain::crd::{DEFAULT_SERVICE_ACCOUNT_TOKEN_SECONDS, ServiceAccountToken};
use crate::domain::jwt;
use crate::domain::observation::{Known, Observation, ReferenceMetadata, Refusal};
use crate::domain::plan::Fault;
use crate::domain::reason::Reason;
use crate::domain::redacted::Redacted;
use crate::domain::reference::{Object, ObjectKind, UsedObject};
use crate::domain::refusal;
use crate::domain::secret::TargetMetadata;

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

impl ClientSecret {
    /// The values that are text, by key.
    pub(super) fn texts(&self) -> BTreeMap<String, Redacted<String>> {
        let text = |value: &Value| String::from_utf8(value.0.expose().clone()).ok();
        let texts = self.data.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?)));
        texts.map(|(key, text)| (key, Redacted::new(text))).collect()
    }
}

#[derive(Clone, Debug)]
struct Value(Redacted<Vec<u8>>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Redacted::new(String::deserialize(deserializer)?);
        let bytes = STANDARD.decode(text.expose());
        // The error says nothing of the value: serde's own texts quote it.
        bytes.map(|bytes| Self(Redacted::new(bytes))).map_err(|_| de::Error::custom("no base64"))
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The API server did not answer, or not with what was asked for.
    #[error("failed to read {kind} {namespace}/{name}")]
    Read {
        /// Kind of the object.
        kind: &'static str,
        /// Namespace of the object.
        namespace: String,
        /// Name of the object.
        name: String,
        /// What the API server said.
        source: Box<kube::Error>,
    },
    /// No token of a `ServiceAccount` was made.
    #[error("failed to get a token of ServiceAccount {namespace}/{name}")]
    MakeToken {
        /// Namespace of the `ServiceAccount`.
        namespace: String,
        /// Name of the `ServiceAccount`.
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
    Failed(ReadError),
}

/// The values of one object by key.
pub(super) type Data = BTreeMap<String, Redacted<Vec<u8>>>;

/// Reads an object that a request uses; what was seen of it is part of the observation from here on.
/// A ServiceAccount has no data.
///
/// # Errors
/// A refusal names the object and what to do.
pub(super) async fn read(
    cluster: &Cluster,
    o: &mut Observation,
    used: &UsedObject,
) -> Result<Data, Prevented> {
    let Object { kind, name } = &used.object;
    let mark = cluster.index.mark();
    let found = match kind {
        ObjectKind::Secret => secret(cluster, o, name).await?,
        ObjectKind::ConfigMap => config_map(cluster, o, name).await?,
        ObjectKind::ServiceAccount => service_account(cluster, o, &used.object).await?,
    };
    let Some((metadata, data)) = found else {
        cluster.index.not_found(namespace(o), &used.object, mark);
        o.references.insert(used.object.clone(), Known::Absent);
        return Err(refused(o, refusal::absent(used)));
    };
    if let Some(metadata) = metadata {
        cluster.index.told(*kind, &metadata);
        // The version that was read, not a newer one that an event has told of meanwhile.
        let seen = Known::Present(ReferenceMetadata::read(&metadata));
        o.references.insert(used.object.clone(), seen);
    }
    Ok(data)
}

/// Metadata and data of an object; no metadata where a watch has told it.
type Found = Option<(Option<ObjectMeta>, Data)>;

async fn secret(cluster: &Cluster, o: &Observation, name: &str) -> Result<Found, Prevented> {
    let api = cluster.secrets(o);
    let found = cluster.calls.make(|| api.get_opt(name)).await;
    let found = found.map_err(|error| prevented(o, ObjectKind::Secret, name, error))?;
    Ok(found.map(|secret| {
        let data = secret.data.into_iter().map(|(key, value)| (key, value.0)).collect();
        (Some(secret.metadata), data)
    }))
}

/// A live look at a Secret that is ours or is to be, metadata only.
///
/// # Errors
/// The API server did not answer, or refused it.
pub(super) async fn look_at_secret(
    cluster: &Cluster,
    o: &Observation,
    name: &str,
) -> Result<Option<TargetMetadata>, kube::Error> {
    let mark = cluster.index.mark();
    let api = cluster.secrets(o);
    let Some(found) = cluster.calls.make(|| api.get_metadata_opt(name)).await? else {
        let gone = Object { kind: ObjectKind::Secret, name: name.to_owned() };
        cluster.index.not_found(namespace(o), &gone, mark);
        return Ok(None);
    };
    cluster.index.told(ObjectKind::Secret, &found.metadata);
    Ok(Some(TargetMetadata::read(&found.metadata)))
}

async fn config_map(cluster: &Cluster, o: &Observation, name: &str) -> Result<Found, Prevented> {
    let api = Api::<ConfigMap>::namespaced(cluster.client.clone(), namespace(o));
    let found = cluster.calls.make(|| api.get_opt(name)).await;
    let found = found.map_err(|error| prevented(o, ObjectKind::ConfigMap, name, error))?;
    Ok(found.map(|map| {
        let texts = map.data.unwrap_or_default().into_iter();
        let binary = map.binary_data.unwrap_or_default().into_iter();
        let texts = texts.map(|(key, text)| (key, text.into_bytes()));
        let all = texts.chain(binary.map(|(key, bytes)| (key, bytes.0)));
        (Some(map.metadata), all.map(|(key, value)| (key, Redacted::new(value))).collect())
    }))
}

/// The watch tells what matters of it; only where it has not, or is not up to date, its metadata is read.
async fn service_account(
    cluster: &Cluster,
    o: &Observation,
    object: &Object,
) -> Result<Found, Prevented> {
    if cluster.index.is_current(ObjectKind::ServiceAccount, Instant::now()) {
        match o.known(object) {
            Known::Present(_) => return Ok(Some((None, Data::new()))),
            Known::Absent => return Ok(None),
            Known::Untold => {}
        }
    }
    let api = Api::<ServiceAccount>::namespaced(cluster.client.clone(), namespace(o));
    let found = cluster.calls.make(|| api.get_metadata_opt(&object.name)).await;
    let found =
        found.map_err(|error| prevented(o, ObjectKind::ServiceAccount, &object.name, error))?;
    Ok(found.map(|account| (Some(account.metadata), Data::new())))
}

/// A token of the ServiceAccount for its explicit audience; never one that the API server accepts.
///
/// # Errors
/// A refusal names the ServiceAccount and what to do.
pub(super) async fn make_token(
    cluster: &Cluster,
    o: &Observation,
    account: &ServiceAccountToken,
) -> Result<Redacted<String>, Prevented> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![account.audience.clone()],
            expiration_seconds: Some(
                account.expiration_seconds.unwrap_or(DEFAULT_SERVICE_ACCOUNT_TOKEN_SECONDS),
            ),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let api = Api::<ServiceAccount>::namespaced(cluster.client.clone(), namespace(o));
    let params = PostParams::default();
    let name = &account.name;
    let made = cluster.calls.make(|| api.create_token_request(name, &params, &request)).await;
    let made = made.map_err(|error| no_token(o, name, error))?;
    let token = Redacted::new(made.status.map(|status| status.token).unwrap_or_default());
    // Its issuer is the audience that the API server accepts unless it is told otherwise.
    let issuer = jwt::issuer(token.expose());
    if refusal::is_api_audience(&account.audience, issuer.as_slice()) {
        return Err(refused(o, refusal::api_audience_refused(&account.audience)));
    }
    Ok(token)
}

fn no_token(o: &Observation, name: &str, error: kube::Error) -> Prevented {
    let fault = |reason, message| refused(o, Fault { reason, message });
    match code(&error) {
        403 => fault(
            Reason::Forbidden,
            format!(
                "the operator may not make tokens of ServiceAccount {name}: its own ServiceAccount needs \
                 the verb create on serviceaccounts/token in this namespace"
            ),
        ),
        404 => fault(
            Reason::ServiceAccountTokenRefused,
            format!("ServiceAccount {name} does not exist: create it in this namespace"),
        ),
        400 | 422 => fault(
            Reason::ServiceAccountTokenRefused,
            format!(
                "the API server refuses a token of ServiceAccount {name}: check audience and \
                 expirationSeconds of spec.clientAuthentication.serviceAccountToken"
            ),
        ),
        _ => Prevented::Failed(ReadError::MakeToken {
            namespace: namespace(o).to_owned(),
            name: name.to_owned(),
            source: Box::new(without_values(error)),
        }),
    }
}

/// A fault as a refusal of this observation.
pub(super) fn refused(o: &Observation, fault: Fault) -> Prevented {
    Prevented::Refused(o.refused(fault))
}

/// What an error of a read means.
pub(super) fn prevented(
    o: &Observation,
    kind: ObjectKind,
    name: &str,
    error: kube::Error,
) -> Prevented {
    let (word, resource) = (kind.as_str(), kind.resource());
    if code(&error) == 403 {
        let message = format!(
            "the operator may not read {word} {name}: its ServiceAccount needs the verb get on \
             {resource} in this namespace"
        );
        return refused(o, Fault { reason: Reason::Forbidden, message });
    }
    Prevented::Failed(ReadError::Read {
        kind: word,
        namespace: namespace(o).to_owned(),
        name: name.to_owned(),
        source: Box::new(without_values(error)),
    })
}

/// A deserializer's text quotes what it could not read, which may be a value of a Secret.
fn without_values(error: kube::Error) -> kube::Error {
    if matches!(error, kube::Error::SerdeError(_)) {
        return kube::Error::Service("the answer is not what was asked for".into());
    }
    error
}
