//! Handing out messages, and looking after those that were handed out.

use std::time::Duration;

use lovage_core::{BackendError, Maintained, QueueName, Reserve, Reserved, SlotKind, Timestamp, Verdict};
use sqlx::types::Uuid;

use crate::postgres::PgBroker;
use crate::postgres::rows;

impl PgBroker {
    pub(crate) async fn reserve_batch(
        &self,
        request: Reserve<'_>,
        now: Option<Timestamp>,
    ) -> Result<Reserved, BackendError> {
        let want = request.want.bounded();
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let found = self
            .db
            .undisturbed(|| {
                let query = sqlx::query("SELECT * FROM lovage_reserve($1, $2, $3, $4, $5, $6, $7, $8)")
                    .bind(request.queue.as_str())
                    .bind(rows::micros(now))
                    .bind(number(want.total))
                    .bind(rows::token(request.token))
                    .bind(rows::duration(request.lease))
                    .bind(request.suspects)
                    .bind(self.handle())
                    .bind(SlotKind::ALL.map(|kind| number(want.get(kind))));
                self.db.rows("reserving", query)
            })
            .await?;
        let Some(first) = found.first() else {
            return Err(rows::corrupt("a function that does not answer"));
        };
        let now = Timestamp::from_micros(rows::get(first, "now")?);
        if rows::get::<Option<Uuid>>(first, "id")?.is_none() {
            let next_check = rows::get::<Option<i64>>(first, "next_check")?;
            let next_check = next_check.map(|micros| Duration::from_micros(micros.unsigned_abs()));
            return Ok(Reserved { now, deliveries: Vec::new(), next_check });
        }
        let mut numbered = Vec::with_capacity(found.len());
        let mut started = Vec::new();
        for row in &found {
            let delivery = rows::delivery(row, now)?;
            if delivery.verdict == Verdict::Run && rows::get::<bool>(row, "until_start")? {
                started.push(rows::uuid(delivery.id));
            }
            numbered.push((rows::get::<i64>(row, "nth")?, delivery));
        }
        numbered.sort_unstable_by_key(|(nth, _)| *nth);
        if !started.is_empty() {
            self.end_claims(request.queue, &started).await?;
        }
        let deliveries = numbered.into_iter().map(|(_, delivery)| delivery).collect();
        Ok(Reserved { now, deliveries, next_check: None })
    }

    /// Ends the claims that last until the start: the verdict was found here, so that this is a call of its own.
    async fn end_claims(&self, queue: &QueueName, ids: &[Uuid]) -> Result<(), BackendError> {
        let call = || {
            let query = sqlx::query("SELECT lovage_started($1, $2)").bind(queue.as_str()).bind(ids);
            self.db.rows("ending claims on unique keys", query)
        };
        self.db.undisturbed(call).await.map(drop)
    }

    pub(crate) async fn maintain_queue(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Maintained, BackendError> {
        let found = self
            .db
            .undisturbed(|| {
                let query = sqlx::query("SELECT reclaimed, promoted FROM lovage_maintain($1, $2, $3, $4)")
                    .bind(queue.as_str())
                    .bind(rows::micros(now))
                    .bind(i32::try_from(limit).unwrap_or(i32::MAX))
                    .bind(rows::duration(lease));
                self.db.rows("maintaining a queue", query)
            })
            .await?;
        let Some(row) = found.first() else { return Ok(Maintained::default()) };
        let count = |at| Ok::<_, BackendError>(usize::try_from(rows::get::<i32>(row, at)?).unwrap_or(0));
        Ok(Maintained { reclaimed: count("reclaimed")?, promoted: count("promoted")? })
    }
}
