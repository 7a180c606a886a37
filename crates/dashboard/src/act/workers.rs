//! Telling workers.

use lovage_core::{WorkerCommand, WorkerId};

use crate::call::Call;
use crate::problem::Problem;
use crate::routes::Done;

pub(crate) async fn quiet(call: Call) -> Result<Done, Problem> {
    tell(&call, WorkerCommand::Quiet, "is told to take nothing more and to finish what it runs").await
}

pub(crate) async fn shutdown(call: Call) -> Result<Done, Problem> {
    tell(&call, WorkerCommand::Shutdown { grace: None }, "is told to finish what it runs and to stop").await
}

async fn tell(call: &Call, command: WorkerCommand, what: &str) -> Result<Done, Problem> {
    let worker: WorkerId = call.input.needed("worker")?;
    if !call.app.parts.broker.tell(worker, &command, None).await? {
        return Err(Problem::missing(format!("no live worker has the id {worker}: it stopped meanwhile")));
    }
    Ok(Done::new(worker.to_string(), format!("The worker {worker} {what}.")))
}
