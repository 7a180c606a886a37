//! What only PostgreSQL does: plans of statements, edits by hand, and a lost connection.

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::schedule::{Advance, Advanced, Entry, EntryText, Expected, ScheduleStore as _, StoredEntry};
use lovage_sql::postgres::{PgDatabase, testing::fresh_url};
use lovage_system::SystemClock;
use lovage_testkit::within;
use sqlx::Row as _;

use super::PgSchedules;
use super::schedules::{PREPARE, PREPARE_BATCH};
use crate::MIGRATIONS;

struct Fixture {
    db: PgDatabase,
    store: PgSchedules,
}

async fn fixture() -> Fixture {
    let db = PgDatabase::connect(&fresh_url().unwrap()).await.unwrap();
    lovage_sql::migrate(&db.clone().into(), &MIGRATIONS).await.unwrap();
    let store = PgSchedules::open(db.clone()).await.unwrap();
    Fixture { db, store }
}

impl Fixture {
    async fn run(&self, sql: &'static str) {
        self.db.rows("test", sqlx::query(sql)).await.unwrap();
    }

    async fn due(&self) -> Vec<StoredEntry> {
        self.store.due(Duration::ZERO, 10, None).await.unwrap().entries
    }

    async fn changed(&self) {
        within(&SystemClock::new(), Duration::from_secs(20), "a change", self.store.changed()).await;
    }
}

fn entry(every: &str) -> Entry {
    let json = format!(r#"{{"name":"a","task":"t","schedule":{{"kind":"interval","every":"{every}"}}}}"#);
    Entry::try_from(serde_json::from_str::<EntryText>(&json).unwrap()).unwrap()
}

/// As it is made once and kept, whatever the values, while the tables are empty and nobody analyzed them.
async fn plan(fixture: &Fixture, prepare: &'static str, statement: &str) -> Vec<String> {
    let mut tx = fixture.db.begin("plan").await.unwrap();
    let connection = tx.connection();
    sqlx::raw_sql(prepare).execute(&mut *connection).await.unwrap();
    let highest = (1..=40).rev().find(|n| statement.contains(&format!("${n}"))).unwrap();
    let nulls = vec!["NULL"; highest].join(", ");
    let prepare = format!("SET LOCAL plan_cache_mode = force_generic_plan; PREPARE planned AS {statement}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE planned ({nulls})");
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(connection).await.unwrap();
    rows.iter().map(|row| row.get::<String, _>(0).trim().trim_start_matches("->").trim().to_owned()).collect()
}

/// Each walks its index, and none reads a whole table.
#[tokio::test]
async fn plans() {
    let fixture = fixture().await;
    for (statement, prepare, index, condition) in [
        (sql!("due"), PREPARE, "lovage_schedule_due on lovage_schedule", "(next_run_at <= $"),
        (sql!("due"), PREPARE, "lovage_schedule_due on lovage_schedule", "(next_run_at IS NOT NULL)"),
        (sql!("due"), PREPARE, "lovage_schedule_done on lovage_schedule", "(done_until > "),
        (
            sql!("due"),
            PREPARE,
            "lovage_firing_pkey on lovage_firing",
            "((name = due.name) AND (slot > due.done_until)",
        ),
        (rows_sql!("ahead"), PREPARE, "lovage_schedule_done on lovage_schedule", "(done_until > $1)"),
        (sql!("advance"), PREPARE_BATCH, "lovage_schedule_pkey", "(name = ANY"),
        (sql!("delete"), PREPARE_BATCH, "lovage_schedule_pkey", "(name = ANY"),
        (sql!("set_aside"), "", "lovage_schedule_pkey", "(name = $1)"),
        (rows_sql!("lock"), "", "lovage_schedule_pkey on lovage_schedule", "(name = $1)"),
        (rows_sql!("get"), PREPARE_BATCH, "lovage_schedule_pkey", "(name = ANY ($1))"),
        (rows_sql!("owned"), PREPARE_BATCH, "lovage_schedule_source", "(source = $1)"),
        (rows_sql!("owned"), PREPARE_BATCH, "lovage_schedule_pkey", "(name = ANY"),
        (
            rows_sql!("list"),
            PREPARE,
            "lovage_schedule_pkey on lovage_schedule",
            "((name >= $1) AND (name > $2) AND (name < $3))",
        ),
        (
            rows_sql!("list_disabled"),
            PREPARE,
            "lovage_schedule_disabled on lovage_schedule",
            "((name >= $1) AND (name > $2) AND (name < $3))",
        ),
        (
            rows_sql!("list_task"),
            PREPARE,
            "lovage_schedule_task on lovage_schedule",
            "((task = $6) AND (name >= $1) AND (name > $2) AND (name < $3))",
        ),
        (
            sql!("history"),
            PREPARE,
            "lovage_firing_pkey on lovage_firing",
            "((name = $1) AND (ROW(slot, fate) < ROW($2, $3)) AND (slot >= COALESCE($",
        ),
        (sql!("history"), PREPARE, "lovage_firing_range on lovage_firing", "((name = $1) AND (slot <= $4))"),
        (sql!("forget"), PREPARE_BATCH, "lovage_firing_at on lovage_firing", "(at < $"),
    ] {
        let steps = plan(&fixture, prepare, statement).await;
        let step = |begins: &str| steps.iter().any(|step| step.starts_with(begins));
        let uses = steps.iter().any(|step| step.contains("Index") && step.contains(index));
        assert!(uses && step(&format!("Index Cond: {condition}")), "{index} {condition}\n{steps:#?}");
        // The identity is one row.
        let scans =
            steps.iter().any(|step| step.starts_with("Seq Scan") && !step.ends_with("lovage_schedule_store"));
        assert!(!scans, "{steps:#?}");
        // The last lines of `due` are sorted, which are few.
        let sorts =
            steps.iter().skip(1).any(|step| step.starts_with("Sort") && !step.starts_with("Sort Key"));
        assert!(prepare != PREPARE || !sorts, "{steps:#?}");
    }
}

#[tokio::test]
async fn an_entry_written_by_hand_is_looked_at_at_once() {
    let fixture = fixture().await;
    fixture.changed().await;
    fixture
        .run(r#"INSERT INTO lovage_schedule (name, task, schedule) VALUES ('a', 't', '{"kind":"interval","every":"1h"}')"#)
        .await;
    fixture.changed().await;
    let due = fixture.due().await;
    assert_eq!((due.len(), &due[0].entry), (1, &entry("1h")));
    // A beat finds no slot, and writes when there will be one.
    let advance = Advance::new(&due[0], due[0].done_until, Vec::new());
    assert_eq!(fixture.store.advance(&[advance]).await.unwrap(), [Advanced::Done]);
    assert_eq!(fixture.due().await, []);
}

#[tokio::test]
async fn an_edit_by_hand_is_an_edit() {
    let fixture = fixture().await;
    fixture.store.put(&entry("1h"), Expected::New, Some(Timestamp::from_micros(1))).await.unwrap();
    let seen = fixture.due().await.remove(0);
    fixture.changed().await;
    fixture.run(r#"UPDATE lovage_schedule SET schedule = '{"kind":"interval","every":"2h"}'"#).await;
    fixture.changed().await;
    let skip = Advance::new(&seen, Timestamp::from_micros(3_600_000_000), Vec::new());
    assert_eq!(fixture.store.advance(&[skip]).await.unwrap(), [Advanced::Lost]);
    let edited = fixture.due().await.remove(0);
    assert_eq!((edited.revision, &edited.entry), (2, &entry("2h")));
    assert!(edited.done_until > seen.done_until, "what was overdue is done with");
    fixture.run("UPDATE lovage_schedule SET enabled = false").await;
    assert_eq!(fixture.due().await, []);
    fixture.run("UPDATE lovage_schedule SET total_run_count = 7").await;
    assert_eq!(fixture.store.get(&["a"]).await.unwrap()[0].as_ref().unwrap().as_ref().unwrap().revision, 3);
}

/// Something may have been missed.
#[tokio::test]
async fn a_lost_connection_is_made_again_and_told() {
    let fixture = fixture().await;
    fixture.changed().await;
    fixture
        .run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE query = 'LISTEN \"' || lovage_schedule_channel() || '\"'",
        )
        .await;
    fixture.changed().await;
    fixture.store.put(&entry("1h"), Expected::New, None).await.unwrap();
    fixture.changed().await;
}
