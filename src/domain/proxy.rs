//! The proxy that token requests go through (`--proxy`, `--no-proxy`). In: what is written. Out: where
//! the proxy is, who it takes the operator for, and who is reached without it.
//!
//! **Invariant:** user name and password live in [`Redacted`] alone, so neither `Debug` output nor a
//! message can hold them; and what can't be read exactly is no proxy, since a proxy that is quietly
//! left out would be a way around it.

use std::{fmt, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::domain::{consent::TokenHost, redacted::Redacted};

/// A proxy, and who is reached without it.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where it is: scheme, host and port.
    pub url: Url,
    /// The value of `Proxy-Authorization` (RFC 9110 §11.7.2), where the URL has user-info.
    pub authorization: Option<Redacted<String>>,
    /// Who is reached without it.
    pub bypass: Vec<Bypass>,
}

/// Who is reached without the proxy: a host with everything below it, an address or a network. In
/// the form that the HTTP client reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bypass(String);

impl Proxy {
    /// Reads `http://[user:password@]host[:port]`. A proxy that is spoken to over TLS is refused: the HTTP
    /// client would show it the client certificate of a credential, and trust that credential's CA
    /// bundle for it.
    pub fn parse(written: &str) -> Option<Self> {
        let odd = |c: char| c == '\\' || c.is_whitespace() || c.is_control();
        let rest = written.strip_prefix("http://")?;
        if written.contains(odd) || rest.starts_with('/') {
            return None;
        }
        let mut url = Url::parse(written).ok()?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let known_port = url.port() != Some(0);
        if !bare || !known_port || !is_host(&url) {
            return None;
        }
        let named = !url.username().is_empty() || url.password().is_some();
        let authorization = named.then(|| basic(&url));
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        Some(Self { url, authorization, bypass: Vec::new() })
    }

    /// The name of its host; `None` where it is an address.
    pub fn host_name(&self) -> Option<&str> {
        self.url.host().and_then(|host| match host {
            Host::Domain(name) => Some(name),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        })
    }

    /// Whom it does not serve, as one list.
    pub fn bypass_list(&self) -> String {
        let entries: Vec<&str> = self.bypass.iter().map(|entry| entry.0.as_str()).collect();
        entries.join(",")
    }
}

impl Bypass {
    /// Reads one entry: `example.com` or `.example.com` (both mean the host and every host below it),
    /// an address or a network. No wildcard, no port: neither could be told from a host that is never
    /// met.
    pub fn parse(written: &str) -> Option<Self> {
        let address = written.parse::<IpNet>().is_ok() || written.parse::<IpAddr>().is_ok();
        let name = written.strip_prefix('.').unwrap_or(written);
        let is_name = !name.contains(':')
            && name.parse::<IpAddr>().is_err()
            && TokenHost::parse(name).is_some();
        (address || is_name).then(|| Self(written.to_owned()))
    }
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => TokenHost::parse(name).is_some(),
        Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        None => false,
    }
}

/// Basic (RFC 7617), of what the percent-encoding stands for.
fn basic(url: &Url) -> Redacted<String> {
    let mut pair = Zeroizing::new(Vec::new());
    pair.extend(percent_decode_str(url.username()));
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let mut header = String::from("Basic ");
    STANDARD.encode_string(&*pair, &mut header);
    Redacted::new(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_host_that_speaks_http() {
        for (written, url) in [
            ("http://proxy.example.com:3128", "http://proxy.example.com:3128/"),
            ("http://proxy.example.com:3128/", "http://proxy.example.com:3128/"),
            ("http://10.0.0.7:8080", "http://10.0.0.7:8080/"),
            ("http://[fd00::7]:8080", "http://[fd00::7]:8080/"),
            ("http://localhost:3128", "http://localhost:3128/"),
        ] {
            let proxy = Proxy::parse(written).unwrap();
            assert_eq!(proxy.url.as_str(), url);
            assert!(proxy.authorization.is_none(), "{written}");
        }
        for written in [
            "",
            "proxy.example.com:3128",
            "https://proxy.example.com",
            "socks5://proxy.example.com:1080",
            "HTTP://proxy.example.com",
            "http://",
            "http:///proxy",
            "http://proxy.example.com/path",
            "http://proxy.example.com?a=b",
            "http://proxy.example.com#a",
            "http://proxy.example.com:0",
            "http://proxy.example.com:99999",
            "http://pro xy.example.com",
            "http://proxy.example.com\\a",
            "http://*.example.com",
            "http://proxy.example.com.",
        ] {
            assert!(Proxy::parse(written).is_none(), "{written}");
        }
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let proxy = Proxy::parse("http://me:s3cr%40t@proxy.example.com:3128").unwrap();
        assert_eq!(proxy.url.as_str(), "http://proxy.example.com:3128/");
        let authorization = proxy.authorization.as_ref().unwrap().expose();
        assert_eq!(authorization, "Basic bWU6czNjckB0");
        let printed = format!("{proxy:?}");
        assert!(!printed.contains("s3cr") && !printed.contains("bWU6"), "{printed}");
    }

    #[test]
    fn who_is_reached_without_a_proxy_is_a_name_an_address_or_a_network() {
        for entry in ["example.com", ".svc.cluster.local", "10.0.0.0/8", "10.0.0.7", "fd00::/8"] {
            assert!(Bypass::parse(entry).is_some(), "{entry}");
        }
        for entry in [
            "",
            ".",
            "*",
            "*.example.com",
            "idp.example.com:8443",
            "https://idp.example.com",
            "IDP.example.com",
            "a b",
            "10.0.0.0/33",
            "[fd00::7]",
            "..example.com",
            ".10.0.0.7",
        ] {
            assert!(Bypass::parse(entry).is_none(), "{entry}");
        }
    }
}
