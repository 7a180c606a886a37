//! Ending messages of a reservation, and waiting for the end of one.

use std::collections::HashSet;

use lovage_core::{
    BackendError, Note, QueueName, Settle, Settled, Settlement, TaskId, Timestamp, Token, Watch, limits,
};
use lovage_sql::postgres::PgTransaction;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::types::Uuid;

use crate::postgres::PgBroker;
use crate::postgres::rows;

const CONTEXT: &str = "settling";

impl PgBroker {
    pub(crate) async fn settle_batch(
        &self,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Option<Timestamp>,
    ) -> Result<Vec<Settled>, BackendError> {
        let lists = Lists::new(queue, token, batch)?;
        let lost = self.db.undisturbed(|| self.db.rows(CONTEXT, lists.query(now))).await?;
        lists.answers(batch, &lost)
    }

    /// [`settle`](lovage_core::Broker::settle) as part of a transaction on the broker's database, which may have to be repeated:
    /// see [`undisturbed`](lovage_sql::postgres::PgDatabase::undisturbed).
    ///
    /// # Errors
    /// What the server says; the transaction is lost then.
    pub async fn settle_on(
        tx: &mut PgTransaction,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Option<Timestamp>,
    ) -> Result<Vec<Settled>, BackendError> {
        let lists = Lists::new(queue, token, batch)?;
        let lost = tx.rows(CONTEXT, lists.query(now)).await?;
        lists.answers(batch, &lost)
    }

    pub(crate) async fn watch_message(&self, queue: &QueueName, id: TaskId) -> Result<Watch, BackendError> {
        // Before it is registered, so that nothing that is told can be missed.
        let ended = self.mailbox.inbox().wait_for(id);
        let found = self
            .db
            .undisturbed(|| {
                let query = sqlx::query("SELECT lovage_watch($1, $2, $3) AS live").bind(queue.as_str());
                self.db.rows("waiting for a message", query.bind(rows::uuid(id)).bind(self.handle()))
            })
            .await?;
        let live = found.first().map(|row| rows::get::<bool>(row, "live")).transpose()?;
        if live != Some(true) {
            return Ok(Watch::Gone);
        }
        // A sender that is gone means that nothing more will be told: then the caller asks again.
        Ok(Watch::Waiting(Box::pin(async move { drop(ended.await) })))
    }
}

/// A batch, a list for each argument of the function.
#[derive(Debug)]
struct Lists<'a> {
    queue: &'a str,
    token: Uuid,
    acks: Vec<Uuid>,
    ids: Vec<Uuid>,
    kinds: Vec<&'static str>,
    after: Vec<i64>,
    reasons: Vec<Option<&'static str>>,
    notes: Vec<Option<String>>,
    /// Those that stand in the batch for a second time, after which the lease is over.
    again: HashSet<usize>,
}

impl<'a> Lists<'a> {
    fn new(queue: &'a QueueName, token: Token, batch: &[Settlement]) -> Result<Self, BackendError> {
        let mut lists = Self {
            queue: queue.as_str(),
            token: rows::token(token),
            acks: Vec::new(),
            ids: Vec::new(),
            kinds: Vec::new(),
            after: Vec::new(),
            reasons: Vec::new(),
            notes: Vec::new(),
            again: HashSet::new(),
        };
        let mut seen = HashSet::with_capacity(batch.len());
        for (at, settlement) in batch.iter().enumerate() {
            if seen.insert(settlement.id) {
                lists.push(settlement)?;
            } else {
                lists.again.insert(at);
            }
        }
        Ok(lists)
    }

    fn push(&mut self, settlement: &Settlement) -> Result<(), BackendError> {
        let json = |note: &Note| {
            serde_json::to_string(note).map_err(|_| rows::corrupt("a note that cannot be written"))
        };
        let (kind, after, reason, note) = match &settlement.how {
            Settle::Ack => {
                self.acks.push(rows::uuid(settlement.id));
                return Ok(());
            }
            Settle::Retry { after, note } => ("retry", rows::duration(*after), None, Some(json(note)?)),
            Settle::GiveBack { after, refused: false } => ("back", rows::duration(*after), None, None),
            Settle::GiveBack { after, refused: true } => ("refused", rows::duration(*after), None, None),
            Settle::Unstarted { kind, .. } => ("unstarted", kind.map_or(0, rows::number_of_kind), None, None),
            Settle::DeadLetter { reason, note } => ("dead", 0, Some(reason.as_str()), Some(json(note)?)),
        };
        self.ids.push(rows::uuid(settlement.id));
        self.kinds.push(kind);
        self.after.push(after);
        self.reasons.push(reason);
        self.notes.push(note);
        Ok(())
    }

    fn query(&self, now: Option<Timestamp>) -> Query<'_, sqlx::Postgres, PgArguments> {
        sqlx::query(
            "SELECT lost FROM lovage_settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS s (lost)",
        )
        .bind(self.queue)
        .bind(rows::micros(now))
        .bind(self.token)
        .bind(&self.acks)
        .bind(&self.ids)
        .bind(&self.kinds)
        .bind(&self.after)
        .bind(&self.reasons)
        .bind(&self.notes)
        .bind(i32::try_from(limits::NOTES).unwrap_or(i32::MAX))
        .bind(i32::try_from(limits::DEAD_LETTERS).unwrap_or(i32::MAX))
    }

    fn answers(&self, batch: &[Settlement], lost: &[PgRow]) -> Result<Vec<Settled>, BackendError> {
        let lost: HashSet<TaskId> =
            lost.iter().map(|row| rows::get(row, "lost").map(rows::task_id)).collect::<Result<_, _>>()?;
        let answer = |(at, settlement): (usize, &Settlement)| {
            if lost.contains(&settlement.id) || self.again.contains(&at) {
                Settled::LeaseLost
            } else {
                Settled::Applied
            }
        };
        Ok(batch.iter().enumerate().map(answer).collect())
    }
}
