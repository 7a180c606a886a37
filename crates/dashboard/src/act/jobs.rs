//! Stopping jobs.

use crate::call::Call;
use crate::jobs::Jobs;
use crate::problem::Problem;
use crate::routes::Done;

pub(crate) async fn stop(call: Call) -> Result<Done, Problem> {
    let job = Jobs::named(&call)?;
    if !job.stop(call.name()) {
        return Err(Problem::conflict(format!("the job {} has ended already", job.id)));
    }
    let sentence = format!("The job {} stops after the part that it does now.", job.id);
    Ok(Done::new(format!("{}: {}", job.id, job.plan.to), sentence))
}
