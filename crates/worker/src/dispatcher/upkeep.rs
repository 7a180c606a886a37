//! What is done by the clock: heartbeats with what they bring back, and the cleaning up of results.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lovage_core::stats::Tally;
use lovage_core::{BackendError, Heartbeat, ResultStore, TaskRecord, WorkerInfo, WorkerMode};

use super::{Dispatcher, Event};
use crate::settler::backoff;
use crate::stats::{self, FLUSH};
use crate::worker::Phase;

/// What changed is told this long after the last heartbeat at the earliest, and so are many changes at once.
const NEWS: Duration = Duration::from_secs(1);
/// How long a worker that stops waits until its last counts are added.
const LAST_ADD: Duration = Duration::from_secs(1);
/// Rows removed at a time.
const EXPIRE_LIMIT: usize = 1_000;

impl Dispatcher {
    pub(super) fn beat(&mut self) {
        if std::mem::replace(&mut self.beating, true) {
            self.timers.beat = Duration::MAX;
            return;
        }
        let now = self.parts.clock.monotonic();
        (self.timers.beat, self.timers.beaten) = (Duration::MAX, now);
        // One that only tells news costs one request and no more.
        if now + NEWS >= self.timers.upkeep {
            self.timers.upkeep = Duration::MAX;
            self.maintain = true;
            self.look_at_queues();
        }
        self.has_news = false;
        self.news.taken();
        let (broker, ttl) = (Arc::clone(&self.parts.broker), self.timers.period * 3);
        let info = self.info();
        let info = self.parts.vitals.say(info, ttl);
        self.spawn(async move { Event::Beat(broker.heartbeat(&info, ttl, None).await) });
    }

    pub(super) fn beat_answered(&mut self, answer: Result<Heartbeat, BackendError>) {
        // A command that came while a beat was under way asked for another one.
        self.beating = false;
        let asked_again = self.timers.beat == Duration::ZERO;
        let now = self.parts.clock.monotonic();
        match answer {
            Ok(answer) => {
                self.timers.period = WorkerInfo::heartbeat_every(answer.live_workers);
                if self.timers.upkeep == Duration::MAX {
                    self.timers.upkeep = now + self.timers.period;
                }
                self.timers.beat = self.timers.upkeep;
                if !answer.commands.is_empty() {
                    answer.commands.into_iter().for_each(|command| self.obey(command));
                    // Whoever said it wants to see what became of it.
                    self.timers.beat = now;
                }
            }
            Err(error) => {
                tracing::debug!("no heartbeat: {error}");
                self.timers.upkeep = now + backoff(4, &*self.parts.entropy);
                self.timers.beat = self.timers.upkeep;
            }
        }
        if asked_again {
            self.timers.beat = now;
        } else if self.has_news {
            self.hasten();
        }
    }

    /// A run told how far it is, or blocks its thread.
    pub(super) fn has_news(&mut self) {
        self.has_news = true;
        if !self.beating {
            self.hasten();
        }
    }

    /// The next heartbeat comes as soon as it may: of many workers, too, the broker gets few.
    fn hasten(&mut self) {
        let pause = NEWS.max(self.timers.period.saturating_sub(WorkerInfo::HEARTBEAT));
        self.timers.beat = self.timers.beat.min(self.timers.beaten + pause);
    }

    fn info(&mut self) -> WorkerInfo {
        let (memory, cpu) = self.parts.vitals.measure(&*self.parts.clock);
        WorkerInfo {
            mode: match self.phase {
                Phase::Running => WorkerMode::Running,
                Phase::Quiet => WorkerMode::Quiet,
                Phase::Stopping | Phase::StoppingNow => WorkerMode::Stopping,
            },
            active: self.parts.vitals.active(),
            reserved: self.waiting.iter().map(VecDeque::len).sum(),
            succeeded: self.summary.succeeded,
            failed: self.summary.failed,
            memory,
            cpu,
            unrunnable: self.given_back.told(self.parts.clock.monotonic()),
            abandoned: self.abandoned.shown(),
            ..self.parts.info.clone()
        }
    }

    /// Counts an end, where somebody keeps what is counted.
    pub(super) fn count(&mut self, record: &TaskRecord) {
        if self.parts.results.as_ref().is_none_or(|results| results.stats().is_none()) {
            return;
        }
        self.counting.count(record);
        if self.timers.count == Duration::MAX && !self.adding {
            self.timers.count = self.parts.clock.monotonic() + FLUSH;
        }
    }

    pub(super) fn add_counted(&mut self) {
        self.timers.count = Duration::MAX;
        let Some(results) = self.parts.results.clone() else { return };
        let batch = self.counting.take();
        self.adding = true;
        self.spawn(async move {
            let Some(stats) = results.stats() else { return Event::Counted(Vec::new()) };
            Event::Counted(stats::add(stats, batch).await)
        });
    }

    pub(super) fn counted(&mut self, left: Vec<Tally>) {
        self.adding = false;
        self.counting.added(left);
        // What was counted meanwhile, or is left, goes with the next ones.
        if !self.counting.is_empty() {
            self.timers.count = self.parts.clock.monotonic() + FLUSH;
        }
    }

    /// Before the end. A store that does not answer keeps nobody from stopping.
    pub(super) async fn add_the_last(&mut self) {
        let batch = self.counting.take();
        let Some(stats) = self.parts.results.as_deref().and_then(ResultStore::stats) else { return };
        if batch.is_empty() {
            return;
        }
        tokio::select! {
            _left = stats::add(stats, batch) => {}
            () = self.parts.clock.sleep(LAST_ADD) => {}
        }
    }

    /// Once per minute, by a worker that works: the depths of its queues, for charts. One that has nothing to do asks nobody.
    fn look_at_queues(&mut self) {
        let Some(results) = self.parts.results.clone().filter(|results| results.stats().is_some()) else {
            return;
        };
        let now = self.parts.clock.now();
        let is_busy =
            self.parts.vitals.running() > 0 || self.waiting.iter().any(|waiting| !waiting.is_empty());
        if !self.counting.wants_look(is_busy, now) {
            return;
        }
        let (broker, queues) = (Arc::clone(&self.parts.broker), self.parts.turns.all().to_vec());
        tokio::spawn(async move {
            if let Some(stats) = results.stats()
                && let Err(error) = stats::look(&*broker, stats, &queues, now).await
            {
                tracing::debug!("the depths of queues are not kept: {error}");
            }
        });
    }

    pub(super) fn expire_results(&mut self, now: Duration) {
        let Some(results) = self.parts.results.clone() else { return };
        let trim = self.counting.wants_trim(now).then(|| self.parts.clock.now());
        tokio::spawn(async move {
            if let (Some(now), Some(stats)) = (trim, results.stats())
                && let Err(error) = stats::trim(stats, now).await
            {
                tracing::debug!("statistics are not trimmed: {error}");
            }
            match results.expire(EXPIRE_LIMIT, None).await {
                Ok(0) => {}
                Ok(count) => tracing::debug!(count, "removed results whose time to live has ended"),
                Err(error) => tracing::debug!("results are not cleaned up: {error}"),
            }
        });
    }
}
