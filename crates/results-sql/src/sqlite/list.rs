//! Listing: one statement per page, and the index that serves it.

use lovage_core::{
    BackendError, BackendErrorKind, Page, Paged, QueueName, ResultFilter, TaskId, TaskRecord, TaskState,
    Timestamp,
};
use lovage_sql::{sql_error, sqlite::SqliteDatabase};
use sqlx::{Sqlite, SqliteConnection};

use crate::sqlite::results::decode;
use crate::sqlite::sql;

/// Failures that are read for one page of a search in their text, which no index serves. What did not match there is
/// left behind: the page may be short, or empty, and its `next` goes on behind them.
pub(crate) const SEARCH_WINDOW: usize = 20_000;

const CONTEXT: &str = "listing results";
const LARGEST_PAGE: usize = 1_000;

/// What to list.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub(crate) filter: &'a ResultFilter,
    pub(crate) page: &'a Page,
    pub(crate) now: Timestamp,
    /// See [`SEARCH_WINDOW`].
    pub(crate) window: usize,
}

/// The rows in front of which everything is already answered: `finished_at`, then the id.
type Key = (i64, Vec<u8>);

/// One page, the newest first.
pub(crate) async fn list(db: &SqliteDatabase, search: Search<'_>) -> Result<Paged<TaskRecord>, BackendError> {
    let after = search.page.after.as_deref().map_or(Ok((i64::MAX, vec![0xff; 17])), read_key)?;
    // Nothing that ended at `until` or later comes before the empty id at that instant.
    let after = match search.filter.until {
        Some(until) => after.min((until.as_micros(), Vec::new())),
        None => after,
    };
    let limit = search.page.limit.clamp(1, LARGEST_PAGE);
    // A search takes two statements, which must see the same rows.
    let mut tx = db.reader().begin().await.map_err(|error| sql_error(CONTEXT, error))?;
    let found = select(&mut tx, &search, &after, limit).await?;
    let mut items = Vec::with_capacity(limit.min(found.len()));
    for json in found.iter().take(limit) {
        items.push(decode(json)?);
    }
    let next = if found.len() > limit {
        items.last().map(|last| write_key(last.finished_at.as_micros(), last.id))
    } else if search.filter.error_contains.is_some() {
        end_of_window(&mut tx, &search, &after).await?
    } else {
        None
    };
    Ok(Paged { items, next })
}

/// One more than the limit, if there are: that tells whether there is a next page.
async fn select(
    connection: &mut SqliteConnection,
    search: &Search<'_>,
    after: &Key,
    limit: usize,
) -> Result<Vec<String>, BackendError> {
    let filter = search.filter;
    let (statement, one) = match (&filter.error_contains, &filter.task, filter.states.as_slice()) {
        (Some(text), ..) => (sql!("list_error"), Some(text.as_str())),
        (None, Some(task), _) => (sql!("list_task"), Some(task.as_str())),
        (None, None, [state]) => (sql!("list_state"), Some(state.as_str())),
        (None, None, _) => (sql!("list"), None),
    };
    let mut query = sqlx::query_scalar::<Sqlite, String>(statement)
        .bind(search.now.as_micros())
        .bind(since(filter))
        .bind(state_words(&filter.states))
        .bind(filter.worker.as_deref())
        .bind(filter.queue.as_ref().map(QueueName::as_str))
        .bind(after.0)
        .bind(after.1.as_slice())
        .bind(count(limit + 1));
    if let Some(one) = one {
        query = query.bind(one);
    }
    if filter.error_contains.is_some() {
        query = query.bind(filter.task.as_deref()).bind(count(search.window));
    }
    query.fetch_all(connection).await.map_err(|error| sql_error(CONTEXT, error))
}

async fn end_of_window(
    connection: &mut SqliteConnection,
    search: &Search<'_>,
    after: &Key,
) -> Result<Option<String>, BackendError> {
    let end: Option<(i64, Vec<u8>)> = sqlx::query_as(sql!("list_error_end"))
        .bind(since(search.filter))
        .bind(after.0)
        .bind(after.1.as_slice())
        .bind(count(search.window))
        .fetch_optional(connection)
        .await
        .map_err(|error| sql_error(CONTEXT, error))?;
    Ok(end.and_then(|(micros, id)| {
        let id = TaskId::from_bytes(id.as_slice().try_into().ok()?);
        Some(write_key(micros, id))
    }))
}

fn since(filter: &ResultFilter) -> i64 {
    filter.since.map_or(i64::MIN, Timestamp::as_micros)
}

fn state_words(states: &[TaskState]) -> Option<String> {
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    (!words.is_empty()).then(|| serde_json::Value::from(words).to_string())
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn write_key(micros: i64, id: TaskId) -> String {
    format!("{micros}_{id}")
}

fn read_key(text: &str) -> Result<Key, BackendError> {
    let parts = text
        .split_once('_')
        .and_then(|(micros, id)| Some((micros.parse().ok()?, id.parse::<TaskId>().ok()?)));
    let (micros, id) = parts.ok_or_else(|| {
        let message = format!("`{text}` is no end of a page: pass on what the last page said");
        BackendError::new(BackendErrorKind::Config, message)
    })?;
    Ok((micros, id.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests;
