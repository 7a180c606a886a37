//! One task: everything that broker and results know of it.

use std::collections::BTreeMap;

use lovage_core::{
    Ahead, AttemptRecord, Envelope, ErrorReport, Explanation, Facts, Hidden, Outcome, Place, StoredMessage,
    TaskId, TaskRecord, TaskState, explain,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::At;
use super::finished::FinishedRow;
use super::tasks::LiveRow;
use super::workers::{self, ProgressRow};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// One task.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct TaskView {
    pub(crate) id: String,
    /// Its name, where it is known.
    pub(crate) task: Option<String>,
    pub(crate) queue: Option<String>,
    #[schemars(with = "Option<String>")]
    pub(crate) state: Option<TaskState>,
    /// Why it does not run, or what became of it.
    pub(crate) explanation: String,
    /// As JSON text, what must not be seen hidden.
    pub(crate) arguments: Option<String>,
    /// Its message, while the broker has it.
    pub(crate) live: Option<LiveRow>,
    /// How far it is, where it runs and tells.
    pub(crate) progress: Option<ProgressRow>,
    /// Its newest row in the results.
    pub(crate) finished: Option<FinishedRow>,
    /// Its failure.
    pub(crate) failure: Option<Failure>,
    /// Its ended attempts, oldest first.
    pub(crate) attempts: Vec<Attempt>,
    /// The schedule that fired it.
    pub(crate) schedule: Option<String>,
    /// The task that sent it.
    pub(crate) parent: Option<String>,
    /// The first task of its workflow.
    pub(crate) root: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
}

/// How a task failed.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Failure {
    /// The error's type, `panic`, `timeout`, …
    pub(crate) kind: String,
    pub(crate) message: String,
    /// Its causes, the nearest first.
    pub(crate) chain: Vec<String>,
    pub(crate) backtrace: Option<String>,
}

/// An attempt that ended.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Attempt {
    pub(crate) run: u32,
    /// 1 for the first attempt of a run; nothing where it failed without one: nobody could run it.
    pub(crate) number: Option<u32>,
    #[schemars(with = "String")]
    pub(crate) state: TaskState,
    pub(crate) worker: String,
    pub(crate) started_at: Option<At>,
    pub(crate) finished_at: At,
    pub(crate) error: Option<String>,
}

pub(crate) async fn data(call: Call) -> Result<TaskView, Problem> {
    whole(&call).await.map(|(_, _, view)| view)
}

/// With the facts behind it, and what tasks hide.
pub(crate) async fn whole(call: &Call) -> Result<(Facts, Hidden, TaskView), Problem> {
    let id: TaskId = call.input.needed("id")?;
    let facts = facts(call, id).await?;
    let explanation = explain(&facts);
    if facts.message.is_none() && facts.record.is_none() {
        return Err(Problem::missing(explanation.to_string()));
    }
    let attempts = attempts(call, &facts).await?;
    let hidden = call.app.hidden().await;
    let view = view(&facts, &explanation, attempts, &hidden);
    Ok((facts, hidden, view))
}

/// A task's message and row. Results are asked last when the broker has nothing: a task that ended in between is there.
pub(crate) async fn find(
    app: &App,
    id: TaskId,
) -> Result<(Option<StoredMessage>, Option<TaskRecord>), Problem> {
    let record = record(app, id).await?;
    let message = app.parts.broker.find(id, None).await?;
    if message.is_some() || record.as_ref().is_some_and(|record| record.state.is_terminal()) {
        return Ok((message, record));
    }
    Ok((None, self::record(app, id).await?))
}

async fn record(app: &App, id: TaskId) -> Result<Option<TaskRecord>, Problem> {
    Ok(app.parts.results.get(&[id], None).await?.pop().flatten())
}

async fn facts(call: &Call, id: TaskId) -> Result<Facts, Problem> {
    let broker = &call.app.parts.broker;
    let (message, record) = find(&call.app, id).await?;
    let (workers, paused) = (Vec::new(), false);
    let mut facts = Facts { id, asked_at: call.now, message, record, workers, paused, ahead: None };
    if let Some(message) = facts.message.as_ref().filter(|message| message.place != Place::Dead) {
        facts.workers = broker.workers(None).await?;
        facts.paused = broker.depth(&message.queue, None).await?.paused;
        if message.place == Place::Ready {
            let tasks = broker.ahead(&message.queue, id).await?;
            facts.ahead = tasks.map(|tasks| Ahead { tasks, rate: None });
        }
    }
    Ok(facts)
}

/// From the results; where they keep none, from the notes of the message.
async fn attempts(call: &Call, facts: &Facts) -> Result<Vec<Attempt>, Problem> {
    let history = call.app.parts.results.history(facts.id).await?;
    if !history.is_empty() {
        return Ok(history.into_iter().map(Attempt::from).collect());
    }
    Ok(facts.message.as_ref().map(noted).unwrap_or_default())
}

/// The newest attempts, as the message itself tells of them.
fn noted(message: &StoredMessage) -> Vec<Attempt> {
    let (failed, last) = (message.failed_attempts(), message.notes.len().saturating_sub(1));
    let is_end = |place| message.place == Place::Dead && place == last;
    // Whoever gave it up without an attempt left a note, too.
    let is_attempt = |place| !is_end(place) || failed > message.attempt;
    let attempts = (0..message.notes.len()).filter(|place| is_attempt(*place)).count();
    let first = failed.saturating_sub(u32::try_from(attempts).unwrap_or(u32::MAX));
    let noted = message.notes.iter().zip(first + 1..).enumerate();
    let noted = noted.map(|(place, (note, number))| Attempt {
        run: message.run,
        number: is_attempt(place).then_some(number),
        state: if is_end(place) { TaskState::Failure } else { TaskState::Retry },
        worker: note.worker.clone(),
        started_at: None,
        finished_at: At(note.at),
        error: Some(note.error.clone()),
    });
    noted.collect()
}

fn view(facts: &Facts, explanation: &Explanation, attempts: Vec<Attempt>, hidden: &Hidden) -> TaskView {
    let live = facts.message.as_ref().map(|message| LiveRow::of(message, hidden));
    let envelope = facts.message.as_ref().and_then(|message| Envelope::decode(&message.body).ok());
    let record = facts.record.as_ref();
    let finished = record.map(|record| FinishedRow::of(record, hidden));
    let live_arguments = envelope.as_ref().and(live.as_ref()).map(|live| live.arguments.clone());
    let lineage = envelope
        .as_ref()
        .and_then(|envelope| envelope.lineage.as_ref())
        .or(record.and_then(|record| record.lineage.as_ref()));
    let slot = envelope
        .as_ref()
        .and_then(|envelope| envelope.schedule.as_ref())
        .or(record.and_then(|record| record.schedule.as_ref()));
    let headers =
        envelope.as_ref().map(|envelope| &envelope.headers).or(record.map(|record| &record.headers));
    TaskView {
        id: facts.id.to_string(),
        task: explanation.task.clone(),
        queue: explanation.queue.as_ref().map(ToString::to_string),
        state: explanation.state,
        explanation: explanation.to_string(),
        arguments: live_arguments.or_else(|| finished.as_ref().map(|row| row.arguments.clone())),
        progress: workers::progress(&facts.workers).remove(&facts.id.to_string()),
        finished,
        failure: record.and_then(failure),
        attempts,
        schedule: slot.map(|slot| slot.name.clone()),
        parent: lineage.and_then(|lineage| lineage.parent).map(|id| id.to_string()),
        root: lineage.map(|lineage| lineage.root.to_string()),
        headers: headers.cloned().unwrap_or_default(),
        live,
    }
}

fn failure(record: &TaskRecord) -> Option<Failure> {
    match &record.outcome {
        Outcome::Error(ErrorReport { kind, message, chain, backtrace }) => Some(Failure {
            kind: kind.clone(),
            message: message.clone(),
            chain: chain.clone(),
            backtrace: backtrace.clone(),
        }),
        Outcome::None | Outcome::Result(_) | Outcome::Marker(_) => None,
    }
}

impl From<AttemptRecord> for Attempt {
    fn from(attempt: AttemptRecord) -> Self {
        // A failed attempt counts itself, one that succeeded does not.
        let failed = matches!(attempt.state, TaskState::Retry | TaskState::Failure);
        Self {
            run: attempt.run,
            number: attempt.started_at.map(|_| attempt.attempt.max(u32::from(failed)) + u32::from(!failed)),
            state: attempt.state,
            worker: attempt.worker,
            started_at: attempt.started_at.map(At),
            finished_at: At(attempt.finished_at),
            error: attempt.error,
        }
    }
}
