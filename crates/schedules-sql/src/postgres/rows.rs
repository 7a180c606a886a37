//! Rows from their columns.

use lovage_core::schedule::{Firing, Listed};
use lovage_core::{BackendError, EntryName, StoreId, TaskId, Timestamp};
use lovage_sql::postgres::Instant;
use lovage_sql::sql_error;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{Decode, Postgres, Row as _, Type};

use crate::row::{Row, corrupt, fate};

const READING: &str = "reading the schedule";

/// What a row of `lovage_schedule` says.
pub(crate) fn listed(row: &PgRow) -> Result<Listed, BackendError> {
    let instant = |column| Ok::<_, BackendError>(get::<Option<Instant>>(row, column)?.map(|at| at.0));
    let row = Row {
        name: get(row, "name")?,
        task: get(row, "task")?,
        args: get(row, "args")?,
        kwargs: get(row, "kwargs")?,
        schedule: get(row, "schedule")?,
        queue: get(row, "queue")?,
        priority: get::<i16>(row, "priority")?.into(),
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
        done_until: get::<Instant>(row, "done_until")?.0,
        next_run_at: instant("next_run_at")?,
        last_run_at: instant("last_run_at")?,
        last_task_id: get::<Option<Uuid>>(row, "last_task_id")?.map(task_id),
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
pub(crate) fn firing(name: &str, row: &PgRow) -> Result<Firing, BackendError> {
    let task = get::<Option<Uuid>>(row, "task_id")?.map(task_id);
    Ok(Firing {
        name: EntryName::new(name).map_err(|error| corrupt(&error.to_string()))?,
        slot: get::<Instant>(row, "slot")?.0,
        last_slot: get::<Instant>(row, "last_slot")?.0,
        at: get::<Instant>(row, "at")?.0,
        fate: fate(get(row, "fate")?, task, get(row, "note")?)?,
    })
}

pub(crate) fn get<'r, T>(row: &'r PgRow, column: &str) -> Result<T, BackendError>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(column).map_err(|error| sql_error(READING, error))
}

/// The number in the only row of an answer.
pub(crate) fn count(rows: &[PgRow]) -> Result<usize, BackendError> {
    let count: i64 = match rows.first() {
        Some(row) => row.try_get(0).map_err(|error| sql_error(READING, error))?,
        None => 0,
    };
    Ok(usize::try_from(count).unwrap_or(0))
}

/// The identity of a store.
pub(crate) fn store_id(row: &PgRow, column: &str) -> Result<StoreId, BackendError> {
    Ok(StoreId::from_bytes(get::<Uuid>(row, column)?.into_bytes()))
}

/// The slots that an entry is not done with and that fired.
pub(crate) fn fired_ahead(row: &PgRow) -> Result<Vec<Timestamp>, BackendError> {
    Ok(get::<Vec<i64>>(row, "fired_ahead")?.into_iter().map(Timestamp::from_micros).collect())
}

fn task_id(id: Uuid) -> TaskId {
    TaskId::from_bytes(id.into_bytes())
}
