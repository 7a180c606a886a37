//! The outbox in SQLite.
//!
//! Holding SQLite's one write lock while a broker is asked would stop the application. So the relays of a file keep each other
//! off by a lock on a file beside it, which the system frees when a process ends: one works, the others stand by.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

use lovage_core::{BackendError, BackendErrorKind, Clock as _, Message, TaskId, Timestamp};
use lovage_sql::sql_error;
use lovage_sql::sqlite::SqliteDatabase;
use lovage_system::SystemClock;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Sqlite, SqliteConnection};

use crate::outbox::{OutboxDepth, RefusedRow, not_here};
use crate::relay::{BATCH_BYTES, Fates, ROWS};
use crate::sql;
use crate::stored::{self, Columns, Row};

const WRITING: &str = "writing to the outbox";
const TAKING: &str = "reading the outbox";
const ENDING: &str = "removing from the outbox";
const LOOKING: &str = "looking into the outbox";
/// Asking whether anything was committed costs a few microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const STAND_BY: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub(crate) struct SqliteOutbox {
    db: SqliteDatabase,
}

impl SqliteOutbox {
    pub(crate) fn new(db: SqliteDatabase) -> Self {
        Self { db }
    }

    pub(crate) async fn write(
        &self,
        connection: &mut SqliteConnection,
        batch: &[Message],
    ) -> Result<(), BackendError> {
        for message in batch {
            let insert = sqlx::query(sql!("sqlite/write"))
                .bind(message.id.as_bytes().as_slice())
                .bind(message.queue.as_str())
                .bind(stored::options(message))
                .bind(message.body.as_slice());
            insert.execute(&mut *connection).await.map_err(|error| self.unwritten(error))?;
        }
        Ok(())
    }

    pub(crate) async fn holds(&self, id: TaskId) -> Result<bool, BackendError> {
        let look = sqlx::query_scalar(sql!("sqlite/holds")).bind(id.as_bytes().as_slice());
        look.fetch_one(self.db.reader()).await.map_err(|error| sql_error(LOOKING, error))
    }

    pub(crate) async fn depth(&self) -> Result<OutboxDepth, BackendError> {
        let look = sqlx::query(sql!("sqlite/depth"));
        let row = look.fetch_one(self.db.reader()).await.map_err(|error| sql_error(LOOKING, error))?;
        Ok(OutboxDepth::new(get(&row, 0)?, get(&row, 1)?, get(&row, 2)?))
    }

    pub(crate) async fn refused(&self, limit: u32) -> Result<Vec<RefusedRow>, BackendError> {
        let look = sqlx::query(sql!("sqlite/refused")).bind(limit);
        let rows = look.fetch_all(self.db.reader()).await.map_err(|error| sql_error(LOOKING, error))?;
        rows.iter()
            .map(|row| {
                Ok(RefusedRow {
                    seq: get(row, 0)?,
                    id: <[u8; 16]>::try_from(get::<Vec<u8>>(row, 1)?).ok().map(TaskId::from_bytes),
                    queue: get(row, 2)?,
                    reason: get(row, 3)?,
                    at: Timestamp::from_micros(get(row, 4)?),
                })
            })
            .collect()
    }

    fn unwritten(&self, error: sqlx::Error) -> BackendError {
        let said = error.as_database_error();
        if said.is_some_and(|said| said.message().starts_with("no such table")) {
            return not_here(&self.db.path().display().to_string(), error);
        }
        sql_error(WRITING, error)
    }
}

/// What one relay has of it.
#[derive(Debug)]
pub(crate) struct SqliteSource {
    db: SqliteDatabase,
    turn: Option<File>,
    /// The connection that is asked whether others have committed, and what it said when last asked.
    looker: Option<(PoolConnection<Sqlite>, i64)>,
}

/// Rows that nobody else takes while this relay has its turn.
#[derive(Debug)]
pub(crate) struct SqliteBatch {
    db: SqliteDatabase,
}

impl SqliteSource {
    pub(crate) fn new(outbox: SqliteOutbox) -> Self {
        Self { db: outbox.db, turn: None, looker: None }
    }

    /// Nothing while another relay has its turn.
    pub(crate) async fn take(&mut self, after: i64) -> Result<Option<(SqliteBatch, Vec<Row>)>, BackendError> {
        if self.turn.is_none() {
            self.turn = lock(&self.db)?;
        }
        if self.turn.is_none() {
            return Ok(None);
        }
        let take = sqlx::query(sql!("sqlite/take")).bind(after).bind(ROWS).bind(BATCH_BYTES);
        let rows = take.fetch_all(self.db.reader()).await.map_err(|error| sql_error(TAKING, error))?;
        let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
        Ok(Some((SqliteBatch { db: self.db.clone() }, rows)))
    }

    /// Notes what has been committed until now.
    pub(crate) async fn arm(&mut self) -> Result<(), BackendError> {
        let mut connection = match self.looker.take() {
            Some((connection, _)) => connection,
            None => self.db.reader().acquire().await.map_err(|error| sql_error(TAKING, error))?,
        };
        let version = version(&mut connection).await?;
        self.looker = Some((connection, version));
        Ok(())
    }

    /// Until there may be something.
    pub(crate) async fn woken(&mut self) {
        let clock = SystemClock::new();
        if self.turn.is_none() {
            clock.sleep(STAND_BY).await;
            return;
        }
        loop {
            clock.sleep(LOOK_EVERY).await;
            let Some((connection, known)) = &mut self.looker else { return };
            match version(connection).await {
                Ok(version) if version == *known => {}
                Ok(_) => return,
                Err(_) => {
                    self.looker = None;
                    return;
                }
            }
        }
    }
}

impl SqliteBatch {
    pub(crate) async fn end(self, fates: &Fates) -> Result<(), BackendError> {
        if fates.done.is_empty() && fates.unreadable.is_empty() {
            // The write lock would make the application wait for nothing.
            return Ok(());
        }
        let mut tx = self.db.write_tx().await?;
        let mut gone = fates.done.clone();
        for (seq, reason) in &fates.unreadable {
            let set_aside = sqlx::query(sql!("sqlite/set_aside")).bind(*seq).bind(reason);
            set_aside.execute(&mut *tx).await.map_err(|error| sql_error(ENDING, error))?;
            gone.push(*seq);
        }
        let gone = serde_json::Value::from(gone).to_string();
        let deleted = sqlx::query(sql!("sqlite/delete")).bind(gone).execute(&mut *tx).await;
        deleted.map_err(|error| sql_error(ENDING, error))?;
        tx.commit().await.map_err(|error| sql_error(ENDING, error))
    }
}

/// Changes when another connection has committed.
async fn version(connection: &mut SqliteConnection) -> Result<i64, BackendError> {
    let version = sqlx::query_scalar("PRAGMA data_version").fetch_one(connection).await;
    version.map_err(|error| sql_error(TAKING, error))
}

/// Takes the turn of this file's relays; nothing while another one has it.
fn lock(db: &SqliteDatabase) -> Result<Option<File>, BackendError> {
    let mut name = db.path().as_os_str().to_owned();
    name.push("-relay");
    let path = PathBuf::from(name);
    let failed = |error: std::io::Error| {
        let message = format!(
            "cannot lock {} ({error}): make the directory of the database writable for this user",
            path.display()
        );
        BackendError::new(BackendErrorKind::Config, message).with_source(error)
    };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn row(row: &SqliteRow) -> Result<Row, BackendError> {
    let columns = Columns {
        id: get(row, 1)?,
        queue: get(row, 2)?,
        options: get(row, 3)?,
        body: get(row, 4)?,
        age: get(row, 5)?,
    };
    Ok(Row { seq: get(row, 0)?, message: columns.message() })
}

fn get<'r, T>(row: &'r SqliteRow, at: usize) -> Result<T, BackendError>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(at).map_err(|error| sql_error(TAKING, error))
}
