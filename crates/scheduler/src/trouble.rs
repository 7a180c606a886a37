//! What keeps a beat from its work, logged once, each minute and at its end.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::{BackendError, Clock};
use lovage_system::OutageLog;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Trouble with one of the two that a beat works with, if there is any.
#[derive(Debug)]
pub(crate) struct Trouble {
    log: OutageLog,
    pause: Option<Duration>,
    until: Duration,
}

impl Trouble {
    pub(crate) fn new(with: &'static str, clock: Arc<dyn Clock>) -> Self {
        let log = OutageLog::new(format!("slots do not fire now, {with} is tried again"), clock);
        Self { log, pause: None, until: Duration::ZERO }
    }

    /// Not to be asked before this monotonic instant.
    pub(crate) fn until(&self) -> Duration {
        self.until
    }

    pub(crate) fn is_there(&mut self, error: &BackendError, now: Duration) {
        let pause = match self.pause {
            None => FIRST_PAUSE,
            Some(pause) => (pause * 2).min(LONGEST_PAUSE),
        };
        self.log.failed(error);
        self.pause = Some(pause);
        self.until = now + pause;
    }

    pub(crate) fn is_over(&mut self) {
        self.pause = None;
        self.log.recovered();
    }
}
