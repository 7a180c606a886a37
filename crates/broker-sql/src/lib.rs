//! The Lovage broker on SQL databases: SQLite, the embedded default, for any number of processes on one machine, and
//! PostgreSQL for many machines.
//!
//! Each has a layout of its own, because what is fast in one is slow in the other. Their statements are in `sql/`, named
//! like the operations of the trait.

#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;

use lovage_core::{BackendError, Broker};
use lovage_sql::{Database, Migration, Migrations};

/// The tables of this broker.
pub static MIGRATIONS: Migrations = Migrations {
    component: "broker",
    sqlite: &[Migration {
        version: 1,
        name: "broker",
        sql: include_str!("../migrations/sqlite/0001_broker.sql"),
    }],
    postgres: &[],
};

/// A new participant of the broker in this database. On SQLite the tables are made where they are missing; on PostgreSQL
/// [`migrate`](lovage_sql::migrate) makes them when somebody says so.
///
/// # Errors
/// When the tables are missing, cannot be made, or are those of a newer release.
pub async fn open(db: Database) -> Result<Arc<dyn Broker>, BackendError> {
    match db {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(db) => {
            lovage_sql::migrate(&db.clone().into(), &MIGRATIONS).await?;
            Ok(Arc::new(sqlite::SqliteBroker::new(db)))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(_) => Err(BackendError::new(
            lovage_core::BackendErrorKind::Unsupported,
            "PostgreSQL is not in this release yet",
        )),
    }
}
