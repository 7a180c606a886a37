//! Where the application's transactions leave their messages.

use std::sync::Arc;

use lovage_core::{BackendError, BackendErrorKind, Broker, Message};
use lovage_sql::Database;

#[cfg(feature = "postgres")]
use crate::postgres::PgOutbox;
#[cfg(feature = "sqlite")]
use crate::sqlite::SqliteOutbox;
use crate::{Relay, Tx};

/// The outbox of an application's database, opened and checked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox(pub(crate) Kind);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    #[cfg(feature = "postgres")]
    Postgres(PgOutbox),
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteOutbox),
}

impl Outbox {
    /// Opens the outbox of the database that a URL names, `postgres://…` or `sqlite://…`.
    ///
    /// # Errors
    /// Those of [`Database::connect`] and [`open`](Self::open).
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        Self::open(Database::connect(url).await?).await
    }

    /// The outbox of a database. On SQLite its tables are made where they are missing; on PostgreSQL
    /// [`migrate`](lovage_sql::migrate) makes them when somebody says so.
    ///
    /// # Errors
    /// When the tables are missing, cannot be made, or are those of a newer release.
    pub async fn open(db: Database) -> Result<Self, BackendError> {
        match db {
            #[cfg(feature = "sqlite")]
            Database::Sqlite(db) => {
                lovage_sql::migrate(&db.clone().into(), &crate::MIGRATIONS).await?;
                Ok(Self(Kind::Sqlite(SqliteOutbox::new(db))))
            }
            #[cfg(feature = "postgres")]
            Database::Postgres(db) => Ok(Self(Kind::Postgres(PgOutbox::open(db).await?))),
        }
    }

    /// Whether it is in a database of the same kind as this transaction.
    #[must_use]
    pub fn fits(&self, tx: &Tx<'_>) -> bool {
        match (&self.0, tx) {
            #[cfg(feature = "postgres")]
            (Kind::Postgres(_), Tx::Postgres(_)) => true,
            #[cfg(feature = "sqlite")]
            (Kind::Sqlite(_), Tx::Sqlite(_)) => true,
            #[cfg(all(feature = "sqlite", feature = "postgres"))]
            (Kind::Postgres(_), Tx::Sqlite(_)) | (Kind::Sqlite(_), Tx::Postgres(_)) => false,
        }
    }

    /// Writes messages in the application's transaction: they exist if and when it commits, and a relay is woken then.
    ///
    /// # Errors
    /// `Config` when the connection is to another database than this outbox's; what the database says. On PostgreSQL the
    /// transaction is lost then.
    pub async fn write(&self, tx: Tx<'_>, batch: &[Message]) -> Result<(), BackendError> {
        if batch.is_empty() {
            return Ok(());
        }
        match (&self.0, tx) {
            #[cfg(feature = "postgres")]
            (Kind::Postgres(outbox), Tx::Postgres(connection)) => outbox.write(connection, batch).await,
            #[cfg(feature = "sqlite")]
            (Kind::Sqlite(outbox), Tx::Sqlite(connection)) => outbox.write(connection, batch).await,
            #[cfg(all(feature = "sqlite", feature = "postgres"))]
            (Kind::Postgres(_), Tx::Sqlite(_)) => Err(other_kind("PostgreSQL", "SQLite")),
            #[cfg(all(feature = "sqlite", feature = "postgres"))]
            (Kind::Sqlite(_), Tx::Postgres(_)) => Err(other_kind("SQLite", "PostgreSQL")),
        }
    }

    /// What publishes to this broker what transactions have left here. There may be any number of them.
    #[must_use]
    pub fn relay(&self, broker: Arc<dyn Broker>) -> Relay {
        Relay::new(self, broker)
    }
}

/// What the application's connection says when it has no outbox.
pub(crate) fn not_here(place: &str, error: sqlx::Error) -> BackendError {
    let message = format!(
        "the connection of this transaction has no table lovage_outbox: expected one to {place}, which is named as the \
         outbox; use a transaction of that database, or name the right one"
    );
    BackendError::new(BackendErrorKind::Config, message).with_source(error)
}

#[cfg(all(feature = "sqlite", feature = "postgres"))]
fn other_kind(outbox: &str, tx: &str) -> BackendError {
    let message =
        format!("the outbox is in {outbox} and the transaction is {tx}'s: name an outbox in its database");
    BackendError::new(BackendErrorKind::Config, message)
}
