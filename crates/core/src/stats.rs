//! What happened per minute, for charts: counted where tasks end, so that nobody has to count results.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{BackendError, QueueName, TaskState, Timestamp};

/// How long what was counted is kept unless said otherwise: 8 days, so that a week can be seen on each of its days.
pub const KEEP: Duration = Duration::from_secs(8 * 86_400);
/// Points of a [`Window`] at most.
pub const POINTS: u64 = 1_000;

const MINUTE: Duration = Duration::from_secs(60);
/// Points that [`Window::last`] aims at.
const WANTED_POINTS: u64 = 200;

/// A store of what was counted. Beside results, where those are in a database.
///
/// 1. `add` adds: what several workers count for the same minute, queue and task is one sum. It is not idempotent, so a
///    batch whose answer was lost is better dropped than added again.
/// 2. `sample` keeps the most that was seen: several samples of a queue in one minute are one.
/// 3. Reading sums (samples: takes the most of) the minutes of each step. Steps in which nothing happened are not answered.
///    It reads what was kept for such steps, and not every minute of a week.
/// 4. Instants are those of the workers' clocks: they are given, never made here.
#[async_trait]
pub trait StatsStore: Send + Sync + fmt::Debug {
    /// Adds what was counted; [`Tally::at`] is rounded down to its minute. All of a batch, or nothing on an error.
    async fn add(&self, batch: &[Tally]) -> Result<(), BackendError>;

    /// What was counted, by step, queue and task.
    async fn read(&self, window: Window) -> Result<Vec<Tally>, BackendError>;

    /// Adds what queues looked like; [`DepthSample::at`] is rounded down to its minute.
    async fn sample(&self, batch: &[DepthSample]) -> Result<(), BackendError>;

    /// The queues that have a sample in the minute of this instant, by name.
    async fn sampled(&self, at: Timestamp) -> Result<Vec<QueueName>, BackendError>;

    /// What queues looked like, by step and queue.
    async fn depths(&self, window: Window) -> Result<Vec<DepthSample>, BackendError>;

    /// Removes what was counted and seen before this instant, at most `limit` rows of each; answers how many rows went.
    async fn trim(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError>;
}

/// What was counted of one task in one queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally {
    /// The begin of the minute, or of the step.
    pub at: Timestamp,
    /// The queue.
    pub queue: QueueName,
    /// The task's name.
    pub task: String,
    /// How often.
    pub counts: Counts,
}

/// How runs ended, and how long they took.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Failed attempts that will be tried again.
    pub retried: u64,
    /// Tasks that were cancelled, replaced or discarded.
    pub cancelled: u64,
    /// Tasks that expired before they started.
    pub expired: u64,
    /// From a task's publish (from its slot, where a schedule sent it) to its first start. The delay that a task was sent
    /// with is part of it.
    pub wait: Histogram,
    /// How long each attempt ran.
    pub run: Histogram,
}

impl Counts {
    /// Counts an end; states that are none are not counted.
    pub fn end(&mut self, state: TaskState) {
        match state {
            TaskState::Success => self.succeeded += 1,
            TaskState::Failure => self.failed += 1,
            TaskState::Retry => self.retried += 1,
            TaskState::Revoked | TaskState::Discarded => self.cancelled += 1,
            TaskState::Expired => self.expired += 1,
            TaskState::Pending | TaskState::Scheduled | TaskState::Started => {}
        }
    }

    /// Adds what others counted.
    pub fn add(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.retried += other.retried;
        self.cancelled += other.cancelled;
        self.expired += other.expired;
        self.wait.add(&other.wait);
        self.run.add(&other.run);
    }

    /// All ends, retried attempts included.
    #[must_use]
    pub fn ends(&self) -> u64 {
        self.succeeded + self.failed + self.retried + self.cancelled + self.expired
    }
}

/// How many durations fell into which bucket. Buckets are fixed: ten per decade, from 100 µs to 100,000 s (27.8 h), so sums
/// of histograms are as exact as one histogram. Serialized as a map of the buckets that are not empty.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram(BTreeMap<u8, u64>);

impl Histogram {
    /// The last bucket: everything that is longer than the longest bound.
    const LAST: u8 = 91;
    /// Bounds of the first decade in microseconds.
    const DECADE: [u64; 10] = [100, 126, 158, 200, 251, 316, 398, 501, 631, 794];

    /// Counts a duration.
    pub fn record(&mut self, time: Duration) {
        self.record_many(time, 1);
    }

    /// Counts a duration several times.
    pub fn record_many(&mut self, time: Duration, times: u64) {
        if times > 0 {
            *self.0.entry(Self::bucket(time)).or_default() += times;
        }
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// A duration that the share `p` (0 to 1) of all is not above; `None` when nothing was counted. It is the upper bound of
    /// a bucket: never below the exact one, and at most 27 % above it; exact ones below 100 µs answer 100 µs. What is longer
    /// than the longest bound answers that bound (100,000 s), which is below it.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Option<Duration> {
        let count = self.count();
        // Less a trifle: 0.07 of 100 is a little more than 7 in floats.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and the count, by the clamp"
        )]
        let rank = ((count as f64 * p - 1e-9).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        let bucket = self.0.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        bucket.map(|(bucket, _)| Self::bound(*bucket))
    }

    /// The buckets that are not empty, the shortest first: the longest duration that falls into each, and how many did. The
    /// very last one has no bound and tells the one before it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.0.iter().map(|(bucket, count)| (Self::bound(*bucket), *count))
    }

    fn bucket(time: Duration) -> u8 {
        let (mut low, mut high) = (0, Self::LAST);
        // The first bucket whose bound is not below it.
        while low < high {
            let middle = low.midpoint(high);
            if Self::bound(middle) < time { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The longest duration that falls into a bucket.
    fn bound(bucket: u8) -> Duration {
        let bucket = bucket.min(Self::LAST - 1);
        let micros = Self::DECADE[usize::from(bucket % 10)] * 10_u64.pow(u32::from(bucket / 10));
        Duration::from_micros(micros)
    }
}

/// What a queue looked like in one minute; of a step it is the most of each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DepthSample {
    /// The begin of the minute, or of the step.
    pub at: Timestamp,
    /// The queue.
    pub queue: QueueName,
    /// Waiting for a worker.
    pub ready: u64,
    /// In the hands of workers.
    pub leased: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// Dead letters.
    pub dead: u64,
    /// How long the oldest ready one had been waiting; zero where none was.
    pub oldest: Duration,
}

impl DepthSample {
    /// What a broker answered at an instant.
    #[must_use]
    pub fn new(at: Timestamp, queue: QueueName, depth: &crate::Depth) -> Self {
        Self {
            at,
            queue,
            ready: depth.ready,
            leased: depth.leased,
            delayed: depth.delayed,
            dead: depth.dead,
            oldest: depth.oldest_ready.map_or(Duration::ZERO, |oldest| at.since(oldest)),
        }
    }

    /// Takes over whatever is more in another one.
    pub fn most(&mut self, other: &Self) {
        self.ready = self.ready.max(other.ready);
        self.leased = self.leased.max(other.leased);
        self.delayed = self.delayed.max(other.delayed);
        self.dead = self.dead.max(other.dead);
        self.oldest = self.oldest.max(other.oldest);
    }
}

/// A stretch of time in whole steps, which begin at multiples of their length since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    since: Timestamp,
    until: Timestamp,
    step: Duration,
}

impl Window {
    /// From the step that holds an instant to the end of the one before another instant, or of the one that holds it.
    ///
    /// # Errors
    /// When it is empty, when the step is no whole number of minutes, or when it has more than [`POINTS`] steps.
    pub fn new(since: Timestamp, until: Timestamp, step: Duration) -> Result<Self, String> {
        if step.is_zero() || step.subsec_nanos() > 0 || !step.as_secs().is_multiple_of(60) {
            return Err(format!(
                "a step of {} is not valid: expected whole minutes",
                crate::format_duration(step)
            ));
        }
        if until <= since {
            return Err(format!("the time from {since} to {until} is empty: expected the earlier one first"));
        }
        let window = Self::whole(since, until, step);
        match window.points() {
            0..=POINTS => Ok(window),
            points => {
                Err(format!("{points} steps are too many: expected up to {POINTS}, so take longer steps"))
            }
        }
    }

    /// The time up to now, in steps that make at most about 200 points.
    #[must_use]
    pub fn last(range: Duration, now: Timestamp) -> Self {
        let range = range.clamp(MINUTE, KEEP);
        let fits = |minutes: &u32| range.as_secs() / (u64::from(*minutes) * 60) <= WANTED_POINTS;
        let step = MINUTE * [1, 2, 5, 10, 30, 60].into_iter().find(fits).unwrap_or(60);
        Self::whole(now.minus(range), now.plus(Duration::from_micros(1)), step)
    }

    fn whole(since: Timestamp, until: Timestamp, step: Duration) -> Self {
        let last = floor(until.minus(Duration::from_micros(1)), step);
        Self { since: floor(since, step), until: last.plus(step), step }
    }

    /// The begin of the first step.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// The end, which is not part of it.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// The length of a step.
    #[must_use]
    pub fn step(&self) -> Duration {
        self.step
    }

    /// The step that an instant falls into.
    #[must_use]
    pub fn step_of(&self, at: Timestamp) -> Timestamp {
        floor(at, self.step)
    }

    /// The begins of its steps, the earliest first.
    pub fn steps(&self) -> impl Iterator<Item = Timestamp> {
        let mut next = self.since;
        let (until, step) = (self.until, self.step);
        std::iter::from_fn(move || {
            let at = next;
            next = next.plus(step);
            (at < until).then_some(at)
        })
    }

    fn points(&self) -> u64 {
        self.until.since(self.since).as_secs().div_ceil(self.step.as_secs())
    }
}

/// The begin of the minute of an instant.
#[must_use]
pub fn minute(at: Timestamp) -> Timestamp {
    floor(at, MINUTE)
}

/// The last multiple of a length at or before an instant.
#[must_use]
pub fn floor(at: Timestamp, length: Duration) -> Timestamp {
    let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX).max(1);
    Timestamp::from_micros(at.as_micros().saturating_sub(at.as_micros().rem_euclid(length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_800_010_834_000_000);

    #[test]
    fn a_bucket_holds_what_is_up_to_its_bound() {
        let bucket = |micros| Histogram::bucket(Duration::from_micros(micros));
        assert_eq!((bucket(0), bucket(100), bucket(101), bucket(126), bucket(127)), (0, 0, 1, 1, 2));
        assert_eq!((bucket(794), bucket(795), bucket(1_000), bucket(1_001)), (9, 10, 10, 11));
        let day = Duration::from_secs(86_400);
        assert!(Histogram::bound(Histogram::bucket(day)) >= day);
        assert_eq!(Histogram::bucket(Duration::from_secs(100_000)), Histogram::LAST - 1);
        assert_eq!(Histogram::bucket(Duration::MAX), Histogram::LAST);
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn what_is_stored_is_small() {
        let mut histogram = Histogram::default();
        histogram.record_many(Duration::from_millis(3), 41);
        histogram.record(Duration::from_secs(2));
        let json = serde_json::to_string(&histogram).unwrap();
        assert_eq!(json, r#"{"15":41,"43":1}"#);
        assert_eq!(serde_json::from_str::<Histogram>(&json).unwrap(), histogram);
    }

    #[test]
    fn the_last_of_a_range_has_at_most_about_200_points() {
        for (hours, minutes, points) in [(1, 1, 61), (6, 2, 181), (24, 10, 145), (7 * 24, 60, 169)] {
            let window = Window::last(Duration::from_secs(hours * 3_600), NOW);
            assert_eq!(window.step(), MINUTE * minutes, "{hours}h");
            assert_eq!(window.steps().count(), points, "{hours}h");
            assert_eq!(window.steps().last(), Some(window.step_of(NOW)));
        }
    }

    #[test]
    fn a_window_that_makes_no_sense_is_refused_with_a_reason() {
        let later = NOW.plus(Duration::from_secs(86_400));
        let why = |since, until, step| Window::new(since, until, Duration::from_secs(step)).unwrap_err();
        assert!(why(NOW, later, 90).contains("whole minutes"));
        assert!(why(NOW, later, 0).contains("whole minutes"));
        assert!(why(later, NOW, 60).contains("the earlier one first"));
        assert!(why(NOW, NOW, 60).contains("the earlier one first"));
        assert!(why(NOW, later, 60).contains("longer steps"));
        assert!(Window::new(NOW, later, Duration::from_secs(600)).is_ok());
    }

    proptest! {
        #[test]
        fn a_quantile_is_as_exact_as_documented(
            mut micros in prop::collection::vec(100_u64..80_000_000_000, 1..200),
            percent in 1_usize..=100,
        ) {
            let mut histogram = Histogram::default();
            micros.iter().for_each(|micros| histogram.record(Duration::from_micros(*micros)));
            micros.sort_unstable();
            let exact = Duration::from_micros(micros[(micros.len() * percent).div_ceil(100) - 1]);
            #[expect(clippy::cast_precision_loss, reason = "up to 100")]
            let found = histogram.quantile(percent as f64 / 100.0).unwrap();
            prop_assert!(found >= exact, "{found:?} {exact:?}");
            prop_assert!(found <= exact.mul_f64(1.27), "{found:?} {exact:?}");
        }

        #[test]
        fn sums_are_as_exact_as_one(micros in prop::collection::vec(0_u64..200_000_000_000, 0..50), at in 0_usize..50) {
            let of = |micros: &[u64]| {
                let mut histogram = Histogram::default();
                micros.iter().for_each(|micros| histogram.record(Duration::from_micros(*micros)));
                histogram
            };
            let (before, after) = micros.split_at(at.min(micros.len()));
            let mut sum = of(before);
            sum.add(&of(after));
            prop_assert_eq!(sum, of(&micros));
        }
    }
}
