//! Opening a SQLite file: how, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lovage_core::BackendErrorKind;
use lovage_sql::{sql_error, sqlite::SqliteDatabase};

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

async fn pragma(db: &SqliteDatabase, sql: &'static str) -> String {
    let mut tx = db.write_tx().await.unwrap();
    let value: String = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    value
}

#[tokio::test]
async fn a_missing_file_is_created_in_wal_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new file.db");
    let db = SqliteDatabase::connect(&url(&path)).await.unwrap();
    assert_eq!(db.path(), path.canonicalize().unwrap());
    let pragmas = [
        ("SELECT journal_mode FROM pragma_journal_mode", "wal"),
        ("SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous", "1"),
        ("SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys", "1"),
        ("SELECT CAST(timeout AS TEXT) FROM pragma_busy_timeout", "10000"),
    ];
    for (sql, value) in pragmas {
        assert_eq!(pragma(&db, sql).await, value, "{sql}");
    }
}

#[tokio::test]
async fn full_durability_is_full_synchronous() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("{}?durability=full", url(&dir.path().join("a.db")));
    let db = SqliteDatabase::connect(&url).await.unwrap();
    assert_eq!(pragma(&db, "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous").await, "2");
}

#[tokio::test]
async fn a_commit_is_seen_by_readers_and_a_dropped_transaction_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let db = SqliteDatabase::connect(&url(&dir.path().join("a.db"))).await.unwrap();
    let mut tx = db.write_tx().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (x); INSERT INTO t VALUES (1)").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = db.write_tx().await.unwrap();
    sqlx::query("INSERT INTO t VALUES (2)").execute(&mut *tx).await.unwrap();
    drop(tx);
    db.write_tx().await.unwrap().rollback().await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(db.reader()).await.unwrap();
    assert_eq!(count, 1);
}

/// As after a COMMIT on a full disk: SQLite has ended the transaction by itself.
#[tokio::test]
async fn a_transaction_that_sqlite_ended_by_itself_costs_no_more_than_itself() {
    let dir = tempfile::tempdir().unwrap();
    let db = SqliteDatabase::connect(&url(&dir.path().join("a.db"))).await.unwrap();
    let mut tx = db.write_tx().await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap_err();
    let mut tx = db.write_tx().await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (x)").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(pragma(&db, "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys").await, "1");
}

#[tokio::test]
async fn readers_do_not_write() {
    let dir = tempfile::tempdir().unwrap();
    let db = SqliteDatabase::connect(&url(&dir.path().join("a.db"))).await.unwrap();
    let err = sqlx::query("CREATE TABLE t (x)").execute(db.reader()).await.unwrap_err();
    assert!(err.to_string().contains("readonly"), "{err}");
}

#[tokio::test]
async fn unusable_places_are_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let read_only = dir.path().join("read-only.db");
    std::fs::write(&read_only, "").unwrap();
    std::fs::set_permissions(&read_only, std::fs::Permissions::from_mode(0o444)).unwrap();
    for (path, says) in [
        (dir.path().to_path_buf(), "not a regular file"),
        (read_only, "read-only"),
        (dir.path().join("no/such/dir.db"), "create it first"),
    ] {
        let error = SqliteDatabase::connect(&url(&path)).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Config, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    std::fs::write(&path, "not a database at all, but long enough to have a header".repeat(40)).unwrap();
    let error = SqliteDatabase::connect(&url(&path)).await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Corrupt, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_can_open_a_new_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let url = url(&dir.path().join(format!("{round}.db")));
        let opening: Vec<_> = (0..8).map(|_| tokio::spawn(open(url.clone()))).collect();
        for handle in opening {
            handle.await.unwrap();
        }
    }
}

async fn open(url: String) {
    let db = SqliteDatabase::connect(&url).await.unwrap();
    db.write_tx().await.unwrap().commit().await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn a_missing_table_asks_for_migrate_and_a_closed_handle_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let db = SqliteDatabase::connect(&url(&dir.path().join("a.db"))).await.unwrap();
    let err = sqlx::query("SELECT * FROM task").fetch_all(db.reader()).await.unwrap_err();
    let error = sql_error("find a task", err);
    assert_eq!(error.kind(), BackendErrorKind::Config);
    assert!(error.to_string().contains("lovage migrate"), "{error}");
    db.close().await;
    db.close().await;
    assert_eq!(db.write_tx().await.unwrap_err().kind(), BackendErrorKind::Unavailable);
}

#[tokio::test]
async fn a_deleted_or_replaced_file_is_refused_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (path, aside) = (dir.path().join("a.db"), dir.path().join("aside.db"));
    let db = SqliteDatabase::connect(&url(&path)).await.unwrap();
    std::fs::rename(&path, &aside).unwrap();
    let error = db.write_tx().await.unwrap_err();
    assert_eq!(error.kind(), BackendErrorKind::Unavailable);
    assert!(error.to_string().contains("was deleted"), "{error}");
    std::fs::copy(&aside, &path).unwrap();
    let error = db.write_tx().await.unwrap_err();
    assert!(error.to_string().contains("was replaced"), "{error}");
    std::fs::rename(&aside, &path).unwrap();
    db.write_tx().await.unwrap();
}
