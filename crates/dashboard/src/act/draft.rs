//! What a task is sent with once more: as it was, or with other arguments.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use lovage_core::{
    Delay, Envelope, HIDDEN, Hidden, Message, Parameter, Payload, Priority, QueueName, RedactedArg,
    StoredMessage, TaskId, TaskName, TaskRecord, has_hidden, keep_hidden, limits, render_arguments,
};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::tasks::gone;
use crate::app::App;
use crate::problem::Problem;
use crate::typed::Unseen;

/// The place of a hidden argument of which only the name is known.
const NO_PLACE: u8 = u8::MAX;

/// A task as it is sent once more.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    envelope: Envelope,
    /// Into which it goes.
    pub(crate) queue: QueueName,
    priority: Priority,
    /// Whether what is hidden is known, because the broker still has it.
    is_kept: bool,
}

impl Draft {
    /// Of what broker and results know. It is marked with what its task hides, from here on.
    ///
    /// # Errors
    /// Where they know nothing, its message cannot be read, or nobody knows what its task hides.
    pub(crate) fn of(
        id: TaskId,
        message: Option<&StoredMessage>,
        record: Option<&TaskRecord>,
        hidden: &Hidden,
    ) -> Result<Self, Problem> {
        if hidden.is_unknown() {
            let sentence = "the broker does not say what tasks hide, so it cannot be told what may be shown: try again, and see the log of the dashboard";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, sentence));
        }
        let mut draft = match (message, record) {
            (Some(message), _) => {
                let mut envelope = Envelope::decode(&message.body).map_err(Problem::wrong)?;
                // It is no slot of the schedule, and it may start although the first one expired.
                (envelope.schedule, envelope.expires) = (None, None);
                // It gets a new id.
                envelope.possible_duplicate = false;
                Self { envelope, queue: message.queue.clone(), priority: message.priority, is_kept: true }
            }
            (None, Some(record)) => Self {
                envelope: of_record(record),
                queue: record.queue.clone(),
                priority: record.priority,
                is_kept: false,
            },
            (None, None) => return Err(gone(id)),
        };
        let registered = hidden.of(draft.task()).to_vec();
        add(&mut draft.envelope.redacted, registered);
        Ok(draft)
    }

    /// The name of the task.
    pub(crate) fn task(&self) -> &str {
        &self.envelope.task
    }

    /// The arguments as people may see them; `None` where they are not JSON, and so cannot be written anew.
    pub(crate) fn arguments(&self) -> Option<String> {
        let Payload::Json(_) = &self.envelope.payload else { return None };
        Some(render_arguments(&self.envelope.payload, &self.envelope.redacted))
    }

    /// What of them must not be seen.
    pub(crate) fn unseen(&self) -> Unseen<'_> {
        Unseen { marks: &self.envelope.redacted, is_kept: self.is_kept }
    }

    /// With what the parameters say of hidden arguments, so that they stay hidden by position and by name.
    pub(crate) fn mark(&mut self, params: &[Parameter]) {
        complete(&mut self.envelope.redacted, params);
    }

    /// With other arguments: JSON text.
    pub(super) fn replace(&mut self, arguments: &str) -> Result<(), Problem> {
        replace(&mut self.envelope, arguments)
    }

    /// The arguments as the task gets them: not to be shown.
    ///
    /// # Errors
    /// Where they are none, or one of them is hidden and not known.
    pub(super) fn checked(&self) -> Result<Option<&str>, Problem> {
        check(&self.envelope)
    }

    /// Under a new id.
    ///
    /// # Errors
    /// Where it cannot be sent as it is.
    pub(super) fn message(self, app: &App) -> Result<Message, Problem> {
        check(&self.envelope)?;
        let message = Message {
            id: TaskId::new(app.parts.clock.now(), &*app.parts.entropy),
            queue: self.queue,
            priority: self.priority,
            delay: Delay::None,
            unique: None,
            fence: None,
            body: self.envelope.encode(),
        };
        message.check_size(limits::MESSAGE_MAX).map_err(Problem::wrong)?;
        Ok(message)
    }
}

/// What the row has: its arguments are those that people may see.
fn of_record(record: &TaskRecord) -> Envelope {
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
    envelope
}

fn hidden_places(values: &[Value]) -> Vec<RedactedArg> {
    let places = (0..NO_PLACE).zip(values).filter(|(_, value)| *value == HIDDEN);
    places.map(|(index, _)| RedactedArg { index, name: String::new() }).collect()
}

/// Marks of a row know either places or names, those of a message the names of the release that sent it.
fn complete(redacted: &mut Vec<RedactedArg>, params: &[Parameter]) {
    let hidden = Unseen { marks: redacted, is_kept: false };
    let marks =
        (0..NO_PLACE).zip(params).filter(|(index, param)| hidden.has(usize::from(*index), &param.name));
    let marks: Vec<RedactedArg> =
        marks.map(|(index, param)| RedactedArg { index, name: param.name.clone() }).collect();
    add(redacted, marks);
}

fn add(redacted: &mut Vec<RedactedArg>, marks: Vec<RedactedArg>) {
    for mark in marks {
        if !redacted.contains(&mark) {
            redacted.push(mark);
        }
    }
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
    let is_by_name = is_by_name(arguments).ok_or_else(not_arguments)?;
    check_form(&envelope.redacted, is_by_name)?;
    let after = keep_hidden(before, arguments, &envelope.redacted);
    envelope.payload = Payload::Json(after);
    Ok(())
}

/// Marks of a row know either places or names: where nobody says the other, arguments in the other form would be shown.
fn check_form(redacted: &[RedactedArg], is_by_name: bool) -> Result<(), Problem> {
    let is_lost = |arg: &RedactedArg| {
        if is_by_name {
            let is_it = |other: &RedactedArg| other.index == arg.index && !other.name.is_empty();
            arg.name.is_empty() && !redacted.iter().any(is_it)
        } else {
            let is_it = |other: &RedactedArg| other.name == arg.name && other.index != NO_PLACE;
            arg.index == NO_PLACE && !redacted.iter().any(is_it)
        }
    };
    if redacted.iter().any(is_lost) {
        let sentence = "an argument is hidden: write the arguments as they were, by position or by name, so that it stays hidden";
        return Err(Problem::wrong(sentence));
    }
    Ok(())
}

/// What was hidden from the results is not known, and must not be sent as it is shown; nor what no worker can have.
fn check(envelope: &Envelope) -> Result<Option<&str>, Problem> {
    TaskName::new(&envelope.task).map_err(Problem::wrong)?;
    let Payload::Json(arguments) = &envelope.payload else { return Ok(None) };
    is_by_name(arguments).ok_or_else(not_arguments)?;
    if has_hidden(arguments) {
        return Err(Problem::wrong(format!(
            "an argument is `{HIDDEN}`: what stood there was not kept, write it again"
        )));
    }
    Ok(Some(arguments))
}

/// Whether arguments are by name, or by position; `None` where they are neither.
fn is_by_name(arguments: &str) -> Option<bool> {
    let by_position = serde_json::from_str::<Vec<IgnoredAny>>(arguments).map(|_| false);
    let by_name = |_| serde_json::from_str::<BTreeMap<String, IgnoredAny>>(arguments).map(|_| true);
    by_position.or_else(by_name).ok()
}

fn not_arguments() -> Problem {
    Problem::wrong(
        "the arguments are not a JSON list (by position) or object (by name): write them as [16, 16]",
    )
}

#[cfg(test)]
mod tests {
    use lovage_core::{TaskInfo, render_arguments};

    use super::*;

    fn row(arguments: &str) -> Envelope {
        let id = TaskId::from_bytes([1; 16]);
        let mut record = lovage_testkit::record(id, (1, 1, 0), lovage_core::TaskState::Success);
        record.arguments = arguments.to_owned();
        of_record(&record)
    }

    fn params(signature: &str) -> Vec<Parameter> {
        TaskInfo { name: "t".to_owned(), signature: signature.to_owned(), redacted: None, queue: None }
            .parameters()
            .unwrap()
    }

    #[test]
    fn what_was_hidden_in_a_row_must_be_written_again_and_stays_hidden() {
        let mut envelope = row(r#"[7,"[redacted]"]"#);
        assert!(check(&envelope).unwrap_err().sentence.contains("write it again"));
        replace(&mut envelope, r#"[8,"[redacted]"]"#).unwrap();
        assert!(check(&envelope).is_err());
        replace(&mut envelope, r#"[7,"4111"]"#).unwrap();
        assert_eq!(check(&envelope), Ok(Some(r#"[7,"4111"]"#)));
        assert_eq!(render_arguments(&envelope.payload, &envelope.redacted), r#"[7,"[redacted]"]"#);
    }

    #[test]
    fn where_nobody_knows_what_is_hidden_nothing_is_shown() {
        let id = TaskId::from_bytes([1; 16]);
        let mut record = lovage_testkit::record(id, (1, 1, 0), lovage_core::TaskState::Success);
        record.arguments = r#"["4111"]"#.to_owned();
        let known = Draft::of(id, None, Some(&record), &Hidden::default()).unwrap();
        assert_eq!(known.arguments().as_deref(), Some(r#"["4111"]"#));
        let refused = Draft::of(id, None, Some(&record), &Hidden::unknown()).unwrap_err();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.sentence.contains("does not say what tasks hide"), "{}", refused.sentence);
    }

    #[test]
    fn what_was_hidden_by_its_place_is_not_shown_by_its_name() {
        for (kept, typed, same) in [
            (r#"[7,"[redacted]"]"#, r#"{"id":7,"card":"4111"}"#, r#"[7,"4111"]"#),
            (r#"{"id":7,"card":"[redacted]"}"#, r#"[7,"4111"]"#, r#"{"id":7,"card":"4111"}"#),
        ] {
            let mut envelope = row(kept);
            let refused = replace(&mut envelope, typed).unwrap_err().sentence;
            assert!(refused.contains("so that it stays hidden") && !refused.contains("4111"), "{refused}");
            replace(&mut envelope, same).unwrap();
            assert!(!render_arguments(&envelope.payload, &envelope.redacted).contains("4111"));
        }
    }

    #[test]
    fn where_the_parameters_are_known_it_may_be_written_in_either_form_and_stays_hidden() {
        let params = params("(id: i64, card: String) -> ()");
        for kept in [r#"[7,"[redacted]"]"#, r#"{"id":7,"card":"[redacted]"}"#] {
            for typed in [r#"{"id":8,"card":"4111"}"#, r#"[8,"4111"]"#] {
                let mut envelope = row(kept);
                complete(&mut envelope.redacted, &params);
                replace(&mut envelope, typed).unwrap();
                let shown = render_arguments(&envelope.payload, &envelope.redacted);
                assert!(!shown.contains("4111") && shown.contains('8'), "{kept} {typed}: {shown}");
            }
        }
    }

    #[test]
    fn what_the_broker_still_has_is_taken_from_there() {
        let mut envelope = Envelope::new("pay", Payload::Json(r#"{"card":"4111","id":1}"#.to_owned()));
        envelope.redacted = vec![RedactedArg { index: 0, name: "card".to_owned() }];
        replace(&mut envelope, r#"{"card":"[redacted]","id":2}"#).unwrap();
        let changed = r#"{"card":"4111","id":2}"#;
        assert_eq!(envelope.payload, Payload::Json(changed.to_owned()));
        assert_eq!(check(&envelope), Ok(Some(changed)));
        for wrong in ["7", "[7", "\"x\""] {
            assert!(replace(&mut envelope, wrong).unwrap_err().sentence.contains("[16, 16]"), "{wrong}");
        }
        replace(&mut envelope, r#"["[redacted]", 340282366920938463463374607431768211455]"#).unwrap();
        let placed = r#"["4111",340282366920938463463374607431768211455]"#;
        assert_eq!(
            check(&envelope),
            Ok(Some(placed)),
            "by position, too, and a long number as it is written"
        );
    }

    #[test]
    fn an_argument_that_has_another_name_by_now_stays_hidden() {
        let mut envelope = Envelope::new("pay", Payload::Json(r#"["4111"]"#.to_owned()));
        envelope.redacted = vec![RedactedArg { index: 0, name: "card".to_owned() }];
        complete(&mut envelope.redacted, &params("(pan: String, note: Option<String>) -> ()"));
        replace(&mut envelope, r#"{"pan":"[redacted]","note":"x"}"#).unwrap();
        assert_eq!(envelope.payload, Payload::Json(r#"{"note":"x","pan":"4111"}"#.to_owned()));
        let shown = render_arguments(&envelope.payload, &envelope.redacted);
        assert_eq!(shown, r#"{"note":"x","pan":"[redacted]"}"#);
    }
}
