//! What a broker is given to keep.

use std::time::Duration;

use crate::{Envelope, Priority, QueueName, TaskId, Timestamp, limits};

/// A message on its way to a broker. The body is an encoded [`Envelope`](crate::Envelope) and never changes; what a
/// broker needs to know without reading it stands beside it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The task's id, unique among live messages.
    pub id: TaskId,
    /// Where it goes.
    pub queue: QueueName,
    /// 0 to 9, 9 first.
    pub priority: Priority,
    /// When it becomes ready.
    pub delay: Delay,
    /// A key of which only one message may be live in this queue.
    pub unique: Option<UniqueClaim>,
    /// Refuses slots that were published already.
    pub fence: Option<Fence>,
    /// The encoded envelope.
    pub body: Vec<u8>,
}

/// When a message becomes ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Delay {
    /// At once.
    #[default]
    None,
    /// After this time, counted by the server from the publish.
    For(Duration),
    /// At this instant, at once when it has passed.
    Until(Timestamp),
}

impl Delay {
    /// The instant when a message published at `now` becomes ready; `None` when it is ready at once.
    #[must_use]
    pub fn due_at(self, now: Timestamp) -> Option<Timestamp> {
        let due = match self {
            Self::None => return None,
            Self::For(delay) => now.plus(delay),
            Self::Until(at) => at,
        };
        (due > now).then_some(due)
    }
}

/// A claim on a unique key: held from publish until the task ends, unless something ends it earlier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UniqueClaim {
    /// Task name and the caller's key; unique within the queue.
    pub key: String,
    /// Ends the claim this long after the publish.
    pub ttl: Option<Duration>,
    /// Ends the claim when the message is first handed out to be run. A worker may hold it for a moment before it starts:
    /// what is sent from then on is a task of its own, so that nothing that changed after the start is missed.
    pub until_start: bool,
    /// What becomes of this message when another one holds the key.
    pub policy: UniquePolicy,
}

/// What becomes of a message whose unique key is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UniquePolicy {
    /// It is refused as a duplicate of the holder.
    #[default]
    Reject,
    /// It takes the place of a holder that waits (ready, delayed, or for its next attempt), which is delivered with
    /// [`Verdict::Replaced`](crate::Verdict::Replaced). While a worker has the holder it is refused as a duplicate.
    Replace,
}

/// The newest slot of a name wins: a publish with a slot that is not newer is refused as stale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fence {
    /// The schedule's name.
    pub name: String,
    /// The slot that this message is for.
    pub slot: Timestamp,
}

/// Why a message cannot be published anywhere.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the message of task {id} has {found} bytes, the limit is {limit}: put large data elsewhere and send a reference to it, or raise the limit (at most {} bytes)",
    limits::MESSAGE_MAX
)]
pub struct MessageError {
    id: TaskId,
    found: usize,
    limit: usize,
}

impl Message {
    /// Marks the message as a [possible duplicate](crate::Envelope::possible_duplicate), for a sender that repeats it.
    pub fn mark_possible_duplicate(&mut self) {
        Envelope::mark_possible_duplicate(&mut self.body);
    }

    /// Checks the size against a limit in bytes.
    ///
    /// # Errors
    /// When the body is larger.
    pub fn check_size(&self, limit: usize) -> Result<(), MessageError> {
        let limit = limit.min(limits::MESSAGE_MAX);
        if self.body.len() > limit {
            return Err(MessageError { id: self.id, found: self.body.len(), limit });
        }
        Ok(())
    }
}
