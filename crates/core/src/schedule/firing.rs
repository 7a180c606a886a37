//! What became of slots, and how a beat writes it down.

use crate::{EntryName, TaskId, Timestamp};

use super::StoredEntry;

/// What became of a slot, or of several in a row that were passed over together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Firing {
    /// The entry.
    pub name: EntryName,
    /// The slot; the first one of several.
    pub slot: Timestamp,
    /// The last one of several, else the same.
    pub last_slot: Timestamp,
    /// When it was decided.
    pub at: Timestamp,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// This task was published for it.
    Fired(TaskId),
    /// It is no slot: somebody ran the entry by hand, as this task.
    Manual(TaskId),
    /// Nothing was published.
    Skipped(Skip),
}

/// Why a slot did not fire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Skip {
    /// It was missed, and the entry's misfire policy passes it over.
    Misfire,
    /// This task of an earlier slot still waited or ran.
    Overlap(TaskId),
    /// The entry was disabled.
    Disabled,
    /// The entry was edited; these were slots of what it was before.
    Edited,
    /// The broker did not take it, for this reason.
    Refused(String),
}

impl Firing {
    /// A slot for which a task was published.
    #[must_use]
    pub fn fired(name: EntryName, slot: Timestamp, at: Timestamp, task: TaskId) -> Self {
        Self { name, slot, last_slot: slot, at, fate: Fate::Fired(task) }
    }

    /// A run by hand.
    #[must_use]
    pub fn manual(name: EntryName, at: Timestamp, task: TaskId) -> Self {
        Self { name, slot: at, last_slot: at, at, fate: Fate::Manual(task) }
    }

    /// Slots that were passed over.
    #[must_use]
    pub fn skipped(name: EntryName, slots: (Timestamp, Timestamp), at: Timestamp, why: Skip) -> Self {
        Self { name, slot: slots.0, last_slot: slots.1, at, fate: Fate::Skipped(why) }
    }
}

impl Fate {
    /// All words of [`as_str`](Self::as_str).
    pub const WORDS: [&str; 7] = ["fired", "manual", "misfire", "overlap", "disabled", "edited", "refused"];

    /// The task that was published.
    #[must_use]
    pub const fn task(&self) -> Option<TaskId> {
        match self {
            Self::Fired(task) | Self::Manual(task) => Some(*task),
            Self::Skipped(_) => None,
        }
    }

    /// The word that is stored and shown: `fired`, `manual`, `misfire`, `overlap`, `disabled`, `edited` or `refused`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Fired(_) => "fired",
            Self::Manual(_) => "manual",
            Self::Skipped(Skip::Misfire) => "misfire",
            Self::Skipped(Skip::Overlap(_)) => "overlap",
            Self::Skipped(Skip::Disabled) => "disabled",
            Self::Skipped(Skip::Edited) => "edited",
            Self::Skipped(Skip::Refused(_)) => "refused",
        }
    }

    /// The task beside the word: the one that was published, or that was in the way.
    #[must_use]
    pub const fn stored_task(&self) -> Option<TaskId> {
        match self {
            Self::Fired(task) | Self::Manual(task) | Self::Skipped(Skip::Overlap(task)) => Some(*task),
            Self::Skipped(Skip::Misfire | Skip::Disabled | Skip::Edited | Skip::Refused(_)) => None,
        }
    }

    /// The text beside the word: why the broker did not take it.
    #[must_use]
    pub fn stored_note(&self) -> Option<&str> {
        match self {
            Self::Skipped(Skip::Refused(note)) => Some(note),
            Self::Fired(_)
            | Self::Manual(_)
            | Self::Skipped(Skip::Misfire | Skip::Overlap(_) | Skip::Disabled | Skip::Edited) => None,
        }
    }

    /// From [`as_str`](Self::as_str), [`stored_task`](Self::stored_task) and [`stored_note`](Self::stored_note).
    #[must_use]
    pub fn from_stored(word: &str, task: Option<TaskId>, note: Option<String>) -> Option<Self> {
        Some(match word {
            "fired" => Self::Fired(task?),
            "manual" => Self::Manual(task?),
            "misfire" => Self::Skipped(Skip::Misfire),
            "overlap" => Self::Skipped(Skip::Overlap(task?)),
            "disabled" => Self::Skipped(Skip::Disabled),
            "edited" => Self::Skipped(Skip::Edited),
            "refused" => Self::Skipped(Skip::Refused(note.unwrap_or_default())),
            _ => return None,
        })
    }
}

/// What a beat writes about one entry after it published: compare-and-set, see
/// [`ScheduleStore::advance`](super::ScheduleStore::advance).
#[derive(Clone, PartialEq, Debug)]
pub struct Advance {
    /// The entry.
    pub name: EntryName,
    /// The [`revision`](StoredEntry::revision) that was seen.
    pub revision: i64,
    /// The [`done_until`](StoredEntry::done_until) that was seen.
    pub seen: Timestamp,
    /// Slots up to this one are done with from now on; not earlier than `seen`, unless it `rewinds`.
    pub done_until: Timestamp,
    /// When the next slot fires; `None` when there is none.
    pub next_run_at: Option<Timestamp>,
    /// Whether the entry is disabled, because it was to run once and has run.
    pub ends: bool,
    /// What went wrong; `None` clears what went wrong before.
    pub error: Option<String>,
    /// Whether the entry is moved back, because the store's clock had been ahead: [`rewind`](Self::rewind).
    pub rewinds: bool,
    /// What became of the slots later than `seen` and not later than `done_until`, and of runs by hand.
    pub firings: Vec<Firing>,
}

impl Advance {
    /// Past the slots up to `done_until`, of which `firings` tell.
    #[must_use]
    pub fn new(stored: &StoredEntry, done_until: Timestamp, firings: Vec<Firing>) -> Self {
        let done_until = done_until.max(stored.done_until);
        let fired = firings.iter().any(|firing| matches!(firing.fate, Fate::Fired(_)));
        let ends = stored.entry.one_off && fired;
        let next_run_at =
            if ends || !stored.entry.enabled { None } else { stored.entry.next_run_at(done_until) };
        Self {
            name: stored.entry.name.clone(),
            revision: stored.revision,
            seen: stored.done_until,
            done_until,
            next_run_at,
            ends,
            error: None,
            rewinds: false,
            firings,
        }
    }

    /// Moves an entry that is done ahead of the store's clock back to `to`. What fired ahead of time stays in the history.
    #[must_use]
    pub fn rewind(stored: &StoredEntry, to: Timestamp) -> Self {
        Self {
            name: stored.entry.name.clone(),
            revision: stored.revision,
            seen: stored.done_until,
            done_until: to,
            next_run_at: stored.entry.next_run_at(to).filter(|_| stored.entry.enabled),
            ends: false,
            error: stored.last_error.clone(),
            rewinds: true,
            firings: Vec::new(),
        }
    }

    /// With what went wrong, for people.
    #[must_use]
    pub fn with_error(mut self, error: impl Into<String>) -> Self {
        self.error = Some(super::store::short(error.into()));
        self
    }
}
