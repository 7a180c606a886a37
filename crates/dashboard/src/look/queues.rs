//! Queues and how much is where in them.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use lovage_core::{Depth, QueueName, WorkerInfo, WorkerMode};
use schemars::JsonSchema;
use serde::Serialize;

use super::growth::Growth;
use super::unrunnable::{Stranded, stranded};
use super::{At, findings};
use crate::app::App;
use crate::call::Call;
use crate::problem::Problem;

/// Queues that are asked at the same time.
const AT_ONCE: usize = 16;

/// A queue.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct QueueRow {
    pub(crate) name: String,
    /// How it is, in a word.
    pub(crate) state: QueueState,
    pub(crate) paused: bool,
    /// How many tasks may be handed out in a time, such as `10/s`.
    pub(crate) limit: Option<String>,
    /// Tasks that wait for a worker.
    pub(crate) ready: u64,
    /// Tasks in the hands of workers.
    pub(crate) leased: u64,
    /// Tasks that wait for their time.
    pub(crate) delayed: u64,
    /// Dead letters.
    pub(crate) dead: u64,
    /// Since when the task at the head waits.
    pub(crate) oldest_ready: Option<At>,
    /// The names of the live workers that read it.
    pub(crate) workers: Vec<String>,
    /// Whether any of those takes more work.
    pub(crate) taken: bool,
    /// How it grew in the last half minute, where it did all the time.
    pub(crate) growth: Option<Growth>,
    /// What its live workers gave back, because none of them can run it; the most first.
    pub(crate) stranded: Vec<Stranded>,
    /// How it is, in a sentence.
    pub(crate) words: String,
}

/// How a queue is. What nothing waits in is open, or paused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum QueueState {
    Open,
    /// Somebody paused it.
    Paused,
    /// No live worker reads it.
    Unread,
    /// All its workers are quiet or stopping.
    Untaken,
    /// Its rate limit lets its tasks wait.
    Limited,
    /// Its head waits for too long.
    Late,
    /// It becomes longer while workers read it.
    Growing,
    /// It holds tasks that its workers cannot run.
    Stranded,
}

/// All queues by name.
pub(crate) async fn rows(app: &App) -> Result<Vec<QueueRow>, Problem> {
    let workers = app.parts.broker.workers(None).await?;
    with_workers(app, &workers).await
}

pub(crate) async fn with_workers(app: &App, workers: &[WorkerInfo]) -> Result<Vec<QueueRow>, Problem> {
    let names = app.parts.broker.queues().await?;
    app.seen.forget(app.parts.clock.monotonic());
    let asked = iter(names).map(|name| async move {
        let depth = app.parts.broker.depth(&name, None).await?;
        Ok(row(app, &name, depth, workers))
    });
    asked.buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().collect()
}

/// The queue that a request names.
pub(crate) async fn one(call: &Call) -> Result<QueueRow, Problem> {
    let name = existing(call, "name").await?;
    let broker = &call.app.parts.broker;
    let (workers, depth) = (broker.workers(None).await?, broker.depth(&name, None).await?);
    Ok(row(&call.app, &name, depth, &workers))
}

/// The queue in a field. One that nobody ever used is an error: it would be made by asking.
pub(crate) async fn existing(call: &Call, field: &str) -> Result<QueueName, Problem> {
    let name: QueueName = call.input.needed(field)?;
    let known = call.app.parts.broker.queues().await?;
    if known.contains(&name) {
        return Ok(name);
    }
    Err(Problem::missing(format!("there is no queue `{name}`")))
}

fn row(app: &App, name: &QueueName, depth: Depth, workers: &[WorkerInfo]) -> QueueRow {
    let (now, clock) = (app.parts.clock.now(), app.parts.clock.monotonic());
    let waits = depth.oldest_ready.map_or(Duration::ZERO, |at| now.since(at));
    let readers = || workers.iter().filter(|worker| !worker.is_beat() && worker.queues.contains(name));
    let mut row = QueueRow {
        name: name.to_string(),
        state: QueueState::Open,
        paused: depth.paused,
        limit: depth.limit.map(|limit| limit.to_string()),
        ready: depth.ready,
        leased: depth.leased,
        delayed: depth.delayed,
        dead: depth.dead,
        oldest_ready: depth.oldest_ready.map(At),
        workers: readers().map(|worker| worker.name.clone()).collect(),
        taken: readers().any(|worker| worker.mode == WorkerMode::Running),
        growth: app.seen.look(name.as_str(), depth.ready, waits, clock),
        stranded: stranded(name, depth.ready + depth.delayed + depth.leased, workers),
        words: String::new(),
    };
    row.state = findings::state(&row, now);
    row.words = findings::words(&row, now);
    row
}
