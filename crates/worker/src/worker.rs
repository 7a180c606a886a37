//! A worker: ready to start, and running.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lovage_core::{
    Arguments, ArgumentsError, BackendError, Broker, Clock, DeadReason, Entropy, Envelope, Page, Place,
    QueueName, ResultStore, SharedStore, States, TaskDef, WorkerInfo,
};
use lovage_system::OutageLog;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::builder::{WorkerBuilder, WorkerError};
use crate::dispatcher::{Dispatcher, Parts};
use crate::executor::catch_backtraces;
use crate::fetcher::Turns;
use crate::hooks::{GuardedHooks, Hooks};
use crate::leases::{Holdings, Keeper};
use crate::plan::Defaults;
use crate::settler::Settler;
use crate::vitals::{Liveness, Vitals};

/// How far a worker is with stopping; it only goes forward.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    Running,
    Quiet,
    Stopping,
    StoppingNow,
}

/// A worker that is ready to start.
pub struct Worker {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) results: Option<Arc<dyn ResultStore>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) hooks: Arc<dyn Hooks>,
    pub(crate) tasks: HashMap<&'static str, TaskDef>,
    pub(crate) states: Arc<States>,
    pub(crate) defaults: Defaults,
    pub(crate) info: WorkerInfo,
    pub(crate) turns: Turns,
    pub(crate) lease: Duration,
    pub(crate) grace: Duration,
    pub(crate) burst: bool,
    pub(crate) leases_on_thread: bool,
    pub(crate) shared: Option<Arc<dyn SharedStore>>,
}

/// What a worker did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Runs that succeeded.
    pub succeeded: u64,
    /// Runs that failed, retried ones included.
    pub failed: u64,
    /// The grace period ended with tasks still running.
    pub cut_off: bool,
    /// Outcomes that could not be settled before the end: their tasks may run a second time.
    pub unsettled: usize,
}

/// A worker that runs. Dropping it asks it to stop, without waiting.
#[must_use = "a worker stops when this is dropped"]
pub struct RunningWorker {
    phase: watch::Sender<Phase>,
    dispatcher: JoinHandle<Summary>,
    info: WorkerInfo,
    grace: Duration,
    liveness: Liveness,
}

impl Worker {
    /// A worker's settings.
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder::default()
    }

    /// What it says of itself.
    #[must_use]
    pub fn info(&self) -> &WorkerInfo {
        &self.info
    }

    /// Starts it on the current tokio runtime.
    pub fn start(self) -> RunningWorker {
        catch_backtraces();
        let (events, inbox) = mpsc::unbounded_channel();
        let (settler, items) = mpsc::unbounded_channel();
        let (returns, returned) = mpsc::unbounded_channel();
        let (keeps, over) = oneshot::channel::<()>();
        let holdings = Holdings::default();
        let vitals = Vitals::default();
        let lost_leases =
            Arc::new(OutageLog::new("leases ended before they were renewed", Arc::clone(&self.clock)));
        let (phase, wanted) = watch::channel(Phase::Running);
        tokio::spawn(
            Settler {
                broker: Arc::clone(&self.broker),
                results: self.results.clone(),
                shared: self.shared,
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
                events: events.clone(),
                lost_leases: Arc::clone(&lost_leases),
            }
            .run(items),
        );
        tokio::spawn(
            Settler {
                broker: Arc::clone(&self.broker),
                results: None,
                shared: None,
                clock: Arc::clone(&self.clock),
                entropy: Arc::clone(&self.entropy),
                events: events.clone(),
                lost_leases: Arc::clone(&lost_leases),
            }
            .run(returned),
        );
        let lease_keeper = Keeper {
            broker: Arc::clone(&self.broker),
            clock: Arc::clone(&self.clock),
            lease: self.lease,
            holdings: holdings.clone(),
            vitals: vitals.clone(),
            lost_leases: Arc::clone(&lost_leases),
            events: events.clone(),
        };
        if self.leases_on_thread {
            if let Err(error) = lease_keeper.spawn_thread(over) {
                tracing::error!(
                    "no thread for renewing leases: {error}; tasks longer than the lease may run twice"
                );
            }
        } else {
            // On the thread of the loop nobody could ever see that a task blocks it.
            tokio::spawn(lease_keeper.run(None, over));
        }
        tokio::spawn(take_back(Arc::clone(&self.broker), self.turns.all().to_vec(), self.tasks.clone()));
        let (info, grace, liveness) = (self.info.clone(), self.grace, vitals.liveness());
        let dispatcher = Dispatcher::new(Parts {
            broker: self.broker,
            results: self.results,
            clock: self.clock,
            entropy: self.entropy,
            hooks: GuardedHooks(self.hooks),
            tasks: self.tasks,
            states: self.states,
            defaults: self.defaults,
            info: self.info,
            turns: self.turns,
            lease: self.lease,
            grace: self.grace,
            burst: self.burst,
            events,
            settler,
            returns,
            holdings,
            vitals,
            lost_leases,
            phase: wanted,
        });
        let dispatcher = tokio::spawn(async move {
            let summary = dispatcher.run(inbox).await;
            drop(keeps);
            summary
        });
        RunningWorker { phase, dispatcher, info, grace, liveness }
    }
}

impl RunningWorker {
    /// Stops gracefully: reserves nothing more, waits for what runs, gives back what the grace period cuts off.
    pub fn stop(&self) {
        self.at_least(Phase::Stopping);
    }

    /// Gives everything back at once.
    pub fn stop_now(&self) {
        self.at_least(Phase::StoppingNow);
    }

    /// Reserves nothing more and goes on with what runs.
    pub fn quiet(&self) {
        self.at_least(Phase::Quiet);
    }

    /// What it said of itself at its start.
    #[must_use]
    pub fn info(&self) -> &WorkerInfo {
        &self.info
    }

    /// How long running tasks may go on after [`stop`](Self::stop).
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// A handle that answers whether the loop of this worker goes on.
    #[must_use]
    pub fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    /// Until it has stopped.
    ///
    /// # Errors
    /// When its loop panicked, which is a bug in Lovage or in a hook; the leases end and others take over.
    pub async fn join(mut self) -> Result<Summary, WorkerError> {
        self.ended().await
    }

    /// The same by reference, for `select!` beside signals. Must not be called again after it has ended.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub async fn ended(&mut self) -> Result<Summary, WorkerError> {
        (&mut self.dispatcher)
            .await
            .map_err(|error| WorkerError(format!("the worker's loop ended unexpectedly: {error}")))
    }

    fn at_least(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let further = phase > *now;
            if further {
                *now = phase;
            }
            further
        });
    }
}

impl Drop for RunningWorker {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("info", &self.info).finish_non_exhaustive()
    }
}

impl fmt::Debug for RunningWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningWorker").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Takes back what nobody could run for an hour and this worker can.
pub(crate) async fn take_back(
    broker: Arc<dyn Broker>,
    queues: Vec<QueueName>,
    tasks: HashMap<&'static str, TaskDef>,
) {
    for queue in queues {
        match requeue_undeliverable(&*broker, &queue, &tasks).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(%queue, count, "took back dead letters that no worker could run before")
            }
            Err(error) => tracing::debug!(%queue, "dead letters are not looked through: {error}"),
        }
    }
}

async fn requeue_undeliverable(
    broker: &dyn Broker,
    queue: &QueueName,
    tasks: &HashMap<&'static str, TaskDef>,
) -> Result<usize, BackendError> {
    let mut count = 0;
    let mut page = Page::first(500);
    loop {
        let part = broker.peek(queue, Place::Dead, page.clone()).await?;
        let ours = part.items.iter().filter(|message| {
            message.reason == Some(DeadReason::Undeliverable)
                && Envelope::decode(&message.body).is_ok_and(|envelope| can_run(tasks, envelope))
        });
        let ids: Vec<_> = ours.map(|message| message.id).collect();
        if !ids.is_empty() {
            count += broker.requeue_dead(queue, &ids, None).await?;
        }
        match part.next {
            Some(next) => page.after = Some(next),
            None => return Ok(count),
        }
    }
}

/// Whether this worker has the task, and takes arguments of their types.
fn can_run(tasks: &HashMap<&'static str, TaskDef>, envelope: Envelope) -> bool {
    let Some(def) = tasks.get(envelope.task.as_str()) else { return false };
    let laid_out = Arguments::new(def.name, def.params, def.codec, envelope.payload);
    !matches!(laid_out, Err(ArgumentsError::Fingerprint { .. }))
}
