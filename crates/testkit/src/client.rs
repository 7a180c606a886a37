//! Clients for tests of programs that send tasks: one that only takes notes, and one that runs tasks here and now.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lovage_broker_memory::{MemoryResults, MemoryStore};
use lovage_client::{Client, TaskDef};
use lovage_core::{
    Arguments, BackendError, BoxFuture, Broker, CancelReason, Cancelled, Clock, Context, Control, Depth,
    Envelope, ErrorReport, Handler, Heartbeat, Hidden, Hint, Inspect, Leases, Maintained, Message, Outcome,
    Page, Paged, Payload, Place, Progress, Published, QueueName, RateLimit, Reserve, Reserved, ResultStore,
    RunControl, RunInfo, Settled, Settlement, States, StoredMessage, TaskError, TaskId, TaskRecord,
    TaskResult, TaskState, Timestamp, Token, Watch, WorkerCommand, WorkerId, WorkerInfo, render_arguments,
};

use crate::{FakeClock, SeededEntropy};

/// A client that sends nowhere, and what it sent.
///
/// ```
/// # extern crate lovage_client as lovage;
/// # use lovage::TaskError;
/// # #[lovage::task(name = "mail.send")]
/// # async fn send_mail(to: String) -> Result<(), TaskError> { Ok(()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), lovage::ClientError> {
/// let recording = lovage_testkit::Recording::new();
/// send_mail::delay(recording.client(), "ada@example.org".into()).await?; // what the code under test does
/// recording.assert_sent("mail.send", &serde_json::json!(["ada@example.org"])).await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Recording {
    client: Client,
}

/// A task that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub task: String,
    /// Its arguments, as JSON where they travel as JSON.
    pub arguments: String,
    /// Its queue.
    pub queue: QueueName,
    /// Its priority, 0 to 9.
    pub priority: u8,
    /// When it becomes ready, if that is later.
    pub due: Option<Timestamp>,
}

impl Default for Recording {
    fn default() -> Self {
        Self::new()
    }
}

impl Recording {
    /// A client that has sent nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let clock: Arc<dyn Clock> = Arc::new(FakeClock::new());
        let store = MemoryStore::new(Arc::clone(&clock));
        let results: Arc<dyn ResultStore> = Arc::new(MemoryResults::new(Arc::clone(&clock)));
        let entropy = Arc::new(SeededEntropy::new(1));
        Self { client: Client::with_clock_and_entropy(store.handle(), Some(results), clock, entropy) }
    }

    /// The client, to be given to the code under test.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What was sent, in the order of sending within each queue and priority.
    ///
    /// # Panics
    /// When the memory broker cannot be read, which it always can.
    #[expect(clippy::expect_used, reason = "a test fails by panicking")]
    pub async fn sent(&self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for queue in self.client.broker().queues().await.expect("the memory broker lists") {
            for place in [Place::Ready, Place::Delayed] {
                let found =
                    self.client.peek_all(&queue, place, usize::MAX).await.expect("the memory broker lists");
                sent.extend(found.into_iter().map(Sent::from));
            }
        }
        sent
    }

    /// Asserts that a task was sent with these arguments.
    ///
    /// # Panics
    /// When it was not; the message lists what was.
    #[expect(clippy::panic, reason = "a test fails by panicking")]
    pub async fn assert_sent(&self, task: &str, arguments: &serde_json::Value) {
        let sent = self.sent().await;
        let same = |sent: &Sent| {
            sent.task == task
                && serde_json::from_str::<serde_json::Value>(&sent.arguments)
                    .is_ok_and(|found| found == *arguments)
        };
        if !sent.iter().any(same) {
            let list: Vec<String> =
                sent.iter().map(|sent| format!("  {} {}", sent.task, sent.arguments)).collect();
            panic!("{task} {arguments} was not sent, but:\n{}", list.join("\n"));
        }
    }
}

impl From<StoredMessage> for Sent {
    fn from(message: StoredMessage) -> Self {
        let envelope = Envelope::decode(&message.body)
            .unwrap_or_else(|_| Envelope::new("(unreadable)", Payload::empty()));
        Self {
            id: message.id,
            arguments: render_arguments(&envelope.payload, &[]),
            task: envelope.task,
            queue: message.queue,
            priority: message.priority.get(),
            due: message.at,
        }
    }
}

/// A client that runs each task at once, where it is sent: without delays and retries, its result ready when `send` returns.
///
/// ```
/// # extern crate lovage_client as lovage;
/// # use std::time::Duration;
/// # use lovage::{TaskError, tasks};
/// # #[lovage::task(name = "add")]
/// # async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), lovage::ClientError> {
/// let client = lovage_testkit::inline_client(tasks![add], Default::default());
/// let sum: i64 = add::delay(&client, 1, 3).await?.get(Duration::ZERO).await?;
/// assert_eq!(sum, 4);
/// # Ok(()) }
/// ```
#[must_use]
pub fn inline_client(tasks: Vec<TaskDef>, states: States) -> Client {
    let clock: Arc<dyn Clock> = Arc::new(FakeClock::new());
    let results: Arc<dyn ResultStore> = Arc::new(MemoryResults::new(Arc::clone(&clock)));
    let inline = Inline {
        inner: MemoryStore::new(Arc::clone(&clock)).handle(),
        results: Arc::clone(&results),
        tasks,
        states: Arc::new(states),
        clock: Arc::clone(&clock),
    };
    Client::with_clock_and_entropy(Arc::new(inline), Some(results), clock, Arc::new(SeededEntropy::new(1)))
}

struct Inline {
    inner: Arc<dyn Broker>,
    results: Arc<dyn ResultStore>,
    tasks: Vec<TaskDef>,
    states: Arc<States>,
    clock: Arc<dyn Clock>,
}

impl Inline {
    async fn run(&self, message: &Message) -> TaskRecord {
        let now = self.clock.now();
        let envelope = Envelope::decode(&message.body)
            .unwrap_or_else(|error| Envelope::new(error.to_string(), Payload::empty()));
        let arguments = render_arguments(&envelope.payload, &envelope.redacted);
        let task = envelope.task.clone();
        let (state, outcome) = match self.call(message, envelope, now).await {
            Ok(json) => match lovage_core::unstored_reason(&json) {
                Some(why) => (TaskState::Success, Outcome::Marker(why.to_owned())),
                None => (TaskState::Success, Outcome::Result(json)),
            },
            Err(error) => (TaskState::Failure, Outcome::Error(error.into_report())),
        };
        TaskRecord {
            id: message.id,
            run: 1,
            delivery: 1,
            attempt: u32::from(state == TaskState::Failure),
            task,
            arguments,
            state,
            outcome,
            worker: "inline".into(),
            queue: message.queue.clone(),
            priority: message.priority,
            enqueued_at: now,
            started_at: Some(now),
            finished_at: now,
            run_time: None,
            schedule: None,
            lineage: None,
            headers: std::collections::BTreeMap::new(),
            keep_for: Duration::from_secs(86_400),
            warning: None,
        }
    }

    async fn call(&self, message: &Message, envelope: Envelope, now: Timestamp) -> TaskResult {
        let Some(def) = self.tasks.iter().find(|def| def.name == envelope.task) else {
            let why =
                format!("this inline client has no task `{}`: give it to `inline_client`", envelope.task);
            return Err(TaskError::from_report(
                lovage_core::Directive::Permanent,
                ErrorReport::new("undeliverable", why),
            ));
        };
        let args = Arguments::new(def.name, def.params, def.codec, envelope.payload)
            .map_err(lovage_core::ArgumentsError::into_task_error)?;
        let info = RunInfo {
            id: message.id,
            task: envelope.task,
            queue: message.queue.clone(),
            attempt: 1,
            delivery: 1,
            run: 1,
            worker: "inline".into(),
            published_at: now,
            headers: envelope.headers,
        };
        let context = Context::new(Arc::new(info), Arc::clone(&self.states), Arc::new(Free));
        match def.handler {
            Handler::Async(run) => run(context, args).await,
            Handler::Blocking(run) => run(context, args),
        }
    }
}

/// Nobody stops an inline run.
struct Free;

impl RunControl for Free {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn cancelled(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn cancel_reason(&self) -> Option<CancelReason> {
        None
    }

    fn is_shutting_down(&self) -> bool {
        false
    }

    fn shutting_down(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn lease_valid_until(&self) -> Option<Timestamp> {
        None
    }

    fn report(&self, _progress: Progress) {}
}

#[async_trait]
impl Broker for Inline {
    async fn publish(
        &self,
        batch: &[Message],
        now: Option<Timestamp>,
    ) -> Result<Vec<Published>, BackendError> {
        let _now = now;
        for message in batch {
            let record = self.run(message).await;
            self.results.record(&[record], None).await?;
        }
        Ok(vec![Published::Accepted; batch.len()])
    }

    async fn reserve(&self, request: Reserve<'_>, now: Option<Timestamp>) -> Result<Reserved, BackendError> {
        self.inner.reserve(request, now).await
    }

    async fn reserve_many(
        &self,
        requests: &[Reserve<'_>],
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Reserved, BackendError>>, BackendError> {
        self.inner.reserve_many(requests, now).await
    }

    async fn settle(
        &self,
        queue: &QueueName,
        token: Token,
        batch: &[Settlement],
        now: Option<Timestamp>,
    ) -> Result<Vec<Settled>, BackendError> {
        self.inner.settle(queue, token, batch, now).await
    }

    async fn maintain(
        &self,
        queue: &QueueName,
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Maintained, BackendError> {
        self.inner.maintain(queue, limit, lease, now).await
    }

    async fn maintain_many(
        &self,
        queues: &[QueueName],
        limit: usize,
        lease: Duration,
        now: Option<Timestamp>,
    ) -> Result<Vec<Result<Maintained, BackendError>>, BackendError> {
        self.inner.maintain_many(queues, limit, lease, now).await
    }

    async fn hint(&self) -> Hint {
        self.inner.hint().await
    }

    async fn watch(&self, queue: &QueueName, id: TaskId) -> Result<Watch, BackendError> {
        self.inner.watch(queue, id).await
    }

    async fn heartbeat(
        &self,
        info: &WorkerInfo,
        ttl: Duration,
        now: Option<Timestamp>,
    ) -> Result<Heartbeat, BackendError> {
        self.inner.heartbeat(info, ttl, now).await
    }

    async fn sign_off(&self, worker: WorkerId) -> Result<(), BackendError> {
        self.inner.sign_off(worker).await
    }

    async fn open_leases(&self) -> Result<Box<dyn Leases>, BackendError> {
        self.inner.open_leases().await
    }
}

#[async_trait]
impl Inspect for Inline {
    async fn queues(&self) -> Result<Vec<QueueName>, BackendError> {
        self.inner.queues().await
    }

    async fn find(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
    ) -> Result<Option<StoredMessage>, BackendError> {
        self.inner.find(id, queue).await
    }

    async fn find_all(&self, queue: &QueueName, ids: &[TaskId]) -> Result<Vec<StoredMessage>, BackendError> {
        self.inner.find_all(queue, ids).await
    }

    async fn peek(
        &self,
        queue: &QueueName,
        place: Place,
        page: Page,
    ) -> Result<Paged<StoredMessage>, BackendError> {
        self.inner.peek(queue, place, page).await
    }

    async fn ahead(&self, queue: &QueueName, id: TaskId) -> Result<Option<u64>, BackendError> {
        self.inner.ahead(queue, id).await
    }

    async fn depth(&self, queue: &QueueName, now: Option<Timestamp>) -> Result<Depth, BackendError> {
        self.inner.depth(queue, now).await
    }

    async fn workers(&self, now: Option<Timestamp>) -> Result<Vec<WorkerInfo>, BackendError> {
        self.inner.workers(now).await
    }

    async fn hidden(&self) -> Result<Hidden, BackendError> {
        self.inner.hidden().await
    }
}

#[async_trait]
impl Control for Inline {
    async fn cancel(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<Cancelled, BackendError> {
        self.inner.cancel(id, queue, now).await
    }

    async fn promote(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        self.inner.promote(id, queue, now).await
    }

    async fn purge(&self, queue: &QueueName, place: Place, limit: usize) -> Result<usize, BackendError> {
        self.inner.purge(queue, place, limit).await
    }

    async fn pause(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner.pause(queue).await
    }

    async fn resume(&self, queue: &QueueName) -> Result<(), BackendError> {
        self.inner.resume(queue).await
    }

    async fn limit(&self, queue: &QueueName, limit: Option<RateLimit>) -> Result<(), BackendError> {
        self.inner.limit(queue, limit).await
    }

    async fn requeue_dead(
        &self,
        queue: &QueueName,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        self.inner.requeue_dead(queue, ids, now).await
    }

    async fn delete_dead(&self, queue: &QueueName, ids: &[TaskId]) -> Result<usize, BackendError> {
        self.inner.delete_dead(queue, ids).await
    }

    async fn tell(
        &self,
        worker: WorkerId,
        command: &WorkerCommand,
        now: Option<Timestamp>,
    ) -> Result<bool, BackendError> {
        self.inner.tell(worker, command, now).await
    }
}

impl std::fmt::Debug for Inline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tasks: Vec<&str> = self.tasks.iter().map(|def| def.name).collect();
        f.debug_struct("Inline").field("tasks", &tasks).finish_non_exhaustive()
    }
}
