//! The way to the end: phases, the grace period, and signing off.

use std::collections::VecDeque;
use std::time::Duration;

use super::Dispatcher;
use crate::control::Stop;
use crate::hooks::WorkerEvent;
use crate::worker::Phase;

/// How long a stopping worker waits for its last settlements after everything ended.
const LAST_SETTLE: Duration = Duration::from_secs(5);

impl Dispatcher {
    pub(super) fn enter(&mut self, phase: Phase) {
        if phase <= self.phase {
            return;
        }
        let now = self.parts.clock.monotonic();
        match phase {
            Phase::Running => return,
            Phase::Quiet => tracing::info!("quiet: no new tasks are reserved"),
            Phase::Stopping => {
                tracing::info!(
                    "stopping: waiting up to {} for {} tasks",
                    lovage_core::format_duration(self.parts.grace),
                    self.parts.vitals.running()
                );
                self.timers.deadline = Some(now + self.parts.grace);
            }
            Phase::StoppingNow => {
                let running = self.parts.vitals.running();
                tracing::info!("stopping now: {running} running tasks are given back");
                self.timers.deadline = Some(now);
            }
        }
        if phase >= Phase::Stopping {
            self.parts.vitals.shut_down();
        }
        self.phase = phase.min(Phase::Stopping);
    }

    /// The grace period is over: what runs is given back. A second time: settlements have had their time.
    pub(super) fn cut_off(&mut self, now: Duration) {
        self.parts.vitals.stop(Stop::GiveBack, |_, _, _| true);
        if self.summary.cut_off {
            self.summary.unsettled = self.unsettled;
            self.unsettled = 0;
            self.checking = 0;
            self.parts.vitals.give_up();
        }
        self.summary.cut_off = true;
        self.timers.deadline = Some(now + LAST_SETTLE);
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.phase == Phase::Stopping
            && !self.fetching
            && self.parts.vitals.running() == 0
            && self.waiting.iter().all(VecDeque::is_empty)
            && self.checking == 0
            && self.unsettled == 0
    }

    pub(super) async fn sign_off(&mut self) {
        if self.abandoned.count() > 0 {
            tracing::warn!("the worker stops while abandoned threads run: {}", self.abandoned.count());
        }
        let worker = self.parts.info.id;
        let patience = self.parts.clock.sleep(Duration::from_secs(1));
        tokio::select! {
            answer = self.parts.broker.sign_off(worker) => if let Err(error) = answer {
                tracing::debug!("not signed off: {error}");
            },
            () = patience => {}
        }
        self.tell(&WorkerEvent::Stopped);
    }
}
