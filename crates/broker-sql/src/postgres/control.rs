//! Changing what is in queues; the registry of workers, and what they are told.

use std::time::Duration;

use async_trait::async_trait;
use lovage_core::{
    BackendError, BackendErrorKind, Cancelled, Control, Heartbeat, Place, QueueName, RateLimit, TaskId,
    Timestamp, WorkerCommand, WorkerId, WorkerInfo,
};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::types::Uuid;

use crate::postgres::PgBroker;
use crate::postgres::rows;
use crate::postgres::sql;

type Call<'q> = Query<'q, sqlx::Postgres, PgArguments>;

#[async_trait]
impl Control for PgBroker {
    async fn cancel(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<Cancelled, BackendError> {
        let found: String = self
            .call("cancelling a task", || {
                let query = sqlx::query("SELECT lovage_cancel($1, $2, $3) AS answer").bind(rows::uuid(id));
                query.bind(queue.map(QueueName::as_str)).bind(rows::micros(now))
            })
            .await?;
        match found.as_str() {
            "waiting" => Ok(Cancelled::Waiting),
            "leased" => Ok(Cancelled::Leased),
            "none" => Ok(Cancelled::NotFound),
            _ => Err(rows::corrupt("a function of another release")),
        }
    }

    async fn promote(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        self.call("promoting a task", || {
            let query = sqlx::query("SELECT lovage_promote($1, $2, $3) AS answer").bind(rows::uuid(id));
            query.bind(queue.map(QueueName::as_str)).bind(rows::micros(now))
        })
        .await
    }

    async fn purge(&self, queue: &QueueName, place: Place, limit: usize) -> Result<usize, BackendError> {
        if place == Place::Leased {
            return Err(BackendError::new(
                BackendErrorKind::Unsupported,
                "messages that a worker has cannot be purged: revoke them, or wait for the worker",
            ));
        }
        let limit = i32::try_from(limit.min(1_000)).unwrap_or(0);
        self.count("purging a queue", || {
            let query = sqlx::query("SELECT lovage_purge($1, $2, $3)::bigint AS answer").bind(queue.as_str());
            query.bind(place.as_str()).bind(limit)
        })
        .await
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.set_paused(queue, true).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.set_paused(queue, false).await
    }

    async fn limit(&self, queue: &QueueName, limit: Option<RateLimit>) -> Result<(), BackendError> {
        let call = || {
            let query = sqlx::query("SELECT lovage_limit($1, $2, $3, $4)").bind(queue.as_str());
            let query = query.bind(limit.map(|limit| limit.to_string())).bind(limit.map(RateLimit::gap));
            let query = query.bind(limit.and_then(|limit| i32::try_from(limit.burst()).ok()));
            self.db.rows("limiting the rate of a queue", query)
        };
        self.db.undisturbed(call).await.map(drop)
    }

    async fn requeue_dead(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        let ids: Vec<Uuid> = ids.iter().copied().map(rows::uuid).collect();
        self.count("requeueing dead letters", || {
            let query = sqlx::query("SELECT lovage_requeue_dead($1, $2, $3)::bigint AS answer");
            query.bind(queue.as_str()).bind(&ids).bind(rows::micros(now))
        })
        .await
    }

    async fn delete_dead(&self, queue: &QueueName, ids: &[TaskId]) -> Result<usize, BackendError> {
        let ids: Vec<Uuid> = ids.iter().copied().map(rows::uuid).collect();
        self.count("deleting dead letters", || {
            sqlx::query("SELECT lovage_delete_dead($1, $2) AS answer").bind(queue.as_str()).bind(&ids)
        })
        .await
    }

    async fn tell(
        &self,
        worker: WorkerId,
        command: &WorkerCommand,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        let json =
            serde_json::to_string(command).map_err(|_| rows::corrupt("a command that cannot be written"))?;
        self.call("telling a worker", || {
            let query = sqlx::query("SELECT lovage_tell($1, $2, $3) AS answer").bind(worker.to_string());
            query.bind(&json).bind(rows::micros(now))
        })
        .await
    }
}

impl PgBroker {
    pub(crate) async fn register(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<Heartbeat, BackendError> {
        let json = rows::info(info)?;
        let found = self
            .db
            .undisturbed(|| {
                let query = sqlx::query("SELECT live, command FROM lovage_heartbeat($1, $2, $3, $4, $5, $6)")
                    .bind(info.id.to_string())
                    .bind(self.handle())
                    .bind(&info.name)
                    .bind(&json)
                    .bind(rows::duration(ttl))
                    .bind(rows::micros(now));
                self.db.rows("registering a worker", query)
            })
            .await?;
        let mut heartbeat = Heartbeat::default();
        for row in &found {
            heartbeat.live_workers = usize::try_from(rows::get::<i64>(row, "live")?).unwrap_or(0);
            let command: Option<String> = rows::get(row, "command")?;
            // A command of a newer release that this one does not know is dropped.
            heartbeat.commands.extend(command.and_then(|json| serde_json::from_str(&json).ok()));
        }
        Ok(heartbeat)
    }

    pub(crate) async fn unregister(&self, worker: WorkerId) -> Result<(), BackendError> {
        let query = sqlx::query(sql!("sign_off")).bind(worker.to_string());
        self.db.rows("signing off a worker", query).await.map(drop)
    }

    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), BackendError> {
        let call = || {
            let query = sqlx::query("SELECT lovage_pause($1, $2)").bind(queue.as_str()).bind(paused);
            self.db.rows("pausing or resuming a queue", query)
        };
        self.db.undisturbed(call).await.map(drop)
    }

    async fn count<'q>(
        &self,
        context: &str,
        query: impl Fn() -> Call<'q> + Sync,
    ) -> Result<usize, BackendError> {
        self.call::<i64>(context, query).await.map(|count| usize::try_from(count).unwrap_or(0))
    }

    /// The one value that a function answers.
    async fn call<'q, T>(&self, context: &str, query: impl Fn() -> Call<'q> + Sync) -> Result<T, BackendError>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        let found = {
            let db = self.db.slow();
            db.undisturbed(|| db.rows(context, query())).await?
        };
        match found.first() {
            Some(row) => rows::get(row, "answer"),
            None => Err(rows::corrupt("a function that does not answer")),
        }
    }
}
