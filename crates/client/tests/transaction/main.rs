//! Sending in a transaction of the application: the same call whatever the broker is.

#![cfg(all(feature = "postgres", feature = "redis", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

extern crate lovage_client as lovage;

mod bed;

use std::time::Duration;

use lovage::{Call, Client, ClientErrorKind, Handle, TaskError, TaskState};
use lovage_conformance::documented;
use lovage_sql::postgres::testing::fresh_url;
use lovage_system::SystemClock;
use lovage_testkit::within;

use bed::{Bed, Transact};

const PATIENCE: Duration = Duration::from_secs(20);

#[lovage::task(name = "add")]
async fn add(x: i64, y: i64) -> Result<i64, TaskError>;

/// Each case on each kind of place.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod same_database {
            $(#[tokio::test] async fn $case() { super::$case(&super::Bed::same_database().await).await; })+
        }
        mod postgres_and_redis {
            $(#[tokio::test] async fn $case() { super::$case(&super::Bed::postgres_and_redis().await).await; })+
        }
        mod sqlite_and_redis {
            $(#[tokio::test] async fn $case() { super::$case(&super::Bed::sqlite_and_redis().await).await; })+
        }
    };
}

cases!(
    what_commits_runs,
    what_is_rolled_back_never_exists,
    many_travel_together,
    a_wrong_call_is_refused_before_anything_is_written,
    who_waits_is_not_told_that_it_never_was,
    a_task_on_its_way_is_always_somewhere,
);

impl Bed {
    fn call(&self) -> Call<i64> {
        add::call(1, 3).queue(&self.queue)
    }

    async fn sent(&self, tx: &mut Transact) -> Handle<i64> {
        self.client.send_in(tx.tx(), self.call()).await.unwrap()
    }
}

async fn what_commits_runs(bed: &Bed) {
    let mut tx = bed.begin().await;
    let handle = bed.sent(&mut tx).await;
    assert_eq!((bed.relay().await, bed.ready().await), (0, 0), "before the commit");
    tx.commit().await;
    let status = handle.state().await.unwrap().unwrap();
    assert_eq!(status.state, TaskState::Pending, "before a relay has seen it, too");
    assert_eq!(bed.relay().await, u64::from(bed.client.outbox().is_some()));
    assert_eq!(bed.ready().await, 1);
    bed.work(handle.id()).await;
    assert_eq!(handle.get(PATIENCE).await.unwrap(), 4);
}

async fn what_is_rolled_back_never_exists(bed: &Bed) {
    let (mut told, mut dropped) = (bed.begin().await, None);
    let first = bed.sent(&mut told).await;
    told.rollback().await;
    let tx = dropped.insert(bed.begin().await);
    let second = bed.sent(tx).await;
    drop(dropped);
    for handle in [first, second] {
        assert!(handle.state().await.unwrap().is_none());
        let error = handle.get(PATIENCE).await.unwrap_err();
        assert_eq!(*error.kind(), ClientErrorKind::NotFound);
    }
    assert_eq!((bed.relay().await, bed.ready().await), (0, 0));
}

async fn many_travel_together(bed: &Bed) {
    let mut tx = bed.begin().await;
    let sent = bed.client.send_all_in(tx.tx(), (0..1_500).map(|_| bed.call()).collect()).await.unwrap();
    assert_eq!(sent.iter().filter(|handle| handle.is_ok()).count(), 1_500);
    tx.commit().await;
    bed.relay().await;
    assert_eq!(bed.ready().await, 1_500);
}

async fn a_wrong_call_is_refused_before_anything_is_written(bed: &Bed) {
    let mut tx = bed.begin().await;
    let error = bed.client.send_in(tx.tx(), bed.call().priority(10)).await.unwrap_err();
    assert_eq!(*error.kind(), ClientErrorKind::Invalid);
    // The transaction goes on.
    bed.sent(&mut tx).await;
    tx.commit().await;
    bed.relay().await;
    assert_eq!(bed.ready().await, 1);
}

async fn who_waits_is_not_told_that_it_never_was(bed: &Bed) {
    let mut tx = bed.begin().await;
    let handle = bed.sent(&mut tx).await;
    tx.commit().await;
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.get(PATIENCE).await }
    });
    // Long enough for several looks while only the outbox has it.
    let short = handle.get(Duration::from_millis(100)).await.unwrap_err();
    assert_eq!(*short.kind(), ClientErrorKind::Timeout, "{short}");
    bed.relay().await;
    bed.work(handle.id()).await;
    let got = within(&SystemClock::new(), PATIENCE, "the result", waiting).await;
    assert_eq!(got.unwrap().unwrap(), 4);
}

/// Who looks while a relay moves it must not miss it in both places.
async fn a_task_on_its_way_is_always_somewhere(bed: &Bed) {
    for _ in 0..100 {
        let mut tx = bed.begin().await;
        let handle = bed.sent(&mut tx).await;
        tx.commit().await;
        let looks = async {
            let short = handle.get(Duration::from_millis(4)).await.unwrap_err();
            assert_eq!(*short.kind(), ClientErrorKind::Timeout, "{short}");
        };
        let states = async {
            for _ in 0..3 {
                assert_eq!(handle.state().await.unwrap().unwrap().state, TaskState::Pending);
            }
        };
        tokio::join!(looks, states, bed.relay());
    }
}

#[tokio::test]
async fn a_held_unique_key_is_told_in_the_transaction_where_the_broker_is_there() {
    let bed = Bed::same_database().await;
    let holder = bed.client.send(bed.call().unique("k")).await.unwrap();
    let mut tx = bed.begin().await;
    let error = bed.client.send_in(tx.tx(), bed.call().unique("k")).await.unwrap_err();
    assert_eq!(*error.kind(), ClientErrorKind::Duplicate { holder: holder.id() });
    bed.sent(&mut tx).await;
    tx.commit().await;
    assert_eq!(bed.ready().await, 2);
}

#[tokio::test]
async fn a_transaction_without_a_way_to_the_broker_says_what_to_name() {
    let (postgres, sqlite) = (Bed::same_database().await, Bed::sqlite_and_redis().await);
    let dir = tempfile::tempdir().unwrap();
    let without = format!("sqlite://{}", dir.path().join("lovage.db").display());
    let without = Client::connect(&without).await.unwrap();
    let none = "this client cannot send in a transaction of …: the broker is not in …, and it has no outbox; name the application's database as the outbox, by LOVAGE_OUTBOX_URL or Client::builder(…).outbox(url)";
    let other = "this client cannot send in a transaction of …: the broker is not in …, and its outbox is in another kind of database; name the application's database as the outbox, by LOVAGE_OUTBOX_URL or Client::builder(…).outbox(url)";
    for (client, bed, text) in [
        (&without, &postgres, none),
        (&without, &sqlite, none),
        (&postgres.client, &sqlite, none),
        (&sqlite.client, &postgres, other),
    ] {
        refused(client, bed, text).await;
    }
}

async fn refused(client: &Client, bed: &Bed, text: &str) {
    let error = client.send_in(bed.begin().await.tx(), bed.call()).await.unwrap_err();
    assert_eq!(*error.kind(), ClientErrorKind::Config);
    documented(text, &error.to_string());
}

#[tokio::test]
async fn a_transaction_of_another_database_is_told_so() {
    // Without their tables they look like other databases.
    let bed = Bed::same_database().await;
    bed.run("DROP FUNCTION lovage_publish").await;
    refused(
        &bed.client,
        &bed,
        "publishing: the connection of this transaction has no lovage_publish: expected one to …, the broker's database; use a transaction of that database, or send by an outbox in yours. If it is that database, its tables are missing: run `lovage migrate` with the broker's URL",
    )
    .await;
    for bed in [Bed::postgres_and_redis().await, Bed::sqlite_and_redis().await] {
        bed.run("DROP TABLE lovage_outbox").await;
        let text = "the connection of this transaction has no table lovage_outbox: expected one to …, which is named as the outbox; use a transaction of that database, or name the right one";
        refused(&bed.client, &bed, text).await;
    }
}

#[tokio::test]
async fn an_outbox_that_cannot_be_one_says_so() {
    let empty = fresh_url().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let broker = format!("sqlite://{}", dir.path().join("lovage.db").display());
    for (outbox, text) in [
        (
            "redis://127.0.0.1:1",
            "an outbox is in the database whose transactions use it: expected sqlite://path.db or postgres://host/database, found the URL of a Redis",
        ),
        (
            "mysql://127.0.0.1/app",
            "the URL's scheme `…` is not known: expected sqlite://path.db, redis://host:port or postgres://host/database",
        ),
        (
            &empty,
            "the tables of the outbox in postgres://… are missing or old: run `lovage migrate --outbox` with its URL",
        ),
    ] {
        let error = Client::builder(&broker).outbox(outbox).connect().await.unwrap_err();
        assert_eq!(*error.kind(), ClientErrorKind::Config);
        documented(text, &error.to_string());
    }
}
