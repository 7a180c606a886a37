//! Cancelling, hastening and repeating tasks.

use lovage_core::{Cancelled, QueueName, TaskId};

use super::again::{Changes, Known, once_more, publish};
use crate::call::Call;
use crate::look;
use crate::problem::Problem;
use crate::routes::Done;

pub(crate) async fn cancel(call: Call) -> Result<Done, Problem> {
    let id: TaskId = call.input.needed("id")?;
    let sentence = match call.app.parts.broker.cancel(id, None, None).await? {
        Cancelled::Waiting => format!("The task {id} is cancelled and will not run."),
        Cancelled::Leased => format!("A worker has the task {id} and is told to stop it."),
        Cancelled::NotFound => return Err(gone(id)),
    };
    Ok(Done::new(id.to_string(), sentence))
}

pub(crate) async fn promote(call: Call) -> Result<Done, Problem> {
    let id: TaskId = call.input.needed("id")?;
    if !call.app.parts.broker.promote(id, None, None).await? {
        return Err(Problem::conflict(format!("the task {id} does not wait for its time any more")));
    }
    Ok(Done::new(id.to_string(), format!("The task {id} is ready now.")))
}

/// Sends a task once more under a new id, with the same arguments or others.
pub(crate) async fn again(call: Call) -> Result<Done, Problem> {
    let id: TaskId = call.input.needed("id")?;
    let (message, record) = look::task::find(&call.app, id).await?;
    let known = Known { id, message, record };
    let queue = call.input.parsed::<QueueName>("queue")?;
    let changes = Changes { arguments: call.input.get("arguments"), queue };
    let message = once_more(&call.app, &known, changes)?;
    let (new, queue) = (message.id, message.queue.clone());
    publish(&call.app, &[message]).await?.pop().unwrap_or(Ok(())).map_err(Problem::conflict)?;
    let sentence = format!("The task runs again as {new} in `{queue}`.");
    let then = format!("/task?id={new}");
    Ok(Done { id: Some(new.to_string()), then: Some(then), ..Done::new(id.to_string(), sentence) })
}

pub(super) fn gone(id: TaskId) -> Problem {
    Problem::missing(format!("the task {id} is not there any more"))
}
