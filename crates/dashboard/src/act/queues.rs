//! Pausing, resuming and emptying queues.

use async_trait::async_trait;
use lovage_core::{BackendError, Place, QueueName, RateLimit};

use super::confirmed;
use super::sure::{Confirm, Lines, Sure};
use crate::app::App;
use crate::call::Call;
use crate::jobs::{Jobs, Plan, Step, Work};
use crate::look::queues::existing;
use crate::pages::kit::counted;
use crate::problem::Problem;
use crate::routes::Done;

/// Messages that are removed in one step.
const STEP: usize = 1_000;

pub(crate) async fn pause(call: Call) -> Result<Done, Problem> {
    let queue = existing(&call, "queue").await?;
    call.app.parts.broker.pause(&queue).await?;
    Ok(Done::new(queue.as_str(), format!("`{queue}` is paused: its tasks wait until it is resumed.")))
}

pub(crate) async fn resume(call: Call) -> Result<Done, Problem> {
    let queue = existing(&call, "queue").await?;
    call.app.parts.broker.resume(&queue).await?;
    Ok(Done::new(queue.as_str(), format!("`{queue}` is open again.")))
}

pub(crate) async fn limit(call: Call) -> Result<Done, Problem> {
    let queue = existing(&call, "queue").await?;
    let rate = call.input.get("rate").filter(|rate| *rate != "off");
    let limit = rate.map(str::parse::<RateLimit>).transpose().map_err(Problem::wrong)?;
    call.app.parts.broker.limit(&queue, limit).await?;
    Ok(Done::new(
        queue.as_str(),
        match limit {
            Some(limit) => format!("`{queue}` hands out {limit}, over all workers together."),
            None => format!("`{queue}` has no rate limit."),
        },
    ))
}

pub(crate) async fn ask_purge(call: Call) -> Result<Option<Sure>, Problem> {
    let (queue, place, left) = what_to_purge(&call).await?;
    let what = match place {
        Place::Ready => format!("{} of `{queue}`, waiting for a worker", counted(left, "task")),
        Place::Delayed => format!("{} of `{queue}`, due later", counted(left, "task")),
        Place::Leased => format!("{} of `{queue}`, at workers", counted(left, "task")),
        Place::Dead => format!("{} of `{queue}`", counted(left, "dead letter")),
    };
    Ok(Some(Sure {
        title: "Remove all of these?",
        words: format!(
            "{what}: all of them will be removed, and nobody gets them back. What a worker runs is not touched, nor what is sent after it began."
        ),
        lines: Lines::default(),
        button: "Remove all of these",
        is_danger: true,
        confirm: Confirm::Typed(queue.to_string()),
    }))
}

pub(crate) async fn purge(call: Call) -> Result<Done, Problem> {
    let (queue, place, left) = what_to_purge(&call).await?;
    confirmed(&call, &queue)?;
    let to = format!("the {} tasks in `{queue}`", place.as_str());
    let plan = Plan {
        action: "queues/purge",
        title: "Empty a queue",
        to,
        one: "task",
        done: "removed",
        total: Some(left),
    };
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    Jobs::start(&call, plan, Purge { queue, place, left })
}

/// The place that a request means, and how many tasks are there.
async fn what_to_purge(call: &Call) -> Result<(QueueName, Place, u64), Problem> {
    let queue = existing(call, "queue").await?;
    let place = removable(call.input.required("place")?)?;
    let depth = call.app.parts.broker.depth(&queue, None).await?;
    let left = match place {
        Place::Ready => depth.ready,
        Place::Delayed => depth.delayed,
        Place::Leased => depth.leased,
        Place::Dead => depth.dead,
    };
    Ok((queue, place, left))
}

/// Removes as many as there were when it began: what is sent meanwhile must not keep it going.
struct Purge {
    queue: QueueName,
    place: Place,
    left: usize,
}

#[async_trait]
impl Work for Purge {
    async fn step(&mut self, app: &App) -> Result<Step, BackendError> {
        let asked = self.left.min(STEP);
        let count =
            if asked == 0 { 0 } else { app.parts.broker.purge(&self.queue, self.place, asked).await? };
        self.left -= count.min(self.left);
        Ok(Step { done: count, is_last: count == 0 || self.left == 0, ..Step::default() })
    }
}

fn removable(word: &str) -> Result<Place, Problem> {
    let places = [Place::Ready, Place::Delayed, Place::Dead];
    let found = places.into_iter().find(|place| place.as_str() == word);
    found.ok_or_else(|| {
        Problem::wrong(format!("place `{word}` is not valid: expected ready, delayed or dead"))
    })
}
