//! One participant: its mailbox, and the trait that spreads over the files of this crate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{
    BackendError, Broker, Clock as _, Entropy as _, Extended, Heartbeat, Hint, Leases, Maintained, Message,
    Published, QueueName, Reserve, Reserved, Settled, Settlement, SlotKind, TaskId, Timestamp, Token, Watch,
    WorkerId, WorkerInfo,
};
use lovage_sql::{
    sql_error,
    sqlite::{SqliteDatabase, WriteTransaction},
};
use lovage_system::{SystemClock, SystemEntropy};

use crate::inbox::Signal;
use crate::sqlite::wake::Mailbox;
use crate::sqlite::{registry, rows, sql};

/// A participant of a broker in a SQLite file.
#[derive(Clone)]
pub(crate) struct SqliteBroker {
    pub(crate) db: SqliteDatabase,
    pub(crate) mailbox: Arc<Mailbox>,
    clock: SystemClock,
}

/// Signals to send once the transaction is committed.
pub(crate) type Outbox = Vec<(String, Signal)>;

impl SqliteBroker {
    /// A new participant, in a database that has the tables.
    pub(crate) fn new(db: SqliteDatabase) -> Self {
        let name = format!("{:016x}.sock", SystemEntropy.next_u64());
        let mailbox = Arc::new(Mailbox::open(db.path(), &name));
        Self { db, mailbox, clock: SystemClock::new() }
    }

    /// The host's clock, which is the clock of every process that can open the file.
    pub(crate) fn now(&self, now: Option<Timestamp>) -> Timestamp {
        now.unwrap_or_else(|| self.clock.now())
    }

    pub(crate) fn handle(&self) -> &str {
        self.mailbox.name()
    }

    /// Commits, then tells those who have to know. One that is gone gets its work hint passed on to the next.
    pub(crate) async fn commit(&self, tx: WriteTransaction, outbox: Outbox) -> Result<(), BackendError> {
        tx.commit().await.map_err(|error| sql_error("committing", error))?;
        for (to, signal) in outbox {
            if self.mailbox.send(&to, &signal) {
                continue;
            }
            if let Signal::Work(queue) = signal {
                self.pass_on(&queue).await?;
            }
        }
        Ok(())
    }

    /// Wakes the next idle handle that is alive.
    async fn pass_on(&self, queue: &QueueName) -> Result<(), BackendError> {
        loop {
            let mut tx = self.db.write_tx().await?;
            let next = take_idle(&mut tx, queue, ALL_KINDS).await?;
            tx.commit().await.map_err(|error| sql_error("committing", error))?;
            match next {
                Some(handle) if !self.mailbox.send(&handle, &Signal::Work(queue.clone())) => {}
                _ => return Ok(()),
            }
        }
    }
}

#[async_trait]
impl Broker for SqliteBroker {
    async fn publish(
        &self,
        batch: &[Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError> {
        self.publish_batch(batch, self.now(now)).await
    }

    async fn reserve(&self, request: Reserve<'_>, now: Option<Timestamp>) -> Result<Reserved, BackendError> {
        let mut answers = self.reserve_batch(&[request], self.now(now)).await?;
        answers.pop().ok_or_else(|| rows::corrupt("a reservation without an answer"))
    }

    async fn reserve_many(
        &self,
        requests: &[Reserve<'_>],
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Reserved, BackendError>>, BackendError> {
        match self.reserve_batch(requests, self.now(now)).await {
            Ok(answers) => Ok(answers.into_iter().map(Ok).collect()),
            Err(error) if error.is_transient() => Err(error),
            // Nothing of it took effect. One by one shows which of the queues is damaged.
            Err(_) => {
                let mut answers = Vec::with_capacity(requests.len());
                for request in requests {
                    answers.push(self.reserve(*request, now).await);
                }
                Ok(answers)
            }
        }
    }

    async fn settle(
        &self,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Option<Timestamp>,
    ) -> Result<Vec<Settled>, BackendError> {
        self.settle_batch(queue, token, batch, self.now(now)).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Maintained, BackendError> {
        let mut answers =
            self.maintain_queues(std::slice::from_ref(queue), limit, lease, self.now(now)).await?;
        answers.pop().ok_or_else(|| rows::corrupt("a maintained queue without an answer"))
    }

    async fn maintain_many(
        &self,
        queues: &[QueueName],
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Maintained, BackendError>>, BackendError> {
        match self.maintain_queues(queues, limit, lease, self.now(now)).await {
            Ok(answers) => Ok(answers.into_iter().map(Ok).collect()),
            Err(error) if error.is_transient() => Err(error),
            Err(_) => {
                let mut answers = Vec::with_capacity(queues.len());
                for queue in queues {
                    answers.push(self.maintain(queue, limit, lease, now).await);
                }
                Ok(answers)
            }
        }
    }

    async fn hint(&self) -> Hint {
        self.mailbox.inbox().hint().await
    }

    async fn watch(&self, queue: &QueueName, id: TaskId) -> Result<Watch, BackendError> {
        self.watch_message(queue, id).await
    }

    async fn heartbeat(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<Heartbeat, BackendError> {
        self.register(info, ttl, self.now(now)).await
    }

    async fn sign_off(&self, worker: WorkerId) -> Result<(), BackendError> {
        self.unregister(worker).await
    }

    async fn open_leases(&self) -> Result<Box<dyn Leases>, BackendError> {
        // A connection of its own: a blocked runtime must not keep the writer from renewing.
        let url = format!("sqlite://{}", self.db.path().display());
        let db = SqliteDatabase::connect(&url).await?;
        Ok(Box::new(SqliteLeases { db, clock: self.clock }))
    }
}

impl fmt::Debug for SqliteBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBroker").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct SqliteLeases {
    db: SqliteDatabase,
    clock: SystemClock,
}

#[async_trait]
impl Leases for SqliteLeases {
    async fn extend(
        &self,
        queue: &QueueName,
        tokens: &[Token],
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Extended, BackendError> {
        let now = now.unwrap_or_else(|| self.clock.now());
        let list = rows::hex_list(tokens.iter().map(Token::as_bytes));
        let mut tx = self.db.write_tx().await?;
        let kept: Vec<Vec<u8>> = sqlx::query_scalar(sql!("extend"))
            .bind(queue.as_str())
            .bind(now.as_micros())
            .bind(&list)
            .bind(rows::micros(lease))
            .fetch_all(&mut *tx)
            .await
            .map_err(|error| sql_error("renewing leases", error))?;
        let revoked: Vec<Vec<u8>> = sqlx::query_scalar(sql!("extend_revoked"))
            .bind(&list)
            .fetch_all(&mut *tx)
            .await
            .map_err(|error| sql_error("renewing leases", error))?;
        tx.commit().await.map_err(|error| sql_error("renewing leases", error))?;
        let lost = tokens
            .iter()
            .filter(|token| !kept.iter().any(|kept| kept == token.as_bytes()))
            .copied()
            .collect();
        Ok(Extended { lost, revoked: revoked.iter().map(|id| rows::task_id(id)).collect::<Result<_, _>>()? })
    }

    async fn speak_for(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        registry::speak_for(&self.db, info, ttl, now.unwrap_or_else(|| self.clock.now())).await
    }
}

/// Every slot kind, as bits.
pub(crate) const ALL_KINDS: i64 = (1 << SlotKind::COUNT) - 1;

/// The handle that has been idle the longest of those that want one of these slot kinds (bits of
/// [`SlotWants::kinds`](lovage_core::SlotWants::kinds)); it is no longer idle.
pub(crate) async fn take_idle(
    tx: &mut WriteTransaction,
    queue: &QueueName,
    kinds: i64,
) -> Result<Option<String>, BackendError> {
    sqlx::query_scalar(sql!("idle_take"))
        .bind(queue.as_str())
        .bind(kinds)
        .fetch_optional(&mut **tx)
        .await
        .map_err(|error| sql_error("waking a worker", error))
}

/// Takes positions at the tail and answers the one before the first.
pub(crate) async fn tail(tx: &mut WriteTransaction, count: usize) -> Result<i64, BackendError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let last: i64 = sqlx::query_scalar(sql!("position_tail"))
        .bind(count)
        .fetch_one(&mut **tx)
        .await
        .map_err(|error| sql_error("ordering messages", error))?;
    Ok(last - count)
}

/// Takes positions at the head and answers the one before the lowest.
pub(crate) async fn head(tx: &mut WriteTransaction, count: usize) -> Result<i64, BackendError> {
    let lowest: i64 = sqlx::query_scalar(sql!("position_head"))
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_one(&mut **tx)
        .await
        .map_err(|error| sql_error("ordering messages", error))?;
    Ok(lowest - 1)
}
