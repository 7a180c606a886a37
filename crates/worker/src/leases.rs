//! The lease keeper: renews every reservation that this worker holds, from a thread and connection of its own. From there it
//! sees, too, which tasks block their threads, and speaks for the loop when they block that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::{Broker, Clock, Leases, QueueName, Timestamp, Token, WorkerInfo};
use tokio::sync::{mpsc, oneshot};

use crate::control::LeaseEnd;
use crate::dispatcher::Event;
use crate::polls::{LOOK, Loop, Pulse};
use crate::vitals::Vitals;

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

pub(crate) struct Keeper {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease: Duration,
    pub(crate) holdings: Holdings,
    pub(crate) vitals: Vitals,
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
        let mut next = self.clock.monotonic() + self.lease / 3;
        loop {
            let look = watch.as_ref().map_or(Duration::MAX, |watch| watch.next);
            tokio::select! {
                _ = &mut over => return,
                () = self.clock.sleep_until(next.min(look)) => {}
            }
            if self.clock.monotonic() >= next {
                let renewed = self.renew(&mut connection).await;
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
        if self.vitals.running() == 0 {
            *watch = Watch::default();
            return;
        }
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
            Loop::Goes => watch.speak = None,
            Loop::Ask => drop(self.events.send(Event::Asked)),
            Loop::Asked => {}
            Loop::Stuck(since) => {
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
        let leases = self.connected(connection).await?;
        match leases.speak_for(&info, said.ttl, None).await {
            Ok(true) => return Some(said.ttl / 3),
            Ok(false) => tracing::debug!("this worker is stuck, and no longer registered"),
            Err(error) => tracing::debug!("nobody can be told that this worker is stuck: {error}"),
        }
        None
    }

    /// The connection, which is made when it is needed.
    async fn connected<'a>(&self, connection: &'a mut Option<Box<dyn Leases>>) -> Option<&'a dyn Leases> {
        if connection.is_none() {
            match self.broker.open_leases().await {
                Ok(opened) => *connection = Some(opened),
                Err(error) => tracing::warn!("the connection that renews leases cannot be opened: {error}"),
            }
        }
        connection.as_deref()
    }

    /// Renews all; false when the broker could not be reached.
    async fn renew(&self, connection: &mut Option<Box<dyn Leases>>) -> bool {
        let queues = self.holdings.queues();
        if queues.is_empty() {
            return true;
        }
        let Some(leases) = self.connected(connection).await else { return false };
        let mut reached = true;
        for queue in queues {
            let held = self.holdings.of(&queue);
            let tokens: Vec<Token> = held.iter().map(|(token, _)| *token).collect();
            match leases.extend(&queue, &tokens, self.lease, None).await {
                Ok(answer) => {
                    let end = self.clock.now().plus(self.lease);
                    answer.lost.iter().for_each(|token| self.holdings.release(*token));
                    let renewed = held.iter().filter(|(token, _)| !answer.lost.contains(token));
                    renewed.for_each(|(_, lease)| lease.set(end));
                    let _gone =
                        self.events.send(Event::Leases { lost: answer.lost, revoked: answer.revoked });
                }
                Err(error) => {
                    tracing::warn!(%queue, "leases cannot be renewed: {error}");
                    reached = false;
                }
            }
        }
        reached
    }
}
