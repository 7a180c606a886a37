//! Beats: what they fire, and what becomes of what programs declare.

use std::process::Command;

use lovage_conformance::documented;
use lovage_redis::testing::RedisServer;
use lovage_sql::postgres::testing;
use serde_json::json;

use crate::own;
use crate::support::{Bed, Running, on_each_broker};

fn dev_fires_the_tutorials_entries(bed: &Bed) {
    let mut dev = bed.start(&["dev"]);
    dev.wait_for("new: multiply-task-crontab, multiply-every-5-seconds, add-every-30-seconds");
    dev.wait_for(" ready");
    dev.wait_for("task multiply_two_numbers[");
    dev.wait_for(": 256");
    let list = bed.json(&["schedule", "list"]);
    let when: Vec<(&str, &str)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap(), entry["when"].as_str().unwrap()))
        .collect();
    assert_eq!(
        when,
        [
            ("add-every-30-seconds", "every 30 seconds"),
            ("multiply-every-5-seconds", "every 5 seconds"),
            ("multiply-task-crontab", "every Monday at 07:30, UTC"),
        ]
    );
    assert_eq!(list[1]["source"], "code:lovage");
    let ran = bed.until(&["schedule", "show", "multiply-every-5-seconds"], |entry| {
        entry["total_run_count"] != json!(0)
    });
    assert_eq!(bed.ok(&["result", ran["last_task_id"].as_str().unwrap(), "--wait"]), "256");
    dev.signal("INT");
    assert_eq!(dev.exit_code(), 0);
    // Only `dev` has them.
    let (_, said) = beat(bed);
    assert!(said.contains("no longer declared, and disabled: add-every-30-seconds"), "{said}");
}

fn a_beat_fires_for_workers_elsewhere(bed: &Bed) {
    let mut worker = bed.worker(&[]);
    let mut beat = bed.start(&["beat"]);
    beat.wait_for("beat ready");
    // Seen at once, though it was made after the start.
    bed.ok(&["schedule", "add", "often", "--task", "movies.tasks.add", "--every", "500ms", "7", "8"]);
    worker.wait_for(": 15");
    bed.ok(&["schedule", "edit", "often", "--", "20", "22"]);
    worker.wait_for(": 42");
    for running in [beat, worker] {
        running.signal("TERM");
        assert_eq!(running.exit_code(), 0);
    }
}

fn an_edit_survives_the_code_that_declares_it_until_it_is_reset(bed: &Bed) {
    let greet = |bed: &Bed| bed.json(&["schedule", "show", "greet"]);
    let said = own_beat(bed, Some("1h"));
    assert!(said.contains("schedules of code:own: new: greet"), "{said}");
    let first = greet(bed);
    assert_eq!((&first["when"], &first["source"]), (&json!("every hour"), &json!("code:own")));
    assert_eq!((&first["args"], &first["queue"]), (&json!(["Ada"]), &json!("doors")));
    assert_eq!((&first["expires"], &first["priority"]), (&json!("10m"), &json!(4)));

    // Code owns what it states until somebody edits it.
    let said = own_beat(bed, Some("90m"));
    assert!(said.contains("changed: greet"), "{said}");
    assert_eq!(greet(bed)["when"], "every 90 minutes");
    bed.ok(&["schedule", "edit", "greet", "--every", "2h"]);
    let said = own_beat(bed, Some("3h"));
    assert!(said.contains("left alone, because somebody edited them") && said.contains(": greet"), "{said}");
    let edited = greet(bed);
    assert_eq!((&edited["when"], &edited["edited"]), (&json!("every 2 hours"), &json!(true)));
    assert!(bed.ok(&["schedule", "list"]).contains("edited, code:own leaves it alone"));

    let reset = bed.ok(&["schedule", "reset", "greet"]);
    assert!(reset.contains("greet is again as code:own declares it: every 3 hours"), "{reset}");
    assert!(!own_beat(bed, Some("3h")).contains("greet"));

    let said = own_beat(bed, None);
    assert!(said.contains("no longer declared, and disabled: greet"), "{said}");
    let gone = greet(bed);
    assert_eq!((&gone["enabled"], &gone["gone"]), (&json!(false), &json!(true)));
    assert_eq!(gone["disabled_by"], "gone");
    assert!(bed.ok(&["schedule", "list"]).contains("disabled: code:own no longer declares it"));
    own_beat(bed, Some("3h"));
    assert_eq!(greet(bed)["enabled"], true);
    let deleted = bed.run(&["schedule", "delete", "greet"]);
    assert!(deleted.stderr.contains("it comes back with the next beat"), "{}", deleted.stderr);
}

on_each_broker!(
    dev_fires_the_tutorials_entries,
    a_beat_fires_for_workers_elsewhere,
    an_edit_survives_the_code_that_declares_it_until_it_is_reset,
    a_beat_is_seen_and_told_to_stop,
    what_the_file_declares_is_compared_with_what_live_workers_take,
);

#[test]
fn the_file_declares_entries_too() {
    let bed = Bed::new();
    let write = |text: &str| std::fs::write(bed.path().join("lovage.toml"), text).unwrap();
    write(
        r#"
routes = { "movies.*" = "films" }

[schedules.nightly]
task = "movies.tasks.add"
args = [16, 16]
schedule = { kind = "crontab", expression = "0 3 * * *", zone = "Europe/Berlin" }
start_time = 2026-01-01T00:00:00Z
misfire = "skip"

[schedules."at sunset"]
task = "multiply_two_numbers"
kwargs = { x = 3, y = 4 }
queue = "sun"
schedule = { kind = "solar", event = "sunset", latitude = 52.5, longitude = 13.4 }
"#,
    );
    let (code, said) = beat(&bed);
    assert!(code == 0 && said.contains("schedules of lovage.toml: new: at sunset, nightly"), "{said}");
    let list = bed.json(&["schedule", "list"]);
    assert_eq!((&list[0]["queue"], &list[1]["queue"]), (&json!("sun"), &json!("films")));
    assert_eq!((&list[1]["misfire"], &list[1]["source"]), (&json!("skip"), &json!("lovage.toml")));
    assert_eq!(list[1]["start_time"], "2026-01-01T00:00:00Z");

    write("[schedules.nightly]\ntask = 't'\nschedule = { kind = 'interval', every = '10ms' }\n");
    let error = bed.fails(2, &["beat"]);
    assert!(error.contains("the schedule `nightly` from lovage.toml line 1: every `10ms`"), "{error}");
    write("schedules = 'sqlite://s.db'\n");
    let error = bed.fails(2, &["beat"]);
    assert!(error.contains("[schedules.nightly]") && error.contains("`schedules_url`"), "{error}");
    write("schedules_url = 'sqlite://s.db'\n");
    assert!(beat(&bed).0 == 0 && bed.path().join("s.db").exists());

    // No file declares nothing, an empty one that there is none.
    std::fs::remove_file(bed.path().join("lovage.toml")).unwrap();
    assert!(!beat(&bed).1.contains("no longer declared"));
    write("");
    assert!(beat(&bed).1.contains("no longer declared, and disabled: at sunset, nightly"));
}

#[test]
fn a_bad_entry_of_the_file_is_refused_with_its_field_and_what_is_allowed() {
    let bed = Bed::new();
    for (entry, reason) in [
        (
            "schedule = { kind = 'crontab', expression = '0 3 * * *', zone = 'Europe/Belin' }",
            "zone `Europe/Belin` is not valid: expected a name of the IANA time zone database",
        ),
        ("schedule = { kind = 'crontab', expression = '61 * * * *' }", "minute `61` is not valid: expected"),
        (
            "schedule = { kind = 'crontab', expression = '0 0 30 2 *' }",
            "crontab `0 0 30 2 *` is not valid: expected",
        ),
        (
            "schedule = { kind = 'interval', every = '-5s' }",
            "every `-5s` is not valid: expected 100ms to 36600d",
        ),
        (
            "schedule = { kind = 'interval', every = '10ms' }",
            "every `10ms` is not valid: expected 100ms to 36600d",
        ),
        (
            "schedule = { kind = 'solar', event = 'sunset', latitude = 91, longitude = 0 }",
            "latitude `91` is not valid: expected -90 to 90 degrees",
        ),
        (
            "schedule = { kind = 'interval', every = '1h' }\nargs = 16",
            "args `16` is not valid: expected a JSON list",
        ),
        (
            "schedule = { kind = 'interval', every = '1h' }\nstart_time = 2027-01-01T00:00:00Z\nend_time = 2026-01-01T00:00:00Z",
            "end_time `2026-01-01T00:00:00Z` is not valid: expected no earlier than start_time",
        ),
    ] {
        let text = format!("[schedules.nightly]\ntask = 't'\n{entry}\n");
        std::fs::write(bed.path().join("lovage.toml"), text).unwrap();
        let error = bed.fails(2, &["beat"]);
        let expected = format!("the schedule `nightly` from lovage.toml line 1: {reason}");
        assert!(error.contains(&expected), "{error}");
    }
}

/// The workers may be of another release than the file, so it is said and not refused.
fn what_the_file_declares_is_compared_with_what_live_workers_take(bed: &Bed) {
    let entry = |name: &str, task: &str, args: &str| {
        format!(
            "[schedules.{name}]\ntask = '{task}'\nargs = {args}\nschedule = {{ kind = 'interval', every = '1h' }}\n"
        )
    };
    let text = [
        entry("fits", "movies.tasks.add", "[1, 2]"),
        entry("wrong", "movies.tasks.add", "[1, 'two']"),
        entry("foreign", "movies.tasks.ad", "[1, 2]"),
    ];
    // Nobody is there to compare with.
    std::fs::write(bed.path().join("lovage.toml"), &text[0]).unwrap();
    assert!(!beat(bed).1.contains("the schedule `"));
    let worker = bed.worker(&[]);
    bed.until(&["inspect", "registered"], |tasks| tasks != &json!([]));
    std::fs::write(bed.path().join("lovage.toml"), text.concat()).unwrap();
    let (code, said) = beat(bed);
    assert_eq!(code, 0, "{said}");
    for part in [
        r#"WARN schedules of lovage.toml: the schedule `wrong`: args `[1,"two"]` is not valid: expected what movies.tasks.add takes, (x: i64, y: i64) -> i64: `y` is not a valid i64"#,
        "the schedule `foreign`: no live worker knows the task `movies.tasks.ad`: did you mean `movies.tasks.add`?",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("the schedule `fits`"), "{said}");
    // Once, not with every start.
    assert!(!beat(bed).1.contains("the schedule `"));
    drop(worker);
}

#[test]
fn what_is_wrong_in_code_is_told_by_every_command() {
    let bed = Bed::new();
    let output = with_every(&bed, &["status"], "10ms").output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("the schedule `greet` of this program: every `10ms`"), "{error}");
}

#[test]
fn with_redis_the_schedule_is_in_a_file_and_the_log_says_so() {
    crate::support::on_redis(|bed| {
        let (code, said) = beat(bed);
        assert_eq!(code, 0);
        assert!(said.contains("the schedule is in a file of this beat, sqlite://lovage.db"), "{said}");
        assert!(said.contains("LOVAGE_SCHEDULES_URL"), "{said}");
    });
}

#[test]
fn a_second_beat_with_another_local_file_refuses_to_start() {
    let redis = RedisServer::start_own(&[]).unwrap();
    let bed = || Bed::new().with("LOVAGE_BROKER_URL", redis.url());
    let (one, two) = (bed(), bed());
    let mut first = one.start(&["beat"]);
    first.wait_for("beat ready");
    for args in [&["beat"][..], &["worker", "-B"], &["dev"]] {
        let error = two.fails(1, args);
        let error = error.lines().find(|line| line.starts_with("error: ")).unwrap();
        documented(
            "another beat, … (process …), keeps the schedule of this broker in …, and this one would in …: neither would see what is changed in the other's",
            error.strip_prefix("error: ").unwrap(),
        );
        assert!(error.contains(one.path().to_str().unwrap()) && error.contains(two.path().to_str().unwrap()));
    }
    assert!(two.fails(1, &["beat"]).contains("LOVAGE_SCHEDULES_URL"));
    // One PostgreSQL is no help while the first one has its file.
    let postgres = testing::fresh_url().unwrap();
    two.ok(&["migrate", "--schedules", &postgres]);
    assert!(two.fails(1, &["beat", "--schedules", &postgres]).contains("another beat"));
    // In the same place there may be any number.
    assert_eq!(beat(&one).0, 0);

    first.signal("TERM");
    assert_eq!(first.exit_code(), 0);
    assert_eq!(beat(&two).0, 0);
}

#[test]
fn beat_on_a_copy_of_a_store_refuses_to_start() {
    let redis = RedisServer::start_own(&[]).unwrap();
    let bed = || Bed::new().with("LOVAGE_BROKER_URL", redis.url());
    let (one, two) = (bed(), bed());
    assert_eq!(beat(&one).0, 0);
    for file in ["lovage.db", "lovage.db-wal"].into_iter().filter(|file| one.path().join(file).exists()) {
        std::fs::copy(one.path().join(file), two.path().join(file)).unwrap();
    }
    let mut first = one.start(&["beat"]);
    first.wait_for("beat ready");
    let error = two.fails(1, &["beat"]);
    let error = error.lines().find(|line| line.starts_with("error: ")).unwrap();
    documented(
        "the schedule store … is a copy of …, which another beat, … (process …), uses on this broker: both have the identity …, so that each slot would fire from one of them only",
        error.strip_prefix("error: ").unwrap(),
    );
    assert!(error.contains(one.path().to_str().unwrap()) && error.contains(two.path().to_str().unwrap()));
    first.signal("TERM");
    assert_eq!(first.exit_code(), 0);
}

/// The beat keeps its schedule in its own directory, and the command runs in another one.
#[test]
fn schedule_of_another_directory_is_refused_unless_it_is_named() {
    let redis = RedisServer::start_own(&[]).unwrap();
    let bed = || Bed::new().with("LOVAGE_BROKER_URL", redis.url());
    let (one, two) = (bed(), bed());
    let mut beat = one.start(&["beat"]);
    beat.wait_for("beat ready");
    let add = ["schedule", "add", "adds", "--task", "movies.tasks.add", "--every", "1h", "1", "2"];
    for args in [&add[..], &["schedule", "list"], &["schedule", "delete", "adds"]] {
        let error = two.fails(1, args);
        let error = error.lines().find(|line| line.starts_with("error: ")).unwrap();
        documented(
            "the live beat … (process …) keeps the schedule in …, and this command would use …: nothing was read or changed",
            error.strip_prefix("error: ").unwrap(),
        );
        assert!(error.contains(one.path().to_str().unwrap()), "{error}");
    }
    assert!(!two.path().join("lovage.db").exists());
    one.ok(&add);
    two.ok(&[&add[..], &["--schedules", "sqlite://lovage.db"]].concat());
    beat.signal("TERM");
    assert_eq!(beat.exit_code(), 0);
}

#[test]
fn commands_that_look_make_no_database() {
    let bed = Bed::new();
    let id = "0193a5c2-7b1e-7cc0-8000-0123456789ab";
    for args in [
        &["queues"][..],
        &["status"],
        &["inspect", "registered"],
        &["schedule", "list"],
        &["dead", "list"],
        &["report"],
        &["purge", "--help"],
    ] {
        bed.ok(args);
    }
    for args in [
        &["explain", id][..],
        &["result", id],
        &["schedule", "show", "none"],
        &["schedule", "preview", "none"],
        &["schedule", "audit", "none"],
        &["schedule", "delete", "none"],
        &["schedule", "run", "none"],
    ] {
        bed.fails(1, args);
    }
    let left: Vec<_> = std::fs::read_dir(bed.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn a_beat_is_seen_and_told_to_stop(bed: &Bed) {
    let mut beat = bed.start(&["beat"]);
    beat.wait_for("beat ready");
    let status = bed.json(&["status"]);
    assert!(status[0]["name"].as_str().unwrap().starts_with("beat@"), "{status}");
    assert!(bed.ok(&["status"]).contains("running (beat)"));
    // It runs no tasks.
    assert!(bed.fails(1, &["inspect", "ping"]).contains("no worker is alive"));
    let id = bed.run(&["call", "movies.tasks.add", "1", "3"]).stdout;
    assert!(bed.ok(&["explain", id.trim()]).contains("no worker is alive"));
    assert!(bed.fails(1, &["control", "quiet", "--all"]).contains("no worker is alive"));
    assert!(bed.ok(&["control", "shutdown", "--all"]).ends_with("is told to stop"));
    assert_eq!(beat.exit_code(), 0);
    assert_eq!(bed.json(&["status"]), json!([]));
}

/// Runs a beat until it is ready; its exit code and all that it said.
fn beat(bed: &Bed) -> (i32, String) {
    until_ready(bed.start(&["beat", "--max-interval", "1s"]))
}

/// The same of the own program, which declares its entry so often.
fn own_beat(bed: &Bed, every: Option<&str>) -> String {
    let (code, said) = until_ready(Running::of(match every {
        Some(every) => with_every(bed, &["beat"], every),
        None => bed.own(&["beat"]),
    }));
    assert_eq!(code, 0, "{said}");
    said
}

fn with_every(bed: &Bed, args: &[&str], every: &str) -> Command {
    let mut command = bed.own(args);
    command.env(own::EVERY, every);
    command
}

fn until_ready(mut beat: Running) -> (i32, String) {
    beat.wait_for("beat ready");
    beat.signal("TERM");
    beat.end()
}
