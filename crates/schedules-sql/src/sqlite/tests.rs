//! What only SQLite does: plans of statements, and edits by hand.

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::schedule::{Advance, Advanced, Entry, EntryText, Expected, ScheduleStore as _, StoredEntry};
use lovage_sql::sqlite::SqliteDatabase;

use super::SqliteSchedules;

struct Fixture {
    db: SqliteDatabase,
    store: SqliteSchedules,
    _directory: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", directory.path().join("schedule.db").display());
    let db = SqliteDatabase::connect(&url).await.unwrap();
    lovage_sql::migrate(&db.clone().into(), &crate::MIGRATIONS).await.unwrap();
    let store = SqliteSchedules::new(db.clone());
    Fixture { db, store, _directory: directory }
}

impl Fixture {
    async fn run(&self, sql: &'static str) {
        let mut tx = self.db.write_tx().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn due(&self) -> Vec<StoredEntry> {
        self.store.due(Duration::ZERO, 10, None).await.unwrap().entries
    }
}

fn entry(every: &str) -> Entry {
    let json = format!(r#"{{"name":"a","task":"t","schedule":{{"kind":"interval","every":"{every}"}}}}"#);
    Entry::try_from(serde_json::from_str::<EntryText>(&json).unwrap()).unwrap()
}

async fn plan(db: &SqliteDatabase, statement: &'static str) -> Vec<String> {
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain).fetch_all(db.reader()).await.unwrap();
    let steps = rows.into_iter().map(|row| row.3);
    steps.filter(|step| step.contains("lovage") || step.contains("TEMP")).collect()
}

/// Each is served by an index and needs no sorting.
#[tokio::test]
async fn plans() {
    let fixture = fixture().await;
    let names = "(name>? AND name<?)";
    let pkey = "sqlite_autoindex_lovage_schedule_1";
    for (statement, expected) in [
        (sql!("due"), "lovage_schedule USING INDEX lovage_schedule_due (next_run_at<?)".to_owned()),
        (sql!("due"), "lovage_schedule USING INDEX lovage_schedule_due (next_run_at>?)".to_owned()),
        (sql!("due"), "lovage_schedule USING INDEX lovage_schedule_done (done_until>?)".to_owned()),
        (sql!("due"), "lovage_firing USING PRIMARY KEY (name=? AND slot>?)".to_owned()),
        (rows_sql!("ahead"), "lovage_schedule USING INDEX lovage_schedule_done (done_until>?)".to_owned()),
        (sql!("advance"), format!("lovage_schedule USING INDEX {pkey} (name=?)")),
        (sql!("count"), format!("lovage_schedule USING INDEX {pkey} (name=?)")),
        (sql!("set_aside"), format!("lovage_schedule USING INDEX {pkey} (name=?)")),
        (sql!("delete"), format!("lovage_schedule USING COVERING INDEX {pkey} (name=?)")),
        (rows_sql!("one"), format!("lovage_schedule USING INDEX {pkey} (name=?)")),
        (rows_sql!("get"), format!("lovage_schedule USING INDEX {pkey} (name=?)")),
        (rows_sql!("owned"), "lovage_schedule USING INDEX lovage_schedule_source (source=?)".to_owned()),
        (rows_sql!("list"), format!("lovage_schedule USING INDEX {pkey} {names}")),
        (rows_sql!("list_disabled"), format!("lovage_schedule USING INDEX lovage_schedule_disabled {names}")),
        (
            rows_sql!("list_task"),
            "lovage_schedule USING INDEX lovage_schedule_task (task=? AND name>? AND name<?)".to_owned(),
        ),
        (
            sql!("history"),
            "lovage_firing USING PRIMARY KEY (name=? AND slot>? AND (slot,fate)<(?,?))".to_owned(),
        ),
        (sql!("history"), "lovage_firing USING INDEX lovage_firing_range (name=? AND slot<?)".to_owned()),
        (sql!("forget"), "lovage_firing USING COVERING INDEX lovage_firing_at (at<?)".to_owned()),
    ] {
        let steps = plan(&fixture.db, statement).await;
        assert!(steps.contains(&format!("SEARCH {expected}")), "{statement}\n{steps:#?}");
        // The identity is one row.
        let slow = |step: &String| {
            step.starts_with("SCAN lovage") && step != "SCAN lovage_schedule_store" || step.contains("TEMP")
        };
        assert!(!steps.iter().any(slow), "{steps:#?}");
    }
}

#[tokio::test]
async fn an_entry_written_by_hand_is_looked_at_at_once() {
    let fixture = fixture().await;
    fixture.store.changed().await;
    fixture
        .run(r#"INSERT INTO lovage_schedule (name, task, schedule) VALUES ('a', 't', '{"kind":"interval","every":"1h"}')"#)
        .await;
    fixture.store.changed().await;
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
    fixture.store.changed().await;
    fixture.run(r#"UPDATE lovage_schedule SET schedule = '{"kind":"interval","every":"2h"}'"#).await;
    fixture.store.changed().await;
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
