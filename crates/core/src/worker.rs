//! What a worker says of itself, and what it can be told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ParameterKind, Progress, QueueName, RedactedArg, TaskDef, TaskId, Timestamp, WorkerId};

/// Stands behind the type of a parameter that has a default.
pub(crate) const MAY_BE_LEFT_OUT: &str = " = …";

/// What a worker says of itself with each heartbeat.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Random for each start.
    pub id: WorkerId,
    /// For people; several workers may share it.
    pub name: String,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The version of Lovage.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it said this, by the broker's clock; the broker fills it in.
    #[serde(default)]
    pub seen_at: Timestamp,
    /// What it is doing.
    pub mode: WorkerMode,
    /// The queues that it reserves from, in its order.
    pub queues: Vec<QueueName>,
    /// Async slots.
    pub concurrency: usize,
    /// Blocking slots.
    pub blocking: usize,
    /// The tasks that it can run.
    pub tasks: Vec<TaskInfo>,
    /// The tasks that it runs now, the longest running first, at most 1,000.
    pub active: Vec<ActiveTask>,
    /// Messages reserved and not started.
    pub reserved: usize,
    /// Runs that succeeded since its start.
    pub succeeded: u64,
    /// Runs that failed since its start, retried ones included.
    pub failed: u64,
    /// A beat: where it keeps its schedule, without secrets. `None` for a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// A beat: the store of its schedule; `None` from an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_store: Option<ScheduleHome>,
    /// Memory of its process, resident, in bytes; `None` where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Processor time of its process since the last heartbeat, in thousandths of one core: 1,500 are one and a half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// What it was told last and could not do, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Since when its loop does not answer, because tasks block its threads; then only its lease keeper says this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck_since: Option<Timestamp>,
    /// What it gave back because it cannot run it, and nobody can have tried again since; the most first, at most
    /// [`Unrunnable::KINDS`] kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unrunnable: Vec<Unrunnable>,
    /// Threads of plain tasks that still run although their tasks have ended, the oldest first, at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<AbandonedThread>,
}

impl WorkerInfo {
    /// The most async slots that a worker can have.
    pub const MOST_SLOTS: usize = 100_000;
    /// The most turns that one queue of a worker can have.
    pub const MOST_TURNS: u32 = 100;
    /// How far apart the heartbeats of a worker are where there are few workers.
    pub const HEARTBEAT: Duration = Duration::from_secs(5);

    /// How far apart its heartbeats are where so many are alive: many beat less often, so that the broker gets at most 20 a
    /// second.
    #[must_use]
    pub fn heartbeat_every(live: usize) -> Duration {
        let crowd = Duration::from_millis(50).saturating_mul(u32::try_from(live).unwrap_or(u32::MAX));
        Self::HEARTBEAT.max(crowd)
    }

    /// The queue that a task is sent to where neither the sender nor the routes name one, as live workers register it: of
    /// several releases the worker that started last counts. `None` where no live worker registers a queue for the task.
    #[must_use]
    pub fn queue_of_task<'a>(workers: &'a [Self], task: &str) -> Option<&'a QueueName> {
        let newest = workers
            .iter()
            .filter_map(|worker| Some((worker, worker.tasks.iter().find(|info| info.name == task)?)))
            .max_by_key(|(worker, _)| (worker.started_at, worker.id));
        newest.and_then(|(_, info)| info.queue.as_ref())
    }

    /// After how long without a word it missed a heartbeat, where so many are alive: it may be gone.
    #[must_use]
    pub fn late_after(live: usize) -> Duration {
        Self::heartbeat_every(live) * 8 / 5
    }

    /// After how long without a word something is wrong with it: it missed two heartbeats at least. Its registration lives
    /// for three.
    #[must_use]
    pub fn silent_after(live: usize) -> Duration {
        Duration::from_secs(30).max(Self::heartbeat_every(live) * 5 / 2)
    }

    /// Whether it only sends what the schedule says. Beats register beside workers, and run nothing.
    #[must_use]
    pub const fn is_beat(&self) -> bool {
        self.schedule.is_some()
    }
}

/// Messages of one kind that a worker gave back because it cannot run them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unrunnable {
    /// Their queue.
    pub queue: QueueName,
    /// The task's name; empty where the message cannot be read.
    pub task: String,
    /// What is wrong.
    pub why: Misfit,
    /// How many, at most [`MOST`](Self::MOST).
    pub tasks: u64,
}

impl Unrunnable {
    /// The most messages of one kind that a worker counts.
    pub const MOST: usize = 10_000;
    /// The most kinds that a worker tells of.
    pub const KINDS: usize = 20;
}

/// Why a worker cannot run a message that another one may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Misfit {
    /// It has no task of this name.
    Unregistered,
    /// It has the task of another release, which takes other arguments.
    Arguments,
    /// The message has the format of a later release of Lovage.
    Format,
    /// What a newer worker says.
    #[serde(other)]
    Other,
}

/// Whether a worker takes more work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerMode {
    /// It reserves and runs.
    Running,
    /// It runs what it has and reserves nothing.
    Quiet,
    /// It is about to end.
    Stopping,
}

/// A task that a worker can run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its name.
    pub name: String,
    /// Its signature as written, such as `(x: i64, y: i64 = …) -> i64`: `= …` where a call may leave the argument out, which
    /// for an `Option` goes without saying.
    pub signature: String,
    /// Which of its arguments must not be shown; `None` from an older worker, which does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted: Option<Vec<RedactedArg>>,
    /// The queue that it is sent to where neither the call nor the routes name one; `None` where it has none of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueName>,
}

/// The schedule store of a beat, by which beats tell a copy of a store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScheduleHome {
    /// Its [`StoreId`](crate::StoreId).
    pub store: String,
    /// Where it is, as its database or host sees it.
    pub place: String,
}

/// A task that a worker runs now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ActiveTask {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub task: String,
    /// The queue that it came from.
    pub queue: QueueName,
    /// When this run started.
    pub started_at: Timestamp,
    /// What it told last of how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// An async task: since when it holds its thread without an await, so that others cannot go on. Only said after seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks_since: Option<Timestamp>,
}

/// A thread that still runs the function of a plain task that has ended: a thread cannot be killed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AbandonedThread {
    /// The task's id.
    pub id: TaskId,
    /// The task's name.
    pub task: String,
    /// The queue that the task came from.
    pub queue: QueueName,
    /// When the run started.
    pub started_at: Timestamp,
    /// When the run ended and left the thread behind: it was revoked, passed its hard time limit, lost its lease or was given
    /// back.
    pub abandoned_at: Timestamp,
}

/// What a worker can be told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerCommand {
    /// Stop gracefully; `None` means with the worker's own grace period.
    Shutdown {
        /// How long running tasks may go on.
        grace: Option<Duration>,
    },
    /// Reserve nothing more, finish what runs.
    Quiet,
    /// Run at most this many async tasks at once.
    Concurrency {
        /// 1 to [`WorkerInfo::MOST_SLOTS`].
        slots: usize,
    },
    /// Reserve from this queue, too; one that it has already gets these turns.
    AddQueue {
        /// The queue.
        queue: QueueName,
        /// Its turns: 1 to [`WorkerInfo::MOST_TURNS`].
        weight: u32,
    },
    /// Reserve no more from this queue. What waits at the worker goes back, what runs goes on.
    DropQueue {
        /// The queue; a worker keeps its last one.
        queue: QueueName,
    },
    /// What a newer program says. A worker ignores it, with a warning.
    #[serde(untagged)]
    Unknown(serde_json::Value),
}

impl From<&TaskDef> for TaskInfo {
    fn from(def: &TaskDef) -> Self {
        let params: Vec<String> = def
            .params
            .iter()
            .map(|param| {
                let says_so = matches!(ParameterKind::of(param.type_name), ParameterKind::Option(_));
                let mark = if param.optional && !says_so { MAY_BE_LEFT_OUT } else { "" };
                format!("{}: {}{mark}", param.name, param.type_name)
            })
            .collect();
        Self {
            name: def.name.to_owned(),
            signature: format!("({}) -> {}", params.join(", "), def.returns),
            redacted: Some(RedactedArg::of(def.params)),
            queue: def.options.queue.and_then(|queue| QueueName::new(queue).ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_program_says_is_unknown_and_no_error() {
        let queue = QueueName::new("q").unwrap();
        for command in [
            WorkerCommand::Shutdown { grace: Some(Duration::from_secs(1)) },
            WorkerCommand::Quiet,
            WorkerCommand::Concurrency { slots: 3 },
            WorkerCommand::AddQueue { queue: queue.clone(), weight: 2 },
            WorkerCommand::DropQueue { queue },
        ] {
            let json = serde_json::to_string(&command).unwrap();
            assert_eq!(serde_json::from_str::<WorkerCommand>(&json).unwrap(), command, "{json}");
        }
        for json in [r#"{"dance":{"steps":3}}"#, r#""sing""#, r#"{"concurrency":{"slots":-1}}"#] {
            let read = serde_json::from_str::<WorkerCommand>(json).unwrap();
            assert_eq!(read, WorkerCommand::Unknown(serde_json::from_str(json).unwrap()));
        }
    }

    #[test]
    fn silence_is_measured_by_the_heartbeats_of_so_many_workers() {
        let seconds = |live| {
            [WorkerInfo::heartbeat_every(live), WorkerInfo::late_after(live), WorkerInfo::silent_after(live)]
                .map(|time| time.as_secs())
        };
        assert_eq!(seconds(0), [5, 8, 30]);
        assert_eq!(seconds(100), [5, 8, 30]);
        assert_eq!(seconds(240), [12, 19, 30]);
        assert_eq!(seconds(1_000), [50, 80, 125]);
    }

    #[test]
    fn an_older_worker_that_says_less_is_understood() {
        let id = TaskId::from_bytes([1; 16]);
        let at = Timestamp::default();
        let json = serde_json::json!({ "id": id, "task": "add", "queue": "q", "started_at": at });
        let active: ActiveTask = serde_json::from_value(json).unwrap();
        assert_eq!((active.progress, active.blocks_since), (None, None));
        let task: TaskInfo = serde_json::from_str(r#"{"name":"add","signature":"()"}"#).unwrap();
        assert_eq!(task.redacted, None);
    }

    #[test]
    fn why_a_newer_worker_cannot_run_something_is_no_error() {
        let read = |word: &str| serde_json::from_value::<Misfit>(word.into()).unwrap();
        assert_eq!((read("unregistered"), read("moonphase")), (Misfit::Unregistered, Misfit::Other));
    }

    #[test]
    fn newest_worker_says_where_a_task_goes() {
        let worker = |started: i64, queue: Option<&str>| {
            let json = serde_json::json!({
                "id": WorkerId::new(&Fixed(started)), "name": "w", "host": "h", "pid": 1, "version": "1",
                "started_at": Timestamp::from_micros(started), "mode": "running", "queues": [], "concurrency": 1,
                "blocking": 1, "tasks": [{ "name": "t", "signature": "()", "queue": queue }], "active": [],
                "reserved": 0, "succeeded": 0, "failed": 0,
            });
            serde_json::from_value::<WorkerInfo>(json).unwrap()
        };
        let of = |workers: &[WorkerInfo]| WorkerInfo::queue_of_task(workers, "t").map(ToString::to_string);
        assert_eq!(of(&[worker(2, Some("new")), worker(1, Some("old"))]).as_deref(), Some("new"));
        assert_eq!(of(&[worker(1, Some("old")), worker(2, None)]), None);
        assert_eq!(WorkerInfo::queue_of_task(&[worker(1, Some("old"))], "other"), None);
    }

    #[derive(Debug)]
    struct Fixed(i64);

    impl crate::Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(u8::try_from(self.0).unwrap());
        }
    }
}
