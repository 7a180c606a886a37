//! The life of a stored entry: what edits and declarations make of it. Stores carry it out.

use std::collections::HashSet;
use std::fmt;

use super::{
    BadEntry, DisabledBy, Entry, Expected, Firing, Listed, Merged, Misfire, Ownership, Saved, Skip,
    StoredEntry,
};
use crate::{BackendError, BackendErrorKind, EntryName, Source, Timestamp};

/// What is to be written.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// The entry as it stands from now on.
    pub stored: StoredEntry,
    /// Slots that will not fire because of it.
    pub passed: Option<Firing>,
}

/// What a declaration leads to.
#[derive(Clone, PartialEq, Debug)]
pub enum MergeStep {
    /// There was no such entry.
    Add(Box<Change>),
    /// It is declared differently.
    Change(Box<Change>),
    /// It was edited: only what is declared is noted, where that is another.
    Note(Option<Box<Change>>),
    /// It belongs to another source, or cannot be read.
    Taken,
    /// It stands as it is declared.
    Nothing,
}

/// What a person's edit leads to for what stands under its name, or why it does not.
///
/// # Errors
/// [`Saved::Conflict`] when something else stands there than was expected.
pub fn put_step(
    listed: Option<&Listed>,
    entry: &Entry,
    expected: Expected,
    now: Timestamp,
) -> Result<Change, Saved> {
    let found =
        listed.map(|listed| listed.as_ref().map_or_else(|bad| bad.revision, |stored| stored.revision));
    match (listed, expected) {
        (None, Expected::New) => Ok(Change { stored: StoredEntry::new(entry.clone(), now), passed: None }),
        (Some(listed), Expected::Revision(seen)) if found == Some(seen) => Ok(match listed {
            Ok(stored) => stored.edit(entry.clone(), now),
            Err(bad) => bad.repair(entry.clone(), now),
        }),
        (Some(_), Expected::New) | (_, Expected::Revision(_)) => Err(Saved::Conflict(found)),
    }
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

/// Whether all that a source declares can be stored.
///
/// # Errors
/// `Refused` when an entry does not pass [`Entry::check`], or when two have one name.
pub fn check_declared(declared: &[Entry]) -> Result<(), BackendError> {
    let mut names = HashSet::with_capacity(declared.len());
    for entry in declared {
        let name = entry.name.as_str();
        entry.check().map_err(|error| refused(name, &error))?;
        if !names.insert(name) {
            return Err(refused(name, &"it is declared twice: give each its own name"));
        }
    }
    Ok(())
}

/// The refusal of an entry.
#[must_use]
pub fn refused(name: &str, why: &dyn fmt::Display) -> BackendError {
    BackendError::new(BackendErrorKind::Refused, format!("the schedule `{name}`: {why}"))
}

/// What a declaration of `source` leads to for what stands under its name.
#[must_use]
pub fn merge_step(listed: Option<&Listed>, source: &Source, declared: &Entry, now: Timestamp) -> MergeStep {
    let stored = match listed {
        None => return MergeStep::Add(Box::new(StoredEntry::declared(source, declared, now))),
        Some(Err(bad)) => return bad.merge(source, declared, now),
        Some(Ok(stored)) => stored,
    };
    let ownership = &stored.ownership;
    match &ownership.source {
        Some(owner) if owner != source && !ownership.gone => return MergeStep::Taken,
        Some(_) | None => {}
    }
    // What a person made is theirs, also when a source comes to declare it.
    let edited = ownership.edited || ownership.source.is_none();
    let same = ownership.source.as_ref() == Some(source)
        && !ownership.gone
        && ownership.declared.as_deref() == Some(declared);
    let comes_back = stored.disabled_by == Some(DisabledBy::Gone);
    // It ran once, for the same declaration.
    let is_done =
        stored.disabled_by == Some(DisabledBy::Done) && ownership.declared.as_deref() == Some(declared);
    let entry = match (edited, same) {
        (true, true) => return MergeStep::Note(None),
        (false, true) => return MergeStep::Nothing,
        (true, false) => Entry { enabled: stored.entry.enabled || comes_back, ..stored.entry.clone() },
        (false, false) => Entry { enabled: declared.enabled && !is_done, ..declared.clone() },
    };
    let mut change = stored.becomes(entry, now);
    change.stored.ownership = Ownership {
        source: Some(source.clone()),
        declared: Some(Box::new(declared.clone())),
        edited,
        gone: false,
    };
    let change = Box::new(change);
    if edited { MergeStep::Note(Some(change)) } else { MergeStep::Change(change) }
}

impl Merged {
    /// Counts a step in; answers what is to be written.
    pub fn note(&mut self, name: &EntryName, step: MergeStep) -> Option<Change> {
        let (list, change) = match step {
            MergeStep::Add(change) => (&mut self.added, Some(*change)),
            MergeStep::Change(change) => (&mut self.changed, Some(*change)),
            MergeStep::Note(change) => (&mut self.edited, change.map(|change| *change)),
            MergeStep::Taken => (&mut self.taken, None),
            MergeStep::Nothing => return None,
        };
        list.push(name.clone());
        change
    }
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

    fn declared(source: &Source, entry: &Entry, now: Timestamp) -> Change {
        let mut stored = Self::new(entry.clone(), now);
        stored.ownership.source = Some(source.clone());
        stored.ownership.declared = Some(Box::new(entry.clone()));
        Change { stored, passed: None }
    }

    /// The same entry with other content, and what that does to its slots.
    fn becomes(&self, entry: Entry, now: Timestamp) -> Change {
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

    /// A declaration repairs what its source owns when it is another than the one before.
    fn merge(&self, source: &Source, declared: &Entry, now: Timestamp) -> MergeStep {
        let ownership = &self.ownership;
        if ownership.source.as_ref() != Some(source)
            || ownership.edited
            || ownership.declared.as_deref() == Some(declared)
        {
            return MergeStep::Taken;
        }
        let mut change = self.repair(declared.clone(), now);
        change.stored.ownership = Ownership {
            source: Some(source.clone()),
            declared: Some(Box::new(declared.clone())),
            edited: false,
            gone: false,
        };
        MergeStep::Change(Box::new(change))
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

    fn source() -> Source {
        Source::new("code").unwrap()
    }

    /// What is stored after a merge, and the word of its step.
    fn merged(stored: Option<StoredEntry>, declared: &Entry, now: i64) -> (&'static str, StoredEntry) {
        let listed = stored.map(Ok);
        let step = merge_step(listed.as_ref(), &source(), declared, at(now));
        let old = || listed.clone().unwrap().unwrap();
        match step {
            MergeStep::Add(change) => ("add", change.stored),
            MergeStep::Change(change) => ("change", change.stored),
            MergeStep::Note(Some(change)) => ("note", change.stored),
            MergeStep::Note(None) => ("edited", old()),
            MergeStep::Taken => ("taken", old()),
            MergeStep::Nothing => ("nothing", old()),
        }
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
    fn code_owns_what_it_declares_until_somebody_edits_it() {
        let (step, first) = merged(None, &every(10), 0);
        assert_eq!((step, first.ownership.edited), ("add", false));
        assert_eq!(merged(Some(first.clone()), &every(10), 1).0, "nothing");
        let (step, second) = merged(Some(first), &every(7), 2);
        assert_eq!((step, &second.entry), ("change", &every(7)));
        let edited = second.edit(every(3), at(3)).stored;
        assert_eq!(merged(Some(edited.clone()), &every(7), 4).0, "edited");
        let (step, noted) = merged(Some(edited), &every(8), 4);
        assert_eq!((step, &noted.entry), ("note", &every(3)));
        let reset = noted.reset(at(5)).unwrap().stored;
        assert_eq!((&reset.entry, reset.ownership.edited), (&every(8), false));
        assert_eq!(merged(Some(reset), &every(8), 6).0, "nothing");
    }

    #[test]
    fn what_a_person_made_stays_theirs_and_another_sources_too() {
        let person = StoredEntry::new(every(10), at(0));
        assert_eq!(person.reset(at(1)), None);
        let (step, adopted) = merged(Some(person), &every(7), 1);
        assert_eq!((step, &adopted.entry, adopted.ownership.edited), ("note", &every(10), true));
        assert_eq!(adopted.reset(at(2)).unwrap().stored.entry, every(7));
        let other = Source::new("other").unwrap();
        let theirs = StoredEntry::declared(&other, &every(10), at(0)).stored;
        assert_eq!(merged(Some(theirs.clone()), &every(7), 1).0, "taken");
        let gone = theirs.vanish(at(1)).unwrap().stored;
        assert_eq!(merged(Some(gone), &every(7), 2).0, "change");
    }

    #[test]
    fn what_is_gone_is_disabled_once_and_comes_back_enabled() {
        let (_, stored) = merged(None, &every(10), 0);
        let gone = stored.vanish(at(5)).unwrap().stored;
        assert!(!gone.entry.enabled && gone.ownership.gone && gone.disabled_by == Some(DisabledBy::Gone));
        assert_eq!(gone.reset(at(6)), None);
        let by_hand = gone.enable(true, at(6)).unwrap().stored;
        assert_eq!(by_hand.vanish(at(7)), None);
        let (step, back) = merged(Some(gone), &every(10), 8);
        assert_eq!((step, back.entry.enabled, back.disabled_by), ("change", true, None));
        let edited = merged(None, &every(10), 0).1.edit(every(3), at(1)).stored;
        let (step, back) = merged(Some(edited.vanish(at(2)).unwrap().stored), &every(10), 3);
        assert_eq!((step, back.entry), ("note", every(3)));
    }

    #[test]
    fn what_ran_once_does_not_run_again_at_the_next_start() {
        let (_, mut stored) = merged(None, &every(10), 0);
        (stored.entry.enabled, stored.disabled_by) = (false, Some(DisabledBy::Done));
        assert_eq!(merged(Some(stored.clone()), &every(10), 1).0, "nothing");
        let gone = stored.vanish(at(2)).unwrap().stored;
        assert!(!merged(Some(gone), &every(10), 3).1.entry.enabled);
    }

    #[test]
    fn a_bad_row_is_repaired_by_an_edit_a_reset_or_another_declaration() {
        let ownership =
            Ownership { source: Some(source()), declared: Some(Box::new(every(10))), ..Ownership::default() };
        let name = "e".to_owned();
        let bad = BadEntry {
            name,
            reason: String::new(),
            revision: 4,
            enabled: false,
            done_until: at(9),
            ownership,
        };
        assert_eq!(bad.reset(at(5)).unwrap().stored.entry, every(10));
        let repaired = bad.repair(every(3), at(5)).stored;
        assert_eq!((repaired.revision, repaired.done_until, repaired.ownership.edited), (5, at(9), true));
        assert_eq!(merge_step(Some(&Err(bad.clone())), &source(), &every(10), at(5)), MergeStep::Taken);
        let step = merge_step(Some(&Err(bad)), &source(), &every(3), at(5));
        assert!(matches!(step, MergeStep::Change(change) if !change.stored.ownership.edited));
    }
}
