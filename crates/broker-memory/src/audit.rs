//! Who did what, in the memory of this process.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lovage_core::audit::{Action, AuditFilter, AuditStore};
use lovage_core::{BackendError, Page, Paged, Timestamp};

use crate::MemoryResults;
use crate::page::{paged, read_key, write_key};

/// Actions by their instant, and by the order in which they came.
#[derive(Default)]
pub(crate) struct Actions {
    kept: BTreeMap<(Timestamp, i64), Action>,
    last: i64,
}

#[async_trait]
impl AuditStore for MemoryResults {
    async fn record(&self, batch: &[Action]) -> Result<(), BackendError> {
        let mut actions = self.actions();
        for action in batch {
            actions.last += 1;
            let key = (action.at, actions.last);
            actions.kept.insert(key, action.fitted());
        }
        Ok(())
    }

    async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Paged<Action>, BackendError> {
        let after = read_key(&page)?.map(|[micros, number]| (Timestamp::from_micros(micros), number));
        let filter = filter.fitted();
        let actions = self.actions();
        let rest = actions.kept.iter().rev().filter(|(key, _)| after.is_none_or(|after| **key < after));
        let found = rest.filter(|(_, action)| filter.matches(action));
        let keyed =
            found.map(|((at, number), action)| (write_key(&[at.as_micros(), *number]), action.clone()));
        Ok(paged(keyed, page.limit))
    }

    async fn trim(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let mut actions = self.actions();
        let old: Vec<_> =
            actions.kept.keys().take_while(|(at, _)| *at < before).take(limit).copied().collect();
        old.iter().for_each(|key| drop(actions.kept.remove(key)));
        Ok(old.len())
    }
}
