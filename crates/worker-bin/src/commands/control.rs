//! `control`: changes what is queued, and tells workers.

use lovage_core::{Cancelled, QueueName, RateLimit, TaskId, WorkerCommand, WorkerInfo};
use lovage_worker::Client;

use crate::cli::{Control, Workers};
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;

/// `lovage control …`.
pub(crate) async fn control(session: &Session, what: Control) -> Result<(), CliError> {
    let client = session.connect_or_create().await?;
    match what {
        Control::Revoke { ids } => revoke(&client, &ids).await,
        Control::Promote { ids } => promote(&client, &ids).await,
        Control::Pause { queue } => {
            client.broker().pause(&queue).await?;
            note_unknown(session, &client, &queue).await?;
            Out.line(format!("{queue} is paused: its tasks wait, new ones are taken"))
        }
        Control::Resume { queue } => {
            client.broker().resume(&queue).await?;
            note_unknown(session, &client, &queue).await?;
            Out.line(format!("{queue} is handed out again"))
        }
        Control::RateLimit { queue, rate } => {
            let rate = rate.join(" ");
            let limit = (rate != "off").then(|| rate.parse::<RateLimit>()).transpose();
            let limit = limit.map_err(|told| CliError::usage(format!("{told}, or off")))?;
            client.broker().limit(&queue, limit).await?;
            note_unknown(session, &client, &queue).await?;
            Out.line(match limit {
                Some(limit) => format!(
                    "{queue} is limited to {limit} over all workers, with at most {} at once",
                    limit.burst()
                ),
                None => format!("{queue} is not limited"),
            })
        }
        Control::Shutdown { workers, grace } => {
            tell(session, &client, &workers, &WorkerCommand::Shutdown { grace }).await
        }
        Control::Quiet { workers } => tell(session, &client, &workers, &WorkerCommand::Quiet).await,
        Control::Concurrency { node, slots } => {
            tell(session, &client, &Workers::named(node), &WorkerCommand::Concurrency { slots }).await
        }
        Control::AddQueue { node, queue, weight } => {
            tell(session, &client, &Workers::named(node), &WorkerCommand::AddQueue { queue, weight }).await
        }
        Control::DropQueue { node, queue } => {
            tell(session, &client, &Workers::named(node), &WorkerCommand::DropQueue { queue }).await
        }
    }
}

async fn revoke(client: &Client, ids: &[TaskId]) -> Result<(), CliError> {
    let mut missing = Vec::new();
    for id in ids {
        match client.cancel(*id).await? {
            Cancelled::Waiting => Out.line(format!("{id} is revoked"))?,
            Cancelled::Leased => Out.line(format!("{id} is with a worker, which is told to stop it"))?,
            Cancelled::NotFound => missing.push(*id),
        }
    }
    all_found(&missing, "is not waiting or running")
}

async fn promote(client: &Client, ids: &[TaskId]) -> Result<(), CliError> {
    let mut missing = Vec::new();
    for id in ids {
        if client.broker().promote(*id, None, None).await? {
            Out.line(format!("{id} is ready now"))?;
        } else {
            missing.push(*id);
        }
    }
    all_found(&missing, "does not wait for its time")
}

fn all_found(missing: &[TaskId], what: &str) -> Result<(), CliError> {
    if missing.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = missing.iter().map(|id| format!("{id} {what}")).collect();
    Err(CliError::failed(ids.join("; ")))
}

async fn note_unknown(session: &Session, client: &Client, queue: &QueueName) -> Result<(), CliError> {
    let used = client.broker().workers(None).await?.iter().any(|worker| worker.queues.contains(queue));
    if !used && !client.broker().queues().await?.contains(queue) {
        Out.note(format!(
            "note: nobody has used a queue `{queue}` yet; `{} queues` lists them",
            session.program
        ));
    }
    Ok(())
}

async fn tell(
    session: &Session,
    client: &Client,
    which: &Workers,
    command: &WorkerCommand,
) -> Result<(), CliError> {
    let mut workers = client.broker().workers(None).await?;
    // A beat takes no tasks.
    workers.retain(|worker| !worker.is_beat() || matches!(command, WorkerCommand::Shutdown { .. }));
    let meant = select(session, &workers, which)?;
    meant.iter().try_for_each(|worker| can(worker, command))?;
    for worker in meant {
        let word = match command {
            WorkerCommand::Shutdown { .. } => "stop".to_owned(),
            WorkerCommand::Quiet => "take no more tasks".to_owned(),
            WorkerCommand::Concurrency { slots } => {
                format!("run {slots} async tasks at once ({} until now)", worker.concurrency)
            }
            WorkerCommand::AddQueue { queue, .. } => format!("take tasks of `{queue}`, too"),
            WorkerCommand::DropQueue { queue } => format!("take no more tasks of `{queue}`"),
            WorkerCommand::Unknown(what) => format!("do {what}"),
        };
        if client.broker().tell(worker.id, command, None).await? {
            Out.line(format!("{} is told to {word}", worker.name))?;
        } else {
            Out.line(format!("{} has ended already", worker.name))?;
        }
    }
    Ok(())
}

/// Whether a worker could do it as far as is known here. It decides for itself.
fn can(worker: &WorkerInfo, command: &WorkerCommand) -> Result<(), CliError> {
    let WorkerCommand::DropQueue { queue } = command else { return Ok(()) };
    let queues: Vec<String> = worker.queues.iter().map(ToString::to_string).collect();
    if !worker.queues.contains(queue) {
        let message = format!("{} does not take tasks of `{queue}`", worker.name);
        return Err(CliError::failed(message).hint(format!("it takes those of {}", queues.join(", "))));
    }
    if queues.len() == 1 {
        let message = format!("`{queue}` is the last queue of {}", worker.name);
        let hint =
            "add another one first (`control add-queue`), or tell it to take no more tasks (`control quiet`)";
        return Err(CliError::failed(message).hint(hint));
    }
    Ok(())
}

fn select<'a>(
    session: &Session,
    workers: &'a [WorkerInfo],
    which: &Workers,
) -> Result<Vec<&'a WorkerInfo>, CliError> {
    let is_meant = |worker: &&WorkerInfo| match &which.node {
        Some(node) => worker.name == *node || worker.id.to_string() == *node,
        None => true,
    };
    let meant: Vec<_> = workers.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let message = match &which.node {
            Some(node) => format!("no live worker is called `{node}`"),
            None => "no worker is alive".to_owned(),
        };
        return Err(CliError::failed(message).hint(format!("`{} status` lists them", session.program)));
    }
    Ok(meant)
}
