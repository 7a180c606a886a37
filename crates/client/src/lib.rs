//! What a web server depends on to send Lovage tasks and read their results.
//!
//! ```no_run
//! # extern crate lovage_client as lovage;
//! use std::time::Duration;
//!
//! use lovage::{Client, TaskError};
//!
//! #[lovage::task(name = "movies.tasks.add")]
//! async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
//!     Ok(x + y)
//! }
//!
//! # async fn example() -> Result<(), lovage::ClientError> {
//! let client = Client::connect("redis://127.0.0.1:6379").await?;
//! let handle = add::delay(&client, 1, 3).await?;
//! let sum: i64 = handle.get(Duration::from_secs(5)).await?;
//! # Ok(()) }
//! ```
//!
//! A crate that depends on this one names it `lovage`, which is where [`task`] looks:
//! `lovage = { package = "lovage-client", … }`.
//!
//! Features: `sqlite` (on by default), `redis` and `postgres` choose which backends are compiled in.

mod call;
mod client;
pub mod connect;
mod error;
mod explain;
mod handle;
mod routes;
mod sending;
#[cfg(feature = "postgres")]
mod shared;
mod transaction;

pub use call::Call;
pub use client::{Client, ClientBuilder, TaskStatus};
pub use error::{ClientError, ClientErrorKind};
pub use handle::Handle;
pub use routes::Routes;

#[cfg(feature = "sql")]
pub use lovage_outbox_sql::{Outbox, OutboxDepth, RefusedRow, Relay, Tx};

pub use lovage_core::{
    AckMode, Backoff, CancelReason, Cancelled, Context, ErrorReport, Explanation, NameError, Outcome, Point,
    Priority, QueueName, RetryPolicy, Signature, State, TaskDef, TaskError, TaskId, TaskName, TaskRecord,
    TaskState, Timestamp,
};
pub use lovage_macros::{Signature, task};

/// Collects tasks for a worker: `tasks![add, movies::multiply]`.
#[macro_export]
macro_rules! tasks {
    ($($($part:ident)::+),* $(,)?) => {
        ::std::vec![$($($part)::+::def()),*]
    };
}

/// What the macros expand to; not for people.
#[doc(hidden)]
pub mod __private {
    pub use lovage_core as core;

    use lovage_core::{Param, Payload, TaskOptions};

    pub use crate::call::ScheduledCall;

    use crate::Call;

    /// What an entry of a schedule keeps of a call; or what is wrong with it.
    pub fn scheduled<R>(call: Call<R>) -> Result<ScheduledCall, String> {
        call.into_scheduled()
    }

    /// The call of a task that `#[task]` made.
    #[expect(clippy::needless_pass_by_value, reason = "the options are made for this call")]
    pub fn new_call<R>(
        name: &'static str,
        options: TaskOptions,
        params: &'static [Param],
        payload: Result<Payload, String>,
    ) -> Call<R> {
        Call::of_task(name, &options, params, payload)
    }
}
