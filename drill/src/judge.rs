//! The judge: from what was accepted, what each run said and what the results hold, to what became of every promise.
//! Pure, so that it can be tried on invented histories.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use lovage_core::{AttemptRecord, Outcome, TaskId, TaskRecord, TaskState, Timestamp};

use crate::journal::{Ended, Execution};

mod faults;
#[cfg(test)]
mod tests;

/// A task killed with its worker runs again within its lease and this.
pub const AGAIN: Duration = Duration::from_secs(5);
/// Every worker works again this long after the broker or the results answer.
pub const BACK: Duration = Duration::from_secs(1);

/// Everything that is known when all is over.
#[derive(Clone, Default, Debug)]
pub struct History {
    /// What senders sent.
    pub sent: HashMap<TaskId, Sent>,
    /// What workers ran, by their journals.
    pub executions: Vec<Execution>,
    /// Every row of the results.
    pub records: Vec<TaskRecord>,
    /// The attempt rows of tasks that ran twice ([`twice`] names them).
    pub attempts: HashMap<TaskId, Vec<AttemptRecord>>,
    /// What was done to whom.
    pub faults: Vec<Fault>,
    /// Tasks whose lease was lost, by the workers' own logs.
    pub told: HashSet<(String, TaskId)>,
    /// Messages that the queue still has, dead letters included.
    pub left: u64,
    /// The workers' lease.
    pub lease: Duration,
    /// How long a finished run may be lost with its process, because its record is on its way.
    pub on_its_way: Duration,
}

/// One task of a sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// What it answers.
    pub number: u64,
    /// Whether the broker accepted it.
    pub accepted: bool,
    /// It was sent again with its id, after an error that said that it may have been accepted.
    pub again: bool,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// SIGKILL.
    Killed {
        /// The worker process.
        worker: String,
        /// When.
        at: Timestamp,
        /// At least so many tasks were to be under way.
        running: usize,
    },
    /// SIGTERM.
    Stopped {
        /// The worker process.
        worker: String,
        /// When.
        at: Timestamp,
        /// When it was gone.
        gone: Timestamp,
        /// Its exit code.
        code: Option<i32>,
    },
    /// SIGSTOP, later SIGCONT.
    Frozen {
        /// The worker process.
        worker: String,
        /// When.
        at: Timestamp,
        /// When it went on.
        until: Timestamp,
    },
    /// The broker's server was killed, later started again.
    BrokerAway {
        /// When.
        at: Timestamp,
        /// When it answered again.
        back: Timestamp,
        /// The worker processes of that time.
        workers: Vec<String>,
    },
    /// The results' server was stopped, later started again.
    ResultsAway {
        /// When.
        at: Timestamp,
        /// When it answered again.
        back: Timestamp,
        /// The worker processes of that time.
        workers: Vec<String>,
    },
    /// A task that keeps its thread for longer than the lease.
    Blocked {
        /// The task.
        id: TaskId,
    },
}

/// Why a task ran a second time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    /// Its process was killed while it ran or within [`History::on_its_way`] of its end.
    Killed,
    /// Its process was frozen beyond its lease, likewise.
    Frozen,
    /// A worker that had been frozen began it late, from a lease that had ended.
    Thawed,
    /// Its process stopped and gave it back unfinished.
    GivenBack,
    /// Its lease ended while the broker was away.
    LeaseLost,
    /// Its sender could not know that it had been accepted, and sent it again after it had ended.
    SentAgain,
}

/// The verdict on one point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What was looked at.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What was promised; empty where it is only a figure.
    pub promise: String,
    /// Whether the promise is kept.
    pub kept: bool,
    /// The first cases of a broken one.
    pub cases: Vec<String>,
}

/// The tasks that ran more than once in one attempt.
#[must_use]
pub fn twice(executions: &[Execution]) -> HashSet<TaskId> {
    let attempts = by_attempt(executions);
    attempts.into_iter().filter(|(_, runs)| runs.len() > 1).map(|((id, ..), _)| id).collect()
}

/// Judges everything.
#[must_use]
pub fn judge(history: &History) -> Vec<Line> {
    let mut lines = Vec::new();
    endings(history, &mut lines);
    second_runs(history, &mut lines);
    for fault in &history.faults {
        faults::after(history, fault, &mut lines);
    }
    lines
}

/// Every accepted task ends exactly once, with the right result; nothing else does.
fn endings(history: &History, lines: &mut Vec<Line>) {
    let accepted = history.sent.values().filter(|sent| sent.accepted).count();
    lines.push(Line::figure("tasks accepted", accepted));
    lines.push(Line::figure(
        "sent again with the same id after an unclear answer",
        history.sent.values().filter(|sent| sent.again).count(),
    ));
    let ended: HashSet<TaskId> =
        history.records.iter().filter(|record| record.state.is_terminal()).map(|record| record.id).collect();
    let lost = history.sent.iter().filter(|(id, sent)| sent.accepted && !ended.contains(id));
    lines.push(Line::none("accepted tasks without an end (lost)", lost.map(|(id, _)| id.to_string())));

    let mut ends: BTreeMap<(TaskId, u32), usize> = BTreeMap::new();
    for record in &history.records {
        *ends.entry((record.id, record.run)).or_default() += 1;
    }
    let doubled = ends
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|((id, run), n)| format!("{id} run {run}: {n} rows"));
    lines.push(Line::none("tasks that ended more than once", doubled));

    let strangers = history.records.iter().map(|record| record.id);
    let strangers: HashSet<TaskId> = strangers
        .chain(history.executions.iter().map(|run| run.id))
        .filter(|id| !history.sent.contains_key(id))
        .collect();
    lines.push(Line::none("tasks that nobody sent (invented)", strangers.iter().map(ToString::to_string)));

    let wrong = history.records.iter().filter_map(|record| wrong_end(history.sent.get(&record.id)?, record));
    lines.push(Line::none("ends other than success with the right value", wrong));
    let finished: HashSet<TaskId> = history
        .executions
        .iter()
        .filter(|run| matches!(run.ended, Some((Ended::Succeeded, _))))
        .map(|run| run.id)
        .collect();
    let unrun = history
        .records
        .iter()
        .filter(|record| record.state == TaskState::Success && !finished.contains(&record.id));
    lines.push(Line::none("successes without a run", unrun.map(|record| record.id.to_string())));
    lines.push(Line::none("messages left in the queue", (0..history.left).map(|_| String::new())));
}

fn wrong_end(sent: &Sent, record: &TaskRecord) -> Option<String> {
    let right =
        record.state == TaskState::Success && record.outcome == Outcome::Result(sent.number.to_string());
    (!right).then(|| format!("{}: {} {:?}", record.id, record.state.as_str(), record.outcome))
}

/// Every second run has its reason, and its attempt rows show it.
fn second_runs(history: &History, lines: &mut Vec<Line>) {
    let mut reasons: BTreeMap<Why, usize> = BTreeMap::new();
    let (mut unexplained, mut late, mut rowless) = (Vec::new(), Vec::new(), Vec::new());
    let mut all = 0;
    for ((id, run, _), runs) in by_attempt(&history.executions) {
        for pair in runs.windows(2) {
            all += 1;
            match explain(history, pair[0], pair[1]) {
                Ok((why, over)) => {
                    *reasons.entry(why).or_default() += 1;
                    if over > Duration::ZERO {
                        late.push(format!(
                            "{id}: had ended {:?} before that ({why:?})",
                            over + history.on_its_way
                        ));
                    }
                }
                Err(what) => unexplained.push(what),
            }
        }
        if runs.len() > 1 && !has_its_row(history, id, run, &runs) {
            rowless.push(format!("{id}: {:?}", history.attempts.get(&id)));
        }
    }
    lines.push(Line::figure("second runs", all));
    for (why, count) in reasons {
        lines.push(Line::figure(&format!("  … {}", why.in_words()), count));
    }
    lines.push(Line::none("  … without an explanation", unexplained.into_iter()));
    lines.push(Line::none(
        &format!("  … of runs that had ended more than {:?} before the kill or freeze", history.on_its_way),
        late.into_iter(),
    ));
    lines.push(Line::none(
        "  … whose attempt rows do not show the hand-out that counted",
        rowless.into_iter(),
    ));
}

/// Why `second` ran after `first`, and how long before the fault, beyond [`History::on_its_way`], the first had ended.
fn explain(history: &History, first: &Execution, second: &Execution) -> Result<(Why, Duration), String> {
    let on_time = Duration::ZERO;
    if second.delivery < first.delivery && thawed(history, second) {
        return Ok((Why::Thawed, on_time));
    }
    if second.delivery <= first.delivery {
        // The broker counts hand-outs of one message: it was published twice.
        return match history.sent.get(&first.id) {
            Some(sent) if sent.again => Ok((Why::SentAgain, on_time)),
            _ => Err(format!("{}: handed out twice under one count: {first:?}, {second:?}", first.id)),
        };
    }
    let over = |at: Timestamp| match first.ended {
        Some((_, ended)) if ended < at => at.since(ended).saturating_sub(history.on_its_way),
        Some(_) | None => on_time,
    };
    // How long after its end a settlement may still be under way without any doubt about the reason.
    let near = |at: Timestamp| first.began <= at && over(at) < history.lease;
    for fault in &history.faults {
        match fault {
            Fault::Killed { worker, at, .. } if *worker == first.worker && near(*at) => {
                return Ok((Why::Killed, over(*at)));
            }
            Fault::Frozen { worker, at, until }
                if *worker == first.worker
                    && near(*at)
                    && second.began >= *at
                    && until.since(*at) >= history.lease =>
            {
                return Ok((Why::Frozen, over(*at)));
            }
            Fault::Stopped { worker, at, .. }
                if *worker == first.worker
                    && matches!(first.ended, Some((Ended::Interrupted, ended)) if ended >= *at) =>
            {
                return Ok((Why::GivenBack, on_time));
            }
            Fault::BrokerAway { at, back, .. } => {
                let told = history.told.contains(&(first.worker.clone(), first.id));
                let ended = first.ended.map_or(*back, |(_, ended)| ended);
                if told && near(*at) && ended <= back.plus(history.lease) {
                    return Ok((Why::LeaseLost, on_time));
                }
            }
            Fault::Killed { .. }
            | Fault::Frozen { .. }
            | Fault::Stopped { .. }
            | Fault::ResultsAway { .. }
            | Fault::Blocked { .. } => {}
        }
    }
    Err(format!("{}: no fault explains it: {first:?}, {second:?}", first.id))
}

/// Whether a worker began this run just after a freeze, with a hand-out from before it.
fn thawed(history: &History, late: &Execution) -> bool {
    history.faults.iter().any(|fault| match fault {
        Fault::Frozen { worker, until, .. } => {
            *worker == late.worker && late.began >= *until && late.began.since(*until) < history.lease
        }
        Fault::Killed { .. }
        | Fault::Stopped { .. }
        | Fault::BrokerAway { .. }
        | Fault::ResultsAway { .. }
        | Fault::Blocked { .. } => false,
    })
}

/// The attempt rows know the newest hand-out of which a run ended well: they show that there was another one before it.
fn has_its_row(history: &History, id: TaskId, run: u32, runs: &[&Execution]) -> bool {
    let Some(rows) = history.attempts.get(&id) else { return false };
    let ended = |run: &&&Execution| matches!(run.ended, Some((Ended::Succeeded | Ended::Failed, _)));
    let newest = runs.iter().filter(ended).map(|run| run.delivery).max();
    newest.is_some_and(|delivery| rows.iter().any(|row| row.run == run && row.delivery == delivery))
}

/// When a task was begun again after `at`.
fn next(history: &History, first: &Execution, at: Timestamp) -> Option<Timestamp> {
    let same = |run: &&Execution| (run.id, run.run, run.attempt) == (first.id, first.run, first.attempt);
    history.executions.iter().filter(same).map(|run| run.began).filter(|began| *began > at).min()
}

type Attempts<'a> = BTreeMap<(TaskId, u32, u32), Vec<&'a Execution>>;

fn by_attempt(executions: &[Execution]) -> Attempts<'_> {
    let mut attempts = Attempts::new();
    for run in executions {
        attempts.entry((run.id, run.run, run.attempt)).or_default().push(run);
    }
    attempts.values_mut().for_each(|runs| runs.sort_unstable_by_key(|run| run.began));
    attempts
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

impl Why {
    fn in_words(self) -> &'static str {
        match self {
            Self::Killed => "killed with its worker",
            Self::Frozen => "its worker was frozen beyond the lease",
            Self::Thawed => "begun late by a worker that had been frozen",
            Self::GivenBack => "given back unfinished by a stopping worker",
            Self::LeaseLost => "its lease ended while the broker was away",
            Self::SentAgain => "sent again after it had ended",
        }
    }
}

impl Line {
    /// A figure without a promise.
    pub(crate) fn figure(what: &str, found: impl ToString) -> Self {
        Self {
            what: what.to_owned(),
            found: found.to_string(),
            promise: String::new(),
            kept: true,
            cases: Vec::new(),
        }
    }

    /// Something of which there must be none.
    pub(crate) fn none(what: &str, cases: impl Iterator<Item = String>) -> Self {
        let cases: Vec<String> = cases.collect();
        Self { promise: "0".to_owned(), kept: cases.is_empty(), ..Self::figure(what, cases.len()) }
            .with_cases(cases)
    }

    pub(crate) fn promised(self, promise: &str, kept: bool, case: String) -> Self {
        let cases = if kept { Vec::new() } else { vec![case] };
        Self { promise: promise.to_owned(), kept, ..self }.with_cases(cases)
    }

    fn with_cases(mut self, cases: Vec<String>) -> Self {
        self.cases = cases;
        self.cases.truncate(5);
        self
    }
}
