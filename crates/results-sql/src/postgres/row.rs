//! A record from its columns.

use std::collections::BTreeMap;

use lovage_core::{
    AttemptRecord, BackendError, ErrorReport, Lineage, Outcome, Priority, QueueName, ScheduledSlot, TaskId,
    TaskRecord, TaskState,
};
use sqlx::postgres::PgRow;
use sqlx::postgres::types::PgInterval;
use sqlx::types::Uuid;
use sqlx::{Decode, Postgres, Row as _, Type};

use crate::postgres::types::{Instant, duration};
use crate::rules::corrupt;

/// The record of a row.
pub(crate) fn read_record(row: &PgRow) -> Result<TaskRecord, BackendError> {
    record(row).map_err(|error| corrupt(&error))
}

/// The attempt of a row.
pub(crate) fn read_attempt(row: &PgRow) -> Result<AttemptRecord, BackendError> {
    attempt(row).map_err(|error| corrupt(&error))
}

pub(crate) fn task_id(id: Uuid) -> TaskId {
    TaskId::from_bytes(id.into_bytes())
}

fn record(row: &PgRow) -> Result<TaskRecord, String> {
    if let Some(document) = get::<Option<&str>>(row, "document")? {
        return serde_json::from_str(document).map_err(|error| error.to_string());
    }
    let recorded_at: Instant = get(row, "recorded_at")?;
    let until: Instant = get(row, "until")?;
    Ok(TaskRecord {
        id: task_id(get(row, "id")?),
        run: number(row, "run")?,
        delivery: number(row, "delivery")?,
        attempt: number(row, "attempt")?,
        task: get(row, "task")?,
        arguments: get(row, "arguments")?,
        state: state(row)?,
        outcome: outcome(row)?,
        worker: get(row, "worker")?,
        queue: QueueName::new(get::<&str>(row, "queue")?).map_err(|error| error.to_string())?,
        priority: priority(row)?,
        enqueued_at: get::<Instant>(row, "enqueued_at")?.0,
        started_at: get::<Option<Instant>>(row, "started_at")?.map(|at| at.0),
        finished_at: get::<Instant>(row, "finished_at")?.0,
        run_time: get::<Option<PgInterval>>(row, "run_time")?.as_ref().map(duration),
        schedule: schedule(row)?,
        lineage: lineage(row)?,
        headers: headers(row)?,
        keep_for: until.0.since(recorded_at.0),
        warning: None,
    })
}

fn attempt(row: &PgRow) -> Result<AttemptRecord, String> {
    Ok(AttemptRecord {
        run: number(row, "run")?,
        delivery: number(row, "delivery")?,
        attempt: number(row, "attempt")?,
        state: state(row)?,
        worker: get(row, "worker")?,
        started_at: get::<Option<Instant>>(row, "started_at")?.map(|at| at.0),
        finished_at: get::<Instant>(row, "finished_at")?.0,
        error: get(row, "error")?,
    })
}

fn outcome(row: &PgRow) -> Result<Outcome, String> {
    if let Some(result) = get(row, "result")? {
        return Ok(Outcome::Result(result));
    }
    if let Some(marker) = get(row, "marker")? {
        return Ok(Outcome::Marker(marker));
    }
    let Some(message) = get(row, "error")? else { return Ok(Outcome::None) };
    let chain = json(row, "error_chain")?.unwrap_or_default();
    let kind = get::<Option<String>>(row, "error_kind")?.unwrap_or_default();
    Ok(Outcome::Error(ErrorReport { kind, message, chain, backtrace: get(row, "backtrace")? }))
}

fn schedule(row: &PgRow) -> Result<Option<ScheduledSlot>, String> {
    let (name, slot) = (get::<Option<String>>(row, "schedule")?, get::<Option<Instant>>(row, "slot")?);
    Ok(name.zip(slot).map(|(name, slot)| ScheduledSlot { name, slot: slot.0 }))
}

fn lineage(row: &PgRow) -> Result<Option<Lineage>, String> {
    let Some(root) = get::<Option<Uuid>>(row, "root")? else { return Ok(None) };
    let id = |column| Ok::<_, String>(get::<Option<Uuid>>(row, column)?.map(task_id));
    let index = number(row, "group_index")?;
    Ok(Some(Lineage { root: task_id(root), parent: id("parent")?, group: id("group_id")?, index }))
}

fn headers(row: &PgRow) -> Result<BTreeMap<String, String>, String> {
    Ok(json(row, "headers")?.unwrap_or_default())
}

fn priority(row: &PgRow) -> Result<Priority, String> {
    let value = u8::try_from(get::<i16>(row, "priority")?).map_err(|error| error.to_string())?;
    Priority::new(value).map_err(|error| error.to_string())
}

fn state(row: &PgRow) -> Result<TaskState, String> {
    get::<&str>(row, "state")?.parse()
}

fn number(row: &PgRow, column: &str) -> Result<u32, String> {
    u32::try_from(get::<i64>(row, column)?).map_err(|error| format!("{column}: {error}"))
}

fn json<T: for<'de> serde::Deserialize<'de>>(row: &PgRow, column: &str) -> Result<Option<T>, String> {
    let text = get::<Option<sqlx::types::Json<T>>>(row, column)?;
    Ok(text.map(|json| json.0))
}

fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T, String>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(column).map_err(|error| error.to_string())
}
