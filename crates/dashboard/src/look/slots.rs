//! Which slots of an entry should have fired, which did, and why the others did not.

use std::collections::HashMap;
use std::time::Duration;

use lovage_core::schedule::{AuditRange, Audited, Outcome, StoredEntry, audit};
use lovage_core::{ResultStore, TaskId, TaskState, Timestamp};
use lovage_scheduler::{fired_by_results, history, states, untold};
use schemars::JsonSchema;
use serde::Serialize;

use super::{At, instant, schedules};
use crate::call::Call;
use crate::problem::Problem;

/// Most slots of one answer.
const MOST: usize = 10_000;
/// Most slots that a page goes through, each time that it is brought up to date.
const SHOWN: usize = 500;
/// How far back a page looks: as far as it has few enough slots.
const RANGES: [Duration; 5] = [
    Duration::from_secs(86_400),
    Duration::from_secs(6 * 3_600),
    Duration::from_secs(3_600),
    Duration::from_secs(600),
    Duration::from_secs(60),
];

/// What became of the slots of a time.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct AuditView {
    /// The slots at or after this instant,
    pub(crate) from: At,
    /// and before this one.
    pub(crate) to: At,
    /// How many there were.
    pub(crate) slots: u64,
    /// For how many of them a task was published.
    pub(crate) fired: u64,
    /// Of how many nothing is known, as when they were before the entry was made.
    pub(crate) untold: u64,
    /// By time.
    pub(crate) lines: Vec<AuditRow>,
    /// `from` of the next audit, where there were too many for one.
    pub(crate) next: Option<At>,
    /// Why the results were not asked about slots that the history does not know.
    pub(crate) trouble: Option<String>,
}

/// A slot, or several in a row of which the same is to be said.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct AuditRow {
    pub(crate) slot: At,
    /// The last one of several.
    pub(crate) last_slot: At,
    /// How many; 0 for a run by hand, which is none.
    pub(crate) slots: u64,
    /// The slot on the clock of its zone.
    pub(crate) local: String,
    #[serde(skip)]
    pub(crate) last_local: String,
    /// When it was decided.
    pub(crate) at: Option<At>,
    /// `fired`, `fired before an edit`, `manual`, `misfire`, `overlap`, `disabled`, `edited`, `refused`, `due`, `to come` or
    /// `untold`.
    pub(crate) outcome: &'static str,
    /// In words what the outcome does not tell.
    pub(crate) why: String,
    /// The task that was published, or that was in the way.
    pub(crate) task_id: Option<String>,
    /// How that task ended, as far as the results know.
    #[schemars(with = "Option<String>")]
    pub(crate) task_state: Option<TaskState>,
    #[serde(skip)]
    pub(crate) has_fired: bool,
}

/// Of the time that is asked for, the last day unless said.
pub(crate) async fn data(call: Call) -> Result<AuditView, Problem> {
    let stored = schedules::find(&call).await?.map_err(|bad| Problem::wrong(bad.reason))?;
    let until = instant(&call, "to")?.unwrap_or_else(|| present(call.now));
    let from = instant(&call, "from")?.unwrap_or_else(|| call.now.minus(RANGES[0]));
    if until < from {
        return Err(Problem::wrong(format!(
            "to `{until}` is not valid: expected no earlier than from, {from}"
        )));
    }
    told(&call, &stored, from, until).await
}

/// Of the last day, or of less where an entry has very many slots.
pub(crate) async fn lately(call: &Call, stored: &StoredEntry) -> Result<AuditView, Problem> {
    let until = present(call.now);
    let is_short = |range: &Duration| {
        let slots = stored.entry.slots_between(call.now.minus(*range), until);
        slots.take(SHOWN + 1).count() <= SHOWN
    };
    let range = RANGES.into_iter().find(is_short).unwrap_or(RANGES[RANGES.len() - 1]);
    told(call, stored, call.now.minus(range), until).await
}

async fn told(
    call: &Call,
    stored: &StoredEntry,
    from: Timestamp,
    until: Timestamp,
) -> Result<AuditView, Problem> {
    let before = Timestamp::from_micros(from.as_micros().saturating_sub(1));
    let next = stored.entry.slots_between(before, until).nth(MOST).filter(|slot| *slot < until);
    let until = next.unwrap_or(until);
    let range = AuditRange { from, until, now: call.now };
    let store = call.app.schedules()?;
    let mut firings = history(store, stored.entry.name.as_str(), from, until).await?;
    let mut found = audit(stored, &firings, range);
    // The audit stands without the results.
    let mut trouble = None;
    let results: &dyn ResultStore = &*call.app.parts.results;
    match fired_by_results(results, stored, &untold(store.identity().await?.id, stored, &found)).await {
        Ok(fired) if fired.is_empty() => {}
        Ok(fired) => {
            firings.extend(fired);
            found = audit(stored, &firings, range);
        }
        Err(error) => {
            trouble = Some(format!(
                "the results were not asked about slots that the history does not know: {error}"
            ));
        }
    }
    let published: Vec<TaskId> = found.lines.iter().filter_map(|line| line.outcome.published()).collect();
    let ended = states(results, &published).await.unwrap_or_else(|error| {
        trouble.get_or_insert_with(|| format!("it is not known how the tasks ended: {error}"));
        HashMap::new()
    });
    let count = |is_it: fn(&Outcome) -> bool| {
        found.lines.iter().filter(|line| is_it(&line.outcome)).map(|line| line.slots).sum()
    };
    Ok(AuditView {
        from: At(from),
        to: At(until),
        slots: count(|_| true),
        fired: count(Outcome::has_fired),
        untold: count(|outcome| *outcome == Outcome::Untold),
        next: next.or(found.next).map(At),
        trouble,
        lines: found.lines.iter().map(|line| row(stored, line, &ended)).collect(),
    })
}

fn row(stored: &StoredEntry, line: &Audited, ended: &HashMap<TaskId, TaskState>) -> AuditRow {
    let zone = stored.entry.schedule.zone();
    AuditRow {
        slot: At(line.slot),
        last_slot: At(line.last_slot),
        slots: line.slots,
        local: zone.show(line.slot),
        last_local: zone.show(line.last_slot),
        at: line.at.map(At),
        outcome: line.outcome.as_str(),
        why: line.outcome.why(),
        task_state: line.outcome.published().and_then(|id| ended.get(&id).copied()),
        task_id: line.outcome.task().map(|id| id.to_string()),
        has_fired: line.outcome.has_fired(),
    }
}

/// What is due at this very moment is no future.
fn present(now: Timestamp) -> Timestamp {
    now.plus(Duration::from_micros(1))
}
