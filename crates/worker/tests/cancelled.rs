//! Tasks that react when they are told to stop: what they return counts, and stopping is no failure.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_worker as lovage;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lovage::{
    Client, Context, RunningWorker, State, TaskError, TaskId, TaskRecord, TaskState, Worker, tasks,
};
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_core::{Cancelled, Clock as _, Outcome, Place, QueueName, ResultStore as _};
use lovage_testkit::{FakeClock, SeededEntropy};

/// Notes of tasks, in order.
#[derive(Clone, Debug, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Reacts to its cancellation: it saves something, which takes `saving`, and answers as asked.
#[lovage::task(name = "reacts", retries = 3)]
async fn reacts(
    how: String,
    saving: u64,
    notes: State<Notes>,
    clock: State<FakeClock>,
    ctx: &Context,
) -> Result<u32, TaskError> {
    notes.add("started");
    ctx.cancelled().await;
    notes.add(format!("{:?}", ctx.cancel_reason().unwrap()));
    clock.sleep(Duration::from_millis(saving)).await;
    match how.as_str() {
        "ok" => Ok(7),
        "discard" => Err(TaskError::discard("stopped")),
        "permanent" => Err(TaskError::permanent("stopped")),
        "panic" => panic!("stopped"),
        _ => Err(TaskError::new("stopped")),
    }
}

/// The same for a plain function, which polls.
#[lovage::task(name = "plain", retries = 3)]
fn plain(how: String, notes: State<Notes>, ctx: &Context) -> Result<u32, TaskError> {
    notes.add("started");
    while !ctx.is_cancelled() {
        std::thread::yield_now();
    }
    if how == "ok" { Ok(7) } else { Err(TaskError::permanent("stopped")) }
}

/// Saves its state as soon as the worker begins to stop, and goes on.
#[lovage::task(name = "saves")]
async fn saves(notes: State<Notes>, ctx: &Context) -> Result<(), TaskError> {
    notes.add("started");
    ctx.shutting_down().await;
    assert!(ctx.is_shutting_down() && ctx.cancel_reason().is_none());
    notes.add("saved");
    std::future::pending().await
}

/// Blocks its thread, by the clock, beyond its limit.
#[lovage::task(name = "blocks", time_limit = "10s")]
async fn blocks(clock: State<FakeClock>) -> Result<u32, TaskError> {
    clock.advance(Duration::from_secs(40));
    Ok(7)
}

struct World {
    clock: FakeClock,
    store: MemoryStore,
    results: Arc<MemoryResults>,
    client: Client,
    notes: Notes,
}

impl World {
    fn new() -> Self {
        let clock = FakeClock::new();
        let shared = Arc::new(clock.clone());
        let store = MemoryStore::new(shared.clone());
        let results = Arc::new(MemoryResults::new(shared.clone()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let client = Client::with_clock_and_entropy(store.handle(), Some(results.clone()), shared, entropy);
        Self { clock, store, results, client, notes: Notes::default() }
    }

    fn worker(&self) -> RunningWorker {
        Worker::builder()
            .tasks(tasks![reacts, plain, saves, blocks])
            .state(self.notes.clone())
            .state(self.clock.clone())
            .clock(Arc::new(self.clock.clone()))
            .entropy(Arc::new(SeededEntropy::new(2)))
            .leases_on_thread(false)
            .grace(Duration::from_secs(10))
            .name("w")
            .build(self.store.handle(), Some(self.results.clone()))
            .unwrap()
            .start()
    }

    async fn settle_down(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Moves time on until a condition holds.
    async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        for _ in 0..5_000 {
            self.settle_down().await;
            if holds().await {
                return;
            }
            self.clock.advance(Duration::from_millis(100));
        }
        panic!("never: {what}");
    }

    async fn started(&self) {
        self.until("the task starts", async || !self.notes.all().is_empty()).await;
    }

    async fn row(&self, id: TaskId) -> Option<TaskRecord> {
        self.results.get(&[id], None).await.unwrap().remove(0).filter(|row| row.state.is_terminal())
    }

    /// Stops the worker to the end of its grace period.
    async fn stop(&self, worker: RunningWorker) {
        worker.stop();
        let mut joined = std::pin::pin!(worker.join());
        for _ in 0..5_000 {
            tokio::select! {
                biased;
                summary = &mut joined => {
                    summary.unwrap();
                    return;
                }
                () = self.settle_down() => self.clock.advance(Duration::from_millis(100)),
            }
        }
        panic!("it does not stop");
    }

    /// The same for a task on a thread, which needs no virtual time after the end of the grace period.
    async fn stop_thread(&self, worker: RunningWorker) {
        worker.stop();
        self.settle_down().await;
        self.clock.advance(Duration::from_secs(10));
        worker.join().await.unwrap();
    }

    /// The task waits for another worker, with all its attempts.
    async fn assert_given_back(&self, id: TaskId) {
        let found = self.store.handle().find(id, None).await.unwrap().unwrap();
        assert_eq!((found.place, found.attempt, found.run), (Place::Ready, 0, 1));
        assert_eq!(self.row(id).await, None);
    }
}

#[tokio::test]
async fn error_at_a_shutdown_is_given_back() {
    for how in ["error", "discard", "permanent", "panic"] {
        let world = World::new();
        let worker = world.worker();
        let id = reacts::delay(&world.client, how.into(), 500).await.unwrap().id();
        world.started().await;
        world.stop(worker).await;
        assert_eq!(world.notes.all(), ["started", "ShuttingDown"], "{how}");
        world.assert_given_back(id).await;
    }
}

#[tokio::test]
async fn success_at_a_shutdown_stays_a_success() {
    let world = World::new();
    let worker = world.worker();
    let id = reacts::delay(&world.client, "ok".into(), 500).await.unwrap().id();
    world.started().await;
    world.stop(worker).await;
    let row = world.row(id).await.unwrap();
    assert_eq!((row.state, row.outcome), (TaskState::Success, Outcome::Result("7".into())));
}

#[tokio::test]
async fn slow_reaction_to_a_shutdown_is_cut_off() {
    let world = World::new();
    let worker = world.worker();
    let id = reacts::delay(&world.client, "ok".into(), 60_000).await.unwrap().id();
    world.started().await;
    world.stop(worker).await;
    world.assert_given_back(id).await;
}

#[tokio::test]
async fn error_after_a_revoke_is_revoked() {
    for (how, state) in
        [("error", TaskState::Revoked), ("permanent", TaskState::Revoked), ("ok", TaskState::Success)]
    {
        let world = World::new();
        let worker = world.worker();
        let id = reacts::delay(&world.client, how.into(), 500).await.unwrap().id();
        world.started().await;
        assert_eq!(world.store.handle().cancel(id, None, None).await.unwrap(), Cancelled::Leased);
        world.until("it ends", async || world.row(id).await.is_some()).await;
        assert_eq!(world.row(id).await.unwrap().state, state, "{how}");
        assert_eq!(world.notes.all(), ["started", "Revoked"], "{how}");
        world.stop(worker).await;
    }
}

#[tokio::test]
async fn plain_function_that_reacts_keeps_its_success() {
    let world = World::new();
    let worker = world.worker();
    let id = plain::delay(&world.client, "ok".into()).await.unwrap().id();
    world.started().await;
    world.stop_thread(worker).await;
    assert_eq!(world.row(id).await.unwrap().state, TaskState::Success);
}

#[tokio::test]
async fn error_of_a_plain_function_at_a_shutdown_is_given_back() {
    let world = World::new();
    let worker = world.worker();
    let id = plain::delay(&world.client, "permanent".into()).await.unwrap().id();
    world.started().await;
    world.stop_thread(worker).await;
    world.assert_given_back(id).await;
}

#[tokio::test]
async fn shutdown_is_visible_when_the_grace_begins() {
    let world = World::new();
    let worker = world.worker();
    let id = saves::delay(&world.client).await.unwrap().id();
    world.started().await;
    worker.stop();
    let start = world.clock.monotonic();
    world.settle_down().await;
    assert_eq!(world.notes.all(), ["started", "saved"]);
    assert_eq!(world.clock.monotonic(), start, "the grace has only begun");
    world.stop(worker).await;
    world.assert_given_back(id).await;
}

#[tokio::test]
async fn success_beyond_the_hard_limit_has_a_warning() {
    let world = World::new();
    let worker = world.worker();
    let id = blocks::delay(&world.client).await.unwrap().id();
    world.until("it ends", async || world.row(id).await.is_some()).await;
    let row = world.row(id).await.unwrap();
    assert_eq!(row.state, TaskState::Success);
    let warning = row.warning.unwrap();
    assert!(warning.starts_with("it ran for 40s, longer than its time limit of 10s"), "{warning}");
    let depth = world.store.handle().depth(&QueueName::default(), None).await.unwrap();
    assert_eq!(depth.dead, 0);
    world.stop(worker).await;
}
