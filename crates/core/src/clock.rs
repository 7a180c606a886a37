//! Where time and randomness come in.

use std::fmt::Debug;
use std::time::Duration;

use crate::{BoxFuture, Timestamp};

/// Time, as everything outside the backends sees it.
///
/// Production uses `lovage_system::SystemClock`; tests use a fake one and travel in time.
pub trait Clock: Send + Sync + Debug {
    /// The time of day, for people: logs, rows, ids. It may jump.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start, for arithmetic: it never goes back.
    fn monotonic(&self) -> Duration;

    /// Ends when [`monotonic`](Self::monotonic) has reached `deadline`.
    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()>;

    /// Ends after `time`.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.monotonic().saturating_add(time))
    }

    /// What this process has used so far: nothing where time is not real, or where the system does not say.
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// What a process has used, as far as its system says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Resident memory now, in bytes.
    pub memory: Option<u64>,
    /// Processor time since its start, over all cores.
    pub processor: Option<Duration>,
}

/// A source of randomness: ids, tokens and jitter.
pub trait Entropy: Send + Sync + Debug {
    /// Fills `bytes`; ids and tokens rely on it being unpredictable in production.
    fn fill(&self, bytes: &mut [u8]);

    /// A random number of the whole range.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
