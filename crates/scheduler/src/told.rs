//! What became of the slots of an entry: the history tells and, where that does not know, the results of their tasks.

use lovage_core::schedule::{Audit, Audited, Firing, HistoryQuery, Outcome, ScheduleStore, StoredEntry};
use lovage_core::{BackendError, Page, ResultStore, StoreId, TaskId, Timestamp};

use crate::task_id;

/// Rows that are asked for at once.
const STEP: usize = 1_000;
/// Most slots of one audit that results are asked about.
const MOST: usize = 10_000;

/// All that the history tells of the slots at or after `from` and before `until`.
///
/// # Errors
/// When the store cannot be reached.
pub async fn history(
    store: &dyn ScheduleStore,
    name: &str,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Firing>, BackendError> {
    let query = HistoryQuery { name: name.to_owned(), since: Some(from), until: Some(until) };
    let mut page = Page::first(STEP);
    let mut firings = Vec::new();
    loop {
        let part = store.history(&query, page.clone()).await?;
        firings.extend(part.items);
        match part.next {
            Some(next) => page.after = Some(next),
            None => return Ok(firings),
        }
    }
}

/// The slots that an audit knows nothing of, and the tasks that they would have sent: a task's id follows from entry and
/// slot. At most 10,000.
#[must_use]
pub fn untold(store: StoreId, stored: &StoredEntry, audit: &Audit) -> Vec<(Timestamp, TaskId)> {
    let slots = audit.lines.iter().filter(|line| is_untold(line)).flat_map(|line| {
        let before = Timestamp::from_micros(line.slot.as_micros().saturating_sub(1));
        stored.entry.slots_between(before, line.last_slot)
    });
    slots.take(MOST).map(|slot| (slot, task_id(store, &stored.entry.name, slot))).collect()
}

/// Which of these slots fired, as their tasks have results.
///
/// # Errors
/// When the store cannot be reached.
pub async fn fired_by_results(
    results: &dyn ResultStore,
    stored: &StoredEntry,
    untold: &[(Timestamp, TaskId)],
) -> Result<Vec<Firing>, BackendError> {
    let mut found = Vec::new();
    for asked in untold.chunks(STEP) {
        let ids: Vec<TaskId> = asked.iter().map(|(_, id)| *id).collect();
        let records = results.get(&ids, None).await?;
        found.extend(asked.iter().zip(records).filter_map(|((slot, id), record)| {
            Some(Firing::fired(stored.entry.name.clone(), *slot, record?.enqueued_at, *id))
        }));
    }
    Ok(found)
}

fn is_untold(line: &Audited) -> bool {
    match line.outcome {
        Outcome::Untold | Outcome::Due | Outcome::Disabled => true,
        Outcome::Fired(_)
        | Outcome::FiredBeforeEdit(_)
        | Outcome::Manual(_)
        | Outcome::Skipped(_)
        | Outcome::ToCome => false,
    }
}
