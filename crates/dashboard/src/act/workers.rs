//! Telling workers.

use lovage_core::{QueueName, WorkerCommand, WorkerId, WorkerInfo};

use crate::call::Call;
use crate::problem::Problem;
use crate::routes::Done;

pub(crate) async fn quiet(call: Call) -> Result<Done, Problem> {
    tell(&call, WorkerCommand::Quiet, "is told to take nothing more and to finish what it runs").await
}

pub(crate) async fn shutdown(call: Call) -> Result<Done, Problem> {
    tell(&call, WorkerCommand::Shutdown { grace: None }, "is told to finish what it runs and to stop").await
}

pub(crate) async fn concurrency(call: Call) -> Result<Done, Problem> {
    let slots: usize = within(call.input.needed("slots")?, WorkerInfo::MOST_SLOTS, "slots")?;
    tell(&call, WorkerCommand::Concurrency { slots }, &format!("is told to run {slots} async tasks at once"))
        .await
}

pub(crate) async fn add_queue(call: Call) -> Result<Done, Problem> {
    let queue: QueueName = call.input.needed("queue")?;
    let weight = call.input.parsed("weight")?.unwrap_or(1);
    let weight = within(weight, WorkerInfo::MOST_TURNS, "weight")?;
    let what = format!("is told to take tasks of `{queue}`, too");
    tell(&call, WorkerCommand::AddQueue { queue, weight }, &what).await
}

pub(crate) async fn drop_queue(call: Call) -> Result<Done, Problem> {
    let queue: QueueName = call.input.needed("queue")?;
    let id: WorkerId = call.input.needed("worker")?;
    let workers = call.app.parts.broker.workers(None).await?;
    if let Some(worker) = workers.iter().find(|worker| worker.id == id) {
        if !worker.queues.contains(&queue) {
            let sentence = format!("the worker `{}` does not take tasks of `{queue}`", worker.name);
            return Err(Problem::wrong(sentence));
        }
        if worker.queues.len() == 1 {
            return Err(Problem::wrong(format!(
                "`{queue}` is the last queue of `{}`: add another one first, or tell it to take nothing more",
                worker.name
            )));
        }
    }
    let what = format!("is told to take no more tasks of `{queue}`");
    tell(&call, WorkerCommand::DropQueue { queue }, &what).await
}

fn within<T: PartialOrd + From<u8> + std::fmt::Display>(
    number: T,
    most: T,
    what: &str,
) -> Result<T, Problem> {
    if number < T::from(1) || number > most {
        return Err(Problem::wrong(format!("`{what}`: expected 1 to {most}, found {number}")));
    }
    Ok(number)
}

async fn tell(call: &Call, command: WorkerCommand, what: &str) -> Result<Done, Problem> {
    let worker: WorkerId = call.input.needed("worker")?;
    if !call.app.parts.broker.tell(worker, &command, None).await? {
        return Err(Problem::missing(format!("no live worker has the id {worker}: it stopped meanwhile")));
    }
    Ok(Done::new(worker.to_string(), format!("The worker {worker} {what}.")))
}
