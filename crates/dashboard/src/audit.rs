//! Who did what, and when: into the log, and beside the results where those keep it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lovage_core::audit::{Action, KEEP};

use crate::app::Parts;

/// The name of somebody who is not one of the users: what was typed may be a password in the wrong field.
pub(crate) const UNKNOWN: &str = "(unknown)";
pub(crate) const LOGIN: &str = "login";
pub(crate) const FAILED_LOGIN: &str = "login/failed";
pub(crate) const LOGOUT: &str = "logout";

/// Failed logins that are kept one by one in a [`WINDOW`]; the rest of them is counted, so that nobody fills the store.
const EACH: u32 = 20;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How often old actions are removed.
const TRIM_EVERY: Duration = Duration::from_secs(3_600);
/// Actions that are removed in one step.
const TRIM_STEP: usize = 1_000;

/// Keeps what people and programs did.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: Failures,
    trims: Trims,
}

impl Audit {
    /// Keeps one action, after it was done or refused. It happened, whether it can be kept or not: what the store does not
    /// take is in the log alone, which says so.
    pub(crate) async fn record(&self, parts: &Parts, action: Action) {
        let counted = self.counted(parts);
        keep(parts, counted.into_iter().chain([action]).collect()).await;
        self.trim(parts).await;
    }

    /// Keeps a login that failed, or counts it where there were many.
    pub(crate) async fn failed(&self, parts: &Parts, action: Action) {
        let counted = self.counted(parts);
        let is_kept = self.state().failures.count(parts.clock.monotonic());
        let batch: Vec<Action> = counted.into_iter().chain(is_kept.then_some(action)).collect();
        if !batch.is_empty() {
            keep(parts, batch).await;
            self.trim(parts).await;
        }
    }

    /// What was only counted is kept before somebody looks, and what is too old goes.
    pub(crate) async fn settle(&self, parts: &Parts) {
        if let Some(counted) = self.counted(parts) {
            keep(parts, vec![counted]).await;
        }
        self.trim(parts).await;
    }

    /// How many logins failed beside those that were kept, once their window is over.
    fn counted(&self, parts: &Parts) -> Option<Action> {
        let more = self.state().failures.over(parts.clock.monotonic())?;
        let attempts = if more == 1 { "attempt" } else { "attempts" };
        Some(Action {
            at: parts.clock.now(),
            who: UNKNOWN.to_owned(),
            address: String::new(),
            what: FAILED_LOGIN.to_owned(),
            to: String::new(),
            outcome: format!("{more} more {attempts} to log in failed within 15 minutes."),
        })
    }

    async fn trim(&self, parts: &Parts) {
        let Some(store) = parts.results.audit() else { return };
        let now = parts.clock.monotonic();
        if !self.state().trims.begin(now) {
            return;
        }
        match store.trim(parts.clock.now().minus(KEEP), TRIM_STEP).await {
            Ok(TRIM_STEP) => self.state().trims.go_on(now),
            Ok(_) => {}
            Err(error) => tracing::warn!("old actions are not removed from the audit: {error}"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep(parts: &Parts, batch: Vec<Action>) {
    for action in &batch {
        let Action { at, who, address, what, to, outcome } = action.fitted();
        tracing::info!(target: "lovage::audit", %at, who, address, what, to, "{outcome}");
    }
    if let Some(store) = parts.results.audit()
        && let Err(error) = store.record(&batch).await
    {
        let count = batch.len();
        tracing::error!(target: "lovage::audit", "{count} of the audit could not be kept, and stand in this log alone: {error}");
    }
}

/// Failed logins of a window, which begins with the first of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Failures {
    since: Option<Duration>,
    kept: u32,
    /// Those that were not kept.
    more: u64,
}

impl Failures {
    /// Counts one at `now` (monotonic); answers whether it is to be kept by itself.
    fn count(&mut self, now: Duration) -> bool {
        self.since.get_or_insert(now);
        let is_kept = self.kept < EACH;
        if is_kept {
            self.kept += 1
        } else {
            self.more += 1
        }
        is_kept
    }

    /// Ends a window that is over; answers how many of it were not kept, if any.
    fn over(&mut self, now: Duration) -> Option<u64> {
        self.since.filter(|since| now.saturating_sub(*since) >= WINDOW)?;
        let ended = std::mem::take(self);
        (ended.more > 0).then_some(ended.more)
    }
}

/// When old actions are removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Trims {
    next: Duration,
}

impl Trims {
    /// Whether it is time, at `now` (monotonic).
    fn begin(&mut self, now: Duration) -> bool {
        let is_time = now >= self.next;
        if is_time {
            self.next = now + TRIM_EVERY;
        }
        is_time
    }

    /// There is more: the next action removes it.
    fn go_on(&mut self, now: Duration) {
        self.next = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn failures_are_kept_up_to_a_number_in_a_window_and_counted_beyond() {
        let mut failures = Failures::default();
        let kept = (0..10_000).filter(|_| failures.count(NOW)).count();
        assert_eq!(kept, 20);
        assert_eq!(failures.over(NOW + WINDOW - Duration::from_secs(1)), None);
        assert_eq!(failures.over(NOW + WINDOW), Some(9_980));
        assert_eq!(failures.over(NOW + WINDOW * 2), None, "it is told once");
        assert!(failures.count(NOW + WINDOW));
        assert_eq!(failures.over(NOW + WINDOW * 2), None, "nothing was left out");
    }

    #[test]
    fn old_actions_are_removed_once_an_hour_and_at_once_while_there_are_more() {
        let mut trims = Trims::default();
        assert!(trims.begin(NOW) && !trims.begin(NOW));
        trims.go_on(NOW);
        assert!(trims.begin(NOW) && !trims.begin(NOW + TRIM_EVERY / 2));
        assert!(trims.begin(NOW + TRIM_EVERY));
    }
}
