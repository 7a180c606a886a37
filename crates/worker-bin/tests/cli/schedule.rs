//! `lovage schedule`, as somebody types it.

use lovage_conformance::documented;
use serde_json::{Value, json};

use crate::support::{Bed, on_each_broker};

const EVERY_HOUR: [&str; 8] =
    ["schedule", "add", "adds", "--task", "movies.tasks.add", "--every", "1h", "16"];

fn entries_are_added_read_changed_and_removed(bed: &Bed) {
    assert_eq!(bed.ok(&["schedule", "list"]), "there are no schedules");
    let added =
        bed.ok(&[&EVERY_HOUR[..], &["16", "-Q", "math", "--priority", "3", "--jitter", "10s"]].concat());
    assert!(added.starts_with("adds is added: every hour; next run 2"), "{added}");

    let list = bed.json(&["schedule", "list"]);
    assert_eq!(list[0]["args"], json!([16, 16]));
    assert_eq!((&list[0]["queue"], &list[0]["priority"]), (&json!("math"), &json!(3)));
    assert_eq!((&list[0]["when"], &list[0]["enabled"]), (&json!("every hour"), &json!(true)));
    assert_eq!(list[0]["source"], Value::Null);
    let table = bed.ok(&["schedule", "list"]);
    assert!(table.contains("every hour") && table.contains("(in "), "{table}");

    assert!(
        bed.fails(1, &[&EVERY_HOUR[..], &["16"]].concat()).contains("there is a schedule `adds` already")
    );
    let changed =
        bed.ok(&["schedule", "edit", "adds", "--crontab", "30 7 * * mon", "--zone", "Europe/Berlin"]);
    assert!(changed.contains("adds is changed: every Monday at 07:30, Europe/Berlin"), "{changed}");
    bed.ok(&[
        "schedule",
        "edit",
        "adds",
        "--zone",
        "America/New_York",
        "--expires",
        "10m",
        "--jitter",
        "none",
    ]);
    let shown = bed.json(&["schedule", "show", "adds"]);
    let crontab = json!({ "kind": "crontab", "expression": "30 7 * * mon", "zone": "America/New_York" });
    assert_eq!(shown["schedule"], crontab);
    assert_eq!((&shown["expires"], &shown["jitter"]), (&json!("10m"), &Value::Null));
    assert_eq!((&shown["queue"], &shown["args"]), (&json!("math"), &json!([16, 16])));
    let shown = bed.ok(&["schedule", "show", "adds"]);
    assert!(shown.contains("every Monday at 07:30, America/New_York") && shown.contains(" -0"), "{shown}");

    assert_eq!(bed.ok(&["schedule", "disable", "adds"]), "adds is disabled");
    assert_eq!(bed.json(&["schedule", "list", "--enabled"]), json!([]));
    assert_eq!(bed.json(&["schedule", "list", "ad", "--disabled"])[0]["next_run_at"], Value::Null);
    assert!(bed.ok(&["schedule", "enable", "adds"]).contains("next run"));
    assert!(bed.fails(1, &["schedule", "reset", "adds"]).contains("no source declares it"));
    assert_eq!(bed.ok(&["schedule", "delete", "adds"]), "adds is deleted");
    for args in
        [&["schedule", "show", "adds"][..], &["schedule", "enable", "adds"], &["schedule", "run", "adds"]]
    {
        assert!(bed.fails(1, args).contains("there is no schedule `adds`"));
    }
}

fn an_edit_from_what_is_no_longer_there_is_a_conflict(bed: &Bed) {
    bed.ok(&[&EVERY_HOUR[..], &["16"]].concat());
    let seen = bed.json(&["schedule", "show", "adds"])["revision"].to_string();
    bed.ok(&["schedule", "edit", "adds", "--every", "2h"]);
    let refused = bed.fails(1, &["schedule", "edit", "adds", "--every", "3h", "--revision", &seen]);
    assert!(
        refused.contains("somebody else changed `adds` meanwhile") && refused.contains("schedule show adds"),
        "{refused}"
    );
    assert_eq!(bed.json(&["schedule", "show", "adds"])["when"], "every 2 hours");
    let nothing = bed.fails(2, &["schedule", "edit", "adds", "--every", "2h"]);
    assert!(nothing.contains("nothing is to be changed"), "{nothing}");
}

/// Disabled entries run by hand too, and the history tells.
fn an_entry_is_run_by_hand(bed: &Bed) {
    bed.ok(&[&EVERY_HOUR[..], &["16", "--disabled"]].concat());
    let id = bed.ok(&["schedule", "run", "adds"]);
    assert_eq!(bed.run(&["worker", "--burst"]).code, 0);
    assert_eq!(bed.ok(&["result", &id]), "32");
    let shown = bed.json(&["schedule", "show", "adds"]);
    assert_eq!(
        (&shown["history"][0]["outcome"], &shown["history"][0]["task_id"]),
        (&json!("manual"), &json!(id))
    );
    // How its newest tasks ended.
    let outcome = json!([{ "task_id": id, "state": "SUCCESS" }]);
    assert_eq!(shown["last_outcomes"], outcome);
    assert_eq!(bed.json(&["schedule", "list"])[0]["last_outcomes"], outcome);
    assert!(bed.ok(&["schedule", "list"]).contains("SUCCESS"));
    let audit = bed.json(&["schedule", "audit", "adds", "--from", "1h"]);
    let manual = audit["slots"].as_array().unwrap().iter().find(|slot| slot["outcome"] == "manual").unwrap();
    assert_eq!(manual["task_state"], "SUCCESS");
    let outcomes: Vec<&Value> =
        audit["slots"].as_array().unwrap().iter().map(|slot| &slot["outcome"]).collect();
    assert!(outcomes.contains(&&json!("manual")), "{audit}");

    // One at a time, where it says so.
    bed.ok(&["schedule", "edit", "adds", "--overlap", "skip"]);
    let waits = bed.ok(&["schedule", "run", "adds"]);
    let refused = bed.fails(1, &["schedule", "run", "adds"]);
    assert!(refused.contains("not to overlap") && refused.contains(&waits), "{refused}");
}

fn arguments_are_checked_against_what_live_workers_registered(bed: &Bed) {
    let add = |task: &str, args: &[&str]| {
        let name = format!("{task}-{}", args.join("-").replace('"', ""));
        bed.run(&[&["schedule", "add", &name, "--task", task, "--every", "1h"], args].concat())
    };
    let unchecked = add("movies.tasks.add", &["1", "two"]);
    assert_eq!(unchecked.code, 0, "{}", unchecked.stderr);
    assert!(
        unchecked
            .stderr
            .contains("warning: no live worker knows the task `movies.tasks.add`: no worker is alive")
    );

    let worker = bed.worker(&[]);
    bed.until(&["inspect", "registered"], |tasks| tasks != &json!([]));
    for (args, part) in [
        (&["1", "two"][..], "`y` is not a valid i64"),
        (&["1"], "`y` is missing"),
        (&["1", "2", "3"], "too many arguments"),
        (&["--kwargs", r#"{"x":1,"z":2}"#], "there is no argument `z`"),
    ] {
        let refused = add("movies.tasks.add", args);
        let text = &refused.stderr;
        assert!(
            refused.code == 2 && text.contains(part) && text.contains("(x: i64, y: i64) -> i64"),
            "{text}"
        );
    }
    let fits = add("movies.tasks.add", &["1", "2"]);
    assert_eq!((fits.code, fits.stderr.as_str()), (0, ""));
    let unknown = add("movies.tasks.ad", &["1", "2"]);
    assert_eq!(unknown.code, 0);
    assert!(unknown.stderr.contains("did you mean `movies.tasks.add`?"), "{}", unknown.stderr);
    let unserved = add("movies.tasks.add", &["1", "3", "-Q", "nowhere"]);
    assert!(unserved.stderr.contains("no live worker serves the queue `nowhere`"), "{}", unserved.stderr);
    drop(worker);
}

on_each_broker!(
    entries_are_added_read_changed_and_removed,
    an_edit_from_what_is_no_longer_there_is_a_conflict,
    an_entry_is_run_by_hand,
    arguments_are_checked_against_what_live_workers_registered,
);

#[test]
fn a_bad_entry_is_refused_with_its_field_and_what_is_allowed() {
    let bed = Bed::new();
    for (args, parts) in [
        (
            &["--crontab", "0 3 * * *", "--zone", "Europe/Belin"][..],
            &[
                "zone `Europe/Belin` is not valid: expected a name of the IANA time zone database, such as Europe/Berlin or UTC; did you mean Europe/Berlin?",
            ][..],
        ),
        (&["--crontab", "61 * * * *"], &["minute `61` is not valid: expected …", "0 to 59"]),
        (
            &["--crontab", "0 0 30 2 *"],
            &[
                "crontab `0 0 30 2 *` is not valid: expected a day that some month has, such as 28 for February: this one can never fire",
            ],
        ),
        (&["--crontab", "0 0 * *"], &["crontab `0 0 * *`", "five"]),
        (
            &["--every", "1h", "--args", "[16, 16"],
            &["args `[16, 16` is not valid: expected a JSON list, such as [16, 16]"],
        ),
        (&["--every", "1h", "--kwargs", "[1]"], &["kwargs `[1]`", "a JSON object, such as"]),
        (
            &["--every", "1h", "--start", "2027-01-01T00:00:00Z", "--end", "2026-01-01T00:00:00Z"],
            &[
                "end_time `2026-01-01T00:00:00Z` is not valid: expected no earlier than start_time, 2027-01-01T00:00:00Z",
            ],
        ),
        (&["--every", "-5s"], &["every `-5s`", "100ms to 36600d"]),
        (
            &["--every", "10ms"],
            &[
                "every `10ms` is not valid: expected 100ms to 36600d, in whole milliseconds, such as 5s or 1h30m",
            ],
        ),
        (
            &["--solar", "sunset,91,13.4"],
            &["latitude `91` is not valid: expected -90 to 90 degrees, north is positive"],
        ),
        (&["--solar", "sunset,52.5,200"], &["longitude `200`", "-180 to 180 degrees"]),
        (&["--solar", "teatime,52.5,13.4"], &["event `teatime`", "sunset"]),
        (&["--solar", "sunset,52.5"], &["solar `sunset,52.5`", "EVENT,LATITUDE,LONGITUDE"]),
        (&["--at", "tomorrow"], &["at `tomorrow`", "RFC 3339"]),
        (&["--every", "1h", "--priority", "11"], &["priority `11`", "0 to 9"]),
        (&["--every", "1h", "--misfire", "all(0)"], &["misfire `all(0)`", "N from 1 to 10000"]),
        (&["--every", "1h", "--overlap", "maybe"], &["overlap `maybe`", "allow or skip"]),
        (&["--every", "1h", "--jitter", "2d"], &["jitter `", "0s to 1d"]),
        (&["--every", "1h", "--expires", "soon"], &["expires `soon`", "a duration such as 10m"]),
        (
            &["--every", "1h", "--expires", "2020-01-01T00:00:00Z"],
            &["expires `2020-01-01T00:00:00Z`", "end_time"],
        ),
        (&["--every", "1h", "-Q", "a b"], &["queue `a b`", "letters, digits"]),
        (&["--every", "1h", "--header", "colour"], &["header `colour`", "NAME=VALUE"]),
        (&["--every", "1h", "--task", "two words"], &["task `two words`", "without white space"]),
        (&[], &["a schedule needs a time", "--every, --crontab, --solar and --at"]),
    ] {
        let all = [&["schedule", "add", "bad", "--task", "t"], args].concat();
        let all: Vec<&str> =
            if args.contains(&"--task") { [&["schedule", "add", "bad"], args].concat() } else { all };
        let error = bed.fails(2, &all);
        for part in parts {
            if part.contains(" is not valid: expected ") {
                let found = error.lines().next().unwrap().strip_prefix("error: ").unwrap();
                documented(&format!("the schedule `…`: {part}"), found);
            } else {
                assert!(error.contains(part), "{args:?}: {error}");
            }
        }
    }
    assert!(bed.fails(2, &["schedule", "add", "bad", "--every", "1h"]).contains("--task"));
    assert_eq!(bed.json(&["schedule", "list"]), json!([]));
}

#[test]
fn preview_marks_what_summer_time_does() {
    let bed = Bed::new();
    let add = |name: &str, crontab: &str| {
        bed.ok(&["schedule", "add", name, "--task", "t", "--crontab", crontab, "--zone", "Europe/Berlin"]);
    };
    add("fixed", "30 2 * * *");
    let preview =
        bed.json(&["schedule", "preview", "fixed", "--from", "2026-03-27T12:00:00Z", "--count", "3"]);
    let slots = preview["slots"].as_array().unwrap();
    let local: Vec<&Value> = slots.iter().map(|slot| &slot["local"]).collect();
    assert_eq!(
        local,
        ["2026-03-28 02:30:00 +01:00", "2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"]
    );
    assert_eq!(slots[1]["clock_turned_seconds"], 3_600);
    let table = bed.ok(&["schedule", "preview", "fixed", "--from", "2026-03-27T12:00:00Z"]);
    assert_eq!(table.lines().count(), 23, "{table}");
    assert!(table.starts_with("every day at 02:30, Europe/Berlin"), "{table}");
    assert!(
        table.contains("the clocks were turned forward by 1h; 02:30 does not exist on 2026-03-29"),
        "{table}"
    );
    add("open", "*/20 * * * *");
    let table = bed.ok(&["schedule", "preview", "open", "--from", "2026-10-24T23:50:00Z"]);
    assert!(table.contains("turned back by 1h"), "{table}");
}

#[test]
fn audit_says_which_slots_fired() {
    let bed = Bed::new();
    bed.ok(&["schedule", "add", "often", "--task", "movies.tasks.add", "--every", "1s", "1", "2"]);
    let mut worker = bed.worker(&["-B"]);
    worker.wait_for("succeeded in");
    let audit = bed.until(&["schedule", "audit", "often", "--from", "1m", "--to", "0s"], |audit| {
        audit["slots"].as_array().unwrap().iter().any(|slot| slot["outcome"] == "fired")
    });
    assert_eq!(audit["slots"][0]["outcome"], "untold");
    let table = bed.ok(&["schedule", "audit", "often", "--from", "1m"]);
    assert!(table.contains("fired") && table.contains("before the entry was made"), "{table}");
    let refused = bed.fails(2, &["schedule", "audit", "often", "--from", "yesterday"]);
    assert!(refused.contains("--from is `yesterday`") && refused.contains("2h"), "{refused}");
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
}

#[test]
fn a_bad_row_written_by_hand_disables_itself_and_stops_no_other() {
    let bed = Bed::new();
    bed.ok(&["schedule", "add", "good", "--task", "movies.tasks.add", "--every", "1s", "1", "2"]);
    for row in [
        r#"INSERT INTO lovage_schedule (name, task, schedule) VALUES ('minute', 't', '{"kind":"crontab","expression":"61 * * * *"}')"#,
        r#"INSERT INTO lovage_schedule (name, task, schedule) VALUES ('json', 't', 'every day')"#,
        r#"INSERT INTO lovage_schedule (name, task, schedule, args) VALUES ('args', 't', '{"kind":"interval","every":"1s"}', '[1')"#,
        r#"INSERT INTO lovage_schedule (name, task, args, schedule) VALUES ('by hand', 'multiply_two_numbers', '[3, 4]', '{"kind":"interval","every":"1s"}')"#,
    ] {
        bed.sql(row);
    }
    let mut worker = bed.worker(&["-B"]);
    worker.wait_for(": 3");
    worker.wait_for(": 12");
    for (name, part) in [("minute", "minute `61`"), ("json", "schedule `every day`"), ("args", "args `[1`")] {
        let bad = bed.until(&["schedule", "show", name], |bad| bad["enabled"] == false);
        assert!(bad["error"].as_str().unwrap().contains(part), "{bad}");
        let refused = bed.fails(1, &["schedule", "enable", name]);
        assert!(refused.contains(part), "{refused}");
    }
    let list = bed.ok(&["schedule", "list"]);
    assert!(list.contains("cannot be read: minute `61`"), "{list}");
    // An edit repairs it.
    bed.ok(&["schedule", "edit", "minute", "--task", "multiply_two_numbers", "--every", "1s", "5", "5"]);
    worker.wait_for(": 25");
    drop(worker);
}

#[test]
fn migrate_and_report_know_the_schedule() {
    let bed = Bed::new();
    assert!(bed.ok(&["migrate"]).contains("schedules sqlite://lovage.db: applied migration 1 (schedules)"));
    assert!(bed.ok(&["migrate", "--check"]).contains("schedules sqlite://lovage.db: is up to date"));
    bed.ok(&[&EVERY_HOUR[..], &["16"]].concat());
    assert!(bed.ok(&["report"]).contains("the schedule answers: 1 entries"));
    let refused = bed.fails(2, &["schedule", "list", "--schedules", "redis://127.0.0.1:1"]);
    assert!(refused.contains("setting `schedules_url` from the flag --schedules"), "{refused}");
    assert!(refused.contains("no database that a schedule can be in"), "{refused}");
}

/// The stock program does not have the task; the worker that does says where it goes.
#[test]
fn foreign_task_goes_to_the_queue_that_its_worker_registered() {
    let bed = Bed::new();
    let _worker = crate::support::Running::of(bed.own(&["worker", "-Q", "media"]));
    bed.until(&["inspect", "registered"], |tasks| tasks != &json!([]));
    bed.ok(&["schedule", "add", "resizes", "--task", "own.resize", "--every", "1h"]);
    assert_eq!(bed.json(&["schedule", "show", "resizes"])["queue"], json!("media"));
    bed.ok(&["schedule", "add", "elsewhere", "--task", "own.resize", "--every", "1h", "-Q", "slow"]);
    assert_eq!(bed.json(&["schedule", "show", "elsewhere"])["queue"], json!("slow"));
    assert_eq!(bed.json(&["call", "own.resize"])["queue"], json!("media"));
}
