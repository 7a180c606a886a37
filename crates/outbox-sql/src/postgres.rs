//! The outbox in PostgreSQL.
//!
//! A relay takes rows by locking them in a transaction that lasts until they are removed: when it dies its rows are free.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use lovage_core::{BackendError, BackendErrorKind, Clock as _, Message, TaskId, Timestamp};
use lovage_sql::postgres::{PgDatabase, PgTransaction};
use lovage_sql::sql_error;
use lovage_system::SystemClock;
use sqlx::postgres::{PgListener, PgRow};
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::outbox::{OutboxDepth, RefusedRow, not_here};
use crate::relay::{BATCH_BYTES, Fates, ROWS};
use crate::stored::{self, Columns, Row};
use crate::{MIGRATIONS, sql};

const WRITING: &str = "writing to the outbox";
const TAKING: &str = "reading the outbox";
const ENDING: &str = "removing from the outbox";
const LOOKING: &str = "looking into the outbox";
const WAITING: &str = "waiting for the outbox";
/// For a notification that was lost, and for the rows of a relay that died.
const SLOW_LOOK: Duration = Duration::from_secs(10);
/// Where somebody commits at the moment when a relay would begin to wait.
const QUICK_LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Debug)]
pub(crate) struct PgOutbox {
    db: PgDatabase,
    /// Names the schema: the application's connections may have another `search_path`.
    insert: Arc<str>,
    channel: String,
}

impl PgOutbox {
    pub(crate) async fn open(db: PgDatabase) -> Result<Self, BackendError> {
        if !lovage_sql::pending(&db.clone().into(), &MIGRATIONS).await?.is_empty() {
            return Err(BackendError::new(
                BackendErrorKind::Config,
                format!(
                    "the tables of the outbox in {} are missing or old: run `lovage migrate --outbox` with its URL",
                    db.place()
                ),
            ));
        }
        let look = sqlx::query(
            "SELECT quote_ident(nspname), lovage_outbox_channel() FROM pg_namespace
             WHERE oid = (SELECT relnamespace FROM pg_class WHERE oid = 'lovage_outbox'::regclass)",
        );
        let rows = db.rows("opening the outbox", look).await?;
        let (schema, channel): (String, String) = match rows.first() {
            Some(row) => (get(row, 0)?, get(row, 1)?),
            None => return Err(BackendError::new(BackendErrorKind::Corrupt, "the outbox has no schema")),
        };
        let insert = format!(
            "INSERT INTO {schema}.lovage_outbox (id, queue, options, body, wakes)
             SELECT t.id, t.queue, t.options, t.body, t.nth = 1
             FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS t (id, queue, options, body, nth) ORDER BY t.nth"
        );
        Ok(Self { db, insert: insert.into(), channel })
    }

    pub(crate) async fn write(
        &self,
        connection: &mut PgConnection,
        batch: &[Message],
    ) -> Result<(), BackendError> {
        let ids: Vec<Uuid> = batch.iter().map(|message| Uuid::from_bytes(*message.id.as_bytes())).collect();
        let queues: Vec<&str> = batch.iter().map(|message| message.queue.as_str()).collect();
        let options: Vec<String> = batch.iter().map(stored::options).collect();
        let bodies: Vec<&[u8]> = batch.iter().map(|message| message.body.as_slice()).collect();
        let insert = sqlx::query(AssertSqlSafe(Arc::clone(&self.insert)));
        let written = insert.bind(ids).bind(queues).bind(options).bind(bodies).execute(connection).await;
        written.map(drop).map_err(|error| self.unwritten(error))
    }

    pub(crate) async fn holds(&self, id: TaskId) -> Result<bool, BackendError> {
        let look = sqlx::query(sql!("postgres/holds")).bind(Uuid::from_bytes(*id.as_bytes()));
        let rows = self.db.slow().rows(LOOKING, look).await?;
        rows.first().map_or(Ok(false), |row| get(row, 0))
    }

    pub(crate) async fn depth(&self) -> Result<OutboxDepth, BackendError> {
        let rows = self.db.slow().rows(LOOKING, sqlx::query(sql!("postgres/depth"))).await?;
        match rows.first() {
            Some(row) => Ok(OutboxDepth::new(get(row, 0)?, get(row, 1)?, get(row, 2)?)),
            None => Ok(OutboxDepth::new(0, None, 0)),
        }
    }

    pub(crate) async fn refused(&self, limit: u32) -> Result<Vec<RefusedRow>, BackendError> {
        let look = sqlx::query(sql!("postgres/refused")).bind(i64::from(limit));
        let rows = self.db.slow().rows(LOOKING, look).await?;
        rows.iter()
            .map(|row| {
                Ok(RefusedRow {
                    seq: get(row, 0)?,
                    id: Some(TaskId::from_bytes(get::<Uuid>(row, 1)?.into_bytes())),
                    queue: get(row, 2)?,
                    reason: get(row, 3)?,
                    at: Timestamp::from_micros(get(row, 4)?),
                })
            })
            .collect()
    }

    fn unwritten(&self, error: sqlx::Error) -> BackendError {
        let code = error.as_database_error().and_then(|said| said.code());
        if matches!(code.as_deref(), Some("42P01" | "3F000")) {
            return not_here(&self.db.place(), error);
        }
        sql_error(WRITING, error)
    }
}

/// What one relay has of it.
#[derive(Debug)]
pub(crate) struct PgSource {
    outbox: PgOutbox,
    listener: Option<PgListener>,
    /// Whether it is to be woken: else it looks again soon.
    armed: bool,
}

/// Rows that are locked.
#[derive(Debug)]
pub(crate) struct PgBatch {
    tx: PgTransaction,
}

impl PgSource {
    pub(crate) fn new(outbox: PgOutbox) -> Self {
        Self { outbox, listener: None, armed: false }
    }

    pub(crate) async fn take(&mut self, after: i64) -> Result<(PgBatch, Vec<Row>), BackendError> {
        let mut tx = self.outbox.db.begin(TAKING).await?;
        let take = sqlx::query(sql!("postgres/take")).bind(after).bind(ROWS).bind(BATCH_BYTES);
        let rows = tx.rows(TAKING, take).await?;
        let rows = rows.iter().map(row).collect::<Result<_, _>>()?;
        Ok((PgBatch { tx }, rows))
    }

    /// Asks to be woken by what commits from now on.
    pub(crate) async fn arm(&mut self) -> Result<(), BackendError> {
        if self.listener.is_none() {
            let mut listener = self.outbox.db.listen(&self.outbox.channel).await?;
            listener.eager_reconnect(false);
            self.listener = Some(listener);
        }
        let rows = self.outbox.db.rows(WAITING, sqlx::query("SELECT lovage_outbox_arm()")).await?;
        self.armed = rows.first().map_or(Ok(false), |row| get(row, 0))?;
        Ok(())
    }

    /// Until there may be something.
    pub(crate) async fn woken(&mut self) {
        let clock = SystemClock::new();
        let Some(listener) = self.listener.as_mut().filter(|_| self.armed) else {
            clock.sleep(QUICK_LOOK).await;
            return;
        };
        let told = match select(Box::pin(listener.try_recv()), clock.sleep(SLOW_LOOK)).await {
            Either::Left((told, _)) => Some(matches!(told, Ok(Some(_)))),
            Either::Right(_) => None,
        };
        let alive = match told {
            Some(alive) => alive,
            // A connection that ended without a word, behind a router say, is noticed here.
            None => self.outbox.db.probe(WAITING, listener).await.is_ok(),
        };
        if !alive {
            self.listener = None;
        }
    }
}

impl PgBatch {
    pub(crate) async fn end(mut self, fates: &Fates) -> Result<(), BackendError> {
        if !fates.done.is_empty() {
            self.tx.rows(ENDING, sqlx::query(sql!("postgres/delete")).bind(&fates.done)).await?;
        }
        if !fates.unreadable.is_empty() {
            let (seqs, reasons): (Vec<i64>, Vec<&str>) =
                fates.unreadable.iter().map(|(seq, reason)| (*seq, reason.as_str())).unzip();
            self.tx.rows(ENDING, sqlx::query(sql!("postgres/set_aside")).bind(seqs).bind(reasons)).await?;
        }
        self.tx.commit(ENDING).await
    }
}

fn row(row: &PgRow) -> Result<Row, BackendError> {
    let columns = Columns {
        id: get::<Uuid>(row, 1)?.into_bytes().to_vec(),
        queue: get(row, 2)?,
        options: get(row, 3)?,
        body: get(row, 4)?,
        age: get(row, 5)?,
    };
    Ok(Row { seq: get(row, 0)?, message: columns.message() })
}

fn get<'r, T>(row: &'r PgRow, at: usize) -> Result<T, BackendError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(at).map_err(|error| sql_error(TAKING, error))
}
