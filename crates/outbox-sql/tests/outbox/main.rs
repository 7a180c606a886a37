//! The outbox in both databases, before a Redis.

#![cfg(all(feature = "postgres", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod bed;
mod postgres;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use lovage_broker_memory::MemoryResults;
use lovage_core::{BackendErrorKind, Clock as _, Inspect as _, ResultStore, TaskState, limits};
use lovage_outbox_sql::Outbox;
use lovage_system::SystemClock;
use lovage_testkit::{Fault, Operation, record};
use tokio::sync::oneshot;

use bed::{Bed, Log};

/// Each case on both databases.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod on_postgres {
            $(#[tokio::test] async fn $case() { super::$case(&super::Bed::postgres().await).await; })+
        }
        mod on_sqlite {
            $(#[tokio::test] async fn $case() { super::$case(&super::Bed::sqlite().await).await; })+
        }
    };
}

cases!(
    what_commits_runs_once,
    what_is_rolled_back_never_exists,
    a_relay_that_dies_before_it_removes_is_followed_by_another,
    what_a_dead_relay_published_and_has_ended_is_not_run_again,
    two_relays_publish_each_row_once,
    nothing_is_lost_while_the_broker_is_away,
    ten_thousand_rows_are_drained,
    a_relay_is_woken_by_a_commit,
    what_cannot_be_read_is_set_aside_and_stops_nobody,
    a_held_unique_key_drops_the_row,
    delays_are_counted_from_the_write,
    a_queue_that_is_refused_holds_up_no_other,
    a_relay_that_is_told_to_stop_finishes_its_batch,
    a_transaction_of_another_database_says_so,
);

async fn what_commits_runs_once(bed: &Bed) {
    let mut tx = bed.begin().await;
    let (first, second) = (bed.message(), bed.message());
    bed.outbox.write(tx.tx(), &[first.clone(), second.clone()]).await.unwrap();
    tx.commit().await;
    let mut relay = bed.outbox.relay(bed.broker.clone(), None);
    assert_eq!(relay.drain().await.unwrap(), 2);
    assert_eq!(relay.drain().await.unwrap(), 0);
    for mut sent in [first, second] {
        let found = bed.next().await;
        // The next relay may find the row again: a worker has to look whether the task has ended.
        sent.mark_possible_duplicate();
        assert_eq!((found.id, found.priority, found.body), (sent.id, sent.priority, sent.body));
    }
    assert_eq!((bed.ready().await, bed.count("lovage_outbox").await), (0, 0));
}

async fn what_is_rolled_back_never_exists(bed: &Bed) {
    let mut relay = bed.outbox.relay(bed.broker.clone(), None);
    let mut told = bed.begin().await;
    bed.outbox.write(told.tx(), &[bed.message()]).await.unwrap();
    assert_eq!(relay.drain().await.unwrap(), 0, "an open transaction keeps no relay waiting");
    told.rollback().await;
    let mut dropped = bed.begin().await;
    bed.outbox.write(dropped.tx(), &[bed.message()]).await.unwrap();
    drop(dropped);
    assert_eq!(relay.drain().await.unwrap(), 0);
    assert_eq!((bed.ready().await, bed.count("lovage_outbox").await), (0, 0));
}

async fn a_relay_that_dies_before_it_removes_is_followed_by_another(bed: &Bed) {
    bed.commit(&[bed.message()]).await;
    bed.broker.fail_next(Operation::Publish, Fault::LostAnswer);
    let mut relay = bed.outbox.relay(bed.broker.clone(), None);
    relay.drain().await.unwrap_err();
    drop(relay);
    assert_eq!((bed.ready().await, bed.count("lovage_outbox").await), (1, 1));
    assert_eq!(bed.outbox.relay(bed.broker.clone(), None).drain().await.unwrap(), 1);
    assert_eq!((bed.ready().await, bed.count("lovage_outbox").await), (1, 0));
}

async fn what_a_dead_relay_published_and_has_ended_is_not_run_again(bed: &Bed) {
    let results: Arc<dyn ResultStore> = Arc::new(MemoryResults::new(Arc::new(SystemClock::new())));
    let sent = [bed.message(), bed.message()];
    bed.commit(&sent[..1]).await;
    bed.broker.fail_next(Operation::Publish, Fault::LostAnswer);
    bed.outbox.relay(bed.broker.clone(), None).drain().await.unwrap_err();
    let ended = bed.next().await.id;
    assert_eq!(ended, sent[0].id);
    results.record(&[record(ended, (1, 1, 0), TaskState::Success)], None).await.unwrap();
    // A row that is not its end says nothing: a broker that lost its memory, for example, gets it again.
    bed.commit(&sent[1..]).await;
    results.record(&[record(sent[1].id, (1, 1, 1), TaskState::Retry)], None).await.unwrap();
    let mut relay = bed.outbox.relay(bed.broker.clone(), Some(results));
    assert_eq!(relay.drain().await.unwrap(), 2);
    assert_eq!((bed.ready().await, bed.count("lovage_outbox").await), (1, 0));
    assert_eq!(bed.next().await.id, sent[1].id);
}

async fn two_relays_publish_each_row_once(bed: &Bed) {
    const ROWS: usize = 4 * limits::PUBLISH_BATCH;
    bed.commit_many(ROWS).await;
    // Each with connections of its own, as in two processes.
    let other = Outbox::connect(&bed.url).await.unwrap();
    let (mut one, mut other) =
        (bed.outbox.relay(bed.broker.clone(), None), other.relay(bed.broker.clone(), None));
    // The first holds what it has taken until the second has looked, too.
    bed.broker.hold(Operation::Publish);
    let second = async {
        bed.until("the first batch", async || bed.broker.calls(Operation::Publish) > 0).await;
        let release = async {
            if matches!(bed.pool, bed::Pool::Postgres(_)) {
                bed.until("the second batch", async || bed.broker.calls(Operation::Publish) > 1).await;
                bed.broker.release(Operation::Publish);
            }
        };
        let (count, ()) = join(other.drain(), release).await;
        bed.broker.release(Operation::Publish);
        count.unwrap()
    };
    let (first, second) = join(one.drain(), second).await;
    let total = u64::try_from(ROWS).unwrap();
    assert_eq!((first.unwrap() + second, bed.ready().await), (total, total));
    assert_eq!(bed.count("lovage_outbox").await, 0);
}

async fn nothing_is_lost_while_the_broker_is_away(bed: &Bed) {
    let (log, _on_this_thread) = Log::start();
    bed.broker.go_down();
    let (stop, stopped) = oneshot::channel::<()>();
    let relay =
        tokio::spawn(bed.outbox.relay(bed.broker.clone(), None).run_until(async { drop(stopped.await) }));
    let sent = bed.message();
    bed.commit(std::slice::from_ref(&sent)).await;
    bed.until("tries", async || bed.broker.calls(Operation::Publish) > 2).await;
    assert_eq!(bed.count("lovage_outbox").await, 1);
    bed.broker.come_back();
    assert_eq!(bed.next().await.id, sent.id);
    bed.until("the row to go", async || bed.count("lovage_outbox").await == 0).await;
    bed.until("the end of the trouble", async || log.count("recovered after ") == 1).await;
    assert_eq!(log.count("is tried again: "), 1);
    stop.send(()).unwrap();
    relay.await.unwrap();
}

async fn ten_thousand_rows_are_drained(bed: &Bed) {
    bed.commit_many(10_000).await;
    assert_eq!(bed.outbox.relay(bed.broker.clone(), None).drain().await.unwrap(), 10_000);
    assert_eq!((bed.ready().await, bed.count("lovage_outbox").await), (10_000, 0));
}

async fn a_relay_is_woken_by_a_commit(bed: &Bed) {
    const TRIES: usize = 15;
    let relay = tokio::spawn(bed.outbox.relay(bed.broker.clone(), None).run());
    let clock = SystemClock::new();
    let mut took = Vec::new();
    for _ in 0..TRIES {
        bed.until("the relay to rest", async || bed.count("lovage_outbox").await == 0).await;
        let sent = bed.message();
        let mut tx = bed.begin().await;
        bed.outbox.write(tx.tx(), std::slice::from_ref(&sent)).await.unwrap();
        tx.commit().await;
        let start = clock.monotonic();
        assert_eq!(bed.next().await.id, sent.id);
        took.push(clock.monotonic().saturating_sub(start));
    }
    relay.abort();
    took.sort();
    // The longest may have met a busy machine; without being woken each of them takes seconds.
    assert!(
        took[TRIES / 2] < Duration::from_millis(100) && took[TRIES - 1] < Duration::from_secs(3),
        "{took:?}"
    );
}

async fn what_cannot_be_read_is_set_aside_and_stops_nobody(bed: &Bed) {
    let sent = bed.message();
    let bad = bed.message();
    bed.commit(std::slice::from_ref(&bad)).await;
    bed.run("UPDATE lovage_outbox SET options = '{\"version\":2}'").await;
    bed.commit(std::slice::from_ref(&sent)).await;
    let depth = bed.outbox.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.refused), (2, 0));
    let age = SystemClock::new().now().since(depth.oldest.unwrap());
    assert!(age < Duration::from_secs(60), "{age:?}");
    assert!(bed.outbox.holds(bad.id).await.unwrap() && !bed.outbox.holds(bed.message().id).await.unwrap());
    assert_eq!(bed.outbox.relay(bed.broker.clone(), None).drain().await.unwrap(), 2);
    assert_eq!(bed.next().await.id, sent.id);
    let depth = bed.outbox.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.oldest, depth.refused), (0, None, 1));
    let refused = bed.outbox.refused(10).await.unwrap();
    assert_eq!(
        (refused.len(), refused[0].id, refused[0].queue.as_str()),
        (1, Some(bad.id), bed.queue.as_str())
    );
    assert!(refused[0].reason.contains("upgrade") && refused[0].at <= SystemClock::new().now());
    assert_eq!((bed.ready().await, bed.count("lovage_outbox").await), (0, 0));
    // What was repaired is put back.
    bed.run(
        "INSERT INTO lovage_outbox (id, queue, options, body) SELECT id, queue, '{\"version\":1,\"priority\":0}', body
         FROM lovage_outbox_refused",
    )
    .await;
    assert_eq!(bed.outbox.relay(bed.broker.clone(), None).drain().await.unwrap(), 1);
    assert_eq!(bed.next().await.id, bad.id);
}

async fn a_held_unique_key_drops_the_row(bed: &Bed) {
    let unique = || lovage_testkit::message(&bed.queue).unique("k").build();
    bed.commit(&[unique(), unique(), bed.message()]).await;
    assert_eq!(bed.outbox.relay(bed.broker.clone(), None).drain().await.unwrap(), 3);
    assert_eq!((bed.ready().await, bed.count("lovage_outbox").await), (2, 0));
}

async fn delays_are_counted_from_the_write(bed: &Bed) {
    let sent = lovage_testkit::message(&bed.queue).delay(Duration::from_secs(3600)).build();
    bed.commit(std::slice::from_ref(&sent)).await;
    let earlier = match bed.pool {
        bed::Pool::Postgres(_) => "written_at - interval '30 minutes'",
        bed::Pool::Sqlite(_) => "written_at - 1800000000",
    };
    bed.run(&format!("UPDATE lovage_outbox SET written_at = {earlier}")).await;
    bed.outbox.relay(bed.broker.clone(), None).drain().await.unwrap();
    let found = bed.broker.find(sent.id, None).await.unwrap().unwrap();
    let left = found.at.unwrap().since(SystemClock::new().now()).as_secs();
    assert!((1700..=1800).contains(&left), "{left}");
}

async fn a_queue_that_is_refused_holds_up_no_other(bed: &Bed) {
    let other = lovage_testkit::queue(format!("{}.other", bed.queue));
    bed.commit(&[bed.message(), lovage_testkit::message(&other).build()]).await;
    for _ in 0..2 {
        bed.broker.fail_next(Operation::Publish, Fault::Error(BackendErrorKind::Refused));
    }
    let mut relay = bed.outbox.relay(bed.broker.clone(), None);
    assert_eq!(relay.drain().await.unwrap_err().kind(), BackendErrorKind::Refused);
    let depth = bed.broker.depth(&other, None).await.unwrap();
    assert_eq!((bed.ready().await, depth.ready, bed.count("lovage_outbox").await), (0, 1, 1));
    assert_eq!(relay.drain().await.unwrap(), 1);
    assert_eq!(bed.ready().await, 1);
}

async fn a_relay_that_is_told_to_stop_finishes_its_batch(bed: &Bed) {
    bed.commit(&[bed.message()]).await;
    bed.broker.hold(Operation::Publish);
    let (stop, stopped) = oneshot::channel::<()>();
    let relay =
        tokio::spawn(bed.outbox.relay(bed.broker.clone(), None).run_until(async { drop(stopped.await) }));
    bed.until("the batch", async || bed.broker.calls(Operation::Publish) > 0).await;
    stop.send(()).unwrap();
    bed.broker.release(Operation::Publish);
    relay.await.unwrap();
    assert_eq!((bed.ready().await, bed.count("lovage_outbox").await), (1, 0));
}

async fn a_transaction_of_another_database_says_so(bed: &Bed) {
    let other = match bed.pool {
        bed::Pool::Postgres(_) => {
            bed.run("ALTER TABLE lovage_outbox RENAME TO elsewhere").await;
            None
        }
        bed::Pool::Sqlite(_) => Some(sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap()),
    };
    let mut tx = match &other {
        Some(pool) => bed::Transact::Sqlite(pool.begin().await.unwrap()),
        None => bed.begin().await,
    };
    let error = bed.outbox.write(tx.tx(), &[bed.message()]).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config);
    assert!(error.to_string().contains("no table lovage_outbox"), "{error}");
    let postgres = matches!(bed.pool, bed::Pool::Postgres(_));
    let wrong = if postgres { Bed::sqlite().await } else { Bed::postgres().await };
    let error = bed.outbox.write(wrong.begin().await.tx(), &[bed.message()]).await.unwrap_err();
    assert!(error.to_string().contains("name an outbox in its database"), "{error}");
}
