//! Listing: which rows are read, by which index, and of them those that match.

use lovage_core::{BackendError, Found, TaskState};
use lovage_sql::postgres::PgDatabase;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};

use crate::page::{CONTEXT, Key, Search, Way, count, page};
use crate::postgres::batch::{task_column, text, uuid};
use crate::postgres::row::{read_record, task_id};
use crate::postgres::sql;
use crate::postgres::types::Instant;
use crate::rules::corrupt;

/// A page takes several statements, which must see the same rows. And whatever the planner knows about the table, which may
/// be nothing, each range has its index.
pub(crate) const PREPARE: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;";
/// What has the trigrams of a text is found by a bitmap, in no order.
pub(crate) const BY_TEXT: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off;
    SET LOCAL enable_bitmapscan = on; SET LOCAL enable_sort = on;";
const BY_TIME: &str =
    "SET LOCAL enable_indexscan = on; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;";

/// Failures with the trigrams of a text that are read and ordered. Where there are more, the text is so frequent that going
/// back in time finds it soon.
const HITS: usize = 2_000;
/// Failures that are read for one page while going back in time: they lie far apart.
const FAILURES: usize = 10_000;
/// Failures that are looked at before that: a text that is frequent there fills the page, and to gather everything that has its
/// trigrams would take long.
const NEWEST: usize = 1_000;
/// Shorter texts have no trigrams.
const SHORTEST: usize = 3;

/// A statement that answers rows of a range, and one that says where the range was read to.
macro_rules! list_sql {
    ($range:literal) => {
        concat!(
            crate::postgres::sql!("row"),
            "FROM (SELECT *\n",
            crate::postgres::sql!($range),
            crate::postgres::sql!("list")
        )
    };
}
macro_rules! end_sql {
    ($range:literal) => {
        concat!(
            "SELECT finished_at, id FROM (SELECT finished_at, id\n",
            crate::postgres::sql!($range),
            crate::postgres::sql!("range_end")
        )
    };
}
#[cfg(test)]
pub(crate) use {end_sql, list_sql};

/// One page, the newest first.
pub(crate) async fn list(db: &PgDatabase, search: Search<'_>) -> Result<Found, BackendError> {
    let after = search.after()?;
    let db = db.slow();
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
    if let Some(said) = search.said().filter(|said| said.chars().count() >= SHORTEST) {
        let newest = Range { window: search.window.min(NEWEST), ..Range::of(search) };
        let found = newest.select(search, after).fetch_all(&mut *connection).await?;
        if found.len() > search.limit() {
            return Ok((found, None));
        }
        sqlx::raw_sql(BY_TEXT).execute(&mut *connection).await?;
        let hits = sqlx::query_scalar(sql!("said")).bind(text(&said).into_owned()).bind(count(HITS));
        let hits: i64 = hits.fetch_one(&mut *connection).await?;
        if hits < count(HITS) {
            let all = Range {
                sql: list_sql!("range_said"),
                end: "",
                key: Some(text(&said).into_owned()),
                window: HITS,
            };
            return Ok((all.select(search, after).fetch_all(connection).await?, None));
        }
        sqlx::raw_sql(BY_TIME).execute(&mut *connection).await?;
    }
    let range = Range::of(search);
    let found = range.select(search, after).fetch_all(&mut *connection).await?;
    if found.len() > search.limit() {
        return Ok((found, None));
    }
    let end = range.begin(range.end, search, after).fetch_optional(connection).await?;
    Ok((found, end))
}

/// The rows that are read for a page.
struct Range {
    sql: &'static str,
    end: &'static str,
    key: Option<String>,
    window: usize,
}

impl Range {
    fn of(search: &Search<'_>) -> Self {
        let window = search.window;
        match search.way() {
            // Most rows are successes: no index spends room on them.
            Way::All | Way::State(TaskState::Success) => {
                Self { sql: list_sql!("range_all"), end: end_sql!("range_all"), key: None, window }
            }
            Way::Task(task) => {
                let key = Some(task_column(task).into_owned());
                Self { sql: list_sql!("range_task"), end: end_sql!("range_task"), key, window }
            }
            Way::State(state) => {
                let key = Some(state.as_str().to_owned());
                Self { sql: list_sql!("range_state"), end: end_sql!("range_state"), key, window }
            }
            Way::Error => {
                let window = window.min(FAILURES);
                Self { sql: list_sql!("range_error"), end: end_sql!("range_error"), key: None, window }
            }
        }
    }

    fn begin<'q>(
        &self,
        sql: &'static str,
        search: &Search<'_>,
        after: Key,
    ) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql)
            .bind(Instant(search.since()))
            .bind(Instant(after.finished_at))
            .bind(uuid(after.id))
            .bind(count(self.window))
            .bind(self.key.clone())
    }

    fn select<'q>(&self, search: &Search<'_>, after: Key) -> Query<'q, Postgres, PgArguments> {
        let filter = search.filter;
        self.begin(self.sql, search, after)
            .bind(search.states())
            .bind(filter.worker.as_deref().map(|worker| text(worker).into_owned()))
            .bind(filter.queue.as_ref().map(|queue| queue.as_str().to_owned()))
            .bind(search.rows())
            .bind(filter.task.as_deref().map(|task| task_column(task).into_owned()))
            .bind(filter.arguments.as_deref().map(|arguments| text(arguments).into_owned()))
            .bind(search.said().map(|said| text(&said).into_owned()))
    }
}

fn read_key(row: &PgRow) -> Result<Key, sqlx::Error> {
    Ok(Key { finished_at: row.try_get::<Instant, _>(0)?.0, id: task_id(row.try_get(1)?) })
}
