//! `dead`: dead letters, read, run again and removed.

use std::collections::BTreeMap;

use lovage_core::{Envelope, Hidden, Page, Place, QueueName, StoredMessage, TaskId};
use lovage_worker::Client;

use crate::cli::{Dead, DeadFilter, DeadSelection};
use crate::error::CliError;
use crate::output::{Out, Progress, Rows, Table};
use crate::session::{Session, now, queues_of};
use crate::show::{self, Content, ago};

/// Ids in one step.
const STEP: usize = 500;

/// `lovage dead …`.
pub(crate) async fn dead(session: &Session, what: Dead) -> Result<(), CliError> {
    let client = session.connect_to_look().await?;
    match what {
        Dead::List { filter, limit, format } => {
            let letters = matching(&client, &filter, limit).await?;
            list(&letters, &session.hidden(&**client.broker()).await, format.json)
        }
        Dead::Show { id, format } => show_one(session, &client, id, format.json).await,
        Dead::Retry(selection) => {
            let count = each(&client, &selection, Step::Retry).await?;
            Out.line(format!("{count} dead letters run again"))
        }
        Dead::Delete(selection) => {
            let count = each(&client, &selection, Step::Delete).await?;
            Out.line(format!("{count} dead letters removed"))
        }
    }
}

fn list(letters: &[StoredMessage], hidden: &Hidden, as_json: bool) -> Result<(), CliError> {
    let now = now();
    let mut table = Table::new(["ID", "TASK", "ARGUMENTS", "QUEUE", "REASON", "SINCE", "LAST ERROR"]);
    for letter in letters {
        let content = Content::of(letter, hidden);
        table.row([
            letter.id.to_string(),
            content.task,
            content.arguments,
            letter.queue.to_string(),
            letter.reason.map_or_else(String::new, |reason| reason.as_str().to_owned()),
            letter.at.map_or_else(String::new, |at| ago(at, now)),
            letter.notes.last().map_or_else(String::new, |note| note.error.clone()),
        ]);
    }
    let json = letters.iter().map(|letter| show::message(letter, hidden)).collect();
    Out.rows(as_json, Rows { json, table, none: "there are no dead letters" })
}

async fn show_one(session: &Session, client: &Client, id: TaskId, as_json: bool) -> Result<(), CliError> {
    let letter = client.broker().find(id, None).await?.filter(|found| found.place == Place::Dead);
    let letter = letter.ok_or_else(|| CliError::failed(format!("task {id} is not a dead letter")))?;
    let hidden = session.hidden(&**client.broker()).await;
    if as_json {
        return Out.json(&show::message(&letter, &hidden));
    }
    let content = Content::of(&letter, &hidden);
    let at = letter.at.map_or_else(String::new, |at| at.to_string());
    for (title, value) in [
        ("id", id.to_string()),
        ("task", content.task),
        ("arguments", content.arguments),
        ("queue", letter.queue.to_string()),
        ("priority", letter.priority.to_string()),
        ("published", letter.published_at.to_string()),
        ("dead since", at),
        ("reason", letter.reason.map_or_else(String::new, |reason| reason.as_str().to_owned())),
        ("attempts", letter.failed_attempts().to_string()),
    ] {
        Out.line(format!("{title:<11} {}", value.escape_debug()))?;
    }
    for note in &letter.notes {
        Out.line(format!("  {} {}: {}", note.at, note.worker, note.error.escape_debug()))?;
    }
    Ok(())
}

/// What is done with dead letters.
#[derive(Clone, Copy)]
enum Step {
    Retry,
    Delete,
}

async fn each(client: &Client, selection: &DeadSelection, step: Step) -> Result<usize, CliError> {
    let by_queue = selected(client, selection).await?;
    let total: usize = by_queue.values().map(Vec::len).sum();
    let progress = Progress::new("dead letters:", total as u64);
    let (mut done, mut seen) = (0, 0);
    for (queue, ids) in &by_queue {
        for part in ids.chunks(STEP) {
            done += match step {
                Step::Retry => client.broker().requeue_dead(queue, part, None).await?,
                Step::Delete => client.broker().delete_dead(queue, part).await?,
            };
            seen += part.len() as u64;
            progress.at(seen);
        }
    }
    Ok(done)
}

/// The ids by queue.
async fn selected(
    client: &Client,
    selection: &DeadSelection,
) -> Result<BTreeMap<QueueName, Vec<TaskId>>, CliError> {
    let mut by_queue: BTreeMap<QueueName, Vec<TaskId>> = BTreeMap::new();
    if selection.letters.all {
        for letter in matching(client, &selection.filter, usize::MAX).await? {
            by_queue.entry(letter.queue).or_default().push(letter.id);
        }
        return Ok(by_queue);
    }
    for id in &selection.letters.ids {
        match client.broker().find(*id, selection.filter.queue.as_ref()).await? {
            Some(letter) if letter.place == Place::Dead && matches(&selection.filter, &letter) => {
                by_queue.entry(letter.queue).or_default().push(*id);
            }
            _ => {
                return Err(CliError::failed(format!(
                    "task {id} is not such a dead letter; nothing was done"
                )));
            }
        }
    }
    Ok(by_queue)
}

/// Dead letters that match, the newest of each queue first.
async fn matching(
    client: &Client,
    filter: &DeadFilter,
    limit: usize,
) -> Result<Vec<StoredMessage>, CliError> {
    let mut letters = Vec::new();
    for queue in queues_of(client, filter.queue.as_ref()).await? {
        let mut page = Page::first(STEP);
        while letters.len() < limit {
            let part = client.broker().peek(&queue, Place::Dead, page.clone()).await?;
            letters.extend(part.items.into_iter().filter(|letter| matches(filter, letter)));
            match part.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
    }
    letters.truncate(limit);
    Ok(letters)
}

fn matches(filter: &DeadFilter, letter: &StoredMessage) -> bool {
    filter.reason.is_none_or(|reason| letter.reason == Some(reason))
        && filter
            .task
            .as_ref()
            .is_none_or(|task| Envelope::decode(&letter.body).is_ok_and(|envelope| envelope.task == *task))
}
