//! What is known about one credential at one moment: the input of every decision.
//! In: what the watches told, what live reads and writes answered, what was remembered.
//!
//! **Invariant:** data only. That an object does not exist is a value here, never an error.

mod neighbour;
mod remembered;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::domain::address::AddressPolicy;
use crate::domain::consent::ConsentPolicy;
use crate::domain::crd::{ALLOWED_TOKEN_HOSTS, OAuthClientCredential};
use crate::domain::fingerprint::{self, ReferenceVersion};
use crate::domain::output::Shape;
use crate::domain::plan::{self, Fault, RequestPlan};
use crate::domain::reason::Reason;
use crate::domain::reference::{Object, ObjectKind, UsedObject, references, used_objects};
use crate::domain::schedule::SchedulePolicy;
use crate::domain::secret::{Record, TargetMetadata, resource_version};

pub use neighbour::{Heir, LeftBehind, Rival};
pub use remembered::{Foreign, Refusal, RefusedRemoval, RefusedWrite, Remembered, Retry};

/// As long a value as `status.lastHandledRenewRequest` takes.
const LONGEST_RENEW_REQUEST: usize = 1024;

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

impl ReferenceMetadata {
    /// Reads what matters from the metadata of an object.
    pub fn read(metadata: &ObjectMeta) -> Self {
        let annotations = metadata.annotations.as_ref();
        let writes_of_data = metadata.managed_fields.iter().flatten().filter(|entry| {
            entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:data").is_some())
        });
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: resource_version(metadata),
            allowed_token_hosts: annotations.and_then(|all| all.get(ALLOWED_TOKEN_HOSTS)).cloned(),
            data_changed_at: writes_of_data
                .filter_map(|entry| entry.time.as_ref().map(|time| time.0))
                .max()
                .or_else(|| metadata.creation_timestamp.as_ref().map(|time| time.0)),
        }
    }
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
    /// Secrets that were this very credential's target, as status or this process tell.
    pub left_behind: Vec<LeftBehind>,
    /// Living credentials with the same target.
    pub rivals: Vec<Rival>,
    /// What the process remembers.
    pub memory: Remembered,
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
        self.inputs_with(None)
    }

    /// The same with what is known, for a refusal: it holds for these names also while they are unknown.
    fn inputs_as_known(&self) -> String {
        self.inputs_with(Some(&ReferenceMetadata::default())).unwrap_or_default()
    }

    fn inputs_with(&self, unknown: Option<&ReferenceMetadata>) -> Option<String> {
        let plan = self.plan().ok()?;
        let used = used_objects(&references(&plan));
        let versions = used.iter().map(|used| {
            let seen = self.known(&used.object).present().or(unknown)?;
            Some(ReferenceVersion::of(used, &seen.uid, seen.resource_version))
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

    /// The Secret at the target's name, where it is ours and not handed over to another credential.
    pub fn own_target(&self) -> Option<&TargetMetadata> {
        let kept = !matches!(self.heir(), Some(Heir::Rival(_)));
        self.target.present().filter(|target| kept && target.is_owned_by(self.uid()))
    }

    /// The living credential that the owner of the Secret at the target's name hands it over to, among
    /// those with this target.
    pub fn heir(&self) -> Option<Heir<'_>> {
        let name = self.target.present()?.adopt_by.as_deref()?;
        if self.credential.metadata.name.as_deref() == Some(name) {
            return Some(Heir::Ourselves);
        }
        self.rivals.iter().find(|rival| rival.name == name).map(Heir::Rival)
    }

    /// The Secret that a write may change: ours, or one that is handed over to us.
    pub fn writable_target(&self) -> Option<&TargetMetadata> {
        let handed_over = || self.target.present().filter(|_| self.heir() == Some(Heir::Ourselves));
        self.own_target().or_else(handed_over)
    }

    /// Whether the next write takes over a Secret that was somebody else's.
    pub fn takes_over(&self) -> bool {
        self.own_target().is_none() && self.writable_target().is_some()
    }

    /// The Secret whose token is to be written under the target's new name: the newest that lives.
    pub fn renamed_from(&self, now: Timestamp) -> Option<&LeftBehind> {
        if self.target.present().is_some() {
            return None;
        }
        let lives = |left: &&LeftBehind| {
            let record = left.metadata.record();
            let holds = |record: &Record| left.metadata.holds_our(&record.token_key);
            record.is_some_and(|record| record.expires_at > now && holds(&record))
                && !self.memory.unrepairable.contains(&left.metadata.resource_version)
        };
        self.left_behind
            .iter()
            .filter(lives)
            .max_by_key(|left| left.metadata.record().map(|record| record.issued_at))
    }

    /// Whether a token that was written, or a value of its response, is gone or altered by somebody.
    pub fn token_was_lost(&self) -> bool {
        match self.own_target() {
            // What a rename left is not lost.
            None => {
                let moved = !self.left_behind.is_empty() || self.takes_over();
                self.memory.record.is_some() && !moved
            }
            Some(_) if self.record().is_none() => true,
            Some(_) => self.lacks_response_values() && !self.asks_for_a_new_value(),
        }
    }

    /// Whether the managed Secret lacks a value of the response that the spec asks for: a grant alone
    /// brings it.
    pub fn lacks_response_values(&self) -> bool {
        self.own_target().is_some_and(|target| target.lacks_response_values(&self.shape()))
    }

    /// Whether it lacks one that the spec has come to ask for, which nobody has removed.
    pub fn asks_for_a_new_value(&self) -> bool {
        let written = self.own_target().is_some_and(|target| self.was_written_for(target));
        self.lacks_response_values() && !written
    }

    /// Whether a Secret was last written with the forms and templates of the present spec, as it tells or,
    /// where somebody removed that, as this process remembers: what it lacks then is no edit of the spec.
    fn was_written_for(&self, target: &TargetMetadata) -> bool {
        let shape = self.shape();
        let remembered = shape.version.is_some() && shape.version == self.memory.written_version;
        remembered || shape.fits(target.output_version())
    }

    /// Whether the managed Secret differs from what we wrote, by no edit of the spec.
    pub fn was_changed_by_somebody_else(&self) -> bool {
        let Some(target) = self.own_target() else { return false };
        self.record().is_none_or(|record| {
            let shape = Shape::of(&self.credential.spec, &record.token_key);
            let mut target = target.clone();
            // A key that we wrote and the spec no longer names is of an older spec: nobody else can add one.
            if let Some(applied) = &mut target.applied {
                applied.data.retain(|key| shape.keys.contains(key) || shape.previous.contains(key));
            }
            self.was_written_for(&target) && target.has_drifted(self.uid(), &shape, &record)
        })
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
            let known = applied.is_some_and(|applied| self.shape().knows(&applied.data));
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
            inputs_version: self.inputs_as_known(),
            may_pass: false,
            next_attempt_at: None,
            failures: 0,
        }
    }

    /// The failures that still count: those of a request that asked for the same.
    pub fn retry(&self) -> Option<&Retry> {
        let digest = fingerprint::asked_digest(&self.credential.spec);
        self.memory.retry.as_ref().filter(|retry| retry.asked_digest == digest)
    }

    /// What stood in the way, where its inputs are still the present ones.
    pub fn remembered_refusal(&self) -> Option<&Refusal> {
        let now = self.inputs_as_known();
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
            Some(_) => refused.target_version == version && refused.generation == self.generation(),
            None => refused.generation == self.generation(),
        })
    }

    /// What the annotation that asks for a token says; of more than status can hold, the digest.
    pub fn renew_request(&self) -> Option<String> {
        let annotations = self.credential.metadata.annotations.as_ref()?;
        let asked = annotations.get(crate::domain::crd::RENEW_REQUESTED_AT)?;
        let fits = asked.chars().count() <= LONGEST_RENEW_REQUEST;
        Some(if fits { asked.clone() } else { fingerprint::short_digest(asked) })
    }

    /// Whether a renew request has not been acted on; one that was there before the first token
    /// counts as acted on by its grant.
    pub fn has_open_renew_request(&self) -> bool {
        let asked = self.renew_request();
        asked.is_some() && asked != self.memory.handled_renew_request
    }
}
