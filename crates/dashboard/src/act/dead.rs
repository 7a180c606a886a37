//! Retrying and deleting dead letters: those that are named, or by a job all that match.

use std::collections::HashSet;

use async_trait::async_trait;
use lovage_core::{
    BackendError, Broker, DeadReason, Envelope, Page, Place, QueueName, StoredMessage, TaskId, Timestamp,
};

use super::sure::{AS_A_JOB, Confirm, Sure, Tally, capital};
use super::{chosen, confirmed, listed};
use crate::app::App;
use crate::call::Call;
use crate::jobs::{Jobs, Plan, Step, Work};
use crate::look::queues::existing;
use crate::problem::Problem;
use crate::routes::Done;

/// Dead letters of one step.
const STEP: usize = 500;
/// Dead letters that are looked at for a question, the newest.
const ASKED_OF: usize = 1_000;

/// What is done to dead letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Retry,
    Delete,
}

pub(crate) async fn retry(call: Call) -> Result<Done, Problem> {
    act(&call, Deed::Retry).await
}

pub(crate) async fn delete(call: Call) -> Result<Done, Problem> {
    act(&call, Deed::Delete).await
}

/// Those that are named are retried without a question.
pub(crate) async fn ask_retry(call: Call) -> Result<Option<Sure>, Problem> {
    if !call.input.flag("all")? {
        return Ok(None);
    }
    let (queue, meant) = (existing(&call, "queue").await?, Meant::of(&call)?);
    let tally = matching(&call.app, &queue, &meant).await?;
    let (to, number) = (capital(&meant.words(&queue)), tally.words("task"));
    Ok(Some(Sure {
        title: "Retry all that match?",
        words: format!("{to}: {number} will be made ready again, for workers to run.{AS_A_JOB}"),
        lines: tally.lines("Task", "Given up as"),
        button: "Retry all of them",
        is_danger: false,
        confirm: Confirm::Pressed,
    }))
}

pub(crate) async fn ask_delete(call: Call) -> Result<Option<Sure>, Problem> {
    let queue = existing(&call, "queue").await?;
    let is_all = call.input.flag("all")?;
    let (title, tally, to, how) = if is_all {
        let meant = Meant::of(&call)?;
        let tally = matching(&call.app, &queue, &meant).await?;
        ("Delete all dead letters that match?", tally, capital(&meant.words(&queue)), AS_A_JOB)
    } else {
        let found = named(&call.app, &queue, &chosen(&call)?).await?;
        ("Delete the selected dead letters?", found, format!("What was selected in `{queue}`"), "")
    };
    let number = tally.words("dead letter");
    Ok(Some(Sure {
        title,
        words: format!("{to}: {number} will be deleted, and nobody gets them back.{how}"),
        lines: tally.lines("Task", "Given up as"),
        button: "Delete these dead letters",
        is_danger: true,
        confirm: if is_all { Confirm::Typed(queue.to_string()) } else { Confirm::Pressed },
    }))
}

/// The kinds of dead letters that match, among the newest.
async fn matching(app: &App, queue: &QueueName, meant: &Meant) -> Result<Tally, Problem> {
    let found = app.parts.broker.peek(queue, Place::Dead, Page::first(ASKED_OF)).await?;
    let mut tally = Tally::of_some(found.next.is_some());
    found.items.iter().filter(|message| meant.is(message)).for_each(|message| add(&mut tally, message));
    if tally.is_empty() {
        return Err(Problem::conflict(format!("nothing was begun: there is none of {}", meant.words(queue))));
    }
    Ok(tally)
}

/// The kinds of those that are named.
async fn named(app: &App, queue: &QueueName, ids: &[TaskId]) -> Result<Tally, Problem> {
    let mut tally = Tally::default();
    for ids in ids.chunks(STEP) {
        let found = app.parts.broker.find_all(queue, ids).await?;
        let dead = found.iter().filter(|message| message.place == Place::Dead);
        dead.for_each(|message| add(&mut tally, message));
    }
    if tally.is_empty() {
        return Err(gone(queue));
    }
    Ok(tally)
}

fn add(tally: &mut Tally, message: &StoredMessage) {
    let reason = message.reason.map_or("unknown", DeadReason::as_str);
    tally.add(name(message).unwrap_or_else(|| "(not readable)".to_owned()), reason);
}

async fn act(call: &Call, deed: Deed) -> Result<Done, Problem> {
    let queue = existing(call, "queue").await?;
    if call.input.flag("all")? {
        return all(call, deed, queue);
    }
    let ids = chosen(call)?;
    let mut count = 0;
    for ids in ids.chunks(STEP) {
        count += deed.apply(&*call.app.parts.broker, &queue, ids).await?;
    }
    done(&queue, &ids, count, deed)
}

fn gone(queue: &QueueName) -> Problem {
    Problem::conflict(format!("none of these is a dead letter of `{queue}` any more"))
}

fn done(queue: &QueueName, ids: &[TaskId], count: usize, deed: Deed) -> Result<Done, Problem> {
    if count == 0 {
        return Err(gone(queue));
    }
    let missed = match ids.len() - count.min(ids.len()) {
        0 => String::new(),
        missed => format!(" {missed} were no dead letters any more."),
    };
    let what = match deed {
        Deed::Retry => "run again",
        Deed::Delete => "were deleted",
    };
    let sentence = format!("{count} of the dead letters of `{queue}` {what}.{missed}");
    Ok(Done::new(format!("{queue}: {}", listed(ids)), sentence).count(count))
}

/// Begins a job.
fn all(call: &Call, deed: Deed, queue: QueueName) -> Result<Done, Problem> {
    let meant = Meant::of(call)?;
    let to = meant.words(&queue);
    let (action, title, done) = match deed {
        Deed::Retry => ("dead/retry", "Retry dead letters", "made ready again"),
        Deed::Delete => ("dead/delete", "Delete dead letters", "deleted"),
    };
    if deed == Deed::Delete {
        confirmed(call, &queue)?;
    }
    let plan = Plan { action, title, to, one: "dead letter", done, total: None };
    Jobs::start(call, plan, DeadLetters::of(deed, queue, meant))
}

fn known(word: &str) -> Result<DeadReason, Problem> {
    DeadReason::parse(word).ok_or_else(|| {
        Problem::wrong(format!(
            "reason `{word}` is not valid: expected exhausted, permanent, poisoned, undeliverable or unreadable"
        ))
    })
}

/// What a request means by all.
struct Meant {
    reason: Option<DeadReason>,
    task: Option<String>,
}

impl Meant {
    fn of(call: &Call) -> Result<Self, Problem> {
        let reason = call.input.get("reason").map(known).transpose()?;
        Ok(Self { reason, task: call.input.get("task").map(str::to_owned) })
    }

    fn is(&self, message: &StoredMessage) -> bool {
        self.reason.is_none_or(|reason| message.reason == Some(reason))
            && self.task.as_ref().is_none_or(|task| name(message).as_ref() == Some(task))
    }

    fn words(&self, queue: &QueueName) -> String {
        let reasons =
            self.reason.map_or_else(String::new, |reason| format!(" given up as {}", reason.as_str()));
        let tasks = self.task.as_ref().map_or_else(String::new, |task| format!(" of the task `{task}`"));
        format!("all dead letters in `{queue}`{tasks}{reasons}")
    }
}

impl Deed {
    /// Answers how many of these were dead letters.
    async fn apply(
        self,
        broker: &dyn Broker,
        queue: &QueueName,
        ids: &[TaskId],
    ) -> Result<usize, BackendError> {
        match self {
            Self::Retry => broker.requeue_dead(queue, ids, None).await,
            Self::Delete => broker.delete_dead(queue, ids).await,
        }
    }
}

/// Does something to all dead letters that match. They are read to the end of their list before any is touched: where a
/// part begins may be counted from the head, which moves. So does what others do meanwhile: it is read until a whole reading
/// finds nothing more.
struct DeadLetters {
    deed: Deed,
    queue: QueueName,
    meant: Meant,
    /// The newest one when the job began, by the broker's clock: what is given up later is not meant.
    newest: Option<Timestamp>,
    after: Option<String>,
    is_read: bool,
    seen: HashSet<TaskId>,
    waiting: Vec<TaskId>,
}

impl DeadLetters {
    fn of(deed: Deed, queue: QueueName, meant: Meant) -> Self {
        Self {
            deed,
            queue,
            meant,
            newest: None,
            after: None,
            is_read: false,
            seen: HashSet::new(),
            waiting: Vec::new(),
        }
    }

    fn is_meant(&self, message: &StoredMessage) -> bool {
        message.at <= self.newest && self.meant.is(message)
    }

    async fn read(&mut self, app: &App) -> Result<Step, BackendError> {
        let page = Page { after: self.after.clone(), limit: STEP };
        let found = app.parts.broker.peek(&self.queue, Place::Dead, page).await?;
        if self.newest.is_none() {
            self.newest = found.items.first().and_then(|message| message.at);
        }
        for message in &found.items {
            if self.is_meant(message) && self.seen.insert(message.id) {
                self.waiting.push(message.id);
            }
        }
        self.after = found.next;
        self.is_read = self.after.is_none();
        let total = self.is_read.then(|| u64::try_from(self.seen.len()).unwrap_or(u64::MAX));
        Ok(Step { total, is_last: self.is_read && self.waiting.is_empty(), ..Step::default() })
    }
}

#[async_trait]
impl Work for DeadLetters {
    async fn step(&mut self, app: &App) -> Result<Step, BackendError> {
        if !self.is_read {
            return self.read(app).await;
        }
        let part = &self.waiting[..self.waiting.len().min(STEP)];
        let count = self.deed.apply(&*app.parts.broker, &self.queue, part).await?;
        let gone = part.len() - count.min(part.len());
        self.waiting.drain(..part.len());
        self.is_read = !self.waiting.is_empty();
        let why = "somebody else took it meanwhile: it was no dead letter any more".to_owned();
        Ok(Step { done: count, failed: vec![(None, why); gone], ..Step::default() })
    }
}

fn name(message: &StoredMessage) -> Option<String> {
    Envelope::decode(&message.body).ok().map(|envelope| envelope.task)
}
