//! The handle to a PostgreSQL database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lovage_core::{BackendError, BackendErrorKind};
use sqlx::postgres::{PgArguments, PgListener, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};

use super::connections::{Connections, Deadlines, PgTransaction};
use super::pooler::refuse_transaction_pooling;
use super::url::PgUrl;
use crate::error::{code_of, sql_error};
use crate::migrate::Migrations;

/// The oldest version that has what the statements use.
const OLDEST: i32 = 13;
/// How often an operation is tried that is undone each time.
const UNDISTURBED: usize = 6;

/// A PostgreSQL database, opened and checked. Cheap to clone; clones share the connections, which belong to the
/// runtime that opened them.
#[derive(Clone)]
pub struct PgDatabase {
    url: Arc<PgUrl>,
    connections: Arc<Connections>,
    deadlines: Deadlines,
}

impl PgDatabase {
    /// Opens `postgres://user:password@host:5432/database`. Beside the driver's settings (`sslmode`, `sslrootcert`,
    /// `sslcert`, `sslkey`, `application_name`, …) the query may have
    /// - `schema`: where the tables are, made by `migrate` (default: the first of the user's `search_path`);
    /// - `connections`: at most this many at once, 1 to 100 (default 8), and one more that waits for notifications.
    ///
    /// # Errors
    /// `Config` for a URL that is not understood, a database that does not exist, a server older than 13; `Auth` for
    /// wrong credentials; `Unavailable` where the server cannot be reached.
    pub async fn connect(url: &str) -> Result<Self, BackendError> {
        const CONTEXT: &str = "connect to PostgreSQL";
        let url = PgUrl::parse(url)?;
        refuse_transaction_pooling(&url.options).await?;
        let database = Self::new(url);
        let version = database.rows(CONTEXT, sqlx::query("SHOW server_version_num")).await?;
        let version: String = match version.first() {
            Some(row) => row.try_get(0).map_err(|error| sql_error(CONTEXT, error))?,
            None => String::new(),
        };
        database.require_settings(CONTEXT).await?;
        let major = version.parse::<i32>().unwrap_or(0) / 10_000;
        if major < OLDEST {
            return Err(BackendError::new(
                BackendErrorKind::Config,
                format!("the server is PostgreSQL {major} and Lovage needs {OLDEST} or later: upgrade it"),
            ));
        }
        Ok(database)
    }

    fn new(url: PgUrl) -> Self {
        let connections = Connections::new(url.clone());
        Self { url: Arc::new(url), connections, deadlines: Deadlines::default() }
    }

    /// The same database and connections for statements that may be slow (searches, counts, purges): each may take 35 s instead
    /// of 10 s.
    #[must_use]
    pub fn slow(&self) -> Self {
        let deadlines = Deadlines { operation: self.deadlines.slow_operation, ..self.deadlines };
        Self { deadlines, ..self.clone() }
    }

    /// The same database where every operation and every probe must end within `limit`, for tests that cannot wait for the real
    /// limits.
    #[doc(hidden)]
    #[must_use]
    pub fn with_silence_limit(&self, limit: Duration) -> Self {
        let deadlines = Deadlines { operation: limit, probe: limit, probe_interval: limit, ..self.deadlines };
        Self { deadlines, ..self.clone() }
    }

    /// Checks that a session keeps its parameters from one statement to the next.
    async fn require_settings(&self, context: &str) -> Result<(), BackendError> {
        let mut kept = vec![("statement_timeout", "30s"), ("enable_seqscan", "off")];
        kept.extend(self.schema().map(|schema| ("search_path", schema)));
        for (name, expected) in kept {
            let rows = self.rows(context, sqlx::query("SELECT current_setting($1)").bind(name)).await?;
            let found = rows.first().map(|row| row.try_get::<String, _>(0)).transpose();
            let found = found.map_err(|error| sql_error(context, error))?.unwrap_or_default();
            if found != expected {
                return Err(BackendError::new(
                    BackendErrorKind::Config,
                    format!(
                        "{context}: the session does not keep its parameters ({name} was set to {expected} and is {found}): a \
                         pooler between this process and {} must pool by session (docs/postgres.md)",
                        self.place()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The same database with connections of its own, made on the runtime that uses it.
    #[must_use]
    pub fn separate(&self) -> Self {
        let separate = Self::new(PgUrl { connections: 1, ..PgUrl::clone(&self.url) });
        Self { deadlines: self.deadlines, ..separate }
    }

    /// Runs one statement, which is its own transaction, named by `context` in errors ("publish to queue mail").
    ///
    /// # Errors
    /// See [`sql_error`]; an error after the statement was sent says that it may have been applied. A server that does
    /// not answer within 10 s is unavailable; see [`slow`](Self::slow).
    pub async fn rows(
        &self,
        context: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, BackendError> {
        self.connections.rows(context, query, self.deadlines.operation).await
    }

    /// Repeats an operation that the server undid because it and others waited for each other (codes `40P01` and `40001`).
    ///
    /// # Errors
    /// Those of the operation.
    pub async fn undisturbed<T, F>(&self, operation: impl Fn() -> F) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, BackendError>>,
    {
        for _ in 1..UNDISTURBED {
            match operation().await {
                Err(error) if was_undone(&error) => {}
                answer => return answer,
            }
        }
        operation().await
    }

    /// Checks that the tables of a component are there and up to date.
    ///
    /// # Errors
    /// `Config` when they are missing, old, or those of a newer release.
    pub async fn require(&self, migrations: &Migrations) -> Result<(), BackendError> {
        if super::pending(self, migrations).await?.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the tables of the {} in {} are missing or old: run `lovage migrate` with the same URL",
            migrations.component,
            self.place()
        );
        Err(BackendError::new(BackendErrorKind::Config, message))
    }

    /// Starts a transaction on one of the connections.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn begin(&self, context: &str) -> Result<PgTransaction, BackendError> {
        self.connections.begin(context, self.deadlines.operation).await
    }

    /// Ends what takes longer than an operation may take (10 s, or 35 s of a [`slow`](Self::slow) handle), with an error that says that it may have been applied.
    ///
    /// # Errors
    /// That, and those of the operation.
    pub async fn in_time<T>(
        &self,
        context: &str,
        operation: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, BackendError> {
        self.connections.in_time(context, self.deadlines.operation, operation).await
    }

    /// Time after which a connection that listens and hears nothing has to be [probed](Self::probe).
    #[must_use]
    pub const fn probe_interval(&self) -> Duration {
        self.deadlines.probe_interval
    }

    /// Asks the server on a connection that listens for an answer, within 5 s.
    ///
    /// # Errors
    /// When none comes: the listener has to be made again.
    pub async fn probe(&self, context: &str, listener: &mut PgListener) -> Result<(), BackendError> {
        let probe = sqlx::query("SELECT 1").execute(listener);
        self.connections.in_time(context, self.deadlines.probe, probe).await.map(drop)
    }

    /// A connection of its own, for what needs more than one statement.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn dedicated(&self, context: &str) -> Result<PgConnection, BackendError> {
        self.connections.connect(context).await
    }

    /// Listens on a channel, with a connection of its own that is made again when it is lost.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn listen(&self, channel: &str) -> Result<PgListener, BackendError> {
        const CONTEXT: &str = "listen for notifications";
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(self.url.options.clone());
        let listening = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(channel).await?;
            Ok(listener)
        };
        self.connections.in_time(CONTEXT, self.deadlines.connect, listening).await
    }

    /// The schema that the URL names.
    pub(crate) fn schema(&self) -> Option<&str> {
        self.url.schema.as_deref()
    }

    /// Where it is, without secrets: two handles with the same place see the same tables.
    #[must_use]
    pub fn place(&self) -> String {
        let options = &self.url.options;
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        let schema = self.schema().map(|schema| format!("?schema={schema}")).unwrap_or_default();
        format!("postgres://{}:{}/{database}{schema}", options.get_host(), options.get_port())
    }

    /// Closes the connections after what runs on them has ended. Later calls fail as `Unavailable`.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}

fn was_undone(error: &BackendError) -> bool {
    matches!(code_of(error), Some("40P01" | "40001"))
}

impl fmt::Debug for PgDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgDatabase").field("place", &self.place()).finish_non_exhaustive()
    }
}
