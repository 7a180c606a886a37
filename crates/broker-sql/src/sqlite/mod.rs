//! SQLite: one table holds one row per live message. Other participants are woken by a byte on their socket, not by polling
//! (see `wake`).

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

pub(crate) use broker::SqliteBroker;

/// The text of a statement.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/sqlite/", $name, ".sql"))
    };
}
pub(crate) use sql;
