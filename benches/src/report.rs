//! The figures of one broker: each on stderr as it is measured, a table at the end, JSON for programs.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use crate::Fallible;
use crate::targets::{NONE, Target};

/// The figures of one broker.
#[derive(Serialize)]
pub(crate) struct Report {
    broker: String,
    rows: Vec<Row>,
    /// What could not be measured, and why.
    failed: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    /// The same operations in the same run without what Lovage does around them.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<f64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    target: String,
    met: bool,
}

impl Report {
    pub(crate) fn new(broker: &str) -> Self {
        Self { broker: broker.to_owned(), rows: Vec::new(), failed: Vec::new() }
    }

    /// A figure of which nothing is asked.
    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.row(what.into(), value, unit, None, NONE);
    }

    /// A figure with a target.
    pub(crate) fn judge(&mut self, what: impl Into<String>, value: f64, unit: &'static str, target: Target) {
        self.row(what.into(), value, unit, None, target);
    }

    /// A rate beside the raw ceiling of the same operations in the same run.
    pub(crate) fn rate(&mut self, what: impl Into<String>, value: f64, raw: f64, target: Target) {
        self.row(what.into(), value, "/s", Some(raw), target);
    }

    /// A part that could not be measured.
    #[expect(clippy::print_stderr, reason = "a command line tool")]
    pub(crate) fn fail(&mut self, part: &str, error: &dyn std::error::Error) {
        eprintln!("{}: {part} failed: {error}", self.broker);
        self.failed.push(format!("{part} failed: {error}"));
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// The table.
    #[expect(clippy::print_stdout, reason = "a command line tool")]
    pub(crate) fn print(&self) {
        print!("{self}");
    }

    /// Appends a line.
    pub(crate) fn write_json(&self, path: &Path) -> Fallible<()> {
        use std::io::Write as _;
        let mut file = std::fs::File::options().create(true).append(true).open(path)?;
        writeln!(file, "{}", serde_json::to_string(self)?)?;
        Ok(())
    }

    #[expect(clippy::print_stderr, reason = "a command line tool")]
    fn row(&mut self, what: String, value: f64, unit: &'static str, raw: Option<f64>, target: Target) {
        eprintln!("{}: {what}: {} {unit}", self.broker, number(value));
        let met = target.is_met(value, raw);
        self.rows.push(Row { what, value, unit, raw, target: target.describe(), met });
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = format!("broker: {}", self.broker);
        writeln!(f, "\n{head:<66} {:>12}      {:>12}  {:>6}  target", "measured", "raw", "of raw")?;
        for row in &self.rows {
            let (raw, percent) = row.raw.map_or_else(Default::default, |raw| {
                (number(raw), format!("{:.0} %", row.value / raw * 100.0))
            });
            let mut target = row.target.clone();
            if !target.is_empty() {
                write!(target, ": {}", if row.met { "met" } else { "MISSED" })?;
            }
            let line = format!(
                "  {:<64} {:>12} {:<4} {raw:>12}  {percent:>6}  {target}",
                row.what,
                number(row.value),
                row.unit
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        self.failed.iter().try_for_each(|failure| writeln!(f, "  {failure}"))
    }
}

/// With commas from a thousand on, and three digits below a hundred.
fn number(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.3}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{SEND_OF_ROUND_TRIPS, at_most};

    #[test]
    fn a_table_tells_what_was_asked_and_what_was_missed() {
        let mut report = Report::new("redis");
        report.rate("send", 1_234_567.0, 2_469_134.0, SEND_OF_ROUND_TRIPS);
        report.judge("idle", 0.25, "/s", at_most(0.5));
        let table = report.to_string();
        assert!(table.contains("1,234,567 /s      2,469,134    50 %  85 % of raw: MISSED\n"), "{table}");
        assert!(table.contains("0.250 /s                         at most 0.5: met\n"), "{table}");
    }
}
