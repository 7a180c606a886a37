//! The Lovage broker on SQL databases: SQLite, the embedded default, for any number of processes on one machine, and
//! PostgreSQL for many machines.
//!
//! Each has a layout of its own, because what is fast in one is slow in the other. Their statements are in `sql/`, named
//! like the operations of the trait.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod inbox;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;

use lovage_core::{BackendError, Broker};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use lovage_core::{BackendErrorKind, RedactedArg};
use lovage_sql::{Database, Migration, Migrations};
#[cfg(feature = "postgres")]
pub use postgres::PgBroker;

macro_rules! step {
    ($database:literal, $version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../migrations/", $database, "/000", $version, "_", $name, ".sql")),
        }
    };
}

/// The tables of this broker.
pub static MIGRATIONS: Migrations = Migrations {
    component: "broker",
    sqlite: &[
        step!("sqlite", 1, "broker"),
        step!("sqlite", 2, "claims"),
        step!("sqlite", 3, "rate"),
        step!("sqlite", 4, "hidden"),
    ],
    postgres: &[
        step!("postgres", 1, "tables"),
        step!("postgres", 2, "waking"),
        step!("postgres", 3, "publish"),
        step!("postgres", 4, "reserve"),
        step!("postgres", 5, "settle"),
        step!("postgres", 6, "maintain"),
        step!("postgres", 7, "control"),
        step!("postgres", 8, "rate"),
        step!("postgres", 9, "hidden"),
    ],
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
        Database::Postgres(db) => Ok(Arc::new(PgBroker::open(db).await?)),
    }
}

/// A value of a row that this crate did not write.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn corrupt(what: &str) -> BackendError {
    BackendError::new(
        BackendErrorKind::Corrupt,
        format!(
            "the broker's table has {what}: somebody else wrote to it; restore it from a backup or remove the row"
        ),
    )
}

/// What a task hides.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn marks(json: &str) -> Result<Vec<RedactedArg>, BackendError> {
    serde_json::from_str(json).map_err(|_| corrupt("marks of hidden arguments that cannot be read"))
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn not_a_cursor(text: &str) -> BackendError {
    let message = format!("`{text}` is no end of a page: pass on what the last page said");
    BackendError::new(BackendErrorKind::Config, message)
}
