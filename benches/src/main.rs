//! Measures Lovage, one broker at a time: sending, draining, latency, and what idle workers and faults cost.
//!
//! Run it by `cargo xtask bench`, which builds it for release and starts the servers. Each rate stands beside a ceiling:
//! the same broker operations in the same run without client and worker around them.

mod beat;
mod bed;
mod dashboard;
mod faults;
mod idle;
mod latency;
mod memory;
mod million;
mod proc;
mod report;
mod targets;
mod throughput;
mod watched;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use lovage_core::QueueName;
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use crate::bed::{Bed, Kind};
use crate::report::Report;

/// What a measurement failed with.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
struct Options {
    /// The broker: memory, sqlite, redis, redis-cluster or postgres, which are started for this run, or a URL.
    #[arg(long)]
    broker: String,
    /// Also with results in these places, named in the same way.
    #[arg(long, value_delimiter = ',')]
    results: Vec<String>,
    /// Messages to send and drain; more than one number: each is drained without results.
    #[arg(long, value_delimiter = ',', default_value = "100000", value_parser = clap::value_parser!(u32).range(1_000..))]
    tasks: Vec<u32>,
    /// Tasks that have ended, for the dashboard.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(1_000_000..))]
    finished: u32,
    /// Seconds to watch an idle worker.
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// Threads of the runtime.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only these.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Append the figures to this file, too, as a line of JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Be a worker of this queue of the broker until stdin ends, and tell of each start.
    #[arg(long, hide = true)]
    work: Option<String>,
    /// Be a beat of this schedule until SIGTERM.
    #[arg(long, hide = true)]
    beat: Option<String>,
    /// Be a dashboard until stdin ends.
    #[arg(long, hide = true)]
    dashboard: bool,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    // First: later a database would clean up after the others, and its transactions would be counted here.
    Idle,
    Send,
    Drain,
    Latency,
    Memory,
    Faults,
    // Last: they leave millions of rows behind.
    Beat,
    Dashboard,
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
    let measured = async move {
        tokio::select! {
            done = run(&options) => done,
            () = interrupted() => Err("interrupted".into()),
        }
    };
    match runtime.block_on(runtime.spawn(measured)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => fail(&*error),
        Err(panic) => fail(&panic),
    }
}

/// Ctrl-C or SIGTERM. Without it they would leave the servers behind.
async fn interrupted() {
    let Ok(mut terminated) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
}

#[expect(clippy::print_stderr, reason = "a command line tool")]
fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

async fn run(options: &Options) -> Fallible<()> {
    if let Some(queue) = &options.work {
        return watched::work(&Bed::attached(&options.broker)?, queue).await;
    }
    if let Some(schedules) = &options.beat {
        return beat::run(&Bed::attached(&options.broker)?, schedules).await;
    }
    if options.dashboard {
        return dashboard::serve(&Bed::attached(&options.broker)?).await;
    }
    let bed = Bed::new(&options.broker, &options.results).await?;
    let mut report = Report::new(&options.broker);
    // Figures of a machine that has other things to do are too low, and the reader should see that.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    if let Some(load) = load.split(' ').next().and_then(|minute| minute.parse().ok()) {
        report.add("load average of the minute before", load, "");
    }
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        // One that fails keeps nobody from the figures of the others.
        if let Err(error) = Box::pin(measure(*part, &bed, &mut report, options)).await {
            report.fail(&format!("{part:?}").to_lowercase(), &*error);
        }
    }
    report.print();
    if let Some(path) = &options.json {
        report.write_json(path)?;
    }
    if report.has_failed() { Err("not everything could be measured: see above".into()) } else { Ok(()) }
}

async fn measure(part: Part, bed: &Bed, report: &mut Report, options: &Options) -> Fallible<()> {
    let sizes = options.tasks.iter().map(|tasks| Ok(usize::try_from(*tasks)? / 1_000 * 1_000));
    let sizes: Vec<usize> = sizes.collect::<Fallible<_>>()?;
    let tasks = sizes.first().copied().unwrap_or_default();
    // What is in this process only has no worker process, and nothing of it outlives a kill.
    let alone = bed.kind == Kind::Memory;
    match part {
        Part::Send => throughput::send(bed, report, tasks).await,
        Part::Drain => throughput::drain(bed, report, &sizes).await,
        Part::Latency => Box::pin(latency::measure(bed, report)).await,
        Part::Memory if bed.kind != Kind::Redis => Ok(()),
        Part::Memory => memory::measure(bed, report, tasks).await,
        Part::Idle | Part::Faults | Part::Beat if alone => Ok(()),
        Part::Idle => idle::measure(bed, report, options.idle_seconds).await,
        Part::Faults => faults::measure(bed, report).await,
        // One Redis says of beats what a cluster would say.
        Part::Beat if bed.kind == Kind::Cluster => Ok(()),
        Part::Beat => beat::measure(bed, report).await,
        // What is slow about it are millions of rows in PostgreSQL.
        Part::Dashboard if bed.kind != Kind::Postgres => Ok(()),
        Part::Dashboard => dashboard::measure(bed, report, options.finished).await,
    }
}
