//! Connections that are kept between operations.
//!
//! The driver's own pool asks the server whether a connection is alive each time that one is given back, a round trip that
//! doubles what a short statement costs. Here a connection that failed is closed, with all that were idle beside it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use lovage_core::{BackendError, BackendErrorKind, Clock as _};
use lovage_system::SystemClock;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sql_error;

/// How long an operation may take in all. Longer than the server's own limit of a statement.
const DEADLINE: Duration = Duration::from_secs(35);
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Connections {
    options: PgConnectOptions,
    idle: Mutex<Vec<PgConnection>>,
    permits: Arc<Semaphore>,
    clock: SystemClock,
}

impl Connections {
    pub(crate) fn new(options: PgConnectOptions, most: usize) -> Arc<Self> {
        Arc::new(Self {
            options,
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(most)),
            clock: SystemClock::new(),
        })
    }

    /// Runs one statement, which is its own transaction. Dropping the future closes its connection.
    pub(crate) async fn rows(
        &self,
        context: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, BackendError> {
        let (_permit, mut connection) = self.take(context).await?;
        let answer = self.in_time(context, query.fetch_all(&mut connection)).await;
        if answer.is_ok() {
            self.lock().push(connection);
        } else {
            // Whatever ended this one has probably ended its idle neighbours.
            self.lock().clear();
        }
        answer
    }

    /// Starts a transaction. Dropping it without a commit closes its connection, which rolls it back.
    pub(crate) async fn begin(self: &Arc<Self>, context: &str) -> Result<PgTransaction, BackendError> {
        let (permit, mut connection) = self.take(context).await?;
        self.in_time(context, sqlx::query("BEGIN").execute(&mut connection)).await?;
        Ok(PgTransaction { connections: Arc::clone(self), connection, _permit: permit })
    }

    async fn take(&self, context: &str) -> Result<(OwnedSemaphorePermit, PgConnection), BackendError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| {
            unavailable(format!("{context}: the database handle was closed: the process is stopping"))
        })?;
        let kept = self.lock().pop();
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect(context).await?,
        };
        Ok((permit, connection))
    }

    /// A connection of its own, for what needs more than one statement.
    pub(crate) async fn connect(&self, context: &str) -> Result<PgConnection, BackendError> {
        let connecting = self.options.connect();
        match select(Box::pin(connecting), self.clock.sleep(CONNECT_DEADLINE)).await {
            // Nothing was sent yet: nothing can have been applied.
            Either::Left((answer, _)) => answer.map_err(|error| not_connected(context, error)),
            Either::Right(_) => Err(unavailable(format!(
                "{context}: PostgreSQL did not answer within {} s: is it reachable?",
                CONNECT_DEADLINE.as_secs()
            ))),
        }
    }

    pub(crate) async fn close(&self) {
        self.permits.close();
        let idle: Vec<PgConnection> = self.lock().drain(..).collect();
        for connection in idle {
            // The server notices a closed socket too.
            let _said_goodbye = connection.close().await;
        }
    }

    /// Ends what takes longer than the deadline of an operation.
    pub(crate) async fn in_time<T>(
        &self,
        context: &str,
        operation: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, BackendError> {
        match select(std::pin::pin!(operation), self.clock.sleep(DEADLINE)).await {
            Either::Left((answer, _)) => answer.map_err(|error| sql_error(context, error)),
            Either::Right(_) => {
                let message = format!("{context}: PostgreSQL did not answer within {} s", DEADLINE.as_secs());
                Err(unavailable(message).maybe_applied())
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction.
#[derive(Debug)]
pub struct PgTransaction {
    connections: Arc<Connections>,
    connection: PgConnection,
    _permit: OwnedSemaphorePermit,
}

impl PgTransaction {
    /// What to run statements on.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// What the server says; the transaction is lost then.
    pub async fn rows(
        &mut self,
        context: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, BackendError> {
        self.connections.in_time(context, query.fetch_all(&mut self.connection)).await
    }

    /// Makes it last.
    ///
    /// # Errors
    /// When the connection is lost, the transaction may have been committed all the same.
    pub async fn commit(mut self, context: &str) -> Result<(), BackendError> {
        self.connections.in_time(context, sqlx::query("COMMIT").execute(&mut self.connection)).await?;
        self.connections.lock().push(self.connection);
        Ok(())
    }
}

fn not_connected(context: &str, error: sqlx::Error) -> BackendError {
    if let sqlx::Error::Io(error) = error {
        let message = format!(
            "{context}: PostgreSQL cannot be reached ({error}): is it running, and are host and port right?"
        );
        return unavailable(message).with_source(error);
    }
    sql_error(context, error)
}

fn unavailable(message: String) -> BackendError {
    BackendError::new(BackendErrorKind::Unavailable, message)
}
