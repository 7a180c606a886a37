//! How many cases of the conformance suites each backend passed, from the report of the test run.

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

/// The suites: each trait has one.
const SUITES: [&str; 5] = ["broker", "results", "stats", "audit", "schedules"];

/// Each backend with what it implements, in the order of [`SUITES`]. Every line of the test log names the binary.
const BACKENDS: [(&str, [Option<Suite>; SUITES.len()]); 5] = [
    (
        "memory",
        [
            all("lovage-broker-memory::conformance"),
            picked("lovage-broker-memory::results", is_results),
            picked("lovage-broker-memory::results", is_stats),
            picked("lovage-broker-memory::results", is_audit),
            all("lovage-broker-memory::schedules"),
        ],
    ),
    (
        "sqlite",
        [
            picked("lovage-broker-sql::conformance", |test| !is_postgres(test)),
            picked("lovage-results-sql::conformance", |test| !is_postgres(test) && is_results(test)),
            picked("lovage-results-sql::conformance", |test| !is_postgres(test) && is_stats(test)),
            picked("lovage-results-sql::conformance", |test| !is_postgres(test) && is_audit(test)),
            picked("lovage-schedules-sql::conformance", |test| !is_postgres(test)),
        ],
    ),
    (
        "postgres",
        [
            picked("lovage-broker-sql::conformance", is_postgres),
            picked("lovage-results-sql::conformance", |test| is_postgres(test) && is_results(test)),
            picked("lovage-results-sql::conformance", |test| is_postgres(test) && is_stats(test)),
            picked("lovage-results-sql::conformance", |test| is_postgres(test) && is_audit(test)),
            picked("lovage-schedules-sql::conformance", is_postgres),
        ],
    ),
    (
        "redis",
        [all("lovage-broker-redis::conformance"), all("lovage-results-redis::conformance"), None, None, None],
    ),
    (
        "redis-cluster",
        [
            all("lovage-broker-redis::conformance_cluster"),
            all("lovage-results-redis::conformance_cluster"),
            None,
            None,
            None,
        ],
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

/// A backend, and the passed cases of each suite; `None` where it implements no such trait.
type Count = (&'static str, [Option<usize>; SUITES.len()]);

fn count(report: &str) -> Vec<Count> {
    let passed = passed(report);
    let of = |suite: &Suite| {
        passed.iter().filter(|(binary, test)| *binary == suite.binary && (suite.pick)(test)).count()
    };
    BACKENDS
        .iter()
        .map(|(backend, suites)| (*backend, suites.each_ref().map(|suite| suite.as_ref().map(of))))
        .collect()
}

fn table(counts: &[Count]) -> String {
    let line = |first: &str, cells: [String; SUITES.len()]| {
        format!("\n  {first:<14}{}", cells.map(|cell| format!(" {cell:>10}")).concat())
    };
    let head = line("backend", SUITES.map(str::to_owned));
    let cell = |count: Option<usize>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let rows = counts.iter().map(|(backend, counts)| line(backend, counts.map(cell)));
    format!("conformance cases passed{head}{}", rows.collect::<String>())
}

fn judge(counts: &[Count]) -> Fallible<()> {
    let mut all = [0; SUITES.len()];
    for (_, counts) in counts {
        for (most, count) in all.iter_mut().zip(counts) {
            *most = count.unwrap_or(0).max(*most);
        }
    }
    let is_whole = |counts: &[Option<usize>; SUITES.len()]| {
        counts.iter().zip(all).all(|(count, all)| count.is_none_or(|count| count > 0 && count == all))
    };
    let behind: Vec<&str> =
        counts.iter().filter(|(_, counts)| !is_whole(counts)).map(|(backend, _)| *backend).collect();
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

const fn all(binary: &'static str) -> Option<Suite> {
    picked(binary, |_| true)
}

const fn picked(binary: &'static str, pick: fn(&str) -> bool) -> Option<Suite> {
    Some(Suite { binary, pick })
}

fn is_postgres(test: &str) -> bool {
    test.starts_with("postgres::")
}

/// What is kept beside the results has its cases in the same binary.
fn is_results(test: &str) -> bool {
    !is_stats(test) && !is_audit(test)
}

fn is_stats(test: &str) -> bool {
    is_in(test, "stats")
}

fn is_audit(test: &str) -> bool {
    is_in(test, "audit")
}

fn is_in(test: &str, suite: &str) -> bool {
    test.split("::").any(|module| module == suite)
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
            case("lovage-broker-memory::results", "stats::a", "/>"),
            case("lovage-results-sql::conformance", "sqlite::stats::a", "/>"),
            case("lovage-results-sql::conformance", "postgres::stats::a", "/>"),
            case("lovage-broker-memory::results", "audit::a", "/>"),
            case("lovage-results-sql::conformance", "sqlite::audit::a", "/>"),
            case("lovage-results-sql::conformance", "postgres::audit::a", "/>"),
            case("lovage-broker-memory::schedules", "a", "/>"),
            case("lovage-schedules-sql::conformance", "sqlite::a", "/>"),
            case("lovage-schedules-sql::conformance", "postgres::a", postgres_end),
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
        let of = |backend: &str| if backend.starts_with("redis") { None } else { Some(1) };
        let right =
            |(backend, found): &Count| *found == [Some(1), Some(1), of(backend), of(backend), of(backend)];
        assert!(counts.iter().all(right), "{counts:?}");
        assert!(judge(&counts).is_ok());
        let text = table(&counts);
        assert!(
            text.lines().any(|line| line.split_whitespace().eq(["redis", "1", "1", "-", "-", "-"])),
            "{text}"
        );
    }

    #[test]
    fn a_backend_without_all_cases_is_an_error() {
        let error = judge(&count(&report(">"))).unwrap_err().to_string();
        assert!(error.contains("ran on postgres:"), "{error}");
        let without = report("/>").replace("lovage-schedules-sql::conformance", "another");
        let error = judge(&count(&without)).unwrap_err().to_string();
        assert!(error.contains("ran on sqlite, postgres:"), "{error}");
        assert!(judge(&count("")).is_err());
    }
}
