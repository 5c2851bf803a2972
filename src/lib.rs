//! The rooms of the operator, in reading order; `ARCHITECTURE.md` is the map.
//!
//! **Invariant:** no code here but `mod`.

pub mod reconcile;

pub mod domain;

pub mod cluster;
pub mod endpoint;
pub mod governor;

pub mod serve;
pub mod telemetry;

pub mod cli;
pub mod settings;
