//! What many send at once travels together, and nobody pays for another.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate lovage_client as lovage;

use std::sync::Arc;

use lovage::{Client, ClientError, ClientErrorKind, QueueName, TaskError};
use lovage_broker_memory::MemoryStore;
use lovage_core::{BackendErrorKind, Inspect, Page, Place};
use lovage_testkit::{FakeClock, Fault, FaultyBroker, Operation, SeededEntropy};
use tokio::task::JoinSet;

#[lovage::task(name = "add", queue = "math")]
async fn add(x: i64, y: i64) -> Result<i64, TaskError> {
    Ok(x + y)
}

struct Bed {
    broker: Arc<FaultyBroker>,
    client: Client,
    sends: JoinSet<Result<(), ClientError>>,
}

impl Bed {
    fn new() -> Self {
        let clock = FakeClock::new();
        let store = MemoryStore::new(Arc::new(clock.clone()));
        let broker = FaultyBroker::new(store.handle());
        let entropy = Arc::new(SeededEntropy::new(1));
        let client = Client::with_clock_and_entropy(broker.clone(), None, Arc::new(clock), entropy);
        Self { broker, client, sends: JoinSet::new() }
    }

    /// Starts to send, and comes back when every sender waits.
    async fn start(&mut self, count: i64, unique: bool) {
        for x in 0..count {
            let client = self.client.clone();
            let call = if unique { add::call(x, 0).unique("same") } else { add::call(x, 0) };
            self.sends.spawn(async move { call.send(&client).await.map(|_| ()) });
        }
        for _ in 0..count {
            tokio::task::yield_now().await;
        }
    }

    async fn answers(&mut self) -> Vec<Result<(), ClientError>> {
        std::mem::take(&mut self.sends).join_all().await
    }

    async fn ready(&self) -> usize {
        let queue = QueueName::new("math").unwrap();
        self.broker.peek(&queue, Place::Ready, Page::first(1_000)).await.unwrap().items.len()
    }
}

#[tokio::test]
async fn what_is_sent_at_once_shares_round_trips() {
    let mut bed = Bed::new();
    bed.broker.hold(Operation::Publish);
    bed.start(64, false).await;
    assert_eq!(bed.broker.calls(Operation::Publish), 2, "two are on their way, the others wait for them");
    bed.broker.release(Operation::Publish);
    assert!(bed.answers().await.iter().all(Result::is_ok));
    assert_eq!(bed.ready().await, 64);
    let calls = bed.broker.calls(Operation::Publish);
    assert!(calls <= 4, "62 travelled together, but there were {calls} calls");
}

#[tokio::test]
async fn each_gets_its_own_answer() {
    let mut bed = Bed::new();
    bed.broker.hold(Operation::Publish);
    bed.start(10, true).await;
    bed.broker.release(Operation::Publish);
    let answers = bed.answers().await;
    let duplicates = answers.iter().filter_map(|answer| answer.as_ref().err());
    assert_eq!(duplicates.filter(|e| matches!(e.kind(), ClientErrorKind::Duplicate { .. })).count(), 9);
    assert_eq!(bed.ready().await, 1);
}

/// A web server drops the handler of a request whose client has gone.
#[tokio::test]
async fn who_gives_up_leaves_nobody_behind() {
    let mut bed = Bed::new();
    bed.broker.hold(Operation::Publish);
    // The two that are on their way are given up.
    bed.start(2, false).await;
    let mut given_up = std::mem::take(&mut bed.sends);
    bed.start(10, false).await;
    given_up.shutdown().await;
    bed.broker.release(Operation::Publish);
    assert!(bed.answers().await.iter().all(Result::is_ok));
    assert_eq!(bed.ready().await, 10);
    bed.start(3, false).await;
    assert_eq!(bed.answers().await.len(), 3, "both places are free again");
}

/// One that the broker refuses must not take those down that happen to travel with it.
#[tokio::test]
async fn a_refused_batch_is_sent_one_by_one() {
    let mut bed = Bed::new();
    bed.broker.hold(Operation::Publish);
    bed.start(2, false).await;
    // The call of the batch fails, and of the five that follow it the first.
    bed.broker.fail_next(Operation::Publish, Fault::Error(BackendErrorKind::Refused));
    bed.broker.fail_next(Operation::Publish, Fault::Error(BackendErrorKind::Refused));
    bed.start(5, false).await;
    bed.broker.release(Operation::Publish);
    let answers = bed.answers().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
    assert_eq!(bed.ready().await, 6);
}

#[tokio::test]
async fn a_lost_answer_is_told_to_all_that_shared_it() {
    let mut bed = Bed::new();
    bed.broker.hold(Operation::Publish);
    bed.start(2, false).await;
    bed.broker.fail_next(Operation::Publish, Fault::LostAnswer);
    bed.start(5, false).await;
    bed.broker.release(Operation::Publish);
    let answers = bed.answers().await;
    let unsure = ClientErrorKind::Unavailable { maybe_accepted: true };
    assert_eq!(answers.iter().filter(|a| a.as_ref().is_err_and(|e| *e.kind() == unsure)).count(), 5);
    assert_eq!(bed.ready().await, 7);
}
