//! What runs: jobs that wait for a slot, their start, and the end of their run.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::{
    AckMode, Broker, QueueName, RunInfo, Settle, Settled, Settlement, SlotKind, TaskId, Token,
};
use tracing::Instrument as _;

use super::{Dispatcher, Event, Waiting};
use crate::control::Control;
use crate::executor::Run;
use crate::hooks::WorkerEvent;
use crate::plan::{End, Job, Ran};
use crate::vitals::Running;
use crate::worker::Phase;

impl Dispatcher {
    pub(super) fn start_waiting(&mut self, now: Duration) {
        if self.phase == Phase::Stopping {
            self.return_waiting();
            return;
        }
        for kind in SlotKind::ALL {
            while self.free(kind) > 0
                && let Some(Waiting { token, job, .. }) = self.waiting[kind.index()].pop_front()
            {
                self.taken[kind.index()] += 1;
                self.rates[kind.index()].started(now);
                self.start(token, job, kind);
            }
        }
    }

    pub(super) fn start(&mut self, token: Token, job: Box<Job>, kind: SlotKind) {
        let delivery = &job.meta.delivery;
        let id = delivery.id;
        tracing::info!("task {}[{id}] received", job.meta.task);
        self.tell_of(|| WorkerEvent::Received {
            id,
            task: job.meta.task.clone(),
            queue: job.meta.queue.clone(),
        });
        let Some(reservation) = self.reservations.get(&token) else {
            // Its lease was lost while it waited.
            self.free_slot(kind);
            return;
        };
        if reservation.lease.has_passed(self.parts.clock.now()) {
            // This process was frozen, or the answer was long on its way: somebody else may be running it already.
            self.outages.leases.failed(format_args!("task [{id}] is given back unstarted"));
            self.free_slot(kind);
            self.give_back(token, &job.meta.queue, id);
            return;
        }
        let early = job.ack == AckMode::Early;
        let lease = (!early).then(|| Arc::clone(&reservation.lease));
        let control = Control::new(lease, Arc::clone(&self.news));
        let info = Arc::new(run_info(&job, &self.parts.defaults.worker));
        let started_at = self.parts.clock.now();
        let mut running = Running::new(Arc::clone(&control), Arc::clone(&info), started_at, kind);
        running.holds_lease = !early;
        self.parts.vitals.started(token, id, running);
        let span = tracing::info_span!("task", name = job.def.name, %id, attempt = info.attempt, queue = %info.queue);
        let (hooks, clock, events) =
            (self.parts.hooks.clone(), Arc::clone(&self.parts.clock), self.parts.events.clone());
        let early = early.then(|| (Arc::clone(&self.parts.broker), job.meta.queue.clone()));
        let run =
            Run { job, info: Arc::clone(&info), states: Arc::clone(&self.parts.states), control, clock };
        let task = async move {
            if let Some((broker, queue)) = early {
                if let Err(end) = settle_early(&*broker, &queue, token, id).await {
                    let (job, ran) = run.not_run();
                    let _gone = events.send(Event::Ended(job, end, ran, token));
                    return;
                }
                let _gone = events.send(Event::SettledEarly(token));
            }
            hooks.before(&info);
            let (job, end, ran) = run.run().await;
            // The loop may have ended already; then nobody waits for this run.
            let _gone = events.send(Event::Ended(job, end, ran, token));
        };
        tokio::spawn(task.instrument(span));
    }

    pub(super) fn ended(&mut self, job: Job, end: End, ran: Ran, token: Token) {
        let id = job.meta.delivery.id;
        let info = match self.parts.vitals.ended(token, id) {
            Some(running) => {
                self.free_slot(running.kind);
                if running.control.thread.abandon() {
                    self.abandon(&running, ran);
                }
                running.info
            }
            None => Arc::new(run_info(&job, &self.parts.defaults.worker)),
        };
        let early = job.ack == AckMode::Early;
        // What was settled before its run cannot be given back.
        let end =
            if early && matches!(end, End::GivenBack) && job.args.is_none() { End::Revoked } else { end };
        let policy = job.policy();
        let hooks = self.parts.hooks.clone();
        // Only the delay of a retry is random, and randomness is a call to the operating system.
        let random = if matches!(end, End::Failed(_)) { self.parts.entropy.next_u64() } else { 0 };
        match Job::ended(job.meta, &policy, end, ran, random, &self.parts.defaults) {
            Some(mut ending) => {
                if let Some(error) = &ending.error {
                    hooks.failed(&info, error);
                }
                hooks.after(&info, ending.state);
                if early {
                    ending.settle = Settle::Ack;
                }
                self.finish(token, ending, Some(ran), early);
            }
            None => self.forget(token, id),
        }
    }

    /// Slots of a kind that nothing runs in; none while more run than there are slots now.
    pub(super) fn free(&self, kind: SlotKind) -> usize {
        let (slots, abandoned) = match kind {
            SlotKind::Blocking => (self.parts.info.blocking, self.abandoned.slots()),
            SlotKind::Async | _ => (self.parts.info.concurrency, 0),
        };
        slots.saturating_sub(self.taken[kind.index()] + abandoned)
    }

    pub(super) fn free_slot(&mut self, kind: SlotKind) {
        self.taken[kind.index()] -= 1;
    }
}

fn run_info(job: &Job, worker: &str) -> RunInfo {
    let delivery = &job.meta.delivery;
    RunInfo {
        id: delivery.id,
        task: job.meta.task.clone(),
        queue: job.meta.queue.clone(),
        attempt: delivery.attempt + 1,
        delivery: delivery.delivery,
        run: delivery.run,
        worker: worker.to_owned(),
        published_at: delivery.published_at,
        headers: job.meta.headers.clone(),
    }
}

/// At most once: settled before the run. When that does not work the task is not run here.
async fn settle_early(broker: &dyn Broker, queue: &QueueName, token: Token, id: TaskId) -> Result<(), End> {
    match broker.settle(queue, token, &[Settlement { id, how: Settle::Ack }], None).await {
        Ok(answers) if answers.first() == Some(&Settled::Applied) => Ok(()),
        Ok(_) => Err(End::LeaseLost),
        Err(error) => {
            tracing::warn!(
                "task [{id}] is not started, because it cannot be settled before its run: {error}"
            );
            Err(End::LeaseLost)
        }
    }
}
