//! Keeps open pages up to date by server-sent events: the HTML of the page first, then what has changed in it.

mod delta;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::call::Call;
use crate::dispatch::query_of;
use crate::problem::Problem;
use crate::routes::{Handler, Route, page_at};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, select};
use futures_util::stream::unfold;

/// How often a page is looked at again.
const EVERY: Duration = Duration::from_secs(2);
/// A page that takes longer than this is reported as not up to date.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A stream ends after this time, and the browser asks for a new one: who may see what is asked again then.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Open streams of all viewers.
const MAX_STREAMS: usize = 256;
/// Open streams of one viewer, so that one cannot take all of them.
const MAX_STREAMS_PER_VIEWER: usize = 32;

/// The streams that are open, by the name of the viewer.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    open: Mutex<HashMap<String, usize>>,
}

/// A place among the open streams, given back on drop.
#[derive(Debug)]
struct Permit {
    streams: Arc<Streams>,
    viewer: String,
}

impl Streams {
    fn open(self: &Arc<Self>, viewer: &str) -> Result<Permit, Problem> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = |sentence| Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
        if open.values().sum::<usize>() >= MAX_STREAMS {
            return refused("too many pages are open: this one is not kept up to date");
        }
        let count = open.entry(viewer.to_owned()).or_default();
        if *count >= MAX_STREAMS_PER_VIEWER {
            return refused("you have too many pages open: close some to keep this one up to date");
        }
        *count += 1;
        Ok(Permit { streams: Arc::clone(self), viewer: viewer.to_owned() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.viewer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.viewer);
            }
        }
    }
}

/// The events of the page `of`, a path with its query.
pub(crate) async fn stream(call: Call) -> Result<Response, Problem> {
    let of = call.input.required("of")?.to_owned();
    let path = of.split('?').next().unwrap_or_default();
    let route = page_at(path).ok_or_else(|| Problem::missing(format!("there is no page `{path}`")))?;
    let input = query_of(&of)?;
    let viewer = call.who.as_ref().map_or("", |who| who.name.as_str());
    let permit = call.app.streams.open(viewer)?;
    let started = call.app.parts.clock.monotonic();
    let call = Call { at: of, input, ..call };
    let open = Open { call, route, started, is_new: true, shown: None, _permit: permit };
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
    /// Whether it has sent no event yet.
    is_new: bool,
    /// The HTML that the browser has.
    shown: Option<String>,
    _permit: Permit,
}

impl Open {
    /// The next event; `None` when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        let app = self.call.app.clone();
        let clock = &app.parts.clock;
        if !std::mem::take(&mut self.is_new) {
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

    /// The page or what has changed in it, or a comment that keeps the connection open.
    async fn look(&mut self) -> Event {
        self.call.now = self.call.app.parts.clock.now();
        let Handler::Page(run) = &self.route.handler else { return Event::default().comment("no page") };
        let clock = Arc::clone(&self.call.app.parts.clock);
        let page = match select(run(self.call.clone()), clock.sleep(TIMEOUT)).await {
            Either::Left((page, _)) => page,
            Either::Right(_) => {
                let sentence =
                    format!("broker, results or schedule have not answered for {} s", TIMEOUT.as_secs());
                Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, sentence))
            }
        };
        match page {
            Ok(page) => {
                let html = page.live.map(maud::PreEscaped::into_string).unwrap_or_default();
                let shown = self.shown.replace(html);
                let html = self.shown.as_deref().unwrap_or_default();
                match shown {
                    Some(shown) if shown == html => Event::default().comment("unchanged"),
                    Some(shown) => match delta::delta(&shown, html) {
                        Some(delta) => Event::default().event("change").data(delta),
                        None => Event::default().event("fragment").data(html),
                    },
                    None => Event::default().event("fragment").data(html),
                }
            }
            Err(problem) => {
                self.shown = None;
                Event::default().event("trouble").data(problem.sentence.replace(['\r', '\n'], " "))
            }
        }
    }
}
