//! Long actions: a job goes on after the request that began it was answered, and tells how far it is.
//!
//! Jobs live in this process. What a job did stays done when it is stopped, fails, or ends with the dashboard.

mod progress;
mod run;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lovage_core::Timestamp;
use tokio::sync::{Semaphore, watch};

pub(crate) use progress::{End, Plan, Progress, Reason, Step};
pub(crate) use run::Work;

use crate::call::Call;
use crate::problem::Problem;
use crate::routes::Done;

/// Jobs that run at the same time.
const AT_ONCE: u32 = 3;
/// Jobs that are remembered, the newest.
const REMEMBERED: usize = 100;

/// The jobs of this dashboard.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// The newest first.
    all: Mutex<VecDeque<Arc<Job>>>,
    slots: Arc<Semaphore>,
}

/// One long action.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) plan: Plan,
    /// Who began it.
    pub(crate) who: String,
    pub(crate) began: Timestamp,
    progress: Mutex<Progress>,
    /// Who stopped it.
    stop: watch::Sender<Option<String>>,
}

impl Jobs {
    pub(crate) fn new() -> Self {
        let slots = usize::try_from(AT_ONCE).unwrap_or(1);
        Self { all: Mutex::default(), slots: Arc::new(Semaphore::new(slots)) }
    }

    /// Begins a job, and answers where to see it.
    pub(crate) fn start(call: &Call, plan: Plan, work: impl Work + 'static) -> Result<Done, Problem> {
        let jobs = &call.app.jobs;
        let Ok(slot) = Arc::clone(&jobs.slots).try_acquire_owned() else {
            return Err(Problem::conflict(format!(
                "nothing was begun: {AT_ONCE} jobs run already. Wait until one has ended, or stop one"
            )));
        };
        let id = format!("{:016x}", call.app.parts.entropy.next_u64());
        let job = Arc::new(Job {
            id: id.clone(),
            plan: plan.clone(),
            who: call.name().to_owned(),
            began: call.now,
            progress: Mutex::new(Progress { total: plan.total, ..Progress::default() }),
            stop: watch::Sender::default(),
        });
        jobs.remember(Arc::clone(&job));
        tokio::spawn(run::run(Arc::clone(&call.app), job, Box::new(work), slot));
        let sentence = format!("The job {id} began: {}, {}.", plan.title.to_lowercase(), plan.to);
        let then = Some(format!("/job?id={id}"));
        Ok(Done { job: Some(id), then, ..Done::new(plan.to, sentence) })
    }

    /// The newest first.
    pub(crate) fn all(&self) -> Vec<Arc<Job>> {
        self.lock().iter().cloned().collect()
    }

    /// The job that a request names.
    pub(crate) fn named(call: &Call) -> Result<Arc<Job>, Problem> {
        let id = call.input.required("id")?;
        let found = call.app.jobs.lock().iter().find(|job| job.id == id).cloned();
        found.ok_or_else(|| {
            Problem::missing(format!(
                "there is no job `{id}`: jobs end with the dashboard that began them, and the last {REMEMBERED} are remembered"
            ))
        })
    }

    /// Ends when no job runs.
    pub(crate) async fn ended(&self) {
        drop(self.slots.acquire_many(AT_ONCE).await);
    }

    /// Those that run are remembered in any case.
    fn remember(&self, job: Arc<Job>) {
        let mut all = self.lock();
        all.push_front(job);
        while all.len() > REMEMBERED
            && let Some(oldest) = all.iter().rposition(|job| job.progress().end.is_some())
        {
            all.remove(oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Job>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    pub(crate) fn progress(&self) -> Progress {
        self.lock().clone()
    }

    /// How it is, in a sentence or two.
    pub(crate) fn sentence(&self) -> String {
        self.plan.sentence(&self.lock())
    }

    /// Tells it to stop after the part that it does now. Answers whether it still ran.
    pub(crate) fn stop(&self, who: &str) -> bool {
        if self.lock().end.is_some() {
            return false;
        }
        // The first one who stops it is named.
        self.stop.send_if_modified(|stopped| {
            let is_first = stopped.is_none();
            stopped.get_or_insert_with(|| who.to_owned());
            is_first
        });
        true
    }

    /// Who told it to stop, where somebody did.
    pub(crate) fn stopped_by(&self) -> Option<String> {
        self.stop.borrow().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
