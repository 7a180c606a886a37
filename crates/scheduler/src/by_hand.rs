//! Running an entry by hand, whatever its schedule says.

use std::time::Duration;

use lovage_core::schedule::{Advance, Firing, ScheduleStore, StoredEntry, refused};
use lovage_core::{BackendError, Broker, Entropy, Published, TaskId};

use crate::publish;

/// What became of a run by hand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ByHand {
    /// It was published as this task.
    Published(TaskId),
    /// The entry's runs are not to overlap, and this task of it still waits or runs.
    Overlap(TaskId),
    /// There is no entry of this name.
    Unknown,
}

/// Publishes the task of an entry at once, also of one that is disabled, and writes so to its history. Its schedule stays
/// as it is: the next slot fires as if this had not happened.
///
/// # Errors
/// When the store or the broker cannot be reached, when the queue is full, and when the entry's row cannot be read.
pub async fn run_by_hand(
    store: &dyn ScheduleStore,
    broker: &dyn Broker,
    entropy: &dyn Entropy,
    name: &str,
) -> Result<ByHand, BackendError> {
    let Some(listed) = store.get(&[name]).await?.into_iter().flatten().next() else {
        return Ok(ByHand::Unknown);
    };
    let stored = listed.map_err(|bad| bad.refusal())?;
    let due = store.due(Duration::ZERO, 1, None).await?;
    let now = due.now;
    let id = TaskId::new(now, entropy);
    let message = publish::message(due.store, &stored.entry, id, now);
    match broker.publish(&[message], None).await?.into_iter().next() {
        Some(Published::Duplicate { holder }) => return Ok(ByHand::Overlap(holder)),
        Some(Published::Full { limit }) => return Err(refused(name, &publish::full(limit))),
        Some(Published::Accepted | Published::Stale { .. } | Published::Early { .. }) | None => {}
    }
    let firing = Firing::manual(stored.entry.name.clone(), now, id);
    if let Err(error) = store.advance(&[unmoved(&stored, firing)]).await {
        tracing::warn!("the schedule `{name}` runs as task {id}, but its history does not tell: {error}");
    }
    Ok(ByHand::Published(id))
}

/// Writes a firing and nothing else.
fn unmoved(stored: &StoredEntry, firing: Firing) -> Advance {
    let mut advance = Advance::new(stored, stored.done_until, vec![firing]);
    advance.next_run_at = stored.next_run_at;
    advance.error.clone_from(&stored.last_error);
    advance
}
