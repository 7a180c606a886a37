//! Control is in the store: what a worker does not hear, and what it does not answer, changes nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_worker as lovage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lovage::{
    Client, ClientErrorKind, Explanation, Point, QueueName, RunningWorker, State, TaskError, TaskId,
    TaskState, Worker, tasks,
};
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_core::{BackendErrorKind, Broker, Clock, Reserve, SlotWants, Token};
use lovage_testkit::{FakeClock, Fault, FaultyBroker, Operation, SeededEntropy};

const LEASE: Duration = Duration::from_secs(30);

#[derive(Clone, Default, Debug)]
struct Count(Arc<AtomicU32>);

/// Runs until it is told to stop.
#[lovage::task(name = "waits")]
async fn waits(counter: State<Count>) -> Result<(), TaskError> {
    counter.0.fetch_add(1, Ordering::SeqCst);
    std::future::pending().await
}

#[lovage::task(name = "count")]
async fn count(counter: State<Count>) -> Result<u32, TaskError> {
    Ok(counter.0.fetch_add(1, Ordering::SeqCst) + 1)
}

struct World {
    clock: Arc<FakeClock>,
    store: MemoryStore,
    results: Arc<MemoryResults>,
    client: Client,
    counter: Count,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(FakeClock::new());
        let store = MemoryStore::new(clock.clone());
        let results = Arc::new(MemoryResults::new(clock.clone()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let client =
            Client::with_clock_and_entropy(store.handle(), Some(results.clone()), clock.clone(), entropy);
        Self { clock, store, results, client, counter: Count::default() }
    }

    fn worker(&self, broker: Arc<dyn Broker>, lease: Duration) -> RunningWorker {
        Worker::builder()
            .tasks(tasks![waits, count])
            .state(self.counter.clone())
            .clock(self.clock.clone())
            .entropy(Arc::new(SeededEntropy::new(2)))
            .leases_on_thread(false)
            .lease(lease)
            .name("w")
            .build(broker, Some(self.results.clone()))
            .unwrap()
            .start()
    }

    /// Lets everything run that can without any time passing.
    async fn settle_down(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Moves time on until an explanation begins as expected; answers how long that took.
    async fn until(&self, id: TaskId, expected: impl Fn(&Point) -> bool) -> (Explanation, Duration) {
        let start = self.clock.monotonic();
        for _ in 0..1_000 {
            self.settle_down().await;
            let explanation = self.client.explain(id).await.unwrap();
            if expected(&explanation.points[0]) {
                return (explanation, self.clock.monotonic().saturating_sub(start));
            }
            self.clock.advance(Duration::from_millis(100));
        }
        panic!("never: {}", self.client.explain(id).await.unwrap());
    }

    async fn revoked(&self, id: TaskId) -> Duration {
        let (explanation, took) = self.until(id, |point| matches!(point, Point::Ended(_))).await;
        assert_eq!(explanation.state, Some(TaskState::Revoked));
        took
    }

    fn runs(&self) -> u32 {
        self.counter.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_revocation_that_no_hint_tells_of_is_learned_with_the_next_renewal() {
    let world = World::new();
    let broker = FaultyBroker::new(world.store.handle());
    let _worker = world.worker(broker.clone(), LEASE);
    let handle = waits::delay(&world.client).await.unwrap();
    world.until(handle.id(), |point| matches!(point, Point::Running(_))).await;
    broker.lose_hints();
    handle.cancel().await.unwrap();
    world.settle_down().await;
    let text = world.client.explain(handle.id()).await.unwrap().to_string();
    assert!(text.contains("it was cancelled, and its worker is told to stop it. Worker w runs it"), "{text}");
    let took = world.revoked(handle.id()).await;
    assert!(took <= LEASE / 3 + Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_revocation_reaches_a_worker_that_was_down_when_it_was_said() {
    let world = World::new();
    let waiting = count::delay(&world.client).await.unwrap();
    let delayed = count::call().countdown(Duration::from_secs(3_600)).send(&world.client).await.unwrap();
    waiting.cancel().await.unwrap();
    delayed.cancel().await.unwrap();
    let _worker = world.worker(world.store.handle(), LEASE);
    for handle in [waiting, delayed] {
        assert_eq!(world.revoked(handle.id()).await, Duration::ZERO);
    }
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn every_lease_that_a_worker_holds_is_renewed() {
    let world = World::new();
    let _worker = world.worker(world.store.handle(), LEASE);
    let mut held = Vec::new();
    // One after the other, so that each has a lease of its own.
    for _ in 0..4 {
        let handle = waits::delay(&world.client).await.unwrap();
        world.until(handle.id(), |point| matches!(point, Point::Running(_))).await;
        held.push(handle.id());
    }
    for _ in 0..100 {
        world.clock.advance(Duration::from_secs(1));
        world.settle_down().await;
    }
    for id in held {
        let found = world.client.broker().find(id, None).await.unwrap().unwrap();
        assert_eq!((found.state(), found.delivery, found.losses), (TaskState::Started, 1, 0));
    }
    assert_eq!(world.runs(), 4);
}

/// Whatever the lease is: a worker looks after its queues often enough for it.
#[tokio::test]
async fn what_a_dead_worker_held_is_taken_over_within_its_lease_and_a_little_more() {
    for lease in [1, 2, 4, 30].map(Duration::from_secs) {
        let world = World::new();
        let handle = count::delay(&world.client).await.unwrap();
        let (queue, token) = (QueueName::default(), Token::from_bytes([7; 16]));
        let request = Reserve { queue: &queue, want: SlotWants::any(1), token, lease, suspects: true };
        assert_eq!(world.store.handle().reserve(request, None).await.unwrap().deliveries.len(), 1);
        let _worker = world.worker(world.store.handle(), lease);
        let (_, took) = world.until(handle.id(), |point| matches!(point, Point::Ended(_))).await;
        assert!(took >= lease && took <= lease + Duration::from_secs(5), "{lease:?}: {took:?}");
        assert_eq!(world.runs(), 1);
    }
}

/// Not every broker says that it is back.
#[tokio::test]
async fn a_broker_that_is_away_is_asked_twice_a_second() {
    let world = World::new();
    let broker = FaultyBroker::new(world.store.handle());
    for _ in 0..20 {
        broker.fail_next(Operation::Reserve, Fault::Error(BackendErrorKind::Unavailable));
    }
    let handle = count::delay(&world.client).await.unwrap();
    let _worker = world.worker(broker, LEASE);
    let (_, took) = world.until(handle.id(), |point| matches!(point, Point::Ended(_))).await;
    assert!(took >= Duration::from_secs(3) && took <= Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn only_the_newest_of_replaced_calls_runs() {
    let world = World::new();
    let send = async || count::call().unique("k").replace().send(&world.client).await.unwrap();
    let (first, second, third) = (send().await, send().await, send().await);
    let (text, _) = world.until(first.id(), |point| *point == Point::Replaced { by: second.id() }).await;
    assert!(text.to_string().contains("No worker is alive"), "{text}");
    let _worker = world.worker(world.store.handle(), LEASE);
    world.until(third.id(), |point| matches!(point, Point::Ended(_))).await;
    assert_eq!((world.runs(), third.get(Duration::ZERO).await.unwrap()), (1, 1));
    for (replaced, by) in [(first, second.id()), (second, third.id())] {
        let error = replaced.get(Duration::ZERO).await.unwrap_err();
        assert_eq!(error.kind(), &ClientErrorKind::Revoked);
        assert!(error.to_string().contains(&format!("was replaced by {by}")), "{error}");
    }
}
