//! Whether a task holds its thread, and whether the loop goes on: judged by who looks from another thread. What is looked at
//! costs those that run a store or two, and no look at a clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lovage_core::Timestamp;

/// How far apart looks are.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
/// A poll that is under way in so many looks in a row blocks. Looks are counted and not time: after a sleep of the whole
/// process the next look is only one more.
const BLOCKS: u32 = 4;
/// A loop that was asked and made no turn in so many looks is stuck, the one of the asking included.
const STUCK: u32 = 3;

/// The polls of a run: an odd number while one is under way.
#[derive(Debug, Default)]
pub(crate) struct Polls(AtomicU32);

impl Polls {
    /// Polls. Only one thread at a time does, so that nothing is lost between the load and the stores.
    pub(crate) fn around<T>(&self, poll: impl FnOnce() -> T) -> T {
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(before.wrapping_add(1), Ordering::Relaxed);
        let polled = poll();
        self.0.store(before.wrapping_add(2), Ordering::Relaxed);
        polled
    }

    /// The number of the poll that is under way.
    pub(crate) fn under_way(&self) -> Option<u32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|number| number % 2 == 1)
    }
}

/// What looks saw of one run.
#[derive(Debug, Default)]
pub(crate) struct Look {
    poll: u32,
    seen: u32,
    since: Timestamp,
}

impl Look {
    /// One more look; true when it finds, the first time, that this poll blocks.
    pub(crate) fn again(&mut self, under_way: Option<u32>, now: Timestamp) -> bool {
        match under_way {
            Some(poll) if self.seen > 0 && self.poll == poll => self.seen = self.seen.saturating_add(1),
            Some(poll) => *self = Self { poll, seen: 1, since: now },
            None => *self = Self::default(),
        }
        self.seen == BLOCKS
    }

    /// Since when it was seen in the poll that blocks.
    pub(crate) fn blocks_since(&self) -> Option<Timestamp> {
        (self.seen >= BLOCKS).then_some(self.since)
    }
}

/// What looks saw of the loop.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    turns: u32,
    still: u32,
    since: Timestamp,
}

/// What is to be done about the loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Loop {
    /// It goes on.
    Goes,
    /// It may only have nothing to do: whoever asks it knows with the next look.
    Ask,
    /// It was asked, and there was no look at the answer yet, or only one.
    Asked,
    /// It does not answer since then.
    Stuck(Timestamp),
}

impl Pulse {
    /// One more look at the number of its turns.
    pub(crate) fn again(&mut self, turns: u32, now: Timestamp) -> Loop {
        if self.turns != turns {
            *self = Self { turns, ..Self::default() };
            return Loop::Goes;
        }
        self.still = self.still.saturating_add(1);
        match self.still {
            1 => {
                self.since = now;
                Loop::Ask
            }
            still if still < STUCK => Loop::Asked,
            _ => Loop::Stuck(self.since),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn a_poll_is_under_way_until_it_ends() {
        let polls = Polls::default();
        let during = polls.around(|| polls.under_way());
        assert_eq!((during, polls.under_way()), (Some(1), None));
        assert_eq!(polls.around(|| polls.under_way()), Some(3));
    }

    #[test]
    fn only_the_same_poll_in_many_looks_blocks() {
        let mut look = Look::default();
        for (second, poll) in (0..100).zip((1..).step_by(2).flat_map(|poll: u32| [poll; 3])) {
            assert!(!look.again(Some(poll), at(second)), "each poll is seen three times");
            assert_eq!(look.blocks_since(), None);
        }
        let news: Vec<bool> = (100..106).map(|second| look.again(Some(999), at(second))).collect();
        assert_eq!(news, [false, false, false, true, false, false], "it is news once");
        assert_eq!(look.blocks_since(), Some(at(100)));
        assert!(!look.again(None, at(106)));
        assert_eq!(look.blocks_since(), None);
    }

    #[test]
    fn a_loop_that_has_nothing_to_do_is_not_stuck() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.again(5, at(0)), Loop::Goes);
        assert_eq!(pulse.again(5, at(1)), Loop::Ask);
        assert_eq!(pulse.again(6, at(2)), Loop::Goes, "it answered");
        assert_eq!(pulse.again(6, at(3)), Loop::Ask);
        assert_eq!(pulse.again(6, at(4)), Loop::Asked);
        assert_eq!(pulse.again(6, at(5)), Loop::Stuck(at(3)));
        assert_eq!(pulse.again(6, at(6)), Loop::Stuck(at(3)));
        assert_eq!(pulse.again(8, at(7)), Loop::Goes);
    }
}
