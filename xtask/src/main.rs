//! Orchestration of the tests, services and benchmarks of Lovage: `cargo xtask help`.

mod bench;
mod conformance;
mod drill;
mod services;
mod test;
mod tidy;
mod user_project;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a step failed with: a message for the person at the terminal.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(about = "Orchestration of the tests, services and benchmarks of Lovage")]
struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Everything that CI checks: fmt, tidy, clippy, feature walls, tests, docs, the README's project.
    Test {
        /// Without docs and the README's project.
        #[arg(long)]
        quick: bool,
    },
    /// The conventions that no other tool checks.
    Tidy,
    /// Starts the servers that tests use and keeps them until stdin ends or Ctrl-C.
    Services,
    /// Measures sending, draining, latency, idle cost and faults, beside the raw ceiling of the same operations.
    Bench(bench::Options),
    /// Breaks a running Lovage in every way that production will, and judges what became of each task: several minutes.
    Drill(drill::Options),
}

fn main() -> ExitCode {
    match run(Options::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Fallible<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no workspace above it")?;
    match verb {
        Verb::Test { quick } => test::run(root, quick),
        Verb::Tidy => tidy::run(root),
        Verb::Services => services::hold(root),
        Verb::Bench(options) => bench::run(root, &options),
        Verb::Drill(options) => drill::run_with(root, &options),
    }
}

/// A line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "a command line tool")]
fn say(line: &str) {
    eprintln!("{line}");
}
