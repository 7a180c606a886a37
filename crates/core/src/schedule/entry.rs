//! Entries: what is to run, when, and what becomes of slots that were missed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{EntryText, Interval, Schedule, ScheduleError, text};
use crate::{EntryName, Expires, Payload, Priority, QueueName, StoreId, TaskName, Timestamp, limits};

/// Longest jitter.
const LONGEST_JITTER: Duration = Duration::from_secs(86_400);
/// Most slots that a [`Misfire`] may catch up on.
const MOST_CAUGHT_UP: u32 = 10_000;
/// How far back [`Entry::last_slots`] looks.
const LONGEST_LOOK_BACK: Duration = Duration::from_secs(2 * 366 * 86_400);
const LONGEST_DESCRIPTION: usize = 4_096;
/// The year 9999, the last one that RFC 3339 can write.
const LAST_INSTANT: Timestamp = Timestamp::from_micros(253_402_300_799_999_999);

/// One entry of the schedule.
///
/// As JSON it is an object: `{"name":"nightly","task":"clean_up","schedule":{"kind":"crontab","expression":"0 3 * * *"}}`,
/// in which the other fields may be left out; see [`EntryText`]. It is checked when it is read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "EntryText", into = "EntryText")]
pub struct Entry {
    /// Unique.
    pub name: EntryName,
    /// The task that is run.
    pub task: TaskName,
    /// Its arguments by position: a JSON list. Empty where `kwargs` are given.
    pub args: String,
    /// Its arguments by name: a JSON object. Empty where `args` are given.
    pub kwargs: String,
    /// When it is due.
    pub schedule: Schedule,
    /// Where its messages go.
    pub queue: QueueName,
    /// 0 to 9, 9 first.
    pub priority: Priority,
    /// The user's own.
    pub headers: BTreeMap<String, String>,
    /// When a message that was published may no longer be started.
    pub expires: Option<Expires>,
    /// There is no slot before it; it is the first slot of an interval that has no start of its own.
    pub start_time: Option<Timestamp>,
    /// There is no slot after it.
    pub end_time: Option<Timestamp>,
    /// Whether it is disabled once it has run.
    pub one_off: bool,
    /// Whether it fires.
    pub enabled: bool,
    /// For people, at most 4 KiB.
    pub description: String,
    /// What becomes of slots that were missed.
    pub misfire: Misfire,
    /// Whether a slot may fire while the last one still waits or runs.
    pub overlap: Overlap,
    /// Slots fire up to this much later, at most a day, in whole milliseconds. How much follows from name and slot.
    pub jitter: Duration,
}

/// What becomes of slots that were missed while no beat ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Misfire {
    /// They do not fire.
    Skip,
    /// The newest fires.
    #[default]
    Once,
    /// Each of the newest ones fires, at most this many: 1 to 10,000.
    All(u32),
}

/// Whether a slot may fire while the last one still waits or runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overlap {
    /// It may.
    #[default]
    Allow,
    /// It is passed over; the broker judges by [`Entry::unique_key`].
    Skip,
}

impl Entry {
    /// An enabled entry without arguments, in the default queue.
    #[must_use]
    pub fn new(name: EntryName, task: TaskName, schedule: Schedule) -> Self {
        Self {
            name,
            task,
            args: text::LIST.to_owned(),
            kwargs: text::OBJECT.to_owned(),
            schedule,
            queue: QueueName::default(),
            priority: Priority::default(),
            headers: BTreeMap::new(),
            expires: None,
            start_time: None,
            end_time: None,
            one_off: false,
            enabled: true,
            description: String::new(),
            misfire: Misfire::default(),
            overlap: Overlap::default(),
            jitter: Duration::ZERO,
        }
    }

    /// What the types alone do not ensure. Stores refuse what does not pass.
    ///
    /// # Errors
    /// Names the first field that is wrong, and what is allowed there.
    pub fn check(&self) -> Result<(), ScheduleError> {
        text::check_arguments(&self.args, &self.kwargs)?;
        self.check_times()?;
        self.check_expires()?;
        if let Some(Expires::After(time)) = self.expires {
            check_duration("expires", time, Duration::from_millis(1), Duration::from_secs(36_600 * 86_400))?;
        }
        check_duration("jitter", self.jitter, Duration::ZERO, LONGEST_JITTER)?;
        if let Misfire::All(most) = self.misfire
            && !(1..=MOST_CAUGHT_UP).contains(&most)
        {
            return Err(ScheduleError::new("misfire", self.misfire, MISFIRES));
        }
        let odd = |c: char| c.is_control() && c != '\n' && c != '\t';
        if self.description.len() > LONGEST_DESCRIPTION || self.description.contains(odd) {
            let expected = "at most 4096 bytes without control characters";
            return Err(ScheduleError::new("description", &self.description, expected));
        }
        let headers: usize = self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if self.args.len() + self.kwargs.len() + headers > limits::MESSAGE_DEFAULT {
            let expected =
                format!("at most {} bytes together with kwargs and headers", limits::MESSAGE_DEFAULT);
            return Err(ScheduleError::new("args", &self.args, expected));
        }
        Ok(())
    }

    /// The first slot later than `after`; `None` when there is none. Whether the entry is enabled does not matter here.
    #[must_use]
    pub fn next_slot(&self, after: Timestamp) -> Option<Timestamp> {
        let slot = self.slots().next_after(self.from(after))?;
        (slot <= self.until(slot)).then_some(slot)
    }

    /// The slots later than `after` and not later than `until`, oldest first.
    pub fn slots_between(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        let (schedule, after, until) = (self.slots(), self.from(after), self.until(until));
        std::iter::successors(schedule.next_after(after), move |slot| schedule.next_after(*slot))
            .take_while(move |slot| *slot <= until)
    }

    /// The newest slot later than `after` and not later than `until`, found without walking through all of them.
    #[must_use]
    pub fn newest_between(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        self.slots().newest_between(self.from(after), self.until(until))
    }

    /// The newest slots not later than `until`, at most `most`, oldest first. Those of more than two years ago are left out.
    #[must_use]
    pub fn last_slots(&self, until: Timestamp, most: usize) -> Vec<Timestamp> {
        let mut window = Duration::from_secs(1);
        loop {
            let mut slots: Vec<_> = self.slots_between(until.minus(window), until).collect();
            if slots.len() >= most || window > LONGEST_LOOK_BACK {
                slots.drain(..slots.len().saturating_sub(most));
                return slots;
            }
            window = window.saturating_mul(2);
        }
    }

    /// Why an entry that is enabled at `now` would send nothing, or only what has expired.
    ///
    /// # Errors
    /// Names the field that stands in the way.
    pub fn check_runs(&self, now: Timestamp) -> Result<(), ScheduleError> {
        if !self.enabled {
            return Ok(());
        }
        let Some(first) = self.next_slot(now) else {
            let (field, found) = match (&self.schedule, self.end_time) {
                (Schedule::Clocked(_), _) | (_, None) => ("schedule", self.schedule.to_string()),
                (Schedule::Interval(_) | Schedule::Crontab(_) | Schedule::Solar(_), Some(end)) => {
                    ("end_time", end.to_string())
                }
            };
            return Err(ScheduleError::new(field, found, format!("a slot later than now, {now}")));
        };
        match self.expires {
            Some(Expires::At(at)) if at <= first => {
                Err(ScheduleError::new("expires", at, format!("later than the first slot, {first}")))
            }
            Some(Expires::At(_) | Expires::After(_)) | None => Ok(()),
        }
    }

    /// When the slot fires: a little later where there is a jitter.
    #[must_use]
    pub fn fires_at(&self, slot: Timestamp) -> Timestamp {
        let most = u64::try_from(self.jitter.as_millis()).unwrap_or(u64::MAX);
        if most == 0 {
            return slot;
        }
        let hash = hash(self.name.as_str().bytes().chain(slot.as_micros().to_le_bytes()));
        slot.plus(Duration::from_millis(hash % most.saturating_add(1)))
    }

    /// When the first slot later than `after` fires.
    #[must_use]
    pub fn next_run_at(&self, after: Timestamp) -> Option<Timestamp> {
        self.next_slot(after).map(|slot| self.fires_at(slot))
    }

    /// The arguments of a message.
    #[must_use]
    pub fn payload(&self) -> Payload {
        let by_name = text::is_empty(&self.args) && !text::is_empty(&self.kwargs);
        Payload::Json(if by_name { &self.kwargs } else { &self.args }.clone())
    }

    /// The key that lets one message of this store's entry live at a time, where slots are not to overlap.
    #[must_use]
    pub fn unique_key(&self, store: StoreId) -> Option<String> {
        match self.overlap {
            Overlap::Allow => None,
            Overlap::Skip => Some(format!("schedule:{store}:{}", self.name)),
        }
    }

    /// Whether both have the same slots, which fire at the same instants.
    #[must_use]
    pub fn same_times(&self, other: &Self) -> bool {
        let times = |entry: &Self| (entry.start_time, entry.end_time, entry.jitter);
        self.schedule == other.schedule && times(self) == times(other)
    }

    /// The schedule; an interval without a start begins with the entry.
    fn slots(&self) -> Schedule {
        if let Schedule::Interval(interval) = &self.schedule
            && interval.start().is_none()
            && self.start_time.is_some()
            && let Ok(interval) = Interval::new(interval.every(), self.start_time)
        {
            return Schedule::Interval(interval);
        }
        self.schedule.clone()
    }

    fn from(&self, after: Timestamp) -> Timestamp {
        let before = |start: Timestamp| Timestamp::from_micros(start.as_micros().saturating_sub(1));
        self.start_time.map_or(after, |start| after.max(before(start)))
    }

    fn until(&self, until: Timestamp) -> Timestamp {
        self.end_time.map_or(until, |end| until.min(end))
    }

    /// An instant ends the tasks of all later slots, so only what runs once may have one.
    fn check_expires(&self) -> Result<(), ScheduleError> {
        let Some(Expires::At(at)) = self.expires else { return Ok(()) };
        let expected = match &self.schedule {
            Schedule::Clocked(clocked) if at > clocked.at() => return Ok(()),
            Schedule::Clocked(clocked) => format!("later than the only slot, {}", clocked.at()),
            Schedule::Interval(_) | Schedule::Crontab(_) | Schedule::Solar(_) if self.one_off => return Ok(()),
            Schedule::Interval(_) | Schedule::Crontab(_) | Schedule::Solar(_) => {
                "a time after each publish, such as 10m, because the schedule repeats: end_time is the instant after which nothing is sent".to_owned()
            }
        };
        Err(ScheduleError::new("expires", at, expected))
    }

    fn check_times(&self) -> Result<(), ScheduleError> {
        const ALLOWED: &str = "a point in time from 1970 to 9999, such as 2026-11-23T13:00:00Z";
        let expires = match self.expires {
            Some(Expires::At(at)) => Some(at),
            Some(Expires::After(_)) | None => None,
        };
        for (field, at) in
            [("start_time", self.start_time), ("end_time", self.end_time), ("expires", expires)]
        {
            if let Some(at) = at.filter(|at| !(Timestamp::default()..=LAST_INSTANT).contains(at)) {
                return Err(ScheduleError::new(field, at, ALLOWED));
            }
        }
        let (Some(start), Some(end)) = (self.start_time, self.end_time) else { return Ok(()) };
        if end < start {
            return Err(ScheduleError::new("end_time", end, format!("no earlier than start_time, {start}")));
        }
        if self.newest_between(Timestamp::default(), end).is_none() {
            let expected =
                format!("later: the schedule ({}) has no slot between {start} and then", self.schedule);
            return Err(ScheduleError::new("end_time", end, expected));
        }
        Ok(())
    }
}

const MISFIRES: &str = "skip, once or all(N) with N from 1 to 10000";

/// `skip`, `once`, `all(600)`.
impl fmt::Display for Misfire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip => f.write_str("skip"),
            Self::Once => f.write_str("once"),
            Self::All(most) => write!(f, "all({most})"),
        }
    }
}

impl FromStr for Misfire {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let all = || text.strip_prefix("all(")?.strip_suffix(')')?.parse().ok();
        match text {
            "skip" => Ok(Self::Skip),
            "once" => Ok(Self::Once),
            _ => all().map(Self::All).ok_or_else(|| ScheduleError::new("misfire", text, MISFIRES)),
        }
    }
}

/// `allow`, `skip`.
impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Skip => "skip",
        })
    }
}

impl FromStr for Overlap {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        match text {
            "allow" => Ok(Self::Allow),
            "skip" => Ok(Self::Skip),
            _ => Err(ScheduleError::new("overlap", text, "allow or skip")),
        }
    }
}

fn check_duration(
    field: &'static str,
    found: Duration,
    least: Duration,
    most: Duration,
) -> Result<(), ScheduleError> {
    if (least..=most).contains(&found) && found.subsec_nanos().is_multiple_of(1_000_000) {
        return Ok(());
    }
    let (least, most) = (crate::format_duration(least), crate::format_duration(most));
    Err(ScheduleError::new(field, format!("{found:?}"), format!("{least} to {most}, in whole milliseconds")))
}

/// FNV-1a, its bits mixed: the same in every release, because beats of two releases must agree.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
