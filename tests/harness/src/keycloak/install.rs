//! Gets Keycloak.
//!
//! **Invariant:** the script alone decides what is got and where it is kept.

use std::{path::PathBuf, time::Duration};

use crate::script::printed_path;

/// 177 MB over a slow line, and half a minute of two idle cores.
const INSTALL_BOUND: Duration = Duration::from_secs(15 * 60);

/// Runs `tests/keycloak/fetch.sh`, which does nothing the second time, and gives the directory.
pub(super) async fn install() -> anyhow::Result<PathBuf> {
    printed_path("keycloak/fetch.sh", INSTALL_BOUND).await
}
