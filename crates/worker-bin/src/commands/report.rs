//! `report`: what to put into a bug report.

use std::process::ExitCode;

use lovage_core::schedule::EntryFilter;
use lovage_core::{Page, TaskId, registered_tasks};
use lovage_system::{SystemEntropy, host_name};
use serde_json::{Map, Value, json};

use crate::cli::Format;
use crate::commands::inspect::settings;
use crate::error::CliError;
use crate::output::{Out, Table};
use crate::session::{Session, now, sqlite_file};

/// `lovage report`. Exit code 1 when something cannot be reached.
pub(crate) async fn report(session: &Session, format: Format) -> Result<ExitCode, CliError> {
    let reached = reach(session).await;
    let tasks: Vec<&str> = session.tasks.iter().map(|task| task.name).collect();
    let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let (reachable, found) = match &reached {
        Ok(found) => (true, found.clone()),
        Err(error) => (false, error.to_string()),
    };
    if format.json {
        let mut configuration = Map::new();
        for (key, value, source) in settings(session) {
            configuration.insert(key.to_owned(), json!({ "value": value, "source": source }));
        }
        Out.json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "system": system,
            "host": host_name(),
            "configuration": Value::Object(configuration),
            "tasks": tasks,
            "registered": registered_tasks().len(),
            "reachable": reachable,
            "found": found,
        }))?;
    } else {
        let mut table = Table::new(["SETTING", "VALUE", "FROM"]);
        for (key, value, source) in settings(session) {
            table.row([key.to_owned(), value, source]);
        }
        Out.line(format!("lovage {} on {system}, host {}\n", env!("CARGO_PKG_VERSION"), host_name()))?;
        Out.line(format!("{table}\n"))?;
        Out.line(format!("tasks of this program: {}\n", tasks.join(", ")))?;
        Out.line(found)?;
    }
    Ok(if reachable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn reach(session: &Session) -> Result<String, CliError> {
    let client = session.connect_to_look_with_outbox().await?;
    let queues = client.broker().queues().await?.len();
    let workers = client.broker().workers(None).await?.iter().filter(|worker| !worker.is_beat()).count();
    if let Some(results) = client.results() {
        results.get(&[TaskId::new(now(), &SystemEntropy)], None).await?;
    }
    let outbox = match client.outbox() {
        Some(outbox) => format!("; the outbox answers: {} waiting", outbox.depth().await?.waiting),
        None => String::new(),
    };
    let schedule = schedule(session).await?;
    Ok(format!("broker and results answer: {queues} queues, {workers} live workers{schedule}{outbox}"))
}

/// A file beside a beat is not looked for on other hosts.
async fn schedule(session: &Session) -> Result<String, CliError> {
    if !session.has_schedules() {
        return Ok(String::new());
    }
    let is_missing = sqlite_file(session.config.schedules_url()).is_some_and(|path| !path.exists());
    if is_missing {
        return Ok(String::new());
    }
    let page = session.open_schedules().await?.list(&EntryFilter::default(), Page::first(1_000)).await?;
    let more = if page.next.is_some() { "more than " } else { "" };
    Ok(format!("; the schedule answers: {more}{} entries", page.items.len()))
}
