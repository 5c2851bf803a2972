//! Free loopback ports below 32768, where no outgoing connection of another process lands.
//!
//! Out: a `Port` that no other process with this harness gets while it is held.
//! **Invariant:** nothing is written to disk for it, and a dead process holds no port.

use std::{
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
};

use anyhow::bail;

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A loopback port that is free and reserved among the users of this harness until dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: Reservation,
}

impl Port {
    /// Finds a free port and reserves it.
    pub fn reserve() -> anyhow::Result<Self> {
        let start = RandomState::new().hash_one("port") % u64::from(COUNT);
        let start = u16::try_from(start).unwrap_or_default();
        for offset in 0..COUNT {
            let number = FIRST + (start + offset) % COUNT;
            let Some(reservation) = Reservation::try_new(number) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _reservation: reservation });
            }
        }
        bail!("found no free port between {FIRST} and {}", FIRST + COUNT)
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:NUMBER`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

/// A name in Linux' abstract socket namespace: taken by one process at a time, gone with it.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Reservation(
    #[expect(dead_code, reason = "held for its lifetime")] std::os::unix::net::UnixListener,
);

#[cfg(target_os = "linux")]
impl Reservation {
    fn try_new(number: u16) -> Option<Self> {
        use std::os::{
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr, UnixListener},
        };
        let name = format!("oauthcc-harness-port-{number}");
        let address = SocketAddr::from_abstract_name(name).ok()?;
        UnixListener::bind_addr(&address).ok().map(Self)
    }
}

/// Elsewhere two processes may pick one port; starting is then tried again.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Reservation;

#[cfg(not(target_os = "linux"))]
impl Reservation {
    fn try_new(_number: u16) -> Option<Self> {
        Some(Self)
    }
}
