//! What a handle is told: its hints, and the ends of messages that somebody waits for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::{BackendError, Clock as _, Hint, QueueName, TaskId, Waiter};
use lovage_redis::{Redis, SubscriberEvent, SubscriberEvents};
use lovage_system::SystemClock;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Hints that are kept for a worker that does not take them; then it has to look at everything.
const KEPT_HINTS: usize = 10_000;

/// Filled by the [`Listener`], emptied by the handle.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    hints: Mutex<VecDeque<Hint>>,
    arrived: Notify,
    waiters: Mutex<HashMap<TaskId, Vec<oneshot::Sender<()>>>>,
    /// The queues that this process has registered, and when by the monotonic clock.
    known: Mutex<HashMap<QueueName, Duration>>,
    clock: SystemClock,
}

impl Inbox {
    /// The next hint. Safe to cancel: a hint stays until it is returned.
    pub(crate) async fn hint(&self) -> Hint {
        loop {
            // A hint that comes between these two lines leaves a permit behind.
            if let Some(hint) = self.take_hint() {
                return hint;
            }
            self.arrived.notified().await;
        }
    }

    /// A waiter for the end of a message. It must be there before Redis is asked to tell.
    pub(crate) fn wait_for(self: &Arc<Self>, id: TaskId) -> Waiter {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiters).entry(id).or_default().push(sender);
        let waiting = Waiting { inbox: Arc::clone(self), id, receiver };
        Box::pin(waiting.end())
    }

    /// Whether this queue is in the set of queues, as far as this process knows.
    pub(crate) fn knows(&self, queue: &QueueName) -> bool {
        lock(&self.known).contains_key(queue)
    }

    /// Whether this process has registered the queue within the last `age`.
    pub(crate) fn knows_lately(&self, queue: &QueueName, age: Duration) -> bool {
        let now = self.clock.monotonic();
        lock(&self.known).get(queue).is_some_and(|at| now.saturating_sub(*at) < age)
    }

    /// The queues that this process has used.
    pub(crate) fn known(&self) -> Vec<QueueName> {
        lock(&self.known).keys().cloned().collect()
    }

    /// Takes back a hint of work that nobody took.
    pub(crate) fn give_up_hint(&self, queue: &QueueName) -> bool {
        let mut hints = lock(&self.hints);
        let before = hints.len();
        hints.retain(|hint| !matches!(hint, Hint::Work(name) if name == queue));
        hints.len() < before
    }

    pub(crate) fn learn(&self, queue: &QueueName) {
        lock(&self.known).insert(queue.clone(), self.clock.monotonic());
    }

    fn take_hint(&self) -> Option<Hint> {
        let mut hints = lock(&self.hints);
        let hint = hints.pop_front();
        if !hints.is_empty() {
            self.arrived.notify_one();
        }
        hint
    }

    fn push(&self, hint: Hint) {
        let mut hints = lock(&self.hints);
        if hint == Hint::Everything || hints.len() >= KEPT_HINTS {
            hints.clear();
            hints.push_back(Hint::Everything);
        } else if !hints.contains(&hint) {
            hints.push_back(hint);
        }
        drop(hints);
        self.arrived.notify_one();
    }

    /// Anything may have been missed: nobody may go on waiting for it, and a Redis that lost its data must learn the
    /// queues again.
    pub(crate) fn gap(&self) {
        lock(&self.known).clear();
        lock(&self.waiters).clear();
        self.push(Hint::Everything);
    }

    /// A payload of our channel: `w` and a queue, `x` or `o` and an id, `c`.
    fn told(&self, payload: &[u8]) {
        let Some((kind, rest)) = payload.split_first() else { return };
        let id = || <[u8; 16]>::try_from(rest).ok().map(TaskId::from_bytes);
        let queue = || std::str::from_utf8(rest).ok().and_then(|name| QueueName::new(name).ok());
        match kind {
            b'w' => queue().into_iter().for_each(|queue| self.push(Hint::Work(queue))),
            b'x' => id().into_iter().for_each(|id| self.push(Hint::Revoked(id))),
            b'c' => self.push(Hint::Command),
            // Dropping the senders ends the waiters.
            b'o' => drop(id().and_then(|id| lock(&self.waiters).remove(&id))),
            // A later release may say more.
            _ => {}
        }
    }
}

/// Moves what is heard into an inbox, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener(JoinHandle<()>);

impl Listener {
    /// Starts to listen on a channel; when this returns, nothing said from now on is missed.
    pub(crate) async fn start(redis: &Redis, channel: &str, inbox: Arc<Inbox>) -> Result<Self, BackendError> {
        let subscriber = redis.subscriber().await?;
        let events = subscriber.events();
        subscriber.subscribe(channel).await?;
        Ok(Self(tokio::spawn(listen(events, channel.to_owned(), inbox))))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn listen(mut events: SubscriberEvents, own: String, inbox: Arc<Inbox>) {
    while let Some(event) = events.next().await {
        match event {
            SubscriberEvent::Message { channel, payload } if channel == own => inbox.told(&payload),
            SubscriberEvent::Message { .. } => {}
            SubscriberEvent::Gap => inbox.gap(),
        }
    }
    inbox.gap();
}

/// Takes itself out of the inbox when it is dropped.
struct Waiting {
    inbox: Arc<Inbox>,
    id: TaskId,
    receiver: oneshot::Receiver<()>,
}

impl Waiting {
    async fn end(mut self) {
        // An error is the way it is told: nobody sends anything.
        let _told = (&mut self.receiver).await;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.receiver.close();
        let mut waiters = lock(&self.inbox.waiters);
        if let Some(senders) = waiters.get_mut(&self.id) {
            senders.retain(|sender| !sender.is_closed());
            if senders.is_empty() {
                waiters.remove(&self.id);
            }
        }
    }
}

/// A panic elsewhere leaves a collection as it was between two operations: going on is safe.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
