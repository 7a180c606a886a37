//! The threads of plain tasks. A thread cannot be killed: where a run ends first, its thread is abandoned, counted and shown until
//! its function returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use lovage_core::AbandonedThread;

use crate::control::Control;

/// The most abandoned threads that take no slot. Each further one keeps its slot taken, so that a task that hangs each time cannot
/// fill the pool of threads, where new runs would wait without a word.
const MAX_WITHOUT_SLOT: usize = 100;
/// The most abandoned threads that a heartbeat shows.
const MAX_SHOWN: usize = 1_000;

const NONE: u8 = 0;
const RUNS: u8 = 1;
const ABANDONED: u8 = 2;
const ENDED: u8 = 3;

/// The state of a run's thread.
#[derive(Debug, Default)]
pub(crate) struct RunThread(AtomicU8);

impl RunThread {
    /// Abandons the thread of a run that has ended; `false` where there is none, or it ended first.
    pub(crate) fn abandon(&self) -> bool {
        self.0.compare_exchange(RUNS, ABANDONED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Marks the end of the thread; `true` where it was abandoned before.
    pub(crate) fn end(&self) -> bool {
        self.0.swap(ENDED, Ordering::AcqRel) == ABANDONED
    }

    fn is(&self, state: u8) -> bool {
        self.0.load(Ordering::Acquire) == state
    }
}

/// Marks the thread of a run as running until this is dropped.
#[derive(Debug)]
pub(crate) struct ThreadGuard(Arc<Control>);

impl ThreadGuard {
    pub(crate) fn new(control: &Arc<Control>) -> Self {
        let thread = &control.thread.0;
        debug_assert!(control.thread.is(NONE), "a run has one thread");
        thread.store(RUNS, Ordering::Release);
        Self(Arc::clone(control))
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.0.thread.is(ABANDONED)
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        self.0.thread_ended();
    }
}

/// The abandoned threads of a worker, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct AbandonedThreads(Vec<(Arc<Control>, AbandonedThread)>);

impl AbandonedThreads {
    pub(crate) fn add(&mut self, control: Arc<Control>, thread: AbandonedThread) {
        self.0.push((control, thread));
    }

    /// Removes and returns those that have ended.
    pub(crate) fn take_ended(&mut self) -> Vec<AbandonedThread> {
        self.0.extract_if(.., |(control, _)| control.thread.is(ENDED)).map(|(_, thread)| thread).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The slots that they take.
    pub(crate) fn slots(&self) -> usize {
        self.0.len().saturating_sub(MAX_WITHOUT_SLOT)
    }

    /// The threads as a heartbeat shows them.
    pub(crate) fn shown(&self) -> Vec<AbandonedThread> {
        self.0.iter().take(MAX_SHOWN).map(|(_, thread)| thread.clone()).collect()
    }
}
