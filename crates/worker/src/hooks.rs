//! Events of a worker, and hooks that users add to each run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lovage_core::{ErrorReport, QueueName, RunInfo, TaskId, TaskState};

use crate::executor::guarded;

/// Something that happened in a worker. Closed: a match over it is exhaustive, and a new kind is a major release.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkerEvent {
    /// A task was reserved and is started.
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
    /// A method of [`Hooks`] panicked. The panic is logged and changes no outcome.
    HookPanicked {
        /// The name of the method.
        hook: &'static str,
        /// The message of the panic.
        message: String,
    },
    /// A plain task ended (revoked, past its hard time limit, given back, or without its lease) while its thread runs on.
    ThreadAbandoned {
        /// The task's id.
        id: TaskId,
        /// Its name.
        task: String,
        /// Where it came from.
        queue: QueueName,
    },
    /// The thread of an earlier [`ThreadAbandoned`](Self::ThreadAbandoned) ended.
    AbandonedThreadEnded {
        /// The task's id.
        id: TaskId,
        /// Its name.
        task: String,
        /// Where it came from.
        queue: QueueName,
    },
    /// The worker ended.
    Stopped,
}

/// Code of yours around each run. All methods have empty defaults and are called on the worker's runtime: keep them short.
///
/// A panic in a method is logged, counted ([`WorkerEvent::HookPanicked`]) and changes no outcome: the task runs, and its result is
/// recorded, as if the method had returned.
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

/// The hooks of a worker, with their panics caught.
#[derive(Clone)]
pub(crate) struct GuardedHooks(pub(crate) Arc<dyn Hooks>);

impl GuardedHooks {
    pub(crate) fn before(&self, run: &RunInfo) {
        self.call("before", || self.0.before(run));
    }

    pub(crate) fn after(&self, run: &RunInfo, state: TaskState) {
        self.call("after", || self.0.after(run, state));
    }

    pub(crate) fn failed(&self, run: &RunInfo, error: &ErrorReport) {
        self.call("failed", || self.0.failed(run, error));
    }

    pub(crate) fn event(&self, event: &WorkerEvent) {
        self.call("event", || self.0.event(event));
    }

    fn call(&self, hook: &'static str, method: impl FnOnce()) {
        let Err(panic) = guarded(method) else { return };
        let report = panic.into_report();
        // The backtrace begins with the place of the panic.
        let place = report.backtrace.as_deref().and_then(|text| text.lines().next()).unwrap_or_default();
        tracing::error!("the hook `{hook}` panicked {place}: {report}; its task is not affected");
        let event = WorkerEvent::HookPanicked { hook, message: report.message };
        // A method that panics on each event panics on this one, too.
        let _panicked = guarded(|| self.0.event(&event));
    }
}

impl fmt::Debug for GuardedHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedHooks").finish_non_exhaustive()
    }
}
