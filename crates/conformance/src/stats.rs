//! The contract of what is counted per minute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lovage_core::stats::{Counts, DepthSample, Tally, Window};
use lovage_core::{QueueName, ResultStore, Timestamp};

use crate::StoreBed;

/// Makes one test for each case of the contract of stores that count. Takes what [`store_suite`](crate::store_suite) takes.
#[macro_export]
macro_rules! stats_suite {
    ($bed:path) => {
        /// What the module below can name, wherever the caller's function is.
        async fn __stats_bed() -> ::std::boxed::Box<dyn $crate::StoreBed> {
            $bed().await
        }

        $crate::__stats_cases! {
            what_is_counted_comes_back
            two_workers_add_to_the_same_minute
            concurrent_additions_are_all_kept
            one_batch_may_name_a_minute_twice
            queues_and_tasks_are_apart
            steps_sum_their_minutes
            a_week_is_read_by_the_hour
            what_is_outside_of_the_window_is_not_read
            a_window_without_anything_is_empty
            odd_names_are_only_names
            a_sample_comes_back
            several_samples_of_a_minute_are_the_most_of_them
            a_step_of_samples_is_the_most_of_them
            sampled_queues_are_told
            what_is_old_is_trimmed
            trimming_respects_its_limit
            empty_batches_do_nothing
            full_batches_are_taken
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __stats_cases {
    ($($case:ident)*) => {
        mod stats {
            $(
                #[test]
                fn $case() {
                    $crate::run(async {
                        let bed = super::__stats_bed().await;
                        $crate::stats::$case(&*bed).await;
                    });
                }
            )*
        }
    };
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// An instant: a whole even hour, and this many seconds.
fn t(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_800_014_400_000_000).plus(Duration::from_secs(seconds))
}

fn window(since: u64, until: u64, step: u64) -> Window {
    Window::new(t(since), t(until), Duration::from_secs(step)).expect("a window")
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).expect("a name")
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// So many runs that succeeded within 3 ms after 2 s.
fn runs(seconds: u64, task: &str, succeeded: u64) -> Tally {
    let mut counts = Counts { succeeded, ..Counts::default() };
    counts.wait.record_many(millis(2_000), succeeded);
    counts.run.record_many(millis(3), succeeded);
    Tally { at: t(seconds), queue: queue("q"), task: task.to_owned(), counts }
}

fn depth(seconds: u64, name: &str, ready: u64) -> DepthSample {
    DepthSample {
        at: t(seconds),
        queue: queue(name),
        ready,
        leased: 0,
        delayed: 0,
        dead: 0,
        oldest: millis(0),
    }
}

/// What cases do with a store.
struct Desk(Arc<dyn ResultStore>);

impl Desk {
    async fn at(bed: &dyn StoreBed) -> Self {
        Self(bed.store().await)
    }

    fn stats(&self) -> &dyn lovage_core::stats::StatsStore {
        self.0.stats().expect("this store counts")
    }

    async fn add(&self, batch: &[Tally]) {
        self.stats().add(batch).await.expect("the store adds");
    }

    async fn sample(&self, batch: &[DepthSample]) {
        self.stats().sample(batch).await.expect("the store takes samples");
    }

    /// In the order of instant, queue and task.
    async fn read(&self, window: Window) -> Vec<Tally> {
        let mut read = self.stats().read(window).await.expect("the store reads");
        read.sort_by(|a, b| (a.at, &a.queue, &a.task).cmp(&(b.at, &b.queue, &b.task)));
        read
    }

    async fn depths(&self, window: Window) -> Vec<DepthSample> {
        let mut read = self.stats().depths(window).await.expect("the store reads");
        read.sort_by(|a, b| (a.at, &a.queue).cmp(&(b.at, &b.queue)));
        read
    }

    async fn succeeded(&self, window: Window) -> Vec<(Timestamp, u64)> {
        self.read(window).await.into_iter().map(|tally| (tally.at, tally.counts.succeeded)).collect()
    }
}

/// Every field survives; the instant is that of its minute.
pub async fn what_is_counted_comes_back(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let mut counts =
        Counts { succeeded: 5, failed: 4, retried: 3, cancelled: 2, expired: 1, ..Counts::default() };
    for time in [0, 3, 3, 70_000] {
        counts.wait.record(millis(time));
        counts.run.record(millis(time * 2));
    }
    counts.wait.record(Duration::MAX);
    let tally = Tally { at: t(119), queue: queue("q"), task: "add".to_owned(), counts };
    desk.add(std::slice::from_ref(&tally)).await;
    let expected = Tally { at: t(60), ..tally };
    assert_eq!(Desk::at(bed).await.read(window(0, HOUR, MINUTE)).await, [expected]);
}

/// Sums, of their durations too.
pub async fn two_workers_add_to_the_same_minute(bed: &dyn StoreBed) {
    let (one, other) = (Desk::at(bed).await, Desk::at(bed).await);
    one.add(&[runs(5, "add", 3)]).await;
    let slow = {
        let mut slow = runs(50, "add", 0);
        slow.counts.failed = 1;
        slow.counts.run.record(Duration::from_secs(9));
        slow
    };
    other.add(std::slice::from_ref(&slow)).await;
    one.add(&[runs(59, "add", 4)]).await;
    let mut expected = runs(0, "add", 7);
    expected.counts.add(&slow.counts);
    assert_eq!(one.read(window(0, HOUR, MINUTE)).await, [expected]);
}

/// Nobody overwrites what another one adds at the same time, and nobody waits for ever.
pub async fn concurrent_additions_are_all_kept(bed: &dyn StoreBed) {
    let mut adding = Vec::new();
    for worker in 0..4 {
        let store = bed.store().await;
        adding.push(tokio::spawn(async move {
            for _ in 0..10 {
                let mut batch = [runs(0, "a", 1), runs(0, "b", 1), runs(60, "a", 1)];
                if worker % 2 == 0 {
                    batch.reverse();
                }
                let stats = store.stats().expect("this store counts");
                stats.add(&batch).await.expect("the store adds");
            }
        }));
    }
    for one in adding {
        one.await.expect("no panic");
    }
    let read = Desk::at(bed).await.read(window(0, HOUR, MINUTE)).await;
    assert_eq!(read, [runs(0, "a", 40), runs(0, "b", 40), runs(60, "a", 40)]);
}

/// As one who counts finely does.
pub async fn one_batch_may_name_a_minute_twice(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.add(&[runs(1, "add", 3), runs(2, "add", 4)]).await;
    assert_eq!(desk.read(window(0, HOUR, MINUTE)).await, [runs(0, "add", 7)]);
}

/// Each task of each queue has its own sum.
pub async fn queues_and_tasks_are_apart(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let elsewhere = Tally { queue: queue("other"), ..runs(0, "add", 9) };
    desk.add(&[runs(0, "add", 1), runs(0, "multiply", 2), elsewhere.clone()]).await;
    let read = desk.read(window(0, HOUR, MINUTE)).await;
    assert_eq!(read, [elsewhere, runs(0, "add", 1), runs(0, "multiply", 2)]);
}

/// Whatever the length of a step is.
pub async fn steps_sum_their_minutes(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let minutes: Vec<Tally> = (0..3 * 60).map(|minute| runs(minute * MINUTE, "add", 1)).collect();
    desk.add(&minutes).await;
    for minutes in [1, 2, 5, 10, 20, 30, 60, 120] {
        let step = minutes * MINUTE;
        let read = desk.succeeded(window(0, 2 * HOUR, step)).await;
        let expected: Vec<_> = (0..120 / minutes).map(|n| (t(n * step), minutes)).collect();
        assert_eq!(read, expected, "{minutes} minutes");
    }
    // The first step is a whole one, although the window begins within it.
    let read = desk.succeeded(window(25 * MINUTE, 40 * MINUTE, 10 * MINUTE)).await;
    assert_eq!(read, [(t(20 * MINUTE), 10), (t(30 * MINUTE), 10)]);
}

/// Of a range that is there for everybody to ask for.
pub async fn a_week_is_read_by_the_hour(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let minutes = |day: u64| [runs(day * DAY, "add", 1), runs(day * DAY + 59 * MINUTE, "add", 2)];
    desk.add(&(0..7).flat_map(minutes).collect::<Vec<_>>()).await;
    let week = Window::last(Duration::from_secs(7 * DAY), t(7 * DAY));
    assert_eq!(week.step(), Duration::from_secs(HOUR));
    let expected: Vec<_> = (0..7).map(|day| (t(day * DAY), 3)).collect();
    assert_eq!(desk.succeeded(week).await, expected);
}

/// The end is not part of it.
pub async fn what_is_outside_of_the_window_is_not_read(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let outside = [runs(0, "add", 1), runs(60, "add", 2), runs(120, "add", 3), runs(180, "add", 4)];
    desk.add(&outside).await;
    desk.sample(&outside.map(|tally| depth(tally.at.since(t(0)).as_secs(), "q", 1))).await;
    assert_eq!(desk.succeeded(window(60, 180, MINUTE)).await, [(t(60), 2), (t(120), 3)]);
    let seen: Vec<_> =
        desk.depths(window(60, 180, MINUTE)).await.into_iter().map(|sample| sample.at).collect();
    assert_eq!(seen, [t(60), t(120)]);
}

/// Nothing is no error.
pub async fn a_window_without_anything_is_empty(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    for range in [5 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY] {
        let window = Window::last(Duration::from_secs(range), t(0));
        assert_eq!(desk.read(window).await, []);
        assert_eq!(desk.depths(window).await, []);
    }
}

/// Quotes, backslashes and other alphabets.
pub async fn odd_names_are_only_names(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let mut expected = [runs(0, "a'b\"c\\d", 1), runs(0, "größe.λ", 2), runs(0, "(unreadable)", 3)];
    desk.add(&expected).await;
    expected.sort_by(|a, b| a.task.cmp(&b.task));
    assert_eq!(desk.read(window(0, HOUR, MINUTE)).await, expected);
}

/// Every field survives; the instant is that of its minute.
pub async fn a_sample_comes_back(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let sample = DepthSample { leased: 2, delayed: 3, dead: 4, oldest: millis(61_234), ..depth(119, "q", 1) };
    desk.sample(std::slice::from_ref(&sample)).await;
    let expected = DepthSample { at: t(60), ..sample };
    assert_eq!(Desk::at(bed).await.depths(window(0, HOUR, MINUTE)).await, [expected]);
}

/// Each of their numbers for itself.
pub async fn several_samples_of_a_minute_are_the_most_of_them(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let first = DepthSample { dead: 9, ..depth(0, "q", 5) };
    let second = DepthSample { leased: 3, oldest: millis(70), ..depth(20, "q", 1) };
    desk.sample(&[first, second]).await;
    desk.sample(&[depth(30, "q", 4), depth(30, "other", 1)]).await;
    let expected = DepthSample { leased: 3, dead: 9, oldest: millis(70), ..depth(0, "q", 5) };
    assert_eq!(desk.depths(window(0, HOUR, MINUTE)).await, [depth(0, "other", 1), expected]);
}

/// So that a queue that was long for a minute is seen in a week.
pub async fn a_step_of_samples_is_the_most_of_them(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    for (minute, ready) in [(0, 1), (17, 900), (59, 2), (60, 7)] {
        desk.sample(&[depth(minute * MINUTE, "q", ready)]).await;
    }
    for minutes in [30, 60] {
        let read = desk.depths(window(0, HOUR, minutes * MINUTE)).await;
        assert_eq!(read[0], depth(0, "q", 900), "{minutes} minutes");
        assert_eq!(read.len(), usize::try_from(60 / minutes).expect("few"));
    }
}

/// Those of the minute, so that nobody asks the broker twice.
pub async fn sampled_queues_are_told(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.sample(&[depth(0, "b", 1), depth(59, "a", 1), depth(60, "c", 1)]).await;
    for (seconds, expected) in [(30, vec![queue("a"), queue("b")]), (119, vec![queue("c")]), (120, vec![])] {
        assert_eq!(desk.stats().sampled(t(seconds)).await.expect("the store reads"), expected, "{seconds}");
    }
}

/// What is younger stays, at every step.
pub async fn what_is_old_is_trimmed(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let ages = [0, HOUR, 2 * HOUR];
    desk.add(&ages.map(|at| runs(at, "add", 1))).await;
    desk.sample(&ages.map(|at| depth(at, "q", 1))).await;
    assert!(desk.stats().trim(t(HOUR), 1_000).await.expect("the store trims") > 0);
    assert_eq!(desk.stats().trim(t(HOUR), 1_000).await.expect("the store trims"), 0);
    for step in [MINUTE, 10 * MINUTE, HOUR] {
        let window = window(0, 3 * HOUR, step);
        assert_eq!(desk.succeeded(window).await, [(t(HOUR), 1), (t(2 * HOUR), 1)]);
        assert_eq!(desk.depths(window).await, [depth(HOUR, "q", 1), depth(2 * HOUR, "q", 1)]);
    }
}

/// A store that nobody trimmed for long is trimmed in pieces.
pub async fn trimming_respects_its_limit(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let minutes: Vec<Tally> = (0..100).map(|minute| runs(minute * MINUTE, "add", 1)).collect();
    desk.add(&minutes).await;
    desk.sample(&(0..100).map(|minute| depth(minute * MINUTE, "q", 1)).collect::<Vec<_>>()).await;
    let mut rounds = 0;
    loop {
        match desk.stats().trim(t(DAY), 30).await.expect("the store trims") {
            0 => break,
            gone => assert!(gone <= 60, "{gone}"),
        }
        rounds += 1;
    }
    assert!(rounds >= 4, "{rounds}");
    assert_eq!(desk.read(window(0, DAY, HOUR)).await, []);
    assert_eq!(desk.depths(window(0, DAY, HOUR)).await, []);
}

/// Nothing is done for nothing.
pub async fn empty_batches_do_nothing(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    desk.add(&[]).await;
    desk.sample(&[]).await;
    assert_eq!(desk.stats().trim(t(0), 1_000).await.expect("the store trims"), 0);
}

/// A program with many tasks that was cut off from its store for an hour.
pub async fn full_batches_are_taken(bed: &dyn StoreBed) {
    let desk = Desk::at(bed).await;
    let all: Vec<Tally> = (0..60)
        .flat_map(|minute| (0..50).map(move |task| runs(minute * MINUTE, &format!("task.{task}"), 2)))
        .collect();
    desk.add(&all).await;
    let read = desk.read(window(0, HOUR, HOUR)).await;
    let sums: BTreeMap<&str, u64> =
        read.iter().map(|tally| (tally.task.as_str(), tally.counts.succeeded)).collect();
    assert_eq!(sums.len(), 50);
    assert!(sums.values().all(|sum| *sum == 120), "{sums:?}");
    assert_eq!(desk.read(window(0, HOUR, MINUTE)).await.len(), 3_000);
}
