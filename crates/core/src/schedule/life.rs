//! The life of a stored entry: what edits and declarations make of it. Stores carry it out.

use std::fmt;

use super::{
    BadEntry, DisabledBy, Entry, Expected, Firing, Listed, Misfire, Ownership, Saved, Skip, StoredEntry,
};
use crate::{BackendError, BackendErrorKind, Source, Timestamp};

/// What is to be written.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// The entry as it stands from now on.
    pub stored: StoredEntry,
    /// Slots that will not fire because of it.
    pub passed: Option<Firing>,
}

/// What a person's edit leads to for what stands under its name, or [`Saved::Conflict`] when something else stands there than
/// was expected.
///
/// # Errors
/// `Refused` when a new entry, or one whose times change, can never run.
pub fn put_step(
    listed: Option<&Listed>,
    entry: &Entry,
    expected: Expected,
    now: Timestamp,
) -> Result<Result<Change, Saved>, BackendError> {
    let found =
        listed.map(|listed| listed.as_ref().map_or_else(|bad| bad.revision, |stored| stored.revision));
    let change = match (listed, expected) {
        (None, Expected::New) => Change { stored: StoredEntry::new(entry.clone(), now), passed: None },
        (Some(listed), Expected::Revision(seen)) if found == Some(seen) => match listed {
            Ok(stored) => stored.edit(entry.clone(), now),
            Err(bad) => bad.repair(entry.clone(), now),
        },
        (Some(_), Expected::New) | (_, Expected::Revision(_)) => return Ok(Err(Saved::Conflict(found))),
    };
    let changes = |stored: &StoredEntry| {
        let before = &stored.entry;
        !entry.same_times(before) || entry.expires != before.expires || entry.enabled != before.enabled
    };
    if listed.and_then(|listed| listed.as_ref().ok()).is_none_or(changes) {
        entry.check_runs(now).map_err(|error| refused(entry.name.as_str(), &error))?;
    }
    Ok(Ok(change))
}

/// What giving an entry back to its source leads to.
///
/// # Errors
/// `Refused` when no source declares it.
pub fn reset_step(listed: &Listed, now: Timestamp) -> Result<Change, BackendError> {
    let (name, change) = match listed {
        Ok(stored) => (stored.entry.name.as_str(), stored.reset(now)),
        Err(bad) => (bad.name.as_str(), bad.reset(now)),
    };
    change.ok_or_else(|| {
        let message =
            format!("the schedule `{name}` cannot be reset: no source declares it; edit or delete it");
        BackendError::new(BackendErrorKind::Refused, message)
    })
}

/// The refusal of an entry.
#[must_use]
pub fn refused(name: &str, why: &dyn fmt::Display) -> BackendError {
    BackendError::new(BackendErrorKind::Refused, format!("the schedule `{name}`: {why}"))
}

impl StoredEntry {
    /// An entry that a person makes.
    #[must_use]
    pub fn new(entry: Entry, now: Timestamp) -> Self {
        let next_run_at = entry.next_run_at(now).filter(|_| entry.enabled);
        Self {
            entry,
            revision: 1,
            done_until: now,
            next_run_at,
            last_run_at: None,
            last_task_id: None,
            total_run_count: 0,
            last_error: None,
            disabled_by: None,
            rewound: None,
            fired_ahead: Vec::new(),
            ownership: Ownership::default(),
        }
    }

    /// What a person's edit makes of it.
    #[must_use]
    pub fn edit(&self, entry: Entry, now: Timestamp) -> Change {
        let mut change = self.becomes(entry, now);
        change.stored.ownership.edited = self.ownership.source.is_some();
        change
    }

    /// What enabling or disabling makes of it; `None` when it is so already.
    #[must_use]
    pub fn enable(&self, enabled: bool, now: Timestamp) -> Option<Change> {
        let entry = Entry { enabled, ..self.entry.clone() };
        (enabled != self.entry.enabled).then(|| self.edit(entry, now))
    }

    /// Gives it back to its source; `None` when no source declares it.
    #[must_use]
    pub fn reset(&self, now: Timestamp) -> Option<Change> {
        let ownership = &self.ownership;
        let declared = ownership.declared.as_deref().filter(|_| !ownership.gone)?;
        let mut change = self.becomes(declared.clone(), now);
        change.stored.ownership.edited = false;
        Some(change)
    }

    /// What it becomes when its source no longer declares it; `None` when that is known.
    #[must_use]
    pub fn vanish(&self, now: Timestamp) -> Option<Change> {
        if self.ownership.gone {
            return None;
        }
        let mut change = self.becomes(Entry { enabled: false, ..self.entry.clone() }, now);
        change.stored.ownership.gone = true;
        change.stored.disabled_by =
            if self.entry.enabled { Some(DisabledBy::Gone) } else { self.disabled_by };
        Some(change)
    }

    /// As a source declares it.
    pub(super) fn declared(source: &Source, entry: &Entry, now: Timestamp) -> Change {
        let mut stored = Self::new(entry.clone(), now);
        stored.ownership.source = Some(source.clone());
        stored.ownership.declared = Some(Box::new(entry.clone()));
        Change { stored, passed: None }
    }

    /// The same entry with other content, and what that does to its slots.
    pub(super) fn becomes(&self, entry: Entry, now: Timestamp) -> Change {
        let keeps = entry.same_times(&self.entry)
            && (self.entry.enabled || !entry.enabled || matches!(entry.misfire, Misfire::All(_)));
        let done_until = if keeps { self.done_until } else { self.done_until.max(now) };
        let why = if self.entry.enabled { Skip::Edited } else { Skip::Disabled };
        let passed = self.passed(done_until, now, why);
        let next_run_at = entry.next_run_at(done_until).filter(|_| entry.enabled);
        let disabled_by = if entry.enabled { None } else { self.disabled_by };
        let stored = Self {
            entry,
            revision: self.revision + 1,
            done_until,
            next_run_at,
            last_error: None,
            disabled_by,
            fired_ahead: Vec::new(),
            ownership: self.ownership.clone(),
            ..*self
        };
        Change { stored, passed }
    }

    /// The slots of this entry that are done with when it is moved on to `done_until`.
    fn passed(&self, done_until: Timestamp, now: Timestamp, why: Skip) -> Option<Firing> {
        let first = self.entry.next_slot(self.done_until).filter(|slot| *slot <= done_until)?;
        let last = self.entry.newest_between(self.done_until, done_until)?;
        Some(Firing::skipped(self.entry.name.clone(), (first, last), now, why))
    }
}

impl BadEntry {
    /// Why it cannot be enabled or disabled.
    #[must_use]
    pub fn refusal(&self) -> BackendError {
        refused(&self.name, &format_args!("its row cannot be read: {}; edit it", self.reason))
    }

    /// A good entry in its place.
    #[must_use]
    pub fn repair(&self, entry: Entry, now: Timestamp) -> Change {
        let mut stored = StoredEntry::new(entry, now.max(self.done_until));
        stored.revision = self.revision + 1;
        stored.ownership = self.ownership.clone();
        stored.ownership.edited = self.ownership.source.is_some();
        Change { stored, passed: None }
    }

    /// What its source declares, in its place; `None` when no source declares it.
    #[must_use]
    pub fn reset(&self, now: Timestamp) -> Option<Change> {
        let declared = self.ownership.declared.as_deref().filter(|_| !self.ownership.gone)?;
        let mut change = self.repair(declared.clone(), now);
        change.stored.ownership.edited = false;
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::{Fate, Schedule};
    use crate::{EntryName, TaskName};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn every(seconds: u64) -> Entry {
        let schedule = Schedule::every(Duration::from_secs(seconds)).unwrap();
        Entry::new(EntryName::new("e").unwrap(), TaskName::new("t").unwrap(), schedule)
    }

    #[test]
    fn a_new_entry_is_not_overdue() {
        let stored = StoredEntry::new(every(10), at(20));
        assert_eq!((stored.done_until, stored.next_run_at), (at(20), Some(at(30))));
        let disabled = StoredEntry::new(Entry { enabled: false, ..every(10) }, at(20));
        assert_eq!(disabled.next_run_at, None);
    }

    #[test]
    fn an_edit_of_the_times_passes_over_what_is_overdue_and_tells_so() {
        let stored = StoredEntry::new(every(10), at(0));
        let change = stored.edit(every(7), at(35));
        assert_eq!((change.stored.done_until, change.stored.next_run_at), (at(35), Some(at(42))));
        let passed = change.passed.unwrap();
        assert_eq!(
            (passed.slot, passed.last_slot, passed.fate),
            (at(10), at(30), Fate::Skipped(Skip::Edited))
        );
    }

    #[test]
    fn an_edit_of_anything_else_leaves_the_next_run() {
        let stored = StoredEntry::new(every(10), at(0));
        let change = stored.edit(Entry { description: "d".to_owned(), ..every(10) }, at(35));
        assert_eq!((change.stored.done_until, change.stored.next_run_at), (at(0), Some(at(10))));
        assert_eq!(change.passed, None);
        assert_eq!(change.stored.revision, 2);
    }

    #[test]
    fn enabling_fires_what_was_missed_only_when_the_policy_wants_all() {
        for (misfire, next) in [(Misfire::Skip, 40), (Misfire::Once, 40), (Misfire::All(5), 10)] {
            let stored = StoredEntry::new(Entry { misfire, ..every(10) }, at(0));
            let disabled = stored.enable(false, at(5)).unwrap().stored;
            assert_eq!(disabled.next_run_at, None);
            let enabled = disabled.enable(true, at(35)).unwrap();
            assert_eq!(enabled.stored.next_run_at, Some(at(next)), "{misfire}");
            assert_eq!(enabled.passed.is_some(), next == 40);
            assert_eq!(enabled.stored.enable(true, at(36)), None);
        }
    }

    #[test]
    fn done_until_does_not_go_back_with_the_clock() {
        let stored = StoredEntry::new(every(10), at(100));
        assert_eq!(stored.edit(every(7), at(50)).stored.done_until, at(100));
    }

    #[test]
    fn a_bad_row_is_repaired_by_an_edit_or_a_reset() {
        let ownership = Ownership {
            source: Some(Source::new("code").unwrap()),
            declared: Some(Box::new(every(10))),
            ..Ownership::default()
        };
        let (name, reason) = ("e".to_owned(), String::new());
        let bad = BadEntry { name, reason, revision: 4, enabled: false, done_until: at(9), ownership };
        assert_eq!(bad.reset(at(5)).unwrap().stored.entry, every(10));
        let repaired = bad.repair(every(3), at(5)).stored;
        assert_eq!((repaired.revision, repaired.done_until, repaired.ownership.edited), (5, at(9), true));
    }
}
