//! The table. In: rows, the time, and whether colours are wanted. Out: lines of text.
//!
//! **Invariant:** columns are as wide as what is in them, 80 characters together when all is well and names
//! are short, 110 at most.

use std::time::Duration;

use jiff::Timestamp;

use crate::seen::{Ready, Row, Token};

/// Cells of the bar, and the steps that one cell can show.
const BAR: usize = 6;
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const GAP: &str = "  ";
const LONGEST_LINE: usize = 80;
/// A new token is shown in colour this long.
const NEW_SECONDS: i64 = 3;
const HALF_A_SECOND: Duration = Duration::from_millis(500);
const COLUMNS: [Column; 6] = [
    Column::new("CREDENTIAL", 20, Align::Left),
    Column::new("READY", 28, Align::Left),
    Column::new("EXPIRES IN", 11, Align::Left),
    Column::new("ROTATED", 7, Align::Right),
    Column::new("SHA-256", 8, Align::Left),
    Column::new("LAST EVENT", 30, Align::Left),
];

#[derive(Debug, Clone, Copy)]
struct Column {
    title: &'static str,
    widest: usize,
    align: Align,
}

impl Column {
    const fn new(title: &'static str, widest: usize, align: Align) -> Self {
        Self { title, widest, align }
    }
}

#[derive(Debug, Clone, Copy)]
enum Align {
    Left,
    Right,
}

/// A colour that every terminal has.
#[derive(Debug, Clone, Copy)]
enum Paint {
    Plain,
    Dim,
    Green,
    Yellow,
    Red,
    Cyan,
}

impl Paint {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Dim => Some("2"),
            Self::Green => Some("32"),
            Self::Yellow => Some("33"),
            Self::Red => Some("31"),
            Self::Cyan => Some("1;36"),
        }
    }
}

#[derive(Debug, Clone)]
struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    fn new(text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint }
    }
}

/// The table's lines: titles, one per row, and what is wrong with any of them.
pub(crate) fn table(rows: &[Row], now: Timestamp, colours: bool) -> Vec<String> {
    let titles = COLUMNS.map(|column| Cell::new(column.title, Paint::Dim));
    let mut grid = vec![titles];
    grid.extend(rows.iter().map(|row| cells(row, now)));
    for cells in &mut grid {
        for (cell, column) in cells.iter_mut().zip(COLUMNS) {
            cell.text = cut(&cell.text, column.widest);
        }
    }
    let mut widths = [0; COLUMNS.len()];
    for cells in &grid {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.text.chars().count().max(*width);
        }
    }
    let mut lines: Vec<String> = grid.iter().map(|cells| line(cells, &widths, colours)).collect();
    lines.extend(rows.iter().flat_map(complaint));
    lines
}

fn cells(row: &Row, now: Timestamp) -> [Cell; COLUMNS.len()] {
    let token = row.token.as_ref();
    let nothing = || Cell::new("-", Paint::Dim);
    [
        Cell::new(&row.name, Paint::Plain),
        ready(row.ready.as_ref()),
        token.map_or_else(nothing, |token| expiry(token, now)),
        token.map_or_else(nothing, |_| Cell::new(row.rotations().to_string(), Paint::Plain)),
        token.map_or_else(nothing, |token| {
            let is_new = seconds(token.issued_at, now) < NEW_SECONDS;
            let paint = if is_new { Paint::Cyan } else { Paint::Plain };
            Cell::new(&token.digest, paint)
        }),
        row.events.last().map_or_else(nothing, |event| {
            let age = span(seconds(event.at, now).max(0));
            Cell::new(format!("{} {age}", event.reason), Paint::Plain)
        }),
    ]
}

fn ready(ready: Option<&Ready>) -> Cell {
    let Some(Ready { status, reason }) = ready else {
        return Cell::new("-", Paint::Dim);
    };
    let paint = match status.as_str() {
        "True" => Paint::Green,
        "False" => Paint::Red,
        _ => Paint::Yellow,
    };
    Cell::new(format!("{status} {reason}"), paint)
}

/// A bar that empties, and the time left.
fn expiry(token: &Token, now: Timestamp) -> Cell {
    let left = seconds(now, token.expires_at);
    if left <= 0 {
        return Cell::new("expired", Paint::Red);
    }
    let lifetime = seconds(token.issued_at, token.expires_at).max(1);
    let bar = bar(left, lifetime);
    // Later than any renewal should be: it comes when a third is left, or half of 30 s.
    let paint = if left * 4 > lifetime { Paint::Plain } else { Paint::Yellow };
    Cell::new(format!("{bar} {:>3}", span(left)), paint)
}

fn bar(left: i64, lifetime: i64) -> String {
    let steps = BAR * EIGHTHS.len();
    let filled = usize::try_from(left).unwrap_or(0) * steps;
    let filled = filled.div_ceil(usize::try_from(lifetime).unwrap_or(1)).min(steps);
    let rest = EIGHTHS.get(filled % EIGHTHS.len()).copied();
    let full = std::iter::repeat_n('█', filled / EIGHTHS.len());
    full.chain(rest).chain(std::iter::repeat(' ')).take(BAR).collect()
}

fn line(cells: &[Cell], widths: &[usize], colours: bool) -> String {
    let mut line = String::new();
    for ((cell, width), column) in cells.iter().zip(widths).zip(COLUMNS) {
        if !line.is_empty() {
            line.push_str(GAP);
        }
        let padding = " ".repeat(width.saturating_sub(cell.text.chars().count()));
        let text = paint(&cell.text, cell.paint, colours);
        match column.align {
            Align::Left => line.extend([text, padding]),
            Align::Right => line.extend([padding, text]),
        }
    }
    line.trim_end().to_owned()
}

/// What is wrong, whole, in lines that fit below the table.
fn complaint(row: &Row) -> Vec<String> {
    let Some(complaint) = &row.complaint else { return Vec::new() };
    let mut lines = Vec::new();
    let mut line = format!("{}:", row.name);
    for word in complaint.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > LONGEST_LINE {
            lines.push(std::mem::replace(&mut line, " ".to_owned()));
        }
        line.extend([" ", word]);
    }
    lines.push(line);
    lines
}

fn paint(text: &str, paint: Paint, colours: bool) -> String {
    match paint.code().filter(|_| colours) {
        Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
        None => text.to_owned(),
    }
}

fn cut(text: &str, widest: usize) -> String {
    if text.chars().count() <= widest {
        return text.to_owned();
    }
    let kept = text.chars().take(widest.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// Seconds from one moment to another, rounded.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    (to + HALF_A_SECOND).duration_since(from).as_secs()
}

/// As kubectl writes an age.
fn span(seconds: i64) -> String {
    match seconds {
        ..100 => format!("{seconds}s"),
        100..7200 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3600),
    }
}
