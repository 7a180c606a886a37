//! Script in every displayed field stays text.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::schedule::{Entry, Expected, Schedule, ScheduleStore as _};
use lovage_core::{
    Clock as _, DeadReason, Envelope, ErrorReport, Note, Outcome, Payload, Reserve, ResultStore as _,
    ScheduledSlot, Settle, Settlement, TaskState, Token, WorkerId, WorkerInfo,
};
use lovage_testkit::{SeededEntropy, message, queue, record, settled_down};
use serde_json::json;

use super::site::Site;

/// Without white space, so that it may be a task's name.
const EVIL: &str = "\"'><script>alert(1)</script><img/src=x/onerror=alert(2)>";

fn worker(site: &Site) -> WorkerInfo {
    let now = site.clock.now();
    let active = json!({ "id": message("q").build().id, "task": EVIL, "queue": "q", "started_at": now,
        "progress": { "done": 1, "total": 2, "message": EVIL } });
    let info = json!({
        "id": WorkerId::new(&SeededEntropy::new(9)), "name": EVIL, "host": EVIL, "pid": 1, "version": EVIL,
        "started_at": now, "mode": "running", "queues": ["q"], "concurrency": 1, "blocking": 1,
        "tasks": [{ "name": EVIL, "signature": EVIL }], "active": [active],
        "reserved": 0, "succeeded": 0, "failed": 0, "refused": EVIL,
    });
    serde_json::from_value(info).unwrap()
}

fn envelope() -> Envelope {
    let arguments = serde_json::json!([EVIL]).to_string();
    let mut envelope = Envelope::new(EVIL, Payload::Json(arguments));
    envelope.headers = BTreeMap::from([(EVIL.to_owned(), EVIL.to_owned())]);
    envelope.schedule = Some(ScheduledSlot { name: EVIL.into(), slot: lovage_core::Timestamp::default() });
    envelope
}

/// Something evil in every place.
async fn filled() -> (Site, Vec<String>) {
    let site = Site::new();
    let now = site.clock.now();
    let waits = message("q").envelope(&envelope()).build();
    let later = message("q").envelope(&envelope()).delay(Duration::from_secs(60)).build();
    let dead = message("q").envelope(&envelope()).priority(9).build();
    let batch = [waits.clone(), later.clone(), dead.clone()];
    site.broker.publish(&batch, None).await.unwrap();
    let token = Token::new(&SeededEntropy::new(4));
    let q = queue("q");
    let reserve = Reserve { queue: &q, max: 1, token, lease: Duration::from_secs(60), suspects: true };
    let reserved = site.broker.reserve(reserve, None).await.unwrap();
    assert_eq!(reserved.deliveries[0].id, dead.id);
    let how = Settle::DeadLetter { reason: DeadReason::Permanent, note: Note::new(now, EVIL, EVIL) };
    site.broker.settle(&q, token, &[Settlement { id: dead.id, how }], None).await.unwrap();
    site.broker.heartbeat(&worker(&site), Duration::from_secs(600), None).await.unwrap();
    let mut failed = record(message("q").build().id, (1, 1, 1), TaskState::Failure);
    failed.task = EVIL.into();
    failed.arguments = EVIL.into();
    failed.worker = EVIL.into();
    failed.headers = envelope().headers;
    failed.finished_at = now;
    let report = ErrorReport {
        chain: vec![EVIL.into()],
        backtrace: Some(EVIL.into()),
        ..ErrorReport::new(EVIL, EVIL)
    };
    failed.outcome = Outcome::Error(report);
    let mut good = record(message("q").build().id, (1, 1, 0), TaskState::Success);
    good.outcome = Outcome::Result(EVIL.into());
    good.finished_at = now;
    site.results.record(&[failed.clone(), good.clone()], None).await.unwrap();
    let mut entry = Entry::new(
        EVIL.parse().unwrap(),
        EVIL.parse().unwrap(),
        Schedule::every(Duration::from_secs(60)).unwrap(),
    );
    entry.description = EVIL.into();
    entry.args = serde_json::json!([EVIL]).to_string();
    site.schedules.put(&entry, Expected::New, None).await.unwrap();
    let tasks = [waits.id, later.id, dead.id, failed.id, good.id];
    (site, tasks.iter().map(|id| format!("/task?id={id}")).collect())
}

#[tokio::test(flavor = "current_thread")]
async fn script_in_any_field_of_any_page_is_text() {
    let (site, mut paths) = filled().await;
    let evil = crate::pages::Url::new("", "").with("x", EVIL).to_string();
    let evil = evil.trim_start_matches("?x=");
    paths.extend(
        [
            "/",
            "/queues",
            "/queue?name=q",
            "/tasks",
            "/tasks?place=ready",
            "/tasks?place=delayed",
            "/finished",
        ]
        .map(str::to_owned),
    );
    paths.extend(["/workers", "/registered", "/dead", "/schedules", "/schedule/new"].map(str::to_owned));
    for field in ["task", "state", "queue", "worker", "error", "since", "until", "after", "limit"] {
        paths.push(format!("/finished?{field}={evil}"));
    }
    for path in [
        "/schedule?name=",
        "/schedule/edit?name=",
        "/schedules?prefix=",
        "/task?id=",
        "/queue?name=",
        "/dead?queue=",
        "/tasks?place=",
        "/login?next=",
        "/live?of=",
        "/job?id=",
        "/schedule/preview?kind=",
    ] {
        paths.push(format!("{path}{evil}"));
    }
    // What ends in the very moment of its begin is not meant by a job.
    site.clock.advance(Duration::from_secs(1));
    let mut ann = site.operator().await;
    for (path, field) in [("/finished/again", "task"), ("/dead/retry", "queue")] {
        // What they are to do, and why the first one fails, is said in evil words.
        let value = if field == "task" { EVIL } else { "q" };
        let job = ann.act(&site, path, &[("all", "yes"), (field, value), ("task", EVIL)]).await;
        assert!(job.location().starts_with("/job?id="), "{path}");
        paths.push(job.location().to_owned());
    }
    paths.push("/jobs".to_owned());
    settled_down().await;
    let mut seen = 0;
    for path in &paths {
        let answer = ann.get(&site, path).await;
        for bad in ["<script>alert", "<img/src", "\"'>"] {
            assert!(!answer.text.contains(bad), "{path} has {bad}: {}", answer.text);
        }
        seen += usize::from(answer.text.contains("&lt;script&gt;alert(1)"));
    }
    assert!(seen > 15, "the evil text is shown on {seen} of {} pages", paths.len());
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
