//! Lovage results in SQLite, to be kept, filtered and joined.
//!
//! `lovage_result` has one row per task, its newest state; `lovage_attempt` its ended attempts. Both are there to be read by
//! other programs too; see `migrations/` for their columns.

mod list;
mod results;

pub use results::SqlResults;

use lovage_sql::{Migration, Migrations};

/// The tables of the results.
pub static MIGRATIONS: Migrations = Migrations {
    component: "results",
    steps: &[Migration { version: 1, name: "results", sql: include_str!("../migrations/0001_results.sql") }],
};

/// The text of a statement.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql"))
    };
}
pub(crate) use sql;
