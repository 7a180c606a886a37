//! Jobs: what each does, and how far it is.

use schemars::JsonSchema;
use serde::Serialize;

use super::At;
use crate::call::Call;
use crate::jobs::{End, Job, Jobs, Reason};
use crate::problem::Problem;

/// A long action over all that match.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct JobRow {
    pub(crate) id: String,
    /// What it does.
    pub(crate) title: String,
    /// To what.
    pub(crate) to: String,
    /// Who began it.
    pub(crate) who: String,
    pub(crate) began_at: At,
    pub(crate) ended_at: Option<At>,
    /// `running`, `stopping`, `finished`, `stopped` or `failed`.
    pub(crate) state: &'static str,
    pub(crate) done: u64,
    /// To how many it could not be done.
    pub(crate) failed: u64,
    /// Why, the first reasons.
    pub(crate) reasons: Vec<Reason>,
    /// How many match in all, where that is known.
    pub(crate) total: Option<u64>,
    pub(crate) left: Option<u64>,
    /// Where it goes back in time: what ended before this instant was not looked at yet.
    pub(crate) reached: Option<At>,
    /// Why it waits and tries again.
    pub(crate) trouble: Option<String>,
    /// How it is, in a sentence or two.
    pub(crate) sentence: String,
}

pub(crate) async fn list(call: Call) -> Result<Vec<JobRow>, Problem> {
    Ok(rows(&call))
}

pub(crate) async fn one(call: Call) -> Result<JobRow, Problem> {
    Ok(JobRow::from(&*Jobs::named(&call)?))
}

/// The newest first.
pub(crate) fn rows(call: &Call) -> Vec<JobRow> {
    call.app.jobs.all().iter().map(|job| JobRow::from(&**job)).collect()
}

impl JobRow {
    pub(crate) fn runs(&self) -> bool {
        self.ended_at.is_none()
    }
}

impl From<&Job> for JobRow {
    fn from(job: &Job) -> Self {
        let progress = job.progress();
        let state = match &progress.end {
            None if job.stopped_by().is_some() => "stopping",
            None => "running",
            Some((_, End::Finished)) => "finished",
            Some((_, End::Stopped(_) | End::Shutdown)) => "stopped",
            Some((_, End::Failed(_))) => "failed",
        };
        Self {
            id: job.id.clone(),
            title: job.plan.title.to_owned(),
            to: job.plan.to.clone(),
            who: job.who.clone(),
            began_at: At(job.began),
            ended_at: progress.end.as_ref().map(|(at, _)| At(*at)),
            state,
            done: progress.done,
            failed: progress.failed,
            left: progress.left(),
            total: progress.total,
            reached: progress.reached.map(At),
            trouble: progress.trouble.clone(),
            sentence: job.plan.sentence(&progress),
            reasons: progress.reasons,
        }
    }
}
