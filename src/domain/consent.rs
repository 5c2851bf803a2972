//! Which hosts a Secret may be sent to (design D2): the endpoint as it is written, the
//! grammar of a host, and the consent of the Secret's owner.
//!
//! **Invariant:** hosts are compared as the URL parser reads them, and both sides go through the
//! same grammar, so two spellings of one host can neither pass nor fail by accident. An annotation
//! that can't be read completely consents to nothing.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use url::{Host, Url};

use crate::domain::crd::ALLOWED_TOKEN_HOSTS;

/// The port that a host without one stands for, in an annotation.
const HTTPS_PORT: u16 = 443;
/// The most characters of a malformed entry that are shown.
const SHOWN_CHARS: usize = 100;
/// The longest annotation value that is written out in full in a message.
const MAX_LINE_BYTES: usize = 2048;

/// A host and port that a Secret may be sent to, in the one spelling that is compared and shown:
/// `host` where the port is 443, else `host:port`, `[v6]:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHost {
    name: Name,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Name {
    /// Lower case, A-labels.
    Domain(String),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// Where a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// The URL as the parser reads it, its query included.
    pub url: Url,
    /// The host that needs consent, and by which requests are counted.
    pub host: TokenHost,
}

/// Why a URL can't be used. Nothing of the URL is repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// No URL, or one with white space, control characters or backslashes.
    Unparsable,
    /// `http://` without the operator's flag.
    Insecure,
    /// `user:password@`.
    UserInfo,
    /// `idp.example.com.`.
    TrailingDot,
    /// `#...`.
    Fragment,
    /// A host that no annotation can name, such as `*.example.com`.
    Host,
}

impl UrlFault {
    /// What is wrong with the URL of `field`, and what to do.
    pub fn message(self, field: &str) -> String {
        match self {
            Self::Unparsable => format!(
                "{field} is not a usable URL: write it as https://idp.example.com/oauth2/token, \
                 without spaces or backslashes"
            ),
            Self::Insecure => format!(
                "{field} begins with http://, which would send the client secret unencrypted: use \
                 https://, or let the operator's administrator set --allow-insecure-endpoints"
            ),
            Self::UserInfo => format!(
                "{field} has a user name or a password in it: remove everything up to the @ and keep \
                 the client's values in the Secret of spec.credentialsSecretRef"
            ),
            Self::TrailingDot => format!("the host of {field} ends with a dot: remove the dot"),
            Self::Fragment => format!(
                "{field} has a fragment (RFC 6749 section 3.2): remove the # and what follows"
            ),
            Self::Host => format!(
                "the host of {field} is no host name: use letters, digits, hyphens and dots, \
                 without a wildcard, and a port from 1 to 65535"
            ),
        }
    }
}

/// What the settings say about consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentPolicy {
    /// Whether a Secret without the annotation may not be sent (`--endpoint-consent`).
    pub required: bool,
    /// The only hosts that Secrets are sent to at all (`--allowed-token-hosts`); `None` is any.
    pub cluster_wide: Option<Vec<TokenHost>>,
}

/// Whether a Secret may be sent to a host. A `line` is the annotation to write:
/// `oauthcc.dev/allowed-token-hosts: "idp.example.com"`, what is there already included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// It may.
    Given,
    /// The annotation is absent, or does not list the host.
    Missing {
        /// The line to add.
        line: String,
    },
    /// An entry of the annotation is outside the grammar, so none of it counts.
    Malformed {
        /// The entry, without control characters, cut to 100 characters.
        entry: String,
        /// The line to put in its place.
        line: String,
    },
    /// The operator's own list lacks the host; its administrator alone can change that.
    NotListedByCluster,
}

/// Reads the URL of a token endpoint or of an issuer. `http` without a port is port 80.
///
/// # Errors
/// What the schema can't refuse, and the same again for what it can.
pub fn token_endpoint(written: &str, allow_insecure: bool) -> Result<TokenEndpoint, UrlFault> {
    // The parser drops tabs and line ends, takes a backslash for a slash and forgets an empty
    // user-info, so what a person would misread is refused before it is parsed.
    let odd = |c: char| c == '\\' || c.is_whitespace() || c.is_control();
    let secure = written.strip_prefix("https://");
    let rest = secure.or_else(|| written.strip_prefix("http://")).ok_or(UrlFault::Unparsable)?;
    if written.contains(odd) || rest.starts_with('/') {
        return Err(UrlFault::Unparsable);
    }
    if secure.is_none() && !allow_insecure {
        return Err(UrlFault::Insecure);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(UrlFault::UserInfo);
    }
    let url = Url::parse(written).map_err(|_| UrlFault::Unparsable)?;
    if url.fragment().is_some() {
        return Err(UrlFault::Fragment);
    }
    let name = authority.rsplit_once(':').map_or(authority, |(name, _port)| name);
    if name.ends_with('.') || url.host_str().is_some_and(|host| host.ends_with('.')) {
        return Err(UrlFault::TrailingDot);
    }
    let host = TokenHost::of(&url).ok_or(UrlFault::Host)?;
    Ok(TokenEndpoint { url, host })
}

/// Whether the operator's own list lets any request go to `host`, with whatever it would hold.
pub fn listed_by_cluster(policy: &ConsentPolicy, host: &TokenHost) -> bool {
    policy.cluster_wide.as_ref().is_none_or(|listed| listed.contains(host))
}

/// Judges the annotation of a Secret for `host`. The operator's own list is asked first, since the
/// Secret's owner could not help there.
pub fn consent(policy: &ConsentPolicy, annotation: Option<&str>, host: &TokenHost) -> Consent {
    if !listed_by_cluster(policy, host) {
        return Consent::NotListedByCluster;
    }
    let Some(annotation) = annotation else {
        return if policy.required {
            Consent::Missing { line: line(&[], host) }
        } else {
            Consent::Given
        };
    };
    let mut listed = Vec::new();
    let mut malformed = None;
    for entry in annotation.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match TokenHost::parse(entry) {
            Some(entry) => listed.push(entry),
            None => malformed = malformed.or(Some(entry)),
        }
    }
    match malformed {
        Some(entry) => Consent::Malformed { entry: shown(entry), line: line(&listed, host) },
        None if listed.contains(host) => Consent::Given,
        None => Consent::Missing { line: line(&listed, host) },
    }
}

/// The annotation line that lists `host` after what is listed already.
fn line(listed: &[TokenHost], host: &TokenHost) -> String {
    let mut hosts: Vec<String> = Vec::new();
    for host in listed.iter().chain([host]).map(ToString::to_string) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    let mut value = hosts.join(",");
    if value.len() > MAX_LINE_BYTES {
        // A condition's message is bounded; whoever wrote that many knows what to keep.
        value = format!("...,{host}");
    }
    format!("{ALLOWED_TOKEN_HOSTS}: \"{value}\"")
}

/// An entry as it may stand in a message.
fn shown(entry: &str) -> String {
    let plain = |c: char| {
        if c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric() { c } else { '?' }
    };
    entry.chars().take(SHOWN_CHARS).map(plain).collect()
}

impl TokenHost {
    /// Reads one entry of an annotation or of `--allowed-token-hosts`: lower case, A-label, no
    /// trailing dot, no user-info, no wildcard, no path; a port from 1 to 65535 without zeros before.
    pub fn parse(entry: &str) -> Option<Self> {
        let (name, port) = match entry.rsplit_once(':') {
            // The colons of `[v6]` are inside the brackets.
            Some((name, port)) if !port.ends_with(']') => (name, Self::parse_port(port)?),
            Some(_) | None => (entry, HTTPS_PORT),
        };
        let name = if let Some(v6) = name.strip_prefix('[').and_then(|v6| v6.strip_suffix(']')) {
            let lower = !v6.bytes().any(|byte| byte.is_ascii_uppercase());
            Name::V6(v6.parse().ok().filter(|_| lower)?)
        } else {
            Name::parse(name)?
        };
        Some(Self { name, port })
    }

    /// The host of a parsed URL; `None` where no entry can name it.
    fn of(url: &Url) -> Option<Self> {
        let name = match url.host()? {
            Host::Domain(domain) => Name::parse(domain)?,
            Host::Ipv4(address) => Name::V4(address),
            Host::Ipv6(address) => Name::V6(address),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0)?;
        Some(Self { name, port })
    }

    fn parse_port(port: &str) -> Option<u16> {
        let canonical = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
        port.parse().ok().filter(|_| canonical)
    }
}

impl Name {
    /// A name or an IPv4 address exactly as the URL parser would write it.
    fn parse(written: &str) -> Option<Self> {
        match Host::parse(written).ok()? {
            Host::Domain(domain) => {
                (domain == written && is_domain(&domain)).then_some(Self::Domain(domain))
            }
            Host::Ipv4(address) => (address.to_string() == written).then_some(Self::V4(address)),
            Host::Ipv6(_) => None,
        }
    }
}

/// Labels of letters, digits, hyphens and underscores. The URL parser lets more through, `*` and
/// `,` among it.
fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

impl fmt::Display for TokenHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Domain(domain) => f.write_str(domain)?,
            Name::V4(address) => write!(f, "{address}")?,
            Name::V6(address) => write!(f, "[{address}]")?,
        }
        if self.port == HTTPS_PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests;
