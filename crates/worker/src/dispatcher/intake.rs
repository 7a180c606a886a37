//! How messages come in: how many are wanted, one round over the queues at a time, and what was found.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lovage_core::{
    BackendError, Delivery, QueueName, ResultStore, SlotKind, SlotWants, TaskId, TaskRecord, Timestamp,
    Token, limits,
};

use super::{Dispatcher, Event, Reservation, Waiting};
use crate::control::LeaseEnd;
use crate::fetcher::{Batch, Fetcher, Round};
use crate::hooks::WorkerEvent;
use crate::plan::{Plan, as_recorded, continue_from, plan};
use crate::settler::backoff;
use crate::worker::Phase;

/// How far ahead of free slots is reserved, for each kind of them: what the last second shows to start within four
/// reservations, and within these bounds. What waits here longer than the upper one is returned: it could have been started
/// elsewhere.
const AHEAD: Duration = Duration::from_millis(2);
const AHEAD_MOST: Duration = Duration::from_millis(50);
/// How much may have ended and not be settled yet, beside four times the slots: a worker that is killed leaves that to be run
/// a second time.
const UNSETTLED: Duration = Duration::from_millis(10);

/// A worker that waits for hints looks for itself this often at least, in case that it hears none.
const LOOK: Duration = Duration::from_secs(20);

/// Starts of one slot kind in the last second, in two halves.
#[derive(Default)]
pub(super) struct Rate {
    last: Duration,
    since: Duration,
    now: usize,
    before: usize,
    /// How long a reservation takes, smoothed.
    round: Duration,
}

impl Rate {
    pub(super) fn started(&mut self, now: Duration) {
        let half = Duration::from_millis(500);
        if now.saturating_sub(self.since) >= half {
            let quiet = now.saturating_sub(self.since) >= half * 2;
            self.before = if quiet { 0 } else { self.now };
            self.now = 0;
            self.since = now;
        }
        self.now += 1;
        self.last = now;
    }

    /// Begins anew, after a look-ahead that was wrong.
    pub(super) fn forget(&mut self) {
        (self.now, self.before) = (0, 0);
    }

    fn fetched(&mut self, took: Duration) {
        self.round = (self.round * 7 + took) / 8;
    }

    /// How many start before the reservation after next is there, with room for a slow one: a broker that commits to disk
    /// takes now and then twice its usual time, and the slots would be empty meanwhile.
    ///
    /// None while nothing starts: then it would wait too long.
    pub(super) fn ahead(&self, now: Duration) -> usize {
        if now.saturating_sub(self.last) >= AHEAD_MOST {
            return 0;
        }
        self.within((self.round * 4).clamp(AHEAD, AHEAD_MOST))
    }

    /// How many start within this time.
    fn within(&self, time: Duration) -> usize {
        let micros = usize::try_from(time.as_micros()).unwrap_or(usize::MAX);
        (self.before.max(self.now) * 2).saturating_mul(micros) / 1_000_000
    }
}

impl Dispatcher {
    /// How many messages of each slot kind can be started here soon.
    pub(super) fn want(&self, now: Duration) -> SlotWants {
        let slots = self.parts.info.concurrency + self.parts.info.blocking;
        let bound = 4 * slots + self.rates.iter().map(|rate| rate.within(UNSETTLED)).sum::<usize>();
        let mut want = SlotWants::NONE;
        if self.phase != Phase::Running || self.blocked > 0 || self.unsettled >= bound {
            return want;
        }
        for kind in SlotKind::ALL.into_iter().filter(|kind| self.has[kind.index()]) {
            let index = kind.index();
            let count = self.free(kind) + self.rates[index].ahead(now);
            let count = count.saturating_sub(self.waiting[index].len());
            *want.get_mut(kind) = count;
            want.total += count;
        }
        if !want.is_none() {
            want.total = want.total.max(self.brought.sorting);
        }
        want.bounded()
    }

    pub(super) fn fetch(&mut self) {
        if self.fetching {
            return;
        }
        // Not as this turn of the loop began: a lease is counted from here.
        let now = self.parts.clock.monotonic();
        let mut want = self.want(now);
        if !(self.hungry && !want.is_none() || self.maintain && self.phase == Phase::Running) {
            return;
        }
        let look = !want.is_none() && (self.hungry || now >= self.timers.look);
        if look {
            self.timers.look = now + LOOK;
        }
        self.fetching = true;
        self.hungry = false;
        let maintain = std::mem::take(&mut self.maintain);
        if maintain && !want.is_none() {
            // Messages that are kept for a kind of which this worker has no task may be of a task that no worker has any
            // more: one at a time is looked at, and refused as undeliverable.
            for kind in SlotKind::ALL.into_iter().filter(|kind| !self.has[kind.index()]) {
                *want.get_mut(kind) = 1;
            }
        }
        self.brought.ahead = SlotKind::ALL.map(|kind| self.rates[kind.index()].ahead(now));
        let fetcher = self.fetcher();
        let (queues, suspects) = (self.parts.turns.next(), self.suspects == 0);
        self.spawn(async move {
            Event::Fetched(now, fetcher.round(queues, want, suspects, maintain, look).await)
        });
    }

    pub(super) fn fetcher(&self) -> Fetcher {
        Fetcher {
            broker: Arc::clone(&self.parts.broker),
            entropy: Arc::clone(&self.parts.entropy),
            lease: self.parts.lease,
        }
    }

    pub(super) fn fetched(&mut self, asked: Duration, round: Result<Round, (Round, BackendError)>) {
        self.fetching = false;
        let now = self.parts.clock.monotonic();
        let round = match round {
            Ok(round) => {
                self.outages.fetch.recovered();
                self.failures = 0;
                round
            }
            Err((round, error)) => {
                self.failures += 1;
                self.outages.fetch.failed(&error);
                if self.failures == 1 {
                    self.tell(&WorkerEvent::Unavailable { error: error.to_string() });
                }
                self.timers.fetch = now + backoff(self.failures, &*self.parts.entropy);
                round
            }
        };
        let found = !round.batches.is_empty();
        if found {
            self.rates.iter_mut().for_each(|rate| rate.fetched(now.saturating_sub(asked)));
        }
        for batch in round.batches {
            self.reserved(now.saturating_sub(asked), batch);
        }
        if found {
            self.hungry = self.failures == 0;
        } else if self.failures == 0 && round.looked {
            if let Some(check) = round.next_check {
                // Looks that are further apart than half a lease are taken for absences, after which nothing is reclaimed.
                self.timers.fetch = self.timers.fetch.min(now + check.min(self.parts.lease / 3));
            }
            if self.parts.burst
                && self.phase == Phase::Running
                && self.waiting.iter().all(VecDeque::is_empty)
                && self.parts.vitals.running() == 0
                && self.checking == 0
                && self.unsettled == 0
            {
                self.enter(Phase::Stopping);
            }
        }
    }

    pub(super) fn reserved(&mut self, took: Duration, batch: Batch) {
        let Batch { queue, token, reserved } = batch;
        let lease = LeaseEnd::at(self.parts.clock.now().minus(took).plus(self.parts.lease));
        let suspect = reserved.deliveries.iter().any(|delivery| delivery.losses >= limits::SUSPECT_LOSSES);
        self.suspects += usize::from(suspect);
        let left = reserved.deliveries.len();
        self.parts.holdings.hold(&queue, token, Arc::clone(&lease));
        self.reservations.insert(token, Reservation { queue: queue.clone(), left, suspect, lease });
        let (again, fresh): (Vec<_>, Vec<_>) =
            reserved.deliveries.into_iter().partition(Delivery::may_have_run);
        for delivery in fresh {
            self.take(token, &queue, delivery, reserved.now);
        }
        if again.is_empty() {
            return;
        }
        match &self.parts.results {
            Some(results) => self.check(Arc::clone(results), token, queue, again, reserved.now),
            None => again.into_iter().for_each(|delivery| self.take(token, &queue, delivery, reserved.now)),
        }
    }

    /// Reads the records of deliveries that may have run before: what ended must not run again.
    pub(super) fn check(
        &mut self,
        results: Arc<dyn ResultStore>,
        token: Token,
        queue: QueueName,
        deliveries: Vec<Delivery>,
        broker_now: Timestamp,
    ) {
        self.checking += 1;
        let (clock, entropy) = (Arc::clone(&self.parts.clock), Arc::clone(&self.parts.entropy));
        self.spawn(async move {
            let ids: Vec<TaskId> = deliveries.iter().map(|delivery| delivery.id).collect();
            let mut attempt = 0;
            let rows = loop {
                match results.get(&ids, None).await {
                    Ok(rows) => break rows,
                    Err(error) if error.is_transient() => {
                        attempt += 1;
                        clock.sleep(backoff(attempt, &*entropy)).await;
                    }
                    Err(error) => {
                        tracing::error!("the results of earlier runs cannot be read, so they may run a second time: {error}");
                        break Vec::new();
                    }
                }
            };
            let rows = rows.into_iter().chain(std::iter::repeat(None));
            let deliveries = deliveries.into_iter().zip(rows).collect();
            Event::Checked { token, queue, deliveries, broker_now }
        });
    }

    /// Settles a delivery as its record says where its task has ended; otherwise it goes on from there.
    pub(super) fn take_checked(
        &mut self,
        token: Token,
        queue: &QueueName,
        mut delivery: Delivery,
        record: Option<TaskRecord>,
        broker_now: Timestamp,
    ) {
        match record {
            Some(record) if record.state.is_terminal() && record.run >= delivery.run => {
                let id = delivery.id;
                tracing::info!(
                    "task {}[{id}] had ended as {} and is not run again",
                    record.task,
                    record.state
                );
                let how = as_recorded(&delivery, &record, &self.parts.tasks);
                self.settle_only(token, queue, id, how);
            }
            record => {
                if let Some(record) = record {
                    continue_from(&mut delivery, &record);
                }
                self.take(token, queue, delivery, broker_now);
            }
        }
    }

    pub(super) fn take(
        &mut self,
        token: Token,
        queue: &QueueName,
        delivery: Delivery,
        broker_now: Timestamp,
    ) {
        let now = self.parts.clock.now();
        match plan(delivery, queue, &self.parts.tasks, &self.parts.defaults, broker_now, now) {
            Plan::Run(job) => {
                let waiting = Waiting { token, job, since: self.parts.clock.monotonic() };
                if self.parts.turns.has(queue) {
                    self.brought.job();
                    self.waiting[waiting.job.kind().index()].push_back(waiting);
                } else {
                    // It was told to leave this queue while the reservation was under way.
                    self.return_all([waiting]);
                }
            }
            Plan::End(ending) => self.end(token, *ending, None),
        }
    }
}
