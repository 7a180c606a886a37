//! Schedules as code states them: `every(5.secs())`, `crontab("30 7 * * mon").zone("Europe/Berlin")`.

use std::fmt;
use std::time::Duration;

use super::{Crontab, Entry, Interval, Misfire, Overlap, Schedule, ScheduleError, Solar, SolarEvent, Zone};
use crate::schedule::interval::instant;

/// When an entry is due and what becomes of slots that were missed: made by [`every`], [`crontab`], [`solar`] or [`at`],
/// and given options.
///
/// The setters never fail: what is wrong is told by name when the entry is made.
///
/// ```
/// use lovage_core::schedule::{Misfire, Units as _, crontab, every};
///
/// let often = every(5.secs()).misfire(Misfire::Skip);
/// let mondays = crontab("30 7 * * mon").zone("Europe/Berlin").jitter(30.secs()).description("the weekly mail");
/// assert_eq!(mondays.entry("mail", "mails.send")?.schedule.to_string(), "every Monday at 07:30, Europe/Berlin");
/// # Ok::<(), lovage_core::schedule::ScheduleError>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
#[must_use = "a schedule does nothing until it is given to an entry"]
pub struct When {
    kind: Kind,
    zone: Option<String>,
    start: Option<String>,
    end: Option<String>,
    one_off: bool,
    enabled: bool,
    description: String,
    misfire: Misfire,
    overlap: Overlap,
    jitter: Duration,
}

#[derive(Clone, PartialEq, Debug)]
enum Kind {
    Interval(Duration),
    Crontab(String),
    Solar(SolarEvent, f64, f64),
    Clocked(String),
}

/// Again and again after the same elapsed time, 100 ms and up, in whole milliseconds.
pub fn every(time: Duration) -> When {
    When::new(Kind::Interval(time))
}

/// By the clock and the calendar, as [`Crontab::new`] reads it; of UTC unless there is a [`zone`](When::zone).
pub fn crontab(expression: impl Into<String>) -> When {
    When::new(Kind::Crontab(expression.into()))
}

/// By the sun at a latitude (degrees, north is positive) and a longitude (degrees, east is positive).
pub fn solar(event: SolarEvent, latitude: f64, longitude: f64) -> When {
    When::new(Kind::Solar(event, latitude, longitude))
}

/// Once, at an instant: a [`Timestamp`](crate::Timestamp), or a text such as `2026-11-23T13:00:00Z`.
pub fn at(instant: impl fmt::Display) -> When {
    When::new(Kind::Clocked(instant.to_string()))
}

/// Durations as code says them: `5.secs()`.
pub trait Units {
    /// That many milliseconds.
    fn millis(self) -> Duration;
    /// That many seconds.
    fn secs(self) -> Duration;
    /// That many minutes.
    fn minutes(self) -> Duration;
    /// That many hours.
    fn hours(self) -> Duration;
    /// That many days of 24 hours.
    fn days(self) -> Duration;
}

/// What is beyond the longest duration is that.
impl Units for u64 {
    fn millis(self) -> Duration {
        Duration::from_millis(self)
    }

    fn secs(self) -> Duration {
        Duration::from_secs(self)
    }

    fn minutes(self) -> Duration {
        self.saturating_mul(60).secs()
    }

    fn hours(self) -> Duration {
        self.saturating_mul(3_600).secs()
    }

    fn days(self) -> Duration {
        self.saturating_mul(86_400).secs()
    }
}

impl When {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            zone: None,
            start: None,
            end: None,
            one_off: false,
            enabled: true,
            description: String::new(),
            misfire: Misfire::default(),
            overlap: Overlap::default(),
            jitter: Duration::ZERO,
        }
    }

    /// On the clock of this zone, such as `Europe/Berlin`. Only for a crontab.
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        self.zone = Some(name.into());
        self
    }

    /// Not before this instant: a [`Timestamp`](crate::Timestamp), or a text such as `2026-11-23T13:00:00Z`.
    pub fn start(mut self, at: impl fmt::Display) -> Self {
        self.start = Some(at.to_string());
        self
    }

    /// Not after this instant, written in the same way.
    pub fn end(mut self, at: impl fmt::Display) -> Self {
        self.end = Some(at.to_string());
        self
    }

    /// Once: it is disabled when it has run.
    pub fn one_off(mut self) -> Self {
        self.one_off = true;
        self
    }

    /// Not until somebody enables it.
    pub fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }

    /// What it is for, for people; at most 4 KiB.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// What becomes of slots that were missed; by default the newest fires.
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = misfire;
        self
    }

    /// Whether a slot may fire while the last one still waits or runs; by default it may.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Each slot fires up to this much later, at most a day, in whole milliseconds.
    pub fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// The entry of a task without arguments, in the default queue.
    ///
    /// # Errors
    /// Names the first field that is wrong, and what is allowed there.
    pub fn entry(self, name: &str, task: &str) -> Result<Entry, ScheduleError> {
        let schedule = self.schedule()?;
        let mut entry =
            Entry::new(super::text::named("name", name)?, super::text::named("task", task)?, schedule);
        entry.start_time = self.start.map(|at| instant("start_time", &at)).transpose()?;
        entry.end_time = self.end.map(|at| instant("end_time", &at)).transpose()?;
        entry.one_off = self.one_off;
        entry.enabled = self.enabled;
        entry.description = self.description;
        entry.misfire = self.misfire;
        entry.overlap = self.overlap;
        entry.jitter = self.jitter;
        entry.check()?;
        Ok(entry)
    }

    fn schedule(&self) -> Result<Schedule, ScheduleError> {
        if let (Some(zone), false) = (&self.zone, matches!(self.kind, Kind::Crontab(_))) {
            let expected =
                "none: only a crontab has a zone, other schedules count elapsed time or name instants";
            return Err(ScheduleError::new("zone", zone, expected));
        }
        Ok(match &self.kind {
            Kind::Interval(time) => Schedule::Interval(Interval::new(*time, None)?),
            Kind::Crontab(expression) => {
                let zone = self.zone.as_deref().map_or_else(|| Ok(Zone::utc()), Zone::named)?;
                Schedule::Crontab(Crontab::new(expression, &zone)?)
            }
            Kind::Solar(event, latitude, longitude) => {
                Schedule::Solar(Solar::new(*event, *latitude, *longitude)?)
            }
            Kind::Clocked(at) => Schedule::at(instant("at", at)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(when: When) -> String {
        when.entry("e", "t").unwrap_err().to_string()
    }

    #[test]
    fn it_makes_each_kind() {
        for (when, words) in [
            (every(90.minutes()), "every 90 minutes"),
            (crontab("@daily"), "every day at 00:00, UTC"),
            (solar(SolarEvent::Sunset, 52.5, 13.4), "at sunset, 52.5 N 13.4 E"),
            (at("2026-11-23T13:00:00Z"), "once, at 2026-11-23T13:00:00Z"),
            (at(crate::Timestamp::default()), "once, at 1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(when.entry("e", "t").unwrap().schedule.to_string(), words);
        }
    }

    #[test]
    fn its_options_are_the_entrys() {
        let when =
            every(1.days()).start("2026-01-01T00:00:00Z").end("2027-01-01T00:00:00Z").one_off().disabled();
        let when = when.description("d").misfire(Misfire::All(3)).overlap(Overlap::Skip).jitter(500.millis());
        let entry = when.entry("e", "t").unwrap();
        assert_eq!((entry.one_off, entry.enabled, entry.description.as_str()), (true, false, "d"));
        assert_eq!((entry.misfire, entry.overlap), (Misfire::All(3), Overlap::Skip));
        assert_eq!(entry.jitter, Duration::from_millis(500));
        assert!(entry.start_time < entry.end_time);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (when, parts) in [
            (every(10.millis()), ["every `10ms`", "100ms"]),
            (every(5.secs()).zone("UTC"), ["zone `UTC`", "only a crontab"]),
            (crontab("61 * * * *"), ["minute `61`", "0 to 59"]),
            (crontab("@daily").zone("Europe/Belin"), ["zone `Europe/Belin`", "Europe/Berlin"]),
            (solar(SolarEvent::Sunset, 91.0, 0.0), ["latitude `91`", "-90 to 90"]),
            (at("tomorrow"), ["at `tomorrow`", "RFC 3339"]),
            (every(5.secs()).start("soon"), ["start_time `soon`", "RFC 3339"]),
            (every(5.secs()).misfire(Misfire::All(0)), ["misfire `all(0)`", "1 to 10000"]),
        ] {
            let error = error(when);
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
