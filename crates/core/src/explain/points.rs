//! What is to be said of a task.

use std::collections::BTreeSet;

use super::{DeadLetter, Ended, Explanation, Facts, Point, Running};
use crate::suggest::nearest;
use crate::{
    Envelope, Outcome, Place, QueueName, StoredMessage, TaskRecord, TaskState, WorkerInfo, WorkerMode, limits,
};

/// Decides what is to be said. Pure: whoever gathers the facts is another's matter.
#[must_use]
pub fn explain(facts: &Facts) -> Explanation {
    let (task, queue, state, points) = match (&facts.message, &facts.record) {
        (Some(message), Some(record)) if is_over(message, record) => {
            of_record(record, vec![end(record), Point::Unsettled])
        }
        (Some(message), _) => of_message(facts, message),
        (None, Some(record)) if record.state.is_terminal() => of_record(record, vec![end(record)]),
        (None, Some(record)) => of_record(record, vec![Point::Lost { at: record.finished_at }]),
        (None, None) => (None, None, None, vec![Point::Unknown]),
    };
    Explanation { id: facts.id, asked_at: facts.asked_at, task, queue, state, points }
}

/// Name, queue, state, and what is to be said.
type Found = (Option<String>, Option<QueueName>, Option<TaskState>, Vec<Point>);

fn of_record(record: &TaskRecord, points: Vec<Point>) -> Found {
    (Some(record.task.clone()), Some(record.queue.clone()), Some(record.state), points)
}

fn of_message(facts: &Facts, message: &StoredMessage) -> Found {
    let envelope = Envelope::decode(&message.body);
    let mut points = Vec::new();
    if let Err(why) = &envelope
        && message.place != Place::Dead
    {
        points.push(Point::Unreadable { why: why.to_string() });
    }
    let envelope = envelope.ok();
    match message.place {
        Place::Ready => waits(facts, message, &mut points),
        Place::Delayed => is_delayed(facts, message, envelope.as_ref(), &mut points),
        Place::Leased => is_leased(facts, message, &mut points),
        Place::Dead => points.push(dead(message)),
    }
    remarks(message, &mut points);
    (envelope.map(|envelope| envelope.task), Some(message.queue.clone()), Some(message.state()), points)
}

/// Whether the row tells the end of the run that the message is of. A dead letter has ended and says more than its row.
fn is_over(message: &StoredMessage, record: &TaskRecord) -> bool {
    message.place != Place::Dead && record.state.is_terminal() && record.run >= message.run
}

fn waits(facts: &Facts, message: &StoredMessage, points: &mut Vec<Point>) {
    if let Some(by) = message.replaced_by {
        points.push(Point::Replaced { by });
    } else if message.revoked {
        points.push(Point::Cancelled);
    }
    obstacles(facts, message, points);
    match facts.ahead {
        Some(ahead) if ahead.tasks > 0 => points.push(Point::Ahead(ahead)),
        Some(_) | None if !points.is_empty() => {}
        Some(_) => {
            let (mut running, mut slots) = (0, 0);
            for worker in readers(facts, &message.queue) {
                running += worker.active.len();
                slots += worker.concurrency + worker.blocking;
            }
            points.push(Point::Next { running, slots });
        }
        None => points.push(Point::Moving),
    }
}

fn is_delayed(facts: &Facts, message: &StoredMessage, envelope: Option<&Envelope>, points: &mut Vec<Point>) {
    let at = message.at.unwrap_or(facts.asked_at);
    points.push(if message.attempt > 0 {
        let of = envelope.and_then(|envelope| envelope.retry).map(|policy| policy.max_retries);
        Point::Retry { at, retry: message.attempt, of, error: last_error(message) }
    } else if message.is_given_back() {
        let task = task_of(message);
        let registers = |worker: &WorkerInfo| task.as_deref().is_some_and(|task| registers(worker, task));
        Point::GivenBack {
            times: message.delivery,
            at,
            registered: readers(facts, &message.queue).any(registers),
        }
    } else {
        Point::Due { at }
    });
    obstacles(facts, message, points);
}

fn is_leased(facts: &Facts, message: &StoredMessage, points: &mut Vec<Point>) {
    if message.revoked {
        points.push(Point::Stopping);
    }
    let runs = facts.workers.iter().find_map(|worker| {
        let active = worker.active.iter().find(|active| active.id == message.id)?;
        Some((worker, active))
    });
    if let Some((worker, active)) = runs {
        points.push(Point::Running(Running {
            worker: worker.name.clone(),
            since: active.started_at,
            attempt: message.attempt + 1,
            delivery: message.delivery,
            seen_at: worker.seen_at,
            late: facts.asked_at.since(worker.seen_at) > WorkerInfo::late_after(facts.workers.len()),
            lease_ends: message.at,
        }));
        return;
    }
    let holders = names(readers(facts, &message.queue).filter(|worker| worker.reserved > 0));
    points.push(if holders.is_empty() {
        let certain = readers(facts, &message.queue).next().is_none();
        Point::Abandoned { lease_ends: message.at, certain }
    } else {
        Point::Reserved { workers: holders }
    });
}

/// What keeps every worker from taking a message that waits.
fn obstacles(facts: &Facts, message: &StoredMessage, points: &mut Vec<Point>) {
    if facts.paused {
        points.push(Point::Paused);
    }
    let queue = &message.queue;
    if workers(facts).next().is_none() {
        points.push(Point::NoWorker);
        return;
    }
    let takers = || readers(facts, queue).filter(|worker| worker.mode == WorkerMode::Running);
    if readers(facts, queue).next().is_none() {
        let queues: BTreeSet<&QueueName> = workers(facts).flat_map(|worker| &worker.queues).collect();
        let queues = queues.into_iter().cloned().collect();
        points.push(Point::Unread { workers: names(workers(facts)), queues });
    } else if takers().next().is_none() {
        points.push(Point::Quiet { workers: names(readers(facts, queue)) });
    } else if let Some(task) = task_of(message).filter(|_| !message.revoked)
        && !takers().any(|worker| registers(worker, &task))
    {
        let known = facts.workers.iter().flat_map(|worker| &worker.tasks).map(|known| known.name.as_str());
        points.push(Point::Unregistered {
            workers: names(takers()),
            elsewhere: names(facts.workers.iter().filter(|worker| registers(worker, &task))),
            near: nearest(&task, known.filter(|known| *known != task)).map(str::to_owned),
        });
    }
}

/// What is true of it wherever it is.
fn remarks(message: &StoredMessage, points: &mut Vec<Point>) {
    if message.losses >= limits::SUSPECT_LOSSES && message.place != Place::Dead {
        points.push(Point::Suspect { losses: message.losses });
    }
    if message.attempt > 0 && matches!(message.place, Place::Ready | Place::Leased) {
        points.push(Point::Failed { attempts: message.attempt, error: last_error(message) });
    }
    if let Some(key) = &message.unique_key {
        points.push(Point::HoldsKey { key: key.clone() });
    }
}

fn dead(message: &StoredMessage) -> Point {
    Point::Dead(DeadLetter {
        reason: message.reason,
        since: message.at,
        attempts: message.failed_attempts(),
        error: last_error(message),
    })
}

fn end(record: &TaskRecord) -> Point {
    let error = match &record.outcome {
        Outcome::Error(report) => Some(report.to_string()),
        Outcome::None | Outcome::Result(_) | Outcome::Marker(_) => None,
    };
    Point::Ended(Ended {
        state: record.state,
        worker: record.worker.clone(),
        at: record.finished_at,
        run_time: record.run_time,
        attempts: record.attempt,
        error,
    })
}

/// Beats stand beside them in the registry, and run nothing.
fn workers(facts: &Facts) -> impl Iterator<Item = &WorkerInfo> {
    facts.workers.iter().filter(|worker| !worker.is_beat())
}

fn readers<'a>(facts: &'a Facts, queue: &'a QueueName) -> impl Iterator<Item = &'a WorkerInfo> {
    workers(facts).filter(move |worker| worker.queues.contains(queue))
}

fn registers(worker: &WorkerInfo, task: &str) -> bool {
    worker.tasks.iter().any(|known| known.name == task)
}

fn task_of(message: &StoredMessage) -> Option<String> {
    Envelope::decode(&message.body).ok().map(|envelope| envelope.task)
}

fn last_error(message: &StoredMessage) -> Option<String> {
    message.notes.last().map(|note| note.error.clone())
}

/// Each name once: several workers may share it.
fn names<'a>(workers: impl IntoIterator<Item = &'a WorkerInfo>) -> Vec<String> {
    let names: BTreeSet<&String> = workers.into_iter().map(|worker| &worker.name).collect();
    names.into_iter().cloned().collect()
}
