//! What the cases are written with: a queue seen by one participant, and time that they choose.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lovage_core::{
    Broker, DeadReason, Delivery, Hint, Leases, Maintained, Message, Note, Page, Place, Published, QueueName,
    Reserve, Reserved, Settle, Settled, Settlement, SlotKind, SlotWants, StoredMessage, TaskId, Timestamp,
    Token, Waiter, Watch,
};
use lovage_system::{SystemClock, SystemEntropy};

use super::BrokerBed;

/// The lease that the cases ask for.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// How long of real time an event may take to arrive before a case fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// The instant of this many seconds in the time of a case.
pub(crate) fn at(seconds: u64) -> Option<Timestamp> {
    Some(instant(seconds))
}

/// The same in milliseconds.
pub(crate) fn at_millis(millis: u64) -> Option<Timestamp> {
    Some(instant(0).plus(Duration::from_millis(millis)))
}

/// Second zero is 2026-01-01T00:00:00Z.
pub(crate) fn instant(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000).plus(Duration::from_secs(seconds))
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn token() -> Token {
    Token::new(&SystemEntropy)
}

pub(crate) fn note(text: &str) -> Note {
    Note::new(instant(0), "worker", text)
}

pub(crate) fn retry(after: Duration) -> Settle {
    Settle::Retry { after, note: note("failed") }
}

pub(crate) fn give_back(after: Duration) -> Settle {
    Settle::GiveBack { after, refused: false }
}

pub(crate) fn dead_letter() -> Settle {
    Settle::DeadLetter { reason: DeadReason::Permanent, note: note("hopeless") }
}

/// What an event gives, or a failed case when it does not come.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    lovage_testkit::within(&SystemClock::new(), PATIENCE, what, future).await
}

/// The next hint that says something: brokers may ask to look at everything at any time.
pub(crate) async fn next_hint(broker: &dyn Broker, what: &str) -> Hint {
    soon(what, async {
        loop {
            match broker.hint().await {
                Hint::Everything => {}
                hint @ (Hint::Work(_) | Hint::Revoked(_) | Hint::Command) => return hint,
            }
        }
    })
    .await
}

/// One queue as one participant sees it.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) name: QueueName,
}

/// Messages of one reservation.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) token: Token,
    pub(crate) reserved: Reserved,
}

impl Queue {
    /// A new participant at the queue `q`.
    pub(crate) async fn join(bed: &dyn BrokerBed) -> Self {
        Self { broker: bed.handle().await, name: lovage_testkit::queue("q") }
    }

    /// The same participant at another queue.
    pub(crate) fn other(&self, name: &str) -> Self {
        Self { broker: Arc::clone(&self.broker), name: lovage_testkit::queue(name) }
    }

    /// A message for this queue.
    pub(crate) fn message(&self) -> lovage_testkit::MessageBuilder {
        lovage_testkit::message(&self.name)
    }

    pub(crate) async fn publish(&self, batch: &[Message], now: Option<Timestamp>) -> Vec<Published> {
        self.broker.publish(batch, now).await.expect("publish")
    }

    pub(crate) async fn publish_one(&self, message: &Message, now: Option<Timestamp>) -> Published {
        let answers = self.publish(std::slice::from_ref(message), now).await;
        assert_eq!(answers.len(), 1, "one answer for one message");
        answers.into_iter().next().expect("one answer")
    }

    /// Publishes a message that must be accepted.
    pub(crate) async fn accept(&self, message: impl Into<Message>, now: Option<Timestamp>) -> TaskId {
        let message = message.into();
        assert_eq!(self.publish_one(&message, now).await, Published::Accepted);
        message.id
    }

    /// Publishes this many plain messages.
    pub(crate) async fn fill(&self, count: usize, now: Option<Timestamp>) -> Vec<TaskId> {
        let batch: Vec<Message> = (0..count).map(|_| self.message().build()).collect();
        for part in batch.chunks(lovage_core::limits::PUBLISH_BATCH) {
            let answers = self.publish(part, now).await;
            assert!(answers.iter().all(|answer| *answer == Published::Accepted), "{answers:?}");
        }
        batch.iter().map(|message| message.id).collect()
    }

    /// Reserves with a fresh token, suspects included.
    pub(crate) async fn reserve(&self, max: usize, now: Option<Timestamp>) -> Batch {
        self.reserve_with(max, true, now).await
    }

    pub(crate) async fn reserve_with(&self, max: usize, suspects: bool, now: Option<Timestamp>) -> Batch {
        self.reserve_wanting(SlotWants::any(max), suspects, now).await
    }

    /// Reserves by slot kind with a fresh token.
    pub(crate) async fn reserve_wanting(
        &self,
        want: SlotWants,
        suspects: bool,
        now: Option<Timestamp>,
    ) -> Batch {
        let token = token();
        let request = Reserve { queue: &self.name, want, token, lease: LEASE, suspects };
        let reserved = self.broker.reserve(request, now).await.expect("reserve");
        let (total, count) = (want.total, reserved.deliveries.len());
        assert!(count <= total, "asked for {total}, got {count}");
        for kind in SlotKind::ALL {
            let kept = reserved.deliveries.iter().filter(|delivery| delivery.kind == Some(kind)).count();
            assert!(kept <= want.get(kind), "asked for {} {}, got {kept}", want.get(kind), kind.as_str());
        }
        Batch { token, reserved }
    }

    /// Returns all messages of a reservation unstarted, for this slot kind.
    pub(crate) async fn return_unstarted(
        &self,
        batch: &Batch,
        kind: impl Into<Option<SlotKind>>,
        now: Option<Timestamp>,
    ) {
        let kind = kind.into();
        let back = |delivery: &Delivery| Settlement {
            id: delivery.id,
            how: Settle::Unstarted { kind, kept_for: delivery.kind },
        };
        let back: Vec<Settlement> = batch.reserved.deliveries.iter().map(back).collect();
        let answers = self.broker.settle(&self.name, batch.token, &back, now).await.expect("settle");
        assert!(answers.iter().all(|answer| *answer == Settled::Applied), "{answers:?}");
    }

    /// Takes the first `count` messages that no worker has sorted, and returns them for this slot kind.
    pub(crate) async fn sort(&self, count: usize, kind: SlotKind, now: Option<Timestamp>) -> Vec<TaskId> {
        let want = SlotWants { total: count, ..SlotWants::NONE };
        let batch = self.reserve_wanting(want, false, now).await;
        self.return_unstarted(&batch, kind, now).await;
        batch.ids()
    }

    /// Reserves the one message that must be ready.
    pub(crate) async fn take(&self, now: Option<Timestamp>) -> (Token, Delivery) {
        let batch = self.reserve(2, now).await;
        let [delivery] = <[Delivery; 1]>::try_from(batch.reserved.deliveries).expect("exactly one message");
        (batch.token, delivery)
    }

    /// Checks that nothing is handed out.
    pub(crate) async fn expect_nothing(&self, now: Option<Timestamp>) {
        let batch = self.reserve(10, now).await;
        assert_eq!(batch.reserved.deliveries, [], "nothing should be ready");
    }

    pub(crate) async fn settle(
        &self,
        token: Token,
        id: TaskId,
        how: Settle,
        now: Option<Timestamp>,
    ) -> Settled {
        let batch = [Settlement { id, how }];
        let answers = self.broker.settle(&self.name, token, &batch, now).await.expect("settle");
        assert_eq!(answers.len(), 1, "one answer for one settlement");
        answers[0]
    }

    /// Settles what this participant must still hold.
    pub(crate) async fn end(&self, token: Token, id: TaskId, how: Settle, now: Option<Timestamp>) {
        assert_eq!(self.settle(token, id, how, now).await, Settled::Applied);
    }

    pub(crate) async fn maintain(&self, limit: usize, now: Option<Timestamp>) -> Maintained {
        self.broker.maintain(&self.name, limit, LEASE, now).await.expect("maintain")
    }

    /// Lets time pass as it does while workers live: `maintain` each ten seconds, the first at `from` and the last at
    /// `to`. Answers how many messages were reclaimed.
    pub(crate) async fn pass(&self, from: u64, to: u64) -> usize {
        let mut reclaimed = 0;
        for second in (from..to).step_by(10).chain([to]) {
            reclaimed += self.maintain(1_000, at(second)).await.reclaimed;
        }
        reclaimed
    }

    /// Reserves every ready message (one suspect at most) at `from` and loses the lease; ready again 40 s later.
    pub(crate) async fn lose(&self, from: u64) -> Batch {
        self.maintain(1_000, at(from)).await;
        let batch = self.reserve(100, at(from)).await;
        let held = batch.reserved.deliveries.len();
        assert_eq!(self.pass(from, from + 40).await, held, "every message of the lost lease comes back");
        batch
    }

    /// The same twice in a row, which makes suspects of all; ready again 80 s later.
    pub(crate) async fn make_suspects(&self, from: u64) {
        for round in 0..u64::from(lovage_core::limits::SUSPECT_LOSSES) {
            self.lose(from + round * 40).await;
        }
    }

    pub(crate) async fn leases(&self) -> Box<dyn Leases> {
        self.broker.open_leases().await.expect("open_leases")
    }

    pub(crate) async fn find(&self, id: TaskId) -> Option<StoredMessage> {
        self.broker.find(id, Some(&self.name)).await.expect("find")
    }

    /// A message that must be live.
    pub(crate) async fn stored(&self, id: TaskId) -> StoredMessage {
        self.find(id).await.expect("a live message")
    }

    pub(crate) async fn place(&self, id: TaskId) -> Option<Place> {
        self.find(id).await.map(|stored| stored.place)
    }

    /// The ids of a place, read by pages of `limit`.
    pub(crate) async fn peek(&self, place: Place, limit: usize) -> Vec<TaskId> {
        let mut ids = Vec::new();
        let mut page = Page::first(limit);
        loop {
            let found = self.broker.peek(&self.name, place, page).await.expect("peek");
            assert!(found.items.len() <= limit, "a page of {limit} has {}", found.items.len());
            assert!(found.items.iter().all(|stored| stored.place == place));
            ids.extend(found.items.iter().map(|stored| stored.id));
            let Some(next) = found.next else { return ids };
            assert!(!found.items.is_empty(), "a page that is not the last is not empty");
            page = Page { after: Some(next), limit };
        }
    }

    /// Watches a message that must be live.
    pub(crate) async fn waiter(&self, id: TaskId) -> Waiter {
        match self.broker.watch(&self.name, id).await.expect("watch") {
            Watch::Waiting(waiter) => waiter,
            Watch::Gone => panic!("the message is live"),
        }
    }

    pub(crate) async fn is_gone(&self, id: TaskId) -> bool {
        matches!(self.broker.watch(&self.name, id).await.expect("watch"), Watch::Gone)
    }

    /// A dead letter.
    pub(crate) async fn bury(&self, now: Option<Timestamp>) -> TaskId {
        let id = self.accept(self.message(), now).await;
        let (token, delivery) = self.take(now).await;
        assert_eq!(delivery.id, id, "nothing else is ready");
        self.end(token, id, dead_letter(), now).await;
        id
    }
}

impl Batch {
    pub(crate) fn ids(&self) -> Vec<TaskId> {
        self.reserved.deliveries.iter().map(|delivery| delivery.id).collect()
    }
}
