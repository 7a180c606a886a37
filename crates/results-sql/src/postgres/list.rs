//! Listing: one statement per page, and the index that serves it.

use lovage_core::{BackendError, Paged, QueueName, TaskRecord, TaskState};
use lovage_sql::postgres::PgDatabase;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};

use crate::page::{CONTEXT, Key, Search, Way, page};
use crate::postgres::batch::{task_column, text, uuid};
use crate::postgres::row::{read_record, task_id};
use crate::postgres::types::Instant;
use crate::postgres::{rows_sql, sql};
use crate::rules::corrupt;

/// A search takes two statements, which must see the same rows. And whatever the planner knows about the table, which may
/// be nothing, each list has its index.
pub(crate) const PREPARE: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;";

/// One page, the newest first.
pub(crate) async fn list(db: &PgDatabase, search: Search<'_>) -> Result<Paged<TaskRecord>, BackendError> {
    let after = search.after()?;
    let mut tx = db.begin(CONTEXT).await?;
    let (found, end) = db.in_time(CONTEXT, read(tx.connection(), &search, after)).await?;
    tx.commit(CONTEXT).await?;
    let found = found.iter().map(read_record).collect::<Result<_, _>>()?;
    let end = end.as_ref().map(read_key).transpose().map_err(|error| corrupt(&error))?;
    Ok(page(found, search.limit(), end))
}

async fn read(
    connection: &mut PgConnection,
    search: &Search<'_>,
    after: Key,
) -> Result<(Vec<PgRow>, Option<PgRow>), sqlx::Error> {
    sqlx::raw_sql(PREPARE).execute(&mut *connection).await?;
    let found = select(search, after).fetch_all(&mut *connection).await?;
    let end = match search.way() {
        Way::Error(_) => end_of_window(search, after).fetch_optional(connection).await?,
        Way::All | Way::Task(_) | Way::State(_) => None,
    };
    Ok((found, end))
}

fn select<'q>(search: &Search<'_>, after: Key) -> Query<'q, Postgres, PgArguments> {
    let filter = search.filter;
    let statement = |sql| {
        sqlx::query(sql)
            .bind(Instant(search.since()))
            .bind(Instant(after.finished_at))
            .bind(uuid(after.id))
            .bind(search.states())
            .bind(filter.worker.as_deref().map(text))
            .bind(filter.queue.as_ref().map(QueueName::as_str))
            .bind(search.rows())
    };
    match search.way() {
        // Most rows are successes: no index spends room on them.
        Way::All | Way::State(TaskState::Success) => statement(rows_sql!("list")),
        Way::Task(task) => statement(rows_sql!("list_task")).bind(task_column(task)),
        Way::State(state) => statement(rows_sql!("list_state")).bind(state.as_str()),
        Way::Error(said) => statement(rows_sql!("list_error"))
            .bind(text(said))
            .bind(filter.task.as_deref().map(task_column))
            .bind(search.window()),
    }
}

fn end_of_window<'q>(search: &Search<'_>, after: Key) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(sql!("list_error_end"))
        .bind(Instant(search.since()))
        .bind(Instant(after.finished_at))
        .bind(uuid(after.id))
        .bind(search.window())
}

fn read_key(row: &PgRow) -> Result<Key, sqlx::Error> {
    Ok(Key { finished_at: row.try_get::<Instant, _>(0)?.0, id: task_id(row.try_get(1)?) })
}
