//! Carries out a job: step by step, until its end or until somebody stops it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use lovage_core::BackendError;
use lovage_core::audit::Action;
use tokio::sync::OwnedSemaphorePermit;

use super::{End, Job, Step};
use crate::app::App;

/// How often a step is tried again that did not go through.
const TRIES: u32 = 5;
/// Before the first of these; each one waits twice as long as the one before.
const PAUSE: Duration = Duration::from_secs(1);

/// What a job does.
#[async_trait]
pub(crate) trait Work: Send {
    /// Does the next part. After an error that may pass it is called again, and then does what is left of the same part.
    async fn step(&mut self, app: &App) -> Result<Step, BackendError>;
}

/// Keeps its slot until its end is known to the audit.
pub(super) async fn run(app: Arc<App>, job: Arc<Job>, mut work: Box<dyn Work>, slot: OwnedSemaphorePermit) {
    let end = to_its_end(&app, &job, &mut *work).await;
    let at = app.parts.clock.now();
    job.lock().end_with(at, end);
    let (who, what, to) = (job.who.clone(), job.plan.action.to_owned(), job.plan.to.clone());
    let outcome = format!("the job {} ended: {}", job.id, job.sentence());
    let address = String::new();
    app.audit.record(&app.parts, Action { at, who, address, what, to, outcome }).await;
    drop(slot);
}

async fn to_its_end(app: &App, job: &Job, work: &mut dyn Work) -> End {
    let mut halt = pin!(halted(app, job));
    let mut tries = 0;
    loop {
        // Before each step, so that none is cut in two.
        if let Some(end) = halt.as_mut().now_or_never() {
            return end;
        }
        match work.step(app).await {
            Ok(step) => {
                tries = 0;
                let is_last = step.is_last;
                job.lock().add(step);
                if is_last {
                    return End::Finished;
                }
                // A store in memory never lets anybody else have the thread.
                tokio::task::yield_now().await;
            }
            Err(error) if error.is_transient() && tries < TRIES => {
                job.lock().trouble = Some(error.to_string());
                let pause = app.parts.clock.sleep(PAUSE * 2_u32.pow(tries));
                tries += 1;
                if let Either::Left((end, _)) = select(halt.as_mut(), pause).await {
                    return end;
                }
            }
            Err(error) => return End::Failed(error.to_string()),
        }
    }
}

/// Ends when the job is to end before its end.
async fn halted(app: &App, job: &Job) -> End {
    let mut stop = job.stop.subscribe();
    let by_somebody = pin!(stop.wait_for(Option::is_some));
    match select(by_somebody, app.stop.clone()).await {
        Either::Left((Ok(who), _)) => End::Stopped(who.clone().unwrap_or_default()),
        // The job itself holds the other end.
        Either::Left((Err(_), _)) | Either::Right(_) => End::Shutdown,
    }
}
