//! Writes kubeconfig files.
//!
//! **Invariant:** one cluster, one user with a bearer token, one context; TLS is always verified.

use std::path::Path;

use anyhow::Context;

/// What a kubeconfig says about the cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cluster<'a> {
    pub(crate) url: &'a str,
    pub(crate) authority: &'a Path,
}

impl Cluster<'_> {
    /// Writes a kubeconfig for the holder of `token` to `path`.
    pub(crate) fn write_kubeconfig(self, path: &Path, token: &str) -> anyhow::Result<()> {
        let content = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {
                "server": self.url,
                "certificate-authority": self.authority,
            }}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        });
        // JSON is YAML.
        std::fs::write(path, format!("{content:#}\n"))
            .with_context(|| format!("failed to write {}", path.display()))
    }
}
