//! Promise 3: a delayed message stays in the store until it is due.

use lovage_core::Place;

use super::BrokerBed;
use super::support::{Queue, at, at_millis, give_back, instant, retry, secs};

/// A message with a delay is not handed out before its time, and is at its time.
pub async fn delayed_message_is_handed_out_when_due(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message().delay(secs(10)), at(0)).await;
    let stored = queue.stored(id).await;
    assert_eq!((stored.place, stored.at), (Place::Delayed, Some(instant(10))));
    queue.expect_nothing(at(0)).await;
    queue.maintain(10, at_millis(9_999)).await;
    queue.expect_nothing(at_millis(9_999)).await;
    queue.maintain(10, at(10)).await;
    assert_eq!(queue.take(at(10)).await.1.id, id);
}

/// A reservation finds what is due without maintenance.
pub async fn reservation_finds_what_is_due(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message().until(instant(10)), at(0)).await;
    queue.expect_nothing(at_millis(9_999)).await;
    assert_eq!(queue.take(at(11)).await.1.id, id);
}

/// An instant that has passed is no delay.
pub async fn instant_in_the_past_is_no_delay(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message().until(instant(5)), at(10)).await;
    assert_eq!(queue.place(id).await, Some(Place::Ready));
    assert_eq!(queue.take(at(10)).await.1.id, id);
}

/// A retry with a delay waits for it.
pub async fn delayed_retry_is_not_early(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, retry(secs(10)), at(5)).await;
    assert_eq!(queue.stored(id).await.at, Some(instant(15)));
    queue.expect_nothing(at_millis(14_999)).await;
    assert_eq!(queue.take(at(15)).await.1.id, id);
}

/// What is given back with a delay waits for it.
pub async fn delayed_give_back_is_not_early(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, give_back(secs(10)), at(5)).await;
    assert_eq!(queue.place(id).await, Some(Place::Delayed));
    queue.expect_nothing(at_millis(14_999)).await;
    assert_eq!(queue.take(at(15)).await.1.id, id);
}

/// Maintenance makes due messages ready, at most as many as it was asked to.
pub async fn maintenance_promotes_up_to_its_limit(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    for second in 1..=5 {
        queue.accept(queue.message().delay(secs(second)), at(0)).await;
    }
    assert_eq!(queue.maintain(2, at(4)).await.promoted, 2);
    assert_eq!(queue.maintain(10, at(4)).await.promoted, 2);
    assert_eq!(queue.maintain(10, at(4)).await.promoted, 0);
    let depth = queue.broker.depth(&queue.name, at(4)).await.expect("depth");
    assert_eq!((depth.ready, depth.delayed), (4, 1));
}

/// Who finds nothing is told when something becomes due.
pub async fn idle_handle_is_told_when_something_is_due(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.accept(queue.message().delay(secs(10)), at(0)).await;
    let check = queue.reserve(1, at(4)).await.reserved.next_check.expect("the only idle handle is told");
    assert!(check <= secs(6), "due in 6 s, told {check:?}");
}

/// A long delay and a far instant are kept.
pub async fn far_future_is_kept(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let years = secs(20 * 365 * 86_400);
    let id = queue.accept(queue.message().delay(years), at(0)).await;
    assert_eq!(queue.stored(id).await.at, Some(instant(0).plus(years)));
    queue.expect_nothing(at(19 * 365 * 86_400)).await;
}
