//! What to do about one credential: ordered, named checks over an [`Observation`].
//! In: an observation and `now`. Out: one [`Decision`], for every possible input.
//!
//! ```text
//! suspended? ── foreign target? ── granted token to write? ── drift? ── refused locally?
//!     ── inputs to compare? ── nothing due? ── backing off? ── too soon? ── Request
//! ```
//!
//! **Invariant:** a check never looks further than the observation, and the first one that applies
//! decides; their order is the product's priorities.

use jiff::Timestamp;

use crate::domain::consent::{self, Consent, TokenEndpoint};
use crate::domain::crd;
use crate::domain::fingerprint;
use crate::domain::observation::{Known, Observation, Refusal, Rival, TokenState};
use crate::domain::reason::{Class, Reason};
use crate::domain::schedule;
use crate::domain::secret::{Record, TargetMetadata};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing; status tells how things stand.
    Keep,
    /// Nothing can be done before the cluster changes.
    Refuse(Refusal),
    /// Read the secret values to find whether they are the ones that were used.
    Compare,
    /// Write the managed Secret again from the token that it holds.
    Repair,
    /// Write the token that was granted.
    Write,
    /// Ask for a token.
    Request(Trigger),
}

/// Why a token is asked for; in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// There is no managed Secret.
    SecretMissing,
    /// Its token is missing or was altered.
    SecretDrift,
    /// The spec asks for something else.
    SpecChanged,
    /// The secret values changed.
    CredentialsChanged,
    /// The annotation asks for it.
    RenewRequested,
    /// The token has expired.
    Expired,
    /// It is time.
    Renewing,
}

impl Trigger {
    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecretMissing => "SecretMissing",
            Self::SecretDrift => "SecretDrift",
            Self::SpecChanged => "SpecChanged",
            Self::CredentialsChanged => "CredentialsChanged",
            Self::RenewRequested => "RenewRequested",
            Self::Expired => "Expired",
            Self::Renewing => "Renewing",
        }
    }

    /// Whether a live read of the target must confirm it first: a lagging watch must not cost a
    /// token request.
    pub const fn needs_confirmation(self) -> bool {
        match self {
            Self::SecretMissing | Self::SecretDrift | Self::Expired => true,
            Self::SpecChanged
            | Self::CredentialsChanged
            | Self::RenewRequested
            | Self::Renewing => false,
        }
    }
}

impl Decision {
    /// The word in logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Keep => "Keep",
            Self::Refuse(_) => "Refuse",
            Self::Compare => "Compare",
            Self::Repair => "Repair",
            Self::Write => "Write",
            Self::Request(_) => "Request",
        }
    }

    /// Why a token is asked for, where one is.
    pub const fn trigger(&self) -> Option<Trigger> {
        match self {
            Self::Request(trigger) => Some(*trigger),
            Self::Keep | Self::Refuse(_) | Self::Compare | Self::Repair | Self::Write => None,
        }
    }
}

type Check = fn(&Observation, Timestamp) -> Option<Decision>;

/// The checks, in order.
const CHECKS: [Check; 7] = [
    suspended,
    target_of_somebody_else,
    granted_token_waits,
    target_drifted,
    refused_locally,
    inputs_to_compare,
    request_due,
];

/// What to do about the credential now.
pub fn decide(observation: &Observation, now: Timestamp) -> Decision {
    CHECKS.iter().find_map(|check| check(observation, now)).unwrap_or(Decision::Keep)
}

fn suspended(o: &Observation, _now: Timestamp) -> Option<Decision> {
    o.credential.spec.suspend.then_some(Decision::Keep)
}

fn target_of_somebody_else(o: &Observation, _now: Timestamp) -> Option<Decision> {
    foreign_target(o).map(Decision::Refuse)
}

/// While a granted token waits to be written, nothing is requested.
fn granted_token_waits(o: &Observation, now: Timestamp) -> Option<Decision> {
    let granted = o.memory.granted.as_ref()?;
    if granted.record.expires_at <= now {
        return None;
    }
    let waits = o
        .standing_refused_write()
        .is_some_and(|refused| refused.next_attempt_at.is_none_or(|next| next > now));
    Some(if waits { Decision::Keep } else { Decision::Write })
}

/// A token that is whole and lives needs no grant, whatever happened around it.
fn target_drifted(o: &Observation, now: Timestamp) -> Option<Decision> {
    let target = o.own_target()?;
    if o.memory.unrepairable == Some(target.resource_version) || write_waits(o, now) {
        return None;
    }
    let Some(record) = o.record() else {
        let token_is_ours =
            target.record().is_none() && target.holds_our(o.credential.spec.token_key());
        return token_is_ours.then_some(Decision::Repair);
    };
    let lives = record.expires_at > now;
    let drifted = target.has_drifted(o.uid(), o.credential.spec.token_key(), &record);
    (lives && drifted).then_some(Decision::Repair)
}

fn refused_locally(o: &Observation, now: Timestamp) -> Option<Decision> {
    let refusal = local_refusal(o)?;
    let again = refusal.next_attempt_at.is_some_and(|next| next <= now);
    (!again).then_some(Decision::Refuse(refusal))
}

/// Only a reference differs: are the values still the ones that were used?
fn inputs_to_compare(o: &Observation, now: Timestamp) -> Option<Decision> {
    let inputs = o.inputs_version();
    let differs = |known: Option<&str>| inputs.is_none() || inputs.as_deref() != known;
    let compared = !differs(o.memory.compared.as_deref()) || !differs(o.memory.changed.as_deref());
    if compared {
        return None;
    }
    if let Some(retry) = o.retry() {
        return differs(Some(&retry.inputs_version)).then_some(Decision::Compare);
    }
    let record = o.record()?;
    let idle = due(o, now).is_none() && o.token_state(now) == TokenState::Valid;
    (idle && differs(Some(&record.inputs_version))).then_some(Decision::Compare)
}

fn request_due(o: &Observation, now: Timestamp) -> Option<Decision> {
    let trigger = due(o, now)?;
    (request_allowed_at(o) <= now).then_some(Decision::Request(trigger))
}

/// Why a token is wanted now, if one is; whether it may be asked for is another question.
pub fn due(o: &Observation, now: Timestamp) -> Option<Trigger> {
    let Some(target) = o.own_target() else { return Some(Trigger::SecretMissing) };
    let Some(record) = o.record() else {
        let repairable = o.memory.unrepairable != Some(target.resource_version)
            && target.holds_our(o.credential.spec.token_key());
        return (!repairable).then_some(Trigger::SecretDrift);
    };
    if !fingerprint::fits_spec(&record.fingerprint, &o.request_digest()) {
        return Some(Trigger::SpecChanged);
    }
    if o.memory.changed.is_some() && o.memory.changed == o.inputs_version() {
        return Some(Trigger::CredentialsChanged);
    }
    if o.open_renew_request().is_some() {
        return Some(Trigger::RenewRequested);
    }
    if record.expires_at <= now && o.memory.reuse_retry_at.is_none_or(|at| at <= now) {
        return Some(Trigger::Expired);
    }
    if renewal_at(o)? <= now {
        return Some(Trigger::Renewing);
    }
    // What was asked for and failed is still wanted: a renew request, or the token of other values.
    o.retry().map(|_| Trigger::CredentialsChanged)
}

/// When the token that is held is renewed or asked about again; `None` without one.
pub fn renewal_at(o: &Observation) -> Option<Timestamp> {
    o.record().map(|record| renewal_of(o, &record))
}

/// When a token with this record is asked for again: at its renewal, or later where the server has
/// just returned the same token.
pub fn renewal_of(o: &Observation, record: &Record) -> Timestamp {
    o.memory.reuse_retry_at.unwrap_or_else(|| scheduled_renewal(o, record))
}

/// When a token with this record is renewed, by the server's hint or by the schedule.
pub fn scheduled_renewal(o: &Observation, record: &Record) -> Timestamp {
    let Record { issued_at, expires_at, refresh_at, .. } = *record;
    let rotation = o.credential.spec.rotation.as_ref();
    refresh_at.filter(|at| *at < expires_at).unwrap_or_else(|| {
        schedule::renewal_at(&o.policy.schedule, rotation, o.uid(), issued_at, expires_at)
    })
}

/// The first instant at which a request may be made: after the back-off, unless a renew request
/// lifts it, after the minimum gap, and after a refused write could be tried again.
pub fn request_allowed_at(o: &Observation) -> Timestamp {
    let lifted = o.open_renew_request().is_some();
    let backed_off = o
        .retry()
        .filter(|retry| retry.reason.class() == Class::Throttled || !lifted)
        .map_or(Timestamp::MIN, |retry| retry.next_attempt_at);
    let refused = o
        .standing_refused_write()
        .map_or(Timestamp::MIN, |refused| refused.next_attempt_at.unwrap_or(Timestamp::MAX));
    let bucket = o.memory.bucket.map_or(Timestamp::MIN, |b| b.opens_at(&o.policy.schedule));
    backed_off.max(bucket).max(refused)
}

fn write_waits(o: &Observation, now: Timestamp) -> bool {
    o.standing_refused_write()
        .is_some_and(|refused| refused.next_attempt_at.is_none_or(|at| at > now))
}

/// What stands in the way before anything is sent, as far as metadata and memory tell.
pub fn local_refusal(o: &Observation) -> Option<Refusal> {
    let refuse = |reason, message| Refusal {
        reason,
        message,
        inputs_version: o.inputs_version().unwrap_or_default(),
        next_attempt_at: None,
        failures: 0,
    };
    let endpoint = match endpoint(o) {
        Ok(endpoint) => endpoint,
        Err((reason, message)) => return Some(refuse(reason, message)),
    };
    let Some(reference) = &o.credential.spec.credentials_secret_ref else {
        let message = "set spec.credentialsSecretRef.name to the Secret of the client".to_owned();
        return Some(refuse(Reason::CredentialsNotFound, message));
    };
    match &o.client_secret {
        Known::Untold => o.remembered_refusal().cloned(),
        Known::Absent => Some(refuse(
            Reason::CredentialsNotFound,
            format!("Secret {} does not exist: create it in this namespace", reference.name),
        )),
        Known::Present(seen) => {
            let annotation = seen.allowed_token_hosts.as_deref();
            consent_refusal(o, &endpoint, &reference.name, annotation)
                .map(|(reason, message)| refuse(reason, message))
                .or_else(|| o.remembered_refusal().cloned())
        }
    }
}

/// Where to ask, or why that is refused as it is written.
pub fn endpoint(o: &Observation) -> Result<TokenEndpoint, (Reason, String)> {
    let written = o.credential.spec.token_url.as_deref().unwrap_or_default();
    let endpoint = consent::token_endpoint(written, o.policy.allow_insecure)
        .map_err(|fault| (Reason::EndpointNotAllowed, fault.to_string()))?;
    if o.policy.addresses.permits_as_written(&endpoint.url) {
        return Ok(endpoint);
    }
    let message = format!(
        "{} is a loopback, link-local or otherwise refused address: use the public name of the \
         endpoint in spec.tokenURL, or start the operator with --allow-endpoint-addresses",
        endpoint.host
    );
    Err((Reason::EndpointAddressRefused, message))
}

/// Why the owner of the client Secret, or of the cluster, does not let it be sent to the endpoint.
pub fn consent_refusal(
    o: &Observation,
    endpoint: &TokenEndpoint,
    secret: &str,
    annotation: Option<&str>,
) -> Option<(Reason, String)> {
    let host = &endpoint.host;
    let message = match consent::consent(&o.policy.consent, annotation, host) {
        Consent::Given => return None,
        Consent::Missing { line } => format!(
            "Secret {secret} does not allow its values to be sent to {host}: \
             add the annotation {line} to it"
        ),
        Consent::Malformed { entry, line } => format!(
            "the annotation {} of Secret {secret} has the entry {entry:?}, which is no host in lower \
             case with an optional port: write {line}",
            crd::ALLOWED_TOKEN_HOSTS
        ),
        Consent::NotListedByCluster => format!(
            "{host} is not among the hosts that --allowed-token-hosts of the operator lists: \
             ask the platform team to add it"
        ),
    };
    Some((Reason::EndpointNotAllowed, message))
}

/// Whose the Secret at the target's name is, if it is not ours; and who goes first if there is none.
pub fn foreign_target(o: &Observation) -> Option<Refusal> {
    let refuse = |reason, message| Refusal {
        reason,
        message,
        inputs_version: String::new(),
        next_attempt_at: None,
        failures: 0,
    };
    let name = o.credential.target_name();
    let conflict = |rival: &Rival| {
        let message = format!(
            "credential {} writes to Secret {name} too and goes first: give one of them another \
             spec.target.name",
            rival.name
        );
        refuse(Reason::TargetConflict, message)
    };
    let Some(target) = o.target.present() else {
        return o.rivals.iter().find(|rival| goes_first(rival, o)).map(conflict);
    };
    if target.is_owned_by(o.uid()) {
        return None;
    }
    if let Some(rival) = o.rivals.iter().find(|rival| target.is_owned_by(&rival.uid)) {
        return Some(conflict(rival));
    }
    let message = format!(
        "Secret {name} exists and is not managed by this credential: delete it, or choose another \
         spec.target.name in a new credential"
    );
    Some(refuse(Reason::SecretNotOwned, message))
}

fn goes_first(rival: &Rival, o: &Observation) -> bool {
    (rival.created_at, rival.uid.as_str()) < (o.created_at(), o.uid())
}

/// Whether the Secret at the target's name belonged to a credential that may be gone: Kubernetes
/// collects it within seconds, so a warning can wait.
pub fn is_left_by_a_namesake(target: &TargetMetadata) -> bool {
    target.applied.is_some() && target.controller_uid.is_some()
}
