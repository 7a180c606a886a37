//! Promise 10, first part: purge, pause and depth touch one queue only.

use lovage_core::{BackendErrorKind, Depth, Place, Published};

use super::BrokerBed;
use super::support::{Queue, at, instant, secs};

async fn depth(queue: &Queue) -> Depth {
    queue.broker.depth(&queue.name, at(50)).await.expect("depth")
}

/// Fills a queue: 3 ready, 2 delayed, 1 leased, 1 dead.
async fn fill_every_place(queue: &Queue) {
    queue.bury(at(0)).await;
    queue.fill(1, at(1)).await;
    queue.reserve(1, at(1)).await;
    queue.fill(3, at(2)).await;
    for _ in 0..2 {
        queue.accept(queue.message().delay(secs(1_000)), at(2)).await;
    }
}

const FULL: Depth = Depth {
    ready: 3,
    delayed: 2,
    leased: 1,
    dead: 1,
    paused: false,
    limit: None,
    oldest_ready: Some(instant_2()),
};

/// `instant(2)`, which is no constant function.
const fn instant_2() -> lovage_core::Timestamp {
    lovage_core::Timestamp::from_micros(1_767_225_602_000_000)
}

/// Depth tells how much is where.
pub async fn depth_adds_up(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    assert_eq!(depth(&queue).await, Depth::default(), "a queue that nobody used is empty");
    assert_eq!(instant_2(), instant(2));
    fill_every_place(&queue).await;
    assert_eq!(depth(&queue).await, FULL);
    let places = Place::ALL.map(|place| (place, queue.peek(place, 100)));
    let mut found = Vec::new();
    for (_, peeked) in places {
        found.push(peeked.await.len());
    }
    assert_eq!(found, [3, 2, 1, 1]);
}

/// A purge removes from one place of one queue.
pub async fn purge_touches_one_place_of_one_queue(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let other = queue.other("other");
    fill_every_place(&queue).await;
    fill_every_place(&other).await;
    let purge = async |place| queue.broker.purge(&queue.name, place, 1_000).await.expect("purge");
    assert_eq!(purge(Place::Ready).await, 3);
    assert_eq!(depth(&queue).await, Depth { ready: 0, oldest_ready: None, ..FULL });
    assert_eq!(purge(Place::Delayed).await, 2);
    assert_eq!(depth(&queue).await, Depth { ready: 0, delayed: 0, oldest_ready: None, ..FULL });
    assert_eq!(purge(Place::Dead).await, 1);
    assert_eq!(purge(Place::Ready).await, 0);
    assert_eq!(depth(&queue).await, Depth { leased: 1, ..Depth::default() });
    assert_eq!(depth(&other).await, FULL);
}

/// A purge removes no more than it was asked to, and what it removed is gone.
pub async fn purge_respects_its_limit(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(5, at(0)).await;
    assert_eq!(queue.broker.purge(&queue.name, Place::Ready, 2).await.expect("purge"), 2);
    let left = queue.peek(Place::Ready, 10).await;
    assert_eq!(left.len(), 3);
    for id in ids {
        assert_eq!(queue.find(id).await.is_some(), left.contains(&id));
        if !left.contains(&id) {
            assert_eq!(queue.publish_one(&queue.message().id(id).build(), at(1)).await, Published::Accepted);
        }
    }
}

/// Messages in the hands of workers cannot be purged.
pub async fn leased_messages_are_not_purged(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    fill_every_place(&queue).await;
    let error = queue.broker.purge(&queue.name, Place::Leased, 10).await.expect_err("refused");
    assert_eq!(error.kind(), BackendErrorKind::Unsupported);
    assert_eq!(depth(&queue).await, FULL);
}

/// A paused queue takes messages and hands out none; other queues go on.
pub async fn pause_stops_one_queue(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let other = queue.other("other");
    let mut ids = queue.fill(1, at(0)).await;
    queue.broker.pause(&queue.name).await.expect("pause");
    ids.extend(queue.fill(1, at(1)).await);
    queue.expect_nothing(at(1)).await;
    Queue::join(bed).await.expect_nothing(at(1)).await;
    assert!(depth(&queue).await.paused);
    other.accept(other.message(), at(1)).await;
    other.take(at(1)).await;
    assert!(!depth(&other).await.paused);
    queue.broker.resume(&queue.name).await.expect("resume");
    assert!(!depth(&queue).await.paused);
    assert_eq!(queue.reserve(10, at(2)).await.ids(), ids);
}

/// Work that was taken before a pause ends as usual, and time goes on.
pub async fn pause_leaves_leased_and_delayed_messages_alone(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let delayed = queue.accept(queue.message().delay(secs(10)), at(0)).await;
    let leased = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.broker.pause(&queue.name).await.expect("pause");
    queue.end(token, leased, lovage_core::Settle::Ack, at(1)).await;
    queue.maintain(10, at(11)).await;
    queue.expect_nothing(at(11)).await;
    queue.broker.resume(&queue.name).await.expect("resume");
    assert_eq!(queue.take(at(12)).await.1.id, delayed);
}

/// Every queue that was published to or reserved from is known, by name.
pub async fn used_queues_are_listed(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    assert_eq!(queue.broker.queues().await.expect("queues"), []);
    queue.other("zebra").fill(1, at(0)).await;
    queue.other("ape").expect_nothing(at(0)).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, lovage_core::Settle::Ack, at(0)).await;
    let names = queue.broker.queues().await.expect("queues");
    let names: Vec<&str> = names.iter().map(lovage_core::QueueName::as_str).collect();
    assert_eq!(names, ["ape", "q", "zebra"]);
}

/// Names that look like patterns, paths or escapes are only names.
pub async fn odd_queue_names_are_only_names(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let names = ["a:b", "a", "a:", ":b", "A", "a.b", "a-b_c"];
    let mut ids = Vec::new();
    for name in names {
        let other = queue.other(name);
        ids.push(other.accept(other.message(), at(0)).await);
    }
    for (name, id) in names.into_iter().zip(ids) {
        assert_eq!(queue.other(name).take(at(0)).await.1.id, id, "{name}");
    }
}
