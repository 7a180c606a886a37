//! Messages for tests: valid, unique, and with only what a test is about spelled out.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use lovage_core::{
    Delay, Envelope, Expires, Fence, Message, Outcome, Payload, Priority, QueueName, TaskId, TaskRecord,
    TaskState, Timestamp, UniqueClaim, UniquePolicy,
};

use crate::SeededEntropy;

/// Several test processes may share one server: the ids of each must differ.
static IDS: LazyLock<SeededEntropy> =
    LazyLock::new(|| SeededEntropy::new(u64::from(std::process::id()) << 32));

/// A message for a queue: a fresh id, the lowest priority, no delay, and a valid envelope of the task `test.task`.
///
/// ```
/// use std::time::Duration;
/// let message = lovage_testkit::message("math").priority(9).delay(Duration::from_secs(5)).build();
/// assert_eq!(message.priority.get(), 9);
/// ```
///
/// # Panics
/// When the name is not a valid queue name.
#[must_use]
pub fn message(queue: impl AsRef<str>) -> MessageBuilder {
    MessageBuilder {
        message: Message {
            id: TaskId::new(Timestamp::from_micros(1_767_225_600_000_000), &*IDS),
            queue: self::queue(queue),
            priority: Priority::LOWEST,
            delay: Delay::None,
            unique: None,
            fence: None,
            body: envelope().encode(),
        },
    }
}

/// A queue's name.
///
/// # Panics
/// When the name is not valid.
#[must_use]
#[expect(clippy::expect_used, reason = "a test with a bad name is a mistake of its author")]
pub fn queue(name: impl AsRef<str>) -> QueueName {
    QueueName::new(name).expect("a valid queue name")
}

/// The envelope of a call of `test.task` without arguments.
#[must_use]
pub fn envelope() -> Envelope {
    Envelope::new("test.task", Payload::empty())
}

/// A record of the task `test.task` in the default queue, kept for an hour.
#[must_use]
pub fn record(id: TaskId, version: (u32, u32, u32), state: TaskState) -> TaskRecord {
    TaskRecord {
        id,
        run: version.0,
        delivery: version.1,
        attempt: version.2,
        task: "test.task".to_owned(),
        arguments: "[1,3]".to_owned(),
        state,
        outcome: Outcome::None,
        worker: "worker@host".to_owned(),
        queue: QueueName::default(),
        priority: Priority::LOWEST,
        enqueued_at: Timestamp::from_micros(1_000),
        started_at: None,
        finished_at: Timestamp::from_micros(2_000),
        run_time: None,
        schedule: None,
        lineage: None,
        headers: BTreeMap::new(),
        keep_for: Duration::from_secs(3_600),
        warning: None,
    }
}

/// Builds a [`Message`]; made by [`message`].
#[derive(Clone, Debug)]
pub struct MessageBuilder {
    message: Message,
}

impl MessageBuilder {
    /// With this id.
    #[must_use]
    pub fn id(mut self, id: TaskId) -> Self {
        self.message.id = id;
        self
    }

    /// With this priority.
    ///
    /// # Panics
    /// When it is above 9.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test with a bad priority is a mistake of its author")]
    pub fn priority(mut self, priority: u8) -> Self {
        self.message.priority = Priority::new(priority).expect("a priority of 0 to 9");
        self
    }

    /// Ready after this time.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.message.delay = Delay::For(delay);
        self
    }

    /// Ready at this instant.
    #[must_use]
    pub fn until(mut self, at: Timestamp) -> Self {
        self.message.delay = Delay::Until(at);
        self
    }

    /// Claims a unique key until its end.
    #[must_use]
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.message.unique = Some(claim(key, None));
        self
    }

    /// Claims a unique key for this time at most.
    #[must_use]
    pub fn unique_for(mut self, key: impl Into<String>, ttl: Duration) -> Self {
        self.message.unique = Some(claim(key, Some(ttl)));
        self
    }

    /// Ends its claim on a unique key at its first start.
    #[must_use]
    pub fn until_start(mut self) -> Self {
        self.message.unique.iter_mut().for_each(|unique| unique.until_start = true);
        self
    }

    /// Takes the place of a waiting holder of its unique key.
    #[must_use]
    pub fn replace(mut self) -> Self {
        self.message.unique.iter_mut().for_each(|unique| unique.policy = UniquePolicy::Replace);
        self
    }

    /// For this slot of a schedule.
    #[must_use]
    pub fn fence(mut self, name: impl Into<String>, slot: Timestamp) -> Self {
        self.message.fence = Some(Fence { name: name.into(), slot });
        self
    }

    /// With an envelope that expires.
    #[must_use]
    pub fn expires(self, expires: Expires) -> Self {
        self.envelope(&Envelope { expires: Some(expires), ..envelope() })
    }

    /// With this envelope.
    #[must_use]
    pub fn envelope(self, envelope: &Envelope) -> Self {
        self.body(envelope.encode())
    }

    /// With these bytes, valid or not.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.message.body = body.into();
        self
    }

    /// The message.
    #[must_use]
    pub fn build(self) -> Message {
        self.message
    }
}

impl From<MessageBuilder> for Message {
    fn from(builder: MessageBuilder) -> Self {
        builder.build()
    }
}

fn claim(key: impl Into<String>, ttl: Option<Duration>) -> UniqueClaim {
    UniqueClaim { key: key.into(), ttl, until_start: false, policy: UniquePolicy::Reject }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_has_its_own_id_and_a_readable_body() {
        let first = message("q").expires(Expires::After(Duration::from_secs(1))).build();
        let second = message("q").build();
        assert_ne!(first.id, second.id);
        assert_eq!(Envelope::decode(&first.body).unwrap().task, "test.task");
        assert!(Envelope::expires_at(&first.body, Timestamp::default()).is_some());
    }
}
