//! Looking at queues.

use async_trait::async_trait;
use lovage_core::{
    BackendError, Depth, Hidden, Inspect, Page, Paged, Place, QueueName, StoredMessage, TaskId, Timestamp,
    WorkerInfo,
};
use lovage_sql::sql_error;
use sqlx::Row as _;

use crate::sqlite::broker::SqliteBroker;
use crate::sqlite::{rows, sql};

/// Where a page ended: the last row's sort keys.
type Cursor = (i64, i64, i64);

#[async_trait]
impl Inspect for SqliteBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        let names: Vec<String> = sqlx::query_scalar(sql!("queue_names"))
            .fetch_all(self.db.reader())
            .await
            .map_err(|error| sql_error("listing queues", error))?;
        names
            .into_iter()
            .map(|name| QueueName::new(name).map_err(|_| rows::corrupt("a queue name that is not valid")))
            .collect()
    }

    async fn find(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
    ) -> Result<Option<StoredMessage>, BackendError> {
        let row = sqlx::query(sql!("find"))
            .bind(id.as_bytes().as_slice())
            .bind(queue.map(QueueName::as_str))
            .fetch_optional(self.db.reader())
            .await
            .map_err(|error| sql_error("finding a message", error))?;
        row.as_ref().map(rows::stored).transpose()
    }

    async fn find_all(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<StoredMessage>, BackendError> {
        let found = sqlx::query(sql!("find_all"))
            .bind(queue.as_str())
            .bind(rows::hex_list(ids.iter().map(TaskId::as_bytes)))
            .fetch_all(self.db.reader())
            .await
            .map_err(|error| sql_error("finding messages", error))?;
        found.iter().map(rows::stored).collect()
    }

    async fn peek(
        &self,
        queue: &QueueName,
        place: Place,
        page: Page,
    ) -> Result<Paged<StoredMessage>, BackendError> {
        let statement = match place {
            Place::Ready => sql!("peek_ready"),
            Place::Delayed => sql!("peek_delayed"),
            Place::Leased => sql!("peek_leased"),
            Place::Dead => sql!("peek_dead"),
        };
        let after = match &page.after {
            Some(text) => parse_cursor(text)?,
            None => (i64::MIN, i64::MIN, i64::MIN),
        };
        let limit = page.limit.clamp(1, 1_000);
        // One more than asked for tells whether there is a next page.
        let found = sqlx::query(statement)
            .bind(queue.as_str())
            .bind(after.0)
            .bind(after.1)
            .bind(after.2)
            .bind(i64::try_from(limit + 1).unwrap_or(i64::MAX))
            .fetch_all(self.db.reader())
            .await
            .map_err(|error| sql_error("listing messages", error))?;
        let more = found.len() > limit;
        let shown = &found[..found.len().min(limit)];
        let next = match shown.last().filter(|_| more) {
            Some(row) => {
                let keys: Cursor = (rows::get(row, "k1")?, rows::get(row, "k2")?, rows::get(row, "k3")?);
                Some(format!("{}:{}:{}", keys.0, keys.1, keys.2))
            }
            None => None,
        };
        Ok(Paged { items: shown.iter().map(rows::stored).collect::<Result<_, _>>()?, next })
    }

    async fn ahead(&self, queue: &QueueName, id: TaskId) -> Result<Option<u64>, BackendError> {
        let count: Option<i64> = sqlx::query_scalar(sql!("ahead"))
            .bind(queue.as_str())
            .bind(id.as_bytes().as_slice())
            .fetch_optional(self.db.reader())
            .await
            .map_err(|error| sql_error("counting what is ahead", error))?;
        Ok(count.map(i64::unsigned_abs))
    }

    async fn depth(&self, queue: &QueueName, _now: Option<Timestamp>) -> Result<Depth, BackendError> {
        let fail = |error| sql_error("measuring a queue", error);
        let row = sqlx::query(sql!("depth"))
            .bind(queue.as_str())
            .fetch_one(self.db.reader())
            .await
            .map_err(fail)?;
        let count = |at: usize| {
            row.try_get::<i64, _>(at).map_err(fail).map(|count| u64::try_from(count).unwrap_or(0))
        };
        Ok(Depth {
            ready: count(0)?,
            delayed: count(1)?,
            leased: count(2)?,
            dead: count(3)?,
            paused: row.try_get(4).map_err(fail)?,
            limit: row.try_get::<Option<String>, _>(5).map_err(fail)?.and_then(|limit| limit.parse().ok()),
            oldest_ready: row.try_get::<Option<i64>, _>(6).map_err(fail)?.map(Timestamp::from_micros),
        })
    }

    async fn workers(&self, now: Option<Timestamp>) -> Result<Vec<WorkerInfo>, BackendError> {
        let infos: Vec<String> = sqlx::query_scalar(sql!("workers"))
            .bind(self.now(now).as_micros())
            .fetch_all(self.db.reader())
            .await
            .map_err(|error| sql_error("listing workers", error))?;
        // One of another release that cannot be read must not hide the others.
        Ok(infos.iter().filter_map(|info| serde_json::from_str(info).ok()).collect())
    }

    async fn hidden(&self) -> Result<Hidden, BackendError> {
        let found: Vec<(String, String)> = sqlx::query_as(sql!("hidden"))
            .fetch_all(self.db.reader())
            .await
            .map_err(|error| sql_error("reading what tasks hide", error))?;
        found.into_iter().map(|(task, marks)| Ok((task, crate::marks(&marks)?))).collect()
    }
}

fn parse_cursor(text: &str) -> Result<Cursor, BackendError> {
    let mut parts = text.split(':').map(str::parse::<i64>);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(a)), Some(Ok(b)), Some(Ok(c)), None) => Ok((a, b, c)),
        _ => Err(crate::not_a_cursor(text)),
    }
}
