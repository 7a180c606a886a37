//! The beat program of the drill: the scheduler as it is, with a journal of its rounds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use lovage::Client;
use lovage_core::schedule::ScheduleStore;
use lovage_core::{BackendError, Broker, Clock as _};
use lovage_drill::beat::rounds::Watched;
use lovage_scheduler::Scheduler;
use lovage_sql::Database;
use lovage_system::SystemClock;
use tokio::signal::unix::{SignalKind, signal};

/// It may be started while a server is away.
const PAUSE: Duration = Duration::from_millis(100);

/// Fires what is due until SIGTERM.
#[derive(Debug, Parser)]
struct Options {
    /// The broker's URL.
    #[arg(long)]
    broker: String,
    /// The URL of the schedule.
    #[arg(long)]
    schedules: String,
    /// Where to write what it does.
    #[arg(long)]
    journal: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let options = Options::parse();
    let mut terminated = signal(SignalKind::terminate())?;
    let clock = SystemClock::new();
    let (store, broker) = loop {
        match open(&options).await {
            Ok(both) => break both,
            Err(error) => tracing::warn!("not yet: {error}"),
        }
        clock.sleep(PAUSE).await;
    };
    let store = Arc::new(Watched::new(store, &options.journal)?);
    let stop = async move {
        terminated.recv().await;
    };
    Scheduler::new(store, broker, Arc::new(clock)).run_until(stop).await;
    Ok(())
}

async fn open(options: &Options) -> Result<(Arc<dyn ScheduleStore>, Arc<dyn Broker>), BackendError> {
    let store = lovage_schedules_sql::open(Database::connect(&options.schedules).await?).await?;
    let client = Client::connect(&options.broker)
        .await
        .map_err(|error| BackendError::new(lovage_core::BackendErrorKind::Unavailable, error.to_string()))?;
    Ok((store, Arc::clone(client.broker())))
}
