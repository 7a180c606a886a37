//! Which queues grow, from what this dashboard saw of them in the last half minute.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

/// Looks that are kept are so far apart: a queue is only briefly ahead of its workers in between.
const APART: Duration = Duration::from_secs(4);
/// A queue grows that does for so long.
const LONG: Duration = Duration::from_secs(15);
/// Who did not look for so long knows nothing of the time between.
const FORGET: Duration = Duration::from_secs(20);
/// A head that waits for so long, or so many tasks that are a tenth of the queue, are more than the noise of a busy queue.
const WAITS: Duration = Duration::from_secs(5);
const MANY: u64 = 100;

/// How a queue grew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct Growth {
    /// How many more wait.
    pub(crate) tasks: u64,
    /// In how many seconds.
    pub(crate) seconds: u64,
}

/// What was seen of all queues.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<String, Trend>>);

impl Seen {
    /// One more look at a queue: how many wait, and for how long the head does.
    pub(crate) fn look(&self, queue: &str, ready: u64, waits: Duration, now: Duration) -> Option<Growth> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get_mut(queue) {
            Some(trend) => trend.look(ready, waits, now),
            None => seen.entry(queue.to_owned()).or_default().look(ready, waits, now),
        }
    }

    /// Keeps only what was seen lately.
    pub(crate) fn forget(&self, now: Duration) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, trend| trend.is_known(now));
    }
}

/// Looks at one queue, each higher than the one before.
#[derive(Debug, Default)]
struct Trend(VecDeque<(Duration, u64)>);

impl Trend {
    fn look(&mut self, ready: u64, waits: Duration, now: Duration) -> Option<Growth> {
        if !self.is_known(now) {
            self.0.clear();
        }
        match self.0.back() {
            Some((at, _)) if now.saturating_sub(*at) < APART => {}
            last => {
                if last.is_some_and(|(_, before)| *before >= ready) {
                    self.0.clear();
                }
                self.0.push_back((now, ready));
            }
        }
        // The first look is the last one that is long enough ago.
        while self.0.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= LONG) {
            self.0.pop_front();
        }
        let ((from, first), (_, last)) = (*self.0.front()?, *self.0.back()?);
        let is_long = self.0.len() > 2 && now.saturating_sub(from) >= LONG;
        // What drains since the last look that is kept does not grow.
        let still = ready > first.midpoint(last);
        let tasks = ready.saturating_sub(first);
        let is_much = waits >= WAITS || (tasks >= MANY && tasks >= first / 10);
        (is_long && still && is_much).then(|| Growth { tasks, seconds: now.saturating_sub(from).as_secs() })
    }

    fn is_known(&self, now: Duration) -> bool {
        self.0.back().is_some_and(|(at, _)| now.saturating_sub(*at) < FORGET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said at each of some looks, `(second, ready)`, at a head that waits for so long.
    fn said(waits: u64, looks: impl IntoIterator<Item = (u64, u64)>) -> Vec<Option<u64>> {
        let mut trend = Trend::default();
        let waits = Duration::from_secs(waits);
        let grown = |(second, ready)| trend.look(ready, waits, Duration::from_secs(second));
        looks.into_iter().map(grown).map(|growth| growth.map(|growth| growth.tasks)).collect()
    }

    #[test]
    fn a_queue_that_grows_all_the_time_is_said_within_half_a_minute() {
        let told = said(5, (0..60).map(|second| (second, second)));
        let first = told.iter().position(Option::is_some).unwrap();
        assert!((15..=20).contains(&first), "{first}");
        assert!(told[first..].iter().all(Option::is_some), "and as long as it grows: {told:?}");
        let by_tens = said(5, (0..6).map(|look| (10 * look, look)));
        assert_eq!(by_tens.iter().position(Option::is_some), Some(2));
        let fast = said(0, (0..60).map(|second| (second, 1_000 * second)));
        assert!(fast[20..].iter().all(Option::is_some), "{fast:?}");
    }

    #[test]
    fn a_burst_that_drains_and_a_queue_that_is_briefly_ahead_are_not() {
        let burst = (0..60).map(|second| (second, if second < 5 { 0 } else { 10_000 - 100 * second }));
        let ahead = (0..120).map(|second| (second, 500 + second % 10 * 50));
        let twice = [(0, 10), (30, 20), (60, 30), (90, 40)];
        for told in [said(60, burst), said(60, ahead), said(60, twice), said(60, (0..60).map(|s| (s, 7)))] {
            assert!(told.iter().all(Option::is_none), "{told:?}");
        }
        let noise = said(1, (0..60).map(|second| (second, 1_000 + second)));
        assert!(noise.iter().all(Option::is_none), "{noise:?}");
    }

    #[test]
    fn what_drains_again_is_no_longer_said() {
        let told = said(5, (0..31).map(|second| (second, if second < 30 { second } else { 3 })));
        assert_eq!((told[29].is_some(), told[30]), (true, None));
    }

    #[test]
    fn queues_that_nobody_looks_at_are_forgotten() {
        let seen = Seen::default();
        seen.look("q", 1, Duration::ZERO, Duration::ZERO);
        seen.forget(Duration::from_secs(19));
        assert_eq!(seen.0.lock().unwrap().len(), 1);
        seen.forget(Duration::from_secs(20));
        assert!(seen.0.lock().unwrap().is_empty());
    }
}
