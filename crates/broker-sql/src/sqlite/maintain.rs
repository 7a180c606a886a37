//! Reclaiming what was lost, and making ready what is due.

use std::collections::HashSet;
use std::time::Duration;

use lovage_core::{BackendError, Maintained, QueueName, Timestamp};
use lovage_sql::{sql_error, sqlite::WriteTransaction};

use crate::sqlite::broker::{Outbox, SqliteBroker, head};
use crate::sqlite::publish::News;
use crate::sqlite::reserve::promote_due;
use crate::sqlite::{rows, sql};

const CONTEXT: &str = "maintaining a queue";

impl SqliteBroker {
    /// Maintains queues in one transaction. Those in which nothing is ready, due or leased cost one statement together.
    pub(crate) async fn maintain_queues(
        &self,
        queues: &[QueueName],
        limit: usize,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<Maintained>, BackendError> {
        let mut outbox = Outbox::new();
        let mut tx = self.db.write_tx().await?;
        let calm = calm(&mut tx, queues, lease, now).await?;
        let mut answers = Vec::with_capacity(queues.len());
        for queue in queues {
            if calm.contains(queue.as_str()) {
                answers.push(Maintained::default());
                continue;
            }
            answers.push(self.maintain_one(&mut tx, queue, (limit, lease), now, &mut outbox).await?);
        }
        self.commit(tx, outbox).await?;
        Ok(answers)
    }

    async fn maintain_one(
        &self,
        tx: &mut WriteTransaction,
        queue: &QueueName,
        (limit, lease): (usize, Duration),
        now: Timestamp,
        outbox: &mut Outbox,
    ) -> Result<Maintained, BackendError> {
        let fail = |error| sql_error(CONTEXT, error);
        sqlx::query(sql!("queue_ensure")).bind(queue.as_str()).execute(&mut **tx).await.map_err(fail)?;
        let row =
            sqlx::query(sql!("queue_get")).bind(queue.as_str()).fetch_one(&mut **tx).await.map_err(fail)?;
        let instant =
            |at: &str| Ok::<_, BackendError>(rows::get::<Option<i64>>(&row, at)?.map(Timestamp::from_micros));
        let full_lease = now.plus(lease);
        let absent = instant("maintained_at")?.is_none_or(|last| now.since(last) > lease / 2);
        let guard = if absent { Some(full_lease) } else { instant("guarded_until")? };
        // A clock that was set back must not stretch the guard.
        let guard = guard.map(|at| at.min(full_lease)).filter(|at| *at > now);
        let maintained = sqlx::query(sql!("queue_maintained")).bind(queue.as_str()).bind(now.as_micros());
        maintained.bind(guard.map(Timestamp::as_micros)).execute(&mut **tx).await.map_err(fail)?;
        let shorten = sqlx::query(sql!("lease_shorten")).bind(queue.as_str()).bind(now.as_micros());
        shorten.bind(rows::micros(lease)).execute(&mut **tx).await.map_err(fail)?;
        let reclaimed = if guard.is_some() { 0 } else { reclaim(tx, queue, limit, now).await? };
        let promoted = promote_due(tx, queue, limit, now).await?;
        let timer: Option<i64> = rows::get(&row, "timer_at")?;
        if timer.is_some_and(|at| at <= now.as_micros()) {
            let clear =
                sqlx::query(sql!("queue_timer")).bind(queue.as_str()).bind(None::<String>).bind(None::<i64>);
            clear.execute(&mut **tx).await.map_err(fail)?;
        }
        // The caller looks next anyway: it takes what there is and wakes the next.
        let news =
            News { ready: reclaimed + promoted > 0, due: timer.is_some_and(|at| at <= now.as_micros()), now };
        self.nudge(tx, queue, news, outbox).await?;
        let after =
            sqlx::query(sql!("queue_state")).bind(queue.as_str()).bind(now.as_micros()).fetch_one(&mut **tx);
        let after = after.await.map_err(fail)?;
        let (is_ready, is_leased) = (rows::get(&after, "is_ready")?, rows::get(&after, "is_leased")?);
        Ok(Maintained { reclaimed, promoted, is_ready, is_leased })
    }
}

/// Notes that this ran in the queues that need nothing more, and answers them.
async fn calm(
    tx: &mut WriteTransaction,
    queues: &[QueueName],
    lease: Duration,
    now: Timestamp,
) -> Result<HashSet<String>, BackendError> {
    let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    let calm = sqlx::query_scalar::<_, String>(sql!("queue_calm"))
        .bind(serde_json::Value::from(names).to_string())
        .bind(now.as_micros())
        .bind(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX));
    let calm = calm.fetch_all(&mut **tx).await.map_err(|error| sql_error(CONTEXT, error))?;
    Ok(calm.into_iter().collect())
}

/// Ends reservations whose time is over; their messages go to the head, each with one more lost lease.
async fn reclaim(
    tx: &mut WriteTransaction,
    queue: &QueueName,
    limit: usize,
    now: Timestamp,
) -> Result<usize, BackendError> {
    let fail = |error| sql_error(CONTEXT, error);
    let limit_sql = i64::try_from(limit).unwrap_or(i64::MAX);
    let ended = sqlx::query_scalar::<_, Vec<u8>>(sql!("reservations_ended"))
        .bind(queue.as_str())
        .bind(now.as_micros())
        .bind(limit_sql);
    let mut reclaimed = 0;
    for token in ended.fetch_all(&mut **tx).await.map_err(fail)? {
        if reclaimed >= limit {
            break;
        }
        let held: i64 =
            sqlx::query_scalar(sql!("leased_count")).bind(&token).fetch_one(&mut **tx).await.map_err(fail)?;
        let now_reclaimed = usize::try_from(held).unwrap_or(0).min(limit - reclaimed);
        let before = head(tx, now_reclaimed).await?;
        let most = i64::try_from(now_reclaimed).unwrap_or(i64::MAX);
        let reclaim = sqlx::query(sql!("reclaim")).bind(&token).bind(before).bind(most);
        reclaim.execute(&mut **tx).await.map_err(fail)?;
        // What the limit left of it stays with the reservation, whose end has come already.
        sqlx::query(sql!("reservation_end")).bind(&token).execute(&mut **tx).await.map_err(fail)?;
        reclaimed += now_reclaimed;
    }
    Ok(reclaimed)
}
