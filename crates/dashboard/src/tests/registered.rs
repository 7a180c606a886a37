//! The tasks that workers can run, and how they did.

use std::time::Duration;

use axum::http::StatusCode;
use lovage_core::stats::{Counts, Tally};
use lovage_core::{Clock as _, ErrorReport, Outcome, ResultStore as _, TaskId, TaskState};
use lovage_testkit::{message, queue, record};
use serde_json::{Value, json};

use super::audit::{Trouble, troubled};
use super::site::Site;
use crate::Access;

const MINUTE: Duration = Duration::from_secs(60);

async fn count(site: &Site, task: &str, ago: Duration, counts: Counts) {
    let tally = Tally { at: site.clock.now().minus(ago), queue: queue("q"), task: task.to_owned(), counts };
    site.results.stats().unwrap().add(&[tally]).await.unwrap();
}

/// 610 that ended in the last hour, of which 61 failed; one ran for a second, the others for 3 ms.
async fn filled() -> Site {
    let site = Site::new();
    site.registers(&[("sum", "(x: i64) -> i64"), ("idle", "() -> ()")]).await;
    let mut counts = Counts { succeeded: 549, failed: 61, retried: 5, ..Counts::default() };
    counts.run.record_many(Duration::from_millis(3), 614);
    counts.run.record(Duration::from_secs(1));
    counts.wait.record_many(Duration::from_millis(40), 610);
    count(&site, "sum", MINUTE * 10, counts).await;
    count(&site, "other", MINUTE * 10, Counts { succeeded: 7_777, ..Counts::default() }).await;
    count(&site, "sum", MINUTE * 600, Counts { succeeded: 5_000, ..Counts::default() }).await;
    site
}

#[tokio::test(flavor = "current_thread")]
async fn each_task_tells_its_rate_its_failures_and_its_times() {
    let site = filled().await;
    let mut ann = site.operator().await;
    let page = ann.get(&site, "/registered").await;
    for part in [
        "<div>10</div>",
        "61 (10.0 %)",
        "3ms, 3ms, 3ms",
        "none ran",
        "/registered/task?name=sum&amp;range=1h",
    ] {
        assert!(page.says(part), "{part}: {}", page.text);
    }
    assert!(!page.says("7,777") && !page.says("other"), "{}", page.text);
    let day = ann.get(&site, "/registered?range=1d").await;
    assert!(day.says("61 (1.1 %)"), "{}", day.text);
    let wrong = ann.get(&site, "/registered?range=2y").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let told = ann.get(&site, "/api/v1/registered").await;
    let told: Value = serde_json::from_str(&told.text).unwrap();
    assert_eq!(
        (&told[1]["name"], &told[1]["counts"]["ended"], &told[1]["counts"]["failed_share"]),
        (&json!("sum"), &json!(610), &json!(0.1))
    );
    assert_eq!((&told[0]["counts"]["ended"], &told[0]["counts"]["failed_share"]), (&json!(0), &Value::Null));
}

#[tokio::test(flavor = "current_thread")]
async fn one_task_is_shown_in_all_detail() {
    let site = filled().await;
    let mut failed = record(TaskId::from_bytes([7; 16]), (1, 1, 1), TaskState::Failure);
    failed.task = "sum".into();
    failed.finished_at = site.clock.now();
    failed.outcome = Outcome::Error(ErrorReport::new("io", "disk on <fire>"));
    let mut good = record(message("q").build().id, (1, 1, 1), TaskState::Success);
    good.task = "sum".into();
    good.finished_at = site.clock.now();
    site.results.record(&[failed.clone(), good.clone()], None).await.unwrap();
    let mut ann = site.operator().await;
    let page = ann.get(&site, "/registered/task?name=sum").await;
    for part in [
        "`(x: i64) -&gt; i64`",
        "Ended tasks per 1m",
        "How many attempts ran how long",
        "disk on &lt;fire&gt;",
        "/finished?task=sum&amp;state=failure",
        "/schedule/new?task=sum",
        "99.8 %",
        "0.2 %",
    ] {
        assert!(page.says(part), "{part}: {}", page.text);
    }
    assert!(page.says(&failed.id.to_string()) && !page.says(&good.id.to_string()));
    assert_eq!(
        (page.text.matches("<svg").count(), page.text.matches("<rect").count()),
        (3, 2),
        "{}",
        page.text
    );

    let told = ann.get(&site, "/api/v1/registered/task?name=sum&range=1h").await;
    let told: Value = serde_json::from_str(&told.text).unwrap();
    let buckets: Vec<&Value> =
        told["run_times"].as_array().unwrap().iter().map(|bucket| &bucket["count"]).collect();
    assert_eq!(
        (buckets, &told["failures"][0]["id"]),
        (vec![&json!(614), &json!(1)], &json!(failed.id.to_string()))
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_task_without_workers_or_ends_says_so() {
    let site = filled().await;
    let mut ann = site.operator().await;
    let gone = ann.get(&site, "/registered/task?name=other").await;
    assert!(gone.says("No live worker can run it") && gone.says("7,777"), "{}", gone.text);
    let idle = ann.get(&site, "/registered/task?name=idle").await;
    for part in ["No task ended in the last 1h", "No attempt ran in the last 1h.", "None is stored."] {
        assert!(idle.says(part), "{part}: {}", idle.text);
    }
    assert_eq!(ann.get(&site, "/registered/task").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "current_thread")]
async fn where_nobody_counts_every_page_says_so() {
    let site = troubled(Access::Link, Trouble::Nothing);
    site.registers(&[("sum", "(x: i64) -> i64")]).await;
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let mut ann = site.operator().await;
    for path in ["/", "/queues", "/queue?name=q", "/registered", "/registered/task?name=sum"] {
        let page = ann.get(&site, path).await;
        assert!(page.says("What happens is not counted here"), "{path}: {}", page.text);
        assert!(!page.text.contains("<svg"), "{path}");
    }
    let told: Value = serde_json::from_str(&ann.get(&site, "/api/v1/queues").await.text).unwrap();
    assert_eq!(told[0]["flow"]["in_per_minute"], Value::Null);
}
