//! What a worker tells of its runs, and what it can be told while it runs, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_worker as lovage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lovage::{Client, Context, QueueName, RunningWorker, State, TaskError, TaskState, Worker, tasks};
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_core::{Misfit, Place, Progress, Unrunnable, WorkerCommand, WorkerInfo};
use lovage_testkit::{FakeClock, FaultyBroker, Operation, SeededEntropy};
use tokio::sync::Notify;

/// Lets held tasks end, one for each permit; counts the starts.
#[derive(Clone, Default, Debug)]
struct Gate {
    started: Arc<AtomicU32>,
    go: Arc<Notify>,
}

#[lovage::task(name = "held")]
async fn held(gate: State<Gate>) -> Result<(), TaskError> {
    gate.started.fetch_add(1, Ordering::SeqCst);
    gate.go.notified().await;
    Ok(())
}

/// Tells how far it is each time it is let go on.
#[lovage::task(name = "steps")]
async fn steps(gate: State<Gate>, ctx: &Context) -> Result<(), TaskError> {
    for done in 1..=3 {
        gate.go.notified().await;
        for _ in 0..100 {
            ctx.progress(done, 3, format!("step {done}\u{1b}[2J{}", "ü".repeat(500)));
        }
    }
    std::future::pending().await
}

struct World {
    clock: Arc<FakeClock>,
    store: MemoryStore,
    broker: Arc<FaultyBroker>,
    client: Client,
    gate: Gate,
    _worker: RunningWorker,
}

impl World {
    fn new(queues: &[&str], concurrency: usize) -> Self {
        let clock = Arc::new(FakeClock::new());
        let store = MemoryStore::new(clock.clone());
        let results = Arc::new(MemoryResults::new(clock.clone()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let client =
            Client::with_clock_and_entropy(store.handle(), Some(results.clone()), clock.clone(), entropy);
        let broker = FaultyBroker::new(store.handle());
        let gate = Gate::default();
        let worker = Worker::builder()
            .tasks(tasks![held, steps])
            .state(gate.clone())
            .clock(clock.clone())
            .entropy(Arc::new(SeededEntropy::new(2)))
            .leases_on_thread(false)
            .queues(queues.iter().map(|name| (queue(name), 1)).collect())
            .concurrency(concurrency)
            .name("w")
            .build(broker.clone(), Some(results.clone()))
            .unwrap()
            .start();
        Self { clock, store, broker, client, gate, _worker: worker }
    }

    async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(100);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.settle().await;
            self.clock.advance(step);
        }
        self.settle().await;
    }

    async fn info(&self) -> WorkerInfo {
        self.store.handle().workers(None).await.unwrap().remove(0)
    }

    async fn tell(&self, command: WorkerCommand) -> WorkerInfo {
        let id = self.info().await.id;
        assert!(self.client.broker().tell(id, &command, None).await.unwrap());
        self.settle().await;
        self.info().await
    }

    async fn send(&self, name: &str) -> lovage::Handle<()> {
        let handle = held::call().queue(queue(name)).send(&self.client).await.unwrap();
        self.settle().await;
        handle
    }

    fn started(&self) -> u32 {
        self.gate.started.load(Ordering::SeqCst)
    }

    fn calls(&self, operation: Operation) -> usize {
        self.broker.calls(operation)
    }
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

#[tokio::test]
async fn progress_is_told_soon_and_at_most_once_a_second() {
    let world = World::new(&["default"], 8);
    steps::delay(&world.client).await.unwrap();
    world.pass(Duration::from_secs(7)).await;
    let progress = async || world.info().await.active[0].progress.clone();
    assert_eq!(progress().await, None);
    let before = world.calls(Operation::Heartbeat);
    for _ in 0..3 {
        world.gate.go.notify_one();
        world.settle().await;
    }
    world.pass(Duration::from_millis(1_000)).await;
    let Progress { done, total, message } = progress().await.unwrap();
    assert_eq!((done, total), (3, 3));
    assert!(message.starts_with("step 3 [2Jü") && message.len() <= 200, "{message}");
    let beats = world.calls(Operation::Heartbeat) - before;
    assert!(beats <= 2, "300 reports made {beats} heartbeats within a second");
}

#[tokio::test]
async fn news_are_one_request_each_and_no_news_are_none() {
    let calm = World::new(&["default"], 8);
    let telling = World::new(&["default"], 8);
    for world in [&calm, &telling] {
        steps::delay(&world.client).await.unwrap();
        world.pass(Duration::from_secs(1)).await;
    }
    for second in 0..60 {
        if second % 20 == 10 {
            telling.gate.go.notify_one();
        }
        calm.pass(Duration::from_secs(1)).await;
        telling.pass(Duration::from_secs(1)).await;
    }
    let count = |world: &World, operation| world.calls(operation);
    assert!((12..=13).contains(&count(&calm, Operation::Heartbeat)), "one each 5 s");
    let (told, usual) = (count(&telling, Operation::Heartbeat), count(&calm, Operation::Heartbeat));
    assert!(told > usual && told <= usual + 3, "{told} and {usual}");
    for operation in [Operation::Maintain, Operation::Reserve, Operation::Inspect] {
        let (told, usual) = (count(&telling, operation), count(&calm, operation));
        assert!(told <= usual + 1, "{operation:?}: {told} and {usual}");
    }
}

#[tokio::test]
async fn fewer_slots_end_nothing_and_start_nothing_until_they_are_kept() {
    let world = World::new(&["default"], 4);
    for _ in 0..6 {
        world.send("default").await;
    }
    assert_eq!(world.started(), 4);
    let info = world.tell(WorkerCommand::Concurrency { slots: 2 }).await;
    assert_eq!((info.concurrency, info.active.len(), info.refused), (2, 4, None));
    for _ in 0..2 {
        world.gate.go.notify_one();
        world.settle().await;
    }
    assert_eq!(world.started(), 4, "two run, and two may");
    world.gate.go.notify_one();
    world.settle().await;
    assert_eq!(world.started(), 5);
    let info = world.tell(WorkerCommand::Concurrency { slots: 3 }).await;
    assert_eq!((info.concurrency, world.started()), (3, 6));
}

#[tokio::test]
async fn a_queue_is_added_and_another_one_dropped_while_it_runs() {
    let world = World::new(&["default"], 1);
    let other = world.send("other").await;
    assert_eq!(world.started(), 0, "nobody reads it");
    let info = world.tell(WorkerCommand::AddQueue { queue: queue("other"), weight: 2 }).await;
    assert_eq!(info.queues, [queue("default"), queue("other")]);
    assert_eq!(world.started(), 1, "without a new publish");

    // The one slot is taken: what is reserved ahead for the queue that is left goes back.
    let left = world.send("default").await;
    let info = world.tell(WorkerCommand::DropQueue { queue: queue("default") }).await;
    assert_eq!(info.queues, [queue("other")]);
    world.gate.go.notify_one();
    world.pass(Duration::from_secs(60)).await;
    assert_eq!(world.started(), 1);
    let state = async |id| world.client.explain(id).await.unwrap().state;
    assert_eq!(state(other.id()).await, Some(TaskState::Success));
    assert_eq!(state(left.id()).await, Some(TaskState::Pending));
}

/// Who looked at a queue in vain is counted on to take what comes: one that has left it sees to it that another one does.
#[tokio::test]
async fn a_queue_that_was_left_keeps_no_task_from_others() {
    let world = World::new(&["default", "other"], 1);
    world.settle().await;
    world.tell(WorkerCommand::DropQueue { queue: queue("other") }).await;
    let second = Worker::builder()
        .tasks(tasks![held, steps])
        .state(world.gate.clone())
        .clock(world.clock.clone())
        .entropy(Arc::new(SeededEntropy::new(3)))
        .leases_on_thread(false)
        .queues(vec![(queue("other"), 1)])
        .build(world.store.handle(), None)
        .unwrap()
        .start();
    world.settle().await;
    for sent in 1..=3 {
        world.send("other").await;
        assert_eq!(world.started(), sent, "no time passes");
    }
    drop(second);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_words_and_changes_nothing() {
    let world = World::new(&["default"], 4);
    world.settle().await;
    for (command, part) in [
        (WorkerCommand::Concurrency { slots: 0 }, "expected 1 to 100000, it stays at 4"),
        (WorkerCommand::Concurrency { slots: 100_001 }, "expected 1 to 100000"),
        (WorkerCommand::AddQueue { queue: queue("q"), weight: 0 }, "expected 1 to 100"),
        (WorkerCommand::DropQueue { queue: queue("q") }, "does not take tasks of"),
        (WorkerCommand::DropQueue { queue: queue("default") }, "its last queue: add another one first"),
        (serde_json::from_str(r#"{"dance":{"steps":3}}"#).unwrap(), "not known to this version"),
    ] {
        let info = world.tell(command).await;
        let refused = info.refused.unwrap();
        assert!(refused.contains(part), "{refused}");
        assert_eq!((info.concurrency, info.queues), (4, vec![queue("default")]));
    }
    assert_eq!(world.tell(WorkerCommand::Concurrency { slots: 5 }).await.refused, None);
    world.send("default").await;
    assert_eq!(world.started(), 1);
}

#[tokio::test]
async fn what_a_worker_cannot_run_is_told_soon_and_until_it_is_gone() {
    let world = World::new(&["default"], 8);
    world.settle().await;
    let told = async || world.info().await.unrunnable;
    assert_eq!(told().await, []);
    let mut sent = Vec::new();
    for name in ["renamed", "renamed", "lost"] {
        sent.push(world.client.send_by_name(name, serde_json::json!([])).await.unwrap());
    }
    world.pass(Duration::from_secs(2)).await;
    let kind = |task: &str, tasks| Unrunnable {
        queue: QueueName::default(),
        task: task.to_owned(),
        why: Misfit::Unregistered,
        tasks,
    };
    // They come back after 1 s, 2 s, 4 s, … and count once all the time.
    for _ in 0..40 {
        assert_eq!(told().await, [kind("renamed", 2), kind("lost", 1)]);
        world.pass(Duration::from_secs(2)).await;
    }
    let found = world.store.handle().find(sent[0].id(), None).await.unwrap().unwrap();
    assert!(found.place == Place::Delayed && found.is_given_back() && found.delivery >= 6, "{found:?}");
    for handle in &sent[..2] {
        handle.cancel().await.unwrap();
    }
    world.pass(Duration::from_secs(72)).await;
    assert_eq!(told().await, [kind("lost", 1)]);
}
