//! What is told of entries of the schedule, and what is done to several of them.

use std::time::Duration;

use axum::http::StatusCode;
use lovage_core::schedule::{Advance, Entry, Expected, Firing, Overlap, Schedule, ScheduleStore as _, Skip};
use lovage_core::{Clock as _, EntryName, ResultStore as _, TaskId, TaskState, Timestamp};
use lovage_scheduler::task_id;
use lovage_testkit::{queue, record};
use serde_json::{Value, json};

use super::site::{Answer, Browser, Site};

const HOUR: Duration = Duration::from_secs(3_600);

async fn open() -> (Site, Browser) {
    let site = Site::new();
    for name in ["a", "b"] {
        site.add_entry(name, "0 3 * * *").await;
    }
    let ann = site.operator().await;
    (site, ann)
}

async fn all_of(site: &Site, ann: &mut Browser, path: &str, names: &[&str]) -> Answer {
    let fields: Vec<(&str, &str)> = names.iter().map(|name| ("name", *name)).collect();
    let answer = ann.mean(site, path, &fields).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    ann.get(site, "/schedules").await
}

#[tokio::test(flavor = "current_thread")]
async fn all_selected_are_disabled_enabled_run_and_deleted() {
    let (site, mut ann) = open().await;
    let page = ann.get(&site, "/schedules").await;
    for button in ["Enable selected", "Disable selected", "Run selected now", "Delete selected"] {
        assert!(page.says(button), "{button}");
    }
    let enabled = async || {
        let found = site.schedules.get(&["a", "b"]).await.unwrap();
        found.into_iter().flatten().map(|listed| listed.unwrap().entry.enabled).collect::<Vec<_>>()
    };
    let page = all_of(&site, &mut ann, "/schedules/disable", &["a", "b"]).await;
    assert!(page.says("The schedules `a`, `b` are disabled."));
    assert_eq!(enabled().await, [false, false]);
    all_of(&site, &mut ann, "/schedules/enable", &["a", "b"]).await;
    assert_eq!(enabled().await, [true, true]);
    let page = all_of(&site, &mut ann, "/schedules/run", &["a", "b"]).await;
    assert!(page.says("The schedules `a`, `b` are sent."), "{}", page.text);
    assert_eq!(site.broker.depth(&queue("default"), None).await.unwrap().ready, 2);
    let page = all_of(&site, &mut ann, "/schedules/run", &[]).await;
    assert!(page.says("nothing was selected"));
    all_of(&site, &mut ann, "/schedules/delete", &["a", "b"]).await;
    assert_eq!(enabled().await, [false; 0]);
}

#[tokio::test(flavor = "current_thread")]
async fn one_that_cannot_run_stops_no_other() {
    let (site, mut ann) = open().await;
    let mut alone =
        Entry::new("alone".parse().unwrap(), "t".parse().unwrap(), Schedule::every(HOUR).unwrap());
    alone.overlap = Overlap::Skip;
    site.schedules.put(&alone, Expected::New, None).await.unwrap();
    let page = all_of(&site, &mut ann, "/schedules/run", &["alone"]).await;
    assert!(page.says("The schedule `alone` runs now, as "), "{}", page.text);
    let page = all_of(&site, &mut ann, "/schedules/run", &["alone", "a", "gone"]).await;
    assert!(page.says("The schedule `a` runs now"), "{}", page.text);
    assert!(
        page.says("But `alone` runs already") && page.says("; there is no schedule `gone`."),
        "{}",
        page.text
    );
    let page = all_of(&site, &mut ann, "/schedules/run", &["alone", "gone"]).await;
    assert!(page.says("`alone` runs already") && !page.says("But `alone`"), "{}", page.text);
}

/// An hourly entry that was made six hours ago, and of whose slots a beat has told the fates.
async fn with_history(site: &Site) -> (EntryName, Vec<Timestamp>) {
    let name: EntryName = "hourly".parse().unwrap();
    let entry = Entry::new(name.clone(), "t".parse().unwrap(), Schedule::every(HOUR).unwrap());
    let made = site.clock.now();
    site.schedules.put(&entry, Expected::New, None).await.unwrap();
    site.clock.advance(HOUR * 6);
    let slots: Vec<Timestamp> = entry.slots_between(made, site.clock.now()).collect();
    assert_eq!(slots.len(), 6);
    let stored = site.schedules.get(&["hourly"]).await.unwrap().pop().unwrap().unwrap().unwrap();
    let skipped =
        |from: usize, to: usize, why| Firing::skipped(name.clone(), (slots[from], slots[to]), slots[to], why);
    let firings = vec![
        Firing::fired(name.clone(), slots[0], slots[0], TaskId::from_bytes([1; 16])),
        skipped(1, 2, Skip::Misfire),
        skipped(3, 3, Skip::Refused("<b>the queue is full</b>".to_owned())),
    ];
    site.schedules.advance(&[Advance::new(&stored, slots[3], firings)]).await.unwrap();
    (name, slots)
}

#[tokio::test(flavor = "current_thread")]
async fn an_entry_tells_which_slots_did_not_fire_and_why() {
    let site = Site::new();
    let (name, slots) = with_history(&site).await;
    let mut ann = site.operator().await;
    let page = ann.get(&site, "/schedule?name=hourly").await;
    for part in [
        "1 of 6 slots in the last 1d fired.",
        "others nothing is known",
        "missed while no beat ran; the misfire policy passes it over",
        "&lt;b&gt;the queue is full&lt;/b&gt;",
        "no beat has decided yet: does one run?",
    ] {
        assert!(page.says(part), "{part}: {}", page.text);
    }

    // A beat died before it told; the result of the task does.
    let store = site.schedules.identity().await.unwrap().id;
    let fired = task_id(store, &name, slots[4]);
    let mut ended = record(fired, (1, 1, 1), TaskState::Success);
    ended.finished_at = site.clock.now();
    site.results.record(&[ended], None).await.unwrap();
    assert!(ann.get(&site, "/schedule?name=hourly").await.says("2 of 6 slots in the last 1d fired."));

    let told = ann.get(&site, "/api/v1/schedule/audit?name=hourly&from=5h30m").await;
    let told: Value = serde_json::from_str(&told.text).unwrap();
    let outcomes: Vec<&Value> =
        told["lines"].as_array().unwrap().iter().map(|line| &line["outcome"]).collect();
    assert_eq!(
        outcomes,
        [&json!("fired"), &json!("misfire"), &json!("refused"), &json!("fired"), &json!("due")]
    );
    assert_eq!(
        (&told["slots"], &told["fired"], &told["lines"][3]["task_id"]),
        (&json!(6), &json!(2), &json!(fired.to_string()))
    );
    let wrong = ann.get(&site, "/api/v1/schedule/audit?name=hourly&from=1h&to=2h").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.text.contains("expected no earlier than from"), "{}", wrong.text);
}

#[tokio::test(flavor = "current_thread")]
async fn an_entry_with_very_many_slots_is_looked_at_for_a_shorter_time() {
    let site = Site::new();
    let often = Schedule::every(Duration::from_secs(1)).unwrap();
    let entry = Entry::new("often".parse().unwrap(), "t".parse().unwrap(), often);
    site.schedules.put(&entry, Expected::New, None).await.unwrap();
    site.clock.advance(HOUR * 30);
    let mut ann = site.operator().await;
    let page = ann.get(&site, "/schedule?name=often").await;
    assert!(page.says("slots in the last 1m fired.") && page.says("does one run?"), "{}", page.text);
    let told = ann.get(&site, "/api/v1/schedule/audit?name=often").await;
    let told: Value = serde_json::from_str(&told.text).unwrap();
    assert_eq!(told["slots"], json!(10_000));
    let rest = format!("/api/v1/schedule/audit?name=often&from={}", told["next"].as_str().unwrap());
    let rest: Value = serde_json::from_str(&ann.get(&site, &rest).await.text).unwrap();
    assert_eq!(rest["from"], told["next"]);
}

#[tokio::test(flavor = "current_thread")]
async fn clocks_that_are_turned_are_marked_between_runs() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let when = [("kind", "crontab"), ("expression", "30 * * * *"), ("zone", "Europe/Berlin")];
    let fields = [&when[..], &[("start_time", "2026-10-25T00:30:00Z")]].concat();
    let fragment = ann.act(&site, "/schedule/preview", &fields).await;
    for part in ["first of two 02:30", "the clocks were turned back by 1h; second of two 02:30"] {
        assert!(fragment.says(part), "{part}: {}", fragment.text);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_deploy_broke_is_said_alike_on_the_overview_in_the_list_and_on_the_entrys_page() {
    let (site, mut ann) = open().await;
    let tick = |name: &str, task: &str, args: &str| {
        let every = Schedule::every(HOUR).unwrap();
        let mut entry = Entry::new(name.parse().unwrap(), task.parse().unwrap(), every);
        (entry.queue, entry.args) = (queue("q"), args.to_owned());
        entry
    };
    for entry in [
        tick("lost", "gone.task", "[]"),
        tick("wrong", "add", r#"["<i>s3cret</i>"]"#),
        tick("good", "add", "[1]"),
    ] {
        site.schedules.put(&entry, Expected::New, None).await.unwrap();
    }
    site.registers(&[("add", "(x: i64) -> i64")]).await;
    let broken = [
        (
            "lost",
            "no worker knows its task",
            "The schedule `lost` sends `gone.task` to `q`, and no live worker of that queue knows this task: start one that does",
        ),
        (
            "wrong",
            "arguments do not fit",
            "The arguments of the schedule `wrong` do not fit its task: expected what add takes, (x: i64) -&gt; i64: ",
        ),
    ];
    let (overview, list) = (ann.get(&site, "/").await, ann.get(&site, "/schedules").await);
    for (name, badge, sentence) in broken {
        let page = ann.get(&site, &format!("/schedule?name={name}")).await;
        assert!(overview.says(sentence) && page.says(sentence), "{name}: {}", page.text);
        assert!(list.text.contains(&format!(r#"<span class="badge bad">{badge}</span>"#)), "{}", list.text);
        let told = ann.get(&site, &format!("/api/v1/schedule?name={name}")).await;
        let told: Value = serde_json::from_str(&told.text).unwrap();
        assert_eq!((&told["trouble"]["badge"], &told["trouble"]["level"]), (&json!(badge), &json!("bad")));
        assert!(!told["trouble"].to_string().contains("s3cret"));
    }
    assert_eq!(list.text.matches(r#"class="badge bad""#).count(), 2, "the others are well");
    let good = ann.get(&site, "/schedule?name=good").await;
    assert!(good.says("enabled") && !good.text.contains("flash bad"), "{}", good.text);

    // Nobody minds that a disabled one is broken; what is no longer declared was disabled by that.
    ann.act(&site, "/schedules/disable", &[("name", "lost")]).await;
    let page = ann.get(&site, "/schedule?name=lost").await;
    assert!(page.says("disabled") && !page.says("no live worker of that queue"), "{}", page.text);
}

/// A form, a program, and a task that no worker knows.
#[tokio::test(flavor = "current_thread")]
async fn new_entry_goes_to_the_queue_of_its_task() {
    let site = Site::new();
    site.registers_infos(vec![json!({ "name": "resize", "signature": "() -> ()", "queue": "media" })]).await;
    let mut ann = site.operator().await;
    let queue_of = async |name: &str| {
        let found = site.schedules.get(&[name]).await.unwrap().remove(0).unwrap().unwrap();
        found.entry.queue.as_str().to_owned()
    };
    for (name, task, queue, expected) in [
        ("own", "resize", "", "media"),
        ("named", "resize", "slow", "slow"),
        ("unknown", "other", "", "default"),
    ] {
        let fields = [
            ("name", name),
            ("task", task),
            ("queue", queue),
            ("kind", "interval"),
            ("every", "1h"),
            ("form", "1"),
        ];
        let answer = ann.act(&site, "/schedules/save", &fields).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        assert_eq!(queue_of(name).await, expected, "{name}");
    }
}

/// The list, the page of the entry and its audit, each with one read of the results.
#[tokio::test(flavor = "current_thread")]
async fn entry_shows_how_its_newest_tasks_ended() {
    let site = Site::new();
    let entry = lovage_core::schedule::every(HOUR).entry("hourly", "test.task").unwrap();
    let now = site.clock.now();
    site.schedules.put(&entry, Expected::New, Some(now.minus(4 * HOUR))).await.unwrap();
    let store = site.schedules.identity().await.unwrap().id;
    let mut tasks = Vec::new();
    for slot in entry.last_slots(now, 3) {
        let stored = site.schedules.get(&["hourly"]).await.unwrap().remove(0).unwrap().unwrap();
        let task = task_id(store, &entry.name, slot);
        let fired = Firing::fired(entry.name.clone(), slot, slot, task);
        site.schedules.advance(&[Advance::new(&stored, slot, vec![fired])]).await.unwrap();
        tasks.push(task);
    }
    let states = [TaskState::Success, TaskState::Failure, TaskState::Expired];
    for (task, state) in tasks.iter().zip(states) {
        let mut ended = record(*task, (1, 1, 1), state);
        ended.finished_at = now;
        site.results.record(&[ended], None).await.unwrap();
    }
    let mut ann = site.operator().await;
    let list: Value = serde_json::from_str(&ann.get(&site, "/api/v1/schedules").await.text).unwrap();
    let outcomes = &list["items"][0]["last_outcomes"];
    assert_eq!(outcomes[0], json!({ "task_id": tasks[2].to_string(), "state": "expired" }));
    assert_eq!((&outcomes[1]["state"], &outcomes[2]["state"]), (&json!("failure"), &json!("success")));
    for page in ["/schedules", "/schedule?name=hourly"] {
        let page = ann.get(&site, page).await;
        assert!(page.says("EXPIRED") && page.says("FAILURE"), "{}", page.text);
    }
    let audit = ann.get(&site, "/api/v1/schedule/audit?name=hourly&from=6h").await;
    let audit: Value = serde_json::from_str(&audit.text).unwrap();
    let told: Vec<&Value> = audit["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| &line["task_state"])
        .filter(|state| !state.is_null())
        .collect();
    assert_eq!(told, ["success", "failure", "expired"]);
}
