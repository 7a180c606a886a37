//! What can be done to tasks that ended, several at a time.

use lovage_core::TaskId;

use super::tasks::send_again;
use crate::call::Call;
use crate::problem::Problem;
use crate::routes::Done;

/// Tasks of one request.
const MOST: usize = 1_000;

/// Sends tasks once more, each under a new id. It goes on after one that cannot be sent, and says why.
pub(crate) async fn again(call: Call) -> Result<Done, Problem> {
    let ids = chosen(&call)?;
    let mut sent = Vec::new();
    let mut failed = Vec::new();
    for id in &ids {
        match send_again(&call, *id, None, None).await {
            Ok((new, _)) => sent.push(new.to_string()),
            // Nothing else will go through either.
            Err(problem) if problem.status.is_server_error() && sent.is_empty() => return Err(problem),
            Err(problem) => failed.push(format!("{id}: {}", problem.sentence)),
        }
    }
    let why = failed.first().map_or_else(String::new, |first| format!(" {} cannot: {first}.", failed.len()));
    if sent.is_empty() {
        return Err(Problem::conflict(format!("nothing runs again.{why}")));
    }
    let sentence = format!("{} of {} tasks run again, under new ids.{why}", sent.len(), ids.len());
    Ok(Done::new(listed(&ids), sentence).count(sent.len()))
}

/// Removes the rows of tasks; what runs or waits is not touched.
pub(crate) async fn delete(call: Call) -> Result<Done, Problem> {
    let ids = chosen(&call)?;
    let count = call.app.parts.results.delete(&ids).await?;
    let sentence = format!("The results of {count} of {} tasks were deleted.", ids.len());
    Ok(Done::new(listed(&ids), sentence).count(count))
}

fn chosen(call: &Call) -> Result<Vec<TaskId>, Problem> {
    let ids =
        call.input.all("ids").map(str::parse).collect::<Result<Vec<TaskId>, _>>().map_err(Problem::wrong)?;
    match ids.len() {
        0 => Err(Problem::wrong("nothing was selected: check the boxes of those that are meant")),
        1..=MOST => Ok(ids),
        count => {
            Err(Problem::wrong(format!("{count} tasks were selected: expected at most {MOST} at a time")))
        }
    }
}

fn listed(ids: &[TaskId]) -> String {
    ids.iter().take(10).map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
