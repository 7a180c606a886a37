//! The names of keys and channels.

use fred::types::Key;
use lovage_core::{BackendError, BackendErrorKind, Entropy, QueueName};

/// What all names begin with: two programs with different ones share a Redis without seeing each other.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    namespace: String,
}

impl Keys {
    pub(crate) fn new(namespace: &str) -> Result<Self, BackendError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if namespace.is_empty() || !namespace.chars().all(allowed) {
            return Err(BackendError::new(
                BackendErrorKind::Config,
                "the namespace of the Redis broker is not valid: expected letters, digits, `-`, `_`, `.`, `:`",
            ));
        }
        Ok(Self { namespace: namespace.to_owned() })
    }

    /// The prefix of a queue's keys, which the scripts take as their only key. It holds the hash tag.
    pub(crate) fn queue(&self, queue: &QueueName) -> Key {
        format!("{}:{{{queue}}}:", self.namespace).into()
    }

    /// The prefix of the registry. No queue has this tag: `#` is not allowed in their names.
    pub(crate) fn registry(&self) -> Key {
        format!("{}:{{#}}:", self.namespace).into()
    }

    /// The set of known queues.
    pub(crate) fn queues(&self) -> Key {
        format!("{}:{{#}}:queues", self.namespace).into()
    }

    /// A new channel, on which one handle is told things. In a cluster it begins with `@`: there `PUBLISH` counts only who
    /// listens at the same node, so that nobody need not mean that it is dead.
    pub(crate) fn new_channel(&self, cluster: bool, entropy: &dyn Entropy) -> String {
        let mark = if cluster { "@" } else { "" };
        format!("{}:c:{mark}{:016x}{:016x}", self.namespace, entropy.next_u64(), entropy.next_u64())
    }
}
