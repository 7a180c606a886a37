//! Transactions, attempts, searches, and a database without tables.

use lovage_core::{BackendErrorKind, Page, Recorded, ResultFilter};
use sqlx::Executor as _;

use super::*;
use crate::page::Search;
use crate::postgres::list::list;

/// Its row tells of it, so that most tasks cost one row.
#[tokio::test]
async fn a_first_delivery_that_ends_its_task_has_no_row_of_its_own() {
    let fixture = fixture().await;
    fixture.store.record(&[record(1, (1, 1, 0), TaskState::Success), failure(2, "no")], None).await.unwrap();
    assert_eq!(fixture.one::<i64>("SELECT count(*) FROM lovage_attempt").await, 0);
    assert_eq!(fixture.versions(1).await, [(1, 1, 0)]);
    assert_eq!(fixture.store.history(id(2)).await.unwrap()[0].error.as_deref(), Some("no"));
}

#[tokio::test]
async fn run_again_keeps_what_the_row_told() {
    let fixture = fixture().await;
    fixture.store.record(&[failure(1, "first")], None).await.unwrap();
    fixture.store.record(&[record(1, (2, 1, 0), TaskState::Started)], None).await.unwrap();
    assert_eq!(fixture.versions(1).await, [(1, 1, 1)]);
    fixture.store.record(&[record(1, (2, 1, 0), TaskState::Success)], None).await.unwrap();
    let history = fixture.store.history(id(1)).await.unwrap();
    let told: Vec<_> = history.iter().map(|attempt| (attempt.run, attempt.error.as_deref())).collect();
    assert_eq!(told, [(1, Some("first")), (2, None)]);
}

/// Its row is not there to tell of it.
#[tokio::test]
async fn a_first_delivery_that_comes_late_is_told_too() {
    let fixture = fixture().await;
    fixture.store.record(&[record(1, (1, 2, 0), TaskState::Success)], None).await.unwrap();
    assert_eq!(fixture.store.record(&[failure(1, "late")], None).await.unwrap(), [Recorded::Superseded]);
    assert_eq!(fixture.versions(1).await, [(1, 1, 1), (1, 2, 0)]);
}

/// The table too, not only what is answered.
#[tokio::test]
async fn attempts_do_not_pile_up() {
    let fixture = fixture().await;
    for n in 1..=40 {
        fixture.store.record(&[record(1, (1, n, n), TaskState::Retry)], None).await.unwrap();
    }
    assert_eq!(fixture.one::<i64>("SELECT count(*) FROM lovage_attempt").await, 21);
    fixture.store.delete(&[id(1)]).await.unwrap();
    assert_eq!(fixture.one::<i64>("SELECT count(*) FROM lovage_attempt").await, 0);
}

#[tokio::test]
async fn expired_rows_take_their_attempts_along() {
    let fixture = fixture().await;
    let now = Timestamp::from_micros(1_800_000_000_000_000);
    fixture.store.record(&[record(1, (1, 2, 1), TaskState::Failure)], Some(now)).await.unwrap();
    assert_eq!(fixture.one::<i64>("SELECT count(*) FROM lovage_attempt").await, 1);
    let later = Some(now.plus(Duration::from_secs(3_600)));
    assert_eq!(fixture.store.expire(10, later).await.unwrap(), 1);
    assert_eq!(fixture.one::<i64>("SELECT count(*) FROM lovage_attempt").await, 0);
}

/// Several processes expire at once, and none waits for a row that somebody stores anew.
#[tokio::test]
async fn expiry_passes_by_what_somebody_holds() {
    let fixture = fixture().await;
    let now = Timestamp::from_micros(1_800_000_000_000_000);
    fixture.store.record(&[failure(1, "held"), failure(2, "free")], Some(now)).await.unwrap();
    let later = now.plus(Duration::from_secs(3_600));
    let mut tx = fixture.db.begin("test").await.unwrap();
    fixture.store.record_on(tx.connection(), &[failure(1, "anew")], Some(later)).await.unwrap();
    assert_eq!(fixture.store.expire(10, Some(later)).await.unwrap(), 1);
    tx.commit("test").await.unwrap();
    let found = fixture.store.get(&[id(1), id(2)], Some(later)).await.unwrap();
    assert_eq!(found, [Some(failure(1, "anew")), None]);
}

/// A page may be short; the next one goes on, and nothing is lost or doubled on the way. A text with trigrams is found at once.
#[tokio::test]
async fn a_search_reads_a_window_of_failures_per_page() {
    let fixture = fixture().await;
    let rows: Vec<TaskRecord> =
        (1..=23).map(|n| failure(n, if n % 7 == 0 { "disk full" } else { "no" })).collect();
    fixture.store.record(&rows, None).await.unwrap();
    for (text, expected) in [("di", 5), ("disk", 1)] {
        let filter = ResultFilter { error_contains: Some(text.to_owned()), ..ResultFilter::default() };
        let (mut found, mut pages, mut page) = (Vec::new(), 0, Page::first(10));
        loop {
            let part = list(&fixture.db, Search { filter: &filter, page: &page, window: 5 }).await.unwrap();
            found.extend(part.items.iter().map(|row| row.id.as_bytes()[0]));
            pages += 1;
            let Some(next) = part.next else { break };
            page.after = Some(next);
        }
        assert_eq!((found, pages), (vec![21, 14, 7], expected), "{text}");
    }
}

/// In the caller's transaction: all of it or nothing.
#[tokio::test]
async fn a_record_is_part_of_the_transaction() {
    let fixture = fixture().await;
    let rows = [failure(1, "no"), failure(1, "no"), failure(2, "no")];
    for commits in [false, true] {
        let mut tx = fixture.db.begin("test").await.unwrap();
        let answers = fixture.store.record_on(tx.connection(), &rows, None).await.unwrap();
        assert_eq!(answers, [Recorded::Stored, Recorded::Superseded, Recorded::Stored]);
        if commits {
            tx.commit("test").await.unwrap();
        } else {
            drop(tx);
        }
        let found = fixture.store.get(&[id(1), id(2)], None).await.unwrap();
        assert_eq!(found.iter().filter(|row| row.is_some()).count(), if commits { 2 } else { 0 });
    }
}

/// One id twice makes a batch two statements, which can meet another transaction in a deadlock.
#[tokio::test]
async fn a_deadlock_is_resolved_within() {
    let fixture = fixture().await;
    let mut tx = fixture.db.begin("test").await.unwrap();
    // The other one notices first.
    tx.connection().execute("SET LOCAL deadlock_timeout = '20s'").await.unwrap();
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(tx.connection()).await.unwrap();
    fixture.store.record_on(tx.connection(), &[failure(2, "held")], None).await.unwrap();
    let store = fixture.store.clone();
    let batch = [failure(1, "a"), failure(1, "a"), failure(2, "b")];
    let recording = tokio::spawn(async move { store.record(&batch, None).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
    while fixture.db.rows("test", sqlx::query(waiting).bind(pid)).await.unwrap()[0].get::<i64, _>(0) == 0 {}
    fixture.store.record_on(tx.connection(), &[failure(1, "held")], None).await.unwrap();
    tx.commit("test").await.unwrap();
    assert_eq!(recording.await.unwrap().unwrap(), vec![Recorded::Superseded; 3]);
}

#[tokio::test]
async fn a_database_without_tables_asks_for_migrate_and_stays_as_it_is() {
    let db = PgDatabase::connect(&fresh_url().unwrap()).await.unwrap();
    let error = PgResults::open(db.clone()).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config);
    assert!(error.to_string().contains("lovage migrate"), "{error}");
    let found = db.rows("test", sqlx::query("SELECT to_regclass('lovage_result') IS NULL")).await.unwrap();
    assert!(found[0].get::<bool, _>(0));
}
