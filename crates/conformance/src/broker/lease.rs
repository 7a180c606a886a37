//! Promise 2: a lease belongs to a reservation and is proved by its token.

use std::collections::BTreeSet;

use lovage_core::{Place, Settle, Settled, Settlement};

use super::BrokerBed;
use super::support::{Queue, at, dead_letter, give_back, instant, retry, secs, token};

/// While a lease lasts nobody else gets its messages.
pub async fn leased_message_is_handed_to_nobody_else(bed: &dyn BrokerBed) {
    let first = Queue::join(bed).await;
    let second = Queue::join(bed).await;
    let id = first.accept(first.message(), at(0)).await;
    first.take(at(0)).await;
    second.expect_nothing(at(29)).await;
    first.expect_nothing(at(29)).await;
    let stored = second.stored(id).await;
    assert_eq!((stored.place, stored.at), (Place::Leased, Some(instant(30))));
}

/// When a lease has ended its messages are delivered again.
pub async fn expired_lease_is_redelivered(bed: &dyn BrokerBed) {
    let first = Queue::join(bed).await;
    let second = Queue::join(bed).await;
    let id = first.accept(first.message(), at(0)).await;
    first.lose(0).await;
    let (_, delivery) = second.take(at(40)).await;
    assert_eq!((delivery.id, delivery.delivery), (id, 2));
}

/// No verb works with the token of a lease that has ended, and none changes anything.
pub async fn stale_token_changes_nothing(bed: &dyn BrokerBed) {
    let first = Queue::join(bed).await;
    let second = Queue::join(bed).await;
    let id = first.accept(first.message(), at(0)).await;
    let lost = first.lose(0).await;
    let verbs = || [Settle::Ack, retry(secs(0)), give_back(secs(0)), give_back(secs(5)), dead_letter()];
    for verb in verbs() {
        let answer = first.settle(lost.token, id, verb.clone(), at(40)).await;
        assert_eq!(answer, Settled::LeaseLost, "{verb:?} while it is ready again");
    }
    let (held, _) = second.take(at(40)).await;
    let before = second.stored(id).await;
    for verb in verbs() {
        let answer = first.settle(lost.token, id, verb.clone(), at(41)).await;
        assert_eq!(answer, Settled::LeaseLost, "{verb:?} while somebody else has it");
    }
    assert_eq!(second.stored(id).await, before);
    second.end(held, id, Settle::Ack, at(41)).await;
    for verb in verbs() {
        let answer = first.settle(lost.token, id, verb.clone(), at(42)).await;
        assert_eq!(answer, Settled::LeaseLost, "{verb:?} when it is gone");
    }
    assert_eq!(first.find(id).await, None);
}

/// A token that no reservation was made with proves nothing.
pub async fn unknown_token_changes_nothing(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    assert_eq!(queue.settle(token(), id, Settle::Ack, at(0)).await, Settled::LeaseLost);
    let (held, _) = queue.take(at(0)).await;
    assert_eq!(queue.settle(token(), id, Settle::Ack, at(0)).await, Settled::LeaseLost);
    queue.end(held, id, Settle::Ack, at(0)).await;
}

/// The token of one reservation is none for the messages of another.
pub async fn token_of_another_reservation_changes_nothing(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.fill(2, at(0)).await;
    let one = queue.reserve(1, at(0)).await;
    let two = queue.reserve(1, at(0)).await;
    assert_eq!(queue.settle(one.token, two.ids()[0], Settle::Ack, at(1)).await, Settled::LeaseLost);
    queue.end(two.token, two.ids()[0], Settle::Ack, at(1)).await;
    queue.end(one.token, one.ids()[0], Settle::Ack, at(1)).await;
}

/// A message is settled once.
pub async fn second_settlement_is_refused(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, retry(secs(60)), at(1)).await;
    assert_eq!(queue.settle(token, id, Settle::Ack, at(1)).await, Settled::LeaseLost);
    assert_eq!(queue.place(id).await, Some(Place::Delayed));
}

/// The messages of a reservation end one by one; what is left comes back when the lease ends.
pub async fn reservation_is_settled_in_parts(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(3, at(0)).await;
    queue.maintain(10, at(0)).await;
    let batch = queue.reserve(3, at(0)).await;
    queue.end(batch.token, ids[1], Settle::Ack, at(1)).await;
    assert_eq!(queue.broker.depth(&queue.name, at(1)).await.expect("depth").leased, 2);
    assert_eq!(queue.pass(10, 40).await, 2);
    let back: BTreeSet<_> = queue.peek(Place::Ready, 10).await.into_iter().collect();
    assert_eq!(back, BTreeSet::from([ids[0], ids[2]]));
}

/// One call settles in different ways, and answers in its order which of them took effect.
pub async fn mixed_settlements_are_answered_in_order(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(5, at(0)).await;
    let batch = queue.reserve(4, at(0)).await;
    let settle = |index: usize, how| Settlement { id: ids[index], how };
    let settlements = [
        settle(0, Settle::Ack),
        settle(4, Settle::Ack),
        settle(1, retry(secs(60))),
        settle(0, Settle::Ack),
        settle(2, give_back(secs(0))),
        settle(3, dead_letter()),
    ];
    let answers = queue.broker.settle(&queue.name, batch.token, &settlements, at(1)).await.expect("settle");
    use Settled::{Applied, LeaseLost};
    assert_eq!(answers, [Applied, LeaseLost, Applied, LeaseLost, Applied, Applied]);
    let mut places = Vec::new();
    for id in ids {
        places.push(queue.place(id).await);
    }
    use Place::{Dead, Delayed, Ready};
    assert_eq!(places, [None, Some(Delayed), Some(Ready), Some(Dead), Some(Ready)]);
}

/// The same message can go through many leases; only the newest counts.
pub async fn only_the_newest_lease_counts(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let mut old = Vec::new();
    for round in 0..3 {
        let (token, delivery) = queue.take(at(round)).await;
        assert_eq!(u64::from(delivery.delivery), round + 1);
        queue.end(token, id, give_back(secs(0)), at(round)).await;
        old.push(token);
    }
    let (newest, _) = queue.take(at(3)).await;
    for token in old {
        assert_eq!(queue.settle(token, id, Settle::Ack, at(3)).await, Settled::LeaseLost);
    }
    queue.end(newest, id, Settle::Ack, at(3)).await;
}
