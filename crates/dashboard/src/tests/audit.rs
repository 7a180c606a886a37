//! Who did what: what is kept of it, what is not, and what happens where it cannot be kept.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::{Method, StatusCode};
use lovage_broker_memory::MemoryResults;
use lovage_core::audit::{Action, AuditFilter, AuditStore};
use lovage_core::{
    AttemptRecord, BackendError, BackendErrorKind, Clock as _, Found, Page, Paged, Recorded, ResultFilter,
    ResultStore, TaskId, TaskRecord, Timestamp,
};
use lovage_testkit::{message, queue, settled_down};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::log::Log;
use super::site::{Answer, Browser, PASSWORD, Site};
use crate::Access;

/// What nobody may find in the audit.
const SECRET: &str = "4111-1111-secret";

/// Results with trouble in their audit.
#[derive(Debug)]
struct Troubled {
    inner: Arc<MemoryResults>,
    trouble: Trouble,
}

#[derive(Debug)]
pub(super) enum Trouble {
    /// It keeps no actions and counts nothing, as on Redis.
    Nothing,
    /// It fails.
    Failing,
    /// It waits for this.
    Slow(Arc<Notify>),
}

#[async_trait]
impl ResultStore for Troubled {
    async fn record(
        &self,
        batch: &[TaskRecord],
        now: Option<Timestamp>,
    ) -> Result<Vec<Recorded>, BackendError> {
        ResultStore::record(&*self.inner, batch, now).await
    }

    async fn get(
        &self,
        ids: &[TaskId],
        now: Option<Timestamp>,
    ) -> Result<Vec<Option<TaskRecord>>, BackendError> {
        self.inner.get(ids, now).await
    }

    async fn history(&self, id: TaskId) -> Result<Vec<AttemptRecord>, BackendError> {
        self.inner.history(id).await
    }

    async fn list(&self, filter: &ResultFilter, page: Page) -> Result<Found, BackendError> {
        ResultStore::list(&*self.inner, filter, page).await
    }

    async fn expire(&self, limit: usize, now: Option<Timestamp>) -> Result<usize, BackendError> {
        self.inner.expire(limit, now).await
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<usize, BackendError> {
        self.inner.delete(ids).await
    }

    fn audit(&self) -> Option<&dyn AuditStore> {
        match self.trouble {
            Trouble::Nothing => None,
            Trouble::Failing | Trouble::Slow(_) => Some(self),
        }
    }
}

#[async_trait]
impl AuditStore for Troubled {
    async fn record(&self, batch: &[Action]) -> Result<(), BackendError> {
        match &self.trouble {
            Trouble::Slow(go) => go.notified().await,
            Trouble::Nothing | Trouble::Failing => {
                return Err(BackendError::new(BackendErrorKind::Unavailable, "the disk is full"));
            }
        }
        AuditStore::record(&*self.inner, batch).await
    }

    async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Paged<Action>, BackendError> {
        AuditStore::list(&*self.inner, filter, page).await
    }

    async fn trim(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        self.inner.trim(before, limit).await
    }
}

pub(super) fn troubled(access: Access, trouble: Trouble) -> Site {
    Site::over(access, |inner| Arc::new(Troubled { inner, trouble }))
}

fn told(actions: &[Action]) -> Vec<[&str; 4]> {
    actions
        .iter()
        .map(|one| [one.who.as_str(), one.address.as_str(), one.what.as_str(), one.to.as_str()])
        .collect()
}

async fn api(site: &Site, browser: &mut Browser, query: &str) -> Vec<Value> {
    let answer = browser.get(site, &format!("/api/v1/audit{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let answer: Value = serde_json::from_str(&answer.text).unwrap();
    answer["items"].as_array().unwrap().clone()
}

async fn attempt(site: &Site, browser: &mut Browser, name: &str, password: &str) -> Answer {
    let csrf = browser.get(site, "/login").await.field("csrf");
    browser.post(site, "/login", &[("csrf", &csrf), ("name", name), ("password", password)]).await
}

#[tokio::test(flavor = "current_thread")]
async fn actions_and_logins_are_kept_with_who_when_and_from_where() {
    let site = Site::with_users();
    let (log, _guard) = Log::of_this_thread();
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let mut ann = Browser { peer: Some(([10, 1, 2, 3], 1).into()), ..Browser::default() };
    attempt(&site, &mut ann, "ann", "wrong horse").await;
    attempt(&site, &mut ann, "ann", PASSWORD).await;
    let at = site.clock.now();
    site.clock.advance(Duration::from_secs(60));
    ann.act(&site, "/queues/pause", &[("queue", "q")]).await;
    ann.act(&site, "/queues/pause", &[("queue", "nowhere")]).await;
    ann.act(&site, "/logout", &[]).await;
    let kept = site.audit().await;
    let from = "10.1.2.3";
    assert_eq!(
        told(&kept),
        [
            ["ann", from, "login/failed", ""],
            ["ann", from, "login", ""],
            ["ann", from, "queues/pause", "q"],
            ["ann", from, "queues/pause", "nowhere"],
            ["ann", from, "logout", ""],
        ]
    );
    assert_eq!((kept[1].at, kept[2].at), (at, at.plus(Duration::from_secs(60))));
    assert!(kept[2].outcome.starts_with("`q` is paused"), "{kept:?}");
    assert!(kept[3].outcome.starts_with("refused: "), "{kept:?}");
    for line in
        ["what=\"queues/pause\"", "who=\"ann\"", "address=\"10.1.2.3\"", "`q` is paused", "login/failed"]
    {
        assert!(log.text().contains(line), "{line} is not in the log:\n{}", log.text());
    }
    assert!(!log.text().contains("wrong horse") && !log.text().contains(PASSWORD), "{}", log.text());
}

#[tokio::test(flavor = "current_thread")]
async fn the_page_and_the_api_show_what_is_asked_for() {
    let site = Site::with_users();
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let (mut vic, _) = site.log_in("vic", PASSWORD).await;
    for path in ["/queues/pause", "/queues/resume"] {
        site.clock.advance(Duration::from_secs(3_600));
        ann.act(&site, path, &[("queue", "q")]).await;
    }
    // A viewer sees it, too.
    let page = vic.get(&site, "/audit").await;
    assert!(
        page.says("queues/resume") && page.says("`q` is open again.") && page.says("127.0.0.1"),
        "{}",
        page.text
    );
    assert!(page.says("/queue?name=q") && page.says("Logged in."), "{}", page.text);
    let whats = async |browser: &mut Browser, query: &str| {
        let found = api(&site, browser, query).await;
        found.iter().map(|one| one["what"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(whats(&mut vic, "").await, ["queues/resume", "queues/pause", "login", "login"]);
    assert_eq!(whats(&mut vic, "?who=vic").await, ["login"]);
    assert_eq!(whats(&mut vic, "?what=queues/pause").await, ["queues/pause"]);
    assert_eq!(whats(&mut vic, "?who=ann&since=90m").await, ["queues/resume", "queues/pause"]);
    assert_eq!(whats(&mut vic, "?until=30m&since=90m").await, ["queues/pause"]);
    assert_eq!(whats(&mut vic, "?who=an").await, Vec::<String>::new());
    let first = vic.get(&site, "/audit?who=ann&limit=2").await;
    assert!(
        first.says("queues/resume") && first.says("Next page") && !first.says("Logged in."),
        "{}",
        first.text
    );
    let next = first.text.split("/audit?who=ann&amp;limit=2&amp;after=").nth(1).unwrap();
    let next = next.split('"').next().unwrap();
    let second = vic.get(&site, &format!("/audit?who=ann&limit=2&after={next}")).await;
    assert!(second.says("Logged in.") && !second.says("`q` is open again."), "{}", second.text);
    let wrong = vic.get(&site, "/audit?since=yesterday").await;
    assert!(wrong.says("is no point in time") && wrong.says("name=\"who\""), "{}", wrong.text);
    assert!(vic.get(&site, "/audit?who=eve").await.says("No action matches"));
}

/// Somebody types a password where the name belongs.
#[tokio::test(flavor = "current_thread")]
async fn what_was_typed_as_a_name_is_kept_only_where_it_is_one() {
    let site = Site::with_users();
    let (log, _guard) = Log::of_this_thread();
    attempt(&site, &mut Browser::default(), SECRET, "x").await;
    attempt(&site, &mut Browser::default(), "vic", SECRET).await;
    assert_eq!(
        told(&site.audit().await),
        [["(unknown)", "127.0.0.1", "login/failed", ""], ["vic", "127.0.0.1", "login/failed", ""]]
    );
    assert!(!log.text().contains(SECRET) && !format!("{:?}", site.audit().await).contains(SECRET));
}

#[tokio::test(flavor = "current_thread")]
async fn an_attacker_fills_neither_the_audit_nor_the_log() {
    let site = Site::with_users();
    let (log, _guard) = Log::of_this_thread();
    let mut browser = Browser::default();
    let csrf = browser.get(&site, "/login").await.field("csrf");
    for n in 0..1_000_u32 {
        let (name, address) = (format!("user{n}"), n.to_be_bytes());
        browser.peer = Some((address, 1).into());
        // Nobody of this name: what is typed has no password's length, so that this does not take minutes.
        let fields = [("csrf", &*csrf), ("name", &*name), ("password", &*"x".repeat(2_000))];
        assert_eq!(browser.post(&site, "/login", &fields).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(site.audit().await.len(), 20);
    assert_eq!(log.text().matches("login/failed").count(), 20);
    // Once the window is over the rest is told by whatever comes next: here, a look.
    site.clock.advance(Duration::from_secs(15 * 60));
    let (mut ann, _) = site.log_in("ann", PASSWORD).await;
    let page = ann.get(&site, "/audit").await;
    assert!(page.says("980 more attempts to log in failed within 15 minutes."), "{}", page.text);
    let kept = site.audit().await;
    assert_eq!(kept.len(), 22);
    assert_eq!((kept[20].what.as_str(), kept[21].what.as_str()), ("login/failed", "login"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_somebody_types_as_arguments_is_not_kept() {
    let site = Site::new();
    let (log, _guard) = Log::of_this_thread();
    let mut ann = site.operator().await;
    let sent = message("q").build();
    site.broker.publish(std::slice::from_ref(&sent), None).await.unwrap();
    let id = sent.id.to_string();
    let good = format!("[\"{SECRET}\"]");
    let (bad, headers) = (format!("[\"{SECRET}\""), format!("{{\"token\":\"{SECRET}\"}}"));
    let csrf = ann.get(&site, "/queues").await.field("csrf");
    ann = ann.with_header("x-csrf-token", &csrf);
    for arguments in [&good, &bad, &format!("\"{SECRET}\"")] {
        ann.act(&site, "/tasks/again", &[("id", &id), ("args", arguments)]).await;
        let body = json!({ "id": id, "arguments": arguments });
        ann.json(&site, "/api/v1/tasks/again", &body).await;
    }
    let every = json!({ "kind": "interval", "every": "1m" });
    for (name, field, text) in [
        ("a", "args", &good),
        ("b", "args", &bad),
        ("c", "kwargs", &bad),
        ("d", "headers", &headers),
        ("e", "headers", &bad),
        ("f", "args", &headers),
    ] {
        let entry = json!({ "name": name, "task": "pay", "schedule": every, field: text });
        let answer = ann.json(&site, "/api/v1/schedules/put", &entry).await;
        let is_good = matches!(name, "a" | "d");
        assert_eq!(answer.status == StatusCode::OK, is_good, "{name}: {}", answer.text);
        let form = format!("{name}-form");
        let schedule = every.to_string();
        let fields = [("name", &*form), ("task", "pay"), ("schedule", &*schedule), (field, text)];
        ann.act(&site, "/schedules/save", &fields).await;
    }
    let kept = site.actions().await;
    // A form that comes back is not done with, and is no action yet.
    assert_eq!(kept.len(), 1 + 3 + 6 + 2, "{kept:?}");
    assert!(kept.iter().any(|one| one.outcome.starts_with("refused: ")), "{kept:?}");
    assert!(!format!("{kept:?}").contains(SECRET), "{kept:?}");
    assert!(!log.text().contains(SECRET), "{}", log.text());
}

#[tokio::test(flavor = "current_thread")]
async fn an_action_that_cannot_be_kept_was_done_and_the_log_says_so() {
    let site = troubled(Access::Link, Trouble::Failing);
    let (log, _guard) = Log::of_this_thread();
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let mut ann = site.operator().await;
    ann.act(&site, "/queues/pause", &[("queue", "q")]).await;
    assert!(site.broker.depth(&queue("q"), None).await.unwrap().paused);
    assert!(ann.get(&site, "/queues").await.says("`q` is paused"));
    let text = log.text();
    assert!(text.contains("could not be kept") && text.contains("the disk is full"), "{text}");
    assert!(text.contains("what=\"queues/pause\""), "{text}");
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_goes_away_before_the_answer_is_in_the_audit_all_the_same() {
    let go = Arc::new(Notify::new());
    let site = troubled(Access::Link, Trouble::Slow(Arc::clone(&go)));
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    go.notify_one();
    let mut ann = site.operator().await;
    let csrf = ann.get(&site, "/queues").await.field("csrf");
    let fields = format!("queue=q&csrf={csrf}");
    let kind = Some("application/x-www-form-urlencoded");
    {
        let asking = ann.send(&site, Method::POST, "/queues/pause", kind, fields);
        tokio::pin!(asking);
        tokio::select! {
            biased;
            answer = &mut asking => panic!("the audit waits: {answer:?}"),
            () = settled_down() => {}
        }
    }
    assert!(site.broker.depth(&queue("q"), None).await.unwrap().paused);
    assert!(site.actions().await.is_empty());
    go.notify_one();
    settled_down().await;
    assert_eq!(told(&site.actions().await), [["local", "127.0.0.1", "queues/pause", "q"]]);
}

#[tokio::test(flavor = "current_thread")]
async fn where_nothing_is_kept_the_page_says_where_it_is() {
    let site = troubled(Access::Link, Trouble::Nothing);
    let (log, _guard) = Log::of_this_thread();
    site.broker.publish(&[message("q").build()], None).await.unwrap();
    let mut ann = site.operator().await;
    ann.act(&site, "/queues/pause", &[("queue", "q")]).await;
    assert!(log.text().contains("`q` is paused"), "{}", log.text());
    let page = ann.get(&site, "/audit").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.says("Actions are in the log alone") && page.says("`LOVAGE_RESULTS_URL`"), "{}", page.text);
    assert!(!page.says("name=\"who\""), "there is nothing to search in");
    let answer = ann.get(&site, "/api/v1/audit").await;
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test(flavor = "current_thread")]
async fn actions_are_kept_for_400_days() {
    let site = Site::new();
    let day = Duration::from_secs(86_400);
    let mut ann = site.operator().await;
    let old = |days: u32| Action { at: site.clock.now().minus(day * days), ..action(days) };
    let store = ResultStore::audit(&*site.results).unwrap();
    store.record(&[old(401), old(399)]).await.unwrap();
    store.record(&(0..2_500).map(|_| old(500)).collect::<Vec<_>>()).await.unwrap();
    let oldest = async || site.audit().await.first().map(|action| action.to.clone());
    // Within an hour of the first look nothing more is removed.
    ann.get(&site, "/audit").await;
    assert_eq!(oldest().await.as_deref(), Some("500"));
    site.clock.advance(Duration::from_secs(3_600));
    for _ in 0..3 {
        ann.get(&site, "/audit").await;
    }
    assert_eq!(oldest().await.as_deref(), Some("399"));
}

fn action(days: u32) -> Action {
    Action {
        at: Timestamp::default(),
        who: "ann".into(),
        address: String::new(),
        what: "queues/pause".into(),
        to: days.to_string(),
        outcome: String::new(),
    }
}
