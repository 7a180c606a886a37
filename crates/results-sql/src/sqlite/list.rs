//! Listing: the rows of an index that are read for a page, and of them those that match.

use lovage_core::{BackendError, Found, QueueName, TaskId, Timestamp};
use lovage_sql::{sql_error, sqlite::SqliteDatabase};
use sqlx::{Sqlite, SqliteConnection};

use crate::page::{CONTEXT, Key, Search, Way, count, page};
use crate::sqlite::results::decode;

/// A statement that answers rows of a range, and one that says where the range ends.
macro_rules! list_sql {
    ($range:literal) => {
        concat!("SELECT record ", crate::sqlite::sql!($range), crate::sqlite::sql!("list"))
    };
}
macro_rules! end_sql {
    ($range:literal) => {
        concat!("SELECT finished_at, id ", crate::sqlite::sql!($range), crate::sqlite::sql!("range_end"))
    };
}

/// One page, the newest first, of what lives at `now`.
pub(crate) async fn list(
    db: &SqliteDatabase,
    search: Search<'_>,
    now: Timestamp,
) -> Result<Found, BackendError> {
    let after = search.after()?;
    // Two statements, which must see the same rows.
    let mut tx = db.reader().begin().await.map_err(|error| sql_error(CONTEXT, error))?;
    let end = end_of_window(&mut tx, &search, after).await?;
    let found = select(&mut tx, &search, after, end, now).await?;
    let found = found.iter().map(|json| decode(json)).collect::<Result<_, _>>()?;
    Ok(page(found, search.limit(), end))
}

async fn select(
    connection: &mut SqliteConnection,
    search: &Search<'_>,
    after: Key,
    end: Option<Key>,
    now: Timestamp,
) -> Result<Vec<String>, BackendError> {
    let (sql, _, key) = statements(search);
    let filter = search.filter;
    let lowest = Key { finished_at: Timestamp::from_micros(i64::MIN), id: TaskId::from_bytes([0; 16]) };
    let end = end.unwrap_or(lowest);
    let query = sqlx::query_scalar::<Sqlite, String>(sql)
        .bind(now.as_micros())
        .bind(search.since().max(end.finished_at).as_micros())
        .bind(search.states().map(|words| serde_json::Value::from(words).to_string()))
        .bind(filter.worker.as_deref())
        .bind(filter.queue.as_ref().map(QueueName::as_str))
        .bind(after.finished_at.as_micros())
        .bind(after.id.as_bytes().to_vec())
        .bind(search.rows())
        .bind(key)
        .bind(filter.task.as_deref())
        .bind(filter.arguments.as_deref())
        .bind(search.said())
        .bind(end.finished_at.as_micros())
        .bind(end.id.as_bytes().to_vec());
    query.fetch_all(connection).await.map_err(|error| sql_error(CONTEXT, error))
}

async fn end_of_window(
    connection: &mut SqliteConnection,
    search: &Search<'_>,
    after: Key,
) -> Result<Option<Key>, BackendError> {
    let (_, sql, key) = statements(search);
    let none = None::<&str>;
    let end: Option<(i64, Vec<u8>)> = sqlx::query_as(sql)
        .bind(none)
        .bind(search.since().as_micros())
        .bind(none)
        .bind(none)
        .bind(none)
        .bind(after.finished_at.as_micros())
        .bind(after.id.as_bytes().to_vec())
        .bind(count(search.window))
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(|error| sql_error(CONTEXT, error))?;
    Ok(end.and_then(|(micros, id)| {
        let id = TaskId::from_bytes(id.as_slice().try_into().ok()?);
        Some(Key { finished_at: Timestamp::from_micros(micros), id })
    }))
}

/// What lists a range, what says where it ends, and what it begins with.
fn statements(search: &Search<'_>) -> (&'static str, &'static str, Option<String>) {
    match search.way() {
        Way::All => (list_sql!("range_all"), end_sql!("range_all"), None),
        Way::Task(task) => (list_sql!("range_task"), end_sql!("range_task"), Some(task.to_owned())),
        Way::State(state) => {
            (list_sql!("range_state"), end_sql!("range_state"), Some(state.as_str().to_owned()))
        }
        Way::Error => (list_sql!("range_error"), end_sql!("range_error"), None),
    }
}

#[cfg(test)]
mod tests;
