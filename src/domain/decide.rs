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

use crate::domain::consent::{self, Consent, TokenEndpoint, TokenHost};
use crate::domain::crd;
use crate::domain::fingerprint;
use crate::domain::observation::{Known, Observation, Refusal, Rival, TokenState};
use crate::domain::plan::{Fault, Location};
use crate::domain::reason::{Class, Reason};
use crate::domain::reference::{Object, Use, UsedObject};
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
    let endpoint = match named_endpoint(o) {
        Ok(endpoint) => endpoint,
        Err(fault) => return Some(o.refused(fault)),
    };
    if let Some(fault) = api_audience_fault(o) {
        return Some(o.refused(fault));
    }
    for used in o.used_objects() {
        match o.known(&used.object) {
            // A read will tell, or has told.
            Known::Untold => {}
            Known::Absent => return Some(o.refused(absent(&used))),
            Known::Present(seen) => {
                let annotation = seen.allowed_token_hosts.as_deref();
                if let Some(fault) = consent_refusal(o, &endpoint.host, &used, annotation) {
                    return Some(o.refused(fault));
                }
            }
        }
    }
    o.remembered_refusal().cloned()
}

/// That an object which the spec names does not exist.
pub fn absent(used: &UsedObject) -> Fault {
    let Object { kind, name } = &used.object;
    let message = format!(
        "{} {name} does not exist: create it in this namespace, or name another one in {}",
        kind.as_str(),
        used.used_as.field()
    );
    Fault { reason: used.used_as.absent(), message }
}

/// The endpoint that the spec names, the issuer's where it names that, or why it is refused as it is
/// written. By its host requests are counted.
///
/// # Errors
/// A spec that can't be asked with, a URL or an address that is refused.
pub fn named_endpoint(o: &Observation) -> Result<TokenEndpoint, Fault> {
    match o.plan()?.location {
        Location::TokenUrl(url) => permitted_endpoint(o, &url, "spec.tokenURL"),
        Location::Issuer(url) => permitted_endpoint(o, &url, "spec.issuer"),
    }
}

/// A URL that may be asked as far as its spelling tells; `field` is where it is written.
///
/// # Errors
/// As [`named_endpoint`].
pub fn permitted_endpoint(
    o: &Observation,
    written: &str,
    field: &str,
) -> Result<TokenEndpoint, Fault> {
    let endpoint = consent::token_endpoint(written, o.policy.allow_insecure).map_err(|fault| {
        Fault { reason: Reason::EndpointNotAllowed, message: fault.message(field) }
    })?;
    if o.policy.addresses.permits_as_written(&endpoint.url) {
        return Ok(endpoint);
    }
    let message = format!(
        "{} is a loopback, link-local or otherwise refused address: use the public name of the \
         endpoint in {field}, or start the operator with --allow-endpoint-addresses",
        endpoint.host
    );
    Err(Fault { reason: Reason::EndpointAddressRefused, message })
}

/// A token that the API server itself accepts must not leave the cluster.
fn api_audience_fault(o: &Observation) -> Option<Fault> {
    let account = o.plan().ok()?.service_account_token?;
    is_api_audience(&account.audience, &o.policy.api_audiences)
        .then(|| api_audience_refused(&account.audience))
}

/// Whether an audience is one of the API server's: those that are known, and every spelling of its
/// names inside the cluster.
pub fn is_api_audience(audience: &str, known: &[String]) -> bool {
    let plain = |audience: &str| {
        let lower = audience.trim().trim_end_matches('/').to_ascii_lowercase();
        let bare = lower.split_once("://").map_or(lower.as_str(), |(_, rest)| rest);
        bare.to_owned()
    };
    let asked = plain(audience);
    let host = asked.split(['/', ':', '?', '#']).next().unwrap_or_default().trim_end_matches('.');
    let inside = host == "kubernetes"
        || host == "kubernetes.default"
        || host.starts_with("kubernetes.default.");
    inside || known.iter().any(|known| plain(known) == asked)
}

/// The refusal of a token for an audience of the API server's.
pub fn api_audience_refused(audience: &str) -> Fault {
    Fault {
        reason: Reason::ServiceAccountTokenRefused,
        message: format!(
            "the audience {audience} is the Kubernetes API server's, which would accept the token from \
             whoever receives it: set spec.clientAuthentication.serviceAccountToken.audience to the one \
             that the authorization server expects"
        ),
    }
}

/// The first object whose owner does not let it be used at a host, of those that are known.
pub fn not_consented(o: &Observation, host: &TokenHost) -> Option<Fault> {
    o.used_objects().iter().find_map(|used| {
        let seen = o.known(&used.object).present()?;
        consent_refusal(o, host, used, seen.allowed_token_hosts.as_deref())
    })
}

/// Why the owner of an object, or of the cluster, does not let it be used at a host.
fn consent_refusal(
    o: &Observation,
    host: &TokenHost,
    used: &UsedObject,
    annotation: Option<&str>,
) -> Option<Fault> {
    if !used.needs_consent {
        return None;
    }
    let Object { kind, name } = &used.object;
    let kind = kind.as_str();
    let message = match consent::consent(&o.policy.consent, annotation, host) {
        Consent::Given => return None,
        Consent::Missing { line } => format!(
            "{kind} {name} does not allow {} {host}: add the annotation {line} to it",
            what_is_sent(used)
        ),
        Consent::Malformed { entry, line } => format!(
            "the annotation {} of {kind} {name} has the entry {entry:?}, which is no host in lower \
             case with an optional port: write {line}",
            crd::ALLOWED_TOKEN_HOSTS
        ),
        Consent::NotListedByCluster => format!(
            "{host} is not among the hosts that --allowed-token-hosts of the operator lists: \
             ask the platform team to add it"
        ),
    };
    Some(Fault { reason: Reason::EndpointNotAllowed, message })
}

const fn what_is_sent(used: &UsedObject) -> &'static str {
    match used.used_as {
        Use::SigningKey | Use::SigningCertificate => "assertions to be signed with its key for",
        Use::ClientCertificate | Use::ClientCertificateKey => "its certificate to be presented to",
        Use::ServiceAccount => "its tokens to be sent to",
        Use::ClientSecret | Use::ClientId | Use::Parameter(_) | Use::Header(_) | Use::CaBundle => {
            "its values to be sent to"
        }
    }
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

#[cfg(test)]
mod tests;
