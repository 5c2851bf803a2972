//! Answers a name that is not in the catalogue. In: what somebody wrote. Out: what they may have meant.
//!
//! **Invariant:** total, and the answer names rows that exist.

use crate::domain::plan::Fault;
use crate::domain::provider::{all, not_covered, shown};
use crate::domain::reason::Reason;

/// How many names are offered.
const OFFERED: usize = 3;
/// From which likeness on a name is offered; 1 is the same.
const ALIKE: f64 = 0.8;
/// How alike a name is that holds the other, as `Auth` and `Auth0`.
const HOLDS: f64 = 0.9;
/// A shorter part is found in too many names.
const PART_BYTES: usize = 3;

/// Why no row has this name, and which ones may be meant.
pub(super) fn unknown(name: &str) -> Fault {
    let start = format!("spec.provider.name {} is not in the catalogue", shown(name));
    let missing = not_covered().iter().find(|entry| entry.name.eq_ignore_ascii_case(name));
    let offered = nearest(name);
    let message = match (missing, same(name), offered.as_slice()) {
        (_, Some(same), _) => format!("{start}: write {same}"),
        (Some(entry), None, _) => format!("{start}: {}; {}", entry.why, entry.instead),
        (None, None, []) => format!("{start}: remove spec.provider and set spec.tokenURL"),
        (None, None, offered) => format!(
            "{start}: did you mean {}? Else remove spec.provider and set spec.tokenURL",
            offered.join(", ")
        ),
    };
    Fault { reason: Reason::ProviderUnknown, message }
}

/// The row of that name in another case, or of that other name.
fn same(name: &str) -> Option<&'static str> {
    let same = |known: &String| known.eq_ignore_ascii_case(name);
    let found = all().iter().find(|row| same(&row.name) || row.aliases.iter().any(same));
    found.map(|row| row.name.as_str())
}

/// The names that are most like it, the best first.
pub(super) fn nearest(name: &str) -> Vec<&'static str> {
    // What is longer than any name can be is not compared: the time grows with the square.
    let name: String = name.chars().take(64).collect::<String>().to_ascii_lowercase();
    let likeness = |known: &String| {
        let known = known.to_ascii_lowercase();
        let holds = |whole: &str, part: &str| part.len() >= PART_BYTES && whole.contains(part);
        let held = if holds(&known, &name) || holds(&name, &known) { HOLDS } else { 0.0 };
        strsim::jaro_winkler(&known, &name).max(held)
    };
    let mut rows: Vec<(f64, &str)> = all()
        .iter()
        .map(|row| {
            let names = row.aliases.iter().chain([&row.name]);
            (names.map(likeness).fold(0.0, f64::max), row.name.as_str())
        })
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .collect();
    rows.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.cmp(right)));
    rows.into_iter().take(OFFERED).map(|(_, name)| name).collect()
}
