//! PostgreSQL: each operation is one call of a function in the database, in `functions/`. So it is one round trip
//! and one transaction, and what has to happen together is written together.

mod broker;
mod control;
mod inspect;
mod leases;
mod mailbox;
mod publish;
mod reserve;
mod rows;
mod settle;

pub use broker::PgBroker;

/// The text of a statement.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/postgres/", $name, ".sql"))
    };
}
pub(crate) use sql;
