//! The control groups of a node, in every hierarchy of this machine.
//!
//! Out: a group that a kubelet may divide among its pods.
//! **Invariant:** a group is only ever removed when it is empty and the process that made it has ended
//! or ends; those of another run are never touched.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

const PREFIX: &str = "oauthcc-node-";
/// The kernel empties a group a moment after its last process has ended.
const REMOVAL_BOUND: Duration = Duration::from_secs(10);

/// One group of the same name in each hierarchy; dropping it removes them and what is below them.
#[derive(Debug)]
pub(super) struct ControlGroups {
    name: String,
    places: Vec<PathBuf>,
}

impl ControlGroups {
    /// Makes the groups, and removes those that a killed process left behind.
    pub(super) fn create() -> anyhow::Result<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(1);
        let mounts =
            fs::read_to_string("/proc/self/mounts").context("failed to read the mounts")?;
        let hierarchies = hierarchies(&mounts);
        ensure!(!hierarchies.is_empty(), "no control groups are mounted");
        for hierarchy in &hierarchies {
            remove_abandoned(hierarchy);
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let mut made = Self { name, places: Vec::new() };
        for hierarchy in hierarchies {
            let place = hierarchy.join(&made.name);
            fs::create_dir(&place)
                .with_context(|| format!("failed to create {}", place.display()))?;
            made.places.push(place);
        }
        Ok(made)
    }

    /// Its name, the same in each hierarchy.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for ControlGroups {
    #[expect(clippy::print_stderr, reason = "what is left behind is worth a line")]
    fn drop(&mut self) {
        let started = Instant::now();
        for place in &self.places {
            while let Err(error) = remove(place) {
                if started.elapsed() > REMOVAL_BOUND {
                    eprintln!("{} is left behind: {error}", place.display());
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Where hierarchies of control groups are mounted, of version 1 and 2.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let place = words.next()?;
            ["cgroup", "cgroup2"].contains(&words.next()?).then(|| PathBuf::from(place))
        })
        .collect();
    // One hierarchy may be mounted at two places.
    found.sort();
    found.dedup();
    found
}

/// Removes the groups of processes that are no more.
fn remove_abandoned(hierarchy: &Path) {
    for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(maker) = maker else { continue };
        if !Path::new("/proc").join(maker).exists() {
            // One that is in use cannot be removed, and the next start tries again.
            let _ = remove(&entry.path());
        }
    }
}

/// Removes a group after those below it. Its files are not removed one by one: they go with it.
fn remove(group: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(group) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found_once() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                      proc /proc proc rw 0 0\n";
        let expected = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        assert_eq!(hierarchies(mounts), expected);
    }

    #[test]
    fn a_group_is_removed_with_those_below_it() {
        let top = tempfile::tempdir().unwrap();
        let group = top.path().join("oauthcc-node-1");
        fs::create_dir_all(group.join("kubepods/pod")).unwrap();
        remove(&group).unwrap();
        assert!(!group.exists());
        remove(&group).unwrap();
    }
}
