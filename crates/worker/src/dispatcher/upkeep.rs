//! What is done by the clock: heartbeats with what they bring back, and the cleaning up of results.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::{ActiveTask, BackendError, Heartbeat, WorkerCommand, WorkerInfo, WorkerMode};

use super::{Dispatcher, Event};
use crate::settler::backoff;
use crate::worker::Phase;

const HEARTBEAT: Duration = Duration::from_secs(5);
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

    pub(super) fn expire_results(&self) {
        let Some(results) = self.parts.results.clone() else { return };
        tokio::spawn(async move {
            match results.expire(EXPIRE_LIMIT, None).await {
                Ok(0) => {}
                Ok(count) => tracing::debug!(count, "removed results whose time to live has ended"),
                Err(error) => tracing::debug!("results are not cleaned up: {error}"),
            }
        });
    }
}
