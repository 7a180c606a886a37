//! Lovage messages in the transactions of an application's own database, and the relay that publishes them.
//!
//! [`Outbox::write`] adds rows to `lovage_outbox` through the application's connection: they exist if and when its transaction
//! commits. A [`Relay`] gives them to the broker and then removes them, in this order, so that each is published at least
//! once; a second time is a duplicate by its id while the task is live, and passed over once its end is in the results. It
//! needs the feature `sqlite` or `postgres`.

mod outbox;
#[cfg(feature = "postgres")]
mod postgres;
mod relay;
#[cfg(feature = "sqlite")]
mod sqlite;
mod stored;
mod tx;

use lovage_sql::{Migration, Migrations};

pub use outbox::{Outbox, OutboxDepth, RefusedRow};
pub use relay::Relay;
pub use tx::Tx;

/// The tables of the outbox.
pub static MIGRATIONS: Migrations = Migrations {
    component: "outbox",
    sqlite: &[Migration {
        version: 1,
        name: "outbox",
        sql: include_str!("../migrations/sqlite/0001_outbox.sql"),
    }],
    postgres: &[Migration {
        version: 1,
        name: "outbox",
        sql: include_str!("../migrations/postgres/0001_outbox.sql"),
    }],
    functions: &[],
};

/// The text of a statement.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;
