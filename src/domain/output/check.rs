//! Holds a target to the rules of the schema once more, and to those that CEL can't afford: subdomains of
//! reserved domains, and how keys, labels and annotations are spelled. In: a target. Out: the first fault.
//!
//! **Invariant:** no Secret is written twice under one key, and none with a label or annotation by which
//! another controller would copy, adopt or delete it.

use std::collections::BTreeSet;

use super::format::missing;
use super::{Fault, format_keys, invalid};
use crate::domain::crd::{
    DOCKER_CONFIG_KEY, EXPIRES_AT_KEY, FormatType, OutputFormat, PASSWORD_KEY,
    PREVIOUS_EXPIRES_AT_SUFFIX, RESERVED_DOMAINS, ResponseValue, SecretType, TOKEN_TYPE_KEY,
    Target, TemplateMetadata,
};

/// Longest name of a label or annotation after its prefix, and longest value of a label.
const MAX_NAME: usize = 63;
/// Longest key of a Secret, and longest prefix of a label or annotation.
const MAX_KEY: usize = 253;
/// As much as the schema and the API server take of all annotations together.
const MAX_ANNOTATIONS_BYTES: usize = 128 * 1024;

/// What is wrong with a target whose token lies under `token_key`.
pub(super) fn check(target: &Target, token_key: &str) -> Option<Fault> {
    let metadata = target.template.as_ref().and_then(|template| template.metadata.as_ref());
    let formats = &target.additional_output_formats;
    formats
        .iter()
        .find_map(entry_fault)
        .or_else(|| key_fault(target, token_key))
        .or_else(|| type_fault(target.secret_type.unwrap_or_default(), formats))
        .or_else(|| metadata.and_then(metadata_fault))
}

/// An entry with its own member, without another one, and with words that keep to one line.
fn entry_fault(entry: &OutputFormat) -> Option<Fault> {
    let format = entry.format;
    let members = [
        ("netrc", FormatType::Netrc, entry.netrc.is_some()),
        ("dockerConfigJSON", FormatType::DockerConfigJson, entry.docker_config_json.is_some()),
        ("basicAuth", FormatType::BasicAuth, entry.basic_auth.is_some()),
        ("env", FormatType::Env, entry.env.is_some()),
        ("response", FormatType::Response, entry.response.is_some()),
    ];
    let key = &entry.key;
    if let Some((name, ..)) = members.iter().find(|(_, own, there)| *there && format != *own) {
        return Some(invalid(format!(
            "{name} has no effect with the type of the entry {key} of \
             spec.target.additionalOutputFormats: remove it"
        )));
    }
    let needed = members.iter().find(|(_, own, there)| !*there && format == *own);
    if let Some((name, ..)) = needed.filter(|(name, ..)| *name != "basicAuth") {
        return Some(missing(entry, name));
    }
    if format == FormatType::BasicAuth && key != PASSWORD_KEY {
        return Some(invalid(format!(
            "type BasicAuth writes the keys username and password: name the entry {key} of \
             spec.target.additionalOutputFormats password"
        )));
    }
    if let Some(ResponseValue { pointer }) = &entry.response
        && let Some(fault) = pointer_fault(pointer)
    {
        return Some(invalid(format!(
            "response.pointer of the entry {key} of spec.target.additionalOutputFormats {fault}"
        )));
    }
    words(entry).into_iter().find(|word| !is_one_word(word)).map(|_| {
        invalid(format!(
            "a value of the entry {key} of spec.target.additionalOutputFormats is empty or has white \
             space or control characters: correct it"
        ))
    })
}

/// A refresh token is refused at any depth, and so is what lies in it: it outlives the client secret.
fn pointer_fault(pointer: &str) -> Option<&'static str> {
    let segments = pointer.strip_prefix('/').map(|rest| rest.split('/'));
    let spelled = |segment: &str| {
        let escapes = segment.matches("~0").count() + segment.matches("~1").count();
        !segment.is_empty() && segment.matches('~').count() == escapes
    };
    let Some(mut segments) = segments.filter(|all| all.clone().all(spelled)) else {
        return Some("is no JSON pointer (RFC 6901), such as /instance_url: correct it");
    };
    let refresh_token = segments.any(|segment| segment == "refresh_token");
    refresh_token
        .then_some("points at a refresh token, which is never written to a Secret: let it point at another value")
}

/// The texts that stand beside the token.
fn words(entry: &OutputFormat) -> Vec<&str> {
    let netrc = entry.netrc.iter();
    let netrc = netrc.flat_map(|netrc| netrc.login.iter().chain([&netrc.machine]));
    let docker = entry.docker_config_json.iter();
    let docker = docker.flat_map(|docker| docker.registries.iter().chain(&docker.username));
    let basic = entry.basic_auth.iter().flat_map(|basic| &basic.username);
    let env = entry.env.iter().map(|env| &env.name);
    netrc.chain(docker).chain(basic).chain(env).map(String::as_str).collect()
}

fn is_one_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Every key of the Secret once.
fn key_fault(target: &Target, token_key: &str) -> Option<Fault> {
    let mut taken = BTreeSet::from([token_key, EXPIRES_AT_KEY, TOKEN_TYPE_KEY]);
    let formats = target.additional_output_formats.iter().flat_map(|format| {
        format_keys(format).map(|key| ("spec.target.additionalOutputFormats", key))
    });
    let templates = target.template.iter().flat_map(|template| template.data.keys());
    let templates = templates.map(|key| ("spec.target.template.data", key.as_str()));
    let previous = target.previous_token_key.as_ref();
    let expiry = previous.map(|key| format!("{key}{PREVIOUS_EXPIRES_AT_SUFFIX}"));
    let previous = previous.into_iter().chain(&expiry);
    let previous = previous.map(|key| ("spec.target.previousTokenKey", key.as_str()));
    formats.chain(templates).chain(previous).find_map(|(field, key)| {
        if !is_secret_key(key) {
            return Some(invalid(format!(
                "a key of {field} is no key of a Secret: letters, digits, -, _ and . only"
            )));
        }
        (!taken.insert(key)).then(|| {
            invalid(format!("the key {key} of {field} is written already: give it another one"))
        })
    })
}

fn type_fault(secret_type: SecretType, formats: &[OutputFormat]) -> Option<Fault> {
    let has = |format: FormatType, key: &str| {
        formats.iter().any(|entry| entry.format == format && entry.key == key)
    };
    let (there, key, format) = match secret_type {
        SecretType::Opaque => return None,
        SecretType::BasicAuth => {
            (has(FormatType::BasicAuth, PASSWORD_KEY), PASSWORD_KEY, "BasicAuth")
        }
        SecretType::DockerConfigJson => (
            has(FormatType::DockerConfigJson, DOCKER_CONFIG_KEY),
            DOCKER_CONFIG_KEY,
            "DockerConfigJSON",
        ),
    };
    (!there).then(|| {
        invalid(format!(
            "a Secret of type {} needs an entry of spec.target.additionalOutputFormats with key: {key} \
             and type: {format}",
            secret_type.as_str()
        ))
    })
}

fn metadata_fault(metadata: &TemplateMetadata) -> Option<Fault> {
    let TemplateMetadata { labels, annotations } = metadata;
    let named = |kind: &'static str, name: &str| {
        let field = format!("spec.target.template.metadata.{kind}");
        if is_reserved(name) {
            let text = "no label or annotation of Kubernetes, of this operator or of a controller that \
                        copies or deletes Secrets may be set: remove it";
            return Some(invalid(format!("{name} in {field} is reserved: {text}")));
        }
        (!is_qualified_name(name)).then(|| {
            invalid(format!("a name in {field} is none that Kubernetes takes: correct it"))
        })
    };
    let label_value = labels.iter().find(|(_, value)| !is_label_value(value)).map(|(name, _)| {
        invalid(format!("the value of the label {name} in spec.target.template is none that Kubernetes takes: correct it"))
    });
    let size = annotations.values().map(String::len).sum::<usize>() > MAX_ANNOTATIONS_BYTES;
    let size = size.then(|| {
        invalid("the annotations of spec.target.template are too long: shorten them".to_owned())
    });
    let mut found = labels.keys().filter_map(|name| named("labels", name));
    let mut more = annotations.keys().filter_map(|name| named("annotations", name));
    found.next().or_else(|| more.next()).or(label_value).or(size)
}

/// Whether a label or annotation is of a domain that no template may touch, or of its subdomains.
fn is_reserved(name: &str) -> bool {
    let Some((prefix, _)) = name.split_once('/') else { return false };
    let prefix = prefix.to_ascii_lowercase();
    RESERVED_DOMAINS.iter().any(|domain| {
        prefix.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn is_secret_key(key: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let path = key == "." || key.starts_with("..");
    (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(known) && !path
}

/// An optional DNS name and a slash, and a name.
fn is_qualified_name(name: &str) -> bool {
    let (prefix, name) = name.split_once('/').map_or((None, name), |(p, n)| (Some(p), n));
    let label = |label: &str| {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let domain = |prefix: &str| prefix.len() <= MAX_KEY && prefix.split('.').all(label);
    prefix.is_none_or(domain) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(value: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let end = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    value.len() <= MAX_NAME && value.bytes().all(known) && end(bytes.first()) && end(bytes.last())
}
