//! How the tasks ended that entries sent: the results know, by ids that follow from entry and slot.

use std::collections::HashMap;

use lovage_core::schedule::StoredEntry;
use lovage_core::{BackendError, ResultStore, StoreId, TaskId, TaskState};

use crate::task_id;

/// How many of the newest slots of an entry are asked about.
const NEWEST: usize = 3;
/// Tasks that are asked about at once.
const STEP: usize = 1_000;

/// How the task of a slot ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastOutcome {
    /// The task.
    pub task: TaskId,
    /// Its state.
    pub state: TaskState,
}

/// How the tasks of the three newest slots and the last run of each entry ended, the newest first. Tasks that have no result
/// are left out. At most 1,000 tasks are asked about in one read.
///
/// # Errors
/// When the results cannot be reached.
pub async fn last_outcomes(
    results: &dyn ResultStore,
    store: StoreId,
    entries: &[&StoredEntry],
) -> Result<Vec<Vec<LastOutcome>>, BackendError> {
    let asked: Vec<Vec<TaskId>> = entries.iter().map(|stored| newest_tasks(store, stored)).collect();
    let known = states(results, &asked.concat()).await?;
    let outcome = |task: TaskId| Some(LastOutcome { task, state: *known.get(&task)? });
    Ok(asked.into_iter().map(|tasks| tasks.into_iter().filter_map(outcome).collect()).collect())
}

/// The states of those of these tasks that have a result.
///
/// # Errors
/// When the results cannot be reached.
pub async fn states(
    results: &dyn ResultStore,
    tasks: &[TaskId],
) -> Result<HashMap<TaskId, TaskState>, BackendError> {
    let mut known = HashMap::new();
    for asked in tasks.chunks(STEP) {
        let records = results.get(asked, None).await?;
        known.extend(records.into_iter().flatten().map(|record| (record.id, record.state)));
    }
    Ok(known)
}

/// The last run may have been by hand, and that of an entry that runs once has another fence than its slot.
fn newest_tasks(store: StoreId, stored: &StoredEntry) -> Vec<TaskId> {
    if stored.total_run_count == 0 {
        return Vec::new();
    }
    let slots = stored.entry.last_slots(stored.done_until, NEWEST).into_iter().rev();
    let mut tasks: Vec<TaskId> = stored.last_task_id.into_iter().collect();
    tasks.extend(
        slots
            .map(|slot| task_id(store, &stored.entry.name, slot))
            .filter(|task| stored.last_task_id != Some(*task)),
    );
    tasks
}
