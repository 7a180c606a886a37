//! How messages go out: an end is logged, told and handed to the settler; a settled one is no longer ours.

use std::time::Duration;

use lovage_core::{Outcome, QueueName, Settle, Settlement, TaskId, TaskState, Token};

use super::Dispatcher;
use crate::hooks::WorkerEvent;
use crate::plan::{Ending, Ran};
use crate::settler::Item;
use crate::stats::waited;

/// Longest part of a result in a log line, in bytes.
const LOGGED: usize = 200;

impl Dispatcher {
    pub(super) fn end(&mut self, token: Token, ending: Ending, ran: Option<Ran>) {
        self.finish(token, ending, ran, false);
    }

    /// Logs an end, tells of it, and hands it to the settler.
    pub(super) fn finish(&mut self, token: Token, ending: Ending, ran: Option<Ran>, settled_early: bool) {
        self.log(&ending, ran);
        let id = ending.meta.delivery.id;
        if let Some(record) = &ending.record {
            self.count(record);
        }
        self.remember_misfit(&ending);
        match ending.state {
            TaskState::Success => self.summary.succeeded += 1,
            TaskState::Failure | TaskState::Retry => self.summary.failed += 1,
            TaskState::Pending
            | TaskState::Scheduled
            | TaskState::Started
            | TaskState::Revoked
            | TaskState::Expired
            | TaskState::Discarded => {}
        }
        self.tell_of(|| match &ending.settle {
            Settle::GiveBack { .. } | Settle::Unstarted { .. } => WorkerEvent::GivenBack { id },
            Settle::Ack | Settle::Retry { .. } | Settle::DeadLetter { .. } => WorkerEvent::Ended {
                id,
                task: ending.meta.task.clone(),
                queue: ending.meta.queue.clone(),
                state: ending.state,
                run_time: ran.map(|ran| ran.run_time),
                waited: ending.record.as_ref().and_then(waited),
            },
        });
        let settlement = (!settled_early).then_some(Settlement { id, how: ending.settle });
        self.hand_over(Item { queue: ending.meta.queue, token, id, record: ending.record, settlement });
    }

    /// What this worker cannot run is told with the next heartbeats, of a new kind soon.
    fn remember_misfit(&mut self, ending: &Ending) {
        let (Some(misfit), Settle::GiveBack { after, .. }) = (ending.misfit, &ending.settle) else { return };
        let due = self.parts.clock.monotonic() + *after;
        if self.given_back.add(&ending.meta, misfit, due, self.timers.period) {
            self.has_news();
        }
    }

    pub(super) fn settle_only(&mut self, token: Token, queue: &QueueName, id: TaskId, how: Settle) {
        self.hand_over(Item {
            queue: queue.clone(),
            token,
            id,
            record: None,
            settlement: Some(Settlement { id, how }),
        });
    }

    /// Unstarted: it costs no attempt, and whoever is free gets it at once.
    pub(super) fn give_back(&mut self, token: Token, queue: &QueueName, id: TaskId) {
        self.settle_only(token, queue, id, Settle::GiveBack { after: Duration::ZERO, refused: false });
    }

    pub(super) fn hand_over(&mut self, item: Item) {
        self.unsettled += 1;
        // The settler lives as long as this loop.
        let _lives = self.parts.settler.send(item);
    }

    pub(super) fn settled(&mut self, done: &[(Token, TaskId, bool)]) {
        self.unsettled = self.unsettled.saturating_sub(done.len());
        // What was only recorded was settled before its run, and left its reservation then.
        for (token, _, _) in done.iter().filter(|(_, _, settled)| *settled) {
            self.release_one(*token);
        }
        // What was just reserved while the bound was reached may go on.
        self.hungry |= self.failures == 0;
    }

    pub(super) fn release_one(&mut self, token: Token) {
        let Some(reservation) = self.reservations.get_mut(&token) else { return };
        reservation.left = reservation.left.saturating_sub(1);
        if reservation.left == 0 {
            self.release(token);
        }
    }

    pub(super) fn release(&mut self, token: Token) {
        if let Some(reservation) = self.reservations.remove(&token) {
            self.suspects -= usize::from(reservation.suspect);
            self.parts.holdings.release(token);
        }
    }

    /// A task that is no longer ours.
    pub(super) fn forget(&mut self, token: Token, id: TaskId) {
        self.outages.leases.failed(format_args!("the outcome of task [{id}] is dropped"));
        self.tell_of(|| WorkerEvent::LeaseLost { id });
        self.release_one(token);
    }

    pub(super) fn log(&self, ending: &Ending, ran: Option<Ran>) {
        let (task, id) = (&ending.meta.task, ending.meta.delivery.id);
        if let Some(warning) = ending.record.as_ref().and_then(|record| record.warning.as_ref()) {
            tracing::warn!("task {task}[{id}] succeeded, but {warning}");
        }
        let error = || ending.error.as_ref().map(ToString::to_string).unwrap_or_default();
        match (&ending.settle, ending.state) {
            (Settle::GiveBack { after, refused: true }, _) => {
                tracing::warn!(
                    "task {task}[{id}] given back for {}: {}",
                    lovage_core::format_duration(*after),
                    error()
                );
            }
            (Settle::GiveBack { .. } | Settle::Unstarted { .. }, _) => {
                tracing::info!("task {task}[{id}] given back");
            }
            (Settle::Retry { after, .. }, _) => {
                tracing::warn!("task {task}[{id}] retry in {:.1}s: {}", after.as_secs_f64(), error());
            }
            (_, TaskState::Success) if tracing::enabled!(tracing::Level::INFO) => {
                let seconds = ran.map_or(0.0, |ran| ran.run_time.as_secs_f64());
                let value = ending.record.as_ref().map_or("", |record| match &record.outcome {
                    Outcome::Result(json) => json,
                    Outcome::Marker(why) => why,
                    Outcome::None | Outcome::Error(_) => "(not stored)",
                });
                let shown = &value[..value.floor_char_boundary(LOGGED)];
                let cut = if shown.len() < value.len() { "…" } else { "" };
                tracing::info!("task {task}[{id}] succeeded in {seconds:.6}s: {shown}{cut}");
            }
            (_, TaskState::Success) => {}
            (Settle::DeadLetter { reason, .. }, _) => {
                tracing::error!(
                    "task {task}[{id}] failed: {} ({}, kept as a dead letter)",
                    error(),
                    reason.as_str()
                );
            }
            (Settle::Ack, TaskState::Failure) => tracing::error!("task {task}[{id}] failed: {}", error()),
            (Settle::Ack, state) => tracing::info!("task {task}[{id}] {}: {}", state.as_str(), error()),
        }
    }
}
