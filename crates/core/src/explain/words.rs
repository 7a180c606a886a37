//! How an explanation reads.

use std::fmt;
use std::time::Duration;

use super::{Ahead, DeadLetter, Ended, Explanation, Point, Running};
use crate::{DeadReason, QueueName, TaskState, Timestamp, format_duration, limits};

/// The longest error that is not cut, in characters: the whole one is in the results.
const WIDEST: usize = 300;
/// The most names that are listed.
const NAMES: usize = 5;

impl fmt::Display for Explanation {
    /// Sentences on one line, without control characters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, state, .. } = self;
        match (&self.task, state) {
            (Some(task), Some(state)) => write!(f, "{}[{id}] is {state}", plain(task))?,
            (None, Some(state)) => write!(f, "task {id} is {state}")?,
            (_, None) => write!(f, "task {id} is not known")?,
        }
        let is_over = state.is_none_or(TaskState::is_terminal);
        if let Some(queue) = self.queue.as_ref().filter(|_| !is_over) {
            write!(f, " in the queue `{queue}`")?;
        }
        for (index, point) in self.points.iter().enumerate() {
            let clause = clause(point, self.asked_at);
            match (index, clause.split_at_checked(1)) {
                (1.., Some((first, rest))) => write!(f, ". {}{rest}", first.to_ascii_uppercase())?,
                _ => write!(f, ": {clause}")?,
            }
        }
        f.write_str(".")
    }
}

fn clause(point: &Point, now: Timestamp) -> String {
    match point {
        Point::Unknown => "neither the broker nor the results have it; it was never accepted (a duplicate, for example), it was purged, or its result was not stored or is no longer kept".to_owned(),
        Point::InOutbox => "it waits in the outbox of the application that sent it, until a relay publishes it".to_owned(),
        Point::Replaced { by } => format!("it was replaced by {by}, which took its unique key; it does not run, and the next free worker records that"),
        Point::Cancelled => "it was cancelled; it does not run, and the next free worker records that".to_owned(),
        Point::Unreadable { why } => plain(why),
        Point::Paused => "the queue is paused".to_owned(),
        Point::NoWorker => "no worker is alive".to_owned(),
        Point::Unread { workers, queues } => format!(
            "no live worker reads this queue ({} {} {})",
            listed(workers),
            verb(workers.len(), "reads", "read"),
            queue_names(queues)
        ),
        Point::Quiet { workers } => {
            format!("every worker of this queue is quiet or stopping ({})", listed(workers))
        }
        Point::Unregistered { workers, elsewhere, near } => unregistered(workers, elsewhere, near.as_deref()),
        Point::Ahead(ahead) => ahead_of_it(*ahead),
        Point::Next { running, slots } if running >= slots && *slots > 0 => {
            format!("it is the next one, and all {slots} slots of the queue's workers are taken")
        }
        Point::Next { .. } => "it is the next one".to_owned(),
        Point::Moving => "it is being handed out at this moment".to_owned(),
        Point::Due { at } if *at > now => format!("it is due {}", in_time(*at, now)),
        Point::Due { at } => format!("it has been due for {}; the next worker that looks takes it", time(now.since(*at))),
        Point::Retry { at, retry, of, error } => {
            let of = of.map_or_else(String::new, |of| format!(" of {of}"));
            format!("its retry {retry}{of} is due {}{}", in_time(*at, now), after_error(error.as_deref()))
        }
        Point::GivenBack { times, at, registered } => given_back(*times, *at, *registered, now),
        Point::Running(run) => running(run, now),
        Point::Stopping => "it was cancelled, and its worker is told to stop it".to_owned(),
        Point::Reserved { workers } => format!(
            "a worker has taken it and not started it yet ({} {} such tasks)",
            listed(workers),
            verb(workers.len(), "has", "have")
        ),
        Point::Abandoned { lease_ends, certain: true } => {
            format!("the worker that had it is gone; {}", takes_over(*lease_ends, now))
        }
        Point::Abandoned { lease_ends, certain: false } => format!(
            "no live worker says that it has it: it was taken a moment ago, or its worker is gone; if so, {}",
            takes_over(*lease_ends, now)
        ),
        Point::Suspect { losses } => format!(
            "{} lost their lease with it in a row, so it is handed out apart from other suspects, and after {} it becomes a dead letter",
            counted(u64::from(*losses), "worker", "workers"),
            limits::POISON_LOSSES
        ),
        Point::Failed { attempts, error } => format!(
            "so far {} failed{}",
            counted(u64::from(*attempts), "attempt", "attempts"),
            error.as_deref().map_or_else(String::new, |error| format!(", the last one with: {}", plain(error)))
        ),
        Point::HoldsKey { key } => format!(
            "it holds the unique key `{}`: other calls with that key are refused, or replace it where they say so and it waits",
            plain(key)
        ),
        Point::Dead(letter) => dead(letter, now),
        Point::Ended(end) => ended(end, now),
        Point::Unsettled => "its message is not settled yet; the next worker that gets it only settles it".to_owned(),
        Point::Lost { at } => format!(
            "so says its last row, of {}, but the broker does not have it; it was purged, or the broker lost it",
            ago(*at, now)
        ),
    }
}

fn unregistered(workers: &[String], elsewhere: &[String], near: Option<&str>) -> String {
    let mut text = format!(
        "no live worker of this queue registers the task ({} {} not)",
        listed(workers),
        verb(workers.len(), "does", "do")
    );
    if !elsewhere.is_empty() {
        let verbs = verb(
            elsewhere.len(),
            "registers it, and takes nothing from",
            "register it, and take nothing from",
        );
        text += &format!("; {} {verbs} this queue", listed(elsewhere));
    }
    if let Some(near) = near {
        text += &format!("; there is a task `{}`", plain(near));
    }
    text
}

fn ahead_of_it(ahead: Ahead) -> String {
    let tasks = counted(ahead.tasks, "task", "tasks");
    let text = format!("it waits behind {tasks} of higher or equal priority");
    let Some(rate) = ahead.rate else { return text };
    if rate < 0.0 {
        return format!("{text}, and more of them come than are handed out");
    }
    if rate == 0.0 {
        return format!("{text}, which do not move");
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let left = Duration::try_from_secs_f64(ahead.tasks as f64 / rate).unwrap_or(Duration::MAX);
    // Above ten a second the part after the point is noise.
    let rate = if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
    format!("{text}, drained at {rate}/s, so about {}", time(left.max(Duration::from_secs(1))))
}

fn given_back(times: u32, at: Timestamp, registered: bool, now: Timestamp) -> String {
    let why = if registered {
        ": they register its task from another release, with other arguments, or cannot read its message"
    } else {
        ""
    };
    let times = counted(u64::from(times), "hand-out", "hand-outs");
    format!(
        "workers could not run it and gave it back ({times} so far){why}; the next hand-out is {}, and after an hour it becomes a dead letter",
        in_time(at, now)
    )
}

fn running(run: &Running, now: Timestamp) -> String {
    let Running { worker, since, attempt, delivery, seen_at, late, lease_ends } = run;
    let mut text = format!(
        "worker {} runs it, for {} so far (attempt {attempt}, hand-out {delivery})",
        plain(worker),
        time(now.since(*since))
    );
    if *late {
        let over = takes_over(*lease_ends, now);
        let silence = now.since(*seen_at);
        text += &format!("; the worker has been silent for {}: if it is gone, {over}", time(silence));
    }
    text
}

fn dead(letter: &DeadLetter, now: Timestamp) -> String {
    let DeadLetter { reason, since, attempts, error } = letter;
    let since = since.map_or_else(String::new, |since| format!(" since {}", time(now.since(since))));
    let why = match reason {
        Some(DeadReason::Exhausted) => {
            format!("all {} failed", counted(u64::from(*attempts), "attempt", "attempts"))
        }
        Some(DeadReason::Permanent) => "it failed in a way that is not retried".to_owned(),
        Some(DeadReason::Poisoned) => "too many workers in a row lost their lease with it".to_owned(),
        Some(DeadReason::Undeliverable) => "no worker could run it for an hour".to_owned(),
        Some(DeadReason::Unreadable) => "nobody can read it".to_owned(),
        None => "the reason is not known".to_owned(),
    };
    let error =
        error.as_deref().map_or_else(String::new, |error| format!("; the last error: {}", plain(error)));
    format!("it is a dead letter{since}, because {why}{error}")
}

fn ended(end: &Ended, now: Timestamp) -> String {
    let Ended { state, worker, at, run_time, attempts, error } = end;
    let (ago, worker) = (ago(*at, now), plain(worker));
    let ran = |how| format!("{how} {ago} on worker {worker}");
    let recorded = |how| format!("{how}; worker {worker} recorded that {ago}");
    let mut text = match state {
        TaskState::Success => ran("it succeeded"),
        TaskState::Failure => ran("it failed"),
        TaskState::Discarded => ran("it ended by its own decision"),
        TaskState::Revoked => recorded("it was revoked"),
        TaskState::Expired => recorded("nobody started it before it expired"),
        TaskState::Pending | TaskState::Scheduled | TaskState::Started | TaskState::Retry => {
            recorded("it goes on")
        }
    };
    if let Some(run_time) = run_time {
        text += &format!(" after {}", seconds(*run_time));
    }
    if *attempts > 0 {
        text += &format!(", {} failed", counted(u64::from(*attempts), "attempt", "attempts"));
    }
    if let Some(error) = error {
        text += &format!(": {}", plain(error));
    }
    text
}

fn after_error(error: Option<&str>) -> String {
    error.map_or_else(String::new, |error| format!(", after the error: {}", plain(error)))
}

fn takes_over(lease_ends: Option<Timestamp>, now: Timestamp) -> String {
    match lease_ends {
        Some(at) if at > now => {
            format!("its lease ends in {} and another worker takes over", time(at.since(now)))
        }
        Some(at) => format!("its lease ended {} and another worker takes over", ago(at, now)),
        None => "another worker takes over when its lease ends".to_owned(),
    }
}

fn verb(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// `12,340 tasks`.
fn counted(count: u64, one: &str, many: &str) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {}", if count == 1 { one } else { many })
}

/// `one, two and 3 more`.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES).map(|name| plain(name)).collect();
    let more = names.len().saturating_sub(NAMES);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

fn queue_names(queues: &[QueueName]) -> String {
    if queues.is_empty() {
        return "no queue".to_owned();
    }
    listed(&queues.iter().map(|queue| format!("`{queue}`")).collect::<Vec<_>>())
}

/// `in 4m, at 2026-…`, or `now`.
fn in_time(at: Timestamp, now: Timestamp) -> String {
    if at > now { format!("in {}, at {at}", time(at.since(now))) } else { "now".to_owned() }
}

fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", time(now.since(at)))
}

/// Whole seconds, and from an hour on whole minutes.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    format_duration(Duration::from_secs(if seconds < 3_600 { seconds } else { seconds / 60 * 60 }))
}

/// To the millisecond below ten seconds.
fn seconds(ran: Duration) -> String {
    if ran < Duration::from_secs(10) { format!("{:.3}s", ran.as_secs_f64()) } else { time(ran) }
}

/// On one line, without control characters, not endless.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        if at == WIDEST {
            plain.push('…');
            break;
        }
        if c.is_control() { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    plain
}
