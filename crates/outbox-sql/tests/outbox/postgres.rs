//! What only PostgreSQL has: other transactions at the same time, isolation levels and rights.

use std::time::Duration;

use lovage_core::BackendErrorKind;
use lovage_outbox_sql::Outbox;
use lovage_sql::postgres::testing::fresh_url;
use lovage_system::SystemClock;
use lovage_testkit::within;
use sqlx::AssertSqlSafe;

use crate::bed::{Bed, Transact};

#[tokio::test]
async fn without_tables_it_says_migrate() {
    let error = Outbox::connect(&fresh_url().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config);
    assert!(error.to_string().contains("lovage migrate --outbox"), "{error}");
}

#[tokio::test]
async fn a_transaction_that_stays_open_holds_up_nobody() {
    let bed = Bed::postgres().await;
    let relay = tokio::spawn(bed.outbox.relay(bed.broker.clone(), None).run());
    let mut open = bed.begin().await;
    let (late, early) = (bed.message(), bed.message());
    bed.outbox.write(open.tx(), std::slice::from_ref(&late)).await.unwrap();
    // Within less than the slow look: the relay was woken.
    let other = async {
        bed.commit(std::slice::from_ref(&early)).await;
        assert_eq!(bed.next().await.id, early.id);
    };
    within(&SystemClock::new(), Duration::from_secs(5), "the other transaction", other).await;
    // It has a lower number than what was published meanwhile.
    open.commit().await;
    assert_eq!(bed.next().await.id, late.id);
    relay.abort();
}

#[tokio::test]
async fn every_isolation_level_commits_and_wakes() {
    let bed = Bed::postgres().await;
    let relay = tokio::spawn(bed.outbox.relay(bed.broker.clone(), None).run());
    for level in ["REPEATABLE READ", "SERIALIZABLE", "READ COMMITTED"] {
        let woken = async {
            let Transact::Postgres(mut tx) = bed.begin().await else { panic!("this is PostgreSQL") };
            let set = AssertSqlSafe(format!("SET TRANSACTION ISOLATION LEVEL {level}"));
            sqlx::query(set).execute(&mut *tx).await.unwrap();
            // Its view of the world is from here; then a relay is woken, and begins to wait again.
            sqlx::query("SELECT 1 FROM pg_class LIMIT 1").execute(&mut *tx).await.unwrap();
            bed.commit(&[bed.message()]).await;
            bed.next().await;
            let sent = bed.message();
            bed.outbox.write((&mut tx).into(), std::slice::from_ref(&sent)).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(bed.next().await.id, sent.id);
        };
        within(&SystemClock::new(), Duration::from_secs(5), level, woken).await;
    }
    relay.abort();
}

#[tokio::test]
async fn an_application_needs_the_right_to_insert_only() {
    let bed = Bed::postgres().await;
    let Transact::Postgres(mut tx) = bed.begin().await else { panic!("this is PostgreSQL") };
    let schema = bed.schema.trim_end_matches('.');
    // In the transaction, so that no role is left behind; the trigger is made to fire in it, too.
    for sql in [
        format!("CREATE ROLE app_{schema}"),
        format!("GRANT USAGE ON SCHEMA {schema} TO app_{schema}"),
        format!("GRANT INSERT ON {schema}.lovage_outbox TO app_{schema}"),
        format!("SET LOCAL ROLE app_{schema}"),
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *tx).await.unwrap();
    }
    bed.outbox.write((&mut tx).into(), &[bed.message()]).await.unwrap();
    sqlx::query("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
}
