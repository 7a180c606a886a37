//! Measures Lovage, one broker at a time: sending, draining, latency, and what an idle worker costs.
//!
//! Run it by `cargo xtask bench`, which builds it for release and starts the servers. Each rate stands beside a ceiling:
//! the same broker operations in the same run without client and worker around them.

mod idle;
mod latency;
mod report;
mod throughput;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use lovage_client::Client;
use lovage_client::connect::{Backends, open_both, open_broker, open_results};
use lovage_core::{Broker, Clock, QueueName, ResultStore};
use lovage_system::SystemClock;

use crate::report::Report;

/// What a measurement failed with.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
struct Options {
    /// The broker: memory, or a URL.
    #[arg(long)]
    broker: String,
    /// The name of this run in the table.
    #[arg(long)]
    name: String,
    /// Messages to drain.
    #[arg(long, default_value_t = 100_000)]
    tasks: usize,
    /// Seconds to watch an idle worker.
    #[arg(long, default_value_t = 10)]
    idle_seconds: u64,
    /// Threads of the runtime.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Only these: send, drain, latency, idle.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Be an idle worker until stdin ends.
    #[arg(long, hide = true)]
    idle_worker: bool,
}

/// Where one measurement runs.
pub(crate) struct Bed {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) url: String,
    store: Option<lovage_broker_memory::MemoryStore>,
}

impl Bed {
    fn new(url: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = (url == "memory").then(|| lovage_broker_memory::MemoryStore::new(Arc::clone(&clock)));
        Self { clock, url: url.to_owned(), store }
    }

    /// A new participant.
    pub(crate) async fn broker(&self) -> Fallible<Arc<dyn Broker>> {
        match &self.store {
            Some(store) => Ok(store.handle()),
            None => Ok(open_broker(&self.url).await?),
        }
    }

    /// The results beside the broker.
    pub(crate) async fn results(&self) -> Fallible<Arc<dyn ResultStore>> {
        match &self.store {
            Some(_) => Ok(Arc::new(lovage_broker_memory::MemoryResults::new(Arc::clone(&self.clock)))),
            None => Ok(open_results(&self.url).await?),
        }
    }

    /// A new participant and the results beside it, as a worker opens them.
    pub(crate) async fn backends(&self) -> Fallible<Backends> {
        match &self.store {
            Some(store) => {
                let results = Arc::new(lovage_broker_memory::MemoryResults::new(Arc::clone(&self.clock)));
                Ok(Backends { broker: store.handle(), results, shared: None })
            }
            None => Ok(open_both(&self.url, &self.url).await?),
        }
    }

    /// A client without results.
    pub(crate) async fn client(&self) -> Fallible<Client> {
        Ok(Client::new(self.broker().await?, None))
    }
}

/// A queue of its own for each measurement.
pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::new(format!("bench-{name}")).unwrap_or_default()
}

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(options.threads).enable_all().build() {
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
    let bed = Bed::new(&options.broker);
    if options.idle_worker {
        return idle::be_idle(&bed).await;
    }
    let mut report = Report::new(&options.name);
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
    if wanted("idle") && bed.store.is_none() {
        idle::measure(&bed, &mut report, options.idle_seconds).await?;
    }
    report.print();
    Ok(())
}
