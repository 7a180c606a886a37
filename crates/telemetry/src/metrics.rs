//! The metrics and their names. Each is told in docs/production.md; a test compares.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lovage_core::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::End;
use crate::health::Found;

/// Names of tasks and of queues that get lines of their own; what comes after them is `other`, so that no stream of names
/// makes the process or its monitoring grow.
const NAMES: usize = 1_000;
/// Upper bounds of the times of tasks, in seconds.
const TIMES: [f64; 15] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 300.0, 3_600.0];
/// The same of the lateness of a beat.
const LATENESS: [f64; 8] = [0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0];

#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    tasks: Family<EndLabels, Counter>,
    run: Family<TaskLabels, Histogram, fn() -> Histogram>,
    wait: Family<TaskLabels, Histogram, fn() -> Histogram>,
    slots: Gauge,
    held: Gauge,
    pub(crate) abandoned_threads: Gauge,
    hook_panics: Counter,
    log_dropped: Counter,
    broker_up: Gauge,
    workers: Gauge,
    beats: Gauge,
    ready: Family<QueueLabels, Gauge>,
    delayed: Family<QueueLabels, Gauge>,
    leased: Family<QueueLabels, Gauge>,
    dead: Family<QueueLabels, Gauge>,
    paused: Family<QueueLabels, Gauge>,
    oldest: Family<QueueLabels, Gauge<f64, AtomicU64>>,
    fired: Counter,
    late: Histogram,
    overdue: Gauge<f64, AtomicU64>,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    tasks: HashSet<String>,
    queues: HashSet<String>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct EndLabels {
    task: String,
    queue: String,
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct TaskLabels {
    task: String,
    queue: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct QueueLabels {
    queue: String,
}

impl Metrics {
    pub(crate) fn new(program: &str, version: &str) -> Self {
        let times: fn() -> Histogram = || Histogram::new(TIMES);
        let mut metrics = Self {
            registry: Registry::with_prefix("lovage"),
            tasks: Family::default(),
            run: Family::new_with_constructor(times),
            wait: Family::new_with_constructor(times),
            slots: Gauge::default(),
            held: Gauge::default(),
            abandoned_threads: Gauge::default(),
            hook_panics: Counter::default(),
            log_dropped: Counter::default(),
            broker_up: Gauge::default(),
            workers: Gauge::default(),
            beats: Gauge::default(),
            ready: Family::default(),
            delayed: Family::default(),
            leased: Family::default(),
            dead: Family::default(),
            paused: Family::default(),
            oldest: Family::default(),
            fired: Counter::default(),
            late: Histogram::new(LATENESS),
            overdue: Gauge::default(),
            names: Mutex::default(),
        };
        let info =
            vec![("program".to_owned(), program.to_owned()), ("version".to_owned(), version.to_owned())];
        let registry = &mut metrics.registry;
        registry.register("build", "This program", Info::new(info));
        registry.register(
            "tasks",
            "Tasks that ended in this process; those that are retried, too",
            metrics.tasks.clone(),
        );
        let run = "How long attempts ran";
        registry.register_with_unit("task_run", run, Unit::Seconds, metrics.run.clone());
        let wait = "From the publish of a task to its first start, the delay it was sent with included";
        registry.register_with_unit("task_wait", wait, Unit::Seconds, metrics.wait.clone());
        registry.register(
            "worker_slots",
            "Tasks that this process may run at the same time",
            metrics.slots.clone(),
        );
        registry.register(
            "worker_tasks",
            "Tasks that this process has taken and not ended",
            metrics.held.clone(),
        );
        registry.register(
            "worker_abandoned_threads",
            "Threads of plain tasks that have ended before their threads",
            metrics.abandoned_threads.clone(),
        );
        registry.register("hook_panics", "Panics of hooks of the program", metrics.hook_panics.clone());
        let dropped = "Log lines that could not be written";
        registry.register("log_lines_dropped", dropped, metrics.log_dropped.clone());
        registry.register(
            "broker_up",
            "Whether the broker answered when this was asked for",
            metrics.broker_up.clone(),
        );
        registry.register("workers", "Live workers, of all processes", metrics.workers.clone());
        registry.register("beats", "Live beats, of all processes", metrics.beats.clone());
        registry.register("queue_ready", "Tasks that wait for a worker", metrics.ready.clone());
        registry.register("queue_delayed", "Tasks that wait for their time", metrics.delayed.clone());
        registry.register("queue_leased", "Tasks in the hands of workers", metrics.leased.clone());
        registry.register("queue_dead", "Dead letters", metrics.dead.clone());
        registry.register("queue_paused", "Whether the queue is paused", metrics.paused.clone());
        let oldest = "How long ago the task at the head of the queue was sent, 0 where nothing waits";
        registry.register_with_unit("queue_oldest", oldest, Unit::Seconds, metrics.oldest.clone());
        registry.register("schedule_slots", "Slots that this beat sent", metrics.fired.clone());
        let late = "How much later than due this beat sent slots";
        registry.register_with_unit("schedule_late", late, Unit::Seconds, metrics.late.clone());
        let overdue =
            "For how long the next slot has been due and this beat has not seen it sent, 0 where none is due";
        registry.register_with_unit("schedule_overdue", overdue, Unit::Seconds, metrics.overdue.clone());
        metrics
    }

    pub(crate) fn ended(&self, end: End<'_>) {
        let End { task, queue, state, ran, waited } = end;
        let (task, queue) = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            (known(&mut names.tasks, task), known(&mut names.queues, queue.as_str()))
        };
        let labels = TaskLabels { task, queue };
        if let Some(ran) = ran {
            self.run.get_or_create(&labels).observe(ran.as_secs_f64());
        }
        if let Some(waited) = waited {
            self.wait.get_or_create(&labels).observe(waited.as_secs_f64());
        }
        let TaskLabels { task, queue } = labels;
        self.tasks.get_or_create(&EndLabels { task, queue, state: state.as_str() }).inc();
    }

    pub(crate) fn hook_panicked(&self) {
        self.hook_panics.inc();
    }

    pub(crate) fn fired(&self, late: Duration) {
        self.fired.inc();
        self.late.observe(late.as_secs_f64());
    }

    /// How many log lines could not be written since the start.
    pub(crate) fn set_dropped_lines(&self, count: u64) {
        self.log_dropped.inner().store(count, Ordering::Relaxed);
    }

    /// For how long the next slot of the schedule has been due.
    pub(crate) fn set_overdue(&self, overdue: Duration) {
        self.overdue.set(overdue.as_secs_f64());
    }

    /// How many tasks this process runs, and may run.
    pub(crate) fn set_worker(&self, slots: u64, held: i64) {
        self.slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
        self.held.set(held.max(0));
    }

    /// What was found, or that nothing answered.
    pub(crate) fn set_broker(&self, found: Option<&Found>, now: Timestamp) {
        self.broker_up.set(i64::from(found.is_some()));
        let Some(Found { workers, depths }) = found else { return };
        let beats = workers.iter().filter(|worker| worker.is_beat()).count();
        self.beats.set(i64::try_from(beats).unwrap_or(i64::MAX));
        self.workers.set(i64::try_from(workers.len() - beats).unwrap_or(i64::MAX));
        for (queue, depth) in depths.iter().take(NAMES) {
            let labels = QueueLabels { queue: queue.clone() };
            let set = |family: &Family<QueueLabels, Gauge>, count: u64| {
                family.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
            };
            set(&self.ready, depth.ready);
            set(&self.delayed, depth.delayed);
            set(&self.leased, depth.leased);
            set(&self.dead, depth.dead);
            set(&self.paused, u64::from(depth.paused));
            let oldest = depth.oldest_ready.map_or(Duration::ZERO, |sent| now.since(sent));
            self.oldest.get_or_create(&labels).set(oldest.as_secs_f64());
        }
    }

    /// In the text format of OpenMetrics, which Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _infallible = encode(&mut text, &self.registry);
        text
    }
}

/// The name, or `other` where there are too many.
fn known(names: &mut HashSet<String>, name: &str) -> String {
    if !names.contains(name) {
        if names.len() >= NAMES {
            return "other".to_owned();
        }
        names.insert(name.to_owned());
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use lovage_core::{Depth, QueueName, TaskState};

    use super::*;

    #[test]
    fn an_end_is_counted_by_task_queue_and_state() {
        let metrics = Metrics::new("lovage", "1.2.3");
        let queue = QueueName::new("mail").unwrap();
        let end = End {
            task: "mail.send",
            queue: &queue,
            state: TaskState::Success,
            ran: Some(Duration::from_millis(30)),
            waited: None,
        };
        metrics.ended(end);
        metrics.ended(End { state: TaskState::Failure, waited: Some(Duration::from_secs(2)), ..end });
        metrics.fired(Duration::from_millis(10));
        metrics.abandoned_threads.inc();
        let text = metrics.text();
        for line in [
            r#"lovage_build_info{program="lovage",version="1.2.3"} 1"#,
            r#"lovage_tasks_total{task="mail.send",queue="mail",state="success"} 1"#,
            r#"lovage_tasks_total{task="mail.send",queue="mail",state="failure"} 1"#,
            r#"lovage_task_run_seconds_count{task="mail.send",queue="mail"} 2"#,
            r#"lovage_task_run_seconds_bucket{le="0.05",task="mail.send",queue="mail"} 2"#,
            r#"lovage_task_wait_seconds_sum{task="mail.send",queue="mail"} 2.0"#,
            "lovage_schedule_slots_total 1",
            "lovage_worker_abandoned_threads 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
    }

    #[test]
    fn endless_names_do_not_grow_it() {
        let metrics = Metrics::new("lovage", "0");
        let queue = QueueName::default_queue();
        for number in 0..NAMES * 3 {
            let task = format!("task{number}");
            metrics.ended(End {
                task: &task,
                queue: &queue,
                state: TaskState::Success,
                ran: None,
                waited: None,
            });
        }
        let text = metrics.text();
        assert_eq!(text.lines().filter(|line| line.starts_with("lovage_tasks_total{")).count(), NAMES + 1);
        assert!(
            text.contains(&format!(r#"{{task="other",queue="default",state="success"}} {}"#, NAMES * 2)),
            "{text}"
        );
    }

    /// What docs/production.md says of each metric is what there is.
    #[test]
    fn the_manual_tells_of_each_metric() {
        let manual =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/production.md"))
                .unwrap();
        let metrics = Metrics::new("lovage", "0");
        let (queue, time) = (QueueName::default_queue(), Some(Duration::from_secs(1)));
        metrics.ended(End { task: "t", queue: &queue, state: TaskState::Success, ran: time, waited: time });
        let depths = vec![(queue.to_string(), Depth::default())];
        metrics.set_broker(Some(&Found { workers: Vec::new(), depths }), Timestamp::default());
        let text = metrics.text();
        let kind = |line: &str| {
            let mut words = line.strip_prefix("# TYPE ")?.split(' ');
            let (name, kind) = (words.next()?, words.next()?);
            Some(match kind {
                "counter" => format!("`{name}_total`"),
                "info" => format!("`{name}_info`"),
                _ => format!("`{name}`"),
            })
        };
        let there: HashSet<String> = text.lines().filter_map(kind).collect();
        let told: HashSet<String> = manual
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
            .filter(|word| word.starts_with("`lovage_"))
            .map(str::to_owned)
            .collect();
        assert_eq!(there, told, "the table of metrics in docs/production.md");
    }
}
