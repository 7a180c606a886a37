//! Keeps open pages up to date: fragments of HTML by server-sent events, each only when it differs from the last.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, select};
use futures_util::stream::unfold;
use tokio::sync::OwnedSemaphorePermit;

use crate::auth::{Digest, digest};
use crate::call::Call;
use crate::dispatch::query_of;
use crate::problem::Problem;
use crate::routes::{Handler, Route, page_at};

/// How often a page is looked at again.
const EVERY: Duration = Duration::from_secs(2);
/// A stream ends after this time, and the browser asks for a new one: who may see what is asked again then.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The events of the page `of`, a path with its query.
pub(crate) async fn stream(call: Call) -> Result<Response, Problem> {
    let of = call.input.required("of")?.to_owned();
    let path = of.split('?').next().unwrap_or_default();
    let route = page_at(path).ok_or_else(|| Problem::missing(format!("there is no page `{path}`")))?;
    let input = query_of(&of)?;
    let Ok(permit) = call.app.streams.clone().try_acquire_owned() else {
        let sentence = "too many pages are open: this one is not kept up to date";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
    };
    let started = call.app.parts.clock.monotonic();
    let call = Call { at: of, input, ..call };
    let open = Open { call, route, started, last: None, _permit: permit };
    let events = unfold(open, |mut open| async move {
        let event = open.next().await?;
        Some((Ok::<_, Infallible>(event), open))
    });
    Ok(([("x-accel-buffering", "no")], Sse::new(events)).into_response())
}

/// A page that is open in a browser.
struct Open {
    call: Call,
    route: &'static Route,
    started: Duration,
    last: Option<Digest>,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    /// The next event; `None` when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        let app = self.call.app.clone();
        let clock = &app.parts.clock;
        let is_first = self.last.is_none();
        if !is_first {
            let stopped = select(app.stop.clone(), clock.sleep(EVERY)).await;
            if matches!(stopped, Either::Left(_)) {
                return None;
            }
        }
        let is_over = clock.monotonic().saturating_sub(self.started) >= LONGEST;
        if is_over || !self.call.who.as_ref().is_some_and(|who| app.guard.still_knows(who)) {
            return None;
        }
        Some(self.look().await)
    }

    /// The fragment when it changed, else a comment that keeps the connection open.
    async fn look(&mut self) -> Event {
        self.call.now = self.call.app.parts.clock.now();
        let Handler::Page(run) = &self.route.handler else { return Event::default().comment("no page") };
        match run(self.call.clone()).await {
            Ok(page) => {
                let html = page.live.map(maud::PreEscaped::into_string).unwrap_or_default();
                let digest = digest(&html);
                if self.last.replace(digest) == Some(digest) {
                    Event::default().comment("unchanged")
                } else {
                    Event::default().event("fragment").data(html)
                }
            }
            Err(problem) => {
                self.last = Some(Digest::default());
                Event::default().event("trouble").data(problem.sentence.replace(['\r', '\n'], " "))
            }
        }
    }
}
