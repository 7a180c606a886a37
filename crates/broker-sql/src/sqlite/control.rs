//! Changing what is in queues, and telling workers.

use async_trait::async_trait;
use lovage_core::{
    BackendError, BackendErrorKind, Cancelled, Control, Place, QueueName, RateLimit, TaskId, Timestamp,
    WorkerCommand, WorkerId,
};
use lovage_sql::sql_error;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};

use crate::inbox::Signal;
use crate::sqlite::broker::{Outbox, SqliteBroker, tail};
use crate::sqlite::publish::News;
use crate::sqlite::settle::{release_key, tell_waiters};
use crate::sqlite::{rows, sql};

#[async_trait]
impl Control for SqliteBroker {
    async fn cancel(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<Cancelled, BackendError> {
        let fail = |error| sql_error("cancelling a message", error);
        let mut tx = self.db.write_tx().await?;
        let update =
            sqlx::query(sql!("cancel")).bind(id.as_bytes().as_slice()).bind(queue.map(QueueName::as_str));
        let Some(row) = update.fetch_optional(&mut *tx).await.map_err(fail)? else {
            return Ok(Cancelled::NotFound);
        };
        let mut outbox = Outbox::new();
        let cancelled = match rows::get::<i64>(&row, "place")? {
            2 => {
                let token: Vec<u8> = rows::get(&row, "token")?;
                let holder = sqlx::query_scalar(sql!("reservation_holder")).bind(token);
                if let Some(handle) = holder.fetch_optional(&mut *tx).await.map_err(fail)? {
                    outbox.push((handle, Signal::Revoked(id)));
                }
                Cancelled::Leased
            }
            1 => {
                self.wake_up_row(&mut tx, &row, now, &mut outbox).await?;
                Cancelled::Waiting
            }
            _ => Cancelled::Waiting,
        };
        self.commit(tx, outbox).await?;
        Ok(cancelled)
    }

    async fn promote(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        let mut tx = self.db.write_tx().await?;
        let get = sqlx::query(sql!("delayed_get"))
            .bind(id.as_bytes().as_slice())
            .bind(queue.map(QueueName::as_str));
        let row =
            get.fetch_optional(&mut *tx).await.map_err(|error| sql_error("promoting a message", error))?;
        let Some(row) = row else { return Ok(false) };
        let mut outbox = Outbox::new();
        self.wake_up_row(&mut tx, &row, now, &mut outbox).await?;
        self.commit(tx, outbox).await?;
        Ok(true)
    }

    async fn purge(&self, queue: &QueueName, place: Place, limit: usize) -> Result<usize, BackendError> {
        let fail = |error| sql_error("purging", error);
        let place = match place {
            Place::Ready => 0,
            Place::Delayed => 1,
            Place::Dead => 3,
            Place::Leased => {
                let message = "messages in the hands of workers cannot be purged: cancel them instead";
                return Err(BackendError::new(BackendErrorKind::Unsupported, message));
            }
        };
        let mut tx = self.db.write_tx().await?;
        let limit = i64::try_from(limit.min(1_000)).unwrap_or(0);
        let purge = sqlx::query(sql!("purge")).bind(queue.as_str()).bind(place).bind(limit);
        let removed = purge.fetch_all(&mut *tx).await.map_err(fail)?;
        let mut ended = Vec::with_capacity(removed.len());
        for row in &removed {
            let id = rows::task_id(rows::get(row, "id")?)?;
            if let Some(key) = rows::get::<Option<String>>(row, "unique_key")? {
                release_key(&mut tx, queue, &key, id).await?;
            }
            ended.push(id);
        }
        let mut outbox = Outbox::new();
        tell_waiters(&mut tx, queue, &ended, &mut outbox).await?;
        self.commit(tx, outbox).await?;
        Ok(ended.len())
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.set_paused(queue, true).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.set_paused(queue, false).await
    }

    async fn limit(&self, queue: &QueueName, limit: Option<RateLimit>) -> Result<(), BackendError> {
        let limit = limit.map(|limit| limit.to_string());
        self.change(queue, sqlx::query(sql!("queue_limit")).bind(queue.as_str()).bind(limit)).await
    }

    async fn requeue_dead(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        let mut tx = self.db.write_tx().await?;
        let mut position = tail(&mut tx, ids.len()).await?;
        let mut count = 0;
        for id in ids {
            position += 1;
            let requeue = sqlx::query(sql!("requeue_dead"))
                .bind(id.as_bytes().as_slice())
                .bind(queue.as_str())
                .bind(position);
            let done = requeue
                .execute(&mut *tx)
                .await
                .map_err(|error| sql_error("requeuing dead letters", error))?;
            count += usize::from(done.rows_affected() > 0);
        }
        let mut outbox = Outbox::new();
        if count > 0 {
            self.nudge(&mut tx, queue, News { ready: true, due: false, now: self.now(now) }, &mut outbox)
                .await?;
        }
        self.commit(tx, outbox).await?;
        Ok(count)
    }

    async fn delete_dead(&self, queue: &QueueName, ids: &[TaskId]) -> Result<usize, BackendError> {
        let mut tx = self.db.write_tx().await?;
        let delete = sqlx::query(sql!("delete_dead"))
            .bind(queue.as_str())
            .bind(rows::hex_list(ids.iter().map(TaskId::as_bytes)));
        let done =
            delete.execute(&mut *tx).await.map_err(|error| sql_error("deleting dead letters", error))?;
        self.commit(tx, Outbox::new()).await?;
        Ok(usize::try_from(done.rows_affected()).unwrap_or(0))
    }

    async fn tell(
        &self,
        worker: WorkerId,
        command: &WorkerCommand,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        self.tell_worker(worker, command, self.now(now)).await
    }
}

impl SqliteBroker {
    async fn set_paused(&self, queue: &QueueName, paused: bool) -> Result<(), BackendError> {
        self.change(queue, sqlx::query(sql!("queue_pause")).bind(queue.as_str()).bind(paused)).await
    }

    /// Changes how a queue is handed out, and wakes an idle handle for that.
    async fn change(
        &self,
        queue: &QueueName,
        change: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<(), BackendError> {
        let fail = |error| sql_error("changing a queue", error);
        let mut tx = self.db.write_tx().await?;
        sqlx::query(sql!("queue_ensure")).bind(queue.as_str()).execute(&mut *tx).await.map_err(fail)?;
        change.execute(&mut *tx).await.map_err(fail)?;
        let mut outbox = Outbox::new();
        self.nudge(&mut tx, queue, News { ready: true, due: true, now: self.now(None) }, &mut outbox).await?;
        self.commit(tx, outbox).await
    }

    /// Makes the delayed message of a row ready.
    async fn wake_up_row(
        &self,
        tx: &mut lovage_sql::sqlite::WriteTransaction,
        row: &sqlx::sqlite::SqliteRow,
        now: Option<Timestamp>,
        outbox: &mut Outbox,
    ) -> Result<(), BackendError> {
        let queue = QueueName::new(rows::get::<String>(row, "queue")?)
            .map_err(|_| rows::corrupt("a queue name that is not valid"))?;
        let position = tail(tx, 1).await? + 1;
        let ready = sqlx::query(sql!("make_ready")).bind(rows::get::<i64>(row, "seq")?).bind(position);
        ready.execute(&mut **tx).await.map_err(|error| sql_error("promoting a message", error))?;
        self.nudge(tx, &queue, News { ready: true, due: false, now: self.now(now) }, outbox).await
    }
}
