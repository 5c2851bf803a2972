//! The demo for people: a table that is drawn anew twice a second, until Ctrl-C.
//!
//! In: the cluster. Out: a screen of its own (ANSI alternate screen), and the last table on the usual
//! one afterwards.
//! **Invariant:** the terminal is left as it was found, however this ends.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Context;
use jiff::Timestamp;
use oauthcc_harness::operator::Operator;

use crate::{
    ground::{Ground, NAMESPACE},
    lines::first_token,
    operator::ensure_running,
    seen,
    table::table,
};

const LOOK_EVERY: Duration = Duration::from_millis(500);
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
/// A row of the table that is too long is cut; a path to copy never is.
const CUT_ROWS: &str = "\x1b[?7l";
const WRAP_LINES: &str = "\x1b[?7h";
const CLEAR_LINE: &str = "\x1b[2K";
const CLEAR_BELOW: &str = "\x1b[J";

/// Draws the table until the operator or this future ends.
pub(crate) async fn show(
    ground: &Ground,
    operator: &Operator,
    started_at: Instant,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let client = ground.control_plane.admin_client();
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let [export, get] = ground.look_around();
    let head = [
        "Tokens rotate here until Ctrl-C. To look around in another terminal:".to_owned(),
        String::new(),
        format!("  {export}"),
        format!("  {get}"),
        String::new(),
    ];
    let mut first_token_after = None;
    let mut screen = Screen::enter(out).context("failed to draw")?;
    loop {
        ensure_running(operator)?;
        let rows = seen::look(&client, NAMESPACE).await?;
        if first_token_after.is_none() && rows.iter().any(|row| row.token.is_some()) {
            first_token_after = Some(started_at.elapsed());
        }
        let foot = first_token_after.map_or_else(
            || "waiting for the first token".to_owned(),
            |after| {
                let after = first_token(after);
                format!("{after}; SHA-256 shows the start of each token's digest")
            },
        );
        let mut body = table(&rows, Timestamp::now(), colours);
        body.extend([String::new(), foot]);
        screen.draw(&head, body).context("failed to draw")?;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The terminal while the table is shown.
struct Screen<'a, W: Write> {
    out: &'a mut W,
    body: Vec<String>,
}

impl<'a, W: Write> Screen<'a, W> {
    fn enter(out: &'a mut W) -> std::io::Result<Self> {
        let screen = Self { out, body: Vec::new() };
        write!(screen.out, "{ENTER}")?;
        Ok(screen)
    }

    /// Replaces what is shown, in one write.
    fn draw(&mut self, head: &[String], body: Vec<String>) -> std::io::Result<()> {
        let mut frame = HOME.to_owned();
        for (wrap, lines) in [(WRAP_LINES, head), (CUT_ROWS, &body)] {
            frame.push_str(wrap);
            for line in lines {
                frame.extend([CLEAR_LINE, line, "\r\n"]);
            }
        }
        frame.push_str(CLEAR_BELOW);
        self.body = body;
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Screen<'_, W> {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = write!(self.out, "{LEAVE}\n{}\n", self.body.join("\n"));
        let _ = self.out.flush();
    }
}
