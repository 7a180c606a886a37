//! Lovage results in SQL, to be kept, filtered and joined.
//!
//! `lovage_result` has one row per task, its newest state; `lovage_attempt` its ended attempts. Both are there to be read by
//! other programs too; see `migrations/` for their columns. `lovage_stat` and `lovage_stat_depth` have what happened per minute,
//! `lovage_audit` who did what by a dashboard.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod audit;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod page;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod rules;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod stats;

use std::sync::Arc;

use lovage_core::{BackendError, ResultStore};
use lovage_sql::{Database, Migration, Migrations};
#[cfg(feature = "postgres")]
pub use postgres::PgResults;

/// The tables of the results.
pub static MIGRATIONS: Migrations = Migrations {
    component: "results",
    sqlite: &[
        Migration { version: 1, name: "results", sql: include_str!("../migrations/sqlite/0001_results.sql") },
        Migration { version: 2, name: "stats", sql: include_str!("../migrations/sqlite/0002_stats.sql") },
        Migration { version: 3, name: "audit", sql: include_str!("../migrations/sqlite/0003_audit.sql") },
    ],
    postgres: &[
        Migration {
            version: 1,
            name: "results",
            sql: include_str!("../migrations/postgres/0001_results.sql"),
        },
        Migration { version: 2, name: "stats", sql: include_str!("../migrations/postgres/0002_stats.sql") },
        Migration { version: 3, name: "search", sql: include_str!("../migrations/postgres/0003_search.sql") },
        Migration { version: 4, name: "audit", sql: include_str!("../migrations/postgres/0004_audit.sql") },
    ],
    functions: &[],
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
        Database::Postgres(db) => Ok(Arc::new(PgResults::open(db).await?)),
    }
}
