//! Handing out messages, and looking after those that were handed out.

use std::time::Duration;

use lovage_core::{
    BackendError, Maintained, QueueName, Reserve, Reserved, SlotKind, SlotWants, Timestamp, Verdict,
};
use sqlx::postgres::PgRow;
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
        self.reserved(request.queue, &found).await
    }

    pub(crate) async fn reserve_batches(
        &self,
        requests: &[Reserve<'_>],
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Reserved, BackendError>>, BackendError> {
        let queues: Vec<&str> = requests.iter().map(|request| request.queue.as_str()).collect();
        let wants: Vec<SlotWants> = requests.iter().map(|request| request.want.bounded()).collect();
        let max: Vec<i32> = wants.iter().map(|want| number(want.total)).collect();
        // Those of the first request, then those of the second one, and so on.
        let kinds: Vec<i32> =
            wants.iter().flat_map(|want| SlotKind::ALL.map(|kind| number(want.get(kind)))).collect();
        let tokens: Vec<Uuid> = requests.iter().map(|request| rows::token(request.token)).collect();
        let leases: Vec<i64> = requests.iter().map(|request| rows::duration(request.lease)).collect();
        let suspects: Vec<bool> = requests.iter().map(|request| request.suspects).collect();
        let found = self
            .db
            .undisturbed(|| {
                let query = sqlx::query("SELECT * FROM lovage_reserve_many($1, $2, $3, $4, $5, $6, $7, $8)")
                    .bind(&queues)
                    .bind(rows::micros(now))
                    .bind(&max)
                    .bind(&tokens)
                    .bind(&leases)
                    .bind(&suspects)
                    .bind(self.handle())
                    .bind(&kinds);
                self.db.rows("reserving", query)
            })
            .await?;
        let mut answers = Vec::with_capacity(requests.len());
        for (request, found) in requests.iter().zip(by_request(found, requests.len())?) {
            answers.push(self.reserved(request.queue, &found).await);
        }
        Ok(answers)
    }

    /// What the rows of one reservation say.
    async fn reserved(&self, queue: &QueueName, found: &[PgRow]) -> Result<Reserved, BackendError> {
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
        for row in found {
            let delivery = rows::delivery(row, now)?;
            if delivery.verdict == Verdict::Run && rows::get::<bool>(row, "until_start")? {
                started.push(rows::uuid(delivery.id));
            }
            numbered.push((rows::get::<i64>(row, "nth")?, delivery));
        }
        numbered.sort_unstable_by_key(|(nth, _)| *nth);
        if !started.is_empty() {
            self.end_claims(queue, &started).await?;
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
                let query = sqlx::query("SELECT * FROM lovage_maintain($1, $2, $3, $4)")
                    .bind(queue.as_str())
                    .bind(rows::micros(now))
                    .bind(i32::try_from(limit).unwrap_or(i32::MAX))
                    .bind(rows::duration(lease));
                self.db.rows("maintaining a queue", query)
            })
            .await?;
        found.first().map_or_else(|| Ok(Maintained::default()), maintained)
    }

    pub(crate) async fn maintain_queues(
        &self,
        queues: &[QueueName],
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Maintained, BackendError>>, BackendError> {
        let names: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
        let found = self
            .db
            .undisturbed(|| {
                let query = sqlx::query("SELECT * FROM lovage_maintain_many($1, $2, $3, $4)")
                    .bind(&names)
                    .bind(rows::micros(now))
                    .bind(i32::try_from(limit).unwrap_or(i32::MAX))
                    .bind(rows::duration(lease));
                self.db.rows("maintaining queues", query)
            })
            .await?;
        let found = by_request(found, queues.len())?;
        Ok(found
            .iter()
            .map(|rows| rows.first().map_or_else(|| Ok(Maintained::default()), maintained))
            .collect())
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The rows of each request of a batch.
fn by_request(found: Vec<PgRow>, count: usize) -> Result<Vec<Vec<PgRow>>, BackendError> {
    let mut parts: Vec<Vec<PgRow>> = (0..count).map(|_| Vec::new()).collect();
    for row in found {
        let at = rows::get::<i64>(&row, "request")? - 1;
        if let Some(part) = usize::try_from(at).ok().and_then(|at| parts.get_mut(at)) {
            part.push(row);
        }
    }
    Ok(parts)
}

fn maintained(row: &PgRow) -> Result<Maintained, BackendError> {
    let count = |at| Ok::<_, BackendError>(usize::try_from(rows::get::<i32>(row, at)?).unwrap_or(0));
    Ok(Maintained {
        reclaimed: count("reclaimed")?,
        promoted: count("promoted")?,
        is_ready: rows::get(row, "is_ready")?,
        is_leased: rows::get(row, "is_leased")?,
    })
}
