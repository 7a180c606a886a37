//! What a worker tells: events for those who watch, hooks for those who add to each run.

use std::time::Duration;

use lovage_core::{ErrorReport, QueueName, RunInfo, TaskId, TaskState};

/// Something that happened in a worker. Closed: a match over it is exhaustive, and a new kind is a major release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkerEvent {
    /// A task was reserved and will be run.
    Received {
        /// The task's id.
        id: TaskId,
        /// Its name.
        task: String,
        /// Where it came from.
        queue: QueueName,
    },
    /// An attempt ended.
    Ended {
        /// The task's id.
        id: TaskId,
        /// Its name.
        task: String,
        /// Where it came from.
        queue: QueueName,
        /// How it ended: `retry` or a terminal state.
        state: TaskState,
        /// How long it ran.
        run_time: Option<Duration>,
        /// From its publish (from its slot, where a schedule sent it) to its first start, where this was its first attempt.
        waited: Option<Duration>,
    },
    /// A task was given back without an outcome.
    GivenBack {
        /// The task's id.
        id: TaskId,
    },
    /// A lease ended while its task was in our hands; somebody else has it.
    LeaseLost {
        /// The task's id.
        id: TaskId,
    },
    /// The broker or the result store cannot be reached; we try again.
    Unavailable {
        /// Why.
        error: String,
    },
    /// The worker ended.
    Stopped,
}

/// Code of yours around each run. All methods have empty defaults and are called on the worker's runtime: keep them short.
pub trait Hooks: Send + Sync {
    /// Before a task's function is called.
    fn before(&self, _run: &RunInfo) {}
    /// After it returned, whatever it returned.
    fn after(&self, _run: &RunInfo, _state: TaskState) {}
    /// After an attempt failed, retried or not.
    fn failed(&self, _run: &RunInfo, _error: &ErrorReport) {}
    /// Each event.
    fn event(&self, _event: &WorkerEvent) {}
}

/// No hooks.
#[derive(Debug)]
pub(crate) struct NoHooks;

impl Hooks for NoHooks {}
