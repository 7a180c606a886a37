//! Runs the drill.

mod beats;
mod conduct;
mod process;
mod report;
mod services;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::conduct::Plan;
use crate::services::Kind;

/// What a step failed with: a message for the person at the terminal.
type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// Breaks a running Lovage in every way that production will, and judges what became of each task. Exit code 1: a promise
/// is broken.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    part: Option<Part>,
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

/// Other drills.
#[derive(Debug, Subcommand)]
enum Part {
    /// Three beats on one PostgreSQL and one Redis, killed and frozen in the middle of their rounds, and both servers
    /// restarted: every slot is published exactly once.
    Beat {
        /// Under a minute, with shorter faults.
        #[arg(long)]
        short: bool,
        /// For how long there are slots: 0.5 to 60; 10, or 0.75 in the short form.
        #[arg(long)]
        minutes: Option<f64>,
        /// Each has a slot a second; 500, or 200 in the short form, which is not built for release.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        entries: Option<u32>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.part {
        Some(Part::Beat { short, minutes, entries }) => beat(short, minutes, entries).await,
        None => tasks(&options).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Answers whether every promise is kept.
async fn tasks(options: &Options) -> Fallible<bool> {
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
    let lines = conduct::run(&plan).await?;
    report::print(&plan.title(), &lines);
    Ok(lines.iter().all(|line| line.kept))
}

/// Answers whether every promise is kept.
async fn beat(short: bool, minutes: Option<f64>, entries: Option<u32>) -> Fallible<bool> {
    let (usual_minutes, usual_entries) = if short { (0.75, 200) } else { (10.0, 500) };
    let minutes = minutes.unwrap_or(usual_minutes);
    if !(0.5..=60.0).contains(&minutes) {
        return Err(format!("--minutes {minutes}: expected 0.5 to 60").into());
    }
    let plan = beats::Plan::of(minutes, usize::try_from(entries.unwrap_or(usual_entries))?);
    let lines = beats::run(&plan).await?;
    report::print(&plan.title(), &lines);
    Ok(lines.iter().all(|line| line.kept))
}
