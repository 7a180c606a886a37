//! The client: cheap to clone, one connection and one for being told.

use std::fmt;
use std::sync::Arc;

use lovage_core::{
    Broker, Cancelled, Clock, Entropy, Message, Page, Place, Published, QueueName, ResultStore, SharedStore,
    StoredMessage, TaskId, TaskRecord, TaskState, limits,
};
use lovage_system::{SystemClock, SystemEntropy};
use serde::de::DeserializeOwned;

use crate::handle::{not_found, value};
use crate::sending::Sending;
use crate::transaction::Ways;
use crate::{Call, ClientError, ClientErrorKind, Handle, Routes, connect};

/// Sends tasks and reads their results. Cloning is cheap; all clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    broker: Arc<dyn Broker>,
    sending: Sending,
    results: Option<Arc<dyn ResultStore>>,
    shared: Option<Arc<dyn SharedStore>>,
    ways: Ways,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    routes: Routes,
    message_limit: usize,
}

/// What is known of a task, wherever it is.
#[derive(Clone, PartialEq, Debug)]
pub struct TaskStatus {
    /// Its state.
    pub state: TaskState,
    /// Its newest row in the results, where there is one.
    pub record: Option<TaskRecord>,
    /// Its message in the broker, while it is live.
    pub message: Option<StoredMessage>,
}

/// Settings of a client that are not in a URL.
#[must_use = "settings do nothing until `connect`"]
pub struct ClientBuilder {
    broker: String,
    results: Option<String>,
    outbox: Option<String>,
    routes: Routes,
    message_limit: usize,
}

impl Client {
    /// Connects to the broker of a URL, `sqlite://path.db`, `redis://host:port` or `postgres://host/database`; results are in
    /// the same place.
    ///
    /// # Errors
    /// When the scheme is unknown or its feature is off, or the server cannot be used.
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        Self::builder(url).connect().await
    }

    /// Connects by `LOVAGE_BROKER_URL`, `LOVAGE_RESULTS_URL` and `LOVAGE_OUTBOX_URL`, from the environment or else from `.env` in
    /// the current directory. Without them it is `sqlite://lovage.db`, and no outbox.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), or when `.env` cannot be read.
    pub async fn from_env() -> Result<Self, ClientError> {
        let broker = setting("LOVAGE_BROKER_URL")?.unwrap_or_else(|| connect::DEFAULT_URL.to_owned());
        let mut builder = Self::builder(broker);
        if let Some(results) = setting("LOVAGE_RESULTS_URL")? {
            builder = builder.results(results);
        }
        if let Some(outbox) = setting("LOVAGE_OUTBOX_URL")? {
            builder = builder.outbox(outbox);
        }
        builder.connect().await
    }

    /// A client with settings.
    pub fn builder(broker_url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            broker: broker_url.into(),
            results: None,
            outbox: None,
            routes: Routes::default(),
            message_limit: limits::MESSAGE_DEFAULT,
        }
    }

    /// A client on backends that are open already. Without results it sends and cannot wait.
    #[must_use]
    pub fn new(broker: Arc<dyn Broker>, results: Option<Arc<dyn ResultStore>>) -> Self {
        Self::with_clock_and_entropy(broker, results, Arc::new(SystemClock::new()), Arc::new(SystemEntropy))
    }

    /// The same with time and randomness of your own, for tests.
    #[must_use]
    pub fn with_clock_and_entropy(
        broker: Arc<dyn Broker>,
        results: Option<Arc<dyn ResultStore>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let (routes, message_limit) = (Routes::default(), limits::MESSAGE_DEFAULT);
        let sending = Sending::new(Arc::clone(&broker));
        Self(Arc::new(Inner {
            broker,
            sending,
            results,
            shared: None,
            ways: Ways::default(),
            clock,
            entropy,
            routes,
            message_limit,
        }))
    }

    /// Sends a call. What many tasks of a program send at once through one client travels together: while two calls to a
    /// queue are on their way, the next ones wait for an answer and then share a round trip.
    ///
    /// # Errors
    /// As [`Call::send`].
    pub async fn send<R>(&self, call: Call<R>) -> Result<Handle<R>, ClientError> {
        let message = self.message(call)?;
        let (id, queue) = (message.id, message.queue.clone());
        let answer = self.0.sending.send(message).await.map_err(ClientError::of_send)?;
        self.sent(id, queue, Some(answer))
    }

    /// Sends many calls, one round trip per thousand. The answers are in the order of the calls: one that is refused (a
    /// duplicate for example) does not keep the others from being sent. Calls of different tasks are made alike by
    /// [`Call::untyped`].
    ///
    /// # Errors
    /// When a call has a wrong option or argument, before anything is sent; when the broker cannot be reached, after which
    /// earlier thousands have been sent.
    pub async fn send_all<R>(
        &self,
        calls: Vec<Call<R>>,
    ) -> Result<Vec<Result<Handle<R>, ClientError>>, ClientError> {
        let messages = calls.into_iter().map(|call| self.message(call)).collect::<Result<Vec<_>, _>>()?;
        let mut sent = Vec::with_capacity(messages.len());
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let batch: Vec<Message> = messages.by_ref().take(limits::PUBLISH_BATCH).collect();
            let answers = self.0.broker.publish(&batch, None).await.map_err(ClientError::of_send)?;
            let mut answers = answers.into_iter();
            sent.extend(
                batch.into_iter().map(|message| self.sent(message.id, message.queue, answers.next())),
            );
        }
        Ok(sent)
    }

    /// Sends a task by its name, with arguments as a JSON list or object, as another language would.
    ///
    /// # Errors
    /// As [`Call::send`].
    pub async fn send_by_name(
        &self,
        task: &str,
        arguments: serde_json::Value,
    ) -> Result<Handle<serde_json::Value>, ClientError> {
        self.send(Call::by_name(task, &arguments)).await
    }

    /// The result of a task that has ended.
    ///
    /// # Errors
    /// As [`Handle::get`]; a task that has not ended is a [`Timeout`](ClientErrorKind::Timeout).
    pub async fn result<R: DeserializeOwned>(&self, id: TaskId) -> Result<R, ClientError> {
        let status = self.state(id).await?.ok_or_else(|| not_found(id))?;
        match &status.record {
            Some(record) => value(record),
            None => {
                let message = format!("task {id} has not ended: it is {}", status.state);
                Err(ClientError::new(ClientErrorKind::Timeout, message))
            }
        }
    }

    /// What is known of a task; `None` when neither broker nor results know it.
    ///
    /// # Errors
    /// When they cannot be asked.
    pub async fn state(&self, id: TaskId) -> Result<Option<TaskStatus>, ClientError> {
        self.state_in(id, None).await
    }

    /// Cancels a task: a waiting one does not run, a running one is told to stop.
    ///
    /// # Errors
    /// When the broker cannot be asked.
    pub async fn cancel(&self, id: TaskId) -> Result<Cancelled, ClientError> {
        Ok(self.0.broker.cancel(id, None, None).await?)
    }

    /// A handle to a task that somebody else sent. Waiting is cheaper when the queue is known.
    #[must_use]
    pub fn handle<R>(&self, id: TaskId, queue: Option<QueueName>) -> Handle<R> {
        Handle::new(self.clone(), id, queue)
    }

    /// The broker, for what this client does not offer.
    #[must_use]
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.0.broker
    }

    /// The results, where there are some.
    #[must_use]
    pub fn results(&self) -> Option<&Arc<dyn ResultStore>> {
        self.0.results.as_ref()
    }

    /// Broker and results at once, where they are one PostgreSQL database: for a worker.
    #[must_use]
    pub fn shared_store(&self) -> Option<&Arc<dyn SharedStore>> {
        self.0.shared.as_ref()
    }

    /// All messages of one place of a queue, page by page.
    ///
    /// # Errors
    /// When the broker cannot be asked.
    pub async fn peek_all(
        &self,
        queue: &QueueName,
        place: Place,
        most: usize,
    ) -> Result<Vec<StoredMessage>, ClientError> {
        let mut found = Vec::new();
        let mut after = None;
        while found.len() < most {
            let page = Page { after, limit: (most - found.len()).min(1_000) };
            let part = self.0.broker.peek(queue, place, page).await?;
            found.extend(part.items);
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        Ok(found)
    }

    pub(crate) fn ways(&self) -> &Ways {
        &self.0.ways
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    pub(crate) fn require_results(&self) -> Result<&Arc<dyn ResultStore>, ClientError> {
        self.0.results.as_ref().ok_or_else(|| {
            ClientError::new(
                ClientErrorKind::Unsupported,
                "this client has no result store: connect it with one to read results",
            )
        })
    }

    /// Results, then the broker, then results again: a task that ended in between is found the second time. A task that is in
    /// none of them may be in the outbox.
    pub(crate) async fn state_in(
        &self,
        id: TaskId,
        queue: Option<&QueueName>,
    ) -> Result<Option<TaskStatus>, ClientError> {
        let mut record = self.record(id).await?;
        if record.as_ref().is_some_and(|record| record.state.is_terminal()) {
            return Ok(record.map(TaskStatus::ended));
        }
        if let Some(message) = self.0.broker.find(id, queue).await? {
            return Ok(Some(TaskStatus { state: message.state(), record, message: Some(message) }));
        }
        if record.is_none() && self.0.ways.has_outbox() {
            if self.0.ways.holds(id).await? {
                return Ok(Some(TaskStatus { state: TaskState::Pending, record: None, message: None }));
            }
            // It may have been published since the broker was asked.
            if let Some(message) = self.0.broker.find(id, queue).await? {
                return Ok(Some(TaskStatus { state: message.state(), record, message: Some(message) }));
            }
        }
        if let Some(newer) = self.record(id).await? {
            record = Some(newer);
        }
        Ok(record.map(TaskStatus::ended))
    }

    pub(crate) async fn record(&self, id: TaskId) -> Result<Option<TaskRecord>, ClientError> {
        match &self.0.results {
            Some(results) => Ok(results.get(&[id], None).await?.pop().flatten()),
            None => Ok(None),
        }
    }

    pub(crate) fn message<R>(&self, call: Call<R>) -> Result<Message, ClientError> {
        let inner = &*self.0;
        call.into_message(
            |task| inner.routes.queue(task),
            inner.clock.now(),
            &*inner.entropy,
            inner.message_limit,
        )
    }

    pub(crate) fn sent<R>(
        &self,
        id: TaskId,
        queue: QueueName,
        answer: Option<Published>,
    ) -> Result<Handle<R>, ClientError> {
        match answer {
            Some(Published::Accepted) => Ok(Handle::new(self.clone(), id, Some(queue))),
            Some(Published::Duplicate { holder }) => Err(ClientError::new(
                ClientErrorKind::Duplicate { holder },
                if holder == id {
                    format!("task {id} is live already")
                } else {
                    format!("its unique key is held by task {holder}")
                },
            )),
            Some(Published::Full { limit }) => Err(ClientError::new(
                ClientErrorKind::Full,
                format!("queue {queue} is full: it holds {limit} tasks"),
            )),
            Some(Published::Stale { newest }) => Err(ClientError::new(
                ClientErrorKind::Unsupported,
                format!("slot {newest} or a newer one was published already"),
            )),
            Some(Published::Early { now }) => Err(ClientError::new(
                ClientErrorKind::Unsupported,
                format!("the slot is ahead of the broker's clock, which shows {now}"),
            )),
            None => {
                Err(ClientError::new(ClientErrorKind::Decode, "the broker did not answer for each message"))
            }
        }
    }
}

impl TaskStatus {
    fn ended(record: TaskRecord) -> Self {
        Self { state: record.state, record: Some(record), message: None }
    }
}

impl ClientBuilder {
    /// Results in another place than the broker.
    pub fn results(mut self, url: impl Into<String>) -> Self {
        self.results = Some(url.into());
        self
    }

    /// The application's own database, `postgres://…` or `sqlite://…`, for [`Client::send_in`] where the broker is elsewhere: its
    /// table `lovage_outbox` keeps what transactions send until a relay publishes it. On PostgreSQL `lovage migrate` makes the
    /// table. Where this is the broker's own PostgreSQL URL there is nothing to keep, and no outbox is opened.
    pub fn outbox(mut self, url: impl Into<String>) -> Self {
        self.outbox = Some(url.into());
        self
    }

    /// Which tasks go to which queue, when neither call nor task says so.
    pub fn routes(mut self, routes: Routes) -> Self {
        self.routes = routes;
        self
    }

    /// The largest message in bytes, at most 16 MiB; 256 KiB by default.
    pub fn message_limit(mut self, bytes: usize) -> Self {
        self.message_limit = bytes;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect(self) -> Result<Client, ClientError> {
        let results = self.results.as_deref().unwrap_or(&self.broker);
        let (backends, ways) = Box::pin(connect::open(&self.broker, results, self.outbox.as_deref())).await?;
        Ok(Client(Arc::new(Inner {
            sending: Sending::new(Arc::clone(&backends.broker)),
            broker: backends.broker,
            results: Some(backends.results),
            shared: backends.shared,
            ways,
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
            routes: self.routes,
            message_limit: self.message_limit,
        })))
    }
}

impl fmt::Debug for ClientBuilder {
    /// Without the URLs: they may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("routes", &self.routes)
            .field("message_limit", &self.message_limit)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("broker", &self.0.broker)
            .field("results", &self.0.results)
            .finish_non_exhaustive()
    }
}

/// A variable of the environment, or else of `.env`.
fn setting(name: &str) -> Result<Option<String>, ClientError> {
    if let Ok(value) = std::env::var(name) {
        return Ok(Some(value));
    }
    let entries = match dotenvy::from_path_iter(".env") {
        Ok(entries) => entries,
        Err(error) if error.not_found() => return Ok(None),
        Err(error) => {
            return Err(ClientError::new(ClientErrorKind::Config, format!(".env cannot be read: {error}")));
        }
    };
    for entry in entries {
        match entry {
            Ok((key, value)) if key == name => return Ok(Some(value)),
            Ok(_) => {}
            // The line itself is not shown: it may hold a password.
            Err(_) => {
                return Err(ClientError::new(
                    ClientErrorKind::Config,
                    ".env has a line that is not NAME=value",
                ));
            }
        }
    }
    Ok(None)
}
