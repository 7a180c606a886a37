//! Promise 17, and the parts of 4, 7 and 15 that belong to it: messages are sorted by slot kind once.

use std::time::Duration;

use lovage_core::{
    Cancelled, Depth, Expires, Hint, Place, Settle, Settled, SlotKind, SlotWants, TaskId, Verdict,
};

use super::BrokerBed;
use super::hints::first_woken;
use super::support::{Batch, Queue, at, at_millis, dead_letter, give_back, instant, next_hint, retry, secs};

use SlotKind::{Async, Blocking};

/// Up to `count` messages of one kind, and of those that no worker has sorted.
fn only(kind: SlotKind, count: usize) -> SlotWants {
    let mut want = SlotWants { total: count, ..SlotWants::NONE };
    *want.get_mut(kind) = count;
    want
}

async fn reserve(queue: &Queue, want: SlotWants, second: u64) -> Batch {
    queue.reserve_wanting(want, true, at(second)).await
}

async fn got(queue: &Queue, want: SlotWants, second: u64) -> Vec<TaskId> {
    reserve(queue, want, second).await.ids()
}

/// Neither its counters nor anything else shows that it was handed out.
pub async fn unstarted_message_is_as_it_was(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message().priority(3).unique("key"), at(0)).await;
    for delivery in 1..=2 {
        let before = queue.stored(id).await;
        // Sorted, then returned to its place, then sorted anew.
        for (want, kept_for, kind) in
            [(Async, None, Blocking), (Blocking, Some(Blocking), Blocking), (Blocking, Some(Blocking), Async)]
        {
            let batch = reserve(&queue, only(want, 1), 1).await;
            let found = &batch.reserved.deliveries[0];
            assert_eq!((found.delivery, found.attempt, found.kind), (delivery, delivery - 1, kept_for));
            queue.return_unstarted(&batch, kind, at(1)).await;
            assert_eq!(queue.stored(id).await, before);
        }
        let (token, found) = queue.take(at(1)).await;
        assert_eq!((found.delivery, found.kind), (delivery, Some(Async)));
        queue.end(token, id, retry(Duration::ZERO), at(1)).await;
    }
}

/// A reservation that is returned as a whole ends: its lease is not reclaimed.
pub async fn unstarted_message_loses_no_lease(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    queue.maintain(10, at(0)).await;
    queue.sort(1, Blocking, at(0)).await;
    assert_eq!(queue.pass(0, 60).await, 0, "nothing is leased");
    assert_eq!(queue.stored(id).await.losses, 0);
}

/// A kept message is handed out only to reservations that want its kind.
pub async fn unstarted_message_is_for_its_kind_alone(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(4, at(0)).await;
    queue.sort(1, Blocking, at(0)).await;
    queue.sort(1, Async, at(0)).await;
    assert_eq!(got(&queue, SlotWants { total: 1, ..SlotWants::NONE }, 0).await, ids[2..3], "unsorted");
    assert_eq!(got(&queue, only(Async, 10), 0).await, [ids[1], ids[3]]);
    assert_eq!(got(&queue, only(Async, 10), 0).await, []);
    assert_eq!(got(&queue, only(Blocking, 10), 0).await, ids[..1]);
}

/// A reservation takes at most as many of each kind as it wants, and never more than in all.
pub async fn each_kind_has_its_own_maximum(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(12, at(0)).await;
    queue.sort(5, Blocking, at(0)).await;
    queue.sort(5, Async, at(0)).await;
    let want = SlotWants { total: 5, asynchronous: 3, blocking: 1 };
    let mut taken = got(&queue, want, 0).await;
    taken.sort_unstable();
    let mut expected = [ids[0], ids[5], ids[6], ids[7], ids[10]];
    expected.sort_unstable();
    assert_eq!(taken, expected);
    let want = SlotWants { total: 2, asynchronous: 2, blocking: 2 };
    assert_eq!(got(&queue, want, 0).await.len(), 2);
    assert_eq!(got(&queue, SlotWants::any(100), 0).await.len(), 5, "the rest");
}

/// Within a priority a kept message comes first: it was first.
pub async fn kept_messages_precede_unsorted_ones(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(6, at(0)).await;
    queue.sort(3, Blocking, at(0)).await;
    assert_eq!(queue.peek(Place::Ready, 2).await, ids);
    assert_eq!(got(&queue, SlotWants::any(6), 0).await, ids);
}

/// Whatever is kept, a higher priority is first.
pub async fn higher_priority_precedes_kept_messages(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let low = queue.fill(4, at(0)).await;
    queue.sort(2, Async, at(0)).await;
    let high = queue.accept(queue.message().priority(9), at(1)).await;
    let middle = queue.accept(queue.message().priority(5), at(1)).await;
    assert_eq!(queue.sort(1, Blocking, at(1)).await, [high]);
    assert_eq!(queue.peek(Place::Ready, 1).await, [high, middle, low[0], low[1], low[2], low[3]]);
    assert_eq!(got(&queue, SlotWants::any(1), 1).await, [high]);
    assert_eq!(got(&queue, SlotWants::any(2), 1).await, [middle, low[0]]);
    assert_eq!(got(&queue, SlotWants::any(9), 1).await, low[1..]);
}

/// Messages of one kind stay in the order in which they were sorted, also in several steps.
pub async fn kept_messages_keep_their_order(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(20, at(0)).await;
    for _ in 0..4 {
        queue.sort(4, Blocking, at(0)).await;
    }
    let mut taken = got(&queue, only(Blocking, 3), 0).await;
    taken.extend(got(&queue, only(Blocking, 17), 0).await);
    assert_eq!(taken, ids);
}

/// A worker whose tasks are all of one kind does not sort: the messages are the next ones for everybody.
pub async fn message_may_stay_unsorted(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(4, at(0)).await;
    let idle = Queue::join(bed).await;
    let batch = reserve(&queue, only(Async, 2), 0).await;
    let rest = reserve(&queue, only(Async, 2), 0).await;
    assert_eq!(got(&idle, only(Blocking, 1), 0).await, []);
    queue.return_unstarted(&rest, None, at(0)).await;
    queue.return_unstarted(&batch, None, at(0)).await;
    assert_eq!(next_hint(&*idle.broker, "a message").await, Hint::Work(queue.name.clone()));
    assert_eq!(queue.peek(Place::Ready, 3).await, ids);
    let again = reserve(&queue, only(Blocking, 3), 0).await;
    assert_eq!(again.ids(), ids[..3]);
    assert!(again.reserved.deliveries.iter().all(|found| found.kind.is_none() && found.delivery == 1));
}

/// A message that was kept for the kind already is the next one of its kind.
pub async fn return_of_a_kept_message_goes_to_its_place(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(6, at(0)).await;
    queue.sort(4, Blocking, at(0)).await;
    let batch = reserve(&queue, only(Blocking, 2), 0).await;
    queue.return_unstarted(&batch, Blocking, at(0)).await;
    queue.sort(2, Blocking, at(0)).await;
    assert_eq!(queue.peek(Place::Ready, 4).await, ids);
    assert_eq!(got(&queue, only(Blocking, 6), 0).await, ids);
}

/// After a retry, a give-back and a lost lease it is not known any more.
pub async fn other_outcomes_forget_the_kind(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    for how in [give_back(Duration::ZERO), retry(Duration::ZERO), give_back(secs(1)), dead_letter()] {
        queue.sort(1, Blocking, at(0)).await;
        let batch = reserve(&queue, only(Blocking, 1), 0).await;
        queue.end(batch.token, id, how, at(0)).await;
        queue.maintain(10, at(2)).await;
        queue.broker.requeue_dead(&queue.name, &[id], at(2)).await.expect("requeue");
        let batch = reserve(&queue, only(Async, 1), 2).await;
        assert_eq!(batch.reserved.deliveries[0].kind, None);
        queue.end(batch.token, id, give_back(Duration::ZERO), at(2)).await;
    }
    queue.sort(1, Blocking, at(10)).await;
    assert_eq!(queue.lose(10).await.reserved.deliveries[0].kind, Some(Blocking));
    assert_eq!(got(&queue, only(Async, 1), 60).await, [id]);
}

/// A worker of another release may say another kind.
pub async fn kind_may_change(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    queue.sort(1, Blocking, at(0)).await;
    let batch = reserve(&queue, only(Blocking, 1), 0).await;
    queue.return_unstarted(&batch, Async, at(0)).await;
    assert_eq!(got(&queue, only(Blocking, 1), 0).await, []);
    assert_eq!(got(&queue, only(Async, 1), 0).await, [id]);
}

/// Each message is sorted once, and then what is behind it is reached.
pub async fn sorting_ends(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.fill(300, at(0)).await;
    let last = queue.accept(queue.message(), at(0)).await;
    let mut rounds = 0;
    let found = loop {
        let batch = reserve(&queue, only(Async, 64), 0).await;
        if batch.ids().contains(&last) {
            break batch.ids().len();
        }
        queue.return_unstarted(&batch, Blocking, at(0)).await;
        rounds += 1;
        assert!(rounds < 10, "each message is sorted once");
    };
    assert_eq!((rounds, found), (4, 45));
}

/// They are counted, shown and purged as ready, and found as before.
pub async fn kept_messages_are_ready_everywhere(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(5, at(0)).await;
    queue.sort(2, Blocking, at(1)).await;
    queue.sort(1, Async, at(1)).await;
    let depth = async || queue.broker.depth(&queue.name, at(1)).await.expect("depth");
    assert_eq!(depth().await, Depth { ready: 5, oldest_ready: Some(instant(0)), ..Depth::default() });
    for id in &ids {
        assert_eq!(queue.place(*id).await, Some(Place::Ready));
    }
    let found = queue.broker.find_all(&queue.name, &ids).await.expect("find_all");
    assert!(found.len() == 5 && found.iter().all(|stored| stored.place == Place::Ready));
    assert!(!queue.is_gone(ids[0]).await, "it can be waited for");
    assert!(matches!(
        queue.publish_one(&queue.message().id(ids[0]).build(), at(1)).await,
        lovage_core::Published::Duplicate { .. }
    ));
    let purge = async |limit| queue.broker.purge(&queue.name, Place::Ready, limit).await.expect("purge");
    assert_eq!(purge(4).await, 4);
    assert_eq!(depth().await.ready, 1);
    assert_eq!(purge(4).await, 1);
    assert_eq!(depth().await, Depth::default());
    assert_eq!(got(&queue, SlotWants::any(10), 1).await, []);
    assert_eq!(queue.find(ids[0]).await, None);
}

/// What is kept for another kind is not before a kept message; all of it is before one that is not sorted yet.
pub async fn kept_messages_are_ahead(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(5, at(0)).await;
    queue.sort(2, Blocking, at(0)).await;
    queue.sort(2, Async, at(0)).await;
    let high = queue.accept(queue.message().priority(5), at(0)).await;
    for (id, count) in [(high, 0), (ids[0], 1), (ids[1], 2), (ids[2], 1), (ids[3], 2), (ids[4], 5)] {
        assert_eq!(queue.broker.ahead(&queue.name, id).await.expect("ahead"), Some(count));
    }
    queue.sort(1, Async, at(0)).await;
    for (id, count) in [(high, 0), (ids[0], 0), (ids[2], 1), (ids[4], 5)] {
        assert_eq!(queue.broker.ahead(&queue.name, id).await.expect("ahead"), Some(count));
    }
}

/// It is delivered as revoked, to a worker of its kind.
pub async fn kept_message_is_cancelled(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(2, at(0)).await;
    queue.sort(2, Blocking, at(0)).await;
    let cancel = queue.broker.cancel(ids[1], None, at(0)).await.expect("cancel");
    assert_eq!(cancel, Cancelled::Waiting);
    let batch = reserve(&queue, only(Blocking, 2), 0).await;
    let verdicts: Vec<Verdict> = batch.reserved.deliveries.iter().map(|delivery| delivery.verdict).collect();
    assert_eq!(verdicts, [Verdict::Run, Verdict::Revoked]);
}

/// It expires as any other.
pub async fn kept_message_expires(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let envelope =
        lovage_core::Envelope { expires: Some(Expires::After(secs(10))), ..lovage_testkit::envelope() };
    queue.accept(queue.message().envelope(&envelope), at(0)).await;
    queue.sort(1, Async, at(1)).await;
    let (token, delivery) = queue.take(at(20)).await;
    assert_eq!(delivery.verdict, Verdict::Expired);
    queue.end(token, delivery.id, Settle::Ack, at(20)).await;
}

/// A newer message takes its unique key, and its end frees no key of another.
pub async fn kept_message_is_replaced(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let first = queue.accept(queue.message().unique("key"), at(0)).await;
    queue.sort(1, Blocking, at(0)).await;
    let second = queue.accept(queue.message().unique("key").replace(), at(1)).await;
    let batch = reserve(&queue, only(Blocking, 1), 1).await;
    assert_eq!(batch.ids(), [first]);
    assert_eq!(batch.reserved.deliveries[0].verdict, Verdict::Replaced { by: second });
    queue.end(batch.token, first, Settle::Ack, at(1)).await;
    assert_eq!(got(&queue, only(Async, 5), 1).await, [second]);
}

/// Lost leases count as those of any other message.
pub async fn kept_message_is_poisoned(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.accept(queue.message(), at(0)).await;
    for round in 0..lovage_core::limits::POISON_LOSSES {
        let from = u64::from(round) * 40;
        let batch = queue.reserve(1, at(from)).await;
        queue.return_unstarted(&batch, Blocking, at(from)).await;
        assert_eq!(queue.lose(from).await.reserved.deliveries[0].verdict, Verdict::Run);
    }
    let (_, delivery) = queue.take(at(400)).await;
    assert_eq!(delivery.verdict, Verdict::Poisoned);
}

/// What a crashed worker held comes back, not sorted any more.
pub async fn lost_lease_of_a_kept_message_is_reclaimed(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(4, at(0)).await;
    queue.maintain(10, at(0)).await;
    queue.sort(2, Blocking, at(0)).await;
    assert_eq!(queue.reserve(4, at(0)).await.ids(), ids);
    assert_eq!(queue.pass(0, 40).await, 4);
    let (mut ids, mut back) = (ids, got(&queue, only(Async, 4), 40).await);
    // Their order is that of their ids on brokers that forget the order of a reservation.
    ids.sort_unstable();
    back.sort_unstable();
    assert_eq!(back, ids);
}

/// A suspect that was returned is not taken by workers that do not want its kind, and is no obstacle for them.
pub async fn kept_suspect_is_for_its_kind_alone(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let suspect = queue.accept(queue.message(), at(0)).await;
    queue.make_suspects(0).await;
    let plain = queue.accept(queue.message(), at(80)).await;
    let batch = reserve(&queue, only(Async, 1), 80).await;
    assert_eq!(batch.ids(), [suspect]);
    queue.return_unstarted(&batch, Blocking, at(80)).await;
    assert_eq!(queue.peek(Place::Ready, 5).await, [suspect, plain]);
    assert_eq!(got(&queue, only(Async, 5), 80).await, [plain]);
    assert_eq!(queue.reserve_wanting(only(Blocking, 5), false, at(80)).await.ids(), []);
    let batch = reserve(&queue, only(Blocking, 5), 80).await;
    assert_eq!((batch.ids(), batch.reserved.deliveries[0].losses), (vec![suspect], 2));
}

/// A message that was not started has cost no token.
pub async fn unstarted_message_gives_its_token_back(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let limit = "1/m burst 2".parse().expect("a rate");
    queue.broker.limit(&queue.name, Some(limit)).await.expect("limit");
    let ids = queue.fill(5, at(0)).await;
    let batch = queue.reserve(5, at(1)).await;
    assert_eq!(batch.ids(), ids[..2]);
    assert_eq!(
        queue.reserve(5, at(1)).await.reserved.next_check,
        Some(secs(30)),
        "no token before the lease ends"
    );
    queue.return_unstarted(&batch, Blocking, at(1)).await;
    assert_eq!(got(&queue, only(Async, 1), 1).await, ids[2..3]);
    assert_eq!(got(&queue, only(Blocking, 5), 1).await, ids[..1]);
    let empty = reserve(&queue, SlotWants::any(5), 1).await.reserved;
    assert_eq!((empty.deliveries, empty.next_check), (Vec::new(), Some(secs(30))));
    assert_eq!(got(&queue, SlotWants::any(5), 61).await, ids[1..2]);
}

/// When a token comes back, an idle handle hears of what is ready.
pub async fn returned_token_wakes_an_idle_handle(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let limit = "1/h".parse().expect("a rate");
    queue.broker.limit(&queue.name, Some(limit)).await.expect("limit");
    let ids = queue.fill(2, at(0)).await;
    let batch = reserve(&queue, only(Async, 1), 1).await;
    let other = Queue::join(bed).await;
    assert_eq!(got(&other, only(Async, 1), 1).await, []);
    queue.return_unstarted(&batch, Blocking, at(1)).await;
    assert_eq!(next_hint(&*other.broker, "a token").await, Hint::Work(other.name.clone()));
    assert_eq!(got(&other, only(Async, 1), 1).await, ids[1..]);
}

/// Kept messages wait for tokens, too, and the handle that finds none is told when to look again.
pub async fn kept_messages_share_the_rate_limit(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(3, at(0)).await;
    queue.sort(3, Blocking, at(0)).await;
    let limit = "10/s burst 1".parse().expect("a rate");
    queue.broker.limit(&queue.name, Some(limit)).await.expect("limit");
    let got = async |millis| {
        let reserved = queue.reserve_wanting(only(Blocking, 3), true, at_millis(millis)).await;
        (reserved.ids(), reserved.reserved.next_check)
    };
    assert_eq!(got(1_000).await, (ids[..1].to_vec(), None));
    assert_eq!(got(1_000).await, (Vec::new(), Some(Duration::from_millis(100))));
    assert_eq!(got(1_100).await, (ids[1..2].to_vec(), None));
}

/// Of several idle handles one that wants the kind is woken.
pub async fn return_wakes_a_handle_of_its_kind(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let batch = queue.reserve(1, at(0)).await;
    let (asynchronous, blocking) = (Queue::join(bed).await, Queue::join(bed).await);
    assert_eq!(got(&asynchronous, only(Async, 1), 0).await, []);
    assert_eq!(got(&blocking, only(Blocking, 1), 1).await, []);
    queue.return_unstarted(&batch, Blocking, at(1)).await;
    assert_eq!(next_hint(&*blocking.broker, "a blocking message").await, Hint::Work(queue.name.clone()));
    assert_eq!(got(&blocking, only(Blocking, 1), 1).await, [id]);
}

/// A handle that does not want the kind sleeps on.
pub async fn return_wakes_no_handle_of_another_kind(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.fill(1, at(0)).await;
    let batch = queue.reserve(1, at(0)).await;
    let idle = Queue::join(bed).await;
    assert_eq!(got(&idle, only(Async, 1), 0).await, []);
    queue.return_unstarted(&batch, Blocking, at(1)).await;
    // Hints come in order: had it been woken for the message, it would hear of that first.
    let later = idle.other("later");
    later.expect_nothing(at(2)).await;
    queue.other("later").fill(1, at(2)).await;
    assert_eq!(next_hint(&*idle.broker, "work in the other queue").await, Hint::Work(later.name.clone()));
}

/// A reservation that finds nothing of its own passes on what is kept for another kind.
pub async fn reservation_wakes_a_handle_of_another_kind(bed: &dyn BrokerBed) {
    let (queue, one, two) = (Queue::join(bed).await, Queue::join(bed).await, Queue::join(bed).await);
    let id = queue.accept(queue.message(), at(0)).await;
    let batch = reserve(&queue, only(Async, 1), 0).await;
    assert_eq!(got(&one, only(Blocking, 1), 0).await, []);
    assert_eq!(got(&two, only(Blocking, 1), 0).await, []);
    queue.return_unstarted(&batch, Blocking, at(1)).await;
    let (woken, asleep) = first_woken(one, two).await;
    // The blocking slot of the one that was woken is taken meanwhile.
    assert_eq!(got(&woken, only(Async, 1), 1).await, []);
    assert_eq!(next_hint(&*asleep.broker, "what is left").await, Hint::Work(queue.name.clone()));
    assert_eq!(got(&asleep, only(Blocking, 1), 1).await, [id]);
}

/// So does one that finds something.
pub async fn reservation_that_finds_some_wakes_for_the_rest(bed: &dyn BrokerBed) {
    let (queue, one, two) = (Queue::join(bed).await, Queue::join(bed).await, Queue::join(bed).await);
    let ids = queue.fill(2, at(0)).await;
    let batch = reserve(&queue, only(Async, 2), 0).await;
    assert_eq!(got(&one, only(Blocking, 1), 0).await, []);
    assert_eq!(got(&two, only(Blocking, 1), 0).await, []);
    queue.return_unstarted(&batch, Blocking, at(1)).await;
    let (woken, asleep) = first_woken(one, two).await;
    assert_eq!(got(&woken, only(Blocking, 1), 1).await, ids[..1]);
    assert_eq!(next_hint(&*asleep.broker, "what is left").await, Hint::Work(queue.name.clone()));
    assert_eq!(got(&asleep, only(Blocking, 1), 1).await, ids[1..]);
}

/// Nobody knows the kind of a new message: whoever is idle is woken.
pub async fn unsorted_message_wakes_any_handle(bed: &dyn BrokerBed) {
    for kind in SlotKind::ALL {
        let idle = Queue::join(bed).await.other(kind.as_str());
        assert_eq!(got(&idle, only(kind, 1), 0).await, []);
        let id = idle.accept(idle.message(), at(1)).await;
        assert_eq!(next_hint(&*idle.broker, "a message").await, Hint::Work(idle.name.clone()));
        assert_eq!(got(&idle, only(kind, 1), 1).await, [id]);
    }
}

/// A handle that was woken and has no free slot hands its hint to the next one.
pub async fn reservation_of_nothing_passes_a_hint_on(bed: &dyn BrokerBed) {
    let (one, two) = (Queue::join(bed).await, Queue::join(bed).await);
    one.expect_nothing(at(0)).await;
    two.expect_nothing(at(0)).await;
    let id = Queue::join(bed).await.fill(1, at(1)).await[0];
    let (busy, idle) = first_woken(one, two).await;
    assert_eq!(got(&busy, SlotWants::NONE, 1).await, []);
    assert_eq!(next_hint(&*idle.broker, "work").await, Hint::Work(idle.name.clone()));
    let (_, delivery) = idle.take(at(1)).await;
    assert_eq!((delivery.id, delivery.delivery), (id, 1));
}

/// A handle that wants nothing is not registered as idle.
pub async fn reservation_of_nothing_is_not_idle(bed: &dyn BrokerBed) {
    let (busy, idle) = (Queue::join(bed).await, Queue::join(bed).await);
    busy.expect_nothing(at(0)).await;
    assert_eq!(got(&busy, SlotWants::NONE, 0).await, []);
    idle.expect_nothing(at(0)).await;
    Queue::join(bed).await.fill(1, at(1)).await;
    assert_eq!(next_hint(&*idle.broker, "work").await, Hint::Work(idle.name.clone()));
}

/// Two handles that do not ask for suspects leave them alone, and each other.
pub async fn idle_handles_with_suspects_do_not_wake_each_other(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.fill(2, at(0)).await;
    // A reservation gets one suspect at most.
    for from in [0, 40, 80, 120] {
        queue.lose(from).await;
    }
    for kind in SlotKind::ALL {
        let batch = reserve(&queue, SlotWants { total: 1, ..SlotWants::NONE }, 160).await;
        assert!(batch.reserved.deliveries[0].losses >= 2, "a suspect");
        queue.return_unstarted(&batch, kind, at(160)).await;
    }
    let (one, two) = (Queue::join(bed).await, Queue::join(bed).await);
    for _ in 0..2 {
        assert_eq!(one.reserve_wanting(only(Async, 1), false, at(160)).await.ids(), []);
        assert_eq!(two.reserve_wanting(only(Blocking, 1), false, at(160)).await.ids(), []);
    }
    // Hints come in order: had one been woken, it would hear of that first.
    for (queue, name) in [(&one, "one"), (&two, "two")] {
        let later = queue.other(name);
        later.expect_nothing(at(161)).await;
        later.fill(1, at(161)).await;
        assert_eq!(next_hint(&*queue.broker, "another queue").await, Hint::Work(later.name));
    }
}

/// As every settlement under a token that is not valid.
pub async fn return_under_a_lost_lease_changes_nothing(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let id = queue.accept(queue.message(), at(0)).await;
    let old = queue.lose(0).await;
    let unstarted = Settle::Unstarted { kind: Some(Blocking), kept_for: None };
    assert_eq!(queue.settle(old.token, id, unstarted.clone(), at(40)).await, Settled::LeaseLost);
    assert_eq!(got(&queue, only(Async, 1), 40).await, [id]);
    assert_eq!(queue.settle(super::support::token(), id, unstarted, at(40)).await, Settled::LeaseLost);
}

/// A paused queue hands out nothing of any kind, and takes messages back.
pub async fn paused_queue_keeps_kept_messages(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let ids = queue.fill(2, at(0)).await;
    queue.sort(1, Async, at(0)).await;
    let batch = reserve(&queue, SlotWants { total: 1, ..SlotWants::NONE }, 0).await;
    queue.broker.pause(&queue.name).await.expect("pause");
    queue.return_unstarted(&batch, Blocking, at(0)).await;
    queue.expect_nothing(at(1)).await;
    queue.broker.resume(&queue.name).await.expect("resume");
    assert_eq!(next_hint(&*queue.broker, "the end of the pause").await, Hint::Work(queue.name.clone()));
    assert_eq!(got(&queue, only(Async, 2), 1).await, ids[..1]);
    assert_eq!(got(&queue, only(Blocking, 2), 1).await, ids[1..]);
}
