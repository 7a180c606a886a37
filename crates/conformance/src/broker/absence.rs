//! Promise 12: after an absence live workers get the time to renew first.

use lovage_core::Settle;

use super::BrokerBed;
use super::support::{LEASE, Queue, at, instant, secs};

/// While maintenance goes on, an ended lease is reclaimed without further delay.
pub async fn ended_lease_is_reclaimed_without_delay(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    assert_eq!(queue.pass(0, 40).await, 0);
    queue.fill(2, at(40)).await;
    queue.reserve(2, at(40)).await;
    assert_eq!(queue.pass(50, 69).await, 0);
    assert_eq!(queue.maintain(10, at(71)).await.reclaimed, 2);
}

/// After an absence nothing is reclaimed for one full lease, and who lives renews meanwhile.
pub async fn nothing_is_reclaimed_right_after_an_absence(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    queue.pass(0, 40).await;
    let ids = queue.fill(2, at(40)).await;
    let alive = queue.reserve(1, at(40)).await;
    queue.reserve(1, at(40)).await;
    // The broker was away from 40 to 200; both leases ended at 70.
    assert_eq!(queue.maintain(10, at(200)).await.reclaimed, 0);
    let extended = leases.extend(&queue.name, &[alive.token], LEASE, at(205)).await.expect("extend");
    assert_eq!(extended.lost, [], "a lease that nobody reclaimed can be renewed");
    assert_eq!(queue.pass(210, 229).await, 0);
    assert_eq!(queue.maintain(10, at(231)).await.reclaimed, 1, "who did not renew has lost");
    assert_eq!(queue.take(at(231)).await.1.id, ids[1]);
    queue.end(alive.token, ids[0], Settle::Ack, at(231)).await;
}

/// A pause of less than half a lease is no absence.
pub async fn short_pause_is_no_absence(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.pass(0, 40).await;
    queue.fill(1, at(40)).await;
    queue.take(at(40)).await;
    queue.pass(50, 60).await;
    assert_eq!(queue.maintain(10, at(74)).await.reclaimed, 1);
}

/// Each queue has its own absence.
pub async fn absence_is_of_one_queue(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let away = queue.other("away");
    for watched in [&queue, &away] {
        watched.pass(0, 40).await;
        watched.fill(1, at(40)).await;
        watched.take(at(40)).await;
    }
    assert_eq!(queue.pass(50, 80).await, 1);
    assert_eq!(away.maintain(10, at(80)).await.reclaimed, 0);
    assert_eq!(away.pass(90, 120).await, 1);
}

/// Absence delays reclaiming only: what is due becomes ready.
pub async fn absence_does_not_delay_what_is_due(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.maintain(10, at(0)).await;
    queue.accept(queue.message().delay(secs(10)), at(0)).await;
    assert_eq!(queue.maintain(10, at(500)).await.promoted, 1);
}

/// Maintenance reclaims at most as many as it was asked to.
pub async fn reclaim_respects_its_limit(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.pass(0, 30).await;
    queue.fill(5, at(30)).await;
    for _ in 0..5 {
        queue.reserve(1, at(30)).await;
    }
    queue.pass(40, 59).await;
    let mut reclaimed = Vec::new();
    for _ in 0..4 {
        reclaimed.push(queue.maintain(2, at(61)).await.reclaimed);
    }
    assert_eq!(reclaimed, [2, 2, 1, 0]);
}

/// The limit counts messages, also those of one reservation; nothing is lost between two calls.
pub async fn reclaim_respects_its_limit_within_a_reservation(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.pass(0, 30).await;
    queue.fill(5, at(30)).await;
    queue.reserve(5, at(30)).await;
    queue.pass(40, 59).await;
    let mut reclaimed = Vec::new();
    for _ in 0..4 {
        reclaimed.push(queue.maintain(2, at(61)).await.reclaimed);
    }
    assert_eq!(reclaimed, [2, 2, 1, 0]);
}

/// Many maintain at the same time, and each message is reclaimed once.
pub async fn concurrent_maintenance_reclaims_once(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.pass(0, 30).await;
    queue.fill(20, at(30)).await;
    for _ in 0..4 {
        queue.reserve(5, at(30)).await;
    }
    queue.pass(40, 59).await;
    let mut maintainers = Vec::new();
    for _ in 0..4 {
        let queue = Queue::join(bed).await;
        maintainers.push(tokio::spawn(async move { queue.maintain(100, at(61)).await.reclaimed }));
    }
    let mut reclaimed = 0;
    for maintainer in maintainers {
        reclaimed += maintainer.await.expect("a maintainer");
    }
    assert_eq!(reclaimed, 20);
    assert_eq!(queue.peek(lovage_core::Place::Ready, 100).await.len(), 20);
}

/// A server whose clock is set back loses nothing and hands out nothing twice.
pub async fn clock_going_backwards_does_no_harm(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let leases = queue.leases().await;
    queue.pass(10_000, 10_040).await;
    let ids = queue.fill(2, at(10_040)).await;
    let delayed = queue.accept(queue.message().delay(secs(10)), at(10_040)).await;
    let (first, second) = (queue.reserve(1, at(10_040)).await, queue.reserve(1, at(10_040)).await);
    assert_eq!(queue.pass(100, 120).await, 0, "no lease ends because time went back");
    queue.expect_nothing(at(120)).await;
    queue.end(first.token, ids[0], Settle::Ack, at(120)).await;
    let extended = leases.extend(&queue.name, &[second.token], LEASE, at(120)).await.expect("extend");
    assert_eq!(extended.lost, []);
    assert_eq!(queue.stored(ids[1]).await.at, Some(instant(150)), "renewed by the clock as it is");
    assert_eq!(queue.pass(120, 160).await, 1, "and it ends by the clock as it is");
    assert_eq!(queue.take(at(160)).await.1.id, ids[1]);
    let ready = queue.accept(queue.message(), at(170)).await;
    assert_eq!(queue.take(at(170)).await.1.id, ready);
    assert_eq!(queue.take(at(10_051)).await.1.id, delayed);
}

/// The wait after an absence is one lease, also when the clock is set back meanwhile.
pub async fn clock_set_back_does_not_stretch_the_wait(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.maintain(10, at(10_000)).await;
    assert_eq!(queue.maintain(10, at(0)).await.reclaimed, 0);
    queue.fill(1, at(0)).await;
    queue.take(at(0)).await;
    assert_eq!(queue.pass(10, 40).await, 1);
}

/// What a worker held when it was killed is reclaimed one lease later, also when the clock is set back by an hour meanwhile.
pub async fn clock_set_back_does_not_stretch_leases(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.pass(10_000, 10_040).await;
    queue.fill(2, at(10_040)).await;
    queue.reserve(1, at(10_040)).await;
    let renewed = queue.reserve(1, at(10_040)).await;
    let leases = queue.leases().await;
    leases.extend(&queue.name, &[renewed.token], LEASE, at(10_040)).await.expect("extend");
    assert_eq!(queue.pass(6_440, 6_465).await, 0, "not before one lease has passed");
    assert_eq!(queue.pass(6_465, 6_475).await, 2);
}

/// A clock that was an hour ahead for a moment, in which nothing was maintained, does not stretch the leases of that moment.
pub async fn clock_ahead_for_a_moment_does_not_stretch_leases(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.pass(10_000, 10_040).await;
    queue.fill(1, at(10_041)).await;
    queue.reserve(1, at(13_641)).await;
    assert_eq!(queue.pass(10_045, 10_070).await, 0, "not before one lease has passed");
    assert_eq!(queue.pass(10_070, 10_080).await, 1);
}

/// A longer lease than that of the worker that maintains is kept.
pub async fn longer_lease_of_another_worker_is_kept(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    queue.pass(0, 40).await;
    queue.fill(1, at(40)).await;
    let reserved = queue.reserve(1, at(40)).await;
    let leases = queue.leases().await;
    leases.extend(&queue.name, &[reserved.token], secs(90), at(40)).await.expect("extend");
    assert_eq!(queue.pass(40, 125).await, 0);
    assert_eq!(queue.pass(125, 135).await, 1);
}

/// An unused queue can be maintained.
pub async fn unused_queue_is_maintained(bed: &dyn BrokerBed) {
    let queue = Queue::join(bed).await;
    let maintained = queue.broker.maintain(&queue.name, 10, LEASE, at(0)).await.expect("maintain");
    assert_eq!((maintained.reclaimed, maintained.promoted), (0, 0));
}
