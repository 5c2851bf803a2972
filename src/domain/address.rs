//! Which addresses a token request may go to (design D7). In: the address that is about to be
//! dialled. Out: yes or no.
//!
//! **Invariant:** an address is judged as a number, never as text, and an IPv6 address that carries
//! an IPv4 address is judged by both. Private ranges are allowed: that is where a company's own
//! identity provider lives. A NAT64 prefix of the network's own can't be known, and is not judged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// What is reached although refused by default (`--allow-endpoint-addresses`).
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    /// The networks that are allowed, whatever they are.
    pub allowed: Vec<IpNet>,
}

/// IPv4 networks that are refused: address and prefix length.
const REFUSED_V4: [(Ipv4Addr, u8); 8] = [
    (Ipv4Addr::UNSPECIFIED, 8), // "this host" (RFC 1122); Linux takes 0.0.0.0 as loopback
    (Ipv4Addr::new(127, 0, 0, 0), 8), // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16), // link-local; metadata of AWS, GCP, Azure, and of pods
    (Ipv4Addr::new(100, 100, 100, 200), 32), // metadata of Alibaba Cloud
    (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's wire server
    (Ipv4Addr::new(192, 0, 0, 192), 32), // metadata of Oracle Cloud
    (Ipv4Addr::new(224, 0, 0, 0), 4), // multicast
    (Ipv4Addr::BROADCAST, 32),  // broadcast
];

/// IPv6 networks that are refused: address and prefix length.
const REFUSED_V6: [(Ipv6Addr, u8); 7] = [
    (Ipv6Addr::UNSPECIFIED, 128),
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10), // link-local
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),  // multicast
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32), // metadata and pod identity of AWS
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128), // metadata of GCP
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128), // metadata of Scaleway
];

impl AddressPolicy {
    /// Whether a connection to `address` may be opened.
    pub fn permits(&self, address: IpAddr) -> bool {
        if self.allowed.iter().any(|network| network.contains(&address)) {
            return true;
        }
        match address {
            IpAddr::V4(address) => !refused_v4(address),
            IpAddr::V6(address) => {
                let carried = embedded(address);
                !refused_v6(address)
                    && carried.into_iter().flatten().all(|v4| self.permits(IpAddr::V4(v4)))
            }
        }
    }

    /// Whether the host of `url` is not a refused IP literal. A name is judged when it is resolved;
    /// a literal never reaches the resolver, so it is judged here, before every send.
    pub fn permits_as_written(&self, url: &Url) -> bool {
        match url.host() {
            Some(Host::Ipv4(address)) => self.permits(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => self.permits(IpAddr::V6(address)),
            Some(Host::Domain(_)) => true,
            None => false,
        }
    }
}

fn refused_v4(address: Ipv4Addr) -> bool {
    let within = |(network, length): &(Ipv4Addr, u8)| {
        Ipv4Net::new(*network, *length).is_ok_and(|network| network.contains(&address))
    };
    REFUSED_V4.iter().any(within)
}

fn refused_v6(address: Ipv6Addr) -> bool {
    let within = |(network, length): &(Ipv6Addr, u8)| {
        Ipv6Net::new(*network, *length).is_ok_and(|network| network.contains(&address))
    };
    REFUSED_V6.iter().any(within)
}

/// The IPv4 addresses that an IPv6 address carries: at its end, in its prefix, inverted at its end.
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let segments = address.segments();
    let at_end = match segments {
        // v4-compatible (RFC 4291 §2.5.5.1), v4-mapped (§2.5.5.2), v4-translated (RFC 2765 §2.1).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low]
        // NAT64: the well-known prefix (RFC 6052 §2.1), and the one for local use (RFC 8215) in its
        // usual form of 96 bits.
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low]
        // ISATAP (RFC 5214 §6.1).
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(from_segments(high, low)),
        _ => None,
    };
    let in_prefix = match segments {
        // The server of Teredo (RFC 4380 §4), and 6to4 (RFC 3056 §2).
        [0x2001, 0, high, low, ..] | [0x2002, high, low, ..] => Some(from_segments(high, low)),
        _ => None,
    };
    let inverted = match segments {
        // The client of Teredo.
        [0x2001, 0, _, _, _, _, high, low] => Some(from_segments(!high, !low)),
        _ => None,
    };
    [at_end, in_prefix, inverted]
}

fn from_segments(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::too_many_lines, reason = "tables of cases")]

    use super::*;

    fn check(allowed: &[&str], cases: &[&str], permitted: bool) {
        let allowed = allowed.iter().map(|network| network.parse().unwrap()).collect();
        let policy = AddressPolicy { allowed };
        for case in cases {
            let url = Url::parse(&format!("https://{case}/token")).unwrap();
            assert_eq!(policy.permits_as_written(&url), permitted, "{case}");
        }
    }

    #[test]
    fn every_spelling_of_a_refused_address_is_refused() {
        check(
            &[],
            &[
                "127.0.0.1",
                "127.1",
                "127.0.1",
                "127.255.255.254",
                "0x7f.1",
                "0x7f000001",
                "017700000001",
                "2130706433",
                "0177.0.0.1",
                "%31%32%37.0.0.1",
                "①②⑦.0.0.1",
                "127.0.0.1.",
                "0",
                "0.0.0.0",
                "0.1.2.3",
                "169.254.169.254",
                "0xa9fea9fe",
                "2852039166",
                "169.254.170.23",
                "169.254.0.1",
                "100.100.100.200",
                "168.63.129.16",
                "192.0.0.192",
                "224.0.0.1",
                "239.255.255.250",
                "255.255.255.255",
                "[::]",
                "[::1]",
                "[0:0:0:0:0:0:0:1]",
                "[::127.0.0.1]",
                "[::ffff:127.0.0.1]",
                "[::ffff:7f00:1]",
                "[::ffff:a9fe:a9fe]",
                "[::FFFF:169.254.169.254]",
                "[::ffff:0:127.0.0.1]",
                "[64:ff9b::127.0.0.1]",
                "[64:ff9b::a9fe:a9fe]",
                "[64:ff9b:1::a9fe:a9fe]",
                "[2002:7f00:1::]",
                "[2002:a9fe:a9fe::1]",
                "[2001:0:7f00:1::]",
                "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
                "[2001:0:4136:e378:8000:63bf:5601:5601]",
                "[fe80::1]",
                "[febf::1]",
                "[fe80::a9fe:a9fe]",
                "[fe80::5efe:a00:1]",
                "[2001:db8::5efe:7f00:1]",
                "[2002:5db8:d822::5efe:7f00:1]",
                "[2001:db8::200:5efe:169.254.169.254]",
                "[ff02::1]",
                "[ff05::2]",
                "[fd00:ec2::254]",
                "[fd00:ec2::23]",
                "[fd20:ce::254]",
                "[fd00:42::42]",
                "[::ffff:0.0.0.0]",
                "[::ffff:100.100.100.200]",
                "[::ffff:224.0.0.1]",
            ],
            false,
        );
    }

    #[test]
    fn public_and_private_addresses_and_names_are_permitted() {
        check(
            &[],
            &[
                "93.184.216.34",
                "10.0.0.1",
                "172.16.0.1",
                "192.168.1.1",
                "100.64.0.1",
                "100.100.100.201",
                "126.255.255.255",
                "128.0.0.1",
                "169.253.0.1",
                "169.255.0.1",
                "168.63.129.17",
                "192.0.0.191",
                "223.255.255.255",
                "240.0.0.1",
                "1.0.0.0",
                "[2606:2800:220:1:248:1893:25c8:1946]",
                "[fd12:3456::1]",
                "[::ffff:10.0.0.1]",
                "[64:ff9b::5db8:d822]",
                "[2002:5db8:d822::1]",
                "[2001:db8::1]",
                "[2001:1::1]",
                "[fec0::1]",
                "[fd00:ec3::254]",
                "localhost",
                "idp.example.com",
                "127.0.0.1.nip.io",
            ],
            true,
        );
    }

    #[test]
    fn an_allowed_network_is_permitted_in_every_spelling_and_nothing_else_is() {
        let allowed = ["127.0.0.0/8", "::1/128"];
        check(&allowed, &["127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"], true);
        check(&allowed, &["169.254.169.254", "0.0.0.0", "[::]", "[fe80::1]"], false);
        check(&["169.254.169.254/32"], &["169.254.169.254", "[64:ff9b::a9fe:a9fe]"], true);
        check(&["169.254.169.254/32"], &["169.254.169.253", "127.0.0.1"], false);
    }
}
