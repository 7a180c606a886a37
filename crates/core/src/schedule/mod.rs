//! When something is due: intervals, crontabs, the sun, and single instants.
//!
//! A schedule is a pure set of instants, its *slots*. The same schedule has the same slots in every process, so any
//! number of beats agree on them without talking to each other. docs/schedules.md says the rules for people.
//!
//! An [`Entry`] says what is to run and when; a [`ScheduleStore`] keeps entries with what beats did about them.

mod audit;
mod crontab;
mod entry;
mod fields;
mod firing;
mod fits;
mod interval;
mod life;
mod merge;
mod preview;
mod remark;
mod solar;
mod store;
mod text;
mod when;
mod words;
mod zone;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

pub use audit::{Audit, AuditRange, Audited, Outcome, audit};
pub use crontab::Crontab;
pub use entry::{Entry, Misfire, Overlap};
pub use firing::{Advance, Fate, Firing, Skip};
pub use fits::Fit;
pub use interval::{Clocked, Interval};
pub use life::{Change, put_step, refused, reset_step};
pub use merge::{check_declared, merge};
pub use preview::{Upcoming, preview};
pub use solar::{Solar, SolarEvent};
pub use store::{
    Advanced, BadEntry, DisabledBy, Due, EntryFilter, Expected, HistoryQuery, Identity, Listed, Merged,
    Ownership, Rewound, Saved, ScheduleStore, StoredEntry,
};
pub use text::EntryText;
pub use when::{Units, When, at, crontab, every, solar};
pub use zone::Zone;

/// When something is due.
///
/// As JSON it is an object with the `kind` and the fields of that kind, which are checked when it is read:
/// `{"kind":"crontab","expression":"30 7 * * mon","zone":"Europe/Berlin"}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Schedule {
    /// Again and again after the same time.
    Interval(Interval),
    /// By the clock and the calendar of a place.
    Crontab(Crontab),
    /// By the sun at a place.
    Solar(Solar),
    /// Once, at an instant.
    Clocked(Clocked),
}

impl Schedule {
    /// Every `every`, at least 100 ms, in whole milliseconds.
    ///
    /// # Errors
    /// As [`Interval::new`].
    pub fn every(every: Duration) -> Result<Self, ScheduleError> {
        Interval::new(every, None).map(Self::Interval)
    }

    /// By a crontab expression on the clock of a zone such as `Europe/Berlin`.
    ///
    /// # Errors
    /// As [`Crontab::new`].
    pub fn crontab(expression: &str, zone: &str) -> Result<Self, ScheduleError> {
        Crontab::new(expression, &Zone::named(zone)?).map(Self::Crontab)
    }

    /// By the sun at a latitude (degrees, north is positive) and a longitude (degrees, east is positive).
    ///
    /// # Errors
    /// As [`Solar::new`].
    pub fn solar(event: SolarEvent, latitude: f64, longitude: f64) -> Result<Self, ScheduleError> {
        Solar::new(event, latitude, longitude).map(Self::Solar)
    }

    /// Once, at an instant.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self::Clocked(Clocked::new(at))
    }

    /// The first slot later than `instant`; `None` when there is none.
    #[must_use]
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Interval(interval) => interval.next_after(instant),
            Self::Crontab(crontab) => crontab.next_after(instant),
            Self::Solar(solar) => solar.next_after(instant),
            Self::Clocked(clocked) => clocked.next_after(instant),
        }
    }

    /// The slots later than `after` and not later than `until`, oldest first.
    pub fn slots_between(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(after), |slot| self.next_after(*slot))
            .take_while(move |slot| *slot <= until)
    }

    /// The newest slot later than `after` and not later than `until`, found without walking through all of them.
    #[must_use]
    pub fn newest_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let in_time = |from: i64| self.next_after(Timestamp::from_micros(from)).filter(|slot| *slot <= until);
        let mut newest = in_time(after.as_micros())?;
        // From which instants on is the next slot still in time? The last of them leads to the newest slot.
        let (mut yes, mut no) = (after.as_micros(), until.as_micros());
        while no.saturating_sub(yes) > 1 {
            let middle = yes.midpoint(no);
            match in_time(middle) {
                Some(slot) => (yes, newest) = (slot.as_micros().min(no - 1).max(middle), slot),
                None => no = middle,
            }
        }
        Some(newest)
    }

    /// Whether `instant` is a slot.
    #[must_use]
    pub fn is_slot(&self, instant: Timestamp) -> bool {
        let before = Timestamp::from_micros(instant.as_micros().saturating_sub(1));
        self.next_after(before) == Some(instant)
    }

    /// What summer time did to a slot, in words; `None` when nothing.
    ///
    /// Such as: `02:30 does not exist on 2026-03-29, fires at 03:00`.
    #[must_use]
    pub fn remark(&self, slot: Timestamp) -> Option<String> {
        match self {
            Self::Crontab(crontab) => crontab.remark(slot),
            Self::Interval(_) | Self::Solar(_) | Self::Clocked(_) => None,
        }
    }

    /// The zone whose clock it follows and in which its slots are shown: the crontab's, else UTC.
    #[must_use]
    pub fn zone(&self) -> Zone {
        match self {
            Self::Crontab(crontab) => crontab.zone().clone(),
            Self::Interval(_) | Self::Solar(_) | Self::Clocked(_) => Zone::utc(),
        }
    }
}

/// In words: `every Monday at 07:30, Europe/Berlin`.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interval(interval) => interval.fmt(f),
            Self::Crontab(crontab) => crontab.fmt(f),
            Self::Solar(solar) => solar.fmt(f),
            Self::Clocked(clocked) => clocked.fmt(f),
        }
    }
}

/// Why a schedule was refused: which field, what was found, what is allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field} `{found}` is not valid: expected {expected}")]
pub struct ScheduleError {
    /// The field, such as `minute`, `zone` or `latitude`.
    pub field: &'static str,
    /// What was found there.
    pub found: String,
    /// What is allowed there.
    pub expected: String,
}

impl ScheduleError {
    fn new(field: &'static str, found: impl fmt::Display, expected: impl Into<String>) -> Self {
        let mut tamed = String::new();
        for c in found.to_string().chars().take(80) {
            // Quotes belong to JSON.
            if matches!(c, '"' | '\'') { tamed.push(c) } else { tamed.extend(c.escape_debug()) }
        }
        Self { field, found: tamed, expected: expected.into() }
    }
}
