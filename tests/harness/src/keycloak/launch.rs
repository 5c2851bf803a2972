//! How Keycloak is started.
//!
//! **Invariant:** everything listens on 127.0.0.1, everything written is in the directory given, and
//! nothing of the user's environment configures the server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::Value;

use super::{LoggedRequest, realm};
use crate::{
    certificates::ServerFiles,
    process::{Process, command},
    work_directory::WorkDirectory,
};

/// What `bin/kc.sh` passes, but for memory and compiler: a server that lives for a minute is up as
/// fast with the quick compiler and the simple collector, and takes 360 MiB, not 530.
const JAVA_OPTIONS: [&str; 15] = [
    "-Xms64m",
    "-Xmx512m",
    "-XX:MaxMetaspaceSize=256m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dfile.encoding=UTF-8",
    "-Duser.language=en",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=\
     io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Dpicocli.disable.closures=true",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
];

/// Only at debug does Keycloak tell why it refuses a client.
const LOG_LEVEL: &str =
    "info,org.keycloak.authentication:debug,org.keycloak.broker.kubernetes:debug";

/// Version of HTTP, status, method, path and user agent of each request, see [`requests`].
const ACCESS_LOG_PATTERN: &str = "%H %s %m %U %{i,User-Agent}";

/// What one server is started with.
pub(super) struct Launch<'a> {
    pub(super) installed: &'a Path,
    pub(super) port: u16,
    pub(super) tls: &'a ServerFiles,
    /// Signs the certificates of clients.
    pub(super) client_authority: PathBuf,
    /// Signed the certificate of the cluster.
    pub(super) cluster_authority: Option<PathBuf>,
    pub(super) realm: Value,
}

/// The server's own name for itself.
pub(super) fn url(port: u16) -> String {
    format!("https://localhost:{port}")
}

impl Launch<'_> {
    /// Starts the server, without waiting for it.
    pub(super) fn start(&self, directory: &WorkDirectory) -> anyhow::Result<Process> {
        let home = self.home(directory)?;
        // Not by bin/kc.sh: it stays between this process and the server, which then outlives it.
        let mut java = command(&java());
        java.args(JAVA_OPTIONS);
        java.arg(format!("-Dkc.home.dir={}", home.display()));
        java.arg(format!("-Djboss.server.config.dir={}", home.join("conf").display()));
        java.arg("-cp").arg(home.join("lib/quarkus-run.jar"));
        java.arg("io.quarkus.bootstrap.runner.QuarkusEntryPoint");
        java.args(["start", "--optimized", "--import-realm"]);
        // Without it nodes look for each other, and a port of their own is open.
        flag(&mut java, "cache", "local");
        flag(&mut java, "http-host", "127.0.0.1");
        flag(&mut java, "https-port", self.port);
        flag(&mut java, "hostname", url(self.port));
        flag(&mut java, "https-certificate-file", self.tls.certificate.display());
        flag(&mut java, "https-certificate-key-file", self.tls.key.display());
        flag(&mut java, "https-trust-store-file", self.client_authority.display());
        flag(&mut java, "log-level", LOG_LEVEL);
        // In `data/log` of the home, without a date in its name.
        flag(&mut java, "http-access-log-enabled", true);
        flag(&mut java, "http-access-log-pattern", ACCESS_LOG_PATTERN);
        flag(&mut java, "http-access-log-file-enabled", true);
        flag(&mut java, "http-access-log-file-rotate", false);
        if let Some(authority) = &self.cluster_authority {
            flag(&mut java, "truststore-paths", authority.display());
        }
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            // Settings of a Keycloak, and the proxies that it would ask for the cluster's keys.
            if name.starts_with("KC_") || name.to_lowercase().ends_with("_proxy") {
                java.env_remove(name.as_ref());
            }
        }
        Process::spawn("keycloak", java, &directory.file("keycloak.log"))
    }

    /// A home of this run around the program that all runs share: Keycloak writes into its home.
    fn home(&self, directory: &WorkDirectory) -> anyhow::Result<PathBuf> {
        let home = directory.file("home");
        let import = home.join("data/import");
        for made in [&import, &home.join("data/log"), &home.join("conf")] {
            std::fs::create_dir_all(made)
                .with_context(|| format!("failed to create {}", made.display()))?;
        }
        for shared in ["lib", "providers", "themes"] {
            std::os::unix::fs::symlink(self.installed.join(shared), home.join(shared))
                .with_context(|| format!("failed to link {shared}"))?;
        }
        let file = import.join(format!("{}-realm.json", realm::NAME));
        std::fs::write(&file, self.realm.to_string())
            .with_context(|| format!("failed to write {}", file.display()))?;
        Ok(home)
    }
}

/// The requests that a server has answered, the oldest first; the latest may not be written yet.
pub(super) fn requests(directory: &WorkDirectory) -> anyhow::Result<Vec<LoggedRequest>> {
    let file = directory.file("home/data/log/keycloak-http-access.log");
    let log = std::fs::read_to_string(&file)
        .with_context(|| format!("failed to read {}", file.display()))?;
    // What follows the last line end is half a line.
    let (whole, _) = log.rsplit_once('\n').unwrap_or_default();
    whole.lines().map(|line| logged(line).with_context(|| format!("no request: {line}"))).collect()
}

fn logged(line: &str) -> Option<LoggedRequest> {
    let mut parts = line.splitn(5, ' ');
    let protocol = parts.next()?.to_owned();
    let status = parts.next()?.parse().ok()?;
    let mut text = || parts.next().map(str::to_owned);
    Some(LoggedRequest { protocol, status, method: text()?, path: text()?, user_agent: text()? })
}

/// The Java that `tests/keycloak/fetch.sh` looked at.
fn java() -> PathBuf {
    match std::env::var_os("JAVA_HOME") {
        Some(home) if !home.is_empty() => Path::new(&home).join("bin/java"),
        _ => PathBuf::from("java"),
    }
}

fn flag(command: &mut Command, name: &str, value: impl std::fmt::Display) {
    command.arg(format!("--{name}={value}"));
}
