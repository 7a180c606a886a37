//! What a worker counts, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_worker as lovage;

use std::sync::Arc;
use std::time::Duration;

use lovage::{Client, RunningWorker, TaskError, Worker, tasks};
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_core::stats::{Counts, StatsStore, Window};
use lovage_core::{Clock as _, QueueName, ResultStore, Timestamp};
use lovage_testkit::{FakeClock, SeededEntropy};

#[lovage::task(name = "add")]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[lovage::task(name = "flaky", retries = 1, retry_delay = "1s")]
async fn flaky() -> Result<(), TaskError> {
    Err(TaskError::new("no"))
}

struct World {
    clock: Arc<FakeClock>,
    store: MemoryStore,
    results: Arc<MemoryResults>,
    client: Client,
    begin: Timestamp,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(FakeClock::new());
        let store = MemoryStore::new(clock.clone());
        let results = Arc::new(MemoryResults::new(clock.clone()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let client =
            Client::with_clock_and_entropy(store.handle(), Some(results.clone()), clock.clone(), entropy);
        let begin = clock.now();
        Self { clock, store, results, client, begin }
    }

    fn worker(&self) -> RunningWorker {
        let builder = Worker::builder().tasks(tasks![add, flaky]).clock(self.clock.clone());
        let builder = builder.entropy(Arc::new(SeededEntropy::new(2))).leases_on_thread(false);
        builder.build(self.store.handle(), Some(self.results.clone())).unwrap().start()
    }

    fn window(&self) -> Window {
        Window::new(self.begin, self.clock.now().plus(Duration::from_secs(60)), Duration::from_secs(60))
            .unwrap()
    }

    async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds * 2 {
            self.settle().await;
            self.clock.advance(Duration::from_millis(500));
        }
        self.settle().await;
    }

    async fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        let stats = self.results.stats().unwrap();
        stats.read(self.window()).await.unwrap().iter().for_each(|tally| sum.add(&tally.counts));
        sum
    }

    async fn samples(&self) -> usize {
        self.results.depths(self.window()).await.unwrap().len()
    }
}

#[tokio::test]
async fn ends_are_counted_and_added_after_a_while() {
    let world = World::new();
    let _worker = world.worker();
    for _ in 0..3 {
        add::delay(&world.client, 1, 2).await.unwrap();
    }
    flaky::delay(&world.client).await.unwrap();
    world.pass(5).await;
    assert_eq!(world.counts().await.ends(), 0, "they are not written one by one");
    world.pass(20).await;
    let counts = world.counts().await;
    assert_eq!((counts.succeeded, counts.retried, counts.failed), (3, 1, 1));
    assert_eq!((counts.wait.count(), counts.run.count()), (4, 5), "a retry does not wait again");
}

#[tokio::test]
async fn a_worker_that_stops_adds_the_last() {
    let world = World::new();
    let worker = world.worker();
    add::delay(&world.client, 1, 2).await.unwrap();
    world.pass(2).await;
    assert_eq!(world.counts().await.ends(), 0);
    worker.stop();
    let joined = tokio::spawn(worker.join());
    world.pass(3).await;
    joined.await.unwrap().unwrap();
    assert_eq!(world.counts().await.succeeded, 1);
}

#[tokio::test]
async fn only_a_worker_that_works_looks_at_its_queues() {
    let world = World::new();
    let _worker = world.worker();
    world.pass(180).await;
    assert_eq!(world.samples().await, 0, "it had nothing to do");
    add::delay(&world.client, 1, 2).await.unwrap();
    world.pass(30).await;
    assert_eq!(world.samples().await, 1);
    world.pass(300).await;
    let samples = world.samples().await;
    assert!((1..=2).contains(&samples), "once more at most, to see how it ended: {samples}");
}

#[tokio::test]
async fn what_is_old_is_removed_while_a_worker_works() {
    let world = World::new();
    let old = world.begin.minus(Duration::from_secs(9 * 86_400));
    let tally = lovage_core::stats::Tally {
        at: old,
        queue: QueueName::default(),
        task: "add".to_owned(),
        counts: Counts { succeeded: 1, ..Counts::default() },
    };
    world.results.add(&[tally]).await.unwrap();
    let window = Window::new(old, old.plus(Duration::from_secs(60)), Duration::from_secs(60)).unwrap();
    let _worker = world.worker();
    add::delay(&world.client, 1, 2).await.unwrap();
    world.pass(150).await;
    assert!(world.results.read(window).await.unwrap().is_empty());
}
