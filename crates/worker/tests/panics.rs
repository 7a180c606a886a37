//! Panics in places other than the call of a task: every run ends with an outcome, and the worker goes on.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_worker as lovage;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lovage::{
    Client, Context, Hooks, RetryPolicy, RunningWorker, TaskError, TaskId, TaskRecord, TaskState, Worker,
    WorkerBuilder, WorkerEvent, tasks,
};
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_core::{Cancelled, Clock as _, ErrorReport, Outcome, QueueName, ResultStore as _, RunInfo};
use lovage_testkit::{FakeClock, SeededEntropy};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// Its future panics when it is dropped.
#[lovage::task(name = "late", time_limit = "10s", retries = 0)]
async fn late() -> Result<(), TaskError> {
    let _bomb = Bomb;
    std::future::pending().await
}

/// The same without a time limit.
#[lovage::task(name = "waits", retries = 0)]
async fn waits() -> Result<(), TaskError> {
    let _bomb = Bomb;
    std::future::pending().await
}

/// Panics with a payload that panics when it is dropped.
#[lovage::task(name = "payload", retries = 0)]
async fn payload() -> Result<(), TaskError> {
    std::panic::panic_any(Bomb)
}

/// The same on a thread.
#[lovage::task(name = "plain-payload", retries = 0)]
fn plain_payload() -> Result<(), TaskError> {
    std::panic::panic_any(Bomb)
}

/// A plain function whose argument panics when it is dropped.
#[lovage::task(name = "plain-drop", retries = 0)]
fn plain_drop(ctx: &Context) -> Result<u32, TaskError> {
    let _bomb = Bomb;
    Ok(ctx.attempt())
}

#[lovage::task(name = "add")]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[lovage::task(name = "fails", retries = 0)]
async fn fails() -> Result<(), TaskError> {
    Err(TaskError::new("no"))
}

struct World {
    clock: Arc<FakeClock>,
    store: MemoryStore,
    results: Arc<MemoryResults>,
    client: Client,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(FakeClock::new());
        let store = MemoryStore::new(clock.clone());
        let results = Arc::new(MemoryResults::new(clock.clone()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let client =
            Client::with_clock_and_entropy(store.handle(), Some(results.clone()), clock.clone(), entropy);
        Self { clock, store, results, client }
    }

    fn builder(&self) -> WorkerBuilder {
        Worker::builder()
            .tasks(tasks![late, waits, payload, plain_payload, plain_drop, add, fails])
            .clock(self.clock.clone())
            .entropy(Arc::new(SeededEntropy::new(2)))
            .leases_on_thread(false)
            .retry(RetryPolicy::times(0))
            .concurrency(1)
            .name("w")
    }

    fn start(&self, builder: WorkerBuilder) -> RunningWorker {
        builder.build(self.store.handle(), Some(self.results.clone())).unwrap().start()
    }

    /// Moves time on until a task has ended.
    async fn ended(&self, id: TaskId) -> TaskRecord {
        for _ in 0..2_000 {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            let row = self.results.get(&[id], None).await.unwrap().remove(0);
            if let Some(row) = row.filter(|row| row.state.is_terminal()) {
                return row;
            }
            self.clock.advance(Duration::from_millis(100));
        }
        panic!("the task never ended");
    }

    /// The worker has given back its only slot, and stops without waiting for anything.
    async fn goes_on(&self, worker: RunningWorker) {
        let sum = add::delay(&self.client, 1, 3).await.unwrap().id();
        assert_eq!(self.ended(sum).await.outcome, Outcome::Result("4".into()));
        let start = self.clock.monotonic();
        worker.stop();
        worker.join().await.unwrap();
        assert_eq!(self.clock.monotonic(), start, "nothing is left to wait for");
        let depth = self.store.handle().depth(&QueueName::default(), None).await.unwrap();
        assert_eq!((depth.ready, depth.leased), (0, 0));
    }
}

fn error_of(row: &TaskRecord) -> String {
    let Outcome::Error(report) = &row.outcome else { panic!("expected an error: {row:?}") };
    format!("{}: {report}", report.kind)
}

#[tokio::test]
async fn future_that_panics_in_its_drop_ends_as_timed_out() {
    let world = World::new();
    let worker = world.start(world.builder());
    let id = late::delay(&world.client).await.unwrap().id();
    let row = world.ended(id).await;
    assert_eq!(row.state, TaskState::Failure);
    assert_eq!(error_of(&row), "timeout: it did not end within its time limit of 10s");
    world.goes_on(worker).await;
}

#[tokio::test]
async fn future_that_panics_in_its_drop_can_be_revoked() {
    let world = World::new();
    let worker = world.start(world.builder());
    let id = waits::delay(&world.client).await.unwrap().id();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.store.handle().cancel(id, None, None).await.unwrap(), Cancelled::Leased);
    assert_eq!(world.ended(id).await.state, TaskState::Revoked);
    world.goes_on(worker).await;
}

#[tokio::test]
async fn panic_payload_that_panics_in_its_drop_is_a_failure() {
    let world = World::new();
    let worker = world.start(world.builder());
    for id in [
        payload::delay(&world.client).await.unwrap().id(),
        plain_payload::delay(&world.client).await.unwrap().id(),
        plain_drop::delay(&world.client).await.unwrap().id(),
    ] {
        let row = world.ended(id).await;
        assert_eq!(row.state, TaskState::Failure);
        assert!(error_of(&row).starts_with("panic: "), "{}", error_of(&row));
    }
    world.goes_on(worker).await;
}

/// Panics in one of its methods, each time, and keeps the events that it is given.
struct Panicking {
    hook: &'static str,
    calls: AtomicU32,
    panics: Mutex<Vec<(&'static str, String)>>,
}

impl Panicking {
    fn on(hook: &'static str) -> Arc<Self> {
        Arc::new(Self { hook, calls: AtomicU32::new(0), panics: Mutex::default() })
    }

    fn call(&self, hook: &'static str) {
        if hook == self.hook {
            self.calls.fetch_add(1, Ordering::SeqCst);
            panic!("the hook is broken");
        }
    }
}

impl Hooks for Panicking {
    fn before(&self, _run: &RunInfo) {
        self.call("before");
    }

    fn after(&self, _run: &RunInfo, _state: TaskState) {
        self.call("after");
    }

    fn failed(&self, _run: &RunInfo, _error: &ErrorReport) {
        self.call("failed");
    }

    fn event(&self, event: &WorkerEvent) {
        if let WorkerEvent::HookPanicked { hook, message } = event {
            self.panics.lock().unwrap().push((*hook, message.clone()));
        }
        self.call("event");
    }
}

#[tokio::test]
async fn panics_of_hooks_change_no_outcome() {
    for hook in ["before", "after", "failed", "event"] {
        let world = World::new();
        let hooks = Panicking::on(hook);
        let worker = world.start(world.builder().hooks(hooks.clone()));
        let sum = add::delay(&world.client, 2, 3).await.unwrap().id();
        let row = world.ended(sum).await;
        assert_eq!((row.state, &row.outcome), (TaskState::Success, &Outcome::Result("5".into())), "{hook}");
        assert_eq!((row.run, row.delivery, row.attempt), (1, 1, 0), "{hook}");
        let failed = fails::delay(&world.client).await.unwrap().id();
        assert_eq!(error_of(&world.ended(failed).await), "TaskError: no", "{hook}");
        assert!(hooks.calls.load(Ordering::SeqCst) > 0, "{hook}");
        let panics = hooks.panics.lock().unwrap().clone();
        assert!(panics.contains(&(hook, "the hook is broken".to_owned())), "{hook}: {panics:?}");
        world.goes_on(worker).await;
    }
}
