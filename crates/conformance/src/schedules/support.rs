//! What the cases share.

use std::sync::Arc;
use std::time::Duration;

use lovage_core::schedule::{
    Advance, Advanced, Due, Entry, Expected, Fate, Firing, HistoryQuery, Saved, Schedule, ScheduleStore,
    StoredEntry,
};
use lovage_core::{BackendErrorKind, EntryName, Page, Source, TaskId, TaskName, Timestamp};
use lovage_system::SystemClock;
use lovage_testkit::within;

use super::ScheduleBed;

/// An instant: a slot of every interval of the cases, and this many seconds.
pub(super) fn t(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_800_010_800 + seconds) * 1_000_000)
}

pub(super) fn at(seconds: i64) -> Option<Timestamp> {
    Some(t(seconds))
}

pub(super) const NOW: Duration = Duration::ZERO;

pub(super) fn task(n: u8) -> TaskId {
    TaskId::from_bytes([n; 16])
}

pub(super) fn name(name: &str) -> EntryName {
    EntryName::new(name).expect("a name")
}

pub(super) fn source(name: &str) -> Source {
    Source::new(name).expect("a source")
}

/// An entry that is due every so many seconds.
pub(super) fn every(entry: &str, seconds: u64) -> Entry {
    let schedule = Schedule::every(Duration::from_secs(seconds)).expect("an interval");
    Entry::new(name(entry), TaskName::new("add").expect("a name"), schedule)
}

pub(super) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    within(&SystemClock::new(), Duration::from_secs(20), what, future).await
}

/// A handle with what cases do again and again.
pub(super) struct Desk {
    pub(super) store: Arc<dyn ScheduleStore>,
}

impl Desk {
    pub(super) async fn at(bed: &dyn ScheduleBed) -> Self {
        Self { store: bed.store().await }
    }

    pub(super) async fn add(&self, entry: &Entry, seconds: i64) -> StoredEntry {
        let saved = self.store.put(entry, Expected::New, at(seconds)).await.expect("the store takes it");
        let Saved::Saved(stored) = saved else { panic!("the name is free: {saved:?}") };
        *stored
    }

    pub(super) async fn edit(&self, entry: &Entry, revision: i64, seconds: i64) -> Saved {
        let expected = Expected::Revision(revision);
        self.store.put(entry, expected, at(seconds)).await.expect("the store takes it")
    }

    pub(super) async fn due(&self, seconds: i64) -> Due {
        self.store.due(NOW, 100, at(seconds)).await.expect("the store answers")
    }

    pub(super) async fn due_names(&self, seconds: i64) -> Vec<String> {
        names(&self.due(seconds).await.entries)
    }

    pub(super) async fn read(&self, entry: &str) -> StoredEntry {
        self.look(entry).await.expect("the entry is there")
    }

    pub(super) async fn look(&self, entry: &str) -> Option<StoredEntry> {
        let found = self.store.get(&[entry]).await.expect("the store reads").remove(0);
        found.map(|listed| listed.expect("a good row"))
    }

    pub(super) async fn advance(&self, advance: Advance) -> Advanced {
        let answers = self.store.advance(&[advance]).await.expect("the store writes");
        assert_eq!(answers.len(), 1);
        answers[0]
    }

    /// As a beat fires one slot.
    pub(super) async fn fire(&self, stored: &StoredEntry, seconds: i64, n: u8) -> Advanced {
        self.advance(fired(stored, seconds, n)).await
    }

    pub(super) async fn told(&self, entry: &str) -> Vec<Firing> {
        let page = self.store.history(&HistoryQuery::of(entry), Page::first(100)).await;
        page.expect("the store reads").items
    }

    /// Slot and fate, the newest first.
    pub(super) async fn fates(&self, entry: &str) -> Vec<(Timestamp, Fate)> {
        self.told(entry).await.into_iter().map(|firing| (firing.slot, firing.fate)).collect()
    }

    pub(super) async fn refusal<T: std::fmt::Debug>(
        &self,
        answer: impl Future<Output = Result<T, lovage_core::BackendError>>,
    ) -> String {
        let error = answer.await.expect_err("it is refused");
        assert_eq!(error.kind(), BackendErrorKind::Refused, "{error}");
        error.to_string()
    }
}

pub(super) fn fired(stored: &StoredEntry, seconds: i64, n: u8) -> Advance {
    let firing = Firing::fired(stored.entry.name.clone(), t(seconds), t(seconds), task(n));
    Advance::new(stored, t(seconds), vec![firing])
}

pub(super) fn names(entries: &[StoredEntry]) -> Vec<String> {
    entries.iter().map(|stored| stored.entry.name.to_string()).collect()
}
