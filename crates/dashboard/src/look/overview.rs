//! What is going on, and what is stuck.

use std::collections::BTreeMap;

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
/// Findings of one kind that are listed.
const FINDINGS_PER_KIND: usize = 10;

/// Everything at a glance.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(crate) struct Overview {
    /// When it was asked.
    pub(crate) at: At,
    /// What needs attention, one entry per kind of finding, the worst first; empty when all is well.
    pub(crate) attention: Vec<FindingGroup>,
    /// The findings, in the order of `attention`: the first ten of each kind.
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
    pub(crate) kind: FindingKind,
    pub(crate) level: Level,
    pub(crate) sentence: String,
    /// The page that shows more of it, behind the base.
    pub(crate) page: String,
}

/// All findings of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub(crate) struct FindingGroup {
    pub(crate) kind: FindingKind,
    /// The worst level among them.
    pub(crate) level: Level,
    /// The number of findings of this kind, also of those that are not listed.
    pub(crate) count: usize,
    /// The finding where there is one, else a summary.
    pub(crate) sentence: String,
    /// The page that shows all of them, behind the base.
    pub(crate) page: String,
}

/// The cause of a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FindingKind {
    /// A worker sends no heartbeats.
    WorkerSilent,
    /// Something blocks all threads of a worker.
    WorkerStuck,
    /// Async tasks block threads of a worker.
    WorkerBlocked,
    /// Tasks wait in a queue that no live worker reads.
    QueueUnread,
    /// All workers of a queue are quiet or stopping.
    QueueUntaken,
    /// Tasks wait too long although workers read the queue.
    QueueLate,
    /// A queue holds tasks that no live worker of it can run.
    Unroutable,
    /// Slots are overdue, or no beat is alive.
    Beat,
    /// The schedule cannot be read.
    ScheduleStore,
    /// An entry of the schedule does not fire, or its tasks cannot run.
    ScheduleEntry,
    /// More tasks arrive in a queue than its workers run.
    QueueGrowing,
    /// A rate limit makes tasks wait.
    QueueLimited,
    /// Tasks wait in a paused queue.
    QueuePaused,
    /// A queue has dead letters.
    DeadLetters,
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
    let (attention, found) = grouped(found);
    let workers: Vec<WorkerRow> = workers.into_iter().filter(|row| row.schedule.is_none()).collect();
    Ok(Overview {
        at: At(call.now),
        charts,
        attention,
        findings: found,
        totals: totals(&queues, workers.len()),
        more_workers: workers.len().saturating_sub(WORKERS),
        workers: workers.into_iter().take(WORKERS).collect(),
        queues,
    })
}

/// The findings by kind, the worst kinds first, and the first findings of each kind.
fn grouped(found: Vec<Finding>) -> (Vec<FindingGroup>, Vec<Finding>) {
    let mut kinds: BTreeMap<FindingKind, Vec<Finding>> = BTreeMap::new();
    for finding in found {
        kinds.entry(finding.kind).or_default().push(finding);
    }
    let mut kinds: Vec<(FindingGroup, Vec<Finding>)> = kinds
        .into_iter()
        .filter_map(|(kind, mut findings)| {
            findings.sort_by_key(|finding| finding.level);
            let worst = findings.first()?;
            let (sentence, page) = match findings.len() {
                1 => (worst.sentence.clone(), worst.page.clone()),
                count => (findings::summary(kind, count), findings::page(kind).to_owned()),
            };
            let group = FindingGroup { kind, level: worst.level, count: findings.len(), sentence, page };
            findings.truncate(FINDINGS_PER_KIND);
            Some((group, findings))
        })
        .collect();
    kinds.sort_by_key(|(group, _)| (group.level, group.kind));
    let (groups, findings): (Vec<_>, Vec<_>) = kinds.into_iter().unzip();
    (groups, findings.concat())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_of_finding_is_hidden_by_another() {
        let finding = |kind, level, number: usize| Finding {
            kind,
            level,
            sentence: format!("{kind:?} {number}"),
            page: format!("/{number}"),
        };
        let unread = (0..150).map(|number| finding(FindingKind::QueueUnread, Level::Bad, number));
        let dead = (0..2).map(|number| finding(FindingKind::DeadLetters, Level::Warn, number));
        let entry = finding(FindingKind::ScheduleEntry, Level::Bad, 7);
        let (groups, findings) = grouped(unread.chain(dead).chain([entry]).collect());
        let shown: Vec<_> =
            groups.iter().map(|group| (group.kind, group.count, group.sentence.as_str())).collect();
        assert_eq!(
            shown,
            [
                (FindingKind::QueueUnread, 150, "No live worker reads 150 queues in which tasks wait."),
                (FindingKind::ScheduleEntry, 1, "ScheduleEntry 7"),
                (FindingKind::DeadLetters, 2, "2 queues have dead letters: their tasks were given up."),
            ]
        );
        assert_eq!((groups[0].page.as_str(), groups[1].page.as_str()), ("/queues", "/7"));
        assert_eq!(findings.len(), 10 + 1 + 2);
    }
}
