//! Time zones: which clock a place has, from the IANA database that is compiled in.

use std::cmp::Reverse;
use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::ScheduleError;
use crate::Timestamp;

/// Longer than any clock was ever turned back, in seconds.
const LONGEST_FOLD: i64 = 2 * 86_400;
/// Further than any clock is from UTC, in seconds.
const LARGEST_OFFSET: i64 = 26 * 3_600;
const DAY: i64 = 86_400;

/// A time zone of the IANA database, such as `Europe/Berlin`.
///
/// The database is compiled in and the host's is not read, so that all beats of one release have the same slots.
///
/// Inside, *wall* is what the clocks of the zone show, in seconds as if they were showing UTC.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    rules: TimeZone,
}

impl Zone {
    /// The zone of that name; upper and lower case are the same.
    ///
    /// # Errors
    /// When there is no such zone; names the nearest ones.
    pub fn named(name: &str) -> Result<Self, ScheduleError> {
        jiff::tz::db()
            .get(name)
            .ok()
            .filter(|rules| !rules.is_unknown() && rules.iana_name().is_some())
            .map(|rules| Self { rules })
            .ok_or_else(|| ScheduleError::new("zone", name, expected_zone(name)))
    }

    /// Coordinated Universal Time, which knows no summer time.
    #[must_use]
    pub fn utc() -> Self {
        Self { rules: TimeZone::UTC }
    }

    /// The name, as the IANA database writes it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.rules.iana_name().unwrap_or("UTC")
    }

    /// An instant as the clocks of the zone show it, to the second: `2026-03-29 03:00:00 +02:00`.
    #[must_use]
    pub fn show(&self, instant: Timestamp) -> String {
        let at = instant.as_micros().div_euclid(1_000_000);
        let offset = self.offset(at);
        let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.abs() / 60);
        format!("{} {sign}{:02}:{:02}", Wall(at + offset), minutes / 60, minutes % 60)
    }

    /// Seconds that the wall clocks are ahead of UTC at an instant.
    pub(super) fn offset(&self, at: i64) -> i64 {
        i64::from(self.rules.to_offset(instant(at)).seconds())
    }

    /// The instants later than `at` at which the clocks are turned, and the offset from then on.
    pub(super) fn turns_after(&self, at: i64) -> impl Iterator<Item = (i64, i64)> {
        self.rules
            .following(instant(at))
            .map(|turn| (turn.timestamp().as_second(), i64::from(turn.offset().seconds())))
    }

    /// The last instant not later than `at` at which the clocks were turned.
    pub(super) fn turn_before(&self, at: i64) -> Option<i64> {
        self.rules.preceding(instant(at.saturating_add(1))).next().map(|turn| turn.timestamp().as_second())
    }

    /// The latest wall time that the clocks have ever shown up to an instant. In the second pass of a repeated hour
    /// that is the end of the first pass.
    pub(super) fn furthest_wall(&self, at: i64) -> i64 {
        let shown_before = |turn: i64| turn - 1 + self.offset(turn - 1);
        self.rules
            .preceding(instant(at.saturating_add(1)))
            .map(|turn| turn.timestamp().as_second())
            .take_while(|turn| *turn + LONGEST_FOLD > at)
            .map(shown_before)
            .fold(at + self.offset(at), i64::max)
    }

    /// The first instant at which the clocks show `wall` or, where they skip it, a later time; `None` when they skip
    /// its whole date.
    ///
    /// Found from turn to turn: jiff 1.0.1 maps wall times to instants itself, but is an hour off on the evening
    /// before a turn that only renames the time, as in America/Nuuk on 2023-10-28.
    pub(super) fn first_instant(&self, wall: i64) -> Option<i64> {
        let midnight = wall - wall.rem_euclid(DAY);
        let mut from = wall.saturating_sub(LARGEST_OFFSET);
        let mut offset = self.offset(from);
        for (turn, offset_then) in self.turns_after(from) {
            if wall - offset < turn {
                break;
            }
            if turn + offset <= midnight && midnight + DAY <= turn + offset_then {
                return None;
            }
            (from, offset) = (turn, offset_then);
        }
        Some((wall - offset).max(from))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A wall time for people: `2026-03-29 03:00:00`.
#[derive(Clone, Copy)]
pub(super) struct Wall(pub(super) i64);

impl Wall {
    /// `2026-03-29`.
    pub(super) fn date(self) -> String {
        civil(self.0).date().to_string()
    }

    /// `03:00`, or `03:00:05` where there are seconds.
    pub(super) fn time(self) -> String {
        let time = civil(self.0).time();
        let minutes = format!("{:02}:{:02}", time.hour(), time.minute());
        if time.second() == 0 { minutes } else { format!("{minutes}:{:02}", time.second()) }
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = civil(self.0);
        write!(f, "{} {:02}:{:02}:{:02}", wall.date(), wall.hour(), wall.minute(), wall.second())
    }
}

/// Instants beyond the years -9999 to 9999 become the nearest one.
fn instant(at: i64) -> jiff::Timestamp {
    let nearest = if at < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_second(at).unwrap_or(nearest)
}

fn civil(wall: i64) -> DateTime {
    Offset::UTC.to_datetime(instant(wall))
}

fn expected_zone(found: &str) -> String {
    if let Some((sign, hours)) = offset_in(found) {
        let (here, there) = if sign == '+' { ('-', "ahead of") } else { ('+', "behind") };
        let zone = format!("Etc/GMT{here}{hours}");
        let hint = match jiff::tz::db().get(&zone) {
            Ok(_) => format!(
                " or, for a clock that is always {hours} h {there} UTC, {zone}: the sign of these names is reversed, Etc/GMT{sign}{hours} is the opposite"
            ),
            Err(_) => String::new(),
        };
        return format!("a name of the IANA time zone database: a region such as Europe/Berlin{hint}");
    }
    let near = nearest_zones(found);
    let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
    format!("a name of the IANA time zone database, such as Europe/Berlin or UTC{hint}")
}

/// The sign and the hours of what names an offset from UTC, such as `GMT+5`, `UTC-03:00` or `+2`.
fn offset_in(found: &str) -> Option<(char, u8)> {
    let lower = found.trim().to_ascii_lowercase();
    let rest =
        ["etc/gmt", "etc/utc", "gmt", "utc", ""].into_iter().find_map(|name| lower.strip_prefix(name))?;
    let sign = rest.chars().next().filter(|sign| matches!(sign, '+' | '-'))?;
    let hours = rest[1..].strip_suffix(":00").unwrap_or(&rest[1..]);
    let is_number = (1..=2).contains(&hours.len()) && hours.bytes().all(|byte| byte.is_ascii_digit());
    hours.parse().ok().filter(|_| is_number).map(|hours| (sign, hours))
}

/// Zones whose city is meant, else those with the fewest letters to change; at most three.
fn nearest_zones(found: &str) -> Vec<String> {
    let found = found.trim().replace(' ', "_").to_lowercase();
    let city = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
    let mut near: Vec<(usize, Reverse<usize>, String)> = jiff::tz::db()
        .available()
        .map(|name| {
            let lower = name.as_str().to_lowercase();
            let steps = distance(&found, &lower).min(distance(&city(&found), &city(&lower)));
            (steps, Reverse(shared_start(&found, &lower)), name.as_str().to_owned())
        })
        .filter(|(steps, ..)| *steps <= found.len() / 4)
        .collect();
    near.sort();
    let best = near.first().map_or(0, |first| first.0);
    near.into_iter().take_while(|(steps, ..)| *steps == best).take(3).map(|(.., name)| name).collect()
}

fn shared_start(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

/// How many letters to insert, delete or replace.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
