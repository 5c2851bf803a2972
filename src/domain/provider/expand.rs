//! Fills named values into a row. In: a row, what the spec gives, and which fields the spec sets itself.
//! Out: the defaults of a request.
//!
//! **Invariant:** total. A value is used only where it has the form of its place: in the host it can
//! add labels and nothing else, in the path it is part of one segment; nothing is escaped, so nothing
//! can be escaped wrongly. The URL that comes out is parsed, and its host must be the one written.

use std::collections::BTreeMap;

use url::Url;

use crate::domain::crd::{Header, OAuthClientCredentialSpec, Parameter, RequestOptions};
use crate::domain::plan::Fault;
use crate::domain::provider::{NamedValue, ProviderDefaults, Row, shown};
use crate::domain::reason::Reason;

const SCHEME: &str = "https://";
/// Longest name of DNS, and longest label (RFC 1035 §2.3.4).
const NAME_BYTES: usize = 253;
const LABEL_BYTES: usize = 63;
/// Longest value anywhere.
const VALUE_BYTES: usize = 256;

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// As it is.
    Text(&'a str),
    /// The named value that takes its place.
    Value(&'a str),
}

/// Where in the request a named value stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// In the host of the URL.
    pub(super) host: bool,
    /// In its path.
    pub(super) path: bool,
}

/// The pieces of a template like `https://{domain}/token`.
pub(super) fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((text, (name, after))) =
        rest.split_once('{').and_then(|(text, after)| Some((text, after.split_once('}')?)))
    {
        pieces.extend([Piece::Text(text), Piece::Value(name)]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

/// Host and path of a template.
pub(super) fn split(template: &str) -> (&str, &str) {
    let after = template.strip_prefix(SCHEME).unwrap_or_default();
    after.find(['/', '?', '#']).map_or((after, ""), |end| after.split_at(end))
}

/// Where a named value stands in the token endpoint of its row.
pub(super) fn place(row: &Row, name: &str) -> Place {
    let (host, path) = row.token_url.as_deref().map(split).unwrap_or_default();
    let holds = |template| pieces(template).contains(&Piece::Value(name));
    Place { host: holds(host), path: holds(path) }
}

/// Whether a value has the form of its places, and is one of the row's list where there is one.
pub(super) fn fits(row: &Row, named: &NamedValue, value: &str) -> bool {
    let Place { host, path } = place(row, &named.name);
    let listed = named.values.is_empty() || named.values.iter().any(|known| known == value);
    let plain = (1..=VALUE_BYTES).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic());
    listed && plain && (!host || is_host(value)) && (!path || is_segment(value))
}

/// Labels of letters, digits and hyphens, separated by dots.
fn is_host(value: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    value.len() <= NAME_BYTES && value.split('.').all(is_label)
}

/// The unreserved characters of RFC 3986 §2.3, and not one of the two segments that mean another.
fn is_segment(value: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value != "." && value != ".." && value.bytes().all(unreserved)
}

/// What a value may look like, for people.
pub(super) fn form(row: &Row, named: &NamedValue) -> String {
    let Place { host, path } = place(row, &named.name);
    if !named.values.is_empty() {
        named.values.join(", ")
    } else if host {
        "letters, digits, hyphens and dots".to_owned()
    } else if path {
        "letters, digits and the characters - . _ ~".to_owned()
    } else {
        "visible ASCII characters".to_owned()
    }
}

/// The defaults of a row.
pub(super) fn defaults(
    row: &Row,
    given: &BTreeMap<String, String>,
    spec: &OAuthClientCredentialSpec,
) -> Result<ProviderDefaults, Fault> {
    let values = Values::of(row, given)?;
    let none = RequestOptions::default();
    let own = spec.request.as_ref().unwrap_or(&none);
    let asked = &row.request;
    let unless = |own: bool, template: &Option<String>| match template {
        Some(template) if !own => values.fill(template),
        Some(_) | None => Ok(None),
    };
    let list = |own: bool, templates: &[String]| -> Result<Vec<String>, Fault> {
        let templates = templates.iter().filter(|_| !own);
        templates.filter_map(|template| values.fill(template).transpose()).collect()
    };
    Ok(ProviderDefaults {
        token_url: if spec.token_url.is_some() { None } else { values.token_url()? },
        method: Some(row.method),
        encoding: row.encoding,
        grant_type: asked.grant_type.clone(),
        body_format: asked.body_format,
        scopes: list(!spec.scopes.is_empty(), &asked.scopes)?,
        scope_separator: asked.scope_separator.clone(),
        audience: unless(spec.audience.is_some(), &asked.audience)?,
        resource_indicators: list(
            !spec.resource_indicators.is_empty(),
            &asked.resource_indicators,
        )?,
        parameters: values.parameters(own)?,
        headers: values.headers(own)?,
        response: row.response.clone(),
        habits: row.habits.clone(),
    })
}

/// What stands for the names of one row.
struct Values<'a> {
    row: &'a Row,
    by_name: BTreeMap<&'a str, &'a str>,
}

impl<'a> Values<'a> {
    fn of(row: &'a Row, given: &'a BTreeMap<String, String>) -> Result<Self, Fault> {
        for (name, value) in given {
            let named = row.parameter(name).ok_or_else(|| unknown_value(row, name))?;
            if !fits(row, named, value) {
                return Err(misformed(row, named, value));
            }
        }
        let defaults = row
            .parameters
            .iter()
            .filter_map(|named| Some((&*named.name, named.default.as_deref()?)));
        let given = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ok(Self { row, by_name: defaults.chain(given).collect() })
    }

    /// A template with its values; `None` where an optional one is not given.
    fn fill(&self, template: &str) -> Result<Option<String>, Fault> {
        let mut text = String::new();
        for piece in pieces(template) {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Value(name) => match (self.by_name.get(name), self.row.parameter(name)) {
                    (Some(value), _) => text.push_str(value),
                    (None, Some(named)) if named.optional => return Ok(None),
                    (None, named) => return Err(missing(self.row, name, named)),
                },
            }
        }
        Ok(Some(text))
    }

    fn token_url(&self) -> Result<Option<String>, Fault> {
        let Some(template) = &self.row.token_url else { return Ok(None) };
        let Some(text) = self.fill(template)? else { return Ok(None) };
        // The forms above make this so; a parser that reads the text in another way has the last word.
        let written = split(&text).0.to_ascii_lowercase();
        let parsed = Url::parse(&text).ok().filter(|url| {
            url.scheme() == "https"
                && url.host_str() == Some(&written)
                && url.username().is_empty()
                && url.password().is_none()
                && url.port().is_none()
        });
        if parsed.is_some() {
            return Ok(Some(text));
        }
        let message = format!(
            "the values of spec.provider.parameters make no host of {template}: correct them, or set \
             spec.tokenURL"
        );
        Err(Fault { reason: Reason::ProviderUnknown, message })
    }

    fn parameters(&self, own: &RequestOptions) -> Result<Vec<Parameter>, Fault> {
        let own = |name: &str| own.parameters.iter().any(|parameter| parameter.name == name);
        let kept = self.row.request.parameters.iter().filter(|parameter| !own(&parameter.name));
        let filled = kept.map(|parameter| {
            let value = self.fill(&parameter.value)?;
            Ok(value.map(|value| Parameter {
                name: parameter.name.clone(),
                value: Some(value),
                value_from: None,
                location: parameter.location,
            }))
        });
        filled.filter_map(Result::transpose).collect()
    }

    fn headers(&self, own: &RequestOptions) -> Result<Vec<Header>, Fault> {
        let own =
            |name: &str| own.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
        let kept = self.row.request.headers.iter().filter(|header| !own(&header.name));
        let filled = kept.map(|header| {
            let value = self.fill(&header.value)?;
            let name = header.name.clone();
            Ok(value.map(|value| Header { name, value: Some(value), value_from: None }))
        });
        filled.filter_map(Result::transpose).collect()
    }
}

fn missing(row: &Row, name: &str, named: Option<&NamedValue>) -> Fault {
    let about = named.map(|named| format!(" ({}; {})", named.description, named.found_at));
    let message = format!(
        "spec.provider.parameters lacks {name}{}: {} needs it{}",
        about.unwrap_or_default(),
        row.name,
        row.caveat()
    );
    Fault { reason: Reason::ProviderUnknown, message }
}

fn unknown_value(row: &Row, name: &str) -> Fault {
    let known: Vec<_> = row.parameters.iter().map(|named| named.name.as_str()).collect();
    let known = if known.is_empty() {
        format!("{} needs none", row.name)
    } else {
        format!("{} has {}", row.name, known.join(", "))
    };
    let message = format!(
        "spec.provider.parameters has the entry {}, which means nothing: {known}{}",
        shown(name),
        row.caveat()
    );
    Fault { reason: Reason::ProviderUnknown, message }
}

fn misformed(row: &Row, named: &NamedValue, value: &str) -> Fault {
    let what = if named.values.is_empty() { "may hold" } else { "is one of" };
    let elsewhere = if place(row, &named.name).host { ", or set spec.tokenURL" } else { "" };
    let message = format!(
        "the entry {} of spec.provider.parameters can't be {}: it {what} {}, for example {}{elsewhere}",
        named.name,
        shown(value),
        form(row, named),
        named.example
    );
    Fault { reason: Reason::ProviderUnknown, message }
}
