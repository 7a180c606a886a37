//! A rate limit of a queue as workers live with it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_worker as lovage;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lovage::{Client, QueueName, RunningWorker, State, TaskError, Worker, tasks};
use lovage_broker_memory::MemoryStore;
use lovage_core::Clock;
use lovage_testkit::{FakeClock, SeededEntropy};

/// When each run began.
#[derive(Clone, Debug)]
struct Starts(Arc<Mutex<Vec<Duration>>>, Arc<FakeClock>);

#[lovage::task(name = "start")]
async fn start(starts: State<Starts>) -> Result<(), TaskError> {
    starts.0.lock().unwrap().push(starts.1.monotonic());
    Ok(())
}

fn worker(store: &MemoryStore, clock: &Arc<FakeClock>, starts: &Starts, seed: u64) -> RunningWorker {
    let builder = Worker::builder().tasks(tasks![start]).state(starts.clone()).clock(clock.clone());
    let builder = builder.entropy(Arc::new(SeededEntropy::new(seed))).leases_on_thread(false);
    builder.build(store.handle(), None).unwrap().start()
}

#[tokio::test]
async fn two_workers_together_keep_the_rate_and_reach_it() {
    let clock = Arc::new(FakeClock::new());
    let store = MemoryStore::new(clock.clone());
    let starts = Starts(Arc::default(), Arc::clone(&clock));
    let queue = QueueName::default();
    let broker = store.handle();
    broker.limit(&queue, Some("10/s".parse().unwrap())).await.unwrap();
    let client = Client::with_clock_and_entropy(broker, None, clock.clone(), Arc::new(SeededEntropy::new(1)));
    let _workers = [2, 3].map(|seed| worker(&store, &clock, &starts, seed));
    for _ in 0..1_000 {
        start::delay(&client).await.unwrap();
    }
    let from = clock.monotonic();
    while clock.monotonic() < from + Duration::from_secs(60) {
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_millis(10));
    }
    let starts = starts.0.lock().unwrap().clone();
    let burst = 2;
    for (at, first) in starts.iter().enumerate() {
        let within = starts[at..].iter().filter(|start| **start < *first + Duration::from_secs(1)).count();
        assert!(within <= 10 + burst, "{within} in the second from {first:?}");
    }
    assert!((580..=600 + burst).contains(&starts.len()), "{} of 600 in a minute", starts.len());
}
