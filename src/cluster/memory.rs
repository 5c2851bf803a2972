//! What the process remembers per credential, by UID: the domain's [`Remembered`], the status and the
//! finalizers that were written last, and how often the API server failed.
//!
//! **Invariant:** an entry goes with its credential; nothing here is needed for correctness after a
//! restart.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::crd::OAuthClientCredentialStatus;
use crate::domain::observation::Remembered;

/// The memory of the process.
#[derive(Debug, Default)]
pub struct Memory {
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    remembered: Remembered,
    status: Option<(u64, OAuthClientCredentialStatus)>,
    finalizers: Option<(u64, Vec<String>)>,
    api_failures: u32,
}

impl Memory {
    /// What is remembered of the credential with this UID.
    pub fn recall(&self, uid: &str) -> Remembered {
        self.lock().get(uid).map(|entry| entry.remembered.clone()).unwrap_or_default()
    }

    /// Makes room for a credential that is there. Without it nothing is kept: what a look that was
    /// under way still learns of a deleted credential must not stay for ever.
    pub fn welcome(&self, uid: &str) {
        self.lock().entry(uid.to_owned()).or_default();
    }

    /// Replaces what is remembered.
    pub fn remember(&self, uid: &str, remembered: Remembered) {
        if let Some(entry) = self.lock().get_mut(uid) {
            entry.remembered = remembered;
        }
    }

    /// The status that was written last, where the store has not seen that version yet.
    pub fn newer_status(&self, uid: &str, stored: u64) -> Option<OAuthClientCredentialStatus> {
        let mut entries = self.lock();
        let written = &mut entries.get_mut(uid)?.status;
        // Once the store has it, it is not kept twice.
        written.take_if(|(version, _)| *version <= stored);
        written.as_ref().map(|(_, status)| status.clone())
    }

    /// Keeps the reply to a status write.
    pub fn status_written(&self, uid: &str, version: u64, status: OAuthClientCredentialStatus) {
        if let Some(entry) = self.lock().get_mut(uid) {
            entry.status = Some((version, status));
        }
    }

    /// The finalizers as they were written last, where the store has not seen that version yet.
    pub fn newer_finalizers(&self, uid: &str, stored: u64) -> Option<Vec<String>> {
        let mut entries = self.lock();
        let written = &mut entries.get_mut(uid)?.finalizers;
        written.take_if(|(version, _)| *version <= stored);
        written.as_ref().map(|(_, finalizers)| finalizers.clone())
    }

    /// Keeps the reply to a write of the finalizers.
    pub fn finalizers_written(&self, uid: &str, version: u64, finalizers: Vec<String>) {
        if let Some(entry) = self.lock().get_mut(uid) {
            entry.finalizers = Some((version, finalizers));
        }
    }

    /// Counts a failure of the API server and returns how many there were in a row.
    pub fn api_failed(&self, uid: &str) -> u32 {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(uid) else { return 1 };
        entry.api_failures = entry.api_failures.saturating_add(1);
        entry.api_failures
    }

    /// The API server answers again.
    pub fn api_answered(&self, uid: &str) {
        if let Some(entry) = self.lock().get_mut(uid) {
            entry.api_failures = 0;
        }
    }

    /// Drops what is remembered of a credential that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_a_credential_that_is_gone() {
        let memory = Memory::default();
        memory.welcome("u");
        memory.remember("u", Remembered { seeded: true, ..Remembered::default() });
        memory.status_written("u", 7, OAuthClientCredentialStatus::default());
        assert!(memory.recall("u").seeded);
        assert!(memory.newer_status("u", 6).is_some() && memory.newer_status("u", 7).is_none());
        assert_eq!((memory.api_failed("u"), memory.api_failed("u")), (1, 2));
        memory.finalizers_written("u", 7, vec!["f".to_owned()]);
        assert_eq!(memory.newer_finalizers("u", 6), Some(vec!["f".to_owned()]));
        assert_eq!(memory.newer_finalizers("u", 7), None, "the store has seen it");
        memory.forget("u");
        memory.remember("u", Remembered { seeded: true, ..Remembered::default() });
        memory.status_written("u", 8, OAuthClientCredentialStatus::default());
        memory.finalizers_written("u", 8, Vec::new());
        assert!(!memory.recall("u").seeded);
        assert!(memory.lock().is_empty());
    }
}
