//! Which slots should have fired, which did, and why the others did not.

use std::collections::BTreeMap;

use super::{Entry, Fate, Firing, Skip, StoredEntry};
use crate::{TaskId, Timestamp};

/// Most lines of one audit.
const MOST: usize = 10_000;
/// Most slots of one audit: it looks at each.
const MOST_SLOTS: usize = 200_000;

/// Of which time, and as seen when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditRange {
    /// Slots at or after.
    pub from: Timestamp,
    /// Slots before.
    pub until: Timestamp,
    /// The present.
    pub now: Timestamp,
}

/// What [`audit`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audit {
    /// By time. At most 10,000, of at most 200,000 slots.
    pub lines: Vec<Audited>,
    /// Where the next audit has to begin, when there was more than that.
    pub next: Option<Timestamp>,
}

/// A slot and what became of it, or several in a row of which the same is to be said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Audited {
    /// The slot; the first one of several.
    pub slot: Timestamp,
    /// The last one of several, else the same.
    pub last_slot: Timestamp,
    /// How many slots; 0 for a run by hand, which is none.
    pub slots: u64,
    /// When it was decided, as far as it was.
    pub at: Option<Timestamp>,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// This task was published for it.
    Fired(TaskId),
    /// This task was published for what was a slot before the entry was edited.
    FiredBeforeEdit(TaskId),
    /// It is no slot: somebody ran the entry by hand, as this task.
    Manual(TaskId),
    /// Nothing was published.
    Skipped(Skip),
    /// The entry is disabled now.
    Disabled,
    /// It is due, and no beat has decided yet.
    Due,
    /// It fires later.
    ToCome,
    /// The history does not tell: the entry was made or edited after it, or the history of then has been forgotten.
    Untold,
}

impl Outcome {
    /// The word that is shown: `fired`, `fired before an edit`, `manual`, `misfire`, `overlap`, `disabled`, `edited`,
    /// `refused`, `due`, `to come` or `untold`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Fired(_) => "fired",
            Self::FiredBeforeEdit(_) => "fired before an edit",
            Self::Manual(_) => "manual",
            Self::Skipped(Skip::Misfire) => "misfire",
            Self::Skipped(Skip::Overlap(_)) => "overlap",
            Self::Skipped(Skip::Edited) => "edited",
            Self::Skipped(Skip::Refused(_)) => "refused",
            Self::Skipped(Skip::Disabled) | Self::Disabled => "disabled",
            Self::Due => "due",
            Self::ToCome => "to come",
            Self::Untold => "untold",
        }
    }

    /// In words what the outcome's own word does not tell; empty where that says all.
    #[must_use]
    pub fn why(&self) -> String {
        match self {
            Self::Fired(id) | Self::FiredBeforeEdit(id) => format!("task {id}"),
            Self::Manual(id) => format!("run by hand as task {id}"),
            Self::Skipped(Skip::Misfire) => {
                "missed while no beat ran; the misfire policy passes it over".to_owned()
            }
            Self::Skipped(Skip::Overlap(id)) => format!("task {id} of an earlier slot still waited or ran"),
            Self::Skipped(Skip::Edited) => {
                "the entry was edited; it was a slot of what it was before".to_owned()
            }
            Self::Skipped(Skip::Refused(why)) => why.clone(),
            Self::Skipped(Skip::Disabled) => "the entry was disabled".to_owned(),
            Self::Disabled => "the entry is disabled".to_owned(),
            Self::Due => "no beat has decided yet: does one run?".to_owned(),
            Self::ToCome => String::new(),
            Self::Untold => {
                "before the entry was made or edited, or the history of then is forgotten".to_owned()
            }
        }
    }

    /// The task that was published, or that was in the way.
    #[must_use]
    pub const fn task(&self) -> Option<TaskId> {
        match self {
            Self::Fired(id)
            | Self::FiredBeforeEdit(id)
            | Self::Manual(id)
            | Self::Skipped(Skip::Overlap(id)) => Some(*id),
            Self::Skipped(Skip::Misfire | Skip::Disabled | Skip::Edited | Skip::Refused(_))
            | Self::Disabled
            | Self::Due
            | Self::ToCome
            | Self::Untold => None,
        }
    }

    /// The task that was published.
    #[must_use]
    pub const fn published(&self) -> Option<TaskId> {
        match self {
            Self::Fired(id) | Self::FiredBeforeEdit(id) | Self::Manual(id) => Some(*id),
            Self::Skipped(_) | Self::Disabled | Self::Due | Self::ToCome | Self::Untold => None,
        }
    }

    /// Whether a task was published for a slot.
    #[must_use]
    pub const fn has_fired(&self) -> bool {
        matches!(self, Self::Fired(_) | Self::FiredBeforeEdit(_))
    }
}

/// Goes through the slots of a range. `history` is what the store tells of the entry and this range, in any order.
///
/// The slots are those that the entry has now; of what it had before an edit, only what was published is known.
#[must_use]
pub fn audit(stored: &StoredEntry, history: &[Firing], range: AuditRange) -> Audit {
    let entry = &stored.entry;
    let told = Told::of(history);
    let mut found = Found { lines: Vec::new(), next: None, slots: 0 };
    let mut extras = told.not_slots(entry, range).into_iter().peekable();
    for slot in entry.slots_between(just_before(range.from), just_before(range.until)) {
        while let Some(extra) = extras.next_if(|extra| extra.slot < slot) {
            found.add(extra);
        }
        found.add(told.line(slot, stored.done_until).unwrap_or_else(|| untold(stored, slot, range.now)));
        if found.next.is_some() {
            break;
        }
    }
    extras.for_each(|extra| found.add(extra));
    Audit { lines: found.lines, next: found.next }
}

/// The history, by slot.
struct Told<'a> {
    single: BTreeMap<Timestamp, &'a Firing>,
    ranges: Vec<&'a Firing>,
    published: Vec<&'a Firing>,
}

impl<'a> Told<'a> {
    fn of(history: &'a [Firing]) -> Self {
        let mut told = Self { single: BTreeMap::new(), ranges: Vec::new(), published: Vec::new() };
        for firing in history {
            match &firing.fate {
                Fate::Fired(_) => {
                    told.single.insert(firing.slot, firing);
                    told.published.push(firing);
                }
                Fate::Manual(_) => told.published.push(firing),
                Fate::Skipped(_) if firing.slot < firing.last_slot => told.ranges.push(firing),
                // Of two beats one may have published what the other did not.
                Fate::Skipped(_) => {
                    told.single.entry(firing.slot).or_insert(firing);
                }
            }
        }
        told
    }

    /// What the history says of a slot. That a slot was passed over holds only as long as the entry is done with it: a clock
    /// that was ahead may have led to it.
    fn line(&self, slot: Timestamp, done_until: Timestamp) -> Option<Audited> {
        let around = || self.ranges.iter().find(|range| (range.slot..=range.last_slot).contains(&slot));
        let firing = self.single.get(&slot).or_else(around)?;
        let outcome = match &firing.fate {
            Fate::Fired(task) => Outcome::Fired(*task),
            Fate::Skipped(why) if slot <= done_until => Outcome::Skipped(why.clone()),
            Fate::Skipped(_) | Fate::Manual(_) => return None,
        };
        Some(Audited { slot, last_slot: slot, slots: 1, at: Some(firing.at), outcome })
    }

    /// What was published for no slot of the entry as it is now, by time.
    fn not_slots(&self, entry: &Entry, range: AuditRange) -> Vec<Audited> {
        let line = |firing: &&Firing| {
            let slot = firing.slot;
            let (slots, outcome) = match firing.fate {
                Fate::Manual(task) => (0, Outcome::Manual(task)),
                Fate::Fired(task) if entry.next_slot(just_before(slot)) != Some(slot) => {
                    (1, Outcome::FiredBeforeEdit(task))
                }
                Fate::Fired(_) | Fate::Skipped(_) => return None,
            };
            Some(Audited { slot, last_slot: slot, slots, at: Some(firing.at), outcome })
        };
        let mut lines: Vec<_> = self
            .published
            .iter()
            .filter(|firing| (range.from..range.until).contains(&firing.slot))
            .filter_map(line)
            .collect();
        lines.sort_by_key(|line| line.slot);
        lines
    }
}

struct Found {
    lines: Vec<Audited>,
    next: Option<Timestamp>,
    slots: usize,
}

impl Found {
    /// Joins it to the last line where the same is to be said, which is nothing about a task.
    fn add(&mut self, line: Audited) {
        if self.next.is_some() {
            return;
        }
        let joins = match &line.outcome {
            Outcome::Fired(_) | Outcome::FiredBeforeEdit(_) | Outcome::Manual(_) => false,
            Outcome::Skipped(_) | Outcome::Disabled | Outcome::Due | Outcome::ToCome | Outcome::Untold => {
                true
            }
        };
        let is_full = self.lines.len() == MOST || self.slots == MOST_SLOTS;
        match self.lines.last_mut() {
            Some(last)
                if joins
                    && self.slots < MOST_SLOTS
                    && (&last.outcome, last.at) == (&line.outcome, line.at) =>
            {
                last.last_slot = line.slot;
                last.slots += line.slots;
            }
            _ if is_full => self.next = Some(line.slot),
            _ => self.lines.push(line),
        }
        self.slots += 1;
    }
}

/// A slot of which the history does not tell.
fn untold(stored: &StoredEntry, slot: Timestamp, now: Timestamp) -> Audited {
    let outcome = if slot <= stored.done_until {
        Outcome::Untold
    } else if !stored.entry.enabled {
        Outcome::Disabled
    } else if stored.entry.fires_at(slot) <= now {
        Outcome::Due
    } else {
        Outcome::ToCome
    };
    Audited { slot, last_slot: slot, slots: 1, at: None, outcome }
}

fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Units as _, every};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn task(n: u8) -> TaskId {
        TaskId::from_bytes([n; 16])
    }

    fn stored(seconds: u64, done: i64) -> StoredEntry {
        StoredEntry::new(every(seconds.secs()).entry("e", "t").unwrap(), at(done))
    }

    /// Lines as `first-last:slots word`.
    fn lines(stored: &StoredEntry, history: &[Firing], (from, until, now): (i64, i64, i64)) -> Vec<String> {
        let range = AuditRange { from: at(from), until: at(until), now: at(now) };
        let seconds = |at: Timestamp| at.as_micros() / 1_000_000;
        audit(stored, history, range)
            .lines
            .iter()
            .map(|line| {
                let (first, last) = (seconds(line.slot), seconds(line.last_slot));
                format!("{first}-{last}:{} {}", line.slots, line.outcome.as_str())
            })
            .collect()
    }

    #[test]
    fn each_slot_has_its_outcome() {
        let stored = stored(10, 90);
        let name = || stored.entry.name.clone();
        let skipped = |from, to, why| Firing::skipped(name(), (at(from), at(to)), at(to), why);
        let history = [
            Firing::fired(name(), at(90), at(90), task(9)),
            skipped(80, 80, Skip::Refused("full".to_owned())),
            skipped(70, 70, Skip::Overlap(task(3))),
            Firing::manual(name(), at(65), task(6)),
            skipped(40, 60, Skip::Misfire),
            Firing::fired(name(), at(30), at(30), task(3)),
        ];
        assert_eq!(
            lines(&stored, &history, (10, 131, 111)),
            [
                "10-20:2 untold",
                "30-30:1 fired",
                "40-60:3 misfire",
                "65-65:0 manual",
                "70-70:1 overlap",
                "80-80:1 refused",
                "90-90:1 fired",
                "100-110:2 due",
                "120-130:2 to come",
            ]
        );
    }

    #[test]
    fn both_ends_are_exact() {
        assert_eq!(lines(&stored(10, 0), &[], (10, 30, 5)), ["10-20:2 to come"]);
        assert_eq!(lines(&stored(10, 0), &[], (11, 20, 5)), [""; 0]);
        assert_eq!(lines(&stored(10, 0), &[], (30, 10, 5)), [""; 0]);
    }

    #[test]
    fn what_is_disabled_now_says_so() {
        let mut stored = stored(10, 15);
        stored.entry.enabled = false;
        assert_eq!(lines(&stored, &[], (10, 31, 25)), ["10-10:1 untold", "20-30:2 disabled"]);
    }

    #[test]
    fn what_was_published_counts_though_a_range_says_otherwise() {
        let stored = stored(10, 40);
        let name = || stored.entry.name.clone();
        let history = [
            Firing::skipped(name(), (at(10), at(30)), at(35), Skip::Misfire),
            Firing::fired(name(), at(20), at(20), task(2)),
            Firing::skipped(name(), (at(40), at(40)), at(40), Skip::Overlap(task(2))),
            Firing::fired(name(), at(40), at(41), task(4)),
        ];
        let told = ["10-10:1 misfire", "20-20:1 fired", "30-30:1 misfire", "40-40:1 fired"];
        assert_eq!(lines(&stored, &history, (1, 41, 45)), told);
        let backwards: Vec<Firing> = history.iter().rev().cloned().collect();
        assert_eq!(lines(&stored, &backwards, (1, 41, 45)), told);
    }

    /// The clock was ahead: slots up to 60 were passed over, 70 fired. Then it was set back to 25.
    #[test]
    fn slots_passed_over_by_a_wrong_clock_are_to_come() {
        let stored = stored(10, 25);
        let name = || stored.entry.name.clone();
        let history = [
            Firing::skipped(name(), (at(10), at(60)), at(75), Skip::Misfire),
            Firing::fired(name(), at(70), at(75), task(7)),
        ];
        let found = lines(&stored, &history, (1, 91, 35));
        let told = ["10-20:2 misfire", "30-30:1 due", "40-60:3 to come", "70-70:1 fired", "80-90:2 to come"];
        assert_eq!(found, told);
    }

    #[test]
    fn what_fired_before_an_edit_is_told() {
        let stored = stored(10, 40);
        let history = [Firing::fired(stored.entry.name.clone(), at(7), at(7), task(7))];
        assert_eq!(lines(&stored, &history, (1, 11, 45)), ["7-7:1 fired before an edit", "10-10:1 untold"]);
        assert_eq!(lines(&stored, &history, (8, 10, 45)), [""; 0]);
    }

    #[test]
    fn it_ends_and_says_where_to_go_on() {
        let stored = stored(1, 0);
        let fired = |n: i64| Firing::fired(stored.entry.name.clone(), at(n), at(n), task(1));
        let history: Vec<Firing> = (1..=10_050).map(fired).collect();
        let range = AuditRange { from: at(1), until: at(20_000), now: at(20_000) };
        let found = audit(&stored, &history, range);
        assert_eq!((found.lines.len(), found.next), (MOST, Some(at(10_001))));
        let rest = audit(&stored, &history, AuditRange { from: at(10_001), ..range });
        assert_eq!((rest.lines.len(), rest.next), (51, None));
        let long = audit(&stored, &[], AuditRange { from: at(1), until: at(9_000_000), now: at(0) });
        assert_eq!((long.lines[0].slots, long.next), (200_000, Some(at(200_001))));
    }
}
