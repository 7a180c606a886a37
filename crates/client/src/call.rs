//! A call of a task, before it is sent.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use lovage_core::{
    Delay, Entropy, Envelope, Expires, Message, Param, Payload, Priority, QueueName, RedactedArg,
    RetryPolicy, TaskId, TaskName, TaskOptions, Timestamp, UniqueClaim, UniquePolicy,
};
use serde::de::DeserializeOwned;

use crate::{Client, ClientError, Handle};

/// A call of a task that returns `R`: made by `add::call(1, 3)`, given options, and sent.
///
/// A bad option is an error of [`send`](Self::send); the setters never panic.
///
/// ```no_run
/// # extern crate lovage_client as lovage;
/// # use std::time::Duration;
/// # use lovage::{Client, TaskError};
/// # #[lovage::task(name = "movies.tasks.add")]
/// # async fn add(x: i64, y: i64) -> Result<i64, TaskError> { Ok(x + y) }
/// # async fn example(client: Client) -> Result<(), lovage::ClientError> {
/// let handle = add::call(1, 3).countdown(Duration::from_secs(10)).queue("math").priority(9).send(&client).await?;
/// let sum: i64 = handle.get(Duration::from_secs(30)).await?;
/// # Ok(()) }
/// ```
#[must_use = "a call does nothing until it is sent"]
pub struct Call<R> {
    envelope: Envelope,
    delay: Delay,
    queue: Option<QueueName>,
    priority: Priority,
    unique: Option<(String, Option<Duration>)>,
    until_start: bool,
    policy: UniquePolicy,
    id: Option<TaskId>,
    wrong: Option<String>,
    returns: PhantomData<fn() -> R>,
}

/// What an entry of a schedule keeps of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduledCall {
    /// The task's name.
    pub task: String,
    /// A JSON list (by position) or object (by name).
    pub arguments: String,
    /// `None`: by the routes.
    pub queue: Option<QueueName>,
    /// 0 to 9.
    pub priority: Priority,
    /// The user's own.
    pub headers: BTreeMap<String, String>,
    /// When a message may no longer be started.
    pub expires: Option<Expires>,
}

impl<R> Call<R> {
    /// A call of a task by its name, with arguments as a JSON list (by position) or object (by name).
    pub fn by_name(task: impl AsRef<str>, arguments: &serde_json::Value) -> Self {
        Self::named(task.as_ref(), Payload::from_value(arguments))
    }

    /// The same with arguments as JSON text, which is sent as it is: a [`serde_json::Value`] rounds integers beyond 64 bits.
    pub fn by_name_json(task: impl AsRef<str>, arguments: impl Into<String>) -> Self {
        Self::named(task.as_ref(), Payload::from_json(arguments.into()))
    }

    fn named(task: &str, payload: Result<Payload, String>) -> Self {
        let name = TaskName::new(task).err().map(|error| error.to_string());
        match payload {
            Ok(payload) => Self::with_payload(task, payload, name),
            Err(error) => {
                let wrong = name.unwrap_or_else(|| format!("{task}: {error}"));
                Self::with_payload(task, Payload::empty(), Some(wrong))
            }
        }
    }

    pub(crate) fn of_task(
        name: &'static str,
        options: &TaskOptions,
        params: &'static [Param],
        payload: Result<Payload, String>,
    ) -> Self {
        let (payload, wrong) = match payload {
            Ok(payload) => (payload, None),
            Err(error) => (Payload::empty(), Some(format!("{name}: {error}"))),
        };
        let mut call = Self::with_payload(name, payload, wrong);
        call.priority = options.priority.unwrap_or_default();
        call.envelope.redacted = RedactedArg::of(params);
        match options.queue {
            Some(queue) => call.queue(queue),
            None => call,
        }
    }

    fn with_payload(task: &str, payload: Payload, wrong: Option<String>) -> Self {
        Self {
            envelope: Envelope::new(task, payload),
            delay: Delay::None,
            queue: None,
            priority: Priority::LOWEST,
            unique: None,
            until_start: false,
            policy: UniquePolicy::Reject,
            id: None,
            wrong,
            returns: PhantomData,
        }
    }

    /// Not before this time has passed, counted by the server. Instead of [`eta`](Self::eta).
    pub fn countdown(self, delay: Duration) -> Self {
        self.delayed(Delay::For(delay))
    }

    /// Not before this instant; at once when it has passed. Instead of [`countdown`](Self::countdown).
    pub fn eta(self, at: Timestamp) -> Self {
        self.delayed(Delay::Until(at))
    }

    /// Not started once this time has passed since the publish, counted by the server: then it ends as `expired`.
    pub fn expires(self, after: Duration) -> Self {
        self.with(|call| call.envelope.expires = Some(Expires::After(after)))
    }

    /// Not started after this instant.
    pub fn expires_at(self, at: Timestamp) -> Self {
        self.with(|call| call.envelope.expires = Some(Expires::At(at)))
    }

    /// Into this queue, instead of the task's own or the routed one.
    pub fn queue(mut self, queue: impl AsRef<str>) -> Self {
        match QueueName::new(queue) {
            Ok(queue) => self.queue = Some(queue),
            Err(error) => self.complain(&error),
        }
        self
    }

    /// 0 to 9, 9 first.
    pub fn priority(mut self, priority: u8) -> Self {
        match Priority::new(priority) {
            Ok(priority) => self.priority = priority,
            Err(error) => self.complain(&error),
        }
        self
    }

    /// Retried by this policy instead of the task's own.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.with(|call| call.envelope.retry = Some(policy))
    }

    /// Its cancellation fires after this time.
    pub fn soft_time_limit(self, limit: Duration) -> Self {
        self.with(|call| call.envelope.soft_time_limit = Some(limit))
    }

    /// It is stopped after this time.
    pub fn time_limit(self, limit: Duration) -> Self {
        self.with(|call| call.envelope.time_limit = Some(limit))
    }

    /// While a call of this task with this key is live in the queue, from its publish through retries to its end, another
    /// one is refused as a [`Duplicate`](crate::ClientErrorKind::Duplicate) that names the holder.
    ///
    /// ```
    /// # extern crate lovage_client as lovage;
    /// # #[lovage::task(name = "search.index")]
    /// # async fn index(movie: u64) -> Result<(), lovage::TaskError> { Ok(()) }
    /// // However often a movie is edited, it is indexed once, with what it is when the run starts.
    /// let call = index::call(7).unique(7).until_start();
    /// // Only the newest of several waiting calls is run.
    /// let call = index::call(7).unique(7).replace();
    /// ```
    pub fn unique(self, key: impl fmt::Display) -> Self {
        self.claim(&key, None)
    }

    /// The same for this time after the publish at most.
    pub fn unique_for(self, key: impl fmt::Display, ttl: Duration) -> Self {
        self.claim(&key, Some(ttl))
    }

    /// Holds its unique key only until a worker first gets it to run, so that a call made during the run is a task of its
    /// own. With [`unique`](Self::unique) or [`unique_for`](Self::unique_for).
    pub fn until_start(self) -> Self {
        self.with(|call| call.until_start = true)
    }

    /// Takes the unique key from a call that holds it and waits (for a worker, its time or its next attempt): that one ends
    /// as revoked, replaced by this one. While the holder runs this one is a duplicate. With [`unique`](Self::unique) or
    /// [`unique_for`](Self::unique_for).
    pub fn replace(self) -> Self {
        self.with(|call| call.policy = UniquePolicy::Replace)
    }

    /// A header, for the task's `ctx.header(…)` and the result's row.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(|call| drop(call.envelope.headers.insert(name.into(), value.into())))
    }

    /// Whether the result is stored, instead of the task's own setting.
    pub fn store_result(self, store: bool) -> Self {
        self.with(|call| call.envelope.store_result = Some(store))
    }

    /// Uses this id instead of a new one, so that the call can be sent again after an error that leaves open whether the task
    /// was accepted.
    ///
    /// Sending an id again is safe with a result store. While its task is live (waiting, running or a dead letter) it is a
    /// [`Duplicate`](crate::ClientErrorKind::Duplicate). After the task has ended it is accepted and not run: the worker reads
    /// the record, which is kept for the task's `keep_success` or `keep_failure` and at least an hour, and settles the message
    /// as the record says. Where workers have no result store, or the record is gone, the task runs again. An id stands for
    /// one task: to run it anew send it without this id, or retry its dead letter.
    ///
    /// ```no_run
    /// # extern crate lovage_client as lovage;
    /// # extern crate tokio;
    /// # use std::time::Duration;
    /// # use lovage::{Client, ClientError, ClientErrorKind, Handle, TaskError, TaskId};
    /// # #[lovage::task(name = "orders.charge")]
    /// # async fn charge(order: u64) -> Result<(), TaskError> { Ok(()) }
    /// /// `id` is stored with the order, so that it survives a restart of this program, too.
    /// async fn charge_once(client: &Client, id: TaskId, order: u64) -> Result<Handle<()>, ClientError> {
    ///     loop {
    ///         let error = match charge::call(order).id(id).send(client).await {
    ///             Ok(handle) => return Ok(handle),
    ///             Err(error) => error,
    ///         };
    ///         match error.kind() {
    ///             // An earlier send was accepted.
    ///             ClientErrorKind::Duplicate { holder } if *holder == id => return Ok(client.handle(id, None)),
    ///             ClientErrorKind::Unavailable { .. } => tokio::time::sleep(Duration::from_secs(1)).await,
    ///             _ => return Err(error),
    ///         }
    ///     }
    /// }
    /// ```
    pub fn id(self, id: TaskId) -> Self {
        self.with(|call| call.id = Some(id))
    }

    /// The same call, its result as any JSON: for batches of different tasks.
    pub fn untyped(self) -> Call<serde_json::Value> {
        Call {
            envelope: self.envelope,
            delay: self.delay,
            queue: self.queue,
            priority: self.priority,
            unique: self.unique,
            until_start: self.until_start,
            policy: self.policy,
            id: self.id,
            wrong: self.wrong,
            returns: PhantomData,
        }
    }

    /// The task's name.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.envelope.task
    }

    /// What an entry of a schedule keeps of it.
    pub(crate) fn into_scheduled(self) -> Result<ScheduledCall, String> {
        let task = self.envelope.task.clone();
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let envelope = self.envelope;
        let lost = [
            ("countdown or eta", self.delay != Delay::None),
            ("unique", self.unique.is_some() || self.until_start || self.policy != UniquePolicy::Reject),
            ("id", self.id.is_some()),
            ("retry", envelope.retry.is_some()),
            ("soft_time_limit", envelope.soft_time_limit.is_some()),
            ("time_limit", envelope.time_limit.is_some()),
            ("store_result", envelope.store_result.is_some()),
        ];
        if let Some((option, _)) = lost.iter().find(|(_, is_set)| *is_set) {
            return Err(format!(
                "{task}: a schedule keeps queue, priority, headers and expires of a call, not {option}"
            ));
        }
        if let Some(hidden) = envelope.redacted.first() {
            return Err(format!(
                "{task}: the task hides its argument `{}`, and a schedule keeps and shows arguments as they are",
                hidden.name
            ));
        }
        let Payload::Json(arguments) = envelope.payload else {
            return Err(format!(
                "{task}: a schedule keeps arguments as JSON, and this task has codec = \"postcard\"; declare the entry in lovage.toml or by the command, which write JSON, or take the codec away"
            ));
        };
        Ok(ScheduledCall {
            task,
            arguments,
            queue: self.queue,
            priority: self.priority,
            headers: envelope.headers,
            expires: envelope.expires,
        })
    }

    /// The message for a broker.
    pub(crate) fn into_message(
        self,
        route: impl FnOnce(&str) -> QueueName,
        now: Timestamp,
        entropy: &dyn Entropy,
        limit: usize,
    ) -> Result<Message, ClientError> {
        if let Some(wrong) = self.wrong {
            return Err(ClientError::invalid(wrong));
        }
        let (until_start, policy) = (self.until_start, self.policy);
        if self.unique.is_none() && (until_start || policy == UniquePolicy::Replace) {
            let option = if until_start { "until_start" } else { "replace" };
            let task = &self.envelope.task;
            return Err(ClientError::invalid(format!(
                "{task}: {option} is about a unique key: give one with unique"
            )));
        }
        let queue = self.queue.unwrap_or_else(|| route(&self.envelope.task));
        let mut envelope = self.envelope;
        envelope.possible_duplicate = self.id.is_some();
        let message = Message {
            id: self.id.unwrap_or_else(|| TaskId::new(now, entropy)),
            queue,
            priority: self.priority,
            delay: self.delay,
            unique: self.unique.map(|(key, ttl)| UniqueClaim { key, ttl, until_start, policy }),
            fence: None,
            body: envelope.encode(),
        };
        message.check_size(limit).map_err(ClientError::invalid)?;
        Ok(message)
    }

    fn delayed(mut self, delay: Delay) -> Self {
        if self.delay != Delay::None {
            self.complain(&"a call has one delay: either countdown or eta, once");
        }
        self.delay = delay;
        self
    }

    fn claim(self, key: &dyn fmt::Display, ttl: Option<Duration>) -> Self {
        self.with(|call| {
            call.unique = Some((format!("{}:{key}", call.envelope.task), ttl));
        })
    }

    fn with(mut self, set: impl FnOnce(&mut Self)) -> Self {
        set(&mut self);
        self
    }

    /// Remembers the first thing that is wrong.
    fn complain(&mut self, error: &dyn fmt::Display) {
        let task = &self.envelope.task;
        self.wrong.get_or_insert_with(|| format!("{task}: {error}"));
    }
}

impl<R: DeserializeOwned> Call<R> {
    /// Sends it.
    ///
    /// # Errors
    /// When an option or argument is wrong, the id is live, the unique key is held, or the broker cannot take it; the
    /// error tells whether the task may have been accepted.
    pub async fn send(self, client: &Client) -> Result<Handle<R>, ClientError> {
        client.send(self).await
    }
}

impl<R> fmt::Debug for Call<R> {
    /// Without the arguments: they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("task", &self.envelope.task)
            .field("queue", &self.queue)
            .field("priority", &self.priority)
            .field("delay", &self.delay)
            .finish_non_exhaustive()
    }
}
