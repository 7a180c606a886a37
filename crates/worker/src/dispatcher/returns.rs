//! Jobs that cannot be started here: they go back unstarted, so that another worker can start them.

use std::time::Duration;

use lovage_core::{Settle, Settlement, SlotKind, limits};

use super::{Dispatcher, Waiting};
use crate::settler::Item;

/// How long a job waits here for a slot at most. Look-ahead that was right starts within this time.
const MAX_WAIT: Duration = Duration::from_millis(50);

/// The messages that the last reservations brought.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// Since the last turn of the loop.
    jobs: usize,
    /// By slot kind: how many were reserved ahead of free slots.
    pub(super) ahead: [usize; SlotKind::COUNT],
    /// How many messages that no worker has sorted the next reservation takes at least: more each time, while none of them
    /// can be started here. So a worker with one free slot reaches what is behind many messages of the other kind.
    pub(super) sorting: usize,
}

impl Brought {
    pub(super) const fn job(&mut self) {
        self.jobs += 1;
    }
}

impl Dispatcher {
    /// Returns what has no free slot of its kind: what was reserved beyond the look-ahead at once, the rest when it has waited
    /// for [`MAX_WAIT`].
    pub(super) fn return_unstartable(&mut self, now: Duration) {
        let mut surplus = 0;
        for kind in SlotKind::ALL {
            let index = kind.index();
            let waiting = &mut self.waiting[index];
            if waiting.is_empty() {
                continue;
            }
            let ahead = self.brought.ahead[index].max(self.rates[index].ahead(now));
            let mut back = waiting.split_off(waiting.len().min(ahead));
            surplus += back.len();
            let late = waiting.iter().take_while(|job| job.since + MAX_WAIT <= now).count();
            if late > 0 {
                // The look-ahead was wrong: none before the next start.
                self.rates[index].forget();
                self.brought.ahead[index] = 0;
                back = waiting.drain(..).chain(back).collect();
            }
            self.return_all(back);
        }
        let jobs = std::mem::take(&mut self.brought.jobs);
        if jobs > 0 {
            let nothing_started = surplus >= jobs && self.sorts();
            self.brought.sorting = if nothing_started { (jobs * 2).min(limits::RESERVE_BATCH) } else { 0 };
        }
    }

    /// When the job that waits the longest goes back.
    pub(super) fn next_return(&self) -> Duration {
        let heads = self.waiting.iter().filter_map(|waiting| waiting.front());
        heads.map(|job| job.since + MAX_WAIT).min().unwrap_or(Duration::MAX)
    }

    /// Returns everything that waits.
    pub(super) fn return_waiting(&mut self) {
        let all = self.waiting.iter_mut().flat_map(std::mem::take).collect::<Vec<_>>();
        self.return_all(all);
    }

    /// It costs the messages nothing, and workers with free slots of their kinds get them at once.
    pub(super) fn return_all(&mut self, jobs: impl IntoIterator<Item = Waiting>) {
        for Waiting { token, job, .. } in jobs {
            let (id, kept_for) = (job.meta.delivery.id, job.meta.delivery.kind);
            let kind = self.sorts().then_some(job.kind());
            let queue = job.meta.queue.clone();
            tracing::debug!(%queue, "task [{id}] is returned unstarted");
            let settlement = Some(Settlement { id, how: Settle::Unstarted { kind, kept_for } });
            self.unsettled += 1;
            // The settler lives as long as this loop.
            let _lives = self.parts.returns.send(Item { queue, token, id, record: None, settlement });
        }
    }

    /// A worker whose tasks are all of one kind has nothing to sort.
    fn sorts(&self) -> bool {
        self.has.iter().all(|has| *has)
    }
}
