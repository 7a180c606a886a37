//! Parts of lists: one after the other, and what is no end of a part.

use axum::http::StatusCode;
use lovage_core::{ResultStore as _, TaskState};
use lovage_testkit::{message, record};
use serde_json::Value;

use super::site::Site;

/// All lists that the API gives in parts, of which the marks are not names.
const LISTS: [&str; 8] = [
    "/finished?",
    "/tasks?queue=q&",
    "/tasks?queue=q&place=delayed&",
    "/tasks?queue=q&place=leased&",
    "/tasks?queue=q&place=dead&",
    "/dead?queue=q&",
    "/schedule/history?name=nightly&",
    "/audit?",
];

async fn filled() -> Site {
    let site = Site::new();
    site.broker.publish(&[message("q").build(), message("q").build()], None).await.unwrap();
    site.add_entry("nightly", "0 3 * * *").await;
    let mut row = record(message("q").build().id, (1, 1, 1), TaskState::Failure);
    row.finished_at = site.parts().clock.now();
    site.results.record(&[row], None).await.unwrap();
    site
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_end_of_a_part_is_a_mistake_of_whoever_asks_in_every_list() {
    let site = filled().await;
    let mut ann = site.operator().await;
    for list in LISTS {
        for after in ["nonsense", "-1", "99_x", "%3Cb%3E"] {
            let answer = ann.get(&site, &format!("/api/v1{list}after={after}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{list} {after}: {}", answer.text);
            let body: Value = serde_json::from_str(&answer.text).unwrap();
            let sentence = body["error"]["sentence"].as_str().unwrap();
            let found = after.replace("%3C", "<").replace("%3E", ">");
            let expected =
                format!("expected the `next` of a part before, found `{found}`: open the first page");
            assert!(sentence.contains(&expected), "{list}: {sentence}");
        }
        let first = ann.get(&site, &format!("/api/v1{list}limit=1")).await;
        assert_eq!(first.status, StatusCode::OK, "{list}: {}", first.text);
    }
    // Of the schedule any text is one: the entries behind it, by name.
    let rest = ann.get(&site, "/api/v1/schedules?after=n").await;
    assert!(rest.status == StatusCode::OK && rest.text.contains("nightly"), "{}", rest.text);
}

#[tokio::test(flavor = "current_thread")]
async fn the_end_of_a_part_leads_to_the_next_one() {
    let site = filled().await;
    let mut ann = site.operator().await;
    let first = ann.get(&site, "/api/v1/tasks?queue=q&limit=1").await;
    let first: Value = serde_json::from_str(&first.text).unwrap();
    let next = first["next"].as_str().unwrap();
    let second = ann.get(&site, &format!("/api/v1/tasks?queue=q&limit=1&after={next}")).await;
    let second: Value = serde_json::from_str(&second.text).unwrap();
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test(flavor = "current_thread")]
async fn people_are_led_to_the_first_page() {
    let site = filled().await;
    let mut ann = site.operator().await;
    for (path, status) in [
        ("/tasks?queue=q&place=ready&after=x", StatusCode::BAD_REQUEST),
        ("/dead?queue=q&after=x", StatusCode::BAD_REQUEST),
        // These keep the form that they are searched by.
        ("/finished?after=x&task=test.task", StatusCode::OK),
        ("/audit?after=x", StatusCode::OK),
    ] {
        let page = ann.get(&site, path).await;
        assert_eq!(page.status, status, "{path}: {}", page.text);
        assert!(page.says("found `x`: open the first page"), "{path}: {}", page.text);
        let leads = page.says(">First page</a>");
        assert_eq!(leads, status == StatusCode::OK, "{path}: {}", page.text);
    }
}
