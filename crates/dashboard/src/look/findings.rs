//! What is stuck, in words: from what was gathered, without asking anybody.

mod schedule;
mod stranded;

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::{Timestamp, WorkerInfo};

pub(crate) use schedule::{beat, cause, entries};
pub(crate) use stranded::stranded;

use super::growth::Growth;
use super::overview::{Finding, FindingKind, Level};
use super::queues::{QueueRow, QueueState};
use super::workers::WorkerRow;
use crate::pages::{
    Url,
    kit::{count, counted, rough},
};

/// A task at the head of a queue that is read may wait for this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Names in one sentence.
const NAMED: usize = 3;

/// What several findings of one kind have in common.
pub(crate) fn summary(kind: FindingKind, number: usize) -> String {
    match kind {
        FindingKind::WorkerSilent => {
            format!("{number} workers have not been heard from: they hang, or have lost their connections.")
        }
        FindingKind::WorkerStuck => format!("{number} workers are stuck: something blocks their threads."),
        FindingKind::WorkerBlocked => format!("Tasks block threads of {number} workers."),
        FindingKind::QueueUnread => format!("No live worker reads {number} queues in which tasks wait."),
        FindingKind::QueueUntaken => {
            format!("{number} queues have only workers that are quiet or stopping, and tasks wait.")
        }
        FindingKind::QueueLate => {
            format!("{number} queues do not keep up: tasks wait for more than a minute.")
        }
        FindingKind::Unroutable => {
            format!("In {number} cases tasks wait that no live worker of their queue can run.")
        }
        FindingKind::Beat => format!("{number} beats do not fire."),
        FindingKind::ScheduleStore => "The schedule cannot be read.".to_owned(),
        FindingKind::ScheduleEntry => format!("{number} problems with entries of the schedule."),
        FindingKind::QueueGrowing => format!("{number} queues grow while workers read them."),
        FindingKind::QueueLimited => format!("In {number} queues tasks wait because of their rate limits."),
        FindingKind::QueuePaused => format!("{number} queues are paused, and tasks wait in them."),
        FindingKind::DeadLetters => format!("{number} queues have dead letters: their tasks were given up."),
    }
}

/// The page with everything that findings of one kind are about.
pub(crate) const fn page(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::WorkerSilent | FindingKind::WorkerStuck | FindingKind::WorkerBlocked => "/workers",
        FindingKind::QueueUnread
        | FindingKind::QueueUntaken
        | FindingKind::QueueLate
        | FindingKind::Unroutable
        | FindingKind::QueueGrowing
        | FindingKind::QueueLimited
        | FindingKind::QueuePaused => "/queues",
        FindingKind::Beat | FindingKind::ScheduleStore | FindingKind::ScheduleEntry => "/schedules",
        FindingKind::DeadLetters => "/dead",
    }
}

/// How a queue is, in a sentence.
pub(crate) fn words(row: &QueueRow, now: Timestamp) -> String {
    let stranded = stranded(row).into_iter().map(|finding| finding.sentence);
    std::iter::once(waiting(row, now)).chain(stranded).collect::<Vec<_>>().join(" ")
}

fn waiting(row: &QueueRow, now: Timestamp) -> String {
    if let Some(finding) = queue(row, now) {
        return finding.sentence;
    }
    match (row.ready, row.leased) {
        (0, 0) => "Nothing waits and nothing runs.".to_owned(),
        (0, running) => format!("Nothing waits, {} at workers.", are(running)),
        (ready, _) => format!("{} for a worker; the oldest came {} ago.", waits(ready), rough(age(row, now))),
    }
}

/// How a queue is, in a word.
pub(crate) fn state(row: &QueueRow, now: Timestamp) -> QueueState {
    let (waits, is_late) = (row.ready > 0, age(row, now) >= PATIENCE);
    let rest = if row.stranded.is_empty() { QueueState::Open } else { QueueState::Stranded };
    match row {
        QueueRow { paused: true, .. } => QueueState::Paused,
        _ if !waits => rest,
        QueueRow { workers, .. } if workers.is_empty() => QueueState::Unread,
        QueueRow { taken: false, .. } => QueueState::Untaken,
        QueueRow { limit: Some(_), growth, .. } if is_late || growth.is_some() => QueueState::Limited,
        _ if is_late => QueueState::Late,
        QueueRow { growth: Some(_), .. } => QueueState::Growing,
        _ => rest,
    }
}

/// What is wrong with a queue.
pub(crate) fn queue(row: &QueueRow, now: Timestamp) -> Option<Finding> {
    let QueueRow { name, ready, .. } = row;
    if *ready == 0 {
        return None;
    }
    let (waits, since) = (waits(*ready), rough(age(row, now)));
    let (kind, level, sentence) = match state(row, now) {
        // What is stranded is a finding of its own, beside what waits.
        QueueState::Open | QueueState::Stranded => return None,
        QueueState::Paused => (
            FindingKind::QueuePaused,
            Level::Warn,
            format!("`{name}` is paused: {waits} until somebody resumes it."),
        ),
        QueueState::Unread => {
            (FindingKind::QueueUnread, Level::Bad, format!("No live worker reads `{name}`: {waits}."))
        }
        QueueState::Untaken => (
            FindingKind::QueueUntaken,
            Level::Bad,
            format!("All workers of `{name}` are quiet or stopping and take nothing more: {waits}."),
        ),
        QueueState::Limited => {
            let limit = row.limit.as_deref().unwrap_or_default();
            let sentence = format!(
                "`{name}` hands out {limit} and no more, as somebody limited it: {waits}, the oldest since {since}."
            );
            (FindingKind::QueueLimited, Level::Warn, sentence)
        }
        QueueState::Late => {
            let sentence = format!(
                "`{name}` does not keep up: {waits}, the oldest since {since}. Its workers are busy, or held up by tasks that block them."
            );
            (FindingKind::QueueLate, Level::Bad, sentence)
        }
        QueueState::Growing => (FindingKind::QueueGrowing, Level::Warn, grows(row, &waits)),
    };
    Some(Finding { kind, level, sentence, page: Url::new("", "/queue").with("name", name).to_string() })
}

fn grows(row: &QueueRow, waits: &str) -> String {
    let readers = match row.workers.len() {
        1 => "1 worker reads".to_owned(),
        number => format!("{number} workers read"),
    };
    let more = row.growth.map_or_else(String::new, |Growth { tasks, seconds }| {
        format!(", {} more than {} ago", count(tasks), rough(Duration::from_secs(seconds)))
    });
    format!(
        "`{}` grows while {readers} it: {waits}{more}. Start more workers, or give them more slots.",
        row.name
    )
}

/// What is wrong with a worker, the worst of it, where so many are alive.
pub(crate) fn worker(row: &WorkerRow, live: usize, now: Timestamp) -> Option<Finding> {
    let WorkerRow { name, .. } = row;
    let silent = now.since(row.seen_at.0);
    let blocking: BTreeMap<&str, Timestamp> =
        row.active.iter().filter_map(|active| Some((active.task.as_str(), active.blocks_since?.0))).collect();
    let tasks: Vec<&str> = blocking.keys().copied().collect();
    let instead = if tasks.len() == 1 { "it a plain function" } else { "them plain functions" };
    let instead = format!("ake {instead}, or move the work into `spawn_blocking`.");
    let block = if tasks.len() == 1 { "blocks" } else { "block" };
    let (kind, sentence) = if silent >= WorkerInfo::silent_after(live) {
        let sentence = format!(
            "The {} `{name}` has not been heard from for {}: it hangs, or has lost its connection.",
            if row.schedule.is_some() { "beat" } else { "worker" },
            rough(silent)
        );
        (FindingKind::WorkerSilent, sentence)
    } else if let Some(since) = row.stuck_since {
        let since = rough(now.since(since.0));
        let sentence = match tasks.is_empty() {
            true => format!("The worker `{name}` is stuck since {since}: something blocks its threads."),
            false => format!(
                "The worker `{name}` is stuck since {since}: {} {block} its threads, and nothing else goes on there. M{instead}",
                named(&tasks)
            ),
        };
        (FindingKind::WorkerStuck, sentence)
    } else {
        let since = rough(now.since(blocking.into_values().min()?));
        let sentence = format!(
            "{} {block} threads of the worker `{name}` since {since}, so that other tasks cannot go on: m{instead}",
            named(&tasks)
        );
        (FindingKind::WorkerBlocked, sentence)
    };
    Some(Finding { kind, level: Level::Bad, sentence, page: "/workers".to_owned() })
}

/// Dead letters of a queue.
pub(crate) fn dead(row: &QueueRow) -> Option<Finding> {
    (row.dead > 0).then(|| Finding {
        kind: FindingKind::DeadLetters,
        level: Level::Warn,
        sentence: format!(
            "{} in `{}`: these tasks were given up.",
            counted(row.dead, "dead letter"),
            row.name
        ),
        page: Url::new("", "/dead").with("queue", &row.name).to_string(),
    })
}

fn age(row: &QueueRow, now: Timestamp) -> Duration {
    row.oldest_ready.map_or(Duration::ZERO, |at| now.since(at.0))
}

fn waits(number: u64) -> String {
    format!("{} {}", counted(number, "task"), if number == 1 { "waits" } else { "wait" })
}

fn are(number: u64) -> String {
    format!("{} {}", counted(number, "task"), if number == 1 { "is" } else { "are" })
}

/// The first of some names, each once: `a`, `b`, `c` and 2 more.
fn named(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMED);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::At;
    use crate::look::unrunnable::Stranded;

    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    pub(super) fn row() -> QueueRow {
        QueueRow {
            name: "math".into(),
            state: QueueState::Open,
            paused: false,
            limit: None,
            ready: 3,
            leased: 0,
            delayed: 0,
            dead: 0,
            oldest_ready: Some(At(NOW.minus(Duration::from_secs(5)))),
            workers: vec!["w".into()],
            taken: true,
            growth: None,
            stranded: Vec::new(),
            words: String::new(),
        }
    }

    #[test]
    fn what_is_stuck_is_said_and_what_is_not_is_left_alone() {
        let old = Some(At(NOW.minus(Duration::from_secs(600))));
        let nobody = || Vec::new();
        let lost = || vec![Stranded { task: "lost".into(), why: "unregistered", tasks: 1, told_by: 1 }];
        let open = QueueState::Open;
        for (row, word, part) in [
            (row(), open, None),
            (
                QueueRow { paused: true, ..row() },
                QueueState::Paused,
                Some("`math` is paused: 3 tasks wait until"),
            ),
            (QueueRow { paused: true, ready: 0, ..row() }, QueueState::Paused, None),
            (
                QueueRow { workers: nobody(), taken: false, ..row() },
                QueueState::Unread,
                Some("No live worker reads `math`"),
            ),
            (QueueRow { taken: false, ..row() }, QueueState::Untaken, Some("quiet or stopping")),
            (QueueRow { oldest_ready: old, ..row() }, QueueState::Late, Some("the oldest since 10m")),
            (QueueRow { ready: 0, stranded: lost(), ..row() }, QueueState::Stranded, None),
            (
                QueueRow { oldest_ready: old, stranded: lost(), ..row() },
                QueueState::Late,
                Some("the oldest since 10m"),
            ),
            (QueueRow { limit: Some("10/s".into()), ..row() }, open, None),
            (
                QueueRow { limit: Some("10/s".into()), oldest_ready: old, ..row() },
                QueueState::Limited,
                Some("hands out 10/s and no more"),
            ),
            (QueueRow { workers: nobody(), ready: 0, ..row() }, open, None),
            (QueueRow { ready: 1, paused: true, ..row() }, QueueState::Paused, Some("1 task waits")),
        ] {
            assert_eq!(state(&row, NOW), word);
            let found = queue(&row, NOW).map(|finding| finding.sentence);
            match (part, found) {
                (None, found) => assert_eq!(found, None),
                (Some(part), Some(found)) => assert!(found.contains(part), "{found}"),
                (Some(part), None) => panic!("nothing instead of {part}"),
            }
        }
        assert_eq!(words(&row(), NOW), "3 tasks wait for a worker; the oldest came 5s ago.");
        assert_eq!(
            words(&QueueRow { ready: 0, leased: 1, ..row() }, NOW),
            "Nothing waits, 1 task is at workers."
        );
    }

    #[test]
    fn a_queue_that_grows_is_said_before_its_head_waits_for_long() {
        let growth = Some(Growth { tasks: 20, seconds: 15 });
        let said = |row| queue(&row, NOW).map(|found| (found.level, found.sentence));
        let grows = "`math` grows while 1 worker reads it: 3 tasks wait, 20 more than 15s ago. Start more workers, or give them more slots.";
        assert_eq!(said(QueueRow { growth, ..row() }), Some((Level::Warn, grows.to_owned())));
        assert_eq!(state(&QueueRow { growth, ..row() }, NOW), QueueState::Growing);
        let limited = said(QueueRow { growth, limit: Some("10/s".into()), ..row() }).unwrap().1;
        assert!(limited.contains("hands out 10/s and no more"), "{limited}");
        let paused = said(QueueRow { growth, paused: true, ..row() }).unwrap().1;
        assert!(paused.contains("is paused"), "{paused}");
    }

    fn worker_row(blocking: &[&str], stuck: bool, silent: u64) -> WorkerRow {
        let at = |ago| NOW.minus(Duration::from_secs(ago));
        let active: Vec<_> = blocking
            .iter()
            .chain(&["good"])
            .map(|task| {
                let blocks_since = (*task != "good").then(|| at(12));
                let id = lovage_core::TaskId::from_bytes([1; 16]);
                serde_json::json!({ "id": id, "task": task, "queue": "q", "started_at": NOW, "blocks_since": blocks_since })
            })
            .collect();
        let info = serde_json::json!({
            "id": lovage_core::WorkerId::new(&lovage_testkit::SeededEntropy::new(9)), "name": "w", "host": "h", "pid": 1,
            "version": "1", "started_at": NOW, "seen_at": at(silent), "mode": "running", "queues": ["q"], "concurrency": 4,
            "blocking": 1, "tasks": [], "active": active, "reserved": 0, "succeeded": 0, "failed": 0,
            "stuck_since": stuck.then(|| at(9)),
        });
        WorkerRow::from(&serde_json::from_value::<lovage_core::WorkerInfo>(info).unwrap())
    }

    #[test]
    fn tasks_that_block_are_said_with_their_worker_and_what_to_do() {
        let said = |row: WorkerRow| worker(&row, 1, NOW).map(|found| found.sentence).unwrap_or_default();
        assert_eq!(said(worker_row(&[], false, 1)), "");
        assert_eq!(
            said(worker_row(&["spin", "spin"], false, 1)),
            "`spin` blocks threads of the worker `w` since 12s, so that other tasks cannot go on: make it a plain function, or move the work into `spawn_blocking`."
        );
        assert_eq!(
            said(worker_row(&["spin", "hash"], true, 1)),
            "The worker `w` is stuck since 9s: `hash`, `spin` block its threads, and nothing else goes on there. Make them plain functions, or move the work into `spawn_blocking`."
        );
        assert!(said(worker_row(&[], true, 1)).contains("is stuck since 9s: something blocks its threads"));
        let silent = worker_row(&["spin"], true, 31);
        let crowd = worker(&silent, 1_000, NOW).unwrap().sentence;
        assert!(crowd.contains("is stuck"), "of so many each says something once in 50 s: {crowd}");
        assert!(said(silent).contains("not been heard from for 31s"));
    }
}
