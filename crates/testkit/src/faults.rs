//! A broker that fails on command.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{
    BackendError, BackendErrorKind, Broker, Cancelled, Control, Depth, Extended, Heartbeat, Hidden, Hint,
    Inspect, Leases, Maintained, Message, Page, Paged, Place, Published, QueueName, RateLimit, Reserve,
    Reserved, Settled, Settlement, StoredMessage, TaskId, Timestamp, Token, Watch, WorkerCommand, WorkerId,
    WorkerInfo,
};
use tokio::sync::Notify;

/// What can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    /// [`Broker::publish`].
    Publish,
    /// [`Broker::reserve`], and [`Broker::reserve_many`] as one call.
    Reserve,
    /// [`Broker::settle`].
    Settle,
    /// [`Broker::maintain`], and [`Broker::maintain_many`] as one call.
    Maintain,
    /// [`Broker::watch`].
    Watch,
    /// [`Broker::heartbeat`].
    Heartbeat,
    /// [`Broker::sign_off`].
    SignOff,
    /// [`Broker::open_leases`].
    OpenLeases,
    /// [`Leases::extend`].
    Extend,
    /// [`Leases::speak_for`].
    SpeakFor,
    /// Everything of [`Inspect`].
    Inspect,
    /// Everything of [`Control`].
    Control,
}

/// How an operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing happens, and an error of this kind is answered.
    Error(BackendErrorKind),
    /// It takes effect, and its answer is lost: an error that [may have been applied](BackendError::is_maybe_applied).
    LostAnswer,
}

/// A broker in front of another that fails on command, and counts what it is asked for.
///
/// Hints go through, also while it is down, unless they are [lost](Self::lose_hints); when it comes back it says [`Hint::Everything`], as a broker does that has
/// connected again.
#[derive(Debug)]
pub struct FaultyBroker {
    inner: Arc<dyn Broker>,
    switch: Arc<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    plan: Mutex<Plan>,
    back: Notify,
    released: Notify,
}

#[derive(Debug, Default)]
struct Plan {
    down: bool,
    deaf: bool,
    faults: BTreeMap<Operation, VecDeque<Fault>>,
    calls: BTreeMap<Operation, usize>,
    held: BTreeSet<Operation>,
    rounds: Vec<Vec<QueueName>>,
}

impl FaultyBroker {
    /// In front of `inner`, without faults yet.
    #[must_use]
    pub fn new(inner: Arc<dyn Broker>) -> Arc<Self> {
        Arc::new(Self { inner, switch: Arc::default() })
    }

    /// Lets the next call of an operation fail. Faults of one operation queue up, one for each call.
    pub fn fail_next(&self, operation: Operation, fault: Fault) {
        self.switch.lock().faults.entry(operation).or_default().push_back(fault);
    }

    /// From now on every operation fails as unavailable.
    pub fn go_down(&self) {
        self.switch.lock().down = true;
    }

    /// Ends [`go_down`](Self::go_down).
    pub fn come_back(&self) {
        self.switch.lock().down = false;
        self.switch.back.notify_one();
    }

    /// From now on calls of an operation wait, counted already, until it is [released](Self::release).
    pub fn hold(&self, operation: Operation) {
        self.switch.lock().held.insert(operation);
    }

    /// Ends [`hold`](Self::hold).
    pub fn release(&self, operation: Operation) {
        self.switch.lock().held.remove(&operation);
        self.switch.released.notify_waiters();
    }

    /// From now on hints are lost, as they may be.
    pub fn lose_hints(&self) {
        self.switch.lock().deaf = true;
    }

    /// How often an operation was asked for, failed calls included.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> usize {
        self.switch.lock().calls.get(&operation).copied().unwrap_or(0)
    }

    /// The number of calls of all operations.
    #[must_use]
    pub fn all_calls(&self) -> usize {
        self.switch.lock().calls.values().sum()
    }

    /// Takes the queues that each [`Broker::reserve_many`] asked since the last call of this.
    #[must_use]
    pub fn take_rounds(&self) -> Vec<Vec<QueueName>> {
        std::mem::take(&mut self.switch.lock().rounds)
    }

    async fn through<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        self.switch.through(operation, call).await
    }
}

impl Switch {
    async fn through<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        let fault = self.next_fault(operation);
        self.held(operation).await;
        match fault {
            None => call.await,
            Some(Fault::Error(kind)) => Err(BackendError::new(kind, "a fault that the test asked for")),
            Some(Fault::LostAnswer) => {
                call.await?;
                let error = BackendError::new(BackendErrorKind::Unavailable, "an answer that the test lost");
                Err(error.maybe_applied())
            }
        }
    }

    async fn held(&self, operation: Operation) {
        loop {
            let mut released = pin!(self.released.notified());
            // Registered before the look, or a release in between would be missed.
            released.as_mut().enable();
            if !self.lock().held.contains(&operation) {
                return;
            }
            released.await;
        }
    }

    fn next_fault(&self, operation: Operation) -> Option<Fault> {
        let mut plan = self.lock();
        *plan.calls.entry(operation).or_default() += 1;
        if plan.down {
            return Some(Fault::Error(BackendErrorKind::Unavailable));
        }
        plan.faults.get_mut(&operation)?.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for FaultyBroker {
    async fn publish(
        &self,
        batch: &[Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError> {
        self.through(Operation::Publish, self.inner.publish(batch, now)).await
    }

    async fn reserve(&self, request: Reserve<'_>, now: Option<Timestamp>) -> Result<Reserved, BackendError> {
        self.through(Operation::Reserve, self.inner.reserve(request, now)).await
    }

    async fn reserve_many(
        &self,
        requests: &[Reserve<'_>],
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Reserved, BackendError>>, BackendError> {
        let asked = requests.iter().map(|request| request.queue.clone()).collect();
        self.switch.lock().rounds.push(asked);
        self.through(Operation::Reserve, self.inner.reserve_many(requests, now)).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Option<Timestamp>,
    ) -> Result<Vec<Settled>, BackendError> {
        self.through(Operation::Settle, self.inner.settle(queue, token, batch, now)).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Maintained, BackendError> {
        self.through(Operation::Maintain, self.inner.maintain(queue, limit, lease, now)).await
    }

    async fn maintain_many(
        &self,
        queues: &[QueueName],
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Maintained, BackendError>>, BackendError> {
        self.through(Operation::Maintain, self.inner.maintain_many(queues, limit, lease, now)).await
    }

    async fn hint(&self) -> Hint {
        let mut back = pin!(self.switch.back.notified());
        let mut hint = pin!(self.inner.hint());
        poll_fn(|cx| {
            if back.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Hint::Everything);
            }
            loop {
                let answer = hint.as_mut().poll(cx);
                if answer.is_pending() || !self.switch.lock().deaf {
                    return answer;
                }
                hint.set(self.inner.hint());
            }
        })
        .await
    }

    async fn watch(&self, queue: &QueueName, id: TaskId) -> Result<Watch, BackendError> {
        self.through(Operation::Watch, self.inner.watch(queue, id)).await
    }

    async fn heartbeat(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<Heartbeat, BackendError> {
        self.through(Operation::Heartbeat, self.inner.heartbeat(info, ttl, now)).await
    }

    async fn sign_off(&self, worker: WorkerId) -> Result<(), BackendError> {
        self.through(Operation::SignOff, self.inner.sign_off(worker)).await
    }

    async fn open_leases(&self) -> Result<Box<dyn Leases>, BackendError> {
        let inner = self.through(Operation::OpenLeases, self.inner.open_leases()).await?;
        Ok(Box::new(FaultyLeases { inner, switch: Arc::clone(&self.switch) }))
    }
}

#[derive(Debug)]
struct FaultyLeases {
    inner: Box<dyn Leases>,
    switch: Arc<Switch>,
}

#[async_trait]
impl Leases for FaultyLeases {
    async fn extend(
        &self,
        queue: &QueueName,
        tokens: &[Token],
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Extended, BackendError> {
        self.switch.through(Operation::Extend, self.inner.extend(queue, tokens, lease, now)).await
    }

    async fn speak_for(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        self.switch.through(Operation::SpeakFor, self.inner.speak_for(info, ttl, now)).await
    }
}

#[async_trait]
impl Inspect for FaultyBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        self.through(Operation::Inspect, self.inner.queues()).await
    }

    async fn find(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
    ) -> Result<Option<StoredMessage>, BackendError> {
        self.through(Operation::Inspect, self.inner.find(id, queue)).await
    }

    async fn find_all(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<StoredMessage>, BackendError> {
        self.through(Operation::Inspect, self.inner.find_all(queue, ids)).await
    }

    async fn peek(
        &self,
        queue: &QueueName,
        place: Place,
        page: Page,
    ) -> Result<Paged<StoredMessage>, BackendError> {
        self.through(Operation::Inspect, self.inner.peek(queue, place, page)).await
    }

    async fn ahead(&self, queue: &QueueName, id: TaskId) -> Result<Option<u64>, BackendError> {
        self.through(Operation::Inspect, self.inner.ahead(queue, id)).await
    }

    async fn depth(&self, queue: &QueueName, now: Option<Timestamp>) -> Result<Depth, BackendError> {
        self.through(Operation::Inspect, self.inner.depth(queue, now)).await
    }

    async fn workers(&self, now: Option<Timestamp>) -> Result<Vec<WorkerInfo>, BackendError> {
        self.through(Operation::Inspect, self.inner.workers(now)).await
    }

    async fn hidden(&self) -> Result<Hidden, BackendError> {
        self.through(Operation::Inspect, self.inner.hidden()).await
    }
}

#[async_trait]
impl Control for FaultyBroker {
    async fn cancel(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<Cancelled, BackendError> {
        self.through(Operation::Control, self.inner.cancel(id, queue, now)).await
    }

    async fn promote(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        self.through(Operation::Control, self.inner.promote(id, queue, now)).await
    }

    async fn purge(&self, queue: &QueueName, place: Place, limit: usize) -> Result<usize, BackendError> {
        self.through(Operation::Control, self.inner.purge(queue, place, limit)).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.through(Operation::Control, self.inner.pause(queue)).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.through(Operation::Control, self.inner.resume(queue)).await
    }

    async fn limit(&self, queue: &QueueName, limit: Option<RateLimit>) -> Result<(), BackendError> {
        self.through(Operation::Control, self.inner.limit(queue, limit)).await
    }

    async fn requeue_dead(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        self.through(Operation::Control, self.inner.requeue_dead(queue, ids, now)).await
    }

    async fn delete_dead(&self, queue: &QueueName, ids: &[TaskId]) -> Result<usize, BackendError> {
        self.through(Operation::Control, self.inner.delete_dead(queue, ids)).await
    }

    async fn tell(
        &self,
        worker: WorkerId,
        command: &WorkerCommand,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        self.through(Operation::Control, self.inner.tell(worker, command, now)).await
    }
}
