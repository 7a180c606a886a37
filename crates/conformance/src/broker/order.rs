//! Promise 7: the order of becoming ready, higher priority first.

use lovage_core::{Place, Settle, Settlement};

use super::BrokerBed;
use super::support::{Queue, at, give_back, retry, secs};

/// First in, first out; within a batch and between batches.
pub async fn first_in_first_out(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let mut ids = queue.fill(20, at(0)).await;
    ids.extend(queue.fill(20, at(0)).await);
    let mut taken = queue.reserve(15, at(1)).await.ids();
    taken.extend(queue.reserve(25, at(1)).await.ids());
    assert_eq!(taken, ids);
}

/// A higher priority overtakes, whatever was first.
pub async fn higher_priority_is_first(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let mut expected = Vec::new();
    for priority in [3, 9, 0, 7, 3, 9, 1] {
        expected.push((priority, queue.accept(queue.message().priority(priority), at(0)).await));
    }
    // Stable: those of one priority stay in their order.
    expected.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    assert_eq!(queue.peek(Place::Ready, 3).await, expected);
    let mut taken = queue.reserve(3, at(1)).await.ids();
    taken.extend(queue.reserve(10, at(1)).await.ids());
    assert_eq!(taken, expected);
}

/// What is given back is next.
pub async fn given_back_message_goes_to_the_head(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(3, at(0)).await;
    let batch = queue.reserve(1, at(0)).await;
    queue.end(batch.token, ids[0], give_back(secs(0)), at(1)).await;
    assert_eq!(queue.reserve(3, at(1)).await.ids(), ids);
}

/// A batch that is given back is in its old order.
pub async fn given_back_batch_keeps_its_order(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(5, at(0)).await;
    let batch = queue.reserve(3, at(0)).await;
    let back: Vec<Settlement> =
        batch.ids().into_iter().map(|id| Settlement { id, how: give_back(secs(0)) }).collect();
    queue.broker.settle(&queue.name, batch.token, &back, at(1)).await.expect("settle");
    assert_eq!(queue.reserve(5, at(1)).await.ids(), ids);
}

/// What is retried queues up again.
pub async fn retried_message_goes_to_the_tail(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(3, at(0)).await;
    let batch = queue.reserve(1, at(0)).await;
    queue.end(batch.token, ids[0], retry(secs(0)), at(1)).await;
    assert_eq!(queue.reserve(3, at(1)).await.ids(), [ids[1], ids[2], ids[0]]);
}

/// What became due is behind what was ready before, and before what was published later.
pub async fn due_message_goes_to_the_tail(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let delayed = queue.accept(queue.message().delay(secs(10)), at(0)).await;
    let before = queue.accept(queue.message(), at(5)).await;
    queue.maintain(10, at(11)).await;
    let after = queue.accept(queue.message(), at(12)).await;
    assert_eq!(queue.reserve(3, at(12)).await.ids(), [before, delayed, after]);
}

/// Delayed messages become ready in the order of their times.
pub async fn due_messages_are_in_the_order_of_their_times(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let late = queue.accept(queue.message().delay(secs(30)), at(0)).await;
    let early = queue.accept(queue.message().delay(secs(10)), at(0)).await;
    let between = queue.accept(queue.message().delay(secs(20)), at(0)).await;
    assert_eq!(queue.peek(Place::Delayed, 2).await, [early, between, late]);
    assert_eq!(queue.reserve(3, at(40)).await.ids(), [early, between, late]);
}

/// A message keeps its priority through retries and delays.
pub async fn priority_survives_retries_and_delays(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let high = queue.accept(queue.message().priority(5).delay(secs(5)), at(0)).await;
    let (token, _) = queue.take(at(5)).await;
    queue.end(token, high, retry(secs(5)), at(5)).await;
    let low = queue.fill(2, at(6)).await;
    let batch = queue.reserve(3, at(10)).await;
    assert_eq!(batch.ids(), [high, low[0], low[1]]);
    queue.end(batch.token, high, Settle::Ack, at(10)).await;
}
