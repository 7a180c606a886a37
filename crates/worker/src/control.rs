//! What a run and its worker share: whether it should stop, and how far it is.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lovage_core::{BoxFuture, CancelReason, Progress, RunControl, Timestamp};
use tokio::sync::{Notify, mpsc};

use crate::dispatcher::Event;
use crate::polls::Polls;
use crate::threads::RunThread;

/// Longest message of a progress that is told, in bytes: it travels with every heartbeat.
const LONGEST: usize = 200;

/// Why a run should stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Stop {
    /// It should not.
    No = 0,
    /// Its soft time limit passed: it may finish cleanly.
    Soft = 1,
    /// The worker stops: it is given back.
    GiveBack = 2,
    /// Somebody cancelled it.
    Revoked = 3,
    /// Its lease ended: somebody else has it.
    LeaseLost = 4,
}

impl Stop {
    /// Whether the run is dropped at its next await.
    pub(crate) fn is_abort(self) -> bool {
        self >= Self::GiveBack
    }

    /// The same as the task sees it.
    fn reason(self) -> Option<CancelReason> {
        match self {
            Self::No => None,
            Self::Soft => Some(CancelReason::SoftTimeLimit),
            Self::GiveBack => Some(CancelReason::ShuttingDown),
            Self::Revoked => Some(CancelReason::Revoked),
            Self::LeaseLost => Some(CancelReason::LeaseLost),
        }
    }

    fn of(number: u8) -> Self {
        match number {
            0 => Self::No,
            1 => Self::Soft,
            2 => Self::GiveBack,
            3 => Self::Revoked,
            _ => Self::LeaseLost,
        }
    }
}

/// Until when a reservation is ours; shared by its runs and the lease keeper.
#[derive(Debug, Default)]
pub(crate) struct LeaseEnd(AtomicI64);

impl LeaseEnd {
    pub(crate) fn at(end: Timestamp) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(end.as_micros())))
    }

    pub(crate) fn set(&self, end: Timestamp) {
        self.0.store(end.as_micros(), Ordering::Relaxed);
    }

    pub(crate) fn has_passed(&self, now: Timestamp) -> bool {
        self.get() <= now
    }

    fn get(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

/// Tells the loop that some run told how far it is: once, until the loop has looked.
#[derive(Debug)]
pub(crate) struct News {
    raised: AtomicBool,
    events: mpsc::UnboundedSender<Event>,
}

impl News {
    pub(crate) fn to(events: mpsc::UnboundedSender<Event>) -> Arc<Self> {
        Arc::new(Self { raised: AtomicBool::new(false), events })
    }

    /// To be called before looking: what is told meanwhile is news again.
    pub(crate) fn taken(&self) {
        self.raised.store(false, Ordering::Release);
    }

    fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            // The loop may have ended already.
            let _gone = self.events.send(Event::News);
        }
    }
}

/// One run's control.
pub(crate) struct Control {
    stop: AtomicU8,
    shutting_down: AtomicBool,
    /// Whether the task has asked if it should stop.
    is_cooperative: AtomicBool,
    changed: Notify,
    /// `None` where the task was settled before its run.
    lease: Option<Arc<LeaseEnd>>,
    progress: Mutex<Option<Progress>>,
    finished: AtomicBool,
    news: Arc<News>,
    /// Of an async task.
    pub(crate) polls: Polls,
    /// Of a plain task.
    pub(crate) thread: RunThread,
}

impl Control {
    pub(crate) fn new(lease: Option<Arc<LeaseEnd>>, news: Arc<News>) -> Arc<Self> {
        Arc::new(Self {
            stop: AtomicU8::new(0),
            shutting_down: AtomicBool::new(false),
            is_cooperative: AtomicBool::new(false),
            changed: Notify::new(),
            lease,
            progress: Mutex::new(None),
            finished: AtomicBool::new(false),
            news,
            polls: Polls::default(),
            thread: RunThread::default(),
        })
    }

    /// What the run told last of how far it is.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.lock().clone()
    }

    /// Marks the end of the run, which the loop may not have seen yet.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Release);
    }

    /// Whether the run has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Asks the run to stop; a stronger reason replaces a weaker one.
    pub(crate) fn stop(&self, why: Stop) {
        self.stop.fetch_max(why as u8, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Tells the run that the worker has begun to stop.
    pub(crate) fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Acquire)
    }

    /// Whether the task has asked if it should stop: it may react to a stop and return by itself.
    pub(crate) fn is_cooperative(&self) -> bool {
        self.is_cooperative.load(Ordering::Relaxed)
    }

    pub(crate) fn why(&self) -> Stop {
        Stop::of(self.stop.load(Ordering::Acquire))
    }

    /// Ends when the run should stop for a reason that `is` true for.
    pub(crate) async fn stopped(&self, is: fn(Stop) -> bool) {
        self.until(|control| is(control.why())).await;
    }

    /// Ends when a condition holds; it is checked after each change.
    async fn until(&self, holds: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the check, or a change in between would be missed.
            changed.as_mut().enable();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }

    /// Marks that the thread of a plain task ended; the loop learns of it where the run ended before its thread.
    pub(crate) fn thread_ended(&self) {
        if self.thread.end() {
            // The loop may have ended already.
            let _gone = self.news.events.send(Event::ThreadEnded);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the task gets to see.
#[derive(Clone)]
pub(crate) struct Visible(pub(crate) Arc<Control>);

impl RunControl for Visible {
    fn is_cancelled(&self) -> bool {
        self.cancel_reason().is_some()
    }

    fn cancel_reason(&self) -> Option<CancelReason> {
        self.0.is_cooperative.store(true, Ordering::Relaxed);
        self.0.why().reason()
    }

    fn is_shutting_down(&self) -> bool {
        self.0.is_shutting_down()
    }

    fn shutting_down(&self) -> BoxFuture<'static, ()> {
        let control = Arc::clone(&self.0);
        Box::pin(async move { control.until(Control::is_shutting_down).await })
    }

    fn cancelled(&self) -> BoxFuture<'static, ()> {
        let control = Arc::clone(&self.0);
        control.is_cooperative.store(true, Ordering::Relaxed);
        Box::pin(async move { control.stopped(|why| why != Stop::No).await })
    }

    fn lease_valid_until(&self) -> Option<Timestamp> {
        self.0.lease.as_ref().map(|lease| lease.get())
    }

    fn report(&self, progress: Progress) {
        let told = Some(Progress { message: one_line(progress.message), ..progress });
        let mut known = self.0.lock();
        if *known != told {
            *known = told;
            drop(known);
            self.0.news.raise();
        }
    }
}

/// Short and without what would move the cursor of a terminal.
fn one_line(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    if text.contains(char::is_control) {
        text = text.replace(char::is_control, " ");
    }
    text
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control")
            .field("stop", &self.why())
            .field("progress", &*self.lock())
            .finish_non_exhaustive()
    }
}
