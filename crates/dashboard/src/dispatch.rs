//! The way of every request: who, may they, is it theirs, then the handler; and what every answer carries.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use futures_util::future::{Either, select};
use serde_json::{Value, json};

use crate::app::App;
use crate::auth::{Access, Permission, Who, bearer, check_origin, digest, session_cookie};
use crate::call::{Call, Input};
use crate::doing;
use crate::pages::{self, layout};
use crate::problem::Problem;
use crate::routes::{API, Handler, Route, Surface};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Of a body of another type than JSON.
const NOT_JSON: &str =
    "the body is not said to be JSON: send a JSON object with the header `Content-Type: application/json`";

/// Behind an authenticating proxy, of a request without a user.
const NO_PROXY_USER: &str = "the request names no user: expected the reverse proxy at one of its configured addresses \
    to send the user header once";

/// A body has arrived after this time, or nobody waits for it any longer.
const READ: Duration = Duration::from_secs(30);

/// Answers a request.
pub(crate) async fn dispatch(route: &'static Route, app: Arc<App>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut who = app.guard.identify(&parts);
    let cookie = open_session(&app, route, &parts, &mut who);
    let secure = is_secure(&app, &parts);
    let answered = match gate(&app, route, &parts, who.as_ref()) {
        Ok(()) => {
            let call = read(route, &app, who.clone(), &mut parts, body).await;
            match call {
                Ok(call) => handle(route, call).await,
                Err(problem) => Err(problem),
            }
        }
        Err(Turned::Away(response)) => Ok(*response),
        Err(Turned::Down(problem)) => Err(problem),
    };
    let mut response = answered.unwrap_or_else(|problem| show(&app, route, who.as_ref(), &parts, problem));
    if let Some(id) = cookie
        && let Ok(value) = HeaderValue::from_str(&session_cookie(&parts, &app.base, secure, &id))
    {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}

/// What every answer carries, also those to methods that a path does not have.
pub(crate) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether the browser's own connection is by TLS.
pub(crate) fn is_secure(app: &App, parts: &Parts) -> bool {
    let forwarded = || parts.headers.get("x-forwarded-proto").is_some_and(|value| value == "https");
    // Whoever forges it only keeps a cookie from themselves.
    app.secure || forwarded()
}

/// Whoever comes through a proxy has no login of ours: their first page opens the session that forms need.
fn open_session(app: &App, route: &Route, parts: &Parts, who: &mut Option<Who>) -> Option<String> {
    let who = who.as_mut().filter(|who| who.session.is_none())?;
    let is_page = matches!(route.handler, Handler::Page(_)) && parts.method == Method::GET;
    if !is_page || !matches!(app.guard.access, Access::Proxy(_)) {
        return None;
    }
    let (session, secret) = app.guard.open_for(&who.name, who.role)?;
    who.session = Some(session);
    Some(secret.reveal().to_owned())
}

enum Turned {
    /// Elsewhere, to the login.
    Away(Box<Response>),
    Down(Problem),
}

fn gate(app: &App, route: &Route, parts: &Parts, who: Option<&Who>) -> Result<(), Turned> {
    if parts.method == Method::POST && !check_origin(&parts.headers) {
        return Err(Turned::Down(Problem::new(
            StatusCode::FORBIDDEN,
            "this request comes from another site: open the dashboard itself. Behind a proxy, let it keep the Host header",
        )));
    }
    let Some(needed) = route.permission.role() else { return Ok(()) };
    match who {
        None => Err(to_login(app, route, parts)),
        Some(who) if who.role < needed => Err(Turned::Down(Problem::new(
            StatusCode::FORBIDDEN,
            format!("{} is a {}: this needs an {needed}", who.name, who.role),
        ))),
        Some(_) => Ok(()),
    }
}

fn to_login(app: &App, route: &Route, parts: &Parts) -> Turned {
    let is_page = parts.method == Method::GET && matches!(route.handler, Handler::Page(_));
    let site = parts.headers.get("sec-fetch-site");
    if is_page && site.is_some_and(|site| site == "cross-site") {
        // A link from elsewhere comes without the cookie, which is strict: the page asks for itself again, from here.
        return Turned::Away(Box::new((StatusCode::UNAUTHORIZED, layout::bounce()).into_response()));
    }
    if is_page && !matches!(app.guard.access, Access::Proxy(_)) {
        let next = local_part(app, parts);
        let login = pages::Url::new(&app.base, "/login").with("next", &next).to_string();
        return Turned::Away(Box::new(see_other(&login)));
    }
    if matches!(app.guard.access, Access::Proxy(_)) {
        return Turned::Down(Problem::new(StatusCode::UNAUTHORIZED, NO_PROXY_USER));
    }
    Turned::Down(Problem::new(StatusCode::UNAUTHORIZED, nobody(&parts.headers)))
}

/// Why nobody is known. It does not tell a token that was one from another that never was.
fn nobody(headers: &HeaderMap) -> &'static str {
    if bearer(headers).is_some() {
        return "this token is not valid here, or not any more: make one with `lovage dashboard user token`";
    }
    if headers.contains_key(header::AUTHORIZATION) {
        return "the header Authorization is not understood: expected `Bearer TOKEN`";
    }
    "nobody is logged in: people log in on the page, programs send the header `Authorization: Bearer TOKEN`"
}

async fn read(
    route: &Route,
    app: &Arc<App>,
    who: Option<Who>,
    parts: &mut Parts,
    body: Body,
) -> Result<Call, Problem> {
    let mut input = query(parts)?;
    if parts.method == Method::POST {
        // A query is in the logs of proxies and in the history of browsers, and a link can carry one.
        input.remove("csrf");
        let reading = pin!(fields(route, parts, body));
        let Either::Left((fields, _)) = select(reading, app.parts.clock.sleep(READ)).await else {
            return Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "the form did not arrive in time: send it again",
            ));
        };
        let mut fields = fields?;
        if route.permission != Permission::Public {
            check_csrf(route, parts, who.as_ref(), &fields)?;
        }
        // Fields of the body come first: a link cannot change what a form says.
        fields.join(std::mem::take(&mut input));
        input = fields;
    }
    check_names(route, &input)?;
    let at = local_part(app, parts);
    Ok(Call { app: Arc::clone(app), who, parts: parts.clone(), at, input, now: app.parts.clock.now() })
}

/// Programs are told of a field that is none: one that is misspelt would widen what they mean.
fn check_names(route: &Route, input: &Input) -> Result<(), Problem> {
    let is_known = |name: &str| route.params.iter().any(|param| param.name == name);
    if route.surface == Surface::Api
        && let Some((name, _)) = input.fields().find(|(name, _)| !is_known(name))
    {
        let names: Vec<&str> = route.params.iter().map(|param| param.name).collect();
        let expected = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(Problem::wrong(format!("`{name}` is no field of this: expected {expected}")));
    }
    Ok(())
}

/// The fields of a query.
fn query(parts: &Parts) -> Result<Input, Problem> {
    fields_of(&parts.uri)
}

/// The fields of a query in `path?query`.
pub(crate) fn query_of(path_and_query: &str) -> Result<Input, Problem> {
    let uri =
        path_and_query.parse().map_err(|error| Problem::wrong(format!("`{path_and_query}`: {error}")))?;
    fields_of(&uri)
}

fn fields_of(uri: &Uri) -> Result<Input, Problem> {
    let fields = Query::<Vec<(String, String)>>::try_from_uri(uri);
    fields.map(|Query(fields)| Input::new(fields)).map_err(|error| Problem::wrong(error.body_text()))
}

async fn fields(route: &Route, parts: &Parts, body: Body) -> Result<Input, Problem> {
    let request = Request::from_parts(parts.clone(), body);
    match route.surface {
        // A form of another site cannot have this type without asking first, and nobody answers it.
        Surface::Api => {
            let json = Json::<Value>::from_request(request, &()).await;
            let Json(value) = json.map_err(|error| match error.status() {
                StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(error.status(), NOT_JSON),
                status => Problem::new(status, error.body_text()),
            })?;
            Input::from_json(value, &route.params)
        }
        Surface::Page => {
            let form = Form::<Vec<(String, String)>>::from_request(request, &()).await;
            form.map(|Form(fields)| Input::new(fields))
                .map_err(|error| Problem::new(error.status(), error.body_text()))
        }
    }
}

fn check_csrf(route: &Route, parts: &Parts, who: Option<&Who>, input: &Input) -> Result<(), Problem> {
    let Some(session) = who.and_then(|who| who.session.as_ref()) else {
        // A program with a token, or JSON through a proxy: no browser sends those by itself.
        return match route.surface {
            Surface::Api => Ok(()),
            Surface::Page => Err(stale()),
        };
    };
    let header = parts.headers.get("x-csrf-token").and_then(|value| value.to_str().ok());
    let sent = header.or_else(|| input.get("csrf")).unwrap_or_default();
    if digest(sent) == digest(&session.csrf) { Ok(()) } else { Err(stale()) }
}

fn stale() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "this form is from another session, or its token is missing: reload the page and try again",
    )
}

async fn handle(route: &'static Route, call: Call) -> Result<Response, Problem> {
    match &route.handler {
        Handler::Raw(run) => run(call).await,
        Handler::Data(run) => Ok(Json(run(call).await?).into_response()),
        Handler::Page(run) => {
            let page = run(call.clone()).await?;
            Ok(layout::whole(&call, page).into_response())
        }
        Handler::Action(_) | Handler::Form(_) => doing::to_its_end(route, call).await,
    }
}

/// Whether a path is one of this dashboard and not of another site: `//evil` and `/\evil` are.
pub(crate) fn is_local(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Path and query behind the base.
fn local_part(app: &App, parts: &Parts) -> String {
    let whole = parts.uri.path_and_query().map_or("/", |whole| whole.as_str());
    let local = whole.strip_prefix(app.base.as_str()).unwrap_or(whole);
    if local.starts_with('/') { local.to_owned() } else { format!("/{local}") }
}

pub(crate) fn see_other(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

fn show(app: &Arc<App>, route: &Route, who: Option<&Who>, parts: &Parts, problem: Problem) -> Response {
    if problem.status.is_server_error() {
        tracing::warn!("{} {} was not answered: {}", route.method, route.path, problem.sentence);
    }
    let Problem { status, sentence } = problem;
    let mut response = match route.surface {
        Surface::Page => error_page(app, who, parts, status, &sentence),
        Surface::Api => as_json(status, &sentence),
    };
    if status == StatusCode::UNAUTHORIZED {
        // By RFC 6750: an error is told only to who sent a token.
        let is_wrong = bearer(&parts.headers).is_some();
        let challenge = if is_wrong { "Bearer error=\"invalid_token\"" } else { "Bearer" };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// An error as a page: within the navigation for users who are logged in.
fn error_page(
    app: &Arc<App>,
    who: Option<&Who>,
    parts: &Parts,
    status: StatusCode,
    sentence: &str,
) -> Response {
    let Some(who) = who else { return (status, layout::plain(app, sentence)).into_response() };
    let call = Call {
        app: Arc::clone(app),
        who: Some(who.clone()),
        parts: parts.clone(),
        at: local_part(app, parts),
        input: Input::default(),
        now: app.parts.clock.now(),
    };
    let page = pages::problem(status, sentence, parts.method == Method::GET);
    (status, layout::whole(&call, page)).into_response()
}

/// Answers a path at which there is no page, and a page's path with another method.
pub(crate) async fn no_page(app: Arc<App>, request: Request) -> Response {
    let (parts, _body) = request.into_parts();
    let who = app.guard.identify(&parts);
    let sentence = "there is no page at this address";
    harden(error_page(&app, who.as_ref(), &parts, StatusCode::NOT_FOUND, sentence)).await
}

/// The form in which programs are told of a problem.
fn as_json(status: StatusCode, sentence: &str) -> Response {
    let body = json!({ "error": { "status": status.as_u16(), "sentence": sentence } });
    (status, Json(body)).into_response()
}

/// There is no such route of the API.
pub(crate) async fn unknown(method: Method, uri: Uri) -> Response {
    let sentence =
        format!("there is no `{method} {}`: `{API}/openapi.json` describes what there is", uri.path());
    harden(as_json(StatusCode::NOT_FOUND, &sentence)).await
}

/// A route of the API has another method.
pub(crate) fn other_method(route: &Route, method: &Method) -> Response {
    let sentence = format!("expected {} for `{}`, found {method}", route.method, route.path);
    as_json(StatusCode::METHOD_NOT_ALLOWED, &sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_gone_to() {
        for good in ["/", "/queue?name=a%20b", "/task?id=1#x"] {
            assert!(is_local(good), "{good}");
        }
        for bad in
            ["", "//evil.example", "/\\evil.example", "https://evil", "/a\r\nSet-Cookie: x", "/\t/evil"]
        {
            assert!(!is_local(bad), "{bad}");
        }
    }
}
