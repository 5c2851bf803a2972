//! A managed Secret as files, laid and replaced as the kubelet does it (its atomic writer).
//!
//! In: a Secret, and where each key goes if not to a file of its name. Out: a directory that a consumer
//! reads as it would in a pod.
//! **Invariant:** a file is never written in place: a new directory gets all files, one rename of the
//! link `..data` shows them, and the old directory is gone after it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Secret;

/// A directory that holds a Secret.
pub struct Volume {
    path: PathBuf,
    items: &'static [(&'static str, &'static str)],
    writes: usize,
}

impl Volume {
    /// An empty one; `items` is as in a pod: keys and their files, or nothing for all keys.
    pub fn new(path: PathBuf, items: &'static [(&'static str, &'static str)]) -> Self {
        Self { path, items, writes: 0 }
    }

    /// Replaces everything by what the Secret holds now.
    pub fn write(&mut self, secret: &Secret) -> anyhow::Result<()> {
        self.writes += 1;
        let name = format!("..{}", self.writes);
        let new = self.path.join(&name);
        fs::create_dir_all(&new).with_context(|| format!("failed to make {}", new.display()))?;
        let data = secret.data.as_ref().context("the Secret has no data")?;
        let files: Vec<_> = if self.items.is_empty() {
            data.iter().map(|(key, value)| (key.as_str(), value)).collect()
        } else {
            let item = |(key, file): &(&'static str, &'static str)| {
                Ok((*file, data.get(*key).with_context(|| format!("no key {key}"))?))
            };
            self.items.iter().map(item).collect::<anyhow::Result<_>>()?
        };
        ensure!(!files.is_empty(), "nothing to write");
        for (file, value) in &files {
            fs::write(new.join(file), &value.0)?;
        }
        let (shown, coming) = (self.path.join("..data"), self.path.join("..data_tmp"));
        let old = fs::read_link(&shown).ok();
        symlink(&name, &coming)?;
        fs::rename(&coming, &shown)?;
        for (file, _) in &files {
            let link = self.path.join(file);
            if link.symlink_metadata().is_err() {
                symlink(Path::new("..data").join(file), &link)?;
            }
        }
        if let Some(old) = old {
            fs::remove_dir_all(self.path.join(old))?;
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One of its files, as an argument of a command.
    pub fn file(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}
