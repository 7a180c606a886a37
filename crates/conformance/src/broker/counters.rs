//! Promise 4: `delivery` grows at each hand-out, `attempt` counts failed outcomes.

use lovage_core::{Settle, limits};

use super::BrokerBed;
use super::support::{Queue, at, dead_letter, give_back, instant, note, retry, secs};

/// A retry is one attempt more, and its note is kept.
pub async fn retry_counts_an_attempt_and_keeps_its_note(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    for attempt in 0..3 {
        let (token, delivery) = queue.take(at(0)).await;
        assert_eq!((delivery.attempt, delivery.delivery, delivery.losses), (attempt, attempt + 1, 0));
        let how = Settle::Retry { after: secs(0), note: note(&format!("failure {attempt} “ü”\n")) };
        queue.end(token, id, how, at(0)).await;
    }
    let stored = queue.stored(id).await;
    assert_eq!((stored.attempt, stored.delivery, stored.run), (3, 3, 1));
    let expected: Vec<_> = (0..3).map(|attempt| note(&format!("failure {attempt} “ü”\n"))).collect();
    assert_eq!(stored.notes, expected);
}

/// Giving back costs no attempt.
pub async fn give_back_counts_no_attempt(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    for delivery in 1..=3 {
        let (token, found) = queue.take(at(0)).await;
        assert_eq!((found.delivery, found.attempt, found.refused_since), (delivery, 0, None));
        queue.end(token, id, give_back(secs(0)), at(0)).await;
    }
}

/// A lost lease costs no attempt.
pub async fn lost_lease_counts_no_attempt(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.accept(queue.message(), at(0)).await;
    queue.lose(0).await;
    let (_, delivery) = queue.take(at(40)).await;
    assert_eq!((delivery.delivery, delivery.attempt, delivery.losses), (2, 0, 1));
}

/// The first refusal is remembered, the later ones do not move it.
pub async fn refusal_is_dated_once(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let refuse = |after| Settle::GiveBack { after: secs(after), refused: true };
    let (token, _) = queue.take(at(1)).await;
    queue.end(token, id, refuse(0), at(2)).await;
    let (token, delivery) = queue.take(at(3)).await;
    assert_eq!(delivery.refused_since, Some(instant(2)));
    queue.end(token, id, refuse(5), at(4)).await;
    let (token, delivery) = queue.take(at(9)).await;
    assert_eq!((delivery.refused_since, delivery.attempt), (Some(instant(2)), 0));
    queue.end(token, id, give_back(secs(0)), at(9)).await;
    assert_eq!(queue.take(at(9)).await.1.refused_since, Some(instant(2)));
}

/// The oldest notes make room for the newest.
pub async fn only_the_newest_notes_are_kept(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let text = |n: usize| format!("{n}{}", "x".repeat(limits::NOTE_BYTES - 2));
    for n in 10..22 {
        let (token, _) = queue.take(at(0)).await;
        queue.end(token, id, Settle::Retry { after: secs(0), note: note(&text(n)) }, at(0)).await;
    }
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, dead_letter(), at(0)).await;
    let mut expected: Vec<_> = (13..22).map(|n| note(&text(n))).collect();
    expected.push(note("hopeless"));
    assert_eq!(queue.stored(id).await.notes, expected);
}

/// Counters stay with a message through every place.
pub async fn counters_survive_delays_and_losses(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, retry(secs(5)), at(0)).await;
    queue.lose(5).await;
    let (token, delivery) = queue.take(at(45)).await;
    assert_eq!((delivery.delivery, delivery.attempt, delivery.losses), (3, 1, 1));
    queue.end(token, id, give_back(secs(5)), at(45)).await;
    let (_, delivery) = queue.take(at(50)).await;
    assert_eq!((delivery.delivery, delivery.attempt), (4, 1));
}
