//! What the two kinds of database have in common when they keep who did what.

use lovage_core::audit::{Action, AuditFilter};
use lovage_core::{BackendError, Page, Paged, Timestamp};

use crate::page::{LARGEST_PAGE, count, no_page};

pub(crate) const RECORDING: &str = "keeping actions";
pub(crate) const LISTING: &str = "listing actions";
pub(crate) const TRIMMING: &str = "trimming actions";

/// What to list.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: AuditFilter,
    pub(crate) since: Timestamp,
    /// The row in front of which everything is already answered, or not asked for.
    pub(crate) after: Key,
    limit: usize,
}

/// Where a row stands in the order of the list, backwards.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    pub(crate) at: Timestamp,
    pub(crate) id: i64,
}

/// Which index serves the list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    All,
    Who,
    What,
    Both,
}

impl Wanted {
    pub(crate) fn new(filter: &AuditFilter, page: &Page) -> Result<Self, BackendError> {
        let end = Key { at: Timestamp::from_micros(i64::MAX), id: i64::MAX };
        let after = page.after.as_deref().map_or(Ok(end), read_key)?;
        let until = filter.until.map_or(end, |at| Key { at, id: i64::MIN });
        Ok(Self {
            filter: filter.fitted(),
            since: filter.since.unwrap_or(Timestamp::from_micros(i64::MIN)),
            after: after.min(until),
            limit: page.limit.clamp(1, LARGEST_PAGE),
        })
    }

    pub(crate) fn way(&self) -> Way {
        match (&self.filter.who, &self.filter.what) {
            (None, None) => Way::All,
            (Some(_), None) => Way::Who,
            (None, Some(_)) => Way::What,
            (Some(_), Some(_)) => Way::Both,
        }
    }

    /// One more than the limit: that tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        count(self.limit + 1)
    }

    /// The page of what was found.
    pub(crate) fn page(&self, mut found: Vec<(i64, Action)>) -> Paged<Action> {
        let more = found.len() > self.limit;
        found.truncate(self.limit);
        let next = found.last().filter(|_| more).map(|(id, last)| format!("{}_{id}", last.at.as_micros()));
        Paged { items: found.into_iter().map(|(_, action)| action).collect(), next }
    }
}

fn read_key(text: &str) -> Result<Key, BackendError> {
    let parts = text.split_once('_');
    let key = parts.and_then(|(micros, id)| {
        Some(Key { at: Timestamp::from_micros(micros.parse().ok()?), id: id.parse().ok()? })
    });
    key.ok_or_else(|| no_page(text))
}
