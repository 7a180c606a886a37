//! Looking at queues and workers.

use async_trait::async_trait;
use fred::interfaces::SetsInterface;
use fred::types::Value;
use futures_util::future::join_all;
use lovage_core::{
    BackendError, BackendErrorKind, Depth, Hidden, Inspect, Page, Paged, Place, QueueName, RedactedArg,
    StoredMessage, TaskId, Timestamp, WorkerInfo,
};

use crate::answer::{Answer, integer, list, unexpected};
use crate::args::Args;
use crate::broker::RedisBroker;
use crate::record::{published_at, stored_message};
use crate::scripts;

#[async_trait]
impl Inspect for RedisBroker {
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        let names: Vec<Value> =
            self.redis.run("read the list of queues", |client| client.smembers(self.keys.queues())).await?;
        // What is no name was not written by us.
        let name = |value: &Value| value.as_str().and_then(|name| QueueName::new(&*name).ok());
        let mut names: Vec<QueueName> = names.iter().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    async fn find(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
    ) -> Result<Option<StoredMessage>, BackendError> {
        let queues = self.asked(queue).await?;
        let found = join_all(queues.iter().map(|queue| self.find_in(queue, id))).await;
        found.into_iter().find_map(Result::transpose).transpose()
    }

    async fn find_all(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<StoredMessage>, BackendError> {
        // They go out together, and so do their answers.
        let found = join_all(ids.iter().map(|id| self.find_in(queue, *id))).await;
        found.into_iter().filter_map(Result::transpose).collect()
    }

    async fn peek(
        &self,
        queue: &QueueName,
        place: Place,
        page: Page,
    ) -> Result<Paged<StoredMessage>, BackendError> {
        let limit = page.limit.clamp(1, 1_000);
        let skip = page.after.as_deref().map_or(Ok(0), read_offset)?;
        let args = Args::new().text(place.as_str()).number(skip).number(limit);
        let mut answer = Answer::new("peek", self.on_queue(&scripts::PEEK, queue, args).await?)?;
        let items = answer.list()?.into_iter();
        let items = items.filter_map(|item| stored_message("peek", queue, item).transpose());
        let items = items.collect::<Result<_, _>>()?;
        let more = answer.integer()? == 1;
        Ok(Paged { items, next: more.then(|| (skip + limit).to_string()) })
    }

    async fn ahead(&self, queue: &QueueName, id: TaskId) -> Result<Option<u64>, BackendError> {
        let ahead = self.on_queue(&scripts::AHEAD, queue, Args::new().bytes(id.as_bytes())).await?;
        if ahead.is_null() {
            return Ok(None);
        }
        integer("ahead", &ahead).map(|count| u64::try_from(count).ok())
    }

    async fn depth(&self, queue: &QueueName, _now: Option<Timestamp>) -> Result<Depth, BackendError> {
        let mut answer = Answer::new("depth", self.on_queue(&scripts::DEPTH, queue, Args::new()).await?)?;
        let mut count = || answer.integer().map(|count| u64::try_from(count).unwrap_or(0));
        Ok(Depth {
            ready: count()?,
            delayed: count()?,
            leased: count()?,
            dead: count()?,
            paused: count()? == 1,
            limit: answer.next().as_str().and_then(|limit| limit.parse().ok()),
            oldest_ready: answer.next().as_bytes().and_then(published_at),
        })
    }

    async fn workers(&self, now: Option<Timestamp>) -> Result<Vec<WorkerInfo>, BackendError> {
        let entries = list("workers", self.on_registry(&scripts::WORKERS, Args::at(now)).await?)?;
        // A worker may sign off between two commands of another: what is not there is not live.
        let entries = entries.iter().filter(|entry| !entry.is_null());
        let mut workers: Vec<WorkerInfo> = entries.map(worker_info).collect::<Result<_, _>>()?;
        workers.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(workers)
    }

    async fn hidden(&self) -> Result<Hidden, BackendError> {
        let fields = list("hidden", self.on_registry(&scripts::HIDDEN, Args::new()).await?)?;
        let (pairs, _) = fields.as_chunks();
        pairs.iter().map(hidden_of).collect()
    }
}

impl RedisBroker {
    /// The named queue, or every one.
    pub(crate) async fn asked(&self, queue: Option<&QueueName>) -> Result<Vec<QueueName>, BackendError> {
        match queue {
            Some(queue) => Ok(vec![queue.clone()]),
            None => self.queues().await,
        }
    }

    async fn find_in(&self, queue: &QueueName, id: TaskId) -> Result<Option<StoredMessage>, BackendError> {
        let args = Args::new().bytes(id.as_bytes());
        let found = self.on_queue(&scripts::FIND, queue, args).await?;
        if found.is_null() { Ok(None) } else { stored_message("find", queue, found) }
    }
}

fn read_offset(after: &str) -> Result<usize, BackendError> {
    after.parse().map_err(|_| {
        BackendError::new(
            BackendErrorKind::Config,
            format!("`{after}` is not where a page ended: pass on `Paged::next` unchanged, or nothing to begin again"),
        )
    })
}

/// A task and what it hides, as JSON.
fn hidden_of([task, marks]: &[Value; 2]) -> Result<(String, Vec<RedactedArg>), BackendError> {
    let marks_of = || serde_json::from_slice(marks.as_bytes()?).ok();
    let known = task.as_string().zip(marks_of());
    known.ok_or_else(|| unexpected("hidden", "what a task hides", marks))
}

/// An entry of the registry: when it was seen (8 bytes), the length of its channel (2 bytes), channel, JSON.
fn worker_info(entry: &Value) -> Result<WorkerInfo, BackendError> {
    let read = |bytes: &[u8]| {
        let (seen, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (_channel, json) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let info: WorkerInfo = serde_json::from_slice(json).ok()?;
        Some(WorkerInfo { seen_at: Timestamp::from_micros(i64::from_be_bytes(*seen)), ..info })
    };
    entry
        .as_bytes()
        .and_then(read)
        .ok_or_else(|| unexpected("workers", "what a worker says of itself", entry))
}
