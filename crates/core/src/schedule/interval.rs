//! Intervals, which count elapsed time, and single instants.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ScheduleError;
use crate::{Timestamp, format_duration, parse_duration};

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);
const ALLOWED: &str = "100ms to 36600d, in whole milliseconds, such as 5s or 1h30m";

/// Again and again after the same elapsed time, whatever the clocks on the walls do.
///
/// Slot k is `start + k · every` for k = 0, 1, 2, …; without a start it is the Unix epoch + k · `every`, so that
/// every process agrees on the slots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "IntervalText", into = "IntervalText")]
pub struct Interval {
    every: Duration,
    start: Option<Timestamp>,
}

impl Interval {
    /// Every `every` (100 ms to 36,600 days, in whole milliseconds), from `start` on.
    ///
    /// # Errors
    /// When `every` is out of range or not in whole milliseconds.
    pub fn new(every: Duration, start: Option<Timestamp>) -> Result<Self, ScheduleError> {
        if !(SHORTEST..=LONGEST).contains(&every) || !every.subsec_nanos().is_multiple_of(1_000_000) {
            return Err(ScheduleError::new("every", format!("{every:?}"), ALLOWED));
        }
        Ok(Self { every, start })
    }

    /// The time between two slots.
    #[must_use]
    pub fn every(&self) -> Duration {
        self.every
    }

    /// The first slot, if there is one.
    #[must_use]
    pub fn start(&self) -> Option<Timestamp> {
        self.start
    }

    pub(super) fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        if let Some(start) = self.start.filter(|start| *start > instant) {
            return Some(start);
        }
        let base = i128::from(self.start.unwrap_or_default().as_micros());
        let every = i128::try_from(self.every.as_micros()).ok()?;
        let slots = (i128::from(instant.as_micros()) - base).div_euclid(every) + 1;
        i64::try_from(base + slots * every).ok().map(Timestamp::from_micros)
    }
}

/// In words: `every 5 seconds`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u128, &str); 5] = [
            (86_400_000, "day"),
            (3_600_000, "hour"),
            (60_000, "minute"),
            (1_000, "second"),
            (1, "millisecond"),
        ];
        let millis = self.every.as_millis();
        match UNITS.iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit)) {
            Some((unit, name)) if millis == *unit => write!(f, "every {name}")?,
            Some((unit, name)) if millis / unit < 1_000 => write!(f, "every {} {name}s", millis / unit)?,
            _ => write!(f, "every {}", format_duration(self.every))?,
        }
        self.start.map_or(Ok(()), |start| write!(f, ", from {start}"))
    }
}

/// Once, at an instant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "ClockedText", into = "ClockedText")]
pub struct Clocked {
    at: Timestamp,
}

impl Clocked {
    /// Once, at `at`.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self { at }
    }

    /// The only slot.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        (self.at > instant).then_some(self.at)
    }
}

/// In words: `once, at 2026-11-23T13:00:00Z`.
impl fmt::Display for Clocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "once, at {}", self.at)
    }
}

/// How an interval is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IntervalText {
    every: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<String>,
}

impl TryFrom<IntervalText> for Interval {
    type Error = ScheduleError;

    fn try_from(text: IntervalText) -> Result<Self, ScheduleError> {
        let every =
            parse_duration(&text.every).map_err(|_| ScheduleError::new("every", &text.every, ALLOWED))?;
        let start = text.start.map(|start| instant("start", &start)).transpose()?;
        // Refused again with the text as it was written.
        Self::new(every, start).map_err(|error| ScheduleError::new(error.field, &text.every, ALLOWED))
    }
}

impl From<Interval> for IntervalText {
    fn from(interval: Interval) -> Self {
        Self { every: format_duration(interval.every), start: interval.start.map(|start| start.to_string()) }
    }
}

/// How a single instant is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClockedText {
    at: String,
}

impl TryFrom<ClockedText> for Clocked {
    type Error = ScheduleError;

    fn try_from(text: ClockedText) -> Result<Self, ScheduleError> {
        instant("at", &text.at).map(Self::new)
    }
}

impl From<Clocked> for ClockedText {
    fn from(clocked: Clocked) -> Self {
        Self { at: clocked.at.to_string() }
    }
}

pub(super) fn instant(field: &'static str, text: &str) -> Result<Timestamp, ScheduleError> {
    Timestamp::parse(text).map_err(|_| {
        ScheduleError::new(field, text, "a point in time as RFC 3339, such as 2026-11-23T13:00:00Z")
    })
}
