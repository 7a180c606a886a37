//! What is stuck, in words: from what was gathered, without asking anybody.

use std::time::Duration;

use lovage_core::Timestamp;
use lovage_core::schedule::{DisabledBy, StoredEntry};

use super::overview::{Finding, Level};
use super::queues::QueueRow;
use super::workers::WorkerRow;
use crate::pages::{
    Url,
    kit::{counted, rough},
};

/// A task at the head of a queue that is read may wait for this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// A worker says something at least this often.
const SILENCE: Duration = Duration::from_secs(30);
/// A slot fires at most this late while a beat runs.
const LATE: Duration = Duration::from_secs(20);
/// Names in one sentence.
const NAMED: usize = 3;

/// How a queue is, in a sentence.
pub(crate) fn words(row: &QueueRow, now: Timestamp) -> String {
    if let Some(finding) = queue(row, now) {
        return finding.sentence;
    }
    match (row.ready, row.leased) {
        (0, 0) => "Nothing waits and nothing runs.".to_owned(),
        (0, running) => format!("Nothing waits, {} at workers.", are(running)),
        (ready, _) => format!("{} for a worker; the oldest came {} ago.", waits(ready), rough(age(row, now))),
    }
}

/// What is wrong with a queue.
pub(crate) fn queue(row: &QueueRow, now: Timestamp) -> Option<Finding> {
    let QueueRow { name, ready, .. } = row;
    if *ready == 0 {
        return None;
    }
    let (level, sentence) = if row.paused {
        (Level::Warn, format!("`{name}` is paused: {} until somebody resumes it.", waits(*ready)))
    } else if row.workers.is_empty() {
        (Level::Bad, format!("No live worker reads `{name}`: {}.", waits(*ready)))
    } else if !row.taken {
        let sentence = format!(
            "All workers of `{name}` are quiet or stopping and take nothing more: {}.",
            waits(*ready)
        );
        (Level::Bad, sentence)
    } else if let Some(limit) = row.limit.as_ref().filter(|_| age(row, now) >= PATIENCE) {
        let sentence = format!(
            "`{name}` hands out {limit} and no more, as somebody limited it: {}, the oldest since {}.",
            waits(*ready),
            rough(age(row, now))
        );
        (Level::Warn, sentence)
    } else if age(row, now) >= PATIENCE {
        let sentence = format!(
            "`{name}` does not keep up: {}, the oldest since {}. Its workers are busy, or held up by tasks that block them.",
            waits(*ready),
            rough(age(row, now))
        );
        (Level::Bad, sentence)
    } else {
        return None;
    };
    Some(Finding { level, sentence, page: Url::new("", "/queue").with("name", name).to_string() })
}

/// What is wrong with a worker.
pub(crate) fn worker(row: &WorkerRow, now: Timestamp) -> Option<Finding> {
    let silent = now.since(row.seen_at.0);
    let sentence = if silent >= SILENCE {
        format!(
            "The {} `{}` has not been heard from for {}: it hangs, or has lost its connection.",
            if row.schedule.is_some() { "beat" } else { "worker" },
            row.name,
            rough(silent)
        )
    } else {
        return None;
    };
    Some(Finding { level: Level::Bad, sentence, page: "/workers".to_owned() })
}

/// Dead letters of a queue.
pub(crate) fn dead(row: &QueueRow) -> Option<Finding> {
    (row.dead > 0).then(|| Finding {
        level: Level::Warn,
        sentence: format!(
            "{} in `{}`: these tasks were given up.",
            counted(row.dead, "dead letter"),
            row.name
        ),
        page: Url::new("", "/dead").with("queue", &row.name).to_string(),
    })
}

/// Slots that nobody fired. `due` has the most overdue first.
pub(crate) fn beat(due: &[StoredEntry], beats: usize, now: Timestamp) -> Option<Finding> {
    let late = |entry: &&StoredEntry| entry.next_run_at.is_some_and(|at| now.since(at) >= LATE);
    let names: Vec<&str> = due.iter().filter(late).map(|stored| stored.entry.name.as_str()).collect();
    let since = due.first().and_then(|stored| stored.next_run_at).filter(|_| !names.is_empty())?;
    let (overdue, since) = (are_named(&names), rough(now.since(since)));
    let sentence = match beats {
        0 => format!("No beat is alive: {overdue} overdue, since {since}. Start one with `lovage beat`."),
        _ => format!("The beat does not fire: {overdue} overdue, since {since}. Its log says why."),
    };
    Some(Finding { level: Level::Bad, sentence, page: "/schedules".to_owned() })
}

/// An entry that does not fire although somebody may think so.
pub(crate) fn entry(stored: &StoredEntry) -> Option<Finding> {
    let name = &stored.entry.name;
    let error = stored.last_error.as_deref().unwrap_or("no reason was kept");
    let (level, sentence) = match stored.disabled_by {
        Some(DisabledBy::Bad) => {
            (Level::Bad, format!("The schedule `{name}` is disabled, it cannot be read: {error}."))
        }
        Some(DisabledBy::Gone) => (
            Level::Warn,
            format!("The schedule `{name}` is disabled: the program that declared it no longer does."),
        ),
        Some(DisabledBy::Done) => return None,
        None if stored.last_error.is_some() && stored.entry.enabled => {
            (Level::Bad, format!("The schedule `{name}` did not fire: {error}."))
        }
        None => return None,
    };
    Some(Finding { level, sentence, page: Url::new("", "/schedule").with("name", name).to_string() })
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

fn are_named(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len() {
        1 => format!("{shown} is"),
        count if count > NAMED => format!("{shown} and {} more are", count - NAMED),
        _ => format!("{shown} are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::At;

    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    fn row() -> QueueRow {
        QueueRow {
            name: "math".into(),
            paused: false,
            limit: None,
            ready: 3,
            leased: 0,
            delayed: 0,
            dead: 0,
            oldest_ready: Some(At(NOW.minus(Duration::from_secs(5)))),
            workers: vec!["w".into()],
            taken: true,
            words: String::new(),
        }
    }

    #[test]
    fn what_is_stuck_is_said_and_what_is_not_is_left_alone() {
        let old = Some(At(NOW.minus(Duration::from_secs(600))));
        let nobody = || Vec::new();
        for (row, part) in [
            (row(), None),
            (QueueRow { paused: true, ..row() }, Some("`math` is paused: 3 tasks wait until")),
            (QueueRow { workers: nobody(), taken: false, ..row() }, Some("No live worker reads `math`")),
            (QueueRow { taken: false, ..row() }, Some("quiet or stopping")),
            (QueueRow { oldest_ready: old, ..row() }, Some("the oldest since 10m")),
            (QueueRow { limit: Some("10/s".into()), ..row() }, None),
            (
                QueueRow { limit: Some("10/s".into()), oldest_ready: old, ..row() },
                Some("hands out 10/s and no more"),
            ),
            (QueueRow { workers: nobody(), ready: 0, ..row() }, None),
            (QueueRow { ready: 1, paused: true, ..row() }, Some("1 task waits")),
        ] {
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
    fn a_beat_that_is_only_a_little_late_is_no_finding() {
        use lovage_core::schedule::{Entry, Schedule};
        let minute = Schedule::every(PATIENCE).unwrap();
        let entry = Entry::new("tick".parse().unwrap(), "t".parse().unwrap(), minute);
        let stored = StoredEntry::new(entry, NOW);
        let next = stored.next_run_at.unwrap();
        assert_eq!(beat(std::slice::from_ref(&stored), 0, next.plus(Duration::from_secs(19))), None);
        let late = next.plus(Duration::from_secs(20));
        let words = |beats| beat(std::slice::from_ref(&stored), beats, late).unwrap().sentence;
        assert_eq!(words(0), "No beat is alive: `tick` is overdue, since 20s. Start one with `lovage beat`.");
        assert_eq!(words(1), "The beat does not fire: `tick` is overdue, since 20s. Its log says why.");
    }
}
