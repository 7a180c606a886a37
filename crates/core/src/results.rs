//! Where tasks end: the row of a result, and the trait that every result store implements.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::audit::AuditStore;
use crate::stats::StatsStore;
use crate::{
    BackendError, ErrorReport, Lineage, Page, Priority, QueueName, ScheduledSlot, Settled, Settlement,
    TaskId, TaskState, Timestamp, Token,
};

/// A store of results.
///
/// 1. `record` takes a batch in one statement or script. A record replaces the row of its id only when it is newer by
///    `(run, delivery, attempt)`; a row in a terminal state is replaced only by a higher run. A record that is not newer
///    answers [`Recorded::Superseded`]. The start and the end of an attempt have the same version: what is not `started`
///    replaces what is.
/// 2. Each record of an ended attempt (`retry`, `success`, `failure`) also adds to [`history`](Self::history), once per
///    version and at most 20 rows per task, also when it is superseded: a second run explains itself there.
/// 3. A record that the store cannot take answers [`Recorded::Refused`], alone; the rest of its batch is stored.
/// 4. Rows live for [`TaskRecord::keep_for`] from the record, by the store's clock (`now`); ended rows are not answered.
#[async_trait]
pub trait ResultStore: Send + Sync + fmt::Debug {
    /// Stores records; the answers are in the order of the batch.
    async fn record(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError>;

    /// The rows of these tasks, in their order.
    async fn get(
        &self,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<Vec<Option<TaskRecord>>, BackendError>;

    /// The ended attempts of a task, oldest first.
    async fn history(&self, id: TaskId) -> Result<Vec<AttemptRecord>, BackendError>;

    /// Rows that match a filter, the newest `finished_at` first, by key-set pages. A store reads a bounded number of rows for
    /// one page: where few match it stops before the page is full, and says [how far back it came](Found::searched_back_to).
    async fn list(&self, filter: &ResultFilter, page: Page) -> Result<Found, BackendError>;

    /// Removes up to `limit` rows whose time to live has ended; answers how many.
    async fn expire(&self, limit: usize, now: Option<Timestamp>) -> Result<usize, BackendError>;

    /// Removes rows; answers how many there were.
    async fn delete(&self, ids: &[TaskId]) -> Result<usize, BackendError>;

    /// Where what happened is counted per minute; `None` where this store does not.
    fn stats(&self) -> Option<&dyn StatsStore> {
        None
    }

    /// Where it is kept who did what; `None` where this store does not.
    fn audit(&self) -> Option<&dyn AuditStore> {
        None
    }
}

/// A database that is broker and result store at once, and can do in one transaction what otherwise is two steps.
#[async_trait]
pub trait SharedStore: Send + Sync + fmt::Debug {
    /// Records outcomes and settles their messages: both or, on an error, neither. Answers for each part of `parts` what
    /// became of its settlements; `None` when the store refuses a record: nothing was done then, and two steps can tell the
    /// records apart.
    async fn record_and_settle(
        &self,
        records: &[TaskRecord],
        parts: &[SettlePart],
    ) -> Result<Option<Vec<Vec<Settled>>>, BackendError>;
}

/// What ends messages of one reservation; see [`Broker::settle`](crate::Broker::settle).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettlePart {
    /// The queue.
    pub queue: QueueName,
    /// The reservation.
    pub token: Token,
    /// How its messages end.
    pub batch: Vec<Settlement>,
}

/// The row of a task: its newest known state.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task's id.
    pub id: TaskId,
    /// 1, and one more for each "run again" after its end.
    pub run: u32,
    /// The hand-out that this is about.
    pub delivery: u32,
    /// Failed attempts in this run, this one included.
    pub attempt: u32,
    /// The task's name.
    pub task: String,
    /// The arguments as JSON, rendered for people (redacted ones hidden).
    pub arguments: String,
    /// The state.
    pub state: TaskState,
    /// The result or the failure.
    pub outcome: Outcome,
    /// The worker's name.
    pub worker: String,
    /// The queue that it came from.
    pub queue: QueueName,
    /// 0 to 9.
    pub priority: Priority,
    /// When it was published.
    pub enqueued_at: Timestamp,
    /// When this attempt started, if it did.
    pub started_at: Option<Timestamp>,
    /// When this attempt ended.
    pub finished_at: Timestamp,
    /// How long it ran, by a clock that does not jump.
    pub run_time: Option<Duration>,
    /// The schedule that fired it.
    pub schedule: Option<ScheduledSlot>,
    /// Its place in a workflow.
    pub lineage: Option<Lineage>,
    /// Trace context and the user's own.
    pub headers: BTreeMap<String, String>,
    /// How long the row is kept from its recording.
    pub keep_for: Duration,
    /// Something that operators should know of a task that succeeded, such as an exceeded time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// What a task ended with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing: started, revoked, expired, or the result is not stored.
    None,
    /// The result as JSON text.
    Result(String),
    /// The failure.
    Error(ErrorReport),
    /// The result was not stored, and why (too large for example).
    Marker(String),
}

/// What became of one record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recorded {
    /// It is stored.
    Stored,
    /// A newer or terminal row stands.
    Superseded,
    /// The store cannot take it.
    Refused(String),
}

/// One ended attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// See [`TaskRecord::run`].
    pub run: u32,
    /// See [`TaskRecord::delivery`].
    pub delivery: u32,
    /// See [`TaskRecord::attempt`].
    pub attempt: u32,
    /// How it ended.
    pub state: TaskState,
    /// The worker's name.
    pub worker: String,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Its failure in one line.
    pub error: Option<String>,
}

impl From<&TaskRecord> for AttemptRecord {
    fn from(record: &TaskRecord) -> Self {
        let error = match &record.outcome {
            Outcome::Error(report) => Some(report.to_string()),
            Outcome::None | Outcome::Result(_) | Outcome::Marker(_) => None,
        };
        Self {
            run: record.run,
            delivery: record.delivery,
            attempt: record.attempt,
            state: record.state,
            worker: record.worker.clone(),
            started_at: record.started_at,
            finished_at: record.finished_at,
            error,
        }
    }
}

/// Which rows to list; everything that is set must match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResultFilter {
    /// The task's name.
    pub task: Option<String>,
    /// Any of these states; empty means any.
    pub states: Vec<TaskState>,
    /// The worker's name.
    pub worker: Option<String>,
    /// The queue.
    pub queue: Option<QueueName>,
    /// `finished_at` at or after.
    pub since: Option<Timestamp>,
    /// `finished_at` before.
    pub until: Option<Timestamp>,
    /// The arguments, exactly as [`TaskRecord::arguments`] has them.
    pub arguments: Option<String>,
    /// Text within what the failure [says](ErrorReport::said); ASCII letters match in either case.
    pub error_contains: Option<String>,
}

impl ErrorReport {
    /// Characters of a failure that searches look at.
    pub const SEARCHED: usize = 1_000;

    /// What searches look at: the message and its causes, a line each, in small letters (of ASCII), the first 1,000 characters.
    #[must_use]
    pub fn said(&self) -> String {
        let lines = std::iter::once(&self.message).chain(&self.chain);
        let text = lines.map(String::as_str).collect::<Vec<_>>().join("\n");
        text.chars().take(Self::SEARCHED).collect::<String>().to_ascii_lowercase()
    }
}

/// A part of the rows that match.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Found {
    /// The rows.
    pub items: Vec<TaskRecord>,
    /// Where the next part begins; `None` at the end. Opaque.
    pub next: Option<String>,
    /// Set when the store read as many rows as it reads for one part before the part was full: nothing that ended before this
    /// instant was looked at yet. `next` goes on there.
    pub searched_back_to: Option<Timestamp>,
}
