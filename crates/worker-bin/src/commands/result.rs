//! `result`: how a task ended.

use std::time::Duration;

use lovage_core::{Hidden, Outcome, TaskRecord, TaskState};
use lovage_worker::{Handle, TaskStatus};
use serde_json::{Value, json};

use crate::cli::ResultArgs;
use crate::commands::call::wait;
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;
use crate::show;

/// `lovage result ID`.
pub(crate) async fn result(session: &Session, args: &ResultArgs) -> Result<(), CliError> {
    let client = session.connect_to_look_with_outbox().await?;
    if let Some(patience) = args.wait {
        let handle: Handle<Value> = client.handle(args.id, None);
        return wait(session, &client, &handle, patience.or(Some(Duration::MAX)), args.format.json).await;
    }
    let id = args.id;
    let Some(TaskStatus { state, record, message }) = client.state(id).await? else {
        return Err(CliError::failed(format!(
            "task {id} is not known: it never was, or its result is not stored or no longer kept"
        )));
    };
    let hidden = if args.format.json { Some(session.hidden(&**client.broker()).await) } else { None };
    match record {
        Some(record) if state.is_terminal() => print_ended(&record, hidden.as_ref()),
        record => {
            if let Some(hidden) = &hidden {
                let message = message.as_ref().map(|message| show::message(message, hidden));
                let record = record.as_ref().map(|record| show::record(record, hidden));
                Out.json(&json!({
                    "id": id.to_string(), "state": state.as_str(), "message": message, "record": record,
                }))?;
            }
            Err(CliError::failed(format!("task {id} has not ended: it is {}", show::state(state)))
                .hint(format!("wait for it with `{} result {id} --wait`", session.program)))
        }
    }
}

/// The result on the standard output, or the whole row as JSON where it is known what to hide in it; anything but a success
/// is an error.
pub(crate) fn print_ended(record: &TaskRecord, as_json: Option<&Hidden>) -> Result<(), CliError> {
    if let Some(hidden) = as_json {
        Out.json(&show::record(record, hidden))?;
    }
    let id = record.id;
    if let Some(warning) = record.warning.as_ref().filter(|_| as_json.is_none()) {
        Out.note(format!("warning: task {id} succeeded, but {warning}"));
    }
    match (record.state, &record.outcome) {
        (TaskState::Success, _) if as_json.is_some() => Ok(()),
        (TaskState::Success, Outcome::Result(text)) => Out.line(text),
        (TaskState::Success, Outcome::Marker(why)) => {
            Err(CliError::failed(format!("task {id} succeeded, but its result is not stored: {why}")))
        }
        (TaskState::Success, Outcome::None | Outcome::Error(_)) => {
            Err(CliError::failed(format!("task {id} succeeded, but its result is not stored")))
        }
        (_, Outcome::Error(report)) => Err(CliError::failed(format!(
            "task {}[{id}] ended as {}: {report}",
            record.task,
            show::state(record.state)
        ))),
        (_, Outcome::None | Outcome::Result(_) | Outcome::Marker(_)) => Err(CliError::failed(format!(
            "task {}[{id}] ended as {}",
            record.task,
            show::state(record.state)
        ))),
    }
}
