//! What the declarations of a source make of stored entries.

use std::collections::{HashMap, HashSet};

use super::{BadEntry, Change, DisabledBy, Entry, Listed, Merged, Ownership, StoredEntry, refused};
use crate::{BackendError, EntryName, Source, Timestamp};

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

/// What a merge leads to. `found` are the entries of the declared names, and those that the source declared before.
#[must_use]
pub fn merge<'a>(
    found: impl IntoIterator<Item = &'a Listed>,
    source: &Source,
    declared: &[Entry],
    now: Timestamp,
) -> (Merged, Vec<Change>) {
    let found: HashMap<&str, &Listed> = found.into_iter().map(|listed| (name(listed), listed)).collect();
    let (mut merged, mut changes) = (Merged::default(), Vec::new());
    for entry in declared {
        let step = merge_step(found.get(entry.name.as_str()).copied(), source, entry, now);
        changes.extend(merged.note(&entry.name, step));
    }
    let names: HashSet<&str> = declared.iter().map(|entry| entry.name.as_str()).collect();
    let mut gone: Vec<&StoredEntry> = found
        .values()
        .filter_map(|listed| listed.as_ref().ok())
        .filter(|stored| stored.ownership.source.as_ref() == Some(source))
        .filter(|stored| !names.contains(stored.entry.name.as_str()))
        .collect();
    gone.sort_by_key(|stored| &stored.entry.name);
    for stored in gone {
        if let Some(change) = stored.vanish(now) {
            merged.gone.push(stored.entry.name.clone());
            changes.push(change);
        }
    }
    (merged, changes)
}

/// What a declaration leads to.
#[derive(Clone, PartialEq, Debug)]
enum MergeStep {
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

impl Merged {
    /// Counts a step in; answers what is to be written.
    fn note(&mut self, name: &EntryName, step: MergeStep) -> Option<Change> {
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

/// What a declaration of `source` leads to for what stands under its name.
fn merge_step(listed: Option<&Listed>, source: &Source, declared: &Entry, now: Timestamp) -> MergeStep {
    let stored = match listed {
        None => return MergeStep::Add(Box::new(StoredEntry::declared(source, declared, now))),
        Some(Err(bad)) => return repair_step(bad, source, declared, now),
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

/// A bad row is repaired by its source when that declares something else than before.
fn repair_step(bad: &BadEntry, source: &Source, declared: &Entry, now: Timestamp) -> MergeStep {
    let ownership = &bad.ownership;
    if ownership.source.as_ref() != Some(source)
        || ownership.edited
        || ownership.declared.as_deref() == Some(declared)
    {
        return MergeStep::Taken;
    }
    let mut change = bad.repair(declared.clone(), now);
    change.stored.ownership = Ownership {
        source: Some(source.clone()),
        declared: Some(Box::new(declared.clone())),
        edited: false,
        gone: false,
    };
    MergeStep::Change(Box::new(change))
}

fn name(listed: &Listed) -> &str {
    match listed {
        Ok(stored) => stored.entry.name.as_str(),
        Err(bad) => &bad.name,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::TaskName;
    use crate::schedule::Schedule;

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
    fn a_bad_row_is_repaired_by_another_declaration() {
        let (_, stored) = merged(None, &every(10), 0);
        let (name, reason, ownership) = ("e".to_owned(), String::new(), stored.ownership);
        let bad = BadEntry { name, reason, revision: 4, enabled: false, done_until: at(9), ownership };
        assert_eq!(merge_step(Some(&Err(bad.clone())), &source(), &every(10), at(5)), MergeStep::Taken);
        let step = merge_step(Some(&Err(bad)), &source(), &every(3), at(5));
        assert!(matches!(step, MergeStep::Change(change) if !change.stored.ownership.edited));
    }
}
