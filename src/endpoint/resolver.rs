//! Resolves names and lets only permitted addresses through.
//!
//! **Invariant:** the address that is judged is the address that is dialled: there is no second
//! look-up between, so a name that changes its answer (DNS rebinding) gains nothing.

use std::{io, net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::domain::address::AddressPolicy;

/// The resolver of the system behind an [`AddressPolicy`].
#[derive(Debug)]
pub(super) struct GuardedResolver(Arc<AddressPolicy>);

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

impl GuardedResolver {
    pub(super) fn new(policy: Arc<AddressPolicy>) -> Self {
        Self(policy)
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.0);
        Box::pin(async move {
            // The port is replaced by the one of the URL.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0))
                .await
                .map_err(|source| ResolveError::NoAnswer { source: Some(source) })?
                .collect();
            Ok(Box::new(permitted(&policy, found)?.into_iter()) as Addrs)
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
