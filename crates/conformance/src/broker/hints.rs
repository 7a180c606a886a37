//! Promise 10, second part: hints wake idle handles, one for one message.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use lovage_core::Hint;

use super::BrokerBed;
use super::support::{Queue, at, next_hint, retry, secs, soon};

/// The hint of work in this queue.
fn work(queue: &Queue) -> Hint {
    Hint::Work(queue.name.clone())
}

/// An idle handle is woken by a publish of another.
pub async fn publish_wakes_an_idle_handle(bed: &dyn BrokerBed) {
    let idle = Queue::join(bed).await;
    let publisher = Queue::join(bed).await;
    idle.expect_nothing(at(0)).await;
    let id = publisher.accept(publisher.message(), at(1)).await;
    assert_eq!(next_hint(&*idle.broker, "work").await, work(&idle));
    assert_eq!(idle.take(at(1)).await.1.id, id);
}

/// A worker that publishes for itself is woken like any other.
pub async fn handle_is_woken_by_its_own_publish(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.expect_nothing(at(0)).await;
    queue.fill(1, at(1)).await;
    assert_eq!(next_hint(&*queue.broker, "work").await, work(&queue));
}

/// Waits for the first of two handles that is woken; answers it and the other one.
pub(super) async fn first_woken(one: Queue, two: Queue) -> (Queue, Queue) {
    let first_is_woken = {
        let mut hint_one = pin!(next_hint(&*one.broker, "work for the first"));
        let mut hint_two = pin!(next_hint(&*two.broker, "work for the second"));
        let race = poll_fn(|cx| {
            if hint_one.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            hint_two.as_mut().poll(cx).map(|_| false)
        });
        soon("a wake-up", race).await
    };
    if first_is_woken { (one, two) } else { (two, one) }
}

/// One message wakes one of several idle handles, and the other sleeps on.
pub async fn one_message_wakes_one_handle(bed: &dyn BrokerBed) {
    let (one, two) = (Queue::join(bed).await, Queue::join(bed).await);
    one.expect_nothing(at(0)).await;
    two.expect_nothing(at(0)).await;
    let publisher = Queue::join(bed).await;
    publisher.fill(1, at(1)).await;
    let (woken, asleep) = first_woken(one, two).await;
    woken.take(at(1)).await;
    // Hints come in order: had the other been woken for the message, it would hear of that first.
    let later = asleep.other("later");
    later.expect_nothing(at(2)).await;
    publisher.other("later").fill(1, at(2)).await;
    assert_eq!(next_hint(&*asleep.broker, "work in the other queue").await, work(&later));
}

/// While something is left, each handle that finds work wakes the next.
pub async fn woken_handle_wakes_the_next(bed: &dyn BrokerBed) {
    let (one, two) = (Queue::join(bed).await, Queue::join(bed).await);
    one.expect_nothing(at(0)).await;
    two.expect_nothing(at(0)).await;
    Queue::join(bed).await.fill(2, at(1)).await;
    let (woken, next) = first_woken(one, two).await;
    assert_eq!(woken.reserve(1, at(1)).await.ids().len(), 1);
    assert_eq!(next_hint(&*next.broker, "what is left").await, work(&next));
    assert_eq!(next.reserve(1, at(1)).await.ids().len(), 1);
}

/// Resuming wakes idle handles.
pub async fn resume_wakes_an_idle_handle(bed: &dyn BrokerBed) {
    let idle = Queue::join(bed).await;
    let other = Queue::join(bed).await;
    other.broker.pause(&other.name).await.expect("pause");
    other.fill(1, at(0)).await;
    idle.expect_nothing(at(0)).await;
    other.broker.resume(&other.name).await.expect("resume");
    assert_eq!(next_hint(&*idle.broker, "work").await, work(&idle));
}

/// A hint that nobody waits for is kept, also when a wait was given up.
pub async fn hint_survives_a_wait_that_was_given_up(bed: &dyn BrokerBed) {
    let idle = Queue::join(bed).await;
    idle.expect_nothing(at(0)).await;
    {
        let mut given_up = idle.broker.hint();
        poll_fn(|cx| Poll::Ready(given_up.as_mut().poll(cx))).await.is_ready();
    }
    Queue::join(bed).await.fill(1, at(1)).await;
    assert_eq!(next_hint(&*idle.broker, "work").await, work(&idle));
}

/// Messages that maintenance makes ready wake idle handles.
pub async fn promotion_wakes_an_idle_handle(bed: &dyn BrokerBed) {
    let idle = Queue::join(bed).await;
    let other = Queue::join(bed).await;
    other.accept(other.message().delay(secs(10)), at(0)).await;
    idle.expect_nothing(at(0)).await;
    assert_eq!(other.maintain(10, at(11)).await.promoted, 1);
    assert_eq!(next_hint(&*idle.broker, "work").await, work(&idle));
}

/// Messages of a lost lease wake idle handles.
pub async fn reclaim_wakes_an_idle_handle(bed: &dyn BrokerBed) {
    let idle = Queue::join(bed).await;
    let other = Queue::join(bed).await;
    other.fill(1, at(0)).await;
    other.maintain(10, at(0)).await;
    other.take(at(0)).await;
    idle.expect_nothing(at(20)).await;
    assert_eq!(other.pass(10, 40).await, 1);
    assert_eq!(next_hint(&*idle.broker, "work").await, work(&idle));
}

/// A message that is retried or cancelled becomes ready, and idle handles hear of it.
pub async fn retry_and_cancel_wake_an_idle_handle(bed: &dyn BrokerBed) {
    let idle = Queue::join(bed).await;
    let other = Queue::join(bed).await;
    let id = other.accept(other.message(), at(0)).await;
    let (token, _) = other.take(at(0)).await;
    idle.expect_nothing(at(0)).await;
    other.end(token, id, retry(secs(0)), at(1)).await;
    assert_eq!(next_hint(&*idle.broker, "the retry").await, work(&idle));
    let (token, _) = idle.take(at(1)).await;
    idle.end(token, id, retry(secs(500)), at(1)).await;
    idle.expect_nothing(at(2)).await;
    other.broker.cancel(id, None, at(2)).await.expect("cancel");
    assert_eq!(next_hint(&*idle.broker, "the cancelled message").await, work(&idle));
}

/// An idle handle hears of a message that is due earlier than what it knows, and is then told when.
pub async fn earlier_due_time_wakes_an_idle_handle(bed: &dyn BrokerBed) {
    let idle = Queue::join(bed).await;
    assert_eq!(idle.reserve(1, at(0)).await.reserved.next_check, None, "nothing is known");
    let other = Queue::join(bed).await;
    other.accept(other.message().delay(secs(10)), at(1)).await;
    assert_eq!(next_hint(&*idle.broker, "something to wait for").await, work(&idle));
    let check = idle.reserve(1, at(1)).await.reserved.next_check.expect("it is told when");
    assert!(check <= secs(10), "due in 10 s, told {check:?}");
}
