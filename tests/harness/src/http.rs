//! HTTP clients for the harness itself.
//!
//! **Invariant:** no proxy, no root certificate but the given one, and every request is bounded.

use std::time::Duration;

use anyhow::Context;

const BOUND: Duration = Duration::from_secs(15);
/// Node closes an idle connection after 5 s, and may do so just when it is used again.
const IDLE: Duration = Duration::from_secs(2);

/// A client for loopback without TLS.
pub(crate) fn plain_client() -> anyhow::Result<reqwest::Client> {
    build([])
}

/// A client that trusts one authority only.
pub(crate) fn client_trusting(authority_pem: &str) -> anyhow::Result<reqwest::Client> {
    let authority = reqwest::Certificate::from_pem(authority_pem.as_bytes())
        .context("failed to read the authority")?;
    build([authority])
}

fn build(
    authorities: impl IntoIterator<Item = reqwest::Certificate>,
) -> anyhow::Result<reqwest::Client> {
    crate::init();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only(authorities)
        .timeout(BOUND)
        .pool_idle_timeout(IDLE)
        .build()
        .context("failed to build an HTTP client")
}
