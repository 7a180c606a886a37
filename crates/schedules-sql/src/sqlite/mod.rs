//! SQLite.

mod rows;
mod schedules;

pub(crate) use schedules::SqliteSchedules;

/// The text of a statement.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/sqlite/", $name, ".sql"))
    };
}
/// The text of a statement that answers entries.
macro_rules! rows_sql {
    ($name:literal) => {
        concat!(crate::sqlite::sql!("row"), crate::sqlite::sql!($name))
    };
}
pub(crate) use {rows_sql, sql};

#[cfg(test)]
mod tests;
