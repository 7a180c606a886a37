//! Promise 8: what the policies of a unique key do besides refusing.

use lovage_core::{Expires, Hint, Message, Place, Published, Settle, TaskId, Verdict};

use super::BrokerBed;
use super::support::{Queue, at, dead_letter, give_back, instant, next_hint, retry, secs};

/// A message that claims the key of these cases, or takes it from a holder that waits.
fn replacing(queue: &Queue) -> lovage_testkit::MessageBuilder {
    queue.message().unique("key").replace()
}

/// A message that claims the key of these cases until its first start.
fn until_start(queue: &Queue) -> lovage_testkit::MessageBuilder {
    queue.message().unique("key").until_start()
}

/// Whether the key is free, asked with a message that is purged at once when it is.
async fn held_by(queue: &Queue, second: u64) -> Option<TaskId> {
    let probe = queue.message().unique("key").delay(secs(10_000)).build();
    match queue.publish_one(&probe, at(second)).await {
        Published::Duplicate { holder } => Some(holder),
        Published::Accepted => {
            queue.broker.purge(&queue.name, Place::Delayed, 1_000).await.expect("purge");
            None
        }
        other @ (Published::Stale { .. } | Published::Early { .. } | Published::Full { .. }) => {
            panic!("{other:?}")
        }
    }
}

/// Checks that exactly these messages are handed out, with these verdicts, and acknowledges them.
async fn expect_verdicts(queue: &Queue, second: u64, expected: &[(TaskId, Verdict)]) {
    let batch = queue.reserve(10, at(second)).await;
    let verdicts: Vec<_> = batch.reserved.deliveries.iter().map(|d| (d.id, d.verdict)).collect();
    assert_eq!(verdicts, expected);
    for (id, _) in verdicts {
        queue.end(batch.token, id, Settle::Ack, at(second)).await;
    }
}

/// A holder that is ready is replaced: it is delivered with the newer one's id, and its message stays as it was.
pub async fn ready_holder_is_replaced(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let old = queue.message().unique("key").body([1, 2, 3]).build();
    let first = queue.accept(old.clone(), at(0)).await;
    let second = queue.accept(replacing(&queue), at(1)).await;
    let stored = queue.stored(first).await;
    assert_eq!((stored.place, stored.revoked, stored.replaced_by), (Place::Ready, true, Some(second)));
    assert_eq!((stored.unique_key, stored.body), (None, old.body), "the key has moved on");
    let stored = queue.stored(second).await;
    assert_eq!((stored.revoked, stored.replaced_by), (false, None));
    assert_eq!(stored.unique_key.as_deref(), Some("key"));
    let replaced = Verdict::Replaced { by: second };
    expect_verdicts(&queue, 1, &[(first, replaced), (second, Verdict::Run)]).await;
}

/// Without a holder a replacement is a message like any other.
pub async fn free_key_is_claimed_by_a_replacement(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(replacing(&queue), at(0)).await;
    assert_eq!(held_by(&queue, 0).await, Some(id));
    expect_verdicts(&queue, 0, &[(id, Verdict::Run)]).await;
    assert_eq!(held_by(&queue, 0).await, None);
}

/// A holder that waits for its time is replaced and no longer waits, although the newer one does.
pub async fn delayed_holder_is_replaced_at_once(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique("key").delay(secs(500)), at(0)).await;
    let second = queue.accept(replacing(&queue).delay(secs(600)), at(1)).await;
    assert_eq!(queue.place(first).await, Some(Place::Ready));
    assert_eq!(queue.place(second).await, Some(Place::Delayed));
    expect_verdicts(&queue, 1, &[(first, Verdict::Replaced { by: second })]).await;
    expect_verdicts(&queue, 601, &[(second, Verdict::Run)]).await;
}

/// A holder that waits for its next attempt is replaced and keeps what is known of its attempts.
pub async fn holder_that_waits_for_a_retry_is_replaced(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique("key"), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, first, retry(secs(500)), at(1)).await;
    let second = queue.accept(replacing(&queue).delay(secs(500)), at(2)).await;
    let stored = queue.stored(first).await;
    assert_eq!((stored.place, stored.attempt, stored.notes.len()), (Place::Ready, 1, 1));
    expect_verdicts(&queue, 2, &[(first, Verdict::Replaced { by: second })]).await;
}

/// A holder whose lease was lost waits again: it is replaced.
pub async fn suspect_is_replaced(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique("key"), at(0)).await;
    queue.make_suspects(0).await;
    let second = queue.accept(replacing(&queue), at(80)).await;
    let replaced = Verdict::Replaced { by: second };
    expect_verdicts(&queue, 80, &[(first, replaced), (second, Verdict::Run)]).await;
}

/// Each one is replaced by the next, also within one batch; only the last one runs.
pub async fn replacements_form_a_chain(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique("key"), at(0)).await;
    let batch: Vec<Message> = (0..3).map(|_| replacing(&queue).build()).collect();
    let answers = queue.publish(&batch, at(0)).await;
    assert!(answers.iter().all(|answer| *answer == Published::Accepted), "{answers:?}");
    let [a, b, c] = [batch[0].id, batch[1].id, batch[2].id];
    assert_eq!(held_by(&queue, 0).await, Some(c));
    let by = |by| Verdict::Replaced { by };
    expect_verdicts(&queue, 0, &[(first, by(a)), (a, by(b)), (b, by(c)), (c, Verdict::Run)]).await;
}

/// A holder that a worker has is not replaced: the newer one is its duplicate. Handed back, it waits again.
pub async fn leased_holder_is_not_replaced(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique("key"), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    let second = replacing(&queue).build();
    assert_eq!(queue.publish_one(&second, at(1)).await, Published::Duplicate { holder: first });
    assert_eq!(queue.find(second.id).await, None);
    let stored = queue.stored(first).await;
    assert_eq!((stored.place, stored.revoked, stored.replaced_by), (Place::Leased, false, None));
    queue.end(token, first, give_back(secs(0)), at(2)).await;
    queue.accept(second.clone(), at(2)).await;
    let replaced = Verdict::Replaced { by: second.id };
    expect_verdicts(&queue, 2, &[(first, replaced), (second.id, Verdict::Run)]).await;
}

/// A replacement that is refused for another reason, its own live id or its slot, leaves the holder alone.
pub async fn refused_replacement_changes_nothing(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.accept(queue.message().fence("entry", instant(0)), at(0)).await;
    let live = queue.accept(queue.message(), at(0)).await;
    let holder = queue.accept(queue.message().unique("key").delay(secs(500)), at(0)).await;
    let before = queue.stored(holder).await;
    let stale = replacing(&queue).fence("entry", instant(0)).build();
    assert_eq!(queue.publish_one(&stale, at(1)).await, Published::Stale { newest: instant(0) });
    let twice = replacing(&queue).id(live).build();
    assert_eq!(queue.publish_one(&twice, at(1)).await, Published::Duplicate { holder: live });
    let itself = replacing(&queue).id(holder).build();
    assert_eq!(queue.publish_one(&itself, at(1)).await, Published::Duplicate { holder });
    assert_eq!(queue.stored(holder).await, before);
    assert_eq!(held_by(&queue, 1).await, Some(holder));
}

/// A holder whose claim has ended by its time to live goes on.
pub async fn holder_whose_claim_ended_is_not_replaced(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique_for("key", secs(10)), at(0)).await;
    let second = queue.accept(replacing(&queue), at(11)).await;
    assert_eq!(queue.stored(first).await.replaced_by, None);
    expect_verdicts(&queue, 11, &[(first, Verdict::Run), (second, Verdict::Run)]).await;
}

/// The key belongs to the newer one: neither the end nor the purge of the replaced one releases it.
pub async fn replaced_holder_does_not_release_the_key(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique("key"), at(0)).await;
    let second = queue.accept(replacing(&queue).delay(secs(100)), at(0)).await;
    expect_verdicts(&queue, 0, &[(first, Verdict::Replaced { by: second })]).await;
    assert_eq!(held_by(&queue, 0).await, Some(second));
    let third = queue.accept(replacing(&queue).delay(secs(100)), at(0)).await;
    assert_eq!(queue.broker.purge(&queue.name, Place::Ready, 10).await.expect("purge"), 1);
    assert_eq!(queue.find(second).await, None);
    assert_eq!(held_by(&queue, 0).await, Some(third));
}

/// What was replaced stays replaced when its worker hands it back or is lost, and is not made to wait.
pub async fn replacement_outlives_the_lease(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique("key"), at(0)).await;
    let second = queue.accept(replacing(&queue).delay(secs(10_000)), at(0)).await;
    for how in [give_back(secs(500)), retry(secs(500))] {
        let (token, delivery) = queue.take(at(0)).await;
        assert_eq!(delivery.verdict, Verdict::Replaced { by: second });
        queue.end(token, first, how, at(0)).await;
    }
    queue.lose(0).await;
    expect_verdicts(&queue, 40, &[(first, Verdict::Replaced { by: second })]).await;
}

/// Of many who replace one holder at the same time, one is left; each other one knows its own successor.
pub async fn concurrent_replacements_leave_one(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.accept(queue.message().unique("key"), at(0)).await;
    let mut publishers = Vec::new();
    for _ in 0..8 {
        let queue = Queue::join(bed).await;
        publishers.push(tokio::spawn(async move { queue.accept(replacing(&queue), at(0)).await }));
    }
    for publisher in publishers {
        publisher.await.expect("a publisher");
    }
    let batch = queue.reserve(20, at(0)).await;
    assert_eq!(batch.reserved.deliveries.len(), 9);
    let mut successors = std::collections::BTreeSet::new();
    let mut left = Vec::new();
    for delivery in &batch.reserved.deliveries {
        match delivery.verdict {
            Verdict::Replaced { by } => assert!(successors.insert(by), "two were replaced by one"),
            verdict @ (Verdict::Run | Verdict::Revoked | Verdict::Expired | Verdict::Poisoned) => {
                left.push((delivery.id, verdict));
            }
        }
    }
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].1, Verdict::Run);
    assert_eq!(held_by(&queue, 0).await, Some(left[0].0));
}

/// A delayed holder that becomes ready by its replacement wakes somebody, although the newer one waits.
pub async fn replacement_wakes_an_idle_handle(bed: &dyn BrokerBed) {
    let sleeper = Queue::join(bed).await;
    let sender = Queue::join(bed).await;
    sender.accept(sender.message().unique("key").delay(secs(5_000)), at(0)).await;
    sleeper.expect_nothing(at(0)).await;
    sender.accept(replacing(&sender).delay(secs(6_000)), at(0)).await;
    let hint = next_hint(&*sleeper.broker, "the replaced one").await;
    assert_eq!(hint, Hint::Work(sender.name.clone()));
}

/// A dead letter that runs again is replaced by nobody.
pub async fn requeued_dead_letter_is_no_longer_replaced(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique("key"), at(0)).await;
    let second = queue.accept(replacing(&queue).delay(secs(10_000)), at(0)).await;
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, first, dead_letter(), at(0)).await;
    assert_eq!(queue.stored(first).await.replaced_by, Some(second));
    assert_eq!(queue.broker.requeue_dead(&queue.name, &[first], at(1)).await.expect("requeue"), 1);
    let stored = queue.stored(first).await;
    assert_eq!((stored.revoked, stored.replaced_by), (false, None));
    expect_verdicts(&queue, 1, &[(first, Verdict::Run)]).await;
    assert_eq!(held_by(&queue, 1).await, Some(second), "its key is the other one's");
}

/// `until_start` holds the key while the message waits, and releases it when a worker gets it to run.
pub async fn until_start_ends_at_the_hand_out(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(until_start(&queue).delay(secs(5)), at(0)).await;
    assert_eq!(held_by(&queue, 0).await, Some(first));
    queue.maintain(10, at(5)).await;
    assert_eq!(held_by(&queue, 5).await, Some(first), "it is ready and not started");
    assert_eq!(queue.stored(first).await.unique_key.as_deref(), Some("key"));
    let (token, delivery) = queue.take(at(5)).await;
    assert_eq!(delivery.verdict, Verdict::Run);
    assert_eq!(queue.stored(first).await.unique_key, None);
    let second = queue.accept(until_start(&queue), at(5)).await;
    assert_eq!(held_by(&queue, 5).await, Some(second));
    queue.end(token, first, Settle::Ack, at(6)).await;
    assert_eq!(held_by(&queue, 6).await, Some(second), "the first one's end releases nothing");
}

/// A hand-out that is not to run is no start.
pub async fn until_start_outlasts_a_hand_out_that_is_no_start(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let expiring =
        lovage_core::Envelope { expires: Some(Expires::After(secs(1))), ..lovage_testkit::envelope() };
    let expiring = until_start(&queue).envelope(&expiring);
    for (message, verdict) in [(expiring, Verdict::Expired), (until_start(&queue), Verdict::Revoked)] {
        let id = queue.accept(message, at(0)).await;
        if verdict == Verdict::Revoked {
            queue.broker.cancel(id, Some(&queue.name), at(0)).await.expect("cancel");
        }
        let (token, delivery) = queue.take(at(10)).await;
        assert_eq!(delivery.verdict, verdict);
        assert_eq!(held_by(&queue, 10).await, Some(id), "{verdict:?}");
        queue.end(token, id, Settle::Ack, at(10)).await;
        assert_eq!(held_by(&queue, 10).await, None, "{verdict:?}");
    }
}

/// What has started does not claim its key again, however it comes back.
pub async fn until_start_is_not_claimed_again(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(until_start(&queue), at(0)).await;
    for how in [give_back(secs(0)), retry(secs(0))] {
        let (token, _) = queue.take(at(0)).await;
        queue.end(token, first, how, at(0)).await;
        assert_eq!(held_by(&queue, 0).await, None);
    }
    queue.lose(0).await;
    assert_eq!(held_by(&queue, 40).await, None);
    let second = queue.accept(replacing(&queue), at(40)).await;
    assert_eq!(queue.stored(first).await.replaced_by, None, "it does not hold the key");
    expect_verdicts(&queue, 40, &[(first, Verdict::Run), (second, Verdict::Run)]).await;
}

/// With a time to live a claim ends at what comes first.
pub async fn until_start_may_end_earlier_by_time(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let claim = || queue.message().unique_for("key", secs(10)).until_start();
    let first = queue.accept(claim(), at(0)).await;
    assert_eq!(held_by(&queue, 9).await, Some(first));
    let second = queue.accept(claim(), at(11)).await;
    assert_eq!(queue.reserve(1, at(11)).await.ids(), [first]);
    assert_eq!(held_by(&queue, 11).await, Some(second), "the start of the former holder releases nothing");
    assert_eq!(queue.reserve(1, at(11)).await.ids(), [second]);
    assert_eq!(held_by(&queue, 11).await, None, "started before its time to live");
}

/// Both policies together: a waiting one is replaced, a started one is left alone and is no obstacle.
pub async fn until_start_and_replace_go_together(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let both = || until_start(&queue).replace();
    let first = queue.accept(both(), at(0)).await;
    let second = queue.accept(both(), at(0)).await;
    expect_verdicts(&queue, 0, &[(first, Verdict::Replaced { by: second }), (second, Verdict::Run)]).await;
    let third = queue.accept(both(), at(1)).await;
    queue.take(at(1)).await;
    let fourth = queue.accept(both(), at(1)).await;
    assert_eq!(queue.stored(third).await.replaced_by, None);
    expect_verdicts(&queue, 1, &[(fourth, Verdict::Run)]).await;
}

/// Purging a message that holds its key until its start frees the key.
pub async fn purge_releases_keys_held_until_the_start(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    for message in [until_start(&queue), until_start(&queue).delay(secs(5))] {
        let id = queue.accept(message, at(0)).await;
        let place = queue.place(id).await.expect("a live message");
        queue.broker.purge(&queue.name, place, 10).await.expect("purge");
        assert_eq!(held_by(&queue, 0).await, None, "{place:?}");
    }
}

/// Whoever finds a message sees the key that it holds, and none that it does not hold.
pub async fn held_key_is_found(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let plain = queue.accept(queue.message().priority(9), at(0)).await;
    let odd = "task: a key, with \"quotes\" and ünïcode";
    let holder = queue.accept(queue.message().unique(odd).delay(secs(5)), at(0)).await;
    assert_eq!(queue.stored(plain).await.unique_key, None);
    let (token, _) = queue.take(at(0)).await;
    queue.end(token, plain, Settle::Ack, at(0)).await;
    assert_eq!(queue.stored(holder).await.unique_key.as_deref(), Some(odd), "delayed");
    queue.maintain(10, at(5)).await;
    assert_eq!(queue.stored(holder).await.unique_key.as_deref(), Some(odd), "ready");
    let (token, _) = queue.take(at(5)).await;
    assert_eq!(queue.stored(holder).await.unique_key.as_deref(), Some(odd), "leased");
    queue.end(token, holder, dead_letter(), at(5)).await;
    assert_eq!(queue.stored(holder).await.unique_key, None, "dead");
}
