//! The store.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::schedule::{
    Advance, Advanced, BadEntry, Change, Due, Entry, EntryFilter, Expected, Firing, HistoryQuery, Identity,
    Listed, Merged, Saved, ScheduleStore, StoredEntry, check_declared, merge, put_step, refused, reset_step,
};
use lovage_core::{BackendError, Clock as _, Page, Paged, Source, Timestamp, limits};
use lovage_sql::sql_error;
use lovage_sql::sqlite::{SqliteDatabase, WriteTransaction};
use lovage_system::SystemClock;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

use crate::page::{self, Names, Slots};
use crate::row::{MOST_AHEAD, MOST_DUE, corrupt, rows_json};
use crate::sqlite::{rows, rows_sql, sql};

/// How often a handle that waits looks for changes of other processes.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Before the first look.
const NEVER: i64 = i64::MIN;

const LOOKING: &str = "looking for what is due";
const EDITING: &str = "editing the schedule";
const MERGING: &str = "merging the schedule";
const READING: &str = "reading the schedule";
const FIRING: &str = "writing what fired";

/// The schedule in a SQLite file.
pub(crate) struct SqliteSchedules {
    db: SqliteDatabase,
    clock: SystemClock,
    /// The change that this handle was told of last.
    told: AtomicI64,
}

type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

impl SqliteSchedules {
    /// The schedule in a database that has the tables.
    pub(crate) fn new(db: SqliteDatabase) -> Self {
        Self { db, clock: SystemClock::new(), told: AtomicI64::new(NEVER) }
    }

    /// The host's clock, which is the clock of every process that can open the file.
    fn now(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.clock.now())
    }

    async fn rows(&self, context: &str, statement: Statement<'_>) -> Result<Vec<SqliteRow>, BackendError> {
        statement.fetch_all(self.db.reader()).await.map_err(|error| sql_error(context, error))
    }

    /// Changes one entry by what `decide` makes of it, while nobody else can.
    async fn change<T>(
        &self,
        name: &str,
        decide: impl FnOnce(Option<&Listed>) -> Result<Result<Change, T>, BackendError>,
    ) -> Result<Result<StoredEntry, T>, BackendError> {
        let mut tx = self.db.write_tx().await?;
        let found = fetch(&mut tx, EDITING, sqlx::query(rows_sql!("one")).bind(name)).await?;
        let listed = found.first().map(rows::listed).transpose()?;
        let change = match decide(listed.as_ref())? {
            Ok(change) => change,
            Err(answer) => return Ok(Err(answer)),
        };
        write(&mut tx, EDITING, std::slice::from_ref(&change)).await?;
        commit(tx, EDITING).await?;
        Ok(Ok(change.stored))
    }

    /// Disables the rows that cannot be read.
    async fn set_aside(&self, bad: &[BadEntry]) -> Result<(), BackendError> {
        const CONTEXT: &str = "disabling a bad entry";
        if bad.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write_tx().await?;
        for BadEntry { name, reason, revision, .. } in bad {
            let statement = sqlx::query(sql!("set_aside")).bind(name).bind(revision).bind(reason);
            fetch(&mut tx, CONTEXT, statement).await?;
            tracing::error!(schedule = name, "disabled, because its row cannot be read: {reason}");
        }
        commit(tx, CONTEXT).await
    }

    /// Entries that are done ahead of this clock.
    async fn ahead_of(&self, now: Timestamp) -> Result<Vec<StoredEntry>, BackendError> {
        let statement = sqlx::query(rows_sql!("ahead"))
            .bind(now.plus(limits::CLOCK_TOLERANCE).as_micros())
            .bind(MOST_AHEAD);
        let found = self.rows(LOOKING, statement).await?;
        let listed = found.iter().map(rows::listed).collect::<Result<Vec<Listed>, _>>()?;
        Ok(listed.into_iter().filter_map(Result::ok).collect())
    }

    /// How many edits there were.
    async fn edits(&self) -> Result<i64, BackendError> {
        let rows = self.rows("looking for changes of the schedule", sqlx::query(sql!("change"))).await?;
        rows.first().map_or(Ok(0), |row| rows::get(row, "n"))
    }
}

#[async_trait]
impl ScheduleStore for SqliteSchedules {
    async fn due(&self, ahead: Duration, limit: usize, now: Option<Timestamp>) -> Result<Due, BackendError> {
        let now = self.now(now);
        let statement = sqlx::query(sql!("due"))
            .bind(now.plus(ahead).as_micros())
            .bind(i64::try_from(limit.clamp(1, MOST_DUE)).unwrap_or(i64::MAX))
            .bind(now.plus(limits::CLOCK_TOLERANCE).as_micros());
        let found = self.rows(LOOKING, statement).await?;
        let Some(first) = found.first() else { return Err(corrupt("no identity")) };
        let mut due = Due {
            store: rows::store_id(first, "store")?,
            now,
            ahead_of_clock: if rows::get(first, "any_ahead")? {
                self.ahead_of(now).await?
            } else {
                Vec::new()
            },
            entries: Vec::with_capacity(found.len()),
            next_at: rows::get::<Option<i64>>(first, "next_at")?.map(Timestamp::from_micros),
        };
        let mut bad = Vec::new();
        for row in &found {
            if rows::get::<Option<&str>>(row, "name")?.is_some() {
                match rows::listed(row)? {
                    Ok(stored) => {
                        due.entries.push(StoredEntry { fired_ahead: rows::fired_ahead(row)?, ..stored });
                    }
                    Err(found) => bad.push(found),
                }
            }
        }
        self.set_aside(&bad).await?;
        Ok(due)
    }

    async fn identity(&self) -> Result<Identity, BackendError> {
        let found = self.rows(READING, sqlx::query(sql!("identity"))).await?;
        let Some(row) = found.first() else { return Err(corrupt("no identity")) };
        Ok(Identity { id: rows::store_id(row, "id")?, place: String::new() })
    }

    async fn advance(&self, batch: &[Advance]) -> Result<Vec<Advanced>, BackendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.write_tx().await?;
        let statement = sqlx::query(sql!("advance")).bind(rows::advances(batch));
        let won = fetch(&mut tx, FIRING, statement).await?;
        let won: HashSet<&str> = won.iter().map(|row| rows::get(row, "name")).collect::<Result<_, _>>()?;
        let wins = |advance: &Advance| won.contains(advance.name.as_str());
        // What was published is told in either case: it did happen.
        let firings = batch.iter().flat_map(|advance| {
            let wins = wins(advance);
            advance.firings.iter().filter(move |firing| wins || firing.fate.task().is_some())
        });
        let told = fetch(&mut tx, FIRING, sqlx::query(sql!("tell")).bind(rows::firings(firings))).await?;
        for row in told.iter() {
            if matches!(rows::get::<&str>(row, "fate")?, "fired" | "manual") {
                count(&mut tx, row).await?;
            }
        }
        commit(tx, FIRING).await?;
        let answer = |advance| if wins(advance) { Advanced::Done } else { Advanced::Lost };
        Ok(batch.iter().map(answer).collect())
    }

    async fn put(
        &self,
        entry: &Entry,
        expected: Expected,
        now: Option<Timestamp>,
    ) -> Result<Saved, BackendError> {
        let name = entry.name.as_str();
        entry.check().map_err(|error| refused(name, &error))?;
        let decide = |listed: Option<&Listed>| put_step(listed, entry, expected, self.now(now));
        let changed = self.change(name, decide).await?;
        Ok(changed.map_or_else(|conflict| conflict, |stored| Saved::Saved(Box::new(stored))))
    }

    async fn set_enabled(
        &self,
        name: &str,
        enabled: bool,
        now: Option<Timestamp>,
    ) -> Result<Option<StoredEntry>, BackendError> {
        let decide = |listed: Option<&Listed>| {
            let Some(listed) = listed else { return Ok(Err(None)) };
            let stored = listed.as_ref().map_err(BadEntry::refusal)?;
            Ok(stored.enable(enabled, self.now(now)).ok_or_else(|| Some(stored.clone())))
        };
        Ok(self.change(name, decide).await?.map_or_else(|kept| kept, Some))
    }

    async fn reset(&self, name: &str, now: Option<Timestamp>) -> Result<Option<StoredEntry>, BackendError> {
        let decide = |listed: Option<&Listed>| match listed {
            Some(listed) => reset_step(listed, self.now(now)).map(Ok),
            None => Ok(Err(())),
        };
        Ok(self.change(name, decide).await?.ok())
    }

    async fn delete(&self, names: &[&str]) -> Result<usize, BackendError> {
        if names.is_empty() {
            return Ok(0);
        }
        let mut tx = self.db.write_tx().await?;
        let delete = sqlx::query(sql!("delete")).bind(rows::names(names)).execute(&mut *tx).await;
        let removed = delete.map_err(|error| sql_error(EDITING, error))?.rows_affected();
        commit(tx, EDITING).await?;
        Ok(usize::try_from(removed).unwrap_or(usize::MAX))
    }

    async fn merge(
        &self,
        source: &Source,
        declared: &[Entry],
        now: Option<Timestamp>,
    ) -> Result<Merged, BackendError> {
        check_declared(declared)?;
        let names: Vec<&str> = declared.iter().map(|entry| entry.name.as_str()).collect();
        let mut tx = self.db.write_tx().await?;
        let statement = sqlx::query(rows_sql!("owned")).bind(source.as_str()).bind(rows::names(&names));
        let found = fetch(&mut tx, MERGING, statement).await?;
        let found: Vec<Listed> = found.iter().map(rows::listed).collect::<Result<_, _>>()?;
        let (merged, changes) = merge(&found, source, declared, self.now(now));
        if !changes.is_empty() {
            write(&mut tx, MERGING, &changes).await?;
            commit(tx, MERGING).await?;
        }
        Ok(merged)
    }

    async fn get(&self, names: &[&str]) -> Result<Vec<Option<Listed>>, BackendError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.rows(READING, sqlx::query(rows_sql!("get")).bind(rows::names(names))).await?;
        let mut listed = HashMap::with_capacity(found.len());
        for row in &found {
            listed.insert(rows::get::<&str>(row, "name")?, rows::listed(row)?);
        }
        Ok(names.iter().map(|name| listed.get(name).cloned()).collect())
    }

    async fn list(&self, filter: &EntryFilter, page: Page) -> Result<Paged<Listed>, BackendError> {
        let Names { from, after, until } = Names::of(filter, &page);
        let statement = |sql| {
            let names = sqlx::query(sql).bind(&from).bind(&after).bind(&until);
            names.bind(filter.enabled).bind(page::rows(&page))
        };
        let statement = match (&filter.task, filter.enabled) {
            (Some(task), _) => statement(rows_sql!("list_task")).bind(task),
            (None, Some(false)) => statement(rows_sql!("list_disabled")),
            (None, Some(true) | None) => statement(rows_sql!("list")),
        };
        let found = self.rows(READING, statement).await?;
        let found = found.iter().map(rows::listed).collect::<Result<_, _>>()?;
        Ok(page::entries(found, &page))
    }

    async fn history(&self, query: &HistoryQuery, page: Page) -> Result<Paged<Firing>, BackendError> {
        let Slots { before, since } = Slots::of(query, &page)?;
        let statement = sqlx::query(sql!("history"))
            .bind(&query.name)
            .bind(before.0.as_micros())
            .bind(before.1)
            .bind(since.as_micros())
            .bind(page::rows(&page));
        let found = self.rows(READING, statement).await?;
        let found = found.iter().map(|row| rows::firing(&query.name, row)).collect::<Result<_, _>>()?;
        Ok(page::firings(found, &page))
    }

    async fn forget(
        &self,
        keep: Duration,
        limit: usize,
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        const CONTEXT: &str = "forgetting firings";
        let mut tx = self.db.write_tx().await?;
        let forget = sqlx::query(sql!("forget"))
            .bind(self.now(now).minus(keep).as_micros())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .execute(&mut *tx)
            .await;
        let removed = forget.map_err(|error| sql_error(CONTEXT, error))?.rows_affected();
        commit(tx, CONTEXT).await?;
        Ok(usize::try_from(removed).unwrap_or(usize::MAX))
    }

    async fn changed(&self) {
        loop {
            match self.edits().await {
                Ok(edits) if self.told.swap(edits, Ordering::SeqCst) != edits => return,
                Ok(_) => {}
                Err(error) => tracing::debug!("not yet: {error}"),
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }
}

impl fmt::Debug for SqliteSchedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteSchedules").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

async fn fetch(
    tx: &mut WriteTransaction,
    context: &str,
    statement: Statement<'_>,
) -> Result<Vec<SqliteRow>, BackendError> {
    statement.fetch_all(&mut **tx).await.map_err(|error| sql_error(context, error))
}

async fn commit(tx: WriteTransaction, context: &str) -> Result<(), BackendError> {
    tx.commit().await.map_err(|error| sql_error(context, error))
}

/// Writes entries, and the slots that will not fire because of it.
async fn write(tx: &mut WriteTransaction, context: &str, changes: &[Change]) -> Result<(), BackendError> {
    fetch(tx, context, sqlx::query(sql!("write")).bind(rows_json(changes))).await?;
    let passed = rows::firings(changes.iter().filter_map(|change| change.passed.as_ref()));
    fetch(tx, context, sqlx::query(sql!("tell")).bind(passed)).await.map(drop)
}

/// Counts a run that was not known.
async fn count(tx: &mut WriteTransaction, told: &SqliteRow) -> Result<(), BackendError> {
    let statement = sqlx::query(sql!("count"))
        .bind(rows::get::<&str>(told, "name")?)
        .bind(rows::get::<i64>(told, "at")?)
        .bind(rows::get::<Option<&[u8]>>(told, "task_id")?);
    fetch(tx, FIRING, statement).await.map(drop)
}
