//! Pages that are kept up to date.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Method, StatusCode};
use futures_util::StreamExt as _;
use lovage_core::{Clock as _, ErrorReport, Outcome, ResultStore as _, TaskId, TaskState};
use lovage_testkit::{Operation, message, record, settled_down};

use super::site::{Browser, Site};
use crate::{Access, Proxy};

pub(super) async fn open(site: &Site, browser: &mut Browser, of: &str) -> BodyDataStream {
    let response = browser.open(site, Method::GET, &format!("/live?of={of}"), None, String::new()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Body::into_data_stream(response.into_body())
}

/// The next event, after the time that passes before it.
pub(super) async fn next(site: &Site, stream: &mut BodyDataStream) -> Option<String> {
    let waiting =
        async { stream.next().await.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap()) };
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            biased;
            event = &mut waiting => return event,
            () = settled_down() => site.clock.advance(Duration::from_secs(2)),
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_change_is_sent_and_what_did_not_change_is_not() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let mut stream = open(&site, &mut ann, "/queues").await;
    let first = next(&site, &mut stream).await.unwrap();
    assert!(first.contains("event: fragment") && first.contains("There is no queue yet"), "{first}");
    let second = next(&site, &mut stream).await.unwrap();
    assert_eq!(second, ": unchanged\n\n");
    site.broker.publish(&[message("sums").build()], None).await.unwrap();
    let third = next(&site, &mut stream).await.unwrap();
    assert!(third.starts_with("event: fragment\n") && third.contains("/queue?name=sums"), "{third}");
    site.broker.publish(&[message("more").build()], None).await.unwrap();
    let fourth = next(&site, &mut stream).await.unwrap();
    assert!(fourth.starts_with("event: change\n") && fourth.contains("/queue?name=more"), "{fourth}");
    assert!(fourth.len() < third.len(), "only what has changed is sent: {fourth}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_stream_ends_with_its_session_and_keeps_none_alive() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let csrf = ann.get(&site, "/").await.field("csrf");
    let mut stream = open(&site, &mut ann, "/").await;
    assert!(next(&site, &mut stream).await.is_some());
    ann.post(&site, "/logout", &[("csrf", &csrf)]).await;
    assert_eq!(next(&site, &mut stream).await, None);
    let mut ann = site.operator().await;
    let mut stream = open(&site, &mut ann, "/").await;
    let mut events = 0;
    while next(&site, &mut stream).await.is_some() {
        events += 1;
    }
    assert!((1_700..=1_810).contains(&events), "an hour at most, then the browser asks again: {events}");
}

#[tokio::test(flavor = "current_thread")]
async fn only_pages_are_streamed_and_only_so_many() {
    let site = Site::new();
    let mut ann = site.operator().await;
    for of in ["/nowhere", "/login", "/live", "/api/v1/queues", "/assets/x", "//evil"] {
        let answer = ann.get(&site, &format!("/live?of={of}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{of}");
    }
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(open(&site, &mut ann, "/").await);
    }
    assert_eq!(ann.get(&site, "/live?of=/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(streams.pop());
    drop(open(&site, &mut ann, "/").await);
}

#[tokio::test(flavor = "current_thread")]
async fn one_viewer_cannot_take_all_streams() {
    let site = Site::with(Access::Proxy(Proxy::new("x-user", [[10, 0, 0, 1].into()])));
    let viewer = |name: &str| {
        Browser { peer: Some(([10, 0, 0, 1], 1).into()), ..Browser::default() }.with_header("x-user", name)
    };
    let mut streams = Vec::new();
    let mut greedy = viewer("eve");
    while let Ok(stream) = try_open(&site, &mut greedy).await {
        streams.push(stream);
    }
    assert_eq!(streams.len(), 32);
    assert!(try_open(&site, &mut viewer("ann")).await.is_ok());
    for number in 0..8 {
        let mut other = viewer(&format!("viewer{number}"));
        while let Ok(stream) = try_open(&site, &mut other).await {
            streams.push(stream);
        }
    }
    assert_eq!(streams.len(), 256, "and all of them together have a limit");
}

async fn try_open(site: &Site, browser: &mut Browser) -> Result<BodyDataStream, StatusCode> {
    let response = browser.open(site, Method::GET, "/live?of=/queues", None, String::new()).await;
    match response.status() {
        StatusCode::OK => Ok(Body::into_data_stream(response.into_body())),
        status => Err(status),
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_open_page_does_not_hold_up_a_server_that_stops() {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let site = Site::stopping_on(async { drop(stopped.await) });
    let mut ann = site.operator().await;
    let mut stream = open(&site, &mut ann, "/").await;
    assert!(next(&site, &mut stream).await.is_some());
    drop(stop);
    let clock = lovage_system::SystemClock::new();
    let end = lovage_testkit::within(&clock, Duration::from_secs(10), "the end", stream.next());
    assert!(end.await.is_none());
}

#[tokio::test(flavor = "current_thread")]
async fn the_lines_of_a_text_forge_no_event() {
    let site = Site::new();
    let mut ann = site.operator().await;
    for (ends, n) in ["\n", "\r", "\r\n", "\r\n\r\n"].into_iter().zip(1_u8..) {
        let text = format!("x{ends}event: fragment{ends}data: forged{ends}{ends}event: forged");
        let mut failed = record(TaskId::from_bytes([n; 16]), (1, 1, 1), TaskState::Failure);
        failed.outcome = Outcome::Error(ErrorReport::new(&*text, &*text));
        failed.finished_at = site.clock.now();
        site.results.record(&[failed.clone()], None).await.unwrap();
        let mut stream = open(&site, &mut ann, &format!("/task?id={}", failed.id)).await;
        let event = next(&site, &mut stream).await.unwrap();
        let lines: Vec<&str> = event.trim_end_matches('\n').split(['\r', '\n']).collect();
        assert_eq!(lines[0], "event: fragment");
        assert!(lines[1..].iter().all(|line| line.starts_with("data: ")), "{lines:#?}");
        // And nothing that is answered for a page breaks the stream itself.
        let trouble = crate::pages::Url::new("", "/finished").with("since", &text).to_string();
        let path = crate::pages::Url::new("", "/live").with("of", &trouble).to_string();
        assert_eq!(ann.open(&site, Method::GET, &path, None, String::new()).await.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn frozen_broker_is_reported_on_live_pages() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let mut stream = open(&site, &mut ann, "/queues").await;
    assert!(next(&site, &mut stream).await.unwrap().starts_with("event: fragment"));
    site.faults.hold(Operation::Inspect);
    let event = next(&site, &mut stream).await.unwrap();
    assert!(event.starts_with("event: trouble") && event.contains("have not answered for 5 s"), "{event}");
    site.faults.release(Operation::Inspect);
    assert!(
        next(&site, &mut stream).await.unwrap().starts_with("event: fragment"),
        "the page is current again"
    );
}
