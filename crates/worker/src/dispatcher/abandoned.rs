//! Threads of plain tasks that outlive their runs: logged, published and counted until they end.

use std::sync::Arc;

use lovage_core::{AbandonedThread, format_duration};

use super::Dispatcher;
use crate::hooks::WorkerEvent;
use crate::plan::Ran;
use crate::vitals::Running;

impl Dispatcher {
    /// Keeps account of the thread of a run that has just ended.
    pub(super) fn abandon(&mut self, running: &Running, ran: Ran) {
        let info = &running.info;
        let thread = AbandonedThread {
            id: info.id,
            task: info.task.clone(),
            queue: info.queue.clone(),
            started_at: running.started_at,
            abandoned_at: ran.finished_at,
        };
        let (task, id, queue) = (info.task.clone(), info.id, info.queue.clone());
        self.abandoned.add(Arc::clone(&running.control), thread);
        let count = self.abandoned.count();
        tracing::warn!(
            "task {task}[{id}] has ended and its thread runs on: a thread cannot be killed; abandoned threads now: {count}"
        );
        self.tell(&WorkerEvent::ThreadAbandoned { id, task, queue });
        self.has_news();
    }

    pub(super) fn threads_ended(&mut self) {
        let now = self.parts.clock.now();
        for AbandonedThread { id, task, queue, abandoned_at, .. } in self.abandoned.take_ended() {
            let count = self.abandoned.count();
            let after = format_duration(now.since(abandoned_at));
            tracing::info!(
                "the thread of task {task}[{id}] ended {after} after its task; abandoned threads now: {count}"
            );
            self.tell(&WorkerEvent::AbandonedThreadEnded { id, task, queue });
            self.has_news();
            // It may have taken a slot.
            self.hungry |= self.failures == 0;
        }
    }
}
