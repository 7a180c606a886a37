//! The charts of the overview.

use std::time::Duration;

use axum::http::StatusCode;
use lovage_core::Clock as _;
use lovage_core::ResultStore as _;
use lovage_core::stats::{Counts, Tally};
use lovage_testkit::{message, queue};

use super::site::Site;

async fn count(site: &Site, ago: Duration, succeeded: u64, failed: u64) {
    let mut counts = Counts { succeeded, failed, ..Counts::default() };
    counts.wait.record_many(Duration::from_millis(250), succeeded);
    counts.run.record_many(Duration::from_secs(3), succeeded + failed);
    let tally = Tally { at: site.clock.now().minus(ago), queue: queue("q"), task: "<add>".into(), counts };
    site.results.stats().unwrap().add(&[tally]).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn an_empty_chart_says_why() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let answer = ann.get(&site, "/?range=6h").await;
    assert_eq!(answer.status, StatusCode::OK);
    for why in [
        "No task ended in the last 6h.",
        "No task started for the first time in the last 6h.",
        "No task ran to an end in the last 6h.",
        "Nobody looked at a queue",
    ] {
        assert!(answer.says(why), "{why}: {}", answer.text);
    }
    assert!(!answer.text.contains("<svg"), "{}", answer.text);
}

#[tokio::test(flavor = "current_thread")]
async fn what_was_counted_is_drawn_and_told() {
    let site = Site::new();
    let mut ann = site.operator().await;
    count(&site, Duration::from_secs(600), 1_200, 3).await;
    count(&site, Duration::from_secs(2 * 86_400), 5_000, 0).await;
    let hour = ann.get(&site, "/").await;
    assert_eq!(hour.text.matches("<svg").count(), 3, "{}", hour.text);
    assert!(hour.says("Ended tasks per 1m") && hour.says("1,200") && !hour.says("5,000"), "{}", hour.text);
    assert!(hour.says("251ms"), "the waiting time: {}", hour.text);
    let week = ann.get(&site, "/?range=7d").await;
    assert!(week.says("Ended tasks per 1h") && week.says("5,000"), "{}", week.text);
    // The policy lets no style into a page.
    assert!(!week.text.contains("style="), "{}", week.text);
}

#[tokio::test(flavor = "current_thread")]
async fn an_open_overview_looks_at_the_queues() {
    let site = Site::new();
    let mut ann = site.operator().await;
    site.broker.publish(&[message("sums").build(), message("sums").build()], None).await.unwrap();
    let answer = ann.get(&site, "/").await;
    assert!(answer.says("Tasks that wait"), "{}", answer.text);
    assert_eq!(answer.text.matches("<svg").count(), 1, "{}", answer.text);
}

#[tokio::test(flavor = "current_thread")]
async fn queues_tell_their_rates_and_when_they_are_empty() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let waiting: Vec<_> = (0..10).map(|_| message("q").build()).collect();
    site.broker.publish(&waiting, None).await.unwrap();
    let first = ann.get(&site, "/queue?name=q").await;
    assert!(first.says("not known yet: nobody looked at it a minute ago"), "{}", first.text);
    // The list keeps what it sees.
    ann.get(&site, "/queues").await;
    site.clock.advance(Duration::from_secs(120));
    count(&site, Duration::ZERO, 12, 0).await;
    site.broker
        .publish(&waiting.iter().map(|_| message("q").build()).collect::<Vec<_>>(), None)
        .await
        .unwrap();
    for path in ["/queue?name=q", "/queues"] {
        let page = ann.get(&site, path).await;
        assert!(page.says("grows by ") && page.says(" a minute"), "{path}: {}", page.text);
    }
    let told = ann.get(&site, "/api/v1/queues").await;
    let told: serde_json::Value = serde_json::from_str(&told.text).unwrap();
    let rate = |name: &str| told[0]["flow"][name].as_f64().unwrap();
    assert!(rate("in_per_minute") > rate("out_per_minute") && rate("out_per_minute") > 0.0, "{told}");
}

#[tokio::test(flavor = "current_thread")]
async fn another_range_is_refused_with_those_that_there_are() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let answer = ann.get(&site, "/?range=2y").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.says("expected 5m, 1h, 6h, 1d or 7d"), "{}", answer.text);
}
