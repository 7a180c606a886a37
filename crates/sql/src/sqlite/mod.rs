//! SQLite: one writer and a few readers of one file.

mod database;
mod migrate;
mod mounts;
mod url;

pub use database::{SqliteDatabase, WriteTransaction};
pub(crate) use migrate::{migrate, pending};
