//! Where the application's transactions leave their messages.

use std::sync::Arc;

use lovage_core::{BackendError, BackendErrorKind, Broker, Message, ResultStore, TaskId, Timestamp};
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

/// How much is in an outbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutboxDepth {
    /// Messages that no relay has published yet.
    pub waiting: u64,
    /// When the oldest of them was written, by the database's clock.
    pub oldest: Option<Timestamp>,
    /// Rows that were set aside because no relay can read them.
    pub refused: u64,
}

/// A row that no relay can read, in `lovage_outbox_refused`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedRow {
    /// Its number there.
    pub seq: i64,
    /// The task's id, where that can be read.
    pub id: Option<TaskId>,
    /// The queue as it was written.
    pub queue: String,
    /// What is wrong.
    pub reason: String,
    /// When it was set aside, by the database's clock.
    pub at: Timestamp,
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

    /// What publishes to this broker what transactions have left here. There may be any number of them. With results it
    /// passes over what has ended already: a relay that died had published it.
    pub fn relay(&self, broker: Arc<dyn Broker>, results: Option<Arc<dyn ResultStore>>) -> Relay {
        Relay::new(self, broker, results)
    }

    /// Whether a message waits here, in a transaction that has committed.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn holds(&self, id: TaskId) -> Result<bool, BackendError> {
        match &self.0 {
            #[cfg(feature = "postgres")]
            Kind::Postgres(outbox) => outbox.holds(id).await,
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(outbox) => outbox.holds(id).await,
        }
    }

    /// How much is in it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn depth(&self) -> Result<OutboxDepth, BackendError> {
        match &self.0 {
            #[cfg(feature = "postgres")]
            Kind::Postgres(outbox) => outbox.depth().await,
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(outbox) => outbox.depth().await,
        }
    }

    /// The newest rows that were set aside, `limit` at most.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn refused(&self, limit: u32) -> Result<Vec<RefusedRow>, BackendError> {
        match &self.0 {
            #[cfg(feature = "postgres")]
            Kind::Postgres(outbox) => outbox.refused(limit).await,
            #[cfg(feature = "sqlite")]
            Kind::Sqlite(outbox) => outbox.refused(limit).await,
        }
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

impl OutboxDepth {
    pub(crate) fn new(waiting: i64, oldest: Option<i64>, refused: i64) -> Self {
        let count = |count| u64::try_from(count).unwrap_or(0);
        Self { waiting: count(waiting), oldest: oldest.map(Timestamp::from_micros), refused: count(refused) }
    }
}

#[cfg(all(feature = "sqlite", feature = "postgres"))]
fn other_kind(outbox: &str, tx: &str) -> BackendError {
    let message =
        format!("the outbox is in {outbox} and the transaction is {tx}'s: name an outbox in its database");
    BackendError::new(BackendErrorKind::Config, message)
}
