//! The one place where Lovage reads the real clock, the system's randomness and the host.
//!
//! Everything else takes a [`Clock`] and an [`Entropy`], so that a simulation can drive it.

mod outage;
pub mod process;

use std::time::{Duration, Instant, SystemTime};

use lovage_core::{BoxFuture, Clock, Entropy, Timestamp, Usage};

pub use outage::OutageLog;

/// The real clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// The real clock; its [`monotonic`](Clock::monotonic) starts at zero now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the real clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the real clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that sleeps in real time")]
    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        match self.start.checked_add(deadline) {
            Some(at) => Box::pin(tokio::time::sleep_until(at.into())),
            None => Box::pin(std::future::pending()),
        }
    }

    fn usage(&self) -> Usage {
        const THIS: &str = "self";
        Usage { memory: process::memory(THIS, "VmRSS:"), processor: process::processor_time(THIS) }
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // The system's source does not fail on a running Linux, macOS or Windows. Predictable tokens would break the
        // ownership of leases, so there is no way to go on without it.
        #[expect(clippy::expect_used, reason = "nothing can be done safely without randomness")]
        getrandom::fill(bytes).expect("the operating system has no randomness");
    }
}

/// The name of this machine, `localhost` when it has none.
#[must_use]
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn sleeps_at_least_as_long_as_asked() {
        let clock = SystemClock::new();
        let before = clock.monotonic();
        clock.sleep(Duration::from_millis(5)).await;
        assert!(clock.monotonic() - before >= Duration::from_millis(5));
    }

    #[test]
    fn randomness_differs() {
        assert_ne!(SystemEntropy.next_u64(), SystemEntropy.next_u64());
    }
}
