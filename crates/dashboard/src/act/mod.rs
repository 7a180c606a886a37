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

use lovage_core::{QueueName, TaskId};

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

/// The tasks that a request names.
fn chosen(call: &Call) -> Result<Vec<TaskId>, Problem> {
    let ids = call.input.all("ids").map(str::parse).collect::<Result<Vec<TaskId>, _>>();
    let ids = ids.map_err(Problem::wrong)?;
    if ids.is_empty() {
        return Err(Problem::wrong("nothing was selected: check the boxes of those that are meant"));
    }
    Ok(ids)
}

/// The first of them, for the audit.
fn listed(ids: &[TaskId]) -> String {
    ids.iter().take(10).map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
