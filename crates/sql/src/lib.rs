//! One handle to the SQL databases of Lovage: connection set-up and migrations.
//!
//! [`Database`] is shared (it is cheap to clone) by everything in one process that keeps data in the same
//! database, so that a process has one writer. [`migrate`] brings the tables of one component to the
//! version that the program knows. What is in those tables is not this crate's business.

mod database;
mod error;
mod migrate;
mod mounts;
mod url;

pub use database::{Database, WriteTransaction};
pub use error::sql_error;
pub use migrate::{Migration, Migrations, migrate, pending};
