//! The demo for logs and CI: a line for each change, until each token has rotated often enough.
//!
//! In: the cluster, looked at four times a second. Out: lines, a summary, and an error where it took too
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
    seen::{self, Ready, Row, Token},
    table::{seconds, table},
};

const LOOK_EVERY: Duration = Duration::from_millis(250);
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
    let goal = times(rotations);
    writeln!(out, "\nEnds when each token has rotated {goal}:\n").context("failed to print")?;
    loop {
        ensure_running(operator)?;
        let rows = seen::look(&client, NAMESPACE).await?;
        print_changes(&before, &rows, started_at, out)?;
        before = rows;
        if !before.is_empty() && before.iter().all(|row| row.rotations() >= rotations) {
            let rows = table(&before, Timestamp::now(), false).join("\n");
            writeln!(out, "\n{rows}\n\nDone: each token rotated {goal}.")
                .context("failed to print")?;
            return Ok(());
        }
        if operator_started_at.elapsed() > bound {
            bail!(
                "not every token rotated {goal} within {} s; seen last:\n\n{}\n\n\
                 the operator: {}\n",
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
            writeln!(out, "{elapsed:6.1} s  {name:<width$}  {change}")
                .context("failed to print")?;
        }
    }
    out.flush().context("failed to print")
}

fn times(number: u32) -> String {
    match number {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// How long it took from the start of the demo.
pub(crate) fn first_token(after: Duration) -> String {
    format!("first token after {:.1} s", after.as_secs_f64())
}

fn changes(old: Option<&Row>, row: &Row) -> Vec<String> {
    let old_token = old.and_then(|old| old.token.as_ref());
    let old_ready = old.and_then(|old| old.ready.as_ref());
    let old_events = old.map(|old| old.events.as_slice()).unwrap_or_default();
    let token = row.token.as_ref();
    let ready = row.ready.as_ref();
    let mut changes = Vec::new();
    changes.extend(token.and_then(|token| new_token(old_token, token)));
    changes.extend(ready.and_then(|ready| new_ready(old_ready, ready)));
    let old_complaint = old.and_then(|old| old.complaint.as_ref());
    let complaint = row.complaint.as_ref();
    changes.extend(complaint.filter(|complaint| Some(*complaint) != old_complaint).cloned());
    let events = row.events.iter();
    let events = events.filter(|event| !old_events.contains(event));
    changes.extend(events.map(|event| format!("event {}", event.reason)));
    if old_token.is_some() && token.is_none() {
        changes.push("the managed Secret is gone".to_owned());
    }
    changes
}

fn new_token(old: Option<&Token>, token: &Token) -> Option<String> {
    let Token { digest, revision, .. } = token;
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
    let Ready { status, reason } = ready;
    (old != Some(ready)).then(|| match status.as_str() {
        "True" => format!("Ready: {reason}"),
        _ => format!("Ready={status}: {reason}"),
    })
}
