//! Slots of which the history does not tell, though their tasks ran: the results know.

use lovage_core::schedule::{Audit, Audited, Firing, Outcome, StoredEntry};
use lovage_core::{TaskId, Timestamp};
use lovage_scheduler::task_id;

use super::STEP;
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;

/// Most slots that one audit looks up.
const MOST: usize = 10_000;

/// What the results tell of slots that an audit knows nothing about. A task's id follows from entry and slot.
///
/// The audit stands without it: where the results cannot be asked, a note says so.
pub(super) async fn from_results(session: &Session, stored: &StoredEntry, audit: &Audit) -> Vec<Firing> {
    let name = &stored.entry.name;
    let slots = audit.lines.iter().filter(|line| is_unknown(line)).flat_map(|line| {
        let before = Timestamp::from_micros(line.slot.as_micros().saturating_sub(1));
        stored.entry.slots_between(before, line.last_slot)
    });
    let asked: Vec<(Timestamp, TaskId)> = slots.take(MOST).map(|slot| (slot, task_id(name, slot))).collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let found = look_up(session, stored, &asked).await.unwrap_or_else(|error| {
        let why = error.in_one_line();
        Out.note(format!(
            "note: the results were not asked about slots that the history does not know: {why}"
        ));
        Vec::new()
    });
    if !found.is_empty() {
        let count = found.len();
        Out.note(format!(
            "note: {count} of these slots are not in the history; that they fired is known from the results of their tasks"
        ));
    }
    found
}

async fn look_up(
    session: &Session,
    stored: &StoredEntry,
    asked: &[(Timestamp, TaskId)],
) -> Result<Vec<Firing>, CliError> {
    let client = session.connect().await?;
    let Some(results) = client.results() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for asked in asked.chunks(STEP) {
        let ids: Vec<TaskId> = asked.iter().map(|(_, id)| *id).collect();
        let records = results.get(&ids, None).await?;
        found.extend(asked.iter().zip(records).filter_map(|((slot, id), record)| {
            Some(Firing::fired(stored.entry.name.clone(), *slot, record?.enqueued_at, *id))
        }));
    }
    Ok(found)
}

fn is_unknown(line: &Audited) -> bool {
    match line.outcome {
        Outcome::Untold | Outcome::Due | Outcome::Disabled => true,
        Outcome::Fired(_)
        | Outcome::FiredBeforeEdit(_)
        | Outcome::Manual(_)
        | Outcome::Skipped(_)
        | Outcome::ToCome => false,
    }
}
