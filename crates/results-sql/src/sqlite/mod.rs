//! SQLite: each row keeps its record as JSON, and what is filtered by is computed from it.

mod audit;
mod list;
mod results;
mod stats;

pub(crate) use results::SqliteResults;

/// The text of a statement.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/sqlite/", $name, ".sql"))
    };
}
pub(crate) use sql;
