//! The plans of the statements, and searches that read part of the failures.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::{
    BackendErrorKind, Clock as _, ErrorReport, Outcome, Page, Priority, ResultFilter, ResultStore as _,
    TaskRecord, TaskState,
};
use lovage_system::SystemClock;

use super::*;
use crate::sqlite::{SqliteResults, sql};

struct Fixture {
    db: SqliteDatabase,
    store: SqliteResults,
    _directory: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("results.db").display());
    let db = SqliteDatabase::connect(&url).await.unwrap();
    lovage_sql::migrate(&db.clone().into(), &crate::MIGRATIONS).await.unwrap();
    let store = SqliteResults::new(db.clone());
    Fixture { db, store, _directory: directory }
}

fn failure(n: u8, message: &str) -> TaskRecord {
    TaskRecord {
        id: TaskId::from_bytes([n; 16]),
        run: 1,
        delivery: 1,
        attempt: 1,
        task: "add".to_owned(),
        arguments: "[1]".to_owned(),
        state: TaskState::Failure,
        outcome: Outcome::Error(ErrorReport::new("io", message)),
        worker: "w".to_owned(),
        queue: QueueName::default(),
        priority: Priority::LOWEST,
        enqueued_at: Timestamp::from_micros(1),
        started_at: Some(Timestamp::from_micros(2)),
        finished_at: Timestamp::from_micros(i64::from(n)),
        run_time: Some(Duration::from_micros(1_000_456)),
        schedule: None,
        lineage: None,
        headers: BTreeMap::new(),
        keep_for: Duration::from_secs(3_600),
        warning: None,
    }
}

async fn plan(db: &SqliteDatabase, statement: &'static str) -> Vec<String> {
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(db.reader()).await.unwrap();
    rows.into_iter()
        .map(|row| row.3)
        .filter(|step| step.contains("lovage") || step.contains("TEMP"))
        .collect()
}

/// Each is served by an index and needs no sorting. SQLite calls no index with a computed column covering, but reads no row
/// for one all the same.
#[tokio::test]
async fn plans_of_the_lists() {
    let fixture = fixture().await;
    let range = "finished_at>? AND (finished_at,id)<(?,?)";
    for (statement, expected) in [
        (list_sql!("range_all"), format!("lovage_result USING INDEX lovage_result_finished ({range})")),
        (
            list_sql!("range_task"),
            format!("lovage_result USING INDEX lovage_result_task (task=? AND {range})"),
        ),
        (
            list_sql!("range_state"),
            format!("lovage_result USING INDEX lovage_result_state (state=? AND {range})"),
        ),
        (list_sql!("range_error"), format!("lovage_result USING INDEX lovage_result_error ({range})")),
        (
            end_sql!("range_all"),
            format!("lovage_result USING COVERING INDEX lovage_result_finished ({range})"),
        ),
        (
            end_sql!("range_task"),
            format!("lovage_result USING INDEX lovage_result_task (task=? AND {range})"),
        ),
        (
            end_sql!("range_state"),
            format!("lovage_result USING INDEX lovage_result_state (state=? AND {range})"),
        ),
        (end_sql!("range_error"), format!("lovage_result USING INDEX lovage_result_error ({range})")),
        (sql!("expire"), "lovage_result USING INDEX lovage_result_until (until<?)".to_owned()),
    ] {
        let steps = plan(&fixture.db, statement).await;
        assert!(steps.contains(&format!("SEARCH {expected}")), "{statement}\n{steps:#?}");
        assert!(
            !steps.iter().any(|step| step.starts_with("SCAN lovage") || step.contains("TEMP")),
            "{steps:#?}"
        );
    }
}

#[tokio::test]
async fn plans_of_what_is_read_by_id() {
    let fixture = fixture().await;
    for statement in [
        sql!("get"),
        sql!("delete"),
        sql!("history"),
        sql!("history_end"),
        sql!("history_delete"),
        sql!("history_trim"),
    ] {
        let steps = plan(&fixture.db, statement).await;
        assert!(steps.iter().any(|step| step.starts_with("SEARCH lovage")), "{statement}\n{steps:#?}");
        assert!(!steps.iter().any(|step| step.starts_with("SCAN lovage")), "{statement}\n{steps:#?}");
    }
}

/// A page may be short; the next one goes on, and nothing is lost or doubled on the way.
#[tokio::test]
async fn a_search_reads_a_window_of_failures_per_page() {
    let fixture = fixture().await;
    let rows: Vec<TaskRecord> =
        (1..=23).map(|n| failure(n, if n % 7 == 0 { "disk full" } else { "no" })).collect();
    fixture.store.record(&rows, None).await.unwrap();
    let filter = ResultFilter { error_contains: Some("disk".to_owned()), ..ResultFilter::default() };
    let (mut found, mut pages, mut page) = (Vec::new(), 0, Page::first(10));
    loop {
        let search = Search { filter: &filter, page: &page, window: 5 };
        let part = list(&fixture.db, search, SystemClock::new().now()).await.unwrap();
        found.extend(part.items.iter().map(|row| row.id.as_bytes()[0]));
        pages += 1;
        let Some(next) = part.next else { break };
        page.after = Some(next);
    }
    assert_eq!((found, pages), (vec![21, 14, 7], 5));
}

/// What other programs join with.
#[tokio::test]
async fn columns_tell_what_the_record_says() {
    let fixture = fixture().await;
    fixture.store.record(&[failure(1, "no")], None).await.unwrap();
    let select = "SELECT task || ' ' || state || ' ' || worker || ' ' || queue || ' ' || priority || ' ' || arguments || ' ' ||
        error_kind || ' ' || error || ' ' || enqueued_at || ' ' || started_at || ' ' || finished_at || ' ' || run_time
        FROM lovage_result WHERE result IS NULL AND schedule IS NULL AND root IS NULL AND parent IS NULL";
    let told: String = sqlx::query_scalar(select).fetch_one(fixture.db.reader()).await.unwrap();
    assert_eq!(told, "add failure w default 0 [1] io no 1 2 1 1000456");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_corrupt() {
    let fixture = fixture().await;
    fixture.store.record(&[failure(1, "no")], None).await.unwrap();
    let mut tx = fixture.db.write_tx().await.unwrap();
    sqlx::query("UPDATE lovage_result SET record = '{}'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let error = fixture.store.get(&[TaskId::from_bytes([1; 16])], None).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Corrupt);
}
