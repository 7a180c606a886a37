//! What is visited: every page, and every way to search.

/// A page, with something else in its query each time.
pub(crate) struct Visited {
    pub(crate) name: &'static str,
    pub(crate) path: Box<dyn Fn(usize) -> String + Send + Sync>,
    /// A part of what must be on it: an empty page is soon there.
    pub(crate) shows: &'static str,
}

/// All of them, where so many tasks have ended.
pub(crate) fn all(finished: u32) -> Vec<Visited> {
    let mut pages = Vec::new();
    for (name, path, shows) in [
        ("overview, an hour", "/", "Succeeded"),
        ("overview, a week", "/?range=7d", "Succeeded"),
        ("queues", "/queues", "reports"),
        ("queue", "/queue?name=default", "Rate limit"),
        ("live tasks, waiting", "/tasks?queue=default&place=ready", "shop.tasks"),
        ("live tasks, due later", "/tasks?queue=default&place=delayed", "shop.tasks"),
        ("workers", "/workers", "worker-49@host-9"),
        ("registered tasks", "/registered", "billing.tasks.fetch"),
        ("registered tasks, a week", "/registered?range=7d", "billing.tasks.fetch"),
        ("a registered task, a week", "/registered/task?name=mail.tasks.send&range=7d", "mail.tasks.send"),
        ("audit", "/audit", "queues/pause"),
        ("jobs", "/jobs", "Nobody has begun"),
        ("dead letters", "/dead?queue=default", "exhausted"),
        ("schedules", "/schedules", "entry-000"),
        ("schedule", "/schedule?name=entry-0007", "every"),
        ("new schedule", "/schedule/new?task=mail.tasks.send", "customer"),
        ("finished", "/finished", "worker-"),
        ("finished, failures", "/finished?state=failure", "worker-"),
        ("finished, a rare text in errors", "/finished?error=REACTOR+is+on", "reactor is on fire"),
        ("finished, a frequent text in errors", "/finished?error=timed+out", "timed out"),
        ("finished, a text in no error", "/finished?error=kernel+panic", "No task that ended"),
        ("finished, a short text in errors", "/finished?error=zq", "matches"),
        ("API, overview", "/api/v1/overview", "\"totals\""),
        ("API, finished", "/api/v1/finished?limit=100", "\"items\""),
    ] {
        pages.push(Visited { name, path: Box::new(move |_| path.to_owned()), shows });
    }
    let mut each = |name, shows, path: fn(usize) -> String| {
        pages.push(Visited { name, path: Box::new(path), shows });
    };
    each("finished, a task", "worker-", |round| {
        let area = ["shop", "mail", "media", "billing"][round % 4];
        let what = ["sync", "fetch", "charge", "clean"][round / 4 % 4];
        format!("/finished?task={area}.tasks.{what}")
    });
    each("finished, a worker", "worker-", |round| {
        format!("/finished?worker=worker-{0}@host-{1}", round % 50, round % 10)
    });
    each("finished, a queue and a state", "", |round| {
        format!("/finished?queue={}&state=expired", ["slow", "reports", "mail"][round % 3])
    });
    each("finished, a range of time", "worker-", |round| {
        format!("/finished?since={}h&until={}h", 4 + round * 6, 3 + round * 6)
    });
    each("finished, exact arguments in a day", "", |round| {
        let since = 1 + round % 20;
        format!("/finished?arguments=[{},\"customer-7\"]&since={since}d&until={}d", round * 991, since - 1)
            .replace('"', "%22")
    });
    pages.push(Visited {
        name: "a task that ended",
        path: Box::new(move |round| {
            let number = 1 + (round * 7_919_993) % usize::try_from(finished).unwrap_or(1);
            format!("/task?id={}", super::fill::id(number))
        }),
        shows: "What happened",
    });
    pages
}
