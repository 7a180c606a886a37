//! The messages of a plan, and what the broker's answers mean for it.

use lovage_core::schedule::{Advance, Firing, Skip};
use lovage_core::{
    BackendError, Delay, Entropy, Envelope, Fence, Message, Published, ScheduledSlot, TaskId, Timestamp,
    UniqueClaim, UniquePolicy,
};

use crate::Planned;

/// The message for a slot. Its id follows from entry and fence: whoever finds the slot published knows as which task.
pub(crate) fn message(planned: &Planned, slot: Timestamp) -> Message {
    let entry = &planned.stored.entry;
    let name = entry.name.as_str().to_owned();
    let fence = planned.fence(slot);
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
        id: task_id(&name, fence),
        queue: entry.queue.clone(),
        priority: entry.priority,
        delay: Delay::None,
        unique,
        fence: Some(Fence { name, slot: fence }),
        body: envelope.encode(),
    }
}

/// What is to be written when the broker answered for each slot.
pub(crate) fn advance(planned: &Planned, answers: &[Published], now: Timestamp) -> Advance {
    let name = &planned.stored.entry.name;
    let mut firings: Vec<Firing> = planned.passed.clone().into_iter().collect();
    let mut has_run = false;
    let mut error = None;
    for (&slot, answer) in planned.slots.iter().zip(answers) {
        let fence = planned.fence(slot);
        let id = task_id(name.as_str(), fence);
        let skipped = |why| Firing::skipped(name.clone(), (slot, slot), now, why);
        match answer {
            Published::Accepted => firings.push(Firing::fired(name.clone(), slot, now, id)),
            // A beat that died before it wrote so, or one that is ahead of us.
            Published::Duplicate { holder } if *holder == id => {
                firings.push(Firing::fired(name.clone(), slot, now, id));
            }
            Published::Duplicate { holder } => firings.push(skipped(Skip::Overlap(*holder))),
            // Whoever published a later slot of this plan had this one in its plan too. Of a slot beyond the plan
            // nothing is known here: whoever published it writes what became of this one.
            Published::Stale { newest } => {
                has_run = true;
                if planned.slots.iter().any(|slot| planned.fence(*slot) == *newest) {
                    firings.push(Firing::fired(name.clone(), slot, now, id));
                }
            }
            Published::Full { limit } => {
                let why = format!("the queue is full: it has reached its length of {limit}");
                firings.push(skipped(Skip::Refused(why.clone())));
                error = Some(why);
            }
        }
    }
    let mut advance = Advance::new(&planned.stored, planned.done_until, firings);
    if has_run && planned.stored.entry.one_off {
        (advance.ends, advance.next_run_at) = (true, None);
    }
    match error {
        Some(error) => advance.with_error(error),
        None => advance,
    }
}

/// What is to be written when the broker refuses the messages of an entry altogether.
pub(crate) fn refused(planned: &Planned, error: &BackendError, now: Timestamp) -> Advance {
    let name = &planned.stored.entry.name;
    let refused = planned
        .slots
        .iter()
        .map(|slot| Firing::skipped(name.clone(), (*slot, *slot), now, Skip::Refused(error.to_string())));
    let firings = planned.passed.clone().into_iter().chain(refused).collect();
    Advance::new(&planned.stored, planned.done_until, firings).with_error(error.to_string())
}

/// The same in every beat.
fn task_id(name: &str, fence: Timestamp) -> TaskId {
    TaskId::new(fence, &SlotEntropy { name, slot: fence })
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
