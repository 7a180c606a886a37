//! Lovage results in SQL, to be kept, filtered and joined.
//!
//! `lovage_result` has one row per task, its newest state; `lovage_attempt` its ended attempts. Both are there to be read by
//! other programs too; see `migrations/` for their columns.

#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;

use lovage_core::{BackendError, ResultStore};
use lovage_sql::{Database, Migration, Migrations};

/// The tables of the results.
pub static MIGRATIONS: Migrations = Migrations {
    component: "results",
    sqlite: &[Migration {
        version: 1,
        name: "results",
        sql: include_str!("../migrations/sqlite/0001_results.sql"),
    }],
    postgres: &[],
};

/// The results in this database. On SQLite the tables are made where they are missing; on PostgreSQL
/// [`migrate`](lovage_sql::migrate) makes them when somebody says so.
///
/// # Errors
/// When the tables are missing, cannot be made, or are those of a newer release.
pub async fn open(db: Database) -> Result<Arc<dyn ResultStore>, BackendError> {
    match db {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(db) => {
            lovage_sql::migrate(&db.clone().into(), &MIGRATIONS).await?;
            Ok(Arc::new(sqlite::SqliteResults::new(db)))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(_) => Err(BackendError::new(
            lovage_core::BackendErrorKind::Unsupported,
            "PostgreSQL is not in this release yet",
        )),
    }
}
