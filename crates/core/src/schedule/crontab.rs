//! Crontabs: the calendar is searched by the `cron` crate on wall time, the zone is mapped here.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use super::{ScheduleError, Zone, words};
use crate::Timestamp;

/// By the clock and the calendar of a place, until the end of the year 2100.
///
/// An hour field of `*` or `*/n` is open: there is a slot at every instant whose local time matches. Any other hour is
/// fixed: each matching local date and time has one slot, at its first occurrence, and one that summer time skips has
/// it at the first instant after the gap.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "CrontabText", into = "CrontabText")]
pub struct Crontab {
    expression: Arc<str>,
    zone: Zone,
    calendar: Arc<cron::Schedule>,
    open: bool,
}

impl Crontab {
    /// Reads five fields (minute, hour, day of month, month, weekday), with seconds in front if there are six, or
    /// `@daily` and its kin. Day of month, month and weekday must all match; weekday 0 and 7 are Sunday.
    ///
    /// # Errors
    /// When a field is not valid, or when no day ever matches, as with `0 0 30 2 *`.
    pub fn new(expression: &str, zone: &Zone) -> Result<Self, ScheduleError> {
        let fields = Fields::parse(expression)?;
        let calendar = fields
            .for_cron()
            .parse()
            .map_err(|error| ScheduleError::new("crontab", expression, format!("another form ({error})")))?;
        let expression: Vec<&str> = expression.split_ascii_whitespace().collect();
        let crontab = Self {
            expression: expression.join(" ").into(),
            zone: zone.clone(),
            calendar: Arc::new(calendar),
            open: fields.open_hour,
        };
        if crontab.next_wall(0).is_none() {
            let expected = "a day that some month has, such as 28 for February: this one can never fire";
            return Err(ScheduleError::new("crontab", &crontab.expression, expected));
        }
        Ok(crontab)
    }

    /// The expression as it was written.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The zone on whose clock it is read.
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        let after = instant.as_micros().div_euclid(1_000_000);
        let slot = if self.open { self.next_open(after) } else { self.next_fixed(after) }?;
        slot.checked_mul(1_000_000).map(Timestamp::from_micros)
    }

    /// The first matching wall time later than `wall`, from 1970 to 2100.
    pub(super) fn next_wall(&self, wall: i64) -> Option<i64> {
        let after = DateTime::<Utc>::from_timestamp(wall.max(-1), 0)?;
        self.calendar.after(&after).next().map(|next| next.timestamp())
    }

    /// Between two turns of the clock an instant is its wall time less a constant.
    fn next_open(&self, after: i64) -> Option<i64> {
        let (mut after, mut offset) = (after, self.zone.offset(after));
        for (turn, offset_then) in self.zone.turns_after(after) {
            let slot = self.next_wall(after + offset)? - offset;
            if slot < turn {
                return Some(slot);
            }
            (after, offset) = (turn - 1, offset_then);
        }
        Some(self.next_wall(after + offset)? - offset)
    }

    /// A wall time is still to come when the clocks have not shown it or a later one.
    fn next_fixed(&self, after: i64) -> Option<i64> {
        let mut wall = self.zone.furthest_wall(after);
        loop {
            wall = self.next_wall(wall)?;
            if let Some(slot) = self.zone.first_instant(wall) {
                return Some(slot);
            }
        }
    }
}

/// In words: `every Monday at 07:30, Europe/Berlin`.
impl fmt::Display for Crontab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Fields::parse(&self.expression) {
            Ok(fields) => write!(f, "{}, {}", words::describe(&fields), self.zone.name()),
            Err(_) => write!(f, "{}, {}", self.expression, self.zone.name()),
        }
    }
}

impl fmt::Debug for Crontab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crontab({:?}, {})", self.expression, self.zone.name())
    }
}

impl PartialEq for Crontab {
    fn eq(&self, other: &Self) -> bool {
        self.expression == other.expression && self.zone == other.zone
    }
}

/// How a crontab is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CrontabText {
    expression: String,
    #[serde(default = "utc")]
    zone: String,
}

impl TryFrom<CrontabText> for Crontab {
    type Error = ScheduleError;

    fn try_from(text: CrontabText) -> Result<Self, ScheduleError> {
        Self::new(&text.expression, &Zone::named(&text.zone)?)
    }
}

impl From<Crontab> for CrontabText {
    fn from(crontab: Crontab) -> Self {
        Self { expression: crontab.expression.as_ref().to_owned(), zone: crontab.zone.name().to_owned() }
    }
}

fn utc() -> String {
    "UTC".to_owned()
}
