//! What the process remembers of a credential beyond what the cluster stores: requests, failures, a token
//! that is not written yet, what somebody else does to the Secret.
//!
//! **Invariant:** data only, and nothing of it is needed for correctness after a restart.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::contention::Contention;
use crate::domain::notice::Notice;
use crate::domain::reason::Reason;
use crate::domain::revocation::Revoking;
use crate::domain::schedule::Bucket;
use crate::domain::secret::{ManagedSecret, Record};

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
    /// The deletion of what the target was named after before, if the latest one was refused.
    pub refused_removal: Option<RefusedRemoval>,
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
    /// The versions of Secrets from which the token could not be read back since the last write.
    pub unrepairable: BTreeSet<u64>,
    /// Which forms and templates the managed Secret was written with last, where all of them were.
    pub written_version: Option<String>,
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
    /// Whether a Secret, whosever it is, has been seen at the target's name.
    pub target_seen: bool,
    /// The Secret of somebody else at the target's name, while there is one.
    pub foreign: Option<Foreign>,
    /// How far the token of a deleted credential is revoked.
    pub revoking: Option<Revoking>,
    /// What was undone of what somebody else does to the managed Secret.
    pub contention: Contention,
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
    /// What was asked for, as [`asked_digest`](crate::domain::fingerprint::asked_digest) tells it.
    pub asked_digest: String,
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

/// A deletion of what the target was named after before that the API server refused or did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRemoval {
    /// Why.
    pub reason: Reason,
    /// What the condition says.
    pub message: String,
    /// Refusals in a row.
    pub failures: u32,
    /// When to try again.
    pub next_attempt_at: Timestamp,
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
            unrepairable: BTreeSet::new(),
            target_seen: true,
            ..self
        }
    }
}
