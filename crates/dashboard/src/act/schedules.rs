//! Changing the schedule.

use std::collections::BTreeSet;

use lovage_core::schedule::{Entry, EntryText, Expected, Fit, Saved, ScheduleError};
use lovage_core::{HIDDEN, Hidden, QueueName, RedactedArg, TaskId, TaskInfo, has_hidden, keep_hidden};
use lovage_scheduler::{ByHand, run_by_hand};
use serde_json::{Map, Value, json};

use super::sure::{Confirm, Lines, Sure};
use crate::Parts;
use crate::call::{Call, Input};
use crate::look;
use crate::look::registered::{Registered, infos};
use crate::look::schedules::{EntryRow, name};
use crate::pages;
use crate::pages::kit::counted;
use crate::problem::Problem;
use crate::routes::{Done, Filled};
use crate::typed::{self, Arguments, Json, Unseen};

pub(crate) async fn enable(call: Call) -> Result<Done, Problem> {
    switch(&call, true).await
}

pub(crate) async fn disable(call: Call) -> Result<Done, Problem> {
    switch(&call, false).await
}

async fn switch(call: &Call, enabled: bool) -> Result<Done, Problem> {
    let names = names(call)?;
    for name in &names {
        let found = call.app.schedules()?.set_enabled(name, enabled, None).await?;
        found.ok_or_else(|| missing(name))?;
    }
    Ok(said(&names, if enabled { "enabled" } else { "disabled" }))
}

pub(crate) async fn ask_delete(call: Call) -> Result<Option<Sure>, Problem> {
    let names = names(&call)?;
    let found = call.app.schedules()?.get(&names).await?;
    let rows: Vec<EntryRow> = found.iter().flatten().map(EntryRow::plain).collect();
    if rows.is_empty() {
        return Err(missing(names.first().copied().unwrap_or_default()));
    }
    let declared = match rows.iter().any(|row| row.source.is_some()) {
        true => {
            " A program makes those again that it declares, when it starts: disable them instead to stop them."
        }
        false => "",
    };
    let (number, title) =
        (counted(u64::try_from(rows.len()).unwrap_or(u64::MAX), "schedule"), "Delete from the schedule?");
    let of = |row: EntryRow| [row.name, row.words, row.source.unwrap_or_else(|| "a person".to_owned())];
    Ok(Some(Sure {
        title,
        words: format!("{number} will be deleted: no slot of them fires any more.{declared}"),
        lines: Lines {
            head: ["Name", "When", "Declared by"],
            are_counted: false,
            rows: rows.into_iter().map(of).collect(),
        },
        button: "Delete from the schedule",
        is_danger: true,
        confirm: Confirm::Pressed,
    }))
}

pub(crate) async fn delete(call: Call) -> Result<Done, Problem> {
    let names = names(&call)?;
    if call.app.schedules()?.delete(&names).await? == 0 {
        return Err(missing(names.first().copied().unwrap_or_default()));
    }
    Ok(Done { then: Some("/schedules".to_owned()), ..said(&names, "deleted") })
}

/// Gives an entry back to the program that declares it.
pub(crate) async fn reset(call: Call) -> Result<Done, Problem> {
    let name = name(&call)?;
    let found = call.app.schedules()?.reset(name, None).await?;
    found.ok_or_else(|| missing(name))?;
    Ok(Done::new(name, format!("The schedule `{name}` is again as the program declares it.")))
}

/// Sends the tasks of entries now, beside their slots. One that cannot be sent stops no other.
pub(crate) async fn run(call: Call) -> Result<Done, Problem> {
    let names = names(&call)?;
    let (mut ran, mut not) = (Vec::new(), Vec::new());
    for name in &names {
        match run_one(&call, name).await {
            Ok(id) => ran.push((*name, id)),
            Err(problem) => not.push(problem),
        }
    }
    let sentence = match &ran[..] {
        [] => return Err(Problem { sentence: sentences(&not), ..not.swap_remove(0) }),
        [(name, id)] => format!("The schedule `{name}` runs now, as {id}."),
        _ => said(&ran.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "sent").sentence,
    };
    let refused = if not.is_empty() { String::new() } else { format!(" But {}.", sentences(&not)) };
    let id = if let [(_, id)] = &ran[..] { Some(id.to_string()) } else { None };
    let to = ran.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    Ok(Done { id, ..Done::new(to, format!("{sentence}{refused}")).count(ran.len()) })
}

fn sentences(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.sentence.as_str()).collect::<Vec<_>>().join("; ")
}

async fn run_one(call: &Call, name: &str) -> Result<TaskId, Problem> {
    let Parts { broker, entropy, .. } = &call.app.parts;
    match run_by_hand(call.app.schedules()?, &**broker, &**entropy, name).await? {
        ByHand::Published(id) => Ok(id),
        ByHand::Overlap(id) => {
            Err(Problem::conflict(format!("`{name}` runs already, as {id}, and its runs are not to overlap")))
        }
        ByHand::Unknown => Err(missing(name)),
    }
}

/// Adds or edits an entry; the form comes back with what is wrong.
pub(crate) async fn save(call: Call) -> Result<Filled, Problem> {
    match put_typed(&call).await {
        Ok(done) => Ok(Filled::Done(done)),
        Err(problem) if problem.status.is_client_error() => {
            Ok(Filled::Again(Box::new(pages::schedule_form::again(&call, &problem.sentence).await)))
        }
        Err(problem) => Err(problem),
    }
}

/// With the arguments from their fields.
async fn put_typed(call: &Call) -> Result<Done, Problem> {
    let (tasks, hidden) = (look::registered::if_known(&call.app).await, call.app.hidden().await);
    let marks = marks(&call.input, &hidden);
    let Json { args, kwargs } =
        Arguments::settled(&call.input, &tasks, unseen(&call.input, &marks)).map_err(Problem::wrong)?;
    let mut input = Input::new(vec![("args".to_owned(), args), ("kwargs".to_owned(), kwargs)]);
    input.join(call.input.clone());
    put_known(call, &input, &tasks, &hidden).await
}

/// Adds an entry, or edits the one of a revision.
pub(crate) async fn put(call: Call) -> Result<Done, Problem> {
    let (tasks, hidden) = (look::registered::if_known(&call.app).await, call.app.hidden().await);
    put_known(&call, &call.input, &tasks, &hidden).await
}

async fn put_known(
    call: &Call,
    input: &Input,
    tasks: &[Registered],
    hidden: &Hidden,
) -> Result<Done, Problem> {
    let mut entry = entry(input)?;
    if input.get("queue").is_none() {
        entry.queue = own_queue(&entry, tasks);
    }
    let expected = match input.parsed::<i64>("revision")? {
        Some(revision) => {
            if let Some(Ok(before)) = call.app.schedules()?.get(&[entry.name.as_str()]).await?.pop().flatten()
            {
                kept(&before.entry, &mut entry, hidden.of(before.entry.task.as_str()));
            }
            Expected::Revision(revision)
        }
        None => Expected::New,
    };
    check_hidden(&entry)?;
    entry.check().map_err(|error| wrong(&error))?;
    check_arguments(&entry, tasks, hidden)?;
    let name = entry.name.clone();
    match call.app.schedules()?.put(&entry, expected, None).await? {
        Saved::Saved(_) => {
            let then = pages::Url::new("", "/schedule").with("name", &name).to_string();
            let sentence = format!("The schedule `{name}` is saved: {}.", entry.schedule);
            Ok(Done { then: Some(then), ..Done::new(name.as_str(), sentence) })
        }
        Saved::Conflict(Some(_)) if expected == Expected::New => {
            Err(Problem::conflict(format!("there is a schedule `{name}`: choose another name")))
        }
        Saved::Conflict(Some(_)) => Err(Problem::conflict(format!(
            "somebody else changed `{name}` meanwhile: open it again, so that neither change is lost"
        ))),
        Saved::Conflict(None) => Err(Problem::conflict(format!("somebody deleted `{name}` meanwhile"))),
    }
}

/// The marks of what must not be seen of the arguments in a form: those of its task, and of the one whose fields it has.
pub(crate) fn marks(input: &Input, hidden: &Hidden) -> Vec<RedactedArg> {
    let tasks: BTreeSet<&str> = [input.get("task"), input.get(typed::OF)].into_iter().flatten().collect();
    tasks.into_iter().flat_map(|task| hidden.of(task)).cloned().collect()
}

/// With these marks. An entry that is edited still has what is hidden.
pub(crate) fn unseen<'a>(input: &Input, marks: &'a [RedactedArg]) -> Unseen<'a> {
    Unseen { marks, is_kept: input.get("revision").is_some() }
}

/// What was shown as hidden, and came back so, stays as it was. Another task might show it.
fn kept(before: &Entry, entry: &mut Entry, marks: &[RedactedArg]) {
    if marks.is_empty() || before.task != entry.task {
        return;
    }
    for (old, new) in [(&before.args, &mut entry.args), (&before.kwargs, &mut entry.kwargs)] {
        if has_hidden(new) {
            *new = keep_hidden(old, new, marks);
        }
    }
}

/// What stands for a hidden argument is not one.
fn check_hidden(entry: &Entry) -> Result<(), Problem> {
    if has_hidden(&entry.args) || has_hidden(&entry.kwargs) {
        return Err(Problem::wrong(format!(
            "an argument is `{HIDDEN}`, and there is none to keep under this task and in this place: write it again"
        )));
    }
    Ok(())
}

/// The queue of a task's own, as live workers register it, or else the default one.
fn own_queue(entry: &Entry, tasks: &[Registered]) -> QueueName {
    let task = tasks.iter().find(|known| known.name == entry.task.as_str());
    let queue = task.and_then(|known| known.queue.as_deref()).and_then(|queue| QueueName::new(queue).ok());
    queue.unwrap_or_default()
}

/// What no live worker of the task can run is refused. A task that none of them knows may come yet.
fn check_arguments(entry: &Entry, tasks: &[Registered], hidden: &Hidden) -> Result<(), Problem> {
    let marked = |info: TaskInfo| TaskInfo { redacted: Some(hidden.of(&info.name).to_vec()), ..info };
    let known: Vec<TaskInfo> = infos(tasks, entry.task.as_str()).map(marked).collect();
    match Fit::of(entry, &known) {
        Fit::Fits | Fit::Unknown => Ok(()),
        Fit::Wrong(error) => Err(Problem::wrong(error.to_string())),
    }
}

/// The entry that a form or a JSON body describes.
pub(crate) fn entry(input: &Input) -> Result<Entry, Problem> {
    let text = |name: &str| input.get(name).map(str::to_owned);
    let flag = |name: &str, unsaid: bool| {
        input.get(name).map_or(unsaid, |word| matches!(word, "true" | "on" | "yes"))
    };
    // A form says nothing of a box that is not checked.
    let is_form = input.get("form").is_some();
    let text = EntryText {
        name: input.required("name")?.to_owned(),
        task: input.required("task")?.to_owned(),
        args: text("args").unwrap_or_else(|| "[]".to_owned()),
        kwargs: text("kwargs").unwrap_or_else(|| "{}".to_owned()),
        schedule: schedule(input)?,
        queue: text("queue").unwrap_or_else(|| "default".to_owned()),
        priority: input.parsed("priority")?.unwrap_or(0),
        headers: text("headers").unwrap_or_else(|| "{}".to_owned()),
        expires: text("expires"),
        start_time: text("start_time"),
        end_time: text("end_time"),
        one_off: flag("one_off", false),
        enabled: flag("enabled", !is_form),
        description: text("description").unwrap_or_default().replace('\r', ""),
        misfire: text("misfire").unwrap_or_else(|| "once".to_owned()),
        overlap: text("overlap").unwrap_or_else(|| "allow".to_owned()),
        jitter: text("jitter"),
    };
    Entry::try_from(text).map_err(|error| wrong(&error))
}

/// Arguments may be such that must not be shown: of those it is not said what was found.
fn wrong(error: &ScheduleError) -> Problem {
    let ScheduleError { field, expected, .. } = error;
    match *field {
        "args" | "kwargs" => Problem::wrong(format!("{field} is not valid: expected {expected}")),
        _ => Problem::wrong(error),
    }
}

/// The JSON of a schedule: as it came, or from the fields of its kind.
fn schedule(input: &Input) -> Result<String, Problem> {
    if let Some(json) = input.get("schedule") {
        return Ok(json.to_owned());
    }
    let kind = input.required("kind")?;
    let names: &[&str] = match kind {
        "interval" => &["every", "start"],
        "crontab" => &["expression", "zone"],
        "solar" => &["event", "latitude", "longitude"],
        "clocked" => &["at"],
        other => {
            let sentence =
                format!("kind `{other}` is not valid: expected interval, crontab, solar or clocked");
            return Err(Problem::wrong(sentence));
        }
    };
    // Of each kind the first field says when, so it must be there.
    if let Some(first) = names.first() {
        input.required(first)?;
    }
    let mut fields = Map::new();
    fields.insert("kind".to_owned(), kind.into());
    for name in names {
        let Some(text) = input.get(name) else { continue };
        let value = match *name {
            "latitude" | "longitude" => json!(
                text.parse::<f64>()
                    .map_err(|_| Problem::wrong(format!("{name} `{text}` is not valid: expected degrees")))?
            ),
            _ => Value::from(text),
        };
        fields.insert((*name).to_owned(), value);
    }
    Ok(Value::Object(fields).to_string())
}

fn names(call: &Call) -> Result<Vec<&str>, Problem> {
    // Names may have white space around them: they are taken as they came.
    let names: Vec<&str> = call
        .input
        .fields()
        .filter(|(field, name)| *field == "name" && !name.is_empty())
        .map(|(_, name)| name)
        .collect();
    if names.is_empty() {
        return Err(Problem::wrong("nothing was selected: check the boxes of those that are meant"));
    }
    Ok(names)
}

fn missing(name: &str) -> Problem {
    Problem::missing(format!("there is no schedule `{name}`"))
}

fn said(names: &[&str], what: &str) -> Done {
    let shown = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let (noun, verb) = if names.len() == 1 { ("schedule", "is") } else { ("schedules", "are") };
    Done::new(shown.clone(), format!("The {noun} {shown} {verb} {what}.")).count(names.len())
}
