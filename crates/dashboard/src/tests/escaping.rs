//! Script in every displayed field stays text.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use futures_util::StreamExt as _;
use lovage_core::audit::Action;
use lovage_core::schedule::{Entry, Expected, Schedule, ScheduleStore as _};
use lovage_core::stats::{Counts, Tally};
use lovage_core::{
    Clock as _, DeadReason, Envelope, ErrorReport, Note, Outcome, Payload, Reserve, ResultStore as _,
    ScheduledSlot, Settle, Settlement, SlotWants, TaskRecord, TaskState, Token, WorkerId, WorkerInfo,
};
use lovage_testkit::{SeededEntropy, message, queue, record, settled_down};
use serde_json::{Value, json};

use super::site::{Browser, Site};
use crate::pages::Url;
use crate::routes::{Surface, table};

/// Without white space, so that it may be a task's name.
const EVIL: &str = "\"'><script>alert(1)</script><img/src=x/onerror=alert(2)>";
/// Every field that is written by somebody else, each of which is to be found on some page.
const FIELDS: [&str; 36] = [
    "task",
    "argument",
    "header",
    "header-value",
    "slot",
    "note-error",
    "note-worker",
    "worker-name",
    "host",
    "version",
    "known-task",
    "signature",
    "active-task",
    "progress",
    "refused",
    "beat",
    "beat-store",
    "failed-task",
    "failed-arguments",
    "failed-worker",
    "kind",
    "error",
    "cause",
    "backtrace",
    "attempt-error",
    "attempt-worker",
    "marker",
    "result",
    "entry",
    "entry-task",
    "description",
    "who",
    "outcome",
    "what",
    "address",
    "target",
];

/// What somebody evil writes into a field.
fn evil(field: &str) -> String {
    format!("{EVIL}{field}")
}

fn worker(site: &Site, leased: lovage_core::TaskId) -> WorkerInfo {
    let now = site.clock.now();
    let progress = json!({ "done": 1, "total": 2, "message": evil("progress") });
    let active = json!({
        "id": leased, "task": evil("active-task"), "queue": "q", "started_at": now, "progress": progress,
    });
    let known = json!({ "name": evil("known-task"), "signature": evil("signature") });
    let info = json!({
        "id": WorkerId::new(&SeededEntropy::new(9)), "name": evil("worker-name"), "host": evil("host"), "pid": 1,
        "version": evil("version"), "started_at": now, "mode": "running", "queues": ["q"], "concurrency": 1,
        "blocking": 1, "tasks": [known], "active": [active], "reserved": 0, "succeeded": 0, "failed": 0,
        "refused": evil("refused"),
    });
    serde_json::from_value(info).unwrap()
}

fn beat(site: &Site) -> WorkerInfo {
    let info = worker(site, message("q").build().id);
    WorkerInfo {
        id: WorkerId::new(&SeededEntropy::new(10)),
        name: evil("beat"),
        tasks: Vec::new(),
        active: Vec::new(),
        schedule: Some(evil("beat-store")),
        refused: None,
        ..info
    }
}

fn envelope() -> Envelope {
    let mut envelope = Envelope::new(evil("task"), Payload::Json(json!([evil("argument")]).to_string()));
    envelope.headers = BTreeMap::from([(evil("header"), evil("header-value"))]);
    envelope.schedule = Some(ScheduledSlot { name: evil("slot"), slot: lovage_core::Timestamp::default() });
    envelope
}

/// One that failed at last, after an attempt that failed, one that succeeded, and one whose result was not stored.
fn records(site: &Site) -> Vec<TaskRecord> {
    let now = site.clock.now();
    let report = |kind: &str, message: &str| ErrorReport {
        chain: vec![evil("cause")],
        backtrace: Some(evil("backtrace")),
        ..ErrorReport::new(evil(kind), evil(message))
    };
    let mut failed = record(message("q").build().id, (1, 2, 2), TaskState::Failure);
    (failed.task, failed.arguments, failed.worker) =
        (evil("failed-task"), evil("failed-arguments"), evil("failed-worker"));
    (failed.headers, failed.finished_at) = (envelope().headers, now);
    failed.outcome = Outcome::Error(report("kind", "error"));
    let tried = TaskRecord {
        delivery: 1,
        attempt: 1,
        state: TaskState::Retry,
        worker: evil("attempt-worker"),
        outcome: Outcome::Error(report("kind", "attempt-error")),
        ..failed.clone()
    };
    let ended = |outcome: Outcome| {
        let mut ended = record(message("q").build().id, (1, 1, 0), TaskState::Success);
        (ended.outcome, ended.finished_at) = (outcome, now);
        ended
    };
    vec![tried, failed, ended(Outcome::Result(evil("result"))), ended(Outcome::Marker(evil("marker")))]
}

/// Something evil in every place; the pages of the tasks.
async fn filled() -> (Site, Vec<String>) {
    let site = Site::new();
    let now = site.clock.now();
    let build = |priority, delay| {
        message("q").envelope(&envelope()).priority(priority).delay(Duration::from_secs(delay)).build()
    };
    let (dead, leased, waits, later) = (build(9, 0), build(8, 0), build(1, 0), build(1, 60));
    let batch = [dead.clone(), leased.clone(), waits.clone(), later.clone()];
    site.broker.publish(&batch, None).await.unwrap();
    let q = queue("q");
    let tokens = [4, 5].map(|seed| Token::new(&SeededEntropy::new(seed)));
    for (token, expected) in tokens.into_iter().zip([dead.id, leased.id]) {
        let reserve = Reserve {
            queue: &q,
            want: SlotWants::any(1),
            token,
            lease: Duration::from_secs(60),
            suspects: true,
        };
        let reserved = site.broker.reserve(reserve, None).await.unwrap();
        assert_eq!(reserved.deliveries[0].id, expected);
    }
    let note = Note::new(now, evil("note-worker"), evil("note-error"));
    let how = Settle::DeadLetter { reason: DeadReason::Permanent, note };
    site.broker.settle(&q, tokens[0], &[Settlement { id: dead.id, how }], None).await.unwrap();
    for info in [worker(&site, leased.id), beat(&site)] {
        site.broker.heartbeat(&info, Duration::from_secs(600), None).await.unwrap();
    }
    let records = records(&site);
    site.results.record(&records, None).await.unwrap();
    let counts = Counts { succeeded: 3, ..Counts::default() };
    let tally = Tally { at: now, queue: queue("q"), task: evil("counted"), counts };
    site.results.stats().unwrap().add(&[tally]).await.unwrap();
    let action = Action {
        at: now,
        who: evil("who"),
        address: evil("address"),
        what: evil("what"),
        to: evil("target"),
        outcome: evil("outcome"),
    };
    site.results.audit().unwrap().record(&[action]).await.unwrap();
    let every = Schedule::every(Duration::from_secs(60)).unwrap();
    let mut entry = Entry::new(evil("entry").parse().unwrap(), evil("entry-task").parse().unwrap(), every);
    entry.description = evil("description");
    entry.args = json!([EVIL]).to_string();
    site.schedules.put(&entry, Expected::New, None).await.unwrap();
    let tasks = batch.iter().map(|one| one.id).chain(records[1..].iter().map(|one| one.id));
    (site, tasks.map(|id| format!("/task?id={id}")).collect())
}

/// Every page with something evil in each of its fields, too.
fn everywhere(tasks: Vec<String>) -> Vec<String> {
    let mut paths = tasks;
    let fields = [
        "name",
        "id",
        "queue",
        "place",
        "task",
        "state",
        "worker",
        "error",
        "arguments",
        "since",
        "until",
        "after",
        "limit",
        "prefix",
        "enabled",
        "range",
        "who",
        "what",
        "kind",
        "next",
        "token",
        "of",
    ];
    for route in table().iter().filter(|route| route.method == Method::GET && route.surface == Surface::Page)
    {
        let path = route.path.replace("{file}", "none.css");
        paths.push(path.clone());
        paths.extend(fields.map(|field| Url::new("", &path).with(field, EVIL).to_string()));
    }
    for place in ["ready", "delayed", "leased", "dead"] {
        paths.push(format!("/tasks?queue=q&place={place}"));
    }
    paths.extend(["/queue?name=q", "/dead?queue=q"].map(str::to_owned));
    for path in ["/schedule", "/schedule/edit"] {
        paths.push(Url::new("", path).with("name", evil("entry")).to_string());
    }
    paths
}

/// What an open page is sent first; nothing where that is trouble, which the script shows as text.
async fn fragment(site: &Site, browser: &mut Browser, of: &str) -> String {
    let path = Url::new("", "/live").with("of", of).to_string();
    let stream = browser.open(site, Method::GET, &path, None, Body::empty()).await;
    let first = stream.into_body().into_data_stream().next().await.unwrap().unwrap();
    let event = String::from_utf8(first.to_vec()).unwrap();
    if event.starts_with("event: trouble\n") { String::new() } else { event }
}

#[tokio::test(flavor = "current_thread")]
async fn script_in_any_field_of_any_page_is_text() {
    let (site, tasks) = filled().await;
    let mut ann = site.operator().await;
    let mut seen = BTreeSet::new();
    for path in everywhere(tasks) {
        let mut texts = vec![ann.get(&site, &path).await.text];
        if crate::routes::page_at(path.split('?').next().unwrap()).is_some() {
            texts.push(fragment(&site, &mut ann, &path).await);
        }
        for text in texts {
            for bad in ["<script>alert", "<img/src", "\"'>"] {
                assert!(!text.contains(bad), "{path} has {bad}: {text}");
            }
            let is_there = |field: &&str| text.contains(&format!("onerror=alert(2)&gt;{field}"));
            seen.extend(FIELDS.into_iter().filter(is_there));
        }
    }
    let missed: Vec<_> = FIELDS.into_iter().filter(|field| !seen.contains(field)).collect();
    assert_eq!(missed, Vec::<&str>::new(), "these are on no page: nobody knows whether they are text there");

    // What ends in the very moment of its begin is not meant by a job.
    site.clock.advance(Duration::from_secs(1));
    let mut ann = site.operator().await;
    let (failed, dead) = (evil("failed-task"), evil("task"));
    for (path, queue, task) in [("/finished/again", "", &failed), ("/dead/retry", "q", &dead)] {
        // What they are to do, and why the first one fails, is said in evil words.
        let fields = [("all", "yes"), ("queue", queue), ("task", task.as_str())];
        let asked = ann.act(&site, path, &fields).await.text;
        assert!(
            asked.contains("onerror=alert(2)&gt;") && !asked.contains("<script>alert"),
            "{path}: {asked}"
        );
        let job = ann.mean(&site, path, &fields).await;
        assert!(job.location().starts_with("/job?id="), "{path} leads to {}", job.location());
        settled_down().await;
        for page in [job.location(), "/jobs"] {
            let text = ann.get(&site, page).await.text;
            assert!(
                text.contains("onerror=alert(2)&gt;") && !text.contains("<script>alert"),
                "{page}: {text}"
            );
        }
    }
}

/// A browser that is led to an answer of the API shows it as what it is.
#[tokio::test(flavor = "current_thread")]
async fn the_api_answers_json_and_nothing_that_a_browser_runs() {
    let (site, tasks) = filled().await;
    let mut ann = site.operator().await;
    let id = tasks[0].trim_start_matches("/task");
    for route in table().iter().filter(|route| route.surface == Surface::Api && route.method == Method::GET) {
        for query in [id.to_owned(), "?queue=q".into(), Url::new("", "").with("name", EVIL).to_string()] {
            let answer = ann.get(&site, &format!("{}{query}", route.path)).await;
            assert_eq!(answer.headers["content-type"], "application/json", "{route:?}");
            assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{route:?}");
            assert!(serde_json::from_str::<Value>(&answer.text).is_ok(), "{route:?}: {}", answer.text);
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn script_in_what_was_just_said_is_text() {
    let (site, _) = filled().await;
    // What ends in the very moment of its begin is not meant by a job.
    site.clock.advance(Duration::from_secs(1));
    let mut ann = site.operator().await;
    for (path, field) in
        [("/schedules/enable", "name"), ("/queues/pause", "queue"), ("/schedules/save", "name")]
    {
        let answer = ann.act(&site, path, &[(field, EVIL)]).await;
        let page = ann.get(&site, "/").await;
        assert!(!answer.text.contains("<script>alert") && !page.text.contains("<script>alert"), "{path}");
    }
}

/// The names that become part of links and headers have no characters for that.
#[test]
fn names_of_queues_and_users_hold_no_script() {
    assert!(EVIL.parse::<lovage_core::QueueName>().is_err());
    let mut users = crate::Users::new();
    let entropy = SeededEntropy::new(5);
    assert!(users.set_password(EVIL, crate::Role::Viewer, "correct horse", &entropy).is_err());
    assert!(users.add_token(EVIL, crate::Role::Viewer, &entropy).is_err());
}
