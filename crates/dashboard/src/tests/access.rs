//! Every route by everybody: the walk over the table.

use axum::http::{Method, StatusCode};
use lovage_testkit::message;
use serde_json::{Value, json};

use super::site::{Answer, Browser, PASSWORD, Site};
use crate::auth::Permission;
use crate::routes::{Route, Surface, table};
use crate::{Access, Proxy, Role, UserFile, Users};

/// A request of a route by somebody who knows the form's token.
async fn ask(site: &Site, browser: &mut Browser, route: &Route, csrf: &str) -> StatusCode {
    let path = route.path.replace("{file}", "none.css");
    let method = route.method.clone();
    if path == "/live" {
        return browser.open(site, method, "/live?of=/queues", None, String::new()).await.status();
    }
    let (kind, body) = match (&method, route.surface) {
        (&Method::POST, Surface::Api) => {
            browser.headers.insert("x-csrf-token", csrf.parse().unwrap());
            (Some("application/json"), "{}".to_owned())
        }
        (&Method::POST, Surface::Page) => (Some("application/x-www-form-urlencoded"), format!("csrf={csrf}")),
        _ => (None, String::new()),
    };
    let status = browser.send(site, method, &path, kind, body).await.status;
    browser.headers.remove("x-csrf-token");
    status
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_login_only_login_assets_and_health_answer() {
    let site = Site::with_users();
    let mut open = Vec::new();
    for route in table() {
        let status = ask(&site, &mut Browser::default(), route, "").await;
        if route.permission == Permission::Public {
            open.push(route.path.as_ref());
            continue;
        }
        let is_shut = status == StatusCode::UNAUTHORIZED || status == StatusCode::SEE_OTHER;
        assert!(is_shut, "{route:?} answers {status}");
        if route.method == Method::POST || route.surface == Surface::Api {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{route:?}");
        }
    }
    assert_eq!(open, ["/login", "/login", "/assets/{file}", "/health/live", "/health/ready"]);
}

#[tokio::test(flavor = "current_thread")]
async fn each_role_may_what_the_table_says_and_nothing_more() {
    let site = Site::with_users();
    let (mut viewer, _) = site.log_in("vic", PASSWORD).await;
    let (mut operator, _) = site.log_in("ann", PASSWORD).await;
    let viewers = viewer.get(&site, "/queues").await.field("csrf");
    let operators = operator.get(&site, "/queues").await.field("csrf");
    for route in table().iter().filter(|route| route.path != "/logout" && route.path != "/login") {
        let may_view = ask(&site, &mut viewer, route, &viewers).await != StatusCode::FORBIDDEN;
        assert_eq!(may_view, route.permission != Permission::Operator, "{route:?} by a viewer");
        let status = ask(&site, &mut operator, route, &operators).await;
        assert!(!matches!(status, StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED), "{route:?}: {status}");
        // A preview is asked for by POST, so that what is typed stands in no log, and changes nothing.
        let changes = route.method == Method::POST && route.path != "/schedule/preview";
        assert!(
            !changes || route.permission == Permission::Operator,
            "{route:?} changes something for a viewer"
        );
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_changes_something_needs_the_token_of_its_own_session() {
    let site = Site::with_users();
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let (mut other, _) = site.log_in("ann", PASSWORD).await;
    let foreign = other.get(&site, "/queues").await.field("csrf");
    assert_eq!(foreign.len(), 64);
    for route in table().iter().filter(|route| route.method == Method::POST && route.path != "/login") {
        for csrf in ["", "0", &foreign] {
            let status = ask(&site, &mut ann, route, csrf).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{route:?} with the token `{csrf}`");
        }
    }
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let own = ann.get(&site, "/queues").await.field("csrf");
    let mut evil = ann.clone().with_header("sec-fetch-site", "cross-site");
    let refused = evil.post(&site, "/queues/pause", &[("csrf", &own), ("queue", "q")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "current_thread")]
async fn a_program_needs_its_token_and_json() {
    let (mut users, entropy) = (Users::new(), lovage_testkit::SeededEntropy::new(5));
    let viewer = users.add_token("graphs", Role::Viewer, &entropy).unwrap();
    let operator = users.add_token("ci", Role::Operator, &entropy).unwrap();
    let site = Site::with(Access::Users(UserFile::fixed(users)));
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let pause = json!({ "queue": "q" });
    let path = "/api/v1/queues/pause";
    assert_eq!(Browser::program("wrong").json(&site, path, &pause).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(Browser::program(&viewer).json(&site, path, &pause).await.status, StatusCode::FORBIDDEN);
    let done = Browser::program(&operator).json(&site, path, &pause).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(done.text, r#"{"sentence":"`q` is paused: its tasks wait until it is resumed."}"#);
    let form = Browser::program(&operator).post(&site, path, &[("queue", "q")]).await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let seen = Browser::program(&viewer).get(&site, "/api/v1/queues").await;
    assert!(seen.text.contains(r#""paused":true"#), "{}", seen.text);
    let kept = site.actions().await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(
        (kept[0].who.as_str(), kept[0].what.as_str(), kept[0].to.as_str()),
        ("ci", "queues/pause", "q")
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_proxy_is_believed_from_its_own_address_only() {
    let proxy = Proxy::new("x-user", [[10, 0, 0, 1].into()]).operators(["ann".to_owned(), "bob".to_owned()]);
    let site = Site::with(Access::Proxy(proxy));
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let mut ann =
        Browser { peer: Some(([10, 0, 0, 1], 1).into()), ..Browser::default() }.with_header("x-user", "ann");
    let page = ann.get(&site, "/queues").await;
    assert_eq!(page.status, StatusCode::OK);
    let csrf = page.field("csrf");
    assert_eq!(
        ann.post(&site, "/queues/pause", &[("queue", "q"), ("csrf", &csrf)]).await.status,
        StatusCode::SEE_OTHER
    );
    assert!(ann.get(&site, "/queues").await.text.contains("is paused: its tasks wait"));
    let mut around = Browser { peer: Some(([10, 0, 0, 2], 1).into()), ..ann.clone() };
    assert_eq!(around.get(&site, "/queues").await.status, StatusCode::UNAUTHORIZED);
    // Somebody else in the same browser gets neither the session nor its token.
    let mut bob = ann.clone().with_header("x-user", "bob");
    let refused = bob.post(&site, "/queues/resume", &[("queue", "q"), ("csrf", &csrf)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_ne!(bob.get(&site, "/queues").await.field("csrf"), csrf);
}

#[tokio::test(flavor = "current_thread")]
async fn assets_are_found_by_name_and_nothing_else_is() {
    let site = Site::new();
    let mut nobody = Browser::default();
    let css = crate::assets::css();
    let found = nobody.get(&site, &css).await;
    assert_eq!(found.status, StatusCode::OK);
    assert_eq!(found.headers["content-type"], "text/css; charset=utf-8");
    assert!(found.headers["cache-control"].to_str().unwrap().contains("immutable"));
    for path in [
        "/assets/../Cargo.toml",
        "/assets/..%2fCargo.toml",
        "/assets/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/assets/..%5c..%5cetc",
        "/assets//etc/passwd",
        "/assets/app.css",
        "/assets/",
        "/assets/%00",
    ] {
        let status = nobody.get(&site, path).await.status;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn every_answer_carries_the_policy_and_no_page_needs_more() {
    let site = Site::new();
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    site.add_entry("nightly", "0 3 * * *").await;
    let mut ann = site.operator().await;
    for route in table().iter().filter(|route| route.method == Method::GET && route.path != "/live") {
        let path = route.path.replace("{file}", "none.css");
        let answer = ann.get(&site, &format!("{path}?name=nightly&id=x")).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert!(answer.headers.contains_key("cache-control"), "{path}");
        for inline in [" style=", " onclick=", " onload=", "<style", "javascript:", "<script>"] {
            assert!(!answer.text.contains(inline), "{path} has {inline}");
        }
    }
}

/// The sentence of a problem in the form that the API documents.
fn told(answer: &Answer, status: StatusCode) -> String {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/json", "{}", answer.text);
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    let body: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(body["error"]["status"], json!(status.as_u16()));
    body["error"]["sentence"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "current_thread")]
async fn programs_are_told_in_json_of_what_is_not_there_and_of_other_methods_and_types() {
    let site = Site::build(Access::Link, "/lovage");
    let mut nobody = Browser::default();
    for path in ["/lovage/api/v1", "/lovage/api/v1/", "/lovage/api/v1/nowhere", "/lovage/api/v1/queues/x/y"] {
        let sentence = told(&nobody.get(&site, path).await, StatusCode::NOT_FOUND);
        assert!(sentence.starts_with(&format!("there is no `GET {path}`: ")), "{sentence}");
        told(&nobody.json(&site, path, &json!({})).await, StatusCode::NOT_FOUND);
    }
    for route in table().iter().filter(|route| route.surface == Surface::Api) {
        let other = if route.method == Method::GET { Method::POST } else { Method::GET };
        let answer =
            nobody.send(&site, other.clone(), &format!("/lovage{}", route.path), None, String::new()).await;
        let sentence = told(&answer, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(sentence, format!("expected {} for `{}`, found {other}", route.method, route.path));
        let allowed = answer.headers["allow"].to_str().unwrap();
        assert!(allowed.split(',').any(|method| method == route.method.as_str()), "{allowed}");
    }
    let site = Site::new();
    let mut ann = site.operator().await;
    let form = ann.post(&site, "/api/v1/queues/pause", &[("queue", "q")]).await;
    let sentence = told(&form, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(sentence.contains("`Content-Type: application/json`"), "{sentence}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_token_that_is_not_valid_is_told_from_none() {
    let (mut users, entropy) = (Users::new(), lovage_testkit::SeededEntropy::new(5));
    let removed = users.add_token("ci", Role::Operator, &entropy).unwrap();
    users.remove("ci");
    let site = Site::with(Access::Users(UserFile::fixed(users)));
    let path = "/api/v1/queues";
    let none = Browser::default().get(&site, path).await;
    assert!(told(&none, StatusCode::UNAUTHORIZED).contains("`Authorization: Bearer TOKEN`"), "{}", none.text);
    assert_eq!(none.headers["www-authenticate"], "Bearer");
    let mut sentences = Vec::new();
    for token in [&removed, "wrong", ""] {
        let refused = Browser::program(token).get(&site, path).await;
        assert_eq!(refused.headers["www-authenticate"], "Bearer error=\"invalid_token\"");
        sentences.push(told(&refused, StatusCode::UNAUTHORIZED));
    }
    assert!(sentences[0].contains("not valid here, or not any more"), "{}", sentences[0]);
    sentences.dedup();
    assert_eq!(sentences.len(), 1, "nobody learns which token there was: {sentences:?}");
    let basic = Browser::default().with_header("authorization", "Basic YTpi").get(&site, path).await;
    assert!(told(&basic, StatusCode::UNAUTHORIZED).contains("expected `Bearer TOKEN`"), "{}", basic.text);
    assert_eq!(basic.headers["www-authenticate"], "Bearer");
}
