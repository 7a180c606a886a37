//! The beat: a loop with two lanes, one to the broker and one to the store.

use std::collections::BTreeSet;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lovage_core::schedule::{Advance, Advanced, Due, ScheduleStore, StoredEntry};
use lovage_core::{BackendError, BoxFuture, Broker, Clock, QueueName, Timestamp, format_duration};

use crate::ahead::{Ahead, SLOW, StoreTime};
use crate::send::{Sender, Sent};
use crate::trouble::Trouble;

/// What is due so soon is read before, to be published in time; and what was read so long ago is read again before it is
/// published, because it may have been edited.
const AHEAD: Duration = Duration::from_secs(1);
/// A look begins so long before its answer is needed.
const LEAD: Duration = Duration::from_millis(300);
/// Between two looks, however much changes.
const BREATH: Duration = Duration::from_millis(50);
/// Most entries in one look. As many may be due at once without hiding others that are due soon.
const ENTRIES: usize = 10_000;
/// Most queues that are published to at once.
const LANES: usize = 16;
/// Most entries in one write.
const WRITTEN: usize = 1_000;
/// Most firings that are forgotten at once.
const FORGOTTEN: usize = 2_000;
/// Between two chunks of what is to be forgotten.
const FORGET_ON: Duration = Duration::from_secs(1);
/// When there was less than a chunk.
const FORGET_AGAIN: Duration = Duration::from_secs(60);
/// How long what is in hand may go on when the beat is told to stop.
const FINISH: Duration = Duration::from_secs(5);

/// A beat.
///
/// Any number of them may serve one store and one broker. Dropping one at any point loses no slot and fires none twice.
#[derive(Debug)]
#[must_use = "a scheduler does nothing until `run_until`"]
pub struct Scheduler {
    store: Arc<dyn ScheduleStore>,
    broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    max_interval: Duration,
    keep_history: Duration,
    watch: Option<Arc<dyn Watch>>,
}

/// Somebody who wants to know what a beat does. Called within its loop: keep it short.
pub trait Watch: Send + Sync + fmt::Debug {
    /// It looked at the schedule.
    fn looked(&self) {}
    /// When the next slot is due that it has not sent, by the store's clock: told after each look, and when slots were sent.
    fn next_slot(&self, _due: Option<Timestamp>) {}
    /// It sent a slot, so much later than it was due.
    fn fired(&self, _late: Duration) {}
}

impl Scheduler {
    /// A beat with handles of its own.
    pub fn new(store: Arc<dyn ScheduleStore>, broker: Arc<dyn Broker>, clock: Arc<dyn Clock>) -> Self {
        let (max_interval, keep_history) = (Duration::from_secs(10), Duration::from_secs(30 * 86_400));
        Self { store, broker, clock, max_interval, keep_history, watch: None }
    }

    /// The longest time between two looks at the schedule, at least 100 ms; by default 10 s. Changes are told at once: this
    /// is for when the store's clock is set, and for when telling fails.
    pub fn max_interval(mut self, time: Duration) -> Self {
        self.max_interval = time.max(Duration::from_millis(100));
        self
    }

    /// How long the history tells of a slot; by default 30 days.
    pub fn keep_history(mut self, time: Duration) -> Self {
        self.keep_history = time;
        self
    }

    /// Tells somebody what it does.
    pub fn watch(mut self, watch: Arc<dyn Watch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Fires what is due from now on, until `stop` ends. What is in hand is finished, if that takes 5 s at most. While store
    /// or broker are away it tries again after 100 ms, doubling to 5 s.
    pub async fn run_until(self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut beat = Beat::new(self);
        loop {
            beat.begin();
            let event = match select(&mut stop, pin!(beat.next())).await {
                Either::Left(((), _)) => break,
                Either::Right((event, _)) => event,
            };
            beat.handle(event);
        }
        beat.finish().await;
    }
}

/// A beat at work.
struct Beat {
    scheduler: Scheduler,
    /// At most one publish per queue, one operation of the store, and the wait for changes.
    in_flight: FuturesUnordered<BoxFuture<'static, Event>>,
    /// The queues that are published to, at most [`LANES`].
    publishing: BTreeSet<QueueName>,
    /// The store is asked one thing at a time, so that no look tells what was so before a write.
    asking: bool,
    ahead: Ahead,
    time: StoreTime,
    unwritten: Vec<(StoredEntry, Advance)>,
    /// When the last look was answered.
    looked_at: Option<Duration>,
    /// Whether there is reason to look before it is time.
    look_again: bool,
    /// Whether the last look was slow.
    slow: bool,
    forget_at: Duration,
    broker: Trouble,
    store: Trouble,
}

enum Event {
    /// It is time for something.
    Time,
    Changed,
    Sent {
        queue: QueueName,
        sent: Sent,
    },
    Looked {
        asked: Duration,
        found: Result<Due, BackendError>,
    },
    Wrote {
        batch: Vec<(StoredEntry, Advance)>,
        answer: Result<Vec<Advanced>, BackendError>,
    },
    Forgot(Result<usize, BackendError>),
}

impl Beat {
    fn new(scheduler: Scheduler) -> Self {
        let broker = Trouble::new("the broker", Arc::clone(&scheduler.clock));
        let store = Trouble::new("the schedule", Arc::clone(&scheduler.clock));
        let beat = Self {
            forget_at: scheduler.clock.monotonic(),
            scheduler,
            in_flight: FuturesUnordered::new(),
            publishing: BTreeSet::new(),
            asking: false,
            ahead: Ahead::default(),
            time: StoreTime::default(),
            unwritten: Vec::new(),
            looked_at: None,
            look_again: false,
            slow: false,
            broker,
            store,
        };
        beat.listen();
        beat
    }

    /// Begins what can be begun now.
    fn begin(&mut self) {
        let now = self.monotonic();
        while self.publish_at().is_some_and(|at| at <= now) && self.is_fresh(now) {
            if !self.publish(now) {
                break;
            }
        }
        if self.asking || self.store.until() > now {
            return;
        }
        if self.look_at() <= now {
            self.look(now);
        } else if !self.unwritten.is_empty() {
            self.write();
        } else if self.forget_at <= now {
            self.forget();
        }
    }

    async fn next(&mut self) -> Event {
        let at = self.begin_at();
        let sleep = self.scheduler.clock.sleep_until(at);
        match select(self.in_flight.next(), sleep).await {
            Either::Left((Some(event), _)) => event,
            Either::Left((None, _)) | Either::Right(_) => Event::Time,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Time => {}
            Event::Changed => {
                self.look_again = true;
                self.listen();
            }
            Event::Sent { queue, sent } => {
                self.publishing.remove(&queue);
                self.sent(sent);
            }
            Event::Looked { asked, found } => self.looked(asked, found),
            Event::Wrote { batch, answer } => self.wrote(batch, answer),
            Event::Forgot(answer) => self.forgot(&answer),
        }
    }

    /// Waits for what was published, and writes it.
    async fn finish(mut self) {
        let mut out_of_time = self.scheduler.clock.sleep(FINISH);
        loop {
            let now = self.monotonic();
            if !self.asking && !self.unwritten.is_empty() && self.store.until() <= now {
                self.write();
            }
            if self.publishing.is_empty() && !self.asking && self.unwritten.is_empty() {
                return;
            }
            let retry = self.scheduler.clock.sleep_until(self.store.until().max(now + BREATH));
            let event = match select(&mut out_of_time, select(self.in_flight.next(), retry)).await {
                Either::Left(_) => return,
                Either::Right((Either::Left((Some(event), _)), _)) => event,
                Either::Right(_) => Event::Time,
            };
            self.handle(event);
        }
    }

    /// When something is to be begun next, as far as it does not follow from what is in flight.
    fn begin_at(&self) -> Duration {
        // What was read too long ago waits for the next look.
        let publish = self.publish_at().filter(|at| self.is_fresh(*at.max(&self.monotonic())));
        let ask = || {
            let write = (!self.unwritten.is_empty()).then_some(Duration::ZERO);
            let ask = [write, Some(self.look_at()), Some(self.forget_at)].into_iter().flatten().min();
            ask.map(|at| at.max(self.store.until()))
        };
        let ask = if self.asking { None } else { ask() };
        publish.into_iter().chain(ask).min().unwrap_or(Duration::MAX)
    }

    /// When the first armed entry is to be published whose queue is free.
    fn publish_at(&self) -> Option<Duration> {
        let first_at =
            self.ahead.first_free_at(&self.publishing).filter(|_| self.publishing.len() < LANES)?;
        Some(self.time.ours(first_at).max(self.broker.until()))
    }

    /// Whether what the last look said holds at an instant.
    fn is_fresh(&self, at: Duration) -> bool {
        self.looked_at.is_some_and(|looked_at| at <= looked_at + AHEAD)
    }

    fn look_at(&self) -> Duration {
        let Some(looked_at) = self.looked_at else { return Duration::ZERO };
        if self.look_again {
            return looked_at + BREATH;
        }
        let others_at = self.ahead.others_at().map(|at| self.time.ours(at));
        // There was more than one look can tell, and all that it told of is done.
        if others_at.is_some_and(|at| at <= looked_at + AHEAD) && self.ahead.is_through() {
            return looked_at;
        }
        let first_at = self.ahead.first_at().map(|at| self.time.ours(at));
        let needed = first_at.into_iter().chain(others_at).min().map(|at| at.max(self.broker.until()));
        let early = looked_at + (AHEAD - LEAD);
        let late = looked_at + self.scheduler.max_interval;
        needed.map_or(late, |at| at.saturating_sub(LEAD).max(early).min(late))
    }

    /// Publishes what is due in one queue. Answers whether there was one.
    fn publish(&mut self, now: Duration) -> bool {
        let (Some(at), Some(looked_at)) = (self.time.at(now), self.looked_at) else { return false };
        let Some((queue, plans)) = self.ahead.take(at, &self.publishing) else { return false };
        self.publishing.insert(queue.clone());
        let (broker, clock) = (Arc::clone(&self.scheduler.broker), Arc::clone(&self.scheduler.clock));
        self.in_flight.push(Box::pin(async move {
            let sender = Sender { broker: &*broker, clock: &*clock, now: at, until: looked_at + AHEAD };
            Event::Sent { queue, sent: sender.send(plans).await }
        }));
        true
    }

    fn sent(&mut self, sent: Sent) {
        if let Some(watch) = &self.scheduler.watch {
            let firings = sent.written.iter().flat_map(|(_, advance)| &advance.firings);
            firings
                .filter(|firing| firing.fate.task().is_some())
                .for_each(|firing| watch.fired(firing.at.since(firing.slot)));
        }
        self.unwritten.extend(sent.written);
        for (name, newest) in sent.doubts {
            self.ahead.doubt(name, newest);
            self.look_again = true;
        }
        for name in &sent.left {
            self.ahead.forget(name);
            self.look_again = true;
        }
        match sent.error {
            Some(error) => {
                self.ahead.was_away();
                self.broker.is_there(&error, self.monotonic());
            }
            None if sent.reached => {
                self.broker.is_over();
                self.tell_next();
            }
            None => {}
        }
    }

    fn tell_next(&self) {
        if let Some(watch) = &self.scheduler.watch {
            watch.next_slot(self.ahead.first_at().into_iter().chain(self.ahead.others_at()).min());
        }
    }

    fn look(&mut self, asked: Duration) {
        self.asking = true;
        self.look_again = false;
        self.ahead.look();
        let store = Arc::clone(&self.scheduler.store);
        self.in_flight.push(Box::pin(async move {
            Event::Looked { asked, found: store.due(AHEAD, ENTRIES, None).await }
        }));
    }

    fn looked(&mut self, asked: Duration, found: Result<Due, BackendError>) {
        self.asking = false;
        let answered = self.monotonic();
        let is_slow = answered.saturating_sub(asked) > SLOW;
        match found {
            // This process may have been stopped meanwhile. A second one is believed: the store is slow.
            Ok(_) if is_slow && !std::mem::replace(&mut self.slow, true) => self.look_again = true,
            Ok(due) => {
                self.slow = is_slow;
                if let Some(watch) = &self.scheduler.watch {
                    watch.looked();
                }
                let set_back_at = due.now.minus(answered.saturating_sub(self.looked_at.unwrap_or(answered)));
                self.time.seen(asked, due.now, answered);
                self.looked_at = Some(answered);
                self.rewind(&due, set_back_at);
                self.ahead.looked(due);
                self.tell_next();
                self.store.is_over();
            }
            Err(error) => {
                self.look_again = true;
                self.ahead.was_away();
                self.store.is_there(&error, answered);
            }
        }
    }

    /// Moves entries back that are done ahead of the store's clock: it was wrong at the last look, and `set_back_at` is the
    /// instant of that look by the clock as it is now.
    fn rewind(&mut self, due: &Due, set_back_at: Timestamp) {
        let to_rewind: Vec<&StoredEntry> =
            due.ahead_of_clock.iter().filter(|stored| self.ahead.set_busy(&stored.entry.name)).collect();
        let Some(furthest) = to_rewind.iter().map(|stored| stored.done_until).max() else { return };
        tracing::warn!(
            entries = to_rewind.len(),
            "the clock of the schedule store was about {} ahead and has been set back: slots that fired ahead of time do not fire again, the others fire from now on",
            format_duration(Duration::from_secs(furthest.since(due.now).as_secs())),
        );
        self.ahead.clock_set_back(set_back_at);
        let rewinds =
            to_rewind.into_iter().map(|stored| (stored.clone(), Advance::rewind(stored, set_back_at)));
        self.unwritten.extend(rewinds);
    }

    fn write(&mut self) {
        self.asking = true;
        let others = self.unwritten.split_off(self.unwritten.len().min(WRITTEN));
        let batch = std::mem::replace(&mut self.unwritten, others);
        let store = Arc::clone(&self.scheduler.store);
        self.in_flight.push(Box::pin(async move {
            let advances: Vec<Advance> = batch.iter().map(|(_, advance)| advance.clone()).collect();
            let answer = store.advance(&advances).await;
            Event::Wrote { batch, answer }
        }));
    }

    fn wrote(&mut self, batch: Vec<(StoredEntry, Advance)>, answer: Result<Vec<Advanced>, BackendError>) {
        self.asking = false;
        match answer {
            Ok(answers) => {
                for ((stored, advance), answer) in batch.into_iter().zip(answers) {
                    match answer {
                        // What fired ahead of time is read with it.
                        Advanced::Done if advance.rewinds => {
                            self.ahead.forget(&stored.entry.name);
                            self.look_again = true;
                        }
                        Advanced::Done => self.ahead.wrote(stored, advance),
                        // Another beat was first, or somebody edited it.
                        Advanced::Lost => {
                            self.ahead.forget(&stored.entry.name);
                            self.look_again = true;
                        }
                    }
                }
                self.store.is_over();
            }
            Err(error) => {
                self.unwritten.splice(0..0, batch);
                self.store.is_there(&error, self.monotonic());
            }
        }
    }

    fn forget(&mut self) {
        self.asking = true;
        let (store, keep) = (Arc::clone(&self.scheduler.store), self.scheduler.keep_history);
        self.in_flight
            .push(Box::pin(async move { Event::Forgot(store.forget(keep, FORGOTTEN, None).await) }));
    }

    fn forgot(&mut self, answer: &Result<usize, BackendError>) {
        self.asking = false;
        let more = matches!(answer, Ok(FORGOTTEN..));
        if let Err(error) = answer {
            tracing::debug!("old history is forgotten later: {error}");
        }
        self.forget_at = self.monotonic() + if more { FORGET_ON } else { FORGET_AGAIN };
    }

    fn listen(&self) {
        let store = Arc::clone(&self.scheduler.store);
        self.in_flight.push(Box::pin(async move {
            store.changed().await;
            Event::Changed
        }));
    }

    fn monotonic(&self) -> Duration {
        self.scheduler.clock.monotonic()
    }
}
