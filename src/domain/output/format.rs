//! The forms of a token, byte for byte. In: one entry of `additionalOutputFormats` and the token. Out:
//! the keys that it writes.
//!
//! **Invariant:** what stands around the token is from the spec alone, and a token that could end its
//! line early, or be read as more than one word, is refused rather than quoted: consumers quote in
//! different ways.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Fault, invalid};
use crate::domain::crd::{
    DEFAULT_USERNAME, DockerConfigJson, FormatType, Netrc, OutputFormat, PASSWORD_KEY, USERNAME_KEY,
};
use crate::domain::redacted::Redacted;
use crate::domain::secret::ManagedSecret;

/// The members of an object in the form `JSON`, and the values of a template.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Values<'a> {
    token: &'a str,
    token_type: &'a str,
    issued_at: String,
    expires_at: String,
    expires_at_epoch: i64,
    revision: i64,
}

impl<'a> Values<'a> {
    pub(super) fn of(secret: &'a ManagedSecret) -> Self {
        Self {
            token: secret.token.expose(),
            token_type: &secret.token_type,
            issued_at: secret.record.issued_at.to_string(),
            expires_at: secret.record.expires_at.to_string(),
            expires_at_epoch: secret.record.expires_at.as_second(),
            revision: secret.record.revision,
        }
    }
}

/// Writes one form.
pub(super) fn write(
    format: &OutputFormat,
    secret: &ManagedSecret,
    data: &mut BTreeMap<String, Redacted<String>>,
) -> Result<(), Fault> {
    let token = secret.token.expose().as_str();
    let text = match format.format {
        FormatType::Raw => token.to_owned(),
        FormatType::AuthorizationHeader => format!("Authorization: {} {token}", secret.token_type),
        FormatType::BasicAuth => {
            let settings = format.basic_auth.as_ref();
            let username = settings.and_then(|settings| settings.username.as_deref());
            let username = username.unwrap_or(DEFAULT_USERNAME).to_owned();
            data.insert(USERNAME_KEY.to_owned(), Redacted::new(username));
            data.insert(PASSWORD_KEY.to_owned(), secret.token.clone());
            return Ok(());
        }
        FormatType::Netrc => netrc(format, token)?,
        FormatType::DockerConfigJson => docker_config(format, token)?,
        FormatType::Json => {
            serde_json::to_string(&Values::of(secret)).map_err(|_| unwritable(format, "JSON"))?
        }
        FormatType::Env => env(format, token)?,
        FormatType::Response => {
            let Some(asked) = &format.response else {
                return Err(missing(format, "response.pointer"));
            };
            // A token from before it was asked for came without it: the next grant brings it.
            let Some(value) = secret.response_values.get(&asked.pointer) else { return Ok(()) };
            value.expose().clone()
        }
    };
    data.insert(format.key.clone(), Redacted::new(text));
    Ok(())
}

/// The words of a line are parted by white space; some readers know quotes, escapes and comments.
fn netrc(format: &OutputFormat, token: &str) -> Result<String, Fault> {
    let Some(Netrc { machine, login }) = &format.netrc else {
        return Err(missing(format, "netrc.machine"));
    };
    if token.contains(['"', '\'', '\\', '#']) {
        return Err(unwritable(format, "Netrc"));
    }
    let login = login.as_deref().unwrap_or(DEFAULT_USERNAME);
    Ok(format!("machine {machine} login {login} password {token}"))
}

/// Read by shells, by Docker and by systemd: none of these characters means anything to one of them.
fn env(format: &OutputFormat, token: &str) -> Result<String, Fault> {
    let Some(env) = &format.env else { return Err(missing(format, "env.name")) };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=:@%,".contains(&byte);
    if !token.bytes().all(plain) {
        return Err(unwritable(format, "Env"));
    }
    Ok(format!("{}={token}\n", env.name))
}

#[derive(Serialize)]
struct DockerConfig<'a> {
    auths: BTreeMap<&'a str, DockerAuth<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct DockerAuth<'a> {
    username: &'a str,
    password: &'a str,
    auth: &'a str,
}

fn docker_config(format: &OutputFormat, token: &str) -> Result<String, Fault> {
    let Some(DockerConfigJson { registries, username }) = &format.docker_config_json else {
        return Err(missing(format, "dockerConfigJSON.registries"));
    };
    let username = username.as_deref().unwrap_or(DEFAULT_USERNAME);
    let pair = Zeroizing::new(format!("{username}:{token}"));
    let auth = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    let one = DockerAuth { username, password: token, auth: &auth };
    let auths = registries.iter().map(|registry| (registry.as_str(), one)).collect();
    serde_json::to_string(&DockerConfig { auths })
        .map_err(|_| unwritable(format, "DockerConfigJSON"))
}

/// That a member is missing without which there is nothing to write.
pub(super) fn missing(format: &OutputFormat, member: &str) -> Fault {
    let key = &format.key;
    invalid(format!("set {member} in the entry {key} of spec.target.additionalOutputFormats"))
}

fn unwritable(format: &OutputFormat, kind: &str) -> Fault {
    let key = &format.key;
    invalid(format!(
        "the token has characters that type {kind} of the entry {key} of \
         spec.target.additionalOutputFormats can't hold: use type Raw"
    ))
}
