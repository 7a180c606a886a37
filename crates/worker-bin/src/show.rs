//! How rows of the backends look, for people and for programs. Instants are RFC 3339, durations seconds.

use std::time::Duration;

use lovage_core::{
    AbandonedThread, Envelope, Hidden, Note, Outcome, Progress, StoredMessage, TaskRecord, TaskState,
    Timestamp, WorkerInfo, format_duration,
};
use serde_json::{Value, json};

/// A row of the results.
pub(crate) fn record(record: &TaskRecord, hidden: &Hidden) -> Value {
    let (result, error) = match &record.outcome {
        Outcome::Result(text) => (json_or_text(text), Value::Null),
        Outcome::Error(report) => (Value::Null, json!(report)),
        Outcome::Marker(why) => (Value::Null, json!({ "kind": "not stored", "message": why })),
        Outcome::None => (Value::Null, Value::Null),
    };
    json!({
        "id": record.id.to_string(),
        "task": record.task,
        "arguments": json_or_text(&hidden.shown_json(&record.task, &record.arguments)),
        "state": record.state.as_str(),
        "result": result,
        "error": error,
        "queue": record.queue,
        "priority": record.priority.get(),
        "worker": record.worker,
        "run": record.run,
        "delivery": record.delivery,
        "attempt": record.attempt,
        "enqueued_at": record.enqueued_at.to_string(),
        "started_at": record.started_at.map(|at| at.to_string()),
        "finished_at": record.finished_at.to_string(),
        "run_time": record.run_time.map(|time| time.as_secs_f64()),
        "warning": record.warning,
        "headers": record.headers,
    })
}

/// A message of a broker.
pub(crate) fn message(message: &StoredMessage, hidden: &Hidden) -> Value {
    let content = Content::of(message, hidden);
    json!({
        "id": message.id.to_string(),
        "task": content.task,
        "arguments": json_or_text(&content.arguments),
        "queue": message.queue,
        "priority": message.priority.get(),
        "place": message.place.as_str(),
        "run": message.run,
        "delivery": message.delivery,
        "attempt": message.failed_attempts(),
        "losses": message.losses,
        "published_at": message.published_at.to_string(),
        "at": message.at.map(|at| at.to_string()),
        "revoked": message.revoked,
        "replaced_by": message.replaced_by.map(|by| by.to_string()),
        "unique_key": message.unique_key,
        "reason": message.reason.map(|reason| reason.as_str()),
        "notes": message.notes.iter().map(note).collect::<Vec<_>>(),
    })
}

/// What a worker says of itself.
pub(crate) fn worker(info: &WorkerInfo) -> Value {
    json!({
        "id": info.id.to_string(),
        "name": info.name,
        "host": info.host,
        "pid": info.pid,
        "version": info.version,
        "mode": info.mode,
        "started_at": info.started_at.to_string(),
        "seen_at": info.seen_at.to_string(),
        "queues": info.queues,
        "concurrency": info.concurrency,
        "blocking": info.blocking,
        "active": info.active.len(),
        "reserved": info.reserved,
        "succeeded": info.succeeded,
        "failed": info.failed,
        "schedule": info.schedule,
        "memory": info.memory,
        "cpu": info.cpu.map(|thousandths| f64::from(thousandths) / 1_000.0),
        "refused": info.refused,
        "stuck_since": info.stuck_since.map(|at| at.to_string()),
        "abandoned": info.abandoned.iter().map(abandoned).collect::<Vec<_>>(),
    })
}

/// A thread that runs the function of a task that has ended.
pub(crate) fn abandoned(thread: &AbandonedThread) -> Value {
    json!({
        "id": thread.id.to_string(), "task": thread.task, "queue": thread.queue,
        "started_at": thread.started_at.to_string(), "abandoned_at": thread.abandoned_at.to_string(),
    })
}

/// `37 of 120: resizing`.
pub(crate) fn progress(progress: &Progress) -> String {
    let Progress { done, total, message } = progress;
    let done = if *total == 0 { done.to_string() } else { format!("{done} of {total}") };
    if message.is_empty() { done } else { format!("{done}: {message}") }
}

/// `48.2 MiB`; nothing where it is not known.
pub(crate) fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| {
        let tenths = bytes / 1024 * 10 / 1024;
        format!("{}.{} MiB", tenths / 10, tenths % 10)
    })
}

/// `150%` of one core; nothing where it is not known.
pub(crate) fn cores(thousandths: Option<u32>) -> String {
    thousandths.map_or_else(String::new, |share| format!("{}.{}%", share / 10, share % 10))
}

/// What an envelope says, for people.
#[derive(Debug)]
pub(crate) struct Content {
    /// The task's name; says so where the message is not readable.
    pub(crate) task: String,
    /// The arguments as JSON, the redacted ones hidden.
    pub(crate) arguments: String,
}

impl Content {
    pub(crate) fn of(message: &StoredMessage, hidden: &Hidden) -> Self {
        match Envelope::decode(&message.body) {
            Ok(envelope) => Self { arguments: hidden.shown(&envelope), task: envelope.task },
            Err(error) => Self { task: format!("({error})"), arguments: String::new() },
        }
    }
}

/// `2m ago`.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", whole_seconds(now.since(at)))
}

/// `in 2m`, or `now`.
pub(crate) fn ahead(at: Option<Timestamp>, now: Timestamp) -> String {
    match at {
        Some(at) if at > now => format!("in {}", whole_seconds(at.since(now))),
        Some(_) => "now".to_owned(),
        None => String::new(),
    }
}

/// A duration for people: to the second, beyond an hour to the minute, beyond a day to the hour.
pub(crate) fn whole_seconds(time: Duration) -> String {
    let seconds = time.as_secs();
    let grain = match seconds {
        86_400.. => 3_600,
        3_600.. => 60,
        _ => 1,
    };
    format_duration(Duration::from_secs(seconds - seconds % grain))
}

/// A state in the word that Celery's users know.
pub(crate) fn state(state: TaskState) -> String {
    state.as_str().to_ascii_uppercase()
}

/// A mode, which is a word in JSON.
pub(crate) fn mode(info: &WorkerInfo) -> String {
    let mode = json!(info.mode).as_str().unwrap_or_default().to_owned();
    if info.is_beat() { format!("{mode} (beat)") } else { mode }
}

fn note(note: &Note) -> Value {
    json!({ "at": note.at.to_string(), "worker": note.worker, "error": note.error })
}

fn json_or_text(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_process_and_of_a_run_are_easy_to_read() {
        assert_eq!(mebibytes(Some(50_541_363)), "48.1 MiB");
        assert_eq!(cores(Some(1_504)), "150.4%");
        assert_eq!(cores(None), "");
        let told = |done, total, message: &str| progress(&Progress { done, total, message: message.into() });
        assert_eq!(told(37, 120, "resizing"), "37 of 120: resizing");
        assert_eq!(told(37, 0, ""), "37");
    }
}
