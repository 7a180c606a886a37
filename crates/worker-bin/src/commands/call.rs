//! `call`: sends a task, and waits for it where asked to.

use std::time::Duration;

use lovage_core::{Expires, Payload, QueueName, TaskDef};
use lovage_worker::{__private, Call as TaskCall, Client, Handle};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cli::Call;
use crate::commands::result::print_ended;
use crate::error::CliError;
use crate::output::Out;
use crate::session::Session;

/// `lovage call TASK …`.
pub(crate) async fn call(session: &Session, args: Call) -> Result<(), CliError> {
    let arguments = arguments(&args)?;
    let mut call = task_call(&session.tasks, &args.task, arguments);
    let client = session.connect_or_create().await?;
    if args.queue.is_none() && !session.tasks.iter().any(|def| def.name == args.task) {
        let workers = client.broker().workers(None).await?;
        if let Some(queue) = session.own_queue(&args.task, &workers) {
            call = call.queue(queue);
        }
    }
    let call = with_options(call, &args);
    let handle = client.send(call).await?;
    note_missing_worker(&client, handle.queue(), &args.task).await?;
    let id = handle.id().to_string();
    match args.wait {
        Some(patience) => {
            Out.note(&id);
            wait(session, &client, &handle, patience, args.format.json).await
        }
        None if args.format.json => Out.json(&json!({ "id": id, "queue": handle.queue() })),
        None => Out.line(id),
    }
}

/// Waits for the end of a task and prints its result.
pub(crate) async fn wait(
    session: &Session,
    client: &Client,
    handle: &Handle<Value>,
    patience: Option<Duration>,
    as_json: bool,
) -> Result<(), CliError> {
    let record = handle.ended(patience.unwrap_or(Duration::MAX)).await?;
    let hidden = if as_json { Some(session.hidden(&**client.broker()).await) } else { None };
    print_ended(&record, hidden.as_ref())
}

/// A call of a task with arguments as JSON text. One that this program knows is called with its own queue, priority and redactions.
pub(crate) fn task_call(tasks: &[TaskDef], name: &str, arguments: String) -> TaskCall<Value> {
    match tasks.iter().find(|task| task.name == name) {
        Some(def) => {
            let payload = Payload::from_json(arguments);
            __private::new_call(def.name, def.options.clone(), def.params, payload)
        }
        None => TaskCall::by_name_json(name, arguments),
    }
}

/// Arguments of the command line as a JSON list: each is JSON where it parses, and kept as it is written, else a string.
pub(crate) fn positional(arguments: &[String]) -> String {
    let one = |text: &String| match serde_json::from_str::<&RawValue>(text) {
        Ok(json) => json.get().to_owned(),
        Err(_) => Value::from(text.as_str()).to_string(),
    };
    format!("[{}]", arguments.iter().map(one).collect::<Vec<_>>().join(","))
}

fn arguments(args: &Call) -> Result<String, CliError> {
    let parse = |flag: &str, text: &str, form: &str, opening: char| {
        let is_valid =
            text.trim_start().starts_with(opening) && serde_json::from_str::<&RawValue>(text).is_ok();
        let expected = || CliError::usage(format!("{flag} is `{text}`: expected {form}"));
        is_valid.then(|| text.to_owned()).ok_or_else(expected)
    };
    match (&args.args, &args.kwargs) {
        (Some(list), _) => parse("--args", list, "a JSON list such as [1, \"two\"]", '['),
        (None, Some(object)) => parse("--kwargs", object, "a JSON object such as {\"x\": 1}", '{'),
        (None, None) => Ok(positional(&args.arguments)),
    }
}

fn with_options(mut call: TaskCall<Value>, args: &Call) -> TaskCall<Value> {
    if let Some(delay) = args.countdown {
        call = call.countdown(delay);
    }
    if let Some(at) = args.eta {
        call = call.eta(at);
    }
    match args.expires {
        Some(Expires::After(time)) => call = call.expires(time),
        Some(Expires::At(at)) => call = call.expires_at(at),
        None => {}
    }
    if let Some(queue) = &args.queue {
        call = call.queue(queue);
    }
    if let Some(priority) = args.priority {
        call = call.priority(priority);
    }
    if let Some(key) = &args.unique {
        call = match args.unique_for {
            Some(ttl) => call.unique_for(key, ttl),
            None => call.unique(key),
        };
    }
    if args.until_start {
        call = call.until_start();
    }
    if args.replace {
        call = call.replace();
    }
    if let Some(id) = args.id {
        call = call.id(id);
    }
    call
}

/// A task that nobody will run is the first thing that goes wrong for a newcomer.
async fn note_missing_worker(client: &Client, queue: Option<&QueueName>, task: &str) -> Result<(), CliError> {
    let Some(queue) = queue else { return Ok(()) };
    let workers = client.broker().workers(None).await?;
    let serving: Vec<_> = workers.iter().filter(|worker| worker.queues.contains(queue)).collect();
    if serving.is_empty() {
        Out.note(format!("note: no live worker serves the queue `{queue}`; the task waits for one"));
    } else if !serving.iter().any(|worker| worker.tasks.iter().any(|known| known.name == task)) {
        Out.note(format!("note: no live worker of the queue `{queue}` knows the task `{task}`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_json_or_else_a_string() {
        let typed = ["1", "two", "[3]", "\"4\"", "null", "-5.50", "123456789012345678901234567890"];
        let expected = r#"[1,"two",[3],"4",null,-5.50,123456789012345678901234567890]"#;
        assert_eq!(positional(&typed.map(str::to_owned)), expected);
    }
}
