//! Real components for the integration tests and the demo: a Kubernetes control plane, an OAuth
//! authorization server, a Keycloak, a Prometheus, a node with pods, the operator as a process and
//! as it is installed, Helm and kstatus, and small servers that misbehave.
//!
//! In: programs built from Go modules, an npm package, a Maven artifact, a Debian package, the
//! operator's binary. Out: handles whose `Drop` ends the processes and removes their files; on Linux
//! the processes also die with this one, however it ends.
//!
//! **Invariant:** nothing here knows the operator's crate, listens beyond loopback, or keeps state
//! outside a temporary directory (the caches of the builds and a node's control groups excepted).

pub mod audit;
pub mod authorization_server;
pub mod certificates;
mod client_kubeconfig;
mod control;
pub mod control_plane;
pub mod faults;
pub mod helm;
mod http;
pub mod installation;
mod introspection;
pub mod keycloak;
pub mod keys;
pub mod kstatus;
pub mod node;
pub mod operator;
pub mod ports;
mod process;
pub mod prometheus;
mod script;
mod tls;
pub mod token_verifier;
pub mod wait;
mod work_directory;

/// Installs the process-wide TLS provider that `reqwest` and `kube` need; calling it again is free.
pub fn init() {
    // An error says that a provider is installed already, which is all that is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
