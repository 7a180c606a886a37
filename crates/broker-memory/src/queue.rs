//! One queue: a state machine without locks, I/O or a clock.

mod idle;
mod look;
mod ready;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use lovage_core::{
    Cancelled, DeadReason, Delivery, Envelope, Extended, Hint, Maintained, Message, Note, Place, Published,
    QueueName, RateLimit, Reserve, Reserved, Settle, Settled, Settlement, SlotKind, TaskId, Timestamp, Token,
    UniquePolicy, Verdict, limits,
};
use tokio::sync::oneshot;

use self::idle::{Bucket, Idle, News, Timer};
use self::ready::{Ready, ReadyKey};

/// Which participant.
pub(crate) type HandleId = u64;

/// By instant, then in the order of arrival.
type TimeKey = (Timestamp, i64);

#[derive(Debug)]
pub(crate) struct Queue {
    name: QueueName,
    messages: BTreeMap<TaskId, Stored>,
    ready: Ready,
    delayed: BTreeMap<TimeKey, TaskId>,
    dead: BTreeMap<TimeKey, TaskId>,
    reservations: BTreeMap<Token, Reservation>,
    lease_ends: BTreeMap<TimeKey, Token>,
    unique: BTreeMap<String, Claim>,
    fences: BTreeMap<String, Timestamp>,
    waiters: BTreeMap<TaskId, BTreeMap<u64, oneshot::Sender<()>>>,
    paused: bool,
    limit: Option<Bucket>,
    idle: VecDeque<Idle>,
    timer: Option<Timer>,
    news: News,
    maintained_at: Option<Timestamp>,
    no_reclaim_before: Option<Timestamp>,
    sequence: i64,
    /// Hints for handles, taken by the caller after each operation.
    pub(crate) outbox: Vec<(HandleId, Hint)>,
}

#[derive(Debug)]
struct Stored {
    message: Message,
    published_at: Timestamp,
    run: u32,
    delivery: u32,
    attempt: u32,
    losses: u32,
    refused_since: Option<Timestamp>,
    revoked: bool,
    replaced_by: Option<TaskId>,
    notes: Vec<Note>,
    /// The position in the order of becoming ready, kept while it is leased.
    sequence: i64,
    /// The slot kind that it is kept for, kept while it is leased.
    kind: Option<SlotKind>,
    spot: Spot,
}

#[derive(Clone, Copy, Debug)]
enum Spot {
    Ready(ReadyKey),
    Delayed(TimeKey),
    Leased(Token),
    Dead(TimeKey, DeadReason),
}

#[derive(Debug)]
struct Reservation {
    holder: HandleId,
    ends: TimeKey,
    /// The length of the lease.
    lease: Duration,
    /// In the order in which they were handed out.
    ids: Vec<TaskId>,
}

#[derive(Debug)]
struct Claim {
    holder: TaskId,
    until: Option<Timestamp>,
}

impl Queue {
    pub(crate) fn new(name: QueueName) -> Self {
        Self {
            name,
            messages: BTreeMap::new(),
            ready: Ready::default(),
            delayed: BTreeMap::new(),
            dead: BTreeMap::new(),
            reservations: BTreeMap::new(),
            lease_ends: BTreeMap::new(),
            unique: BTreeMap::new(),
            fences: BTreeMap::new(),
            waiters: BTreeMap::new(),
            paused: false,
            limit: None,
            idle: VecDeque::new(),
            timer: None,
            news: News::default(),
            maintained_at: None,
            no_reclaim_before: None,
            sequence: 0,
            outbox: Vec::new(),
        }
    }

    /// Takes one message of a batch; the caller calls [`nudge`](Self::nudge) after the last.
    pub(crate) fn publish(&mut self, message: &Message, now: Timestamp) -> Published {
        if let Some(refused) = self.refusal(message, now) {
            return refused;
        }
        let id = message.id;
        if let Some(unique) = &message.unique {
            self.replace(&unique.key, id, now);
            let until = unique.ttl.map(|ttl| now.plus(ttl));
            self.unique.insert(unique.key.clone(), Claim { holder: id, until });
        }
        if let Some(fence) = &message.fence {
            self.fences.insert(fence.name.clone(), fence.slot);
        }
        let stored = Stored {
            message: message.clone(),
            published_at: now,
            run: 1,
            delivery: 0,
            attempt: 0,
            losses: 0,
            refused_since: None,
            revoked: false,
            replaced_by: None,
            notes: Vec::new(),
            sequence: 0,
            kind: None,
            // Replaced at once by `delay` or `push_tail`.
            spot: Spot::Delayed((now, 0)),
        };
        self.messages.insert(id, stored);
        match message.delay.due_at(now) {
            Some(due) => self.delay(id, due),
            None => self.push_tail(id),
        }
        Published::Accepted
    }

    pub(crate) fn reserve(&mut self, handle: HandleId, request: &Reserve<'_>, now: Timestamp) -> Reserved {
        self.idle.retain(|idle| idle.handle != handle);
        self.promote_due(limits::RESERVE_BATCH, now);
        let want = request.want.bounded();
        let allowed = self.limit.as_ref().map_or(want.total, |bucket| bucket.tokens(now));
        let taken = if self.paused { Vec::new() } else { self.ready.take(want, allowed, request.suspects) };
        let ids: Vec<TaskId> = taken.iter().map(|(_, id)| *id).collect();
        if let Some(bucket) = &mut self.limit {
            bucket.spend(now, ids.len());
        }
        if ids.is_empty() {
            // What became due may be a suspect that this one did not ask for.
            self.news.ready |= want.is_none();
            self.nudge(None);
            if want.is_none() {
                return Reserved { now, deliveries: Vec::new(), next_check: None };
            }
            self.nudge_for_others(want.kinds());
            self.idle.push_back(Idle { handle, kinds: want.kinds() });
            return Reserved { now, deliveries: Vec::new(), next_check: self.next_check(handle, now) };
        }
        let deliveries: Vec<Delivery> =
            ids.iter().filter_map(|id| self.hand_out(*id, request.token, now)).collect();
        let ends = (now.plus(request.lease), self.next_sequence());
        self.lease_ends.insert(ends, request.token);
        let reservation = Reservation { holder: handle, ends, lease: request.lease, ids };
        self.reservations.insert(request.token, reservation);
        // A chain: each handle that found work wakes one more while something is left. Who is full does not look again soon:
        // somebody else has to keep the time.
        let full = deliveries.len() == want.total;
        let kept_time = full && self.timer.as_ref().is_some_and(|timer| timer.handle == handle);
        if kept_time {
            self.timer = None;
        }
        self.news = News { ready: true, due: self.next_event().filter(|_| kept_time) };
        self.nudge(None);
        Reserved { now, deliveries, next_check: None }
    }

    pub(crate) fn settle(&mut self, token: Token, batch: &[Settlement], now: Timestamp) -> Vec<Settled> {
        let mut given_back = Vec::new();
        let answers = batch
            .iter()
            .map(|settlement| {
                if !self.end_lease_of(settlement.id, token) {
                    return Settled::LeaseLost;
                }
                self.apply(settlement, &mut given_back, now);
                Settled::Applied
            })
            .collect();
        self.push_head(&given_back);
        self.nudge(None);
        answers
    }

    pub(crate) fn extend(&mut self, tokens: &[Token], lease: Duration, now: Timestamp) -> Extended {
        let mut extended = Extended::default();
        for token in tokens {
            let ends = (now.plus(lease), self.next_sequence());
            let Some(reservation) = self.reservations.get_mut(token) else {
                extended.lost.push(*token);
                continue;
            };
            self.lease_ends.remove(&reservation.ends);
            reservation.ends = ends;
            reservation.lease = lease;
            self.lease_ends.insert(ends, *token);
            let revoked = |id: &&TaskId| self.messages.get(id).is_some_and(|stored| stored.revoked);
            extended.revoked.extend(reservation.ids.iter().filter(revoked));
        }
        extended
    }

    pub(crate) fn maintain(
        &mut self,
        handle: HandleId,
        limit: usize,
        lease: Duration,
        now: Timestamp,
    ) -> Maintained {
        let absent = self.maintained_at.is_none_or(|last| now.since(last) > lease / 2);
        self.maintained_at = Some(now);
        let full_lease = now.plus(lease);
        if absent {
            self.no_reclaim_before = Some(full_lease);
        }
        // A clock that was set back must not stretch the guard.
        self.no_reclaim_before = self.no_reclaim_before.map(|at| at.min(full_lease)).filter(|at| *at > now);
        self.shorten_leases(lease, now);
        let reclaimed = if self.no_reclaim_before.is_some() { 0 } else { self.reclaim(limit, now) };
        let promoted = self.promote_due(limit, now);
        if self.timer.as_ref().is_some_and(|timer| timer.at <= now) {
            self.timer = None;
            self.news.due = self.next_event();
        }
        // The caller looks next anyway: if it is idle, its hint costs nobody's sleep.
        self.nudge(Some(handle));
        let is_leased = !self.reservations.is_empty();
        Maintained { reclaimed, promoted, is_ready: self.hands_out(now), is_leased }
    }

    /// Ends no lease later than its own length from now: the clock may have been set back. Looks only
    /// at those that end later than `lease`, the length of the caller's leases, from now.
    fn shorten_leases(&mut self, lease: Duration, now: Timestamp) {
        let late: Vec<(TimeKey, Token)> = self
            .lease_ends
            .iter()
            .rev()
            .take_while(|(ends, _)| ends.0 > now.plus(lease))
            .map(|(ends, token)| (*ends, *token))
            .collect();
        for (old, token) in late {
            let Some(reservation) = self.reservations.get_mut(&token) else { continue };
            reservation.ends.0 = old.0.min(now.plus(reservation.lease));
            self.lease_ends.remove(&old);
            self.lease_ends.insert(reservation.ends, token);
        }
    }

    /// Registers a waiter; `None` when the message has ended.
    pub(crate) fn watch(&mut self, id: TaskId, waiter: u64) -> Option<oneshot::Receiver<()>> {
        match self.messages.get(&id)?.spot {
            Spot::Dead(..) => None,
            Spot::Ready(_) | Spot::Delayed(_) | Spot::Leased(_) => {
                let (sender, receiver) = oneshot::channel();
                self.waiters.entry(id).or_default().insert(waiter, sender);
                Some(receiver)
            }
        }
    }

    pub(crate) fn unwatch(&mut self, id: TaskId, waiter: u64) {
        if let Some(waiters) = self.waiters.get_mut(&id) {
            waiters.remove(&waiter);
            if waiters.is_empty() {
                self.waiters.remove(&id);
            }
        }
    }

    pub(crate) fn cancel(&mut self, id: TaskId) -> Cancelled {
        let Some(stored) = self.messages.get_mut(&id) else { return Cancelled::NotFound };
        match stored.spot {
            Spot::Dead(..) => Cancelled::NotFound,
            Spot::Ready(_) => {
                stored.revoked = true;
                Cancelled::Waiting
            }
            Spot::Delayed(key) => {
                stored.revoked = true;
                self.delayed.remove(&key);
                self.push_tail(id);
                self.nudge(None);
                Cancelled::Waiting
            }
            Spot::Leased(token) => {
                stored.revoked = true;
                if let Some(reservation) = self.reservations.get(&token) {
                    self.outbox.push((reservation.holder, Hint::Revoked(id)));
                }
                Cancelled::Leased
            }
        }
    }

    pub(crate) fn promote(&mut self, id: TaskId) -> bool {
        let Some(Spot::Delayed(key)) = self.messages.get(&id).map(|stored| stored.spot) else { return false };
        self.delayed.remove(&key);
        self.push_tail(id);
        self.nudge(None);
        true
    }

    /// Removes from a place that is not [`Place::Leased`].
    pub(crate) fn purge(&mut self, place: Place, limit: usize) -> usize {
        let limit = limit.min(1_000);
        let ids: Vec<TaskId> = match place {
            Place::Ready => self.ready.in_order().into_iter().take(limit).map(|(_, id)| id).collect(),
            Place::Delayed => self.delayed.values().take(limit).copied().collect(),
            Place::Dead => self.dead.values().take(limit).copied().collect(),
            Place::Leased => Vec::new(),
        };
        ids.iter().for_each(|id| self.remove(*id));
        ids.len()
    }

    pub(crate) fn set_limit(&mut self, limit: Option<RateLimit>) {
        self.limit = limit.map(Bucket::full);
        self.news = News { ready: true, due: self.next_event() };
        self.nudge(None);
    }

    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
        self.news = News { ready: true, due: self.next_event() };
        self.nudge(None);
    }

    pub(crate) fn requeue_dead(&mut self, ids: &[TaskId]) -> usize {
        let mut count = 0;
        for id in ids {
            let Some(stored) = self.messages.get_mut(id) else { continue };
            let Spot::Dead(key, _) = stored.spot else { continue };
            stored.run += 1;
            stored.attempt = 0;
            stored.losses = 0;
            stored.refused_since = None;
            stored.revoked = false;
            stored.replaced_by = None;
            self.dead.remove(&key);
            self.push_tail(*id);
            count += 1;
        }
        self.nudge(None);
        count
    }

    pub(crate) fn delete_dead(&mut self, ids: &[TaskId]) -> usize {
        let is_dead =
            |id: &&TaskId| self.messages.get(id).is_some_and(|stored| matches!(stored.spot, Spot::Dead(..)));
        let dead: BTreeSet<TaskId> = ids.iter().filter(is_dead).copied().collect();
        dead.iter().for_each(|id| self.remove(*id));
        dead.len()
    }

    fn refusal(&self, message: &Message, now: Timestamp) -> Option<Published> {
        if self.messages.contains_key(&message.id) {
            return Some(Published::Duplicate { holder: message.id });
        }
        if let Some(unique) = &message.unique
            && let Some(claim) = self.unique.get(&unique.key)
            && claim.until.is_none_or(|until| until > now)
            && (unique.policy == UniquePolicy::Reject || !self.waits(claim.holder))
        {
            return Some(Published::Duplicate { holder: claim.holder });
        }
        let fence = message.fence.as_ref()?;
        let latest = now.plus(limits::CLOCK_TOLERANCE);
        if fence.slot > latest {
            return Some(Published::Early { now });
        }
        let newest = *self.fences.get(&fence.name).filter(|newest| **newest <= latest)?;
        (fence.slot <= newest).then_some(Published::Stale { newest })
    }

    fn waits(&self, id: TaskId) -> bool {
        let spot = self.messages.get(&id).map(|stored| stored.spot);
        matches!(spot, Some(Spot::Ready(_) | Spot::Delayed(_)))
    }

    /// Ends the claim of a holder that waits, which is to learn of it as soon as a worker is free. One whose claim had
    /// ended by its time to live goes on.
    fn replace(&mut self, key: &str, by: TaskId, now: Timestamp) {
        let claim = self.unique.remove(key).filter(|claim| claim.until.is_none_or(|until| until > now));
        let Some(holder) = claim.map(|claim| claim.holder) else { return };
        let Some(stored) = self.messages.get_mut(&holder) else { return };
        match stored.spot {
            Spot::Ready(_) => {}
            Spot::Delayed(key) => {
                self.delayed.remove(&key);
                self.push_tail(holder);
            }
            // Refused before.
            Spot::Leased(_) | Spot::Dead(..) => return,
        }
        if let Some(stored) = self.messages.get_mut(&holder) {
            stored.revoked = true;
            stored.replaced_by = Some(by);
        }
    }

    fn hand_out(&mut self, id: TaskId, token: Token, now: Timestamp) -> Option<Delivery> {
        let stored = self.messages.get_mut(&id)?;
        stored.spot = Spot::Leased(token);
        stored.delivery += 1;
        let expires = Envelope::expires_at(&stored.message.body, stored.published_at);
        let verdict = if let Some(by) = stored.replaced_by {
            Verdict::Replaced { by }
        } else if stored.revoked {
            Verdict::Revoked
        } else if expires.is_some_and(|at| at <= now) {
            Verdict::Expired
        } else if stored.losses >= limits::POISON_LOSSES {
            Verdict::Poisoned
        } else {
            Verdict::Run
        };
        let unique = stored.message.unique.as_ref();
        if let Some(unique) = unique.filter(|unique| unique.until_start && verdict == Verdict::Run) {
            release(&mut self.unique, &unique.key, id);
        }
        Some(Delivery {
            id,
            priority: stored.message.priority,
            body: stored.message.body.clone(),
            run: stored.run,
            delivery: stored.delivery,
            attempt: stored.attempt,
            losses: stored.losses,
            refused_since: stored.refused_since,
            published_at: stored.published_at,
            kind: stored.kind,
            verdict,
        })
    }

    /// Takes a message out of its reservation, if it is in this one.
    fn end_lease_of(&mut self, id: TaskId, token: Token) -> bool {
        let Some(reservation) = self.reservations.get_mut(&token) else { return false };
        let Some(index) = reservation.ids.iter().position(|held| *held == id) else { return false };
        reservation.ids.remove(index);
        if reservation.ids.is_empty() {
            self.lease_ends.remove(&reservation.ends);
            self.reservations.remove(&token);
        }
        true
    }

    fn apply(&mut self, settlement: &Settlement, given_back: &mut Vec<TaskId>, now: Timestamp) {
        let id = settlement.id;
        let Some(stored) = self.messages.get_mut(&id) else { return };
        match &settlement.how {
            Settle::Ack => self.remove(id),
            Settle::Retry { after, note } => {
                stored.attempt += 1;
                stored.losses = 0;
                stored.add_note(note);
                // Whoever is to learn of the cancellation should not have to wait for it.
                if after.is_zero() || stored.revoked {
                    self.push_tail(id);
                } else {
                    self.delay(id, now.plus(*after));
                }
            }
            Settle::GiveBack { after, refused } => {
                if *refused {
                    stored.refused_since.get_or_insert(now);
                }
                if after.is_zero() || stored.revoked {
                    given_back.push(id);
                } else {
                    self.delay(id, now.plus(*after));
                }
            }
            Settle::Unstarted { kind, .. } => {
                stored.delivery -= 1;
                let sequence = stored.sequence;
                if let Some(bucket) = &mut self.limit {
                    bucket.refund(now);
                }
                self.make_ready(id, *kind, sequence);
            }
            Settle::DeadLetter { reason, note } => {
                stored.add_note(note);
                self.bury(id, *reason, now);
            }
        }
    }

    fn bury(&mut self, id: TaskId, reason: DeadReason, now: Timestamp) {
        self.end(id);
        let key = (now, self.next_sequence());
        self.dead.insert(key, id);
        if let Some(stored) = self.messages.get_mut(&id) {
            stored.spot = Spot::Dead(key, reason);
        }
        while self.dead.len() > limits::DEAD_LETTERS {
            if let Some((_, oldest)) = self.dead.pop_first() {
                self.messages.remove(&oldest);
            }
        }
    }

    /// Returns messages whose lease has ended, the reservation that ended first at the head.
    fn reclaim(&mut self, limit: usize, now: Timestamp) -> usize {
        let mut reclaimed = Vec::new();
        while reclaimed.len() < limit {
            let Some((&ends, &token)) = self.lease_ends.first_key_value() else { break };
            if ends.0 > now {
                break;
            }
            let Some(reservation) = self.reservations.get(&token) else { break };
            for id in reservation.ids.clone().into_iter().take(limit - reclaimed.len()) {
                self.end_lease_of(id, token);
                if let Some(stored) = self.messages.get_mut(&id) {
                    stored.losses += 1;
                }
                reclaimed.push(id);
            }
        }
        self.push_head(&reclaimed);
        reclaimed.len()
    }

    fn promote_due(&mut self, limit: usize, now: Timestamp) -> usize {
        let mut promoted = 0;
        while promoted < limit {
            let Some(entry) = self.delayed.first_entry() else { break };
            if entry.key().0 > now {
                break;
            }
            let id = entry.remove();
            self.push_tail(id);
            promoted += 1;
        }
        promoted
    }

    fn push_tail(&mut self, id: TaskId) {
        let sequence = self.next_sequence();
        self.make_ready(id, None, sequence);
    }

    /// Puts messages before all others of their priority; they keep their order among themselves.
    fn push_head(&mut self, ids: &[TaskId]) {
        for id in ids.iter().rev() {
            let sequence = -self.next_sequence();
            self.make_ready(*id, None, sequence);
        }
    }

    fn make_ready(&mut self, id: TaskId, kind: Option<SlotKind>, sequence: i64) {
        let Some(stored) = self.messages.get_mut(&id) else { return };
        let key = (
            u8::from(stored.losses < limits::SUSPECT_LOSSES),
            Reverse(stored.message.priority.get()),
            u8::from(kind.is_none()),
            sequence,
        );
        (stored.kind, stored.sequence) = (kind, sequence);
        stored.spot = Spot::Ready(key);
        self.ready.insert(kind, key, id);
        self.news.ready = true;
    }

    fn delay(&mut self, id: TaskId, due: Timestamp) {
        let key = (due, self.next_sequence());
        let Some(stored) = self.messages.get_mut(&id) else { return };
        stored.spot = Spot::Delayed(key);
        self.delayed.insert(key, id);
        self.news.due = Some(self.news.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Removes a message from wherever it is.
    fn remove(&mut self, id: TaskId) {
        self.end(id);
        let Some(stored) = self.messages.remove(&id) else { return };
        match stored.spot {
            Spot::Ready(key) => self.ready.remove(stored.kind, &key),
            Spot::Delayed(key) => drop(self.delayed.remove(&key)),
            Spot::Dead(key, _) => drop(self.dead.remove(&key)),
            // The caller has ended its lease.
            Spot::Leased(_) => {}
        }
    }

    /// Tells waiters and releases the unique key.
    fn end(&mut self, id: TaskId) {
        for (_, waiter) in self.waiters.remove(&id).into_iter().flatten() {
            // A waiter that is gone needs no telling.
            let _gone = waiter.send(());
        }
        let unique = self.messages.get(&id).and_then(|stored| stored.message.unique.as_ref());
        if let Some(unique) = unique {
            release(&mut self.unique, &unique.key, id);
        }
    }

    fn next_sequence(&mut self) -> i64 {
        self.sequence += 1;
        self.sequence
    }
}

/// Ends a claim, unless somebody else holds the key by now.
fn release(claims: &mut BTreeMap<String, Claim>, key: &str, id: TaskId) {
    if claims.get(key).is_some_and(|claim| claim.holder == id) {
        claims.remove(key);
    }
}

impl Stored {
    fn add_note(&mut self, note: &Note) {
        if self.notes.len() >= limits::NOTES {
            self.notes.remove(0);
        }
        self.notes.push(note.clone());
    }
}
