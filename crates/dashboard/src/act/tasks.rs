//! Cancelling, hastening and repeating tasks.

use lovage_core::{Cancelled, QueueName, TaskId};

use super::again::publish;
use super::draft::Draft;
use crate::call::Call;
use crate::look::again::Again;
use crate::look::registered::misfit;
use crate::pages;
use crate::problem::Problem;
use crate::routes::{Done, Filled};
use crate::typed::Arguments;

/// Why a task is not sent once more.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) at: Part,
    pub(crate) problem: Problem,
}

/// A part of the form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Arguments,
    Queue,
    Whole,
}

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

/// Sends a task once more, with the same arguments or others.
pub(crate) async fn again(call: Call) -> Result<Done, Problem> {
    let again = Again::find(&call).await?;
    let mut draft = again.draft.clone();
    if let Some(arguments) = call.input.get("arguments") {
        draft.replace(arguments)?;
    }
    send(&call, &again, draft).await.map_err(|wrong| wrong.problem)
}

/// The same from its form, which comes back with what is wrong.
pub(crate) async fn again_filled(call: Call) -> Result<Filled, Problem> {
    let again = Again::find(&call).await?;
    match filled(&call, &again).await {
        Ok(done) => Ok(Filled::Done(done)),
        Err(wrong) if wrong.problem.status.is_client_error() => {
            Ok(Filled::Again(Box::new(pages::again::page(&call, &again, Some(&wrong)))))
        }
        Err(wrong) => Err(wrong.problem),
    }
}

/// With the arguments from their fields.
async fn filled(call: &Call, again: &Again) -> Result<Done, Wrong> {
    let mut draft = again.draft.clone();
    if Arguments::are_sent(&call.input) {
        let json = Arguments::settled(&again.input(&call.input), &again.tasks, draft.unseen());
        let whole = json.and_then(|json| json.valid().map(str::to_owned));
        let replaced = whole.map_err(Problem::wrong).and_then(|whole| draft.replace(&whole));
        replaced.map_err(|problem| Wrong { at: Part::Arguments, problem })?;
    }
    send(call, again, draft).await
}

/// Sends it where a live worker could run it. A task that none of them knows may come yet.
async fn send(call: &Call, again: &Again, mut draft: Draft) -> Result<Done, Wrong> {
    let at = |at| move |problem| Wrong { at, problem };
    let arguments = draft.checked().map_err(at(Part::Arguments))?;
    if let Some(why) = arguments.and_then(|arguments| misfit(&again.tasks, draft.task(), arguments)) {
        return Err(Wrong { at: Part::Arguments, problem: Problem::wrong(why) });
    }
    if let Some(queue) = call.input.parsed::<QueueName>("queue").map_err(at(Part::Queue))? {
        draft.queue = queue;
    }
    let is_read = again.is_read(&call.app, &draft.queue).await.map_err(at(Part::Queue))?;
    let message = draft.message(&call.app).map_err(at(Part::Arguments))?;
    let before = again.draft.clone().message(&call.app);
    let is_unchanged =
        before.is_ok_and(|before| before.body == message.body && before.queue == message.queue);
    if again.is_dead && is_unchanged {
        return retry(call, again).await.map_err(at(Part::Whole));
    }
    let (new, queue) = (message.id, message.queue.clone());
    let answers = publish(&call.app, &[message]).await.map_err(|error| at(Part::Whole)(error.into()))?;
    let answer = answers.into_iter().next().unwrap_or(Ok(()));
    answer.map_err(|why| at(Part::Whole)(Problem::conflict(why)))?;
    let sentence = if is_read {
        format!("The task runs again as {new} in `{queue}`.")
    } else {
        format!("The task waits again as {new} in `{queue}`, which no live worker reads.")
    };
    let sentence = if again.is_dead {
        format!("{sentence} Its dead letter stays: delete it if the new task replaces it.")
    } else {
        sentence
    };
    let then = format!("/task?id={new}");
    Ok(Done { id: Some(new.to_string()), then: Some(then), ..Done::new(again.id.to_string(), sentence) })
}

/// Retries a dead letter as itself.
async fn retry(call: &Call, again: &Again) -> Result<Done, Problem> {
    let (id, queue) = (again.id, &again.draft.queue);
    if call.app.parts.broker.requeue_dead(queue, &[id], None).await? == 0 {
        let sentence = format!("the task {id} is no dead letter of `{queue}` any more: reload its page");
        return Err(Problem::conflict(sentence));
    }
    let sentence = format!("The dead letter {id} of `{queue}` runs again as itself.");
    let then = Some(format!("/task?id={id}"));
    Ok(Done { id: Some(id.to_string()), then, ..Done::new(id.to_string(), sentence) })
}

pub(super) fn gone(id: TaskId) -> Problem {
    Problem::missing(format!("the task {id} is not there any more"))
}
