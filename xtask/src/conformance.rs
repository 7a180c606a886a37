//! How many cases of the conformance suites each backend passed, from the report of the test run.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::{Fallible, say};

/// Where nextest writes its report: the profile's `junit.path` in `.config/nextest.toml`.
pub(crate) const REPORT: &str = "target/nextest/default/junit.xml";

/// A test binary that runs a suite, for the tests whose names are picked.
struct Suite {
    binary: &'static str,
    pick: fn(&str) -> bool,
}

/// Each backend with its suite of brokers and that of results. Every line of the test log names the binary.
const BACKENDS: [(&str, Suite, Suite); 5] = [
    ("memory", all("lovage-broker-memory::conformance"), all("lovage-broker-memory::results")),
    ("sqlite", sqlite("lovage-broker-sql::conformance"), sqlite("lovage-results-sql::conformance")),
    ("postgres", postgres("lovage-broker-sql::conformance"), postgres("lovage-results-sql::conformance")),
    ("redis", all("lovage-broker-redis::conformance"), all("lovage-results-redis::conformance")),
    (
        "redis-cluster",
        all("lovage-broker-redis::conformance_cluster"),
        all("lovage-results-redis::conformance_cluster"),
    ),
];

/// Prints the table.
///
/// # Errors
/// When a backend passed no cases of a suite, or another number than the others.
pub(crate) fn tell(root: &Path) -> Fallible<()> {
    let path = root.join(REPORT);
    let report = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let counts = count(&report);
    say(&table(&counts));
    judge(&counts)
}

/// Backend, passed cases of brokers, passed cases of results.
type Count = (&'static str, usize, usize);

fn count(report: &str) -> Vec<Count> {
    let passed = passed(report);
    let of = |suite: &Suite| {
        passed.iter().filter(|(binary, test)| *binary == suite.binary && (suite.pick)(test)).count()
    };
    BACKENDS.iter().map(|(backend, broker, results)| (*backend, of(broker), of(results))).collect()
}

fn table(counts: &[Count]) -> String {
    let mut text = format!("conformance cases passed\n  {:<14} {:>6} {:>8}", "backend", "broker", "results");
    for (backend, broker, results) in counts {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "\n  {backend:<14} {broker:>6} {results:>8}");
    }
    text
}

fn judge(counts: &[Count]) -> Fallible<()> {
    let most = |of: fn(&Count) -> usize| counts.iter().map(of).max().unwrap_or(0);
    let all = (most(|count| count.1), most(|count| count.2));
    let behind: Vec<&str> = counts
        .iter()
        .filter(|(_, broker, results)| *broker == 0 || *results == 0 || (*broker, *results) != all)
        .map(|(backend, _, _)| *backend)
        .collect();
    if behind.is_empty() {
        return Ok(());
    }
    Err(format!("not every case ran on {}: each backend runs the whole suite", behind.join(", ")).into())
}

/// Binary and name of each test that passed: one without anything in its element.
fn passed(report: &str) -> Vec<(&str, &str)> {
    let cases =
        report.lines().filter(|line| line.trim_start().starts_with("<testcase ") && line.ends_with("/>"));
    cases.filter_map(|case| Some((attribute(case, "classname")?, attribute(case, "name")?))).collect()
}

fn attribute<'a>(element: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = element.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

const fn all(binary: &'static str) -> Suite {
    Suite { binary, pick: |_| true }
}

const fn sqlite(binary: &'static str) -> Suite {
    Suite { binary, pick: |test| !test.starts_with("postgres::") }
}

const fn postgres(binary: &'static str) -> Suite {
    Suite { binary, pick: |test| test.starts_with("postgres::") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(binary: &str, test: &str, end: &str) -> String {
        format!("        <testcase name=\"{test}\" classname=\"{binary}\" time=\"0.1\"{end}\n")
    }

    fn report(postgres_end: &str) -> String {
        [
            case("lovage-broker-memory::conformance", "fifo::a", "/>"),
            case("lovage-broker-memory::results", "a", "/>"),
            case("lovage-broker-sql::conformance", "sqlite::fifo::a", "/>"),
            case("lovage-broker-sql::conformance", "postgres::fifo::a", postgres_end),
            case("lovage-results-sql::conformance", "sqlite::a", "/>"),
            case("lovage-results-sql::conformance", "postgres::a", "/>"),
            case("lovage-broker-redis::conformance", "fifo::a", "/>"),
            case("lovage-broker-redis::conformance_cluster", "fifo::a", "/>"),
            case("lovage-results-redis::conformance", "a", "/>"),
            case("lovage-results-redis::conformance_cluster", "a", "/>"),
        ]
        .concat()
    }

    #[test]
    fn each_backend_is_told_apart() {
        let counts = count(&report("/>"));
        assert!(counts.iter().all(|(_, broker, results)| (*broker, *results) == (1, 1)), "{counts:?}");
        assert!(judge(&counts).is_ok());
    }

    #[test]
    fn a_backend_without_all_cases_is_an_error() {
        let error = judge(&count(&report(">"))).unwrap_err().to_string();
        assert!(error.contains("ran on postgres:"), "{error}");
        assert!(judge(&count("")).is_err());
    }
}
