//! The Lovage broker on SQL databases: SQLite, the embedded default, for any number of processes on one machine, and
//! PostgreSQL for many machines.
//!
//! Each has a layout of its own, because what is fast in one is slow in the other. Their statements are in `sql/`, named
//! like the operations of the trait; the functions of PostgreSQL are in `functions/`, one per file.

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
use lovage_sql::{Database, Function, Migration, Migrations};
#[cfg(feature = "postgres")]
pub use postgres::PgBroker;

macro_rules! functions {
    ($($name:literal),+ $(,)?) => {
        &[$(Function { name: $name, sql: include_str!(concat!("../functions/", $name, ".sql")) }),+]
    };
}

/// The tables and functions of this broker.
pub static MIGRATIONS: Migrations = Migrations {
    component: "broker",
    sqlite: &[Migration {
        version: 1,
        name: "broker",
        sql: include_str!("../migrations/sqlite/0001_broker.sql"),
    }],
    postgres: &[Migration {
        version: 1,
        name: "tables",
        sql: include_str!("../migrations/postgres/0001_tables.sql"),
    }],
    functions: functions![
        "lovage_now",
        "lovage_queue_id",
        "lovage_announce",
        "lovage_tell_handle",
        "lovage_wake_one",
        "lovage_next_event",
        "lovage_nudge",
        "lovage_make_ready",
        "lovage_delay",
        "lovage_promote_due",
        "lovage_finish",
        "lovage_publish",
        "lovage_publish_one",
        "lovage_replaceable",
        "lovage_revoke_waiting",
        "lovage_wake_at_commit",
        "lovage_kinds",
        "lovage_ready_head",
        "lovage_take_sorted",
        "lovage_nudge_for_others",
        "lovage_reserve",
        "lovage_reserve_many",
        "lovage_claim_timer",
        "lovage_started",
        "lovage_keep",
        "lovage_settle",
        "lovage_bury",
        "lovage_trim_dead",
        "lovage_watch",
        "lovage_maintain",
        "lovage_maintain_many",
        "lovage_reclaim",
        "lovage_extend",
        "lovage_place",
        "lovage_cancel",
        "lovage_promote",
        "lovage_purge",
        "lovage_pause",
        "lovage_requeue_dead",
        "lovage_delete_dead",
        "lovage_limit",
        "lovage_learn",
        "lovage_heartbeat",
        "lovage_tell",
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

/// The slot kind of a number in a row; `None` for a message that no worker has sorted yet.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn kind_of_number(number: i64) -> Option<lovage_core::SlotKind> {
    lovage_core::SlotKind::ALL.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}

/// The number of a slot kind in a row.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) fn number_of_kind(kind: lovage_core::SlotKind) -> i64 {
    i64::try_from(kind.index()).map_or(0, |index| index + 1)
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
