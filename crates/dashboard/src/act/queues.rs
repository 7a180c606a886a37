//! Pausing, resuming and emptying queues.

use lovage_core::{Place, RateLimit};

use crate::call::Call;
use crate::look::queues::existing;
use crate::problem::Problem;
use crate::routes::Done;

/// Messages that are removed in one step.
const STEP: usize = 1_000;
/// Steps of one request: what is left then is said.
const STEPS: usize = 1_000;

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

pub(crate) async fn purge(call: Call) -> Result<Done, Problem> {
    let queue = existing(&call, "queue").await?;
    let place = removable(call.input.required("place")?)?;
    if call.input.get("confirm") != Some(queue.as_str()) {
        return Err(Problem::wrong(format!(
            "nothing was removed: to confirm, type the name of the queue, {queue}"
        )));
    }
    let mut removed = 0;
    for _ in 0..STEPS {
        let count = call.app.parts.broker.purge(&queue, place, STEP).await?;
        removed += count;
        if count == 0 {
            break;
        }
    }
    let sentence = format!("{removed} {} tasks were removed from `{queue}`.", place.as_str());
    Ok(Done::new(format!("{queue}/{}", place.as_str()), sentence).count(removed))
}

fn removable(word: &str) -> Result<Place, Problem> {
    let places = [Place::Ready, Place::Delayed, Place::Dead];
    let found = places.into_iter().find(|place| place.as_str() == word);
    found.ok_or_else(|| {
        Problem::wrong(format!("place `{word}` is not valid: expected ready, delayed or dead"))
    })
}
