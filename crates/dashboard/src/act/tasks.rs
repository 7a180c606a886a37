//! Cancelling, hastening and repeating tasks.

use lovage_core::{
    Cancelled, Delay, Envelope, Message, Payload, Priority, Published, QueueName, RedactedArg, StoredMessage,
    TaskId, TaskRecord, limits, render_arguments,
};
use serde_json::Value;

use crate::call::Call;
use crate::look;
use crate::problem::Problem;
use crate::routes::Done;

/// What stands in the place of a hidden value.
const HIDDEN: &str = "[redacted]";

pub(crate) async fn cancel(call: Call) -> Result<Done, Problem> {
    let id: TaskId = call.input.needed("id")?;
    let sentence = match call.app.parts.broker.cancel(id, None, None).await? {
        Cancelled::Waiting => format!("The task {id} is cancelled and will not run."),
        Cancelled::Leased => format!("A worker has the task {id} and is told to stop it."),
        Cancelled::NotFound => return Err(gone(id)),
    };
    Ok(Done::new(id.to_string(), sentence))
}

pub(crate) async fn promote(call: Call) -> Result<Done, Problem> {
    let id: TaskId = call.input.needed("id")?;
    if !call.app.parts.broker.promote(id, None, None).await? {
        return Err(Problem::conflict(format!("the task {id} does not wait for its time any more")));
    }
    Ok(Done::new(id.to_string(), format!("The task {id} is ready now.")))
}

/// Sends a task once more under a new id, with the same arguments or others.
pub(crate) async fn again(call: Call) -> Result<Done, Problem> {
    let id: TaskId = call.input.needed("id")?;
    let (new, queue) =
        send_again(&call, id, call.input.get("arguments"), call.input.parsed::<QueueName>("queue")?).await?;
    let sentence = format!("The task runs again as {new} in `{queue}`.");
    let then = format!("/task?id={new}");
    Ok(Done { id: Some(new.to_string()), then: Some(then), ..Done::new(id.to_string(), sentence) })
}

/// Sends a task once more under a new id, which is answered with the queue.
pub(crate) async fn send_again(
    call: &Call,
    id: TaskId,
    arguments: Option<&str>,
    queue: Option<QueueName>,
) -> Result<(TaskId, QueueName), Problem> {
    let found = look::task::find(&call.app, id).await?;
    let (mut envelope, own_queue, priority) = match found {
        (Some(message), _) => of_message(&message)?,
        (None, Some(record)) => of_record(&record),
        (None, None) => return Err(gone(id)),
    };
    if let Some(arguments) = arguments {
        replace(&mut envelope, arguments)?;
    }
    check(&envelope)?;
    let queue = queue.unwrap_or(own_queue);
    let new = TaskId::new(call.now, &*call.app.parts.entropy);
    let body = envelope.encode();
    let message = Message { id: new, queue, priority, delay: Delay::None, unique: None, fence: None, body };
    message.check_size(limits::MESSAGE_MAX).map_err(Problem::wrong)?;
    match call.app.parts.broker.publish(std::slice::from_ref(&message), None).await?.pop() {
        Some(Published::Accepted) | None => Ok((new, message.queue)),
        Some(Published::Full { limit }) => {
            let sentence = format!("the queue `{}` has reached its length of {limit}", message.queue);
            Err(Problem::conflict(sentence))
        }
        Some(Published::Duplicate { .. } | Published::Stale { .. }) => {
            Err(Problem::conflict("the broker has a task of this new id: try again"))
        }
    }
}

fn gone(id: TaskId) -> Problem {
    Problem::missing(format!("the task {id} is not there any more"))
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
            hidden.map(|(name, _)| RedactedArg { index: u8::MAX, name: name.clone() }).collect()
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
    let places = (0_u8..=u8::MAX).zip(values).filter(|(_, value)| *value == HIDDEN);
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

/// What was hidden from the results is not known, and must not be sent as it is shown.
fn check(envelope: &Envelope) -> Result<(), Problem> {
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
