//! What keeps a beat from its work, said once.

use std::time::Duration;

use lovage_core::BackendError;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Trouble with one of the two that a beat works with, if there is any.
#[derive(Debug)]
pub(crate) struct Trouble {
    with: &'static str,
    pause: Option<Duration>,
    until: Duration,
}

impl Trouble {
    pub(crate) fn new(with: &'static str) -> Self {
        Self { with, pause: None, until: Duration::ZERO }
    }

    /// Not to be asked before this monotonic instant.
    pub(crate) fn until(&self) -> Duration {
        self.until
    }

    pub(crate) fn is_there(&mut self, error: &BackendError, now: Duration) {
        let pause = match self.pause {
            None => {
                tracing::warn!("slots do not fire now, {} is tried again: {error}", self.with);
                FIRST_PAUSE
            }
            Some(pause) => {
                tracing::debug!("{} is not back yet: {error}", self.with);
                (pause * 2).min(LONGEST_PAUSE)
            }
        };
        self.pause = Some(pause);
        self.until = now + pause;
    }

    pub(crate) fn is_over(&mut self) {
        if self.pause.take().is_some() {
            tracing::info!("{} is back", self.with);
        }
    }
}
