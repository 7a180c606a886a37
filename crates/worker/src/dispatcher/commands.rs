//! What a worker is told, by people and programs.

use std::sync::Arc;

use lovage_core::{QueueName, SlotKind, WorkerCommand, WorkerInfo};

use super::Dispatcher;
use crate::worker::{Phase, take_back};

/// Longest part of an unknown command in a log line, in bytes.
const LOGGED: usize = 200;

impl Dispatcher {
    /// Does what it is told. What it cannot do it says, in its log and in what it tells of itself.
    pub(super) fn obey(&mut self, command: WorkerCommand) {
        if !matches!(command, WorkerCommand::Unknown(_)) {
            tracing::info!("told to {command:?}");
        }
        let refused = match command {
            WorkerCommand::Quiet => {
                self.enter(Phase::Quiet);
                None
            }
            WorkerCommand::Shutdown { grace } => {
                self.parts.grace = grace.unwrap_or(self.parts.grace);
                self.enter(Phase::Stopping);
                None
            }
            WorkerCommand::Concurrency { slots } => self.resize(slots),
            WorkerCommand::AddQueue { queue, weight } => self.add_queue(&queue, weight),
            WorkerCommand::DropQueue { queue } => self.drop_queue(&queue),
            WorkerCommand::Unknown(what) => {
                let what = what.to_string();
                let shown = &what[..what.floor_char_boundary(LOGGED)];
                Some(format!("{shown} is not known to this version of Lovage: update this worker first"))
            }
        };
        if let Some(refused) = &refused {
            tracing::warn!("told what cannot be done: {refused}");
        }
        self.parts.info.refused = refused;
    }

    /// Fewer slots end nothing: what runs goes on, and the next one starts when fewer run than there are slots.
    fn resize(&mut self, slots: usize) -> Option<String> {
        if !(1..=WorkerInfo::MOST_SLOTS).contains(&slots) {
            return Some(format!(
                "a concurrency of {slots}: expected 1 to {}, it stays at {}",
                WorkerInfo::MOST_SLOTS,
                self.parts.info.concurrency
            ));
        }
        self.parts.info.concurrency = slots;
        self.hungry = true;
        None
    }

    fn add_queue(&mut self, queue: &QueueName, weight: u32) -> Option<String> {
        if !(1..=WorkerInfo::MOST_TURNS).contains(&weight) {
            return Some(format!(
                "the queue `{queue}` with a weight of {weight}: expected 1 to {}",
                WorkerInfo::MOST_TURNS
            ));
        }
        let is_new = !self.parts.turns.has(queue);
        self.parts.turns.add(queue, weight);
        self.parts.info.queues = self.parts.turns.all().to_vec();
        if is_new {
            tokio::spawn(take_back(
                Arc::clone(&self.parts.broker),
                vec![queue.clone()],
                self.parts.tasks.clone(),
            ));
        }
        // Only a look registers it as idle there.
        self.hungry = true;
        self.maintain = true;
        None
    }

    /// What waits here goes back, for others to run; what runs goes on. What a reservation that is under way brings goes
    /// back, too, where it comes in.
    fn drop_queue(&mut self, queue: &QueueName) -> Option<String> {
        if !self.parts.turns.has(queue) {
            return Some(format!("to leave the queue `{queue}`, which it does not take tasks of"));
        }
        if self.parts.turns.all().len() == 1 {
            return Some(format!(
                "to leave `{queue}`, its last queue: add another one first, or tell it to take nothing more"
            ));
        }
        self.parts.turns.remove(queue);
        self.parts.info.queues = self.parts.turns.all().to_vec();
        for kind in SlotKind::ALL {
            let waiting = std::mem::take(&mut self.waiting[kind.index()]);
            let (back, kept): (Vec<_>, Vec<_>) =
                waiting.into_iter().partition(|waiting| waiting.job.meta.queue == *queue);
            self.waiting[kind.index()] = kept.into();
            self.return_all(back);
        }
        None
    }
}
