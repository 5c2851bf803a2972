//! What containers print, as the container runtime writes it down.
//!
//! In: the directory of pod logs. Out: whole lines, each with the time at which the runtime got it.
//! **Invariant:** a line that is not yet whole is not given.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::{Context, ensure};
use k8s_openapi::jiff::Timestamp;

/// A line that a container has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When the container runtime got it, by the clock of this machine.
    pub at: Timestamp,
    /// The line, without its end.
    pub text: String,
}

/// Reads what the first run of a container has printed: `NAMESPACE_POD_UID/CONTAINER/0.log`.
pub(super) fn read(
    logs: &Path,
    namespace: &str,
    pod: &str,
    container: &str,
) -> anyhow::Result<Vec<Line>> {
    let prefix = format!("{namespace}_{pod}_");
    let entries = match fs::read_dir(logs) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("failed to read {}", logs.display()))?,
    };
    for entry in entries {
        let entry = entry.context("failed to list the pod logs")?;
        if !entry.file_name().to_string_lossy().starts_with(&prefix) {
            continue;
        }
        let file = entry.path().join(container).join("0.log");
        let log = match fs::read_to_string(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            log => log.with_context(|| format!("failed to read {}", file.display()))?,
        };
        return lines(&log);
    }
    Ok(Vec::new())
}

/// Each line is `TIME STREAM TAG TEXT`; tag `F` ends a line, `P` does not.
fn lines(log: &str) -> anyhow::Result<Vec<Line>> {
    let (whole, _) = log.rsplit_once('\n').unwrap_or_default();
    whole
        .lines()
        .map(|line| parse(line).with_context(|| format!("no line of a log: {line}")))
        .collect()
}

fn parse(line: &str) -> anyhow::Result<Line> {
    let mut parts = line.splitn(4, ' ');
    let mut part = || parts.next().context("a part is missing");
    let (at, _stream, tag, text) = (part()?, part()?, part()?, part()?);
    ensure!(tag == "F", "the line was split");
    Ok(Line { at: at.parse().context("no time")?, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_given_with_their_time() {
        let log = "2026-01-02T03:04:05.678901234Z stdout F one two\n\
                   2026-01-02T03:04:06.5Z stderr F \n\
                   2026-01-02T03:04:07Z stdout F hal";
        let read = lines(log).unwrap();
        let texts: Vec<_> = read.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["one two", ""]);
        assert_eq!(read[0].at.to_string(), "2026-01-02T03:04:05.678901234Z");
        assert!(lines("2026-01-02T03:04:05Z stdout P split\n").is_err());
        assert!(lines("nonsense\n").is_err());
        assert_eq!(lines("").unwrap(), []);
    }
}
