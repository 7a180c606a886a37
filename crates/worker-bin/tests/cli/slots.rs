//! Several workers and one queue: each takes what it can start.

use serde_json::Value;

use crate::support::{Bed, Running, on_each_broker};

on_each_broker!(tasks_without_a_slot_go_to_another_worker);

/// A worker that keeps its outputs for [`Running::wait_for`].
fn worker(bed: &Bed, name: &str) -> Running {
    bed.own_worker(&["--name", name, "--blocking", "2", "--grace", "0s"])
}

fn counts(bed: &Bed, ready: u64, leased: u64) {
    let are = |queues: &Value| queues[0]["ready"] == ready && queues[0]["leased"] == leased;
    bed.until(&["queues"], are);
}

/// Async and plain tasks, two workers: the first one leaves what it has no slot for to the second.
fn tasks_without_a_slot_go_to_another_worker(bed: &Bed) {
    for _ in 0..5 {
        bed.ok(&["call", "own.blocked"]);
    }
    let mut first = worker(bed, "first");
    counts(bed, 3, 2);
    // Plain tasks in front of it do not delay an async task.
    let id = bed.ok(&["call", "own.endless"]);
    first.wait_for(&format!("{id} runs"));
    counts(bed, 3, 3);
    let _second = worker(bed, "second");
    counts(bed, 1, 5);
}
