//! The temporary directory of one component.
//!
//! **Invariant:** removed on drop unless marked to be kept; a directory that a killed process left
//! behind is removed by the next start, one in use or kept never.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context;

const PREFIX: &str = "oauthcc-harness-";
/// Locked as long as the owner lives; absent in a directory that is kept.
const LOCK: &str = "in-use";

#[derive(Debug)]
pub(crate) struct WorkDirectory {
    path: PathBuf,
    kept: AtomicBool,
    _lock: File,
}

impl WorkDirectory {
    pub(crate) fn create(component: &str) -> anyhow::Result<Self> {
        remove_abandoned();
        let path = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{component}-"))
            .tempdir()
            .context("failed to create a temporary directory")?
            .keep();
        // Locked before it has its name: a sweep never sees it unlocked.
        let unnamed = path.join("in-use.new");
        let lock = File::create(&unnamed).context("failed to create the lock")?;
        lock.lock().context("failed to take the lock")?;
        fs::rename(unnamed, path.join(LOCK)).context("failed to name the lock")?;
        Ok(Self { path, kept: AtomicBool::new(false), _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, content).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    }

    /// Keeps the directory, for a look at the logs after a failure.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for WorkDirectory {
    #[expect(clippy::print_stderr, reason = "the path is the point of keeping the directory")]
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) || std::thread::panicking() {
            let _ = fs::remove_file(self.path.join(LOCK));
            let _ = fs::remove_dir_all(self.path.join("etcd"));
            eprintln!("logs kept in {}", self.path.display());
        } else {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn remove_abandoned() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_directory_is_removed_and_a_kept_one_survives_the_sweep() {
        let dropped = WorkDirectory::create("test").unwrap();
        let dropped_path = dropped.path().to_owned();
        remove_abandoned();
        assert!(dropped_path.exists(), "it is in use");
        drop(dropped);
        assert!(!dropped_path.exists());

        let kept = WorkDirectory::create("test").unwrap();
        let kept_path = kept.path().to_owned();
        kept.keep();
        drop(kept);
        remove_abandoned();
        assert!(kept_path.exists());
        fs::remove_dir_all(kept_path).unwrap();
    }

    #[test]
    fn a_directory_left_by_a_killed_process_is_removed() {
        let left = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap().keep();
        File::create(left.join(LOCK)).unwrap();
        remove_abandoned();
        assert!(!left.exists());
    }
}
