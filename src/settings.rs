//! What `oauthcc run` is told. In: flags and their environment variables. Out: one validated
//! [`Settings`] of domain types, or a message that names the flag, the value and what is accepted.
//!
//! **Invariant:** no other room reads a flag or an environment variable, and no value is guessed:
//! what can't be read exactly stops the process.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum, error::ErrorKind};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::domain::address::AddressPolicy;
use crate::domain::consent::{ConsentPolicy, TokenHost};
use crate::domain::proxy::{Bypass, Proxy};
use crate::domain::redacted::Redacted;
use crate::domain::schedule::SchedulePolicy;

/// The flags of `oauthcc run` as they are written; [`Settings::from_arguments`] makes sense of them.
#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// Whether a client Secret must list the hosts it may be sent to
    #[arg(long, env = "OAUTHCC_ENDPOINT_CONSENT", value_enum, default_value = "required")]
    endpoint_consent: EndpointConsent,

    /// Token endpoints that may be asked at all: host (port 443) or host:port, comma-separated [default: any]
    #[arg(long, env = "OAUTHCC_ALLOWED_TOKEN_HOSTS", value_name = "HOST,...", value_delimiter = ',', value_parser = token_host)]
    allowed_token_hosts: Option<Vec<TokenHost>>,

    /// Also accept token endpoints with http://, where the client secret travels readable
    #[arg(long, env = "OAUTHCC_ALLOW_INSECURE_ENDPOINTS", action = ArgAction::Set, default_value = "false", default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "true|false")]
    allow_insecure_endpoints: bool,

    /// Addresses to reach although they are refused by default (loopback, link-local, metadata), comma-separated [default: none]
    #[arg(long, env = "OAUTHCC_ALLOW_ENDPOINT_ADDRESSES", value_name = "CIDR,...", value_delimiter = ',', value_parser = network)]
    allow_endpoint_addresses: Vec<ipnet::IpNet>,

    /// PEM file with more CA certificates for every token endpoint [default: the system's roots alone]
    #[arg(long, env = "OAUTHCC_TRUST_BUNDLE", value_name = "FILE")]
    trust_bundle: Option<PathBuf>,

    /// Proxy for every token endpoint, http://host:port; those of the environment are ignored [default: none]
    // The help would print the password out of the environment.
    #[arg(long, env = "OAUTHCC_PROXY", value_name = "URL", hide_env_values = true, value_parser = redacted)]
    proxy: Option<Redacted<String>>,

    /// Who is reached without the proxy: hosts with all below them, addresses and networks, comma-separated [default: none]
    #[arg(long, env = "OAUTHCC_NO_PROXY", value_name = "HOST,...", value_delimiter = ',', value_parser = bypass)]
    no_proxy: Vec<Bypass>,

    /// A token is renewed at the latest this long before it expires, 0s to 24h
    #[arg(long, env = "OAUTHCC_PROPAGATION_FLOOR", value_name = "DURATION", default_value = "120s", value_parser = propagation_floor)]
    propagation_floor: Duration,

    /// Each credential asks at most once per this span after a burst of 3, 1s to 1h
    #[arg(long, env = "OAUTHCC_MINIMUM_REQUEST_GAP", value_name = "DURATION", default_value = "10s", value_parser = minimum_request_gap)]
    minimum_request_gap: Duration,

    /// Share of the lifetime by which a renewal may come earlier, 0 to 50
    #[arg(long, env = "OAUTHCC_JITTER_PERCENTAGE", value_name = "PERCENT", default_value = "5", value_parser = percentage)]
    jitter_percentage: u8,

    /// Requests in flight per token endpoint host, 1 to 1000
    #[arg(long, env = "OAUTHCC_ENDPOINT_CONCURRENCY", value_name = "NUMBER", default_value = "8", value_parser = concurrency)]
    endpoint_concurrency: usize,

    /// Calls in flight to the Kubernetes API server, 1 to 1000
    #[arg(long, env = "OAUTHCC_API_CONCURRENCY", value_name = "NUMBER", default_value = "24", value_parser = concurrency)]
    api_concurrency: usize,

    /// Longest wait for one call to the Kubernetes API server, 1s to 60s
    #[arg(long, env = "OAUTHCC_API_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = api_timeout)]
    api_timeout: Duration,

    /// Whether metrics carry the names of credentials
    #[arg(long, env = "OAUTHCC_PER_CREDENTIAL_METRICS", action = ArgAction::Set, default_value = "true", default_missing_value = "true", num_args = 0..=1, require_equals = true, value_name = "true|false")]
    per_credential_metrics: bool,

    /// Where /metrics, /livez and /readyz are served; a port alone is every address
    #[arg(long, env = "OAUTHCC_BIND_ADDRESS", value_name = "[IP]:PORT", default_value = ":8080", value_parser = bind_address)]
    bind_address: BindAddress,

    /// Shape of the log on standard error; auto is text on a terminal and JSON elsewhere
    #[arg(long, env = "OAUTHCC_LOG_FORMAT", value_enum, default_value = "auto")]
    log_format: LogFormat,

    /// What is logged: off, error, warn, info, debug or trace, also target=level, comma-separated
    #[arg(long, env = "OAUTHCC_LOG_LEVEL", value_name = "LEVEL,...", default_value = "info", value_parser = log_level)]
    log_level: String,
}

/// Whether a client Secret must consent to the hosts that it is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EndpointConsent {
    /// Without `oauthcc.dev/allowed-token-hosts` nothing is sent.
    Required,
    /// A Secret without the annotation may be sent anywhere; one with it, only to its hosts.
    Optional,
}

/// The shape of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    /// Whether lines are JSON, given whether the log goes to a terminal.
    pub const fn is_json(self, terminal: bool) -> bool {
        match self {
            Self::Auto => !terminal,
            Self::Json => true,
            Self::Text => false,
        }
    }
}

/// The addresses to listen at: the first that can be bound is used.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BindAddress(Vec<SocketAddr>);

/// Everything that `oauthcc run` needs to know, valid as a whole.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which hosts a Secret may be sent to (`--endpoint-consent`, `--allowed-token-hosts`).
    pub consent: ConsentPolicy,
    /// Whether `http://` is accepted (`--allow-insecure-endpoints`).
    pub allow_insecure_endpoints: bool,
    /// Which addresses may be dialled (`--allow-endpoint-addresses`).
    pub addresses: AddressPolicy,
    /// PEM with at least one usable CA certificate (`--trust-bundle`).
    pub trust_bundle: Option<Vec<u8>>,
    /// What requests go through, and who is reached without it (`--proxy`, `--no-proxy`).
    pub proxy: Option<Proxy>,
    /// The numbers of the schedule that can be set.
    pub schedule: SchedulePolicy,
    /// Requests in flight per token endpoint host, 1 to 1000.
    pub endpoint_concurrency: usize,
    /// Calls in flight to the API server, 1 to 1000.
    pub api_concurrency: usize,
    /// Limit of one call to the API server, 1 s to 60 s.
    pub api_timeout: Duration,
    /// Whether metrics carry names of credentials.
    pub per_credential_metrics: bool,
    /// Where to listen; the first address that can be bound is used.
    pub bind_addresses: Vec<SocketAddr>,
    /// The shape of the log.
    pub log_format: LogFormat,
    /// A level, or comma-separated `target=level`; well-formed.
    pub log_level: String,
}

impl Settings {
    /// Joins the flags and reads the trust bundle.
    ///
    /// # Errors
    ///
    /// A usage error (exit code 2) as clap words it, where the trust bundle can't be used.
    pub fn from_arguments(arguments: RunArguments) -> Result<Self, clap::Error> {
        let trust_bundle = arguments.trust_bundle.as_deref().map(trust_bundle).transpose()?;
        let proxy = proxy(arguments.proxy.as_ref(), arguments.no_proxy)?;
        Ok(Self {
            consent: ConsentPolicy {
                required: arguments.endpoint_consent == EndpointConsent::Required,
                cluster_wide: arguments.allowed_token_hosts,
            },
            allow_insecure_endpoints: arguments.allow_insecure_endpoints,
            addresses: AddressPolicy { allowed: arguments.allow_endpoint_addresses },
            trust_bundle,
            proxy,
            schedule: SchedulePolicy {
                propagation_floor: arguments.propagation_floor,
                minimum_request_gap: arguments.minimum_request_gap,
                jitter_percentage: arguments.jitter_percentage,
            },
            endpoint_concurrency: arguments.endpoint_concurrency,
            api_concurrency: arguments.api_concurrency,
            api_timeout: arguments.api_timeout,
            per_credential_metrics: arguments.per_credential_metrics,
            bind_addresses: arguments.bind_address.0,
            log_format: arguments.log_format,
            log_level: arguments.log_level,
        })
    }
}

fn token_host(text: &str) -> Result<TokenHost, String> {
    TokenHost::parse(text).ok_or_else(|| {
        "accepted: a host name or address in lower case, for port 443, or host:port, [v6]:port; \
         no scheme, path, wildcard or trailing dot; leave the flag out to allow any host"
            .to_owned()
    })
}

fn network(text: &str) -> Result<ipnet::IpNet, String> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(ipnet::IpNet::from));
    network.ok_or_else(|| {
        "accepted: an address or a network, for example 10.0.0.7 or 169.254.169.254/32".to_owned()
    })
}

/// Read later, by a message that can leave the password out: clap's would show the value.
#[expect(clippy::unnecessary_wraps, reason = "the signature that clap asks for")]
fn redacted(text: &str) -> Result<Redacted<String>, Infallible> {
    Ok(Redacted::new(text.to_owned()))
}

fn bypass(text: &str) -> Result<Bypass, String> {
    Bypass::parse(text).ok_or_else(|| {
        "accepted: a host name in lower case, which stands for every host below it too, an address or \
         a network, for example .svc.cluster.local or 10.0.0.0/8; no port, no wildcard"
            .to_owned()
    })
}

fn proxy(
    url: Option<&Redacted<String>>,
    bypass: Vec<Bypass>,
) -> Result<Option<Proxy>, clap::Error> {
    let Some(url) = url else {
        return match bypass.first() {
            None => Ok(None),
            Some(first) => Err(clap::Error::raw(
                ErrorKind::MissingRequiredArgument,
                format!(
                    "invalid value '{first}' for '--no-proxy <HOST,...>': there is no proxy; \
                     accepted: only together with --proxy\n"
                ),
            )),
        };
    };
    // Nothing of it is shown: what can't be read may hold a password anywhere.
    let proxy = Proxy::parse(url.expose()).ok_or_else(|| {
        let text = "invalid value for '--proxy <URL>': it is not the URL of a proxy; accepted: http://, \
                    a host and a port, for example http://proxy.example.com:3128, with user:password@ \
                    before the host where the proxy asks for it\n";
        clap::Error::raw(ErrorKind::ValueValidation, text)
    })?;
    Ok(Some(Proxy { bypass, ..proxy }))
}

fn propagation_floor(text: &str) -> Result<Duration, String> {
    duration(text, "0s to 24h", Duration::ZERO..=Duration::from_secs(24 * 3600))
}

fn minimum_request_gap(text: &str) -> Result<Duration, String> {
    duration(text, "1s to 1h", Duration::from_secs(1)..=Duration::from_secs(3600))
}

fn api_timeout(text: &str) -> Result<Duration, String> {
    duration(text, "1s to 60s", Duration::from_secs(1)..=Duration::from_secs(60))
}

/// The durations that the resource accepts too, within a range.
fn duration(
    text: &str,
    accepted: &str,
    range: std::ops::RangeInclusive<Duration>,
) -> Result<Duration, String> {
    let parsed = well_formed_duration(text).then(|| text.parse::<kube::core::Duration>().ok());
    let duration = parsed.flatten().map(Duration::from).filter(|duration| range.contains(duration));
    duration.ok_or_else(|| format!("accepted: {accepted}, for example 90s, 2m30s or 1500ms"))
}

/// GEP-2257, `^([0-9]{1,5}(h|m|s|ms)){1,4}$`: kube's parser alone takes an empty text as zero, and
/// panics at a number that is too large or negative.
fn well_formed_duration(text: &str) -> bool {
    let mut rest = text;
    let mut parts = 0;
    while !rest.is_empty() {
        let unit_and_more = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = rest.len() - unit_and_more.len();
        let unit = ["ms", "h", "m", "s"].into_iter().find(|unit| unit_and_more.starts_with(unit));
        let Some(more) = unit.and_then(|unit| unit_and_more.strip_prefix(unit)) else {
            return false;
        };
        parts += 1;
        if !(1..=5).contains(&digits) || parts > 4 {
            return false;
        }
        rest = more;
    }
    parts > 0
}

fn percentage(text: &str) -> Result<u8, String> {
    let number = text.parse().ok().filter(|number| *number <= 50);
    number.ok_or_else(|| "accepted: a whole number from 0 to 50".to_owned())
}

fn concurrency(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=1000).contains(number));
    number.ok_or_else(|| "accepted: a whole number from 1 to 1000".to_owned())
}

fn bind_address(text: &str) -> Result<BindAddress, String> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        // The first serves IPv4 as well where the machine has IPv6, the second where it has none.
        let every = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
        return Ok(BindAddress(every.map(|ip: IpAddr| SocketAddr::new(ip, port)).to_vec()));
    }
    let one = text.parse().map(|address| BindAddress(vec![address]));
    one.map_err(|_| {
        "accepted: a port (every address), or IP:port, for example :8080, 127.0.0.1:8080 or [::1]:8080"
            .to_owned()
    })
}

/// Spans and fields of tracing's own grammar are left out: a mistyped level would read as the name
/// of a target, and a filter by span could show what telemetry keeps out of the log.
fn log_level(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let well_formed = text.split(',').all(|part| match part.split_once('=') {
        None => LEVELS.contains(&part),
        Some((target, level)) => {
            let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            !target.is_empty() && target.chars().all(name) && LEVELS.contains(&level)
        }
    });
    well_formed.then(|| text.to_owned()).ok_or_else(|| {
        "accepted: off, error, warn, info, debug or trace, and target=level, \
         for example info,oauthcc_operator=debug"
            .to_owned()
    })
}

/// The bytes of the file, where it holds at least one certificate and all of them are usable.
fn trust_bundle(path: &Path) -> Result<Vec<u8>, clap::Error> {
    let refuse = |problem: &str| {
        let text = format!(
            "invalid value '{}' for '--trust-bundle <FILE>': {problem}; \
             accepted: a readable PEM file with at least one CERTIFICATE block\n",
            path.display()
        );
        clap::Error::raw(ErrorKind::ValueValidation, text)
    };
    let bytes = std::fs::read(path).map_err(|error| refuse(&error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|_| refuse("a PEM block can't be read"))?;
        roots.add(certificate).map_err(|_| refuse("a certificate can't be read"))?;
    }
    if roots.is_empty() {
        return Err(refuse("it holds no certificate"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
