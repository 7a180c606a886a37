//! A schedule store that answers late, or not at all, and tells what it was asked.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use lovage_broker_memory::MemorySchedules;
use lovage_core::schedule::{
    Advance, Advanced, Due, Entry, EntryFilter, Expected, Firing, HistoryQuery, Identity, Listed, Merged,
    Saved, ScheduleStore, StoredEntry,
};
use lovage_core::{BackendError, BackendErrorKind, Page, Paged, Source, Timestamp};

/// A handle of one beat.
#[derive(Debug)]
pub(crate) struct Gate {
    inner: MemorySchedules,
    down: AtomicBool,
    lose_answer: AtomicBool,
    deaf: AtomicBool,
    held: AtomicBool,
    calls: Mutex<BTreeMap<&'static str, usize>>,
}

impl Gate {
    pub(crate) fn new(inner: MemorySchedules) -> Arc<Self> {
        Arc::new(Self {
            inner,
            down: AtomicBool::new(false),
            lose_answer: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            held: AtomicBool::new(false),
            calls: Mutex::default(),
        })
    }

    /// From now on every operation fails as unavailable, or does not.
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// The next advance takes effect, and its answer is lost.
    pub(crate) fn lose_answer(&self) {
        self.lose_answer.store(true, Ordering::SeqCst);
    }

    /// From now on answers stay on the wire, or do not any more.
    pub(crate) fn hold_answers(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    /// From now on no change is told.
    pub(crate) fn lose_hints(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.calls.lock().unwrap().get(operation).copied().unwrap_or(0)
    }

    /// A turn of the others before and after, as on a network.
    async fn through<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, BackendError>>,
    ) -> Result<T, BackendError> {
        *self.calls.lock().unwrap().entry(operation).or_default() += 1;
        one_turn().await;
        if self.down.load(Ordering::SeqCst) {
            return Err(BackendError::new(BackendErrorKind::Unavailable, "the test took the store down"));
        }
        let answer = call.await;
        one_turn().await;
        while self.held.load(Ordering::SeqCst) {
            one_turn().await;
        }
        answer
    }
}

async fn one_turn() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[async_trait]
impl ScheduleStore for Gate {
    async fn due(&self, ahead: Duration, limit: usize, now: Option<Timestamp>) -> Result<Due, BackendError> {
        self.through("due", self.inner.due(ahead, limit, now)).await
    }

    async fn identity(&self) -> Result<Identity, BackendError> {
        self.inner.identity().await
    }

    async fn advance(&self, batch: &[Advance]) -> Result<Vec<Advanced>, BackendError> {
        let answer = self.through("advance", self.inner.advance(batch)).await?;
        if self.lose_answer.swap(false, Ordering::SeqCst) {
            let error = BackendError::new(BackendErrorKind::Unavailable, "an answer that the test lost");
            return Err(error.maybe_applied());
        }
        Ok(answer)
    }

    async fn put(
        &self,
        entry: &Entry,
        expected: Expected,
        now: Option<Timestamp>,
    ) -> Result<Saved, BackendError> {
        self.inner.put(entry, expected, now).await
    }

    async fn set_enabled(
        &self,
        name: &str,
        enabled: bool,
        now: Option<Timestamp>,
    ) -> Result<Option<StoredEntry>, BackendError> {
        self.inner.set_enabled(name, enabled, now).await
    }

    async fn reset(&self, name: &str, now: Option<Timestamp>) -> Result<Option<StoredEntry>, BackendError> {
        self.inner.reset(name, now).await
    }

    async fn delete(&self, names: &[&str]) -> Result<usize, BackendError> {
        self.inner.delete(names).await
    }

    async fn merge(
        &self,
        source: &Source,
        declared: &[Entry],
        now: Option<Timestamp>,
    ) -> Result<Merged, BackendError> {
        self.inner.merge(source, declared, now).await
    }

    async fn get(&self, names: &[&str]) -> Result<Vec<Option<Listed>>, BackendError> {
        self.inner.get(names).await
    }

    async fn list(&self, filter: &EntryFilter, page: Page) -> Result<Paged<Listed>, BackendError> {
        self.inner.list(filter, page).await
    }

    async fn history(&self, query: &HistoryQuery, page: Page) -> Result<Paged<Firing>, BackendError> {
        self.inner.history(query, page).await
    }

    async fn forget(
        &self,
        keep: Duration,
        limit: usize,
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError> {
        self.through("forget", self.inner.forget(keep, limit, now)).await
    }

    async fn changed(&self) {
        self.inner.changed().await;
        if self.deaf.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}
