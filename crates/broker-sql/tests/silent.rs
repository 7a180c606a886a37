//! A PostgreSQL that falls silent: its connections stay open and acknowledge what is sent, but answer nothing.

#![cfg(feature = "postgres")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lovage_broker_sql::{MIGRATIONS, PgBroker};
use lovage_core::{Broker as _, Hint};
use lovage_sql::postgres::{PgDatabase, testing::fresh_url};
use lovage_testkit::Relay;

const LIMIT: Duration = Duration::from_millis(500);
/// Much longer than the limit, shorter than the real ones.
const PATIENCE: Duration = Duration::from_secs(7);

async fn relayed() -> (Relay, PgDatabase) {
    let url = fresh_url().unwrap();
    let (login, place) = url.split_once('@').unwrap();
    let (address, rest) = place.split_once('/').unwrap();
    let relay = Relay::start(address.parse().unwrap()).unwrap();
    let db = PgDatabase::connect(&format!("{login}@{}/{rest}", relay.address())).await.unwrap();
    lovage_sql::migrate(&db.clone().into(), &MIGRATIONS).await.unwrap();
    (relay, db.with_silence_limit(LIMIT))
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    #[expect(clippy::disallowed_methods, reason = "bounds a wait for a real server")]
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_| panic!("not in time: {what}"))
}

#[tokio::test]
async fn a_silent_connection_is_replaced_after_one_error() {
    let (relay, db) = relayed().await;
    let broker = PgBroker::open(db).await.unwrap();
    let message = lovage_testkit::message("q").build();
    broker.publish(std::slice::from_ref(&message), None).await.unwrap();
    relay.silence();
    let again = lovage_testkit::message("q").build();
    let lost = within("an error", broker.publish(std::slice::from_ref(&again), None)).await.unwrap_err();
    assert!(lost.is_maybe_applied(), "{lost}");
    within("a publish", broker.publish(std::slice::from_ref(&again), None)).await.unwrap();
}

#[tokio::test]
async fn a_silent_lease_connection_is_replaced_after_one_error() {
    let (relay, db) = relayed().await;
    let broker = PgBroker::open(db).await.unwrap();
    let leases = broker.open_leases().await.unwrap();
    relay.silence();
    let queue = lovage_testkit::queue("q");
    let renew = || leases.extend(&queue, &[], Duration::from_secs(30), None);
    assert!(within("an error", renew()).await.is_err());
    within("a renewal", renew()).await.unwrap();
}

#[tokio::test]
async fn a_silent_listener_is_replaced_and_looks_at_everything() {
    let (relay, db) = relayed().await;
    let broker = PgBroker::open(db).await.unwrap();
    relay.silence();
    assert_eq!(within("a hint", broker.hint()).await, Hint::Everything);
}
