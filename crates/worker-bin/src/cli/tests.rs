//! What is typed is what is meant.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_commands_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn expires_is_a_duration_or_an_instant() {
    assert!(matches!(parse_expires("10m"), Ok(lovage_core::Expires::After(_))));
    assert!(matches!(parse_expires("2026-11-23T13:00:00Z"), Ok(lovage_core::Expires::At(_))));
    assert!(parse_expires("soon").is_err());
}

#[test]
fn arguments_may_be_negative_and_wait_may_follow() {
    let cli = Cli::try_parse_from(["lovage", "call", "add", "-1", "3.5", "--wait=5s"]).unwrap();
    let Command::Call(call) = cli.command else { panic!("not a call") };
    assert_eq!(call.arguments, ["-1", "3.5"]);
    assert_eq!(call.wait, Some(Some(Duration::from_secs(5))));
}
