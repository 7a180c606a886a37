//! Task, message and state types of Lovage, and the traits that backends implement.
//!
//! This crate decides; it never acts. It has no I/O, no async runtime and no clock: time and randomness come in
//! as arguments ([`Clock`], [`Entropy`]), so that every decision can be tested and replayed.
//!
//! A reader who follows a task should open, in this order: [`TaskDef`] (what runs), [`Envelope`] (what travels),
//! [`Broker`] (what a queue promises), [`transition`] (the life of a task) and [`ResultStore`] (where it ends).

mod args;
pub mod audit;
mod broker;
mod clock;
mod context;
mod duration;
mod encode;
mod envelope;
mod error;
mod explain;
mod id;
mod message;
mod name;
mod parameter;
mod payload;
mod rate;
mod redact;
mod registry;
mod results;
mod retry;
#[cfg(feature = "schedule")]
pub mod schedule;
pub mod signature;
mod state;
pub mod stats;
mod suggest;
mod task;
mod time;
pub mod url;
mod worker;

pub use args::{Arguments, ArgumentsBuilder, ArgumentsError};
pub use broker::{
    Broker, Cancelled, Control, DeadReason, Delivery, Depth, Extended, Heartbeat, Hint, Inspect, Leases,
    Maintained, Note, Page, Paged, Place, Published, Reserve, Reserved, Settle, Settled, Settlement,
    SlotKind, SlotWants, StoredMessage, Verdict, Waiter, Watch,
};
pub use clock::{Clock, Entropy, Usage};
pub use context::{CancelReason, Context, Progress, RunControl, RunInfo, State, States};
pub use duration::{format_duration, parse_duration};
pub use encode::unstored_reason;
pub use envelope::{Envelope, EnvelopeError, Expires, Lineage, ScheduledSlot};
pub use error::{BackendError, BackendErrorKind, Directive, ErrorReport, TaskError};
pub use explain::{Ahead, DeadLetter, Ended, Explanation, Facts, Point, Running, explain};
pub use id::{StoreId, TaskId, Token, WorkerId};
pub use message::{Delay, Fence, Message, MessageError, UniqueClaim, UniquePolicy};
pub use name::{EntryName, NameError, QueueName, Source, TaskName};
pub use parameter::{Parameter, ParameterKind, lay_out};
pub use payload::Payload;
pub use rate::RateLimit;
pub use redact::{HIDDEN, Hidden, RedactedArg, has_hidden, keep_hidden, render_arguments};
pub use registry::{Registered, registered_tasks};
pub use results::{
    AttemptRecord, Found, Outcome, Recorded, ResultFilter, ResultStore, SettlePart, SharedStore, TaskRecord,
};
pub use retry::{Backoff, RetryPolicy};
pub use signature::Signature;
pub use state::{Event, IllegalTransition, Step, TaskState, transition};
pub use suggest::nearest;
pub use task::{AckMode, BoxFuture, Codec, Handler, Param, StateNeed, TaskDef, TaskOptions, TaskResult};
pub use time::Timestamp;
pub use worker::{
    AbandonedThread, ActiveTask, Misfit, ScheduleHome, TaskInfo, Unrunnable, WorkerCommand, WorkerInfo,
    WorkerMode,
};

mod priority;
pub use priority::{Priority, PriorityError};

/// Limits that hold for every backend.
pub mod limits {
    /// Largest message body in bytes unless configured otherwise: 256 KiB.
    pub const MESSAGE_DEFAULT: usize = 256 * 1024;
    /// Largest message body in bytes that may be configured: 16 MiB.
    pub const MESSAGE_MAX: usize = 16 * 1024 * 1024;
    /// Most messages in one publish.
    pub const PUBLISH_BATCH: usize = 1_000;
    /// Most messages in one reservation.
    pub const RESERVE_BATCH: usize = 256;
    /// How far ahead of the broker's clock the slot of a fence may be, and how far ahead of its store's clock an entry of
    /// the schedule may be done: what is further ahead comes from a clock that was wrong.
    pub const CLOCK_TOLERANCE: std::time::Duration = std::time::Duration::from_secs(10);
    /// Leases lost in a row that make a message a suspect: one may be the fault of a neighbour, or of nobody.
    pub const SUSPECT_LOSSES: u32 = 2;
    /// Leases a message may lose before it is delivered with [`Verdict::Poisoned`](crate::Verdict::Poisoned).
    pub const POISON_LOSSES: u32 = 5;
    /// Notes of failed attempts that are kept per message.
    pub const NOTES: usize = 10;
    /// Longest note in bytes: 1 KiB.
    pub const NOTE_BYTES: usize = 1_024;
    /// Dead letters that are kept per queue.
    pub const DEAD_LETTERS: usize = 10_000;
}

/// What the macros expand to; not for people.
#[doc(hidden)]
pub mod __private;
