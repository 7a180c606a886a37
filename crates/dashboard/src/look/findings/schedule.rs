//! What is wrong with the schedule: a beat that does not fire, and entries that a deploy broke.

use std::collections::BTreeMap;
use std::time::Duration;

use lovage_core::schedule::{DisabledBy, Entry, Fit, Listed, StoredEntry};
use lovage_core::{Timestamp, WorkerInfo};

use super::named;
use crate::look::overview::{Finding, FindingKind, Level};
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
    Some(Finding { kind: FindingKind::Beat, level: Level::Bad, sentence, page: "/schedules".to_owned() })
}

/// What is wrong with an entry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Cause {
    /// The row in the store cannot be read: why.
    Unreadable(String),
    /// Its last slot was not sent: why.
    NotFired(String),
    /// Its arguments are not those of the task: what was expected.
    Arguments(String),
    /// No live worker of the queue has the task.
    Unknown { task: String, queue: String },
    /// The program that declared it no longer does.
    Gone,
    /// The store's clock was ahead until then.
    ClockSetBack(Timestamp),
}

/// Entries that do not do what somebody may think; those of one cause together.
pub(crate) fn entries<'a>(
    entries: impl IntoIterator<Item = &'a Listed>,
    workers: &[WorkerInfo],
    now: Timestamp,
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let mut shared: BTreeMap<Cause, Vec<&str>> = BTreeMap::new();
    for listed in entries {
        let name = match listed {
            Ok(stored) => stored.entry.name.as_str(),
            Err(bad) => &bad.name,
        };
        match cause(listed, Some(workers), now) {
            Some(cause @ (Cause::Unknown { .. } | Cause::Gone | Cause::ClockSetBack(_))) => {
                shared.entry(cause).or_default().push(name)
            }
            Some(cause) => troubles.push(trouble(&cause, &[name])),
            None => {}
        }
    }
    troubles.extend(shared.iter().map(|(cause, names)| trouble(cause, names)));
    troubles
}

/// What is wrong with one entry, as store and workers tell; as the store alone does where nobody knows the workers.
pub(crate) fn cause(listed: &Listed, workers: Option<&[WorkerInfo]>, now: Timestamp) -> Option<Cause> {
    let stored = match listed {
        Ok(stored) => stored,
        Err(bad) => return Some(Cause::Unreadable(bad.reason.clone())),
    };
    let entry = &stored.entry;
    match (stored.disabled_by, &stored.last_error) {
        (Some(DisabledBy::Gone), _) => return Some(Cause::Gone),
        (Some(DisabledBy::Bad), error) => {
            return Some(Cause::Unreadable(error.clone().unwrap_or_else(|| "no reason was kept".to_owned())));
        }
        (None, Some(error)) if entry.enabled => return Some(Cause::NotFired(error.clone())),
        (None | Some(DisabledBy::Done), _) => {}
    }
    let rewound = stored.rewound.filter(|rewound| rewound.notice(now).is_some());
    let set_back = rewound.map(|rewound| Cause::ClockSetBack(rewound.at));
    let Some(workers) = workers else { return set_back };
    match fit(entry, workers) {
        _ if !entry.enabled => None,
        Fit::Fits => set_back,
        Fit::Unknown => Some(Cause::Unknown { task: entry.task.to_string(), queue: entry.queue.to_string() }),
        // What was found there are arguments, which are not for this page.
        Fit::Wrong(error) => Some(Cause::Arguments(error.expected)),
    }
}

impl Cause {
    pub(crate) const fn level(&self) -> Level {
        match self {
            Self::Gone | Self::ClockSetBack(_) => Level::Warn,
            Self::Unreadable(_) | Self::NotFired(_) | Self::Arguments(_) | Self::Unknown { .. } => Level::Bad,
        }
    }

    /// In a few words.
    pub(crate) const fn badge(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "cannot be read",
            Self::NotFired(_) => "did not fire",
            Self::Arguments(_) => "arguments do not fit",
            Self::Unknown { .. } => "no worker knows its task",
            Self::Gone => "no longer declared",
            Self::ClockSetBack(_) => "the clock was ahead",
        }
    }

    /// What is wrong with the entries of these names, and what to do.
    pub(crate) fn sentence(&self, names: &[&str]) -> String {
        let (does, its, them) =
            if names.len() == 1 { ("does", "its task", "it") } else { ("do", "their tasks", "them") };
        match self {
            Self::Unreadable(why) => {
                format!(
                    "{} be read and {does} not fire: {why}. Edit {them} or delete {them}.",
                    said(names, "cannot", "cannot")
                )
            }
            Self::NotFired(why) => format!("{} not fire: {why}.", said(names, "did", "did")),
            Self::Arguments(expected) => format!(
                "The arguments of {} do not fit {its}: expected {expected}. Change {them}, or start workers that take these arguments.",
                schedules(names)
            ),
            Self::Unknown { task, queue } => format!(
                "{} `{task}` to `{queue}`, and no live worker of that queue knows this task: start one that does, or change the schedule.",
                said(names, "sends", "send")
            ),
            Self::ClockSetBack(at) => format!(
                "The clock of the schedule store was ahead until {at}. Slots of {} that fired ahead of time do not fire again; the others do.",
                schedules(names)
            ),
            Self::Gone => format!(
                "{} disabled: the program that declared {them} no longer does. Delete {them}, or enable {them} to go on without that program.",
                said(names, "is", "are")
            ),
        }
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

/// The schedule `a`, the schedules `a`, `b`.
fn schedules(names: &[&str]) -> String {
    match names {
        [name] => format!("the schedule `{name}`"),
        _ => format!("the schedules {}", named(names)),
    }
}

/// The same at the beginning of a sentence, with its verb.
fn said(names: &[&str], one: &str, many: &str) -> String {
    match names {
        [name] => format!("The schedule `{name}` {one}"),
        _ => format!("The schedules {} {many}", named(names)),
    }
}

fn trouble(cause: &Cause, names: &[&str]) -> Trouble {
    let page = match names {
        [name] => Url::new("", "/schedule").with("name", name).to_string(),
        _ => "/schedules".to_owned(),
    };
    let entries = names.iter().map(ToString::to_string).collect();
    let finding = Finding {
        kind: FindingKind::ScheduleEntry,
        level: cause.level(),
        sentence: cause.sentence(names),
        page,
    };
    Trouble { finding, entries }
}

#[cfg(test)]
mod tests {
    use lovage_core::TaskInfo;
    use lovage_core::schedule::{BadEntry, Ownership, Rewound, Schedule};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    fn stored(name: &str, task: &str, args: &str) -> StoredEntry {
        let minute = Schedule::every(Duration::from_secs(60)).unwrap();
        let mut entry = Entry::new(name.parse().unwrap(), task.parse().unwrap(), minute);
        entry.args = args.to_owned();
        StoredEntry::new(entry, NOW)
    }

    fn worker(queue: &str) -> WorkerInfo {
        let task = TaskInfo {
            name: "greet".into(),
            signature: "(name: String) -> String".into(),
            redacted: None,
            queue: None,
        };
        let info = serde_json::json!({
            "id": lovage_core::WorkerId::new(&lovage_testkit::SeededEntropy::new(9)), "name": "w", "host": "h", "pid": 1,
            "version": "1", "started_at": NOW, "mode": "running", "queues": [queue], "concurrency": 4, "blocking": 1,
            "tasks": [task], "active": [], "reserved": 0, "succeeded": 0, "failed": 0,
        });
        serde_json::from_value(info).unwrap()
    }

    fn sentences(listed: &[Listed], workers: &[WorkerInfo]) -> Vec<String> {
        entries(listed, workers, NOW).into_iter().map(|trouble| trouble.finding.sentence).collect()
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
                "The arguments of the schedule `wrong` do not fit its task: expected what greet takes, (name: String) -> String: it has too many arguments: 2, expected 1. Change it, or start workers that take these arguments.",
                "The schedule `c` sends `gone` to `default`, and no live worker of that queue knows this task: start one that does, or change the schedule.",
                "The schedules `a`, `b` send `lost` to `default`, and no live worker of that queue knows this task: start one that does, or change the schedule.",
                "The schedules `x`, `y` are disabled: the program that declared them no longer does. Delete them, or enable them to go on without that program.",
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
                "The schedule `odd` cannot be read and does not fire: minute is 77. Edit it or delete it.",
                "The schedule `full` did not fire: the queue is full.",
            ]
        );
    }

    #[test]
    fn clock_that_was_ahead_is_a_finding_for_a_day() {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        let rewound = |at| Some(Rewound { from: NOW.plus(hours(1)), at });
        let moved = |name, at| Ok(StoredEntry { rewound: rewound(at), ..stored(name, "greet", "[]") });
        let listed = [
            moved("a", NOW.minus(hours(2))),
            moved("b", NOW.minus(hours(2))),
            moved("old", NOW.minus(hours(25))),
        ];
        assert_eq!(
            sentences(&listed, &[]),
            [
                "The clock of the schedule store was ahead until 2025-12-31T22:00:00Z. Slots of the schedules `a`, `b` that fired ahead of time do not fire again; the others do."
            ]
        );
    }
}
