//! PostgreSQL.

mod columns;
mod listen;
mod rows;
mod schedules;

pub(crate) use schedules::PgSchedules;

/// The text of a statement.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/postgres/", $name, ".sql"))
    };
}
/// The text of a statement that answers entries.
macro_rules! rows_sql {
    ($name:literal) => {
        concat!(crate::postgres::sql!("row"), crate::postgres::sql!($name))
    };
}
pub(crate) use {rows_sql, sql};

#[cfg(test)]
mod tests;
