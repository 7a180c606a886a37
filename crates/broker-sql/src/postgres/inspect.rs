//! Looking at queues.

use async_trait::async_trait;
use lovage_core::{
    BackendError, Depth, Hidden, Inspect, Page, Paged, Place, QueueName, StoredMessage, TaskId, Timestamp,
    WorkerInfo,
};

use sqlx::types::Uuid;

use crate::postgres::PgBroker;
use crate::postgres::rows;
use crate::postgres::sql;

/// Where a page ended: the last row's sort keys.
type Cursor = (i64, i64);

#[async_trait]
impl Inspect for PgBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        let found = self.db.slow().rows("listing queues", sqlx::query(sql!("queues"))).await?;
        found.iter().map(rows::queue).collect()
    }

    async fn find(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
    ) -> Result<Option<StoredMessage>, BackendError> {
        let query = sqlx::query(sql!("find")).bind(rows::uuid(id)).bind(queue.map(QueueName::as_str));
        let found = self.db.slow().rows("finding a message", query).await?;
        found.first().map(rows::stored).transpose()
    }

    async fn find_all(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<StoredMessage>, BackendError> {
        let ids: Vec<Uuid> = ids.iter().copied().map(rows::uuid).collect();
        let query = sqlx::query(sql!("find_all")).bind(queue.as_str()).bind(ids);
        let found = self.db.slow().rows("finding messages", query).await?;
        found.iter().map(rows::stored).collect()
    }

    async fn peek(
        &self,
        queue: &QueueName,
        place: Place,
        page: Page,
    ) -> Result<Paged<StoredMessage>, BackendError> {
        let (statement, start) = match place {
            Place::Ready => (sql!("peek_ready"), (i64::MIN, i64::MIN)),
            Place::Delayed => (sql!("peek_delayed"), (i64::MIN, i64::MIN)),
            Place::Leased => (sql!("peek_leased"), (i64::MIN, i64::MIN)),
            Place::Dead => (sql!("peek_dead"), (i64::MAX, i64::MAX)),
        };
        let (first, second) = page.after.as_deref().map_or(Ok(start), parse_cursor)?;
        let limit = page.limit.clamp(1, 1_000);
        // One more than asked for tells whether there is a next page.
        let query = sqlx::query(statement).bind(queue.as_str()).bind(first).bind(second);
        let query = query.bind(i64::try_from(limit + 1).unwrap_or(i64::MAX));
        let found = self.db.slow().rows("listing messages", query).await?;
        let shown = &found[..found.len().min(limit)];
        let next = match shown.last().filter(|_| found.len() > limit) {
            Some(row) => Some(format!("{}:{}", rows::get::<i64>(row, "k1")?, rows::get::<i64>(row, "k2")?)),
            None => None,
        };
        Ok(Paged { items: shown.iter().map(rows::stored).collect::<Result<_, _>>()?, next })
    }

    async fn ahead(&self, queue: &QueueName, id: TaskId) -> Result<Option<u64>, BackendError> {
        let query = sqlx::query(sql!("ahead")).bind(queue.as_str()).bind(rows::uuid(id));
        let found = self.db.slow().rows("counting what is ahead", query).await?;
        found.first().map(|row| rows::get::<i64>(row, "ahead").map(i64::unsigned_abs)).transpose()
    }

    async fn depth(&self, queue: &QueueName, _now: Option<Timestamp>) -> Result<Depth, BackendError> {
        let found =
            self.db.slow().rows("measuring a queue", sqlx::query(sql!("depth")).bind(queue.as_str())).await?;
        let Some(row) = found.first() else { return Ok(Depth::default()) };
        let count = |at| rows::get::<i64>(row, at).map(i64::unsigned_abs);
        Ok(Depth {
            ready: count("ready")?,
            delayed: count("delayed")?,
            leased: count("leased")?,
            dead: count("dead")?,
            paused: rows::get(row, "paused")?,
            limit: rows::get::<Option<String>>(row, "rate")?.and_then(|limit| limit.parse().ok()),
            oldest_ready: rows::get::<Option<i64>>(row, "oldest_ready")?.map(Timestamp::from_micros),
        })
    }

    async fn workers(&self, now: Option<Timestamp>) -> Result<Vec<WorkerInfo>, BackendError> {
        let query = sqlx::query(sql!("workers")).bind(rows::micros(now));
        let found = self.db.slow().rows("listing workers", query).await?;
        let mut workers = Vec::with_capacity(found.len());
        for row in &found {
            // One of another release that cannot be read must not hide the others.
            if let Ok(info) = serde_json::from_str::<WorkerInfo>(rows::get(row, "info")?) {
                workers.push(WorkerInfo { seen_at: Timestamp::from_micros(rows::get(row, "seen")?), ..info });
            }
        }
        Ok(workers)
    }

    async fn hidden(&self) -> Result<Hidden, BackendError> {
        let found = self.db.slow().rows("reading what tasks hide", sqlx::query(sql!("hidden"))).await?;
        let task = |row| Ok((rows::get::<String>(row, "task")?, crate::marks(rows::get(row, "marks")?)?));
        found.iter().map(task).collect()
    }
}

fn parse_cursor(text: &str) -> Result<Cursor, BackendError> {
    let keys = text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    keys.ok_or_else(|| crate::not_a_cursor(text))
}
