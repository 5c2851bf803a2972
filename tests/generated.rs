//! Files that are generated and committed. In: what the binary prints. Out: a failure where the
//! committed file differs; with `UPDATE_GOLDEN=1` the file is written anew instead.
//!
//! **Invariant:** without that variable nothing is written.
#![expect(clippy::unwrap_used, clippy::panic, reason = "an integration test is a test module")]

use std::path::Path;

use oauthcc_operator::cli::crd;
use oauthcc_operator::domain::provider::page;

/// Fails where `path`, relative to the crate, is not `expected`, unless it may be written anew.
fn compare(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    if committed == expected {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, expected).unwrap();
        return;
    }
    let differ = |(ours, theirs): &(&str, &str)| ours != theirs;
    let same = committed.lines().zip(expected.lines()).take_while(|pair| !differ(pair)).count();
    panic!(
        "{path} differs from line {} on: run `UPDATE_GOLDEN=1 cargo test --test generated`",
        same + 1
    );
}

#[test]
fn the_committed_crd_is_what_the_binary_prints() {
    compare(crd::COMMITTED, &crd::yaml().unwrap());
}

#[test]
fn the_printed_crd_reads_back_as_the_definition() {
    let read: serde_json::Value = serde_saphyr::from_str(&crd::yaml().unwrap()).unwrap();
    assert_eq!(read, oauthcc_operator::domain::schema::custom_resource_definition());
}

#[test]
fn the_committed_page_of_providers_is_what_the_catalogue_says() {
    compare(page::COMMITTED, &page::page());
}
