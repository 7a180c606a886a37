//! Promise 11: a message that takes its workers with it is kept apart, and given up in the end.

use std::collections::BTreeSet;

use lovage_core::{DeadReason, Place, Settle, Verdict, limits};

use super::BrokerBed;
use super::support::{Queue, at, give_back, note, retry, secs};

/// One lost lease may be the fault of a neighbour or of nobody: all that lost it go on together, at the head of their
/// priority, and so a killed worker's long tasks run again at once.
pub async fn first_lost_lease_makes_no_suspect(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(3, at(0)).await;
    queue.lose(0).await;
    let fresh = queue.accept(queue.message(), at(40)).await;
    let high = queue.accept(queue.message().priority(9), at(40)).await;
    let batch = queue.reserve_with(10, false, at(40)).await;
    let [first, lost @ .., last] = &batch.ids()[..] else { panic!("all of them: {batch:?}") };
    assert_eq!((*first, *last), (high, fresh));
    assert_eq!(BTreeSet::from_iter(lost), ids.iter().collect());
    assert_eq!(batch.reserved.deliveries[1].losses, 1);
}

/// Two leases lost in a row make suspects: first in line, and only for those who ask.
pub async fn suspect_is_first_and_only_for_who_asks(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let suspect = queue.accept(queue.message(), at(0)).await;
    queue.make_suspects(0).await;
    let others = queue.fill(2, at(80)).await;
    let high = queue.accept(queue.message().priority(9), at(80)).await;
    let without = queue.reserve_with(1, false, at(80)).await;
    assert_eq!(without.ids(), [high]);
    let with = queue.reserve_with(10, true, at(80)).await;
    assert_eq!(with.ids(), [suspect, others[0], others[1]]);
    assert_eq!(with.reserved.deliveries[0].losses, 2);
}

/// Who does not ask for suspects finds nothing when there is nothing else.
pub async fn suspect_waits_for_who_asks(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let suspect = queue.accept(queue.message(), at(0)).await;
    queue.make_suspects(0).await;
    assert_eq!(queue.reserve_with(10, false, at(80)).await.ids(), []);
    assert_eq!(queue.peek(Place::Ready, 10).await, [suspect]);
    assert_eq!(queue.reserve_with(10, true, at(80)).await.ids(), [suspect]);
}

/// All messages that lost two leases are suspects, and each reservation gets one of them at most.
pub async fn reservation_gets_one_suspect_at_most(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(3, at(0)).await;
    queue.make_suspects(0).await;
    let fresh = queue.fill(3, at(80)).await;
    let mut seen = BTreeSet::new();
    for neighbour in fresh {
        let batch = queue.reserve(2, at(80)).await;
        let [suspect, other] = batch.ids()[..] else { panic!("one suspect and one other: {batch:?}") };
        assert_eq!(other, neighbour);
        seen.insert(suspect);
    }
    assert_eq!(seen, ids.into_iter().collect());
}

/// After enough lost leases a message is poisoned: delivered for its end, not to run.
pub async fn message_is_poisoned_after_enough_losses(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    for losses in 0..limits::POISON_LOSSES {
        let batch = queue.lose(u64::from(losses) * 100).await;
        let delivery = &batch.reserved.deliveries[0];
        assert_eq!((delivery.losses, delivery.verdict), (losses, Verdict::Run));
    }
    let (token, delivery) = queue.take(at(1_000)).await;
    assert_eq!((delivery.losses, delivery.verdict), (limits::POISON_LOSSES, Verdict::Poisoned));
    assert_eq!((delivery.delivery, delivery.attempt), (limits::POISON_LOSSES + 1, 0));
    let how = Settle::DeadLetter { reason: DeadReason::Poisoned, note: note("lost 5 leases") };
    queue.end(token, id, how, at(1_000)).await;
    assert_eq!(queue.stored(id).await.reason, Some(DeadReason::Poisoned));
}

/// A poisoned message whose worker dies as well stays poisoned.
pub async fn poisoned_message_stays_poisoned(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.accept(queue.message(), at(0)).await;
    for round in 0..=u64::from(limits::POISON_LOSSES) {
        queue.lose(round * 100).await;
    }
    assert_eq!(queue.take(at(1_000)).await.1.verdict, Verdict::Poisoned);
}

/// An outcome, even a failure, clears the suspicion: losses count in a row.
pub async fn outcome_clears_the_suspicion(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    queue.make_suspects(0).await;
    let (token, delivery) = queue.take(at(80)).await;
    assert_eq!(delivery.losses, 2);
    queue.end(token, id, retry(secs(0)), at(80)).await;
    let batch = queue.reserve_with(10, false, at(81)).await;
    assert_eq!(batch.ids(), [id]);
    assert_eq!(batch.reserved.deliveries[0].losses, 0);
}

/// Giving back is no outcome: a suspect that was not run stays one.
pub async fn give_back_keeps_the_suspicion(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    queue.make_suspects(0).await;
    for after in [secs(0), secs(5)] {
        let (token, _) = queue.take(at(90)).await;
        queue.end(token, id, give_back(after), at(90)).await;
    }
    assert_eq!(queue.reserve_with(10, false, at(100)).await.ids(), []);
    assert_eq!(queue.take(at(100)).await.1.losses, 2);
}

/// The neighbours of a poisoned message in its batch do not share its fate.
pub async fn neighbours_do_not_pay(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(3, at(0)).await;
    let poison = ids[0];
    let mut survivors = BTreeSet::new();
    let mut second = 0;
    loop {
        queue.maintain(10, at(second)).await;
        let batch = queue.reserve(10, at(second)).await;
        let verdict = batch.reserved.deliveries.iter().find(|d| d.id == poison).map(|d| d.verdict);
        match verdict {
            Some(Verdict::Poisoned) => break,
            // It takes its worker with it, and whatever that worker holds.
            Some(_) => {
                queue.pass(second, second + 40).await;
            }
            None => {
                for id in batch.ids() {
                    queue.end(batch.token, id, Settle::Ack, at(second)).await;
                    survivors.insert(id);
                }
            }
        }
        second += 100;
        assert!(second < 10_000, "the poisoned message is found in the end");
    }
    let left = queue.peek(Place::Ready, 10).await;
    survivors.extend(left);
    assert!(
        survivors.is_superset(&ids[1..].iter().copied().collect()),
        "the neighbours live or have ended well"
    );
    for id in &ids[1..] {
        if let Some(stored) = queue.find(*id).await {
            assert!(stored.losses <= limits::SUSPECT_LOSSES, "no more was shared than what makes a suspect");
        }
    }
}
