//! The next slots of an entry, for people who want to see them before they happen.

use std::time::Duration;

use super::Entry;
use crate::{Timestamp, format_duration};

/// A slot to come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upcoming {
    /// The slot.
    pub slot: Timestamp,
    /// When it fires: a little later where there is a jitter.
    pub fires_at: Timestamp,
    /// The slot on the clock of the entry's zone: `2026-03-29 03:00:00 +02:00`.
    pub local: String,
    /// What summer time does to this slot, such as `02:30 does not exist on 2026-03-29, fires at 03:00` or
    /// `first of two 02:30, fires once`; `None` when nothing.
    pub remark: Option<String>,
    /// How far the clocks of the zone were turned between the slot before and this one, in seconds; 3,600 when summer time
    /// begins. 0 for the first of the list.
    pub turned: i64,
}

impl Upcoming {
    /// What summer time does to the slot, and that the clocks were turned before it; `None` when nothing.
    #[must_use]
    pub fn summer_time(&self) -> Option<String> {
        let turned = (self.turned != 0).then(|| {
            let way = if self.turned > 0 { "forward" } else { "back" };
            let by = Duration::from_secs(self.turned.unsigned_abs());
            format!("the clocks were turned {way} by {}", format_duration(by))
        });
        let words: Vec<String> = turned.into_iter().chain(self.remark.clone()).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}

/// The next `count` slots later than `after`, fewer when there are no more; one of an entry that is to run once. Whether the
/// entry is enabled does not matter here.
#[must_use]
pub fn preview(entry: &Entry, after: Timestamp, count: usize) -> Vec<Upcoming> {
    let zone = entry.schedule.zone();
    let offset = |slot: Timestamp| zone.offset(slot.as_micros().div_euclid(1_000_000));
    let count = if entry.one_off { count.min(1) } else { count };
    let mut before = None;
    let end = Timestamp::from_micros(i64::MAX);
    entry
        .slots_between(after, end)
        .take(count)
        .map(|slot| Upcoming {
            slot,
            fires_at: entry.fires_at(slot),
            local: zone.show(slot),
            remark: entry.schedule.remark(slot),
            turned: offset(slot) - before.replace(offset(slot)).unwrap_or_else(|| offset(slot)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{Units as _, crontab, every};

    fn shown(entry: &Entry, after: &str, count: usize) -> Vec<String> {
        let after = Timestamp::parse(after).unwrap();
        let line = |next: Upcoming| {
            let remark = next.remark.unwrap_or_default();
            format!("{} {:+} {remark}", next.local, next.turned).trim_end().to_owned()
        };
        preview(entry, after, count).into_iter().map(line).collect()
    }

    #[test]
    fn summer_time_is_marked() {
        let entry = crontab("30 2 * * *").zone("Europe/Berlin").entry("e", "t").unwrap();
        assert_eq!(
            shown(&entry, "2026-03-27T12:00:00Z", 3),
            [
                "2026-03-28 02:30:00 +01:00 +0",
                "2026-03-29 03:00:00 +02:00 +3600 02:30 does not exist on 2026-03-29, fires at 03:00",
                "2026-03-30 02:30:00 +02:00 +0",
            ]
        );
        assert_eq!(
            shown(&entry, "2026-10-24T12:00:00Z", 2),
            [
                "2026-10-25 02:30:00 +02:00 +0 first of two 02:30, fires once",
                "2026-10-26 02:30:00 +01:00 -3600"
            ]
        );
        let open = crontab("*/30 * * * *").zone("Europe/Berlin").entry("e", "t").unwrap();
        assert_eq!(
            shown(&open, "2026-10-25T00:10:00Z", 3),
            [
                "2026-10-25 02:30:00 +02:00 +0 first of two 02:30",
                "2026-10-25 02:00:00 +01:00 -3600 second of two 02:00",
                "2026-10-25 02:30:00 +01:00 +0 second of two 02:30",
            ]
        );
    }

    #[test]
    fn it_ends_where_the_slots_end() {
        let entry = every(10.secs()).end("2026-01-01T00:00:20Z").entry("e", "t").unwrap();
        assert_eq!(shown(&entry, "2026-01-01T00:00:00Z", 9).len(), 2);
        let once = every(10.secs()).one_off().entry("e", "t").unwrap();
        assert_eq!(shown(&once, "2026-01-01T00:00:00Z", 9), ["2026-01-01 00:00:10 +00:00 +0"]);
    }

    #[test]
    fn jitter_moves_the_firing_and_not_the_slot() {
        let entry = every(10.secs()).jitter(5.secs()).entry("e", "t").unwrap();
        let next = preview(&entry, Timestamp::default(), 20);
        assert!(next.iter().all(|next| next.fires_at == entry.fires_at(next.slot)));
        assert!(next.iter().any(|next| next.fires_at > next.slot));
    }
}
