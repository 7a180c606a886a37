//! The worker runtime of Lovage as a library: it reserves tasks, runs them, records how they ended and settles them.
//!
//! ```no_run
//! # extern crate lovage_worker as lovage;
//! use lovage::{TaskError, Worker, tasks};
//!
//! #[lovage::task(name = "movies.tasks.add")]
//! async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
//!     Ok(x + y)
//! }
//!
//! # async fn example(broker: std::sync::Arc<dyn lovage_core::Broker>) -> Result<(), lovage::WorkerError> {
//! let worker = Worker::builder().tasks(tasks![add]).build(broker, None)?.start();
//! // … until a signal comes:
//! worker.stop();
//! worker.join().await?;
//! # Ok(()) }
//! ```
//!
//! Most programs do not use this crate directly but `lovage-worker-bin`, whose `App` adds configuration, signals and the
//! subcommands. How it works inside: `dispatcher` has the loop, `plan` the decisions, `executor` the runs, `settler` the
//! way to results and broker, `leases` the renewals, `stats` what is counted for charts.

mod builder;
mod control;
mod dispatcher;
mod executor;
mod fetcher;
mod hooks;
mod leases;
mod plan;
mod polls;
mod settler;
mod stats;
mod threads;
mod unrunnable;
mod vitals;
mod worker;

pub use builder::{WorkerBuilder, WorkerError};
pub use hooks::{Hooks, WorkerEvent};
pub use vitals::Liveness;
pub use worker::{RunningWorker, Summary, Worker};

pub use lovage_client::*;

#[doc(hidden)]
pub use lovage_client::__private;
