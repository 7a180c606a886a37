//! What a queue promises: the traits that every broker implements, with their contract in prose.
//!
//! Each numbered promise is proved by cases of the same number in `lovage-conformance`:
//!
//! 1. **At least once.** After `publish` answers [`Published::Accepted`] a message is delivered until it is settled,
//!    across a crash of any process of ours.
//! 2. **A lease belongs to a reservation**, not to a message: one `reserve` call on one queue, proved by its random
//!    [`Token`]. Until it ends nobody else gets those messages. A settlement under another token changes nothing and
//!    answers [`Settled::LeaseLost`], which is an answer and not an error.
//! 3. **A delayed message is not reserved**: it stays in the store until due and is never delivered early.
//! 4. **Two counters.** `delivery` grows at each hand-out; `attempt` counts failed outcomes. `GiveBack` costs no attempt.
//!    A message that is returned by [`Settle::Unstarted`] counts as not handed out: neither counter and no part of its
//!    history has changed.
//! 5. **A lease is renewed** by [`Leases::extend`], on a connection of its own, and so is a registration, by
//!    [`Leases::speak_for`].
//! 6. **The broker never ends a message by itself**: it delivers it with a [`Verdict`]; the worker records, then settles.
//! 7. **Order** within a queue, priority and slot kind is the order of becoming ready (published, due, retried: tail; given
//!    back, reclaimed: head); higher priority first. A message that is returned unstarted keeps its place among the
//!    messages that are kept for its kind. Within a priority these precede the messages that no worker has sorted yet.
//! 8. **Publishing a live id** (ready, delayed, leased, dead) or a held unique key answers [`Published::Duplicate`].
//!    With [`UniquePolicy::Replace`](crate::UniquePolicy::Replace) a holder that waits is marked as replaced instead,
//!    atomically with the publish, and becomes ready at once. The id of a message that ended may be published again: such a
//!    message carries the mark of a [possible duplicate](crate::Envelope::possible_duplicate) in its body, which a broker
//!    never changes, so every hand-out has it and the worker asks the result store.
//! 9. **Every live message can be found and cancelled** by id; without the queue's name every queue is asked.
//! 10. **Purge, pause and depth touch one queue only.** Hints are hints: a lost one delays, it loses nothing.
//! 11. **Poison guard.** A message whose lease ended without an outcome goes back to the head of its priority. After
//!     [`limits::SUSPECT_LOSSES`](crate::limits::SUSPECT_LOSSES) lost leases in a row it is a *suspect*: a reservation hands
//!     out at most one, first, and only when it asks for suspects. After
//!     [`limits::POISON_LOSSES`](crate::limits::POISON_LOSSES) it comes with [`Verdict::Poisoned`].
//! 12. **After an absence** (no `maintain` on the queue for half a lease) nothing is reclaimed until one full lease later,
//!     so that live workers renew first. A clock that is set back stretches neither this time nor a lease nor a registration
//!     beyond its own length, or beyond that of the caller where it is longer, from the next `maintain` or heartbeat on.
//! 13. **A fence** refuses a slot that is not newer than the newest of its name ([`Published::Stale`]), and a slot that is more
//!     than [`limits::CLOCK_TOLERANCE`](crate::limits::CLOCK_TOLERANCE) ahead of the broker's clock ([`Published::Early`]),
//!     both atomically with the publish. A newest slot that is so far ahead comes from a clock that was set back: it refuses
//!     nothing, and the next slot takes its place.
//! 14. **`watch` registers a waiter atomically with settlement**: [`Watch::Waiting`], or [`Watch::Gone`].
//! 15. **A rate limit counts hand-outs**, of all workers together, by the server's clock: whatever the verdict, and
//!     whatever becomes of them. What is given back was handed out. A reservation that finds ready messages and no token
//!     answers when the next one is there; until then nobody is hinted for what is ready.
//! 16. **What tasks hide stays known.** When a worker registers, what its tasks hide takes the place of what was known of
//!     them, and is kept when it is gone. Heartbeats after it change nothing, so the worker that came last has its way.
//! 17. **Messages are sorted by slot kind once.** A publisher does not know the kind of slot that a message needs, so a
//!     reservation may hand out a message that the worker has no free slot for. The worker returns it by
//!     [`Settle::Unstarted`]: it is ready again at once, and is handed out only to reservations that
//!     [want](Reserve::want) this kind, until it is retried, given back or reclaimed. An idle handle is registered for the
//!     kinds that it wanted, and is hinted for a kept message only if it wanted its kind. A reservation that leaves a message
//!     ready hints another idle handle that wants it. A reservation that wants nothing takes nothing, is not registered as
//!     idle, and passes a hint on in this way.
//!
//! **Time has one authority, the server.** `now: None` means its own clock; tests pass an instant and travel in time.
//!
//! **A handle is a participant.** One `Arc<dyn Broker>` stands for one process: it has one channel for hints and serves
//! at most one worker, and any number of publishers and waiters.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    BackendError, BoxFuture, Envelope, Hidden, Message, Priority, QueueName, RateLimit, TaskId, TaskState,
    Timestamp, Token, WorkerCommand, WorkerId, WorkerInfo,
};

/// The data path of a queue. Every operation takes a batch, because round trips are what a queue's speed is made of.
#[async_trait]
pub trait Broker: Inspect + Control {
    /// Takes messages, in one round trip per queue; the answers are in the order of the batch. Messages of one queue
    /// are taken together or not at all when an error is answered.
    async fn publish(
        &self,
        batch: &[Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError>;

    /// Hands out ready messages of one queue under one lease. When it finds nothing the handle is registered as idle:
    /// it gets a [`Hint::Work`] when a message becomes ready that it wants. A paused queue hands out nothing.
    async fn reserve(&self, request: Reserve<'_>, now: Option<Timestamp>) -> Result<Reserved, BackendError>;

    /// Makes several reservations, each of another queue, in one round trip (in a cluster: one per node). The answers are in
    /// the order of the requests and those of [`reserve`](Self::reserve).
    ///
    /// # Errors
    /// An inner error is that of one queue, and hides no other answer. An outer one is that of the whole round trip.
    async fn reserve_many(
        &self,
        requests: &[Reserve<'_>],
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Reserved, BackendError>>, BackendError>;

    /// Ends messages of one reservation; the answers are in the order of the batch. A reservation whose last message
    /// is settled ends.
    async fn settle(
        &self,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Option<Timestamp>,
    ) -> Result<Vec<Settled>, BackendError>;

    /// Reclaims ended leases and makes due messages ready, at most `limit` of each. `lease` is what workers of this
    /// queue ask for (for promise 12). Workers call it with each heartbeat and when a check is due.
    async fn maintain(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Maintained, BackendError>;

    /// Maintains several queues in one round trip (in a cluster: one per node). The answers are in the order of the queues
    /// and those of [`maintain`](Self::maintain).
    ///
    /// # Errors
    /// As [`reserve_many`](Self::reserve_many).
    async fn maintain_many(
        &self,
        queues: &[QueueName],
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Maintained, BackendError>>, BackendError>;

    /// The next hint for this handle. Dropping the future loses nothing: a hint is kept until somebody takes it.
    async fn hint(&self) -> Hint;

    /// Registers a waiter for the end of a message, atomically with settlement.
    async fn watch(&self, queue: &QueueName, id: TaskId) -> Result<Watch, BackendError>;

    /// Registers the worker of this handle for `ttl`, and takes what it was told.
    async fn heartbeat(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<Heartbeat, BackendError>;

    /// Removes a worker from the registry.
    async fn sign_off(&self, worker: WorkerId) -> Result<(), BackendError>;

    /// A second connection that only renews, made on the runtime that calls this. A worker calls it from a
    /// thread of its own, so that a task that blocks every thread of the main runtime loses no lease.
    async fn open_leases(&self) -> Result<Box<dyn Leases>, BackendError>;
}

/// Renews leases, and the registration of a worker that cannot.
#[async_trait]
pub trait Leases: Send + Sync + fmt::Debug {
    /// Moves the end of these reservations to `lease` from now. Answers which of them had ended, and which of their
    /// messages were cancelled.
    async fn extend(
        &self,
        queue: &QueueName,
        tokens: &[Token],
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Extended, BackendError>;

    /// Renews the registration of a worker for `ttl` and makes this what it says of itself, for its loop that cannot. What
    /// it was told stays for that loop. False, and nothing is changed, when it is not registered: nobody comes back like
    /// that who signed off.
    async fn speak_for(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError>;
}

/// Looking at queues. Nothing here changes anything, and nothing depends on a worker answering.
#[async_trait]
pub trait Inspect: Send + Sync + fmt::Debug {
    /// Every queue that was ever published to or reserved from, by name.
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError>;

    /// A live message (dead letters included). Without a queue every queue is asked in one round trip.
    async fn find(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
    ) -> Result<Option<StoredMessage>, BackendError>;

    /// The live messages of one queue among these ids (at most 1,000), dead letters included, in no order and in one round
    /// trip.
    async fn find_all(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<StoredMessage>, BackendError>;

    /// Messages of one place of one queue. Ready ones in the order of reservation, delayed ones by due time, leased
    /// ones in no order, dead ones the newest first.
    async fn peek(
        &self,
        queue: &QueueName,
        place: Place,
        page: Page,
    ) -> Result<Paged<StoredMessage>, BackendError>;

    /// How many messages would be handed out before this one, if it is ready; `None` if it is not. Beyond 100,000 messages
    /// of its own priority it may be an estimate.
    async fn ahead(&self, queue: &QueueName, id: TaskId) -> Result<Option<u64>, BackendError>;

    /// How much is where in a queue.
    async fn depth(&self, queue: &QueueName, now: Option<Timestamp>) -> Result<Depth, BackendError>;

    /// The workers whose registration has not ended, by name.
    async fn workers(&self, now: Option<Timestamp>) -> Result<Vec<WorkerInfo>, BackendError>;

    /// Which arguments must not be shown, of all tasks that workers ever registered.
    async fn hidden(&self) -> Result<Hidden, BackendError>;
}

/// Changing what is in queues, and telling workers.
#[async_trait]
pub trait Control: Send + Sync + fmt::Debug {
    /// Marks a message as revoked. A delayed one becomes ready at once; whoever gets it next gets [`Verdict::Revoked`];
    /// a worker that runs it gets [`Hint::Revoked`] and the id from [`Leases::extend`]. Dead letters are not touched.
    async fn cancel(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<Cancelled, BackendError>;

    /// Makes a delayed message ready now. Answers whether there was one.
    async fn promote(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError>;

    /// Removes up to `limit` messages (at most 1,000 a step) from one place of one queue and answers how many; leased
    /// ones cannot be removed ([`Unsupported`](crate::BackendErrorKind::Unsupported)). Callers loop and show progress.
    async fn purge(&self, queue: &QueueName, place: Place, limit: usize) -> Result<usize, BackendError>;

    /// Stops handing out messages of a queue; publishing goes on.
    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError>;

    /// Hands out messages again, and hints idle workers.
    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError>;

    /// Limits how many messages of a queue are handed out in a time, from now on and with a full bucket; `None` hands out as
    /// fast as workers take. The limit stays until it is changed.
    async fn limit(&self, queue: &QueueName, limit: Option<RateLimit>) -> Result<(), BackendError>;

    /// Makes dead letters ready again as run n+1, with fresh attempts. Answers how many of the ids were dead.
    async fn requeue_dead(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError>;

    /// Removes dead letters. Answers how many of the ids were dead.
    async fn delete_dead(&self, queue: &QueueName, ids: &[TaskId]) -> Result<usize, BackendError>;

    /// Leaves a command for a worker, which takes it with its next heartbeat and is hinted to take it at once.
    /// Answers whether the worker is registered.
    async fn tell(
        &self,
        worker: WorkerId,
        command: &WorkerCommand,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError>;
}

/// What became of one message of a publish.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Published {
    /// It is stored.
    Accepted,
    /// Its id is live, or its unique key is held.
    Duplicate {
        /// The live message.
        holder: TaskId,
    },
    /// Its fence has seen this slot or a newer one.
    Stale {
        /// The newest slot.
        newest: Timestamp,
    },
    /// The slot of its fence is too far ahead of the broker's clock: see promise 13.
    Early {
        /// The broker's clock.
        now: Timestamp,
    },
    /// The queue has reached its configured length.
    Full {
        /// That length.
        limit: u64,
    },
}

/// One reservation.
#[derive(Clone, Copy, Debug)]
pub struct Reserve<'a> {
    /// From which queue.
    pub queue: &'a QueueName,
    /// How many messages it takes, by slot kind.
    pub want: SlotWants,
    /// Made for this call.
    pub token: Token,
    /// How long the lease lasts unless renewed.
    pub lease: Duration,
    /// Whether a suspect may be among them: false while this worker holds one.
    pub suspects: bool,
}

/// The kind of slot that a task runs in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SlotKind {
    /// An `async fn`, which runs on the runtime of the worker.
    Async,
    /// A plain function, which runs on a thread of its own.
    Blocking,
}

impl SlotKind {
    /// All kinds, in the order of [`index`](Self::index).
    pub const ALL: [Self; 2] = [Self::Async, Self::Blocking];

    /// The number of kinds.
    pub const COUNT: usize = Self::ALL.len();

    /// The position in [`ALL`](Self::ALL), from 0 on. It is part of the layout of brokers and never changes.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Async => 0,
            Self::Blocking => 1,
        }
    }

    /// The word that is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Async => "async",
            Self::Blocking => "blocking",
        }
    }
}

/// How many messages a reservation takes, by slot kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SlotWants {
    /// At most this many in all, up to [`limits::RESERVE_BATCH`](crate::limits::RESERVE_BATCH). The kind of a message that
    /// no worker has sorted yet is not known, so only this bounds their number.
    pub total: usize,
    /// At most this many of the messages that are kept for async slots.
    pub asynchronous: usize,
    /// At most this many of the messages that are kept for blocking slots.
    pub blocking: usize,
}

impl SlotWants {
    /// Nothing.
    pub const NONE: Self = Self { total: 0, asynchronous: 0, blocking: 0 };

    /// Up to `count` messages of whatever kind.
    #[must_use]
    pub const fn any(count: usize) -> Self {
        Self { total: count, asynchronous: count, blocking: count }
    }

    /// The number of messages of this kind.
    #[must_use]
    pub const fn get(&self, kind: SlotKind) -> usize {
        match kind {
            SlotKind::Async => self.asynchronous,
            SlotKind::Blocking => self.blocking,
        }
    }

    /// The number of messages of this kind, to be changed.
    pub const fn get_mut(&mut self, kind: SlotKind) -> &mut usize {
        match kind {
            SlotKind::Async => &mut self.asynchronous,
            SlotKind::Blocking => &mut self.blocking,
        }
    }

    /// Whether it wants no message.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.total == 0
    }

    /// What is left to be wanted after a reservation brought these.
    #[must_use]
    pub fn less(mut self, deliveries: &[Delivery]) -> Self {
        self.total = self.total.saturating_sub(deliveries.len());
        for kind in deliveries.iter().filter_map(|delivery| delivery.kind) {
            let count = self.get_mut(kind);
            *count = count.saturating_sub(1);
        }
        self.bounded()
    }

    /// The same within what one reservation may take.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.total = self.total.min(crate::limits::RESERVE_BATCH);
        for kind in SlotKind::ALL {
            *self.get_mut(kind) = self.get(kind).min(self.total);
        }
        self
    }

    /// A bit for each kind that it wants, the lowest for the kind with [index](SlotKind::index) 0.
    #[must_use]
    pub fn kinds(&self) -> u8 {
        let bit = |kind: SlotKind| u8::from(self.get(kind) > 0) << kind.index();
        SlotKind::ALL.into_iter().map(bit).sum()
    }
}

/// What a reservation found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reserved {
    /// The broker's clock, by which verdicts were found.
    pub now: Timestamp,
    /// The messages, in order; they share the reservation's token.
    pub deliveries: Vec<Delivery>,
    /// When nothing was found: this handle should call `maintain` and look again after this time at the latest, because
    /// something becomes due or a lease ends then. `None`: the heartbeat is early enough.
    pub next_check: Option<Duration>,
}

/// A message handed out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// The task's id.
    pub id: TaskId,
    /// 0 to 9.
    pub priority: Priority,
    /// The envelope's bytes as published.
    pub body: Vec<u8>,
    /// 1, and one more for each requeue after its end.
    pub run: u32,
    /// 1 for the first hand-out.
    pub delivery: u32,
    /// Failed outcomes in this run so far.
    pub attempt: u32,
    /// Leases lost in a row: from [`limits::SUSPECT_LOSSES`](crate::limits::SUSPECT_LOSSES) on it is a suspect.
    pub losses: u32,
    /// When a worker first gave it back as undeliverable.
    pub refused_since: Option<Timestamp>,
    /// When it was published, by the broker's clock.
    pub published_at: Timestamp,
    /// The slot kind that it was kept for; `None` when no worker has sorted it yet.
    pub kind: Option<SlotKind>,
    /// What to do with it.
    pub verdict: Verdict,
}

impl Delivery {
    /// Returns whether its task may have run before under the same id: it was handed out before, or its envelope carries the
    /// mark of a [possible duplicate](crate::Envelope::possible_duplicate). A worker reads the record of such a task first.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        self.delivery > 1 || Envelope::is_possible_duplicate(&self.body)
    }
}

/// What a worker has to do with a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Run it.
    Run,
    /// It was cancelled: record that, then settle.
    Revoked,
    /// A newer message took its unique key while it waited: record that, then settle.
    Replaced {
        /// The newer one.
        by: TaskId,
    },
    /// It expired before it was started: record that, then settle.
    Expired,
    /// It lost too many leases: record a failure, then settle it as a dead letter.
    Poisoned,
}

/// The end of one message of a reservation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// Which message.
    pub id: TaskId,
    /// How it ends.
    pub how: Settle,
}

/// How a delivery ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settle {
    /// Done: the message is gone.
    Ack,
    /// Failed: one attempt more, ready again after a delay, at the tail.
    Retry {
        /// The delay, counted by the server.
        after: Duration,
        /// What went wrong.
        note: Note,
    },
    /// Not run: no attempt spent, ready again after a delay; at the head when there is none.
    GiveBack {
        /// The delay, counted by the server.
        after: Duration,
        /// This worker cannot run it (sets [`Delivery::refused_since`] once).
        refused: bool,
    },
    /// Not handed out: the worker has no free slot of its kind. Nothing of it has changed (delivery, attempt, history, rate
    /// token), and it is ready again at once, kept for reservations that want this kind.
    Unstarted {
        /// The kind of slot that it needs. `None` from a worker whose tasks are all of one kind: it stays unsorted, at its
        /// place or at the head.
        kind: Option<SlotKind>,
        /// [`Delivery::kind`], unchanged: it tells a broker without positions where the place of the message is.
        kept_for: Option<SlotKind>,
    },
    /// Kept aside with a reason.
    DeadLetter {
        /// Why.
        reason: DeadReason,
        /// What went wrong.
        note: Note,
    },
}

/// A short note of a failed attempt; the newest [`limits::NOTES`](crate::limits::NOTES) are kept with a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Note {
    /// When, by the worker's clock.
    pub at: Timestamp,
    /// The worker's name.
    pub worker: String,
    /// The error, at most [`limits::NOTE_BYTES`](crate::limits::NOTE_BYTES) bytes.
    pub error: String,
}

impl Note {
    /// A note, its error cut to the limit.
    pub fn new(at: Timestamp, worker: impl Into<String>, error: impl Into<String>) -> Self {
        let mut error = error.into();
        error.truncate(error.floor_char_boundary(crate::limits::NOTE_BYTES));
        Self { at, worker: worker.into(), error }
    }
}

/// Why a message is a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadReason {
    /// Its last retry failed.
    Exhausted,
    /// It failed in a way that is not retried.
    Permanent,
    /// It lost too many leases.
    Poisoned,
    /// No worker could run it for an hour.
    Undeliverable,
    /// Nobody can read it.
    Unreadable,
}

impl DeadReason {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Permanent => "permanent",
            Self::Poisoned => "poisoned",
            Self::Undeliverable => "undeliverable",
            Self::Unreadable => "unreadable",
        }
    }

    /// The reason for a word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Exhausted, Self::Permanent, Self::Poisoned, Self::Undeliverable, Self::Unreadable]
            .into_iter()
            .find(|reason| reason.as_str() == word)
    }
}

/// What became of one settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It took effect.
    Applied,
    /// The lease had ended: nothing was changed, somebody else has the message or had it.
    LeaseLost,
}

/// What [`Leases::extend`] found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Extended {
    /// Reservations that had ended: their runs must stop. A reservation that was settled completely counts as ended.
    pub lost: Vec<Token>,
    /// Messages of these reservations that were cancelled.
    pub revoked: Vec<TaskId>,
}

/// What [`Broker::maintain`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Maintained {
    /// Messages whose lease had ended and which are ready again.
    pub reclaimed: usize,
    /// Delayed messages that became ready.
    pub promoted: usize,
    /// Whether a reservation would be handed something: a message is ready, the queue is not paused, and there is a token.
    pub is_ready: bool,
    /// Whether messages are leased, so that a lease may have to be reclaimed.
    pub is_leased: bool,
}

/// Something that a handle should look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hint {
    /// There may be work in this queue.
    Work(QueueName),
    /// A message that this handle's worker holds was cancelled.
    Revoked(TaskId),
    /// The worker was told something: a heartbeat takes it.
    Command,
    /// The connection was lost and is back, or nothing is known: look at everything.
    Everything,
}

/// What `watch` found.
pub enum Watch {
    /// The message is live; the waiter ends when it is settled for good (acknowledged or dead), or when nothing more
    /// will be told (then ask again). It tells of one message.
    Waiting(Waiter),
    /// The message is not live: read the result store.
    Gone,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting(_) => "Waiting",
            Self::Gone => "Gone",
        })
    }
}

/// Ends when a watched message has ended; dropping it unregisters.
pub type Waiter = BoxFuture<'static, ()>;

/// What a heartbeat answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heartbeat {
    /// Live workers, this one included: heartbeats get rarer when there are many.
    pub live_workers: usize,
    /// What this worker was told since its last heartbeat, oldest first.
    pub commands: Vec<WorkerCommand>,
}

/// Where a live message is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Waiting for a worker.
    Ready,
    /// Waiting for its time.
    Delayed,
    /// In the hands of a worker.
    Leased,
    /// A dead letter.
    Dead,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Delayed, Self::Leased, Self::Dead];

    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Delayed => "delayed",
            Self::Leased => "leased",
            Self::Dead => "dead",
        }
    }
}

/// A live message as it is found in a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredMessage {
    /// The task's id.
    pub id: TaskId,
    /// The queue.
    pub queue: QueueName,
    /// 0 to 9.
    pub priority: Priority,
    /// Where it is.
    pub place: Place,
    /// The envelope's bytes as published.
    pub body: Vec<u8>,
    /// See [`Delivery::run`].
    pub run: u32,
    /// Hand-outs so far.
    pub delivery: u32,
    /// Failed outcomes in this run that were to be retried; see [`failed_attempts`](Self::failed_attempts).
    pub attempt: u32,
    /// Leases lost in a row.
    pub losses: u32,
    /// When it was published.
    pub published_at: Timestamp,
    /// Delayed: when it becomes ready. Leased: when the lease ends. Dead: since when.
    pub at: Option<Timestamp>,
    /// Whether it was cancelled, or replaced.
    pub revoked: bool,
    /// The message that took its unique key while it waited.
    pub replaced_by: Option<TaskId>,
    /// The unique key that it holds.
    pub unique_key: Option<String>,
    /// Dead: why.
    pub reason: Option<DeadReason>,
    /// The newest notes of failed attempts, oldest first.
    pub notes: Vec<Note>,
}

impl StoredMessage {
    /// Failed attempts in this run. The last one of a dead letter is among them, unless it was given up without one: nobody
    /// could run or read it, or its workers were lost.
    #[must_use]
    pub const fn failed_attempts(&self) -> u32 {
        match self.reason {
            Some(DeadReason::Exhausted | DeadReason::Permanent) => self.attempt + 1,
            Some(DeadReason::Poisoned | DeadReason::Undeliverable | DeadReason::Unreadable) | None => {
                self.attempt
            }
        }
    }

    /// Whether it waits because a worker that could not run it gave it back: it has no other time to wait for.
    #[must_use]
    pub const fn is_given_back(&self) -> bool {
        matches!(self.place, Place::Delayed) && self.attempt == 0 && self.delivery > 0
    }

    /// The state of its task.
    #[must_use]
    pub const fn state(&self) -> TaskState {
        match self.place {
            Place::Ready => TaskState::Pending,
            Place::Leased => TaskState::Started,
            Place::Delayed if self.attempt > 0 => TaskState::Retry,
            Place::Delayed => TaskState::Scheduled,
            Place::Dead => TaskState::Failure,
        }
    }
}

/// Which part of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// Where the last page ended: [`Paged::next`]. `None` is the beginning.
    pub after: Option<String>,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
}

impl Page {
    /// The first page.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { after: None, limit }
    }
}

/// A part of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paged<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end. Opaque.
    pub next: Option<String>,
}

/// How much is where in a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Depth {
    /// Waiting for a worker.
    pub ready: u64,
    /// Waiting for their time.
    pub delayed: u64,
    /// In the hands of workers.
    pub leased: u64,
    /// Dead letters.
    pub dead: u64,
    /// Whether the queue is paused.
    pub paused: bool,
    /// How many may be handed out in a time.
    pub limit: Option<RateLimit>,
    /// When the message at the head of the queue was published.
    pub oldest_ready: Option<Timestamp>,
}

/// What `cancel` found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// It was waiting and will not run.
    Waiting,
    /// A worker has it and is being told.
    Leased,
    /// There is no such live message.
    NotFound,
}
