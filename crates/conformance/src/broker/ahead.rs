//! Promise 7, asked: how many messages are handed out before one.

use lovage_core::{Place, TaskId};

use super::BrokerBed;
use super::support::{Queue, at, give_back, secs};

async fn ahead(queue: &Queue, id: TaskId) -> Option<u64> {
    queue.broker.ahead(&queue.name, id).await.expect("ahead")
}

/// Nothing is before the head, and one more before each next one.
pub async fn each_message_has_its_predecessors_ahead(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(5, at(0)).await;
    let other = queue.other("other");
    let elsewhere = other.accept(other.message().priority(9), at(0)).await;
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(ahead(&queue, *id).await, Some(index as u64));
    }
    assert_eq!(ahead(&other, elsewhere).await, Some(0), "each queue for itself");
    assert_eq!(queue.reserve(2, at(0)).await.ids(), ids[..2]);
    assert_eq!(ahead(&queue, ids[2]).await, Some(0), "it moves up");
}

/// Higher priorities are before it whenever they came, lower ones never are.
pub async fn higher_priority_is_ahead(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let send = async |priority| queue.accept(queue.message().priority(priority), at(0)).await;
    let [low, middle, high, next, top] =
        [send(0).await, send(5).await, send(9).await, send(5).await, send(9).await];
    for (id, count) in [(high, 0), (top, 1), (middle, 2), (next, 3), (low, 4)] {
        assert_eq!(ahead(&queue, id).await, Some(count));
    }
}

/// What is given back goes before the others of its priority.
pub async fn given_back_message_is_ahead(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(3, at(0)).await;
    let batch = queue.reserve(1, at(0)).await;
    queue.end(batch.token, ids[0], give_back(secs(0)), at(0)).await;
    for (index, id) in ids.iter().enumerate() {
        assert_eq!(ahead(&queue, *id).await, Some(index as u64));
    }
}

/// Suspects are before all others, of whatever priority.
pub async fn suspects_are_ahead(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let low = queue.accept(queue.message(), at(0)).await;
    let high = queue.accept(queue.message().priority(5), at(0)).await;
    queue.make_suspects(0).await;
    let fresh = queue.accept(queue.message().priority(9), at(80)).await;
    assert_eq!(ahead(&queue, high).await, Some(0));
    assert_eq!(ahead(&queue, low).await, Some(1));
    assert_eq!(ahead(&queue, fresh).await, Some(2));
}

/// What is not ready has no place in the order.
pub async fn only_ready_messages_are_in_the_order(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let dead = queue.bury(at(0)).await;
    let leased = queue.accept(queue.message(), at(0)).await;
    queue.take(at(0)).await;
    let delayed = queue.accept(queue.message().delay(secs(500)), at(0)).await;
    let unknown = queue.message().build().id;
    for (id, place) in [
        (dead, Some(Place::Dead)),
        (leased, Some(Place::Leased)),
        (delayed, Some(Place::Delayed)),
        (unknown, None),
    ] {
        assert_eq!(queue.place(id).await, place);
        assert_eq!(ahead(&queue, id).await, None, "{place:?}");
        assert_eq!(ahead(&queue.other("never-used"), id).await, None);
    }
    let ready = queue.accept(queue.message(), at(0)).await;
    assert_eq!(ahead(&queue, ready).await, Some(0), "the others are not counted");
}
