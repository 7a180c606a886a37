//! Workers with async and blocking slots, in virtual time: each takes what it can start, and leaves the rest to others. Where no
//! test moves the clock, everything happens without waiting for a timer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_worker as lovage;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use lovage::{Call, Client, RunningWorker, State, TaskDef, TaskId, Worker, WorkerBuilder, tasks};
use lovage_broker_memory::MemoryStore;
use lovage_core::{
    Broker, Depth, Place, QueueName, Reserve, Settle, Settlement, SlotKind, SlotWants, StoredMessage, Token,
};
use lovage_system::SystemClock;
use lovage_testkit::{FakeClock, FaultyBroker, Operation, SeededEntropy, settled_down, within};

/// How long of real time an event may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What started, with its worker; and a gate that long tasks wait for.
#[derive(Clone, Default, Debug)]
struct Log(Arc<Shared>);

#[derive(Default, Debug)]
struct Shared {
    started: Mutex<Vec<(String, String)>>,
    is_open: Mutex<bool>,
    opened: Condvar,
    gate: tokio::sync::Notify,
}

/// The log as one worker sees it.
#[derive(Clone, Debug)]
struct Seat(&'static str, Log);

impl Seat {
    fn started(&self, what: &str) {
        self.1.0.started.lock().unwrap().push((self.0.to_owned(), what.to_owned()));
    }
}

impl Log {
    fn open(&self) {
        *self.0.is_open.lock().unwrap() = true;
        self.0.opened.notify_all();
        self.0.gate.notify_one();
    }

    /// What one worker started, in order.
    fn of(&self, worker: &str) -> Vec<String> {
        let started = self.0.started.lock().unwrap();
        started.iter().filter(|(name, _)| name == worker).map(|(_, what)| what.clone()).collect()
    }

    fn count(&self, what: &str) -> usize {
        self.0.started.lock().unwrap().iter().filter(|(_, started)| started == what).count()
    }
}

/// Blocks its thread until the gate opens.
#[lovage::task(name = "long_plain")]
fn long_plain(seat: State<Seat>) {
    seat.started("long_plain");
    let shared = &seat.1.0;
    drop(shared.opened.wait_while(shared.is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
}

#[lovage::task(name = "plain")]
fn plain(seat: State<Seat>) {
    seat.started("plain");
}

/// Waits until the gate opens.
#[lovage::task(name = "long")]
async fn long(seat: State<Seat>) {
    seat.started("long");
    seat.1.0.gate.notified().await;
}

#[lovage::task(name = "short")]
async fn short(what: String, seat: State<Seat>) {
    seat.started(&what);
}

struct World {
    clock: Arc<FakeClock>,
    store: MemoryStore,
    client: Client,
    log: Log,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(FakeClock::new());
        let store = MemoryStore::new(clock.clone());
        let entropy = Arc::new(SeededEntropy::new(1));
        let client = Client::with_clock_and_entropy(store.handle(), None, clock.clone(), entropy);
        Self { clock, store, client, log: Log::default() }
    }

    fn builder(&self, name: &'static str, defs: Vec<TaskDef>, seed: u64) -> WorkerBuilder {
        Worker::builder()
            .tasks(defs)
            .state(Seat(name, self.log.clone()))
            .clock(self.clock.clone())
            .entropy(Arc::new(SeededEntropy::new(seed)))
            .leases_on_thread(false)
            .name(name)
    }

    /// A worker with tasks of both kinds.
    fn both(&self, name: &'static str, concurrency: usize, blocking: usize) -> WorkerBuilder {
        let seed = u64::from(name.as_bytes()[0]);
        let defs = tasks![long_plain, plain, long, short];
        self.builder(name, defs, seed).concurrency(concurrency).blocking(blocking)
    }

    fn start(&self, builder: WorkerBuilder) -> RunningWorker {
        builder.build(self.store.handle(), None).unwrap().start()
    }

    async fn send(&self, calls: Vec<Call<()>>) -> Vec<TaskId> {
        let sent = self.client.send_all(calls).await.unwrap();
        sent.into_iter().map(|handle| handle.unwrap().id()).collect()
    }

    async fn depth(&self, queue: &str) -> Depth {
        self.client.broker().depth(&QueueName::new(queue).unwrap(), None).await.unwrap()
    }

    async fn stored(&self, id: TaskId) -> StoredMessage {
        self.client.broker().find(id, None).await.unwrap().unwrap()
    }

    /// Waits for a condition while virtual time stands still.
    async fn at_once(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        within(&SystemClock::new(), PATIENCE, what, async {
            while !holds().await {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn counts(&self, queue: &str, ready: u64, leased: u64) {
        let what = format!("{ready} ready and {leased} leased in {queue}");
        self.at_once(&what, async || {
            let depth = self.depth(queue).await;
            (depth.ready, depth.leased) == (ready, leased)
        })
        .await;
    }
}

fn shorts(count: usize, what: &str) -> Vec<Call<()>> {
    (0..count).map(|_| short::call(what.to_owned())).collect()
}

#[tokio::test]
async fn plain_tasks_without_a_slot_go_to_another_worker() {
    let world = World::new();
    let mut calls: Vec<Call<()>> = (0..2).map(|_| long_plain::call()).collect();
    calls.extend((0..30).map(|_| plain::call()));
    let ids = world.send(calls).await;
    let _a = world.start(world.both("a", 8, 2));
    world.counts("default", 30, 2).await;
    for id in &ids[2..] {
        let stored = world.stored(*id).await;
        assert_eq!((stored.place, stored.delivery, stored.attempt), (Place::Ready, 0, 0), "it costs nothing");
    }
    let _b = world.start(world.both("b", 8, 2));
    world.counts("default", 0, 2).await;
    assert_eq!(world.log.of("a"), ["long_plain", "long_plain"]);
    assert_eq!(world.log.of("b").len(), 30);
    world.log.open();
    world.counts("default", 0, 0).await;
}

#[tokio::test]
async fn short_tasks_do_not_wait_behind_a_long_one() {
    let world = World::new();
    let _a = world.start(world.both("a", 1, 1));
    let _b = world.start(world.both("b", 1, 1));
    settled_down().await;
    let mut calls = vec![long::call()];
    calls.extend(shorts(20, "short"));
    world.send(calls).await;
    world.counts("default", 0, 1).await;
    assert_eq!((world.log.count("long"), world.log.count("short")), (1, 20));
    world.log.open();
    world.counts("default", 0, 0).await;
}

#[tokio::test]
async fn urgent_task_starts_before_tasks_that_have_not_started() {
    let world = World::new();
    let mut calls = vec![long::call()];
    calls.extend(shorts(2, "low"));
    world.send(calls).await;
    let _a = world.start(world.both("a", 1, 4));
    world.counts("default", 2, 1).await;
    world.send(vec![short::call("urgent".to_owned()).priority(9)]).await;
    settled_down().await;
    world.log.open();
    world.counts("default", 0, 0).await;
    assert_eq!(world.log.of("a"), ["long", "urgent", "low", "low"]);
}

#[tokio::test]
async fn blocking_tasks_delay_no_async_tasks_of_another_queue() {
    let world = World::new();
    world.send((0..75).map(|_| long_plain::call().queue("slow")).collect()).await;
    let queues = ["slow", "fast"].map(|name| (QueueName::new(name).unwrap(), 1)).to_vec();
    let _a = world.start(world.both("a", 64, 4).queues(queues));
    world.counts("slow", 71, 4).await;
    world.send(shorts(100, "short").into_iter().map(|call| call.queue("fast")).collect()).await;
    world.at_once("the async tasks", async || world.log.count("short") == 100).await;
    world.counts("slow", 71, 4).await;
    world.log.open();
    world.counts("slow", 0, 0).await;
}

#[tokio::test]
async fn async_tasks_behind_many_blocking_ones_are_reached() {
    let world = World::new();
    world.send((0..2_000).map(|_| long_plain::call()).collect()).await;
    world.send(shorts(1, "short")).await;
    let broker = FaultyBroker::new(world.store.handle());
    let _a = world.both("a", 1, 1).build(broker.clone(), None).unwrap().start();
    world.at_once("the async task", async || world.log.count("short") == 1).await;
    world.counts("default", 1_999, 1).await;
    assert!(broker.calls(Operation::Reserve) < 40, "{}", broker.calls(Operation::Reserve));
    // Each message was sorted once, and nothing looks at them again while the slot is taken.
    let calls = broker.calls(Operation::Reserve) + broker.calls(Operation::Settle);
    for _ in 0..100 {
        world.clock.advance(Duration::from_millis(10));
        settled_down().await;
    }
    let calls = broker.calls(Operation::Reserve) + broker.calls(Operation::Settle) - calls;
    assert!(calls < 5, "{calls} calls in a second");
    world.log.open();
}

#[tokio::test]
async fn wrong_look_ahead_goes_back_within_50_ms() {
    let world = World::new();
    // So fast that more is reserved than there are slots.
    let mut calls = shorts(1_000, "short");
    calls.push(long::call());
    calls.extend(shorts(3, "late"));
    let ids = world.send(calls).await;
    let broker = FaultyBroker::new(world.store.handle());
    let _a = world.both("a", 1, 1).build(broker.clone(), None).unwrap().start();
    world.at_once("the long task", async || world.log.count("long") == 1).await;
    settled_down().await;
    assert!(world.depth("default").await.leased > 1, "it is held for a moment");
    world.clock.advance(Duration::from_millis(50));
    world.counts("default", 3, 1).await;
    for id in &ids[1_001..] {
        assert_eq!(world.stored(*id).await.delivery, 0);
    }
    // It is not taken again and again.
    let calls = broker.calls(Operation::Settle);
    for _ in 0..20 {
        world.clock.advance(Duration::from_millis(50));
        settled_down().await;
    }
    assert!(broker.calls(Operation::Settle) <= calls + 1);
    world.counts("default", 3, 1).await;
    world.log.open();
    world.counts("default", 0, 0).await;
}

#[tokio::test]
async fn full_worker_passes_its_hint_on() {
    let world = World::new();
    let queues = ["one", "two"].map(|name| (QueueName::new(name).unwrap(), 1)).to_vec();
    let _a = world.start(world.builder("a", tasks![long, short], 1).concurrency(1).queues(queues.clone()));
    settled_down().await;
    world.send(vec![long::call().queue("one")]).await;
    world.at_once("the long task", async || world.log.count("long") == 1).await;
    // The first one is idle in the queue `two` for longer, and has no free slot.
    let _b = world.start(world.builder("b", tasks![long, short], 2).concurrency(1).queues(queues));
    settled_down().await;
    world.send(vec![short::call("short".to_owned()).queue("two")]).await;
    world.at_once("the short task", async || world.log.of("b") == ["short"]).await;
    world.log.open();
}

#[tokio::test]
async fn worker_of_one_kind_does_not_sort() {
    let world = World::new();
    let mut calls = shorts(1_000, "short");
    calls.push(long::call());
    calls.extend(shorts(3, "late"));
    let ids = world.send(calls).await;
    let _a = world.start(world.builder("a", tasks![long, short], 1).concurrency(1));
    world.at_once("the long task", async || world.log.count("long") == 1).await;
    world.clock.advance(Duration::from_millis(50));
    world.counts("default", 3, 1).await;
    let unsorted = SlotWants { total: 3, ..SlotWants::NONE };
    assert_eq!(reserve(&*world.store.handle(), unsorted).await, ids[1_001..]);
    world.log.open();
}

async fn reserve(broker: &dyn Broker, want: SlotWants) -> Vec<TaskId> {
    let (queue, lease) = (QueueName::default(), Duration::from_secs(30));
    let request = Reserve { queue: &queue, want, token: Token::from_bytes([7; 16]), lease, suspects: false };
    let reserved = broker.reserve(request, None).await.unwrap();
    reserved.deliveries.iter().map(|delivery| delivery.id).collect()
}

/// A task that was kept for blocking slots and that no worker has any more.
#[tokio::test]
async fn kept_task_that_no_worker_has_is_refused() {
    let world = World::new();
    let ids = world.send(vec![plain::call()]).await;
    let other = world.store.handle();
    assert_eq!(reserve(&*other, SlotWants::any(1)).await, ids);
    let how = Settle::Unstarted { kind: Some(SlotKind::Blocking), kept_for: None };
    let back = [Settlement { id: ids[0], how }];
    other.settle(&QueueName::default(), Token::from_bytes([7; 16]), &back, None).await.unwrap();
    let _a = world.start(world.builder("a", tasks![short], 1));
    world.at_once("a refusal", async || world.stored(ids[0]).await.place == Place::Delayed).await;
    assert_eq!(world.stored(ids[0]).await.delivery, 1);
}

#[tokio::test]
async fn stopping_worker_returns_what_it_has_not_started() {
    let world = World::new();
    let mut calls = shorts(1_000, "short");
    calls.push(long::call());
    calls.extend(shorts(3, "late"));
    let ids = world.send(calls).await;
    let a = world.start(world.both("a", 1, 1));
    world.at_once("the long task", async || world.log.count("long") == 1).await;
    settled_down().await;
    a.stop();
    world.counts("default", 3, 1).await;
    assert_eq!(world.stored(ids[1_001]).await.delivery, 0);
    world.log.open();
    a.join().await.unwrap();
}
