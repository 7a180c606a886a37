//! One store, one broker, any number of beats that are moved on by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lovage_broker_memory::{MemorySchedules, MemoryStore};
use lovage_core::schedule::{Entry, Expected, Firing, HistoryQuery, StoredEntry, Units as _, every};
use lovage_core::{
    BoxFuture, Broker, Clock, Envelope, Page, QueueName, Reserve, Settle, Settlement, SlotWants, StoreId,
    TaskId, Timestamp, Token,
};
use lovage_scheduler::Scheduler;
use lovage_testkit::{FakeClock, FaultyBroker, SeededEntropy};

use crate::gate::Gate;

pub(crate) struct Bed {
    pub(crate) clock: FakeClock,
    /// The clock of the schedule store, which may be another one than that of the broker.
    pub(crate) store_clock: StoreClock,
    pub(crate) schedules: MemorySchedules,
    pub(crate) queues: MemoryStore,
    pub(crate) start: Timestamp,
    entropy: SeededEntropy,
    consumer: Arc<dyn Broker>,
    /// What was published for each entry and slot.
    pub(crate) ran: BTreeMap<(String, Timestamp), Vec<TaskId>>,
    /// Whether the clock was set back: a beat that died before it wrote what it had published then publishes it again, and
    /// the worker finds that the task has ended.
    pub(crate) was_set_back: bool,
}

/// A clock that is ahead of another one, or is not.
#[derive(Clone, Debug)]
pub(crate) struct StoreClock {
    clock: FakeClock,
    ahead: Arc<AtomicI64>,
}

impl StoreClock {
    pub(crate) fn set_ahead(&self, seconds: i64) {
        self.ahead.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::SeqCst) * 1_000_000;
        Timestamp::from_micros(self.clock.now().as_micros() + ahead)
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        self.clock.sleep_until(deadline)
    }
}

/// A beat that does nothing until it is polled. Dropping it is a crash.
pub(crate) struct Beat {
    pub(crate) store: Arc<Gate>,
    pub(crate) broker: Arc<FaultyBroker>,
    run: BoxFuture<'static, ()>,
}

impl Bed {
    pub(crate) fn new(seed: u64) -> Self {
        let clock = FakeClock::new();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let queues = MemoryStore::new(shared.clone());
        let store_clock = StoreClock { clock: clock.clone(), ahead: Arc::default() };
        Self {
            start: clock.now(),
            schedules: MemorySchedules::new(Arc::new(store_clock.clone())),
            store_clock,
            consumer: queues.handle(),
            entropy: SeededEntropy::new(seed),
            ran: BTreeMap::new(),
            was_set_back: false,
            queues,
            clock,
        }
    }

    pub(crate) fn beat(&self) -> Beat {
        self.beat_with(|scheduler| scheduler)
    }

    pub(crate) fn beat_with(&self, set: impl FnOnce(Scheduler) -> Scheduler) -> Beat {
        self.beat_until(set, std::future::pending())
    }

    /// A beat of this schedule on the broker of another bed.
    pub(crate) fn beat_on(&self, other: &Self) -> Beat {
        let (store, broker) = (Gate::new(self.schedules.handle()), FaultyBroker::new(other.queues.handle()));
        let scheduler = Scheduler::new(store.clone(), broker.clone(), Arc::new(self.clock.clone()));
        Beat { store, broker, run: Box::pin(scheduler.run_until(std::future::pending())) }
    }

    pub(crate) fn beat_until(
        &self,
        set: impl FnOnce(Scheduler) -> Scheduler,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Beat {
        let store = Gate::new(self.schedules.handle());
        let broker = FaultyBroker::new(self.queues.handle());
        let scheduler = set(Scheduler::new(store.clone(), broker.clone(), Arc::new(self.clock.clone())));
        Beat { store, broker, run: Box::pin(scheduler.run_until(stop)) }
    }

    pub(crate) fn add(&self, entry: &Entry) -> StoredEntry {
        now(self.use_schedules().put(entry, Expected::New, None)).unwrap();
        self.read(entry.name.as_str())
    }

    pub(crate) fn read(&self, name: &str) -> StoredEntry {
        now(self.use_schedules().get(&[name])).unwrap().remove(0).unwrap().unwrap()
    }

    /// Edits an entry as a person does.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Entry)) {
        let stored = self.read(name);
        let mut entry = stored.entry;
        edit(&mut entry);
        now(self.use_schedules().put(&entry, Expected::Revision(stored.revision), None)).unwrap();
    }

    pub(crate) fn enable(&self, name: &str, enabled: bool) {
        now(self.use_schedules().set_enabled(name, enabled, None)).unwrap();
    }

    /// The oldest first.
    pub(crate) fn history(&self, name: &str) -> Vec<Firing> {
        let (mut found, mut page) = (Vec::new(), Page::first(1_000));
        loop {
            let part = now(self.use_schedules().history(&HistoryQuery::of(name), page)).unwrap();
            found.extend(part.items);
            let Some(next) = part.next else { break };
            page = Page { after: Some(next), limit: 1_000 };
        }
        found.reverse();
        found
    }

    /// Runs what was published and waits.
    pub(crate) fn consume(&mut self) {
        let queue = QueueName::default();
        loop {
            let token = Token::new(&self.entropy);
            let lease = Duration::from_secs(60);
            let request = Reserve { queue: &queue, want: SlotWants::any(100), token, lease, suspects: false };
            let found = now(self.consumer.reserve(request, None)).unwrap().deliveries;
            if found.is_empty() {
                return;
            }
            let mut ends = Vec::new();
            for delivery in found {
                let slot = Envelope::decode(&delivery.body).unwrap().schedule.unwrap();
                let ran = self.ran.entry((slot.name, slot.slot)).or_default();
                if !(self.was_set_back && ran.contains(&delivery.id)) {
                    ran.push(delivery.id);
                }
                ends.push(Settlement { id: delivery.id, how: Settle::Ack });
            }
            now(self.consumer.settle(&queue, token, &ends, None)).unwrap();
        }
    }

    /// The slots of an entry that ran, in seconds since the start. Each ran once.
    pub(crate) fn ran(&mut self, name: &str) -> Vec<i64> {
        self.consume();
        let of_name = self.ran.iter().filter(|((entry, _), _)| entry == name);
        of_name
            .map(|((_, slot), tasks)| {
                assert_eq!(tasks.len(), 1, "{name} {slot}");
                self.seconds(*slot)
            })
            .collect()
    }

    pub(crate) fn store_id(&self) -> StoreId {
        now(self.use_schedules().identity()).unwrap().id
    }

    pub(crate) fn seconds(&self, at: Timestamp) -> i64 {
        (at.as_micros() - self.start.as_micros()) / 1_000_000
    }

    pub(crate) fn at(&self, seconds: i64) -> Timestamp {
        Timestamp::from_micros(self.start.as_micros() + seconds * 1_000_000)
    }

    /// The history in words: `10 fired`, `20-40 misfire`.
    pub(crate) fn told(&self, name: &str) -> Vec<String> {
        let word = |firing: &Firing| {
            let (first, last) = (self.seconds(firing.slot), self.seconds(firing.last_slot));
            let range = if first == last { format!("{first}") } else { format!("{first}-{last}") };
            format!("{range} {}", firing.fate.as_str())
        };
        self.history(name).iter().map(word).collect()
    }

    /// Lets time pass, in steps that are shorter than anything that a beat waits for.
    pub(crate) fn pass(&self, time: Duration, beats: &mut [&mut Beat]) {
        const STEP: Duration = Duration::from_millis(25);
        let end = self.clock.monotonic() + time;
        loop {
            beats.iter_mut().for_each(|beat| beat.settle());
            let left = end.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return;
            }
            self.clock.advance(STEP.min(left));
        }
    }

    fn use_schedules(&self) -> &dyn lovage_core::schedule::ScheduleStore {
        &self.schedules
    }
}

impl Beat {
    /// One turn. Answers whether it has ended.
    pub(crate) fn poll(&mut self) -> bool {
        self.run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Turns until nothing more happens without time passing.
    pub(crate) fn settle(&mut self) {
        for _ in 0..40 {
            if self.poll() {
                return;
            }
        }
    }
}

/// What is ready at once, as everything in memory is.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match Box::pin(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

/// An entry that loses no slot.
pub(crate) fn each(name: &str, seconds: u64) -> Entry {
    let when = every(seconds.secs()).misfire(lovage_core::schedule::Misfire::All(10_000));
    when.entry(name, "t").unwrap()
}
