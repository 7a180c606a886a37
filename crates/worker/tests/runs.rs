//! A worker on the memory broker in virtual time: what becomes of a task, whatever it does.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and says what it found"
)]

extern crate lovage_worker as lovage;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use lovage::{
    Call, Client, Context, Hooks, RetryPolicy, RunningWorker, State, TaskDef, TaskError, TaskId, TaskRecord,
    TaskState, Worker, WorkerBuilder, WorkerEvent, tasks,
};
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_core::{
    AttemptRecord, BackendError, BackendErrorKind, Broker, Cancelled, Clock, DeadReason, Delay, Delivery,
    Envelope, Found, Message, Outcome, Page, Payload, Place, Priority, QueueName, Recorded, Reserve,
    ResultFilter, ResultStore, Settle, Settlement, SlotWants, Timestamp, Token,
};
use lovage_testkit::{FakeClock, SeededEntropy};

#[derive(Clone, Default, Debug)]
struct Count(Arc<AtomicU32>);

#[derive(Clone, Debug)]
struct Gate(Arc<tokio::sync::Semaphore>);

#[lovage::task(name = "add")]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

#[lovage::task(name = "plain")]
fn plain(x: i64) -> i64 {
    x * 2
}

#[lovage::task(name = "count")]
async fn count(counter: State<Count>) -> Result<u32, TaskError> {
    Ok(counter.0.fetch_add(1, Ordering::SeqCst) + 1)
}

#[lovage::task(name = "flaky", retries = 3, retry_delay = "10s")]
async fn flaky(failures: u32, ctx: &Context) -> Result<u32, TaskError> {
    if ctx.attempt() <= failures {
        return Err(TaskError::new(format!("attempt {} failed", ctx.attempt())));
    }
    Ok(ctx.attempt())
}

#[lovage::task(name = "fails")]
async fn fails(how: String) -> Result<(), TaskError> {
    Err(match how.as_str() {
        "permanent" => TaskError::permanent("never"),
        "discard" => TaskError::discard("not needed"),
        "retry_in" => TaskError::retry_in(Duration::from_secs(100), "later"),
        _ => panic!("boom {how}"),
    })
}

#[lovage::task(name = "sleeps", time_limit = "20s", soft_time_limit = "10s")]
async fn sleeps(polite: bool, ctx: &Context) -> Result<String, TaskError> {
    if polite {
        ctx.cancelled().await;
        return Ok("finished cleanly".to_owned());
    }
    std::future::pending().await
}

#[lovage::task(name = "waits")]
async fn waits(counter: State<Count>) -> Result<(), TaskError> {
    counter.0.fetch_add(1, Ordering::SeqCst);
    std::future::pending().await
}

#[lovage::task(name = "large")]
async fn large(bytes: usize) -> Result<String, TaskError> {
    Ok("x".repeat(bytes))
}

#[lovage::task(name = "early", ack = "early", retries = 5)]
async fn early(counter: State<Count>) -> Result<(), TaskError> {
    counter.0.fetch_add(1, Ordering::SeqCst);
    Err(TaskError::new("once"))
}

#[lovage::task(name = "leased")]
async fn leased(ctx: &Context) -> Result<bool, TaskError> {
    Ok(ctx.lease_valid_until().is_some())
}

#[lovage::task(name = "leased-early", ack = "early")]
async fn leased_early(ctx: &Context) -> Result<bool, TaskError> {
    Ok(ctx.lease_valid_until().is_some())
}

/// Runs until somebody opens its gate.
#[lovage::task(name = "long", ack = "early")]
async fn long(counter: State<Count>, gate: State<Gate>) -> Result<(), TaskError> {
    counter.0.fetch_add(1, Ordering::SeqCst);
    drop(gate.0.acquire().await);
    Ok(())
}

#[lovage::task(name = "sends")]
async fn sends(client: State<Client>) -> Result<TaskId, TaskError> {
    Ok(add::delay(&client, 2, 2).await?.id())
}

fn all() -> Vec<TaskDef> {
    tasks![add, plain, count, flaky, fails, sleeps, waits, large, early, leased, leased_early, long, sends]
}

struct World {
    clock: Arc<FakeClock>,
    store: MemoryStore,
    results: Arc<MemoryResults>,
    client: Client,
    counter: Count,
    gate: Gate,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(FakeClock::new());
        let store = MemoryStore::new(clock.clone());
        let results = Arc::new(MemoryResults::new(clock.clone()));
        let client = Client::with_clock_and_entropy(
            store.handle(),
            Some(results.clone()),
            clock.clone(),
            Arc::new(SeededEntropy::new(1)),
        );
        let gate = Gate(Arc::new(tokio::sync::Semaphore::new(0)));
        Self { clock, store, results, client, counter: Count::default(), gate }
    }

    fn builder(&self) -> WorkerBuilder {
        Worker::builder()
            .tasks(all())
            .state(self.counter.clone())
            .state(self.gate.clone())
            .clock(self.clock.clone())
            .entropy(Arc::new(SeededEntropy::new(2)))
            .leases_on_thread(false)
            .retry(RetryPolicy::times(2))
            .name("w")
    }

    fn worker(&self) -> RunningWorker {
        self.builder().build(self.store.handle(), Some(self.results.clone())).unwrap().start()
    }

    /// Lets everything run that can, then moves time on until a condition holds.
    async fn until<T>(&self, what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
        for _ in 0..12_000 {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            if let Some(value) = check().await {
                return value;
            }
            self.clock.advance(Duration::from_millis(500));
        }
        panic!("never: {what}");
    }

    /// Sends them in one batch, which one reservation takes.
    async fn send(&self, calls: Vec<Call<()>>) -> Vec<TaskId> {
        let sent = self.client.send_all(calls).await.unwrap();
        sent.into_iter().map(|handle| handle.unwrap().id()).collect()
    }

    async fn ended(&self, id: TaskId) -> TaskRecord {
        self.until("the task ends", async || {
            self.results.get(&[id], None).await.unwrap().remove(0).filter(|row| row.state.is_terminal())
        })
        .await
    }

    async fn dead(&self, reason: DeadReason) {
        let queue = QueueName::default();
        self.until("a dead letter", async || {
            let page = self.client.broker().peek(&queue, Place::Dead, Page::first(10)).await.unwrap();
            page.items.iter().any(|message| message.reason == Some(reason)).then_some(())
        })
        .await;
    }

    async fn empty(&self) {
        let queue = QueueName::default();
        self.until("the queue is empty", async || {
            let depth = self.client.broker().depth(&queue, None).await.unwrap();
            (depth.ready + depth.delayed + depth.leased == 0).then_some(())
        })
        .await;
    }

    fn runs(&self) -> u32 {
        self.counter.0.load(Ordering::SeqCst)
    }
}

fn error_of(row: &TaskRecord) -> String {
    match &row.outcome {
        Outcome::Error(report) => format!("{}: {report}", report.kind),
        other => panic!("expected an error, found {other:?}"),
    }
}

#[tokio::test]
async fn a_task_runs_and_its_result_is_stored() {
    let world = World::new();
    let _worker = world.worker();
    let handle = add::delay(&world.client, 1, 3).await.unwrap();
    let row = world.ended(handle.id()).await;
    assert_eq!(
        (row.state, &row.outcome, row.arguments.as_str()),
        (TaskState::Success, &Outcome::Result("4".into()), "[1,3]")
    );
    assert_eq!((row.attempt, row.delivery, row.run, row.worker.as_str()), (0, 1, 1, "w"));
    world.empty().await;
}

#[tokio::test]
async fn a_plain_function_runs_on_a_thread() {
    let world = World::new();
    let _worker = world.worker();
    let handle = plain::delay(&world.client, 21).await.unwrap();
    assert_eq!(world.ended(handle.id()).await.outcome, Outcome::Result("42".into()));
}

#[tokio::test]
async fn a_task_sends_more_tasks() {
    let world = World::new();
    let _worker = world.worker();
    let handle = sends::delay(&world.client).await.unwrap();
    let Outcome::Result(id) = world.ended(handle.id()).await.outcome else { panic!("it failed") };
    let child: TaskId = id.trim_matches('"').parse().unwrap();
    assert_eq!(world.ended(child).await.outcome, Outcome::Result("4".into()));
}

#[tokio::test]
async fn a_failure_is_retried_after_its_delay_until_it_succeeds() {
    let world = World::new();
    let start = world.clock.now();
    let _worker = world.worker();
    let handle = flaky::delay(&world.client, 2).await.unwrap();
    let row = world.ended(handle.id()).await;
    assert_eq!(
        (row.state, row.delivery, &row.outcome),
        (TaskState::Success, 3, &Outcome::Result("3".into()))
    );
    assert!(row.finished_at.since(start) >= Duration::from_secs(20), "{:?}", row.finished_at.since(start));
    let history = world.results.history(handle.id()).await.unwrap();
    let states: Vec<TaskState> = history.iter().map(|attempt| attempt.state).collect();
    assert_eq!(states, [TaskState::Retry, TaskState::Retry, TaskState::Success]);
}

#[tokio::test]
async fn the_last_failure_leaves_a_dead_letter() {
    let world = World::new();
    let _worker = world.worker();
    let handle = flaky::delay(&world.client, 99).await.unwrap();
    let row = world.ended(handle.id()).await;
    assert_eq!((row.state, row.attempt), (TaskState::Failure, 4));
    world.dead(DeadReason::Exhausted).await;
    world.empty().await;
}

#[tokio::test]
async fn permanent_and_discarded_failures_are_not_retried() {
    let world = World::new();
    let _worker = world.worker();
    let permanent = fails::delay(&world.client, "permanent".into()).await.unwrap();
    let discarded = fails::delay(&world.client, "discard".into()).await.unwrap();
    assert_eq!(error_of(&world.ended(permanent.id()).await), "TaskError: never");
    world.dead(DeadReason::Permanent).await;
    let row = world.ended(discarded.id()).await;
    assert_eq!((row.state, row.delivery), (TaskState::Discarded, 1));
}

#[tokio::test]
async fn a_panic_is_a_failure_with_its_backtrace_and_ends_nothing_else() {
    let world = World::new();
    let _worker = world.worker();
    let handle = fails::call("now".into()).retry(RetryPolicy::NEVER).send(&world.client).await.unwrap();
    let row = world.ended(handle.id()).await;
    assert_eq!(error_of(&row), "panic: boom now");
    let Outcome::Error(report) = row.outcome else { unreachable!() };
    assert!(report.backtrace.is_some_and(|text| text.contains("runs.rs")));
    let next = add::delay(&world.client, 1, 1).await.unwrap();
    assert_eq!(world.ended(next.id()).await.state, TaskState::Success);
}

#[tokio::test]
async fn the_soft_limit_lets_a_task_finish_and_the_hard_one_ends_it() {
    let world = World::new();
    let _worker = world.worker();
    let polite = sleeps::delay(&world.client, true).await.unwrap();
    let rude = sleeps::call(false).retry(RetryPolicy::NEVER).send(&world.client).await.unwrap();
    assert_eq!(world.ended(polite.id()).await.outcome, Outcome::Result("\"finished cleanly\"".into()));
    let row = world.ended(rude.id()).await;
    assert!(error_of(&row).starts_with("timeout: "), "{row:?}");
    assert!(row.run_time.unwrap() >= Duration::from_secs(20));
}

#[tokio::test]
async fn what_expired_is_never_started() {
    let world = World::new();
    let handle = count::call().expires(Duration::from_secs(5)).send(&world.client).await.unwrap();
    world.clock.advance(Duration::from_secs(6));
    let _worker = world.worker();
    assert_eq!(world.ended(handle.id()).await.state, TaskState::Expired);
    assert_eq!(world.runs(), 0);
}

#[tokio::test]
async fn a_cancelled_task_does_not_run_and_a_running_one_stops() {
    let world = World::new();
    let waiting = count::delay(&world.client).await.unwrap();
    assert_eq!(waiting.cancel().await.unwrap(), Cancelled::Waiting);
    let _worker = world.worker();
    assert_eq!(world.ended(waiting.id()).await.state, TaskState::Revoked);
    assert_eq!(world.runs(), 0);
    let running = waits::delay(&world.client).await.unwrap();
    world.until("it runs", async || (world.runs() == 1).then_some(())).await;
    assert_eq!(running.cancel().await.unwrap(), Cancelled::Leased);
    assert_eq!(world.ended(running.id()).await.state, TaskState::Revoked);
}

#[tokio::test]
async fn an_unknown_task_is_given_back_then_set_aside_then_taken_back() {
    let world = World::new();
    let worker = world.builder().build(world.store.handle(), Some(world.results.clone())).unwrap().start();
    let id = world.client.send_by_name("later.release", serde_json::json!([])).await.unwrap().id();
    let row = world.ended(id).await;
    assert_eq!(row.state, TaskState::Failure);
    assert!(error_of(&row).starts_with("undeliverable: "), "{row:?}");
    world.dead(DeadReason::Undeliverable).await;
    worker.stop_now();
    drop(worker);
    let mut def = count::def();
    def.name = "later.release";
    let _newer = world
        .builder()
        .tasks([def])
        .build(world.store.handle(), Some(world.results.clone()))
        .unwrap()
        .start();
    world
        .until("it ran", async || {
            let row = world.results.get(&[id], None).await.unwrap().remove(0);
            row.filter(|row| row.state == TaskState::Success && row.run == 2)
        })
        .await;
}

#[tokio::test]
async fn bytes_that_nobody_can_read_are_set_aside_and_the_worker_goes_on() {
    let world = World::new();
    let _worker = world.worker();
    let garbage = Message {
        id: TaskId::from_bytes([9; 16]),
        queue: QueueName::default(),
        priority: Priority::LOWEST,
        delay: Delay::None,
        unique: None,
        fence: None,
        body: b"garbage".to_vec(),
    };
    world.client.broker().publish(&[garbage], None).await.unwrap();
    world.dead(DeadReason::Unreadable).await;
    let next = add::delay(&world.client, 1, 1).await.unwrap();
    assert_eq!(world.ended(next.id()).await.state, TaskState::Success);
}

#[tokio::test]
async fn wrong_arguments_fail_at_once_and_say_what_was_expected() {
    let world = World::new();
    let _worker = world.worker();
    let handle = world.client.send_by_name("add", serde_json::json!([1, 2, 3])).await.unwrap();
    let row = world.ended(handle.id()).await;
    assert!(error_of(&row).contains("found 3 arguments, expected 2; expected (x: i64, y: i64)"), "{row:?}");
    assert_eq!(row.delivery, 1);
}

#[tokio::test]
async fn a_result_that_is_too_large_leaves_a_marker() {
    let world = World::new();
    let _worker = world
        .builder()
        .result_limit(100)
        .build(world.store.handle(), Some(world.results.clone()))
        .unwrap()
        .start();
    let handle = large::delay(&world.client, 1_000).await.unwrap();
    let row = world.ended(handle.id()).await;
    assert_eq!(row.state, TaskState::Success);
    assert!(matches!(&row.outcome, Outcome::Marker(why) if why.contains("the limit is 100")), "{row:?}");
}

#[tokio::test]
async fn a_graceful_stop_gives_back_what_it_cuts_off_and_spends_no_attempt() {
    let world = World::new();
    let worker = world.worker();
    let handle = waits::delay(&world.client).await.unwrap();
    world.until("it runs", async || (world.runs() == 1).then_some(())).await;
    worker.stop();
    let id = handle.id();
    let found = world
        .until("it is given back", async || {
            let found = world.client.broker().find(id, None).await.unwrap()?;
            (found.place == Place::Ready).then_some(found)
        })
        .await;
    assert_eq!((found.attempt, found.losses), (0, 0));
    assert!(worker.join().await.unwrap().cut_off);
}

#[tokio::test]
async fn what_ended_before_is_not_run_again() {
    let world = World::new();
    let handle = count::delay(&world.client).await.unwrap();
    // A worker that recorded its end and was killed before it settled.
    let broker = world.store.handle();
    let (queue, token) = (QueueName::default(), Token::from_bytes([1; 16]));
    let lease = Duration::from_secs(30);
    let request = Reserve { queue: &queue, want: SlotWants::any(1), token, lease, suspects: true };
    let delivery = broker.reserve(request, None).await.unwrap().deliveries.remove(0);
    let record = TaskRecord {
        id: handle.id(),
        run: delivery.run,
        delivery: delivery.delivery,
        attempt: 0,
        task: "count".into(),
        arguments: "[]".into(),
        state: TaskState::Success,
        outcome: Outcome::Result("1".into()),
        worker: "killed".into(),
        queue: queue.clone(),
        priority: Priority::LOWEST,
        enqueued_at: delivery.published_at,
        started_at: None,
        finished_at: world.clock.now(),
        run_time: None,
        schedule: None,
        lineage: None,
        headers: std::collections::BTreeMap::new(),
        keep_for: Duration::from_secs(100_000),
        warning: None,
    };
    world.results.record(&[record], None).await.unwrap();
    let _worker = world.worker();
    world.empty().await;
    assert_eq!(world.runs(), 0);
    assert_eq!(world.ended(handle.id()).await.worker, "killed");
}

fn chosen(number: u8) -> TaskId {
    TaskId::from_bytes([number; 16])
}

#[tokio::test]
async fn an_id_sent_again_after_its_end_runs_once() {
    let world = World::new();
    let _worker = world.worker();
    for store in [true, false] {
        let id = chosen(u8::from(store));
        let before = world.runs();
        for _ in 0..3 {
            count::call().id(id).store_result(store).send(&world.client).await.unwrap();
            world.empty().await;
        }
        assert_eq!(world.runs() - before, 1, "with its result stored: {store}");
        assert_eq!(world.ended(id).await.delivery, 1);
    }
}

#[tokio::test]
async fn an_id_sent_again_runs_again_without_a_result_store() {
    let world = World::new();
    let _worker = world.builder().build(world.store.handle(), None).unwrap().start();
    for _ in 0..2 {
        count::call().id(chosen(1)).send(&world.client).await.unwrap();
        world.empty().await;
    }
    assert_eq!(world.runs(), 2);
}

#[tokio::test]
async fn a_failed_id_sent_again_is_a_dead_letter_until_retried() {
    let world = World::new();
    let _worker = world.worker();
    let (id, queue, broker) = (chosen(1), QueueName::default(), world.client.broker());
    let call = || fails::call("permanent".into()).id(id);
    call().send(&world.client).await.unwrap();
    world.dead(DeadReason::Permanent).await;
    assert!(call().send(&world.client).await.is_err(), "a dead letter is live");
    let first = world.ended(id).await;
    assert_eq!(broker.delete_dead(&queue, &[id]).await.unwrap(), 1);
    call().send(&world.client).await.unwrap();
    world.dead(DeadReason::Exhausted).await;
    assert_eq!(world.ended(id).await, first);
    assert_eq!(world.results.history(id).await.unwrap().len(), 1);
    assert_eq!(broker.requeue_dead(&queue, &[id], None).await.unwrap(), 1);
    world.dead(DeadReason::Permanent).await;
    assert_eq!(world.ended(id).await.run, 2);
}

#[tokio::test]
async fn an_id_sent_again_continues_a_run_that_waits_for_its_retry() {
    let world = World::new();
    let _worker = world.worker();
    let (id, queue, broker) = (chosen(1), QueueName::default(), world.client.broker());
    let call = || flaky::call(1).id(id);
    call().send(&world.client).await.unwrap();
    world
        .until("its retry waits", async || {
            let message = broker.find(id, Some(&queue)).await.unwrap()?;
            (message.place == Place::Delayed && message.attempt == 1).then_some(())
        })
        .await;
    assert_eq!(broker.purge(&queue, Place::Delayed, 10).await.unwrap(), 1);
    call().send(&world.client).await.unwrap();
    let row = world.ended(id).await;
    assert_eq!((row.state, row.delivery, row.attempt), (TaskState::Success, 2, 1));
}

const LEASE: Duration = Duration::from_secs(30);

fn thief() -> Token {
    Token::from_bytes([2; 16])
}

/// A worker is frozen beyond its lease: others maintain the queue for a full lease, and then somebody else gets what it held.
async fn steal(world: &World, other: &dyn Broker) -> Vec<Delivery> {
    let queue = QueueName::default();
    let mut far = world.clock.now().plus(Duration::from_secs(3_600));
    for _ in 0..4 {
        other.maintain(&queue, 100, LEASE, Some(far)).await.unwrap();
        far = far.plus(LEASE / 3);
    }
    let lease = Duration::from_secs(100_000);
    let request = Reserve { queue: &queue, want: SlotWants::any(10), token: thief(), lease, suspects: true };
    other.reserve(request, Some(far)).await.unwrap().deliveries
}

#[tokio::test]
async fn short_lease_is_taken_over_within_a_second_of_its_end() {
    for lease in [1, 3, 9].map(Duration::from_secs) {
        let world = World::new();
        let step = async || {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            world.clock.advance(Duration::from_millis(100));
        };
        let worker = world.builder().lease(lease).build(world.store.handle(), Some(world.results.clone()));
        let _worker = worker.unwrap().start();
        for _ in 0..200 {
            step().await;
        }
        // Another worker is faster, and is killed.
        let handle = count::delay(&world.client).await.unwrap();
        let (queue, token) = (QueueName::default(), Token::from_bytes([1; 16]));
        let request = Reserve { queue: &queue, want: SlotWants::any(1), token, lease, suspects: true };
        let other = world.store.handle();
        assert_eq!(other.reserve(request, None).await.unwrap().deliveries.len(), 1);
        let killed = world.clock.now();
        while world.runs() == 0 {
            step().await;
            let waited = world.clock.now().since(killed);
            assert!(waited <= lease + Duration::from_secs(1), "lease {lease:?}: not after {waited:?}");
        }
        drop(handle);
    }
}

#[tokio::test]
async fn a_lost_lease_stops_the_run_and_settles_nothing() {
    let world = World::new();
    let worker = world.worker();
    let handle = waits::delay(&world.client).await.unwrap();
    world.until("it runs", async || (world.runs() == 1).then_some(())).await;
    let other = world.store.handle();
    let stolen = steal(&world, &*other).await;
    assert_eq!(
        stolen.iter().map(|delivery| (delivery.losses, delivery.delivery)).collect::<Vec<_>>(),
        [(1, 2)]
    );
    // It wakes up and renews: the run ends, so that a stop has nothing to wait for or to cut off.
    world.clock.advance(LEASE);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    worker.stop();
    let summary = worker.join().await.unwrap();
    assert_eq!((summary.succeeded, summary.failed, summary.cut_off), (0, 0, false));
    let ack = Settlement { id: handle.id(), how: Settle::Ack };
    let settled = other.settle(&QueueName::default(), thief(), &[ack], None).await.unwrap();
    assert_eq!(settled, [lovage_core::Settled::Applied]);
    assert_eq!(world.results.get(&[handle.id()], None).await.unwrap(), [None]);
}

/// Freezes the process for a minute when it has received its first task.
struct Frozen(Arc<FakeClock>, AtomicBool);

impl Hooks for Frozen {
    fn event(&self, event: &WorkerEvent) {
        if matches!(event, WorkerEvent::Received { .. }) && !self.1.swap(true, Ordering::SeqCst) {
            self.0.advance(Duration::from_secs(60));
        }
    }
}

#[tokio::test]
async fn what_was_reserved_before_a_freeze_is_not_started_after_it() {
    let world = World::new();
    let frozen = Arc::new(Frozen(world.clock.clone(), AtomicBool::default()));
    let builder = world.builder().hooks(frozen);
    let worker = builder.build(world.store.handle(), Some(world.results.clone())).unwrap().start();
    let handle = count::delay(&world.client).await.unwrap();
    let record = world.ended(handle.id()).await;
    assert_eq!((record.state, record.delivery, record.attempt, world.runs()), (TaskState::Success, 2, 0, 1));
    worker.stop();
    worker.join().await.unwrap();
}

/// A result store that takes nothing until it is mended.
#[derive(Debug)]
struct Broken {
    inner: Arc<MemoryResults>,
    kind: BackendErrorKind,
    refused: AtomicU32,
    mended: AtomicBool,
}

#[async_trait::async_trait]
impl ResultStore for Broken {
    async fn record(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError> {
        if self.mended.load(Ordering::SeqCst) {
            return self.inner.record(batch, now).await;
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(BackendError::new(self.kind, "the disk is full"))
    }
    async fn get(
        &self,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<Vec<Option<TaskRecord>>, BackendError> {
        self.inner.get(ids, now).await
    }
    async fn history(&self, id: TaskId) -> Result<Vec<AttemptRecord>, BackendError> {
        self.inner.history(id).await
    }
    async fn list(&self, filter: &ResultFilter, page: Page) -> Result<Found, BackendError> {
        self.inner.list(filter, page).await
    }
    async fn expire(&self, limit: usize, now: Option<Timestamp>) -> Result<usize, BackendError> {
        self.inner.expire(limit, now).await
    }
    async fn delete(&self, ids: &[TaskId]) -> Result<usize, BackendError> {
        self.inner.delete(ids).await
    }
}

#[tokio::test]
async fn what_is_not_recorded_is_not_settled_whatever_the_store_says() {
    for kind in [BackendErrorKind::Unavailable, BackendErrorKind::Refused, BackendErrorKind::Corrupt] {
        let world = World::new();
        let broken = Arc::new(Broken {
            inner: world.results.clone(),
            kind,
            refused: AtomicU32::new(0),
            mended: AtomicBool::new(false),
        });
        let _worker = world.builder().build(world.store.handle(), Some(broken.clone())).unwrap().start();
        let handle = count::delay(&world.client).await.unwrap();
        world
            .until("it is tried again", async || (broken.refused.load(Ordering::SeqCst) >= 20).then_some(()))
            .await;
        let found = world.client.broker().find(handle.id(), None).await.unwrap().unwrap();
        assert_eq!((found.place, world.runs()), (Place::Leased, 1), "{kind:?}");
        broken.mended.store(true, Ordering::SeqCst);
        let mended = world.clock.now();
        assert_eq!(world.ended(handle.id()).await.state, TaskState::Success);
        let took = world.clock.now().since(mended);
        assert!(took <= Duration::from_secs(1), "{kind:?}: {took:?}");
        world.empty().await;
        assert_eq!(world.runs(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn an_early_acknowledged_task_runs_at_most_once() {
    let world = World::new();
    let _worker = world.worker();
    let handle = early::delay(&world.client).await.unwrap();
    assert_eq!(world.ended(handle.id()).await.state, TaskState::Failure);
    world.empty().await;
    assert_eq!(world.runs(), 1);
}

#[tokio::test]
async fn a_run_is_told_of_its_lease_where_it_holds_one() {
    let world = World::new();
    let _worker = world.worker();
    for (call, told) in [(leased::call(), "true"), (leased_early::call(), "false")] {
        let handle = world.client.send(call).await.unwrap();
        assert_eq!(world.ended(handle.id()).await.outcome, Outcome::Result(told.to_owned()));
    }
}

#[tokio::test]
async fn what_was_settled_early_holds_no_lease_beside_others_that_do() {
    let world = World::new();
    let ids = world.send(vec![long::call(), waits::call(), long::call()]).await;
    let start = world.clock.now();
    let worker = world.worker();
    world.until("all run", async || (world.runs() == 3).then_some(())).await;
    let five_leases = Duration::from_secs(150);
    world.until("leases end", async || (world.clock.now().since(start) > five_leases).then_some(())).await;
    let found = world.client.broker().find(ids[1], None).await.unwrap().unwrap();
    assert_eq!((found.place, found.delivery), (Place::Leased, 1), "its lease is renewed");
    world.gate.0.add_permits(2);
    for id in [ids[0], ids[2]] {
        assert_eq!(world.ended(id).await.state, TaskState::Success);
    }
    world.client.cancel(ids[1]).await.unwrap();
    assert_eq!(world.ended(ids[1]).await.state, TaskState::Revoked);
    world.empty().await;
    assert_eq!(world.runs(), 3);
    drop(worker);
}

#[tokio::test]
async fn a_lease_that_others_lose_stops_nothing_that_was_settled_early() {
    let world = World::new();
    let ids = world.send(vec![long::call(), waits::call()]).await;
    let _worker = world.worker();
    world.until("both run", async || (world.runs() == 2).then_some(())).await;
    let other = world.store.handle();
    let stolen = steal(&world, &*other).await;
    assert_eq!(stolen.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [ids[1]]);
    let one_runs = async || {
        let workers = other.workers(None).await.unwrap();
        let active = &workers.first()?.active;
        (active.len() == 1 && active[0].id == ids[0]).then_some(())
    };
    world.until("the lost one stops", one_runs).await;
    world.gate.0.add_permits(1);
    assert_eq!(world.ended(ids[0]).await.state, TaskState::Success);
}

#[tokio::test]
async fn a_worker_does_not_start_with_a_missing_state_or_without_tasks() {
    let world = World::new();
    let no_state = Worker::builder()
        .tasks(tasks![add, count])
        .build(world.store.handle(), None)
        .unwrap_err()
        .to_string();
    assert!(no_state.contains("count needs State<") && no_state.contains("Count"), "{no_state}");
    let no_task = Worker::builder().build(world.store.handle(), None).unwrap_err().to_string();
    assert!(no_task.contains("tasks!["), "{no_task}");
    let twice =
        Worker::builder().tasks(tasks![add, add]).build(world.store.handle(), None).unwrap_err().to_string();
    assert!(twice.contains("two tasks are named `add`"), "{twice}");
}

#[tokio::test]
async fn burst_ends_when_the_queue_is_empty() {
    let world = World::new();
    for n in 0..300 {
        add::delay(&world.client, n, n).await.unwrap();
    }
    let mut worker =
        world.builder().burst(true).build(world.store.handle(), Some(world.results.clone())).unwrap().start();
    let summary = worker.ended().await.unwrap();
    assert_eq!((summary.succeeded, summary.failed, summary.unsettled), (300, 0, 0));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let _worker = world.worker();
            let mut ids = Vec::new();
            for n in 0..20 {
                ids.push(flaky::delay(&world.client, n % 4).await.unwrap().id());
            }
            let mut rows = Vec::new();
            for id in ids {
                let row = world.ended(id).await;
                rows.push((id, row.state, row.delivery, row.finished_at));
            }
            rows
        })
    };
    assert_eq!(story(), story());
}

#[tokio::test]
async fn an_unreadable_version_waits_for_another_worker() {
    let world = World::new();
    let _worker = world.worker();
    let mut body = Envelope::new("add", Payload::empty()).encode();
    body[0] = 2;
    let message = Message {
        id: TaskId::from_bytes([8; 16]),
        queue: QueueName::default(),
        priority: Priority::LOWEST,
        delay: Delay::None,
        unique: None,
        fence: None,
        body,
    };
    world.client.broker().publish(&[message], None).await.unwrap();
    let found = world
        .until("it is given back", async || {
            let found = world.client.broker().find(TaskId::from_bytes([8; 16]), None).await.unwrap()?;
            (found.place == Place::Delayed).then_some(found)
        })
        .await;
    assert_eq!(found.attempt, 0);
}
