//! What comes from outside: lost leases, revocations, hints.

use std::time::Duration;

use lovage_core::{Hint, TaskId, Token};

use super::{Dispatcher, Waiting};
use crate::control::Stop;
use crate::fetcher::pass_on;
use crate::plan::{End, Job, Ran};
use crate::worker::Phase;

impl Dispatcher {
    pub(super) fn leases(&mut self, lost: &[Token], revoked: &[TaskId]) {
        for token in lost {
            let Some(reservation) = self.reservations.get(token) else { continue };
            if reservation.left == 0 {
                continue;
            }
            self.outages
                .leases
                .failed(format_args!("its tasks of {} stop here, others run them", reservation.queue));
            self.waiting.iter_mut().for_each(|waiting| waiting.retain(|job| job.token != *token));
            self.parts.vitals.stop(Stop::LeaseLost, |held, _, run| held == *token && run.holds_lease);
            self.release(*token);
        }
        revoked.iter().for_each(|id| self.revoke(*id));
    }

    pub(super) fn revoke(&mut self, id: TaskId) {
        self.parts.vitals.stop(Stop::Revoked, |_, running, _| running == id);
        // One that still waits here ends without a run.
        let removed = self.waiting.iter_mut().find_map(|waiting| {
            let at = waiting.iter().position(|waiting| waiting.job.meta.delivery.id == id)?;
            waiting.remove(at)
        });
        if let Some(Waiting { token, job, .. }) = removed {
            let now = self.parts.clock.now();
            let ran = Ran { started_at: now, finished_at: now, run_time: Duration::ZERO, exceeded: None };
            let policy = job.policy();
            if let Some(ending) = Job::ended(job.meta, &policy, End::Revoked, ran, 0, &self.parts.defaults) {
                self.end(token, ending, None);
            }
        }
    }

    pub(super) fn hint(&mut self, hint: Hint) {
        match hint {
            Hint::Work(queue) if self.parts.turns.has(&queue) => {
                self.hungry = true;
                // Without a free slot it looks at the queue later, and another idle worker may have one now.
                if self.want(self.parts.clock.monotonic()).is_none() && self.phase < Phase::Stopping {
                    drop(tokio::spawn(pass_on(self.fetcher(), queue)));
                }
            }
            Hint::Work(queue) => drop(tokio::spawn(pass_on(self.fetcher(), queue))),
            Hint::Revoked(id) => self.revoke(id),
            Hint::Command => self.timers.beat = Duration::ZERO,
            Hint::Everything => {
                self.hungry = true;
                self.maintain = true;
                self.timers.beat = Duration::ZERO;
            }
        }
    }
}
