//! Sending tasks once more, each under a new id: one, several, or a part of all that match.

use std::collections::{BTreeMap, HashMap};

use lovage_core::{
    BackendError, Delay, Envelope, Message, Payload, Priority, Published, QueueName, RedactedArg,
    StoredMessage, TaskId, TaskName, TaskRecord, limits, render_arguments,
};
use serde_json::Value;

use super::tasks::gone;
use crate::app::App;
use crate::problem::Problem;

/// What stands in the place of a hidden value.
const HIDDEN: &str = "[redacted]";
/// The place of a hidden argument of which only the name is known.
const NO_PLACE: u8 = u8::MAX;

/// What is known of a task that is to be sent once more.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: TaskId,
    /// While the broker has it.
    pub(super) message: Option<StoredMessage>,
    pub(super) record: Option<TaskRecord>,
}

/// What is to be different the next time.
#[derive(Debug, Default)]
pub(super) struct Changes<'a> {
    pub(super) arguments: Option<&'a str>,
    pub(super) queue: Option<QueueName>,
}

/// Tasks on their way to be sent once more.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// New messages, at most [`limits::PUBLISH_BATCH`], each with the id of the task before.
    messages: Vec<Message>,
    before: Vec<TaskId>,
    /// What cannot be sent, and why.
    failed: Vec<(TaskId, String)>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) count: usize,
    pub(super) failed: Vec<(TaskId, String)>,
}

impl Batch {
    pub(super) fn new(app: &App, known: &[Known]) -> Self {
        let mut batch = Self::default();
        for known in known {
            match once_more(app, known, Changes::default()) {
                Ok(message) => {
                    batch.messages.push(message);
                    batch.before.push(known.id);
                }
                Err(problem) => batch.failed.push((known.id, problem.sentence)),
            }
        }
        batch
    }

    /// Publishes all of it at once. After an error it may be sent again: the ids are the same ones.
    pub(super) async fn send(&self, app: &App) -> Result<Sent, BackendError> {
        let answers = publish(app, &self.messages).await?;
        let mut sent = Sent { count: 0, failed: self.failed.clone() };
        for (id, answer) in self.before.iter().zip(answers) {
            match answer {
                Ok(()) => sent.count += 1,
                Err(why) => sent.failed.push((*id, why)),
            }
        }
        Ok(sent)
    }
}

/// What the broker knows of the tasks of these rows, in one round trip for each of their queues.
pub(super) async fn with_messages(app: &App, rows: Vec<TaskRecord>) -> Result<Vec<Known>, BackendError> {
    let mut by_queue: BTreeMap<&QueueName, Vec<TaskId>> = BTreeMap::new();
    rows.iter().for_each(|row| by_queue.entry(&row.queue).or_default().push(row.id));
    let mut messages = HashMap::new();
    for (queue, ids) in by_queue {
        let found = app.parts.broker.find_all(queue, &ids).await?;
        messages.extend(found.into_iter().map(|message| (message.id, message)));
    }
    let known = |row: TaskRecord| Known { id: row.id, message: messages.remove(&row.id), record: Some(row) };
    Ok(rows.into_iter().map(known).collect())
}

/// The message that sends a task once more, under a new id.
pub(super) fn once_more(app: &App, known: &Known, changes: Changes<'_>) -> Result<Message, Problem> {
    let (mut envelope, own_queue, priority) = match known {
        Known { message: Some(message), .. } => of_message(message)?,
        Known { record: Some(record), .. } => of_record(record),
        Known { id, .. } => return Err(gone(*id)),
    };
    if let Some(arguments) = changes.arguments {
        replace(&mut envelope, arguments)?;
    }
    check(&envelope)?;
    let message = Message {
        id: TaskId::new(app.parts.clock.now(), &*app.parts.entropy),
        queue: changes.queue.unwrap_or(own_queue),
        priority,
        delay: Delay::None,
        unique: None,
        fence: None,
        body: envelope.encode(),
    };
    message.check_size(limits::MESSAGE_MAX).map_err(Problem::wrong)?;
    Ok(message)
}

/// Publishes messages; answers for each of them why the broker did not take it, where it did not.
pub(super) async fn publish(app: &App, batch: &[Message]) -> Result<Vec<Result<(), String>>, BackendError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let answers = app.parts.broker.publish(batch, None).await?;
    let taken = |(message, answer): (&Message, Published)| match answer {
        Published::Accepted => Ok(()),
        // An answer was lost, and it was sent again.
        Published::Duplicate { holder } if holder == message.id => Ok(()),
        Published::Full { limit } => {
            Err(format!("the queue `{}` has reached its length of {limit}", message.queue))
        }
        Published::Duplicate { .. } | Published::Stale { .. } => {
            Err("the broker has a task of this new id: try again".to_owned())
        }
    };
    Ok(batch.iter().zip(answers).map(taken).collect())
}

fn of_message(message: &StoredMessage) -> Result<(Envelope, QueueName, Priority), Problem> {
    let mut envelope = Envelope::decode(&message.body).map_err(Problem::wrong)?;
    // It is no slot of the schedule, and it may start although the first one expired.
    (envelope.schedule, envelope.expires) = (None, None);
    Ok((envelope, message.queue.clone(), message.priority))
}

/// What the row has: its arguments are those that people may see.
fn of_record(record: &TaskRecord) -> (Envelope, QueueName, Priority) {
    let value: Value = serde_json::from_str(&record.arguments).unwrap_or_default();
    let redacted = match &value {
        Value::Array(values) => hidden_places(values),
        Value::Object(map) => {
            let hidden = map.iter().filter(|(_, value)| *value == HIDDEN);
            hidden.map(|(name, _)| RedactedArg { index: NO_PLACE, name: name.clone() }).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let mut envelope = Envelope::new(record.task.clone(), Payload::Json(record.arguments.clone()));
    envelope.redacted = redacted;
    envelope.headers.clone_from(&record.headers);
    envelope.lineage.clone_from(&record.lineage);
    (envelope, record.queue.clone(), record.priority)
}

fn hidden_places(values: &[Value]) -> Vec<RedactedArg> {
    let places = (0..NO_PLACE).zip(values).filter(|(_, value)| *value == HIDDEN);
    places.map(|(index, _)| RedactedArg { index, name: String::new() }).collect()
}

/// What must not be seen stays as it was where the new arguments still hide it, and its marks stay in any case.
fn replace(envelope: &mut Envelope, arguments: &str) -> Result<(), Problem> {
    let shown = render_arguments(&envelope.payload, &envelope.redacted);
    if arguments == shown {
        return Ok(());
    }
    let Payload::Json(before) = &envelope.payload else {
        return Err(Problem::wrong(
            "the arguments of this task are not JSON: it can be sent again as it is only",
        ));
    };
    let before: Value = serde_json::from_str(before).unwrap_or_default();
    let mut after: Value = serde_json::from_str(arguments).map_err(|_| not_arguments())?;
    check_form(envelope, &after)?;
    for arg in &envelope.redacted {
        let index = usize::from(arg.index);
        let (old, new) = match &mut after {
            Value::Array(values) => (before.get(index), values.get_mut(index)),
            Value::Object(map) => (before.get(&arg.name), map.get_mut(&arg.name)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(not_arguments()),
        };
        if let (Some(old), Some(new)) = (old, new)
            && *new == HIDDEN
        {
            new.clone_from(old);
        }
    }
    envelope.payload = Payload::Json(after.to_string());
    Ok(())
}

/// Marks of a row know either places or names: arguments in the other form would be shown.
fn check_form(envelope: &Envelope, after: &Value) -> Result<(), Problem> {
    let is_lost = |arg: &RedactedArg| {
        if after.is_object() { arg.name.is_empty() } else { arg.index == NO_PLACE }
    };
    if envelope.redacted.iter().any(is_lost) {
        let sentence = "an argument is hidden: write the arguments as they were, by position or by name, so that it stays hidden";
        return Err(Problem::wrong(sentence));
    }
    Ok(())
}

/// What was hidden from the results is not known, and must not be sent as it is shown; nor what no worker can have.
fn check(envelope: &Envelope) -> Result<(), Problem> {
    TaskName::new(&envelope.task).map_err(Problem::wrong)?;
    let Payload::Json(arguments) = &envelope.payload else { return Ok(()) };
    let hidden = |value: &Value| value == HIDDEN;
    let has_hidden = match serde_json::from_str(arguments) {
        Ok(Value::Array(values)) => values.iter().any(hidden),
        Ok(Value::Object(map)) => map.values().any(hidden),
        _ => return Err(not_arguments()),
    };
    if has_hidden {
        return Err(Problem::wrong(format!(
            "an argument is `{HIDDEN}`: what stood there was not kept, write it again"
        )));
    }
    Ok(())
}

fn not_arguments() -> Problem {
    Problem::wrong(
        "the arguments are not a JSON list (by position) or object (by name): write them as [16, 16]",
    )
}

#[cfg(test)]
mod tests {
    use lovage_core::render_arguments;

    use super::*;

    #[test]
    fn what_was_hidden_in_a_row_must_be_written_again_and_stays_hidden() {
        let id = TaskId::from_bytes([1; 16]);
        let mut record = lovage_testkit::record(id, (1, 1, 0), lovage_core::TaskState::Success);
        record.arguments = r#"[7,"[redacted]"]"#.to_owned();
        let (mut envelope, _, _) = of_record(&record);
        assert!(check(&envelope).unwrap_err().sentence.contains("write it again"));
        replace(&mut envelope, r#"[8,"[redacted]"]"#).unwrap();
        assert!(check(&envelope).is_err());
        replace(&mut envelope, r#"[7,"4111"]"#).unwrap();
        assert_eq!(check(&envelope), Ok(()));
        assert_eq!(render_arguments(&envelope.payload, &envelope.redacted), record.arguments);
    }

    #[test]
    fn what_was_hidden_by_its_place_is_not_shown_by_its_name() {
        let mut record =
            lovage_testkit::record(TaskId::from_bytes([1; 16]), (1, 1, 0), lovage_core::TaskState::Success);
        for (kept, typed, same) in [
            (r#"[7,"[redacted]"]"#, r#"{"id":7,"card":"4111"}"#, r#"[7,"4111"]"#),
            (r#"{"id":7,"card":"[redacted]"}"#, r#"[7,"4111"]"#, r#"{"id":7,"card":"4111"}"#),
        ] {
            record.arguments = kept.to_owned();
            let (mut envelope, _, _) = of_record(&record);
            let refused = replace(&mut envelope, typed).unwrap_err().sentence;
            assert!(refused.contains("so that it stays hidden") && !refused.contains("4111"), "{refused}");
            replace(&mut envelope, same).unwrap();
            assert!(!render_arguments(&envelope.payload, &envelope.redacted).contains("4111"));
        }
    }

    #[test]
    fn what_the_broker_still_has_is_taken_from_there() {
        let mut envelope = Envelope::new("pay", Payload::Json(r#"{"card":"4111","id":1}"#.to_owned()));
        envelope.redacted = vec![RedactedArg { index: 0, name: "card".to_owned() }];
        replace(&mut envelope, r#"{"card":"[redacted]","id":2}"#).unwrap();
        assert_eq!(envelope.payload, Payload::Json(r#"{"card":"4111","id":2}"#.to_owned()));
        assert_eq!(check(&envelope), Ok(()));
        for wrong in ["7", "[7", "\"x\""] {
            assert!(replace(&mut envelope, wrong).unwrap_err().sentence.contains("[16, 16]"), "{wrong}");
        }
    }
}
