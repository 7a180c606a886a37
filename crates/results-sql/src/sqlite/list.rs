//! Listing: one statement per page, and the index that serves it.

use lovage_core::{BackendError, Paged, QueueName, TaskId, TaskRecord, Timestamp};
use lovage_sql::{sql_error, sqlite::SqliteDatabase};
use sqlx::{Sqlite, SqliteConnection};

use crate::page::{CONTEXT, Key, Search, Way, page};
use crate::sqlite::results::decode;
use crate::sqlite::sql;

/// One page, the newest first, of what lives at `now`.
pub(crate) async fn list(
    db: &SqliteDatabase,
    search: Search<'_>,
    now: Timestamp,
) -> Result<Paged<TaskRecord>, BackendError> {
    let after = search.after()?;
    // A search takes two statements, which must see the same rows.
    let mut tx = db.reader().begin().await.map_err(|error| sql_error(CONTEXT, error))?;
    let found = select(&mut tx, &search, after, now).await?;
    let found = found.iter().map(|json| decode(json)).collect::<Result<_, _>>()?;
    let end = match search.way() {
        Way::Error(_) => end_of_window(&mut tx, &search, after).await?,
        Way::All | Way::Task(_) | Way::State(_) => None,
    };
    Ok(page(found, search.limit(), end))
}

async fn select(
    connection: &mut SqliteConnection,
    search: &Search<'_>,
    after: Key,
    now: Timestamp,
) -> Result<Vec<String>, BackendError> {
    let filter = search.filter;
    let statement = |sql| {
        sqlx::query_scalar::<Sqlite, String>(sql)
            .bind(now.as_micros())
            .bind(search.since().as_micros())
            .bind(search.states().map(|words| serde_json::Value::from(words).to_string()))
            .bind(filter.worker.as_deref())
            .bind(filter.queue.as_ref().map(QueueName::as_str))
            .bind(after.finished_at.as_micros())
            .bind(after.id.as_bytes().to_vec())
            .bind(search.rows())
    };
    let query = match search.way() {
        Way::All => statement(sql!("list")),
        Way::Task(task) => statement(sql!("list_task")).bind(task),
        Way::State(state) => statement(sql!("list_state")).bind(state.as_str()),
        Way::Error(text) => {
            statement(sql!("list_error")).bind(text).bind(filter.task.as_deref()).bind(search.window())
        }
    };
    query.fetch_all(connection).await.map_err(|error| sql_error(CONTEXT, error))
}

async fn end_of_window(
    connection: &mut SqliteConnection,
    search: &Search<'_>,
    after: Key,
) -> Result<Option<Key>, BackendError> {
    let end: Option<(i64, Vec<u8>)> = sqlx::query_as(sql!("list_error_end"))
        .bind(search.since().as_micros())
        .bind(after.finished_at.as_micros())
        .bind(after.id.as_bytes().to_vec())
        .bind(search.window())
        .fetch_optional(connection)
        .await
        .map_err(|error| sql_error(CONTEXT, error))?;
    Ok(end.and_then(|(micros, id)| {
        let id = TaskId::from_bytes(id.as_slice().try_into().ok()?);
        Some(Key { finished_at: Timestamp::from_micros(micros), id })
    }))
}

#[cfg(test)]
mod tests;
