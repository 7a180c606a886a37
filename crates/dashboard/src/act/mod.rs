//! What can be done: the same for people and for programs.

mod again;
pub(crate) mod dead;
pub(crate) mod draft;
pub(crate) mod finished;
pub(crate) mod jobs;
pub(crate) mod queues;
pub(crate) mod schedules;
pub(crate) mod sure;
pub(crate) mod tasks;
pub(crate) mod workers;

use lovage_core::QueueName;

use crate::call::Call;
use crate::problem::Problem;

/// What nobody gets back needs the name of its queue once more.
fn confirmed(call: &Call, queue: &QueueName) -> Result<(), Problem> {
    if call.input.get("confirm") == Some(queue.as_str()) {
        return Ok(());
    }
    Err(Problem::wrong(format!(
        "nothing was removed: to confirm, type the name of the queue, {queue} (the field `confirm`)"
    )))
}
