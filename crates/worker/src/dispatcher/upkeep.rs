//! What is done by the clock: heartbeats with what they bring back, and the cleaning up of results.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::stats::Tally;
use lovage_core::{
    ActiveTask, BackendError, Heartbeat, ResultStore, TaskRecord, WorkerCommand, WorkerInfo, WorkerMode,
};

use super::{Dispatcher, Event};
use crate::settler::backoff;
use crate::stats::{self, FLUSH};
use crate::worker::Phase;

const HEARTBEAT: Duration = Duration::from_secs(5);
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
        self.timers.beat = Duration::MAX;
        self.maintain = true;
        self.look_at_queues();
        let info = self.info();
        let (broker, ttl) = (Arc::clone(&self.parts.broker), HEARTBEAT * 3);
        self.spawn(async move { Event::Beat(broker.heartbeat(&info, ttl, None).await) });
    }

    pub(super) fn beat_answered(&mut self, answer: Result<Heartbeat, BackendError>) {
        // A command that came while a beat was under way asked for another one.
        self.beating = false;
        let asked_again = self.timers.beat == Duration::ZERO;
        let now = self.parts.clock.monotonic();
        match answer {
            Ok(answer) => {
                // Many workers beat less often: the broker gets at most 20 heartbeats a second.
                let crowd =
                    Duration::from_millis(50) * u32::try_from(answer.live_workers).unwrap_or(u32::MAX);
                self.timers.beat = now + HEARTBEAT.max(crowd);
                for command in answer.commands {
                    tracing::info!("told to {command:?}");
                    match command {
                        WorkerCommand::Quiet => self.enter(Phase::Quiet),
                        WorkerCommand::Shutdown { grace } => {
                            self.parts.grace = grace.unwrap_or(self.parts.grace);
                            self.enter(Phase::Stopping);
                        }
                    }
                }
            }
            Err(error) => {
                tracing::debug!("no heartbeat: {error}");
                self.timers.beat = now + backoff(4, &*self.parts.entropy);
            }
        }
        if asked_again {
            self.timers.beat = now;
        }
    }

    pub(super) fn info(&self) -> WorkerInfo {
        let mut active: Vec<ActiveTask> = self
            .running
            .iter()
            .map(|((_, id), running)| ActiveTask {
                id: *id,
                task: running.info.task.clone(),
                queue: running.info.queue.clone(),
                started_at: running.started_at,
            })
            .collect();
        active.sort_unstable_by_key(|task| (task.started_at, task.id));
        active.truncate(1_000);
        WorkerInfo {
            mode: match self.phase {
                Phase::Running => WorkerMode::Running,
                Phase::Quiet => WorkerMode::Quiet,
                Phase::Stopping | Phase::StoppingNow => WorkerMode::Stopping,
            },
            active,
            reserved: self.waiting.len(),
            succeeded: self.summary.succeeded,
            failed: self.summary.failed,
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
        let is_busy = !self.running.is_empty() || !self.waiting.is_empty();
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
