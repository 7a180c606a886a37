//! The `lovage` binary as people use it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

// The name that users give to the crate, and where `#[task]` looks.
extern crate lovage_worker_bin as lovage;

mod away;
mod beat;
mod browser;
mod dashboard;
mod explain;
mod help;
mod outbox;
mod own;
mod postgres;
mod process;
mod schedule;
mod schedule_sql;
mod slots;
mod store;
mod supervised;
mod support;
mod troubles;

use serde_json::{Value, json};
use support::{Bed, on_each_broker};

const UNKNOWN: &str = "0193a5c2-7b1e-7cc0-8000-0123456789ab";

/// The tutorial: a worker in one shell, everything else in another.
fn tutorial(bed: &Bed) {
    let mut worker = bed.worker(&[]);
    worker.wait_for("sum_list_numbers (numbers: Vec<i64>) -> i64");

    let called = bed.run(&["call", "movies.tasks.add", "1", "3", "--wait"]);
    assert_eq!((called.code, called.stdout.as_str()), (0, "4\n"), "{}", called.stderr);
    let id = called.stderr.lines().next_back().unwrap().to_owned();
    worker.wait_for(&format!("task movies.tasks.add[{id}] received"));
    let line = worker.wait_for(&format!("task movies.tasks.add[{id}] succeeded in "));
    assert!(line.ends_with("s: 4"), "{line}");

    assert_eq!(bed.ok(&["call", "multiply_two_numbers", "-4", "3", "--wait=20s"]), "-12");
    assert_eq!(bed.ok(&["call", "sum_list_numbers", "[1,2,3]", "--wait"]), "6");
    let by_name = ["call", "movies.tasks.add", "--kwargs", r#"{"y":2,"x":1}"#, "--wait"];
    assert_eq!(bed.ok(&by_name), "3");

    let registered = bed.until(&["inspect", "registered"], |tasks| tasks != &json!([]));
    let names: Vec<&str> =
        registered.as_array().unwrap().iter().map(|t| t["task"].as_str().unwrap()).collect();
    assert_eq!(names, ["movies.tasks.add", "multiply_two_numbers", "sum_list_numbers"]);

    // A second shell finds the result by its id.
    assert_eq!(bed.ok(&["result", &id]), "4");
    assert_eq!(bed.ok(&["result", &id, "--wait"]), "4");
    let row = bed.json(&["result", &id]);
    assert_eq!((&row["state"], &row["result"]), (&json!("success"), &json!(4)));
    assert_eq!(row["arguments"], json!([1, 3]));

    let sent = bed.ok(&["call", "movies.tasks.add", "2", "2"]);
    assert_eq!(bed.ok(&["result", &sent, "--wait=20s"]), "4");

    let refused = bed.fails(1, &["result", UNKNOWN]);
    assert!(refused.contains("is not known"), "{refused}");
    let refused = bed.fails(1, &["result", UNKNOWN, "--wait=20s"]);
    assert!(refused.contains("is not known"), "{refused}");

    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
    assert_eq!(bed.json(&["status"]), json!([]));
}

on_each_broker!(
    tutorial,
    status_and_control_see_and_tell_workers,
    a_paused_queue_waits_until_it_is_resumed,
    a_rate_limit_holds_back_until_it_is_lifted,
    purge_removes_what_waits_and_asks_first,
    a_worker_may_purge_and_end_when_there_is_nothing_left,
    dead_letters_are_listed_read_run_again_and_removed,
    an_unknown_task_waits_for_a_worker_that_knows_it,
    revoke_and_promote_reach_what_waits,
);

#[test]
fn dev_runs_one_task_and_prints_its_result() {
    let bed = Bed::new();
    let done = bed.run(&["dev", "movies.tasks.add", "1", "3"]);
    assert_eq!((done.code, done.stdout.as_str()), (0, "4\n"), "{}", done.stderr);
    assert!(done.stderr.contains("received") && done.stderr.contains("succeeded"), "{}", done.stderr);
    let refused = bed.fails(2, &["dev", "movies.tasks.ad"]);
    assert!(
        refused.contains("no task `movies.tasks.ad`") && refused.contains("movies.tasks.add,"),
        "{refused}"
    );
}

#[test]
fn dev_says_how_to_send_the_first_task() {
    let bed = Bed::new();
    let mut dev = bed.start(&["dev"]);
    dev.wait_for("lovage call movies.tasks.add 1 3 --wait");
    dev.wait_for(" ready");
    assert_eq!(bed.ok(&["call", "movies.tasks.add", "1", "3", "--wait"]), "4");
    dev.signal("INT");
    assert_eq!(dev.exit_code(), 0);
}

fn status_and_control_see_and_tell_workers(bed: &Bed) {
    assert_eq!(bed.ok(&["status"]), "no worker is alive");
    assert!(bed.fails(1, &["inspect", "ping"]).contains("no worker is alive"));
    let mut worker = bed.worker(&["-n", "one", "-Q", "default,slow:2", "-c", "3"]);
    let status = bed.until(&["status"], |workers| workers != &json!([]));
    assert_eq!(status[0]["name"], "one");
    assert_eq!(status[0]["queues"], json!(["default", "slow"]));
    assert_eq!(status[0]["concurrency"], 3);
    assert!(bed.ok(&["inspect", "ping"]).starts_with("one: pong"));
    assert_eq!(bed.ok(&["inspect", "active"]), "nothing is running");
    assert!(bed.ok(&["inspect", "reserved"]).contains("one"));
    assert!(bed.ok(&["inspect", "stats"]).contains("one"));

    assert!(bed.fails(1, &["control", "shutdown", "two"]).contains("no live worker is called `two`"));
    assert!(bed.fails(2, &["control", "shutdown"]).contains("--all"));
    let told = bed.ok(&["control", "concurrency", "one", "5"]);
    assert_eq!(told, "one is told to run 5 async tasks at once (3 until now)");
    assert_eq!(bed.ok(&["control", "add-queue", "one", "fast"]), "one is told to take tasks of `fast`, too");
    assert_eq!(
        bed.ok(&["control", "drop-queue", "one", "slow"]),
        "one is told to take no more tasks of `slow`"
    );
    let wanted = json!(["default", "fast"]);
    bed.until(&["status"], |workers| workers[0]["queues"] == wanted && workers[0]["concurrency"] == 5);
    assert!(
        bed.fails(1, &["control", "drop-queue", "one", "slow"]).contains("it takes those of default, fast")
    );
    bed.ok(&["control", "drop-queue", "one", "fast"]);
    bed.until(&["status"], |workers| workers[0]["queues"] == json!(["default"]));
    assert!(bed.fails(1, &["control", "drop-queue", "one", "default"]).contains("add another one first"));
    assert!(bed.fails(2, &["control", "concurrency", "one", "0"]).contains("expected 1 to 100000"));
    assert_eq!(bed.ok(&["control", "quiet", "one"]), "one is told to take no more tasks");
    worker.wait_for("quiet: no new tasks are reserved");
    assert_eq!(bed.ok(&["control", "shutdown", "--all"]), "one is told to stop");
    assert_eq!(worker.exit_code(), 0);
}

#[test]
fn sigtstp_is_quiet() {
    let bed = Bed::new();
    let mut worker = bed.worker(&[]);
    worker.signal("TSTP");
    worker.wait_for("quiet: no new tasks are reserved");
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
}

fn a_paused_queue_waits_until_it_is_resumed(bed: &Bed) {
    let worker = bed.worker(&[]);
    bed.ok(&["control", "pause", "default"]);
    let id = bed.ok(&["call", "movies.tasks.add", "1", "3"]);
    let queues = bed.json(&["queues"]);
    assert_eq!((&queues[0]["ready"], &queues[0]["paused"]), (&json!(1), &json!(true)));
    let not_ended = bed.fails(1, &["result", &id]);
    assert!(not_ended.contains("has not ended: it is PENDING"), "{not_ended}");
    bed.ok(&["control", "resume", "default"]);
    assert_eq!(bed.ok(&["result", &id, "--wait"]), "4");
    drop(worker);
}

fn a_rate_limit_holds_back_until_it_is_lifted(bed: &Bed) {
    let worker = bed.worker(&[]);
    let told = bed.ok(&["control", "rate-limit", "default", "1/h"]);
    assert_eq!(
        told.lines().next(),
        Some("default is limited to 1/h over all workers, with at most 1 at once")
    );
    assert_eq!(bed.ok(&["call", "movies.tasks.add", "1", "3", "--wait"]), "4");
    let id = bed.ok(&["call", "movies.tasks.add", "2", "3"]);
    let queues = bed.json(&["queues"]);
    assert_eq!((&queues[0]["ready"], &queues[0]["limit"]), (&json!(1), &json!("1/h")));
    assert!(bed.ok(&["queues"]).contains("1/h"));
    assert!(bed.fails(1, &["result", &id]).contains("has not ended: it is PENDING"));
    let told = bed.fails(2, &["control", "rate-limit", "default", "10/d"]);
    assert!(told.contains("expected a rate such as 10/s") && told.contains("`10/d`, or off"), "{told}");
    assert!(
        bed.ok(&["control", "rate-limit", "default", "10/s", "burst", "5"]).contains("at most 5 at once")
    );
    assert_eq!(bed.ok(&["result", &id, "--wait"]), "5");
    bed.ok(&["control", "rate-limit", "default", "off"]);
    assert_eq!(bed.json(&["queues"])[0]["limit"], json!(null));
    drop(worker);
}

fn purge_removes_what_waits_and_asks_first(bed: &Bed) {
    let called = bed.run(&["call", "movies.tasks.add", "1", "3"]);
    assert!(called.stderr.contains("no live worker serves the queue `default`"), "{}", called.stderr);
    bed.ok(&["call", "movies.tasks.add", "1", "3", "--countdown", "1h"]);
    bed.ok(&["call", "movies.tasks.add", "1", "3", "-Q", "other"]);
    assert!(bed.fails(2, &["purge", "default"]).contains("add --yes"));
    assert!(bed.fails(1, &["purge", "defaul", "--yes"]).contains("there is no queue `defaul`"));
    assert_eq!(bed.ok(&["purge", "default", "--yes", "--state", "delayed"]), "removed 1 tasks from default");
    assert_eq!(bed.ok(&["purge", "default", "--yes"]), "removed 1 tasks from default");
    let ready = |name: &str| {
        let queues = bed.json(&["queues"]);
        let queue = queues.as_array().unwrap().iter().find(|queue| queue["queue"] == name).cloned();
        queue.unwrap()["ready"].clone()
    };
    assert_eq!((ready("default"), ready("other")), (json!(0), json!(1)));
}

fn a_worker_may_purge_and_end_when_there_is_nothing_left(bed: &Bed) {
    bed.ok(&["call", "movies.tasks.add", "1", "3"]);
    let done = bed.run(&["worker", "--purge", "--burst"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("removed 1 tasks from default"), "{}", done.stderr);
    assert!(!done.stderr.contains("received"), "{}", done.stderr);
    let id = bed.ok(&["call", "movies.tasks.add", "1", "3"]);
    assert_eq!(bed.run(&["worker", "--burst"]).code, 0);
    assert_eq!(bed.ok(&["result", &id]), "4");
}

fn dead_letters_are_listed_read_run_again_and_removed(bed: &Bed) {
    let worker = bed.worker(&[]);
    let called = bed.run(&["call", "sum_list_numbers", "no list", "--wait"]);
    assert_eq!((called.code, called.stdout.as_str()), (1, ""));
    assert!(
        called.stderr.contains("ended as FAILURE") && called.stderr.contains("`numbers`"),
        "{}",
        called.stderr
    );
    let letters = bed.until(&["dead", "list"], |letters| letters != &json!([]));
    let id = letters[0]["id"].as_str().unwrap();
    assert_eq!(letters[0]["reason"], "permanent");
    assert_eq!(letters[0]["arguments"], json!(["no list"]));
    assert_eq!(bed.json(&["dead", "list", "--task", "movies.tasks.add"]), json!([]));
    let shown = bed.ok(&["dead", "show", id]);
    assert!(shown.contains("permanent") && shown.contains("is not a valid Vec<i64>"), "{shown}");
    assert!(bed.fails(1, &["dead", "show", UNKNOWN]).contains("is not a dead letter"));

    assert!(bed.fails(2, &["dead", "retry"]).contains("--all"));
    assert_eq!(bed.ok(&["dead", "retry", "--all"]), "1 dead letters run again");
    let again = bed.until(&["dead", "list"], |letters| letters != &json!([]));
    assert_eq!((&again[0]["id"], &again[0]["run"]), (&json!(id), &json!(2)));
    assert_eq!(bed.ok(&["dead", "delete", id]), "1 dead letters removed");
    assert_eq!(bed.ok(&["dead", "list"]), "there are no dead letters");
    drop(worker);
}

fn an_unknown_task_waits_for_a_worker_that_knows_it(bed: &Bed) {
    let mut worker = bed.worker(&[]);
    bed.until(&["inspect", "registered"], |tasks| tasks != &json!([]));
    let called = bed.run(&["call", "no.such.task"]);
    assert!(called.stderr.contains("no live worker of the queue `default` knows"), "{}", called.stderr);
    worker.wait_for("has no task `no.such.task`");
    let id = called.stdout.trim();
    let waits = bed.until(&["inspect", "scheduled"], |tasks| tasks != &json!([]));
    assert_eq!((&waits[0]["id"], &waits[0]["attempt"]), (&json!(id), &json!(0)));
    assert_eq!(bed.json(&["inspect", "retry"]), json!([]));
}

fn revoke_and_promote_reach_what_waits(bed: &Bed) {
    let revoked = bed.ok(&["call", "movies.tasks.add", "1", "3", "--countdown", "1h"]);
    let promoted = bed.ok(&["call", "movies.tasks.add", "2", "3", "--eta", "2100-01-01T00:00:00Z"]);
    assert_eq!(bed.json(&["inspect", "scheduled"]).as_array().map(Vec::len), Some(2));
    assert_eq!(bed.ok(&["control", "revoke", &revoked]), format!("{revoked} is revoked"));
    assert_eq!(bed.ok(&["control", "promote", &promoted]), format!("{promoted} is ready now"));
    assert!(bed.fails(1, &["control", "revoke", UNKNOWN]).contains("is not waiting or running"));
    let worker = bed.worker(&[]);
    assert_eq!(bed.ok(&["result", &promoted, "--wait"]), "5");
    let ended = bed.fails(1, &["result", &revoked, "--wait"]);
    assert!(ended.contains("ended as REVOKED"), "{ended}");
    drop(worker);
}

#[test]
fn options_of_a_call_are_checked() {
    let bed = Bed::new();
    for (args, part) in [
        (&["call", "add", "--countdown", "soon"][..], "1h30m"),
        (&["call", "add", "--priority", "10"], "0..=9"),
        (&["call", "add", "--args", "{}"], "JSON list"),
        (&["call", "add", "--kwargs", "[1]"], "JSON object"),
        (&["call", "add", "1", "--kwargs", "{}"], "cannot be used with"),
        (&["call", "add", "-Q", "a b"], "queue name"),
        (&["call", "add", "--countdown", "1s", "--eta", "2100-01-01T00:00:00Z"], "cannot be used with"),
        (&["result", "7"], "expected a UUID"),
    ] {
        let error = bed.fails(2, args);
        assert!(error.contains(part), "{args:?}: {error}");
    }
    let first = bed.ok(&["call", "movies.tasks.add", "1", "3", "--unique", "k"]);
    let error = bed.fails(1, &["call", "movies.tasks.add", "1", "3", "--unique", "k"]);
    assert!(error.contains(&first), "{error}");
    let sent = bed.json(&["call", "movies.tasks.add", "1", "3", "--id", UNKNOWN]);
    assert_eq!(sent, json!({ "id": UNKNOWN, "queue": "default" }));
    assert!(bed.fails(1, &["call", "movies.tasks.add", "1", "3", "--id", UNKNOWN]).contains("live already"));
}

#[test]
fn settings_come_from_files_and_variables_with_their_source() {
    let bed = Bed::new().with("LOVAGE_CONCURRENCY", "7").with("LOVAGE_QUEUE", "typo");
    std::fs::write(bed.path().join("lovage.toml"), "lease = \"1m\"\nbroker = \"sqlite://elsewhere.db\"\n")
        .unwrap();
    let done = bed.run(&["inspect", "conf", "--json"]);
    let conf: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(conf["lease"], json!({ "value": "1m", "source": "lovage.toml line 1" }));
    assert_eq!(conf["concurrency"]["source"], "the environment variable LOVAGE_CONCURRENCY");
    assert!(done.stderr.contains("did you mean LOVAGE_QUEUES?"), "{}", done.stderr);
    bed.ok(&["call", "movies.tasks.add", "1", "3"]);
    assert!(bed.path().join("elsewhere.db").exists());
    let error = bed.fails(2, &["worker", "--lease", "5h"]);
    assert!(error.contains("setting `lease` from the flag --lease: expected a lease of 1s to 1h"), "{error}");
}

#[test]
fn an_unreachable_broker_names_its_setting_and_no_secret() {
    let bed = Bed::new().with("LOVAGE_BROKER_URL", "redis://:hunter2@127.0.0.1:1");
    let error = bed.fails(1, &["status"]);
    assert!(error.contains("the environment variable LOVAGE_BROKER_URL"), "{error}");
    assert!(error.contains("redis://***@127.0.0.1:1"), "{error}");
    let report = bed.run(&["report"]);
    assert_eq!(report.code, 1);
    for text in [error, report.stdout, report.stderr] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn migrate_makes_the_tables_once() {
    let bed = Bed::new();
    let check = bed.run(&["migrate", "--check"]);
    assert_eq!(check.code, 1);
    assert!(check.stdout.contains("does not exist yet"), "{}", check.stdout);
    assert!(!bed.path().join("lovage.db").exists());
    assert!(bed.ok(&["migrate"]).contains("broker sqlite://lovage.db: applied migration 1 (broker)"));
    assert!(bed.ok(&["migrate"]).contains("results sqlite://lovage.db: is up to date"));
    bed.ok(&["migrate", "--check"]);
}

#[test]
fn report_tells_what_can_be_reached() {
    let report = Bed::new().json(&["report"]);
    assert_eq!(report["reachable"], true);
    assert_eq!(report["configuration"]["broker"]["value"], "sqlite://lovage.db");
}

#[test]
fn the_log_may_be_json() {
    let bed = Bed::new();
    let mut worker = bed.start(&["worker", "--log-format", "json", "--loglevel", "INFO"]);
    let line = worker.wait_for(" ready");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["level"], "INFO");
    worker.signal("TERM");
    assert_eq!(worker.exit_code(), 0);
}
