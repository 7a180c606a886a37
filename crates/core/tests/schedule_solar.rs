//! The sun against published almanacs, within a minute.

#![cfg(feature = "schedule")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::schedule::{Schedule, SolarEvent};

const DAY: Duration = Duration::from_secs(86_400);

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn assert_near(found: Timestamp, expected: Timestamp, tolerance: u64, what: &str) {
    let apart = found.since(expected).max(expected.since(found));
    assert!(apart <= Duration::from_secs(tolerance), "{what}: expected {expected}, found {found}");
}

/// The calculator of NREL's Solar Position Algorithm (Reda and Andreas, NREL/TP-560-34302), exact to the second.
#[test]
fn agrees_with_nrel_to_a_few_seconds() {
    use SolarEvent::{SolarNoon, Sunrise, Sunset};
    for (latitude, longitude, event, expected) in [
        (-35.0, 0.0, Sunrise, "1996-07-05T07:08:15Z"),
        (-35.0, 0.0, SolarNoon, "1996-07-05T12:04:36Z"),
        (-35.0, 0.0, Sunset, "1996-07-05T17:01:04Z"),
        (-35.0, 0.0, Sunrise, "2004-12-04T04:38:57Z"),
        (-35.0, 0.0, SolarNoon, "2004-12-04T11:50:22Z"),
        (-35.0, 0.0, Sunset, "2004-12-04T19:02:03Z"),
        (35.0, 0.0, Sunrise, "1994-01-02T07:08:12Z"),
        (35.0, 0.0, Sunset, "1994-01-02T16:59:55Z"),
        (39.742_476, -105.178_6, Sunrise, "2003-10-17T06:12:43-07:00"),
        (39.742_476, -105.178_6, SolarNoon, "2003-10-17T11:46:05-07:00"),
        // The calculator takes the day in UTC: this is the evening of 16 October at the place.
        (39.742_476, -105.178_6, Sunset, "2003-10-17T00:20:19Z"),
    ] {
        let expected = at(expected);
        let solar = Schedule::solar(event, latitude, longitude).unwrap();
        let found = solar.next_after(expected.minus(DAY / 2)).unwrap();
        assert_near(found, expected, 10, &solar.to_string());
    }
}

/// Tables of the US Naval Observatory, which are printed to the minute.
#[test]
fn agrees_with_the_naval_observatory_to_the_minute() {
    for (latitude, longitude, zone, rows) in [
        (39.0, -105.0, "-07:00", ["07:19 16:49", "05:43 18:24", "05:01 19:10", "07:01 16:38"]),
        (39.917, 116.383, "+08:00", ["07:36 17:00", "05:58 18:39", "05:13 19:28", "07:17 16:50"]),
    ] {
        for (month, row) in [1, 4, 8, 12].into_iter().zip(rows) {
            for (event, time) in [SolarEvent::Sunrise, SolarEvent::Sunset].into_iter().zip(row.split(' ')) {
                let expected = at(&format!("2015-{month:02}-02T{time}:00{zone}"));
                let solar = Schedule::solar(event, latitude, longitude).unwrap();
                let found = solar.next_after(expected.minus(DAY / 2)).unwrap();
                assert_near(found, expected, 60, &solar.to_string());
            }
        }
    }
}

/// Computed with PyEphem 4.2.1, which uses VSOP87: another theory than ours, and what Celery uses. The first instant
/// is local mean midnight; then the nine events of that day in UTC, in the order of `SolarEvent::ALL`. `-`: none.
#[rustfmt::skip]
const EPHEM: [(f64, f64, &str, &str); 19] = [
    // Berlin
    (52.52, 13.405, "2026-01-14T23:06:22Z", "05:06:23 05:47:17 06:30:13 07:09:51 11:15:46 15:22:06 16:01:45 16:44:42 17:25:38"),
    // Berlin
    (52.52, 13.405, "2026-03-19T23:06:22Z", "03:13:00 03:55:00 04:35:15 05:09:15 11:13:50 17:19:26 17:53:34 18:33:59 19:16:15"),
    // Berlin
    (52.52, 13.405, "2026-06-20T23:06:22Z", "- 00:29:24 01:52:52 02:43:08 11:08:11 19:33:14 20:23:31 21:46:58 -"),
    // Berlin
    (52.52, 13.405, "2026-09-09T23:06:22Z", "02:29:20 03:14:58 03:57:11 04:32:05 11:03:23 17:33:35 18:08:19 18:50:18 19:35:33"),
    // Berlin
    (52.52, 13.405, "2026-11-30T23:06:22Z", "04:49:28 05:30:40 06:14:02 06:54:17 10:55:22 14:56:06 15:36:20 16:19:42 17:00:52"),
    // Melbourne
    (-37.81753, 144.96715, "2026-01-14T14:20:07Z", "17:24:47 18:06:30 18:44:06 19:14:26 02:29:23 09:43:55 10:14:10 10:51:38 11:33:09"),
    // Melbourne
    (-37.81753, 144.96715, "2026-06-20T14:20:07Z", "20:01:11 20:33:12 21:06:10 21:35:38 02:21:52 07:08:05 07:37:33 08:10:31 08:42:32"),
    // Reykjavik
    (64.1466, -21.9426, "2026-01-15T01:27:46Z", "07:45:33 08:43:23 09:47:34 10:54:50 13:37:11 16:20:09 17:27:27 18:31:41 19:29:35"),
    // Reykjavik
    (64.1466, -21.9426, "2026-03-20T01:27:46Z", "04:36:46 05:42:48 06:40:57 07:28:37 13:35:11 19:43:25 20:31:22 21:30:01 22:37:04"),
    // Reykjavik
    (64.1466, -21.9426, "2026-06-21T01:27:46Z", "- - - 02:55:19 13:29:36 00:03:51 - - -"),
    // Reykjavik
    (64.1466, -21.9426, "2026-09-10T01:27:46Z", "03:13:16 04:40:41 05:46:00 06:36:15 13:24:44 20:11:23 21:01:15 22:05:43 23:30:20"),
    // Reykjavik
    (64.1466, -21.9426, "2026-12-01T01:27:46Z", "07:31:07 08:29:38 09:35:19 10:45:51 13:16:48 15:47:15 16:57:45 18:03:24 19:01:52"),
    // Apia
    (-13.8333, -171.7667, "2026-01-15T11:27:04Z", "15:53:13 16:20:53 16:48:03 17:11:06 23:36:38 06:02:02 06:25:04 06:52:11 07:19:49"),
    // Apia
    (-13.8333, -171.7667, "2026-06-21T11:27:04Z", "16:33:22 16:59:50 17:26:31 17:49:43 23:28:59 05:08:16 05:31:28 05:58:08 06:24:37"),
    // Tromso
    (69.6492, 18.9553, "2026-01-14T22:44:10Z", "05:13:53 06:27:51 07:57:09 10:29:05 10:53:33 11:18:45 13:50:44 15:20:07 16:34:11"),
    // Tromso
    (69.6492, 18.9553, "2026-03-19T22:44:10Z", "00:46:19 02:27:37 03:43:50 04:43:55 10:51:38 17:01:32 18:02:05 19:19:22 21:04:42"),
    // Tromso
    (69.6492, 18.9553, "2026-06-20T22:44:10Z", "- - - - 10:45:59 - - - -"),
    // Tromso
    (69.6492, 18.9553, "2026-09-09T22:44:10Z", "- 00:54:36 02:31:39 03:37:21 10:41:11 17:42:30 18:47:23 20:21:42 -"),
    // Tromso
    (69.6492, 18.9553, "2026-11-30T22:44:10Z", "05:00:58 06:16:13 07:49:26 - 10:33:10 - 13:16:15 14:49:25 16:04:35"),
];

#[test]
fn agrees_with_ephem_on_all_nine_events() {
    for (latitude, longitude, midnight, times) in EPHEM {
        let midnight = at(midnight);
        for (event, time) in SolarEvent::ALL.into_iter().zip(times.split(' ')) {
            let solar = Schedule::solar(event, latitude, longitude).unwrap();
            let found = solar.next_after(midnight).unwrap();
            let what = format!("{solar} after {midnight}");
            if time == "-" {
                assert!(found > midnight.plus(DAY), "{what}: {found} on a day without");
                continue;
            }
            let same_day = at(&format!("{}T{time}Z", &midnight.to_string()[..10]));
            let expected = if same_day < midnight { same_day.plus(DAY) } else { same_day };
            assert_near(found, expected, 60, &what);
        }
    }
}

#[test]
fn polar_night_and_polar_day_have_no_slots() {
    let sunrise = Schedule::solar(SolarEvent::Sunrise, 69.649_2, 18.955_3).unwrap();
    let slots: Vec<Timestamp> =
        sunrise.slots_between(at("2025-07-01T00:00:00Z"), at("2026-07-01T00:00:00Z")).collect();
    let pauses: Vec<String> = slots
        .windows(2)
        .filter(|pair| pair[1].since(pair[0]) > 2 * DAY)
        .map(|pair| format!("{} to {}", &pair[0].to_string()[..10], &pair[1].to_string()[..10]))
        .collect();
    assert_eq!(pauses, ["2025-11-26 to 2026-01-15"]);
    // The days are by PyEphem, as above. The last sun comes up late on 17 May in UTC.
    assert_eq!(slots.last().unwrap().to_string()[..10], *"2026-05-17");
    let noon = Schedule::solar(SolarEvent::SolarNoon, 69.649_2, 18.955_3).unwrap();
    let noons = noon.slots_between(at("2025-07-01T00:00:00Z"), at("2026-07-01T00:00:00Z")).count();
    assert_eq!(noons, 365);
}

#[test]
fn slots_increase_everywhere() {
    for latitude in [-90.0, -78.5, -66.6, -35.0, 0.0, 23.4, 60.0, 65.7, 66.6, 71.0, 89.9, 90.0] {
        for longitude in [-180.0, -179.9, -70.0, 0.0, 150.0, 180.0] {
            for event in SolarEvent::ALL {
                let solar = Schedule::solar(event, latitude, longitude).unwrap();
                let mut last = at("2026-01-01T00:00:00Z");
                for _ in 0..5 {
                    let Some(next) = solar.next_after(last) else { break };
                    assert!(next > last && solar.is_slot(next), "{solar}: {next} after {last}");
                    assert_eq!(
                        solar.next_after(next.minus(Duration::from_secs(3_600))),
                        Some(next),
                        "{solar}"
                    );
                    last = next;
                }
            }
        }
    }
}
