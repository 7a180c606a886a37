//! Idle handles: whom to wake, and who watches the time.

use std::time::Duration;

use lovage_core::{Hint, RateLimit, Timestamp};

use super::{HandleId, Queue};

/// A handle that found nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    pub(super) handle: HandleId,
    /// The slot kinds that it wants: bits of `SlotWants::kinds`.
    pub(super) kinds: u8,
}

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
        self.idle.retain(|idle| idle.handle != handle);
        if self.timer.as_ref().is_some_and(|timer| timer.handle == handle) {
            self.timer = None;
            self.news.due = self.next_event();
        }
        self.news.ready |= hinted;
        self.nudge(None);
    }

    /// Wakes one idle handle if there is news for it, `prefer` when that one is idle.
    pub(crate) fn nudge(&mut self, prefer: Option<HandleId>) {
        let mut news = std::mem::take(&mut self.news);
        let mut work = news.ready && !self.ready.is_empty();
        // Without a token it is of no use before the next one.
        if work && let Some(token) = self.next_token() {
            work = false;
            news.due = news.due.into_iter().chain([token]).min();
        }
        let earlier = |due: Timestamp| self.timer.as_ref().is_none_or(|timer| due < timer.at);
        let due = news.due.is_some_and(earlier);
        if self.paused {
            return;
        }
        let ready = |idle: &Idle| work && self.ready.has_for(idle.kinds);
        let is_preferred = |idle: &Idle| prefer == Some(idle.handle);
        let first = |suits: &dyn Fn(&Idle) -> bool| {
            let preferred = self.idle.iter().position(|idle| is_preferred(idle) && suits(idle));
            preferred.or_else(|| self.idle.iter().position(suits))
        };
        // Any handle can keep the time.
        let woken = first(&ready).or_else(|| if due { first(&|_| true) } else { None });
        self.wake(woken);
    }

    /// After a reservation that found nothing: wakes an idle handle for messages that are kept for kinds which the
    /// reservation did not want. Suspects do not count, because handles that do not ask for them would wake each other.
    pub(super) fn nudge_for_others(&mut self, wanted: u8) {
        let kinds = self.ready.kept_kinds() & !wanted;
        if !self.paused && self.next_token().is_none() {
            self.wake(self.idle.iter().position(|idle| idle.kinds & kinds != 0));
        }
    }

    fn wake(&mut self, position: Option<usize>) {
        if let Some(idle) = position.and_then(|at| self.idle.remove(at)) {
            self.outbox.push((idle.handle, Hint::Work(self.name.clone())));
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

    /// When something becomes due, a lease ends, or a token is there for what is ready.
    pub(super) fn next_event(&self) -> Option<Timestamp> {
        let token = self.next_token().filter(|_| !self.ready.is_empty());
        let due = self.delayed.keys().next().map(|key| key.0);
        let lease = self.lease_ends.keys().next().map(|key| key.0);
        let lease = lease.map(|ends| self.no_reclaim_before.map_or(ends, |guard| guard.max(ends)));
        due.into_iter().chain(lease).chain(token).min()
    }

    /// Whether a reservation would be handed something.
    pub(super) fn hands_out(&self, now: Timestamp) -> bool {
        let has_token = self.limit.as_ref().is_none_or(|bucket| bucket.tokens(now) > 0);
        !self.paused && !self.ready.is_empty() && has_token
    }

    /// When the next token is there, if none was after the last reservation.
    fn next_token(&self) -> Option<Timestamp> {
        self.limit.as_ref().and_then(|bucket| bucket.empty_until)
    }
}

/// The tokens of a queue with a rate limit.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) limit: RateLimit,
    /// When all tokens are back.
    spent: Timestamp,
    /// When the next token is there, if none was after the last reservation.
    empty_until: Option<Timestamp>,
}

impl Bucket {
    pub(super) fn full(limit: RateLimit) -> Self {
        Self { limit, spent: Timestamp::from_micros(0), empty_until: None }
    }

    pub(super) fn tokens(&self, now: Timestamp) -> usize {
        self.limit.tokens(self.spent, now)
    }

    pub(super) fn spend(&mut self, now: Timestamp, count: usize) {
        self.spent = self.limit.spend(self.spent, now, count);
        self.empty_until = Some(self.limit.next_token(self.spent)).filter(|at| *at > now);
    }

    /// Takes back the token of a message that was not handed out.
    pub(super) fn refund(&mut self, now: Timestamp) {
        self.spent = self.limit.refund(self.spent, 1);
        self.empty_until = Some(self.limit.next_token(self.spent)).filter(|at| *at > now);
    }
}
