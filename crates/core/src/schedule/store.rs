//! Where entries are kept: what is stored with them, and the trait that every store implements.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Advance, Entry, Firing};
use crate::{BackendError, EntryName, Page, Paged, Source, StoreId, TaskId, Timestamp, limits};

/// A store of the schedule.
///
/// 1. **Due by index.** [`due`](Self::due) finds enabled entries by `next_run_at`, never by reading the others, and says when
///    the next one is due.
/// 2. **Advance is a compare-and-set.** It takes effect when [`revision`](StoredEntry::revision) and
///    [`done_until`](StoredEntry::done_until) are still those that were seen: so of several beats one wins, and none
///    overwrites an edit. Entry and firings are written in one transaction. What was published is written in either case,
///    once per entry and slot, because it did happen; what was passed over only by the one who wins.
/// 3. **`done_until` goes back in one case only.** Slots up to it are done with, whatever becomes of edits. When an enabled
///    entry is done further ahead of the store's clock than [`limits::CLOCK_TOLERANCE`], the clock was wrong and has been set
///    back: [`due`](Self::due) answers the entry in [`Due::ahead_of_clock`], and a beat moves it back by [`Advance::rewind`].
///    Slots that fired ahead of time stay in the history, and [`StoredEntry::fired_ahead`] names them.
/// 4. **Edits are a compare-and-set** by `revision`, which grows with each of them and not with what beats write.
/// 5. **An edit makes nothing overdue.** Where it changes the times, or enables the entry, slots up to then are done with and
///    the history tells so. `Misfire::All` alone keeps those that passed while the entry was disabled. Other edits leave the
///    next run as it was.
/// 6. **A source owns what it declares** until somebody edits it: [`merge`](Self::merge) writes an entry only where the
///    declaration differs from the one before. [`reset`](Self::reset) gives it back. What is no longer declared is disabled
///    and marked, once; what is declared again is enabled again.
/// 7. **A bad row disables itself**: one that cannot be read, written by somebody else, is disabled with its reason when it
///    is due, and stops no other.
/// 8. **Changes are told** to every handle within a second, whoever made them; what beats write by `advance` is no change.
///    Hints are hints: one may stand for several, or for nothing.
/// 9. **Lists are paged by key**, by name in the order of its bytes.
/// 10. **History is forgotten in bounded chunks.**
/// 11. **A store has an identity** that is made with it and never changes: [`identity`](Self::identity).
///
/// **Time has one authority, the server.** `now: None` means its own clock; tests pass an instant and travel in time.
#[async_trait]
pub trait ScheduleStore: Send + Sync + fmt::Debug {
    /// Up to `limit` (1 to 10,000) enabled entries that are due now or will be within `ahead`, the most overdue first.
    async fn due(&self, ahead: Duration, limit: usize, now: Option<Timestamp>) -> Result<Due, BackendError>;

    /// Which store this is, and where it is.
    async fn identity(&self) -> Result<Identity, BackendError>;

    /// Writes what became of slots; the answers are in the order of the batch. Each entry may stand in it once.
    async fn advance(&self, batch: &[Advance]) -> Result<Vec<Advanced>, BackendError>;

    /// Adds an entry, or edits one, as a person does. `Refused` when [`Entry::check`] does not pass, and when a new entry, or
    /// one whose times change, does not pass [`Entry::check_runs`].
    async fn put(
        &self,
        entry: &Entry,
        expected: Expected,
        now: Option<Timestamp>,
    ) -> Result<Saved, BackendError>;

    /// Enables or disables an entry, as a person does. `None` when there is no such entry; `Refused` for a bad one.
    async fn set_enabled(
        &self,
        name: &str,
        enabled: bool,
        now: Option<Timestamp>,
    ) -> Result<Option<StoredEntry>, BackendError>;

    /// Gives an entry back to its source. `None` when there is no such entry; `Refused` when no source declares it.
    async fn reset(&self, name: &str, now: Option<Timestamp>) -> Result<Option<StoredEntry>, BackendError>;

    /// Removes entries; answers how many there were. Their history ends by time. What a source declares comes back with its
    /// next merge: disable it instead.
    async fn delete(&self, names: &[&str]) -> Result<usize, BackendError>;

    /// Makes the entries of a source those that it declares, which is all of them; see promise 6. `Refused` when one does
    /// not pass [`Entry::check`], or when two have one name: then nothing was changed.
    async fn merge(
        &self,
        source: &Source,
        declared: &[Entry],
        now: Option<Timestamp>,
    ) -> Result<Merged, BackendError>;

    /// The entries of these names, in their order.
    async fn get(&self, names: &[&str]) -> Result<Vec<Option<Listed>>, BackendError>;

    /// Entries that match a filter, by name.
    async fn list(&self, filter: &EntryFilter, page: Page) -> Result<Paged<Listed>, BackendError>;

    /// What became of the slots of an entry, the newest first.
    async fn history(&self, query: &HistoryQuery, page: Page) -> Result<Paged<Firing>, BackendError>;

    /// Removes up to `limit` firings that were decided longer than `keep` ago, of all entries; answers how many.
    async fn forget(
        &self,
        keep: Duration,
        limit: usize,
        now: Option<Timestamp>,
    ) -> Result<usize, BackendError>;

    /// Ends when entries may have changed since it ended last. The first call on a handle ends at once: from then on the
    /// handle listens. Dropping the future loses nothing.
    async fn changed(&self);
}

/// An entry with what the store knows about it.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredEntry {
    /// What somebody stated.
    pub entry: Entry,
    /// Grows with each edit.
    pub revision: i64,
    /// Slots up to this instant are done with.
    pub done_until: Timestamp,
    /// When the next slot fires: `None` when there is none, or when the entry is disabled.
    pub next_run_at: Option<Timestamp>,
    /// When it last fired.
    pub last_run_at: Option<Timestamp>,
    /// The task of that.
    pub last_task_id: Option<TaskId>,
    /// How often it fired.
    pub total_run_count: i64,
    /// What went wrong last, at most 1 KiB.
    pub last_error: Option<String>,
    /// Why it is disabled, where nobody said that it should be.
    pub disabled_by: Option<DisabledBy>,
    /// The last time that it was moved back because the store's clock had been ahead.
    pub rewound: Option<Rewound>,
    /// Slots later than [`done_until`](Self::done_until) that fired already, oldest first. Only [`ScheduleStore::due`] fills
    /// this in.
    pub fired_ahead: Vec<Timestamp>,
    /// Whose it is.
    pub ownership: Ownership,
}

/// An entry that was moved back after the store's clock had been ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewound {
    /// The [`done_until`](StoredEntry::done_until) that a wrong clock had led to.
    pub from: Timestamp,
    /// Where it was moved to: the time when the clock was set back, by the clock since then.
    pub at: Timestamp,
}

impl Rewound {
    /// How long people are told of it.
    const NOTICE: Duration = Duration::from_secs(86_400);

    /// In words, for a day.
    #[must_use]
    pub fn notice(&self, now: Timestamp) -> Option<String> {
        let is_recent = now.since(self.at) < Self::NOTICE && self.at.since(now) < Self::NOTICE;
        is_recent.then(|| {
            format!(
                "the clock of the schedule store was about {} ahead until {}; slots that fired ahead of time do not fire again, the others do",
                crate::format_duration(Duration::from_secs(self.from.since(self.at).as_secs())),
                self.at
            )
        })
    }
}

/// Which store keeps a schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Made with the store. A copy of the store has the same one.
    pub id: StoreId,
    /// Where the store is, as the database sees it; a copy is elsewhere. Empty where only the URL says that.
    pub place: String,
}

/// A row that cannot be read: somebody else wrote it.
#[derive(Clone, PartialEq, Debug)]
pub struct BadEntry {
    /// As it stands there.
    pub name: String,
    /// The field that is wrong, what was found there and what is allowed.
    pub reason: String,
    /// To edit it, which repairs it.
    pub revision: i64,
    /// Whether it is still enabled: until it is due.
    pub enabled: bool,
    /// Slots up to this instant are done with.
    pub done_until: Timestamp,
    /// Whose it is.
    pub ownership: Ownership,
}

/// What stands under a name.
pub type Listed = Result<StoredEntry, BadEntry>;

/// Whose an entry is.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ownership {
    /// The source that declares it; `None` where a person made it.
    pub source: Option<Source>,
    /// What the source declared last.
    pub declared: Option<Box<Entry>>,
    /// Whether somebody edited it since: then the source leaves it alone.
    pub edited: bool,
    /// Whether the source no longer declares it.
    pub gone: bool,
}

/// Why an entry is disabled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DisabledBy {
    /// It was to run once and has run.
    Done,
    /// Its source no longer declares it.
    Gone,
    /// Its row cannot be read; the reason is in [`StoredEntry::last_error`].
    Bad,
}

impl DisabledBy {
    /// The word that is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Gone => "gone",
            Self::Bad => "bad",
        }
    }

    /// The reason for a word of [`as_str`](Self::as_str).
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Done, Self::Gone, Self::Bad].into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What [`ScheduleStore::due`] found.
#[derive(Clone, PartialEq, Debug)]
pub struct Due {
    /// Which store this is.
    pub store: StoreId,
    /// The store's clock.
    pub now: Timestamp,
    /// Some of the enabled entries that are done further ahead of `now` than [`limits::CLOCK_TOLERANCE`]: see promise 3.
    pub ahead_of_clock: Vec<StoredEntry>,
    /// The most overdue first.
    pub entries: Vec<StoredEntry>,
    /// When the next entry is due that is not among them; not later than `now` plus `ahead` when there were too many.
    pub next_at: Option<Timestamp>,
}

/// What became of one advance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advanced {
    /// It took effect.
    Done,
    /// Another beat was first, or somebody edited or deleted the entry.
    Lost,
}

/// What a person saw before an edit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// No entry of this name.
    New,
    /// The entry at this revision.
    Revision(i64),
}

/// What became of an edit.
#[derive(Clone, PartialEq, Debug)]
pub enum Saved {
    /// It is stored.
    Saved(Box<StoredEntry>),
    /// The entry is at another revision, or gone (`None`): nothing was changed.
    Conflict(Option<i64>),
}

/// What a merge did. What is in none of the lists stands as it was declared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Merged {
    /// New.
    pub added: Vec<EntryName>,
    /// Declared differently than before.
    pub changed: Vec<EntryName>,
    /// Left alone, because somebody edited them.
    pub edited: Vec<EntryName>,
    /// Left alone, because another source declares them, or because nobody can read them.
    pub taken: Vec<EntryName>,
    /// No longer declared: disabled and marked.
    pub gone: Vec<EntryName>,
}

/// Which entries to list; everything that is set must match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EntryFilter {
    /// How the name begins.
    pub prefix: Option<String>,
    /// The task's name.
    pub task: Option<String>,
    /// Whether they are enabled.
    pub enabled: Option<bool>,
}

/// Which part of the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryQuery {
    /// The entry.
    pub name: String,
    /// Slots at or after.
    pub since: Option<Timestamp>,
    /// Slots before.
    pub until: Option<Timestamp>,
}

impl HistoryQuery {
    /// All of it.
    #[must_use]
    pub fn of(name: impl Into<String>) -> Self {
        Self { name: name.into(), since: None, until: None }
    }
}

/// A note for people as it is stored: at most 1 KiB, and without what databases cannot hold.
pub(super) fn short(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::NOTE_BYTES));
    text.replace('\0', "\u{fffd}")
}
