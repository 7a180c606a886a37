//! What a task is: its name, its options, its parameters and the function behind it.

use std::any::TypeId;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Arguments, Context, Priority, RetryPolicy, TaskError};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a run ends with: the result as JSON, or a failure.
///
/// A value that cannot be stored is a text that is no JSON; see [`unstored_reason`](crate::unstored_reason).
pub type TaskResult = Result<String, TaskError>;

/// A task as a worker runs it. `#[task]` makes one; `tasks![add, multiply]` collects them.
#[derive(Clone, Debug)]
pub struct TaskDef {
    /// The name that messages call it by.
    pub name: &'static str,
    /// Defaults for its calls.
    pub options: TaskOptions,
    /// Its parameters, without `Context` and `State`.
    pub params: &'static [Param],
    /// The type of its result, as written.
    pub returns: &'static str,
    /// How its arguments are encoded.
    pub codec: Codec,
    /// The states that it asks for.
    pub states: Vec<StateNeed>,
    /// The function.
    pub handler: Handler,
}

/// The function behind a task.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Runs on the async runtime.
    Async(fn(Context, Arguments) -> BoxFuture<'static, TaskResult>),
    /// Runs on a thread of the blocking pool.
    Blocking(fn(Context, Arguments) -> TaskResult),
}

/// Options of a task, from its attribute; options of a call come before them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TaskOptions {
    /// The queue; `None` means routing, then `default`.
    pub queue: Option<&'static str>,
    /// 0 to 9.
    pub priority: Option<Priority>,
    /// How it is retried; `None` means the worker's default.
    pub retry: Option<RetryPolicy>,
    /// After this time its cancellation fires.
    pub soft_time_limit: Option<Duration>,
    /// After this time it is stopped.
    pub time_limit: Option<Duration>,
    /// Whether its result is stored; `None` means yes.
    pub store_result: Option<bool>,
    /// When its message is settled; `None` means late.
    pub ack: Option<AckMode>,
    /// How long a success is kept; `None` means 7 days.
    pub keep_success: Option<Duration>,
    /// How long a failure is kept; `None` means 30 days.
    pub keep_failure: Option<Duration>,
}

/// When a message is settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum AckMode {
    /// After the run: at least once.
    #[default]
    Late,
    /// Before the run: at most once, a killed worker loses it.
    Early,
}

/// How arguments are encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    /// JSON: readable by people and other languages, tolerant of an added optional argument.
    Json,
    /// postcard: smaller and faster; only for types with the same [`Signature`](crate::Signature) on both sides.
    Postcard {
        /// Of the parameter types.
        fingerprint: u64,
    },
}

/// A parameter of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// Its type, as written.
    pub type_name: &'static str,
    /// Whether a call may leave it out.
    pub optional: bool,
    /// Whether it must not be shown.
    pub redacted: bool,
}

/// A state that a task asks for in its signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StateNeed {
    /// The type, as Rust names it.
    pub type_name: &'static str,
    /// The type.
    pub type_id: TypeId,
}

impl StateNeed {
    /// The need of a state of type `T`.
    #[must_use]
    pub fn of<T: Send + Sync + 'static>() -> Self {
        Self { type_name: std::any::type_name::<T>(), type_id: TypeId::of::<T>() }
    }
}
