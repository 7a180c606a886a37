//! Everything that a store knows: its queues, the inboxes of its handles and the registry of workers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lovage_core::{
    Cancelled, Heartbeat, Hidden, Hint, Message, Published, QueueName, StoredMessage, TaskId, Timestamp,
    WorkerCommand, WorkerId, WorkerInfo,
};
use tokio::sync::Notify;

use crate::queue::{HandleId, Queue};

#[derive(Debug, Default)]
pub(crate) struct State {
    queues: BTreeMap<QueueName, Queue>,
    inboxes: BTreeMap<HandleId, Inbox>,
    workers: BTreeMap<WorkerId, Registration>,
    hidden: Hidden,
    last_id: u64,
}

#[derive(Debug)]
struct Inbox {
    hints: VecDeque<Hint>,
    arrived: Arc<Notify>,
}

#[derive(Debug)]
struct Registration {
    info: WorkerInfo,
    until: Timestamp,
    handle: HandleId,
    commands: Vec<WorkerCommand>,
}

impl State {
    pub(crate) fn open_handle(&mut self, arrived: Arc<Notify>) -> HandleId {
        let id = self.next_id();
        self.inboxes.insert(id, Inbox { hints: VecDeque::new(), arrived });
        id
    }

    pub(crate) fn close_handle(&mut self, handle: HandleId) {
        let Some(inbox) = self.inboxes.remove(&handle) else { return };
        for (name, queue) in &mut self.queues {
            queue.forget_handle(handle, inbox.hints.iter().any(|hint| *hint == Hint::Work(name.clone())));
        }
        self.deliver();
    }

    pub(crate) fn take_hint(&mut self, handle: HandleId) -> Option<Hint> {
        self.inboxes.get_mut(&handle)?.hints.pop_front()
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(crate) fn publish(&mut self, batch: &[Message], now: Timestamp) -> Vec<Published> {
        let answers =
            batch.iter().map(|message| self.queue_or_new(&message.queue).publish(message, now)).collect();
        // Once for the whole batch: the one that is woken wakes the next.
        self.queues.values_mut().for_each(|queue| queue.nudge(None));
        self.deliver();
        answers
    }

    /// Does something with a queue, which is registered if it was not known, and sends out the hints that follow.
    pub(crate) fn with_new<T>(&mut self, name: &QueueName, act: impl FnOnce(&mut Queue) -> T) -> T {
        let result = act(self.queue_or_new(name));
        self.deliver();
        result
    }

    /// Does something with a queue if it is known, and sends out the hints that follow.
    pub(crate) fn with<T>(&mut self, name: &QueueName, act: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        let result = act(self.queues.get_mut(name)?);
        self.deliver();
        Some(result)
    }

    pub(crate) fn queue(&self, name: &QueueName) -> Option<&Queue> {
        self.queues.get(name)
    }

    pub(crate) fn queue_names(&self) -> Vec<QueueName> {
        self.queues.keys().cloned().collect()
    }

    pub(crate) fn find(&self, id: TaskId, queue: Option<&QueueName>) -> Option<StoredMessage> {
        match queue {
            Some(name) => self.queues.get(name)?.find(id),
            None => self.queues.values().find_map(|queue| queue.find(id)),
        }
    }

    pub(crate) fn cancel(&mut self, id: TaskId, queue: Option<&QueueName>) -> Cancelled {
        let asked = self.asked(queue).map(|queue| queue.cancel(id));
        let found = asked.into_iter().find(|cancelled| *cancelled != Cancelled::NotFound);
        self.deliver();
        found.unwrap_or(Cancelled::NotFound)
    }

    pub(crate) fn promote(&mut self, id: TaskId, queue: Option<&QueueName>) -> bool {
        let promoted = self.asked(queue).any(|queue| queue.promote(id));
        self.deliver();
        promoted
    }

    pub(crate) fn heartbeat(
        &mut self,
        handle: HandleId,
        info: &WorkerInfo,
        ttl: Duration,
        now: Timestamp,
    ) -> Heartbeat {
        self.workers.retain(|id, worker| worker.until > now || *id == info.id);
        // A clock that was set back must not stretch a registration.
        for worker in self.workers.values_mut().filter(|worker| worker.info.seen_at > now) {
            worker.until = now.plus(worker.until.since(worker.info.seen_at));
            worker.info.seen_at = now;
        }
        let info = WorkerInfo { seen_at: now, ..info.clone() };
        let until = now.plus(ttl);
        if !self.workers.contains_key(&info.id) {
            self.hidden.learn(&info.tasks);
        }
        let commands = self.workers.remove(&info.id).filter(|old| old.until > now).map(|old| old.commands);
        self.workers.insert(info.id, Registration { info, until, handle, commands: Vec::new() });
        Heartbeat { live_workers: self.workers.len(), commands: commands.unwrap_or_default() }
    }

    pub(crate) fn speak_for(&mut self, info: &WorkerInfo, ttl: Duration, now: Timestamp) -> bool {
        let Some(registered) = self.workers.get_mut(&info.id).filter(|worker| worker.until > now) else {
            return false;
        };
        registered.info = WorkerInfo { seen_at: now, ..info.clone() };
        registered.until = now.plus(ttl);
        true
    }

    pub(crate) fn sign_off(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
    }

    pub(crate) fn workers(&self, now: Timestamp) -> Vec<WorkerInfo> {
        let live = self.workers.values().filter(|worker| worker.until > now);
        let mut infos: Vec<WorkerInfo> = live.map(|worker| worker.info.clone()).collect();
        infos.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        infos
    }

    pub(crate) const fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    pub(crate) fn tell(&mut self, worker: WorkerId, command: &WorkerCommand, now: Timestamp) -> bool {
        let Some(registered) = self.workers.get_mut(&worker).filter(|worker| worker.until > now) else {
            return false;
        };
        registered.commands.push(command.clone());
        let handle = registered.handle;
        self.hint(handle, Hint::Command);
        true
    }

    /// One queue, or every one.
    fn asked<'a>(&'a mut self, name: Option<&'a QueueName>) -> impl Iterator<Item = &'a mut Queue> {
        self.queues
            .iter_mut()
            .filter(move |(known, _)| name.is_none_or(|name| name == *known))
            .map(|(_, queue)| queue)
    }

    fn queue_or_new(&mut self, name: &QueueName) -> &mut Queue {
        self.queues.entry(name.clone()).or_insert_with(|| Queue::new(name.clone()))
    }

    /// Moves hints from the queues to the inboxes.
    fn deliver(&mut self) {
        let hints: Vec<(HandleId, Hint)> =
            self.queues.values_mut().flat_map(|queue| std::mem::take(&mut queue.outbox)).collect();
        for (handle, hint) in hints {
            self.hint(handle, hint);
        }
    }

    fn hint(&mut self, handle: HandleId, hint: Hint) {
        if let Some(inbox) = self.inboxes.get_mut(&handle)
            && !inbox.hints.contains(&hint)
        {
            inbox.hints.push_back(hint);
            inbox.arrived.notify_one();
        }
    }
}
