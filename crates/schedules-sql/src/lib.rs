//! The Lovage schedule in SQL.
//!
//! `lovage_schedule` has one row per entry, `lovage_firing` one for each slot that fired or was passed over. Both are there
//! to be read by other programs too, and the entries to be written: who changes one by hand needs to know nothing of what
//! beats write; see `migrations/` for the columns.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod page;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;

use lovage_core::BackendError;
use lovage_core::schedule::ScheduleStore;
use lovage_sql::{Database, Migration, Migrations};

/// The tables of the schedule.
pub static MIGRATIONS: Migrations = Migrations {
    component: "schedules",
    sqlite: &[Migration {
        version: 1,
        name: "schedules",
        sql: include_str!("../migrations/sqlite/0001_schedules.sql"),
    }],
    postgres: &[Migration {
        version: 1,
        name: "schedules",
        sql: include_str!("../migrations/postgres/0001_schedules.sql"),
    }],
    functions: &[],
};

/// A handle to the schedule in this database. On SQLite the tables are made where they are missing; on PostgreSQL
/// [`migrate`](lovage_sql::migrate) makes them when somebody says so.
///
/// # Errors
/// When the tables are missing, cannot be made, or are those of a newer release.
pub async fn open(db: Database) -> Result<Arc<dyn ScheduleStore>, BackendError> {
    match db {
        #[cfg(feature = "sqlite")]
        Database::Sqlite(db) => {
            lovage_sql::migrate(&db.clone().into(), &MIGRATIONS).await?;
            Ok(Arc::new(sqlite::SqliteSchedules::new(db)))
        }
        #[cfg(feature = "postgres")]
        Database::Postgres(db) => Ok(Arc::new(postgres::PgSchedules::open(db).await?)),
    }
}
