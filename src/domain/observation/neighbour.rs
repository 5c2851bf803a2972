//! What lies beside a credential: others with the same target, and Secrets of its own that it has left.
//!
//! **Invariant:** data only, of living objects; whose a Secret is, its own metadata tell.

use jiff::Timestamp;

use crate::domain::secret::TargetMetadata;

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

/// A Secret of ours that the target was named after before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its name.
    pub name: String,
    /// What its metadata tell.
    pub metadata: TargetMetadata,
}

/// Whom the owner of a Secret hands it over to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heir<'a> {
    /// This credential.
    Ourselves,
    /// Another one with the same target.
    Rival(&'a Rival),
}
