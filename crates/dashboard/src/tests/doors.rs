//! What is tried at the doors: other sites, other people's tokens, planted ids, odd methods, bodies and fields.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, header};
use futures_util::stream::pending;
use lovage_core::Clock as _;
use lovage_testkit::{message, queue, settled_down};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::site::{Browser, PASSWORD, Site};
use crate::auth::Permission;
use crate::routes::{Handler, Route, Surface, table};
use crate::{Access, Dashboard, Proxy, Role, UserFile, Users};

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
const JSON: Option<&str> = Some("application/json");

/// Everything that changes something, the login too.
fn posts() -> impl Iterator<Item = &'static Route> {
    table().iter().filter(|route| route.method == Method::POST)
}

fn body(route: &Route) -> (Option<&'static str>, &'static str) {
    if route.surface == Surface::Api { (JSON, "{}") } else { (FORM, "") }
}

#[tokio::test(flavor = "current_thread")]
async fn each_role_of_a_program_may_what_the_table_says() {
    let (mut users, entropy) = (Users::new(), lovage_testkit::SeededEntropy::new(5));
    let viewer = users.add_token("graphs", Role::Viewer, &entropy).unwrap();
    let operator = users.add_token("ci", Role::Operator, &entropy).unwrap();
    let site = Site::with(Access::Users(UserFile::fixed(users)));
    for route in table().iter().filter(|route| route.permission != Permission::Public) {
        let (kind, text) = body(route);
        let ask = async |token: &str| {
            let path = if route.path == "/live" { "/live?of=/" } else { &*route.path };
            let mut program = Browser::program(token);
            program.open(&site, route.method.clone(), path, kind, text.to_owned()).await.status()
        };
        let wrong = ask("lovage_wrong").await;
        assert!(matches!(wrong, StatusCode::UNAUTHORIZED | StatusCode::SEE_OTHER), "{route:?}: {wrong}");
        let for_operators = route.permission == Permission::Operator;
        let is_form = route.method == Method::POST && route.surface == Surface::Page;
        // Forms are for browsers: a program has no session to take their token from.
        assert_eq!(ask(&viewer).await == StatusCode::FORBIDDEN, for_operators || is_form, "{route:?}");
        assert_eq!(ask(&operator).await == StatusCode::FORBIDDEN, is_form, "{route:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn another_site_changes_nothing_even_with_the_right_token() {
    let site = Site::with_users();
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let csrf = ann.get(&site, "/queues").await.field("csrf");
    let before = site.audit().await;
    for route in posts() {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "https://dashboard.example:444"),
        ] {
            let mut evil = ann.clone().with_header(name, value).with_header("x-csrf-token", &csrf);
            evil.headers.insert(header::HOST, "dashboard.example".parse().unwrap());
            let login = evil.cookies.get("lovage_login").cloned().unwrap_or_default();
            let token = if route.path == "/login" { &login } else { &csrf };
            let (kind, text) = match route.surface {
                Surface::Api => (JSON, "{\"queue\":\"q\"}".to_owned()),
                Surface::Page => (FORM, format!("csrf={token}&queue=q&name=ann&password=correct+horse")),
            };
            let status = evil.send(&site, Method::POST, &route.path, kind, text).await.status;
            assert_eq!(status, StatusCode::FORBIDDEN, "{route:?} with {name}: {value}");
        }
    }
    assert!(!site.broker.depth(&queue("q"), None).await.unwrap().paused);
    assert_eq!(site.audit().await, before);
    assert_eq!(ann.get(&site, "/queues").await.status, StatusCode::OK, "nobody was logged out");
}

#[tokio::test(flavor = "current_thread")]
async fn csrf_token_in_a_query_is_not_accepted() {
    let site = Site::with_users();
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let csrf = ann.get(&site, "/queues").await.field("csrf");
    for route in posts().filter(|route| route.path != "/login") {
        let (kind, text) = body(route);
        let path = format!("{}?csrf={csrf}", route.path);
        let status = ann.send(&site, Method::POST, &path, kind, text.to_owned()).await.status;
        assert_eq!(status, StatusCode::FORBIDDEN, "{route:?}");
    }
    let mut browser = Browser::default();
    let login = browser.get(&site, "/login").await.field("csrf");
    let fields = [("name", "ann"), ("password", PASSWORD)];
    let answer = browser.post(&site, &format!("/login?csrf={login}"), &fields).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "current_thread")]
async fn proxy_mode_ignores_the_header_authorization() {
    let site = Site::with(Access::Proxy(Proxy::new("x-user", [[10, 0, 0, 1].into()])));
    let mut ann = Browser { peer: Some(([10, 0, 0, 1], 1).into()), ..Browser::default() }
        .with_header("x-user", "ann")
        .with_header("authorization", "Basic YW5uOng=");
    assert_eq!(ann.get(&site, "/").await.status, StatusCode::OK);
    assert_eq!(ann.get(&site, "/api/v1/queues").await.status, StatusCode::OK);
    let mut around =
        Browser::default().with_header("x-user", "ann").with_header("authorization", "Basic YW5uOng=");
    let answer = around.get(&site, "/api/v1/queues").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.says("the request names no user"), "{}", answer.text);
}

#[tokio::test(flavor = "current_thread")]
async fn a_form_of_another_type_is_no_json() {
    let site = Site::with_users();
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let csrf = ann.get(&site, "/queues").await.field("csrf");
    let mut ann = ann.with_header("x-csrf-token", &csrf);
    // What a form of another site can send without asking the browser first.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        for route in posts().filter(|route| route.surface == Surface::Api) {
            let status = ann.send(&site, Method::POST, &route.path, Some(kind), "{}".to_owned()).await.status;
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{route:?} as {kind}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_id_that_somebody_planted_is_never_taken_over() {
    let planted = "f".repeat(64);
    let plant =
        |browser: &mut Browser| drop(browser.cookies.insert("lovage_session".to_owned(), planted.clone()));
    let site = Site::new();
    let mut browser = Browser::default();
    plant(&mut browser);
    let link = site.links.link(([127, 0, 0, 1], 8410).into());
    let answer = browser.get(&site, link.strip_prefix("http://127.0.0.1:8410").unwrap()).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_ne!(browser.cookies["lovage_session"], planted);
    plant(&mut browser);
    assert_eq!(browser.get(&site, "/").await.status, StatusCode::SEE_OTHER, "to the login");

    let proxy = Proxy::new("x-user", [[10, 0, 0, 1].into()]).operators(["ann".to_owned()]);
    let site = Site::with(Access::Proxy(proxy));
    let mut browser =
        Browser { peer: Some(([10, 0, 0, 1], 1).into()), ..Browser::default() }.with_header("x-user", "ann");
    plant(&mut browser);
    assert_eq!(browser.get(&site, "/").await.status, StatusCode::OK);
    assert_ne!(browser.cookies["lovage_session"], planted);
}

#[tokio::test(flavor = "current_thread")]
async fn each_login_has_an_id_and_a_token_of_its_own_and_logout_ends_both() {
    let site = Site::with_users();
    let (mut first, _) = site.log_in("ann", PASSWORD).await;
    let (mut second, _) = site.log_in("ann", PASSWORD).await;
    assert_ne!(first.cookies["lovage_session"], second.cookies["lovage_session"]);
    let csrf = first.get(&site, "/queues").await.field("csrf");
    assert_ne!(csrf, second.get(&site, "/queues").await.field("csrf"));
    let mut copy = first.clone();
    let out = first.post(&site, "/logout", &[("csrf", &csrf)]).await;
    let cookie = out.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("lovage_session=; ") && cookie.contains("Max-Age=0"), "{cookie}");
    for route in table().iter().filter(|route| route.permission != Permission::Public) {
        let (kind, text) = body(route);
        let path = if route.path == "/live" { "/live?of=/" } else { &*route.path };
        let status = copy.open(&site, route.method.clone(), path, kind, text.to_owned()).await.status();
        let is_shut = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::SEE_OTHER);
        assert!(is_shut, "{route:?}: {status}");
    }
    assert_eq!(second.get(&site, "/queues").await.status, StatusCode::OK, "the other one goes on");
}

#[tokio::test(flavor = "current_thread")]
async fn whatever_the_method_and_the_path_nothing_is_told_without_a_login_and_every_answer_is_hardened() {
    let site = Site::with_users();
    let methods =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"];
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    for route in table() {
        for method in methods {
            let path = route.path.replace("{file}", "none.css");
            let method: Method = method.parse().unwrap();
            let mut nobody = Browser::default();
            let response = nobody.open(&site, method.clone(), &path, FORM, String::new()).await;
            hardened(&format!("{method} {path}"), response.headers());
            let is_public = table()
                .iter()
                .any(|other| other.path == route.path && other.permission == Permission::Public);
            let status = response.status();
            let is_shut = matches!(
                status,
                StatusCode::UNAUTHORIZED | StatusCode::SEE_OTHER | StatusCode::METHOD_NOT_ALLOWED
            );
            assert!(is_shut || is_public, "{method} {path}: {status}");
            if path != "/logout" && path != "/login" {
                let response = ann.open(&site, method.clone(), &path, FORM, String::new()).await;
                hardened(&format!("{method} {path} by ann"), response.headers());
            }
        }
    }
}

fn hardened(what: &str, headers: &HeaderMap) {
    let policy = headers.get("content-security-policy").map(|value| value.to_str().unwrap());
    assert!(policy.is_some_and(|policy| policy.starts_with("default-src 'none'; ")), "{what}: {policy:?}");
    assert!(policy.is_some_and(|policy| policy.contains("frame-ancestors 'none'")), "{what}: {policy:?}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(headers.get(name).map(|found| found.to_str().unwrap()), Some(value), "{what}: {name}");
    }
    assert!(headers.contains_key("cache-control"), "{what}");
}

/// One that is served by itself, and not by an axum server of somebody.
#[tokio::test]
async fn a_path_that_is_none_is_not_found_and_hardened() {
    let site = Site::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(Dashboard::new(site.parts()).serve(listener, async { drop(stopped.await) }));
    for path in
        ["/nowhere", "/queues/../../etc/passwd", "/assets/../../etc/passwd", "/api/v1/nowhere", "/%2e%2e/x"]
    {
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = fields
            .map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        hardened(path, &headers);
        if path.starts_with("/api/v1/") {
            let sentence =
                format!("there is no `GET {path}`: `/api/v1/openapi.json` describes what there is");
            assert_eq!(text, json!({ "error": { "status": 404, "sentence": sentence } }).to_string());
        } else {
            assert!(
                text.starts_with("<!DOCTYPE html>") && text.contains("there is no page at this address"),
                "{text}"
            );
        }
    }
    drop(stop);
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn cookies_are_for_this_site_alone_and_no_script_reads_them() {
    let site = Site::with_users();
    let mut browser = Browser::default().with_header("x-forwarded-proto", "https");
    let form = browser.get(&site, "/login").await;
    let fields = [("csrf", &*form.field("csrf")), ("name", "ann"), ("password", PASSWORD)];
    let welcome = browser.post(&site, "/login", &fields).await;
    let csrf = browser.get(&site, "/queues").await.field("csrf");
    let gone = browser.post(&site, "/logout", &[("csrf", &csrf)]).await;
    for (answer, name) in [(form, "lovage_login="), (welcome, "lovage_session="), (gone, "lovage_session=")] {
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap().to_owned();
        assert!(cookie.starts_with(name), "{cookie}");
        for attribute in ["; Path=/;", "; HttpOnly", "; SameSite=Strict", "; Secure"] {
            assert!(cookie.contains(attribute), "{attribute}: {cookie}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_huge_body_is_refused_early_and_a_slow_one_after_a_time_while_others_are_answered() {
    let site = Site::with_users();
    let csrf = Browser::default().get(&site, "/login").await.field("csrf");
    let mut nobody = Browser::default();
    nobody.cookies.insert("lovage_login".to_owned(), csrf.clone());
    let huge = format!("csrf={csrf}&name=ann&password={}", "x".repeat(40_000));
    let status = nobody.send(&site, Method::POST, "/login", FORM, huge).await.status;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let own = ann.get(&site, "/queues").await.field("csrf");
    ann = ann.with_header("x-csrf-token", &own);
    for route in posts().filter(|route| route.permission == Permission::Operator) {
        let (kind, _) = body(route);
        let huge = format!("{{\"queue\":\"{}\"}}", "x".repeat(3_000_000));
        let status = ann.send(&site, Method::POST, &route.path, kind, huge).await.status;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{route:?}");
    }
    let endless = Body::from_stream(pending::<Result<Vec<u8>, std::io::Error>>());
    let asking = nobody.open(&site, Method::POST, "/login", FORM, endless);
    tokio::pin!(asking);
    let began = site.clock.now();
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut asking => break answer,
            () = settled_down() => {
                assert_eq!(ann.get(&site, "/queues").await.status, StatusCode::OK);
                site.clock.advance(Duration::from_secs(10));
            }
        }
    };
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
    assert!(site.clock.now().since(began) <= Duration::from_secs(40));
}

#[tokio::test(flavor = "current_thread")]
async fn no_field_reaches_the_headers_of_an_answer() {
    const FORGED: &str = "x\r\nset-cookie: evil=1\r\n\r\n<script>";
    let site = Site::with_users();
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    site.add_entry("nightly", "0 3 * * *").await;
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let csrf = ann.get(&site, "/queues").await.field("csrf");
    let fields = ["queue", "name", "id", "ids", "worker", "task", "back", "next", "rate", "arguments"];
    for route in posts().filter(|route| route.surface == Surface::Page && route.path != "/logout") {
        let fields: Vec<_> = fields.iter().map(|name| (*name, FORGED)).chain([("csrf", &*csrf)]).collect();
        let answer = ann.post(&site, &route.path, &fields).await;
        assert!(
            answer.headers.values().all(|value| !format!("{value:?}").contains("evil")),
            "{route:?}: {answer:?}"
        );
        let page = ann.get(&site, "/").await;
        assert!(!page.text.contains("<script>\n") && !page.text.contains("<script>x"), "{route:?}");
    }
    for path in ["/login?next=%2F%0d%0aset-cookie:%20evil=1", "/queues?x=%0d%0aset-cookie:%20evil=1"] {
        for browser in [&mut ann, &mut Browser::default()] {
            let answer = browser.get(&site, path).await;
            assert!(!answer.headers.values().any(|value| value == "evil=1"), "{path}");
            assert!(!answer.location().contains(['\r', '\n']), "{path}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn nobody_is_sent_to_another_site_by_any_field() {
    let site = Site::with_users();
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let elsewhere = [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example/",
        "https:evil.example",
        "javascript:alert(1)",
        "@evil.example",
        ".evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        " //evil.example",
    ];
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let csrf = ann.get(&site, "/queues").await.field("csrf");
    for to in elsewhere {
        for route in posts()
            .filter(|route| matches!(route.handler, Handler::Action(_) | Handler::Form(_)))
            .filter(|route| route.surface == Surface::Page && route.path != "/schedules/save")
        {
            let fields = [("csrf", &*csrf), ("queue", "q"), ("back", to), ("next", to)];
            assert_eq!(
                ann.post(&site, &route.path, &fields).await.location(),
                "/",
                "{route:?} back to {to:?}"
            );
        }
        let next = crate::pages::Url::new("", "/login").with("next", to).to_string();
        assert_eq!(ann.get(&site, &next).await.location(), "/", "{to:?}, logged in");
        let mut nobody = Browser::default();
        let form = nobody.get(&site, &next).await;
        assert_eq!(form.field("next"), "/", "{to:?}");
        let fields = [("csrf", &*form.field("csrf")), ("name", "ann"), ("password", PASSWORD), ("next", to)];
        assert_eq!(nobody.post(&site, "/login", &fields).await.location(), "/", "{to:?}");
    }
}
