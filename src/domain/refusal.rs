//! What stands in the way before anything is read or sent: a URL, an address, an audience, an object that
//! is not there, an owner who has not consented, a target of somebody else. In: an observation. Out: a
//! refusal with what to do.
//!
//! **Invariant:** the owner of every object whose bytes are sent or signed with is asked (design D2); a
//! message repeats nothing of a URL, which may hold a password.

use crate::domain::consent::{self, Consent, ConsentPolicy, TokenEndpoint, TokenHost};
use crate::domain::crd;
use crate::domain::observation::{Heir, Known, Observation, Refusal, Rival};
use crate::domain::output;
use crate::domain::plan::{Fault, Location};
use crate::domain::reason::Reason;
use crate::domain::reference::{Object, ObjectKind, Use, UsedObject};
use crate::domain::secret::TargetMetadata;

/// What stands in the way before anything is sent, as far as metadata and memory tell.
pub fn local_refusal(o: &Observation) -> Option<Refusal> {
    let endpoint = match named_endpoint(o) {
        Ok(endpoint) => endpoint,
        Err(fault) => return Some(o.refused(fault)),
    };
    let spec_fault = not_listed(o, &endpoint.host)
        .or_else(|| api_audience_fault(o))
        .or_else(|| replaces_its_own_input(o));
    if let Some(fault) = spec_fault {
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
    let plan = o.plan()?;
    let (Location::TokenUrl(url) | Location::Issuer(url)) = plan.location;
    permitted_endpoint(o, &url, plan.located_by.field())
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
    let withheld = || {
        o.used_objects().iter().find_map(|used| {
            let seen = o.known(&used.object).present()?;
            consent_refusal(o, host, used, seen.allowed_token_hosts.as_deref())
        })
    };
    not_listed(o, host).or_else(withheld)
}

/// Why a live token may not be sent to the host that `spec.revocation.url` names: it is another one than
/// that of the token endpoint, and nobody beside the author of the spec has named it. Where no object that
/// is used needs its owner's consent, nobody else would have been asked.
pub fn not_for_revocation(
    o: &Observation,
    host: &TokenHost,
    endpoint: &TokenHost,
) -> Option<Fault> {
    let strict = ConsentPolicy { required: true, cluster_wide: None };
    let consents = |used: &UsedObject| {
        let seen = o.known(&used.object).present();
        let annotation = seen.and_then(|seen| seen.allowed_token_hosts.as_deref());
        used.needs_consent && consent::consent(&strict, annotation, host) == Consent::Given
    };
    // The list was held against it with everything else.
    let listed = o.policy.consent.cluster_wide.is_some();
    let named = listed || host == endpoint || o.used_objects().iter().any(consents);
    (!named).then(|| Fault {
        reason: Reason::EndpointNotAllowed,
        message: format!(
            "nobody has allowed tokens to be sent to {host}, which is not the host of the token endpoint: \
             name a revocation endpoint there, add the annotation {}: {host} to a Secret that the \
             credential uses, or have --allowed-token-hosts of the operator list it",
            crd::ALLOWED_TOKEN_HOSTS
        ),
    })
}

/// The operator's own list holds for every request, also for one that holds nothing of anybody's.
fn not_listed(o: &Observation, host: &TokenHost) -> Option<Fault> {
    (!consent::listed_by_cluster(&o.policy.consent, host)).then(|| Fault {
        reason: Reason::EndpointNotAllowed,
        message: format!(
            "{host} is not among the hosts that --allowed-token-hosts of the operator lists: \
             ask the platform team to add it"
        ),
    })
}

/// A Secret that the request reads must not be the one that is written: the schema's rule, once more.
fn replaces_its_own_input(o: &Observation) -> Option<Fault> {
    let name = o.credential.target_name();
    let target = Object { kind: ObjectKind::Secret, name: name.to_owned() };
    let used = o.used_objects().into_iter().find(|used| used.object == target)?;
    Some(Fault {
        reason: Reason::CredentialsInvalid,
        message: format!(
            "the managed Secret {name} would replace the Secret of {}: give spec.target.name another \
             name",
            used.used_as.field()
        ),
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
        Consent::NotListedByCluster => return not_listed(o, host),
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

/// Why the target can't be written: it is somebody else's, or asked for in a form that it can't have.
pub fn target_refusal(o: &Observation) -> Option<Refusal> {
    foreign_target(o).or_else(|| {
        let Fault { reason, message } = output::fault(&o.credential.spec)?;
        Some(of_target(reason, message))
    })
}

/// It does not depend on what a request would use.
fn of_target(reason: Reason, message: String) -> Refusal {
    Refusal {
        reason,
        message,
        inputs_version: String::new(),
        may_pass: false,
        next_attempt_at: None,
        failures: 0,
    }
}

/// Whose the Secret at the target's name is, if it is not ours; and who goes first if there is none.
pub fn foreign_target(o: &Observation) -> Option<Refusal> {
    let name = o.credential.target_name();
    let conflict = |rival: &Rival| {
        let message = format!(
            "credential {} writes to Secret {name} too and goes first: give one of them another \
             spec.target.name",
            rival.name
        );
        of_target(Reason::TargetConflict, message)
    };
    let Some(target) = o.target.present() else {
        return o.rivals.iter().find(|rival| goes_first(rival, o)).map(conflict);
    };
    match o.heir() {
        Some(Heir::Ourselves) => return None,
        Some(Heir::Rival(rival)) => {
            let message = format!(
                "the annotation {} of Secret {name} hands it over to credential {}: remove the \
                 annotation, or give this credential another spec.target.name",
                crd::ADOPT_BY,
                rival.name
            );
            return Some(of_target(Reason::TargetConflict, message));
        }
        None => {}
    }
    if target.is_owned_by(o.uid()) {
        return None;
    }
    if let Some(rival) = o.rivals.iter().find(|rival| target.is_owned_by(&rival.uid)) {
        return Some(conflict(rival));
    }
    let message = format!(
        "Secret {name} exists and is not managed by this credential: delete it, choose another \
         spec.target.name, or hand it over with the annotation {}: {}",
        crd::ADOPT_BY,
        o.credential.metadata.name.as_deref().unwrap_or_default()
    );
    Some(of_target(Reason::SecretNotOwned, message))
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
