//! Workers and what they run.

use lovage_core::{ActiveTask, WorkerInfo, WorkerMode};
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
}

/// A task that a worker runs.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct ActiveRow {
    pub(crate) id: String,
    pub(crate) task: String,
    pub(crate) queue: String,
    pub(crate) started_at: At,
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
