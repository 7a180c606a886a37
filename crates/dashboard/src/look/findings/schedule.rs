//! What is wrong with the schedule: a beat that does not fire, and entries that a deploy broke.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::schedule::{DisabledBy, Entry, Fit, Listed, StoredEntry};
use lovage_core::{Timestamp, WorkerInfo};

use super::named;
use crate::look::overview::{Finding, Level};
use crate::pages::{Url, kit::rough};

/// A slot fires at most this late while a beat runs.
const LATE: Duration = Duration::from_secs(20);

/// Something that is wrong with some entries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trouble {
    pub(crate) finding: Finding,
    /// Their names.
    pub(crate) entries: Vec<String>,
}

/// Slots that nobody fired, or nobody will. `due` has the most overdue first; `idle`: entries are enabled, and no beat lives.
pub(crate) fn beat(due: &[StoredEntry], idle: bool, now: Timestamp) -> Option<Finding> {
    let late = |entry: &&StoredEntry| entry.next_run_at.is_some_and(|at| now.since(at) >= LATE);
    let names: Vec<&str> = due.iter().filter(late).map(|stored| stored.entry.name.as_str()).collect();
    let since = due.first().and_then(|stored| stored.next_run_at).filter(|_| !names.is_empty());
    let overdue = since.map(|since| {
        let are = if names.len() == 1 { "is" } else { "are" };
        format!("{} {are} overdue, since {}", named(&names), rough(now.since(since)))
    });
    let sentence = match (overdue, idle) {
        (Some(overdue), true) => {
            format!("No beat is alive: {overdue}. Start one with `lovage beat`.")
        }
        (None, true) => "No beat is alive: no schedule fires. Start one with `lovage beat`.".to_owned(),
        (Some(overdue), false) => format!("The beat does not fire: {overdue}. Its log says why."),
        (None, false) => return None,
    };
    Some(Finding { level: Level::Bad, sentence, page: "/schedules".to_owned() })
}

/// Entries that do not do what somebody may think; those of one cause together.
pub(crate) fn entries<'a>(
    entries: impl IntoIterator<Item = &'a Listed>,
    workers: &[WorkerInfo],
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut gone: Vec<&str> = Vec::new();
    let mut unknown: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for listed in entries {
        let stored = match listed {
            Ok(stored) => stored,
            Err(bad) => {
                troubles.push(trouble(Level::Bad, &[&bad.name], unreadable(&bad.name, &bad.reason)));
                continue;
            }
        };
        let entry = &stored.entry;
        let name = entry.name.as_str();
        if stored.disabled_by == Some(DisabledBy::Gone) {
            gone.push(name);
        } else if let Some(sentence) = of_store(stored) {
            troubles.push(trouble(Level::Bad, &[name], sentence));
        } else if entry.enabled {
            match fit(entry, workers) {
                Fit::Fits => {}
                Fit::Unknown => {
                    unknown.entry((entry.task.as_str(), entry.queue.as_str())).or_default().push(name);
                }
                // What was found there are arguments, which are not for this page.
                Fit::Wrong(error) => {
                    let sentence = format!(
                        "The arguments of the schedule `{name}` do not fit its task: expected {}.",
                        error.expected
                    );
                    troubles.push(trouble(Level::Bad, &[name], sentence));
                }
            }
        }
    }
    troubles.extend(unknown.into_iter().map(|((task, queue), names)| {
        let sentence = format!(
            "{} `{task}` to `{queue}`, and no live worker of that queue knows this task: start one that does, or change the schedule.",
            said(&names, "sends", "send")
        );
        trouble(Level::Bad, &names, sentence)
    }));
    if !gone.is_empty() {
        let them = if gone.len() == 1 { "it" } else { "them" };
        let sentence = format!(
            "{} disabled: the program that declared {them} no longer does.",
            said(&gone, "is", "are")
        );
        troubles.push(trouble(Level::Warn, &gone, sentence));
    }
    troubles
}

/// What the store knows of an entry that does not fire.
fn of_store(stored: &StoredEntry) -> Option<String> {
    let name = stored.entry.name.as_str();
    let error = stored.last_error.as_deref();
    match stored.disabled_by {
        Some(DisabledBy::Bad) => Some(unreadable(name, error.unwrap_or("no reason was kept"))),
        Some(DisabledBy::Done | DisabledBy::Gone) => None,
        None => error
            .filter(|_| stored.entry.enabled)
            .map(|error| format!("The schedule `{name}` did not fire: {error}.")),
    }
}

/// What the live workers of its queue say; where there are none nobody knows, and what waits there is said of the queue.
fn fit(entry: &Entry, workers: &[WorkerInfo]) -> Fit {
    let mut readers =
        workers.iter().filter(|worker| !worker.is_beat() && worker.queues.contains(&entry.queue)).peekable();
    if readers.peek().is_none() {
        return Fit::Fits;
    }
    Fit::of(entry, readers.flat_map(|worker| &worker.tasks))
}

fn unreadable(name: &str, why: &str) -> String {
    format!("The schedule `{name}` cannot be read and does not fire: {why}.")
}

fn said(names: &[&str], one: &str, many: &str) -> String {
    match names {
        [name] => format!("The schedule `{name}` {one}"),
        _ => format!("The schedules {} {many}", named(names)),
    }
}

fn trouble(level: Level, names: &[&str], sentence: String) -> Trouble {
    let page = match names {
        [name] => Url::new("", "/schedule").with("name", name).to_string(),
        _ => "/schedules".to_owned(),
    };
    let entries = names.iter().map(ToString::to_string).collect();
    Trouble { finding: Finding { level, sentence, page }, entries }
}

#[cfg(test)]
mod tests {
    use lovage_core::TaskInfo;
    use lovage_core::schedule::{BadEntry, Ownership, Schedule};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    fn stored(name: &str, task: &str, args: &str) -> StoredEntry {
        let minute = Schedule::every(Duration::from_secs(60)).unwrap();
        let mut entry = Entry::new(name.parse().unwrap(), task.parse().unwrap(), minute);
        entry.args = args.to_owned();
        StoredEntry::new(entry, NOW)
    }

    fn worker(queue: &str) -> WorkerInfo {
        let task = TaskInfo { name: "greet".into(), signature: "(name: String) -> String".into() };
        let info = serde_json::json!({
            "id": lovage_core::WorkerId::new(&lovage_testkit::SeededEntropy::new(9)), "name": "w", "host": "h", "pid": 1,
            "version": "1", "started_at": NOW, "mode": "running", "queues": [queue], "concurrency": 4, "blocking": 1,
            "tasks": [task], "active": [], "reserved": 0, "succeeded": 0, "failed": 0,
        });
        serde_json::from_value(info).unwrap()
    }

    fn sentences(listed: &[Listed], workers: &[WorkerInfo]) -> Vec<String> {
        entries(listed, workers).into_iter().map(|trouble| trouble.finding.sentence).collect()
    }

    #[test]
    fn a_beat_that_is_only_a_little_late_is_no_finding_and_one_that_died_is() {
        let stored = stored("tick", "greet", "[]");
        let next = stored.next_run_at.unwrap();
        let words = |idle, now| beat(std::slice::from_ref(&stored), idle, now).map(|found| found.sentence);
        let (early, late) = (next.plus(Duration::from_secs(19)), next.plus(Duration::from_secs(20)));
        assert_eq!(words(false, early), None);
        for (idle, now, said) in [
            (true, NOW, "No beat is alive: no schedule fires. Start one with `lovage beat`."),
            (true, late, "No beat is alive: `tick` is overdue, since 20s. Start one with `lovage beat`."),
            (false, late, "The beat does not fire: `tick` is overdue, since 20s. Its log says why."),
        ] {
            assert_eq!(words(idle, now).as_deref(), Some(said));
        }
    }

    #[test]
    fn entries_that_a_deploy_broke_are_said_by_cause() {
        let off = StoredEntry {
            entry: Entry { enabled: false, ..stored("off", "lost", "[]").entry },
            ..stored("off", "lost", "[]")
        };
        let gone = |name| StoredEntry { disabled_by: Some(DisabledBy::Gone), ..stored(name, "lost", "[]") };
        let listed = [
            Ok(stored("good", "greet", r#"["Ada"]"#)),
            Ok(stored("wrong", "greet", r#"["Ada", "s3cret"]"#)),
            Ok(stored("a", "lost", "[]")),
            Ok(stored("b", "lost", "[]")),
            Ok(stored("c", "gone", "[]")),
            Ok(off),
            Ok(gone("x")),
            Ok(gone("y")),
        ];
        let told = sentences(&listed, &[worker("default")]);
        assert_eq!(
            told,
            [
                "The arguments of the schedule `wrong` do not fit its task: expected what greet takes, (name: String) -> String: it has too many arguments: 2, expected 1.",
                "The schedule `c` sends `gone` to `default`, and no live worker of that queue knows this task: start one that does, or change the schedule.",
                "The schedules `a`, `b` send `lost` to `default`, and no live worker of that queue knows this task: start one that does, or change the schedule.",
                "The schedules `x`, `y` are disabled: the program that declared them no longer does.",
            ]
        );
        assert_eq!(sentences(&listed[..5], &[worker("other")]), [""; 0], "nobody of its queue can be asked");
    }

    #[test]
    fn what_cannot_be_read_or_was_refused_is_said_with_the_reason() {
        let bad = BadEntry {
            name: "odd".into(),
            reason: "minute is 77".into(),
            revision: 1,
            enabled: true,
            done_until: NOW,
            ownership: Ownership::default(),
        };
        let refused =
            StoredEntry { last_error: Some("the queue is full".into()), ..stored("full", "greet", "[]") };
        let done = StoredEntry { disabled_by: Some(DisabledBy::Done), ..stored("once", "greet", "[]") };
        assert_eq!(
            sentences(&[Err(bad), Ok(refused), Ok(done)], &[]),
            [
                "The schedule `odd` cannot be read and does not fire: minute is 77.",
                "The schedule `full` did not fire: the queue is full.",
            ]
        );
    }
}
