//! What the managed Secret holds beside token and expiry: the forms and templates of `spec.target`.
//! In: a spec, a token with its record. Out: [`Shape`], what metadata must tell; [`Content`], what is
//! written; or why it can't be written as it is asked for.
//!
//! **Invariant:** the same spec and token give the same bytes, and no message repeats a value: a
//! template is tried with a token that opens nothing before any is asked for.

mod check;
mod format;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::crd::{
    DeletionPolicy, EXPIRES_AT_KEY, FormatType, OAuthClientCredentialSpec, OUTPUT_VERSION,
    OutputFormat, PREVIOUS_EXPIRES_AT_SUFFIX, RESPONSE_VALUES, SecretType, TOKEN_TYPE_KEY,
    Template, TemplateMetadata, USERNAME_KEY,
};
use crate::domain::fingerprint;
use crate::domain::plan::Fault;
use crate::domain::reason::Reason;
use crate::domain::redacted::Redacted;
use crate::domain::secret::{ManagedSecret, Record};

/// Stands before the digest of what is asked for; another one is of another version of the operator.
const VERSION: &str = "v1:";

/// As many bytes as the values of a Secret may have (`MaxSecretSize` of Kubernetes).
const MOST_BYTES: usize = 1 << 20;

/// What the metadata of a managed Secret must tell where it is as the spec asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Keys of `data` that must be there.
    pub keys: BTreeSet<String>,
    /// The keys of the token before and of its expiry: both are there or none.
    pub previous: BTreeSet<String>,
    /// The pointers of the values of the response, by key.
    pub response: BTreeMap<String, String>,
    /// Names of the labels of the template.
    pub labels: BTreeSet<String>,
    /// Names of the annotations of the template.
    pub annotations: BTreeSet<String>,
    /// The digest of forms, templates, type and deletion policy, where one of them is not the usual one.
    pub version: Option<String>,
    /// Whether the credential is the owner, by which Kubernetes deletes the Secret with it.
    pub owner_reference: bool,
}

impl Shape {
    /// What the spec asks for; `token_key` is where the token lies.
    pub fn of(spec: &OAuthClientCredentialSpec, token_key: &str) -> Self {
        let base = [token_key, EXPIRES_AT_KEY, TOKEN_TYPE_KEY];
        let mut keys: BTreeSet<String> = base.map(str::to_owned).into();
        for format in formats(spec) {
            keys.extend(format_keys(format).map(str::to_owned));
        }
        let names = |map: fn(&TemplateMetadata) -> &BTreeMap<String, String>| {
            let map = metadata(spec).map(map);
            map.into_iter().flat_map(BTreeMap::keys).cloned().collect()
        };
        keys.extend(template(spec).into_iter().flat_map(|template| template.data.keys()).cloned());
        Self {
            keys,
            previous: previous_keys(spec).into_iter().flat_map(<[String; 2]>::from).collect(),
            response: response_pointers(spec),
            labels: names(|metadata| &metadata.labels),
            annotations: names(|metadata| &metadata.annotations),
            version: version(spec),
            owner_reference: spec.deletion_policy() == DeletionPolicy::Delete,
        }
    }

    /// Whether these are the keys that are asked for.
    pub fn has_keys(&self, held: &BTreeSet<String>) -> bool {
        let more: BTreeSet<_> = held.difference(&self.keys).cloned().collect();
        self.keys.is_subset(held) && (more.is_empty() || more == self.previous)
    }

    /// Whether nothing but what is asked for lies under these keys.
    pub fn knows(&self, held: &BTreeSet<String>) -> bool {
        held.iter().all(|key| self.keys.contains(key) || self.previous.contains(key))
    }

    /// What the annotation of the values of the response must say; none without such values.
    pub fn response_values(&self) -> Option<String> {
        annotation_of(&self.response)
    }

    /// Whether a Secret with this annotation was written with the same forms and templates. What
    /// another version of the operator wrote is trusted until the next rotation.
    pub fn fits(&self, written: Option<&str>) -> bool {
        let unknown = |written: &str| !written.starts_with(VERSION);
        self.version.as_deref() == written
            || (self.version.is_some() && written.is_some_and(unknown))
    }
}

/// The managed Secret as it is written. `Debug` shows no token.
#[derive(Clone, Debug)]
pub struct Content {
    /// The type of the Secret.
    pub secret_type: &'static str,
    /// Keys and values.
    pub data: BTreeMap<String, Redacted<String>>,
    /// The labels of the template.
    pub labels: BTreeMap<String, String>,
    /// The annotations of the template, the pointers of the values of the response, and the version of
    /// what it was written with.
    pub annotations: BTreeMap<String, String>,
}

/// What is written for this token.
///
/// # Errors
/// A form or a template that can't be written; the message names its field and no value.
pub fn content(spec: &OAuthClientCredentialSpec, secret: &ManagedSecret) -> Result<Content, Fault> {
    let mut data = BTreeMap::new();
    for one in formats(spec) {
        format::write(one, secret, &mut data)?;
    }
    if let Some(template) = template(spec) {
        template::write(&template.data, secret, &mut data)?;
    }
    if let Some(((key, expiry_key), previous)) = previous_keys(spec).zip(secret.previous.as_ref()) {
        data.insert(key, previous.token.clone());
        data.insert(expiry_key, Redacted::new(previous.expires_at.to_string()));
    }
    data.extend(secret.data());
    let asked = response_pointers(spec);
    let mut written = asked.clone();
    written.retain(|_, pointer| secret.response_values.contains_key(pointer));
    let TemplateMetadata { labels, mut annotations } = metadata(spec).cloned().unwrap_or_default();
    annotations.extend(annotation_of(&written).map(|text| (RESPONSE_VALUES.to_owned(), text)));
    // Without a value it is not what is asked for: the next grant brings it.
    let version = version(spec).filter(|_| written == asked);
    annotations.extend(version.map(|version| (OUTPUT_VERSION.to_owned(), version)));
    Ok(Content { secret_type: secret_type(spec), data, labels, annotations })
}

/// Why the target can't be written as it is asked for, whatever the token.
pub fn fault(spec: &OAuthClientCredentialSpec) -> Option<Fault> {
    let target = spec.target.as_ref()?;
    check::check(target, spec.token_key()).or_else(|| {
        let template = target.template.as_ref().filter(|template| !template.data.is_empty())?;
        let mut data = BTreeMap::new();
        if let Err(fault) = template::write(&template.data, &stand_in(spec), &mut data) {
            return Some(fault);
        }
        let bytes: usize = data.values().map(|text| text.expose().len()).sum();
        let message = || too_large("the managed Secret");
        (bytes >= MOST_BYTES)
            .then(|| Fault { reason: Reason::SecretWriteFailed, message: message() })
    })
}

/// What is said where a Secret would be larger than Kubernetes takes.
pub fn too_large(secret: &str) -> String {
    format!(
        "{secret} would be larger than 1 MiB, which Kubernetes does not take: shorten \
         spec.target.template.data, or remove keys that others have added to it"
    )
}

/// A token that opens nothing, to try a template or a write with.
pub fn stand_in(spec: &OAuthClientCredentialSpec) -> ManagedSecret {
    let record = Record {
        issued_at: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        revision: 1,
        fingerprint: String::new(),
        inputs_version: String::new(),
        token_key: spec.token_key().to_owned(),
        refresh_at: None,
    };
    let nothing = || Redacted::new("a-token-that-opens-nothing".to_owned());
    ManagedSecret {
        token: nothing(),
        token_type: "Bearer".to_owned(),
        record,
        response_values: response_pointers(spec).into_values().map(|at| (at, nothing())).collect(),
        previous: None,
    }
}

fn formats(spec: &OAuthClientCredentialSpec) -> &[OutputFormat] {
    spec.target.as_ref().map_or(&[], |target| &target.additional_output_formats)
}

fn template(spec: &OAuthClientCredentialSpec) -> Option<&Template> {
    spec.target.as_ref()?.template.as_ref()
}

fn metadata(spec: &OAuthClientCredentialSpec) -> Option<&TemplateMetadata> {
    template(spec)?.metadata.as_ref()
}

fn secret_type(spec: &OAuthClientCredentialSpec) -> &'static str {
    spec.target.as_ref().and_then(|target| target.secret_type).unwrap_or_default().as_str()
}

/// The keys that a form writes.
fn format_keys(format: &OutputFormat) -> impl Iterator<Item = &str> {
    let second = (format.format == FormatType::BasicAuth).then_some(USERNAME_KEY);
    [format.key.as_str()].into_iter().chain(second)
}

/// The pointers of the values of the response that are asked for, by the key that each lies under.
pub fn response_pointers(spec: &OAuthClientCredentialSpec) -> BTreeMap<String, String> {
    let pointer = |format: &OutputFormat| {
        let asked = format.response.as_ref().filter(|_| format.format == FormatType::Response)?;
        Some((format.key.clone(), asked.pointer.clone()))
    };
    formats(spec).iter().filter_map(pointer).collect()
}

/// The keys of the token before and of its expiry, where it is asked for.
pub fn previous_keys(spec: &OAuthClientCredentialSpec) -> Option<(String, String)> {
    let key = spec.target.as_ref()?.previous_token_key.as_ref()?;
    Some((key.clone(), format!("{key}{PREVIOUS_EXPIRES_AT_SUFFIX}")))
}

/// Pointers are no secret, and a map is sorted.
fn annotation_of(pointers: &BTreeMap<String, String>) -> Option<String> {
    (!pointers.is_empty()).then(|| serde_json::to_string(pointers).unwrap_or_default())
}

/// The digest of forms, templates, type and deletion policy: metadata can't tell an edit under the same
/// key otherwise. Their order says nothing, and nothing of it is secret.
fn version(spec: &OAuthClientCredentialSpec) -> Option<String> {
    let mut formats: Vec<_> = formats(spec).iter().collect();
    let template = template(spec).filter(|template| **template != Template::default());
    let usual_type = SecretType::default().as_str();
    let secret_type = Some(secret_type(spec)).filter(|asked| *asked != usual_type);
    let retained = (spec.deletion_policy() == DeletionPolicy::Retain).then_some("Retain");
    let unusual: String = secret_type.into_iter().chain(retained).collect();
    if formats.is_empty() && template.is_none() && unusual.is_empty() {
        return None;
    }
    formats.sort_by(|one, other| one.key.cmp(&other.key));
    // Members stand in the order of the types, and maps are sorted, whatever serde_json is built with.
    let canonical = serde_json::to_string(&(formats, template)).unwrap_or_default() + &unusual;
    Some(format!("{VERSION}{}", fingerprint::short_digest(&canonical)))
}

fn invalid(message: String) -> Fault {
    Fault { reason: Reason::TemplateInvalid, message }
}

#[cfg(test)]
mod tests;
