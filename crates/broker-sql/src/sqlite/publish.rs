//! Publishing.

use std::collections::{BTreeMap, HashSet};

use lovage_core::{BackendError, Message, Published, QueueName, Timestamp, UniquePolicy, limits};
use lovage_sql::{sql_error, sqlite::WriteTransaction};
use sqlx::Row as _;

use crate::inbox::Signal;
use crate::sqlite::broker::{ALL_KINDS, Outbox, SqliteBroker, tail, take_idle};
use crate::sqlite::{rows, sql};

const CONTEXT: &str = "publishing";

/// What an operation did that an idle handle may want to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    /// Something may have become ready.
    pub(crate) ready: bool,
    /// Something may become due, or a lease end, earlier than anybody looks.
    pub(crate) due: bool,
    pub(crate) now: Timestamp,
}

impl SqliteBroker {
    pub(crate) async fn publish_batch(
        &self,
        batch: &[Message],
        now: Timestamp,
    ) -> Result<Vec<Published>, BackendError> {
        let mut answers: Vec<Published> = Vec::new();
        answers.resize(batch.len(), Published::Accepted);
        let mut by_queue: BTreeMap<&QueueName, Vec<usize>> = BTreeMap::new();
        for (at, message) in batch.iter().enumerate() {
            by_queue.entry(&message.queue).or_default().push(at);
        }
        if by_queue.is_empty() {
            return Ok(answers);
        }
        let mut tx = self.db.write_tx().await?;
        let mut outbox = Outbox::new();
        for (queue, indexes) in by_queue {
            let mut plain = Vec::with_capacity(indexes.len());
            let due = indexes.iter().any(|at| batch[*at].delay.due_at(now).is_some());
            for at in indexes {
                let message = &batch[at];
                if message.unique.is_none() && message.fence.is_none() {
                    plain.push(at);
                    continue;
                }
                // In order with the plain ones around it, so that duplicates within a batch are found.
                insert(&mut tx, queue, batch, &std::mem::take(&mut plain), now, &mut answers).await?;
                if let Some(refused) = refusal(&mut tx, message, now).await? {
                    answers[at] = refused;
                    continue;
                }
                replace(&mut tx, message, now).await?;
                claim(&mut tx, message, now).await?;
                insert(&mut tx, queue, batch, &[at], now, &mut answers).await?;
            }
            insert(&mut tx, queue, batch, &plain, now, &mut answers).await?;
            self.nudge(&mut tx, queue, News { ready: true, due, now }, &mut outbox).await?;
        }
        self.commit(tx, outbox).await?;
        Ok(answers)
    }

    /// Wakes one idle handle if there is news for it.
    pub(crate) async fn nudge(
        &self,
        tx: &mut WriteTransaction,
        queue: &QueueName,
        news: News,
        outbox: &mut Outbox,
    ) -> Result<(), BackendError> {
        let fail = |error| sql_error("waking a worker", error);
        let idle = sqlx::query(sql!("idle_any"))
            .bind(queue.as_str())
            .bind("")
            .fetch_optional(&mut **tx)
            .await
            .map_err(fail)?;
        if idle.is_none() {
            return Ok(());
        }
        let row =
            sqlx::query(sql!("queue_get")).bind(queue.as_str()).fetch_one(&mut **tx).await.map_err(fail)?;
        if rows::get::<bool>(&row, "paused")? {
            return Ok(());
        }
        let kinds: i64 = sqlx::query_scalar(sql!("ready_kinds"))
            .bind(queue.as_str())
            .fetch_one(&mut **tx)
            .await
            .map_err(fail)?;
        // Without a token what is ready is due with the next one.
        let (ready, token) = (news.ready && kinds != 0, rows::get::<Option<i64>>(&row, "empty_until")?);
        if ready
            && token.is_none()
            && let Some(handle) = take_idle(tx, queue, kinds).await?
        {
            outbox.push((handle, Signal::Work(queue.clone())));
            return Ok(());
        }
        let wake = (news.due || ready && token.is_some()) && {
            let next: Option<i64> = sqlx::query_scalar(sql!("next_event"))
                .bind(queue.as_str())
                .fetch_one(&mut **tx)
                .await
                .map_err(fail)?;
            let timer: Option<i64> = rows::get(&row, "timer_at")?;
            // Somebody has to look earlier than the one who said that it would.
            next.is_some_and(|next| timer.is_none_or(|timer| next < timer || timer <= news.now.as_micros()))
        };
        // Any handle can keep the time.
        if wake && let Some(handle) = take_idle(tx, queue, ALL_KINDS).await? {
            outbox.push((handle, Signal::Work(queue.clone())));
        }
        Ok(())
    }
}

/// Inserts messages without conditions of their own, in one statement.
async fn insert(
    tx: &mut WriteTransaction,
    queue: &QueueName,
    batch: &[Message],
    indexes: &[usize],
    now: Timestamp,
    answers: &mut [Published],
) -> Result<(), BackendError> {
    if indexes.is_empty() {
        return Ok(());
    }
    sqlx::query(sql!("queue_ensure"))
        .bind(queue.as_str())
        .execute(&mut **tx)
        .await
        .map_err(|error| sql_error(CONTEXT, error))?;
    let before = tail(tx, indexes.len()).await?;
    let inserted = sqlx::query(sql!("publish"))
        .bind(queue.as_str())
        .bind(now.as_micros())
        .bind(before)
        .bind(json_rows(batch, indexes, now))
        .fetch_all(&mut **tx)
        .await
        .map_err(|error| sql_error(CONTEXT, error))?;
    let mut fresh = HashSet::with_capacity(inserted.len());
    for row in &inserted {
        fresh.insert(rows::task_id(row.try_get(0).map_err(|error| sql_error(CONTEXT, error))?)?);
    }
    for at in indexes {
        let id = batch[*at].id;
        // Removed, so that its second one in this batch is the duplicate that it is.
        if !fresh.remove(&id) {
            answers[*at] = Published::Duplicate { holder: id };
        }
    }
    Ok(())
}

fn json_rows(batch: &[Message], indexes: &[usize], now: Timestamp) -> String {
    let mut text = String::from("[");
    for at in indexes {
        let message = &batch[*at];
        text.push_str(if text.len() > 1 { ",[\"" } else { "[\"" });
        rows::push_hex(&mut text, message.id.as_bytes());
        text.push_str("\",");
        text.push_str(&message.priority.to_string());
        text.push(',');
        match message.delay.due_at(now) {
            Some(due) => text.push_str(&due.as_micros().to_string()),
            None => text.push_str("null"),
        }
        text.push(',');
        match &message.unique {
            Some(unique) => text.push_str(&serde_json::Value::from(unique.key.as_str()).to_string()),
            None => text.push_str("null"),
        }
        text.push_str(",\"");
        rows::push_hex(&mut text, &message.body);
        let until_start = message.unique.as_ref().is_some_and(|unique| unique.until_start);
        text.push_str(if until_start { "\",1]" } else { "\"]" });
    }
    text.push(']');
    text
}

/// Whether a message with conditions is refused.
async fn refusal(
    tx: &mut WriteTransaction,
    message: &Message,
    now: Timestamp,
) -> Result<Option<Published>, BackendError> {
    let fail = |error| sql_error(CONTEXT, error);
    let queue = message.queue.as_str();
    let id = message.id.as_bytes().as_slice();
    if sqlx::query(sql!("task_exists"))
        .bind(id)
        .bind(queue)
        .fetch_optional(&mut **tx)
        .await
        .map_err(fail)?
        .is_some()
    {
        return Ok(Some(Published::Duplicate { holder: message.id }));
    }
    if let Some(unique) = &message.unique {
        let query = sqlx::query_scalar::<_, Vec<u8>>(sql!("unique_holder"))
            .bind(queue)
            .bind(&unique.key)
            .bind(now.as_micros());
        if let Some(holder) = query.fetch_optional(&mut **tx).await.map_err(fail)? {
            let waits = sqlx::query(sql!("waits")).bind(&holder).bind(queue);
            let waits = waits.fetch_optional(&mut **tx).await.map_err(fail)?.is_some();
            if unique.policy == UniquePolicy::Reject || !waits {
                return Ok(Some(Published::Duplicate { holder: rows::task_id(&holder)? }));
            }
        }
    }
    if let Some(fence) = &message.fence {
        let latest = now.plus(limits::CLOCK_TOLERANCE);
        if fence.slot > latest {
            return Ok(Some(Published::Early { now }));
        }
        let query = sqlx::query_scalar::<_, i64>(sql!("fence_get")).bind(queue).bind(&fence.name);
        let newest = query.fetch_optional(&mut **tx).await.map_err(fail)?.map(Timestamp::from_micros);
        if let Some(newest) = newest.filter(|newest| (fence.slot..=latest).contains(newest)) {
            return Ok(Some(Published::Stale { newest }));
        }
    }
    Ok(None)
}

/// Takes the place of the holder of the key, who waits, where the message is to do that.
async fn replace(tx: &mut WriteTransaction, message: &Message, now: Timestamp) -> Result<(), BackendError> {
    let fail = |error| sql_error(CONTEXT, error);
    let Some(unique) = message.unique.as_ref().filter(|unique| unique.policy == UniquePolicy::Replace) else {
        return Ok(());
    };
    let mark = sqlx::query(sql!("replace_holder"))
        .bind(message.queue.as_str())
        .bind(&unique.key)
        .bind(now.as_micros())
        .bind(message.id.as_bytes().as_slice());
    let Some(row) = mark.fetch_optional(&mut **tx).await.map_err(fail)? else { return Ok(()) };
    if rows::get::<i64>(&row, "place")? == 1 {
        let position = tail(tx, 1).await? + 1;
        let ready = sqlx::query(sql!("make_ready")).bind(rows::get::<i64>(&row, "seq")?).bind(position);
        ready.execute(&mut **tx).await.map_err(fail)?;
    }
    Ok(())
}

/// Takes the key and moves the fence of a message that is not refused.
async fn claim(tx: &mut WriteTransaction, message: &Message, now: Timestamp) -> Result<(), BackendError> {
    let fail = |error| sql_error(CONTEXT, error);
    let queue = message.queue.as_str();
    if let Some(unique) = &message.unique {
        let until = unique.ttl.map(|ttl| now.plus(ttl).as_micros());
        let claim = sqlx::query(sql!("unique_claim")).bind(queue).bind(&unique.key);
        claim.bind(message.id.as_bytes().as_slice()).bind(until).execute(&mut **tx).await.map_err(fail)?;
    }
    if let Some(fence) = &message.fence {
        let set = sqlx::query(sql!("fence_set")).bind(queue).bind(&fence.name).bind(fence.slot.as_micros());
        set.execute(&mut **tx).await.map_err(fail)?;
    }
    Ok(())
}
