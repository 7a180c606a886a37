//! Tasks that hold their threads are told of, and so is a worker of which they hold all. With real threads, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_worker as lovage;

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use lovage::{Client, RunningWorker, State, TaskError, TaskId, Worker, tasks};
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_core::{Cancelled, Clock as _, Timestamp, WorkerInfo};
use lovage_testkit::{FakeClock, FaultyBroker, Operation, SeededEntropy};
use tokio::runtime::{Builder, Runtime};

/// Holds threads until it is opened.
#[derive(Clone, Default, Debug)]
struct Gate(Arc<(Mutex<(u32, bool)>, Condvar)>);

impl Gate {
    /// Says that somebody is here, and holds this thread.
    fn pass(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().0 += 1;
        changed.notify_all();
        drop(changed.wait_while(state.lock().unwrap(), |(_, open)| !*open).unwrap());
    }

    fn wait_for(&self, number: u32) {
        let (state, changed) = &*self.0;
        drop(changed.wait_while(state.lock().unwrap(), |(here, _)| *here < number).unwrap());
    }

    fn open(&self) {
        self.0.0.lock().unwrap().1 = true;
        self.0.1.notify_all();
    }
}

#[lovage::task(name = "spins")]
async fn spins(gate: State<Gate>) -> Result<(), TaskError> {
    gate.pass();
    Ok(())
}

#[lovage::task(name = "waits")]
async fn waits() -> Result<(), TaskError> {
    std::future::pending().await
}

#[lovage::task(name = "plain")]
fn plain(gate: State<Gate>) -> Result<(), TaskError> {
    gate.pass();
    Ok(())
}

#[lovage::task(name = "hangs", time_limit = "5s")]
fn hangs(gate: State<Gate>) -> Result<(), TaskError> {
    gate.pass();
    Ok(())
}

#[lovage::task(name = "noop")]
async fn noop() -> Result<(), TaskError> {
    Ok(())
}

struct World {
    clock: Arc<FakeClock>,
    store: MemoryStore,
    broker: Arc<FaultyBroker>,
    client: Client,
    gate: Gate,
    runtime: Runtime,
    /// The gate holds all threads of the runtime.
    is_stuck: bool,
    _worker: RunningWorker,
}

impl World {
    fn new(threads: usize) -> Self {
        Self::with_slots(threads, 2)
    }

    fn with_slots(threads: usize, blocking: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
        let clock = Arc::new(FakeClock::new());
        let store = MemoryStore::new(clock.clone());
        let results = Arc::new(MemoryResults::new(clock.clone()));
        let entropy = Arc::new(SeededEntropy::new(1));
        let client =
            Client::with_clock_and_entropy(store.handle(), Some(results.clone()), clock.clone(), entropy);
        let gate = Gate::default();
        let broker = FaultyBroker::new(store.handle());
        let worker = Worker::builder()
            .tasks(tasks![spins, waits, plain, hangs, noop])
            .blocking(blocking)
            .state(gate.clone())
            .clock(clock.clone())
            .build(broker.clone(), Some(results))
            .unwrap();
        let guard = runtime.enter();
        let _worker = worker.start();
        drop(guard);
        let world = Self { clock, store, broker, client, gate, runtime, is_stuck: false, _worker };
        while world.info().is_none() {
            std::thread::yield_now();
        }
        world
    }

    /// What the worker said last, or what was said for it.
    fn info(&self) -> Option<WorkerInfo> {
        self.store.handle().workers(None).now_or_never().unwrap().unwrap().pop()
    }

    /// Whether the lease keeper has looked, and a loop that can go on has done so since: then time may go on.
    fn is_at_rest(&self) -> bool {
        let keeper_sleeps = self.clock.next_wake().is_some_and(|time| time <= Duration::from_secs(1));
        if keeper_sleeps && !self.is_stuck {
            // Through the loop and back.
            let there_and_back = async { noop::delay(&self.client).await.unwrap().get(Duration::MAX).await };
            self.runtime.block_on(there_and_back).unwrap();
        }
        keeper_sleeps
    }

    /// Lets time go on, never further than to the lease keeper's next look, until that is so. The worker stays registered.
    #[track_caller]
    fn until(&self, what: &str, is: impl Fn(&WorkerInfo) -> bool) -> WorkerInfo {
        let begin = self.clock.monotonic();
        loop {
            let info = self.info().unwrap();
            if is(&info) {
                return info;
            }
            let passed = self.clock.monotonic() - begin;
            assert!(passed < Duration::from_secs(30), "not within 30 s: {what}: {info:?}");
            if self.is_at_rest() {
                self.clock.advance_to_next();
            } else {
                std::thread::yield_now();
            }
        }
    }

    /// Lets that time pass for a worker that lives.
    fn pass(&self, time: Duration) -> WorkerInfo {
        let until = self.clock.now().plus(time);
        while self.clock.now() < until {
            let last = self.info().unwrap().seen_at;
            self.until("a later heartbeat", |info| info.seen_at > last);
        }
        self.info().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The runtime waits for its threads.
        self.gate.open();
    }
}

fn run(info: &WorkerInfo, task: &str) -> bool {
    info.active.iter().any(|active| active.task == task)
}

fn blocking(info: &WorkerInfo) -> Vec<(&str, Timestamp)> {
    info.active.iter().filter_map(|task| Some((task.task.as_str(), task.blocks_since?))).collect()
}

#[test]
fn a_task_that_holds_its_thread_is_told_soon() {
    let world = World::new(3);
    let begin = world.clock.now();
    world.runtime.block_on(async {
        waits::delay(&world.client).await.unwrap();
        spins::delay(&world.client).await.unwrap();
    });
    world.gate.wait_for(1);
    let info = world.until("it blocks", |info| !blocking(info).is_empty());
    let since = blocking(&info)[0].1;
    assert_eq!(blocking(&info), [("spins", since)]);
    assert!(since >= begin);
    assert_eq!((run(&info, "waits"), info.stuck_since), (true, None));
    world.gate.open();
    world.until("it has ended", |info| !run(info, "spins"));
    assert_eq!(world.broker.calls(Operation::SpeakFor), 0, "nobody had to speak for the loop");
}

#[test]
fn a_worker_without_a_free_thread_stays_registered_and_says_why_it_is_stuck() {
    let mut world = World::new(1);
    let handle = world.runtime.block_on(spins::delay(&world.client)).unwrap();
    world.gate.wait_for(1);
    world.is_stuck = true;
    let info =
        world.until("it is stuck, and why", |info| info.stuck_since.is_some() && !blocking(info).is_empty());
    assert_eq!(blocking(&info).iter().map(|(task, _)| *task).collect::<Vec<_>>(), ["spins"]);
    let since = info.stuck_since.unwrap();
    assert_eq!(world.pass(Duration::from_secs(60)).stuck_since, Some(since));
    world.gate.open();
    world.is_stuck = false;
    let info = world.until("it goes on", |info| !run(info, "spins"));
    assert_eq!((info.stuck_since, blocking(&info)), (None, vec![]));
    world.runtime.block_on(handle.get(Duration::from_secs(10))).unwrap();
}

#[test]
fn who_awaits_or_has_a_thread_of_its_own_does_not_block() {
    let world = World::new(1);
    world.runtime.block_on(async {
        waits::delay(&world.client).await.unwrap();
        plain::delay(&world.client).await.unwrap();
    });
    world.gate.wait_for(1);
    let info = world.pass(Duration::from_secs(60));
    assert!(run(&info, "waits") && run(&info, "plain"));
    assert_eq!((info.stuck_since, blocking(&info)), (None, vec![]));
    assert_eq!(world.broker.calls(Operation::SpeakFor), 0);
}

fn abandoned(info: &WorkerInfo) -> Vec<TaskId> {
    info.abandoned.iter().map(|thread| thread.id).collect()
}

#[test]
fn threads_of_ended_tasks_are_shown_until_they_end() {
    let world = World::with_slots(1, 2);
    let begin = world.clock.now();
    let mut ids = Vec::new();
    for number in 1..=3 {
        // The slot of an abandoned thread is free, so that the third one starts.
        let handle = world.runtime.block_on(plain::delay(&world.client)).unwrap();
        world.gate.wait_for(number);
        assert_eq!(world.runtime.block_on(handle.cancel()).unwrap(), Cancelled::Leased);
        ids.push(handle.id());
        let info = world.until("the thread is shown", |info| abandoned(info) == ids);
        assert!(!run(&info, "plain"), "its task has ended");
    }
    let late = world.runtime.block_on(hangs::delay(&world.client)).unwrap();
    world.gate.wait_for(4);
    ids.push(late.id());
    let info = world.until("the thread of the task past its limit is shown", |info| abandoned(info) == ids);
    let last = &info.abandoned[3];
    assert_eq!((last.task.as_str(), last.queue.as_str()), ("hangs", "default"));
    assert!(begin <= info.abandoned[0].started_at && last.started_at < last.abandoned_at, "{info:?}");
    world.gate.open();
    world.until("all threads have ended", |info| info.abandoned.is_empty());
}

#[test]
fn threads_that_end_with_their_tasks_are_not_abandoned() {
    let world = World::new(1);
    let handle = world.runtime.block_on(plain::delay(&world.client)).unwrap();
    world.gate.wait_for(1);
    world.gate.open();
    world.runtime.block_on(handle.get(Duration::from_secs(10))).unwrap();
    assert_eq!(abandoned(&world.pass(Duration::from_secs(10))), []);
}

#[test]
fn slots_of_too_many_abandoned_threads_stay_taken() {
    let world = World::with_slots(1, 101);
    let send = |number: u32| {
        let calls = (0..number).map(|_| plain::call());
        let sent = world.runtime.block_on(world.client.send_all(calls.collect())).unwrap();
        sent.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    };
    let first = send(101);
    world.gate.wait_for(101);
    for handle in first {
        world.runtime.block_on(handle.cancel()).unwrap();
    }
    world.until("101 threads are abandoned", |info| info.abandoned.len() == 101);
    send(101);
    world.gate.wait_for(201);
    assert_eq!(world.pass(Duration::from_secs(10)).active.len(), 100, "one slot stays taken");
    world.gate.open();
    world.until("all tasks have ended", |info| info.abandoned.is_empty() && info.succeeded >= 101);
}
