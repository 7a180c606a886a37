//! The figures of one run: a table for people on stderr, JSON for programs on stdout.

use serde::Serialize;

/// The figures of one broker.
#[derive(Serialize)]
pub(crate) struct Report {
    broker: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<f64>,
}

impl Report {
    pub(crate) fn new(broker: &str) -> Self {
        Self { broker: broker.to_owned(), rows: Vec::new() }
    }

    /// A figure without a ceiling.
    pub(crate) fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.rows.push(Row { what: what.into(), value, unit, ceiling: None });
    }

    /// A rate beside the raw ceiling of the same operations in the same run.
    pub(crate) fn rate(&mut self, what: impl Into<String>, value: f64, ceiling: f64) {
        self.rows.push(Row { what: what.into(), value, unit: "/s", ceiling: Some(ceiling) });
    }

    #[expect(clippy::print_stderr, clippy::print_stdout, reason = "a command line tool")]
    pub(crate) fn print(&self) {
        eprintln!("\n{}", self.broker);
        for row in &self.rows {
            let digits = if row.value < 100.0 { 3 } else { 0 };
            eprint!("  {:<44} {:>12.digits$} {:<4}", row.what, row.value, row.unit);
            match row.ceiling {
                Some(ceiling) => {
                    eprintln!("  raw {ceiling:>10.0} /s  {:>4.0} %", row.value / ceiling * 100.0)
                }
                None => eprintln!(),
            }
        }
        match serde_json::to_string(self) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("error: {error}"),
        }
    }
}
