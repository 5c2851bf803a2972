//! `oauthcc version`. In: nothing. Out: one line with the name and the version.
//!
//! **Invariant:** the version is the one of `Cargo.toml`; image and chart carry the same.

use std::io::{self, Write};

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints `oauthcc` and the version.
///
/// # Errors
///
/// What the writer says.
pub fn print(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "oauthcc {VERSION}")?;
    out.flush()
}
