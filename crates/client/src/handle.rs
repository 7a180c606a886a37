//! A task that was sent.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use lovage_core::{Cancelled, Outcome, QueueName, TaskId, TaskRecord, TaskState, Watch};
use serde::de::DeserializeOwned;

use crate::{Client, ClientError, ClientErrorKind, TaskStatus};

/// Waiting is pushed; this look all the same bounds what a lost push can delay.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A task that was sent, and the way to its result of type `R`.
pub struct Handle<R> {
    client: Client,
    id: TaskId,
    queue: Option<QueueName>,
    returns: PhantomData<fn() -> R>,
}

impl<R> Handle<R> {
    pub(crate) fn new(client: Client, id: TaskId, queue: Option<QueueName>) -> Self {
        Self { client, id, queue, returns: PhantomData }
    }

    /// The task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// The queue that it was sent to, where known.
    #[must_use]
    pub fn queue(&self) -> Option<&QueueName> {
        self.queue.as_ref()
    }

    /// Its state; `None` when neither broker nor results know it.
    ///
    /// # Errors
    /// When they cannot be asked.
    pub async fn state(&self) -> Result<Option<TaskStatus>, ClientError> {
        self.client.state_in(self.id, self.queue.as_ref()).await
    }

    /// Cancels it: a waiting task does not run, a running one is told to stop.
    ///
    /// # Errors
    /// When the broker cannot be asked.
    pub async fn cancel(&self) -> Result<Cancelled, ClientError> {
        Ok(self.client.broker().cancel(self.id, self.queue.as_ref(), None).await?)
    }

    /// Removes its result.
    ///
    /// # Errors
    /// When there is no result store, or it cannot be asked.
    pub async fn forget(&self) -> Result<(), ClientError> {
        self.client.require_results()?.delete(&[self.id]).await?;
        Ok(())
    }
}

impl<R: DeserializeOwned> Handle<R> {
    /// Its result, waiting for it until `patience` has passed.
    ///
    /// # Errors
    /// [`Failed`](ClientErrorKind::Failed) with the task's error, [`Revoked`](ClientErrorKind::Revoked),
    /// [`Expired`](ClientErrorKind::Expired) and [`Discarded`](ClientErrorKind::Discarded) when it ended otherwise,
    /// [`Timeout`](ClientErrorKind::Timeout) when it has not ended, [`NotFound`](ClientErrorKind::NotFound) when nobody
    /// knows it.
    pub async fn get(&self, patience: Duration) -> Result<R, ClientError> {
        let record = self.ended(patience).await?;
        value(&record)
    }

    /// The row of its end, whatever it is, waiting for it until `patience` has passed.
    ///
    /// # Errors
    /// As [`get`](Self::get), except for the ways in which a task ends.
    pub async fn ended(&self, patience: Duration) -> Result<TaskRecord, ClientError> {
        let clock = self.client.clock();
        let deadline = clock.monotonic().saturating_add(patience);
        let results = self.client.require_results()?;
        let mut relayed = Relayed::default();
        loop {
            if let Some(record) = read_ended(&**results, self.id).await? {
                return Ok(record);
            }
            let now = clock.monotonic();
            if now >= deadline {
                return Err(self.too_late(patience).await);
            }
            let found = match self.queue_of().await? {
                Some(queue) => self.client.broker().watch(&queue, self.id).await?,
                None => Watch::Gone,
            };
            if let Watch::Waiting(waiter) = found {
                let look_again = clock.sleep_until(deadline.min(now.saturating_add(LOOK_AGAIN)));
                either(waiter, look_again).await;
            } else {
                // Its end is recorded, because recording comes before settling, or it never will be.
                if let Some(record) = read_ended(&**results, self.id).await? {
                    return Ok(record);
                }
                let pause = relayed.pause(&self.client, self.id).await?.ok_or_else(|| not_found(self.id))?;
                clock.sleep_until(deadline.min(now.saturating_add(pause))).await;
            }
        }
    }

    /// The queue as known, or where the broker finds the task.
    async fn queue_of(&self) -> Result<Option<QueueName>, ClientError> {
        match &self.queue {
            Some(queue) => Ok(Some(queue.clone())),
            None => Ok(self.client.broker().find(self.id, None).await?.map(|found| found.queue)),
        }
    }

    async fn too_late(&self, patience: Duration) -> ClientError {
        let state = match self.state().await {
            Ok(Some(status)) => format!("it is {}", status.state),
            Ok(None) => "neither broker nor results know it".to_owned(),
            Err(error) => format!("its state is not known: {error}"),
        };
        let waited = lovage_core::format_duration(patience);
        ClientError::new(
            ClientErrorKind::Timeout,
            format!("task {} has not ended after {waited}: {state}", self.id),
        )
    }
}

/// Looks for a task that the broker does not have: it may be on its way from an outbox.
#[derive(Debug, Default)]
struct Relayed {
    pause: Duration,
    /// Not in the outbox any more: then it was published before that look, and the broker is asked once more.
    left: bool,
}

impl Relayed {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    /// How long to wait before the next look; nothing when there is nobody left to ask.
    async fn pause(&mut self, client: &Client, id: TaskId) -> Result<Option<Duration>, ClientError> {
        if !client.ways().has_outbox() {
            return Ok(None);
        }
        if client.ways().holds(id).await? {
            self.left = false;
            self.pause = (self.pause * 2).clamp(Self::FIRST, Self::LONGEST);
            return Ok(Some(self.pause));
        }
        Ok((!std::mem::replace(&mut self.left, true)).then_some(Duration::ZERO))
    }
}

impl<R> Clone for Handle<R> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.id, self.queue.clone())
    }
}

impl<R> fmt::Debug for Handle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("id", &self.id).field("queue", &self.queue).finish_non_exhaustive()
    }
}

pub(crate) fn not_found(id: TaskId) -> ClientError {
    ClientError::new(
        ClientErrorKind::NotFound,
        format!("task {id} is not known: it never was, or its result is not stored or no longer kept"),
    )
}

/// The value of an ended task.
pub(crate) fn value<R: DeserializeOwned>(record: &TaskRecord) -> Result<R, ClientError> {
    let id = record.id;
    let ended = |kind, how: &str| Err(ClientError::new(kind, format!("task {id} {how}")));
    match record.state {
        TaskState::Success => match &record.outcome {
            Outcome::Result(json) => serde_json::from_str(json).map_err(|error| {
                let expected = std::any::type_name::<R>();
                ClientError::new(
                    ClientErrorKind::Decode,
                    format!("the result of task {id} is not a {expected}: {error}"),
                )
            }),
            Outcome::Marker(why) => {
                ended(ClientErrorKind::NotFound, &format!("succeeded, but its result is not stored: {why}"))
            }
            Outcome::None | Outcome::Error(_) => {
                ended(ClientErrorKind::NotFound, "succeeded, but its result is not stored")
            }
        },
        TaskState::Failure => {
            let report = match &record.outcome {
                Outcome::Error(report) => report.clone(),
                Outcome::None | Outcome::Result(_) | Outcome::Marker(_) => {
                    lovage_core::ErrorReport::new("unknown", "no error is stored")
                }
            };
            let message = format!("task {id} failed: {report}");
            Err(ClientError::new(ClientErrorKind::Failed(Box::new(report)), message))
        }
        TaskState::Revoked => match &record.outcome {
            Outcome::Error(report) => ended(ClientErrorKind::Revoked, &format!("was {report}")),
            Outcome::None | Outcome::Result(_) | Outcome::Marker(_) => {
                ended(ClientErrorKind::Revoked, "was cancelled")
            }
        },
        TaskState::Expired => ended(ClientErrorKind::Expired, "expired before anybody started it"),
        TaskState::Discarded => ended(ClientErrorKind::Discarded, "discarded itself"),
        TaskState::Pending | TaskState::Scheduled | TaskState::Started | TaskState::Retry => {
            ended(ClientErrorKind::Timeout, &format!("has not ended: it is {}", record.state))
        }
    }
}

async fn read_ended(
    results: &dyn lovage_core::ResultStore,
    id: TaskId,
) -> Result<Option<TaskRecord>, ClientError> {
    let mut rows = results.get(&[id], None).await?;
    Ok(rows.pop().flatten().filter(|record| record.state.is_terminal()))
}

/// Until one of two ends. A `select!` would bring a runtime's macros into every web server for this one place.
async fn either(mut a: lovage_core::BoxFuture<'static, ()>, mut b: lovage_core::BoxFuture<'static, ()>) {
    std::future::poll_fn(|cx| {
        if a.as_mut().poll(cx).is_ready() || b.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
}
