//! Workers and what they run.

use std::collections::HashMap;

use lovage_core::{AbandonedThread, ActiveTask, Progress, WorkerInfo, WorkerMode};
use schemars::JsonSchema;
use serde::Serialize;

use super::At;
use crate::call::Call;
use crate::problem::Problem;

/// A live worker, or a beat, which registers beside them.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct WorkerRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// Of Lovage.
    pub(crate) version: String,
    /// `running`, `quiet` or `stopping`.
    pub(crate) mode: &'static str,
    pub(crate) started_at: At,
    /// When it was last heard from, by the broker's clock.
    pub(crate) seen_at: At,
    pub(crate) queues: Vec<String>,
    /// Async slots.
    pub(crate) concurrency: usize,
    /// Blocking slots.
    pub(crate) blocking: usize,
    /// What it runs, the longest running first, at most 1,000.
    pub(crate) active: Vec<ActiveRow>,
    /// Tasks that it has and has not started.
    pub(crate) reserved: usize,
    /// Since its start.
    pub(crate) succeeded: u64,
    /// Since its start, retried ones included.
    pub(crate) failed: u64,
    /// The tasks that it can run.
    pub(crate) tasks: Vec<Known>,
    /// A beat, which runs nothing: where its schedule is.
    pub(crate) schedule: Option<String>,
    /// Memory of its process, resident, in bytes; nothing where its system does not say.
    pub(crate) memory: Option<u64>,
    /// Cores that its process used since the heartbeat before.
    pub(crate) cpu: Option<f64>,
    /// What it was told last and could not do, and why.
    pub(crate) refused: Option<String>,
    /// Since when tasks block all its threads.
    pub(crate) stuck_since: Option<At>,
    /// Threads of plain tasks that still run although their tasks have ended, the oldest first, at most 1,000.
    pub(crate) abandoned: Vec<AbandonedRow>,
}

/// A thread that still runs the function of a task that has ended.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct AbandonedRow {
    pub(crate) id: String,
    pub(crate) task: String,
    pub(crate) queue: String,
    pub(crate) started_at: At,
    /// When the task ended.
    pub(crate) abandoned_at: At,
}

/// A task that a worker runs.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct ActiveRow {
    pub(crate) id: String,
    pub(crate) task: String,
    pub(crate) queue: String,
    pub(crate) started_at: At,
    /// What it told last of how far it is.
    pub(crate) progress: Option<ProgressRow>,
    /// Since when it blocks its thread, so that other tasks cannot go on.
    pub(crate) blocks_since: Option<At>,
}

/// How far a task is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct ProgressRow {
    /// Steps done.
    pub(crate) done: u64,
    /// Steps in all; 0 where it is not known.
    pub(crate) total: u64,
    /// In the task's own words.
    pub(crate) message: String,
}

/// A task that a worker can run.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Known {
    pub(crate) name: String,
    /// Such as `(x: i64, y: i64) -> i64`.
    pub(crate) signature: String,
}

pub(crate) async fn data(call: Call) -> Result<Vec<WorkerRow>, Problem> {
    let workers = call.app.parts.broker.workers(None).await?;
    Ok(workers.iter().map(WorkerRow::from).collect())
}

/// How far running tasks are, by id, where they tell.
pub(crate) fn progress(workers: &[WorkerInfo]) -> HashMap<String, ProgressRow> {
    let told = |active: &ActiveTask| Some((active.id.to_string(), active.progress.as_ref()?.into()));
    workers.iter().flat_map(|worker| &worker.active).filter_map(told).collect()
}

impl From<&Progress> for ProgressRow {
    fn from(progress: &Progress) -> Self {
        let Progress { done, total, message } = progress;
        Self { done: *done, total: *total, message: message.clone() }
    }
}

impl From<&WorkerInfo> for WorkerRow {
    fn from(info: &WorkerInfo) -> Self {
        let known = |task: &lovage_core::TaskInfo| Known {
            name: task.name.clone(),
            signature: task.signature.clone(),
        };
        Self {
            id: info.id.to_string(),
            name: info.name.clone(),
            host: info.host.clone(),
            pid: info.pid,
            version: info.version.clone(),
            mode: mode(info.mode),
            started_at: At(info.started_at),
            seen_at: At(info.seen_at),
            queues: info.queues.iter().map(ToString::to_string).collect(),
            concurrency: info.concurrency,
            blocking: info.blocking,
            active: info.active.iter().map(ActiveRow::from).collect(),
            reserved: info.reserved,
            succeeded: info.succeeded,
            failed: info.failed,
            tasks: info.tasks.iter().map(known).collect(),
            schedule: info.schedule.clone(),
            memory: info.memory,
            cpu: info.cpu.map(|thousandths| f64::from(thousandths) / 1_000.0),
            refused: info.refused.clone(),
            stuck_since: info.stuck_since.map(At),
            abandoned: info.abandoned.iter().map(AbandonedRow::from).collect(),
        }
    }
}

impl From<&AbandonedThread> for AbandonedRow {
    fn from(thread: &AbandonedThread) -> Self {
        Self {
            id: thread.id.to_string(),
            task: thread.task.clone(),
            queue: thread.queue.to_string(),
            started_at: At(thread.started_at),
            abandoned_at: At(thread.abandoned_at),
        }
    }
}

impl From<&ActiveTask> for ActiveRow {
    fn from(active: &ActiveTask) -> Self {
        Self {
            id: active.id.to_string(),
            task: active.task.clone(),
            queue: active.queue.to_string(),
            started_at: At(active.started_at),
            progress: active.progress.as_ref().map(ProgressRow::from),
            blocks_since: active.blocks_since.map(At),
        }
    }
}

const fn mode(mode: WorkerMode) -> &'static str {
    match mode {
        WorkerMode::Running => "running",
        WorkerMode::Quiet => "quiet",
        WorkerMode::Stopping => "stopping",
    }
}
