//! Measures Lovage, one broker at a time: sending, draining, latency, and what an idle worker costs.
//!
//! Run it by `cargo xtask bench`, which builds it for release and starts the servers. Each rate stands beside a ceiling:
//! the same broker operations in the same run without client and worker around them.

mod bed;
mod faults;
mod idle;
mod latency;
mod memory;
mod report;
mod throughput;
mod watched;

use std::process::ExitCode;

use clap::Parser;
use lovage_core::QueueName;

pub(crate) use crate::bed::Bed;
use crate::report::Report;

/// What a measurement failed with.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
struct Options {
    /// The broker: memory, sqlite, redis or postgres, which are started for this run, or a URL.
    #[arg(long)]
    broker: String,
    /// Also with results in these places, named in the same way.
    #[arg(long, value_delimiter = ',')]
    results: Vec<String>,
    /// Messages to drain.
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
    /// Seconds to watch an idle worker.
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// Threads of the runtime.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only these: send, drain, latency, idle, memory, faults.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Be a worker of this queue of the broker until stdin ends, and tell of each start.
    #[arg(long, hide = true)]
    work: Option<String>,
}

/// A queue of its own for each measurement.
pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(format!("bench-{name}")).unwrap_or_default()
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    // On a thread of the runtime, where a web server's handlers are: from outside every await would cost a thread switch.
    match runtime.block_on(runtime.spawn(async move { run(&options).await })) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(&*error),
        Err(panic) => fail(&panic),
    }
}

#[expect(clippy::print_stderr, reason = "a command line tool")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

async fn run(options: &Options) -> Fallible<()> {
    if let Some(queue) = &options.work {
        return watched::work(&Bed::attached(&options.broker), queue).await;
    }
    let bed = Bed::new(&options.broker, &options.results)?;
    let mut report = Report::new(&options.broker);
    let wanted = |part: &str| options.only.is_empty() || options.only.iter().any(|only| only == part);
    if wanted("send") {
        throughput::send(&bed, &mut report, options.tasks).await?;
    }
    if wanted("drain") {
        throughput::drain(&bed, &mut report, options.tasks).await?;
    }
    if wanted("latency") {
        latency::measure(&bed, &mut report).await?;
    }
    if wanted("memory") && bed.is_redis() {
        memory::measure(&bed, &mut report, options.tasks).await?;
    }
    if wanted("idle") && !bed.is_memory() {
        idle::measure(&bed, &mut report, options.idle_seconds).await?;
    }
    if wanted("faults") && !bed.is_memory() {
        faults::measure(&bed, &mut report).await?;
    }
    report.print();
    Ok(())
}
