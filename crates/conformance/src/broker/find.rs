//! Promise 9: every live message can be found and cancelled.

use lovage_core::{
    BackendErrorKind, Cancelled, DeadReason, Hint, Page, Place, Priority, Settle, TaskId, Verdict,
};

use super::BrokerBed;
use super::support::{Queue, at, dead_letter, give_back, instant, next_hint, note, retry, secs};

/// A message is found in every place, with what is known of it.
pub async fn message_is_found_in_every_place(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let message = queue.message().priority(4).delay(secs(10)).build();
    let id = queue.accept(message.clone(), at(1)).await;
    let stored = queue.stored(id).await;
    assert_eq!((stored.id, &stored.queue, &stored.body), (id, &queue.name, &message.body));
    assert_eq!(Some(stored.priority), Priority::new(4).ok());
    assert_eq!((stored.place, stored.at), (Place::Delayed, Some(instant(11))));
    assert_eq!((stored.run, stored.delivery, stored.attempt, stored.losses), (1, 0, 0, 0));
    assert_eq!((stored.published_at, stored.revoked, stored.reason), (instant(1), false, None));
    queue.maintain(10, at(11)).await;
    let stored = queue.stored(id).await;
    assert_eq!((stored.place, stored.at), (Place::Ready, None));
    let (token, _) = queue.take(at(12)).await;
    let stored = queue.stored(id).await;
    assert_eq!((stored.place, stored.at, stored.delivery), (Place::Leased, Some(instant(42)), 1));
    queue.end(token, id, dead_letter(), at(13)).await;
    let stored = queue.stored(id).await;
    assert_eq!((stored.place, stored.at), (Place::Dead, Some(instant(13))));
    assert_eq!((stored.reason, stored.notes), (Some(DeadReason::Permanent), vec![note("hopeless")]));
    assert_eq!((stored.published_at, stored.body), (instant(1), message.body));
}

/// Without the name of the queue every queue is asked.
pub async fn message_is_found_without_its_queue(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.fill(2, at(0)).await;
    let other = queue.other("other");
    let id = other.accept(other.message(), at(0)).await;
    let found = queue.broker.find(id, None).await.expect("find").expect("a live message");
    assert_eq!((found.id, found.queue), (id, other.name.clone()));
    assert_eq!(queue.find(id).await, None, "it is not in this queue");
    let unknown = queue.message().build().id;
    assert_eq!(queue.broker.find(unknown, None).await.expect("find"), None);
    assert_eq!(other.other("never-used").find(id).await, None);
}

/// Those that are live in this queue are found together, wherever they are; the others are not.
pub async fn messages_are_found_together(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let dead = queue.bury(at(0)).await;
    let leased = queue.accept(queue.message(), at(0)).await;
    queue.take(at(0)).await;
    let ready = queue.accept(queue.message(), at(0)).await;
    let delayed = queue.accept(queue.message().delay(secs(10)), at(0)).await;
    let other = queue.other("other");
    let elsewhere = other.accept(other.message(), at(0)).await;
    let unknown = queue.message().build().id;
    let asked = [unknown, delayed, elsewhere, dead, ready, leased];
    let mut found = queue.broker.find_all(&queue.name, &asked).await.expect("find_all");
    found.sort_by_key(|message| message.place.as_str());
    for message in &found {
        assert_eq!(Some(message), queue.find(message.id).await.as_ref());
    }
    let ids: Vec<TaskId> = found.iter().map(|message| message.id).collect();
    assert_eq!(ids, [dead, delayed, leased, ready]);
    assert_eq!(queue.broker.find_all(&queue.name, &[]).await.expect("find_all"), []);
    assert_eq!(queue.broker.find_all(&other.other("never-used").name, &asked).await.expect("find_all"), []);
}

async fn cancel(queue: &Queue, id: TaskId, second: u64) -> Cancelled {
    queue.broker.cancel(id, Some(&queue.name), at(second)).await.expect("cancel")
}

/// Cancelling answers where the message was, and a delayed one no longer waits.
pub async fn message_is_cancelled_in_every_place(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let unknown = queue.message().build().id;
    assert_eq!(cancel(&queue, unknown, 0).await, Cancelled::NotFound);
    let dead = queue.bury(at(0)).await;
    assert_eq!(cancel(&queue, dead, 0).await, Cancelled::NotFound);
    assert!(!queue.stored(dead).await.revoked, "dead letters are not touched");
    let leased = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    assert_eq!(cancel(&queue, leased, 0).await, Cancelled::Leased);
    let ready = queue.accept(queue.message(), at(0)).await;
    assert_eq!(cancel(&queue, ready, 0).await, Cancelled::Waiting);
    assert_eq!(cancel(&queue, ready, 0).await, Cancelled::Waiting, "twice is once");
    let delayed = queue.accept(queue.message().delay(secs(500)), at(0)).await;
    assert_eq!(cancel(&queue, delayed, 0).await, Cancelled::Waiting);
    assert_eq!(queue.place(delayed).await, Some(Place::Ready));
    for id in [leased, ready, delayed] {
        assert!(queue.stored(id).await.revoked);
    }
    let batch = queue.reserve(10, at(0)).await;
    let verdicts: Vec<_> = batch.reserved.deliveries.iter().map(|d| (d.id, d.verdict)).collect();
    assert_eq!(verdicts, [(ready, Verdict::Revoked), (delayed, Verdict::Revoked)]);
    queue.end(token, leased, Settle::Ack, at(1)).await;
    assert_eq!(cancel(&queue, leased, 1).await, Cancelled::NotFound);
}

/// Without the name of the queue every queue is asked.
pub async fn message_is_cancelled_without_its_queue(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.fill(1, at(0)).await;
    let other = queue.other("other");
    let id = other.accept(other.message(), at(0)).await;
    assert_eq!(queue.broker.cancel(id, None, at(0)).await.expect("cancel"), Cancelled::Waiting);
    assert_eq!(other.take(at(0)).await.1.verdict, Verdict::Revoked);
    let unknown = queue.message().build().id;
    assert_eq!(queue.broker.cancel(unknown, None, at(0)).await.expect("cancel"), Cancelled::NotFound);
}

/// Who holds a message is told that it was cancelled.
pub async fn cancellation_reaches_the_holder(bed: &dyn BrokerBed) {
    let holder = Queue::join(bed).await;
    let other = Queue::join(bed).await;
    let id = holder.accept(holder.message(), at(0)).await;
    holder.take(at(0)).await;
    assert_eq!(cancel(&other, id, 1).await, Cancelled::Leased);
    assert_eq!(next_hint(&*holder.broker, "the cancellation").await, Hint::Revoked(id));
}

/// A cancelled message that its worker hands back is revoked for the next one, without any delay.
pub async fn cancellation_outlives_the_lease(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    for how in [retry(secs(0)), give_back(secs(0)), retry(secs(500)), give_back(secs(500))] {
        let id = queue.accept(queue.message(), at(0)).await;
        let (token, _) = queue.take(at(0)).await;
        cancel(&queue, id, 0).await;
        queue.end(token, id, how, at(1)).await;
        let (token, delivery) = queue.take(at(1)).await;
        assert_eq!((delivery.id, delivery.verdict), (id, Verdict::Revoked));
        queue.end(token, id, Settle::Ack, at(1)).await;
    }
}

/// A cancellation survives the loss of the lease.
pub async fn cancellation_survives_a_lost_lease(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    queue.maintain(10, at(0)).await;
    queue.take(at(0)).await;
    cancel(&queue, id, 1).await;
    assert_eq!(queue.pass(10, 40).await, 1);
    assert_eq!(queue.take(at(40)).await.1.verdict, Verdict::Revoked);
}

/// A delayed message can be made ready at once.
pub async fn delayed_message_is_promoted(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let named = queue.accept(queue.message().delay(secs(500)), at(0)).await;
    let unnamed = queue.accept(queue.message().delay(secs(400)), at(0)).await;
    let promote = async |id, queue_name| queue.broker.promote(id, queue_name, at(1)).await.expect("promote");
    assert!(promote(named, Some(&queue.name)).await);
    assert!(promote(unnamed, None).await);
    assert!(!promote(named, Some(&queue.name)).await, "it is ready already");
    assert!(!promote(queue.message().build().id, None).await, "it does not exist");
    assert_eq!(queue.reserve(10, at(1)).await.ids(), [named, unnamed]);
}

/// Every place can be read in pages.
pub async fn every_place_is_read_in_pages(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let mut dead = Vec::new();
    for second in 0..5 {
        dead.push(queue.bury(at(second)).await);
    }
    dead.reverse();
    let mut leased = queue.fill(5, at(10)).await;
    queue.reserve(3, at(10)).await;
    queue.reserve(2, at(11)).await;
    let ready = queue.fill(5, at(20)).await;
    let mut delayed = Vec::new();
    for second in 0..5 {
        delayed.push(queue.accept(queue.message().delay(secs(100 - second)), at(20)).await);
    }
    delayed.reverse();
    for limit in [2, 5, 1_000] {
        assert_eq!(queue.peek(Place::Ready, limit).await, ready);
        assert_eq!(queue.peek(Place::Delayed, limit).await, delayed);
        assert_eq!(queue.peek(Place::Dead, limit).await, dead);
        let mut found = queue.peek(Place::Leased, limit).await;
        found.sort();
        leased.sort();
        assert_eq!(found, leased);
    }
    assert_eq!(queue.other("never-used").peek(Place::Ready, 10).await, []);
}

/// Where a page ended is taken from a caller: nonsense is an error, not a panic and not an empty page.
pub async fn nonsense_page_is_an_error(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.fill(1, at(0)).await;
    for place in Place::ALL {
        let page = Page { after: Some("'; nonsense".to_owned()), limit: 10 };
        let error = queue.broker.peek(&queue.name, place, page).await.expect_err("nonsense");
        assert_eq!(error.kind(), BackendErrorKind::Config, "{place:?}: {error}");
    }
}
