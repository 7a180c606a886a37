//! Idle handles: whom to wake, and who watches the time.

use std::time::Duration;

use lovage_core::{Hint, Timestamp};

use super::{HandleId, Queue};

/// The one idle handle that was told to look again at an instant.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) handle: HandleId,
    pub(super) at: Timestamp,
}

/// What an operation did that idle handles may want to know.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) ready: bool,
    pub(super) due: Option<Timestamp>,
}

impl Queue {
    /// Forgets a handle: what it was going to do for this queue falls to another idle one. `hinted` says that it had
    /// not yet taken a hint of work.
    pub(crate) fn forget_handle(&mut self, handle: HandleId, hinted: bool) {
        self.idle.retain(|idle| *idle != handle);
        if self.timer.as_ref().is_some_and(|timer| timer.handle == handle) {
            self.timer = None;
            self.news.due = self.next_event();
        }
        self.news.ready |= hinted;
        self.nudge(None);
    }

    /// Wakes one idle handle if there is news for it, `prefer` when that one is idle.
    pub(crate) fn nudge(&mut self, prefer: Option<HandleId>) {
        let news = std::mem::take(&mut self.news);
        let work = news.ready && !self.ready.is_empty();
        let earlier = |due: Timestamp| self.timer.as_ref().is_none_or(|timer| due < timer.at);
        if self.paused || !(work || news.due.is_some_and(earlier)) {
            return;
        }
        let preferred = prefer.and_then(|handle| self.idle.iter().position(|idle| *idle == handle));
        if let Some(handle) = self.idle.remove(preferred.unwrap_or(0)) {
            self.outbox.push((handle, Hint::Work(self.name.clone())));
        }
    }

    /// When this handle should look again; only one idle handle is told the earliest instant.
    pub(super) fn next_check(&mut self, handle: HandleId, now: Timestamp) -> Option<Duration> {
        if self.paused {
            return None;
        }
        let at = self.next_event()?;
        let taken = |timer: &Timer| timer.handle != handle && now < timer.at && timer.at <= at;
        if self.timer.as_ref().is_some_and(taken) {
            return None;
        }
        self.timer = Some(Timer { handle, at });
        Some(at.since(now))
    }

    /// When something becomes due or a lease ends.
    pub(super) fn next_event(&self) -> Option<Timestamp> {
        let due = self.delayed.keys().next().map(|key| key.0);
        let lease = self.lease_ends.keys().next().map(|key| key.0);
        let lease = lease.map(|ends| self.no_reclaim_before.map_or(ends, |guard| guard.max(ends)));
        due.into_iter().chain(lease).min()
    }
}
