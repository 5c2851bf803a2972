//! The rules of the house. In: the source of every file under `src/`. Out: a failure that names the
//! file and the rule it breaks.
//!
//! **Invariant:** it reads text alone, so it also sees what no build target compiles.
#![expect(clippy::unwrap_used, reason = "an integration test is a test module")]

use std::collections::BTreeMap;
use std::path::Path;

/// Longest file, in lines without its tests.
const LONGEST_FILE: usize = 400;

/// What one room may use of this crate, and which words its code must not hold.
struct Rule {
    rooms: &'static [&'static str],
    forbidden: &'static [&'static str],
}

/// What pure code has no word for: clients, sockets, clocks, environment, randomness, logs.
const IMPURE: &[&str] = &[
    "kube::Client",
    "kube::Api",
    "kube::api::Api",
    "kube::client",
    "kube::runtime",
    "reqwest",
    "tokio",
    "tracing",
    "std::env",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "rand::fill",
    "SystemRandom",
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
];

/// These join all the others.
const FREE: [&str; 3] = ["cli", "lib", "main"];

/// The table of rooms of `ARCHITECTURE.md`; `None` for a room that it does not know.
fn rule(room: &str) -> Option<Rule> {
    Some(match room {
        "domain" => Rule { rooms: &["domain"], forbidden: IMPURE },
        "cluster" => Rule { rooms: &["cluster", "domain"], forbidden: &["reqwest", "std::env"] },
        "endpoint" => Rule { rooms: &["domain", "endpoint"], forbidden: &["kube::", "std::env"] },
        "governor" => Rule { rooms: &["domain", "governor"], forbidden: &["kube::", "std::env"] },
        "settings" => {
            Rule { rooms: &["domain", "settings"], forbidden: &["kube::Client", "kube::Api"] }
        }
        "telemetry" => Rule {
            rooms: &["domain", "telemetry"],
            forbidden: &["kube::Client", "kube::Api", "reqwest", "std::env"],
        },
        "serve" => Rule {
            rooms: &["domain", "serve", "telemetry"],
            forbidden: &["kube::Client", "kube::Api", "reqwest", "std::env"],
        },
        "reconcile" => Rule {
            rooms: &["cluster", "domain", "endpoint", "governor", "reconcile", "telemetry"],
            forbidden: &["std::env"],
        },
        _ => return None,
    })
}

/// The code of a file: no comments, no text in quotes, and nothing from `#[cfg(test)]` on, which is
/// where the tests of a file begin.
fn code(source: &str) -> String {
    let mut code = String::new();
    for line in without_tests(source).lines() {
        let mut quoted = false;
        let mut previous = ' ';
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            if character == '"' && previous != '\\' && previous != '\'' {
                quoted = !quoted;
            } else if !quoted && character == '/' && characters.peek() == Some(&'/') {
                break;
            } else if !quoted {
                code.push(character);
            }
            previous = character;
        }
        code.push('\n');
    }
    code
}

fn without_tests(source: &str) -> &str {
    source.split("\n#[cfg(test)]").next().unwrap_or_default()
}

/// The rooms that code names: after `crate::`, in one path or in a group of paths, and after as many
/// `super::` as lead from a file at this depth to the root of the crate.
fn rooms_used(depth: usize, code: &str) -> Vec<String> {
    let up = "super::".repeat(depth + 1);
    let squeezed = squeeze(code);
    let mut rooms = Vec::new();
    for prefix in ["crate::", "oauthcc_operator::", &up] {
        for (position, _) in squeezed.match_indices(prefix) {
            if !squeezed[..position].chars().next_back().is_some_and(in_a_name) {
                rooms.extend(first_names(&squeezed[position + prefix.len()..]));
            }
        }
    }
    rooms.sort();
    rooms.dedup();
    rooms
}

fn in_a_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Without white space, but for one space where two names would run together.
fn squeeze(code: &str) -> String {
    let mut squeezed = String::new();
    for word in code.split_whitespace() {
        if squeezed.chars().next_back().is_some_and(in_a_name) && word.starts_with(in_a_name) {
            squeezed.push(' ');
        }
        squeezed.push_str(word);
    }
    squeezed
}

/// The first name of a path, or of each path in a group.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String { text.chars().take_while(|c| in_a_name(*c)).collect() };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (position, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(&group[start..position]));
                start = position + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Whether code holds a word or path, not as the end of a longer name.
fn holds(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(position, _)| {
        let before = code[..position].chars().next_back();
        let after = code[position + word.len()..].chars().next();
        let open = word.ends_with("::") || word.ends_with("Tcp") || word.ends_with("Udp");
        !before.is_some_and(in_a_name) && (open || !after.is_some_and(in_a_name))
    })
}

/// Which imports of a file its room does not allow.
fn import_faults(path: &str, source: &str) -> Vec<String> {
    let room = path.split(['/', '.']).next().unwrap_or_default();
    if FREE.contains(&room) {
        return Vec::new();
    }
    let Some(rule) = rule(room) else {
        return vec![format!("{path} is in no room of the table in tests/house.rs")];
    };
    let code = code(source);
    let used = rooms_used(path.matches('/').count(), &code);
    let rooms = used.iter().filter(|room| !rule.rooms.contains(&room.as_str()));
    let words = rule.forbidden.iter().filter(|word| holds(&code, word));
    let rooms = rooms.map(|room| format!("{path} must not use {room}"));
    rooms.chain(words.map(|word| format!("{path} must not hold {word}"))).collect()
}

/// What a file breaks; `path` is relative to `src/`.
fn faults(path: &str, source: &str) -> Vec<String> {
    if is_test_file(path) {
        return Vec::new();
    }
    let mut faults = import_faults(path, source);
    let lines = without_tests(source).lines().count();
    if lines > LONGEST_FILE {
        faults.push(format!("{path} has {lines} lines without its tests"));
    }
    if !source.starts_with("//! ") {
        faults.push(format!("{path} does not open with what it is"));
    }
    for (number, line) in without_tests(source).lines().enumerate() {
        if has_a_gap(line) {
            faults.push(format!("{path}:{} has a run of spaces in a text", number + 1));
        }
    }
    let map_or_root = ["lib.rs", "main.rs"].contains(&path);
    if !map_or_root && !source.contains("**Invariant:**") {
        faults.push(format!("{path} states no invariant"));
    }
    faults
}

/// Whether a text on this line holds a run of spaces: a literal that was joined without its backslash.
fn has_a_gap(line: &str) -> bool {
    let code = line.trim();
    !code.starts_with("//")
        && code.match_indices("   ").any(|(at, _)| {
            let (before, after) = (&code[..at], code[at..].trim_start());
            before.contains('"') && !before.ends_with("\\n") && !after.starts_with("//")
        })
}

/// Tests that outgrew their file: `tests.rs` in the folder of the room.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                sources.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    sources
}

#[test]
fn every_file_keeps_the_rules_of_its_room() {
    let sources = sources();
    assert!(sources.contains_key("lib.rs") && sources.contains_key("domain/crd.rs"));
    let found: Vec<_> = sources.iter().flat_map(|(path, source)| faults(path, source)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What the checker says of `body` in an otherwise good file.
fn said(path: &str, body: &str) -> Vec<String> {
    faults(path, &format!("//! A room.\n//!\n//! **Invariant:** none.\n{body}\n"))
}

/// A file, its body, and what the checker must say of it.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("domain/decide.rs", "use crate::cluster::observe;", "must not use cluster"),
    ("domain/decide.rs", "use crate::{domain::crd, governor};", "must not use governor"),
    ("domain/decide.rs", "use crate::{\n    domain::{crd, reason},\n    serve,\n};", "serve"),
    ("domain/decide.rs", "fn f() { crate::endpoint::ask() }", "must not use endpoint"),
    ("domain/decide.rs", "use kube::Client;", "must not hold kube::Client"),
    ("domain/decide.rs", "use tokio::time::sleep;", "must not hold tokio"),
    ("domain/decide.rs", "fn f() { tracing::info!(\"x\") }", "must not hold tracing"),
    ("domain/decide.rs", "let now = jiff::Timestamp::now();", "must not hold Timestamp::now"),
    ("domain/oauth/form.rs", "use std::env;", "must not hold std::env"),
    ("domain/oauth.rs", "use std::time::Instant;", "must not hold Instant"),
    ("cluster/apply.rs", "use crate::telemetry::Metrics;", "must not use telemetry"),
    ("cluster/apply.rs", "use crate::reconcile;", "must not use reconcile"),
    ("governor.rs", "use super::cluster;", "must not use cluster"),
    ("domain/decide.rs", "use super::super::cluster;", "must not use cluster"),
    ("domain/oauth/form.rs", "use super::super::super::serve;", "must not use serve"),
    ("endpoint/resolve.rs", "use kube::Api;", "must not hold kube::"),
    ("settings.rs", "use crate::endpoint;", "must not use endpoint"),
    ("serve.rs", "use crate::cluster::watch;", "must not use cluster"),
    ("reconcile.rs", "use crate::settings::Settings;", "must not use settings"),
];

#[test]
fn the_checker_finds_each_forbidden_import() {
    for (path, body, fault) in FORBIDDEN {
        let found = said(path, body);
        assert!(found.len() == 1 && found[0].contains(fault), "{path}: {body}: {found:?}");
    }
}

#[test]
fn the_checker_lets_pass_what_is_allowed() {
    for (path, body) in [
        ("domain/decide.rs", "use crate::domain::{crd, reason::Reason};"),
        ("domain/decide.rs", "// use crate::cluster;\n/// See tokio.\nconst A: &str = \"tokio\";"),
        (
            "domain/decide.rs",
            "use super::crd;\nuse super::oauth::form;\nuse kube::core::CustomResourceExt;",
        ),
        ("domain/decide.rs", "#[cfg(test)]\nmod tests {\n    use tokio::time;\n}"),
        ("domain/decide.rs", "let an_instant_of = InstantLike::tokio_like();"),
        ("cluster/apply.rs", "use crate::cluster::watch;\nuse crate::domain::crd;"),
        ("reconcile.rs", "use crate::{cluster, domain, endpoint, governor, telemetry};"),
        ("cli/run.rs", "use crate::{settings, serve};\nuse std::env;"),
    ] {
        assert_eq!(said(path, body), Vec::<String>::new(), "{path}: {body}");
    }
}

#[test]
fn the_checker_measures_files_and_reads_their_first_lines() {
    assert_eq!(faults("serve.rs", "use std::fmt;\n").len(), 2);
    assert_eq!(said("serve.rs", &"\n".repeat(396)), Vec::<String>::new());
    assert_eq!(said("serve.rs", &"\n".repeat(400)).len(), 1);
    assert_eq!(said("serve.rs", "let text = \"one   two\";").len(), 1);
    assert_eq!(said("serve.rs", "let text = \"one:\\n    two\"; // three").len(), 0);
    let tested = format!("\n#[cfg(test)]\n{}", "\n".repeat(1000));
    assert_eq!(said("serve.rs", &tested), Vec::<String>::new());
}

#[test]
fn the_checker_refuses_a_room_that_the_table_does_not_know() {
    assert_eq!(said("helpers.rs", "").len(), 1);
}
