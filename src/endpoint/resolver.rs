//! Resolves names and lets only permitted addresses through.
//!
//! **Invariant:** the address that is judged is the address that is dialled: there is no second
//! look-up between, so a name that changes its answer (DNS rebinding) gains nothing.

use std::{io, net::SocketAddr, sync::Arc};

use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::domain::address::AddressPolicy;

/// Gives the addresses of a name.
pub(super) type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// A resolver behind an [`AddressPolicy`].
pub(super) struct GuardedResolver {
    policy: Arc<AddressPolicy>,
    lookup: Lookup,
    /// The host of the operator's own proxy, which its administrator chose: it may lie anywhere. No
    /// request goes to that name by itself (`Connection::permitted`).
    proxy: Option<String>,
}

/// Why a name leads nowhere. Holds no name: it may be long, and the message has the host already.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    /// Every address of the name is refused.
    #[error("every address of the name is refused")]
    Refused,
    /// The name has no address, or no name server answered.
    #[error("failed to resolve the name")]
    NoAnswer {
        /// What the system says; `None` for an empty answer.
        source: Option<io::Error>,
    },
}

/// The resolver of the system.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            // The port is replaced by the one of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.collect())
        })
    })
}

impl GuardedResolver {
    pub(super) fn new(policy: &AddressPolicy, lookup: &Lookup, proxy: Option<&str>) -> Self {
        Self {
            policy: Arc::new(policy.clone()),
            lookup: Arc::clone(lookup),
            proxy: proxy.map(str::to_owned),
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.policy);
        let found = (self.lookup)(name.as_str().to_owned());
        let is_proxy = self.proxy.as_deref() == Some(name.as_str());
        Box::pin(async move {
            let found =
                found.await.map_err(|source| ResolveError::NoAnswer { source: Some(source) })?;
            let dialled = if is_proxy { found } else { permitted(&policy, found)? };
            Ok(Box::new(dialled.into_iter()) as Addrs)
        })
    }
}

/// A name with good and bad addresses is reached by the good ones.
fn permitted(
    policy: &AddressPolicy,
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, ResolveError> {
    if found.is_empty() {
        return Err(ResolveError::NoAnswer { source: None });
    }
    let permitted: Vec<_> =
        found.into_iter().filter(|address| policy.permits(address.ip())).collect();
    if permitted.is_empty() { Err(ResolveError::Refused) } else { Ok(permitted) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_reached_by_its_permitted_addresses_only() {
        fn check(found: &[&str], expected: Result<&[&str], &str>) {
            let parse = |list: &[&str]| -> Vec<SocketAddr> {
                list.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 0)).collect()
            };
            let result = permitted(&AddressPolicy::default(), parse(found));
            assert_eq!(
                result.map_err(|error| error.to_string()),
                expected.map(parse).map_err(str::to_owned),
                "{found:?}"
            );
        }
        check(&["10.0.0.5", "127.0.0.1", "fd12::1"], Ok(&["10.0.0.5", "fd12::1"]));
        check(&["127.0.0.1", "::1"], Err("every address of the name is refused"));
        check(&["::ffff:169.254.169.254"], Err("every address of the name is refused"));
        check(&[], Err("failed to resolve the name"));
    }
}
