//! Slots by example: Celery's own table, the nights on which clocks are turned, and what is refused.

#![cfg(feature = "schedule")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::schedule::{Interval, Schedule, SolarEvent};

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// The examples of Celery's documentation of crontab, with what celery 5.7.0 makes of them in UTC, from 2026 on up to
/// a day: how many slots, and the sum of their minutes since the epoch modulo 1,000,003.
#[test]
fn celerys_table_of_crontabs_has_the_same_slots() {
    for (expression, until, count, sum) in [
        ("* * * * *", "2026-01-15", 20_160, 222_353),
        ("0 0 * * *", "2027-01-01", 365, 249_062),
        ("0 */3 * * *", "2027-01-01", 2_920, 832_087),
        ("0 0,3,6,9,12,15,18,21 * * *", "2027-01-01", 2_920, 832_087),
        ("*/15 * * * *", "2026-01-15", 1_344, 272_083),
        ("* * * * sunday", "2026-01-15", 2_880, 603_195),
        ("* * * * sun", "2026-01-15", 2_880, 603_195),
        ("*/10 3,17,22 * * thu,fri", "2027-01-01", 1_890, 34_367),
        ("0 */2,*/3 * * *", "2027-01-01", 5_840, 926_971),
        ("0 */5 * * *", "2027-01-01", 1_825, 340_304),
        ("0 */3,8-17 * * *", "2027-01-01", 5_475, 524_609),
        ("0 0 2 * *", "2027-01-01", 12, 338_452),
        ("0 0 2-30/2 * *", "2027-01-01", 179, 165_483),
        ("0 0 1-7,15-21 * *", "2027-01-01", 168, 915_590),
        ("0 0 11 5 *", "2027-01-01", 1, 640_873),
        ("0 0 * */3 *", "2027-01-01", 123, 591_293),
        ("30 7 * * 1", "2027-01-01", 52, 279_885),
        ("0 0 1-7,15-21 * 1", "2027-01-01", 24, 993_704),
        ("0 22-4 * * fri-mon", "2027-01-01", 1_456, 723_008),
        ("1,13,30-45,50-59/2 * * * *", "2026-01-15", 7_728, 937_619),
        ("0 0,8-17/2 * * *", "2027-01-01", 2_190, 808_366),
        ("0 0 * * */2", "2027-01-01", 209, 554_490),
        ("*/7 * * * *", "2026-01-15", 3_024, 378_818),
    ] {
        let schedule = Schedule::crontab(expression, "UTC").unwrap();
        let until = at(&format!("{until}T00:00:00Z")).minus(Duration::from_secs(1));
        let slots = schedule.slots_between(at("2025-12-31T23:59:59Z"), until);
        let minutes = slots.map(|slot| slot.as_micros() / 60_000_000);
        let found = minutes.fold((0, 0), |(count, sum), minute| (count + 1, (sum + minute) % 1_000_003));
        assert_eq!(found, (count, sum), "{expression}");
    }
}

/// What celery 5.7.0 does on the nights on which Berlin turns its clocks, asked as its beat asks, and what is right. The
/// differences stand in docs/schedules.md.
#[test]
fn where_celery_is_wrong_the_slots_are_others() {
    for (expression, after, celery, slots) in [
        (
            "30 2 * * *",
            "2026-03-28T12:00:00+01:00",
            &["2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"][..],
            &["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"][..],
        ),
        (
            "*/20 * * * *",
            "2026-10-25T02:20:00+02:00",
            &["2026-10-25T02:40:00+02:00", "2026-10-25T03:00:00+01:00"],
            &[
                "2026-10-25T02:40:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T02:20:00+01:00",
                "2026-10-25T02:40:00+01:00",
                "2026-10-25T03:00:00+01:00",
            ],
        ),
        (
            "30 * * * *",
            "2026-10-25T01:30:00+02:00",
            &["2026-10-25T02:30:00+02:00", "2026-10-25T03:30:00+01:00"],
            &["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:30:00+01:00"],
        ),
        // Its form accepts the weekday 7, and the entry never runs.
        ("0 12 * * 7", "2026-01-01T00:00:00+01:00", &[], &["2026-01-04T12:00:00+01:00"]),
    ] {
        let instants = |texts: &[&str]| texts.iter().map(|text| at(text)).collect::<Vec<_>>();
        let slots = instants(slots);
        let schedule = Schedule::crontab(expression, "Europe/Berlin").unwrap();
        let found: Vec<_> = schedule.slots_between(at(after), slots[slots.len() - 1]).collect();
        assert_eq!(found, slots, "{expression}");
        assert_ne!(found, instants(celery), "{expression}");
    }
}

#[test]
fn names_kin_and_sunday_mean_the_same_as_numbers() {
    for (expression, same) in [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 jan *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 7"),
        ("@daily", "0 0 * * 0-7"),
        ("@midnight", "0 0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("0 12 * * 7", "0 12 * * SUN"),
        ("0 12 * * 5-7", "0 12 * * fri,sat,sun"),
        ("0 12 * * 7-2", "0 12 * * 0-2"),
        ("0 12 * * 7-7", "0 12 * * 0"),
        ("0 12 * * 1-7/2", "0 12 * * 1,3,5,7"),
        ("0 12 25-5 nov-Feb *", "0 12 1,2,3,4,5,25-31 11,12,1,2 *"),
        ("50-10/10 * * * *", "50,0,10 * * * *"),
    ] {
        let slots = |expression: &str| -> Vec<Timestamp> {
            let schedule = Schedule::crontab(expression, "UTC").unwrap();
            schedule
                .slots_between(at("2026-01-01T00:00:00Z"), at("2027-02-01T00:00:00Z"))
                .take(2_000)
                .collect()
        };
        assert_eq!(slots(expression), slots(same), "{expression}");
        assert!(!slots(expression).is_empty());
    }
}

/// Each row: zone, expression, the instant after which to look, and the next slots on the clock of the zone, with
/// what is remarked about them.
#[test]
fn clocks_that_are_turned() {
    for (zone, expression, after, slots) in [
        // Celery fires this at 03:30.
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-03-28T12:00:00+01:00",
            "2026-03-29 03:00:00 +02:00 (02:30 does not exist on 2026-03-29, fires at 03:00); 2026-03-30 02:30:00 +02:00",
        ),
        // Several times that the gap swallows are one slot, also with one that exists.
        (
            "Europe/Berlin",
            "*/15 2,3 * * *",
            "2026-03-28T12:00:00+01:00",
            "2026-03-29 03:00:00 +02:00 (02:00 to 02:45 do not exist on 2026-03-29, fire once at 03:00); \
             2026-03-29 03:15:00 +02:00",
        ),
        (
            "Europe/Berlin",
            "*/20 * * * *",
            "2026-03-29T01:30:00+01:00",
            "2026-03-29 01:40:00 +01:00; \
             2026-03-29 03:00:00 +02:00 (02:00 to 02:40 do not exist on 2026-03-29 and are skipped); \
             2026-03-29 03:20:00 +02:00",
        ),
        // Celery is silent for 80 minutes here.
        (
            "Europe/Berlin",
            "*/20 * * * *",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25 02:40:00 +02:00 (first of two 02:40); 2026-10-25 02:00:00 +01:00 (second of two 02:00); \
             2026-10-25 02:20:00 +01:00 (second of two 02:20); 2026-10-25 02:40:00 +01:00 (second of two 02:40); \
             2026-10-25 03:00:00 +01:00",
        ),
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-10-24T12:00:00+02:00",
            "2026-10-25 02:30:00 +02:00 (first of two 02:30, fires once); 2026-10-26 02:30:00 +01:00",
        ),
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31T12:00:00-04:00",
            "2026-11-01 01:30:00 -04:00 (first of two 01:30, fires once); 2026-11-02 01:30:00 -05:00",
        ),
        // Half an hour.
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-04T12:00:00+11:00",
            "2026-04-05 01:45:00 +11:00 (first of two 01:45, fires once); 2026-04-06 01:45:00 +10:30",
        ),
        (
            "Australia/Lord_Howe",
            "45 */1 * * *",
            "2026-04-05T01:00:00+11:00",
            "2026-04-05 01:45:00 +11:00 (first of two 01:45); 2026-04-05 01:45:00 +10:30 (second of two 01:45); \
             2026-04-05 02:45:00 +10:30",
        ),
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-03T12:00:00+10:30",
            "2026-10-04 02:30:00 +11:00 (02:15 does not exist on 2026-10-04, fires at 02:30); \
             2026-10-05 02:15:00 +11:00",
        ),
        // Two hours.
        (
            "Antarctica/Troll",
            "30 1,2 * * *",
            "2026-03-28T12:00:00Z",
            "2026-03-29 03:00:00 +02:00 (01:30 to 02:30 do not exist on 2026-03-29, fire once at 03:00); \
             2026-03-30 01:30:00 +02:00",
        ),
        // Winter time is the exception in Dublin's rules.
        (
            "Europe/Dublin",
            "30 1 * * *",
            "2026-10-24T12:00:00+01:00",
            "2026-10-25 01:30:00 +01:00 (first of two 01:30, fires once); 2026-10-26 01:30:00 +00:00",
        ),
        (
            "Africa/Casablanca",
            "30 2 * * *",
            "2026-03-21T12:00:00+00:00",
            "2026-03-22 03:00:00 +01:00 (02:30 does not exist on 2026-03-22, fires at 03:00); \
             2026-03-23 02:30:00 +01:00",
        ),
        (
            "Pacific/Chatham",
            "0 3 * * *",
            "2026-04-04T12:00:00+13:45",
            "2026-04-05 03:00:00 +13:45 (first of two 03:00, fires once); 2026-04-06 03:00:00 +12:45",
        ),
        // At midnight.
        (
            "America/Havana",
            "0 0 * * *",
            "2026-03-07T12:00:00-05:00",
            "2026-03-08 01:00:00 -04:00 (00:00 does not exist on 2026-03-08, fires at 01:00); \
             2026-03-09 00:00:00 -04:00",
        ),
        // Dates that a zone skipped.
        (
            "Pacific/Apia",
            "0 12 * * *",
            "2011-12-28T13:00:00-10:00",
            "2011-12-29 12:00:00 -10:00; 2011-12-31 12:00:00 +14:00; 2012-01-01 12:00:00 +14:00",
        ),
        (
            "Pacific/Kwajalein",
            "0 12 * * *",
            "1993-08-19T13:00:00-12:00",
            "1993-08-20 12:00:00 -12:00; 1993-08-22 12:00:00 +12:00",
        ),
    ] {
        let schedule = Schedule::crontab(expression, zone).unwrap();
        let mut next = at(after);
        for expected in slots.split("; ") {
            next = schedule.next_after(next).unwrap();
            let shown = schedule.zone().show(next);
            let found = schedule.remark(next).map_or(shown.clone(), |remark| format!("{shown} ({remark})"));
            assert_eq!(found, expected, "{expression} in {zone}");
        }
    }
}

#[test]
fn seconds_in_front() {
    let schedule = Schedule::crontab("*/20 59 23 31 12 *", "Europe/Berlin").unwrap();
    let slots: Vec<String> = schedule
        .slots_between(at("2026-01-01T00:00:00Z"), at("2027-12-30T00:00:00Z"))
        .map(|slot| slot.to_string())
        .collect();
    assert_eq!(slots, ["2026-12-31T22:59:00Z", "2026-12-31T22:59:20Z", "2026-12-31T22:59:40Z"]);
}

#[test]
fn a_rare_crontab_and_the_end_of_the_calendar() {
    let leap_day = Schedule::crontab("0 0 29 2 mon", "UTC").unwrap();
    assert_eq!(leap_day.next_after(at("2026-01-01T00:00:00Z")), Some(at("2044-02-29T00:00:00Z")));
    let daily = Schedule::crontab("@daily", "UTC").unwrap();
    assert_eq!(daily.next_after(at("2100-12-31T00:00:00Z")), None);
    assert_eq!(daily.next_after(Timestamp::from_micros(i64::MIN)), Some(at("1970-01-01T00:00:00Z")));
    assert_eq!(daily.next_after(Timestamp::from_micros(i64::MAX)), None);
}

#[test]
fn intervals_count_from_their_start_or_the_epoch() {
    let every = Schedule::every(Duration::from_secs(5)).unwrap();
    assert_eq!(every.next_after(at("2026-01-01T00:00:03.2Z")), Some(at("2026-01-01T00:00:05Z")));
    assert_eq!(every.next_after(at("2026-01-01T00:00:05Z")), Some(at("2026-01-01T00:00:10Z")));
    assert_eq!(every.next_after(at("1969-12-31T23:59:58Z")), Some(at("1970-01-01T00:00:00Z")));
    let start = at("2026-01-01T00:00:03Z");
    let started = Schedule::Interval(Interval::new(Duration::from_secs(5), Some(start)).unwrap());
    assert_eq!(started.next_after(at("2020-01-01T00:00:00Z")), Some(start));
    assert_eq!(started.next_after(start), Some(at("2026-01-01T00:00:08Z")));
    assert_eq!(started.newest_between(start, at("2026-01-02T00:00:00Z")), Some(at("2026-01-01T23:59:58Z")));
    assert_eq!(started.newest_between(start, at("2026-01-01T00:00:07Z")), None);
    assert_eq!(every.next_after(Timestamp::from_micros(i64::MAX)), None);
}

#[test]
fn a_single_instant_has_one_slot() {
    let once = Schedule::at(at("2026-11-23T13:00:00Z"));
    assert_eq!(once.next_after(at("2026-11-23T12:59:59.999999Z")), Some(at("2026-11-23T13:00:00Z")));
    assert_eq!(once.next_after(at("2026-11-23T13:00:00Z")), None);
    assert_eq!(
        once.newest_between(at("2020-01-01T00:00:00Z"), at("2030-01-01T00:00:00Z")),
        once.next_after(at("2020-01-01T00:00:00Z"))
    );
}

#[test]
fn what_is_wrong_is_named_with_what_is_allowed() {
    let crontab = |expression| Schedule::crontab(expression, "UTC").unwrap_err().to_string();
    for (error, parts) in [
        (crontab("61 * * * *"), ["minute `61`", "0 to 59"]),
        (crontab("0 24 * * *"), ["hour `24`", "0 to 23"]),
        (crontab("0 0 0 * *"), ["day of month `0`", "1 to 31"]),
        (crontab("0 0 * 13 *"), ["month `13`", "1 to 12, a name such as `jan`"]),
        (crontab("0 0 * * 8"), ["weekday `8`", "7 for Sunday"]),
        (crontab("0 0 * mon *"), ["month `mon`", "1 to 12"]),
        (crontab("0 0 * * mond"), ["weekday `mond`", "such as `mon`"]),
        (crontab("-5 * * * *"), ["minute `-5`", "0 to 59"]),
        (crontab("+5 * * * *"), ["minute `+5`", "0 to 59"]),
        (crontab("5, * * * *"), ["minute ``", "0 to 59"]),
        (crontab("*/0 * * * *"), ["minute `*/0`", "a step of 1 to 60"]),
        (crontab("*/90 * * * *"), ["minute `*/90`", "a step of 1 to 60"]),
        // Celery refuses it, too.
        (crontab("*/+5 * * * *"), ["minute `*/+5`", "a step of 1 to 60"]),
        (crontab("0-30/+5 * * * *"), ["minute `0-30/+5`", "a step of 1 to 60"]),
        (crontab("5/10 * * * *"), ["minute `5/10`", "such as `5-59/10`"]),
        (crontab("0 0 L * *"), ["day of month `L`", "1 to 31"]),
        (crontab("0 0 * *"), ["crontab `0 0 * *`", "five fields"]),
        (crontab("@reboot"), ["crontab `@reboot`", "@hourly"]),
        (crontab(""), ["crontab ``", "five fields"]),
        (crontab("0 0 30 2 *"), ["crontab `0 0 30 2 *`", "can never fire"]),
        (crontab("0 0 31 4,6,9,11 *"), ["crontab", "can never fire"]),
    ] {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}: expected {parts:?}");
    }
    let zone = |zone| Schedule::crontab("@daily", zone).unwrap_err().to_string();
    for (error, parts) in [
        (zone("Europe/Belin"), ["zone `Europe/Belin`", "did you mean Europe/Berlin?"]),
        (zone("berlin"), ["zone `berlin`", "did you mean Europe/Berlin?"]),
        (zone("America/New York"), ["zone `America/New York`", "did you mean America/New_York?"]),
        (zone("Mars/Olympus"), ["zone `Mars/Olympus`", "such as Europe/Berlin or UTC"]),
        (zone("GMT+5"), ["5 h ahead of UTC, Etc/GMT-5: the sign", "Etc/GMT+5 is the opposite"]),
        (zone("utc-03:00"), ["3 h behind UTC, Etc/GMT+3: the sign", "a region such as Europe/Berlin"]),
        (zone("+2"), ["2 h ahead of UTC, Etc/GMT-2", "IANA"]),
        (zone("GMT+77"), ["zone `GMT+77`", "a region such as Europe/Berlin"]),
        (zone("Etc/Unknown"), ["zone `Etc/Unknown`", "IANA"]),
        (zone(""), ["zone ``", "IANA"]),
    ] {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}: expected {parts:?}");
    }
    for (result, parts) in [
        (Schedule::every(Duration::from_millis(10)), ["every `10ms`", "100ms"]),
        (Schedule::every(Duration::from_micros(100_500)), ["every `100.5ms`", "whole milliseconds"]),
        (Schedule::every(Duration::MAX), ["every", "36600d"]),
        (Schedule::solar(SolarEvent::Sunset, 91.0, 0.0), ["latitude `91`", "-90 to 90"]),
        (Schedule::solar(SolarEvent::Sunset, f64::NAN, 0.0), ["latitude `NaN`", "-90 to 90"]),
        (Schedule::solar(SolarEvent::Sunset, 0.0, -181.0), ["longitude `-181`", "-180 to 180"]),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}: expected {parts:?}");
    }
    assert!("noon".parse::<SolarEvent>().unwrap_err().to_string().contains("solar_noon"));
}

#[test]
fn json_is_kept_and_checked() {
    for json in [
        r#"{"kind":"interval","every":"5s"}"#,
        r#"{"kind":"interval","every":"100ms","start":"2026-01-01T00:00:03Z"}"#,
        r#"{"kind":"crontab","expression":"30 7 * * mon","zone":"Europe/Berlin"}"#,
        r#"{"kind":"solar","event":"dawn_civil","latitude":-37.81753,"longitude":144.96715}"#,
        r#"{"kind":"clocked","at":"2026-11-23T13:00:00Z"}"#,
    ] {
        let schedule: Schedule = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&schedule).unwrap(), json);
        assert_eq!(serde_json::from_str::<Schedule>(json).unwrap(), schedule);
    }
    for (json, part) in [
        (r#"{"kind":"interval","every":"-5s"}"#, "every `-5s`"),
        (r#"{"kind":"interval","every":"10ms"}"#, "every `10ms`"),
        (r#"{"kind":"interval","every":"5s","zone":"UTC"}"#, "zone"),
        (r#"{"kind":"crontab","expression":"61 * * * *"}"#, "minute `61`"),
        (r#"{"kind":"crontab","expression":"@daily","zone":"Nowhere"}"#, "zone `Nowhere`"),
        (r#"{"kind":"solar","event":"sunrise","latitude":91,"longitude":0}"#, "latitude `91`"),
        (r#"{"kind":"clocked","at":"tomorrow"}"#, "at `tomorrow`"),
        (r#"{"kind":"weekly"}"#, "interval"),
    ] {
        let error = serde_json::from_str::<Schedule>(json).unwrap_err().to_string();
        assert!(error.contains(part), "{json}: {error}");
    }
}

#[test]
fn schedules_read_like_a_sentence() {
    let every = |millis| Schedule::every(Duration::from_millis(millis)).unwrap();
    for (schedule, words) in [
        (every(5_000), "every 5 seconds"),
        (every(1_000), "every second"),
        (every(250), "every 250 milliseconds"),
        (every(5_400_000), "every 90 minutes"),
        (every(86_400_000), "every day"),
        (every(90_061_000), "every 1d1h1m1s"),
        (Schedule::crontab("30 7 * * 1", "europe/berlin").unwrap(), "every Monday at 07:30, Europe/Berlin"),
        (
            Schedule::solar(SolarEvent::Sunset, -37.817_53, 144.967_15).unwrap(),
            "at sunset, 37.81753 S 144.96715 E",
        ),
        (Schedule::at(at("2026-11-23T13:00:00Z")), "once, at 2026-11-23T13:00:00Z"),
    ] {
        assert_eq!(schedule.to_string(), words);
    }
}
