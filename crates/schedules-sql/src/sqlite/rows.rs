//! Rows from their columns, and batches as JSON.

use lovage_core::schedule::{Advance, Firing, Listed};
use lovage_core::{BackendError, EntryName, StoreId, TaskId, Timestamp};
use lovage_sql::sql_error;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};

use crate::row::{Row, corrupt, fate, note};

const READING: &str = "reading the schedule";

/// What a row of `lovage_schedule` says.
pub(crate) fn listed(row: &SqliteRow) -> Result<Listed, BackendError> {
    let instant =
        |column| Ok::<_, BackendError>(get::<Option<i64>>(row, column)?.map(Timestamp::from_micros));
    let row = Row {
        name: get(row, "name")?,
        task: get(row, "task")?,
        args: get(row, "args")?,
        kwargs: get(row, "kwargs")?,
        schedule: get(row, "schedule")?,
        queue: get(row, "queue")?,
        priority: get(row, "priority")?,
        headers: get(row, "headers")?,
        expires: get(row, "expires")?,
        start_time: get(row, "start_time")?,
        end_time: get(row, "end_time")?,
        one_off: get(row, "one_off")?,
        enabled: get(row, "enabled")?,
        description: get(row, "description")?,
        misfire: get(row, "misfire")?,
        overlap: get(row, "overlap")?,
        jitter: get(row, "jitter")?,
        revision: get(row, "revision")?,
        done_until: Timestamp::from_micros(get(row, "done_until")?),
        next_run_at: instant("next_run_at")?,
        last_run_at: instant("last_run_at")?,
        last_task_id: task_id(row, "last_task_id")?,
        total_run_count: get(row, "total_run_count")?,
        last_error: get(row, "last_error")?,
        rewound_at: instant("rewound_at")?,
        rewound_from: instant("rewound_from")?,
        disabled_by: get(row, "disabled_by")?,
        source: get(row, "source")?,
        declared: get(row, "declared")?,
        edited: get(row, "edited")?,
        gone: get(row, "gone")?,
    };
    Ok(row.listed())
}

/// What a row of `lovage_firing` says.
pub(crate) fn firing(name: &str, row: &SqliteRow) -> Result<Firing, BackendError> {
    Ok(Firing {
        name: EntryName::new(name).map_err(|error| corrupt(&error.to_string()))?,
        slot: Timestamp::from_micros(get(row, "slot")?),
        last_slot: Timestamp::from_micros(get(row, "last_slot")?),
        at: Timestamp::from_micros(get(row, "at")?),
        fate: fate(get(row, "fate")?, task_id(row, "task_id")?, get(row, "note")?)?,
    })
}

pub(crate) fn get<'r, T>(row: &'r SqliteRow, column: &str) -> Result<T, BackendError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(column).map_err(|error| sql_error(READING, error))
}

/// The identity of a store.
pub(crate) fn store_id(row: &SqliteRow, column: &str) -> Result<StoreId, BackendError> {
    let id = get::<&[u8]>(row, column)?.try_into().map(StoreId::from_bytes);
    id.map_err(|_| corrupt("an identity that is not 16 bytes"))
}

/// The slots that an entry is not done with and that fired, oldest first.
pub(crate) fn fired_ahead(row: &SqliteRow) -> Result<Vec<Timestamp>, BackendError> {
    let slots: Vec<i64> = serde_json::from_str(get(row, "fired_ahead")?).unwrap_or_default();
    Ok(slots.into_iter().map(Timestamp::from_micros).collect())
}

fn task_id(row: &SqliteRow, column: &str) -> Result<Option<TaskId>, BackendError> {
    let Some(bytes) = get::<Option<&[u8]>>(row, column)? else { return Ok(None) };
    let id = bytes.try_into().map(TaskId::from_bytes);
    id.map(Some).map_err(|_| corrupt(&format!("a task id of {} bytes", bytes.len())))
}

/// A batch for `advance.sql`.
pub(crate) fn advances(batch: &[Advance]) -> String {
    #[derive(Serialize)]
    struct Columns<'a> {
        name: &'a str,
        revision: i64,
        seen: Timestamp,
        done_until: Timestamp,
        next_run_at: Option<Timestamp>,
        ends: bool,
        error: Option<&'a str>,
        rewinds: bool,
    }
    json(batch.iter().map(|advance| Columns {
        name: advance.name.as_str(),
        revision: advance.revision,
        seen: advance.seen,
        done_until: advance.done_until,
        next_run_at: advance.next_run_at,
        ends: advance.ends,
        error: advance.error.as_deref(),
        rewinds: advance.rewinds,
    }))
}

/// A batch for `tell.sql`.
pub(crate) fn firings<'a>(batch: impl Iterator<Item = &'a Firing>) -> String {
    #[derive(Serialize)]
    struct Columns<'a> {
        name: &'a str,
        slot: Timestamp,
        fate: &'static str,
        last_slot: Timestamp,
        at: Timestamp,
        task: Option<String>,
        note: Option<String>,
    }
    json(batch.map(|firing| Columns {
        name: firing.name.as_str(),
        slot: firing.slot,
        fate: firing.fate.as_str(),
        last_slot: firing.last_slot,
        at: firing.at,
        task: firing.fate.stored_task().map(|id| id.to_string().replace('-', "")),
        note: note(firing),
    }))
}

/// Names as a JSON list.
pub(crate) fn names(names: &[&str]) -> String {
    json(names.iter())
}

fn json(items: impl Iterator<Item = impl Serialize>) -> String {
    // Texts and numbers: nothing that could fail.
    serde_json::to_string(&items.collect::<Vec<_>>()).unwrap_or_default()
}
