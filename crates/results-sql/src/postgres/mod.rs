//! PostgreSQL: a typed column for each part of a record.

mod audit;
mod batch;
mod list;
mod results;
mod row;
mod stats;
mod types;

pub use results::PgResults;

/// The text of a statement.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/postgres/", $name, ".sql"))
    };
}
/// The text of a statement that answers rows.
macro_rules! rows_sql {
    ($name:literal) => {
        concat!(crate::postgres::sql!("row"), crate::postgres::sql!($name))
    };
}
pub(crate) use {rows_sql, sql};

#[cfg(test)]
mod tests;
