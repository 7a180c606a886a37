//! What pages show and what their buttons do.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use lovage_core::Clock as _;
use lovage_core::schedule::{HistoryQuery, ScheduleStore as _};
use lovage_core::{
    DeadReason, Envelope, Note, Page, Payload, Place, Reserve, ResultStore as _, Settle, Settlement,
    SlotWants, TaskId, TaskState, Token,
};
use lovage_testkit::{Operation, message, queue, record, settled_down};
use serde_json::json;

use super::site::Site;
use super::streams;
use crate::routes::Surface;

/// A task of a queue that was given up after its first attempt.
async fn give_up(site: &Site, name: &str) -> TaskId {
    give_up_as(site, name, DeadReason::Permanent).await
}

async fn give_up_as(site: &Site, name: &str, reason: DeadReason) -> TaskId {
    let dead = message("q").envelope(&Envelope::new(name, Payload::Json("[1]".into()))).build();
    site.broker.publish(std::slice::from_ref(&dead), None).await.unwrap();
    let (q, token) = (queue("q"), Token::from_bytes(*dead.id.as_bytes()));
    let reserve =
        Reserve { queue: &q, want: SlotWants::any(1), token, lease: Duration::from_secs(60), suspects: true };
    site.broker.reserve(reserve, None).await.unwrap();
    let note = Note::new(site.clock.now(), "w", "no such account");
    let how = Settle::DeadLetter { reason, note };
    site.broker.settle(&q, token, &[Settlement { id: dead.id, how }], None).await.unwrap();
    dead.id
}

#[tokio::test(flavor = "current_thread")]
async fn pages_are_compressed_for_browsers_that_accept_it() {
    let site = Site::new();
    for n in 0..170 {
        site.broker.publish(&[message(format!("queue-{n}")).build()], None).await.unwrap();
    }
    let mut ann = site.operator().await;
    let plain = ann.get(&site, "/queues").await;
    assert!(!plain.headers.contains_key("content-encoding"));
    let mut ann = ann.with_header("accept-encoding", "gzip, br");
    let response = ann.open(&site, Method::GET, "/queues", None, String::new()).await;
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(bytes.len() * 8 < plain.text.len(), "{} of {}", bytes.len(), plain.text.len());
    let stream = ann.open(&site, Method::GET, "/live?of=/queues", None, String::new()).await;
    assert!(!stream.headers().contains_key("content-encoding"));
}

#[tokio::test(flavor = "current_thread")]
async fn open_overview_of_many_queues_sends_little() {
    let site = Site::new();
    for n in 0..170 {
        site.broker.publish(&[message(format!("queue-{n}")).build()], None).await.unwrap();
    }
    let mut ann = site.operator().await;
    for page in ["/", "/queues"] {
        let mut stream = streams::open(&site, &mut ann, page).await;
        let whole = streams::next(&site, &mut stream).await.unwrap().len();
        let mut sent = 0;
        for n in 0..6 {
            site.broker.publish(&[message(format!("queue-{n}")).build()], None).await.unwrap();
            sent += streams::next(&site, &mut stream).await.unwrap().len();
        }
        assert!(sent < 60_000, "{page}: {sent} bytes in 12 s, the page has {whole}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn overview_hides_no_kind_of_finding_behind_others() {
    let site = Site::new();
    give_up(&site, "test.task").await;
    site.add_entry("hourly", "0 * * * *").await;
    for n in 0..150 {
        site.broker.publish(&[message(format!("queue-{n}")).build()], None).await.unwrap();
    }
    let mut ann = site.operator().await;
    let page = ann.get(&site, "/").await;
    for part in [
        "No live worker reads 150 queues in which tasks wait.",
        "The first 10",
        "And 140 more.",
        "No beat is alive: no schedule fires.",
        "1 dead letter in `q`: these tasks were given up.",
    ] {
        assert!(page.says(part), "{part}: {}", page.text);
    }
    let overview = ann.get(&site, "/api/v1/overview").await;
    let overview: serde_json::Value = serde_json::from_str(&overview.text).unwrap();
    let kinds: Vec<_> = overview["attention"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (&group["kind"], &group["count"]))
        .collect();
    assert_eq!(json!(kinds), json!([["queue_unread", 150], ["beat", 1], ["dead_letters", 1]]));
}

#[tokio::test(flavor = "current_thread")]
async fn finished_tasks_are_shown_while_the_broker_is_frozen() {
    let site = Site::new();
    let mut ended = record(TaskId::from_bytes([7; 16]), (1, 1, 1), TaskState::Success);
    ended.finished_at = site.clock.now();
    site.results.record(&[ended], None).await.unwrap();
    let mut ann = site.operator().await;
    site.faults.hold(Operation::Inspect);
    let start = site.clock.monotonic();
    for _ in 0..3 {
        let page = {
            let asking = ann.get(&site, "/finished");
            tokio::pin!(asking);
            loop {
                tokio::select! {
                    biased;
                    page = &mut asking => break page,
                    () = settled_down() => site.clock.advance(Duration::from_millis(100)),
                }
            }
        };
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text.contains("/task?id="), "{}", page.text);
    }
    let waited = site.clock.monotonic() - start;
    assert!(
        waited <= Duration::from_secs(2),
        "one page waits for the broker, the next ones do not: {waited:?}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn page_of_an_outage_is_loaded_again() {
    let site = Site::new();
    let mut ann = site.operator().await;
    site.faults.go_down();
    let page = ann.get(&site, "/queues").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text.contains(r#"<meta http-equiv="refresh" content="5">"#), "{}", page.text);
    let csrf = {
        site.faults.come_back();
        let csrf = ann.get(&site, "/queues").await.field("csrf");
        site.faults.go_down();
        csrf
    };
    let refused = ann.post(&site, "/queues/pause", &[("csrf", &csrf), ("queue", "q")]).await;
    assert!(!refused.text.contains("http-equiv"), "no form is sent again: {}", refused.text);
}

#[tokio::test(flavor = "current_thread")]
async fn filters_show_what_they_filter_by() {
    let site = Site::new();
    let mut ann = site.operator().await;
    for (path, option) in [
        ("/finished?state=FAILURE", r#"<option value="failure" selected>"#),
        ("/schedules?enabled=true", r#"<option value="true" selected>"#),
        ("/audit?what=queues%2Fother", r#"<option value="queues/other" selected>"#),
    ] {
        let page = ann.get(&site, path).await;
        assert!(page.text.contains(option), "{path}: {}", page.text);
    }
}

/// A finished task that failed, and is a dead letter.
async fn failed_dead_letter(site: &Site) -> TaskId {
    let id = give_up(site, "test.task").await;
    let mut row = record(id, (1, 1, 1), TaskState::Failure);
    (row.task, row.queue, row.arguments) = ("test.task".to_owned(), queue("q"), "[1]".to_owned());
    row.finished_at = site.clock.now();
    site.results.record(&[row], None).await.unwrap();
    id
}

#[tokio::test(flavor = "current_thread")]
async fn dead_letters_are_retried_as_themselves_by_every_path() {
    for path in ["selected", "all", "form", "api"] {
        let site = Site::new();
        let id = failed_dead_letter(&site).await;
        let mut ann = site.operator().await;
        let text = id.to_string();
        match path {
            "selected" => drop(ann.act(&site, "/finished/again", &[("ids", &*text)]).await),
            "all" => {
                site.clock.advance(Duration::from_secs(1));
                let answer =
                    ann.mean(&site, "/finished/again", &[("all", "yes"), ("state", "failure")]).await;
                assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
                settled_down().await;
            }
            "form" => {
                let answer = ann.act(&site, "/tasks/again", &[("id", &*text)]).await;
                assert_eq!(answer.location(), format!("/task?id={id}"), "{}", answer.text);
            }
            _ => {
                let csrf = ann.get(&site, "/queues").await.field("csrf");
                let mut ann = ann.clone().with_header("x-csrf-token", &csrf);
                let answer = ann.json(&site, "/api/v1/tasks/again", &json!({ "id": text })).await;
                assert!(answer.says("runs again as itself"), "{}", answer.text);
            }
        }
        let depth = site.broker.depth(&queue("q"), None).await.unwrap();
        assert_eq!((depth.ready, depth.dead), (1, 0), "{path}");
        let found = site.broker.find(id, None).await.unwrap().unwrap();
        assert_eq!((found.place, found.run), (Place::Ready, 2), "{path}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn changed_dead_letter_runs_under_a_new_id() {
    let site = Site::new();
    let id = failed_dead_letter(&site).await;
    let mut ann = site.operator().await;
    let answer = ann
        .act(&site, "/tasks/again", &[("id", &id.to_string()), ("args", "[2]"), ("write_as", "json")])
        .await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_ne!(answer.location(), format!("/task?id={id}"));
    let depth = site.broker.depth(&queue("q"), None).await.unwrap();
    assert_eq!((depth.ready, depth.dead), (1, 1));
    assert!(ann.get(&site, "/queues").await.says("Its dead letter stays"));
}

#[tokio::test(flavor = "current_thread")]
async fn every_empty_page_says_why_it_is_empty() {
    let site = Site::new();
    let mut ann = site.operator().await;
    for (path, part) in [
        ("/", "All is well."),
        ("/queues", "There is no queue yet"),
        ("/tasks", "There is no queue yet"),
        ("/finished", "No task has ended yet"),
        ("/finished?task=none", "No task that ended matches"),
        ("/workers", "No worker is alive"),
        ("/registered", "No worker is alive"),
        ("/dead", "nothing was given up"),
        ("/jobs", "Nobody has begun a job"),
        ("/schedules", "There is no schedule yet"),
        ("/schedules?prefix=x", "No schedule matches"),
    ] {
        let answer = ann.get(&site, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert!(answer.says(part), "{path}: {}", answer.text);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_queue_is_paused_resumed_and_emptied_once_that_is_meant() {
    let site = Site::new();
    let mut ann = site.operator().await;
    site.broker.publish(&[message("sums").build(), message("sums").build()], None).await.unwrap();
    assert!(ann.get(&site, "/").await.says("No live worker reads `sums`: 2 tasks wait."));
    let list = ann.get(&site, "/queues").await;
    assert!(list.says("<span class=\"badge bad\">nobody reads it</span>") && !list.says(">open<"));
    let told = ann.get(&site, "/api/v1/queues").await;
    assert!(told.says(r#""state":"unread""#), "{}", told.text);
    let answer = ann.act(&site, "/queues/pause", &[("queue", "sums"), ("back", "/queue?name=sums")]).await;
    assert_eq!(answer.location(), "/queue?name=sums");
    let page = ann.get(&site, "/queue?name=sums").await;
    assert!(page.says("its tasks wait until it is resumed") && page.says("/queues/resume"));
    assert!(site.broker.depth(&queue("sums"), None).await.unwrap().paused);
    ann.act(&site, "/queues/resume", &[("queue", "sums")]).await;
    assert!(!site.broker.depth(&queue("sums"), None).await.unwrap().paused);
    ann.act(&site, "/queues/limit", &[("queue", "sums"), ("rate", "10/s burst 5")]).await;
    assert!(ann.get(&site, "/queue?name=sums").await.says("10/s burst 5"));
    ann.act(&site, "/queues/limit", &[("queue", "sums"), ("rate", "10/d")]).await;
    assert!(ann.get(&site, "/queue?name=sums").await.says("expected a rate such as 10/s"));
    let limit = async || site.broker.depth(&queue("sums"), None).await.unwrap().limit;
    assert_eq!(limit().await.map(|limit| limit.to_string()).as_deref(), Some("10/s burst 5"));
    ann.act(&site, "/queues/limit", &[("queue", "sums"), ("rate", "")]).await;
    assert_eq!(limit().await, None);
    ann.act(&site, "/queues/purge", &[("queue", "sums"), ("place", "ready"), ("confirm", "sum")]).await;
    assert!(ann.get(&site, "/").await.says("type the name of the queue"));
    assert_eq!(site.broker.depth(&queue("sums"), None).await.unwrap().ready, 2);
    ann.mean(&site, "/queues/purge", &[("queue", "sums"), ("place", "ready")]).await;
    settled_down().await;
    assert!(ann.get(&site, "/jobs").await.says("the ready tasks in `sums`"));
    assert_eq!(site.broker.depth(&queue("sums"), None).await.unwrap().ready, 0);
    let nowhere = ann.get(&site, "/queue?name=none").await;
    assert_eq!(nowhere.status, StatusCode::NOT_FOUND);
    assert_eq!(site.broker.queues().await.unwrap().len(), 1, "asking for a queue does not make it");
    let done: Vec<String> = site.actions().await.into_iter().map(|action| action.what).collect();
    assert_eq!(
        done,
        [
            "queues/pause",
            "queues/resume",
            "queues/limit",
            "queues/limit",
            "queues/limit",
            "queues/purge",
            "queues/purge",
            "queues/purge"
        ]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_task_is_found_explained_hastened_and_cancelled() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let later = message("q").delay(Duration::from_secs(600)).build();
    site.broker.publish(std::slice::from_ref(&later), None).await.unwrap();
    let path = format!("/task?id={}", later.id);
    let page = ann.get(&site, &path).await;
    assert!(page.says("is SCHEDULED in the queue `q`") && page.says("Run now"), "{}", page.text);
    let id = later.id.to_string();
    ann.act(&site, "/tasks/promote", &[("id", &id)]).await;
    let found = site.broker.find(later.id, None).await.unwrap().unwrap();
    assert_eq!(found.place, Place::Ready);
    assert!(ann.get(&site, &path).await.says("no worker is alive"));
    ann.act(&site, "/tasks/cancel", &[("id", &id)]).await;
    assert!(ann.get(&site, &path).await.says("is cancelled and will not run"));
    let unknown = ann.get(&site, "/task?id=0193a5c2-7b1e-7cc0-8000-0123456789ab").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert!(unknown.says("is not known"), "{}", unknown.text);
}

#[tokio::test(flavor = "current_thread")]
async fn a_failed_task_is_found_by_its_error_and_run_again_with_other_arguments() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let mut failed = record(TaskId::from_bytes([7; 16]), (1, 1, 1), TaskState::Failure);
    failed.finished_at = site.clock.now();
    failed.outcome = lovage_core::Outcome::Error(lovage_core::ErrorReport::new("io", "disk on fire"));
    let mut old = record(TaskId::from_bytes([8; 16]), (1, 1, 1), TaskState::Failure);
    old.outcome = failed.outcome.clone();
    old.finished_at = site.clock.now().minus(Duration::from_secs(2 * 86_400));
    site.results.record(&[failed.clone(), old.clone()], None).await.unwrap();
    let found = ann.get(&site, "/finished?error=ON+fire&since=1d").await;
    assert!(found.says(&failed.id.to_string()) && !found.says(&old.id.to_string()));
    let all = ann.get(&site, "/finished?error=on+fire&arguments=[1,+3]").await;
    assert!(all.says(&old.id.to_string()));
    assert!(ann.get(&site, "/finished?arguments=[1,4]").await.says("No task that ended matches"));
    let id = failed.id.to_string();
    let answer =
        ann.act(&site, "/tasks/again", &[("id", &id), ("args", "[5,7]"), ("queue", "retries")]).await;
    let new: TaskId = answer.location().strip_prefix("/task?id=").unwrap().parse().unwrap();
    let sent = site.broker.find(new, None).await.unwrap().unwrap();
    assert_eq!(sent.queue, queue("retries"));
    let envelope = Envelope::decode(&sent.body).unwrap();
    assert_eq!((envelope.task.as_str(), envelope.payload), ("test.task", Payload::Json("[5,7]".into())));
}

#[tokio::test(flavor = "current_thread")]
async fn finished_tasks_are_run_again_and_deleted_together() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let mut records: Vec<_> =
        (1..=3).map(|byte| record(TaskId::from_bytes([byte; 16]), (1, 1, 1), TaskState::Failure)).collect();
    records[2].arguments = r#"["[redacted]"]"#.into();
    records.iter_mut().for_each(|record| record.finished_at = site.clock.now());
    site.results.record(&records, None).await.unwrap();
    let ids: Vec<String> = records.iter().map(|record| record.id.to_string()).collect();
    let fields: Vec<(&str, &str)> = ids.iter().map(|id| ("ids", id.as_str())).collect();
    ann.act(&site, "/finished/again", &fields).await;
    let page = ann.get(&site, "/").await;
    assert!(page.says("2 of 3 tasks run again. 1 cannot: 03030303") && page.says("write it again"));
    assert_eq!(site.broker.depth(&queue("default"), None).await.unwrap().ready, 2);
    ann.mean(&site, "/finished/delete", &fields[..2]).await;
    assert!(ann.get(&site, "/").await.says("The results of 2 of 2 tasks were deleted."));
    let left = ann.get(&site, "/finished").await;
    assert!(left.says(&ids[2]) && !left.says(&ids[0]));
    assert!(ann.get(&site, "/finished").await.says("Run selected again"));
}

#[tokio::test(flavor = "current_thread")]
async fn dead_letters_are_retried_and_deleted_by_group_or_one_by_one() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let (mail, first, second) =
        (give_up(&site, "mail").await, give_up(&site, "pay").await, give_up(&site, "pay").await);
    let page = ann.get(&site, "/dead").await;
    assert!(page.says("no such account") && page.says(&first.to_string()), "{}", page.text);
    assert!(ann.get(&site, "/").await.says("3 dead letters in `q`"));
    ann.act(&site, "/dead/retry", &[("queue", "q")]).await;
    assert!(ann.get(&site, "/").await.says("nothing was selected"));
    let fields = [("queue", "q"), ("all", "yes"), ("task", "pay"), ("reason", "permanent")];
    ann.mean(&site, "/dead/retry", &fields).await;
    settled_down().await;
    for (id, place) in [(first, Place::Ready), (second, Place::Ready), (mail, Place::Dead)] {
        assert_eq!(site.broker.find(id, None).await.unwrap().unwrap().place, place);
    }
    let deleted = ann.mean(&site, "/dead/delete", &[("queue", "q"), ("ids", &mail.to_string())]).await;
    assert_eq!(deleted.status, StatusCode::SEE_OTHER);
    assert_eq!(site.broker.depth(&queue("q"), None).await.unwrap().dead, 0);
    assert!(ann.get(&site, "/dead?queue=q").await.says("has no dead letters"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_dead_letter_says_how_often_it_failed_and_whether_it_ran_at_all() {
    let site = Site::new();
    let mut ann = site.operator().await;
    for (reason, cell, step) in [
        (DeadReason::Permanent, "1", "Attempt 1"),
        (DeadReason::Undeliverable, "none: it never ran", "Ended without a run"),
        (DeadReason::Unreadable, "none: it never ran", "Ended without a run"),
        (DeadReason::Poisoned, "none of 1 hand-out ended", "Ended without a run"),
    ] {
        let id = give_up_as(&site, "mail", reason).await;
        let list = ann.get(&site, "/dead").await;
        let cell = format!(r#"data-label="Failed attempts"><div>{cell}</div>"#);
        assert!(list.text.contains(&cell), "{cell}: {}", list.text);
        let page = ann.get(&site, &format!("/task?id={id}")).await;
        assert!(page.text.contains(&format!("<strong>{step}</strong>")), "{step}: {}", page.text);
        ann.act(&site, "/dead/delete", &[("queue", "q"), ("ids", &id.to_string())]).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_task_that_failed_without_a_run_shows_no_attempt() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let ended = record(TaskId::from_bytes([7; 16]), (1, 1, 1), TaskState::Failure);
    let ended = lovage_core::TaskRecord { started_at: None, run_time: None, ..ended };
    site.results.record(std::slice::from_ref(&ended), None).await.unwrap();
    let page = ann.get(&site, &format!("/task?id={}", ended.id)).await;
    assert!(page.says("Ended without a run") && !page.says("Attempt 1"), "{}", page.text);
}

#[tokio::test(flavor = "current_thread")]
async fn a_schedule_is_made_edited_switched_run_and_deleted() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let form =
        [("form", "yes"), ("name", "nightly"), ("task", "clean"), ("kind", "crontab"), ("enabled", "on")];
    let with = |expression| [&form[..], &[("expression", expression), ("zone", "Europe/Berlin")]].concat();
    let wrong = ann.act(&site, "/schedules/save", &with("99 3 * * *")).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(wrong.says("minute") && wrong.says("value=\"99 3 * * *\""), "{}", wrong.text);
    let saved = ann.act(&site, "/schedules/save", &with("0 3 * * *")).await;
    assert_eq!(saved.location(), "/schedule?name=nightly");
    let page = ann.get(&site, "/schedule?name=nightly").await;
    assert!(page.says("every day at 03:00, Europe/Berlin") && page.text.matches("<li><time").count() == 20);
    let edit = ann.get(&site, "/schedule/edit?name=nightly").await;
    assert!(edit.says("value=\"0 3 * * *\"") && edit.says("value=\"Europe/Berlin\""));
    let revision = edit.field("revision");
    let taken = ann.act(&site, "/schedules/save", &with("0 4 * * *")).await;
    assert!(taken.says("choose another name"));
    let edited = [&with("0 4 * * *")[..], &[("revision", revision.as_str())]].concat();
    assert_eq!(ann.act(&site, "/schedules/save", &edited).await.status, StatusCode::SEE_OTHER);
    let stale = ann.act(&site, "/schedules/save", &edited).await;
    assert!(stale.says("somebody else changed"), "{}", stale.text);
    let ran =
        ann.act(&site, "/schedules/run", &[("name", "nightly"), ("back", "/schedule?name=nightly")]).await;
    let page = ann.get(&site, ran.location()).await;
    assert!(page.says("run by hand"), "{}", page.text);
    assert_eq!(site.broker.depth(&queue("default"), None).await.unwrap().ready, 1);
    let history = site.schedules.history(&HistoryQuery::of("nightly"), Page::first(5)).await.unwrap();
    assert_eq!(history.items.len(), 1);
    ann.act(&site, "/schedules/disable", &[("name", "nightly")]).await;
    assert!(ann.get(&site, "/schedule?name=nightly").await.says("It is disabled, so it does not run."));
    ann.mean(&site, "/schedules/delete", &[("name", "nightly")]).await;
    assert_eq!(ann.get(&site, "/schedule?name=nightly").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "current_thread")]
async fn workers_that_disagree_on_a_task_are_told() {
    let site = Site::new();
    let mut ann = site.operator().await;
    for (seed, signature) in [(1, "(x: i64) -> i64"), (2, "(x: String) -> i64")] {
        let worker = json!({
            "id": lovage_core::WorkerId::new(&lovage_testkit::SeededEntropy::new(seed)), "name": format!("w{seed}"),
            "host": "h", "pid": 1, "version": "0", "started_at": site.clock.now(), "mode": "running", "queues": ["q"],
            "concurrency": 1, "blocking": 1, "tasks": [{ "name": "sum", "signature": signature }], "active": [],
            "reserved": 0, "succeeded": 0, "failed": 0,
        });
        let worker = serde_json::from_value(worker).unwrap();
        site.broker.heartbeat(&worker, Duration::from_secs(600), None).await.unwrap();
    }
    let page = ann.get(&site, "/registered").await;
    assert!(page.says("(x: String) -&gt; i64") && page.says("the workers disagree") && page.says("w1, w2"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_beat_that_stopped_is_said_and_a_beat_is_no_worker() {
    let site = Site::new();
    let mut ann = site.operator().await;
    assert!(ann.get(&site, "/").await.says("All is well."));
    site.add_entry("yearly", "0 0 31 12 *").await;
    assert!(ann.get(&site, "/").await.says("No beat is alive: no schedule fires."), "long before it is due");
    site.add_entry("tick", "* * * * *").await;
    site.clock.advance(Duration::from_secs(90));
    assert!(ann.get(&site, "/").await.says("No beat is alive: `tick` is overdue, since 30s."));
    let beat = json!({
        "id": lovage_core::WorkerId::new(&lovage_testkit::SeededEntropy::new(9)), "name": "beat@h", "host": "h", "pid": 1,
        "version": "0", "started_at": site.clock.now(), "mode": "running", "queues": [], "concurrency": 0,
        "blocking": 0, "tasks": [], "active": [], "reserved": 0, "succeeded": 0, "failed": 0,
        "schedule": "sqlite://lovage.db",
    });
    let beat = serde_json::from_value(beat).unwrap();
    site.broker.heartbeat(&beat, Duration::from_secs(600), None).await.unwrap();
    let page = ann.get(&site, "/").await;
    assert!(page.says("The beat does not fire: `tick` is overdue") && page.says("No worker is alive"));
    let page = ann.get(&site, "/workers").await;
    assert!(page.says("No worker is alive") && page.says("sqlite://lovage.db"), "{}", page.text);
    site.clock.advance(Duration::from_secs(45));
    assert!(ann.get(&site, "/").await.says("The beat `beat@h` has not been heard from for 45s"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_preview_says_when_it_fires_and_what_summer_time_does() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let fields = [("kind", "crontab"), ("expression", "30 2 29 3 *"), ("zone", "Europe/Berlin")];
    let fragment = ann.act(&site, "/schedule/preview", &fields).await;
    assert!(fragment.says("02:30 does not exist on 2026-03-29, fires at 03:00"), "{}", fragment.text);
    let wrong = ann.act(&site, "/schedule/preview", &[("kind", "interval"), ("every", "1ms")]).await;
    assert!(wrong.says("every `1ms` is not valid"), "{}", wrong.text);
}

#[tokio::test(flavor = "current_thread")]
async fn the_api_takes_an_entry_as_json() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let csrf = ann.get(&site, "/").await.field("csrf");
    let mut ann = ann.with_header("x-csrf-token", &csrf);
    let entry = json!({
        "name": "hourly", "task": "sum", "args": ["a", "b"],
        "schedule": { "kind": "interval", "every": "1h" }, "priority": 3
    });
    let put = ann.json(&site, "/api/v1/schedules/put", &entry).await;
    assert_eq!(put.status, StatusCode::OK, "{}", put.text);
    let seen = ann.get(&site, "/api/v1/schedule?name=hourly").await;
    let seen: serde_json::Value = serde_json::from_str(&seen.text).unwrap();
    assert_eq!(seen["entry"]["args"], json!(["a", "b"]));
    assert_eq!((seen["enabled"].clone(), seen["runs"].as_array().unwrap().len()), (json!(true), 20));
    let wrong = ann.json(&site, "/api/v1/schedules/put", &json!({ "name": "x" })).await;
    assert_eq!(wrong.text, r#"{"error":{"sentence":"`task` is missing","status":400}}"#);
}

#[tokio::test(flavor = "current_thread")]
async fn every_page_has_landmarks_labels_and_heads() {
    let site = Site::new();
    let mut ann = site.operator().await;
    give_up(&site, "mail").await;
    site.add_entry("nightly", "0 3 * * *").await;
    let pages = crate::routes::table().iter().filter(|route| {
        route.surface == Surface::Page && matches!(route.handler, crate::routes::Handler::Page(_))
    });
    for route in pages {
        let page = ann.get(&site, &format!("{}?name=nightly&queue=q", route.path)).await;
        if page.status != StatusCode::OK {
            continue;
        }
        let text = &page.text;
        for landmark in [
            "<main id=\"content\"",
            "<nav class=\"main\" aria-label",
            "class=\"skip\"",
            "<h1>",
            "lang=\"en\"",
        ] {
            assert!(text.contains(landmark), "{} lacks {landmark}", route.path);
        }
        assert_eq!(text.matches("<h1>").count(), 1, "{}", route.path);
        assert_eq!(text.matches("<table").count(), text.matches("<caption>").count(), "{}", route.path);
        let ids: Vec<&str> = text.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
        assert_eq!(ids.len(), unique.len(), "{} has an id twice: {ids:?}", route.path);
        for field in ["<input id=\"", "<select id=\"", "<textarea id=\""] {
            for id in text.split(field).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(text.contains(&format!("for=\"{id}\"")), "{} has no label for {id}", route.path);
            }
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_broken_entry_is_found_and_kept_in_sight_in_a_schedule_of_any_size() {
    let site = Site::new();
    let mut ann = site.operator().await;
    for n in 0..450 {
        site.add_entry(&format!("e{n:03}"), "0 0 31 12 *").await;
    }
    let reads = |tasks: serde_json::Value| {
        let info = json!({
            "id": lovage_core::WorkerId::new(&lovage_testkit::SeededEntropy::new(9)), "name": "w", "host": "h", "pid": 1,
            "version": "1", "started_at": site.clock.now(), "mode": "running", "queues": ["default"], "concurrency": 4,
            "blocking": 1, "tasks": tasks, "active": [], "reserved": 0, "succeeded": 0, "failed": 0,
        });
        serde_json::from_value::<lovage_core::WorkerInfo>(info).unwrap()
    };
    let known = reads(json!([{ "name": "test.task", "signature": "() -> ()" }]));
    site.broker.heartbeat(&known, Duration::from_secs(600), None).await.unwrap();
    let mut lost = site.schedules.get(&["e420"]).await.unwrap().pop().flatten().unwrap().unwrap();
    lost.entry.task = "lost".parse().unwrap();
    let expected = lovage_core::schedule::Expected::Revision(lost.revision);
    site.schedules.put(&lost.entry, expected, None).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..7 {
        told.push(ann.get(&site, "/").await.says("The schedule `e420` sends `lost` to `default`"));
    }
    assert_eq!(told, [false, false, true, true, true, true, true], "in parts, and then each time");
    site.schedules.delete(&["e420"]).await.unwrap();
    assert!(!ann.get(&site, "/").await.says("`e420`"));
}
