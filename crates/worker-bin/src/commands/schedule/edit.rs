//! `schedule add` and `schedule edit`.

use lovage_core::schedule::{
    Entry, EntryText, Expected, Fit, Listed, Saved, ScheduleError, ScheduleStore, StoredEntry,
};
use lovage_core::{QueueName, WorkerInfo};
use serde_json::{Map, Value, json};

use super::{found, look};
use crate::cli::{EntryArgs, EntryFlags, Format, When};
use crate::commands::call::positional;
use crate::error::CliError;
use crate::output::Out;
use crate::schedules::{fit, instead, live_workers};
use crate::session::Session;

/// How an option is taken away.
const NONE: &str = "none";
const KINDS: &str = "one of --every, --crontab, --solar and --at";

pub(super) async fn add(
    session: &Session,
    store: &dyn ScheduleStore,
    entry: Entry,
    queue: Option<&str>,
    format: Format,
) -> Result<(), CliError> {
    let mut entry = entry;
    let workers = live(session, &entry).await;
    if let (None, Some(workers)) = (queue, &workers) {
        entry.queue = queue_of(session, entry.task.as_str(), workers);
    }
    check_task(&entry, workers.as_deref())?;
    let name = &entry.name;
    match store.put(&entry, Expected::New, None).await? {
        Saved::Saved(stored) => saved(session, *stored, "is added", format).await,
        Saved::Conflict(_) => {
            Err(CliError::failed(format!("there is a schedule `{name}` already; nothing was changed"))
                .hint("`schedule edit` changes it, `schedule show` tells what it is"))
        }
    }
}

pub(super) async fn edit(
    session: &Session,
    store: &dyn ScheduleStore,
    name: &str,
    args: &EntryArgs,
    revision: Option<i64>,
    format: Format,
) -> Result<(), CliError> {
    let (entry, seen) = match found(store, name).await? {
        Ok(stored) => (changed(&stored.entry, args)?, stored.revision),
        // Nothing of it can be kept.
        Err(bad) => (
            new_entry(session, name, args)
                .map_err(|error| error.hint(format!("its row cannot be read: {}", bad.reason)))?,
            bad.revision,
        ),
    };
    let expected = revision.unwrap_or(seen);
    check_task(&entry, live(session, &entry).await.as_deref())?;
    match store.put(&entry, Expected::Revision(expected), None).await? {
        Saved::Saved(stored) => saved(session, *stored, "is changed", format).await,
        Saved::Conflict(Some(found)) => Err(CliError::failed(format!(
            "somebody else changed `{name}` meanwhile: it is at revision {found}, this edit was made from {expected}; nothing was changed"
        ))
        .hint(format!("look at it with `{} schedule show {name}`, then repeat what is still wanted", session.program))),
        Saved::Conflict(None) => {
            Err(CliError::failed(format!("somebody else deleted `{name}` meanwhile; nothing was changed")))
        }
    }
}

async fn saved(session: &Session, stored: StoredEntry, what: &str, format: Format) -> Result<(), CliError> {
    if format.json {
        return Out.json(&look::as_json(&Listed::Ok(stored), &session.hidden_if_known().await));
    }
    let entry = &stored.entry;
    Out.line(format!("{} {what}: {}; {}", entry.name, entry.schedule, look::next_in_words(&stored)))
}

/// An entry of flags alone.
pub(super) fn new_entry(session: &Session, name: &str, args: &EntryArgs) -> Result<Entry, CliError> {
    let Some(task) = &args.flags.task else {
        return Err(CliError::usage("a schedule needs a task: name it with --task"));
    };
    let def = session.tasks.iter().find(|def| def.name == task);
    let queue = queue_of(session, task, &[]);
    let priority = def.and_then(|def| def.options.priority).unwrap_or_default().get();
    let Some(schedule) = schedule(&args.when, None)? else {
        return Err(CliError::usage(format!("a schedule needs a time: expected {KINDS}")));
    };
    let blank = json!({
        "name": name, "task": task, "schedule": schedule, "queue": queue, "priority": priority,
    });
    let mut text: EntryText =
        serde_json::from_value(blank).map_err(|error| CliError::failed(error.to_string()))?;
    put_flags(&mut text, args)?;
    checked(text)
}

/// An entry with what the flags change.
fn changed(entry: &Entry, args: &EntryArgs) -> Result<Entry, CliError> {
    let mut text = EntryText::from(entry);
    if let Some(task) = &args.flags.task {
        text.task.clone_from(task);
    }
    if let Some(schedule) = schedule(&args.when, Some(&text.schedule))? {
        text.schedule = schedule.to_string();
    }
    put_flags(&mut text, args)?;
    let changed = checked(text)?;
    if changed == *entry {
        return Err(CliError::usage("nothing is to be changed: no flag says something new"));
    }
    Ok(changed)
}

fn checked(text: EntryText) -> Result<Entry, CliError> {
    let name = text.name.escape_debug().to_string();
    Entry::try_from(text).map_err(|error| invalid(&name, &error))
}

fn invalid(name: &str, error: &ScheduleError) -> CliError {
    CliError::usage(format!("the schedule `{name}`: {error}"))
}

fn put_flags(text: &mut EntryText, args: &EntryArgs) -> Result<(), CliError> {
    let flags = &args.flags;
    put_arguments(text, args);
    for (flag, field) in [
        (&flags.queue, &mut text.queue),
        (&flags.misfire, &mut text.misfire),
        (&flags.overlap, &mut text.overlap),
        (&flags.description, &mut text.description),
    ] {
        if let Some(value) = flag {
            field.clone_from(value);
        }
    }
    for (flag, field) in [
        (&flags.expires, &mut text.expires),
        (&flags.start, &mut text.start_time),
        (&flags.end, &mut text.end_time),
        (&flags.jitter, &mut text.jitter),
    ] {
        if let Some(value) = flag {
            *field = (value != NONE).then(|| value.clone());
        }
    }
    if let Some(priority) = &flags.priority {
        text.priority = priority
            .parse()
            .map_err(|_| CliError::usage(format!("priority `{priority}` is not valid: expected 0 to 9")))?;
    }
    if let Some(one_off) = flags.one_off {
        text.one_off = one_off;
    }
    if !flags.headers.is_empty() {
        text.headers = headers(flags)?;
    }
    Ok(())
}

/// Arguments are all by position or all by name: giving one takes the other away.
fn put_arguments(text: &mut EntryText, args: &EntryArgs) {
    let (list, object) = ("[]".to_owned(), "{}".to_owned());
    match (&args.flags.args, &args.flags.kwargs) {
        (Some(args), _) => (text.args, text.kwargs) = (args.clone(), object),
        (None, Some(kwargs)) => (text.args, text.kwargs) = (list, kwargs.clone()),
        (None, None) if !args.arguments.is_empty() => {
            (text.args, text.kwargs) = (positional(&args.arguments), object);
        }
        (None, None) => {}
    }
}

fn headers(flags: &EntryFlags) -> Result<String, CliError> {
    let pairs = flags.headers.iter().map(|pair| match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), Value::from(value))),
        _ => Err(CliError::usage(format!("header `{pair}` is not valid: expected NAME=VALUE"))),
    });
    Ok(Value::Object(pairs.collect::<Result<Map<_, _>, _>>()?).to_string())
}

/// The schedule that the flags state, `old` where they change its zone only; `None` when they say nothing.
fn schedule(when: &When, old: Option<&str>) -> Result<Option<Value>, CliError> {
    let old =
        || old.and_then(|old| serde_json::from_str::<Value>(old).ok()).filter(|old| old["kind"] == "crontab");
    let zone = || match (&when.zone, old()) {
        (Some(zone), _) => json!(zone),
        (None, Some(old)) => old["zone"].clone(),
        (None, None) => json!("UTC"),
    };
    Ok(Some(if let Some(every) = &when.every {
        json!({ "kind": "interval", "every": every })
    } else if let Some(expression) = &when.crontab {
        json!({ "kind": "crontab", "expression": expression, "zone": zone() })
    } else if let Some(solar) = &when.solar {
        sun(solar)?
    } else if let Some(at) = &when.at {
        json!({ "kind": "clocked", "at": at })
    } else if when.zone.is_some() {
        let Some(mut old) = old() else {
            return Err(CliError::usage("--zone is the zone of a crontab: give --crontab with it"));
        };
        old["zone"] = zone();
        old
    } else {
        return Ok(None);
    }))
}

fn sun(text: &str) -> Result<Value, CliError> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let [event, latitude, longitude] = parts[..] else {
        return Err(CliError::usage(format!(
            "solar `{text}` is not valid: expected EVENT,LATITUDE,LONGITUDE such as sunset,52.52,13.40"
        )));
    };
    let degrees = |field: &str, text: &str| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| {
            CliError::usage(format!(
                "{field} `{text}` is not valid: expected degrees such as 52.52, north and east are positive"
            ))
        })
    };
    Ok(json!({
        "kind": "solar", "event": event,
        "latitude": degrees("latitude", latitude)?, "longitude": degrees("longitude", longitude)?,
    }))
}

/// Where a task goes that is given no queue: to its own, as this program or a live worker knows it, or by the routes.
fn queue_of(session: &Session, task: &str, workers: &[WorkerInfo]) -> QueueName {
    session.own_queue(task, workers).unwrap_or_else(|| session.config.routes.queue(task))
}

/// The live workers; `None` and a warning where they cannot be asked.
async fn live(session: &Session, entry: &Entry) -> Option<Vec<WorkerInfo>> {
    let workers = async {
        let client = session.connect_to_look().await?;
        Ok::<_, CliError>(live_workers(&**client.broker()).await?)
    };
    let warn = |error: CliError| {
        Out.note(format!(
            "warning: task and arguments of `{}` are not checked: {}",
            entry.name,
            error.in_one_line()
        ));
    };
    workers.await.map_err(warn).ok()
}

/// Whether live workers can run it. That none knows the task is worth a warning only: it may be deployed later.
fn check_task(entry: &Entry, workers: Option<&[WorkerInfo]>) -> Result<(), CliError> {
    let Some(workers) = workers else { return Ok(()) };
    match fit(entry, workers) {
        Fit::Fits => warn_unserved(entry, workers),
        Fit::Unknown => {
            let expected = instead(&entry.task, workers);
            Out.note(format!("warning: no live worker knows the task `{}`: {expected}", entry.task));
        }
        Fit::Wrong(error) => return Err(invalid(entry.name.as_str(), &error)),
    }
    Ok(())
}

fn warn_unserved(entry: &Entry, workers: &[WorkerInfo]) {
    if !workers.iter().any(|worker| worker.queues.contains(&entry.queue)) {
        Out.note(format!("warning: no live worker serves the queue `{}`", entry.queue));
    }
}
