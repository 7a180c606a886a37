//! Connection poolers, such as PgBouncer, between this process and the server.
//!
//! A pooler that gives each transaction another server connection loses the parameters of a session, its prepared statements
//! and its `LISTEN`, in silence. So it is found out and refused before anything is set.

use std::time::Duration;

use futures_util::future::{Either, select};
use lovage_core::{BackendError, BackendErrorKind, Clock as _};
use lovage_system::SystemClock;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _};

/// A server without a second free connection must not delay the start: without an answer, nothing is known.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Refuses a pooler that pools by transaction or statement. A server that cannot be reached, or has no second connection, is
/// left to what follows.
pub(super) async fn refuse_transaction_pooling(options: &PgConnectOptions) -> Result<(), BackendError> {
    let is_pooled =
        match select(Box::pin(shares_connections(options)), SystemClock::new().sleep(PROBE_TIMEOUT)).await {
            Either::Left((answer, _)) => answer.unwrap_or_else(|error| is_statement_pooling(&error)),
            Either::Right(_) => false,
        };
    if !is_pooled {
        return Ok(());
    }
    Err(BackendError::new(
        BackendErrorKind::Config,
        "a pooler in front of PostgreSQL (PgBouncer, for example) pools by transaction, and Lovage needs connections of its own: \
         it listens for notifications and keeps parameters of its session; use the server's own address, or a pool with \
         pool_mode=session (docs/postgres.md)",
    ))
}

/// Whether two connections of this process share one of the server: an open transaction has the backend that an idle
/// connection had just before, or an idle connection has got another one.
async fn shares_connections(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let (mut idle, mut busy) = (options.connect().await?, options.connect().await?);
    let before = backend(&mut idle).await?;
    sqlx::raw_sql("BEGIN").execute(&mut busy).await?;
    let is_shared = backend(&mut busy).await? == before || backend(&mut idle).await? != before;
    sqlx::raw_sql("ROLLBACK").execute(&mut busy).await?;
    // The server notices a closed socket too.
    let (_closed, _closed_too) = (idle.close().await, busy.close().await);
    Ok(is_shared)
}

/// The process of the server that ran this statement. Without a prepared statement, which such a pooler may lose.
async fn backend(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await?.try_get(0)
}

/// PgBouncer refuses `BEGIN` where it pools by statement.
fn is_statement_pooling(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("statement pooling"))
}
