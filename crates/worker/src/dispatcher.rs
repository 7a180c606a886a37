//! The loop at the heart of a worker: one closed enum of events, one `select!`, one handler. It owns the view of what is
//! reserved, what runs and what is being settled; everything else is told by messages and tells by events.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lovage_core::{
    AckMode, ActiveTask, BackendError, Broker, Clock, Delivery, Entropy, Handler, Heartbeat, Hint, Outcome,
    QueueName, ResultStore, RunInfo, Settle, Settlement, States, TaskDef, TaskId, TaskState, Timestamp,
    Token, WorkerCommand, WorkerInfo, WorkerMode, limits,
};
use tokio::sync::{mpsc, watch};
use tracing::Instrument as _;

use crate::control::{Control, LeaseEnd, Stop};
use crate::executor::Run;
use crate::fetcher::{Batch, Fetcher, Round, Turns};
use crate::hooks::{Hooks, WorkerEvent};
use crate::leases::Order;
use crate::plan::{Defaults, End, Ending, Job, Plan, Ran, plan};
use crate::settler::{Item, backoff};
use crate::worker::{Phase, Summary};

/// How far ahead of free slots is reserved: what the last second shows to start within this time.
const AHEAD: Duration = Duration::from_millis(2);
/// How long a stopping worker waits for its last settlements after everything ended.
const LAST_SETTLE: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(5);
const EXPIRE_EVERY: Duration = Duration::from_secs(60);
/// Rows removed at a time.
const EXPIRE_LIMIT: usize = 1_000;
/// Longest part of a result in a log line, in bytes.
const LOGGED: usize = 200;

/// What the loop reacts to.
#[derive(Debug)]
pub(crate) enum Event {
    /// A round over the queues ended that was begun at this time: its leases run at the earliest since then.
    Fetched(Duration, Result<Round, (Round, BackendError)>),
    /// Deliveries that may have been run before were looked up in the results: those that had not ended.
    Checked {
        token: Token,
        queue: QueueName,
        deliveries: Vec<Delivery>,
        ended: Vec<TaskId>,
        broker_now: Timestamp,
    },
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
    /// The broker's hint.
    Hint(Hint),
    /// A heartbeat was answered.
    Beat(Result<Heartbeat, BackendError>),
    /// What the owner of the worker wants.
    Phase(Phase),
}

/// What a dispatcher is made of.
pub(crate) struct Parts {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) results: Option<Arc<dyn ResultStore>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) hooks: Arc<dyn Hooks>,
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
    pub(crate) keeper: mpsc::UnboundedSender<Order>,
    pub(crate) phase: watch::Receiver<Phase>,
}

pub(crate) struct Dispatcher {
    parts: Parts,
    /// Reserved and not started, in order.
    waiting: VecDeque<(Token, Box<Job>)>,
    running: HashMap<(Token, TaskId), Running>,
    /// Messages of each reservation that are not settled.
    reservations: HashMap<Token, Reservation>,
    free: Slots,
    unsettled: usize,
    suspects: usize,
    blocked: bool,
    fetching: bool,
    /// Something may be in the queues.
    hungry: bool,
    maintain: bool,
    beating: bool,
    phase: Phase,
    failures: u32,
    rate: Rate,
    timers: Timers,
    summary: Summary,
}

struct Running {
    control: Arc<Control>,
    task: &'static str,
    queue: QueueName,
    started_at: Timestamp,
    blocking: bool,
}

struct Reservation {
    queue: QueueName,
    left: usize,
    suspect: bool,
    lease: Arc<LeaseEnd>,
}

#[derive(Clone, Copy)]
struct Slots {
    concurrent: usize,
    blocking: usize,
}

/// When something has to be done without an event.
struct Timers {
    fetch: Duration,
    beat: Duration,
    expire: Duration,
    /// Stopping: when runs are cut off, and when we give up waiting for settlements.
    deadline: Option<Duration>,
}

/// Starts in the last second, in two halves.
#[derive(Default)]
struct Rate {
    since: Duration,
    now: usize,
    before: usize,
}

impl Rate {
    fn started(&mut self, now: Duration) {
        let half = Duration::from_millis(500);
        if now.saturating_sub(self.since) >= half {
            let quiet = now.saturating_sub(self.since) >= half * 2;
            self.before = if quiet { 0 } else { self.now };
            self.now = 0;
            self.since = now;
        }
        self.now += 1;
    }

    /// How many start within [`AHEAD`].
    fn ahead(&self) -> usize {
        self.before.max(self.now) * 2 * usize::try_from(AHEAD.as_millis()).unwrap_or(0) / 1_000
    }
}

impl Dispatcher {
    pub(crate) fn new(parts: Parts) -> Self {
        let now = parts.clock.monotonic();
        let free = Slots { concurrent: parts.info.concurrency, blocking: parts.info.blocking };
        // Spread over the first minute, so that workers that start together do not clean up together.
        let first_expire = now
            + EXPIRE_EVERY
                .mul_f64(f64::from(u8::try_from(parts.entropy.next_u64() >> 56).unwrap_or(0)) / 255.0);
        Self {
            parts,
            waiting: VecDeque::new(),
            running: HashMap::new(),
            reservations: HashMap::new(),
            free,
            unsettled: 0,
            suspects: 0,
            blocked: false,
            fetching: false,
            hungry: true,
            maintain: true,
            beating: false,
            phase: Phase::Running,
            failures: 0,
            rate: Rate::default(),
            timers: Timers { fetch: now, beat: now, expire: first_expire, deadline: None },
            summary: Summary::default(),
        }
    }

    /// Until the worker has stopped.
    pub(crate) async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) -> Summary {
        let mut batch = Vec::with_capacity(256);
        let mut timer = (Duration::MAX, self.parts.clock.sleep_until(Duration::MAX));
        let mut phase = self.parts.phase.clone();
        loop {
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
                () = &mut timer.1 => timer.0 = Duration::MAX,
            }
        }
        self.sign_off().await;
        self.summary
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Fetched(asked, round) => self.fetched(asked, round),
            Event::Checked { token, queue, deliveries, ended, broker_now } => {
                for delivery in deliveries {
                    if ended.contains(&delivery.id) {
                        // It ended before and only its settlement was lost.
                        self.settle_only(token, &queue, delivery.id, Settle::Ack);
                    } else {
                        self.take(token, &queue, delivery, broker_now);
                    }
                }
            }
            Event::Ended(job, end, ran, token) => self.ended(*job, end, ran, token),
            Event::Settled(done) => self.settled(&done),
            Event::Blocked(blocked) => self.blocked = blocked,
            Event::Unavailable(error) => {
                tracing::warn!("outcomes wait: {error}");
                self.tell(&WorkerEvent::Unavailable { error });
            }
            Event::Leases { lost, revoked } => self.leases(&lost, &revoked),
            Event::Hint(hint) => self.hint(hint),
            Event::Beat(answer) => self.beat_answered(answer),
            Event::Phase(phase) => self.enter(phase),
        }
    }

    // --- getting work

    /// Does whatever can be done now: starts jobs, fetches, beats, cleans up.
    fn advance(&mut self) {
        let now = self.parts.clock.monotonic();
        self.start_waiting(now);
        if now >= self.timers.fetch {
            self.timers.fetch = Duration::MAX;
            self.hungry = true;
            self.maintain |= self.failures == 0;
        }
        if now >= self.timers.beat {
            self.beat();
        }
        if now >= self.timers.expire {
            self.timers.expire = now + EXPIRE_EVERY;
            self.expire_results();
        }
        if self.timers.deadline.is_some_and(|deadline| now >= deadline) {
            self.cut_off(now);
        }
        self.fetch();
    }

    fn want(&self) -> usize {
        let bound = 4 * (self.parts.info.concurrency + self.parts.info.blocking);
        if self.phase != Phase::Running || self.blocked || self.unsettled >= bound {
            return 0;
        }
        // Blocking slots count only where there are blocking tasks; a message does not say which it is.
        let free = if self.has(true) { self.free.blocking } else { 0 }
            + if self.has(false) { self.free.concurrent } else { 0 };
        (free + self.rate.ahead()).saturating_sub(self.waiting.len()).min(limits::RESERVE_BATCH)
    }

    fn has(&self, blocking: bool) -> bool {
        self.parts.tasks.values().any(|def| matches!(def.handler, Handler::Blocking(_)) == blocking)
    }

    fn fetch(&mut self) {
        let want = self.want();
        if self.fetching || !(self.hungry && want > 0 || self.maintain && self.phase == Phase::Running) {
            return;
        }
        self.fetching = true;
        self.hungry = false;
        let maintain = std::mem::take(&mut self.maintain);
        let fetcher = Fetcher {
            broker: Arc::clone(&self.parts.broker),
            entropy: Arc::clone(&self.parts.entropy),
            lease: self.parts.lease,
        };
        let (queues, suspects) = (self.parts.turns.next(), self.suspects == 0);
        let asked = self.parts.clock.monotonic();
        self.spawn(
            async move { Event::Fetched(asked, fetcher.round(queues, want, suspects, maintain).await) },
        );
    }

    fn fetched(&mut self, asked: Duration, round: Result<Round, (Round, BackendError)>) {
        self.fetching = false;
        let now = self.parts.clock.monotonic();
        let round = match round {
            Ok(round) => {
                if self.failures > 0 {
                    tracing::info!("the broker answers again");
                }
                self.failures = 0;
                round
            }
            Err((round, error)) => {
                self.failures += 1;
                if self.failures == 1 {
                    tracing::warn!("the broker cannot be asked for work: {error}");
                    self.tell(&WorkerEvent::Unavailable { error: error.to_string() });
                }
                self.timers.fetch = now + backoff(self.failures, &*self.parts.entropy);
                round
            }
        };
        let found = !round.batches.is_empty();
        for batch in round.batches {
            self.reserved(now.saturating_sub(asked), batch);
        }
        if found {
            self.hungry = self.failures == 0;
        } else if self.failures == 0 {
            if let Some(check) = round.next_check {
                // Looks that are further apart than half a lease are taken for absences, after which nothing is reclaimed.
                self.timers.fetch = self.timers.fetch.min(now + check.min(self.parts.lease / 3));
            }
            if self.parts.burst
                && self.phase == Phase::Running
                && self.waiting.is_empty()
                && self.running.is_empty()
                && self.unsettled == 0
            {
                self.enter(Phase::Stopping);
            }
        }
    }

    fn reserved(&mut self, took: Duration, batch: Batch) {
        let Batch { queue, token, reserved } = batch;
        let lease = LeaseEnd::at(self.parts.clock.now().minus(took).plus(self.parts.lease));
        let suspect = reserved.deliveries.iter().any(|delivery| delivery.losses > 0);
        self.suspects += usize::from(suspect);
        let left = reserved.deliveries.len();
        self.order(Order::Hold(queue.clone(), token, Arc::clone(&lease)));
        self.reservations.insert(token, Reservation { queue: queue.clone(), left, suspect, lease });
        let (again, fresh): (Vec<_>, Vec<_>) =
            reserved.deliveries.into_iter().partition(|delivery| delivery.delivery > 1);
        for delivery in fresh {
            self.take(token, &queue, delivery, reserved.now);
        }
        if again.is_empty() {
            return;
        }
        match &self.parts.results {
            Some(results) => self.check(Arc::clone(results), token, queue, again, reserved.now),
            None => again.into_iter().for_each(|delivery| self.take(token, &queue, delivery, reserved.now)),
        }
    }

    /// What was handed out before may have ended: then only its settlement was lost, and it must not run again.
    fn check(
        &self,
        results: Arc<dyn ResultStore>,
        token: Token,
        queue: QueueName,
        deliveries: Vec<Delivery>,
        broker_now: Timestamp,
    ) {
        let (clock, entropy) = (Arc::clone(&self.parts.clock), Arc::clone(&self.parts.entropy));
        self.spawn(async move {
            let ids: Vec<TaskId> = deliveries.iter().map(|delivery| delivery.id).collect();
            let mut attempt = 0;
            let rows = loop {
                match results.get(&ids, None).await {
                    Ok(rows) => break rows,
                    Err(error) if error.is_transient() => {
                        attempt += 1;
                        clock.sleep(backoff(attempt, &*entropy)).await;
                    }
                    Err(error) => {
                        tracing::error!("the results of earlier runs cannot be read, so they may run a second time: {error}");
                        break Vec::new();
                    }
                }
            };
            let ended = deliveries.iter().zip(rows).filter_map(|(delivery, row)| {
                row.filter(|row| row.state.is_terminal() && row.run >= delivery.run).map(|row| row.id)
            });
            let ended = ended.collect();
            Event::Checked { token, queue, deliveries, ended, broker_now }
        });
    }

    fn take(&mut self, token: Token, queue: &QueueName, delivery: Delivery, broker_now: Timestamp) {
        let id = delivery.id;
        let now = self.parts.clock.now();
        match plan(delivery, queue, &self.parts.tasks, &self.parts.defaults, broker_now, now) {
            Plan::Run(job) => {
                tracing::info!("task {}[{id}] received", job.meta.task);
                self.tell_of(|| WorkerEvent::Received {
                    id,
                    task: job.meta.task.clone(),
                    queue: queue.clone(),
                });
                self.waiting.push_back((token, job));
            }
            Plan::End(ending) => self.end(token, *ending, None),
        }
    }

    // --- running

    fn start_waiting(&mut self, now: Duration) {
        if self.phase == Phase::Stopping {
            for (token, job) in std::mem::take(&mut self.waiting).into_iter().rev() {
                let (queue, id) = (job.meta.queue.clone(), job.meta.delivery.id);
                self.settle_only(
                    token,
                    &queue,
                    id,
                    Settle::GiveBack { after: Duration::ZERO, refused: false },
                );
            }
            return;
        }
        // A job whose kind of slot is taken lets those behind it pass.
        let mut at = 0;
        while at < self.waiting.len() && (self.free.concurrent > 0 || self.free.blocking > 0) {
            let blocking = matches!(self.waiting[at].1.def.handler, Handler::Blocking(_));
            let slots = if blocking { &mut self.free.blocking } else { &mut self.free.concurrent };
            if *slots == 0 {
                at += 1;
                continue;
            }
            *slots -= 1;
            if let Some((token, job)) = self.waiting.remove(at) {
                self.rate.started(now);
                self.start(token, job, blocking);
            }
        }
    }

    fn start(&mut self, token: Token, job: Box<Job>, blocking: bool) {
        let delivery = &job.meta.delivery;
        let id = delivery.id;
        let Some(reservation) = self.reservations.get(&token) else {
            // Its lease was lost while it waited.
            self.free_slot(blocking);
            return;
        };
        if reservation.lease.has_passed(self.parts.clock.now()) {
            // This process was frozen, or the answer was long on its way: somebody else may be running it already.
            tracing::warn!("task [{id}] is given back unstarted: its lease may have ended");
            self.free_slot(blocking);
            let queue = job.meta.queue.clone();
            self.settle_only(token, &queue, id, Settle::GiveBack { after: Duration::ZERO, refused: false });
            return;
        }
        let control = Control::new(Arc::clone(&reservation.lease));
        let info = Arc::new(run_info(&job, &self.parts.defaults.worker));
        let running = Running {
            control: Arc::clone(&control),
            task: job.def.name,
            queue: job.meta.queue.clone(),
            started_at: self.parts.clock.now(),
            blocking,
        };
        self.running.insert((token, id), running);
        let span = tracing::info_span!("task", name = job.def.name, %id, attempt = info.attempt, queue = %info.queue);
        let (hooks, clock, events) =
            (Arc::clone(&self.parts.hooks), Arc::clone(&self.parts.clock), self.parts.events.clone());
        let early =
            (job.ack == AckMode::Early).then(|| (Arc::clone(&self.parts.broker), job.meta.queue.clone()));
        let run =
            Run { job, info: Arc::clone(&info), states: Arc::clone(&self.parts.states), control, clock };
        let task = async move {
            if let Some((broker, queue)) = early
                && let Err(end) = settle_early(&*broker, &queue, token, id).await
            {
                let (job, ran) = run.not_run();
                let _gone = events.send(Event::Ended(job, end, ran, token));
                return;
            }
            hooks.before(&info);
            let (job, end, ran) = run.run().await;
            // The loop may have ended already; then nobody waits for this run.
            let _gone = events.send(Event::Ended(job, end, ran, token));
        };
        tokio::spawn(task.instrument(span));
    }

    fn ended(&mut self, job: Job, end: End, ran: Ran, token: Token) {
        let id = job.meta.delivery.id;
        if let Some(running) = self.running.remove(&(token, id)) {
            self.free_slot(running.blocking);
        }
        let early = job.ack == AckMode::Early;
        // What was settled before its run cannot be given back.
        let end =
            if early && matches!(end, End::GivenBack) && job.args.is_none() { End::Revoked } else { end };
        let policy = job.policy();
        let hooks = Arc::clone(&self.parts.hooks);
        let info = run_info(&job, &self.parts.defaults.worker);
        match Job::ended(job.meta, &policy, end, ran, self.parts.entropy.next_u64(), &self.parts.defaults) {
            Some(mut ending) => {
                if let Some(error) = &ending.error {
                    hooks.failed(&info, error);
                }
                hooks.after(&info, ending.state);
                if early {
                    ending.settle = Settle::Ack;
                }
                self.finish(token, ending, Some(ran), early);
            }
            None => self.forget(token, id),
        }
    }

    fn free_slot(&mut self, blocking: bool) {
        let slots = if blocking { &mut self.free.blocking } else { &mut self.free.concurrent };
        *slots += 1;
    }

    // --- ending

    fn end(&mut self, token: Token, ending: Ending, ran: Option<Ran>) {
        self.finish(token, ending, ran, false);
    }

    /// Logs an end, tells of it, and hands it to the settler.
    fn finish(&mut self, token: Token, ending: Ending, ran: Option<Ran>, settled_early: bool) {
        self.log(&ending, ran);
        let id = ending.meta.delivery.id;
        match ending.state {
            TaskState::Success => self.summary.succeeded += 1,
            TaskState::Failure | TaskState::Retry => self.summary.failed += 1,
            TaskState::Pending
            | TaskState::Scheduled
            | TaskState::Started
            | TaskState::Revoked
            | TaskState::Expired
            | TaskState::Discarded => {}
        }
        self.tell_of(|| match &ending.settle {
            Settle::GiveBack { .. } => WorkerEvent::GivenBack { id },
            Settle::Ack | Settle::Retry { .. } | Settle::DeadLetter { .. } => WorkerEvent::Ended {
                id,
                task: ending.meta.task.clone(),
                state: ending.state,
                run_time: ran.map(|ran| ran.run_time),
            },
        });
        let settlement = (!settled_early).then_some(Settlement { id, how: ending.settle });
        self.hand_over(Item { queue: ending.meta.queue, token, id, record: ending.record, settlement });
    }

    fn settle_only(&mut self, token: Token, queue: &QueueName, id: TaskId, how: Settle) {
        self.hand_over(Item {
            queue: queue.clone(),
            token,
            id,
            record: None,
            settlement: Some(Settlement { id, how }),
        });
    }

    fn hand_over(&mut self, item: Item) {
        self.unsettled += 1;
        // The settler lives as long as this loop.
        let _lives = self.parts.settler.send(item);
    }

    fn settled(&mut self, done: &[(Token, TaskId, bool)]) {
        self.unsettled = self.unsettled.saturating_sub(done.len());
        for (token, _, _) in done {
            self.release_one(*token);
        }
        // What was just reserved while the bound was reached may go on.
        self.hungry |= self.failures == 0;
    }

    fn release_one(&mut self, token: Token) {
        let Some(reservation) = self.reservations.get_mut(&token) else { return };
        reservation.left = reservation.left.saturating_sub(1);
        if reservation.left == 0 {
            self.release(token);
        }
    }

    fn release(&mut self, token: Token) {
        if let Some(reservation) = self.reservations.remove(&token) {
            self.suspects -= usize::from(reservation.suspect);
            self.order(Order::Release(token));
        }
    }

    /// A task that is no longer ours.
    fn forget(&mut self, token: Token, id: TaskId) {
        tracing::warn!("task [{id}] is no longer ours: its lease ended, its outcome is dropped");
        self.tell_of(|| WorkerEvent::LeaseLost { id });
        self.release_one(token);
    }

    fn log(&self, ending: &Ending, ran: Option<Ran>) {
        let (task, id) = (&ending.meta.task, ending.meta.delivery.id);
        let error = || ending.error.as_ref().map(ToString::to_string).unwrap_or_default();
        match (&ending.settle, ending.state) {
            (Settle::GiveBack { after, refused: true }, _) => {
                tracing::warn!(
                    "task {task}[{id}] given back for {}: {}",
                    lovage_core::format_duration(*after),
                    error()
                );
            }
            (Settle::GiveBack { .. }, _) => tracing::info!("task {task}[{id}] given back"),
            (Settle::Retry { after, .. }, _) => {
                tracing::warn!("task {task}[{id}] retry in {:.1}s: {}", after.as_secs_f64(), error());
            }
            (_, TaskState::Success) if tracing::enabled!(tracing::Level::INFO) => {
                let seconds = ran.map_or(0.0, |ran| ran.run_time.as_secs_f64());
                let value = ending.record.as_ref().map_or("", |record| match &record.outcome {
                    Outcome::Result(json) => json,
                    Outcome::Marker(why) => why,
                    Outcome::None | Outcome::Error(_) => "(not stored)",
                });
                let shown = &value[..value.floor_char_boundary(LOGGED)];
                let cut = if shown.len() < value.len() { "…" } else { "" };
                tracing::info!("task {task}[{id}] succeeded in {seconds:.6}s: {shown}{cut}");
            }
            (_, TaskState::Success) => {}
            (Settle::DeadLetter { reason, .. }, _) => {
                tracing::error!(
                    "task {task}[{id}] failed: {} ({}, kept as a dead letter)",
                    error(),
                    reason.as_str()
                );
            }
            (Settle::Ack, TaskState::Failure) => tracing::error!("task {task}[{id}] failed: {}", error()),
            (Settle::Ack, state) => tracing::info!("task {task}[{id}] {}: {}", state.as_str(), error()),
        }
    }

    // --- news

    fn leases(&mut self, lost: &[Token], revoked: &[TaskId]) {
        for token in lost {
            let Some(reservation) = self.reservations.get(token) else { continue };
            if reservation.left == 0 {
                continue;
            }
            tracing::warn!(queue = %reservation.queue, "a lease ended: its tasks stop here, others run them");
            self.waiting.retain(|(waiting, _)| waiting != token);
            for ((held, _), running) in &self.running {
                if held == token {
                    running.control.stop(Stop::LeaseLost);
                }
            }
            self.release(*token);
        }
        revoked.iter().for_each(|id| self.revoke(*id));
    }

    fn revoke(&mut self, id: TaskId) {
        for ((_, running_id), running) in &self.running {
            if *running_id == id {
                running.control.stop(Stop::Revoked);
            }
        }
        // One that still waits here ends without a run.
        if let Some(at) = self.waiting.iter().position(|(_, job)| job.meta.delivery.id == id)
            && let Some((token, job)) = self.waiting.remove(at)
        {
            let now = self.parts.clock.now();
            let ran = Ran { started_at: now, finished_at: now, run_time: Duration::ZERO };
            let policy = job.policy();
            if let Some(ending) = Job::ended(job.meta, &policy, End::Revoked, ran, 0, &self.parts.defaults) {
                self.end(token, ending, None);
            }
        }
    }

    fn hint(&mut self, hint: Hint) {
        match hint {
            Hint::Work(_) => self.hungry = true,
            Hint::Revoked(id) => self.revoke(id),
            Hint::Command => self.timers.beat = Duration::ZERO,
            Hint::Everything => {
                self.hungry = true;
                self.maintain = true;
                self.timers.beat = Duration::ZERO;
            }
        }
    }

    fn beat(&mut self) {
        if std::mem::replace(&mut self.beating, true) {
            self.timers.beat = Duration::MAX;
            return;
        }
        self.timers.beat = Duration::MAX;
        self.maintain = true;
        let info = self.info();
        let (broker, ttl) = (Arc::clone(&self.parts.broker), HEARTBEAT * 3);
        self.spawn(async move { Event::Beat(broker.heartbeat(&info, ttl, None).await) });
    }

    fn beat_answered(&mut self, answer: Result<Heartbeat, BackendError>) {
        // A command that came while a beat was under way asked for another one.
        self.beating = false;
        let asked_again = self.timers.beat == Duration::ZERO;
        let now = self.parts.clock.monotonic();
        match answer {
            Ok(answer) => {
                // Many workers beat less often: the broker gets at most 20 heartbeats a second.
                let crowd =
                    Duration::from_millis(50) * u32::try_from(answer.live_workers).unwrap_or(u32::MAX);
                self.timers.beat = now + HEARTBEAT.max(crowd);
                for command in answer.commands {
                    tracing::info!("told to {command:?}");
                    match command {
                        WorkerCommand::Quiet => self.enter(Phase::Quiet),
                        WorkerCommand::Shutdown { grace } => {
                            self.parts.grace = grace.unwrap_or(self.parts.grace);
                            self.enter(Phase::Stopping);
                        }
                    }
                }
            }
            Err(error) => {
                tracing::debug!("no heartbeat: {error}");
                self.timers.beat = now + backoff(4, &*self.parts.entropy);
            }
        }
        if asked_again {
            self.timers.beat = now;
        }
    }

    fn info(&self) -> WorkerInfo {
        let mut active: Vec<ActiveTask> = self
            .running
            .iter()
            .map(|((_, id), running)| ActiveTask {
                id: *id,
                task: running.task.to_owned(),
                queue: running.queue.clone(),
                started_at: running.started_at,
            })
            .collect();
        active.sort_unstable_by_key(|task| (task.started_at, task.id));
        active.truncate(1_000);
        WorkerInfo {
            mode: match self.phase {
                Phase::Running => WorkerMode::Running,
                Phase::Quiet => WorkerMode::Quiet,
                Phase::Stopping | Phase::StoppingNow => WorkerMode::Stopping,
            },
            active,
            reserved: self.waiting.len(),
            succeeded: self.summary.succeeded,
            failed: self.summary.failed,
            ..self.parts.info.clone()
        }
    }

    fn expire_results(&self) {
        let Some(results) = self.parts.results.clone() else { return };
        tokio::spawn(async move {
            match results.expire(EXPIRE_LIMIT, None).await {
                Ok(0) => {}
                Ok(count) => tracing::debug!(count, "removed results whose time to live has ended"),
                Err(error) => tracing::debug!("results are not cleaned up: {error}"),
            }
        });
    }

    // --- stopping

    fn enter(&mut self, phase: Phase) {
        if phase <= self.phase {
            return;
        }
        let now = self.parts.clock.monotonic();
        match phase {
            Phase::Running => return,
            Phase::Quiet => tracing::info!("quiet: no new tasks are reserved"),
            Phase::Stopping => {
                tracing::info!(
                    "stopping: waiting up to {} for {} tasks",
                    lovage_core::format_duration(self.parts.grace),
                    self.running.len()
                );
                self.timers.deadline = Some(now + self.parts.grace);
            }
            Phase::StoppingNow => {
                tracing::info!("stopping now: {} running tasks are given back", self.running.len());
                self.timers.deadline = Some(now);
            }
        }
        self.phase = phase.min(Phase::Stopping);
    }

    /// The grace period is over: what runs is given back. A second time: settlements have had their time.
    fn cut_off(&mut self, now: Duration) {
        for running in self.running.values() {
            running.control.stop(Stop::GiveBack);
        }
        if self.summary.cut_off {
            self.summary.unsettled = self.unsettled;
            self.unsettled = 0;
            self.running.clear();
        }
        self.summary.cut_off = true;
        self.timers.deadline = Some(now + LAST_SETTLE);
    }

    fn has_stopped(&self) -> bool {
        self.phase == Phase::Stopping
            && !self.fetching
            && self.running.is_empty()
            && self.waiting.is_empty()
            && self.unsettled == 0
    }

    async fn sign_off(&mut self) {
        let worker = self.parts.info.id;
        let patience = self.parts.clock.sleep(Duration::from_secs(1));
        tokio::select! {
            answer = self.parts.broker.sign_off(worker) => if let Err(error) = answer {
                tracing::debug!("not signed off: {error}");
            },
            () = patience => {}
        }
        self.tell(&WorkerEvent::Stopped);
    }

    // --- small things

    fn next_timer(&self) -> Duration {
        let timers = &self.timers;
        timers.fetch.min(timers.beat).min(timers.expire).min(timers.deadline.unwrap_or(Duration::MAX))
    }

    fn order(&self, order: Order) {
        // The keeper lives as long as this loop.
        let _lives = self.parts.keeper.send(order);
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

fn run_info(job: &Job, worker: &str) -> RunInfo {
    let delivery = &job.meta.delivery;
    RunInfo {
        id: delivery.id,
        task: job.meta.task.clone(),
        queue: job.meta.queue.clone(),
        attempt: delivery.attempt + 1,
        delivery: delivery.delivery,
        run: delivery.run,
        worker: worker.to_owned(),
        published_at: delivery.published_at,
        headers: job.meta.headers.clone(),
    }
}

/// At most once: settled before the run. When that does not work the task is not run here.
async fn settle_early(broker: &dyn Broker, queue: &QueueName, token: Token, id: TaskId) -> Result<(), End> {
    match broker.settle(queue, token, &[Settlement { id, how: Settle::Ack }], None).await {
        Ok(answers) if answers.first() == Some(&lovage_core::Settled::Applied) => Ok(()),
        Ok(_) => Err(End::LeaseLost),
        Err(error) => {
            tracing::warn!(
                "task [{id}] is not started, because it cannot be settled before its run: {error}"
            );
            Err(End::LeaseLost)
        }
    }
}
