//! Retrying and deleting dead letters.

use lovage_core::{Envelope, Page, Place, QueueName, StoredMessage, TaskId, limits};

use crate::call::Call;
use crate::look::queues::existing;
use crate::problem::Problem;
use crate::routes::Done;

/// Dead letters of one step.
const STEP: usize = 500;

pub(crate) async fn retry(call: Call) -> Result<Done, Problem> {
    let (queue, ids) = chosen(&call).await?;
    let broker = &call.app.parts.broker;
    let mut count = 0;
    for ids in ids.chunks(STEP) {
        count += broker.requeue_dead(&queue, ids, None).await?;
    }
    done(&queue, &ids, count, "run again")
}

pub(crate) async fn delete(call: Call) -> Result<Done, Problem> {
    let (queue, ids) = chosen(&call).await?;
    let broker = &call.app.parts.broker;
    let mut count = 0;
    for ids in ids.chunks(STEP) {
        count += broker.delete_dead(&queue, ids).await?;
    }
    done(&queue, &ids, count, "were deleted")
}

fn done(queue: &QueueName, ids: &[TaskId], count: usize, what: &str) -> Result<Done, Problem> {
    if count == 0 {
        return Err(Problem::conflict(format!("none of these is a dead letter of `{queue}` any more")));
    }
    let missed = match ids.len() - count.min(ids.len()) {
        0 => String::new(),
        missed => format!(" {missed} were no dead letters any more."),
    };
    let to = ids.iter().take(10).map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let sentence = format!("{count} of the dead letters of `{queue}` {what}.{missed}");
    Ok(Done::new(format!("{queue}: {to}"), sentence).count(count))
}

/// Those that are named, or all that match.
async fn chosen(call: &Call) -> Result<(QueueName, Vec<TaskId>), Problem> {
    let queue = existing(call, "queue").await?;
    if call.input.get("all").is_some() {
        let ids = matching(call, &queue).await?;
        return Ok((queue, ids));
    }
    let ids =
        call.input.all("ids").map(str::parse).collect::<Result<Vec<TaskId>, _>>().map_err(Problem::wrong)?;
    if ids.is_empty() {
        return Err(Problem::wrong("nothing was selected: check the boxes of those that are meant"));
    }
    Ok((queue, ids))
}

async fn matching(call: &Call, queue: &QueueName) -> Result<Vec<TaskId>, Problem> {
    let (reason, task) = (call.input.get("reason"), call.input.get("task"));
    let is_meant = |message: &StoredMessage| {
        reason.is_none_or(|reason| message.reason.is_some_and(|found| found.as_str() == reason))
            && task.is_none_or(|task| name(message).is_some_and(|name| name == task))
    };
    let mut ids = Vec::new();
    let mut page = Page::first(STEP);
    while ids.len() < limits::DEAD_LETTERS {
        let found = call.app.parts.broker.peek(queue, Place::Dead, page).await?;
        ids.extend(found.items.iter().filter(|message| is_meant(message)).map(|message| message.id));
        let Some(next) = found.next else { break };
        page = Page { after: Some(next), limit: STEP };
    }
    if ids.is_empty() {
        return Err(Problem::conflict(format!("no dead letter of `{queue}` matches any more")));
    }
    Ok(ids)
}

fn name(message: &StoredMessage) -> Option<String> {
    Envelope::decode(&message.body).ok().map(|envelope| envelope.task)
}
