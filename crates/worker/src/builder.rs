//! What a worker is made of, checked before it starts.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lovage_client::Client;
use lovage_core::{
    Broker, Clock, Entropy, QueueName, ResultStore, RetryPolicy, SharedStore, StateNeed, States, TaskDef,
    TaskInfo, TaskName, WorkerId, WorkerInfo, WorkerMode,
};
use lovage_system::{SystemClock, SystemEntropy, host_name};

use crate::fetcher::Turns;
use crate::hooks::{Hooks, NoHooks};
use crate::plan::Defaults;
use crate::worker::Worker;

const LEASE: Duration = Duration::from_secs(30);
/// Kubernetes kills after 30 s; this leaves time to settle.
const GRACE: Duration = Duration::from_secs(25);
const CONCURRENCY: usize = 64;
/// Largest result that is stored: 1 MiB.
const RESULT_LIMIT: usize = 1024 * 1024;

/// Why a worker does not start. The message says what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct WorkerError(pub(crate) String);

/// Settings of a worker.
#[must_use = "settings do nothing until `build`"]
pub struct WorkerBuilder {
    tasks: Vec<TaskDef>,
    states: States,
    queues: Vec<(QueueName, u32)>,
    concurrency: usize,
    blocking: usize,
    name: Option<String>,
    lease: Duration,
    grace: Duration,
    soft_time_limit: Option<Duration>,
    time_limit: Option<Duration>,
    retry: RetryPolicy,
    result_limit: usize,
    hooks: Arc<dyn Hooks>,
    burst: bool,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    leases_on_thread: bool,
    shared: Option<Arc<dyn SharedStore>>,
}

impl Default for WorkerBuilder {
    fn default() -> Self {
        Self {
            tasks: Vec::new(),
            states: States::default(),
            queues: vec![(QueueName::default_queue(), 1)],
            concurrency: CONCURRENCY,
            blocking: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            name: None,
            lease: LEASE,
            grace: GRACE,
            soft_time_limit: None,
            time_limit: None,
            retry: RetryPolicy::default(),
            result_limit: RESULT_LIMIT,
            hooks: Arc::new(NoHooks),
            burst: false,
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
            leases_on_thread: true,
            shared: None,
        }
    }
}

impl WorkerBuilder {
    /// Tasks that it can run: `tasks![add, multiply]`.
    pub fn tasks(mut self, tasks: impl IntoIterator<Item = TaskDef>) -> Self {
        self.tasks.extend(tasks);
        self
    }

    /// A state for tasks that ask for `State<T>`.
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Self {
        self.states.insert(state);
        self
    }

    /// All states at once, instead of those given so far.
    pub fn states(mut self, states: States) -> Self {
        self.states = states;
        self
    }

    /// The queues and how many turns each gets; `default` by default.
    pub fn queues(mut self, queues: Vec<(QueueName, u32)>) -> Self {
        self.queues = queues;
        self
    }

    /// Async tasks at once; 64 by default.
    pub fn concurrency(mut self, slots: usize) -> Self {
        self.concurrency = slots;
        self
    }

    /// Plain functions at once; one per core by default.
    pub fn blocking(mut self, slots: usize) -> Self {
        self.blocking = slots;
        self
    }

    /// Its name for people; `worker@host` by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Broker and results at once, where they are one database: outcomes are then recorded and settled in one transaction.
    pub fn shared_store(mut self, shared: Option<Arc<dyn SharedStore>>) -> Self {
        self.shared = shared;
        self
    }

    /// How long a lease lasts unless renewed: 1 s to 1 h, 30 s by default. A task killed with its worker runs again after it.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a stopping worker waits for running tasks; 25 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The soft time limit of tasks that have none.
    pub fn soft_time_limit(mut self, limit: Option<Duration>) -> Self {
        self.soft_time_limit = limit;
        self
    }

    /// The hard time limit of tasks that have none.
    pub fn time_limit(mut self, limit: Option<Duration>) -> Self {
        self.time_limit = limit;
        self
    }

    /// The retry policy of tasks that have none.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The largest result that is stored, in bytes; 1 MiB by default. A larger one leaves a marker.
    pub fn result_limit(mut self, bytes: usize) -> Self {
        self.result_limit = bytes;
        self
    }

    /// Code of yours around each run.
    pub fn hooks(mut self, hooks: Arc<dyn Hooks>) -> Self {
        self.hooks = hooks;
        self
    }

    /// Ends when the queues are empty.
    pub fn burst(mut self, burst: bool) -> Self {
        self.burst = burst;
        self
    }

    /// Another clock, for tests and simulations.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another source of randomness, for tests and simulations.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Whether leases are renewed from a thread of their own, as they are by default. A simulation on one thread says no.
    pub fn leases_on_thread(mut self, on_thread: bool) -> Self {
        self.leases_on_thread = on_thread;
        self
    }

    /// Checks everything. A task may ask for `State<Client>`: it is always there.
    ///
    /// # Errors
    /// When there is no task, two tasks share a name, a task asks for a state that is not given, or a number is out of range.
    pub fn build(
        mut self,
        broker: Arc<dyn Broker>,
        results: Option<Arc<dyn ResultStore>>,
    ) -> Result<Worker, WorkerError> {
        // A client that was given as a state stays: it may know routes that this one does not.
        if !self.states.has(&StateNeed::of::<Client>()) {
            self.states.insert(Client::with_clock_and_entropy(
                Arc::clone(&broker),
                results.clone(),
                Arc::clone(&self.clock),
                Arc::clone(&self.entropy),
            ));
        }
        self.check()?;
        let mut tasks = HashMap::new();
        for def in &self.tasks {
            TaskName::new(def.name).map_err(|error| WorkerError(error.to_string()))?;
            if tasks.insert(def.name, def.clone()).is_some() {
                return Err(WorkerError(format!(
                    "two tasks are named `{}`: give one of them another name",
                    def.name
                )));
            }
        }
        let host = host_name();
        let name = self.name.unwrap_or_else(|| format!("worker@{host}"));
        let mut infos: Vec<TaskInfo> = self.tasks.iter().map(TaskInfo::from).collect();
        infos.sort_by(|a, b| a.name.cmp(&b.name));
        let info = WorkerInfo {
            id: WorkerId::new(&*self.entropy),
            name: name.clone(),
            host,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.clock.now(),
            seen_at: self.clock.now(),
            mode: WorkerMode::Running,
            queues: self.queues.iter().map(|(queue, _)| queue.clone()).collect(),
            concurrency: self.concurrency,
            blocking: self.blocking,
            tasks: infos,
            active: Vec::new(),
            reserved: 0,
            succeeded: 0,
            failed: 0,
            schedule: None,
            schedule_store: None,
            memory: None,
            cpu: None,
            refused: None,
            stuck_since: None,
            unrunnable: Vec::new(),
            abandoned: Vec::new(),
        };
        Ok(Worker {
            defaults: Defaults {
                worker: name,
                retry: self.retry,
                soft_time_limit: self.soft_time_limit,
                time_limit: self.time_limit,
                result_limit: self.result_limit,
            },
            turns: Turns::new(&self.queues),
            states: Arc::new(self.states),
            broker,
            results,
            clock: self.clock,
            entropy: self.entropy,
            hooks: self.hooks,
            tasks,
            info,
            lease: self.lease,
            grace: self.grace,
            burst: self.burst,
            leases_on_thread: self.leases_on_thread,
            shared: self.shared,
        })
    }

    fn check(&self) -> Result<(), WorkerError> {
        let refuse = |message: String| Err(WorkerError(message));
        if cfg!(panic = "abort") {
            return refuse("this program is built with panic = \"abort\", so one panic would end all tasks: remove it from the profile".to_owned());
        }
        if self.tasks.is_empty() {
            return refuse("this worker has no task: give it some with `.tasks(tasks![…])`".to_owned());
        }
        let missing: Vec<String> = self
            .tasks
            .iter()
            .flat_map(|def| {
                def.states
                    .iter()
                    .filter(|need| !self.states.has(need))
                    .map(|need| format!("{} needs State<{}>", def.name, need.type_name))
            })
            .collect();
        if !missing.is_empty() {
            return refuse(format!("states are missing: {}; give them with `.state(…)`", missing.join(", ")));
        }
        if self.queues.is_empty()
            || self.queues.iter().any(|(_, weight)| *weight == 0 || *weight > WorkerInfo::MOST_TURNS)
        {
            return refuse("a worker needs at least one queue, and each weight is 1 to 100".to_owned());
        }
        if !(1..=WorkerInfo::MOST_SLOTS).contains(&self.concurrency) || !(1..=10_000).contains(&self.blocking)
        {
            return refuse(format!(
                "expected a concurrency of 1 to 100000 and 1 to 10000 blocking slots, found {} and {}",
                self.concurrency, self.blocking
            ));
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&self.lease) {
            return refuse(format!(
                "expected a lease of 1s to 1h, found {}",
                lovage_core::format_duration(self.lease)
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for WorkerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks: Vec<&str> = self.tasks.iter().map(|def| def.name).collect();
        f.debug_struct("WorkerBuilder")
            .field("tasks", &tasks)
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}
