//! Reserving, and who looks again when there is nothing.

use std::time::Duration;

use lovage_core::{
    BackendError, Delivery, QueueName, RateLimit, Reserve, Reserved, SlotKind, SlotWants, Timestamp, Verdict,
    limits,
};
use lovage_sql::{sql_error, sqlite::WriteTransaction};
use sqlx::sqlite::SqliteRow;

use crate::inbox::Signal;
use crate::sqlite::broker::{Outbox, SqliteBroker, tail, take_idle};
use crate::sqlite::publish::News;
use crate::sqlite::settle::release_key;
use crate::sqlite::{rows, sql};

const CONTEXT: &str = "reserving";

impl SqliteBroker {
    /// Makes reservations in one transaction.
    pub(crate) async fn reserve_batch(
        &self,
        requests: &[Reserve<'_>],
        now: Timestamp,
    ) -> Result<Vec<Reserved>, BackendError> {
        let mut outbox = Outbox::new();
        let mut tx = self.db.write_tx().await?;
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(self.reserve_one(&mut tx, *request, now, &mut outbox).await?);
        }
        self.commit(tx, outbox).await?;
        Ok(answers)
    }

    async fn reserve_one(
        &self,
        tx: &mut WriteTransaction,
        request: Reserve<'_>,
        now: Timestamp,
        outbox: &mut Outbox,
    ) -> Result<Reserved, BackendError> {
        let fail = |error| sql_error(CONTEXT, error);
        let queue = request.queue;
        sqlx::query(sql!("queue_ensure")).bind(queue.as_str()).execute(&mut **tx).await.map_err(fail)?;
        sqlx::query(sql!("idle_remove"))
            .bind(queue.as_str())
            .bind(self.handle())
            .execute(&mut **tx)
            .await
            .map_err(fail)?;
        let promoted = promote_due(tx, queue, limits::RESERVE_BATCH, now).await?;
        let row =
            sqlx::query(sql!("queue_get")).bind(queue.as_str()).fetch_one(&mut **tx).await.map_err(fail)?;
        let bucket = Bucket::of(&row)?;
        let mut want = request.want.bounded();
        let kinds = i64::from(want.kinds());
        let is_hint_passed_on = want.is_none();
        if let Some(bucket) = &bucket {
            want.total = want.total.min(bucket.tokens(now));
        }
        let is_sorted = rows::get(&row, "sorted")?;
        let is_paused: bool = rows::get(&row, "paused")?;
        let deliveries = if is_paused {
            Vec::new()
        } else {
            take(tx, Reserve { want, ..request }, is_sorted, now).await?
        };
        if let Some(bucket) = bucket {
            bucket.spend(tx, queue, now, deliveries.len()).await?;
        }
        let next_check = if deliveries.is_empty() {
            // What became due may be a suspect that this one did not ask for.
            let news = News { ready: is_hint_passed_on || promoted > 0, due: is_hint_passed_on, now };
            self.nudge(tx, queue, news, outbox).await?;
            if is_sorted && !is_paused && !is_hint_passed_on {
                self.nudge_for_others(tx, queue, kinds, outbox).await?;
            }
            if is_hint_passed_on {
                None
            } else {
                sqlx::query(sql!("idle_add"))
                    .bind(queue.as_str())
                    .bind(self.handle())
                    .bind(kinds)
                    .execute(&mut **tx)
                    .await
                    .map_err(fail)?;
                self.claim_timer(tx, queue, &row, now).await?
            }
        } else {
            sqlx::query(sql!("reservation_add"))
                .bind(request.token.as_bytes().as_slice())
                .bind(queue.as_str())
                .bind(self.handle())
                .bind(now.as_micros())
                .bind(rows::micros(request.lease))
                .execute(&mut **tx)
                .await
                .map_err(fail)?;
            // A chain: each handle that found work wakes one more while something is left.
            self.nudge(tx, queue, News { ready: true, due: false, now }, outbox).await?;
            None
        };
        Ok(Reserved { now, deliveries, next_check })
    }

    /// After a reservation that found nothing: wakes an idle handle for messages that are kept for slot kinds which the
    /// reservation did not want. Suspects do not count, because handles that do not ask for them would wake each other.
    async fn nudge_for_others(
        &self,
        tx: &mut WriteTransaction,
        queue: &QueueName,
        wanted: i64,
        outbox: &mut Outbox,
    ) -> Result<(), BackendError> {
        let fail = |error| sql_error(CONTEXT, error);
        let kept: i64 = sqlx::query_scalar(sql!("kept_kinds"))
            .bind(queue.as_str())
            .fetch_one(&mut **tx)
            .await
            .map_err(fail)?;
        let row =
            sqlx::query(sql!("queue_get")).bind(queue.as_str()).fetch_one(&mut **tx).await.map_err(fail)?;
        // Without a token it is of no use yet.
        if kept & !wanted == 0 || rows::get::<Option<i64>>(&row, "empty_until")?.is_some() {
            return Ok(());
        }
        if let Some(handle) = take_idle(tx, queue, kept & !wanted).await? {
            outbox.push((handle, Signal::Work(queue.clone())));
        }
        Ok(())
    }

    /// One idle handle is the one that looks when something becomes due or a lease ends; the others sleep on.
    async fn claim_timer(
        &self,
        tx: &mut WriteTransaction,
        queue: &QueueName,
        row: &SqliteRow,
        now: Timestamp,
    ) -> Result<Option<Duration>, BackendError> {
        let fail = |error| sql_error(CONTEXT, error);
        let next: Option<i64> = sqlx::query_scalar(sql!("next_event"))
            .bind(queue.as_str())
            .fetch_one(&mut **tx)
            .await
            .map_err(fail)?;
        let Some(next) = next else { return Ok(None) };
        let holder: Option<String> = rows::get(row, "timer_handle")?;
        let at: Option<i64> = rows::get(row, "timer_at")?;
        let theirs = holder.is_some_and(|holder| holder != self.handle());
        if theirs && at.is_some_and(|at| at <= next && at > now.as_micros()) {
            return Ok(None);
        }
        let timer = sqlx::query(sql!("queue_timer")).bind(queue.as_str()).bind(self.handle()).bind(next);
        timer.execute(&mut **tx).await.map_err(fail)?;
        Ok(Some(Timestamp::from_micros(next).since(now)))
    }
}

/// Takes back the tokens of messages that were not started, if the queue has a rate limit.
pub(crate) async fn refund(
    tx: &mut WriteTransaction,
    queue: &QueueName,
    now: Timestamp,
    count: usize,
) -> Result<(), BackendError> {
    let fail = |error| sql_error(CONTEXT, error);
    let row = sqlx::query(sql!("queue_get")).bind(queue.as_str()).fetch_one(&mut **tx).await.map_err(fail)?;
    let Some(bucket) = Bucket::of(&row)? else { return Ok(()) };
    let spent = bucket.limit.refund(bucket.spent, count);
    bucket.save(tx, queue, now, spent).await
}

/// The tokens of a queue with a rate limit.
struct Bucket {
    limit: RateLimit,
    /// When all tokens are back.
    spent: Timestamp,
}

impl Bucket {
    fn of(row: &SqliteRow) -> Result<Option<Self>, BackendError> {
        let Some(limit) = rows::get::<Option<String>>(row, "rate")? else { return Ok(None) };
        let limit = limit.parse().map_err(|_| rows::corrupt("a rate limit that is not valid"))?;
        Ok(Some(Self { limit, spent: Timestamp::from_micros(rows::get(row, "spent")?) }))
    }

    fn tokens(&self, now: Timestamp) -> usize {
        self.limit.tokens(self.spent, now)
    }

    async fn spend(
        self,
        tx: &mut WriteTransaction,
        queue: &QueueName,
        now: Timestamp,
        count: usize,
    ) -> Result<(), BackendError> {
        let spent = self.limit.spend(self.spent, now, count);
        self.save(tx, queue, now, spent).await
    }

    async fn save(
        &self,
        tx: &mut WriteTransaction,
        queue: &QueueName,
        now: Timestamp,
        spent: Timestamp,
    ) -> Result<(), BackendError> {
        let empty_until = Some(self.limit.next_token(spent)).filter(|at| *at > now);
        let spend = sqlx::query(sql!("queue_spend"))
            .bind(queue.as_str())
            .bind(spent.as_micros())
            .bind(empty_until.map(Timestamp::as_micros));
        spend.execute(&mut **tx).await.map(drop).map_err(|error| sql_error(CONTEXT, error))
    }
}

/// Makes due messages ready, in the order of their times; answers how many.
pub(crate) async fn promote_due(
    tx: &mut WriteTransaction,
    queue: &QueueName,
    limit: usize,
    now: Timestamp,
) -> Result<usize, BackendError> {
    let fail = |error| sql_error("looking for due messages", error);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due = sqlx::query_scalar::<_, i64>(sql!("due_count"))
        .bind(queue.as_str())
        .bind(now.as_micros())
        .bind(limit);
    let due = usize::try_from(due.fetch_one(&mut **tx).await.map_err(fail)?).unwrap_or(0);
    if due == 0 {
        return Ok(0);
    }
    let before = tail(tx, due).await?;
    let promote =
        sqlx::query(sql!("promote_due")).bind(queue.as_str()).bind(now.as_micros()).bind(limit).bind(before);
    promote.execute(&mut **tx).await.map_err(fail)?;
    Ok(due)
}

/// Leases a suspect first, when one is asked for, then the others in order.
async fn take(
    tx: &mut WriteTransaction,
    request: Reserve<'_>,
    is_sorted: bool,
    now: Timestamp,
) -> Result<Vec<Delivery>, BackendError> {
    let fail = |error| sql_error(CONTEXT, error);
    let token = request.token.as_bytes().as_slice();
    let SlotWants { total: mut max, asynchronous, blocking } = request.want;
    let number = |count: usize| i64::try_from(count).unwrap_or(0);
    // Nothing is kept where nothing was ever sorted.
    let kept = |count| if is_sorted { number(count) } else { 0 };
    let (mut asynchronous, mut blocking) = (kept(asynchronous), kept(blocking));
    let mut deliveries = Vec::new();
    if request.suspects && max > 0 {
        let query = sqlx::query(sql!("reserve_suspect"))
            .bind(request.queue.as_str())
            .bind(token)
            .bind(asynchronous.min(1))
            .bind(blocking.min(1));
        if let Some(row) = query.fetch_optional(&mut **tx).await.map_err(fail)? {
            let (_, delivery) = rows::delivery(&row, now)?;
            end_claim(tx, request.queue, &row, &delivery).await?;
            match delivery.kind {
                Some(SlotKind::Async) => asynchronous -= 1,
                Some(SlotKind::Blocking) => blocking -= 1,
                _ => {}
            }
            deliveries.push(delivery);
            max -= 1;
        }
    }
    if max == 0 {
        return Ok(deliveries);
    }
    let query = if is_sorted {
        let query = sqlx::query(sql!("reserve_sorted")).bind(request.queue.as_str()).bind(token);
        query.bind(number(max)).bind(asynchronous).bind(blocking)
    } else {
        sqlx::query(sql!("reserve")).bind(request.queue.as_str()).bind(token).bind(number(max))
    };
    let found = query.fetch_all(&mut **tx).await.map_err(fail)?;
    let mut others = Vec::with_capacity(found.len());
    for row in &found {
        let (key, delivery) = rows::delivery(row, now)?;
        end_claim(tx, request.queue, row, &delivery).await?;
        others.push((key, delivery));
    }
    others.sort_unstable_by_key(|(key, _)| *key);
    deliveries.extend(others.into_iter().map(|(_, delivery)| delivery));
    Ok(deliveries)
}

/// Ends the claim of a message that is started now, if it is one that ends then.
async fn end_claim(
    tx: &mut WriteTransaction,
    queue: &QueueName,
    row: &SqliteRow,
    delivery: &Delivery,
) -> Result<(), BackendError> {
    if delivery.verdict != Verdict::Run || !rows::get::<bool>(row, "until_start")? {
        return Ok(());
    }
    let Some(key) = rows::get::<Option<String>>(row, "unique_key")? else { return Ok(()) };
    release_key(tx, queue, &key, delivery.id).await?;
    let end = sqlx::query(sql!("claim_end")).bind(delivery.id.as_bytes().as_slice()).bind(queue.as_str());
    end.execute(&mut **tx).await.map(drop).map_err(|error| sql_error(CONTEXT, error))
}
