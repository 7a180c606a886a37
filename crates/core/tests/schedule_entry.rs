//! Entries: how they are read, what is refused, and which slots they have.
#![cfg(feature = "schedule")]

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::schedule::{Entry, Misfire, Overlap};
use lovage_core::{Expires, Payload, Priority, QueueName, Timestamp};
use serde_json::{Value, json};

fn document() -> Value {
    json!({"name": "nightly", "task": "clean_up", "schedule": {"kind": "interval", "every": "10s"}})
}

fn entry_with(field: &str, value: Value) -> Result<Entry, String> {
    let mut document = document();
    document[field] = value;
    serde_json::from_value(document).map_err(|error| error.to_string())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

#[test]
fn what_is_left_out_has_its_default() {
    let entry: Entry = serde_json::from_value(document()).unwrap();
    assert_eq!((entry.args.as_str(), entry.kwargs.as_str()), ("[]", "{}"));
    assert_eq!((entry.queue, entry.priority), (QueueName::default(), Priority::LOWEST));
    assert_eq!((entry.misfire, entry.overlap, entry.jitter), (Misfire::Once, Overlap::Allow, Duration::ZERO));
    assert!(entry.enabled && !entry.one_off);
}

#[test]
fn an_entry_survives_json() {
    let mut entry: Entry = serde_json::from_value(document()).unwrap();
    entry.kwargs = r#"{"x": 12345678901234567890123, "nul": "\u0000"}"#.to_owned();
    entry.headers = BTreeMap::from([("a".to_owned(), "b\"\u{1F33F}".to_owned())]);
    entry.priority = Priority::HIGHEST;
    entry.start_time = Some(Timestamp::from_micros(1_763_900_000_123_456));
    entry.end_time = Some(at(1_863_900_000));
    entry.misfire = Misfire::All(600);
    entry.overlap = Overlap::Skip;
    entry.jitter = Duration::from_millis(1_500);
    entry.description = "two\nlines".to_owned();
    for expires in [Expires::After(Duration::from_secs(90)), Expires::At(at(1_800_000_000))] {
        entry.expires = Some(expires);
        entry.one_off = matches!(expires, Expires::At(_));
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(value["kwargs"].is_object(), "{text}");
    }
}

#[test]
fn what_is_wrong_is_told_by_field_with_what_is_allowed() {
    let crontab = |expression: &str| json!({"kind": "crontab", "expression": expression});
    for (field, value, says) in [
        ("name", json!(""), ["name ``", "1 to 200 bytes"]),
        ("task", json!("two words"), ["task `two words`", "without white space"]),
        ("args", json!({"x": 1}), ["args `", "a JSON list"]),
        ("kwargs", json!([1]), ["kwargs `", "a JSON object"]),
        ("queue", json!("a b"), ["queue `a b`", "letters"]),
        ("priority", json!(10), ["priority `10`", "0 to 9"]),
        ("priority", json!(-1), ["priority `-1`", "0 to 9"]),
        ("headers", json!({"a": 1}), ["headers `", "object of texts"]),
        ("expires", json!("soon"), ["expires `soon`", "10m"]),
        ("expires", json!("0s"), ["expires `0ns`", "1ms to"]),
        ("start_time", json!("tomorrow"), ["start_time `tomorrow`", "RFC 3339"]),
        ("end_time", json!("1969-12-31T23:59:59Z"), ["end_time `1969", "1970 to 9999"]),
        ("misfire", json!("all(0)"), ["misfire `all(0)`", "1 to 10000"]),
        ("misfire", json!("some"), ["misfire `some`", "skip, once or all(N)"]),
        ("overlap", json!("maybe"), ["overlap `maybe`", "allow or skip"]),
        ("jitter", json!("2d"), ["jitter `", "0s to 1d"]),
        ("description", json!("a\u{0}b"), ["description `", "without control characters"]),
        ("schedule", json!({"kind": "interval", "every": "10ms"}), ["every `10ms`", "100ms to"]),
        ("schedule", json!({"kind": "interval", "every": "-5s"}), ["every `-5s`", "100ms to"]),
        ("schedule", json!({"kind": "interval"}), ["schedule `", "missing field `every`"]),
        ("schedule", json!({"kind": "moon"}), ["schedule `", "interval, crontab, solar or clocked"]),
        ("schedule", crontab("61 * * * *"), ["minute `61`", "0 to 59"]),
        ("schedule", crontab("0 0 30 2 *"), ["crontab `0 0 30 2 *`", "can never fire"]),
        (
            "schedule",
            json!({"kind": "crontab", "expression": "0 0 * * *", "zone": "Mars/Base"}),
            ["zone `Mars/Base`", "expected"],
        ),
        (
            "schedule",
            json!({"kind": "solar", "event": "sunset", "latitude": 91, "longitude": 0}),
            ["latitude `91`", "-90 to 90"],
        ),
        ("arguments", json!([1]), ["unknown field `arguments`", "`args`"]),
    ] {
        let error = entry_with(field, value.clone()).unwrap_err();
        assert!(says.iter().all(|part| error.contains(part)), "{field} {value}: {error}");
    }
}

#[test]
fn arguments_are_given_by_position_or_by_name() {
    let mut entry: Entry = serde_json::from_value(document()).unwrap();
    assert_eq!(entry.payload(), Payload::empty());
    entry.args = "[1]".to_owned();
    assert_eq!(entry.payload(), Payload::Json("[1]".to_owned()));
    entry.kwargs = r#"{"y":2}"#.to_owned();
    assert!(entry.check().unwrap_err().to_string().contains("by position, or all by name"));
    entry.args = "[ ]".to_owned();
    assert_eq!(entry.check(), Ok(()));
    assert_eq!(entry.payload(), Payload::Json(r#"{"y":2}"#.to_owned()));
}

#[test]
fn an_end_before_the_start_or_before_the_first_slot_is_refused() {
    let mut entry: Entry = serde_json::from_value(document()).unwrap();
    (entry.start_time, entry.end_time) = (Some(at(100)), Some(at(99)));
    assert_eq!(entry.check().unwrap_err().field, "end_time");
    (entry.start_time, entry.end_time) = (Some(at(100)), Some(at(100)));
    assert_eq!(entry.check(), Ok(()));
    entry.schedule = serde_json::from_value(json!({"kind": "crontab", "expression": "0 0 * * *"})).unwrap();
    assert!(entry.check().unwrap_err().to_string().contains("has no slot"));
}

/// An instant would end the tasks of all later slots.
#[test]
fn repeating_entry_does_not_expire_at_an_instant() {
    let at_noon = json!("2030-01-01T12:00:00Z");
    let error = entry_with("expires", at_noon.clone()).unwrap_err();
    assert!(error.contains("expires `2030-01-01T12:00:00Z`") && error.contains("end_time"), "{error}");
    let mut once = document();
    (once["expires"], once["one_off"]) = (at_noon.clone(), json!(true));
    serde_json::from_value::<Entry>(once).unwrap();
    for (at, is_valid) in [("2030-01-01T11:59:59Z", true), ("2030-01-01T12:00:00Z", false)] {
        let mut clocked = document();
        (clocked["expires"], clocked["schedule"]) = (at_noon.clone(), json!({"kind": "clocked", "at": at}));
        assert_eq!(serde_json::from_value::<Entry>(clocked).is_ok(), is_valid, "{at}");
    }
}

#[test]
fn entry_that_can_never_run_says_why() {
    let entry: Entry = serde_json::from_value(document()).unwrap();
    assert_eq!(entry.check_runs(at(100)), Ok(()));
    let over = Entry { end_time: Some(at(99)), ..entry.clone() };
    assert_eq!(over.check_runs(at(100)).unwrap_err().field, "end_time");
    assert_eq!(Entry { enabled: false, ..over.clone() }.check_runs(at(100)), Ok(()));
    let expired = Entry { one_off: true, expires: Some(Expires::At(at(110))), ..entry.clone() };
    assert_eq!(expired.check_runs(at(100)).unwrap_err().field, "expires");
    assert_eq!(expired.check_runs(at(99)), Ok(()));
    let schedule = lovage_core::schedule::Schedule::at(at(100));
    assert_eq!(Entry { schedule, ..entry }.check_runs(at(100)).unwrap_err().field, "schedule");
}

#[test]
fn last_slots_are_the_newest_of_two_years() {
    let mut entry: Entry = serde_json::from_value(document()).unwrap();
    assert_eq!(entry.last_slots(at(1_005), 3), [at(980), at(990), at(1_000)]);
    entry.start_time = Some(at(990));
    assert_eq!(entry.last_slots(at(1_005), 3), [at(990), at(1_000)]);
    assert_eq!(entry.last_slots(at(900), 3), []);
}

#[test]
fn slots_lie_between_start_and_end() {
    let mut entry: Entry = serde_json::from_value(document()).unwrap();
    (entry.start_time, entry.end_time) = (Some(at(103)), Some(at(133)));
    let slots: Vec<Timestamp> = entry.slots_between(at(0), at(1_000)).collect();
    assert_eq!(slots, [at(103), at(113), at(123), at(133)]);
    assert_eq!(entry.next_slot(at(0)), Some(at(103)));
    assert_eq!(entry.next_slot(at(133)), None);
    assert_eq!(entry.newest_between(at(0), at(130)), Some(at(123)));
    assert_eq!(entry.newest_between(at(133), at(1_000)), None);
}

/// Beats of two releases must agree on it.
#[test]
fn jitter_follows_from_name_and_slot() {
    let mut entry: Entry = serde_json::from_value(document()).unwrap();
    assert_eq!(entry.fires_at(at(10)), at(10));
    entry.jitter = Duration::from_secs(10);
    let delays: Vec<u128> =
        (1..=5).map(|n| entry.fires_at(at(n * 10)).since(at(n * 10)).as_millis()).collect();
    assert!(delays.iter().all(|delay| *delay <= 10_000));
    assert_eq!(delays, [2_105, 8_555, 5_895, 1_792, 5_371]);
}
