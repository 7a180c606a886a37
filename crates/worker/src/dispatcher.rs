//! The loop at the heart of a worker: one closed enum of events, one `select!`, one handler. It owns the view of what is
//! reserved, what runs and what is being settled; everything else is told by messages and tells by events.
//!
//! The handlers are grouped by what they are about: `intake` (from a free slot to a planned job), `runs`, `returns` (jobs that
//! cannot be started here), `endings` (from an end to its settlement), `abandoned` threads, `news` from outside, `commands`,
//! `upkeep` by the clock, and `stopping`.

mod abandoned;
mod commands;
mod endings;
mod intake;
mod news;
mod returns;
mod runs;
mod stopping;
mod upkeep;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lovage_core::stats::Tally;
use lovage_core::{
    BackendError, Broker, Clock, Delivery, Entropy, Heartbeat, Hint, QueueName, ResultStore, SlotKind,
    States, TaskDef, TaskId, TaskRecord, Timestamp, Token, WorkerInfo,
};
use lovage_system::OutageLog;
use tokio::sync::{mpsc, watch};

use self::intake::Rate;
use crate::control::{LeaseEnd, News};
use crate::fetcher::{Round, Turns};
use crate::hooks::{GuardedHooks, WorkerEvent};
use crate::leases::Holdings;
use crate::plan::{Defaults, End, Job, Ran, slot_kind};
use crate::settler::Item;
use crate::stats::Counting;
use crate::threads::AbandonedThreads;
use crate::unrunnable::GivenBack;
use crate::vitals::Vitals;
use crate::worker::{Phase, Summary};

/// A lease shorter than this is reclaimed within a second of its end: its queue is maintained more often than by heartbeats.
const SHORT_LEASE: Duration = Duration::from_secs(10);
/// Time between two rounds of maintenance with a short lease, and never more than a third of the lease.
const SHORT_LEASE_MAINTENANCE: Duration = Duration::from_millis(800);

const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// What the loop reacts to.
#[derive(Debug)]
pub(crate) enum Event {
    /// A round over the queues ended that was begun at this time: its leases run at the earliest since then.
    Fetched(Duration, Result<Round, (Round, BackendError)>),
    /// The records of deliveries that may have run before were read.
    Checked {
        token: Token,
        queue: QueueName,
        deliveries: Vec<(Delivery, Option<TaskRecord>)>,
        broker_now: Timestamp,
    },
    /// A message was settled before its run: it holds no lease.
    SettledEarly(Token),
    /// A run ended.
    Ended(Box<Job>, End, Ran, Token),
    /// Outcomes are settled, or could not be: they are no longer ours. The flag: it was a settlement, not only a record.
    Settled(Vec<(Token, TaskId, bool)>),
    /// The result store or the broker takes no outcomes for now.
    Blocked(bool),
    /// It cannot be reached.
    Unavailable(String),
    /// The lease keeper's news.
    Leases { lost: Vec<Token>, revoked: Vec<TaskId> },
    /// A run told how far it is, or blocks its thread.
    News,
    /// The thread of a plain task ended after its run.
    ThreadEnded,
    /// The lease keeper wants to see that this loop goes on.
    Asked,
    /// The broker's hint.
    Hint(Hint),
    /// A heartbeat was answered.
    Beat(Result<Heartbeat, BackendError>),
    /// What was counted is in the store, but for these sums.
    Counted(Vec<Tally>),
    /// What the owner of the worker wants.
    Phase(Phase),
}

/// What a dispatcher is made of.
pub(crate) struct Parts {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) results: Option<Arc<dyn ResultStore>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) hooks: GuardedHooks,
    pub(crate) tasks: HashMap<&'static str, TaskDef>,
    pub(crate) states: Arc<States>,
    pub(crate) defaults: Defaults,
    pub(crate) info: WorkerInfo,
    pub(crate) turns: Turns,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) burst: bool,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) settler: mpsc::UnboundedSender<Item>,
    /// A settler of its own for messages that are returned unstarted: no result store keeps them waiting.
    pub(crate) returns: mpsc::UnboundedSender<Item>,
    pub(crate) holdings: Holdings,
    pub(crate) vitals: Vitals,
    /// The log of lost leases, which the lease keeper ends when it renews all of them again.
    pub(crate) lost_leases: Arc<OutageLog>,
    pub(crate) phase: watch::Receiver<Phase>,
}

pub(crate) struct Dispatcher {
    parts: Parts,
    /// Reserved and not started, by slot kind, in order.
    waiting: [VecDeque<Waiting>; SlotKind::COUNT],
    /// What the last reservation brought, and how much of it is returned because it cannot be started here.
    brought: returns::Brought,
    /// Messages of each reservation that are not settled.
    reservations: HashMap<Token, Reservation>,
    /// Slots that are taken; more than there are after there were made fewer.
    taken: [usize; SlotKind::COUNT],
    /// Whether this worker has tasks of each kind.
    has: [bool; SlotKind::COUNT],
    /// Batches of deliveries whose earlier runs are looked up in the results.
    checking: usize,
    unsettled: usize,
    suspects: usize,
    /// Settlers whose store or broker takes no outcomes for now.
    blocked: usize,
    fetching: bool,
    /// Something may be in the queues.
    hungry: bool,
    maintain: bool,
    beating: bool,
    news: Arc<News>,
    given_back: GivenBack,
    /// There is something to tell before the next regular heartbeat.
    has_news: bool,
    phase: Phase,
    failures: u32,
    /// By slot kind.
    rates: [Rate; SlotKind::COUNT],
    timers: Timers,
    summary: Summary,
    counting: Counting,
    abandoned: AbandonedThreads,
    /// Sums are on their way to the store.
    adding: bool,
    outages: Outages,
}

/// What is logged once, each minute and at its end, instead of for each attempt or task.
struct Outages {
    fetch: OutageLog,
    settle: OutageLog,
    leases: Arc<OutageLog>,
}

struct Reservation {
    queue: QueueName,
    left: usize,
    suspect: bool,
    lease: Arc<LeaseEnd>,
}

/// A job that is not started.
struct Waiting {
    token: Token,
    job: Box<Job>,
    /// When it came, by the monotonic clock.
    since: Duration,
}

/// When something has to be done without an event.
struct Timers {
    fetch: Duration,
    /// When the next round at a heartbeat looks for messages, too, in case that hints were lost.
    look: Duration,
    beat: Duration,
    /// When the last heartbeat began.
    beaten: Duration,
    /// When a heartbeat comes with a round of maintenance again (never while one is under way), and how far these are apart.
    upkeep: Duration,
    period: Duration,
    expire: Duration,
    /// The next round of maintenance between heartbeats; never with a lease that is not short.
    maintain: Duration,
    /// When what was counted goes to the store; never where nothing was.
    count: Duration,
    /// Stopping: when runs are cut off, and when we give up waiting for settlements.
    deadline: Option<Duration>,
}

impl Dispatcher {
    pub(crate) fn new(parts: Parts) -> Self {
        let now = parts.clock.monotonic();
        let news = News::to(parts.events.clone());
        // Spread over the first minute, so that workers that start together do not clean up together.
        let first_expire = now
            + EXPIRE_EVERY
                .mul_f64(f64::from(u8::try_from(parts.entropy.next_u64() >> 56).unwrap_or(0)) / 255.0);
        let outages = Outages {
            fetch: OutageLog::new("the broker cannot be asked for work", Arc::clone(&parts.clock)),
            settle: OutageLog::new("outcomes wait", Arc::clone(&parts.clock)),
            leases: Arc::clone(&parts.lost_leases),
        };
        let maintain = if parts.lease < SHORT_LEASE { now } else { Duration::MAX };
        let has = SlotKind::ALL.map(|kind| parts.tasks.values().any(|def| slot_kind(def) == kind));
        Self {
            parts,
            waiting: Default::default(),
            brought: returns::Brought::default(),
            reservations: HashMap::new(),
            taken: [0; SlotKind::COUNT],
            has,
            checking: 0,
            unsettled: 0,
            suspects: 0,
            blocked: 0,
            fetching: false,
            hungry: true,
            maintain: true,
            beating: false,
            news,
            given_back: GivenBack::default(),
            has_news: false,
            phase: Phase::Running,
            failures: 0,
            rates: Default::default(),
            timers: Timers {
                fetch: now,
                look: now,
                beat: now,
                beaten: now,
                upkeep: now,
                period: WorkerInfo::HEARTBEAT,
                expire: first_expire,
                maintain,
                count: Duration::MAX,
                deadline: None,
            },
            summary: Summary::default(),
            counting: Counting::default(),
            abandoned: AbandonedThreads::default(),
            adding: false,
            outages,
        }
    }

    /// Until the worker has stopped.
    pub(crate) async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) -> Summary {
        let mut batch = Vec::with_capacity(256);
        let mut timer = (Duration::MAX, self.parts.clock.sleep_until(Duration::MAX));
        let mut phase = self.parts.phase.clone();
        let broker = Arc::clone(&self.parts.broker);
        // Asked for here and not by a task that passes them on: from hint to reservation every step counts.
        let mut hint = broker.hint();
        loop {
            self.parts.vitals.turn();
            self.advance();
            if self.has_stopped() {
                break;
            }
            let next = self.next_timer();
            if next != timer.0 {
                timer = (next, self.parts.clock.sleep_until(next));
            }
            tokio::select! {
                count = events.recv_many(&mut batch, 256) => {
                    if count == 0 { break; }
                    for event in batch.drain(..) {
                        self.handle(event);
                    }
                }
                Ok(()) = phase.changed() => {
                    let wanted = *phase.borrow_and_update();
                    self.handle(Event::Phase(wanted));
                }
                told = &mut hint => {
                    self.handle(Event::Hint(told));
                    hint = broker.hint();
                }
                () = &mut timer.1 => timer.0 = Duration::MAX,
            }
        }
        self.add_the_last().await;
        self.sign_off().await;
        self.summary
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Fetched(asked, round) => self.fetched(asked, round),
            Event::Checked { token, queue, deliveries, broker_now } => {
                self.checking = self.checking.saturating_sub(1);
                for (delivery, record) in deliveries {
                    self.take_checked(token, &queue, delivery, record, broker_now);
                }
            }
            Event::SettledEarly(token) => self.release_one(token),
            Event::Ended(job, end, ran, token) => self.ended(*job, end, ran, token),
            Event::Settled(done) => self.settled(&done),
            Event::Blocked(true) => self.blocked += 1,
            Event::Blocked(false) => {
                self.blocked = self.blocked.saturating_sub(1);
                if self.blocked == 0 {
                    self.outages.settle.recovered();
                }
            }
            Event::Unavailable(error) => {
                self.outages.settle.failed(&error);
                self.tell(&WorkerEvent::Unavailable { error });
            }
            Event::Leases { lost, revoked } => self.leases(&lost, &revoked),
            Event::News => self.has_news(),
            Event::ThreadEnded => self.threads_ended(),
            // The turn of the loop is the answer.
            Event::Asked => {}
            Event::Hint(hint) => self.hint(hint),
            Event::Beat(answer) => self.beat_answered(answer),
            Event::Counted(left) => self.counted(left),
            Event::Phase(phase) => self.enter(phase),
        }
    }

    /// Does whatever can be done now: starts jobs, fetches, beats, cleans up.
    fn advance(&mut self) {
        let now = self.parts.clock.monotonic();
        self.start_waiting(now);
        self.return_unstartable(now);
        if now >= self.timers.fetch {
            self.timers.fetch = Duration::MAX;
            self.hungry = true;
            self.maintain |= self.failures == 0;
        }
        if now >= self.timers.beat {
            self.beat();
        }
        if now >= self.timers.maintain {
            self.timers.maintain = now + SHORT_LEASE_MAINTENANCE.min(self.parts.lease / 3);
            self.maintain |= self.failures == 0;
        }
        if now >= self.timers.expire {
            self.timers.expire = now + EXPIRE_EVERY;
            self.expire_results(now);
        }
        if now >= self.timers.count {
            self.add_counted();
        }
        if self.timers.deadline.is_some_and(|deadline| now >= deadline) {
            self.cut_off(now);
        }
        self.fetch();
    }

    fn next_timer(&self) -> Duration {
        let timers = &self.timers;
        timers
            .fetch
            .min(timers.beat)
            .min(timers.expire)
            .min(timers.maintain)
            .min(timers.count)
            .min(self.next_return())
            .min(timers.deadline.unwrap_or(Duration::MAX))
    }

    fn spawn(&self, work: impl Future<Output = Event> + Send + 'static) {
        let events = self.parts.events.clone();
        tokio::spawn(async move {
            // The loop may have ended already.
            let _gone = events.send(work.await);
        });
    }

    fn tell(&self, event: &WorkerEvent) {
        self.parts.hooks.event(event);
    }

    fn tell_of(&self, event: impl FnOnce() -> WorkerEvent) {
        self.parts.hooks.event(&event());
    }
}
