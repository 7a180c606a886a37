//! The store: one statement per batch.

use std::collections::{HashMap, HashSet};
use std::fmt;

use async_trait::async_trait;
use lovage_core::audit;
use lovage_core::stats::StatsStore;
use lovage_core::{
    AttemptRecord, BackendError, Clock as _, Found, Page, Recorded, ResultFilter, ResultStore, TaskId,
    TaskRecord, Timestamp,
};
use lovage_sql::{
    sql_error,
    sqlite::{SqliteDatabase, WriteTransaction},
};
use lovage_system::SystemClock;
use sqlx::Row as _;

use crate::page::{SEARCH_WINDOW, Search};
use crate::rules::{HISTORY, Part, check_size, corrupt, is_ended_attempt, parts};
use crate::sqlite::{list, sql};

/// Results in a SQLite file.
pub(crate) struct SqliteResults {
    pub(super) db: SqliteDatabase,
    clock: SystemClock,
}

impl SqliteResults {
    /// The results in a database that has the tables.
    pub(crate) fn new(db: SqliteDatabase) -> Self {
        Self { db, clock: SystemClock::new() }
    }

    /// The host's clock, which is the clock of every process that can open the file.
    fn now(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.clock.now())
    }
}

/// One record, encoded once.
struct Encoded {
    id: TaskId,
    row: String,
    attempt: Option<String>,
    trim: bool,
}

impl Part for Encoded {
    fn id(&self) -> TaskId {
        self.id
    }

    fn bytes(&self) -> usize {
        self.row.len()
    }
}

#[async_trait]
impl ResultStore for SqliteResults {
    async fn record(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now(now);
        let encoded: Vec<Result<Encoded, String>> = batch.iter().map(|record| encode(record, now)).collect();
        let mut answers: Vec<Recorded> = encoded
            .iter()
            .map(|encoded| match encoded {
                Ok(_) => Recorded::Superseded,
                Err(why) => Recorded::Refused(why.clone()),
            })
            .collect();
        let mut tx = self.db.write_tx().await?;
        for part in parts(&encoded) {
            let stored = store(&mut tx, &part, now).await?;
            for (at, one) in part {
                if stored.contains(&one.id) {
                    answers[at] = Recorded::Stored;
                }
            }
        }
        tx.commit().await.map_err(|error| sql_error("recording results", error))?;
        Ok(answers)
    }

    async fn get(
        &self,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<Vec<Option<TaskRecord>>, BackendError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = sqlx::query(sql!("get"))
            .bind(self.now(now).as_micros())
            .bind(hex_list(ids))
            .fetch_all(self.db.reader())
            .await
            .map_err(|error| sql_error("reading results", error))?;
        let mut rows = HashMap::with_capacity(found.len());
        for row in &found {
            let record = decode(row.try_get("record").map_err(|error| sql_error("reading results", error))?)?;
            rows.insert(record.id, record);
        }
        Ok(ids.iter().map(|id| rows.get(id).cloned()).collect())
    }

    async fn history(&self, id: TaskId) -> Result<Vec<AttemptRecord>, BackendError> {
        let rows: Vec<String> = sqlx::query_scalar(sql!("history"))
            .bind(id.as_bytes().as_slice())
            .fetch_all(self.db.reader())
            .await
            .map_err(|error| sql_error("reading attempts", error))?;
        rows.iter().map(|row| serde_json::from_str(row).map_err(|error| corrupt(&error))).collect()
    }

    async fn list(&self, filter: &ResultFilter, page: Page) -> Result<Found, BackendError> {
        let search = Search { filter, page: &page, window: SEARCH_WINDOW };
        list::list(&self.db, search, self.clock.now()).await
    }

    async fn expire(&self, limit: usize, now: Option<Timestamp>) -> Result<usize, BackendError> {
        let fail = |error| sql_error("removing ended results", error);
        let mut tx = self.db.write_tx().await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let expire = sqlx::query_scalar(sql!("expire")).bind(self.now(now).as_micros()).bind(limit);
        let removed: Vec<Vec<u8>> = expire.fetch_all(&mut *tx).await.map_err(fail)?;
        if removed.is_empty() {
            return Ok(0);
        }
        let ids: Vec<TaskId> = removed
            .iter()
            .filter_map(|id| Some(TaskId::from_bytes(id.as_slice().try_into().ok()?)))
            .collect();
        sqlx::query(sql!("history_delete")).bind(hex_list(&ids)).execute(&mut *tx).await.map_err(fail)?;
        tx.commit().await.map_err(fail)?;
        Ok(removed.len())
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<usize, BackendError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let fail = |error| sql_error("deleting results", error);
        let list = hex_list(ids);
        let mut tx = self.db.write_tx().await?;
        let done = sqlx::query(sql!("delete")).bind(&list).execute(&mut *tx).await.map_err(fail)?;
        sqlx::query(sql!("history_delete")).bind(&list).execute(&mut *tx).await.map_err(fail)?;
        tx.commit().await.map_err(fail)?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(0))
    }

    fn stats(&self) -> Option<&dyn StatsStore> {
        Some(self)
    }

    fn audit(&self) -> Option<&dyn audit::AuditStore> {
        Some(self)
    }
}

impl fmt::Debug for SqliteResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteResults").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

fn encode(record: &TaskRecord, now: Timestamp) -> Result<Encoded, String> {
    let json = serde_json::to_string(record).map_err(|error| error.to_string())?;
    check_size(json.len())?;
    let id = hex(record.id);
    let until = now.plus(record.keep_for).as_micros();
    let row = format!("[\"{id}\",{},{until},{json}]", u8::from(record.state.is_terminal()));
    let attempt = if is_ended_attempt(record) {
        let attempt =
            serde_json::to_string(&AttemptRecord::from(record)).map_err(|error| error.to_string())?;
        Some(format!("[\"{id}\",{attempt}]"))
    } else {
        None
    };
    // A first attempt has no others to make room for it.
    let first = (record.run, record.delivery) == (1, 1) && record.attempt <= 1;
    let trim = attempt.is_some() && !first;
    Ok(Encoded { id: record.id, row, attempt, trim })
}

async fn store(
    tx: &mut WriteTransaction,
    part: &[(usize, &Encoded)],
    now: Timestamp,
) -> Result<HashSet<TaskId>, BackendError> {
    let fail = |error| sql_error("recording results", error);
    let ids: Vec<TaskId> = part.iter().map(|(_, one)| one.id).collect();
    let end = sqlx::query(sql!("history_end")).bind(now.as_micros()).bind(hex_list(&ids));
    end.execute(&mut **tx).await.map_err(fail)?;
    let record = sqlx::query_scalar(sql!("record"))
        .bind(now.as_micros())
        .bind(json_list(part.iter().map(|(_, one)| one.row.as_str())));
    let stored: Vec<Vec<u8>> = record.fetch_all(&mut **tx).await.map_err(fail)?;
    let attempts = json_list(part.iter().filter_map(|(_, one)| one.attempt.as_deref()));
    if attempts.len() > 2 {
        sqlx::query(sql!("history_add")).bind(attempts).execute(&mut **tx).await.map_err(fail)?;
    }
    let long: Vec<TaskId> = part.iter().filter(|(_, one)| one.trim).map(|(_, one)| one.id).collect();
    if !long.is_empty() {
        let trim = sqlx::query(sql!("history_trim")).bind(hex_list(&long)).bind(HISTORY);
        trim.execute(&mut **tx).await.map_err(fail)?;
    }
    Ok(stored.iter().filter_map(|id| Some(TaskId::from_bytes(id.as_slice().try_into().ok()?))).collect())
}

fn json_list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(item);
    }
    text.push(']');
    text
}

fn hex(id: TaskId) -> String {
    id.to_string().replace('-', "")
}

fn hex_list(ids: &[TaskId]) -> String {
    let quoted: Vec<String> = ids.iter().map(|id| format!("\"{}\"", hex(*id))).collect();
    json_list(quoted.iter().map(String::as_str))
}

pub(crate) fn decode(json: &str) -> Result<TaskRecord, BackendError> {
    serde_json::from_str(json).map_err(|error| corrupt(&error))
}
