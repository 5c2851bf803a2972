//! The operator of the demo. In: the ground, and `OAUTHCC_BIN` where set. Out: a running process.
//!
//! **Invariant:** it has the rights of its ServiceAccount, never those of an administrator.

use std::{io::Write, path::PathBuf};

use anyhow::{Context, bail, ensure};
use oauthcc_harness::operator::{Operator, OperatorOptions};

use crate::ground::{Ground, OPERATOR_NAMESPACE, OPERATOR_SERVICE_ACCOUNT, step};

const LAST_LINES: usize = 5;

/// Starts the operator, without waiting for it.
pub(crate) async fn start(
    ground: &Ground,
    program: PathBuf,
    out: &mut impl Write,
) -> anyhow::Result<Operator> {
    let mut arguments = ground.operator_flags();
    arguments.extend(["--log-format", "json"].map(str::to_owned));
    let operator = Operator::start(&OperatorOptions {
        program,
        kubeconfig: ground.operator_kubeconfig().await?,
        arguments,
        environment: Vec::new(),
        log: None,
    })?;
    let account = format!("{OPERATOR_NAMESPACE}/{OPERATOR_SERVICE_ACCOUNT}");
    step(out, "operator", &format!("runs as ServiceAccount {account}"))?;
    Ok(operator)
}

/// Fails with its last words once the operator has ended.
pub(crate) fn ensure_running(operator: &Operator) -> anyhow::Result<()> {
    if let Some(status) = operator.exit_status() {
        bail!("the operator ended with {status}; its log ends with:\n{}", last_words(operator));
    }
    Ok(())
}

/// The end of its log, as the end of a sentence.
pub(crate) fn last_words(operator: &Operator) -> String {
    let output = operator.output();
    let lines: Vec<&str> = output.lines().collect();
    let start = lines.len().saturating_sub(LAST_LINES);
    match lines.get(start..) {
        Some(last) if !last.is_empty() => format!("its log ends with:\n{}", last.join("\n")),
        _ => "it wrote nothing".to_owned(),
    }
}

/// `OAUTHCC_BIN`, or the binary that was built along with this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("OAUTHCC_BIN") {
        return Ok(path.into());
    }
    let this = std::env::current_exe().context("failed to find out where the demo lies")?;
    // target/debug/examples/demo lies beside target/debug/oauthcc.
    let directory = this.ancestors().nth(2);
    let path = directory.context("the demo lies in no directory")?.join("oauthcc");
    ensure!(path.is_file(), "{} is missing: run `cargo build`, or set OAUTHCC_BIN", path.display());
    Ok(path)
}
