//! A million entries, written as rows: one by one would take longer than what is measured.

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_sql::Database;

use crate::{Fallible, beat};

const ENTRIES: usize = 1_000_000;
/// Each of them is due once in this time, ten a second if they were spread.
const EVERY: &str = r#"{"kind":"interval","every":"100000s"}"#;
/// None of them is due while something is measured.
const LATER: Duration = Duration::from_secs(6 * 3_600);
const CONTEXT: &str = "filling the schedule";

/// The name of an entry.
pub(crate) fn name(number: usize) -> String {
    format!("stored {number:07}")
}

/// Writes them, none of them due for hours, and leaves the database as it is when it has had them for long.
pub(crate) async fn fill(schedules: &str, now: Timestamp) -> Fallible<usize> {
    let first = now.plus(LATER);
    let step = Duration::from_millis(100);
    let tidy = ["VACUUM (ANALYZE) lovage_schedule", "CHECKPOINT"];
    write(schedules, 0, ENTRIES, first, step, &tidy).await?;
    Ok(ENTRIES)
}

/// Makes the first of them due, one after the other.
pub(crate) async fn make_due(
    schedules: &str,
    count: usize,
    first: Timestamp,
    step: Duration,
) -> Fallible<()> {
    write(schedules, 0, count, first, step, &[]).await
}

async fn write(
    schedules: &str,
    from: usize,
    to: usize,
    first: Timestamp,
    step: Duration,
    tidy: &[&'static str],
) -> Fallible<()> {
    let (from, to) = (i64::try_from(from)?, i64::try_from(to)?);
    // Whole milliseconds, as a start is written.
    let (first, step) = (first.as_millis(), i64::try_from(step.as_millis())?);
    let queue = beat::queue();
    match Database::connect(schedules).await? {
        Database::Postgres(db) => {
            let insert = sqlx::query(POSTGRES).bind(from).bind(to).bind(first).bind(step).bind(EVERY);
            let mut tx = db.begin(CONTEXT).await?;
            sqlx::raw_sql("SET LOCAL statement_timeout = 0").execute(tx.connection()).await?;
            insert.bind(queue.as_str()).execute(tx.connection()).await?;
            tx.commit(CONTEXT).await?;
            for statement in tidy {
                let mut connection = db.dedicated(CONTEXT).await?;
                sqlx::raw_sql("SET statement_timeout = 0").execute(&mut connection).await?;
                sqlx::raw_sql(*statement).execute(&mut connection).await?;
            }
        }
        Database::Sqlite(db) => {
            let mut tx = db.write_tx().await?;
            let insert = sqlx::query(SQLITE).bind(from).bind(to).bind(first).bind(step).bind(EVERY);
            insert.bind(queue.as_str()).execute(&mut *tx).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

const POSTGRES: &str = "
    INSERT INTO lovage_schedule (name, task, schedule, queue, start_time, next_run_at)
    SELECT 'stored ' || lpad(k::text, 7, '0'), 'bench.fired', $5, $6,
        to_char(to_timestamp(at / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.') || lpad((at % 1000)::text, 3, '0') || 'Z',
        to_timestamp(at / 1000) + at % 1000 * interval '1 ms'
    FROM (SELECT k, $3 + k * $4 AS at FROM generate_series($1, $2 - 1) AS k) AS numbered
    ON CONFLICT (name) DO UPDATE SET start_time = excluded.start_time, next_run_at = excluded.next_run_at,
        revision = lovage_schedule.revision + 1";

const SQLITE: &str = "
    WITH RECURSIVE numbered (k) AS (SELECT ?1 UNION ALL SELECT k + 1 FROM numbered WHERE k + 1 < ?2),
    timed AS (SELECT k, ?3 + k * ?4 AS at FROM numbered)
    INSERT INTO lovage_schedule (name, task, schedule, queue, start_time, next_run_at)
    SELECT printf('stored %07d', k), 'bench.fired', ?5, ?6,
        strftime('%Y-%m-%dT%H:%M:%S', at / 1000, 'unixepoch') || printf('.%03dZ', at % 1000), at * 1000
    FROM timed WHERE true
    ON CONFLICT (name) DO UPDATE SET start_time = excluded.start_time, next_run_at = excluded.next_run_at,
        revision = revision + 1";
