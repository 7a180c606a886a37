//! The Lovage broker on SQLite: the embedded default, for any number of processes on one machine.
//!
//! One table holds one row per live message; its statements are in `sql/`, named like the operations of the trait. Other
//! participants are woken by a byte on their socket, not by polling (see `wake`).

mod broker;
mod control;
mod inspect;
mod maintain;
mod publish;
mod registry;
mod reserve;
mod rows;
mod settle;
mod wake;

pub use broker::SqlBroker;

use lovage_sql::{Migration, Migrations};

/// The tables of this broker.
pub static MIGRATIONS: Migrations = Migrations {
    component: "broker",
    steps: &[Migration { version: 1, name: "broker", sql: include_str!("../migrations/0001_broker.sql") }],
};

/// The text of a statement.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../sql/", $name, ".sql"))
    };
}
pub(crate) use sql;
