//! A result store that fails on command.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lovage_core::audit::AuditStore;
use lovage_core::stats::StatsStore;
use lovage_core::{
    AttemptRecord, BackendError, BackendErrorKind, Found, Page, Recorded, ResultFilter, ResultStore, TaskId,
    TaskRecord, Timestamp,
};

/// What fails next: `list` or `delete`, and how.
pub(super) type Failures = Arc<Mutex<VecDeque<(&'static str, BackendErrorKind)>>>;

/// In front of another.
#[derive(Debug)]
pub(super) struct FaultyResults {
    pub(super) inner: Arc<dyn ResultStore>,
    pub(super) failures: Failures,
}

impl FaultyResults {
    fn check(&self, operation: &str) -> Result<(), BackendError> {
        let mut failures = self.failures.lock().unwrap();
        match failures.pop_front_if(|(failing, _)| *failing == operation) {
            Some((_, kind)) => Err(BackendError::new(kind, format!("no {operation}, as the test asked for"))),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl ResultStore for FaultyResults {
    async fn record(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError> {
        self.inner.record(batch, now).await
    }

    async fn get(
        &self,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<Vec<Option<TaskRecord>>, BackendError> {
        self.inner.get(ids, now).await
    }

    async fn history(&self, id: TaskId) -> Result<Vec<AttemptRecord>, BackendError> {
        self.inner.history(id).await
    }

    async fn list(&self, filter: &ResultFilter, page: Page) -> Result<Found, BackendError> {
        self.check("list")?;
        self.inner.list(filter, page).await
    }

    async fn expire(&self, limit: usize, now: Option<Timestamp>) -> Result<usize, BackendError> {
        self.inner.expire(limit, now).await
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<usize, BackendError> {
        self.check("delete")?;
        self.inner.delete(ids).await
    }

    fn stats(&self) -> Option<&dyn StatsStore> {
        self.inner.stats()
    }

    fn audit(&self) -> Option<&dyn AuditStore> {
        self.inner.audit()
    }
}
