//! The store: one statement per batch.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use lovage_core::audit;
use lovage_core::stats::StatsStore;
use lovage_core::{
    AttemptRecord, BackendError, Found, Page, Recorded, ResultFilter, ResultStore, TaskId, TaskRecord,
    Timestamp,
};
use lovage_sql::postgres::PgDatabase;
use lovage_sql::sql_error;
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{PgConnection, Row as _};

use crate::MIGRATIONS;
use crate::page::{SEARCH_WINDOW, Search};
use crate::postgres::batch::{Encoded, record_query, uuid};
use crate::postgres::row::{read_attempt, read_record, task_id};
use crate::postgres::types::Instant;
use crate::postgres::{list, rows_sql, sql};
use crate::rules::{HISTORY, Part as _, parts};

const RECORDING: &str = "recording results";

/// Results in a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PgResults {
    pub(super) db: PgDatabase,
}

impl PgResults {
    /// The results in a database that has the tables.
    ///
    /// # Errors
    /// `Config` when the tables are missing, old, or those of a newer release.
    pub async fn open(db: PgDatabase) -> Result<Self, BackendError> {
        db.require(&MIGRATIONS).await?;
        Ok(Self { db })
    }

    /// [`record`](ResultStore::record) as part of the caller's transaction, which may have to be repeated: two that store the
    /// same tasks can be in each other's way (error code `40P01`).
    ///
    /// # Errors
    /// What the server says; the transaction is lost then.
    pub async fn record_on(
        &self,
        connection: &mut PgConnection,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, sqlx::Error> {
        let encoded = encode(batch);
        let mut answers = first_answers(&encoded);
        for part in parts(&encoded) {
            let rows = record_query(&part, now).fetch_all(&mut *connection).await?;
            note_stored(&mut answers, &part, &rows)?;
        }
        Ok(answers)
    }

    async fn record_once(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError> {
        let encoded = encode(batch);
        let parts = parts(&encoded);
        let [part] = parts.as_slice() else { return self.record_parts(batch, now).await };
        // One statement needs no transaction around it.
        let mut answers = first_answers(&encoded);
        let rows = self.db.rows(RECORDING, record_query(part, now)).await?;
        note_stored(&mut answers, part, &rows).map_err(|error| sql_error(RECORDING, error))?;
        Ok(answers)
    }

    async fn record_parts(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError> {
        let mut tx = self.db.begin(RECORDING).await?;
        let answers = self.db.in_time(RECORDING, self.record_on(tx.connection(), batch, now)).await?;
        tx.commit(RECORDING).await?;
        Ok(answers)
    }

    async fn count(
        &self,
        context: &str,
        query: sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<usize, BackendError> {
        let rows = self.db.slow().rows(context, query).await?;
        let count: i64 = match rows.first() {
            Some(row) => row.try_get(0).map_err(|error| sql_error(context, error))?,
            None => 0,
        };
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

#[async_trait]
impl ResultStore for PgResults {
    async fn record(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.db.undisturbed(|| self.record_once(batch, now)).await
    }

    async fn get(
        &self,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<Vec<Option<TaskRecord>>, BackendError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let query = sqlx::query(rows_sql!("get")).bind(now.map(Instant)).bind(uuids(ids));
        let mut rows = HashMap::with_capacity(ids.len());
        for row in self.db.rows("reading results", query).await? {
            let record = read_record(&row)?;
            rows.insert(record.id, record);
        }
        Ok(ids.iter().map(|id| rows.get(id).cloned()).collect())
    }

    async fn history(&self, id: TaskId) -> Result<Vec<AttemptRecord>, BackendError> {
        let query = sqlx::query(sql!("history")).bind(uuid(id)).bind(HISTORY);
        self.db.rows("reading attempts", query).await?.iter().map(read_attempt).collect()
    }

    async fn list(&self, filter: &ResultFilter, page: Page) -> Result<Found, BackendError> {
        list::list(&self.db, Search { filter, page: &page, window: SEARCH_WINDOW }).await
    }

    async fn expire(&self, limit: usize, now: Option<Timestamp>) -> Result<usize, BackendError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = sqlx::query(sql!("expire")).bind(now.map(Instant)).bind(limit);
        self.count("removing ended results", query).await
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<usize, BackendError> {
        if ids.is_empty() {
            return Ok(0);
        }
        self.count("deleting results", sqlx::query(sql!("delete")).bind(uuids(ids))).await
    }

    fn stats(&self) -> Option<&dyn StatsStore> {
        Some(self)
    }

    fn audit(&self) -> Option<&dyn audit::AuditStore> {
        Some(self)
    }
}

fn encode(batch: &[TaskRecord]) -> Vec<Result<Encoded<'_>, String>> {
    batch.iter().map(Encoded::new).collect()
}

fn first_answers(encoded: &[Result<Encoded<'_>, String>]) -> Vec<Recorded> {
    let answer = |one: &Result<Encoded<'_>, String>| match one {
        Ok(_) => Recorded::Superseded,
        Err(why) => Recorded::Refused(why.clone()),
    };
    encoded.iter().map(answer).collect()
}

fn note_stored(
    answers: &mut [Recorded],
    part: &[(usize, &Encoded<'_>)],
    rows: &[PgRow],
) -> Result<(), sqlx::Error> {
    let stored: HashSet<TaskId> =
        rows.iter().map(|row| Ok(task_id(row.try_get(0)?))).collect::<Result<_, sqlx::Error>>()?;
    for (at, one) in part {
        if stored.contains(&one.id()) {
            answers[*at] = Recorded::Stored;
        }
    }
    Ok(())
}

fn uuids(ids: &[TaskId]) -> Vec<Uuid> {
    ids.iter().copied().map(uuid).collect()
}
