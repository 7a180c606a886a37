//! Reclaiming what was lost, and making ready what is due.

use std::time::Duration;

use lovage_core::{BackendError, Maintained, QueueName, Timestamp};
use lovage_sql::{sql_error, sqlite::WriteTransaction};

use crate::sqlite::broker::{Outbox, SqliteBroker, head};
use crate::sqlite::publish::News;
use crate::sqlite::reserve::promote_due;
use crate::sqlite::{rows, sql};

const CONTEXT: &str = "maintaining a queue";

impl SqliteBroker {
    pub(crate) async fn maintain_queue(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Maintained, BackendError> {
        let fail = |error| sql_error(CONTEXT, error);
        let mut tx = self.db.write_tx().await?;
        sqlx::query(sql!("queue_ensure")).bind(queue.as_str()).execute(&mut *tx).await.map_err(fail)?;
        let row =
            sqlx::query(sql!("queue_get")).bind(queue.as_str()).fetch_one(&mut *tx).await.map_err(fail)?;
        let instant =
            |at: &str| Ok::<_, BackendError>(rows::get::<Option<i64>>(&row, at)?.map(Timestamp::from_micros));
        let full_lease = now.plus(lease);
        let absent = instant("maintained_at")?.is_none_or(|last| now.since(last) > lease / 2);
        let guard = if absent { Some(full_lease) } else { instant("guarded_until")? };
        // A clock that was set back must not stretch the guard.
        let guard = guard.map(|at| at.min(full_lease)).filter(|at| *at > now);
        let maintained = sqlx::query(sql!("queue_maintained")).bind(queue.as_str()).bind(now.as_micros());
        maintained.bind(guard.map(Timestamp::as_micros)).execute(&mut *tx).await.map_err(fail)?;
        let reclaimed = if guard.is_some() { 0 } else { reclaim(&mut tx, queue, limit, now).await? };
        let promoted = promote_due(&mut tx, queue, limit, now).await?;
        let timer: Option<i64> = rows::get(&row, "timer_at")?;
        if timer.is_some_and(|at| at <= now.as_micros()) {
            let clear =
                sqlx::query(sql!("queue_timer")).bind(queue.as_str()).bind(None::<String>).bind(None::<i64>);
            clear.execute(&mut *tx).await.map_err(fail)?;
        }
        let mut outbox = Outbox::new();
        // The caller looks next anyway: it takes what there is and wakes the next.
        let news =
            News { ready: reclaimed + promoted > 0, due: timer.is_some_and(|at| at <= now.as_micros()), now };
        self.nudge(&mut tx, queue, news, &mut outbox).await?;
        self.commit(tx, outbox).await?;
        Ok(Maintained { reclaimed, promoted })
    }
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
