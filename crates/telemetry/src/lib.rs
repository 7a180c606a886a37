//! Metrics for Prometheus and health for supervisors, of a worker, a beat or a dashboard.
//!
//! [`Telemetry`] is what a process tells what happens in it; [`Telemetry::serve`] shows that at `/metrics`, and at
//! `/health/live`, `/health/ready` and `/health/progress`. Queues are looked at when somebody asks, and never otherwise.

mod health;
mod metrics;
mod serve;

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lovage_core::{Broker, Clock, QueueName, TaskState, Timestamp};

pub use health::Health;
use metrics::Metrics;

/// What a process tells of itself. Cheap where it is told, and shared by all who tell.
pub struct Telemetry {
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    /// Those whose depths are shown: the ones that a worker reads, or all.
    queues: Vec<QueueName>,
    /// None of them where this process runs no tasks.
    slots: AtomicU64,
    metrics: Metrics,
    /// Tasks that were taken and have not ended here.
    held: AtomicI64,
    /// Monotonic microseconds: when a task was last taken, since when something has waited all the time, and when the beat
    /// last looked at its schedule.
    taken: AtomicU64,
    waiting: AtomicU64,
    looked: AtomicU64,
    /// When the next slot of the schedule is due, in microseconds; the end of time where nothing is.
    due: AtomicI64,
    /// How often a beat in this process looks at its schedule.
    beat: Option<Duration>,
    /// Since when the worker's loop does not answer.
    stuck_since: OnceLock<StuckSince>,
    dropped_lines: fn() -> u64,
}

type StuckSince = Box<dyn Fn() -> Option<Timestamp> + Send + Sync>;

/// How a task ended.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The task's name.
    pub task: &'a str,
    /// The queue.
    pub queue: &'a QueueName,
    /// `retry` or a terminal state.
    pub state: TaskState,
    /// How long it ran, if it did.
    pub ran: Option<Duration>,
    /// From its publish to its first start, where this was its first.
    pub waited: Option<Duration>,
}

impl Telemetry {
    /// Of the process of a worker, a beat or a dashboard; `program` and `version` are shown as a metric.
    #[must_use]
    pub fn new(program: &str, version: &str, broker: Arc<dyn Broker>, clock: Arc<dyn Clock>) -> Self {
        let now = micros(clock.monotonic());
        Self {
            metrics: Metrics::new(program, version),
            broker,
            clock,
            queues: Vec::new(),
            slots: AtomicU64::new(0),
            held: AtomicI64::new(0),
            taken: AtomicU64::new(now),
            waiting: AtomicU64::new(u64::MAX),
            looked: AtomicU64::new(now),
            due: AtomicI64::new(i64::MAX),
            beat: None,
            stuck_since: OnceLock::new(),
            dropped_lines: || 0,
        }
    }

    /// This process runs tasks of these queues.
    #[must_use]
    pub fn of_worker(self, queues: impl IntoIterator<Item = QueueName>) -> Self {
        Self { queues: queues.into_iter().collect(), ..self }
    }

    /// It runs so many tasks at the same time.
    pub fn set_slots(&self, slots: usize) {
        self.slots.store(u64::try_from(slots).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// This process is a beat, which looks at its schedule so often.
    #[must_use]
    pub fn of_beat(self, interval: Duration) -> Self {
        Self { beat: Some(interval), ..self }
    }

    /// Takes the number of log lines that could not be written from this function.
    #[must_use]
    pub fn with_log(self, dropped_lines: fn() -> u64) -> Self {
        Self { dropped_lines, ..self }
    }

    /// Lets the progress of this process follow the loop of its worker: `stuck_since` returns since when the loop does not
    /// answer. Only the first call counts.
    pub fn watch_loop(&self, stuck_since: impl Fn() -> Option<Timestamp> + Send + Sync + 'static) {
        drop(self.stuck_since.set(Box::new(stuck_since)));
    }

    /// A task was taken.
    pub fn received(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
        self.taken.store(micros(self.clock.monotonic()), Ordering::Relaxed);
    }

    /// A task ended.
    pub fn ended(&self, end: End<'_>) {
        self.held.fetch_sub(1, Ordering::Relaxed);
        self.metrics.ended(end);
    }

    /// A hook of the program panicked.
    pub fn hook_panicked(&self) {
        self.metrics.hook_panicked();
    }

    /// A plain task ended while its thread runs on.
    pub fn thread_abandoned(&self) {
        self.metrics.abandoned_threads.inc();
    }

    /// The thread of a plain task that had ended before has ended, too.
    pub fn abandoned_thread_ended(&self) {
        self.metrics.abandoned_threads.dec();
    }

    /// A task was given back, or is no longer ours.
    pub fn gone(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    /// The beat looked at its schedule.
    pub fn looked(&self) {
        self.looked.store(micros(self.clock.monotonic()), Ordering::Relaxed);
    }

    /// When the next slot of the schedule is due, as far as the beat knows.
    pub fn next_slot(&self, due: Option<Timestamp>) {
        self.due.store(due.map_or(i64::MAX, Timestamp::as_micros), Ordering::Relaxed);
    }

    /// The beat sent a slot so much later than it was due.
    pub fn fired(&self, late: Duration) {
        self.metrics.fired(late);
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry")
            .field("queues", &self.queues)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
