//! Promise 14: a waiter is registered atomically with settlement.

use std::future::poll_fn;
use std::task::Poll;

use lovage_core::{Settle, Waiter, Watch};

use super::BrokerBed;
use super::support::{Queue, at, dead_letter, give_back, retry, secs, soon};

/// Whether a waiter still waits, as far as events have arrived.
async fn waits(waiter: &mut Waiter) -> bool {
    poll_fn(|cx| Poll::Ready(waiter.as_mut().poll(cx).is_pending())).await
}

/// What is not live has nothing to wait for.
pub async fn ended_message_is_gone(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    assert!(queue.is_gone(queue.message().build().id).await, "it never was");
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, Settle::Ack, at(0)).await;
    assert!(queue.is_gone(id).await, "it was acknowledged");
    let dead = queue.bury(at(1)).await;
    assert!(queue.is_gone(dead).await, "a dead letter has ended");
}

/// A waiter hears of the acknowledgement by another participant.
pub async fn waiter_ends_with_the_acknowledgement(bed: &dyn BrokerBed) {
    let client = Queue::join(bed).await;
    let worker = Queue::join(bed).await;
    let id = client.accept(client.message(), at(0)).await;
    let mut waiter = client.waiter(id).await;
    assert!(waits(&mut waiter).await);
    let (token, _) = worker.take(at(0)).await;
    assert!(waits(&mut waiter).await);
    worker.end(token, id, Settle::Ack, at(1)).await;
    soon("the acknowledgement", waiter).await;
}

/// A waiter hears that its message is a dead letter.
pub async fn waiter_ends_with_the_dead_letter(bed: &dyn BrokerBed) {
    let client = Queue::join(bed).await;
    let worker = Queue::join(bed).await;
    let id = client.accept(client.message().delay(secs(5)), at(0)).await;
    let waiter = client.waiter(id).await;
    let (token, _) = worker.take(at(5)).await;
    worker.end(token, id, dead_letter(), at(5)).await;
    soon("the dead letter", waiter).await;
}

/// A retry, a return and a lost lease are no end.
pub async fn waiter_outlasts_what_is_no_end(bed: &dyn BrokerBed) {
    let client = Queue::join(bed).await;
    let worker = Queue::join(bed).await;
    let id = client.accept(client.message(), at(0)).await;
    let mut waiter = client.waiter(id).await;
    for how in [retry(secs(0)), give_back(secs(0)), retry(secs(5))] {
        let (token, _) = worker.take(at(0)).await;
        worker.end(token, id, how, at(0)).await;
    }
    worker.lose(10).await;
    // What ends later is told later: had the waiter been told of anything, it would have heard by now.
    let other = client.other("other");
    let later = other.accept(other.message(), at(50)).await;
    let told = client.other("other").waiter(later).await;
    let elsewhere = worker.other("other");
    let (token, _) = elsewhere.take(at(50)).await;
    elsewhere.end(token, later, Settle::Ack, at(50)).await;
    soon("the other message's end", told).await;
    assert!(waits(&mut waiter).await);
    let (token, _) = worker.take(at(60)).await;
    worker.end(token, id, Settle::Ack, at(60)).await;
    soon("the end", waiter).await;
}

/// Several may wait for one message, at one participant and at several.
pub async fn several_wait_for_one_message(bed: &dyn BrokerBed) {
    let one = Queue::join(bed).await;
    let two = Queue::join(bed).await;
    let id = one.accept(one.message(), at(0)).await;
    let waiters = [one.waiter(id).await, one.waiter(id).await, two.waiter(id).await];
    let (token, _) = two.take(at(0)).await;
    two.end(token, id, Settle::Ack, at(0)).await;
    for waiter in waiters {
        soon("the end", waiter).await;
    }
}

/// One who waits no longer takes nothing from the others.
pub async fn dropped_waiter_disturbs_nobody(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let mut given_up = queue.waiter(id).await;
    let waiter = queue.waiter(id).await;
    assert!(waits(&mut given_up).await);
    drop(given_up);
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, id, Settle::Ack, at(0)).await;
    soon("the end", waiter).await;
}

/// Many waiters in one participant hear of their own message only.
pub async fn each_waiter_hears_of_its_own_message(bed: &dyn BrokerBed) {
    let client = Queue::join(bed).await;
    let worker = Queue::join(bed).await;
    let ids = client.fill(3, at(0)).await;
    let mut first = client.waiter(ids[0]).await;
    let second = client.waiter(ids[1]).await;
    let mut third = client.waiter(ids[2]).await;
    let batch = worker.reserve(3, at(0)).await;
    worker.end(batch.token, ids[1], Settle::Ack, at(0)).await;
    soon("the second's end", second).await;
    assert!(waits(&mut first).await && waits(&mut third).await);
    worker.end(batch.token, ids[0], Settle::Ack, at(0)).await;
    soon("the first's end", first).await;
    assert!(waits(&mut third).await);
}

/// However registration and settlement fall together, a waiter ends or there is none.
pub async fn no_end_is_missed_between_watch_and_settlement(bed: &dyn BrokerBed) {
    let client = Queue::join(bed).await;
    let worker = Queue::join(bed).await;
    for _ in 0..30 {
        let id = client.accept(client.message(), at(0)).await;
        let (token, _) = worker.take(at(0)).await;
        let (broker, name) = (std::sync::Arc::clone(&client.broker), client.name.clone());
        let watching = tokio::spawn(async move {
            match broker.watch(&name, id).await.expect("watch") {
                Watch::Gone => {}
                Watch::Waiting(waiter) => soon("an end that must not be missed", waiter).await,
            }
        });
        worker.end(token, id, Settle::Ack, at(0)).await;
        watching.await.expect("the waiter");
    }
}
