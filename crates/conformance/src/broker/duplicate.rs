//! Promise 8: a live id and a held unique key are not published twice.

use lovage_core::{Place, Published, Settle};

use super::BrokerBed;
use super::support::{Queue, at, dead_letter, retry, secs};

/// A live id is refused, wherever its message is, and the message stays as it was.
pub async fn live_id_is_refused_in_every_place(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let message = queue.message().body([1, 2, 3]).delay(secs(5)).build();
    let id = queue.accept(message.clone(), at(0)).await;
    let again = queue.message().id(id).body([4]).priority(9).build();
    let mut token = None;
    for place in [Place::Delayed, Place::Ready, Place::Leased, Place::Dead] {
        match place {
            Place::Delayed => {}
            Place::Ready => assert_eq!(queue.maintain(10, at(5)).await.promoted, 1),
            Place::Leased => token = Some(queue.take(at(5)).await.0),
            Place::Dead => queue.end(token.expect("leased before"), id, dead_letter(), at(5)).await,
        }
        let before = queue.stored(id).await;
        assert_eq!(before.place, place);
        assert_eq!(queue.publish_one(&again, at(5)).await, Published::Duplicate { holder: id }, "{place:?}");
        assert_eq!(queue.stored(id).await, before, "{place:?}");
    }
    assert_eq!(queue.stored(id).await.body, message.body);
}

/// When a message has ended its id may be used again, as a new message.
pub async fn settled_id_may_be_used_again(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, retry(secs(0)), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, Settle::Ack, at(0)).await;
    queue.accept(queue.message().id(id), at(1)).await;
    let (_, delivery) = queue.take(at(1)).await;
    assert_eq!((delivery.id, delivery.delivery, delivery.attempt), (id, 1, 0));
    assert_eq!(queue.stored(id).await.notes, []);
}

/// A unique key is held from the publish through retries until the end.
pub async fn unique_key_is_held_until_the_end(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let claim = || queue.message().unique("task:key").build();
    let holder = queue.accept(claim(), at(0)).await;
    let held = Published::Duplicate { holder };
    assert_eq!(queue.publish_one(&claim(), at(0)).await, held);
    let (token, _) = queue.take(at(0)).await;
    assert_eq!(queue.publish_one(&claim(), at(0)).await, held);
    queue.end(token, holder, retry(secs(10)), at(0)).await;
    assert_eq!(queue.publish_one(&claim(), at(0)).await, held);
    let (token, _) = queue.take(at(10)).await;
    queue.end(token, holder, Settle::Ack, at(10)).await;
    assert_eq!(queue.publish_one(&claim(), at(10)).await, Published::Accepted);
}

/// A dead letter has ended: its key is free.
pub async fn dead_letter_releases_its_unique_key(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let holder = queue.accept(queue.message().unique("key"), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, holder, dead_letter(), at(0)).await;
    queue.accept(queue.message().unique("key"), at(1)).await;
}

/// Purging a message frees its key.
pub async fn purge_releases_unique_keys(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.accept(queue.message().unique("ready"), at(0)).await;
    queue.accept(queue.message().unique("delayed").delay(secs(5)), at(0)).await;
    queue.broker.purge(&queue.name, Place::Ready, 10).await.expect("purge");
    queue.broker.purge(&queue.name, Place::Delayed, 10).await.expect("purge");
    queue.accept(queue.message().unique("ready"), at(1)).await;
    queue.accept(queue.message().unique("delayed"), at(1)).await;
}

/// A time to live ends a claim while its message goes on.
pub async fn unique_key_ends_with_its_time_to_live(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let claim = || queue.message().unique_for("key", secs(10)).build();
    let first = queue.accept(claim(), at(0)).await;
    assert_eq!(queue.publish_one(&claim(), at(9)).await, Published::Duplicate { holder: first });
    let second = queue.accept(claim(), at(11)).await;
    assert_eq!(queue.reserve(10, at(11)).await.ids(), [first, second]);
}

/// A holder whose claim has ended does not release the claim of the next one.
pub async fn former_holder_does_not_release_the_next_claim(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique_for("key", secs(10)), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    let second = queue.accept(queue.message().unique("key"), at(11)).await;
    queue.end(token, first, Settle::Ack, at(12)).await;
    let third = queue.message().unique("key").build();
    assert_eq!(queue.publish_one(&third, at(12)).await, Published::Duplicate { holder: second });
}

/// A key belongs to one queue.
pub async fn unique_key_is_of_one_queue(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let other = queue.other("other");
    queue.accept(queue.message().unique("key"), at(0)).await;
    other.accept(other.message().unique("key"), at(0)).await;
}

/// Within one batch the first one wins.
pub async fn duplicates_within_a_batch_are_refused(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let plain = queue.message().build();
    let unique = queue.message().unique("key").build();
    let batch = [
        plain.clone(),
        unique.clone(),
        plain.clone(),
        queue.message().unique("key").build(),
        queue.message().build(),
    ];
    let answers = queue.publish(&batch, at(0)).await;
    let twice = |message: &lovage_core::Message| Published::Duplicate { holder: message.id };
    use Published::Accepted;
    assert_eq!(answers, [Accepted, Accepted, twice(&plain), twice(&unique), Accepted]);
    assert_eq!(queue.reserve(10, at(0)).await.ids(), [plain.id, unique.id, batch[4].id]);
}

/// Of many who publish one id or one key at the same time, one is accepted.
pub async fn concurrent_duplicates_are_accepted_once(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let same_id = queue.message().build();
    let mut publishers = Vec::new();
    for _ in 0..8 {
        let queue = Queue::join(bed).await;
        let batch = [same_id.clone(), queue.message().unique("key").build()];
        publishers.push(tokio::spawn(async move { queue.publish(&batch, at(0)).await }));
    }
    let mut accepted = [0, 0];
    for publisher in publishers {
        for (count, answer) in accepted.iter_mut().zip(publisher.await.expect("a publisher")) {
            *count += usize::from(answer == Published::Accepted);
        }
    }
    assert_eq!(accepted, [1, 1]);
}
