//! The traits over the state, behind one lock that is never held across an await.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{
    BackendError, BackendErrorKind, Broker, Cancelled, Clock, Control, Depth, Extended, Heartbeat, Hidden,
    Hint, Inspect, Leases, Maintained, Message, Page, Paged, Place, Published, QueueName, RateLimit, Reserve,
    Reserved, Settled, Settlement, StoredMessage, TaskId, Timestamp, Token, Watch, WorkerCommand, WorkerId,
    WorkerInfo,
};
use tokio::sync::Notify;

use crate::queue::HandleId;
use crate::state::State;

/// Queues in the memory of this process. Clones share their queues; [`handle`](Self::handle) makes participants.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

impl MemoryStore {
    /// An empty store that lives by this clock.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { clock, state: Mutex::default() }) }
    }

    /// A new participant: it has hints of its own and serves one worker at most.
    #[must_use]
    pub fn handle(&self) -> Arc<dyn Broker> {
        let arrived = Arc::new(Notify::new());
        let id = self.shared.lock().open_handle(Arc::clone(&arrived));
        Arc::new(Handle { shared: Arc::clone(&self.shared), id, arrived })
    }
}

struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Shared {
    /// A panic elsewhere leaves the state as it was between two operations on one queue: going on is safe.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.clock.now())
    }
}

impl fmt::Debug for Shared {
    /// Not the state: bodies may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("clock", &self.clock).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    id: HandleId,
    arrived: Arc<Notify>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().close_handle(self.id);
    }
}

#[async_trait]
impl Broker for Handle {
    async fn publish(
        &self,
        batch: &[Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError> {
        let now = self.shared.now(now);
        Ok(self.shared.lock().publish(batch, now))
    }

    async fn reserve(&self, request: Reserve<'_>, now: Option<Timestamp>) -> Result<Reserved, BackendError> {
        let now = self.shared.now(now);
        Ok(self.shared.lock().with_new(request.queue, |queue| queue.reserve(self.id, &request, now)))
    }

    async fn reserve_many(
        &self,
        requests: &[Reserve<'_>],
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Reserved, BackendError>>, BackendError> {
        let now = self.shared.now(now);
        let mut state = self.shared.lock();
        let reserve = |request: &Reserve<'_>| {
            Ok(state.with_new(request.queue, |queue| queue.reserve(self.id, request, now)))
        };
        Ok(requests.iter().map(reserve).collect())
    }

    async fn settle(
        &self,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Option<Timestamp>,
    ) -> Result<Vec<Settled>, BackendError> {
        let now = self.shared.now(now);
        let settled = self.shared.lock().with(queue, |queue| queue.settle(token, batch, now));
        Ok(settled.unwrap_or_else(|| vec![Settled::LeaseLost; batch.len()]))
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Maintained, BackendError> {
        let now = self.shared.now(now);
        Ok(self.shared.lock().with_new(queue, |queue| queue.maintain(self.id, limit, lease, now)))
    }

    async fn maintain_many(
        &self,
        queues: &[QueueName],
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Maintained, BackendError>>, BackendError> {
        let now = self.shared.now(now);
        let mut state = self.shared.lock();
        let maintain = |queue| Ok(state.with_new(queue, |queue| queue.maintain(self.id, limit, lease, now)));
        Ok(queues.iter().map(maintain).collect())
    }

    async fn hint(&self) -> Hint {
        loop {
            // A hint that comes between these two lines leaves a permit behind.
            if let Some(hint) = self.shared.lock().take_hint(self.id) {
                return hint;
            }
            self.arrived.notified().await;
        }
    }

    async fn watch(&self, queue: &QueueName, id: TaskId) -> Result<Watch, BackendError> {
        let mut state = self.shared.lock();
        let number = state.next_id();
        let Some(receiver) = state.with(queue, |queue| queue.watch(id, number)).flatten() else {
            return Ok(Watch::Gone);
        };
        let registered =
            Registered { shared: Arc::downgrade(&self.shared), queue: queue.clone(), id, number };
        Ok(Watch::Waiting(Box::pin(async move {
            let _unregisters_when_dropped = registered;
            // An error means that the store is gone: nothing more will be told.
            let _told = receiver.await;
        })))
    }

    async fn heartbeat(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<Heartbeat, BackendError> {
        let now = self.shared.now(now);
        Ok(self.shared.lock().heartbeat(self.id, info, ttl, now))
    }

    async fn sign_off(&self, worker: WorkerId) -> Result<(), BackendError> {
        self.shared.lock().sign_off(worker);
        Ok(())
    }

    async fn open_leases(&self) -> Result<Box<dyn Leases>, BackendError> {
        Ok(Box::new(MemoryLeases { shared: Arc::clone(&self.shared) }))
    }
}

#[async_trait]
impl Inspect for Handle {
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        Ok(self.shared.lock().queue_names())
    }

    async fn find(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
    ) -> Result<Option<StoredMessage>, BackendError> {
        Ok(self.shared.lock().find(id, queue))
    }

    async fn find_all(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<StoredMessage>, BackendError> {
        let state = self.shared.lock();
        Ok(ids.iter().filter_map(|id| state.find(*id, Some(queue))).collect())
    }

    async fn peek(
        &self,
        queue: &QueueName,
        place: Place,
        page: Page,
    ) -> Result<Paged<StoredMessage>, BackendError> {
        let state = self.shared.lock();
        state
            .queue(queue)
            .map_or_else(|| Ok(Paged { items: Vec::new(), next: None }), |queue| queue.peek(place, &page))
    }

    async fn ahead(&self, queue: &QueueName, id: TaskId) -> Result<Option<u64>, BackendError> {
        Ok(self.shared.lock().queue(queue).and_then(|queue| queue.ahead(id)))
    }

    async fn depth(&self, queue: &QueueName, _now: Option<Timestamp>) -> Result<Depth, BackendError> {
        Ok(self.shared.lock().queue(queue).map(crate::queue::Queue::depth).unwrap_or_default())
    }

    async fn workers(&self, now: Option<Timestamp>) -> Result<Vec<WorkerInfo>, BackendError> {
        let now = self.shared.now(now);
        Ok(self.shared.lock().workers(now))
    }

    async fn hidden(&self) -> Result<Hidden, BackendError> {
        Ok(self.shared.lock().hidden().clone())
    }
}

#[async_trait]
impl Control for Handle {
    async fn cancel(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        _now: Option<Timestamp>,
    ) -> Result<Cancelled, BackendError> {
        Ok(self.shared.lock().cancel(id, queue))
    }

    async fn promote(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        _now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        Ok(self.shared.lock().promote(id, queue))
    }

    async fn purge(&self, queue: &QueueName, place: Place, limit: usize) -> Result<usize, BackendError> {
        if place == Place::Leased {
            return Err(BackendError::new(
                BackendErrorKind::Unsupported,
                "messages in the hands of workers cannot be purged: cancel them, or wait until they have ended",
            ));
        }
        Ok(self.shared.lock().with(queue, |queue| queue.purge(place, limit)).unwrap_or(0))
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.shared.lock().with_new(queue, |queue| queue.set_paused(true));
        Ok(())
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.shared.lock().with_new(queue, |queue| queue.set_paused(false));
        Ok(())
    }

    async fn limit(&self, queue: &QueueName, limit: Option<RateLimit>) -> Result<(), BackendError> {
        self.shared.lock().with_new(queue, |queue| queue.set_limit(limit));
        Ok(())
    }

    async fn requeue_dead(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        _now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        Ok(self.shared.lock().with(queue, |queue| queue.requeue_dead(ids)).unwrap_or(0))
    }

    async fn delete_dead(&self, queue: &QueueName, ids: &[TaskId]) -> Result<usize, BackendError> {
        Ok(self.shared.lock().with(queue, |queue| queue.delete_dead(ids)).unwrap_or(0))
    }

    async fn tell(
        &self,
        worker: WorkerId,
        command: &WorkerCommand,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        let now = self.shared.now(now);
        Ok(self.shared.lock().tell(worker, command, now))
    }
}

#[derive(Debug)]
struct MemoryLeases {
    shared: Arc<Shared>,
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn extend(
        &self,
        queue: &QueueName,
        tokens: &[Token],
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Extended, BackendError> {
        let now = self.shared.now(now);
        let extended = self.shared.lock().with(queue, |queue| queue.extend(tokens, lease, now));
        Ok(extended.unwrap_or_else(|| Extended { lost: tokens.to_vec(), revoked: Vec::new() }))
    }

    async fn speak_for(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        let now = self.shared.now(now);
        Ok(self.shared.lock().speak_for(info, ttl, now))
    }
}

/// A waiter's entry in its queue.
struct Registered {
    shared: Weak<Shared>,
    queue: QueueName,
    id: TaskId,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.lock().with(&self.queue, |queue| queue.unwatch(self.id, self.number));
        }
    }
}
