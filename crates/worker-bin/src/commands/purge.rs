//! `purge`: removes what waits in a queue.

use std::io::{self, BufRead, IsTerminal, Write};

use lovage_core::{Depth, Place, QueueName};
use lovage_worker::Client;

use crate::cli::{Purge, Purgeable};
use crate::error::CliError;
use crate::output::{Out, Progress};
use crate::session::Session;

/// Removed in one step, so that workers are not kept waiting.
const STEP: usize = 1_000;

/// `lovage purge QUEUE`.
pub(crate) async fn purge(session: &Session, args: &Purge) -> Result<(), CliError> {
    let client = session.connect_to_look().await?;
    if !client.broker().queues().await?.contains(&args.queue) {
        return Err(CliError::failed(format!("there is no queue `{}`", args.queue))
            .hint(format!("`{} queues` lists them", session.program)));
    }
    let places: Vec<Place> = match args.states.as_slice() {
        [] => vec![Place::Ready, Place::Delayed],
        states => states.iter().copied().map(Purgeable::place).collect(),
    };
    let depth = client.broker().depth(&args.queue, None).await?;
    let total = places.iter().map(|place| count(&depth, *place)).sum();
    if !args.yes && !confirmed(&args.queue, total)? {
        return Err(CliError::failed("nothing was removed"));
    }
    let removed = purge_queue(&client, &args.queue, &places, total).await?;
    Out.line(format!("removed {removed} tasks from {}", args.queue))
}

/// Removes everything from these places of a queue, step by step; answers how many there were.
pub(crate) async fn purge_queue(
    client: &Client,
    queue: &QueueName,
    places: &[Place],
    total: u64,
) -> Result<u64, CliError> {
    let progress = Progress::new("removed", total);
    let mut removed = 0;
    for place in places {
        loop {
            let step = client.broker().purge(queue, *place, STEP).await?;
            removed += step as u64;
            progress.at(removed);
            if step < STEP {
                break;
            }
        }
    }
    Ok(removed)
}

fn count(depth: &Depth, place: Place) -> u64 {
    match place {
        Place::Ready => depth.ready,
        Place::Delayed => depth.delayed,
        Place::Leased => depth.leased,
        Place::Dead => depth.dead,
    }
}

fn confirmed(queue: &QueueName, total: u64) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::usage("nobody can be asked here whether to remove tasks").hint("add --yes"));
    }
    write!(io::stderr(), "Remove {total} tasks from {queue}? They are lost. [y/N] ")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
