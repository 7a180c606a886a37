//! `status` and `inspect`: what is queued and what workers do, read from the broker and never by asking workers.

use std::collections::BTreeMap;

use lovage_core::{ActiveTask, Place, StoredMessage, WorkerInfo};
use lovage_worker::Outbox;
use serde_json::{Map, Value, json};

use crate::cli::{Format, Inspect, Listing};
use crate::commands::relay::named;
use crate::config::Setting;
use crate::error::CliError;
use crate::output::{Out, Rows, Table};
use crate::session::{Session, now, queues_of, sqlite_file};
use crate::show::{self, Content, ago, ahead, whole_seconds};

const NO_WORKERS: &str = "no worker is alive";

/// `lovage status`.
pub(crate) async fn status(session: &Session, format: Format) -> Result<(), CliError> {
    let (workers, now) = (workers_and_beats(session).await?, now());
    let mut table = Table::new(["NAME", "STATE", "HOST", "PID", "VERSION", "QUEUES", "ACTIVE", "UP", "SEEN"]);
    for worker in &workers {
        table.row([
            worker.name.clone(),
            show::mode(worker),
            worker.host.clone(),
            worker.pid.to_string(),
            worker.version.clone(),
            names(worker),
            worker.active.len().to_string(),
            whole_seconds(now.since(worker.started_at)),
            ago(worker.seen_at, now),
        ]);
    }
    print_workers(format, &workers, table)
}

/// `lovage inspect …`.
pub(crate) async fn inspect(session: &Session, what: Inspect) -> Result<(), CliError> {
    match what {
        Inspect::Active(format) => active(session, format).await,
        Inspect::Reserved(format) => reserved(session, format).await,
        Inspect::Scheduled(listing) => delayed(session, &listing, Waits::ForItsTime).await,
        Inspect::Retry(listing) => delayed(session, &listing, Waits::ForARetry).await,
        Inspect::Registered(format) => registered(session, format).await,
        Inspect::Stats(format) => stats(session, format).await,
        Inspect::Outbox(format) => outbox(session, format).await,
        Inspect::Conf(format) => conf(session, format),
        Inspect::Ping(format) => ping(session, format).await,
    }
}

/// Settings, values without secrets, sources.
pub(crate) fn settings(session: &Session) -> Vec<(&'static str, String, String)> {
    let config = &session.config;
    let row =
        |setting: Setting| (setting.spec().key, config.shown(setting), config.source(setting).to_string());
    Setting::ALL.into_iter().map(row).collect()
}

async fn workers(session: &Session) -> Result<Vec<WorkerInfo>, CliError> {
    let mut workers = workers_and_beats(session).await?;
    workers.retain(|worker| !worker.is_beat());
    Ok(workers)
}

/// Beats, too.
async fn workers_and_beats(session: &Session) -> Result<Vec<WorkerInfo>, CliError> {
    let client = session.connect_to_look().await?;
    Ok(client.broker().workers(None).await?)
}

fn print_workers(format: Format, workers: &[WorkerInfo], table: Table) -> Result<(), CliError> {
    let json = workers.iter().map(show::worker).collect();
    Out.rows(format.json, Rows { json, table, none: NO_WORKERS })
}

fn names(worker: &WorkerInfo) -> String {
    worker.queues.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

async fn active(session: &Session, format: Format) -> Result<(), CliError> {
    let (workers, now) = (workers(session).await?, now());
    let mut table = Table::new(["ID", "TASK", "QUEUE", "RUNNING", "WORKER", "PROGRESS"]);
    let mut rows = Vec::new();
    for worker in &workers {
        for task in &worker.active {
            table.row([
                task.id.to_string(),
                task.task.clone(),
                task.queue.to_string(),
                whole_seconds(now.since(task.started_at)),
                worker.name.clone(),
                told(task),
            ]);
            rows.push(json!({
                "id": task.id.to_string(), "task": task.task, "queue": task.queue,
                "started_at": task.started_at.to_string(), "worker": worker.name, "progress": task.progress,
                "blocks_since": task.blocks_since.map(|at| at.to_string()),
            }));
        }
        for thread in &worker.abandoned {
            table.row([
                thread.id.to_string(),
                thread.task.clone(),
                thread.queue.to_string(),
                whole_seconds(now.since(thread.started_at)),
                worker.name.clone(),
                format!("task ended {}, its thread still runs", ago(thread.abandoned_at, now)),
            ]);
            let mut row = show::abandoned(thread);
            row["worker"] = worker.name.clone().into();
            rows.push(row);
        }
    }
    Out.rows(format.json, Rows { json: rows.into(), table, none: "nothing is running" })
}

fn told(task: &ActiveTask) -> String {
    let progress = task.progress.as_ref().map(show::progress).unwrap_or_default();
    if task.blocks_since.is_none() {
        progress
    } else {
        format!("{progress} (blocks its thread)").trim_start().to_owned()
    }
}

async fn reserved(session: &Session, format: Format) -> Result<(), CliError> {
    let workers = workers(session).await?;
    let mut table = Table::new(["WORKER", "RESERVED", "RUNNING"]);
    for worker in &workers {
        table.row([worker.name.clone(), worker.reserved.to_string(), worker.active.len().to_string()]);
    }
    print_workers(format, &workers, table)
}

/// What a delayed message waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    ForItsTime,
    ForARetry,
}

impl Waits {
    fn of(message: &StoredMessage) -> Self {
        if message.attempt == 0 { Self::ForItsTime } else { Self::ForARetry }
    }

    fn note(self, message: &StoredMessage) -> String {
        match self {
            Self::ForARetry => message.notes.last().map_or_else(String::new, |note| note.error.clone()),
            // Reserved and not run: by workers that do not know the task, most of the time.
            Self::ForItsTime if message.delivery > 0 => {
                format!("given back by workers, {} times so far", message.delivery)
            }
            Self::ForItsTime => String::new(),
        }
    }
}

async fn delayed(session: &Session, listing: &Listing, waits: Waits) -> Result<(), CliError> {
    let client = session.connect_to_look().await?;
    let now = now();
    let mut table = Table::new(match waits {
        Waits::ForItsTime => ["ID", "TASK", "ARGUMENTS", "QUEUE", "DUE", "NOTE"],
        Waits::ForARetry => ["ID", "TASK", "ARGUMENTS", "QUEUE", "DUE", "LAST ERROR"],
    });
    let mut rows = Vec::new();
    let hidden = session.hidden(&**client.broker()).await;
    for queue in queues_of(&client, listing.queue.as_ref()).await? {
        let messages = client.peek_all(&queue, Place::Delayed, usize::MAX).await?;
        for message in messages.iter().filter(|message| Waits::of(message) == waits).take(listing.limit) {
            let content = Content::of(message, &hidden);
            table.row([
                message.id.to_string(),
                content.task,
                content.arguments,
                message.queue.to_string(),
                ahead(message.at, now),
                waits.note(message),
            ]);
            rows.push(show::message(message, &hidden));
        }
    }
    let none = match waits {
        Waits::ForItsTime => "nothing waits for its time",
        Waits::ForARetry => "nothing waits for a retry",
    };
    Out.rows(listing.format.json, Rows { json: rows.into(), table, none })
}

async fn registered(session: &Session, format: Format) -> Result<(), CliError> {
    let workers = workers(session).await?;
    let mut by_task: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for worker in workers {
        for task in worker.tasks {
            by_task.entry((task.name, task.signature)).or_default().push(worker.name.clone());
        }
    }
    let mut table = Table::new(["TASK", "SIGNATURE", "WORKERS"]);
    let mut rows = Vec::new();
    for ((task, signature), workers) in by_task {
        rows.push(json!({ "task": task, "signature": signature, "workers": workers }));
        table.row([task, signature, workers.join(", ")]);
    }
    Out.rows(format.json, Rows { json: rows.into(), table, none: NO_WORKERS })
}

async fn stats(session: &Session, format: Format) -> Result<(), CliError> {
    let (workers, now) = (workers(session).await?, now());
    let mut table = Table::new([
        "WORKER",
        "SUCCEEDED",
        "FAILED",
        "RUNNING",
        "RESERVED",
        "CONCURRENCY",
        "BLOCKING",
        "MEMORY",
        "CPU",
        "UP",
    ]);
    for worker in &workers {
        table.row([
            worker.name.clone(),
            worker.succeeded.to_string(),
            worker.failed.to_string(),
            worker.active.len().to_string(),
            worker.reserved.to_string(),
            worker.concurrency.to_string(),
            worker.blocking.to_string(),
            show::mebibytes(worker.memory),
            show::cores(worker.cpu),
            whole_seconds(now.since(worker.started_at)),
        ]);
    }
    print_workers(format, &workers, table)
}

/// How many rows that were set aside are shown.
const SET_ASIDE: u32 = 100;

/// Only the outbox is asked: it tells what waits while the broker is away.
async fn outbox(session: &Session, format: Format) -> Result<(), CliError> {
    let url = named(session)?;
    if let Some(path) = sqlite_file(url).filter(|path| !path.exists()) {
        let error = CliError::failed(format!("{} does not exist", path.display()));
        return Err(error.hint(session.place(Setting::Outbox)));
    }
    let failed = |error| CliError::from(error).hint(session.place(Setting::Outbox));
    let outbox = Outbox::connect(url).await.map_err(failed)?;
    let depth = outbox.depth().await.map_err(failed)?;
    let refused = outbox.refused(SET_ASIDE).await.map_err(failed)?;
    if format.json {
        let rows = refused.iter().map(|row| {
            json!({
                "row": row.seq, "id": row.id.map(|id| id.to_string()), "queue": row.queue,
                "reason": row.reason, "set_aside_at": row.at.to_string(),
            })
        });
        return Out.json(&json!({
            "waiting": depth.waiting, "oldest": depth.oldest.map(|at| at.to_string()),
            "set_aside": depth.refused, "rows": rows.collect::<Vec<_>>(),
        }));
    }
    let now = now();
    match depth.oldest {
        Some(oldest) => Out.line(format!(
            "{} wait for a relay, the oldest was written {}",
            depth.waiting,
            ago(oldest, now)
        ))?,
        None => Out.line("nothing waits for a relay")?,
    }
    if depth.refused == 0 {
        return Ok(());
    }
    let mut table = Table::new(["ROW", "ID", "QUEUE", "SET ASIDE", "REASON"]);
    for row in refused {
        let id = row.id.map_or_else(|| "?".to_owned(), |id| id.to_string());
        table.row([row.seq.to_string(), id, row.queue, ago(row.at, now), row.reason]);
    }
    Out.line(format!(
        "\n{} were set aside in lovage_outbox_refused, no relay can read them:\n",
        depth.refused
    ))?;
    Out.line(table.to_string())
}

fn conf(session: &Session, format: Format) -> Result<(), CliError> {
    let mut table = Table::new(["SETTING", "VALUE", "FROM"]);
    let mut json = Map::new();
    for (key, value, source) in settings(session) {
        json.insert(key.to_owned(), json!({ "value": value, "source": source }));
        table.row([key.to_owned(), value, source]);
    }
    Out.rows(format.json, Rows { json: Value::Object(json), table, none: "" })
}

async fn ping(session: &Session, format: Format) -> Result<(), CliError> {
    let (workers, now) = (workers(session).await?, now());
    if format.json {
        Out.json(&workers.iter().map(show::worker).collect())?;
    } else {
        for worker in &workers {
            Out.line(format!("{}: pong (seen {})", worker.name, ago(worker.seen_at, now)))?;
        }
    }
    if workers.is_empty() {
        return Err(CliError::failed(NO_WORKERS).hint(format!("start one with `{} worker`", session.program)));
    }
    Ok(())
}
