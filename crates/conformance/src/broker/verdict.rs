//! Promise 6: the broker never ends a message by itself, it delivers it with a verdict.

use lovage_core::{Expires, Place, Settle, Verdict};

use super::BrokerBed;
use super::support::{Queue, at, give_back, instant, retry, secs};

/// A time to live counts from the publish.
pub async fn time_to_live_counts_from_the_publish(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message().expires(Expires::After(secs(10))), at(5)).await;
    let (token, delivery) = queue.take(at(14)).await;
    assert_eq!(delivery.verdict, Verdict::Run);
    queue.end(token, id, give_back(secs(0)), at(14)).await;
    assert_eq!(queue.take(at(16)).await.1.verdict, Verdict::Expired);
}

/// A message expires at its instant.
pub async fn message_expires_at_its_instant(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message().expires(Expires::At(instant(20))), at(0)).await;
    let (token, delivery) = queue.take(at(19)).await;
    assert_eq!(delivery.verdict, Verdict::Run);
    queue.end(token, id, give_back(secs(0)), at(19)).await;
    assert_eq!(queue.take(at(21)).await.1.verdict, Verdict::Expired);
}

/// A message can expire before it is due; it is delivered when due all the same.
pub async fn delayed_message_may_be_expired_when_due(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let message = queue.message().delay(secs(20)).expires(Expires::After(secs(10)));
    queue.accept(message, at(0)).await;
    queue.expect_nothing(at(15)).await;
    assert_eq!(queue.take(at(21)).await.1.verdict, Verdict::Expired);
}

/// Waiting for a retry, a message can expire.
pub async fn message_expires_while_it_waits_for_a_retry(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message().expires(Expires::After(secs(10))), at(0)).await;
    let (token, _) = queue.take(at(1)).await;
    queue.end(token, id, retry(secs(20)), at(2)).await;
    assert_eq!(queue.take(at(22)).await.1.verdict, Verdict::Expired);
}

/// An expired message stays until a worker has settled it.
pub async fn expired_message_stays_until_it_is_settled(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message().expires(Expires::After(secs(1))), at(0)).await;
    queue.pass(0, 60).await;
    assert_eq!(queue.place(id).await, Some(Place::Ready));
    let (token, _) = queue.take(at(60)).await;
    assert_eq!(queue.place(id).await, Some(Place::Leased));
    queue.end(token, id, Settle::Ack, at(60)).await;
    assert_eq!(queue.place(id).await, None);
}

/// A cancelled message is delivered, to be recorded.
pub async fn cancelled_message_is_delivered_as_revoked(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(2, at(0)).await;
    queue.broker.cancel(ids[0], Some(&queue.name), at(1)).await.expect("cancel");
    let batch = queue.reserve(2, at(1)).await;
    let verdicts: Vec<_> = batch.reserved.deliveries.iter().map(|d| (d.id, d.verdict)).collect();
    assert_eq!(verdicts, [(ids[0], Verdict::Revoked), (ids[1], Verdict::Run)]);
    queue.end(batch.token, ids[0], Settle::Ack, at(1)).await;
    assert_eq!(queue.find(ids[0]).await, None);
}

/// What is not an envelope does not expire: the worker finds out what it is.
pub async fn unreadable_body_is_delivered_to_run(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    for body in [vec![], vec![1], vec![0xff; 40]] {
        let id = queue.accept(queue.message().body(body), at(0)).await;
        let (token, delivery) = queue.take(at(1_000)).await;
        assert_eq!(delivery.verdict, Verdict::Run);
        queue.end(token, id, Settle::Ack, at(1_000)).await;
    }
}
