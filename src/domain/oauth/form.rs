//! Parameters and how they are written: as a form (RFC 6749 Appendix B), as a JSON object, in a
//! query. In: names and values. Out: bytes that read back as exactly these.
//!
//! **Invariant:** `A–Z a–z 0–9 - . _ ~` stay raw and a space is `%20`, so that servers which never
//! decode still recognise plain IDs, and those which do read the same value as from `+`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, Serializer, ser::SerializeMap};
use zeroize::Zeroizing;

use crate::domain::redacted::Redacted;

const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameters of a request, in order. Only `resource` comes more than once (RFC 8707 §2).
#[derive(Default)]
pub(super) struct Parameters(Vec<Parameter>);

struct Parameter {
    name: String,
    value: Redacted<String>,
    is_secret: bool,
}

impl Parameters {
    /// Adds a parameter that anybody may read.
    pub(super) fn add(&mut self, name: &str, value: &str) {
        let value = Redacted::new(value.to_owned());
        self.0.push(Parameter { name: name.to_owned(), value, is_secret: false });
    }

    /// Adds a parameter that must not be seen again.
    pub(super) fn add_secret(&mut self, name: &str, value: &Redacted<String>) {
        let (name, value) = (name.to_owned(), value.clone());
        self.0.push(Parameter { name, value, is_secret: true });
    }

    /// Names and values, with `=` and `&` between them.
    pub(super) fn form(&self) -> Redacted<String> {
        let mut form = Zeroizing::new(String::with_capacity(self.longest()));
        for Parameter { name, value, .. } in &self.0 {
            if !form.is_empty() {
                form.push('&');
            }
            form.extend(utf8_percent_encode(name, ESCAPED));
            form.push('=');
            form.extend(utf8_percent_encode(value.expose(), ESCAPED));
        }
        Redacted::new(std::mem::take(&mut form))
    }

    /// An object of strings; a name that comes more than once is an array of them.
    pub(super) fn json(&self) -> Redacted<String> {
        let mut json = Vec::with_capacity(self.longest());
        serde_json::to_writer(&mut json, self).expect("strings are JSON, and memory takes them");
        Redacted::new(String::from_utf8(json).expect("JSON is UTF-8"))
    }

    /// The secret values in every way in which they may come back.
    pub(super) fn secrets(&self) -> impl Iterator<Item = Redacted<String>> {
        let secrets = self.0.iter().filter(|parameter| parameter.is_secret);
        secrets.flat_map(|parameter| spellings(&parameter.value))
    }

    /// How long the text can get, in bytes. One allocation, so that growing leaves no copies of
    /// secrets behind.
    fn longest(&self) -> usize {
        // A control character is six bytes in JSON, any byte three in a form; quotes and separators.
        let texts =
            self.0.iter().map(|parameter| parameter.name.len() + parameter.value.expose().len());
        texts.map(|length| length * 6 + 8).sum::<usize>() + 2
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        for (n, Parameter { name, .. }) in self.0.iter().enumerate() {
            if self.0.iter().take(n).any(|before| before.name == *name) {
                continue;
            }
            let same = self.0.iter().filter(|parameter| parameter.name == *name);
            let values: Vec<&str> =
                same.map(|parameter| parameter.value.expose().as_str()).collect();
            match values.as_slice() {
                [value] => object.serialize_entry(name, value)?,
                values => object.serialize_entry(name, values)?,
            }
        }
        object.end()
    }
}

/// Form-urlencoded (RFC 6749 Appendix B).
pub(in crate::domain) fn form_encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    encoded.extend(utf8_percent_encode(text, ESCAPED));
    encoded
}

/// A secret value as it is, and as forms and JSON write it where that differs: an answer may repeat
/// it in any of these. An empty one is none.
pub(super) fn spellings(secret: &Redacted<String>) -> Vec<Redacted<String>> {
    let text = secret.expose();
    if text.is_empty() {
        return Vec::new();
    }
    let form = form_encoded(text);
    let json = Zeroizing::new(serde_json::to_string(text).expect("a string is JSON"));
    let inside = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    let others = [Some(form.as_str()), inside].into_iter().flatten().filter(|other| other != text);
    let others = others.map(|other| Redacted::new(other.to_owned()));
    std::iter::once(secret.clone()).chain(others).collect()
}
