//! Which slots of an entry fire now, and which are passed over.

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::schedule::{Firing, Misfire, Skip, StoredEntry};

/// A slot that fires this late was not missed: a beat ran, and was slow.
const ON_TIME: Duration = Duration::from_secs(5);
/// Most slots of one entry in one plan; the others are in the next one.
const MOST_SLOTS: usize = 100;

/// What is to become of an entry that is due.
#[derive(Clone, PartialEq, Debug)]
pub struct Planned {
    /// As it was read.
    pub stored: StoredEntry,
    /// To be published, oldest first.
    pub slots: Vec<Timestamp>,
    /// Slots before them that the misfire policy passes over.
    pub passed: Option<Firing>,
    /// Slots up to this one are done with afterwards.
    pub done_until: Timestamp,
}

impl Planned {
    /// The slot by which the broker's fence judges.
    ///
    /// What is to run once has one for everything since it was last done with. Otherwise a beat that died between
    /// publish and advance would be followed by one that finds a newer slot and runs it a second time.
    #[must_use]
    pub fn fence(&self, slot: Timestamp) -> Timestamp {
        if self.stored.entry.one_off {
            self.stored.entry.next_slot(self.stored.done_until).unwrap_or(slot)
        } else {
            slot
        }
    }
}

/// Plans one entry. When nothing of it is due the plan is empty, and carrying it out corrects `next_run_at`.
#[must_use]
pub fn plan(stored: StoredEntry, now: Timestamp) -> Planned {
    let entry = &stored.entry;
    let done = stored.done_until;
    // Slots up to here were missed whatever their jitter is; they may be millions, and are not walked through.
    let old_until = just_before(now.minus(ON_TIME + entry.jitter)).max(done);
    let mut fires_at = Timestamp::default();
    let mut missed_until = old_until;
    let mut on_time = Vec::new();
    for slot in entry.slots_between(old_until, now) {
        // The fence wants slots in order, so none fires before an older one.
        fires_at = fires_at.max(entry.fires_at(slot));
        if fires_at > now || on_time.len() == MOST_SLOTS {
            break;
        }
        if fires_at < now.minus(ON_TIME) {
            missed_until = slot;
        } else {
            on_time.push(slot);
        }
    }
    let mut slots = match entry.misfire {
        Misfire::Skip => Vec::new(),
        Misfire::Once => entry.newest_between(done, missed_until).into_iter().collect(),
        Misfire::All(most) => newest(&stored, missed_until, most as usize),
    };
    let newest_missed = entry.newest_between(done, missed_until);
    let passed_until = match slots.first() {
        Some(first) => entry.newest_between(done, just_before(*first)),
        None => newest_missed,
    };
    slots.append(&mut on_time);
    slots.truncate(if entry.one_off { 1 } else { MOST_SLOTS });
    let passed = entry
        .next_slot(done)
        .zip(passed_until)
        .map(|(first, last)| Firing::skipped(entry.name.clone(), (first, last), now, Skip::Misfire));
    let done_until = slots.last().copied().or(newest_missed).unwrap_or(done).max(done);
    Planned { slots, passed, done_until, stored }
}

/// The newest slots that are not done with and not later than `until`: at most `most`, oldest first.
fn newest(stored: &StoredEntry, until: Timestamp, most: usize) -> Vec<Timestamp> {
    let mut window = Duration::from_secs(1);
    loop {
        let after = until.minus(window).max(stored.done_until);
        let mut slots: Vec<_> = stored.entry.slots_between(after, until).collect();
        if slots.len() >= most || after == stored.done_until {
            slots.drain(..slots.len().saturating_sub(most));
            return slots;
        }
        window = window.saturating_mul(2);
    }
}

fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use lovage_core::schedule::{Entry, Schedule};
    use lovage_core::{EntryName, TaskName};
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn every(seconds: u64, misfire: Misfire) -> Entry {
        let schedule = Schedule::every(Duration::from_secs(seconds)).unwrap();
        let entry = Entry::new(EntryName::new("e").unwrap(), TaskName::new("t").unwrap(), schedule);
        Entry { misfire, ..entry }
    }

    fn planned(entry: Entry, done: i64, now: i64) -> (Vec<i64>, Option<(i64, i64)>, i64) {
        let plan = plan(StoredEntry::new(entry, at(done)), at(now));
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        let passed = plan.passed.map(|firing| (seconds(firing.slot), seconds(firing.last_slot)));
        (plan.slots.into_iter().map(seconds).collect(), passed, seconds(plan.done_until))
    }

    #[test]
    fn a_slot_on_time_fires_whatever_the_misfire_policy() {
        for misfire in [Misfire::Skip, Misfire::Once, Misfire::All(3)] {
            assert_eq!(planned(every(10, misfire), 0, 10), (vec![10], None, 10), "{misfire}");
            assert_eq!(planned(every(10, misfire), 0, 15), (vec![10], None, 10), "{misfire}");
            assert_eq!(planned(every(10, misfire), 0, 9), (vec![], None, 0), "{misfire}");
        }
    }

    #[test]
    fn what_was_missed_goes_by_the_policy() {
        // Missed: 10 to 50; 60 is on time.
        let table = [
            (Misfire::Skip, vec![60], Some((10, 50))),
            (Misfire::Once, vec![50, 60], Some((10, 40))),
            (Misfire::All(2), vec![40, 50, 60], Some((10, 30))),
            (Misfire::All(9), vec![10, 20, 30, 40, 50, 60], None),
        ];
        for (misfire, slots, passed) in table {
            assert_eq!(planned(every(10, misfire), 0, 61), (slots, passed, 60), "{misfire}");
        }
        assert_eq!(planned(every(10, Misfire::Skip), 0, 39), (vec![], Some((10, 30)), 30));
    }

    #[test]
    fn a_long_catch_up_takes_several_plans() {
        let (slots, passed, done) = planned(every(1, Misfire::All(600)), 0, 1_000);
        assert_eq!((slots.len(), slots[0], passed, done), (100, 395, Some((1, 394)), 494));
        let (slots, passed, _) = planned(every(1, Misfire::All(600)), done, 1_000);
        assert_eq!((slots[0], passed), (495, None));
    }

    #[test]
    fn what_is_to_run_once_has_one_fence_until_it_is_done_with() {
        let entry = Entry { one_off: true, ..every(10, Misfire::Once) };
        let first = plan(StoredEntry::new(entry.clone(), at(0)), at(10));
        let later = plan(StoredEntry::new(entry, at(0)), at(29));
        assert_eq!((first.slots.clone(), later.slots.clone()), (vec![at(10)], vec![at(20)]));
        assert_eq!(first.fence(at(10)), later.fence(at(20)));
    }

    proptest! {
        #[test]
        fn it_plans_as_the_model_does(
            seconds in 1_u64..40, done in 0_i64..500, gap in 0_i64..400, jitter in 0_u64..60,
            misfire in prop_oneof![Just(Misfire::Skip), Just(Misfire::Once), (1_u32..9).prop_map(Misfire::All)],
        ) {
            let entry = Entry { jitter: Duration::from_secs(jitter), ..every(seconds, misfire) };
            let now = at(done + gap);
            // Every second is tried, nothing is skipped over.
            let (mut missed, mut fires, mut newest) = (Vec::new(), Vec::new(), at(0));
            for slot in (done + 1..=done + gap).map(at).filter(|slot| entry.schedule.is_slot(*slot)) {
                newest = newest.max(entry.fires_at(slot));
                if newest > now { break }
                if newest < now.minus(ON_TIME) { missed.push(slot) } else { fires.push(slot) }
            }
            let kept = match misfire {
                Misfire::Skip => 0,
                Misfire::Once => 1,
                Misfire::All(most) => most as usize,
            };
            let end = missed.len().saturating_sub(kept);
            let passed = missed[..end].first().copied().zip(missed[..end].last().copied());
            let slots: Vec<_> = missed[end..].iter().chain(&fires).copied().collect();
            prop_assume!(slots.len() <= MOST_SLOTS);
            let found = plan(StoredEntry::new(entry, at(done)), now);
            prop_assert_eq!(found.passed.map(|firing| (firing.slot, firing.last_slot)), passed);
            prop_assert_eq!(found.slots, slots);
        }
    }
}
