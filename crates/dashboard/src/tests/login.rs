//! Logging in, and everything that is tried against it.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use lovage_core::Clock as _;

use super::site::{Browser, PASSWORD, Site};
use crate::{Access, DashboardError};

#[tokio::test(flavor = "current_thread")]
async fn a_link_works_once() {
    let site = Site::new();
    let link = site.links.link(([127, 0, 0, 1], 8410).into());
    let path = link.strip_prefix("http://127.0.0.1:8410").unwrap();
    let peeked = Browser::default().send(&site, Method::HEAD, path, None, String::new()).await;
    assert_eq!(peeked.status, StatusCode::OK, "a look at the link does not use it");
    let mut first = Browser::default();
    let answer = first.get(&site, path).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/"));
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(first.get(&site, "/").await.status, StatusCode::OK);
    let mut second = Browser::default();
    let answer = second.get(&site, path).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.text.contains("was used before"));
    assert_eq!(second.get(&site, "/").await.location(), "/login?next=%2F");
}

#[tokio::test(flavor = "current_thread")]
async fn a_password_opens_a_session_under_a_new_id() {
    let site = Site::with_users();
    let mut browser = Browser::default();
    let planted = "f".repeat(64);
    browser.cookies.insert("lovage_session".to_owned(), planted.clone());
    let form = browser.get(&site, "/login?next=/queues").await;
    let fields =
        [("csrf", &*form.field("csrf")), ("name", "ann"), ("password", PASSWORD), ("next", "/queues")];
    let answer = browser.post(&site, "/login", &fields).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, "/queues"));
    let first = browser.cookies["lovage_session"].clone();
    assert_ne!(first, planted);
    // Logging in again ends the session that the browser had.
    let again = browser.post(&site, "/login", &fields).await;
    assert_eq!(again.status, StatusCode::SEE_OTHER);
    assert_ne!(browser.cookies["lovage_session"], first);
    browser.cookies.insert("lovage_session".to_owned(), first);
    assert_eq!(browser.get(&site, "/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "current_thread")]
async fn logging_out_ends_the_session_for_every_copy_of_its_cookie() {
    let site = Site::new();
    let mut ann = site.operator().await;
    let mut thief = ann.clone();
    let csrf = ann.get(&site, "/").await.field("csrf");
    assert_eq!(ann.post(&site, "/logout", &[("csrf", &csrf)]).await.location(), "/login");
    assert_eq!(thief.get(&site, "/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "current_thread")]
async fn a_session_ends_when_nobody_uses_it() {
    let site = Site::new();
    let mut ann = site.operator().await;
    site.clock.advance(Duration::from_secs(7 * 3_600));
    assert_eq!(ann.get(&site, "/").await.status, StatusCode::OK);
    site.clock.advance(Duration::from_secs(8 * 3_600));
    assert_eq!(ann.get(&site, "/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "current_thread")]
async fn ten_thousand_attempts_get_nowhere_and_hold_nobody_up_for_long() {
    let site = Site::with_users();
    let mut browser = Browser::default();
    let csrf = browser.get(&site, "/login").await.field("csrf");
    let mut checked = 0;
    for attempt in 0..10_000_u32 {
        let name = if attempt % 2 == 0 { "ann".to_owned() } else { format!("user{attempt}") };
        let fields = [("csrf", &*csrf), ("name", &*name), ("password", "guess guess")];
        let answer = browser.post(&site, "/login", &fields).await;
        match answer.status {
            StatusCode::UNAUTHORIZED => checked += 1,
            StatusCode::TOO_MANY_REQUESTS => assert!(answer.headers.contains_key("retry-after")),
            other => panic!("{other}"),
        }
    }
    // Ten for the name, the rest for as many names as one address may try.
    assert_eq!(checked, 50);
    let (_, answer) = site.log_in("ann", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    site.clock.advance(Duration::from_secs(15 * 60));
    let (_, answer) = site.log_in("ann", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "current_thread")]
async fn a_login_form_of_another_site_does_nothing() {
    let site = Site::with_users();
    let fields = [("name", "ann"), ("password", PASSWORD), ("csrf", "")];
    assert_eq!(Browser::default().post(&site, "/login", &fields).await.status, StatusCode::FORBIDDEN);
    let mut browser = Browser::default();
    browser.get(&site, "/login").await;
    assert_eq!(browser.post(&site, "/login", &fields).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "current_thread")]
async fn wrong_names_and_wrong_passwords_look_the_same() {
    let site = Site::with_users();
    let (_, wrong) = site.log_in("ann", "wrong horse").await;
    let (_, nobody) = site.log_in("eve", "wrong horse").await;
    let strip = |text: &str, name: &str| {
        text.replace(&format!("value=\"{name}\""), "")
            .lines()
            .map(|line| line.split("name=\"csrf\"").next().unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(wrong.status, nobody.status);
    assert_eq!(strip(&wrong.text, "ann"), strip(&nobody.text, "eve"));
    assert!(!wrong.text.contains("wrong horse"));
}

#[tokio::test(flavor = "current_thread")]
async fn after_the_login_nobody_is_sent_to_another_site() {
    let site = Site::new();
    for next in ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"] {
        let link = site.links.link(([127, 0, 0, 1], 8410).into());
        let path = format!("{}&next={next}", link.strip_prefix("http://127.0.0.1:8410").unwrap());
        assert_eq!(Browser::default().get(&site, &path).await.location(), "/", "{next}");
    }
    let mut ann = site.operator().await;
    let back = ann.act(&site, "/queues/pause", &[("queue", "q"), ("back", "//evil.example")]).await;
    assert_eq!(back.location(), "/");
}

#[tokio::test(flavor = "current_thread")]
async fn a_link_from_a_chat_finds_the_session_all_the_same() {
    let site = Site::new();
    // The browser keeps a strict cookie to itself on such a request.
    let mut chat = Browser::default().with_header("sec-fetch-site", "cross-site");
    let answer = chat.get(&site, "/queues").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.text.contains("http-equiv=\"refresh\""), "{}", answer.text);
}

#[tokio::test(flavor = "current_thread")]
async fn behind_tls_cookies_are_secure() {
    let site = Site::new();
    let link = site.links.link(([127, 0, 0, 1], 8410).into());
    let path = link.strip_prefix("http://127.0.0.1:8410").unwrap();
    let mut browser = Browser::default().with_header("x-forwarded-proto", "https");
    let answer = browser.get(&site, path).await;
    assert!(answer.headers["set-cookie"].to_str().unwrap().ends_with("; Secure"));
}

#[tokio::test(flavor = "current_thread")]
async fn under_a_base_every_link_and_cookie_has_it() {
    let site = Site::build(Access::Link, "/lovage/");
    let link = site.links.link(([127, 0, 0, 1], 8410).into());
    let path = link.strip_prefix("http://127.0.0.1:8410").unwrap().to_owned();
    assert!(path.starts_with("/lovage/login?token="), "{path}");
    let mut browser = Browser::default();
    let answer = browser.get(&site, &path).await;
    assert_eq!(answer.location(), "/lovage/");
    assert!(answer.headers["set-cookie"].to_str().unwrap().contains("; Path=/lovage;"));
    for path in ["/lovage", "/lovage/", "/lovage/queues"] {
        let page = browser.get(&site, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        for link in page.text.split(" href=\"").skip(1).chain(page.text.split(" action=\"").skip(1)) {
            assert!(link.starts_with("/lovage/") || link.starts_with('#'), "{path}: {}", &link[..40]);
        }
        assert!(page.text.contains("data-live=\"/lovage/live?of=%2F"), "{path}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn where_others_can_reach_it_a_link_is_not_enough() {
    use crate::{Dashboard, Parts, UserFile, Users};
    let site = Site::new();
    let parts = || Parts {
        broker: site.broker.clone(),
        results: site.results.clone(),
        schedules: None,
        clock: std::sync::Arc::new(site.clock.clone()),
        entropy: std::sync::Arc::new(lovage_testkit::SeededEntropy::new(1)),
    };
    let listener = || tokio::net::TcpListener::bind("0.0.0.0:0");
    let refused = Dashboard::new(parts()).serve(listener().await.unwrap(), async {}).await;
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("lovage dashboard user add"), "{text}");
    let nobody = Access::Users(UserFile::fixed(Users::new()));
    let refused = Dashboard::new(parts()).access(nobody).serve(listener().await.unwrap(), async {}).await;
    assert!(matches!(refused, Err(DashboardError::NoUsers { file: None })));
    let local = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert!(Dashboard::new(parts()).serve(local, async {}).await.is_ok());
    for bad in ["lovage", "/a b", "//evil", "/../x"] {
        assert!(matches!(Dashboard::new(parts()).base(bad), Err(DashboardError::Base { .. })), "{bad}");
    }
    assert!(site.clock.now() > lovage_core::Timestamp::default());
}

#[tokio::test(flavor = "current_thread")]
async fn nobody_is_locked_out_from_another_address_and_the_sentence_is_clear() {
    let site = Site::with_users();
    let mut attacker = Browser { peer: Some(([10, 6, 6, 6], 1).into()), ..Browser::default() };
    let csrf = attacker.get(&site, "/login").await.field("csrf");
    let mut checked = 0;
    for n in 0..10_000_u32 {
        let name = ["ann", "vic"][n as usize % 2];
        let fields = [("csrf", &*csrf), ("name", name), ("password", "guess guess")];
        let answer = attacker.post(&site, "/login", &fields).await;
        checked += u32::from(answer.status == StatusCode::UNAUTHORIZED);
    }
    assert_eq!(checked, 20, "ten for each name");
    for name in ["ann", "vic"] {
        let (_, answer) = site.log_in(name, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{name} from another address");
    }
    let fields = [("csrf", &*csrf), ("name", "ann"), ("password", PASSWORD)];
    let told = attacker.post(&site, "/login", &fields).await;
    assert!(told.says("There were too many attempts: try again in 15 min."), "{}", told.text);
    site.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(attacker.post(&site, "/login", &fields).await.status, StatusCode::SEE_OTHER);
}

/// An image on another site may ask for it as often as it likes.
#[tokio::test(flavor = "current_thread")]
async fn links_that_are_none_keep_nobody_from_a_good_one() {
    let site = Site::new();
    for n in 0..1_000 {
        let answer = Browser::default().get(&site, &format!("/login?token={n}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(site.operator().await.get(&site, "/").await.status, StatusCode::OK);
    // Where people have passwords a link is nothing, and no attempt either.
    let site = Site::with_users();
    for n in 0..100 {
        let answer = Browser::default().get(&site, &format!("/login?token={n}")).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert!(site.audit().await.is_empty());
    assert_eq!(site.log_in("ann", PASSWORD).await.1.status, StatusCode::SEE_OTHER);
}
