//! What each fault promises, and what it did.

use std::time::Duration;

use lovage_core::Timestamp;

use super::{AGAIN, BACK, Fault, History, Line, next, seconds, twice};
use crate::journal::Execution;

/// What one fault promises.
pub(super) fn after(history: &History, fault: &Fault, lines: &mut Vec<Line>) {
    match fault {
        Fault::Killed { worker, at, running } => {
            under_way(history, worker, *running, lines);
            after_kill(history, worker, *at, lines);
        }
        Fault::Stopped { worker, at, gone, code } => {
            let line = Line::figure(&format!("SIGTERM to {worker}: gone after"), seconds(gone.since(*at)));
            lines.push(line.promised("exit code 0", *code == Some(0), format!("exit code {code:?}")));
        }
        Fault::Frozen { worker, at, until } => {
            let delays = delays(history, worker, *at, |run| run.ended.is_none_or(|(_, ended)| ended > *at));
            let what = format!(
                "SIGSTOP to {worker} for {}: its tasks ran elsewhere after",
                seconds(until.since(*at))
            );
            lines.push(Line::figure(&what, spread(&delays)));
        }
        Fault::BrokerAway { at, back, workers } => {
            lines.push(Line::figure("the broker's server was away for", seconds(back.since(*at))));
            lines.push(working_again(history, *back, workers));
        }
        Fault::ResultsAway { at, back, workers } => {
            lines.push(Line::figure("the results' server was away for", seconds(back.since(*at))));
            lines.push(working_again(history, *back, workers));
        }
        Fault::Blocked { id } => {
            let runs: Vec<&Execution> = history.executions.iter().filter(|run| run.id == *id).collect();
            let longest =
                runs.iter().filter_map(|run| Some(run.ended?.1.since(run.began))).max().unwrap_or_default();
            let line = Line::figure("a task kept its thread for", seconds(longest));
            let kept = runs.len() == 1 && longest > history.lease;
            lines.push(line.promised(
                "longer than the lease, and ran once",
                kept,
                format!("{} runs", runs.len()),
            ));
        }
    }
}

fn under_way(history: &History, worker: &str, least: usize, lines: &mut Vec<Line>) {
    let running = history.executions.iter().filter(|run| run.worker == worker && run.ended.is_none()).count();
    let line = Line::figure(&format!("SIGKILL to {worker}: tasks running"), running);
    lines.push(line.promised(&format!("at least {least}"), running >= least, format!("{running}")));
}

fn after_kill(history: &History, worker: &str, at: Timestamp, lines: &mut Vec<Line>) {
    let own = || history.executions.iter().filter(|run| run.worker == worker);
    let running: Vec<&Execution> = own().filter(|run| run.ended.is_none()).collect();
    let just_ended =
        own().filter(|run| run.ended.is_some_and(|(_, ended)| ended.plus(history.on_its_way) >= at)).count();
    let twice = twice(&history.executions);
    let second: Vec<&Execution> = own()
        .filter(|first| twice.contains(&first.id))
        .filter(|first| first.ended.is_none_or(|(_, ended)| ended.plus(history.lease) >= at))
        .filter(|first| next(history, first, at).is_some())
        .collect();
    let age = second.iter().filter_map(|first| Some(at.since(first.ended?.1))).max().unwrap_or_default();
    let found = format!("{} (one had ended {} ms before)", second.len(), age.as_micros() / 1_000);
    let second = second.len();
    let most = running.len() + just_ended;
    lines.push(Line::figure("  … second runs after it", found).promised(
        &format!(
            "at most {most}: what ran ({}) or had ended within {:?} ({just_ended})",
            running.len(),
            history.on_its_way
        ),
        second <= most,
        format!("{} more", second.saturating_sub(most)),
    ));
    let delays = delays(history, worker, at, |run| run.ended.is_none());
    let most = history.lease + AGAIN;
    let all_again = delays.len() == running.len();
    let line = Line::figure("  … they ran again after", spread(&delays));
    let kept = all_again && delays.iter().all(|delay| *delay <= most);
    let case = format!("{} of {} ran again", delays.len(), running.len());
    lines.push(line.promised(&format!("all, within {}", seconds(most)), kept, case));
}

/// When each worker began a task again. While its server was away a worker ran out of tasks: what it begins now it has
/// reserved since.
fn working_again(history: &History, back: Timestamp, workers: &[String]) -> Line {
    let first = |worker: &String| {
        let began = history
            .executions
            .iter()
            .filter(|run| run.worker == *worker && run.began >= back)
            .map(|run| run.began);
        began.min().map(|began| began.since(back))
    };
    let firsts: Vec<(String, Option<Duration>)> =
        workers.iter().map(|worker| (worker.clone(), first(worker))).collect();
    let found: Vec<String> = firsts
        .iter()
        .map(|(worker, delay)| format!("{worker} {}", delay.map_or_else(|| "never".to_owned(), seconds)))
        .collect();
    let kept = firsts.iter().all(|(_, delay)| delay.is_some_and(|delay| delay <= BACK));
    let line = Line::figure("  … workers started tasks again after it answered", found.join(", "));
    line.promised(&format!("each within {}", seconds(BACK)), kept, found.join(", "))
}

/// How long after `at` the runs of a worker that `which` picks began again, elsewhere.
fn delays(
    history: &History,
    worker: &str,
    at: Timestamp,
    which: impl Fn(&Execution) -> bool,
) -> Vec<Duration> {
    let own = history.executions.iter().filter(|run| run.worker == worker && run.began <= at && which(run));
    let mut delays: Vec<Duration> =
        own.filter_map(|run| next(history, run, at)).map(|began| began.since(at)).collect();
    delays.sort_unstable();
    delays
}

fn spread(delays: &[Duration]) -> String {
    let (Some(first), Some(most)) = (delays.first(), delays.last()) else { return "none".to_owned() };
    let middle = delays[delays.len() / 2];
    format!(
        "first {}, median {}, last {} ({})",
        seconds(*first),
        seconds(middle),
        seconds(*most),
        delays.len()
    )
}
