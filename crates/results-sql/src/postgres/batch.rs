//! A batch as one array per column.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::{ErrorReport, Outcome, TaskId, TaskRecord, Timestamp};
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::postgres::types::PgInterval;
use sqlx::query::Query;
use sqlx::types::Uuid;

use crate::postgres::sql;
use crate::postgres::types::{Instant, interval};
use crate::rules::{HISTORY, Part, check_size, is_ended_attempt};

/// An entry of an index has at most 2,704 bytes.
const LONGEST_TASK: usize = 1_000;
/// The server adds it to its clock, which does not go further than the year 294276.
const LONGEST_KEEPING: Duration = Duration::from_secs(100_000 * 366 * 86_400);

/// A text that takes the place of NUL, which the server cannot store.
const REPLACEMENT: &str = "\u{fffd}";

/// One record, made to fit.
pub(crate) struct Encoded<'a> {
    record: &'a TaskRecord,
    /// The whole of it as JSON, where a column has to bend something.
    document: Option<String>,
    bytes: usize,
}

impl<'a> Encoded<'a> {
    pub(crate) fn new(record: &'a TaskRecord) -> Result<Self, String> {
        let mut bytes = texts(record).map(str::len).sum();
        let document = if fits(record) {
            None
        } else {
            Some(serde_json::to_string(record).map_err(|error| error.to_string())?)
        };
        bytes += document.as_ref().map_or(0, String::len);
        check_size(bytes)?;
        Ok(Self { record, document, bytes })
    }
}

impl Part for Encoded<'_> {
    fn id(&self) -> TaskId {
        self.record.id
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

type Text<'a> = Option<Cow<'a, str>>;

/// The arrays.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<Uuid>,
    run: Vec<i64>,
    delivery: Vec<i64>,
    attempt: Vec<i64>,
    enqueued_at: Vec<Instant>,
    started_at: Vec<Option<Instant>>,
    finished_at: Vec<Instant>,
    keep_for: Vec<PgInterval>,
    run_time: Vec<Option<PgInterval>>,
    slot: Vec<Option<Instant>>,
    group_index: Vec<Option<i64>>,
    root: Vec<Option<Uuid>>,
    parent: Vec<Option<Uuid>>,
    group_id: Vec<Option<Uuid>>,
    priority: Vec<i16>,
    terminal: Vec<bool>,
    state: Vec<&'static str>,
    task: Vec<Cow<'a, str>>,
    queue: Vec<&'a str>,
    worker: Vec<Cow<'a, str>>,
    arguments: Vec<Cow<'a, str>>,
    result: Vec<Text<'a>>,
    marker: Vec<Text<'a>>,
    error_kind: Vec<Text<'a>>,
    error: Vec<Text<'a>>,
    error_chain: Vec<Option<String>>,
    backtrace: Vec<Text<'a>>,
    schedule: Vec<Text<'a>>,
    headers: Vec<Option<String>>,
    document: Vec<Option<&'a str>>,
    told: Vec<Option<bool>>,
    told_error: Vec<Option<String>>,
}

/// The statement that stores the records, sorted by id: two that store the same tasks wait for each other in one order.
pub(crate) fn record_query<'q>(
    part: &[(usize, &Encoded<'_>)],
    now: Option<Timestamp>,
) -> Query<'q, Postgres, PgArguments> {
    let mut sorted: Vec<&Encoded<'_>> = part.iter().map(|(_, one)| *one).collect();
    sorted.sort_unstable_by_key(|one| one.record.id);
    let mut columns = Columns::default();
    for one in sorted {
        columns.push(one);
    }
    columns.query(now)
}

impl<'a> Columns<'a> {
    fn push(&mut self, encoded: &'a Encoded<'a>) {
        let record = encoded.record;
        self.id.push(uuid(record.id));
        self.run.push(record.run.into());
        self.delivery.push(record.delivery.into());
        self.attempt.push(record.attempt.into());
        self.enqueued_at.push(Instant(record.enqueued_at));
        self.started_at.push(record.started_at.map(Instant));
        self.finished_at.push(Instant(record.finished_at));
        self.keep_for.push(interval(record.keep_for.min(LONGEST_KEEPING)));
        self.run_time.push(record.run_time.map(interval));
        self.slot.push(record.schedule.as_ref().map(|schedule| Instant(schedule.slot)));
        let lineage = record.lineage.as_ref();
        self.group_index.push(lineage.map(|lineage| lineage.index.into()));
        self.root.push(lineage.map(|lineage| uuid(lineage.root)));
        self.parent.push(lineage.and_then(|lineage| lineage.parent).map(uuid));
        self.group_id.push(lineage.and_then(|lineage| lineage.group).map(uuid));
        self.priority.push(record.priority.get().into());
        self.terminal.push(record.state.is_terminal());
        self.state.push(record.state.as_str());
        self.task.push(task_column(&record.task));
        self.queue.push(record.queue.as_str());
        self.worker.push(text(&record.worker));
        self.arguments.push(text(&record.arguments));
        self.schedule.push(record.schedule.as_ref().map(|schedule| text(&schedule.name)));
        self.headers.push((!record.headers.is_empty()).then(|| json_map(&record.headers)));
        self.document.push(encoded.document.as_deref());
        self.push_outcome(&record.outcome);
        self.push_attempt(record);
    }

    fn push_outcome(&mut self, outcome: &'a Outcome) {
        let (result, marker, error) = match outcome {
            Outcome::None => (None, None, None),
            Outcome::Result(result) => (Some(text(result)), None, None),
            Outcome::Marker(marker) => (None, Some(text(marker)), None),
            Outcome::Error(report) => (None, None, Some(report)),
        };
        self.result.push(result);
        self.marker.push(marker);
        self.error_kind.push(error.map(|report| text(&report.kind)));
        self.error.push(error.map(|report| text(&report.message)));
        self.error_chain
            .push(error.filter(|report| !report.chain.is_empty()).map(|report| json_list(&report.chain)));
        self.backtrace.push(error.and_then(|report| report.backtrace.as_deref()).map(text));
    }

    /// The first delivery of a task that ends it is told by its row alone, which spares most tasks a second one.
    fn push_attempt(&mut self, record: &TaskRecord) {
        let told = is_ended_attempt(record)
            .then(|| !(record.state.is_terminal() && record.run == 1 && record.delivery == 1));
        let error = match &record.outcome {
            Outcome::Error(report) if told.is_some() => Some(text(&report.to_string()).into_owned()),
            Outcome::Error(_) | Outcome::None | Outcome::Result(_) | Outcome::Marker(_) => None,
        };
        self.told.push(told);
        self.told_error.push(error);
    }

    fn query<'q>(self, now: Option<Timestamp>) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql!("record"))
            .bind(now.map(Instant))
            .bind(self.id)
            .bind(self.run)
            .bind(self.delivery)
            .bind(self.attempt)
            .bind(self.enqueued_at)
            .bind(self.started_at)
            .bind(self.finished_at)
            .bind(self.keep_for)
            .bind(self.run_time)
            .bind(self.slot)
            .bind(self.group_index)
            .bind(self.root)
            .bind(self.parent)
            .bind(self.group_id)
            .bind(self.priority)
            .bind(self.terminal)
            .bind(self.state)
            .bind(self.task)
            .bind(self.queue)
            .bind(self.worker)
            .bind(self.arguments)
            .bind(self.result)
            .bind(self.marker)
            .bind(self.error_kind)
            .bind(self.error)
            .bind(self.error_chain)
            .bind(self.backtrace)
            .bind(self.schedule)
            .bind(self.headers)
            .bind(self.document)
            .bind(self.told)
            .bind(self.told_error)
            .bind(HISTORY)
    }
}

pub(crate) fn uuid(id: TaskId) -> Uuid {
    Uuid::from_bytes(*id.as_bytes())
}

/// As a column holds it.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', REPLACEMENT)) } else { Cow::Borrowed(text) }
}

/// A task's name as a column holds it, and as it is looked for there.
pub(crate) fn task_column(task: &str) -> Cow<'_, str> {
    text(&task[..task.floor_char_boundary(LONGEST_TASK)])
}

/// A list of texts as a jsonb column holds it: that can hold no NUL either, not even escaped.
fn json_list(texts: &[String]) -> String {
    serde_json::Value::from_iter(texts.iter().map(|one| text(one))).to_string()
}

/// Named texts as a jsonb column holds them.
fn json_map(texts: &BTreeMap<String, String>) -> String {
    let members = texts.iter().map(|(name, value)| (text(name), text(value)));
    serde_json::Value::from_iter(members).to_string()
}

/// Whether the columns hold the record as it is, to the microsecond.
fn fits(record: &TaskRecord) -> bool {
    let slot = record.schedule.as_ref().map(|schedule| schedule.slot);
    let instants = [Some(record.enqueued_at), record.started_at, Some(record.finished_at), slot];
    record.task.len() <= LONGEST_TASK
        // Too rare for a column.
        && record.warning.is_none()
        && record.keep_for <= LONGEST_KEEPING
        && instants.into_iter().flatten().all(|at| Instant(at).fits())
        && !texts(record).any(|text| text.contains('\0'))
}

/// All that is not of a fixed size.
fn texts(record: &TaskRecord) -> impl Iterator<Item = &str> {
    let (of_outcome, report): (Option<&str>, Option<&ErrorReport>) = match &record.outcome {
        Outcome::None => (None, None),
        Outcome::Result(text) | Outcome::Marker(text) => (Some(text), None),
        Outcome::Error(report) => (None, Some(report)),
    };
    let of_report = report.into_iter().flat_map(|report| {
        let chain = report.chain.iter().map(String::as_str);
        [report.kind.as_str(), &report.message].into_iter().chain(report.backtrace.as_deref()).chain(chain)
    });
    [record.task.as_str(), &record.arguments, &record.worker]
        .into_iter()
        .chain(of_outcome)
        .chain(of_report)
        .chain(record.schedule.as_ref().map(|schedule| schedule.name.as_str()))
        .chain(record.warning.as_deref())
        .chain(record.headers.iter().flat_map(|(name, value)| [name.as_str(), value]))
}
