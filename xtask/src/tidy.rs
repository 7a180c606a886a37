//! `cargo xtask tidy`: the conventions that no other tool checks. Each finding names the place, the rule and why.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Fallible, say};

/// Which of our crates a crate may depend on (not counting tests). `core` and `system` are open to all others.
const WALLS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("macros", &[]),
    ("system", &[]),
    ("broker-memory", &[]),
    ("redis", &[]),
    ("broker-redis", &["redis"]),
    ("results-redis", &["redis"]),
    ("sql", &[]),
    ("broker-sql", &["sql"]),
    ("results-sql", &["sql"]),
    ("schedules-sql", &["sql"]),
    ("scheduler", &[]),
    ("outbox-sql", &["sql"]),
    (
        "client",
        &[
            "macros",
            "sql",
            "broker-sql",
            "results-sql",
            "outbox-sql",
            "redis",
            "broker-redis",
            "results-redis",
        ],
    ),
    ("worker", &["client"]),
    ("http", &[]),
    ("dashboard", &["http", "scheduler"]),
    ("telemetry", &["http"]),
    // Here concrete backends are chosen: `migrate` makes their tables.
    (
        "worker-bin",
        &[
            "client",
            "worker",
            "scheduler",
            "dashboard",
            "telemetry",
            "sql",
            "broker-memory",
            "broker-sql",
            "results-sql",
            "schedules-sql",
            "outbox-sql",
        ],
    ),
    ("testkit", &["client", "broker-memory"]),
    ("conformance", &["testkit"]),
];

/// Drivers, and the only crates that may know them.
const DRIVERS: &[(&str, &[&str])] = &[
    ("fred", &["redis", "broker-redis", "results-redis"]),
    ("sqlx", &["sql", "broker-sql", "results-sql", "schedules-sql", "outbox-sql"]),
    ("clap", &["worker-bin"]),
    ("axum", &["dashboard", "http", "telemetry"]),
];

/// Checks every tracked file.
pub(crate) fn run(root: &Path) -> Fallible<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let mut findings = Vec::new();
    let mut large = Vec::new();
    for name in listed.split_terminator('\0') {
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        check_text(name, &text, &mut findings);
        if name.ends_with(".rs") && text.lines().count() > 800 {
            large.push(format!("  {} lines: {name}", text.lines().count()));
        }
        if let Some(dir) = name.strip_prefix("crates/").and_then(|rest| rest.strip_suffix("/Cargo.toml")) {
            check_manifest(dir, &text, &mut findings);
        }
    }
    if !large.is_empty() {
        say(&format!("worth a hard look, over 800 lines:\n{}", large.join("\n")));
    }
    if findings.is_empty() {
        Ok(())
    } else {
        Err(format!("{} findings:\n{}", findings.len(), findings.join("\n")).into())
    }
}

fn check_text(name: &str, text: &str, findings: &mut Vec<String>) {
    let ours = [".rs", ".md", ".toml", ".lua", ".sql"].iter().any(|ending| name.ends_with(ending));
    if !ours {
        return;
    }
    let mut find = |line: usize, what: &str| findings.push(format!("{name}:{line}: {what}"));
    // Assembled here, so that this file does not find itself.
    let outside = [["..", "/shared"].concat(), ["/ro", "ot/"].concat(), ["/wo", "rk/"].concat()];
    let unfinished =
        [["#[ig", "nore"].concat(), ["to", "do!("].concat(), ["db", "g!("].concat(), ["FIX", "ME"].concat()];
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.ends_with([' ', '\t']) {
            find(number, "white space at the end of the line");
        }
        if line.contains('\t') {
            find(number, "a tab: indent with spaces");
        }
        if outside.iter().any(|needle| line.contains(needle.as_str())) {
            find(number, "names a place outside the project: it must stand alone");
        }
        if name.ends_with(".rs") && unfinished.iter().any(|needle| line.contains(needle.as_str())) {
            find(number, "a mark that finished code does not have");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        find(text.lines().count(), "no newline at the end of the file");
    }
    if name.ends_with(".rs") && !text.starts_with("//!") {
        find(1, "a module begins with a `//!` sentence that says what it is");
    }
    if name.ends_with(".sql") && !text.starts_with("--") {
        find(1, "a SQL file begins with a `--` sentence that says what it does");
    }
    // Parts that scripts include have no arguments of their own.
    if name.ends_with(".lua") && name.contains("/lib/") && !text.starts_with("--") {
        find(1, "a part of scripts begins with a `--` sentence that says what it is for");
    }
    if name.ends_with(".lua") && !name.contains("/lib/") {
        let header: String = text.lines().take_while(|line| line.starts_with("--")).collect();
        for word in ["KEYS", "ARGV", "Returns"] {
            if !header.contains(word) {
                find(1, &format!("a script's header names its {word}"));
            }
        }
    }
}

fn check_manifest(dir: &str, text: &str, findings: &mut Vec<String>) {
    let name = format!("crates/{dir}/Cargo.toml");
    let mut find = |what: String| findings.push(format!("{name}: {what}"));
    if !text.contains(&format!("name = \"lovage-{dir}\"")) {
        find(format!("the package is named after its directory: lovage-{dir}"));
    }
    for needed in ["[lints]\nworkspace = true", "description = ", "publish.workspace = true"] {
        if !text.contains(needed) {
            find(format!("`{}` is missing", needed.replace('\n', " ")));
        }
    }
    let Some((_, allowed)) = WALLS.iter().find(|(krate, _)| *krate == dir) else {
        find(
            "the crate is not in the table of walls: add it to ARCHITECTURE.md and to xtask/src/tidy.rs"
                .to_owned(),
        );
        return;
    };
    for (section, dependencies) in sections(text) {
        for (dependency, line) in dependencies {
            // A crate may name itself among its tests' dependencies, to switch on a feature of its own.
            if !line.contains("workspace") && dependency != format!("lovage-{dir}") {
                find(format!(
                    "`{dependency}` has its version here: it belongs into [workspace.dependencies]"
                ));
            }
            if section == "dev-dependencies" {
                continue;
            }
            let open = dir != "core"
                && dir != "macros"
                && matches!(dependency.as_str(), "lovage-core" | "lovage-system");
            if let Some(other) = dependency.strip_prefix("lovage-")
                && !open
                && !allowed.contains(&other)
            {
                find(format!("`{dir}` must not know `{other}` (ARCHITECTURE.md, Crates)"));
            }
            if let Some((_, users)) = DRIVERS.iter().find(|(driver, _)| *driver == dependency)
                && !users.contains(&dir)
            {
                find(format!("`{dir}` must not know the driver `{dependency}` (ARCHITECTURE.md, Crates)"));
            }
            if dir == "core" && dependency == "tokio" {
                find("core decides and never acts: no runtime".to_owned());
            }
        }
    }
}

/// The dependency sections of a manifest: each dependency's name and line.
fn sections(text: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut sections: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = section.to_owned();
        } else if current.ends_with("dependencies")
            && let Some((key, _)) = line.split_once('=')
        {
            let key = key.trim().split('.').next().unwrap_or_default().to_owned();
            sections.entry(current.clone()).or_default().push((key, line.to_owned()));
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_findings(name: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check_text(name, text, &mut findings);
        findings
    }

    fn manifest_findings(dir: &str, dependencies: &str) -> Vec<String> {
        let text = format!(
            "[package]\nname = \"lovage-{dir}\"\ndescription = \"d\"\npublish.workspace = true\n\n[lints]\nworkspace = true\n\n{dependencies}"
        );
        let mut findings = Vec::new();
        check_manifest(dir, &text, &mut findings);
        findings
    }

    #[test]
    fn good_files_pass() {
        assert_eq!(text_findings("a.rs", "//! A.\n"), [""; 0]);
        assert_eq!(text_findings("a.lua", "-- KEYS: none\n-- ARGV: none\n-- Returns nothing\n"), [""; 0]);
        assert_eq!(manifest_findings("worker", "[dependencies]\nlovage-client.workspace = true\n"), [""; 0]);
    }

    #[test]
    fn each_rule_finds_its_fault() {
        for (name, text, part) in [
            ("a.rs", "//! A. \n", "white space"),
            ("a.rs", "//! A.\n\tx\n", "tab"),
            ("a.rs", "//! A.", "newline"),
            ("a.rs", "fn a() {}\n", "`//!`"),
            ("a.sql", "SELECT 1\n", "`--`"),
            ("a.lua", "-- KEYS: none\n-- ARGV: none\n", "Returns"),
        ] {
            let found = text_findings(name, text);
            assert!(found.iter().any(|finding| finding.contains(part)), "{name} {text:?}: {found:?}");
        }
        let marks = ["//! A.\n", "// ", "FIX", "ME\n"].concat();
        assert_eq!(text_findings("a.rs", &marks).len(), 1);
    }

    #[test]
    fn walls_and_versions_are_held() {
        for (dir, dependencies, part) in [
            ("worker", "[dependencies]\nlovage-broker-sql.workspace = true\n", "must not know `broker-sql`"),
            ("core", "[dependencies]\nlovage-system.workspace = true\n", "must not know `system`"),
            ("core", "[dependencies]\ntokio.workspace = true\n", "no runtime"),
            ("client", "[dependencies]\nfred.workspace = true\n", "driver `fred`"),
            ("sql", "[dependencies]\nsqlx = \"0.9\"\n", "[workspace.dependencies]"),
            ("unheard-of", "", "table of walls"),
        ] {
            let found = manifest_findings(dir, dependencies);
            assert!(found.iter().any(|finding| finding.contains(part)), "{dir}: {found:?}");
        }
        let in_tests = "[dev-dependencies]\nlovage-broker-memory.workspace = true\n";
        assert_eq!(manifest_findings("worker", in_tests), [""; 0]);
    }
}
