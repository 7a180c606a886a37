//! Sending tasks once more: one, several, or a part of all that match. A dead letter is retried as itself, because a copy under
//! a new id would leave it behind, to run a second time when it is retried later. Any other task gets a new id.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lovage_core::{
    BackendError, Hidden, Message, Place, Published, QueueName, StoredMessage, TaskId, TaskRecord,
};

use super::draft::Draft;
use crate::app::App;

/// What is known of a task that is to be sent once more.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: TaskId,
    /// While the broker has it.
    pub(super) message: Option<StoredMessage>,
    pub(super) record: Option<TaskRecord>,
}

/// Tasks on their way to be sent once more.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// New messages, at most [`PUBLISH_BATCH`](lovage_core::limits::PUBLISH_BATCH), each with the id of the task before.
    messages: Vec<Message>,
    before: Vec<TaskId>,
    /// Dead letters, by queue.
    dead: BTreeMap<QueueName, Vec<TaskId>>,
    /// What cannot be sent, and why.
    failed: Vec<(TaskId, String)>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) count: usize,
    pub(super) failed: Vec<(TaskId, String)>,
}

impl Batch {
    pub(super) fn new(app: &App, known: &[Known], hidden: &Hidden) -> Self {
        let mut batch = Self::default();
        for known in known {
            let Known { id, message, record } = known;
            if let Some(message) = message.as_ref().filter(|message| message.place == Place::Dead) {
                batch.dead.entry(message.queue.clone()).or_default().push(*id);
                continue;
            }
            let draft = Draft::of(*id, message.as_ref(), record.as_ref(), hidden);
            match draft.and_then(|draft| draft.message(app)) {
                Ok(message) => {
                    batch.messages.push(message);
                    batch.before.push(*id);
                }
                Err(problem) => batch.failed.push((*id, problem.sentence)),
            }
        }
        batch
    }

    /// Publishes the new messages at once and retries the dead letters. After an error it may be sent again: the ids are the
    /// same ones.
    pub(super) async fn send(&self, app: &App) -> Result<Sent, BackendError> {
        let answers = publish(app, &self.messages).await?;
        let mut sent = Sent { count: 0, failed: self.failed.clone() };
        for (id, answer) in self.before.iter().zip(answers) {
            match answer {
                Ok(()) => sent.count += 1,
                Err(why) => sent.failed.push((*id, why)),
            }
        }
        for (queue, ids) in &self.dead {
            retry(app, queue, ids, &mut sent).await?;
        }
        Ok(sent)
    }
}

/// Makes dead letters ready again.
async fn retry(app: &App, queue: &QueueName, ids: &[TaskId], sent: &mut Sent) -> Result<(), BackendError> {
    let broker = &app.parts.broker;
    let mut missed: BTreeSet<TaskId> = BTreeSet::new();
    if broker.requeue_dead(queue, ids, None).await? < ids.len() {
        // The answer of an earlier attempt may have been lost: those that are live were retried.
        missed.extend(ids);
        for message in broker.find_all(queue, ids).await? {
            missed.remove(&message.id);
        }
    }
    sent.count += ids.len() - missed.len();
    let why = "its dead letter was deleted, or has already run again".to_owned();
    sent.failed.extend(missed.into_iter().map(|id| (id, why.clone())));
    Ok(())
}

/// What the broker knows of the tasks of these rows, in one round trip for each of their queues.
pub(super) async fn with_messages(app: &App, rows: Vec<TaskRecord>) -> Result<Vec<Known>, BackendError> {
    let mut by_queue: BTreeMap<&QueueName, Vec<TaskId>> = BTreeMap::new();
    rows.iter().for_each(|row| by_queue.entry(&row.queue).or_default().push(row.id));
    let mut messages = HashMap::new();
    for (queue, ids) in by_queue {
        let found = app.parts.broker.find_all(queue, &ids).await?;
        messages.extend(found.into_iter().map(|message| (message.id, message)));
    }
    let known = |row: TaskRecord| Known { id: row.id, message: messages.remove(&row.id), record: Some(row) };
    Ok(rows.into_iter().map(known).collect())
}

/// Publishes messages; answers for each of them why the broker did not take it, where it did not.
pub(super) async fn publish(app: &App, batch: &[Message]) -> Result<Vec<Result<(), String>>, BackendError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let answers = app.parts.broker.publish(batch, None).await?;
    let taken = |(message, answer): (&Message, Published)| match answer {
        Published::Accepted => Ok(()),
        // An answer was lost, and it was sent again.
        Published::Duplicate { holder } if holder == message.id => Ok(()),
        Published::Full { limit } => {
            Err(format!("the queue `{}` has reached its length of {limit}", message.queue))
        }
        Published::Duplicate { .. } | Published::Stale { .. } | Published::Early { .. } => {
            Err("the broker has a task of this new id: try again".to_owned())
        }
    };
    Ok(batch.iter().zip(answers).map(taken).collect())
}
