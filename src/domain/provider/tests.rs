//! The catalogue as data, what it makes of a request, and what it answers to a wrong name or value.
//!
//! **Invariant:** a check that is made for one row is made for all of them, and names the rows that fail.

mod data;
mod names;
mod requests;
mod values;

use std::collections::BTreeMap;

use super::*;
use crate::domain::crd::{CredentialsSecretRef, Provider};
use crate::domain::reason::Reason;

/// A spec that names a provider, and nothing else.
fn spec(name: &str, parameters: &[(&str, &str)]) -> OAuthClientCredentialSpec {
    let owned = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    OAuthClientCredentialSpec {
        provider: Some(Provider { name: name.to_owned(), parameters: owned.collect() }),
        credentials_secret_ref: Some(CredentialsSecretRef {
            name: "client".to_owned(),
            ..CredentialsSecretRef::default()
        }),
        ..OAuthClientCredentialSpec::default()
    }
}

/// Why a spec is refused.
fn refused(spec: &OAuthClientCredentialSpec) -> String {
    let fault = defaults(spec).expect_err("a refusal");
    assert_eq!(fault.reason, Reason::ProviderUnknown);
    assert!(fault.message.chars().all(|c| !c.is_control()), "{}", fault.message);
    fault.message
}

/// Fails where a check found anything.
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
