//! The schedule: entries, their next runs, what became of their slots.

use lovage_core::schedule::{
    BadEntry, DisabledBy, Entry, EntryFilter, EntryText, Firing, HistoryQuery, Listed, StoredEntry, Upcoming,
    preview,
};
use lovage_core::{TaskState, Timestamp, WorkerInfo};
use lovage_scheduler::{LastOutcome, last_outcomes};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::overview::Level;
use super::registered::known_workers;
use super::tasks::Part;
use super::{At, findings, part};
use crate::api;
use crate::call::Call;
use crate::problem::Problem;

/// Runs that are shown in advance.
const RUNS: usize = 20;

/// An entry in a list.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct EntryRow {
    pub(crate) name: String,
    /// Empty where the entry cannot be read.
    pub(crate) task: String,
    /// When it fires, in words; why not, where it cannot be read.
    pub(crate) words: String,
    pub(crate) queue: String,
    pub(crate) enabled: bool,
    /// `done`, `gone` or `bad`, where nobody disabled it.
    pub(crate) disabled_by: Option<&'static str>,
    pub(crate) next_run_at: Option<At>,
    pub(crate) last_run_at: Option<At>,
    pub(crate) last_task_id: Option<String>,
    pub(crate) total_run_count: i64,
    /// How the tasks of its newest slots ended, the newest first; without those that have no result.
    pub(crate) last_outcomes: Vec<TaskOutcome>,
    pub(crate) last_error: Option<String>,
    /// What is wrong with it, as the overview says it.
    pub(crate) trouble: Option<EntryTrouble>,
    /// Who declares it; nothing where a person made it.
    pub(crate) source: Option<String>,
    /// Whether somebody edited it since.
    pub(crate) edited: bool,
    /// Grows with each edit.
    pub(crate) revision: i64,
}

/// How a task ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct TaskOutcome {
    pub(crate) task_id: String,
    #[schemars(with = "String")]
    pub(crate) state: TaskState,
}

/// What is wrong with an entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct EntryTrouble {
    pub(crate) level: Level,
    /// In a few words.
    pub(crate) badge: &'static str,
    /// And what to do.
    pub(crate) sentence: String,
}

/// An entry with its next runs.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct EntryView {
    #[serde(flatten)]
    pub(crate) row: EntryRow,
    /// All its fields; nothing where it cannot be read.
    pub(crate) entry: Option<Value>,
    /// When it fires next.
    pub(crate) runs: Vec<Run>,
}

/// A run in advance.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Run {
    pub(crate) at: At,
    /// On the clock of its zone.
    pub(crate) local: String,
    /// What summer time did to it, or that the clocks were turned before it.
    pub(crate) remark: Option<String>,
}

/// What became of a slot.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct FiringRow {
    pub(crate) slot: At,
    /// The last one where several were passed over together.
    pub(crate) last_slot: At,
    /// When it was decided.
    pub(crate) at: At,
    /// `fired`, `manual`, `misfire`, `overlap`, `disabled`, `edited` or `refused`.
    pub(crate) fate: &'static str,
    /// The task that was sent, or that was in the way.
    pub(crate) task_id: Option<String>,
    /// Why it was refused.
    pub(crate) note: Option<String>,
}

pub(crate) async fn list(call: Call) -> Result<Part<EntryRow>, Problem> {
    let enabled = match call.input.get("enabled") {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(other) => {
            return Err(Problem::wrong(format!("enabled `{other}` is not valid: expected true or false")));
        }
    };
    let filter = EntryFilter {
        prefix: call.input.get("prefix").map(str::to_owned),
        task: call.input.get("task").map(str::to_owned),
        enabled,
    };
    let store = call.app.schedules()?;
    let paged = part(&call, |page| store.list(&filter, page)).await?;
    let workers = known_workers(&call.app).await;
    let mut items: Vec<EntryRow> =
        paged.items.iter().map(|listed| EntryRow::of(listed, workers.as_deref(), call.now)).collect();
    tell_outcomes(&call, &paged.items, &mut items).await;
    Ok(Part { items, next: paged.next })
}

/// Fills in how the newest tasks of entries ended, with one read for all of them. Lists stand without it.
async fn tell_outcomes(call: &Call, listed: &[Listed], rows: &mut [EntryRow]) {
    let entries: Vec<&StoredEntry> = listed.iter().filter_map(|listed| listed.as_ref().ok()).collect();
    let found = async {
        let store = call.app.schedules().ok()?.identity().await.ok()?.id;
        last_outcomes(&*call.app.parts.results, store, &entries).await.ok()
    };
    let Some(found) = found.await else { return };
    let readable = listed.iter().zip(rows).filter(|(listed, _)| listed.is_ok()).map(|(_, row)| row);
    for (row, outcomes) in readable.zip(found) {
        let outcome =
            |outcome: LastOutcome| TaskOutcome { task_id: outcome.task.to_string(), state: outcome.state };
        row.last_outcomes = outcomes.into_iter().map(outcome).collect();
    }
}

pub(crate) async fn one(call: Call) -> Result<EntryView, Problem> {
    let listed = find(&call).await?;
    let mut row = EntryRow::of(&listed, known_workers(&call.app).await.as_deref(), call.now);
    tell_outcomes(&call, std::slice::from_ref(&listed), std::slice::from_mut(&mut row)).await;
    let Ok(stored) = listed else { return Ok(EntryView { row, entry: None, runs: Vec::new() }) };
    let runs =
        if stored.entry.enabled { runs(&stored.entry, call.now.max(stored.done_until)) } else { Vec::new() };
    let entry = Some(api::json(&EntryText::shown(&stored.entry, &call.app.hidden().await))?);
    Ok(EntryView { row, entry, runs })
}

pub(crate) async fn history(call: Call) -> Result<Part<FiringRow>, Problem> {
    let name = name(&call)?;
    let (store, query) = (call.app.schedules()?, HistoryQuery::of(name));
    let paged = part(&call, |page| store.history(&query, page)).await?;
    Ok(Part { items: paged.items.iter().map(FiringRow::from).collect(), next: paged.next })
}

/// The entry that a request names.
pub(crate) async fn find(call: &Call) -> Result<Listed, Problem> {
    let name = name(call)?;
    let found = call.app.schedules()?.get(&[name]).await?.pop().flatten();
    found.ok_or_else(|| Problem::missing(format!("there is no schedule `{name}`")))
}

/// The name as it came: white space around it is a part of it.
pub(crate) fn name(call: &Call) -> Result<&str, Problem> {
    call.input.raw("name").ok_or_else(|| Problem::wrong("`name` is missing"))
}

/// The next runs of an entry.
pub(crate) fn runs(entry: &Entry, after: Timestamp) -> Vec<Run> {
    let run = |next: Upcoming| Run { at: At(next.fires_at), remark: next.summer_time(), local: next.local };
    preview(entry, after, RUNS).into_iter().map(run).collect()
}

impl EntryRow {
    fn of(listed: &Listed, workers: Option<&[WorkerInfo]>, now: Timestamp) -> Self {
        let row = Self::plain(listed);
        let trouble = findings::cause(listed, workers, now).map(|cause| EntryTrouble {
            level: cause.level(),
            badge: cause.badge(),
            sentence: cause.sentence(&[&row.name]),
        });
        Self { trouble, ..row }
    }

    /// Without a look at what is wrong with it.
    pub(crate) fn plain(listed: &Listed) -> Self {
        match listed {
            Ok(stored) => Self::stored(stored),
            Err(bad) => Self::bad(bad),
        }
    }

    fn stored(stored: &StoredEntry) -> Self {
        Self {
            name: stored.entry.name.to_string(),
            task: stored.entry.task.to_string(),
            words: stored.entry.schedule.to_string(),
            queue: stored.entry.queue.to_string(),
            enabled: stored.entry.enabled,
            disabled_by: stored.disabled_by.map(DisabledBy::as_str),
            next_run_at: stored.next_run_at.map(At),
            last_run_at: stored.last_run_at.map(At),
            last_task_id: stored.last_task_id.map(|id| id.to_string()),
            total_run_count: stored.total_run_count,
            last_outcomes: Vec::new(),
            last_error: stored.last_error.clone(),
            trouble: None,
            source: stored.ownership.source.as_ref().map(ToString::to_string),
            edited: stored.ownership.edited,
            revision: stored.revision,
        }
    }

    fn bad(bad: &BadEntry) -> Self {
        Self {
            name: bad.name.clone(),
            task: String::new(),
            words: format!("It cannot be read: {}", bad.reason),
            queue: String::new(),
            enabled: bad.enabled,
            disabled_by: Some(DisabledBy::Bad.as_str()),
            next_run_at: None,
            last_run_at: None,
            last_task_id: None,
            total_run_count: 0,
            last_outcomes: Vec::new(),
            last_error: Some(bad.reason.clone()),
            trouble: None,
            source: bad.ownership.source.as_ref().map(ToString::to_string),
            edited: bad.ownership.edited,
            revision: bad.revision,
        }
    }
}

impl From<&Firing> for FiringRow {
    fn from(firing: &Firing) -> Self {
        Self {
            slot: At(firing.slot),
            last_slot: At(firing.last_slot),
            at: At(firing.at),
            fate: firing.fate.as_str(),
            task_id: firing.fate.stored_task().map(|id| id.to_string()),
            note: firing.fate.stored_note().map(str::to_owned),
        }
    }
}
