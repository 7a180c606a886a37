//! The lease keeper: renews every reservation that this worker holds, from a thread and connection of its own. From there it
//! sees, too, which tasks block their threads, and speaks for the loop when they block that.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::{
    BackendError, Broker, Clock, Leases, QueueName, Timestamp, Token, WorkerInfo, format_duration,
};
use lovage_system::OutageLog;
use tokio::sync::{mpsc, oneshot};

use crate::control::LeaseEnd;
use crate::dispatcher::Event;
use crate::polls::{LOOK, Loop, Pulse};
use crate::vitals::Vitals;

/// A loop that is silent for this many leases keeps no reservation of which nothing runs.
const SILENT_LEASES: u32 = 3;

type Held = HashMap<QueueName, HashMap<Token, Arc<LeaseEnd>>>;

/// The reservations that this worker holds: the dispatcher writes, the keeper reads when it renews. Shared and not sent,
/// because a message for each reservation would wake the keeper's thread for nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holdings(Arc<Mutex<Held>>);

impl Holdings {
    /// Renew this one from now on.
    pub(crate) fn hold(&self, queue: &QueueName, token: Token, lease: Arc<LeaseEnd>) {
        let mut held = self.lock();
        match held.get_mut(queue) {
            Some(tokens) => tokens.insert(token, lease),
            None => held.entry(queue.clone()).or_default().insert(token, lease),
        };
    }

    /// It is settled, or lost.
    pub(crate) fn release(&self, token: Token) {
        self.lock().values_mut().for_each(|tokens| drop(tokens.remove(&token)));
    }

    fn queues(&self) -> Vec<QueueName> {
        self.lock().iter().filter(|(_, tokens)| !tokens.is_empty()).map(|(queue, _)| queue.clone()).collect()
    }

    fn of(&self, queue: &QueueName) -> Vec<(Token, Arc<LeaseEnd>)> {
        let held = self.lock();
        let tokens = held.get(queue).into_iter().flatten();
        tokens.map(|(token, lease)| (*token, Arc::clone(lease))).collect()
    }

    /// A panic elsewhere leaves the map as it was between two operations: going on is safe.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the keeper saw so far, and when it looks again.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    next: Duration,
    pulse: Pulse,
    /// When it says again that the loop is stuck, where it did.
    speak: Option<Duration>,
}

/// The turns of the loop as the keeper saw them when it renewed.
#[derive(Debug, Default)]
struct Silence {
    turns: u32,
    since: Option<Duration>,
}

impl Silence {
    /// Takes the number of turns at a monotonic instant. Returns for how long the loop has made none.
    fn observe(&mut self, turns: u32, now: Duration) -> Duration {
        if self.turns != turns {
            *self = Self { turns, since: None };
            return Duration::ZERO;
        }
        now.saturating_sub(*self.since.get_or_insert(now))
    }
}

pub(crate) struct Keeper {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Duration,
    pub(crate) holdings: Holdings,
    pub(crate) vitals: Vitals,
    /// The log of lost leases. The loop reports each, a renewal of all of them ends it.
    pub(crate) lost_leases: Arc<OutageLog>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
}

impl Keeper {
    /// On a thread of its own, so that a task that blocks every thread of the runtime loses no lease.
    pub(crate) fn spawn_thread(self, over: oneshot::Receiver<()>) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("lovage-leases".to_owned())
            .spawn(move || runtime.block_on(self.run(Some(Watch::default()), over)))?;
        Ok(())
    }

    /// Until the other end of `over` is dropped. Watches what runs, where it is told to.
    pub(crate) async fn run(self, mut watch: Option<Watch>, mut over: oneshot::Receiver<()>) {
        let mut connection: Option<Box<dyn Leases>> = None;
        let unreachable = OutageLog::new("leases cannot be renewed", Arc::clone(&self.clock));
        let (mut silence, mut is_abandoned) = (Silence::default(), false);
        let mut next = self.clock.monotonic() + self.lease / 3;
        loop {
            let look = watch.as_ref().map_or(Duration::MAX, |watch| watch.next);
            tokio::select! {
                _ = &mut over => return,
                () = self.clock.sleep_until(next.min(look)) => {}
            }
            if self.clock.monotonic() >= next {
                let silent = silence.observe(self.vitals.turns(), self.clock.monotonic());
                let abandons = silent >= self.lease * SILENT_LEASES;
                if abandons && !std::mem::replace(&mut is_abandoned, abandons) {
                    tracing::warn!(
                        "this worker's loop does not answer for {}: the leases of tasks that do not run are no longer renewed",
                        format_duration(silent)
                    );
                }
                is_abandoned = abandons;
                let running = abandons.then(|| self.vitals.running_tokens());
                let renewed = self.renew(&mut connection, running.as_ref(), &unreachable).await;
                // After a failure soon again: two thirds of the lease are left for that.
                let pause = if renewed { self.lease / 3 } else { self.lease / 15 };
                next = self.clock.monotonic() + pause;
            }
            if let Some(watch) = watch.as_mut().filter(|watch| self.clock.monotonic() >= watch.next) {
                self.look(watch, &mut connection).await;
                watch.next = self.clock.monotonic() + LOOK;
            }
        }
    }

    /// Looks at what runs and at the loop, and tells what is wrong: the loop itself, or the broker when the loop is stuck.
    async fn look(&self, watch: &mut Watch, connection: &mut Option<Box<dyn Leases>>) {
        let now = self.clock.now();
        let blocking = self.vitals.look(now);
        for (id, run) in &blocking {
            tracing::warn!(
                "task {}[{id}] blocks its thread, so that others cannot go on: make it a plain function, or move the work into `spawn_blocking`",
                run.task
            );
        }
        // The loop may have ended already.
        if !blocking.is_empty() {
            let _gone = self.events.send(Event::News);
        }
        match watch.pulse.again(self.vitals.turns(), now) {
            Loop::Goes => {
                watch.speak = None;
                self.vitals.set_stuck(None);
            }
            Loop::Ask => drop(self.events.send(Event::Asked)),
            Loop::Asked => {}
            Loop::Stuck(since) => {
                self.vitals.set_stuck(Some(since));
                if watch.speak.is_none() {
                    tracing::warn!(
                        "this worker's loop does not answer since {since}: tasks block its threads"
                    );
                }
                if !blocking.is_empty() || watch.speak.is_none_or(|at| self.clock.monotonic() >= at) {
                    let pause = self.speak(since, connection).await.unwrap_or(LOOK);
                    watch.speak = Some(self.clock.monotonic() + pause);
                }
            }
        }
    }

    /// Says that the loop is stuck; answers after which time to say so again, where it was said.
    async fn speak(&self, since: Timestamp, connection: &mut Option<Box<dyn Leases>>) -> Option<Duration> {
        // Who said nothing yet is not registered.
        let said = self.vitals.said()?;
        let (memory, cpu) = self.vitals.measure(&*self.clock);
        let info = WorkerInfo {
            active: self.vitals.active(),
            stuck_since: Some(since),
            memory,
            cpu,
            ..WorkerInfo::clone(&said.info)
        };
        let leases = self.connected(connection).await.ok()?;
        match leases.speak_for(&info, said.ttl, None).await {
            Ok(true) => return Some(said.ttl / 3),
            Ok(false) => tracing::debug!("this worker is stuck, and no longer registered"),
            Err(error) => tracing::debug!("nobody can be told that this worker is stuck: {error}"),
        }
        None
    }

    /// The connection, which is made when it is needed.
    async fn connected<'a>(
        &self,
        connection: &'a mut Option<Box<dyn Leases>>,
    ) -> Result<&'a dyn Leases, BackendError> {
        let opened = match connection.take() {
            Some(opened) => opened,
            None => self.broker.open_leases().await?,
        };
        Ok(&**connection.insert(opened))
    }

    /// Renews all reservations, or only those in `running`; false when the broker could not be reached.
    async fn renew(
        &self,
        connection: &mut Option<Box<dyn Leases>>,
        running: Option<&HashSet<Token>>,
        unreachable: &OutageLog,
    ) -> bool {
        let queues = self.holdings.queues();
        if queues.is_empty() {
            return true;
        }
        let leases = match self.connected(connection).await {
            Ok(leases) => leases,
            Err(error) => {
                unreachable.failed(error);
                return false;
            }
        };
        let (mut reached, mut has_lost) = (true, false);
        for queue in queues {
            let mut held = self.holdings.of(&queue);
            if let Some(running) = running {
                held.retain(|(token, _)| running.contains(token));
                if held.is_empty() {
                    continue;
                }
            }
            let tokens: Vec<Token> = held.iter().map(|(token, _)| *token).collect();
            match leases.extend(&queue, &tokens, self.lease, None).await {
                Ok(answer) => {
                    let end = self.clock.now().plus(self.lease);
                    has_lost |= !answer.lost.is_empty();
                    answer.lost.iter().for_each(|token| self.holdings.release(*token));
                    let renewed = held.iter().filter(|(token, _)| !answer.lost.contains(token));
                    renewed.for_each(|(_, lease)| lease.set(end));
                    let _gone =
                        self.events.send(Event::Leases { lost: answer.lost, revoked: answer.revoked });
                }
                Err(error) => {
                    unreachable.failed(format_args!("of {queue}: {error}"));
                    reached = false;
                }
            }
        }
        if reached {
            unreachable.recovered();
            if !has_lost {
                self.lost_leases.recovered();
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use lovage_broker_memory::MemoryStore;
    use lovage_core::{Reserve, RunInfo, SlotWants, limits};
    use lovage_testkit::{FakeClock, message, queue};

    use super::*;
    use crate::control::{Control, News};
    use crate::vitals::Running;

    const LEASE: Duration = Duration::from_secs(30);

    fn running(info: RunInfo, events: &mpsc::UnboundedSender<Event>, clock: &FakeClock) -> Running {
        let lease = LeaseEnd::at(clock.now());
        let control = Control::new(Some(lease), News::to(events.clone()));
        Running::new(control, Arc::new(info), clock.now(), lovage_core::SlotKind::Blocking)
    }

    /// Two reservations, of which the first has a task that runs. Returns how many messages are still leased after ten leases.
    async fn leased_after_ten_leases(turns: bool, finishes: bool) -> u64 {
        let clock = FakeClock::new();
        let broker = MemoryStore::new(Arc::new(clock.clone())).handle();
        let (events, _inbox) = mpsc::unbounded_channel();
        let (holdings, vitals, mail) = (Holdings::default(), Vitals::default(), queue("mail"));
        broker.publish(&[message("mail").build(), message("mail").build()], None).await.unwrap();
        for number in 0..2 {
            let token = Token::from_bytes([number; 16]);
            let request =
                Reserve { queue: &mail, want: SlotWants::any(1), token, lease: LEASE, suspects: false };
            let delivery = broker.reserve(request, None).await.unwrap().deliveries.remove(0);
            holdings.hold(&mail, token, LeaseEnd::at(clock.now().plus(LEASE)));
            if number == 0 {
                let info = RunInfo {
                    id: delivery.id,
                    task: "t".to_owned(),
                    queue: mail.clone(),
                    attempt: 1,
                    delivery: 1,
                    run: 1,
                    worker: "w".to_owned(),
                    published_at: clock.now(),
                    headers: Default::default(),
                };
                let run = running(info, &events, &clock);
                if finishes {
                    run.control.finish();
                }
                vitals.started(token, delivery.id, run);
            }
        }
        let keeper = Keeper {
            broker: Arc::clone(&broker),
            clock: Arc::new(clock.clone()),
            lease: LEASE,
            holdings,
            vitals: vitals.clone(),
            lost_leases: Arc::new(OutageLog::new("leases ended", Arc::new(clock.clone()))),
            events,
        };
        let (keeps, over) = oneshot::channel();
        let kept = tokio::spawn(keeper.run(None, over));
        clock
            .drive(async {
                for _ in 0..300 {
                    clock.sleep(Duration::from_secs(1)).await;
                    broker.maintain(&mail, limits::RESERVE_BATCH, LEASE, None).await.unwrap();
                    if turns {
                        vitals.turn();
                    }
                }
            })
            .await;
        drop(keeps);
        kept.await.unwrap();
        broker.depth(&mail, None).await.unwrap().leased
    }

    #[tokio::test]
    async fn silent_loop_keeps_leases_of_running_tasks_only() {
        assert_eq!(leased_after_ten_leases(true, false).await, 2, "the loop goes on");
        assert_eq!(leased_after_ten_leases(false, false).await, 1, "one task runs");
        assert_eq!(leased_after_ten_leases(false, true).await, 0, "it has ended, and the loop does not know");
    }
}
