//! The reads that only a request, a comparison or a repair needs: one live look at the target, the
//! values of everything that the spec names, the token of the managed Secret.
//!
//! **Invariant:** nothing is handed on for a request before the owner of every object that is used has
//! consented to the host, as the very reads tell that brought the values.

use jiff::Timestamp;

use super::read::{self, ClientSecret, Data, Prevented, ReadError, prevented, refused};
use super::{Cluster, namespace};
use crate::domain::consent::TokenEndpoint;
use crate::domain::crd::{EXPIRES_AT_KEY, TOKEN_TYPE_KEY};
use crate::domain::oauth::{self, ClientCertificate, RequestValues};
use crate::domain::observation::{Known, Observation};
use crate::domain::output;
use crate::domain::plan::{Fault, RequestPlan};
use crate::domain::reason::Reason;
use crate::domain::redacted::Redacted;
use crate::domain::reference::{
    Object, ObjectKind, Reference, Use, UsedObject, references, used_objects,
};
use crate::domain::refusal;
use crate::domain::secret::{Held, ManagedSecret, TargetMetadata};

/// Everything that a request needs.
#[derive(Debug)]
pub struct Prepared {
    /// How it asks.
    pub plan: RequestPlan,
    /// What was read for it.
    pub values: RequestValues,
    /// Where the spec says to ask: the token endpoint or the issuer.
    pub named: TokenEndpoint,
    /// The observation, with every object as it was read.
    pub observation: Observation,
}

/// Looks at the target live, metadata only: a lagging watch must not cost a grant.
///
/// # Errors
/// [`Prevented::Refused`] with `Forbidden` where RBAC refuses the read.
pub async fn confirm(cluster: &Cluster, o: &Observation) -> Result<(), Prevented> {
    let name = o.credential.target_name();
    let found = read::look_at_secret(cluster, o, name).await;
    found.map_err(|error| prevented(o, ObjectKind::Secret, name, error))?;
    Ok(())
}

/// Whether the Secret at the target's name is gone because the credential is: the garbage collector may be
/// told of a deletion before we are, and no token must be asked for then. Looked up only where a Secret
/// was there and is gone; and of a credential whose deletion was told meanwhile nothing is known any more.
///
/// # Errors
/// The API server did not answer.
pub async fn credential_is_gone(cluster: &Cluster, o: &Observation) -> Result<bool, ReadError> {
    if !cluster.index.knows(&o.credential.metadata) {
        return Ok(true);
    }
    if o.target != Known::Absent || !o.memory.target_seen {
        return Ok(false);
    }
    let name = o.credential.metadata.name.as_deref().unwrap_or_default();
    let api = cluster.credentials(o);
    let found = cluster.calls.make(|| api.get_metadata_opt(name)).await;
    let found = found.map_err(|source| ReadError::Read {
        kind: "OAuthClientCredential",
        namespace: namespace(o).to_owned(),
        name: name.to_owned(),
        source: Box::new(source),
    })?;
    let lives = found.is_some_and(|found| {
        found.metadata.uid.as_deref() == Some(o.uid())
            && found.metadata.deletion_timestamp.is_none()
    });
    Ok(!lives)
}

/// Reads everything that the request uses, once each, sees its owners' consent, and only then has a
/// token of the ServiceAccount made, where one is the client.
///
/// # Errors
/// A refusal names the object and the key, and what to do.
pub async fn prepare(cluster: &Cluster, o: &Observation) -> Result<Prepared, Prevented> {
    let mut seen = o.clone();
    let plan = o.plan().map_err(|fault| refused(o, fault))?;
    let all = references(&plan);
    let read = read_all(cluster, &mut seen, &all).await?;
    let named = refusal::named_endpoint(&seen).map_err(|fault| refused(&seen, fault))?;
    if let Some(fault) = refusal::not_consented(&seen, &named.host) {
        return Err(refused(&seen, fault));
    }
    let mut values = values(&seen, &all, &read)?;
    if let Some(account) = &plan.service_account_token {
        values.service_account_token = Some(read::make_token(cluster, &seen, account).await?);
    }
    Ok(Prepared { plan, values, named, observation: seen })
}

/// The values as they are now, and the token that they may have been used for. No token of a
/// ServiceAccount is made for this.
///
/// # Errors
/// As [`prepare`].
pub async fn compare(
    cluster: &Cluster,
    o: &Observation,
) -> Result<(Observation, RequestValues, Option<Redacted<String>>), Prevented> {
    let mut seen = o.clone();
    let plan = o.plan().map_err(|fault| refused(o, fault))?;
    let all = references(&plan);
    let read = read_all(cluster, &mut seen, &all).await?;
    let values = values(&seen, &all, &read)?;
    let token = match seen.record() {
        Some(record) => {
            let name = seen.credential.target_name();
            let secret = read_ours(cluster, &seen, name).await?;
            let mut texts = secret.map(|secret| secret.texts()).unwrap_or_default();
            texts.remove(&record.token_key).filter(|token| !token.expose().is_empty())
        }
        None => None,
    };
    Ok((seen, values, token))
}

/// The managed Secret as it should be, made of the token that it still holds, or that the Secret `from`
/// holds, which the target was named after before; `None` where there is none, or its expiry is lost.
///
/// # Errors
/// As [`confirm`].
pub async fn read_back(
    cluster: &Cluster,
    o: &Observation,
    from: &str,
    now: Timestamp,
) -> Result<Option<ManagedSecret>, Prevented> {
    let Some(secret) = read_ours(cluster, o, from).await? else { return Ok(None) };
    // Judged by the metadata of this very read: an edit since the event must not become ours.
    let (o, held) = &as_read(cluster, o, &secret);
    let spec_key = o.credential.spec.token_key();
    let key = o.record().map_or_else(|| spec_key.to_owned(), |record| record.token_key);
    let known = o.record().is_some() || o.token_lies_as_asked();
    // What only a grant brings is not to be written without.
    let whole = known && o.own_target().is_some() && !o.lacks_response_values();
    let token = held.ours(&key).filter(|token| whole && !token.expose().is_empty()).cloned();
    let expires_at = held.ours(EXPIRES_AT_KEY).and_then(|text| text.expose().parse().ok());
    let recovered = || held.target.recovered_record(expires_at, &key, now);
    let token_type = held.ours(TOKEN_TYPE_KEY);
    let token_type = token_type.map_or_else(|| "Bearer".to_owned(), |text| text.expose().clone());
    let record = o.record().or_else(recovered);
    let previous = output::previous_keys(&o.credential.spec);
    Ok(token.zip(record).map(|(token, record)| ManagedSecret {
        token,
        token_type,
        record,
        response_values: held.response_values(&o.shape()),
        previous: previous.and_then(|keys| held.previous(&keys)),
    }))
}

/// What the Secrets that are ours hold: the target, and what it was named after before.
///
/// # Errors
/// As [`confirm`].
pub async fn held(cluster: &Cluster, o: &Observation) -> Result<Vec<Held>, Prevented> {
    let left = o.left_behind.iter().map(|left| left.name.as_str());
    let mut all = Vec::new();
    for name in [o.credential.target_name()].into_iter().chain(left) {
        let Some(secret) = read_ours(cluster, o, name).await? else { continue };
        let target = TargetMetadata::read(&secret.metadata);
        if target.is_owned_by(o.uid()) {
            all.push(Held { target, texts: secret.texts() });
        }
    }
    Ok(all)
}

/// A token that was granted, with the one before it where the spec asks for that and there is one: one
/// GET right before the write, which then names the version that was read.
///
/// # Errors
/// The API server did not answer the GET, or refused it.
pub(super) async fn with_previous(
    cluster: &Cluster,
    o: &Observation,
    secret: &ManagedSecret,
) -> Result<(Observation, ManagedSecret), kube::Error> {
    let asked = output::previous_keys(&o.credential.spec);
    // A repair has read the Secret already, and a first token has none before it.
    let asked = asked.filter(|_| o.memory.granted.is_some() && o.own_target().is_some());
    let Some(keys) = asked else { return Ok((o.clone(), secret.clone())) };
    let Some(found) = read_own(cluster, o, o.credential.target_name()).await? else {
        return Ok((Observation { target: Known::Absent, ..o.clone() }, secret.clone()));
    };
    let (o, held) = as_read(cluster, o, &found);
    let record = o.record().filter(|_| o.own_target().is_some());
    let previous = record.and_then(|record| held.replaced_by(&secret.token, &record, &keys));
    Ok((o, ManagedSecret { previous, ..secret.clone() }))
}

/// The observation with the target as this read tells it, and what it holds.
fn as_read(cluster: &Cluster, o: &Observation, secret: &ClientSecret) -> (Observation, Held) {
    cluster.index.told(ObjectKind::Secret, &secret.metadata);
    let target = TargetMetadata::read(&secret.metadata);
    let seen = Observation { target: Known::Present(target.clone()), ..o.clone() };
    (seen, Held { target, texts: secret.texts() })
}

async fn read_all(
    cluster: &Cluster,
    seen: &mut Observation,
    all: &[Reference],
) -> Result<Vec<(UsedObject, Data)>, Prevented> {
    let mut read = Vec::new();
    for used in used_objects(all) {
        let data = read::read(cluster, seen, &used).await?;
        read.push((used, data));
    }
    Ok(read)
}

/// The values by use.
fn values(
    o: &Observation,
    all: &[Reference],
    read: &[(UsedObject, Data)],
) -> Result<RequestValues, Prevented> {
    let mut values = RequestValues::default();
    let mut chain = None;
    for reference in all {
        let Some(key) = &reference.key else { continue };
        let data = read.iter().find(|(used, _)| used.object == reference.object);
        let Some(value) = data.and_then(|(_, data)| data.get(key)) else {
            return Err(refused(o, key_missing(reference, key)));
        };
        let text = || text_value(o, reference, key, value);
        match reference.used_as {
            Use::ClientId => values.client_id = Some(text()?),
            Use::ClientSecret => values.client_secret = Some(text()?),
            Use::SigningKey => values.signing_key = Some(value.clone()),
            Use::SigningCertificate => values.signing_certificate = Some(value.clone()),
            Use::Parameter(n) => drop(values.parameters.insert(n, text()?)),
            Use::Header(n) => drop(values.headers.insert(n, text()?)),
            Use::ClientCertificate => chain = Some(value.clone()),
            Use::ClientCertificateKey => {
                let key = value.clone();
                values.client_certificate =
                    chain.take().map(|chain| ClientCertificate { chain, key });
            }
            Use::CaBundle => values.ca_bundle = Some(value.clone()),
            Use::ServiceAccount => {}
        }
    }
    Ok(values)
}

fn key_missing(reference: &Reference, key: &str) -> Fault {
    let Object { kind, name } = &reference.object;
    let message = format!(
        "{} {name} has no key {key}: add it, or name the right key in {}",
        kind.as_str(),
        reference.used_as.field()
    );
    Fault { reason: reference.used_as.key_missing(), message }
}

fn text_value(
    o: &Observation,
    reference: &Reference,
    key: &str,
    value: &Redacted<Vec<u8>>,
) -> Result<Redacted<String>, Prevented> {
    oauth::secret_text(value.expose()).map(Redacted::new).map_err(|fault| {
        let name = &reference.object.name;
        let message = format!("the value of key {key} in Secret {name} {fault}: correct it");
        refused(o, Fault { reason: Reason::CredentialsInvalid, message })
    })
}

/// A Secret that is ours or was, with its values; that there is none is told to the index.
async fn read_own(
    cluster: &Cluster,
    o: &Observation,
    name: &str,
) -> Result<Option<ClientSecret>, kube::Error> {
    let mark = cluster.index.mark();
    let api = cluster.secrets(o);
    let found = cluster.calls.make(|| api.get_opt(name)).await?;
    if found.is_none() {
        let gone = Object { kind: ObjectKind::Secret, name: name.to_owned() };
        cluster.index.not_found(namespace(o), &gone, mark);
    }
    Ok(found)
}

/// The same, where its failure prevents what is being prepared.
async fn read_ours(
    cluster: &Cluster,
    o: &Observation,
    name: &str,
) -> Result<Option<ClientSecret>, Prevented> {
    let found = read_own(cluster, o, name).await;
    found.map_err(|error| prevented(o, ObjectKind::Secret, name, error))
}
