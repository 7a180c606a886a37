//! Promise 15: a rate limit counts hand-outs, of all workers together.

use std::time::Duration;

use lovage_core::{Depth, Hint, RateLimit};

use super::BrokerBed;
use super::support::{Queue, at, at_millis, dead_letter, give_back, instant, next_hint, secs};

async fn limited(bed: &dyn BrokerBed, limit: &str) -> Queue {
    let queue = Queue::join(bed).await;
    set(&queue, Some(limit)).await;
    queue
}

async fn set(queue: &Queue, limit: Option<&str>) {
    let limit = limit.map(|text| text.parse::<RateLimit>().expect("a rate"));
    queue.broker.limit(&queue.name, limit).await.expect("limit");
}

/// How many are handed out at this millisecond, and when to look again.
async fn got(queue: &Queue, max: usize, millis: u64) -> (usize, Option<Duration>) {
    let reserved = queue.reserve(max, at_millis(millis)).await.reserved;
    (reserved.deliveries.len(), reserved.next_check)
}

/// After the burst there is one each so often, and a reservation says when the next one is.
pub async fn tokens_come_back_evenly(bed: &dyn BrokerBed) {
    let queue = limited(bed, "10/s burst 3").await;
    queue.fill(100, at(0)).await;
    assert_eq!(got(&queue, 10, 1_000).await, (3, None));
    assert_eq!(got(&queue, 10, 1_000).await, (0, Some(Duration::from_millis(100))));
    assert_eq!(got(&queue, 10, 1_040).await, (0, Some(Duration::from_millis(60))));
    assert_eq!(got(&queue, 10, 1_100).await, (1, None));
    assert_eq!(got(&queue, 10, 1_350).await, (2, None));
    assert_eq!(got(&queue, 10, 1_399).await, (0, Some(Duration::from_millis(1))));
    assert_eq!(got(&queue, 10, 60_000).await, (3, None), "the bucket holds no more than the burst");
    assert_eq!(got(&queue, 1, 60_100).await, (1, None), "a maximum below the tokens is kept");
}

/// Several participants together get what one would.
pub async fn limit_is_of_all_workers_together(bed: &dyn BrokerBed) {
    let one = limited(bed, "10/s burst 1").await;
    let two = Queue::join(bed).await;
    one.fill(1_000, at(0)).await;
    let mut taken = 0;
    for step in 0..1_000 {
        let (queue, other) = if step % 2 == 0 { (&one, &two) } else { (&two, &one) };
        taken += got(queue, 10, 1_000 + step * 10).await.0 + got(other, 10, 1_000 + step * 10).await.0;
    }
    assert_eq!(taken, 100, "ten seconds of ten each");
}

/// Nor do they get more when they ask at the same time.
pub async fn concurrent_reservations_share_the_tokens(bed: &dyn BrokerBed) {
    let queue = limited(bed, "10/s burst 5").await;
    queue.fill(100, at(0)).await;
    let mut asked = Vec::new();
    for _ in 0..8 {
        let queue = Queue::join(bed).await;
        asked.push(tokio::spawn(async move { got(&queue, 2, 1_000).await.0 }));
    }
    let mut taken = 0;
    for one in asked {
        taken += one.await.expect("a reservation");
    }
    assert_eq!(taken, 5);
}

/// What was handed out was handed out, whatever becomes of it.
pub async fn what_is_given_back_has_taken_its_token(bed: &dyn BrokerBed) {
    let queue = limited(bed, "1/m").await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(1)).await;
    queue.end(token, id, give_back(Duration::ZERO), at(1)).await;
    assert_eq!(got(&queue, 1, 1_000).await, (0, Some(secs(60))));
    assert_eq!(got(&queue, 1, 61_000).await, (1, None));
}

/// Nobody is hinted for what may not be handed out yet; whoever looks is told when to look again.
pub async fn no_hint_before_there_is_a_token(bed: &dyn BrokerBed) {
    let queue = limited(bed, "1/m").await;
    let id = queue.accept(queue.message(), at(0)).await;
    let (token, _) = queue.take(at(1)).await;
    queue.end(token, id, dead_letter(), at(1)).await;
    let other = Queue::join(bed).await;
    // Nothing is ready: it sleeps until something comes.
    assert_eq!(got(&other, 1, 2_000).await, (0, None));
    queue.fill(1, at(3)).await;
    // Somebody has to keep the time, and that one is told when.
    assert_eq!(next_hint(&*other.broker, "a hint to keep the time").await, Hint::Work(other.name.clone()));
    assert_eq!(got(&other, 1, 3_000).await, (0, Some(secs(58))));
    // It is kept now: no further message hints anybody.
    queue.fill(5, at(4)).await;
    let later = other.other("later");
    assert_eq!(got(&later, 1, 4_000).await.0, 0);
    later.fill(1, at(5)).await;
    assert_eq!(next_hint(&*other.broker, "the hint of a later queue").await, Hint::Work(later.name.clone()));
    assert_eq!(got(&other, 1, 61_000).await, (1, None));
}

/// A limit is kept until it is changed, is of one queue, and is shown.
pub async fn limit_is_changed_and_lifted(bed: &dyn BrokerBed) {
    let queue = limited(bed, "1/h").await;
    let other = queue.other("other");
    queue.fill(10, at(0)).await;
    other.fill(10, at(0)).await;
    let depth = async |queue: &Queue| queue.broker.depth(&queue.name, at(0)).await.expect("depth");
    let limit = depth(&queue).await.limit.map(|limit| limit.to_string());
    assert_eq!(limit.as_deref(), Some("1/h"));
    assert_eq!(depth(&other).await, Depth { ready: 10, oldest_ready: Some(instant(0)), ..Depth::default() });
    assert_eq!(got(&queue, 10, 1_000).await.0, 1);
    assert_eq!(got(&other, 10, 1_000).await.0, 10);
    set(&queue, Some("2/s burst 2")).await;
    assert_eq!(got(&queue, 10, 1_000).await, (2, None), "a new limit begins with a full bucket");
    assert_eq!(got(&queue, 10, 1_000).await, (0, Some(Duration::from_millis(500))));
    set(&queue, None).await;
    assert_eq!(depth(&queue).await.limit, None);
    assert_eq!(got(&queue, 10, 1_000).await.0, 7);
}

/// Lifting a limit wakes who waits for a token.
pub async fn lifting_a_limit_hints(bed: &dyn BrokerBed) {
    let queue = limited(bed, "1/h").await;
    queue.fill(3, at(0)).await;
    assert_eq!(got(&queue, 10, 1_000).await.0, 1);
    assert_eq!(got(&queue, 10, 1_000).await.0, 0);
    set(&queue, None).await;
    assert_eq!(
        next_hint(&*queue.broker, "a hint after the limit was lifted").await,
        Hint::Work(queue.name.clone())
    );
    assert_eq!(got(&queue, 10, 2_000).await.0, 2);
}

/// A clock that was set back does not stop a queue.
pub async fn clock_set_back_keeps_the_rate(bed: &dyn BrokerBed) {
    let queue = limited(bed, "10/s burst 2").await;
    queue.fill(10, at(0)).await;
    assert_eq!(got(&queue, 10, 3_600_000).await.0, 2);
    assert_eq!(got(&queue, 10, 1_000).await, (0, Some(Duration::from_millis(100))));
    assert_eq!(got(&queue, 10, 1_100).await.0, 1);
}
