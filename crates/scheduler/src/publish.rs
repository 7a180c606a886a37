//! The messages of a plan, and what the broker's answers mean for it.

use std::time::Duration;

use lovage_core::schedule::{Advance, Entry, Fate, Firing, Skip};
use lovage_core::{
    BackendError, Delay, Entropy, EntryName, Envelope, Fence, Message, Published, ScheduledSlot, TaskId,
    Timestamp, UniqueClaim, UniquePolicy,
};

use crate::Planned;

/// When an entry whose message the broker refuses is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The task of a slot, the same in every beat: whoever asks for it in the results finds what became of the slot.
///
/// `fence` is the slot; of an entry that is to run once, [`Planned::fence`].
#[must_use]
pub fn task_id(entry: &EntryName, fence: Timestamp) -> TaskId {
    TaskId::new(fence, &SlotEntropy { name: entry.as_str(), slot: fence })
}

/// The messages for the slots of a plan.
pub(crate) fn messages(planned: &Planned) -> impl Iterator<Item = Message> {
    planned.slots.iter().map(|slot| {
        let fence = planned.fence(*slot);
        let entry = &planned.stored.entry;
        message(entry, task_id(&entry.name, fence), *slot, Some(fence))
    })
}

/// The message of an entry for an instant.
pub(crate) fn message(entry: &Entry, id: TaskId, slot: Timestamp, fence: Option<Timestamp>) -> Message {
    let name = entry.name.as_str().to_owned();
    let mut envelope = Envelope::new(entry.task.as_str(), entry.payload());
    envelope.expires = entry.expires;
    envelope.headers.clone_from(&entry.headers);
    envelope.schedule = Some(ScheduledSlot { name: name.clone(), slot });
    let unique = entry.unique_key().map(|key| UniqueClaim {
        key,
        ttl: None,
        until_start: false,
        policy: UniquePolicy::Reject,
    });
    Message {
        id,
        queue: entry.queue.clone(),
        priority: entry.priority,
        delay: Delay::None,
        unique,
        fence: fence.map(|slot| Fence { name, slot }),
        body: envelope.encode(),
    }
}

/// What is to be written when the broker answered for each slot. Or the newest slot, when that does not tell whether the
/// ones before it were published.
pub(crate) fn advance(
    planned: &Planned,
    answers: &[Published],
    now: Timestamp,
) -> Result<Advance, Timestamp> {
    let stored = &planned.stored;
    let mut firings: Vec<Firing> = planned.passed.clone().into_iter().collect();
    // What publishes nothing has not been refused again, nor taken.
    let mut error = stored.last_error.clone().filter(|_| planned.slots.is_empty());
    let mut has_run = false;
    for (&slot, answer) in planned.slots.iter().zip(answers) {
        let firing = firing(planned, slot, answer, now)?;
        // Told for the slot that it had then.
        if stored.entry.one_off && *answer != Published::Accepted && stored.last_task_id == firing.fate.task()
        {
            has_run = firing.fate.task().is_some();
            continue;
        }
        if let Fate::Skipped(Skip::Refused(why)) = &firing.fate {
            error = Some(why.clone());
        }
        firings.push(firing);
    }
    let is_idle = firings.is_empty() && !has_run;
    let mut advance = Advance::new(stored, planned.done_until, firings);
    if has_run {
        (advance.ends, advance.next_run_at) = (true, None);
    }
    if is_idle {
        advance.next_run_at = planned.idle_until.filter(|_| stored.entry.enabled);
    }
    Ok(match error {
        Some(error) => advance.with_error(error),
        None => advance,
    })
}

/// What is to be written when the broker refuses the messages of an entry: it is tried again, and its misfire policy
/// decides what becomes of slots until it is taken.
pub(crate) fn refused(planned: &Planned, error: &BackendError, now: Timestamp) -> Advance {
    let stored = &planned.stored;
    let mut advance = Advance::new(stored, stored.done_until, Vec::new()).with_error(error.to_string());
    advance.next_run_at = Some(now.plus(TRY_AGAIN));
    advance
}

/// Why a queue with a limit does not take a message.
pub(crate) fn full(limit: u64) -> String {
    format!("the queue is full: it has reached its length of {limit}")
}

fn firing(
    planned: &Planned,
    slot: Timestamp,
    answer: &Published,
    now: Timestamp,
) -> Result<Firing, Timestamp> {
    let entry = &planned.stored.entry;
    let fence = planned.fence(slot);
    let id = task_id(&entry.name, fence);
    let fired = || Firing::fired(entry.name.clone(), slot, now, id);
    let skipped = |why| Firing::skipped(entry.name.clone(), (slot, slot), now, why);
    Ok(match answer {
        Published::Accepted => fired(),
        // A beat that died before it wrote so, or one that is ahead of us.
        Published::Duplicate { holder } if *holder == id => fired(),
        Published::Duplicate { holder } => skipped(Skip::Overlap(*holder)),
        Published::Stale { newest } if *newest == fence => fired(),
        Published::Stale { newest } if planned.doubt.is_none_or(|known| known < *newest) => {
            return Err(*newest);
        }
        // Whoever published the newest slot had published this one before it: see `Planned`.
        Published::Stale { newest } if entry.one_off || is_slot(entry, *newest) => fired(),
        Published::Stale { newest } => skipped(Skip::Refused(format!(
            "the entry had a later slot before it was edited, {newest}, and that was published first"
        ))),
        Published::Full { limit } => skipped(Skip::Refused(full(*limit))),
    })
}

fn is_slot(entry: &Entry, at: Timestamp) -> bool {
    entry.next_slot(Timestamp::from_micros(at.as_micros().saturating_sub(1))) == Some(at)
}

/// Bytes that follow from entry and slot. Ids need to be unique, not secret.
#[derive(Debug)]
struct SlotEntropy<'a> {
    name: &'a str,
    slot: Timestamp,
}

impl Entropy for SlotEntropy<'_> {
    fn fill(&self, bytes: &mut [u8]) {
        for (round, chunk) in (0_u8..).zip(bytes.chunks_mut(8)) {
            let input =
                [round].into_iter().chain(self.slot.as_micros().to_le_bytes()).chain(self.name.bytes());
            // FNV-1a, its bits mixed: it must not change from release to release.
            let hash = input.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
            let hash = hash ^ (hash >> 33);
            chunk.copy_from_slice(&hash.to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use lovage_core::schedule::{Misfire, StoredEntry, Units as _, every};

    use super::*;
    use crate::plan;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    /// Slots 10, 20 and 30.
    fn planned(doubt: Option<Timestamp>) -> Planned {
        let entry = every(10.secs()).misfire(Misfire::All(9)).entry("e", "t").unwrap();
        Planned { doubt, ..plan(StoredEntry::new(entry, at(0)), at(31)) }
    }

    fn words(planned: &Planned, answers: &[Published]) -> Result<Vec<&'static str>, Timestamp> {
        let advance = advance(planned, answers, at(31))?;
        assert_eq!(advance.done_until, at(30));
        Ok(advance.firings.iter().map(|firing| firing.fate.as_str()).collect())
    }

    fn stale(newest: i64) -> Published {
        Published::Stale { newest: at(newest) }
    }

    #[test]
    fn what_the_answer_tells_for_sure_is_told() {
        let id = task_id(&planned(None).stored.entry.name, at(20));
        let other = TaskId::from_bytes([1; 16]);
        let answers = [stale(10), Published::Duplicate { holder: id }, Published::Accepted];
        assert_eq!(words(&planned(None), &answers), Ok(vec!["fired"; 3]));
        let answers = [Published::Duplicate { holder: other }, Published::Full { limit: 1 }, stale(30)];
        assert_eq!(words(&planned(None), &answers), Ok(vec!["overlap", "refused", "fired"]));
    }

    #[test]
    fn that_a_later_slot_was_published_tells_nothing_until_the_entry_was_read_again() {
        let answers = [stale(40), stale(40), stale(40)];
        assert_eq!(words(&planned(None), &answers), Err(at(40)));
        assert_eq!(words(&planned(Some(at(30))), &answers), Err(at(40)));
        assert_eq!(words(&planned(Some(at(40))), &answers), Ok(vec!["fired"; 3]));
    }

    #[test]
    fn a_later_slot_of_what_the_entry_was_before_tells_that_these_were_not_published() {
        let found = words(&planned(Some(at(37))), &[stale(37), stale(37), stale(37)]);
        assert_eq!(found, Ok(vec!["refused"; 3]));
    }

    #[test]
    fn a_task_follows_from_entry_and_slot() {
        let name = EntryName::new("nightly").unwrap();
        let slot = Timestamp::parse("2026-11-23T03:00:00Z").unwrap();
        let task = task_id(&name, slot);
        // Beats of two releases must agree.
        assert_eq!(task.to_string(), "01a20658-9b80-7063-9ab7-8f19ef0a12e1");
        assert_ne!(task, task_id(&name, slot.plus(Duration::from_micros(1))));
        assert_ne!(task, task_id(&EntryName::new("nightlz").unwrap(), slot));
    }

    #[test]
    fn what_is_refused_is_due_again_and_not_done_with() {
        let error = BackendError::new(lovage_core::BackendErrorKind::Refused, "no");
        let advance = refused(&planned(None), &error, at(31));
        assert_eq!((advance.done_until, advance.next_run_at), (at(0), Some(at(36))));
        assert_eq!((advance.error.as_deref(), advance.firings.len()), (Some("no"), 0));
    }
}
