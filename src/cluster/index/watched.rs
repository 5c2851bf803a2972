//! How far what the watches told can be relied on without a read. In: lists that are complete, watches that
//! failed. Out: yes or no.
//!
//! **Invariant:** it is handed `now`; a kind that was never listed is never relied on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::reference::ObjectKind;

/// After so long without a failure a watch works again: it is tried again after 30 s at most, and one that
/// is dead fails within 65 s.
const TRUSTED_AFTER: Duration = Duration::from_secs(100);

/// When the watch of a kind failed last; `None`: never, since its list.
#[derive(Debug, Default)]
pub(super) struct Watched(BTreeMap<ObjectKind, Option<Instant>>);

impl Watched {
    /// The list of a kind is complete.
    pub(super) fn listed(&mut self, kind: ObjectKind) {
        self.0.insert(kind, None);
    }

    /// The watch of a kind, or its list, failed.
    pub(super) fn failed(&mut self, kind: ObjectKind, now: Instant) {
        if let Some(failed_at) = self.0.get_mut(&kind) {
            *failed_at = Some(now);
        }
    }

    /// Whether a kind was listed, and its watch has not failed lately.
    pub(super) fn is_current(&self, kind: ObjectKind, now: Instant) -> bool {
        let lately = |at: Instant| now.saturating_duration_since(at) < TRUSTED_AFTER;
        self.0.get(&kind).is_some_and(|failed_at| !failed_at.is_some_and(lately))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_trusted_again_once_it_has_not_failed_for_long() {
        let (mut watched, kind, now) =
            (Watched::default(), ObjectKind::ServiceAccount, Instant::now());
        watched.failed(kind, now);
        assert!(!watched.is_current(kind, now + TRUSTED_AFTER), "it was never listed");
        watched.listed(kind);
        assert!(watched.is_current(kind, now));
        watched.failed(kind, now);
        assert!(!watched.is_current(kind, now + Duration::from_secs(99)));
        assert!(watched.is_current(kind, now + TRUSTED_AFTER));
    }
}
