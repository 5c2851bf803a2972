//! What is known about one credential at one moment: the input of every decision.
//! In: what the watches told, what live reads and writes answered, what was remembered.
//!
//! **Invariant:** data only. That an object does not exist is a value here, never an error.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::address::AddressPolicy;
use crate::domain::consent::ConsentPolicy;
use crate::domain::crd::OAuthClientCredential;
use crate::domain::fingerprint::{self, ReferenceVersion};
use crate::domain::notice::Notice;
use crate::domain::output::Shape;
use crate::domain::plan::{self, Fault, RequestPlan};
use crate::domain::reason::Reason;
use crate::domain::reference::{Object, ObjectKind, UsedObject, references, used_objects};
use crate::domain::revocation::Revoking;
use crate::domain::schedule::{Bucket, SchedulePolicy};
use crate::domain::secret::{ManagedSecret, Record, TargetMetadata};

/// The settings that decisions depend on; the same for every credential.
#[derive(Clone, Debug)]
pub struct Policy {
    /// When.
    pub schedule: SchedulePolicy,
    /// To which hosts.
    pub consent: ConsentPolicy,
    /// To which addresses.
    pub addresses: AddressPolicy,
    /// Whether `http://` is accepted.
    pub allow_insecure: bool,
    /// The audiences of the API server, as far as they are known: no token of a `ServiceAccount` is made
    /// for one of these.
    pub api_audiences: Vec<String>,
}

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Known<T> {
    /// Neither an event nor a read has told: it may or may not exist.
    #[default]
    Untold,
    /// It does not exist.
    Absent,
    /// It exists.
    Present(T),
}

impl<T> Known<T> {
    /// The object, where it is known to exist.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(object) => Some(object),
            Self::Untold | Self::Absent => None,
        }
    }
}

/// What is kept of the metadata of an object that a spec refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceMetadata {
    /// UID of the object.
    pub uid: String,
    /// Version, compared as a number.
    pub resource_version: u64,
    /// The annotation of consent.
    pub allowed_token_hosts: Option<String>,
    /// When its data was written last, as `managedFields` tell.
    pub data_changed_at: Option<Timestamp>,
}

/// Another credential that names the same target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its UID.
    pub uid: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Its name, for the message.
    pub name: String,
}

/// Everything that a decision about one credential depends on but the time.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The credential, its status as last written.
    pub credential: Arc<OAuthClientCredential>,
    /// The settings.
    pub policy: Arc<Policy>,
    /// The objects that a request would use.
    pub references: BTreeMap<Object, Known<ReferenceMetadata>>,
    /// The Secret at the target's name.
    pub target: Known<TargetMetadata>,
    /// Living credentials with the same target.
    pub rivals: Vec<Rival>,
    /// What the process remembers.
    pub memory: Remembered,
}

/// What the process remembers of one credential beyond what the cluster stores.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// The requests made lately; `None` before the first look.
    pub bucket: Option<Bucket>,
    /// The failures since the last success.
    pub retry: Option<Retry>,
    /// A token that is granted and not yet written.
    pub granted: Option<ManagedSecret>,
    /// The events of that grant: they are told once the token is written.
    pub grant_notices: Vec<Notice>,
    /// The write that was refused last, if the latest one was.
    pub refused_write: Option<RefusedWrite>,
    /// What stood in the way of the latest request before anything was sent.
    pub refusal: Option<Refusal>,
    /// The inputs-version that was last found to hold the same values as the token's, or asked with.
    pub compared: Option<String>,
    /// The inputs-version whose values were found to differ from the token's.
    pub changed: Option<String>,
    /// Keyed digest of the secret values of the latest attempt.
    pub attempted_values: Option<[u8; 32]>,
    /// The record that was written or seen last, for annotations that somebody removed.
    pub record: Option<Record>,
    /// The version of the target from which the token could not be read back.
    pub unrepairable: Option<u64>,
    /// When to ask again after the server returned the token that is held.
    pub reuse_retry_at: Option<Timestamp>,
    /// Whether the token that is held came with no lifetime left, which is asked about once more.
    pub dying_token_seen: bool,
    /// Since when a request has been due without an answer.
    pub waiting_since: Option<Timestamp>,
    /// The renew request that was acted on last.
    pub handled_renew_request: Option<String>,
    /// The scopes of the latest grant, and the endpoint that gave it; `None` scopes: as asked.
    pub granted_scopes: Option<Vec<String>>,
    /// The endpoint that was asked last, without query.
    pub endpoint: Option<String>,
    /// The Secret of somebody else at the target's name, while there is one.
    pub foreign: Option<Foreign>,
    /// How far the token of a deleted credential is revoked.
    pub revoking: Option<Revoking>,
    /// Whether this process has looked at the credential before.
    pub seeded: bool,
}

/// Since when the target belongs to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Whose it is: a rival's, or somebody's; another reason begins anew.
    pub reason: Reason,
    /// When it was first seen.
    pub since: Timestamp,
    /// Whether an event has told of it.
    pub warned: bool,
}

/// The failures of token requests since the last success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Why the latest failed.
    pub reason: Reason,
    /// What the condition says.
    pub message: String,
    /// Failures of this class in a row.
    pub consecutive: u32,
    /// Failures in a row.
    pub failed_attempts: u32,
    /// When the latest failed.
    pub failed_at: Timestamp,
    /// When to ask again.
    pub next_attempt_at: Timestamp,
    /// The inputs-version of the latest attempt.
    pub inputs_version: String,
    /// Part a of what was asked for.
    pub request_digest: String,
    /// Whether waiting will not help.
    pub terminal: bool,
}

/// A write of the managed Secret that the API server refused or did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedWrite {
    /// Why.
    pub reason: Reason,
    /// What the condition says.
    pub message: String,
    /// Refusals in a row.
    pub failures: u32,
    /// When to try again; `None`: not before the credential's generation changes.
    pub next_attempt_at: Option<Timestamp>,
    /// The version of the target when it was refused; a change of the target lets it be tried at once.
    pub target_version: u64,
    /// The generation of the credential when it was refused.
    pub generation: i64,
}

/// What stood in the way before anything was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// What the condition says.
    pub message: String,
    /// The inputs for which it holds; with others it is forgotten.
    pub inputs_version: String,
    /// Whether its cause lies outside the cluster, so that no event tells when it is gone.
    pub may_pass: bool,
    /// When to try again; `None`: a change of the inputs wakes the credential.
    pub next_attempt_at: Option<Timestamp>,
    /// Refusals of this kind in a row.
    pub failures: u32,
}

/// What the token that is held is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// There is none, or the Secret at the target's name is not ours.
    Missing,
    /// It lives and was granted for this spec.
    Valid,
    /// It lives and was granted for an older spec.
    Outdated,
    /// It has expired.
    Expired,
}

impl Remembered {
    /// The memory once the token that waited is in the managed Secret.
    #[must_use]
    pub fn written(self) -> Self {
        let record = self.granted.as_ref().map(|granted| granted.record.clone());
        Self {
            record: record.or(self.record),
            granted: None,
            grant_notices: Vec::new(),
            refused_write: None,
            unrepairable: None,
            ..self
        }
    }
}

impl Observation {
    /// The UID of the credential.
    pub fn uid(&self) -> &str {
        self.credential.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The generation of the credential.
    pub fn generation(&self) -> i64 {
        self.credential.metadata.generation.unwrap_or_default()
    }

    /// When the credential was created.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.credential.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    /// Part a of what this spec asks for.
    pub fn request_digest(&self) -> String {
        fingerprint::request_digest(&self.credential.spec)
    }

    /// What the metadata of the managed Secret must tell.
    pub fn shape(&self) -> Shape {
        Shape::of(&self.credential.spec, self.credential.spec.token_key())
    }

    /// How the credential asks.
    ///
    /// # Errors
    /// A spec that can't be asked with, whatever the cluster holds.
    pub fn plan(&self) -> Result<RequestPlan, Fault> {
        plan::plan(&self.credential.spec)
    }

    /// The objects that a request would use, each once; none where there is no plan.
    pub fn used_objects(&self) -> Vec<UsedObject> {
        self.plan().map(|plan| used_objects(&references(&plan))).unwrap_or_default()
    }

    /// What is known of an object that a request would use.
    pub fn known(&self, object: &Object) -> &Known<ReferenceMetadata> {
        self.references.get(object).unwrap_or(&Known::Untold)
    }

    /// The version of everything that a request would use; `None` while that of a reference is not
    /// known, which differs from everything.
    pub fn inputs_version(&self) -> Option<String> {
        let plan = self.plan().ok()?;
        let used = used_objects(&references(&plan));
        let versions = used.iter().map(|used| {
            let seen = self.known(&used.object).present()?;
            Some(ReferenceVersion {
                kind: used.object.kind.as_str(),
                name: &used.object.name,
                keys: used.keys.iter().map(String::as_str).collect(),
                uid: &seen.uid,
                resource_version: seen.resource_version,
            })
        });
        let versions: Option<Vec<_>> = versions.collect();
        Some(fingerprint::inputs_version(&self.request_digest(), &versions?))
    }

    /// When the data of a Secret that proves who asks changed last.
    pub fn data_changed_at(&self) -> Option<Timestamp> {
        let used = self.used_objects().into_iter();
        let proofs =
            used.filter(|used| used.object.kind == ObjectKind::Secret && used.needs_consent);
        proofs.filter_map(|used| self.known(&used.object).present()?.data_changed_at).max()
    }

    /// The Secret at the target's name, where it is ours.
    pub fn own_target(&self) -> Option<&TargetMetadata> {
        self.target.present().filter(|target| target.is_owned_by(self.uid()))
    }

    /// What is known of the token in the managed Secret; `None` where there is none that we wrote.
    pub fn record(&self) -> Option<Record> {
        let target = self.own_target()?;
        let record = target.record().or_else(|| self.memory.record.clone())?;
        target.holds_our(&record.token_key).then_some(record)
    }

    /// Whether the token lies under the key of the spec, where no annotation says under which: not where
    /// the Secret was written for other keys, since a form could then be taken for the token.
    pub fn token_lies_as_asked(&self) -> bool {
        self.own_target().is_some_and(|target| {
            let applied = target.applied.as_ref();
            let known = applied.is_some_and(|applied| applied.data.is_subset(&self.shape().keys));
            known && target.holds_our(self.credential.spec.token_key())
        })
    }

    /// What the token in the managed Secret is worth at `now`.
    pub fn token_state(&self, now: Timestamp) -> TokenState {
        self.state_of(self.record().as_ref(), now)
    }

    /// What a token with this record is worth at `now`.
    pub fn state_of(&self, record: Option<&Record>, now: Timestamp) -> TokenState {
        match record {
            None => TokenState::Missing,
            Some(record) if record.expires_at <= now => TokenState::Expired,
            Some(record) if fingerprint::fits_spec(&record.fingerprint, &self.request_digest()) => {
                TokenState::Valid
            }
            Some(_) => TokenState::Outdated,
        }
    }

    /// A fault as a refusal that holds for these inputs.
    pub fn refused(&self, Fault { reason, message }: Fault) -> Refusal {
        Refusal {
            reason,
            message,
            inputs_version: self.inputs_version().unwrap_or_default(),
            may_pass: false,
            next_attempt_at: None,
            failures: 0,
        }
    }

    /// The failures that still count: those of a request that asked for the same.
    pub fn retry(&self) -> Option<&Retry> {
        let digest = self.request_digest();
        self.memory.retry.as_ref().filter(|retry| retry.request_digest == digest)
    }

    /// What stood in the way, where its inputs are still the present ones.
    pub fn remembered_refusal(&self) -> Option<&Refusal> {
        let now = self.inputs_version().unwrap_or_default();
        self.memory.refusal.as_ref().filter(|refusal| refusal.inputs_version == now)
    }

    /// A write that was refused, unless the target has changed since.
    pub fn standing_refused_write(&self) -> Option<&RefusedWrite> {
        let version = self.target.present().map_or(0, |target| target.resource_version);
        self.memory.refused_write.as_ref().filter(|refused| match refused.next_attempt_at {
            // No change of the target makes another text of a token.
            Some(_) if refused.reason == Reason::TemplateInvalid => {
                refused.generation == self.generation()
            }
            Some(_) => refused.target_version == version,
            None => refused.generation == self.generation(),
        })
    }

    /// The renew request that has not been acted on; one that was there before the first token
    /// counts as acted on by its grant.
    pub fn open_renew_request(&self) -> Option<&str> {
        let annotations = self.credential.metadata.annotations.as_ref()?;
        let asked = annotations.get(crate::domain::crd::RENEW_REQUESTED_AT)?;
        (self.memory.handled_renew_request.as_ref() != Some(asked)).then_some(asked.as_str())
    }
}
