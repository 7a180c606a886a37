//! What is shown of workers, and what they are told.

use std::time::Duration;

use lovage_core::{
    Clock as _, Envelope, Payload, Reserve, Settle, Settlement, SlotWants, Token, WorkerCommand, WorkerId,
    WorkerInfo,
};
use lovage_testkit::{SeededEntropy, message, queue};
use serde_json::json;

use super::site::Site;

const TTL: Duration = Duration::from_secs(600);

fn info(site: &Site) -> WorkerInfo {
    let info = json!({
        "id": WorkerId::new(&SeededEntropy::new(9)), "name": "w", "host": "h", "pid": 1, "version": "1",
        "started_at": site.clock.now(), "mode": "running", "queues": ["q", "r"], "concurrency": 4,
        "blocking": 1, "tasks": [], "active": [], "reserved": 0, "succeeded": 0, "failed": 0,
        "memory": 50_541_363, "cpu": 1_504,
    });
    serde_json::from_value(info).unwrap()
}

/// Says what it is; answers what it was told.
async fn heard(site: &Site, info: &WorkerInfo) -> Vec<WorkerCommand> {
    site.broker.heartbeat(info, TTL, None).await.unwrap().commands
}

#[tokio::test(flavor = "current_thread")]
async fn slots_and_queues_of_a_worker_are_changed_where_that_can_be() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let info = info(&site);
    heard(&site, &info).await;
    let id = info.id.to_string();
    let worker = ("worker", id.as_str());
    let page = ann.get(&site, "/workers").await;
    assert!(
        page.says("48.1 MiB") && page.says("150.4% of a core") && page.says("Change what a worker takes")
    );

    for (path, field) in [
        ("/workers/concurrency", ("slots", "8")),
        ("/workers/add-queue", ("queue", "s")),
        ("/workers/drop-queue", ("queue", "r")),
    ] {
        ann.act(&site, path, &[worker, field]).await;
    }
    let told = [
        WorkerCommand::Concurrency { slots: 8 },
        WorkerCommand::AddQueue { queue: queue("s"), weight: 1 },
        WorkerCommand::DropQueue { queue: queue("r") },
    ];
    assert_eq!(heard(&site, &info).await, told);

    let last = WorkerInfo { queues: vec![queue("q")], ..info };
    heard(&site, &last).await;
    for (path, field, part) in [
        ("/workers/concurrency", ("slots", "0"), "expected 1 to 100000, found 0"),
        ("/workers/add-queue", ("queue", "no queue"), "`queue`"),
        ("/workers/drop-queue", ("queue", "r"), "does not take tasks of `r`"),
        ("/workers/drop-queue", ("queue", "q"), "`q` is the last queue of `w`"),
    ] {
        ann.act(&site, path, &[worker, field]).await;
        let page = ann.get(&site, "/workers").await;
        assert!(page.text.replace("<code>", "`").replace("</code>", "`").contains(part), "{}", page.text);
    }
    assert_eq!(heard(&site, &last).await, []);
    let refused = WorkerInfo { refused: Some("to leave `q`, its last queue".into()), ..last };
    heard(&site, &refused).await;
    assert!(ann.get(&site, "/workers").await.says("its last queue"));
}

#[tokio::test(flavor = "current_thread")]
async fn the_overview_names_tasks_that_block_and_workers_that_are_stuck() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let now = site.clock.now();
    let active = json!({
        "id": message("q").build().id, "task": "spin<", "queue": "q", "started_at": now, "blocks_since": now,
    });
    let blocked = WorkerInfo { active: vec![serde_json::from_value(active).unwrap()], ..info(&site) };
    heard(&site, &blocked).await;
    site.clock.advance(Duration::from_secs(12));
    let says = "`spin&lt;` blocks threads of the worker `w` since 12s";
    assert!(ann.get(&site, "/").await.says(says));
    heard(&site, &WorkerInfo { stuck_since: Some(now), ..blocked }).await;
    assert!(
        ann.get(&site, "/").await.says("The worker `w` is stuck since 12s: `spin&lt;` blocks its threads")
    );
    assert!(ann.get(&site, "/workers").await.says("blocks its thread"));
}

#[tokio::test(flavor = "current_thread")]
async fn workers_page_lists_abandoned_threads() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let now = site.clock.now();
    assert!(!ann.get(&site, "/workers").await.says("Abandoned threads"));
    let thread = json!({
        "id": message("q").build().id, "task": "spin<", "queue": "q", "started_at": now, "abandoned_at": now,
    });
    let left = WorkerInfo { abandoned: vec![serde_json::from_value(thread).unwrap()], ..info(&site) };
    heard(&site, &left).await;
    let page = ann.get(&site, "/workers").await;
    assert!(page.says("Abandoned threads: 1") && page.says("spin&lt;"), "{}", page.text);
}

#[tokio::test(flavor = "current_thread")]
async fn tasks_that_no_live_worker_can_run_are_named_wherever_somebody_looks() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let lost = message("q").envelope(&Envelope::new("movies.renmed", Payload::Json("[]".into()))).build();
    site.broker.publish(std::slice::from_ref(&lost), None).await.unwrap();
    let (q, token) = (queue("q"), Token::from_bytes([1; 16]));
    let reserve = Reserve { queue: &q, want: SlotWants::any(1), token, lease: TTL, suspects: true };
    site.broker.reserve(reserve, None).await.unwrap();
    let how = Settle::GiveBack { after: Duration::from_secs(60), refused: true };
    site.broker.settle(&q, token, &[Settlement { id: lost.id, how }], None).await.unwrap();
    let kind = json!({ "queue": "q", "task": "movies.renmed", "why": "unregistered", "tasks": 3 });
    let known = json!({ "name": "movies.renamed", "signature": "() -> ()" });
    let telling = WorkerInfo {
        tasks: vec![serde_json::from_value(known).unwrap()],
        unrunnable: vec![serde_json::from_value(kind).unwrap()],
        ..info(&site)
    };
    heard(&site, &telling).await;
    let says = "`q` holds 1 task that no live worker of it knows: `movies.renmed`. Start a worker that has it, or cancel it";
    let overview = ann.get(&site, "/").await;
    assert!(overview.says(says) && !overview.says("All is well"), "{}", overview.text);
    assert!(overview.text.contains("/tasks?queue=q&amp;place=delayed"));
    assert!(ann.get(&site, "/queue?name=q").await.says(says));
    assert!(ann.get(&site, "/tasks?queue=q&place=delayed").await.says("no worker could run it"));
    let explained = ann.get(&site, &format!("/task?id={}", lost.id)).await;
    for part in [
        "workers could not run it and gave it back (1 hand-out so far)",
        "No live worker of this queue registers the task (w does not); there is a task `movies.renamed`",
    ] {
        assert!(explained.says(part), "{}", explained.text);
    }

    // A worker of the next release, which knows it.
    site.registers(&[("movies.renmed", "() -> ()")]).await;
    assert!(ann.get(&site, "/").await.says("All is well"));
}

#[tokio::test(flavor = "current_thread")]
async fn a_queue_that_grows_is_said_while_somebody_looks() {
    let site = Site::new();
    let mut ann = site.operator().await;
    heard(&site, &info(&site)).await;
    let mut told = Vec::new();
    for _ in 0..15 {
        site.broker.publish(&[message("q").build()], None).await.unwrap();
        site.clock.advance(Duration::from_secs(2));
        let overview = ann.get(&site, "/api/v1/overview").await;
        told.push(overview.text.contains("`q` grows while 1 worker reads it"));
    }
    assert_eq!(told.iter().filter(|told| **told).count(), 7, "from 16 s on: {told:?}");
    assert!(told[14] && ann.get(&site, "/queue?name=q").await.says("more than"));
}

#[tokio::test(flavor = "current_thread")]
async fn how_far_a_task_is_stands_wherever_it_is_shown() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let sent = message("q").build();
    site.broker.publish(std::slice::from_ref(&sent), None).await.unwrap();
    let (q, token) = (queue("q"), Token::from_bytes([1; 16]));
    let reserve = Reserve { queue: &q, want: SlotWants::any(1), token, lease: TTL, suspects: true };
    site.broker.reserve(reserve, None).await.unwrap();
    let progress = json!({ "done": 1_037, "total": 2_000, "message": "resizing <pictures>" });
    let active = json!({
        "id": sent.id, "task": "resize", "queue": "q", "started_at": site.clock.now(), "progress": progress,
    });
    let active = vec![serde_json::from_value(active).unwrap()];
    heard(&site, &WorkerInfo { active, ..info(&site) }).await;
    for path in ["/workers", "/tasks?queue=q&place=leased", &format!("/task?id={}", sent.id)] {
        let page = ann.get(&site, path).await;
        let bar = r#"<progress aria-label="Progress" max="2000" value="1037">"#;
        assert!(page.text.contains(bar) && page.says("1,037 of 2,000"), "{path}: {}", page.text);
        assert!(page.text.contains("resizing &lt;pictures&gt;"), "{path}");
    }
}
