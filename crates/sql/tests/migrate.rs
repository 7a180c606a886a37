//! Migrations from nothing, twice, at the same time, edited, and newer than the program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use lovage_core::BackendErrorKind;
use lovage_sql::{Database, Migration, Migrations, Step, migrate, pending};
use tempfile::TempDir;

const FIRST: Migration = Migration {
    version: 1,
    name: "create_task",
    sql: "CREATE TABLE task (id INTEGER PRIMARY KEY, note TEXT);
          CREATE INDEX task_note ON task (note); -- two statements
          INSERT INTO task (note) VALUES ('a;b')",
};
const SECOND: Migration =
    Migration { version: 2, name: "add_due", sql: "ALTER TABLE task ADD COLUMN due INTEGER;" };
const V1: Migrations = Migrations { component: "test", sqlite: &[FIRST], postgres: &[], functions: &[] };
const V2: Migrations =
    Migrations { component: "test", sqlite: &[FIRST, SECOND], postgres: &[], functions: &[] };

async fn database(dir: &TempDir) -> Database {
    Database::connect(&format!("sqlite://{}/a.db", dir.path().display())).await.unwrap()
}

fn reader(db: &Database) -> &sqlx::SqlitePool {
    match db {
        Database::Sqlite(db) => db.reader(),
        Database::Postgres(_) => panic!("these tests are about SQLite"),
    }
}

async fn count(db: &Database, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(reader(db)).await.unwrap()
}

#[tokio::test]
async fn from_nothing_then_again_then_forward() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir).await;
    assert_eq!(pending(&db, &V1).await.unwrap(), [Step::Migration(&FIRST)]);
    migrate(&db, &V1).await.unwrap();
    migrate(&db, &V1).await.unwrap();
    assert_eq!(count(&db, "SELECT count(*) FROM task").await, 1);
    assert_eq!(pending(&db, &V2).await.unwrap(), [Step::Migration(&SECOND)]);
    migrate(&db, &V2).await.unwrap();
    assert!(pending(&db, &V2).await.unwrap().is_empty());
    assert_eq!(count(&db, "SELECT count(due) FROM task").await, 0);
    assert!(count(&db, "SELECT min(applied_at) FROM lovage_migration").await > 1_600_000_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_handles_can_migrate_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut handles = Vec::new();
    for _ in 0..6 {
        handles.push(database(&dir).await);
    }
    let racing: Vec<_> =
        handles.into_iter().map(|db| tokio::spawn(async move { migrate(&db, &V2).await.unwrap() })).collect();
    for task in racing {
        task.await.unwrap();
    }
    let db = database(&dir).await;
    assert_eq!(count(&db, "SELECT count(*) FROM task").await, 1);
    assert_eq!(count(&db, "SELECT count(*) FROM lovage_migration").await, 2);
}

#[tokio::test]
async fn components_are_apart() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir).await;
    migrate(&db, &V1).await.unwrap();
    const OTHER: Migrations = Migrations {
        component: "other",
        sqlite: &[Migration { version: 1, name: "x", sql: "CREATE TABLE other (x)" }],
        postgres: &[],
        functions: &[],
    };
    assert_eq!(pending(&db, &OTHER).await.unwrap().len(), 1);
    migrate(&db, &OTHER).await.unwrap();
    assert!(pending(&db, &OTHER).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_edited_step_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir).await;
    migrate(&db, &V1).await.unwrap();
    const EDITED: Migrations = Migrations {
        component: "test",
        sqlite: &[Migration { sql: "CREATE TABLE task (id)", ..FIRST }, SECOND],
        postgres: &[],
        functions: &[],
    };
    let error = migrate(&db, &EDITED).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config);
    assert!(error.to_string().contains("migration 1 (create_task)"), "{error}");
}

#[tokio::test]
async fn a_newer_database_is_refused_with_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir).await;
    migrate(&db, &V2).await.unwrap();
    let error = migrate(&db, &V1).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Config);
    for says in ["version 2", "up to 1", "upgrade this program"] {
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_failing_step_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let db = database(&dir).await;
    const BROKEN: Migrations = Migrations {
        component: "test",
        postgres: &[],
        functions: &[],
        sqlite: &[
            FIRST,
            Migration { version: 2, name: "broken", sql: "CREATE TABLE good (x); CREATE NONSENSE" },
        ],
    };
    let error = migrate(&db, &BROKEN).await.unwrap_err();
    assert!(error.to_string().contains("migration 2 (broken)"), "{error}");
    assert_eq!(count(&db, "SELECT count(*) FROM sqlite_schema").await, 0);
    migrate(&db, &V2).await.unwrap();
}
