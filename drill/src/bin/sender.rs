//! The sender program of the drill.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use lovage::Client;
use lovage_drill::sender::{Ledger, send_paced};

/// Sends tasks and writes down what was accepted.
#[derive(Debug, Parser)]
struct Options {
    /// The broker's URL.
    #[arg(long)]
    broker: String,
    /// Where to write what was accepted.
    #[arg(long)]
    ledger: PathBuf,
    /// The number of its first task.
    #[arg(long)]
    first: u64,
    /// How many tasks.
    #[arg(long)]
    count: u64,
    /// Over how many seconds.
    #[arg(long)]
    seconds: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let client = Client::connect(&options.broker).await?;
    let mut ledger = Ledger::open(&options.ledger)?;
    let time = Duration::from_secs(options.seconds);
    send_paced(&client, &mut ledger, options.first, options.count, time).await
}
