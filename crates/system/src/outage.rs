//! One log line for an outage instead of one for each failed attempt.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::{Clock, format_duration};

/// Time between two log lines of an outage that lasts.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);
/// A failure this soon after a recovery continues the same outage: what flaps must not log each time.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// Logs an outage of one thing: its first failure at once, then a line each minute while it lasts, then the recovery.
///
/// Callers report every attempt. A success outside of an outage costs one atomic load. Failures are logged as warnings, the
/// recovery at `info`. A failure within 5 s of a recovery continues the same outage.
///
/// ```
/// use std::sync::Arc;
/// use lovage_system::{OutageLog, SystemClock};
///
/// let outage = OutageLog::new("the broker cannot be reached", Arc::new(SystemClock::new()));
/// outage.failed("connection refused"); // WARN the broker cannot be reached: connection refused
/// outage.failed("connection refused");
/// outage.recovered(); // INFO recovered after 15s: the broker cannot be reached (2 failures)
/// ```
#[derive(Debug)]
pub struct OutageLog {
    problem: String,
    clock: Arc<dyn Clock>,
    is_out: AtomicBool,
    outage: Mutex<Outage>,
}

impl OutageLog {
    /// A log of outages that `problem` describes in a clause without a full stop: "the broker cannot be reached".
    #[must_use]
    pub fn new(problem: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        let (is_out, outage) = (AtomicBool::new(false), Mutex::default());
        Self { problem: problem.into(), clock, is_out, outage }
    }

    /// Reports a failed attempt. Returns whether it begins an outage.
    pub fn failed(&self, error: impl Display) -> bool {
        let mut outage = self.lock();
        let line = outage.failed(self.clock.monotonic());
        self.is_out.store(true, Ordering::Release);
        drop(outage);
        let problem = &self.problem;
        match line {
            Line::Began => tracing::warn!("{problem}: {error}"),
            Line::Lasts { length, failures } => {
                tracing::warn!("{problem} for {} ({failures} failures): {error}", written(length));
            }
            Line::Recovered { .. } | Line::Silent => tracing::debug!("{problem}: {error}"),
        }
        line == Line::Began
    }

    /// Reports a successful attempt. Returns whether it ends an outage.
    pub fn recovered(&self) -> bool {
        if !self.is_out.load(Ordering::Acquire) {
            return false;
        }
        let mut outage = self.lock();
        let line = outage.recovered(self.clock.monotonic());
        let was_out = self.is_out.swap(false, Ordering::Release);
        drop(outage);
        if let Line::Recovered { length, failures } = line {
            let plural = if failures == 1 { "" } else { "s" };
            tracing::info!(
                "recovered after {}: {} ({failures} failure{plural})",
                written(length),
                self.problem
            );
        }
        was_out
    }

    /// Whether the last attempt failed.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Acquire)
    }

    /// A panic elsewhere leaves the state as it was between two operations: going on is safe.
    fn lock(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To the second where it is longer than ten.
fn written(length: Duration) -> String {
    let ten = Duration::from_secs(10);
    format_duration(if length < ten { length } else { Duration::from_secs(length.as_secs()) })
}

/// The line that an attempt leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Silent,
    Began,
    Lasts { length: Duration, failures: u64 },
    Recovered { length: Duration, failures: u64 },
}

/// The course of the outage now, or of the last one. Instants are monotonic.
#[derive(Debug, Default)]
struct Outage {
    began: Duration,
    /// When it ended; nothing before the first outage and during one.
    ended: Option<Duration>,
    failures: u64,
    logged: Duration,
    /// A line was logged since the last recovery, so the next recovery is worth one, too.
    is_announced: bool,
}

impl Outage {
    fn failed(&mut self, now: Duration) -> Line {
        let continues = match self.ended.take() {
            Some(ended) => now < ended + SETTLE_TIME,
            None => self.failures > 0,
        };
        if !continues {
            *self = Self { began: now, ended: None, failures: 1, logged: now, is_announced: true };
            return Line::Began;
        }
        self.failures += 1;
        if now < self.logged + REPEAT_INTERVAL {
            return Line::Silent;
        }
        (self.logged, self.is_announced) = (now, true);
        Line::Lasts { length: now.saturating_sub(self.began), failures: self.failures }
    }

    fn recovered(&mut self, now: Duration) -> Line {
        if self.failures == 0 || self.ended.is_some() {
            return Line::Silent;
        }
        self.ended = Some(now);
        if !std::mem::take(&mut self.is_announced) {
            return Line::Silent;
        }
        Line::Recovered { length: now.saturating_sub(self.began), failures: self.failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn outage_is_logged_at_once_each_minute_and_at_its_end() {
        let mut outage = Outage::default();
        assert_eq!(outage.recovered(secs(1)), Line::Silent, "there was none");
        let lines: Vec<Line> = (10..=200)
            .map(|second| outage.failed(secs(second)))
            .filter(|line| *line != Line::Silent)
            .collect();
        let lasts = |length, failures| Line::Lasts { length: secs(length), failures };
        assert_eq!(lines, [Line::Began, lasts(60, 61), lasts(120, 121), lasts(180, 181)]);
        assert_eq!(outage.recovered(secs(205)), Line::Recovered { length: secs(195), failures: 191 });
        assert_eq!(outage.recovered(secs(206)), Line::Silent);
        assert_eq!(outage.failed(secs(220)), Line::Began, "the next outage is logged at once");
    }

    #[test]
    fn flapping_is_one_outage() {
        let mut outage = Outage::default();
        let mut lines = Vec::new();
        for second in (0..=120).step_by(2) {
            lines.push(outage.failed(secs(second)));
            lines.push(outage.recovered(secs(second + 1)));
        }
        lines.retain(|line| *line != Line::Silent);
        assert_eq!(lines.len(), 6, "two at its start and two each minute: {lines:?}");
    }

    #[test]
    fn lengths_are_written_for_people() {
        assert_eq!(written(Duration::from_millis(1_250)), "1s250ms");
        assert_eq!(written(Duration::from_millis(75_250)), "1m15s");
    }
}
