//! Results in the memory of this process.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lovage_core::audit;
use lovage_core::stats::StatsStore;
use lovage_core::{
    AttemptRecord, BackendError, Clock, Found, Outcome, Page, Paged, Recorded, ResultFilter, ResultStore,
    TaskId, TaskRecord, TaskState, Timestamp, limits,
};

use crate::audit::Actions;
use crate::page::{bad_page, paged};
use crate::stats::Minutes;

/// Ended attempts that are kept per task.
const HISTORY: usize = 20;

/// A [`ResultStore`] in the memory of this process, the oracle of the others.
pub struct MemoryResults {
    clock: Arc<dyn Clock>,
    rows: Mutex<BTreeMap<TaskId, Row>>,
    minutes: Mutex<Minutes>,
    actions: Mutex<Actions>,
}

struct Row {
    record: TaskRecord,
    until: Timestamp,
    /// By run, delivery and attempt.
    history: BTreeMap<(u32, u32, u32), AttemptRecord>,
}

impl MemoryResults {
    /// An empty store that lives by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, rows: Mutex::default(), minutes: Mutex::default(), actions: Mutex::default() }
    }

    pub(crate) fn minutes(&self) -> MutexGuard<'_, Minutes> {
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn actions(&self) -> MutexGuard<'_, Actions> {
        self.actions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TaskId, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryResults {
    /// Not the rows: they may hold what nobody should read in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryResults").field("clock", &self.clock).finish_non_exhaustive()
    }
}

#[async_trait]
impl ResultStore for MemoryResults {
    async fn record(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError> {
        let now = now.unwrap_or_else(|| self.clock.now());
        let mut rows = self.lock();
        Ok(batch.iter().map(|record| store(&mut rows, record, now)).collect())
    }

    async fn get(
        &self,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<Vec<Option<TaskRecord>>, BackendError> {
        let now = now.unwrap_or_else(|| self.clock.now());
        let rows = self.lock();
        let live = |id: &TaskId| rows.get(id).filter(|row| row.until > now).map(|row| row.record.clone());
        Ok(ids.iter().map(live).collect())
    }

    async fn history(&self, id: TaskId) -> Result<Vec<AttemptRecord>, BackendError> {
        let rows = self.lock();
        Ok(rows.get(&id).map(|row| row.history.values().cloned().collect()).unwrap_or_default())
    }

    async fn list(&self, filter: &ResultFilter, page: Page) -> Result<Found, BackendError> {
        let now = self.clock.now();
        let after = page.after.as_deref().map(read_key).transpose()?;
        let rows = self.lock();
        let mut found: Vec<&TaskRecord> = rows
            .values()
            .filter(|row| row.until > now && matches(filter, &row.record))
            .map(|row| &row.record)
            .filter(|record| after.is_none_or(|after| key(record) > after))
            .collect();
        found.sort_by_key(|record| key(record));
        let found = found.into_iter().map(|record| (write_key(record), record.clone()));
        let Paged { items, next } = paged(found, page.limit);
        // Everything is looked at: it is in memory.
        Ok(Found { items, next, searched_back_to: None })
    }

    async fn expire(&self, limit: usize, now: Option<Timestamp>) -> Result<usize, BackendError> {
        let now = now.unwrap_or_else(|| self.clock.now());
        let mut rows = self.lock();
        let ended = rows.iter().filter(|(_, row)| row.until <= now).take(limit);
        let ended: Vec<TaskId> = ended.map(|(id, _)| *id).collect();
        ended.iter().for_each(|id| drop(rows.remove(id)));
        Ok(ended.len())
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<usize, BackendError> {
        let mut rows = self.lock();
        Ok(ids.iter().filter(|id| rows.remove(id).is_some()).count())
    }

    fn stats(&self) -> Option<&dyn StatsStore> {
        Some(self)
    }

    fn audit(&self) -> Option<&dyn audit::AuditStore> {
        Some(self)
    }
}

fn store(rows: &mut BTreeMap<TaskId, Row>, record: &TaskRecord, now: Timestamp) -> Recorded {
    let bytes = match &record.outcome {
        Outcome::Result(json) => json.len(),
        Outcome::None | Outcome::Error(_) | Outcome::Marker(_) => 0,
    };
    if bytes > limits::MESSAGE_MAX {
        return Recorded::Refused(format!(
            "the result has {bytes} bytes, the limit is {}",
            limits::MESSAGE_MAX
        ));
    }
    let until = now.plus(record.keep_for);
    // A row whose time has ended stands in nobody's way.
    if rows.get(&record.id).is_some_and(|row| row.until <= now) {
        rows.remove(&record.id);
    }
    let Some(row) = rows.get_mut(&record.id) else {
        let mut row = Row { record: record.clone(), until, history: BTreeMap::new() };
        row.remember(record);
        rows.insert(record.id, row);
        return Recorded::Stored;
    };
    // A second run that lost the race explains itself in the history all the same.
    row.remember(record);
    // The start of an attempt and its end have the same version.
    let ends_it = row.record.state == TaskState::Started && record.state != TaskState::Started;
    let newer =
        version(record) > version(&row.record) || (ends_it && version(record) == version(&row.record));
    if !newer || (row.record.state.is_terminal() && record.run <= row.record.run) {
        return Recorded::Superseded;
    }
    row.record = record.clone();
    row.until = until;
    Recorded::Stored
}

impl Row {
    fn remember(&mut self, record: &TaskRecord) {
        match record.state {
            TaskState::Retry | TaskState::Success | TaskState::Failure => {
                self.history.entry(version(record)).or_insert_with(|| AttemptRecord::from(record));
            }
            TaskState::Pending
            | TaskState::Scheduled
            | TaskState::Started
            | TaskState::Revoked
            | TaskState::Expired
            | TaskState::Discarded => {}
        }
        while self.history.len() > HISTORY {
            self.history.pop_first();
        }
    }
}

fn version(record: &TaskRecord) -> (u32, u32, u32) {
    (record.run, record.delivery, record.attempt)
}

fn matches(filter: &ResultFilter, record: &TaskRecord) -> bool {
    let says = |text: &String| match &record.outcome {
        Outcome::Error(report) => report.said().contains(&text.to_ascii_lowercase()),
        Outcome::None | Outcome::Result(_) | Outcome::Marker(_) => false,
    };
    filter.task.as_ref().is_none_or(|task| *task == record.task)
        && (filter.states.is_empty() || filter.states.contains(&record.state))
        && filter.worker.as_ref().is_none_or(|worker| *worker == record.worker)
        && filter.queue.as_ref().is_none_or(|queue| *queue == record.queue)
        && filter.since.is_none_or(|since| record.finished_at >= since)
        && filter.until.is_none_or(|until| record.finished_at < until)
        && filter.arguments.as_ref().is_none_or(|arguments| *arguments == record.arguments)
        && filter.error_contains.as_ref().is_none_or(says)
}

/// The newest first.
type Key = Reverse<(Timestamp, TaskId)>;

fn key(record: &TaskRecord) -> Key {
    Reverse((record.finished_at, record.id))
}

fn write_key(record: &TaskRecord) -> String {
    format!("{}_{}", record.finished_at.as_micros(), record.id)
}

fn read_key(text: &str) -> Result<Key, BackendError> {
    let parts = text.split_once('_').and_then(|(micros, id)| Some((micros.parse().ok()?, id.parse().ok()?)));
    let (micros, id) = parts.ok_or_else(|| bad_page(text))?;
    Ok(Reverse((Timestamp::from_micros(micros), id)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lovage_core::{Priority, QueueName};
    use lovage_testkit::{FakeClock, message};

    use super::*;

    fn record(id: TaskId, version: (u32, u32, u32), state: TaskState) -> TaskRecord {
        TaskRecord {
            id,
            run: version.0,
            delivery: version.1,
            attempt: version.2,
            task: "add".to_owned(),
            arguments: "[1]".to_owned(),
            state,
            outcome: Outcome::None,
            worker: "worker".to_owned(),
            queue: QueueName::default_queue(),
            priority: Priority::LOWEST,
            enqueued_at: Timestamp::default(),
            started_at: None,
            finished_at: Timestamp::from_micros(i64::from(version.1)),
            run_time: None,
            schedule: None,
            lineage: None,
            headers: BTreeMap::new(),
            keep_for: Duration::from_secs(60),
            warning: None,
        }
    }

    async fn put(store: &MemoryResults, record: TaskRecord) -> Recorded {
        store.record(&[record], None).await.unwrap().remove(0)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_newer_record_replaces_and_an_ended_run_stands() {
        use TaskState::{Failure, Retry, Started, Success};
        let store = MemoryResults::new(Arc::new(FakeClock::new()));
        let id = message("q").build().id;
        for (version, state, answer) in [
            ((1, 1, 0), Started, Recorded::Stored),
            ((1, 1, 1), Retry, Recorded::Stored),
            ((1, 2, 1), Started, Recorded::Stored),
            ((1, 1, 1), Retry, Recorded::Superseded),
            ((1, 2, 1), Success, Recorded::Stored),
            ((1, 2, 1), Success, Recorded::Superseded),
            ((1, 3, 2), Failure, Recorded::Superseded),
            ((2, 4, 0), Started, Recorded::Stored),
        ] {
            assert_eq!(put(&store, record(id, version, state)).await, answer, "{version:?} {state}");
        }
        let history = store.history(id).await.unwrap();
        let states: Vec<TaskState> = history.iter().map(|attempt| attempt.state).collect();
        assert_eq!(states, [Retry, Success, Failure]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_row_ends_with_its_time_to_live() {
        let clock = FakeClock::new();
        let store = MemoryResults::new(Arc::new(clock.clone()));
        let id = message("q").build().id;
        put(&store, record(id, (1, 1, 0), TaskState::Success)).await;
        clock.advance(Duration::from_secs(59));
        assert!(store.get(&[id], None).await.unwrap()[0].is_some());
        clock.advance(Duration::from_secs(1));
        assert_eq!(store.get(&[id], None).await.unwrap(), [None]);
        assert_eq!(store.expire(10, None).await.unwrap(), 1);
        assert_eq!(store.expire(10, None).await.unwrap(), 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn rows_are_listed_by_pages_newest_first() {
        let store = MemoryResults::new(Arc::new(FakeClock::new()));
        for delivery in [3, 1, 5, 2, 4] {
            put(&store, record(message("q").build().id, (1, delivery, 0), TaskState::Success)).await;
        }
        put(&store, record(message("q").build().id, (1, 9, 0), TaskState::Failure)).await;
        let filter = ResultFilter { states: vec![TaskState::Success], ..ResultFilter::default() };
        let mut found = Vec::new();
        let mut page = Page::first(2);
        loop {
            let part = store.list(&filter, page).await.unwrap();
            found.extend(part.items.iter().map(|record| record.delivery));
            let Some(next) = part.next else { break };
            page = Page { after: Some(next), limit: 2 };
        }
        assert_eq!(found, [5, 4, 3, 2, 1]);
    }
}
