//! Control is in the store: nothing here depends on a worker answering.

use serde_json::json;

use crate::support::{Bed, on_each_broker};

fn revoke_reaches_a_worker_that_was_down(bed: &Bed) {
    let waiting = bed.ok(&["call", "own.endless"]);
    let delayed = bed.ok(&["call", "own.endless", "--countdown", "1h"]);
    for id in [&waiting, &delayed] {
        assert_eq!(bed.ok(&["control", "revoke", id]), format!("{id} is revoked"));
    }
    let done = bed.own(&["worker", "--burst"]).output().unwrap();
    let log = String::from_utf8_lossy(&done.stderr) + String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{log}");
    for id in [&waiting, &delayed] {
        assert!(!log.contains(&format!("{id} runs")), "{log}");
        assert_eq!(bed.json(&["explain", id])["state"], "revoked");
    }
}

fn revoke_reaches_the_worker_after_one_that_was_killed(bed: &Bed) {
    let mut first = bed.own_worker(&["--lease", "1s"]);
    let id = bed.ok(&["call", "own.endless"]);
    first.wait_for(&format!("{id} runs"));
    first.signal("KILL");
    first.exit_code();
    assert!(bed.ok(&["control", "revoke", &id]).contains("is with a worker"));
    let mut second = bed.own_worker(&["--lease", "1s"]);
    second.wait_for(&format!("task own.endless[{id}] revoked"));
    assert!(bed.fails(1, &["result", &id, "--wait"]).contains("ended as REVOKED"));
    assert!(!second.has_seen(&format!("{id} runs")));
}

/// A worker that is frozen answers nobody.
fn control_asks_no_worker(bed: &Bed) {
    let mut worker = bed.own_worker(&["-n", "frozen", "-c", "1"]);
    let running = bed.ok(&["call", "own.endless"]);
    worker.wait_for(&format!("{running} runs"));
    bed.until(&["inspect", "active"], |active| active[0]["id"] == json!(running));
    let scheduled = bed.ok(&["call", "own.greet", "Ada", "--countdown", "1h"]);
    worker.signal("STOP");

    assert_eq!(bed.json(&["status"])[0]["name"], "frozen");
    assert_eq!(bed.json(&["inspect", "active"])[0]["id"], json!(running));
    assert_eq!(bed.json(&["inspect", "scheduled"])[0]["id"], json!(scheduled));
    let registered = bed.json(&["inspect", "registered"]);
    assert!(registered.as_array().unwrap().iter().any(|task| task["task"] == "own.endless"));
    assert_eq!(bed.json(&["inspect", "stats"])[0]["name"], "frozen");
    assert_eq!(bed.json(&["explain", &running])["points"][0]["kind"], "running");
    bed.ok(&["control", "promote", &scheduled]);
    bed.ok(&["control", "pause", "default"]);
    let queues = bed.json(&["queues"]);
    assert_eq!((&queues[0]["paused"], &queues[0]["ready"]), (&json!(true), &json!(1)));
    bed.ok(&["control", "resume", "default"]);
    assert!(bed.ok(&["control", "revoke", &running]).contains("is with a worker"));
    assert_eq!(bed.ok(&["control", "shutdown", "frozen"]), "frozen is told to stop");

    worker.signal("CONT");
    assert!(bed.fails(1, &["result", &running, "--wait"]).contains("ended as REVOKED"));
    assert_eq!(worker.exit_code(), 0);
}

on_each_broker!(
    revoke_reaches_a_worker_that_was_down,
    revoke_reaches_the_worker_after_one_that_was_killed,
    control_asks_no_worker,
);
