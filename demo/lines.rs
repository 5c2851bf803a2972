//! The demo for logs and CI: a line for each change, until each token has rotated often enough.
//!
//! In: the cluster, looked at twice a second. Out: lines, a summary, and an error where it took too
//! long.
//! **Invariant:** it ends within its bound.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use jiff::Timestamp;
use oauthcc_harness::operator::Operator;

use crate::{
    ground::{Ground, NAMESPACE},
    operator::{ensure_running, last_words},
    seen::{self, LastEvent, Ready, Row, Token},
    table::{seconds, table},
};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// For the first token.
const FIRST_BOUND: Duration = Duration::from_secs(60);
/// Tokens of 30 s rotate after 12.5 to 15 s.
const ROTATION_BOUND: Duration = Duration::from_secs(20);

/// Prints what changes until each credential has rotated `rotations` times.
pub(crate) async fn show(
    ground: &Ground,
    operator: &Operator,
    rotations: u32,
    started_at: Instant,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let client = ground.control_plane.admin_client();
    let bound = FIRST_BOUND + ROTATION_BOUND * rotations;
    let operator_started_at = Instant::now();
    let mut before: Vec<Row> = Vec::new();
    writeln!(out, "\nUntil each token has rotated {rotations}x:\n").context("failed to print")?;
    loop {
        ensure_running(operator)?;
        let rows = seen::look(&client, NAMESPACE).await?;
        print_changes(&before, &rows, started_at, out)?;
        before = rows;
        if !before.is_empty() && before.iter().all(|row| row.rotations() >= rotations) {
            let rows = table(&before, Timestamp::now(), false).join("\n");
            writeln!(out, "\n{rows}\n\nDone: each token rotated {rotations}x.")
                .context("failed to print")?;
            return Ok(());
        }
        if operator_started_at.elapsed() > bound {
            bail!(
                "not every token rotated {rotations}x within {} s; seen last:\n\n{}\n\n\
                 the operator's log ends with:\n{}\n",
                bound.as_secs(),
                table(&before, Timestamp::now(), false).join("\n"),
                last_words(operator)
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn print_changes(
    before: &[Row],
    rows: &[Row],
    started_at: Instant,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let elapsed = started_at.elapsed().as_secs_f64();
    let had_token = before.iter().any(|row| row.token.is_some());
    if !had_token && rows.iter().any(|row| row.token.is_some()) {
        writeln!(out, "{}", first_token(started_at.elapsed())).context("failed to print")?;
    }
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    for row in rows {
        let old = before.iter().find(|old| old.name == row.name);
        for change in changes(old, row) {
            let name = &row.name;
            writeln!(out, "{elapsed:6.1} s  {name:<width$}  {change}").context("failed to print")?;
        }
    }
    out.flush().context("failed to print")
}

/// How long it took from the start of the demo.
pub(crate) fn first_token(after: Duration) -> String {
    format!("first token after {:.1} s", after.as_secs_f64())
}

fn changes(old: Option<&Row>, row: &Row) -> Vec<String> {
    let was = (
        old.and_then(|old| old.token.as_ref()),
        old.and_then(|old| old.ready.as_ref()),
        old.and_then(|old| old.last_event.as_ref()),
    );
    let mut changes = Vec::new();
    changes.extend(row.token.as_ref().and_then(|token| new_token(was.0, token)));
    changes.extend(row.ready.as_ref().and_then(|ready| new_ready(was.1, ready)));
    let event = row.last_event.as_ref();
    changes.extend(event.and_then(|event| new_event(was.2, event)));
    if was.0.is_some() && row.token.is_none() {
        changes.push("the managed Secret is gone".to_owned());
    }
    changes
}

fn new_token(old: Option<&Token>, token: &Token) -> Option<String> {
    let Token {
        digest, revision, ..
    } = token;
    let left = seconds(Timestamp::now(), token.expires_at);
    match old {
        Some(old) if old == token => None,
        Some(old) => {
            let rotation = revision.saturating_sub(1);
            let unused = seconds(Timestamp::now(), old.expires_at);
            Some(format!(
                "rotation {rotation}: token {} -> {digest}, {unused} s before expiry; expires in {left} s",
                old.digest
            ))
        }
        None => Some(format!("token {digest}, expires in {left} s")),
    }
}

fn new_ready(old: Option<&Ready>, ready: &Ready) -> Option<String> {
    let Ready {
        status,
        reason,
        message,
    } = ready;
    let is_news = old.is_none_or(|old| (&old.status, &old.reason) != (status, reason));
    is_news.then(|| match status.as_str() {
        "True" => format!("Ready: {reason}"),
        _ => format!("Ready={status}: {reason}: {message}"),
    })
}

fn new_event(old: Option<&LastEvent>, event: &LastEvent) -> Option<String> {
    (old != Some(event)).then(|| format!("event {}", event.reason))
}
