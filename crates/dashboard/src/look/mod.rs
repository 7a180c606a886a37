//! What pages and the API show, gathered from broker, results and schedule.

pub(crate) mod again;
pub(crate) mod audit;
pub(crate) mod charts;
pub(crate) mod findings;
pub(crate) mod finished;
pub(crate) mod flow;
pub(crate) mod growth;
pub(crate) mod hidden;
pub(crate) mod jobs;
pub(crate) mod overview;
pub(crate) mod queues;
pub(crate) mod registered;
pub(crate) mod scheduled;
pub(crate) mod schedules;
pub(crate) mod slots;
pub(crate) mod task;
pub(crate) mod task_counts;
pub(crate) mod tasks;
pub(crate) mod unrunnable;
pub(crate) mod workers;

use lovage_core::{BackendError, BackendErrorKind, Page, Timestamp, parse_duration};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::call::Call;
use crate::problem::Problem;

/// Rows of a page.
const ROWS: usize = 50;

/// An instant, as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, JsonSchema)]
#[schemars(transparent)]
pub(crate) struct At(#[schemars(with = "String", extend("format" = "date-time"))] pub(crate) Timestamp);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl From<Timestamp> for At {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl From<At> for Timestamp {
    fn from(at: At) -> Self {
        at.0
    }
}

/// An instant, or how long ago it was.
fn instant(call: &Call, field: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = call.input.get(field) else { return Ok(None) };
    let read = Timestamp::parse(text).or_else(|_| parse_duration(text).map(|ago| call.now.minus(ago)));
    read.map(Some).map_err(|_| {
        Problem::wrong(format!(
            "`{field}`: `{text}` is no point in time: write how long ago, such as 2h, or 2026-11-23T13:00:00Z"
        ))
    })
}

/// The part of a list that is asked for. An `after` that is no end of a part is a mistake of whoever asks.
async fn part<T, F>(call: &Call, list: impl FnOnce(Page) -> F) -> Result<T, Problem>
where
    F: Future<Output = Result<T, BackendError>>,
{
    let after = call.input.get("after");
    let page = Page { after: after.map(str::to_owned), limit: limit(call)? };
    list(page).await.map_err(|error| match after {
        // Stores promise this kind for it; with a set-up that is wrong there was no part before.
        Some(after) if error.kind() == BackendErrorKind::Config => Problem::wrong(format!(
            "`after`: expected the `next` of a part before, found `{after}`: open the first page, or leave `after` out"
        )),
        Some(_) | None => error.into(),
    })
}

/// How many rows are asked for: 1 to 1,000.
fn limit(call: &Call) -> Result<usize, Problem> {
    let limit: usize = call.input.parsed("limit")?.unwrap_or(ROWS);
    if (1..=1_000).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::wrong(format!("limit `{limit}` is not valid: expected 1 to 1000")))
}
