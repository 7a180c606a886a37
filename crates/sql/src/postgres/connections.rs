//! Connections that are kept between operations.
//!
//! The driver's own pool asks the server whether a connection is alive each time that one is given back, a round trip that
//! doubles what a short statement costs. Here a connection that failed is closed, with all that were idle beside it, and
//! only one that nobody has used for a while is asked first: the server may have been restarted since.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use lovage_core::{BackendError, BackendErrorKind, Clock as _, format_duration};
use lovage_system::SystemClock;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Postgres, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::url::PgUrl;
use crate::sql_error;

/// Time that an operation may take in all. A peer that falls silent without closing its connections is noticed by it.
const DEADLINE: Duration = Duration::from_secs(10);
/// The same of an operation that may be slow. Longer than the server's own limit of a statement.
const SLOW_DEADLINE: Duration = Duration::from_secs(35);
/// Time between two probes of a connection that listens; with [`PROBE_DEADLINE`] less than 15 s.
const PROBE_INTERVAL: Duration = Duration::from_secs(8);
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// A connection that was idle for longer is asked whether it is alive. Longer than an idle worker's heartbeat is apart, so
/// that it costs a worker nothing.
const DOUBTFUL: Duration = Duration::from_secs(6);
/// One that does not answer by then is dead: a router has forgotten it, say.
const PING_DEADLINE: Duration = Duration::from_secs(2);

/// The limits of operations, after which a connection counts as silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    pub(crate) operation: Duration,
    pub(crate) slow_operation: Duration,
    pub(crate) connect: Duration,
    pub(crate) probe: Duration,
    pub(crate) probe_interval: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            operation: DEADLINE,
            slow_operation: SLOW_DEADLINE,
            connect: CONNECT_DEADLINE,
            probe: PROBE_DEADLINE,
            probe_interval: PROBE_INTERVAL,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Connections {
    url: PgUrl,
    idle: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
    /// See [`DOUBTFUL`].
    doubtful: Duration,
    clock: SystemClock,
}

#[derive(Debug)]
struct Idle {
    connection: PgConnection,
    /// By the monotonic clock.
    since: Duration,
}

impl Connections {
    pub(crate) fn new(url: PgUrl) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(url.connections)),
            url,
            doubtful: DOUBTFUL,
            clock: SystemClock::new(),
        })
    }

    /// Runs one statement, which is its own transaction. Dropping the future closes its connection.
    pub(crate) async fn rows(
        &self,
        context: &str,
        query: Query<'_, Postgres, PgArguments>,
        deadline: Duration,
    ) -> Result<Vec<PgRow>, BackendError> {
        let (_permit, mut connection) = self.take(context).await?;
        let answer = self.in_time(context, deadline, query.fetch_all(&mut connection)).await;
        if answer.is_ok() {
            self.keep(connection);
        } else {
            // Whatever ended this one has probably ended its idle neighbours.
            self.lock().clear();
        }
        answer
    }

    /// Starts a transaction. Dropping it without a commit closes its connection, which rolls it back.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        context: &str,
        deadline: Duration,
    ) -> Result<PgTransaction, BackendError> {
        let (permit, mut connection) = self.take(context).await?;
        self.in_time(context, deadline, sqlx::query("BEGIN").execute(&mut connection)).await?;
        Ok(PgTransaction { connections: Arc::clone(self), connection, deadline, _permit: permit })
    }

    async fn take(&self, context: &str) -> Result<(OwnedSemaphorePermit, PgConnection), BackendError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| {
            unavailable(format!("{context}: the database handle was closed: the process is stopping"))
        })?;
        let kept = self.lock().pop();
        let alive = match kept {
            Some(idle) => self.alive(idle).await,
            None => None,
        };
        let connection = match alive {
            Some(connection) => connection,
            None => self.connect(context).await?,
        };
        Ok((permit, connection))
    }

    /// The connection, if it is to be trusted; its idle neighbours end with it otherwise.
    async fn alive(&self, idle: Idle) -> Option<PgConnection> {
        let Idle { mut connection, since } = idle;
        if self.clock.monotonic().saturating_sub(since) < self.doubtful {
            return Some(connection);
        }
        let answers = match select(Box::pin(connection.ping()), self.clock.sleep(PING_DEADLINE)).await {
            Either::Left((answer, _)) => answer.is_ok(),
            Either::Right(_) => false,
        };
        if answers {
            return Some(connection);
        }
        self.lock().clear();
        None
    }

    fn keep(&self, connection: PgConnection) {
        let since = self.clock.monotonic();
        self.lock().push(Idle { connection, since });
    }

    /// A connection of its own, for what needs more than one statement.
    pub(crate) async fn connect(&self, context: &str) -> Result<PgConnection, BackendError> {
        let connecting = self.url.options.connect();
        let opening = async {
            // Nothing was sent yet: nothing can have been applied.
            let mut connection = connecting.await.map_err(|error| not_connected(context, error))?;
            self.set_up(context, &mut connection).await?;
            Ok(connection)
        };
        match select(Box::pin(opening), self.clock.sleep(self.url.connect_timeout)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(unavailable(format!(
                "{context}: PostgreSQL did not answer within {} s: is it reachable?",
                self.url.connect_timeout.as_secs()
            ))),
        }
    }

    /// Sets the session's parameters, in one round trip.
    async fn set_up(&self, context: &str, connection: &mut PgConnection) -> Result<(), BackendError> {
        // The names and values were checked, and quoted, when the URL was read.
        let statement = sqlx::AssertSqlSafe(format!("{}, pg_is_in_recovery()", self.url.set_up()));
        let row = sqlx::raw_sql(statement).fetch_one(connection).await;
        let row = row.map_err(|error| not_connected(context, error))?;
        let is_standby: bool =
            row.try_get(self.url.settings.len()).map_err(|error| sql_error(context, error))?;
        if is_standby && self.url.requires_primary {
            return Err(unavailable(format!(
                "{context}: the server is a standby, and the URL asks for the primary (target_session_attrs)"
            )));
        }
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.permits.close();
        let idle: Vec<Idle> = self.lock().drain(..).collect();
        for idle in idle {
            // The server notices a closed socket too.
            let _said_goodbye = idle.connection.close().await;
        }
    }

    /// Ends an operation that takes longer than `deadline`.
    pub(crate) async fn in_time<T>(
        &self,
        context: &str,
        deadline: Duration,
        operation: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, BackendError> {
        match select(std::pin::pin!(operation), self.clock.sleep(deadline)).await {
            Either::Left((answer, _)) => answer.map_err(|error| sql_error(context, error)),
            Either::Right(_) => {
                let message = format!(
                    "{context}: PostgreSQL did not answer within {}; it may have been applied",
                    format_duration(deadline)
                );
                Err(unavailable(message).maybe_applied())
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction.
#[derive(Debug)]
pub struct PgTransaction {
    connections: Arc<Connections>,
    connection: PgConnection,
    deadline: Duration,
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
        self.connections.in_time(context, self.deadline, query.fetch_all(&mut self.connection)).await
    }

    /// Makes it last.
    ///
    /// # Errors
    /// When the connection is lost, the transaction may have been committed all the same.
    pub async fn commit(mut self, context: &str) -> Result<(), BackendError> {
        self.connections
            .in_time(context, self.deadline, sqlx::query("COMMIT").execute(&mut self.connection))
            .await?;
        self.connections.keep(self.connection);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::testing;

    async fn one(connections: &Connections, query: Query<'_, Postgres, PgArguments>) -> i32 {
        connections.rows("test", query, DEADLINE).await.unwrap()[0].try_get(0).unwrap()
    }

    #[tokio::test]
    async fn a_connection_that_ended_while_it_was_idle_is_made_again() {
        let url = PgUrl::parse(&testing::fresh_url().unwrap()).unwrap();
        let mut connections = Connections::new(PgUrl { connections: 1, ..url.clone() });
        let other = Connections::new(url);
        Arc::get_mut(&mut connections).unwrap().doubtful = Duration::ZERO;
        let own = || sqlx::query("SELECT pg_backend_pid()");
        let first = one(&connections, own()).await;
        assert_eq!(one(&connections, own()).await, first, "one that is alive is kept");

        one(&other, sqlx::query("SELECT pg_terminate_backend($1)::int").bind(first)).await;
        let alive = "SELECT count(*)::int FROM pg_stat_activity WHERE pid = $1";
        while one(&other, sqlx::query(alive).bind(first)).await > 0 {}
        assert_ne!(one(&connections, own()).await, first);
    }
}
