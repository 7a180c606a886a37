//! Logging in and out.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lovage_core::audit::Action;
use maud::{Markup, html};

use crate::audit::{FAILED_LOGIN, LOGIN, LOGOUT, UNKNOWN};
use crate::auth::{Access, Guard, LOCAL, Refused, Secret, digest, login_cookie, session_cookie};
use crate::call::Call;
use crate::dispatch::{is_local, is_secure, see_other};
use crate::pages::{Url, layout};
use crate::problem::Problem;

/// The form; with a one-time token in the URL it logs in at once.
pub(crate) async fn form(call: Call) -> Result<Response, Problem> {
    let is_meant = call.parts.method == Method::GET && matches!(call.app.guard.access, Access::Link);
    let token = call.input.get("token").filter(|_| is_meant);
    if let Some(token) = token {
        return Ok(match call.app.guard.by_link(&call.parts, token) {
            Ok(session) => welcome(&call, LOCAL, &session).await,
            Err(refused) => again(&call, refused).await,
        });
    }
    if call.who.is_some() {
        return Ok(see_other(&format!("{}{}", call.app.base, next(&call))));
    }
    Ok(ask(&call, StatusCode::OK, None))
}

/// Name and password.
pub(crate) async fn by_password(call: Call) -> Result<Response, Problem> {
    let kept = Guard::login_value(&call.parts).unwrap_or_default();
    let sent = call.input.get("csrf").unwrap_or_default();
    if kept.is_empty() || digest(kept) != digest(sent) {
        let why = "This form was open for too long, or the browser keeps no cookies: please try again.";
        return Ok(ask(&call, StatusCode::FORBIDDEN, Some(why)));
    }
    let name = call.input.get("name").unwrap_or_default();
    let password = call.input.raw("password").unwrap_or_default();
    Ok(match call.app.guard.by_password(&call.parts, name, password).await {
        Ok(session) => welcome(&call, name, &session).await,
        Err(refused) => again(&call, refused).await,
    })
}

/// Ends the session.
pub(crate) async fn out(call: Call) -> Result<Response, Problem> {
    call.app.guard.forget(&call.parts);
    call.app.audit.record(&call.app.parts, call.action(LOGOUT, String::new(), "Logged out.")).await;
    let gone = session_cookie(&call.parts, &call.app.base, is_secure(&call.app, &call.parts), "");
    Ok(with_cookie(see_other(&format!("{}/login", call.app.base)), &gone))
}

async fn welcome(call: &Call, name: &str, session: &Secret) -> Response {
    let action = Action { who: name.to_owned(), ..call.action(LOGIN, String::new(), "Logged in.") };
    call.app.audit.record(&call.app.parts, action).await;
    let cookie =
        session_cookie(&call.parts, &call.app.base, is_secure(&call.app, &call.parts), session.reveal());
    with_cookie(see_other(&format!("{}{}", call.app.base, next(call))), &cookie)
}

async fn again(call: &Call, refused: Refused) -> Response {
    let (app, name) = (&call.app, call.input.get("name").unwrap_or_default());
    let outcome = match (refused, app.guard.has_form()) {
        (Refused::TooMany(_), _) => "Refused: there were too many attempts.",
        (Refused::Wrong, true) => "Name or password were wrong.",
        (Refused::Wrong, false) => "The link was used before, or was none of this dashboard.",
    };
    let who = if app.guard.knows(name) { name } else { UNKNOWN };
    let action = Action { who: who.to_owned(), ..call.action(FAILED_LOGIN, String::new(), outcome) };
    app.audit.failed(&app.parts, action).await;
    match refused {
        Refused::Wrong => {
            let why = match call.app.guard.access {
                Access::Link => {
                    "This link was used before, or is not one of this dashboard: each works once."
                }
                Access::Users(_) | Access::Proxy(_) => "Name or password are wrong.",
            };
            ask(call, StatusCode::UNAUTHORIZED, Some(why))
        }
        Refused::TooMany(wait) => {
            let minutes = wait.as_secs().div_ceil(60);
            let why = format!("There were too many attempts: try again in {minutes} min.");
            let mut response = ask(call, StatusCode::TOO_MANY_REQUESTS, Some(&why));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
            response
        }
    }
}

/// The page with the form; its cookie must come back together with it.
fn ask(call: &Call, status: StatusCode, why: Option<&str>) -> Response {
    let kept = Guard::login_value(&call.parts).map(str::to_owned);
    let value = kept.unwrap_or_else(|| Secret::new(&*call.app.guard.entropy).reveal().to_owned());
    let page = layout::bare(&call.app, "Log in", &body(call, &value, why));
    let cookie = login_cookie(&call.parts, &call.app.base, is_secure(&call.app, &call.parts), &value);
    with_cookie((status, page).into_response(), &cookie)
}

fn body(call: &Call, csrf: &str, why: Option<&str>) -> Markup {
    let name = call.input.get("name").unwrap_or_default();
    html! {
        @if let Some(why) = why { p.flash.bad role="alert" { (why) } }
        @if call.app.guard.has_form() {
            form.login method="post" action=(Url::new(&call.app.base, "/login")) {
                input type="hidden" name="csrf" value=(csrf);
                input type="hidden" name="next" value=(next(call));
                label for="name" { "Name" }
                input #name name="name" autocomplete="username" required maxlength="64" value=(name);
                label for="password" { "Password" }
                input #password type="password" name="password" autocomplete="current-password" required maxlength="1024";
                button type="submit" { "Log in" }
            }
        } @else if matches!(call.app.guard.access, Access::Link) {
            p { "Open the link that the program printed when it started. It works once; for another one press Enter in the program's terminal, or start it again." }
        } @else {
            p { "The proxy in front of this dashboard says who you are, and it did not: log in there." }
        }
    }
}

fn next(call: &Call) -> &str {
    call.input.get("next").filter(|next| is_local(next)).unwrap_or("/")
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    response
}
