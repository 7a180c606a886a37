//! What a task can ask about its own run.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{BoxFuture, QueueName, StateNeed, TaskError, TaskId, Timestamp};

/// A task's view of its own run, asked for as a parameter: `ctx: &Context`.
#[derive(Clone)]
pub struct Context {
    info: Arc<RunInfo>,
    states: Arc<States>,
    control: Arc<dyn RunControl>,
}

/// Facts about one run.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The task's id.
    pub id: TaskId,
    /// The task's name.
    pub task: String,
    /// The queue that it came from.
    pub queue: QueueName,
    /// Failed attempts so far plus one: 1 for the first.
    pub attempt: u32,
    /// How often it was handed out.
    pub delivery: u32,
    /// 1, and one more for each "run again" after its end.
    pub run: u32,
    /// The worker's name.
    pub worker: String,
    /// When it was published.
    pub published_at: Timestamp,
    /// Trace context and the user's own.
    pub headers: BTreeMap<String, String>,
}

/// Why a run should stop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CancelReason {
    /// Its soft time limit has passed: it should finish cleanly before its hard limit. What it returns is its outcome.
    SoftTimeLimit,
    /// The worker stops and its grace period is over: the task is given back and runs again elsewhere.
    ShuttingDown,
    /// A user or program revoked the task.
    Revoked,
    /// The lease has ended: another worker may run the task already.
    LeaseLost,
}

/// What a run can ask of the worker that runs it.
pub trait RunControl: Send + Sync {
    /// Whether the run should stop: cancelled, soft time limit passed, lease lost, worker stopping.
    fn is_cancelled(&self) -> bool;
    /// Ends when the run should stop.
    fn cancelled(&self) -> BoxFuture<'static, ()>;
    /// Why the run should stop; `None` while it should not.
    fn cancel_reason(&self) -> Option<CancelReason>;
    /// Whether the worker has begun to stop: its grace period runs.
    fn is_shutting_down(&self) -> bool;
    /// Ends when the worker begins to stop.
    fn shutting_down(&self) -> BoxFuture<'static, ()>;
    /// Until when no other worker gets this task, unless the lease is renewed as it usually is; `None` where none ever does,
    /// as the task was settled before its run.
    fn lease_valid_until(&self) -> Option<Timestamp>;
    /// Tells how far the run is.
    fn report(&self, progress: Progress);
}

/// How far a run is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub done: u64,
    /// Steps in all; 0 when not known.
    pub total: u64,
    /// In words.
    pub message: String,
}

impl Context {
    /// Made by a worker for each run.
    #[must_use]
    pub fn new(info: Arc<RunInfo>, states: Arc<States>, control: Arc<dyn RunControl>) -> Self {
        Self { info, states, control }
    }

    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.info.id
    }

    /// 1 for the first attempt.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.info.attempt
    }

    /// Everything known about this run.
    #[must_use]
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// A header of the message.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.info.headers.get(name).map(String::as_str)
    }

    /// Whether the run should stop. Long loops ask it between steps.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.control.is_cancelled()
    }

    /// Ends when the run should stop; for `select!`. [`cancel_reason`](Self::cancel_reason) tells why.
    ///
    /// After its soft time limit a task goes on, and what it returns is its outcome. In the other cases a task that has asked for
    /// cancellation (by this method, [`is_cancelled`](Self::is_cancelled) or [`cancel_reason`](Self::cancel_reason)) has two
    /// seconds to return; any other async task is dropped at its next await. If it returns `Ok` in time, it succeeded. If it
    /// returns an `Err` of any kind, it is given back (or revoked) without a failed attempt.
    ///
    /// ```
    /// # use lovage_core::{Context, TaskError};
    /// # async fn read_page(page: u32) -> Result<(), TaskError> { Ok(()) }
    /// async fn import(pages: u32, ctx: &Context) -> Result<u32, TaskError> {
    ///     for page in 0..pages {
    ///         if ctx.is_cancelled() {
    ///             return Err(TaskError::new("cancelled")); // not counted as a failure
    ///         }
    ///         read_page(page).await?;
    ///     }
    ///     Ok(pages)
    /// }
    /// ```
    pub async fn cancelled(&self) {
        self.control.cancelled().await;
    }

    /// Why the run should stop; `None` while it should not.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.control.cancel_reason()
    }

    /// Whether the worker has begun to stop. The run may go on until the end of the grace period (25 s by default); a long task
    /// can save its state now.
    #[must_use]
    pub fn is_shutting_down(&self) -> bool {
        self.control.is_shutting_down()
    }

    /// Ends when the worker begins to stop; for `select!`. The run may go on until the end of the grace period.
    pub async fn shutting_down(&self) {
        self.control.shutting_down().await;
    }

    /// Until when no other worker gets this task, unless the lease is renewed as it usually is; `None` where none ever does,
    /// as the task is settled before its run (`ack = "early"`).
    #[must_use]
    pub fn lease_valid_until(&self) -> Option<Timestamp> {
        self.control.lease_valid_until()
    }

    /// Tells how far the run is; `total` 0 means not known.
    pub fn progress(&self, done: u64, total: u64, message: impl Into<String>) {
        self.control.report(Progress { done, total, message: message.into() });
    }

    /// The worker's state of type `T`, as `State<T>` parameters get it.
    ///
    /// # Errors
    /// When the worker was not given one.
    pub fn state<T: Send + Sync + 'static>(&self) -> Result<State<T>, TaskError> {
        self.states.get().ok_or_else(|| {
            let name = std::any::type_name::<T>();
            TaskError::permanent(format!(
                "this worker has no state of type {name}: give it one with `.state(…)`"
            ))
        })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Application state, asked for as a parameter: `db: State<Db>`. A missing one is an error when the worker starts.
pub struct State<T>(Arc<T>);

impl<T> State<T> {
    /// Wraps a value, to call a task's function directly in a test.
    pub fn new(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Clone for State<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for State<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The states of a worker, one value per type.
#[derive(Default)]
pub struct States {
    by_type: HashMap<TypeId, (&'static str, Arc<dyn Any + Send + Sync>)>,
}

impl States {
    /// Adds a value, replacing one of the same type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.by_type.insert(TypeId::of::<T>(), (std::any::type_name::<T>(), Arc::new(value)));
    }

    /// The value of a type.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<State<T>> {
        let (_, value) = self.by_type.get(&TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok().map(State)
    }

    /// Whether a task's need is met.
    #[must_use]
    pub fn has(&self, need: &StateNeed) -> bool {
        self.by_type.contains_key(&need.type_id)
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_type.values().map(|(name, _)| name)).finish()
    }
}
