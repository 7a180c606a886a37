//! Promise 13: a fence refuses a slot that is not newer, and one that is ahead of the clock.

use lovage_core::{Published, Settle};

use super::BrokerBed;
use super::support::{Queue, at, instant};

/// Newer slots are taken; the same and older ones are stale, also when their messages have ended.
pub async fn slot_that_is_not_newer_is_stale(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let slot = |second| queue.message().fence("nightly", instant(second)).build();
    let first = queue.accept(slot(100), at(100)).await;
    let newest = Published::Stale { newest: instant(100) };
    assert_eq!(queue.publish_one(&slot(100), at(100)).await, newest);
    assert_eq!(queue.publish_one(&slot(40), at(100)).await, newest);
    let (token, _) = queue.take(at(100)).await;
    queue.end(token, first, Settle::Ack, at(101)).await;
    assert_eq!(queue.publish_one(&slot(100), at(102)).await, newest);
    queue.accept(slot(160), at(160)).await;
    assert_eq!(queue.publish_one(&slot(100), at(160)).await, Published::Stale { newest: instant(160) });
}

/// A refused message is not stored.
pub async fn stale_message_is_not_stored(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.accept(queue.message().fence("nightly", instant(100)), at(100)).await;
    let stale = queue.message().fence("nightly", instant(100)).unique("key").build();
    queue.publish_one(&stale, at(100)).await;
    assert_eq!(queue.find(stale.id).await, None);
    queue.accept(queue.message().unique("key"), at(100)).await;
}

/// Slots to the microsecond are told apart.
pub async fn slots_are_exact(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let micro = std::time::Duration::from_micros(1);
    let slot = |slot| queue.message().fence("fast", slot).build();
    queue.accept(slot(instant(100)), at(100)).await;
    queue.accept(slot(instant(100).plus(micro)), at(100)).await;
    assert_eq!(
        queue.publish_one(&slot(instant(100)), at(100)).await,
        Published::Stale { newest: instant(100).plus(micro) }
    );
}

/// A fence is of one name in one queue.
pub async fn fence_is_of_one_name_and_queue(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let other = queue.other("other");
    queue.accept(queue.message().fence("a", instant(100)), at(160)).await;
    queue.accept(queue.message().fence("b", instant(50)), at(160)).await;
    other.accept(other.message().fence("a", instant(50)), at(160)).await;
    queue.accept(queue.message(), at(160)).await;
}

/// Within one batch the first slot wins, and the newest is kept.
pub async fn slots_within_a_batch_are_fenced(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let slot = |second| queue.message().fence("nightly", instant(second)).build();
    let batch = [slot(100), slot(100), slot(160), slot(100)];
    use Published::{Accepted, Stale};
    let expected = [Accepted, Stale { newest: instant(100) }, Accepted, Stale { newest: instant(160) }];
    assert_eq!(queue.publish(&batch, at(160)).await, expected);
    assert_eq!(queue.reserve(10, at(160)).await.ids(), [batch[0].id, batch[2].id]);
}

/// Of many who publish one slot at the same time, one is accepted.
pub async fn concurrent_publishers_of_a_slot_are_accepted_once(bed: &dyn BrokerBed) {
    let mut beats = Vec::new();
    for _ in 0..8 {
        let queue = Queue::join(bed).await;
        let message = queue.message().fence("nightly", instant(100)).build();
        beats.push(tokio::spawn(async move { queue.publish_one(&message, at(100)).await }));
    }
    let mut accepted = 0;
    for beat in beats {
        let answer = beat.await.expect("a beat");
        if answer == Published::Accepted {
            accepted += 1;
        } else {
            assert_eq!(answer, Published::Stale { newest: instant(100) });
        }
    }
    assert_eq!(accepted, 1);
}

/// A slot that is further ahead of the clock than clocks differ is refused, is not stored, and moves no fence.
pub async fn slot_ahead_of_the_clock_is_early(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let slot = |second| queue.message().fence("nightly", instant(second)).unique("key").build();
    let early = slot(3_700);
    assert_eq!(queue.publish_one(&early, at(100)).await, Published::Early { now: instant(100) });
    assert_eq!(queue.find(early.id).await, None);
    let within_tolerance = queue.accept(slot(110), at(100)).await;
    let (token, _) = queue.take(at(100)).await;
    queue.end(token, within_tolerance, Settle::Ack, at(100)).await;
    let batch = [slot(111), slot(115), slot(116)];
    let expected = [
        Published::Accepted,
        Published::Duplicate { holder: batch[0].id },
        Published::Early { now: instant(105) },
    ];
    // The key is judged first.
    let batch = [batch[0].clone(), batch[1].clone(), queue.message().fence("nightly", instant(116)).build()];
    assert_eq!(queue.publish(&batch, at(105)).await, expected);
}

/// A slot of an hour ahead was published while the clock was wrong. When it is right again the fence takes the slots of
/// then, each once.
pub async fn clock_set_back_lowers_the_fence(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let slot = |second| queue.message().fence("nightly", instant(second)).build();
    queue.accept(slot(3_700), at(3_700)).await;
    queue.accept(slot(100), at(100)).await;
    assert_eq!(queue.publish_one(&slot(100), at(100)).await, Published::Stale { newest: instant(100) });
    assert_eq!(queue.publish_one(&slot(40), at(100)).await, Published::Stale { newest: instant(100) });
    queue.accept(slot(160), at(160)).await;
    // A step that is within the difference of two clocks changes nothing.
    assert_eq!(queue.publish_one(&slot(155), at(155)).await, Published::Stale { newest: instant(160) });
}
