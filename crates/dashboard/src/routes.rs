//! The one table of all routes: what each is for, who may use it, and what it takes.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use axum::http::Method;
use axum::response::Response;
use lovage_core::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use crate::act::sure::Sure;
use crate::auth::Permission;
use crate::call::Call;
use crate::pages::Page;
use crate::params::*;
use crate::problem::Problem;
use crate::{act, api, assets, health, live, login, look, pages};

/// Where the JSON API is.
pub(crate) const API: &str = "/api/v1";

/// One route.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// Behind the base.
    pub(crate) path: Cow<'static, str>,
    pub(crate) permission: Permission,
    pub(crate) surface: Surface,
    /// A sentence.
    pub(crate) what: &'static str,
    pub(crate) params: Vec<Param>,
    pub(crate) handler: Handler,
    /// Of the answer, on the API.
    pub(crate) schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

/// For whom a route is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Surface {
    /// People: HTML, forms, redirects.
    Page,
    /// Programs: JSON.
    Api,
}

type Run<T> = Box<dyn Fn(Call) -> BoxFuture<'static, Result<T, Problem>> + Send + Sync>;

pub(crate) enum Handler {
    /// Shows something.
    Page(Run<Page>),
    /// Answers something as JSON.
    Data(Run<Value>),
    /// Changes something.
    Action(Run<Done>),
    /// Changes something, or shows its form again with what is wrong.
    Form(Run<Filled>),
    /// Everything else.
    Raw(Run<Response>),
}

/// What an action did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct Done {
    /// What was done.
    pub(crate) sentence: String,
    /// To what, for the audit.
    #[serde(skip)]
    pub(crate) to: String,
    /// To how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<usize>,
    /// The task that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// The job that goes on with it: `/job` says how far it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<String>,
    /// The page to go to; else the one from which the action came.
    #[serde(skip)]
    pub(crate) then: Option<String>,
}

/// What became of a form.
pub(crate) enum Filled {
    Done(Done),
    /// Something is wrong with it.
    Again(Box<Page>),
    /// Nothing yet: whoever sent it is asked whether it is meant.
    Asked(Box<Page>),
}

impl Done {
    pub(crate) fn new(to: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), to: to.into(), count: None, id: None, job: None, then: None }
    }

    pub(crate) fn count(self, count: usize) -> Self {
        Self { count: Some(count), ..self }
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({:?}, {:?})", self.method, self.path, self.permission, self.surface)
    }
}

/// All routes.
pub(crate) fn table() -> &'static [Route] {
    static TABLE: LazyLock<Vec<Route>> =
        LazyLock::new(|| [public(), views(), data(), actions()].into_iter().flatten().collect());
    &TABLE
}

/// The page at a path.
pub(crate) fn page_at(path: &str) -> Option<&'static Route> {
    table().iter().find(|route| route.path == path && matches!(route.handler, Handler::Page(_)))
}

fn public() -> Vec<Route> {
    let open = |method, path, what, handler| Route {
        permission: Permission::Public,
        ..raw(method, path, what, handler)
    };
    vec![
        open(
            Method::GET,
            "/login",
            "The form to log in; with a one-time token it logs in.",
            run(login::form),
        ),
        open(Method::POST, "/login", "Logs in by name and password.", run(login::by_password)),
        open(Method::GET, "/assets/{file}", "Styles and scripts.", run(assets::serve)),
        open(Method::GET, "/health/live", "Whether this process answers.", run(health::live)),
        open(Method::GET, "/health/ready", "Whether the broker answers this process.", run(health::ready)),
    ]
}

fn views() -> Vec<Route> {
    vec![
        page("/", "What is going on, and what is stuck.", pages::overview::page),
        page("/queues", "All queues.", pages::queues::list),
        page("/queue", "One queue.", pages::queues::one),
        page("/tasks", "Tasks that wait or run.", pages::tasks::page),
        page("/task", "One task.", pages::task::page),
        page("/finished", "Tasks that ended.", pages::finished::page),
        page("/workers", "The live workers.", pages::workers::page),
        page("/registered", "The tasks that the live workers can run.", pages::registered::page),
        page("/registered/task", "One task, and how it did.", pages::registered::one),
        page("/dead", "Dead letters.", pages::dead::page),
        page("/jobs", "Long actions of people and programs.", pages::jobs::list),
        page("/job", "One long action, and how far it is.", pages::jobs::one),
        page("/schedules", "The schedule.", pages::schedules::list),
        page("/schedule", "One entry of the schedule.", pages::schedules::one),
        page("/audit", "Who did what.", pages::audit::page),
        for_operators(page("/schedule/new", "The form of a new entry.", pages::schedule_form::new)),
        for_operators(page("/schedule/edit", "The form of an entry.", pages::schedule_form::edit)),
        // What somebody has typed into a form is sent as its body: a query stands in the logs of proxies.
        sent(for_operators(page(
            "/schedule/form",
            "The form with the fields of its task.",
            pages::schedule_form::with_its_fields,
        ))),
        for_operators(raw(
            Method::POST,
            "/schedule/preview",
            "What a form would do.",
            run(pages::schedule_form::preview),
        )),
        sent(for_operators(page(
            "/tasks/again/form",
            "The form to run a task again, with its arguments as chosen.",
            pages::again::with_its_fields,
        ))),
        for_operators(raw(
            Method::POST,
            "/tasks/again/preview",
            "What is wrong with the form to run a task again.",
            run(pages::again::preview),
        )),
        raw(Method::GET, "/live", "Keeps a page up to date.", run(live::stream)),
        raw(Method::POST, "/logout", "Ends the session.", run(login::out)),
    ]
}

fn data() -> Vec<Route> {
    vec![
        answer("/overview", "What is going on, and what is stuck.", &[RANGE], look::overview::data),
        answer("/queues", "All queues, and how much goes through them.", &[], look::flow::data),
        answer("/workers", "The live workers.", &[], look::workers::data),
        answer(
            "/registered",
            "The tasks that the live workers can run, and how they did.",
            &[RANGE],
            look::task_counts::data,
        ),
        answer("/registered/task", "One task, and how it did.", &[TASK_NAME, RANGE], look::task_counts::one),
        answer("/tasks", "Tasks of one place of a queue.", &[QUEUE, PLACE, AFTER, LIMIT], look::tasks::live),
        answer("/task", "One task.", &[ID], look::task::data),
        answer(
            "/finished",
            "Tasks that ended, the newest first.",
            &[&SEARCH[..], &[AFTER, LIMIT]].concat(),
            look::finished::data,
        ),
        answer(
            "/dead",
            "Dead letters of a queue, the newest first.",
            &[QUEUE, AFTER, LIMIT],
            look::tasks::dead,
        ),
        answer("/jobs", "Long actions, the newest first.", &[], look::jobs::list),
        answer("/job", "One long action, and how far it is.", &[JOB], look::jobs::one),
        answer(
            "/schedules",
            "The schedule, by name.",
            &[PREFIX, TASK, ENABLED, AFTER, LIMIT],
            look::schedules::list,
        ),
        answer("/schedule", "One entry of the schedule, with its next runs.", &[NAME], look::schedules::one),
        answer(
            "/schedule/history",
            "What became of the slots of an entry, the newest first.",
            &[NAME, AFTER, LIMIT],
            look::schedules::history,
        ),
        answer(
            "/schedule/audit",
            "Which slots of an entry fired, and why the others did not; 10,000 slots at most.",
            &[NAME, FROM, TO],
            look::slots::data,
        ),
        answer(
            "/audit",
            "Who did what, the newest first.",
            &[WHO, WHAT, DONE_SINCE, DONE_UNTIL, AFTER, LIMIT],
            look::audit::data,
        ),
        raw_api("/openapi.json", "This description.", run(api::openapi::document)),
    ]
}

fn actions() -> Vec<Route> {
    let mut routes: Vec<Route> = [
        action("/queues/pause", "Stops handing out tasks of a queue.", &[QUEUE], act::queues::pause),
        action("/queues/resume", "Hands out tasks of a queue again.", &[QUEUE], act::queues::resume),
        action(
            "/queues/limit",
            "Limits how many tasks of a queue are handed out in a time.",
            &[QUEUE, RATE],
            act::queues::limit,
        ),
        meant(
            "/queues/purge",
            "Begins a job that removes all tasks of one place of a queue; nobody gets them back.",
            &[QUEUE, REMOVABLE, CONFIRM],
            act::queues::ask_purge,
            act::queues::purge,
        ),
        action("/tasks/cancel", "Cancels a task.", &[ID], act::tasks::cancel),
        action("/tasks/promote", "Makes a task ready that waits for its time.", &[ID], act::tasks::promote),
        meant(
            "/finished/again",
            "Sends tasks that ended once more: those named, or by a job all that match. A dead letter is retried as itself, any other task gets a new id.",
            &[&[IDS, ALL], &SEARCH[..]].concat(),
            act::finished::ask_again,
            act::finished::again,
        ),
        meant(
            "/finished/delete",
            "Deletes the results of tasks: those named, or by a job all that match.",
            &[&[IDS, ALL, CONFIRM_DELETE], &SEARCH[..]].concat(),
            act::finished::ask_delete,
            act::finished::delete,
        ),
        meant(
            "/dead/retry",
            "Makes dead letters ready again: those named, or by a job all that match.",
            &[QUEUE, IDS, ALL, REASON, TASK],
            act::dead::ask_retry,
            act::dead::retry,
        ),
        meant(
            "/dead/delete",
            "Deletes dead letters: those named, or by a job all that match.",
            &[QUEUE, IDS, ALL, REASON, TASK, CONFIRM_ALL],
            act::dead::ask_delete,
            act::dead::delete,
        ),
        action("/job/stop", "Stops a long action after the part that it does now.", &[JOB], act::jobs::stop),
        action("/workers/quiet", "Tells a worker to take nothing more.", &[WORKER], act::workers::quiet),
        action("/workers/shutdown", "Tells a worker to stop gracefully.", &[WORKER], act::workers::shutdown),
        action(
            "/workers/concurrency",
            "Tells a worker how many async tasks to run at once.",
            &[WORKER, SLOTS],
            act::workers::concurrency,
        ),
        action(
            "/workers/add-queue",
            "Tells a worker to take tasks of one more queue.",
            &[WORKER, QUEUE, WEIGHT],
            act::workers::add_queue,
        ),
        action(
            "/workers/drop-queue",
            "Tells a worker to take no more tasks of a queue.",
            &[WORKER, QUEUE],
            act::workers::drop_queue,
        ),
        action("/schedules/enable", "Enables entries of the schedule.", &[NAMES], act::schedules::enable),
        action("/schedules/disable", "Disables entries of the schedule.", &[NAMES], act::schedules::disable),
        meant(
            "/schedules/delete",
            "Deletes entries of the schedule.",
            &[NAMES],
            act::schedules::ask_delete,
            act::schedules::delete,
        ),
        action(
            "/schedules/reset",
            "Gives an edited entry back to the program that declares it.",
            &[NAME],
            act::schedules::reset,
        ),
        action("/schedules/run", "Sends the tasks of entries now.", &[NAMES], act::schedules::run),
    ]
    .into_iter()
    .flatten()
    .collect();
    let [_, again] = action(
        "/tasks/again",
        "Sends a task once more: a dead letter as itself where its arguments and queue stay, else under a new id.",
        AGAIN,
        act::tasks::again,
    );
    let fill =
        form("/tasks/again", "Sends a task once more, from its form.", AGAIN, run(act::tasks::again_filled));
    let [_, put] =
        action("/schedules/put", "Adds or edits an entry of the schedule.", ENTRY, act::schedules::put);
    let save =
        form("/schedules/save", "Adds or edits an entry, from its form.", ENTRY, run(act::schedules::save));
    routes.extend([again, fill, put, save]);
    routes
}

/// A form that comes back with what is wrong.
fn form(path: &'static str, what: &'static str, params: &[Param], handler: Run<Filled>) -> Route {
    Route {
        method: Method::POST,
        path: path.into(),
        permission: Permission::Operator,
        surface: Surface::Page,
        what,
        params: params.to_vec(),
        handler: Handler::Form(handler),
        schema: None,
    }
}

/// A page that is asked for by a form.
fn sent(route: Route) -> Route {
    Route { method: Method::POST, ..route }
}

fn for_operators(route: Route) -> Route {
    Route { permission: Permission::Operator, ..route }
}

fn run<F, Fut, T>(handler: F) -> Run<T>
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, Problem>> + Send + 'static,
{
    Box::new(move |call| Box::pin(handler(call)))
}

fn raw(method: Method, path: &'static str, what: &'static str, handler: Run<Response>) -> Route {
    Route {
        method,
        path: path.into(),
        permission: Permission::Viewer,
        surface: Surface::Page,
        what,
        params: Vec::new(),
        handler: Handler::Raw(handler),
        schema: None,
    }
}

fn raw_api(path: &'static str, what: &'static str, handler: Run<Response>) -> Route {
    Route {
        path: format!("{API}{path}").into(),
        surface: Surface::Api,
        ..raw(Method::GET, path, what, handler)
    }
}

fn page<F, Fut>(path: &'static str, what: &'static str, handler: F) -> Route
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Page, Problem>> + Send + 'static,
{
    Route {
        method: Method::GET,
        path: path.into(),
        permission: Permission::Viewer,
        surface: Surface::Page,
        what,
        params: Vec::new(),
        handler: Handler::Page(run(handler)),
        schema: None,
    }
}

fn answer<F, Fut, T>(path: &'static str, what: &'static str, params: &[Param], handler: F) -> Route
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<T, Problem>> + Send + 'static,
    T: Serialize + JsonSchema,
{
    let run = run(move |call| {
        let answering = handler(call);
        async move { answering.await.and_then(|answer| api::json(&answer)) }
    });
    Route {
        method: Method::GET,
        path: format!("{API}{path}").into(),
        permission: Permission::Viewer,
        surface: Surface::Api,
        what,
        params: params.to_vec(),
        handler: Handler::Data(run),
        schema: Some(SchemaGenerator::subschema_for::<T>),
    }
}

/// The same action for people and for programs.
fn action<F, Fut>(path: &'static str, what: &'static str, params: &[Param], handler: F) -> [Route; 2]
where
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Problem>> + Send + 'static,
{
    [Surface::Page, Surface::Api].map(|surface| Route {
        method: Method::POST,
        path: match surface {
            Surface::Page => path.into(),
            Surface::Api => format!("{API}{path}").into(),
        },
        permission: Permission::Operator,
        surface,
        what,
        params: params.to_vec(),
        handler: Handler::Action(run(handler.clone())),
        schema: Some(SchemaGenerator::subschema_for::<Done>),
    })
}

/// The same of what people are asked about first: until their form says `confirm`. Programs mean what they send.
fn meant<A, Asking, F, Fut>(
    path: &'static str,
    what: &'static str,
    params: &[Param],
    ask: A,
    handler: F,
) -> [Route; 2]
where
    A: Fn(Call) -> Asking + Clone + Send + Sync + 'static,
    Asking: Future<Output = Result<Option<Sure>, Problem>> + Send + 'static,
    F: Fn(Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Done, Problem>> + Send + 'static,
{
    let [page, api] = action(path, what, params, handler.clone());
    let form = run(move |call: Call| {
        let (ask, handler) = (ask.clone(), handler.clone());
        async move {
            if call.input.get("confirm").is_none()
                && let Some(sure) = ask(call.clone()).await?
            {
                return Ok(Filled::Asked(Box::new(pages::sure::page(&call, path, sure))));
            }
            handler(call).await.map(Filled::Done)
        }
    });
    [Route { handler: Handler::Form(form), ..page }, api]
}
