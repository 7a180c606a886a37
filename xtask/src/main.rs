//! Orchestration of the tests, services and benchmarks of Lovage: `cargo xtask help`.

mod bench;
mod conformance;
mod drill;
mod services;
mod test;
mod tidy;
mod user_project;

use std::path::{Path, PathBuf};
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
    /// Measures sending, draining, latency and idle cost, beside the raw ceiling of the same operations.
    Bench {
        /// Which brokers.
        #[arg(long, value_delimiter = ',', default_value = "memory,sqlite,redis")]
        broker: Vec<String>,
        /// Messages to drain.
        #[arg(long, default_value_t = 100_000)]
        tasks: usize,
        /// Where the figures go, one JSON line per broker; default target/bench/figures.jsonl.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// Breaks a running Lovage in every way that production will, and judges what became of each task: several minutes.
    Drill {
        /// A tenth of the tasks, a shorter lease, not built for release: under a minute.
        #[arg(long)]
        short: bool,
        /// More arguments of the drill itself: `-- --broker postgres --results redis`, `-- --help`.
        #[arg(last = true)]
        more: Vec<String>,
    },
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
        Verb::Bench { broker, tasks, json } => {
            let services = services::Services::start(root)?;
            bench::run(root, &broker, tasks, services.redis_url(), json.as_deref())
        }
        Verb::Drill { short, more } => {
            let short_form = short.then(|| "--short".to_owned());
            drill::run(root, !short, &short_form.into_iter().chain(more).collect::<Vec<_>>())
        }
    }
}

/// A line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "a command line tool")]
fn say(line: &str) {
    eprintln!("{line}");
}
