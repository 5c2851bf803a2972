//! Finds secret values in text, in every form in which a careless program would print them.
//!
//! **Invariant:** what is looked for is known by a name, so a finding never repeats the value; a value
//! is letters and digits at its core, which no escape changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use anyhow::ensure;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::Outcome;

/// The values to look for, by what they are.
#[derive(Debug, Default)]
pub struct Scanner(Mutex<BTreeMap<String, Value>>);

#[derive(Debug)]
struct Value {
    /// The hexadecimal SHA-256.
    digest: String,
    /// How it may stand in a text.
    forms: Vec<(&'static str, String)>,
}

impl Scanner {
    /// A value like no other, looked for from now on.
    pub fn canary(&self, what: &str) -> String {
        let random = |salt: &str| RandomState::new().hash_one(salt);
        let core = format!("Cy{:016x}{:016x}Zq", random("first"), random("second"));
        self.look_for(what, &core);
        core
    }

    /// Looks for a value from now on.
    pub fn look_for(&self, what: &str, value: &str) {
        let digest = hex(digest(&SHA256, value.as_bytes()).as_ref());
        self.values().insert(what.to_owned(), Value { digest, forms: forms(value) });
    }

    /// What is looked for.
    pub fn names(&self) -> Vec<String> {
        self.values().keys().cloned().collect()
    }

    /// The hexadecimal SHA-256 of each value.
    pub fn digests(&self) -> BTreeSet<String> {
        self.values().values().map(|value| value.digest.clone()).collect()
    }

    /// What a text holds: name and form of each value.
    pub fn find(&self, text: &str) -> Vec<String> {
        let values = self.values();
        let all = values.iter().flat_map(|(name, value)| {
            value.forms.iter().map(move |(form, pattern)| (name, form, pattern))
        });
        let found = all.filter(|(_, _, pattern)| text.contains(pattern.as_str()));
        found.map(|(name, form, _)| format!("{name}, {form}")).collect()
    }

    fn values(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// A value as it stands in a text, in each form.
fn forms(value: &str) -> Vec<(&'static str, String)> {
    let bytes = value.as_bytes();
    let each = |format: fn(u8) -> String, between: &str| {
        bytes.iter().map(|byte| format(*byte)).collect::<Vec<_>>().join(between)
    };
    let percent = bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(text, "{}", char::from(*byte))
            }
            _ => write!(text, "%{byte:02X}"),
        };
        text
    });
    let mut all = vec![
        ("raw", value.to_owned()),
        ("URL-encoded", percent),
        ("URL-encoded, every byte", format!("%{}", each(|byte| format!("{byte:02X}"), "%"))),
        ("hex", hex(bytes)),
        ("upper-case hex", each(|byte| format!("{byte:02X}"), "")),
        ("a list of bytes", each(|byte| byte.to_string(), ", ")),
        ("a JSON list of bytes", each(|byte| byte.to_string(), ",")),
    ];
    for (form, offset) in [("base64", 0), ("base64, shifted by 1", 1), ("base64, shifted by 2", 2)]
    {
        let text = shifted(bytes, offset);
        for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            all.push((form, inside(encoded, offset, bytes.len())));
        }
    }
    all.dedup();
    all
}

fn shifted(bytes: &[u8], offset: usize) -> Vec<u8> {
    [&vec![0; offset], bytes].concat()
}

/// The digits of base64 that are made of the value alone, whatever stands before and after it.
fn inside(text: String, offset: usize, length: usize) -> String {
    let first = (offset * 8).div_ceil(6);
    let end = (offset + length) * 8 / 6;
    text.get(first..end).map(str::to_owned).unwrap_or(text)
}

/// The scanner must be able to find something, or its silence says nothing.
pub fn finds_every_form() -> Outcome {
    let scanner = Scanner::default();
    let value = scanner.canary("a value");
    let inside = |prefix: &str| STANDARD_NO_PAD.encode(format!("{prefix}{value}:after"));
    let bytes = format!("k={value}").into_bytes();
    for (form, text) in [
        ("raw", format!("token: \"{value}\"")),
        ("base64", format!("data: {}", STANDARD_NO_PAD.encode(&value))),
        ("base64", inside("abc")),
        ("base64, shifted by 1", inside("abcd")),
        ("base64, shifted by 2", inside("abcde")),
        ("hex", hex(&bytes)),
        ("a list of bytes", format!("{bytes:?}")),
        ("a JSON list of bytes", serde_json::to_string(&bytes)?),
    ] {
        let found = scanner.find(&text);
        ensure!(found.iter().any(|found| found.ends_with(form)), "{form} is not found: {found:?}");
    }
    scanner.look_for("another", "a/b c+d");
    ensure!(scanner.find("x=a%2Fb%20c%2Bd&").len() == 1, "URL-encoded is not found");
    let silent = scanner.find(&value[1..]);
    ensure!(silent.is_empty(), "less than the whole value is found: {silent:?}");
    Ok(())
}
