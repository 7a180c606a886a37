//! The `lovage` command as a library: [`App`] gives a program of your own every subcommand, with your tasks in it.
//!
//! ```no_run
//! # extern crate lovage_worker_bin as lovage;
//! use lovage::{App, TaskError, tasks};
//!
//! #[lovage::task(name = "movies.tasks.add")]
//! async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
//!     Ok(x + y)
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     App::new().tasks(tasks![add]).run()
//! }
//! ```
//!
//! A crate that depends on this one names it `lovage`, which is where `#[task]` looks:
//! `lovage = { package = "lovage-worker-bin", … }`. All of the worker's and the client's vocabulary is here too.

mod app;
mod banner;
mod cli;
mod commands;
mod config;
mod error;
mod log_writer;
mod logging;
mod output;
mod schedules;
mod session;
mod show;
mod signals;

pub use app::App;

pub use lovage_worker::*;

/// When entries of [`App::schedule`] are due: `every(5.secs())`, `crontab("30 7 * * mon").zone("Europe/Berlin")`.
pub mod schedule {
    pub use lovage_core::schedule::{
        Misfire, Overlap, ScheduleError, SolarEvent, Units, When, at, crontab, every, solar,
    };
}

#[doc(hidden)]
pub use lovage_worker::__private;
