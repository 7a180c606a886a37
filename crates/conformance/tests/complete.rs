//! Every case that is written is also run.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_case_of_the_broker_is_in_the_suite() {
    all_are_listed("broker", "lib.rs");
}

#[test]
fn every_case_of_the_schedule_is_in_the_suite() {
    all_are_listed("schedules", "schedules/mod.rs");
}

fn all_are_listed(cases: &str, suite: &str) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let suite = fs::read_to_string(source.join(suite)).unwrap();
    let mut written = BTreeSet::new();
    for file in fs::read_dir(source.join(cases)).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let cases = text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split_once('('));
        written.extend(cases.map(|(name, _)| name.to_owned()));
    }
    let listed: BTreeSet<String> = suite.lines().map(|line| line.trim().to_owned()).collect();
    let forgotten: Vec<&String> = written.difference(&listed).collect();
    assert_eq!(forgotten, Vec::<&String>::new(), "add these to the suite");
    assert!(written.len() > 50, "found only {} cases", written.len());
}
