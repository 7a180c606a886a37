//! Runs the drill.

mod conduct;
mod process;
mod report;
mod services;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::conduct::Plan;
use crate::services::Kind;

/// What a step failed with: a message for the person at the terminal.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Breaks a running Lovage in every way that production will, and judges what became of each task. Exit code 1: a promise
/// is broken.
#[derive(Debug, Parser)]
struct Options {
    /// A tenth of the tasks and a shorter lease: under a minute.
    #[arg(long)]
    short: bool,
    /// Where tasks wait.
    #[arg(long, value_enum, default_value_t = Kind::Redis)]
    broker: Kind,
    /// Where results go. What is the broker's kind, too, is one database for both.
    #[arg(long, value_enum, default_value_t = Kind::Postgres)]
    results: Kind,
    /// Tasks to send; 100,000, or 10,000 in the short form.
    #[arg(long)]
    tasks: Option<u64>,
    /// The workers' lease in seconds; 5, or 2 in the short form.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60))]
    lease: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let (tasks, lease, seconds) = if options.short { (10_000, 2, 30) } else { (100_000, 5, 75) };
    let plan = Plan {
        broker: options.broker,
        results: options.results,
        tasks: options.tasks.unwrap_or(tasks),
        lease: Duration::from_secs(options.lease.unwrap_or(lease)),
        // The short form is not built for release, and other tests may have the machine.
        on_its_way: Duration::from_millis(if options.short { 500 } else { 10 }),
        sending: Duration::from_secs(seconds),
    };
    match conduct::run(&plan).await {
        Ok(lines) => {
            report::print(&plan, &lines);
            if lines.iter().all(|line| line.kept) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            report::say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
