//! The store.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::schedule::{
    Advance, Advanced, BadEntry, Change, Due, Entry, EntryFilter, Expected, Firing, HistoryQuery, Identity,
    Listed, Merged, Saved, ScheduleStore, StoredEntry, check_declared, merge, put_step, refused, reset_step,
};
use lovage_core::{BackendError, BackendErrorKind, Page, Paged, Source, Timestamp, limits};
use lovage_sql::postgres::{Instant, PgDatabase, PgTransaction};
use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;

use crate::MIGRATIONS;
use crate::page::{self, Names, Slots};
use crate::postgres::listen::Changes;
use crate::postgres::{columns, rows, rows_sql, sql};
use crate::row::{MOST_AHEAD, MOST_DUE, corrupt, rows_json};

/// Whatever the planner knows about the tables, which may be nothing, each statement has its index.
pub(crate) const PREPARE: &str =
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off;";
/// For statements that join what they were given, whose size the planner cannot know: by hash, not each with each.
pub(crate) const PREPARE_BATCH: &str =
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off;";
/// How often an edit is begun again because somebody else was first.
const TRIES: usize = 10;

const LOOKING: &str = "looking for what is due";
const EDITING: &str = "editing the schedule";
const MERGING: &str = "merging the schedule";
const READING: &str = "reading the schedule";

/// The schedule in a PostgreSQL database.
#[derive(Debug)]
pub(crate) struct PgSchedules {
    db: PgDatabase,
    changes: Changes,
}

type Statement<'q> = Query<'q, Postgres, PgArguments>;

impl PgSchedules {
    /// The schedule in a database that has the tables.
    pub(crate) async fn open(db: PgDatabase) -> Result<Self, BackendError> {
        db.require(&MIGRATIONS).await?;
        Ok(Self { db, changes: Changes::default() })
    }

    /// Runs one statement by its index.
    async fn rows(
        &self,
        context: &str,
        prepare: &'static str,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, BackendError> {
        let mut tx = self.begin(context, prepare).await?;
        let rows = tx.rows(context, statement).await?;
        tx.commit(context).await?;
        Ok(rows)
    }

    async fn begin(&self, context: &str, prepare: &'static str) -> Result<PgTransaction, BackendError> {
        let mut tx = self.db.begin(context).await?;
        let prepared = sqlx::raw_sql(prepare).execute(tx.connection());
        self.db.in_time(context, prepared).await?;
        Ok(tx)
    }

    /// Changes one entry by what `decide` makes of it, while nobody else can. Begins again where an entry of this name came
    /// into being in between.
    async fn change<T>(
        &self,
        name: &str,
        now: Option<Timestamp>,
        decide: impl Fn(Option<&Listed>, Timestamp) -> Result<Result<Change, T>, BackendError> + Sync,
    ) -> Result<Result<StoredEntry, T>, BackendError> {
        for _ in 0..TRIES {
            let mut tx = self.db.begin(EDITING).await?;
            let found = tx.rows(EDITING, sqlx::query(rows_sql!("lock")).bind(name)).await?;
            let listed = found.first().map(rows::listed).transpose()?;
            let now = clock(&mut tx, EDITING, now).await?;
            let change = match decide(listed.as_ref(), now)? {
                Ok(change) => change,
                Err(answer) => return Ok(Err(answer)),
            };
            if write(&mut tx, EDITING, std::slice::from_ref(&change)).await? == 1 {
                tx.commit(EDITING).await?;
                return Ok(Ok(change.stored));
            }
        }
        Err(busy(EDITING))
    }

    /// Disables the rows that cannot be read.
    async fn set_aside(&self, bad: &[BadEntry]) -> Result<(), BackendError> {
        for BadEntry { name, reason, revision, .. } in bad {
            let statement = sqlx::query(sql!("set_aside")).bind(name).bind(revision).bind(reason);
            self.db.rows("disabling a bad entry", statement).await?;
            tracing::error!(schedule = name, "disabled, because its row cannot be read: {reason}");
        }
        Ok(())
    }

    /// Entries that are done ahead of this clock.
    async fn ahead_of(&self, now: Timestamp) -> Result<Vec<StoredEntry>, BackendError> {
        let latest = Instant(now.plus(limits::CLOCK_TOLERANCE));
        let statement = sqlx::query(rows_sql!("ahead")).bind(latest).bind(MOST_AHEAD);
        let found = self.rows(LOOKING, PREPARE, statement).await?;
        let listed = found.iter().map(rows::listed).collect::<Result<Vec<Listed>, _>>()?;
        Ok(listed.into_iter().filter_map(Result::ok).collect())
    }

    /// What a merge leads to, read on this transaction.
    async fn plan(
        &self,
        tx: &mut PgTransaction,
        source: &Source,
        declared: &[Entry],
        now: Option<Timestamp>,
    ) -> Result<(Merged, Vec<Change>), BackendError> {
        let now = clock(tx, MERGING, now).await?;
        let names: Vec<&str> = declared.iter().map(|entry| entry.name.as_str()).collect();
        let found =
            tx.rows(MERGING, sqlx::query(rows_sql!("owned")).bind(source.as_str()).bind(names)).await?;
        let found: Vec<Listed> = found.iter().map(rows::listed).collect::<Result<_, _>>()?;
        Ok(merge(&found, source, declared, now))
    }
}

#[async_trait]
impl ScheduleStore for PgSchedules {
    async fn due(&self, ahead: Duration, limit: usize, now: Option<Timestamp>) -> Result<Due, BackendError> {
        let limit = limit.clamp(1, MOST_DUE);
        let statement = sqlx::query(sql!("due"))
            .bind(now.map(Instant))
            .bind(micros(ahead))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind(micros(limits::CLOCK_TOLERANCE));
        let found = self.rows(LOOKING, PREPARE, statement).await?;
        let Some(first) = found.first() else {
            return Err(BackendError::new(BackendErrorKind::Corrupt, "the server has no clock"));
        };
        let now = rows::get::<Instant>(first, "now")?.0;
        let next_at = rows::get::<Option<Instant>>(first, "next_at")?.map(|at| at.0);
        let ahead_of_clock =
            if rows::get(first, "any_ahead")? { self.ahead_of(now).await? } else { Vec::new() };
        let store = rows::store_id(first, "store")?;
        let mut due = Due { store, now, ahead_of_clock, entries: Vec::with_capacity(found.len()), next_at };
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
        let found = self.rows(READING, PREPARE_BATCH, sqlx::query(sql!("identity"))).await?;
        let Some(row) = found.first() else { return Err(corrupt("no identity")) };
        Ok(Identity { id: rows::store_id(row, "id")?, place: rows::get(row, "place")? })
    }

    async fn advance(&self, batch: &[Advance]) -> Result<Vec<Advanced>, BackendError> {
        const CONTEXT: &str = "writing what fired";
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let write = || self.rows(CONTEXT, PREPARE_BATCH, columns::advance(batch));
        let won = self.db.undisturbed(write).await?;
        let won: HashSet<&str> = won.iter().map(|row| rows::get(row, "name")).collect::<Result<_, _>>()?;
        let answer = |advance: &Advance| match won.contains(advance.name.as_str()) {
            true => Advanced::Done,
            false => Advanced::Lost,
        };
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
        let decide = |listed: Option<&Listed>, now| put_step(listed, entry, expected, now);
        let changed = self.change(name, now, decide).await?;
        Ok(changed.map_or_else(|conflict| conflict, |stored| Saved::Saved(Box::new(stored))))
    }

    async fn set_enabled(
        &self,
        name: &str,
        enabled: bool,
        now: Option<Timestamp>,
    ) -> Result<Option<StoredEntry>, BackendError> {
        let decide = |listed: Option<&Listed>, now| {
            let Some(listed) = listed else { return Ok(Err(None)) };
            let stored = listed.as_ref().map_err(BadEntry::refusal)?;
            Ok(stored.enable(enabled, now).ok_or_else(|| Some(stored.clone())))
        };
        Ok(self.change(name, now, decide).await?.map_or_else(|kept| kept, Some))
    }

    async fn reset(&self, name: &str, now: Option<Timestamp>) -> Result<Option<StoredEntry>, BackendError> {
        let decide = |listed: Option<&Listed>, now| match listed {
            Some(listed) => reset_step(listed, now).map(Ok),
            None => Ok(Err(())),
        };
        Ok(self.change(name, now, decide).await?.ok())
    }

    async fn delete(&self, names: &[&str]) -> Result<usize, BackendError> {
        if names.is_empty() {
            return Ok(0);
        }
        rows::count(&self.rows(EDITING, PREPARE_BATCH, sqlx::query(sql!("delete")).bind(names)).await?)
    }

    async fn merge(
        &self,
        source: &Source,
        declared: &[Entry],
        now: Option<Timestamp>,
    ) -> Result<Merged, BackendError> {
        check_declared(declared)?;
        // The usual start changes nothing and keeps nobody waiting.
        let mut tx = self.begin(MERGING, PREPARE_BATCH).await?;
        let (merged, changes) = self.plan(&mut tx, source, declared, now).await?;
        tx.commit(MERGING).await?;
        if changes.is_empty() {
            return Ok(merged);
        }
        let mut tx = self.begin(MERGING, PREPARE_BATCH).await?;
        let lock = "LOCK TABLE lovage_schedule IN SHARE ROW EXCLUSIVE MODE";
        tx.rows(MERGING, sqlx::query(lock)).await?;
        let (merged, changes) = self.plan(&mut tx, source, declared, now).await?;
        write(&mut tx, MERGING, &changes).await?;
        tx.commit(MERGING).await?;
        Ok(merged)
    }

    async fn get(&self, names: &[&str]) -> Result<Vec<Option<Listed>>, BackendError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.rows(READING, PREPARE_BATCH, sqlx::query(rows_sql!("get")).bind(names)).await?;
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
        let found = self.rows(READING, PREPARE, statement).await?;
        let found = found.iter().map(rows::listed).collect::<Result<_, _>>()?;
        Ok(page::entries(found, &page))
    }

    async fn history(&self, query: &HistoryQuery, page: Page) -> Result<Paged<Firing>, BackendError> {
        let Slots { before, since } = Slots::of(query, &page)?;
        let statement = sqlx::query(sql!("history"))
            .bind(&query.name)
            .bind(Instant(before.0))
            .bind(before.1)
            .bind(Instant(since))
            .bind(page::rows(&page));
        let found = self.rows(READING, PREPARE, statement).await?;
        let found = found.iter().map(|row| rows::firing(&query.name, row)).collect::<Result<_, _>>()?;
        Ok(page::firings(found, &page))
    }

    async fn forget(
        &self,
        keep: Duration,
        limit: usize,
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        let statement = sqlx::query(sql!("forget"))
            .bind(now.map(Instant))
            .bind(micros(keep))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        rows::count(&self.rows("forgetting firings", PREPARE_BATCH, statement).await?)
    }

    async fn changed(&self) {
        self.changes.next(&self.db).await;
    }
}

/// The instant that was given, or the server's.
async fn clock(
    tx: &mut PgTransaction,
    context: &str,
    now: Option<Timestamp>,
) -> Result<Timestamp, BackendError> {
    if let Some(now) = now {
        return Ok(now);
    }
    let rows = tx.rows(context, sqlx::query(sql!("clock"))).await?;
    rows.first().map_or(Ok(Timestamp::default()), |row| Ok(rows::get::<Instant>(row, "now")?.0))
}

/// Writes entries, and the slots that will not fire because of it. Answers how many entries took it.
async fn write(tx: &mut PgTransaction, context: &str, changes: &[Change]) -> Result<usize, BackendError> {
    if changes.is_empty() {
        return Ok(0);
    }
    let written = tx.rows(context, sqlx::query(sql!("write")).bind(rows_json(changes))).await?.len();
    let passed: Vec<&Firing> = changes.iter().filter_map(|change| change.passed.as_ref()).collect();
    if !passed.is_empty() {
        tx.rows(context, columns::tell(&passed)).await?;
    }
    Ok(written)
}

fn micros(duration: Duration) -> i64 {
    /// A hundred thousand years, so that an instant and this is one that the server can hold.
    const MOST: i64 = 100_000 * 366 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).unwrap_or(MOST).min(MOST)
}

fn busy(context: &str) -> BackendError {
    BackendError::new(
        BackendErrorKind::Unavailable,
        format!("{context}: others edit the same entry: try again"),
    )
}
