//! Actions over all that match: how far they are, what they leave alone, and how they end.

use std::time::Duration;

use axum::http::StatusCode;
use lovage_core::{
    BackendErrorKind, Clock as _, Control as _, DeadReason, Envelope, Message, Note, Page, Payload, Place,
    RedactedArg, Reserve, ResultFilter, ResultStore as _, Settle, Settlement, SlotWants, TaskId, TaskRecord,
    TaskState, Token,
};
use lovage_testkit::{Fault, Operation, SeededEntropy, message, queue, record, settled_down};
use serde_json::{Value, json};

use super::site::{Answer, Browser, PASSWORD, Site};
use super::streams;
use crate::{Access, Role, UserFile, Users};

fn row(site: &Site, number: u16) -> TaskRecord {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    let mut row = record(TaskId::from_bytes(bytes), (1, 1, 1), TaskState::Failure);
    row.finished_at = site.clock.now().minus(Duration::from_secs(u64::from(number) + 1));
    row
}

/// As many failed tasks.
async fn fail(site: &Site, count: u16) {
    let rows: Vec<TaskRecord> = (0..count).map(|number| row(site, number)).collect();
    site.results.record(&rows, None).await.unwrap();
}

/// As many dead letters of the queue `q`, the newest first.
async fn bury(site: &Site, count: usize) -> Vec<TaskId> {
    let letter = || message("q").envelope(&Envelope::new("pay", Payload::Json("[1]".into()))).build();
    let batch: Vec<Message> = (0..count).map(|_| letter()).collect();
    site.broker.publish(&batch, None).await.unwrap();
    let (q, mut seed) = (queue("q"), 0);
    loop {
        let token = Token::new(&SeededEntropy::new(seed));
        let reserve = Reserve {
            queue: &q,
            want: SlotWants::any(256),
            token,
            lease: Duration::from_secs(60),
            suspects: true,
        };
        let taken = site.broker.reserve(reserve, None).await.unwrap().deliveries;
        if taken.is_empty() {
            break;
        }
        let note = Note::new(site.clock.now(), "w", "no such account");
        let how = Settle::DeadLetter { reason: DeadReason::Permanent, note };
        let ends: Vec<Settlement> =
            taken.iter().map(|taken| Settlement { id: taken.id, how: how.clone() }).collect();
        site.broker.settle(&q, token, &ends, None).await.unwrap();
        seed += 1;
    }
    batch.iter().map(|message| message.id).rev().collect()
}

async fn ready(site: &Site, name: &str) -> u64 {
    site.broker.depth(&queue(name), None).await.unwrap().ready
}

async fn dead(site: &Site) -> u64 {
    site.broker.depth(&queue("q"), None).await.unwrap().dead
}

async fn rows_left(site: &Site) -> Vec<TaskId> {
    let found = site.results.list(&ResultFilter::default(), Page::first(1_000)).await.unwrap();
    found.items.iter().map(|row| row.id).collect()
}

/// Begins a job; answers its page.
async fn begin(site: &Site, browser: &mut Browser, path: &str, fields: &[(&str, &str)]) -> String {
    let answer = browser.mean(site, path, fields).await;
    assert!(answer.location().starts_with("/job?id="), "{path} leads to {}", answer.location());
    answer.location().to_owned()
}

/// The page of a job after everything that can go on without time has gone on.
async fn look(site: &Site, browser: &mut Browser, job: &str) -> Answer {
    for _ in 0..20 {
        settled_down().await;
    }
    browser.get(site, job).await
}

/// The audit's sentences of one action.
async fn audited(site: &Site, what: &str) -> Vec<String> {
    let kept = site.audit().await.into_iter().filter(|action| action.what == what);
    kept.map(|action| format!("{}: {}", action.who, action.outcome)).collect()
}

#[tokio::test(flavor = "current_thread")]
async fn all_that_match_run_again_part_by_part_and_a_page_tells_how_far_it_is() {
    let site = Site::new();
    let mut ann = site.operator().await;
    fail(&site, 450).await;
    let mut good = record(TaskId::from_bytes([9; 16]), (1, 1, 0), TaskState::Success);
    good.finished_at = site.clock.now().minus(Duration::from_secs(5));
    site.results.record(&[good], None).await.unwrap();
    let page = ann.get(&site, "/finished?state=failure").await;
    assert!(page.says("all finished tasks in the state FAILURE") && page.says("Run all that match again"));

    site.faults.hold(Operation::Publish);
    let job = begin(&site, &mut ann, "/finished/again", &[("all", "yes"), ("state", "failure")]).await;
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("0 tasks were sent again so far.") && page.says("running"));
    // What ends now is not meant, or it would never end.
    site.clock.advance(Duration::from_secs(1));
    let mut late = row(&site, 900);
    late.finished_at = site.clock.now();
    site.results.record(&[late], None).await.unwrap();
    // It stands still before its second part.
    site.faults.hold(Operation::Inspect);
    let asked = site.faults.calls(Operation::Inspect);
    site.faults.release(Operation::Publish);
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("200 tasks were sent again so far."), "{}", page.text);
    assert!(page.says("<progress") && page.says("from the newest backwards") && page.says("Stop"));
    assert!(ann.get(&site, "/jobs").await.says(&job) && ann.get(&site, "/jobs").await.says("running"));

    let path = job.replace('?', "%3F");
    let mut open = streams::open(&site, &mut ann, &path).await;
    assert!(streams::next(&site, &mut open).await.unwrap().contains("200 tasks were sent again"));
    site.faults.release(Operation::Inspect);
    settled_down().await;
    let event = streams::next(&site, &mut open).await.unwrap();
    assert!(event.contains("450 tasks were sent again.") && event.contains("finished"));
    assert_eq!(ready(&site, "default").await, 450);
    assert_eq!(site.faults.calls(Operation::Publish), 3, "a part is sent at once");
    assert!(site.faults.calls(Operation::Inspect) - asked <= 3, "a part is looked up at once");
    let said = audited(&site, "finished/again").await;
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("began: run finished tasks again, all finished tasks in the state FAILURE"));
    assert!(said[1].contains("ended: 450 tasks were sent again"), "{said:?}");
    let audit = ann.get(&site, "/audit").await;
    assert_eq!(audit.text.matches(&format!("href=\"{job}\">Its job")).count(), 2, "{}", audit.text);
    assert!(audit.says("<a href=\"/jobs\">Jobs</a>"), "{}", audit.text);
}

#[tokio::test(flavor = "current_thread")]
async fn what_cannot_be_sent_again_is_counted_with_its_reason_and_the_rest_goes_on() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let mut secret = Envelope::new("pay", Payload::Json(r#"["4111222233334444"]"#.into()));
    secret.redacted = vec![RedactedArg { index: 0, name: "card".into() }];
    let kept = message("q").envelope(&secret).build();
    site.broker.publish(std::slice::from_ref(&kept), None).await.unwrap();
    let mut rows: Vec<TaskRecord> = (0..6).map(|number| row(&site, number)).collect();
    rows[0].arguments = r#"["[redacted]"]"#.into();
    rows[1].arguments = rows[0].arguments.clone();
    rows[2].arguments = "\"[postcard, 7 bytes]\"".into();
    rows[3].task = "two words".into();
    (rows[4].id, rows[4].queue, rows[4].arguments) = (kept.id, queue("q"), rows[0].arguments.clone());
    let first = rows[0].id.to_string();
    site.results.record(&rows, None).await.unwrap();
    let job = begin(&site, &mut ann, "/finished/again", &[("all", "yes")]).await;
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("2 tasks were sent again. 4 could not be: an argument is `[redacted]`"));
    for why in ["write it again", "not a JSON list", "task name `two words` is not valid", &first] {
        assert!(page.says(why), "{why}: {}", page.text);
    }
    let sent = site.broker.peek(&queue("q"), Place::Ready, Page::first(9)).await.unwrap();
    let bodies: Vec<Envelope> = sent.items.iter().map(|sent| Envelope::decode(&sent.body).unwrap()).collect();
    assert_eq!(bodies.len(), 2, "from what the broker still had");
    assert_eq!((&bodies[0].payload, &bodies[0].redacted), (&bodies[1].payload, &bodies[1].redacted));
    assert!(!page.says("4111"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_job_that_is_stopped_does_its_part_and_no_more() {
    let site = Site::new();
    let mut ann = site.operator().await;
    fail(&site, 450).await;
    site.faults.hold(Operation::Publish);
    let job = begin(&site, &mut ann, "/finished/again", &[("all", "yes")]).await;
    let id = job.trim_start_matches("/job?id=").to_owned();
    look(&site, &mut ann, &job).await;
    ann.act(&site, "/job/stop", &[("id", &id)]).await;
    assert!(look(&site, &mut ann, &job).await.says("stopping"));
    site.faults.release(Operation::Publish);
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("200 tasks were sent again by then."), "{}", page.text);
    assert!(page.says("Stopped by") && !page.says("action=\"/job/stop\""));
    assert_eq!(ready(&site, "default").await, 200);
    ann.act(&site, "/job/stop", &[("id", &id)]).await;
    assert!(ann.get(&site, "/").await.says("has ended already"));
    let gone = ann.get(&site, "/job?id=0123").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert!(gone.says("jobs end with the dashboard that began them"), "{}", gone.text);
}

#[tokio::test(flavor = "current_thread")]
async fn a_broker_that_fails_for_a_while_is_asked_again_and_nothing_is_sent_twice() {
    let site = Site::new();
    let mut ann = site.operator().await;
    fail(&site, 250).await;
    site.faults.fail_next(Operation::Publish, Fault::Error(BackendErrorKind::Unavailable));
    site.faults.fail_next(Operation::Publish, Fault::LostAnswer);
    let job = begin(&site, &mut ann, "/finished/again", &[("all", "yes")]).await;
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("It waits and tries again: a fault that the test asked for"), "{}", page.text);
    site.clock.advance(Duration::from_secs(1));
    assert!(look(&site, &mut ann, &job).await.says("an answer that the test lost"));
    site.clock.advance(Duration::from_secs(2));
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("250 tasks were sent again.") && !page.says("tries again"));
    assert_eq!(ready(&site, "default").await, 250);
}

#[tokio::test(flavor = "current_thread")]
async fn a_broker_that_stays_away_ends_a_job_that_says_how_far_it_came() {
    let site = Site::new();
    let mut ann = site.operator().await;
    fail(&site, 250).await;
    site.faults.hold(Operation::Publish);
    let job = begin(&site, &mut ann, "/finished/again", &[("all", "yes")]).await;
    look(&site, &mut ann, &job).await;
    site.faults.hold(Operation::Inspect);
    site.faults.release(Operation::Publish);
    look(&site, &mut ann, &job).await;
    site.faults.go_down();
    site.faults.release(Operation::Inspect);
    for seconds in [1, 2, 4, 8, 16] {
        assert!(look(&site, &mut ann, &job).await.says("running"));
        site.clock.advance(Duration::from_secs(seconds));
    }
    let page = look(&site, &mut ann, &job).await;
    assert!(
        page.says("It ended early: a fault that the test asked for. 200 tasks were sent"),
        "{}",
        page.text
    );
    assert!(!page.says("tries again"), "{}", page.text);
    site.faults.come_back();
    assert!(audited(&site, "finished/again").await[1].contains("ended early"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_dashboard_that_stops_ends_its_jobs() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let site = Site::stopping_on(async { drop(stopped.await) });
    let mut ann = site.operator().await;
    fail(&site, 10).await;
    site.faults.fail_next(Operation::Publish, Fault::Error(BackendErrorKind::Unavailable));
    let job = begin(&site, &mut ann, "/finished/again", &[("all", "yes")]).await;
    assert!(look(&site, &mut ann, &job).await.says("end with it"));
    drop(stop);
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("The dashboard stopped: 0 tasks were sent again by then."));
}

#[tokio::test(flavor = "current_thread")]
async fn all_that_match_are_deleted_once_that_is_meant() {
    let site = Site::new();
    let mut ann = site.operator().await;
    fail(&site, 450).await;
    let mut others: Vec<TaskRecord> = (500..503).map(|number| row(&site, number)).collect();
    others[0].state = TaskState::Started;
    others[1].finished_at = site.clock.now().plus(Duration::from_secs(1));
    others[2].task = "other.task".into();
    site.results.record(&others, None).await.unwrap();
    let fields = [("all", "yes"), ("task", "test.task")];
    let asked = ann.act(&site, "/finished/delete", &fields).await;
    assert!(
        asked.says("All finished tasks of the task `test.task`: 450 results will be deleted"),
        "{}",
        asked.text
    );
    for confirm in ["Delete", "test.task"] {
        ann.act(&site, "/finished/delete", &[&fields[..], &[("confirm", confirm)]].concat()).await;
        assert!(ann.get(&site, "/").await.says("type the word delete"), "{confirm}");
    }
    assert_eq!(rows_left(&site).await.len(), 453);
    let fields = [&fields[..], &[("confirm", "delete")]].concat();
    let job = begin(&site, &mut ann, "/finished/delete", &fields).await;
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("450 tasks were deleted from the results."), "{}", page.text);
    let mut left = rows_left(&site).await;
    left.sort();
    let untouched: Vec<TaskId> = others.iter().map(|row| row.id).collect();
    assert_eq!(left, untouched, "what runs, what ended later, and what does not match");
    ann.act(&site, "/finished/delete", &[("all", "yes"), ("task", "none"), ("confirm", "delete")]).await;
    assert!(ann.get(&site, "/").await.says("nothing was begun: no task that ended matches"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_store_that_fails_in_the_middle_is_asked_again_and_no_part_is_left_out() {
    let site = Site::new();
    let mut ann = site.operator().await;
    fail(&site, 450).await;
    let delete = [("all", "yes"), ("confirm", "delete")];
    let unavailable = |operation| (operation, BackendErrorKind::Unavailable);
    site.failures.lock().unwrap().extend(["delete", "list", "delete"].map(unavailable));
    let job = begin(&site, &mut ann, "/finished/delete", &delete).await;
    for (operation, left) in [("delete", 450), ("list", 250), ("delete", 250)] {
        let page = look(&site, &mut ann, &job).await;
        assert!(page.says(&format!("tries again: no {operation}, as the test asked for")), "{}", page.text);
        assert_eq!(rows_left(&site).await.len(), left);
        site.clock.advance(Duration::from_secs(2));
    }
    assert!(look(&site, &mut ann, &job).await.says("450 tasks were deleted from the results."));
    assert_eq!(rows_left(&site).await, []);
}

#[tokio::test(flavor = "current_thread")]
async fn results_that_cannot_be_listed_begin_no_job() {
    let site = Site::new();
    let mut ann = site.operator().await;
    fail(&site, 3).await;
    for path in ["/finished/again", "/finished/delete"] {
        site.failures.lock().unwrap().push_back(("list", BackendErrorKind::Unsupported));
        ann.act(&site, path, &[("all", "yes"), ("confirm", "delete")]).await;
        assert!(ann.get(&site, "/jobs").await.says("no list, as the test asked for"), "{path}");
    }
    site.failures.lock().unwrap().push_back(("list", BackendErrorKind::Unsupported));
    let page = ann.get(&site, "/finished").await;
    assert!(page.says("no list, as the test asked for") && !page.says("all that match"), "{}", page.text);
    assert!(ann.get(&site, "/jobs").await.says("Nobody has begun a job"));
}

#[tokio::test(flavor = "current_thread")]
async fn dead_letters_that_match_are_counted_and_done_while_others_change_them() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let letters = bury(&site, 1_200).await;
    site.faults.hold(Operation::Control);
    let fields = [("queue", "q"), ("all", "yes"), ("task", "pay"), ("reason", "permanent")];
    let job = begin(&site, &mut ann, "/dead/retry", &fields).await;
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("0 dead letters were made ready again so far.") && page.says("<dd>1,200</dd>"));
    assert!(page.says("all dead letters in `q` of the task `pay` given up as permanent"), "{}", page.text);
    // What is given up now is not meant, and somebody deletes one that is.
    site.clock.advance(Duration::from_secs(1));
    let late = bury(&site, 3).await;
    let (faults, last) = (site.faults.clone(), letters[1_199]);
    tokio::spawn(async move { faults.delete_dead(&queue("q"), &[last]).await.unwrap() });
    settled_down().await;
    site.faults.release(Operation::Control);
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("1,199 dead letters were made ready again. 1 could not be: somebody else took it"));
    assert_eq!((ready(&site, "q").await, dead(&site).await), (1_199, 3));
    for id in late {
        assert_eq!(site.broker.find(id, None).await.unwrap().unwrap().place, Place::Dead);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn dead_letters_that_match_are_deleted_once_that_is_meant() {
    let site = Site::new();
    let mut ann = site.operator().await;
    bury(&site, 700).await;
    let fields = [("queue", "q"), ("all", "yes"), ("reason", "permanent")];
    let asked = ann.act(&site, "/dead/delete", &fields).await;
    assert!(asked.says("All dead letters in `q` given up as permanent: 700 dead letters will be deleted"));
    ann.act(&site, "/dead/delete", &[&fields[..], &[("confirm", "p")]].concat()).await;
    assert!(ann.get(&site, "/").await.says("type the name of the queue, q"));
    ann.act(&site, "/dead/delete", &[&fields[..2], &[("reason", "odd"), ("confirm", "q")]].concat()).await;
    assert!(ann.get(&site, "/").await.says("reason `odd` is not valid"));
    assert_eq!(dead(&site).await, 700);
    let job = begin(&site, &mut ann, "/dead/delete", &[&fields[..], &[("confirm", "q")]].concat()).await;
    assert!(look(&site, &mut ann, &job).await.says("700 dead letters were deleted."));
    assert_eq!(dead(&site).await, 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_queue_is_emptied_of_what_was_there_and_not_of_what_is_sent_meanwhile() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let some = |count: usize| (0..count).map(|_| message("sums").build()).collect::<Vec<_>>();
    for _ in 0..2 {
        site.broker.publish(&some(750), None).await.unwrap();
    }
    site.faults.hold(Operation::Control);
    let fields = [("queue", "sums"), ("place", "ready"), ("confirm", "sums")];
    let job = begin(&site, &mut ann, "/queues/purge", &fields).await;
    assert!(look(&site, &mut ann, &job).await.says("<dd>1,500</dd>"), "what is left is known");
    site.broker.publish(&some(5), None).await.unwrap();
    site.faults.release(Operation::Control);
    let page = look(&site, &mut ann, &job).await;
    assert!(page.says("1,500 tasks were removed.") && page.says("the ready tasks in `sums`"));
    assert_eq!(ready(&site, "sums").await, 5);
}

#[tokio::test(flavor = "current_thread")]
async fn a_few_jobs_run_at_once_and_viewers_see_them() {
    let site = Site::with_users();
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let (mut vic, _) = site.log_in("vic", PASSWORD).await;
    site.broker.publish(&[message("sums").build()], None).await.unwrap();
    site.faults.hold(Operation::Control);
    let fields = [("queue", "sums"), ("place", "ready"), ("confirm", "sums"), ("back", "/queues")];
    let job = begin(&site, &mut ann, "/queues/purge", &fields).await;
    begin(&site, &mut ann, "/queues/purge", &fields).await;
    begin(&site, &mut ann, "/queues/purge", &fields).await;
    let fourth = ann.act(&site, "/queues/purge", &fields).await;
    assert_eq!(fourth.location(), "/queues");
    assert!(ann.get(&site, "/queues").await.says("nothing was begun: 3 jobs run already"));
    assert!(ann.get(&site, &job).await.says("action=\"/job/stop\""));
    let seen = vic.get(&site, &job).await;
    assert!(seen.says("Begun by") && seen.says("ann, ") && !seen.says("/job/stop"), "{}", seen.text);
    assert_eq!(vic.get(&site, "/jobs").await.text.matches("/job?id=").count(), 3);
    site.faults.release(Operation::Control);
    look(&site, &mut ann, &job).await;
    begin(&site, &mut ann, "/queues/purge", &fields).await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_last_hundred_are_remembered() {
    let site = Site::new();
    let mut ann = site.operator().await;
    site.broker.publish(&[message("sums").build()], None).await.unwrap();
    let fields = [("queue", "sums"), ("place", "delayed"), ("confirm", "sums")];
    let first = begin(&site, &mut ann, "/queues/purge", &fields).await;
    for _ in 0..100 {
        let job = begin(&site, &mut ann, "/queues/purge", &fields).await;
        assert!(look(&site, &mut ann, &job).await.says("Nothing matched."));
    }
    assert_eq!(ann.get(&site, &first).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ann.get(&site, "/jobs").await.text.matches("/job?id=").count(), 100);
}

#[tokio::test(flavor = "current_thread")]
async fn a_program_begins_a_job_and_asks_how_far_it_is() {
    let (mut users, entropy) = (Users::new(), SeededEntropy::new(5));
    let token = users.add_token("ci", Role::Operator, &entropy).unwrap();
    let site = Site::with(Access::Users(UserFile::fixed(users)));
    let mut program = Browser::program(&token);
    fail(&site, 3).await;
    site.faults.hold(Operation::Publish);
    let all = json!({ "all": "yes", "state": ["failure"], "since": "1h" });
    let answer = program.json(&site, "/api/v1/finished/again", &all).await;
    let begun: Value = serde_json::from_str(&answer.text).unwrap();
    let id = begun["job"].as_str().unwrap();
    let path = format!("/api/v1/job?id={id}");
    let job: Value = serde_json::from_str(&look(&site, &mut program, &path).await.text).unwrap();
    assert_eq!((&job["state"], &job["who"], &job["done"]), (&json!("running"), &json!("ci"), &json!(0)));
    let stopped = program.json(&site, "/api/v1/job/stop", &json!({ "id": id })).await;
    assert_eq!(stopped.status, StatusCode::OK, "{}", stopped.text);
    site.faults.release(Operation::Publish);
    let job: Value = serde_json::from_str(&look(&site, &mut program, &path).await.text).unwrap();
    assert_eq!((&job["state"], &job["done"], &job["failed"]), (&json!("finished"), &json!(3), &json!(0)));
    let all: Value = serde_json::from_str(&program.get(&site, "/api/v1/jobs").await.text).unwrap();
    assert_eq!(all, json!([job]));
}

/// A program that says no, or misspells what it means, begins nothing.
#[tokio::test(flavor = "current_thread")]
async fn all_that_match_must_be_meant() {
    let site = Site::new();
    let mut ann = site.operator().await;
    fail(&site, 3).await;
    let form = ann.act(&site, "/finished/again", &[("all", "no")]).await;
    assert!(!form.location().starts_with("/job") && !form.says("will be"), "{}", form.text);
    ann.act(&site, "/finished/again", &[("all", "perhaps")]).await;
    assert!(ann.get(&site, "/finished").await.says("expected yes or no, found `perhaps`"));
    let misspelt = ann.get(&site, "/api/v1/finished?stat=failure").await;
    assert_eq!(misspelt.status, StatusCode::BAD_REQUEST);
    assert!(
        misspelt.text.contains("`stat` is no field of this: expected task, state, "),
        "{}",
        misspelt.text
    );
    assert!(ann.get(&site, "/jobs").await.says("Nobody has begun a job"));
}
