//! Dead letters: kept with their reason, run again or removed.

use lovage_core::{DeadReason, Place, Settle, Settlement, Verdict, limits};

use super::BrokerBed;
use super::support::{Queue, at, dead_letter, instant, note, retry, secs};

/// A dead letter keeps its bytes, its reason and its notes.
pub async fn dead_letter_keeps_everything(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let reasons = [
        DeadReason::Exhausted,
        DeadReason::Permanent,
        DeadReason::Poisoned,
        DeadReason::Undeliverable,
        DeadReason::Unreadable,
    ];
    for reason in reasons {
        let message = queue.message().body([0xff, 0, 7]).priority(3).build();
        let id = queue.accept(message.clone(), at(0)).await;
        let (token, _) = queue.take(at(0)).await;
        queue.end(token, id, retry(secs(0)), at(0)).await;
        let (token, _) = queue.take(at(0)).await;
        queue.end(token, id, Settle::DeadLetter { reason, note: note("the end") }, at(9)).await;
        let stored = queue.stored(id).await;
        assert_eq!((stored.place, stored.reason, stored.at), (Place::Dead, Some(reason), Some(instant(9))));
        assert_eq!((stored.body, stored.priority), (message.body, message.priority));
        assert_eq!(stored.notes, [note("failed"), note("the end")]);
    }
    queue.expect_nothing(at(100)).await;
}

/// A dead letter can be made to run again: the next run, with fresh attempts, at the tail.
pub async fn requeued_dead_letter_is_the_next_run(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, retry(secs(0)), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, dead_letter(), at(1)).await;
    let before = queue.accept(queue.message(), at(2)).await;
    let unknown = queue.message().build().id;
    let requeue =
        async |ids: &[_]| queue.broker.requeue_dead(&queue.name, ids, at(3)).await.expect("requeue_dead");
    assert_eq!(requeue(&[id, unknown, before]).await, 1);
    assert_eq!(requeue(&[id]).await, 0, "it is no longer dead");
    let batch = queue.reserve(10, at(4)).await;
    assert_eq!(batch.ids(), [before, id]);
    let delivery = &batch.reserved.deliveries[1];
    assert_eq!((delivery.run, delivery.attempt, delivery.losses), (2, 0, 0));
    assert_eq!((delivery.verdict, delivery.refused_since), (Verdict::Run, None));
    let stored = queue.stored(id).await;
    assert_eq!((stored.place, stored.reason), (Place::Leased, None));
}

/// A poisoned message gets all its chances again, and is no suspect.
pub async fn requeued_poisoned_message_is_no_suspect(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    for round in 0..u64::from(limits::POISON_LOSSES) {
        queue.lose(round * 100).await;
    }
    let (token, _) = queue.take(at(1_000)).await;
    queue.end(token, id, dead_letter(), at(1_000)).await;
    queue.broker.requeue_dead(&queue.name, &[id], at(1_001)).await.expect("requeue_dead");
    let batch = queue.reserve_with(1, false, at(1_001)).await;
    assert_eq!(batch.ids(), [id]);
    assert_eq!(batch.reserved.deliveries[0].verdict, Verdict::Run);
}

/// A dead letter that runs again can die again, and wakes nobody who asks for less.
pub async fn dead_letter_can_die_twice(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.bury(at(0)).await;
    queue.broker.requeue_dead(&queue.name, &[id], at(1)).await.expect("requeue_dead");
    let (token, _) = queue.take(at(1)).await;
    queue.end(token, id, dead_letter(), at(2)).await;
    let stored = queue.stored(id).await;
    assert_eq!((stored.run, stored.place, stored.at), (2, Place::Dead, Some(instant(2))));
    let depth = queue.broker.depth(&queue.name, at(2)).await.expect("depth");
    assert_eq!((depth.ready, depth.leased, depth.dead), (0, 0, 1));
}

/// Only dead letters are deleted, and only those that were named.
pub async fn dead_letters_are_deleted_by_id(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let (first, second) = (queue.bury(at(0)).await, queue.bury(at(1)).await);
    let ready = queue.accept(queue.message(), at(2)).await;
    let unknown = queue.message().build().id;
    let delete = async |ids: &[_]| queue.broker.delete_dead(&queue.name, ids).await.expect("delete_dead");
    assert_eq!(delete(&[first, ready, unknown]).await, 1);
    assert_eq!(delete(&[first]).await, 0);
    assert_eq!(queue.find(first).await, None);
    assert_eq!(queue.place(second).await, Some(Place::Dead));
    assert_eq!(queue.place(ready).await, Some(Place::Ready));
    queue.accept(queue.message().id(first), at(3)).await;
}

/// The newest dead letters are kept, up to the limit.
pub async fn oldest_dead_letters_make_room(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let extra = 50;
    let ids = queue.fill(limits::DEAD_LETTERS + extra, at(0)).await;
    for second in 1.. {
        let batch = queue.reserve(limits::RESERVE_BATCH, at(second)).await;
        if batch.ids().is_empty() {
            break;
        }
        let dead: Vec<Settlement> =
            batch.ids().into_iter().map(|id| Settlement { id, how: dead_letter() }).collect();
        queue.broker.settle(&queue.name, batch.token, &dead, at(second)).await.expect("settle");
    }
    let depth = queue.broker.depth(&queue.name, at(100)).await.expect("depth");
    assert_eq!(depth.dead, u64::try_from(limits::DEAD_LETTERS).expect("a small number"));
    let oldest = queue.find(ids[0]).await;
    assert_eq!(oldest, None);
    assert_eq!(queue.place(ids[ids.len() - 1]).await, Some(Place::Dead));
}
