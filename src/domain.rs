//! What the product knows, as total functions over data: no clock, no socket, no environment, no
//! randomness, no Kubernetes client. Everything it needs is handed in, `now` included.
//!
//! **Invariant:** this file is the fence. The two lints below refuse the types and functions that
//! `clippy.toml` lists, and `tests/house.rs` reads the imports of every file under `src/domain/`.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod address;
pub mod conclude;
pub mod consent;
pub mod contention;
pub mod crd;
pub mod decide;
pub mod fingerprint;
pub mod jwt;
pub mod notice;
pub mod oauth;
pub mod observation;
pub mod output;
pub mod plan;
pub mod provider;
pub mod proxy;
pub mod reason;
pub mod redacted;
pub mod reference;
pub mod refusal;
pub mod remember;
pub mod revocation;
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod status;

#[cfg(test)]
mod tests;
