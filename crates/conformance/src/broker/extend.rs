//! Promise 5: a lease is renewed while its worker lives.

use std::sync::Arc;

use lovage_core::{Settle, Settled, Token};

use super::BrokerBed;
use super::support::{LEASE, Queue, at, instant, secs, token};

/// A renewed lease keeps its messages, however long the task runs.
pub async fn renewed_lease_is_not_reclaimed(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    let id = queue.accept(queue.message(), at(0)).await;
    queue.maintain(10, at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    for second in (10..200).step_by(10) {
        let extended = leases.extend(&queue.name, &[token], LEASE, at(second)).await.expect("extend");
        assert_eq!((extended.lost, extended.revoked), (vec![], vec![]));
        assert_eq!(queue.maintain(10, at(second)).await.reclaimed, 0);
    }
    assert_eq!(queue.stored(id).await.at, Some(instant(190 + LEASE.as_secs())));
    queue.expect_nothing(at(200)).await;
    queue.end(token, id, Settle::Ack, at(200)).await;
}

/// A worker renews all that it holds at once, and none of it is forgotten.
pub async fn every_reservation_of_a_renewal_is_kept(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    queue.maintain(10, at(0)).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        queue.accept(queue.message(), at(0)).await;
        held.push(queue.take(at(0)).await);
    }
    let tokens: Vec<Token> = held.iter().map(|(token, _)| *token).collect();
    assert_eq!(queue.pass(10, 20).await, 0);
    let extended = leases.extend(&queue.name, &tokens, LEASE, at(20)).await.expect("extend");
    assert_eq!((extended.lost, extended.revoked), (vec![], vec![]));
    assert_eq!(queue.pass(30, 49).await, 0);
    for (token, delivery) in held {
        queue.end(token, delivery.id, Settle::Ack, at(49)).await;
    }
}

/// A renewal is not for ever.
pub async fn renewed_lease_ends_when_renewals_end(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    queue.accept(queue.message(), at(0)).await;
    queue.maintain(10, at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    assert_eq!(queue.pass(10, 20).await, 0);
    leases.extend(&queue.name, &[token], LEASE, at(20)).await.expect("extend");
    assert_eq!(queue.pass(30, 49).await, 0);
    assert_eq!(queue.pass(50, 60).await, 1);
}

/// Reservations that were reclaimed, settled or never made are answered as lost.
pub async fn ended_reservations_are_answered_as_lost(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    queue.accept(queue.message(), at(0)).await;
    let reclaimed = queue.lose(0).await.token;
    let (settled, delivery) = queue.take(at(40)).await;
    queue.end(settled, delivery.id, Settle::Ack, at(40)).await;
    queue.accept(queue.message(), at(40)).await;
    let (live, delivery) = queue.take(at(40)).await;
    let unknown = token();
    let tokens = [reclaimed, live, settled, unknown];
    let mut lost = leases.extend(&queue.name, &tokens, LEASE, at(41)).await.expect("extend").lost;
    lost.sort();
    let mut expected = vec![reclaimed, settled, unknown];
    expected.sort();
    assert_eq!(lost, expected);
    assert_eq!(queue.settle(live, delivery.id, Settle::Ack, at(41)).await, Settled::Applied);
}

/// A renewal tells which messages were cancelled, each time until they are settled.
pub async fn renewal_tells_of_cancelled_messages(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    let ids = queue.fill(3, at(0)).await;
    let batch = queue.reserve(3, at(0)).await;
    queue.broker.cancel(ids[1], Some(&queue.name), at(1)).await.expect("cancel");
    for second in [2, 3] {
        let extended = leases.extend(&queue.name, &[batch.token], LEASE, at(second)).await.expect("extend");
        assert_eq!((extended.lost, extended.revoked), (vec![], vec![ids[1]]));
    }
    queue.end(batch.token, ids[1], Settle::Ack, at(4)).await;
    let extended = leases.extend(&queue.name, &[batch.token], LEASE, at(5)).await.expect("extend");
    assert_eq!(extended.revoked, []);
}

/// Leases can be renewed from a thread with a runtime of its own, so that a blocked worker keeps them.
pub async fn leases_are_renewed_from_a_runtime_of_their_own(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    queue.maintain(10, at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    let (broker, name) = (Arc::clone(&queue.broker), queue.name.clone());
    let renewal = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let leases = broker.open_leases().await.expect("open_leases");
            leases.extend(&name, &[token], secs(100), at(10)).await.expect("extend")
        })
    });
    let extended = tokio::task::spawn_blocking(|| renewal.join()).await.expect("joined").expect("no panic");
    assert_eq!(extended.lost, Vec::<Token>::new());
    assert_eq!(queue.pass(10, 100).await, 0);
    queue.end(token, id, Settle::Ack, at(100)).await;
}

/// Nothing to renew is nothing done.
pub async fn empty_renewal_does_nothing(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    let extended = leases.extend(&queue.name, &[], LEASE, at(0)).await.expect("extend");
    assert_eq!(extended, lovage_core::Extended::default());
}
