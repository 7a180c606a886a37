//! What a worker says of itself, and what it can be told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{QueueName, TaskDef, TaskId, Timestamp, WorkerId};

/// Stands behind the type of a parameter that has a default.
pub(crate) const MAY_BE_LEFT_OUT: &str = " = …";

/// What a worker says of itself with each heartbeat.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Random for each start.
    pub id: WorkerId,
    /// For people; several workers may share it.
    pub name: String,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The version of Lovage.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it said this, by the broker's clock; the broker fills it in.
    #[serde(default)]
    pub seen_at: Timestamp,
    /// What it is doing.
    pub mode: WorkerMode,
    /// The queues that it reserves from, in its order.
    pub queues: Vec<QueueName>,
    /// Async slots.
    pub concurrency: usize,
    /// Blocking slots.
    pub blocking: usize,
    /// The tasks that it can run.
    pub tasks: Vec<TaskInfo>,
    /// The tasks that it runs now, the longest running first, at most 1,000.
    pub active: Vec<ActiveTask>,
    /// Messages reserved and not started.
    pub reserved: usize,
    /// Runs that succeeded since its start.
    pub succeeded: u64,
    /// Runs that failed since its start, retried ones included.
    pub failed: u64,
    /// A beat: where it keeps its schedule, without secrets. `None` for a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

impl WorkerInfo {
    /// Whether it only sends what the schedule says. Beats register beside workers, and run nothing.
    #[must_use]
    pub const fn is_beat(&self) -> bool {
        self.schedule.is_some()
    }
}

/// Whether a worker takes more work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerMode {
    /// It reserves and runs.
    Running,
    /// It runs what it has and reserves nothing.
    Quiet,
    /// It is about to end.
    Stopping,
}

/// A task that a worker can run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its name.
    pub name: String,
    /// Its signature as written, such as `(x: i64, y: i64 = …) -> i64`: `= …` where a call may leave the argument out, which
    /// for an `Option` goes without saying.
    pub signature: String,
}

/// A task that a worker runs now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ActiveTask {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub task: String,
    /// The queue that it came from.
    pub queue: QueueName,
    /// When this run started.
    pub started_at: Timestamp,
}

/// What a worker can be told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerCommand {
    /// Stop gracefully; `None` means with the worker's own grace period.
    Shutdown {
        /// How long running tasks may go on.
        grace: Option<Duration>,
    },
    /// Reserve nothing more, finish what runs.
    Quiet,
}

impl From<&TaskDef> for TaskInfo {
    fn from(def: &TaskDef) -> Self {
        let params: Vec<String> = def
            .params
            .iter()
            .map(|param| {
                let says_so = param.type_name.split('<').next().is_some_and(|path| path.ends_with("Option"));
                let mark = if param.optional && !says_so { MAY_BE_LEFT_OUT } else { "" };
                format!("{}: {}{mark}", param.name, param.type_name)
            })
            .collect();
        Self { name: def.name.to_owned(), signature: format!("({}) -> {}", params.join(", "), def.returns) }
    }
}
