//! What only SQLite has: files of an earlier release, and plans.

#![cfg(feature = "sqlite")]

use std::time::Duration;

use lovage_broker_sql::MIGRATIONS;
use lovage_core::{Place, Published, Reserve, TaskId, Token};
use lovage_sql::{Database, Migrations};
use lovage_system::SystemEntropy;
use sqlx::{Connection as _, Row as _};

#[tokio::test]
async fn messages_of_the_first_tables_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.db");
    let url = format!("sqlite://{}", path.display());
    let first = Migrations { sqlite: MIGRATIONS.sqlite.get(..1).unwrap(), ..MIGRATIONS };
    let old = Database::connect(&url).await.unwrap();
    lovage_sql::migrate(&old, &first).await.unwrap();
    let mut raw = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO lovage_queue (name) VALUES ('q');
         INSERT INTO lovage_task (id, queue, place, priority, position, losses, published_at, unique_key, body)
         VALUES (x'01010101010101010101010101010101', 'q', 0, 3, 1, 0, 1, 'k', x'00'),
                (x'02020202020202020202020202020202', 'q', 0, 3, 2, 1, 1, NULL, x'00');
         INSERT INTO lovage_unique (queue, key, id) VALUES ('q', 'k', x'01010101010101010101010101010101');",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    let queue = lovage_testkit::queue("q");
    let broker = lovage_broker_sql::open(Database::connect(&url).await.unwrap()).await.unwrap();
    let id = |n| TaskId::from_bytes([n; 16]);
    let found = broker.find(id(1), None).await.unwrap().unwrap();
    assert_eq!(
        (found.place, found.unique_key.as_deref(), found.replaced_by),
        (Place::Ready, Some("k"), None)
    );
    let duplicate = lovage_testkit::message(&queue).unique("k").build();
    assert_eq!(broker.publish(&[duplicate], None).await.unwrap(), [Published::Duplicate { holder: id(1) }]);
    let token = Token::new(&SystemEntropy);
    let request = Reserve { queue: &queue, max: 10, token, lease: Duration::from_secs(30), suspects: false };
    let ids: Vec<TaskId> =
        broker.reserve(request, None).await.unwrap().deliveries.iter().map(|found| found.id).collect();
    assert_eq!(ids, [id(1), id(2)]);
}

/// The statements that run all the time find their rows by an index, whatever is in the table.
#[tokio::test]
async fn plans_use_indexes() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("plans.db").display());
    let database = Database::connect(&url).await.unwrap();
    lovage_sql::migrate(&database, &MIGRATIONS).await.unwrap();
    let mut raw = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let sql = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/sqlite/");
    let mut looked = 0;
    for name in [
        "ahead",
        "cancel",
        "claim_end",
        "delayed_get",
        "due_count",
        "extend_revoked",
        "find",
        "find_all",
        "peek_delayed",
        "promote_due",
        "ready_any",
        "reclaim",
        "replace_holder",
        "reserve",
        "reserve_suspect",
        "settle_ack",
        "settle_get",
        "task_exists",
        "waits",
    ] {
        let text = std::fs::read_to_string(format!("{sql}{name}.sql")).unwrap();
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
        let plan: Vec<String> =
            sqlx::query(explain).fetch_all(&mut raw).await.unwrap().iter().map(|row| row.get(3)).collect();
        for step in plan.iter().filter(|step| step.contains("lovage_task") || step.contains("lovage_unique"))
        {
            assert!(!step.starts_with("SCAN"), "{name}: {plan:#?}");
            looked += 1;
        }
    }
    assert!(looked >= 18, "only {looked} steps were looked at");
}
