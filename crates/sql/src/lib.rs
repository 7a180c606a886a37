//! One handle to the SQL databases of Lovage: connection set-up and migrations.
//!
//! [`Database`] is shared (it is cheap to clone) by everything in one process that keeps data in the same database.
//! [`migrate`] brings the tables of one component to the version that the program knows. What is in those tables is not
//! this crate's business. Each kind of database has a module and a feature of its own.

mod database;
mod error;
mod migrate;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use database::Database;
pub use error::sql_error;
pub use migrate::{Function, Migration, Migrations, Step, migrate, pending};
