//! Settling, and telling those who wait for an end.

use std::collections::HashSet;

use lovage_core::{
    BackendError, Note, QueueName, Settle, Settled, Settlement, TaskId, Timestamp, Token, Watch, limits,
};
use lovage_sql::{sql_error, sqlite::WriteTransaction};
use sqlx::sqlite::SqliteRow;

use crate::inbox::Signal;
use crate::sqlite::broker::{Outbox, SqliteBroker, head, tail};
use crate::sqlite::publish::News;
use crate::sqlite::reserve::refund;
use crate::sqlite::{rows, sql};

const CONTEXT: &str = "settling";

impl SqliteBroker {
    pub(crate) async fn settle_batch(
        &self,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Timestamp,
    ) -> Result<Vec<Settled>, BackendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.db.write_tx().await?;
        let mut step =
            Step { tx: &mut tx, queue, token, now, ended: Vec::new(), unstarted: 0, sorted: false };
        let mut acked = step.acknowledge(batch).await?;
        let mut answers = Vec::with_capacity(batch.len());
        let mut given_back = Vec::new();
        for settlement in batch {
            let applied = match &settlement.how {
                Settle::Ack => acked.remove(&settlement.id),
                how @ (Settle::Retry { .. }
                | Settle::GiveBack { .. }
                | Settle::Unstarted { .. }
                | Settle::DeadLetter { .. }) => step.one(settlement.id, how, &mut given_back).await?,
            };
            answers.push(if applied { Settled::Applied } else { Settled::LeaseLost });
        }
        step.put_at_head(&given_back).await?;
        step.keep().await?;
        let ended = step.ended;
        sqlx::query(sql!("reservation_end"))
            .bind(token.as_bytes().as_slice())
            .execute(&mut *tx)
            .await
            .map_err(|error| sql_error(CONTEXT, error))?;
        let mut outbox = Outbox::new();
        tell_waiters(&mut tx, queue, &ended, &mut outbox).await?;
        if ended.len() < batch.len() {
            self.nudge(&mut tx, queue, News { ready: true, due: true, now }, &mut outbox).await?;
        }
        self.commit(tx, outbox).await?;
        Ok(answers)
    }

    pub(crate) async fn watch_message(&self, queue: &QueueName, id: TaskId) -> Result<Watch, BackendError> {
        let fail = |error| sql_error("waiting for a message", error);
        // Before it is registered, so that nothing that is told can be missed.
        let ended = self.mailbox.inbox().wait_for(id);
        let mut tx = self.db.write_tx().await?;
        let key = id.as_bytes().as_slice();
        let live = sqlx::query(sql!("watchable"))
            .bind(key)
            .bind(queue.as_str())
            .fetch_optional(&mut *tx)
            .await
            .map_err(fail)?;
        if live.is_none() {
            return Ok(Watch::Gone);
        }
        let add = sqlx::query(sql!("waiter_add")).bind(key).bind(queue.as_str()).bind(self.handle());
        add.execute(&mut *tx).await.map_err(fail)?;
        self.commit(tx, Outbox::new()).await?;
        // A sender that is gone means that nothing more will be told: then the caller asks again.
        Ok(Watch::Waiting(Box::pin(async move { drop(ended.await) })))
    }
}

struct Step<'a> {
    tx: &'a mut WriteTransaction,
    queue: &'a QueueName,
    token: Token,
    now: Timestamp,
    ended: Vec<TaskId>,
    /// The number of messages that were returned unstarted.
    unstarted: usize,
    /// Whether one of them is kept for a slot kind.
    sorted: bool,
}

impl Step<'_> {
    /// All that are done, in one statement.
    async fn acknowledge(&mut self, batch: &[Settlement]) -> Result<HashSet<TaskId>, BackendError> {
        let done: Vec<&[u8; 16]> =
            batch.iter().filter(|s| s.how == Settle::Ack).map(|s| s.id.as_bytes()).collect();
        if done.is_empty() {
            return Ok(HashSet::new());
        }
        let removed = sqlx::query(sql!("settle_ack"))
            .bind(self.token.as_bytes().as_slice())
            .bind(rows::hex_list(done))
            .fetch_all(&mut **self.tx)
            .await
            .map_err(|error| sql_error(CONTEXT, error))?;
        let mut acked = HashSet::with_capacity(removed.len());
        for row in &removed {
            let id = rows::task_id(rows::get(row, "id")?)?;
            self.release_key(row, id).await?;
            acked.insert(id);
            self.ended.push(id);
        }
        Ok(acked)
    }

    /// One that goes on living. False when its lease had ended.
    async fn one(
        &mut self,
        id: TaskId,
        how: &Settle,
        given_back: &mut Vec<i64>,
    ) -> Result<bool, BackendError> {
        let key = id.as_bytes().as_slice();
        let get = sqlx::query(sql!("settle_get")).bind(self.token.as_bytes().as_slice()).bind(key);
        let Some(row) =
            get.fetch_optional(&mut **self.tx).await.map_err(|error| sql_error(CONTEXT, error))?
        else {
            return Ok(false);
        };
        let seq: i64 = rows::get(&row, "seq")?;
        let notes: Option<String> = rows::get(&row, "notes")?;
        // Whoever is to learn of a cancellation should not have to wait for it.
        let revoked: bool = rows::get(&row, "revoked")?;
        let at = |after: std::time::Duration| {
            (!after.is_zero() && !revoked).then(|| self.now.plus(after).as_micros())
        };
        match how {
            Settle::Ack => {}
            Settle::Retry { after, note } => {
                let (at, notes) = (at(*after), rows::with_note(notes.as_deref(), note)?);
                let position = tail(self.tx, 1).await? + 1;
                let retry = sqlx::query(sql!("settle_retry")).bind(seq).bind(at).bind(position).bind(notes);
                self.run(retry).await?;
            }
            Settle::GiveBack { after, refused } => {
                let at = at(*after);
                let since = refused.then_some(self.now.as_micros());
                let position = tail(self.tx, 1).await? + 1;
                let back =
                    sqlx::query(sql!("settle_give_back")).bind(seq).bind(at).bind(position).bind(since);
                self.run(back).await?;
                if at.is_none() {
                    given_back.push(seq);
                }
            }
            Settle::Unstarted { kind, .. } => {
                let number = kind.map_or(0, rows::number_of_kind);
                self.run(sqlx::query(sql!("settle_unstarted")).bind(seq).bind(number)).await?;
                self.unstarted += 1;
                self.sorted |= kind.is_some();
            }
            Settle::DeadLetter { reason, note } => {
                self.bury(&row, id, seq, reason.as_str(), notes.as_deref(), note).await?
            }
        }
        Ok(true)
    }

    async fn bury(
        &mut self,
        row: &SqliteRow,
        id: TaskId,
        seq: i64,
        reason: &'static str,
        notes: Option<&str>,
        note: &Note,
    ) -> Result<(), BackendError> {
        self.release_key(row, id).await?;
        let notes = rows::with_note(notes, note)?;
        let dead =
            sqlx::query(sql!("settle_dead")).bind(seq).bind(self.now.as_micros()).bind(reason).bind(notes);
        self.run(dead).await?;
        let most = i64::try_from(limits::DEAD_LETTERS).unwrap_or(i64::MAX);
        let trim = sqlx::query(sql!("dead_trim")).bind(self.queue.as_str()).bind(most);
        self.run(trim).await?;
        self.ended.push(id);
        Ok(())
    }

    /// From now on reservations look at kept messages, too; and the tokens of the messages come back.
    async fn keep(&mut self) -> Result<(), BackendError> {
        if self.unstarted == 0 {
            return Ok(());
        }
        if self.sorted {
            self.run(sqlx::query(sql!("queue_sorted")).bind(self.queue.as_str())).await?;
        }
        refund(self.tx, self.queue, self.now, self.unstarted).await
    }

    /// What was given back without a delay goes to the head, in the order of the batch.
    async fn put_at_head(&mut self, given_back: &[i64]) -> Result<(), BackendError> {
        if given_back.is_empty() {
            return Ok(());
        }
        let mut position = head(self.tx, given_back.len()).await?;
        for seq in given_back {
            position += 1;
            self.run(sqlx::query(sql!("make_ready")).bind(*seq).bind(position)).await?;
        }
        Ok(())
    }

    async fn release_key(&mut self, row: &SqliteRow, id: TaskId) -> Result<(), BackendError> {
        let Some(key) = rows::get::<Option<String>>(row, "unique_key")? else { return Ok(()) };
        release_key(self.tx, self.queue, &key, id).await
    }

    async fn run(
        &mut self,
        query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
    ) -> Result<(), BackendError> {
        query.execute(&mut **self.tx).await.map_err(|error| sql_error(CONTEXT, error))?;
        Ok(())
    }
}

pub(crate) async fn release_key(
    tx: &mut WriteTransaction,
    queue: &QueueName,
    key: &str,
    id: TaskId,
) -> Result<(), BackendError> {
    let release =
        sqlx::query(sql!("unique_release")).bind(queue.as_str()).bind(key).bind(id.as_bytes().as_slice());
    release.execute(&mut **tx).await.map_err(|error| sql_error("releasing a unique key", error))?;
    Ok(())
}

/// Takes the waiters of ended messages.
pub(crate) async fn tell_waiters(
    tx: &mut WriteTransaction,
    queue: &QueueName,
    ended: &[TaskId],
    outbox: &mut Outbox,
) -> Result<(), BackendError> {
    let fail = |error| sql_error("telling those who wait", error);
    if ended.is_empty()
        || !sqlx::query_scalar::<_, bool>(sql!("waiter_any")).fetch_one(&mut **tx).await.map_err(fail)?
    {
        return Ok(());
    }
    let list = rows::hex_list(ended.iter().map(TaskId::as_bytes));
    let taken = sqlx::query(sql!("waiter_take"))
        .bind(queue.as_str())
        .bind(list)
        .fetch_all(&mut **tx)
        .await
        .map_err(fail)?;
    for row in &taken {
        outbox.push((rows::get(row, "handle")?, Signal::Ended(rows::task_id(rows::get(row, "id")?)?)));
    }
    Ok(())
}
