//! A dashboard for tests, and browsers that look at it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use lovage_broker_memory::{MemoryResults, MemorySchedules, MemoryStore};
use lovage_core::audit::{Action, AuditFilter};
use lovage_core::schedule::ScheduleStore as _;
use lovage_core::{Broker, Clock, Entropy, Page, ResultStore, WorkerId};
use lovage_testkit::{FakeClock, FaultyBroker, SeededEntropy};
use serde_json::json;
use tower::ServiceExt as _;

use super::results::{Failures, FaultyResults};
use crate::pages::Url;
use crate::{Access, Dashboard, LoginLinks, Parts, Role, UserFile, Users};

pub(super) const PASSWORD: &str = "correct horse";

/// A dashboard and what it shows.
pub(super) struct Site {
    pub(super) router: Router,
    pub(super) broker: Arc<dyn Broker>,
    /// In front of the broker.
    pub(super) faults: Arc<FaultyBroker>,
    pub(super) results: Arc<MemoryResults>,
    /// What the dashboard's next calls of the results fail with.
    pub(super) failures: Failures,
    pub(super) schedules: MemorySchedules,
    pub(super) clock: FakeClock,
    pub(super) links: LoginLinks,
    parts: Parts,
}

/// A browser, or a program.
#[derive(Clone, Default)]
pub(super) struct Browser {
    pub(super) cookies: BTreeMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) peer: Option<SocketAddr>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Site {
    /// Into which one-time links lead.
    pub(super) fn new() -> Self {
        Self::with(Access::Link)
    }

    /// With ann, an operator, and vic, a viewer.
    pub(super) fn with_users() -> Self {
        let (mut users, entropy) = (Users::new(), SeededEntropy::new(5));
        users.set_password("ann", Role::Operator, PASSWORD, &entropy).unwrap();
        users.set_password("vic", Role::Viewer, PASSWORD, &entropy).unwrap();
        Self::with(Access::Users(UserFile::fixed(users)))
    }

    pub(super) fn with(access: Access) -> Self {
        Self::build(access, "")
    }

    pub(super) fn build(access: Access, base: &str) -> Self {
        Self::made(access, base, std::future::pending(), |results| results)
    }

    /// With these results over those in memory.
    pub(super) fn over(
        access: Access,
        wrap: impl FnOnce(Arc<MemoryResults>) -> Arc<dyn ResultStore>,
    ) -> Self {
        Self::made(access, "", std::future::pending(), wrap)
    }

    pub(super) fn stopping_on(stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::made(Access::Link, "", stop, |results| results)
    }

    fn made(
        access: Access,
        base: &str,
        stop: impl Future<Output = ()> + Send + 'static,
        wrap: impl FnOnce(Arc<MemoryResults>) -> Arc<dyn ResultStore>,
    ) -> Self {
        let clock = FakeClock::new();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let faults = FaultyBroker::new(MemoryStore::new(Arc::clone(&shared)).handle());
        let broker = Arc::clone(&faults) as Arc<dyn Broker>;
        let results = Arc::new(MemoryResults::new(Arc::clone(&shared)));
        let failures = Failures::default();
        let schedules = MemorySchedules::new(Arc::clone(&shared));
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(11));
        let parts = Parts {
            broker: Arc::clone(&broker),
            results: Arc::new(FaultyResults {
                inner: wrap(Arc::clone(&results)),
                failures: failures.clone(),
            }),
            schedules: Some(Arc::new(schedules.handle())),
            clock: shared,
            entropy,
        };
        let dashboard = Dashboard::new(parts.clone()).base(base).unwrap().access(access).stop_on(stop);
        let links = dashboard.links();
        Self { router: dashboard.router(), broker, faults, results, failures, schedules, clock, links, parts }
    }

    /// For another dashboard over the same.
    pub(super) fn parts(&self) -> Parts {
        self.parts.clone()
    }

    /// What the audit has of actions, logins left out, the oldest first.
    pub(super) async fn actions(&self) -> Vec<Action> {
        let all = self.audit().await;
        all.into_iter().filter(|action| !action.what.starts_with("log")).collect()
    }

    /// All that the audit has, the oldest first.
    pub(super) async fn audit(&self) -> Vec<Action> {
        let audit = ResultStore::audit(&*self.results).unwrap();
        let mut all = audit.list(&AuditFilter::default(), Page::first(1_000)).await.unwrap().items;
        all.reverse();
        all
    }

    /// A browser that came by a link.
    pub(super) async fn operator(&self) -> Browser {
        let link = self.links.link(([127, 0, 0, 1], 8410).into());
        let mut browser = Browser::default();
        let path = link.trim_start_matches("http://127.0.0.1:8410").to_owned();
        let answer = browser.get(self, &path).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        browser
    }

    /// A browser of somebody with a password.
    pub(super) async fn log_in(&self, name: &str, password: &str) -> (Browser, Answer) {
        let mut browser = Browser::default();
        let form = browser.get(self, "/login").await;
        let csrf = form.field("csrf");
        let answer =
            browser.post(self, "/login", &[("csrf", &csrf), ("name", name), ("password", password)]).await;
        (browser, answer)
    }

    /// A worker that can run these tasks: names and signatures.
    pub(super) async fn registers(&self, tasks: &[(&str, &str)]) {
        let tasks = tasks.iter().map(|(name, signature)| json!({ "name": name, "signature": signature }));
        self.registers_infos(tasks.collect()).await;
    }

    /// The same with all that a worker says of its tasks.
    pub(super) async fn registers_infos(&self, tasks: Vec<serde_json::Value>) {
        let worker = json!({
            "id": WorkerId::new(&SeededEntropy::new(3)), "name": "w", "host": "h", "pid": 1, "version": "0",
            "started_at": self.clock.now(), "mode": "running", "queues": ["q"], "concurrency": 1, "blocking": 1,
            "tasks": tasks, "active": [], "reserved": 0, "succeeded": 0, "failed": 0,
        });
        let worker = serde_json::from_value(worker).unwrap();
        self.broker.heartbeat(&worker, Duration::from_secs(86_400), None).await.unwrap();
    }

    pub(super) async fn add_entry(&self, name: &str, expression: &str) {
        use lovage_core::schedule::{Entry, Expected, Schedule};
        let schedule = Schedule::crontab(expression, "UTC").unwrap();
        let entry = Entry::new(name.parse().unwrap(), "test.task".parse().unwrap(), schedule);
        self.schedules.put(&entry, Expected::New, None).await.unwrap();
    }
}

impl Browser {
    /// A program with a token.
    pub(super) fn program(token: &str) -> Self {
        Self::default().with_header("authorization", &format!("Bearer {token}"))
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    pub(super) async fn get(&mut self, site: &Site, path: &str) -> Answer {
        self.send(site, Method::GET, path, None, String::new()).await
    }

    /// A form as it is written here, without the token that its page has.
    pub(super) async fn post(&mut self, site: &Site, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body =
            fields.iter().fold(Url::new("", ""), |url, (name, value)| url.with(name, value)).to_string();
        let body = body.trim_start_matches('?').to_owned();
        self.send(site, Method::POST, path, Some("application/x-www-form-urlencoded"), body).await
    }

    /// A form with its token.
    pub(super) async fn act(&mut self, site: &Site, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.get(site, "/queues").await.field("csrf");
        let mut fields = fields.to_vec();
        fields.push(("csrf", &csrf));
        self.post(site, path, &fields).await
    }

    /// The same by somebody who means it: where that is asked, the answer is yes.
    pub(super) async fn mean(&mut self, site: &Site, path: &str, fields: &[(&str, &str)]) -> Answer {
        let asked = self.act(site, path, fields).await;
        let typed = asked.text.split_once("To confirm, type: ").and_then(|(_, rest)| rest.split_once('<'));
        match typed.map_or_else(|| asked.field("confirm"), |(word, _)| word.to_owned()).as_str() {
            "" => asked,
            confirm => self.act(site, path, &[fields, &[("confirm", confirm)]].concat()).await,
        }
    }

    pub(super) async fn json(&mut self, site: &Site, path: &str, body: &serde_json::Value) -> Answer {
        self.send(site, Method::POST, path, Some("application/json"), body.to_string()).await
    }

    pub(super) async fn send(
        &mut self,
        site: &Site,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: String,
    ) -> Answer {
        let response = self.open(site, method, path, kind, body).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// The answer before its body.
    pub(super) async fn open(
        &mut self,
        site: &Site,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: impl Into<Body>,
    ) -> axum::response::Response {
        let mut request = Request::builder().method(method).uri(path).body(body.into()).unwrap();
        *request.headers_mut() = self.headers.clone();
        if !self.cookies.is_empty() {
            let pairs: Vec<String> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().insert(header::COOKIE, pairs.join("; ").parse().unwrap());
        }
        if let Some(kind) = kind {
            request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        }
        let peer = self.peer.unwrap_or_else(|| ([127, 0, 0, 1], 40_000).into());
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = site.router.clone().oneshot(request).await.unwrap();
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        response
    }
}

impl Answer {
    /// The value of the first hidden field of this name.
    pub(super) fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let rest = self.text.split_once(&start).map(|(_, rest)| rest);
        rest.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
    }

    /// What the form for this path would send as it stands here.
    pub(super) fn form(&self, path: &str) -> Vec<(String, String)> {
        let start = format!("action=\"{path}\"");
        let form =
            self.text.split_once(&start).unwrap_or_else(|| panic!("no form of {path}: {}", self.text)).1;
        let form = form.split_once("</form>").unwrap().0;
        let attribute = |tag: &str, name: &str| {
            let rest = tag.split_once(&format!(" {name}=\""))?.1;
            Some(unescaped(rest.split('"').next().unwrap()))
        };
        let mut fields = Vec::new();
        for part in form.split('<') {
            let (tag, text) = part.split_once('>').unwrap_or((part, ""));
            let name = attribute(tag, "name");
            match (tag.split(' ').next().unwrap(), name) {
                ("input", Some(name)) => fields.push((name, attribute(tag, "value").unwrap_or_default())),
                ("textarea", Some(name)) => {
                    fields.push((name, unescaped(text.strip_prefix('\n').unwrap_or(text))));
                }
                ("select", Some(name)) => fields.push((name, String::new())),
                ("option", _) if tag.ends_with(" selected") => {
                    fields.last_mut().unwrap().1 = attribute(tag, "value").unwrap();
                }
                _ => {}
            }
        }
        fields
    }

    /// Whether a sentence is on the page; names stand between backticks as in the source.
    pub(super) fn says(&self, part: &str) -> bool {
        self.text.replace("<code>", "`").replace("</code>", "`").contains(part)
    }

    pub(super) fn location(&self) -> &str {
        self.headers.get(header::LOCATION).map_or("", |value| value.to_str().unwrap())
    }
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
