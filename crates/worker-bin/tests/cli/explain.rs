//! `lovage explain`: each answer from real stores. The wording of every case is tested in core.

use serde_json::{Value, json};

use crate::UNKNOWN;
use crate::support::{Bed, on_each_broker};

fn kinds(explanation: &Value) -> Vec<&str> {
    explanation["points"].as_array().unwrap().iter().map(|point| point["kind"].as_str().unwrap()).collect()
}

/// Calls a task and waits until its explanation begins with a kind.
fn until(bed: &Bed, id: &str, kind: &str) -> Value {
    bed.until(&["explain", id], |explanation| kinds(explanation)[0] == kind)
}

fn what_waits(bed: &Bed) {
    let id = bed.ok(&["call", "own.greet", "Ada", "--unique", "Ada"]);
    let alone = bed.run(&["explain", &id]);
    let head = format!("own.greet[{id}] is PENDING in the queue `default`: no worker is alive.");
    assert!(alone.code == 0 && alone.stdout.starts_with(&head), "{}", alone.stdout);
    assert!(
        alone.stderr.contains("hint: start a worker with `lovage worker -Q default`"),
        "{}",
        alone.stderr
    );

    let mut elsewhere = bed.worker(&["-n", "one", "-Q", "slow"]);
    let explanation = until(bed, &id, "unread");
    assert_eq!(explanation["points"][0]["workers"], json!(["one"]));
    elsewhere.signal("TERM");
    elsewhere.wait_for("stopping");
    assert_eq!(elsewhere.exit_code(), 0);

    let due = bed.ok(&["call", "own.greet", "Ada", "--countdown", "1h"]);
    assert!(bed.ok(&["explain", &due]).contains("is SCHEDULED in the queue `default`: it is due in 59m"));
    bed.ok(&["control", "pause", "default"]);
    let worker = bed.own_worker(&["-n", "two"]);
    let paused = bed.until(&["explain", &id], |explanation| !kinds(explanation).contains(&"no_worker"));
    assert_eq!(kinds(&paused)[0], "paused");
    assert!(bed.run(&["explain", &id]).stderr.contains("`lovage control resume default`"));
    bed.ok(&["control", "resume", "default"]);
    assert_eq!(bed.ok(&["result", &id, "--wait"]), "\"Welcome, Ada!\"");
    drop(worker);
}

fn what_runs_and_ended(bed: &Bed) {
    let worker = bed.own_worker(&["-n", "one"]);
    let running = bed.ok(&["call", "own.endless"]);
    let explanation = until(bed, &running, "running");
    assert_eq!(
        (&explanation["points"][0]["worker"], &explanation["state"]),
        (&json!("one"), &json!("started"))
    );

    let flaky = bed.ok(&["call", "own.flaky"]);
    let explanation = until(bed, &flaky, "retry");
    assert_eq!(explanation["points"][0]["error"], "the well is dry");
    assert!(bed.ok(&["explain", &flaky]).contains("its retry 1 is due in 59m"));

    let unknown = bed.ok(&["call", "own.greeet", "Ada"]);
    let explanation = until(bed, &unknown, "given_back");
    assert_eq!(explanation["points"][1]["near"], "own.greet");

    let bad = bed.ok(&["call", "own.greet", "7"]);
    let explanation = until(bed, &bad, "dead");
    assert_eq!(
        (&explanation["points"][0]["reason"], &explanation["state"]),
        (&json!("permanent"), &json!("failure"))
    );
    assert!(bed.run(&["explain", &bad]).stderr.contains(&format!("`lovage dead retry {bad}` runs it again")));

    let good = bed.ok(&["call", "own.greet", "Ada"]);
    until(bed, &good, "ended");
    let text = bed.ok(&["explain", &good]);
    let head = format!("own.greet[{good}] is SUCCESS: it succeeded ");
    assert!(text.starts_with(&head) && text.contains(" on worker one after 0."), "{text}");

    bed.ok(&["control", "revoke", &running]);
    let ended = until(bed, &running, "ended");
    assert_eq!(ended["state"], "revoked");

    let late = bed.ok(&["call", "own.greet", "Ada", "--countdown", "1h", "--expires", "1ms"]);
    bed.ok(&["control", "promote", &late]);
    assert_eq!(until(bed, &late, "ended")["state"], "expired");
    drop(worker);
}

fn what_waits_behind_others(bed: &Bed) {
    let first = bed.ok(&["call", "own.greet", "Ada"]);
    let second = bed.ok(&["call", "own.greet", "Ada", "--priority", "9"]);
    let explanation = bed.json(&["explain", &first]);
    assert_eq!(kinds(&explanation), ["no_worker", "ahead"]);
    assert_eq!(explanation["points"][1]["tasks"], 1);
    assert_eq!(kinds(&bed.json(&["explain", &second])), ["no_worker"]);
    let worker = bed.own_worker(&["-n", "one"]);
    assert_eq!(bed.ok(&["result", &first, "--wait"]), "\"Welcome, Ada!\"");
    drop(worker);
}

fn who_holds_a_key(bed: &Bed) {
    let call = |more: &[&str]| {
        bed.ok(&[&["call", "own.greet", "Ada", "--unique", "k", "--countdown", "1h"], more].concat())
    };
    let holder = call(&["--unique-for", "1d"]);
    let refused = bed.fails(1, &["call", "own.greet", "Ada", "--unique", "k"]);
    assert!(refused.contains(&format!("its unique key is held by task {holder}")), "{refused}");
    assert!(bed.ok(&["explain", &holder]).contains("It holds the unique key `own.greet:k`"));
    let newer = call(&["--replace", "--until-start"]);
    let replaced = bed.json(&["explain", &holder]);
    assert_eq!(
        (&replaced["points"][0]["kind"], &replaced["points"][0]["by"]),
        (&json!("replaced"), &json!(newer))
    );

    let worker = bed.own_worker(&[]);
    let ended = bed.fails(1, &["result", &holder, "--wait"]);
    assert!(ended.contains("ended as REVOKED") && ended.contains(&format!("replaced by {newer}")), "{ended}");
    let text = bed.ok(&["explain", &holder]);
    assert!(
        text.contains("is REVOKED: it was revoked; worker ")
            && text.contains(&format!(": replaced by {newer}")),
        "{text}"
    );
    drop(worker);
}

on_each_broker!(what_waits, what_runs_and_ended, what_waits_behind_others, who_holds_a_key,);

#[test]
fn a_task_that_nobody_knows() {
    let bed = Bed::new();
    let unknown = bed.run(&["explain", UNKNOWN]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stdout.starts_with(&format!("task {UNKNOWN} is not known: ")), "{}", unknown.stdout);
    assert!(unknown.stderr.contains("hint: the broker is sqlite://lovage.db (from "), "{}", unknown.stderr);
    let as_json = bed.run(&["explain", UNKNOWN, "--json"]);
    assert_eq!(as_json.code, 1);
    let as_json: Value = serde_json::from_str(&as_json.stdout).unwrap();
    assert_eq!((&as_json["state"], kinds(&as_json)), (&Value::Null, vec!["unknown"]));
    assert!(bed.fails(2, &["explain", "7"]).contains("expected a UUID"));
}

#[test]
fn options_of_a_unique_key_need_a_key() {
    let bed = Bed::new();
    for option in [&["--replace"][..], &["--until-start"], &["--unique-for", "1h"]] {
        let error = bed.fails(2, &[&["call", "add"], option].concat());
        assert!(error.contains("--unique <KEY>"), "{option:?}: {error}");
    }
}
