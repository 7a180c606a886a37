//! Promise 1: at least once. What is accepted is delivered, unchanged, until it is settled.

use std::collections::BTreeSet;
use std::sync::Arc;

use lovage_core::{Broker, Depth, Priority, Settle, Settlement, TaskId, Verdict};

use super::BrokerBed;
use super::support::{Queue, at, instant, token};

/// A message is delivered as it was published.
pub async fn accepted_message_is_delivered_as_published(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let message = queue.message().priority(7).build();
    queue.accept(message.clone(), at(3)).await;
    let batch = queue.reserve(1, at(5)).await;
    assert_eq!(batch.reserved.now, instant(5));
    let delivery = &batch.reserved.deliveries[0];
    assert_eq!(delivery.id, message.id);
    assert_eq!(delivery.body, message.body);
    assert_eq!(Some(delivery.priority), Priority::new(7).ok());
    assert_eq!(delivery.published_at, instant(3));
    assert_eq!((delivery.run, delivery.delivery, delivery.attempt, delivery.losses), (1, 1, 0, 0));
    assert_eq!(delivery.refused_since, None);
    assert_eq!(delivery.verdict, Verdict::Run);
}

/// After an acknowledgement nothing is left of a message.
pub async fn acknowledged_message_is_gone(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, Settle::Ack, at(1)).await;
    assert_eq!(queue.find(id).await, None);
    assert_eq!(queue.broker.depth(&queue.name, at(1)).await.expect("depth"), Depth::default());
    assert_eq!(queue.pass(1, 90).await, 0);
    queue.expect_nothing(at(90)).await;
}

/// Messages outlive the connections of their publisher and of the worker that had them.
pub async fn message_outlives_its_publisher_and_its_worker(bed: &dyn BrokerBed) {
    let publisher = Queue::join(bed).await;
    let id = publisher.accept(publisher.message(), at(0)).await;
    drop(publisher);
    let worker = Queue::join(bed).await;
    worker.maintain(10, at(0)).await;
    assert_eq!(worker.take(at(0)).await.1.id, id);
    drop(worker);
    let next = Queue::join(bed).await;
    assert_eq!(next.pass(10, 40).await, 1);
    assert_eq!(next.take(at(40)).await.1.id, id);
}

/// Many reserve at the same time, and each message goes to one of them.
pub async fn concurrent_reservations_never_share_a_message(bed: &dyn BrokerBed) {
    const MESSAGES: usize = 400;
    let publisher = Queue::join(bed).await;
    let published = publisher.fill(MESSAGES, at(0)).await;
    let mut workers = Vec::new();
    for _ in 0..8 {
        let queue = Queue::join(bed).await;
        workers.push(tokio::spawn(async move {
            let mut ids: Vec<TaskId> = Vec::new();
            loop {
                let batch = queue.reserve(7, at(1)).await;
                if batch.ids().is_empty() {
                    return ids;
                }
                ids.extend(batch.ids());
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut handed_out = Vec::new();
    for worker in workers {
        handed_out.extend(worker.await.expect("a worker"));
    }
    assert_eq!(handed_out.len(), MESSAGES, "each message is handed out once");
    let distinct: BTreeSet<TaskId> = handed_out.into_iter().collect();
    assert_eq!(distinct, published.into_iter().collect());
}

/// Several connections publish at the same time, and nothing is lost.
pub async fn concurrent_publishes_are_all_kept(bed: &dyn BrokerBed) {
    let mut publishers = Vec::new();
    for _ in 0..4 {
        let queue = Queue::join(bed).await;
        publishers.push(tokio::spawn(async move {
            for _ in 0..10 {
                queue.fill(5, at(0)).await;
            }
        }));
    }
    for publisher in publishers {
        publisher.await.expect("a publisher");
    }
    let queue = Queue::join(bed).await;
    assert_eq!(queue.reserve(256, at(1)).await.ids().len(), 200);
}

/// A body of 1 MiB comes back unchanged.
pub async fn large_body_comes_back_unchanged(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let body: Vec<u8> = (0..=u8::MAX).cycle().take(1024 * 1024).collect();
    queue.accept(queue.message().body(body.clone()), at(0)).await;
    assert!(queue.take(at(0)).await.1.body == body, "the body differs");
}

/// Bytes are bytes: not text, and possibly none at all.
pub async fn any_bytes_are_a_body(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    for body in [vec![0xff, 0xfe, 0x00, 0x80, b'\n', b'\'', b'\\'], vec![0], Vec::new()] {
        let id = queue.accept(queue.message().body(body.clone()), at(0)).await;
        assert_eq!(queue.stored(id).await.body, body);
        let (token, delivery) = queue.take(at(0)).await;
        assert_eq!(delivery.body, body);
        queue.end(token, id, Settle::Ack, at(0)).await;
    }
}

/// Nothing asked is nothing done.
pub async fn empty_batches_do_nothing(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    assert_eq!(queue.publish(&[], at(0)).await, []);
    let settled = queue.broker.settle(&queue.name, token(), &[], at(0)).await.expect("settle");
    assert_eq!(settled, []);
    assert_eq!(queue.broker.requeue_dead(&queue.name, &[], at(0)).await.expect("requeue_dead"), 0);
    assert_eq!(queue.broker.delete_dead(&queue.name, &[]).await.expect("delete_dead"), 0);
}

/// A reservation hands out no more than it was asked for, and 256 when there are so many.
pub async fn reservation_respects_its_maximum(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.fill(300, at(0)).await;
    assert_eq!(queue.reserve(1, at(0)).await.ids().len(), 1);
    assert_eq!(queue.reserve(256, at(0)).await.ids().len(), 256);
    assert_eq!(queue.reserve(256, at(0)).await.ids().len(), 43);
}

/// A batch may go to several queues; its answers are in its order.
pub async fn batch_may_go_to_several_queues(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let other = queue.other("other");
    let batch = [queue.message().build(), other.message().build(), queue.message().build()];
    assert_eq!(queue.publish(&batch, at(0)).await.len(), 3);
    assert_eq!(queue.reserve(10, at(0)).await.ids(), [batch[0].id, batch[2].id]);
    assert_eq!(other.take(at(0)).await.1.id, batch[1].id);
}

/// A thousand messages are taken in one publish, and 256 are settled in one call.
pub async fn full_batches_are_taken(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.fill(1_000, at(0)).await;
    let batch = queue.reserve(256, at(0)).await;
    let acks: Vec<Settlement> =
        batch.ids().into_iter().map(|id| Settlement { id, how: Settle::Ack }).collect();
    let broker: &Arc<dyn Broker> = &queue.broker;
    let settled = broker.settle(&queue.name, batch.token, &acks, at(1)).await.expect("settle");
    assert!(settled.iter().all(|settled| *settled == lovage_core::Settled::Applied));
    let depth = broker.depth(&queue.name, at(1)).await.expect("depth");
    assert_eq!((depth.ready, depth.leased), (744, 0));
}
