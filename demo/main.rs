//! `make demo` and `make cluster`. In: `--cluster-only` and `ROTATIONS`. Out: a control plane, an
//! authorization server and, for the demo, the operator at work, as long as somebody looks.
//!
//! **Invariant:** nothing that is started here outlives it, and a token is never shown: it appears as
//! the first characters of its SHA-256.

mod ground;
mod lines;
mod live;
mod operator;
mod seen;
mod table;

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::ground::Ground;

/// What a shell says of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
const DEFAULT_ROTATIONS: u32 = 2;

/// Watch tokens rotate on a real Kubernetes control plane
#[derive(Debug, Parser)]
struct Arguments {
    /// Keep the control plane and the authorization server up, without the operator
    #[arg(long)]
    cluster_only: bool,

    /// End once each token has rotated so often [default: 2, on a terminal never]
    #[arg(long, env = "ROTATIONS", value_name = "ROTATIONS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rotations: Option<u32>,
}

/// What there is to see, and when it ends.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// A table that is drawn anew, until a signal.
    Table,
    /// A line for each change, until each token has rotated so often.
    Lines { rotations: u32 },
    /// Surroundings alone, until a signal.
    ClusterOnly,
}

impl Mode {
    fn of(arguments: &Arguments) -> Self {
        let terminal = std::io::stdin().is_terminal()
            && std::io::stdout().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        match arguments.rotations {
            _ if arguments.cluster_only => Self::ClusterOnly,
            None if terminal => Self::Table,
            rotations => Self::Lines { rotations: rotations.unwrap_or(DEFAULT_ROTATIONS) },
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let started_at = Instant::now();
    let mode = Mode::of(&Arguments::parse());
    // A signal drops what runs, and with it every process and every file.
    let ended = tokio::select! {
        ended = show(mode, started_at) => ended.map(|()| ExitCode::SUCCESS),
        stopped = stop_signal() => stopped.map(|()| after_signal(mode)),
    };
    ended.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "\nerror: {error:#}");
        ExitCode::FAILURE
    })
}

async fn show(mode: Mode, started_at: Instant) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let program = operator::program()?;
    let ground = Ground::start(&mut out).await?;
    let shown = show_on(&ground, program, mode, started_at, &mut out).await;
    if shown.is_err() {
        ground.keep_logs();
    }
    shown
}

async fn show_on(
    ground: &Ground,
    program: PathBuf,
    mode: Mode,
    started_at: Instant,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    ground.install(out).await?;
    if matches!(mode, Mode::ClusterOnly) {
        ground.explain(out).await?;
        return std::future::pending().await;
    }
    ground.apply_manifests(out).await?;
    let operator = operator::start(ground, program, out).await?;
    let shown = match mode {
        Mode::Lines { rotations } => {
            lines::show(ground, &operator, rotations, started_at, out).await
        }
        Mode::Table | Mode::ClusterOnly => live::show(ground, &operator, started_at, out).await,
    };
    if shown.is_err() {
        operator.keep_logs();
    }
    shown
}

/// Ctrl-C is how the table and the cluster end; a run with a goal has missed it.
fn after_signal(mode: Mode) -> ExitCode {
    let _ = writeln!(std::io::stdout(), "\nStopped. Nothing of it is running any more.");
    match mode {
        Mode::Table | Mode::ClusterOnly => ExitCode::SUCCESS,
        Mode::Lines { .. } => ExitCode::from(INTERRUPTED),
    }
}

/// Waits for Ctrl-C, for SIGTERM, or for the terminal to be closed.
async fn stop_signal() -> anyhow::Result<()> {
    let listen = |kind| signal(kind).context("failed to listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
