//! Changing what is in queues, and telling workers.

use async_trait::async_trait;
use futures_util::future::join_all;
use lovage_core::{
    BackendError, BackendErrorKind, Cancelled, Control, Place, QueueName, RateLimit, TaskId, Timestamp,
    WorkerCommand, WorkerId, limits,
};
use lovage_redis::Script;

use crate::answer::{integer, unexpected};
use crate::args::Args;
use crate::broker::RedisBroker;
use crate::scripts;

#[async_trait]
impl Control for RedisBroker {
    async fn cancel(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        _now: Option<Timestamp>,
    ) -> Result<Cancelled, BackendError> {
        let queues = self.asked(queue).await?;
        let asked = join_all(queues.iter().map(|queue| self.cancel_in(queue, id))).await;
        let not_found = |answer: &Result<Cancelled, _>| matches!(answer, Ok(Cancelled::NotFound));
        asked.into_iter().find(|answer| !not_found(answer)).unwrap_or(Ok(Cancelled::NotFound))
    }

    async fn promote(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        _now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        let queues = self.asked(queue).await?;
        let one = |queue| self.count(&scripts::PROMOTE, queue, Args::new().bytes(id.as_bytes()));
        let promoted: Result<Vec<usize>, _> = join_all(queues.iter().map(one)).await.into_iter().collect();
        Ok(promoted?.into_iter().any(|count| count > 0))
    }

    async fn purge(&self, queue: &QueueName, place: Place, limit: usize) -> Result<usize, BackendError> {
        if place == Place::Leased {
            return Err(BackendError::new(
                BackendErrorKind::Unsupported,
                "messages in the hands of workers cannot be purged: cancel them, or wait until they have ended",
            ));
        }
        let args = Args::new().text(place.as_str()).number(limit.min(1_000));
        self.count(&scripts::PURGE, queue, args).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.remember(queue).await;
        self.count(&scripts::PAUSE, queue, Args::new()).await.map(|_| ())
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.remember(queue).await;
        self.count(&scripts::RESUME, queue, Args::new()).await.map(|_| ())
    }

    async fn limit(&self, queue: &QueueName, limit: Option<RateLimit>) -> Result<(), BackendError> {
        self.remember(queue).await;
        let args = match limit {
            Some(limit) => {
                let gap = usize::try_from(limit.gap()).unwrap_or(1);
                Args::new().text(&limit.to_string()).number(gap).number(limit.burst() as usize)
            }
            None => Args::new().text(""),
        };
        self.count(&scripts::LIMIT, queue, args).await.map(|_| ())
    }

    async fn requeue_dead(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        _now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        self.count_of(&scripts::REQUEUE_DEAD, queue, ids).await
    }

    async fn delete_dead(&self, queue: &QueueName, ids: &[TaskId]) -> Result<usize, BackendError> {
        self.count_of(&scripts::DELETE_DEAD, queue, ids).await
    }

    async fn tell(
        &self,
        worker: WorkerId,
        command: &WorkerCommand,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        let args = Args::at(now).text(&worker.to_string()).bytes(&to_json(command)?);
        let told = self.on_registry(&scripts::TELL, args).await?;
        Ok(integer("tell", &told)? == 1)
    }
}

impl RedisBroker {
    async fn cancel_in(&self, queue: &QueueName, id: TaskId) -> Result<Cancelled, BackendError> {
        let found = self.on_queue(&scripts::CANCEL, queue, Args::new().bytes(id.as_bytes())).await?;
        match found.as_bytes() {
            Some(b"none") => Ok(Cancelled::NotFound),
            Some(b"waiting") => Ok(Cancelled::Waiting),
            Some(b"leased") => Ok(Cancelled::Leased),
            _ => Err(unexpected("cancel", "what was found", &found)),
        }
    }

    async fn count(&self, script: &Script, queue: &QueueName, args: Args) -> Result<usize, BackendError> {
        let count = self.on_queue(script, queue, args).await?;
        Ok(usize::try_from(integer(script.name(), &count)?).unwrap_or(0))
    }

    /// Runs a script on ids, a bounded number at a time.
    async fn count_of(
        &self,
        script: &Script,
        queue: &QueueName,
        ids: &[TaskId],
    ) -> Result<usize, BackendError> {
        let mut count = 0;
        for part in ids.chunks(limits::PUBLISH_BATCH) {
            let mut args = Args::new();
            part.iter().for_each(|id| args.push_bytes(id.as_bytes()));
            count += self.count(script, queue, args).await?;
        }
        Ok(count)
    }
}

/// JSON of one of core's own types.
pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>, BackendError> {
    serde_json::to_vec(value).map_err(|err| {
        BackendError::new(BackendErrorKind::Refused, format!("it has no JSON form: {err}")).with_source(err)
    })
}
