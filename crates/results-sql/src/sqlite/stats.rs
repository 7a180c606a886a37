//! What was counted, in one statement per batch.

use async_trait::async_trait;
use lovage_core::stats::{DepthSample, StatsStore, Tally, Window, minute};
use lovage_core::{BackendError, QueueName, Timestamp};
use lovage_sql::sql_error;

use crate::sqlite::{SqliteResults, sql};
use crate::stats::{Samples, Tallies, name, sample_rows, span, tally_rows};

const ADDING: &str = "adding to the statistics";
const READING: &str = "reading the statistics";
const TRIMMING: &str = "trimming the statistics";

#[async_trait]
impl StatsStore for SqliteResults {
    async fn add(&self, batch: &[Tally]) -> Result<(), BackendError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.add_rows(sql!("stats_add"), tally_rows(batch)).await
    }

    async fn read(&self, window: Window) -> Result<Vec<Tally>, BackendError> {
        let rows: Vec<(i64, String, String, String)> = sqlx::query_as(sql!("stats_read"))
            .bind(span(&window))
            .bind(window.since().as_micros())
            .bind(window.until().as_micros())
            .fetch_all(self.db.reader())
            .await
            .map_err(|error| sql_error(READING, error))?;
        let mut tallies = Tallies::of(window);
        for (since, queue, task, sums) in rows {
            tallies.row(since, &queue, task, &sums)?;
        }
        Ok(tallies.done())
    }

    async fn sample(&self, batch: &[DepthSample]) -> Result<(), BackendError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.add_rows(sql!("stats_sample"), sample_rows(batch)).await
    }

    async fn sampled(&self, at: Timestamp) -> Result<Vec<QueueName>, BackendError> {
        let query = sqlx::query_scalar(sql!("stats_sampled")).bind(minute(at).as_micros());
        let names: Vec<String> =
            query.fetch_all(self.db.reader()).await.map_err(|error| sql_error(READING, error))?;
        names.iter().map(|queue| name(queue)).collect()
    }

    async fn depths(&self, window: Window) -> Result<Vec<DepthSample>, BackendError> {
        let rows: Vec<(i64, String, String)> = sqlx::query_as(sql!("stats_depths"))
            .bind(span(&window))
            .bind(window.since().as_micros())
            .bind(window.until().as_micros())
            .fetch_all(self.db.reader())
            .await
            .map_err(|error| sql_error(READING, error))?;
        let mut samples = Samples::of(window);
        for (since, queue, sums) in rows {
            samples.row(since, &queue, &sums)?;
        }
        Ok(samples.done())
    }

    async fn trim(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let fail = |error| sql_error(TRIMMING, error);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut tx = self.db.write_tx().await?;
        let mut gone = 0;
        for statement in [sql!("stats_trim"), sql!("stats_depth_trim")] {
            let query = sqlx::query(statement).bind(before.as_micros()).bind(limit);
            gone += query.execute(&mut *tx).await.map_err(fail)?.rows_affected();
        }
        if gone > 0 {
            tx.commit().await.map_err(fail)?;
        }
        Ok(usize::try_from(gone).unwrap_or(usize::MAX))
    }
}

impl SqliteResults {
    async fn add_rows(&self, statement: &'static str, rows: String) -> Result<(), BackendError> {
        let fail = |error| sql_error(ADDING, error);
        let mut tx = self.db.write_tx().await?;
        sqlx::query(statement).bind(rows).execute(&mut *tx).await.map_err(fail)?;
        tx.commit().await.map_err(fail)
    }
}
