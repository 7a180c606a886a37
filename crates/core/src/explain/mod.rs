//! Why a task does not run, or what became of it: from what is known to words, without asking anybody.

mod points;
mod words;

use std::time::Duration;

use crate::{DeadReason, QueueName, StoredMessage, TaskId, TaskRecord, TaskState, Timestamp, WorkerInfo};

pub use points::explain;

/// What broker and results say of a task, for [`explain`].
#[derive(Clone, PartialEq, Debug)]
pub struct Facts {
    /// The task.
    pub id: TaskId,
    /// When they were asked.
    pub asked_at: Timestamp,
    /// Its message, while it is live or a dead letter.
    pub message: Option<StoredMessage>,
    /// Its newest row in the results.
    pub record: Option<TaskRecord>,
    /// The live workers.
    pub workers: Vec<WorkerInfo>,
    /// Whether its queue is paused.
    pub paused: bool,
    /// How many messages are before it, while it is ready.
    pub ahead: Option<Ahead>,
}

/// How much is handed out before a message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ahead {
    /// Messages.
    pub tasks: u64,
    /// By how many that shrinks each second, where it was measured; negative when it grows.
    pub rate: Option<f64>,
}

/// Why a task does not run, or what became of it. Its `Display` says it in sentences.
#[derive(Clone, PartialEq, Debug)]
pub struct Explanation {
    /// The task.
    pub id: TaskId,
    /// When broker and results were asked; ages and delays count from here.
    pub asked_at: Timestamp,
    /// The task's name, where its message or its row can be read.
    pub task: Option<String>,
    /// The queue, where it is known.
    pub queue: Option<QueueName>,
    /// Its state; `None` when nobody knows the task.
    pub state: Option<TaskState>,
    /// Everything that is to be said, what matters most first; never empty.
    pub points: Vec<Point>,
}

/// One thing that is to be said of a task.
#[derive(Clone, PartialEq, Debug)]
pub enum Point {
    /// Neither broker nor results know it.
    Unknown,
    /// It waits in the outbox of the application that sent it for a relay.
    InOutbox,
    /// It waits for a worker to record that a newer message took its unique key.
    Replaced {
        /// The newer one.
        by: TaskId,
    },
    /// It waits for a worker to record that it was cancelled.
    Cancelled,
    /// This program cannot read its message.
    Unreadable {
        /// Why.
        why: String,
    },
    /// Its queue is paused.
    Paused,
    /// No worker is alive.
    NoWorker,
    /// Workers are alive, and none of them reads its queue.
    Unread {
        /// Their names.
        workers: Vec<String>,
        /// What they read.
        queues: Vec<QueueName>,
    },
    /// All workers of its queue are quiet or stopping.
    Quiet {
        /// Their names.
        workers: Vec<String>,
    },
    /// No worker of its queue registers the task.
    Unregistered {
        /// The workers of its queue.
        workers: Vec<String>,
        /// Workers of other queues that register it.
        elsewhere: Vec<String>,
        /// A registered task with a similar name.
        near: Option<String>,
    },
    /// Others are before it.
    Ahead(Ahead),
    /// Nothing is before it.
    Next {
        /// Tasks that the workers of its queue run.
        running: usize,
        /// How many they can run.
        slots: usize,
    },
    /// A worker took it while it was looked at.
    Moving,
    /// It waits for its time.
    Due {
        /// That time.
        at: Timestamp,
    },
    /// It waits for its next attempt.
    Retry {
        /// When that is due.
        at: Timestamp,
        /// 1 for the first retry.
        retry: u32,
        /// The most retries, where the call itself says so.
        of: Option<u32>,
        /// What the last attempt failed with.
        error: Option<String>,
    },
    /// Workers could not run it and gave it back.
    GivenBack {
        /// Hand-outs so far.
        times: u32,
        /// When it is handed out again.
        at: Timestamp,
        /// Whether a worker of the queue registers a task of this name.
        registered: bool,
    },
    /// A worker runs it.
    Running(Running),
    /// It was cancelled while a worker has it.
    Stopping,
    /// A worker has it and had not started it.
    Reserved {
        /// The workers that have such tasks.
        workers: Vec<String>,
    },
    /// No live worker says that it has it.
    Abandoned {
        /// When its lease ends.
        lease_ends: Option<Timestamp>,
        /// Whether no live worker can have it: none reads its queue.
        certain: bool,
    },
    /// Workers lost their lease with it.
    Suspect {
        /// How many in a row.
        losses: u32,
    },
    /// Earlier attempts failed.
    Failed {
        /// How many.
        attempts: u32,
        /// The last error.
        error: Option<String>,
    },
    /// It holds a unique key.
    HoldsKey {
        /// The key, as it is within the queue.
        key: String,
    },
    /// It is a dead letter.
    Dead(DeadLetter),
    /// It has ended.
    Ended(Ended),
    /// It has ended, and its message is still live.
    Unsettled,
    /// Its last row is no end, and the broker does not have it.
    Lost {
        /// When that row was written.
        at: Timestamp,
    },
}

/// The run of a task, as its worker tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Running {
    /// Its name.
    pub worker: String,
    /// Since when.
    pub since: Timestamp,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// 1 for the first hand-out.
    pub delivery: u32,
    /// When the worker said so.
    pub seen_at: Timestamp,
    /// Whether it should have said something since, and may be gone.
    pub late: bool,
    /// When its lease ends unless renewed.
    pub lease_ends: Option<Timestamp>,
}

/// How a task became a dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// Why.
    pub reason: Option<DeadReason>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Failed attempts.
    pub attempts: u32,
    /// The last error.
    pub error: Option<String>,
}

/// How a task ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// How.
    pub state: TaskState,
    /// The worker's name.
    pub worker: String,
    /// When.
    pub at: Timestamp,
    /// How long its last attempt ran.
    pub run_time: Option<Duration>,
    /// Failed attempts in its last run.
    pub attempts: u32,
    /// What it failed with; for a revoked task by whom it was replaced.
    pub error: Option<String>,
}
