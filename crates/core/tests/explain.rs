//! What `explain` says: one case for each sentence.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lovage_core::{
    ActiveTask, Ahead, DeadReason, Envelope, ErrorReport, Facts, Note, Outcome, Payload, Place, Priority,
    QueueName, RetryPolicy, StoredMessage, TaskId, TaskInfo, TaskRecord, TaskState, Timestamp, WorkerInfo,
    WorkerMode, explain,
};

const ID: &str = "0193a5c2-7b1e-7cc0-8000-0123456789ab";
const NEWER: &str = "0193a5c2-7b1e-7cc0-8000-00000000000b";

/// Seconds from 2026-01-01T00:00:00Z; broker and results are asked at second 1,000.
fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_767_225_600_000_000 + second * 1_000_000)
}

fn queue(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn envelope() -> Envelope {
    Envelope::new("movies.add", Payload::empty())
}

fn message(place: Place) -> StoredMessage {
    StoredMessage {
        id: ID.parse().unwrap(),
        queue: queue("media"),
        priority: Priority::LOWEST,
        place,
        body: envelope().encode(),
        run: 1,
        delivery: 0,
        attempt: 0,
        losses: 0,
        published_at: at(0),
        at: None,
        revoked: false,
        replaced_by: None,
        unique_key: None,
        reason: None,
        notes: Vec::new(),
    }
}

fn ready() -> StoredMessage {
    message(Place::Ready)
}

fn delayed(due: i64) -> StoredMessage {
    StoredMessage { at: Some(at(due)), ..message(Place::Delayed) }
}

fn leased() -> StoredMessage {
    StoredMessage { at: Some(at(1_012)), delivery: 1, ..message(Place::Leased) }
}

fn dead(reason: DeadReason) -> StoredMessage {
    StoredMessage {
        at: Some(at(700)),
        reason: Some(reason),
        attempt: 3,
        notes: notes(),
        ..message(Place::Dead)
    }
}

fn notes() -> Vec<Note> {
    vec![Note::new(at(1), "one", "older"), Note::new(at(2), "one", "the well is dry")]
}

fn record(state: TaskState) -> TaskRecord {
    TaskRecord {
        id: ID.parse().unwrap(),
        run: 1,
        delivery: 1,
        attempt: 0,
        task: "movies.add".into(),
        arguments: "[]".into(),
        state,
        outcome: Outcome::None,
        worker: "one".into(),
        queue: queue("media"),
        priority: Priority::LOWEST,
        enqueued_at: at(0),
        started_at: None,
        finished_at: at(700),
        run_time: None,
        schedule: None,
        lineage: None,
        headers: std::collections::BTreeMap::new(),
        keep_for: Duration::from_secs(60),
        warning: None,
    }
}

/// A worker of the queue that registers the task.
fn worker(name: &str) -> WorkerInfo {
    WorkerInfo {
        id: serde_json::from_value(serde_json::json!(ID)).unwrap(),
        name: name.into(),
        host: "host".into(),
        pid: 1,
        version: "0".into(),
        started_at: at(0),
        seen_at: at(999),
        mode: WorkerMode::Running,
        queues: vec![queue("media")],
        concurrency: 3,
        blocking: 1,
        tasks: vec![TaskInfo {
            name: "movies.add".into(),
            signature: "()".into(),
            redacted: None,
            queue: None,
        }],
        active: Vec::new(),
        reserved: 0,
        succeeded: 0,
        failed: 0,
        schedule: None,
        schedule_store: None,
        memory: None,
        cpu: None,
        refused: None,
        stuck_since: None,
        unrunnable: Vec::new(),
        abandoned: Vec::new(),
    }
}

fn of_queue(name: &str, queues: &[&str]) -> WorkerInfo {
    WorkerInfo { queues: queues.iter().map(|name| queue(name)).collect(), ..worker(name) }
}

fn of_tasks(name: &str, tasks: &[&str]) -> WorkerInfo {
    let tasks = tasks.iter().map(|name| TaskInfo {
        name: (*name).into(),
        signature: "()".into(),
        redacted: None,
        queue: None,
    });
    WorkerInfo { tasks: tasks.collect(), ..worker(name) }
}

fn running(id: &str, seen: i64) -> WorkerInfo {
    let id: TaskId = id.parse().unwrap();
    let active = ActiveTask {
        id,
        task: "movies.add".into(),
        queue: queue("media"),
        started_at: at(988),
        progress: None,
        blocks_since: None,
    };
    WorkerInfo { active: vec![active], seen_at: at(seen), ..worker("one") }
}

fn facts(message: StoredMessage, workers: Vec<WorkerInfo>) -> Facts {
    let ahead = (message.place == Place::Ready).then_some(Ahead { tasks: 0, rate: None });
    let id = message.id;
    Facts { id, asked_at: at(1_000), message: Some(message), record: None, workers, paused: false, ahead }
}

fn ended(record: TaskRecord) -> Facts {
    Facts { message: None, record: Some(record), ..facts(ready(), Vec::new()) }
}

fn behind(tasks: u64, rate: Option<f64>) -> Facts {
    Facts { ahead: Some(Ahead { tasks, rate }), ..facts(ready(), vec![worker("one")]) }
}

/// Checks the whole text after the head, which names the task and its state.
fn says(facts: &Facts, head: &str, rest: &str) {
    let text = explain(facts).to_string();
    assert_eq!(text, format!("{}: {rest}.", head.replace("ID", &format!("movies.add[{ID}]"))));
}

const PENDING: &str = "ID is PENDING in the queue `media`";
const SCHEDULED: &str = "ID is SCHEDULED in the queue `media`";
const RETRY: &str = "ID is RETRY in the queue `media`";
const STARTED: &str = "ID is STARTED in the queue `media`";
const FAILURE: &str = "ID is FAILURE";

#[test]
fn a_task_that_nobody_knows() {
    let facts = Facts { message: None, ..facts(ready(), Vec::new()) };
    let text = explain(&facts).to_string();
    assert!(
        text.starts_with(&format!(
            "task {ID} is not known: neither the broker nor the results have it; it was never accepted"
        )),
        "{text}"
    );
    assert_eq!(explain(&facts).state, None);
}

#[test]
fn a_ready_task_whose_workers_are_missing() {
    says(&facts(ready(), vec![]), PENDING, "no worker is alive");
    let beat = WorkerInfo { schedule: Some("here".into()), ..of_queue("beat", &[]) };
    says(&facts(ready(), vec![beat.clone()]), PENDING, "no worker is alive");
    says(
        &facts(ready(), vec![beat, of_queue("one", &["default", "slow"])]),
        PENDING,
        "no live worker reads this queue (one reads `default`, `slow`)",
    );
    let many = "abcdefg".chars().map(|name| of_queue(&name.to_string(), &["default"])).collect();
    says(
        &facts(ready(), many),
        PENDING,
        "no live worker reads this queue (a, b, c, d, e and 2 more read `default`)",
    );
    let quiet = WorkerInfo { mode: WorkerMode::Quiet, ..worker("one") };
    let stopping = WorkerInfo { mode: WorkerMode::Stopping, ..worker("two") };
    says(
        &facts(ready(), vec![quiet.clone(), stopping]),
        PENDING,
        "every worker of this queue is quiet or stopping (one, two)",
    );
    says(&facts(ready(), vec![quiet, worker("two")]), PENDING, "it is the next one");
}

#[test]
fn a_ready_task_that_no_worker_of_its_queue_registers() {
    says(
        &facts(ready(), vec![of_tasks("one", &["videos.cut"]), of_tasks("two", &[])]),
        PENDING,
        "no live worker of this queue registers the task (one, two do not)",
    );
    says(
        &facts(ready(), vec![of_tasks("one", &["videos.cut", "movies.adds"])]),
        PENDING,
        "no live worker of this queue registers the task (one does not); there is a task `movies.adds`",
    );
    says(
        &facts(ready(), vec![of_tasks("one", &["videos.cut"]), of_queue("two", &["default"])]),
        PENDING,
        "no live worker of this queue registers the task (one does not); two registers it, and takes nothing from this queue",
    );
}

#[test]
fn a_ready_task_that_waits_its_turn() {
    let paused = Facts { paused: true, ..facts(ready(), vec![worker("one")]) };
    says(&paused, PENDING, "the queue is paused");
    says(&behind(12_340, None), PENDING, "it waits behind 12,340 tasks of higher or equal priority");
    says(
        &behind(12_340, Some(900.0)),
        PENDING,
        "it waits behind 12,340 tasks of higher or equal priority, drained at 900/s, so about 13s",
    );
    says(
        &behind(1, Some(0.5)),
        PENDING,
        "it waits behind 1 task of higher or equal priority, drained at 0.5/s, so about 2s",
    );
    says(
        &behind(3, Some(0.0)),
        PENDING,
        "it waits behind 3 tasks of higher or equal priority, which do not move",
    );
    says(
        &behind(1_000_000, Some(-7.0)),
        PENDING,
        "it waits behind 1,000,000 tasks of higher or equal priority, and more of them come than are handed out",
    );
    says(&facts(ready(), vec![worker("one")]), PENDING, "it is the next one");
    let taken = Facts { ahead: None, ..facts(ready(), vec![worker("one")]) };
    says(&taken, PENDING, "it is being handed out at this moment");
    let busy = WorkerInfo { active: vec![running(NEWER, 999).active.remove(0); 4], ..worker("one") };
    says(
        &facts(ready(), vec![busy]),
        PENDING,
        "it is the next one, and all 4 slots of the queue's workers are taken",
    );
}

#[test]
fn all_that_keeps_a_task_is_said() {
    let stored = StoredMessage {
        attempt: 2,
        losses: 2,
        notes: notes(),
        unique_key: Some("movies.add:7".into()),
        ..ready()
    };
    let everything = Facts {
        paused: true,
        ahead: Some(Ahead { tasks: 2, rate: None }),
        ..facts(stored, vec![of_queue("one", &["default"])])
    };
    says(
        &everything,
        PENDING,
        "the queue is paused. No live worker reads this queue (one reads `default`). \
         It waits behind 2 tasks of higher or equal priority. \
         2 workers lost their lease with it in a row, so it is handed out apart from other suspects, and after 5 it becomes a dead letter. \
         So far 2 attempts failed, the last one with: the well is dry. \
         It holds the unique key `movies.add:7`: other calls with that key are refused, or replace it where they say so and it waits",
    );
}

#[test]
fn a_task_that_will_not_run() {
    let cancelled = StoredMessage { revoked: true, ..ready() };
    says(
        &facts(cancelled.clone(), vec![of_tasks("one", &[])]),
        PENDING,
        "it was cancelled; it does not run, and the next free worker records that",
    );
    says(
        &facts(cancelled.clone(), vec![]),
        PENDING,
        "it was cancelled; it does not run, and the next free worker records that. No worker is alive",
    );
    let replaced = StoredMessage { replaced_by: NEWER.parse().ok(), ..cancelled };
    says(
        &facts(replaced, vec![worker("one")]),
        PENDING,
        &format!(
            "it was replaced by {NEWER}, which took its unique key; it does not run, and the next free worker records that"
        ),
    );
}

#[test]
fn a_message_that_this_program_cannot_read() {
    let newer = facts(StoredMessage { body: vec![9, 9], ..ready() }, vec![worker("one")]);
    let text = explain(&newer).to_string();
    let head = format!("task {ID} is PENDING in the queue `media`: the message has envelope version 9, ");
    assert!(text.starts_with(&head), "{text}");
}

#[test]
fn a_task_that_waits_for_its_time() {
    let workers = || vec![worker("one")];
    says(&facts(delayed(1_240), workers()), SCHEDULED, "it is due in 4m, at 2026-01-01T00:20:40Z");
    says(
        &facts(delayed(1_240), vec![]),
        SCHEDULED,
        "it is due in 4m, at 2026-01-01T00:20:40Z. No worker is alive",
    );
    says(
        &facts(delayed(997), workers()),
        SCHEDULED,
        "it has been due for 3s; the next worker that looks takes it",
    );
}

#[test]
fn a_task_that_waits_for_a_retry() {
    let stored = StoredMessage { attempt: 2, delivery: 2, notes: notes(), ..delayed(1_240) };
    says(
        &facts(stored.clone(), vec![worker("one")]),
        RETRY,
        "its retry 2 is due in 4m, at 2026-01-01T00:20:40Z, after the error: the well is dry",
    );
    let envelope = Envelope { retry: Some(RetryPolicy::times(3)), ..envelope() };
    let by_call = StoredMessage { body: envelope.encode(), notes: vec![], ..stored };
    says(
        &facts(by_call, vec![worker("one")]),
        RETRY,
        "its retry 2 of 3 is due in 4m, at 2026-01-01T00:20:40Z",
    );
}

#[test]
fn a_task_that_workers_gave_back() {
    let stored = StoredMessage { delivery: 3, ..delayed(1_012) };
    says(
        &facts(stored.clone(), vec![of_tasks("one", &[])]),
        SCHEDULED,
        "workers could not run it and gave it back (3 hand-outs so far); the next hand-out is in 12s, at 2026-01-01T00:16:52Z, \
         and after an hour it becomes a dead letter. \
         No live worker of this queue registers the task (one does not)",
    );
    says(
        &facts(stored, vec![worker("one")]),
        SCHEDULED,
        "workers could not run it and gave it back (3 hand-outs so far): they register its task from another release, with other arguments, \
         or cannot read its message; the next hand-out is in 12s, at 2026-01-01T00:16:52Z, and after an hour it becomes a dead letter",
    );
}

#[test]
fn a_task_that_a_worker_has() {
    says(
        &facts(StoredMessage { attempt: 1, delivery: 3, ..leased() }, vec![running(ID, 998)]),
        STARTED,
        "worker one runs it, for 12s so far (attempt 2, hand-out 3). So far 1 attempt failed",
    );
    says(
        &facts(leased(), vec![running(ID, 987)]),
        STARTED,
        "worker one runs it, for 12s so far (attempt 1, hand-out 1); the worker has been silent for 13s: \
         if it is gone, its lease ends in 12s and another worker takes over",
    );
    let crowd = (0..399).map(|number| worker(&number.to_string())).chain([running(ID, 987)]).collect();
    says(&facts(leased(), crowd), STARTED, "worker one runs it, for 12s so far (attempt 1, hand-out 1)");
    says(
        &facts(StoredMessage { revoked: true, ..leased() }, vec![running(ID, 998)]),
        STARTED,
        "it was cancelled, and its worker is told to stop it. \
         Worker one runs it, for 12s so far (attempt 1, hand-out 1)",
    );
    let holder = WorkerInfo { reserved: 2, ..running(NEWER, 998) };
    says(
        &facts(leased(), vec![holder, worker("two")]),
        STARTED,
        "a worker has taken it and not started it yet (one has such tasks)",
    );
}

#[test]
fn a_task_whose_worker_is_gone() {
    says(
        &facts(leased(), vec![of_queue("two", &["default"])]),
        STARTED,
        "the worker that had it is gone; its lease ends in 12s and another worker takes over",
    );
    says(
        &facts(StoredMessage { at: Some(at(990)), ..leased() }, vec![]),
        STARTED,
        "the worker that had it is gone; its lease ended 10s ago and another worker takes over",
    );
    says(
        &facts(leased(), vec![running(NEWER, 998)]),
        STARTED,
        "no live worker says that it has it: it was taken a moment ago, or its worker is gone; \
         if so, its lease ends in 12s and another worker takes over",
    );
}

#[test]
fn a_dead_letter() {
    let with = |reason, why: &str| {
        let rest = format!("it is a dead letter since 5m, because {why}; the last error: the well is dry");
        says(&facts(dead(reason), vec![]), FAILURE, &rest);
    };
    with(DeadReason::Exhausted, "all 4 attempts failed");
    with(DeadReason::Permanent, "it failed in a way that is not retried");
    with(DeadReason::Poisoned, "too many workers in a row lost their lease with it");
    with(DeadReason::Undeliverable, "no worker could run it for an hour");
    with(DeadReason::Unreadable, "nobody can read it");
    let recorded =
        Facts { record: Some(record(TaskState::Failure)), ..facts(dead(DeadReason::Exhausted), vec![]) };
    assert!(
        explain(&recorded).to_string().contains("it is a dead letter"),
        "the letter says more than the row"
    );
}

#[test]
fn a_task_that_has_ended() {
    let with = |record: TaskRecord, head: &str, rest: &str| says(&ended(record), head, rest);
    let ran = |state| TaskRecord { run_time: Some(Duration::from_micros(12_345_678)), ..record(state) };
    with(ran(TaskState::Success), "ID is SUCCESS", "it succeeded 5m ago on worker one after 12s");
    let quick =
        TaskRecord { run_time: Some(Duration::from_micros(4_560)), attempt: 2, ..record(TaskState::Success) };
    with(quick, "ID is SUCCESS", "it succeeded 5m ago on worker one after 0.005s, 2 attempts failed");
    let report = |text: &str| Outcome::Error(ErrorReport::new("kind", text));
    let failed = TaskRecord { attempt: 1, outcome: report("bad\nluck"), ..ran(TaskState::Failure) };
    with(failed, FAILURE, "it failed 5m ago on worker one after 12s, 1 attempt failed: bad\\nluck");
    with(record(TaskState::Revoked), "ID is REVOKED", "it was revoked; worker one recorded that 5m ago");
    let replaced = TaskRecord { outcome: report("replaced by another"), ..record(TaskState::Revoked) };
    with(replaced, "ID is REVOKED", "it was revoked; worker one recorded that 5m ago: replaced by another");
    with(
        record(TaskState::Expired),
        "ID is EXPIRED",
        "nobody started it before it expired; worker one recorded that 5m ago",
    );
    let discarded = TaskRecord { outcome: report("not needed"), ..record(TaskState::Discarded) };
    with(discarded, "ID is DISCARDED", "it ended by its own decision 5m ago on worker one: not needed");
}

#[test]
fn a_task_between_its_record_and_its_settlement() {
    let over = Facts { record: Some(record(TaskState::Success)), ..facts(leased(), vec![]) };
    says(
        &over,
        "ID is SUCCESS",
        "it succeeded 5m ago on worker one. Its message is not settled yet; the next worker that gets it only settles it",
    );
    let again = Facts {
        record: Some(record(TaskState::Failure)),
        ..facts(StoredMessage { run: 2, ..ready() }, vec![worker("one")])
    };
    says(&again, PENDING, "it is the next one");
    let retried =
        Facts { record: Some(record(TaskState::Retry)), ..facts(delayed(1_240), vec![worker("one")]) };
    says(&retried, SCHEDULED, "it is due in 4m, at 2026-01-01T00:20:40Z");
}

#[test]
fn a_task_that_the_broker_lost() {
    says(
        &ended(record(TaskState::Retry)),
        RETRY,
        "so says its last row, of 5m ago, but the broker does not have it; it was purged, or the broker lost it",
    );
}

#[test]
fn what_others_wrote_does_not_drive_a_terminal() {
    let stored = StoredMessage {
        attempt: 1,
        notes: vec![Note::new(at(1), "one", "\x1b[2J".repeat(300))],
        unique_key: Some("a\nb".into()),
        ..ready()
    };
    let text = explain(&facts(
        stored,
        vec![WorkerInfo { name: "o\x07ne".into(), mode: WorkerMode::Quiet, ..worker("") }],
    ))
    .to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() < 3_000, "{}", text.len());
}
