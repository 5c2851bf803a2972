//! The table. In: rows, the time, and whether colours are wanted. Out: lines of text.
//!
//! **Invariant:** columns are as wide as what is in them, at most 110 characters together.

use jiff::Timestamp;

use crate::seen::{Ready, Row, Token};

const BAR: i64 = 10;
const GAP: &str = "  ";
const LONGEST_MESSAGE: usize = 100;
/// A new token is shown in colour this long.
const NEW_SECONDS: i64 = 3;
const COLUMNS: [Column; 6] = [
    Column::new("CREDENTIAL", 20, Align::Left),
    Column::new("READY", 28, Align::Left),
    Column::new("EXPIRES IN", 17, Align::Left),
    Column::new("ROTATIONS", 9, Align::Right),
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
        Self {
            title,
            widest,
            align,
        }
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
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
            Self::Cyan => "1;36",
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
        Self {
            text: text.into(),
            paint,
        }
    }
}

/// The table's lines: titles, one per row, and the messages of those that are not ready.
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
    let mut lines: Vec<String> = grid
        .iter()
        .map(|cells| line(cells, &widths, colours))
        .collect();
    lines.extend(rows.iter().filter_map(complaint));
    lines
}

fn cells(row: &Row, now: Timestamp) -> [Cell; COLUMNS.len()] {
    let token = row.token.as_ref();
    let nothing = || Cell::new("-", Paint::Dim);
    [
        Cell::new(&row.name, Paint::Plain),
        ready(row.ready.as_ref()),
        token.map_or_else(nothing, |token| expiry(token, now)),
        token.map_or_else(nothing, |_| {
            Cell::new(row.rotations().to_string(), Paint::Plain)
        }),
        token.map_or_else(nothing, |token| {
            let is_new = seconds(token.issued_at, now) < NEW_SECONDS;
            let paint = if is_new { Paint::Cyan } else { Paint::Plain };
            Cell::new(&token.digest, paint)
        }),
        row.last_event.as_ref().map_or_else(nothing, |event| {
            let age = span(seconds(event.at, now).max(0));
            Cell::new(format!("{}, {age} ago", event.reason), Paint::Plain)
        }),
    ]
}

fn ready(ready: Option<&Ready>) -> Cell {
    let Some(Ready { status, reason, .. }) = ready else {
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
    let filled = (left * BAR).div_ceil(lifetime).clamp(0, BAR);
    let bar: String = (0..BAR)
        .map(|place| if place < filled { '█' } else { '░' })
        .collect();
    // A third is left at the renewal of a token that lives long, and half of one that lives 30 s.
    let paint = if left * 4 > lifetime {
        Paint::Plain
    } else {
        Paint::Yellow
    };
    Cell::new(format!("{bar} {:>5}", span(left)), paint)
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

fn complaint(row: &Row) -> Option<String> {
    let ready = row.ready.as_ref().filter(|_| !row.is_ready())?;
    let text = format!("{}: {}", row.name, ready.message);
    Some(cut(&text, LONGEST_MESSAGE))
}

fn paint(text: &str, paint: Paint, colours: bool) -> String {
    match paint {
        Paint::Plain => text.to_owned(),
        _ if !colours => text.to_owned(),
        paint => format!("\x1b[{}m{text}\x1b[0m", paint.code()),
    }
}

fn cut(text: &str, widest: usize) -> String {
    if text.chars().count() <= widest {
        return text.to_owned();
    }
    let kept = text.chars().take(widest.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// Whole seconds from one moment to another.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs()
}

fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
