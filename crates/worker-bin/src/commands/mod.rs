//! One module per command, or per family of commands.

mod beat;
mod call;
mod control;
mod dashboard;
mod dead;
mod explain;
mod inspect;
mod migrate;
mod purge;
mod queues;
mod relay;
mod report;
mod result;
mod schedule;
mod supervised;
mod worker;

pub(crate) use beat::schedule_place;
pub(crate) use dashboard::Served;

use std::process::ExitCode;
use std::sync::Arc;

use lovage_core::States;
use lovage_worker::Hooks;

use crate::cli::Command;
use crate::config::{LogFormat, LogLevel};
use crate::error::CliError;
use crate::logging;
use crate::session::Session;

/// Does what a command says.
pub(crate) async fn run(
    session: Session,
    states: States,
    hooks: Option<Arc<dyn Hooks>>,
    command: Command,
) -> Result<ExitCode, CliError> {
    if command.runs_until_stopped() {
        logging::start(session.config.log_level, session.config.log_format);
        if std::process::id() == 1 && matches!(command, Command::Worker(_) | Command::Dev(_)) {
            tracing::warn!(
                "this worker is PID 1: processes that its tasks leave behind stay zombies; start it under an init (`--init`)"
            );
        }
    } else {
        logging::start(LogLevel::Warn, LogFormat::Text);
    }
    let done = |()| ExitCode::SUCCESS;
    match command {
        Command::Dev(args) => Box::pin(worker::dev(session, states, hooks, args)).await.map(done),
        Command::Worker(args) => worker::worker(session, states, hooks, args).await.map(done),
        Command::Beat(args) => beat::beat(&session, &args).await.map(done),
        Command::Relay(args) => relay::relay(&session, &args).await.map(done),
        Command::Dashboard(args) => dashboard::dashboard(&session, *args).await.map(done),
        Command::Call(args) => call::call(&session, *args).await.map(done),
        Command::Result(args) => result::result(&session, &args).await.map(done),
        Command::Explain(args) => explain::explain(&session, &args).await,
        Command::Status(format) => inspect::status(&session, format).await.map(done),
        Command::Inspect(what) => inspect::inspect(&session, what).await.map(done),
        Command::Control(what) => control::control(&session, what).await.map(done),
        Command::Queues(format) => queues::queues(&session, format).await.map(done),
        Command::Purge(args) => purge::purge(&session, &args).await.map(done),
        Command::Dead(what) => dead::dead(&session, what).await.map(done),
        Command::Schedule(what) => Box::pin(schedule::schedule(&session, *what)).await.map(done),
        Command::Migrate(args) => migrate::migrate(&session, &args).await,
        Command::Report(format) => report::report(&session, format).await,
    }
}
