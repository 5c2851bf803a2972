//! The data: `catalogue.yaml`, built into the binary and read once.
//!
//! **Invariant:** a file that does not read is an empty catalogue, never a panic; a test reads it, so
//! that is a catalogue no release has.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::domain::provider::{NotCovered, Row};

/// The file as it is committed.
pub(super) const TEXT: &str = include_str!("catalogue.yaml");

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Catalogue {
    /// The rows, sorted by name.
    pub(super) providers: Vec<Row>,
    /// What people look for and will not find.
    pub(super) not_covered: Vec<NotCovered>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| read(TEXT).unwrap_or_default());

/// Reads a catalogue; the error says where it is wrong.
pub(super) fn read(text: &str) -> Result<Catalogue, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// Every row, sorted by name.
pub fn all() -> &'static [Row] {
    &CATALOGUE.providers
}

/// The row of exactly that name.
pub fn find(name: &str) -> Option<&'static Row> {
    all().iter().find(|row| row.name == name)
}

/// The services that the catalogue does not have, and why, sorted by name.
pub fn not_covered() -> &'static [NotCovered] {
    &CATALOGUE.not_covered
}
