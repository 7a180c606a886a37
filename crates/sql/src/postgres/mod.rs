//! PostgreSQL: a few connections to one schema of one server.

mod connections;
mod database;
mod instant;
mod migrate;
mod pooler;
pub mod testing;
mod url;

pub use connections::PgTransaction;
pub use database::PgDatabase;
pub use instant::Instant;
pub(crate) use migrate::{migrate, pending};
