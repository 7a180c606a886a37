//! Which slots of an entry fire now, and which are passed over.

use std::time::Duration;

use lovage_core::schedule::{Firing, Misfire, Skip, StoredEntry};
use lovage_core::{StoreId, Timestamp};

/// A slot that fires this late was not missed: a beat ran, and was slow.
pub(crate) const ON_TIME: Duration = Duration::from_secs(5);
/// The longest time that a beat may be late because of its own backlog before slots count as missed.
const LONGEST_BACKLOG: Duration = Duration::from_secs(60);
/// Most slots of one entry in one plan; the others are in the next one.
const MOST_SLOTS: usize = 100;

/// When and by which beat an entry is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The store that keeps the entry.
    pub store: StoreId,
    /// The store's clock.
    pub now: Timestamp,
    /// Up to when this beat had sent all that was due. Later slots are late because of its backlog and were not missed.
    pub kept_up_at: Timestamp,
}

impl Moment {
    /// Judged by a beat that has no backlog.
    #[must_use]
    pub const fn new(store: StoreId, now: Timestamp) -> Self {
        Self { store, now, kept_up_at: now }
    }

    /// What should have fired before this instant was missed.
    fn missed_before(&self) -> Timestamp {
        self.now.minus(ON_TIME).min(self.kept_up_at).max(self.now.minus(LONGEST_BACKLOG))
    }
}

/// What is to become of an entry that is due.
///
/// Slots are passed over in a plan of their own, which publishes nothing: who publishes has written before what it leaves
/// out. So all beats that start from the same [`done_until`](StoredEntry::done_until) publish the same slots in the same
/// order. When a later slot was published than the one that is refused as stale, and the entry, read after that, still is
/// not done with the slot, then it was published too: whoever published the later one began no later than here. When the
/// entry is done with it, others have written what became of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Planned {
    /// The store that keeps it.
    pub store: StoreId,
    /// As it was read.
    pub stored: StoredEntry,
    /// To be published, oldest first.
    pub slots: Vec<Timestamp>,
    /// Slots that the misfire policy passes over. Then there are no `slots`, but of an entry that is to run once.
    pub passed: Option<Firing>,
    /// Slots up to this one are done with afterwards.
    pub done_until: Timestamp,
    /// When the entry is due again if there is nothing to publish and nothing is passed over.
    pub idle_until: Option<Timestamp>,
    /// A slot that was the newest published one before the entry was read.
    pub doubt: Option<Timestamp>,
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
pub fn plan(stored: StoredEntry, moment: &Moment) -> Planned {
    let (missed_until, on_time) = due(&stored, moment);
    let entry = &stored.entry;
    let done = stored.done_until;
    let mut slots = match entry.misfire {
        Misfire::Skip => Vec::new(),
        Misfire::Once => entry.newest_between(done, missed_until).into_iter().collect(),
        Misfire::All(most) => newest(&stored, missed_until, most as usize),
    };
    let passed_until = match slots.first() {
        Some(first) => entry.newest_between(done, just_before(*first)),
        None => entry.newest_between(done, missed_until),
    };
    slots.extend(on_time);
    slots.truncate(if entry.one_off { 1 } else { MOST_SLOTS });
    // What is to run once has one fence until it has run: so long it is not done with anything.
    let stays = entry.one_off && slots.is_empty();
    let passed = entry
        .next_slot(done)
        .zip(passed_until.filter(|_| !stays))
        .map(|(first, last)| Firing::skipped(entry.name.clone(), (first, last), moment.now, Skip::Misfire));
    if passed.is_some() && !entry.one_off {
        slots.clear();
    }
    let passed_last = passed.as_ref().map(|passed| passed.last_slot);
    let done_until = slots.last().copied().or(passed_last).unwrap_or(done).max(done);
    let idle_until = entry.next_run_at(missed_until);
    // A clock that was ahead may have fired them: then they are done with. What is to run once has one fence, which knows.
    slots.retain(|slot| entry.one_off || !stored.fired_ahead.contains(slot));
    Planned { store: moment.store, slots, passed, done_until, idle_until, doubt: None, stored }
}

/// Until when slots were missed, and those after it that fire now.
fn due(stored: &StoredEntry, moment: &Moment) -> (Timestamp, Vec<Timestamp>) {
    let (entry, now, missed_before) = (&stored.entry, moment.now, moment.missed_before());
    // Slots up to here were missed whatever their jitter is; they may be millions, and are not walked through.
    let mut missed_until = just_before(missed_before.minus(entry.jitter)).max(stored.done_until);
    let mut fires_at = Timestamp::default();
    let mut on_time = Vec::new();
    for slot in entry.slots_between(missed_until, now) {
        // The fence wants slots in order, so none fires before an older one.
        fires_at = fires_at.max(entry.fires_at(slot));
        if fires_at > now || on_time.len() == MOST_SLOTS {
            break;
        }
        if fires_at < missed_before {
            missed_until = slot;
        } else {
            on_time.push(slot);
        }
    }
    (missed_until, on_time)
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

    fn moment(now: Timestamp) -> Moment {
        Moment::new(StoreId::from_bytes([7; 16]), now)
    }

    fn every(seconds: u64, misfire: Misfire) -> Entry {
        let schedule = Schedule::every(Duration::from_secs(seconds)).unwrap();
        let entry = Entry::new(EntryName::new("e").unwrap(), TaskName::new("t").unwrap(), schedule);
        Entry { misfire, ..entry }
    }

    fn planned(entry: Entry, done: i64, now: i64) -> (Vec<i64>, Option<(i64, i64)>, i64) {
        let plan = plan(StoredEntry::new(entry, at(done)), &moment(at(now)));
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
    fn what_was_missed_goes_by_the_policy_and_is_passed_over_first() {
        // Missed: 10 to 50; 60 is on time.
        let table = [
            (Misfire::Skip, Some(50), vec![60]),
            (Misfire::Once, Some(40), vec![50, 60]),
            (Misfire::All(2), Some(30), vec![40, 50, 60]),
            (Misfire::All(9), None, vec![10, 20, 30, 40, 50, 60]),
        ];
        for (misfire, passed, slots) in table {
            if let Some(last) = passed {
                assert_eq!(planned(every(10, misfire), 0, 61), (vec![], Some((10, last)), last), "{misfire}");
            }
            let done = passed.unwrap_or(0);
            assert_eq!(planned(every(10, misfire), done, 61), (slots, None, 60), "{misfire}");
        }
        assert_eq!(planned(every(10, Misfire::Skip), 0, 39), (vec![], Some((10, 30)), 30));
    }

    /// The beat sent all that was due until 12, and has been busy with a backlog since.
    #[test]
    fn slots_late_by_the_beats_own_backlog_are_not_missed() {
        for misfire in [Misfire::Skip, Misfire::Once] {
            let busy = |now| Moment { kept_up_at: at(12), ..moment(at(now)) };
            let plan = |now| plan(StoredEntry::new(every(10, misfire), at(10)), &busy(now));
            assert_eq!((plan(41).slots, plan(41).passed), (vec![at(20), at(30), at(40)], None), "{misfire}");
            // A minute is the most.
            assert!(plan(91).passed.is_some() || plan(91).slots[0] == at(30), "{misfire}");
        }
    }

    #[test]
    fn slots_that_fired_ahead_of_time_do_not_fire_again() {
        let mut stored = StoredEntry::new(every(10, Misfire::All(9)), at(0));
        stored.fired_ahead = vec![at(20), at(30)];
        let found = plan(stored.clone(), &moment(at(21)));
        assert_eq!((found.slots, found.done_until), (vec![at(10)], at(20)));
        stored.done_until = at(20);
        let found = plan(stored, &moment(at(30)));
        assert_eq!((found.slots, found.passed, found.done_until), (vec![], None, at(30)));
    }

    #[test]
    fn a_long_catch_up_takes_several_plans() {
        let entry = every(1, Misfire::All(600));
        assert_eq!(planned(entry.clone(), 0, 1_000), (vec![], Some((1, 394)), 394));
        let (slots, passed, done) = planned(entry.clone(), 394, 1_000);
        assert_eq!((slots.len(), slots[0], passed, done), (100, 395, None, 494));
        let (slots, passed, _) = planned(entry, done, 1_000);
        assert_eq!((slots[0], passed), (495, None));
    }

    #[test]
    fn what_is_to_run_once_has_one_fence_until_it_is_done_with() {
        for misfire in [Misfire::Skip, Misfire::Once, Misfire::All(5)] {
            let entry = Entry { one_off: true, ..every(10, misfire) };
            let first = plan(StoredEntry::new(entry.clone(), at(0)), &moment(at(10)));
            let later = plan(StoredEntry::new(entry, at(0)), &moment(at(52)));
            assert_eq!((first.slots.len(), later.slots.len()), (1, 1), "{misfire}");
            assert_eq!(first.fence(first.slots[0]), later.fence(later.slots[0]), "{misfire}");
        }
    }

    #[test]
    fn what_is_to_run_once_is_not_done_with_slots_that_it_missed() {
        let entry = Entry { one_off: true, ..every(10, Misfire::Skip) };
        let plan = plan(StoredEntry::new(entry, at(0)), &moment(at(39)));
        assert_eq!((plan.slots.len(), &plan.passed, plan.done_until), (0, &None, at(0)));
        assert_eq!(plan.idle_until, Some(at(40)));
    }

    #[test]
    fn start_and_end_bound_the_slots() {
        let entry = Entry { start_time: Some(at(25)), end_time: Some(at(45)), ..every(10, Misfire::All(9)) };
        assert_eq!(planned(entry.clone(), 0, 24), (vec![], None, 0));
        assert_eq!(planned(entry.clone(), 0, 100), (vec![25, 35, 45], None, 45));
        let after = plan(StoredEntry::new(entry, at(45)), &moment(at(100)));
        assert_eq!((after.slots.len(), after.idle_until), (0, None));
    }

    #[test]
    fn an_empty_plan_says_when_the_entry_is_due() {
        let entry = Entry { jitter: Duration::from_secs(7), ..every(10, Misfire::Once) };
        let fires_at = entry.fires_at(at(10));
        let before = Timestamp::from_micros(fires_at.as_micros() - 1);
        let plan = plan(StoredEntry::new(entry, at(0)), &moment(before));
        assert_eq!((plan.slots.len(), plan.idle_until), (0, Some(fires_at)));
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
            let first = plan(StoredEntry::new(entry.clone(), at(done)), &moment(now));
            prop_assert_eq!(first.passed.as_ref().map(|firing| (firing.slot, firing.last_slot)), passed);
            let second = match passed {
                Some((_, last)) => {
                    prop_assert_eq!((&first.slots, first.done_until), (&vec![], last));
                    plan(StoredEntry::new(entry, last), &moment(now))
                }
                None => first,
            };
            prop_assert_eq!(second.passed, None);
            prop_assert!(!second.slots.is_empty() || second.idle_until.is_none_or(|next| next > now));
            prop_assert_eq!(second.slots, slots);
        }
    }
}
