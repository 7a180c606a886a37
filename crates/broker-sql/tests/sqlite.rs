//! Query plans of the SQLite broker.

#![cfg(feature = "sqlite")]

use lovage_broker_sql::MIGRATIONS;
use lovage_sql::Database;
use sqlx::{Connection as _, Row as _};

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
        "ready_kinds",
        "kept_kinds",
        "reclaim",
        "replace_holder",
        "reserve",
        "reserve_sorted",
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
