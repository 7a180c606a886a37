//! What is going on, and what is stuck.

use schemars::JsonSchema;
use serde::Serialize;

use super::charts::{self, Charts};
use super::queues::{QueueRow, with_workers};
use super::workers::WorkerRow;
use super::{At, findings, scheduled};
use crate::call::Call;
use crate::problem::Problem;

/// Workers that are shown by name.
const WORKERS: usize = 20;
/// Findings that are shown, the worst first.
const FINDINGS: usize = 30;

/// Everything at a glance.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Overview {
    /// When it was asked.
    pub(crate) at: At,
    /// What needs attention, the worst first; empty when all is well.
    pub(crate) findings: Vec<Finding>,
    pub(crate) totals: Totals,
    /// What happened over time.
    pub(crate) charts: Charts,
    pub(crate) queues: Vec<QueueRow>,
    /// The first of the live workers.
    pub(crate) workers: Vec<WorkerRow>,
    /// Live workers that are not among them.
    pub(crate) more_workers: usize,
}

/// Over all queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Totals {
    pub(crate) ready: u64,
    pub(crate) leased: u64,
    pub(crate) delayed: u64,
    pub(crate) dead: u64,
    /// Live workers.
    pub(crate) workers: u64,
}

/// Something that needs attention.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) sentence: String,
    /// The page that shows more of it, behind the base.
    pub(crate) page: String,
}

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Tasks do not run that should.
    Bad,
    /// Somebody should look at it.
    Warn,
}

pub(crate) async fn data(call: Call) -> Result<Overview, Problem> {
    let app = &call.app;
    let live = app.parts.broker.workers(None).await?;
    let queues = with_workers(app, &live).await?;
    let charts = charts::data(&call, &queues).await?;
    let workers: Vec<WorkerRow> = live.iter().map(WorkerRow::from).collect();
    let mut found: Vec<Finding> = queues.iter().filter_map(|row| findings::queue(row, call.now)).collect();
    found.extend(queues.iter().flat_map(findings::stranded));
    found.extend(workers.iter().filter_map(|row| findings::worker(row, live.len(), call.now)));
    found.extend(queues.iter().filter_map(findings::dead));
    found.extend(scheduled::findings(app, &live).await);
    found.sort_by_key(|finding| finding.level);
    found.truncate(FINDINGS);
    let workers: Vec<WorkerRow> = workers.into_iter().filter(|row| row.schedule.is_none()).collect();
    Ok(Overview {
        at: At(call.now),
        charts,
        findings: found,
        totals: totals(&queues, workers.len()),
        more_workers: workers.len().saturating_sub(WORKERS),
        workers: workers.into_iter().take(WORKERS).collect(),
        queues,
    })
}

fn totals(queues: &[QueueRow], workers: usize) -> Totals {
    let none = Totals { workers: u64::try_from(workers).unwrap_or(u64::MAX), ..Totals::default() };
    queues.iter().fold(none, |sum, row| Totals {
        ready: sum.ready + row.ready,
        leased: sum.leased + row.leased,
        delayed: sum.delayed + row.delayed,
        dead: sum.dead + row.dead,
        ..sum
    })
}
