//! Crontabs against a scan of every minute of a year, in the zones with the oddest clocks.
//!
//! The scan knows only what the clocks of a zone show at an instant. From that it says what must be due, by the
//! definition: an open hour at every instant that matches; a fixed hour when the clocks show a matching time, or one
//! beyond it, for the first time.

#![cfg(feature = "schedule")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::sync::OnceLock;

use jiff::civil::date;
use lovage_core::Timestamp;
use lovage_core::schedule::Schedule;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const MINUTE: i64 = 60_000_000;
const MARGIN: i64 = 3 * 1_440;

const ZONES: [(&str, i16); 26] = [
    ("Europe/Berlin", 2026),
    ("Europe/Dublin", 2026), // winter time is the one that differs
    ("America/New_York", 2026),
    ("Australia/Lord_Howe", 2026),  // half an hour
    ("Africa/Casablanca", 2026),    // by the moon
    ("Pacific/Chatham", 2026),      // at 02:45, 12:45 ahead
    ("Antarctica/Troll", 2026),     // two hours
    ("Pacific/Apia", 2011),         // without 30 December
    ("Pacific/Kwajalein", 1993),    // without 21 August
    ("Pacific/Kiritimati", 1994),   // without 31 December
    ("America/Havana", 2026),       // at midnight
    ("Africa/Cairo", 2026),         // at midnight, on a Friday
    ("Asia/Beirut", 2026),          // at midnight
    ("America/Santiago", 2026),     // at 24:00
    ("America/Sao_Paulo", 2018),    // at midnight
    ("America/St_Johns", 2006),     // a minute past midnight
    ("America/Scoresbysund", 2024), // moved while turning
    ("America/Nuuk", 2023),         // moved
    ("Asia/Gaza", 2024),            // four turns
    ("Asia/Pyongyang", 2018),       // half an hour for good
    ("Asia/Kathmandu", 1986),       // a quarter of an hour for good
    ("America/Caracas", 2007),      // half an hour back for good
    ("Antarctica/Casey", 2018),     // three hours
    ("Antarctica/Vostok", 2023),    // two hours back
    ("Africa/Juba", 2021),          // an hour back at midnight
    ("Asia/Tehran", 2021),          // by another calendar
];

/// Expressions at the hours at which clocks are turned.
const HARD: [&str; 7] = [
    "30 2 * * *",
    "*/20 * * * fri-sun",
    "0 0 * * *",
    "15,45 0-3 * * *",
    "0 */2 * * *",
    "0 12 30,31 12 *",
    "0,59 22-4 * * fri-mon",
];

#[test]
fn slots_at_the_turns_are_those_of_a_scan() {
    for zone in 0..ZONES.len() {
        for expression in HARD {
            compare(zone, expression, &Allowed::read(expression), &Scan::of(zone).around_turns());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slots_are_those_of_a_scan(
        zone in 0..ZONES.len(),
        (text, allowed) in crontab(),
        instants in proptest::collection::vec(0..525_600 * MINUTE, 20),
    ) {
        compare(zone, &text, &allowed, &instants);
    }
}

/// Compares all slots of the year, and the ones around some instants of it.
fn compare(zone: usize, expression: &str, allowed: &Allowed, instants: &[i64]) {
    let scan = Scan::of(zone);
    let what = format!("{expression} in {:?}", ZONES[zone]);
    let schedule = Schedule::crontab(expression, ZONES[zone].0).unwrap();
    let expected = scan.slots(allowed);
    let at = |micros: i64| Timestamp::from_micros(micros);
    let (start, end) = (scan.start * MINUTE, scan.start * MINUTE + 525_600 * MINUTE);
    let slots = schedule.slots_between(at(start - 1), at(end - 1));
    // One more is enough to differ, and a wrong schedule may have no end.
    let found: Vec<i64> = slots.map(Timestamp::as_micros).take(expected.len() + 1).collect();
    let differs = expected.iter().zip(&found).position(|(expected, found)| expected != found);
    if let Some(index) = differs {
        panic!("{what}: expected {}, found {}", at(expected[index]), at(found[index]));
    }
    assert_eq!(expected.len(), found.len(), "{what}");
    for instant in instants.iter().map(|offset| start + offset) {
        let index = expected.partition_point(|slot| *slot <= instant);
        let next = schedule.next_after(at(instant)).unwrap();
        if let Some(expected) = expected.get(index) {
            assert_eq!(next, at(*expected), "{what}: next after {}", at(instant));
        }
        let newest = index.checked_sub(1).map(|index| at(expected[index]));
        assert_eq!(
            schedule.newest_between(at(start - 1), at(instant)),
            newest,
            "{what} up to {}",
            at(instant)
        );
        assert!(schedule.is_slot(next) && !schedule.is_slot(at(next.as_micros() - 1)));
    }
}

/// The values that an expression allows, by index.
#[derive(Clone, Debug)]
struct Allowed {
    minute: Vec<bool>,
    hour: Vec<bool>,
    day: Vec<bool>,
    month: Vec<bool>,
    weekday: Vec<bool>,
    open: bool,
}

impl Allowed {
    /// Reads the few forms that stand in `HARD`.
    fn read(expression: &str) -> Self {
        let parts: Vec<&str> = expression.split(' ').collect();
        let set = |text: &str, low: usize, high: usize| {
            let number = |text: &str| match ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
                .iter()
                .position(|name| *name == text)
            {
                Some(day) => day,
                None => text.parse().unwrap(),
            };
            let mut allowed = vec![false; high + 1];
            for part in text.split(',') {
                let (range, step) = part.split_once('/').map_or((part, 1), |(a, b)| (a, b.parse().unwrap()));
                let (from, to) = match range.split_once('-') {
                    Some((from, to)) => (number(from), number(to)),
                    None if range == "*" => (low, high),
                    None => (number(range), number(range)),
                };
                let mut value = from;
                loop {
                    allowed[value] = true;
                    if value == to || step > 1 && value + step > high {
                        break;
                    }
                    value = if value == high { low } else { value + step };
                }
            }
            allowed
        };
        Self {
            minute: set(parts[0], 0, 59),
            hour: set(parts[1], 0, 23),
            day: set(parts[2], 1, 31),
            month: set(parts[3], 1, 12),
            weekday: set(parts[4], 0, 6),
            open: parts[1].starts_with('*'),
        }
    }
}

/// An expression, and by the way it was made what it allows.
fn crontab() -> impl Strategy<Value = (String, Allowed)> {
    let hour = prop_oneof![
        2 => (1_usize..=12).prop_map(|step| (format!("*/{step}"), (0..24).step_by(step).collect(), true)),
        1 => Just(("*".to_owned(), (0..24).collect::<Vec<usize>>(), true)),
        3 => list((0..24).collect(), 6).prop_map(|(text, values)| (text, values, false)),
        1 => range(0, 23).prop_map(|(text, values)| (text, values, false)),
    ];
    let month = prop_oneof![
        4 => Just(("*".to_owned(), (1..=12).collect::<Vec<usize>>())),
        1 => list((1..=12).collect(), 12),
        1 => range(1, 12),
    ];
    let day = prop_oneof![
        4 => Just(("*".to_owned(), (1..=31).collect::<Vec<usize>>())),
        1 => list((1..=28).collect(), 20),
        1 => range(1, 31),
    ];
    let names = ["sun", "Monday", "TUE", "wed", "thu", "friday", "sat", "7"];
    let weekday = prop_oneof![
        4 => Just(("*".to_owned(), (0..7).collect::<Vec<usize>>())),
        1 => range(0, 6),
        1 => select((0..8).collect::<Vec<usize>>()).prop_map(move |day| (names[day].to_owned(), vec![day % 7])),
    ];
    (list((0..60).collect(), 3), hour, day, month, weekday)
        .prop_map(|(minute, hour, day, month, weekday)| {
            let set =
                |values: &[usize], size: usize| (0..size).map(|value| values.contains(&value)).collect();
            let text = format!("{} {} {} {} {}", minute.0, hour.0, day.0, month.0, weekday.0);
            let allowed = Allowed {
                minute: set(&minute.1, 60),
                hour: set(&hour.1, 24),
                day: set(&day.1, 32),
                month: set(&month.1, 13),
                weekday: set(&weekday.1, 7),
                open: hour.2,
            };
            (text, allowed)
        })
        .prop_filter("a day that some month has", |(text, _)| Schedule::crontab(text, "UTC").is_ok())
}

fn list(values: Vec<usize>, most: usize) -> impl Strategy<Value = (String, Vec<usize>)> {
    subsequence(values, 1..=most)
        .prop_map(|values| (values.iter().map(usize::to_string).collect::<Vec<_>>().join(","), values))
}

/// A range with a step, around the end where it wraps.
fn range(low: usize, high: usize) -> impl Strategy<Value = (String, Vec<usize>)> {
    (low..=high, low..=high, 1_usize..=3).prop_map(move |(from, to, step)| {
        let size = high - low + 1;
        let length = (to + size - from) % size + 1;
        let values = (0..length).step_by(step).map(|steps| low + (from - low + steps) % size).collect();
        (format!("{from}-{to}/{step}"), values)
    })
}

/// What the clocks of a zone show at every minute of a year, with a margin on both sides.
struct Scan {
    /// The first minute of the year in UTC, since the epoch.
    start: i64,
    /// Minutes as if the clocks were showing UTC.
    walls: Vec<i64>,
    /// The dates that the clocks show, as days since the epoch.
    dates: HashSet<i64>,
}

impl Scan {
    fn of(zone: usize) -> &'static Self {
        static SCANS: [OnceLock<Scan>; ZONES.len()] = [const { OnceLock::new() }; ZONES.len()];
        SCANS[zone].get_or_init(|| Self::new(ZONES[zone].0, ZONES[zone].1))
    }

    fn new(zone: &str, year: i16) -> Self {
        let zone = jiff::tz::TimeZone::get(zone).unwrap();
        let start = date(year, 1, 1).in_tz("UTC").unwrap().timestamp().as_second() / 60;
        let walls: Vec<i64> = (start - MARGIN..start + 525_600 + MARGIN)
            .map(|minute| {
                let at = jiff::Timestamp::from_second(minute * 60).unwrap();
                minute + i64::from(zone.to_offset(at).seconds()).div_euclid(60)
            })
            .collect();
        // No zone has had a date of less than an hour.
        let dates = walls.iter().step_by(60).map(|wall| wall.div_euclid(1_440)).collect();
        Self { start, walls, dates }
    }

    /// Instants of the last hours before and the first ones after the clocks are turned, in microseconds of the year.
    fn around_turns(&self) -> Vec<i64> {
        let turns = (1..self.walls.len()).filter(|index| self.walls[*index] - self.walls[index - 1] != 1);
        turns
            .map(|index| i64::try_from(index).unwrap() - MARGIN)
            .flat_map(|turn| (-12..=12).map(move |quarters| turn + quarters * 15))
            .filter(|minute| (0..525_600).contains(minute))
            .map(|minute| minute * MINUTE + 1)
            .collect()
    }

    /// The slots of the year in microseconds, by definition.
    fn slots(&self, allowed: &Allowed) -> Vec<i64> {
        let first_date = self.walls[0].div_euclid(1_440) - 2;
        let dates: Vec<bool> = (first_date..first_date + 380)
            .map(|days| {
                let date = date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
                let index = |value: i8| usize::try_from(value).unwrap();
                allowed.day[index(date.day())]
                    && allowed.month[index(date.month())]
                    && allowed.weekday[index(date.weekday().to_sunday_zero_offset())]
                    && self.dates.contains(&days)
            })
            .collect();
        let minutes: Vec<bool> =
            (0..1_440).map(|minute| allowed.minute[minute % 60] && allowed.hour[minute / 60]).collect();
        let matches = |wall: i64| {
            let since = usize::try_from(wall - first_date * 1_440).unwrap();
            minutes[since % 1_440] && dates[since / 1_440]
        };
        let mut furthest = self.walls[0];
        let mut slots = Vec::new();
        for (minute, wall) in (self.start - MARGIN..).zip(&self.walls) {
            let due = if allowed.open || *wall == furthest + 1 {
                matches(*wall)
            } else {
                (furthest + 1..=*wall).any(matches)
            };
            furthest = furthest.max(*wall);
            if due && (self.start..self.start + 525_600).contains(&minute) {
                slots.push(minute * MINUTE);
            }
        }
        slots
    }
}
