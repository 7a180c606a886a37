//! What was counted, in one statement per batch.

use async_trait::async_trait;
use lovage_core::stats::{DepthSample, StatsStore, Tally, Window, minute};
use lovage_core::{BackendError, QueueName, Timestamp};
use lovage_sql::sql_error;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, Type};

use crate::postgres::PgResults;
use crate::postgres::sql;
use crate::postgres::types::Instant;
use crate::stats::{Samples, Tallies, name, sample_rows, span, tally_rows};

const ADDING: &str = "adding to the statistics";
const READING: &str = "reading the statistics";
const TRIMMING: &str = "trimming the statistics";

#[async_trait]
impl StatsStore for PgResults {
    async fn add(&self, batch: &[Tally]) -> Result<(), BackendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let rows = tally_rows(batch);
        self.db
            .undisturbed(|| self.db.rows(ADDING, sqlx::query(sql!("stats_add")).bind(rows.clone())))
            .await?;
        Ok(())
    }

    async fn read(&self, window: Window) -> Result<Vec<Tally>, BackendError> {
        let mut tallies = Tallies::of(window);
        for row in self.window(sql!("stats_read"), window).await? {
            tallies.row(get(&row, "since")?, get(&row, "queue")?, get(&row, "task")?, get(&row, "sums")?)?;
        }
        Ok(tallies.done())
    }

    async fn sample(&self, batch: &[DepthSample]) -> Result<(), BackendError> {
        if batch.is_empty() {
            return Ok(());
        }
        let rows = sample_rows(batch);
        self.db
            .undisturbed(|| self.db.rows(ADDING, sqlx::query(sql!("stats_sample")).bind(rows.clone())))
            .await?;
        Ok(())
    }

    async fn sampled(&self, at: Timestamp) -> Result<Vec<QueueName>, BackendError> {
        let query = sqlx::query(sql!("stats_sampled")).bind(Instant(minute(at)));
        let rows = self.db.slow().rows(READING, query).await?;
        rows.iter().map(|row| name(get(row, "queue")?)).collect()
    }

    async fn depths(&self, window: Window) -> Result<Vec<DepthSample>, BackendError> {
        let mut samples = Samples::of(window);
        for row in self.window(sql!("stats_depths"), window).await? {
            samples.row(get(&row, "since")?, get(&row, "queue")?, get(&row, "sums")?)?;
        }
        Ok(samples.done())
    }

    async fn trim(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut gone = 0;
        for statement in [sql!("stats_trim"), sql!("stats_depth_trim")] {
            let query = sqlx::query(statement).bind(Instant(before)).bind(limit);
            gone += self.db.slow().rows(TRIMMING, query).await?.len();
        }
        Ok(gone)
    }
}

impl PgResults {
    async fn window(&self, statement: &'static str, window: Window) -> Result<Vec<PgRow>, BackendError> {
        let span = i16::try_from(span(&window)).unwrap_or(1);
        let (since, until) = (Instant(window.since()), Instant(window.until()));
        self.db.slow().rows(READING, sqlx::query(statement).bind(span).bind(since).bind(until)).await
    }
}

fn get<'r, T: Decode<'r, Postgres> + Type<Postgres>>(
    row: &'r PgRow,
    column: &str,
) -> Result<T, BackendError> {
    row.try_get(column).map_err(|error| sql_error(READING, error))
}
