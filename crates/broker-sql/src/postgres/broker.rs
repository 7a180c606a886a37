//! One participant: its mailbox, and the trait that spreads over the files of this folder.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{
    BackendError, Broker, Heartbeat, Hint, Leases, Maintained, Message, Published, QueueName, Reserve,
    Reserved, Settled, Settlement, TaskId, Timestamp, Token, Watch, WorkerId, WorkerInfo,
};
use lovage_sql::postgres::PgDatabase;

use crate::MIGRATIONS;
use crate::postgres::leases::PgLeases;
use crate::postgres::mailbox::Mailbox;
use crate::postgres::publish::Outside;

/// A participant of a broker in a PostgreSQL database.
pub struct PgBroker {
    pub(crate) db: PgDatabase,
    pub(crate) mailbox: Mailbox,
    pub(crate) outside: Outside,
}

impl PgBroker {
    /// A new participant, in a database that has the tables.
    ///
    /// # Errors
    /// `Config` when the tables are missing, old, or those of a newer release; `Unavailable` when no connection can be made.
    pub async fn open(db: PgDatabase) -> Result<Self, BackendError> {
        db.require(&MIGRATIONS).await?;
        let mailbox = Mailbox::open(&db).await?;
        Ok(Self { db, mailbox, outside: Outside::default() })
    }

    pub(crate) fn handle(&self) -> i64 {
        self.mailbox.handle()
    }
}

#[async_trait]
impl Broker for PgBroker {
    async fn publish(
        &self,
        batch: &[Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError> {
        self.publish_batch(batch, now).await
    }

    async fn reserve(&self, request: Reserve<'_>, now: Option<Timestamp>) -> Result<Reserved, BackendError> {
        self.reserve_batch(request, now).await
    }

    async fn reserve_many(
        &self,
        requests: &[Reserve<'_>],
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Reserved, BackendError>>, BackendError> {
        if let [request] = requests {
            return Ok(vec![self.reserve_batch(*request, now).await]);
        }
        match self.reserve_batches(requests, now).await {
            Err(error) if !error.is_transient() => {}
            answer => return answer,
        }
        // Nothing of it took effect. One by one shows which of the queues is damaged.
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(self.reserve_batch(*request, now).await);
        }
        Ok(answers)
    }

    async fn settle(
        &self,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Option<Timestamp>,
    ) -> Result<Vec<Settled>, BackendError> {
        self.settle_batch(queue, token, batch, now).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Maintained, BackendError> {
        self.maintain_queue(queue, limit, lease, now).await
    }

    async fn maintain_many(
        &self,
        queues: &[QueueName],
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Maintained, BackendError>>, BackendError> {
        match self.maintain_queues(queues, limit, lease, now).await {
            Err(error) if !error.is_transient() => {}
            answer => return answer,
        }
        let mut answers = Vec::with_capacity(queues.len());
        for queue in queues {
            answers.push(self.maintain_queue(queue, limit, lease, now).await);
        }
        Ok(answers)
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
        self.register(info, ttl, now).await
    }

    async fn sign_off(&self, worker: WorkerId) -> Result<(), BackendError> {
        self.unregister(worker).await
    }

    async fn open_leases(&self) -> Result<Box<dyn Leases>, BackendError> {
        Ok(Box::new(PgLeases::open(&self.db).await?))
    }
}

impl fmt::Debug for PgBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgBroker").field("place", &self.db.place()).finish_non_exhaustive()
    }
}
