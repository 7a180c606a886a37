//! Carries out what changes something: to its end, kept in the audit, told to whoever asked.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::auth::{Flash, Tone};
use crate::call::{Call, Input};
use crate::dispatch::{is_local, see_other};
use crate::pages::layout;
use crate::problem::Problem;
use crate::routes::{API, Done, Filled, Handler, Route, Surface};

/// Fields whose values are nobody's business later.
const PRIVATE: [&str; 4] = ["arguments", "args", "kwargs", "headers"];

/// Does it, also where the browser goes away before the answer: nothing is done by halves, or without the audit.
pub(crate) async fn to_its_end(route: &'static Route, call: Call) -> Result<Response, Problem> {
    let doing = tokio::spawn(async move { carry_out(route, call).await });
    doing.await.unwrap_or_else(|_| {
        let sentence = "this failed within the dashboard: its log says where";
        Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, sentence))
    })
}

async fn carry_out(route: &Route, call: Call) -> Result<Response, Problem> {
    let result = match &route.handler {
        Handler::Action(run) => run(call.clone()).await,
        Handler::Form(run) => match run(call.clone()).await {
            Ok(Filled::Again(page)) => {
                return Ok((StatusCode::UNPROCESSABLE_ENTITY, layout::whole(&call, *page)).into_response());
            }
            Ok(Filled::Asked(page)) => return Ok(layout::whole(&call, *page).into_response()),
            Ok(Filled::Done(done)) => Ok(done),
            Err(problem) => Err(problem),
        },
        Handler::Page(_) | Handler::Data(_) | Handler::Raw(_) => {
            return Err(Problem::wrong(format!("{route:?} changes nothing")));
        }
    };
    let (to, outcome) = match &result {
        Ok(done) => (done.to.clone(), done.sentence.clone()),
        Err(problem) => (target(&call.input), refused(route, problem)),
    };
    let what = route.path.trim_start_matches(API).trim_start_matches('/');
    call.app.audit.record(&call.app.parts, call.action(what, to, outcome)).await;
    answer(route, &call, result)
}

fn answer(route: &Route, call: &Call, result: Result<Done, Problem>) -> Result<Response, Problem> {
    if route.surface == Surface::Api {
        return result.map(|done| Json(done).into_response());
    }
    let (flash, then) = match result {
        Ok(done) => (Flash { tone: Tone::Good, text: done.sentence }, done.then),
        Err(problem) => (Flash { tone: Tone::Bad, text: problem.sentence }, None),
    };
    if let Some(session) = call.who.as_ref().and_then(|who| who.session.as_ref()) {
        call.app.guard.sessions.say(&session.id, flash);
    }
    let back = then.or_else(|| call.input.get("back").filter(|back| is_local(back)).map(str::to_owned));
    Ok(see_other(&format!("{}{}", call.app.base, back.as_deref().unwrap_or("/"))))
}

/// What an action that was refused was meant for.
fn target(input: &Input) -> String {
    let names = ["queue", "id", "name", "worker"];
    names.into_iter().find_map(|name| input.get(name)).unwrap_or_default().to_owned()
}

/// Why, in the audit. A sentence that says what is wrong with a form may repeat what was typed into it.
fn refused(route: &Route, problem: &Problem) -> String {
    let is_private = route.params.iter().any(|param| PRIVATE.contains(&param.name));
    if is_private && problem.status == StatusCode::BAD_REQUEST {
        return "refused: a field was wrong".to_owned();
    }
    format!("refused: {}", problem.sentence)
}
