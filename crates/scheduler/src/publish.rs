//! The messages of a plan, and what the broker's answers mean for it.

use std::time::Duration;

use lovage_core::schedule::{Advance, Entry, Fate, Firing, Skip};
use lovage_core::{
    BackendError, Delay, Entropy, EntryName, Envelope, Fence, Message, Published, ScheduledSlot, StoreId,
    TaskId, Timestamp, UniqueClaim, UniquePolicy, format_duration, limits,
};

use crate::Planned;

/// When an entry whose message the broker refuses is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The task of a slot of an entry in a store, the same in every beat, so that the results tell what became of the slot.
///
/// `fence` is the slot; of an entry that is to run once, [`Planned::fence`].
#[must_use]
pub fn task_id(store: StoreId, entry: &EntryName, fence: Timestamp) -> TaskId {
    TaskId::new(fence, &SlotEntropy { store, name: entry.as_str(), slot: fence })
}

/// The messages for the slots of a plan.
pub(crate) fn messages(planned: &Planned) -> impl Iterator<Item = Message> {
    planned.slots.iter().map(|slot| {
        let fence = planned.fence(*slot);
        let entry = &planned.stored.entry;
        let id = task_id(planned.store, &entry.name, fence);
        let fence = Fence { name: fence_name(planned), slot: fence };
        let mut message = Message { fence: Some(fence), ..message(planned.store, entry, id, *slot) };
        // The id follows from the slot, and a beat whose fence was lost publishes the slot again.
        message.mark_possible_duplicate();
        message
    })
}

/// An entry that was moved back after the clock had been ahead has a new fence: the slots of that time say nothing of others.
fn fence_name(planned: &Planned) -> String {
    let rewound =
        planned.stored.rewound.map(|rewound| rewound.at.as_micros().to_string()).unwrap_or_default();
    format!("{}:{rewound}:{}", planned.store, planned.stored.entry.name)
}

/// The message of an entry for an instant, without a fence.
pub(crate) fn message(store: StoreId, entry: &Entry, id: TaskId, slot: Timestamp) -> Message {
    let name = entry.name.as_str().to_owned();
    let mut envelope = Envelope::new(entry.task.as_str(), entry.payload());
    envelope.expires = entry.expires;
    envelope.headers.clone_from(&entry.headers);
    envelope.schedule = Some(ScheduledSlot { name, slot });
    let unique = entry.unique_key(store).map(|key| UniqueClaim {
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
        fence: None,
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
    for (nth, (&slot, answer)) in planned.slots.iter().zip(answers).enumerate() {
        if let Some(wait) = Wait::before(planned, slot, answer, now) {
            return wait.advance(planned, &answers[..nth], now);
        }
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
    let is_idle = firings.is_empty() && !has_run && planned.done_until == stored.done_until;
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

/// What an entry waits for before more is known of its slots.
struct Wait {
    time: Duration,
    why: String,
}

impl Wait {
    /// Why a slot with this answer is neither published nor known to be: its own clock was wrong, or the broker's is.
    fn before(planned: &Planned, slot: Timestamp, answer: &Published, now: Timestamp) -> Option<Self> {
        match answer {
            Published::Early { now: theirs } => {
                let allowed_at = theirs.plus(limits::CLOCK_TOLERANCE);
                Some(Self { time: planned.fence(slot).since(allowed_at), why: early(now, *theirs) })
            }
            // A small step back of the clock: what was published before it is known when the clock has passed it.
            Published::Stale { newest } if *newest > now && !is_far_ahead(*newest, now) => {
                let is_known =
                    *newest == planned.fence(slot) || planned.doubt.is_none_or(|known| known < *newest);
                let why = "the clock of the schedule store was set back by some seconds: slots wait until it has passed the newest one";
                (!is_known).then(|| Self { time: newest.since(now), why: why.to_owned() })
            }
            Published::Stale { .. }
            | Published::Accepted
            | Published::Duplicate { .. }
            | Published::Full { .. } => None,
        }
    }

    /// What is to be written: the entry is done with the slots before the one that waits, and tried again afterwards.
    fn advance(self, planned: &Planned, taken: &[Published], now: Timestamp) -> Result<Advance, Timestamp> {
        let stored = &planned.stored;
        let slots = planned.slots[..taken.len()].to_vec();
        let done_until = slots.last().copied().unwrap_or(stored.done_until);
        let passed = planned.passed.clone().filter(|_| !slots.is_empty());
        let mut advance = advance(&Planned { slots, passed, done_until, ..planned.clone() }, taken, now)?;
        if !advance.ends {
            advance.next_run_at = Some(now.plus(self.time.clamp(Duration::from_millis(100), TRY_AGAIN)));
        }
        Ok(advance.with_error(self.why))
    }
}

/// Why a slot waits for the broker's clock. The difference is rounded, so that the text stays the same.
fn early(ours: Timestamp, theirs: Timestamp) -> String {
    let seconds = ours.since(theirs).as_secs();
    let unit = if seconds < 600 { 10 } else { 60 };
    let ahead = format_duration(Duration::from_secs(seconds / unit * unit));
    format!(
        "the clock of the schedule store is {ahead} ahead of the broker's clock: slots wait until the broker's clock has reached them; set the clocks of the servers"
    )
}

/// Whether the newest slot, which is ahead of the clock, says nothing of others: the clock of the broker is another one.
fn is_far_ahead(newest: Timestamp, now: Timestamp) -> bool {
    newest.since(now) > limits::CLOCK_TOLERANCE
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
    let id = task_id(planned.store, &entry.name, fence);
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
        Published::Stale { newest } if is_far_ahead(*newest, now) => skipped(Skip::Refused(format!(
            "the broker has taken the slot {newest}, and the clock of the schedule store shows {now}: it was set back, or is behind the broker's clock"
        ))),
        // Whoever published the newest slot had published this one before it: see `Planned`.
        Published::Stale { newest } if entry.one_off || is_slot(entry, *newest) => fired(),
        Published::Stale { newest } => skipped(Skip::Refused(format!(
            "the entry had a later slot before it was edited, {newest}, and that was published first"
        ))),
        Published::Early { now: theirs } => skipped(Skip::Refused(early(now, *theirs))),
        Published::Full { limit } => skipped(Skip::Refused(full(*limit))),
    })
}

fn is_slot(entry: &Entry, at: Timestamp) -> bool {
    entry.next_slot(Timestamp::from_micros(at.as_micros().saturating_sub(1))) == Some(at)
}

/// Bytes that follow from entry and slot. Ids need to be unique, not secret.
#[derive(Debug)]
struct SlotEntropy<'a> {
    store: StoreId,
    name: &'a str,
    slot: Timestamp,
}

impl Entropy for SlotEntropy<'_> {
    fn fill(&self, bytes: &mut [u8]) {
        for (round, chunk) in (0_u8..).zip(bytes.chunks_mut(8)) {
            let input = [round]
                .into_iter()
                .chain(self.slot.as_micros().to_le_bytes())
                .chain(*self.store.as_bytes())
                .chain(self.name.bytes());
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
    use crate::{Moment, plan};

    const STORE: StoreId = StoreId::from_bytes([7; 16]);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    /// Slots 10, 20 and 30.
    fn planned(doubt: Option<Timestamp>) -> Planned {
        let entry = every(10.secs()).misfire(Misfire::All(9)).entry("e", "t").unwrap();
        Planned { doubt, ..plan(StoredEntry::new(entry, at(0)), &Moment::new(STORE, at(31))) }
    }

    fn words(planned: &Planned, answers: &[Published]) -> Result<Vec<&'static str>, Timestamp> {
        let advance = advance(planned, answers, at(41))?;
        assert_eq!(advance.done_until, at(30));
        Ok(advance.firings.iter().map(|firing| firing.fate.as_str()).collect())
    }

    fn stale(newest: i64) -> Published {
        Published::Stale { newest: at(newest) }
    }

    #[test]
    fn what_the_answer_tells_for_sure_is_told() {
        let id = task_id(STORE, &planned(None).stored.entry.name, at(20));
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
        let task = task_id(STORE, &name, slot);
        // Beats of two releases must agree.
        assert_eq!(task.to_string(), "01a20658-9b80-736d-93b3-5ccb4c9837e6");
        assert_ne!(task, task_id(StoreId::from_bytes([8; 16]), &name, slot));
        assert_ne!(task, task_id(STORE, &name, slot.plus(Duration::from_micros(1))));
        assert_ne!(task, task_id(STORE, &EntryName::new("nightlz").unwrap(), slot));
    }

    #[test]
    fn what_is_refused_is_due_again_and_not_done_with() {
        let error = BackendError::new(lovage_core::BackendErrorKind::Refused, "no");
        let advance = refused(&planned(None), &error, at(31));
        assert_eq!((advance.done_until, advance.next_run_at), (at(0), Some(at(36))));
        assert_eq!((advance.error.as_deref(), advance.firings.len()), (Some("no"), 0));
    }

    #[test]
    fn slots_ahead_of_the_brokers_clock_wait_for_it() {
        let early = Published::Early { now: at(5) };
        let found =
            advance(&planned(None), &[Published::Accepted, early.clone(), early.clone()], at(31)).unwrap();
        assert_eq!((found.done_until, found.firings.len(), found.next_run_at), (at(10), 1, Some(at(36))));
        assert!(found.error.unwrap().contains("20s ahead of the broker's clock"));
        let early = Published::Early { now: at(-1) };
        let found = advance(&planned(None), &[early.clone(), early.clone(), early], at(31)).unwrap();
        assert_eq!((found.done_until, found.firings.len(), found.next_run_at), (at(0), 0, Some(at(32))));
    }

    /// The clock was set back from 40 to 31, and the answer to the publish was lost.
    #[test]
    fn stale_slot_waits_until_the_clock_has_passed_the_newest() {
        let answers = [stale(10), stale(40), stale(40)];
        let found = advance(&planned(Some(at(40))), &answers, at(31)).unwrap();
        assert_eq!((found.done_until, found.firings.len(), found.next_run_at), (at(10), 1, Some(at(36))));
        assert_eq!(words(&planned(Some(at(40))), &answers), Ok(vec!["fired"; 3]));
    }

    /// What was published while the clock was wrong says nothing of the slots since then.
    #[test]
    fn entry_that_was_moved_back_has_a_new_fence() {
        let fence = |planned: &Planned| messages(planned).next().unwrap().fence.unwrap().name;
        let mut moved = planned(None);
        moved.stored.rewound = Some(lovage_core::schedule::Rewound { from: at(40), at: at(5) });
        assert_eq!(fence(&planned(None)), format!("{STORE}::e"));
        assert_eq!(fence(&moved), format!("{STORE}:5000000:e"));
    }

    #[test]
    fn stale_slot_behind_one_ahead_of_the_clock_has_not_fired() {
        let ahead = stale(3_600);
        let doubted = planned(Some(at(3_600)));
        assert_eq!(words(&doubted, &[ahead.clone(), ahead.clone(), ahead.clone()]), Ok(vec!["refused"; 3]));
        // Read again first: another beat may have fired them since.
        assert_eq!(words(&planned(None), &[ahead.clone(), ahead.clone(), ahead]), Err(at(3_600)));
    }
}
