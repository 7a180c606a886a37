//! Tables for people, JSON for programs.

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde_json::Value;

use crate::error::CliError;
use crate::logging;

/// Where a command writes to: results to the standard output, everything about them to the standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out;

impl Out {
    /// A line of the result.
    pub(crate) fn line(self, text: impl AsRef<str>) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush());
        match written {
            // `lovage … | head` has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(CliError::from),
        }
    }

    /// A value for programs.
    pub(crate) fn json(self, value: &Value) -> Result<(), CliError> {
        self.line(format!("{value:#}"))
    }

    /// The banner of a process that runs until it is stopped. Such a process goes on where it cannot be written.
    pub(crate) fn announce(self, text: impl AsRef<str>) {
        logging::announce(text.as_ref());
    }

    /// Something that is not the result, on the standard error.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        logging::note(text.as_ref());
    }

    /// Either the JSON or the table; `none` instead of an empty table.
    pub(crate) fn rows(self, json: bool, rows: Rows<'_>) -> Result<(), CliError> {
        if json {
            return self.json(&rows.json);
        }
        if rows.table.rows.is_empty() {
            return self.line(rows.none);
        }
        self.line(rows.table.to_string())
    }
}

/// The answer of a read.
#[derive(Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) json: Value,
    pub(crate) table: Table,
    /// Instead of an empty table.
    pub(crate) none: &'a str,
}

/// Columns under their titles, as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    titles: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// The longest cell that is not cut, in characters.
const WIDEST: usize = 100;

impl Table {
    pub(crate) fn new(titles: impl IntoIterator<Item = &'static str>) -> Self {
        Self { titles: titles.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row. Control characters, which could drive a terminal, are shown escaped.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| tame(&cell)).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut widths: Vec<usize> = self.titles.iter().map(|title| title.chars().count()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded: Vec<String> =
                cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        };
        f.write_str(&line(&mut self.titles.iter().copied()))?;
        self.rows.iter().try_for_each(|row| write!(f, "\n{}", line(&mut row.iter().map(String::as_str))))
    }
}

/// A count that grows on a terminal while something long goes on; nothing where nobody looks.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    shows: bool,
}

impl Progress {
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        Self { what, total, shows: io::stderr().is_terminal() }
    }

    pub(crate) fn at(&self, done: u64) {
        if self.shows {
            drop(write!(io::stderr(), "\r{} {done} of {}", self.what, self.total.max(done)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shows {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}

/// On one line, without control characters, not endless.
fn tame(cell: &str) -> String {
    let mut tamed = String::with_capacity(cell.len());
    for (at, c) in cell.chars().enumerate() {
        if at == WIDEST {
            tamed.push('…');
            break;
        }
        if c.is_control() { tamed.extend(c.escape_default()) } else { tamed.push(c) }
    }
    if tamed.is_empty() { "-".to_owned() } else { tamed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let mut table = Table::new(["QUEUE", "READY"]);
        table.row(["default".into(), "1".into()]);
        table.row(["a\x1b[2J".into(), String::new()]);
        assert_eq!(table.to_string(), "QUEUE       READY\ndefault     1\na\\u{1b}[2J  -");
    }

    #[test]
    fn a_long_cell_is_cut() {
        let mut table = Table::new(["ARGUMENTS"]);
        table.row(["x".repeat(1_000)]);
        assert!(table.to_string().ends_with("x…"));
    }
}
